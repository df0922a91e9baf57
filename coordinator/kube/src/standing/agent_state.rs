//! Where an agent is on its way.

use std::net::IpAddr;

/// Where one agent is on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentState {
    /// Its containers run.
    Up {
        /// The pod's name.
        pod: String,
        /// Where probes reach it: the pod's address, in the host plane the node's.
        address: IpAddr,
        /// All of its addresses (dual-stack), the first one included.
        addresses: Vec<IpAddr>,
    },
    /// On its way.
    Coming {
        /// The last thing heard of it.
        what: String,
    },
    /// It will hardly come up without help.
    Stuck {
        /// Why, with Kubernetes' own words: one line, no more than 300 characters.
        why: String,
        /// The pod whose last log line would tell more: a container of it ran and ended. The container is named in `why`.
        log_of: Option<String>,
    },
}

/// Stuck before any container ran: there is no log to read.
pub(super) fn stuck(why: String) -> AgentState {
    AgentState::Stuck { why, log_of: None }
}
