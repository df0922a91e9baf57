//! What `mesh serve` tells the cluster, each only where it was asked for: a condition of a node, an Event, a startup taint that
//! is taken away. What is written is made by pure functions.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, ObjectReference, Taint};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::{Api, Patch, PatchParams, PostParams};
use mesh_proto::NodeName;
use serde_json::{Value, json};

use crate::objects::FIELD_MANAGER;
use crate::{ApiError, Kube};

/// The condition's type.
pub const CONDITION: &str = "mesh/NetworkReachable";
/// The key of the taint that a new node may be registered with, until it is reachable.
pub const STARTUP_TAINT: &str = "mesh/unreachable";
/// Events of objects without a namespace stand here: the API server wants it so.
const EVENTS_NAMESPACE: &str = "default";
/// An API server that takes longer is as good as away.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of an Event's `note` (validation of events.k8s.io/v1), and as many of a condition's message.
const LONGEST_NOTE: usize = 1024;

/// What a condition says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeCondition {
    /// `None`: not known.
    pub is_reachable: Option<bool>,
    /// One word in CamelCase.
    pub reason: String,
    /// For people.
    pub message: String,
    /// It said something else before.
    pub is_change: bool,
}

/// An Event, to be told of a node or of the whole cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterEvent {
    /// `None`: of the whole cluster, told of the server's own namespace.
    pub node: Option<NodeName>,
    /// It is bad news.
    pub is_warning: bool,
    /// One word in CamelCase.
    pub reason: String,
    /// What was done: opened, named, closed.
    pub action: String,
    /// For people.
    pub note: String,
    /// When.
    pub at: Timestamp,
    /// Who says so.
    pub instance: String,
}

/// It was not written.
#[derive(Debug, thiserror::Error)]
pub enum TellError {
    /// The API server says no, or nothing was heard of it.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// Not in time.
    #[error("cannot {what} within {PATIENCE:?}")]
    Slow {
        /// What was tried.
        what: String,
    },
}

/// Writes a node's condition.
pub async fn write_condition(
    kube: &Kube,
    node: &NodeName,
    condition: &NodeCondition,
    now: Timestamp,
) -> Result<(), TellError> {
    let nodes = Api::<Node>::all(kube.client.clone());
    // Conditions are merged by their type: those of others stay.
    let patch = Patch::Strategic(condition_patch(condition, now));
    let parameters = PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let what = format!("write the condition of node {node}");
    in_time(what, nodes.patch_status(node.as_str(), &parameters, &patch)).await?;
    Ok(())
}

/// Takes the startup taint off a node; false if it has none.
pub async fn remove_startup_taint(kube: &Kube, node: &NodeName) -> Result<bool, TellError> {
    let nodes = Api::<Node>::all(kube.client.clone());
    let what = format!("read node {node}");
    let found = in_time(what, nodes.get(node.as_str())).await?;
    let Some(patch) = taint_patch(&found) else {
        return Ok(false);
    };
    let what = format!("take the taint {STARTUP_TAINT} off node {node}");
    let parameters = PatchParams::default();
    in_time(
        what,
        nodes.patch(node.as_str(), &parameters, &Patch::Merge(patch)),
    )
    .await?;
    Ok(true)
}

/// Writes an Event; `namespace` is the server's own.
pub async fn write_event(kube: &Kube, namespace: &str, event: &ClusterEvent) -> Result<(), TellError> {
    let events = Api::<Event>::namespaced(kube.client.clone(), EVENTS_NAMESPACE);
    let what = "write an event".to_owned();
    let parameters = PostParams::default();
    in_time(what, events.create(&parameters, &event_object(event, namespace))).await?;
    Ok(())
}

