use std::collections::BTreeMap;
use std::time::Duration;

use mesh_proto::{Cause, NodeName};

use super::{ConditionConfig, ConditionStep, ConditionWrite, NodeConditions};
use crate::moment::Moment;
use crate::node_reach::NodeReach;

fn at(seconds: u64) -> Moment {
    Moment(Duration::from_secs(seconds))
}

fn down() -> NodeReach {
    NodeReach::Unreachable {
        cause: Cause::NodeDown,
        words: "it is down".to_owned(),
    }
}

fn unknown() -> NodeReach {
    NodeReach::Unknown("it came 3 s ago".to_owned())
}

/// So many nodes, of which these are not reachable.
fn seen(count: usize, others: &[(usize, NodeReach)]) -> BTreeMap<NodeName, NodeReach> {
    let mut all: BTreeMap<_, _> = (0..count)
        .map(|number| (format!("n{number:03}").parse().unwrap(), NodeReach::Reachable))
        .collect();
    for (number, reach) in others {
        all.insert(format!("n{number:03}").parse().unwrap(), reach.clone());
    }
    all
}

struct Cluster {
    conditions: NodeConditions,
}

impl Cluster {
    fn new() -> Self {
        Self {
            conditions: NodeConditions::new(ConditionConfig::default()),
        }
    }

    fn look(&mut self, seen: &BTreeMap<NodeName, NodeReach>, now: u64) -> ConditionStep {
        self.conditions.handle_look(seen, None, at(now))
    }

    /// Looks and writes.
    fn go(&mut self, seen: &BTreeMap<NodeName, NodeReach>, now: u64) -> Vec<ConditionWrite> {
        let step = self.look(seen, now);
        for write in &step.writes {
            self.conditions.handle_written(write, true, at(now));
        }
        step.writes
    }
}

#[test]
fn a_change_is_written_once_and_again_as_a_heartbeat() {
    let mut cluster = Cluster::new();
    let well = seen(3, &[]);
    assert_eq!(cluster.go(&well, 0), [], "what is good must last");
    assert_eq!(cluster.go(&well, 10).len(), 3);
    assert_eq!(cluster.go(&well, 309), []);
    let again = cluster.go(&well, 310);
    assert!(
        again.len() == 3 && again.iter().all(|write| !write.is_change),
        "{again:?}"
    );

    // What an incident says is written at once.
    let ill = cluster.go(&seen(3, &[(1, down())]), 320);
    assert_eq!(ill.len(), 1);
    assert!(ill[0].is_change && ill[0].reach == down(), "{ill:?}");
    // It is over, and one look that does not know does not take it back.
    assert_eq!(cluster.go(&well, 330), []);
    assert_eq!(cluster.go(&seen(3, &[(1, unknown())]), 335), []);
    assert_eq!(cluster.go(&well, 336), []);
    let mended = cluster.go(&well, 346);
    assert_eq!(mended.len(), 1);
    assert_eq!(
        (&mended[0].reach, mended[0].is_change),
        (&NodeReach::Reachable, true)
    );
}

#[test]
fn more_than_a_tenth_of_the_nodes_is_never_held() {
    for (nodes, allowed) in [(2, 1), (3, 1), (19, 1), (20, 2), (200, 20)] {
        let mut cluster = Cluster::new();
        let ill = |count: usize| {
            let ill: Vec<_> = (0..count).map(|number| (number, down())).collect();
            seen(nodes, &ill)
        };
        assert_eq!(
            cluster.look(&ill(allowed), 0).writes.len(),
            allowed.min(20),
            "{nodes}"
        );
        let step = cluster.look(&ill(allowed + 1), 1);
        assert_eq!(step.writes, [], "{nodes}");
        let why = step.held_back.unwrap();
        assert!(
            why.contains(&format!("{} of {nodes} nodes", allowed + 1)),
            "{why}"
        );
    }
}

#[test]
fn who_doubts_itself_writes_nothing() {
    let mut cluster = Cluster::new();
    let step = cluster
        .conditions
        .handle_look(&seen(3, &[(0, down())]), Some("cut off"), at(0));
    assert_eq!(
        (step.writes, step.held_back.as_deref()),
        (Vec::new(), Some("cut off"))
    );
    assert_eq!(cluster.look(&seen(3, &[(0, down())]), 1).writes.len(), 1);
}

#[test]
fn writes_are_few_at_once_and_changes_come_first() {
    let mut cluster = Cluster::new();
    let well = seen(50, &[]);
    cluster.look(&well, 0);
    let counts: Vec<usize> = (10..14).map(|now| cluster.go(&well, now).len()).collect();
    assert_eq!(counts, [20, 20, 10, 0]);
    // All heartbeats are due, and one change.
    let writes = cluster.go(&seen(50, &[(49, down())]), 400);
    assert_eq!((writes.len(), writes[0].node.as_str()), (20, "n049"));
}

#[test]
fn a_write_that_failed_waits_and_a_node_that_left_is_forgotten() {
    let mut cluster = Cluster::new();
    let ill = seen(2, &[(0, down())]);
    let step = cluster.look(&ill, 0);
    cluster.conditions.handle_written(&step.writes[0], false, at(0));
    assert_eq!(cluster.look(&ill, 29).writes.len(), 1, "the other one's");
    assert_eq!(cluster.look(&ill, 30).writes.len(), 2);
    assert_eq!(cluster.go(&seen(1, &[(0, down())]), 31).len(), 1);
    cluster.go(&BTreeMap::new(), 32);
    assert_eq!(
        cluster.go(&seen(1, &[(0, down())]), 33).len(),
        1,
        "a node of the same name is another one"
    );
}
