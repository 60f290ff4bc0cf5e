//! How far a batch has come, counted as its jobs end.

use egret_core::time::Instant;
use egret_store::EndState;

/// The rate is that of the last ten seconds.
const SECONDS: usize = 10;

/// The counts of one open batch.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    /// Jobs taken.
    pub(crate) total: u64,
    /// Ended jobs, by [`EndState`].
    pub(crate) ended: [u64; 4],
    /// Jobs with an attempt under way.
    pub(crate) running: u64,
    /// Attempts refused.
    pub(crate) refusals: u64,
    /// Ends whose record is not on disk yet.
    pub(crate) unrecorded: u64,
    /// Some of its ended jobs are about to be open again.
    pub(crate) is_held: bool,
    /// Ends per second, at `second % SECONDS`.
    recent: [u64; SECONDS],
    second: u64,
    began: u64,
}

impl Progress {
    pub(crate) fn new(total: u64, ended: [u64; 4], now: Instant) -> Self {
        let second = second(now);
        Self { total, ended, second, began: second, ..Self::default() }
    }

    pub(crate) fn end(&mut self, state: EndState, now: Instant) {
        self.advance(now);
        self.ended[state as usize] += 1;
        self.unrecorded += 1;
        self.recent[(self.second % SECONDS as u64) as usize] += 1;
    }

    /// An end that counts no more.
    pub(crate) fn reopen(&mut self, state: EndState) {
        let ended = &mut self.ended[state as usize];
        *ended = ended.saturating_sub(1);
    }

    /// Whether nothing more will be heard of it.
    pub(crate) fn is_over(&self) -> bool {
        self.open() == 0 && self.unrecorded == 0 && !self.is_held
    }

    /// Jobs that have not ended.
    pub(crate) fn open(&self) -> u64 {
        self.total.saturating_sub(self.ended.iter().sum())
    }

    /// Ends per second, lately.
    pub(crate) fn rate(&mut self, now: Instant) -> f64 {
        self.advance(now);
        let seconds = (self.second - self.began + 1).min(SECONDS as u64);
        self.recent.iter().sum::<u64>() as f64 / seconds as f64
    }

    fn advance(&mut self, now: Instant) {
        let second = second(now);
        for passed in (self.second + 1..=second).take(SECONDS) {
            self.recent[(passed % SECONDS as u64) as usize] = 0;
        }
        if second - self.second.min(second) >= SECONDS as u64 {
            self.recent = [0; SECONDS];
        }
        self.second = self.second.max(second);
    }
}

fn second(now: Instant) -> u64 {
    now.as_micros() / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_the_last_ten_seconds() {
        let at = |secs: u64| Instant::from_micros(secs * 1_000_000);
        let mut progress = Progress::new(100, [0; 4], at(5));
        (0..20).for_each(|_| progress.end(EndState::Done, at(5)));
        assert_eq!(progress.rate(at(5)), 20.0);
        assert_eq!(progress.rate(at(14)), 2.0);
        assert_eq!(progress.rate(at(15)), 0.0);
        progress.end(EndState::Failed, at(1_000));
        assert_eq!(progress.rate(at(1_000)), 0.1);
        assert_eq!((progress.open(), progress.ended), (79, [20, 1, 0, 0]));
    }
}
