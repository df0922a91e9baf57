//! The link's socket: who may stand where it should be, who may connect, and what is left of it.

use std::ffi::OsString;
use std::os::unix::net::UnixListener as StdListener;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

use super::*;
use crate::TlsFiles;
use crate::test_place::{at, in_own_network};

#[test]
fn the_socket_is_the_owners_alone_and_goes_with_the_agent() {
    in_own_network(&[], async || {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("a");
        let running = start(config("a", A_AT, &socket)).await.unwrap();
        let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let mut client = dial(&socket).await;
        client.facts(v1::FactsRequest {}).await.unwrap();
        running.end().await.unwrap();
        assert!(!socket.exists());
    });
}

#[test]
fn a_socket_that_a_killed_agent_left_is_replaced() {
    in_own_network(&[], async || {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("a");
        drop(StdListener::bind(&socket).unwrap());
        assert!(socket.exists());
        let running = start(config("a", A_AT, &socket)).await.unwrap();
        dial(&socket).await.facts(v1::FactsRequest {}).await.unwrap();
        running.end().await.unwrap();
    });
}

#[test]
fn a_live_agent_and_a_file_are_left_alone() {
    in_own_network(&[], async || {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("a");
        let running = start(config("a", A_AT, &socket)).await.unwrap();
        let error = start(config("b", B_AT, &socket)).await.err().unwrap();
        let said = error.to_string();
        assert!(said.contains("another agent listens there"), "{said}");
        dial(&socket).await.facts(v1::FactsRequest {}).await.unwrap();
        running.end().await.unwrap();
    });
    in_own_network(&[], async || {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("notes");
        std::fs::write(&file, "mine").unwrap();
        let error = start(config("a", A_AT, &file)).await.err().unwrap();
        let said = error.to_string();
        assert!(said.contains("a file that is no socket"), "{said}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
    });
}

#[test]
fn where_no_socket_can_be_made_the_place_is_named() {
    in_own_network(&[], async || {
        let nowhere = Path::new("/nonexistent/a.sock");
        let error = start(config("a", A_AT, nowhere)).await.err().unwrap();
        let said = error.to_string();
        assert!(
            said.starts_with("cannot listen on /nonexistent/a.sock: "),
            "{said}"
        );
    });
}

#[test]
fn a_port_that_is_taken_is_named_with_the_way_out() {
    in_own_network(&[], async || {
        let folder = tempfile::tempdir().unwrap();
        let _first = start(config("a", A_AT, &folder.path().join("a"))).await.unwrap();
        let error = start(config("b", A_AT, &folder.path().join("b")))
            .await
            .err()
            .unwrap();
        let said = error.to_string();
        assert!(
            said.contains("9441") && said.contains("--responder-port"),
            "{said}"
        );
    });
}

/// PEM files of a CA and of an agent of it; a coordinator's as PEM.
struct Keys {
    folder: tempfile::TempDir,
    ca: String,
    coordinator: (String, String),
}

impl Keys {
    fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let issue = |name: &str| {
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new([name.to_owned()]).unwrap();
            (params.signed_by(&key, &ca).unwrap().pem(), key.serialize_pem())
        };
        let folder = tempfile::tempdir().unwrap();
        let (cert, key) = issue("127.0.0.1");
        for (name, text) in [("ca", &ca.pem()), ("cert", &cert), ("key", &key)] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        Self {
            coordinator: issue("coordinator"),
            ca: ca.pem(),
            folder,
        }
    }

    fn files(&self) -> TlsFiles {
        let path = |name| self.folder.path().join(name).into();
        TlsFiles {
            ca: path("ca"),
            cert: path("cert"),
            key: path("key"),
        }
    }
}

const LINK: &str = "127.0.0.1:9440";

fn over_tcp(tls: Option<TlsFiles>) -> AgentConfig {
    AgentConfig {
        listen: ListenAddress::Tcp(at(LINK)),
        tls,
        ..config("a", A_AT, Path::new("/nonexistent"))
    }
}

