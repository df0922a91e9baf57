//! What an agent does with a probe, packet by packet: waves, SYNs and segments that are sent again, the search for a size.

use mesh_core::{PlannedCell, Target};
use mesh_proto::{
    Failure, FlowTally, Micros, Observation, PathMtu, Plane, PlannedProbe, ProbeKind, Reason, Rtt, WAVES,
};

use crate::cluster::{Site, place_of};
use crate::network::{Fate, Flow, Network};
use crate::packet::Trip;

/// What became of a probe, how many of its requests arrived, and what hit it.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) observation: Observation,
    pub(crate) arrived: u64,
    /// Faults that alone are why it is not whole; a bit for each.
    pub(crate) alone: u64,
}

/// The header, a nonce and a little more.
const SMALL: u32 = 120;
/// What a device without encapsulation takes (Ethernet).
const ETHERNET: u32 = 1_500;

/// A probe of an agent while it runs.
struct Attempt<'a> {
    network: &'a mut Network,
    from: (usize, Plane),
    cell: &'a PlannedCell,
    probe: &'a PlannedProbe,
    observation: Observation,
    arrived: u64,
    alone: u64,
}

/// A probe between agents that no rule touches and chance spares: then there is no packet to look at. `None` where one must be.
/// Chance is drawn from as if there were.
pub(crate) fn whole(
    network: &mut Network,
    from: (usize, Plane),
    cell: &PlannedCell,
    probe: &PlannedProbe,
) -> Option<Observation> {
    let Target::Agent(to) = cell.target else {
        return None;
    };
    let to = place_of(to);
    let wires = network.quiet(from, to)?;
    let (sent, round_trips) = match probe.kind {
        ProbeKind::Icmp | ProbeKind::Udp => {
            let sent = u32::from(probe.flows) * u32::from(probe.tries);
            (sent, sent)
        }
        ProbeKind::Tcp => (probe.flows.into(), u32::from(probe.flows) * (1 + SEGMENTS)),
        ProbeKind::PathMtu => {
            let sent = 2 * u32::from(probe.tries);
            (sent, sent)
        }
        ProbeKind::Tls | ProbeKind::DnsUdp | ProbeKind::DnsTcp => return None,
    };
    if !network.spares(u64::from(round_trips * wires), probe.flows) {
        return None;
    }
    let full = full(&network.site, from.1, to.1 == Plane::Pod);
    Some(Observation {
        sent,
        received: sent,
        rtt: Some(ROUND_TRIP),
        path_mtu: (probe.kind == ProbeKind::PathMtu).then_some(PathMtu {
            largest: full,
            tried: full,
            told: false,
        }),
        ..Observation::new(probe.id)
    })
}

/// How long everything takes that comes back.
const ROUND_TRIP: Rtt = Rtt {
    min: Micros(80),
    p50: Micros(100),
    p99: Micros(150),
    max: Micros(150),
};

/// Segments of a stream between agents.
const SEGMENTS: u32 = 12;

/// The largest packet that both ends would send each other.
fn full(site: &Site, from: Plane, to_pod: bool) -> u32 {
    if from == Plane::Pod || to_pod {
        ETHERNET - site.overhead()
    } else {
        ETHERNET
    }
}

/// Runs a probe.
pub(crate) fn observe(
    network: &mut Network,
    from: (usize, Plane),
    cell: &PlannedCell,
    probe: &PlannedProbe,
) -> Seen {
    let mut attempt = Attempt {
        network,
        from,
        cell,
        probe,
        observation: Observation::new(probe.id),
        arrived: 0,
        alone: 0,
    };
    let flows = attempt.flows();
    match probe.kind {
        ProbeKind::Icmp | ProbeKind::Udp | ProbeKind::DnsUdp => attempt.echo(&flows),
        ProbeKind::Tcp | ProbeKind::Tls | ProbeKind::DnsTcp => attempt.stream(&flows),
        ProbeKind::PathMtu => attempt.path_mtu(&flows),
    }
    let Attempt {
        mut observation,
        arrived,
        alone,
        ..
    } = attempt;
    if observation.received > 0 {
        observation.rtt = Some(ROUND_TRIP);
    }
    Seen {
        observation,
        arrived,
        alone,
    }
}

