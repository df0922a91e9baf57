//! Objects and events as a cluster of Kubernetes 1.36 really made them (`seen.json`), and what becomes of them.

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Event, Pod};
use mesh_proto::{AgentKey, Plane};

use super::{AgentState, Standing};

#[derive(Debug, Clone, serde::Deserialize)]
pub(super) struct Seen {
    pub(super) case: String,
    pub(super) daemon_set: DaemonSet,
    pub(super) pods: Vec<Pod>,
    pub(super) events: Vec<Event>,
}

/// What a cluster said in each case: the DaemonSet, pods of one node in the order of their versions, events.
pub(super) fn seen() -> Vec<Seen> {
    serde_json::from_str(include_str!("seen.json")).expect("seen.json")
}

pub(super) fn case(name: &str) -> Seen {
    seen()
        .into_iter()
        .find(|seen| seen.case == name)
        .expect("a case of that name")
}

pub(super) fn key(node: &str, plane: Plane) -> AgentKey {
    AgentKey {
        node: node.parse().expect("a node's name"),
        plane,
    }
}

pub(super) fn three_nodes() -> Vec<AgentKey> {
    let both = |node| [key(node, Plane::Pod), key(node, Plane::Host)];
    ["n1", "n2", "n3"].into_iter().flat_map(both).collect()
}

impl Seen {
    /// The agent that the case is about: where its last pod belongs, else any of the plane.
    pub(super) fn key(&self) -> AgentKey {
        let note = self.pods.last().and_then(super::pod::PodNote::read);
        let plane = self.daemon_set.metadata.labels.as_ref().expect("labels")["mesh/plane"].parse();
        note.map_or_else(|| key("n1", plane.expect("a plane")), |note| note.key)
    }

    /// An index of three nodes that was told all of it.
    pub(super) fn told(&self) -> Standing {
        let mut standing = Standing::new(three_nodes());
        standing.daemon_set(&self.daemon_set);
        self.pods.iter().for_each(|pod| standing.pod(pod));
        self.events.iter().for_each(|event| standing.event(event));
        standing
    }

    fn state(&self) -> AgentState {
        self.told().state(&self.key())
    }
}

#[test]
fn a_pod_that_runs_is_up_with_its_addresses() {
    let up = |pod: &str, ip: &str| AgentState::Up {
        pod: pod.into(),
        address: ip.parse().expect("ip"),
        addresses: vec![ip.parse().expect("ip")],
    };
    assert_eq!(case("ok").state(), up("ok-v8qp5", "10.244.0.2"));
    assert_eq!(case("okhost").state(), up("okhost-z42v2", "172.18.0.4"));
    // Readiness is not asked for: the link says whether the agent answers.
    assert!(matches!(case("notready").state(), AgentState::Up { .. }));
}

/// Case | how its words begin | how they end | the pod whose log would tell more.
const STUCK: &str = r#"
noimage | ImagePullBackOff: image cluster.local/nothere:9: Head "https: | read: connection refused | -
refused | ImagePullBackOff: image 127.0.0.1:5999/x:1: Head "https: | connect: connection refused | -
invalidname | InvalidImageName: image Not A Valid//Name: | repository name (/Name) must be lowercase | -
never | ErrImageNeverPull: image cluster.local/nothere:9: | is not present with pull policy of Never | -
exit1 | CrashLoopBackOff: container probe ended | with exit code 1, restarted once | exit1-fhwlm
exit0 | Completed: container probe ended | with exit code 0, restarted 5 times | exit0-bpsxp
oom | OOMKilled: container probe ended | with exit code 137 (signal 9), restarted 5 times | oom-9lr77
init | Error: container first ended | with exit code 3, restarted 5 times | init-ttcz7
nocmd | CrashLoopBackOff: container probe ended | stat /no/such/cmd: no such file or directory | -
seccomp | CreateContainerError: failed to create | seccomp/nope.json: no such file or directory | -
cfgenv | CreateContainerConfigError: | secret "missing" not found | -
nonroot | CreateContainerConfigError: container has runAsNonRoot and | container: probe) | -
secret | FailedMount: MountVolume.SetUp failed for | secret "missing" not found | -
hostpath | FailedMount: MountVolume.SetUp failed for | hostPath type check failed: /nope/nope is not a directory | -
rtclass2 | FailedCreatePodSandBox: unable to get | OCI runtime for sandbox: no runtime for "nope" is configured | -
bigcpu | Pending: 0/3 nodes are available: 1 Insufficient cpu, | satisfy plugin(s) [NodeAffinity] | -
port1 | Pending: 0/3 nodes are available: 1 node(s) didn't have free ports | plugin(s) [NodeAffinity] | -
pvc | Pending: 0/3 nodes are available: | persistentvolumeclaim "missing" not found. not found | -
sysctl | SysctlForbidden: Pod was rejected: forbidden | sysctl: "net.core.somaxconn" not allowlisted | -
evict | Evicted: Pod ephemeral local storage | usage exceeds the total limit of containers 10Mi. | -
rtclass | FailedCreate: pods "rtclass-" is forbidden: | pod rejected: RuntimeClass "nope" not found | -
prio | FailedCreate: pods "prio-" is forbidden: | no PriorityClass with name nope was found | -
quota | FailedCreate: pods "quota-5tc95" is forbidden: | none, requested: pods=1, used: pods=0, limited: pods=0 | -
psa | FailedCreate: pods "psa-l96s8" is forbidden: violates PodSecurity "restricted:latest": host namespaces | … | -
nofit | its DaemonSet wants no pod on this node: | node selector, affinity or tolerations leave it out | -
"#;

