//! What tests on real packets stand on: a network namespace of their own with a runtime in it, a run, and its agents.

use std::net::{IpAddr, SocketAddr};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mesh_net::NetNamespace;
use mesh_proto::wire::{Prepare, RunKey};
use mesh_proto::{
    AgentIdentity, AgentIndex, AgentKey, BootId, Expect, Micros, Millis, Plane, PlannedProbe, Port, ProbeId,
    ProbeKind,
};
use tokio::time::Instant;

use crate::echo_packet::MacKey;
use crate::moment::Clock;
use crate::responder::Responder;
use crate::runs::Runs;

/// Time that is never used up, unless a test has failed.
pub(crate) const LONG: Duration = Duration::from_secs(30);
/// Time that is always used up: what is waited for never comes.
pub(crate) const SHORT: Duration = Duration::from_millis(300);

/// The port that the agents of a test answer on. Each test has a network of its own.
pub(crate) const RESPONDER: u16 = 9_441;

/// Runs a test in a network namespace of its own, whose loopback is up, after the given commands.
pub(crate) fn in_own_network(commands: &[&str], test: impl AsyncFnOnce() + Send) {
    let namespace = NetNamespace::create().unwrap();
    namespace
        .run(|| {
            for line in ["ip link set lo up"].iter().chain(commands) {
                command(line);
            }
            // A kernel that is busy takes its time, also with addresses that it need not look for elsewhere.
            while !said("ip -6 -oneline address show tentative").is_empty() {}
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            let in_time = runtime.block_on(async { tokio::time::timeout(LONG * 4, test()).await });
            in_time.expect("it waits for what never comes");
        })
        .unwrap();
}

/// Runs a command where the calling thread stands.
pub(crate) fn command(line: &str) {
    said(line);
}

/// What a command prints.
fn said(line: &str) -> String {
    let mut words = line.split_whitespace();
    let output = Command::new(words.next().unwrap()).args(words).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Commands for a firewall on what comes in.
pub(crate) const WALL: [&str; 2] = [
    "nft add table inet wall",
    "nft add chain inet wall in { type filter hook input priority 0 ; }",
];

/// A test behind a firewall rule on what comes in.
pub(crate) fn behind(rule: &str, test: impl AsyncFnOnce() + Send) {
    let rule = format!("nft add rule inet wall in {rule}");
    in_own_network(&[WALL[0], WALL[1], &rule], test);
}

pub(crate) fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A TCP port on loopback that is taken, so that nobody comes to listen there, and closed.
pub(crate) fn closed_port() -> (tokio::net::TcpSocket, SocketAddr) {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(at("127.0.0.1:0")).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// The instant after so much time.
pub(crate) fn after(clock: Clock, span: Duration) -> Instant {
    clock.instant(clock.now() + span)
}

pub(crate) fn agent(node: &str) -> AgentKey {
    AgentKey {
        node: node.parse().unwrap(),
        plane: Plane::Pod,
    }
}

pub(crate) const RUN_KEY: RunKey = RunKey([7; 32]);

pub(crate) fn mac_key() -> MacKey {
    MacKey::new(&RUN_KEY)
}

/// Opens the run "r" of the agents a and b, as agent `own`.
pub(crate) fn prepare(own: u32) -> Prepare {
    Prepare {
        run_id: "r".to_owned(),
        key: RUN_KEY,
        own: AgentIndex(own),
        agents: vec![agent("a"), agent("b")],
    }
}

/// Agent b's identity in tests that have no whole agent.
pub(crate) fn identity_of_b() -> AgentIdentity {
    AgentIdentity {
        key: agent("b"),
        boot_id: BootId([0xb; 16]),
    }
}

/// Answers as agent b, for the rest of the test; all addresses of the place unless one is given.
pub(crate) fn answer_as_b(address: Option<IpAddr>, clock: Clock) -> Arc<Mutex<Runs>> {
    let runs = Arc::new(Mutex::new(Runs::default()));
    runs.lock().unwrap().open(prepare(1), clock.now());
    let responder = Responder::bind(address, RESPONDER).unwrap();
    responder.start(&identity_of_b(), &runs, clock);
    runs
}

/// A probe of one flow and one try with all the time it wants.
pub(crate) fn probe(kind: ProbeKind, to: SocketAddr, expect: Expect) -> PlannedProbe {
    PlannedProbe {
        id: ProbeId(1),
        kind,
        address: to.ip(),
        port: Port(to.port()),
        expect,
        flows: 1,
        tries: 1,
        interval: Micros(1_000),
        timeout: Millis(u32::try_from(LONG.as_millis()).unwrap()),
        dns: None,
    }
}
