//! Rests after refusals, and what remotes say of themselves: both only ever make a ledger stricter.

use std::time::Duration;

use super::Ledger;
use crate::quota::Limits;
use crate::time::Instant;

/// Times a remote names are honoured up to here (chosen: a mistaken or hostile answer must not end an egress for ever).
pub const LONGEST_NAMED: Duration = Duration::from_secs(7 * 24 * 3600);
/// How much longer than the last one each rest is that the remote names no time for.
const LADDER: u32 = 5;

/// A cool-down: the rest of an egress, or of a network, after a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rest {
    /// When this rest was last lengthened by a refusal that taught something.
    pub began_at: Instant,
    /// No call leaves before.
    pub until: Instant,
    /// Refusals in a row that each lengthened it; 0: somebody asked for it.
    pub refusals: u32,
    /// The remote itself said how long.
    pub is_named: bool,
}

impl Ledger {
    /// Notes a refusal of a call sent at `sent_at`, and rests: as long as the remote named, else
    /// `cool_down`, five times longer at each further refusal, up to `max_cool_down`. Returns until when, if the
    /// refusal was news.
    ///
    /// Refusals of calls that were under way before the rest began say nothing new about its length,
    /// unless they name a time. `spread` in 0..=1 lengthens an unnamed rest by up to a tenth, so that
    /// egresses refused together do not return together.
    pub fn refuse(
        &mut self,
        limits: &Limits,
        sent_at: Instant,
        named: Option<Duration>,
        spread: f64,
        now: Instant,
    ) -> Option<Instant> {
        let fresh = Rest { began_at: now, until: now, refusals: 0, is_named: false };
        let rest = self.aside.get_or_insert_default().rest.get_or_insert(fresh);
        let is_news = rest.refusals == 0 || sent_at >= rest.began_at;
        if is_news {
            rest.began_at = now;
            rest.refusals = rest.refusals.saturating_add(1);
        }
        let until = match named {
            Some(named) => {
                let named = named.min(LONGEST_NAMED);
                now + named + named / 100 + Duration::from_secs(1)
            }
            None if is_news => {
                let length = unnamed(limits, rest.refusals);
                now + length + length.mul_f64(0.1 * spread.clamp(0.0, 1.0))
            }
            None => return None,
        };
        if until > rest.until {
            (rest.until, rest.is_named) = (until, named.is_some());
        }
        Some(rest.until)
    }

    /// Rests at least until then because others do, after so many refusals, or because somebody says so, after none.
    pub fn rest_until(&mut self, until: Instant, refusals: u32, now: Instant) {
        let fresh = Rest { began_at: now, until: now, refusals, is_named: false };
        let rest = self.aside.get_or_insert_default().rest.get_or_insert(fresh);
        rest.until = rest.until.max(until);
    }

    /// Rests as after so many refusals in a row that named no time: the remote said nothing where it answered others.
    pub fn shun(&mut self, limits: &Limits, times: u32, now: Instant) {
        self.rest_until(now + unnamed(limits, times), times, now);
    }

    /// Ends the rest: a call that was sent at `sent_at`, after it began, was not refused.
    pub fn recover(&mut self, sent_at: Instant) {
        if let Some(aside) = self.aside.as_mut() {
            aside.rest = aside.rest.filter(|rest| sent_at < rest.began_at);
        }
    }

    /// The rest in force, if the egress is cooling down or on trial.
    pub fn rest(&self) -> Option<Rest> {
        self.aside.as_ref()?.rest
    }

    /// The remote says that it takes `left` more calls until `reset` from now. Calls in flight may or may not be
    /// among those it has counted; they are taken to come on top.
    pub fn limit_to(&mut self, left: u32, reset: Duration, now: Instant) {
        let until = now + reset.min(LONGEST_NAMED);
        let left = left.saturating_sub(self.in_flight());
        let said = &mut self.aside.get_or_insert_default().left;
        // Several limits may be told of in turn: each holds until it has passed.
        *said = Some(match said.filter(|(_, until)| *until > now) {
            Some((former, former_until)) => (former.min(left), former_until.max(until)),
            None => (left, until),
        });
    }

    /// What the remote said is left, and until when, if that still holds.
    pub fn left(&self, now: Instant) -> Option<(u32, Instant)> {
        self.aside.as_ref()?.left.filter(|(_, until)| *until > now)
    }
}

/// How long to rest after this many refusals in a row, when none names a time.
fn unnamed(limits: &Limits, refusals: u32) -> Duration {
    let factor = LADDER.saturating_pow(refusals.saturating_sub(1));
    limits.cool_down.saturating_mul(factor).min(limits.max_cool_down)
}

impl Ledger {
    pub(super) fn count_left(&mut self) {
        if let Some((left, _)) = self.aside.as_mut().and_then(|aside| aside.left.as_mut()) {
            *left = left.saturating_sub(1);
        }
    }

    /// When rests and what the remote said stand in the way no longer; `None`: when a call in flight has ended.
    pub(super) fn rested_at(&self, now: Instant) -> Option<Instant> {
        let Some(aside) = &self.aside else { return Some(now) };
        let mut at = now;
        if let Some(rest) = aside.rest {
            // One call tries whether the rest is over; the others wait for its answer.
            if self.in_flight > 0 {
                return None;
            }
            at = at.max(rest.until);
        }
        if let Some((until, _)) = aside.stumble {
            at = at.max(until);
        }
        if let Some((0, until)) = aside.left {
            at = at.max(until);
        }
        Some(at)
    }
}
