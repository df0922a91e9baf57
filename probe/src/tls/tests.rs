use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::test_place::{LONG, SHORT, after};

type Ca = CertifiedIssuer<'static, KeyPair>;

fn ca(name: &str) -> Ca {
    let mut params = CertificateParams::new([]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    Ca::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn roots(ca: &Ca) -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add(ca.der().clone()).unwrap();
    Arc::new(roots)
}

/// A server whose certificate, of this CA, is for 127.0.0.1 and the API's usual name; it may want the client's.
fn server(ca: &Ca, clients_of: Option<&Ca>) -> TlsAcceptor {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["127.0.0.1".to_owned(), "kubernetes".to_owned()]).unwrap();
    params
        .distinguished_name
        .push(DnType::CommonName, "kube-apiserver");
    let certificate = params.signed_by(&key, ca).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match clients_of {
        Some(ca) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(roots(ca), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
        None => builder.with_no_client_auth(),
    };
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = builder
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// What a handshake with a server comes to.
async fn shake(
    ca: Option<Arc<RootCertStore>>,
    patience: Duration,
    server: impl AsyncFnOnce(TcpStream),
) -> Result<Answered, Failure> {
    let clock = Clock::start();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = listener.local_addr().unwrap();
    let client = attempt(to, ca, clock, after(clock, patience));
    let serve = async { server(listener.accept().await.unwrap().0).await };
    match tokio::join!(client, serve).0.outcome {
        Outcome::Answered(answered) => Ok(answered),
        Outcome::Failed(failure) => Err(failure),
        Outcome::Untried(why) => panic!("{why}"),
    }
}

/// Serves one handshake, whatever comes of it.
async fn accept(acceptor: TlsAcceptor, stream: TcpStream) {
    if let Ok(mut stream) = acceptor.accept(stream).await {
        let _ = stream.read(&mut [0]).await;
    }
}

#[tokio::test]
async fn the_certificate_is_shown_and_need_not_be_trusted() {
    let api = server(&ca("cluster CA"), None);
    let answered = shake(None, LONG, async |stream| accept(api, stream).await).await;
    let certificate = answered.unwrap().certificate.unwrap();
    assert!(certificate.subject.contains("kube-apiserver"), "{certificate:?}");
    assert!(certificate.issuer.contains("cluster CA"), "{certificate:?}");
    assert_eq!(certificate.names, ["127.0.0.1", "kubernetes"]);
    assert_eq!(certificate.sha256.len(), 64);
    assert!(certificate.not_after > 0);
    assert!(!certificate.verified);
}

#[tokio::test]
async fn with_the_right_ca_it_is_verified() {
    let ca = ca("cluster CA");
    let api = server(&ca, None);
    let answered = shake(Some(roots(&ca)), LONG, async |stream| accept(api, stream).await).await;
    assert!(answered.unwrap().certificate.unwrap().verified);
}

#[tokio::test]
async fn with_another_ca_it_is_the_wrong_responder() {
    let api = server(&ca("cluster CA"), None);
    let trusted = roots(&ca("another CA"));
    let failure = shake(Some(trusted), LONG, async |stream| accept(api, stream).await).await;
    let failure = failure.unwrap_err();
    assert_eq!(failure.reason, Reason::WrongResponder);
    let detail = failure.detail.unwrap();
    assert!(detail.contains("not one of the given CA"), "{detail}");
}

#[tokio::test]
async fn a_server_that_wants_our_certificate_has_answered() {
    let ca = ca("cluster CA");
    let api = server(&ca, Some(&ca));
    let answered = shake(None, LONG, async |stream| accept(api, stream).await).await;
    assert!(answered.unwrap().certificate.is_some());
}

#[tokio::test]
async fn an_alert_is_an_answer() {
    let answered = shake(None, LONG, async |mut stream| {
        let mut record = [0; 5];
        stream.read_exact(&mut record).await.unwrap();
        let mut hello = vec![0; usize::from(u16::from_be_bytes([record[3], record[4]]))];
        stream.read_exact(&mut hello).await.unwrap();
        // An alert record: TLS 1.2, two bytes, fatal, unrecognized_name (RFC 8446 section 6).
        stream.write_all(&[21, 3, 3, 0, 2, 2, 112]).await.unwrap();
        // The client may have hung up by now.
        let _ = stream.read(&mut [0]).await;
    })
    .await;
    assert_eq!(answered.unwrap().certificate, None);
}

#[tokio::test]
async fn a_plain_http_server_is_the_wrong_responder() {
    let failure = shake(None, LONG, async |mut stream| {
        assert!(stream.read(&mut [0; 4_096]).await.unwrap() > 0);
        let answer = b"HTTP/1.1 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.";
        stream.write_all(answer).await.unwrap();
        let _ = stream.read(&mut [0]).await;
    })
    .await
    .unwrap_err();
    assert_eq!(failure.reason, Reason::WrongResponder);
    assert_eq!(
        failure.detail.as_deref(),
        Some("what answers there does not speak TLS")
    );
}

#[tokio::test]
async fn a_server_that_hangs_up_is_the_wrong_responder() {
    let failure = shake(None, LONG, async |mut stream| {
        let mut record = [0; 5];
        stream.read_exact(&mut record).await.unwrap();
        let mut hello = vec![0; usize::from(u16::from_be_bytes([record[3], record[4]]))];
        stream.read_exact(&mut hello).await.unwrap();
    })
    .await
    .unwrap_err();
    assert_eq!(failure.reason, Reason::WrongResponder);
}

#[tokio::test]
async fn a_silent_server_stalls() {
    let failure = shake(None, SHORT, async |mut stream| {
        // Until the client has given up and closed.
        while stream.read(&mut [0; 4_096]).await.is_ok_and(|len| len > 0) {}
    })
    .await
    .unwrap_err();
    assert_eq!(failure, Failure::new(Reason::DataStalled));
}
