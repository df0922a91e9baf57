use hickory_proto::op::Message;
use mesh_proto::IcmpError;
use tokio::net::{TcpListener, UdpSocket};

use super::*;
use crate::test_place::{LONG, SHORT, after, at, behind, closed_port, in_own_network};

const NAME: &str = "kubernetes.default.svc.cluster.local";

fn question(server: SocketAddr) -> Question {
    Question::new(NAME, server.ip()).unwrap()
}

async fn over_udp_within(server: SocketAddr, patience: Duration) -> Attempt {
    let clock = Clock::start();
    over_udp(server, &question(server), clock, clock.now() + patience).await
}

fn answered(attempt: Attempt) -> Answered {
    match attempt.outcome {
        Outcome::Answered(answered) => answered,
        other => panic!("{other:?}"),
    }
}

fn failed(attempt: Attempt) -> Failure {
    match attempt.outcome {
        Outcome::Failed(failure) => failure,
        other => panic!("{other:?}"),
    }
}

/// The answer to a query, with a response code.
fn answer(query: &[u8], code: ResponseCode) -> Vec<u8> {
    let mut message = Message::from_vec(query).unwrap();
    let asked = &message.queries[0];
    assert_eq!(asked.name().to_string(), format!("{NAME}."));
    assert_eq!(asked.query_type(), RecordType::A);
    message.metadata.message_type = MessageType::Response;
    message.metadata.response_code = code;
    message.to_vec().unwrap()
}

async fn next_query(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = [0; 1_024];
    let (len, from) = socket.recv_from(&mut buffer).await.unwrap();
    (buffer[..len].to_vec(), from)
}

async fn server() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// What one question over UDP comes to with a server that answers with this code.
async fn ask_for(code: ResponseCode) -> Attempt {
    let (socket, to) = server().await;
    let serve = async {
        let (query, from) = next_query(&socket).await;
        socket.send_to(&answer(&query, code), from).await.unwrap();
        from
    };
    let (attempt, from) = tokio::join!(over_udp_within(to, LONG), serve);
    assert_eq!(attempt.source_port, from.port());
    attempt
}

#[tokio::test]
async fn an_answer_is_an_answer() {
    let attempt = ask_for(ResponseCode::NoError).await;
    assert_eq!(attempt.sent, 1);
    assert!(!answered(attempt).resent);
}

#[tokio::test]
async fn a_response_code_is_said_with_the_name() {
    let words = [
        (ResponseCode::NXDomain, "NXDOMAIN"),
        (ResponseCode::ServFail, "SERVFAIL"),
        (ResponseCode::Refused, "REFUSED"),
    ];
    for (code, word) in words {
        let failure = failed(ask_for(code).await);
        assert_eq!(failure.reason, Reason::DnsError);
        let detail = failure.detail.unwrap();
        assert!(detail.contains(word) && detail.contains(NAME), "{detail}");
    }
}

#[tokio::test]
async fn a_silent_server_is_a_time_out() {
    let (_socket, to) = server().await;
    let attempt = over_udp_within(to, SHORT).await;
    assert_eq!(attempt.sent, 1);
    assert_eq!(failed(attempt), Failure::new(Reason::Timeout));
}

#[tokio::test]
async fn an_answer_to_the_second_query_is_slow_not_lost() {
    let (socket, to) = server().await;
    let serve = async {
        let (lost, _) = next_query(&socket).await;
        let (query, from) = next_query(&socket).await;
        assert_eq!(lost, query, "the same question again");
        socket
            .send_to(&answer(&query, ResponseCode::NoError), from)
            .await
            .unwrap();
    };
    let (attempt, ()) = tokio::join!(over_udp_within(to, LONG), serve);
    assert_eq!(attempt.sent, 2);
    assert!(answered(attempt).resent);
}

#[tokio::test]
async fn an_agent_that_wakes_late_reads_the_answer_before_it_asks_again() {
    let (socket, to) = server().await;
    let serve = async {
        let (query, from) = next_query(&socket).await;
        let answer = answer(&query, ResponseCode::NoError);
        socket.send_to(&answer, from).await.unwrap();
        // The runtime has one thread: nobody gets it meanwhile.
        std::thread::sleep(RESEND_AFTER + TICK);
    };
    let (attempt, ()) = tokio::join!(over_udp_within(to, LONG), serve);
    assert_eq!(attempt.sent, 1);
    assert!(!answered(attempt).resent);
}

#[tokio::test]
async fn a_stranger_may_not_answer_by_guessing() {
    let (socket, to) = server().await;
    let serve = async {
        let (query, from) = next_query(&socket).await;
        let good = answer(&query, ResponseCode::NoError);
        let mut other_id = answer(&query, ResponseCode::NXDomain);
        other_id[0] ^= 0xff;
        for packet in [b"garbage".as_slice(), &other_id, &query, &good] {
            socket.send_to(packet, from).await.unwrap();
        }
    };
    let (attempt, ()) = tokio::join!(over_udp_within(to, LONG), serve);
    answered(attempt);
}

