use proptest::prelude::*;

use super::{Prepare, Prepared, RunKey, v1};
use crate::{
    AgentIdentity, AgentIndex, AgentKey, BootId, DnsQuestion, Expect, Failure, FlowTally, IcmpError,
    IcmpMode, LocalError, Micros, Millis, Observation, Pacing, PathMtu, Plan, PlannedProbe, Port, ProbeId,
    ProbeKind, Reason, Rtt,
};

fn key() -> impl Strategy<Value = AgentKey> {
    ("[a-z0-9.-]{1,60}", any::<bool>()).prop_map(|(node, pod)| AgentKey {
        node: node.parse().unwrap(),
        plane: if pod {
            crate::Plane::Pod
        } else {
            crate::Plane::Host
        },
    })
}

fn identity() -> impl Strategy<Value = AgentIdentity> {
    (key(), any::<[u8; 16]>()).prop_map(|(key, boot_id)| AgentIdentity {
        key,
        boot_id: BootId(boot_id),
    })
}

fn probe() -> impl Strategy<Value = PlannedProbe> {
    let kind = prop::sample::select(ProbeKind::ALL);
    let expect = prop_oneof![
        any::<u32>().prop_map(|i| Expect::Agent(AgentIndex(i))),
        Just(Expect::Anyone)
    ];
    let dns = prop::option::of(("[a-z]{1,20}", any::<bool>()));
    (
        any::<u32>(),
        kind,
        any::<std::net::IpAddr>(),
        any::<u16>(),
        expect,
        1..u16::MAX,
        1..u16::MAX,
        any::<u32>(),
        dns,
    )
        .prop_map(
            |(id, kind, address, port, expect, flows, tries, number, dns)| PlannedProbe {
                id: ProbeId(id),
                kind,
                address,
                port: Port(port),
                expect,
                flows,
                tries,
                interval: Micros(number),
                timeout: Millis(number / 3),
                dns: dns.map(|(name, as_application)| DnsQuestion { name, as_application }),
            },
        )
}

fn observation() -> impl Strategy<Value = Observation> {
    let icmp = (any::<u8>(), any::<u8>(), any::<std::net::IpAddr>());
    let failure = (
        prop::sample::select(Reason::ALL),
        prop::option::of(icmp),
        any::<i32>(),
        "[a-z]{0,9}",
    );
    (
        any::<u32>(),
        0..9_u32,
        0..9_u32,
        prop::option::of(failure),
        prop::option::of(identity()),
        any::<bool>(),
    )
        .prop_map(|(id, received, lost, failure, responder, starved)| Observation {
            sent: received + lost,
            received,
            resent: received / 2,
            incomplete_flows: vec![FlowTally {
                source_port: 7,
                sent: lost,
                received: 0,
            }],
            rtt: (received > 0).then_some(Rtt {
                min: Micros(1),
                p50: Micros(2),
                p99: Micros(3),
                max: Micros(4),
            }),
            failure: failure.map(|(reason, icmp, errno, detail)| Failure {
                reason,
                icmp: icmp.map(|(kind, code, from)| IcmpError { kind, code, from }),
                local: Some(LocalError {
                    errno,
                    call: "sendmsg".into(),
                }),
                detail: (!detail.is_empty()).then_some(detail),
            }),
            path_mtu: starved.then_some(PathMtu {
                largest: 1400,
                tried: 1450,
                told: false,
            }),
            responder,
            starved,
            ..Observation::new(ProbeId(id))
        })
}

proptest! {
    #[test]
    fn a_plan_comes_back_as_it_was_sent(probes in prop::collection::vec(probe(), 0..8), pps in 1..u32::MAX) {
        let pacing = Pacing { packets_per_second: pps, burst: pps, spread: Millis(pps / 2) };
        let plan = Plan { pacing, probes };
        prop_assert_eq!(Plan::from_wire(&plan.to_wire("run")), Ok(plan));
    }

    #[test]
    fn an_observation_comes_back_as_it_was_sent(observation in observation()) {
        prop_assert_eq!(Observation::from_wire(&observation.to_wire()), Ok(observation));
    }

    #[test]
    fn the_opening_comes_back_as_it_was_sent(agents in prop::collection::vec(key(), 1..9), raw in any::<[u8; 32]>()) {
        let prepare = Prepare { run_id: "r".into(), key: RunKey(raw), own: AgentIndex(0), agents };
        prop_assert_eq!(Prepare::from_wire(&prepare.to_wire()), Ok(prepare));
    }

    #[test]
    fn an_agents_answer_comes_back_as_it_was_sent(identity in identity(), port in any::<u16>()) {
        let prepared = Prepared {
            identity,
            responder_port: Port(port),
            icmp: IcmpMode::None,
            icmp_why: "why".into(),
            nameservers: vec!["10.96.0.10".parse().unwrap()],
        };
        prop_assert_eq!(Prepared::from_wire(&prepared.to_wire()), Ok(prepared));
    }
}

#[test]
fn what_does_not_fit_is_refused_by_field() {
    let refused = [
        (
            v1::Observation {
                sent: 1,
                received: 2,
                ..Default::default()
            },
            "received",
        ),
        (
            v1::Observation {
                failure: Some(v1::Failure {
                    reason: 99,
                    ..Default::default()
                }),
                ..Default::default()
            },
            "reason",
        ),
        (
            v1::Observation {
                responder: Some(v1::AgentIdentity {
                    node: "a b".into(),
                    plane: 1,
                    boot_id: vec![0; 16],
                }),
                ..Default::default()
            },
            "responder.node",
        ),
    ];
    for (message, field) in refused {
        let error = Observation::from_wire(&message).unwrap_err();
        assert!(error.to_string().contains(field), "{error}");
    }
    let no_key = v1::PrepareRequest {
        key: vec![1; 31],
        ..Default::default()
    };
    assert!(
        Prepare::from_wire(&no_key)
            .unwrap_err()
            .to_string()
            .contains("key")
    );
}

#[test]
fn the_key_does_not_reach_a_log() {
    assert_eq!(format!("{:?}", RunKey([7; 32])), "RunKey(..)");
}
