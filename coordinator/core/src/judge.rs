//! From what was observed to what it means for each cell, by the contract's rules.
//!
//! No judgement is kept: each follows from how the cell fared and from what is known of the agents and nodes at its ends,
//! which is gathered once.

mod absent;
mod starved;
mod tally;
mod words;

pub(crate) use self::absent::why_absent;
pub(crate) use self::starved::starved;
pub(crate) use self::tally::{Noted, Tally};

use std::collections::BTreeSet;

use mesh_proto::{AgentIndex, CellState, Micros, NodeName, ProbeKind, Reason};

use crate::matrix::{Matrix, NEVER_SLOW, Outcome, OutcomeId};
use crate::round::{CellIndex, Target};

/// What became of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Judged {
    /// Its state.
    pub(crate) state: CellState,
    /// What was seen, of a failed cell.
    seen: Option<Reason>,
    /// Why it is skipped or not known.
    pub(crate) doubt: Option<Doubt>,
}

/// Why nothing is known of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Doubt {
    /// Nobody tried it: silent by design, or impossible.
    NotTried,
    /// Its agent did not report it.
    Unreported,
    /// Its agent could not try it.
    Untried,
    /// Its agent sent nothing.
    NothingSent,
    /// This agent, at one of its ends, was starved.
    Starved(AgentIndex),
    /// What stands at an end left the cluster.
    Left,
    /// This agent stands behind the service, and takes no part.
    Behind(AgentIndex),
    /// This agent and all others of the node that is asked take no part, and the service was made for the run.
    LateRules(AgentIndex),
    /// This agent is the target, and takes no part.
    NobodyThere(AgentIndex),
}

impl Judged {
    const REACHABLE: Self = Self::plain(CellState::Reachable);

    const fn plain(state: CellState) -> Self {
        Self {
            state,
            seen: None,
            doubt: None,
        }
    }

    const fn unknown(doubt: Doubt) -> Self {
        Self {
            state: CellState::Unknown,
            seen: None,
            doubt: Some(doubt),
        }
    }

    const fn failed(reason: Reason) -> Self {
        Self {
            state: CellState::Failed,
            seen: Some(reason),
            doubt: None,
        }
    }

    /// What was seen, of a failed cell.
    pub(crate) fn seen(&self) -> Option<Reason> {
        self.seen
    }

    pub(crate) fn came_through(&self) -> bool {
        matches!(self.state, CellState::Reachable | CellState::Degraded)
    }
}

/// Judges cells of a matrix.
#[derive(Debug)]
pub(crate) struct Judge<'a> {
    pub(crate) matrix: &'a Matrix,
    /// By agent: its silence is no evidence.
    starved: Vec<bool>,
    /// By agent: it is not there, and its node is not down.
    missing: Vec<bool>,
    /// By agent: it is missing, and its node's own address answers echo requests of others.
    pinged: Vec<bool>,
    /// By agent: something about a cell from or to it must be looked at more closely than how it fared.
    odd: Vec<bool>,
    /// By NodePort service: an agent behind it that takes no part.
    missing_behind: Vec<Option<AgentIndex>>,
    /// By kind: what takes longer is far slower than its peers.
    limits: Vec<Option<Micros>>,
    down: BTreeSet<NodeName>,
    /// By outcome: what it means by itself, and whether it may be slow.
    alone: Vec<(Judged, bool)>,
    /// Nothing but how they fared decides on cells, but for those that may be slow.
    is_all_plain: bool,
}

impl<'a> Judge<'a> {
    pub(crate) fn new(matrix: &'a Matrix) -> Self {
        let roster = matrix.round().roster();
        let mut judge = Self {
            matrix,
            starved: roster
                .indexed()
                .map(|(agent, _)| starved(matrix, agent))
                .collect(),
            missing: vec![false; roster.agents.len()],
            pinged: Vec::new(),
            odd: Vec::new(),
            missing_behind: Vec::new(),
            limits: ProbeKind::ALL.iter().map(|kind| limit(matrix, *kind)).collect(),
            down: BTreeSet::new(),
            alone: Vec::new(),
            is_all_plain: false,
        };
        let outcomes =
            (0..matrix.seen().outcomes.len()).map(|id| OutcomeId(u32::try_from(id).unwrap_or(u32::MAX)));
        judge.alone = outcomes
            .map(|id| {
                let outcome = matrix.seen().outcome(id);
                (judge.alone(outcome), outcome.slow.is_some() || outcome.starved)
            })
            .collect();
        judge.down = absent::nodes_down(&judge);
        judge.missing = roster
            .indexed()
            .map(|(index, agent)| !matrix.stands(index) && !judge.down.contains(&agent.key.node))
            .collect();
        judge.pinged = roster
            .indexed()
            .map(|(index, _)| judge.missing[index.0 as usize] && absent::is_pinged(&judge, index))
            .collect();
        judge.missing_behind = (0..roster.cluster.node_ports.len())
            .map(|service| absent::missing_backend(&judge, service))
            .collect();
        judge.odd = roster
            .indexed()
            .map(|(index, agent)| {
                let number = index.0 as usize;
                judge.starved[number]
                    || judge.missing[number]
                    || matrix.has_left(&agent.key.node)
                    || matrix
                        .agent(index)
                        .is_some_and(|record| record.starvation.late_wakeups > 0)
            })
            .collect();
        judge.is_all_plain = !judge.odd.contains(&true)
            && !matrix.has_any_left()
            && judge.missing_behind.iter().all(Option::is_none);
        judge
    }

