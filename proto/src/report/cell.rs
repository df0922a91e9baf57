//! A cell of the matrix: one source, one target, one kind of probe, and what was observed.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{CellState, NodeName, Plane, Port, ProbeKind, Reason, Rtt, TargetKind, TrafficPolicy};

/// One source, one target, one kind of probe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Cell {
    /// Who probed.
    pub from: From,
    /// What was probed.
    pub to: To,
    /// How.
    pub probe: ProbeKind,
    /// What became of it.
    pub state: CellState,
    /// Of a failed cell what was seen (a name of the list of reasons); of an unknown or skipped one why, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<CellReason>,
    /// What else is known, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The ICMP error that came, if one came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icmp: Option<IcmpRecord>,
    /// The local error, where the source's kernel refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_error: Option<LocalErrorRecord>,
    /// Tries.
    pub sent: u32,
    /// Tries that were answered.
    pub received: u32,
    /// Answered tries that took a resend of the SYN or query.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub resent: u32,
    /// Round-trip times in microseconds; zeros where nothing was answered.
    pub rtt_us: RttUs,
    /// `path_mtu`: the largest IP packet that passes, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// Requests of this cell that the far agent says it received, where it could be asked and the cell is not whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arrived: Option<u64>,
    /// Flows (source ports) of which not all tries were answered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub incomplete_flows: Vec<FlowRecord>,
    /// `tls`: the certificate that was shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateRecord>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference"
)]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// The source of a cell.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
pub struct From {
    /// Its node.
    pub node: NodeName,
    /// Its plane.
    pub plane: Plane,
}

/// The target of a cell.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
pub struct To {
    /// What it is.
    pub kind: TargetKind,
    /// The node that it stands on, where it stands on one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeName>,
    /// Its address; left out where it has none yet (a pod that is Pending).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// Its port, 0 where the probe has none.
    pub port: Port,
    /// A NodePort's external traffic policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<TrafficPolicy>,
    /// DNS asked as an application does: by resolv.conf, with its search list.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub as_application: bool,
}

/// Why a cell is not reachable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(untagged)]
pub enum CellReason {
    /// Of a failed cell: what was seen.
    Seen(Reason),
    /// Of an unknown or skipped cell, in words.
    Words(String),
}

impl std::fmt::Display for CellReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Seen(reason) => reason.fmt(f),
            Self::Words(words) => f.pad(words),
        }
    }
}

/// An ICMP error and who sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct IcmpRecord {
    /// The ICMP type.
    #[serde(rename = "type")]
    pub kind: u8,
    /// The ICMP code.
    pub code: u8,
    /// Who sent it.
    pub from: IpAddr,
}

/// An errno and the call that gave it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct LocalErrorRecord {
    /// The number, as Linux has it.
    pub errno: i32,
    /// `sendmsg`, `connect` ...
    pub call: String,
}

/// Round-trip times in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
pub struct RttUs {
    /// The shortest.
    pub min: u32,
    /// The median.
    pub p50: u32,
    /// The 99th percentile.
    pub p99: u32,
    /// The longest.
    pub max: u32,
}

impl std::convert::From<Rtt> for RttUs {
    fn from(rtt: Rtt) -> Self {
        Self {
            min: rtt.min.0,
            p50: rtt.p50.0,
            p99: rtt.p99.0,
            max: rtt.max.0,
        }
    }
}

/// What one flow brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct FlowRecord {
    /// The flow's source port.
    pub source_port: u16,
    /// Tries on it.
    pub sent: u32,
    /// Tries that were answered.
    pub received: u32,
}

/// The certificate that a TLS server showed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct CertificateRecord {
    /// Its subject.
    pub subject: String,
    /// Its issuer.
    pub issuer: String,
    /// Subject alternative names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// End of validity, in seconds since 1970.
    pub not_after: i64,
    /// SHA-256 over its DER form.
    pub sha256: String,
    /// It was checked against a CA that was given.
    pub verified: bool,
}
