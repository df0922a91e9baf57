//! Where packets pass: the hooks of the datapath, one by one, for requests and answers.

use mesh_core::Target;
use mesh_proto::{Plane, ProbeKind, Protocol, TrafficPolicy};

use crate::cluster::{Site, place_of};

/// A point that a packet passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hook {
    /// 127.0.0.1, inside one place.
    Loopback,
    /// From a pod to its node.
    PodOut,
    /// From a node to its pod.
    PodIn,
    /// OUTPUT of a node: what it sends itself, encapsulated packets too.
    Output,
    /// INPUT of a node: what is for itself, encapsulated packets too.
    Input,
    /// FORWARD of a node.
    Forward,
    /// Where a service's address is translated.
    Service,
    /// The look-up of the route to another node's pods.
    Route,
    /// The overlay device, sending to a peer.
    Encap,
    /// The overlay device, receiving.
    Decap,
    /// The wire from a node to another.
    Wire,
    /// The process that serves.
    Server,
}

/// One packet at one hook.
#[derive(Debug, Clone, Copy)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "what a firewall rule can match, each by itself"
)]
pub(crate) struct Hop {
    pub(crate) hook: Hook,
    pub(crate) at: usize,
    /// The other end of a wire, tunnel or route; else the same node.
    pub(crate) peer: usize,
    /// It is inside its encapsulation.
    pub(crate) outer: bool,
    /// It shows a pod's address.
    pub(crate) pod_addressed: bool,
    /// It is for a pod.
    pub(crate) to_pod: bool,
    /// Connection tracking has not seen its connection yet.
    pub(crate) opening: bool,
    /// It does not leave its node.
    pub(crate) inside: bool,
}

/// Who serves a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Server {
    Agent(usize, Plane),
    Api,
    Dns(usize),
    Backend { service: usize, number: usize },
}

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    Address,
    ClusterIp,
    NodePort(usize),
}

/// The way of a flow's requests and answers.
#[derive(Debug, Clone)]
pub(crate) struct Trip {
    pub(crate) from: (usize, Plane),
    pub(crate) server: Server,
    pub(crate) asked: Asked,
    pub(crate) protocol: Protocol,
    pub(crate) there: Vec<Hop>,
    pub(crate) back: Vec<Hop>,
}

/// The protocol that carries a kind of probe.
pub(crate) fn protocol_of(kind: ProbeKind) -> Protocol {
    match kind {
        ProbeKind::Icmp => Protocol::Icmp,
        ProbeKind::Tcp | ProbeKind::Tls | ProbeKind::DnsTcp => Protocol::Tcp,
        ProbeKind::Udp | ProbeKind::DnsUdp | ProbeKind::PathMtu => Protocol::Udp,
    }
}

/// One direction of a trip, while it is being laid.
struct Way<'a> {
    site: &'a Site,
    hops: &'a mut Vec<Hop>,
    opening: bool,
    pod_addressed: bool,
    to_pod: bool,
}

impl Way<'_> {
    fn push(&mut self, hook: Hook, at: usize, peer: usize, outer: bool) {
        self.hops.push(Hop {
            hook,
            at,
            peer,
            outer,
            pod_addressed: self.pod_addressed && !outer,
            to_pod: self.to_pod,
            // Each direction of a tunnel is a flow of its own.
            opening: self.opening || outer,
            inside: false,
        });
    }

    fn at(&mut self, hook: Hook, at: usize) {
        self.push(hook, at, at, false);
    }

    fn wire(&mut self, from: usize, to: usize) {
        self.push(Hook::Wire, from, to, false);
    }

    /// From a node's stack to another node's, by what carries pod packets.
    fn carry(&mut self, from: usize, to: usize) {
        self.push(Hook::Route, from, to, false);
        if !self.site.encapsulated() {
            self.wire(from, to);
            return;
        }
        self.push(Hook::Encap, from, to, false);
        self.push(Hook::Output, from, from, true);
        self.push(Hook::Wire, from, to, true);
        self.push(Hook::Input, to, to, true);
        self.push(Hook::Decap, to, from, false);
    }

    /// Between two pods of one node.
    fn inside(&mut self, node: usize) {
        if self.site.routed_pods {
            self.at(Hook::Forward, node);
            if let Some(hop) = self.hops.last_mut() {
                hop.inside = true;
            }
        }
    }
}

/// A client or server stands here: a node and one of its planes.
type End = (usize, Plane);

/// Lays one direction between two ends. `answers_masqueraded`: the other direction left with the node's address, so that this
/// one comes back to the node and is translated there.
fn lay(way: &mut Way<'_>, from: End, to: End, peer_is_masqueraded: bool) {
    let ((a, from_plane), (b, to_plane)) = (from, to);
    way.to_pod = to_plane == Plane::Pod && !peer_is_masqueraded;
    way.pod_addressed = match (from_plane, to_plane) {
        (Plane::Pod, Plane::Pod) => true,
        (Plane::Pod, Plane::Host) => !way.opening || !way.site.nat_outgoing || a == b,
        (Plane::Host, Plane::Pod) => !peer_is_masqueraded,
        (Plane::Host, Plane::Host) => false,
    };
    match from_plane {
        Plane::Pod => way.at(Hook::PodOut, a),
        Plane::Host => way.at(Hook::Output, a),
    }
    if a == b {
        if (from_plane, to_plane) == (Plane::Pod, Plane::Pod) {
            way.inside(a);
        }
    } else {
        if from_plane == Plane::Pod {
            way.at(Hook::Forward, a);
        }
        between(way, from, to, peer_is_masqueraded);
        if to_plane == Plane::Pod {
            way.to_pod = true;
            way.at(Hook::Forward, b);
        }
    }
    match to_plane {
        Plane::Pod => way.at(Hook::PodIn, b),
        Plane::Host => way.at(Hook::Input, b),
    }
}

