//! What a right report says of a fault: its place as far as anybody could tell from outside, and the names that fit.

use std::collections::BTreeSet;
use std::net::IpAddr;

use mesh_proto::{Cause, Finding, NodeName, Plane, Port};

use crate::cluster::Site;
use crate::fault::{Fault, Service};

/// A place.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Spot {
    /// A node; the plane where the fault is in one only.
    Node(NodeName, Option<Plane>),
    /// Between two nodes.
    Pair(NodeName, NodeName, Option<Plane>),
    /// These nodes, or all the others: a border has two sides. The last are cut off by themselves, and may be named or not.
    Nodes(Vec<NodeName>, Vec<NodeName>, Vec<NodeName>),
    /// Everywhere.
    Everywhere(Option<Plane>),
    /// The pods that a policy is for, by their nodes; here all pods are under it.
    PodsUnderPolicy,
    /// An endpoint, its service, and its node.
    Endpoint(IpAddr, IpAddr, NodeName),
    /// A service: its address or its port.
    Service(Option<IpAddr>, Option<Port>, Vec<NodeName>),
}

/// A place and the causes that name it rightly; `unknown` is never wrong, but no name.
#[derive(Debug, Clone)]
pub(crate) struct Truth {
    pub(crate) spots: Vec<Spot>,
    pub(crate) causes: &'static [Cause],
    /// Whether the cause can be told without facts of the kernels.
    pub(crate) can_be_named: bool,
}

impl Spot {
    /// Whether a finding stands at this place. All that it names must be part of it.
    pub(crate) fn is(&self, finding: &Finding) -> bool {
        let place = &finding.place;
        let plane_fits =
            |plane: Option<Plane>| plane.is_none() || place.plane.is_none() || place.plane == plane;
        let of_service = place.service.is_some() || place.endpoint.is_some() || place.port.is_some();
        match self {
            Self::Node(node, wanted) => {
                place.nodes == [node.clone()] && place.pairs.is_empty() && plane_fits(*wanted)
            }
            // Findings of several pairs are taken apart by the caller.
            Self::Pair(a, b, wanted) => {
                let there = |pair: &(NodeName, NodeName)| pair == &(a.clone(), b.clone());
                let back = |pair: &(NodeName, NodeName)| pair == &(b.clone(), a.clone());
                place.nodes.is_empty()
                    && place.pairs.iter().any(|pair| there(pair) || back(pair))
                    && plane_fits(*wanted)
            }
            Self::Nodes(inside, outside, alone) => {
                let but_alone = |nodes: &[NodeName]| -> BTreeSet<NodeName> {
                    nodes
                        .iter()
                        .filter(|node| !alone.contains(node))
                        .cloned()
                        .collect()
                };
                let named = but_alone(&place.nodes);
                place.pairs.is_empty()
                    && !named.is_empty()
                    && (named == but_alone(inside) || named == but_alone(outside))
            }
            Self::Everywhere(wanted) => {
                place.nodes.is_empty() && place.pairs.is_empty() && !of_service && plane_fits(*wanted)
            }
            Self::PodsUnderPolicy => {
                finding.cause == Cause::PolicyNodePort
                    && place.pairs.is_empty()
                    && plane_fits(Some(Plane::Pod))
            }
            Self::Endpoint(endpoint, service, node) => {
                let here = place.nodes.iter().all(|named| named == node);
                place.endpoint == Some(*endpoint)
                    || place.endpoint.is_none() && place.service == Some(*service) && here
            }
            Self::Service(address, port, nodes) => {
                let fits = place.service.is_some() && place.service == *address
                    || place.port.is_some() && place.port == *port;
                let nodes_fit = place.nodes.is_empty() || place.nodes.iter().all(|node| nodes.contains(node));
                fits && nodes_fit && place.pairs.is_empty()
            }
        }
    }
}

