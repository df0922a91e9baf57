//! A finding: a place, a cause, what it explains, the evidence and the next command to type.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{Cause, Confidence, Direction, NodeName, Plane, Port, Protocol, Severity};

/// A place and a cause.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Finding {
    /// Why.
    pub cause: Cause,
    /// Where.
    #[serde(rename = "where")]
    pub place: Where,
    /// Whether it makes the verdict red.
    pub severity: Severity,
    /// How sure the cause is.
    pub confidence: Confidence,
    /// Cells that it explains.
    pub explains: u32,
    /// One sentence that a tired person understands.
    pub summary: String,
    /// What was seen.
    pub evidence: Vec<String>,
    /// What to do and type next.
    pub advice: Vec<String>,
    /// What was considered and why it is not that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ruled_out: Vec<String>,
}

/// The place of a finding. A cluster-wide fault has neither nodes nor pairs; what does not apply is left out.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Where {
    /// The node or nodes at fault.
    pub nodes: Vec<NodeName>,
    /// `[from, to]`, when no single node is at fault.
    pub pairs: Vec<(NodeName, NodeName)>,
    /// The plane at fault; left out when it is both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plane: Option<Plane>,
    /// Which way, as seen from the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
    /// The protocol at fault, when the others pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    /// The port at fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<Port>,
    /// The service at fault: its address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<IpAddr>,
    /// The endpoint at fault: its address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<IpAddr>,
    /// The address at fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// The largest IP packet that passes, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// The share of packets lost, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<f64>,
}
