use std::net::IpAddr;

use proptest::prelude::*;

use super::*;
use crate::wire::v1;
use crate::{
    AgentIndex, Answer, Expect, Hop, HopAnswer, IcmpError, KnockEcho, LocalError, MOST_HOPS, Observation,
    PlannedProbe, ProbeId, ProbeKind, Protocol, Route, RouteChosen, Seen,
};

fn ask() -> impl Strategy<Value = Ask> {
    let protocol = prop::sample::select(Protocol::ALL);
    let walk = (
        any::<IpAddr>(),
        protocol,
        any::<u16>(),
        1..=MOST_HOPS,
        any::<u32>(),
    )
        .prop_map(|(target, protocol, port, hops, timeout)| Ask::Walk {
            target,
            protocol,
            port: Port(port),
            hops,
            timeout: Millis(timeout),
        });
    let knock = (
        any::<IpAddr>(),
        1..u16::MAX,
        1..u16::MAX,
        any::<u32>(),
        any::<u32>(),
    )
        .prop_map(|(target, port, tries, interval, timeout)| Ask::Knock {
            target,
            port: Port(port),
            tries,
            interval: Micros(interval),
            timeout: Millis(timeout),
        });
    let probe = (
        any::<IpAddr>(),
        any::<u16>(),
        1..u16::MAX,
        prop::option::of(any::<IpAddr>()),
    )
        .prop_map(|(address, port, flows, source)| Ask::Probe {
            probe: PlannedProbe {
                id: ProbeId(3),
                kind: ProbeKind::Udp,
                address,
                port: Port(port),
                expect: Expect::Agent(AgentIndex(7)),
                flows,
                tries: 1,
                interval: Micros(5),
                timeout: Millis(6),
                dns: None,
            },
            source,
        });
    let route = any::<IpAddr>().prop_map(|target| Ask::Route { target });
    prop_oneof![walk, knock, probe, route]
}

fn icmp() -> impl Strategy<Value = IcmpError> {
    (any::<u8>(), any::<u8>(), any::<IpAddr>()).prop_map(|(kind, code, from)| IcmpError { kind, code, from })
}

fn local() -> impl Strategy<Value = LocalError> {
    (any::<i32>(), "[a-z]{1,9}").prop_map(|(errno, call)| LocalError { errno, call })
}

fn seen() -> impl Strategy<Value = Seen> {
    let answer = prop_oneof![
        Just(HopAnswer::Silence),
        Just(HopAnswer::Target),
        icmp().prop_map(HopAnswer::Error),
    ];
    let hop = (any::<u8>(), answer).prop_map(|(ttl, answer)| Hop { ttl, answer });
    let walk = prop::collection::vec(hop, 0..9).prop_map(Seen::Walk);
    let knock = (
        0..9_u32,
        0..9_u32,
        prop::option::of(icmp()),
        prop::option::of(local()),
    )
        .prop_map(|(answered, more, icmp, local)| {
            Seen::Knock(KnockEcho {
                sent: answered + more,
                answered,
                icmp,
                local,
            })
        });
    let route = (
        prop::option::of(any::<IpAddr>()),
        prop::option::of("[a-z]{1,9}"),
        prop::option::of(local()),
    )
        .prop_map(|(address, link, error)| {
            Seen::Route(RouteChosen {
                source: address,
                route: address.map(|address| route(address, link.as_deref())),
                error,
            })
        });
    let probe = any::<u32>().prop_map(|id| Seen::Probe(Observation::untried(ProbeId(id), "EMFILE")));
    prop_oneof![walk, knock, route, probe, ".{1,20}".prop_map(Seen::Untried)]
}

/// As facts write it: what a route has besides need not be said here.
fn route(gateway: IpAddr, link: Option<&str>) -> Route {
    let fields = serde_json::json!({
        "table": 254, "to": "10.0.0.0/8", "kind": "unicast", "gateway": gateway, "link": link, "source": null, "metric": 9,
    });
    serde_json::from_value(fields).unwrap()
}

