//! Keys by their hashes.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use rustls::pki_types::CertificateDer;
use rustls::server::ParsedCertificate;

/// The SHA-256 of a public key as certificates hold it (`SubjectPublicKeyInfo`); written in base64url.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pin([u8; 32]);

/// What is no pin, or no certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PinError {
    /// A pin is 32 bytes in base64url, 43 characters.
    #[error("a pin has 43 characters of base64url")]
    Text,
    /// The bytes are no certificate.
    #[error("this is no certificate")]
    Certificate,
}

impl Pin {
    /// The pin of the key in a certificate.
    ///
    /// # Errors
    /// [`PinError::Certificate`].
    pub fn of(certificate: &CertificateDer<'_>) -> Result<Self, PinError> {
        let parsed = ParsedCertificate::try_from(certificate).map_err(|_| PinError::Certificate)?;
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, parsed.subject_public_key_info().as_ref()).as_ref());
        Ok(Self(hash))
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl FromStr for Pin {
    type Err = PinError;

    fn from_str(text: &str) -> Result<Self, PinError> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| PinError::Text)?;
        bytes.try_into().map(Self).map_err(|_| PinError::Text)
    }
}
