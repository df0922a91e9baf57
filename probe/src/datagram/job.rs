//! One run's datagram probes inside the engine.

use std::collections::{BTreeMap, VecDeque};
use std::iter::{Enumerate, Peekable};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use mesh_net::{QueuedError, RealTime};
use mesh_proto::{
    AgentIdentity, AgentIndex, AgentKey, Expect, Failure, Micros, Observation, Pacing, PlannedProbe,
    ProbeKind, Reason,
};
use tokio::sync::mpsc;

use super::Due;
use super::machine::Machine;
use super::sockets::{Lane, Sockets};
use crate::echo::{EchoConfig, EchoProbe};
use crate::echo_packet::{ANSWER_LEN, MacKey, REQUEST_LEN, Request, Token, write_request};
use crate::failure;
use crate::identity;
use crate::moment::Moment;
use crate::pacer::{Pacer, tick};
use crate::path_mtu::{PathMtuConfig, PathMtuProbe};
use crate::way::Sending;

/// What the engine is asked to do for one run: probes of the kinds ICMP, UDP and path MTU.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) key: MacKey,
    pub(crate) own: AgentIndex,
    /// Everybody of the run, by number.
    pub(crate) agents: Arc<[AgentKey]>,
    pub(crate) pacing: Pacing,
    pub(crate) sending: Sending,
    pub(crate) probes: Vec<PlannedProbe>,
    pub(crate) seen: mpsc::UnboundedSender<Seen>,
}

/// What was seen of one probe.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) kind: ProbeKind,
    pub(crate) observation: Observation,
    /// The round-trip times of all answered tries.
    pub(crate) rtts: Vec<Micros>,
}

pub(super) struct JobState {
    job: Job,
    pacer: Pacer,
    began: Moment,
    /// How many probes there are, begun and not.
    count: u32,
    /// Those whose turn has not come, with their places.
    waiting: Peekable<Enumerate<std::vec::IntoIter<PlannedProbe>>>,
    /// Those under way, by their places: of a plan that is spread over a long time a few.
    probes: BTreeMap<usize, Probe>,
    /// Packets that are due and wait for the pacer.
    due: VecDeque<Due>,
}

pub(super) struct Probe {
    pub(super) machine: Machine,
    pub(super) to: SocketAddr,
    kind: ProbeKind,
    expect: Expect,
    v6: bool,
    /// When each try left, by the clock that stamps what comes in.
    sent: Vec<Option<RealTime>>,
    responder: Option<AgentIdentity>,
}

/// IP and UDP headers, for the sizes of whole packets (RFC 791, RFC 8200, RFC 768).
const HEADERS_V4: u32 = 20 + 8;
const HEADERS_V6: u32 = 40 + 8;

impl JobState {
    pub(super) fn new(mut job: Job, now: Moment) -> Self {
        let planned = std::mem::take(&mut job.probes);
        Self {
            pacer: Pacer::new(job.pacing, now),
            began: now,
            count: u32::try_from(planned.len()).unwrap_or(u32::MAX).max(1),
            waiting: planned.into_iter().enumerate().peekable(),
            probes: BTreeMap::new(),
            due: VecDeque::new(),
            job,
        }
    }

    /// Begins the next probe whose turn has come, and says its place: in the plan's order, which differs from agent to
    /// agent, evenly over the plan's spread. What cannot be tried is reported at once.
    pub(super) fn begin_next(&mut self, sockets: &mut Sockets, now: Moment) -> Option<usize> {
        let spread = Duration::from_millis(self.job.pacing.spread.0.into());
        loop {
            let place = u32::try_from(self.waiting.peek()?.0).unwrap_or(u32::MAX);
            let start = self.began + spread * place / self.count;
            if start > now {
                return None;
            }
            let (place, planned) = self.waiting.next()?;
            match Probe::start(&planned, sockets, start) {
                Ok(started) => {
                    self.probes.insert(place, started);
                    return Some(place);
                }
                Err(observation) => self.report(planned.kind, *observation, Vec::new()),
            }
        }
    }

    /// How often to look at it.
    pub(super) fn tick(&self) -> Duration {
        tick(self.job.pacing)
    }

    pub(super) fn is_done(&self) -> bool {
        self.probes.is_empty() && self.waiting.len() == 0
    }

    /// Nobody waits for what it sees any more.
    pub(super) fn is_abandoned(&self) -> bool {
        self.job.seen.is_closed()
    }

