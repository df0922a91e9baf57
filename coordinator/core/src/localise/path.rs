//! Which parts of the network each cell crosses.
//!
//! `certain` parts are those that every cluster network known to us makes the cell cross; what depends on the CNI, on
//! masquerading or on which backend was chosen is only a `maybe`: it can explain a failure but a success there proves
//! nothing.

use mesh_proto::{NodeName, OverlayKind, Plane};

use super::family::{Family, Init, Part};
use crate::NodeIndex;
use crate::matrix::Matrix;
use crate::round::{PlannedCell, Target};

/// The parts that a cell crosses, each with whether that is certain.
pub(super) fn parts(matrix: &Matrix, cell: &PlannedCell) -> Vec<(Part, bool)> {
    let roster = matrix.round().roster();
    let Some(source) = roster.agent(cell.from) else {
        return Vec::new();
    };
    let Some(node) = roster.node_index(&source.key.node) else {
        return Vec::new();
    };
    let mut path = Path {
        matrix,
        node,
        plane: source.key.plane,
        parts: Vec::new(),
    };
    match &cell.target {
        Target::Agent(to) => {
            let target = roster.agent(*to).map(|agent| &agent.key);
            if let Some((key, to)) = target.and_then(|key| Some((key, roster.node_index(&key.node)?))) {
                path.agent(to, key.plane);
            }
        }
        Target::Loopback => path.certain(Part::at(Family::Loopback, node, Init::Both)),
        Target::Api => path.api(),
        Target::Dns { .. } => path.dns_service(),
        Target::DnsEndpoint(number) => path.dns_endpoint(*number),
        Target::NodePort { service, node } => path.node_port(*service, node),
    }
    path.parts
}

struct Path<'a> {
    matrix: &'a Matrix,
    node: NodeIndex,
    plane: Plane,
    parts: Vec<(Part, bool)>,
}

impl Path<'_> {
    fn certain(&mut self, part: Part) {
        self.parts.push((part, true));
    }

    fn maybe(&mut self, part: Part) {
        self.parts.push((part, false));
    }

    fn encapsulated(&self) -> Option<bool> {
        self.matrix
            .round()
            .roster()
            .cluster
            .overlay
            .map(|overlay| overlay.kind != OverlayKind::None)
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
                match self.encapsulated() {
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
        let roster = self.matrix.round().roster();
        let endpoints = roster.cluster.api.iter().flat_map(|api| &api.endpoints);
        let nodes: Vec<NodeIndex> = endpoints
            .filter_map(|endpoint| roster.node_index(roster.node_of_host_address(endpoint.ip())?))
            .collect();
        for node in nodes {
            self.perhaps_towards(node);
        }
    }

    fn dns_service(&mut self) {
        self.service();
        self.certain(Part::at(Family::DnsService, self.node, Init::Out));
        self.certain(Part::at(Family::DnsAll, self.node, Init::Out));
        self.certain(Part::at(Family::Rules, self.node, Init::Out));
        let roster = self.matrix.round().roster();
        let endpoints = roster
            .cluster
            .dns
            .iter()
            .flat_map(|dns| dns.endpoints.iter().enumerate());
        let nodes: Vec<(usize, Option<NodeIndex>)> = endpoints
            .map(|(number, endpoint)| (number, roster.node_index(&endpoint.node)))
            .collect();
        for (number, node) in nodes {
            self.maybe(Part::at(Family::DnsEndpoint(number), self.node, Init::Out));
            if let Some(node) = node {
                self.perhaps_towards(node);
            }
        }
    }

    fn dns_endpoint(&mut self, number: usize) {
        self.service();
        self.certain(Part::at(Family::DnsEndpoint(number), self.node, Init::Out));
        self.certain(Part::at(Family::DnsAll, self.node, Init::Out));
        let roster = self.matrix.round().roster();
        let endpoint = roster
            .cluster
            .dns
            .as_ref()
            .and_then(|dns| dns.endpoints.get(number));
        if let Some(node) = endpoint.and_then(|endpoint| roster.node_index(&endpoint.node)) {
            self.perhaps_towards(node);
        }
    }

    fn node_port(&mut self, service: usize, on: &NodeName) {
        let roster = self.matrix.round().roster();
        let Some(on) = roster.node_index(on) else { return };
        let from = self.node;
        for family in [Family::NodePort(service), Family::AnyNodePort] {
            self.certain(Part::between(family, from, on));
        }
        self.maybe(Part::at(Family::Agent(self.plane), from, Init::Out));
        self.maybe(Part::at(Family::Rules, on, Init::In));
        self.perhaps_towards(on);
        let backends = roster
            .cluster
            .node_ports
            .get(service)
            .into_iter()
            .flat_map(|offer| &offer.backends);
        let nodes: Vec<NodeIndex> = backends
            .filter_map(|backend| roster.node_index(&backend.node))
            .collect();
        for backend in nodes {
            if backend == on {
                self.maybe(Part::at(Family::Local, on, Init::In));
            } else {
                self.maybe(Part::at(Family::Forward, on, Init::Out));
                self.perhaps_between(on, backend);
            }
            self.maybe(Part::at(Family::Forward, backend, Init::In));
        }
    }
}
