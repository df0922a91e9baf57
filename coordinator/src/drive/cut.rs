//! What ends a run before its work is done: the overall time is up, or somebody interrupts.

use std::time::Duration;

use tokio::time::Instant;

use super::Interrupt;

/// Why a run ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The overall `--timeout`.
    TimeUp(Duration),
    /// Ctrl-C, SIGTERM.
    Interrupted,
}

impl Cut {
    /// The reason of a cell that nobody looked at any more.
    pub(crate) fn words(self) -> String {
        match self {
            Self::TimeUp(timeout) => format!("the run's time was up after {timeout:?} (--timeout)"),
            Self::Interrupted => "the run was interrupted".to_owned(),
        }
    }
}

/// The run's deadline and its interrupts. A clone is for what happens at the same time, and is told of by [`RunClock::heed`].
#[derive(Debug, Clone)]
pub(crate) struct RunClock {
    timeout: Duration,
    deadline: Instant,
    interrupt: Interrupt,
    cut: Option<Cut>,
}

impl RunClock {
    /// Starts the run's time.
    #[expect(
        clippy::disallowed_methods,
        reason = "the driver reads the clock, so that what is below need not"
    )]
    pub(crate) fn start(timeout: Duration, interrupt: Interrupt) -> Self {
        Self {
            timeout,
            deadline: Instant::now() + timeout,
            interrupt,
            cut: None,
        }
    }

    /// The same, where some of the time is gone.
    pub(crate) fn having_spent(self, spent: Duration) -> Self {
        Self {
            deadline: self.deadline - self.timeout.min(spent),
            ..self
        }
    }

    /// Waits until the run is cut; at once if it was before. An interrupt counts for more than the time. Safe to drop
    /// and call again.
    pub(crate) async fn cut(&mut self) -> Cut {
        if self.interrupt.came() {
            self.cut = Some(Cut::Interrupted);
        }
        if let Some(cut) = self.cut {
            return cut;
        }
        let cut = tokio::select! {
            biased;
            () = self.interrupt.wait() => Cut::Interrupted,
            () = tokio::time::sleep_until(self.deadline) => Cut::TimeUp(self.timeout),
        };
        self.cut = Some(cut);
        cut
    }

    /// What cut a clone cut the run.
    pub(crate) fn heed(&mut self, clone: &Self) {
        self.cut = self.cut.or(clone.cut);
    }

    /// How the run was cut, if it was.
    pub(crate) fn was_cut(&self) -> Option<Cut> {
        self.cut
    }

    /// Waits for an interrupt only: the end of a run has its own small bounds.
    pub(crate) async fn interrupted(&mut self) {
        self.interrupt.wait().await;
        self.cut = Some(Cut::Interrupted);
    }

    /// Whether somebody interrupted while there was work left.
    pub(crate) fn was_interrupted(&self) -> bool {
        self.cut == Some(Cut::Interrupted)
    }
}