proptest! {
    #[test]
    fn questions_come_back_as_they_were_put(asks in prop::collection::vec(ask(), 0..6), number in 1..u32::MAX) {
        let inquiries = (number..).zip(asks).map(|(id, ask)| Inquiry { id: InquiryId(id), ask });
        let inquire = Inquire {
            run_id: "r".to_owned(),
            packets_per_second: number,
            burst: number,
            within: Millis(number),
            inquiries: inquiries.take(6).collect(),
        };
        prop_assert_eq!(Inquire::from_wire(&inquire.to_wire()), Ok(inquire));
    }

    #[test]
    fn an_answer_comes_back_as_it_was_given(id in any::<u32>(), seen in seen()) {
        let answer = Answer { id: InquiryId(id), seen };
        prop_assert_eq!(Answer::from_wire(&answer.to_wire()), Ok(answer));
    }
}

fn question(ask: Option<v1::inquiry::Ask>) -> v1::InquireRequest {
    v1::InquireRequest {
        packets_per_second: 1,
        burst: 1,
        inquiries: vec![v1::Inquiry { id: 1, ask }],
        ..Default::default()
    }
}

#[test]
fn a_question_that_cannot_be_is_refused_by_field() {
    let walk = v1::Walk {
        target: vec![192, 0, 2, 1],
        protocol: v1::Protocol::Icmp.into(),
        hops: 1,
        ..Default::default()
    };
    let walk = |change: fn(&mut v1::Walk)| {
        let mut walk = walk.clone();
        change(&mut walk);
        Some(v1::inquiry::Ask::Walk(walk))
    };
    let knock = v1::Knock {
        target: vec![192, 0, 2, 1],
        ..Default::default()
    };
    let refused = [
        (None, "inquiry.ask"),
        (walk(|walk| walk.hops = 0), "walk.hops"),
        (walk(|walk| walk.hops = 256), "walk.hops"),
        (walk(|walk| walk.protocol = 0), "walk.protocol"),
        (walk(|walk| walk.target = vec![1, 2, 3]), "walk.target"),
        (Some(v1::inquiry::Ask::Knock(knock)), "knock"),
        (
            Some(v1::inquiry::Ask::Probe(v1::FurtherProbe::default())),
            "probe",
        ),
    ];
    for (ask, field) in refused {
        let error = Inquire::from_wire(&question(ask)).unwrap_err();
        assert!(error.to_string().contains(&format!(" {field}: ")), "{error}");
    }
    assert!(Inquire::from_wire(&question(walk(|_| ()))).is_ok());
}

#[test]
fn an_answer_that_cannot_be_is_refused_by_field() {
    let silence = v1::Hop {
        ttl: 1,
        answer: Some(v1::hop::Answer::Silence(true)),
    };
    let endless = v1::WalkSeen {
        hops: vec![silence; 65],
    };
    let multiplied = v1::KnockEcho {
        sent: 1,
        answered: 2,
        ..Default::default()
    };
    let no_route = v1::RouteChosen {
        route: b"{\"table\":".to_vec(),
        ..Default::default()
    };
    let endless_route = v1::RouteChosen {
        route: vec![b' '; 2_049],
        ..Default::default()
    };
    let refused = [
        (None, "answer.seen"),
        (Some(v1::answer::Seen::Walk(endless)), "walk.hops"),
        (Some(v1::answer::Seen::Knock(multiplied)), "knock.answered"),
        (Some(v1::answer::Seen::Route(no_route)), "route.route"),
        (Some(v1::answer::Seen::Route(endless_route)), "route.route"),
    ];
    for (seen, field) in refused {
        let error = Answer::from_wire(&v1::Answer { id: 1, seen }).unwrap_err();
        assert!(error.to_string().contains(&format!(" {field}: ")), "{error}");
    }
}
