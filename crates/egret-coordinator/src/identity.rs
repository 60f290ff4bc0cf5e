//! What only this coordinator has: its id, and the key behind its proofs.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom, SystemRandom};

const FILE: &str = "coordinator.id";

/// Random bytes as text fit for URLs and files.
pub(crate) fn random_text<const N: usize>() -> Result<String, String> {
    Ok(URL_SAFE_NO_PAD.encode(random::<N>()?))
}

/// Random bytes.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], String> {
    let mut bytes = [0u8; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| "the system gives no random numbers".to_owned())?;
    Ok(bytes)
}

/// The coordinator's id: made at its first start, the same for as long as its data dir lives.
///
/// # Errors
/// One line: what, where, and the mend.
pub(crate) fn coordinator_id(data_dir: &Path) -> Result<String, String> {
    kept(&data_dir.join(FILE), random_text::<16>)
}

/// What a file holds; made by `make` if there is none, for this user only.
///
/// # Errors
/// One line: what, where, and the mend.
pub(crate) fn kept(path: &Path, make: impl FnOnce() -> Result<String, String>) -> Result<String, String> {
    let unusable = |error: std::io::Error| {
        format!("{} cannot be used: {error}; make it readable for this user", path.display())
    };
    match std::fs::read_to_string(path) {
        Ok(text) if !text.trim().is_empty() => return Ok(text.trim().to_owned()),
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(unusable(error)),
    }
    let text = make()?;
    write_whole(path, text.as_bytes()).map_err(unusable)?;
    Ok(text)
}

/// Writes a file, for this user only: after a crash it has all of the new content or all of the old.
pub(crate) fn write_whole(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let draft = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    file.write_all(content)?;
    file.sync_all()?;
    std::fs::rename(&draft, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_made_once() {
        let dir = tempfile::tempdir().unwrap();
        let id = coordinator_id(dir.path()).unwrap();
        assert_eq!(coordinator_id(dir.path()).unwrap(), id);
        assert!(coordinator_id(&dir.path().join("nowhere")).unwrap_err().contains("nowhere"));
    }
}
