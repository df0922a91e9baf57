//! The datagram engine: one task per agent that drives all ICMP, UDP and path-MTU probes.
//!
//! The task is [`Engine::run`], owned by [`DatagramEngine`]; it ends when that is dropped, and cancelling it at any
//! await loses nothing but probes under way. Jobs come by an unbounded channel, since the service that sends them
//! bounds how many there are. What was seen goes out by the job's own channel; when its receiver is gone the job is
//! dropped. Sockets are kept for the agent's life, one per flow: overlays and bonds choose paths by the source port.

mod job;
mod machine;
mod sockets;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;

use self::job::JobState;
pub(crate) use self::job::{Job, Seen};
use self::sockets::{Incoming, Lane, Sockets};
use crate::echo_packet::Token;
use crate::failure;
use crate::moment::{Clock, Moment};
use crate::way::Way;

/// A handle on the engine.
#[derive(Debug, Clone)]
pub(crate) struct DatagramEngine {
    jobs: mpsc::UnboundedSender<Job>,
    dropped: Arc<AtomicU32>,
}

impl DatagramEngine {
    /// Starts the engine's task on the current runtime.
    pub(crate) fn start(clock: Clock) -> Self {
        let (jobs, incoming) = mpsc::unbounded_channel();
        let dropped = Arc::new(AtomicU32::new(0));
        tokio::spawn(Engine::new(clock, incoming, dropped.clone()).run());
        Self { jobs, dropped }
    }

    /// Answers that the kernel dropped so far, since the engine read its sockets too late.
    pub(crate) fn dropped(&self) -> u32 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Hands a job over; what was seen comes by the job's channel, which closes when all is seen.
    pub(crate) fn run(&self, job: Job) {
        // The engine lives as long as its handles; if its task died, the job's channel closes and says so.
        let _ = self.jobs.send(job);
    }
}

struct Engine {
    clock: Clock,
    incoming: mpsc::UnboundedReceiver<Job>,
    sockets: Sockets,
    jobs: BTreeMap<u64, JobState>,
    next_job: u64,
    /// When to look at a probe again: moment, job, place in the job.
    wakes: BinaryHeap<Reverse<(Moment, u64, usize)>>,
    /// Which try a token is of.
    tries: HashMap<Token, (u64, usize, u32)>,
    next_token: u64,
    dropped: Arc<AtomicU32>,
}

#[derive(Debug, Clone, Copy)]
struct Due {
    probe: usize,
    number: u32,
    lane: Lane,
    size: u32,
}

impl Engine {
    fn new(clock: Clock, incoming: mpsc::UnboundedReceiver<Job>, dropped: Arc<AtomicU32>) -> Self {
        let mut salt = [0; 8];
        // Without randomness tokens merely begin at 0.
        let _ = getrandom::fill(&mut salt);
        Self {
            clock,
            incoming,
            sockets: Sockets::default(),
            jobs: BTreeMap::new(),
            next_job: 0,
            wakes: BinaryHeap::new(),
            tries: HashMap::new(),
            next_token: u64::from_be_bytes(salt),
            dropped,
        }
    }

    async fn run(mut self) {
        loop {
            let wake = self.next_wake();
            let job = tokio::select! {
                job = self.incoming.recv() => match job {
                    Some(job) => Some(job),
                    None => return,
                },
                () = sleep_until(self.clock, wake) => None,
            };
            if let Some(job) = job {
                self.begin(job);
            }
            // What came in is read before anything is given up: a late wake-up must not look like loss.
            self.drain();
            self.expire();
            self.send_due();
        }
    }

    fn begin(&mut self, job: Job) {
        self.jobs
            .insert(self.next_job, JobState::new(job, self.clock.now()));
        self.next_job += 1;
    }

    /// When to look at everything again; `None` if there is nothing to do. To wake for each packet instead would cost
    /// several times the CPU and tell nothing more: the kernel stamps what comes in.
    fn next_wake(&self) -> Option<Moment> {
        if self.jobs.is_empty() {
            return None;
        }
        let now = self.clock.now();
        let paced = self.jobs.values().filter_map(|job| job.may_send_at(now)).min();
        let tick = self.jobs.values().map(|job| now + job.tick()).min();
        [paced, tick].into_iter().flatten().min()
    }

