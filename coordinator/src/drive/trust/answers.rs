//! What is believed of an agent's answers in a second look: they must fit what it was asked.

use std::collections::BTreeMap;

use mesh_proto::wire::v1;
use mesh_proto::{Answer, Ask, Hop, HopAnswer, Inquiry, InquiryId, LocalError, Seen};

use super::{Breach, check_counts, in_fair_words};
use crate::link::printable;

/// What an agent was asked and has not answered.
#[derive(Debug)]
pub(in super::super) struct Inquired(BTreeMap<InquiryId, Ask>);

impl Inquired {
    pub(in super::super) fn of(inquiries: &[Inquiry]) -> Self {
        let asks = inquiries.iter().map(|inquiry| (inquiry.id, inquiry.ask.clone()));
        Self(asks.collect())
    }

    /// Parses and checks one answer. Each question is answered once.
    pub(in super::super) fn check(&mut self, message: &v1::Answer) -> Result<Answer, Breach> {
        let Answer { id, mut seen } = Answer::from_wire(message)?;
        let ask = self.0.remove(&id).ok_or(Breach::Unasked(id.0))?;
        let fits = match (&ask, &seen) {
            (_, Seen::Untried(_)) | (Ask::Route { .. }, Seen::Route(_)) => true,
            (Ask::Walk { hops, .. }, Seen::Walk(seen)) => is_walk_of(*hops, seen),
            (Ask::Knock { tries, .. }, Seen::Knock(echo)) => echo.sent <= u32::from(*tries),
            (Ask::Probe { probe, .. }, Seen::Probe(observation)) => {
                check_counts(probe, observation)?;
                true
            }
            _ => false,
        };
        if !fits {
            return Err(Breach::Unfit(id.0));
        }
        in_words_that_are_fair(&mut seen);
        Ok(Answer { id, seen })
    }
}

/// No more hops than were asked for, each with its TTL, none beyond the target.
fn is_walk_of(most: u8, hops: &[Hop]) -> bool {
    let in_order = (1..).zip(hops).all(|(ttl, hop)| hop.ttl == ttl);
    let target = hops.iter().position(|hop| hop.answer == HopAnswer::Target);
    hops.len() <= usize::from(most) && in_order && target.is_none_or(|place| place + 1 == hops.len())
}

fn in_words_that_are_fair(seen: &mut Seen) {
    let fair = |local: &mut Option<LocalError>| {
        if let Some(local) = local {
            local.call = printable(&local.call);
        }
    };
    match seen {
        Seen::Untried(why) => *why = printable(why),
        Seen::Knock(echo) => fair(&mut echo.local),
        Seen::Route(chosen) => fair(&mut chosen.error),
        Seen::Probe(observation) => *observation = in_fair_words(observation.clone()),
        Seen::Walk(_) => {}
    }
}

#[cfg(test)]
mod tests;
