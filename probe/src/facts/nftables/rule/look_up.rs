//! Look-ups in sets, maps and verdict maps.

use mesh_net::Attributes;
use mesh_proto::{Action, Match, MatchTest};

use super::compare::whole_field;
use super::{MOST_BRANCHES, MOST_RULES, Reading, RuleReader, network_order, slot, verdict};
use crate::facts::links::Names;
use crate::facts::nftables::field::{Field, Loaded, What, hex};
use crate::facts::nftables::sets::{Data, Element, Set};
use crate::facts::nftables::values::{Span, Tested, address, number, tested};
use crate::facts::xtables::plain;

/// Elements that a text shows.
const SHOWN: usize = 24;

/// What a key is made of: each part with where it begins in the key.
#[derive(Debug)]
struct Key {
    parts: Vec<(Loaded, usize)>,
}

impl Reading {
    /// `lookup`.
    pub(super) fn look_up(&mut self, data: &Attributes<'_>, reader: &mut RuleReader<'_>) -> Option<()> {
        const INVERTED: u32 = 1;
        const VERDICT: u32 = 0;
        let name = data.find(1)?.text();
        let destination = data.find(3).and_then(|register| register.u32_be());
        let not = data.find(5).and_then(|flags| flags.u32_be()).unwrap_or(0) & INVERTED != 0;
        let (shape, set) = reader.sets.get(self.family, &self.table, &name);
        let key = self.key(data.find(2)?.u32_be()?, shape.key_len)?;
        let names = reader.names;
        let key_text: Vec<String> = key
            .parts
            .iter()
            .map(|(part, _)| part.name(self.context))
            .collect();
        let key_text = key_text.join(" . ");
        let called = if shape.anonymous() {
            String::new()
        } else {
            format!("@{name} ")
        };
        let shown = || format!("{called}{}", key.show(&set, names));
        match destination {
            None => {
                let sign = if not { "!= " } else { "" };
                // A name is enough to find it by.
                let text = if shape.anonymous() {
                    format!("{key_text} {sign}{}", shown())
                } else {
                    format!("{key_text} {sign}@{name}")
                };
                match key.tested(&set, not, names) {
                    Some(tested) => {
                        self.test(tested, text);
                    }
                    None => self.test_in_words(format!("{key_text} {sign}{}", shown())),
                }
            }
            Some(VERDICT) => {
                let text = format!("{key_text} vmap {}", shown());
                self.branches = key.branches(&set, names);
                self.act(Action::Other(text.clone()), text);
            }
            Some(register) => {
                let text = format!("{key_text} map {}", shown());
                self.set(register, Loaded::words(text, 16));
            }
        }
        Some(())
    }

    /// What lies in the registers from there on, until the key's length.
    fn key(&self, register: u32, len: usize) -> Option<Key> {
        let (mut at, mut taken, mut parts) = (slot(register)?, 0, Vec::new());
        loop {
            let part = self.registers.get(at)?.clone()?;
            let words = part.len.div_ceil(4).max(1);
            parts.push((part, taken));
            at += words;
            taken += words * 4;
            if taken >= len {
                return Some(Key { parts });
            }
        }
    }
}

impl Key {
    /// The part of a key's value that is of one part of the key, in network order.
    fn value_of(&self, part: usize, value: &[u8]) -> Vec<u8> {
        let (loaded, at) = &self.parts[part];
        let bytes = value.get(*at..).unwrap_or_default();
        network_order(&bytes[..loaded.len.min(bytes.len())], loaded.host_order)
    }

    fn span_of(&self, part: usize, element: &Element) -> Span {
        (
            self.value_of(part, &element.from),
            self.value_of(part, &element.to),
        )
    }

    /// What it means that a key is in a set, or is not.
    fn tested(&self, set: &Set, not: bool, names: &Names) -> Option<Tested> {
        if set.more > 0 || set.elements.iter().any(|element| element.catch_all) {
            return None;
        }
        if self.parts.len() == 1 {
            let field = whole_field(&self.parts[0].0)?;
            let spans: Vec<Span> = set
                .elements
                .iter()
                .map(|element| self.span_of(0, element))
                .collect();
            return tested(field, &spans, not, names);
        }
        if not || set.elements.is_empty() || set.elements.len() > MOST_RULES {
            return None;
        }
        let mut all = set.elements.iter().map(|element| self.tests_of(element, names));
        all.by_ref().collect::<Option<Vec<_>>>().map(Tested::OneOf)
    }

