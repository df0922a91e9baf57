//! The network with its faults: what becomes of a packet.

use std::net::IpAddr;

use mesh_proto::{Failure, IcmpError, LocalError, Plane, Protocol, Reason};

use crate::cluster::{Site, agent_of};
use crate::packet::Hook;
use crate::packet::{Hop, Server, Trip};
use crate::rule::{Action, Rule};

/// A cluster, the rules that its faults made, and chance.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) site: Site,
    pub(crate) rules: Vec<Rule>,
    at_node: Vec<Vec<usize>>,
    anywhere: Vec<usize>,
    pub(crate) rng: fastrand::Rng,
    loss: f64,
    /// Wires to cross until the next packet is lost by chance.
    until_loss: u64,
    /// Wires of a round trip between agents: on one node or two, from and to which plane.
    wires: [Option<u32>; 8],
}

/// A rule that hits a trip's packets, and how much larger they are there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effect {
    pub(crate) rule: usize,
    overhead: u32,
    outer: bool,
    at: usize,
}

/// The way of a flow, with what hits its packets.
#[derive(Debug, Clone)]
pub(crate) struct Flow {
    pub(crate) trip: Trip,
    pub(crate) there: Vec<Effect>,
    pub(crate) back: Vec<Effect>,
    wires: (u32, u32),
    hash: u64,
}

/// What became of one packet, or of a request and its answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Fate {
    Arrived,
    Lost,
    Failed(Failure),
}

impl Network {
    pub(crate) fn new(site: Site, rules: Vec<Rule>, loss: f64, rng: fastrand::Rng) -> Self {
        let mut at_node = vec![Vec::new(); site.nodes()];
        let mut anywhere = Vec::new();
        for (number, rule) in rules.iter().enumerate() {
            match rule.anchor() {
                Some(node) => at_node[node].push(number),
                None => anywhere.push(number),
            }
        }
        let mut network = Self {
            site,
            rules,
            at_node,
            anywhere,
            rng,
            loss,
            until_loss: 0,
            wires: [None; 8],
        };
        network.until_loss = network.draw_gap();
        network
    }