#[test]
fn what_is_stuck_says_why_in_kubernetes_own_words() {
    let lines: Vec<&str> = STUCK.trim().lines().collect();
    for line in &lines {
        let [name, start, end, log] = line.split(" | ").collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        let AgentState::Stuck { why, log_of } = case(name).state() else {
            panic!("{name} is not stuck")
        };
        assert!(why.starts_with(start) && why.ends_with(end), "{name}: {why}");
        assert!(why.chars().count() <= 300, "{name}: {why}");
        assert_eq!(log_of.as_deref().unwrap_or("-"), log, "{name}");
    }
    // Three are up, and quota2 has a test of its own.
    assert_eq!(lines.len() + 4, seen().len(), "every case is looked at");
}

#[test]
fn a_kubelet_that_waits_for_a_secret_to_be_told_of_tries_again() {
    let waits = "failed to sync secret cache: timed out waiting for the condition";
    let said = "secret \"missing\" not found";
    let mut seen = case("cfgenv");
    let pods = seen.pods.iter_mut().filter_map(|pod| pod.status.as_mut());
    for container in pods.flat_map(|status| status.container_statuses.iter_mut().flatten()) {
        let waiting = container
            .state
            .as_mut()
            .and_then(|state| state.waiting.as_mut())
            .expect("it waits");
        waiting.message = Some(waits.to_owned()).filter(|_| waiting.message.as_deref() == Some(said));
    }
    let AgentState::Coming { what } = seen.state() else {
        panic!("it is stuck")
    };
    assert_eq!(what, format!("CreateContainerConfigError: {waits}"));

    let mut seen = case("secret");
    for event in &mut seen.events {
        event.message = event.message.as_ref().map(|message| message.replace(said, waits));
    }
    assert!(matches!(seen.state(), AgentState::Coming { .. }));
}

#[test]
fn admission_is_quoted_from_its_first_word() {
    let AgentState::Stuck { why, .. } = case("psa").state() else {
        panic!("not stuck")
    };
    assert!(
        why.contains("violates PodSecurity \"restricted:latest\": host namespaces (hostNetwork=true), "),
        "{why}"
    );
}

#[test]
fn a_quota_stops_only_those_that_have_no_pod() {
    let seen = case("quota2");
    let standing = seen.told();
    assert!(matches!(
        standing.state(&key("n2", Plane::Pod)),
        AgentState::Up { .. }
    ));
    assert!(matches!(
        standing.state(&key("n3", Plane::Pod)),
        AgentState::Up { .. }
    ));
    let AgentState::Stuck { why, .. } = standing.state(&key("n1", Plane::Pod)) else {
        panic!("not stuck")
    };
    assert!(
        why.contains("exceeded quota: two, requested: pods=1, used: pods=2"),
        "{why}"
    );
    // The other plane has nothing to do with it.
    assert_eq!(
        standing.state(&key("n1", Plane::Host)),
        AgentState::Coming {
            what: "no pod yet".into()
        }
    );
    let summary = standing.summary();
    assert_eq!((summary.up, summary.stuck, summary.all), (2, 1, 6));
    assert!(!summary.is_settled() && !summary.is_complete());
    assert_eq!(standing.refusal(Plane::Pod), None, "two of its pods are there");
}

#[test]
fn each_step_of_a_pod_is_progress_and_a_crash_is_none() {
    let told = |name: &str| {
        let mut standing = Standing::new([case(name).key()]);
        let steps = case(name).pods.into_iter().map(|pod| {
            standing.pod(&pod);
            (
                standing.progress(),
                matches!(standing.state(&case(name).key()), AgentState::Up { .. }),
            )
        });
        steps.collect::<Vec<_>>()
    };
    assert_eq!(
        told("ok"),
        [
            (1, false),
            (2, false),
            (2, false),
            (3, false),
            (7, true),
            (7, true)
        ]
    );
    let crashing: Vec<u64> = told("exit1").into_iter().map(|(progress, _)| progress).collect();
    assert_eq!(crashing[4..], [7; 5]);
}
