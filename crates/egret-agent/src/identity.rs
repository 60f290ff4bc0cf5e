//! Who this agent is: a key that never leaves the host, and the id its coordinator gave it.

use std::fmt::Display;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde::{Deserialize, Serialize};

use crate::AgentError;
use crate::link::PLAIN;

const KEY_FILE: &str = "agent.key";
const MEMBERSHIP_FILE: &str = "membership.json";

/// Which coordinator this agent has joined, and as whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Membership {
    pub(crate) agent: String,
    pub(crate) coordinator: String,
    /// How the coordinator is known: what the join token said.
    #[serde(default = "plain")]
    pub(crate) pin: String,
    /// The number of the last session. Whoever shows an older one has a copy of this file.
    #[serde(default)]
    pub(crate) epoch: u64,
}

fn plain() -> String {
    PLAIN.to_owned()
}

/// The membership that a state dir holds, if its agent has joined.
pub(crate) fn membership(dir: &Path) -> Result<Option<Membership>, AgentError> {
    let unreadable =
        |error: &dyn Display| AgentError::Setting(format!("{MEMBERSHIP_FILE} cannot be read: {error}"));
    let json = read(&dir.join(MEMBERSHIP_FILE)).map_err(|error| unreadable(&error))?;
    json.map(|json| serde_json::from_slice(&json).map_err(|error| unreadable(&error))).transpose()
}

/// The key and, once joined, the membership; both in the state dir.
pub(crate) struct Identity {
    dir: PathBuf,
    key: Ed25519KeyPair,
    pub(crate) membership: Option<Membership>,
}

impl Identity {
    /// Reads the state dir, or makes it with a fresh key.
    pub(crate) fn open(dir: &Path) -> Result<Self, AgentError> {
        let unusable = |error: std::io::Error| {
            AgentError::Setting(format!(
                "the state dir {} cannot be used: {error}; make it writable for this user or name another with --state-dir",
                dir.display()
            ))
        };
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(unusable)?;
        let seed = match read(&dir.join(KEY_FILE)).map_err(unusable)? {
            Some(seed) => seed,
            None => {
                let mut seed = [0u8; 32];
                SystemRandom::new()
                    .fill(&mut seed)
                    .map_err(|_| AgentError::Setting("the system gives no random numbers".to_owned()))?;
                write(&dir.join(KEY_FILE), &seed).map_err(unusable)?;
                seed.to_vec()
            }
        };
        let damaged = |file: &str| {
            AgentError::Setting(format!(
                "{} is damaged; remove the state dir and join again with a new token",
                dir.join(file).display()
            ))
        };
        let key = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| damaged(KEY_FILE))?;
        let membership = match read(&dir.join(MEMBERSHIP_FILE)).map_err(unusable)? {
            Some(json) => Some(serde_json::from_slice(&json).map_err(|_| damaged(MEMBERSHIP_FILE))?),
            None => None,
        };
        Ok(Self { dir: dir.to_owned(), key, membership })
    }

    /// Remembers a membership for good: it is on the disk afterwards.
    pub(crate) fn keep(&mut self, membership: Membership) -> Result<(), AgentError> {
        let json = serde_json::to_vec_pretty(&membership).map_err(|e| AgentError::Setting(e.to_string()))?;
        write(&self.dir.join(MEMBERSHIP_FILE), &json).map_err(|error| {
            AgentError::Setting(format!("the state dir {} cannot be written: {error}", self.dir.display()))
        })?;
        self.membership = Some(membership);
        Ok(())
    }

    pub(crate) fn public_key(&self) -> String {
        STANDARD.encode(self.key.public_key().as_ref())
    }

    pub(crate) fn sign(&self, message: &[u8]) -> String {
        STANDARD.encode(self.key.sign(message).as_ref())
    }
}

fn read(path: &Path) -> std::io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    match OpenOptions::new().read(true).open(path) {
        // Neither file is ever longer; a longer one is damaged, and found so by its reader.
        Ok(file) => file.take(4_096).read_to_end(&mut bytes).map(|_| Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Replaces a file as a whole, readable by this user only.
fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let draft = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(draft, path)?;
    // The new name has to be on the disk as well.
    path.parent().map_or(Ok(()), |dir| std::fs::File::open(dir)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_key_and_the_membership_survive_and_are_private() {
        let dir = std::env::temp_dir().join(format!("egret-identity-{}", std::process::id()));
        let mut first = Identity::open(&dir).unwrap();
        let (agent, coordinator) = ("agt_1".to_owned(), "c".to_owned());
        let membership = Membership { agent, coordinator, pin: PLAIN.to_owned(), epoch: 7 };
        first.keep(membership.clone()).unwrap();
        let second = Identity::open(&dir).unwrap();
        assert_eq!(second.public_key(), first.public_key());
        assert_eq!(second.membership, Some(membership));
        assert_eq!(std::fs::metadata(dir.join(KEY_FILE)).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::write(dir.join(KEY_FILE), b"short").unwrap();
        assert!(Identity::open(&dir).err().unwrap().to_string().contains("damaged"));
        std::fs::remove_dir_all(dir).unwrap();
    }
}
