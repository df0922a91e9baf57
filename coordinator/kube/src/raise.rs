//! Waits for the agents, by one list and one watch per kind, and says who came up and why the others did not.

use std::time::Duration;

use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt as _, StreamExt as _};
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::api::{Api, LogParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use mesh_proto::{AgentKey, NodeName, Plane};

use crate::objects::{Blueprint, run_selector};
use crate::standing::{AgentState, Standing};
use crate::{ApiError, Kube};

/// How long to wait.
#[derive(Debug, Clone, Copy)]
pub struct RaiseOptions {
    /// For an agent of which nothing new is heard.
    pub quiet: Duration,
    /// For all of them.
    pub longest: Duration,
}

/// Who came up.
#[derive(Debug, Clone)]
pub struct Raised {
    /// Every expected agent, in the order that was asked for.
    pub agents: Vec<(AgentKey, AgentState)>,
}

/// Once all agents are up or stuck, those that are stuck may yet come loose for so long: a Secret or an image may be late.
const GRACE: Duration = Duration::from_secs(3);

enum Heard {
    Pod(watcher::Event<Pod>),
    DaemonSet(watcher::Event<DaemonSet>),
    Event(watcher::Event<Event>),
    Failed(watcher::Error),
}

/// Waits until every agent is up or stuck, or nothing moves any more. Dropping the future ends the watches.
#[expect(clippy::disallowed_methods, reason = "it waits, by the runtime's clock")]
pub async fn raise(
    kube: &Kube,
    blueprint: &Blueprint,
    expected: &[AgentKey],
    refused: &[(Plane, String)],
    not_ready: &[(NodeName, String)],
    options: RaiseOptions,
    mut progress: impl FnMut(usize, usize),
) -> Result<Raised, ApiError> {
    let mut standing = Standing::new(expected.iter().cloned());
    for (node, why) in not_ready {
        standing.node_not_ready(node, why);
    }
    let mut heard = watch(kube, blueprint);
    let mut listed = Vec::new();
    let end = tokio::time::sleep(options.longest);
    let mut end = std::pin::pin!(end);
    let mut moved = standing.progress();
    let mut quiet = std::pin::pin!(tokio::time::sleep(options.quiet));
    let (up, all) = standing.summary();
    progress(up, all);
    while !all_up(&standing, expected, refused) {
        let settled = expected.iter().all(|key| is_settled(&standing, key, refused));
        let next = tokio::select! {
            next = heard.next() => next,
            () = &mut end => break,
            () = &mut quiet => break,
        };
        match next {
            Some(heard) => take(&mut standing, &mut listed, heard)?,
            None => break,
        }
        let now_settled = expected.iter().all(|key| is_settled(&standing, key, refused));
        if standing.progress() != moved || now_settled != settled {
            moved = standing.progress();
            let patience = if now_settled {
                GRACE.min(options.quiet)
            } else {
                options.quiet
            };
            quiet.as_mut().reset(tokio::time::Instant::now() + patience);
            let (up, all) = standing.summary();
            progress(up, all);
        }
    }
    drop(heard);
    let mut agents = Vec::with_capacity(expected.len());
    for key in expected {
        let state = match refusal(key, refused) {
            Some(why) => AgentState::Stuck {
                why: why.to_owned(),
                log_of: None,
            },
            None => with_last_words(kube, blueprint, standing.state(key)).await,
        };
        agents.push((key.clone(), state));
    }
    Ok(Raised { agents })
}

/// Hands what was heard to the index. Pods of a new list are collected until it is whole: those that it lacks are gone.
fn take(standing: &mut Standing, listed: &mut Vec<Pod>, heard: Heard) -> Result<(), ApiError> {
    match heard {
        Heard::Pod(watcher::Event::Init) => listed.clear(),
        Heard::Pod(watcher::Event::InitApply(pod)) => listed.push(pod),
        Heard::Pod(watcher::Event::InitDone) => standing.pods_listed(&std::mem::take(listed)),
        Heard::Pod(watcher::Event::Apply(pod)) => standing.pod(&pod),
        Heard::Pod(watcher::Event::Delete(pod)) => standing.pod_gone(&pod),
        Heard::DaemonSet(watcher::Event::Apply(set) | watcher::Event::InitApply(set)) => {
            standing.daemon_set(&set);
        }
        Heard::Event(watcher::Event::Apply(event) | watcher::Event::InitApply(event)) => {
            standing.event(&event);
        }
        Heard::Failed(error) => give_up_or_go_on(error)?,
        Heard::DaemonSet(_) | Heard::Event(_) => {}
    }
    Ok(())
}

fn refusal<'a>(key: &AgentKey, refused: &'a [(Plane, String)]) -> Option<&'a str> {
    refused
        .iter()
        .find(|(plane, _)| *plane == key.plane)
        .map(|(_, why)| why.as_str())
}

