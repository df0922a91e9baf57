//! From places to findings: each place gets the name of its cause, with the evidence, how sure that is, and what to
//! type next. What no signature fits is `unknown`: a wrong culprit is worse than none.

mod direction;
mod evidence;
mod legs;
mod loss;
mod merge;
mod mtu;
mod network;
mod place;
mod protocol;
mod service;
mod side_effects;
mod starved;

use mesh_proto::{Cause, CellState, Confidence, Finding, Severity, Where};

use crate::assemble::Located;
use crate::localise::{Model, Pick, Place, Symptom};
use crate::round::CellIndex;
use crate::verdict::excused_icmp;

/// A finding while it is being written.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    pub(crate) cause: Cause,
    pub(crate) place: Where,
    pub(crate) confidence: Confidence,
    pub(crate) summary: String,
    pub(crate) evidence: Vec<String>,
    pub(crate) advice: Vec<String>,
    pub(crate) explains: Vec<CellIndex>,
}

/// Names the causes of all places.
pub(crate) fn diagnose(model: &Model<'_>, picks: &[Pick]) -> Located {
    let drafts: Vec<Draft> = picks.iter().map(|pick| name(model, pick)).collect();
    let mut drafts = starved::doubt(model, merge::merge(model, drafts));
    drafts.sort_by_key(|draft| std::cmp::Reverse(draft.explains.len()));
    let excused = excused_icmp(model.matrix, model.judged);
    let red = |cell: &CellIndex| model.judged(*cell).state == CellState::Failed && !excused.contains(cell);
    let findings = drafts.into_iter().map(|draft| Finding {
        severity: if draft.explains.iter().any(red) {
            Severity::Failure
        } else {
            Severity::Warning
        },
        explains: u32::try_from(draft.explains.len()).unwrap_or(u32::MAX),
        cause: draft.cause,
        place: draft.place,
        confidence: draft.confidence,
        summary: draft.summary,
        evidence: draft.evidence,
        advice: draft.advice,
        ruled_out: Vec::new(),
    });
    // Whatever no place explains stands under a finding of its own, with the cause `unknown`.
    Located {
        findings: findings.collect(),
        unexplained: 0,
    }
}

fn name(model: &Model<'_>, pick: &Pick) -> Draft {
    let hypothesis = match &pick.place {
        Place::Down(node) => return network::node_down(model, pick, *node),
        Place::Nowhere => return network::nowhere(model, pick),
        Place::At(hypothesis) => hypothesis,
    };
    match pick.symptom {
        Symptom::Large => mtu::mtu(model, pick, hypothesis),
        Symptom::Partial => loss::loss(model, pick, hypothesis),
        Symptom::Dead if hypothesis.filter.protocol.is_some() => protocol::protocol(model, pick, hypothesis),
        Symptom::Dead => service::service(model, pick, hypothesis)
            .unwrap_or_else(|| network::network(model, pick, hypothesis)),
    }
}

#[cfg(test)]
mod tests;
