//! API keys as texts: made here, and known from then on by their hashes alone.
//!
//! The secret of a key is 256 random bits. Nobody guesses those, so one SHA-256 hides them as well as
//! a slow hash would, and costs a request nothing.

use std::fmt;
use std::str::FromStr;

use crate::identity::random;
use crate::join::sha256;

/// What keys made by this version begin with, for people and for scanners of leaked secrets.
const PREFIX: &str = "egk1_";
/// What hashes begin with in the config file.
const ALGORITHM: &str = "sha256:";

/// A key that has just been made. Its text is nowhere else, and cannot be had again.
pub struct NewKey {
    id: String,
    text: String,
}

impl NewKey {
    /// Makes a key: `egk1_ID_SECRET`.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn make() -> Result<Self, String> {
        let id = format!("{PREFIX}{}", hex(&random::<6>()?));
        let text = format!("{id}_{}", hex(&random::<32>()?));
        Ok(Self { id, text })
    }

    /// What it begins with: fit to be written down beside its hash.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The whole of it.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// What is kept of a key: the SHA-256 of its whole text, written `sha256:` and 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyHash(pub(crate) [u8; 32]);

impl KeyHash {
    /// The hash of this key.
    pub fn of(key: &str) -> Self {
        Self(sha256(key.as_bytes()))
    }
}

impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{ALGORITHM}{}", hex(&self.0))
    }
}

/// What a text is that is no [`KeyHash`]. It does not repeat the text, which may be a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyHashError {
    /// A key where its hash is due.
    #[error(
        "a key, not its hash; take the key as known to others now, and make another with `egret key create`"
    )]
    Key,
    /// Anything else.
    #[error(
        "not a hash of a key; write sha256: and 64 hexadecimal digits, as `egret key create` prints them"
    )]
    Other,
}

impl FromStr for KeyHash {
    type Err = KeyHashError;

    fn from_str(text: &str) -> Result<Self, KeyHashError> {
        if text.trim().starts_with(PREFIX) {
            return Err(KeyHashError::Key);
        }
        let digits = text.strip_prefix(ALGORITHM).ok_or(KeyHashError::Other)?;
        if digits.len() != 64 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(KeyHashError::Other);
        }
        let mut hash = [0; 32];
        for (byte, at) in hash.iter_mut().zip((0..).step_by(2)) {
            *byte = u8::from_str_radix(&digits[at..at + 2], 16).map_err(|_| KeyHashError::Other)?;
        }
        Ok(Self(hash))
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_keys_are_alike_and_each_names_itself() {
        let (one, other) = (NewKey::make().unwrap(), NewKey::make().unwrap());
        assert_ne!(one.text(), other.text());
        let secret = one.text().strip_prefix(one.id()).and_then(|rest| rest.strip_prefix('_')).unwrap();
        assert_eq!((secret.len(), one.id().len()), (64, 17), "256 bits");
    }

    #[test]
    fn a_hash_reads_back_as_it_is_written() {
        let hash = KeyHash::of("abc");
        let text = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!((hash.to_string().as_str(), text.parse()), (text, Ok(hash)));
        assert_eq!(
            format!("sha256:{}", text[7..].to_uppercase()).parse(),
            Ok(hash),
            "as some tools write it"
        );
    }

    #[test]
    fn what_is_no_hash_is_not_repeated() {
        let key = NewKey::make().unwrap();
        assert_eq!(key.text().parse::<KeyHash>(), Err(KeyHashError::Key));
        let short = "sha256:".to_owned() + &"a".repeat(63);
        let odd = "sha256:".to_owned() + &"é".repeat(32);
        for text in ["", "sha256:", &short, &(short.clone() + "g"), &odd, &"a".repeat(64)] {
            assert_eq!(text.parse::<KeyHash>(), Err(KeyHashError::Other), "{text}");
        }
    }
}
