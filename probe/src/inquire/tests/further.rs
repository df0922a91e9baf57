use std::net::IpAddr;

use mesh_proto::{
    AgentIndex, Ask, Expect, Micros, Millis, Observation, PlannedProbe, ProbeId, ProbeKind, Reason, Seen,
};

use crate::inquire::test_road::{ask, ask_within};
use crate::moment::Clock;
use crate::test_place::{answer_as_b, at, behind, in_own_network, probe};

const B: &str = "127.0.0.2:9441";
const AGENT_B: Expect = Expect::Agent(AgentIndex(1));
const KINDS: [ProbeKind; 4] = [
    ProbeKind::Icmp,
    ProbeKind::Udp,
    ProbeKind::Tcp,
    ProbeKind::PathMtu,
];

fn from(source: Option<&str>, probe: PlannedProbe) -> Ask {
    let source: Option<IpAddr> = source.map(|source| source.parse().unwrap());
    Ask::Probe { probe, source }
}

fn observed(seen: Seen) -> Observation {
    match seen {
        Seen::Probe(observation) => observation,
        other => panic!("{other:?}"),
    }
}

fn quick(kind: ProbeKind) -> PlannedProbe {
    PlannedProbe {
        timeout: Millis(500),
        ..probe(kind, at(B), AGENT_B)
    }
}

#[test]
fn requests_of_a_further_probe_are_answered_and_not_counted() {
    in_own_network(&[], async || {
        let runs = answer_as_b(None, Clock::start());
        let asks = KINDS.map(|kind| from(None, quick(kind)));
        let seen = ask_within(Millis(60_000), &asks).await;
        for ((id, kind), seen) in (0..).zip(KINDS).zip(seen) {
            let seen = observed(seen);
            assert_eq!((seen.id, seen.failure), (ProbeId(id), None), "{kind}");
            assert!(seen.received > 0, "{kind}");
        }
        assert_eq!(runs.lock().unwrap().close("r"), Some(Vec::new()));
    });
}

#[test]
fn a_bound_source_is_what_the_far_side_sees() {
    behind("ip saddr 127.0.0.5 drop", async || {
        answer_as_b(None, Clock::start());
        for kind in KINDS {
            let sources = [None, Some("127.0.0.4"), Some("127.0.0.5")];
            let asks = sources.map(|source| from(source, quick(kind)));
            let seen = ask_within(Millis(60_000), &asks).await.into_iter().map(observed);
            let reasons: Vec<_> = seen.map(|of| of.failure.map(|failure| failure.reason)).collect();
            assert_eq!(reasons, [None, None, Some(Reason::Timeout)], "{kind}");
        }
    });
}

#[test]
fn a_source_that_is_not_the_machines_is_its_kernels_refusal() {
    in_own_network(&[], async || {
        answer_as_b(None, Clock::start());
        for kind in [ProbeKind::Icmp, ProbeKind::Udp, ProbeKind::Tcp] {
            let seen = observed(ask(from(Some("198.51.100.1"), quick(kind))).await);
            let failure = seen.failure.unwrap();
            assert_eq!((seen.received, failure.icmp), (0, None), "{kind}");
            assert!(failure.local.is_some(), "{kind}");
        }
    });
}

#[test]
fn a_bad_path_among_several_is_found_by_64_source_ports() {
    behind("udp dport 9441 udp sport & 3 == 1 drop", async || {
        answer_as_b(None, Clock::start());
        let many = PlannedProbe {
            flows: 64,
            tries: 3,
            interval: Micros(10_000),
            ..quick(ProbeKind::Udp)
        };
        let seen = observed(ask(from(None, many)).await);
        let dead = &seen.incomplete_flows;
        assert!(!dead.is_empty() && dead.len() < 64, "{dead:?}");
        for flow in dead {
            assert_eq!((flow.source_port & 3, flow.received), (1, 0), "{flow:?}");
            assert!(flow.sent >= 3, "{flow:?}");
        }
        let alive = 64 - u32::try_from(dead.len()).unwrap();
        assert_eq!(seen.received, alive * 3);
    });
}

#[test]
fn a_probe_is_given_up_when_time_is_up_and_says_so_in_time() {
    behind("udp dport 9441 drop", async || {
        let endless = PlannedProbe {
            timeout: Millis(3_600_000),
            ..quick(ProbeKind::Udp)
        };
        // Its time-out is shortened, so that it can be told.
        let seen = ask_within(Millis(1_000), &[from(None, endless.clone())]).await;
        let [seen]: [Seen; 1] = seen.try_into().unwrap();
        assert_eq!(observed(seen).failure.unwrap().reason, Reason::Timeout);

        let slow = PlannedProbe {
            tries: 2,
            interval: Micros(3_600_000_000),
            ..endless
        };
        let seen = ask_within(Millis(400), &[from(None, slow)]).await;
        let Seen::Untried(why) = &seen[0] else {
            panic!("{seen:?}")
        };
        assert!(why.contains("not done within"), "{why}");
    });
}
