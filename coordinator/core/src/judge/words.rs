//! Why a cell is not whole, or not known, in the report's words.

use mesh_proto::{AgentIndex, CellReason};

use super::{Doubt, Judge, Judged, why_absent};
use crate::matrix::LEFT;
use crate::round::{CellIndex, Effort};

impl Judge<'_> {
    /// What was seen, or why it is not known, in words.
    pub(crate) fn reason(&self, cell: CellIndex, judged: Judged) -> Option<CellReason> {
        match judged.doubt {
            Some(doubt) => Some(CellReason::Words(self.words(cell, doubt))),
            None => judged.seen().map(CellReason::Seen),
        }
    }

    fn words(&self, cell: CellIndex, doubt: Doubt) -> String {
        let matrix = self.matrix;
        let (from, ..) = matrix.round().layout().what(cell);
        match doubt {
            Doubt::NotTried => match matrix.round().effort(cell) {
                Effort::Skipped(why) | Effort::Impossible(why) => why,
                Effort::Tried => "nobody tried it".to_owned(),
            },
            Doubt::Unreported => {
                let record = matrix.agent(from);
                let why = record.and_then(|record| record.lost.clone().or_else(|| record.unasked.clone()));
                why.unwrap_or_else(|| "the agent did not report it".to_owned())
            }
            Doubt::Untried => {
                let outcome = matrix.outcome(cell);
                let why = outcome.and_then(|outcome| matrix.seen().outcomes.untried(outcome));
                why.unwrap_or("the agent did not try it").to_owned()
            }
            Doubt::NothingSent => "the agent sent nothing".to_owned(),
            Doubt::Starved(agent) => match matrix.round().roster().agent(agent) {
                Some(agent) => format!("the agent {} was starved of CPU", agent.key),
                None => "the probing agent was starved of CPU".to_owned(),
            },
            Doubt::Left => format!("nobody stands there to answer: {LEFT}"),
            Doubt::Behind(agent) => {
                self.absent("an agent that the service sends to is not there to answer", agent)
            }
            Doubt::LateRules(agent) => self.absent(
                "the service was made for the run, and the node has taken up nothing of it",
                agent,
            ),
            Doubt::NobodyThere(agent) => self.absent("nobody stands there to answer", agent),
        }
    }

    fn absent(&self, what: &str, agent: AgentIndex) -> String {
        format!("{what}: {}", why_absent(self.matrix, agent))
    }
}
