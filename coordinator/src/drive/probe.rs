//! All agents probe at once; what they observe goes into the matrix as it comes.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use mesh_core::{FreshServices, Matrix};
use mesh_proto::{AgentIndex, Observation, Summary};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

use super::cut::{Cut, RunClock};
use super::trust::{Asked, Breach};
use super::work::Work;
use super::{Progress, RunSecret, bound, numbered};
use crate::link::{Link, LinkMeans, Observations, RpcError, is_broken_link, status_words};

/// Messages that may wait for the matrix. Beyond it the tasks wait, their streams fill, and HTTP/2 holds the agents
/// back: nothing is dropped.
const WAITING: usize = 256;

/// How long an agent may take to accept its plan; a link that is opened anew on the way counts as well.
const PLAN_PATIENCE: Duration = Duration::from_secs(25);

/// What the task of an agent tells.
#[derive(Debug)]
enum Told {
    Observed(Vec<Observation>),
    Summed(Summary),
    /// The last word: how its stream ended.
    Ended(Result<(), Lost>),
}

/// Why no more comes from an agent.
#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error("the agent was lost: {0}")]
    Rpc(#[from] RpcError),
    #[error("the agent was lost in the middle of its plan: {why}")]
    Broken { why: String, link: bool },
    #[error("the agent ended in the middle of its plan")]
    EndedEarly,
    #[error("the agent hangs: its plan was not done within {0:?}")]
    Hung(Duration),
    #[error(transparent)]
    Breach(#[from] Breach),
}

impl Lost {
    fn broken(status: &tonic::Status) -> Self {
        Self::Broken {
            why: status_words(status),
            link: is_broken_link(status),
        }
    }

    /// Whether the link broke, which says nothing of the agent.
    fn is_broken_link(&self) -> bool {
        match self {
            Self::Rpc(error) => error.is_broken_link(),
            Self::Broken { link, .. } => *link,
            _ => false,
        }
    }
}

/// A link that breaks more often is none.
const MOST_BREAKS: usize = 2;

/// Before each further look at what was made for the run.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(150);
/// kube-proxy and its like write rules at once, or after the second that they keep between two writes. What is ill so long
/// after it was first asked stays so.
const RULES_ARE_WRITTEN: Duration = Duration::from_secs(4);
/// Where it looks as if they were late: kube-proxy's `minSyncPeriod` is often set to ten seconds.
const RULES_SEEM_LATE: Duration = Duration::from_secs(12);
/// Where the API server was away meanwhile: its clients come back one by one, at growing distances.
const RULES_ARE_WRITTEN_LATE: Duration = Duration::from_secs(30);

/// Runs every agent's plan, as far as time allows; then looks again at services that were made for the run, until their rules
/// are written. What they still need is one last look.
#[expect(
    clippy::disallowed_methods,
    reason = "what the driver waits for is rules that take time"
)]
pub(super) async fn probe_all(
    matrix: &mut Matrix,
    links: &[Option<Link>],
    means: &LinkMeans,
    secret: &RunSecret,
    clock: &mut RunClock,
    progress: &Progress,
) -> FreshServices {
    let began = Instant::now();
    let work = Work::of_round(matrix);
    run_plans(matrix, links, &work, secret, clock, progress).await;
    let rules_within = |matrix: &Matrix| match &means.kube {
        Some(kube) if kube.was_away() => RULES_ARE_WRITTEN_LATE,
        _ if matrix.rules_seem_late() => RULES_SEEM_LATE,
        _ => RULES_ARE_WRITTEN,
    };
    let mut fresh = FreshServices::default();
    let mut wait = Duration::ZERO;
    while clock.was_cut().is_none() && began.elapsed() < rules_within(matrix) {
        let Some(again) = fresh.at_ill(matrix) else { break };
        tracing::info!(
            cells = again.cells(),
            "looking again at services that were made for this run"
        );
        tokio::select! {
            _ = clock.cut() => {}
            () = tokio::time::sleep(wait) => {}
        }
        wait = LOOK_AGAIN_AFTER;
        let work = Work::again(matrix, again);
        run_plans(matrix, links, &work, secret, clock, progress).await;
    }
    fresh
}

/// What a cut left unasked is unknown for that reason, at agents that stand all the same.
pub(super) fn leave_all(matrix: &mut Matrix, links: &[Option<Link>], cut: Cut) {
    let standing: Vec<_> = numbered(links)
        .map(|(index, _)| index)
        .filter(|index| matrix.stands(*index))
        .collect();
    for index in standing {
        matrix.not_asked(index, cut.words());
    }
}

/// Runs one plan for each agent that has something to do.
pub(super) async fn run_plans(
    matrix: &mut Matrix,
    links: &[Option<Link>],
    work: &Work,
    secret: &RunSecret,
    clock: &mut RunClock,
    progress: &Progress,
) {
    let (tell, mut told) = mpsc::channel(WAITING);
    let mut tasks = JoinSet::new();
    let mut agents: Vec<Probing> = Vec::with_capacity(links.len());
    let room = Arc::new(Semaphore::new(PROBES_IN_HAND as usize));
    for (index, link) in numbered(links) {
        let link = link.clone().filter(|_| work.is_for(index));
        let probing = link.map(|link| {
            let asked = Asked::of(work.clone(), index);
            let left = asked.count();
            let room = Arc::clone(&room);
            let task = observe(index, link, asked, secret.id.clone(), room, tell.clone());
            Probing {
                left,
                task: Some(tasks.spawn(task)),
            }
        });
        agents.push(probing.unwrap_or_default());
    }
    drop(tell);

    let (mut observed, all) = matrix.progress();
    progress.probing(observed, all);
    loop {
        let (index, told) = tokio::select! {
            biased;
            _ = clock.cut() => break,
            told = told.recv() => match told {
                Some(told) => told,
                None => break,
            },
        };
        let Some(agent) = usize::try_from(index.0)
            .ok()
            .and_then(|slot| agents.get_mut(slot))
        else {
            continue;
        };
        if let Err(lost) = take(matrix, index, agent, told) {
            agent.end();
            matrix.lost(index, lost.to_string());
        }
        (observed, _) = matrix.progress();
        progress.probing(observed, all);
    }
}

