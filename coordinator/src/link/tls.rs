//! Mutual TLS of `tcp:` links: who we are, and whom we trust.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

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

/// A file of `--tls-*` that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsFileError {
    /// It cannot be read, or is no PEM.
    #[error("{flag} {}: {why}", file.display())]
    File {
        flag: &'static str,
        file: PathBuf,
        why: String,
    },
    /// The certificate and the key do not fit.
    #[error("--tls-cert {} and --tls-key {} cannot be used together", cert.display(), key.display())]
    Pair {
        cert: PathBuf,
        key: PathBuf,
        source: rustls::Error,
    },
}

impl LinkTls {
    /// Reads PEM files: the CA that signed the agents, our certificate (chain) and its key.
    pub(crate) fn load(ca: &Path, cert: &Path, key: &Path) -> Result<Self, TlsFileError> {
        let mut roots = rustls::RootCertStore::empty();
        for root in certificates("--tls-ca", ca)? {
            roots
                .add(root)
                .map_err(|error| unusable("--tls-ca", ca, error.to_string()))?;
        }
        let chain = certificates("--tls-cert", cert)?;
        let own_key = PrivateKeyDer::from_pem_slice(&pem("--tls-key", key)?)
            .map_err(|error| unusable("--tls-key", key, pem_words(&error)))?;
        Self::of(roots, chain, own_key).map_err(|source| TlsFileError::Pair {
            cert: cert.to_owned(),
            key: key.to_owned(),
            source,
        })
    }

    /// The CA that signed the agents, our certificate (chain) and its key.
    pub(crate) fn of(
        roots: rustls::RootCertStore,
        chain: Vec<CertificateDer<'static>>,
        own_key: PrivateKeyDer<'static>,
    ) -> Result<Self, rustls::Error> {
        // The provider is named, not installed: what else runs in this process may have installed another.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, own_key)?;
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

fn certificates(flag: &'static str, file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsFileError> {
    let bad = |error: rustls::pki_types::pem::Error| unusable(flag, file, pem_words(&error));
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&pem(flag, file)?)
        .collect::<Result<_, _>>()
        .map_err(bad)?;
    if certificates.is_empty() {
        return Err(unusable(
            flag,
            file,
            "no certificate in PEM form is in it".to_owned(),
        ));
    }
    Ok(certificates)
}

/// Chains and keys have a few KiB.
const LONGEST: u64 = 1 << 20;

fn pem(flag: &'static str, file: &Path) -> Result<Vec<u8>, TlsFileError> {
    let read = crate::input_file::read(file, LONGEST);
    read.map(|(_, bytes)| bytes)
        .map_err(|error| unusable(flag, file, error.to_string()))
}

fn unusable(flag: &'static str, file: &Path, why: String) -> TlsFileError {
    TlsFileError::File {
        flag,
        file: file.to_owned(),
        why,
    }
}

fn pem_words(error: &rustls::pki_types::pem::Error) -> String {
    match error {
        rustls::pki_types::pem::Error::NoItemsFound => "nothing of that kind in PEM form is in it".to_owned(),
        other => format!("not PEM: {other}"),
    }
}
