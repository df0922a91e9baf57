use mesh_proto::{Cause, Confidence, Finding, ProbeKind};

use crate::world::{Fate, Trip, World};

/// The black hole that is found between the first and the third of four nodes, where so much else is dead.
fn found(dead: fn(&Trip) -> bool) -> Finding {
    let world = World::with(4, move |trip| {
        let is_pair = trip.crosses() && trip.touches(0) && trip.touches(2);
        if dead(trip) {
            Fate::TimesOut
        } else if is_pair && trip.kind == ProbeKind::PathMtu {
            Fate::Shrinks(1_300)
        } else {
            Fate::Passes
        }
    });
    let report = world.run();
    let finding = report
        .findings
        .into_iter()
        .find(|of| of.cause == Cause::MtuBlackhole);
    finding.expect("a black hole is found")
}

#[test]
fn a_black_hole_is_certain_only_where_large_packets_pass_around_it() {
    let alone = found(|_| false);
    assert_eq!(
        (alone.confidence, alone.place.pairs.len()),
        (Confidence::Certain, 1)
    );
    // Whether large packets would pass between the third node and the others is not known.
    let beside = found(|trip| trip.crosses() && trip.touches(2) && !trip.touches(0));
    assert_eq!(beside.confidence, Confidence::Likely, "{beside:#?}");
}
