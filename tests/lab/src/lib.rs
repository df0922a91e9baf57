//! A cluster-shaped network of namespaces on one machine, with faults: what `mesh lab` raises, and what the tests stand
//! on. It shares no code with what it is used to test but the vocabulary and the sockets' crate.

mod agents;
mod error;
mod fault;
mod lab;
mod options;
mod servers;
mod space;
mod topology;
mod wiring;

pub use self::error::{LabError, TOOLS};
pub use self::fault::{FAULTS, Fault, FaultError, FaultKind, FaultSpec, Place};
pub use self::lab::{Lab, Step};
pub use self::options::{BadCidr, Cidr, Encapsulation, LabOptions, MOST_NODES, OptionsError, PodNetwork};
pub use self::space::Space;
pub use self::topology::{API_NAME, BACKEND_PORT, Node, Pod, Role, Topology};
