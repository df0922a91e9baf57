//! The model that hypotheses are tried against: cells, their symptoms, and the parts that they cross.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use mesh_proto::{AgentIndex, CellState, Failure, Observation, Plane, ProbeKind};

use super::chance::chances;
use super::family::Part;
use super::hypothesis::Hypothesis;
use super::kin::Kin;
use super::likelihood::Tries;
use super::loss::{LossSite, sites, tries};
use super::path::parts;
use super::symptom::{Symptom, symptom};
use crate::NodeIndex;
use crate::judge::{Judge, Judged};
use crate::matrix::Matrix;
use crate::round::{CellIndex, Layout, Planned, PlannedCell, Target};

/// Everything the localiser knows: the cells between some of the nodes, with numbers of their own. Where it holds all
/// nodes these are the numbers of the round.
#[derive(Debug)]
pub(crate) struct Model<'a> {
    pub(crate) matrix: &'a Matrix,
    pub(crate) judge: &'a Judge<'a>,
    pub(super) layout: Layout,
    /// Nodes that stand for others that are like them.
    usual: BTreeSet<NodeIndex>,
    pub(super) asking: Vec<Asking>,
    tries: Vec<Option<Tries>>,
    judged: Vec<Judged>,
    symptoms: Vec<Option<Symptom>>,
    /// Cells that are ill, in order.
    pub(super) ill: Vec<CellIndex>,
    /// Cells of which nothing is known, but for those that are skipped.
    pub(super) unknown: Vec<CellIndex>,
    /// Places that lose a share of what crosses them.
    pub(crate) sites: Vec<LossSite>,
    /// For each cell the logarithm of the chance that it is ill by such loss alone; empty where nothing loses.
    chances: Vec<f64>,
    pub(super) kin: Kin,
}

/// Who asks what in a cell, and how.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asking {
    pub(super) from: AgentIndex,
    pub(super) target: Target,
    pub(super) kind: ProbeKind,
    /// Where its source stands.
    pub(super) node: NodeIndex,
    pub(super) plane: Plane,
    /// Where its target does, if that is an agent.
    pub(super) there: Option<(NodeIndex, Plane)>,
}

impl Asking {
    fn of(layout: &Layout, cell: CellIndex) -> Self {
        let (from, target, kind) = layout.what(cell);
        let stands = |agent| layout.source(agent).map(|source| (source.node, source.plane));
        // A cell has a source.
        let (node, plane) = stands(from).unwrap_or((NodeIndex(0), Plane::Host));
        let there = match target {
            Target::Agent(to) => stands(to),
            _ => None,
        };
        Self {
            from,
            target,
            kind,
            node,
            plane,
            there,
        }
    }
}

impl<'a> Model<'a> {
    /// The model of the cells of a layout, in which some nodes stand for others too.
    pub(crate) fn new(judge: &'a Judge<'a>, layout: Layout, usual: BTreeSet<NodeIndex>) -> Self {
        let cells = layout.cells();
        let mut model = Self {
            matrix: judge.matrix,
            judge,
            layout,
            usual,
            asking: Vec::with_capacity(cells),
            tries: Vec::with_capacity(cells),
            judged: Vec::with_capacity(cells),
            symptoms: Vec::with_capacity(cells),
            ill: Vec::new(),
            unknown: Vec::new(),
            sites: Vec::new(),
            chances: Vec::new(),
            kin: Kin::default(),
        };
        for cell in (0..cells).map(CellIndex) {
            model.asking.push(Asking::of(&model.layout, cell));
            let number = model.number(cell);
            let Asking { from, target, .. } = model.asking[cell.0];
            let judged = judge.of_asked(number, from, target);
            let symptom = match judged.state {
                CellState::Reachable | CellState::Skipped => None,
                _ => symptom(judge, number, judged),
            };
            match judged.state {
                CellState::Reachable | CellState::Skipped => {}
                _ if symptom.is_some() => model.ill.push(cell),
                _ => model.unknown.push(cell),
            }
            model.judged.push(judged);
            model.symptoms.push(symptom);
            model.tries.push(tries(&model, cell, number));
        }
        model.kin = Kin::new(&model);
        model.sites = sites(&model);
        model.chances = chances(&model, &model.sites);
        model
    }

