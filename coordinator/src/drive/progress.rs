//! Progress for the eye: one line on stderr, only where stderr is a terminal; and what a user should know before a run begins.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cli;

/// The line; hidden where nobody sees it.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    /// Somebody waits for this one run.
    speaks: bool,
}

impl Progress {
    /// On a terminal; silent elsewhere.
    pub(crate) fn on_terminal() -> Self {
        // A log on stderr would be torn apart by a line that redraws itself.
        if std::io::stderr().is_terminal() && !tracing::enabled!(tracing::Level::INFO) {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            bar.set_style(ProgressStyle::default_spinner());
            Self { bar, speaks: true }
        } else {
            Self {
                speaks: true,
                ..Self::silent()
            }
        }
    }

    /// Nothing at all.
    pub(crate) fn silent() -> Self {
        Self {
            bar: ProgressBar::hidden(),
            speaks: false,
        }
    }

    /// What a user should know now, terminal or not.
    pub(crate) fn say(&self, line: &str) {
        if self.speaks {
            self.bar.suspend(|| cli::tell(line));
        }
    }

    /// Links opened (or given up), of how many.
    pub(crate) fn connecting(&self, done: usize, all: usize) {
        self.phase(format!("connecting: {done} of {all} agents"));
    }

    /// Probes observed, of how many.
    pub(crate) fn probing(&self, observed: usize, all: usize) {
        self.phase(format!("probing: {observed} of {all} cells"));
    }

    /// The second look: so many agents are asked more.
    pub(crate) fn looking_closer(&self, suspects: usize) {
        let some = if suspects == 1 { "suspect" } else { "suspects" };
        self.phase(format!("looking closer at {suspects} {some}"));
    }

    /// The end of the run.
    pub(crate) fn looking(&self) {
        self.phase("looking at the agents' own counts and facts");
    }

    /// Takes the line away.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    /// What is going on.
    pub(crate) fn phase(&self, what: impl Into<String>) {
        self.bar.set_message(what.into());
        self.bar.tick();
    }
}
