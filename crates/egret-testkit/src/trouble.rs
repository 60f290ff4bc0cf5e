//! What goes wrong between a call and its answer, apart from limits.

use std::ops::RangeInclusive;
use std::time::Duration;

/// Delays, losses and unreasonable answers. The default has none.
#[derive(Clone, Debug)]
pub struct Troubles {
    /// Random wait before a call is counted: the way in. It spreads and reorders arrivals.
    pub way_in: RangeInclusive<Duration>,
    /// Wait between counting a call and answering or refusing it.
    pub latency: Duration,
    /// Random wait on top of [`latency`](Self::latency): the way out.
    pub jitter: RangeInclusive<Duration>,
    /// Of the calls let in, every n-th is never answered (0: none).
    pub drop_every: u32,
    /// Chance, 0 to 1, that a call let in is never answered.
    pub drop_chance: f64,
    /// How long a dropped call is held open before the connection is closed.
    pub hold: Duration,
    /// Answers trickle instead of coming at once.
    pub drip: Option<Drip>,
    /// Answers are filled up to this many bytes (0: left as they are).
    pub pad_to: usize,
    /// After the answer, filler follows until the peer leaves or 1 GiB is sent.
    pub endless: bool,
}

/// The pace of a trickling answer: `every` so often, `bytes` of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drip {
    /// Bytes sent at a time; 0 counts as 1.
    pub bytes: usize,
    /// Wait before each piece.
    pub every: Duration,
}

impl Default for Troubles {
    fn default() -> Self {
        Self {
            way_in: Duration::ZERO..=Duration::ZERO,
            latency: Duration::ZERO,
            jitter: Duration::ZERO..=Duration::ZERO,
            drop_every: 0,
            drop_chance: 0.0,
            hold: Duration::from_secs(30),
            drip: None,
            pad_to: 0,
            endless: false,
        }
    }
}

impl Troubles {
    /// Whether the `nth` call let in (from 1) is dropped.
    pub(crate) fn drops(&self, nth: u64, rng: &mut fastrand::Rng) -> bool {
        let in_turn = self.drop_every > 0 && nth.is_multiple_of(u64::from(self.drop_every));
        in_turn || (self.drop_chance > 0.0 && rng.f64() < self.drop_chance)
    }
}

/// A random time of the range, to the nanosecond.
pub(crate) fn within(range: &RangeInclusive<Duration>, rng: &mut fastrand::Rng) -> Duration {
    let nanos = |time: &Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let (from, to) = (nanos(range.start()), nanos(range.end()));
    Duration::from_nanos(if from < to { rng.u64(from..=to) } else { from })
}

/// Waits, or does not even yield if there is nothing to wait for.
pub(crate) async fn pause(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_nth_call_is_dropped_and_a_chance_follows_its_seed() {
        let drops = |troubles: &Troubles, seed| -> Vec<bool> {
            let mut rng = fastrand::Rng::with_seed(seed);
            (1..=200).map(|nth| troubles.drops(nth, &mut rng)).collect()
        };
        let in_turn = drops(&Troubles { drop_every: 50, ..Troubles::default() }, 1);
        assert_eq!(in_turn.iter().filter(|dropped| **dropped).count(), 4);
        assert!(in_turn[49] && !in_turn[0]);
        let by_chance = Troubles { drop_chance: 0.5, ..Troubles::default() };
        assert_eq!(drops(&by_chance, 7), drops(&by_chance, 7));
        assert_ne!(drops(&by_chance, 7), drops(&by_chance, 8));
        assert!(!drops(&Troubles::default(), 1).contains(&true));
    }

    #[test]
    fn a_random_time_stays_in_its_range() {
        let mut rng = fastrand::Rng::with_seed(1);
        let range = Duration::from_millis(5)..=Duration::from_millis(6);
        assert!((0..1_000).all(|_| range.contains(&within(&range, &mut rng))));
        let point = Duration::from_millis(5)..=Duration::from_millis(5);
        assert_eq!(within(&point, &mut rng), Duration::from_millis(5));
    }
}
