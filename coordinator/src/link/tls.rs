//! The coordinator's side of mutual TLS.

use std::sync::Arc;

use mesh_probe::{LoadedTls, TlsFileError, TlsFiles};

/// The coordinator's side of mutual TLS.
#[derive(Clone)]
pub(crate) struct LinkTls {
    config: Arc<rustls::ClientConfig>,
}

impl std::fmt::Debug for LinkTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // It holds a private key.
        f.write_str("LinkTls(..)")
    }
}

impl LinkTls {
    /// Reads PEM: the CA that signed the agents, our certificate (chain) and its key.
    pub(crate) fn load(files: &TlsFiles) -> Result<Self, TlsFileError> {
        Self::of(files.load()?).map_err(|source| files.no_pair(source))
    }

    /// The CA that signed the agents, our certificate (chain) and its key.
    pub(crate) fn of(loaded: LoadedTls) -> Result<Self, rustls::Error> {
        // The provider is named, not installed: what else runs in this process may have installed another.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(loaded.roots)
            .with_client_auth_cert(loaded.chain, loaded.key)?;
        // gRPC is HTTP/2, and servers insist on its name (RFC 9113, section 3.2).
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Self {
            config: Arc::new(config),
        })
    }

    pub(super) fn config(&self) -> Arc<rustls::ClientConfig> {
        Arc::clone(&self.config)
    }
}
