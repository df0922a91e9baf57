//! A pretended cluster for tests: a roster of any size, and faults that decide each probe's fate by what packets do,
//! not by the localiser's model of paths.

pub(crate) mod kernel;
mod lossy;

use std::net::{IpAddr, Ipv4Addr};

use mesh_proto::wire::Prepared;
use mesh_proto::{
    AgentIdentity, AgentIndex, AgentKey, BootId, Failure, FlowTally, Ground, HostFacts, IcmpError, IcmpMode,
    Micros, Millis, Observation, OverlayKind, PathMtu, Plane, PlannedProbe, Port, ProbeId, ProbeKind,
    Protocol, Reason, Report, Rtt, Starvation, Tally, TrafficPolicy,
};

pub(crate) use self::lossy::Lossy;
use self::lossy::{Hop, Seen, Way};
use crate::{
    Api, Backend, Cluster, Dns, Matrix, NodeIndex, NodePortService, Overlay, Peers, PlanOptions, PlannedCell,
    Presence, Readiness, Roster, RosterAgent, RosterNode, Round, RunInfo, Target,
};

/// What becomes of a service, asked by the agents of a node.
type ServiceFate = Box<dyn Fn(usize, &Target) -> Option<Fate>>;

/// What becomes of a probe.
#[derive(Debug, Clone)]
pub(crate) enum Fate {
    Passes,
    TimesOut,
    Fails(Failure),
    /// Large packets vanish; the number is the largest that passes.
    Shrinks(u32),
    /// So many of the tries are lost.
    Loses(u32),
}

/// A round trip in the pretended cluster.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Trip {
    pub(crate) from: usize,
    pub(crate) from_plane: Plane,
    pub(crate) to: usize,
    pub(crate) to_plane: Plane,
    pub(crate) kind: ProbeKind,
}

impl Trip {
    pub(crate) fn crosses(&self) -> bool {
        self.from != self.to
    }

    pub(crate) fn touches(&self, node: usize) -> bool {
        self.from == node || self.to == node
    }

    /// Packets that leave their node with pod addresses inside the overlay.
    pub(crate) fn overlaid(&self) -> bool {
        self.crosses() && self.to_plane == Plane::Pod
    }

    /// Whether it crosses the border between a node's pods and the outside of that node.
    pub(crate) fn forwarded_at(&self, node: usize) -> bool {
        self.crosses()
            && (self.from == node && self.from_plane == Plane::Pod
                || self.to == node && self.to_plane == Plane::Pod)
    }
}

/// The pretended cluster: `nodes` nodes, VXLAN, the API on the first node, DNS on the first and the last, one NodePort
/// whose backend is on the second.
pub(crate) struct World {
    pub(crate) names: Vec<String>,
    pub(crate) absent: Vec<usize>,
    /// The NodePorts were made for the run.
    pub(crate) fresh: bool,
    /// What the cluster says of some of them.
    pub(crate) readiness: Vec<(usize, Readiness)>,
    /// The nodes that the NodePorts' backends stand on.
    pub(crate) backends: Vec<usize>,
    /// What becomes of a trip between agents, or of a leg of a service's way.
    pub(crate) fate: Box<dyn Fn(&Trip) -> Fate>,
    /// What becomes of a service at the client, before any leg.
    pub(crate) service: ServiceFate,
    /// Whether a request arrives although its trip fails: only the answer is lost.
    pub(crate) arrives: Box<dyn Fn(&Trip) -> bool>,
    pub(crate) facts: Vec<(usize, HostFacts)>,
    /// What is lost of that which passes.
    pub(crate) lossy: Option<Lossy>,
    /// How long each node's agents were starved at worst.
    pub(crate) starved: Vec<(usize, Millis)>,
    /// How pod packets are said to travel.
    pub(crate) overlay: OverlayKind,
    /// How many others each node probes, if not all.
    pub(crate) peers: Option<Peers>,
}

impl World {
    pub(crate) fn healthy(nodes: usize) -> Self {
        Self {
            names: (0..nodes)
                .map(|n| format!("ip-10-0-3-{}.ec2.internal", 7 * n + 11))
                .collect(),
            absent: Vec::new(),
            fresh: false,
            readiness: Vec::new(),
            backends: vec![1.min(nodes - 1)],
            fate: Box::new(|_| Fate::Passes),
            service: Box::new(|_, _| None),
            arrives: Box::new(|_| false),
            facts: Vec::new(),
            lossy: None,
            starved: Vec::new(),
            overlay: OverlayKind::Vxlan,
            peers: None,
        }
    }

