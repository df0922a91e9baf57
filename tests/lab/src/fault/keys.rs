//! The keys that faults take: how the rows of the table spell them. Which values each takes in a certain lab is in
//! `values`.

use super::values::{Value, Values};
use crate::topology::Role;

/// A key of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// What it says.
    pub says: &'static str,
    pub(super) takes: Takes,
    /// The key that it goes with, and the values of that key that it goes with; of others it is no key.
    pub(super) when: Option<(&'static str, &'static [&'static str])>,
}

/// What kind of value a key takes, and what it is if left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    /// Names of nodes.
    Nodes(Nodes),
    /// One of these; the first if left out.
    Words(&'static [&'static str]),
    /// A number within bounds.
    Number {
        least: u32,
        most: u32,
        unit: &'static str,
        usual: Option<u32>,
    },
    /// The size of an IP packet that the lab's network would pass.
    Size,
    /// A port that the lab does not use; the next after the overlay's.
    FreePort,
    /// An address of the lab's first family.
    Address,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Nodes {
    /// `a+b` will do.
    pub(super) many: bool,
    /// `all` will do.
    pub(super) all: bool,
    /// Not those of these keys.
    pub(super) but: &'static [&'static str],
    /// Only nodes with such a pod.
    pub(super) home_of: Option<Role>,
    /// That only where this key, which stands before it, has this word.
    pub(super) home_when: Option<(&'static str, &'static str)>,
    pub(super) usual: Usual,
}

/// Which nodes if none are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Usual {
    None,
    All,
    /// The one at this place of those that would do, or the last before.
    At(usize),
}

impl Key {
    /// The name of a node; the second one if left out.
    pub(super) const fn node(name: &'static str, says: &'static str) -> Self {
        let nodes = Nodes {
            many: false,
            all: false,
            but: &[],
            home_of: None,
            home_when: None,
            usual: Usual::At(1),
        };
        Self::new(name, says, Takes::Nodes(nodes))
    }

    /// One of some words; the first if left out.
    pub(super) const fn words(
        name: &'static str,
        words: &'static [&'static str],
        says: &'static str,
    ) -> Self {
        Self::new(name, says, Takes::Words(words))
    }

    /// A share of something, in percent.
    pub(super) const fn percent(name: &'static str, usual: Option<u32>, says: &'static str) -> Self {
        Self::new(
            name,
            says,
            Takes::Number {
                least: 1,
                most: 100,
                unit: "percent",
                usual,
            },
        )
    }

    pub(super) const fn size(says: &'static str) -> Self {
        Self::new("size", says, Takes::Size)
    }

    pub(super) const fn free_port(says: &'static str) -> Self {
        Self::new("port", says, Takes::FreePort)
    }

    pub(super) const fn address(says: &'static str) -> Self {
        Self::new("address", says, Takes::Address)
    }

    /// Several nodes will do: `a+b`.
    pub(super) const fn or_more(mut self) -> Self {
        if let Takes::Nodes(nodes) = &mut self.takes {
            nodes.many = true;
        }
        self
    }

    /// Several nodes will do, and `all`; that is what it is if left out.
    pub(super) const fn or_all(mut self) -> Self {
        if let Takes::Nodes(nodes) = &mut self.takes {
            nodes.many = true;
            nodes.all = true;
            nodes.usual = Usual::All;
        }
        self
    }

    /// Several nodes will do, and `all`; the second if left out.
    pub(super) const fn or_more_or_all(mut self) -> Self {
        if let Takes::Nodes(nodes) = &mut self.takes {
            nodes.many = true;
            nodes.all = true;
        }
        self
    }

    /// None if left out.
    pub(super) const fn optional(mut self) -> Self {
        if let Takes::Nodes(nodes) = &mut self.takes {
            nodes.usual = Usual::None;
        }
        self
    }

    /// The first that would do if left out.
    pub(super) const fn or_first(mut self) -> Self {
        if let Takes::Nodes(nodes) = &mut self.takes {
            nodes.usual = Usual::At(0);
        }
        self
    }

    /// None of those of these keys, which stand before it; the first of the others if left out.
    pub(super) const fn but(mut self, keys: &'static [&'static str]) -> Self {
        if let Takes::Nodes(nodes) = &mut self.takes {
            nodes.but = keys;
            nodes.usual = Usual::At(0);
        }
        self
    }

    /// Only nodes with such a pod; the first of them if left out.
    pub(super) const fn home_of(mut self, role: Role) -> Self {
        if let Takes::Nodes(nodes) = &mut self.takes {
            nodes.home_of = Some(role);
            nodes.usual = Usual::At(0);
        }
        self
    }

    /// Only nodes with such a pod where `key`, which stands before it, is this word.
    pub(super) const fn home_if(mut self, role: Role, key: &'static str, word: &'static str) -> Self {
        if let Takes::Nodes(nodes) = &mut self.takes {
            nodes.home_of = Some(role);
            nodes.home_when = Some((key, word));
        }
        self
    }

    /// A key only where `key`, which stands before it, is one of `words`.
    pub(super) const fn when(mut self, key: &'static str, words: &'static [&'static str]) -> Self {
        self.when = Some((key, words));
        self
    }

    const fn new(name: &'static str, says: &'static str, takes: Takes) -> Self {
        Self {
            name,
            says,
            takes,
            when: None,
        }
    }

    /// Why it is no key beside these values: the key and the words that it goes with.
    pub(super) fn out_of_place(&self, values: &Values) -> Option<String> {
        let (key, words) = self.when?;
        let fits = matches!(values.get(key), Some(Value::Word(word)) if words.contains(word));
        (!fits).then(|| format!("{key}={}", words.join(" or ")))
    }

    /// What it takes, in a table of keys.
    pub fn expects(&self) -> String {
        let (what, usual) = match self.takes {
            Takes::Words([only]) => ((*only).to_owned(), None),
            Takes::Words(words) => (words.join("|"), words.first().map(|word| (*word).to_owned())),
            Takes::Nodes(nodes) => {
                let mut what = "NODE".to_owned();
                if nodes.many {
                    what.push_str("[+NODE...]");
                }
                if nodes.all {
                    what.push_str("|all");
                }
                let usual = match nodes.usual {
                    Usual::None => None,
                    Usual::All => Some("all".to_owned()),
                    Usual::At(0) => Some("the first that fits".to_owned()),
                    Usual::At(_) => Some("the second".to_owned()),
                };
                (what, usual)
            }
            Takes::Number {
                least,
                most,
                unit,
                usual,
            } => (
                format!("{least}..{most} {unit}"),
                usual.map(|usual| usual.to_string()),
            ),
            Takes::Size => ("BYTES".to_owned(), Some("1400, or 100 below the MTU".to_owned())),
            Takes::FreePort => ("PORT".to_owned(), Some("the next free one".to_owned())),
            Takes::Address => ("ADDRESS".to_owned(), Some("one that nobody has".to_owned())),
        };
        let usual = usual
            .map(|usual| format!(" (if left out: {usual})"))
            .unwrap_or_default();
        let with = |(key, words): (&str, &[&str])| format!(" (with {key}={})", words.join(" or "));
        let when = self.when.map(with).unwrap_or_default();
        format!("{what}{usual}{when}")
    }
}
