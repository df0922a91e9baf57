//! Service rules as kube-proxy's iptables mode writes them (`pkg/proxy/iptables/proxier.go`): text for `iptables-restore`,
//! the same for both back ends of iptables. What differs is the programs that read it.

use std::fmt::Write as _;
use std::net::SocketAddr;

use mesh_proto::TrafficPolicy;

use super::{Front, Rules, ServiceChange, ServicePort, run};
use crate::cidr::IpFamily;
use crate::fault::Action;
use crate::options::PodNetwork;
use crate::topology::Node;

/// All chains of kube-proxy that hold rules of their own, by table.
const CHAINS: [(&str, &[&str]); 2] = [
    (
        "nat",
        &[
            "KUBE-SERVICES",
            "KUBE-NODEPORTS",
            "KUBE-POSTROUTING",
            "KUBE-MARK-MASQ",
        ],
    ),
    (
        "filter",
        &[
            "KUBE-SERVICES",
            "KUBE-EXTERNAL-SERVICES",
            "KUBE-FORWARD",
            "KUBE-FIREWALL",
        ],
    ),
];
/// kube-proxy's mark for packets that must get the node's address.
const MASQUERADE_MARK: &str = "0x4000/0x4000";

/// The programs of a back end that read rules, by family.
#[derive(Debug, Clone, Copy)]
pub(super) struct Programs {
    v4: &'static str,
    v6: &'static str,
}

/// iptables over nf_tables.
pub(super) const NFT: Programs = Programs {
    v4: "iptables-nft-restore",
    v6: "ip6tables-nft-restore",
};

/// iptables over ip_tables.
pub(super) const LEGACY: Programs = Programs {
    v4: "iptables-legacy-restore",
    v6: "ip6tables-legacy-restore",
};

impl Programs {
    pub(super) fn of(self, family: IpFamily) -> &'static str {
        match family {
            IpFamily::V4 => self.v4,
            IpFamily::V6 => self.v6,
        }
    }
}

/// Reads rules into a node, beside those that others have there.
pub(super) fn apply(node: &Node, rules: &Rules, programs: Programs, text: &str) -> Action {
    run(node, programs.of(rules.family), &["-w", "--noflush"], text)
}

