//! The PEM files that an agent is given: checked before they are used, so that what is wrong with one is told by its flag.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tonic::transport::{Certificate, Identity, ServerTlsConfig};

use crate::config::TlsFiles;

/// A PEM file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsFileError {
    /// It cannot be read, or holds something else.
    #[error("{flag} {}: {why}", path.display())]
    File {
        /// Which flag named it.
        flag: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// The certificate and the key do not belong together.
    #[error("--tls-cert {} and --tls-key {} cannot be used together: {source}", cert.display(), key.display())]
    Pair {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why not.
        source: rustls::Error,
    },
}

/// The agent's side of mutual TLS.
pub(crate) fn server(files: &TlsFiles) -> Result<ServerTlsConfig, TlsFileError> {
    let TlsFiles { ca, cert, key } = files;
    let (ca_text, cert_text) = (read("--tls-ca", ca)?, read("--tls-cert", cert)?);
    let key_text = read("--tls-key", key)?;
    roots("--tls-ca", ca, &ca_text)?;
    let chain = certificates("--tls-cert", cert, &cert_text)?;
    let own_key = PrivateKeyDer::from_pem_slice(&key_text)
        .map_err(|error| unusable("--tls-key", key, words(&error)))?;
    rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, own_key)
        .map_err(|source| TlsFileError::Pair {
            cert: cert.clone(),
            key: key.clone(),
            source,
        })?;
    Ok(ServerTlsConfig::new()
        .identity(Identity::from_pem(cert_text, key_text))
        .client_ca_root(Certificate::from_pem(ca_text)))
}

/// The CA that must have signed the API service's certificate.
pub(crate) fn api_ca(path: &Path) -> Result<RootCertStore, TlsFileError> {
    let flag = "--api-ca";
    roots(flag, path, &read(flag, path)?)
}

fn roots(flag: &'static str, path: &Path, text: &[u8]) -> Result<RootCertStore, TlsFileError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(flag, path, text)? {
        roots
            .add(certificate)
            .map_err(|error| unusable(flag, path, error.to_string()))?;
    }
    Ok(roots)
}

fn certificates(
    flag: &'static str,
    path: &Path,
    text: &[u8],
) -> Result<Vec<CertificateDer<'static>>, TlsFileError> {
    let found = CertificateDer::pem_slice_iter(text).collect::<Result<Vec<_>, _>>();
    let found = found.map_err(|error| unusable(flag, path, words(&error)))?;
    if found.is_empty() {
        return Err(unusable(flag, path, words(&pem::Error::NoItemsFound)));
    }
    Ok(found)
}

fn read(flag: &'static str, path: &Path) -> Result<Vec<u8>, TlsFileError> {
    /// All CAs of a system are a quarter of it.
    const LONGEST: u64 = 1 << 20;
    let read = || {
        let mut text = Vec::new();
        File::open(path)?.take(LONGEST + 1).read_to_end(&mut text)?;
        if u64::try_from(text.len()).is_ok_and(|length| length > LONGEST) {
            return Err(io::Error::other("it is larger than 1 MiB, the most that is read"));
        }
        Ok(text)
    };
    read().map_err(|error| unusable(flag, path, error.to_string()))
}

fn unusable(flag: &'static str, path: &Path, why: String) -> TlsFileError {
    TlsFileError::File {
        flag,
        path: path.to_owned(),
        why,
    }
}

fn words(error: &pem::Error) -> String {
    match error {
        pem::Error::NoItemsFound => "nothing of that kind in PEM form is in it".to_owned(),
        other => format!("not PEM: {other}"),
    }
}
