//! Where agents of other runs listen: those of the host plane share their nodes' ports with ours.

use std::collections::BTreeSet;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, ListParams};
use mesh_proto::Port;

use crate::Kube;
use crate::objects::{PORT, selector_of_all};

/// The responder ports of runs that are there, killed ones included: of those with namespaces of their own, or of those in
/// `namespace`. It is a hint, and what cannot be read is left out.
pub async fn taken_ports(kube: &Kube, namespace: Option<&str>) -> BTreeSet<Port> {
    let ours = ListParams::default().labels(&selector_of_all());
    let client = kube.client.clone();
    let found: Vec<ObjectMeta> = match namespace {
        None => {
            let listed = Api::<Namespace>::all(client).list_metadata(&ours).await;
            let items = listed.map(|list| list.items).unwrap_or_default();
            items.into_iter().map(|item| item.metadata).collect()
        }
        Some(namespace) => {
            let leases = Api::<Lease>::namespaced(client, namespace);
            let listed = leases.list_metadata(&ours).await;
            let items = listed.map(|list| list.items).unwrap_or_default();
            items.into_iter().map(|item| item.metadata).collect()
        }
    };
    found.iter().filter_map(port).collect()
}

fn port(metadata: &ObjectMeta) -> Option<Port> {
    metadata.annotations.as_ref()?.get(PORT)?.parse().ok().map(Port)
}