/// All rules of a node.
pub(super) fn text(rules: &Rules) -> String {
    let [mut nat, mut filter] = CHAINS.map(|(_, chains)| Chains::empty(chains));
    for hook in ["PREROUTING", "OUTPUT"] {
        nat.rule(
            hook,
            "-m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES",
        );
    }
    nat.rule(
        "POSTROUTING",
        "-m comment --comment \"kubernetes postrouting rules\" -j KUBE-POSTROUTING",
    );
    masquerade(&mut nat);
    outgoing(&mut nat, rules);
    for port in &rules.ports {
        dispatch(&mut nat, rules, port);
        spread(&mut nat, rules, port);
        for endpoint in &port.endpoints {
            lead(&mut nat, rules, port, port.number_of(*endpoint), *endpoint);
        }
    }
    // After all services.
    nat.rule("KUBE-SERVICES", "-m addrtype --dst-type LOCAL -j KUBE-NODEPORTS");

    let new = "-m conntrack --ctstate NEW -j";
    filter.rule("INPUT", &format!("{new} KUBE-EXTERNAL-SERVICES"));
    filter.rule("INPUT", "-j KUBE-FIREWALL");
    filter.rule("FORWARD", "-j KUBE-FORWARD");
    filter.rule("FORWARD", &format!("{new} KUBE-SERVICES"));
    filter.rule("FORWARD", &format!("{new} KUBE-EXTERNAL-SERVICES"));
    filter.rule("OUTPUT", &format!("{new} KUBE-SERVICES"));
    filter.rule("OUTPUT", "-j KUBE-FIREWALL");
    filter.rule("KUBE-FORWARD", "-m conntrack --ctstate INVALID -j DROP");
    filter.rule(
        "KUBE-FORWARD",
        &format!("-m mark --mark {MASQUERADE_MARK} -j ACCEPT"),
    );
    filter.rule(
        "KUBE-FORWARD",
        "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    );
    if rules.family == IpFamily::V4 {
        // Nobody but the node itself reaches its loopback, route_localnet or not.
        let ours = "-m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP";
        filter.rule(
            "KUBE-FIREWALL",
            &format!("! -s 127.0.0.0/8 -d 127.0.0.0/8 {ours}"),
        );
    }
    for port in &rules.ports {
        if let Front::NodePort(_, TrafficPolicy::Local) = port.front
            && port.local.is_empty()
        {
            // Silent by design, so that a load balancer sees that nobody is here.
            filter.rule("KUBE-EXTERNAL-SERVICES", &format!("{} -j DROP", asked(port)));
        }
    }
    format!("{}{}", nat.table("nat"), filter.table("filter"))
}

/// What a change does to the rules of [`text`].
pub(super) fn change(rules: &Rules, change: ServiceChange) -> String {
    let [mut nat, mut filter] = [Chains::default(), Chains::default()];
    match change {
        ServiceChange::Flush => [nat, filter] = CHAINS.map(|(_, chains)| Chains::empty(chains)),
        ServiceChange::NoEndpoints(service) => {
            for port in rules.ports_of(service) {
                for chain in chains_of(port) {
                    nat.flush(&chain);
                }
                let chain = match port.front {
                    Front::ClusterIp(_) => "KUBE-SERVICES",
                    Front::NodePort(..) => "KUBE-EXTERNAL-SERVICES",
                };
                filter.first(chain, &format!("{} -j REJECT", asked(port)));
            }
        }
        ServiceChange::StaleEndpoint { service, address } => {
            for port in rules.ports_of(service) {
                if let Some(last) = port.endpoints.last() {
                    let stale = SocketAddr::new(address, last.port());
                    lead(&mut nat, rules, port, port.number_of(*last), stale);
                }
            }
        }
        ServiceChange::NoMasquerade => nat.flush("KUBE-POSTROUTING"),
    }
    // What is only added to must not be emptied.
    let filter = if matches!(change, ServiceChange::NoEndpoints(_)) {
        filter.additions("filter")
    } else {
        filter.table("filter")
    };
    format!("{}{filter}", nat.table("nat"))
}

/// Marked packets get the node's address; the mark does not stay, or the overlay's own packet would have it too.
fn masquerade(nat: &mut Chains) {
    nat.rule("KUBE-MARK-MASQ", "-j MARK --or-mark 0x4000");
    nat.rule(
        "KUBE-POSTROUTING",
        &format!("-m mark ! --mark {MASQUERADE_MARK} -j RETURN"),
    );
    nat.rule("KUBE-POSTROUTING", "-j MARK --xor-mark 0x4000");
    nat.rule("KUBE-POSTROUTING", "-j MASQUERADE --random-fully");
}

/// What the pod network does to packets that leave it.
fn outgoing(nat: &mut Chains, rules: &Rules) {
    let Some(pod_network) = rules.outgoing else { return };
    let (chain, pods) = (outgoing_chain(pod_network), rules.pods);
    nat.rule("POSTROUTING", &format!("-j {chain}"));
    nat.rule(
        chain,
        &format!("-s {pods} ! -d {pods} -j MASQUERADE --random-fully"),
    );
}

/// As Calico and flannel call it.
fn outgoing_chain(pod_network: PodNetwork) -> &'static str {
    match pod_network {
        PodNetwork::Routed => "cali-nat-outgoing",
        PodNetwork::Bridge => "FLANNEL-POSTRTG",
    }
}

/// From the common chains to those of the port.
fn dispatch(nat: &mut Chains, rules: &Rules, port: &ServicePort) {
    let (all, external, local) = (chain("SVC", port), chain("EXT", port), chain("SVL", port));
    match port.front {
        Front::ClusterIp(_) => {
            nat.rule("KUBE-SERVICES", &format!("{} -j {all}", asked(port)));
        }
        Front::NodePort(number, policy) => {
            let to = format!("-p {} --dport {number} -j {external}", port.protocol);
            nat.rule("KUBE-NODEPORTS", &to);
            match policy {
                TrafficPolicy::Cluster => {
                    nat.rule(&external, "-j KUBE-MARK-MASQ");
                    nat.rule(&external, &format!("-j {all}"));
                }
                // The node and its pods are let to all endpoints; others to those here, with their own address.
                TrafficPolicy::Local => {
                    nat.rule(&external, &format!("-s {} -j {all}", rules.pods));
                    let here = "-m addrtype --src-type LOCAL";
                    nat.rule(&external, &format!("{here} -j KUBE-MARK-MASQ"));
                    nat.rule(&external, &format!("{here} -j {all}"));
                    nat.rule(&external, &format!("-j {local}"));
                }
            }
        }
    }
}

