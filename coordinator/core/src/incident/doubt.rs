//! Doubt about oneself: an observer that lost sight of most at once is more likely cut off than they are all gone.

use std::collections::BTreeMap;

use mesh_proto::{NodeName, PlaneState, Report};

use crate::moment::Moment;

/// Why the observer does not trust what it sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubt {
    /// Since when.
    pub since: Moment,
    /// In words.
    pub why: String,
}

impl Doubt {
    /// Of one look: fewer than half of the nodes that should probe did.
    pub(super) fn of(
        report: &Report,
        excused: &BTreeMap<NodeName, String>,
        before: Option<Self>,
        now: Moment,
    ) -> Option<Self> {
        let records = |node: &mesh_proto::Node| {
            [node.planes.pod.clone(), node.planes.host.clone()]
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
        };
        let (mut should, mut did, mut example) = (0_usize, 0_usize, None);
        for node in report
            .nodes
            .iter()
            .filter(|node| !excused.contains_key(&node.name))
        {
            let records = records(node);
            if records.iter().any(|record| record.state == PlaneState::Probed) {
                did += 1;
            } else if let Some(record) = records.iter().find(|record| record.state == PlaneState::Absent) {
                example = example.or_else(|| record.why.clone());
            } else {
                continue;
            }
            should += 1;
        }
        if did * 2 >= should {
            return None;
        }
        let example = example.map_or_else(String::new, |why| format!(" ({why})"));
        Some(Self {
            since: before.map_or(now, |doubt| doubt.since),
            why: format!(
                "only {did} of {should} nodes are in sight{example}: the coordinator itself may be cut off, so it blames nobody"
            ),
        })
    }
}
