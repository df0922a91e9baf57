//! What was discovered, in the terms of a run.

use std::net::{IpAddr, SocketAddr};

use mesh_core::{Api, Backend, Cluster, Dns, NodePortService, Overlay, RosterNode};
use mesh_kube::discover::{Discovery, FoundNode, NodeTaint};
use mesh_kube::{Blueprint, NodePorts, Toleration};
use mesh_proto::{AgentKey, Plane};

use crate::ground::{Access, RaisedAgent};
use crate::link::{LinkAddress, PodLink};

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
    };
    discovery.nodes.iter().map(node).collect()
}

pub(super) fn link(blueprint: &Blueprint, pod: &str, address: IpAddr) -> LinkAddress {
    LinkAddress::Pod(Box::new(PodLink {
        namespace: blueprint.namespace(),
        pod: pod.to_owned(),
        address: SocketAddr::new(address, blueprint.link_port.0),
    }))
}

/// The services. Behind the NodePorts stand the pod-plane agents that are up.
pub(super) fn cluster(discovery: &Discovery, node_ports: &NodePorts, agents: &[RaisedAgent]) -> Cluster {
    let up = |agent: &&RaisedAgent| agent.key.plane == Plane::Pod && matches!(agent.access, Access::Link(_));
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
        dns: discovery.dns.as_ref().map(|dns| Dns {
            address: dns.address,
            name: dns.name.clone(),
            endpoints: dns
                .endpoints
                .iter()
                .filter_map(|(address, node)| {
                    Some(Backend {
                        address: *address,
                        node: node.clone()?,
                    })
                })
                .collect(),
        }),
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
