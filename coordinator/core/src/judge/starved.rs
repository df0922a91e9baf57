//! An agent that did not get the CPU or the buffers it needed says so, and its silence does not count against a peer.

use mesh_proto::{AgentIndex, CellState, Observation, ProbeKind, Reason};

use super::Judged;
use crate::matrix::Matrix;
use crate::round::{PlannedCell, Target};

/// Turns failures into unknown where the agent at either end was starved: an answer that an agent itself must give
/// (not ICMP echo, which its kernel gives) and that timed out proves nothing then.
pub(super) fn discount(matrix: &Matrix, judged: &mut [Judged]) {
    for (number, cell) in matrix.round().cells().iter().enumerate() {
        let timed_out = matches!(judged[number].seen(), Some(Reason::Timeout | Reason::DataStalled));
        if !timed_out {
            continue;
        }
        let own = matrix.observations()[number]
            .as_ref()
            .is_some_and(|seen| seen.starved);
        let culprit = if own {
            Some(cell.from)
        } else {
            answering_agent(cell).filter(|to| starved(matrix, *to))
        };
        if let Some(agent) = culprit.and_then(|agent| matrix.round().roster().agent(agent)) {
            judged[number] = Judged::unknown(format!("the agent {} was starved of CPU", agent.key));
        } else if own && judged[number].state == CellState::Failed {
            judged[number] = Judged::unknown("the probing agent was starved of CPU");
        }
    }
}

/// Whether loss in a cell says nothing of the network, since the agent at either end was starved.
pub(crate) fn loses_by_itself(matrix: &Matrix, cell: &PlannedCell, seen: &Observation) -> bool {
    seen.starved || answering_agent(cell).is_some_and(|to| starved(matrix, to))
}

/// The agent whose process must answer, if one must.
fn answering_agent(cell: &PlannedCell) -> Option<AgentIndex> {
    if cell.kind == ProbeKind::Icmp {
        return None;
    }
    match cell.target {
        Target::Agent(index) => Some(index),
        Target::Loopback => Some(cell.from),
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
