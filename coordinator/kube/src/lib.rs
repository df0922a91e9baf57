//! The ground `kube`: agents as pods of a Kubernetes cluster. The only crate of mesh that knows Kubernetes.
//!
//! What a cluster says is read into plain types by pure functions ([`discover`], [`standing`]), and what is made there is
//! written by pure functions (`objects`); thin drivers around them list, watch, apply and delete.

mod alive;
mod api_error;
mod cleanup;
mod connect;
mod deploy;
pub mod discover;
mod forward;
mod members;
mod nodes;
mod objects;
mod raise;
mod rights;
mod seat;
pub mod standing;
mod taken_ports;
mod tell;

pub use self::alive::{Alive, AliveError};
pub use self::api_error::ApiError;
pub use self::cleanup::{Cleaned, CleanupError, clean_up, clean_up_in_passing, remove};
pub use self::connect::{ConnectError, ConnectOptions, Kube, Requests};
pub use self::deploy::{DeployError, Deployed, NodePorts, deploy};
pub use self::forward::{ForwardError, forward};
pub use self::members::Members;
pub use self::nodes::nodes;
pub use self::objects::{Blueprint, HostFacts, Keys, LINK_SERVER_NAME, RunId, Toleration, manifests};
pub use self::raise::{News, RaiseOptions, Raised, raise};
pub use self::rights::{Missing, RIGHTS, Right, RightsError, check_rights, cluster_roles, serve_roles};
pub use self::seat::{SeatError, SeatLease, SeatState, SeatTaken};
pub use self::taken_ports::taken_ports;
pub use self::tell::{
    CONDITION, ClusterEvent, NodeCondition, STARTUP_TAINT, TellError, remove_startup_taint, write_condition,
    write_event,
};
