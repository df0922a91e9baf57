//! Waits for the agents, by one list and one watch per kind, and says who came up and why the others did not.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt as _, StreamExt as _};
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::api::{Api, LogParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use mesh_proto::{AgentKey, NodeName, Plane};

use crate::deploy::{asks_for_net_admin, without_net_admin};
use crate::objects::{Blueprint, run_selector};
use crate::standing::{AgentState, Standing, Summary};
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
    /// Why agents of the host plane do without CAP_NET_ADMIN, where that was asked for: admission's words.
    pub without_net_admin: Option<String>,
}

/// What is told while agents come up.
#[derive(Debug, Clone, Copy)]
pub enum News<'a> {
    /// How far all of them are.
    Summary(Summary),
    /// One is up, for the first time.
    Up(&'a AgentKey, &'a AgentState),
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
    not_ready: &[(NodeName, String)],
    options: RaiseOptions,
    mut tell: impl FnMut(News<'_>),
) -> Result<Raised, ApiError> {
    let mut standing = Standing::new(expected.iter().cloned());
    for (node, why) in not_ready {
        standing.node_not_ready(node, why);
    }
    let mut heard = watch(kube, blueprint);
    let mut listed = Vec::new();
    let mut told = BTreeSet::new();
    let mut refused = None;
    let mut moved = standing.progress();
    let mut summary = standing.summary();
    tell(News::Summary(summary));
    let mut end = std::pin::pin!(tokio::time::sleep(options.longest));
    let mut quiet = std::pin::pin!(tokio::time::sleep(options.quiet));
    while !summary.is_complete() {
        let next = tokio::select! {
            next = heard.next() => next,
            () = &mut end => break,
            () = &mut quiet => break,
        };
        let Some(next) = next else { break };
        take(&mut standing, &mut listed, next)?;
        // Pods change in bursts, and each look at all of them costs.
        while let Some(Some(more)) = heard.next().now_or_never() {
            take(&mut standing, &mut listed, more)?;
        }
        if refused.is_none()
            && asks_for_net_admin(blueprint, Plane::Host)
            && let Some(why) = standing.refusal(Plane::Host)
        {
            refused = Some(why.to_owned());
            if let Err(error) = without_net_admin(kube, blueprint).await {
                tracing::warn!(%error, "no agents without CAP_NET_ADMIN either");
            }
        }
        let (was_settled, progressed) = (summary.is_settled(), standing.progress() != moved);
        summary = standing.summary();
        if progressed || summary.is_settled() != was_settled {
            moved = standing.progress();
            let patience = if summary.is_settled() {
                GRACE.min(options.quiet)
            } else {
                options.quiet
            };
            quiet.as_mut().reset(tokio::time::Instant::now() + patience);
            tell(News::Summary(summary));
        }
        // Getting up is progress.
        for key in expected.iter().filter(|_| progressed) {
            let state = standing.state(key);
            if matches!(state, AgentState::Up { .. }) && told.insert(key) {
                tell(News::Up(key, &state));
            }
        }
    }
    drop(heard);
    let host_is_up = told.iter().any(|key| key.plane == Plane::Host);
    let mut agents = Vec::with_capacity(expected.len());
    for key in expected {
        let state = with_last_words(kube, blueprint, standing.state(key)).await;
        agents.push((key.clone(), state));
    }
    Ok(Raised {
        agents,
        // Where they are refused all the same, that is what is told.
        without_net_admin: refused.filter(|_| host_is_up),
    })
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
