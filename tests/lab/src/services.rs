//! Services as kube-proxy knows them on one node: which address and port lead where, and who gets the node's address on
//! the way. One pure description; back ends write it down: [`iptables`] for both kinds of iptables, [`nft`].

mod iptables;
mod nft;

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use mesh_proto::{Port, Protocol, TrafficPolicy};

use crate::cidr::{Cidr, IpFamily};
use crate::fault::Action;
use crate::oddity::Oddity;
use crate::options::{PodNetwork, ServiceBackEnd};
use crate::space::Space;
use crate::topology::{BACKEND_PORT, Node, Role, Topology};

/// A service of the lab.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Service {
    /// The API's ClusterIP.
    Api,
    /// DNS.
    Dns,
    /// Both NodePorts, of policy Cluster and Local.
    NodePort,
}

/// What can happen to a node's service rules. Changes may follow each other in any order, but [`ServiceChange::Flush`]
/// goes last where it is wanted besides others on the same node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ServiceChange {
    /// All rules of services are gone, as if kube-proxy had never run there.
    Flush,
    /// The service has no ready endpoint: as kube-proxy writes it, no DNAT and a reject.
    NoEndpoints(Service),
    /// In place of its last endpoint the service leads to an address where nobody is: the pod moved, and the node was
    /// not told.
    StaleEndpoint {
        /// Which service.
        service: Service,
        /// Where its last endpoint was.
        address: IpAddr,
    },
    /// Packets of services keep their source, also those that need the node's.
    NoMasquerade,
}

/// What to do in a node for a change, whatever back end the lab's services have. It is for the family of the topology;
/// a service without endpoints has none in either, so with dual stack call it for each of [`Topology::views`].
pub(crate) fn change(topology: &Topology, node: &Node, change: ServiceChange) -> Vec<Action> {
    let rules = Rules::of(topology, node);
    vec![match topology.options.services {
        ServiceBackEnd::IptablesNft => {
            iptables::apply(node, &rules, iptables::NFT, &iptables::change(&rules, change))
        }
        ServiceBackEnd::IptablesLegacy => {
            iptables::apply(node, &rules, iptables::LEGACY, &iptables::change(&rules, change))
        }
        ServiceBackEnd::Nft => nft::apply(node, &nft::change(&rules, change)),
    }]
}

/// What writes all rules of services and of outgoing pod traffic into a node that has none.
pub(crate) fn write(topology: &Topology, node: &Node) -> Action {
    let rules = Rules::of(topology, node);
    match topology.options.services {
        ServiceBackEnd::IptablesNft => iptables::apply(node, &rules, iptables::NFT, &iptables::text(&rules)),
        ServiceBackEnd::IptablesLegacy => {
            iptables::apply(node, &rules, iptables::LEGACY, &iptables::text(&rules))
        }
        ServiceBackEnd::Nft => nft::apply(node, &nft::text(&rules)),
    }
}

/// The program that reads iptables rules of the topology's family: of the back end of the lab's own, and beside
/// kube-proxy's nftables mode by iptables-nft.
pub(crate) fn restore_command(topology: &Topology) -> &'static str {
    match topology.options.services {
        ServiceBackEnd::IptablesLegacy => iptables::LEGACY.of(topology.family()),
        ServiceBackEnd::IptablesNft | ServiceBackEnd::Nft => iptables::NFT.of(topology.family()),
    }
}

/// The same of the other back end, in which no rule of the lab's own stands.
pub(crate) fn other_restore_command(topology: &Topology) -> &'static str {
    match topology.options.services {
        ServiceBackEnd::IptablesLegacy => iptables::NFT.of(topology.family()),
        ServiceBackEnd::IptablesNft | ServiceBackEnd::Nft => iptables::LEGACY.of(topology.family()),
    }
}

