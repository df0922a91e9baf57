//! Why a cluster could not be looked at.

use crate::api_error::ApiError;

/// What keeps a run from starting.
#[derive(Debug, thiserror::Error)]
pub enum DiscoverError {
    /// The nodes or the API's own service could not be read.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// There is no node to stand on.
    #[error("{}", no_nodes_in_words(.selector.as_deref()))]
    NoNodes {
        /// The label selector that was asked with.
        selector: Option<String>,
    },
}

/// What is asked of the API server, for an error's words.
pub(super) fn listing_nodes(selector: Option<&str>) -> String {
    match selector {
        Some(labels) => format!("list nodes with the labels `{labels}`"),
        None => "list nodes".to_owned(),
    }
}

fn no_nodes_in_words(selector: Option<&str>) -> String {
    match selector {
        Some(labels) => {
            format!("no node has the labels `{labels}`; see them with: kubectl get nodes --show-labels")
        }
        None => "the cluster has no nodes; see: kubectl get nodes".to_owned(),
    }
}
