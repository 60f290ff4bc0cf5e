//! Limits and times as people write them: `sliding:5/1s`, `200ms`, `0..200ms`.
//!
//! | text | limit |
//! |---|---|
//! | `sliding:5/1s` | 5 in any second |
//! | `fixed:5/1s`, `fixed:phase=250ms,5/1s` | 5 per aligned second, boundaries moved by the phase |
//! | `token-bucket:burst=10,5/1s` | a bucket of 10 that gains 5 a second |
//! | `two-bucket:5/1s` | the sliding counter of two aligned seconds |
//!
//! What is printed parses to the same limit again.

use crate::limit::Limit;
use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

/// Text that is no limit, no time or no range of times.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// The word before the colon names no kind of limit.
    #[error(
        "`{0}` is no kind of limit; write sliding:5/1s, fixed:5/1s, token-bucket:burst=10,5/1s or two-bucket:5/1s"
    )]
    UnknownKind(String),
    /// The part after the colon is not `[name=value,]UNITS/TIME` with names this kind knows.
    #[error(
        "`{0}` is no rate; write units and a time, such as 5/1s (fixed takes phase=, token-bucket needs burst=)"
    )]
    Rate(String),
    /// No number with a unit, or a time of nothing where there must be some.
    #[error("`{0}` is no time; write a number with ns, us, ms, s, m, h or d, such as 250ms")]
    Time(String),
    /// The end of a range lies before its start, or one of them is missing.
    #[error("`{0}` is no range of times; write 0..200ms, 50ms..200ms or 100ms")]
    Range(String),
}

impl FromStr for Limit {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let bad = || SpecError::Rate(text.to_owned());
        let (kind, rest) = text.split_once(':').ok_or_else(|| SpecError::UnknownKind(text.to_owned()))?;
        let (option, rate) = match rest.split_once(',') {
            Some((option, rate)) => (Some(option.split_once('=').ok_or_else(bad)?), rate),
            None => (None, rest),
        };
        let (units, per) = rate.split_once('/').ok_or_else(bad)?;
        let units = count(units).ok_or_else(bad)?;
        let per = some_time(per)?;
        match (kind, option) {
            ("sliding", None) => Ok(Self::Sliding { units, per }),
            ("two-bucket", None) => Ok(Self::TwoBucket { units, per }),
            ("fixed", None) => Ok(Self::Fixed { units, per, phase: Duration::ZERO }),
            ("fixed", Some(("phase", phase))) => {
                Ok(Self::Fixed { units, per, phase: parse_duration(phase)? })
            }
            ("token-bucket", Some(("burst", burst))) => {
                Ok(Self::TokenBucket { burst: count(burst).ok_or_else(bad)?, units, per })
            }
            ("sliding" | "two-bucket" | "fixed" | "token-bucket", _) => Err(bad()),
            _ => Err(SpecError::UnknownKind(kind.to_owned())),
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Fixed { units, per, phase } if phase.is_zero() => write!(f, "fixed:{units}/{}", time(per)),
            Self::Fixed { units, per, phase } => {
                write!(f, "fixed:phase={},{units}/{}", time(phase), time(per))
            }
            Self::Sliding { units, per } => write!(f, "sliding:{units}/{}", time(per)),
            Self::TokenBucket { burst, units, per } => {
                write!(f, "token-bucket:burst={burst},{units}/{}", time(per))
            }
            Self::TwoBucket { units, per } => write!(f, "two-bucket:{units}/{}", time(per)),
        }
    }
}

/// Nanoseconds in each unit, the largest first.
const UNITS: [(&str, u64); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// Reads a whole number with its unit, such as `250ms`; a bare `0` needs none.
///
/// # Errors
/// [`SpecError::Time`] if it is anything else, or longer than 584 years.
pub fn parse_duration(text: &str) -> Result<Duration, SpecError> {
    let bad = || SpecError::Time(text.to_owned());
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| bad())?;
    let (_, size) = UNITS.into_iter().find(|(name, _)| *name == unit).ok_or_else(bad)?;
    number.checked_mul(size).map(Duration::from_nanos).ok_or_else(bad)
}

/// Reads `FROM..TO`, both included, or one time that stands for both.
///
/// # Errors
/// [`SpecError::Time`] if a bound is no time, [`SpecError::Range`] if the range runs backwards.
pub fn parse_range(text: &str) -> Result<RangeInclusive<Duration>, SpecError> {
    let (from, to) = text.split_once("..").unwrap_or((text, text));
    let range = parse_duration(from)?..=parse_duration(to)?;
    if range.is_empty() { Err(SpecError::Range(text.to_owned())) } else { Ok(range) }
}

fn count(text: &str) -> Option<u32> {
    text.parse().ok().filter(|units| *units > 0)
}

fn some_time(text: &str) -> Result<Duration, SpecError> {
    parse_duration(text).ok().filter(|time| !time.is_zero()).ok_or_else(|| SpecError::Time(text.to_owned()))
}

/// A time in the largest unit that says it in whole numbers.
fn time(time: Duration) -> String {
    let nanos = time.as_nanos();
    let whole = UNITS.into_iter().find(|(_, size)| nanos.is_multiple_of(u128::from(*size)));
    match whole {
        Some((unit, size)) if nanos > 0 => format!("{}{unit}", nanos / u128::from(size)),
        _ => "0".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_read_and_printed_alike() {
        let (second, minute) = (Duration::from_secs(1), Duration::from_secs(60));
        let phase = Duration::from_millis(250);
        for (text, limit) in [
            ("sliding:5/1s", Limit::Sliding { units: 5, per: second }),
            ("fixed:30/1m", Limit::Fixed { units: 30, per: minute, phase: Duration::ZERO }),
            ("fixed:phase=250ms,30/1m", Limit::Fixed { units: 30, per: minute, phase }),
            ("token-bucket:burst=10,5/1s", Limit::TokenBucket { burst: 10, units: 5, per: second }),
            ("two-bucket:5/1s", Limit::TwoBucket { units: 5, per: second }),
        ] {
            assert_eq!(text.parse(), Ok(limit));
            assert_eq!(limit.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_limit_is_named() {
        for text in ["sliding", "slidng:5/1s", ""] {
            assert!(matches!(text.parse::<Limit>(), Err(SpecError::UnknownKind(_))), "{text}");
        }
        for text in [
            "sliding:5",
            "sliding:0/1s",
            "sliding:-1/1s",
            "sliding:burst=2,5/1s",
            "token-bucket:5/1s",
            "fixed:x,5/1s",
        ] {
            assert!(matches!(text.parse::<Limit>(), Err(SpecError::Rate(_))), "{text}");
        }
        for text in ["sliding:5/s", "sliding:5/0s", "sliding:5/1", "sliding:5/1week", "fixed:phase=x,5/1s"] {
            assert!(matches!(text.parse::<Limit>(), Err(SpecError::Time(_))), "{text}");
        }
    }

    #[test]
    fn times_and_ranges_are_read_in_their_units() {
        assert_eq!(parse_duration("90m"), Ok(Duration::from_secs(5_400)));
        assert_eq!(time(Duration::from_millis(1_500)), "1500ms");
        assert!(parse_duration("99999999999d").is_err());
        assert_eq!(parse_range("0..200ms"), Ok(Duration::ZERO..=Duration::from_millis(200)));
        assert_eq!(parse_range("1s"), Ok(Duration::from_secs(1)..=Duration::from_secs(1)));
        assert!(matches!(parse_range("2s..1s"), Err(SpecError::Range(_))));
        assert!(matches!(parse_range("..1s"), Err(SpecError::Time(_))));
    }
}
