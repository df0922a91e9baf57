use std::collections::{BTreeMap, BTreeSet};

use mesh_proto::NodeName;
use proptest::prelude::*;

use super::{Peers, Rotation};
use crate::{NodeIndex, Readiness, RosterNode};

/// Nodes by zone: so many in each.
fn nodes(zones: &[usize]) -> Vec<RosterNode> {
    let all = zones.iter().enumerate().flat_map(|(zone, size)| {
        (0..*size).map(move |number| RosterNode {
            name: format!("w{number}.{zone}.example").parse().unwrap(),
            zone: (zone > 0).then(|| format!("z{zone}")),
            readiness: Readiness::default(),
        })
    });
    all.collect()
}

fn look(nodes: &[RosterNode], count: usize, turn: usize) -> Option<Rotation> {
    Rotation::new(nodes, Peers { count, turn })
}

/// Who probes whom, by name.
fn pairs(nodes: &[RosterNode], rotation: &Rotation) -> BTreeSet<(NodeName, NodeName)> {
    let name = |node: NodeIndex| nodes[node.0].name.clone();
    let from = (0..nodes.len()).map(NodeIndex);
    from.flat_map(|from| {
        let peers: Vec<_> = rotation.peers_of(from).collect();
        peers.into_iter().map(move |to| (name(from), name(to)))
    })
    .collect()
}

fn clusters() -> impl Strategy<Value = (Vec<usize>, usize)> {
    (prop::collection::vec(0_usize..40, 1..6), 1_usize..30)
}

proptest! {
    #[test]
    fn each_node_probes_as_many_others_as_probe_it((zones, count) in clusters(), turn in any::<usize>()) {
        let nodes = nodes(&zones);
        let Some(rotation) = look(&nodes, count, turn) else {
            prop_assert!(count + 1 >= nodes.len(), "a part only where not all can be probed");
            return Ok(());
        };
        let mut probed = vec![0; nodes.len()];
        for from in (0..nodes.len()).map(NodeIndex) {
            let peers: BTreeSet<NodeIndex> = rotation.peers_of(from).collect();
            prop_assert_eq!(peers.len(), count);
            for to in (0..nodes.len()).map(NodeIndex) {
                prop_assert_eq!(rotation.has(from, to), peers.contains(&to));
            }
            prop_assert!(!peers.contains(&from));
            for to in &peers {
                probed[to.0] += 1;
            }
            let around: BTreeSet<NodeIndex> = rotation.around(from, usize::MAX).collect();
            prop_assert!(around.contains(&from));
            let mut neighbours = around.iter().filter(|other| **other != from);
            let all_probe = neighbours.all(|other| rotation.has(from, *other) || rotation.has(*other, from));
            prop_assert!(all_probe);
        }
        let alike = probed.iter().all(|probed| *probed == count);
        prop_assert!(alike);
    }

    #[test]
    fn all_pairs_have_their_turn_in_as_many_looks_as_are_told((zones, count) in clusters(), first in 0_usize..1_000) {
        let nodes = nodes(&zones);
        let Some(mut rotation) = look(&nodes, count, first) else { return Ok(()) };
        let looks = rotation.looks();
        let mut seen = BTreeSet::new();
        for _ in 0..looks {
            seen.extend(pairs(&nodes, &rotation));
            rotation = look(&nodes, count, rotation.next()).unwrap();
        }
        prop_assert_eq!(seen.len(), nodes.len() * (nodes.len() - 1));
    }

    #[test]
    fn who_comes_or_goes_moves_few((zones, count) in clusters(), zone in 0_usize..6, turn in 0_usize..200) {
        let all = nodes(&zones);
        let mut more = zones.clone();
        let zone = zone % more.len();
        more[zone] += 1;
        let larger = nodes(&more);
        let (Some(before), Some(after)) = (look(&all, count, turn), look(&larger, count, turn)) else {
            return Ok(());
        };
        // Near the end of its distances a rotation begins anew one look earlier or later.
        prop_assume!(before.begin == after.begin && before.begin + before.rotating <= before.in_turn());
        let new = &format!("w{}.{zone}.example", more[zone] - 1);
        let of_others = |pairs: BTreeSet<(NodeName, NodeName)>| -> BTreeSet<_> {
            pairs.into_iter().filter(|(from, to)| from.as_str() != new && to.as_str() != new).collect()
        };
        let (before, after) = (of_others(pairs(&all, &before)), of_others(pairs(&larger, &after)));
        let moved = after.difference(&before).count();
        let most = MOST_MOVED * all.len();
        prop_assert!(moved <= most, "{} of {} moved", moved, after.len());
    }

    #[test]
    fn zones_are_met_in_proportion(zones in prop::collection::vec(5_usize..40, 2..5), count in 8_usize..24, turn in any::<usize>()) {
        let nodes = nodes(&zones);
        let Some(rotation) = look(&nodes, count, turn) else { return Ok(()) };
        for from in (0..nodes.len()).map(NodeIndex) {
            let mut met: BTreeMap<&Option<String>, usize> = BTreeMap::new();
            for to in rotation.peers_of(from).chain([from]) {
                *met.entry(&nodes[to.0].zone).or_default() += 1;
            }
            for (zone, size) in zones.iter().enumerate() {
                let name = (zone > 0).then(|| format!("z{zone}"));
                let share = count * size / nodes.len();
                let met = met.get(&name).copied().unwrap_or(0);
                // Two stretches, each with an end at either side, and one that wraps around.
                prop_assert!(met.abs_diff(share) <= 5, "{} of zone {}, whose share is {}", met, zone, share);
            }
        }
    }
}

/// So many assignments of a node move on average when another node comes or goes, however many it has.
const MOST_MOVED: usize = 6;

#[test]
fn a_look_goes_on_where_the_last_one_ended() {
    let nodes = nodes(&[10]);
    let rotation = look(&nodes, 4, 0).unwrap();
    assert_eq!((rotation.count(), rotation.others(), rotation.looks()), (4, 9, 4));
    assert_eq!(rotation.next(), 2);
    assert_eq!(
        look(&nodes, 4, 6).unwrap().next(),
        1,
        "it begins anew, and leaves nothing out"
    );
    assert_eq!(look(&nodes, 9, 0), None, "all are peers");
    assert_eq!(look(&nodes[..1], 1, 0), None);
    assert_eq!(look(&[], 1, 0), None);
}
