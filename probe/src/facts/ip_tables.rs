//! Rules of the legacy back end of iptables (`struct ipt_entry`, `struct ip6t_entry`).

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::{fs, io};

use mesh_net::LegacyTable;
use mesh_proto::{
    Action, Backend, Base, Hook, LEGACY_RULES, Match, MatchTest, Missing, Prefix, Rule, TableFamily,
};

use super::ip_sets::IpSets;
use super::octets::{address_at, i32_at, text_at, u8_at, u16_at, u64_at};
use super::reader::why;
use super::tables::Tables;
use super::xtables::{mask_len, match_tests, rule_text, target};

/// Reads the tables that stand. The kernel makes a table that is asked for, so only those that it names are.
pub(super) fn read(ip_sets: &IpSets, tables: &mut Tables, missing: &mut Vec<Missing>) {
    let mut reasons = Vec::new();
    for (file, v6) in [("ip_tables_names", false), ("ip6_tables_names", true)] {
        let names = match fs::read_to_string(format!("/proc/thread-self/net/{file}")) {
            Ok(names) => names,
            Err(error) => {
                reasons.extend(no_names(file, &error));
                continue;
            }
        };
        for name in names.lines() {
            match mesh_net::legacy_table(v6, name) {
                Ok(table) => put(v6, name, &table, ip_sets, tables),
                Err(errno) => reasons.push(why(errno, &format!("table {name}: {errno}"))),
            }
        }
    }
    reasons.dedup();
    if !reasons.is_empty() {
        missing.push(Missing {
            what: LEGACY_RULES.to_owned(),
            why: reasons.join("; "),
        });
    }
}

/// A kernel without the legacy back end has no such file.
fn no_names(file: &str, error: &io::Error) -> Option<String> {
    match error.kind() {
        ErrorKind::NotFound => None,
        ErrorKind::PermissionDenied => Some(format!("only root may read /proc/net/{file}")),
        _ => Some(error.to_string()),
    }
}

/// Where things are in an entry, by family.
#[derive(Debug, Clone, Copy)]
struct Layout {
    v6: bool,
    /// `iniface`, then `outiface` and the masks of both.
    interfaces: usize,
    proto: usize,
    /// `flags`, then `invflags`.
    flags: usize,
    goto: u8,
    /// `target_offset`, then `next_offset`.
    offsets: usize,
    counters: usize,
    /// How long an entry is without matches and target.
    entry: usize,
}

const V4: Layout = Layout {
    v6: false,
    interfaces: 16,
    proto: 80,
    flags: 82,
    goto: 2,
    offsets: 88,
    counters: 96,
    entry: 112,
};
const V6: Layout = Layout {
    v6: true,
    interfaces: 64,
    proto: 128,
    flags: 131,
    goto: 4,
    offsets: 140,
    counters: 152,
    entry: 168,
};

const INTERFACE: usize = 16;
/// `struct xt_entry_match` and `struct xt_entry_target`: size, name, revision.
const EXTENSION: usize = 32;
const EXTENSION_NAME: usize = 29;
/// The target where a chain of the user's begins; its content is the chain's name.
const BEGINS: &str = "ERROR";
const HOOKS: [(Hook, &str); 5] = [
    (Hook::Prerouting, "PREROUTING"),
    (Hook::Input, "INPUT"),
    (Hook::Forward, "FORWARD"),
    (Hook::Output, "OUTPUT"),
    (Hook::Postrouting, "POSTROUTING"),
];

/// A rule as the kernel has it, and where it begins.
#[derive(Debug, Clone, Copy)]
struct Entry<'a> {
    at: usize,
    bytes: &'a [u8],
    layout: Layout,
}

/// Puts a table's chains and rules among the others.
pub(super) fn put(v6: bool, name: &str, table: &LegacyTable, ip_sets: &IpSets, tables: &mut Tables) {
    let entries = entries(if v6 { V6 } else { V4 }, &table.entries);
    let family = if v6 { TableFamily::Ip6 } else { TableFamily::Ip };
    let index = tables.table(Backend::Legacy, family, name);
    // A jump goes to the first rule behind the chain's beginning.
    let begins = entries
        .iter()
        .filter_map(|entry| Some((entry.at + entry.bytes.len(), entry.begins()?)));
    let chains: BTreeMap<usize, String> = begins.collect();
    let mut chain: Option<(String, Option<usize>)> = None;
    for (number, entry) in entries.iter().enumerate() {
        if let Some(begins) = entry.begins() {
            // One more stands at the table's end.
            if number + 1 < entries.len() {
                tables.chain(index, &begins, None);
                chain = Some((begins, None));
            }
            continue;
        }
        if let Some(hook) = hook_at(table, entry.at) {
            let policy = entries
                .iter()
                .find(|policy| Some(policy.at) == offset(table.underflow[hook]));
            let accepts = policy.is_none_or(|policy| policy.verdict() != Some(VERDICT_DROP));
            tables.chain(index, HOOKS[hook].1, Some(base(name, hook, accepts)));
            chain = Some((HOOKS[hook].1.to_owned(), Some(hook)));
        }
        let Some((name, hook)) = &chain else { continue };
        // The last of a chain is its policy, or the return at its end: nobody wrote it.
        let last = match hook {
            Some(hook) => offset(table.underflow[*hook]) == Some(entry.at),
            None => entries.get(number + 1).is_none_or(|next| next.begins().is_some()),
        };
        if !last {
            tables.rule(index, name, entry.rule(&chains, ip_sets));
        }
    }
}

