//! Dials a link: connect, TLS where it is TCP, HTTP/2.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use mesh_proto::Port;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::Instant;
use tonic::transport::{Channel, Endpoint, Uri};

use super::{KeptLinks, LinkAddress, LinkRoute, LinkTls, PodLink};

/// Why a link could not be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    /// No connection.
    #[error("link {link}: cannot connect: {}", connect_words(source))]
    Connect { link: LinkRoute, source: io::Error },
    /// Nobody answered in time.
    #[error("link {link}: no answer within {after:?} to the {step}")]
    Silent {
        link: LinkRoute,
        step: &'static str,
        after: Duration,
    },
    /// The TLS handshake failed.
    #[error("link {link}: TLS handshake failed: {source}")]
    Tls { link: LinkRoute, source: io::Error },
    /// A `tcp:` link, and no `--tls-*`.
    #[error("link {link}: mutual TLS needs --tls-ca, --tls-cert and --tls-key")]
    NoTls { link: LinkRoute },
    /// A pod that neither way leads to.
    #[error("link {link}: {source}")]
    Forward {
        link: LinkRoute,
        source: Box<mesh_kube::ForwardError>,
    },
    /// Neither the kubelet nor the pod itself.
    #[error(
        "link {link}: no answer within {after:?}, neither through the API server and the node's kubelet (TCP 10250; kubectl exec \
         and logs go there as well) nor from the pod itself: look at that node's firewall and kubelet"
    )]
    NoForward { link: LinkRoute, after: Duration },
    /// A pod, and no cluster.
    #[error("link {link}: no cluster is connected")]
    NoCluster { link: LinkRoute },
    /// HTTP/2 did not begin.
    #[error("link {link}: it speaks no HTTP/2, so no agent is there: {source}")]
    NoHttp2 {
        link: LinkRoute,
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
    /// Where several runs follow each other: links that stay open.
    pub(crate) kept: Option<KeptLinks>,
}

/// Either way to a pod gets such a start before the other is tried as well: the API server is to forward hundreds of links
/// only where pods cannot be dialled.
const HEAD_START: Duration = Duration::from_secs(1);

/// How long somebody who was there a moment ago is waited for: an API server restarts in seconds.
const COMES_BACK_WITHIN: Duration = Duration::from_secs(20);
/// How long an agent whose process was started may take until it listens: its node may be busy.
const LISTENS_WITHIN: Duration = Duration::from_secs(10);
/// The wait before the second attempt; it doubles.
const LISTENS_AFTER: Duration = Duration::from_millis(30);
/// Between two attempts, at the most.
const AGAIN_AFTER: Duration = Duration::from_millis(300);

impl DialError {
    /// Whether only what stands between is away, for a while: then nothing is said of the agent.
    fn may_pass(&self) -> bool {
        matches!(self, Self::Forward { source, .. } if source.may_pass())
    }

    /// Whether the kubelet found nobody at the port. It says so late: the stream is open by then, and ends.
    fn is_of_nobody_there(&self) -> bool {
        match self {
            Self::Forward { source, .. } => matches!(**source, mesh_kube::ForwardError::Pod { .. }),
            Self::Tls { source, .. } => source.kind() == io::ErrorKind::UnexpectedEof,
            _ => false,
        }
    }
}

/// A byte stream of whatever kind.
trait Bytes: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Bytes for S {}

type BoxedBytes = Box<dyn Bytes>;

/// Opens a link, and waits for an API server that is away for a while. `patience` bounds each step by itself. A link that breaks
/// is opened anew at the next call over it.
pub(crate) async fn dial(
    link: &LinkRoute,
    means: &LinkMeans,
    patience: Duration,
) -> Result<Channel, DialError> {
    let stream = connect_patiently(link, means, patience).await?;
    http2(link, stream, means, patience).await
}

#[expect(
    clippy::disallowed_methods,
    reason = "it waits, and the driver's clock says for how long"
)]
async fn connect_patiently(
    link: &LinkRoute,
    means: &LinkMeans,
    patience: Duration,
) -> Result<BoxedBytes, DialError> {
    let began = Instant::now();
    loop {
        match connect(link, means, patience).await {
            Err(error) if error.may_pass() && began.elapsed() < COMES_BACK_WITHIN => {
                tracing::info!(%error, "dialling again");
                tokio::time::sleep(AGAIN_AFTER).await;
            }
            outcome => return outcome,
        }
    }
}

async fn connect(link: &LinkRoute, means: &LinkMeans, patience: Duration) -> Result<BoxedBytes, DialError> {
    match link {
        LinkRoute::Address(LinkAddress::Unix(path)) => {
            let stream = within(link, "connect", patience, UnixStream::connect(path)).await?;
            Ok(Box::new(stream.map_err(|source| connect_error(link, source))?))
        }
        LinkRoute::Address(LinkAddress::Tcp(address)) => {
            let tls = tls_of(link, means)?;
            let name = ServerName::from(address.ip());
            direct(link, *address, &tls, name, patience).await
        }
        LinkRoute::Pod(pod) => Box::pin(connect_pod(link, pod, means, patience)).await,
    }
}

