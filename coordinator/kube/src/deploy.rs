//! Makes a run's objects, each by server-side apply, in an order in which nothing waits for what comes later.

use futures_util::future::try_join_all;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Namespace, Secret, Service};
use kube::api::{Api, Patch, PatchParams};
use mesh_proto::{Plane, Port, Protocol, TrafficPolicy};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::alive::{Alive, AliveError, FIELD_MANAGER};
use crate::objects::{Blueprint, Keys};
use crate::{ApiError, Kube};

/// What was made of it.
#[derive(Debug)]
pub struct Deployed {
    /// NodePorts, as far as the cluster gave them.
    pub node_ports: NodePorts,
    /// Keeps the run's Lease.
    pub alive: Alive,
    /// Planes whose DaemonSet was refused, with the API server's words.
    pub refused: Vec<(Plane, String)>,
}

/// The NodePort services before the agents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodePorts {
    /// These ports.
    Given(Vec<(Port, Protocol, TrafficPolicy)>),
    /// A quota or a policy forbids them, or they were not asked for: why.
    Without(String),
}

/// Nothing can run.
#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    /// An object that a run cannot do without.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The Lease.
    #[error(transparent)]
    Alive(#[from] AliveError),
    /// A namespace that was given is not there.
    #[error(
        "there is no namespace {0}: `kubectl create namespace {0}`, or leave -n out, and the run makes one of its own"
    )]
    NoNamespace(String),
}

/// Makes everything. What it made before an error is left to [`crate::remove`].
pub async fn deploy(kube: &Kube, blueprint: &Blueprint, keys: &Keys) -> Result<Deployed, DeployError> {
    let namespace = blueprint.namespace();
    match blueprint.own_namespace() {
        Some(own) => {
            apply(&Api::<Namespace>::all(kube.client.clone()), &own).await?;
        }
        None => exists(kube, &namespace).await?,
    }
    let secrets = Api::<Secret>::namespaced(kube.client.clone(), &namespace);
    let secret = blueprint.secret(keys);
    // Services before pods: service rules are written while pods start.
    let secret = async { apply(&secrets, &secret).await.map_err(DeployError::from) };
    let alive = async { Alive::start(kube, blueprint).await.map_err(DeployError::from) };
    let services = async { Ok::<_, DeployError>(services(kube, blueprint).await) };
    let (_, alive, node_ports) = futures_util::try_join!(secret, alive, services)?;
    let refused = daemon_sets(kube, blueprint).await?;
    Ok(Deployed {
        node_ports,
        alive,
        refused,
    })
}

/// A namespace that does not exist refuses everything with 404.
async fn exists(kube: &Kube, namespace: &str) -> Result<(), DeployError> {
    let pods = Api::<k8s_openapi::api::core::v1::Namespace>::all(kube.client.clone());
    match pods.get_metadata(namespace).await {
        Err(error) if crate::api_error::is_not_found(&error) => {
            Err(DeployError::NoNamespace(namespace.to_owned()))
        }
        // Whoever may not read it may well work in it.
        _ => Ok(()),
    }
}

/// A plane without its DaemonSet is a plane that is not known; without any there is no run.
async fn daemon_sets(kube: &Kube, blueprint: &Blueprint) -> Result<Vec<(Plane, String)>, DeployError> {
    let sets = Api::<DaemonSet>::namespaced(kube.client.clone(), &blueprint.namespace());
    let mut refused = Vec::new();
    let mut last = None;
    let objects = blueprint.daemon_sets();
    for (plane, object) in blueprint.planes.iter().zip(&objects) {
        if let Err(error) = apply(&sets, object).await {
            refused.push((*plane, error.to_string()));
            last = Some(error);
        }
    }
    match last {
        Some(error) if refused.len() == objects.len() => Err(error.into()),
        _ => Ok(refused),
    }
}

async fn services(kube: &Kube, blueprint: &Blueprint) -> NodePorts {
    let objects = blueprint.services();
    if objects.is_empty() {
        return NodePorts::Without("they were not asked for".to_owned());
    }
    let api = Api::<Service>::namespaced(kube.client.clone(), &blueprint.namespace());
    match try_join_all(objects.iter().map(|object| apply(&api, object))).await {
        Ok(made) => NodePorts::Given(made.iter().flat_map(given).collect()),
        Err(error) => NodePorts::Without(error.to_string()),
    }
}

/// The ports that the cluster chose.
fn given(service: &Service) -> Vec<(Port, Protocol, TrafficPolicy)> {
    let spec = service.spec.as_ref();
    let policy = spec
        .and_then(|spec| spec.external_traffic_policy.as_deref())
        .and_then(|policy| policy.parse().ok())
        .unwrap_or(TrafficPolicy::Cluster);
    let ports = spec.and_then(|spec| spec.ports.as_deref()).unwrap_or_default();
    let read = |port: &k8s_openapi::api::core::v1::ServicePort| {
        let number = u16::try_from(port.node_port?).ok()?;
        let protocol = port
            .protocol
            .as_deref()
            .unwrap_or("TCP")
            .to_lowercase()
            .parse()
            .ok()?;
        Some((Port(number), protocol, policy))
    };
    ports.iter().filter_map(read).collect()
}

async fn apply<K>(api: &Api<K>, object: &K) -> Result<K, ApiError>
where
    K: kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + Serialize + DeserializeOwned,
{
    let name = object.meta().name.clone().unwrap_or_default();
    let what = || format!("make the {} {name}", K::kind(&()));
    let params = PatchParams::apply(FIELD_MANAGER).force();
    api.patch(&name, &params, &Patch::Apply(object))
        .await
        .map_err(ApiError::of(what()))
}
