//! The second look's answers on the wire.

use super::inquiry::optional_address;
use super::observation::{icmp_from_wire, icmp_to_wire, local_from_wire, local_to_wire};
use super::{WireError, address_bytes, facts, parse_u8, v1};
use crate::{Answer, Hop, HopAnswer, InquiryId, KnockEcho, MOST_HOPS, Observation, Route, RouteChosen, Seen};

impl Answer {
    /// The message for this answer.
    pub fn to_wire(&self) -> v1::Answer {
        v1::Answer {
            id: self.id.0,
            seen: Some(seen_to_wire(&self.seen)),
        }
    }

    /// Parses an answer that an agent sent.
    pub fn from_wire(message: &v1::Answer) -> Result<Self, WireError> {
        let seen = message.seen.as_ref();
        let seen = seen.ok_or_else(|| WireError::new("answer.seen", "what was seen is not said"))?;
        Ok(Self {
            id: InquiryId(message.id),
            seen: seen_from_wire(seen)?,
        })
    }
}

fn seen_to_wire(seen: &Seen) -> v1::answer::Seen {
    match seen {
        Seen::Walk(hops) => v1::answer::Seen::Walk(v1::WalkSeen {
            hops: hops.iter().copied().map(hop_to_wire).collect(),
        }),
        Seen::Knock(echo) => v1::answer::Seen::Knock(v1::KnockEcho {
            sent: echo.sent,
            answered: echo.answered,
            icmp: echo.icmp.map(icmp_to_wire),
            local: echo.local.as_ref().map(local_to_wire),
        }),
        Seen::Probe(observation) => v1::answer::Seen::Probe(Box::new(observation.to_wire())),
        Seen::Route(chosen) => v1::answer::Seen::Route(v1::RouteChosen {
            source: chosen.source.map(address_bytes).unwrap_or_default(),
            route: chosen.route.as_ref().map(route_to_wire).unwrap_or_default(),
            error: chosen.error.as_ref().map(local_to_wire),
        }),
        Seen::Untried(why) => v1::answer::Seen::Untried(why.clone()),
    }
}

fn seen_from_wire(seen: &v1::answer::Seen) -> Result<Seen, WireError> {
    Ok(match seen {
        v1::answer::Seen::Walk(walk) => {
            if walk.hops.len() > usize::from(MOST_HOPS) {
                let why = format!("{} are more than {MOST_HOPS}", walk.hops.len());
                return Err(WireError::new("walk.hops", why));
            }
            Seen::Walk(walk.hops.iter().map(hop_from_wire).collect::<Result<_, _>>()?)
        }
        v1::answer::Seen::Knock(echo) => {
            if echo.answered > echo.sent {
                return Err(WireError::new("knock.answered", "more answers than datagrams"));
            }
            Seen::Knock(KnockEcho {
                sent: echo.sent,
                answered: echo.answered,
                icmp: echo.icmp.as_ref().map(icmp_from_wire).transpose()?,
                local: echo.local.as_ref().map(local_from_wire),
            })
        }
        v1::answer::Seen::Probe(observation) => Seen::Probe(Observation::from_wire(observation)?),
        v1::answer::Seen::Route(chosen) => Seen::Route(RouteChosen {
            source: optional_address("route.source", &chosen.source)?,
            route: route_from_wire(&chosen.route)?,
            error: chosen.error.as_ref().map(local_from_wire),
        }),
        v1::answer::Seen::Untried(why) => Seen::Untried(why.clone()),
    })
}

fn hop_to_wire(hop: Hop) -> v1::Hop {
    let answer = match hop.answer {
        HopAnswer::Silence => v1::hop::Answer::Silence(true),
        HopAnswer::Target => v1::hop::Answer::Target(true),
        HopAnswer::Error(icmp) => v1::hop::Answer::Error(icmp_to_wire(icmp)),
    };
    v1::Hop {
        ttl: hop.ttl.into(),
        answer: Some(answer),
    }
}

fn hop_from_wire(hop: &v1::Hop) -> Result<Hop, WireError> {
    let answer = match &hop.answer {
        Some(v1::hop::Answer::Silence(_)) => HopAnswer::Silence,
        Some(v1::hop::Answer::Target(_)) => HopAnswer::Target,
        Some(v1::hop::Answer::Error(icmp)) => HopAnswer::Error(icmp_from_wire(icmp)?),
        None => return Err(WireError::new("hop.answer", "it is missing")),
    };
    Ok(Hop {
        ttl: parse_u8("hop.ttl", hop.ttl)?,
        answer,
    })
}

fn route_to_wire(route: &Route) -> Vec<u8> {
    // Text, numbers and lists of them: nothing in it can fail to be written.
    serde_json::to_vec(route).unwrap_or_default()
}

/// A route is a few addresses and the name of a device.
const LONGEST_ROUTE: usize = 2_048;

fn route_from_wire(document: &[u8]) -> Result<Option<Route>, WireError> {
    if document.is_empty() {
        return Ok(None);
    }
    if document.len() > LONGEST_ROUTE {
        let why = format!("{} bytes are more than {LONGEST_ROUTE}", document.len());
        return Err(WireError::new("route.route", why));
    }
    let malformed = |error: serde_json::Error| WireError::new("route.route", error.to_string());
    let mut document = serde_json::from_slice(document).map_err(malformed)?;
    facts::clean(&mut document);
    serde_json::from_value(document).map(Some).map_err(malformed)
}
