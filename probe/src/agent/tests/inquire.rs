//! The second look, asked over the link.

use mesh_proto::wire::Inquire;
use mesh_proto::{
    AgentIndex, Answer, Ask, Expect, HopAnswer, Inquiry, InquiryId, Micros, Millis, ProbeKind, Protocol, Seen,
};
use tokio::net::TcpListener;
use tonic::Code;

use super::run::closed;
use super::*;
use crate::test_place::{at, in_own_network, probe};

const B: &str = "127.0.0.3:9441";
const AGENT_B: Expect = Expect::Agent(AgentIndex(1));

fn inquire(run_id: &str, asks: Vec<Ask>) -> v1::InquireRequest {
    let inquiries = (0..).map(InquiryId).zip(asks);
    Inquire {
        run_id: run_id.to_owned(),
        packets_per_second: 1_000,
        burst: 10,
        within: Millis(60_000),
        inquiries: inquiries.map(|(id, ask)| Inquiry { id, ask }).collect(),
    }
    .to_wire()
}

fn walk(hops: u8) -> Ask {
    Ask::Walk {
        target: at(B).ip(),
        protocol: Protocol::Udp,
        port: Port(RESPONDER),
        hops,
        timeout: Millis(900),
    }
}

#[test]
fn answers_stream_back_each_with_its_number() {
    in_own_network(&[], async || {
        let mut two = Two::start().await;
        let knock = Ask::Knock {
            target: at(B).ip(),
            port: Port(4_789),
            tries: 2,
            interval: Micros(1_000),
            timeout: Millis(300),
        };
        let further = Ask::Probe {
            probe: probe(ProbeKind::Udp, at(B), AGENT_B),
            source: None,
        };
        let route = Ask::Route { target: at(B).ip() };
        let asked = inquire("r", vec![walk(3), knock, further, route]);
        let mut stream = two.a.inquire(asked).await.unwrap().into_inner();
        let mut answers = Vec::new();
        while let Some(reply) = stream.message().await.unwrap() {
            answers.extend(
                reply
                    .answers
                    .iter()
                    .map(|answer| Answer::from_wire(answer).unwrap()),
            );
        }
        answers.sort_by_key(|answer| answer.id);
        let seen: Vec<Seen> = answers.into_iter().map(|answer| answer.seen).collect();
        let [
            Seen::Walk(hops),
            Seen::Knock(echo),
            Seen::Probe(observation),
            Seen::Route(chosen),
        ] = &seen[..]
        else {
            panic!("{seen:?}")
        };
        assert_eq!(hops.len(), 1);
        assert_eq!(hops[0].answer, HopAnswer::Target);
        assert_eq!(echo.icmp.map(|icmp| (icmp.kind, icmp.code)), Some((3, 3)));
        assert_eq!((observation.received, &observation.failure), (1, &None));
        assert_eq!(observation.responder.as_ref(), Some(&two.b_says.identity));
        assert!(chosen.source.is_some());

        let run_id = "r".to_owned();
        let reply = two.b.stop(v1::StopRequest { run_id }).await.unwrap().into_inner();
        assert!(reply.received.is_empty(), "nothing of it is counted");
    });
}

#[test]
fn what_cannot_be_asked_is_refused_in_words() {
    in_own_network(&[], async || {
        let mut two = Two::start().await;
        let nobody = inquire(
            "r",
            vec![Ask::Probe {
                probe: probe(ProbeKind::Udp, at(B), Expect::Agent(AgentIndex(2))),
                source: None,
            }],
        );
        let garbage = v1::InquireRequest {
            burst: 0,
            ..inquire("r", vec![walk(1)])
        };
        for (asked, code, words) in [
            (
                inquire("r", vec![walk(65)]),
                Code::InvalidArgument,
                "65 hops are more than 64",
            ),
            (nobody, Code::InvalidArgument, "agent 2 is not one of the run's 2"),
            (garbage, Code::InvalidArgument, "burst must be at least 1"),
            (
                inquire("another", vec![walk(1)]),
                Code::NotFound,
                "does not know this run",
            ),
        ] {
            let refused = two.a.inquire(asked).await.map(|_| ()).unwrap_err();
            assert_eq!(refused.code(), code, "{refused}");
            assert!(refused.message().contains(words), "{refused}");
        }
    });
}

#[test]
fn what_is_asked_ends_with_its_run() {
    in_own_network(&[], async || {
        let mut two = Two::start().await;
        // A server that accepts and says nothing holds the probe until it is dropped.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stuck = Ask::Probe {
            probe: probe(ProbeKind::Tcp, listener.local_addr().unwrap(), AGENT_B),
            source: None,
        };
        let mut stream = two
            .a
            .inquire(inquire("r", vec![stuck]))
            .await
            .unwrap()
            .into_inner();
        let (connection, _) = listener.accept().await.unwrap();
        let run_id = "r".to_owned();
        two.a.stop(v1::StopRequest { run_id }).await.unwrap();
        closed(connection).await;
        let ended = stream.message().await.unwrap_err();
        assert_eq!(
            (ended.code(), ended.message()),
            (Code::Aborted, "the run was stopped")
        );
    });
}
