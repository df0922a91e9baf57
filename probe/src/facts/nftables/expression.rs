//! Expressions that load something into a register: what it is (`enum nft_*_attributes` and `nft_*_keys`).

use mesh_net::Attributes;

use super::field::{Context, Field, Loaded, payload};

/// What an expression loads and where to; `None` for one that loads nothing.
pub(super) fn load(name: &str, data: &Attributes<'_>, context: Context) -> Option<(u32, Loaded)> {
    let number = |kind: u16| data.find(kind)?.u32_be();
    // Of all of these the first attribute is where to, but for the two that put it elsewhere.
    let first = number(1);
    Some(match name {
        "payload" => {
            let (base, offset, len) = (number(2)?, number(3)?, number(4)?);
            (first?, payload(base, offset, len, context))
        }
        "meta" => (first?, meta(number(2)?)),
        "ct" => {
            let direction = data.find(3).and_then(|direction| direction.u8());
            (first?, connection(number(2)?, direction))
        }
        "fib" => (first?, forwarding_base(number(2)?, number(3)?)),
        "rt" => (first?, route(number(2)?)),
        "exthdr" => (first?, extension_header(data)?),
        "numgen" => {
            let modulus = number(2)?;
            (first?, Loaded::field(Field::Random { modulus }, 4, true))
        }
        "hash" => (
            number(2)?,
            Loaded::words(format!("jhash mod {}", number(4).unwrap_or(0)), 4),
        ),
        "socket" => (number(2)?, Loaded::words(socket(number(1)?), 4)),
        "osf" => (first?, Loaded::words("osf name", 16)),
        "tunnel" => (number(2)?, Loaded::words("tunnel id", 4)),
        "xfrm" => (first?, Loaded::words("ipsec", 16)),
        _ => return None,
    })
}

/// `enum nft_meta_keys`.
fn meta(key: u32) -> Loaded {
    /// Names of devices.
    const NAME: usize = 16;
    let number = |name: &str, len| Loaded::field(Field::Other(format!("meta {name}")), len, true);
    match key {
        0 => Loaded::field(Field::Length, 4, true),
        1 => Loaded::field(Field::EtherType, 2, false),
        2 => number("priority", 4),
        3 => Loaded::field(Field::Mark, 4, true),
        4 => Loaded::field(Field::InLinkIndex, 4, true),
        5 => Loaded::field(Field::OutLinkIndex, 4, true),
        6 => Loaded::field(Field::InLink, NAME, false),
        7 => Loaded::field(Field::OutLink, NAME, false),
        8 => number("iiftype", 2),
        9 => number("oiftype", 2),
        10 => number("skuid", 4),
        11 => number("skgid", 4),
        13 => number("rtclassid", 4),
        15 => Loaded::field(Field::Family, 1, false),
        16 => Loaded::field(Field::Protocol, 1, false),
        17 => Loaded::words("meta ibrname", NAME),
        18 => Loaded::words("meta obrname", NAME),
        19 => number("pkttype", 1),
        20 => number("cpu", 4),
        21 => number("iifgroup", 4),
        22 => number("oifgroup", 4),
        23 => number("cgroup", 4),
        24 => number("random", 4),
        25 => number("ipsec", 1),
        26 => Loaded::words("meta iifkind", NAME),
        27 => Loaded::words("meta oifkind", NAME),
        30 => number("time", 8),
        31 => number("day", 1),
        32 => number("hour", 4),
        33 => number("sdif", 4),
        34 => Loaded::words("meta sdifname", NAME),
        other => number(&other.to_string(), 4),
    }
}

