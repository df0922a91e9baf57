use mesh_proto::{AgentIndex, Expect, Inquiry, Micros, Millis, Port, ProbeId, ProbeKind};

use super::*;

fn walk(protocol: Protocol, port: u16, hops: u8) -> Ask {
    Ask::Walk {
        target: [192, 0, 2, 1].into(),
        protocol,
        port: Port(port),
        hops,
        timeout: Millis(1),
    }
}

fn knock(tries: u16) -> Ask {
    Ask::Knock {
        target: [192, 0, 2, 1].into(),
        port: Port(4_789),
        tries,
        interval: Micros(1),
        timeout: Millis(1),
    }
}

fn probe(flows: u16, expect: Expect, source: Option<IpAddr>) -> Ask {
    let probe = PlannedProbe {
        id: ProbeId(0),
        kind: ProbeKind::Udp,
        address: [192, 0, 2, 1].into(),
        port: Port(9),
        expect,
        flows,
        tries: 1,
        interval: Micros(1),
        timeout: Millis(1),
        dns: None,
    };
    Ask::Probe { probe, source }
}

fn said(asks: Vec<Ask>) -> String {
    let inquiries = (0..).map(InquiryId).zip(asks);
    refusal(inquiries.map(|(id, ask)| Inquiry { id, ask }).collect())
}

/// In words; empty if it is not refused.
fn refusal(inquiries: Vec<Inquiry>) -> String {
    let inquire = Inquire {
        run_id: "r".to_owned(),
        packets_per_second: 1,
        burst: 1,
        within: Millis(1),
        inquiries,
    };
    check(&inquire, 2)
        .err()
        .map(|refused| refused.to_string())
        .unwrap_or_default()
}

#[test]
fn what_is_too_much_is_refused_in_words() {
    let v6: IpAddr = "fd00::1".parse().unwrap();
    let v4 = |last: u8| Some(IpAddr::from([192, 0, 2, last]));
    let anyone = Expect::Anyone;
    let table = [
        (vec![walk(Protocol::Icmp, 0, 64)], ""),
        (
            vec![walk(Protocol::Icmp, 0, 65)],
            "inquiry 0: 65 hops are more than 64",
        ),
        (vec![walk(Protocol::Udp, 0, 1)], "inquiry 0: udp goes to a port"),
        (vec![walk(Protocol::Tcp, 0, 1)], "inquiry 0: tcp goes to a port"),
        (
            vec![walk(Protocol::Icmp, 0, 64); 70],
            "the inquiries would take 13440 packets",
        ),
        (vec![knock(64)], ""),
        (
            vec![knock(1), knock(65)],
            "inquiry 1: 65 datagrams are more than 64",
        ),
        (vec![knock(1); 513], "513 inquiries are more than 512"),
        (vec![probe(64, Expect::Agent(AgentIndex(1)), v4(1))], ""),
        (
            vec![probe(1, Expect::Agent(AgentIndex(2)), None)],
            "inquiry 0: agent 2 is not one of the run's 2",
        ),
        (vec![probe(513, anyone, None)], "inquiry 0: 513 flows"),
        (
            vec![probe(1, anyone, Some(v6))],
            "nothing gets from fd00::1 to 192.0.2.1",
        ),
        ((1..=8).map(|last| probe(1, anyone, v4(last))).collect(), ""),
        (
            (1..=9).map(|last| probe(1, anyone, v4(last))).collect(),
            "9 source addresses are more than 8",
        ),
    ];
    for (asks, words) in table {
        let refused = said(asks);
        assert!(
            refused.contains(words) && refused.is_empty() == words.is_empty(),
            "{words}: {refused}"
        );
    }
}

#[test]
fn no_number_stands_for_two() {
    let inquiry = Inquiry {
        id: InquiryId(7),
        ask: knock(1),
    };
    assert_eq!(
        refusal(vec![inquiry.clone(), inquiry]),
        "inquiry 7 is there twice"
    );
}
