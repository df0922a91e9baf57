//! The matrix: all cells of a round and what was observed of each.

mod bits;
mod notes;
mod outcome;
mod quickness;
mod seen;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use mesh_proto::{
    AgentIndex, HostFacts, NodeName, Observation, ProbeId, ProbeKind, Report, Starvation, Summary, Tally,
};

pub(crate) use self::bits::Bits;
pub(crate) use self::notes::Note;
#[cfg(test)]
pub(crate) use self::outcome::Outcomes;
pub(crate) use self::outcome::{NEVER_SLOW, Outcome, OutcomeId};
use self::seen::Keeps;
pub(crate) use self::seen::Seen;
use crate::assemble::{ALL_CELLS_UP_TO_NODES, MOST_LISTED, RunInfo, assemble};
use crate::judge::Judge;
use crate::localise::localise;
use crate::round::{CellIndex, KINDS, Round, Target};
use crate::second_look::Look;

/// All cells of a round, filled as observations come in.
#[derive(Debug)]
pub struct Matrix {
    round: Arc<Round>,
    seen: Seen,
    agents: Vec<AgentRecord>,
    /// Nodes that left the cluster meanwhile.
    left: BTreeSet<NodeName>,
    /// What was asked besides, once something was ill.
    pub(crate) looks: Vec<Look>,
}

/// What became of one agent in the round.
#[derive(Debug, Clone, Default)]
pub(crate) struct AgentRecord {
    /// It was lost on the way, and why.
    pub(crate) lost: Option<String>,
    /// It was not asked to the end, and why.
    pub(crate) unasked: Option<String>,
    pub(crate) summary: Option<Summary>,
    pub(crate) starvation: Starvation,
    /// It was starved while one of its probes ran.
    pub(crate) starved_in_a_probe: bool,
    /// It was asked what it received from whom. How much that was is with the cells.
    tallied: bool,
    /// What the kernel of its place says; `None` if it could not be asked.
    pub(crate) facts: Option<HostFacts>,
}

/// An observation that belongs to no cell: the agent lies or is confused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Stray {
    /// There is no such probe in the agent's plan.
    #[error("it observed probe {}, which nobody asked for", .0.0)]
    NotPlanned(ProbeId),
    /// The probe was observed before.
    #[error("it observed probe {} twice", .0.0)]
    Twice(ProbeId),
}

/// Why nothing is known of a node that left.
pub(crate) const LEFT: &str = "its node left the cluster during the run";

impl Matrix {
    /// A matrix in which nothing is observed yet.
    pub fn new(round: impl Into<Arc<Round>>) -> Self {
        let round = round.into();
        let keeps = if round.roster().nodes.len() <= ALL_CELLS_UP_TO_NODES {
            Keeps::All
        } else {
            Keeps::some(MOST_LISTED)
        };
        let seen = Seen::new(round.cell_count(), round.layout().taking_part(), keeps);
        let agents = vec![AgentRecord::default(); round.roster().agents.len()];
        Self {
            round,
            seen,
            agents,
            left: BTreeSet::new(),
            looks: Vec::new(),
        }
    }

    /// Keeps of every cell all that is observed from now on, as a report that lists all of them needs it, however many
    /// nodes there are.
    pub fn keep_all(&mut self) {
        self.seen.keep_all();
    }

    /// The round that fills this matrix.
    pub fn round(&self) -> &Round {
        &self.round
    }

    /// The same, for those who make plans beside it.
    pub fn shared_round(&self) -> Arc<Round> {
        Arc::clone(&self.round)
    }

    /// Takes an observation in.
    pub fn take(&mut self, agent: AgentIndex, observation: Observation) -> Result<(), Stray> {
        let layout = self.round.layout();
        let not_planned = Stray::NotPlanned(observation.id);
        let source = layout.source(agent).ok_or(not_planned.clone())?;
        let cell = self.round.cell_of(agent, observation.id).ok_or(not_planned)?;
        if self.seen.is_observed(cell) {
            return Err(Stray::Twice(observation.id));
        }
        let place = observation.id.0;
        let (target, kind) = layout.asked(source.rank, cell.0 - source.row.start);
        let planned = self.round.planned(agent, target, kind);
        let (rank, starved) = (source.rank, observation.starved);
        self.seen.take(cell, (rank, place), kind, planned, observation);
        if starved && let Some(record) = self.record(agent) {
            record.starved_in_a_probe = true;
        }
        Ok(())
    }

