//! Calico, by its IPPools and FelixConfiguration, and by what it writes on nodes. Names and defaults: Calico's reference of
//! the resources IPPool and FelixConfiguration.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::Node;
use kube::api::DynamicObject;
use mesh_proto::OverlayKind;
use serde_json::Value;

use super::Hint;
use crate::discover::nodes::annotation;

pub(super) const IPV4_ADDRESS: &str = "projectcalico.org/IPv4Address";
pub(super) const IPV6_ADDRESS: &str = "projectcalico.org/IPv6Address";
/// Tunnel addresses are there for an encapsulation of any extent.
const TUNNELS: [&str; 4] = [
    "projectcalico.org/IPv4IPIPTunnelAddr",
    "projectcalico.org/IPv4VXLANTunnelAddr",
    "projectcalico.org/IPv6VXLANTunnelAddr",
    "projectcalico.org/IPv4WireguardInterfaceAddr",
];
const WIREGUARD_KEY: &str = "projectcalico.org/WireguardPublicKey";
const VXLAN: u16 = 4789;
const WIREGUARD: u16 = 51_820;
const POOLS: &str = "Calico's IPPools";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    Never,
    CrossSubnet,
    Always,
}

pub(super) fn read(nodes: &[&Node], pools: Option<&[DynamicObject]>, felix: Option<&DynamicObject>) -> Hint {
    let felix = felix.map_or(&Value::Null, |felix| &felix.data["spec"]);
    let port = |key: &str, usual: u16| {
        let given = felix[key].as_u64().and_then(|port| u16::try_from(port).ok());
        Some(given.filter(|port| *port != 0).unwrap_or(usual))
    };
    // Asked for alone it is not enough: a node without the kernel module goes on unencrypted and publishes no key.
    if felix["wireguardEnabled"] == Value::Bool(true) {
        let keys = nodes
            .iter()
            .filter(|node| annotation(node, WIREGUARD_KEY).is_some())
            .count();
        if keys == nodes.len() {
            let told_by = "Calico's FelixConfiguration and its keys on the nodes";
            return Hint::known(
                OverlayKind::Wireguard,
                port("wireguardListeningPort", WIREGUARD),
                told_by,
            );
        }
        if keys > 0 {
            return Hint::Unclear("Calico encrypts with WireGuard on some of the nodes only".to_owned());
        }
    }
    let Some(pools) = pools.map(in_use).filter(|pools| !pools.is_empty()) else {
        return by_annotations(nodes);
    };
    let mut modes = pools.iter().map(|pool| mode(pool));
    let first = modes.next().flatten();
    let (Some((kind, extent)), true) = (first, modes.all(|mode| mode == first)) else {
        return Hint::Unclear(
            "Calico's IPPools differ in how they encapsulate, or say it in an unknown way".to_owned(),
        );
    };
    let kind = match (extent, one_subnet(nodes)) {
        (Extent::Never, _) | (Extent::CrossSubnet, Some(true)) => OverlayKind::None,
        (Extent::Always, _) | (Extent::CrossSubnet, Some(false)) => kind,
        (Extent::CrossSubnet, None) => {
            return Hint::Unclear(format!("Calico encapsulates ({kind}) only between subnets"));
        }
    };
    let told_by = match extent {
        Extent::CrossSubnet => "Calico's IPPools and its annotations on the nodes",
        Extent::Never | Extent::Always => POOLS,
    };
    match kind {
        OverlayKind::Vxlan => Hint::known(kind, port("vxlanPort", VXLAN), told_by),
        _ => Hint::known(kind, None, told_by),
    }
}

/// The pools that pods of the primary family get addresses from: IPv4 if there is any.
fn in_use(pools: &[DynamicObject]) -> Vec<&Value> {
    let specs = pools.iter().map(|pool| &pool.data["spec"]);
    let for_pods = specs.filter(|spec| {
        let uses = spec["allowedUses"].as_array();
        spec["disabled"] != Value::Bool(true)
            && uses.is_none_or(|uses| uses.is_empty() || uses.iter().any(|for_| for_ == "Workload"))
    });
    let is_v6 = |spec: &&Value| spec["cidr"].as_str().is_some_and(|cidr| cidr.contains(':'));
    let (v6, v4): (Vec<_>, Vec<_>) = for_pods.partition(is_v6);
    if v4.is_empty() { v6 } else { v4 }
}

fn mode(pool: &Value) -> Option<(OverlayKind, Extent)> {
    let extent = |key: &str| match pool[key].as_str() {
        None | Some("" | "Never") => Some(Extent::Never),
        Some("CrossSubnet") => Some(Extent::CrossSubnet),
        Some("Always") => Some(Extent::Always),
        Some(_) => None,
    };
    match (extent("ipipMode")?, extent("vxlanMode")?) {
        (Extent::Never, Extent::Never) => Some((OverlayKind::None, Extent::Never)),
        (ipip, Extent::Never) => Some((OverlayKind::Ipip, ipip)),
        (Extent::Never, vxlan) => Some((OverlayKind::Vxlan, vxlan)),
        _ => None,
    }
}

/// Without pools: nodes without any tunnel address do not encapsulate. That there is one does not tell when it is used.
fn by_annotations(nodes: &[&Node]) -> Hint {
    let has_tunnel = |node: &&Node| TUNNELS.iter().any(|key| annotation(node, key).is_some());
    if nodes.iter().copied().any(|node| has_tunnel(&node)) {
        return Hint::Unclear(
            "Calico has tunnels, but none of its IPPools says when it uses them".to_owned(),
        );
    }
    Hint::known(OverlayKind::None, None, "Calico's annotations on the nodes")
}

/// Whether all nodes are in one subnet, or each in one of its own; none where it differs from pair to pair or is not told.
fn one_subnet(nodes: &[&Node]) -> Option<bool> {
    let mut subnets = Vec::with_capacity(nodes.len());
    for node in nodes {
        let told = annotation(node, IPV4_ADDRESS).or_else(|| annotation(node, IPV6_ADDRESS))?;
        subnets.push(subnet(told)?);
    }
    let all = subnets.len();
    subnets.sort_unstable();
    subnets.dedup();
    match subnets.len() {
        0 => None,
        1 => Some(true),
        different => (different == all).then_some(false),
    }
}

/// The network of `ADDRESS/LENGTH`: its bits, its length, its family.
fn subnet(told: &str) -> Option<(u128, u32, bool)> {
    let (address, length) = told.split_once('/')?;
    let length: u32 = length.parse().ok()?;
    let (bits, width) = match address.parse().ok()? {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()), 32),
        IpAddr::V6(v6) => (v6.to_bits(), 128),
    };
    let host_bits = u32::checked_sub(width, length)?;
    let network = bits.checked_shr(host_bits).unwrap_or(0);
    Some((network, length, width == 128))
}