/// From node to node.
fn between(way: &mut Way<'_>, (a, from): End, (b, to): End, peer_is_masqueraded: bool) {
    match (from, to) {
        (Plane::Pod | Plane::Host, Plane::Pod) if !peer_is_masqueraded => way.carry(a, b),
        // What answers a node that asked from its overlay address goes back there.
        (Plane::Pod, Plane::Host) if !way.opening && way.site.encapsulated() => way.carry(a, b),
        _ => way.wire(a, b),
    }
}

impl Trip {
    /// The way of a flow from an agent to a target; `choice` picks among a service's endpoints.
    pub(crate) fn new(site: &Site, from: End, target: &Target, kind: ProbeKind, choice: usize) -> Self {
        let mut trip = Self {
            from,
            server: Server::Agent(from.0, from.1),
            asked: Asked::Address,
            protocol: protocol_of(kind),
            there: Vec::with_capacity(16),
            back: Vec::with_capacity(16),
        };
        match target {
            Target::Loopback => {
                for (hops, opening) in [(&mut trip.there, true), (&mut trip.back, false)] {
                    let mut way = Way {
                        site,
                        hops,
                        opening,
                        pod_addressed: false,
                        to_pod: false,
                    };
                    way.at(Hook::Loopback, from.0);
                }
            }
            Target::Agent(to) => {
                let (node, plane) = place_of(*to);
                trip.server = Server::Agent(node, plane);
                trip.direct(site, (node, plane));
            }
            Target::Api => {
                let node = site.api[choice % site.api.len()];
                trip.server = Server::Api;
                trip.asked = Asked::ClusterIp;
                trip.direct(site, (node, Plane::Host));
            }
            Target::Dns { .. } => {
                let number = choice % site.dns.len();
                trip.server = Server::Dns(number);
                trip.asked = Asked::ClusterIp;
                trip.direct(site, (site.dns[number], Plane::Pod));
            }
            Target::DnsEndpoint(number) => {
                trip.server = Server::Dns(*number);
                trip.direct(site, (site.dns[*number], Plane::Pod));
            }
            Target::NodePort { service, node } => {
                trip.node_port(site, *service, node.0, choice);
            }
        }
        trip
    }

    fn direct(&mut self, site: &Site, to: End) {
        let from = self.from;
        let mut there = Way {
            site,
            hops: &mut self.there,
            opening: true,
            pod_addressed: false,
            to_pod: false,
        };
        lay(&mut there, from, to, false);
        there.at(Hook::Server, to.0);
        let masqueraded = from.1 == Plane::Pod && to.1 == Plane::Host && site.nat_outgoing && from.0 != to.0;
        let mut back = Way {
            site,
            hops: &mut self.back,
            opening: false,
            pod_addressed: false,
            to_pod: false,
        };
        lay(&mut back, to, from, masqueraded);
        if self.asked == Asked::ClusterIp {
            // The address is translated as soon as the packet is on the client's node.
            let service = Hop {
                hook: Hook::Service,
                outer: false,
                ..self.there[0]
            };
            self.there.insert(1, service);
        }
    }

    fn node_port(&mut self, site: &Site, service: usize, on: usize, choice: usize) {
        let offer = &site.node_ports[service];
        let local: Vec<usize> = (0..offer.backends.len())
            .filter(|number| offer.policy == TrafficPolicy::Cluster || offer.backends[*number] == on)
            .collect();
        let number = local.get(choice % local.len().max(1)).copied().unwrap_or(0);
        let backend = offer.backends[number];
        self.server = Server::Backend { service, number };
        self.asked = Asked::NodePort(on);
        let from = self.from;
        if from.0 == on {
            // Translated on the client's own node: from there it is a packet to a pod.
            self.direct(site, (backend, Plane::Pod));
            let service = Hop {
                hook: Hook::Service,
                outer: false,
                ..self.there[0]
            };
            self.there.insert(1, service);
            return;
        }
        // To the entry node as to any node; what INPUT would see is translated before it.
        self.direct(site, (on, Plane::Host));
        self.there.truncate(self.there.len() - 2);
        self.back.remove(0);
        let back_from_entry = std::mem::take(&mut self.back);
        let mut there = Way {
            site,
            hops: &mut self.there,
            opening: true,
            pod_addressed: true,
            to_pod: true,
        };
        there.at(Hook::Service, on);
        there.at(Hook::Forward, on);
        let mut back = Way {
            site,
            hops: &mut self.back,
            opening: false,
            pod_addressed: true,
            to_pod: false,
        };
        back.at(Hook::PodOut, backend);
        back.at(Hook::Forward, backend);
        if backend != on {
            // Masqueraded by the entry node, so that the answer comes back by it.
            there.carry(on, backend);
            there.at(Hook::Forward, backend);
            if site.encapsulated() {
                back.carry(backend, on);
            } else {
                back.wire(backend, on);
            }
            back.at(Hook::Forward, on);
        }
        there.at(Hook::PodIn, backend);
        there.at(Hook::Server, backend);
        self.back.extend(back_from_entry);
    }
}
