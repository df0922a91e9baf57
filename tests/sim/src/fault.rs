//! Faults: what is broken, drawn at random, as changes of the network at a place.

use std::rc::Rc;

use mesh_proto::{Plane, Protocol};

use crate::cluster::Site;
use crate::packet::{Hook, Server};
use crate::rule::{Action, Rule};

/// Something that is broken. Nodes are numbers in the order of the roster.
#[expect(
    missing_docs,
    reason = "the fields are named after what the variant speaks of"
)]
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// The node has no power.
    Off { node: usize },
    /// The node's cable is out; its links are elsewhere.
    CableOut { node: usize },
    /// Nothing passes between these nodes and the others.
    Border { inside: Vec<usize> },
    /// Nothing passes between two nodes, in either direction.
    PairCut { a: usize, b: usize },
    /// Nothing passes from one node to another: an access list, a stale neighbour entry.
    OneWayCut { from: usize, to: usize },
    /// The host firewall stops encapsulated packets.
    OverlayFiltered {
        node: usize,
        ingress: bool,
        reject: bool,
    },
    /// The overlay's device is down, or listens elsewhere.
    OverlayDevice { node: usize },
    /// The overlay's device is down on each node.
    OverlayDeadEverywhere,
    /// A node's overlay sends what is for another into the void.
    StalePeer { from: usize, to: usize },
    /// The node does not forward at all.
    NoForwarding { node: usize },
    /// A firewall drops or rejects what the node would forward; `stateful`: only what opens a connection.
    ForwardFiltered {
        node: usize,
        reject: bool,
        stateful: bool,
    },
    /// No node forwards.
    ForwardDroppedEverywhere,
    /// A node has no routes to the pods of others.
    NoRoutes { node: usize },
    /// Others have no routes to a node's pods, nor it to theirs.
    NoRoutesBothWays { node: usize },
    /// The network drops packets that show pods' addresses.
    PodsDropped { node: Option<usize> },
    /// A wire takes no packet larger than this.
    SmallWire { node: Option<usize>, limit: u32 },
    /// A protocol is dropped as a node's input, or wherever the node handles it.
    ProtocolFiltered { node: Option<usize>, protocol: Protocol },
    /// A share of what a node sends or receives is lost.
    Loss { node: usize, ingress: f64, egress: f64 },
    /// A share of what goes from one node to another is lost.
    PairLoss {
        from: usize,
        to: usize,
        share: f64,
        both: bool,
    },
    /// One of several paths to or from a node is bad.
    BadPath { node: usize, paths: u64 },
    /// A node has no service rules.
    NoServiceRules { node: usize },
    /// A DNS endpoint does not answer, or nobody listens there any more.
    DnsEndpointDead { number: usize, closed: bool },
    /// None of them does.
    DnsDead { closed: bool },
    /// The API servers refuse or are silent.
    ApiDead { closed: bool },
    /// A service has no endpoints: each node rejects on its behalf.
    NoEndpoints { service: Service },
    /// All backends of a NodePort are gone.
    BackendsDead { service: usize, closed: bool },
    /// An egress policy lets pods reach NodePorts on their own node only, or on others only.
    NodePortPolicy { service: usize, own_node_fails: bool },
    /// A policy closes a node's pods for what comes in.
    PodIngressClosed { node: usize },
    /// A policy closes a node's pods for what goes out.
    PodEgressClosed { node: usize },
    /// Loopback is down in the node's own place.
    NoLoopback { node: usize },
    /// The connection table is full: nothing new is let through.
    ConntrackFull { node: usize },
    /// A rule in OUTPUT stops what the node sends.
    OutputBlocked { node: usize },
    /// The node's own input is closed to other nodes, but for the overlay.
    InputClosed { node: usize, reject: bool },
}

/// A service with an address of the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// The API.
    Api,
    /// DNS.
    Dns,
    /// A NodePort service, by number.
    NodePort(usize),
}

/// EPERM, from a rule in OUTPUT.
const EPERM: i32 = 1;

