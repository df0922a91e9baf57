//! What agents are asked to do. Plans of a large cluster fill much memory, so each is made when its agent's turn comes, and let go
//! of once the agent has it.

use std::sync::Arc;

use mesh_core::{Again, Matrix, Round};
use mesh_proto::{AgentIndex, Plan, PlannedProbe, ProbeId};

/// A round, or another try of some of its cells.
#[derive(Debug, Clone)]
pub(super) struct Work {
    round: Arc<Round>,
    again: Option<Arc<Again>>,
}

impl Work {
    /// All that the matrix waits for.
    pub(super) fn of_round(matrix: &Matrix) -> Self {
        Self {
            round: matrix.shared_round(),
            again: None,
        }
    }

    /// Another try.
    pub(super) fn again(matrix: &Matrix, again: Again) -> Self {
        Self {
            round: matrix.shared_round(),
            again: Some(Arc::new(again)),
        }
    }

    /// Whether there is something for an agent to do. In a round an agent without cells is asked too: it says how it fares.
    pub(super) fn is_for(&self, agent: AgentIndex) -> bool {
        let present = || {
            let agent = self.round.roster().agent(agent);
            agent.is_some_and(|agent| agent.prepared().is_some())
        };
        match &self.again {
            None => present(),
            Some(again) => again.tried_by(agent) > 0,
        }
    }

    /// How many probes that is.
    pub(super) fn probes_of(&self, agent: AgentIndex) -> usize {
        match &self.again {
            None => self.round.tried_by(agent),
            Some(again) => again.tried_by(agent),
        }
    }

    /// It is made each time.
    pub(super) fn plan_of(&self, agent: AgentIndex) -> Option<Plan> {
        match &self.again {
            None => self.round.plan_of(agent),
            Some(again) => again.plan_of(&self.round, agent),
        }
    }

    /// One of its probes.
    pub(super) fn probe(&self, agent: AgentIndex, id: ProbeId) -> Option<PlannedProbe> {
        match &self.again {
            None => self.round.probe(agent, id),
            Some(again) => again.probe(&self.round, agent, id),
        }
    }
}
