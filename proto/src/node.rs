//! Who takes part: nodes, agents, their names and numbers.

use std::fmt;

use crate::Plane;

/// A node's name: 1 to 253 bytes without white space or control characters.
///
/// Kubernetes allows an RFC 1123 subdomain only; inventories name machines as their owners do, so more is taken here.
#[derive(
    Debug,
    Clone,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct NodeName(Box<str>);

impl NodeName {
    /// Longest name in bytes (RFC 1123 subdomain).
    pub const MAX_BYTES: usize = 253;

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A text that is no node name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is no node name: {why}")]
pub struct BadNodeName {
    given: String,
    why: &'static str,
}

impl std::str::FromStr for NodeName {
    type Err = BadNodeName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let why = if text.is_empty() {
            "it is empty"
        } else if text.len() > Self::MAX_BYTES {
            "it is longer than 253 bytes"
        } else if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            "it has white space or a control character"
        } else {
            return Ok(Self(text.into()));
        };
        Err(BadNodeName {
            given: text.escape_debug().take(80).collect(),
            why,
        })
    }
}

impl TryFrom<String> for NodeName {
    type Error = BadNodeName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<NodeName> for String {
    fn from(name: NodeName) -> Self {
        name.0.into()
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// An agent: one per node and plane.
#[derive(
    Debug,
    Clone,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
pub struct AgentKey {
    /// The node it stands on.
    pub node: NodeName,
    /// The network it stands in.
    pub plane: Plane,
}

impl fmt::Display for AgentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.node, self.plane)
    }
}

/// An agent's number in the roster of one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AgentIndex(pub u32);

/// A random number an agent draws when it starts: tells a restarted agent from the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BootId(pub [u8; 16]);

impl fmt::Display for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Who an agent says it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentIdentity {
    /// Node and plane.
    pub key: AgentKey,
    /// Which start of that agent.
    pub boot_id: BootId,
}
