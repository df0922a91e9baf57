//! Who leads where several coordinators share one seat: a state machine over what was read of it and written to it.
//!
//! The seat is an object that only takes a write over the version that the writer has seen (a Lease of `coordination.k8s.io`,
//! its `resourceVersion`). Everybody measures by its own clock how long the seat stands as it is, and compares no times of day.
//! A leader counts from when it *asked* for its last renewal, the others from when they *received* the seat, and it counts to
//! [`ElectionTiming::authority`], which is less than their [`ElectionTiming::lease`]: so two never hold authority at once, however slow
//! answers are, as long as clocks run at about the same rate.
//!
//! A leader that cannot renew does not follow yet: while the API server is away nobody else can take the seat either, and
//! somebody should go on looking. It is [cut off](Role::CutOff): it looks, and writes nothing. It follows as soon as it
//! reads that somebody else has the seat.

use std::time::Duration;

use crate::moment::Moment;

/// A coordinator, by a name that it has for one life only.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Holder(pub String);

/// The seat at one moment; every write gives it another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SeatVersion(pub String);

/// The seat, as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seat {
    /// Who has it; `None` once its holder gave it back.
    pub holder: Option<Holder>,
    /// To be written over.
    pub version: SeatVersion,
}

/// The numbers of an election.
#[derive(Debug, Clone, Copy)]
pub struct ElectionTiming {
    /// A seat that stands as it is for so long is free.
    pub lease: Duration,
    /// A leader holds authority for so long after it asked for its last renewal. Less than `lease`: a write that is on its
    /// way when it ends must arrive before somebody else leads.
    pub authority: Duration,
    /// From one renewal to the next, and from one look of a follower to the next.
    pub every: Duration,
    /// The same after a request that failed.
    pub again: Duration,
}

impl Default for ElectionTiming {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(15),
            authority: Duration::from_secs(10),
            every: Duration::from_secs(5),
            again: Duration::from_secs(2),
        }
    }
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ElectionStep {
    /// Nothing before this moment.
    Wait(Moment),
    /// Read the seat, then [`Election::handle_read`], or [`Election::handle_silence`] if that failed.
    Read,
    /// Write the seat with this coordinator as its holder, then [`Election::handle_written`].
    Write {
        /// Only over this; `None` to make the seat, only if there is none.
        over: Option<SeatVersion>,
        /// It is somebody else's so far, or nobody's.
        is_new: bool,
    },
}

/// What came of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SeatWritten {
    /// The seat is like this now.
    Done(SeatVersion),
    /// It was not what was to be written over: somebody else was faster.
    Beaten,
    /// No answer, or an error: it may have been done or not.
    Unknown,
}

/// What a coordinator is, at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// It probes nothing. The holder of the seat, as far as that is known.
    Follows(Option<Holder>),
    /// It looks, and may write.
    Leads,
    /// It led, and cannot renew: it looks, and writes nothing. Since when.
    CutOff(Moment),
}

/// The state machine of one coordinator.
#[derive(Debug)]
pub struct Election {
    me: Holder,
    timing: ElectionTiming,
    /// The seat as it was read or written last, and since when it is known to stand like that.
    seen: Option<(Seat, Moment)>,
    /// Leads, with authority until then.
    until: Option<Moment>,
    next: Next,
    next_at: Moment,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Read,
    /// Over what was seen last.
    Write,
    /// There is no seat.
    Make,
}

impl Election {
    /// Follows, and reads the seat first.
    pub fn start(me: Holder, timing: ElectionTiming, now: Moment) -> Self {
        Self {
            me,
            timing,
            seen: None,
            until: None,
            next: Next::Read,
            next_at: now,
        }
    }

    /// What to do now.
    pub fn next(&self, now: Moment) -> ElectionStep {
        if now < self.next_at {
            return ElectionStep::Wait(self.next_at);
        }
        match (self.next, &self.seen) {
            (Next::Write, Some((seat, _))) => ElectionStep::Write {
                over: Some(seat.version.clone()),
                is_new: seat.holder.as_ref() != Some(&self.me),
            },
            (Next::Make, _) => ElectionStep::Write {
                over: None,
                is_new: true,
            },
            (Next::Read | Next::Write, _) => ElectionStep::Read,
        }
    }

    /// What it is now.
    pub fn role(&self, now: Moment) -> Role {
        match self.until {
            Some(until) if now < until => Role::Leads,
            Some(until) => Role::CutOff(until),
            None => {
                let others =
                    |(seat, _): &(Seat, Moment)| seat.holder.clone().filter(|holder| *holder != self.me);
                Role::Follows(self.seen.as_ref().and_then(others))
            }
        }
    }

    /// When the role changes by itself, if nothing is heard.
    pub fn role_ends(&self, now: Moment) -> Option<Moment> {
        self.until.filter(|until| now < *until)
    }

    /// The seat was read, and is like this; `None` if there is none.
    pub fn handle_read(&mut self, seat: Option<Seat>, now: Moment) {
        let Some(seat) = seat else {
            // Nobody leads, and whoever makes it first does.
            self.seen = None;
            self.then(Next::Make, now);
            return;
        };
        let stands_since = match &self.seen {
            Some((known, since)) if known.version == seat.version => *since,
            _ => now,
        };
        let is_mine = seat.holder.as_ref() == Some(&self.me);
        let is_others = seat.holder.is_some() && !is_mine;
        let ends = stands_since + self.timing.lease;
        self.seen = Some((seat, stands_since));
        if !is_others || ends <= now {
            // Mine: it was written after all, or is to be renewed.
            self.then(Next::Write, now);
        } else {
            self.then(Next::Read, (now + self.timing.every).min(ends));
        }
        if is_others {
            self.until = None;
        }
    }

    /// The seat could not be read.
    pub fn handle_silence(&mut self, now: Moment) {
        self.then(Next::Read, now + self.timing.again);
    }

    /// What came of a write that was `asked` for then.
    pub fn handle_written(&mut self, written: SeatWritten, asked: Moment, now: Moment) {
        match written {
            SeatWritten::Done(version) => {
                let seat = Seat {
                    holder: Some(self.me.clone()),
                    version,
                };
                self.seen = Some((seat, now));
                self.until = Some(asked + self.timing.authority);
                self.then(Next::Write, asked + self.timing.every);
            }
            SeatWritten::Beaten => self.then(Next::Read, now),
            SeatWritten::Unknown => self.then(Next::Read, now + self.timing.again),
        }
    }

    /// The version to write over to give the seat back, if it is this coordinator's. It follows from here on.
    pub fn resign(&mut self) -> Option<SeatVersion> {
        self.until.take()?;
        let (seat, _) = self.seen.as_ref()?;
        (seat.holder.as_ref() == Some(&self.me)).then(|| seat.version.clone())
    }

    fn then(&mut self, next: Next, at: Moment) {
        self.next = next;
        self.next_at = at;
    }
}

#[cfg(test)]
mod tests;
