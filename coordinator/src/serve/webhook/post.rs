//! One POST over HTTP/1.1. No redirect is followed: the body goes where somebody sent it, and nowhere else.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::StatusCode;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::url::WebhookUrl;

/// For all of it.
const PATIENCE: Duration = Duration::from_secs(10);
/// What is read of an answer, so that the connection ends in order.
const LONGEST_ANSWER: usize = 64 << 10;

/// It was not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum PostError {
    #[error("no connection to {to}: {source}")]
    Connect { to: WebhookUrl, source: io::Error },
    #[error("{to} has no name that a certificate could have")]
    Name { to: WebhookUrl },
    #[error("{to} needs TLS, and nobody said whom to trust")]
    NoTrust { to: WebhookUrl },
    #[error("{to} does not take it: {source}")]
    Http { to: WebhookUrl, source: hyper::Error },
    #[error("{to} answers {status}")]
    Status { to: WebhookUrl, status: StatusCode },
    #[error("{to} does not answer within {PATIENCE:?}")]
    Slow { to: WebhookUrl },
}

impl PostError {
    /// Whether it may be taken later.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::Http { .. } | Self::Slow { .. } => true,
            Self::Name { .. } | Self::NoTrust { .. } => false,
            // RFC 9110 section 15.5: the rest of 4xx says the same next time.
            Self::Status { status, .. } => {
                status.is_server_error()
                    || matches!(
                        *status,
                        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS
                    )
            }
        }
    }
}

pub(super) async fn post(
    to: &WebhookUrl,
    tls: Option<&Arc<rustls::ClientConfig>>,
    body: Vec<u8>,
) -> Result<(), PostError> {
    let all = tokio::time::timeout(PATIENCE, connect_and_post(to, tls, body));
    all.await
        .unwrap_or_else(|_| Err(PostError::Slow { to: to.clone() }))
}

async fn connect_and_post(
    to: &WebhookUrl,
    tls: Option<&Arc<rustls::ClientConfig>>,
    body: Vec<u8>,
) -> Result<(), PostError> {
    let connect = |source| PostError::Connect {
        to: to.clone(),
        source,
    };
    let stream = TcpStream::connect((to.bare_host(), to.port))
        .await
        .map_err(connect)?;
    if !to.is_tls {
        return over(to, stream, body).await;
    }
    let tls = tls.ok_or_else(|| PostError::NoTrust { to: to.clone() })?;
    let name = ServerName::try_from(to.bare_host().to_owned());
    let name = name.map_err(|_| PostError::Name { to: to.clone() })?;
    let stream = tokio_rustls::TlsConnector::from(Arc::clone(tls)).connect(name, stream);
    over(to, stream.await.map_err(connect)?, body).await
}

async fn over(
    to: &WebhookUrl,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    body: Vec<u8>,
) -> Result<(), PostError> {
    let http = |source| PostError::Http {
        to: to.clone(),
        source,
    };
    let opened = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = opened.map_err(http)?;
    let request = hyper::Request::post(&to.path)
        .header("host", to.to_string())
        .header("connection", "close")
        .header("content-type", "application/cloudevents+json; charset=utf-8")
        .header("user-agent", concat!("mesh/", env!("CARGO_PKG_VERSION")))
        .body(Full::new(Bytes::from(body)));
    // Host and path were read from an address.
    let request = request.unwrap_or_default();
    let work = async {
        let answer = sender.send_request(request).await.map_err(http)?;
        let status = answer.status();
        let _ = Limited::new(answer.into_body(), LONGEST_ANSWER).collect().await;
        if status.is_success() {
            Ok(())
        } else {
            Err(PostError::Status {
                to: to.clone(),
                status,
            })
        }
    };
    let (mut work, mut connection) = (std::pin::pin!(work), std::pin::pin!(connection));
    // The connection is driven here, so that nothing outlives the call.
    tokio::select! {
        done = &mut work => done,
        ended = &mut connection => match ended {
            Ok(()) => work.await,
            Err(source) => Err(http(source)),
        },
    }
}