    /// An agent was lost: what it has not observed by now is unknown, for this reason. The first reason stays.
    pub fn lost(&mut self, agent: AgentIndex, why: impl Into<String>) {
        if let Some(record) = self.record(agent) {
            record.lost.get_or_insert_with(|| why.into());
        }
    }

    /// An agent was not asked to the end: what it has not observed by now is unknown, for this reason. It stands all the same,
    /// and what failed towards it failed.
    pub fn not_asked(&mut self, agent: AgentIndex, why: impl Into<String>) {
        if let Some(record) = self.record(agent) {
            record.unasked.get_or_insert_with(|| why.into());
        }
    }

    /// A node was taken out of the cluster during the run: what is not known of it is no failure.
    pub fn left(&mut self, node: NodeName) {
        let agents: Vec<AgentIndex> = self
            .round
            .roster()
            .indexed()
            .filter(|(_, agent)| agent.key.node == node)
            .map(|(index, _)| index)
            .collect();
        for agent in agents {
            if let Some(record) = self.record(agent) {
                record.lost = Some(LEFT.to_owned());
            }
        }
        self.left.insert(node);
    }

    /// Whether an agent was lost on the way, or something did not come through.
    pub fn has_trouble(&self) -> bool {
        let lost = self.agents.iter().any(|record| record.lost.is_some());
        lost || self.seen.failures > 0
    }

    /// Whether a node left the cluster meanwhile.
    pub(crate) fn has_left(&self, node: &NodeName) -> bool {
        self.left.contains(node)
    }

    /// Whether some node did.
    pub(crate) fn has_any_left(&self) -> bool {
        !self.left.is_empty()
    }

    /// An agent came to the end of its plan.
    pub fn summary(&mut self, agent: AgentIndex, summary: Summary) {
        if let Some(record) = self.record(agent) {
            record.starvation = worse(record.starvation, summary.starvation);
            record.summary = Some(summary);
        }
        if let Some(source) = self.round.layout().source(agent) {
            self.seen.settle(source.rank);
        }
    }

    /// What an agent received from whom, and how it fared, asked at the end of the run.
    pub fn tallies(&mut self, agent: AgentIndex, tallies: Vec<Tally>, starvation: Starvation) {
        let Some(record) = self.record(agent) else { return };
        record.starvation = worse(record.starvation, starvation);
        // What was counted once is not counted again.
        if std::mem::replace(&mut record.tallied, true) {
            return;
        }
        let layout = self.round.layout();
        for tally in tallies {
            let (cells, kind) = (
                layout.between(tally.from, agent),
                KINDS.iter().position(|kind| *kind == tally.kind),
            );
            if let (Some(source), Some(kind), false) = (layout.source(tally.from), kind, cells.is_empty()) {
                let cell = CellIndex(cells.start + kind);
                let place = u32::try_from(cell.0 - source.row.start).unwrap_or(u32::MAX);
                self.seen.arrived(cell, (source.rank, place), tally.requests);
            }
        }
    }

    /// What the kernel of an agent's place says of itself.
    pub fn facts(&mut self, agent: AgentIndex, facts: HostFacts) {
        if let Some(record) = self.record(agent) {
            record.facts = Some(facts);
        }
    }

    /// How many probes were observed, of how many that were planned.
    pub fn progress(&self) -> (usize, usize) {
        (self.seen.count(), self.round.all_tried())
    }

    /// Judges, localises, diagnoses, and writes the report.
    pub fn into_report(mut self, info: RunInfo) -> Report {
        self.settle();
        let judge = Judge::new(&self);
        let located = localise(&judge);
        assemble(&self, &judge, located, info)
    }

