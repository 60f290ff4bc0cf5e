//! When a file is to be asked for again, by what its server says (RFC 9111) and within bounds of our own.

use std::time::{Duration, SystemTime};

use egret_lookup::Told;
use reqwest::header::{AGE, CACHE_CONTROL, DATE, EXPIRES, HeaderMap, HeaderName};

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(24 * 3_600);
/// RFC 9224 section 8 leaves it to the fields of HTTP; these bounds are chosen.
const LEAST: Duration = HOUR;
const MOST: Duration = Duration::from_secs(7 * 24 * 3_600);
/// Where nothing is said (chosen).
const UNTOLD: Duration = DAY;
/// The wait after the first failure; each further one doubles it, up to a day (chosen).
const FIRST_RETRY: Duration = Duration::from_secs(300);

/// How long a file need not be asked for again: from an hour to seven days, and a day if its head says nothing.
pub(super) fn fresh_for(head: &HeaderMap, now: SystemTime) -> Duration {
    told(head, now).unwrap_or(UNTOLD).clamp(LEAST, MOST)
}

/// The wait after so many failures in a row, at least as long as the server asked for.
pub(super) fn retry_in(failures: u32, told: Option<Duration>) -> Duration {
    let own = FIRST_RETRY.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(DAY);
    own.max(told.unwrap_or_default()).min(MOST)
}

/// A wait made longer by up to a tenth, so that coordinators that start together do not ask together. `chance` is
/// from 0 to 1.
pub(super) fn spread(wait: Duration, chance: f64) -> Duration {
    wait + wait.mul_f64(chance.clamp(0.0, 1.0) / 10.0)
}

/// `Retry-After`, at most seven days.
pub(super) fn retry_after(head: &HeaderMap) -> Option<Duration> {
    let fields: Vec<(String, String)> = ["retry-after", "date"]
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), head.get(name)?.to_str().ok()?.to_owned())))
        .collect();
    Told::read(&fields).wait
}

/// What the head says: `max-age` less the answer's `Age`, else `Expires` as far from `Date` as it lies.
fn told(head: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let directives: Vec<String> = head
        .get_all(CACHE_CONTROL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|directive| directive.trim().to_ascii_lowercase())
        .collect();
    if directives.iter().any(|directive| ["no-store", "no-cache"].contains(&&**directive)) {
        return Some(Duration::ZERO);
    }
    let max_age = directives.iter().find_map(|directive| directive.strip_prefix("max-age="));
    if let Some(max_age) = max_age {
        // Section 1.2.2: more than can be counted is as much as can be; what is no number makes the answer stale.
        let age = text(head, &AGE).and_then(seconds).unwrap_or_default();
        return Some(seconds(max_age.trim_matches('"')).unwrap_or_default().saturating_sub(age));
    }
    let expires = text(head, &EXPIRES)?;
    let date = text(head, &DATE).and_then(|date| httpdate::parse_http_date(date).ok()).unwrap_or(now);
    // Section 5.3: what is no date has expired.
    let expires = httpdate::parse_http_date(expires).unwrap_or(date);
    Some(expires.duration_since(date).unwrap_or_default())
}

fn text<'h>(head: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    head.get(name)?.to_str().ok().map(str::trim)
}

fn seconds(digits: &str) -> Option<Duration> {
    let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| Duration::from_secs(digits.parse().unwrap_or(u32::MAX.into())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::HeaderValue;

    const NOW: &str = "Sun, 29 Nov 2026 02:00:00 GMT";

    fn head(fields: &[(&str, &str)]) -> HeaderMap {
        let field = |(name, value): &(&str, &str)| {
            (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap())
        };
        fields.iter().map(field).collect()
    }

    #[track_caller]
    fn check(fields: &[(&str, &str)], want: Duration) {
        assert_eq!(fresh_for(&head(fields), httpdate::parse_http_date(NOW).unwrap()), want, "{fields:?}");
    }

    #[test]
    fn the_server_says_how_long_a_file_is_good() {
        check(&[("cache-control", "public, Max-Age=7200")], 2 * HOUR);
        check(&[("cache-control", "max-age=\"7200\"")], 2 * HOUR);
        check(&[("cache-control", "public"), ("cache-control", "max-age=7200")], 2 * HOUR);
        check(&[("cache-control", "max-age=14400"), ("age", "3600")], 3 * HOUR);
        check(&[("cache-control", "max-age=7200"), ("expires", "0")], 2 * HOUR);
        check(&[("expires", "Sun, 29 Nov 2026 05:00:00 GMT")], 3 * HOUR);
        // By its own clock, which may be wrong.
        let by_its_clock =
            [("date", "Sun, 29 Nov 2020 02:00:00 GMT"), ("expires", "Sun, 29 Nov 2020 04:00:00 GMT")];
        check(&by_its_clock, 2 * HOUR);
    }

    #[test]
    fn it_is_asked_for_once_a_day_if_nothing_is_said() {
        check(&[], DAY);
        check(&[("cache-control", "public")], DAY);
    }

    #[test]
    fn no_server_has_itself_asked_more_than_hourly_or_less_than_weekly() {
        for soon in
            ["max-age=0", "max-age=-1", "max-age=soon", "max-age=", "no-cache", "no-store, max-age=86400"]
        {
            check(&[("cache-control", soon)], HOUR);
        }
        check(&[("cache-control", "max-age=60"), ("age", "3600")], HOUR);
        check(&[("expires", "0")], HOUR);
        check(&[("expires", "Sun, 29 Nov 2020 02:00:00 GMT")], HOUR);
        check(&[("cache-control", "max-age=31536000")], MOST);
        check(&[("cache-control", "max-age=99999999999999999999999")], MOST);
        check(&[("expires", "Sun, 29 Nov 2099 02:00:00 GMT")], MOST);
    }

    #[test]
    fn failures_wait_longer_and_longer_and_as_long_as_they_are_told() {
        let waits: Vec<u64> = (1..=12).map(|failures| retry_in(failures, None).as_secs() / 60).collect();
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 320, 640, 1_280, 1_440, 1_440, 1_440]);
        assert_eq!(retry_in(u32::MAX, None), DAY);
        assert_eq!(retry_in(1, Some(HOUR)), HOUR);
        let told = |value| retry_after(&head(&[("retry-after", value), ("date", NOW)]));
        assert_eq!(told("3600"), Some(HOUR));
        assert_eq!(told("Sun, 29 Nov 2026 04:00:00 GMT"), Some(2 * HOUR));
        assert_eq!(retry_in(1, told("99999999")), MOST);
        assert_eq!(told("soon"), None);
    }

    #[test]
    fn a_wait_is_spread_over_a_tenth_of_it_and_never_shortened() {
        assert_eq!(
            [0.0, 0.5, 1.0].map(|chance| spread(10 * HOUR, chance).as_secs()),
            [36_000, 37_800, 39_600]
        );
    }
}
