//! Watches of pods, events and DaemonSets run side by side and start anew: the order of what is told must not matter.

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Event, Pod};
use mesh_proto::AgentKey;
use proptest::prelude::*;

use super::tests::{seen, three_nodes};
use super::{AgentState, Standing};

#[derive(Debug, Clone)]
enum Told {
    Pod(Pod),
    Event(Event),
    DaemonSet(DaemonSet),
}

fn tell(all: &[Told]) -> Standing {
    let mut standing = Standing::new(three_nodes());
    let mut progress = 0;
    for told in all {
        match told {
            Told::Pod(pod) => standing.pod(pod),
            Told::Event(event) => standing.event(event),
            Told::DaemonSet(set) => standing.daemon_set(set),
        }
        assert!(standing.progress() >= progress, "progress never shrinks");
        progress = standing.progress();
    }
    standing
}

fn states(standing: &Standing) -> Vec<(AgentKey, AgentState)> {
    three_nodes()
        .into_iter()
        .map(|key| (key.clone(), standing.state(&key)))
        .collect()
}

fn all_of(case: usize) -> Vec<Told> {
    let seen = seen().swap_remove(case);
    let pods = seen.pods.into_iter().map(Told::Pod);
    let events = seen.events.into_iter().map(Told::Event);
    pods.chain(events)
        .chain([Told::DaemonSet(seen.daemon_set)])
        .collect()
}

fn a_case_in_two_orders() -> impl Strategy<Value = (Vec<Told>, Vec<Told>)> {
    (0..seen().len()).prop_map(all_of).prop_flat_map(|all| {
        let again = proptest::sample::subsequence(all.clone(), 0..=all.len());
        let twice = again.prop_map({
            let all = all.clone();
            move |again| all.iter().cloned().chain(again).collect::<Vec<_>>()
        });
        (Just(all), twice.prop_shuffle())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_order_and_any_repetition_ends_in_the_same_states((all, shuffled) in a_case_in_two_orders()) {
        prop_assert_eq!(states(&tell(&all)), states(&tell(&shuffled)));
    }

    #[test]
    fn a_pod_that_is_gone_stays_gone((all, shuffled) in a_case_in_two_orders()) {
        let mut gone = tell(&all);
        let pods = || all.iter().filter_map(|told| if let Told::Pod(pod) = told { Some(pod) } else { None });
        pods().for_each(|pod| gone.pod_gone(pod));
        let before = states(&gone);
        let up = before.iter().any(|(_, state)| matches!(state, AgentState::Up { .. }));
        prop_assert!(!up);
        for told in &shuffled {
            if let Told::Pod(pod) = told {
                gone.pod(pod);
            }
        }
        prop_assert_eq!(states(&gone), before);
    }
}
