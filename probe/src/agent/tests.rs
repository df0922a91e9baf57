//! Whole agents, spoken to over their links as a coordinator does.

mod inquire;
mod listen;
mod run;

use mesh_proto::wire::{Prepared, v1};
use mesh_proto::{Observation, Pacing, Plan, PlannedProbe, Port, Summary};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

use super::*;
use crate::rpc::agent_client::AgentClient;
use crate::test_place::{RESPONDER, agent, prepare};

/// An agent under way.
struct Running {
    end: oneshot::Sender<()>,
    agent: JoinHandle<Result<(), AgentError>>,
}

impl Running {
    /// Tells it to end, as SIGTERM does.
    async fn end(self) -> Result<(), AgentError> {
        self.end.send(()).unwrap();
        self.agent.await.unwrap()
    }
}

/// How to be the agent of a node, on its own address, with a Unix socket.
fn config(node: &str, address: &str, socket: &Path) -> AgentConfig {
    AgentConfig {
        key: agent(node),
        listen: ListenAddress::Unix(socket.to_owned()),
        responder_port: Port(RESPONDER),
        responder_address: Some(address.parse().unwrap()),
        tls: None,
        api_ca: None,
        resolv_conf: "/nonexistent".into(),
    }
}

/// Starts an agent and waits until it is ready, or is not to be.
async fn start(config: AgentConfig) -> Result<Running, AgentError> {
    let (end, ended) = oneshot::channel();
    let (ready, is_ready) = oneshot::channel();
    let agent = tokio::spawn(run_agent(config, move || ready.send(()).unwrap(), async move {
        let _ = ended.await;
    }));
    match is_ready.await {
        Ok(()) => Ok(Running { end, agent }),
        Err(_) => Err(agent.await.unwrap().unwrap_err()),
    }
}

async fn dial(socket: &Path) -> AgentClient<Channel> {
    let endpoint = Endpoint::from_shared(format!("unix:{}", socket.display())).unwrap();
    AgentClient::new(endpoint.connect().await.unwrap())
}

/// Agents a and b, prepared for the run "r".
struct Two {
    _folder: tempfile::TempDir,
    a: AgentClient<Channel>,
    b: AgentClient<Channel>,
    b_says: Prepared,
    _running: [Running; 2],
}

const A_AT: &str = "127.0.0.2";
const B_AT: &str = "127.0.0.3";

impl Two {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let sockets = ["a", "b"].map(|name| folder.path().join(name));
        let running = [
            start(config("a", A_AT, &sockets[0])).await.unwrap(),
            start(config("b", B_AT, &sockets[1])).await.unwrap(),
        ];
        let (mut a, mut b) = (dial(&sockets[0]).await, dial(&sockets[1]).await);
        a.prepare(prepare(0).to_wire()).await.unwrap();
        let reply = b.prepare(prepare(1).to_wire()).await.unwrap().into_inner();
        Self {
            _folder: folder,
            a,
            b,
            b_says: Prepared::from_wire(&reply).unwrap(),
            _running: running,
        }
    }
}

fn plan(probes: Vec<PlannedProbe>) -> Plan {
    Plan {
        pacing: Pacing {
            packets_per_second: 1_000,
            burst: 100,
            spread: mesh_proto::Millis(0),
        },
        probes,
    }
}

/// Runs a plan of the run "r" to its end.
async fn observe(
    agent: &mut AgentClient<Channel>,
    plan: &Plan,
) -> Result<(Vec<Observation>, Summary), Status> {
    let mut stream = agent.probe(plan.to_wire("r")).await?.into_inner();
    let mut seen = Vec::new();
    while let Some(v1::ProbeReply {
        observations,
        summary,
    }) = stream.message().await?
    {
        seen.extend(observations.iter().map(|of| Observation::from_wire(of).unwrap()));
        if let Some(summary) = summary {
            assert!(stream.message().await?.is_none(), "the summary comes last");
            return Ok((seen, Summary::from_wire(&summary).unwrap()));
        }
    }
    panic!("the stream ended without a summary");
}