#[tokio::test]
async fn an_answer_from_another_address_is_the_wrong_responder() {
    let (socket, to) = server().await;
    let other = UdpSocket::bind("127.0.0.2:0").await.unwrap();
    let serve = async {
        let (query, from) = next_query(&socket).await;
        let packet = answer(&query, ResponseCode::NoError);
        other.send_to(&packet, from).await.unwrap();
    };
    let (attempt, ()) = tokio::join!(over_udp_within(to, LONG), serve);
    let failure = failed(attempt);
    assert_eq!(failure.reason, Reason::WrongResponder);
    assert!(failure.detail.unwrap().starts_with("127.0.0.2:"));
}

#[test]
fn a_closed_port_refuses_by_icmp() {
    in_own_network(&[], async || {
        let to = at("127.0.0.9:53");
        let failure = failed(over_udp_within(to, LONG).await);
        let icmp = IcmpError {
            kind: 3,
            code: 3,
            from: to.ip(),
        };
        assert_eq!((failure.reason, failure.icmp), (Reason::Refused, Some(icmp)));
    });
}

#[test]
fn a_rule_in_output_is_a_local_error() {
    let commands = [
        "nft add table inet wall",
        "nft add chain inet wall out { type filter hook output priority 0 ; policy drop ; }",
    ];
    in_own_network(&commands, async || {
        let failure = failed(over_udp_within(at("127.0.0.1:53"), LONG).await);
        assert_eq!(failure.reason, Reason::LocalError);
        let local = failure.local.unwrap();
        assert_eq!((local.errno, local.call.as_str()), (1, "sendmsg"));
    });
}

#[test]
fn the_second_query_meets_an_error_that_the_first_did_not() {
    // The first is lost on the way, the second finds a closed port.
    behind("udp dport 53 numgen inc mod 1000 0 drop", async || {
        let attempt = over_udp_within(at("127.0.0.1:53"), LONG).await;
        assert_eq!(attempt.sent, 2);
        assert_eq!(failed(attempt).reason, Reason::Refused);
    });
}

/// One connection of a server that says what it is told.
async fn ask_over_tcp(patience: Duration, reply: impl AsyncFnOnce(Vec<u8>, &mut TcpStream)) -> Attempt {
    let clock = Clock::start();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = listener.local_addr().unwrap();
    let question = question(to);
    let client = over_tcp(to, &question, clock, after(clock, patience));
    let serve = async {
        let mut stream = listener.accept().await.unwrap().0;
        let mut query = vec![0; stream.read_u16().await.unwrap().into()];
        stream.read_exact(&mut query).await.unwrap();
        reply(query, &mut stream).await;
        // Until the client has closed.
        let _ = stream.read(&mut [0]).await;
    };
    tokio::join!(client, serve).0
}

async fn say(packet: &[u8], stream: &mut TcpStream) {
    stream.write_u16(packet.len().try_into().unwrap()).await.unwrap();
    stream.write_all(packet).await.unwrap();
}

#[tokio::test]
async fn over_tcp_a_response_code_decides() {
    let ask_for = |code| {
        ask_over_tcp(LONG, async move |query, stream| {
            say(&answer(&query, code), stream).await;
        })
    };
    answered(ask_for(ResponseCode::NoError).await);
    let failure = failed(ask_for(ResponseCode::ServFail).await);
    assert_eq!(failure.reason, Reason::DnsError);
}

#[tokio::test]
async fn over_tcp_silence_after_the_connect_is_a_stall() {
    let attempt = ask_over_tcp(SHORT, async |_, _| {}).await;
    assert_eq!(failed(attempt), Failure::new(Reason::DataStalled));
}

#[tokio::test]
async fn over_tcp_what_is_no_dns_is_the_wrong_responder() {
    let attempt = ask_over_tcp(LONG, async |_, stream| {
        say(b"220 smtp.example ESMTP", stream).await;
    })
    .await;
    let failure = failed(attempt);
    assert_eq!(failure.reason, Reason::WrongResponder);
    assert!(failure.detail.unwrap().contains("no DNS answer"));
}

#[tokio::test]
async fn over_tcp_a_closed_port_refuses() {
    let clock = Clock::start();
    let (_taken, to) = closed_port();
    let attempt = over_tcp(to, &question(to), clock, after(clock, LONG)).await;
    assert_eq!(failed(attempt), Failure::new(Reason::Refused));
}

#[test]
fn what_is_no_domain_name_cannot_be_asked() {
    let error = Question::new("a..b", at("127.0.0.1:53").ip()).unwrap_err();
    assert!(error.contains("a..b"), "{error}");
}
