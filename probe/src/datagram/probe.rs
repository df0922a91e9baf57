//! One datagram probe under way: its state machine, and what the driver knows beside it.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use mesh_net::{QueuedError, RealTime};
use mesh_proto::{AgentIdentity, AgentIndex, Expect, Failure, Observation, PlannedProbe, ProbeKind, Reason};

use super::job::{Job, Seen};
use super::machine::Machine;
use super::sockets::{Lane, Sockets};
use crate::echo::{EchoConfig, EchoProbe};
use crate::echo_packet::{ANSWER_LEN, REQUEST_LEN, Request, Token};
use crate::failure;
use crate::identity;
use crate::moment::Moment;
use crate::path_mtu::{PathMtuConfig, PathMtuProbe};

#[derive(Debug)]
pub(super) struct Probe {
    pub(super) job: u64,
    pub(super) machine: Machine,
    pub(super) to: SocketAddr,
    /// It waits to be looked at, since something came in for it.
    pub(super) is_touched: bool,
    kind: ProbeKind,
    expect: Expect,
    v6: bool,
    /// When each try left, by the clock that stamps what comes in.
    left: Vec<Option<RealTime>>,
    responder: Option<AgentIdentity>,
}

/// IP and UDP headers, for the sizes of whole packets (RFC 791, RFC 8200, RFC 768).
const HEADERS_V4: u32 = 20 + 8;
const HEADERS_V6: u32 = 40 + 8;

impl Probe {
    /// A probe whose turn has come. What cannot be tried is an observation already.
    pub(super) fn start(
        job: u64,
        planned: &PlannedProbe,
        sockets: &mut Sockets,
        now: Moment,
    ) -> Result<Self, Box<Observation>> {
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
                    sockets
                        .open_udp(Lane::Udp { v6, flow })
                        .map_err(|errno| untried(format!("no UDP socket: {errno}")))?;
                }
                Machine::Udp {
                    v6,
                    echo: echo(planned.flows),
                }
            }
            ProbeKind::PathMtu => {
                sockets
                    .open_udp(Lane::PathMtu { v6 })
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
            job,
            machine,
            to: SocketAddr::new(planned.address, planned.port.0),
            is_touched: false,
            kind: planned.kind,
            expect: planned.expect,
            v6,
            left: Vec::with_capacity(usize::from(planned.flows) * usize::from(planned.tries)),
            responder: None,
        })
    }

    /// What a try says, if it is a datagram of UDP: from whom, and what for.
    pub(super) fn request(&self, own: AgentIndex, token: Token, uncounted: bool) -> Request {
        Request {
            token,
            from: own,
            kind: self.kind,
            uncounted: uncounted || matches!(self.expect, Expect::Anyone),
        }
    }

    /// A try left, or is about to.
    pub(super) fn sent(&mut self, number: u32, now: Moment, at: RealTime) {
        self.machine.handle_sent(number, now);
        let number = usize::try_from(number).unwrap_or(usize::MAX);
        if self.left.len() <= number && number < 10_000 {
            self.left.resize(number + 1, None);
        }
        if let Some(left) = self.left.get_mut(number) {
            *left = Some(at);
        }
    }

    /// The kernel says when a try left its last device: later than the call that sent it.
    pub(super) fn departed(&mut self, number: u32, at: RealTime) {
        let number = usize::try_from(number).unwrap_or(usize::MAX);
        if let Some(Some(left)) = self.left.get_mut(number) {
            *left = at.max(*left);
        }
    }

    /// The kernel refused to send.
    pub(super) fn refused(&mut self, number: u32, failure: Failure, told: Option<u32>) {
        self.machine.handle_failure(number, failure, told);
    }

    /// An ICMP echo reply.
    pub(super) fn handle_echo(&mut self, number: u32, from: IpAddr, at: RealTime) {
        if from == self.to.ip() {
            self.answered(number, at);
        }
    }

    /// A datagram with one of our tokens.
    pub(super) fn handle_datagram(
        &mut self,
        number: u32,
        job: &Job,
        token: Token,
        packet: &[u8],
        from: SocketAddr,
        at: RealTime,
    ) {
        // An application's connected socket would not take an answer from elsewhere either.
        if from != self.to {
            return;
        }
        let confirmed = match self.expect {
            Expect::Anyone => Ok(None),
            Expect::Agent(index) => {
                let expected = usize::try_from(index.0)
                    .ok()
                    .and_then(|index| job.agents.get(index));
                identity::confirm(packet, &job.key, token, expected).map(Some)
            }
        };
        match confirmed {
            Ok(identity) => {
                self.answered(number, at);
                self.responder = identity.or(self.responder.take());
            }
            Err(failure) => self.machine.handle_failure(number, failure, None),
        }
    }

    /// An entry of the error queue.
    pub(super) fn handle_error(&mut self, number: u32, error: &QueuedError) {
        let Some(failure) = failure::of_queued(error, "sendmsg") else {
            return;
        };
        let told = (failure.reason == Reason::TooBig).then_some(error.mtu);
        self.machine.handle_failure(number, failure, told);
    }

    /// What was seen, once it is done.
    pub(super) fn seen(self, sockets: &Sockets) -> Seen {
        let v6 = self.v6;
        let (mut observation, rtts) = match self.machine {
            Machine::Icmp { echo, .. } => {
                let mut seen = echo.observation(|_| 0);
                seen.incomplete_flows.clear();
                (seen, echo.into_rtts())
            }
            Machine::Udp { echo, .. } => (
                echo.observation(|flow| sockets.port_of(Lane::Udp { v6, flow })),
                echo.into_rtts(),
            ),
            Machine::PathMtu { search, .. } => (search.observation(), search.into_rtts()),
        };
        observation.responder = self.responder;
        Seen {
            kind: self.kind,
            observation,
            rtts,
        }
    }

    fn answered(&mut self, number: u32, at: RealTime) {
        let left = usize::try_from(number)
            .ok()
            .and_then(|number| self.left.get(number).copied().flatten());
        // A clock that was set back in between makes a round trip of nothing.
        let rtt = left.and_then(|left| at.since(left)).unwrap_or_default();
        self.machine.handle_answer(number, rtt);
    }
}

/// How long the datagram of a try is; `size` is that of the whole packet, where the probe chooses it.
pub(super) fn payload_len(lane: Lane, size: u32) -> usize {
    let headers = match lane {
        Lane::Icmp { .. } | Lane::Udp { .. } => return REQUEST_LEN,
        Lane::PathMtu { v6: false } => HEADERS_V4,
        Lane::PathMtu { v6: true } => HEADERS_V6,
    };
    usize::try_from(size.saturating_sub(headers))
        .unwrap_or(REQUEST_LEN)
        .max(ANSWER_LEN)
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