fn offset(number: u32) -> Option<usize> {
    usize::try_from(number).ok()
}

/// Which hook's chain begins there.
fn hook_at(table: &LegacyTable, at: usize) -> Option<usize> {
    (0..HOOKS.len())
        .find(|hook| table.valid_hooks & (1 << hook) != 0 && offset(table.hook_entry[*hook]) == Some(at))
}

/// Where a table hangs (`enum nf_ip_hook_priorities`, Linux `include/uapi/linux/netfilter_ipv4.h`).
fn base(table: &str, hook: usize, accepts: bool) -> Base {
    let hook = HOOKS[hook].0;
    let priority = match (table, hook) {
        ("raw", _) => -300,
        ("mangle", _) => -150,
        ("nat", Hook::Prerouting | Hook::Output) => -100,
        ("nat", _) => 100,
        ("security", _) => 50,
        _ => 0,
    };
    let kind = match (table, hook) {
        ("nat", _) => "nat",
        ("mangle", Hook::Output) => "route",
        _ => "filter",
    };
    Base {
        hook,
        priority,
        accepts,
        kind: kind.to_owned(),
        links: Vec::new(),
    }
}

fn entries(layout: Layout, all: &[u8]) -> Vec<Entry<'_>> {
    let mut entries = Vec::new();
    let mut at = 0;
    while let Some(bytes) = entry_at(layout, all, at) {
        entries.push(Entry { at, bytes, layout });
        at += bytes.len();
    }
    entries
}

fn entry_at(layout: Layout, all: &[u8], at: usize) -> Option<&[u8]> {
    let rest = all.get(at..)?;
    let length = usize::from(u16_at(rest, layout.offsets + 2)?);
    rest.get(..length).filter(|entry| entry.len() >= layout.entry)
}

/// `NF_DROP` as a standard target has it: minus the verdict, minus one. `XT_RETURN` is that of `NF_REPEAT`.
const VERDICT_DROP: i32 = -1;
const VERDICT_ACCEPT: i32 = -2;
const VERDICT_QUEUE: i32 = -4;
const VERDICT_RETURN: i32 = -5;