    pub(crate) fn with(nodes: usize, fate: impl Fn(&Trip) -> Fate + 'static) -> Self {
        Self {
            fate: Box::new(fate),
            ..Self::healthy(nodes)
        }
    }

    pub(crate) fn roster(&self) -> Roster {
        let mut roster = Roster {
            cluster: self.cluster(),
            ..Roster::default()
        };
        for (number, name) in self.names.iter().enumerate() {
            roster.nodes.push(RosterNode {
                name: name.parse().unwrap(),
                zone: None,
                readiness: self.readiness(number),
            });
            for plane in [Plane::Pod, Plane::Host] {
                let key = AgentKey {
                    node: name.parse().unwrap(),
                    plane,
                };
                let presence = if self.absent.contains(&number) {
                    Presence::Absent {
                        why: "connection refused".to_owned(),
                    }
                } else {
                    Presence::Present(Prepared {
                        identity: AgentIdentity {
                            key: key.clone(),
                            boot_id: BootId([0; 16]),
                        },
                        responder_port: Port(9441),
                        icmp: IcmpMode::Raw,
                        icmp_why: String::new(),
                        nameservers: Vec::new(),
                    })
                };
                roster.agents.push(RosterAgent {
                    key,
                    address: Some(address(number, plane, 10)),
                    presence,
                });
            }
        }
        roster
    }

    fn readiness(&self, node: usize) -> Readiness {
        let said = self.readiness.iter().find(|(of, _)| *of == node);
        said.map(|(_, readiness)| readiness.clone()).unwrap_or_default()
    }

    fn cluster(&self) -> Cluster {
        let backend = |node: usize, host: u8| Backend {
            address: address(node, Plane::Pod, host),
            node: self.names[node].parse().unwrap(),
        };
        let node_port = |protocol, policy, port| NodePortService {
            fresh: self.fresh,
            port: Port(port),
            protocol,
            policy,
            backends: self.backends.iter().map(|node| backend(*node, 30)).collect(),
        };
        Cluster {
            api: Some(Api {
                address: IpAddr::V4(Ipv4Addr::new(10, 96, 0, 1)),
                port: Port(443),
                endpoints: vec![(address(0, Plane::Host, 10), 6443).into()],
            }),
            dns: Some(Dns {
                address: IpAddr::V4(Ipv4Addr::new(10, 96, 0, 10)),
                name: "kubernetes.default.svc.cluster.local".to_owned(),
                endpoints: vec![backend(0, 20), backend(self.names.len() - 1, 20)],
                endpoint_port: Port(53),
            }),
            node_ports: vec![
                node_port(Protocol::Tcp, TrafficPolicy::Cluster, 30080),
                node_port(Protocol::Udp, TrafficPolicy::Local, 30081),
            ],
            overlay: Some(Overlay {
                kind: self.overlay,
                port: Some(Port(8472)),
            }),
        }
    }

    /// Runs a round in the pretended cluster.
    pub(crate) fn run(&self) -> Report {
        self.matrix().into_report(run_info())
    }

    pub(crate) fn matrix(&self) -> Matrix {
        let options = PlanOptions {
            peers: self.peers,
            ..PlanOptions::default()
        };
        let round = Round::plan(self.roster(), &options);
        let mut matrix = Matrix::new(round.clone());
        let mut tallies: Vec<Vec<Tally>> = vec![Vec::new(); round.roster().agents.len()];
        for (agent, _) in round.roster().indexed() {
            let Some(plan) = round.plan_of(agent) else {
                continue;
            };
            for probe in &plan.probes {
                let cell = &round.cell(round.cell_of(agent, probe.id).unwrap());
                let fate = self.fate_of(&round, cell);
                if let Some(Seen { observation, arrived }) = self.lose(&round, cell, probe, &fate) {
                    if let Target::Agent(to) = cell.target {
                        tallies[to.0 as usize].push(Tally {
                            from: agent,
                            kind: cell.kind,
                            requests: arrived,
                        });
                    }
                    matrix.take(agent, observation).unwrap();
                    continue;
                }
                if let Target::Agent(to) = cell.target {
                    let arrived = match fate {
                        Fate::Passes | Fate::Loses(_) | Fate::Shrinks(_) => true,
                        _ => (self.arrives)(&trip(&round, cell, to)),
                    };
                    let requests = if arrived { 12 } else { 0 };
                    tallies[to.0 as usize].push(Tally {
                        from: agent,
                        kind: cell.kind,
                        requests,
                    });
                }
                let tries = u32::from(probe.flows) * u32::from(probe.tries);
                matrix
                    .take(agent, observe(probe.id, cell.kind, tries, fate))
                    .unwrap();
            }
        }
        for (agent, tallies) in (0..).map(AgentIndex).zip(tallies) {
            if round.plan_of(agent).is_some() {
                let name = &round.roster().agents[agent.0 as usize].key.node;
                let starved = self.starved.iter().find(|(node, _)| *node == self.number(name));
                let starvation = starved.map_or_else(Starvation::default, |(_, longest)| Starvation {
                    late_wakeups: 1,
                    longest: *longest,
                    dropped_by_socket: 0,
                });
                matrix.tallies(agent, tallies, starvation);
            }
        }
        for (node, facts) in &self.facts {
            let name = self.names[*node].parse().unwrap();
            let (host, _) = round.roster().find(&name, Plane::Host).unwrap();
            matrix.facts(host, facts.clone());
        }
        matrix
    }

