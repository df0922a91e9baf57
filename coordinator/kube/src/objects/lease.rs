//! A run's Lease, which says that its coordinator lives.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use super::Blueprint;

/// A Lease that was not renewed for so long belongs to a coordinator that is gone.
pub(crate) const LEASE_DURATION: Duration = Duration::from_secs(15);

impl Blueprint {
    /// The Lease, renewed at the given time.
    pub(crate) fn lease(&self, renewed: Option<Timestamp>) -> Lease {
        Lease {
            metadata: self.metadata(self.run.object_name(), None),
            spec: Some(LeaseSpec {
                holder_identity: Some(self.run.to_string()),
                lease_duration_seconds: i32::try_from(LEASE_DURATION.as_secs()).ok(),
                renew_time: renewed.map(MicroTime),
                ..LeaseSpec::default()
            }),
        }
    }
}
