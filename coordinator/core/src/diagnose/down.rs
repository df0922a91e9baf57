//! A node that is down, and cells that no place explains.

use mesh_proto::{Cause, Confidence, Finding, Severity, Where};

use super::Draft;
use super::evidence::evidence;
use super::place::node_name;
use crate::NodeIndex;
use crate::judge::why_absent;
use crate::localise::{Model, Pick, Rest};
use crate::round::CellIndex;

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
    Draft {
        cause: Cause::NodeDown,
        place: Where {
            nodes: vec![name.clone()],
            ..Where::default()
        },
        confidence: Confidence::Certain,
        summary: format!(
            "{name} is down: it answers nobody on any plane, and the links to its agents are dead."
        ),
        evidence: seen,
        advice: vec![
            format!("Look at {name}'s console or power state; from another node: ping its address."),
            format!("kubectl describe node {name}"),
        ],
        ruled_out: Vec::new(),
        shown: true,
        at_no_place: false,
        explains: pick.explains.clone(),
    }
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
