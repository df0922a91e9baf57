//! A rule, expression by expression, with what the registers hold meanwhile.

mod compare;
mod look_up;

use mesh_net::{Attribute, Attributes};
use mesh_proto::{Action, Match, MatchTest, Rule};

use super::expression::load;
use super::field::{Context, Field, Loaded, What, hex};
use super::sets::{Data, Sets, data as data_of};
use super::statement::{Statement, statement};
use super::values::Tested;
use crate::facts::ip_sets::IpSets;
use crate::facts::links::Names;
use crate::facts::octets;
use crate::facts::xtables::{match_tests, other, plain, rule_text, target};

/// What reading rules needs to know.
#[derive(Debug)]
pub(super) struct RuleReader<'a> {
    pub(super) names: &'a Names,
    pub(super) ip_sets: &'a IpSets,
    pub(super) sets: Sets,
}

/// A rule as far as it is read.
#[derive(Debug)]
struct Reading {
    family: u8,
    table: String,
    context: Context,
    registers: [Option<Loaded>; REGISTERS],
    parts: Vec<Part>,
    action: Action,
    /// A small verdict map: each of its elements is as good as a rule.
    branches: Option<Vec<(Vec<MatchTest>, Action)>>,
    packets: Option<u64>,
    handle: Option<u64>,
    /// A field that was just compared with the least that it may be, that value, and which part that is.
    at_least: Option<(Field, Vec<u8>, usize)>,
    /// Extensions of iptables take part.
    of_iptables: bool,
    /// Such a one that acts.
    target: Option<String>,
}

/// What one or several expressions come to, as `nft` writes them.
#[derive(Debug)]
struct Part {
    text: String,
    /// Statements test nothing.
    tested: Option<Tested>,
}

/// Sixteen of four bytes each; the four old ones of sixteen bytes lie over them.
const REGISTERS: usize = 16;
/// Rules that one with alternatives is told as, at the most.
const MOST_RULES: usize = 32;
/// Elements of a verdict map that are told as rules: enough for a few hundred services.
const MOST_BRANCHES: usize = 512;

const NFTA_LIST_ELEM: u16 = 1;
const NFTA_RULE_HANDLE: u16 = 3;
const NFTA_RULE_EXPRESSIONS: u16 = 4;
const NFTA_RULE_USERDATA: u16 = 7;
const NFTA_EXPR_NAME: u16 = 1;
const NFTA_EXPR_DATA: u16 = 2;

impl RuleReader<'_> {
    /// The rules that a rule comes to: one, or one for each of a few alternatives.
    pub(super) fn rules(
        &mut self,
        family: u8,
        table: &str,
        of_iptables: bool,
        attributes: &Attributes<'_>,
    ) -> Vec<Rule> {
        let mut reading = Reading::new(family, table, of_iptables);
        reading.handle = attributes
            .find(NFTA_RULE_HANDLE)
            .and_then(|handle| handle.u64_be());
        let list = attributes.find(NFTA_RULE_EXPRESSIONS);
        let expressions = list
            .iter()
            .flat_map(Attribute::nested)
            .filter(|one| one.kind == NFTA_LIST_ELEM);
        for expression in expressions {
            let parts = expression.nested();
            let name = parts
                .find(NFTA_EXPR_NAME)
                .map(|name| name.text())
                .unwrap_or_default();
            let data = parts
                .find(NFTA_EXPR_DATA)
                .map_or(Attributes::new(&[]), |data| data.nested());
            if self.read(&mut reading, &name, &data).is_none() {
                // It may be a test: who takes it for none would take the rule for one that meets every packet.
                reading.test_in_words(name);
            }
        }
        if let Some(comment) = attributes
            .find(NFTA_RULE_USERDATA)
            .and_then(|data| comment(data.value))
        {
            let text = format!("comment \"{comment}\"");
            reading.test(Tested::All(vec![plain(Match::Comment(comment))]), text);
        }
        reading.finish()
    }

    /// Takes an expression in; `None` for one that is not known.
    fn read(&mut self, reading: &mut Reading, name: &str, data: &Attributes<'_>) -> Option<()> {
        let number = |kind: u16| data.find(kind)?.u32_be();
        match name {
            "cmp" => reading.compare(data, self.names),
            "range" => reading.range(data, self.names),
            "lookup" => reading.look_up(data, self),
            "immediate" => {
                match data_of(&data.find(2)?)? {
                    Data::Verdict { code, chain } => {
                        let (action, text) = verdict(code, &chain);
                        reading.act(action, text);
                    }
                    Data::Value(value) => reading.set(number(1)?, Loaded::constant(value)),
                }
                Some(())
            }
            "bitwise" => {
                let result = bitwise(&reading.held(number(1)?)?, data, reading.context);
                reading.set(number(2)?, result);
                Some(())
            }
            "byteorder" => {
                const TO_HOST: u32 = 0;
                let loaded = reading.held(number(1)?)?;
                reading.set(
                    number(2)?,
                    Loaded {
                        host_order: number(3)? == TO_HOST,
                        ..loaded
                    },
                );
                Some(())
            }
            "match" => {
                reading.of_iptables = true;
                let (name, revision, info) = (data.find(1)?.text(), number(2)?, data.find(3)?.value);
                let tests = match_tests(&name, revision, info, reading.v6(), self.ip_sets);
                reading.test(Tested::All(tests), format!("-m {name}"));
                Some(())
            }
            "target" => {
                reading.of_iptables = true;
                let (name, revision, info) = (data.find(1)?.text(), number(2)?, data.find(3)?.value);
                let action = target(&name, revision, info, reading.v6());
                reading.act(action, format!("-j {name}"));
                reading.target = Some(name);
                Some(())
            }
            _ => reading.load_or_do(name, data),
        }
    }
}

