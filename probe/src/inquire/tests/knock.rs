use std::net::SocketAddr;

use mesh_proto::{Ask, IcmpError, KnockEcho, LocalError, Micros, Millis, Port, Seen};
use tokio::net::UdpSocket;

use crate::inquire::test_road::ask;
use crate::test_place::{WALL, behind, command, in_own_network};

const AT: &str = "127.0.0.2:4789";

async fn knock(at: &str) -> KnockEcho {
    let at: SocketAddr = at.parse().unwrap();
    let asked = Ask::Knock {
        target: at.ip(),
        port: Port(at.port()),
        tries: 3,
        interval: Micros(50_000),
        timeout: Millis(200),
    };
    match ask(asked).await {
        Seen::Knock(echo) => echo,
        other => panic!("{other:?}"),
    }
}

fn icmp(kind: u8, code: u8, from: &str) -> IcmpError {
    let from = from.parse().unwrap();
    IcmpError { kind, code, from }
}

#[test]
fn a_closed_port_is_told_from_a_silent_one() {
    in_own_network(&[], async || {
        let closed = knock(AT).await;
        assert_eq!((closed.icmp, closed.answered), (Some(icmp(3, 3, "127.0.0.2")), 0));
        assert_eq!(knock("[::1]:4789").await.icmp, Some(icmp(1, 4, "::1")));

        let _listener = UdpSocket::bind(AT).await.unwrap();
        let silent = KnockEcho {
            sent: 3,
            answered: 0,
            icmp: None,
            local: None,
        };
        assert_eq!(knock(AT).await, silent);
    });
}

#[test]
fn a_port_that_is_rejected_says_how() {
    behind("udp dport 4789 reject with icmpx admin-prohibited", async || {
        let _listener = UdpSocket::bind(AT).await.unwrap();
        assert_eq!(knock(AT).await.icmp, Some(icmp(3, 13, "127.0.0.2")));
    });
}

#[test]
fn an_error_is_found_among_silence() {
    // As where ICMP errors are limited: most datagrams vanish.
    behind(
        "udp dport 4789 limit rate over 1/hour burst 2 packets drop",
        async || {
            let seen = knock(AT).await;
            assert_eq!((seen.icmp, seen.answered), (Some(icmp(3, 3, "127.0.0.2")), 0));
        },
    );
}

#[test]
fn answers_are_counted_and_only_those_of_the_one_that_was_asked() {
    in_own_network(&[], async || {
        let server = UdpSocket::bind(AT).await.unwrap();
        let stranger = UdpSocket::bind("127.0.0.3:4789").await.unwrap();
        let echo = async {
            let mut buffer = [0; 64];
            loop {
                let (len, from) = server.recv_from(&mut buffer).await.unwrap();
                assert_eq!(len, 1, "short enough for every overlay to drop it");
                stranger.send_to(&buffer[..len], from).await.unwrap();
                server.send_to(&buffer[..len], from).await.unwrap();
                server.send_to(&buffer[..len], from).await.unwrap();
            }
        };
        tokio::select! {
            () = echo => {}
            seen = knock(AT) => {
                assert_eq!((seen.sent, seen.answered, seen.icmp), (3, 3, None));
            }
        }
    });
}

#[test]
fn the_own_kernels_refusal_is_its_errno() {
    in_own_network(&[], async || {
        for line in WALL {
            command(&line.replace("hook input", "hook output"));
        }
        command("nft add rule inet wall in udp dport 4789 drop");
        let refused = KnockEcho {
            sent: 0,
            answered: 0,
            icmp: None,
            local: Some(LocalError {
                errno: 1,
                call: "sendmsg".to_owned(),
            }),
        };
        assert_eq!(knock(AT).await, refused);
    });
}
