//! What may be asked at once. More is a mistake of the coordinator, or worse.

use std::collections::BTreeSet;
use std::net::IpAddr;

use mesh_proto::wire::Inquire;
use mesh_proto::{Ask, InquiryId, MOST_HOPS, PlannedProbe, Protocol, TRIES_PER_HOP, WAVES};

use crate::plan_bounds::{BeyondBounds, check_probe};

/// A second look is at the suspects only.
const MOST_INQUIRIES: usize = 512;
/// Of all of them: three seconds at the usual pace.
const MOST_PACKETS: u64 = 12_000;
/// ICMP errors are limited to one a second, and all must be done in a few.
const MOST_KNOCKS: u16 = 64;
/// Addresses of the machine to probe from; each is a plan of its own.
const MOST_SOURCES: usize = 8;

/// Why an inquiry is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    #[error("{0} inquiries are more than {MOST_INQUIRIES}")]
    TooMany(usize),
    #[error("the inquiries would take {0} packets, more than {MOST_PACKETS}")]
    TooMuch(u64),
    #[error("inquiry {} is there twice", .0.0)]
    Twice(InquiryId),
    #[error("inquiry {}: {hops} hops are more than {MOST_HOPS}", .id.0)]
    TooFar { id: InquiryId, hops: u8 },
    #[error("inquiry {}: {tries} datagrams are more than {MOST_KNOCKS}", .id.0)]
    TooOften { id: InquiryId, tries: u16 },
    #[error("inquiry {}: {protocol} goes to a port", .id.0)]
    NoPort { id: InquiryId, protocol: Protocol },
    #[error("inquiry {}: nothing gets from {from} to {target}, which is of the other family", .id.0)]
    Families {
        id: InquiryId,
        from: IpAddr,
        target: IpAddr,
    },
    #[error("{0} source addresses are more than {MOST_SOURCES}")]
    TooManySources(usize),
    #[error("inquiry {}: {source}", .id.0)]
    Probe { id: InquiryId, source: BeyondBounds },
}

/// Refuses what no coordinator of ours asks, before it costs memory or sockets. `agents` is how many the run has.
pub(crate) fn check(inquire: &Inquire, agents: usize) -> Result<(), Refused> {
    if inquire.inquiries.len() > MOST_INQUIRIES {
        return Err(Refused::TooMany(inquire.inquiries.len()));
    }
    let (mut ids, mut sources) = (BTreeSet::new(), BTreeSet::new());
    let mut all = 0;
    for inquiry in &inquire.inquiries {
        let id = inquiry.id;
        if !ids.insert(id) {
            return Err(Refused::Twice(id));
        }
        match &inquiry.ask {
            Ask::Walk { hops, .. } if *hops > MOST_HOPS => return Err(Refused::TooFar { id, hops: *hops }),
            Ask::Walk { protocol, port, .. } if port.0 == 0 && *protocol != Protocol::Icmp => {
                let protocol = *protocol;
                return Err(Refused::NoPort { id, protocol });
            }
            Ask::Knock { tries, .. } if *tries > MOST_KNOCKS => {
                return Err(Refused::TooOften { id, tries: *tries });
            }
            Ask::Probe { probe, source } => {
                check_probe(probe, agents).map_err(|source| Refused::Probe { id, source })?;
                if let Some(from) = source.filter(|from| from.is_ipv4() != probe.address.is_ipv4()) {
                    let target = probe.address;
                    return Err(Refused::Families { id, from, target });
                }
                sources.extend(*source);
            }
            Ask::Walk { .. } | Ask::Knock { .. } | Ask::Route { .. } => {}
        }
        all += packets(&inquiry.ask);
    }
    if all > MOST_PACKETS {
        return Err(Refused::TooMuch(all));
    }
    if sources.len() > MOST_SOURCES {
        return Err(Refused::TooManySources(sources.len()));
    }
    Ok(())
}

/// The most packets that an inquiry sends.
fn packets(ask: &Ask) -> u64 {
    match ask {
        Ask::Walk { hops, .. } => u64::from(*hops) * u64::from(TRIES_PER_HOP),
        Ask::Knock { tries, .. } => (*tries).into(),
        Ask::Probe {
            probe: PlannedProbe { flows, tries, .. },
            ..
        } => u64::from(*flows) * u64::from(*tries) * u64::from(WAVES),
        Ask::Route { .. } => 0,
    }
}

#[cfg(test)]
#[path = "bounds_tests.rs"]
mod tests;
