//! Probes that are worth another try: a service that was made for the run may not have its rules on every node yet. Its
//! cells that are not whole are opened again; what is seen then counts.

use mesh_proto::{AgentIndex, Millis, Observation, Plan};

use crate::Target;
use crate::matrix::Matrix;
use crate::round::CellIndex;

/// Plans for another try, by agent.
#[derive(Debug)]
pub struct Again {
    /// What each agent has to do once more; `None` for nothing.
    pub plans: Vec<Option<Plan>>,
    /// How many cells that is.
    pub cells: usize,
}

/// Whoever is asked again need not be waited for.
const SHORT: Millis = Millis(800);

impl Matrix {
    /// What each agent has to do first. Services that were made for the run get little time, since they are asked again.
    pub fn first_plans(&self) -> Vec<Option<Plan>> {
        let agents = (0..).map(AgentIndex).take(self.round().roster().agents.len());
        let plan = |agent| {
            let mut plan = self.round().plan_of(agent)?.clone();
            for probe in &mut plan.probes {
                let cell = self.round().cell_of(agent, probe.id);
                if cell.is_some_and(|cell| self.is_fresh(cell)) {
                    probe.timeout = probe.timeout.min(SHORT);
                }
            }
            Some(plan)
        };
        agents.map(plan).collect()
    }

    /// Opens those cells again; `None` if there are none. The last time they get all the time that others have.
    pub fn again(&mut self, last: bool) -> Option<Again> {
        let agents = (0..).map(AgentIndex).take(self.round().roster().agents.len());
        let mut plans = Vec::new();
        let mut cells = 0;
        for agent in agents {
            let plan = self.plan_again(agent, last);
            cells += plan.as_ref().map_or(0, |plan| plan.probes.len());
            plans.push(plan);
        }
        (cells > 0).then_some(Again { plans, cells })
    }

    fn plan_again(&mut self, agent: AgentIndex, last: bool) -> Option<Plan> {
        if !self.stands(agent) {
            return None;
        }
        let mut plan = self.round().plan_of(agent)?.clone();
        plan.probes.retain(|probe| {
            let cell = self.round().cell_of(agent, probe.id);
            cell.is_some_and(|cell| self.is_fresh(cell) && self.reopen(cell))
        });
        if !last {
            for probe in &mut plan.probes {
                probe.timeout = probe.timeout.min(SHORT);
            }
        }
        // A handful of probes, and somebody waits for them.
        plan.pacing.spread = Millis(0);
        (!plan.probes.is_empty()).then_some(plan)
    }

    fn is_fresh(&self, cell: CellIndex) -> bool {
        let services = &self.round().roster().cluster.node_ports;
        match self.round().cells()[cell.0].target {
            Target::NodePort { service, .. } => services.get(service).is_some_and(|service| service.fresh),
            _ => false,
        }
    }

    /// Forgets what was seen of a cell, unless it is whole or was not seen.
    fn reopen(&mut self, cell: CellIndex) -> bool {
        let is_whole = |seen: &Observation| {
            seen.untried.is_some()
                || (seen.failure.is_none() && seen.received == seen.sent && seen.resent == 0)
        };
        let ill = self.observations()[cell.0]
            .as_ref()
            .is_some_and(|seen| !is_whole(seen));
        if ill {
            self.forget(cell);
        }
        ill
    }
}

#[cfg(test)]
mod tests {
    use mesh_proto::{Failure, Reason};

    use super::*;
    use crate::world::World;
    use crate::{PlanOptions, Round};

    /// A matrix of a healthy cluster whose NodePorts do not answer.
    fn matrix(fresh: bool) -> Matrix {
        let mut roster = World::healthy(3).roster();
        for service in &mut roster.cluster.node_ports {
            service.fresh = fresh;
        }
        let mut matrix = Matrix::new(Round::plan(roster, &PlanOptions::default()));
        let plans: Vec<Option<Plan>> = (0..6)
            .map(|agent| matrix.round().plan_of(AgentIndex(agent)).cloned())
            .collect();
        observe(&mut matrix, &plans, false);
        matrix
    }

    fn observe(matrix: &mut Matrix, plans: &[Option<Plan>], node_ports_answer: bool) {
        for (agent, plan) in (0..).map(AgentIndex).zip(plans) {
            for probe in plan.iter().flat_map(|plan| &plan.probes) {
                let cell = matrix.round().cell_of(agent, probe.id).unwrap();
                let target = &matrix.round().cells()[cell.0].target;
                let dead = matches!(target, Target::NodePort { .. }) && !node_ports_answer;
                let seen = Observation {
                    sent: 3,
                    received: if dead { 0 } else { 3 },
                    failure: dead.then(|| Failure::new(Reason::Timeout)),
                    ..Observation::new(probe.id)
                };
                matrix.take(agent, seen).unwrap();
            }
        }
    }

    #[test]
    fn only_what_is_fresh_and_ill_is_tried_again_and_the_second_look_counts() {
        assert!(
            matrix(false).again(true).is_none(),
            "services that stand for long are what they are"
        );

        let mut matrix = matrix(true);
        let again = matrix.again(false).unwrap();
        let planned: usize = again.plans.iter().flatten().map(|plan| plan.probes.len()).sum();
        let (observed, all) = matrix.progress();
        assert!(planned > 0 && planned == again.cells && planned == all - observed);

        observe(&mut matrix, &again.plans, true);
        assert!(matrix.again(true).is_none(), "all is well now");
        assert_eq!(matrix.progress(), (all, all));
    }
}
