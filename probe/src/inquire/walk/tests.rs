use std::net::IpAddr;

use mesh_net::{IcmpAccess, IcmpSocket};
use mesh_proto::{Ask, HopAnswer, IcmpError, Millis, Port, Protocol, Seen};
use tokio::net::TcpListener;

use super::echo_lane::EchoLane;
use super::lanes::Lanes;
use super::walk_by;
use crate::inquire::test_road::{
    FIRST, FIRST_V6, Road, SECOND, SECOND_V6, TARGET, TARGET_V6, ask, forward_rule, on_road, set, work,
};
use crate::moment::Clock;
use crate::test_place::{RESPONDER, WALL, command, in_own_network};

const CLOSED: u16 = 7_777;

fn to(target: &str, protocol: Protocol, port: u16) -> Ask {
    Ask::Walk {
        target: target.parse().unwrap(),
        protocol,
        port: Port(port),
        hops: 5,
        timeout: Millis(900),
    }
}

fn error(kind: u8, code: u8, from: &str) -> HopAnswer {
    let from: IpAddr = from.parse().unwrap();
    HopAnswer::Error(IcmpError { kind, code, from })
}

/// The answers of a walk, by hop.
fn hops(seen: Seen) -> Vec<HopAnswer> {
    let Seen::Walk(hops) = seen else {
        panic!("{seen:?}")
    };
    let ttls: Vec<u8> = hops.iter().map(|hop| hop.ttl).collect();
    assert!(
        ttls.iter().copied().eq(1..=u8::try_from(ttls.len()).unwrap()),
        "{ttls:?}"
    );
    hops.into_iter().map(|hop| hop.answer).collect()
}

#[test]
fn each_protocol_finds_two_routers_and_the_target() {
    on_road(async |_| {
        Road::wait_for_v6();
        let way = [error(11, 0, FIRST), error(11, 0, SECOND), HopAnswer::Target];
        let way_v6 = [error(3, 0, FIRST_V6), error(3, 0, SECOND_V6), HopAnswer::Target];
        for (protocol, port) in [
            (Protocol::Icmp, 0),
            (Protocol::Udp, CLOSED),
            (Protocol::Tcp, CLOSED),
        ] {
            assert_eq!(hops(ask(to(TARGET, protocol, port)).await), way, "{protocol}");
            assert_eq!(
                hops(ask(to(TARGET_V6, protocol, port)).await),
                way_v6,
                "{protocol}"
            );
        }
    });
}

#[test]
fn a_ping_socket_walks_as_well() {
    on_road(async |_| {
        Road::wait_for_v6();
        std::fs::write("/proc/sys/net/ipv4/ping_group_range", "0 0").unwrap();
        for (target, first, second) in [
            (TARGET, error(11, 0, FIRST), error(11, 0, SECOND)),
            (TARGET_V6, error(3, 0, FIRST_V6), error(3, 0, SECOND_V6)),
        ] {
            let target: IpAddr = target.parse().unwrap();
            let socket = IcmpSocket::open_as(target.is_ipv6(), IcmpAccess::Ping).unwrap();
            let lanes = Lanes::Echo(EchoLane::by(socket, target));
            let seen = walk_by(lanes, 4, Millis(900), &work()).await;
            assert_eq!(hops(seen), [first, second, HopAnswer::Target]);
        }
    });
}

#[test]
fn an_agent_answers_a_walk_and_does_not_count_it() {
    on_road(async |road| {
        let runs = road.answer_at_target(Clock::start());
        for protocol in [Protocol::Udp, Protocol::Tcp] {
            let seen = hops(ask(to(TARGET, protocol, RESPONDER)).await);
            assert_eq!(seen.last(), Some(&HopAnswer::Target), "{protocol}");
        }
        assert_eq!(runs.lock().unwrap().close("r"), Some(Vec::new()));
    });
}

#[test]
fn a_router_that_drops_is_the_last_that_answers() {
    on_road(async |road| {
        forward_rule(&road.second, "drop");
        let silence = HopAnswer::Silence;
        let seen = [
            error(11, 0, FIRST),
            error(11, 0, SECOND),
            silence,
            silence,
            silence,
        ];
        assert_eq!(hops(ask(to(TARGET, Protocol::Icmp, 0)).await), seen);
    });
}

#[test]
fn a_router_that_rejects_says_so_itself() {
    on_road(async |road| {
        forward_rule(&road.first, "reject with icmpx admin-prohibited");
        set(&road.first, "ipv4/icmp_ratelimit", "0");
        for (protocol, port) in [
            (Protocol::Icmp, 0),
            (Protocol::Udp, CLOSED),
            (Protocol::Tcp, CLOSED),
        ] {
            let seen = hops(ask(to(TARGET, protocol, port)).await);
            assert_eq!(
                seen[..2],
                [error(11, 0, FIRST), error(3, 13, FIRST)],
                "{protocol}"
            );
            assert!(!seen.contains(&HopAnswer::Target), "{protocol}");
        }
    });
}

#[test]
fn a_router_that_does_not_forward_is_silent_from_the_first_hop_on() {
    on_road(async |road| {
        set(&road.first, "ipv4/ip_forward", "0");
        assert_eq!(
            hops(ask(to(TARGET, Protocol::Icmp, 0)).await),
            [HopAnswer::Silence; 5]
        );
    });
}

#[test]
fn a_silent_hop_is_tried_again() {
    on_road(async |road| {
        // The first packet that is forwarded to the target is lost, whichever it is of those that get so far.
        forward_rule(&road.second, "limit rate over 1/hour burst 3 packets accept");
        forward_rule(&road.second, "drop");
        let seen = hops(ask(to(TARGET, Protocol::Icmp, 0)).await);
        assert_eq!(
            seen,
            [error(11, 0, FIRST), error(11, 0, SECOND), HopAnswer::Target]
        );
    });
}

#[test]
fn an_open_port_is_the_target_and_is_let_go() {
    in_own_network(&[], async || {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(
            hops(ask(to("127.0.0.1", Protocol::Tcp, port)).await),
            [HopAnswer::Target]
        );
        let (mut connection, _) = listener.accept().await.unwrap();
        let mut said = Vec::new();
        let ended = tokio::io::AsyncReadExt::read_to_end(&mut connection, &mut said).await;
        assert!(ended.is_err() || said.is_empty(), "nothing is said");
    });
}

#[test]
fn what_the_own_kernel_refuses_is_not_tried() {
    in_own_network(&[], async || {
        for line in WALL {
            command(&line.replace("hook input", "hook output"));
        }
        command("nft add rule inet wall in meta l4proto { icmp, udp } drop");
        for (protocol, port) in [(Protocol::Icmp, 0), (Protocol::Udp, CLOSED)] {
            let Seen::Untried(why) = ask(to("127.0.0.1", protocol, port)).await else {
                panic!("{protocol} was tried")
            };
            assert!(why.contains("EPERM"), "{why}");
        }
        let nowhere = ask(to(TARGET, Protocol::Tcp, CLOSED)).await;
        assert_eq!(nowhere, Seen::Untried("connect: ENETUNREACH".to_owned()));
    });
}
