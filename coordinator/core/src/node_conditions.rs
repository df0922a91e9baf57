//! When a node's condition in the cluster is written: on a change, and again once in a while. Whoever writes conditions makes
//! others move pods, so there is a limit to how many nodes may be held at once.

use std::collections::BTreeMap;
use std::time::Duration;

use mesh_proto::NodeName;

use crate::moment::Moment;
use crate::node_reach::NodeReach;

/// The numbers of conditions.
#[derive(Debug, Clone, Copy)]
pub struct ConditionConfig {
    /// What has not changed is written again after so long.
    pub heartbeat: Duration,
    /// What becomes better, or unknown, must stay so for so long. What an incident says has been confirmed already.
    pub steady: Duration,
    /// After a write that failed.
    pub again: Duration,
    /// Of a hundred nodes so many may be held at once; one always may.
    pub most_held_percent: u32,
    /// Writes after one look. The rest comes after the next.
    pub at_once: usize,
}

impl Default for ConditionConfig {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_mins(5),
            steady: Duration::from_secs(10),
            again: Duration::from_secs(30),
            most_held_percent: 10,
            at_once: 20,
        }
    }
}

/// A condition to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConditionWrite {
    /// Of which node.
    pub node: NodeName,
    /// What it says.
    pub reach: NodeReach,
    /// It said something else, or nothing, before; else it is only to be seen that somebody still looks.
    pub is_change: bool,
}

/// What there is to do after a look.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConditionStep {
    /// To be written now.
    pub writes: Vec<ConditionWrite>,
    /// Why nothing is, where something would be.
    pub held_back: Option<String>,
}

/// The state machine.
#[derive(Debug)]
pub struct NodeConditions {
    config: ConditionConfig,
    nodes: BTreeMap<NodeName, Told>,
}

#[derive(Debug)]
struct Told {
    /// What the cluster says, as far as it was written, and when.
    written: Option<(NodeReach, Moment)>,
    /// What was seen last, and since when.
    seen: (NodeReach, Moment),
    not_before: Moment,
}

impl NodeConditions {
    /// Nothing is written yet.
    pub fn new(config: ConditionConfig) -> Self {
        Self {
            config,
            nodes: BTreeMap::new(),
        }
    }

    /// After a look. With `doubt` the observer does not trust what it sees, and writes nothing.
    pub fn handle_look(
        &mut self,
        seen: &BTreeMap<NodeName, NodeReach>,
        doubt: Option<&str>,
        now: Moment,
    ) -> ConditionStep {
        self.nodes.retain(|node, _| seen.contains_key(node));
        for (node, reach) in seen {
            let told = self.nodes.entry(node.clone()).or_insert_with(|| Told {
                written: None,
                seen: (reach.clone(), now),
                not_before: now,
            });
            if kind(&told.seen.0) == kind(reach) {
                told.seen.0 = reach.clone();
            } else {
                told.seen = (reach.clone(), now);
            }
        }
        let held = seen
            .values()
            .filter(|reach| kind(reach) == Kind::Unreachable)
            .count();
        let percent = usize::try_from(self.config.most_held_percent).unwrap_or(usize::MAX);
        let most = (seen.len().saturating_mul(percent) / 100).max(1);
        let held_back = match doubt {
            Some(why) => Some(why.to_owned()),
            None if held > most => Some(format!(
                "{held} of {} nodes would be held, and no more than {most} may be: no condition is written and no taint \
                 taken away",
                seen.len()
            )),
            None => None,
        };
        if held_back.is_some() {
            return ConditionStep {
                writes: Vec::new(),
                held_back,
            };
        }
        let due = self.nodes.iter().filter_map(|(node, told)| {
            let is_change = told.due(self.config, now)?;
            Some(ConditionWrite {
                node: node.clone(),
                reach: told.seen.0.clone(),
                is_change,
            })
        });
        let mut writes: Vec<ConditionWrite> = due.collect();
        // Changes do not wait for what only shows that somebody looks.
        writes.sort_by_key(|write| !write.is_change);
        writes.truncate(self.config.at_once);
        ConditionStep { writes, held_back }
    }

    /// What came of a write.
    pub fn handle_written(&mut self, write: &ConditionWrite, is_done: bool, now: Moment) {
        // A node that left meanwhile.
        let Some(told) = self.nodes.get_mut(&write.node) else {
            return;
        };
        if is_done {
            told.written = Some((write.reach.clone(), now));
        } else {
            told.not_before = now + self.config.again;
        }
    }
}

impl Told {
    /// Whether it is to be written, and if so whether that is a change.
    fn due(&self, config: ConditionConfig, now: Moment) -> Option<bool> {
        if now < self.not_before {
            return None;
        }
        let (reach, since) = &self.seen;
        let is_sure = kind(reach) == Kind::Unreachable || now.since(*since) >= config.steady;
        match &self.written {
            Some((written, at)) if kind(written) == kind(reach) => {
                let is_news = is_sure && written != reach && kind(reach) == Kind::Unreachable;
                (is_news || now.since(*at) >= config.heartbeat).then_some(false)
            }
            _ => is_sure.then_some(true),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Reachable,
    Unreachable,
    Unknown,
}

fn kind(reach: &NodeReach) -> Kind {
    match reach {
        NodeReach::Reachable => Kind::Reachable,
        NodeReach::Unreachable { .. } => Kind::Unreachable,
        NodeReach::Unknown(_) => Kind::Unknown,
    }
}

#[cfg(test)]
mod tests;