/// All that a node's rules of services say, in one family.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rules {
    family: IpFamily,
    /// The node's own address, where NodePorts are.
    node: IpAddr,
    /// The whole pod network.
    pods: Cidr,
    ports: Vec<ServicePort>,
    /// Whose rules give outgoing pod traffic the node's address; `None` where nothing does.
    outgoing: Option<PodNetwork>,
    /// Whether what is not of a pod gets the node's address on the way to a ClusterIP (kube-proxy's clusterCIDR).
    masquerade_others: bool,
}

/// A port of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ServicePort {
    service: Service,
    protocol: Protocol,
    front: Front,
    endpoints: Vec<SocketAddr>,
    /// Those of them that are on this node.
    local: Vec<SocketAddr>,
}

/// Where a port of a service is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Front {
    ClusterIp(SocketAddr),
    NodePort(Port, TrafficPolicy),
}

impl Rules {
    fn of(topology: &Topology, node: &Node) -> Self {
        let options = &topology.options;
        Self {
            family: topology.family(),
            node: node.address,
            pods: topology.networks().pods,
            ports: ports(topology, node),
            outgoing: options.nat_outgoing.then_some(options.pod_network),
            masquerade_others: [Oddity::ServiceMasquerade, Oddity::StrictRpFilter]
                .iter()
                .any(|oddity| options.odd.contains(oddity)),
        }
    }

    fn ports_of(&self, service: Service) -> impl Iterator<Item = &ServicePort> {
        self.ports.iter().filter(move |port| port.service == service)
    }
}

fn ports(topology: &Topology, node: &Node) -> Vec<ServicePort> {
    let endpoints = |role, port: Port| -> (Vec<SocketAddr>, Vec<SocketAddr>) {
        let of = |all: bool| {
            let pods = topology.pods(role);
            let chosen = pods.filter(move |(home, _)| all || home.number == node.number);
            chosen
                .map(|(_, pod)| SocketAddr::new(pod.address, port.0))
                .collect()
        };
        (of(true), of(false))
    };
    let mut ports = vec![ServicePort {
        service: Service::Api,
        protocol: Protocol::Tcp,
        front: Front::ClusterIp(topology.api()),
        endpoints: vec![topology.api_endpoint()],
        local: Vec::new(),
    }];
    for protocol in [Protocol::Udp, Protocol::Tcp] {
        let (endpoints, local) = endpoints(Role::Dns, Port(53));
        ports.push(ServicePort {
            service: Service::Dns,
            protocol,
            front: Front::ClusterIp(SocketAddr::new(topology.dns(), 53)),
            endpoints,
            local,
        });
    }
    let policies = [TrafficPolicy::Cluster, TrafficPolicy::Local];
    for (number, policy) in topology.node_ports().into_iter().zip(policies) {
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let (endpoints, local) = endpoints(Role::Backend, BACKEND_PORT);
            ports.push(ServicePort {
                service: Service::NodePort,
                protocol,
                front: Front::NodePort(number, policy),
                endpoints,
                local,
            });
        }
    }
    ports
}

impl ServicePort {
    /// The number of an endpoint among all of them, as its chain is called.
    fn number_of(&self, endpoint: SocketAddr) -> usize {
        let place = self.endpoints.iter().position(|other| *other == endpoint);
        place.unwrap_or_default()
    }
}

/// As its chains are called.
impl fmt::Display for ServicePort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match (self.service, self.front) {
            (Service::Api, _) => "api",
            (Service::Dns, _) => "dns",
            (Service::NodePort, Front::NodePort(_, TrafficPolicy::Local)) => "echo-local",
            (Service::NodePort, _) => "echo",
        };
        write!(f, "{name}-{}", self.protocol)
    }
}

/// A tool that is run in a node.
fn run(node: &Node, program: &'static str, arguments: &[&str], input: &str) -> Action {
    Action::Run {
        space: Space::of_node(node),
        program,
        arguments: arguments.iter().map(|&word| word.to_owned()).collect(),
        input: input.to_owned(),
    }
}

#[cfg(test)]
mod tests;
