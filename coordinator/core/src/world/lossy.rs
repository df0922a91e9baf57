//! Loss in the pretended cluster: each packet's fate is drawn, and probes do what the agent's do about it: they send in
//! waves, SYNs and segments are sent again, sizes are searched.

use std::cell::Cell;

use mesh_proto::{
    Failure, FlowTally, Micros, Observation, PathMtu, PlannedProbe, ProbeKind, Reason, Rtt, WAVES,
};

/// From one node to another.
pub(crate) type Hop = (usize, usize);

/// What is lost between nodes.
pub(crate) struct Lossy {
    /// The share of the packets from one node to another that is lost.
    pub(crate) share: Box<dyn Fn(usize, usize) -> f64>,
    /// To this node, of four paths one is bad.
    pub(crate) bad_path_to: Option<usize>,
    state: Cell<u64>,
}

/// What became of a probe, and how many of its requests arrived.
pub(crate) struct Seen {
    pub(crate) observation: Observation,
    pub(crate) arrived: u64,
}

/// A probe's way: the hops there, whether a hash of ports spreads it over paths, and the largest packet that passes.
pub(crate) struct Way<'a> {
    pub(crate) hops: &'a [Hop],
    pub(crate) has_ports: bool,
    pub(crate) limit: Option<u32>,
}

/// One flow: which of the paths it takes there and back.
#[derive(Clone, Copy)]
struct Flow {
    there: u64,
    back: u64,
}

impl Lossy {
    pub(crate) fn new(seed: u64, share: impl Fn(usize, usize) -> f64 + 'static) -> Self {
        Self {
            share: Box::new(share),
            bad_path_to: None,
            state: Cell::new(seed),
        }
    }

    pub(crate) fn bad_path(seed: u64, node: usize) -> Self {
        Self {
            bad_path_to: Some(node),
            ..Self::new(seed, |_, _| 0.0)
        }
    }

