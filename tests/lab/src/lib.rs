//! A cluster-shaped network of namespaces on one machine, with faults: what `mesh lab` raises, and what the tests stand
//! on. It shares no code with what it is used to test but the vocabulary and the sockets' crate.

mod agents;
mod cidr;
mod error;
mod fault;
mod lab;
mod oddity;
mod options;
mod requirements;
mod servers;
mod services;
mod space;
mod topology;
mod wiring;

pub use self::cidr::{BadCidr, Cidr, IpFamily};
pub use self::error::{LabError, TOOLS};
pub use self::fault::{Fault, FaultError, FaultKind, FaultSpec, Key, Place, faults};
pub use self::lab::{Lab, Step};
pub use self::oddity::Oddity;
pub use self::options::{
    Encapsulation, LabOptions, MOST_NODES, Networks, OptionsError, PodNetwork, ServiceBackEnd,
};
pub use self::space::Space;
pub use self::topology::{API_NAME, BACKEND_PORT, Node, Pod, Role, Topology};
