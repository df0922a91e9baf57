//! Takes away what a run made: at its end, or later if its coordinator was killed. Only what carries a run's label is
//! touched.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Namespace, Pod, Secret, Service};
use kube::api::{Api, DeleteParams, ListParams};
use kube::core::NamespaceResourceScope;
use serde::de::DeserializeOwned;

use crate::alive::DURATION;
use crate::api_error::is_not_found;
use crate::objects::{RUN, RunId, run_selector, selector_of_all};
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

/// A coordinator's clock may differ from ours by less than that. A Lease that is older still is nobody's.
const LONG_DEAD: Duration = Duration::from_mins(2);
/// Between two looks at a Lease that may yet be renewed.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Removes all of a run. What is in its own namespace goes first, so that only an empty one is left to the cluster, which
/// takes its time with namespaces (Kubernetes `pkg/controller/namespace`: five seconds at the least).
pub async fn remove(
    kube: &Kube,
    run: &RunId,
    namespace: &str,
    own_namespace: bool,
) -> Result<(), CleanupError> {
    let selector = run_selector(run);
    // The DaemonSets before their pods, or these would be made again.
    futures_util::try_join!(
        delete_all::<DaemonSet>(kube, namespace, &selector),
        delete_all::<Service>(kube, namespace, &selector),
        delete_all::<Secret>(kube, namespace, &selector),
        delete_all::<Lease>(kube, namespace, &selector),
    )?;
    let own = async {
        if own_namespace {
            let namespaces = Api::<Namespace>::all(kube.client.clone());
            let deleted = namespaces.delete(namespace, &DeleteParams::background()).await;
            gone(deleted.map(|_| ()), || {
                format!("delete the namespace {namespace}")
            })?;
        }
        Ok(())
    };
    futures_util::try_join!(delete_all::<Pod>(kube, namespace, &selector), own)?;
    Ok(())
}

/// Removes what runs left whose coordinators are gone: in one namespace, or in all that runs made. With `wait`, a run that
/// may live is looked at until that is known, which takes up to 15 s; else it is left alone.
pub async fn clean_up(kube: &Kube, namespace: Option<&str>, wait: bool) -> Result<Cleaned, CleanupError> {
    let runs = match namespace {
        Some(namespace) => runs_in(kube, namespace).await?,
        None => own_namespaces(kube).await?,
    };
    let looked = runs.into_iter().map(|(run, place)| async move {
        let dead = is_dead(kube, &run, &place, wait).await?;
        if dead {
            remove(kube, &run, &place, namespace.is_none()).await?;
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

/// Namespaces that runs made and that are not on their way out.
async fn own_namespaces(kube: &Kube) -> Result<BTreeMap<RunId, String>, CleanupError> {
    let namespaces = Api::<Namespace>::all(kube.client.clone());
    let list = namespaces
        .list_metadata(&ListParams::default().labels(&selector_of_all()))
        .await
        .map_err(ApiError::of("list namespaces"))?;
    let ours = list
        .items
        .into_iter()
        .filter(|namespace| namespace.metadata.deletion_timestamp.is_none());
    Ok(ours
        .filter_map(|namespace| Some((run_of(&namespace.metadata)?, namespace.metadata.name?)))
        .collect())
}

/// Runs that left something in a namespace that is not theirs.
async fn runs_in(kube: &Kube, namespace: &str) -> Result<BTreeMap<RunId, String>, CleanupError> {
    let selector = selector_of_all();
    let (sets, services, secrets, leases) = futures_util::try_join!(
        runs_of::<DaemonSet>(kube, namespace, &selector),
        runs_of::<Service>(kube, namespace, &selector),
        runs_of::<Secret>(kube, namespace, &selector),
        runs_of::<Lease>(kube, namespace, &selector),
    )?;
    let runs = [sets, services, secrets, leases].into_iter().flatten();
    Ok(runs.map(|run| (run, namespace.to_owned())).collect())
}

/// Whether a run's coordinator is gone.
async fn is_dead(kube: &Kube, run: &RunId, namespace: &str, wait: bool) -> Result<bool, CleanupError> {
    let Some(seen) = renewed(kube, run, namespace).await? else {
        // A run makes its Lease before anything else that lasts; it may be making it now.
        if wait {
            tokio::time::sleep(LOOK_EVERY).await;
            return Ok(renewed(kube, run, namespace).await?.is_none());
        }
        return Ok(false);
    };
    if Timestamp::now().duration_since(seen).unsigned_abs() > LONG_DEAD {
        return Ok(true);
    }
    if !wait {
        return Ok(false);
    }
    // By how long it stays as it is, not by the clock of another machine.
    let looks = DURATION.as_secs() / LOOK_EVERY.as_secs() + 1;
    for _ in 0..looks {
        tokio::time::sleep(LOOK_EVERY).await;
        if renewed(kube, run, namespace).await? != Some(seen) {
            return Ok(false);
        }
    }
    Ok(true)
}

async fn renewed(kube: &Kube, run: &RunId, namespace: &str) -> Result<Option<Timestamp>, CleanupError> {
    let leases = Api::<Lease>::namespaced(kube.client.clone(), namespace);
    let list = leases
        .list(&ListParams::default().labels(&run_selector(run)))
        .await
        .map_err(ApiError::of(format!("list leases in {namespace}")))?;
    Ok(list
        .items
        .into_iter()
        .find_map(|lease| lease.spec?.renew_time)
        .map(|time| time.0))
}

fn run_of(metadata: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta) -> Option<RunId> {
    RunId::parse(metadata.labels.as_ref()?.get(RUN)?)
}

async fn runs_of<K>(kube: &Kube, namespace: &str, selector: &str) -> Result<Vec<RunId>, CleanupError>
where
    K: kube::Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned,
{
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
async fn delete_all<K>(kube: &Kube, namespace: &str, selector: &str) -> Result<(), CleanupError>
where
    K: kube::Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned,
{
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
