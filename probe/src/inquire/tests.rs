mod further;
mod knock;

use std::net::IpAddr;

use mesh_proto::{Ask, LocalError, Micros, Millis, Port, Protocol, RouteChosen, RouteKind, Seen};

use super::test_road::{FIRST, FIRST_V6, TARGET, TARGET_V6, ask, ask_within, forward_rule, on_road};
use crate::test_place::in_own_network;

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn route_to(target: &str) -> Ask {
    Ask::Route {
        target: address(target),
    }
}

async fn chosen(target: &str) -> RouteChosen {
    match ask(route_to(target)).await {
        Seen::Route(chosen) => chosen,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_kernel_chooses_a_source_and_a_route() {
    on_road(async |_| {
        let main = (RouteKind::Unicast, Some("down1"));
        let local = (RouteKind::Local, Some("lo"));
        for (target, source, gateway, place) in [
            (TARGET, "10.0.1.1", Some(FIRST), main),
            (FIRST, "10.0.1.1", None, main),
            (TARGET_V6, "fd00:1::1", Some(FIRST_V6), main),
            ("127.0.0.1", "127.0.0.1", None, local),
        ] {
            let chosen = chosen(target).await;
            assert_eq!(
                (chosen.source, chosen.error),
                (Some(address(source)), None),
                "{target}"
            );
            let route = chosen.route.unwrap();
            assert_eq!((route.kind, route.link.as_deref()), place, "{target}");
            assert_eq!(route.gateway, gateway.map(address), "{target}");
            assert!(route.to.contains(address(target)), "{target}: {route:?}");
        }
    });
}

#[test]
fn a_route_may_give_loopback_a_foreign_source() {
    let commands = [
        "ip address add 192.0.2.1/32 dev lo",
        "ip route replace local 127.0.0.1 dev lo table local src 192.0.2.1",
    ];
    in_own_network(&commands, async || {
        assert_eq!(chosen("127.0.0.1").await.source, Some(address("192.0.2.1")));
    });
}

#[test]
fn where_there_is_no_route_the_errno_says_so() {
    in_own_network(&[], async || {
        let error = LocalError {
            errno: 101,
            call: "connect".to_owned(),
        };
        let chosen = chosen("192.0.2.1").await;
        assert_eq!(
            (chosen.source, chosen.route, chosen.error),
            (None, None, Some(error))
        );
    });
}

#[test]
fn what_takes_longer_than_there_is_time_for_is_cut() {
    on_road(async |road| {
        forward_rule(&road.first, "drop");
        let long = Millis(3_600_000);
        let asks = [
            Ask::Walk {
                target: address(TARGET),
                protocol: Protocol::Icmp,
                port: Port(0),
                hops: 3,
                timeout: long,
            },
            Ask::Knock {
                target: address(TARGET),
                port: Port(9),
                tries: 2,
                interval: Micros(3_600_000_000),
                timeout: long,
            },
        ];
        let seen = ask_within(Millis(500), &asks).await;
        match &seen[0] {
            Seen::Walk(hops) => assert_eq!(hops.len(), 3),
            other => panic!("{other:?}"),
        }
        match &seen[1] {
            Seen::Knock(echo) => assert_eq!((echo.sent, echo.answered), (1, 0)),
            other => panic!("{other:?}"),
        }
    });
}
