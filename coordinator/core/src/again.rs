//! Probes that are worth another try: a service that was made for the run may not have its rules on every node yet. Its
//! cells that are not whole are opened again; what is seen then counts.

use std::collections::BTreeSet;

use mesh_proto::{AgentIndex, Millis, Plan, Reason};

use crate::Target;
use crate::matrix::{Matrix, Outcome};
use crate::round::CellIndex;

/// Plans for another try, by agent.
#[derive(Debug)]
pub struct Again {
    /// What each agent has to do once more; `None` for nothing.
    pub plans: Vec<Option<Plan>>,
    /// The cells that it fills.
    pub opened: Vec<CellIndex>,
}

/// Whoever is asked again need not be waited for.
const SHORT: Millis = Millis(500);

/// Looks again at services that were made for the run: at those of their cells that are ill, until the rules are there, and
/// then once more at all that ever were. A cell that is whole by luck, since its service chose another endpoint this time,
/// must not stay so for having been asked more often.
#[derive(Debug, Default)]
pub struct FreshServices {
    ever_ill: BTreeSet<CellIndex>,
}

impl FreshServices {
    /// Opens the cells that are ill or were not seen; `None` if all are whole. They get little time.
    pub fn at_ill(&mut self, matrix: &mut Matrix) -> Option<Again> {
        if !matrix.has_fresh_services() {
            return None;
        }
        let ill = matrix.ill_cells().filter(|cell| matrix.is_fresh(*cell));
        self.ever_ill.extend(ill);
        matrix.again(Some(SHORT), |matrix, cell| matrix.is_ill(cell).unwrap_or(true))
    }

    /// Opens all cells again that ever were ill, for the last time; `None` if none was.
    pub fn at_all(self, matrix: &mut Matrix) -> Option<Again> {
        if self.ever_ill.is_empty() {
            return None;
        }
        matrix.again(None, |_, cell| self.ever_ill.contains(&cell))
    }
}

impl Matrix {
    /// Whether rules of services that were made for the run seem to be late: a node refuses on their behalf, as it does before
    /// it has heard of them, or they are ill and nothing else is.
    pub fn rules_seem_late(&self) -> bool {
        if !self.has_fresh_services() {
            return false;
        }
        let (mut fresh, mut others) = (false, false);
        for cell in self.ill_cells() {
            if !self.is_fresh(cell) {
                others = true;
                continue;
            }
            if self
                .failure(cell)
                .is_some_and(|failure| failure.reason == Reason::Refused)
            {
                return true;
            }
            fresh = true;
        }
        fresh && !others
    }

    fn has_fresh_services(&self) -> bool {
        let services = &self.round().roster().cluster.node_ports;
        services.iter().any(|service| service.fresh)
    }

    /// Cells that were seen and are not whole.
    fn ill_cells(&self) -> impl Iterator<Item = CellIndex> {
        let sources = self.round().layout().sources();
        sources.flat_map(|(_, source)| {
            let notes = self.seen().notes_as_they_came(source.rank).iter();
            let ill = notes.filter(|note| !self.is_whole(self.seen().outcome(note.outcome)));
            ill.map(|note| CellIndex(source.row.start + note.place as usize))
        })
    }

    /// Forgets what was seen of the chosen cells of services that were made for the run, and plans them anew.
    fn again(&mut self, at_most: Option<Millis>, chosen: impl Fn(&Self, CellIndex) -> bool) -> Option<Again> {
        let mut again = Again {
            plans: Vec::new(),
            opened: Vec::new(),
        };
        let agents = (0..).map(AgentIndex).take(self.round().roster().agents.len());
        for agent in agents {
            let is_chosen = |cell: CellIndex| self.is_fresh(cell) && chosen(self, cell);
            let plan = if self.stands(agent) {
                self.round().plan_of_node_ports(agent, is_chosen)
            } else {
                None
            };
            let plan = plan.filter(|plan| !plan.probes.is_empty()).map(|mut plan| {
                for probe in &mut plan.probes {
                    probe.timeout = at_most.map_or(probe.timeout, |most| probe.timeout.min(most));
                }
                // As gently as the whole plan.
                let all = self.round().tried_by(agent).max(1);
                let share = |of: u32| u64::from(of) * plan.probes.len() as u64 / all as u64;
                plan.pacing.spread = Millis(u32::try_from(share(plan.pacing.spread.0)).unwrap_or(u32::MAX));
                plan
            });
            for probe in plan.iter().flat_map(|plan| &plan.probes) {
                if let Some(cell) = self.round().cell_of(agent, probe.id) {
                    self.forget(cell);
                    again.opened.push(cell);
                }
            }
            again.plans.push(plan);
        }
        (!again.opened.is_empty()).then_some(again)
    }

