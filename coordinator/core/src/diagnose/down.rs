//! A node that is down, and cells that no place explains.

use mesh_proto::{Cause, Confidence, Finding, Plane, Severity, Where};

use super::Draft;
use super::evidence::evidence;
use super::place::node_name;
use super::scene::address_of;
use crate::judge::why_absent;
use crate::localise::{Model, Pick, Rest};
use crate::round::CellIndex;
use crate::{NodeIndex, Readiness};

/// A node that answers nobody, nor its link.
pub(super) fn node_down(model: &Model<'_>, pick: &Pick, node: NodeIndex) -> Draft {
    let name = node_name(model, node);
    let roster = model.matrix.round().roster();
    let mut seen = evidence(model, &pick.explains);
    for (index, agent) in roster.indexed().filter(|(_, agent)| agent.key.node == name) {
        seen.push(format!(
            "no link to the agent {}: {}",
            agent.key,
            why_absent(model.matrix, index)
        ));
    }
    let address = address_of(model, node, Plane::Host);
    let pinged = address.map_or(String::new(), |address| {
        format!("; from another node: ping {address}")
    });
    let at_hand = format!("Look at {name}'s console or power state{pinged}");
    let (confidence, summary, advice) = match &roster.nodes[node.0].readiness {
        Readiness::NotWatched => (
            Confidence::Certain,
            format!("{name} is down: it answers nobody on any plane, and the links to its agents are dead."),
            vec![format!("{at_hand}.")],
        ),
        Readiness::NotReady(why) => {
            seen.insert(0, format!("Kubernetes says of {name}: {why}"));
            (
                Confidence::Certain,
                format!(
                    "{name} is down: it answers nobody on any plane, and Kubernetes has not heard of it either."
                ),
                vec![format!("{at_hand}."), format!("kubectl describe node {name}")],
            )
        }
        // Whoever sends heartbeats is not down. But it takes a while until they are missed.
        Readiness::Ready => {
            seen.insert(
                0,
                format!("Kubernetes said that {name} is Ready; it takes 40 s to notice that a node is gone."),
            );
            (
                Confidence::Likely,
                format!(
                    "{name} is down or cut off: it answers nobody on any plane, and no link to its agents works."
                ),
                vec![
                    format!(
                        "Does it still send heartbeats? kubectl get node {name}; kubectl -n kube-node-lease get lease {name} -o jsonpath='{{.spec.renewTime}}'"
                    ),
                    format!(
                        "If it does, it is cut off: on {name}: nft list ruleset; iptables-save; systemctl status kubelet. If not: {}.",
                        lower(&at_hand)
                    ),
                ],
            )
        }
    };
    Draft {
        cause: Cause::NodeDown,
        place: Where {
            nodes: vec![name.clone()],
            ..Where::default()
        },
        confidence,
        summary,
        evidence: seen,
        advice,
        ruled_out: Vec::new(),
        shown: true,
        at_no_place: false,
        explains: pick.explains.clone(),
    }
}

fn lower(words: &str) -> String {
    let mut characters = words.chars();
    characters.next().map_or_else(String::new, |first| {
        first.to_lowercase().chain(characters).collect()
    })
}

/// Cells that no admissible place explains.
pub(super) fn nowhere(model: &Model<'_>, cells: &[CellIndex]) -> Draft {
    let mut pairs: Vec<_> = cells
        .iter()
        .filter_map(|cell| match model.nodes(*cell) {
            (Some(from), Some(to)) if from != to => Some((node_name(model, from), node_name(model, to))),
            _ => None,
        })
        .collect();
    pairs.sort();
    pairs.dedup();
    Draft {
        cause: Cause::Unknown,
        place: Where {
            pairs,
            ..Where::default()
        },
        confidence: Confidence::Possible,
        summary: match cells.len() {
            1 => "One cell is not whole, and no place explains it better than chance.".to_owned(),
            count if model.holds_all() => {
                format!("{count} cells are not whole, and no single place explains them.")
            }
            _ => "Cells here and there are not whole, and no single place explains them.".to_owned(),
        },
        evidence: evidence(model, cells),
        advice: vec!["Run again with -o wide and compare the failing cells with healthy ones.".to_owned()],
        ruled_out: Vec::new(),
        shown: false,
        at_no_place: true,
        explains: cells.to_vec(),
    }
}

/// Cells that no place explains, at nodes that are like all others; `None` if there are none.
pub(super) fn scattered(rest: &Rest) -> Option<Finding> {
    let count = rest.failed + rest.degraded;
    (count > 0).then(|| Finding {
        cause: Cause::Unknown,
        place: Where::default(),
        severity: if rest.failed > 0 {
            Severity::Failure
        } else {
            Severity::Warning
        },
        confidence: Confidence::Possible,
        explains: u32::try_from(count).unwrap_or(u32::MAX),
        summary: format!(
            "{count} cells here and there are not whole, and no single place explains them: {} failed, {} came through badly.",
            rest.failed, rest.degraded
        ),
        evidence: Vec::new(),
        advice: vec!["Run again with -o wide and compare the failing cells with healthy ones.".to_owned()],
        ruled_out: Vec::new(),
    })
}

#[cfg(test)]
#[path = "down_tests.rs"]
mod tests;
