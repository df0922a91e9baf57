//! Rules as `iptables -S` writes them, near enough to find them again.

use std::fmt::Write;

use mesh_proto::{Action, ConnectionStates, Match, MatchTest, PortRange, Prefix};

/// A rule's tests and what it does; `target` is called so where there is one that does not decide, as LOG.
pub(in crate::facts) fn rule_text(tests: &[MatchTest], action: &Action, target: Option<&str>) -> String {
    let mut text = String::new();
    for test in tests {
        let not = if test.not { "! " } else { "" };
        let _ = write!(text, "{not}{} ", test_text(&test.on));
    }
    match (action, target) {
        (Action::Continue, Some(target)) => {
            let _ = write!(text, "-j {target}");
        }
        (action, _) => text.push_str(&action_text(action)),
    }
    text.trim_end().to_owned()
}

/// `-j DROP`; nothing for a rule that only counts.
fn action_text(action: &Action) -> String {
    match action {
        Action::Accept => "-j ACCEPT".to_owned(),
        Action::Drop => "-j DROP".to_owned(),
        Action::Reject { kind, code } => format!("-j REJECT --reject-with {}", reject_with(*kind, *code)),
        Action::Reset => "-j REJECT --reject-with tcp-reset".to_owned(),
        Action::Jump(chain) => format!("-j {chain}"),
        Action::Goto(chain) => format!("-g {chain}"),
        Action::Return => "-j RETURN".to_owned(),
        Action::DestinationNat {
            address: None,
            port: Some(port),
        } => {
            format!("-j REDIRECT --to-ports {port}")
        }
        Action::DestinationNat {
            address: Some(address),
            port: Some(port),
        } => {
            format!(
                "-j DNAT --to-destination {}",
                std::net::SocketAddr::new(*address, port.0)
            )
        }
        Action::DestinationNat {
            address: Some(address),
            port: None,
        } => {
            format!("-j DNAT --to-destination {address}")
        }
        Action::DestinationNat {
            address: None,
            port: None,
        } => "-j DNAT".to_owned(),
        Action::SourceNat {
            address: Some(address),
        } => format!("-j SNAT --to-source {address}"),
        Action::SourceNat { address: None } => "-j MASQUERADE".to_owned(),
        Action::SetMark => "-j MARK".to_owned(),
        Action::Continue => String::new(),
        Action::Other(text) => format!("-j {text}"),
    }
}

/// Names of `--reject-with`.
fn reject_with(kind: u8, code: u8) -> String {
    let name = match (kind, code) {
        (3, 0) => "icmp-net-unreachable",
        (3, 1) => "icmp-host-unreachable",
        (3, 2) => "icmp-proto-unreachable",
        (3, 3) => "icmp-port-unreachable",
        (3, 9) => "icmp-net-prohibited",
        (3, 10) => "icmp-host-prohibited",
        (3, 13) => "icmp-admin-prohibited",
        (1, 0) => "icmp6-no-route",
        (1, 1) => "icmp6-adm-prohibited",
        (1, 3) => "icmp6-addr-unreachable",
        (1, 4) => "icmp6-port-unreachable",
        _ => return format!("{kind}/{code}"),
    };
    name.to_owned()
}

fn test_text(on: &Match) -> String {
    match on {
        Match::Protocol(number) => format!("-p {}", protocol(*number)),
        Match::Source(prefixes) => format!("-s {}", list(prefixes, Prefix::to_string)),
        Match::Destination(prefixes) => format!("-d {}", list(prefixes, Prefix::to_string)),
        Match::SourcePort(ranges) => port_test("sport", ranges),
        Match::DestinationPort(ranges) => port_test("dport", ranges),
        Match::InLink(name) => format!("-i {name}"),
        Match::OutLink(name) => format!("-o {name}"),
        Match::Connection(states) => format!("-m conntrack --ctstate {}", connection(*states)),
        Match::DestinationTranslated => "-m conntrack --ctstate DNAT".to_owned(),
        Match::Mark {
            value,
            mask: u32::MAX,
        } => format!("-m mark --mark {value:#x}"),
        Match::Mark { value, mask } => format!("-m mark --mark {value:#x}/{mask:#x}"),
        Match::DestinationIsLocal => "-m addrtype --dst-type LOCAL".to_owned(),
        Match::SourceIsLocal => "-m addrtype --src-type LOCAL".to_owned(),
        Match::Icmp {
            kind,
            code: Some(code),
        } => format!("--icmp-type {kind}/{code}"),
        Match::Icmp { kind, code: None } => format!("--icmp-type {kind}"),
        Match::Length(from, to) => format!("-m length --length {from}:{to}"),
        Match::Random(share) => format!("-m statistic --mode random --probability {share:.5}"),
        Match::Comment(text) => format!("-m comment --comment \"{text}\""),
        Match::Other(text) => text.clone(),
    }
}

fn list<T>(items: &[T], text: impl Fn(&T) -> String) -> String {
    items.iter().map(text).collect::<Vec<_>>().join(",")
}

fn port_test(which: &str, ranges: &[PortRange]) -> String {
    match ranges {
        [one] => format!("--{which} {}", port_range(*one)),
        several => format!(
            "-m multiport --{which}s {}",
            list(several, |range| port_range(*range))
        ),
    }
}

/// `80`, `8000:8080`.
pub(super) fn port_range(range: PortRange) -> String {
    if range.from == range.to {
        range.from.to_string()
    } else {
        format!("{}:{}", range.from, range.to)
    }
}

fn connection(states: ConnectionStates) -> String {
    let names = [
        (states.invalid, "INVALID"),
        (states.new, "NEW"),
        (states.related, "RELATED"),
        (states.established, "ESTABLISHED"),
        (states.untracked, "UNTRACKED"),
    ];
    let set: Vec<&str> = names
        .iter()
        .filter(|(set, _)| *set)
        .map(|(_, name)| *name)
        .collect();
    set.join(",")
}

/// The protocol's name, of those that are well known.
pub(in crate::facts) fn protocol(number: u8) -> String {
    let name = match number {
        1 => "icmp",
        4 => "ipencap",
        6 => "tcp",
        17 => "udp",
        47 => "gre",
        50 => "esp",
        51 => "ah",
        58 => "ipv6-icmp",
        132 => "sctp",
        _ => return number.to_string(),
    };
    name.to_owned()
}
