//! Which parts of the network each cell crosses.
//!
//! `certain` parts are those that every cluster network known to us makes the cell cross; what depends on the CNI, on
//! masquerading or on which backend was chosen is only a `maybe`: it can explain a failure but a success there proves
//! nothing.

use mesh_proto::{AgentIndex, Plane};

use super::family::{Family, Init, Part};
use crate::NodeIndex;
use crate::round::{Layout, Target};

/// Calls for each part that a cell crosses, with whether that is certain.
pub(super) fn parts(layout: &Layout, from: AgentIndex, target: Target, call: impl FnMut(Part, bool)) {
    let Some(source) = layout.source(from) else {
        return;
    };
    let mut path = Path {
        layout,
        node: source.node,
        plane: source.plane,
        call,
    };
    match target {
        Target::Agent(to) => {
            if let Some(target) = layout.source(to) {
                path.agent(target.node, target.plane);
            }
        }
        Target::Loopback => path.certain(Part::at(Family::Loopback, source.node, Init::Both)),
        Target::Api => path.api(),
        Target::Dns { .. } => path.dns_service(),
        Target::DnsEndpoint(number) => path.dns_endpoint(number),
        Target::NodePort { service, node } => path.node_port(service, node),
    }
}

/// The same for a cell from an agent to another, by who stands where.
pub(super) fn parts_between(
    layout: &Layout,
    (node, plane): (NodeIndex, Plane),
    (to, to_plane): (NodeIndex, Plane),
    call: impl FnMut(Part, bool),
) {
    let mut path = Path {
        layout,
        node,
        plane,
        call,
    };
    path.agent(to, to_plane);
}

struct Path<'a, F> {
    layout: &'a Layout,
    node: NodeIndex,
    plane: Plane,
    call: F,
}

