//! What an agent is told when it is started.

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use mesh_proto::{AgentKey, Port};

/// Where an agent answers probes unless told otherwise.
pub const DEFAULT_RESPONDER_PORT: Port = Port(9441);

/// How to be an agent.
#[derive(Debug, Clone)]
pub struct AgentConfig {
    /// Who it is.
    pub key: AgentKey,
    /// Where the coordinator finds it.
    pub listen: ListenAddress,
    /// Where it answers probes, TCP and UDP.
    pub responder_port: Port,
    /// On which address it answers; `None` for all.
    pub responder_address: Option<IpAddr>,
    /// Needed for a TCP link.
    pub tls: Option<TlsFiles>,
    /// By whom the API service's certificate must be signed (PEM); `None` if any will do.
    pub api_ca: Option<PathBuf>,
    /// What applications of this place resolve names by.
    pub resolv_conf: PathBuf,
}

/// Where the coordinator finds an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenAddress {
    /// A Unix socket.
    Unix(PathBuf),
    /// TCP with mutual TLS.
    Tcp(SocketAddr),
}

/// What mutual TLS of a link needs.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// Who may have signed the other side's certificate.
    pub ca: Pem,
    /// The own certificate, with its chain.
    pub cert: Pem,
    /// And its key.
    pub key: Pem,
}

/// PEM (RFC 7468): the path of a file; or the text itself, for where there is no file to be had, as in a pod without volumes.
#[derive(Clone, PartialEq, Eq)]
pub enum Pem {
    /// In this file.
    File(PathBuf),
    /// This text.
    Text(String),
}

impl From<OsString> for Pem {
    /// What begins as PEM does is PEM; all else is a path.
    fn from(given: OsString) -> Self {
        match given.to_str() {
            Some(text) if text.trim_start().starts_with("-----BEGIN ") => Self::Text(text.to_owned()),
            _ => Self::File(given.into()),
        }
    }
}

impl From<PathBuf> for Pem {
    fn from(path: PathBuf) -> Self {
        Self::File(path)
    }
}

impl std::fmt::Display for Pem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            // It may be a private key.
            Self::Text(_) => f.write_str("(given as text)"),
        }
    }
}

impl std::fmt::Debug for Pem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}
