//! Port-forward: through the API server and the kubelet into a pod's network namespace, across no pod network. So it
//! works in a cluster whose pod network is dead, which is when it is needed.

use futures_util::FutureExt;
use k8s_openapi::api::core::v1::Pod;
use kube::api::Api;
use mesh_proto::Port;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{ApiError, Kube};

/// A pod's port that could not be reached so.
#[derive(Debug, thiserror::Error)]
pub enum ForwardError {
    /// The API server or the kubelet refused.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The kubelet said so.
    #[error("the kubelet could not reach port {port} in the pod {pod}: {why}")]
    Pod {
        /// Which pod.
        pod: String,
        /// Which port.
        port: Port,
        /// Its words.
        why: String,
    },
}

impl ForwardError {
    /// Whether the API server itself is away, for a while, and nothing is said of the pod.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Api(error) if error.is_of_a_server_that_is_away())
    }
}

/// Opens a byte stream to a pod's port. It ends when it is dropped.
pub async fn forward(
    kube: &Kube,
    namespace: &str,
    pod: &str,
    port: Port,
) -> Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static, ForwardError> {
    let pods = Api::<Pod>::namespaced(kube.client.clone(), namespace);
    let mut forwarder = pods
        .portforward(pod, &[port.0])
        .await
        .map_err(ApiError::of(format!(
            "forward a port to the pod {namespace}/{pod}"
        )))?;
    let refused = |why: &str| ForwardError::Pod {
        pod: pod.to_owned(),
        port,
        why: why.to_owned(),
    };
    // An error that is there at once says more than the stream's end.
    if let Some(Some(Some(why))) = forwarder.take_error(port.0).map(FutureExt::now_or_never) {
        return Err(refused(why.trim()));
    }
    forwarder
        .take_stream(port.0)
        .ok_or_else(|| refused("the stream was not opened"))
}
