//! A run's own keys for mutual TLS: made when it begins, gone when it ends.

use mesh_kube::{Keys, LINK_SERVER_NAME};
use mesh_probe::LoadedTls;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::LinkTls;

/// Keys could not be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot make the run's keys: {0}")]
pub(crate) struct KeysError(Box<dyn std::error::Error + Send + Sync>);

/// The agents' keys, and ours.
pub(crate) fn make_run_keys() -> Result<(Keys, LinkTls), KeysError> {
    let failed = |error: rcgen::Error| KeysError(Box::new(error));
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let authority_key = KeyPair::generate().map_err(failed)?;
    let authority = CertifiedIssuer::self_signed(authority, authority_key).map_err(failed)?;

    let leaf = |name: &str, usage| {
        let mut params = CertificateParams::new(vec![name.to_owned()])?;
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &authority)?;
        Ok((certificate, key))
    };
    let (agents, agents_key) = leaf(LINK_SERVER_NAME, ExtendedKeyUsagePurpose::ServerAuth).map_err(failed)?;
    let (ours, our_key) =
        leaf("coordinator.mesh.internal", ExtendedKeyUsagePurpose::ClientAuth).map_err(failed)?;

    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(authority.der().clone())
        .map_err(|error| KeysError(Box::new(error)))?;
    let our_key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(our_key.serialize_der()));
    let tls = LinkTls::of(LoadedTls {
        roots,
        chain: vec![ours.der().clone()],
        key: our_key,
    });
    let keys = Keys {
        ca: authority.pem(),
        certificate: agents.pem(),
        key: agents_key.serialize_pem(),
    };
    Ok((keys, tls.map_err(|error| KeysError(Box::new(error)))?))
}