impl Reading {
    fn new(family: u8, table: &str, of_iptables: bool) -> Self {
        const NFPROTO_IPV4: u8 = 2;
        const NFPROTO_IPV6: u8 = 10;
        let v6 = match family {
            NFPROTO_IPV4 => Some(false),
            NFPROTO_IPV6 => Some(true),
            _ => None,
        };
        Self {
            family,
            table: table.to_owned(),
            context: Context { v6, protocol: None },
            registers: [const { None }; REGISTERS],
            parts: Vec::new(),
            action: Action::Continue,
            branches: None,
            packets: None,
            handle: None,
            at_least: None,
            of_iptables,
            target: None,
        }
    }

    fn v6(&self) -> bool {
        self.context.v6 == Some(true)
    }

    fn held(&self, register: u32) -> Option<Loaded> {
        self.registers.get(slot(register)?)?.clone()
    }

    fn set(&mut self, register: u32, loaded: Loaded) {
        let Some(first) = slot(register) else { return };
        let last = first + loaded.len.div_ceil(4).max(1);
        for place in self.registers.iter_mut().take(last).skip(first) {
            *place = None;
        }
        if let Some(place) = self.registers.get_mut(first) {
            *place = Some(loaded);
        }
    }

    fn test(&mut self, tested: Tested, text: String) {
        self.parts.push(Part {
            text,
            tested: Some(tested),
        });
    }

    /// Something that is tested, which has no type here.
    fn test_in_words(&mut self, text: String) {
        self.test(Tested::All(vec![other(text.clone())]), text);
    }

    /// A verdict ends what a rule does; what it did before, besides, is told by the text.
    fn act(&mut self, action: Action, text: String) {
        let decides = !matches!(action, Action::Continue | Action::SetMark | Action::Other(_));
        if decides || self.action == Action::Continue {
            self.action = action;
        }
        self.parts.push(Part { text, tested: None });
    }

    fn load_or_do(&mut self, name: &str, data: &Attributes<'_>) -> Option<()> {
        if let Some((register, loaded)) = load(name, data, self.context) {
            self.set(register, loaded);
            return Some(());
        }
        match statement(name, data, self.context, &|register| self.held(register))? {
            Statement::Does(action, text) => self.act(action, text),
            Statement::Notes(text) => self.parts.push(Part { text, tested: None }),
            Statement::Tests(text) => self.test_in_words(text),
            Statement::Counts(packets) => self.packets = Some(packets),
        }
        Some(())
    }

