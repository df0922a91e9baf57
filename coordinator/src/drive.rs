//! Drives one run: opens every link, hands out the plans, takes the observations in, ends the run at every agent, and
//! writes the report. Whatever an agent does or leaves undone, the run ends in time and says what is not known and why.
//!
//! Tasks: one for each agent while it probes (`probe`) or is asked more (`inquire`), owned by a `JoinSet`, so that the end
//! of the run, or of the process's interest in it, cancels them all; cancelling one drops its gRPC stream, and the agent
//! sees that. Connecting and looking run as futures inside the driver and leave nothing behind when they are dropped.

mod bound;
mod budget;
mod clock;
mod connect;
mod cut;
mod inquire;
mod interrupt;
mod look;
mod probe;
mod progress;
mod session;
mod trust;
mod work;

use std::time::Duration;

use mesh_core::{FreshServices, Matrix, PlanOptions, Roster, RosterAgent, Round, RunInfo};
use mesh_proto::wire::RunKey;
use mesh_proto::{AgentIndex, Report};

pub(crate) use self::clock::Clock;
pub(crate) use self::connect::{Opener, Opening, Openings};
pub(crate) use self::cut::Cut;
use self::cut::RunClock;
pub(crate) use self::interrupt::Interrupt;
pub(crate) use self::progress::Progress;
pub(crate) use self::session::Session;
use self::work::Work;
use crate::ground::Raised;
use crate::link::{Link, LinkMeans};

/// How a run is driven.
#[derive(Debug, Clone)]
pub(crate) struct DriveOptions {
    /// The whole run may take this long, the end of it (a few seconds at the most) not counted.
    pub(crate) timeout: Duration,
    /// How much of it raising the agents took.
    pub(crate) spent: Duration,
    /// How hard a round tries.
    pub(crate) plan: PlanOptions,
    /// Degraded counts as failed.
    pub(crate) strict: bool,
    /// All cells in the report, however many nodes there are.
    pub(crate) all_cells: bool,
    /// With what links are opened.
    pub(crate) means: LinkMeans,
    /// How long each step of opening a link may take.
    pub(crate) link_patience: Duration,
    /// Ask more where something is ill; else the look ends as soon as the plans do.
    pub(crate) look_closer: bool,
}

/// Usual patience with a link: it is a local socket or a network that may lose a SYN or two.
pub(crate) const LINK_PATIENCE: Duration = Duration::from_secs(5);

/// No randomness to be had: no key, no run.
#[derive(Debug, thiserror::Error)]
#[error("the kernel gives no random numbers for the run's key: {0}")]
pub(crate) struct NoRandomness(getrandom::Error);

/// One run's name and key, and when it began.
#[derive(Debug, Clone)]
pub(crate) struct RunSecret {
    id: String,
    key: RunKey,
    began: jiff::Timestamp,
}

impl RunSecret {
    /// Draws them.
    pub(crate) fn draw() -> Result<Self, NoRandomness> {
        let mut id = [0; 6];
        let mut key = [0; 32];
        getrandom::fill(&mut id).map_err(NoRandomness)?;
        getrandom::fill(&mut key).map_err(NoRandomness)?;
        let id = id
            .iter()
            .fold(String::new(), |id, byte| format!("{id}{byte:02x}"));
        Ok(Self {
            id,
            key: RunKey(key),
            began: jiff::Timestamp::now(),
        })
    }

    /// The run's name: hexadecimal digits.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }
}