    /// How many wires are crossed before the next loss: geometric.
    fn draw_gap(&mut self) -> u64 {
        if self.loss <= 0.0 {
            return u64::MAX;
        }
        let gap = (1.0 - self.rng.f64()).ln() / (1.0 - self.loss).ln();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a finite number above 0"
        )]
        let gap = gap as u64;
        gap
    }

    pub(crate) fn flow(&mut self, trip: Trip) -> Flow {
        let there = self.effects(&trip, &trip.there);
        let back = self.effects(&trip, &trip.back);
        let wires = |hops: &[Hop]| {
            let wires = hops.iter().filter(|hop| hop.hook == Hook::Wire).count();
            u32::try_from(wires).unwrap_or(u32::MAX)
        };
        let wires = (wires(&trip.there), wires(&trip.back));
        let hash = self.rng.u64(..);
        Flow {
            trip,
            there,
            back,
            wires,
            hash,
        }
    }

    fn effects(&self, trip: &Trip, hops: &[Hop]) -> Vec<Effect> {
        if self.rules.is_empty() {
            return Vec::new();
        }
        let overlay = self.site.overlay().rides_on_udp().then_some(Protocol::Udp);
        let mut found = Vec::new();
        for hop in hops {
            let mut add = |number: usize| {
                if self.rules[number].hits(trip, hop, overlay) {
                    let overhead = if hop.outer { self.site.overhead() } else { 0 };
                    found.push(Effect {
                        rule: number,
                        overhead,
                        outer: hop.outer,
                        at: hop.at,
                    });
                }
            };
            self.at_node[hop.at].iter().copied().for_each(&mut add);
            if hop.peer != hop.at {
                self.at_node[hop.peer].iter().copied().for_each(&mut add);
            }
            self.anywhere.iter().copied().for_each(&mut add);
        }
        found
    }

    /// A flow of the same trip with other ports.
    pub(crate) fn sibling(&mut self, flow: &Flow) -> Flow {
        Flow {
            hash: self.rng.u64(..),
            ..flow.clone()
        }
    }

    /// Where no rule can touch what goes between two agents: the wires of a round trip.
    pub(crate) fn quiet(&mut self, from: (usize, Plane), to: (usize, Plane)) -> Option<u32> {
        let is_quiet = |node: usize| self.at_node[node].is_empty();
        if !self.anywhere.is_empty() || !is_quiet(from.0) || !is_quiet(to.0) {
            return None;
        }
        let place = 4 * usize::from(from.0 == to.0) + 2 * from.1 as usize + to.1 as usize;
        if self.wires[place].is_none() {
            let target = mesh_core::Target::Agent(agent_of(to.0, to.1));
            let trip = Trip::new(&self.site, from, &target, mesh_proto::ProbeKind::Icmp, 0);
            let wires = trip
                .there
                .iter()
                .chain(&trip.back)
                .filter(|hop| hop.hook == Hook::Wire);
            self.wires[place] = u32::try_from(wires.count()).ok();
        }
        self.wires[place]
    }

    /// Whether chance spares a probe with so many flows to one target that would cross so many wires. If it does, that much
    /// chance is used up.
    pub(crate) fn spares(&mut self, wires: u64, flows: u16) -> bool {
        if self.until_loss < wires {
            return false;
        }
        self.until_loss -= wires;
        _ = self.rng.usize(0..1 << 20);
        for _ in 0..flows {
            _ = self.rng.u64(..);
        }
        true
    }

    fn chance_takes(&mut self, wires: u32) -> bool {
        let wires = u64::from(wires);
        if self.until_loss >= wires {
            self.until_loss -= wires;
            return false;
        }
        self.until_loss = self.draw_gap();
        true
    }

    /// A request of so many bytes.
    pub(crate) fn request(&mut self, flow: &Flow, size: u32) -> Fate {
        self.pass(flow, true, size)
    }

    /// Its answer; an ICMP error goes to whoever answers, so the client sees nothing of it.
    pub(crate) fn answer(&mut self, flow: &Flow, size: u32) -> bool {
        self.pass(flow, false, size) == Fate::Arrived
    }

    /// A request and its answer.
    pub(crate) fn round_trip(&mut self, flow: &Flow, size: u32) -> Fate {
        match self.request(flow, size) {
            Fate::Arrived if !self.answer(flow, size) => Fate::Lost,
            fate => fate,
        }
    }

    fn pass(&mut self, flow: &Flow, there: bool, size: u32) -> Fate {
        let (effects, wires) = if there {
            (&flow.there, flow.wires.0)
        } else {
            (&flow.back, flow.wires.1)
        };
        if self.chance_takes(wires) {
            return Fate::Lost;
        }
        for effect in effects {
            match self.rules[effect.rule].action {
                Action::Larger(limit) if size + effect.overhead > limit => return Fate::Lost,
                Action::Share(share) if self.rng.f64() < share => return Fate::Lost,
                Action::Path(paths) if on_bad_path(flow, effect, there, paths) => return Fate::Lost,
                Action::Larger(_) | Action::Share(_) | Action::Path(_) => {}
                Action::Refuse(errno) if flow.trip.protocol != Protocol::Tcp && !effect.outer => {
                    return Fate::Failed(Failure {
                        local: Some(LocalError {
                            errno,
                            call: "sendmsg".to_owned(),
                        }),
                        ..Failure::new(Reason::LocalError)
                    });
                }
                Action::Drop | Action::Refuse(_) => return Fate::Lost,
                Action::Close if flow.trip.protocol == Protocol::Tcp => {
                    return Fate::Failed(Failure::new(Reason::Refused));
                }
                Action::Close => return self.icmp(3, 3, self.address_of(flow)),
                // What comes back about an encapsulated packet goes to the node that encapsulated it.
                Action::Reject(..) if effect.outer => return Fate::Lost,
                Action::Reject(kind, code) => {
                    let from = Site::address(effect.at, Plane::Host, 0);
                    return self.icmp(kind, code, from);
                }
            }
        }
        Fate::Arrived
    }

    fn address_of(&self, flow: &Flow) -> IpAddr {
        match flow.trip.server {
            Server::Agent(node, plane) => Site::address(node, plane, 10),
            Server::Api => Site::api_service(),
            Server::Dns(number) => Site::address(self.site.dns[number], Plane::Pod, 20),
            Server::Backend { service, number } => {
                Site::address(self.site.node_ports[service].backends[number], Plane::Pod, 30)
            }
        }
    }

    fn icmp(&mut self, kind: u8, code: u8, from: IpAddr) -> Fate {
        if self.rng.f64() >= self.site.icmp_errors {
            return Fate::Lost;
        }
        let reason = match (kind, code) {
            (3, 3) => Reason::Refused,
            (3, 9 | 10 | 13) => Reason::AdminProhibited,
            (3, 0) => Reason::NetUnreachable,
            (11, _) => Reason::TtlExceeded,
            _ => Reason::HostUnreachable,
        };
        Fate::Failed(Failure {
            icmp: Some(IcmpError { kind, code, from }),
            ..Failure::new(reason)
        })
    }

    /// The faults that take a whole flow's packets of such a size, whatever chance does; a bit for each.
    pub(crate) fn killers(&self, flow: &Flow, size: u32) -> u64 {
        let kills = |effect: &&Effect| match self.rules[effect.rule].action {
            Action::Larger(limit) => size + effect.overhead > limit,
            action => !action.is_partial(),
        };
        let effects = flow.there.iter().chain(&flow.back).filter(kills);
        effects.fold(0, |faults, effect| faults | 1 << self.rules[effect.rule].fault)
    }

    /// The faults that take some of a flow's packets by chance; a bit for each.
    pub(crate) fn nibblers(&self, flow: &Flow) -> u64 {
        let partial = |effect: &&Effect| self.rules[effect.rule].action.is_partial();
        let effects = flow.there.iter().chain(&flow.back).filter(partial);
        effects.fold(0, |faults, effect| faults | 1 << self.rules[effect.rule].fault)
    }
}

/// SplitMix64's finaliser (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", OOPSLA 2014).
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Bare ICMP has no ports, and paths are chosen among for TCP and UDP only; inside a tunnel everything has its ports, which
/// follow the inner flow.
fn on_bad_path(flow: &Flow, effect: &Effect, there: bool, paths: u64) -> bool {
    if flow.trip.protocol == Protocol::Icmp && !effect.outer {
        return false;
    }
    let direction = if there { 0x5eed } else { 0xfeed };
    mix(flow.hash ^ mix(direction + effect.rule as u64)).is_multiple_of(paths)
}
