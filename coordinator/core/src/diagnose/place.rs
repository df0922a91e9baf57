//! Places in the report's terms, and in words.

use mesh_proto::{Direction, NodeName, Where};

use crate::NodeIndex;
use crate::localise::{Hypothesis, Init, Model, Scope};

/// The report's `where` of a hypothesis.
pub(super) fn place(model: &Model<'_>, hypothesis: &Hypothesis) -> Where {
    let name = |node: &NodeIndex| node_name(model, *node);
    let mut place = Where {
        plane: hypothesis.plane(),
        protocol: hypothesis.filter.protocol,
        ..Where::default()
    };
    match &hypothesis.scope {
        Scope::Node(node) => {
            place.nodes = vec![name(node)];
            place.direction = match hypothesis.init {
                Init::Both => None,
                Init::In => Some(Direction::Ingress),
                Init::Out => Some(Direction::Egress),
            };
        }
        Scope::Pair(a, b) => {
            place.pairs = vec![match hypothesis.init {
                Init::Both | Init::Out => (name(a), name(b)),
                Init::In => (name(b), name(a)),
            }];
        }
        Scope::Group(nodes) => place.nodes = nodes.iter().map(name).collect(),
        Scope::OwnNode | Scope::OtherNodes | Scope::Cluster => {}
    }
    place
}

pub(super) fn node_name(model: &Model<'_>, node: NodeIndex) -> NodeName {
    model.matrix.round().roster().node_name(node).clone()
}

/// The place in words: `worker-2`, `worker-1 and worker-2`, `the cluster`.
pub(super) fn in_words(place: &Where) -> String {
    match (place.nodes.as_slice(), place.pairs.as_slice()) {
        ([], []) => "the whole cluster".to_owned(),
        ([], [(a, b)]) => format!("{a} -> {b}"),
        ([], pairs) => format!("{} pairs of nodes", pairs.len()),
        (nodes, _) => list(nodes),
    }
}

/// Where to type a command: `On worker-2`, `On worker-2 and worker-3`, `On each node`.
pub(super) fn where_to_look(place: &Where) -> String {
    match (place.nodes.as_slice(), place.pairs.as_slice()) {
        ([], [(a, b)]) => format!("On {a} and {b}"),
        ([], []) => "On each node".to_owned(),
        ([], _) => "On the nodes of these pairs".to_owned(),
        (nodes, _) => format!("On {}", list(nodes)),
    }
}

/// `a`, `a and b`, `a, b and c`; long lists are cut.
pub(super) fn list(nodes: &[NodeName]) -> String {
    const SHOWN: usize = 6;
    match nodes {
        [] => "no node".to_owned(),
        [one] => one.to_string(),
        many if many.len() > SHOWN => {
            let shown: Vec<&str> = many[..SHOWN].iter().map(NodeName::as_str).collect();
            format!("{} and {} more", shown.join(", "), many.len() - SHOWN)
        }
        [most @ .., last] => {
            let most: Vec<&str> = most.iter().map(NodeName::as_str).collect();
            format!("{} and {last}", most.join(", "))
        }
    }
}
