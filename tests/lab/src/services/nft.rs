//! Service rules in the shape of kube-proxy's nftables mode (`pkg/proxy/nftables/proxier.go`): a table of its own, where
//! verdict maps lead from address, protocol and port to a service's chain, and from there to an endpoint's.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use mesh_proto::TrafficPolicy;

use super::{Front, Rules, ServiceChange, ServicePort, run};
use crate::cidr::IpFamily;
use crate::fault::Action;
use crate::options::PodNetwork;
use crate::topology::Node;

/// kube-proxy's mark for packets that must get the node's address.
const MASQUERADE_MARK: &str = "0x4000";

/// Reads text into a node.
pub(super) fn apply(node: &Node, text: &str) -> Action {
    run(node, "nft", &["-f", "-"], text)
}

/// All rules of a node.
pub(super) fn text(rules: &Rules) -> String {
    let mut text = format!("table {} {{\n{}", table(rules), maps(rules));
    for (name, hook, lines) in HOOKS {
        text.push_str(&chain(name, Some(hook), lines));
    }
    text.push_str(&shared_chains(rules));
    for port in &rules.ports {
        text.push_str(&chains(rules, port));
    }
    text.push_str("}\n");
    text.push_str(&outgoing(rules));
    text
}

/// Where packets come in: a chain's name, its hook and priority, its rules.
const HOOKS: &[(&str, &str, &[&str])] = &[
    (
        "filter-input",
        "filter hook input priority filter",
        &[
            "ct state new jump nodeport-endpoints-check",
            "ct state new jump service-endpoints-check",
        ],
    ),
    (
        "filter-forward",
        "filter hook forward priority filter",
        &[
            "ct state new jump service-endpoints-check",
            "ct state new jump cluster-ips-check",
        ],
    ),
    (
        "filter-output",
        "filter hook output priority filter",
        &["ct state new jump service-endpoints-check"],
    ),
    (
        "filter-output-post-dnat",
        "filter hook output priority -90",
        &["ct state new jump cluster-ips-check"],
    ),
    (
        "nat-prerouting",
        "nat hook prerouting priority dstnat",
        &["jump services"],
    ),
    ("nat-output", "nat hook output priority -100", &["jump services"]),
    (
        "nat-postrouting",
        "nat hook postrouting priority srcnat",
        &["jump masquerading"],
    ),
];

/// What leads from an address, protocol and port to a chain.
fn maps(rules: &Rules) -> String {
    let address = match rules.family {
        IpFamily::V4 => "ipv4_addr",
        IpFamily::V6 => "ipv6_addr",
    };
    let (by_address, by_port) = (
        format!("{address} . inet_proto . inet_service : verdict"),
        "inet_proto . inet_service : verdict",
    );
    let elements = |of: fn(&ServicePort) -> Option<String>| -> Vec<String> {
        rules.ports.iter().filter_map(of).collect()
    };
    let cluster_ip = |port: &ServicePort| matches!(port.front, Front::ClusterIp(_)).then(|| to_service(port));
    let node_port = |port: &ServicePort| matches!(port.front, Front::NodePort(..)).then(|| to_service(port));
    let silent =
        |port: &ServicePort| is_silent(port).then(|| format!("{} : goto {}", key(port), silent_chain(port)));
    [
        named("map service-ips", &by_address, &elements(cluster_ip)),
        named("map service-nodeports", by_port, &elements(node_port)),
        named("map no-endpoint-services", &by_address, &[]),
        named("map no-endpoint-nodeports", by_port, &elements(silent)),
        named("set cluster-ips", address, &cluster_ips(rules)),
        named("set nodeport-ips", address, &[rules.node.to_string()]),
    ]
    .concat()
}

