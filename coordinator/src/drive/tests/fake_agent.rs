//! An agent that sends no packet: it answers as its manner tells it to.

use std::convert::Infallible;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use futures_util::{Stream, StreamExt};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use mesh_probe::rpc::agent_server::{Agent, AgentServer};
use mesh_proto::wire::{Prepared, v1};
use mesh_proto::{AgentIdentity, AgentKey, BootId, IcmpMode, PROTOCOL, Port};
use tokio::io::AsyncWriteExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codegen::http;
use tonic::{Request, Response, Status};

/// How it behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    Honest,
    // Before the plan.
    NobodyListens,
    Refuses,
    AcceptsAndCloses,
    AcceptsAndIsSilent,
    SpeaksHttp1,
    OtherService,
    HangsInPrepare,
    OtherVersion,
    RefusesOurVersion,
    SomebodyElse,
    GarbageInPrepare,
    // In the middle of it, after two observations.
    RefusesPlan,
    HangsInProbe,
    EndsEarly,
    SumsUpEarly,
    BreaksOff,
    LinkBreaks,
    Dies,
    GarbageInProbe,
    ObservesTheUnasked,
    ObservesTwice,
    CountsTooHigh,
    /// Nothing comes through, and what it is asked then it answers.
    Unheard,
    // In the second look, after nothing came through and the first answer.
    RefusesToLook,
    HangsInLook,
    BreaksOffLook,
    AnswersTheUnasked,
    // After it.
    GarbageSummary,
    GoesOnForever,
    HangsInStop,
}

#[derive(Debug)]
struct State {
    key: AgentKey,
    manner: Manner,
    keys: Mutex<Vec<Vec<u8>>>,
    stopped: Mutex<Vec<String>>,
    looked: Mutex<Vec<v1::InquireRequest>>,
    facts: Mutex<u32>,
    die: watch::Sender<bool>,
    /// How often its connections were cut.
    cuts: watch::Sender<usize>,
}

/// A handle to it. Its tasks end with the test's runtime.
#[derive(Debug)]
pub(super) struct FakeAgent {
    state: Arc<State>,
}

impl FakeAgent {
    pub(super) fn start(socket: &Path, key: AgentKey, manner: Manner) -> Self {
        let state = Arc::new(State {
            key,
            manner,
            keys: Mutex::default(),
            stopped: Mutex::default(),
            looked: Mutex::default(),
            facts: Mutex::default(),
            die: watch::Sender::new(false),
            cuts: watch::Sender::new(0),
        });
        if manner == Manner::Refuses {
            // The file stays, the listener goes.
            drop(std::os::unix::net::UnixListener::bind(socket).unwrap());
        } else if manner != Manner::NobodyListens {
            let listener = UnixListener::bind(socket).unwrap();
            tokio::spawn(serve(listener, Arc::clone(&state)));
        }
        Self { state }
    }

    /// Runs that it was told to end.
    pub(super) fn stopped(&self) -> Vec<String> {
        self.state.stopped.lock().unwrap().clone()
    }

    /// What it was asked in second looks.
    pub(super) fn looked(&self) -> Vec<v1::InquireRequest> {
        self.state.looked.lock().unwrap().clone()
    }

    /// How often it was asked for facts.
    pub(super) fn facts(&self) -> u32 {
        *self.state.facts.lock().unwrap()
    }

    /// Keys that it was given.
    pub(super) fn keys(&self) -> Vec<Vec<u8>> {
        self.state.keys.lock().unwrap().clone()
    }
}

async fn serve(listener: UnixListener, state: Arc<State>) {
    match state.manner {
        Manner::AcceptsAndCloses => {
            while let Ok((stream, _)) = listener.accept().await {
                drop(stream);
            }
        }
        Manner::AcceptsAndIsSilent => {
            let mut open = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                open.push(stream);
            }
        }
        Manner::SpeaksHttp1 => {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n\x1b[2J").await;
            }
        }
        Manner::OtherService => {
            let foreign = tower::service_fn(|_: http::Request<_>| async {
                Ok::<_, Infallible>(Status::unimplemented("").into_http::<tonic::body::Body>())
            });
            let serve = |stream| async move {
                // The other side may break off as it likes.
                let _ = http2()
                    .serve_connection(stream, TowerToHyperService::new(foreign))
                    .await;
            };
            accept(listener, state.cuts.subscribe(), serve).await;
        }
        _ => {
            let (mut die, cuts) = (state.die.subscribe(), state.cuts.subscribe());
            let agent = AgentServer::new(Served(state));
            let serve = accept(listener, cuts, move |stream| {
                let agent = agent.clone();
                async move {
                    let _ = http2()
                        .serve_connection(stream, TowerToHyperService::new(agent))
                        .await;
                }
            });
            tokio::select! {
                () = serve => {}
                _ = die.wait_for(|die| *die) => {}
            }
        }
    }
}

