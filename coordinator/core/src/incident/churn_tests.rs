//! Churn: nodes that come, go, restart; agents that restart; looks that see what is not there.

use proptest::prelude::*;

use super::IncidentState;
use super::tests::{QUIET, Seen, Watch};
use crate::pulse::Depth::{Full, Light};

/// What happens to a cluster in one second, none of it a fault of its network.
#[derive(Debug, Clone)]
enum Churn {
    Nothing,
    /// A node comes, and its pod network takes so many seconds.
    Comes(u8),
    Goes(u8),
    /// It is drained or restarts: the cluster says so, and for so long it fails.
    NotReady(u8, u8),
    /// Its agent restarts.
    AgentRestarts(u8, u8),
    /// One look sees what is not there.
    Noise(u8),
}

fn churn() -> impl Strategy<Value = Churn> {
    prop_oneof![
        2 => Just(Churn::Nothing),
        1 => (2u8..40).prop_map(Churn::Comes),
        1 => any::<u8>().prop_map(Churn::Goes),
        1 => (any::<u8>(), 1u8..90).prop_map(|(node, span)| Churn::NotReady(node, span)),
        1 => (any::<u8>(), 1u8..20).prop_map(|(node, span)| Churn::AgentRestarts(node, span)),
        1 => any::<u8>().prop_map(Churn::Noise),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, max_shrink_iters: 0, ..ProptestConfig::default() })]

    /// A thousand events of churn, many at once, and not one false alarm; then a true fault is open at the second look.
    #[test]
    fn churn_alarms_nobody(events in prop::collection::vec(churn(), 1000)) {
        let mut watch = Watch::new();
        watch.look(Full, &Seen::nodes(10));
        // n0 to n9 stay; each other has a time until which it fails, is excused, or has no agent.
        let mut next = 10;
        let mut nodes: Vec<(String, u64, u64, u64)> = (0..10).map(|n| (format!("n{n}"), 0, 0, 0)).collect();
        let mut second = 0;
        let mut quiet_since_noise = 2;
        for event in events {
            second += 1;
            quiet_since_noise += 1;
            let mut noise = None;
            let young = nodes.len() - 10;
            let pick = |n: u8| (young > 0).then(|| 10 + usize::from(n) % young);
            match event {
                Churn::Comes(takes) if nodes.len() < 16 => {
                    nodes.push((format!("n{next}"), second + u64::from(takes), 0, 0));
                    next += 1;
                }
                Churn::Goes(n) => { pick(n).map(|slot| nodes.remove(slot)); }
                Churn::NotReady(n, span) => {
                    if let Some(slot) = pick(n) {
                        nodes[slot].1 = nodes[slot].1.max(second + u64::from(span));
                        nodes[slot].2 = nodes[slot].2.max(second + u64::from(span));
                    }
                }
                Churn::AgentRestarts(n, span) => {
                    if let Some(slot) = pick(n) { nodes[slot].3 = second + u64::from(span); }
                }
                Churn::Noise(n) if quiet_since_noise > 1 => {
                    quiet_since_noise = 0;
                    noise = Some(format!("n{}", n % 10));
                }
                Churn::Nothing | Churn::Comes(_) | Churn::Noise(_) => {}
            }
            let mut seen = Seen {
                nodes: nodes.iter().map(|(name, ..)| (name.clone(), "probed")).collect(),
                ..Seen::default()
            };
            watch.excused.clear();
            for (name, fails, excused, absent) in &nodes {
                if *absent > second {
                    seen = seen.absent(name);
                }
                if *fails > second {
                    seen = seen.fault("node-down", name);
                }
                if *excused > second {
                    watch.excused.insert(name.parse().unwrap(), "NotReady".to_owned());
                }
            }
            if let Some(node) = noise {
                seen = seen.fault("unknown", &node);
            }
            let depth = if second % 60 == 0 { Full } else { Light };
            let said = watch.look(depth, &seen);
            prop_assert_eq!(said, QUIET, "second {}, {:?}, excused {:?}, newcomers {:?}", second, nodes, watch.excused, watch.incidents.newcomers(watch.now));
        }
        let mut seen = Seen::nodes(10).fault("ip-forward-off", "n4");
        seen.nodes.truncate(10);
        watch.excused.clear();
        // At the first one where the noise of a moment ago happened to be there.
        let said = [watch.look(Light, &seen), watch.look(Light, &seen)].concat();
        prop_assert_eq!(said.len(), 1, "{:?}", said);
        prop_assert_eq!(watch.incidents.open().next().map(|open| open.state), Some(IncidentState::Open));
    }
}
