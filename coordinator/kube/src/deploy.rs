//! Makes a run's objects, each by server-side apply, in an order in which nothing waits for what comes later.

use futures_util::future::{join_all, try_join_all};
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Namespace, Secret, Service};
use kube::api::{Api, Patch, PatchParams};
use mesh_proto::{Plane, Port, Protocol, TrafficPolicy};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::alive::{Alive, AliveError};
use crate::api_error::is_not_found;
use crate::objects::{Blueprint, FIELD_MANAGER, HostFacts, Keys};
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
    /// Why agents of the host plane do without CAP_NET_ADMIN, where that was asked for: the API server's words.
    pub without_net_admin: Option<String>,
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
    // A kubelet that does not find the Secret waits for ten seconds, so the agents come after it.
    let agents = async {
        apply(&secrets, &blueprint.secret(keys)).await?;
        daemon_sets(kube, blueprint).await
    };
    // None is dropped half-way for the error of another: the API server might make its object later than it is removed.
    let (sets, alive, node_ports) =
        tokio::join!(agents, Alive::start(kube, blueprint), services(kube, blueprint));
    let DaemonSets {
        refused,
        without_net_admin,
    } = sets?;
    Ok(Deployed {
        node_ports,
        alive: alive?,
        refused,
        without_net_admin,
    })
}

/// A namespace that does not exist refuses everything with 404.
async fn exists(kube: &Kube, namespace: &str) -> Result<(), DeployError> {
    let namespaces = Api::<Namespace>::all(kube.client.clone());
    match namespaces.get_metadata(namespace).await {
        Err(error) if is_not_found(&error) => Err(DeployError::NoNamespace(namespace.to_owned())),
        // Whoever may not read it may well work in it.
        _ => Ok(()),
    }
}

/// What became of the DaemonSets.
#[derive(Debug, Default)]
struct DaemonSets {
    refused: Vec<(Plane, String)>,
    without_net_admin: Option<String>,
}

/// A plane without its DaemonSet is a plane that is not known; without any there is no run.
async fn daemon_sets(kube: &Kube, blueprint: &Blueprint) -> Result<DaemonSets, DeployError> {
    let sets = Api::<DaemonSet>::namespaced(kube.client.clone(), &blueprint.namespace());
    let made = blueprint.planes.iter().map(|plane| {
        let (sets, object) = (&sets, blueprint.daemon_set(*plane));
        async move { (*plane, apply(sets, &object).await.err()) }
    });
    let mut outcome = DaemonSets::default();
    let mut last = None;
    for (plane, error) in join_all(made).await {
        let Some(error) = error else { continue };
        let for_good = !error.may_pass();
        if for_good
            && asks_for_net_admin(blueprint, plane)
            && without_net_admin(kube, blueprint).await.is_ok()
        {
            outcome.without_net_admin = Some(error.to_string());
            continue;
        }
        outcome.refused.push((plane, error.to_string()));
        last = Some(error);
    }
    match last {
        Some(error) if outcome.refused.len() == blueprint.planes.len() => Err(error.into()),
        _ => Ok(outcome),
    }
}

/// Whether a plane's agents ask for CAP_NET_ADMIN.
pub(crate) fn asks_for_net_admin(blueprint: &Blueprint, plane: Plane) -> bool {
    plane == Plane::Host && blueprint.host_facts == HostFacts::Full && blueprint.planes.contains(&plane)
}

/// Makes the host plane's DaemonSet without CAP_NET_ADMIN, also in place of one that has it.
pub(crate) async fn without_net_admin(kube: &Kube, blueprint: &Blueprint) -> Result<(), ApiError> {
    let plain = Blueprint {
        host_facts: HostFacts::Plain,
        ..blueprint.clone()
    };
    let sets = Api::<DaemonSet>::namespaced(kube.client.clone(), &blueprint.namespace());
    apply(&sets, &plain.daemon_set(Plane::Host)).await.map(|_| ())
}

async fn services(kube: &Kube, blueprint: &Blueprint) -> NodePorts {
    let objects = blueprint.services();
    if objects.is_empty() {
        let why = if blueprint.node_ports {
            "none of its agents would stand in the pod network (--planes)"
        } else {
            "they were not asked for"
        };
        return NodePorts::Without(why.to_owned());
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
    let params = PatchParams::apply(FIELD_MANAGER).force();
    api.patch(&name, &params, &Patch::Apply(object))
        .await
        .map_err(ApiError::of(format!("make the {} {name}", K::kind(&()))))
}
