//! The datagram engine: one task per agent that drives all ICMP, UDP and path-MTU probes.
//!
//! The task is [`Engine::run`], owned by [`DatagramEngine`]; it ends when that is dropped, and cancelling it at any
//! await loses nothing but probes under way. Jobs come by an unbounded channel, since the service that sends them
//! bounds how many there are. What was seen goes out by the job's own channel; when its receiver is gone the job is
//! dropped. Sockets are kept for the agent's life, one per flow: overlays and bonds choose paths by the source port.

mod job;
mod machine;
mod probe;
mod sockets;
mod under_way;
mod wheel;

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use mesh_net::{BATCH, RealTime};
use tokio::sync::mpsc;

use self::job::{Due, JobState};
pub(crate) use self::job::{Job, Seen};
use self::probe::payload_len;
use self::sockets::{Incoming, Lane, Sockets};
use self::under_way::{Place, UnderWay};
use self::wheel::Wheel;
use crate::echo_packet::write_request;
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
    under_way: UnderWay,
    /// When to look at a probe again.
    wheel: Wheel,
    /// Probes for which something came in.
    touched: Vec<Place>,
    /// Packets of one job that leave now.
    batch: Vec<Due>,
    /// A datagram that does not fit the batch.
    packet: Vec<u8>,
    /// Turns in a row in which nothing left and nothing came in.
    quiet: u32,
    dropped: Arc<AtomicU32>,
}

/// Batches that leave before the rest of the agent has its turn.
const BATCHES_A_TURN: u32 = 16;
/// A probe whose packets wait for the pacer is looked at when they left, and now and then.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

impl Engine {
    fn new(clock: Clock, incoming: mpsc::UnboundedReceiver<Job>, dropped: Arc<AtomicU32>) -> Self {
        Self {
            clock,
            incoming,
            sockets: Sockets::default(),
            jobs: BTreeMap::new(),
            next_job: 0,
            under_way: UnderWay::new(random()),
            wheel: Wheel::new(clock.now()),
            touched: Vec::new(),
            batch: Vec::with_capacity(BATCH),
            packet: Vec::new(),
            quiet: 0,
            dropped,
        }
    }

    async fn run(mut self) {
        loop {
            let now = self.clock.now();
            let wake = self.next_wake(now);
            let job = if wake.is_some_and(|wake| wake <= now) {
                // Timers have a resolution of a millisecond, in which hundreds of packets could leave.
                tokio::task::yield_now().await;
                match self.incoming.try_recv() {
                    Ok(job) => Some(job),
                    Err(mpsc::error::TryRecvError::Empty) => None,
                    Err(mpsc::error::TryRecvError::Disconnected) => return,
                }
            } else {
                tokio::select! {
                    job = self.incoming.recv() => match job {
                        Some(job) => Some(job),
                        None => return,
                    },
                    () = sleep_until(self.clock, wake) => None,
                }
            };
            if let Some(job) = job {
                let state = JobState::new(job, self.clock.now(), random());
                self.jobs.insert(self.next_job, state);
                self.next_job += 1;
            }
            self.turn();
        }
    }

    /// Reads what came in, lets time pass, sends what may leave.
    fn turn(&mut self) {
        // What came in is read before anything is given up: a late wake-up must not look like loss.
        let mut is_quiet = self.drain() == 0;
        for _ in 0..BATCHES_A_TURN {
            self.pass_time();
            if self.send_due() == 0 {
                break;
            }
            is_quiet = false;
            self.drain();
        }
        self.take_away_jobs();
        self.quiet = if is_quiet { self.quiet.saturating_add(1) } else { 0 };
    }

    /// When to look at everything again; `None` if there is nothing to do. To wake for each packet instead would cost
    /// several times the CPU and tell nothing more: the kernel stamps what comes in.
    fn next_wake(&self, now: Moment) -> Option<Moment> {
        if self.jobs.is_empty() {
            return None;
        }
        // Most answers come soon after their requests. Whoever waits for a whole plan shall not wait for a tick.
        let soon = Duration::from_millis(1 << self.quiet.min(10));
        let paced = self.jobs.values().filter_map(|job| job.may_send_at(now)).min();
        let tick = self.jobs.values().map(|job| job.next_look(now, soon)).min();
        [paced, tick].into_iter().flatten().min()
    }

