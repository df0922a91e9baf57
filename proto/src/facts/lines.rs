//! Facts as lines: for people, and for comparing one machine with another.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::SocketAddr;

use super::{Backend, Base, Carrier, Hook, HostFacts, Link, Route, RouteKind, RoutingRule, Tunnel};

/// One line of what a kernel says. No two lines of a machine have the same group and name, and the same thing has the same
/// on every machine.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Fact {
    /// `sysctl`, `link`, `route` ... What differs between healthy machines as well has groups of its own: `mac`, `counter`,
    /// `link-counter`.
    pub group: &'static str,
    /// Which one.
    pub name: String,
    /// What it says.
    pub value: String,
}

/// Lines on their way.
#[derive(Debug, Default)]
struct Lines {
    lines: Vec<Fact>,
    names: BTreeMap<(&'static str, String), u32>,
}

impl Lines {
    /// Adds a line. A second one of the same name gets a number behind it.
    fn add(&mut self, group: &'static str, name: impl Into<String>, value: impl Into<String>) {
        let mut name = name.into();
        let times = self.names.entry((group, name.clone())).or_default();
        *times += 1;
        if *times > 1 {
            let _ = write!(name, " #{times}");
        }
        self.lines.push(Fact {
            group,
            name,
            value: value.into(),
        });
    }
}

impl HostFacts {
    /// All facts, one a line, grouped.
    pub fn lines(&self) -> Vec<Fact> {
        let mut lines = Lines::default();
        lines.add("kernel", "release", self.kernel.clone());
        lines.add("kernel", "uptime_s", self.uptime_s.to_string());
        for (name, value) in &self.sysctls {
            lines.add("sysctl", name, value);
        }
        self.routing_lines(&mut lines);
        self.rule_lines(&mut lines);
        if let Some(conntrack) = self.conntrack {
            lines.add("conntrack", "count", conntrack.count.to_string());
            lines.add("conntrack", "max", conntrack.max.to_string());
            lines.add("conntrack", "dropped", conntrack.dropped.to_string());
        }
        for socket in &self.listening {
            let at = SocketAddr::new(socket.address, socket.port.0);
            lines.add("listening", format!("{} {at}", socket.protocol), "listens");
        }
        for (name, value) in &self.counters {
            lines.add("counter", name, value.to_string());
        }
        for missing in &self.missing {
            lines.add("missing", &missing.what, &missing.why);
        }
        lines.lines
    }

    fn routing_lines(&self, lines: &mut Lines) {
        for link in &self.links {
            lines.add("link", &link.name, link_text(link));
        }
        for link in &self.links {
            if let Some(mac) = link.mac {
                lines.add("mac", &link.name, mac.to_string());
            }
        }
        for address in &self.addresses {
            lines.add(
                "address",
                format!("{} {}", address.link, address.address),
                address.network.to_string(),
            );
        }
        for route in &self.routes {
            let metric = if route.metric == 0 {
                String::new()
            } else {
                format!(" metric {}", route.metric)
            };
            lines.add(
                "route",
                format!("{} {}{metric}", table_name(route.table), route.to),
                route_text(route),
            );
        }
        for rule in &self.routing_rules {
            let family = if rule.v6 { "ip6" } else { "ip" };
            lines.add(
                "routing-rule",
                format!("{family} {}", rule.priority),
                routing_rule_text(rule),
            );
        }
        for neighbour in &self.neighbours {
            let mac = neighbour.mac.map(|mac| format!("{mac} ")).unwrap_or_default();
            let value = format!("{mac}{}", neighbour.state);
            lines.add(
                "neighbour",
                format!("{} {}", neighbour.link, neighbour.address),
                value,
            );
        }
        for entry in &self.forwarding_entries {
            let value = entry
                .peer
                .map_or_else(|| "here".to_owned(), |peer| format!("dst {peer}"));
            lines.add("forwarding", format!("{} {}", entry.link, entry.mac), value);
        }
        for link in &self.links {
            let counters = link.counters;
            for (name, value) in [
                ("received", counters.received),
                ("sent", counters.sent),
                ("receive_dropped", counters.receive_dropped),
                ("send_dropped", counters.send_dropped),
                ("receive_errors", counters.receive_errors),
                ("send_errors", counters.send_errors),
            ] {
                lines.add("link-counter", format!("{} {name}", link.name), value.to_string());
            }
        }
    }

