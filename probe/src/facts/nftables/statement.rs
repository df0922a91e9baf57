//! Expressions that do something: reject, translate, mark, count, log, limit.

use mesh_net::{Attribute, Attributes};
use mesh_proto::{Action, Port};

use super::field::{Context, Loaded, What};
use super::values::{address, number};

/// What an expression comes to.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Statement {
    /// It decides, or changes the packet.
    Does(Action, String),
    /// It only writes something down.
    Notes(String),
    /// It also lets only some packets go on.
    Tests(String),
    /// It counts; so many packets came.
    Counts(u64),
}

/// Reads a statement; `None` for what is none, or is not known.
pub(super) fn statement(
    name: &str,
    data: &Attributes<'_>,
    context: Context,
    register: &dyn Fn(u32) -> Option<Loaded>,
) -> Option<Statement> {
    let of = |kind: u16| data.find(kind).and_then(|number| number.u32_be());
    let text = |kind: u16| data.find(kind).map(|text| text.text()).unwrap_or_default();
    let held = |kind: u16| of(kind).and_then(register);
    let other = |text: String| Statement::Does(Action::Other(text.clone()), text);
    Some(match name {
        "counter" => Statement::Counts(data.find(2)?.u64_be()?),
        "last" => Statement::Notes("last used".to_owned()),
        "log" => Statement::Notes(match text(2) {
            prefix if prefix.is_empty() => "log".to_owned(),
            prefix => format!("log prefix \"{prefix}\""),
        }),
        "limit" => Statement::Tests(limit(data)),
        "quota" => Statement::Tests(format!(
            "quota {}{} bytes",
            over(of(2)),
            data.find(1).and_then(|bytes| bytes.u64_be()).unwrap_or(0)
        )),
        "connlimit" => Statement::Tests(format!("ct count {}{}", over(of(2)), of(1).unwrap_or(0))),
        "reject" => reject(
            of(1)?,
            data.find(2).and_then(|code| code.u8()).unwrap_or(0),
            context,
        ),
        "nat" => translate(of(1)?, &[held(3), held(4), held(5), held(6)], context),
        "masq" => Statement::Does(Action::SourceNat { address: None }, "masquerade".to_owned()),
        "redir" => {
            let port = held(1).as_ref().and_then(port);
            let to = port.map(|port| format!(" to :{port}")).unwrap_or_default();
            Statement::Does(
                Action::DestinationNat { address: None, port },
                format!("redirect{to}"),
            )
        }
        "notrack" => other("notrack".to_owned()),
        "queue" => {
            let queue = data.find(1).and_then(|queue| queue.u16_be()).unwrap_or(0);
            other(format!("queue num {queue}"))
        }
        "tproxy" => other("tproxy".to_owned()),
        "synproxy" => other("synproxy".to_owned()),
        "flow_offload" => other(format!("flow add @{}", text(1))),
        "dup" => other("dup".to_owned()),
        "fwd" => other("fwd".to_owned()),
        "dynset" => dynamic_set(data, &text(1), held(4).as_ref(), context),
        "objref" => object(of(1), &text(2), &text(4)),
        "meta" => meta_set(of(2)?, &held(3)?, context),
        "ct" => other(format!("ct {} set {}", ct_key(of(2)?), held(4)?.name(context))),
        "payload" => other(format!(
            "@{},{},{} set {}",
            of(2)?,
            of(3)?,
            of(4)?,
            held(5)?.name(context)
        )),
        "exthdr" => other(format!(
            "option {} set {}",
            data.find(2)?.u8()?,
            held(7)?.name(context)
        )),
        _ => return None,
    })
}

fn over(flags: Option<u32>) -> &'static str {
    if flags.unwrap_or(0) & 1 != 0 { "over " } else { "" }
}

/// `enum nft_limit_attributes`.
fn limit(data: &Attributes<'_>) -> String {
    let long = |kind: u16| data.find(kind).and_then(|number| number.u64_be()).unwrap_or(0);
    let of = |kind: u16| data.find(kind).and_then(|number| number.u32_be());
    let unit = match long(2) {
        1 => "second".to_owned(),
        60 => "minute".to_owned(),
        3_600 => "hour".to_owned(),
        86_400 => "day".to_owned(),
        seconds => format!("{seconds} s"),
    };
    let what = if of(4) == Some(1) { " bytes" } else { "" };
    format!(
        "limit rate {}{}{what}/{unit} burst {}",
        over(of(5)),
        long(1),
        of(3).unwrap_or(0)
    )
}

