//! Time as state machines see it.

use std::ops::Add;
use std::time::Duration;

/// A moment, counted from the agent's start. State machines take it as an argument; only drivers read a clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct Moment(pub(crate) Duration);

impl Moment {
    /// The time since an earlier moment; nothing if it is not earlier.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span))
    }
}

/// The clock of the drivers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock(tokio::time::Instant);

#[expect(
    clippy::disallowed_methods,
    reason = "the drivers' clock is read here and nowhere else"
)]
impl Clock {
    pub(crate) fn start() -> Self {
        Self(tokio::time::Instant::now())
    }

    pub(crate) fn now(self) -> Moment {
        Moment(self.0.elapsed())
    }

    /// For timers.
    pub(crate) fn instant(self, moment: Moment) -> tokio::time::Instant {
        self.0 + moment.0
    }
}
