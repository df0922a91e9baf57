//! TLS with the API service: a handshake, and the certificate that was shown. It need not be trusted, unless a CA is
//! given: what is under test is the path, and a certificate says who stands at its end.

use std::fmt::Write as _;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use mesh_proto::{Certificate, Failure, Reason};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::attempt::{Answered, Attempt, Outcome};
use crate::moment::Clock;
use crate::stream::connect;
use crate::way::Way;

/// One handshake. `ca` is what the certificate must be signed by.
pub(crate) async fn attempt(
    way: impl Into<Way>,
    ca: Option<Arc<RootCertStore>>,
    clock: Clock,
    deadline: Instant,
) -> Attempt {
    let way: Way = way.into();
    let (config, shown) = match client(ca) {
        Ok(client) => client,
        Err(error) => return Attempt::untried(format!("cannot be a TLS client: {error}")),
    };
    let mut connected = match connect(way, clock, deadline).await {
        Ok(connected) => connected,
        Err(attempt) => return attempt,
    };
    let began = clock.now();
    let name = ServerName::IpAddress(way.to.ip().into());
    let handshake = connected
        .converse(deadline, async |stream| {
            match TlsConnector::from(config).connect(name, stream).await {
                Ok(_) => Ok(None),
                Err(error) => tls_error(&error).map(Some).ok_or(error),
            }
        })
        .await;
    let certificate = shown.take();
    let failure = match handshake {
        // An alert: it speaks TLS; what it says is no.
        Ok(None | Some(Error::AlertReceived(_))) => None,
        Ok(Some(error)) => Some(Failure {
            detail: Some(words(&error)),
            ..Failure::new(Reason::WrongResponder)
        }),
        Err(failure) => Some(failure),
    };
    if let Some(failure) = failure {
        return connected.failed(failure);
    }
    let resent = connected.resent || connected.was_slowed(clock.now().since(began));
    let answered = Answered {
        rtt: connected.rtt,
        resent,
        certificate,
        ..Answered::default()
    };
    Attempt {
        source_port: connected.source_port,
        sent: 1,
        outcome: Outcome::Answered(answered),
    }
}

/// The TLS error inside of an I/O error.
fn tls_error(error: &io::Error) -> Option<Error> {
    error.get_ref()?.downcast_ref::<Error>().cloned()
}

fn words(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(why) => format!("its certificate is not one of the given CA: {why:?}"),
        Error::InvalidMessage(_) => "what answers there does not speak TLS".to_owned(),
        other => other.to_string(),
    }
}

fn client(ca: Option<Arc<RootCertStore>>) -> Result<(Arc<ClientConfig>, Shown), Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let shown = Shown::default();
    let trust = match ca {
        Some(roots) => {
            let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider.clone()).build();
            Some(verifier.map_err(|error| Error::General(error.to_string()))?)
        }
        None => None,
    };
    let verifier = Recorder {
        shown: shown.clone(),
        trust,
        provider: provider.clone(),
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok((Arc::new(config), shown))
}

/// The certificate that was seen in a handshake.
#[derive(Debug, Clone, Default)]
struct Shown(Arc<Mutex<Option<Certificate>>>);

impl Shown {
    fn take(&self) -> Option<Certificate> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[derive(Debug)]
struct Recorder {
    shown: Shown,
    trust: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verdict = self
            .trust
            .as_ref()
            .map(|trust| trust.verify_server_cert(end_entity, intermediates, name, ocsp, now));
        let verified = matches!(verdict, Some(Ok(_)));
        *self.shown.0.lock().unwrap_or_else(PoisonError::into_inner) = read(end_entity, verified);
        verdict.unwrap_or_else(|| Ok(ServerCertVerified::assertion()))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// What a person wants to know of a certificate; nothing if it is not one.
fn read(der: &CertificateDer<'_>, verified: bool) -> Option<Certificate> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let names = certificate
        .subject_alternative_name()
        .ok()
        .flatten()
        .map(|names| {
            names
                .value
                .general_names
                .iter()
                .filter_map(general_name)
                .collect()
        });
    let digest = ring::digest::digest(&ring::digest::SHA256, der);
    Some(Certificate {
        subject: certificate.subject().to_string(),
        issuer: certificate.issuer().to_string(),
        names: names.unwrap_or_default(),
        not_after: certificate.validity().not_after.timestamp(),
        sha256: hex(digest.as_ref()),
        verified,
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn general_name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match (<[u8; 4]>::try_from(*bytes), <[u8; 16]>::try_from(*bytes)) {
            (Ok(v4), _) => Some(std::net::Ipv4Addr::from(v4).to_string()),
            (_, Ok(v6)) => Some(std::net::Ipv6Addr::from(v6).to_string()),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests;
