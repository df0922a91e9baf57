//! Which questions a matrix raises: for each place at fault those that tell its possible causes apart, to a few agents at it
//! and beside it.

use std::net::IpAddr;

use mesh_proto::{
    AgentIndex, Ask, Expect, Micros, Millis, Plane, PlannedProbe, Port, ProbeId, ProbeKind, Protocol,
};

use crate::judge::Judge;
use crate::localise::{Family, Found, Hypothesis, Model, Pick, Place, Scope, Symptom, places};
use crate::{CellIndex, NodeIndex, Roster, Target};

/// More than this is not asked, whatever is ill: the rest of the faults can be told from their like.
const MOST: usize = 200;
/// Places that are looked at more closely, those that explain most first.
const PLACES: usize = 8;
/// Of a fault that many nodes share, so many are looked at.
const SAMPLES: usize = 3;

/// Of a service that seems dead, so many cells are asked again,
const SERVICE_CELLS: usize = 8;
/// from so many fresh ports each: that all of them meet the same one of two endpoints by chance is one in ten millions.
const FRESH_PORTS: u16 = 24;

/// A question, and whom to ask.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) from: AgentIndex,
    pub(super) ask: Ask,
    /// The cell that it asks once more.
    pub(super) again: Option<CellIndex>,
}

/// What to ask.
pub(super) fn questions(judge: &Judge<'_>) -> Vec<Question> {
    let Some(Found { model, mut picks, .. }) = places(judge) else {
        return Vec::new();
    };
    picks.sort_by_key(|pick| std::cmp::Reverse(pick.explains.len() + pick.more));
    let mut asked = Questions {
        model: &model,
        asked: Vec::new(),
    };
    for pick in picks.iter().take(PLACES) {
        if let Place::At(hypothesis) = &pick.place {
            asked.about(pick, hypothesis);
        }
    }
    asked.asked.truncate(MOST);
    asked.asked
}

struct Questions<'a> {
    model: &'a Model<'a>,
    asked: Vec<Question>,
}

