//! The agent's side of the link: each call, from message to vocabulary and back.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mesh_net::IcmpSocket;
use mesh_proto::wire::{Prepare, Prepared, WireError, v1};
use mesh_proto::{AgentIdentity, Expect, IcmpMode, Observation, Plan, Port, Starvation, check_protocol};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::facts::facts;
use crate::pacer::tick;
use crate::resolve::nameservers;
use crate::rpc::agent_server::Agent;
use crate::run_plan::{Means, run_plan};
use crate::runs::{Run, Runs};

/// Answers the coordinator.
#[derive(Debug)]
pub(crate) struct Service {
    identity: AgentIdentity,
    responder_port: Port,
    runs: Arc<Mutex<Runs>>,
    means: Means,
}

/// What a coordinator may ask for at once; a larger plan is a mistake, or worse.
const MOST_PROBES: usize = 1_000_000;
/// A hash over ports has shown all its paths long before; each UDP flow is a socket that is kept.
const MOST_FLOWS: u16 = 512;
/// Of all flows of a probe; a flow that loses is tried up to three times as often.
const MOST_TRIES: u32 = 3_000;
/// Observations in one message.
const BATCH: usize = 256;
/// And how long the first of them waits for the others.
const BATCH_WAIT: Duration = Duration::from_millis(50);
/// Messages on their way to a coordinator that reads slowly; then the plan waits.
const MESSAGES: usize = 16;

type Replies = Pin<Box<dyn tokio_stream::Stream<Item = Result<v1::ProbeReply, Status>> + Send>>;

impl Service {
    pub(crate) fn new(
        identity: AgentIdentity,
        responder_port: Port,
        runs: Arc<Mutex<Runs>>,
        means: Means,
    ) -> Self {
        Self {
            identity,
            responder_port,
            runs,
            means,
        }
    }

    fn run(&self, id: &str) -> Result<Run, Status> {
        let now = self.means.clock.now();
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        runs.get(id, now).ok_or_else(|| {
            Status::not_found("the agent does not know this run: it was restarted, or has eight newer ones")
        })
    }

    fn prepared(&self) -> Prepared {
        let (icmp, icmp_why) = icmp_mode();
        Prepared {
            identity: self.identity.clone(),
            responder_port: self.responder_port,
            icmp,
            icmp_why,
            nameservers: nameservers(&self.means.resolv_conf),
        }
    }
}

/// How this process may send ICMP echo: found by trying.
fn icmp_mode() -> (IcmpMode, String) {
    match IcmpSocket::open(false) {
        Ok(socket) => match socket.access() {
            mesh_net::IcmpAccess::Raw => (IcmpMode::Raw, String::new()),
            mesh_net::IcmpAccess::Ping => (IcmpMode::Ping, String::new()),
        },
        Err(error) => (IcmpMode::None, error.to_string()),
    }
}

#[tonic::async_trait]
impl Agent for Service {
    async fn prepare(
        &self,
        request: Request<v1::PrepareRequest>,
    ) -> Result<Response<v1::PrepareReply>, Status> {
        let message = request.into_inner();
        check_protocol("the coordinator", message.protocol, &message.version)
            .map_err(|error| Status::failed_precondition(error.to_string()))?;
        let prepare = Prepare::from_wire(&message).map_err(|error| malformed(&error))?;
        tracing::debug!(run = %prepare.run_id, agents = prepare.agents.len(), "prepared");
        let now = self.means.clock.now();
        self.runs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .open(prepare, now);
        Ok(Response::new(self.prepared().to_wire()))
    }

    type ProbeStream = Replies;

