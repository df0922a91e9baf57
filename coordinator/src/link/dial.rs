//! Dials a link: connect, TLS where it is TCP, HTTP/2.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use mesh_proto::Port;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tonic::transport::{Channel, Endpoint, Uri};

use super::{LinkAddress, LinkTls, PodLink};

/// Why a link could not be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    /// No connection.
    #[error("link {link}: cannot connect: {}", connect_words(source))]
    Connect { link: LinkAddress, source: io::Error },
    /// Nobody answered in time.
    #[error("link {link}: no answer within {after:?} to the {step}")]
    Silent {
        link: LinkAddress,
        step: &'static str,
        after: Duration,
    },
    /// The TLS handshake failed.
    #[error("link {link}: TLS handshake failed: {source}")]
    Tls { link: LinkAddress, source: io::Error },
    /// A `tcp:` link, and no `--tls-*`.
    #[error("link {link}: mutual TLS needs --tls-ca, --tls-cert and --tls-key")]
    NoTls { link: LinkAddress },
    /// A pod that neither way leads to.
    #[error("link {link}: {source}")]
    Forward {
        link: LinkAddress,
        source: Box<mesh_kube::ForwardError>,
    },
    /// A pod, and no cluster.
    #[error("link {link}: no cluster is connected")]
    NoCluster { link: LinkAddress },
    /// HTTP/2 did not begin.
    #[error("link {link}: it speaks no HTTP/2, so no agent is there: {source}")]
    NoHttp2 {
        link: LinkAddress,
        source: tonic::transport::Error,
    },
}

/// A link that died unnoticed (a machine gone, a stopped process) is found out after this and the time-out below.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// An agent on a starved machine may well take seconds to answer a ping.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// With what links are opened.
#[derive(Debug, Clone, Default)]
pub(crate) struct LinkMeans {
    /// For TCP.
    pub(crate) tls: Option<LinkTls>,
    /// For pods.
    pub(crate) kube: Option<mesh_kube::Kube>,
}

/// Either way to a pod gets such a start before the other is tried as well: the API server is to forward hundreds of links
/// only where pods cannot be dialled.
const HEAD_START: Duration = Duration::from_secs(1);

/// Opens a link. `patience` bounds each step by itself.
pub(crate) async fn dial(
    link: &LinkAddress,
    means: &LinkMeans,
    patience: Duration,
) -> Result<Channel, DialError> {
    match link {
        LinkAddress::Unix(path) => {
            let stream = within(link, "connect", patience, UnixStream::connect(path)).await?;
            http2(link, stream.map_err(|source| connect_error(link, source))?).await
        }
        LinkAddress::Tcp(address) => {
            let tls = tls_of(link, means)?;
            let name = ServerName::from(address.ip());
            direct(link, *address, &tls, name, patience).await
        }
        LinkAddress::Pod(pod) => Box::pin(dial_pod(link, pod, means, patience)).await,
    }
}

fn tls_of(link: &LinkAddress, means: &LinkMeans) -> Result<LinkTls, DialError> {
    means
        .tls
        .clone()
        .ok_or_else(|| DialError::NoTls { link: link.clone() })
}

/// Both ways, whichever answers; the failure that is told is that of the API server, since it is the one to mend.
async fn dial_pod(
    link: &LinkAddress,
    pod: &PodLink,
    means: &LinkMeans,
    patience: Duration,
) -> Result<Channel, DialError> {
    let tls = tls_of(link, means)?;
    let kube = means
        .kube
        .as_ref()
        .ok_or_else(|| DialError::NoCluster { link: link.clone() })?;
    let (forward_after, direct_after) = if kube.is_in_cluster() {
        (HEAD_START, Duration::ZERO)
    } else {
        (Duration::ZERO, HEAD_START)
    };
    let name = || ServerName::try_from(mesh_kube::LINK_SERVER_NAME).map_err(|error| tls_error(link, error));
    let forwarded = async {
        tokio::time::sleep(forward_after).await;
        let port = Port(pod.address.port());
        let stream = mesh_kube::forward(kube, &pod.namespace, &pod.pod, port);
        let stream = within(link, "port-forward", patience, stream).await?;
        let stream = stream.map_err(|source| DialError::Forward {
            link: link.clone(),
            source: Box::new(source),
        })?;
        secured(link, stream, &tls, name()?, patience).await
    };
    let dialled = async {
        tokio::time::sleep(direct_after).await;
        direct(link, pod.address, &tls, name()?, patience).await
    };
    let (mut forwarded, mut dialled) = (std::pin::pin!(forwarded), std::pin::pin!(dialled));
    tokio::select! {
        first = &mut forwarded => match first {
            Ok(channel) => Ok(channel),
            Err(error) => dialled.await.map_err(|_| error),
        },
        first = &mut dialled => match first {
            Ok(channel) => Ok(channel),
            Err(_) => forwarded.await,
        },
    }
}

async fn direct(
    link: &LinkAddress,
    address: SocketAddr,
    tls: &LinkTls,
    name: ServerName<'static>,
    patience: Duration,
) -> Result<Channel, DialError> {
    let stream = within(link, "connect", patience, TcpStream::connect(address)).await?;
    let stream = stream.map_err(|source| connect_error(link, source))?;
    // Small messages each way, and each of them awaited. A failure costs time, not truth.
    let _ = stream.set_nodelay(true);
    secured(link, stream, tls, name, patience).await
}

async fn secured<S>(
    link: &LinkAddress,
    stream: S,
    tls: &LinkTls,
    name: ServerName<'static>,
    patience: Duration,
) -> Result<Channel, DialError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let connector = tokio_rustls::TlsConnector::from(tls.config());
    let stream = within(link, "TLS handshake", patience, connector.connect(name, stream)).await?;
    http2(link, stream.map_err(|source| tls_error(link, source))?).await
}

async fn within<T>(
    link: &LinkAddress,
    step: &'static str,
    patience: Duration,
    work: impl Future<Output = T>,
) -> Result<T, DialError> {
    tokio::time::timeout(patience, work)
        .await
        .map_err(|_| DialError::Silent {
            link: link.clone(),
            step,
            after: patience,
        })
}

/// Hands one open stream to HTTP/2. There is no second one: an agent that broke off is lost for the run, since whoever
/// listens there later does not know the run's key.
async fn http2<S>(link: &LinkAddress, stream: S) -> Result<Channel, DialError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let mut only = Some(stream);
    let connector = tower::service_fn(move |_: Uri| {
        let stream = only.take().map(TokioIo::new);
        async move { stream.ok_or_else(|| io::Error::other("the agent closed the link")) }
    });
    Endpoint::from_static("http://agent")
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .connect_with_connector(connector)
        .await
        .map_err(|source| DialError::NoHttp2 {
            link: link.clone(),
            source,
        })
}

fn tls_error(link: &LinkAddress, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> DialError {
    DialError::Tls {
        link: link.clone(),
        source: io::Error::other(error),
    }
}

fn connect_error(link: &LinkAddress, source: io::Error) -> DialError {
    DialError::Connect {
        link: link.clone(),
        source,
    }
}

/// The system's words, and what they most likely mean here.
fn connect_words(error: &io::Error) -> String {
    let hint = match error.kind() {
        io::ErrorKind::NotFound => ": no agent listens there",
        io::ErrorKind::ConnectionRefused => ": no agent listens there (any more)",
        io::ErrorKind::PermissionDenied => ": the socket belongs to another user",
        _ => "",
    };
    format!("{error}{hint}")
}
