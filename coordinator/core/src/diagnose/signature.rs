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

/// Names a place's cause: the strongest case; what is as strong makes it doubtful and is named beside it.
pub(super) fn name(scene: &Scene<'_>, signatures: &[&[Signature]]) -> Draft {
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
        return Draft {
            ruled_out,
            ..unknown::unknown(scene)
        };
    };
    let rivals: Vec<Cause> = cases
        .filter(|(other, rival)| rival.proof == best.proof && *other != cause)
        .map(|(other, _)| other)
        .collect();
    let confidence = match best.proof {
        Proof::Shown if rivals.is_empty() => Confidence::Certain,
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
    Draft {
        cause,
        place: best.place,
        confidence,
        summary: best.summary,
        evidence: words,
        advice: best.advice,
        ruled_out,
        shown: best.proof == Proof::Shown,
        explains: scene.pick.explains.clone(),
    }
}

#[cfg(test)]
#[path = "signature_tests.rs"]
mod tests;
