//! The model that hypotheses are tried against: cells, their symptoms, and the parts that they cross.

use std::collections::BTreeMap;

use mesh_proto::{AgentIndex, CellState, Plane, ProbeKind};

use super::chance::chances;
use super::family::{Family, Filter, Init, Part, Scope};
use super::hypothesis::Hypothesis;
use super::kin::Kin;
use super::layout::Layout;
use super::likelihood::Planned;
use super::loss::{LossSite, planned, sites};
use super::path::{parts, parts_between};
use super::symptom::{Symptom, protocol_of};
use crate::NodeIndex;
use crate::judge::Judged;
use crate::matrix::Matrix;
use crate::round::{CellIndex, PlannedCell, Target};

/// Everything the localiser knows. Being whole is the rule: only cells that are not, or are not known, are kept one by one.
#[derive(Debug)]
pub(crate) struct Model<'a> {
    pub(crate) matrix: &'a Matrix,
    pub(crate) judged: &'a [Judged],
    pub(crate) symptoms: Vec<Option<Symptom>>,
    pub(super) layout: Layout<'a>,
    /// Cells that are ill, in order.
    pub(super) ill: Vec<CellIndex>,
    /// Cells of which nothing is known, but for those that are skipped.
    pub(super) unknown: Vec<CellIndex>,
    /// Places that lose a share of what crosses them.
    pub(crate) sites: Vec<LossSite>,
    /// For each cell the logarithm of the chance that it is ill by such loss alone; empty where nothing loses.
    chances: Vec<f64>,
    /// How each cell was to be tried.
    planned: Vec<Planned>,
    pub(super) kin: Kin,
}

impl<'a> Model<'a> {
    pub(crate) fn new(matrix: &'a Matrix, judged: &'a [Judged], symptoms: Vec<Option<Symptom>>) -> Self {
        let mut model = Self {
            matrix,
            judged,
            symptoms,
            layout: Layout::new(matrix),
            ill: Vec::new(),
            unknown: Vec::new(),
            sites: Vec::new(),
            chances: Vec::new(),
            planned: planned(matrix.round()),
            kin: Kin::default(),
        };
        for (number, judged) in judged.iter().enumerate() {
            let cell = CellIndex(number);
            match judged.state {
                CellState::Reachable | CellState::Skipped => {}
                _ if model.symptom(cell).is_some() => model.ill.push(cell),
                _ => model.unknown.push(cell),
            }
        }
        model.kin = Kin::new(&model);
        model.sites = sites(&model);
        model.chances = chances(&model, &model.sites);
        model
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
        self.planned[cell.0].flows
    }

    pub(super) fn planned(&self, cell: CellIndex) -> Planned {
        self.planned[cell.0]
    }

    /// Whether chance may have made a cell ill that crosses a place which loses a share: it is not so rare that one
    /// among all cells would be a wonder.
    pub(crate) fn may_be_chance(&self, cell: CellIndex) -> bool {
        #[expect(clippy::cast_precision_loss, reason = "a count of cells, far below 2^52")]
        let cells = self.judged.len().max(1) as f64;
        self.ln_chance_of(cell) > (0.01 / cells).ln()
    }

    /// The place that loses, if it is one of those.
    pub(crate) fn site(&self, hypothesis: &Hypothesis) -> Option<&LossSite> {
        self.sites.iter().find(|site| site.hypothesis == *hypothesis)
    }

