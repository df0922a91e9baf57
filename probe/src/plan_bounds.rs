//! What one probe may cost.

use mesh_proto::{Expect, PlannedProbe};

/// A hash over ports has shown all its paths long before; each UDP flow is a socket that is kept.
const MOST_FLOWS: u16 = 512;
/// Of all flows of a probe; a flow that loses is tried up to three times as often.
const MOST_TRIES: u32 = 3_000;

/// A probe that no coordinator of ours plans.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BeyondBounds {
    #[error("{flows} flows and {tries} tries of one probe are more than {MOST_FLOWS} and {MOST_TRIES}")]
    TooMuch { flows: u16, tries: u32 },
    #[error("agent {index} is not one of the run's {agents}")]
    Nobody { index: u32, agents: usize },
}

/// Refuses a probe before it costs memory or sockets. `agents` is how many the run has.
pub(crate) fn check_probe(probe: &PlannedProbe, agents: usize) -> Result<(), BeyondBounds> {
    let flows = probe.flows;
    let tries = u32::from(flows) * u32::from(probe.tries);
    if flows > MOST_FLOWS || tries > MOST_TRIES {
        return Err(BeyondBounds::TooMuch { flows, tries });
    }
    match probe.expect {
        Expect::Agent(index) if usize::try_from(index.0).map_or(true, |index| index >= agents) => {
            let index = index.0;
            Err(BeyondBounds::Nobody { index, agents })
        }
        Expect::Agent(_) | Expect::Anyone => Ok(()),
    }
}