    /// What becomes of a probe whose way is open, where packets are lost.
    fn lose(&self, round: &Round, cell: &PlannedCell, probe: &PlannedProbe, fate: &Fate) -> Option<Seen> {
        let lossy = self.lossy.as_ref()?;
        let limit = match fate {
            Fate::Passes => None,
            Fate::Shrinks(limit) => Some(*limit),
            _ => return None,
        };
        let from = &round.roster().agents[cell.from.0 as usize].key;
        let (node, last) = (self.number(&from.node), self.names.len() - 1);
        let (hops, has_ports): (Vec<Hop>, bool) = match &cell.target {
            Target::Agent(to) => {
                let trip = trip(round, cell, *to);
                // Inside the overlay everything has the ports of its UDP.
                let has_ports = cell.kind != ProbeKind::Icmp || trip.overlaid();
                (vec![(trip.from, trip.to)], has_ports)
            }
            Target::Loopback => return None,
            Target::Api => (vec![(node, 0)], true),
            Target::DnsEndpoint(number) => (vec![(node, [0, last][*number])], true),
            Target::Dns { .. } => (vec![(node, [0, last][cell.from.0 as usize % 2])], true),
            Target::NodePort {
                node: NodeIndex(on), ..
            } => {
                let on = *on;
                (vec![(node, on), (on, self.second())], true)
            }
        };
        let way = Way {
            hops: &hops,
            has_ports,
            limit,
        };
        Some(lossy.observe(probe, &way))
    }

    fn fate_of(&self, round: &Round, cell: &PlannedCell) -> Fate {
        let from = &round.roster().agents[cell.from.0 as usize].key;
        let (node, plane) = (self.number(&from.node), from.plane);
        let leg = |from, from_plane, to, to_plane| {
            (self.fate)(&Trip {
                from,
                from_plane,
                to,
                to_plane,
                kind: cell.kind,
            })
        };
        // What services carry here fits into small packets.
        let leg = |from, from_plane, to, to_plane| match leg(from, from_plane, to, to_plane) {
            Fate::Shrinks(_) => Fate::Passes,
            fate => fate,
        };
        if let Some(fate) = (self.service)(node, &cell.target) {
            return fate;
        }
        let last = self.names.len() - 1;
        match &cell.target {
            Target::Agent(to) => (self.fate)(&trip(round, cell, *to)),
            Target::Loopback => leg(node, plane, node, plane),
            Target::Api => leg(node, plane, 0, Plane::Host),
            Target::DnsEndpoint(number) => leg(node, plane, [0, last][*number], Plane::Pod),
            // Half of the queries go to each endpoint.
            Target::Dns { .. } => {
                match (
                    leg(node, plane, 0, Plane::Pod),
                    leg(node, plane, last, Plane::Pod),
                ) {
                    (Fate::Passes, Fate::Passes) => Fate::Passes,
                    (Fate::Passes, _) | (_, Fate::Passes) => Fate::Loses(3),
                    (fate, _) => fate,
                }
            }
            Target::NodePort {
                node: NodeIndex(on),
                service,
            } => {
                let on = *on;
                // The second service's policy is Local: a node asks its own backend only.
                let backend = if *service == 1 { on } else { self.second() };
                match leg(node, plane, on, Plane::Host) {
                    Fate::Passes => leg(on, Plane::Host, backend, Plane::Pod),
                    fate => fate,
                }
            }
        }
    }

