//! Takes away what a run made: at its end, or later if its coordinator was killed. Only what carries a run's label is
//! touched.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Namespace, Pod, Secret, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, DeleteParams, ListParams};
use kube::core::NamespaceResourceScope;
use serde::de::DeserializeOwned;

use crate::api_error::is_not_found;
use crate::objects::{FIELD_MANAGER, LEASE_DURATION, RUN, RunId, run_selector, selector_of_all};
use crate::{ApiError, Kube};

/// Something could not be listed or deleted.
#[derive(Debug, thiserror::Error)]
#[error("not everything that runs left could be removed: {0}")]
pub struct CleanupError(#[from] ApiError);

impl CleanupError {
    /// Whether it may be better in a while.
    pub fn may_pass(&self) -> bool {
        self.0.may_pass()
    }
}

/// What was found of earlier runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cleaned {
    /// Runs that are gone now.
    pub removed: Vec<RunId>,
    /// Runs whose coordinators live; they were left alone.
    pub alive: Vec<RunId>,
}

/// By the API server's clock, a Lease that is older than that is nobody's. There may be several API servers, and their clocks
/// may differ a little.
const LONG_DEAD: Duration = LEASE_DURATION.saturating_mul(2);
/// A namespace without a Lease is one that a run has just begun to fill, unless it is older than that.
const LONG_EMPTY: Duration = Duration::from_mins(2);
/// Between two looks at a Lease that may yet be renewed.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Removes all of a run. What is in its own namespace goes as well, so that only an empty one is left to the cluster, which
/// takes its time with namespaces (Kubernetes `pkg/controller/namespace`: five seconds at the least).
pub async fn remove(
    kube: &Kube,
    run: &RunId,
    namespace: &str,
    own_namespace: bool,
) -> Result<(), CleanupError> {
    let selector = run_selector(run);
    let own = async {
        if !own_namespace {
            return Ok(());
        }
        let namespaces = Api::<Namespace>::all(kube.client.clone());
        let deleted = namespaces.delete(namespace, &DeleteParams::background()).await;
        gone(deleted.map(|_| ()), || {
            format!("delete the namespace {namespace}")
        })
    };
    let agents = async {
        // The DaemonSets before their pods, or these would be made again.
        delete_all::<DaemonSet>(kube, namespace, &selector).await?;
        // A namespace that is on its way out lets nobody add to it; its controller is spared the pods all the same.
        let (pods, own) = tokio::join!(delete_all::<Pod>(kube, namespace, &selector), own);
        pods.and(own)
    };
    // One that fails leaves the others to go on.
    let (agents, services, secrets, leases) = tokio::join!(
        agents,
        delete_all::<Service>(kube, namespace, &selector),
        delete_all::<Secret>(kube, namespace, &selector),
        delete_all::<Lease>(kube, namespace, &selector),
    );
    agents.and(services).and(secrets).and(leases)
}

