//! What was discovered, in the terms of a run.

use std::net::{IpAddr, SocketAddr};

use mesh_core::{Api, Backend, Cluster, Dns, NodePortService, Overlay, Readiness, RosterNode};
use mesh_kube::discover::{Discovery, FoundDns, FoundNode, NodeTaint};
use mesh_kube::standing::AgentState;
use mesh_kube::{Blueprint, NodePorts, Toleration};
use mesh_proto::{AgentKey, Plane, Port};

use crate::ground::{Access, RaisedAgent};
use crate::link::{LinkRoute, PodLink};

/// Where an agent should stand, or should not.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) key: AgentKey,
    /// Its address, as far as it is known without it.
    pub(super) address: Option<IpAddr>,
    /// Why there should be none.
    pub(super) skipped: Option<String>,
}

/// Both planes of every node.
pub(super) fn places(discovery: &Discovery, blueprint: &Blueprint) -> Vec<Place> {
    let of_node = |node: &FoundNode| {
        let skipped = node.skip.clone().or_else(|| tainted(node, blueprint));
        let address = node.addresses.first().copied();
        let name = node.name.clone();
        [Plane::Pod, Plane::Host].map(|plane| Place {
            key: AgentKey {
                node: name.clone(),
                plane,
            },
            address: if plane == Plane::Host { address } else { None },
            skipped: skipped.clone().or_else(|| {
                (!blueprint.planes.contains(&plane)).then(|| "not asked for (--planes)".to_owned())
            }),
        })
    };
    discovery.nodes.iter().flat_map(of_node).collect()
}

/// The taint that keeps agents off a node, where not everything is tolerated.
fn tainted(node: &FoundNode, blueprint: &Blueprint) -> Option<String> {
    let tolerated = blueprint.tolerations.as_deref()?;
    let keeps_off = |taint: &&NodeTaint| Toleration::are_kept_off(tolerated, taint);
    let taint = node.taints.iter().find(keeps_off)?;
    Some(format!(
        "it has the taint {taint}, which is not tolerated (--toleration)"
    ))
}

pub(super) fn nodes(discovery: &Discovery) -> Vec<RosterNode> {
    let node = |node: &FoundNode| RosterNode {
        name: node.name.clone(),
        zone: node.zone.clone(),
        readiness: match &node.not_ready {
            _ if node.ready => Readiness::Ready,
            why => Readiness::NotReady(why.clone().unwrap_or_default()),
        },
    };
    discovery.nodes.iter().map(node).collect()
}

pub(super) fn link(blueprint: &Blueprint, pod: &str, address: IpAddr) -> LinkRoute {
    LinkRoute::Pod(Box::new(PodLink {
        namespace: blueprint.namespace(),
        pod: pod.to_owned(),
        address: SocketAddr::new(address, blueprint.link_port.0),
    }))
}

/// DNS, with those of its endpoints whose node is known.
fn dns(found: &FoundDns) -> Dns {
    // All of a service's pods listen alike, but for the moment in which their port is changed: then the others are left to the
    // service.
    let port = found
        .endpoints
        .first()
        .map_or(Port(53), |(at, _)| Port(at.port()));
    let alike = found.endpoints.iter().filter(|(at, _)| at.port() == port.0);
    Dns {
        address: found.address,
        name: found.name.clone(),
        endpoints: alike
            .filter_map(|(at, node)| {
                Some(Backend {
                    address: at.ip(),
                    node: node.clone()?,
                })
            })
            .collect(),
        endpoint_port: port,
    }
}

/// The services. Behind the NodePorts stand the pod-plane agents that are up.
pub(super) fn cluster(discovery: &Discovery, node_ports: &NodePorts, agents: &[RaisedAgent]) -> Cluster {
    let up = |agent: &&RaisedAgent| {
        agent.key.plane == Plane::Pod && matches!(agent.access, Access::Link(_) | Access::Opening(_))
    };
    let backends: Vec<Backend> = agents
        .iter()
        .filter(up)
        .filter_map(|agent| {
            Some(Backend {
                address: agent.address?,
                node: agent.key.node.clone(),
            })
        })
        .collect();
    let given = match node_ports {
        NodePorts::Given(given) => given.as_slice(),
        NodePorts::Without(_) => &[],
    };
    Cluster {
        api: discovery.api.as_ref().map(|api| Api {
            address: api.address,
            port: api.port,
            endpoints: api.endpoints.clone(),
        }),
        dns: discovery.dns.as_ref().map(dns),
        node_ports: given
            .iter()
            .map(|(port, protocol, policy)| NodePortService {
                port: *port,
                protocol: *protocol,
                policy: *policy,
                backends: backends.clone(),
                fresh: true,
            })
            .collect(),
        overlay: discovery.overlay.as_ref().map(|overlay| Overlay {
            kind: overlay.kind,
            port: overlay.port,
        }),
    }
}

/// Agents listen to one family; clusters with two have a first one.
pub(super) fn first_family_is_v6(discovery: &Discovery) -> bool {
    let first = discovery.nodes.iter().find_map(|node| node.addresses.first());
    first.is_some_and(IpAddr::is_ipv6)
}

/// What the report should say of the cluster and its agents besides.
pub(super) fn notes(
    discovery: &Discovery,
    states: &[(AgentKey, AgentState)],
    without_net_admin: Option<&str>,
) -> Vec<String> {
    let v6_first = first_family_is_v6(discovery);
    let of_nodes = discovery.nodes.iter().flat_map(|node| &node.addresses);
    let of_agents = states.iter().flat_map(|(_, state)| match state {
        AgentState::Up { addresses, .. } => addresses.as_slice(),
        _ => &[],
    });
    let two_families = of_nodes
        .chain(of_agents)
        .any(|address| address.is_ipv6() != v6_first);
    let (first, second) = if v6_first {
        ("IPv6", "IPv4")
    } else {
        ("IPv4", "IPv6")
    };
    let families = two_families
        .then(|| format!("nodes or pods have {second} addresses as well: only {first} was probed"));
    let facts = without_net_admin.map(|why| {
        format!(
            "agents on the nodes' own network stand without CAP_NET_ADMIN, so that rules of nftables and iptables there are not \
             known, and causes may be less certain: {why}"
        )
    });
    families.into_iter().chain(facts).collect()
}

#[cfg(test)]
mod tests;