    /// Nodes of which no agent's link answers, and of which nothing answered anybody who tried.
    pub(crate) fn down(&self) -> &BTreeSet<NodeName> {
        &self.down
    }

    /// What became of a cell.
    pub(crate) fn of(&self, cell: CellIndex) -> Judged {
        let (from, target, _) = self.matrix.round().layout().what(cell);
        self.of_asked(cell, from, target)
    }

    /// What became of a cell, of which it is known who asks what.
    pub(crate) fn of_asked(&self, cell: CellIndex, from: AgentIndex, target: Target) -> Judged {
        let round = self.matrix.round();
        if !round.is_tried(from, target) {
            let state = if round.is_in_turn(from, target) && round.is_skipped(target) {
                CellState::Skipped
            } else {
                CellState::Unknown
            };
            return Judged {
                doubt: Some(Doubt::NotTried),
                ..Judged::plain(state)
            };
        }
        if !self.matrix.seen().is_observed(cell) {
            return Judged::unknown(Doubt::Unreported);
        }
        match self.matrix.seen().note(cell, self.matrix.place(cell)) {
            None => Judged::REACHABLE,
            Some(outcome) => self.of_outcome(from, target, outcome),
        }
    }

    /// What became of a cell that fared so.
    pub(crate) fn of_outcome(&self, from: AgentIndex, target: Target, id: OutcomeId) -> Judged {
        let outcome = self.matrix.seen().outcome(id);
        let judged = self.before_absence(from, target, outcome);
        absent::settled(self, from, target, outcome.kind, judged)
    }

    /// The same, but for the rule of agents that are not there.
    fn before_absence(&self, from: AgentIndex, target: Target, outcome: &Outcome) -> Judged {
        let judged = self.alone(outcome);
        let judged = starved::discounted(self, from, target, outcome, judged);
        if judged.state == CellState::Reachable && self.is_slow(from, outcome) {
            Judged::plain(CellState::Degraded)
        } else {
            judged
        }
    }

    /// Whether an agent is missing or starved, or left.
    pub(crate) fn is_odd(&self, agent: AgentIndex) -> bool {
        self.odd.get(agent.0 as usize).copied().unwrap_or(true)
    }

    /// Whether nothing but how a cell fared decides on it.
    fn is_plain(&self, from: AgentIndex, target: Target) -> bool {
        let is_odd = |agent| self.is_odd(agent);
        match target {
            Target::Agent(to) => !is_odd(from) && !is_odd(to),
            Target::Loopback => !is_odd(from),
            Target::NodePort { service, node } => {
                !is_odd(from)
                    && self.missing_behind[service].is_none()
                    && absent::late_rules(self, service, node).is_none()
                    && !self.matrix.has_any_left()
            }
            Target::Api | Target::Dns { .. } | Target::DnsEndpoint(_) => {
                !is_odd(from) && !self.matrix.has_any_left()
            }
        }
    }

    /// By its own observation.
    fn alone(&self, outcome: &Outcome) -> Judged {
        let seen = self.matrix.seen();
        if seen.outcomes.untried(outcome).is_some() {
            return Judged::unknown(Doubt::Untried);
        }
        if outcome.sent == 0 {
            return Judged::unknown(Doubt::NothingSent);
        }
        let reason = seen.outcomes.failure(outcome).map(|failure| failure.reason);
        judge_tries(outcome, reason)
    }

    /// Far slower than its peers: so far that no jitter of a busy machine explains it. One slow answer is no median, and an agent
    /// that woke up late itself measures its own machine.
    fn is_slow(&self, from: AgentIndex, outcome: &Outcome) -> bool {
        const LEAST_ANSWERS: u32 = 3;
        let Some((slow, limit)) = outcome.slow.zip(self.limits[outcome.kind as usize]) else {
            return false;
        };
        let awake = || {
            let record = self.matrix.agent(from);
            record.is_none_or(|record| record.starvation.late_wakeups == 0)
        };
        slow > limit && outcome.received >= LEAST_ANSWERS && awake()
    }
}

/// The contract: failed is nothing came through, or more than half was lost, or a flow that was tried three times and
/// more never came through.
fn judge_tries(seen: &Outcome, failure: Option<Reason>) -> Judged {
    let reason = failure.unwrap_or(Reason::Timeout);
    if seen.kind == ProbeKind::PathMtu {
        return match failure {
            Some(_) => Judged::failed(reason),
            None if seen.received == 0 => Judged::failed(reason),
            None => Judged::REACHABLE,
        };
    }
    let lost = seen.sent.saturating_sub(seen.received);
    if seen.received == 0 || lost > seen.received || seen.has_dead_flow {
        Judged::failed(reason)
    } else if lost > 0 || seen.resent > 0 {
        Judged::plain(CellState::Degraded)
    } else {
        Judged::REACHABLE
    }
}

fn limit(matrix: &Matrix, kind: ProbeKind) -> Option<Micros> {
    const TIMES_THE_MEDIAN: u32 = 20;
    let median = matrix.seen().quickness.median(kind)?;
    Some(Micros(
        median.0.saturating_mul(TIMES_THE_MEDIAN).max(NEVER_SLOW.0),
    ))
}

#[cfg(test)]
mod tests;
