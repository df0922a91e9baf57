//! A run in which many agents did not get the CPU that they needed: what timed out in it may have timed out at them.

use std::collections::BTreeSet;

use mesh_proto::{AgentIndex, Cause, CellState, Confidence, Reason, Where};

use super::Draft;
use crate::judge::starved;
use crate::localise::Model;

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
    let cells = matrix.round().cells().iter().zip(matrix.observations());
    let by_probe: BTreeSet<AgentIndex> = cells
        .filter(|(_, seen)| seen.as_ref().is_some_and(|seen| seen.starved))
        .map(|(cell, _)| cell.from)
        .collect();
    let present = matrix
        .round()
        .roster()
        .indexed()
        .filter(|(_, agent)| agent.prepared().is_some());
    present.fold((0, 0), |(starving, all), (index, _)| {
        let is_starved = starved(matrix, index) || by_probe.contains(&index);
        (starving + usize::from(is_starved), all + 1)
    })
}

fn is_only_late(model: &Model<'_>, draft: &Draft) -> bool {
    let nowhere =
        draft.place.nodes.is_empty() && draft.place.pairs.is_empty() && draft.cause == Cause::Unknown;
    nowhere
        && draft
            .explains
            .iter()
            .all(|cell| model.judged(*cell).state == CellState::Degraded)
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
