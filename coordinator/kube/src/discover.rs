//! What the cluster is made of: nodes, the API's service, kube-dns, what carries pod packets between nodes.
//!
//! Two rounds of reads. The first lists the nodes and the services; the second reads only what the first made likely
//! (ConfigMaps and custom resources of the network that left its annotations on the nodes), all at once.

mod api;
mod dns;
mod domain;
mod error;
mod nodes;
mod overlay;
mod read;
mod slices;

pub use self::api::FoundApi;
pub use self::dns::FoundDns;
pub use self::error::DiscoverError;
pub(crate) use self::nodes::read as read_node;
pub use self::nodes::{FoundNode, NodeTaint, TaintEffect};
pub use self::overlay::FoundOverlay;

use k8s_openapi::api::core::v1::{Node, Service};
use kube::api::{Api, ListParams};

use self::read::Reads;
use crate::api_error::ApiError;

/// What a cluster says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discovery {
    /// Every node that the selector lets through, in the API's order; those where no agent can run say so themselves.
    pub nodes: Vec<FoundNode>,
    /// The API server's service.
    pub api: Option<FoundApi>,
    /// The cluster's DNS.
    pub dns: Option<FoundDns>,
    /// What carries pod packets between nodes, where somebody tells it and nobody tells otherwise.
    pub overlay: Option<FoundOverlay>,
    /// What could not be read or was not understood, in words. None of it keeps a run from going on.
    pub gaps: Vec<String>,
}

/// Asks the cluster what it is made of.
///
/// `selector` is a label selector over nodes, as `kubectl -l` takes it.
///
/// # Errors
/// The nodes cannot be listed or there are none, or the service `default/kubernetes` may not be read. All else that
/// cannot be read is one of the [gaps](Discovery::gaps).
pub async fn discover(client: &kube::Client, selector: Option<&str>) -> Result<Discovery, DiscoverError> {
    // A dozen requests at once are tens of kilobytes, which a caller would carry on its stack.
    Box::pin(in_two_rounds(client, selector)).await
}

async fn in_two_rounds(client: &kube::Client, selector: Option<&str>) -> Result<Discovery, DiscoverError> {
    let reads = Reads::new(client);
    let all_nodes: Api<Node> = Api::all(client.clone());
    let of_default: Api<Service> = Api::namespaced(client.clone(), "default");
    let selected = selector.map_or_else(ListParams::default, |labels| ListParams::default().labels(labels));
    let (listed, api_service, dns_services) = tokio::join!(
        all_nodes.list(&selected),
        of_default.get_opt("kubernetes"),
        reads.dns_services(),
    );
    let listed = listed
        .map_err(ApiError::of(error::listing_nodes(selector)))?
        .items;
    let api_service = api_service.map_err(ApiError::of("get the service default/kubernetes"))?;
    let mut gaps = dns_services.gaps;

    let mut found = Vec::with_capacity(listed.len());
    for node in &listed {
        match nodes::read(node) {
            Ok(node) => found.push(node),
            Err(gap) => gaps.push(gap),
        }
    }
    if found.is_empty() {
        return Err(DiscoverError::NoNodes {
            selector: selector.map(str::to_owned),
        });
    }

    let dns_service = dns::choose(&dns_services.found, &mut gaps);
    let (api_slices, dns_slices, corefile, network) = tokio::join!(
        reads.slices("default", "kubernetes", api_service.is_some()),
        reads.slices_of(dns_service),
        reads.corefile(dns_service),
        reads.network(&listed),
    );
    let api_slices = api_slices.into_parts(&mut gaps);
    let dns_slices = dns_slices.into_parts(&mut gaps);
    let corefile = corefile.into_parts(&mut gaps);
    gaps.extend(network.gaps);

    Ok(Discovery {
        nodes: found,
        api: api::read(api_service.as_ref(), &api_slices, &mut gaps),
        dns: dns_service.and_then(|service| dns::read(service, &dns_slices, corefile.as_ref(), &mut gaps)),
        overlay: overlay::read(&listed, &network.found, &mut gaps),
        gaps,
    })
}

#[cfg(test)]
mod tests;
