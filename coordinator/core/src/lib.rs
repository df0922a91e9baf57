//! The judgement of mesh: what to probe, what the observations mean, where the fault is and what its name is. Pure
//! functions and state machines: no I/O, no clock, no async runtime, no Kubernetes.

mod again;
mod assemble;
mod diagnose;
mod diff;
mod election;
mod excused_icmp;
mod gate;
mod incident;
mod judge;
mod localise;
mod matrix;
mod mixing;
mod moment;
mod netfilter;
mod node_conditions;
mod node_reach;
mod options;
mod pulse;
mod roster;
mod rotation;
mod round;
mod second_look;
mod verdict;
#[cfg(test)]
mod world;

pub use self::again::{Again, FreshServices};
pub use self::assemble::{ALL_CELLS_UP_TO_NODES, RunInfo};
pub use self::diff::{CellChange, Diff, Trend, diff};
pub use self::election::{
    Election, ElectionStep, ElectionTiming, Holder, Role, Seat, SeatVersion, SeatWritten,
};
pub use self::excused_icmp::ExcusedIcmp;
pub use self::gate::{Decision, Gate, GateConfig, GateScope, GateStep};
pub use self::incident::{
    Closing, Doubt, Incident, IncidentChange, IncidentConfig, IncidentId, IncidentLook, IncidentState,
    Incidents,
};
pub use self::matrix::{Matrix, Stray};
pub use self::moment::Moment;
pub use self::node_conditions::{ConditionConfig, ConditionStep, ConditionWrite, NodeConditions};
pub use self::node_reach::{NodeReach, node_reach};
pub use self::options::PlanOptions;
pub use self::pulse::{Depth, Pulse, PulseConfig};
pub use self::roster::{
    Api, Backend, Cluster, Dns, NodeIndex, NodePortService, Overlay, Presence, Readiness, Roster,
    RosterAgent, RosterNode,
};
pub use self::rotation::{Peers, Rotation};
pub use self::round::{CellIndex, Effort, Fitting, PlannedCell, Round, Shortage, Target};