/// Removes what runs left whose coordinators are gone: in one namespace, or in all that runs made. A run that may live is
/// looked at until that is known, which takes up to 15 s.
pub async fn clean_up(kube: &Kube, namespace: Option<&str>) -> Result<Cleaned, CleanupError> {
    let now = kube.server_time().await;
    let runs = runs(kube, namespace).await?;
    let looked = runs.into_iter().map(|(run, place)| async move {
        let dead = is_dead(kube, &run, &place, now).await?;
        if dead {
            remove(kube, &run, &place.namespace, namespace.is_none()).await?;
        }
        Ok::<_, CleanupError>((run, dead))
    });
    let mut cleaned = Cleaned::default();
    let mut first_error = None;
    for outcome in join_all(looked).await {
        match outcome {
            Ok((run, true)) => cleaned.removed.push(run),
            Ok((run, false)) => cleaned.alive.push(run),
            // The others are removed all the same.
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    first_error.map_or(Ok(cleaned), Err)
}

/// Removes, of the other runs, those that are dead for so long that one look tells.
pub async fn clean_up_in_passing(
    kube: &Kube,
    namespace: Option<&str>,
    own: &RunId,
) -> Result<Vec<RunId>, CleanupError> {
    let Some(now) = kube.server_time().await else {
        return Ok(Vec::new());
    };
    let mut removed = Vec::new();
    for (run, place) in runs(kube, namespace).await? {
        if run != *own
            && lease(kube, &run, &place.namespace)
                .await?
                .is_long_dead(&place, now)
        {
            remove(kube, &run, &place.namespace, namespace.is_none()).await?;
            removed.push(run);
        }
    }
    Ok(removed)
}

/// Where a run's objects are.
#[derive(Debug, Clone)]
struct Found {
    namespace: String,
    /// When the namespace was made, where it is the run's own.
    made: Option<Timestamp>,
}

/// Runs that left something.
async fn runs(kube: &Kube, namespace: Option<&str>) -> Result<BTreeMap<RunId, Found>, CleanupError> {
    match namespace {
        Some(namespace) => runs_in(kube, namespace).await,
        None => own_namespaces(kube).await,
    }
}

/// Namespaces that runs made and that are not on their way out.
async fn own_namespaces(kube: &Kube) -> Result<BTreeMap<RunId, Found>, CleanupError> {
    let namespaces = Api::<Namespace>::all(kube.client.clone());
    let list = namespaces
        .list_metadata(&ListParams::default().labels(&selector_of_all()))
        .await
        .map_err(ApiError::of("list namespaces"))?;
    let ours = list
        .items
        .into_iter()
        .filter(|namespace| namespace.metadata.deletion_timestamp.is_none());
    let found = |metadata: ObjectMeta| {
        let place = Found {
            made: metadata.creation_timestamp.as_ref().map(|time| time.0),
            namespace: metadata.name.clone()?,
        };
        Some((run_of(&metadata)?, place))
    };
    Ok(ours.filter_map(|namespace| found(namespace.metadata)).collect())
}

/// Runs that left something in a namespace that is not theirs.
async fn runs_in(kube: &Kube, namespace: &str) -> Result<BTreeMap<RunId, Found>, CleanupError> {
    let selector = selector_of_all();
    let (sets, services, secrets, leases) = futures_util::try_join!(
        runs_of::<DaemonSet>(kube, namespace, &selector),
        runs_of::<Service>(kube, namespace, &selector),
        runs_of::<Secret>(kube, namespace, &selector),
        runs_of::<Lease>(kube, namespace, &selector),
    )?;
    let place = Found {
        namespace: namespace.to_owned(),
        made: None,
    };
    let runs = [sets, services, secrets, leases].into_iter().flatten();
    Ok(runs.map(|run| (run, place.clone())).collect())
}

/// Whether a run's coordinator is gone.
async fn is_dead(
    kube: &Kube,
    run: &RunId,
    place: &Found,
    now: Option<Timestamp>,
) -> Result<bool, CleanupError> {
    let seen = lease(kube, run, &place.namespace).await?;
    if now.is_some_and(|now| seen.is_long_dead(place, now)) {
        return Ok(true);
    }
    if seen.0.is_none() {
        // A run makes its Lease before anything else that lasts; it may be making it now.
        tokio::time::sleep(LOOK_EVERY).await;
        return Ok(lease(kube, run, &place.namespace).await?.0.is_none());
    }
    // By how long it stays as it is, not by the clock of another machine.
    let looks = LEASE_DURATION.as_secs() / LOOK_EVERY.as_secs() + 1;
    for _ in 0..looks {
        tokio::time::sleep(LOOK_EVERY).await;
        if lease(kube, run, &place.namespace).await? != seen {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A run's Lease, if there is one: its version, and when it was renewed by the API server's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
struct SeenLease(Option<(Option<String>, Option<Timestamp>)>);

impl SeenLease {
    /// The API server notes when each writer last changed something (`metadata.managedFields`), and that is its own clock,
    /// unlike the time in the Lease.
    fn read(metadata: ObjectMeta) -> Self {
        let written = metadata.managed_fields.iter().flatten();
        let ours = written.filter(|fields| fields.manager.as_deref() == Some(FIELD_MANAGER));
        let renewed = ours.filter_map(|fields| Some(fields.time.as_ref()?.0)).max();
        Self(Some((metadata.resource_version, renewed)))
    }

    /// Whether its run can only be gone, by the API server's clock.
    fn is_long_dead(&self, place: &Found, now: Timestamp) -> bool {
        let older = |than: Duration, time: Timestamp| {
            Duration::try_from(now.duration_since(time)).is_ok_and(|age| age > than)
        };
        match &self.0 {
            Some((_, renewed)) => renewed.is_some_and(|renewed| older(LONG_DEAD, renewed)),
            None => place.made.is_some_and(|made| older(LONG_EMPTY, made)),
        }
    }
}

async fn lease(kube: &Kube, run: &RunId, namespace: &str) -> Result<SeenLease, CleanupError> {
    let leases = Api::<Lease>::namespaced(kube.client.clone(), namespace);
    let list = leases
        .list_metadata(&ListParams::default().labels(&run_selector(run)))
        .await
        .map_err(ApiError::of(format!("list leases in {namespace}")))?;
    let first = list.items.into_iter().next();
    Ok(first.map_or(SeenLease(None), |lease| SeenLease::read(lease.metadata)))
}

fn run_of(metadata: &ObjectMeta) -> Option<RunId> {
    RunId::parse(metadata.labels.as_ref()?.get(RUN)?)
}

/// A kind of object that runs make.
trait Kind:
    kube::Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + std::fmt::Debug + DeserializeOwned
{
}

impl<K> Kind for K where
    K: kube::Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned
{
}

async fn runs_of<K: Kind>(kube: &Kube, namespace: &str, selector: &str) -> Result<Vec<RunId>, CleanupError> {
    let api = Api::<K>::namespaced(kube.client.clone(), namespace);
    let list = api
        .list_metadata(&ListParams::default().labels(selector))
        .await
        .map_err(ApiError::of(format!("list {} in {namespace}", K::plural(&()))))?;
    Ok(list
        .items
        .iter()
        .filter_map(|object| run_of(&object.metadata))
        .collect())
}

/// Agents hold nothing that must be put away, and one on a node that is down would stay for ever: without grace.
async fn delete_all<K: Kind>(kube: &Kube, namespace: &str, selector: &str) -> Result<(), CleanupError> {
    let api = Api::<K>::namespaced(kube.client.clone(), namespace);
    let all = ListParams::default().labels(selector);
    let at_once = DeleteParams::background().grace_period(0);
    let deleted = api.delete_collection(&at_once, &all).await;
    gone(deleted.map(|_| ()), || {
        format!("delete {} in {namespace}", K::plural(&()))
    })
}

/// What is gone already is what was wanted.
fn gone(deleted: Result<(), kube::Error>, what: impl FnOnce() -> String) -> Result<(), CleanupError> {
    match deleted {
        Err(error) if !is_not_found(&error) => Err(ApiError::of(what())(error).into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(managers: &str) -> SeenLease {
        let metadata = format!(r#"{{"resourceVersion": "7", "managedFields": [{managers}]}}"#);
        SeenLease::read(serde_json::from_str(&metadata).unwrap())
    }

    #[test]
    fn a_run_is_long_dead_by_the_api_servers_clock_only() {
        let now: Timestamp = "2026-01-01T00:01:00Z".parse().unwrap();
        let place = |made: Option<&str>| Found {
            namespace: "mesh-a".to_owned(),
            made: made.map(|made| made.parse().unwrap()),
        };
        let by = |manager: &str, time: &str| format!(r#"{{"manager": "{manager}", "time": "{time}"}}"#);
        let old = by("mesh", "2026-01-01T00:00:29Z");
        let fresh = by("mesh", "2026-01-01T00:00:31Z");
        let other = by("kubectl", "2026-01-01T00:00:59Z");
        let later = by("mesh", "2026-01-01T00:05:00Z");
        for (managers, dead) in [
            (old.clone(), true),
            (fresh.clone(), false),
            (format!("{old}, {other}"), true),
            (format!("{old}, {fresh}"), false),
            (later, false),
            (other, false),
        ] {
            let lease = lease(&managers);
            assert_eq!(
                lease.is_long_dead(&place(Some("2025-01-01T00:00:00Z")), now),
                dead,
                "{managers}"
            );
        }
        let none = SeenLease(None);
        assert!(none.is_long_dead(&place(Some("2025-12-31T23:58:59Z")), now));
        assert!(!none.is_long_dead(&place(Some("2025-12-31T23:59:01Z")), now));
        assert!(
            !none.is_long_dead(&place(None), now),
            "somebody else's namespace tells nothing"
        );
    }
}
