//! What a run makes in the cluster, as plain data: a namespace of its own (or none), a Secret with the run's keys, a
//! DaemonSet per plane, two NodePort services, and a Lease that says that its coordinator lives.

mod daemon_set;
mod labels;
mod lease;
mod services;
mod toleration;

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Namespace, Secret, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use mesh_proto::{NodeName, Plane, Port};

pub(crate) use self::labels::{EXPIRES, PLANE, PORT, RUN, run_selector, selector_of_all};
pub(crate) use self::lease::LEASE_DURATION;
pub use self::toleration::Toleration;

/// A run's name: it is part of objects' names and their label, so lower-case letters and digits only (RFC 1123).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(String);

impl RunId {
    /// A run's name; `None` if it would be no part of an object's name.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let parsed = (1..=32).contains(&text.len()) && text.bytes().all(fits);
        parsed.then(|| Self(text.to_owned()))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of everything of which a run has one.
    pub(crate) fn object_name(&self) -> String {
        format!("mesh-{}", self.0)
    }
}

impl std::fmt::Display for RunId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// The run's own keys, for mutual TLS between agents and coordinator (PEM). They live as long as the run.
#[derive(Clone)]
pub struct Keys {
    /// The certificate authority that both sides trust.
    pub ca: String,
    /// The agents' certificate, for [`LINK_SERVER_NAME`].
    pub certificate: String,
    /// Its key.
    pub key: String,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // It holds a private key.
        f.write_str("Keys(..)")
    }
}

/// What the entries of the Secret are called, as in those of type `kubernetes.io/tls`.
mod secret_key {
    pub(super) const CA: &str = "ca.crt";
    pub(super) const CERTIFICATE: &str = "tls.crt";
    pub(super) const KEY: &str = "tls.key";
}

/// The name that agents prove to the coordinator; who they are they say themselves, in the run's own protocol.
pub const LINK_SERVER_NAME: &str = "agent.mesh.internal";

/// Who writes our objects, for server-side apply.
pub(crate) const FIELD_MANAGER: &str = "mesh";

/// What agents of the host plane may read of their node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostFacts {
    /// The rules of nftables and iptables as well, which the kernel lists only to CAP_NET_ADMIN.
    Full,
    /// What CAP_NET_RAW is enough for.
    Plain,
}

/// Everything that a run's objects depend on.
#[derive(Debug, Clone)]
pub struct Blueprint {
    /// The run.
    pub run: RunId,
    /// An existing namespace to use; else the run makes one.
    pub namespace: Option<String>,
    /// The image that agents run.
    pub image: String,
    /// The version of this program, for labels.
    pub version: String,
    /// The planes that were asked for.
    pub planes: Vec<Plane>,
    /// These nodes only; else all.
    pub nodes: Option<Vec<NodeName>>,
    /// What to tolerate; else everything.
    pub tolerations: Option<Vec<Toleration>>,
    /// A priority class for the agents.
    pub priority_class: Option<String>,
    /// Where agents take orders.
    pub link_port: Port,
    /// Where agents answer probes.
    pub responder_port: Port,
    /// Whether the cluster's first address family is IPv6.
    pub v6: bool,
    /// Make the two NodePort services.
    pub node_ports: bool,
    /// What agents of the host plane may read of their node.
    pub host_facts: HostFacts,
    /// When agents end themselves.
    pub expires: Timestamp,
}

impl Blueprint {
    /// The namespace that the objects stand in.
    pub fn namespace(&self) -> String {
        self.namespace.clone().unwrap_or_else(|| self.run.object_name())
    }

    /// The namespace to make, unless an existing one is used. Host-network pods are let in; those of the pod plane would
    /// pass the strictest level all the same.
    pub(crate) fn own_namespace(&self) -> Option<Namespace> {
        if self.namespace.is_some() {
            return None;
        }
        let mut metadata = self.metadata(self.namespace(), None);
        metadata.namespace = None;
        let level = |mode: &str| {
            (
                format!("pod-security.kubernetes.io/{mode}"),
                "privileged".to_owned(),
            )
        };
        metadata
            .labels
            .get_or_insert_default()
            .extend([level("enforce"), level("audit"), level("warn")]);
        Some(Namespace {
            metadata,
            ..Namespace::default()
        })
    }

    pub(crate) fn secret(&self, keys: &Keys) -> Secret {
        let entry = |name: &str, pem: &str| (name.to_owned(), ByteString(pem.as_bytes().to_vec()));
        Secret {
            metadata: self.metadata(self.run.object_name(), None),
            data: Some(BTreeMap::from([
                entry(secret_key::CA, &keys.ca),
                entry(secret_key::CERTIFICATE, &keys.certificate),
                entry(secret_key::KEY, &keys.key),
            ])),
            immutable: Some(true),
            ..Secret::default()
        }
    }

    pub(crate) fn daemon_set(&self, plane: Plane) -> DaemonSet {
        daemon_set::of(self, plane)
    }

    pub(crate) fn services(&self) -> Vec<Service> {
        if self.node_ports && self.planes.contains(&Plane::Pod) {
            services::both(self)
        } else {
            Vec::new()
        }
    }

    pub(crate) fn metadata(&self, name: String, plane: Option<Plane>) -> ObjectMeta {
        ObjectMeta {
            name: Some(name),
            namespace: Some(self.namespace()),
            labels: Some(labels::of(self, plane)),
            annotations: Some(BTreeMap::from([
                (EXPIRES.to_owned(), self.expires.to_string()),
                (PORT.to_owned(), self.responder_port.to_string()),
            ])),
            ..ObjectMeta::default()
        }
    }
}

/// All that a run would make, as YAML documents, the Secret's data left out: for `--dry-run`.
pub fn manifests(blueprint: &Blueprint) -> Vec<serde_json::Value> {
    fn value<T: serde::Serialize>(object: &T) -> serde_json::Value {
        // These are maps with text keys, which JSON can hold.
        serde_json::to_value(object).unwrap_or_default()
    }
    let hidden = Keys {
        ca: String::new(),
        certificate: String::new(),
        key: String::new(),
    };
    let mut all: Vec<serde_json::Value> = blueprint.own_namespace().iter().map(value).collect();
    all.push(value(&blueprint.secret(&hidden)));
    all.push(value(&blueprint.lease(None)));
    all.extend(blueprint.services().iter().map(value));
    let planes = blueprint.planes.iter();
    all.extend(planes.map(|plane| value(&blueprint.daemon_set(*plane))));
    all
}

#[cfg(test)]
mod tests;
