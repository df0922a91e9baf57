//! Rules while they are read. Of a giant set the agent keeps what decides about packets before what only leads there: it
//! is to stay small, and so is the document that it sends.

use std::collections::HashMap;

use mesh_proto::{Action, Backend, Base, Chain, Match, MatchTest, Rule, Table, TableFamily};

/// Tables of both back ends.
#[derive(Debug, Default)]
pub(super) struct Tables {
    tables: Vec<Growing>,
    /// Bytes of rules kept so far, of each rank.
    kept: [usize; 2],
}

#[derive(Debug)]
struct Growing {
    backend: Backend,
    family: TableFamily,
    name: String,
    chains: Vec<GrowingChain>,
    by_name: HashMap<String, usize>,
}

#[derive(Debug)]
struct GrowingChain {
    name: String,
    base: Option<Base>,
    entries: Vec<Entry>,
}

#[derive(Debug)]
enum Entry {
    Kept { rule: Rule, rank: Rank, size: usize },
    LeftOut(usize),
}

/// What is kept first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rank {
    /// All in base chains, and what accepts, drops, rejects, or translates the source.
    Decides,
    /// Jumps, marks, translations to endpoints: the bulk of what kube-proxy writes.
    Leads,
}

/// Of each rank while reading, in bytes of the document; about as much is taken in memory.
const ROOM: usize = 5 << 19;

/// How many rules there were, and how many of them are told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) all: usize,
    pub(super) left_out: usize,
}

/// A table to put chains and rules into.
#[derive(Debug, Clone, Copy)]
pub(super) struct TableIndex(usize);

impl Tables {
    /// Adds a table.
    pub(super) fn table(&mut self, backend: Backend, family: TableFamily, name: &str) -> TableIndex {
        self.tables.push(Growing {
            backend,
            family,
            name: name.to_owned(),
            chains: Vec::new(),
            by_name: HashMap::new(),
        });
        TableIndex(self.tables.len() - 1)
    }

    /// Adds a chain.
    pub(super) fn chain(&mut self, table: TableIndex, name: &str, base: Option<Base>) {
        let Some(table) = self.tables.get_mut(table.0) else {
            return;
        };
        table.by_name.insert(name.to_owned(), table.chains.len());
        table.chains.push(GrowingChain {
            name: name.to_owned(),
            base,
            entries: Vec::new(),
        });
    }

    /// Adds a rule to the end of a chain.
    pub(super) fn rule(&mut self, table: TableIndex, chain: &str, rule: Rule) {
        let Some(table) = self.tables.get_mut(table.0) else {
            return;
        };
        let Some(chain) = table
            .by_name
            .get(chain)
            .and_then(|index| table.chains.get_mut(*index))
        else {
            return;
        };
        let rank = if chain.base.is_some() || decides(&rule.action) {
            Rank::Decides
        } else {
            Rank::Leads
        };
        let size = size(&rule);
        let kept = &mut self.kept[rank as usize];
        if *kept + size <= ROOM {
            *kept += size;
            chain.entries.push(Entry::Kept { rule, rank, size });
        } else {
            chain.leave_out();
        }
    }

    /// The tables with so many bytes of rules, and how many rules are left out.
    pub(super) fn within(self, room: usize) -> (Vec<Table>, Told) {
        let deciding = self.kept[Rank::Decides as usize].min(room);
        let mut left = [deciding, room - deciding];
        let mut told = Told::default();
        let mut tables = Vec::new();
        for growing in self.tables {
            let mut chains = Vec::new();
            for mut chain in growing.chains {
                chain.cut(&mut left);
                let (all, out) = chain.count();
                told.all += all;
                told.left_out += out;
                // A chain of which nothing is left costs as much as a rule.
                if chain.base.is_some() || out == 0 || out < all {
                    chains.push(chain.finish());
                }
            }
            let (backend, family, name) = (growing.backend, growing.family, growing.name);
            tables.push(Table {
                backend,
                family,
                name,
                chains,
            });
        }
        (tables, told)
    }
}

impl GrowingChain {
    fn leave_out(&mut self) {
        if let Some(Entry::LeftOut(count)) = self.entries.last_mut() {
            *count += 1;
        } else {
            self.entries.push(Entry::LeftOut(1));
        }
    }

    /// Leaves out what there is no more room for in its rank.
    fn cut(&mut self, left: &mut [usize; 2]) {
        for entry in std::mem::take(&mut self.entries) {
            match entry {
                Entry::LeftOut(count) => (0..count).for_each(|_| self.leave_out()),
                Entry::Kept { rank, size, .. } if left[rank as usize] < size => {
                    left[rank as usize] = 0;
                    self.leave_out();
                }
                Entry::Kept { rule, rank, size } => {
                    left[rank as usize] -= size;
                    self.entries.push(Entry::Kept { rule, rank, size });
                }
            }
        }
    }

    fn count(&self) -> (usize, usize) {
        self.entries.iter().fold((0, 0), |(all, out), entry| match entry {
            Entry::Kept { .. } => (all + 1, out),
            Entry::LeftOut(count) => (all + count, out + count),
        })
    }

    fn finish(self) -> Chain {
        let rules = self.entries.into_iter().map(|entry| match entry {
            Entry::Kept { rule, .. } => rule,
            Entry::LeftOut(count) => left_out(count),
        });
        Chain {
            rules: rules.collect(),
            name: self.name,
            base: self.base,
        }
    }
}

/// Stands where rules were left out, so that nobody takes the chain for one that lets packets pass there.
fn left_out(count: usize) -> Rule {
    Rule {
        text: format!("... {count} more, not told"),
        tests: vec![MatchTest {
            not: false,
            on: Match::Other("not told".to_owned()),
        }],
        action: Action::Other("not told".to_owned()),
        packets: None,
        handle: None,
    }
}

fn decides(action: &Action) -> bool {
    match action {
        Action::Accept | Action::Drop | Action::Reject { .. } | Action::Reset | Action::SourceNat { .. } => {
            true
        }
        Action::Jump(_)
        | Action::Goto(_)
        | Action::Return
        | Action::DestinationNat { .. }
        | Action::SetMark
        | Action::Continue
        | Action::Other(_) => false,
    }
}

/// How long a rule is in the document, at the most.
fn size(rule: &Rule) -> usize {
    const PREFIX: usize = 46;
    const PORTS: usize = 28;
    let of_test = |test: &MatchTest| match &test.on {
        Match::Source(all) | Match::Destination(all) => all.len() * PREFIX,
        Match::SourcePort(all) | Match::DestinationPort(all) => all.len() * PORTS,
        Match::InLink(text) | Match::OutLink(text) | Match::Comment(text) | Match::Other(text) => {
            escaped(text)
        }
        Match::Connection(_) => 90,
        Match::Protocol(_)
        | Match::DestinationTranslated
        | Match::Mark { .. }
        | Match::DestinationIsLocal
        | Match::SourceIsLocal
        | Match::Icmp { .. }
        | Match::Length(..)
        | Match::Random(_) => 40,
    };
    let tests: usize = rule.tests.iter().map(|test| of_test(test) + 50).sum();
    let action = match &rule.action {
        Action::Jump(text) | Action::Goto(text) | Action::Other(text) => escaped(text),
        _ => 60,
    };
    escaped(&rule.text) + tests + action + 90
}

/// Quotes and control characters take more room in JSON.
fn escaped(text: &str) -> usize {
    text.len()
        + text.bytes().filter(|byte| matches!(byte, b'"' | b'\\')).count()
        + 5 * text.bytes().filter(u8::is_ascii_control).count()
}

#[cfg(test)]
mod tests;
