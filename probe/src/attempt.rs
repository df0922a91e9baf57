//! One try of a probe that has a socket of its own (TCP, TLS, DNS), and what all tries of a probe say together.

use std::time::Duration;

use mesh_proto::{AgentIdentity, Certificate, Failure, FlowTally, Micros, Observation, PlannedProbe};

use crate::datagram::Seen;
use crate::failure::more_telling;
use crate::rtt;

/// One flow that was tried: a source port of its own.
#[derive(Debug)]
pub(crate) struct Attempt {
    /// Its source port; 0 if there was none.
    pub(crate) source_port: u16,
    /// SYNs or queries that left: a flow on which three were lost is dead.
    pub(crate) sent: u32,
    pub(crate) outcome: Outcome,
}

/// What became of it.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It was answered, in full.
    Answered(Answered),
    /// It failed on the network, or the kernel refused.
    Failed(Failure),
    /// It could not be tried, for want of a file descriptor or the like.
    Untried(String),
}

/// An answer.
#[derive(Debug, Default)]
pub(crate) struct Answered {
    pub(crate) rtt: Duration,
    /// Only after a SYN, a query or data were sent again.
    pub(crate) resent: bool,
    pub(crate) responder: Option<AgentIdentity>,
    pub(crate) certificate: Option<Certificate>,
}

impl Attempt {
    pub(crate) fn untried(why: impl Into<String>) -> Self {
        Self {
            source_port: 0,
            sent: 0,
            outcome: Outcome::Untried(why.into()),
        }
    }

    pub(crate) fn failed(source_port: u16, sent: u32, failure: Failure) -> Self {
        Self {
            source_port,
            sent,
            outcome: Outcome::Failed(failure),
        }
    }
}

/// What all tries of one probe say together.
pub(crate) fn observation(probe: &PlannedProbe, attempts: Vec<Attempt>) -> Seen {
    let mut seen = Observation::new(probe.id);
    let mut rtts = Vec::new();
    let mut untried = None;
    for attempt in attempts {
        match attempt.outcome {
            Outcome::Answered(answered) => {
                seen.sent += 1;
                seen.received += 1;
                seen.resent += u32::from(answered.resent);
                rtts.push(rtt::micros(answered.rtt));
                seen.responder = answered.responder.or(seen.responder);
                seen.certificate = answered.certificate.or(seen.certificate);
            }
            Outcome::Failed(failure) => {
                let sent = attempt.sent.max(1);
                seen.sent += sent;
                let tally = FlowTally {
                    source_port: attempt.source_port,
                    sent,
                    received: 0,
                };
                seen.incomplete_flows.push(tally);
                seen.failure = more_telling(seen.failure.take(), Some(failure));
            }
            Outcome::Untried(why) => untried = Some(why),
        }
    }
    if seen.sent == 0 {
        seen.untried = untried;
    }
    seen.rtt = rtt::summary(&rtts);
    let rtts: Vec<Micros> = rtts;
    Seen {
        kind: probe.kind,
        observation: seen,
        rtts,
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use mesh_proto::{Expect, Millis, Port, ProbeId, ProbeKind, Reason};

    use super::*;

    fn probe() -> PlannedProbe {
        PlannedProbe {
            id: ProbeId(3),
            kind: ProbeKind::Tcp,
            address: Ipv4Addr::LOCALHOST.into(),
            port: Port(1),
            expect: Expect::Anyone,
            flows: 3,
            tries: 1,
            interval: Micros(0),
            timeout: Millis(1),
            dns: None,
        }
    }

    fn answered(resent: bool) -> Attempt {
        let answered = Answered {
            rtt: Duration::from_micros(5),
            resent,
            ..Answered::default()
        };
        Attempt {
            source_port: 9,
            sent: 1,
            outcome: Outcome::Answered(answered),
        }
    }

    #[test]
    fn a_dead_flow_counts_each_of_its_syns() {
        let dead = Attempt::failed(7, 3, Failure::new(Reason::Timeout));
        let seen = observation(&probe(), vec![answered(false), dead, answered(true)]).observation;
        assert_eq!((seen.sent, seen.received, seen.resent), (5, 2, 1));
        assert_eq!(
            seen.incomplete_flows,
            [FlowTally {
                source_port: 7,
                sent: 3,
                received: 0
            }]
        );
        assert_eq!(seen.failure, Some(Failure::new(Reason::Timeout)));
        assert_eq!(seen.untried, None);
    }

    #[test]
    fn what_could_not_be_tried_is_no_failure() {
        let seen = observation(&probe(), vec![Attempt::untried("EMFILE"), answered(false)]).observation;
        assert_eq!((seen.sent, seen.untried), (1, None), "one try is enough to tell");
        let seen = observation(&probe(), vec![Attempt::untried("EMFILE")]).observation;
        assert_eq!(
            (seen.sent, seen.failure, seen.untried),
            (0, None, Some("EMFILE".to_owned()))
        );
    }
}