    /// Packets that are due, of one probe.
    pub(super) fn queue(&mut self, due: Vec<Due>) {
        self.due.extend(due);
    }

    /// The next packet that is due, if the pacer lets it go now.
    pub(super) fn next_due(&mut self, now: Moment) -> Option<Due> {
        if self.due.is_empty() || !self.pacer.take(now) {
            return None;
        }
        self.due.pop_front()
    }

    /// When the next packet may go, if one waits.
    pub(super) fn may_send_at(&self, now: Moment) -> Option<Moment> {
        (!self.due.is_empty()).then(|| self.pacer.ready_at(now))
    }

    /// The address that its packets leave from, if not the one that the kernel chooses.
    pub(super) fn source(&self) -> Option<IpAddr> {
        self.job.sending.source
    }

    pub(super) fn probe(&self, place: usize) -> Option<&Probe> {
        self.probes.get(&place)
    }

    pub(super) fn probe_mut(&mut self, place: usize) -> Option<&mut Probe> {
        self.probes.get_mut(&place)
    }

    /// A packet is about to leave.
    pub(super) fn sent(&mut self, place: usize, number: u32, now: Moment) {
        let Some(probe) = self.probe_mut(place) else {
            return;
        };
        probe.machine.handle_sent(number, now);
        let number = usize::try_from(number).unwrap_or(usize::MAX);
        if probe.sent.len() <= number && number < 10_000 {
            probe.sent.resize(number + 1, None);
        }
        if let Some(sent) = probe.sent.get_mut(number) {
            *sent = Some(RealTime::now());
        }
    }

    /// The datagram of a try; `None` for ICMP, whose messages the socket makes.
    pub(super) fn packet(&self, place: usize, lane: Lane, token: Token, size: u32) -> Option<Vec<u8>> {
        let probe = self.probe(place)?;
        let len = match lane {
            Lane::Icmp { .. } => return None,
            Lane::Udp { .. } => REQUEST_LEN,
            Lane::PathMtu { v6 } => {
                let headers = if v6 { HEADERS_V6 } else { HEADERS_V4 };
                usize::try_from(size.saturating_sub(headers))
                    .unwrap_or(REQUEST_LEN)
                    .max(ANSWER_LEN)
            }
        };
        let mut packet = vec![0; len];
        write_request(
            &mut packet,
            &self.job.key,
            Request {
                token,
                from: self.job.own,
                kind: probe.kind,
                uncounted: self.job.sending.uncounted || matches!(probe.expect, Expect::Anyone),
            },
        );
        Some(packet)
    }

    /// The kernel refused to send.
    pub(super) fn refused(&mut self, place: usize, number: u32, failure: Failure, told: Option<u32>) {
        if let Some(probe) = self.probe_mut(place) {
            probe.machine.handle_failure(number, failure, told);
        }
    }

    /// An ICMP echo reply.
    pub(super) fn handle_echo(&mut self, place: usize, number: u32, from: IpAddr, at: RealTime) {
        let Some(probe) = self.probe_mut(place) else {
            return;
        };
        if from == probe.to.ip() {
            probe.answered(number, at);
        }
    }

    /// A datagram with one of our tokens.
    pub(super) fn handle_datagram(
        &mut self,
        place: usize,
        number: u32,
        token: Token,
        packet: &[u8],
        from: SocketAddr,
        at: RealTime,
    ) {
        let Some(probe) = self.probe(place) else { return };
        // An application's connected socket would not take an answer from elsewhere either.
        if from != probe.to {
            return;
        }
        let confirmed = match probe.expect {
            Expect::Anyone => Ok(None),
            Expect::Agent(index) => {
                let expected = usize::try_from(index.0)
                    .ok()
                    .and_then(|index| self.job.agents.get(index));
                identity::confirm(packet, &self.job.key, token, expected).map(Some)
            }
        };
        let Some(probe) = self.probe_mut(place) else {
            return;
        };
        match confirmed {
            Ok(identity) => {
                probe.answered(number, at);
                probe.responder = identity.or(probe.responder.take());
            }
            Err(failure) => probe.machine.handle_failure(number, failure, None),
        }
    }

    /// An entry of the error queue.
    pub(super) fn handle_error(&mut self, place: usize, number: u32, error: &QueuedError) {
        let Some(failure) = failure::of_queued(error, "sendmsg") else {
            return;
        };
        let told = (failure.reason == Reason::TooBig).then_some(error.mtu);
        if let Some(probe) = self.probe_mut(place) {
            probe.machine.handle_failure(number, failure, told);
        }
    }

