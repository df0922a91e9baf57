//! Which packets of a cell meet the rules of which nodes, and at which points of their way.

use std::net::IpAddr;

use mesh_proto::{Hook, HostFacts, NodeName, Plane, Port, Protocol};

use super::kernel::{first, link_to};
use super::policy::{is_of_component, is_of_policy, is_of_stale_backend};
use super::scene::{address_of, facts_of};
use crate::NodeIndex;
use crate::localise::{Model, protocol_of};
use crate::netfilter::{IpProtocol, Packet, Stop};
use crate::round::{CellIndex, Target};

/// A packet of a cell at a node.
#[derive(Clone, Copy)]
pub(super) struct Meeting<'a> {
    pub(super) at: NodeIndex,
    facts: &'a HostFacts,
    hooks: &'static [Hook],
    packet: Packet<'a>,
    /// Each packet of the cell meets these rules so; else some may.
    pub(super) is_sure: bool,
}

const SENT: &[Hook] = &[Hook::Output, Hook::Postrouting];
const RECEIVED: &[Hook] = &[Hook::Prerouting, Hook::Input];
const PASSED_ON: &[Hook] = &[Hook::Prerouting, Hook::Forward, Hook::Postrouting];
/// Before its destination is translated.
const ARRIVED: &[Hook] = &[Hook::Prerouting];
/// After it was.
const TRANSLATED: &[Hook] = &[Hook::Forward, Hook::Postrouting];

impl<'a> Meeting<'a> {
    /// The rule that is sure to stop it and that somebody wrote who is no component of the cluster.
    pub(super) fn stop(&self) -> Option<Stop<'a>> {
        self.stop_of(&self.packet)
    }

    /// Whether a rule stops the same packet with another protocol too, whatever its port.
    pub(super) fn is_stopped_as(&self, protocol: Protocol, stop: &Stop<'_>) -> bool {
        let other = Packet {
            protocol: IpProtocol::of(protocol, self.packet.destination),
            ..self.packet
        };
        self.stop_of(&other).is_some_and(|found| found.is(stop))
    }

    /// Whether a rule stops the same packet to whatever destination.
    pub(super) fn is_stopped_to_anybody(&self, stop: &Stop<'_>) -> bool {
        let other = Packet {
            destination: stranger(self.packet.destination),
            for_here: false,
            ..self.packet
        };
        self.stop_of(&other).is_some_and(|found| found.is(stop))
    }

    fn stop_of(&self, packet: &Packet<'_>) -> Option<Stop<'a>> {
        let stop = first(self.facts, self.hooks, packet)?;
        let is_own =
            !is_of_policy(&stop) && !is_of_component(&stop) && !is_of_stale_backend(self.facts, &stop);
        (stop.sure && is_own).then_some(stop)
    }
}

/// An address that nobody has (RFC 5737, RFC 3849).
fn stranger(like: IpAddr) -> IpAddr {
    match like {
        IpAddr::V4(_) => IpAddr::from([192, 0, 2, 1]),
        IpAddr::V6(_) => IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1]),
    }
}

/// All of a cell's packets that a node's kernel would see which told of its rules.
pub(super) fn meetings<'a>(model: &Model<'a>, cell: CellIndex) -> Vec<Meeting<'a>> {
    let roster = model.matrix.round().roster();
    let planned = model.cell(cell);
    let mut way = Way {
        model,
        protocol: protocol_of(model.kind(cell)),
        found: Vec::new(),
    };
    let stands = |agent| {
        let agent = roster.agent(agent)?;
        Some(End {
            node: roster.node_index(&agent.key.node),
            plane: agent.key.plane,
            address: agent.address?,
        })
    };
    let Some(from) = stands(planned.from) else {
        return Vec::new();
    };
    let port = Some(planned.port).filter(|port| port.0 != 0);
    let node_of = |name: &NodeName| roster.node_index(name);
    match planned.target {
        Target::Agent(to) => {
            if let Some(to) = stands(to) {
                way.leg(from, to, port, true);
                way.answers(to, from);
            }
        }
        Target::NodePort { service, node } => {
            let Some(address) = planned.address else {
                return Vec::new();
            };
            let entry = End {
                node: Some(node),
                plane: Plane::Host,
                address,
            };
            way.leaves(from, entry, port, true);
            way.answers(entry, from);
            if from.plane == Plane::Pod || from.node != entry.node {
                way.see(entry.node, ARRIVED, (from, entry), port, true);
            }
            let backends = roster.cluster.node_ports.get(service);
            for backend in backends.into_iter().flat_map(|of| &of.backends) {
                let to = End {
                    node: node_of(&backend.node),
                    plane: Plane::Pod,
                    address: backend.address,
                };
                way.see(entry.node, TRANSLATED, (from, to), None, false);
                if to.node != entry.node {
                    way.see(to.node, PASSED_ON, (from, to), None, false);
                }
            }
        }
        Target::DnsEndpoint(_) | Target::Dns { .. } => {
            let Some(dns) = roster.cluster.dns.as_ref() else {
                return Vec::new();
            };
            let only = if let Target::DnsEndpoint(number) = planned.target {
                Some(number)
            } else {
                way.asks(from, dns.address, port);
                None
            };
            let is_sure = only.is_some() || dns.endpoints.len() == 1;
            let endpoints = dns.endpoints.iter().enumerate();
            for (_, endpoint) in endpoints.filter(|(number, _)| only.is_none_or(|only| only == *number)) {
                let to = End {
                    node: node_of(&endpoint.node),
                    plane: Plane::Pod,
                    address: endpoint.address,
                };
                way.leg(from, to, Some(dns.endpoint_port), is_sure);
            }
        }
        Target::Api => {
            let Some(api) = roster.cluster.api.as_ref() else {
                return Vec::new();
            };
            way.asks(from, api.address, Some(api.port));
            for endpoint in &api.endpoints {
                let to = End {
                    node: roster.node_of_host_address(endpoint.ip()).and_then(node_of),
                    plane: Plane::Host,
                    address: endpoint.ip(),
                };
                way.leg(from, to, Some(Port(endpoint.port())), api.endpoints.len() == 1);
            }
        }
        Target::Loopback => {}
    }
    way.found
}

