//! Signatures: for each cause what must be seen at a place, what must not, and how sure that makes it. The table is in
//! [`super`]; a cause is added by one row there and one function in the file of its family.

use mesh_proto::{Cause, Confidence, Where};

use super::evidence::evidence;
use super::scene::Scene;
use super::{Draft, unknown};

/// How one cause shows.
pub(super) struct Signature {
    cause: Cause,
    opinion: fn(&Scene<'_>) -> Opinion,
}

impl Signature {
    pub(super) const fn new(cause: Cause, opinion: fn(&Scene<'_>) -> Opinion) -> Self {
        Self { cause, opinion }
    }
}

/// What a signature says of a place.
pub(super) enum Opinion {
    /// Not of this kind of place.
    Elsewhere,
    /// It would be of this kind, but something speaks against it, in words.
    Against(String),
    /// It fits.
    For(Box<Case>),
}

/// A cause that fits.
pub(super) struct Case {
    pub(super) proof: Proof,
    pub(super) place: Where,
    /// One sentence that a tired person understands.
    pub(super) summary: String,
    /// What speaks for it, besides the cells.
    pub(super) evidence: Vec<String>,
    pub(super) advice: Vec<String>,
}

/// How strong a case is. The order is the order of strength.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Proof {
    /// The cells look so, as they would with other causes.
    Fits,
    /// The cells look so, and what else looks so is not to be expected or was ruled out.
    Likely,
    /// A packet or a kernel said so.
    Shown,
}

impl From<Case> for Opinion {
    fn from(case: Case) -> Self {
        Self::For(Box::new(case))
    }
}

/// Causes that a kernel tells of by a setting, an entry or a rule of its own, so that two of them at one place are two faults.
const SAID_BY_KERNELS: [Cause; 15] = [
    Cause::ReversePathFilter,
    Cause::RoutingLoop,
    Cause::ConntrackFull,
    Cause::LocalEgressBlocked,
    Cause::NeighbourStale,
    Cause::IptablesSplit,
    Cause::IpForwardOff,
    Cause::PolicyBlocked,
    Cause::ForwardRejected,
    Cause::ForwardDropped,
    Cause::PodRoutesMissing,
    Cause::OverlayDeviceDown,
    Cause::OverlayPortMismatch,
    Cause::OverlayPeerStale,
    Cause::OverlayPortBlocked,
];

/// Names a place's cause: the strongest case; what is as strong makes it doubtful and is named beside it. What kernels say of
/// another fault at the same place is a finding beside it, with a half of the cells: each of the two alone would look so.
pub(super) fn name(scene: &Scene<'_>, signatures: &[&[Signature]]) -> Vec<Draft> {
    let mut cases: Vec<(Cause, Case)> = Vec::new();
    let mut ruled_out = Vec::new();
    for Signature { cause, opinion } in signatures.iter().copied().flatten() {
        match opinion(scene) {
            Opinion::Elsewhere => {}
            Opinion::Against(why) => ruled_out.push(format!("{cause}: {why}")),
            Opinion::For(fitting) => cases.push((*cause, *fitting)),
        }
    }
    // Stable: of equals the one that stands first in the table comes first.
    cases.sort_by_key(|(_, case)| std::cmp::Reverse(case.proof));
    let mut cases = cases.into_iter();
    let Some((cause, best)) = cases.next() else {
        return vec![Draft {
            ruled_out,
            ..unknown::unknown(scene)
        }];
    };
    let rivals = cases.filter(|(other, rival)| rival.proof == best.proof && *other != cause);
    let (beside, rivals): (Vec<_>, Vec<_>) = rivals.partition(|(other, rival)| {
        best.proof == Proof::Shown
            && [cause, *other].iter().all(|of| SAID_BY_KERNELS.contains(of))
            && !rival.evidence.iter().any(|words| best.evidence.contains(words))
    });
    let rivals: Vec<Cause> = rivals.into_iter().map(|(other, _)| other).collect();
    let confidence = match best.proof {
        Proof::Shown if rivals.is_empty() && beside.is_empty() => Confidence::Certain,
        Proof::Shown => Confidence::Likely,
        Proof::Likely if rivals.is_empty() => Confidence::Likely,
        Proof::Likely | Proof::Fits => Confidence::Possible,
    };
    // What decides comes first: at three in the morning nobody reads to the end.
    let mut words = best.evidence;
    if !rivals.is_empty() {
        let names: Vec<String> = rivals.iter().map(ToString::to_string).collect();
        words.push(format!("It looks the same as {}.", names.join(", ")));
    }
    words.extend(evidence(scene.model, &scene.pick.explains));
    let first = Draft {
        cause,
        place: best.place,
        confidence,
        summary: best.summary,
        evidence: words,
        advice: best.advice,
        ruled_out,
        shown: best.proof == Proof::Shown,
        at_no_place: false,
        explains: scene.pick.explains.clone(),
    };
    with_those_beside(first, beside)
}

/// The finding, and one for each of the other faults at its place, so far as there are cells for them.
fn with_those_beside(mut first: Draft, beside: Vec<(Cause, Case)>) -> Vec<Draft> {
    let mut drafts = Vec::new();
    for (cause, case) in beside {
        let half = first.explains.len() / 2;
        if half == 0 {
            break;
        }
        let mut evidence = case.evidence;
        evidence.push(format!(
            "{} was shown there too, and each of the two alone would look so.",
            first.cause
        ));
        first.evidence.push(format!(
            "{cause} was shown there too, and each of the two alone would look so."
        ));
        drafts.push(Draft {
            cause,
            place: case.place,
            summary: case.summary,
            evidence,
            advice: case.advice,
            explains: first.explains.split_off(first.explains.len() - half),
            ..first.clone()
        });
    }
    drafts.insert(0, first);
    drafts
}

#[cfg(test)]
#[path = "signature_tests.rs"]
mod tests;