    /// What it means that a key is this element.
    fn tests_of(&self, element: &Element, names: &Names) -> Option<Vec<MatchTest>> {
        let mut tests = Vec::new();
        for (number, (part, _)) in self.parts.iter().enumerate() {
            match tested(whole_field(part)?, &[self.span_of(number, element)], false, names)? {
                Tested::All(all) => tests.extend(all),
                Tested::OneOf(_) => return None,
            }
        }
        Some(tests)
    }

    /// Rules that do the same as a verdict map: each key is one element at the most, and what has no element goes on.
    fn branches(&self, set: &Set, names: &Names) -> Option<Vec<(Vec<MatchTest>, Action)>> {
        if set.more > 0 || set.elements.is_empty() || set.elements.len() > MOST_BRANCHES {
            return None;
        }
        let mut elements: Vec<&Element> = set.elements.iter().collect();
        elements.sort_by_key(|element| element.catch_all);
        let at_random = self.modulus();
        let mut branches = Vec::new();
        for (number, element) in elements.iter().enumerate() {
            let Some(Data::Verdict { code, chain }) = &element.data else {
                return None;
            };
            let tests = match at_random {
                _ if element.catch_all => Vec::new(),
                // Of those that are left each gets the same share, as where kube-proxy writes rules of iptables.
                Some(modulus) if usize::try_from(modulus).ok() == Some(elements.len()) => {
                    vec![plain(Match::Random(1.0 / (elements.len() - number) as f64))]
                }
                Some(_) => return None,
                None => self.tests_of(element, names)?,
            };
            branches.push((tests, verdict(*code, chain).0));
        }
        Some(branches)
    }

    /// Below which number it is drawn, if it is.
    fn modulus(&self) -> Option<u32> {
        let random = self.parts.iter().find_map(|(part, _)| match whole_field(part) {
            Some(Field::Random { modulus }) => Some(*modulus),
            _ => None,
        });
        random.filter(|_| self.parts.len() == 1)
    }

    /// A set's elements, as `nft` writes them.
    fn show(&self, set: &Set, names: &Names) -> String {
        let mut shown: Vec<String> = set
            .elements
            .iter()
            .take(SHOWN)
            .map(|element| self.element(element, names))
            .collect();
        let rest = set.elements.len().saturating_sub(SHOWN) + set.more;
        if rest > 0 {
            shown.push(format!("... {rest} more"));
        }
        format!("{{ {} }}", shown.join(", "))
    }

    fn element(&self, element: &Element, names: &Names) -> String {
        let parts = self.parts.iter().enumerate().map(|(number, (part, _))| {
            let (from, to) = self.span_of(number, element);
            match (&part.what, from == to) {
                _ if element.catch_all => "*".to_owned(),
                (What::Fields(fields), true) if fields.len() == 1 => fields[0].0.value(&from, names),
                (What::Fields(fields), false) if fields.len() == 1 => {
                    format!(
                        "{}-{}",
                        fields[0].0.value(&from, names),
                        fields[0].0.value(&to, names)
                    )
                }
                (_, true) => hex(&from),
                (_, false) => format!("{}-{}", hex(&from), hex(&to)),
            }
        });
        let mut text = parts.collect::<Vec<_>>().join(" . ");
        match &element.data {
            None => {}
            Some(Data::Verdict { code, chain }) => {
                text = format!("{text} : {}", verdict(*code, chain).1);
            }
            Some(Data::Value(value)) => text = format!("{text} : {}", data_text(value)),
        }
        text
    }
}

/// What a map holds, whose type the kernel does not tell: addresses, perhaps with a port behind, most of the time.
fn data_text(value: &[u8]) -> String {
    let port = |at: usize| value.get(at..at + 2).map_or(0, number);
    match value.len() {
        4 | 16 => {
            address(value, value.len() == 16, 0).map_or_else(|| hex(value), |address| address.to_string())
        }
        len @ (8 | 20) => {
            let address = address(&value[..len - 4], len == 20, 0);
            address.map_or_else(|| hex(value), |address| format!("{address} . {}", port(len - 4)))
        }
        _ => hex(value),
    }
}