fn http2() -> auto::Builder<TokioExecutor> {
    auto::Builder::new(TokioExecutor::new()).http2_only()
}

/// Serves connections until it is dropped, and they with it; each cut ends those that are there.
async fn accept<F>(
    listener: UnixListener,
    mut cuts: watch::Receiver<usize>,
    serve: impl Fn(TokioIo<UnixStream>) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => { connections.spawn(serve(TokioIo::new(stream))); }
                Err(_) => break,
            },
            Ok(()) = cuts.changed() => connections.abort_all(),
        }
    }
}

struct Served(Arc<State>);

type Reply<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl Agent for Served {
    type ProbeStream = Pin<Box<dyn Stream<Item = Result<v1::ProbeReply, Status>> + Send>>;

    async fn prepare(&self, request: Request<v1::PrepareRequest>) -> Reply<v1::PrepareReply> {
        let request = request.into_inner();
        self.0.keys.lock().unwrap().push(request.key);
        let prepared = Prepared {
            identity: AgentIdentity {
                key: self.0.key.clone(),
                boot_id: BootId([7; 16]),
            },
            responder_port: Port(9441),
            icmp: IcmpMode::Raw,
            icmp_why: String::new(),
            nameservers: Vec::new(),
        };
        let mut reply = prepared.to_wire();
        match self.0.manner {
            Manner::HangsInPrepare => std::future::pending().await,
            Manner::OtherVersion => {
                reply = v1::PrepareReply {
                    protocol: 999,
                    version: "9.9.9".to_owned(),
                    ..Default::default()
                }
            }
            Manner::RefusesOurVersion => {
                let mismatch =
                    mesh_proto::check_protocol("the coordinator", PROTOCOL + 1, "0.0.1").unwrap_err();
                return Err(Status::failed_precondition(mismatch.to_string()));
            }
            Manner::SomebodyElse => {
                reply.node = "somebody".to_owned();
                reply.plane = v1::Plane::Pod.into();
            }
            Manner::GarbageInPrepare => reply.boot_id = vec![1, 2, 3],
            _ => {}
        }
        Ok(Response::new(reply))
    }

    async fn probe(&self, request: Request<v1::ProbeRequest>) -> Reply<Self::ProbeStream> {
        if self.0.manner == Manner::RefusesPlan {
            return Err(Status::unavailable("no plans today"));
        }
        let (tell, replies) = mpsc::channel(1);
        tokio::spawn(replay(Arc::clone(&self.0), request.into_inner(), tell));
        Ok(Response::new(ReceiverStream::new(replies).boxed()))
    }

    type InquireStream = Pin<Box<dyn Stream<Item = Result<v1::InquireReply, Status>> + Send>>;

    async fn inquire(&self, request: Request<v1::InquireRequest>) -> Reply<Self::InquireStream> {
        let request = request.into_inner();
        self.0.looked.lock().unwrap().push(request.clone());
        if self.0.manner == Manner::RefusesToLook {
            return Err(Status::unimplemented("an older agent"));
        }
        let (tell, replies) = mpsc::channel(1);
        tokio::spawn(answer(self.0.manner, request, tell));
        Ok(Response::new(ReceiverStream::new(replies).boxed()))
    }

    async fn facts(&self, _: Request<v1::FactsRequest>) -> Reply<v1::FactsReply> {
        *self.0.facts.lock().unwrap() += 1;
        Ok(Response::new(mesh_proto::HostFacts::default().to_wire()))
    }

    async fn stop(&self, request: Request<v1::StopRequest>) -> Reply<v1::StopReply> {
        if self.0.manner == Manner::HangsInStop {
            std::future::pending::<()>().await;
        }
        self.0.stopped.lock().unwrap().push(request.into_inner().run_id);
        Ok(Response::new(v1::StopReply::default()))
    }
}

