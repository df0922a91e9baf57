use std::net::IpAddr;
use std::sync::Arc;

use mesh_net::NetNamespace;
use mesh_proto::{
    AgentIndex, AgentKey, Expect, FlowTally, IcmpError, Millis, Observation, Pacing, PathMtu, PlannedProbe,
    ProbeKind, Reason,
};
use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::*;
use crate::responder::Responder;
use crate::runs::Runs;
use crate::test_place::{
    LONG, RESPONDER, SHORT, agent, answer_as_b, at, behind, command, identity_of_b, in_own_network, mac_key,
    prepare, probe,
};

const B: &str = "127.0.0.2:9441";
const AGENT_B: Expect = Expect::Agent(AgentIndex(1));
const KINDS: [ProbeKind; 3] = [ProbeKind::Icmp, ProbeKind::Udp, ProbeKind::PathMtu];
const FAST: Pacing = Pacing {
    packets_per_second: 10_000,
    burst: 1_000,
    spread: Millis(0),
};

fn agents() -> Arc<[AgentKey]> {
    [agent("a"), agent("b")].into()
}

/// Hands a job of agent a's over; where its sightings come in.
fn begin(
    engine: &DatagramEngine,
    agents: &Arc<[AgentKey]>,
    pacing: Pacing,
    probes: Vec<PlannedProbe>,
) -> mpsc::UnboundedReceiver<Seen> {
    let (seen, sightings) = mpsc::unbounded_channel();
    engine.run(Job {
        key: mac_key(),
        own: AgentIndex(0),
        agents: agents.clone(),
        pacing,
        sending: crate::way::Sending::default(),
        probes,
        seen,
    });
    sightings
}

/// Runs one probe to its end.
async fn see(probe: PlannedProbe) -> Observation {
    let engine = DatagramEngine::start(Clock::start());
    let mut sightings = begin(&engine, &agents(), FAST, vec![probe]);
    let seen = sightings.recv().await.unwrap();
    assert!(sightings.recv().await.is_none(), "one probe, one sighting");
    seen.observation
}

fn impatient(probe: PlannedProbe) -> PlannedProbe {
    let timeout = Millis(u32::try_from(SHORT.as_millis()).unwrap());
    PlannedProbe { timeout, ..probe }
}

/// A UDP server that sends back what it gets, until the test ends.
async fn echo_server(address: &str, reply_from: &str) {
    let server = UdpSocket::bind(address).await.unwrap();
    let replier = if reply_from == address {
        None
    } else {
        Some(UdpSocket::bind(reply_from).await.unwrap())
    };
    tokio::spawn(async move {
        let mut buffer = [0; 2_048];
        loop {
            let (len, from) = server.recv_from(&mut buffer).await.unwrap();
            let replier = replier.as_ref().unwrap_or(&server);
            replier.send_to(&buffer[..len], from).await.unwrap();
        }
    });
}

#[test]
fn an_agent_answers_all_kinds_in_both_families() {
    in_own_network(&[], async || {
        answer_as_b(None, Clock::start());
        for to in [B, "[::1]:9441"] {
            for kind in KINDS {
                let seen = see(PlannedProbe {
                    tries: 3,
                    ..probe(kind, at(to), AGENT_B)
                })
                .await;
                assert_eq!(seen.failure, None, "{kind} {to}");
                assert!(seen.received > 0 && seen.rtt.is_some(), "{kind} {to}");
                if kind == ProbeKind::PathMtu {
                    // It ends with the first large packet that passes.
                    let found = seen.path_mtu.unwrap();
                    assert_eq!(found.largest, found.tried, "{to}");
                } else {
                    assert_eq!((seen.sent, seen.received), (3, 3), "{kind} {to}");
                }
                let who = (kind != ProbeKind::Icmp).then(identity_of_b);
                assert_eq!(seen.responder, who, "{kind} {to}");
            }
        }
    });
}

#[test]
fn a_closed_port_is_refused_by_the_far_kernel() {
    in_own_network(&[], async || {
        let seen = see(probe(ProbeKind::Udp, at(B), AGENT_B)).await;
        let failure = seen.failure.unwrap();
        let icmp = IcmpError {
            kind: 3,
            code: 3,
            from: at(B).ip(),
        };
        assert_eq!((failure.reason, failure.icmp), (Reason::Refused, Some(icmp)));
        assert_eq!((seen.sent, seen.received), (1, 0));
    });
}

#[test]
fn a_rule_in_output_is_the_own_kernels_refusal() {
    let commands = [
        "nft add table inet wall",
        "nft add chain inet wall out { type filter hook output priority 0 ; policy drop ; }",
    ];
    in_own_network(&commands, async || {
        for kind in KINDS {
            let seen = see(probe(kind, at(B), AGENT_B)).await;
            let failure = seen.failure.unwrap();
            assert_eq!(failure.reason, Reason::LocalError, "{kind}");
            assert_eq!(failure.local.map(|local| local.errno), Some(1), "{kind}");
        }
    });
}