    /// Reads all sockets; says how many packets there were.
    fn drain(&mut self) -> usize {
        let (sockets, under_way, jobs) = (&mut self.sockets, &mut self.under_way, &self.jobs);
        let touched = &mut self.touched;
        let mut count = 0;
        let dropped = sockets.drain(|token, incoming| {
            count += 1;
            let Some((place, number, probe)) = under_way.find(token) else {
                return;
            };
            match incoming {
                Incoming::Left { at } => return probe.departed(number, at),
                Incoming::Icmp { from, at } => probe.handle_echo(number, from, at),
                Incoming::Udp { packet, from, at } => {
                    if let Some(state) = jobs.get(&probe.job) {
                        probe.handle_datagram(number, &state.job, token, packet, from, at);
                    }
                }
                Incoming::Error(error) => probe.handle_error(number, &error),
            }
            if !std::mem::replace(&mut probe.is_touched, true) {
                touched.push(place);
            }
        });
        if dropped > 0 {
            self.dropped.fetch_add(dropped, Ordering::Relaxed);
        }
        count
    }

    /// Begins what has its turn, and lets time pass for what something came in for or whose time has come.
    fn pass_time(&mut self) {
        let now = self.clock.now();
        // An answer may be the last one that a probe waits for.
        while let Some(place) = self.touched.pop() {
            self.look_at(place, now);
        }
        while let Some(number) = self.wheel.expired(now) {
            self.look_at(Place(number), now);
        }
        let mut after = Bound::Unbounded;
        while let Some((&number, job)) = self.jobs.range_mut((after, Bound::Unbounded)).next() {
            match job.begin_next(number, &mut self.sockets, now) {
                Some(probe) => {
                    let place = self.under_way.insert(probe);
                    self.look_at(place, now);
                }
                None => after = Bound::Excluded(number),
            }
        }
    }

    /// Lets time pass for one probe.
    fn look_at(&mut self, place: Place, now: Moment) {
        let Some(probe) = self.under_way.get_mut(place) else {
            return;
        };
        let Some(job) = self.jobs.get_mut(&probe.job) else {
            return;
        };
        probe.is_touched = false;
        probe.machine.handle_timeout(now);
        let (mut due, mut is_done, mut deadline) = (probe.machine.poll_transmit(now), false, None);
        if due.is_none() {
            (is_done, deadline) = (probe.machine.is_done(), probe.machine.next_deadline());
        }
        while let Some((number, lane, size)) = due {
            let token = self.under_way.token(place, number);
            job.queue(Due { token, lane, size });
            due = self
                .under_way
                .get_mut(place)
                .and_then(|probe| probe.machine.poll_transmit(now));
        }
        if is_done {
            self.wheel.cancel(place.0);
            if let Some(probe) = self.under_way.remove(place) {
                job.finish(probe.seen(&self.sockets));
            }
        } else {
            // A deadline that has passed is one that waits for the pacer.
            let at = deadline.filter(|at| *at > now);
            self.wheel.set(place.0, at.unwrap_or(now + LOOK_AGAIN));
        }
    }

    /// Sends what is due and may leave now, of each job at its own pace: a slow one does not hold the others up. Says how
    /// many packets were tried, one batch of each job at the most.
    fn send_due(&mut self) -> usize {
        let mut tried = 0;
        let mut after = Bound::Unbounded;
        loop {
            let now = self.clock.now();
            let Some((&number, job)) = self.jobs.range_mut((after, Bound::Unbounded)).next() else {
                return tried;
            };
            after = Bound::Excluded(number);
            self.batch.clear();
            while self.batch.len() < BATCH
                && let Some(due) = job.next_due(now)
            {
                self.batch.push(due);
            }
            tried += self.batch.len();
            self.send_batch(number, now);
        }
    }

    /// Sends the batch, lane by lane.
    fn send_batch(&mut self, number: u64, now: Moment) {
        // Where there is more to send than fits a batch, to ask when each packet leaves would cost a sixth of the speed.
        let stamp = self.batch.len() < BATCH;
        let mut batch = std::mem::take(&mut self.batch);
        // What a probe does not wait for any more is not sent.
        batch.retain(|due| self.under_way.find(due.token).is_some());
        // A stable sort: tries of a lane leave in their order.
        batch.sort_by_key(|due| due.lane);
        for part in batch.chunk_by(|a, b| a.lane == b.lane) {
            let left = match part {
                [
                    Due {
                        lane: Lane::PathMtu { .. },
                        ..
                    },
                    ..,
                ] => self.send_singly(number, part, now),
                _ => self.send_together(number, part, stamp, now),
            };
            // Only a lack of room leaves packets behind.
            if let Some(job) = self.jobs.get_mut(&number).filter(|_| left < part.len()) {
                job.put_back(&part[left..]);
            }
        }
        self.batch = batch;
    }

