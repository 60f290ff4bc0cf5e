//! What a remote counts: one limit, seen from one peer.
//!
//! A [`Counter`] answers whether a call arriving at `now` is let in. It reads no
//! clock and rounds nothing: times are whole nanoseconds, shares are compared as
//! integers. [`Counters`] joins several limits: all must let a call in.
//!
//! Windows are half-open. A sliding window of length W holds the calls younger
//! than W, so a call exactly W after another no longer meets it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// A rule that a remote keeps for each peer by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// `units` calls per window `[origin + phase + k * per, + per)`.
    Fixed {
        /// Calls per window.
        units: u32,
        /// Length of the window.
        per: Duration,
        /// Where the first boundary lies after the counter's origin.
        phase: Duration,
    },
    /// `units` calls in any half-open window of length `per`.
    Sliding {
        /// Calls per window.
        units: u32,
        /// Length of the window.
        per: Duration,
    },
    /// A bucket that starts with `burst` tokens and gains `units` every `per`, evenly.
    TokenBucket {
        /// Tokens the bucket can hold.
        burst: u32,
        /// Tokens gained in each `per`.
        units: u32,
        /// The time in which `units` tokens come back.
        per: Duration,
    },
    /// The "sliding counter" of two fixed windows: a call is let in while
    /// `previous * (share of it still in sight) + current + 1 <= units`.
    TwoBucket {
        /// Calls per window.
        units: u32,
        /// Length of each of the two windows; they are aligned to the counter's origin.
        per: Duration,
    },
}

impl Limit {
    /// The most calls that may count at once; what [`Counter::peek`] is compared with.
    pub fn capacity(&self) -> u32 {
        match *self {
            Self::Fixed { units, .. } | Self::Sliding { units, .. } | Self::TwoBucket { units, .. } => units,
            Self::TokenBucket { burst, .. } => burst,
        }
    }

    /// Length of the window this limit speaks of.
    pub fn per(&self) -> Duration {
        match *self {
            Self::Fixed { per, .. }
            | Self::Sliding { per, .. }
            | Self::TokenBucket { per, .. }
            | Self::TwoBucket { per, .. } => per,
        }
    }

    /// Number of the aligned window that holds `since` (time after the origin), for the kinds that have such windows.
    pub(crate) fn aligned_window(&self, since: Duration) -> Option<u128> {
        let per = nanos(self.per());
        match *self {
            Self::Fixed { phase, .. } => Some((since.as_nanos() + per - phase.as_nanos() % per) / per),
            Self::TwoBucket { .. } => Some(since.as_nanos() / per),
            Self::Sliding { .. } | Self::TokenBucket { .. } => None,
        }
    }
}

/// Nanoseconds of a window's length; a length of nothing counts as the shortest one.
fn nanos(per: Duration) -> u128 {
    per.as_nanos().max(1)
}

/// One limit with what one peer has spent of it.
#[derive(Clone, Debug)]
pub struct Counter {
    limit: Limit,
    origin: Instant,
    /// The latest time seen, after the origin: a clock that steps back is held here.
    latest: Duration,
    spent: Spent,
}

#[derive(Clone, Debug)]
enum Spent {
    /// When each counted call arrived, oldest first; never more than `units` are kept.
    Log(VecDeque<Duration>),
    /// Counted calls in window number `index` and in the one before it.
    Aligned { index: u128, current: u64, previous: u64 },
    /// Tokens times `per` in nanoseconds, as of `at`: `units` of these come back in each nanosecond.
    Level { at: Duration, level: u128 },
}

impl Counter {
    /// An unspent counter; `origin` is where fixed windows are measured from.
    pub fn new(limit: Limit, origin: Instant) -> Self {
        let spent = match limit {
            Limit::Sliding { .. } => Spent::Log(VecDeque::new()),
            Limit::Fixed { .. } | Limit::TwoBucket { .. } => {
                Spent::Aligned { index: 0, current: 0, previous: 0 }
            }
            Limit::TokenBucket { burst, per, .. } => {
                Spent::Level { at: Duration::ZERO, level: u128::from(burst) * nanos(per) }
            }
        };
        Self { limit, origin, latest: Duration::ZERO, spent }
    }

    /// Lets a call in at `now` and counts it, or refuses it and counts nothing.
    ///
    /// Calls must come in the order of their times; an earlier `now` is taken as the latest one seen.
    pub fn admit(&mut self, now: Instant) -> bool {
        let admitted = self.fits(now);
        if admitted {
            self.count(now);
        }
        admitted
    }