/// The chains that look into the maps, and those that mark, reject and masquerade.
fn shared_chains(rules: &Rules) -> String {
    let ip = ip(rules);
    let to_service = format!("{ip} daddr . meta l4proto . th dport vmap");
    let to_node_port = format!("{ip} daddr @nodeport-ips meta l4proto . th dport vmap");
    let one = |name: &str, line: String| chain(name, None, &[line]);
    [
        chain(
            "services",
            None,
            &[
                format!("{to_service} @service-ips"),
                format!("{to_node_port} @service-nodeports"),
            ],
        ),
        one("reject-chain", "reject".to_owned()),
        one(
            "service-endpoints-check",
            format!("{to_service} @no-endpoint-services"),
        ),
        one(
            "nodeport-endpoints-check",
            format!("{to_node_port} @no-endpoint-nodeports"),
        ),
        // A port that no service has.
        one("cluster-ips-check", format!("{ip} daddr @cluster-ips reject")),
        one(
            "mark-for-masquerade",
            format!("meta mark set meta mark | {MASQUERADE_MARK}"),
        ),
        chain(
            "masquerading",
            None,
            &[
                format!("meta mark & {MASQUERADE_MARK} == 0 return"),
                // The mark does not stay, or the overlay's own packet would have it too.
                format!("meta mark set meta mark ^ {MASQUERADE_MARK}"),
                "masquerade fully-random".to_owned(),
            ],
        ),
    ]
    .concat()
}

/// What a change does to the table of [`text`].
pub(super) fn change(rules: &Rules, change: ServiceChange) -> String {
    let table = table(rules);
    let mut text = String::new();
    match change {
        ServiceChange::Flush => line(&mut text, &format!("flush table {table}")),
        ServiceChange::NoEndpoints(service) => {
            for port in rules.ports_of(service) {
                let (lead, none) = match port.front {
                    Front::ClusterIp(_) => ("service-ips", "no-endpoint-services"),
                    Front::NodePort(..) => ("service-nodeports", "no-endpoint-nodeports"),
                };
                let key = key(port);
                // What is not there cannot be deleted; what is there may be added.
                line(
                    &mut text,
                    &format!("add element {table} {lead} {{ {} }}", to_service(port)),
                );
                line(&mut text, &format!("delete element {table} {lead} {{ {key} }}"));
                if is_silent(port) {
                    let silent = silent_chain(port);
                    line(&mut text, &format!("flush chain {table} {silent}"));
                    line(&mut text, &format!("add rule {table} {silent} goto reject-chain"));
                } else {
                    line(
                        &mut text,
                        &format!("add element {table} {none} {{ {key} : goto reject-chain }}"),
                    );
                }
            }
        }
        ServiceChange::StaleEndpoint { service, address } => {
            for port in rules.ports_of(service) {
                if let Some(last) = port.endpoints.last() {
                    let chain = endpoint_chain(port, port.number_of(*last));
                    let stale = SocketAddr::new(address, last.port());
                    line(&mut text, &format!("flush chain {table} {chain}"));
                    for rule in lead(rules, port, stale) {
                        line(&mut text, &format!("add rule {table} {chain} {rule}"));
                    }
                }
            }
        }
        ServiceChange::NoMasquerade => line(&mut text, &format!("flush chain {table} masquerading")),
    }
    text
}

/// The chains of a port and of its endpoints.
fn chains(rules: &Rules, port: &ServicePort) -> String {
    let mut text = String::new();
    for endpoint in &port.endpoints {
        let name = endpoint_chain(port, port.number_of(*endpoint));
        text.push_str(&chain(&name, None, &lead(rules, port, *endpoint)));
    }
    if is_silent(port) {
        text.push_str(&chain(&silent_chain(port), None, &["drop"]));
    }
    let (ip, pods) = (ip(rules), rules.pods);
    let (all, mark) = (format!("service-{port}"), "jump mark-for-masquerade");
    let mut lines = Vec::new();
    if rules.masquerade_others
        && let Front::ClusterIp(at) = port.front
    {
        let to = format!("{ip} daddr {} {} dport {}", at.ip(), port.protocol, at.port());
        lines.push(format!("{to} {ip} saddr != {pods} {mark}"));
    }
    lines.extend(equally(port, &port.endpoints));
    text.push_str(&chain(&all, None, &lines));
    let lines = match port.front {
        Front::ClusterIp(_) => return text,
        Front::NodePort(_, TrafficPolicy::Cluster) => vec![mark.to_owned(), format!("goto {all}")],
        // The node and its pods are let to all endpoints; others to those here, with their own address.
        Front::NodePort(_, TrafficPolicy::Local) => {
            let mut lines = vec![
                format!("{ip} saddr {pods} goto {all}"),
                format!("fib saddr type local {mark}"),
                format!("fib saddr type local goto {all}"),
            ];
            lines.extend(equally(port, &port.local));
            lines
        }
    };
    text.push_str(&chain(&format!("external-{port}"), None, &lines));
    text
}

