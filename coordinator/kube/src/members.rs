//! Who takes part, watched: nodes that come, go, drain, are not ready; agents that come up, move, end. It says *that* something
//! that matters has changed, at once; what stands then is asked for by whoever wants to know.
//!
//! One task holds both watches and feeds [`MemberIndex`], which is pure; dropping [`Members`] ends it. A node's status changes
//! every few seconds for its heartbeat alone: that is no news.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::{Stream, StreamExt, stream};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::Api;
use kube::runtime::{WatchStreamExt, watcher};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::discover::{FoundNode, read_node};
use crate::objects::{Blueprint, run_selector};
use crate::{ApiError, Kube};

/// A watch over the members.
#[derive(Debug)]
pub struct Members {
    version: watch::Receiver<u64>,
    task: AbortHandle,
}

impl Members {
    /// Begins to watch nodes, and the agents of a run.
    pub fn watch(kube: &Kube, blueprint: &Blueprint) -> Self {
        let nodes = Api::<Node>::all(kube.client.clone());
        let pods = Api::<Pod>::namespaced(kube.client.clone(), &blueprint.namespace());
        let ours = watcher::Config::default().labels(&run_selector(&blueprint.run));
        let nodes = watcher(nodes, watcher::Config::default()).default_backoff();
        let pods = watcher(pods, ours).default_backoff();
        let nodes = nodes.map(|heard| heard.map_or_else(Heard::Failed, Heard::Node));
        let pods = pods.map(|heard| heard.map_or_else(Heard::Failed, Heard::Pod));
        let (tell, version) = watch::channel(0);
        let heard = stream::select(nodes.boxed(), pods.boxed());
        let task = tokio::spawn(follow(heard, tell));
        Self {
            version,
            task: task.abort_handle(),
        }
    }

    /// Another number each time that something that matters changed. While a watch is broken off, it stays as it is.
    pub fn version(&self) -> u64 {
        *self.version.borrow()
    }
}

impl Drop for Members {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[expect(
    clippy::large_enum_variant,
    reason = "each is moved once, from the stream into the index"
)]
enum Heard {
    Node(watcher::Event<Node>),
    Pod(watcher::Event<Pod>),
    Failed(watcher::Error),
}

/// A rollout changes many pods within moments; whoever asks after each of them would ask all the time.
const BURST: Duration = Duration::from_millis(200);

async fn follow(mut heard: impl Stream<Item = Heard> + Unpin, tell: watch::Sender<u64>) {
    let mut index = MemberIndex::default();
    let mut is_well = true;
    while let Some(next) = heard.next().await {
        let error = index.take(next);
        match error {
            None => is_well = true,
            Some(error) if std::mem::take(&mut is_well) => {
                // Forbidden it stays forbidden, but a role may be bound while this goes on.
                tracing::warn!(%error, "nodes and agents are not watched now: they are asked for now and then");
            }
            Some(_) => {}
        }
        if *tell.borrow() != index.version {
            tell.send_replace(index.version);
            tokio::time::sleep(BURST).await;
        }
    }
}

/// What of nodes and agents matters, and whether it has changed.
#[derive(Debug, Default)]
struct MemberIndex {
    nodes: Kept<FoundNode>,
    pods: Kept<AgentPod>,
    version: u64,
}

/// What of an agent's pod matters.
#[derive(Debug, Clone, PartialEq, Eq)]
struct AgentPod {
    uid: Option<String>,
    node: Option<String>,
    address: Option<String>,
    is_ready: bool,
    is_leaving: bool,
}

/// Objects of one kind, by name.
#[derive(Debug)]
struct Kept<T> {
    now: BTreeMap<String, T>,
    /// A list that is not whole yet.
    listing: Option<BTreeMap<String, T>>,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self {
            now: BTreeMap::new(),
            listing: None,
        }
    }
}

impl<T: PartialEq> Kept<T> {
    /// Whether anything that matters changed.
    fn take<K>(&mut self, event: watcher::Event<K>, read: impl Fn(&K) -> Option<(String, T)>) -> bool {
        match event {
            watcher::Event::Init => {
                self.listing = Some(BTreeMap::new());
                false
            }
            watcher::Event::InitApply(object) => {
                let listing = self.listing.get_or_insert_default();
                listing.extend(read(&object));
                false
            }
            watcher::Event::InitDone => {
                let listed = self.listing.take().unwrap_or_default();
                let is_news = listed != self.now;
                self.now = listed;
                is_news
            }
            watcher::Event::Apply(object) => {
                let Some((name, new)) = read(&object) else {
                    return false;
                };
                let is_news = self.now.get(&name) != Some(&new);
                self.now.insert(name, new);
                is_news
            }
            watcher::Event::Delete(object) => {
                read(&object).is_some_and(|(name, _)| self.now.remove(&name).is_some())
            }
        }
    }
}