    /// Puts what came in in order, for those who look at it.
    pub(crate) fn settle(&mut self) {
        self.seen.settle_all();
    }

    /// A cell is to be observed anew.
    pub(crate) fn forget(&mut self, cell: CellIndex) {
        let place = self.place(cell);
        self.seen.forget(cell, place);
    }

    /// The row of a cell, and its place there.
    pub(crate) fn place(&self, cell: CellIndex) -> (usize, u32) {
        let layout = self.round.layout();
        let rank = layout.rank_of(cell);
        let (_, place) = layout.locate(cell);
        (rank, u32::try_from(place).unwrap_or(u32::MAX))
    }

    pub(crate) fn seen(&self) -> &Seen {
        &self.seen
    }

    /// How a cell fared, if it was observed and is not plainly whole.
    pub(crate) fn outcome(&self, cell: CellIndex) -> Option<&Outcome> {
        let id = self.seen.note(cell, self.place(cell))?;
        Some(self.seen.outcome(id))
    }

    /// What was observed of a cell. Of one that was not kept it says what is known: whole ones brought back what was planned,
    /// of others there are neither times nor ports.
    pub(crate) fn observation(&self, cell: CellIndex) -> Option<Cow<'_, Observation>> {
        if !self.seen.is_observed(cell) {
            return None;
        }
        let (rank, place) = self.place(cell);
        let Some(outcome) = self.seen.note(cell, (rank, place)) else {
            let (from, target, kind) = self.round.layout().what(cell);
            let planned = self.round.planned(from, target, kind);
            let tries = planned.flows * planned.tries;
            return Some(Cow::Owned(Observation {
                sent: tries,
                received: tries,
                ..Observation::new(ProbeId(place))
            }));
        };
        let outcome = self.seen.outcome(outcome);
        Some(match self.seen.outcomes.full(outcome) {
            Some(full) => Cow::Borrowed(full),
            None => Cow::Owned(self.seen.outcomes.observation(ProbeId(place), outcome)),
        })
    }

    /// How a cell failed.
    pub(crate) fn failure(&self, cell: CellIndex) -> Option<&mesh_proto::Failure> {
        self.seen.outcomes.failure(self.outcome(cell)?)
    }

    pub(crate) fn agent(&self, agent: AgentIndex) -> Option<&AgentRecord> {
        self.agents.get(usize::try_from(agent.0).ok()?)
    }

    /// Whether the agent's link answered from the beginning to the end.
    pub fn stands(&self, agent: AgentIndex) -> bool {
        self.round
            .roster()
            .agent(agent)
            .is_some_and(|of| of.prepared().is_some())
            && self.agent(agent).is_some_and(|record| record.lost.is_none())
    }

    /// Requests of `from` that `to` says it received; `None` if it could not be asked. Of a whole cell all that were planned.
    pub(crate) fn arrived(&self, from: AgentIndex, to: AgentIndex, kind: ProbeKind) -> Option<u64> {
        if !self.agent(to)?.tallied {
            return None;
        }
        let cells = self.round.layout().between(from, to);
        let kind_at = KINDS.iter().position(|of| *of == kind)?;
        if cells.is_empty() {
            return Some(0);
        }
        let cell = CellIndex(cells.start + kind_at);
        if let Some(outcome) = self.outcome(cell) {
            return Some(outcome.arrived.into());
        }
        let planned = self.round.planned(from, Target::Agent(to), kind);
        let all = u64::from(planned.flows * planned.tries);
        Some(if self.seen.is_observed(cell) { all } else { 0 })
    }

    fn record(&mut self, agent: AgentIndex) -> Option<&mut AgentRecord> {
        self.agents.get_mut(usize::try_from(agent.0).ok()?)
    }
}

fn worse(a: Starvation, b: Starvation) -> Starvation {
    Starvation {
        late_wakeups: a.late_wakeups.max(b.late_wakeups),
        longest: a.longest.max(b.longest),
        dropped_by_socket: a.dropped_by_socket.max(b.dropped_by_socket),
    }
}