#[test]
fn over_tcp_only_a_coordinator_with_a_certificate_is_heard() {
    in_own_network(&[], async || {
        let keys = Keys::new();
        let running = start(over_tcp(Some(keys.files()))).await.unwrap();
        let ca = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&keys.ca));
        let (cert, key) = &keys.coordinator;
        let known = ca.clone().identity(Identity::from_pem(cert, key));
        for (tls, heard) in [(known, true), (ca, false)] {
            let endpoint = Endpoint::from_shared(format!("https://{LINK}")).unwrap();
            let endpoint = endpoint.tls_config(tls).unwrap();
            let answered = match endpoint.connect().await {
                Ok(channel) => AgentClient::new(channel).facts(v1::FactsRequest {}).await.is_ok(),
                Err(_) => false,
            };
            assert_eq!(answered, heard);
        }
        running.end().await.unwrap();
    });
}

#[test]
fn keys_may_be_given_as_text() {
    in_own_network(&[], async || {
        let keys = Keys::new();
        let text = |name| OsString::from(std::fs::read_to_string(keys.folder.path().join(name)).unwrap());
        let given = TlsFiles {
            ca: text("ca").into(),
            cert: text("cert").into(),
            key: text("key").into(),
        };
        assert!(!format!("{given:?}").contains("BEGIN"), "keys stay out of logs");
        start(over_tcp(Some(given))).await.unwrap().end().await.unwrap();
    });
}

#[test]
fn over_tcp_it_does_not_start_without_keys() {
    in_own_network(&[], async || {
        let error = start(over_tcp(None)).await.err().unwrap();
        assert!(matches!(error, AgentError::NoTls), "{error}");
    });
}

#[test]
fn a_file_of_keys_that_cannot_be_used_is_told_by_its_flag() {
    in_own_network(&[], async || {
        let (keys, others) = (Keys::new(), Keys::new());
        let text = keys.folder.path().join("text");
        std::fs::write(&text, "nothing").unwrap();
        let garbled = keys.folder.path().join("garbled");
        std::fs::write(
            &garbled,
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        )
        .unwrap();
        let nowhere = Path::new("/nonexistent/key.pem").to_owned();
        let good = || keys.files();
        let table = [
            (
                TlsFiles {
                    ca: text.clone().into(),
                    ..good()
                },
                "--tls-ca ",
                "text: nothing of that kind in PEM form",
            ),
            (
                TlsFiles {
                    ca: garbled.clone().into(),
                    ..good()
                },
                "--tls-ca ",
                "garbled: ",
            ),
            (
                TlsFiles {
                    ca: Path::new("/dev/zero").to_owned().into(),
                    ..good()
                },
                "--tls-ca ",
                "larger than 1 MiB",
            ),
            (
                TlsFiles {
                    cert: text.clone().into(),
                    ..good()
                },
                "--tls-cert ",
                "text: nothing of that kind",
            ),
            (
                TlsFiles {
                    cert: good().key,
                    ..good()
                },
                "--tls-cert ",
                "key: nothing of that kind",
            ),
            (
                TlsFiles {
                    key: nowhere.into(),
                    ..good()
                },
                "--tls-key ",
                "/nonexistent/key.pem: No such file",
            ),
            (
                TlsFiles {
                    key: text.into(),
                    ..good()
                },
                "--tls-key ",
                "text: nothing of that kind",
            ),
            (
                TlsFiles {
                    cert: OsString::from("-----BEGIN CERTIFICATE-----").into(),
                    ..good()
                },
                "--tls-cert (given as text): ",
                "",
            ),
            (
                TlsFiles {
                    key: others.files().key,
                    ..good()
                },
                "--tls-cert ",
                "cannot be used together",
            ),
        ];
        for (files, begins, says) in table {
            let error = start(over_tcp(Some(files))).await.err().unwrap();
            let said = error.to_string();
            assert!(matches!(error, AgentError::TlsFile(_)), "{said}");
            assert!(said.starts_with(begins) && said.contains(says), "{said}");
        }
    });
}

#[test]
fn a_ca_file_without_a_certificate_is_refused() {
    in_own_network(&[], async || {
        let folder = tempfile::tempdir().unwrap();
        let ca = folder.path().join("ca.pem");
        std::fs::write(&ca, "nothing").unwrap();
        let config = AgentConfig {
            api_ca: Some(ca.clone()),
            ..config("a", A_AT, &folder.path().join("a"))
        };
        let said = start(config).await.err().unwrap().to_string();
        assert!(
            said.starts_with("--api-ca ") && said.contains("ca.pem: nothing of that kind in PEM form"),
            "{said}"
        );
    });
}