    /// The node of the NodePorts' backend.
    fn second(&self) -> usize {
        1.min(self.names.len() - 1)
    }

    fn number(&self, name: &mesh_proto::NodeName) -> usize {
        self.names.iter().position(|of| of == name.as_str()).unwrap()
    }
}

/// A run that nothing is known of.
pub(crate) fn run_info() -> RunInfo {
    RunInfo {
        id: "test".to_owned(),
        ground: Ground::Lab,
        started: String::new(),
        finished: String::new(),
        strict: false,
        all_cells: true,
        interrupted: false,
        notes: Vec::new(),
    }
}

/// Facts of a host that say so much of its forwarding, and nothing of its firewall.
pub(crate) fn forwards(value: &str) -> HostFacts {
    let missing = [mesh_proto::NFTABLES_RULES, mesh_proto::LEGACY_RULES].map(|what| mesh_proto::Missing {
        what: what.to_owned(),
        why: "no CAP_NET_ADMIN".to_owned(),
    });
    HostFacts {
        sysctls: [("net.ipv4.ip_forward".to_owned(), value.to_owned())].into(),
        missing: missing.to_vec(),
        ..HostFacts::default()
    }
}

fn trip(round: &Round, cell: &PlannedCell, to: AgentIndex) -> Trip {
    let roster = round.roster();
    let node = |name: &mesh_proto::NodeName| roster.nodes.iter().position(|node| node.name == *name).unwrap();
    let (from, to) = (
        &roster.agents[cell.from.0 as usize].key,
        &roster.agents[to.0 as usize].key,
    );
    Trip {
        from: node(&from.node),
        from_plane: from.plane,
        to: node(&to.node),
        to_plane: to.plane,
        kind: cell.kind,
    }
}

fn address(node: usize, plane: Plane, host: u8) -> IpAddr {
    let node = u8::try_from(node).unwrap() + 1;
    IpAddr::V4(match plane {
        Plane::Pod => Ipv4Addr::new(10, 244, node, host),
        Plane::Host => Ipv4Addr::new(10, 0, 3, node),
    })
}

fn observe(id: ProbeId, kind: ProbeKind, tries: u32, fate: Fate) -> Observation {
    let rtt = Some(Rtt {
        min: Micros(80),
        p50: Micros(100),
        p99: Micros(150),
        max: Micros(150),
    });
    let whole = Observation {
        sent: tries,
        received: tries,
        rtt,
        ..Observation::new(id)
    };
    let path_mtu = |largest, told| {
        Some(PathMtu {
            largest,
            tried: 1450,
            told,
        })
    };
    let dead = |failure| Observation {
        received: 0,
        rtt: None,
        failure: Some(failure),
        ..whole.clone()
    };
    match fate {
        Fate::Passes if kind == ProbeKind::PathMtu => Observation {
            path_mtu: path_mtu(1450, false),
            ..whole
        },
        Fate::TimesOut => dead(Failure::new(Reason::Timeout)),
        Fate::Fails(failure) => dead(failure),
        Fate::Shrinks(largest) if kind == ProbeKind::PathMtu => Observation {
            received: 1,
            failure: Some(Failure::new(Reason::Timeout)),
            path_mtu: path_mtu(largest, false),
            ..whole
        },
        Fate::Shrinks(_) if kind == ProbeKind::Tcp => dead(Failure::new(Reason::DataStalled)),
        Fate::Passes | Fate::Shrinks(_) => whole,
        Fate::Loses(_) if matches!(kind, ProbeKind::PathMtu) => Observation {
            path_mtu: path_mtu(1450, false),
            ..whole
        },
        Fate::Loses(lost) => {
            let lost = lost.min(tries / 2);
            let flow = FlowTally {
                source_port: 40_000,
                sent: tries,
                received: tries - lost,
            };
            Observation {
                received: tries - lost,
                incomplete_flows: vec![flow],
                ..whole
            }
        }
    }
}

/// The failure of a rejecting firewall.
pub(crate) fn prohibited(by: IpAddr) -> Failure {
    let icmp = Some(IcmpError {
        kind: 3,
        code: 13,
        from: by,
    });
    Failure {
        icmp,
        ..Failure::new(Reason::AdminProhibited)
    }
}
