//! The last good files on the disk, so that a start without a network begins with them.
//!
//! Each is one file, written at once: the text as it came, where it is from, and by what its server knows it again.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use egret_lookup::known::{Bootstrap, BootstrapFile};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::fetch::Validators;
use crate::identity::write_whole;

/// Bytes beside the text at most: a URL and validators (chosen).
const FRAME_MAX: usize = 64 << 10;

#[derive(Serialize, Deserialize)]
struct Kept {
    from: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    etag: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_modified: Option<String>,
    file: Box<RawValue>,
}

fn path(data_dir: &Path, file: BootstrapFile) -> PathBuf {
    data_dir.join(format!("bootstrap-{}", file.name()))
}

/// What is kept of a file from this URL. `None`: nothing; what came from another URL is not looked at.
///
/// # Errors
/// One line: what, where, and the mend.
pub(super) fn read(
    data_dir: &Path,
    file: BootstrapFile,
    from: &str,
) -> Result<Option<(String, Validators)>, String> {
    let path = path(data_dir, file);
    let unusable =
        |why: String| format!("{} is not used: {why}; remove it, it is fetched anew", path.display());
    let mut text = String::new();
    let opened = File::open(&path);
    match opened
        .and_then(|kept| kept.take((Bootstrap::TEXT_MAX + FRAME_MAX) as u64).read_to_string(&mut text))
    {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unusable(error.to_string())),
    }
    let kept: Kept = serde_json::from_str(&text).map_err(|error| unusable(error.to_string()))?;
    let validators = Validators { etag: kept.etag, last_modified: kept.last_modified };
    Ok((kept.from == from).then(|| (String::from(Box::<str>::from(kept.file)), validators)))
}

/// Keeps a file.
///
/// # Errors
/// One line: what, where, and the mend.
pub(super) fn write(
    data_dir: &Path,
    file: BootstrapFile,
    from: &str,
    text: String,
    Validators { etag, last_modified }: Validators,
) -> Result<(), String> {
    let path = path(data_dir, file);
    let kept = |file| Kept { from: from.to_owned(), etag, last_modified, file };
    let written = RawValue::from_string(text)
        .and_then(|file| serde_json::to_vec(&kept(file)))
        .map_err(io::Error::from)
        .and_then(|content| write_whole(&path, &content));
    written.map_err(|error| {
        format!(
            "{} cannot be written: {error}; it is in use until the next start; make room there",
            path.display()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "https://mirror.example/rdap/dns.json";
    const TEXT: &str = "{\n  \"services\": [ \"\u{20ac}\\u20ac\" ]\n}";

    fn validators() -> Validators {
        Validators { etag: Some("W/\"a\"".to_owned()), last_modified: None }
    }

    #[test]
    fn a_file_comes_back_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let read = |file, from| read(dir.path(), file, from).unwrap();
        assert_eq!(read(BootstrapFile::Dns, URL), None);
        for text in [TEXT, "{}"] {
            write(dir.path(), BootstrapFile::Dns, URL, text.to_owned(), validators()).unwrap();
            assert_eq!(read(BootstrapFile::Dns, URL), Some((text.to_owned(), validators())));
        }
        assert_eq!(read(BootstrapFile::Asn, URL), None);
        assert_eq!(read(BootstrapFile::Dns, "https://data.iana.org/rdap/dns.json"), None, "from elsewhere");
    }

    #[test]
    fn what_cannot_be_read_or_written_is_named_with_the_mend() {
        let dir = tempfile::tempdir().unwrap();
        let at = path(dir.path(), BootstrapFile::Dns);
        let long = format!(r#"{{"from":"{URL}","file":"{}"}}"#, "a".repeat(Bootstrap::TEXT_MAX + FRAME_MAX));
        for wrong in ["", "{}", "\u{0}", &long] {
            std::fs::write(&at, wrong).unwrap();
            let error = read(dir.path(), BootstrapFile::Dns, URL).unwrap_err();
            assert!(error.contains("bootstrap-dns.json") && error.contains("remove it"), "{error}");
        }
        let nowhere = dir.path().join("nowhere");
        let error = write(&nowhere, BootstrapFile::Dns, URL, "{}".to_owned(), validators()).unwrap_err();
        assert!(error.contains("nowhere/bootstrap-dns.json") && error.contains("make room"), "{error}");
    }
}
