//! The coordinator's two clocks: a monotonic one for decisions, the wall clock for people and the disk.

use std::time::{Duration, SystemTime};

use egret_core::time::Instant;

/// What the clock shows at its start: far enough from zero that ages of a year still lie on it.
const EPOCH: Instant = Instant::from_micros(400 * 24 * 3600 * 1_000_000);

/// Reads the clocks; copies read the same ones.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: tokio::time::Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { origin: tokio::time::Instant::now() }
    }

    pub(crate) fn now(self) -> Instant {
        EPOCH + self.origin.elapsed()
    }

    /// The runtime's name for an instant, to wait for.
    pub(crate) fn deadline(self, at: Instant) -> tokio::time::Instant {
        self.origin + at.since(EPOCH)
    }
}

/// The wall clock, in milliseconds since 1970.
pub(crate) fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
