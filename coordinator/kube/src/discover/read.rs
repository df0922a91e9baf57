//! Reads that a run can do without: what they do not bring becomes a gap.
//!
//! Each is one request for one kind, and none is waited for longer than [`PATIENCE`]: groups served by an aggregated API
//! server lie behind the very pod network that may be broken.

use std::time::Duration;

use futures_util::future::join_all;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{ConfigMap, Node, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, ListParams};

use super::dns;
use super::overlay::{self, Network};
use crate::api_error::{self, ApiError};

/// Far longer than a healthy API server takes for any of these, far shorter than a user's patience.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a read brought, and what it did not.
#[derive(Debug)]
pub(super) struct Partly<T> {
    pub(super) found: T,
    pub(super) gaps: Vec<String>,
}

impl<T> Partly<T> {
    /// What was found; the gaps go to the others.
    pub(super) fn into_parts(self, gaps: &mut Vec<String>) -> T {
        gaps.extend(self.gaps);
        self.found
    }
}

/// Reads through one client.
pub(super) struct Reads<'a> {
    client: &'a kube::Client,
}

impl<'a> Reads<'a> {
    pub(super) fn new(client: &'a kube::Client) -> Self {
        Self { client }
    }

    /// Services that may be the cluster's DNS: by label wherever they may be listed, else by name.
    pub(super) async fn dns_services(&self) -> Partly<Vec<Service>> {
        let labelled = ListParams::default().labels(dns::LABEL);
        let everywhere: Api<Service> = Api::all(self.client.clone());
        let mut all = listed("services of all namespaces", everywhere.list(&labelled)).await;
        if !all.gaps.is_empty() {
            let of_system: Api<Service> = Api::namespaced(self.client.clone(), "kube-system");
            let mut more = listed("services of kube-system", of_system.list(&labelled)).await;
            all.found = more.found;
            all.gaps.append(&mut more.gaps);
        }
        if !all.found.iter().any(dns::is_usable) {
            let by_name = join_all(dns::NAMES.map(|(namespace, name)| async move {
                let api: Api<Service> = Api::namespaced(self.client.clone(), namespace);
                optional(&format!("the service {namespace}/{name}"), api.get_opt(name)).await
            }));
            for mut one in by_name.await {
                all.gaps.append(&mut one.gaps);
                all.found.extend(one.found);
            }
        }
        // Once there is one, it does not matter which ways to it were closed.
        if all.found.iter().any(dns::is_usable) {
            all.gaps.clear();
        }
        all
    }

    /// The EndpointSlices of a service; none if it is not there.
    pub(super) async fn slices(
        &self,
        namespace: &str,
        service: &str,
        is_there: bool,
    ) -> Partly<Vec<EndpointSlice>> {
        if !is_there {
            return Partly {
                found: Vec::new(),
                gaps: Vec::new(),
            };
        }
        let api: Api<EndpointSlice> = Api::namespaced(self.client.clone(), namespace);
        let labels = format!("kubernetes.io/service-name={service}");
        let what = format!("endpointslices of {namespace}/{service}");
        listed(&what, api.list(&ListParams::default().labels(&labels))).await
    }

    /// The same for a service that was read.
    pub(super) async fn slices_of(&self, service: Option<&Service>) -> Partly<Vec<EndpointSlice>> {
        let (namespace, name) = service.map(dns::key).unwrap_or_default();
        self.slices(namespace, name, service.is_some()).await
    }

    /// The ConfigMap that configures a DNS service's pods.
    pub(super) async fn corefile(&self, service: Option<&Service>) -> Partly<Option<ConfigMap>> {
        let Some(service) = service else {
            return nothing();
        };
        let (namespace, name) = dns::corefile_of(service);
        self.config_map(namespace, name).await
    }

