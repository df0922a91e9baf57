//! The watch itself: when to look, what a look means, and to whom that goes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use mesh_core::{
    Depth, IncidentChange, IncidentConfig, IncidentId, IncidentLook, Incidents, Moment, Pulse, PulseConfig,
    node_reach,
};
use mesh_proto::{Coverage, NodeName, Report, Verdict};
use tokio::sync::watch;

use super::minute::Minutes;
use super::notice::{Notice, NoticeKind, Outlet};
use super::record::STATUS_SCHEMA;
use super::{IncidentRecord, LookRecord, Metrics, NodeNote, NodesSeen, Published, Standing, StatusRecord};
use crate::drive::{Clock, DriveOptions, Interrupt, NoRandomness, Progress, Session};
use crate::history::HistoryWriter;

/// How it watches.
#[derive(Debug)]
pub(crate) struct Looking {
    pub(crate) pulse: PulseConfig,
    pub(crate) incidents: IncidentConfig,
    /// For whole looks; quick ones are made of it.
    pub(crate) options: DriveOptions,
    /// What the first new incident is called.
    pub(crate) first_incident: IncidentId,
}

/// Who watches.
#[derive(Debug)]
pub(crate) struct Watcher {
    clock: Clock,
    pulse: Pulse,
    incidents: Incidents,
    full: DriveOptions,
    /// How long the last quick look took that had all the time it needed.
    light_took: Duration,
    looks: u64,
    shown: Option<Arc<Report>>,
    /// Of the last look.
    coverage: Option<Coverage>,
    /// The last picture that the history has: when, and of what.
    kept: Option<(Timestamp, u64)>,
    minutes: Minutes,
    tell: watch::Sender<Option<Arc<Published>>>,
    metrics: Arc<Metrics>,
    history: Arc<HistoryWriter>,
    told: Told,
}

/// Who is told besides.
#[derive(Debug, Clone, Default)]
pub(crate) struct Told {
    /// Of incidents.
    pub(crate) outlets: Vec<Outlet>,
    /// Of nodes, after each look.
    pub(crate) nodes: Option<watch::Sender<NodesSeen>>,
}

/// What is known besides what a look brings.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Beside<'a> {
    /// Nodes that nobody expects to be whole, and why.
    pub(crate) excused: &'a BTreeMap<NodeName, String>,
    /// How old the list of who takes part is, where it cannot be asked for.
    pub(crate) roster: Option<&'a str>,
    pub(crate) standing: &'a Standing,
    /// Nodes that have the startup taint.
    pub(crate) tainted: &'a BTreeSet<NodeName>,
}

/// A quick look of a small cluster ends by then, whoever hangs: what is not observed is unknown.
const LIGHT_ENDS: Duration = Duration::from_millis(1_500);
/// Nor does it wait longer for a link.
const LIGHT_LINK: Duration = Duration::from_millis(400);
/// For the first one, of which nobody knows yet how long it takes.
const FIRST_LIGHT_ENDS: Duration = Duration::from_secs(30);
/// A quick look may take so many times as long as one that was not cut.
const LIGHT_PATIENCE: u32 = 4;
/// While agents are missing it is asked so often who takes part; a watch, where it is allowed, says sooner.
const ROSTER_AGAIN: Duration = Duration::from_secs(10);
/// The whole picture is kept when it changes, and as often as this.
const PICTURE_EVERY: SignedDuration = SignedDuration::from_mins(30);

impl Watcher {
    pub(crate) fn new(
        looking: Looking,
        tell: watch::Sender<Option<Arc<Published>>>,
        metrics: Arc<Metrics>,
        history: Arc<HistoryWriter>,
        told: Told,
    ) -> Self {
        let clock = Clock::start();
        Self {
            pulse: Pulse::start(looking.pulse, clock.now()),
            incidents: Incidents::new(looking.incidents, looking.first_incident),
            clock,
            full: looking.options,
            light_took: FIRST_LIGHT_ENDS / LIGHT_PATIENCE,
            looks: 0,
            shown: None,
            coverage: None,
            kept: None,
            minutes: Minutes::default(),
            tell,
            metrics,
            history,
            told,
        }
    }

    /// Waits for the next look, if nobody interrupts; which one it is.
    pub(crate) async fn wait(&mut self, interrupt: &mut Interrupt) -> Option<Depth> {
        let (at, depth) = self.pulse.next();
        tokio::select! {
            biased;
            () = interrupt.wait() => None,
            () = tokio::time::sleep_until(self.clock.instant(at)) => Some(depth),
        }
    }

    /// Whether it matters before the next look who takes part by now: nobody is to be blamed who left a moment ago, and whoever
    /// came back stands elsewhere. It was asked last so long ago.
    pub(crate) fn wants_roster(&self, depth: Depth, asked_ago: Option<Duration>) -> bool {
        let is_blind = self.coverage.is_some_and(|coverage| coverage.unknown > 0);
        let is_old = asked_ago.is_none_or(|ago| ago >= ROSTER_AGAIN);
        depth == Depth::Full || self.incidents.has_suspects() || (is_blind && is_old)
    }

    /// Looks once, and tells everybody.
    pub(crate) async fn look(
        &mut self,
        session: &mut Session,
        depth: Depth,
        beside: Beside<'_>,
        interrupt: &Interrupt,
    ) -> Result<(), NoRandomness> {
        let (began, began_at) = (self.clock.now(), Timestamp::now());
        let options = match depth {
            Depth::Full => self.full.clone(),
            Depth::Light => self.light(),
        };
        let report = session
            .look(&options, interrupt.clone(), &Progress::silent())
            .await?;
        if report.interrupted {
            return Ok(());
        }
        let now = self.clock.now();
        let took = now.since(began);
        if depth == Depth::Light && took < options.timeout {
            self.light_took = took;
        }
        let look = LookRecord {
            depth: name(depth).to_owned(),
            began: began_at,
            finished: Timestamp::now(),
        };
        self.take(report, depth, beside, look, (began, now));
        Ok(())
    }