async fn in_time<T>(
    what: String,
    work: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, TellError> {
    match tokio::time::timeout(PATIENCE, work).await {
        Ok(done) => Ok(done.map_err(ApiError::of(what))?),
        Err(_) => Err(TellError::Slow { what }),
    }
}

fn condition_patch(condition: &NodeCondition, now: Timestamp) -> Value {
    let mut row = json!({
        "type": CONDITION,
        "status": match condition.is_reachable {
            Some(true) => "True",
            Some(false) => "False",
            None => "Unknown",
        },
        "reason": condition.reason,
        "message": shortened(&condition.message),
        "lastHeartbeatTime": whole_seconds(now),
    });
    if condition.is_change {
        // Left out, it stays as it is.
        row["lastTransitionTime"] = whole_seconds(now).into();
    }
    json!({"status": {"conditions": [row]}})
}

/// All taints but that one, over the version that was read: a list of taints is written as a whole.
fn taint_patch(node: &Node) -> Option<Value> {
    let taints = node.spec.as_ref()?.taints.as_ref()?;
    let rest: Vec<&Taint> = taints.iter().filter(|taint| taint.key != STARTUP_TAINT).collect();
    (rest.len() < taints.len()).then(
        || json!({"metadata": {"resourceVersion": node.metadata.resource_version}, "spec": {"taints": rest}}),
    )
}

fn event_object(event: &ClusterEvent, namespace: &str) -> Event {
    let (kind, name) = match &event.node {
        Some(node) => ("Node", node.as_str()),
        None => ("Namespace", namespace),
    };
    Event {
        metadata: ObjectMeta {
            generate_name: Some("mesh-".to_owned()),
            namespace: Some(EVENTS_NAMESPACE.to_owned()),
            ..ObjectMeta::default()
        },
        action: Some(event.action.clone()),
        event_time: Some(MicroTime(event.at)),
        note: Some(shortened(&event.note)),
        reason: Some(event.reason.clone()),
        regarding: Some(ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some(kind.to_owned()),
            name: Some(name.to_owned()),
            // `kubectl describe node` asks for events with the name in this place, as the kubelet writes them.
            uid: event.node.as_ref().map(ToString::to_string),
            ..ObjectReference::default()
        }),
        reporting_controller: Some("mesh/serve".to_owned()),
        // 128 bytes at the most (validation of events.k8s.io/v1).
        reporting_instance: Some(event.instance.chars().take(128).collect()),
        type_: Some(if event.is_warning { "Warning" } else { "Normal" }.to_owned()),
        ..Event::default()
    }
}

/// `metav1.Time` has seconds.
fn whole_seconds(at: Timestamp) -> String {
    format!("{at:.0}")
}

fn shortened(text: &str) -> String {
    if text.len() <= LONGEST_NOTE {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(LONGEST_NOTE - 3);
    format!("{}...", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(is_change: bool) -> NodeCondition {
        NodeCondition {
            is_reachable: Some(false),
            reason: "IpForwardOff".to_owned(),
            message: "n2 does not forward".to_owned(),
            is_change,
        }
    }

    #[test]
    fn only_a_change_has_a_time_of_transition() {
        let now = Timestamp::from_millisecond(1_700_000_000_123).unwrap();
        let row = |is_change| condition_patch(&condition(is_change), now)["status"]["conditions"][0].clone();
        assert_eq!(row(true)["status"], "False");
        assert_eq!(row(true)["lastTransitionTime"], "2023-11-14T22:13:20Z");
        assert_eq!(row(false)["lastHeartbeatTime"], "2023-11-14T22:13:20Z");
        assert!(row(false).get("lastTransitionTime").is_none());
    }

    #[test]
    fn one_taint_goes_and_the_others_stay() {
        let node = |taints: Value| -> Node {
            serde_json::from_value(json!({"metadata": {"resourceVersion": "7"}, "spec": {"taints": taints}}))
                .unwrap()
        };
        let other = json!({"key": "gpu", "value": "yes", "effect": "NoSchedule"});
        let ours = json!({"key": STARTUP_TAINT, "effect": "NoSchedule"});
        let patch = taint_patch(&node(json!([ours, other]))).unwrap();
        assert_eq!(
            patch,
            json!({"metadata": {"resourceVersion": "7"}, "spec": {"taints": [other]}})
        );
        assert_eq!(taint_patch(&node(json!([other]))), None);
        assert_eq!(taint_patch(&Node::default()), None);
    }

    #[test]
    fn an_event_is_of_the_node_and_no_longer_than_the_api_takes() {
        let event = ClusterEvent {
            node: Some("n2".parse().unwrap()),
            is_warning: true,
            reason: "NodeDown".to_owned(),
            action: "Opened".to_owned(),
            note: "\u{e9}".repeat(600),
            at: Timestamp::UNIX_EPOCH,
            instance: "x".repeat(200),
        };
        let object = event_object(&event, "mesh");
        let regarding = object.regarding.unwrap();
        assert_eq!(
            (regarding.kind.as_deref(), regarding.uid.as_deref()),
            (Some("Node"), Some("n2"))
        );
        let note = object.note.unwrap();
        assert!(
            note.len() <= LONGEST_NOTE && note.ends_with("..."),
            "{}",
            note.len()
        );
        assert_eq!(object.reporting_instance.map(|name| name.len()), Some(128));
        let wide = event_object(&ClusterEvent { node: None, ..event }, "mesh");
        assert_eq!(wide.regarding.unwrap().name.as_deref(), Some("mesh"));
    }
}
