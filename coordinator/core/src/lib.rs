//! The judgement of mesh: what to probe, what the observations mean, where the fault is and what its name is. Pure
//! functions and state machines: no I/O, no clock, no async runtime, no Kubernetes.

mod again;
mod assemble;
mod diagnose;
mod diff;
mod judge;
mod localise;
mod matrix;
mod mixing;
mod netfilter;
mod options;
mod roster;
mod round;
mod second_look;
mod verdict;
#[cfg(test)]
mod world;

pub use self::again::{Again, FreshServices};
pub use self::assemble::{ALL_CELLS_UP_TO_NODES, RunInfo};
pub use self::diff::{CellChange, Diff, Trend, diff};
pub use self::matrix::{Matrix, Stray};
pub use self::options::PlanOptions;
pub use self::roster::{
    Api, Backend, Cluster, Dns, NodeIndex, NodePortService, Overlay, Presence, Readiness, Roster,
    RosterAgent, RosterNode,
};
pub use self::round::{CellIndex, Effort, PlannedCell, Round, Target};
