//! Runs: their opening, their plans, their end.

use mesh_proto::{
    AgentIndex, DnsQuestion, Expect, IcmpMode, PROTOCOL, ProbeId, ProbeKind, Reason, SOFTWARE, Tally,
};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio::time::timeout;
use tonic::Code;

use super::*;
use crate::test_place::{LONG, at, in_own_network, probe};

const B: &str = "127.0.0.3:9441";
const AGENT_B: Expect = Expect::Agent(AgentIndex(1));

#[test]
fn another_protocol_is_refused_in_words() {
    in_own_network(&[], async || {
        let mut two = Two::start().await;
        let newer = v1::PrepareRequest {
            protocol: PROTOCOL + 1,
            version: "9.9.9".to_owned(),
            // A newer message need not even parse.
            key: vec![1],
            ..prepare(0).to_wire()
        };
        let refused = two.a.prepare(newer).await.unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition);
        let said = refused.message();
        for word in [
            "the coordinator speaks",
            "9.9.9",
            SOFTWARE,
            "use the same version",
        ] {
            assert!(said.contains(word), "{said}");
        }
        let malformed = v1::PrepareRequest {
            key: vec![1],
            ..prepare(0).to_wire()
        };
        let refused = two.a.prepare(malformed).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(refused.message().contains("key: 32 bytes wanted"), "{refused}");
    });
}

#[test]
fn an_agent_says_who_and_what_it_is() {
    in_own_network(&[], async || {
        let mut two = Two::start().await;
        assert_eq!(two.b_says.identity.key, agent("b"));
        assert_eq!(two.b_says.responder_port, Port(RESPONDER));
        assert_eq!(
            (two.b_says.icmp, two.b_says.icmp_why.as_str()),
            (IcmpMode::Raw, "")
        );
        assert!(two.b_says.nameservers.is_empty());
        let reply = two.b.facts(v1::FactsRequest {}).await.unwrap().into_inner();
        let facts = mesh_proto::HostFacts::from_wire(&reply).unwrap();
        assert!(facts.sysctl("net.ipv4.ip_forward").is_some());
    });
}

#[test]
fn two_agents_probe_each_other_and_say_at_the_end_what_came_in() {
    in_own_network(&[], async || {
        let mut two = Two::start().await;
        let kinds = [
            ProbeKind::Icmp,
            ProbeKind::Tcp,
            ProbeKind::Udp,
            ProbeKind::PathMtu,
        ];
        let probes = (0..).zip(kinds).map(|(id, kind)| PlannedProbe {
            id: ProbeId(id),
            flows: if kind == ProbeKind::Udp { 4 } else { 1 },
            ..probe(kind, at(B), AGENT_B)
        });
        let (mut seen, summary) = observe(&mut two.a, &plan(probes.collect())).await.unwrap();
        seen.sort_by_key(|of| of.id);
        assert_eq!(seen.len(), kinds.len());
        for (of, kind) in seen.iter().zip(kinds) {
            assert_eq!((&of.failure, &of.untried), (&None, &None), "{kind}");
            assert!(of.received > 0 && of.rtt.is_some(), "{kind}");
            let who = (kind != ProbeKind::Icmp).then_some(&two.b_says.identity);
            assert_eq!(of.responder.as_ref(), who, "{kind}");
        }
        assert_eq!((seen[2].sent, seen[2].received), (4, 4));
        assert!(seen[3].path_mtu.is_some());
        let counts: Vec<_> = summary.rtt.iter().map(|of| of.kind).collect();
        for kind in kinds {
            assert!(counts.contains(&kind), "{kind} has no times");
        }

        let stop = v1::StopRequest {
            run_id: "r".to_owned(),
        };
        let reply = two.b.stop(stop.clone()).await.unwrap().into_inner();
        let tallies: Vec<Tally> = reply
            .received
            .iter()
            .map(|of| Tally::from_wire(of).unwrap())
            .collect();
        let count = |kind| {
            let of = tallies
                .iter()
                .find(|tally| tally.kind == kind && tally.from == AgentIndex(0));
            of.map_or(0, |tally| tally.requests)
        };
        assert_eq!((count(ProbeKind::Tcp), count(ProbeKind::Udp)), (1, 4));
        assert!(count(ProbeKind::PathMtu) >= 1);
        assert_eq!(two.b.stop(stop).await.unwrap_err().code(), Code::NotFound);
    });
}

#[test]
fn after_the_end_of_a_run_its_agents_answer_nobody() {
    in_own_network(&[], async || {
        let mut two = Two::start().await;
        let stop = v1::StopRequest {
            run_id: "r".to_owned(),
        };
        two.b.stop(stop).await.unwrap();
        let planned = plan(vec![probe(ProbeKind::Tcp, at(B), AGENT_B)]);
        let (seen, _) = observe(&mut two.a, &planned).await.unwrap();
        assert_eq!(seen[0].received, 0);
        let refused = observe(&mut two.b, &planned).await.unwrap_err();
        assert_eq!(refused.code(), Code::NotFound);
    });
}

