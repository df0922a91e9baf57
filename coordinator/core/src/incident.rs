//! Incidents: findings that come back from look to look, with a beginning and an end. One look alone opens nothing, one good
//! look alone closes nothing, and what comes and goes stays open as flapping. Nobody is blamed who comes, goes or is known
//! not to be ready, and nobody at all while the observer itself is cut off.

mod births;
mod cells;
mod doubt;
mod place;

use std::collections::BTreeMap;
use std::time::Duration;

use mesh_proto::{Cause, CellState, Finding, NodeName, Report, Severity};

use self::births::Births;
use self::cells::{Ill, is_weak};
pub use self::doubt::Doubt;
use self::place::{Likeness, likeness};
use crate::moment::Moment;
use crate::pulse::Depth;

/// The numbers of incidents.
#[derive(Debug, Clone, Copy)]
pub struct IncidentConfig {
    /// Looks in a row that must see a fault until it is open: the second look confirms the first.
    pub confirm: u32,
    /// Looks in a row that must not see it until it is closed.
    pub clear: u32,
    /// What comes again within this time is the same incident.
    pub remember: Duration,
    /// Openings within one incident from which on it is flapping.
    pub flaps: u32,
    /// What flaps is closed only after this time without it. What cannot be looked at any more is closed after it too.
    pub calm: Duration,
    /// What is wrong with a node that came is no incident for so long, unless all was well with it once.
    pub grace: Duration,
}

impl Default for IncidentConfig {
    fn default() -> Self {
        Self {
            confirm: 2,
            clear: 2,
            remember: Duration::from_mins(10),
            flaps: 3,
            calm: Duration::from_mins(2),
            grace: Duration::from_mins(1),
        }
    }
}

/// An incident's number: unique in the life of the history that it is kept in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IncidentId(pub u64);

/// Where an incident is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IncidentState {
    /// Seen, but not yet a second time.
    Suspected,
    /// Confirmed.
    Open,
    /// It is over.
    Closed,
}

/// A fault over time.
#[derive(Debug, Clone, PartialEq)]
pub struct Incident {
    /// Its number.
    pub id: IncidentId,
    /// Where it is in its life.
    pub state: IncidentState,
    /// What is known of it: that of the deepest look.
    pub finding: Finding,
    /// A whole look named it, not only a quick one.
    pub is_known: bool,
    /// When it was first seen.
    pub since: Moment,
    /// When it was last confirmed; `None` before the first time.
    pub opened: Option<Moment>,
    /// When it was last seen.
    pub seen: Moment,
    /// When it was closed, and why, if it is.
    pub closed: Option<(Moment, Closing)>,
    /// How often it was opened.
    pub count: u32,
    /// It comes and goes.
    pub is_flapping: bool,
    hits: u32,
    misses: u32,
    /// What was ill at its place when it was first seen.
    ill: Ill,
}

/// Why an incident was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closing {
    /// It is not seen any more.
    Mended,
    /// Its node was taken out of the cluster.
    NodeLeft,
    /// Nobody can look at it any more.
    OutOfSight,
}

impl Closing {
    /// The same in words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Mended => "it is not seen any more",
            Self::NodeLeft => "its node left the cluster",
            Self::OutOfSight => "nobody can look at it any more",
        }
    }
}

/// What a look changed.
#[derive(Debug, Clone, PartialEq)]
pub enum IncidentChange {
    /// A second look confirmed it.
    Opened(Incident),
    /// Cause or place are known better now, or a whole look has named them for the first time.
    Renamed(Incident),
    /// It is over.
    Closed(Incident),
}

/// A look and what is known besides.
#[derive(Debug, Clone, Copy)]
pub struct IncidentLook<'a> {
    /// What it brought.
    pub report: &'a Report,
    /// How hard it looked.
    pub depth: Depth,
    /// Nodes that nobody expects to answer, and why: not ready, drained, being deleted.
    pub excused: &'a BTreeMap<NodeName, String>,
}

