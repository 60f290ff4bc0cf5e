//! The agent's clock: microseconds since its start, on the runtime's monotonic clock; and what a later process can
//! still make sense of.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::simulated::Stage;
use egret_core::time::Instant;
use rustix::time::{ClockId, clock_gettime};

/// What the clock shows at its start: far enough from zero that ages of a year still lie on it.
const EPOCH: Instant = Instant::from_micros(400 * 24 * 3600 * 1_000_000);

/// Reads the clock; copies read the same one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: tokio::time::Instant,
    stage: Stage,
}

impl Clock {
    /// Of the host `stage`.
    pub(crate) fn start(stage: Stage) -> Self {
        Self { origin: tokio::time::Instant::now(), stage }
    }

    pub(crate) fn now(self) -> Instant {
        EPOCH + self.origin.elapsed()
    }

    /// The runtime's name for an instant, to wait for.
    pub(crate) fn deadline(self, at: Instant) -> tokio::time::Instant {
        self.origin + at.since(EPOCH)
    }

    /// What the coordinator is told that the clock shows: with the time that the host was suspended, which the clock itself
    /// leaves out, and never more than that.
    pub(crate) fn told(self) -> Instant {
        let boot = self.boot();
        self.now() + Duration::from_micros(boot.saturating_sub(self.running()))
    }

    /// The same, but never less.
    pub(crate) fn shown(self) -> Instant {
        let running = self.running();
        self.now() + Duration::from_micros(self.boot().saturating_sub(running))
    }

    /// An instant of the past in microseconds since the boot, never earlier than it was.
    pub(crate) fn since_boot(self, at: Instant) -> u64 {
        // In this order: whatever comes between the two readings makes it later.
        let age = self.now().since(at);
        self.boot().saturating_sub(micros(age))
    }

    /// Microseconds since the host was started. Time that it was suspended counts, since remotes counted on.
    pub(crate) fn boot(self) -> u64 {
        self.stage.map_or_else(|| reading(ClockId::Boottime), |host| host.since_boot())
    }

    /// The same without the time that it was suspended.
    fn running(self) -> u64 {
        self.stage.map_or_else(|| reading(ClockId::Monotonic), |host| host.since_boot())
    }

    /// Milliseconds since 1970 by the wall clock.
    pub(crate) fn wall_ms(self) -> u64 {
        self.stage.map_or_else(wall_ms, |host| host.wall_ms())
    }

    /// The name of this boot, within which [`Clock::boot`] is one clock; empty: nobody can tell.
    pub(crate) fn boot_name(self) -> String {
        self.stage.map_or_else(boot_name, |host| host.boot_name())
    }

    /// Nothing runs beside the runtime.
    pub(crate) fn is_simulated(self) -> bool {
        self.stage.is_some()
    }
}

fn reading(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    let secs = u64::try_from(time.tv_sec).unwrap_or(0);
    secs.saturating_mul(1_000_000).saturating_add(u64::try_from(time.tv_nsec).unwrap_or(0) / 1_000)
}

fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn boot_name() -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    // A time namespace may have shifted that clock.
    let namespace = std::fs::read_link("/proc/self/ns/time").unwrap_or_default();
    if boot.is_empty() { boot } else { format!("{} {}", boot.trim(), namespace.display()) }
}

pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
