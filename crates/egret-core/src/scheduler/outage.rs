//! A service that answers nobody is down: it is tried by one call at a time, and the rest of the work waits.
//!
//! An outage is not a ban: no egress is blamed, no budget rests. The first answer of any kind ends it.

use std::time::Duration;

use crate::id::{AttemptId, EgressId};
use crate::time::Instant;

/// Calls in a row without an answer that make an outage, from two egresses if there are two (chosen: more than a lossy
/// minute brings).
const STREAK: u32 = 6;
/// The wait before the first trial, doubled after each that fails (chosen).
const FIRST_WAIT: Duration = Duration::from_secs(5);
const LONGEST_WAIT: Duration = Duration::from_secs(120);

/// What is known of a service that does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outage {
    /// Since when nothing was answered.
    pub since: Instant,
    /// When one call tries again; past while it is under way.
    pub next_try: Instant,
}

/// Counts calls that were not answered.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    streak: u32,
    began: Instant,
    first: Option<EgressId>,
    /// More than one egress had no answer.
    several: bool,
    open: Option<(Outage, Duration)>,
    trial: Option<AttemptId>,
}

impl Breaker {
    /// Since when no call was answered, if the last one was not.
    pub(super) fn silent_since(&self) -> Option<Instant> {
        (self.streak > 0).then_some(self.began)
    }

    pub(super) fn outage(&self) -> Option<Outage> {
        self.open.map(|(outage, _)| outage)
    }

    /// When a call may leave: `now` unless there is an outage; `None`: not before the trial has ended.
    pub(super) fn opens_at(&self, now: Instant) -> Option<Instant> {
        match self.open {
            None => Some(now),
            Some((outage, _)) => self.trial.is_none().then(|| outage.next_try.max(now)),
        }
    }

    /// Whether a call may leave.
    pub(super) fn lets(&self, now: Instant) -> bool {
        self.opens_at(now) == Some(now)
    }

    /// A call leaves; during an outage it is the trial.
    pub(super) fn leaves(&mut self, attempt: AttemptId) {
        if self.open.is_some() {
            self.trial = Some(attempt);
        }
    }

    /// An answer came, be it a refusal. True: that ends an outage.
    pub(super) fn answered(&mut self) -> bool {
        // Nearly always there is nothing to forget.
        self.streak > 0 && std::mem::take(self).open.is_some()
    }

    /// A call came back unsent: another one may be the trial.
    pub(super) fn unsent(&mut self, attempt: AttemptId) {
        if self.trial == Some(attempt) {
            self.trial = None;
        }
    }

    /// No answer came. True: that makes an outage.
    pub(super) fn silent(
        &mut self,
        attempt: AttemptId,
        egress: EgressId,
        are_many: bool,
        now: Instant,
    ) -> bool {
        if let Some((outage, wait)) = &mut self.open {
            if self.trial == Some(attempt) {
                self.trial = None;
                *wait = (*wait * 2).min(LONGEST_WAIT);
                outage.next_try = now + *wait;
            }
            return false;
        }
        if self.streak == 0 {
            (self.began, self.first) = (now, Some(egress));
        }
        self.streak = self.streak.saturating_add(1);
        self.several |= self.first != Some(egress);
        let is_down = self.streak >= STREAK && (self.several || !are_many);
        if is_down {
            self.open = Some((Outage { since: self.began, next_try: now + FIRST_WAIT }, FIRST_WAIT));
        }
        is_down
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(count: u64) -> AttemptId {
        AttemptId { start: 1, count }
    }

    fn at(secs: u64) -> Instant {
        Instant::from_micros(secs * 1_000_000)
    }

    fn silence(breaker: &mut Breaker, calls: u64, egresses: u64) -> bool {
        (0..calls).any(|n| breaker.silent(attempt(n), EgressId((n % egresses) as u32), true, at(n)))
    }

    #[test]
    fn silence_towards_several_egresses_is_an_outage_and_towards_one_of_many_is_not() {
        assert!(!silence(&mut Breaker::default(), 5, 2));
        let mut breaker = Breaker::default();
        assert_eq!(breaker.silent_since(), None);
        assert!(silence(&mut breaker, 6, 2));
        assert_eq!((breaker.silent_since(), breaker.outage().unwrap().since), (Some(at(0)), at(0)));
        breaker.answered();
        assert_eq!(breaker.silent_since(), None);
        assert!(!silence(&mut Breaker::default(), 100, 1));
        let mut alone = Breaker::default();
        assert!((0..6).any(|n| alone.silent(attempt(n), EgressId(0), false, at(n))));
    }

    #[test]
    fn an_answer_in_between_starts_the_count_anew() {
        let mut breaker = Breaker::default();
        silence(&mut breaker, 5, 2);
        assert!(!breaker.answered());
        assert!(!silence(&mut breaker, 5, 2));
    }

    #[test]
    fn one_call_at_a_time_tries_at_growing_distances_until_an_answer() {
        let mut breaker = Breaker::default();
        assert!(silence(&mut breaker, 6, 3));
        let mut now = at(5);
        for wait in [5, 10, 20, 40, 80, 120, 120] {
            assert!(!breaker.lets(now));
            now = now + Duration::from_secs(wait);
            assert!(breaker.lets(now) && breaker.opens_at(at(0)) == Some(now));
            breaker.leaves(attempt(100 + wait));
            assert_eq!(breaker.opens_at(now), None);
            assert!(!breaker.silent(attempt(3), EgressId(0), true, now), "an earlier call");
            assert!(!breaker.silent(attempt(100 + wait), EgressId(0), true, now));
        }
        breaker.leaves(attempt(900));
        breaker.unsent(attempt(900));
        assert!(breaker.answered() && breaker.lets(now) && breaker.outage().is_none());
    }
}
