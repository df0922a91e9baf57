//! What changes a state and what does not: pods that fail, leave and are replaced, what repeats, nodes that are not ready.

use k8s_openapi::api::core::v1::{Event, Pod};
use mesh_proto::{AgentKey, Plane};
use serde_json::{Value, json};

use super::tests::{case, key, three_nodes};
use super::{AgentState, Standing};

fn a_pod(uid: &str, created: &str, more: Value) -> Pod {
    let mut pod = json!({
        "metadata": {"name": uid, "uid": uid, "resourceVersion": "7", "creationTimestamp": created,
                     "labels": {"mesh/plane": "pod"}},
        "spec": {"nodeName": "n1", "containers": [{"name": "agent", "image": "mesh:1"}]},
    });
    pod["status"] = more;
    serde_json::from_value(pod).expect("a pod")
}

fn event(id: &str, about: &str, kind: &str, reason: &str, message: &str, count: i32) -> Event {
    let event = json!({
        "metadata": {"name": id, "uid": id, "resourceVersion": "9"}, "reason": reason, "message": message,
        "count": count, "involvedObject": {"kind": kind, "uid": about},
    });
    serde_json::from_value(event).expect("an event")
}

fn one() -> (AgentKey, Standing) {
    let key = key("n1", Plane::Pod);
    (key.clone(), Standing::new([key]))
}

fn words(state: AgentState) -> (bool, String) {
    match state {
        AgentState::Up { pod, .. } => panic!("{pod} is up"),
        AgentState::Coming { what } => (false, what),
        AgentState::Stuck { why, .. } => (true, why),
    }
}

const BEFORE: &str = "2026-01-01T00:00:00Z";
const LATER: &str = "2026-01-01T00:00:01Z";

#[test]
fn what_happens_once_may_pass() {
    let (key, mut standing) = one();
    standing.event(&event("e1", "p", "Pod", "FailedCreatePodSandBox", "no", 1));
    standing.pod(&a_pod("p", BEFORE, json!({"phase": "Pending"})));
    assert_eq!(
        words(standing.state(&key)),
        (false, "FailedCreatePodSandBox: no".into())
    );
    standing.event(&event("e2", "p", "Pod", "FailedCreatePodSandBox", "no", 1));
    assert_eq!(
        words(standing.state(&key)),
        (true, "FailedCreatePodSandBox: no".into())
    );
    // The sandbox stands after all: what was said of it is over.
    let conditions = json!([{"type": "PodReadyToStartContainers", "status": "True"}]);
    standing.pod(&a_pod(
        "p",
        BEFORE,
        json!({"phase": "Pending", "conditions": conditions}),
    ));
    assert!(!words(standing.state(&key)).0);
}

#[test]
fn a_second_pod_that_fails_is_one_too_many() {
    let (key, mut standing) = one();
    let failed = json!({"phase": "Failed", "reason": "NodeAffinity", "message": "no"});
    let first = a_pod("p1", BEFORE, failed.clone());
    standing.pod(&first);
    assert_eq!(words(standing.state(&key)), (true, "NodeAffinity: no".into()));
    standing.pod_gone(&first);
    assert_eq!(
        words(standing.state(&key)),
        (
            false,
            "no pod yet (the pod before failed: NodeAffinity: no)".into()
        )
    );
    let second = a_pod("p2", LATER, failed);
    standing.pod(&second);
    standing.pod_gone(&second);
    assert_eq!(
        words(standing.state(&key)),
        (true, "NodeAffinity: no (2 pods failed so far)".into())
    );
}

#[test]
fn a_refusal_that_may_pass_must_repeat() {
    let (key, mut standing) = one();
    let mut set = case("psa").daemon_set;
    set.metadata.labels = Some([("mesh/plane".to_owned(), "pod".to_owned())].into());
    standing.daemon_set(&set);
    let uid = set.metadata.uid.expect("uid");
    let early = "Error creating: pods \"x\" is forbidden: error looking up service account a/default: \
                 serviceaccount \"default\" not found";
    for (n, is_stuck) in [(1, false), (7, false), (8, true)] {
        standing.event(&event("e", &uid, "DaemonSet", "FailedCreate", early, n));
        assert_eq!(words(standing.state(&key)).0, is_stuck, "{n} times");
    }
}