    /// Sends datagrams of usual length by one lane. Says how many need not be put back.
    fn send_together(&mut self, number: u64, part: &[Due], stamp: bool, now: Moment) -> usize {
        let Some(job) = self.jobs.get(&number).map(|state| &state.job) else {
            return part.len();
        };
        let Some(lane) = part.first().map(|due| due.lane) else {
            return 0;
        };
        self.sockets.begin_batch();
        for due in part {
            // Those that are not there any more were taken out before.
            if let Some((_, _, probe)) = self.under_way.find(due.token) {
                let way = Way {
                    to: probe.to,
                    source: job.sending.source,
                };
                let request = probe.request(job.own, due.token, job.sending.uncounted);
                self.sockets.add(lane, &job.key, request, way, stamp);
            }
        }
        let (mut next, mut is_second) = (0, false);
        while next < part.len() {
            let before = RealTime::now();
            match self.sockets.send_batch(lane, next..part.len(), stamp) {
                Ok(0) => break,
                Ok(count) => {
                    let sent = &part[next..next + count];
                    self.sent(sent, before, stamp, now);
                    if let Some(job) = self.jobs.get_mut(&number) {
                        job.left();
                    }
                    next += count;
                    is_second = false;
                }
                // The errno may be that of an earlier ICMP error: read those, and send again.
                Err(_) if !is_second => {
                    self.drain();
                    is_second = true;
                }
                Err(errno) => {
                    if self.waits_for_room(number, errno, now) {
                        break;
                    }
                    self.refused(part[next], errno, now);
                    next += 1;
                    is_second = false;
                }
            }
        }
        next
    }

    /// Sends datagrams of chosen lengths, one by one.
    fn send_singly(&mut self, number: u64, part: &[Due], now: Moment) -> usize {
        for (place, due) in part.iter().enumerate() {
            let Some(job) = self.jobs.get(&number).map(|state| &state.job) else {
                return part.len();
            };
            let Some((_, _, probe)) = self.under_way.find(due.token) else {
                continue;
            };
            let way = Way {
                to: probe.to,
                source: job.sending.source,
            };
            let request = probe.request(job.own, due.token, job.sending.uncounted);
            let mut packet = std::mem::take(&mut self.packet);
            packet.resize(payload_len(due.lane, due.size), 0);
            write_request(&mut packet, &job.key, request);
            let before = RealTime::now();
            let sent = self.sockets.send(due.lane, &packet, way).or_else(|_| {
                self.drain();
                self.sockets.send(due.lane, &packet, way)
            });
            self.packet = packet;
            match sent {
                Ok(()) => self.sent(&[*due], before, true, now),
                Err(errno) if self.waits_for_room(number, errno, now) => return place,
                Err(errno) => self.refused(*due, errno, now),
            }
        }
        part.len()
    }

    /// Packets left, by a call that began at `before`; with `stamped` the kernel will say more.
    fn sent(&mut self, packets: &[Due], before: RealTime, stamped: bool, now: Moment) {
        let count = u64::try_from(packets.len()).unwrap_or(1).max(1);
        let each = if stamped || count == 1 {
            Duration::ZERO
        } else {
            // The kernel takes about as long for each.
            RealTime::now().since(before).unwrap_or_default() / u32::try_from(count).unwrap_or(1)
        };
        let mut at = before;
        for due in packets {
            if let Some((place, number, probe)) = self.under_way.find(due.token) {
                probe.sent(number, now, at);
                let deadline = probe.machine.next_deadline().filter(|at| *at > now);
                self.wheel.set(place.0, deadline.unwrap_or(now + LOOK_AGAIN));
            }
            at = at + each;
        }
    }

    fn waits_for_room(&mut self, number: u64, errno: mesh_net::Errno, now: Moment) -> bool {
        let job = self.jobs.get_mut(&number);
        job.is_some_and(|job| job.waits_for_room(errno, now))
    }

    /// The kernel refused to send a packet.
    fn refused(&mut self, due: Due, errno: mesh_net::Errno, now: Moment) {
        let told = self.sockets.local_mtu(due.lane, errno);
        if let Some((place, number, probe)) = self.under_way.find(due.token) {
            probe.sent(number, now, RealTime::now());
            probe.refused(number, failure::of_errno(errno, "sendmsg"), told);
            if !std::mem::replace(&mut probe.is_touched, true) {
                self.touched.push(place);
            }
        }
    }

    /// Takes away jobs that are done, or that nobody waits for.
    fn take_away_jobs(&mut self) {
        let (under_way, wheel) = (&mut self.under_way, &mut self.wheel);
        self.jobs.retain(|number, job| {
            if job.is_done() {
                return false;
            }
            let is_abandoned = job.is_abandoned();
            if is_abandoned {
                for place in under_way.of_job(*number) {
                    under_way.remove(place);
                    wheel.cancel(place.0);
                }
            }
            !is_abandoned
        });
    }
}

/// Without randomness numbers merely begin at 0.
pub(crate) fn random() -> u64 {
    let mut bytes = [0; 8];
    let _ = getrandom::fill(&mut bytes);
    u64::from_be_bytes(bytes)
}

async fn sleep_until(clock: Clock, wake: Option<Moment>) {
    match wake {
        Some(wake) => tokio::time::sleep_until(clock.instant(wake)).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
