//! Bans: what a remote does to a peer that goes on asking after a refusal.
//!
//! A [`BanState`] answers whether a peer is shut out at `now`. Bans come from
//! the rule (after so many refusals) or from outside, by hand.

use std::time::{Duration, Instant};

/// When a peer is shut out, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ban {
    /// Refusals since the last ban that bring the next one; 0 and 1 ban at the first.
    pub after_refusals: u32,
    /// How long the peer is shut out.
    pub length: Duration,
    /// Whether a call during the ban starts it anew.
    pub extend: bool,
}

impl Ban {
    /// A ban at the first refusal that knocking does not prolong.
    pub const fn of(length: Duration) -> Self {
        Self { after_refusals: 1, length, extend: false }
    }
}

/// The longest ban: a hundred years, so that no instant overflows.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 86_400);

/// Whether one peer is shut out.
#[derive(Clone, Debug)]
pub struct BanState {
    rule: Option<Ban>,
    refusals: u32,
    /// End and full length of the ban in force or the last one.
    ban: Option<(Instant, Duration)>,
}

impl BanState {
    /// A peer with a clean record; without a rule only [`impose`](Self::impose) shuts it out.
    pub const fn new(rule: Option<Ban>) -> Self {
        Self { rule, refusals: 0, ban: None }
    }

    /// Tells whether a call at `now` meets a ban, and prolongs the ban if the rule says so.
    ///
    /// A ban of length L that starts at t holds in `[t, t + L)`.
    pub fn knock(&mut self, now: Instant) -> bool {
        let Some((until, length)) = self.ban else { return false };
        if now >= until {
            self.ban = None;
            return false;
        }
        if self.rule.is_some_and(|rule| rule.extend) {
            self.ban = Some((until.max(now + length), length));
        }
        true
    }

    /// Notes a refusal at `now`, which may bring a ban.
    pub fn refused(&mut self, now: Instant) {
        let Some(rule) = self.rule else { return };
        self.refusals += 1;
        if self.refusals >= rule.after_refusals {
            self.impose(now, rule.length);
        }
    }

    /// Shuts the peer out until `now + length`, whatever stood before.
    pub fn impose(&mut self, now: Instant, length: Duration) {
        let length = length.min(LONGEST);
        self.refusals = 0;
        self.ban = Some((now + length, length));
    }

    /// Lets the peer in again and forgets its refusals.
    pub fn lift(&mut self) {
        self.refusals = 0;
        self.ban = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn the_nth_refusal_brings_a_ban_that_ends_on_time() {
        let start = Instant::now();
        let mut state = BanState::new(Some(Ban { after_refusals: 2, length: secs(5), extend: false }));
        state.refused(start);
        assert!(!state.knock(start));
        state.refused(start + secs(1));
        assert!(state.knock(start + secs(1)));
        assert!(state.knock(start + secs(6) - Duration::from_nanos(1)));
        assert!(!state.knock(start + secs(6)));
        state.refused(start + secs(7));
        assert!(!state.knock(start + secs(7)), "a ban clears the count of refusals");
    }

    #[test]
    fn knocking_prolongs_a_ban_only_where_the_rule_says_so() {
        let start = Instant::now();
        for (extend, still_banned) in [(false, false), (true, true)] {
            let mut state = BanState::new(Some(Ban { after_refusals: 1, length: secs(5), extend }));
            state.refused(start);
            assert!(state.knock(start + secs(4)));
            assert_eq!(state.knock(start + secs(8)), still_banned);
        }
    }

    #[test]
    fn a_ban_from_outside_needs_no_rule_and_can_be_lifted() {
        let start = Instant::now();
        let mut state = BanState::new(None);
        state.refused(start);
        assert!(!state.knock(start));
        state.impose(start, secs(60));
        assert!(state.knock(start + secs(59)));
        state.lift();
        assert!(!state.knock(start + secs(59)));
    }
}