    fn rule_lines(&self, lines: &mut Lines) {
        for table in &self.netfilter.tables {
            let backend = match table.backend {
                Backend::Nft => "nft",
                Backend::Legacy => "legacy",
            };
            let of = format!("{backend} {} {}", table.family, table.name);
            for chain in &table.chains {
                let name = format!("{of} {}", chain.name);
                let base = chain
                    .base
                    .as_ref()
                    .map_or_else(|| "no hook".to_owned(), base_text);
                lines.add("chain", &name, base);
                for (number, rule) in chain.rules.iter().enumerate() {
                    lines.add("rule", format!("{name} {}", number + 1), &rule.text);
                }
            }
        }
    }
}

fn link_text(link: &Link) -> String {
    let kind = if link.kind.is_empty() {
        "device"
    } else {
        &link.kind
    };
    let mut text = format!("{kind} {} mtu {}", if link.up { "up" } else { "down" }, link.mtu);
    // One that is off never has a carrier.
    if link.up && link.carrier == Carrier::Down {
        text.push_str(" no-carrier");
    }
    if let Some(tunnel) = &link.tunnel {
        text.push_str(&tunnel_text(tunnel));
    }
    if let Some(master) = &link.master {
        let _ = write!(text, " master {master}");
    }
    for (name, value) in &link.details {
        let _ = write!(text, " {name} {value}");
    }
    text
}

fn tunnel_text(tunnel: &Tunnel) -> String {
    let parts = [
        ("port", tunnel.port.map(|port| port.to_string())),
        ("vni", tunnel.vni.map(|vni| vni.to_string())),
        ("local", tunnel.local.map(|address| address.to_string())),
        ("remote", tunnel.remote.map(|address| address.to_string())),
        ("over", tunnel.below.clone()),
    ];
    parts.into_iter().fold(String::new(), |mut text, (name, value)| {
        if let Some(value) = value {
            let _ = write!(text, " {name} {value}");
        }
        text
    })
}

/// From Linux `include/uapi/linux/rtnetlink.h`.
fn table_name(table: u32) -> String {
    match table {
        253 => "default".to_owned(),
        254 => "main".to_owned(),
        255 => "local".to_owned(),
        other => other.to_string(),
    }
}

fn route_text(route: &Route) -> String {
    let kind = match route.kind {
        RouteKind::Unicast => None,
        RouteKind::Local => Some("local"),
        RouteKind::Other => Some("broadcast or multicast"),
        RouteKind::Blackhole => Some("blackhole"),
        RouteKind::Unreachable => Some("unreachable"),
        RouteKind::Prohibit => Some("prohibit"),
        RouteKind::Throw => Some("throw"),
    };
    let parts = [
        kind.map(str::to_owned),
        route.gateway.map(|gateway| format!("via {gateway}")),
        route.link.as_ref().map(|link| format!("dev {link}")),
        route.source.map(|source| format!("src {source}")),
        route.mtu.map(|mtu| format!("mtu {mtu}")),
        route.dead.then(|| "dead".to_owned()),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    parts.join(" ")
}

fn routing_rule_text(rule: &RoutingRule) -> String {
    let parts = [
        rule.not.then(|| "not".to_owned()),
        Some(
            rule.from
                .map_or_else(|| "from all".to_owned(), |from| format!("from {from}")),
        ),
        rule.to.map(|to| format!("to {to}")),
        rule.mark
            .map(|(mark, mask)| format!("fwmark {mark:#x}/{mask:#x}")),
        rule.link.as_ref().map(|link| format!("iif {link}")),
        rule.table.map(|table| format!("lookup {}", table_name(table))),
        rule.also.clone(),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    parts.join(" ")
}

fn base_text(base: &Base) -> String {
    let hook = match base.hook {
        Hook::Prerouting => "prerouting",
        Hook::Input => "input",
        Hook::Forward => "forward",
        Hook::Output => "output",
        Hook::Postrouting => "postrouting",
        Hook::Ingress => "ingress",
        Hook::Egress => "egress",
    };
    let policy = if base.accepts { "accept" } else { "drop" };
    let mut text = format!(
        "type {} hook {hook} priority {} policy {policy}",
        base.kind, base.priority
    );
    if !base.links.is_empty() {
        let _ = write!(text, " devices {}", base.links.join(","));
    }
    text
}

#[cfg(test)]
#[path = "lines_tests.rs"]
mod tests;
