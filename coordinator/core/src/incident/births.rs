//! Nodes that came while somebody watched: what is wrong with them at first is that they are not ready yet.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mesh_proto::{CellState, NodeName, PlaneState, Report};

use crate::moment::Moment;

/// Who came when, and who was well once.
#[derive(Debug)]
pub(super) struct Births {
    grace: Duration,
    /// `None` once all was well with it, or if it was there from the beginning.
    born: BTreeMap<NodeName, Option<Moment>>,
    has_looked: bool,
}

impl Births {
    pub(super) fn new(grace: Duration) -> Self {
        Self {
            grace,
            born: BTreeMap::new(),
            has_looked: false,
        }
    }

    pub(super) fn handle_look(&mut self, report: &Report, now: Moment) {
        let troubled: BTreeSet<&NodeName> = report
            .cells
            .iter()
            .filter(|cell| matches!(cell.state, CellState::Failed | CellState::Unknown))
            .flat_map(|cell| std::iter::once(&cell.from.node).chain(&cell.to.node))
            .collect();
        let mut before = std::mem::take(&mut self.born);
        for node in &report.nodes {
            let first = if self.has_looked { Some(now) } else { None };
            let born = before.remove(&node.name).unwrap_or(first);
            let probed = [&node.planes.pod, &node.planes.host]
                .into_iter()
                .flatten()
                .any(|record| record.state == PlaneState::Probed);
            let well = probed && !troubled.contains(&node.name);
            self.born.insert(node.name.clone(), born.filter(|_| !well));
        }
        self.has_looked = true;
    }

    /// Those that are still in their time of grace, with the words for it.
    pub(super) fn excuses(&self, now: Moment) -> BTreeMap<NodeName, String> {
        let young = |(node, born): (&NodeName, &Option<Moment>)| {
            let age = now.since((*born)?);
            let words = format!("it came {} s ago and was not whole yet", age.as_secs());
            (age < self.grace).then(|| (node.clone(), words))
        };
        self.born.iter().filter_map(young).collect()
    }
}
