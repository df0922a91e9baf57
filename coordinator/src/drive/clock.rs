//! The clock of those who look again and again.

use mesh_core::Moment;

/// Counts from its start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock(tokio::time::Instant);

#[expect(
    clippy::disallowed_methods,
    reason = "the clock of looks that follow each other is read here and nowhere else"
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
