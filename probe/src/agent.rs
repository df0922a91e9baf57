//! The agent's life: bind, say `ready`, serve until told to end.
//!
//! Tasks: the link's server, the responder's two (UDP, TCP), the datagram engine, one per plan and one per TCP
//! connection of either side. All end with the runtime; none holds anything that must be finished.

use std::fs::{File, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use mesh_proto::{AgentIdentity, BootId};
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::{TcpListener, UnixListener};
use tokio_stream::wrappers::{TcpListenerStream, UnixListenerStream};
use tonic::transport::Server;

use crate::config::{AgentConfig, ListenAddress};
use crate::datagram::DatagramEngine;
use crate::moment::Clock;
use crate::responder::Responder;
use crate::rpc::agent_server::AgentServer;
use crate::run_plan::Means;
use crate::runs::Runs;
use crate::service::Service;
use crate::tls_files::{self, TlsFileError};

/// Why an agent could not be, or be any longer.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The link's socket could not be made.
    #[error("cannot listen on {at}: {source}")]
    Listen {
        /// Where.
        at: String,
        /// Why not.
        source: io::Error,
    },
    /// A file stands where the Unix socket should be.
    #[error("cannot listen on {}: {what}", path.display())]
    InTheWay {
        /// Where.
        path: PathBuf,
        /// What stands there.
        what: &'static str,
    },
    /// The responder's socket could not be made.
    #[error(
        "cannot answer probes on port {port}: {source} (another agent in this place? --responder-port chooses)"
    )]
    Responder {
        /// Which port.
        port: u16,
        /// Why not.
        source: io::Error,
    },
    /// A TCP link without keys.
    #[error(
        "a tcp: link needs --tls-ca, --tls-cert and --tls-key: an agent takes orders from its coordinator only"
    )]
    NoTls,
    /// A PEM file cannot be used.
    #[error(transparent)]
    TlsFile(#[from] TlsFileError),
    /// The server could not start or broke.
    #[error("the link's server: {0}")]
    Server(#[from] tonic::transport::Error),
    /// No random numbers.
    #[error("no random numbers: {0}")]
    Random(getrandom::Error),
}

/// Is an agent until `shutdown` ends. `ready` is called once link and responder listen.
pub async fn run_agent(
    config: AgentConfig,
    ready: impl FnOnce(),
    shutdown: impl Future<Output = ()>,
) -> Result<(), AgentError> {
    let mut boot_id = [0; 16];
    getrandom::fill(&mut boot_id).map_err(AgentError::Random)?;
    let identity = AgentIdentity {
        key: config.key.clone(),
        boot_id: BootId(boot_id),
    };
    // A second provider may have been installed by the same process; either will do.
    let _ = rustls::crypto::ring::default_provider().install_default();
    if let Err(error) = mesh_net::raise_open_file_limit() {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }

    // Wrong files are told before anything is opened.
    let tls = config.tls.as_ref().map(tls_files::server).transpose()?;
    let api_ca = config.api_ca.as_deref().map(tls_files::api_ca).transpose()?;

    let runs = Arc::new(Mutex::new(Runs::default()));
    let responder = Responder::bind(config.responder_address, config.responder_port.0).map_err(|source| {
        AgentError::Responder {
            port: config.responder_port.0,
            source,
        }
    })?;
    let clock = Clock::start();
    let means = Means {
        engine: DatagramEngine::start(clock),
        clock,
        resolv_conf: config.resolv_conf.clone().into(),
        api_ca: api_ca.map(Arc::new),
    };
    let service = Service::new(identity.clone(), config.responder_port, runs.clone(), means);
    let server = AgentServer::new(service).max_decoding_message_size(MAX_MESSAGE);
    responder.start(&identity, &runs, clock);
    if let Err(error) = mesh_net::let_go_of_code() {
        tracing::debug!(%error, "the code of start-up stays in memory");
    }

    match &config.listen {
        ListenAddress::Unix(path) => {
            let (listener, _unlink) = bind_unix(path)?;
            ready();
            let serving = Server::builder()
                .add_service(server)
                .serve_with_incoming(UnixListenerStream::new(listener));
            end_first(serving, shutdown).await
        }
        ListenAddress::Tcp(address) => {
            let tls = tls.ok_or(AgentError::NoTls)?;
            let mut builder = Server::builder().tls_config(tls)?;
            let listener = TcpListener::bind(address)
                .await
                .map_err(|source| AgentError::Listen {
                    at: address.to_string(),
                    source,
                })?;
            ready();
            let serving = builder
                .add_service(server)
                .serve_with_incoming(TcpListenerStream::new(listener));
            end_first(serving, shutdown).await
        }
    }
}

/// A plan of a million probes has less.
const MAX_MESSAGE: usize = 128 << 20;

/// Being told to end ends the server at once: a run that is cut off is what the coordinator expects.
async fn end_first(
    serving: impl Future<Output = Result<(), tonic::transport::Error>>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), AgentError> {
    tokio::select! {
        served = serving => Ok(served?),
        () = shutdown => Ok(()),
    }
}

/// Removes the socket's file when the agent ends.
struct Unlink(PathBuf);

impl Drop for Unlink {
    fn drop(&mut self) {
        // If it is gone already, that is what was wanted.
        let _ = std::fs::remove_file(&self.0);
    }
}

fn bind_unix(path: &Path) -> Result<(UnixListener, Unlink), AgentError> {
    let in_the_way = |what| AgentError::InTheWay {
        path: path.to_owned(),
        what,
    };
    let failed = |source| AgentError::Listen {
        at: path.display().to_string(),
        source,
    };
    if let Ok(there) = std::fs::symlink_metadata(path) {
        if !there.file_type().is_socket() {
            return Err(in_the_way("a file that is no socket stands there"));
        }
        match std::os::unix::net::UnixStream::connect(path) {
            Ok(_) => return Err(in_the_way("another agent listens there")),
            // Left behind by one that was killed.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                std::fs::remove_file(path).map_err(failed)?;
            }
            // Somebody else's, as likely as not.
            Err(error) => return Err(failed(error)),
        }
    }
    let listener = listen_for_owner(path).map_err(failed)?;
    let unlink = Unlink(path.to_owned());
    let listener = UnixListener::from_std(listener).map_err(failed)?;
    Ok((listener, unlink))
}

/// A listening socket that only its owner may connect to, from the moment that it is there: the file gets the mode of
/// the descriptor (Linux `net/unix/af_unix.c`, unix_bind).
fn listen_for_owner(path: &Path) -> io::Result<std::os::unix::net::UnixListener> {
    /// As in the standard library.
    const BACKLOG: i32 = 128;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    let file = File::from(OwnedFd::from(socket));
    file.set_permissions(Permissions::from_mode(0o600))?;
    let socket = Socket::from(OwnedFd::from(file));
    socket.bind(&SockAddr::unix(path)?)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests;
