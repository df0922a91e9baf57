//! One agent and 1,000 peers: its resident memory at rest and in a round, and its CPU over a round of 30 s.
//!
//! The agent is a process of its own, the binary that MESH_BIN names. Its peers stand in this process, each on an address
//! of 127.0.0.0/8, and this process is their coordinator. All packets are real.

#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use mesh_probe::rpc::agent_client::AgentClient;
use mesh_probe::{AgentConfig, ListenAddress, run_agent};
use mesh_proto::wire::{Prepare, RunKey};
use mesh_proto::{
    AgentIndex, AgentKey, Expect, Micros, Millis, Pacing, Plan, Plane, PlannedProbe, Port, ProbeId, ProbeKind,
};
use tonic::transport::{Channel, Endpoint};

const PEERS: u32 = 1_000;
const PORT: Port = Port(19_441);
const ROUND: Millis = Millis(30_000);
const RUN: &str = "bench";
const MEMORY_BOUND_MIB: f64 = 10.0;
const CPU_BOUND_PERCENT: f64 = 1.0;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let folder = tempfile::tempdir().unwrap();
    let agent = Agent::start(&folder.path().join("agent"));
    let mut client = agent.dial().await;
    let rest = agent.memory_mib("VmRSS");
    let keys: Vec<AgentKey> = (0..=PEERS).map(key).collect();
    for index in 1..=PEERS {
        let socket = folder.path().join(index.to_string());
        tokio::spawn(run_agent(
            peer(index, socket.clone()),
            || {},
            std::future::pending(),
        ));
        // It listens when it was polled once.
        tokio::task::yield_now().await;
        prepare(&mut dial(&socket).await, index, &keys).await;
    }
    prepare(&mut client, 0, &keys).await;

    let before = agent.cpu_seconds();
    let mut replies = client.probe(plan().to_wire(RUN)).await.unwrap().into_inner();
    let (mut seen, mut whole) = (0, 0);
    while let Some(reply) = replies.message().await.unwrap() {
        seen += reply.observations.len();
        whole += reply
            .observations
            .iter()
            .filter(|cell| cell.received > 0 && cell.failure.is_none())
            .count();
    }
    let cpu = (agent.cpu_seconds() - before) / (f64::from(ROUND.0) / 1_000.0) * 100.0;
    assert_eq!(
        (seen, whole),
        (plan().probes.len(), seen),
        "figures of a broken round mean nothing"
    );

    show("an agent at rest: resident memory", rest, MEMORY_BOUND_MIB, "MiB");
    show(
        "after a round with 1,000 peers: largest resident memory",
        agent.memory_mib("VmHWM"),
        MEMORY_BOUND_MIB,
        "MiB",
    );
    show(
        &format!("a round of 30 s, {seen} cells: CPU of one core"),
        cpu,
        CPU_BOUND_PERCENT,
        "%",
    );
}

fn show(what: &str, figure: f64, bound: f64, unit: &str) {
    println!(
        "{what:<66} {figure:8.2} {unit:<4} bound {bound:>6} {unit:<4} ratio {:.2}",
        figure / bound
    );
}

fn key(index: u32) -> AgentKey {
    AgentKey {
        node: format!("node-{index}").parse().unwrap(),
        plane: Plane::Host,
    }
}

/// 127.0.0.1 is the agent.
fn address(index: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::LOCALHOST) + (index << 8))
}

fn peer(index: u32, socket: PathBuf) -> AgentConfig {
    AgentConfig {
        key: key(index),
        listen: ListenAddress::Unix(socket),
        responder_port: PORT,
        responder_address: Some(IpAddr::V4(address(index))),
        tls: None,
        api_ca: None,
        resolv_conf: "/etc/resolv.conf".into(),
    }
}

async fn dial(socket: &Path) -> AgentClient<Channel> {
    let endpoint = Endpoint::from_shared(format!("unix:{}", socket.display())).unwrap();
    AgentClient::new(endpoint.connect().await.unwrap())
}

async fn prepare(client: &mut AgentClient<Channel>, own: u32, agents: &[AgentKey]) {
    let prepare = Prepare {
        run_id: RUN.to_owned(),
        key: RunKey([7; 32]),
        own: AgentIndex(own),
        agents: agents.to_vec(),
    };
    client.prepare(prepare.to_wire()).await.unwrap();
}

/// Every peer by ICMP, TCP, UDP and path MTU, as a round of continuous checking does: one flow each, three tries.
fn plan() -> Plan {
    let kinds = [
        ProbeKind::Icmp,
        ProbeKind::Tcp,
        ProbeKind::Udp,
        ProbeKind::PathMtu,
    ];
    let probe = |(id, (index, kind)): (u32, (u32, ProbeKind))| PlannedProbe {
        id: ProbeId(id),
        kind,
        address: address(index).into(),
        port: if kind == ProbeKind::Icmp { Port(0) } else { PORT },
        expect: Expect::Agent(AgentIndex(index)),
        flows: 1,
        tries: match kind {
            ProbeKind::Tcp => 1,
            ProbeKind::PathMtu => 2,
            _ => 3,
        },
        interval: Micros(40_000),
        timeout: Millis(3_500),
        dns: None,
    };
    let cells = (1..=PEERS).flat_map(|index| kinds.map(|kind| (index, kind)));
    Plan {
        pacing: Pacing {
            packets_per_second: 4_000,
            burst: 32,
            spread: ROUND,
        },
        probes: (0..).zip(cells).map(probe).collect(),
    }
}

struct Agent {
    child: Child,
    socket: PathBuf,
}

impl Agent {
    fn start(socket: &Path) -> Self {
        let binary = std::env::var_os("MESH_BIN").expect("MESH_BIN names the binary: make bench");
        let mut child = Command::new(binary)
            .args([
                "probe",
                "--node",
                "node-0",
                "--plane",
                "host",
                "--responder-address",
                "127.0.0.1",
            ])
            .args(["--responder-port", &PORT.to_string(), "--listen"])
            .arg(format!("unix:{}", socket.display()))
            .arg("--die-with-parent")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        BufReader::new(child.stderr.as_mut().unwrap())
            .read_line(&mut said)
            .unwrap();
        assert!(said.starts_with("ready"), "{said}");
        Self {
            child,
            socket: socket.to_owned(),
        }
    }

    async fn dial(&self) -> AgentClient<Channel> {
        dial(&self.socket).await
    }

    fn memory_mib(&self, field: &str) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))
            .unwrap();
        line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1_024.0
    }

    /// User and system time (proc(5), /proc/PID/stat fields 14 and 15, in hundredths of a second).
    fn cpu_seconds(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