    /// Reports a probe that is done.
    pub(super) fn finish(&mut self, place: usize, port_of: impl Fn(Lane) -> u16) {
        let Some(probe) = self.probes.remove(&place) else {
            return;
        };
        let v6 = probe.v6;
        let (mut observation, rtts) = match &probe.machine {
            Machine::Icmp { echo, .. } => {
                let mut seen = echo.observation(|_| 0);
                seen.incomplete_flows.clear();
                (seen, echo.rtts().to_vec())
            }
            Machine::Udp { echo, .. } => (
                echo.observation(|flow| port_of(Lane::Udp { v6, flow })),
                echo.rtts().to_vec(),
            ),
            Machine::PathMtu { search, .. } => (search.observation(), search.rtts().to_vec()),
        };
        observation.responder = probe.responder;
        self.report(probe.kind, observation, rtts);
    }

    fn report(&self, kind: ProbeKind, observation: Observation, rtts: Vec<Micros>) {
        // A receiver that is gone is seen by `is_abandoned`.
        let _ = self.job.seen.send(Seen {
            kind,
            observation,
            rtts,
        });
    }
}

impl Probe {
    fn start(planned: &PlannedProbe, sockets: &mut Sockets, now: Moment) -> Result<Self, Box<Observation>> {
        let v6 = planned.address.is_ipv6();
        let untried = |why: String| Box::new(Observation::untried(planned.id, why));
        let interval = Duration::from_micros(planned.interval.0.into());
        let timeout = Duration::from_millis(planned.timeout.0.into());
        let echo = |flows| {
            let config = EchoConfig {
                id: planned.id,
                flows,
                tries: planned.tries,
                interval,
                timeout,
            };
            EchoProbe::start(config, now)
        };
        let machine = match planned.kind {
            ProbeKind::Icmp => {
                sockets
                    .open_icmp(v6)
                    .map_err(|error| untried(error.to_string()))?;
                Machine::Icmp { v6, echo: echo(1) }
            }
            ProbeKind::Udp => {
                for flow in 0..planned.flows {
                    let lane = Lane::Udp { v6, flow };
                    sockets
                        .open_udp(lane)
                        .map_err(|errno| untried(format!("no UDP socket: {errno}")))?;
                }
                Machine::Udp {
                    v6,
                    echo: echo(planned.flows),
                }
            }
            ProbeKind::PathMtu => {
                let lane = Lane::PathMtu { v6 };
                sockets
                    .open_udp(lane)
                    .map_err(|errno| untried(format!("no UDP socket: {errno}")))?;
                let config = path_mtu_config(planned, v6, interval, timeout)?;
                Machine::PathMtu {
                    v6,
                    search: PathMtuProbe::start(config, now),
                }
            }
            other => return Err(untried(format!("{other} is no datagram probe"))),
        };
        Ok(Self {
            machine,
            to: SocketAddr::new(planned.address, planned.port.0),
            kind: planned.kind,
            expect: planned.expect,
            v6,
            sent: Vec::new(),
            responder: None,
        })
    }

    fn answered(&mut self, number: u32, at: RealTime) {
        let sent = usize::try_from(number)
            .ok()
            .and_then(|number| self.sent.get(number).copied().flatten());
        // A clock that was set back in between makes a round trip of nothing.
        let rtt = sent.and_then(|sent| at.since(sent)).unwrap_or_default();
        self.machine.handle_answer(number, rtt);
    }
}

fn path_mtu_config(
    planned: &PlannedProbe,
    v6: bool,
    interval: Duration,
    timeout: Duration,
) -> Result<PathMtuConfig, Box<Observation>> {
    let headers = if v6 { HEADERS_V6 } else { HEADERS_V4 };
    let full = mesh_net::device_mtu(planned.address).map_err(|errno| {
        let failure = failure::of_errno(errno, "sendmsg");
        Box::new(Observation {
            sent: 1,
            failure: Some(failure),
            ..Observation::new(planned.id)
        })
    })?;
    let smallest = u32::try_from(ANSWER_LEN).unwrap_or(0) + headers;
    // The largest datagram there is (RFC 768), for devices without a limit of their own.
    let full = full.clamp(smallest, 65_535);
    Ok(PathMtuConfig {
        id: planned.id,
        full,
        smallest,
        copies: planned.tries,
        interval,
        timeout,
    })
}