/// From a port's chain to one of its endpoints.
fn spread(nat: &mut Chains, rules: &Rules, port: &ServicePort) {
    let all = chain("SVC", port);
    if rules.masquerade_others
        && let Front::ClusterIp(_) = port.front
    {
        nat.rule(
            &all,
            &format!("! -s {} {} -j KUBE-MARK-MASQ", rules.pods, asked(port)),
        );
    }
    equally(nat, &all, port, &port.endpoints);
    if let Front::NodePort(_, TrafficPolicy::Local) = port.front {
        equally(nat, &chain("SVL", port), port, &port.local);
    }
}

fn equally(nat: &mut Chains, from: &str, port: &ServicePort, endpoints: &[SocketAddr]) {
    nat.flush(from);
    for (place, endpoint) in endpoints.iter().enumerate() {
        let to = endpoint_chain(port, port.number_of(*endpoint));
        let share = match endpoints.len() - place {
            1 => String::new(),
            // Of those that are left, each an equal share.
            left => format!(
                "-m statistic --mode random --probability {:.11} ",
                1.0 / left as f64
            ),
        };
        nat.rule(from, &format!("{share}-j {to}"));
    }
}

/// To an endpoint.
fn lead(nat: &mut Chains, rules: &Rules, port: &ServicePort, number: usize, endpoint: SocketAddr) {
    let chain = endpoint_chain(port, number);
    let (address, width) = (endpoint.ip(), rules.family.width());
    // An endpoint that asks itself must see somebody else's address.
    nat.rule(&chain, &format!("-s {address}/{width} -j KUBE-MARK-MASQ"));
    nat.rule(
        &chain,
        &format!("-p {} -j DNAT --to-destination {endpoint}", port.protocol),
    );
}

/// What matches packets to a port of a service.
fn asked(port: &ServicePort) -> String {
    let protocol = port.protocol;
    match port.front {
        Front::ClusterIp(at) => {
            let width = IpFamily::of(at.ip()).width();
            format!("-d {}/{width} -p {protocol} --dport {}", at.ip(), at.port())
        }
        Front::NodePort(number, _) => {
            format!("-m addrtype --dst-type LOCAL -p {protocol} --dport {number}")
        }
    }
}

/// The chains of a port that lead to its endpoints.
fn chains_of(port: &ServicePort) -> Vec<String> {
    let mut chains = vec![chain("SVC", port)];
    if let Front::NodePort(_, TrafficPolicy::Local) = port.front {
        chains.push(chain("SVL", port));
    }
    chains
}

/// Chain names have 28 characters at most (`XT_EXTENSION_MAXNAMELEN`).
fn chain(kind: &str, port: &ServicePort) -> String {
    format!("KUBE-{kind}-{}", port.to_string().to_uppercase())
}

fn endpoint_chain(port: &ServicePort, number: usize) -> String {
    format!("{}-{number}", chain("SEP", port))
}

/// Rules of a table, chain by chain, in order.
#[derive(Debug, Default)]
struct Chains {
    /// Chains that are emptied first.
    chains: Vec<String>,
    rules: String,
}

impl Chains {
    fn empty(chains: &[&str]) -> Self {
        Self {
            chains: chains.iter().map(|&chain| chain.to_owned()).collect(),
            rules: String::new(),
        }
    }

    fn flush(&mut self, chain: &str) {
        let built_in = ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"].contains(&chain);
        if !built_in && !self.chains.iter().any(|known| known == chain) {
            self.chains.push(chain.to_owned());
        }
    }

    fn rule(&mut self, chain: &str, rule: &str) {
        self.flush(chain);
        // Writing to a string cannot fail.
        let _ = writeln!(self.rules, "-A {chain} {rule}");
    }

    /// Before those that stand there.
    fn first(&mut self, chain: &str, rule: &str) {
        let _ = writeln!(self.rules, "-I {chain} {rule}");
    }

    /// A table whose chains hold these rules and no others.
    fn table(&self, name: &str) -> String {
        if self.chains.is_empty() {
            return String::new();
        }
        let chains: Vec<String> = self
            .chains
            .iter()
            .map(|chain| format!(":{chain} - [0:0]\n"))
            .collect();
        format!("*{name}\n{}{}COMMIT\n", chains.concat(), self.rules)
    }

    /// These rules, and those that stand there.
    fn additions(&self, name: &str) -> String {
        format!("*{name}\n{}COMMIT\n", self.rules)
    }
}
