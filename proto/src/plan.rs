//! What an agent is asked to do. The agent knows nothing of Kubernetes: a plan holds addresses, ports and numbers.

use std::net::IpAddr;

use crate::{AgentIndex, ProbeKind};

/// A TCP or UDP port; 0 where a probe has none (ICMP).
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
pub struct Port(pub u16);

impl std::fmt::Display for Port {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// A span of time in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub u32);

/// A span of time in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Micros(pub u32);

/// A probe's number in one agent's plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProbeId(pub u32);

/// One agent's work for one round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// How fast it may send.
    pub pacing: Pacing,
    /// What it tries.
    pub probes: Vec<PlannedProbe>,
}

/// How often an agent may go through the tries of an ICMP or UDP probe: flows that lost something are tried again, so
/// that a share of loss is told from a flow that never comes through.
pub const WAVES: u32 = 3;

/// Bounds on an agent's sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pacing {
    /// Packets (or connections) a second, at the most, over all probes of the plan.
    pub packets_per_second: u32,
    /// How many of them may leave at once.
    pub burst: u32,
    /// First packets are spread at random over this time, so that agents do not fire in step.
    pub spread: Millis,
}

/// One probe: one cell of the matrix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedProbe {
    /// Its number in the plan.
    pub id: ProbeId,
    /// How the target is tried.
    pub kind: ProbeKind,
    /// Where.
    pub address: IpAddr,
    /// At which port; 0 for ICMP.
    pub port: Port,
    /// Who must answer.
    pub expect: Expect,
    /// Distinct flows (source ports) to try.
    pub flows: u16,
    /// Tries per flow.
    pub tries: u16,
    /// Between two tries of a flow.
    pub interval: Micros,
    /// How long one try may take.
    pub timeout: Millis,
    /// DNS only: what to ask, and how.
    pub dns: Option<DnsQuestion>,
}

/// Who must answer a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// This agent of the run, which proves itself by the run's key.
    Agent(AgentIndex),
    /// Whatever accepts, echoes or serves there.
    Anyone,
}

/// What a DNS probe asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsQuestion {
    /// The name, as an absolute domain name or as an application would write it.
    pub name: String,
    /// Ask by resolv.conf, with its search list, as an application does; else the address itself is asked.
    pub as_application: bool,
}