/// All incidents that are, and those that were a moment ago.
#[derive(Debug)]
pub struct Incidents {
    config: IncidentConfig,
    current: Vec<Incident>,
    /// Closed, but remembered.
    recent: Vec<Incident>,
    births: Births,
    doubt: Option<Doubt>,
    wants_full: bool,
    next: u64,
}

impl Incidents {
    /// None yet; the first gets this number.
    pub fn new(config: IncidentConfig, first: IncidentId) -> Self {
        Self {
            config,
            current: Vec::new(),
            recent: Vec::new(),
            births: Births::new(config.grace),
            doubt: None,
            wants_full: false,
            next: first.0,
        }
    }

    /// Those that are suspected or open.
    pub fn current(&self) -> &[Incident] {
        &self.current
    }

    /// Those that were confirmed.
    pub fn open(&self) -> impl Iterator<Item = &Incident> {
        self.current
            .iter()
            .filter(|incident| incident.state == IncidentState::Open)
    }

    /// Whether something was seen once only.
    pub fn has_suspects(&self) -> bool {
        self.current
            .iter()
            .any(|incident| incident.state == IncidentState::Suspected)
    }

    /// Whether a quick look can confirm all that is suspected.
    pub(crate) fn suspect_only_light(&self) -> bool {
        let suspects = self
            .current
            .iter()
            .filter(|incident| incident.state == IncidentState::Suspected);
        suspects
            .map(|incident| &incident.finding)
            .all(|finding| finding.severity == Severity::Failure && !is_weak(finding))
    }

    /// Whether only a whole look can tell more: what is suspected, or was seen, is nothing that a quick one could confirm.
    pub(crate) fn want_full(&self) -> bool {
        let weak =
            |incident: &Incident| incident.state == IncidentState::Suspected && is_weak(&incident.finding);
        self.wants_full || self.current.iter().any(weak)
    }

    /// Why the observer does not trust itself now, if it does not.
    pub fn doubt(&self) -> Option<&Doubt> {
        self.doubt.as_ref()
    }

    /// Nodes that came a moment ago and were never well, with the words for it.
    pub fn newcomers(&self, now: Moment) -> BTreeMap<NodeName, String> {
        self.births.excuses(now)
    }

    /// Takes in what a look brought.
    pub fn handle_look(&mut self, look: IncidentLook<'_>, now: Moment) -> Vec<IncidentChange> {
        self.recent
            .retain(|incident| now.since(incident.seen) < self.config.remember);
        self.wants_full = false;
        self.doubt = Doubt::of(look.report, look.excused, self.doubt.take(), now);
        if self.doubt.is_some() {
            return Vec::new();
        }
        self.births.handle_look(look.report, now);
        let mut excused = self.births.excuses(now);
        excused.extend(look.excused.iter().map(|(node, why)| (node.clone(), why.clone())));

        let mut changes = self.close_those_that_left(look.report, now);
        let findings: Vec<&Finding> = look
            .report
            .findings
            .iter()
            .filter(|finding| finding.severity == Severity::Failure || look.depth == Depth::Full)
            .filter(|finding| !place::is_excused(&finding.place, &excused) || self.is_of_open(finding))
            .collect();
        let ill = Ill::of(look.report, look.depth);
        if look.depth == Depth::Light && !findings.is_empty() {
            changes.extend(self.take_light(&findings, &ill, now));
            return changes;
        }
        let mut seen = vec![false; self.current.len()];
        for finding in findings {
            let at_place = ill.at(&finding.place);
            if let Some(slot) = self.find(finding, look.depth, &seen) {
                seen[slot] = true;
                changes.extend(self.see_again(slot, finding, look.depth, at_place, now));
            } else {
                let incident = self.begin(finding, look.depth, at_place, now);
                self.current.push(incident);
                seen.push(true);
            }
        }
        changes.extend(self.miss(&seen, look, now));
        changes
    }

