//! The text of the commands that wire a lab: batches for `ip` and `bridge`, sysctls. Pure. What is said once for a device
//! is apart from what is said once for each family of addresses.

mod overlay;
mod sysctls;

use std::fmt::Write as _;
use std::path::PathBuf;

pub(crate) use self::overlay::{overlay_device, overlay_entries, overlay_name, pod_routes};
pub(crate) use self::sysctls::{first_sysctls, node_sysctls, pod_sysctls};
use crate::cidr::IpFamily;
use crate::options::{Encapsulation, PodNetwork};
use crate::topology::{Node, Pod, Topology};

/// A node's device on the node network, and a pod's on its node.
pub(crate) const UPLINK: &str = "eth0";
/// A node's bridge for pods.
pub(crate) const BRIDGE: &str = "cni0";
/// Above this many nodes neighbours are permanent: the kernel's table of 1,024 entries is shared by all namespaces.
const MOST_DYNAMIC_NEIGHBOURS: usize = 16;

/// In the fabric: a bridge, and a port for each node, whose other end goes into the node.
pub(crate) fn fabric(topology: &Topology, space_of: impl Fn(&Node) -> PathBuf) -> String {
    let mut batch = String::new();
    let mtu = topology.options.mtu;
    line(&mut batch, "link set lo up");
    line(&mut batch, "link add fabric type bridge");
    line(&mut batch, &format!("link set fabric mtu {mtu} up"));
    for view in topology.views() {
        let (gateway, len) = (view.gateway(), view.networks().nodes.prefix_len());
        line(
            &mut batch,
            &format!("address add {gateway}/{len} dev fabric{}", at_once(&view)),
        );
    }
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

/// In a node: its uplink, its bridge, a device for each pod, whose other end goes into the pod.
pub(crate) fn node_devices(topology: &Topology, node: &Node, space_of: impl Fn(&Pod) -> PathBuf) -> String {
    let mut batch = String::new();
    line(&mut batch, "link set lo up");
    line(&mut batch, &format!("link set {UPLINK} up"));
    let mtu = topology.pod_mtu();
    if topology.options.pod_network == PodNetwork::Bridge {
        line(&mut batch, &format!("link add {BRIDGE} mtu {mtu} type bridge"));
        line(&mut batch, &format!("link set {BRIDGE} up"));
    }
    for pod in &node.pods {
        let (name, space) = (pod_device_name(pod), space_of(pod));
        let peer = format!("peer name {UPLINK} mtu {mtu} netns {}", space.display());
        line(&mut batch, &format!("link add {name} mtu {mtu} type veth {peer}"));
        let master = match topology.options.pod_network {
            PodNetwork::Routed => String::new(),
            PodNetwork::Bridge => format!(" master {BRIDGE}"),
        };
        line(&mut batch, &format!("link set {name}{master} up"));
    }
    batch
}

/// In a node, for one family: addresses, routes, the overlay.
pub(crate) fn node_addresses(topology: &Topology, node: &Node) -> String {
    let mut batch = String::new();
    let (len, at_once) = (topology.networks().nodes.prefix_len(), at_once(topology));
    let address = node.address;
    line(
        &mut batch,
        &format!("address add {address}/{len} dev {UPLINK}{at_once}"),
    );
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
    match topology.options.pod_network {
        PodNetwork::Bridge => {
            let (address, len) = (topology.bridge_address(node), topology.pods_of(node).prefix_len());
            line(
                &mut batch,
                &format!("address add {address}/{len} dev {BRIDGE}{at_once}"),
            );
        }
        PodNetwork::Routed => {
            for pod in &node.pods {
                let (name, width) = (pod_device_name(pod), topology.family().width());
                if topology.family() == IpFamily::V6 {
                    let gateway = pod_gateway(IpFamily::V6);
                    line(
                        &mut batch,
                        &format!("address add {gateway}/64 dev {name}{at_once}"),
                    );
                }
                line(
                    &mut batch,
                    &format!("route add {}/{width} dev {name}", pod.address),
                );
            }
        }
    }
    match topology.options.encapsulation {
        Encapsulation::Vxlan(port) => batch.push_str(&overlay_device(topology, node, port)),
        Encapsulation::Ipip => batch.push_str(&overlay::ipip_device(topology, node)),
        Encapsulation::None => {}
    }
    batch.push_str(&pod_routes(topology, node, "add"));
    batch
}

/// A node's device of a pod.
pub(crate) fn pod_device_name(pod: &Pod) -> String {
    format!("cali-{}", pod.role.facts().1)
}

/// In a pod.
pub(crate) fn pod_devices() -> String {
    format!("link set lo up\nlink set {UPLINK} up\n")
}

/// In a pod, for one family.
pub(crate) fn pod_addresses(topology: &Topology, node: &Node, pod: &Pod) -> String {
    let mut batch = String::new();
    let (address, at_once) = (pod.address, at_once(topology));
    match topology.options.pod_network {
        PodNetwork::Routed => {
            let (width, gateway) = (topology.family().width(), pod_gateway(topology.family()));
            line(
                &mut batch,
                &format!("address add {address}/{width} dev {UPLINK}{at_once}"),
            );
            if topology.family() == IpFamily::V4 {
                line(
                    &mut batch,
                    &format!("route add {gateway} dev {UPLINK} scope link"),
                );
            }
            line(
                &mut batch,
                &format!("route add default via {gateway} dev {UPLINK}"),
            );
        }
        PodNetwork::Bridge => {
            let (len, gateway) = (topology.pods_of(node).prefix_len(), topology.bridge_address(node));
            line(
                &mut batch,
                &format!("address add {address}/{len} dev {UPLINK}{at_once}"),
            );
            line(&mut batch, &format!("route add default via {gateway}"));
        }
    }
    batch
}

/// The link-local address that pods have as their gateway: of IPv4 the one that Calico gives, for which the node answers
/// by proxy ARP; of IPv6 the node's own on the pod's device.
fn pod_gateway(family: IpFamily) -> &'static str {
    match family {
        IpFamily::V4 => "169.254.1.1",
        IpFamily::V6 => "fe80::1",
    }
}

/// Who looks for duplicates of an IPv6 address cannot use it for a second (RFC 4862 section 5.4).
fn at_once(topology: &Topology) -> &'static str {
    match topology.family() {
        IpFamily::V4 => "",
        IpFamily::V6 => " nodad",
    }
}

/// All nodes but one.
pub(crate) fn others<'a>(topology: &'a Topology, node: &Node) -> impl Iterator<Item = &'a Node> {
    let number = node.number;
    topology.nodes.iter().filter(move |other| other.number != number)
}

fn line(text: &mut String, what: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{what}");
}

#[cfg(test)]
mod tests;
