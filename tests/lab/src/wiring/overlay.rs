//! The overlay of a node, in one family: its device, its entries, and the routes to other nodes' pods.

use mesh_proto::Port;

use super::{UPLINK, at_once, line, others};
use crate::options::Encapsulation;
use crate::topology::{Node, Topology};

/// The VXLAN network.
const VNI: u32 = 4096;

/// A node's overlay device; with dual stack each family has its own. Without an overlay there is none of this name.
pub(crate) fn overlay_name(topology: &Topology) -> &'static str {
    match (topology.options.encapsulation, topology.is_second) {
        (Encapsulation::Ipip, _) => "ipip0",
        (_, false) => "vxlan0",
        (_, true) => "vxlan1",
    }
}

/// A node's VXLAN device on some port.
pub(crate) fn overlay_device(topology: &Topology, node: &Node, port: Port) -> String {
    let (mac, mtu, local) = (node.overlay_mac(), topology.overlay_mtu(), node.address);
    let tunnel = format!("type vxlan id {VNI} dstport {port} local {local} dev {UPLINK} nolearning");
    with_address(topology, node, &format!("mtu {mtu} address {mac} {tunnel}"))
}

/// A node's IPIP device. It knows no peer: the next hop of a route is where a packet goes.
pub(super) fn ipip_device(topology: &Topology, node: &Node) -> String {
    let (mtu, local) = (topology.overlay_mtu(), node.address);
    with_address(topology, node, &format!("mtu {mtu} type ipip local {local}"))
}

fn with_address(topology: &Topology, node: &Node, device: &str) -> String {
    let (name, width) = (overlay_name(topology), topology.family().width());
    let mut batch = String::new();
    line(&mut batch, &format!("link add {name} {device}"));
    line(
        &mut batch,
        &format!(
            "address add {}/{width} dev {name}{}",
            node.overlay,
            at_once(topology)
        ),
    );
    line(&mut batch, &format!("link set {name} up"));
    batch
}

/// Routes to the pods of other nodes; `verb` is add or del.
pub(crate) fn pod_routes(topology: &Topology, node: &Node, verb: &str) -> String {
    let mut batch = String::new();
    let name = overlay_name(topology);
    for other in others(topology, node) {
        let network = topology.pods_of(other);
        let how = match topology.options.encapsulation {
            Encapsulation::Vxlan(_) => {
                let (via, mac) = (other.overlay, other.overlay_mac());
                if verb == "add" {
                    line(
                        &mut batch,
                        &format!("neighbour add {via} lladdr {mac} dev {name} nud permanent"),
                    );
                }
                format!("via {via} dev {name} onlink")
            }
            Encapsulation::Ipip => format!("via {} dev {name} onlink", other.address),
            Encapsulation::None => format!("via {} dev {UPLINK}", other.address),
        };
        line(&mut batch, &format!("route {verb} {network} {how}"));
    }
    batch
}

/// Forwarding entries of a node's overlay: which node has which MAC address. For `bridge -batch`.
pub(crate) fn overlay_entries(topology: &Topology, node: &Node) -> String {
    let mut batch = String::new();
    if let Encapsulation::Vxlan(_) = topology.options.encapsulation {
        let name = overlay_name(topology);
        for other in others(topology, node) {
            let (mac, address) = (other.overlay_mac(), other.address);
            line(&mut batch, &format!("fdb add {mac} dev {name} dst {address}"));
        }
    }
    batch
}
