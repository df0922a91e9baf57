use std::io::Write as _;
use std::net::Ipv4Addr;

use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{RData, Record, RecordType};
use tokio::net::UdpSocket;

use super::*;
use crate::test_place::{LONG, after, in_own_network};

fn resolv_conf(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

const CONF: &str = "search default.svc.example svc.example\nnameserver 127.0.0.53\noptions ndots:5";

/// Resolves a name, with a server that knows one other name.
async fn resolve(name: &str, known: &str) -> Attempt {
    let server = UdpSocket::bind("127.0.0.53:53").await.unwrap();
    let serve = async {
        let mut buffer = [0; 1_024];
        loop {
            let (len, from) = server.recv_from(&mut buffer).await.unwrap();
            let mut message = Message::from_vec(&buffer[..len]).unwrap();
            let asked = message.queries[0].clone();
            message.metadata.message_type = MessageType::Response;
            message.metadata.response_code = ResponseCode::NXDomain;
            if asked.name().to_string() == known {
                message.metadata.response_code = ResponseCode::NoError;
                if asked.query_type() == RecordType::A {
                    let address = RData::A(A(Ipv4Addr::new(10, 96, 0, 1)));
                    message.add_answer(Record::from_rdata(asked.name().clone(), 30, address));
                }
            }
            server.send_to(&message.to_vec().unwrap(), from).await.unwrap();
        }
    };
    let clock = Clock::start();
    let conf = resolv_conf(CONF);
    tokio::select! {
        attempt = attempt(conf.path(), name, LONG, clock, after(clock, LONG)) => attempt,
        () = serve => unreachable!(),
    }
}

#[test]
fn a_short_name_is_found_by_the_search_list() {
    in_own_network(&[], async || {
        let attempt = resolve("kubernetes", "kubernetes.svc.example.").await;
        assert!(matches!(attempt.outcome, Outcome::Answered(_)), "{attempt:?}");
    });
}

#[test]
fn a_name_that_nobody_knows_is_said_so() {
    in_own_network(&[], async || {
        let attempt = resolve("nowhere", "kubernetes.svc.example.").await;
        let Outcome::Failed(failure) = attempt.outcome else {
            panic!("{attempt:?}");
        };
        assert_eq!(failure.reason, Reason::DnsError);
        assert!(failure.detail.unwrap().contains("NXDOMAIN"));
    });
}

#[tokio::test]
async fn without_the_file_nothing_can_be_tried() {
    let clock = Clock::start();
    let attempt = attempt(
        "/nonexistent".as_ref(),
        "kubernetes",
        LONG,
        clock,
        after(clock, LONG),
    )
    .await;
    let Outcome::Untried(why) = attempt.outcome else {
        panic!("{attempt:?}");
    };
    assert!(why.starts_with("/nonexistent: "), "{why}");
}

#[test]
fn name_servers_are_those_of_the_file() {
    let file = resolv_conf("search a.example\nnameserver 10.96.0.10\nnameserver fd00::a\noptions ndots:5");
    let expected: [IpAddr; 2] = ["10.96.0.10".parse().unwrap(), "fd00::a".parse().unwrap()];
    assert_eq!(nameservers(file.path()), expected);
    assert!(nameservers("/nonexistent".as_ref()).is_empty());
}
