//! Sets and maps: what a `lookup` looks into.

use std::collections::HashMap;
use std::rc::Rc;

use mesh_net::{Attribute, Attributes, Netlink, NetlinkError, NetlinkFamily, put_attribute};

use super::{NFGENMSG, SUBSYSTEM};

const NFT_MSG_GETSET: u16 = SUBSYSTEM + 10;
const NFT_MSG_GETSETELEM: u16 = SUBSYSTEM + 13;
const NFTA_SET_TABLE: u16 = 1;
const NFTA_SET_NAME: u16 = 2;
const NFTA_SET_FLAGS: u16 = 3;
const NFTA_SET_KEY_LEN: u16 = 5;
const NFTA_SET_ELEM_LIST_TABLE: u16 = 1;
const NFTA_SET_ELEM_LIST_SET: u16 = 2;
const NFTA_SET_ELEM_LIST_ELEMENTS: u16 = 3;
const NFTA_SET_ELEM_KEY: u16 = 1;
const NFTA_SET_ELEM_DATA: u16 = 2;
const NFTA_SET_ELEM_FLAGS: u16 = 3;
const NFTA_SET_ELEM_KEY_END: u16 = 10;
const NFTA_DATA_VALUE: u16 = 1;
const NFTA_DATA_VERDICT: u16 = 2;
const NFTA_VERDICT_CODE: u16 = 1;
const NFTA_VERDICT_CHAIN: u16 = 2;

/// How a set works.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Shape {
    flags: u32,
    /// How long its keys are, in bytes.
    pub(super) key_len: usize,
}

impl Shape {
    /// It has no name of its own and belongs to one rule.
    pub(super) fn anonymous(self) -> bool {
        self.flags & 1 != 0
    }

    fn interval(self) -> bool {
        self.flags & 4 != 0
    }
}

/// A set's content.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Set {
    pub(super) elements: Vec<Element>,
    /// Elements beyond those that are kept.
    pub(super) more: usize,
}

/// An element: keys from and to, which are the same where it is a single one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Element {
    pub(super) from: Vec<u8>,
    pub(super) to: Vec<u8>,
    /// It stands for all keys that have no element of their own.
    pub(super) catch_all: bool,
    pub(super) data: Option<Data>,
}

/// What is loaded into a register, or what a map holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Data {
    Value(Vec<u8>),
    Verdict { code: i32, chain: String },
}

/// All sets; their elements are read when a rule asks for them.
#[derive(Debug)]
pub(super) struct Sets {
    netlink: Netlink,
    shapes: HashMap<(u8, String, String), Shape>,
    named: HashMap<(u8, String, String), Rc<Set>>,
    /// How many elements may still be read: lists of the bad of this world have millions.
    room: usize,
}

/// Of one set.
const MOST: usize = 4_096;
/// Of all sets.
const MOST_OF_ALL: usize = 1 << 17;

impl Sets {
    /// What sets there are.
    pub(super) fn read() -> Result<Self, NetlinkError> {
        let mut netlink = Netlink::open(NetlinkFamily::Netfilter)?;
        let mut shapes = HashMap::new();
        netlink.dump(NFT_MSG_GETSET, &[0; NFGENMSG], &mut |_, content| {
            let attributes = Attributes::after(NFGENMSG, content);
            let text = |kind| attributes.find(kind).map(|text| text.text()).unwrap_or_default();
            let number = |kind| {
                attributes
                    .find(kind)
                    .and_then(|number| number.u32_be())
                    .unwrap_or(0)
            };
            let key_len = usize::try_from(number(NFTA_SET_KEY_LEN)).unwrap_or(0);
            let shape = Shape {
                flags: number(NFTA_SET_FLAGS),
                key_len,
            };
            let family = content.first().copied().unwrap_or(0);
            shapes.insert((family, text(NFTA_SET_TABLE), text(NFTA_SET_NAME)), shape);
        })?;
        Ok(Self {
            netlink,
            shapes,
            named: HashMap::new(),
            room: MOST_OF_ALL,
        })
    }

    /// How a set works, and what is in it.
    pub(super) fn get(&mut self, family: u8, table: &str, name: &str) -> (Shape, Rc<Set>) {
        let key = (family, table.to_owned(), name.to_owned());
        let shape = self.shapes.get(&key).copied().unwrap_or_default();
        if let Some(set) = self.named.get(&key) {
            return (shape, Rc::clone(set));
        }
        // What cannot be read has more elements than are known.
        let unknown = Set {
            elements: Vec::new(),
            more: 1,
        };
        let set = Rc::new(self.elements(family, table, name, shape).unwrap_or(unknown));
        if !shape.anonymous() {
            self.named.insert(key, Rc::clone(&set));
        }
        (shape, set)
    }

