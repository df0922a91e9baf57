//! A node as the API describes it.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Node, NodeCondition, NodeStatus, Taint};
use mesh_proto::NodeName;

/// A machine of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundNode {
    /// Its name.
    pub name: NodeName,
    /// The failure zone that it is labelled with.
    pub zone: Option<String>,
    /// Its addresses on its own network, the primary family's first. Empty where the node tells none.
    pub addresses: Vec<IpAddr>,
    /// `spec.podCIDRs`. Networks with an address management of their own leave it empty.
    pub pod_cidrs: Vec<String>,
    /// Whether nothing new is to be scheduled there (`kubectl cordon`).
    pub cordoned: bool,
    /// Whether its condition `Ready` is true: its kubelet is heard of, and well.
    pub ready: bool,
    /// Why it takes no pods, in the words of its conditions `Ready` and `NetworkUnavailable`. A reason to expect trouble,
    /// not to leave it out.
    pub not_ready: Option<String>,
    /// Why it will not be there much longer.
    pub leaving: Option<String>,
    /// Its taints.
    pub taints: Vec<NodeTaint>,
    /// Why no agent can run there, for good: another operating system, or no machine at all.
    pub skip: Option<String>,
}

/// What keeps pods off a node that do not tolerate it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeTaint {
    /// Its key.
    pub key: String,
    /// Its value, if it has one.
    pub value: Option<String>,
    /// What happens to pods that do not tolerate it.
    pub effect: TaintEffect,
}

/// What a taint does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaintEffect {
    /// Nothing new is scheduled.
    NoSchedule,
    /// Other nodes are preferred.
    PreferNoSchedule,
    /// What runs is evicted as well.
    NoExecute,
    /// An effect of a later Kubernetes.
    Other(String),
}

impl fmt::Display for NodeTaint {
    /// As `kubectl taint` writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.key)?;
        if let Some(value) = &self.value {
            write!(f, "={value}")?;
        }
        let effect = match &self.effect {
            TaintEffect::NoSchedule => "NoSchedule",
            TaintEffect::PreferNoSchedule => "PreferNoSchedule",
            TaintEffect::NoExecute => "NoExecute",
            TaintEffect::Other(name) => name,
        };
        write!(f, ":{effect}")
    }
}

impl From<&Taint> for NodeTaint {
    fn from(taint: &Taint) -> Self {
        Self {
            key: taint.key.clone(),
            value: taint.value.clone().filter(|value| !value.is_empty()),
            effect: match taint.effect.as_str() {
                "NoSchedule" => TaintEffect::NoSchedule,
                "PreferNoSchedule" => TaintEffect::PreferNoSchedule,
                "NoExecute" => TaintEffect::NoExecute,
                other => TaintEffect::Other(other.to_owned()),
            },
        }
    }
}

/// Reads a node, or says why it cannot be one.
pub(crate) fn read(node: &Node) -> Result<FoundNode, String> {
    let name = node.metadata.name.clone().unwrap_or_default();
    let name: NodeName = name
        .parse()
        .map_err(|error| format!("a node is left out: {error}"))?;
    let spec = node.spec.as_ref();
    let taints = spec.and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
    Ok(FoundNode {
        name,
        zone: label(node, "topology.kubernetes.io/zone")
            // What it was called before Kubernetes 1.17.
            .or_else(|| label(node, "failure-domain.beta.kubernetes.io/zone"))
            .map(str::to_owned),
        addresses: addresses(node.status.as_ref()),
        pod_cidrs: spec
            .and_then(|spec| {
                let one = || spec.pod_cidr.clone().map(|only| vec![only]);
                spec.pod_cidrs.clone().or_else(one)
            })
            .unwrap_or_default(),
        cordoned: spec.and_then(|spec| spec.unschedulable).unwrap_or(false),
        ready: is_ready(node.status.as_ref()),
        not_ready: not_ready(node.status.as_ref()),
        leaving: leaving(node, taints),
        taints: taints.iter().map(NodeTaint::from).collect(),
        skip: skip(node, taints),
    })
}

fn addresses(status: Option<&NodeStatus>) -> Vec<IpAddr> {
    let told = status
        .and_then(|status| status.addresses.as_deref())
        .unwrap_or_default();
    let of_type = |type_: &str| {
        let mut found: Vec<IpAddr> = Vec::new();
        for address in told.iter().filter(|address| address.type_ == type_) {
            if let Ok(address) = address.address.parse()
                && !found.contains(&address)
            {
                found.push(address);
            }
        }
        found
    };
    let internal = of_type("InternalIP");
    // The kubelet gives pods of the host network the external address where there is no internal one.
    if internal.is_empty() {
        of_type("ExternalIP")
    } else {
        internal
    }
}

