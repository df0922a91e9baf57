//! Grounds: where the agents of a run stand. A ground raises them, or finds them standing, and says how to reach each.

pub(crate) mod inventory;
pub(crate) mod kube;
pub(crate) mod lab;

use std::net::IpAddr;

use mesh_core::{Cluster, RosterNode};
use mesh_proto::{AgentKey, Ground};

use crate::drive::Opening;
use crate::link::LinkRoute;

/// What a ground hands over to the driver of a run.
#[derive(Debug, Clone)]
pub(crate) struct Raised {
    /// Which ground.
    pub(crate) ground: Ground,
    /// Every node that should take part, in the order reports show them.
    pub(crate) nodes: Vec<RosterNode>,
    /// Every agent that should stand there.
    pub(crate) agents: Vec<RaisedAgent>,
    /// What the cluster offers.
    pub(crate) cluster: Cluster,
    /// What the report should say of it besides.
    pub(crate) notes: Vec<String>,
}

impl Raised {
    /// The same for a run after this one: links that were being opened are open or not by now, and rules of services that
    /// were made for the first run are written.
    pub(crate) fn again(&self) -> Self {
        let mut again = self.clone();
        for agent in &mut again.agents {
            if let Access::Opening(opening) = &agent.access {
                agent.access = Access::Link(opening.route().clone());
            }
        }
        for service in &mut again.cluster.node_ports {
            service.fresh = false;
        }
        again
    }
}

/// An agent that should stand.
#[derive(Debug, Clone)]
pub(crate) struct RaisedAgent {
    /// Node and plane.
    pub(crate) key: AgentKey,
    /// Where probes reach it; `None` where it has no address yet.
    pub(crate) address: Option<IpAddr>,
    /// How the coordinator reaches it.
    pub(crate) access: Access,
}

/// How the coordinator reaches an agent, or why it cannot.
#[derive(Debug, Clone)]
pub(crate) enum Access {
    /// Over this link.
    Link(LinkRoute),
    /// Over a link that is being opened already.
    Opening(Opening),
    /// It did not come up; why, in words.
    Absent(String),
    /// It was not asked for; why, in words.
    Skipped(String),
}
