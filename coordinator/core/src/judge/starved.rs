//! An agent that did not get the CPU or the buffers it needed says so, and its silence does not count against a peer.

use mesh_proto::{AgentIndex, ProbeKind, Reason};

use super::{Doubt, Judge, Judged};
use crate::matrix::{Matrix, Outcome};
use crate::round::Target;

/// Turns a failure into unknown where the agent at either end was starved: an answer that an agent itself must give
/// (not ICMP echo, which its kernel gives) and that timed out proves nothing then.
pub(super) fn discounted(
    judge: &Judge<'_>,
    from: AgentIndex,
    target: Target,
    outcome: &Outcome,
    judged: Judged,
) -> Judged {
    if !matches!(judged.seen(), Some(Reason::Timeout | Reason::DataStalled)) {
        return judged;
    }
    let culprit = if outcome.starved {
        Some(from)
    } else {
        answering_agent(from, target, outcome.kind).filter(|to| judge.starved[to.0 as usize])
    };
    culprit.map_or(judged, |agent| Judged::unknown(Doubt::Starved(agent)))
}

impl Judge<'_> {
    /// Whether loss in a cell says nothing of the network, since the agent at either end was starved.
    pub(crate) fn loses_by_itself(&self, from: AgentIndex, target: Target, outcome: &Outcome) -> bool {
        let answering = || answering_agent(from, target, outcome.kind);
        outcome.starved || answering().is_some_and(|to| self.starved[to.0 as usize])
    }
}

/// The agent whose process must answer, if one must.
fn answering_agent(from: AgentIndex, target: Target, kind: ProbeKind) -> Option<AgentIndex> {
    if kind == ProbeKind::Icmp {
        return None;
    }
    match target {
        Target::Agent(index) => Some(index),
        Target::Loopback => Some(from),
        Target::Api | Target::Dns { .. } | Target::DnsEndpoint(_) | Target::NodePort { .. } => None,
    }
}

/// Late by so much that a whole try can have passed meanwhile.
pub(crate) fn starved(matrix: &Matrix, agent: AgentIndex) -> bool {
    const SERIOUS_MS: u32 = 1_500;
    matrix.agent(agent).is_some_and(|record| {
        record.starvation.longest.0 >= SERIOUS_MS || record.starvation.dropped_by_socket > 0
    })
}