impl Attempt<'_> {
    fn flows(&mut self) -> Vec<Flow> {
        let has_choice = matches!(
            self.cell.target,
            Target::Api | Target::Dns { .. } | Target::NodePort { .. }
        );
        let mut flows: Vec<Flow> = Vec::with_capacity(self.probe.flows.into());
        for _ in 0..self.probe.flows {
            let flow = match flows.first() {
                Some(first) if !has_choice => self.network.sibling(first),
                _ => {
                    let choice = self.network.rng.usize(0..1 << 20);
                    let trip = Trip::new(
                        &self.network.site,
                        self.from,
                        &self.cell.target,
                        self.probe.kind,
                        choice,
                    );
                    self.network.flow(trip)
                }
            };
            flows.push(flow);
        }
        flows
    }

    /// The largest packet that both ends would send each other.
    fn full(&self) -> u32 {
        let to_pod = match self.cell.target {
            Target::Agent(to) => place_of(to).1 == Plane::Pod,
            _ => true,
        };
        full(&self.network.site, self.from.1, to_pod)
    }

    /// Takes note of who is to blame for a flow that was not whole.
    fn blame(&mut self, flow: &Flow, size: u32, whole: bool) {
        if flow.there.is_empty() && flow.back.is_empty() {
            return;
        }
        let (killers, nibblers) = (self.network.killers(flow, size), self.network.nibblers(flow));
        if !whole {
            let alone = if killers == 0 { nibblers } else { killers };
            if alone.is_power_of_two() {
                self.alone |= alone;
            }
        }
    }

    fn fail(&mut self, failure: Failure) {
        let rank = |failure: &Failure| match failure.reason {
            Reason::Timeout => 0,
            Reason::DataStalled => 1,
            _ => 2,
        };
        let known = self.observation.failure.as_ref();
        if known.is_none_or(|known| rank(known) < rank(&failure)) {
            self.observation.failure = Some(failure);
        }
    }

    fn echo(&mut self, flows: &[Flow]) {
        let mut tallies: Vec<FlowTally> = (0..self.probe.flows)
            .map(|flow| FlowTally {
                source_port: 40_000 + flow,
                sent: 0,
                received: 0,
            })
            .collect();
        let waves = if self.probe.kind == ProbeKind::DnsUdp {
            1
        } else {
            WAVES
        };
        for wave in 1..=waves {
            let silent = tallies.iter().all(|tally| tally.received == 0);
            let tries = if wave > 1 && silent { 1 } else { self.probe.tries };
            for (flow, tally) in flows.iter().zip(&mut tallies) {
                if wave > 1 && tally.received == tally.sent {
                    continue;
                }
                for _ in 0..tries {
                    tally.sent += 1;
                    match self.network.request(flow, SMALL) {
                        Fate::Arrived => {
                            self.arrived += 1;
                            tally.received += u32::from(self.network.answer(flow, SMALL));
                        }
                        Fate::Lost => {}
                        Fate::Failed(failure) => self.fail(failure),
                    }
                }
            }
            if wave > 1 && silent && tallies.iter().all(|tally| tally.received == 0) {
                break;
            }
        }
        for (flow, tally) in flows.iter().zip(&tallies) {
            self.observation.sent += tally.sent;
            self.observation.received += tally.received;
            self.blame(flow, SMALL, tally.sent == tally.received);
        }
        tallies.retain(|tally| tally.received < tally.sent);
        if !tallies.is_empty() {
            self.fail(Failure::new(Reason::Timeout));
        }
        self.observation.incomplete_flows = tallies;
    }

    /// How large the segments are that must pass after the handshake.
    fn segment(&self) -> u32 {
        match (self.probe.kind, &self.cell.target) {
            (ProbeKind::Tcp, Target::Agent(_)) | (ProbeKind::Tls, _) => self.full(),
            _ => SMALL,
        }
    }

    fn stream(&mut self, flows: &[Flow]) {
        const SYNS: u32 = 3;
        const TIMES_SENT: u32 = 4;
        let segments = if matches!(self.cell.target, Target::NodePort { .. }) {
            1
        } else {
            SEGMENTS
        };
        let size = self.segment();
        for (number, flow) in (50_000..).zip(flows) {
            self.observation.sent += 1;
            let mut failure = Failure::new(Reason::Timeout);
            let mut opened = None;
            for syn in 1..=SYNS {
                match self.network.round_trip(flow, SMALL) {
                    Fate::Arrived => opened = Some(syn),
                    Fate::Lost => continue,
                    Fate::Failed(told) => failure = told,
                }
                break;
            }
            self.arrived += u64::from(opened.is_some());
            let network = &mut *self.network;
            let mut passes = || (0..TIMES_SENT).any(|_| network.round_trip(flow, size) == Fate::Arrived);
            let moved = opened.is_some() && (0..segments).all(|_| passes());
            self.blame(flow, size, moved && opened == Some(1));
            if moved {
                self.observation.received += 1;
                self.observation.resent += u32::from(opened > Some(1));
                continue;
            }
            if opened.is_some() {
                failure = Failure::new(Reason::DataStalled);
            }
            self.fail(failure);
            self.observation.incomplete_flows.push(FlowTally {
                source_port: number,
                sent: 1,
                received: 0,
            });
        }
    }

    /// Whether one of so many copies of a size came back.
    fn passes(&mut self, flow: &Flow, size: u32) -> bool {
        let copies = self.probe.tries;
        let mut answered = 0;
        for _ in 0..copies {
            match self.network.round_trip(flow, size) {
                Fate::Arrived => answered += 1,
                Fate::Lost => {}
                Fate::Failed(failure) => self.fail(failure),
            }
        }
        self.observation.sent += u32::from(copies);
        self.observation.received += answered;
        answered > 0
    }

    fn path_mtu(&mut self, flows: &[Flow]) {
        let Some(flow) = flows.first() else { return };
        let full = self.full();
        let (small, large) = (self.passes(flow, SMALL), self.passes(flow, full));
        let found = if large || small && self.passes(flow, full) {
            Some(full)
        } else {
            small.then(|| self.search(flow, full))
        };
        self.blame(flow, full, found == Some(full));
        self.arrived = self.observation.received.into();
        self.observation.path_mtu = found.map(|largest| PathMtu {
            largest,
            tried: full,
            told: false,
        });
        if found == Some(full) {
            self.observation.failure = None;
        } else {
            self.fail(Failure::new(Reason::Timeout));
        }
    }

    fn search(&mut self, flow: &Flow, full: u32) -> u32 {
        let (mut low, mut high) = (SMALL, full);
        while high - low > 1 {
            let parts = 16.min(high - low - 1);
            let sizes: Vec<u32> = (1..=parts)
                .map(|part| low + (high - low) * part / (parts + 1))
                .collect();
            let answered: Vec<bool> = sizes.iter().map(|size| self.passes(flow, *size)).collect();
            let best = sizes
                .iter()
                .zip(&answered)
                .filter(|(_, passed)| **passed)
                .map(|(size, _)| *size)
                .max();
            low = best.unwrap_or(low);
            high = sizes.into_iter().find(|size| *size > low).unwrap_or(high);
        }
        low
    }
}
