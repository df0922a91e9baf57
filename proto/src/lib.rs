//! The vocabulary of mesh: who probes what and how, what was seen, what it means; the wire between coordinator and
//! agent; and the report. Types only: no sockets, no clock, no Kubernetes.

mod cause;
mod facts;
mod inquiry;
mod list;
mod node;
mod observation;
mod plan;
mod report;
mod version;
pub mod wire;
mod words;

pub use self::cause::Cause;
pub use self::facts::{
    Action, Backend, BadMacAddress, BadPrefix, Base, Carrier, Chain, ConnectionStates, Conntrack, Fact,
    ForwardingEntry, Hook, HostFacts, LEGACY_RULES, Link, LinkAddress, LinkCounters, Listening, MacAddress,
    Match, MatchTest, Missing, NFTABLES_RULES, Neighbour, NeighbourState, Netfilter, PortRange, Prefix,
    Route, RouteKind, RoutingRule, Rule, Table, TableFamily, Tunnel,
};
pub use self::inquiry::{
    Answer, Ask, Hop, HopAnswer, Inquiry, InquiryId, KnockEcho, MOST_HOPS, RouteChosen, Seen, TRIES_PER_HOP,
};
pub use self::list::NotInList;
pub use self::node::{AgentIdentity, AgentIndex, AgentKey, BadNodeName, BootId, NodeName};
pub use self::observation::{
    Certificate, Failure, FlowTally, IcmpError, KindRtt, LocalError, Observation, PathMtu, Rtt, Starvation,
    Summary, Tally,
};
pub use self::plan::{DnsQuestion, Expect, Micros, Millis, Pacing, Plan, PlannedProbe, Port, ProbeId, WAVES};
pub use self::report::{
    Cell, CellReason, CertificateRecord, Coverage, Finding, FlowRecord, From as CellFrom, IcmpRecord,
    KindRttRecord, LeftOut, LocalErrorRecord, Node, PlaneRecord, Planes, Report, RotationRecord, RttUs, Run,
    SCHEMA, To, Where, report_schema,
};
pub use self::version::{PROTOCOL, SOFTWARE, VersionMismatch, check_protocol};
pub use self::words::{
    CellState, Confidence, Direction, Ground, IcmpMode, OverlayKind, Plane, PlaneState, ProbeKind, Protocol,
    Reason, Severity, TargetKind, TrafficPolicy, Verdict,
};
