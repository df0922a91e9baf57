//! Sets of `ipset`, which rules of iptables name by number (Linux `include/uapi/linux/netfilter/ipset/ip_set.h`).

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::net::IpAddr;

use mesh_net::{Attribute, Attributes, Netlink, NetlinkFamily, put_attribute};
use mesh_proto::{Match, PortRange, Prefix};

use super::xtables::{ports, prefixes_of_range};

/// All sets, read when the first rule asks for one.
#[derive(Debug, Default)]
pub(super) struct IpSets(OnceCell<BTreeMap<u16, IpSet>>);

#[derive(Debug, Default)]
struct IpSet {
    name: String,
    kind: String,
    members: Vec<Member>,
    /// Members beyond those that are kept, and such that are exceptions from others.
    odd: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Member {
    prefixes: Vec<Prefix>,
    ports: Option<PortRange>,
}

/// A set with more of them is told by its name.
const MOST: usize = 512;

const IPSET_CMD_LIST: u16 = (6 << 8) + 7;
/// `struct nfgenmsg`.
const NFGENMSG: usize = 4;
const IPSET_ATTR_PROTOCOL: u16 = 1;
const IPSET_ATTR_SETNAME: u16 = 2;
const IPSET_ATTR_TYPENAME: u16 = 3;
const IPSET_ATTR_ADT: u16 = 8;
const IPSET_ATTR_INDEX: u16 = 11;
const IPSET_ATTR_IP: u16 = 1;
const IPSET_ATTR_IP_TO: u16 = 2;
const IPSET_ATTR_CIDR: u16 = 3;
const IPSET_ATTR_PORT: u16 = 4;
const IPSET_ATTR_PORT_TO: u16 = 5;
const IPSET_ATTR_CADT_FLAGS: u16 = 8;

impl IpSets {
    /// What a rule tests that names a set: of a set with one dimension its members, of others its name. `sides` says of
    /// each dimension whether it is of the source.
    pub(super) fn test(&self, index: u16, sides: &[bool]) -> Match {
        let sets = self.0.get_or_init(read);
        let words: Vec<&str> = sides
            .iter()
            .map(|source| if *source { "src" } else { "dst" })
            .collect();
        let words = words.join(",");
        let Some(set) = sets.get(&index) else {
            return Match::Other(format!("-m set --match-set #{index} {words}"));
        };
        let kind = set.kind.split_once(':').map_or("", |(_, kind)| kind);
        let source = sides.first().copied().unwrap_or_default();
        let prefixes = || {
            set.members
                .iter()
                .flat_map(|member| member.prefixes.clone())
                .collect()
        };
        match (kind, set.odd) {
            ("ip" | "net", false) if source => Match::Source(prefixes()),
            ("ip" | "net", false) => Match::Destination(prefixes()),
            ("port", false) => {
                let ports = set.members.iter().filter_map(|member| member.ports).collect();
                if source {
                    Match::SourcePort(ports)
                } else {
                    Match::DestinationPort(ports)
                }
            }
            _ => Match::Other(format!("-m set --match-set {} {words}", set.name)),
        }
    }
}

/// Without the right to read them, or on a kernel without them, there are none.
fn read() -> BTreeMap<u16, IpSet> {
    /// The first that says the sets' numbers.
    const PROTOCOL: u8 = 7;
    let mut sets = BTreeMap::new();
    let Ok(mut netlink) = Netlink::open(NetlinkFamily::Netfilter) else {
        return sets;
    };
    let mut request = vec![0; NFGENMSG];
    put_attribute(&mut request, IPSET_ATTR_PROTOCOL, &[PROTOCOL]);
    let mut last = None;
    // What came before an error is as good as what a later error leaves: names.
    let _ = netlink.dump(IPSET_CMD_LIST, &request, &mut |_, content| {
        take(content, &mut sets, &mut last);
    });
    sets
}

/// A message has a set's number if it is the first of that set, and some of its members.
fn take(content: &[u8], sets: &mut BTreeMap<u16, IpSet>, last: &mut Option<u16>) {
    let attributes = Attributes::after(NFGENMSG, content);
    let text = |kind| attributes.find(kind).map(|text| text.text()).unwrap_or_default();
    if let Some(index) = attributes.find(IPSET_ATTR_INDEX).and_then(|index| index.u16_be()) {
        let (name, kind) = (text(IPSET_ATTR_SETNAME), text(IPSET_ATTR_TYPENAME));
        sets.insert(
            index,
            IpSet {
                name,
                kind,
                ..IpSet::default()
            },
        );
        *last = Some(index);
    }
    let Some(set) = last.and_then(|index| sets.get_mut(&index)) else {
        return;
    };
    if set.name != text(IPSET_ATTR_SETNAME) {
        return;
    }
    for data in attributes
        .find(IPSET_ATTR_ADT)
        .into_iter()
        .flat_map(|members| members.nested())
    {
        match member(&data) {
            Some(member) if set.members.len() < MOST => set.members.push(member),
            _ => set.odd = true,
        }
    }
}

fn member(data: &Attribute<'_>) -> Option<Member> {
    const NOMATCH: u32 = 1 << 2;
    let attributes = data.nested();
    let address = |kind: u16| attributes.find(kind)?.nested().next()?.address();
    let port = |kind: u16| attributes.find(kind)?.u16_be();
    let flags = attributes
        .find(IPSET_ATTR_CADT_FLAGS)
        .and_then(|flags| flags.u32_be())
        .unwrap_or(0);
    if flags & NOMATCH != 0 {
        return None;
    }
    let len = attributes.find(IPSET_ATTR_CIDR).and_then(|len| len.u8());
    let prefixes = match (address(IPSET_ATTR_IP), address(IPSET_ATTR_IP_TO), len) {
        (Some(from), Some(to), _) => prefixes_of_range(from, to, MOST)?,
        (Some(address), None, len) => vec![network(address, len)],
        (None, ..) => Vec::new(),
    };
    let from = port(IPSET_ATTR_PORT);
    let ports = from.map(|from| ports(from, port(IPSET_ATTR_PORT_TO).unwrap_or(from)));
    Some(Member { prefixes, ports })
}

fn network(address: IpAddr, len: Option<u8>) -> Prefix {
    let host = Prefix::host(address);
    Prefix {
        address,
        len: len.unwrap_or(host.len).min(host.len),
    }
}
