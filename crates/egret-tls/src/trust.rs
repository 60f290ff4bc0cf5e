//! Whom to take for whom.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use crate::Pin;

/// The name in the certificates that a coordinator's own authority makes: agents know it by its key, whatever name or
/// address they dial. RFC 6761 keeps it from ever being anybody's.
pub const COORDINATOR: &str = "coordinator.egret.invalid";

/// Whom a client takes for the other end.
#[derive(Clone, Debug)]
pub enum Trust {
    /// Whoever shows that the public authorities know it by the name dialled.
    Public,
    /// Whoever holds the key with this pin; or, if that is an authority's, whoever it knows by the name dialled, or as
    /// [`COORDINATOR`].
    Pinned(Pin),
    /// Whoever these authorities know by the name dialled, or as [`COORDINATOR`].
    Authorities(Vec<CertificateDer<'static>>),
    /// Nobody: for clients that are never to speak TLS.
    Nobody,
}

/// A text that should hold certificates holds none.
#[derive(Debug, thiserror::Error)]
#[error("it holds no certificate in PEM: `-----BEGIN CERTIFICATE-----` and what follows")]
pub struct NoAuthority;

impl Trust {
    /// Trust in the authorities whose certificates are given as PEM.
    ///
    /// # Errors
    /// There is none, or one is damaged.
    pub fn authorities(pem: &[u8]) -> Result<Self, NoAuthority> {
        let known: Vec<_> =
            CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|_| NoAuthority)?;
        if known.is_empty() { Err(NoAuthority) } else { Ok(Self::Authorities(known)) }
    }
}

/// The authorities that the world trusts.
pub fn public_roots() -> RootCertStore {
    webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect()
}

/// TLS 1.2 and 1.3 as a client, without certificates of its own.
pub fn client(trust: &Trust) -> ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("ring has the cipher suites of TLS 1.2 and 1.3");
    let roots = match trust {
        Trust::Public => public_roots(),
        Trust::Nobody => RootCertStore::empty(),
        Trust::Pinned(_) | Trust::Authorities(_) => {
            let verifier = Verifier { trust: trust.clone(), provider };
            // Dangerous would be a verifier that lets anybody pass.
            return versions
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(verifier))
                .with_no_client_auth();
        }
    };
    versions.with_root_certificates(roots).with_no_client_auth()
}

/// Takes a pinned key for what it is, and what authorities of our own vouch for.
#[derive(Debug)]
struct Verifier {
    trust: Trust,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    /// Those of the certificates shown, or those known beforehand, that may vouch for the others.
    fn authorities(&self, shown: &[CertificateDer<'_>]) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        match &self.trust {
            Trust::Pinned(pin) => {
                let pinned = shown.iter().filter(|shown| Pin::of(shown) == Ok(*pin));
                roots.add_parsable_certificates(pinned.map(|shown| shown.clone().into_owned()));
            }
            Trust::Authorities(known) => {
                roots.add_parsable_certificates(known.iter().cloned());
            }
            Trust::Public | Trust::Nobody => {}
        }
        roots
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        // The handshake shows that the key is held; what else its certificate says does not matter.
        if matches!(&self.trust, Trust::Pinned(pin) if Pin::of(end_entity) == Ok(*pin)) {
            return Ok(ServerCertVerified::assertion());
        }
        let roots = self.authorities(intermediates);
        if roots.is_empty() {
            return Err(CertificateError::UnknownIssuer.into());
        }
        let parsed = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&parsed, &roots, intermediates, now, algorithms)?;
        let own = ServerName::try_from(COORDINATOR).map_err(|_| CertificateError::NotValidForName)?;
        if verify_server_name(&parsed, &own).is_err() {
            verify_server_name(&parsed, server_name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests;