    fn elements(&mut self, family: u8, table: &str, name: &str, shape: Shape) -> Option<Set> {
        if self.room == 0 {
            return None;
        }
        let mut request = vec![family, 0, 0, 0];
        put_attribute(&mut request, NFTA_SET_ELEM_LIST_TABLE, &zero_ended(table));
        put_attribute(&mut request, NFTA_SET_ELEM_LIST_SET, &zero_ended(name));
        let (mut raw, mut all) = (Vec::new(), 0);
        let read = self
            .netlink
            .dump(NFT_MSG_GETSETELEM, &request, &mut |_, content| {
                let list = Attributes::after(NFGENMSG, content).find(NFTA_SET_ELEM_LIST_ELEMENTS);
                for element in list
                    .into_iter()
                    .flat_map(|list| list.nested())
                    .filter_map(|one| raw_element(&one))
                {
                    all += 1;
                    if raw.len() < MOST {
                        raw.push(element);
                    }
                }
            });
        read.ok()?;
        self.room = self.room.saturating_sub(all);
        let more = all - raw.len();
        // Of an interval whose end is not known nothing is known.
        if more > 0 && shape.interval() {
            return Some(Set {
                elements: Vec::new(),
                more: all,
            });
        }
        Some(Set {
            elements: assemble(raw, shape.interval()),
            more,
        })
    }
}

fn zero_ended(text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.push(0);
    bytes
}

/// An element as the kernel tells it: intervals come as two of them.
#[derive(Debug)]
struct Raw {
    element: Element,
    ends: bool,
    whole: bool,
}

fn raw_element(one: &Attribute<'_>) -> Option<Raw> {
    const INTERVAL_END: u32 = 1;
    const CATCH_ALL: u32 = 2;
    let attributes = one.nested();
    let flags = attributes
        .find(NFTA_SET_ELEM_FLAGS)
        .and_then(|flags| flags.u32_be())
        .unwrap_or(0);
    let catch_all = flags & CATCH_ALL != 0;
    let key = |kind| {
        Some(
            attributes
                .find(kind)?
                .nested()
                .find(NFTA_DATA_VALUE)?
                .value
                .to_vec(),
        )
    };
    let from = key(NFTA_SET_ELEM_KEY).or(catch_all.then(Vec::new))?;
    let to = key(NFTA_SET_ELEM_KEY_END);
    let data = attributes
        .find(NFTA_SET_ELEM_DATA)
        .and_then(|data| self::data(&data));
    let whole = to.is_some();
    let element = Element {
        to: to.unwrap_or_else(|| from.clone()),
        from,
        catch_all,
        data,
    };
    Some(Raw {
        element,
        ends: flags & INTERVAL_END != 0,
        whole,
    })
}

/// A value or a verdict, in its attribute.
pub(super) fn data(attribute: &Attribute<'_>) -> Option<Data> {
    let nested = attribute.nested();
    if let Some(value) = nested.find(NFTA_DATA_VALUE) {
        return Some(Data::Value(value.value.to_vec()));
    }
    let verdict = nested.find(NFTA_DATA_VERDICT)?.nested();
    let code = verdict.find(NFTA_VERDICT_CODE)?.u32_be()?.cast_signed();
    Some(Data::Verdict {
        code,
        chain: verdict
            .find(NFTA_VERDICT_CHAIN)
            .map(|chain| chain.text())
            .unwrap_or_default(),
    })
}

/// Puts the two ends of intervals together. A range of single keys comes as its first key and, marked, the one behind its
/// last; ranges of several fields come whole.
fn assemble(mut raw: Vec<Raw>, interval: bool) -> Vec<Element> {
    if !interval || raw.iter().any(|one| one.whole) {
        return raw.into_iter().map(|one| one.element).collect();
    }
    // The kernel tells them in no order. Where one ends and the next begins, the end comes first.
    raw.sort_by(|a, b| (&a.element.from, !a.ends).cmp(&(&b.element.from, !b.ends)));
    let mut elements: Vec<Element> = Vec::new();
    let mut open: Option<Element> = None;
    for Raw { element, ends, .. } in raw {
        if element.catch_all {
            elements.push(element);
            continue;
        }
        if let Some(mut begun) = open.take() {
            begun.to = before(&element.from);
            elements.push(begun);
        }
        if !ends {
            open = Some(element);
        }
    }
    // Without an end it goes on to the last key there is.
    elements.extend(open.map(|begun| Element {
        to: vec![u8::MAX; begun.from.len()],
        ..begun
    }));
    elements
}

/// The key before, as a number in network byte order.
fn before(key: &[u8]) -> Vec<u8> {
    let mut key = key.to_vec();
    for byte in key.iter_mut().rev() {
        let (less, borrowed) = byte.overflowing_sub(1);
        *byte = less;
        if !borrowed {
            break;
        }
    }
    key
}

#[cfg(test)]
mod tests;