/// Somebody who sends or is sent to.
#[derive(Debug, Clone, Copy)]
struct End {
    node: Option<NodeIndex>,
    plane: Plane,
    address: IpAddr,
}

struct Way<'m, 'a> {
    model: &'m Model<'a>,
    protocol: Protocol,
    found: Vec<Meeting<'a>>,
}

impl Way<'_, '_> {
    /// From one end to another by their own addresses.
    fn leg(&mut self, from: End, to: End, port: Option<Port>, is_sure: bool) {
        self.leaves(from, to, port, is_sure);
        if from.node == to.node {
            if (from.plane, to.plane) == (Plane::Host, Plane::Host) {
                self.see(to.node, RECEIVED, (from, to), port, is_sure);
            }
            return;
        }
        match to.plane {
            Plane::Pod => self.see(
                to.node,
                PASSED_ON,
                (from, to),
                port,
                is_sure && from.plane == Plane::Pod,
            ),
            Plane::Host => {
                self.see(
                    to.node,
                    RECEIVED,
                    (from, to),
                    port,
                    is_sure && from.plane == Plane::Host,
                );
                // What pods send may bear their node's address.
                let node = from.node.filter(|_| from.plane == Plane::Pod);
                if let Some(address) = node.and_then(|node| address_of(self.model, node, Plane::Host)) {
                    self.see(to.node, RECEIVED, (End { address, ..from }, to), port, false);
                }
            }
        }
    }

    /// What comes back, to whom a pod's packets seem to come from as well. Rules may let it pass for the connection's sake.
    fn answers(&mut self, from: End, to: End) {
        self.leg(from, to, None, false);
        let node = to.node.filter(|_| to.plane == Plane::Pod);
        if let Some(address) = node.and_then(|node| address_of(self.model, node, Plane::Host)) {
            let plane = Plane::Host;
            self.leaves(from, End { plane, address, ..to }, None, false);
        }
    }

    /// At the node of who sends.
    fn leaves(&mut self, from: End, to: End, port: Option<Port>, is_sure: bool) {
        let is_inside = from.node == to.node;
        match (from.plane, to.plane) {
            (Plane::Host, _) => self.see(from.node, SENT, (from, to), port, is_sure),
            (Plane::Pod, Plane::Host) if is_inside => {
                self.see(from.node, RECEIVED, (from, to), port, is_sure);
            }
            // On one bridge packets may pass by the rules.
            (Plane::Pod, _) => self.see(from.node, PASSED_ON, (from, to), port, is_sure && !is_inside),
        }
    }

    /// What asks a service, before its destination is translated.
    fn asks(&mut self, from: End, address: IpAddr, port: Option<Port>) {
        let service = End {
            node: None,
            plane: Plane::Host,
            address,
        };
        let hooks = if from.plane == Plane::Host { SENT } else { ARRIVED };
        self.see(from.node, hooks, (from, service), port, true);
    }

    fn see(
        &mut self,
        at: Option<NodeIndex>,
        hooks: &'static [Hook],
        (from, to): (End, End),
        port: Option<Port>,
        is_sure: bool,
    ) {
        let Some((at, facts)) = at.and_then(|at| Some((at, facts_of(self.model, at, Plane::Host)?))) else {
            return;
        };
        // By which device what comes from a node's own address does, whoever of its pods it stands for.
        let by = |end: End| {
            let node = end.node.filter(|node| *node != at && to.plane == Plane::Host);
            let address = node.and_then(|node| address_of(self.model, node, Plane::Host));
            link_to(facts, address.unwrap_or(end.address))
        };
        let (sent, received) = (hooks == SENT, hooks == RECEIVED);
        let is_looped = received && from.plane == Plane::Host && from.node == Some(at);
        let packet = Packet {
            protocol: IpProtocol::of(self.protocol, to.address),
            source: from.address,
            destination: to.address,
            destination_port: port.filter(|_| self.protocol != Protocol::Icmp),
            in_link: match () {
                () if sent => Some(""),
                () if is_looped => Some("lo"),
                () => by(from),
            },
            out_link: if received { Some("") } else { by(to) },
            from_here: sent,
            for_here: to.plane == Plane::Host && to.node == Some(at),
        };
        self.found.push(Meeting {
            at,
            facts,
            hooks,
            packet,
            is_sure,
        });
    }
}