#[test]
fn another_agent_and_a_stranger_are_the_wrong_responder() {
    in_own_network(&[], async || {
        answer_as_b(Some(at(B).ip()), Clock::start());
        echo_server("127.0.0.3:9441", "127.0.0.3:9441").await;
        for (to, expect, who) in [
            (B, Expect::Agent(AgentIndex(0)), "b/pod"),
            ("127.0.0.3:9441", AGENT_B, "no agent of this run"),
        ] {
            let failure = see(probe(ProbeKind::Udp, at(to), expect)).await.failure.unwrap();
            assert_eq!(failure.reason, Reason::WrongResponder);
            assert!(failure.detail.as_ref().unwrap().contains(who), "{failure:?}");
        }
        let seen = see(probe(ProbeKind::Udp, at("127.0.0.3:9441"), Expect::Anyone)).await;
        assert_eq!(
            (seen.received, seen.failure),
            (1, None),
            "an echo is enough of anyone"
        );
    });
}

#[test]
fn silence_is_a_time_out_and_each_flow_is_named_by_its_port() {
    behind("udp dport 9441 drop", async || {
        let seen = see(PlannedProbe {
            flows: 4,
            tries: 2,
            ..impatient(probe(ProbeKind::Udp, at(B), AGENT_B))
        })
        .await;
        assert_eq!(seen.failure, Some(mesh_proto::Failure::new(Reason::Timeout)));
        assert_eq!((seen.sent, seen.received), (8, 0));
        let mut ports: Vec<u16> = seen
            .incomplete_flows
            .iter()
            .map(|flow| flow.source_port)
            .collect();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 4, "{:?}", seen.incomplete_flows);
        let dead = |flow: &FlowTally| flow.source_port != 0 && (flow.sent, flow.received) == (2, 0);
        assert!(seen.incomplete_flows.iter().all(dead));
    });
}

#[test]
fn an_answer_from_another_address_is_none() {
    in_own_network(&[], async || {
        echo_server("127.0.0.2:9441", "127.0.0.3:9441").await;
        let seen = see(impatient(probe(ProbeKind::Udp, at(B), Expect::Anyone))).await;
        assert_eq!(seen.received, 0);
        assert_eq!(seen.failure.unwrap().reason, Reason::Timeout);
    });
}

#[test]
fn a_flow_keeps_its_port_from_probe_to_probe() {
    in_own_network(&[], async || {
        let server = UdpSocket::bind(B).await.unwrap();
        let engine = DatagramEngine::start(Clock::start());
        let mut ports = Vec::new();
        for _ in 0..2 {
            let planned = probe(ProbeKind::Udp, at(B), Expect::Anyone);
            let mut sightings = begin(&engine, &agents(), FAST, vec![planned]);
            let mut buffer = [0; 2_048];
            let (len, from) = server.recv_from(&mut buffer).await.unwrap();
            server.send_to(&buffer[..len], from).await.unwrap();
            assert_eq!(sightings.recv().await.unwrap().observation.received, 1);
            ports.push(from.port());
        }
        assert_eq!(ports[0], ports[1]);
    });
}

#[test]
fn no_more_than_the_pace_allows_leaves() {
    in_own_network(&[], async || {
        let clock = Clock::start();
        answer_as_b(None, clock);
        let engine = DatagramEngine::start(clock);
        let pacing = Pacing {
            packets_per_second: 100,
            burst: 5,
            spread: Millis(0),
        };
        let planned = vec![probe(ProbeKind::Udp, at(B), AGENT_B); 25];
        let began = clock.now();
        let mut sightings = begin(&engine, &agents(), pacing, planned);
        let mut answered = 0;
        while let Some(seen) = sightings.recv().await {
            answered += seen.observation.received;
        }
        assert_eq!(answered, 25);
        // Five at once, then twenty at ten milliseconds: a lower bound, which a slow machine keeps too.
        assert!(clock.now().since(began) >= Duration::from_millis(200));
    });
}

#[test]
fn a_slow_job_does_not_hold_up_another() {
    in_own_network(&[], async || {
        answer_as_b(None, Clock::start());
        let engine = DatagramEngine::start(Clock::start());
        let slow = Pacing {
            packets_per_second: 1,
            burst: 1,
            spread: Millis(0),
        };
        let planned = |count| vec![probe(ProbeKind::Udp, at(B), AGENT_B); count];
        let mut first = begin(&engine, &agents(), slow, planned(1_000));
        assert_eq!(first.recv().await.unwrap().observation.received, 1);
        let mut second = begin(&engine, &agents(), FAST, planned(50));
        for _ in 0..50 {
            let seen = timeout(LONG, second.recv()).await.unwrap().unwrap();
            assert_eq!(seen.observation.received, 1);
        }
        assert!(!first.is_closed(), "the slow one is still at it");
    });
}