/// `enum nft_reject_types`, `nft_reject_inet_code`: the ICMP type and code that is sent (RFC 792, RFC 4443). In tables of
/// both families it is that of IPv4.
fn reject(kind: u32, code: u8, context: Context) -> Statement {
    const TCP_RESET: u32 = 1;
    const EITHER: u32 = 2;
    let v6 = context.v6 == Some(true);
    let (kind, code) = match (kind, code) {
        (TCP_RESET, _) => return Statement::Does(Action::Reset, "reject with tcp reset".to_owned()),
        (EITHER, code) => match (code, v6) {
            (1, false) => (3, 3),
            (1, true) => (1, 4),
            (2, false) => (3, 1),
            (2, true) => (1, 3),
            (3, false) => (3, 13),
            (3, true) => (1, 1),
            (_, false) => (3, 0),
            (_, true) => (1, 0),
        },
        (_, code) => (if v6 { 1 } else { 3 }, code),
    };
    let name = match (kind, code) {
        (3, 0) => "icmp net-unreachable",
        (3, 1) => "icmp host-unreachable",
        (3, 2) => "icmp prot-unreachable",
        (3, 3) => "icmp port-unreachable",
        (3, 9) => "icmp net-prohibited",
        (3, 10) => "icmp host-prohibited",
        (3, 13) => "icmp admin-prohibited",
        (1, 0) => "icmpv6 no-route",
        (1, 1) => "icmpv6 admin-prohibited",
        (1, 3) => "icmpv6 addr-unreachable",
        (1, 4) => "icmpv6 port-unreachable",
        _ => "icmp",
    };
    Statement::Does(Action::Reject { kind, code }, format!("reject with {name}"))
}

/// The port that a register holds, if it is fixed.
fn port(held: &Loaded) -> Option<Port> {
    let What::Constant(value) = &held.what else {
        return None;
    };
    Some(Port(u16::try_from(number(value.get(..2)?)).ok()?))
}

/// `enum nft_nat_attributes`: to addresses and ports from and to.
fn translate(kind: u32, [from, to, first, last]: &[Option<Loaded>; 4], context: Context) -> Statement {
    const SOURCE: u32 = 0;
    let fixed = |held: &Loaded| match &held.what {
        What::Constant(value) => address(value, value.len() == 16, 0),
        _ => None,
    };
    // A range is not one address.
    let ends = |to: &Option<Loaded>, from: &Option<Loaded>| to.is_none() || to == from;
    let to_address = from.as_ref().and_then(fixed).filter(|_| ends(to, from));
    let to_port = first.as_ref().and_then(port).filter(|_| ends(last, first));
    let name = if kind == SOURCE { "snat" } else { "dnat" };
    let address_text = match (&to_address, from) {
        (Some(address), _) => address.to_string(),
        (None, Some(held)) => from
            .as_ref()
            .and_then(fixed)
            .map_or_else(|| held.name(context), |a| format!("{a}-...")),
        (None, None) => String::new(),
    };
    let port_text = to_port.map(|port| format!(":{port}")).unwrap_or_default();
    let text = format!("{name} to {address_text}{port_text}");
    let action = match kind {
        SOURCE => Action::SourceNat { address: to_address },
        _ => Action::DestinationNat {
            address: to_address,
            port: to_port,
        },
    };
    Statement::Does(action, text)
}

/// `enum nft_dynset_attributes`. With an expression of its own, a limit for each key, it lets only some packets go on.
fn dynamic_set(data: &Attributes<'_>, name: &str, key: Option<&Loaded>, context: Context) -> Statement {
    const EXPRESSION: u16 = 7;
    const EXPRESSIONS: u16 = 10;
    let does = match data.find(3).and_then(|does| does.u32_be()) {
        Some(0) => "add",
        Some(1) => "update",
        _ => "delete",
    };
    let key = key.map(|key| key.name(context)).unwrap_or_default();
    let text = format!("{does} @{name} {{ {key} }}");
    let own: Option<Attribute<'_>> = data.find(EXPRESSION).or_else(|| data.find(EXPRESSIONS));
    if own.is_some() {
        Statement::Tests(text)
    } else {
        Statement::Notes(text)
    }
}

/// `NFT_OBJECT_*`.
fn object(kind: Option<u32>, name: &str, map: &str) -> Statement {
    let word = match kind {
        Some(1) => return Statement::Notes(format!("counter name {name}")),
        Some(2) => return Statement::Tests(format!("quota name {name}")),
        Some(4) => return Statement::Tests(format!("limit name {name}")),
        Some(5) => return Statement::Tests(format!("ct count name {name}")),
        Some(3) => "ct helper set",
        Some(7) => "ct timeout set",
        Some(9) => "ct expectation set",
        Some(8) => return Statement::Notes(format!("secmark name {name}")),
        // The map may hold limits.
        None => return Statement::Tests(format!("objects of map @{map}")),
        Some(_) => "object",
    };
    let text = format!("{word} {name}");
    Statement::Does(Action::Other(text.clone()), text)
}

/// `enum nft_meta_keys`, set.
fn meta_set(key: u32, held: &Loaded, context: Context) -> Statement {
    const MARK: u32 = 3;
    const TRACE: u32 = 12;
    let to = match &held.what {
        What::Constant(value) => format!("{:#x}", number(&super::rule::network_order(value, true))),
        _ => held.name(context),
    };
    match key {
        MARK => Statement::Does(Action::SetMark, format!("meta mark set {to}")),
        TRACE => Statement::Notes("meta nftrace set 1".to_owned()),
        2 => Statement::Notes(format!("meta priority set {to}")),
        19 => Statement::Notes(format!("meta pkttype set {to}")),
        other => {
            let text = format!("meta {other} set {to}");
            Statement::Does(Action::Other(text.clone()), text)
        }
    }
}

fn ct_key(key: u32) -> String {
    match key {
        3 => "mark".to_owned(),
        6 => "helper".to_owned(),
        13 => "label".to_owned(),
        17 => "zone".to_owned(),
        18 => "event".to_owned(),
        other => other.to_string(),
    }
}
