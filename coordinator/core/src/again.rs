//! Probes that are worth another try: a service that was made for the run may not have its rules on every node yet. Its
//! cells that are not whole are opened again; what is seen then counts.

use std::collections::BTreeSet;

use mesh_proto::{AgentIndex, Millis, Plan, PlannedProbe, ProbeId, Reason};

use crate::matrix::{Matrix, Outcome};
use crate::round::CellIndex;
use crate::{Round, Target};

/// Another try of some cells. An agent's plan is made when it is asked for.
#[derive(Debug, Clone, Default)]
pub struct Again {
    /// By agent: its probes, in order.
    probes: Vec<Vec<ProbeId>>,
    /// So long each of them may take, if that is less than usual.
    at_most: Option<Millis>,
}

impl Again {
    /// How many cells are tried.
    pub fn cells(&self) -> usize {
        self.probes.iter().map(Vec::len).sum()
    }

    /// How many of them an agent tries.
    pub fn tried_by(&self, agent: AgentIndex) -> usize {
        self.of(agent).len()
    }

    /// What an agent has to do once more; `None` for nothing.
    pub fn plan_of(&self, round: &Round, agent: AgentIndex) -> Option<Plan> {
        let ids = self.of(agent);
        let probes = ids.iter().filter_map(|id| self.probe(round, agent, *id));
        let probes: Vec<PlannedProbe> = probes.collect();
        // As gently as the whole plan.
        let all = round.tried_by(agent).max(1);
        let share = |of: u32| u64::from(of) * probes.len() as u64 / all as u64;
        let mut pacing = round.pacing();
        pacing.spread = Millis(u32::try_from(share(pacing.spread.0)).unwrap_or(u32::MAX));
        (!probes.is_empty()).then_some(Plan { pacing, probes })
    }

    /// One of an agent's probes by its number; `None` for one that is not tried again.
    pub fn probe(&self, round: &Round, agent: AgentIndex, id: ProbeId) -> Option<PlannedProbe> {
        self.of(agent).binary_search(&id).ok()?;
        let probe = round.probe(agent, id)?;
        Some(PlannedProbe {
            timeout: self.at_most.map_or(probe.timeout, |most| probe.timeout.min(most)),
            ..probe
        })
    }

    fn of(&self, agent: AgentIndex) -> &[ProbeId] {
        let slot = usize::try_from(agent.0).ok();
        slot.and_then(|slot| self.probes.get(slot))
            .map_or(&[], Vec::as_slice)
    }
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

    /// Opens all cells again that ever were ill; `None` if none was.
    pub fn at_all(&self, matrix: &mut Matrix) -> Option<Again> {
        if self.ever_ill.is_empty() {
            return None;
        }
        matrix.again(None, |_, cell| self.ever_ill.contains(&cell))
    }
}

impl Matrix {
    /// Whether rules of services that were made for the run seem to be late: a node refuses on their behalf, as it does before
    /// it has heard of them, or they are ill and no way between agents is. What ails other services does not ail these, and
    /// before a node knows of its own endpoint the policy Local drops.
    pub fn rules_seem_late(&self) -> bool {
        if !self.has_fresh_services() {
            return false;
        }
        let (mut fresh, mut others) = (false, false);
        for cell in self.ill_cells() {
            if !self.is_fresh(cell) {
                others |= matches!(self.round().layout().what(cell).1, Target::Agent(_));
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

    /// Forgets what was seen of the chosen cells of services that were made for the run, to try them anew.
    fn again(&mut self, at_most: Option<Millis>, chosen: impl Fn(&Self, CellIndex) -> bool) -> Option<Again> {
        let mut again = Again {
            probes: vec![Vec::new(); self.round().roster().agents.len()],
            at_most,
        };
        for (agent, ids) in (0..).map(AgentIndex).zip(&mut again.probes) {
            if self.stands(agent) {
                let is_chosen = |cell: CellIndex| self.is_fresh(cell) && chosen(self, cell);
                *ids = self
                    .round()
                    .tried_node_ports(agent)
                    .filter(|(cell, _)| is_chosen(*cell))
                    .map(|(_, id)| id)
                    .collect();
            }
            for id in ids {
                if let Some(cell) = self.round().cell_of(agent, *id) {
                    self.forget(cell);
                }
            }
        }
        (again.cells() > 0).then_some(again)
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
        observe(&mut matrix, Round::plan_of, node_ports_answer);
        matrix
    }

    fn observe(
        matrix: &mut Matrix,
        plan_of: impl Fn(&Round, AgentIndex) -> Option<Plan>,
        node_ports_answer: bool,
    ) {
        let agents = (0..).map(AgentIndex).take(matrix.round().roster().agents.len());
        for agent in agents {
            let plan = plan_of(matrix.round(), agent);
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
        let agents = || (0..6).map(AgentIndex);
        let plans: Vec<Plan> = agents()
            .filter_map(|agent| again.plan_of(matrix.round(), agent))
            .collect();
        let planned: usize = plans.iter().map(|plan| plan.probes.len()).sum();
        let (observed, all) = matrix.progress();
        assert!(planned > 0 && planned == again.cells() && planned == all - observed);
        let whole = matrix.round().plan_of(AgentIndex(0)).unwrap();
        for plan in &plans {
            assert!(
                plan.probes.iter().all(|probe| probe.timeout <= SHORT),
                "nobody waits for them"
            );
            assert!(plan.pacing.spread <= whole.pacing.spread);
        }
        observe(&mut matrix, |round, agent| again.plan_of(round, agent), true);
        assert!(look.at_ill(&mut matrix).is_none(), "all is well now");

        let last = look.at_all(&mut matrix).unwrap();
        assert_eq!(
            last.probes, again.probes,
            "what is whole by luck is asked with the others"
        );
        observe(&mut matrix, |round, agent| last.plan_of(round, agent), true);
        assert_eq!(matrix.progress(), (all, all));
    }

    #[test]
    fn rules_seem_late_where_a_node_refuses_or_where_nothing_else_is_ill() {
        assert!(!matrix(true, true).rules_seem_late(), "all is well");
        assert!(!matrix(false, false).rules_seem_late(), "they stand for long");
        let late = matrix(true, false);
        assert!(late.rules_seem_late(), "nothing else is ill");

        let elsewhere = |is_other: fn(Target) -> bool, reason: Option<Reason>| {
            let mut matrix = matrix(true, false);
            let first = |is_it: fn(Target) -> bool| {
                let mut cells = (0..matrix.round().cell_count()).map(CellIndex);
                let cell = cells
                    .find(|cell| is_it(matrix.round().cell(*cell).target) && matrix.is_ill(*cell).is_some());
                cell.unwrap()
            };
            let (other, service) = (
                first(is_other),
                first(|target| matches!(target, Target::NodePort { .. })),
            );
            matrix.fail(other, Reason::Timeout);
            if let Some(reason) = reason {
                matrix.fail(service, reason);
            }
            matrix.rules_seem_late()
        };
        let pair: fn(Target) -> bool = |target| matches!(target, Target::Agent(_));
        assert!(!elsewhere(pair, None), "what keeps others ill keeps services ill");
        assert!(!elsewhere(pair, Some(Reason::HostUnreachable)));
        assert!(elsewhere(pair, Some(Reason::Refused)));
        let dns: fn(Target) -> bool = |target| matches!(target, Target::Dns { .. });
        assert!(elsewhere(dns, None), "DNS has endpoints of its own");
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
