//! What an agent is told when it is started.

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

/// PEM files of a TCP link.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// Who may have signed the coordinator's certificate.
    pub ca: PathBuf,
    /// The agent's own certificate.
    pub cert: PathBuf,
    /// And its key.
    pub key: PathBuf,
}