    fn drain(&mut self) {
        let (sockets, tries, jobs) = (&mut self.sockets, &self.tries, &mut self.jobs);
        let mut touched = Vec::new();
        let dropped = sockets.drain(|token, incoming| {
            let Some((job, place, number)) = tries.get(&token).copied() else {
                return;
            };
            let Some(state) = jobs.get_mut(&job) else { return };
            match incoming {
                Incoming::Icmp { from, at } => state.handle_echo(place, number, from, at),
                Incoming::Udp { packet, from, at } => {
                    state.handle_datagram(place, number, token, packet, from, at);
                }
                Incoming::Error(error) => state.handle_error(place, number, &error),
            }
            touched.push((job, place));
        });
        self.dropped.fetch_add(dropped, Ordering::Relaxed);
        // An answer may be the last one that a probe waits for.
        let now = self.clock.now();
        for (job, place) in touched {
            self.wakes.push(Reverse((now, job, place)));
        }
    }

    /// Begins what has its turn, lets time pass for the rest, and takes finished jobs away.
    fn expire(&mut self) {
        let now = self.clock.now();
        for (number, job) in &mut self.jobs {
            while let Some(place) = job.begin_next(&mut self.sockets, now) {
                self.wakes.push(Reverse((now, *number, place)));
            }
        }
        while self.wakes.peek().is_some_and(|Reverse((at, ..))| *at <= now) {
            let Some(Reverse((_, number, place))) = self.wakes.pop() else {
                break;
            };
            self.look_at(number, place, now);
        }
        let gone: Vec<u64> = self
            .jobs
            .iter()
            .filter(|(_, job)| job.is_done() || job.is_abandoned())
            .map(|(number, _)| *number)
            .collect();
        for number in gone {
            self.jobs.remove(&number);
            self.tries.retain(|_, (job, ..)| *job != number);
        }
    }

    /// Lets time pass for one probe.
    fn look_at(&mut self, number: u64, place: usize, now: Moment) {
        let Some(job) = self.jobs.get_mut(&number) else {
            return;
        };
        let Some(probe) = job.probe_mut(place) else { return };
        probe.machine.handle_timeout(now);
        let mut due = Vec::new();
        while let Some((try_number, lane, size)) = probe.machine.poll_transmit(now) {
            due.push(Due {
                probe: place,
                number: try_number,
                lane,
                size,
            });
        }
        let (done, deadline) = (probe.machine.is_done(), probe.machine.next_deadline());
        job.queue(due);
        if done {
            let sockets = &self.sockets;
            job.finish(place, |lane| sockets.port_of(lane));
        } else if let Some(at) = deadline {
            // A deadline that has passed is one that waits for the pacer: look again soon.
            self.wakes
                .push(Reverse((at.max(now + Duration::from_millis(1)), number, place)));
        }
    }

    fn send_due(&mut self) {
        // Each job at its own pace: a slow one does not hold the others up.
        let numbers: Vec<u64> = self.jobs.keys().copied().collect();
        for number in numbers {
            loop {
                let now = self.clock.now();
                let Some(due) = self.jobs.get_mut(&number).and_then(|job| job.next_due(now)) else {
                    break;
                };
                self.send(number, due, now);
            }
        }
    }

    fn send(&mut self, number: u64, due: Due, now: Moment) {
        let token = Token(self.next_token);
        self.next_token = self.next_token.wrapping_add(1);
        let Some(job) = self.jobs.get_mut(&number) else {
            return;
        };
        let Some(probe) = job.probe(due.probe) else { return };
        let to = probe.to;
        self.tries.insert(token, (number, due.probe, due.number));
        job.sent(due.probe, due.number, now);
        let way = Way {
            to,
            source: job.source(),
        };
        let packet = job.packet(due.probe, due.lane, token, due.size);
        let result = self
            .sockets
            .send(due.lane, packet.as_deref(), token, way)
            .or_else(|_| {
                // The errno may be that of an earlier ICMP error: read those, and send again.
                self.drain();
                self.sockets.send(due.lane, packet.as_deref(), token, way)
            });
        let Some(job) = self.jobs.get_mut(&number) else {
            return;
        };
        match result {
            Ok(()) => {}
            Err(error) => {
                let told = self.sockets.local_mtu(due.lane, error);
                job.refused(due.probe, due.number, failure::of_errno(error, "sendmsg"), told);
                self.wakes.push(Reverse((now, number, due.probe)));
            }
        }
    }
}

async fn sleep_until(clock: Clock, wake: Option<Moment>) {
    match wake {
        Some(wake) => tokio::time::sleep_until(clock.instant(wake)).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
