//! The report, schema `mesh.report/v1`: what a run found, for machines and for people.
//!
//! Fields are added, never changed. The JSON Schema is generated from these types ([`report_schema`]) and committed
//! as `proto/report.schema.json`.

mod cell;
mod finding;

use serde::{Deserialize, Serialize};

pub use self::cell::{
    Cell, CellReason, CertificateRecord, FlowRecord, From, IcmpRecord, LocalErrorRecord, RttUs, To,
};
pub use self::finding::{Finding, Where};
use crate::{Ground, NodeName, Plane, PlaneState, ProbeKind, Verdict};

/// The value of `schema`.
pub const SCHEMA: &str = "mesh.report/v1";

/// A whole report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Report {
    /// Always `mesh.report/v1`.
    #[schemars(extend("const" = "mesh.report/v1"))]
    pub schema: String,
    /// Which run.
    pub run: Run,
    /// The answer.
    pub verdict: Verdict,
    /// Every node that should take part.
    pub nodes: Vec<Node>,
    /// How much was looked at.
    pub coverage: Coverage,
    /// What was observed; above 64 nodes only what is not reachable, unless all was asked for.
    pub cells: Vec<Cell>,
    /// Cells that are not reachable and not listed, since there are too many of them.
    #[serde(default, skip_serializing_if = "LeftOut::is_none")]
    pub left_out: LeftOut,
    /// Places and causes, those that explain most first.
    pub findings: Vec<Finding>,
    /// Failed cells under no finding.
    pub unexplained: u32,
    /// Degraded cells and ICMP loss counted as failures (`--strict`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub strict: bool,
    /// The run was interrupted before all was observed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub interrupted: bool,
    /// What the reader should know besides: probes that were not planned, facts that could not be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// Which run a report is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Run {
    /// Unique to the run.
    pub id: String,
    /// Where the agents stood.
    pub ground: Ground,
    /// RFC 3339.
    #[schemars(extend("format" = "date-time"))]
    pub started: String,
    /// RFC 3339.
    #[schemars(extend("format" = "date-time"))]
    pub finished: String,
    /// The software's version.
    pub version: String,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Node {
    /// Its name.
    pub name: NodeName,
    /// Its failure zone, where known (`topology.kubernetes.io/zone`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Its two networks.
    pub planes: Planes,
}

/// A node's networks; one that is not part of the run is left out.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Planes {
    /// The pod network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<PlaneRecord>,
    /// The node's own network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<PlaneRecord>,
}

impl Planes {
    /// The record of one plane.
    pub fn get(&self, plane: Plane) -> Option<&PlaneRecord> {
        match plane {
            Plane::Pod => self.pod.as_ref(),
            Plane::Host => self.host.as_ref(),
        }
    }

    /// Sets the record of one plane.
    pub fn set(&mut self, plane: Plane, record: PlaneRecord) {
        match plane {
            Plane::Pod => self.pod = Some(record),
            Plane::Host => self.host = Some(record),
        }
    }
}

/// What became of the agent of a node and plane.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct PlaneRecord {
    /// Where it is reached by probes, if it has an address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<std::net::IpAddr>,
    /// Whether it probed.
    pub state: PlaneState,
    /// Why it did not, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Round-trip times of all its answered tries, per kind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rtt: Vec<KindRttRecord>,
    /// Signs that the agent was starved of CPU or buffers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starved: Option<String>,
}

/// Round-trip times of one kind of probe from one agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct KindRttRecord {
    /// The kind.
    pub probe: ProbeKind,
    /// Answered tries.
    pub count: u64,
    /// Their times.
    pub rtt_us: RttUs,
}

/// How much was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Coverage {
    /// Cells planned, without the skipped ones.
    pub cells: u32,
    /// Those of them that are reachable, degraded or failed.
    pub observed: u32,
    /// Those that could not be tried, or where nobody stands to answer.
    pub unknown: u32,
    /// Cells that are silent by design.
    pub skipped: u32,
    /// Where not every node probed every other in this run: who did. Cells of other runs are not counted above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<RotationRecord>,
}

/// Which share of the pairs of nodes a run looked at, and when all will have been looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
pub struct RotationRecord {
    /// Other nodes that each node probes, and that probe it.
    pub peers: u32,
    /// How many other nodes there are.
    pub of: u32,
    /// After so many runs, each of which goes on where the one before ended, every pair was looked at.
    pub runs: u32,
    /// How long these take if all take as long as this one, in seconds.
    pub within_s: u32,
    /// Where the next one goes on (`--turn`).
    pub next: u32,
}

/// How many cells that are not reachable are not listed. Of each state as many are listed as there is room for, the worst
/// first: failed, unknown, degraded, skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
pub struct LeftOut {
    /// Failed ones.
    #[serde(default)]
    pub failed: u32,
    /// Degraded ones.
    #[serde(default)]
    pub degraded: u32,
    /// Those of which nothing is known.
    #[serde(default)]
    pub unknown: u32,
    /// Those that are silent by design.
    #[serde(default)]
    pub skipped: u32,
}

impl LeftOut {
    /// Whether all are listed.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// The JSON Schema of a report (draft 2020-12).
pub fn report_schema() -> schemars::Schema {
    schemars::schema_for!(Report)
}

#[cfg(test)]
mod tests;
