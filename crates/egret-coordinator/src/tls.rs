//! Whom the listener shows itself as: somebody its own authority vouches for, or the user's certificate.
//!
//! The authority is made at the first start and kept in the data dir. Agents know it by its pin, which their join
//! tokens carry. Its certificates hold as long as its key does: they are made anew at each start, for a name that is
//! nobody's, and dates say nothing about who holds a key.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use egret_tls::{COORDINATOR, Pin};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::ParsedCertificate;
use tokio_rustls::TlsAcceptor;

use crate::config::Tls;

/// The authority, in the data dir; the certificate is for whoever is to trust it.
const CERTIFICATE: &str = "ca.pem";
const KEY: &str = "ca.key";
/// How the authority calls itself.
const NAME: &str = "egret coordinator";

/// What tokens say of a coordinator that the public authorities know.
pub(crate) const PUBLIC: &str = "public";
/// What they say of one without TLS; there is nothing to pin on loopback.
pub(crate) const PLAIN: &str = "plain";

/// A port that speaks TLS.
pub(crate) struct Shown {
    pub(crate) acceptor: TlsAcceptor,
    /// How agents know it: a pin, or [`PUBLIC`].
    pub(crate) pin: String,
}

/// Certificates and key of the listener; `None`: it speaks plain HTTP.
///
/// # Errors
/// One line: what, where, and the mend.
pub(crate) fn shown(tls: &Tls, data_dir: &Path, names: Vec<String>) -> Result<Option<Shown>, String> {
    let (chain, key, pin) = match tls {
        Tls::Off => return Ok(None),
        Tls::Own => own(data_dir, names)?,
        Tls::Files { cert, key } => given(cert, key)?,
    };
    let provider = Arc::new(default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| error.to_string())?.with_no_client_auth();
    let mut config = config.with_single_cert(chain, key).map_err(|error| {
        format!("the certificate cannot be used: {error}; name a key and its own certificate")
    })?;
    // Without it TLS 1.2 has nothing to bind signatures to (RFC 9266 3).
    config.require_ems = true;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Some(Shown { acceptor: Arc::new(config).into(), pin }))
}

type Chain = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>, String);

/// The user's files.
fn given(cert: &Path, key: &Path) -> Result<Chain, String> {
    let wrong =
        |file: &Path, why: &str| format!("{}: {why}; it should hold PEM and be readable", file.display());
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(cert).and_then(Iterator::collect);
    let chain = chain.map_err(|error| wrong(cert, &error.to_string()))?;
    let last = chain.last().ok_or_else(|| wrong(cert, "there is no certificate in it"))?;
    let pin = Pin::of(last).map_err(|error| wrong(cert, &error.to_string()))?;
    let pin = if is_public(&chain) { PUBLIC.to_owned() } else { pin.to_string() };
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| wrong(key, &error.to_string()))?;
    Ok((chain, key, pin))
}

/// Whether the public authorities vouch for a chain, whatever its name: then it will be renewed, and pins would not hold.
fn is_public(chain: &[CertificateDer<'static>]) -> bool {
    let Some((Ok(leaf), rest)) =
        chain.split_first().map(|(leaf, rest)| (ParsedCertificate::try_from(leaf), rest))
    else {
        return false;
    };
    let algorithms = default_provider().signature_verification_algorithms.all;
    let roots = egret_tls::public_roots();
    verify_server_cert_signed_by_trust_anchor(&leaf, &roots, rest, UnixTime::now(), algorithms).is_ok()
}

/// Somebody that the authority in the data dir vouches for; makes it if there is none.
fn own(data_dir: &Path, names: Vec<String>) -> Result<Chain, String> {
    let failed = |error: rcgen::Error| format!("no certificate can be made: {error}");
    let (key_file, certificate_file) = (data_dir.join(KEY), data_dir.join(CERTIFICATE));
    let unusable = |file: &Path, error: &dyn std::fmt::Display| {
        format!("{} cannot be used: {error}; make it readable for this user, or restore it", file.display())
    };
    let key = match std::fs::read_to_string(&key_file) {
        Ok(pem) => KeyPair::from_pem(&pem).map_err(|error| unusable(&key_file, &error))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let key = KeyPair::generate().map_err(failed)?;
            keep(&key_file, &key.serialize_pem(), 0o600).map_err(|error| unusable(&key_file, &error))?;
            key
        }
        Err(error) => return Err(unusable(&key_file, &error)),
    };
    let mut params = CertificateParams::new(Vec::new()).map_err(failed)?;
    params.distinguished_name = named(NAME);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let authority = params.self_signed(&key).map_err(failed)?;
    keep(&certificate_file, &authority.pem(), 0o644).map_err(|error| unusable(&certificate_file, &error))?;
    let authority = authority.der().clone();
    let pin = Pin::of(&authority).map_err(|error| error.to_string())?.to_string();

    let mut leaf = CertificateParams::new(names).map_err(failed)?;
    leaf.distinguished_name = named(COORDINATOR);
    let leaf_key = KeyPair::generate().map_err(failed)?;
    let leaf = leaf.signed_by(&leaf_key, &Issuer::new(params, key)).map_err(failed)?.der().clone();
    let leaf_key = PrivateKeyDer::try_from(leaf_key.serialize_der()).map_err(str::to_owned)?;
    Ok((vec![leaf, authority], leaf_key, pin))
}

fn named(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}

/// Replaces a file as a whole.
fn keep(file: &Path, text: &str, mode: u32) -> std::io::Result<()> {
    let draft = file.with_extension("new");
    let mut written = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&draft)?;
    written.write_all(text.as_bytes())?;
    written.sync_all()?;
    std::fs::rename(draft, file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn own_in(dir: &Path) -> Result<String, String> {
        shown(&Tls::Own, dir, vec![COORDINATOR.to_owned()]).map(|shown| shown.unwrap().pin)
    }

    #[test]
    fn an_authority_is_made_once_and_its_key_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let pin = own_in(dir.path()).unwrap();
        assert_eq!(own_in(dir.path()).unwrap(), pin);
        let mode = std::fs::metadata(dir.path().join(KEY)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let kept = CertificateDer::from_pem_file(dir.path().join(CERTIFICATE)).unwrap();
        assert_eq!(Pin::of(&kept).unwrap().to_string(), pin);
        std::fs::write(dir.path().join(KEY), "-----").unwrap();
        let error = own_in(dir.path()).unwrap_err();
        assert!(error.contains("ca.key cannot be used"), "{error}");
    }

    #[test]
    fn given_files_are_known_by_the_last_certificate_among_them() {
        let dir = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(["egret.example".to_owned()]).unwrap();
        let [cert, key, none] = ["cert.pem", "key.pem", "none.pem"].map(|name| dir.path().join(name));
        std::fs::write(&cert, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        let files = |cert: &Path, key: &Path| {
            let tls = Tls::Files { cert: cert.to_owned(), key: key.to_owned() };
            shown(&tls, dir.path(), Vec::new()).map(|shown| shown.unwrap().pin)
        };
        assert_eq!(files(&cert, &key).unwrap(), Pin::of(made.cert.der()).unwrap().to_string());
        for (cert, key, named) in
            [(&none, &key, "none.pem"), (&cert, &none, "none.pem"), (&key, &key, "key.pem")]
        {
            let error = files(cert, key).unwrap_err();
            assert!(error.contains(named), "{error}");
        }
        let other = KeyPair::generate().unwrap();
        std::fs::write(&key, other.serialize_pem()).unwrap();
        assert!(files(&cert, &key).unwrap_err().contains("name a key and its own certificate"));
    }
}