impl Fault {
    /// Draws a fault that this cluster can have.
    #[expect(clippy::too_many_lines, reason = "one arm for each kind of fault")]
    pub(crate) fn draw(site: &Site, rng: &mut fastrand::Rng) -> Self {
        let nodes = site.nodes();
        let node = rng.usize(0..nodes);
        let other = (node + rng.usize(1..nodes)) % nodes;
        let (a, b) = (node.min(other), node.max(other));
        let service = rng.usize(0..site.node_ports.len());
        let (coin, dice) = (rng.bool(), rng.f64());
        loop {
            let fault = match rng.usize(0..34) {
                0 => Self::Off { node },
                1 => Self::CableOut { node },
                2 => {
                    let count = rng.usize(2..=(nodes / 3).clamp(2, 40));
                    let mut inside = rng.choose_multiple(0..nodes, count);
                    inside.sort_unstable();
                    Self::Border { inside }
                }
                3 => Self::PairCut { a, b },
                4 => Self::OneWayCut {
                    from: node,
                    to: other,
                },
                5 | 6 if site.encapsulated() => Self::OverlayFiltered {
                    node,
                    ingress: dice < 0.6,
                    reject: coin,
                },
                7 if site.encapsulated() => Self::OverlayDevice { node },
                8 if site.encapsulated() => Self::OverlayDeadEverywhere,
                9 if site.encapsulated() => Self::StalePeer {
                    from: node,
                    to: other,
                },
                10 => Self::NoForwarding { node },
                11 => Self::ForwardFiltered {
                    node,
                    reject: true,
                    stateful: coin,
                },
                12 => Self::ForwardFiltered {
                    node,
                    reject: false,
                    stateful: coin,
                },
                13 => Self::ForwardDroppedEverywhere,
                14 => Self::NoRoutes { node },
                15 => Self::NoRoutesBothWays { node },
                16 if !site.encapsulated() => Self::PodsDropped {
                    node: coin.then_some(node),
                },
                17 => Self::SmallWire {
                    node: Some(node),
                    limit: rng.u32(1_200..=1_440),
                },
                18 => Self::SmallWire {
                    node: None,
                    limit: rng.u32(1_200..=1_440),
                },
                19 => {
                    let protocol = [Protocol::Icmp, Protocol::Tcp, Protocol::Udp][rng.usize(0..3)];
                    Self::ProtocolFiltered {
                        node: (dice < 0.8).then_some(node),
                        protocol,
                    }
                }
                20 => {
                    let share = 0.05 + dice * 0.3;
                    let (ingress, egress) = [(share, share), (share, 0.0), (0.0, share)][rng.usize(0..3)];
                    Self::Loss {
                        node,
                        ingress,
                        egress,
                    }
                }
                21 => Self::PairLoss {
                    from: node,
                    to: other,
                    share: 0.2 + dice * 0.4,
                    both: coin,
                },
                22 => Self::BadPath {
                    node,
                    paths: rng.u64(2..=4),
                },
                23 => Self::NoServiceRules { node },
                24 => Self::DnsEndpointDead {
                    number: rng.usize(0..site.dns.len()),
                    closed: coin,
                },
                25 => Self::DnsDead { closed: coin },
                26 => Self::ApiDead { closed: coin },
                27 => Self::NoEndpoints {
                    service: [Service::Api, Service::Dns, Service::NodePort(service)][rng.usize(0..3)],
                },
                28 => Self::BackendsDead {
                    service,
                    closed: coin,
                },
                29 => Self::NodePortPolicy {
                    service,
                    own_node_fails: coin,
                },
                30 if coin => Self::PodIngressClosed { node },
                30 => Self::PodEgressClosed { node },
                31 => Self::NoLoopback { node },
                32 if coin => Self::ConntrackFull { node },
                32 => Self::OutputBlocked { node },
                33 => Self::InputClosed { node, reject: coin },
                _ => continue,
            };
            return fault;
        }
    }