    /// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", OOPSLA 2014).
    fn draw(&self) -> u64 {
        self.state
            .set(self.state.get().wrapping_add(0x9e37_79b9_7f4a_7c15));
        let mut z = self.state.get();
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn happens(&self, share: f64) -> bool {
        f64::from(u32::try_from(self.draw() >> 32).unwrap()) / f64::from(u32::MAX) < share
    }

    fn flow(&self) -> Flow {
        Flow {
            there: self.draw() % 4,
            back: self.draw() % 4,
        }
    }

    fn arrives(&self, way: &Way<'_>, path: u64, back: bool) -> bool {
        way.hops.iter().all(|(from, to)| {
            let (from, to) = if back { (*to, *from) } else { (*from, *to) };
            let bad = way.has_ports && from != to && self.bad_path_to == Some(to) && path == 1;
            from == to || !bad && !self.happens((self.share)(from, to))
        })
    }

    /// Whether a request arrived, and whether its answer did too.
    fn round_trip(&self, way: &Way<'_>, flow: Flow) -> (bool, bool) {
        let there = self.arrives(way, flow.there, false);
        (there, there && self.arrives(way, flow.back, true))
    }

    pub(crate) fn observe(&self, probe: &PlannedProbe, way: &Way<'_>) -> Seen {
        match probe.kind {
            ProbeKind::Icmp | ProbeKind::Udp | ProbeKind::DnsUdp => self.echo(probe, way),
            ProbeKind::Tcp | ProbeKind::Tls | ProbeKind::DnsTcp => self.stream(probe, way),
            ProbeKind::PathMtu => self.path_mtu(probe, way),
        }
    }

    fn echo(&self, probe: &PlannedProbe, way: &Way<'_>) -> Seen {
        let flows: Vec<Flow> = (0..probe.flows).map(|_| self.flow()).collect();
        let mut tallies: Vec<FlowTally> = (0..probe.flows)
            .map(|flow| FlowTally {
                source_port: 40_000 + flow,
                sent: 0,
                received: 0,
            })
            .collect();
        let mut arrived = 0;
        let waves = if probe.kind == ProbeKind::DnsUdp { 1 } else { WAVES };
        for wave in 1..=waves {
            let silent = tallies.iter().all(|tally| tally.received == 0);
            let tries = if wave > 1 && silent { 1 } else { probe.tries };
            for (flow, tally) in flows.iter().zip(&mut tallies) {
                if wave > 1 && tally.received == tally.sent {
                    continue;
                }
                for _ in 0..tries {
                    let (there, back) = self.round_trip(way, *flow);
                    tally.sent += 1;
                    tally.received += u32::from(back);
                    arrived += u64::from(there);
                }
            }
            if wave > 1 && silent && tallies.iter().all(|tally| tally.received == 0) {
                break;
            }
        }
        let sent: u32 = tallies.iter().map(|tally| tally.sent).sum();
        let received: u32 = tallies.iter().map(|tally| tally.received).sum();
        tallies.retain(|tally| tally.received < tally.sent);
        Seen {
            observation: Observation {
                sent,
                received,
                incomplete_flows: tallies,
                rtt: (received > 0).then(rtt),
                failure: (received < sent).then(|| Failure::new(Reason::Timeout)),
                ..Observation::new(probe.id)
            },
            arrived,
        }
    }

    fn stream(&self, probe: &PlannedProbe, way: &Way<'_>) -> Seen {
        const SYNS: u32 = 3;
        const SEGMENTS: u32 = 12;
        const TIMES_SENT: u32 = 4;
        let mut observation = Observation::new(probe.id);
        let mut arrived = 0;
        for number in 0..probe.flows {
            let flow = self.flow();
            observation.sent += 1;
            let opened = (1..=SYNS).find(|_| self.round_trip(way, flow).1);
            arrived += u64::from(opened.is_some());
            let is_large = probe.kind == ProbeKind::Tcp && way.limit.is_some();
            let moved = opened.is_some()
                && !is_large
                && (0..SEGMENTS).all(|_| (0..TIMES_SENT).any(|_| self.round_trip(way, flow).1));
            if moved {
                observation.received += 1;
                observation.resent += u32::from(opened > Some(1));
                continue;
            }
            let reason = if opened.is_some() {
                Reason::DataStalled
            } else {
                Reason::Timeout
            };
            // That it opened tells more.
            let known = observation
                .failure
                .take()
                .filter(|known| known.reason == Reason::DataStalled);
            observation.failure = known.or_else(|| Some(Failure::new(reason)));
            observation.incomplete_flows.push(FlowTally {
                source_port: 50_000 + number,
                sent: 1,
                received: 0,
            });
        }
        observation.rtt = (observation.received > 0).then(rtt);
        Seen { observation, arrived }
    }

    fn path_mtu(&self, probe: &PlannedProbe, way: &Way<'_>) -> Seen {
        const FULL: u32 = 1450;
        let flow = self.flow();
        let mut observation = Observation::new(probe.id);
        let mut passes = |size: u32, copies: u32| {
            let answered = (0..copies)
                .filter(|_| way.limit.is_none_or(|limit| size <= limit) && self.round_trip(way, flow).1)
                .count();
            observation.sent += copies;
            observation.received += u32::try_from(answered).unwrap();
            answered > 0
        };
        let copies = u32::from(probe.tries);
        let (small, large) = (passes(120, copies), passes(FULL, copies));
        let found = if large || small && passes(FULL, copies) {
            Some(FULL)
        } else if small {
            let (mut low, mut high) = (120, FULL);
            while high - low > 1 {
                let parts = 16.min(high - low - 1);
                let sizes = (1..=parts).map(|part| low + (high - low) * part / (parts + 1));
                let answered: Vec<(u32, bool)> = sizes.map(|size| (size, passes(size, copies))).collect();
                let best = answered
                    .iter()
                    .filter(|(_, passed)| *passed)
                    .map(|(size, _)| *size)
                    .max();
                low = best.unwrap_or(low);
                let above = answered.iter().map(|(size, _)| *size).find(|size| *size > low);
                high = above.unwrap_or(high);
            }
            Some(low)
        } else {
            None
        };
        observation.path_mtu = found.map(|largest| PathMtu {
            largest,
            tried: FULL,
            told: false,
        });
        observation.failure = (found != Some(FULL)).then(|| Failure::new(Reason::Timeout));
        observation.rtt = (observation.received > 0).then(rtt);
        let arrived = observation.received.into();
        Seen { observation, arrived }
    }
}

fn rtt() -> Rtt {
    Rtt {
        min: Micros(80),
        p50: Micros(100),
        p99: Micros(150),
        max: Micros(150),
    }
}
