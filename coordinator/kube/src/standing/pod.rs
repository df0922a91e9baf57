//! One pod, read.

use std::net::IpAddr;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodSpec, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use mesh_proto::{AgentKey, Plane};

use super::{AgentState, container, words};

/// The label that says which plane a pod or DaemonSet of ours stands in.
pub(super) const PLANE_LABEL: &str = "mesh/plane";

/// How far an agent got, for counting progress.
pub(super) mod stage {
    pub(in crate::standing) const MADE: u8 = 1;
    pub(in crate::standing) const BOUND: u8 = 2;
    pub(in crate::standing) const SANDBOX: u8 = 3;
    pub(in crate::standing) const PULLING: u8 = 4;
    pub(in crate::standing) const PULLED: u8 = 5;
    pub(in crate::standing) const STARTED: u8 = 6;
    pub(in crate::standing) const UP: u8 = 7;
}

/// What one version of a pod says.
#[derive(Debug, Clone)]
pub(super) struct PodNote {
    pub(super) key: AgentKey,
    pub(super) name: String,
    pub(super) version: String,
    created: Option<Timestamp>,
    /// Being deleted.
    pub(super) leaving: bool,
    /// Its sandbox stands: volumes are mounted and the CNI has done its part.
    pub(super) sandbox: bool,
    pub(super) stage: u8,
    pub(super) sight: Sight,
}

/// What a pod's status shows.
#[derive(Debug, Clone)]
pub(super) enum Sight {
    Up {
        address: IpAddr,
        addresses: Vec<IpAddr>,
    },
    /// `telling`: the status has words of its own; without, an event says more.
    Coming {
        what: String,
        telling: bool,
    },
    /// `log`: a container ran and ended.
    Stuck {
        why: String,
        log: bool,
    },
    /// The puller's message is missing in older kubelets while they back off: the events have it.
    NoImage {
        reason: String,
        image: String,
        why: Option<String>,
    },
    /// The phase is final: this pod never runs again.
    Failed(String),
}

impl PodNote {
    /// Reads a pod; nothing if it is none of ours or its node is not known.
    pub(super) fn read(pod: &Pod) -> Option<Self> {
        let meta = &pod.metadata;
        let plane = meta.labels.as_ref()?.get(PLANE_LABEL)?.parse().ok()?;
        let spec = pod.spec.as_ref()?;
        let bound = spec.node_name.as_deref().filter(|name| !name.is_empty());
        let node = bound.or_else(|| intended_node(spec))?.parse().ok()?;
        let key = AgentKey { node, plane };
        let nothing = PodStatus::default();
        let status = pod.status.as_ref().unwrap_or(&nothing);
        let sight = look(spec, status, plane);
        let sandbox = has_sandbox(status);
        Some(Self {
            name: meta.name.clone().unwrap_or_default(),
            version: meta.resource_version.clone().unwrap_or_default(),
            created: meta.creation_timestamp.as_ref().map(|time| time.0),
            leaving: meta.deletion_timestamp.is_some(),
            sandbox,
            stage: match &sight {
                Sight::Up { .. } => stage::UP,
                _ if container::any_started(status) => stage::STARTED,
                _ if sandbox => stage::SANDBOX,
                _ if bound.is_some() => stage::BOUND,
                _ => stage::MADE,
            },
            sight,
            key,
        })
    }

    pub(super) fn up(&self) -> Option<AgentState> {
        match &self.sight {
            Sight::Up { address, addresses } if !self.leaving => Some(AgentState::Up {
                pod: self.name.clone(),
                address: *address,
                addresses: addresses.clone(),
            }),
            _ => None,
        }
    }

    /// The greatest of an agent's pods is the one to look at. Times of creation have whole seconds only, hence the rest.
    pub(super) fn rank(&self) -> (bool, Option<Timestamp>, bool, Option<u64>) {
        let failed = matches!(self.sight, Sight::Failed(_));
        (!self.leaving, self.created, !failed, self.version.parse().ok())
    }
}

/// What tells an object from another of the same name before or after it.
pub(super) fn id(meta: &ObjectMeta) -> Option<String> {
    meta.uid
        .clone()
        .or_else(|| meta.name.clone())
        .filter(|id| !id.is_empty())
}

/// Whether a version is at least as new. They are numbers of one store since Kubernetes 1.35 (KEP-5504) and in practice
/// always were; where they are not, what comes last is the newest.
pub(super) fn supersedes(new: &str, known: &str) -> bool {
    match (new.parse::<u64>(), known.parse::<u64>()) {
        (Ok(new), Ok(known)) => new >= known,
        _ => true,
    }
}

