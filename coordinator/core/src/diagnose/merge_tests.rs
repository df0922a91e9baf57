use mesh_proto::{Cause, Report, Where};

use crate::world::{Fate, World};

/// What is found where pod packets do not pass between some pairs of six nodes.
fn found(pairs: &'static [(usize, usize)]) -> Report {
    let world = World::with(6, move |trip| {
        let ends = (trip.from.min(trip.to), trip.from.max(trip.to));
        if trip.overlaid() && pairs.contains(&ends) {
            Fate::TimesOut
        } else {
            Fate::Passes
        }
    });
    world.run()
}

#[test]
fn pairs_that_share_no_node_are_findings_of_their_own() {
    let pairs_of = |report: &Report| {
        let of = report.findings.iter().map(|finding| {
            assert_eq!(finding.cause, Cause::Unknown, "{finding:#?}");
            finding.place.pairs.len()
        });
        of.collect::<Vec<_>>()
    };
    assert_eq!(pairs_of(&found(&[(1, 2), (3, 4)])), [1, 1]);
    assert_eq!(pairs_of(&found(&[(1, 2), (2, 3)])), [2]);
    // A chain has no node in common.
    assert_eq!(pairs_of(&found(&[(1, 2), (2, 3), (3, 4)])).len(), 2);
}

#[test]
fn ways_that_all_end_at_a_node_are_of_that_node() {
    let name = |name: &str| -> mesh_proto::NodeName { name.parse().unwrap() };
    let pairs = |ends: &[(&str, &str)]| Where {
        pairs: ends.iter().map(|(a, b)| (name(a), name(b))).collect(),
        ..Where::default()
    };
    let node = Where {
        nodes: vec![name("b")],
        ..Where::default()
    };
    assert!(super::all_end_at(&pairs(&[("a", "b"), ("b", "c")]), &node));
    assert!(!super::all_end_at(&pairs(&[("a", "b"), ("a", "c")]), &node));
    assert!(!super::all_end_at(&node, &node), "it has no pairs");
}