#[test]
fn an_older_kubelets_back_off_is_told_by_its_event() {
    let (key, mut standing) = one();
    let waiting =
        json!({"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image \"mesh:1\""}});
    let status = json!([{"name": "agent", "image": "mesh:1", "imageID": "", "ready": false, "restartCount": 0,
                         "state": waiting}]);
    standing.pod(&a_pod(
        "p",
        BEFORE,
        json!({"phase": "Pending", "containerStatuses": status}),
    ));
    standing.event(&event(
        "e",
        "p",
        "Pod",
        "Failed",
        "Failed to pull image \"mesh:1\": not found",
        1,
    ));
    assert_eq!(
        words(standing.state(&key)),
        (true, "ImagePullBackOff: image mesh:1: not found".into())
    );
}

#[test]
fn a_node_that_is_not_ready_has_the_first_word_until_the_pod_runs() {
    let mut standing = Standing::new(three_nodes());
    let dead = "Kubelet stopped posting node status.";
    let no_cni = "NetworkReady=false reason:NetworkPluginNotReady";
    standing.node_not_ready(&"n1".parse().expect("a name"), dead);
    standing.node_not_ready(&"n2".parse().expect("a name"), no_cni);
    standing.node_not_ready(&"n3".parse().expect("a name"), dead);
    for pod in case("ok").pods {
        standing.pod(&pod);
    }
    let state = |node, plane| standing.state(&key(node, plane));
    assert_eq!(
        words(state("n1", Plane::Host)),
        (true, format!("node not ready: {dead}"))
    );
    assert!(words(state("n2", Plane::Pod)).0);
    assert!(!words(state("n2", Plane::Host)).0, "its own network needs no CNI");
    assert!(
        matches!(state("n3", Plane::Pod), AgentState::Up { .. }),
        "it runs, whatever the node says"
    );
}

#[test]
fn what_is_not_listed_any_more_is_gone() {
    let (ok, key) = (case("ok"), case("ok").key());
    let mut standing = ok.told();
    standing.pods_listed(&ok.pods[5..]);
    assert!(matches!(standing.state(&key), AgentState::Up { .. }));
    standing.pods_listed([]);
    assert!(!matches!(standing.state(&key), AgentState::Up { .. }));
}

#[test]
fn a_pod_on_its_way_out_is_not_up_and_its_successor_counts() {
    let (ok, key) = (case("ok"), case("ok").key());
    let mut leaving = ok.pods[5].clone();
    let mut next = leaving.clone();
    leaving
        .metadata
        .deletion_timestamp
        .clone_from(&leaving.metadata.creation_timestamp);
    let mut standing = Standing::new([key.clone()]);
    standing.pod(&leaving);
    assert_eq!(
        words(standing.state(&key)),
        (false, "its pod is being deleted".into())
    );
    (next.metadata.uid, next.metadata.name) = (Some("next".into()), Some("next".into()));
    standing.pod(&next);
    assert!(matches!(standing.state(&key), AgentState::Up { pod, .. } if pod == "next"));
}

#[test]
fn a_plane_that_admission_keeps_empty_says_why() {
    let (_, mut standing) = one();
    let set = json!({"metadata": {"name": "d", "uid": "d", "resourceVersion": "3", "labels": {"mesh/plane": "pod"}}});
    standing.daemon_set(&serde_json::from_value(set).expect("a DaemonSet"));
    let passing =
        "Error creating: pods \"x-\" is forbidden: error looking up service account y/default: not found";
    standing.event(&event("e1", "d", "DaemonSet", "FailedCreate", passing, 1));
    assert_eq!(standing.refusal(Plane::Pod), None);
    let for_good = "Error creating: pods \"x-\" is forbidden: capability may not be added";
    standing.event(&event("e2", "d", "DaemonSet", "FailedCreate", for_good, 1));
    let why = standing.refusal(Plane::Pod).unwrap_or_default();
    assert!(why.ends_with("capability may not be added"), "{why}");
    assert_eq!(standing.refusal(Plane::Host), None);
    standing.pod(&a_pod("p", BEFORE, json!({"phase": "Pending"})));
    assert_eq!(standing.refusal(Plane::Pod), None, "some pods were let in");
}

#[test]
fn that_a_pod_was_assigned_is_no_reason_why_it_is_not_up() {
    let (key, mut standing) = one();
    let message = "Successfully assigned mesh/p to n1";
    standing.event(&event("e1", "p", "Pod", "Scheduled", message, 1));
    standing.pod(&a_pod("p", BEFORE, json!({"phase": "Pending"})));
    let (_, why) = words(standing.state(&key));
    assert!(
        !why.contains("assigned") && why.contains("systemctl status kubelet"),
        "{why}"
    );
    standing.event(&event("e2", "p", "Pod", "Pulling", "Pulling image", 1));
    assert_eq!(words(standing.state(&key)).1, "Pulling: Pulling image");
}
