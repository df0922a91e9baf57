//! The gate: one decision over a row of reports. It opens when what it watches was reachable, both ways, on all planes and
//! by all kinds of probe, for as long as was asked; it never opens by a time-out.

mod standing;

use std::time::Duration;

use mesh_proto::{Cell, Finding, NodeName, Report, Verdict};

use self::standing::{Blocking, Standing};
use crate::moment::Moment;

/// What the gate watches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GateScope {
    /// Every node.
    All,
    /// One node, as a source and as a target.
    Node(NodeName),
}

/// What is asked of the gate.
#[derive(Debug, Clone)]
pub struct GateConfig {
    /// What it watches.
    pub scope: GateScope,
    /// How long it must have been reachable without a break.
    pub steady: Duration,
    /// How long the gate waits for that.
    pub timeout: Duration,
    /// From the end of one look to the beginning of the next.
    pub interval: Duration,
    /// What was bad before blocks nothing: only what is worse than in here does.
    pub baseline: Option<Report>,
    /// Degraded cells and lost ICMP block as well.
    pub strict: bool,
}

/// The state machine: reports go in, one decision comes out.
#[derive(Debug)]
pub struct Gate {
    config: GateConfig,
    began: Moment,
    /// When the next look is due.
    next: Moment,
    /// Since when every look was good.
    good_since: Option<Moment>,
    looks: u32,
    /// How long the last look took.
    took: Duration,
    last: Option<Last>,
    decision: Option<Decision>,
}

/// What the last look brought.
#[derive(Debug, Clone)]
enum Last {
    Saw(Standing),
    /// There was none to be had, and why.
    Missed(String),
}

/// What the driver is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GateStep {
    /// Look now.
    Look,
    /// Wait until then.
    Wait(Moment),
    /// The decision is there.
    Decided,
}

/// The gate's answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// `Reachable` opens the gate; the others keep it closed.
    pub verdict: Verdict,
    /// Why, in a sentence or two.
    pub explanation: String,
    /// Findings that block.
    pub findings: Vec<Finding>,
    /// Cells that block, the failed ones first; a bounded number of them.
    pub cells: Vec<Cell>,
    /// How many block.
    pub blocking: usize,
    /// How often was looked.
    pub looks: u32,
    /// How long was waited.
    pub waited: Duration,
}

/// Cells that a decision names: who wants more has the report.
const CELLS_NAMED: usize = 100;

impl Gate {
    /// A gate that is closed, and to look at once.
    pub fn start(config: GateConfig, now: Moment) -> Self {
        Self {
            config,
            began: now,
            next: now,
            good_since: None,
            looks: 0,
            took: Duration::ZERO,
            last: None,
            decision: None,
        }
    }

    /// When the gate gives up.
    pub fn deadline(&self) -> Moment {
        self.began + self.config.timeout
    }

    /// What is to be done. The only place where waiting comes to its end.
    pub fn step(&mut self, now: Moment) -> GateStep {
        if self.decision.is_some() {
            return GateStep::Decided;
        }
        if now >= self.deadline() || !self.may_still_open(now) {
            self.give_up(now);
            return GateStep::Decided;
        }
        if now >= self.next {
            if self.last.is_some() && now + self.took > self.deadline() {
                // It would be cut, and tell less than is known.
                self.give_up(now);
                return GateStep::Decided;
            }
            GateStep::Look
        } else {
            GateStep::Wait(self.next.min(self.deadline()))
        }
    }

    /// Takes in what a look found. It `began` then and ended `now`.
    pub fn handle_report(&mut self, report: &Report, began: Moment, now: Moment) {
        if self.decision.is_some() {
            return;
        }
        self.looks += 1;
        let standing = Standing::of(report, &self.config);
        if standing.verdict() == Verdict::Reachable {
            // What was seen is true since the look's beginning at the latest; the first look's own length is no proof of the
            // time before its end.
            let since = *self.good_since.get_or_insert(now);
            if began.since(since) >= self.config.steady || self.config.steady.is_zero() {
                self.decide(Verdict::Reachable, self.words_of_opening(report), None, now);
            }
        } else {
            self.good_since = None;
        }
        // A look that the end of all time cut says less than the one before it.
        let is_cut = now >= self.deadline() && standing.verdict() == Verdict::Unknown;
        let was_red = matches!(&self.last, Some(Last::Saw(last)) if last.verdict() == Verdict::Unreachable);
        if !(is_cut && was_red) {
            self.last = Some(Last::Saw(standing));
        }
        self.took = now.since(began);
        self.plan_next(now);
    }

