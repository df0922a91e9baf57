use mesh_proto::{Cause, Confidence, Failure, Reason};

use crate::Target;
use crate::world::World;
use crate::world::{Fate, kernel::kernels};

/// The DNS service answers agents of the first node, where one of its endpoints stands, from another address.
fn answered_from_elsewhere(sysctl: &str) -> World {
    let mut world = World::healthy(4);
    world.service = Box::new(|node, target| {
        (node == 0 && matches!(target, Target::Dns { .. }))
            .then(|| Fate::Fails(Failure::new(Reason::WrongResponder)))
    });
    let mut facts = kernels(4);
    let name = "net.bridge.bridge-nf-call-iptables".to_owned();
    facts[0].sysctls.insert(name, sysctl.to_owned());
    world.facts = facts.into_iter().enumerate().collect();
    world
}

#[test]
fn a_service_that_is_answered_from_another_address_is_no_second_machine() {
    for sysctl in ["0", "1"] {
        let report = answered_from_elsewhere(sysctl).run();
        let wrong = report
            .findings
            .iter()
            .filter(|of| of.cause == Cause::DuplicateAddress || of.confidence == Confidence::Certain);
        assert_eq!(wrong.count(), 0, "{:#?}", report.findings);
    }
}