impl Questions<'_> {
    fn roster(&self) -> &Roster {
        self.model.matrix.round().roster()
    }

    fn about(&mut self, pick: &Pick, hypothesis: &Hypothesis) {
        if pick.symptom == Symptom::Partial {
            self.more_flows(pick);
            return;
        }
        self.services_again(pick);
        match hypothesis.family {
            Family::Overlay | Family::Routes => {
                self.knocks(hypothesis);
                self.walks(pick);
            }
            Family::Wire
            | Family::Bare
            | Family::Forward
            | Family::Local
            | Family::Agent(_)
            | Family::Between(..) => self.walks(pick),
            Family::Loopback => self.loopback(pick),
            Family::ApiService | Family::Rules => self.api_endpoints(pick),
            Family::NodePort(_) | Family::AnyNodePort => self.backends(pick),
            Family::DnsAll | Family::DnsEndpoint(_) | Family::DnsService => {}
        }
    }

    fn ask(&mut self, from: AgentIndex, ask: Ask) {
        self.put(Question {
            from,
            ask,
            again: None,
        });
    }

    fn put(&mut self, question: Question) {
        let was_asked = |other: &Question| (other.from, &other.ask) == (question.from, &question.ask);
        if self.model.matrix.stands(question.from) && !self.asked.iter().any(was_asked) {
            self.asked.push(question);
        }
    }

    /// A service that sends each flow to one of several endpoints, asked from many fresh ports: whether it is dead for these
    /// clients, or chance sent all their flows to a dead endpoint.
    fn services_again(&mut self, pick: &Pick) {
        let has_choice = |cell: &CellIndex| self.model.nodes_behind_choice(*cell) > 1;
        if !pick.explains.iter().all(has_choice) {
            return;
        }
        for cell in pick.explains.iter().take(SERVICE_CELLS) {
            let number = self.model.number(*cell);
            let Some((from, planned)) = self.model.matrix.round().probe_of(number) else {
                continue;
            };
            // A resolver picks its own ports.
            if planned.dns.as_ref().is_some_and(|dns| dns.as_application) {
                continue;
            }
            let probe = PlannedProbe {
                id: ProbeId(0),
                flows: FRESH_PORTS,
                tries: 1,
                interval: Micros(20_000),
                timeout: Millis(1_500),
                ..planned
            };
            self.put(Question {
                from,
                ask: Ask::Probe { probe, source: None },
                again: Some(number),
            });
        }
    }

    /// Who answers at each hop of a few of the ways that fail: one for each pair of planes, and of each end.
    fn walks(&mut self, pick: &Pick) {
        let mut kinds: Vec<(Option<Plane>, Option<Plane>, Option<NodeIndex>)> = Vec::new();
        for cell in &pick.explains {
            let planned = self.model.cell(*cell);
            let Target::Agent(_) = planned.target else {
                continue;
            };
            let (from, _) = self.model.nodes(*cell);
            let kind = (self.model.plane_from(*cell), self.model.plane_to(*cell), from);
            let Some(target) = planned.address.filter(|_| !kinds.contains(&kind)) else {
                continue;
            };
            if kinds
                .iter()
                .filter(|(a, b, _)| (*a, *b) == (kind.0, kind.1))
                .count()
                >= SAMPLES
            {
                continue;
            }
            kinds.push(kind);
            self.ask(planned.from, walk(target));
        }
    }

    /// Datagrams to the overlay's own port, at the suspects from outside and from them to others.
    fn knocks(&mut self, hypothesis: &Hypothesis) {
        let Some(port) = self.overlay_port() else { return };
        let all: Vec<NodeIndex> = (0..self.roster().nodes.len()).map(NodeIndex).collect();
        let suspects: Vec<NodeIndex> = match &hypothesis.scope {
            Scope::Node(node) => vec![*node],
            Scope::Pair(a, b) => vec![*a, *b],
            Scope::Group(nodes) => nodes.iter().copied().take(SAMPLES).collect(),
            Scope::OwnNode | Scope::OtherNodes | Scope::Cluster => {
                all.iter().copied().take(SAMPLES).collect()
            }
        };
        for suspect in suspects {
            let others = all.iter().copied().filter(|other| *other != suspect);
            let others: Vec<NodeIndex> = match hypothesis.scope {
                Scope::Pair(a, b) => vec![if a == suspect { b } else { a }],
                _ => others.take(2).collect(),
            };
            for other in others {
                self.knock(other, suspect, port);
                self.knock(suspect, other, port);
            }
        }
    }

    fn overlay_port(&self) -> Option<Port> {
        let overlay = self.roster().cluster.overlay?;
        overlay.port.filter(|_| overlay.rides_on_udp())
    }

    fn knock(&mut self, from: NodeIndex, to: NodeIndex, port: Port) {
        let (Some((agent, _)), Some(target)) = (self.agent(from, Plane::Host), self.address(to, Plane::Host))
        else {
            return;
        };
        self.ask(
            agent,
            Ask::Knock {
                target,
                port,
                // ICMP errors are rate-limited, and what fails in the overlay eats of the same budget.
                tries: 8,
                interval: Micros(200_000),
                timeout: Millis(400),
            },
        );
    }

    /// The source that the kernel takes towards loopback, and whether a bound one works.
    fn loopback(&mut self, pick: &Pick) {
        for cell in &pick.explains {
            let planned = self.model.cell(*cell);
            let (Target::Loopback, Some(target)) = (&planned.target, planned.address) else {
                continue;
            };
            self.ask(planned.from, Ask::Route { target });
            if planned.kind != ProbeKind::Icmp {
                let expect = Expect::Agent(planned.from);
                let probe = probe(planned.kind, target, planned.port, expect, 1);
                self.ask(
                    planned.from,
                    Ask::Probe {
                        probe,
                        source: Some(target),
                    },
                );
            }
        }
    }

    /// The API's endpoints by their own addresses.
    fn api_endpoints(&mut self, pick: &Pick) {
        let endpoints = self
            .roster()
            .cluster
            .api
            .iter()
            .flat_map(|api| api.endpoints.clone());
        let endpoints: Vec<_> = endpoints.take(SAMPLES).collect();
        for from in self.clients(pick) {
            for endpoint in &endpoints {
                let probe = probe(
                    ProbeKind::Tcp,
                    endpoint.ip(),
                    Port(endpoint.port()),
                    Expect::Anyone,
                    1,
                );
                self.ask(from, Ask::Probe { probe, source: None });
            }
        }
    }

    /// What stands behind NodePorts, by its own address. Its port is not known; whether the machine is there is.
    fn backends(&mut self, pick: &Pick) {
        let backends = self
            .roster()
            .cluster
            .node_ports
            .iter()
            .flat_map(|offer| &offer.backends);
        let backends: Vec<IpAddr> = backends.map(|backend| backend.address).take(SAMPLES).collect();
        for from in self.clients(pick) {
            for backend in &backends {
                let probe = probe(ProbeKind::Icmp, *backend, Port(0), Expect::Anyone, 1);
                self.ask(from, Ask::Probe { probe, source: None });
            }
        }
    }

    /// A few agents that were not served, host agents first: what keeps pods from a service may be between.
    fn clients(&self, pick: &Pick) -> Vec<AgentIndex> {
        let mut cells: Vec<CellIndex> = pick.explains.clone();
        cells.sort_by_key(|cell| self.model.plane_from(*cell) != Some(Plane::Host));
        let mut clients: Vec<AgentIndex> = Vec::new();
        for cell in cells {
            let from = self.model.cell(cell).from;
            if !clients.contains(&from) && clients.len() < SAMPLES + 1 {
                clients.push(from);
            }
        }
        clients
    }

    /// Many source ports on a way that loses some: a bad path among several is told from a share of all.
    fn more_flows(&mut self, pick: &Pick) {
        let udp = pick
            .explains
            .iter()
            .filter(|cell| self.model.kind(**cell) == ProbeKind::Udp);
        let cells: Vec<CellIndex> = udp
            .copied()
            .filter(|cell| matches!(self.model.cell(*cell).target, Target::Agent(_)))
            .take(2)
            .collect();
        for cell in cells {
            let planned = self.model.cell(cell);
            let (Target::Agent(to), Some(target)) = (&planned.target, planned.address) else {
                continue;
            };
            let probe = probe(ProbeKind::Udp, target, planned.port, Expect::Agent(*to), 64);
            self.ask(planned.from, Ask::Probe { probe, source: None });
        }
    }

    fn agent(&self, node: NodeIndex, plane: Plane) -> Option<(AgentIndex, &crate::RosterAgent)> {
        self.roster().find(self.roster().node_name(node), plane)
    }

    fn address(&self, node: NodeIndex, plane: Plane) -> Option<IpAddr> {
        self.agent(node, plane)?.1.address
    }
}

fn walk(target: IpAddr) -> Ask {
    Ask::Walk {
        target,
        protocol: Protocol::Icmp,
        port: Port(0),
        // Longer ways exist only where packets circle.
        hops: 6,
        timeout: Millis(1_500),
    }
}

fn probe(kind: ProbeKind, address: IpAddr, port: Port, expect: Expect, flows: u16) -> PlannedProbe {
    PlannedProbe {
        id: ProbeId(0),
        kind,
        address,
        port,
        expect,
        flows,
        tries: 3,
        interval: Micros(100_000),
        timeout: Millis(1_500),
        dns: None,
    }
}
