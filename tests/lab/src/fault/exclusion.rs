//! Which faults exclude each other. Each claims what it needs for itself; two that claim the same cannot both be seen, or
//! cannot both be raised. And what is done at a dead node is seen by nobody.

use mesh_proto::{Cause, NodeName};

use super::values::Value;
use super::{Fault, FaultError};
use crate::topology::Topology;

/// What a fault claims, in terms of its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claim {
    /// A thing at each of its nodes.
    AtNodes(&'static str),
    /// A thing at each of its nodes, or, where the second is a key that is given, the part that it names.
    Part(&'static str, &'static str),
    /// A thing between its nodes and its peers, one way, or all there is of it at its nodes if it has no peers.
    Towards(&'static str),
    /// A thing between the nodes of two keys.
    Between(&'static str, [&'static str; 2]),
    /// A thing at each node where the fault stands.
    AtPlaces(&'static str),
    /// A thing of the whole cluster, or the part that the key names.
    Cluster(&'static str, &'static str),
}

/// A claim with its nodes. What is left open is everything.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Claimed {
    thing: &'static str,
    node: Option<NodeName>,
    peer: Option<NodeName>,
    part: Option<String>,
}

/// Says which two of these cannot be together.
pub(super) fn check(faults: &[Fault], topology: &Topology) -> Result<(), FaultError> {
    for (place, first) in faults.iter().enumerate() {
        for second in &faults[place + 1..] {
            if let Some(why) = clash(first, second, topology) {
                return Err(FaultError::Exclude {
                    first: first.to_string(),
                    second: second.to_string(),
                    why,
                });
            }
        }
    }
    Ok(())
}

/// Why two faults cannot be together.
fn clash(first: &Fault, second: &Fault, topology: &Topology) -> Option<String> {
    let (ours, theirs) = (claimed(first, topology), claimed(second, topology));
    for (dead, others) in [(first, &theirs), (second, &ours)] {
        let nodes = dead.values.get("node");
        if let (Cause::NodeDown, Some(Value::Nodes(names))) = (dead.kind.cause, nodes) {
            let named = others
                .iter()
                .flat_map(|claim| [&claim.node, &claim.peer])
                .flatten();
            if let Some(name) = named.into_iter().find(|name| names.contains(name)) {
                return Some(format!("what is wrong at {name} cannot be seen while it is down"));
            }
        }
    }
    let both = ours
        .iter()
        .flat_map(|one| theirs.iter().map(move |other| (one, other)))
        .find(|(one, other)| one.meets(other))?;
    let place = [&both.0.node, &both.1.node].into_iter().flatten().next();
    let place = place.map(|name| format!(" of {name}")).unwrap_or_default();
    Some(format!("both take hold of {}{place}", both.0.thing))
}

impl Claimed {
    fn meets(&self, other: &Self) -> bool {
        fn same<T: PartialEq>(one: Option<&T>, other: Option<&T>) -> bool {
            match (one, other) {
                (Some(one), Some(other)) => one == other,
                _ => true,
            }
        }
        self.thing == other.thing
            && same(self.node.as_ref(), other.node.as_ref())
            && same(self.peer.as_ref(), other.peer.as_ref())
            && same(self.part.as_ref(), other.part.as_ref())
    }
}

fn claimed(fault: &Fault, topology: &Topology) -> Vec<Claimed> {
    let own = Claim::Part(fault.kind.cause.name(), "");
    // Without any claim it would still be the same fault twice.
    let claims = if fault.kind.claims.is_empty() {
        std::slice::from_ref(&own)
    } else {
        fault.kind.claims
    };
    claims
        .iter()
        .flat_map(|claim| claim.of(fault, topology))
        .collect()
}

impl Claim {
    fn of(self, fault: &Fault, topology: &Topology) -> Vec<Claimed> {
        // A key that is left out, and `all`, are every node.
        let names = |key: &str| match fault.values.get(key) {
            Some(Value::Nodes(names)) => names.iter().cloned().map(Some).collect(),
            _ => vec![None],
        };
        let part = |key: &str| {
            let value = fault.values.get(key).map(ToString::to_string);
            value.filter(|value| !["both", "any", "all"].contains(&value.as_str()))
        };
        let (thing, nodes, peers, part) = match self {
            Self::AtNodes(thing) => (thing, names("node"), vec![None], None),
            Self::Part(thing, key) => (thing, names("node"), vec![None], part(key)),
            Self::Towards(thing) => (thing, names("node"), names("peer"), None),
            Self::Between(thing, [from, to]) => (thing, names(from), names(to), None),
            Self::AtPlaces(thing) => {
                let names = fault.place(topology).nodes;
                (
                    thing,
                    names.iter().map(|name| name.parse().ok()).collect(),
                    vec![None],
                    None,
                )
            }
            Self::Cluster(thing, key) => (thing, vec![None], vec![None], part(key)),
        };
        let mut all = Vec::new();
        for node in &nodes {
            for peer in &peers {
                all.push(Claimed {
                    thing,
                    node: node.clone(),
                    peer: peer.clone(),
                    part: part.clone(),
                });
            }
        }
        all
    }
}
