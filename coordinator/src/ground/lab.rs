//! The lab ground: a cluster-shaped network of namespaces on this machine.

use std::fmt::Write as _;
use std::path::Path;

use mesh_core::{Api, Backend, Cluster, Dns, NodePortService, Overlay, RosterNode};
use mesh_lab::{API_NAME, Encapsulation, Lab, Role, Topology};
use mesh_proto::{AgentKey, Ground, OverlayKind, Plane, Port, Protocol, TrafficPolicy};

use super::{Access, Raised, RaisedAgent};
use crate::link::LinkAddress;

/// What stands in a lab, for the driver.
pub(crate) fn raised(lab: &Lab) -> Raised {
    let topology = lab.topology();
    Raised {
        ground: Ground::Lab,
        nodes: topology
            .nodes
            .iter()
            .map(|node| RosterNode {
                name: node.name.clone(),
                zone: None,
                readiness: mesh_core::Readiness::NotWatched,
            })
            .collect(),
        agents: lab
            .links()
            .map(|(key, socket)| agent(topology, key, socket))
            .collect(),
        cluster: cluster(topology),
        notes: Vec::new(),
    }
}

/// The same as an inventory, for `mesh run --inventory` over a lab that stands.
pub(crate) fn inventory(raised: &Raised) -> String {
    let quoted = |text: &dyn std::fmt::Display| format!("{:?}", text.to_string());
    let backends = |backends: &[Backend]| {
        let one = |backend: &Backend| {
            format!(
                "{{address: {}, node: {}}}",
                quoted(&backend.address),
                quoted(&backend.node)
            )
        };
        backends.iter().map(one).collect::<Vec<_>>().join(", ")
    };
    // Writing to a string cannot fail.
    let mut text = String::from("agents:\n");
    for agent in &raised.agents {
        if let (Some(address), Access::Link(link)) = (agent.address, &agent.access) {
            let (node, plane, link) = (quoted(&agent.key.node), agent.key.plane, quoted(link));
            let address = quoted(&address);
            let _ = writeln!(
                text,
                "  - {{node: {node}, plane: {plane}, address: {address}, link: {link}}}"
            );
        }
    }
    text += "cluster:\n";
    if let Some(Api {
        address,
        port,
        endpoints,
    }) = &raised.cluster.api
    {
        let address = quoted(address);
        let endpoints: Vec<String> = endpoints.iter().map(|endpoint| quoted(endpoint)).collect();
        let _ = writeln!(
            text,
            "  api: {{address: {address}, port: {port}, endpoints: [{}]}}",
            endpoints.join(", ")
        );
    }
    if let Some(Dns {
        address,
        name,
        endpoints,
        endpoint_port: _,
    }) = &raised.cluster.dns
    {
        let (address, name, endpoints) = (quoted(address), quoted(name), backends(endpoints));
        let _ = writeln!(
            text,
            "  dns: {{address: {address}, name: {name}, endpoints: [{endpoints}]}}"
        );
    }
    text += "  node_ports:\n";
    for NodePortService {
        port,
        protocol,
        policy,
        backends: behind,
        ..
    } in &raised.cluster.node_ports
    {
        let behind = backends(behind);
        let _ = writeln!(
            text,
            "    - {{port: {port}, protocol: {protocol}, policy: {policy}, backends: [{behind}]}}"
        );
    }
    if let Some(Overlay { kind, port }) = raised.cluster.overlay {
        let port = port.map_or(String::new(), |port| format!(", port: {port}"));
        let _ = writeln!(text, "  overlay: {{kind: {kind}{port}}}");
    }
    text
}

fn agent(topology: &Topology, key: &AgentKey, socket: &Path) -> RaisedAgent {
    let node = topology.node(&key.node);
    let address = node.and_then(|node| match key.plane {
        Plane::Host => Some(node.address),
        Plane::Pod => node
            .pods
            .iter()
            .find(|pod| pod.role == Role::Agent)
            .map(|pod| pod.address),
    });
    RaisedAgent {
        key: key.clone(),
        address,
        access: Access::Link(LinkAddress::Unix(socket.to_owned()).into()),
    }
}

/// What a lab offers as a cluster does.
pub(crate) fn cluster(topology: &Topology) -> Cluster {
    let backends = |role| {
        let backend = |(node, pod): (&mesh_lab::Node, &mesh_lab::Pod)| Backend {
            address: pod.address,
            node: node.name.clone(),
        };
        topology.pods(role).map(backend).collect::<Vec<_>>()
    };
    let [cluster_port, local_port] = topology.node_ports();
    let node_port = |port, protocol, policy| NodePortService {
        fresh: false,
        port,
        protocol,
        policy,
        backends: backends(Role::Backend),
    };
    let api = topology.api();
    Cluster {
        api: Some(Api {
            address: api.ip(),
            port: Port(api.port()),
            endpoints: vec![topology.api_endpoint()],
        }),
        dns: Some(Dns {
            address: topology.dns(),
            name: API_NAME.to_owned(),
            endpoints: backends(Role::Dns),
            endpoint_port: Port(53),
        }),
        node_ports: vec![
            node_port(cluster_port, Protocol::Tcp, TrafficPolicy::Cluster),
            node_port(cluster_port, Protocol::Udp, TrafficPolicy::Cluster),
            node_port(local_port, Protocol::Tcp, TrafficPolicy::Local),
            node_port(local_port, Protocol::Udp, TrafficPolicy::Local),
        ],
        overlay: Some(match topology.options.encapsulation {
            Encapsulation::Vxlan(port) => Overlay {
                kind: OverlayKind::Vxlan,
                port: Some(port),
            },
            Encapsulation::Ipip => Overlay {
                kind: OverlayKind::Ipip,
                port: None,
            },
            Encapsulation::None => Overlay {
                kind: OverlayKind::None,
                port: None,
            },
        }),
    }
}
