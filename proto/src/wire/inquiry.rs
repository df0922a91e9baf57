//! The second look's questions on the wire.

use std::net::IpAddr;

use super::plan::{probe_from_wire, probe_to_wire};
use super::{WireError, address_bytes, parse_address, parse_u8, parse_u16, v1, words};
use crate::{Ask, Inquiry, InquiryId, Micros, Millis, Port};

/// What an agent is asked besides its plan, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inquire {
    /// Of which run.
    pub run_id: String,
    /// Packets (or connections) a second, at the most, over all inquiries.
    pub packets_per_second: u32,
    /// How many of them may leave at once.
    pub burst: u32,
    /// How long all of it may take.
    pub within: Millis,
    /// What to find out.
    pub inquiries: Vec<Inquiry>,
}

impl Inquire {
    /// The message for it.
    pub fn to_wire(&self) -> v1::InquireRequest {
        let inquiries = self.inquiries.iter().map(|inquiry| v1::Inquiry {
            id: inquiry.id.0,
            ask: Some(ask_to_wire(&inquiry.ask)),
        });
        v1::InquireRequest {
            run_id: self.run_id.clone(),
            packets_per_second: self.packets_per_second,
            burst: self.burst,
            within_ms: self.within.0,
            inquiries: inquiries.collect(),
        }
    }

    /// Parses what a coordinator asks.
    pub fn from_wire(message: &v1::InquireRequest) -> Result<Self, WireError> {
        if message.packets_per_second == 0 || message.burst == 0 {
            return Err(WireError::new(
                "pacing",
                "packets_per_second and burst must be at least 1",
            ));
        }
        let inquiries = message.inquiries.iter().map(|inquiry| {
            let ask = inquiry.ask.as_ref();
            let ask = ask.ok_or_else(|| WireError::new("inquiry.ask", "what to do is not said"))?;
            Ok(Inquiry {
                id: InquiryId(inquiry.id),
                ask: ask_from_wire(ask)?,
            })
        });
        Ok(Self {
            run_id: message.run_id.clone(),
            packets_per_second: message.packets_per_second,
            burst: message.burst,
            within: Millis(message.within_ms),
            inquiries: inquiries.collect::<Result<_, WireError>>()?,
        })
    }
}

fn ask_to_wire(ask: &Ask) -> v1::inquiry::Ask {
    match ask {
        Ask::Walk {
            target,
            protocol,
            port,
            hops,
            timeout,
        } => v1::inquiry::Ask::Walk(v1::Walk {
            target: address_bytes(*target),
            protocol: words::protocol_to_wire(*protocol),
            port: port.0.into(),
            hops: (*hops).into(),
            timeout_ms: timeout.0,
        }),
        Ask::Knock {
            target,
            port,
            tries,
            interval,
            timeout,
        } => v1::inquiry::Ask::Knock(v1::Knock {
            target: address_bytes(*target),
            port: port.0.into(),
            tries: (*tries).into(),
            interval_us: interval.0,
            timeout_ms: timeout.0,
        }),
        Ask::Probe { probe, source } => v1::inquiry::Ask::Probe(v1::FurtherProbe {
            probe: Some(probe_to_wire(probe)),
            source: source.map(address_bytes).unwrap_or_default(),
        }),
        Ask::Route { target } => v1::inquiry::Ask::Route(v1::RouteTo {
            target: address_bytes(*target),
        }),
    }
}

fn ask_from_wire(ask: &v1::inquiry::Ask) -> Result<Ask, WireError> {
    Ok(match ask {
        v1::inquiry::Ask::Walk(walk) => {
            let hops = parse_u8("walk.hops", walk.hops)?;
            if hops == 0 {
                return Err(WireError::new("walk.hops", "a walk has at least one"));
            }
            Ask::Walk {
                target: parse_address("walk.target", &walk.target)?,
                protocol: words::protocol_from_wire("walk.protocol", walk.protocol)?,
                port: Port(parse_u16("walk.port", walk.port)?),
                hops,
                timeout: Millis(walk.timeout_ms),
            }
        }
        v1::inquiry::Ask::Knock(knock) => {
            let tries = parse_u16("knock.tries", knock.tries)?;
            let port = parse_u16("knock.port", knock.port)?;
            if tries == 0 || port == 0 {
                return Err(WireError::new("knock", "tries and port must be at least 1"));
            }
            Ask::Knock {
                target: parse_address("knock.target", &knock.target)?,
                port: Port(port),
                tries,
                interval: Micros(knock.interval_us),
                timeout: Millis(knock.timeout_ms),
            }
        }
        v1::inquiry::Ask::Probe(further) => {
            let probe = further.probe.as_ref();
            let probe = probe.ok_or_else(|| WireError::new("probe", "which one is not said"))?;
            Ask::Probe {
                probe: probe_from_wire(probe)?,
                source: optional_address("probe.source", &further.source)?,
            }
        }
        v1::inquiry::Ask::Route(route) => Ask::Route {
            target: parse_address("route.target", &route.target)?,
        },
    })
}

/// No bytes at all are no address.
pub(super) fn optional_address(field: &'static str, bytes: &[u8]) -> Result<Option<IpAddr>, WireError> {
    match bytes {
        [] => Ok(None),
        bytes => parse_address(field, bytes).map(Some),
    }
}

#[cfg(test)]
mod tests;
