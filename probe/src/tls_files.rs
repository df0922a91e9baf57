//! The PEM files that either side of a link is given: checked before they are used, so that what is wrong with one is told by
//! its flag.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tonic::transport::{Certificate, Identity, ServerTlsConfig};

use crate::config::{Pem, TlsFiles};

/// PEM that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsFileError {
    /// It cannot be read, or holds something else.
    #[error("{flag} {given}: {why}")]
    File {
        /// Which flag named it.
        flag: &'static str,
        /// What was given.
        given: Pem,
        /// Why not.
        why: String,
    },
    /// The certificate and the key do not belong together.
    #[error("--tls-cert {cert} and --tls-key {key} cannot be used together: {source}")]
    Pair {
        /// The certificate.
        cert: Pem,
        /// The key.
        key: Pem,
        /// Why not.
        source: Box<rustls::Error>,
    },
}

/// What the files of a link hold.
#[derive(Debug)]
pub struct LoadedTls {
    /// Who may have signed the other side's certificate.
    pub roots: RootCertStore,
    /// The own certificate, with its chain.
    pub chain: Vec<CertificateDer<'static>>,
    /// And its key.
    pub key: PrivateKeyDer<'static>,
}

impl TlsFiles {
    /// Reads all three.
    pub fn load(&self) -> Result<LoadedTls, TlsFileError> {
        let [ca, cert, key] = self.read()?;
        self.parse(&ca, &cert, &key)
    }

    /// That the certificate and the key do not belong together.
    pub fn no_pair(&self, source: rustls::Error) -> TlsFileError {
        TlsFileError::Pair {
            cert: self.cert.clone(),
            key: self.key.clone(),
            source: Box::new(source),
        }
    }

    fn read(&self) -> Result<[Vec<u8>; 3], TlsFileError> {
        Ok([
            read("--tls-ca", &self.ca)?,
            read("--tls-cert", &self.cert)?,
            read("--tls-key", &self.key)?,
        ])
    }

    fn parse(&self, ca: &[u8], cert: &[u8], key: &[u8]) -> Result<LoadedTls, TlsFileError> {
        Ok(LoadedTls {
            roots: roots("--tls-ca", &self.ca, ca)?,
            chain: certificates("--tls-cert", &self.cert, cert)?,
            key: PrivateKeyDer::from_pem_slice(key)
                .map_err(|error| unusable("--tls-key", &self.key, words(&error)))?,
        })
    }
}

/// The agent's side of mutual TLS.
pub(crate) fn server(files: &TlsFiles) -> Result<ServerTlsConfig, TlsFileError> {
    let [ca, cert, key] = files.read()?;
    let LoadedTls { chain, key: own, .. } = files.parse(&ca, &cert, &key)?;
    rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, own)
        .map_err(|source| files.no_pair(source))?;
    Ok(ServerTlsConfig::new()
        .identity(Identity::from_pem(cert, key))
        .client_ca_root(Certificate::from_pem(ca)))
}

/// The CA that must have signed the API service's certificate.
pub(crate) fn api_ca(path: &Path) -> Result<RootCertStore, TlsFileError> {
    let (flag, given) = ("--api-ca", Pem::File(path.to_owned()));
    roots(flag, &given, &read(flag, &given)?)
}

fn roots(flag: &'static str, given: &Pem, text: &[u8]) -> Result<RootCertStore, TlsFileError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(flag, given, text)? {
        roots
            .add(certificate)
            .map_err(|error| unusable(flag, given, error.to_string()))?;
    }
    Ok(roots)
}

fn certificates(
    flag: &'static str,
    given: &Pem,
    text: &[u8],
) -> Result<Vec<CertificateDer<'static>>, TlsFileError> {
    let found = CertificateDer::pem_slice_iter(text).collect::<Result<Vec<_>, _>>();
    let found = found.map_err(|error| unusable(flag, given, words(&error)))?;
    if found.is_empty() {
        return Err(unusable(flag, given, words(&pem::Error::NoItemsFound)));
    }
    Ok(found)
}

fn read(flag: &'static str, given: &Pem) -> Result<Vec<u8>, TlsFileError> {
    /// All CAs of a system are a quarter of it.
    const LONGEST: u64 = 1 << 20;
    let path = match given {
        Pem::Text(text) => return Ok(text.clone().into_bytes()),
        Pem::File(path) => path,
    };
    let read = || {
        let mut text = Vec::new();
        File::open(path)?.take(LONGEST + 1).read_to_end(&mut text)?;
        if u64::try_from(text.len()).is_ok_and(|length| length > LONGEST) {
            return Err(io::Error::other("it is larger than 1 MiB, the most that is read"));
        }
        Ok(text)
    };
    read().map_err(|error| unusable(flag, given, error.to_string()))
}

fn unusable(flag: &'static str, given: &Pem, why: String) -> TlsFileError {
    TlsFileError::File {
        flag,
        given: given.clone(),
        why,
    }
}

fn words(error: &pem::Error) -> String {
    match error {
        pem::Error::NoItemsFound => "nothing of that kind in PEM form is in it".to_owned(),
        other => format!("not PEM: {other}"),
    }
}
