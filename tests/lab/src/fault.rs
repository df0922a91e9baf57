//! Faults that a lab can have. Each is one row of a table, in the file of its family: its name, its keys, what it needs,
//! what it does to the network, and where mesh should find it.

mod action;
mod connections;
mod exclusion;
mod fabric;
mod forwarding;
mod keys;
mod local;
mod loopback;
mod loss;
mod nearest;
mod needs;
mod neighbours;
mod node;
mod overlay;
mod policy;
mod routes;
mod servers;
mod services;
mod site;
mod spec;
mod split;
mod values;

use mesh_proto::{Cause, Direction, Plane};

pub(crate) use self::action::Action;
use self::exclusion::Claim;
pub use self::keys::Key;
use self::needs::Need;
use self::site::Site;
pub use self::spec::{FaultError, FaultSpec};
use self::values::Values;
use crate::error::LabError;
use crate::topology::Topology;

/// All faults, family by family. A new one is a row in its family's file.
pub fn faults() -> impl Iterator<Item = &'static FaultKind> + Clone {
    [
        node::FAULTS,
        neighbours::FAULTS,
        overlay::FAULTS,
        forwarding::FAULTS,
        routes::FAULTS,
        fabric::FAULTS,
        loss::FAULTS,
        local::FAULTS,
        loopback::FAULTS,
        policy::FAULTS,
        split::FAULTS,
        services::FAULTS,
        servers::FAULTS,
    ]
    .into_iter()
    .flatten()
}

/// A kind of fault.
#[derive(Debug)]
pub struct FaultKind {
    /// Its name: that of the cause that mesh should find.
    pub cause: Cause,
    /// What it does.
    pub meaning: &'static str,
    /// The keys that it takes. One that another goes with, or whose nodes another excludes, stands before that.
    pub keys: &'static [Key],
    /// What the lab must be like.
    needs: &'static [Need],
    /// What the machine must have, in words for whoever has it not.
    takes: &'static str,
    /// What it must have for itself.
    claims: &'static [Claim],
    /// Where it stands; of several faults in one, where each of them does.
    places: fn(&Site<'_>) -> Vec<Place>,
    /// What it does, in order.
    actions: fn(&Site<'_>) -> Vec<Action>,
}

/// There is one of each cause.
impl PartialEq for FaultKind {
    fn eq(&self, other: &Self) -> bool {
        self.cause == other.cause
    }
}

impl Eq for FaultKind {}

/// A fault in a certain lab.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    kind: &'static FaultKind,
    values: Values,
}

/// Where mesh should find a fault, in the report's words.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place {
    /// The nodes at fault.
    pub nodes: Vec<String>,
    /// `[from, to]` pairs at fault; of a pair that is cut both ways one order.
    pub pairs: Vec<(String, String)>,
    /// The plane at fault; `None` where it is both, or the report may leave it open.
    pub plane: Option<Plane>,
    /// Which way; `None` where the report may leave it open.
    pub direction: Option<Direction>,
}

impl Fault {
    /// The cause that mesh should find.
    pub fn cause(&self) -> Cause {
        self.kind.cause
    }

    /// Where it stands: all its places in one.
    pub fn place(&self, topology: &Topology) -> Place {
        let mut all = Place::default();
        for place in self.places(topology) {
            all.nodes.extend(place.nodes);
            all.pairs.extend(place.pairs);
            all.plane = place.plane;
            all.direction = place.direction;
        }
        all
    }

    /// Where it stands. A fault at several nodes that has nothing to do with being several is in several places.
    pub fn places(&self, topology: &Topology) -> Vec<Place> {
        (self.kind.places)(&Site::new(self, topology, 0))
    }

    /// All steps, in order. `number` tells its rules from those of other faults.
    pub(crate) fn actions(&self, topology: &Topology, number: usize) -> Vec<Action> {
        (self.kind.actions)(&Site::new(self, topology, number))
    }

    /// What it means that a step could not be done.
    pub(crate) fn not_here(&self, error: LabError) -> LabError {
        match error {
            LabError::Interrupted => error,
            error => LabError::FaultNotHere {
                fault: self.to_string(),
                takes: self.kind.takes,
                source: Box::new(error),
            },
        }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.kind.cause)?;
        for (place, (key, value)) in self.values.iter().enumerate() {
            let before = if place == 0 { ':' } else { ',' };
            write!(f, "{before}{key}={value}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
