//! The second look: where something failed, agents near the suspects are asked more. What does not answer in time is left
//! out: it explains nothing.
//!
//! Tasks: one for each agent that is asked, owned by a `JoinSet`; when the time is up or somebody interrupts, they are
//! cancelled, their streams end, and the agents drop what they were at.

use std::sync::Arc;
use std::time::Duration;

use mesh_core::{Matrix, PlanOptions};
use mesh_proto::wire::{Inquire, v1};
use mesh_proto::{AgentIndex, Answer, Ask, Inquiry, Millis};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::cut::RunClock;
use super::trust::{Breach, Inquired};
use super::{Progress, RunSecret};
use crate::link::{Link, RpcError, status_words};

/// All of it: somebody waits for the report.
const PATIENCE: Duration = Duration::from_secs(3);
/// What an answer may need on its way back.
const WAY_BACK: Duration = Duration::from_millis(300);
/// ICMP errors are limited to one a second for each destination (Linux, icmp_ratelimit), and what a walk sends through a
/// rejected overlay uses them up. Where somebody knocks, walks wait until a knock has had its second.
const KNOCKS_FIRST: Duration = Duration::from_millis(1_200);
/// How many agents are asked at once: by links that are open, with little to do for either side but to wait.
const AT_ONCE: usize = 256;
/// Messages that may wait for the matrix. Beyond it the tasks wait, and HTTP/2 holds the agents back.
const WAITING: usize = 256;

/// What the matrix wants to know of whom; nothing where all is well, or where it was asked before.
pub(super) fn whom_to_ask(
    matrix: &mut Matrix,
    links: &[Option<Link>],
    secret: &RunSecret,
    progress: &Progress,
) -> Vec<Questions> {
    if !matrix.has_trouble() {
        return Vec::new();
    }
    let mut asked = matrix.second_look();
    // One that was lost may hang, or lie.
    asked.retain(|(agent, _)| matrix.stands(*agent));
    if !asked.is_empty() {
        tracing::info!(agents = asked.len(), "looking closer");
        progress.looking_closer(asked.len());
    }
    in_turn(asked)
        .into_iter()
        .filter_map(|(after, agent, inquiries)| questions(matrix, links, secret, after, agent, inquiries))
        .collect()
}

/// Asks, as far as time allows; gives what was answered.
#[expect(
    clippy::disallowed_methods,
    reason = "the driver reads the clock, so that what is below need not"
)]
pub(super) async fn ask_all(
    questions: Vec<Questions>,
    clock: &mut RunClock,
) -> Vec<(AgentIndex, Vec<Answer>)> {
    let mut answered = Vec::new();
    if !questions.is_empty() && clock.was_cut().is_none() {
        let deadline = Instant::now() + PATIENCE;
        ask(questions, clock, deadline, |agent, answers| {
            answered.push((agent, answers));
        })
        .await;
    }
    answered
}

/// What one agent is asked.
#[derive(Debug)]
pub(super) struct Questions {
    pub(super) agent: AgentIndex,
    pub(super) link: Link,
    pub(super) inquire: Inquire,
    /// Not at once.
    pub(super) after: Duration,
}

/// What to ask when of whom.
pub(super) fn in_turn(asked: Vec<(AgentIndex, Vec<Inquiry>)>) -> Vec<(Duration, AgentIndex, Vec<Inquiry>)> {
    let somebody_knocks = asked
        .iter()
        .flat_map(|(_, inquiries)| inquiries)
        .any(|inquiry| matches!(inquiry.ask, Ask::Knock { .. }));
    let is_late = |inquiry: &Inquiry| somebody_knocks && matches!(inquiry.ask, Ask::Walk { .. });
    let mut turns = Vec::new();
    for (agent, inquiries) in asked {
        let (late, at_once): (Vec<_>, Vec<_>) = inquiries.into_iter().partition(is_late);
        for (after, inquiries) in [(Duration::ZERO, at_once), (KNOCKS_FIRST, late)] {
            if !inquiries.is_empty() {
                turns.push((after, agent, inquiries));
            }
        }
    }
    turns
}

/// `None` for an agent without a link.
fn questions(
    matrix: &Matrix,
    links: &[Option<Link>],
    secret: &RunSecret,
    after: Duration,
    agent: AgentIndex,
    inquiries: Vec<Inquiry>,
) -> Option<Questions> {
    let slot = usize::try_from(agent.0).ok()?;
    let link = links.get(slot)?.clone()?;
    // As fast as its plan.
    let plan = matrix.round().plan_of(agent);
    let pacing = plan.map_or_else(|| PlanOptions::default().pacing, |plan| plan.pacing);
    Some(Questions {
        agent,
        link,
        inquire: Inquire {
            run_id: secret.id.clone(),
            packets_per_second: pacing.packets_per_second,
            burst: pacing.burst,
            // Known when it is asked.
            within: Millis(0),
            inquiries,
        },
        after,
    })
}

/// Why no more comes from an agent.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error(transparent)]
    Rpc(#[from] RpcError),
    #[error("the agent was lost: {0}")]
    Broken(String),
    #[error(transparent)]
    Breach(#[from] Breach),
}

/// Asks all at once, until all have answered, the deadline has passed, or the run is cut.
pub(super) async fn ask(
    questions: Vec<Questions>,
    clock: &mut RunClock,
    deadline: Instant,
    mut take: impl FnMut(AgentIndex, Vec<Answer>),
) {
    let (tell, mut told) = mpsc::channel(WAITING);
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut tasks = JoinSet::new();
    for question in questions {
        let (places, tell) = (Arc::clone(&places), tell.clone());
        tasks.spawn(async move {
            tokio::time::sleep(question.after).await;
            // The semaphore is never closed.
            let _place = places.acquire().await;
            let agent = question.agent;
            if let Err(why) = ask_one(question, deadline, &tell).await {
                tracing::info!(agent = agent.0, %why, "an agent does not answer to the end");
            }
        });
    }
    drop(tell);
    loop {
        tokio::select! {
            biased;
            _ = clock.cut() => return,
            told = told.recv() => match told {
                Some((agent, answers)) => take(agent, answers),
                None => return,
            },
            () = tokio::time::sleep_until(deadline) => return,
        }
    }
}

/// What an agent may have of the time until the deadline.
#[expect(
    clippy::disallowed_methods,
    reason = "the driver reads the clock, so that what is below need not"
)]
fn time_left(deadline: Instant) -> Duration {
    let left = deadline.saturating_duration_since(Instant::now());
    left.saturating_sub(WAY_BACK)
}

/// Passes the answers of one agent on, as long as they are believed.
async fn ask_one(
    question: Questions,
    deadline: Instant,
    tell: &mpsc::Sender<(AgentIndex, Vec<Answer>)>,
) -> Result<(), Ended> {
    let Questions {
        agent,
        link,
        mut inquire,
        ..
    } = question;
    let left = time_left(deadline).as_millis();
    inquire.within = Millis(u32::try_from(left).unwrap_or(u32::MAX));
    let mut inquired = Inquired::of(&inquire.inquiries);
    let mut stream = link.inquire(&inquire, PATIENCE).await?;
    while let Some(v1::InquireReply { answers }) = stream
        .message()
        .await
        .map_err(|status| Ended::Broken(status_words(&status)))?
    {
        let answers = answers
            .iter()
            .map(|answer| inquired.check(answer))
            .collect::<Result<Vec<Answer>, Breach>>()?;
        tracing::debug!(agent = agent.0, ?answers, "an agent looked closer");
        if tell.send((agent, answers)).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}
