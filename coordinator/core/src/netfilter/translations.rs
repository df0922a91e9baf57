//! Where rules send what is for a service.

use std::net::IpAddr;

use mesh_proto::{Action, Hook, Netfilter, Port, Table};

use super::packet::{Holds, Packet, holds};
use super::{Stop, sees};

/// The targets of all destination translations that a packet may meet: those of a service's endpoints, chosen by chance.
/// Rules that do not test the destination at all are left out, since they are not of the service.
pub(crate) fn translations(filter: &Netfilter, packet: &Packet<'_>) -> Vec<(IpAddr, Option<Port>)> {
    let hook = if packet.from_here {
        Hook::Output
    } else {
        Hook::Prerouting
    };
    let mut found = Vec::new();
    for table in filter.tables.iter().filter(|table| sees(table.family, packet)) {
        let bases = table
            .chains
            .iter()
            .filter(|chain| chain.base.as_ref().is_some_and(|base| base.hook == hook));
        for chain in bases {
            collect(table, &chain.name, packet, MOST_JUMPS, &mut found);
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// No service's chains are deeper.
const MOST_JUMPS: u32 = 8;

fn collect(
    table: &Table,
    chain: &str,
    packet: &Packet<'_>,
    left: u32,
    found: &mut Vec<(IpAddr, Option<Port>)>,
) {
    let Some(chain) = table
        .chains
        .iter()
        .find(|of| of.name == chain)
        .filter(|_| left > 0)
    else {
        return;
    };
    for rule in &chain.rules {
        if holds(rule, packet, false) == Holds::No {
            continue;
        }
        match &rule.action {
            Action::Jump(to) | Action::Goto(to) => collect(table, to, packet, left - 1, found),
            Action::DestinationNat {
                address: Some(address),
                port,
            } => found.push((*address, *port)),
            _ => {}
        }
    }
}

/// The first rule with such an action that a packet is sure to meet at a hook.
pub(crate) fn met<'a>(
    filter: &'a Netfilter,
    hook: Hook,
    packet: &Packet<'_>,
    counts: impl Fn(&Action) -> bool + Copy,
) -> Option<Stop<'a>> {
    let tables = filter.tables.iter().filter(|table| sees(table.family, packet));
    tables.into_iter().find_map(|table| {
        let mut bases = table
            .chains
            .iter()
            .filter(|chain| chain.base.as_ref().is_some_and(|base| base.hook == hook));
        bases.find_map(|chain| met_in(table, &chain.name, packet, MOST_JUMPS, counts))
    })
}

fn met_in<'a>(
    table: &'a Table,
    chain: &str,
    packet: &Packet<'_>,
    left: u32,
    counts: impl Fn(&Action) -> bool + Copy,
) -> Option<Stop<'a>> {
    let chain = table
        .chains
        .iter()
        .find(|of| of.name == chain)
        .filter(|_| left > 0)?;
    let rules = chain.rules.iter().enumerate();
    for (place, rule) in rules.filter(|(_, rule)| holds(rule, packet, false) == Holds::Yes) {
        match &rule.action {
            action if counts(action) => {
                return Some(Stop {
                    table,
                    chain,
                    rule: Some((place, rule)),
                    sure: true,
                });
            }
            Action::Jump(to) | Action::Goto(to) => {
                if let Some(found) = met_in(table, to, packet, left - 1, counts) {
                    return Some(found);
                }
            }
            Action::Return => return None,
            _ => {}
        }
    }
    None
}
