//! Clock readings as plain numbers: an [`Instant`] is a count of microseconds on some monotonic clock.
//!
//! The shell picks the clock and its origin; only differences mean anything, and readings of two
//! processes are never compared (they exchange ages and durations).

use std::ops::Add;
use std::time::Duration;

/// A reading of the shell's monotonic clock, in microseconds since an origin of the shell's choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The origin of the clock.
    pub const ZERO: Self = Self(0);

    /// The reading `micros` microseconds after the origin.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since the origin.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// The reading `micros` later; saturates at the end of the clock.
    pub(crate) const fn later(self, micros: u64) -> Self {
        Self(self.0.saturating_add(micros))
    }

    /// How long ago `earlier` was; zero if it lies ahead.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// The reading `age` before this one; the origin if that lies before it.
    ///
    /// Part of a microsecond in `age` is dropped: the result is never too old, which is the strict side.
    pub fn before(self, age: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(age.as_micros()).unwrap_or(u64::MAX)))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    /// Later by `rhs`, rounded **up** to whole microseconds; saturates at the end of the clock.
    fn add(self, rhs: Duration) -> Self {
        let micros = rhs.as_secs().saturating_mul(1_000_000);
        Self(self.0.saturating_add(micros).saturating_add(u64::from(rhs.subsec_nanos().div_ceil(1_000))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adding_rounds_up_and_ages_round_down() {
        let at = Instant::from_micros(10);
        assert_eq!((at + Duration::from_nanos(1)).as_micros(), 11);
        assert_eq!(at.before(Duration::from_nanos(1_999)).as_micros(), 9);
        assert_eq!(at.before(Duration::from_secs(1)), Instant::ZERO);
        assert_eq!(at.since(Instant::from_micros(50)), Duration::ZERO);
    }
}