impl Entry<'_> {
    /// The target's name, revision and content.
    fn target(&self) -> (String, u8, &[u8]) {
        let at = u16_at(self.bytes, self.layout.offsets).map_or(0, usize::from);
        let target = self.bytes.get(at..).unwrap_or_default();
        (
            text_at(target, 2, EXTENSION_NAME),
            u8_at(target, 31).unwrap_or(0),
            target.get(EXTENSION..).unwrap_or_default(),
        )
    }

    /// The name of the chain that begins here.
    fn begins(&self) -> Option<String> {
        let (name, _, content) = self.target();
        (name == BEGINS).then(|| text_at(content, 0, 32))
    }

    /// What a standard target says: a verdict, or where to jump.
    fn verdict(&self) -> Option<i32> {
        let (name, _, content) = self.target();
        name.is_empty().then(|| i32_at(content, 0)).flatten()
    }

    fn rule(&self, chains: &BTreeMap<usize, String>, ip_sets: &IpSets) -> Rule {
        let mut tests = self.own_tests();
        for (name, revision, info) in self.matches() {
            tests.extend(match_tests(&name, revision.into(), info, self.layout.v6, ip_sets));
        }
        let action = self.action(chains);
        let packets = u64_at(self.bytes, self.layout.counters);
        let target = self.target().0;
        let target = Some(target.as_str()).filter(|name| !name.is_empty());
        Rule {
            text: rule_text(&tests, &action, target),
            tests,
            action,
            packets,
            handle: None,
        }
    }

    fn matches(&self) -> Vec<(String, u8, &[u8])> {
        let end = u16_at(self.bytes, self.layout.offsets).map_or(0, usize::from);
        let mut at = self.layout.entry;
        let mut matches = Vec::new();
        while at < end {
            let rest = self.bytes.get(at..end).unwrap_or_default();
            let length = u16_at(rest, 0).map_or(0, usize::from);
            let Some(one) = rest.get(..length).filter(|one| one.len() >= EXTENSION) else {
                break;
            };
            matches.push((text_at(one, 2, EXTENSION_NAME), one[31], &one[EXTENSION..]));
            at += length;
        }
        matches
    }

    fn action(&self, chains: &BTreeMap<usize, String>) -> Action {
        let (name, revision, content) = self.target();
        let Some(verdict) = self.verdict() else {
            return target(&name, revision.into(), content, self.layout.v6);
        };
        match verdict {
            VERDICT_DROP => Action::Drop,
            VERDICT_ACCEPT => Action::Accept,
            VERDICT_RETURN => Action::Return,
            VERDICT_QUEUE => Action::Other("QUEUE".to_owned()),
            to => match usize::try_from(to) {
                // A rule without a target goes on behind itself.
                Ok(to) if to == self.at + self.bytes.len() => Action::Continue,
                Ok(to) => {
                    let chain = chains.get(&to).cloned().unwrap_or_else(|| format!("#{to}"));
                    let flags = u8_at(self.bytes, self.layout.flags).unwrap_or(0);
                    if flags & self.layout.goto != 0 {
                        Action::Goto(chain)
                    } else {
                        Action::Jump(chain)
                    }
                }
                Err(_) => Action::Other(format!("verdict {to}")),
            },
        }
    }

    /// What every entry can test by itself.
    fn own_tests(&self) -> Vec<MatchTest> {
        const VIA_IN: u8 = 1;
        const VIA_OUT: u8 = 2;
        const SOURCE: u8 = 8;
        const DESTINATION: u8 = 0x10;
        const FRAGMENT: u8 = 0x20;
        const PROTOCOL: u8 = 0x40;
        let layout = self.layout;
        let inverted = u8_at(self.bytes, layout.flags + 1).unwrap_or(0);
        let mut tests = Vec::new();
        let mut add = |flag: u8, on: Option<Match>| {
            tests.extend(on.map(|on| MatchTest {
                not: inverted & flag != 0,
                on,
            }));
        };
        let len = if layout.v6 { 16 } else { 4 };
        add(
            SOURCE,
            self.network(0, 2 * len, inverted & SOURCE != 0, Match::Source),
        );
        add(
            DESTINATION,
            self.network(len, 3 * len, inverted & DESTINATION != 0, Match::Destination),
        );
        add(VIA_IN, self.interface(0).map(Match::InLink));
        add(VIA_OUT, self.interface(1).map(Match::OutLink));
        let protocol = u16_at(self.bytes, layout.proto).and_then(|protocol| u8::try_from(protocol).ok());
        add(
            PROTOCOL,
            protocol.filter(|protocol| *protocol != 0).map(Match::Protocol),
        );
        let fragments = !layout.v6 && u8_at(self.bytes, layout.flags).unwrap_or(0) & 1 != 0;
        add(FRAGMENT, fragments.then(|| Match::Other("-f".to_owned())));
        tests
    }

    /// An address under its mask, unless that is everything.
    fn network(&self, at: usize, mask: usize, not: bool, on: fn(Vec<Prefix>) -> Match) -> Option<Match> {
        let address = address_at(self.bytes, at, self.layout.v6)?;
        let mask = self.bytes.get(mask..mask + if self.layout.v6 { 16 } else { 4 })?;
        match mask_len(mask) {
            Some(0) if !not => None,
            Some(len) => Some(on(vec![Prefix { address, len }])),
            // Masks with holes: nobody writes them, but the kernel takes them.
            None => Some(Match::Other(format!("address {address} under the mask {mask:?}"))),
        }
    }

    /// The name of a device; a `+` at its end where the mask ends before the name does.
    fn interface(&self, which: usize) -> Option<String> {
        let at = self.layout.interfaces + which * INTERFACE;
        let name = text_at(self.bytes, at, INTERFACE);
        let mask = self.bytes.get(at + 2 * INTERFACE..at + 3 * INTERFACE)?;
        let counts = mask.iter().filter(|byte| **byte != 0).count();
        match (name.len(), counts) {
            (0, _) | (1, 0) => None,
            (len, counts) if counts > len || len >= INTERFACE - 1 => Some(name),
            (_, counts) => Some(format!("{}+", name.chars().take(counts).collect::<String>())),
        }
    }
}
