//! Who takes part: nodes, agents, their names and numbers.

use std::fmt;

use crate::Plane;

/// A node's name: 1 to 253 bytes without white space, control or invisible characters, and without `/`, which stands
/// between a node and its plane or pod wherever they are named.
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

/// Unicode's format characters (general category Cf, Unicode 16): nobody sees them, and two names that look alike would be
/// two nodes.
fn is_format(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}' | '\u{8e2}'
        | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0001}' | '\u{e0020}'..='\u{e007f}')
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
        } else if text.chars().any(is_format) {
            "it has an invisible character, or one that turns the writing direction"
        } else if text.contains('/') {
            "it has a slash, which stands between a node and its plane"
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

#[cfg(test)]
mod tests {
    use super::NodeName;

    #[test]
    fn names_as_their_owners_choose_them() {
        for name in [
            "a",
            "worker-1.example.com",
            "BETA_2",
            "gamma--3",
            "1.10",
            "r\u{e9}seau",
            "[::1]:22",
        ] {
            assert_eq!(
                name.parse::<NodeName>().map(|name| name.to_string()),
                Ok(name.to_owned())
            );
        }
    }

    #[test]
    fn what_would_be_read_as_something_else_is_no_name() {
        let table = [
            ("", "empty"),
            ("a b", "white space"),
            ("a\u{1b}[2K", "control"),
            ("a\u{202e}b", "turns the writing direction"),
            ("a\u{200b}b", "invisible"),
            ("a/pod", "a slash"),
            ("../../etc", "a slash"),
        ];
        for (name, why) in table {
            let said = name.parse::<NodeName>().unwrap_err().to_string();
            assert!(said.contains(why), "{name:?}: {said}");
            assert!(!said.chars().any(super::is_format), "{said:?}");
        }
    }
}