    /// What it changes in the network; `number` is its place among the faults of the case.
    #[expect(clippy::too_many_lines, reason = "one arm for each kind of fault")]
    pub(crate) fn rules(&self, number: usize, site: &Site) -> Vec<Rule> {
        let rule = |hook, action| Rule::new(number, hook, action);
        let dropped = |hook| rule(hook, Action::Drop);
        let on_wire = |node: usize, action: Action| {
            vec![
                rule(Hook::Wire, action).at(node),
                rule(Hook::Wire, action).peer(node),
            ]
        };
        let stop = |reject: bool| {
            if reject {
                Action::Reject(3, 13)
            } else {
                Action::Drop
            }
        };
        let dead = |closed: bool| if closed { Action::Close } else { Action::Drop };
        match *self {
            // Who wants to send to it gets no neighbour, and its kernel says so (`net/ipv4/arp.c`).
            Self::Off { node } => {
                vec![
                    dropped(Hook::Wire).at(node),
                    rule(Hook::Wire, Action::Reject(3, 1)).peer(node),
                ]
            }
            Self::CableOut { node } => on_wire(node, Action::Drop),
            Self::Border { ref inside } => {
                let border: Vec<bool> = (0..site.nodes()).map(|node| inside.contains(&node)).collect();
                vec![Rule {
                    border: Some(Rc::from(border)),
                    ..dropped(Hook::Wire)
                }]
            }
            Self::PairCut { a, b } => {
                vec![
                    dropped(Hook::Wire).at(a).peer(b),
                    dropped(Hook::Wire).at(b).peer(a),
                ]
            }
            Self::OneWayCut { from, to } => vec![dropped(Hook::Wire).at(from).peer(to)],
            Self::OverlayFiltered {
                node,
                ingress,
                reject,
            } => {
                let hook = if ingress { Hook::Input } else { Hook::Output };
                vec![Rule {
                    outer: Some(true),
                    ..rule(hook, stop(reject)).at(node)
                }]
            }
            Self::OverlayDevice { node } => {
                vec![dropped(Hook::Encap).at(node), dropped(Hook::Decap).at(node)]
            }
            Self::OverlayDeadEverywhere => vec![dropped(Hook::Decap)],
            Self::StalePeer { from, to } => vec![dropped(Hook::Encap).at(from).peer(to)],
            Self::NoForwarding { node } => vec![dropped(Hook::Forward).at(node)],
            Self::ForwardFiltered {
                node,
                reject,
                stateful,
            } => {
                let opening = stateful.then_some(true);
                let off_node = Some(false);
                vec![Rule {
                    opening,
                    inside: off_node,
                    ..rule(Hook::Forward, stop(reject)).at(node)
                }]
            }
            Self::ForwardDroppedEverywhere => vec![Rule {
                inside: Some(false),
                ..dropped(Hook::Forward)
            }],
            Self::NoRoutes { node } => vec![dropped(Hook::Route).at(node)],
            Self::NoRoutesBothWays { node } => {
                vec![dropped(Hook::Route).at(node), dropped(Hook::Route).peer(node)]
            }
            Self::PodsDropped { node: Some(node) } => {
                let mut rules = on_wire(node, Action::Drop);
                for rule in &mut rules {
                    rule.pod_addressed = Some(true);
                }
                rules
            }
            Self::PodsDropped { node: None } => {
                vec![Rule {
                    pod_addressed: Some(true),
                    ..dropped(Hook::Wire)
                }]
            }
            Self::SmallWire {
                node: Some(node),
                limit,
            } => on_wire(node, Action::Larger(limit)),
            Self::SmallWire { node: None, limit } => vec![rule(Hook::Wire, Action::Larger(limit))],
            Self::ProtocolFiltered { node, protocol } => {
                let hooks = [Hook::Input, Hook::Forward];
                let filter = |hook| Rule {
                    protocol: Some(protocol),
                    inside: Some(false),
                    opening: Some(true),
                    at: node,
                    ..dropped(hook)
                };
                hooks.into_iter().map(filter).collect()
            }
            Self::Loss {
                node,
                ingress,
                egress,
            } => {
                let lossy = |share| rule(Hook::Wire, Action::Share(share));
                let mut rules = Vec::new();
                if egress > 0.0 {
                    rules.push(lossy(egress).at(node));
                }
                if ingress > 0.0 {
                    rules.push(lossy(ingress).peer(node));
                }
                rules
            }
            Self::PairLoss {
                from,
                to,
                share,
                both,
            } => {
                let lossy = rule(Hook::Wire, Action::Share(share));
                let mut rules = vec![lossy.clone().at(from).peer(to)];
                if both {
                    rules.push(lossy.at(to).peer(from));
                }
                rules
            }
            Self::BadPath { node, paths } => on_wire(node, Action::Path(paths)),
            Self::NoServiceRules { node } => vec![
                Rule {
                    by_cluster_ip: Some(true),
                    ..dropped(Hook::Service).at(node)
                },
                Rule {
                    by_node_port: Some(true),
                    ..rule(Hook::Service, Action::Close).at(node)
                },
            ],
            Self::DnsEndpointDead {
                number: endpoint,
                closed,
            } => {
                vec![Rule {
                    server: Some(Server::Dns(endpoint)),
                    ..rule(Hook::Server, dead(closed))
                }]
            }
            Self::DnsDead { closed } => (0..site.dns.len())
                .map(|endpoint| Rule {
                    server: Some(Server::Dns(endpoint)),
                    ..rule(Hook::Server, dead(closed))
                })
                .collect(),
            Self::ApiDead { closed } => {
                vec![Rule {
                    server: Some(Server::Api),
                    ..rule(Hook::Server, dead(closed))
                }]
            }
            Self::NoEndpoints { service } => no_endpoints(number, site, service),
            Self::BackendsDead { service, closed } => {
                vec![Rule {
                    service: Some(service),
                    ..rule(Hook::Server, dead(closed))
                }]
            }
            Self::NodePortPolicy {
                service,
                own_node_fails,
            } => vec![Rule {
                service: Some(service),
                to_pod: Some(own_node_fails),
                client: Some(Plane::Pod),
                opening: Some(true),
                ..dropped(Hook::PodOut)
            }],
            Self::PodIngressClosed { node } => vec![pods_of_agents(dropped(Hook::PodIn), node)],
            Self::PodEgressClosed { node } => vec![pods_of_agents(dropped(Hook::PodOut), node)],
            Self::NoLoopback { node } => {
                vec![Rule {
                    client: Some(Plane::Host),
                    ..dropped(Hook::Loopback).at(node)
                }]
            }
            Self::ConntrackFull { node } => [
                (Hook::Output, Action::Refuse(EPERM)),
                (Hook::Input, Action::Drop),
                (Hook::Forward, Action::Drop),
            ]
            .into_iter()
            .map(|(hook, action)| Rule {
                opening: Some(true),
                ..rule(hook, action).at(node)
            })
            .collect(),
            Self::OutputBlocked { node } => {
                vec![Rule {
                    opening: Some(true),
                    ..rule(Hook::Output, Action::Refuse(EPERM)).at(node)
                }]
            }
            Self::InputClosed { node, reject } => {
                let closed = Rule {
                    outer: Some(false),
                    opening: Some(true),
                    ..rule(Hook::Input, stop(reject))
                };
                vec![closed.at(node)]
            }
        }
    }
}

/// What a policy stops; it does not know agents from other pods, but those of DNS and of services have policies of their own.
fn pods_of_agents(rule: Rule, node: usize) -> Rule {
    let opening = Some(true);
    match rule.hook {
        Hook::PodIn => Rule {
            server: Some(Server::Agent(node, Plane::Pod)),
            opening,
            ..rule.at(node)
        },
        _ => Rule {
            client: Some(Plane::Pod),
            opening,
            ..rule.at(node)
        },
    }
}

fn no_endpoints(number: usize, site: &Site, service: Service) -> Vec<Rule> {
    let rejects = Rule::new(number, Hook::Service, Action::Reject(3, 3));
    match service {
        Service::Api => {
            vec![Rule {
                server: Some(Server::Api),
                by_cluster_ip: Some(true),
                ..rejects
            }]
        }
        Service::Dns => (0..site.dns.len())
            .map(|endpoint| Rule {
                server: Some(Server::Dns(endpoint)),
                by_cluster_ip: Some(true),
                ..rejects.clone()
            })
            .collect(),
        Service::NodePort(service) => vec![Rule {
            service: Some(service),
            ..rejects
        }],
    }
}