    /// How much of [`Limit::capacity`] is in use at `now`, rounded up to whole calls.
    ///
    /// The sliding log keeps the newest `units` calls only, so refused calls that count show up to `units`.
    pub fn peek(&self, now: Instant) -> u32 {
        let since = self.since(now);
        let per = nanos(self.limit.per());
        let used = match &self.spent {
            Spent::Log(log) => (log.len() - self.expired(log, since)) as u128,
            Spent::Aligned { .. } => {
                let (index, current, previous) = self.windows(since);
                match self.limit {
                    Limit::TwoBucket { .. } => {
                        let in_sight = per - (since.as_nanos() - index * per);
                        u128::from(current) + (u128::from(previous) * in_sight).div_ceil(per)
                    }
                    _ => u128::from(current),
                }
            }
            Spent::Level { .. } => u128::from(self.limit.capacity()) - self.level(since) / per,
        };
        u32::try_from(used).unwrap_or(u32::MAX)
    }

    /// Whether one more call would be let in at `now`.
    pub fn fits(&self, now: Instant) -> bool {
        self.peek(now) < self.limit.capacity()
    }

    /// Counts a call at `now`, let in or not. A refused call takes what is left in a token bucket.
    pub fn count(&mut self, now: Instant) {
        let since = self.since(now);
        self.latest = since;
        match self.limit {
            Limit::Sliding { units, .. } => self.log(since, units as usize),
            Limit::Fixed { .. } | Limit::TwoBucket { .. } => {
                let (index, current, previous) = self.windows(since);
                self.spent = Spent::Aligned { index, current: current + 1, previous };
            }
            Limit::TokenBucket { per, .. } => {
                let level = self.level(since).saturating_sub(nanos(per));
                self.spent = Spent::Level { at: since, level };
            }
        }
    }

    fn since(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.origin).max(self.latest)
    }

    /// Forgets what has left the window and what no decision can depend on, then adds `since`.
    fn log(&mut self, since: Duration, keep: usize) {
        let Spent::Log(log) = &self.spent else { return };
        let expired = self.expired(log, since);
        let Spent::Log(log) = &mut self.spent else { return };
        log.drain(..expired);
        log.push_back(since);
        while log.len() > keep {
            log.pop_front();
        }
    }

    /// How many entries, oldest first, are a whole window old.
    fn expired(&self, log: &VecDeque<Duration>, since: Duration) -> usize {
        log.partition_point(|at| since - *at >= self.limit.per())
    }

    /// Number of the window that holds `since`, calls counted in it, calls counted in the one before.
    fn windows(&self, since: Duration) -> (u128, u64, u64) {
        let now = self.limit.aligned_window(since).unwrap_or(0);
        match self.spent {
            Spent::Aligned { index, current, previous } if index == now => (now, current, previous),
            Spent::Aligned { index, current, .. } if index + 1 == now => (now, 0, current),
            _ => (now, 0, 0),
        }
    }

    /// What the bucket holds at `since`, in tokens times nanoseconds of `per`.
    fn level(&self, since: Duration) -> u128 {
        match (self.limit, &self.spent) {
            (Limit::TokenBucket { burst, units, per }, Spent::Level { at, level }) => {
                let gained = (since - *at).as_nanos() * u128::from(units);
                (level + gained).min(u128::from(burst) * nanos(per))
            }
            _ => 0,
        }
    }
}

/// All limits that one peer is held to.
#[derive(Clone, Debug)]
pub struct Counters {
    counters: Vec<Counter>,
    count_refused: bool,
}

impl Counters {
    /// Unspent counters for `limits`. With `count_refused`, a refused call is counted by every one of them.
    pub fn new(limits: &[Limit], count_refused: bool, origin: Instant) -> Self {
        let counters = limits.iter().map(|limit| Counter::new(*limit, origin)).collect();
        Self { counters, count_refused }
    }

    /// Lets a call in if every limit does. A refused call is counted by all of them or by none.
    pub fn admit(&mut self, now: Instant) -> bool {
        let admitted = self.counters.iter().all(|counter| counter.fits(now));
        if admitted || self.count_refused {
            self.count(now);
        }
        admitted
    }

    /// Notes a call that was refused for another reason (a ban); counts only with `count_refused`.
    pub fn refused(&mut self, now: Instant) {
        if self.count_refused {
            self.count(now);
        }
    }

    /// [`Counter::peek`] of each limit, in the order given.
    pub fn peek(&self, now: Instant) -> Vec<u32> {
        self.counters.iter().map(|counter| counter.peek(now)).collect()
    }

    fn count(&mut self, now: Instant) {
        for counter in &mut self.counters {
            counter.count(now);
        }
    }
}

#[cfg(test)]
mod tests;
