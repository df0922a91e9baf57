use mesh_proto::wire::RunKey;
use mesh_proto::{AgentIndex, ProbeKind};
use tokio::net::UdpSocket;

use super::*;
use crate::echo_packet::{MacKey, REQUEST_LEN, Request, Token, read_answer, write_request};
use crate::tcp::STREAM_LEN;
use crate::test_place::{RESPONDER, answer_as_b, at, identity_of_b, in_own_network, mac_key};

fn request(len: usize, key: &MacKey, from: u32, token: u64) -> Vec<u8> {
    let mut packet = vec![0; len];
    let request = Request {
        token: Token(token),
        from: AgentIndex(from),
        kind: ProbeKind::Udp,
        uncounted: false,
    };
    write_request(&mut packet, key, request);
    packet
}

#[test]
fn nothing_is_said_to_those_without_the_key() {
    in_own_network(&[], async || {
        answer_as_b(None, Clock::start());
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(("127.0.0.2", RESPONDER)).await.unwrap();
        let good = request(REQUEST_LEN, &mac_key(), 0, 1);
        let mut changed = good.clone();
        changed[10] ^= 1;
        let cut = &good[..ANSWER_LEN - 1];
        let other_run = request(REQUEST_LEN, &MacKey::new(&RunKey([8; 32])), 0, 2);
        let nobody = request(REQUEST_LEN, &mac_key(), 2, 3);
        for bad in [
            b"",
            b"hello".as_slice(),
            &[0; 1_400],
            &changed,
            cut,
            &other_run,
            &nobody,
        ] {
            socket.send(bad).await.unwrap();
        }
        // Datagrams on loopback keep their order: the first answer is to the only good request.
        socket
            .send(&request(REQUEST_LEN, &mac_key(), 0, 9))
            .await
            .unwrap();
        let mut buffer = [0; 2_048];
        let len = socket.recv(&mut buffer).await.unwrap();
        let answer = read_answer(&buffer[..len], &mac_key()).unwrap();
        assert_eq!((answer.token, answer.identity), (Token(9), identity_of_b()));
    });
}

#[test]
fn an_answer_is_never_longer_than_the_request() {
    in_own_network(&[], async || {
        answer_as_b(None, Clock::start());
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(("127.0.0.2", RESPONDER)).await.unwrap();
        for len in [ANSWER_LEN, REQUEST_LEN, 60_000] {
            socket.send(&request(len, &mac_key(), 0, 1)).await.unwrap();
            let mut buffer = [0; 2_048];
            let answered = socket.recv(&mut buffer).await.unwrap();
            assert!(answered <= len, "{answered} of {len}");
            let arrived = read_answer(&buffer[..answered], &mac_key()).unwrap().arrived;
            assert_eq!(usize::try_from(arrived).unwrap(), len);
        }
    });
}

#[test]
fn it_answers_from_the_address_that_was_asked() {
    let commands = [
        "ip address add fd00::1/128 dev lo nodad",
        "ip address add fd00::2/128 dev lo nodad",
    ];
    in_own_network(&commands, async || {
        answer_as_b(None, Clock::start());
        for asked in [
            "127.0.0.2:9441",
            "127.0.0.3:9441",
            "[fd00::1]:9441",
            "[fd00::2]:9441",
        ] {
            let any = if asked.starts_with('[') {
                "[::]:0"
            } else {
                "0.0.0.0:0"
            };
            let socket = UdpSocket::bind(any).await.unwrap();
            let packet = request(REQUEST_LEN, &mac_key(), 0, 1);
            socket.send_to(&packet, at(asked)).await.unwrap();
            let (_, from) = socket.recv_from(&mut [0; 2_048]).await.unwrap();
            assert_eq!(from, at(asked));
        }
    });
}

#[test]
fn over_tcp_not_a_byte_is_said_without_the_key_and_none_too_many_with_it() {
    in_own_network(&[], async || {
        answer_as_b(None, Clock::start());
        for (key, expected) in [(MacKey::new(&RunKey([8; 32])), 0), (mac_key(), STREAM_LEN)] {
            let mut stream = TcpStream::connect(("127.0.0.2", RESPONDER)).await.unwrap();
            let packet = request(STREAM_LEN, &key, 0, 1);
            // A responder that has hung up refuses the rest.
            let _ = stream.write_all(&packet).await;
            let mut said = Vec::new();
            // Unread bytes make the end of the connection a reset.
            let _ = stream.read_to_end(&mut said).await;
            assert_eq!(said.len(), expected);
        }
    });
}

#[test]
fn one_address_alone_is_answered_on_if_so_told() {
    in_own_network(&[], async || {
        answer_as_b(Some(at("127.0.0.2:0").ip()), Clock::start());
        assert!(TcpStream::connect("127.0.0.2:9441").await.is_ok());
        let elsewhere = TcpStream::connect("127.0.0.3:9441").await.unwrap_err();
        assert_eq!(elsewhere.kind(), io::ErrorKind::ConnectionRefused);
    });
}