    pub(crate) fn cell(&self, cell: CellIndex) -> &'a PlannedCell {
        &self.matrix.round().cells()[cell.0]
    }

    pub(crate) fn judged(&self, cell: CellIndex) -> &'a Judged {
        &self.judged[cell.0]
    }

    pub(crate) fn symptom(&self, cell: CellIndex) -> Option<Symptom> {
        self.symptoms[cell.0]
    }

    /// The parts that a cell crosses, and whether it must.
    pub(crate) fn parts_of(&self, cell: CellIndex) -> Vec<(Part, bool)> {
        let mut found = Vec::new();
        parts(&self.layout, self.cell(cell), &mut found);
        found
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
    pub(crate) fn plane_from(&self, cell: CellIndex) -> Option<Plane> {
        self.layout
            .source(self.cell(cell).from)
            .map(|source| source.plane)
    }

    /// The plane that a cell's target stands in, where it is an agent.
    pub(crate) fn plane_to(&self, cell: CellIndex) -> Option<Plane> {
        match self.cell(cell).target {
            Target::Agent(to) => self.layout.source(to).map(|target| target.plane),
            _ => None,
        }
    }

    /// The nodes that a cell's source and target stand on; the target's only where it is an agent.
    pub(crate) fn nodes(&self, cell: CellIndex) -> (Option<NodeIndex>, Option<NodeIndex>) {
        self.layout.ends(self.cell(cell))
    }

    /// The cells that cross a place, and whether each must.
    pub(crate) fn crossing(
        &self,
        family: Family,
        scope: &Scope,
        init: Init,
        filter: Filter,
    ) -> BTreeMap<CellIndex, bool> {
        let mut cells = BTreeMap::new();
        let place = Hypothesis {
            scope: scope.clone(),
            family,
            init,
            filter,
        };
        self.each_crossing(&place, |cell, certain| {
            cells.insert(cell, certain);
        });
        cells
    }

    /// Whether a cell crosses a place; then whether it must.
    pub(super) fn crosses(&self, cell: CellIndex, place: &Hypothesis) -> Option<bool> {
        let mut parts = Vec::new();
        self.crosses_by(cell, place, &mut parts)
    }

    fn crosses_by(&self, cell: CellIndex, place: &Hypothesis, found: &mut Vec<(Part, bool)>) -> Option<bool> {
        if !self.passes(cell, place.filter) {
            return None;
        }
        parts(&self.layout, self.cell(cell), found);
        let inside = found
            .iter()
            .filter(|(part, _)| part.family == place.family && part.is_in(&place.scope, place.init));
        inside
            .map(|(_, certain)| *certain)
            .reduce(|some, other| some || other)
    }

    /// Calls for each cell that crosses a place, with whether it must; each once, in any order.
    pub(super) fn each_crossing(&self, place: &Hypothesis, mut call: impl FnMut(CellIndex, bool)) {
        let mut parts = Vec::with_capacity(32);
        self.each_near(&place.scope, |cell| {
            if let Some(certain) = self.crosses_by(cell, place, &mut parts) {
                call(cell, certain);
            }
        });
    }

    /// Calls for each cell between agents that must cross a place, each once.
    pub(super) fn each_between_agents(&self, place: &Hypothesis, mut call: impl FnMut(CellIndex)) {
        let layout = &self.layout;
        let mut found = Vec::with_capacity(16);
        let mut look = |from: AgentIndex, to: AgentIndex| {
            let (Some(source), Some(target)) = (layout.source(from), layout.source(to)) else {
                return;
            };
            parts_between(
                layout,
                (source.node, source.plane),
                (target.node, target.plane),
                &mut found,
            );
            let must = found.iter().any(|(part, certain)| {
                *certain && part.family == place.family && part.is_in(&place.scope, place.init)
            });
            if must {
                let cells = layout.between(from, to).map(CellIndex);
                cells
                    .filter(|cell| self.passes(*cell, place.filter))
                    .for_each(&mut call);
            }
        };
        match &place.scope {
            Scope::Node(node) => {
                for here in layout.agents_at(*node) {
                    for (other, of) in layout.sources() {
                        look(*here, other);
                        if of.node != *node {
                            look(other, *here);
                        }
                    }
                }
            }
            Scope::Pair(a, b) => {
                for (here, there) in layout
                    .agents_at(*a)
                    .iter()
                    .flat_map(|here| layout.agents_at(*b).iter().map(move |there| (here, there)))
                {
                    look(*here, *there);
                    look(*there, *here);
                }
            }
            Scope::OwnNode | Scope::OtherNodes | Scope::Group(_) | Scope::Cluster => {
                for (from, _) in layout.sources() {
                    for (to, _) in layout.sources() {
                        look(from, to);
                    }
                }
            }
        }
    }

    /// Calls for each cell that could cross a place, each once.
    fn each_near(&self, scope: &Scope, mut call: impl FnMut(CellIndex)) {
        let layout = &self.layout;
        let (first, second) = match scope {
            Scope::Node(node) => (*node, None),
            Scope::Pair(a, b) => (*a, Some(*b)),
            Scope::OwnNode | Scope::OtherNodes | Scope::Group(_) | Scope::Cluster => {
                (0..self.judged.len()).map(CellIndex).for_each(call);
                return;
            }
        };
        let is_end = |node: NodeIndex| node == first || Some(node) == second;
        let serves = |nodes: &[NodeIndex]| nodes.iter().any(|node| is_end(*node));
        let serves_others = serves(&layout.api) || layout.dns.iter().flatten().any(|node| is_end(*node));
        let ends: Vec<NodeIndex> = [Some(first), second].into_iter().flatten().collect();
        let may_be_anywhere = serves_others || layout.backends.iter().any(|(nodes, _)| serves(nodes));
        let anywhere = second.is_none() || may_be_anywhere;
        for (agent, source) in layout.sources() {
            if !anywhere && !is_end(source.node) {
                continue;
            }
            if second.is_none() && source.node == first {
                source.row.clone().map(CellIndex).for_each(&mut call);
                continue;
            }
            // Between the ends of a pair; to a node from anywhere.
            let targets = ends
                .iter()
                .filter(|node| second.is_none() || is_end(source.node) && **node != source.node);
            for target in targets.flat_map(|node| layout.agents_at(*node)) {
                layout.between(agent, *target).map(CellIndex).for_each(&mut call);
            }
            let services = layout.services(source);
            let node_ports = layout.all_node_ports(source);
            let from_end = is_end(source.node);
            if from_end || serves_others {
                (services.start..node_ports.start)
                    .map(CellIndex)
                    .for_each(&mut call);
            }
            for (rank, service) in layout.node_ports.iter().enumerate() {
                let (backends, is_local) = &layout.backends[*service];
                if from_end || serves(backends) && !is_local {
                    let all = (0..layout.nodes()).map(NodeIndex);
                    all.map(|on| layout.node_port(source, rank, on))
                        .for_each(&mut call);
                } else {
                    let entries = ends.iter();
                    entries
                        .map(|on| layout.node_port(source, rank, *on))
                        .for_each(&mut call);
                }
            }
        }
    }

    fn passes(&self, cell: CellIndex, filter: Filter) -> bool {
        let kind = self.cell(cell).kind;
        filter
            .protocol
            .is_none_or(|protocol| protocol_of(kind) == protocol)
            && filter
                .from
                .is_none_or(|plane| self.plane_from(cell) == Some(plane))
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

    /// Whether a cell goes from node to node with node addresses only.
    pub(crate) fn host_to_host(&self, cell: CellIndex) -> bool {
        self.plane_from(cell) == Some(Plane::Host) && self.plane_to(cell) == Some(Plane::Host)
    }

    pub(crate) fn kind(&self, cell: CellIndex) -> ProbeKind {
        self.cell(cell).kind
    }
}