/// The node that the DaemonSet controller made the pod for: it writes a match on the field `metadata.name`, and the
/// scheduler binds by it.
fn intended_node(spec: &PodSpec) -> Option<&str> {
    let affinity = spec.affinity.as_ref()?.node_affinity.as_ref()?;
    let terms = &affinity
        .required_during_scheduling_ignored_during_execution
        .as_ref()?
        .node_selector_terms;
    let mut fields = terms.iter().flat_map(|term| term.match_fields.iter().flatten());
    let names = fields
        .find(|field| field.key == "metadata.name" && field.operator == "In")?
        .values
        .as_ref()?;
    if let [name] = names.as_slice() {
        Some(name)
    } else {
        None
    }
}

fn condition<'a>(status: &'a PodStatus, kind: &str, value: &str) -> Option<(&'a str, &'a str)> {
    let mut conditions = status.conditions.iter().flatten();
    let found = conditions.find(|condition| condition.type_ == kind && condition.status == value)?;
    Some((
        found.reason.as_deref().unwrap_or_default(),
        found.message.as_deref().unwrap_or_default(),
    ))
}

fn has_sandbox(status: &PodStatus) -> bool {
    // The condition is on by default from 1.29; before that, a container that ran tells as much.
    condition(status, "PodReadyToStartContainers", "True").is_some() || container::any_started(status)
}

fn look(spec: &PodSpec, status: &PodStatus, plane: Plane) -> Sight {
    let coming = |what: &str, telling| Sight::Coming {
        what: what.to_owned(),
        telling,
    };
    let phase = status.phase.as_deref().unwrap_or("Pending");
    if phase == "Failed" || phase == "Succeeded" {
        return Sight::Failed(why_failed(status, phase));
    }
    if let Some((reason, message)) = condition(status, "PodScheduled", "False") {
        let said = words::scheduler(reason, message);
        // The scheduler is making room by itself.
        let preempts = status
            .nominated_node_name
            .as_deref()
            .is_some_and(|node| !node.is_empty());
        return if preempts {
            coming(&said, true)
        } else {
            Sight::Stuck {
                why: said,
                log: false,
            }
        };
    }
    if let Some(trouble) = container::trouble(spec, status) {
        return trouble;
    }
    let statuses = status.container_statuses.as_deref().unwrap_or_default();
    if phase == "Running" && !statuses.is_empty() && statuses.iter().all(is_running) {
        return addresses(status, plane).map_or_else(
            || coming("its pod runs, but has no address", true),
            |(address, addresses)| Sight::Up { address, addresses },
        );
    }
    if condition(status, "PodScheduled", "True").is_none() && spec.node_name.is_none() {
        return coming("its pod waits for the scheduler", true);
    }
    match container::waiting_reason(status) {
        Some(reason) => coming(&words::line(&format!("its pod is {phase}: {reason}")), false),
        None => coming(
            "its pod is bound to the node, and the kubelet there has not taken it up: does it run (systemctl status kubelet)?",
            false,
        ),
    }
}

fn is_running(status: &ContainerStatus) -> bool {
    status.state.as_ref().is_some_and(|state| state.running.is_some())
}

fn why_failed(status: &PodStatus, phase: &str) -> String {
    let reason = status.reason.as_deref().filter(|reason| !reason.is_empty());
    let message = status.message.as_deref().unwrap_or_default();
    match (reason, container::last_end(status)) {
        (None, Some(end)) if message.is_empty() => words::line(&format!("{phase}: {end}")),
        (reason, _) => words::said(reason.unwrap_or(phase), message),
    }
}

fn addresses(status: &PodStatus, plane: Plane) -> Option<(IpAddr, Vec<IpAddr>)> {
    let parse = |text: Option<&str>| text?.parse::<IpAddr>().ok();
    let pod = parse(status.pod_ip.as_deref())?;
    let mut all: Vec<IpAddr> = status
        .pod_ips
        .iter()
        .flatten()
        .filter_map(|ip| parse(Some(ip.ip.as_str())))
        .collect();
    let first = match plane {
        Plane::Pod => pod,
        Plane::Host => parse(status.host_ip.as_deref()).unwrap_or(pod),
    };
    if !all.contains(&first) {
        all.insert(0, first);
    }
    Some((first, all))
}
