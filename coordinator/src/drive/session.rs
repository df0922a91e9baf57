//! One look after the other over the same agents: links stay open in between, names and keys are new each time.

use std::collections::HashSet;
use std::time::Duration;

use mesh_proto::Report;

use super::{DriveOptions, Interrupt, NoRandomness, Progress, RunSecret, drive};
use crate::ground::{Access, Raised};
use crate::link::{KeptLinks, LinkMeans};

/// Looks that follow each other.
#[derive(Debug)]
pub(crate) struct Session {
    raised: Raised,
    kept: KeptLinks,
    /// The first look has the key that its agents were raised with.
    first: Option<RunSecret>,
}

impl Session {
    /// Over agents that were raised with this key; `None` if they know of none yet.
    pub(crate) fn new(raised: Raised, first: Option<RunSecret>) -> Self {
        Self {
            raised,
            kept: KeptLinks::default(),
            first,
        }
    }

    /// Who takes part from now on. Links to others are let go.
    pub(crate) fn update(&mut self, raised: Raised) {
        let routes: HashSet<_> = raised
            .agents
            .iter()
            .filter_map(|agent| match &agent.access {
                Access::Link(route) => Some(route.clone()),
                Access::Opening(opening) => Some(opening.route().clone()),
                Access::Absent(_) | Access::Skipped(_) => None,
            })
            .collect();
        self.kept.keep_only(&routes);
        self.raised = raised;
    }

    /// Looks once. The options' links are kept open for the next time.
    pub(crate) async fn look(
        &mut self,
        options: &DriveOptions,
        interrupt: Interrupt,
        progress: &Progress,
    ) -> Result<Report, NoRandomness> {
        let secret = match self.first.take() {
            Some(secret) => secret,
            None => RunSecret::draw()?,
        };
        let options = DriveOptions {
            means: LinkMeans {
                kept: Some(self.kept.clone()),
                ..options.means.clone()
            },
            // What raising took was taken off somebody else's time.
            spent: Duration::ZERO,
            ..options.clone()
        };
        let report = drive(self.raised.clone(), secret, &options, interrupt, progress).await;
        self.raised = self.raised.again();
        Ok(report)
    }
}
