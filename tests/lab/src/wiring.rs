//! The text of the commands that wire a lab: batches for `ip` and `bridge`, rules for `iptables-restore`. Pure.

use std::fmt::Write as _;
use std::path::Path;

use mesh_proto::Port;

use crate::options::{Encapsulation, PodNetwork};
use crate::topology::{BACKEND_PORT, Node, Pod, Role, Topology};

/// A node's device on the node network.
pub(crate) const UPLINK: &str = "eth0";
/// A node's overlay device.
pub(crate) const OVERLAY: &str = "vxlan0";
/// A node's bridge for pods.
const BRIDGE: &str = "cni0";
/// The link-local address that Calico gives pods as their gateway; the node answers for it by proxy ARP.
const POD_GATEWAY: &str = "169.254.1.1";
/// The VXLAN network.
const VNI: u32 = 4096;
/// Above this many nodes neighbours are permanent: the kernel's table of 1,024 entries is shared by all namespaces.
const MOST_DYNAMIC_NEIGHBOURS: usize = 16;
/// Chains that hold the service rules, as `mesh lab` flushes them for a fault.
pub(crate) const SERVICE_CHAINS: [&str; 2] = ["KUBE-SERVICES", "KUBE-NODEPORTS"];
/// kube-proxy's mark for packets that must get the node's address.
const MASQUERADE_MARK: &str = "0x4000/0x4000";

/// In the fabric: a bridge, a gateway, a port for each node, whose other end goes into the node.
pub(crate) fn fabric(topology: &Topology, space_of: impl Fn(&Node) -> std::path::PathBuf) -> String {
    let mut batch = String::new();
    let mtu = topology.options.mtu;
    line(&mut batch, "link set lo up");
    line(&mut batch, "link add fabric type bridge");
    let (gateway, len) = (topology.gateway(), topology.options.node_cidr.prefix_len());
    line(&mut batch, &format!("address add {gateway}/{len} dev fabric"));
    line(&mut batch, &format!("link set fabric mtu {mtu} up"));
    for node in &topology.nodes {
        let (port, mac, space) = (node.fabric_port(), node.uplink_mac(), space_of(node));
        let peer = format!(
            "peer name {UPLINK} mtu {mtu} address {mac} netns {}",
            space.display()
        );
        line(&mut batch, &format!("link add {port} mtu {mtu} type veth {peer}"));
        line(&mut batch, &format!("link set {port} master fabric up"));
    }
    batch
}

/// In a node: its uplink, its overlay, a device for each pod, whose other end goes into the pod.
pub(crate) fn node(
    topology: &Topology,
    node: &Node,
    space_of: impl Fn(&Pod) -> std::path::PathBuf,
) -> String {
    let options = &topology.options;
    let mut batch = String::new();
    line(&mut batch, "link set lo up");
    line(
        &mut batch,
        &format!(
            "address add {}/{} dev {UPLINK}",
            node.address,
            options.node_cidr.prefix_len()
        ),
    );
    line(&mut batch, &format!("link set {UPLINK} up"));
    line(
        &mut batch,
        &format!("route add default via {}", topology.gateway()),
    );
    if topology.nodes.len() > MOST_DYNAMIC_NEIGHBOURS {
        for other in others(topology, node) {
            let (address, mac) = (other.address, other.uplink_mac());
            line(
                &mut batch,
                &format!("neighbour add {address} lladdr {mac} dev {UPLINK} nud permanent"),
            );
        }
    }
    if options.pod_network == PodNetwork::Bridge {
        line(
            &mut batch,
            &format!("link add {BRIDGE} mtu {} type bridge", topology.pod_mtu()),
        );
        line(
            &mut batch,
            &format!("address add {}/24 dev {BRIDGE}", node.bridge_address(options)),
        );
        line(&mut batch, &format!("link set {BRIDGE} up"));
    }
    for pod in &node.pods {
        pod_device(&mut batch, topology, pod, &space_of(pod));
    }
    if let Encapsulation::Vxlan(port) = options.encapsulation {
        batch.push_str(&overlay_device(topology, node, port));
    }
    batch.push_str(&pod_routes(topology, node, "add"));
    batch
}

/// A node's overlay device on some port.
pub(crate) fn overlay_device(topology: &Topology, node: &Node, port: Port) -> String {
    let (mac, mtu, local) = (node.overlay_mac(), topology.pod_mtu(), node.address);
    let tunnel = format!("type vxlan id {VNI} dstport {port} local {local} dev {UPLINK} nolearning");
    let mut batch = String::new();
    line(
        &mut batch,
        &format!("link add {OVERLAY} mtu {mtu} address {mac} {tunnel}"),
    );
    line(
        &mut batch,
        &format!("address add {}/32 dev {OVERLAY}", node.overlay),
    );
    line(&mut batch, &format!("link set {OVERLAY} up"));
    batch
}

