//! Echo probes, ICMP and UDP: a state machine for one target, without clock or socket.
//!
//! The first wave sends every try of every flow. When part of it came back, flows that lost something are tried again,
//! up to three waves in all, so that a share of loss is told from a flow that never comes through. When nothing came
//! back, each flow is tried once more after a second, as TCP does with a SYN: a neighbour entry whose first request was
//! lost costs that long, and is no outage. If silence lasts, the probe ends with its time-out.

use std::time::Duration;

use mesh_proto::{Failure, FlowTally, Micros, Observation, ProbeId, Reason, WAVES};

use crate::failure::more_telling;
use crate::moment::Moment;
use crate::rtt::{micros, summary};

/// What a probe tries.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EchoConfig {
    pub(crate) id: ProbeId,
    pub(crate) flows: u16,
    pub(crate) tries: u16,
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
}

/// A try that is due: its number, and the flow that it goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Transmit {
    pub(crate) number: u32,
    pub(crate) flow: u16,
}

/// The state machine.
#[derive(Debug)]
pub(crate) struct EchoProbe {
    config: EchoConfig,
    tries: Vec<Try>,
    wave: u32,
    rtts: Vec<Micros>,
    failure: Option<Failure>,
    done: bool,
}

#[derive(Debug, Clone, Copy)]
struct Try {
    flow: u16,
    due: Moment,
    state: TryState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TryState {
    Due,
    /// Handed out, not yet sent.
    Queued,
    Sent(Moment),
    Answered,
    Failed,
}

/// An answer that is this late is taken for lost when the flow is tried again, unless round trips are slower.
const SETTLE: Duration = Duration::from_millis(300);
/// Silence that lasts longer than the kernel waits for a neighbour to answer (Linux `net/core/neighbour.c`, RETRANS_TIME of a
/// second), and a server for the answer to its first query.
const RESEND_AFTER: Duration = Duration::from_millis(1_200);
/// An ICMP error came and no answer: the path speaks, and need not be waited for as long as silence.
const AFTER_ERROR: Duration = Duration::from_secs(1);

impl EchoProbe {
    pub(crate) fn start(config: EchoConfig, now: Moment) -> Self {
        // Of most probes the first wave is the last: what it needs is taken once.
        let most = usize::from(config.flows) * usize::from(config.tries);
        let mut probe = Self {
            config,
            tries: Vec::with_capacity(most),
            wave: 0,
            rtts: Vec::with_capacity(most),
            failure: None,
            done: false,
        };
        probe.next_wave(now, config.tries, |_| true);
        probe
    }

    /// The next try that is due; the caller says when it was sent.
    pub(crate) fn poll_transmit(&mut self, now: Moment) -> Option<Transmit> {
        let due = |of: &Try| of.state == TryState::Due && of.due <= now;
        let number = self.tries.iter().position(due)?;
        self.tries[number].state = TryState::Queued;
        Some(Transmit {
            number: u32::try_from(number).unwrap_or(u32::MAX),
            flow: self.tries[number].flow,
        })
    }

    /// A try left.
    pub(crate) fn handle_sent(&mut self, number: u32, now: Moment) {
        if let Some(of) = self.get(number).filter(|of| of.state == TryState::Queued) {
            of.state = TryState::Sent(now);
        }
    }

    /// The answer to a try came, after `rtt`.
    pub(crate) fn handle_answer(&mut self, number: u32, rtt: Duration) {
        let Some(of) = self.get(number) else { return };
        // The second answer of a duplicated datagram says nothing new.
        if matches!(of.state, TryState::Sent(_) | TryState::Queued | TryState::Failed) {
            of.state = TryState::Answered;
            self.rtts.push(micros(rtt));
        }
    }

    /// A try failed: an ICMP error, a local error, or somebody else answered.
    pub(crate) fn handle_failure(&mut self, number: u32, failure: Failure) {
        let Some(of) = self.get(number) else { return };
        if of.state == TryState::Answered {
            return;
        }
        of.state = TryState::Failed;
        self.failure = more_telling(self.failure.take(), Some(failure));
    }

    /// Lets time pass: may begin another wave or end the probe.
    pub(crate) fn handle_timeout(&mut self, now: Moment) {
        if self.done
            || self
                .tries
                .iter()
                .any(|of| matches!(of.state, TryState::Due | TryState::Queued))
        {
            return;
        }
        if self.tries.iter().all(|of| of.state == TryState::Answered) {
            self.done = true;
            return;
        }
        let answered = !self.rtts.is_empty();
        let all_told = self
            .tries
            .iter()
            .all(|of| matches!(of.state, TryState::Answered | TryState::Failed));
        if self.resend_at().is_some_and(|at| now >= at) {
            self.next_wave(now, 1, |_| true);
            return;
        }
        if !all_told && self.end_of_wave().is_some_and(|end| now < end) {
            return;
        }
        if answered && self.wave < WAVES {
            let incomplete = self.incomplete();
            self.next_wave(now, self.config.tries, |flow| incomplete.contains(&flow));
        } else {
            self.done = true;
        }
    }

