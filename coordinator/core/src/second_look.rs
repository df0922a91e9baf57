//! The second look: once the first pass is over and something is ill, the questions that tell apart what could be the
//! reason, put to agents near the suspects only.

mod questions;

use mesh_proto::{AgentIndex, Answer, Ask, Inquiry, InquiryId, Observation, Seen};

use self::questions::{Question, questions};
use crate::Matrix;
use crate::judge::Judge;
use crate::round::CellIndex;

/// A question that was put to an agent, and what it said.
#[derive(Debug, Clone)]
pub(crate) struct Look {
    pub(crate) from: AgentIndex,
    pub(crate) ask: Ask,
    /// The cell that it asks once more, from fresh ports.
    pub(crate) again: Option<CellIndex>,
    /// `None` if it did not answer in time.
    pub(crate) seen: Option<Seen>,
}

impl Matrix {
    /// What to ask of whom, each once; nothing where all is well. Inquiries are numbered over all agents.
    pub fn second_look(&mut self) -> Vec<(AgentIndex, Vec<Inquiry>)> {
        self.settle();
        let raised = questions(&Judge::new(self));
        let mut asked: Vec<(AgentIndex, Vec<Inquiry>)> = Vec::new();
        for Question { from, ask, again } in raised {
            if self.looks.iter().any(|look| look.from == from && look.ask == ask) {
                continue;
            }
            let id = InquiryId(u32::try_from(self.looks.len()).unwrap_or(u32::MAX));
            let inquiry = Inquiry { id, ask: ask.clone() };
            match asked.iter_mut().find(|(agent, _)| *agent == from) {
                Some((_, inquiries)) => inquiries.push(inquiry),
                None => asked.push((from, vec![inquiry])),
            }
            let seen = None;
            self.looks.push(Look {
                from,
                ask,
                again,
                seen,
            });
        }
        asked
    }

    /// Takes answers in. What was not asked of this agent is ignored.
    pub fn answered(&mut self, agent: AgentIndex, answers: Vec<Answer>) {
        for Answer { id, seen } in answers {
            let look = usize::try_from(id.0).ok().and_then(|id| self.looks.get_mut(id));
            if let Some(look) = look.filter(|look| look.from == agent) {
                look.seen = Some(seen);
            }
        }
    }

    /// What came of asking a cell's question once more, from fresh ports, where that was done.
    pub(crate) fn asked_again(&self, cell: CellIndex) -> Option<&Observation> {
        self.looks.iter().find_map(|look| match &look.seen {
            Some(Seen::Probe(seen)) if look.again == Some(cell) && seen.untried.is_none() => Some(seen),
            _ => None,
        })
    }

    /// Everything that was asked, and the answers.
    pub(crate) fn looks(&self) -> &[Look] {
        &self.looks
    }
}

#[cfg(test)]
mod tests;
