//! Facts as lines: for people, and for comparing one machine with another.

use super::HostFacts;

/// One line of what a kernel says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Fact {
    /// `sysctl`, `link`, `route` ...
    pub group: &'static str,
    /// Which one.
    pub name: String,
    /// What it says.
    pub value: String,
}

impl HostFacts {
    /// All facts, one a line, grouped.
    pub fn lines(&self) -> Vec<Fact> {
        let mut lines = Vec::new();
        let mut add = |group, name: &str, value: String| {
            lines.push(Fact {
                group,
                name: name.to_owned(),
                value,
            });
        };
        add("kernel", "release", self.kernel.clone());
        add("kernel", "uptime_s", self.uptime_s.to_string());
        for (name, value) in &self.sysctls {
            add("sysctl", name, value.clone());
        }
        lines
    }
}
