//! Comparisons of what a register holds.

use mesh_net::Attributes;
use mesh_proto::{Match, MatchTest};

use super::{Part, Reading, network_order};
use crate::facts::links::Names;
use crate::facts::nftables::field::{Field, Loaded, What, hex};
use crate::facts::nftables::values::{Span, Tested, masked, number, tested};

/// `enum nft_cmp_ops`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Equal,
    NotEqual,
    Less,
    AtMost,
    More,
    AtLeast,
}

impl How {
    fn of(number: u32) -> Option<Self> {
        Some(match number {
            0 => Self::Equal,
            1 => Self::NotEqual,
            2 => Self::Less,
            3 => Self::AtMost,
            4 => Self::More,
            5 => Self::AtLeast,
            _ => return None,
        })
    }

    fn sign(self) -> &'static str {
        match self {
            Self::Equal => "",
            Self::NotEqual => "!= ",
            Self::Less => "< ",
            Self::AtMost => "<= ",
            Self::More => "> ",
            Self::AtLeast => ">= ",
        }
    }

    /// The values that are meant, and whether it is the others.
    fn span(self, value: &[u8]) -> (Span, bool) {
        let (lowest, highest) = (vec![0; value.len()], vec![u8::MAX; value.len()]);
        let exact = value.to_vec();
        match self {
            Self::Equal => ((exact.clone(), exact), false),
            Self::NotEqual => ((exact.clone(), exact), true),
            Self::AtMost => ((lowest, exact), false),
            Self::AtLeast => ((exact, highest), false),
            // Not at least, not at most: the same but for the ends of the numbers.
            Self::Less => ((exact, highest), true),
            Self::More => ((lowest, exact), true),
        }
    }
}

impl Reading {
    /// `cmp`.
    pub(super) fn compare(&mut self, data: &Attributes<'_>, names: &Names) -> Option<()> {
        let loaded = self.held(data.find(1)?.u32_be()?)?;
        let how = How::of(data.find(2)?.u32_be()?)?;
        let value = network_order(data.find(3)?.nested().next()?.value, loaded.host_order);
        let name = loaded.name(self.context);
        let What::Fields(fields) = &loaded.what else {
            self.test_in_words(format!("{name} {}{}", how.sign(), hex(&value)));
            return Some(());
        };
        let equal = match how {
            How::Equal => Some(false),
            How::NotEqual => Some(true),
            _ => None,
        };
        match (fields.as_slice(), &loaded.mask, equal) {
            ([(field, _)], None, _) => {
                let (span, not) = how.span(&value);
                if !self.closes_range(field, how, &span, names) {
                    let text = format!("{name} {}{}", how.sign(), field.value(&value, names));
                    self.compared(field, &[span], not, text, names);
                }
            }
            ([(field, _)], Some(mask), Some(not)) => {
                self.compare_masked(field, mask, &value, not, &name, names);
            }
            // Several that were loaded at once: each by itself, if all must be equal.
            (fields, mask, Some(false)) => {
                let mut at = 0;
                for (field, len) in fields {
                    let part = value.get(at..at + len)?;
                    let mask = mask.as_ref().and_then(|mask| mask.get(at..at + len));
                    let mask = mask.filter(|mask| mask.iter().any(|byte| *byte != u8::MAX));
                    let name = field.name(self.context);
                    if let Some(mask) = mask {
                        self.compare_masked(field, mask, part, false, &name, names);
                    } else {
                        let text = format!("{name} {}", field.value(part, names));
                        self.compared(field, &[(part.to_vec(), part.to_vec())], false, text, names);
                    }
                    at += len;
                }
            }
            _ => self.test_in_words(format!("{name} {}{}", how.sign(), hex(&value))),
        }
        Some(())
    }

    /// `range`.
    pub(super) fn range(&mut self, data: &Attributes<'_>, names: &Names) -> Option<()> {
        let loaded = self.held(data.find(1)?.u32_be()?)?;
        let not = data.find(2)?.u32_be()? == 1;
        let end = |kind: u16| {
            Some(network_order(
                data.find(kind)?.nested().next()?.value,
                loaded.host_order,
            ))
        };
        let span = (end(3)?, end(4)?);
        let sign = if not { "!= " } else { "" };
        let name = loaded.name(self.context);
        match (&loaded.what, &loaded.mask) {
            (What::Fields(fields), None) if fields.len() == 1 => {
                let field = &fields[0].0;
                let text = format!(
                    "{name} {sign}{}-{}",
                    field.value(&span.0, names),
                    field.value(&span.1, names)
                );
                self.compared(field, &[span], not, text, names);
            }
            _ => self.test_in_words(format!("{name} {sign}{}-{}", hex(&span.0), hex(&span.1))),
        }
        Some(())
    }

