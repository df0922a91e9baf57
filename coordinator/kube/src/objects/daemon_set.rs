//! The DaemonSet of a plane. Agents of the pod plane ask for nothing that Pod Security's `restricted` forbids; those of the
//! host plane need the node's network, and CAP_NET_RAW, which only root gets (ambient capabilities are not to be had); to list
//! the node's firewall rules they ask for CAP_NET_ADMIN as well.
//!
//! There is no volume: the kubelet looks for mounts every 300 ms (Kubernetes `pkg/kubelet/volumemanager`), so that a Secret in
//! one would cost each agent as much. The keys are in the environment.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{DaemonSet, DaemonSetSpec};
use k8s_openapi::api::core::v1::{
    Affinity, Capabilities, Container, EnvVar, EnvVarSource, NodeAffinity, NodeSelector,
    NodeSelectorRequirement, NodeSelectorTerm, ObjectFieldSelector, PodSecurityContext, PodSpec,
    PodTemplateSpec, ResourceRequirements, SeccompProfile, SecretKeySelector, SecurityContext, Sysctl,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use mesh_proto::{NodeName, Plane};

use super::{Blueprint, HostFacts, PLANE, RUN, Toleration, labels, secret_key};

/// Whoever that is, it is not root: the number that distroless images use for `nonroot`.
const NOBODY: i64 = 65_532;

pub(super) fn of(blueprint: &Blueprint, plane: Plane) -> DaemonSet {
    let labels = labels::of(blueprint, Some(plane));
    let chosen = BTreeMap::from([
        (RUN.to_owned(), blueprint.run.to_string()),
        (PLANE.to_owned(), plane.to_string()),
    ]);
    DaemonSet {
        metadata: blueprint.metadata(format!("{}-{plane}", blueprint.run.object_name()), Some(plane)),
        spec: Some(DaemonSetSpec {
            selector: LabelSelector {
                match_labels: Some(chosen),
                ..LabelSelector::default()
            },
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(labels),
                    ..ObjectMeta::default()
                }),
                spec: Some(pod(blueprint, plane)),
            },
            ..DaemonSetSpec::default()
        }),
        ..DaemonSet::default()
    }
}

fn pod(blueprint: &Blueprint, plane: Plane) -> PodSpec {
    PodSpec {
        containers: vec![container(blueprint, plane)],
        host_network: (plane == Plane::Host).then_some(true),
        // Agents resolve as applications of their place do.
        dns_policy: Some(
            if plane == Plane::Host {
                "Default"
            } else {
                "ClusterFirst"
            }
            .to_owned(),
        ),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        // Agents end at once when they are told to.
        termination_grace_period_seconds: Some(1),
        priority_class_name: blueprint.priority_class.clone(),
        tolerations: Some(tolerations(blueprint.tolerations.as_deref())),
        node_selector: Some(BTreeMap::from([(
            "kubernetes.io/os".to_owned(),
            "linux".to_owned(),
        )])),
        affinity: Some(affinity(blueprint.nodes.as_deref())),
        security_context: Some(pod_security(plane)),
        ..PodSpec::default()
    }
}

fn container(blueprint: &Blueprint, plane: Plane) -> Container {
    let any = if blueprint.v6 { "[::]" } else { "0.0.0.0" };
    let env = |name: &str, value: String| EnvVar {
        name: name.to_owned(),
        value: Some(value),
        ..EnvVar::default()
    };
    let from = |name: &str, source: EnvVarSource| EnvVar {
        name: name.to_owned(),
        value_from: Some(source),
        ..EnvVar::default()
    };
    let field = |path: &str| EnvVarSource {
        field_ref: Some(ObjectFieldSelector {
            field_path: path.to_owned(),
            ..ObjectFieldSelector::default()
        }),
        ..EnvVarSource::default()
    };
    let key = |key: &str| EnvVarSource {
        secret_key_ref: Some(SecretKeySelector {
            name: blueprint.run.object_name(),
            key: key.to_owned(),
            ..SecretKeySelector::default()
        }),
        ..EnvVarSource::default()
    };
    Container {
        name: "agent".to_owned(),
        image: Some(blueprint.image.clone()),
        image_pull_policy: Some("IfNotPresent".to_owned()),
        args: Some(vec!["probe".to_owned()]),
        env: Some(vec![
            from("MESH_NODE", field("spec.nodeName")),
            env("MESH_PLANE", plane.to_string()),
            env("MESH_LISTEN", format!("tcp:{any}:{}", blueprint.link_port)),
            env("MESH_RESPONDER_PORT", blueprint.responder_port.to_string()),
            from("MESH_TLS_CA", key(secret_key::CA)),
            from("MESH_TLS_CERT", key(secret_key::CERTIFICATE)),
            from("MESH_TLS_KEY", key(secret_key::KEY)),
            env("MESH_EXPIRES", blueprint.expires.to_string()),
        ]),
        // No limit of CPU: an agent that is throttled loses what it should measure.
        resources: Some(ResourceRequirements {
            requests: Some(quantities(&[("cpu", "10m"), ("memory", "16Mi")])),
            limits: Some(quantities(&[("memory", "128Mi")])),
            ..ResourceRequirements::default()
        }),
        security_context: Some(container_security(blueprint.host_facts, plane)),
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        ..Container::default()
    }
}