fn is_settled(standing: &Standing, key: &AgentKey, refused: &[(Plane, String)]) -> bool {
    refusal(key, refused).is_some() || !matches!(standing.state(key), AgentState::Coming { .. })
}

fn all_up(standing: &Standing, expected: &[AgentKey], refused: &[(Plane, String)]) -> bool {
    expected
        .iter()
        .all(|key| refusal(key, refused).is_some() || matches!(standing.state(key), AgentState::Up { .. }))
}

/// The watches of one namespace, in one stream. A watch that breaks begins again, at a growing distance.
fn watch(kube: &Kube, blueprint: &Blueprint) -> BoxStream<'static, Heard> {
    let namespace = blueprint.namespace();
    let ours = watcher::Config::default().labels(&run_selector(&blueprint.run));
    let pods = Api::<Pod>::namespaced(kube.client.clone(), &namespace);
    let events = Api::<Event>::namespaced(kube.client.clone(), &namespace);
    let sets = Api::<DaemonSet>::namespaced(kube.client.clone(), &namespace);
    let sets = watcher(sets, ours.clone()).default_backoff();
    let pods = watcher(pods, ours).default_backoff();
    let events = watcher(events, watcher::Config::default()).default_backoff();
    let pods = pods.map(|heard| heard.map_or_else(Heard::Failed, Heard::Pod));
    let events = events.map(|heard| heard.map_or_else(Heard::Failed, Heard::Event));
    let sets = sets.map(|heard| heard.map_or_else(Heard::Failed, Heard::DaemonSet));
    stream::select_all([pods.boxed(), events.boxed(), sets.boxed()]).boxed()
}

/// What is forbidden stays so; all else may pass.
fn give_up_or_go_on(error: watcher::Error) -> Result<(), ApiError> {
    let forbidden =
        |error: &kube::Error| matches!(error, kube::Error::Api(status) if matches!(status.code, 401 | 403));
    match error {
        watcher::Error::InitialListFailed(error) | watcher::Error::WatchStartFailed(error)
            if forbidden(&error) =>
        {
            Err(ApiError::of("watch the run's pods")(error))
        }
        error => {
            tracing::warn!(%error, "a watch broke off; it begins again");
            Ok(())
        }
    }
}

/// The last line that a crashed agent said.
async fn with_last_words(kube: &Kube, blueprint: &Blueprint, state: AgentState) -> AgentState {
    let AgentState::Stuck {
        why,
        log_of: Some(pod),
    } = state
    else {
        return state;
    };
    let pods = Api::<Pod>::namespaced(kube.client.clone(), &blueprint.namespace());
    let logs = |previous| LogParams {
        tail_lines: Some(1),
        limit_bytes: Some(400),
        previous,
        ..LogParams::default()
    };
    let mut last = None;
    for previous in [false, true] {
        let said = pods.logs(&pod, &logs(previous)).map(Result::ok).await;
        last = said
            .map(|said| said.trim().to_owned())
            .filter(|said| !said.is_empty());
        if last.is_some() {
            break;
        }
    }
    let why = match last {
        Some(last) => format!("{why}; it said: {last}"),
        None => why,
    };
    AgentState::Stuck { why, log_of: None }
}
