//! One run's datagram probes inside the engine: whose turn comes when, and how fast packets may leave.

use std::collections::VecDeque;
use std::iter::{Enumerate, Peekable};
use std::sync::Arc;
use std::time::Duration;

use mesh_net::{BATCH, Errno};
use mesh_proto::{AgentIndex, AgentKey, Micros, Observation, Pacing, PlannedProbe, ProbeKind};
use tokio::sync::mpsc;

use super::probe::Probe;
use super::sockets::{Lane, Sockets};
use crate::echo_packet::{MacKey, Token};
use crate::moment::Moment;
use crate::pacer::{Pacer, SHORTEST_TICK, Turns, next_tick, tick};
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

/// A packet that is due.
#[derive(Debug, Clone, Copy)]
pub(super) struct Due {
    pub(super) token: Token,
    pub(super) lane: Lane,
    /// Of the whole packet, where the probe chooses it.
    pub(super) size: u32,
}

pub(super) struct JobState {
    pub(super) job: Job,
    pacer: Pacer,
    turns: Turns,
    /// Those whose turn has not come, with their places in the plan.
    waiting: Peekable<Enumerate<std::vec::IntoIter<PlannedProbe>>>,
    /// How many are under way: of a plan that is spread over a long time a few.
    under_way: usize,
    /// Packets that are due and wait for the pacer.
    due: VecDeque<Due>,
    blocked: Option<Blocked>,
}

/// The kernel takes no more packets for now.
#[derive(Debug, Clone, Copy)]
struct Blocked {
    since: Moment,
    until: Moment,
}

/// Probes begin only as fast as packets leave: more than this would only wait.
const MOST_DUE: usize = 2 * BATCH;
/// How soon a kernel that takes no more packets is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(1);
/// A send buffer is full as long as packets wait in it for a neighbour's address: three seconds, then the kernel gives
/// the neighbour up (Linux `net/core/neighbour.c`).
const FULL_BUFFER: Duration = Duration::from_secs(5);
/// A device's queue is emptied at the speed of its link. If it lasts, it is something else that the kernel calls so.
const FULL_QUEUE: Duration = Duration::from_millis(20);

impl JobState {
    pub(super) fn new(mut job: Job, now: Moment, seed: u64) -> Self {
        let planned = std::mem::take(&mut job.probes);
        Self {
            pacer: Pacer::new(job.pacing, now),
            turns: Turns::new(job.pacing, planned.len(), now, seed),
            waiting: planned.into_iter().enumerate().peekable(),
            under_way: 0,
            due: VecDeque::new(),
            blocked: None,
            job,
        }
    }

    /// Begins the next probe whose turn has come: in the plan's order, which differs from agent to agent. What cannot be
    /// tried is reported at once. `number` is this job's.
    pub(super) fn begin_next(&mut self, number: u64, sockets: &mut Sockets, now: Moment) -> Option<Probe> {
        while self.due.len() < MOST_DUE {
            let start = self.turns.of(self.waiting.peek()?.0);
            if start > now {
                return None;
            }
            let (_, planned) = self.waiting.next()?;
            match Probe::start(number, &planned, sockets, start) {
                Ok(started) => {
                    self.under_way += 1;
                    return Some(started);
                }
                Err(observation) => self.report(Seen {
                    kind: planned.kind,
                    observation: *observation,
                    rtts: Vec::new(),
                }),
            }
        }
        None
    }

    /// When to look at it next, at the latest, where something may be heard `soon`.
    pub(super) fn next_look(&self, now: Moment, soon: Duration) -> Moment {
        let tick = tick(self.job.pacing);
        let has_somebody_waiting = tick == SHORTEST_TICK && self.under_way > 0;
        let next = next_tick(now, tick);
        if has_somebody_waiting {
            next.min(now + soon)
        } else {
            next
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.under_way == 0 && self.waiting.len() == 0
    }

    /// Nobody waits for what it sees any more.
    pub(super) fn is_abandoned(&self) -> bool {
        self.job.seen.is_closed()
    }

    pub(super) fn queue(&mut self, due: Due) {
        self.due.push_back(due);
    }

    /// The next packet that is due, if it may leave now.
    pub(super) fn next_due(&mut self, now: Moment) -> Option<Due> {
        let is_blocked = self.blocked.is_some_and(|blocked| blocked.until > now);
        if self.due.is_empty() || is_blocked || !self.pacer.take(now) {
            return None;
        }
        self.due.pop_front()
    }

    /// When the next packet may go, if one waits.
    pub(super) fn may_send_at(&self, now: Moment) -> Option<Moment> {
        let unblocked = self.blocked.map_or(now, |blocked| blocked.until);
        (!self.due.is_empty()).then(|| self.pacer.ready_at(now).max(unblocked))
    }

    /// The kernel took a packet.
    pub(super) fn left(&mut self) {
        self.blocked = None;
    }

    /// The kernel did not take a packet. Whether that is only for want of room and may pass: then the job waits a moment,
    /// and what is put back leaves later.
    pub(super) fn waits_for_room(&mut self, errno: Errno, now: Moment) -> bool {
        let patience = match errno {
            Errno::WOULD_BLOCK => FULL_BUFFER,
            Errno::NO_BUFFERS => FULL_QUEUE,
            _ => return false,
        };
        let since = self.blocked.map_or(now, |blocked| blocked.since);
        if self.blocked.is_none() {
            tracing::debug!(%errno, "the kernel takes no more packets, sending slows down");
        }
        let until = now + ASK_AGAIN;
        self.blocked = Some(Blocked { since, until });
        now.since(since) < patience
    }

    /// Packets that could not leave: before all others, in their order.
    pub(super) fn put_back(&mut self, packets: &[Due]) {
        for due in packets.iter().rev() {
            self.due.push_front(*due);
        }
    }

    /// Reports a probe that was under way and is done.
    pub(super) fn finish(&mut self, seen: Seen) {
        self.under_way -= 1;
        self.report(seen);
    }

    fn report(&self, seen: Seen) {
        // A receiver that is gone is seen by `is_abandoned`.
        let _ = self.job.seen.send(seen);
    }
}

#[cfg(test)]
#[path = "job_tests.rs"]
mod tests;