/// To one of several endpoints.
fn equally(port: &ServicePort, endpoints: &[SocketAddr]) -> Option<String> {
    let leads: Vec<String> = endpoints
        .iter()
        .enumerate()
        .map(|(place, endpoint)| {
            format!(
                "{place} : goto {}",
                endpoint_chain(port, port.number_of(*endpoint))
            )
        })
        .collect();
    let count = leads.len();
    (count > 0).then(|| format!("numgen random mod {count} vmap {{ {} }}", leads.join(", ")))
}

/// To an endpoint.
fn lead(rules: &Rules, port: &ServicePort, endpoint: SocketAddr) -> [String; 2] {
    let (ip, address) = (ip(rules), endpoint.ip());
    [
        // An endpoint that asks itself must see somebody else's address.
        format!("{ip} saddr {address} jump mark-for-masquerade"),
        format!("meta l4proto {} dnat to {endpoint}", port.protocol),
    ]
}

/// What the pod network does to packets that leave it, in its own table.
fn outgoing(rules: &Rules) -> String {
    let Some(pod_network) = rules.outgoing else {
        return String::new();
    };
    let (ip, pods) = (ip(rules), rules.pods);
    let table = match pod_network {
        PodNetwork::Routed => "calico",
        PodNetwork::Bridge => "flannel",
    };
    let rule = format!("{ip} saddr {pods} {ip} daddr != {pods} masquerade fully-random");
    let hook = "nat hook postrouting priority srcnat";
    format!(
        "table {ip} {table} {{\n{}}}\n",
        chain("nat-outgoing", Some(hook), &[rule])
    )
}

/// An entry that leads to a port.
fn to_service(port: &ServicePort) -> String {
    let kind = match port.front {
        Front::ClusterIp(_) => "service",
        Front::NodePort(..) => "external",
    };
    format!("{} : goto {kind}-{port}", key(port))
}

fn key(port: &ServicePort) -> String {
    match port.front {
        Front::ClusterIp(at) => format!("{} . {} . {}", at.ip(), port.protocol, at.port()),
        Front::NodePort(number, _) => format!("{} . {number}", port.protocol),
    }
}

fn cluster_ips(rules: &Rules) -> Vec<String> {
    let mut all: Vec<IpAddr> = Vec::new();
    for port in &rules.ports {
        if let Front::ClusterIp(at) = port.front
            && !all.contains(&at.ip())
        {
            all.push(at.ip());
        }
    }
    all.iter().map(ToString::to_string).collect()
}

/// Silent by design, so that a load balancer sees that nobody is here.
fn is_silent(port: &ServicePort) -> bool {
    matches!(port.front, Front::NodePort(_, TrafficPolicy::Local)) && port.local.is_empty()
}

fn endpoint_chain(port: &ServicePort, number: usize) -> String {
    format!("endpoint-{port}-{number}")
}

fn silent_chain(port: &ServicePort) -> String {
    format!("silent-{port}")
}

fn named(name: &str, kind: &str, elements: &[String]) -> String {
    let elements = match elements {
        [] => String::new(),
        some => format!("elements = {{ {} }}\n", some.join(", ")),
    };
    format!("{name} {{\ntype {kind}\n{elements}}}\n")
}

fn chain(name: &str, hook: Option<&str>, lines: &[impl AsRef<str>]) -> String {
    let mut text = format!("chain {name} {{\n");
    if let Some(hook) = hook {
        line(&mut text, &format!("type {hook};"));
    }
    for rule in lines {
        line(&mut text, rule.as_ref());
    }
    text.push_str("}\n");
    text
}

/// As nft calls the family, in tables and in matches.
fn ip(rules: &Rules) -> &'static str {
    match rules.family {
        IpFamily::V4 => "ip",
        IpFamily::V6 => "ip6",
    }
}

fn table(rules: &Rules) -> String {
    format!("{} kube-proxy", ip(rules))
}

fn line(text: &mut String, what: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{what}");
}