impl<F: FnMut(Part, bool)> Path<'_, F> {
    fn certain(&mut self, part: Part) {
        (self.call)(part, true);
    }

    fn maybe(&mut self, part: Part) {
        (self.call)(part, false);
    }

    /// To another agent.
    fn agent(&mut self, to: NodeIndex, plane: Plane) {
        let from = self.node;
        self.certain(Part::at(Family::Agent(self.plane), from, Init::Out));
        self.certain(Part::at(Family::Agent(plane), to, Init::In));
        if from == to {
            let init = if plane == Plane::Pod { Init::In } else { Init::Out };
            self.certain(Part::at(Family::Local, from, init));
            return;
        }
        self.certain(Part::between(Family::Between(self.plane, plane), from, to));
        self.certain(Part::between(Family::Wire, from, to));
        match (self.plane, plane) {
            (Plane::Host, Plane::Host) => self.certain(Part::between(Family::Bare, from, to)),
            (Plane::Pod, Plane::Pod) => {
                self.certain(Part::at(Family::Forward, from, Init::Out));
                self.certain(Part::at(Family::Forward, to, Init::In));
                self.certain(Part::between(Family::Overlay, from, to));
                self.certain(Part::between(Family::Routes, from, to));
                self.certain(Part::between(Family::Routes, to, from));
            }
            (Plane::Pod, Plane::Host) => {
                self.certain(Part::at(Family::Forward, from, Init::Out));
                self.maybe(Part::between(Family::Bare, from, to));
                // Without masquerading the answer comes back by the pod network.
                self.maybe(Part::between(Family::Overlay, from, to));
                self.maybe(Part::between(Family::Routes, to, from));
            }
            (Plane::Host, Plane::Pod) => {
                self.certain(Part::at(Family::Forward, to, Init::In));
                self.certain(Part::between(Family::Routes, from, to));
                match self.layout.encapsulated {
                    // The source is the node's overlay address, so the answer needs the overlay and its routes too.
                    Some(true) => {
                        self.certain(Part::between(Family::Overlay, from, to));
                        self.maybe(Part::between(Family::Routes, to, from));
                    }
                    Some(false) => self.maybe(Part::between(Family::Overlay, from, to)),
                    None => {
                        self.maybe(Part::between(Family::Overlay, from, to));
                        self.maybe(Part::between(Family::Routes, to, from));
                    }
                }
            }
        }
    }

    /// From here to something that stands on a node, by whatever way the network takes.
    fn perhaps_towards(&mut self, to: NodeIndex) {
        let from = self.node;
        if from == to {
            self.maybe(Part::at(Family::Local, from, Init::In));
            return;
        }
        if self.plane == Plane::Pod {
            self.maybe(Part::at(Family::Forward, from, Init::Out));
        }
        self.perhaps_between(from, to);
        self.maybe(Part::at(Family::Forward, to, Init::In));
    }

    /// From here to a server on a node's own network.
    fn perhaps_towards_host(&mut self, to: NodeIndex) {
        let from = self.node;
        self.maybe(Part::at(Family::Agent(Plane::Host), to, Init::In));
        if self.plane == Plane::Host {
            if from != to {
                self.maybe(Part::between(Family::Wire, from, to));
                self.maybe(Part::between(Family::Bare, from, to));
            }
        } else if from == to {
            self.maybe(Part::at(Family::Local, from, Init::Out));
        } else {
            self.maybe(Part::at(Family::Forward, from, Init::Out));
            self.perhaps_between(from, to);
        }
    }

    fn perhaps_between(&mut self, from: NodeIndex, to: NodeIndex) {
        for family in [Family::Wire, Family::Bare, Family::Overlay, Family::Routes] {
            self.maybe(Part::between(family, from, to));
        }
        self.maybe(Part::between(Family::Routes, to, from));
    }

    fn service(&mut self) {
        self.certain(Part::at(Family::Agent(self.plane), self.node, Init::Out));
    }

    fn api(&mut self) {
        self.service();
        self.certain(Part::at(Family::ApiService, self.node, Init::Out));
        self.certain(Part::at(Family::Rules, self.node, Init::Out));
        let layout = self.layout;
        for node in &layout.api {
            self.perhaps_towards_host(*node);
        }
    }

    fn dns_service(&mut self) {
        self.service();
        self.certain(Part::at(Family::DnsService, self.node, Init::Out));
        self.certain(Part::at(Family::DnsAll, self.node, Init::Out));
        self.certain(Part::at(Family::Rules, self.node, Init::Out));
        let layout = self.layout;
        let only_one = layout.dns.len() == 1;
        for (number, node) in layout.dns.iter().enumerate() {
            let part = Part::at(Family::DnsEndpoint(number), self.node, Init::Out);
            (self.call)(part, only_one);
            if let Some(node) = node {
                self.perhaps_towards(*node);
            }
        }
    }

    fn dns_endpoint(&mut self, number: usize) {
        self.service();
        self.certain(Part::at(Family::DnsEndpoint(number), self.node, Init::Out));
        self.certain(Part::at(Family::DnsAll, self.node, Init::Out));
        if let Some(node) = self.layout.dns.get(number).copied().flatten() {
            self.perhaps_towards(node);
        }
    }

    fn node_port(&mut self, service: usize, on: NodeIndex) {
        let layout = self.layout;
        let from = self.node;
        for family in [Family::NodePort(service), Family::AnyNodePort] {
            self.certain(Part::between(family, from, on));
        }
        self.maybe(Part::at(Family::Agent(self.plane), from, Init::Out));
        // What makes rules for services makes those for NodePorts with them.
        self.certain(Part::at(Family::Rules, on, Init::In));
        self.perhaps_towards(on);
        let Some((backends, is_local)) = layout.backends.get(service) else {
            return;
        };
        for backend in backends
            .iter()
            .copied()
            .filter(|backend| may_serve(*is_local, from, on, *backend))
        {
            if backend == on {
                self.maybe(Part::at(Family::Local, on, Init::In));
                if from == on {
                    continue;
                }
            } else {
                self.maybe(Part::at(Family::Forward, on, Init::Out));
                self.perhaps_between(on, backend);
            }
            self.maybe(Part::at(Family::Forward, backend, Init::In));
        }
    }
}

/// Whether a `NodePort` that is asked from one node on another may send a connection to an endpoint. With the policy Local
/// it does so only where it is asked, and yet to any if the client itself is there: what comes from the node's own processes
/// and pods goes by the rules of the `ClusterIP` (Kubernetes, pkg/proxy/iptables/proxier.go, externalPolicyLocal).
pub(super) fn may_serve(is_local: bool, from: NodeIndex, on: NodeIndex, endpoint: NodeIndex) -> bool {
    !is_local || endpoint == on || from == on
}
