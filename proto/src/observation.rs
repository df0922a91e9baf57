//! What an agent saw. An observation is a fact, not a verdict: what it means is decided in `mesh-core`.

use std::net::IpAddr;

use crate::{AgentIdentity, AgentIndex, Micros, Millis, ProbeId, ProbeKind, Reason};

/// What became of one planned probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// Which probe of the plan.
    pub id: ProbeId,
    /// Tries that left (or were refused by the kernel).
    pub sent: u32,
    /// Tries that were answered in full and by whom they should.
    pub received: u32,
    /// Answered tries whose SYN or query had to be sent again by the kernel or the resolver.
    pub resent: u32,
    /// Flows of which at least one try was not answered.
    pub incomplete_flows: Vec<FlowTally>,
    /// Round-trip times of the answered tries, where there are any.
    pub rtt: Option<Rtt>,
    /// The most telling failure among the tries: one ICMP error among many time-outs is that error.
    pub failure: Option<Failure>,
    /// `path_mtu` only, where at least a small packet passed.
    pub path_mtu: Option<PathMtu>,
    /// Who answered, where an agent did.
    pub responder: Option<AgentIdentity>,
    /// `tls` only.
    pub certificate: Option<Certificate>,
    /// The probe could not be tried at all, and why (no permission for ICMP ...).
    pub untried: Option<String>,
    /// The agent itself was starved (late wake-ups, full socket buffers) while this probe ran.
    pub starved: bool,
}

impl Observation {
    /// An observation of nothing yet.
    pub fn new(id: ProbeId) -> Self {
        Self {
            id,
            sent: 0,
            received: 0,
            resent: 0,
            incomplete_flows: Vec::new(),
            rtt: None,
            failure: None,
            path_mtu: None,
            responder: None,
            certificate: None,
            untried: None,
            starved: false,
        }
    }

    /// An observation that says why nothing could be tried.
    pub fn untried(id: ProbeId, why: impl Into<String>) -> Self {
        Self {
            untried: Some(why.into()),
            ..Self::new(id)
        }
    }
}

/// What one flow (one source port) brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowTally {
    /// The flow's source port.
    pub source_port: u16,
    /// Tries on it.
    pub sent: u32,
    /// Tries that were answered.
    pub received: u32,
}

/// Round-trip times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rtt {
    /// The shortest.
    pub min: Micros,
    /// The median.
    pub p50: Micros,
    /// The 99th percentile.
    pub p99: Micros,
    /// The longest.
    pub max: Micros,
}

/// How a probe failed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Failure {
    /// What was seen.
    pub reason: Reason,
    /// The ICMP error that came, where one came.
    pub icmp: Option<IcmpError>,
    /// The local error, where the kernel refused.
    pub local: Option<LocalError>,
    /// What else is worth knowing, in words: a DNS response code, who answered instead.
    pub detail: Option<String>,
}

impl Failure {
    /// A failure of which no more is known than its reason.
    pub fn new(reason: Reason) -> Self {
        Self {
            reason,
            icmp: None,
            local: None,
            detail: None,
        }
    }
}

/// An ICMP error (RFC 792, RFC 4443) and who sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct IcmpError {
    /// The ICMP type.
    pub kind: u8,
    /// The ICMP code.
    pub code: u8,
    /// The sender.
    pub from: IpAddr,
}

/// An errno and the call that gave it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LocalError {
    /// The number, as Linux has it.
    pub errno: i32,
    /// `sendmsg`, `connect` ...
    pub call: String,
}

/// What a path-MTU probe found. Sizes are whole IP packets in bytes, header included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PathMtu {
    /// The largest that passed.
    pub largest: u32,
    /// The size of the first try: what the source's device takes.
    pub tried: u32,
    /// The kernel was told of the smaller size (ICMP fragmentation needed, packet too big), so that senders adapt.
    pub told: bool,
}

/// The certificate that a TLS server showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Its subject.
    pub subject: String,
    /// Its issuer.
    pub issuer: String,
    /// Subject alternative names.
    pub names: Vec<String>,
    /// End of validity, in seconds since 1970.
    pub not_after: i64,
    /// SHA-256 over its DER form, in hexadecimal digits.
    pub sha256: String,
    /// It was checked against a CA that was given.
    pub verified: bool,
}

/// The end of an agent's stream.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Summary {
    /// How the agent itself fared.
    pub starvation: Starvation,
    /// Round-trip times of all answered tries, per kind.
    pub rtt: Vec<KindRtt>,
}

/// Round-trip times of one kind of probe over all targets of one agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KindRtt {
    /// The kind.
    pub kind: ProbeKind,
    /// Answered tries.
    pub count: u64,
    /// Their times.
    pub rtt: Rtt,
}

/// Signs that the agent did not get the CPU or the buffers it needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Starvation {
    /// Wake-ups that came more than 200 ms late.
    pub late_wakeups: u32,
    /// The longest such delay.
    pub longest: Millis,
    /// Datagrams that the kernel dropped since the agent's socket buffer was full.
    pub dropped_by_socket: u32,
}

impl Default for Starvation {
    fn default() -> Self {
        Self {
            late_wakeups: 0,
            longest: Millis(0),
            dropped_by_socket: 0,
        }
    }
}

/// Requests that an agent received from a peer in a run, whether or not the answers got back: it tells a lost request
/// from a lost answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// Who sent them.
    pub from: AgentIndex,
    /// `udp`, `tcp` or `path_mtu`.
    pub kind: ProbeKind,
    /// How many.
    pub requests: u64,
}
