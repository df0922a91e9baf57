//! The path MTU towards an agent: a state machine, without clock or socket.
//!
//! Unfragmentable datagrams of the full size that the source's device takes, and small ones beside them to see that the
//! path is there at all. The answers are small, so it is the way to the target that is measured. If large ones vanish
//! and nothing tells the sender, the largest size that passes is searched, sixteen sizes at once. Sizes are whole IP
//! packets in bytes.

use std::collections::BTreeSet;
use std::time::Duration;

use mesh_proto::{Failure, Micros, Observation, PathMtu, ProbeId, Reason};

use crate::failure::more_telling;
use crate::moment::Moment;
use crate::rtt::{micros, summary};

/// What a probe tries.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PathMtuConfig {
    pub(crate) id: ProbeId,
    /// What the device takes.
    pub(crate) full: u32,
    /// The smallest packet that can be asked with.
    pub(crate) smallest: u32,
    /// Copies of each size, since a single one may be lost for other reasons.
    pub(crate) copies: u16,
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
}

/// A packet that is due: its number, and its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Transmit {
    pub(crate) number: u32,
    pub(crate) size: u32,
}

/// The state machine.
#[derive(Debug)]
pub(crate) struct PathMtuProbe {
    config: PathMtuConfig,
    packets: Vec<Packet>,
    stage: Stage,
    /// The stage's last packet is given up at this moment.
    stage_began: Moment,
    /// The kernel was told of a smaller size, the smallest so far.
    told: Option<u32>,
    times_told: u8,
    rtts: Vec<Micros>,
    failure: Option<Failure>,
    outcome: Option<Outcome>,
}

#[derive(Debug, Clone, Copy)]
struct Packet {
    size: u32,
    due: Moment,
    sent: Option<Moment>,
    queued: bool,
    answered: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Full size and small ones.
    First,
    /// Full size once more: it may have been lost by chance.
    Again,
    /// The size that the kernel was told.
    Told,
    /// Many sizes between one that passes and one that does not.
    Search { passes: u32, vanishes: u32 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Passes { largest: u32, told: bool },
    Vanishes { largest: u32 },
    Dead,
}

/// Hops that each tell a smaller size; real paths have one or two.
const TIMES_TOLD: u8 = 8;
const SIZES_AT_ONCE: u32 = 16;
const SETTLE: Duration = Duration::from_millis(300);

impl PathMtuProbe {
    pub(crate) fn start(config: PathMtuConfig, now: Moment) -> Self {
        let mut probe = Self {
            config,
            packets: Vec::new(),
            stage: Stage::First,
            stage_began: now,
            told: None,
            times_told: 0,
            rtts: Vec::new(),
            failure: None,
            outcome: None,
        };
        probe.add(now, &[config.full, config.smallest.min(config.full)]);
        probe
    }

    /// The next packet that is due; the caller says when it was sent.
    pub(crate) fn poll_transmit(&mut self, now: Moment) -> Option<Transmit> {
        if self.outcome.is_some() {
            return None;
        }
        let number = self.packets.iter().position(|of| !of.queued && of.due <= now)?;
        self.packets[number].queued = true;
        Some(Transmit {
            number: u32::try_from(number).unwrap_or(u32::MAX),
            size: self.packets[number].size,
        })
    }

    /// A packet left.
    pub(crate) fn handle_sent(&mut self, number: u32, now: Moment) {
        if let Some(of) = self.get(number) {
            of.sent = Some(now);
        }
    }

    /// The answer to a packet came.
    pub(crate) fn handle_answer(&mut self, number: u32, rtt: Duration) {
        if let Some(of) = self.get(number).filter(|of| !of.answered) {
            of.answered = true;
            self.rtts.push(micros(rtt));
        }
    }

    /// A packet failed. An error that tells a size is no failure but the answer that the sender needs.
    pub(crate) fn handle_failure(&mut self, number: u32, failure: Failure, told: Option<u32>) {
        if self.get(number).is_none() {
            return;
        }
        match told.filter(|size| failure.reason == Reason::TooBig && *size > 0) {
            Some(size) => {
                let size = size.max(self.config.smallest);
                self.told = Some(self.told.map_or(size, |known| known.min(size)));
            }
            None => self.failure = more_telling(self.failure.take(), Some(failure)),
        }
    }

    /// Lets time pass: may begin another stage or end the probe.
    pub(crate) fn handle_timeout(&mut self, now: Moment) {
        if self.outcome.is_some() {
            return;
        }
        let passes = self.largest_answered();
        if passes == Some(self.config.full) {
            self.outcome = Some(Outcome::Passes {
                largest: self.config.full,
                told: false,
            });
            return;
        }
        let told = self.told.filter(|told| *told < self.config.full);
        if self.stage == Stage::Told && told.is_some() && passes >= told {
            self.outcome = Some(Outcome::Passes {
                largest: passes.unwrap_or(0),
                told: true,
            });
            return;
        }
        // A size that was told and not tried yet is tried at once; a path whose routers tell ever smaller sizes is not
        // followed for ever.
        let untried = told.filter(|told| !self.packets.iter().any(|of| of.size == *told));
        if let Some(told) = untried.filter(|_| self.times_told < TIMES_TOLD) {
            self.times_told += 1;
            self.begin(Stage::Told, now, &[told]);
            return;
        }
        if now < self.end_of_stage() {
            return;
        }
        let Some(passes) = passes else {
            self.outcome = Some(Outcome::Dead);
            return;
        };
        match self.stage {
            Stage::First => self.begin(Stage::Again, now, &[self.config.full]),
            Stage::Again | Stage::Told => self.search(passes, told.unwrap_or(self.config.full), now),
            Stage::Search { vanishes, .. } => self.search(passes, vanishes, now),
        }
    }