    /// The rule, or one for each way in which its alternatives can hold.
    fn finish(self) -> Vec<Rule> {
        let text: Vec<&str> = self
            .parts
            .iter()
            .map(|part| part.text.as_str())
            .filter(|text| !text.is_empty())
            .collect();
        let text = text.join(" ");
        let branches = self.branches.unwrap_or_else(|| vec![(Vec::new(), self.action)]);
        let mut left = MOST_RULES / branches.len().max(1);
        let mut ways: Vec<Vec<MatchTest>> = vec![Vec::new()];
        for part in self.parts {
            match part.tested {
                None => {}
                Some(Tested::OneOf(alternatives)) if alternatives.len() <= left => {
                    left /= alternatives.len().max(1);
                    let longer = |way: &Vec<MatchTest>| {
                        let with = |tests: &Vec<MatchTest>| way.iter().chain(tests).cloned().collect();
                        alternatives.iter().map(with).collect::<Vec<_>>()
                    };
                    ways = ways.iter().flat_map(longer).collect();
                }
                Some(Tested::OneOf(_)) => ways.iter_mut().for_each(|way| way.push(other(part.text.clone()))),
                Some(Tested::All(tests)) => ways.iter_mut().for_each(|way| way.extend(tests.clone())),
            }
        }
        let mut rules = Vec::new();
        for way in ways {
            for (tests, action) in &branches {
                let tests: Vec<MatchTest> = way.iter().chain(tests).cloned().collect();
                let text = if self.of_iptables {
                    rule_text(&tests, action, self.target.as_deref())
                } else {
                    text.clone()
                };
                rules.push(Rule {
                    text,
                    tests,
                    action: action.clone(),
                    packets: self.packets,
                    handle: self.handle,
                });
            }
        }
        rules
    }
}

/// Which four bytes a register's number means.
fn slot(register: u32) -> Option<usize> {
    match register {
        1..=4 => usize::try_from(register - 1).ok().map(|old| old * 4),
        8..=23 => usize::try_from(register - 8).ok(),
        _ => None,
    }
}

/// A number of the machine in network order.
pub(super) fn network_order(value: &[u8], host_order: bool) -> Vec<u8> {
    let mut value = value.to_vec();
    if host_order && cfg!(target_endian = "little") {
        value.reverse();
    }
    value
}

/// `enum nft_verdicts`, and those of netfilter itself.
fn verdict(code: i32, chain: &str) -> (Action, String) {
    match code {
        0 => (Action::Drop, "drop".to_owned()),
        1 => (Action::Accept, "accept".to_owned()),
        -1 => (Action::Continue, "continue".to_owned()),
        -3 => (Action::Jump(chain.to_owned()), format!("jump {chain}")),
        -4 => (Action::Goto(chain.to_owned()), format!("goto {chain}")),
        -5 => (Action::Return, "return".to_owned()),
        other => (
            Action::Other(format!("verdict {other}")),
            format!("verdict {other}"),
        ),
    }
}

/// What `nft` keeps with a rule (`udata_parse` of libnftnl): type, length, value; 0 is the comment.
fn comment(mut data: &[u8]) -> Option<String> {
    while let [kind, len, rest @ ..] = data {
        let value = rest.get(..usize::from(*len))?;
        if *kind == 0 {
            return Some(octets::text(value));
        }
        data = &rest[value.len()..];
    }
    None
}

/// `enum nft_bitwise_attributes`: a mask, then exclusive or; or a shift.
fn bitwise(loaded: &Loaded, data: &Attributes<'_>, context: Context) -> Loaded {
    let value = |kind: u16| {
        let value = data.find(kind)?.nested().next()?.value;
        Some(network_order(value, loaded.host_order))
    };
    let operation = data.find(6).and_then(|operation| operation.u32_be()).unwrap_or(0);
    let name = loaded.name(context);
    let zero = |value: &[u8]| value.iter().all(|byte| *byte == 0);
    match (operation, value(4), value(5)) {
        (0, Some(mask), Some(xor)) if zero(&xor) && matches!(loaded.what, What::Fields(_)) => {
            let both = |before: &Vec<u8>| before.iter().zip(&mask).map(|(a, b)| a & b).collect();
            let mask = loaded.mask.as_ref().map_or_else(|| mask.clone(), both);
            Loaded {
                mask: Some(mask).filter(|mask| mask.iter().any(|byte| *byte != u8::MAX)),
                ..loaded.clone()
            }
        }
        (0, Some(mask), Some(xor)) => {
            Loaded::words(format!("{name} & {} ^ {}", hex(&mask), hex(&xor)), loaded.len)
        }
        (1, ..) => Loaded::words(format!("{name} << ..."), loaded.len),
        (2, ..) => Loaded::words(format!("{name} >> ..."), loaded.len),
        _ => Loaded::words(format!("{name} with other bits"), loaded.len),
    }
}
