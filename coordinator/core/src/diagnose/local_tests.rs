use mesh_proto::{Action, Cause, Confidence, Failure, Match, Plane, Prefix, Reason};

use crate::Target;
use crate::world::kernel::{insert, kernels};
use crate::world::{Fate, World};

#[test]
fn a_node_that_refuses_one_peer_is_the_place_and_the_peer_is_in_the_sentence() {
    let mut world = World::with(5, |trip| match (trip.from, trip.to) {
        // Its tunnel is refused as well, and gives no error.
        (3, 1) if trip.from_plane == Plane::Host && trip.to_plane == Plane::Host => {
            Fate::Fails(Failure::new(Reason::LocalError))
        }
        (3, 1) | (1, 3) => Fate::TimesOut,
        _ => Fate::Passes,
    });
    world.service = Box::new(|_, target| (!matches!(target, Target::Agent(_))).then_some(Fate::Passes));
    let mut facts = kernels(5);
    let peer = Match::Destination(vec![Prefix::host("10.0.3.2".parse().unwrap())]);
    insert(
        &mut facts[3],
        "OUTPUT",
        &[peer],
        Action::Drop,
        "-d 10.0.3.2 -j DROP",
    );
    world.facts = facts.into_iter().enumerate().collect();
    let report = world.run();
    let [finding] = report.findings.as_slice() else {
        panic!("{:#?}", report.findings)
    };
    assert_eq!(
        (finding.cause, finding.confidence),
        (Cause::LocalEgressBlocked, Confidence::Certain)
    );
    assert_eq!(finding.place.nodes, [world.names[3].parse().unwrap()]);
    assert!(
        finding.summary.contains(&format!("to {}", world.names[1])),
        "{finding:#?}"
    );
}
