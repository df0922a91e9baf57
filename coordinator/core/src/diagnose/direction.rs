//! Which direction loses: the far agents say what arrived.
//!
//! A round trip that fails does not tell whether the request or the answer was lost. Each agent counts the requests it
//! receives from each peer, so a request that arrived and was not answered was lost on the way back.

use mesh_proto::{Direction, ProbeKind};

use crate::NodeIndex;
use crate::localise::Model;
use crate::round::{CellIndex, Target};

/// What the counters say of a set of cells around one node.
pub(super) fn around(model: &Model<'_>, cells: &[CellIndex], node: NodeIndex) -> Option<Direction> {
    let (mut ingress, mut egress) = (0_usize, 0_usize);
    for cell in cells {
        let (Some(from), Some(to)) = model.nodes(*cell) else {
            continue;
        };
        let Some(request_lost) = request_lost(model, *cell) else {
            continue;
        };
        // A lost request of ours, or a lost answer of ours, was lost going out.
        let out = if from == node { request_lost } else { !request_lost };
        if to != node && from != node {
            continue;
        }
        *(if out { &mut egress } else { &mut ingress }) += 1;
    }
    // Of a few cells another fault may be the reason.
    let counts = |some: usize, other: usize| some > 0 && some * 5 > other;
    match (counts(ingress, egress), counts(egress, ingress)) {
        (true, true) => Some(Direction::Both),
        (true, false) => Some(Direction::Ingress),
        (false, true) => Some(Direction::Egress),
        (false, false) => None,
    }
}

/// Which of the two directions between two nodes lose: (from `a` to `b`, from `b` to `a`).
pub(super) fn between(model: &Model<'_>, cells: &[CellIndex], a: NodeIndex, b: NodeIndex) -> (bool, bool) {
    let (mut there, mut back) = (false, false);
    for cell in cells {
        let nodes = model.nodes(*cell);
        let Some(request_lost) = request_lost(model, *cell) else {
            continue;
        };
        if nodes == (Some(a), Some(b)) {
            if request_lost { there = true } else { back = true }
        } else if nodes == (Some(b), Some(a)) {
            if request_lost { back = true } else { there = true }
        }
    }
    (there, back)
}

/// Whether the requests of a dead UDP cell did not arrive; `None` where the far agent could not be asked.
fn request_lost(model: &Model<'_>, cell: CellIndex) -> Option<bool> {
    if model.kind(cell) != ProbeKind::Udp {
        return None;
    }
    let Target::Agent(to) = model.cell(cell).target else {
        return None;
    };
    let arrived = model.matrix.arrived(model.cell(cell).from, to, ProbeKind::Udp)?;
    Some(arrived == 0)
}