/// Runs once over what a ground raised.
pub(crate) async fn drive(
    raised: Raised,
    secret: RunSecret,
    options: &DriveOptions,
    interrupt: Interrupt,
    progress: &Progress,
) -> Report {
    let mut clock = RunClock::start(options.timeout, interrupt).having_spent(options.spent);

    let Raised {
        ground,
        nodes,
        agents,
        cluster,
        notes,
    } = raised;
    let connected = connect::connect_all(&agents, &secret, options, &mut clock, progress).await;
    let agents = agents
        .into_iter()
        .zip(connected.presences)
        .map(|(agent, presence)| RosterAgent {
            key: agent.key,
            address: agent.address,
            presence,
        });
    let roster = Roster {
        nodes,
        agents: agents.collect(),
        cluster,
    };
    let round = Round::plan(roster, &options.plan);
    let shortage = budget::shortage(&round, options);
    if let Some(words) = &shortage {
        progress.say(words);
    }
    let mut matrix = Matrix::new(round);
    if options.all_cells {
        matrix.keep_all();
    }

    tracing::info!(agents = connected.links.len(), "probing");
    let fresh = probe::probe_all(
        &mut matrix,
        &connected.links,
        &options.means,
        &secret,
        &mut clock,
        progress,
    )
    .await;
    let looked = if options.look_closer {
        note_who_left(&mut matrix, &options.means).await;
        look_closer(
            &mut matrix,
            &connected.links,
            fresh,
            &secret,
            &mut clock,
            progress,
        )
        .await;
        look::look_all(&mut matrix, &connected.links, &secret, &mut clock, progress).await
    } else {
        if let Some(cut) = clock.was_cut() {
            probe::leave_all(&mut matrix, &connected.links, cut);
        }
        look::stop_all(&matrix, &connected.links, &secret).await;
        Vec::new()
    };
    progress.finish();

    let finished = jiff::Timestamp::now();
    let mut report = matrix.into_report(RunInfo {
        id: secret.id,
        ground,
        started: secret.began.to_string(),
        finished: finished.to_string(),
        strict: options.strict,
        all_cells: options.all_cells,
        interrupted: clock.was_interrupted(),
        notes: notes.into_iter().chain(shortage).chain(looked).collect(),
    });
    if let Some(rotation) = &mut report.coverage.rotation {
        let all = finished.duration_since(secret.began).as_secs_f64() * f64::from(rotation.runs);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it saturates"
        )]
        let all = all.ceil() as u32;
        rotation.within_s = all;
    }
    report
}

/// The last look at services that were made for the run, and the second look at whatever is ill. Both mostly wait, so they
/// wait together.
async fn look_closer(
    matrix: &mut Matrix,
    links: &[Option<Link>],
    fresh: FreshServices,
    secret: &RunSecret,
    clock: &mut RunClock,
    progress: &Progress,
) {
    let mut may_have_changed = false;
    if clock.was_cut().is_none() {
        let questions = inquire::whom_to_ask(matrix, links, secret, progress);
        let again = fresh.at_all(matrix);
        may_have_changed = again.is_some();
        let mut of_questions = clock.clone();
        let (answered, ()) = tokio::join!(inquire::ask_all(questions, &mut of_questions), async {
            if let Some(again) = again {
                let work = Work::again(matrix, again);
                probe::run_plans(matrix, links, &work, secret, clock, progress).await;
            }
        });
        clock.heed(&of_questions);
        for (agent, answers) in answered {
            matrix.answered(agent, answers);
        }
    }
    // Rules that came while all were asked made them lose a share.
    if may_have_changed
        && clock.was_cut().is_none()
        && matrix.rules_seem_late()
        && let Some(again) = fresh.at_all(matrix)
    {
        let work = Work::again(matrix, again);
        probe::run_plans(matrix, links, &work, secret, clock, progress).await;
    }
    // What came to light only by the last look at services.
    if may_have_changed && clock.was_cut().is_none() {
        let questions = inquire::whom_to_ask(matrix, links, secret, progress);
        for (agent, answers) in inquire::ask_all(questions, clock).await {
            matrix.answered(agent, answers);
        }
    }
    if let Some(cut) = clock.was_cut() {
        probe::leave_all(matrix, links, cut);
    }
}

/// Agents that were lost, and paths that are dead, may have been taken away with their nodes.
async fn note_who_left(matrix: &mut Matrix, means: &LinkMeans) {
    let Some(kube) = means.kube.as_ref().filter(|_| matrix.has_trouble()) else {
        return;
    };
    match mesh_kube::nodes(kube).await {
        Ok(there) => {
            let nodes = matrix.round().roster().nodes.iter().map(|node| node.name.clone());
            let left: Vec<_> = nodes.filter(|node| !there.contains(node)).collect();
            for node in left {
                matrix.left(node);
            }
        }
        Err(error) => tracing::warn!(%error, "whether nodes left is not known"),
    }
}

/// Numbers agents in the order of the roster.
fn numbered<T>(items: impl IntoIterator<Item = T>) -> impl Iterator<Item = (AgentIndex, T)> {
    (0..).map(AgentIndex).zip(items)
}

#[cfg(test)]
mod tests;
