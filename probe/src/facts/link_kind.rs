//! What kinds of devices say of themselves (`IFLA_INFO_DATA`, Linux `include/uapi/linux/if_link.h` and `if_tunnel.h`).

use std::collections::BTreeMap;
use std::net::IpAddr;

use mesh_net::{Attribute, Attributes};
use mesh_proto::{OverlayKind, Port, Tunnel};

const IFLA_VXLAN_ID: u16 = 1;
const IFLA_VXLAN_GROUP: u16 = 2;
const IFLA_VXLAN_LOCAL: u16 = 4;
const IFLA_VXLAN_PORT: u16 = 15;
const IFLA_VXLAN_GROUP6: u16 = 16;
const IFLA_VXLAN_LOCAL6: u16 = 17;

const IFLA_GENEVE_ID: u16 = 1;
const IFLA_GENEVE_REMOTE: u16 = 2;
const IFLA_GENEVE_PORT: u16 = 5;
const IFLA_GENEVE_REMOTE6: u16 = 7;

const IFLA_IPTUN_LOCAL: u16 = 2;
const IFLA_IPTUN_REMOTE: u16 = 3;

/// How a device encapsulates, if it does so in a way that an overlay is made of.
pub(super) fn tunnel(kind: &str, data: Option<&Attributes<'_>>) -> Option<Tunnel> {
    let find = |kinds: &[u16]| kinds.iter().find_map(|kind| data?.find(*kind));
    let address = |kinds: &[u16]| find(kinds)?.address().filter(|address| !address.is_unspecified());
    let port = |kind| find(&[kind])?.u16_be().map(Port);
    let number = |kind| find(&[kind])?.u32();
    let tunnel = |kind| Tunnel {
        kind,
        port: None,
        vni: None,
        local: None,
        remote: None,
        below: None,
    };
    match kind {
        "vxlan" => Some(Tunnel {
            port: port(IFLA_VXLAN_PORT),
            // One that takes the network from each route says 0.
            vni: number(IFLA_VXLAN_ID),
            local: address(&[IFLA_VXLAN_LOCAL, IFLA_VXLAN_LOCAL6]),
            remote: address(&[IFLA_VXLAN_GROUP, IFLA_VXLAN_GROUP6]).filter(|peer| !peer.is_multicast()),
            ..tunnel(OverlayKind::Vxlan)
        }),
        "geneve" => Some(Tunnel {
            port: port(IFLA_GENEVE_PORT),
            vni: number(IFLA_GENEVE_ID),
            remote: address(&[IFLA_GENEVE_REMOTE, IFLA_GENEVE_REMOTE6]),
            ..tunnel(OverlayKind::Geneve)
        }),
        "ipip" | "ip6tnl" => Some(Tunnel {
            local: address(&[IFLA_IPTUN_LOCAL]),
            remote: address(&[IFLA_IPTUN_REMOTE]),
            ..tunnel(OverlayKind::Ipip)
        }),
        // Its port comes from elsewhere.
        "wireguard" => Some(tunnel(OverlayKind::Wireguard)),
        _ => None,
    }
}

/// The number of the device that a tunnel is fixed to.
pub(super) fn below<'a>(kind: &str, data: &Attributes<'a>) -> Option<Attribute<'a>> {
    const IFLA_IPTUN_LINK: u16 = 1;
    const IFLA_VXLAN_LINK: u16 = 3;
    match kind {
        "vxlan" => data.find(IFLA_VXLAN_LINK),
        "ipip" | "ip6tnl" => data.find(IFLA_IPTUN_LINK),
        _ => None,
    }
}

/// How a value is written.
#[derive(Debug, Clone, Copy)]
enum Value {
    /// One byte: 0 no, 1 yes.
    Flag,
    /// Yes, if it is there at all.
    Present,
    U8,
    U16,
    U32,
    Address,
}

