use mesh_proto::wire::RunKey;
use mesh_proto::{AgentIndex, Failure, ProbeKind, Reason};
use tokio::net::TcpListener;

use super::*;
use crate::echo_packet::Token;
use crate::test_place::{
    LONG, SHORT, after, agent, answer_as_b, at, behind, identity_of_b, in_own_network, mac_key,
};

const B: &str = "127.0.0.2:9441";

async fn ask(to: &str, key: &MacKey, expected: &AgentKey, patience: std::time::Duration) -> Outcome {
    let clock = Clock::start();
    let request = Request {
        token: Token(1),
        from: AgentIndex(0),
        kind: ProbeKind::Tcp,
        uncounted: false,
    };
    let partner = Partner::Agent {
        key,
        request,
        expected: Some(expected),
    };
    attempt(at(to), partner, clock, after(clock, patience))
        .await
        .outcome
}

fn failure(outcome: Outcome) -> Failure {
    match outcome {
        Outcome::Failed(failure) => failure,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_agent_of_the_run_answers_and_says_who_it_is() {
    in_own_network(&[], async || {
        let runs = answer_as_b(None, Clock::start());
        for to in [B, "[::1]:9441"] {
            match ask(to, &mac_key(), &agent("b"), LONG).await {
                Outcome::Answered(answered) => {
                    assert_eq!(answered.responder, Some(identity_of_b()));
                    assert!(!answered.resent);
                }
                other => panic!("{other:?}"),
            }
        }
        let tallies = runs.lock().unwrap().close("r").unwrap();
        assert_eq!(tallies.len(), 1);
        assert_eq!((tallies[0].kind, tallies[0].requests), (ProbeKind::Tcp, 2));
    });
}

#[test]
fn another_agent_than_the_one_asked_is_named() {
    in_own_network(&[], async || {
        answer_as_b(None, Clock::start());
        let failure = failure(ask(B, &mac_key(), &agent("a"), LONG).await);
        assert_eq!(failure.reason, Reason::WrongResponder);
        assert!(failure.detail.unwrap().contains("b/pod"), "it says who answered");
    });
}

#[test]
fn an_agent_of_another_run_says_nothing() {
    in_own_network(&[], async || {
        answer_as_b(None, Clock::start());
        let other = MacKey::new(&RunKey([8; 32]));
        let failure = failure(ask(B, &other, &agent("b"), LONG).await);
        // It hangs up while bytes are on their way, which makes a reset, or before they are, which makes an end.
        assert!(
            matches!(failure.reason, Reason::WrongResponder | Reason::Reset),
            "{failure:?}"
        );
    });
}

#[test]
fn a_path_that_loses_large_packets_stalls() {
    behind("meta length gt 1000 drop", async || {
        answer_as_b(None, Clock::start());
        let failure = failure(ask(B, &mac_key(), &agent("b"), SHORT).await);
        assert_eq!(failure, Failure::new(Reason::DataStalled));
    });
}

#[tokio::test]
async fn a_server_that_speaks_something_else_is_the_wrong_one() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = listener.local_addr().unwrap().to_string();
    let serve = async {
        let mut stream = listener.accept().await.unwrap().0;
        discard(&stream, STREAM_LEN).await.unwrap();
        stream.write_all(&[b'x'; STREAM_LEN]).await.unwrap();
        stream
    };
    let (key, expected) = (mac_key(), agent("b"));
    let (outcome, _stream) = tokio::join!(ask(&to, &key, &expected, LONG), serve);
    let failure = failure(outcome);
    assert_eq!(failure.reason, Reason::WrongResponder);
    assert!(failure.detail.unwrap().contains("no agent of this run"));
}

#[tokio::test]
async fn to_be_accepted_is_enough_where_anyone_may_stand() {
    let clock = Clock::start();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = listener.local_addr().unwrap();
    let attempt = attempt(to, Partner::Anyone, clock, after(clock, LONG)).await;
    let (_, from) = listener.accept().await.unwrap();
    assert_eq!(attempt.source_port, from.port());
    match attempt.outcome {
        Outcome::Answered(answered) => assert_eq!(answered.responder, None),
        other => panic!("{other:?}"),
    }
}