    fn light(&self) -> DriveOptions {
        DriveOptions {
            timeout: LIGHT_ENDS.max(self.light_took * LIGHT_PATIENCE),
            plan: self.full.plan.light(),
            link_patience: LIGHT_LINK,
            look_closer: false,
            ..self.full.clone()
        }
    }

    fn take(
        &mut self,
        report: Report,
        depth: Depth,
        beside: Beside<'_>,
        look: LookRecord,
        (began, now): (Moment, Moment),
    ) {
        let report = Arc::new(report);
        for finding in &report.findings {
            tracing::info!(depth = look.depth, cause = %finding.cause, confidence = %finding.confidence, summary = finding.summary, "a look found");
        }
        let changes = self.incidents.handle_look(
            IncidentLook {
                report: &report,
                depth,
                excused: beside.excused,
            },
            now,
        );
        self.pulse
            .handle_look(&report, depth, &self.incidents, began, now);
        self.looks += 1;
        self.coverage = Some(report.coverage);
        self.metrics.looked(depth, now.since(began), &report);
        let at = look.finished;
        for change in &changes {
            self.tell_of(change, now, at);
        }
        if let Some((minute, rows)) = self.minutes.handle_look(&report, at) {
            self.history.minute(minute, rows);
        }
        let is_shown = self.show(&report, depth);
        let mut with_newcomers = self.incidents.newcomers(now);
        with_newcomers.extend(
            beside
                .excused
                .iter()
                .map(|(node, why)| (node.clone(), why.clone())),
        );
        self.tell_of_nodes(&report, &with_newcomers, beside.tainted);
        let published = Published::new(
            self.status(&report, look, beside, with_newcomers, now, at),
            self.picture(&report),
        );
        let is_kept = self
            .kept
            .is_some_and(|(then, of)| of == published.fingerprint && at.duration_since(then) < PICTURE_EVERY);
        if depth == Depth::Full && is_shown && !is_kept {
            self.kept = Some((at, published.fingerprint));
            self.history.report(at, Arc::clone(&published.report));
        }
        self.tell.send_replace(Some(Arc::new(published)));
    }

    /// Whether this look says more of what is now than the one that is shown.
    fn show(&mut self, report: &Arc<Report>, depth: Depth) -> bool {
        let is_known = self.incidents.open().any(|open| open.is_known);
        let says_more = depth == Depth::Full || report.findings.is_empty() || !is_known;
        let is_shown = self.shown.is_none() || (says_more && self.incidents.doubt().is_none());
        if is_shown {
            self.shown = Some(Arc::clone(report));
        }
        is_shown
    }

    fn picture(&self, report: &Arc<Report>) -> Arc<Report> {
        Arc::clone(self.shown.as_ref().unwrap_or(report))
    }

    fn status(
        &self,
        report: &Report,
        look: LookRecord,
        beside: Beside<'_>,
        excuses: BTreeMap<NodeName, String>,
        now: Moment,
        at: Timestamp,
    ) -> StatusRecord {
        let doubt = self.incidents.doubt();
        let open: Vec<_> = self
            .incidents
            .open()
            .map(|open| IncidentRecord::of(open, now, at))
            .collect();
        StatusRecord {
            schema: STATUS_SCHEMA.to_owned(),
            version: mesh_proto::SOFTWARE.to_owned(),
            verdict: match doubt {
                Some(_) => Verdict::Unknown,
                None => self.shown.as_ref().map_or(report.verdict, |shown| shown.verdict),
            },
            doubt: doubt.map(|doubt| doubt.why.clone()),
            roster: beside.roster.map(str::to_owned),
            lead: beside.standing.note(),
            looks: self.looks,
            last_look: look,
            nodes: report.nodes.len(),
            coverage: report.coverage,
            suspected: self.incidents.current().len() - open.len(),
            incidents: open,
            excused: excuses
                .into_iter()
                .map(|(node, why)| NodeNote { node, why })
                .collect(),
        }
    }

    fn tell_of_nodes(
        &self,
        report: &Arc<Report>,
        excused: &BTreeMap<NodeName, String>,
        tainted: &BTreeSet<NodeName>,
    ) {
        let Some(nodes) = &self.told.nodes else {
            return;
        };
        nodes.send_replace(NodesSeen {
            reach: node_reach(&self.picture(report), &self.incidents, excused),
            doubt: self.incidents.doubt().map(|doubt| doubt.why.clone()),
            tainted: tainted.clone(),
        });
    }

    fn tell_of(&mut self, change: &IncidentChange, now: Moment, at: Timestamp) {
        let (IncidentChange::Opened(incident)
        | IncidentChange::Renamed(incident)
        | IncidentChange::Closed(incident)) = change;
        let notice = Notice {
            what: NoticeKind::of(change),
            at,
            incident: IncidentRecord::of(incident, now, at),
        };
        self.metrics.changed(change);
        let record = &notice.incident;
        crate::cli::tell(format_args!(
            "{at:.0} incident {} {}: {}: {}",
            record.id,
            notice.what.name(),
            crate::render::place(&record.finding),
            crate::render::plain(&record.finding.summary)
        ));
        for outlet in &self.told.outlets {
            outlet.put(&notice, &self.metrics);
        }
        self.history.incident(notice.incident);
    }
}

fn name(depth: Depth) -> &'static str {
    match depth {
        Depth::Light => "light",
        Depth::Full => "full",
    }
}
