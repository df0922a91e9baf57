//! The end of a run: every agent is told to forget it, and asked what it received and what its kernel says.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::StreamExt;
use mesh_core::Matrix;
use mesh_proto::{AgentIndex, HostFacts, Starvation, Tally};

use super::cut::RunClock;
use super::{Progress, RunSecret, numbered};
use crate::link::{Link, RpcError};

/// How many agents are asked at once.
const AT_ONCE: usize = 64;

/// How long an agent may take for each answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// All of it together: a cluster of dead links must not hold the report back for long.
const ALL_PATIENCE: Duration = Duration::from_secs(15);

/// After an interrupt somebody waits for the prompt.
const HURRY: Duration = Duration::from_secs(1);

/// Ends the run at every agent that has a link. What does not answer is left out of the matrix, since it explains
/// nothing; how many did not is returned as notes for the report.
pub(super) async fn look_all(
    matrix: &mut Matrix,
    links: &[Option<Link>],
    secret: &RunSecret,
    clock: &mut RunClock,
    progress: &Progress,
) -> Vec<String> {
    let hurry = clock.was_interrupted();
    let (patience, all_patience) = if hurry {
        (HURRY, HURRY)
    } else {
        (PATIENCE, ALL_PATIENCE)
    };
    progress.looking();
    let linked = numbered(links).filter_map(|(index, link)| Some((index, link.as_ref()?)));
    let linked: Vec<(AgentIndex, &Link)> = linked.collect();
    let all: BTreeSet<AgentIndex> = linked.iter().map(|(index, _)| *index).collect();
    // Where all is well there is nothing that facts would explain.
    let with_facts = !hurry && matrix.has_trouble();
    let mut silent = Silent {
        facts: if with_facts { all.clone() } else { BTreeSet::new() },
        counts: all,
    };
    let looks = linked
        .into_iter()
        .map(|(index, link)| async move { (index, look(link, secret, patience, with_facts).await) });
    let mut looks = std::pin::pin!(futures_util::stream::iter(looks).buffer_unordered(AT_ONCE));
    let mut over = std::pin::pin!(tokio::time::sleep(all_patience));
    loop {
        tokio::select! {
            biased;
            () = &mut over => break,
            () = clock.interrupted(), if !hurry => break,
            looked = looks.next() => match looked {
                Some((index, looked)) => enter(matrix, &mut silent, index, looked),
                None => break,
            },
        }
    }
    silent.notes(matrix)
}

/// Ends a quick look: agents are told to forget it, and hardly waited for. One that does not hear of it forgets it by itself.
pub(super) async fn stop_all(matrix: &Matrix, links: &[Option<Link>], secret: &RunSecret) {
    const MOMENT: Duration = Duration::from_millis(150);
    let standing = numbered(links).filter(|(index, _)| matrix.stands(*index));
    let stops = standing.filter_map(|(_, link)| {
        let link = link.as_ref()?;
        Some(async move { link.stop(&secret.id, MOMENT).await.is_ok() })
    });
    let stops = futures_util::stream::iter(stops).buffer_unordered(AT_ONCE);
    let _ = tokio::time::timeout(MOMENT, stops.collect::<Vec<bool>>()).await;
}

/// What an agent said in the end, as far as it said it.
#[derive(Debug)]
struct Looked {
    tallies: Option<(Vec<Tally>, Starvation)>,
    facts: Option<HostFacts>,
}

async fn look(link: &Link, secret: &RunSecret, patience: Duration, with_facts: bool) -> Looked {
    // Stop comes first: should the time run out in between, then the agent at least knows that the run is over.
    let tallies = link.stop(&secret.id, patience).await;
    let facts = if with_facts {
        Some(link.facts(patience).await)
    } else {
        None
    };
    let log = |error: &RpcError| tracing::info!(%error, "an agent does not answer at the end");
    Looked {
        tallies: tallies.inspect_err(log).ok(),
        facts: facts.and_then(|facts| facts.inspect_err(log).ok()),
    }
}

fn enter(matrix: &mut Matrix, silent: &mut Silent, index: AgentIndex, looked: Looked) {
    if let Some((tallies, starvation)) = looked.tallies {
        matrix.tallies(index, tallies, starvation);
        silent.counts.remove(&index);
    }
    if let Some(facts) = looked.facts {
        matrix.facts(index, facts);
        silent.facts.remove(&index);
    }
}

/// Agents that have not answered yet.
#[derive(Debug)]
struct Silent {
    counts: BTreeSet<AgentIndex>,
    facts: BTreeSet<AgentIndex>,
}

impl Silent {
    fn notes(&self, matrix: &Matrix) -> Vec<String> {
        let said = [
            (
                &self.counts,
                "what they received: a loss in one direction may look like one in both",
            ),
            (&self.facts, "what their kernels say: causes may be less certain"),
        ];
        let missing = said.iter().filter(|(agents, _)| !agents.is_empty());
        missing
            .map(|(agents, what)| format!("not told by {}: {what}", names(matrix, agents)))
            .collect()
    }
}

/// Few by name, many by number.
fn names(matrix: &Matrix, agents: &BTreeSet<AgentIndex>) -> String {
    const NAMED: usize = 5;
    let roster = matrix.round().roster();
    let named = agents.iter().take(NAMED).filter_map(|index| roster.agent(*index));
    let named: Vec<String> = named.map(|agent| agent.key.to_string()).collect();
    match agents.len().saturating_sub(NAMED) {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}
