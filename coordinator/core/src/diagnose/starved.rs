//! A run in which many agents did not get the CPU that they needed: what timed out in it may have timed out at them.

use std::collections::{BTreeSet, HashSet};

use mesh_proto::{Cause, CellState, Confidence, Reason, Where};

use super::Draft;
use crate::NodeIndex;
use crate::judge::starved;
use crate::localise::Model;
use crate::round::{CellIndex, Target};

/// A considerable share of agents: one in so many.
const ONE_IN: usize = 5;

/// Takes back what cannot be claimed in such a run: nothing is more than possible, and time-outs alone are no filter.
pub(super) fn doubt(model: &Model<'_>, drafts: Vec<Draft>) -> Vec<Draft> {
    let (starved, all) = agents(model);
    if starved * ONE_IN < all || starved == 0 {
        return drafts;
    }
    let evidence = format!(
        "{starved} of {all} agents were starved of CPU or buffers while they probed: what timed out may have timed out at them. Run again with less load."
    );
    let (filters, mut kept): (Vec<Draft>, Vec<Draft>) = drafts
        .into_iter()
        .partition(|draft| draft.cause == Cause::ProtocolFiltered && only_timed_out(model, draft));
    if let Some(one) = together(filters) {
        kept.push(one);
    }
    // What came late at no place came late to agents that were late themselves.
    kept.retain(|draft| !is_only_late(model, draft));
    for draft in kept.iter_mut().filter(|draft| !draft.shown) {
        draft.confidence = Confidence::Possible;
        draft.evidence.insert(0, evidence.clone());
    }
    kept
}

/// How many agents were starved, of how many that took part.
fn agents(model: &Model<'_>) -> (usize, usize) {
    let matrix = model.matrix;
    let present = matrix
        .round()
        .roster()
        .indexed()
        .filter(|(_, agent)| agent.prepared().is_some());
    present.fold((0, 0), |(starving, all), (index, _)| {
        let in_a_probe = || {
            matrix
                .agent(index)
                .is_some_and(|record| record.starved_in_a_probe)
        };
        let is_starved = starved(matrix, index) || in_a_probe();
        (starving + usize::from(is_starved), all + 1)
    })
}

/// Whether all that a draft is about came through, late or in part, and nothing says more than that: at no place, or while most
/// cells of the kind there are whole.
fn is_only_late(model: &Model<'_>, draft: &Draft) -> bool {
    let is_share = matches!(
        draft.cause,
        Cause::Unknown | Cause::Slow | Cause::RandomLoss | Cause::FlowLoss
    );
    let is_late = |cell: &CellIndex| model.judged(*cell).state == CellState::Degraded;
    is_share
        && !draft.shown
        && draft.explains.iter().all(is_late)
        && (is_nowhere(draft) || is_sporadic(model, draft))
}

fn is_nowhere(draft: &Draft) -> bool {
    draft.place.nodes.is_empty() && draft.place.pairs.is_empty() && draft.cause == Cause::Unknown
}

/// Whether more cells of the same kinds, the same way at the same nodes, are whole. A slow machine or a lossy wire spares few
/// of them.
fn is_sporadic(model: &Model<'_>, draft: &Draft) -> bool {
    let roster = model.matrix.round().roster();
    let pairs = draft.place.pairs.iter().flat_map(|(from, to)| [from, to]);
    let names = draft.place.nodes.iter().chain(pairs);
    let nodes: BTreeSet<NodeIndex> = names.filter_map(|name| roster.node_index(name)).collect();
    let kind = |cell: CellIndex| {
        let (from, to) = model.nodes(cell);
        let target = model.target(cell);
        let to = match target {
            Target::NodePort { node, .. } => Some(node),
            _ => to,
        };
        let is_there = |node: Option<NodeIndex>| node.is_some_and(|node| nodes.contains(&node));
        (
            model.kind(cell),
            std::mem::discriminant(&target),
            is_there(from),
            is_there(to),
        )
    };
    let kinds: HashSet<_> = draft.explains.iter().map(|cell| kind(*cell)).collect();
    let whole = model
        .cells()
        .filter(|cell| model.judged(*cell).state == CellState::Reachable && kinds.contains(&kind(*cell)));
    whole.count() > draft.explains.len()
}

fn only_timed_out(model: &Model<'_>, draft: &Draft) -> bool {
    draft.explains.iter().all(|cell| {
        matches!(
            model.judged(*cell).seen(),
            None | Some(Reason::Timeout | Reason::DataStalled)
        )
    })
}

/// One finding for all of them, at no place.
fn together(filters: Vec<Draft>) -> Option<Draft> {
    let mut filters = filters.into_iter();
    let mut one = filters.next()?;
    for other in filters {
        one.explains.extend(other.explains);
        one.evidence.extend(other.evidence);
    }
    one.cause = Cause::Unknown;
    one.place = Where::default();
    one.summary = format!(
        "{} cells timed out in a run whose agents were starved: there is no telling whether the network lost anything.",
        one.explains.len()
    );
    one.advice = vec!["Run again when the machines are less busy, or give the agents more CPU.".to_owned()];
    Some(one)
}