    /// What became of datagrams between agents, of a cell of which something came back.
    pub(super) fn tries(&self, cell: CellIndex) -> Option<Tries> {
        self.tries[cell.0]
    }

    /// How much larger the round is than the model: how many times as many pairs of nodes it has.
    pub(super) fn scale(&self) -> f64 {
        let nodes = |layout: &Layout| layout.here().len().max(1) as f64;
        let times = nodes(self.matrix.round().layout()) / nodes(&self.layout);
        // With a fixed number of peers there are as many pairs as nodes.
        times.powi(if self.matrix.round().rotation().is_some() {
            1
        } else {
            2
        })
    }

    /// For how many nodes of the round a node of the model stands.
    pub(super) fn weight(&self, node: NodeIndex) -> f64 {
        if !self.usual.contains(&node) {
            return 1.0;
        }
        let whole = self.matrix.round().layout().here().len();
        let others = self.layout.here().len() - self.usual.len();
        whole.saturating_sub(others) as f64 / self.usual.len() as f64
    }

    /// The number that a cell of the model has in its round.
    pub(crate) fn number(&self, cell: CellIndex) -> CellIndex {
        let whole = self.matrix.round().layout();
        if self.holds_all() {
            cell
        } else {
            self.layout.number_in(whole, cell).unwrap_or(cell)
        }
    }

    /// Whether all nodes of the round are in the model.
    pub(crate) fn holds_all(&self) -> bool {
        self.layout.here().len() == self.matrix.round().layout().here().len()
    }

    /// The nodes of the model.
    pub(crate) fn nodes_here(&self) -> &[NodeIndex] {
        self.layout.here()
    }

    /// The agent of a node and plane, whether the model has its cells or not.
    pub(crate) fn agent_at(&self, node: NodeIndex, plane: Plane) -> Option<AgentIndex> {
        let whole = self.matrix.round().layout();
        let mut agents = whole.agents_at(node).iter().copied();
        agents.find(|agent| whole.source(*agent).is_some_and(|source| source.plane == plane))
    }

    /// All cells of the model, in order.
    pub(crate) fn cells(&self) -> impl Iterator<Item = CellIndex> + use<> {
        (0..self.layout.cells()).map(CellIndex)
    }

