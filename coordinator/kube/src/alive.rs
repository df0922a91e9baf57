//! A run's Lease: renewed while its coordinator lives. What a killed one left is known by a Lease that is not renewed.
//!
//! The task of [`Alive`] renews it; dropping [`Alive`] ends the task.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, Patch, PatchParams};

use crate::objects::{Blueprint, FIELD_MANAGER};
use crate::{ApiError, Kube};

/// Of [`LEASE_DURATION`](crate::objects::LEASE_DURATION): three may be lost in between.
const RENEWED_EVERY: Duration = Duration::from_secs(4);

/// The Lease could not be made.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct AliveError(#[from] ApiError);

/// Renews a run's Lease while it lives.
#[derive(Debug)]
pub struct Alive {
    task: tokio::task::AbortHandle,
}

impl Alive {
    /// Makes the Lease, and renews it from then on.
    pub async fn start(kube: &Kube, blueprint: &Blueprint) -> Result<Self, AliveError> {
        let leases = Api::<Lease>::namespaced(kube.client.clone(), &blueprint.namespace());
        renew(&leases, blueprint)
            .await
            .map_err(ApiError::of(format!("make a lease in {}", blueprint.namespace())))?;
        let blueprint = blueprint.clone();
        let task = tokio::spawn(async move {
            loop {
                tokio::time::sleep(RENEWED_EVERY).await;
                if let Err(error) = renew(&leases, &blueprint).await {
                    // The API server may be away for a while; the run goes on.
                    tracing::warn!(%error, "the run's lease was not renewed");
                }
            }
        });
        Ok(Self {
            task: task.abort_handle(),
        })
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn renew(leases: &Api<Lease>, blueprint: &Blueprint) -> Result<(), kube::Error> {
    let lease = blueprint.lease(Some(Timestamp::now()));
    let apply = PatchParams::apply(FIELD_MANAGER).force();
    leases
        .patch(&blueprint.run.object_name(), &apply, &Patch::Apply(&lease))
        .await
        .map(|_| ())
}