    /// What the networks say that left their mark on the nodes, and what those without a mark are likely to say.
    pub(super) async fn network(&self, nodes: &[Node]) -> Partly<Network> {
        let marks = overlay::marks(nodes);
        let (flannel, cilium, antrea, calico, daemon_sets) = tokio::join!(
            self.flannel(marks.flannel),
            self.config_map("kube-system", "cilium-config"),
            async {
                if !marks.antrea {
                    return nothing();
                }
                self.config_map("kube-system", "antrea-config").await
            },
            self.calico(marks.calico),
            async {
                if marks.any() {
                    return Partly {
                        found: Vec::new(),
                        gaps: Vec::new(),
                    };
                }
                let api: Api<DaemonSet> = Api::namespaced(self.client.clone(), "kube-system");
                listed("daemonsets of kube-system", api.list(&ListParams::default())).await
            },
        );
        let mut gaps = Vec::new();
        let (ip_pools, felix) = calico.into_parts(&mut gaps);
        Partly {
            found: Network {
                flannel: flannel.into_parts(&mut gaps),
                cilium: cilium.into_parts(&mut gaps),
                antrea: antrea.into_parts(&mut gaps),
                ip_pools,
                felix,
                daemon_sets: daemon_sets.into_parts(&mut gaps),
            },
            gaps,
        }
    }

    async fn config_map(&self, namespace: &str, name: &str) -> Partly<Option<ConfigMap>> {
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), namespace);
        optional(&format!("the configmap {namespace}/{name}"), api.get_opt(name)).await
    }

    async fn flannel(&self, is_there: bool) -> Partly<Option<ConfigMap>> {
        if !is_there {
            return nothing();
        }
        let maps = overlay::FLANNEL_CONFIG_MAPS;
        let all = join_all(maps.map(|(namespace, name)| self.config_map(namespace, name))).await;
        let mut gaps = Vec::new();
        let mut found = None;
        for one in all {
            gaps.extend(one.gaps);
            found = found.or(one.found);
        }
        if found.is_some() {
            gaps.clear();
        }
        Partly { found, gaps }
    }

    async fn calico(&self, is_there: bool) -> Partly<(Option<Vec<DynamicObject>>, Option<DynamicObject>)> {
        if !is_there {
            return Partly {
                found: (None, None),
                gaps: Vec::new(),
            };
        }
        // Where Calico is set up without CRDs of the first group, the second is the only one. It is asked last, since
        // elsewhere it is served by a pod.
        let mut both = self.calico_of("crd.projectcalico.org", "v1").await;
        if both.found.0.is_none() && both.gaps.is_empty() {
            both = self.calico_of("projectcalico.org", "v3").await;
        }
        both
    }

    async fn calico_of(
        &self,
        group: &str,
        version: &str,
    ) -> Partly<(Option<Vec<DynamicObject>>, Option<DynamicObject>)> {
        let api = |kind: &str, plural: &str| -> Api<DynamicObject> {
            let gvk = GroupVersionKind::gvk(group, version, kind);
            Api::all_with(
                self.client.clone(),
                &ApiResource::from_gvk_with_plural(&gvk, plural),
            )
        };
        let (pools, felix) = (
            api("IPPool", "ippools"),
            api("FelixConfiguration", "felixconfigurations"),
        );
        let every = ListParams::default();
        let (pools, felix) = tokio::join!(
            optional("Calico's ippools", async {
                pools.list(&every).await.map(|list| Some(list.items))
            }),
            optional("Calico's felixconfiguration default", felix.get_opt("default")),
        );
        let mut gaps = Vec::new();
        let found = (pools.into_parts(&mut gaps), felix.into_parts(&mut gaps));
        Partly { found, gaps }
    }
}

fn nothing<T>() -> Partly<Option<T>> {
    Partly {
        found: None,
        gaps: Vec::new(),
    }
}

async fn listed<K: Clone>(
    what: &str,
    list: impl Future<Output = Result<kube::api::ObjectList<K>, kube::Error>>,
) -> Partly<Vec<K>> {
    let all = optional(what, async { list.await.map(|list| Some(list.items)) }).await;
    Partly {
        found: all.found.unwrap_or_default(),
        gaps: all.gaps,
    }
}

/// What is not there (404) is no gap: most clusters have one network out of many.
async fn optional<T>(
    what: &str,
    read: impl Future<Output = Result<Option<T>, kube::Error>>,
) -> Partly<Option<T>> {
    let gap = match tokio::time::timeout(PATIENCE, read).await {
        Ok(Ok(found)) => {
            return Partly {
                found,
                gaps: Vec::new(),
            };
        }
        Ok(Err(source)) if api_error::is_not_found(&source) => return nothing(),
        Ok(Err(source)) => ApiError::of(format!("read {what}"))(source).to_string(),
        Err(_elapsed) => format!("cannot read {what}: no answer within {} s", PATIENCE.as_secs()),
    };
    Partly {
        found: None,
        gaps: vec![gap],
    }
}
