//! The path of a request, under the base URL of some service.

use url::Url;

use super::error::{Given, TargetError};

/// The longest path with its query, in bytes (chosen: servers take heads of 8 KiB and more).
const PATH_MAX: usize = 4_096;
/// Stands for the base of any service: what stays under this one stays under every other.
const BASE: &str = "http://service.invalid/base/";

/// Reads `/path?query` in the form the URL standard gives it.
///
/// What a remote could read as a way up and out is refused and not resolved, in every spelling,
/// since servers differ in when they decode.
pub(super) fn parse(input: &str) -> Result<String, TargetError> {
    let refuse = |why| Err(TargetError::NotAPath { given: Given::new(input), why });
    check_length(input)?;
    let Some(below) = input.strip_prefix('/') else {
        return refuse("write it as /path?query; it goes under the service's address");
    };
    if !input.bytes().all(|b| b.is_ascii_graphic()) {
        return refuse("percent-encode spaces and what is not ASCII, such as %20");
    }
    if input.contains('#') {
        return refuse("a fragment is never sent; take `#…` out, or write %23");
    }
    let (path, _) = below.split_once('?').unwrap_or((below, ""));
    if has_way_up(path) {
        return refuse("`..` could lead out of the service's address; write the path that you mean");
    }
    let url = Url::parse(&format!("{BASE}{below}")).ok();
    match url.as_ref().and_then(|url| url.as_str().strip_prefix(BASE)) {
        // What was percent-encoded here is longer than it was.
        Some(below) => {
            let path = format!("/{below}");
            check_length(&path)?;
            Ok(path)
        }
        None => refuse("it leads out of the service's address; write /path?query"),
    }
}

fn check_length(path: &str) -> Result<(), TargetError> {
    let (bytes, max) = (path.len(), PATH_MAX);
    if bytes <= max { Ok(()) } else { Err(TargetError::TooLong { what: "path", bytes, max }) }
}

/// Whether a segment is `..`, once dots and slashes are decoded.
fn has_way_up(path: &str) -> bool {
    let plain = path.to_ascii_lowercase().replace("%2e", ".").replace("%2f", "/").replace("%5c", "/");
    plain.split(['/', '\\']).any(|segment| segment == "..")
}
