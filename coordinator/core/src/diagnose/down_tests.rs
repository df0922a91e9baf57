use mesh_proto::{Cause, Confidence};

use crate::Readiness;
use crate::world::{Fate, World};

#[test]
fn a_node_is_down_for_certain_only_where_kubernetes_does_not_hear_of_it_either() {
    let lost = || Readiness::NotReady("Ready is Unknown: Kubelet stopped posting node status.".to_owned());
    let cases = [
        (Readiness::NotWatched, Confidence::Certain, "is down:"),
        (lost(), Confidence::Certain, "is down:"),
        (Readiness::Ready, Confidence::Likely, "is down or cut off:"),
    ];
    for (readiness, confidence, words) in cases {
        let mut world = World::with(4, |trip| {
            if trip.touches(2) {
                Fate::TimesOut
            } else {
                Fate::Passes
            }
        });
        world.absent = vec![2];
        world.readiness = vec![(2, readiness.clone())];
        let report = world.run();
        let [finding] = report.findings.as_slice() else {
            panic!("{:#?}", report.findings)
        };
        assert_eq!((finding.cause, finding.confidence), (Cause::NodeDown, confidence));
        assert!(finding.summary.contains(words), "{finding:#?}");
        let advice = finding.advice.join(" ");
        assert_eq!(advice.contains("kubectl"), readiness != Readiness::NotWatched);
        assert!(advice.contains("10.0.3.3"), "the address is known: {advice}");
        if let Readiness::NotReady(why) = &readiness {
            assert!(finding.evidence[0].contains(why.as_str()));
        }
        // Its heartbeat tells which of the two it is.
        assert_eq!(advice.contains("renewTime"), readiness == Readiness::Ready);
    }
}