/// Routes to the pods of other nodes; `verb` is add or del.
pub(crate) fn pod_routes(topology: &Topology, node: &Node, verb: &str) -> String {
    let mut batch = String::new();
    for other in others(topology, node) {
        let network = other.pod_network(&topology.options);
        match topology.options.encapsulation {
            Encapsulation::Vxlan(_) => {
                let (via, mac) = (other.overlay, other.overlay_mac());
                if verb == "add" {
                    line(
                        &mut batch,
                        &format!("neighbour add {via} lladdr {mac} dev {OVERLAY} nud permanent"),
                    );
                }
                line(
                    &mut batch,
                    &format!("route {verb} {network} via {via} dev {OVERLAY} onlink"),
                );
            }
            Encapsulation::None => {
                line(
                    &mut batch,
                    &format!("route {verb} {network} via {} dev {UPLINK}", other.address),
                );
            }
        }
    }
    batch
}

/// Forwarding entries of a node's overlay: which node has which MAC address. For `bridge -batch`.
pub(crate) fn overlay_entries(topology: &Topology, node: &Node) -> String {
    let mut batch = String::new();
    if matches!(topology.options.encapsulation, Encapsulation::Vxlan(_)) {
        for other in others(topology, node) {
            let (mac, address) = (other.overlay_mac(), other.address);
            line(&mut batch, &format!("fdb add {mac} dev {OVERLAY} dst {address}"));
        }
    }
    batch
}

/// A node's device of a pod.
pub(crate) fn pod_device_name(pod: &Pod) -> String {
    format!("cali-{}", pod.role.facts().1)
}

fn pod_device(batch: &mut String, topology: &Topology, pod: &Pod, space: &Path) {
    let (name, mtu, space) = (pod_device_name(pod), topology.pod_mtu(), space.display());
    line(
        batch,
        &format!("link add {name} mtu {mtu} type veth peer name {UPLINK} mtu {mtu} netns {space}"),
    );
    match topology.options.pod_network {
        PodNetwork::Routed => {
            line(batch, &format!("link set {name} up"));
            line(batch, &format!("route add {}/32 dev {name}", pod.address));
        }
        PodNetwork::Bridge => line(batch, &format!("link set {name} master {BRIDGE} up")),
    }
}

/// In a pod.
pub(crate) fn pod(topology: &Topology, node: &Node, pod: &Pod) -> String {
    let mut batch = String::new();
    line(&mut batch, "link set lo up");
    match topology.options.pod_network {
        PodNetwork::Routed => {
            line(
                &mut batch,
                &format!("address add {}/32 dev {UPLINK}", pod.address),
            );
            line(&mut batch, &format!("link set {UPLINK} up"));
            line(
                &mut batch,
                &format!("route add {POD_GATEWAY} dev {UPLINK} scope link"),
            );
            line(
                &mut batch,
                &format!("route add default via {POD_GATEWAY} dev {UPLINK}"),
            );
        }
        PodNetwork::Bridge => {
            line(
                &mut batch,
                &format!("address add {}/24 dev {UPLINK}", pod.address),
            );
            line(&mut batch, &format!("link set {UPLINK} up"));
            let gateway = node.bridge_address(&topology.options);
            line(&mut batch, &format!("route add default via {gateway}"));
        }
    }
    batch
}

