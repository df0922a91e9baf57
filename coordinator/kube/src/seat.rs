//! The Lease that coordinators of one installation share: who holds it leads. Each write is over the version that was read, so
//! that of two who write at once one is refused.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::{Api, PostParams};

use crate::api_error::{is_not_found, status};
use crate::{ApiError, Kube};

/// Where a holder says how others reach it.
const ADDRESS: &str = "mesh/address";
/// An API server that takes longer is as good as away.
const PATIENCE: Duration = Duration::from_secs(5);

/// The Lease, and who this coordinator is.
#[derive(Debug)]
pub struct SeatLease {
    leases: Api<Lease>,
    place: String,
    name: String,
    me: String,
    address: Option<SocketAddr>,
    duration: Duration,
    /// As it was read or written last.
    last: Option<Lease>,
}

/// What the Lease says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeatState {
    /// Who holds it; `None` once it was given back.
    pub holder: Option<String>,
    /// How to reach the holder, if it says so.
    pub address: Option<SocketAddr>,
    /// What a write has to be over (`resourceVersion`).
    pub version: String,
}

/// What came of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SeatTaken {
    /// It has this version now.
    Done(String),
    /// It had another one than was thought.
    Beaten,
}

/// The Lease cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum SeatError {
    /// The API server says no, or nothing was heard of it.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// Not in time.
    #[error("cannot {what} within {PATIENCE:?}")]
    Slow {
        /// What was tried.
        what: String,
    },
}

impl SeatLease {
    /// The Lease of this name; nothing is asked yet. `duration` is told to whoever reads it.
    pub fn new(
        kube: &Kube,
        namespace: &str,
        name: &str,
        me: &str,
        address: Option<SocketAddr>,
        duration: Duration,
    ) -> Self {
        Self {
            leases: Api::namespaced(kube.client.clone(), namespace),
            place: format!("{name} in {namespace}"),
            name: name.to_owned(),
            me: me.to_owned(),
            address,
            duration,
            last: None,
        }
    }

    /// Reads it; `None` if there is none.
    pub async fn read(&mut self) -> Result<Option<SeatState>, SeatError> {
        let what = || format!("read the lease {}", self.place);
        let read = tokio::time::timeout(PATIENCE, self.leases.get(&self.name)).await;
        match read.map_err(|_| SeatError::Slow { what: what() })? {
            Ok(lease) => {
                let state = state(&lease);
                self.last = Some(lease);
                Ok(state)
            }
            Err(error) if is_not_found(&error) => {
                self.last = None;
                Ok(None)
            }
            Err(error) => Err(ApiError::of(what())(error).into()),
        }
    }

    /// Makes this coordinator its holder, over a version, or if there is none yet.
    pub async fn take(&mut self, over: Option<&str>) -> Result<SeatTaken, SeatError> {
        let lease = self.lease(over, Some(Timestamp::now()));
        self.write(over.is_none(), &lease).await
    }

    /// Leaves it without a holder, so that nobody has to wait until it runs out.
    pub async fn give_back(&mut self, over: &str) -> Result<SeatTaken, SeatError> {
        let lease = self.lease(Some(over), None);
        self.write(false, &lease).await
    }

    async fn write(&mut self, is_new: bool, lease: &Lease) -> Result<SeatTaken, SeatError> {
        let what = || format!("write the lease {}", self.place);
        let parameters = PostParams::default();
        let write = async {
            if is_new {
                self.leases.create(&parameters, lease).await
            } else {
                self.leases.replace(&self.name, &parameters, lease).await
            }
        };
        let written = tokio::time::timeout(PATIENCE, write).await;
        match written.map_err(|_| SeatError::Slow { what: what() })? {
            Ok(lease) => {
                let version = lease.metadata.resource_version.clone().unwrap_or_default();
                self.last = Some(lease);
                Ok(SeatTaken::Done(version))
            }
            // Conflict, and AlreadyExists; or somebody removed it.
            Err(error) if status(&error).is_some_and(|status| matches!(status.code, 404 | 409)) => {
                Ok(SeatTaken::Beaten)
            }
            Err(error) => Err(ApiError::of(what())(error).into()),
        }
    }

