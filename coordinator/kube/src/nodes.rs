//! Which nodes there are, by name only.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, ListParams};
use mesh_proto::NodeName;

use crate::{ApiError, Kube};

/// The names of all nodes that there are now.
pub async fn nodes(kube: &Kube) -> Result<BTreeSet<NodeName>, ApiError> {
    let nodes = Api::<Node>::all(kube.client.clone());
    let list = nodes.list_metadata(&ListParams::default()).await;
    let list = list.map_err(ApiError::of("list nodes"))?.items;
    Ok(list
        .into_iter()
        .filter_map(|node| node.metadata.name?.parse().ok())
        .collect())
}