    /// A field is in one of these spans, or not.
    pub(super) fn compared(&mut self, field: &Field, spans: &[Span], not: bool, text: String, names: &Names) {
        if let ([(from, to)], false) = (spans, not)
            && from == to
        {
            self.learn(field, from);
            if *field == Field::IcmpCode && self.complete_icmp(from, &text) {
                return;
            }
        }
        match tested(field, spans, not, names) {
            Some(tested) => self.test(tested, text),
            None => self.test_in_words(text),
        }
    }

    /// What follows is of packets of this kind.
    fn learn(&mut self, field: &Field, value: &[u8]) {
        match (field, number(value)) {
            (Field::Protocol, protocol) => self.context.protocol = u8::try_from(protocol).ok(),
            (Field::Family, 2) | (Field::EtherType, 0x0800) => self.context.v6 = Some(false),
            (Field::Family, 10) | (Field::EtherType, 0x86dd) => self.context.v6 = Some(true),
            _ => {}
        }
    }

    /// A code belongs to the type that was compared before.
    fn complete_icmp(&mut self, value: &[u8], text: &str) -> bool {
        let Some(Part {
            tested: Some(Tested::All(tests)),
            text: before,
        }) = self.parts.last_mut()
        else {
            return false;
        };
        match tests.as_mut_slice() {
            [
                MatchTest {
                    not: false,
                    on: Match::Icmp {
                        code: code @ None, ..
                    },
                },
            ] => {
                *code = value.first().copied();
                *before = format!("{before} {text}");
                true
            }
            _ => false,
        }
    }

    /// `tcp dport 8000-9000` comes as two comparisons.
    fn closes_range(&mut self, field: &Field, how: How, span: &Span, names: &Names) -> bool {
        if how == How::AtLeast {
            self.at_least = Some((field.clone(), span.0.clone(), self.parts.len()));
            return false;
        }
        let begun = self
            .at_least
            .take()
            .filter(|(of, _, part)| how == How::AtMost && of == field && *part + 1 == self.parts.len());
        let Some((_, from, _)) = begun else { return false };
        self.parts.pop();
        let name = field.name(self.context);
        let text = format!(
            "{name} {}-{}",
            field.value(&from, names),
            field.value(&span.1, names)
        );
        self.compared(field, &[(from, span.1.clone())], false, text, names);
        true
    }

    fn compare_masked(
        &mut self,
        field: &Field,
        mask: &[u8],
        value: &[u8],
        not: bool,
        name: &str,
        names: &Names,
    ) {
        let zero = number(value) == 0;
        let sign = if not { "!=" } else { "==" };
        let text = match field {
            // `ct state new,established` comes so.
            Field::ConnectionState | Field::ConnectionStatus if zero => {
                format!(
                    "{name} {}{}",
                    if not { "" } else { "! " },
                    field.value(mask, names)
                )
            }
            Field::Source { .. } | Field::Destination { .. } => {
                let len = crate::facts::xtables::mask_len(mask);
                let len = len.map_or_else(|| hex(mask), |len| len.to_string());
                format!(
                    "{name} {}{}/{len}",
                    if not { "!= " } else { "" },
                    field.value(value, names)
                )
            }
            _ => format!(
                "{name} & {} {sign} {}",
                field.value(mask, names),
                field.value(value, names)
            ),
        };
        match masked(field, mask, value, not) {
            Some(one) => self.test(Tested::All(vec![one]), text),
            None => self.test_in_words(text),
        }
    }
}

/// What a register holds, if it is one field and all of it counts.
pub(super) fn whole_field(loaded: &Loaded) -> Option<&Field> {
    match (&loaded.what, &loaded.mask) {
        (What::Fields(fields), None) if fields.len() == 1 => fields.first().map(|(field, _)| field),
        _ => None,
    }
}