    /// What was observed of a cell, as far as it is kept.
    pub(crate) fn observation(&self, cell: CellIndex) -> Option<Cow<'a, Observation>> {
        self.matrix.observation(self.number(cell))
    }

    /// How a cell failed.
    pub(crate) fn failure(&self, cell: CellIndex) -> Option<&'a Failure> {
        self.matrix.failure(self.number(cell))
    }

    /// How many cells loss alone is likely to have made wholly ill, of all that cross places which lose a share.
    pub(super) fn expected_by_chance(&self) -> f64 {
        self.chances.iter().map(|chance| chance.exp()).sum()
    }

    /// The logarithm of the chance that a cell is ill by the loss of places it crosses.
    pub(super) fn ln_chance_of(&self, cell: CellIndex) -> f64 {
        self.chances.get(cell.0).copied().unwrap_or(f64::NEG_INFINITY)
    }

    /// On how many flows a cell is tried.
    pub(super) fn flows(&self, cell: CellIndex) -> u32 {
        self.planned(cell).flows
    }

    pub(super) fn planned(&self, cell: CellIndex) -> Planned {
        let asking = &self.asking[cell.0];
        self.matrix
            .round()
            .planned(asking.from, asking.target, asking.kind)
    }

    /// Whether chance may have made a cell ill that crosses a place which loses a share: it is not so rare that one
    /// among all cells would be a wonder.
    pub(crate) fn may_be_chance(&self, cell: CellIndex) -> bool {
        #[expect(clippy::cast_precision_loss, reason = "a count of cells, far below 2^52")]
        let cells = self.matrix.round().all_tried().max(1) as f64;
        self.ln_chance_of(cell) > (0.01 / cells).ln()
    }

    /// The place that loses, if it is one of those.
    pub(crate) fn site(&self, hypothesis: &Hypothesis) -> Option<&LossSite> {
        self.sites.iter().find(|site| site.hypothesis == *hypothesis)
    }

    pub(crate) fn cell(&self, cell: CellIndex) -> PlannedCell {
        self.matrix.round().cell(self.number(cell))
    }

    /// What a cell asks.
    pub(crate) fn target(&self, cell: CellIndex) -> Target {
        self.asking[cell.0].target
    }

    pub(crate) fn judged(&self, cell: CellIndex) -> Judged {
        self.judged[cell.0]
    }

    pub(crate) fn symptom(&self, cell: CellIndex) -> Option<Symptom> {
        self.symptoms[cell.0]
    }

    /// The parts that a cell crosses, and whether it must.
    pub(crate) fn parts_of(&self, cell: CellIndex) -> Vec<(Part, bool)> {
        let mut found = Vec::new();
        self.find_parts(cell, &mut found);
        found
    }

    pub(super) fn find_parts(&self, cell: CellIndex, found: &mut Vec<(Part, bool)>) {
        let asking = &self.asking[cell.0];
        found.clear();
        parts(&self.layout, asking.from, asking.target, |part, certain| {
            found.push((part, certain));
        });
    }

    /// Whether something is known of the cell.
    pub(crate) fn observed(&self, cell: CellIndex) -> bool {
        match self.judged(cell).state {
            CellState::Unknown | CellState::Skipped => false,
            // Not whole and without a symptom: an agent was starved.
            CellState::Degraded | CellState::Failed => self.symptom(cell).is_some(),
            CellState::Reachable => true,
        }
    }

    /// The plane that a cell's source stands in.
    #[expect(clippy::unnecessary_wraps, reason = "as of a target")]
    pub(crate) fn plane_from(&self, cell: CellIndex) -> Option<Plane> {
        Some(self.asking[cell.0].plane)
    }

    /// The plane that a cell's target stands in, where it is an agent.
    pub(crate) fn plane_to(&self, cell: CellIndex) -> Option<Plane> {
        self.asking[cell.0].there.map(|(_, plane)| plane)
    }

    /// Those of the cells that go from one node to another, by the two, the lower first.
    pub(crate) fn by_pair(
        &self,
        cells: impl IntoIterator<Item = CellIndex>,
    ) -> BTreeMap<(NodeIndex, NodeIndex), Vec<CellIndex>> {
        let mut by_pair: BTreeMap<_, Vec<CellIndex>> = BTreeMap::new();
        for cell in cells {
            if let (Some(from), Some(to)) = self.nodes(cell)
                && from != to
            {
                by_pair
                    .entry((from.min(to), from.max(to)))
                    .or_default()
                    .push(cell);
            }
        }
        by_pair
    }

    /// The nodes that a cell's source and target stand on; the target's only where it is an agent.
    pub(crate) fn nodes(&self, cell: CellIndex) -> (Option<NodeIndex>, Option<NodeIndex>) {
        let asking = &self.asking[cell.0];
        (Some(asking.node), asking.there.map(|(node, _)| node))
    }

    /// Whether pod packets are known to travel inside UDP between the nodes.
    pub(crate) fn overlay_rides_on_udp(&self) -> bool {
        self.matrix
            .round()
            .roster()
            .cluster
            .overlay
            .is_some_and(crate::Overlay::rides_on_udp)
    }

    /// Whether a cell goes from an agent in a pod to another.
    pub(crate) fn is_between_pods(&self, cell: CellIndex) -> bool {
        self.plane_from(cell) == Some(Plane::Pod) && self.plane_to(cell) == Some(Plane::Pod)
    }

    /// Whether a cell goes from node to node with node addresses only.
    pub(crate) fn host_to_host(&self, cell: CellIndex) -> bool {
        self.plane_from(cell) == Some(Plane::Host) && self.plane_to(cell) == Some(Plane::Host)
    }

    pub(crate) fn kind(&self, cell: CellIndex) -> ProbeKind {
        self.asking[cell.0].kind
    }
}
