//! The model that hypotheses are tried against: cells, their symptoms, and the parts that they cross.

use std::collections::{BTreeMap, BTreeSet};

use mesh_proto::{CellState, Plane, ProbeKind};

use super::chance::chances;
use super::family::{Family, Filter, Init, Part, Scope};
use super::hypothesis::Hypothesis;
use super::kin::Kin;
use super::loss::{LossSite, sites};
use super::path::parts;
use super::symptom::{Symptom, protocol_of};
use crate::NodeIndex;
use crate::judge::Judged;
use crate::matrix::Matrix;
use crate::round::{CellIndex, PlannedCell, Target};

/// Everything the localiser knows.
#[derive(Debug)]
pub(crate) struct Model<'a> {
    pub(crate) matrix: &'a Matrix,
    pub(crate) judged: &'a [Judged],
    pub(crate) symptoms: Vec<Option<Symptom>>,
    /// The cells that cross each part, and whether they must.
    crossings: BTreeMap<Part, Vec<(CellIndex, bool)>>,
    /// The parts of a family that touch a node.
    at_node: BTreeMap<(Family, NodeIndex), BTreeSet<Part>>,
    parts_of_cell: Vec<Vec<(Part, bool)>>,
    /// Places that lose a share of what crosses them.
    pub(crate) sites: Vec<LossSite>,
    /// For each cell the logarithm of the chance that it is ill by such loss alone.
    chances: Vec<f64>,
    pub(super) kin: Kin,
}

impl<'a> Model<'a> {
    pub(crate) fn new(matrix: &'a Matrix, judged: &'a [Judged], symptoms: Vec<Option<Symptom>>) -> Self {
        let parts_of_cell: Vec<_> = matrix
            .round()
            .cells()
            .iter()
            .map(|cell| parts(matrix, cell))
            .collect();
        let mut crossings: BTreeMap<Part, Vec<(CellIndex, bool)>> = BTreeMap::new();
        let mut at_node: BTreeMap<(Family, NodeIndex), BTreeSet<Part>> = BTreeMap::new();
        for (number, parts) in parts_of_cell.iter().enumerate() {
            for (part, certain) in parts {
                crossings
                    .entry(*part)
                    .or_default()
                    .push((CellIndex(number), *certain));
                for node in [part.from, part.to] {
                    at_node.entry((part.family, node)).or_default().insert(*part);
                }
            }
        }
        let mut model = Self {
            matrix,
            judged,
            symptoms,
            crossings,
            at_node,
            parts_of_cell,
            sites: Vec::new(),
            chances: Vec::new(),
            kin: Kin::default(),
        };
        model.kin = Kin::new(&model);
        model.sites = sites(&model);
        model.chances = chances(&model, &model.sites);
        model
    }

    /// The logarithm of the chance that all these cells are ill by the loss of places they cross, and nothing else.
    pub(crate) fn ln_chance(&self, cells: impl IntoIterator<Item = CellIndex>) -> f64 {
        cells.into_iter().map(|cell| self.chances[cell.0]).sum()
    }

    /// Whether chance may have made a cell ill that crosses a place which loses a share: it is not so rare that one
    /// among all cells would be a wonder.
    pub(crate) fn may_be_chance(&self, cell: CellIndex) -> bool {
        #[expect(clippy::cast_precision_loss, reason = "a count of cells, far below 2^52")]
        let cells = self.judged.len().max(1) as f64;
        self.chances[cell.0] > (0.01 / cells).ln()
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

    pub(crate) fn parts_of(&self, cell: CellIndex) -> &[(Part, bool)] {
        &self.parts_of_cell[cell.0]
    }

    /// Whether something is known of the cell.
    pub(crate) fn observed(&self, cell: CellIndex) -> bool {
        !matches!(self.judged(cell).state, CellState::Unknown | CellState::Skipped)
    }

    /// The plane that a cell's source stands in.
    pub(crate) fn plane_from(&self, cell: CellIndex) -> Option<Plane> {
        self.matrix
            .round()
            .roster()
            .agent(self.cell(cell).from)
            .map(|agent| agent.key.plane)
    }

    /// The plane that a cell's target stands in, where it is an agent.
    pub(crate) fn plane_to(&self, cell: CellIndex) -> Option<Plane> {
        match self.cell(cell).target {
            Target::Agent(to) => self
                .matrix
                .round()
                .roster()
                .agent(to)
                .map(|agent| agent.key.plane),
            _ => None,
        }
    }

    /// The nodes that a cell's source and target stand on; the target's only where it is an agent.
    pub(crate) fn nodes(&self, cell: CellIndex) -> (Option<NodeIndex>, Option<NodeIndex>) {
        let roster = self.matrix.round().roster();
        let node = |index| {
            roster
                .agent(index)
                .and_then(|agent| roster.node_index(&agent.key.node))
        };
        let to = match self.cell(cell).target {
            Target::Agent(to) => node(to),
            _ => None,
        };
        (node(self.cell(cell).from), to)
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
        let mut add = |part: &Part| {
            if !part.is_in(scope, init) {
                return;
            }
            for (cell, certain) in self.crossings.get(part).into_iter().flatten() {
                if self.passes(*cell, filter) {
                    *cells.entry(*cell).or_insert(false) |= *certain;
                }
            }
        };
        match scope {
            Scope::Node(node) | Scope::Pair(node, _) => {
                self.at_node
                    .get(&(family, *node))
                    .into_iter()
                    .flatten()
                    .for_each(&mut add);
            }
            Scope::OwnNode | Scope::OtherNodes | Scope::Group(_) | Scope::Cluster => {
                self.crossings
                    .keys()
                    .filter(|part| part.family == family)
                    .for_each(&mut add);
            }
        }
        cells
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