impl Truth {
    pub(crate) fn of(fault: &Fault, site: &Site, all: &[Fault]) -> Self {
        let name = |node: usize| site.names[node].clone();
        let at = |node: usize| vec![Spot::Node(name(node), None)];
        let in_pods = |node: usize| vec![Spot::Node(name(node), Some(Plane::Pod))];
        let pair = |a: usize, b: usize, plane| vec![Spot::Pair(name(a), name(b), plane)];
        let truth = |spots, causes: &'static [Cause], can_be_named| Self {
            spots,
            causes,
            can_be_named,
        };
        match *fault {
            Fault::Off { node } => truth(at(node), &[Cause::NodeDown], true),
            Fault::CableOut { node } => truth(at(node), &[Cause::NodePartitioned], true),
            Fault::Border { ref inside } => truth(border(site, inside, all), &[Cause::NodePartitioned], true),
            Fault::PairCut { a, b } => truth(pair(a, b, None), &[Cause::NodePartitioned], true),
            Fault::OneWayCut { from, to } => truth(
                pair(from, to, None),
                &[Cause::OneWayLoss, Cause::NeighbourStale],
                true,
            ),
            Fault::OverlayFiltered { node, .. } => truth(in_pods(node), &[Cause::OverlayPortBlocked], false),
            Fault::OverlayDevice { node } => truth(
                in_pods(node),
                &[Cause::OverlayDeviceDown, Cause::OverlayPortMismatch],
                false,
            ),
            Fault::OverlayDeadEverywhere => truth(
                vec![Spot::Everywhere(Some(Plane::Pod))],
                &[
                    Cause::OverlayPortBlocked,
                    Cause::OverlayDeviceDown,
                    Cause::OverlayPortMismatch,
                ],
                false,
            ),
            Fault::StalePeer { from, to } => truth(
                pair(from, to, Some(Plane::Pod)),
                &[Cause::OverlayPeerStale, Cause::OneWayLoss, Cause::NeighbourStale],
                false,
            ),
            Fault::NoForwarding { node } => truth(
                in_pods(node),
                &[Cause::IpForwardOff, Cause::ForwardDropped],
                false,
            ),
            Fault::ForwardFiltered {
                node, reject: true, ..
            } => truth(in_pods(node), &[Cause::ForwardRejected], site.icmp_errors > 0.2),
            Fault::ForwardFiltered { node, .. } => truth(
                in_pods(node),
                &[Cause::ForwardDropped, Cause::PolicyBlocked],
                false,
            ),
            Fault::ForwardDroppedEverywhere => truth(
                vec![Spot::Everywhere(Some(Plane::Pod))],
                &[Cause::ForwardDropped],
                false,
            ),
            Fault::NoRoutes { node } | Fault::NoRoutesBothWays { node } => {
                truth(in_pods(node), &[Cause::PodRoutesMissing], false)
            }
            Fault::PodsDropped { node: Some(node) } => truth(
                in_pods(node),
                &[Cause::UnderlayDropsPods, Cause::PodRoutesMissing],
                false,
            ),
            Fault::PodsDropped { node: None } => truth(
                vec![Spot::Everywhere(Some(Plane::Pod))],
                &[Cause::UnderlayDropsPods, Cause::PodRoutesMissing],
                false,
            ),
            Fault::SmallWire { node: Some(node), .. } => truth(at(node), &[Cause::MtuBlackhole], true),
            Fault::SmallWire { node: None, .. } => {
                truth(vec![Spot::Everywhere(None)], &[Cause::MtuBlackhole], true)
            }
            Fault::ProtocolFiltered { node: Some(node), .. } => {
                truth(at(node), &[Cause::ProtocolFiltered], true)
            }
            Fault::ProtocolFiltered { node: None, .. } => {
                truth(vec![Spot::Everywhere(None)], &[Cause::ProtocolFiltered], true)
            }
            Fault::Loss { node, .. } => truth(
                at(node),
                &[Cause::RandomLoss, Cause::OneWayLoss, Cause::Slow],
                true,
            ),
            Fault::PairLoss { from, to, .. } => truth(
                pair(from, to, None),
                &[Cause::RandomLoss, Cause::OneWayLoss, Cause::Slow],
                true,
            ),
            Fault::BadPath { node, .. } => truth(at(node), &[Cause::FlowLoss], true),
            Fault::NoServiceRules { node } => truth(at(node), &[Cause::KubeProxyMissing], true),
            _ => Self::of_service(fault, site),
        }
    }

    fn of_service(fault: &Fault, site: &Site) -> Self {
        let name = |node: usize| site.names[node].clone();
        let truth = |spots, causes: &'static [Cause], can_be_named| Self {
            spots,
            causes,
            can_be_named,
        };
        let dns = || {
            vec![Spot::Service(
                Some(Site::dns_service()),
                None,
                names(site, &site.dns),
            )]
        };
        let api = || {
            vec![Spot::Service(
                Some(Site::api_service()),
                None,
                names(site, &site.api),
            )]
        };
        let node_port = |service: usize| {
            let of = &site.node_ports[service];
            vec![Spot::Service(
                None,
                Some(Port(of.port)),
                names(site, &of.backends),
            )]
        };
        match *fault {
            Fault::DnsEndpointDead { number, .. } => {
                let address = Site::address(site.dns[number], Plane::Pod, 20);
                let causes = &[Cause::DnsEndpointDown, Cause::DnsDown];
                truth(
                    vec![Spot::Endpoint(
                        address,
                        Site::dns_service(),
                        name(site.dns[number]),
                    )],
                    causes,
                    true,
                )
            }
            Fault::DnsDead { .. } => truth(dns(), &[Cause::DnsDown], true),
            Fault::ApiDead { closed } => truth(api(), &[Cause::ApiServerDown], closed),
            Fault::NoEndpoints {
                service: Service::Dns,
            } => truth(dns(), &[Cause::ServiceNoEndpoints], site.icmp_errors > 0.2),
            Fault::NoEndpoints {
                service: Service::Api,
            } => truth(api(), &[Cause::ServiceNoEndpoints], site.icmp_errors > 0.2),
            Fault::NoEndpoints {
                service: Service::NodePort(service),
            } => truth(
                node_port(service),
                &[Cause::ServiceNoEndpoints],
                site.icmp_errors > 0.2,
            ),
            Fault::BackendsDead { service, .. } => truth(node_port(service), &[Cause::EndpointStale], false),
            Fault::NodePortPolicy { service, .. } => {
                let causes = &[Cause::PolicyNodePort, Cause::PolicyBlocked];
                // A policy is of the cluster; that it shows at a NodePort may be named or not.
                let mut spots = node_port(service);
                spots.push(Spot::Everywhere(Some(Plane::Pod)));
                spots.push(Spot::PodsUnderPolicy);
                truth(spots, causes, false)
            }
            Fault::PodIngressClosed { node } | Fault::PodEgressClosed { node } => truth(
                vec![Spot::Node(name(node), Some(Plane::Pod))],
                &[Cause::PolicyBlocked, Cause::ForwardDropped, Cause::IptablesSplit],
                false,
            ),
            Fault::NoLoopback { node } => truth(
                vec![Spot::Node(name(node), None)],
                &[Cause::LoopbackDown, Cause::LoopbackSource],
                false,
            ),
            Fault::ConntrackFull { node } => truth(
                vec![Spot::Node(name(node), None)],
                &[Cause::ConntrackFull, Cause::LocalEgressBlocked],
                false,
            ),
            Fault::OutputBlocked { node } => truth(
                vec![Spot::Node(name(node), None)],
                &[Cause::LocalEgressBlocked],
                true,
            ),
            Fault::InputClosed { node, .. } => {
                truth(vec![Spot::Node(name(node), None)], &[Cause::PolicyBlocked], false)
            }
            _ => truth(Vec::new(), &[], false),
        }
    }
}

fn names(site: &Site, nodes: &[usize]) -> Vec<NodeName> {
    nodes.iter().map(|node| site.names[*node].clone()).collect()
}

fn border(site: &Site, inside: &[usize], all: &[Fault]) -> Vec<Spot> {
    let outside: Vec<usize> = (0..site.nodes()).filter(|node| !inside.contains(node)).collect();
    let alone: Vec<usize> = all
        .iter()
        .filter_map(|fault| match fault {
            Fault::Off { node } | Fault::CableOut { node } => Some(*node),
            _ => None,
        })
        .collect();
    vec![Spot::Nodes(
        names(site, inside),
        names(site, &outside),
        names(site, &alone),
    )]
}
