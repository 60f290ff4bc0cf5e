//! What the head of an HTTP answer tells of limits: how long to wait, and what is left until when.
//!
//! Four dialects are read, and several may stand in one head:
//!
//! - draft-ietf-httpapi-ratelimit-headers since -08: `RateLimit: "default";r=50;t=30` and
//!   `RateLimit-Policy: "burst";q=100;w=60,"daily";q=1000;w=86400`;
//! - its -07: `RateLimit: limit=100, remaining=50, reset=5` and `RateLimit-Policy: 100;w=10`;
//! - its -06 and before: `RateLimit-Limit`, `RateLimit-Remaining`, `RateLimit-Reset`;
//! - custom: the same three behind `X-RateLimit-` or `X-Rate-Limit-`, where a reset may be an instant.
//!
//! Instants are the remote's: they are read as far from its own `Date` as they lie, and without one
//! not at all. What is told is a hint that may tighten a budget, never a grant. What cannot be read is
//! left out, so a head that makes no sense tells nothing.

use std::cmp::Reverse;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::wait::WAIT_MAX;

/// A reset above this is an instant in seconds: as a span it would be 31 years (the usual reading).
const EPOCH_SECS: u64 = 1_000_000_000;
/// A reset above this is an instant in milliseconds.
const EPOCH_MILLIS: u64 = 1_000_000_000_000;
/// Where the three fields of the older dialects begin.
const FAMILIES: [&str; 3] = ["ratelimit-", "x-ratelimit-", "x-rate-limit-"];

/// What a head tells. The default tells nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Told {
    /// How long to wait if the answer is a refusal: `Retry-After`, else the reset, else the longest
    /// window of the policy. At most seven days; zero if `Retry-After` says so.
    pub wait: Option<Duration>,
    /// Calls left, and for how long that holds: more than zero and at most seven days. Of several limits
    /// the one with the least left, then the one that lasts longest. `None` as well for an answer out of a cache.
    pub left: Option<(u32, Duration)>,
    /// There is a `Retry-After`, readable or not.
    pub(crate) has_retry_after: bool,
}

impl Told {
    /// Reads the fields of a head, their names in lower case.
    pub fn read(headers: &[(String, String)]) -> Told {
        let head = Head { headers };
        let date = head.first("date").and_then(http_date);
        let has_retry_after = head.first("retry-after").is_some();
        let retry_after = head.first("retry-after").and_then(|value| retry_after(value, date));
        if head.first("age").and_then(seconds).is_some_and(|age| !age.is_zero()) {
            return Told { wait: retry_after, left: None, has_retry_after };
        }
        let left = head.limits(date).into_iter().min_by_key(|(left, reset)| (*left, Reverse(*reset)));
        // "Now" is no time to wait while another field names one.
        let later = retry_after.filter(|wait| !wait.is_zero()).or(left.map(|(_, reset)| reset));
        let wait = later.or(retry_after).or_else(|| head.longest_window());
        Told { wait, left, has_retry_after }
    }
}

/// The fields of a head.
struct Head<'a> {
    headers: &'a [(String, String)],
}

impl<'a> Head<'a> {
    fn all(&self, name: &str) -> impl Iterator<Item = &'a str> {
        self.headers.iter().filter(move |(is, _)| is == name).map(|(_, value)| value.as_str())
    }

    fn first(&self, name: &str) -> Option<&'a str> {
        self.all(name).next()
    }

    /// What is left of each limit, and until when, in all dialects.
    fn limits(&self, date: Option<SystemTime>) -> Vec<(u32, Duration)> {
        let mut limits = Vec::new();
        for value in self.all("ratelimit") {
            limits.extend(items(value).filter_map(|item| limit(item.get("r"), item.get("t"), date)));
            let pair = |key| items(value).find_map(|item| item.pair(key));
            limits.extend(limit(pair("remaining"), pair("reset"), date));
        }
        for family in FAMILIES {
            let field = |rest| self.first(&format!("{family}{rest}"));
            limits.extend(limit(field("remaining"), field("reset"), date));
        }
        limits
    }

    fn longest_window(&self) -> Option<Duration> {
        let values = self.all("ratelimit-policy").chain(self.all("ratelimit-limit"));
        let windows = values.flat_map(items).filter_map(|item| item.get("w").and_then(seconds));
        windows.max().and_then(worth_waiting)
    }
}

/// An item of a list with its parameters: `"burst";q=100;w=60`. It is cut when it is asked, so a
/// list of nothing but commas takes no memory.
struct Item<'a>(&'a str);

impl<'a> Item<'a> {
    /// A parameter's value.
    fn get(&self, key: &str) -> Option<&'a str> {
        self.parts().skip(1).find_map(|parameter| value_of(parameter, key))
    }

    /// The value of an item that is itself `key=value`.
    fn pair(&self, key: &str) -> Option<&'a str> {
        value_of(self.parts().next()?, key)
    }

    fn parts(&self) -> impl Iterator<Item = &'a str> {
        outside_quotes(self.0, ';').map(str::trim)
    }
}

/// The items of a list (RFC 9651 3.1), read leniently: the older dialects are sent by hand.
fn items(list: &str) -> impl Iterator<Item = Item<'_>> {
    outside_quotes(list, ',').map(Item)
}

/// Cuts at `separator`, but not inside of quoted strings.
fn outside_quotes(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |c: char| {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => {}
        }
        c == separator && !quoted
    })
}

fn value_of<'a>(pair: &'a str, key: &str) -> Option<&'a str> {
    let (is, value) = pair.split_once('=')?;
    is.trim().eq_ignore_ascii_case(key).then(|| value.trim())
}

fn limit(left: Option<&str>, reset: Option<&str>, date: Option<SystemTime>) -> Option<(u32, Duration)> {
    Some((count(left?)?, until_reset(reset?, date)?))
}

/// Seconds or a date (RFC 9110 10.2.3); one that has passed is no wait.
fn retry_after(value: &str, date: Option<SystemTime>) -> Option<Duration> {
    let until = || Some(http_date(value)?.duration_since(date?).unwrap_or_default());
    seconds(value).or_else(until).map(|wait| wait.min(WAIT_MAX))
}

/// A span, or an instant of the remote's clock.
fn until_reset(value: &str, date: Option<SystemTime>) -> Option<Duration> {
    let given = seconds(value)?;
    let at = match given.as_secs() {
        secs if secs > EPOCH_MILLIS => given / 1_000,
        secs if secs > EPOCH_SECS => given,
        _ => return worth_waiting(given),
    };
    worth_waiting(at.saturating_sub(date?.duration_since(UNIX_EPOCH).ok()?))
}

fn worth_waiting(wait: Duration) -> Option<Duration> {
    (!wait.is_zero()).then(|| wait.min(WAIT_MAX))
}

fn http_date(value: &str) -> Option<SystemTime> {
    httpdate::parse_http_date(value.trim()).ok()
}

/// A whole number, whatever its size.
fn count(value: &str) -> Option<u32> {
    let digits = value.trim();
    let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u32::MAX))
}

/// A number of seconds that is not negative; some send fractions.
fn seconds(value: &str) -> Option<Duration> {
    let number = value.trim();
    let is_plain = number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let secs: f64 = if is_plain { number.parse().ok()? } else { return None };
    // However many digits: what is too long for a clock is cut like everything that is long.
    Some(Duration::try_from_secs_f64(secs).unwrap_or(Duration::MAX))
}

#[cfg(test)]
mod tests;