    async fn probe(&self, request: Request<v1::ProbeRequest>) -> Result<Response<Replies>, Status> {
        let message = request.into_inner();
        if message.probes.len() > MOST_PROBES {
            let wanted = message.probes.len();
            return Err(Status::invalid_argument(format!(
                "{wanted} probes are more than {MOST_PROBES}"
            )));
        }
        let plan = Plan::from_wire(&message).map_err(|error| malformed(&error))?;
        let run = self.run(&message.run_id)?;
        check(&plan, run.agents.len())?;
        tracing::debug!(run = %message.run_id, probes = plan.probes.len(), "probing");
        let (replies, stream) = mpsc::channel(MESSAGES);
        let means = self.means.clone();
        tokio::spawn(async move {
            let stopped = run.clone();
            tokio::select! {
                () = stopped.stopped() => {
                    // A coordinator that does not read does not miss it either.
                    let _ = replies.try_send(Err(Status::aborted("the run was stopped")));
                }
                () = replies.closed() => tracing::debug!("the coordinator is gone, the plan is dropped"),
                () = stream_plan(plan, run, means, &replies) => {}
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }

    async fn facts(&self, _: Request<v1::FactsRequest>) -> Result<Response<v1::FactsReply>, Status> {
        Ok(Response::new(facts().to_wire()))
    }

    async fn stop(&self, request: Request<v1::StopRequest>) -> Result<Response<v1::StopReply>, Status> {
        let message = request.into_inner();
        let tallies = self
            .runs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .close(&message.run_id);
        let tallies = tallies.ok_or_else(|| Status::not_found("the agent does not know this run"))?;
        Ok(Response::new(v1::StopReply {
            received: tallies.into_iter().map(mesh_proto::Tally::to_wire).collect(),
            starvation: Some(Starvation::default().to_wire()),
        }))
    }
}

/// Refuses what no coordinator of ours plans, before it costs memory or sockets.
fn check(plan: &Plan, agents: usize) -> Result<(), Status> {
    for probe in &plan.probes {
        let tries = u32::from(probe.flows) * u32::from(probe.tries);
        if probe.flows > MOST_FLOWS || tries > MOST_TRIES {
            return Err(Status::invalid_argument(format!(
                "{} flows and {tries} tries of one probe are more than {MOST_FLOWS} and {MOST_TRIES}",
                probe.flows
            )));
        }
        if let Expect::Agent(index) = probe.expect
            && usize::try_from(index.0).map_or(true, |index| index >= agents)
        {
            return Err(Status::invalid_argument(format!(
                "agent {} is not one of the run's {agents}",
                index.0
            )));
        }
    }
    Ok(())
}

fn malformed(error: &WireError) -> Status {
    Status::invalid_argument(error.to_string())
}

/// Runs a plan and sends what it sees in batches, the summary last.
async fn stream_plan(
    plan: Plan,
    run: Run,
    means: Means,
    replies: &mpsc::Sender<Result<v1::ProbeReply, Status>>,
) {
    let (out, mut seen) = mpsc::channel(BATCH);
    let wait = BATCH_WAIT.max(tick(plan.pacing) * 2);
    let send = async {
        while let Some(batch) = next_batch(&mut seen, wait).await {
            let observations = batch.iter().map(Observation::to_wire).collect();
            if replies
                .send(Ok(v1::ProbeReply {
                    observations,
                    summary: None,
                }))
                .await
                .is_err()
            {
                return;
            }
        }
    };
    let (summary, ()) = tokio::join!(run_plan(plan, run, means, out), send);
    let last = v1::ProbeReply {
        observations: Vec::new(),
        summary: Some(summary.to_wire()),
    };
    // If the coordinator is gone, nobody misses it.
    let _ = replies.send(Ok(last)).await;
}

/// What comes within a moment of the first; `None` at the end.
async fn next_batch(seen: &mut mpsc::Receiver<Observation>, wait: Duration) -> Option<Vec<Observation>> {
    let mut batch = vec![seen.recv().await?];
    let more = async {
        while batch.len() < BATCH {
            match seen.recv().await {
                Some(observation) => batch.push(observation),
                None => break,
            }
        }
    };
    // The end of the wait is not an error: the batch is then what it is.
    let _ = tokio::time::timeout(wait, more).await;
    Some(batch)
}
