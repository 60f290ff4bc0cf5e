//! The agent's clock: microseconds since its start, on the runtime's monotonic clock.

use egret_core::time::Instant;

/// What the clock shows at its start: far enough from zero that ages of a year still lie on it.
const EPOCH: Instant = Instant::from_micros(400 * 24 * 3600 * 1_000_000);

/// Reads the clock; copies read the same one.
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