#[test]
fn a_plan_that_cannot_be_is_refused() {
    in_own_network(&[], async || {
        let mut two = Two::start().await;
        let good = probe(ProbeKind::Udp, at(B), AGENT_B);
        let too_many = PlannedProbe {
            flows: 60_000,
            ..good.clone()
        };
        let too_often = PlannedProbe {
            flows: 100,
            tries: 60_000,
            ..good.clone()
        };
        let nobody = PlannedProbe {
            expect: Expect::Agent(AgentIndex(2)),
            ..good.clone()
        };
        for (bad, word) in [(too_many, "flows"), (too_often, "tries"), (nobody, "agent 2")] {
            let refused = observe(&mut two.a, &plan(vec![bad])).await.unwrap_err();
            assert_eq!(refused.code(), Code::InvalidArgument);
            assert!(refused.message().contains(word), "{refused}");
        }
        let unknown = two.a.probe(plan(vec![good]).to_wire("another")).await;
        let unknown = unwrap_status(unknown.map(|_| ()));
        assert_eq!(unknown.code(), Code::NotFound);
        assert!(unknown.message().contains("does not know this run"), "{unknown}");
    });
}

fn unwrap_status(result: Result<(), Status>) -> Status {
    result.unwrap_err()
}

#[test]
fn what_cannot_be_tried_is_no_failure_of_the_network() {
    in_own_network(&[], async || {
        let mut two = Two::start().await;
        let dns = Some(DnsQuestion {
            name: "kubernetes".to_owned(),
            as_application: true,
        });
        let planned = PlannedProbe {
            dns,
            ..probe(ProbeKind::DnsUdp, at("127.0.0.1:53"), Expect::Anyone)
        };
        let (seen, _) = observe(&mut two.a, &plan(vec![planned])).await.unwrap();
        assert_eq!((seen[0].sent, &seen[0].failure), (0, &None));
        assert!(seen[0].untried.as_ref().unwrap().contains("/nonexistent"));
    });
}

#[test]
fn a_dead_port_is_refused_over_every_protocol() {
    in_own_network(&[], async || {
        let mut two = Two::start().await;
        let dead = at("127.0.0.9:9441");
        let probes = [ProbeKind::Tcp, ProbeKind::Udp, ProbeKind::Tls].map(|kind| probe(kind, dead, AGENT_B));
        let (seen, _) = observe(&mut two.a, &plan(probes.to_vec())).await.unwrap();
        let reasons: Vec<_> = seen
            .iter()
            .map(|of| of.failure.as_ref().map(|of| of.reason))
            .collect();
        assert_eq!(reasons, [Some(Reason::Refused); 3]);
    });
}

/// A probe that is stuck for an hour, at a server that accepts and says nothing.
async fn stuck() -> (TcpListener, Plan) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let planned = PlannedProbe {
        timeout: mesh_proto::Millis(3_600_000),
        ..probe(ProbeKind::Tcp, listener.local_addr().unwrap(), AGENT_B)
    };
    (listener, plan(vec![planned]))
}

/// Waits until the other side of a connection has closed it.
pub(super) async fn closed(mut connection: tokio::net::TcpStream) {
    let mut said = Vec::new();
    // How it ends is all the same.
    let _ = timeout(LONG, connection.read_to_end(&mut said))
        .await
        .expect("it is still open");
}

#[test]
fn a_plan_ends_when_the_coordinator_drops_its_stream() {
    in_own_network(&[], async || {
        let mut two = Two::start().await;
        let (listener, plan) = stuck().await;
        let stream = two.a.probe(plan.to_wire("r")).await.unwrap();
        let (connection, _) = listener.accept().await.unwrap();
        drop(stream);
        closed(connection).await;
        two.a.facts(v1::FactsRequest {}).await.expect("the link goes on");
    });
}

#[test]
fn a_plan_ends_with_its_run() {
    in_own_network(&[], async || {
        let mut two = Two::start().await;
        let (listener, plan) = stuck().await;
        let mut stream = two.a.probe(plan.to_wire("r")).await.unwrap().into_inner();
        let (connection, _) = listener.accept().await.unwrap();
        let stop = v1::StopRequest {
            run_id: "r".to_owned(),
        };
        two.a.stop(stop).await.unwrap();
        closed(connection).await;
        let ended = stream.message().await.unwrap_err();
        assert_eq!(
            (ended.code(), ended.message()),
            (Code::Aborted, "the run was stopped")
        );
    });
}
