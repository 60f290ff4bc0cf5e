//! Values that are written as text: addresses, sizes, and the bounds of durations.

use std::net::{Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use egret_wire::agent::MAX_ANSWER;
use egret_wire::passage::MAX_PASSING;
use url::{Host, Url};

const LEAST: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3_600);
/// A leap year: the longest span of a quota, and of everything that is counted in quotas' spans (chosen).
pub(super) const YEAR: Duration = Duration::from_secs(366 * 86_400);
/// What a quota, a rest or a job may last.
pub(super) const LIFE: RangeInclusive<Duration> = LEAST..=YEAR;
/// What a call may last; longer is a mistake (chosen).
pub(super) const CALL: RangeInclusive<Duration> = LEAST..=HOUR;
/// How late a call may still count.
pub(super) const LINGER: RangeInclusive<Duration> = Duration::ZERO..=HOUR;

/// How old an answer may be.
pub(super) const AGE: RangeInclusive<Duration> = Duration::ZERO..=YEAR;

/// Longer values are clipped in errors, in characters (chosen).
const SHOWN: usize = 60;
const HOST_MAX: usize = 253;
const SIZES: [(&str, u64); 4] = [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];
/// The largest cache, in bytes (chosen).
const CACHE_MAX: u64 = 1 << 40;

/// What somebody wrote, as errors repeat it.
pub(super) fn quoted(text: &str) -> String {
    format!("`{}`", clipped(text))
}

/// The beginning of a text.
pub(super) fn clipped(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

/// Where to listen.
pub(super) fn listen(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!("{} is not an address and port; write 127.0.0.1:7043 or [::1]:7043", quoted(text))
    })
}

/// The address of a service, `host:port`.
pub(super) fn host_and_port(text: &str) -> Result<&str, String> {
    const MEND: &str = "write host:port, such as whois.example.org:43 or [2001:db8::1]:43";
    let is_name = |host: &str| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b".-_".contains(&b);
        !host.is_empty() && host.len() <= HOST_MAX && host.bytes().all(plain)
    };
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !host.ends_with(':') && !port.ends_with(']') => (host, port),
        _ if is_name(text) || text.starts_with('[') => {
            return Err(format!("{} has no port; {MEND}", quoted(text)));
        }
        _ => return Err(format!("{} is not a host and port; {MEND}", quoted(text))),
    };
    let bracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let is_host = bracketed.map_or_else(|| is_name(host), |inner| inner.parse::<Ipv6Addr>().is_ok());
    if !is_host {
        return Err(format!("{} is not a host and port; {MEND}", quoted(text)));
    }
    let is_port = port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0);
    if is_port { Ok(text) } else { Err(format!("{} is not a port; write 1 to 65535", quoted(port))) }
}

/// The base URL of a service, in the URL standard's form and with a `/` at its end.
pub(super) fn base_url(text: &str) -> Result<String, String> {
    let wrong =
        |why: &str| format!("{}{why}; write a base URL, such as https://api.example.org/v1/", quoted(text));
    if !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(wrong(" is not ASCII without spaces"));
    }
    let url = Url::parse(text).map_err(|error| wrong(&format!(" is no URL ({error})")))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(wrong(" is no http:// or https:// URL"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong(" holds a user or a password"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong(" holds a query or a fragment, which belong to the target or nowhere"));
    }
    let url = String::from(url);
    Ok(if url.ends_with('/') { url } else { url + "/" })
}

/// Where IANA's RDAP bootstrap files are: whoever writes them says whom everybody asks, so nobody may write them on
/// the way.
pub(super) fn bootstrap_url(text: &str) -> Result<String, String> {
    const MEND: &str = "write the folder of the four files, such as https://data.iana.org/rdap/";
    let base = base_url(text)?;
    if !text.ends_with('/') {
        return Err(format!("{} does not end in `/`; {MEND}", quoted(text)));
    }
    let is_kept_whole = Url::parse(&base).is_ok_and(|url| url.scheme() == "https" || is_loopback(&url));
    if is_kept_whole {
        return Ok(base);
    }
    Err(format!("{} is plain HTTP, and not on this host; {MEND}", quoted(text)))
}

/// Whether a URL leads to this host, whatever names mean elsewhere (RFC 6761 section 6.3).
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(v4)) => v4.is_loopback(),
        Some(Host::Ipv6(v6)) => v6.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    }
}

/// The longest answer, in bytes: `64KiB`, `1MiB`; longer if it passes as it comes.
pub(super) fn answer_size(text: &str, passes: bool) -> Result<u64, String> {
    let most = if passes { MAX_PASSING } else { MAX_ANSWER };
    size(text, 1..=most, &format!("1B to {}MiB", most >> 20))
}

/// What answers may take on the disk, in bytes: `256MiB`.
pub(super) fn cache_size(text: &str) -> Result<u64, String> {
    size(text, 0..=CACHE_MAX, &format!("0B to {}GiB", CACHE_MAX >> 30))
}

fn size(text: &str, range: RangeInclusive<u64>, in_words: &str) -> Result<u64, String> {
    let (number, unit) = text.split_at(text.bytes().take_while(u8::is_ascii_digit).count());
    let scale = SIZES.iter().find(|(name, _)| *name == unit).map(|(_, scale)| *scale);
    let (Ok(number), Some(scale)) = (number.parse::<u64>(), scale) else {
        return Err(format!(
            "{} is not a size; write a whole number and a unit: 500B, 64KiB, 1MiB",
            quoted(text)
        ));
    };
    let bytes = number.saturating_mul(scale);
    if range.contains(&bytes) {
        return Ok(bytes);
    }
    Err(format!("{} is out of range; write {in_words}", quoted(text)))
}

/// A link to terms of use.
pub(super) fn url(text: &str) -> Result<&str, String> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let is_link = rest.is_some_and(|rest| !rest.is_empty() && text.bytes().all(|b| b.is_ascii_graphic()));
    if is_link {
        Ok(text)
    } else {
        Err(format!("{} is not a link; write https://…, in ASCII without spaces", quoted(text)))
    }
}
