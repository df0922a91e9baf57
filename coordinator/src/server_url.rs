//! A running `mesh serve`, asked over HTTP/1.1.

use std::str::FromStr;
use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use mesh_proto::Report;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;

/// Where it listens: `http://HOST:PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerUrl {
    authority: String,
}

/// Which server.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ServerArgs {
    /// The running `mesh serve` to ask; of one in a cluster: kubectl port-forward it first
    #[arg(
        long,
        env = "MESH_SERVER",
        value_name = "URL",
        default_value = "http://127.0.0.1:9442"
    )]
    pub(crate) server: ServerUrl,
}

/// A time, or how long ago it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct When(pub(crate) jiff::Timestamp);

impl FromStr for When {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(at) = text.parse::<jiff::Timestamp>() {
            return Ok(Self(at));
        }
        let bad =
            || "expected a time such as 2026-01-31T12:00:00Z, or how long ago it was, such as 90m".to_owned();
        let ago = text.parse::<crate::cli::Span>().map_err(|_| bad())?;
        jiff::Timestamp::now()
            .checked_sub(ago.0)
            .map(Self)
            .map_err(|_| bad())
    }
}

/// A text that is no such address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}; expected http://HOST:PORT, as `mesh serve` prints it when it starts")]
pub(crate) struct BadServerUrl(&'static str);

/// Why the server gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServerError {
    #[error(
        "cannot connect to {authority}: {source}; is `mesh serve` there? In a cluster: kubectl -n mesh port-forward deploy/mesh-serve 9442; elsewhere: --server URL"
    )]
    Connect {
        authority: String,
        source: std::io::Error,
    },
    #[error("no answer from {authority} within {PATIENCE:?}")]
    Silent { authority: String },
    #[error("{authority} does not speak HTTP/1.1: {source}")]
    Http { authority: String, source: hyper::Error },
    #[error("{authority} broke off in the middle of {path}, or it is longer than any of its kind")]
    Body { authority: String, path: String },
    #[error("{authority} answers {status} to {path}: {words}")]
    Status {
        authority: String,
        path: String,
        status: u16,
        words: String,
    },
    #[error("what {authority} answers to {path} is not what `mesh serve` writes: {why}")]
    Garbage {
        authority: String,
        path: String,
        why: String,
    },
    #[error("the server does not trust what it sees: {why}")]
    Doubts { why: String },
    #[error("the server did not look again in time")]
    NoNewLook,
}

/// For one answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longer than the report of any cluster.
const LONGEST: usize = 1 << 30;
/// What an error says.
const LONGEST_WORDS: usize = 300;

impl FromStr for ServerUrl {
    type Err = BadServerUrl;

    fn from_str(text: &str) -> Result<Self, BadServerUrl> {
        if text.starts_with("https://") {
            return Err(BadServerUrl(
                "the server speaks plain HTTP, on loopback or through a port-forward",
            ));
        }
        let rest = text
            .strip_prefix("http://")
            .ok_or(BadServerUrl("it does not start with http://"))?;
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let fits = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
        let (host, port) = authority
            .rsplit_once(':')
            .ok_or(BadServerUrl("the port is missing"))?;
        if host.is_empty() || !authority.chars().all(fits) {
            return Err(BadServerUrl(
                "it has no usable host, or more than a host and a port",
            ));
        }
        match port.parse::<u16>() {
            Ok(0) | Err(_) => Err(BadServerUrl("its port is none")),
            Ok(_) => Ok(Self {
                authority: authority.to_owned(),
            }),
        }
    }
}

impl ServerUrl {
    /// The report of its last look.
    pub(crate) async fn report(&self) -> Result<Report, ServerError> {
        self.get("/api/v1/report").await
    }

    /// A JSON document of the server's.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ServerError> {
        let bytes = tokio::time::timeout(PATIENCE, self.bytes(path)).await;
        let bytes = bytes.unwrap_or_else(|_| {
            Err(ServerError::Silent {
                authority: self.authority.clone(),
            })
        })?;
        serde_json::from_slice(&bytes).map_err(|error| ServerError::Garbage {
            authority: self.authority.clone(),
            path: path.to_owned(),
            why: error.to_string(),
        })
    }

    async fn bytes(&self, path: &str) -> Result<Bytes, ServerError> {
        let authority = || self.authority.clone();
        let http = |source| ServerError::Http {
            authority: authority(),
            source,
        };
        let stream = TcpStream::connect(&self.authority)
            .await
            .map_err(|source| ServerError::Connect {
                authority: authority(),
                source,
            })?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(http)?;
        let request = hyper::Request::get(path)
            .header("host", &self.authority)
            .header("connection", "close");
        let Ok(request) = request.body(Empty::<Bytes>::new()) else {
            return Err(ServerError::Body {
                authority: authority(),
                path: path.to_owned(),
            });
        };
        let work = async {
            let response = sender.send_request(request).await.map_err(http)?;
            let status = response.status();
            let body = Limited::new(response.into_body(), LONGEST).collect().await;
            let body = body
                .map_err(|_| ServerError::Body {
                    authority: authority(),
                    path: path.to_owned(),
                })?
                .to_bytes();
            if status.is_success() {
                return Ok(body);
            }
            let words: String = String::from_utf8_lossy(&body)
                .chars()
                .take(LONGEST_WORDS)
                .collect();
            Err(ServerError::Status {
                authority: authority(),
                path: path.to_owned(),
                status: status.as_u16(),
                words: crate::render::plain(words.trim()),
            })
        };
        let mut work = std::pin::pin!(work);
        let mut connection = std::pin::pin!(connection);
        // The connection is driven here, so that nothing outlives the call.
        tokio::select! {
            done = &mut work => done,
            ended = &mut connection => match ended {
                Ok(()) => work.await,
                Err(source) => Err(http(source)),
            },
        }
    }
}

impl std::fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "http://{}", self.authority)
    }
}

#[cfg(test)]
mod tests {
    use super::ServerUrl;

    #[test]
    fn addresses_of_servers() {
        for (given, kept) in [
            ("http://127.0.0.1:9441", "http://127.0.0.1:9441"),
            ("http://[::1]:80/", "http://[::1]:80"),
            ("http://mesh.mesh.svc:9441", "http://mesh.mesh.svc:9441"),
        ] {
            assert_eq!(given.parse::<ServerUrl>().unwrap().to_string(), kept);
        }
        for (given, why) in [
            ("https://a:1", "plain HTTP"),
            ("127.0.0.1:9441", "does not start with http://"),
            ("http://a", "the port is missing"),
            ("http://:80", "no usable host"),
            ("http://a:80/api", "no usable host"),
            ("http://a:0", "its port is none"),
            ("http://a b:1", "no usable host"),
        ] {
            let said = given.parse::<ServerUrl>().unwrap_err().to_string();
            assert!(
                said.contains(why) && said.contains("expected http://HOST:PORT"),
                "{given}: {said}"
            );
        }
    }
}
