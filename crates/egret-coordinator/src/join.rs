//! How agents come in: join tokens, keys, and proofs of the addresses they call from.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Mutex;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use egret_store::TokenRow;
use egret_wire::agent::{ENROL_CONTEXT, EnrolRequest};
use egret_wire::api::TokenRequest;
use ring::{digest, hmac, signature};

use crate::identity::{random, random_text};
use crate::key::hex;

/// What join tokens begin with: their version. The pin of the coordinator, an id and a secret follow.
const VERSION: &str = "egj1";
/// How long a proof of an address is good.
const PROOF_LIFE: Duration = Duration::from_secs(60);
/// Proofs remembered as used; addresses beyond this many a minute are turned away.
const USED_PROOFS: usize = 100_000;

/// A new token: what its owner is shown, and what is kept.
pub(crate) fn new_token(
    pin: &str,
    request: TokenRequest,
    expires_ms: u64,
) -> Result<(String, TokenRow), String> {
    let TokenRequest { uses, tags, services, .. } = request;
    // One that began with `-` would be an option to whoever types it.
    let id = hex(&random::<6>()?);
    let secret = random_text::<32>()?;
    let row =
        TokenRow { id: id.clone(), secret_hash: sha256(secret.as_bytes()), uses, expires_ms, tags, services };
    Ok((format!("{VERSION}.{pin}.{id}.{secret}"), row))
}

/// A token's id and the hash of its secret; `None`: it is no token of ours.
pub(crate) fn read_token(token: &str) -> Option<(String, [u8; 32])> {
    // Whom the agent takes for us is its affair, and was settled before it sent this.
    let [VERSION, _, id, secret] = token.split('.').collect::<Vec<_>>()[..] else { return None };
    Some((id.to_owned(), sha256(secret.as_bytes())))
}

/// The public key of an enrolment whose signature shows that the key is held.
pub(crate) fn enrolled_key(request: &EnrolRequest) -> Option<[u8; 32]> {
    let key: [u8; 32] = STANDARD.decode(&request.public_key).ok()?.try_into().ok()?;
    let message = format!("{ENROL_CONTEXT}\n{}", request.token);
    is_signed(&key, message.as_bytes(), &request.signature).then_some(key)
}

/// Whether `signature` (base64) is the holder's of `key` over `message`.
pub(crate) fn is_signed(key: &[u8; 32], message: &[u8], signature: &str) -> bool {
    let Ok(signature) = STANDARD.decode(signature) else { return false };
    signature::UnparsedPublicKey::new(&signature::ED25519, key).verify(message, &signature).is_ok()
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0u8; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    hash
}

/// What an address is called as an egress: itself, or its /64, by which remotes count IPv6.
pub(crate) fn egress_key(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V6(v6) if !v6.is_loopback() => {
            let prefix = Ipv6Addr::from(u128::from(v6) & !u128::from(u64::MAX));
            format!("{prefix}/64")
        }
        address => address.to_string(),
    }
}

/// Gives out proofs that an address was seen, and takes each of them once.
#[derive(Debug)]
pub(crate) struct Proofs {
    key: hmac::Key,
    used: Mutex<BTreeMap<(u64, [u8; 16]), ()>>,
}

impl Proofs {
    pub(crate) fn new() -> Result<Self, String> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &random::<32>()?);
        Ok(Self { key, used: Mutex::new(BTreeMap::new()) })
    }

    /// A proof that `address` was seen now.
    pub(crate) fn issue(&self, address: &str, now_ms: u64) -> Result<String, String> {
        let expires_ms = now_ms + u64::try_from(PROOF_LIFE.as_millis()).unwrap_or(u64::MAX);
        let nonce = random::<16>()?;
        let tag = hmac::sign(&self.key, &message(address, expires_ms, &nonce));
        let parts = [&expires_ms.to_be_bytes()[..], &nonce, tag.as_ref()].concat();
        Ok(URL_SAFE_NO_PAD.encode(parts))
    }

    /// Whether `proof` shows that `address` was seen; each is good once.
    pub(crate) fn accept(&self, address: &str, proof: &str, now_ms: u64) -> bool {
        let Ok(bytes) = URL_SAFE_NO_PAD.decode(proof) else { return false };
        let Some((expires, rest)) = bytes.split_first_chunk::<8>() else { return false };
        let Some((nonce, tag)) = rest.split_first_chunk::<16>() else { return false };
        let expires_ms = u64::from_be_bytes(*expires);
        if expires_ms < now_ms || hmac::verify(&self.key, &message(address, expires_ms, nonce), tag).is_err()
        {
            return false;
        }
        let Ok(mut used) = self.used.lock() else { return false };
        *used = used.split_off(&(now_ms, [0; 16]));
        used.len() < USED_PROOFS && used.insert((expires_ms, *nonce), ()).is_none()
    }
}

fn message(address: &str, expires_ms: u64, nonce: &[u8; 16]) -> Vec<u8> {
    [b"egret-observed-v1", &expires_ms.to_be_bytes()[..], nonce, address.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tokens_name_can_be_typed_behind_a_command() {
        for _ in 0..1_000 {
            let (token, row) = new_token("pin", TokenRequest::default(), 1).unwrap();
            assert!(row.id.bytes().all(|b| b.is_ascii_alphanumeric()), "{}", row.id);
            assert_eq!(read_token(&token).map(|(id, _)| id), Some(row.id));
        }
    }

    #[test]
    fn a_proof_is_good_once_for_its_address_and_for_a_minute() {
        let proofs = Proofs::new().unwrap();
        let proof = proofs.issue("127.0.0.2", 1_000).unwrap();
        assert!(!proofs.accept("127.0.0.3", &proof, 2_000));
        assert!(proofs.accept("127.0.0.2", &proof, 2_000));
        assert!(!proofs.accept("127.0.0.2", &proof, 2_001), "used");
        let late = proofs.issue("127.0.0.2", 1_000).unwrap();
        assert!(!proofs.accept("127.0.0.2", &late, 61_001), "expired");
        let mut forged = URL_SAFE_NO_PAD.decode(proofs.issue("127.0.0.2", 1_000).unwrap()).unwrap();
        forged[0] ^= 1;
        assert!(!proofs.accept("127.0.0.2", &URL_SAFE_NO_PAD.encode(forged), 2_000));
        for nonsense in ["", "AAAA", "?"] {
            assert!(!proofs.accept("127.0.0.2", nonsense, 2_000));
        }
    }

    #[test]
    fn a_token_reads_back_and_its_secret_is_not_kept() {
        let (token, row) = new_token("plain", TokenRequest::default(), 5).unwrap();
        assert_eq!(read_token(&token), Some((row.id.clone(), row.secret_hash)));
        assert!(!format!("{row:?}").contains(token.rsplit('.').next().unwrap()));
        for other in ["", "egj1.plain.", "egj2.plain.a.b", "egj1.plain.a", "egj1.plain.a.b.c"] {
            assert_eq!(read_token(other), None, "{other}");
        }
    }

    #[test]
    fn ipv6_counts_by_its_64_and_mapped_ipv4_as_ipv4() {
        let key = |text: &str| egret_key(text);
        assert_eq!(key("127.0.0.2"), "127.0.0.2");
        assert_eq!(key("::ffff:127.0.0.2"), "127.0.0.2");
        assert_eq!(key("2001:db8:1:2:3::4"), "2001:db8:1:2::/64");
        assert_eq!(key("::1"), "::1");
    }

    fn egret_key(text: &str) -> String {
        egress_key(text.parse().unwrap())
    }
}