#[test]
fn a_job_that_nobody_waits_for_is_dropped() {
    behind("udp dport 9441 drop", async || {
        let engine = DatagramEngine::start(Clock::start());
        let agents = agents();
        let sightings = begin(
            &engine,
            &agents,
            FAST,
            vec![probe(ProbeKind::Udp, at(B), AGENT_B)],
        );
        drop(sightings);
        let dropped = async {
            while Arc::strong_count(&agents) > 1 {
                tokio::task::yield_now().await;
            }
        };
        timeout(LONG / 2, dropped).await.unwrap();
    });
}

#[test]
fn what_the_kernel_drops_for_want_of_room_is_counted() {
    in_own_network(&[], async || {
        let server = UdpSocket::bind(B).await.unwrap();
        let engine = DatagramEngine::start(Clock::start());
        let planned = vec![probe(ProbeKind::Udp, at(B), Expect::Anyone)];
        let mut sightings = begin(&engine, &agents(), FAST, planned);
        let mut buffer = [0; 2_048];
        let (len, from) = server.recv_from(&mut buffer).await.unwrap();
        // The engine shares this thread, and does not read meanwhile.
        let flood = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        for _ in 0..20_000 {
            flood.send_to(&[0; 1_400], ("127.0.0.1", from.port())).unwrap();
        }
        assert_eq!(engine.dropped(), 0);
        let echo = async {
            loop {
                server.send_to(&buffer[..len], from).await.unwrap();
                tokio::task::yield_now().await;
            }
        };
        let seen = tokio::select! {
            seen = sightings.recv() => seen.unwrap(),
            () = echo => unreachable!(),
        };
        assert_eq!(seen.observation.received, 1);
        assert!(engine.dropped() > 0);
    });
}

#[test]
fn a_black_hole_for_large_packets_is_measured_to_the_byte() {
    behind("udp dport 9441 meta length gt 1400 drop", async || {
        answer_as_b(None, Clock::start());
        let seen = see(PlannedProbe {
            tries: 2,
            timeout: Millis(1_000),
            ..probe(ProbeKind::PathMtu, at(B), AGENT_B)
        })
        .await;
        assert_eq!(seen.failure.unwrap().reason, Reason::Timeout);
        let found = PathMtu {
            largest: 1_400,
            tried: 65_535,
            told: false,
        };
        assert_eq!(seen.path_mtu, Some(found));
    });
}

#[test]
fn a_narrower_path_of_which_a_router_tells_is_reachable() {
    in_own_network(&[], async || {
        let (router, far) = (NetNamespace::create().unwrap(), NetNamespace::create().unwrap());
        let inside = |namespace: &NetNamespace, line: &str| namespace.run(|| command(line)).unwrap();
        let link = |names: &str, mtu: u32, far: &NetNamespace| {
            let (near, peer) = names.split_once(' ').unwrap();
            let path = far.path();
            format!(
                "ip link add {near} mtu {mtu} type veth peer name {peer} mtu {mtu} netns {}",
                path.display()
            )
        };
        command(&link("near west", 1_500, &router));
        inside(&router, &link("east far", 1_400, &far));
        command("ip address add 10.0.1.1/24 dev near");
        inside(&router, "ip address add 10.0.1.254/24 dev west");
        inside(&router, "ip address add 10.0.2.254/24 dev east");
        inside(&far, "ip address add 10.0.2.1/24 dev far");
        command("ip link set near up");
        inside(&router, "ip link set west up");
        inside(&router, "ip link set east up");
        inside(&far, "ip link set far up");
        let forward = router.run(|| std::fs::write("/proc/sys/net/ipv4/ip_forward", "1"));
        forward.unwrap().unwrap();
        command("ip route add default via 10.0.1.254");
        inside(&far, "ip route add default via 10.0.2.254");

        let runtime = tokio::runtime::Handle::current();
        let responder = far.run(|| {
            let _context = runtime.enter();
            let any: IpAddr = "0.0.0.0".parse().unwrap();
            Responder::bind(Some(any), RESPONDER).unwrap()
        });
        let clock = Clock::start();
        let runs = Arc::new(std::sync::Mutex::new(Runs::default()));
        runs.lock().unwrap().open(prepare(1), clock.now());
        responder.unwrap().start(&identity_of_b(), &runs, clock);

        let seen = see(PlannedProbe {
            tries: 2,
            ..probe(ProbeKind::PathMtu, at("10.0.2.1:9441"), AGENT_B)
        })
        .await;
        let found = PathMtu {
            largest: 1_400,
            tried: 1_500,
            told: true,
        };
        assert_eq!((seen.path_mtu, seen.failure), (Some(found), None));
    });
}