fn tls_of(link: &LinkRoute, means: &LinkMeans) -> Result<LinkTls, DialError> {
    means
        .tls
        .clone()
        .ok_or_else(|| DialError::NoTls { link: link.clone() })
}

/// Both ways, whichever answers; the failure that is told is that of the API server, since it is the one to mend.
async fn connect_pod(
    link: &LinkRoute,
    pod: &PodLink,
    means: &LinkMeans,
    patience: Duration,
) -> Result<BoxedBytes, DialError> {
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
    let forwarded = async {
        tokio::time::sleep(forward_after).await;
        once_it_listens(|| forwarded(link, pod, kube, &tls, patience)).await
    };
    let dialled = async {
        tokio::time::sleep(direct_after).await;
        direct(link, pod.address, &tls, pod_name(link)?, patience).await
    };
    let (mut forwarded, mut dialled) = (std::pin::pin!(forwarded), std::pin::pin!(dialled));
    tokio::select! {
        first = &mut forwarded => match first {
            Ok(stream) => Ok(stream),
            Err(error) => dialled.await.map_err(|_| error),
        },
        first = &mut dialled => match first {
            Ok(stream) => Ok(stream),
            Err(_) => forwarded.await,
        },
    }
}

/// Through the API server and the kubelet.
async fn forwarded(
    link: &LinkRoute,
    pod: &PodLink,
    kube: &mesh_kube::Kube,
    tls: &LinkTls,
    patience: Duration,
) -> Result<BoxedBytes, DialError> {
    let port = Port(pod.address.port());
    let stream = mesh_kube::forward(kube, &pod.namespace, &pod.pod, port);
    let stream = tokio::time::timeout(patience, stream)
        .await
        .map_err(|_| DialError::NoForward {
            link: link.clone(),
            after: patience,
        })?;
    let stream = stream.map_err(|source| DialError::Forward {
        link: link.clone(),
        source: Box::new(source),
    })?;
    secured(link, stream, tls, pod_name(link)?, patience).await
}

/// A pod counts as running when its process was started, and that needs a moment until it listens.
#[expect(clippy::disallowed_methods, reason = "it waits for somebody to listen")]
async fn once_it_listens<F>(mut attempt: impl FnMut() -> F) -> Result<BoxedBytes, DialError>
where
    F: Future<Output = Result<BoxedBytes, DialError>>,
{
    let began = Instant::now();
    let mut wait = LISTENS_AFTER;
    loop {
        match attempt().await {
            Err(error) if error.is_of_nobody_there() && began.elapsed() < LISTENS_WITHIN => {
                tracing::debug!(%error, "nobody listens yet");
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(AGAIN_AFTER);
            }
            outcome => return outcome,
        }
    }
}

fn pod_name(link: &LinkRoute) -> Result<ServerName<'static>, DialError> {
    ServerName::try_from(mesh_kube::LINK_SERVER_NAME).map_err(|error| tls_error(link, error))
}

async fn direct(
    link: &LinkRoute,
    address: SocketAddr,
    tls: &LinkTls,
    name: ServerName<'static>,
    patience: Duration,
) -> Result<BoxedBytes, DialError> {
    let stream = within(link, "connect", patience, TcpStream::connect(address)).await?;
    let stream = stream.map_err(|source| connect_error(link, source))?;
    // Small messages each way, and each of them awaited. A failure costs time, not truth.
    let _ = stream.set_nodelay(true);
    secured(link, stream, tls, name, patience).await
}

async fn secured<S>(
    link: &LinkRoute,
    stream: S,
    tls: &LinkTls,
    name: ServerName<'static>,
    patience: Duration,
) -> Result<BoxedBytes, DialError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let connector = tokio_rustls::TlsConnector::from(tls.config());
    let stream = within(link, "TLS handshake", patience, connector.connect(name, stream)).await?;
    let stream = stream.map_err(|source| DialError::Tls {
        link: link.clone(),
        source,
    })?;
    Ok(Box::new(stream))
}

async fn within<T>(
    link: &LinkRoute,
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

/// Hands an open stream to HTTP/2, and where that breaks, another one. An agent that was restarted meanwhile does not know the
/// run, and says so.
async fn http2(
    link: &LinkRoute,
    stream: BoxedBytes,
    means: &LinkMeans,
    patience: Duration,
) -> Result<Channel, DialError> {
    let mut first = Some(stream);
    let (again, means) = (link.clone(), means.clone());
    let connector = tower::service_fn(move |_: Uri| {
        let (first, link, means) = (first.take(), again.clone(), means.clone());
        async move {
            let stream = match first {
                Some(stream) => stream,
                None => connect_patiently(&link, &means, patience)
                    .await
                    .map_err(io::Error::other)?,
            };
            Ok::<_, io::Error>(TokioIo::new(stream))
        }
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

fn tls_error(link: &LinkRoute, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> DialError {
    DialError::Tls {
        link: link.clone(),
        source: io::Error::other(error),
    }
}

fn connect_error(link: &LinkRoute, source: io::Error) -> DialError {
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