    /// When to call again at the latest; `None` when it is done.
    pub(crate) fn next_deadline(&self) -> Option<Moment> {
        if self.done {
            return None;
        }
        let due = self
            .tries
            .iter()
            .filter(|of| of.state == TryState::Due)
            .map(|of| of.due)
            .min();
        due.or_else(|| self.resend_at())
            .or_else(|| self.end_of_wave())
            .or(Some(Moment::default()))
    }

    pub(crate) fn is_done(&self) -> bool {
        self.done
    }

    /// What was seen; `source_port` names the port of a flow.
    pub(crate) fn observation(&self, source_port: impl Fn(u16) -> u16) -> Observation {
        let count = |like: &dyn Fn(&Try) -> bool| {
            u32::try_from(self.tries.iter().filter(|of| like(of)).count()).unwrap_or(u32::MAX)
        };
        let answered = |of: &Try| of.state == TryState::Answered;
        let received = count(&answered);
        let lost_silently = self.tries.iter().any(|of| matches!(of.state, TryState::Sent(_)));
        let flows = self.incomplete().into_iter().map(|flow| FlowTally {
            source_port: source_port(flow),
            sent: count(&|of| of.flow == flow),
            received: count(&|of| of.flow == flow && answered(of)),
        });
        let timeout = lost_silently.then(|| Failure::new(Reason::Timeout));
        Observation {
            sent: count(&|_| true),
            received,
            incomplete_flows: flows.collect(),
            rtt: summary(&self.rtts),
            failure: more_telling(self.failure.clone(), timeout),
            ..Observation::new(self.config.id)
        }
    }

    /// The round-trip times of all answered tries.
    pub(crate) fn into_rtts(self) -> Vec<Micros> {
        self.rtts
    }

    fn get(&mut self, number: u32) -> Option<&mut Try> {
        self.tries.get_mut(usize::try_from(number).ok()?)
    }

    fn next_wave(&mut self, now: Moment, tries: u16, takes_part: impl Fn(u16) -> bool) {
        self.wave += 1;
        for number in 0..tries {
            let due = now + self.config.interval * u32::from(number);
            let flows = (0..self.config.flows).filter(|flow| takes_part(*flow));
            self.tries.extend(flows.map(|flow| Try {
                flow,
                due,
                state: TryState::Due,
            }));
        }
    }

    /// Flows of which not all tries were answered.
    fn incomplete(&self) -> Vec<u16> {
        let mut flows: Vec<u16> = self
            .tries
            .iter()
            .filter(|of| of.state != TryState::Answered)
            .map(|of| of.flow)
            .collect();
        flows.sort_unstable();
        flows.dedup();
        flows
    }

    /// When each flow is tried once more, since nothing was heard of the first wave.
    fn resend_at(&self) -> Option<Moment> {
        let silent = self.wave == 1 && self.rtts.is_empty() && self.failure.is_none();
        let at = self.last_sent(self.tries.len())? + RESEND_AFTER;
        (silent && RESEND_AFTER < self.config.timeout).then_some(at)
    }

    /// When the last of the first tries was sent that were and are not answered.
    fn last_sent(&self, first: usize) -> Option<Moment> {
        let sent = |of: &Try| match of.state {
            TryState::Sent(at) => Some(at),
            _ => None,
        };
        self.tries.iter().take(first).filter_map(sent).max()
    }

    /// When the tries that were sent are given up.
    fn end_of_wave(&self) -> Option<Moment> {
        if self.rtts.is_empty() && self.failure.is_none() {
            // A dead path costs one time-out: what was sent again has less.
            let first = usize::from(self.config.flows) * usize::from(self.config.tries);
            return self.last_sent(first).map(|last| last + self.config.timeout);
        }
        let last = self.last_sent(self.tries.len())?;
        let slowest = self
            .rtts
            .iter()
            .max()
            .map(|rtt| Duration::from_micros(rtt.0.into()));
        let wait = match slowest {
            // The last wave's answers may be as late as they like within reason.
            Some(slowest) if self.wave == WAVES => (slowest * 8).max(AFTER_ERROR),
            Some(slowest) => (slowest * 4).max(SETTLE),
            None => AFTER_ERROR,
        };
        Some(last + wait.min(self.config.timeout))
    }
}

#[cfg(test)]
mod tests;