    /// When to call again at the latest; `None` when it is done.
    pub(crate) fn next_deadline(&self) -> Option<Moment> {
        if self.outcome.is_some() {
            return None;
        }
        let due = self.packets.iter().filter(|of| !of.queued).map(|of| of.due).min();
        Some(due.unwrap_or_else(|| self.end_of_stage()))
    }

    pub(crate) fn is_done(&self) -> bool {
        self.outcome.is_some()
    }

    /// The round-trip times of all answered tries.
    pub(crate) fn into_rtts(self) -> Vec<Micros> {
        self.rtts
    }

    /// What was seen.
    pub(crate) fn observation(&self) -> Observation {
        let count = |like: &dyn Fn(&Packet) -> bool| {
            u32::try_from(self.packets.iter().filter(|of| like(of)).count()).unwrap_or(u32::MAX)
        };
        let found = |largest, told| {
            Some(PathMtu {
                largest,
                tried: self.config.full,
                told,
            })
        };
        let (path_mtu, failure) = match self.outcome {
            Some(Outcome::Passes { largest, told }) => (found(largest, told), None),
            Some(Outcome::Vanishes { largest }) => {
                let reason = if self.told.is_some() {
                    Reason::TooBig
                } else {
                    Reason::Timeout
                };
                (found(largest, false), Some(Failure::new(reason)))
            }
            Some(Outcome::Dead) | None => (
                None,
                more_telling(self.failure.clone(), Some(Failure::new(Reason::Timeout))),
            ),
        };
        Observation {
            sent: count(&|of| of.queued),
            received: count(&|of| of.answered),
            rtt: summary(&self.rtts),
            path_mtu,
            failure,
            ..Observation::new(self.config.id)
        }
    }

    fn get(&mut self, number: u32) -> Option<&mut Packet> {
        self.packets.get_mut(usize::try_from(number).ok()?)
    }

    fn add(&mut self, now: Moment, sizes: &[u32]) {
        for copy in 0..self.config.copies.max(1) {
            let due = now + self.config.interval * u32::from(copy);
            let packets = sizes.iter().map(|size| Packet {
                size: *size,
                due,
                sent: None,
                queued: false,
                answered: false,
            });
            self.packets.extend(packets);
        }
    }

    fn begin(&mut self, stage: Stage, now: Moment, sizes: &[u32]) {
        self.stage = stage;
        self.stage_began = now;
        self.add(now, sizes);
    }

    /// Tries up to sixteen sizes between one that passes and one that vanishes, until they are neighbours.
    fn search(&mut self, passes: u32, vanishes: u32, now: Moment) {
        // The smallest size above the largest that passed and that was tried: nothing from there on passes.
        let tried: BTreeSet<u32> = self.packets.iter().map(|of| of.size).collect();
        let vanishes = tried
            .range(passes + 1..)
            .next()
            .map_or(vanishes, |size| (*size).min(vanishes));
        let gap = vanishes.saturating_sub(passes);
        if gap <= 1 {
            let largest = passes;
            // Errors are rate-limited: one that came only during the search tells the sender all the same.
            self.outcome = Some(if self.told.is_some_and(|told| told <= largest) {
                Outcome::Passes { largest, told: true }
            } else {
                Outcome::Vanishes { largest }
            });
            return;
        }
        let parts = SIZES_AT_ONCE.min(gap - 1);
        let sizes: Vec<u32> = (1..=parts)
            .map(|part| passes + gap * part / (parts + 1))
            .collect();
        self.begin(Stage::Search { passes, vanishes }, now, &sizes);
    }

    fn largest_answered(&self) -> Option<u32> {
        self.packets
            .iter()
            .filter(|of| of.answered)
            .map(|of| of.size)
            .max()
    }

    /// When the packets of this stage are given up: soon where some came back, else after the time-out.
    fn end_of_stage(&self) -> Moment {
        let last = self
            .packets
            .iter()
            .filter_map(|of| of.sent)
            .max()
            .unwrap_or(self.stage_began);
        let slowest = self
            .rtts
            .iter()
            .max()
            .map(|rtt| Duration::from_micros(rtt.0.into()));
        let wait = match slowest {
            Some(slowest) => (slowest * 4).max(SETTLE).min(self.config.timeout),
            None if self.failure.is_some() => self.config.timeout.min(Duration::from_secs(1)),
            None => self.config.timeout,
        };
        last.max(self.stage_began) + wait
    }
}

#[cfg(test)]
mod tests;