/// `enum nft_ct_keys`.
fn connection(key: u32, direction: Option<u8>) -> Loaded {
    let side = match direction {
        Some(0) => "original ",
        Some(1) => "reply ",
        _ => "",
    };
    let number = |name: &str, len| Loaded::field(Field::Other(format!("ct {side}{name}")), len, true);
    let address = |name: &str, len| Loaded::field(Field::Other(format!("ct {side}{name}")), len, false);
    match key {
        0 => Loaded::field(Field::ConnectionState, 4, true),
        1 => Loaded::field(Field::ConnectionDirection, 1, false),
        2 => Loaded::field(Field::ConnectionStatus, 4, true),
        3 => number("mark", 4),
        5 => number("expiration", 4),
        6 => Loaded::words("ct helper", 16),
        7 => number("l3proto", 1),
        8 => address("saddr", 16),
        9 => address("daddr", 16),
        10 => number("protocol", 1),
        11 => address("proto-src", 2),
        12 => address("proto-dst", 2),
        13 => address("label", 16),
        14 => number("packets", 8),
        15 => number("bytes", 8),
        16 => number("avgpkt", 8),
        17 => number("zone", 2),
        19 => address("ip saddr", 4),
        20 => address("ip daddr", 4),
        21 => address("ip6 saddr", 16),
        22 => address("ip6 daddr", 16),
        23 => number("id", 4),
        other => number(&other.to_string(), 4),
    }
}

/// `enum nft_fib_result` and `nft_fib_flags`.
fn forwarding_base(result: u32, flags: u32) -> Loaded {
    const SOURCE: u32 = 1;
    const DESTINATION: u32 = 2;
    const ADDRESS_TYPE: u32 = 3;
    match (result, flags) {
        (ADDRESS_TYPE, SOURCE) => return Loaded::field(Field::AddressType { source: true }, 4, true),
        (ADDRESS_TYPE, DESTINATION) => return Loaded::field(Field::AddressType { source: false }, 4, true),
        _ => {}
    }
    let names = [
        (SOURCE, "saddr"),
        (DESTINATION, "daddr"),
        (4, "mark"),
        (8, "iif"),
        (16, "oif"),
    ];
    let keys: Vec<&str> = names
        .iter()
        .filter(|(flag, _)| flags & flag != 0)
        .map(|(_, name)| *name)
        .collect();
    let result = match result {
        1 => "oif",
        2 => "oifname",
        _ => "type",
    };
    Loaded::field(
        Field::Other(format!("fib {} {result}", keys.join(" . "))),
        4,
        true,
    )
}

/// `enum nft_rt_keys`.
fn route(key: u32) -> Loaded {
    let (name, len) = match key {
        0 => ("rt classid", 4),
        1 => ("rt ip nexthop", 4),
        2 => ("rt ip6 nexthop", 16),
        3 => ("rt mtu", 2),
        _ => ("rt ipsec", 1),
    };
    Loaded::words(name, len)
}

/// `enum nft_exthdr_attributes`.
fn extension_header(data: &Attributes<'_>) -> Option<Loaded> {
    const PRESENT: u32 = 1;
    let number = |kind: u16| data.find(kind).and_then(|number| number.u32_be()).unwrap_or(0);
    let kind = data.find(2)?.u8()?;
    let name = match number(6) {
        0 => match kind {
            0 => "hbh".to_owned(),
            43 => "rt".to_owned(),
            44 => "frag".to_owned(),
            60 => "dst".to_owned(),
            other => format!("exthdr {other}"),
        },
        1 => match kind {
            2 => "tcp option maxseg".to_owned(),
            3 => "tcp option window".to_owned(),
            other => format!("tcp option {other}"),
        },
        2 => format!("ip option {kind}"),
        _ => format!("chunk {kind}"),
    };
    let len = usize::try_from(number(4)).unwrap_or(0);
    let exists = number(5) & PRESENT != 0;
    let name = if exists {
        format!("{name} exists")
    } else {
        format!("{name} @{},{}", number(3), number(4))
    };
    Some(Loaded::field(Field::Other(name), len, false))
}

/// `enum nft_socket_keys`.
fn socket(key: u32) -> &'static str {
    match key {
        0 => "socket transparent",
        1 => "socket mark",
        2 => "socket wildcard",
        _ => "socket cgroupv2",
    }
}
