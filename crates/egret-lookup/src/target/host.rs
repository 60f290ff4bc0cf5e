//! Host names: out of URLs and mail addresses, into A-labels (UTS 46), by the rules of RFC 1035.

use std::borrow::Cow;
use std::net::IpAddr;

use idna::AsciiDenyList;
use psl::{List, Psl, Type};

use super::error::Given;
use super::{Kind, TargetError};

/// RFC 1035 section 2.3.4, in text form without the final dot.
const NAME_MAX: usize = 253;
const LABEL_MAX: usize = 63;
/// What is worth looking at before a host is cut out of a URL, in bytes (chosen).
const INPUT_MAX: usize = 8 * 1024;

/// Reads a host name; for a domain, URLs and mail addresses as well.
pub(super) fn parse(input: &str, kind: Kind) -> Result<String, TargetError> {
    if input.len() > INPUT_MAX {
        return Err(TargetError::TooLong { what: "name", bytes: input.len(), max: NAME_MAX });
    }
    let host = if kind == Kind::Domain { host_part(input) } else { input };
    if host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() {
        return Err(TargetError::AddressForName { given: Given::new(host) });
    }
    // UTS 46 takes some fifty bytes for each character before it says that there are too many.
    if !host.is_ascii() && host.chars().count() > NAME_MAX {
        return Err(TargetError::TooLong { what: "name", bytes: host.len(), max: NAME_MAX });
    }
    let refuse = |why| TargetError::NotAName { given: Given::new(host), why };
    if let Some(why) = host.split('.').find_map(mixed) {
        return Err(refuse(why));
    }
    let ascii =
        to_ascii(host).ok_or_else(|| refuse("it breaks the rules for international names (UTS 46)"))?;
    let name = ascii.strip_suffix('.').unwrap_or(&ascii);
    check(name, refuse)?;
    Ok(name.to_owned())
}

/// What a line of free text is asked as, and whether it is a host name that zones can match.
///
/// ASCII is asked as typed, case and final dot included; other text becomes
/// A-labels if it is a name with a dot in it.
pub(super) fn name_in_text(text: &str) -> (Cow<'_, str>, bool) {
    if text.is_ascii() {
        let lower = text.to_ascii_lowercase();
        let name = lower.strip_suffix('.').unwrap_or(&lower);
        return (Cow::Borrowed(text), check(name, |_| TargetError::Empty).is_ok());
    }
    let is_one_word = text.contains('.') && !text.contains(char::is_whitespace);
    match parse(text, Kind::Nameserver) {
        Ok(name) if is_one_word => (Cow::Owned(name), true),
        _ => (Cow::Borrowed(text), false),
    }
}

/// Why a label is not what it looks like: letters of scripts that look alike, side by side. No registry takes one.
fn mixed(label: &str) -> Option<&'static str> {
    let has = |is: fn(char) -> bool| label.chars().any(is);
    let latin = has(|c| c.is_ascii_alphabetic() || matches!(c, '\u{c0}'..='\u{24f}' if c.is_alphabetic()));
    let greek = has(|c| matches!(c, '\u{370}'..='\u{3ff}' | '\u{1f00}'..='\u{1fff}'));
    let cyrillic = has(|c| matches!(c, '\u{400}'..='\u{52f}'));
    (usize::from(latin) + usize::from(greek) + usize::from(cyrillic) > 1).then_some(
        "a label mixes Latin, Greek or Cyrillic letters, which look alike; if it is meant so, write it in A-labels (xn--…)",
    )
}

/// A zone of a service as hosts are written, or `None` if it is no name.
pub(crate) fn parse_zone(zone: &str) -> Option<String> {
    let name = to_ascii(zone.trim())?;
    check(&name, |_| TargetError::Empty).is_ok().then(|| name.into_owned())
}

/// Length in bytes of the ICANN public suffix of a normalised name; unknown TLDs are suffixes.
pub(super) fn public_suffix_len(name: &str) -> usize {
    let mut rest = name;
    loop {
        match List.suffix(rest.as_bytes()) {
            // A private suffix is a registered domain: look for the registry above it.
            Some(suffix) if suffix.typ() == Some(Type::Private) => {
                let below = &rest[rest.len() - suffix.as_bytes().len()..];
                match below.split_once('.') {
                    Some((_, above)) => rest = above,
                    None => return below.len(),
                }
            }
            Some(suffix) => return suffix.as_bytes().len(),
            None => return rest.len(),
        }
    }
}

/// `scheme://user@HOST:port/path`, `mailto:box@HOST?x`, `HOST/path` and `HOST` alike.
fn host_part(input: &str) -> &str {
    let rest = input.split_once("://").map_or(input, |(_, rest)| rest);
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or(rest);
    let host = authority.rsplit('@').next().unwrap_or(authority);
    if host.parse::<IpAddr>().is_ok() {
        return host;
    }
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

/// Lower-case A-labels, or `None` if there are none. Pure ASCII is taken at its word:
/// registries hold `xn--` names that no longer pass UTS 46.
fn to_ascii(host: &str) -> Option<Cow<'_, str>> {
    if host.is_ascii() {
        let lower = !host.bytes().any(|b| b.is_ascii_uppercase());
        return Some(if lower { Cow::Borrowed(host) } else { Cow::Owned(host.to_ascii_lowercase()) });
    }
    idna::domain_to_ascii_cow(host.as_bytes(), AsciiDenyList::EMPTY).ok()
}

/// Whether `name` is made of labels that the DNS and registries know.
fn check(name: &str, refuse: impl Fn(&'static str) -> TargetError) -> Result<(), TargetError> {
    if name.is_empty() {
        return Err(refuse("no label is left; write it as example.com"));
    }
    if name.len() > NAME_MAX {
        return Err(TargetError::TooLong { what: "name", bytes: name.len(), max: NAME_MAX });
    }
    for label in name.split('.') {
        if label.is_empty() {
            return Err(refuse("a label between two dots is empty; remove a dot"));
        }
        if label.len() > LABEL_MAX {
            return Err(TargetError::TooLong { what: "label", bytes: label.len(), max: LABEL_MAX });
        }
        if !label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_') {
            return Err(refuse("only letters, digits, `-` and dots are allowed; write it as example.com"));
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Err(refuse("a label starts or ends with `-`; remove it"));
        }
    }
    let last = name.rsplit('.').next().unwrap_or(name);
    if last.bytes().all(|b| b.is_ascii_digit()) {
        return Err(refuse(
            "the last label is a number; addresses are looked up as `ip`, AS numbers as `asn`",
        ));
    }
    Ok(())
}
