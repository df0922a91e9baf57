//! What a fault changes in the network: at a hook, for some packets, something is done to them.

use std::rc::Rc;

use mesh_proto::{Plane, Protocol};

use crate::packet::{Asked, Hook, Hop, Server, Trip};

/// What is done to a packet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Action {
    Drop,
    /// With an ICMP error of this type and code.
    Reject(u8, u8),
    /// The sender's kernel refuses at once, with this errno; a TCP connection just stays silent.
    Refuse(i32),
    /// Nobody listens: a reset, or ICMP port unreachable.
    Close,
    /// Gone if larger, on the wire.
    Larger(u32),
    /// Gone with this chance.
    Share(f64),
    /// Gone if a hash of addresses and ports falls on one of so many paths.
    Path(u64),
}

impl Action {
    /// Whether it spares some packets of a kind by chance or by their flow.
    pub(crate) fn is_partial(self) -> bool {
        matches!(self, Self::Share(_) | Self::Path(_))
    }
}

/// A change of the network; what is `None` matches all.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    /// The number of the fault that made it.
    pub(crate) fault: usize,
    pub(crate) hook: Hook,
    pub(crate) at: Option<usize>,
    pub(crate) peer: Option<usize>,
    /// Hits what goes from one side of the border to the other: inside is `true`.
    pub(crate) border: Option<Rc<[bool]>>,
    pub(crate) protocol: Option<Protocol>,
    pub(crate) outer: Option<bool>,
    pub(crate) pod_addressed: Option<bool>,
    pub(crate) to_pod: Option<bool>,
    pub(crate) opening: Option<bool>,
    pub(crate) inside: Option<bool>,
    pub(crate) server: Option<Server>,
    /// Any backend of this service.
    pub(crate) service: Option<usize>,
    pub(crate) by_cluster_ip: Option<bool>,
    pub(crate) by_node_port: Option<bool>,
    pub(crate) client: Option<Plane>,
    pub(crate) action: Action,
}

impl Rule {
    pub(crate) fn new(fault: usize, hook: Hook, action: Action) -> Self {
        Self {
            fault,
            hook,
            at: None,
            peer: None,
            border: None,
            protocol: None,
            outer: None,
            pod_addressed: None,
            to_pod: None,
            opening: None,
            inside: None,
            server: None,
            service: None,
            by_cluster_ip: None,
            by_node_port: None,
            client: None,
            action,
        }
    }

    pub(crate) fn at(self, node: usize) -> Self {
        Self {
            at: Some(node),
            ..self
        }
    }

    pub(crate) fn peer(self, node: usize) -> Self {
        Self {
            peer: Some(node),
            ..self
        }
    }

    /// The node that its packets pass, if there is one.
    pub(crate) fn anchor(&self) -> Option<usize> {
        self.at.or(self.peer)
    }

    /// Whether it hits a trip's packet there. `overlay_protocol`: what encapsulated packets look like.
    pub(crate) fn hits(&self, trip: &Trip, hop: &Hop, overlay_protocol: Option<Protocol>) -> bool {
        fn is<T: PartialEq + Copy>(wanted: Option<T>, there: T) -> bool {
            wanted.is_none_or(|wanted| wanted == there)
        }
        let protocol = if hop.outer {
            overlay_protocol
        } else {
            Some(trip.protocol)
        };
        let service = match trip.server {
            Server::Backend { service, .. } => Some(service),
            _ => None,
        };
        self.hook == hop.hook
            && is(self.at, hop.at)
            && is(self.peer, hop.peer)
            && self
                .border
                .as_ref()
                .is_none_or(|inside| inside[hop.at] != inside[hop.peer])
            && (self.protocol.is_none() || self.protocol == protocol)
            && is(self.outer, hop.outer)
            && is(self.pod_addressed, hop.pod_addressed)
            && is(self.to_pod, hop.to_pod)
            && is(self.opening, hop.opening)
            && is(self.inside, hop.inside)
            && is(self.server, trip.server)
            && (self.service.is_none() || self.service == service)
            && is(self.by_cluster_ip, trip.asked == Asked::ClusterIp)
            && is(self.by_node_port, matches!(trip.asked, Asked::NodePort(_)))
            && is(self.client, trip.from.1)
    }
}