/// An agent at work.
#[derive(Debug, Default)]
struct Probing {
    /// Probes of its plan that it has not observed.
    left: usize,
    /// `None` once nothing more is wanted of it.
    task: Option<AbortHandle>,
}

impl Probing {
    fn end(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

fn take(matrix: &mut Matrix, index: AgentIndex, agent: &mut Probing, told: Told) -> Result<(), Lost> {
    if agent.task.is_none() {
        // Told before its task was ended.
        return Ok(());
    }
    match told {
        Told::Observed(observations) => {
            for observation in observations {
                matrix.take(index, observation).map_err(Breach::from)?;
                agent.left = agent.left.saturating_sub(1);
            }
            Ok(())
        }
        Told::Summed(summary) => {
            matrix.summary(index, summary);
            Ok(())
        }
        Told::Ended(Ok(())) if agent.left > 0 => Err(Lost::EndedEarly),
        Told::Ended(Ok(())) => {
            agent.end();
            Ok(())
        }
        Told::Ended(Err(lost)) => Err(lost),
    }
}

/// The task of one agent: owns its stream, tells what comes, and how it ended.
async fn observe(
    index: AgentIndex,
    link: Link,
    mut asked: Asked,
    run_id: String,
    room: Arc<Semaphore>,
    tell: mpsc::Sender<(AgentIndex, Told)>,
) {
    let ended = to_the_end(index, &link, &mut asked, &run_id, &room, &tell).await;
    // A closed channel means that nobody wants to know any more.
    let _ = tell.send((index, Told::Ended(ended))).await;
}

/// A link that breaks says nothing of its agent: what is left of the plan is asked for again, over a new one.
async fn to_the_end(
    index: AgentIndex,
    link: &Link,
    asked: &mut Asked,
    run_id: &str,
    room: &Semaphore,
    tell: &mpsc::Sender<(AgentIndex, Told)>,
) -> Result<(), Lost> {
    let mut first_break = None;
    for _ in 0..=MOST_BREAKS {
        let ended = match begin(link, asked, run_id, room).await {
            Ok((stream, longest)) => {
                let stream = follow(index, stream, asked, tell);
                let ended = tokio::time::timeout(longest, stream).await;
                ended.unwrap_or(Err(Lost::Hung(longest)))
            }
            Err(lost) => Err(lost),
        };
        let lost = match ended {
            Err(lost) if lost.is_broken_link() => lost,
            ended => return ended,
        };
        let left = asked.count().saturating_sub(asked.seen());
        if left == 0 {
            return Ok(());
        }
        tracing::info!(%lost, left, "the rest is asked for over a new link");
        // What broke first says most.
        first_break = first_break.or(Some(lost));
    }
    first_break.map_or(Ok(()), Err)
}

/// Probes of plans that are being handed out: some 300 bytes each, with what is on its way to the agent. All agents of a hundred
/// nodes have theirs at once.
const PROBES_IN_HAND: u32 = 1 << 18;

/// So long an agent that does not take its plan keeps others from having theirs.
const IN_HAND: Duration = Duration::from_secs(1);

/// Hands over what is left of a plan; what comes back, and how long that may take.
async fn begin(
    link: &Link,
    asked: &Asked,
    run_id: &str,
    room: &Semaphore,
) -> Result<(Observations, Duration), Lost> {
    let weight = u32::try_from(asked.count()).map_or(PROBES_IN_HAND, |count| count.min(PROBES_IN_HAND));
    // It is never closed.
    let in_hand = room.acquire_many(weight).await.ok();
    let Some(plan) = asked.left() else {
        return Err(Lost::EndedEarly);
    };
    let longest = bound::longest(&plan);
    let mut asking = pin!(link.probe(plan, run_id, PLAN_PATIENCE));
    let taken = tokio::time::timeout(IN_HAND, &mut asking).await;
    drop(in_hand);
    let stream = match taken {
        Ok(stream) => stream?,
        Err(_) => asking.await?,
    };
    Ok((stream, longest))
}

async fn follow(
    index: AgentIndex,
    mut stream: Observations,
    asked: &mut Asked,
    tell: &mpsc::Sender<(AgentIndex, Told)>,
) -> Result<(), Lost> {
    let mut summed = false;
    while let Some(message) = stream.next().await {
        let message = message.map_err(|status| Lost::broken(&status))?;
        if summed {
            return Err(Breach::AfterTheEnd.into());
        }
        let observations = message
            .observations
            .iter()
            .map(|observation| asked.check(observation));
        let observations: Vec<_> = observations.collect::<Result<_, _>>()?;
        let _ = tell.send((index, Told::Observed(observations))).await;
        if let Some(summary) = &message.summary {
            let summary = Summary::from_wire(summary).map_err(Breach::from)?;
            let _ = tell.send((index, Told::Summed(summary))).await;
            summed = true;
        }
    }
    if summed { Ok(()) } else { Err(Lost::EndedEarly) }
}
