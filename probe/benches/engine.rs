//! An agent at full speed: what `tests/bench/engine` measures beside its rivals.
//!
//! ```text
//! engine agent NODE ADDRESS PORT SOCKET            an agent, as `mesh probe` is one (ADDRESS answers probes)
//! engine prepare SOCKET INDEX                      opens the run of agents 0 and 1 there, as agent INDEX
//! engine drive SOCKET KIND FIRST COUNT TRIES PORT EXPECT [PACE [SPREAD]]
//!                                                  has the agent probe COUNT addresses from FIRST on; prints pairs,
//!                                                  lost, seconds
//! engine times SOCKET KIND FIRST COUNT PACE        the same, slowly: prints a round-trip time in microseconds per target
//! ```
//!
//! The driver is the coordinator's side of the link; the agent does what a plan of a run has it do, observations and
//! all.

#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use mesh_probe::rpc::agent_client::AgentClient;
use mesh_probe::{AgentConfig, ListenAddress, run_agent};
use mesh_proto::wire::{Prepare, RunKey};
use mesh_proto::{
    AgentIndex, AgentKey, Expect, Micros, Millis, Pacing, Plan, Plane, PlannedProbe, Port, ProbeId, ProbeKind,
};
use tonic::transport::{Channel, Endpoint};

const RUN: &str = "bench";

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| word != "--bench")
        .collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["agent", node, address, port, socket] => {
            agent(node.parse().unwrap(), address, port.parse().unwrap(), socket).await;
        }
        ["prepare", socket, index] => prepare(&mut dial(socket).await, index.parse().unwrap()).await,
        ["drive", socket, rest @ ..] => drive(&mut dial(socket).await, &asked(rest)).await,
        ["times", socket, kind, first, count, pace] => {
            let asked = asked(&[kind, first, count, "1", "0", "anyone", pace]);
            times(&mut dial(socket).await, &asked).await;
        }
        // `cargo bench` runs all benchmarks without words.
        _ => eprintln!("tests/bench/engine runs this"),
    }
}

struct Asked {
    kind: ProbeKind,
    first: Ipv4Addr,
    count: u32,
    tries: u16,
    port: u16,
    expect: Expect,
    packets_per_second: u32,
    spread: u32,
}

fn asked(words: &[&str]) -> Asked {
    let word = |at: usize, otherwise: &'static str| words.get(at).copied().unwrap_or(otherwise).to_owned();
    Asked {
        kind: match word(0, "").as_str() {
            "icmp" => ProbeKind::Icmp,
            "udp" => ProbeKind::Udp,
            "tcp" => ProbeKind::Tcp,
            other => panic!("{other}"),
        },
        first: word(1, "").parse().unwrap(),
        count: word(2, "").parse().unwrap(),
        tries: word(3, "").parse().unwrap(),
        port: word(4, "").parse().unwrap(),
        expect: match word(5, "").as_str() {
            "agent" => Expect::Agent(AgentIndex(1)),
            _ => Expect::Anyone,
        },
        packets_per_second: word(6, "100000000").parse().unwrap(),
        spread: word(7, "0").parse().unwrap(),
    }
}

async fn agent(index: u32, address: &str, port: u16, socket: &str) {
    let config = AgentConfig {
        key: key(index),
        listen: ListenAddress::Unix(socket.into()),
        responder_port: Port(port),
        responder_address: address
            .parse::<IpAddr>()
            .ok()
            .filter(|address| !address.is_unspecified()),
        tls: None,
        api_ca: None,
        resolv_conf: "/etc/resolv.conf".into(),
    };
    run_agent(config, || eprintln!("ready"), std::future::pending())
        .await
        .unwrap();
}

fn key(index: u32) -> AgentKey {
    AgentKey {
        node: format!("node-{index}").parse().unwrap(),
        plane: Plane::Host,
    }
}

async fn dial(socket: impl AsRef<Path>) -> AgentClient<Channel> {
    let endpoint = Endpoint::from_shared(format!("unix:{}", socket.as_ref().display())).unwrap();
    AgentClient::new(endpoint.connect().await.unwrap())
}

async fn prepare(client: &mut AgentClient<Channel>, own: u32) {
    let prepare = Prepare {
        run_id: RUN.to_owned(),
        key: RunKey([7; 32]),
        own: AgentIndex(own),
        agents: vec![key(0), key(1)],
    };
    client.prepare(prepare.to_wire()).await.unwrap();
}

fn plan(asked: &Asked) -> Plan {
    let probe = |index: u32| PlannedProbe {
        id: ProbeId(index),
        kind: asked.kind,
        address: Ipv4Addr::from(u32::from(asked.first) + index).into(),
        port: Port(asked.port),
        expect: asked.expect,
        flows: 1,
        tries: asked.tries,
        interval: Micros(0),
        timeout: Millis(3_500),
        dns: None,
    };
    Plan {
        pacing: Pacing {
            packets_per_second: asked.packets_per_second,
            burst: (asked.packets_per_second / 100).max(1),
            spread: Millis(asked.spread),
        },
        probes: (0..asked.count).map(probe).collect(),
    }
}

#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
async fn drive(client: &mut AgentClient<Channel>, asked: &Asked) {
    let plan = plan(asked).to_wire(RUN);
    let began = std::time::Instant::now();
    let mut replies = client.probe(plan).await.unwrap().into_inner();
    let (mut sent, mut received, mut cells) = (0, 0, 0);
    while let Some(reply) = replies.message().await.unwrap() {
        for seen in reply.observations {
            cells += 1;
            sent += seen.sent;
            received += seen.received;
            if let Some(failure) = seen.failure {
                eprintln!("{failure:?}");
            }
            if !seen.untried.is_empty() {
                eprintln!("{}", seen.untried);
            }
        }
    }
    assert_eq!(cells, asked.count);
    println!(
        "{received} {} {:.6}",
        sent - received,
        began.elapsed().as_secs_f64()
    );
}

async fn times(client: &mut AgentClient<Channel>, asked: &Asked) {
    let mut replies = client.probe(plan(asked).to_wire(RUN)).await.unwrap().into_inner();
    while let Some(reply) = replies.message().await.unwrap() {
        for seen in reply.observations {
            let address = Ipv4Addr::from(u32::from(asked.first) + seen.id);
            if let Some(rtt) = seen.rtt {
                println!("{address} {}", rtt.min_us);
            }
        }
    }
}
