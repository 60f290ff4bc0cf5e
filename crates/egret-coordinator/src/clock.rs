//! The coordinator's two clocks: a monotonic one for decisions, the wall clock for people and the disk.

use std::time::{Duration, SystemTime};

use egret_core::time::Instant;

/// What the clock would have shown in 1970: far enough from zero that ages of a year lie on it whatever the wall clock says.
const EPOCH: Instant = Instant::from_micros(400 * 24 * 3600 * 1_000_000);

/// Reads the clocks; copies read the same ones.
///
/// At its start it shows the wall clock's time and goes on by itself, so that a deadline on the disk is the same instant
/// whenever it is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: tokio::time::Instant,
    started_at: Instant,
    wall: fn() -> u64,
}

impl Clock {
    /// Starts with this wall clock, in milliseconds since 1970.
    pub(crate) fn start(wall: fn() -> u64) -> Self {
        Self { origin: tokio::time::Instant::now(), started_at: instant(wall()), wall }
    }

    pub(crate) fn now(self) -> Instant {
        self.started_at + self.origin.elapsed()
    }

    /// The wall clock, in milliseconds since 1970.
    pub(crate) fn wall_ms(self) -> u64 {
        (self.wall)()
    }

    /// The runtime's name for an instant, to wait for.
    pub(crate) fn deadline(self, at: Instant) -> tokio::time::Instant {
        self.origin + at.since(self.started_at)
    }
}

/// The instant of a time of the wall clock, in milliseconds since 1970; whole, so that [`millis`] gives it back.
pub(crate) fn instant(wall_ms: u64) -> Instant {
    EPOCH + Duration::from_millis(wall_ms)
}

/// The opposite of [`instant`].
pub(crate) fn millis(at: Instant) -> u64 {
    u64::try_from(at.since(EPOCH).as_millis()).unwrap_or(u64::MAX)
}

/// The host's wall clock, in milliseconds since 1970.
pub(crate) fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
