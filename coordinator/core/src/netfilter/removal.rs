//! How to take away what stops a packet, in the words of the tool that it was written with.

use mesh_proto::{Action, Backend, Chain, Table, TableFamily};

use super::Stop;

impl Stop<'_> {
    /// The command that takes it away, with a comment of the shell that has another one; `None` where the rule cannot be told from others of its chain.
    pub(crate) fn removal(&self) -> Option<String> {
        let Table {
            backend,
            family,
            name,
            ..
        } = self.table;
        let chain = &self.chain.name;
        let tool = match (family, backend) {
            (TableFamily::Ip6, Backend::Legacy) => "ip6tables-legacy",
            (_, Backend::Legacy) => "iptables-legacy",
            (TableFamily::Ip6, Backend::Nft) => "ip6tables",
            (_, Backend::Nft) => "iptables",
        };
        let table = if name == "filter" {
            String::new()
        } else {
            format!(" -t {name}")
        };
        let Some((place, rule)) = self.rule else {
            let by_iptables = format!("{tool}{table} -P {chain} ACCEPT");
            let by_nft = format!("nft 'chain {family} {name} {chain} {{ policy accept; }}'");
            return Some(match (backend, is_of_iptables(*family, name, chain)) {
                (Backend::Legacy, _) => by_iptables,
                (Backend::Nft, true) => format!("{by_iptables}  # or: {by_nft}"),
                (Backend::Nft, false) => by_nft,
            });
        };
        let by_number = number(self.chain, place).map(|number| format!("{tool}{table} -D {chain} {number}"));
        match backend {
            Backend::Legacy => by_number,
            Backend::Nft => {
                let by_handle = rule
                    .handle
                    .map(|handle| format!("nft delete rule {family} {name} {chain} handle {handle}"));
                // What iptables wrote begins with an option, as it writes it.
                match (by_number.filter(|_| rule.text.starts_with('-')), by_handle) {
                    (Some(by_number), Some(by_handle)) => Some(format!("{by_number}  # or: {by_handle}")),
                    (Some(one), None) | (None, Some(one)) => Some(one),
                    (None, None) => None,
                }
            }
        }
    }
}

/// Whether a chain is one of those that iptables has from the beginning.
fn is_of_iptables(family: TableFamily, table: &str, chain: &str) -> bool {
    matches!(family, TableFamily::Ip | TableFamily::Ip6)
        && ["filter", "raw", "mangle", "nat", "security"].contains(&table)
        && ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"].contains(&chain)
}

/// The number of a rule in its chain as iptables counts, from 1; `None` where rules before it were not told.
fn number(chain: &Chain, place: usize) -> Option<usize> {
    let before = chain.rules.get(..place)?;
    if before
        .iter()
        .any(|rule| rule.action == Action::Other(LEFT_OUT.to_owned()))
    {
        return None;
    }
    // One rule may be told as several, for its alternatives.
    let own = chain.rules.get(place)?.handle;
    let starts = before.iter().enumerate().filter(|(at, rule)| {
        let is_same = |other: Option<u64>| rule.handle.is_some() && rule.handle == other;
        let follows = *at > 0 && is_same(before.get(at - 1).and_then(|rule| rule.handle));
        !follows && !is_same(own)
    });
    Some(starts.count() + 1)
}

/// What an agent says that rules do which it left out for want of room.
const LEFT_OUT: &str = "not told";

#[cfg(test)]
mod tests;
