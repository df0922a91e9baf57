//! The values of keys: which ones each takes in a certain lab, and what it is if left out. One place, for the check and for
//! its words.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use mesh_proto::{NodeName, Port};

use super::keys::{Key, Nodes, Takes, Usual};
use crate::cidr::IpFamily;
use crate::options::Encapsulation;
use crate::topology::{Node, Topology};

/// What a fault was given, and what was filled in.
pub(super) type Values = BTreeMap<&'static str, Value>;

/// The value of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// Every node.
    All,
    /// These nodes.
    Nodes(Vec<NodeName>),
    /// A word of the key's list.
    Word(&'static str),
    /// A number.
    Number(u32),
    /// An address.
    Address(IpAddr),
}

impl Key {
    /// Its value if none is given; earlier keys have theirs.
    pub(super) fn usual(&self, values: &Values, topology: &Topology) -> Option<Value> {
        match self.takes {
            Takes::Words(words) => words.first().map(|word| Value::Word(word)),
            Takes::Nodes(nodes) => match nodes.usual {
                Usual::None => None,
                Usual::All => Some(Value::All),
                Usual::At(place) => {
                    let names = nodes.names(values, topology);
                    let name = names.get(place).or(names.last())?;
                    Some(Value::Nodes(vec![name.clone()]))
                }
            },
            Takes::Number { usual, .. } => usual.map(Value::Number),
            // What is no smaller than the network's own MTU takes nothing away.
            Takes::Size => Some(Value::Number(1_400.min(topology.options.mtu - 100))),
            Takes::FreePort => {
                let Encapsulation::Vxlan(port) = topology.options.encapsulation else {
                    return None;
                };
                let taken = topology.options.ports();
                let mut after = (port.0..=u16::MAX).chain(1..port.0).map(Port);
                let free = after.find(|port| !taken.contains(port))?;
                Some(Value::Number(free.0.into()))
            }
            Takes::Address => None,
        }
    }

    /// Reads a value; earlier keys have theirs. Or what would do.
    pub(super) fn read(&self, text: &str, values: &Values, topology: &Topology) -> Result<Value, Expected> {
        let in_range = |least: u32, most: u32, unit: &str| {
            let number = text.parse().ok().filter(|number| (least..=most).contains(number));
            let expected = || Expected::said(format!("{least} to {most} {unit}"));
            number.map(Value::Number).ok_or_else(expected)
        };
        match self.takes {
            Takes::Words(words) => {
                let found = words.iter().find(|word| **word == text);
                found
                    .map(|word| Value::Word(word))
                    .ok_or_else(|| Expected::one_of(words.iter().map(|word| (*word).to_owned())))
            }
            Takes::Nodes(nodes) => nodes.read(text, values, topology),
            Takes::Number {
                least, most, unit, ..
            } => in_range(least, most, unit),
            Takes::Size => in_range(least_size(topology), topology.options.mtu - 1, "bytes"),
            Takes::FreePort => {
                let taken = topology.options.ports();
                let port = text.parse().ok().filter(|port| *port != 0);
                let port = port.filter(|port| !taken.contains(&Port(*port)));
                let listed: Vec<String> = taken.iter().map(ToString::to_string).collect();
                port.map(|port| Value::Number(port.into())).ok_or_else(|| {
                    Expected::said(format!(
                        "a port from 1 to 65535 that the lab does not use (it uses {})",
                        listed.join(", ")
                    ))
                })
            }
            Takes::Address => {
                let family = topology.family();
                let address = text
                    .parse()
                    .ok()
                    .filter(|address| IpFamily::of(*address) == family);
                address
                    .map(Value::Address)
                    .ok_or_else(|| Expected::said(format!("an {family} address")))
            }
        }
    }
}

/// Linux wants so many bytes to pass at least: RFC 791 for IPv4 hosts, RFC 8200 section 5.
fn least_size(topology: &Topology) -> u32 {
    let mut families = topology.options.families();
    if families.any(|networks| networks.family() == IpFamily::V6) {
        1_280
    } else {
        576
    }
}

impl Nodes {
    /// The names that would do.
    fn names(self, values: &Values, topology: &Topology) -> Vec<NodeName> {
        let taken = |name: &NodeName| {
            self.but.iter().any(|key| match values.get(key) {
                Some(Value::Nodes(names)) => names.contains(name),
                _ => false,
            })
        };
        let counts = self
            .home_when
            .is_none_or(|(key, word)| matches!(values.get(key), Some(Value::Word(given)) if *given == word));
        let is_home = |node: &&Node| match self.home_of.filter(|_| counts) {
            Some(role) => node.pods.iter().any(|pod| pod.role == role),
            None => true,
        };
        let names = topology.nodes.iter().filter(is_home).map(|node| &node.name);
        names.filter(|name| !taken(name)).cloned().collect()
    }

    fn read(self, text: &str, values: &Values, topology: &Topology) -> Result<Value, Expected> {
        if self.all && text == "all" {
            return Ok(Value::All);
        }
        let known = self.names(values, topology);
        let find = |text: &str| known.iter().find(|name| name.as_str() == text).cloned();
        // A name may have a plus of its own.
        if let Some(name) = find(text) {
            return Ok(Value::Nodes(vec![name]));
        }
        let named: Option<Vec<NodeName>> = text.split('+').map(find).collect();
        let mut words: Vec<String> = known.iter().map(ToString::to_string).collect();
        if self.all {
            words.insert(0, "all".to_owned());
        }
        let mut named = named.filter(|_| self.many).ok_or_else(|| {
            let mut expected = Expected::one_of(words);
            expected.or_several = self.many;
            expected
        })?;
        // In the lab's order, so that one set has one spelling.
        named.sort_by_key(|name| topology.nodes.iter().position(|node| node.name == *name));
        named.dedup();
        Ok(Value::Nodes(named))
    }
}

/// What would have done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Expected {
    words: String,
    /// Each word, where there is a list.
    pub(super) list: Vec<String>,
    or_several: bool,
}

impl Expected {
    fn said(words: String) -> Self {
        Self {
            words,
            list: Vec::new(),
            or_several: false,
        }
    }

    fn one_of(list: impl IntoIterator<Item = String>) -> Self {
        Self {
            words: String::new(),
            list: list.into_iter().collect(),
            or_several: false,
        }
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// More would only be scrolled away.
        const SHOWN: usize = 12;
        match self.list.as_slice() {
            [] => f.write_str(&self.words)?,
            [only] => f.write_str(only)?,
            all => {
                let shown: Vec<&str> = all.iter().take(SHOWN).map(String::as_str).collect();
                let more = if all.len() > SHOWN { ", ..." } else { "" };
                write!(f, "one of {}{more}", shown.join(", "))?;
            }
        }
        if self.or_several && self.list.len() > 1 {
            f.write_str(", or several joined by +")?;
        }
        Ok(())
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Nodes(names) => {
                let names: Vec<&str> = names.iter().map(NodeName::as_str).collect();
                f.write_str(&names.join("+"))
            }
            Self::Word(word) => f.write_str(word),
            Self::Number(number) => number.fmt(f),
            Self::Address(address) => address.fmt(f),
        }
    }
}