    /// A look that brought no report: what was good so far has a gap now.
    pub fn handle_missed(&mut self, why: impl Into<String>, now: Moment) {
        self.good_since = None;
        self.last = Some(Last::Missed(why.into()));
        self.plan_next(now);
    }

    /// Somebody gave up before the gate did.
    pub fn interrupt(&mut self, now: Moment) {
        if self.decision.is_none() {
            self.give_up(now);
        }
    }

    /// The decision, once it is made.
    pub fn decision(&self) -> Option<&Decision> {
        self.decision.as_ref()
    }

    /// What stands in the way now, in a few words, for those who watch it wait.
    pub fn waits_for(&self, now: Moment) -> String {
        match (&self.last, self.good_since) {
            (None, _) => "the first look".to_owned(),
            (Some(Last::Missed(why)), _) => format!("a look: {why}"),
            (Some(Last::Saw(_)), Some(since)) if now.since(since) >= self.config.steady => {
                "the last look".to_owned()
            }
            (Some(Last::Saw(_)), Some(since)) => format!(
                "{} more of {} without a fault",
                words(whole_seconds(self.config.steady.saturating_sub(now.since(since)))),
                words(self.config.steady)
            ),
            (Some(Last::Saw(standing)), None) => standing.words(&self.config.scope),
        }
    }

    /// The next look is timed so that the last one of a good row begins when its time is full.
    fn plan_next(&mut self, now: Moment) {
        let usual = now + self.config.interval;
        self.next = match self.good_since {
            Some(since) => usual.min((since + self.config.steady).max(now)),
            None => usual,
        };
    }

    fn may_still_open(&self, now: Moment) -> bool {
        self.good_since.unwrap_or(now) + self.config.steady <= self.deadline()
    }

    fn give_up(&mut self, now: Moment) {
        let waited = words(now.since(self.began));
        let (verdict, why, standing) = match self.last.take() {
            None => (Verdict::Unknown, "not one look came to its end".to_owned(), None),
            Some(Last::Missed(why)) => (Verdict::Unknown, why, None),
            Some(Last::Saw(standing)) => {
                let (verdict, why) = match (standing.verdict(), self.good_since) {
                    (Verdict::Reachable, since) => (
                        Verdict::Unknown,
                        format!(
                            "{} reachable, but only for {} of the {} that were asked for",
                            are(&self.config.scope),
                            words(now.since(since.unwrap_or(now))),
                            words(self.config.steady)
                        ),
                    ),
                    (verdict, _) => (verdict, standing.words(&self.config.scope)),
                };
                (verdict, why, Some(standing))
            }
        };
        self.decide(verdict, format!("{why}, after {waited}"), standing, now);
    }

    fn decide(&mut self, verdict: Verdict, explanation: String, standing: Option<Standing>, now: Moment) {
        let blocking = standing.unwrap_or_default();
        self.decision = Some(Decision {
            verdict,
            explanation,
            blocking: blocking.cells.len(),
            findings: blocking.findings,
            cells: blocking
                .cells
                .into_iter()
                .map(|Blocking { cell, .. }| cell)
                .take(CELLS_NAMED)
                .collect(),
            looks: self.looks,
            waited: now.since(self.began),
        });
    }

    fn words_of_opening(&self, report: &Report) -> String {
        let what = are(&self.config.scope);
        let steady = if self.config.steady.is_zero() {
            String::new()
        } else {
            format!(" for {}", words(self.config.steady))
        };
        let nodes = report.nodes.len();
        let baseline = if self.config.baseline.is_some() {
            ", but for what the baseline has as well"
        } else {
            ""
        };
        format!(
            "{what} reachable both ways, on all planes and by all kinds of probe{steady}, among {nodes} nodes{baseline}"
        )
    }
}

/// The subject of a sentence.
fn are(scope: &GateScope) -> String {
    match scope {
        GateScope::All => "all nodes are".to_owned(),
        GateScope::Node(name) => format!("{name} is"),
    }
}

fn whole_seconds(span: Duration) -> Duration {
    Duration::from_secs(span.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX))
}

/// A span of time for people: whole seconds are enough once there are some.
fn words(span: Duration) -> String {
    let seconds = span.as_secs();
    match (seconds / 60, seconds % 60) {
        (0, 0) => format!("{} ms", span.as_millis()),
        (0, seconds) => format!("{seconds} s"),
        (minutes, 0) => format!("{minutes} min"),
        (minutes, seconds) => format!("{minutes} min {seconds} s"),
    }
}

#[cfg(test)]
mod tests;