    /// A quick look that saw something tells whether something is wrong, and hardly what: it neither ends nor renames what a
    /// whole one named, and of the rest it believes only what has a place and a name, away from agents that were starved.
    fn take_light(&mut self, findings: &[&Finding], ill: &Ill, now: Moment) -> Vec<IncidentChange> {
        let mut changes = Vec::new();
        let mut seen = vec![false; self.current.len()];
        let has_known = self.open().any(|open| open.is_known);
        for (number, finding) in findings.iter().enumerate() {
            // Of one fault it makes several at one place, the one that explains most first.
            let is_aside = |other: &&Finding| likeness(other, finding) >= Likeness::Near;
            if findings[..number].iter().any(is_aside) {
                continue;
            }
            let near = |incident: &&mut Incident| {
                incident.is_known
                    && incident.state == IncidentState::Open
                    && likeness(&incident.finding, finding) >= Likeness::Near
            };
            if let Some(known) = self.current.iter_mut().find(near) {
                known.seen = now;
                known.misses = 0;
                continue;
            }
            let at_place = ill.at(&finding.place);
            // Beside a fault that is known, or that explains more, what has no name is most likely another side of it.
            let is_nameless = (has_known || number > 0) && finding.cause == Cause::Unknown;
            if is_weak(finding) || is_nameless || at_place.is_empty() {
                self.wants_full = true;
            } else if let Some(slot) = self.find(finding, Depth::Light, &seen) {
                seen[slot] = true;
                changes.extend(self.see_again(slot, finding, Depth::Light, at_place, now));
            } else {
                let incident = self.begin(finding, Depth::Light, at_place, now);
                self.current.push(incident);
                seen.push(true);
            }
        }
        // What only quick looks saw, and this one did not: noise. What a whole one saw waits for the next.
        let mut slot = 0;
        self.current.retain(|incident| {
            let was_seen = seen.get(slot).copied().unwrap_or(true);
            slot += 1;
            was_seen || incident.is_known || incident.state == IncidentState::Open
        });
        self.wants_full |= self.current.iter().zip(seen).any(|(incident, was_seen)| {
            !was_seen && incident.is_known && incident.state == IncidentState::Suspected
        });
        changes
    }

    /// The incident that a finding is of; each is of one finding only.
    fn find(&self, finding: &Finding, depth: Depth, taken: &[bool]) -> Option<usize> {
        let alike = |(slot, incident): (usize, &Incident)| {
            let alike = likeness(&incident.finding, finding);
            // While the place is not known for sure, near is near enough.
            let enough = match alike {
                Likeness::Same | Likeness::SamePlace => true,
                Likeness::Near => {
                    !incident.is_known || depth == Depth::Light || incident.finding.cause == finding.cause
                }
                Likeness::None => false,
            };
            (enough && !taken.get(slot).copied().unwrap_or(false)).then_some((alike, slot))
        };
        let all = self.current.iter().enumerate().filter_map(alike);
        // The first of equals.
        all.min_by_key(|(alike, slot)| (std::cmp::Reverse(*alike), *slot))
            .map(|(_, slot)| slot)
    }

    /// A new one, or one that was closed a moment ago.
    fn begin(&mut self, finding: &Finding, depth: Depth, ill: Ill, now: Moment) -> Incident {
        let known = self
            .recent
            .iter()
            .position(|incident| likeness(&incident.finding, finding) >= Likeness::SamePlace);
        let mut incident = if let Some(slot) = known {
            self.recent.swap_remove(slot)
        } else {
            let id = IncidentId(self.next);
            self.next += 1;
            Incident {
                id,
                state: IncidentState::Suspected,
                finding: finding.clone(),
                is_known: false,
                since: now,
                opened: None,
                seen: now,
                closed: None,
                count: 0,
                is_flapping: false,
                hits: 0,
                misses: 0,
                ill: Ill::default(),
            }
        };
        incident.state = IncidentState::Suspected;
        incident.closed = None;
        (incident.hits, incident.misses, incident.ill) = (1, 0, ill);
        incident.seen = now;
        // What was there before need not be what is there now.
        incident.finding = finding.clone();
        incident.is_known = depth == Depth::Full;
        incident
    }

