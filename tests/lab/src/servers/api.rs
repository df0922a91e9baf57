//! What stands for the API server: TLS with a certificate of its own, and no word beyond the handshake.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::AsyncReadExt;
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;

use crate::topology::{API_NAME, Topology};

/// A client that neither speaks nor goes.
const PATIENCE: Duration = Duration::from_secs(30);

/// Serves on the current runtime.
pub(super) fn serve(views: &[Topology], tcp: TcpListener) -> io::Result<AbortHandle> {
    let acceptor = TlsAcceptor::from(Arc::new(config(views)?));
    let tcp = tokio::net::TcpListener::from_std(tcp)?;
    let task = tokio::spawn(async move {
        loop {
            if let Ok((stream, _)) = tcp.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(tokio::time::timeout(PATIENCE, async move {
                    if let Ok(mut stream) = acceptor.accept(stream).await {
                        // Until the client has seen enough.
                        let _ = stream.read_u8().await;
                    }
                }));
            }
        }
    });
    Ok(task.abort_handle())
}

fn config(views: &[Topology]) -> io::Result<ServerConfig> {
    let mut names = vec![API_NAME.to_owned(), "kubernetes".to_owned()];
    names.extend(views.iter().map(|view| view.api().ip().to_string()));
    let signed = rcgen::generate_simple_self_signed(names).map_err(io::Error::other)?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(signed.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| {
            builder
                .with_no_client_auth()
                .with_single_cert(vec![signed.cert.der().clone()], key)
        })
        .map_err(io::Error::other)
}