/// Of these kinds: which attribute, what it is called, how it is written.
const DETAILS: &[(&str, u16, &str, Value)] = &[
    ("bridge", 5, "stp", Value::U32),
    ("bridge", 7, "vlan-filtering", Value::Flag),
    ("bridge", 36, "nf-call-iptables", Value::Flag),
    ("bridge", 37, "nf-call-ip6tables", Value::Flag),
    ("vlan", 1, "vlan", Value::U16),
    ("bond", 1, "mode", Value::U8),
    ("bond", 3, "miimon", Value::U32),
    ("bond", 14, "hash-policy", Value::U8),
    ("macvlan", 1, "mode", Value::U32),
    ("ipvlan", 1, "mode", Value::U16),
    ("vrf", 1, "table", Value::U32),
    ("vxlan", IFLA_VXLAN_GROUP, "group", Value::Address),
    ("vxlan", IFLA_VXLAN_GROUP6, "group", Value::Address),
    ("vxlan", 5, "ttl", Value::U8),
    ("vxlan", 7, "learning", Value::Flag),
    ("vxlan", 11, "proxy", Value::Flag),
    ("vxlan", 13, "l2miss", Value::Flag),
    ("vxlan", 14, "l3miss", Value::Flag),
    ("vxlan", 18, "udp-checksum", Value::Flag),
    ("vxlan", 23, "gbp", Value::Present),
    ("vxlan", 25, "external", Value::Flag),
    ("geneve", 3, "ttl", Value::U8),
    ("geneve", 6, "external", Value::Present),
    ("geneve", 8, "udp-checksum", Value::Flag),
    ("ipip", 4, "ttl", Value::U8),
    ("ipip", 10, "pmtudisc", Value::Flag),
    ("ipip", 19, "external", Value::Present),
    ("gre", 6, "local", Value::Address),
    ("gre", 7, "remote", Value::Address),
    ("sit", 2, "local", Value::Address),
    ("sit", 3, "remote", Value::Address),
];

/// Of a port of these kinds of masters. The state of a bridge's port is that of the spanning tree: 0 disabled, 1
/// listening, 2 learning, 3 forwarding, 4 blocking.
const PORT_DETAILS: &[(&str, u16, &str, Value)] = &[
    ("bridge", 1, "port-state", Value::U8),
    ("bridge", 4, "hairpin", Value::Flag),
    ("bridge", 8, "learning", Value::Flag),
    ("bridge", 9, "flood", Value::Flag),
    ("bridge", 32, "neigh-suppress", Value::Flag),
    ("bridge", 33, "isolated", Value::Flag),
    ("bond", 1, "bond-state", Value::U8),
    ("vrf", 1, "table", Value::U32),
];

/// What a device's kind says of it.
pub(super) fn details(kind: &str, data: &Attributes<'_>) -> BTreeMap<String, String> {
    written(DETAILS, kind, data)
}

/// What its master's kind says of it as a port.
pub(super) fn port_details(kind: &str, data: &Attributes<'_>) -> BTreeMap<String, String> {
    written(PORT_DETAILS, kind, data)
}

fn written(
    table: &[(&str, u16, &str, Value)],
    kind: &str,
    data: &Attributes<'_>,
) -> BTreeMap<String, String> {
    let of_kind = table.iter().filter(|(of, ..)| *of == kind);
    let value = |attribute: u16, how| write(&data.find(attribute)?, how);
    of_kind
        .filter_map(|(_, attribute, name, how)| Some(((*name).to_owned(), value(*attribute, *how)?)))
        .collect()
}

fn write(attribute: &Attribute<'_>, how: Value) -> Option<String> {
    Some(match how {
        Value::Flag => if attribute.u8()? == 0 { "no" } else { "yes" }.to_owned(),
        Value::Present => "yes".to_owned(),
        Value::U8 => attribute.u8()?.to_string(),
        Value::U16 => attribute.u16()?.to_string(),
        Value::U32 => attribute.u32()?.to_string(),
        Value::Address => attribute
            .address()
            .filter(|address: &IpAddr| !address.is_unspecified())?
            .to_string(),
    })
}