impl Manner {
    fn is_heard(self) -> bool {
        !matches!(
            self,
            Self::Unheard
                | Self::RefusesToLook
                | Self::HangsInLook
                | Self::BreaksOffLook
                | Self::AnswersTheUnasked
        )
    }
}

/// Nothing could be tried, one message each; one of them before anything odd happens.
async fn answer(
    manner: Manner,
    asked: v1::InquireRequest,
    tell: mpsc::Sender<Result<v1::InquireReply, Status>>,
) {
    let untried = |id| v1::InquireReply {
        answers: vec![v1::Answer {
            id,
            seen: Some(v1::answer::Seen::Untried("tired".to_owned())),
        }],
    };
    for (place, inquiry) in asked.inquiries.iter().enumerate() {
        let odd = match manner {
            Manner::HangsInLook if place == 1 => return tell.closed().await,
            Manner::BreaksOffLook if place == 1 => Err(Status::unavailable("going home")),
            Manner::AnswersTheUnasked if place == 1 => Ok(untried(4_000_000_000)),
            _ => Ok(untried(inquiry.id)),
        };
        if tell.send(odd).await.is_err() {
            return;
        }
    }
}

/// Every probe came through (or none did), one message each; two of them before anything odd happens.
async fn replay(
    state: Arc<State>,
    plan: v1::ProbeRequest,
    tell: mpsc::Sender<Result<v1::ProbeReply, Status>>,
) {
    let timeout = v1::Failure {
        reason: v1::Reason::Timeout.into(),
        ..Default::default()
    };
    let heard = state.manner.is_heard();
    let came_through = |probe: &v1::PlannedProbe| v1::Observation {
        id: probe.id,
        sent: probe.flows * probe.tries,
        received: if heard { probe.flows * probe.tries } else { 0 },
        failure: (!heard).then(|| timeout.clone()),
        ..Default::default()
    };
    let all: Vec<_> = plan.probes.iter().map(came_through).collect();
    let one = |observation: &v1::Observation| v1::ProbeReply {
        observations: vec![observation.clone()],
        summary: None,
    };
    for observation in &all[..2] {
        let _ = tell.send(Ok(one(observation))).await;
    }
    let next = &all[2];
    let odd = match state.manner {
        Manner::HangsInProbe => return tell.closed().await,
        Manner::EndsEarly => return,
        Manner::SumsUpEarly => Ok(summed()),
        Manner::BreaksOff => Err(Status::unavailable("going home")),
        Manner::Dies => {
            // Not before the two have arrived: what is in the socket's buffer would die with the connection.
            let _ = tell.reserve().await;
            state.die.send_replace(true);
            return tell.closed().await;
        }
        Manner::LinkBreaks if *state.cuts.borrow() == 0 => {
            let _ = tell.reserve().await;
            state.cuts.send_modify(|cuts| *cuts += 1);
            return tell.closed().await;
        }
        Manner::GarbageInProbe => Ok(one(&v1::Observation {
            received: u32::MAX,
            ..next.clone()
        })),
        Manner::ObservesTheUnasked => Ok(one(&v1::Observation {
            id: 4_000_000_000,
            ..next.clone()
        })),
        Manner::ObservesTwice => Ok(one(&all[0])),
        Manner::CountsTooHigh => {
            let high = v1::Observation {
                sent: 70_000,
                received: 70_000,
                ..next.clone()
            };
            Ok(one(&high))
        }
        _ => {
            for observation in &all[2..] {
                let _ = tell.send(Ok(one(observation))).await;
            }
            let mut last = summed();
            if state.manner == Manner::GarbageSummary {
                let rtt = v1::KindRtt {
                    kind: 77,
                    ..Default::default()
                };
                last.summary = Some(v1::Summary {
                    starvation: None,
                    rtt: vec![rtt],
                });
            }
            while tell.send(Ok(last.clone())).await.is_ok() && state.manner == Manner::GoesOnForever {}
            return;
        }
    };
    let _ = tell.send(odd).await;
}

fn summed() -> v1::ProbeReply {
    v1::ProbeReply {
        observations: Vec::new(),
        summary: Some(v1::Summary::default()),
    }
}
