//! When to look next, and how hard: quick looks all the time, a whole one now and then, and at once where a quick one saw
//! something.

use std::collections::BTreeSet;
use std::time::Duration;

use mesh_proto::{CellFrom, CellState, ProbeKind, Report, To};

use crate::incident::Incidents;
use crate::moment::Moment;

/// How hard a look looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// A few probes for each cell, with little patience: whether something is wrong.
    Light,
    /// As a run looks: what is wrong, where and why.
    Full,
}

/// The numbers of the pulse.
#[derive(Debug, Clone, Copy)]
pub struct PulseConfig {
    /// From the beginning of one quick look to that of the next.
    pub light: Duration,
    /// From the end of one whole look to the beginning of the next.
    pub full: Duration,
    /// The same while something is wrong.
    pub full_when_ill: Duration,
}

impl Default for PulseConfig {
    fn default() -> Self {
        Self {
            light: Duration::from_millis(800),
            full: Duration::from_mins(1),
            full_when_ill: Duration::from_secs(15),
        }
    }
}

/// The state machine.
#[derive(Debug)]
pub struct Pulse {
    config: PulseConfig,
    next_light: Moment,
    next_full: Moment,
    /// When the last whole look ended.
    last_full: Moment,
    /// What failed in the last look that told anything new.
    failed: BTreeSet<Failed>,
    /// The last quick look saw what only a whole one can tell, and is repeated first.
    is_repeated: bool,
}

type Failed = (CellFrom, To, ProbeKind);

impl Pulse {
    /// The first look is a whole one.
    pub fn start(config: PulseConfig, now: Moment) -> Self {
        Self {
            config,
            next_light: now,
            next_full: now,
            last_full: now,
            failed: BTreeSet::new(),
            is_repeated: false,
        }
    }

    /// When the next look is due, and which.
    pub fn next(&self) -> (Moment, Depth) {
        if self.next_full <= self.next_light {
            (self.next_full, Depth::Full)
        } else {
            (self.next_light, Depth::Light)
        }
    }

    /// After a look that `began` then and ended `now`, and that the incidents have taken in.
    pub fn handle_look(
        &mut self,
        report: &Report,
        depth: Depth,
        incidents: &Incidents,
        began: Moment,
        now: Moment,
    ) {
        // Looks that take longer than they may must not fill all of the time.
        self.next_light = (began + self.config.light).max(now + now.since(began) / 10);
        let failed = failed(report);
        let is_ill = incidents.open().next().is_some() || !failed.is_empty();
        if depth == Depth::Full {
            let wait = if is_ill {
                self.config.full_when_ill.min(self.config.full)
            } else {
                self.config.full
            };
            self.next_full = now + wait;
            self.last_full = now;
            self.failed = failed;
            if incidents.has_suspects() {
                // A quick look confirms as well, but for what only whole ones see.
                let next = if incidents.suspect_only_light() {
                    &mut self.next_light
                } else {
                    &mut self.next_full
                };
                *next = now;
            }
            return;
        }
        let is_news = failed != self.failed;
        self.failed = failed;
        let is_repeated = std::mem::take(&mut self.is_repeated);
        let wants = incidents.want_full() || (is_ill && (is_news || is_repeated));
        if incidents.open().any(|incident| !incident.is_known) {
            self.next_full = now;
        } else if incidents.has_suspects() && !incidents.want_full() {
            self.next_light = now;
        } else if wants && !is_repeated {
            // A fault that comes in the midst of a look shows in part, and looks like noise: the next quick one shows it whole.
            self.is_repeated = true;
            self.next_light = now;
        } else if wants && incidents.doubt().is_none() {
            // What comes and goes is news each time.
            self.next_full = self
                .next_full
                .min((self.last_full + self.config.full_when_ill / 3).max(now));
        }
    }
}

fn failed(report: &Report) -> BTreeSet<Failed> {
    let failed = report.cells.iter().filter(|cell| cell.state == CellState::Failed);
    failed
        .map(|cell| (cell.from.clone(), cell.to.clone(), cell.probe))
        .collect()
}

#[cfg(test)]
mod tests;
