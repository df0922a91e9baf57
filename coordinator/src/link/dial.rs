//! Dials a link: connect, TLS where it is TCP, HTTP/2.

use std::io;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tonic::transport::{Channel, Endpoint, Uri};

use super::{LinkAddress, LinkTls};

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

/// Opens a link. `patience` bounds each step by itself.
pub(crate) async fn dial(
    link: &LinkAddress,
    tls: Option<&LinkTls>,
    patience: Duration,
) -> Result<Channel, DialError> {
    match link {
        LinkAddress::Unix(path) => {
            let stream = within(link, "connect", patience, UnixStream::connect(path)).await?;
            http2(link, stream.map_err(|source| connect_error(link, source))?).await
        }
        LinkAddress::Tcp(address) => {
            let tls = tls.ok_or_else(|| DialError::NoTls { link: link.clone() })?;
            let stream = within(link, "connect", patience, TcpStream::connect(address)).await?;
            let stream = stream.map_err(|source| connect_error(link, source))?;
            // Small messages each way, and each of them awaited. A failure costs time, not truth.
            let _ = stream.set_nodelay(true);
            let connector = tokio_rustls::TlsConnector::from(tls.config());
            let handshake = connector.connect(ServerName::from(address.ip()), stream);
            let stream = within(link, "TLS handshake", patience, handshake).await?;
            let stream = stream.map_err(|source| DialError::Tls {
                link: link.clone(),
                source,
            })?;
            http2(link, stream).await
        }
    }
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
