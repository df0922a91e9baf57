//! What the server tells of itself, in JSON: schema `mesh.status/v1`, and incidents.

use jiff::Timestamp;
use mesh_core::{Incident, IncidentState, Moment};
use mesh_proto::{Coverage, Finding, NodeName, Verdict};
use serde::{Deserialize, Serialize};

/// The value of a status's `schema`.
pub(crate) const STATUS_SCHEMA: &str = "mesh.status/v1";

/// How things stand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct StatusRecord {
    pub(crate) schema: String,
    pub(crate) version: String,
    /// `unknown` also while the coordinator doubts itself.
    pub(crate) verdict: Verdict,
    /// Why the coordinator does not trust what it sees, if it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) doubt: Option<String>,
    /// How old the list of who takes part is, where it cannot be asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) roster: Option<String>,
    /// Why another coordinator may lead, if one may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) lead: Option<String>,
    /// Looks since the start.
    pub(crate) looks: u64,
    pub(crate) last_look: LookRecord,
    pub(crate) nodes: usize,
    pub(crate) coverage: Coverage,
    /// Open ones, the oldest first.
    pub(crate) incidents: Vec<IncidentRecord>,
    /// Seen once, and not yet confirmed.
    pub(crate) suspected: usize,
    /// Nodes that nobody expects to be whole now, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) excused: Vec<NodeNote>,
}

/// One look.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct LookRecord {
    /// `light` or `full`.
    pub(crate) depth: String,
    pub(crate) began: Timestamp,
    pub(crate) finished: Timestamp,
}

/// A node and words.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct NodeNote {
    pub(crate) node: NodeName,
    pub(crate) why: String,
}

/// An incident.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct IncidentRecord {
    pub(crate) id: u64,
    pub(crate) state: IncidentStateRecord,
    /// When it was first seen.
    pub(crate) since: Timestamp,
    /// When it was last confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) opened: Option<Timestamp>,
    /// When it was last seen.
    pub(crate) seen: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) closed: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) why_closed: Option<String>,
    /// How often it was opened.
    pub(crate) count: u32,
    pub(crate) flapping: bool,
    /// A whole look has named it; else cause and place are a first guess.
    pub(crate) named: bool,
    pub(crate) finding: Finding,
}

/// Where an incident is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum IncidentStateRecord {
    Suspected,
    Open,
    Closed,
}

impl IncidentRecord {
    /// The same with times of day: it is `now`, and that is the clock's `moment`.
    pub(crate) fn of(incident: &Incident, moment: Moment, now: Timestamp) -> Self {
        let at = |then: Moment| now.saturating_sub(moment.since(then)).unwrap_or(now);
        Self {
            id: incident.id.0,
            state: match incident.state {
                IncidentState::Suspected => IncidentStateRecord::Suspected,
                IncidentState::Open => IncidentStateRecord::Open,
                IncidentState::Closed => IncidentStateRecord::Closed,
            },
            since: at(incident.since),
            opened: incident.opened.map(at),
            seen: at(incident.seen),
            closed: incident.closed.map(|(then, _)| at(then)),
            why_closed: incident.closed.map(|(_, why)| why.words().to_owned()),
            count: incident.count,
            flapping: incident.is_flapping,
            named: incident.is_known,
            finding: incident.finding.clone(),
        }
    }
}
