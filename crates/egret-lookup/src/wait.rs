//! How long a refusal tells us to wait.
//!
//! Read from statements that refuse: "try again in 30 seconds", "wait 5 minutes",
//! "retry after: 24h0m0s". A daily limit that names no time counts as a day, since
//! that is the longest it can last. A rate ("10 per second") is no wait.

use std::sync::LazyLock;
use std::time::Duration;

use regex::Regex;

/// Times named by a remote are honoured up to this (`cool_down` in the configuration).
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(7 * 86_400);

/// A number with a unit, perhaps several in a row.
static TIMES: LazyLock<Regex> = LazyLock::new(|| {
    let pattern = r"(?P<per>\bper |/ ?)?\b(?P<n>\d{1,9}[- ]?|(?:an?|one|two|three|five|ten|thirty)[- ])(?P<unit>s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?)(?:\b|\(s\)|(?P<next>\d))";
    Regex::new(pattern).expect("the pattern is a constant, compiled in every test")
});
/// Words that make a time one to wait for.
static CUE: LazyLock<Regex> = LazyLock::new(|| {
    let pattern = r"\b(wait|again|retry|grace|replenish\w*|at least|blocked|denied|banned|suspended|later|until|within|after|reset\w*|refresh\w*|come back|period|delay)\b";
    Regex::new(pattern).expect("the pattern is a constant, compiled in every test")
});
/// `retry after 30`: HTTP's form, in seconds.
static BARE: LazyLock<Regex> = LazyLock::new(|| {
    let pattern = r"\b(?:retry|try again|wait)(?:[- ]after| in)?\W{0,3}(\d{1,9})\W*$";
    Regex::new(pattern).expect("the pattern is a constant, compiled in every test")
});
static DAILY: LazyLock<Regex> = LazyLock::new(|| {
    let pattern = r"\bdaily\b|\b(per|a|each) day\b|\b24[- ]hours?\b|\btoday\b|\btomorrow\b";
    Regex::new(pattern).expect("the pattern is a constant, compiled in every test")
});

/// The wait that one statement names, more than zero and at most seven days.
pub(crate) fn named(statement: &str) -> Option<Duration> {
    let text = statement.to_lowercase();
    let secs = spelt_out(&text).or_else(|| bare(&text))?;
    (secs > 0).then(|| Duration::from_secs(secs).min(WAIT_MAX))
}

/// A day, if the statement speaks of a limit by the day.
pub(crate) fn by_the_day(statement: &str) -> Option<Duration> {
    DAILY.is_match(&statement.to_lowercase()).then(|| Duration::from_secs(86_400))
}

/// The sum of the times that follow each other: `24h0m0s`, `1 hour 30 minutes`.
fn spelt_out(text: &str) -> Option<u64> {
    if !CUE.is_match(text) {
        return None;
    }
    let mut total: Option<u64> = None;
    let mut at = 0;
    while let Some(found) = TIMES.captures_at(text, at) {
        let end =
            found.name("next").map_or_else(|| found.get(0).map_or(at, |all| all.end()), |next| next.start());
        let apart = found.get(0).is_some_and(|all| all.start() > at + " and ".len());
        if total.is_some() && apart {
            break;
        }
        at = end;
        if found.name("per").is_none() {
            let secs =
                count(found["n"].trim_end_matches([' ', '-'])).saturating_mul(unit_secs(&found["unit"]));
            total = Some(total.unwrap_or(0).saturating_add(secs));
        }
    }
    total
}

fn bare(text: &str) -> Option<u64> {
    BARE.captures(text)?.get(1)?.as_str().parse().ok()
}

fn count(word: &str) -> u64 {
    match word {
        "a" | "an" | "one" => 1,
        "two" => 2,
        "three" => 3,
        "five" => 5,
        "ten" => 10,
        "thirty" => 30,
        digits => digits.parse().unwrap_or(0),
    }
}

fn unit_secs(unit: &str) -> u64 {
    match unit.as_bytes().first() {
        Some(b'm') => 60,
        Some(b'h') => 3_600,
        Some(b'd') => 86_400,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(statement: &str, secs: Option<u64>) {
        assert_eq!(named(statement).map(|wait| wait.as_secs()), secs, "for {statement:?}");
    }

    #[test]
    fn times_are_read_in_every_usual_spelling() {
        check("Please try again in 30 seconds.", Some(30));
        check("Quota exceeded, wait 5 minutes", Some(300));
        check("WAIT 1 HOUR AND 30 MINUTES.", Some(5_400));
        check("Try again after: 24h0m0s", Some(86_400));
        check("retry in 90s", Some(90));
        check("grace period of 1 seconds", Some(1));
        check("Please keep at least 10-second between questions", Some(10));
        check("You are blocked for two hours", Some(7_200));
        check("try again in a minute", Some(60));
        check("Retry-After: 120", Some(120));
        check("please wait 15 second(s)", Some(15));
    }

    #[test]
    fn a_rate_or_a_count_is_no_wait() {
        check("Rate of 1801 queries per hour exceeded", None);
        check("At most 10 queries per 1 minutes, try again later", None);
        check("Too many connections", None);
        check("try again in a few seconds", None);
        check("wait 0 seconds", None);
    }

    #[test]
    fn nobody_makes_us_wait_longer_than_seven_days() {
        check("wait 999999999 days", Some(7 * 86_400));
        check("retry after 999999999", Some(7 * 86_400));
    }

    #[test]
    fn a_limit_by_the_day_lasts_a_day_at_most() {
        assert_eq!(by_the_day("Daily limit reached").map(|wait| wait.as_secs()), Some(86_400));
        assert_eq!(by_the_day("Limit reached"), None);
    }
}