    /// The Lease as it is to be; `renewed` by this coordinator, or given back by it.
    fn lease(&self, over: Option<&str>, renewed: Option<Timestamp>) -> Lease {
        let before = self.last.as_ref().and_then(|lease| lease.spec.clone());
        let before = before.unwrap_or_default();
        let is_mine = before.holder_identity.as_deref() == Some(self.me.as_str());
        let acquired = if is_mine {
            before.acquire_time
        } else {
            renewed.map(MicroTime)
        };
        let transitions = before.lease_transitions.unwrap_or_default();
        let address = self.address.filter(|_| renewed.is_some());
        Lease {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                resource_version: over.map(str::to_owned),
                labels: Some(BTreeMap::from([(
                    "app.kubernetes.io/name".to_owned(),
                    "mesh".to_owned(),
                )])),
                annotations: address.map(|at| BTreeMap::from([(ADDRESS.to_owned(), at.to_string())])),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                // Empty, as client-go leaves it: some readers take a holder that is not there for a broken Lease.
                holder_identity: Some(renewed.map_or_else(String::new, |_| self.me.clone())),
                lease_duration_seconds: i32::try_from(self.duration.as_secs()).ok(),
                acquire_time: acquired,
                renew_time: renewed.map(MicroTime).or(before.renew_time),
                lease_transitions: Some(transitions.saturating_add(i32::from(!is_mine && over.is_some()))),
                ..LeaseSpec::default()
            }),
        }
    }
}

fn state(lease: &Lease) -> Option<SeatState> {
    let holder = lease.spec.as_ref().and_then(|spec| spec.holder_identity.clone());
    let annotations = lease.metadata.annotations.as_ref();
    Some(SeatState {
        holder: holder.filter(|holder| !holder.is_empty()),
        address: annotations.and_then(|all| all.get(ADDRESS)?.parse().ok()),
        version: lease.metadata.resource_version.clone()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seat(last: Option<Lease>) -> SeatLease {
        let config = kube::Config::new(http::Uri::from_static("http://127.0.0.1:9"));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let _entered = runtime.enter();
        let client = kube::Client::try_from(config).unwrap();
        SeatLease {
            leases: Api::namespaced(client, "n"),
            place: "l in n".to_owned(),
            name: "l".to_owned(),
            me: "a".to_owned(),
            address: Some("[fd00::1]:9442".parse().unwrap()),
            duration: Duration::from_secs(15),
            last,
        }
    }

    fn versioned(mut lease: Lease, version: &str) -> Lease {
        lease.metadata.resource_version = Some(version.to_owned());
        lease
    }

    #[test]
    fn a_lease_is_taken_renewed_and_given_back() {
        let now = Timestamp::UNIX_EPOCH;
        let later = now + jiff::SignedDuration::from_secs(5);
        let made = versioned(seat(None).lease(None, Some(now)), "1");
        let said = state(&made).unwrap();
        assert_eq!((said.holder.as_deref(), said.version.as_str()), (Some("a"), "1"));
        assert_eq!(said.address, Some("[fd00::1]:9442".parse().unwrap()));
        let spec = made.spec.clone().unwrap();
        assert_eq!(
            (spec.lease_duration_seconds, spec.lease_transitions),
            (Some(15), Some(0))
        );

        let renewed = seat(Some(made.clone())).lease(Some("1"), Some(later));
        assert_eq!(renewed.metadata.resource_version.as_deref(), Some("1"));
        let spec = renewed.spec.clone().unwrap();
        assert_eq!(
            (spec.acquire_time, spec.renew_time),
            (Some(MicroTime(now)), Some(MicroTime(later)))
        );
        assert_eq!(spec.lease_transitions, Some(0));

        let mut other = made.clone();
        other.spec.as_mut().unwrap().holder_identity = Some("b".to_owned());
        let spec = seat(Some(other)).lease(Some("1"), Some(later)).spec.unwrap();
        assert_eq!(
            (spec.acquire_time, spec.lease_transitions),
            (Some(MicroTime(later)), Some(1))
        );

        let given = versioned(seat(Some(made)).lease(Some("1"), None), "2");
        let said = state(&given).unwrap();
        assert_eq!((said.holder, said.address), (None, None));
    }
}