    fn is_fresh(&self, cell: CellIndex) -> bool {
        let services = &self.round().roster().cluster.node_ports;
        match self.round().layout().what(cell).1 {
            Target::NodePort { service, .. } => services.get(service).is_some_and(|service| service.fresh),
            _ => false,
        }
    }

    /// Whether it is not whole; `None` if it was not seen.
    fn is_ill(&self, cell: CellIndex) -> Option<bool> {
        let is_observed = self.seen().is_observed(cell);
        is_observed.then(|| self.outcome(cell).is_some_and(|seen| !self.is_whole(seen)))
    }

    fn is_whole(&self, seen: &Outcome) -> bool {
        let outcomes = &self.seen().outcomes;
        outcomes.untried(seen).is_some()
            || (outcomes.failure(seen).is_none() && seen.received == seen.sent && seen.resent == 0)
    }
}

#[cfg(test)]
mod tests {
    use mesh_proto::{Failure, Observation};

    use super::*;
    use crate::world::World;
    use crate::{PlanOptions, Round};

    fn matrix(fresh: bool, node_ports_answer: bool) -> Matrix {
        let mut roster = World::healthy(3).roster();
        for service in &mut roster.cluster.node_ports {
            service.fresh = fresh;
        }
        let mut matrix = Matrix::new(Round::plan(roster, &PlanOptions::default()));
        let plans = matrix.round().plans();
        observe(&mut matrix, &plans, node_ports_answer);
        matrix
    }

    fn observe(matrix: &mut Matrix, plans: &[Option<Plan>], node_ports_answer: bool) {
        for (agent, plan) in (0..).map(AgentIndex).zip(plans) {
            for probe in plan.iter().flat_map(|plan| &plan.probes) {
                let cell = matrix.round().cell_of(agent, probe.id).unwrap();
                let target = matrix.round().cell(cell).target;
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
    fn what_is_fresh_is_asked_again_while_it_is_ill_and_the_last_look_counts() {
        let mut look = FreshServices::default();
        assert!(
            look.at_ill(&mut matrix(false, false)).is_none(),
            "services that stand for long are asked once"
        );

        let mut matrix = matrix(true, false);
        let again = look.at_ill(&mut matrix).unwrap();
        let planned: usize = again.plans.iter().flatten().map(|plan| plan.probes.len()).sum();
        let (observed, all) = matrix.progress();
        assert!(planned > 0 && planned == again.opened.len() && planned == all - observed);
        observe(&mut matrix, &again.plans, true);
        assert!(look.at_ill(&mut matrix).is_none(), "all is well now");

        let last = look.at_all(&mut matrix).unwrap();
        assert_eq!(
            last.opened, again.opened,
            "what is whole by luck is asked with the others"
        );
        observe(&mut matrix, &last.plans, true);
        assert_eq!(matrix.progress(), (all, all));
    }

    #[test]
    fn rules_seem_late_where_a_node_refuses_or_where_nothing_else_is_ill() {
        assert!(!matrix(true, true).rules_seem_late(), "all is well");
        assert!(!matrix(false, false).rules_seem_late(), "they stand for long");
        let late = matrix(true, false);
        assert!(late.rules_seem_late(), "nothing else is ill");

        let elsewhere = |reason: Option<Reason>| {
            let mut matrix = matrix(true, false);
            let of_kind = |node_port: bool| {
                let mut cells = (0..matrix.round().cell_count()).map(CellIndex);
                let cell = cells.find(|cell| {
                    let target = matrix.round().cell(*cell).target;
                    matches!(target, Target::NodePort { .. }) == node_port && matrix.is_ill(*cell).is_some()
                });
                cell.unwrap()
            };
            let (pair, service) = (of_kind(false), of_kind(true));
            matrix.fail(pair, Reason::Timeout);
            if let Some(reason) = reason {
                matrix.fail(service, reason);
            }
            matrix.rules_seem_late()
        };
        assert!(!elsewhere(None), "what keeps others ill keeps services ill");
        assert!(!elsewhere(Some(Reason::HostUnreachable)));
        assert!(elsewhere(Some(Reason::Refused)));
    }

    impl Matrix {
        fn fail(&mut self, cell: CellIndex, reason: Reason) {
            let agent = self.round().cell(cell).from;
            let plan = self.round().plan_of(agent).unwrap();
            let mut probes = plan.probes.iter().map(|probe| probe.id);
            let id = probes
                .find(|id| self.round().cell_of(agent, *id) == Some(cell))
                .unwrap();
            self.forget(cell);
            let seen = Observation {
                sent: 3,
                failure: Some(Failure::new(reason)),
                ..Observation::new(id)
            };
            self.take(agent, seen).unwrap();
        }
    }

    #[test]
    fn what_is_whole_at_once_is_asked_once() {
        let mut look = FreshServices::default();
        let mut matrix = matrix(true, true);
        assert!(look.at_ill(&mut matrix).is_none());
        assert!(look.at_all(&mut matrix).is_none());
    }
}