impl MemberIndex {
    /// What was heard, or why nothing is.
    fn take(&mut self, heard: Heard) -> Option<ApiError> {
        let is_news = match heard {
            Heard::Node(event) => self.nodes.take(event, |node: &Node| {
                let name = node.metadata.name.clone()?;
                Some((name, read_node(node).ok()?))
            }),
            Heard::Pod(event) => self.pods.take(event, |pod: &Pod| {
                Some((pod.metadata.name.clone()?, agent_pod(pod)))
            }),
            Heard::Failed(error) => {
                return match error {
                    watcher::Error::InitialListFailed(error)
                    | watcher::Error::WatchStartFailed(error)
                    | watcher::Error::WatchFailed(error) => {
                        Some(ApiError::of("watch nodes and agents")(error))
                    }
                    // Too old a version, mostly: the list begins anew.
                    watcher::Error::WatchError(_) | watcher::Error::NoResourceVersion => None,
                };
            }
        };
        self.version += u64::from(is_news);
        None
    }
}

fn agent_pod(pod: &Pod) -> AgentPod {
    let status = pod.status.as_ref();
    let conditions = status
        .and_then(|status| status.conditions.as_deref())
        .unwrap_or_default();
    AgentPod {
        uid: pod.metadata.uid.clone(),
        node: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
        address: status.and_then(|status| status.pod_ip.clone()),
        is_ready: conditions
            .iter()
            .any(|condition| condition.type_ == "Ready" && condition.status == "True"),
        is_leaving: pod.metadata.deletion_timestamp.is_some(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn node(name: &str, ready: &str, heartbeat: u32, spec: &Value) -> Node {
        serde_json::from_value(
            json!({"metadata": {"name": name}, "spec": spec, "status": {"conditions": [
            {"type": "Ready", "status": ready, "reason": "Kubelet",
             "lastHeartbeatTime": format!("2026-01-01T00:00:{heartbeat:02}Z")}]}}),
        )
        .unwrap()
    }

    fn pod(name: &str, ready: &str, address: &str) -> Pod {
        serde_json::from_value(
            json!({"metadata": {"name": name, "uid": "u"}, "spec": {"nodeName": "a", "containers": []},
            "status": {"podIP": address, "conditions": [{"type": "Ready", "status": ready}]}}),
        )
        .unwrap()
    }

    /// Two nodes and an agent, listed.
    fn listed() -> MemberIndex {
        let mut index = MemberIndex::default();
        index.take(Heard::Node(watcher::Event::Init));
        for name in ["a", "b"] {
            index.take(Heard::Node(watcher::Event::InitApply(node(
                name,
                "True",
                0,
                &json!({}),
            ))));
        }
        index.take(Heard::Node(watcher::Event::InitDone));
        index.take(Heard::Pod(watcher::Event::Init));
        index.take(Heard::Pod(watcher::Event::InitApply(pod(
            "p", "True", "10.0.0.1",
        ))));
        index.take(Heard::Pod(watcher::Event::InitDone));
        index
    }

    /// Whether it is news.
    fn news(index: &mut MemberIndex, heard: Heard) -> bool {
        let before = index.version;
        index.take(heard);
        index.version != before
    }

    #[test]
    fn what_matters_is_news_and_a_heartbeat_is_not() {
        let apply = |node| Heard::Node(watcher::Event::Apply(node));
        let mut index = listed();
        assert!(
            !news(&mut index, apply(node("a", "True", 9, &json!({})))),
            "a heartbeat"
        );
        assert!(
            news(&mut index, apply(node("a", "Unknown", 9, &json!({})))),
            "not ready"
        );
        assert!(
            news(
                &mut index,
                apply(node("b", "True", 0, &json!({"unschedulable": true})))
            ),
            "cordoned"
        );
        let tainted = json!({"unschedulable": true, "taints": [{"key": "k", "effect": "NoSchedule"}]});
        assert!(news(&mut index, apply(node("b", "True", 0, &tainted))), "tainted");
        assert!(
            news(&mut index, apply(node("c", "True", 0, &json!({})))),
            "a node that came"
        );
        let gone = || Heard::Node(watcher::Event::Delete(node("c", "True", 0, &json!({}))));
        assert!(news(&mut index, gone()), "a node that left");
        assert!(!news(&mut index, gone()), "it had left");
        let apply = |pod| Heard::Pod(watcher::Event::Apply(pod));
        assert!(!news(&mut index, apply(pod("p", "True", "10.0.0.1"))));
        assert!(
            news(&mut index, apply(pod("p", "False", "10.0.0.1"))),
            "not ready"
        );
        assert!(
            news(&mut index, apply(pod("p", "True", "10.0.0.2"))),
            "another address"
        );
    }

    #[test]
    fn a_list_anew_is_news_only_where_it_differs() {
        let mut index = listed();
        let relist = |index: &mut MemberIndex, names: &[&str]| {
            let before = index.version;
            index.take(Heard::Node(watcher::Event::Init));
            for name in names {
                index.take(Heard::Node(watcher::Event::InitApply(node(
                    name,
                    "True",
                    3,
                    &json!({}),
                ))));
            }
            assert_eq!(index.version, before, "half a list says nothing");
            index.take(Heard::Node(watcher::Event::InitDone));
            index.version != before
        };
        assert!(!relist(&mut index, &["a", "b"]));
        assert!(relist(&mut index, &["a"]), "one left while nobody watched");
    }
}