/// How neighbours are asked for on a device. A lab shares its machine with whatever else runs there, and may lose a
/// request: it is sent again after a tenth of a second instead of one. Nobody answers for three seconds, as usual, before
/// the kernel gives up (Linux `net/ipv4/arp.c`: three requests, a second apart).
fn neighbour_sysctls(device: &str) -> [(String, &'static str); 2] {
    [("retrans_time_ms", "100"), ("mcast_solicit", "30")]
        .map(|(name, value)| (format!("net/ipv4/neigh/{device}/{name}"), value))
}

/// Sysctls of a pod, by their path below /proc/sys.
pub(crate) fn pod_sysctls() -> Vec<(String, &'static str)> {
    // Pods may ping without capabilities, as Kubernetes lets them by a pod sysctl.
    let mut sysctls = vec![("net/ipv4/ping_group_range".to_owned(), "0 0")];
    sysctls.extend(neighbour_sysctls(UPLINK));
    sysctls
}

/// Sysctls of a node, by their path below /proc/sys.
pub(crate) fn node_sysctls(topology: &Topology, node: &Node) -> Vec<(String, &'static str)> {
    let mut sysctls = vec![
        ("net/ipv4/ip_forward".to_owned(), "1"),
        ("net/ipv4/conf/all/rp_filter".to_owned(), "0"),
        ("net/ipv4/conf/default/rp_filter".to_owned(), "0"),
    ];
    sysctls.extend(neighbour_sysctls(UPLINK));
    if topology.options.pod_network == PodNetwork::Bridge {
        sysctls.extend(neighbour_sysctls(BRIDGE));
    }
    for pod in node
        .pods
        .iter()
        .filter(|_| topology.options.pod_network == PodNetwork::Routed)
    {
        let device = pod_device_name(pod);
        sysctls.extend(neighbour_sysctls(&device));
        sysctls.push((format!("net/ipv4/conf/{device}/proxy_arp"), "1"));
        // Without it the kernel answers after a random time below 0.8 s.
        sysctls.push((format!("net/ipv4/neigh/{device}/proxy_delay"), "0"));
    }
    sysctls
}

/// What kube-proxy and the pod network write into a node's tables, for `iptables-restore`.
pub(crate) fn rules(topology: &Topology, node: &Node) -> String {
    let options = &topology.options;
    let mut nat =
        String::from("*nat\n:KUBE-SERVICES -\n:KUBE-NODEPORTS -\n:KUBE-POSTROUTING -\n:LAB-OUTGOING -\n");
    for hook in ["PREROUTING", "OUTPUT"] {
        line(&mut nat, &format!("-A {hook} -j KUBE-SERVICES"));
    }
    line(&mut nat, "-A POSTROUTING -j KUBE-POSTROUTING");
    line(&mut nat, "-A POSTROUTING -j LAB-OUTGOING");
    line(
        &mut nat,
        &format!("-A KUBE-POSTROUTING -m mark --mark {MASQUERADE_MARK} -j MASQUERADE"),
    );
    if options.nat_outgoing {
        let pods = options.pod_cidr;
        line(
            &mut nat,
            &format!("-A LAB-OUTGOING -s {pods} ! -d {pods} -j MASQUERADE"),
        );
    }
    nat.push_str(&service_rules(topology, node));
    nat.push_str("COMMIT\n");
    nat
}

fn service_rules(topology: &Topology, node: &Node) -> String {
    let mut rules = String::new();
    let (api, endpoint) = (topology.api(), topology.api_endpoint());
    let to_api = format!("-d {}/32 -p tcp --dport {}", api.ip(), api.port());
    line(
        &mut rules,
        &format!("-A KUBE-SERVICES {to_api} -j DNAT --to-destination {endpoint}"),
    );
    let servers: Vec<_> = topology.pods(Role::Dns).map(|(_, pod)| pod.address).collect();
    for protocol in ["udp", "tcp"] {
        for (place, server) in servers.iter().enumerate() {
            let left = servers.len() - place;
            let share = if left > 1 {
                // As kube-proxy spreads: of those that are left, each an equal share.
                format!(
                    "-m statistic --mode random --probability {:.6} ",
                    1.0 / left as f64
                )
            } else {
                String::new()
            };
            let to = format!("-d {}/32 -p {protocol} --dport 53", topology.dns());
            line(
                &mut rules,
                &format!("-A KUBE-SERVICES {to} {share}-j DNAT --to-destination {server}:53"),
            );
        }
    }
    line(
        &mut rules,
        "-A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS",
    );
    let [cluster, local] = topology.node_ports();
    if let Some((home, backend)) = topology.pods(Role::Backend).next() {
        let to = format!("DNAT --to-destination {}:{BACKEND_PORT}", backend.address);
        for protocol in ["tcp", "udp"] {
            let masquerade = format!("-j MARK --set-xmark {MASQUERADE_MARK}");
            line(
                &mut rules,
                &format!("-A KUBE-NODEPORTS -p {protocol} --dport {cluster} {masquerade}"),
            );
            line(
                &mut rules,
                &format!("-A KUBE-NODEPORTS -p {protocol} --dport {cluster} -j {to}"),
            );
            if home.number == node.number {
                line(
                    &mut rules,
                    &format!("-A KUBE-NODEPORTS -p {protocol} --dport {local} -j {to}"),
                );
            }
        }
    }
    rules
}

/// With policy Local a node without a backend is silent.
pub(crate) fn filter_rules(topology: &Topology, node: &Node) -> String {
    let [_, local] = topology.node_ports();
    let mut filter = String::from("*filter\n:KUBE-EXTERNAL-SERVICES -\n-A INPUT -j KUBE-EXTERNAL-SERVICES\n");
    if topology
        .pods(Role::Backend)
        .all(|(home, _)| home.number != node.number)
    {
        for protocol in ["tcp", "udp"] {
            let to = format!("-m addrtype --dst-type LOCAL -p {protocol} --dport {local}");
            line(&mut filter, &format!("-A KUBE-EXTERNAL-SERVICES {to} -j DROP"));
        }
    }
    filter.push_str("COMMIT\n");
    filter
}

pub(crate) fn others<'a>(topology: &'a Topology, node: &Node) -> impl Iterator<Item = &'a Node> {
    let number = node.number;
    topology.nodes.iter().filter(move |other| other.number != number)
}

fn line(text: &mut String, what: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{what}");
}
