//! The matrix: all cells of a round and what was observed of each.

use std::collections::BTreeSet;

use mesh_proto::{
    AgentIndex, HostFacts, NodeName, Observation, ProbeId, ProbeKind, Report, Starvation, Summary, Tally,
};

use crate::assemble::{RunInfo, assemble};
use crate::judge::{Judged, judge};
use crate::localise::localise;
use crate::round::{CellIndex, Round};
use crate::second_look::Look;

/// All cells of a round, filled as observations come in.
#[derive(Debug)]
pub struct Matrix {
    round: Round,
    cells: Vec<Option<Observation>>,
    observed: usize,
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
    pub(crate) summary: Option<Summary>,
    pub(crate) starvation: Starvation,
    /// What it received from whom; `None` if it could not be asked.
    pub(crate) tallies: Option<Vec<Tally>>,
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
    pub fn new(round: Round) -> Self {
        let cells = vec![None; round.cells().len()];
        let agents = vec![AgentRecord::default(); round.roster().agents.len()];
        Self {
            round,
            cells,
            observed: 0,
            agents,
            left: BTreeSet::new(),
            looks: Vec::new(),
        }
    }

    /// The round that fills this matrix.
    pub fn round(&self) -> &Round {
        &self.round
    }

    /// Takes an observation in.
    pub fn take(&mut self, agent: AgentIndex, observation: Observation) -> Result<(), Stray> {
        let CellIndex(cell) = self
            .round
            .cell_of(agent, observation.id)
            .ok_or(Stray::NotPlanned(observation.id))?;
        if self.cells[cell].is_some() {
            return Err(Stray::Twice(observation.id));
        }
        self.cells[cell] = Some(observation);
        self.observed += 1;
        Ok(())
    }

    /// An agent was lost: what it has not observed by now is unknown, for this reason. The first reason stays.
    pub fn lost(&mut self, agent: AgentIndex, why: impl Into<String>) {
        if let Some(record) = self.record(agent) {
            record.lost.get_or_insert_with(|| why.into());
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
        lost || self.cells.iter().flatten().any(|seen| seen.failure.is_some())
    }

    /// Whether a node left the cluster meanwhile.
    pub(crate) fn has_left(&self, node: &NodeName) -> bool {
        self.left.contains(node)
    }

    /// An agent came to the end of its plan.
    pub fn summary(&mut self, agent: AgentIndex, summary: Summary) {
        if let Some(record) = self.record(agent) {
            record.starvation = worse(record.starvation, summary.starvation);
            record.summary = Some(summary);
        }
    }

    /// What an agent received from whom, and how it fared, asked at the end of the run.
    pub fn tallies(&mut self, agent: AgentIndex, tallies: Vec<Tally>, starvation: Starvation) {
        if let Some(record) = self.record(agent) {
            record.starvation = worse(record.starvation, starvation);
            record.tallies = Some(tallies);
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
        let planned = self
            .round
            .roster()
            .indexed()
            .filter_map(|(agent, _)| self.round.plan_of(agent));
        (self.observed, planned.map(|plan| plan.probes.len()).sum())
    }

    /// Judges, localises, diagnoses, and writes the report.
    pub fn into_report(self, info: RunInfo) -> Report {
        let judged = judge(&self);
        let findings = localise(&self, &judged);
        assemble(&self, &judged, findings, info)
    }

    /// A cell is to be observed anew.
    pub(crate) fn forget(&mut self, cell: CellIndex) {
        if self.cells[cell.0].take().is_some() {
            self.observed -= 1;
        }
    }

    pub(crate) fn observations(&self) -> &[Option<Observation>] {
        &self.cells
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

    /// Requests of `from` that `to` says it received; `None` if it could not be asked.
    pub(crate) fn arrived(&self, from: AgentIndex, to: AgentIndex, kind: ProbeKind) -> Option<u64> {
        let tallies = self.agent(to)?.tallies.as_ref()?;
        Some(
            tallies
                .iter()
                .filter(|tally| tally.from == from && tally.kind == kind)
                .map(|tally| tally.requests)
                .sum(),
        )
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

/// A cell with its judgement, by number; what the localiser works on.
pub(crate) fn judged_cells<'a>(
    matrix: &'a Matrix,
    judged: &'a [Judged],
) -> impl Iterator<Item = (CellIndex, &'a crate::round::PlannedCell, &'a Judged)> {
    let cells = matrix.round.cells().iter().zip(judged);
    cells
        .enumerate()
        .map(|(number, (cell, judged))| (CellIndex(number), cell, judged))
}