fn quantities(of: &[(&str, &str)]) -> BTreeMap<String, Quantity> {
    let entry = |(name, amount): &(&str, &str)| ((*name).to_owned(), Quantity((*amount).to_owned()));
    of.iter().map(entry).collect()
}

fn pod_security(plane: Plane) -> PodSecurityContext {
    let as_root = plane == Plane::Host;
    let user = if as_root { 0 } else { NOBODY };
    PodSecurityContext {
        run_as_non_root: Some(!as_root),
        run_as_user: Some(user),
        run_as_group: Some(user),
        seccomp_profile: Some(SeccompProfile {
            type_: "RuntimeDefault".to_owned(),
            ..SeccompProfile::default()
        }),
        // Ping without a capability. The kubelet refuses sysctls of the network to pods that stand in the node's.
        sysctls: (!as_root).then(|| {
            vec![Sysctl {
                name: "net.ipv4.ping_group_range".to_owned(),
                value: "0 2147483647".to_owned(),
            }]
        }),
        ..PodSecurityContext::default()
    }
}

fn container_security(host_facts: HostFacts, plane: Plane) -> SecurityContext {
    let add: Option<&[&str]> = match (plane, host_facts) {
        (Plane::Pod, _) => None,
        (Plane::Host, HostFacts::Full) => Some(&["NET_ADMIN", "NET_RAW"]),
        (Plane::Host, HostFacts::Plain) => Some(&["NET_RAW"]),
    };
    SecurityContext {
        allow_privilege_escalation: Some(false),
        read_only_root_filesystem: Some(true),
        capabilities: Some(Capabilities {
            drop: Some(vec!["ALL".to_owned()]),
            add: add.map(|add| add.iter().map(ToString::to_string).collect()),
        }),
        ..SecurityContext::default()
    }
}

fn tolerations(wanted: Option<&[Toleration]>) -> Vec<k8s_openapi::api::core::v1::Toleration> {
    type Spelled = k8s_openapi::api::core::v1::Toleration;
    let Some(wanted) = wanted else {
        return vec![Spelled {
            operator: Some("Exists".to_owned()),
            ..Spelled::default()
        }];
    };
    let spell = |of: &Toleration| Spelled {
        key: Some(of.key.clone()),
        operator: Some(if of.value.is_some() { "Equal" } else { "Exists" }.to_owned()),
        value: of.value.clone(),
        effect: of.effect.clone(),
        ..Spelled::default()
    };
    wanted.iter().map(spell).collect()
}

/// Not on nodes that are none (virtual kubelets), and on the chosen ones only, where some were chosen.
fn affinity(nodes: Option<&[NodeName]>) -> Affinity {
    let not = |key: &str, value: &str| NodeSelectorRequirement {
        key: key.to_owned(),
        operator: "NotIn".to_owned(),
        values: Some(vec![value.to_owned()]),
    };
    let real = vec![
        not("type", "virtual-kubelet"),
        not("eks.amazonaws.com/compute-type", "fargate"),
    ];
    let term = |name: Option<&NodeName>| NodeSelectorTerm {
        match_expressions: Some(real.clone()),
        // A match field takes one value, so each node is a term of its own; terms are alternatives.
        match_fields: name.map(|name| {
            vec![NodeSelectorRequirement {
                key: "metadata.name".to_owned(),
                operator: "In".to_owned(),
                values: Some(vec![name.to_string()]),
            }]
        }),
    };
    let terms = match nodes {
        None => vec![term(None)],
        Some(nodes) => nodes.iter().map(|name| term(Some(name))).collect(),
    };
    Affinity {
        node_affinity: Some(NodeAffinity {
            required_during_scheduling_ignored_during_execution: Some(NodeSelector {
                node_selector_terms: terms,
            }),
            ..NodeAffinity::default()
        }),
        ..Affinity::default()
    }
}
