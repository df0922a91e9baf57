//! The inventory ground: agents that somebody else started.

use std::collections::HashSet;

use mesh_core::RosterNode;
use mesh_proto::Ground;

use super::{Access, Raised, RaisedAgent};
use crate::inventory::Inventory;
use crate::link::LinkAddress;

/// An agent whose link needs what was not given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {link} is TCP, which needs mutual TLS: give --tls-ca, --tls-cert and --tls-key")]
pub(crate) struct NeedsTls {
    field: String,
    link: LinkAddress,
}

/// Makes a run's agents out of an inventory. Nodes stand in the order in which their first agent does.
pub(crate) fn raise(inventory: Inventory, has_tls: bool) -> Result<Raised, NeedsTls> {
    let needs_tls = |link: &LinkAddress| matches!(link, LinkAddress::Tcp(_)) && !has_tls;
    if let Some(agent) = inventory.agents.iter().find(|agent| needs_tls(&agent.link)) {
        return Err(NeedsTls {
            field: agent.link_field.clone(),
            link: agent.link.clone(),
        });
    }
    let mut known = HashSet::new();
    let names = inventory.agents.iter().map(|agent| &agent.key.node);
    let nodes = names
        .filter(|name| known.insert((*name).clone()))
        .map(|name| RosterNode {
            name: name.clone(),
            zone: None,
            readiness: mesh_core::Readiness::NotWatched,
        })
        .collect();
    let agents = inventory.agents.into_iter().map(|agent| RaisedAgent {
        key: agent.key,
        address: Some(agent.address),
        access: Access::Link(agent.link.into()),
    });
    Ok(Raised {
        ground: Ground::Inventory,
        nodes,
        agents: agents.collect(),
        cluster: inventory.cluster,
        notes: Vec::new(),
    })
}