fn is_ready(status: Option<&NodeStatus>) -> bool {
    let mut conditions = status
        .and_then(|status| status.conditions.as_deref())
        .into_iter()
        .flatten();
    conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

fn not_ready(status: Option<&NodeStatus>) -> Option<String> {
    let conditions = status
        .and_then(|status| status.conditions.as_deref())
        .unwrap_or_default();
    let named = |type_: &str| conditions.iter().find(|condition| condition.type_ == type_);
    let Some(ready) = named("Ready") else {
        return Some("it has no condition Ready: its kubelet has not reported yet".to_owned());
    };
    if ready.status != "True" {
        return Some(in_words(ready));
    }
    named("NetworkUnavailable")
        .filter(|condition| condition.status == "True")
        .map(in_words)
}

/// Taints of those who take nodes away, and who that is: the cluster autoscaler, Karpenter, and an operator who has declared a
/// node dead (KEP-2268).
const LEAVING: [(&str, &str); 3] = [
    (
        "ToBeDeletedByClusterAutoscaler",
        "the cluster autoscaler takes it away",
    ),
    ("karpenter.sh/disrupted", "Karpenter takes it away"),
    (
        "node.kubernetes.io/out-of-service",
        "it was declared out of service",
    ),
];

fn leaving(node: &Node, taints: &[Taint]) -> Option<String> {
    if node.metadata.deletion_timestamp.is_some() {
        return Some("it is being deleted".to_owned());
    }
    let of = |(key, who): &(&str, &str)| {
        let has = taints.iter().any(|taint| taint.key == *key);
        has.then(|| format!("{who} (taint {key})"))
    };
    LEAVING.iter().find_map(of)
}

fn in_words(condition: &NodeCondition) -> String {
    let mut words = format!("{} is {}", condition.type_, condition.status);
    for more in [&condition.reason, &condition.message].into_iter().flatten() {
        if !more.is_empty() {
            words.push_str(": ");
            words.push_str(more);
        }
    }
    words
}

fn skip(node: &Node, taints: &[Taint]) -> Option<String> {
    let os = node
        .status
        .as_ref()
        .and_then(|status| status.node_info.as_ref())
        .map(|info| info.operating_system.as_str())
        .filter(|os| !os.is_empty());
    let os = label(node, "kubernetes.io/os").or(os);
    if let Some(os) = os.filter(|os| *os != "linux") {
        return Some(format!("it runs {os}, agents run on linux only"));
    }
    stands_in(node, taints).map(|what| format!("no machine stands behind it: {what}"))
}

/// What a node is that only stands in for something else: its pods run elsewhere, one network each, and DaemonSets do not
/// run there.
fn stands_in(node: &Node, taints: &[Taint]) -> Option<String> {
    const FARGATE: &str = "eks.amazonaws.com/compute-type";
    let tainted = |key: &str| taints.iter().find(|taint| taint.key == key);
    let is_fargate = |value: &str| value == "fargate";
    if label(node, FARGATE).is_some_and(is_fargate)
        || tainted(FARGATE)
            .and_then(|taint| taint.value.as_deref())
            .is_some_and(is_fargate)
    {
        return Some("EKS Fargate".to_owned());
    }
    if let Some(taint) = tainted("virtual-kubelet.io/provider") {
        let provider = taint.value.as_deref().filter(|value| !value.is_empty());
        return Some(match provider {
            Some("azure") => "virtual kubelet, Azure Container Instances".to_owned(),
            Some(provider) => format!("virtual kubelet, {provider}"),
            None => "virtual kubelet".to_owned(),
        });
    }
    if label(node, "type") == Some("virtual-kubelet") {
        return Some("virtual kubelet".to_owned());
    }
    if label(node, "liqo.io/type") == Some("virtual-node") {
        return Some("Liqo, another cluster".to_owned());
    }
    if label(node, "node.kubernetes.io/instance-type") == Some("eklet") {
        return Some("Tencent super node".to_owned());
    }
    if annotation(node, "kwok.x-k8s.io/node").is_some() {
        return Some("KWOK, simulated".to_owned());
    }
    None
}

fn label<'a>(node: &'a Node, key: &str) -> Option<&'a str> {
    filled(node.metadata.labels.as_ref(), key)
}

/// An annotation that is not empty.
pub(super) fn annotation<'a>(node: &'a Node, key: &str) -> Option<&'a str> {
    filled(node.metadata.annotations.as_ref(), key)
}

fn filled<'a>(of: Option<&'a BTreeMap<String, String>>, key: &str) -> Option<&'a str> {
    of?.get(key).map(String::as_str).filter(|value| !value.is_empty())
}

/// Whether no Linux agent can stand here, so that what its network says of itself does not count for the others.
pub(super) fn is_left_out(node: &Node) -> bool {
    let spec = node.spec.as_ref();
    let taints = spec.and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
    skip(node, taints).is_some()
}

#[cfg(test)]
mod tests;
