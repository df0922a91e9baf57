use std::os::fd::AsFd as _;

use mesh_proto::IcmpError;
use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::attempt::Outcome;
use crate::test_place::{LONG, SHORT, after, at, behind, closed_port, in_own_network};

/// The failure of an attempt, and how many SYNs left.
fn failed(attempt: Result<Connected, Attempt>) -> (Failure, u32) {
    let attempt = attempt.unwrap_err();
    assert_ne!(attempt.source_port, 0);
    match attempt.outcome {
        Outcome::Failed(failure) => (failure, attempt.sent),
        other => panic!("{other:?}"),
    }
}

/// What a conversation of one line comes to, with a server that does as told.
async fn talk(patience: Duration, server: impl AsyncFnOnce(TcpStream)) -> Result<u8, Failure> {
    let clock = Clock::start();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = listener.local_addr().unwrap();
    let client = async {
        let mut connected = connect(to, clock, after(clock, LONG)).await.unwrap();
        let deadline = after(clock, patience);
        connected
            .converse(deadline, async |stream| {
                stream.write_all(b"hello").await?;
                stream.read_u8().await
            })
            .await
    };
    let serve = async { server(listener.accept().await.unwrap().0).await };
    // The server's end of the connection lives as long as the client's, whatever it does with it.
    let (said, ()) = tokio::join!(client, serve);
    said
}

#[tokio::test]
async fn an_open_port_connects_and_the_kernel_says_how_fast() {
    let clock = Clock::start();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = listener.local_addr().unwrap();
    let connected = connect(to, clock, after(clock, LONG)).await.unwrap();
    let own = connected.stream.local_addr().unwrap();
    assert_eq!(connected.source_port, own.port());
    assert!(!connected.resent && !connected.rtt.is_zero());
    assert!(!connected.was_slowed(LONG), "nothing was sent again");
}

#[tokio::test]
async fn what_is_connected_when_the_agent_wakes_too_late_is_connected() {
    let clock = Clock::start();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = listener.local_addr().unwrap();
    assert!(connect(to, clock, after(clock, Duration::ZERO)).await.is_ok());
}

#[tokio::test]
async fn a_closed_port_refuses_by_a_bare_reset() {
    let clock = Clock::start();
    let (_taken, to) = closed_port();
    let seen = failed(connect(to, clock, after(clock, LONG)).await);
    assert_eq!(seen, (Failure::new(Reason::Refused), 1));
}

#[test]
fn an_icmp_error_says_who_sent_it() {
    behind("tcp dport 443 reject with icmpx admin-prohibited", async || {
        let clock = Clock::start();
        for (to, kind, code) in [("127.0.0.9:443", 3, 13), ("[::1]:443", 1, 1)] {
            let to = at(to);
            let (failure, sent) = failed(connect(to, clock, after(clock, LONG)).await);
            let icmp = IcmpError {
                kind,
                code,
                from: to.ip(),
            };
            assert_eq!((failure.reason, sent), (Reason::AdminProhibited, 1));
            assert_eq!(failure.icmp, Some(icmp));
        }
    });
}

#[test]
fn a_black_hole_is_a_time_out() {
    behind("tcp dport 443 drop", async || {
        let clock = Clock::start();
        let seen = failed(connect(at("127.0.0.1:443"), clock, after(clock, SHORT)).await);
        assert_eq!(seen.0, Failure::new(Reason::Timeout));
    });
}

#[test]
fn no_route_is_the_own_kernels_word() {
    in_own_network(&[], async || {
        let clock = Clock::start();
        let attempt = connect(at("192.0.2.1:443"), clock, after(clock, LONG)).await;
        let Outcome::Failed(failure) = attempt.unwrap_err().outcome else {
            panic!("it was tried");
        };
        assert_eq!(failure.reason, Reason::NetUnreachable);
        assert_eq!(failure.icmp, None);
        assert_eq!(failure.local.unwrap().call, "connect");
    });
}

#[test]
fn a_syn_that_was_sent_again_is_told() {
    // The first SYN is lost, the next one passes.
    behind("tcp flags syn numgen inc mod 1000 0 drop", async || {
        let clock = Clock::start();
        let listener = TcpListener::bind("127.0.0.1:443").await.unwrap();
        let to = listener.local_addr().unwrap();
        let connected = connect(to, clock, after(clock, LONG)).await.unwrap();
        assert!(connected.resent);
        assert!(
            connected.rtt >= Duration::from_millis(900),
            "the wait is part of it: {:?}",
            connected.rtt
        );
    });
}

#[tokio::test]
async fn a_server_that_answers_is_heard() {
    let said = talk(LONG, async |mut stream| stream.write_all(b"!").await.unwrap()).await;
    assert_eq!(said, Ok(b'!'));
}

#[tokio::test]
async fn a_server_that_never_answers_stalls() {
    let (end, wait) = tokio::sync::oneshot::channel::<()>();
    let held = async |stream: TcpStream| {
        // Neither reads nor answers, until the client has given up.
        let _ = wait.await;
        drop(stream);
    };
    let clock = Clock::start();
    let talking = async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = listener.local_addr().unwrap();
        let mut connected = connect(to, clock, after(clock, LONG)).await.unwrap();
        let stream = listener.accept().await.unwrap().0;
        let deadline = after(clock, SHORT);
        let said = connected.converse(deadline, async |stream| stream.read_u8().await);
        let (said, ()) = tokio::join!(
            async {
                let said = said.await;
                drop(end);
                said
            },
            held(stream)
        );
        said
    };
    assert_eq!(talking.await, Err(Failure::new(Reason::DataStalled)));
}

#[tokio::test]
async fn a_server_that_hangs_up_is_the_wrong_one() {
    let said = talk(LONG, async |mut stream| {
        // Everything is read first: unread bytes would make the end of the connection a reset.
        stream.read_exact(&mut [0; 5]).await.unwrap();
    })
    .await;
    let failure = said.unwrap_err();
    assert_eq!(failure.reason, Reason::WrongResponder);
    assert!(failure.detail.unwrap().contains("closed the connection"));
}

#[tokio::test]
async fn a_reset_is_a_reset() {
    let said = talk(LONG, async |mut stream| {
        stream.read_exact(&mut [0; 5]).await.unwrap();
        SockRef::from(&stream.as_fd())
            .set_linger(Some(Duration::ZERO))
            .unwrap();
    })
    .await;
    assert_eq!(said, Err(Failure::new(Reason::Reset)));
}

#[test]
fn a_connection_that_is_rejected_in_the_middle_fails_with_the_errno() {
    // The handshake passes, data does not. The kernel keeps who sent the error only while it connects (Linux
    // net/ipv4/tcp_ipv4.c, tcp_v4_err).
    let rule = "tcp dport 443 meta length gt 200 reject with icmpx admin-prohibited";
    behind(rule, async || {
        let clock = Clock::start();
        let listener = TcpListener::bind("127.0.0.1:443").await.unwrap();
        let to = listener.local_addr().unwrap();
        let mut connected = connect(to, clock, after(clock, LONG)).await.unwrap();
        let deadline = after(clock, SHORT);
        let said = connected
            .converse(deadline, async |stream| {
                stream.write_all(&[0; 1_000]).await?;
                stream.read_u8().await
            })
            .await;
        let failure = said.unwrap_err();
        assert_eq!(failure.reason, Reason::HostUnreachable);
        assert_eq!((failure.icmp, failure.local), (None, None));
    });
}