    fn see_again(
        &mut self,
        slot: usize,
        finding: &Finding,
        depth: Depth,
        ill: Ill,
        now: Moment,
    ) -> Option<IncidentChange> {
        let incident = &mut self.current[slot];
        let is_open = incident.state == IncidentState::Open;
        // Noise is elsewhere each time; a fault stays where it is.
        if is_open || incident.ill.is_mostly_in(&ill) || (depth == Depth::Full && !is_weak(finding)) {
            incident.hits += 1;
        } else {
            (incident.hits, incident.ill) = (1, ill);
        }
        incident.misses = 0;
        incident.seen = now;
        let mut renamed = false;
        if depth == Depth::Full || !incident.is_known {
            renamed = likeness(&incident.finding, finding) != Likeness::Same
                || incident.finding.confidence != finding.confidence;
            incident.finding = finding.clone();
        }
        // Until then whoever tells others had better wait.
        renamed |= depth == Depth::Full && !incident.is_known;
        incident.is_known |= depth == Depth::Full;
        if is_open {
            return renamed.then(|| IncidentChange::Renamed(incident.clone()));
        }
        self.confirm(slot, now)
    }

    fn confirm(&mut self, slot: usize, now: Moment) -> Option<IncidentChange> {
        let incident = &mut self.current[slot];
        if incident.state == IncidentState::Open || incident.hits < self.config.confirm {
            return None;
        }
        incident.state = IncidentState::Open;
        incident.opened = Some(now);
        incident.count += 1;
        incident.is_flapping = incident.count >= self.config.flaps;
        Some(IncidentChange::Opened(incident.clone()))
    }

    /// What a look did not see.
    fn miss(&mut self, seen: &[bool], look: IncidentLook<'_>, now: Moment) -> Vec<IncidentChange> {
        let (config, mut changes) = (self.config, Vec::new());
        let mut kept = Vec::with_capacity(self.current.len());
        for (slot, mut incident) in std::mem::take(&mut self.current).into_iter().enumerate() {
            if seen.get(slot).copied().unwrap_or(true) {
                kept.push(incident);
                continue;
            }
            incident.hits = 0;
            if incident.state == IncidentState::Suspected {
                // Seen once and not again: noise. Of one that was open before, the memory stays.
                if incident.count > 0 {
                    incident.state = IncidentState::Closed;
                    self.recent.push(incident);
                }
                continue;
            }
            let gone = now.since(incident.seen);
            let closing = if place::is_in_sight(&incident.finding.place, look.report, CellState::Unknown) {
                incident.misses += 1;
                let calm = !incident.is_flapping || gone >= config.calm;
                (incident.misses >= config.clear && calm).then_some(Closing::Mended)
            } else {
                (gone >= config.calm).then_some(Closing::OutOfSight)
            };
            match closing {
                Some(why) => changes.push(IncidentChange::Closed(self.close(incident, why, now))),
                None => kept.push(incident),
            }
        }
        self.current = kept;
        changes
    }

    /// Whether a fault was there before anybody excused its node: a node whose power was cut is not ready later on.
    fn is_of_open(&self, finding: &Finding) -> bool {
        self.open()
            .any(|open| likeness(&open.finding, finding) >= Likeness::SamePlace)
    }

    fn close_those_that_left(&mut self, report: &Report, now: Moment) -> Vec<IncidentChange> {
        let mut changes = Vec::new();
        for incident in std::mem::take(&mut self.current) {
            let place = &incident.finding.place;
            if !place::has_left(place, report) {
                self.current.push(incident);
            } else if incident.state == IncidentState::Open {
                changes.push(IncidentChange::Closed(self.close(
                    incident,
                    Closing::NodeLeft,
                    now,
                )));
            }
        }
        changes
    }

    fn close(&mut self, mut incident: Incident, why: Closing, now: Moment) -> Incident {
        incident.state = IncidentState::Closed;
        incident.closed = Some((now, why));
        self.recent.push(incident.clone());
        incident
    }
}

#[cfg(test)]
mod churn_tests;
#[cfg(test)]
mod tests;
