//! TCP links with mutual TLS, on loopback.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mesh_probe::{Pem, TlsFileError, TlsFiles};
use mesh_proto::wire::{Prepare, RunKey};
use mesh_proto::{AgentIndex, AgentKey, Plane};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use tokio::net::TcpListener;

use super::{DialError, Link, LinkAddress, LinkMeans, LinkRoute, LinkTls, dial};

const PATIENCE: Duration = Duration::from_secs(20);

struct Ca(CertifiedIssuer<'static, KeyPair>);

impl Ca {
    fn named(name: &str) -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A certificate for a name or address, and its key, as PEM.
    fn issue(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        (
            params.signed_by(&key, &self.0).unwrap().pem(),
            key.serialize_pem(),
        )
    }
}

struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Trusts `ca`, and shows a certificate of `own`.
    fn client(&self, ca: &Ca, own: &Ca) -> LinkTls {
        let (cert, key) = own.issue("coordinator");
        let ca = self.write("ca.pem", &ca.0.pem());
        load(&ca, &self.write("cert.pem", &cert), &self.write("key.pem", &key)).unwrap()
    }
}

fn load(ca: &Path, cert: &Path, key: &Path) -> Result<LinkTls, TlsFileError> {
    let given = |path: &Path| Pem::from(path.to_owned());
    LinkTls::load(&TlsFiles {
        ca: given(ca),
        cert: given(cert),
        key: given(key),
    })
}

/// A TLS server that wants client certificates of `clients`, and shuts every connection after the handshake.
async fn serve(clients: &Ca, (cert, key): (String, String)) -> SocketAddr {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(clients.0.der().clone()).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .build()
        .unwrap();
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(cert.as_bytes()).unwrap()],
            PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
        )
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Err((_, mut stream)) = acceptor.accept(stream).into_fallible().await {
                // Closing with bytes unread would send a reset, which can overtake the alert.
                let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
            }
        }
    });
    address
}

fn with(tls: &LinkTls) -> LinkMeans {
    LinkMeans {
        tls: Some(tls.clone()),
        ..LinkMeans::default()
    }
}

async fn prepare(address: SocketAddr, tls: &LinkTls) -> Result<String, DialError> {
    let channel = dial(&LinkAddress::Tcp(address).into(), &with(tls), PATIENCE).await?;
    let key = AgentKey {
        node: "n1".parse().unwrap(),
        plane: Plane::Host,
    };
    let prepare = Prepare {
        run_id: "r".to_owned(),
        key: RunKey([0; 32]),
        own: AgentIndex(0),
        agents: vec![key],
    };
    let error = Link::new(channel).prepare(&prepare, PATIENCE).await.unwrap_err();
    Ok(error.to_string())
}

#[tokio::test]
async fn both_sides_are_checked() {
    let (ours, theirs, files) = (Ca::named("ours"), Ca::named("theirs"), Files::new());
    let good = files.client(&ours, &ours);

    let server = serve(&ours, ours.issue("127.0.0.1")).await;
    let past_the_handshake = prepare(server, &good).await.unwrap();
    assert!(!past_the_handshake.contains("alert"), "{past_the_handshake}");

    // TLS 1.3 (RFC 8446, section 4.4.2): the client learns of its refusal with the first answer only.
    let refused = prepare(server, &files.client(&ours, &theirs)).await;
    let refused = refused.unwrap_or_else(|error| error.to_string());
    assert!(refused.contains("alert"), "{refused}");

    let foreign = serve(&ours, theirs.issue("127.0.0.1")).await;
    let error = prepare(foreign, &good).await.unwrap_err().to_string();
    assert!(
        error.contains("TLS handshake failed") && error.contains("UnknownIssuer"),
        "{error}"
    );

    let elsewhere = serve(&ours, ours.issue("127.0.0.9")).await;
    let error = prepare(elsewhere, &good).await.unwrap_err().to_string();
    assert!(
        error.contains("TLS handshake failed") && error.contains("127.0.0.9"),
        "{error}"
    );
}

#[tokio::test]
async fn a_closed_port_and_a_missing_flag_have_words() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = LinkRoute::from(LinkAddress::Tcp(listener.local_addr().unwrap()));
    drop(listener);
    let ca = Ca::named("ours");
    let files = Files::new();
    let error = dial(&address, &with(&files.client(&ca, &ca)), PATIENCE)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with(&format!("link {address}: cannot connect: Connection refused")),
        "{error}"
    );
    let error = dial(&address, &LinkMeans::default(), PATIENCE)
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("--tls-ca, --tls-cert and --tls-key"), "{error}");
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let (ca, files) = (Ca::named("ours"), Files::new());
    let (cert, key) = ca.issue("coordinator");
    let (_, other_key) = ca.issue("coordinator");
    let ca = files.write("ca.pem", &ca.0.pem());
    let cert = files.write("cert.pem", &cert);
    let key = files.write("key.pem", &key);
    let other_key = files.write("other.pem", &other_key);
    let text = files.write("text", "nothing of the kind");
    let broken = files.write(
        "broken",
        "-----BEGIN CERTIFICATE-----\n%%%\n-----END CERTIFICATE-----\n",
    );
    let missing = Path::new("/nonexistent/file");

    assert!(load(&ca, &cert, &key).is_ok());
    let cases = [
        (
            missing,
            cert.as_path(),
            key.as_path(),
            "--tls-ca /nonexistent/file: No such file",
        ),
        (&text, &cert, &key, "--tls-ca"),
        (&broken, &cert, &key, "not PEM"),
        (&ca, &text, &key, "--tls-cert"),
        (&ca, &cert, &cert, "--tls-key"),
        (&ca, &cert, missing, "--tls-key /nonexistent/file: No such file"),
        (&ca, &cert, &other_key, "cannot be used together"),
    ];
    for (ca, cert, key, words) in cases {
        let error = load(ca, cert, key).unwrap_err().to_string();
        assert!(error.contains(words), "{words}: {error}");
    }
}
