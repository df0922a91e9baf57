//! The agent's side of the link: each call, from message to vocabulary and back.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mesh_net::IcmpSocket;
use mesh_proto::wire::{Inquire, Prepare, Prepared, WireError, v1};
use mesh_proto::{AgentIdentity, Answer, IcmpMode, Observation, Plan, Port, Starvation, check_protocol};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::facts::host_facts;
use crate::inquire::{self, inquire};
use crate::pacer::tick;
use crate::plan_bounds::check_probe;
use crate::resolve::nameservers;
use crate::rpc::agent_server::Agent;
use crate::run_plan::{Means, run_plan};
use crate::runs::{Run, Runs};
use crate::way::Sending;

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
/// Observations in one message.
const BATCH: usize = 256;
/// And how long the first of them waits for the others, at least and at most: of a round that is spread over long nobody
/// waits for each.
const BATCH_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// Messages on their way to a coordinator that reads slowly; then the plan waits.
const MESSAGES: usize = 16;

type Replies<Reply> = Pin<Box<dyn tokio_stream::Stream<Item = Result<Reply, Status>> + Send>>;

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

    type ProbeStream = Replies<v1::ProbeReply>;

    async fn probe(&self, request: Request<v1::ProbeRequest>) -> Result<Response<Self::ProbeStream>, Status> {
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
            let work = stream_plan(plan, run.clone(), means, &replies);
            until_stopped(&run, &replies, work).await;
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }

    type InquireStream = Replies<v1::InquireReply>;

    async fn inquire(
        &self,
        request: Request<v1::InquireRequest>,
    ) -> Result<Response<Self::InquireStream>, Status> {
        let asked = Inquire::from_wire(&request.into_inner()).map_err(|error| malformed(&error))?;
        let run = self.run(&asked.run_id)?;
        inquire::check(&asked, run.agents.len())
            .map_err(|refused| Status::invalid_argument(refused.to_string()))?;
        tracing::debug!(run = %asked.run_id, inquiries = asked.inquiries.len(), "looking closer");
        let (replies, stream) = mpsc::channel(MESSAGES);
        let (means, responder_port) = (self.means.clone(), self.responder_port);
        tokio::spawn(async move {
            let (out, answers) = mpsc::channel(MESSAGES);
            let work = async {
                let work = inquire(asked, run.clone(), means, responder_port, out);
                tokio::join!(work, stream_answers(answers, &replies));
            };
            until_stopped(&run, &replies, work).await;
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }

    async fn facts(&self, _: Request<v1::FactsRequest>) -> Result<Response<v1::FactsReply>, Status> {
        // Reading them takes longer than probes may wait.
        let facts = tokio::task::spawn_blocking(|| host_facts().to_wire()).await;
        facts
            .map(Response::new)
            .map_err(|error| Status::internal(error.to_string()))
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
        check_probe(probe, agents).map_err(|error| Status::invalid_argument(error.to_string()))?;
    }
    Ok(())
}

/// Works until it is done, the run is stopped, or nobody reads any more.
async fn until_stopped<Reply>(
    run: &Run,
    replies: &mpsc::Sender<Result<Reply, Status>>,
    work: impl Future<Output = ()>,
) {
    tokio::select! {
        () = run.stopped() => {
            // A coordinator that does not read does not miss it either.
            let _ = replies.try_send(Err(Status::aborted("the run was stopped")));
        }
        () = replies.closed() => tracing::debug!("the coordinator is gone, its work is dropped"),
        () = work => {}
    }
}

/// Sends answers as they come.
async fn stream_answers(
    mut answers: mpsc::Receiver<Answer>,
    replies: &mpsc::Sender<Result<v1::InquireReply, Status>>,
) {
    while let Some(answer) = answers.recv().await {
        let answers = vec![answer.to_wire()];
        if replies.send(Ok(v1::InquireReply { answers })).await.is_err() {
            return;
        }
    }
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
    let spread = Duration::from_millis(plan.pacing.spread.0.into());
    let wait = (spread / 30)
        .clamp(BATCH_WAIT, LONGEST_WAIT)
        .max(tick(plan.pacing) * 2);
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
    let (summary, ()) = tokio::join!(run_plan(plan, run, means, Sending::default(), out), send);
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
            let room = BATCH - batch.len();
            if seen.recv_many(&mut batch, room).await == 0 {
                break;
            }
        }
    };
    // The end of the wait is not an error: the batch is then what it is.
    let _ = tokio::time::timeout(wait, more).await;
    Some(batch)
}
