//! Real handshakes between two ends in memory.

use std::io::{Read, Write};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConnection, ServerConfig, ServerConnection};

use super::*;
use crate::binding;

/// An authority, and what it vouches for.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().der().clone();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    fn pin(&self) -> Pin {
        Pin::of(&self.certificate).unwrap()
    }

    /// A server that it knows by these names, and that shows the authority's certificate after its own.
    fn server(&self, names: &[&str]) -> Server {
        self.server_with(names, |_| {})
    }

    fn server_with(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Server {
        let mut params =
            CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let leaf = params.signed_by(&key, &self.issuer).unwrap().der().clone();
        Server { key: key.serialize_der(), chain: vec![leaf, self.certificate.clone()] }
    }
}

struct Server {
    key: Vec<u8>,
    chain: Vec<CertificateDer<'static>>,
}

/// What [`binding`] makes of a connection.
type Binding = Option<[u8; 32]>;

/// A handshake and one byte; what both ends make of the connection, or why the client went.
fn meet(server: &Server, name: &str, trust: &Trust) -> Result<(Binding, Binding), String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(server.key.clone()));
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth();
    // Unlike `with_single_cert` this takes a key that is not the certificate's.
    let key = rustls::crypto::ring::sign::any_supported_type(&key).unwrap();
    let identity = SingleCertAndKey::from(CertifiedKey::new(server.chain.clone(), key));
    let config = config.with_cert_resolver(Arc::new(identity));
    let mut server = ServerConnection::new(Arc::new(config)).unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::new(client(trust)), name).unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut &wire[..]).unwrap();
        server.process_new_packets().map_err(|error| error.to_string())?;
        wire.clear();
        server.write_tls(&mut wire).unwrap();
        client.read_tls(&mut &wire[..]).unwrap();
        client.process_new_packets().map_err(|error| error.to_string())?;
    }
    client.writer().write_all(b"?").unwrap();
    let mut wire = Vec::new();
    client.write_tls(&mut wire).unwrap();
    server.read_tls(&mut &wire[..]).unwrap();
    server.process_new_packets().unwrap();
    let mut heard = [0];
    server.reader().read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"?");
    Ok((binding(&client), binding(&server)))
}

#[test]
fn a_pinned_authority_vouches_for_its_coordinator_under_any_name() {
    let authority = Authority::new();
    let server = authority.server(&[COORDINATOR]);
    for name in ["egret.example", "192.0.2.1", "2001:db8::1"] {
        meet(&server, name, &Trust::Pinned(authority.pin())).unwrap();
        meet(&server, name, &Trust::Authorities(vec![authority.certificate.clone()])).unwrap();
    }
}

#[test]
fn a_pinned_key_is_enough_whatever_its_certificate_says() {
    let server = Authority::new().server_with(&["other.example"], |params| {
        params.not_after = date_time_ymd(2001, 1, 1);
    });
    let pin = Pin::of(&server.chain[0]).unwrap();
    meet(&server, "egret.example", &Trust::Pinned(pin)).unwrap();
}

#[test]
fn everybody_else_is_refused() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let good = authority.server(&[COORDINATOR]);
    // A stranger who shows the pinned authority's certificate without its signature.
    let mut forged = stranger.server(&[COORDINATOR]);
    forged.chain[1] = authority.certificate.clone();
    // Somebody else's key behind the right certificates.
    let stolen = Server { key: KeyPair::generate().unwrap().serialize_der(), chain: good.chain.clone() };
    let expired =
        authority.server_with(&[COORDINATOR], |params| params.not_after = date_time_ymd(2001, 1, 1));
    let early = authority.server_with(&[COORDINATOR], |params| params.not_before = date_time_ymd(2999, 1, 1));
    let another = authority.server(&["other.example"]);
    for trust in [Trust::Pinned(authority.pin()), Trust::Authorities(vec![authority.certificate.clone()])] {
        for (server, what) in [
            (&stranger.server(&[COORDINATOR]), "a stranger"),
            (&forged, "a forged chain"),
            (&expired, "expired"),
            (&early, "not yet valid"),
            (&another, "another name"),
            (&stolen, "a key that is not the certificate's"),
        ] {
            assert!(meet(server, "egret.example", &trust).is_err(), "{what}");
        }
    }
    for trust in [Trust::Public, Trust::Nobody] {
        assert!(meet(&good, "egret.example", &trust).is_err());
    }
}

#[test]
fn a_private_authority_is_held_to_the_name_dialled() {
    let authority = Authority::new();
    let server = authority.server(&["egret.example"]);
    let trust = Trust::Pinned(authority.pin());
    meet(&server, "egret.example", &trust).unwrap();
    assert!(meet(&server, "elsewhere.example", &trust).is_err());
}

#[test]
fn both_ends_make_the_same_of_a_connection_and_no_two_are_alike() {
    let authority = Authority::new();
    let (server, trust) = (authority.server(&[COORDINATOR]), Trust::Pinned(authority.pin()));
    let (here, there) = meet(&server, "egret.example", &trust).unwrap();
    assert!(here.is_some() && here == there);
    assert_ne!(meet(&server, "egret.example", &trust).unwrap().0, here);
}

#[test]
fn a_pin_is_read_as_it_is_written() {
    let pin = Authority::new().pin();
    let text = pin.to_string();
    assert_eq!((text.len(), text.parse()), (43, Ok(pin)));
    for wrong in ["", "plain", &text[1..], &format!("{text}A")] {
        assert!(wrong.parse::<Pin>().is_err(), "{wrong}");
    }
}
