use mesh_proto::{
    Expect, FlowTally, IcmpError, KnockEcho, Micros, Millis, Observation, PlannedProbe, Port, ProbeId,
    ProbeKind, Protocol, RouteChosen,
};

use super::*;

const WALK: u32 = 0;
const KNOCK: u32 = 1;
const PROBE: u32 = 2;
const ROUTE: u32 = 3;

fn asked() -> Inquired {
    let target = [192, 0, 2, 1].into();
    let probe = PlannedProbe {
        id: ProbeId(0),
        kind: ProbeKind::Udp,
        address: target,
        port: Port(9),
        expect: Expect::Anyone,
        flows: 2,
        tries: 3,
        interval: Micros(1),
        timeout: Millis(1),
        dns: None,
    };
    let asks = [
        Ask::Walk {
            target,
            protocol: Protocol::Icmp,
            port: Port(0),
            hops: 3,
            timeout: Millis(1),
        },
        Ask::Knock {
            target,
            port: Port(4_789),
            tries: 5,
            interval: Micros(1),
            timeout: Millis(1),
        },
        Ask::Probe { probe, source: None },
        Ask::Route { target },
    ];
    let inquiries = (0..).map(InquiryId).zip(asks);
    let inquiries: Vec<Inquiry> = inquiries.map(|(id, ask)| Inquiry { id, ask }).collect();
    Inquired::of(&inquiries)
}

fn answer(id: u32, seen: Seen) -> v1::Answer {
    let id = InquiryId(id);
    Answer { id, seen }.to_wire()
}

fn walk(hops: &[(u8, HopAnswer)]) -> Seen {
    let hop = |&(ttl, answer)| Hop { ttl, answer };
    Seen::Walk(hops.iter().map(hop).collect())
}

fn knock(sent: u32) -> Seen {
    Seen::Knock(KnockEcho {
        sent,
        answered: 0,
        icmp: None,
        local: None,
    })
}

fn observed(sent: u32, flows: usize) -> Seen {
    let flow = FlowTally {
        source_port: 1,
        sent: 1,
        received: 0,
    };
    Seen::Probe(Observation {
        sent,
        incomplete_flows: vec![flow; flows],
        ..Observation::new(ProbeId(2))
    })
}

const SILENCE: HopAnswer = HopAnswer::Silence;
const TARGET: HopAnswer = HopAnswer::Target;

#[test]
fn what_fits_is_believed_once() {
    let expired = HopAnswer::Error(IcmpError {
        kind: 11,
        code: 0,
        from: [192, 0, 2, 7].into(),
    });
    let no_route = Seen::Route(RouteChosen {
        source: None,
        route: None,
        error: None,
    });
    let fitting = [
        (WALK, walk(&[(1, expired), (2, SILENCE), (3, TARGET)])),
        (WALK, walk(&[(1, TARGET)])),
        (WALK, Seen::Untried("no socket".to_owned())),
        (KNOCK, knock(5)),
        (PROBE, observed(18, 2)),
        (ROUTE, no_route),
    ];
    for (id, seen) in fitting {
        let mut asked = asked();
        let believed = asked.check(&answer(id, seen.clone())).unwrap();
        assert_eq!((believed.id, &believed.seen), (InquiryId(id), &seen));
        let again = asked.check(&answer(id, seen)).unwrap_err();
        assert_eq!(again, Breach::Unasked(id));
    }
}

#[test]
fn what_does_not_fit_is_not_believed() {
    let unfit = [
        (
            WALK,
            walk(&[(1, SILENCE), (2, SILENCE), (3, SILENCE), (4, SILENCE)]),
        ),
        (WALK, walk(&[(2, SILENCE)])),
        (WALK, walk(&[(1, TARGET), (2, SILENCE)])),
        (WALK, knock(1)),
        (KNOCK, knock(6)),
        (KNOCK, observed(1, 0)),
        (ROUTE, walk(&[])),
    ];
    for (id, seen) in unfit {
        let refused = asked().check(&answer(id, seen.clone())).unwrap_err();
        assert_eq!(refused, Breach::Unfit(id), "{seen:?}");
    }
    let counts = [
        (observed(19, 0), "19 tries of probe"),
        (observed(1, 3), "3 flows of probe"),
    ];
    for (seen, words) in counts {
        let refused = asked().check(&answer(PROBE, seen)).unwrap_err();
        assert!(refused.to_string().contains(words), "{refused}");
    }
    let stray = asked().check(&answer(4, knock(1))).unwrap_err();
    assert_eq!(stray, Breach::Unasked(4));
}

#[test]
fn an_agents_words_cannot_steer_a_terminal() {
    let local = Some(LocalError {
        errno: 1,
        call: "send\u{1b}[2J".to_owned(),
    });
    let echo = KnockEcho {
        sent: 1,
        answered: 0,
        icmp: None,
        local,
    };
    let believed = asked().check(&answer(KNOCK, Seen::Knock(echo))).unwrap();
    let Seen::Knock(KnockEcho {
        local: Some(local), ..
    }) = believed.seen
    else {
        panic!("{believed:?}")
    };
    assert_eq!(local.call, "send [2J");
    let untried = Seen::Untried("a\nb".to_owned());
    let believed = asked().check(&answer(WALK, untried)).unwrap();
    assert_eq!(believed.seen, Seen::Untried("a b".to_owned()));
}
