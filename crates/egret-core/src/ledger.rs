//! What one egress has spent at one service, and when it may spend again.
//!
//! A unit is taken when a call is granted and comes back one span after its **answer**. Let call `j`
//! be sent while at most N-1 earlier calls are live (in flight, or answered less than W ago). Of any N
//! earlier ones some `i` was answered W before `j` was sent; the remote counted `i` before answering
//! it and `j` after it was sent, so their counts lie W apart: no window of length W ever holds N+1,
//! whatever the network delays, reorders or loses, on one clock.
//!
//! All quotas of the service are charged by the same calls, so one log of charges serves every
//! window: N live units mean that the N-th newest charge is younger than W. [`Ledger::ready`] is
//! therefore a few index look-ups, and a check of all windows happens before anything is taken.
//!
//! Nothing here reads a clock or knows who sends; `scheduler` holds the coordinator's ledgers, each
//! agent its own. [`Snapshot`]s carry ages, never instants, so they may cross clocks.

use std::collections::VecDeque;
use std::time::Duration;

use crate::quota::Limits;
use crate::time::Instant;

/// A closed connection may still count as open at the remote for this long (chosen: one slow round trip).
const CLOSING: Duration = Duration::from_millis(50);
/// Charges taken over from elsewhere at most: the largest quota that can be configured.
const MOST_CHARGES: usize = 1_000_000;
/// A snapshot has at most this many groups (chosen: a few KiB); it gives up at most one part in as many.
const GROUPS: usize = 256;
/// A host that could not send tries again after this long, doubled each time.
const FIRST_STUMBLE: Duration = Duration::from_secs(1);
const LONGEST_STUMBLE: Duration = Duration::from_secs(60);
/// Times a remote names are honoured up to here.
pub const LONGEST_NAMED: Duration = Duration::from_secs(7 * 24 * 3600);

/// The spending of one egress at one service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// When each unit was charged, oldest first; those that have left every window are dropped.
    charges: VecDeque<Instant>,
    /// Units taken by calls that have not ended.
    in_flight: u32,
    /// When concurrency slots of ended calls are free for certain, oldest first.
    closing: VecDeque<Instant>,
    /// The latest send, for services that want them spaced.
    sent_at: Option<Instant>,
    /// The rest after refusals; `None` once a call has succeeded again.
    rest: Option<Rest>,
    /// Until when the host does not try after it could not send, and how often in a row it could not.
    stumble: Option<(Instant, u32)>,
}

/// A cool-down: the rest of an egress after a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rest {
    /// When this rest was last lengthened by a refusal that taught something.
    pub began_at: Instant,
    /// No call leaves before.
    pub until: Instant,
    /// Refusals in a row that each lengthened it; at least 1.
    pub refusals: u32,
}

/// Whether one more call may leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// Yes.
    Now,
    /// Not before this instant; then, if nothing else happens, yes.
    At(Instant),
    /// Not before one of the calls in flight has ended.
    OnCompletion,
}

/// A ledger as ages, newest first, so that it may be kept or sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Ages in milliseconds and how many charges are at least that old. Rounded down, which is the strict
    /// side; negative for calls that may still be counted later than now. Many are put into groups.
    pub charges: Vec<(i64, u32)>,
    /// Calls that had not ended.
    pub in_flight: u32,
    /// How much longer the egress rests, in milliseconds, rounded up, and after how many refusals.
    pub rest: Option<(u64, u32)>,
}

impl Ledger {
    /// Whether every rule of `limits` lets one more call leave at `now`.
    pub fn ready(&self, limits: &Limits, now: Instant) -> Ready {
        let mut at = now;
        for window in &limits.windows {
            let free = window.units.saturating_sub(self.in_flight) as usize;
            if free == 0 {
                return Ready::OnCompletion;
            }
            // With `free` charges live the window would be full: the free-th newest has to leave first.
            if let Some(index) = self.charges.len().checked_sub(free) {
                at = at.max(self.charges[index] + window.span);
            }
        }
        if let Some(cap) = limits.concurrency {
            match self.slot_free_at(cap, now) {
                Ready::Now => {}
                Ready::At(free_at) => at = at.max(free_at),
                Ready::OnCompletion => return Ready::OnCompletion,
            }
        }
        if let Some(sent_at) = self.sent_at {
            at = at.max(sent_at + limits.spacing);
        }
        if let Some(rest) = self.rest {
            // One call tries whether the rest is over; the others wait for its answer.
            if self.in_flight > 0 {
                return Ready::OnCompletion;
            }
            at = at.max(rest.until);
        }
        if let Some((until, _)) = self.stumble {
            at = at.max(until);
        }
        if at <= now { Ready::Now } else { Ready::At(at) }
    }

    fn slot_free_at(&self, cap: u32, now: Instant) -> Ready {
        let Some(spare) = cap.checked_sub(self.in_flight).filter(|spare| *spare > 0) else {
            return Ready::OnCompletion;
        };
        match self.closing.len().checked_sub(spare as usize).map(|index| self.closing[index]) {
            Some(free_at) if free_at > now => Ready::At(free_at),
            _ => Ready::Now,
        }
    }

    /// Takes a unit of every window for a call that leaves at `now`. Only after [`Ready::Now`].
    pub fn reserve(&mut self, now: Instant) {
        self.in_flight += 1;
        self.sent_at = Some(now);
    }

    /// Charges a call in flight, which ended at `now`: its unit comes back a span later.
    pub fn charge(&mut self, limits: &Limits, now: Instant) {
        self.end_flight(limits, now);
        self.record(limits, now, now);
    }

    /// Charges a call in flight that will get no answer, as if answered at `latest`, the last instant at
    /// which the remote may still count it.
    pub fn charge_unanswered(&mut self, limits: &Limits, now: Instant, latest: Instant) {
        self.end_flight(limits, now);
        self.record(limits, latest.max(now), now);
    }

    /// Gives the unit of a call back of which nothing left the host.
    pub fn refund(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// Gives the unit of a call back that the host was not able to send, and lets the pair wait a
    /// moment: a host without a route would else take every step there is and fail it.
    pub fn stumble(&mut self, now: Instant) {
        self.refund();
        let times = self.stumble.map_or(0, |(_, times)| times);
        let wait = FIRST_STUMBLE.saturating_mul(2u32.saturating_pow(times)).min(LONGEST_STUMBLE);
        self.stumble = Some((now + wait, times.saturating_add(1)));
    }

    /// Charges `units` that were, or may have been, spent without a reservation here, as of `at`.
    pub fn spend(&mut self, limits: &Limits, units: u32, at: Instant, now: Instant) {
        for _ in 0..units.min(largest(limits)) {
            self.record(limits, at, now);
        }
    }

    /// Notes a refusal of a call sent at `sent_at`, and rests: as long as the remote named, else
    /// `cool_down`, five times longer at each further refusal, up to `max_cool_down`.
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
    ) {
        let rest = self.rest.get_or_insert(Rest { began_at: now, until: now, refusals: 0 });
        let news = rest.refusals == 0 || sent_at >= rest.began_at;
        if news {
            rest.began_at = now;
            rest.refusals += 1;
        }
        if let Some(named) = named {
            let named = named.min(LONGEST_NAMED);
            rest.until = rest.until.max(now + named + named / 100 + Duration::from_secs(1));
        } else if news {
            let factor = 5u32.saturating_pow(rest.refusals - 1);
            let length = limits.cool_down.saturating_mul(factor).min(limits.max_cool_down);
            rest.until = rest.until.max(now + length + length.mul_f64(0.1 * spread.clamp(0.0, 1.0)));
        }
    }

    /// Ends the rest: a call that was sent at `sent_at`, after it began, was not refused.
    pub fn recover(&mut self, sent_at: Instant) {
        if self.rest.is_some_and(|rest| sent_at >= rest.began_at) {
            self.rest = None;
        }
    }

    /// The rest in force, if the egress is cooling down or on trial.
    pub fn rest(&self) -> Option<Rest> {
        self.rest
    }

    /// Calls that have not ended.
    pub fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// Live units of the window at `index`, calls in flight included: never below what the remote may have counted.
    pub fn used(&self, limits: &Limits, index: usize, now: Instant) -> u32 {
        let span = limits.windows[index].span;
        let left = self.charges.partition_point(|charge| *charge + span <= now);
        self.in_flight.saturating_add(u32::try_from(self.charges.len() - left).unwrap_or(u32::MAX))
    }

    /// When the window at `index` has all its units back, if nothing else is sent; `now` if it has them.
    pub fn resets_at(&self, limits: &Limits, index: usize, now: Instant) -> Instant {
        self.charges.back().map_or(now, |newest| (*newest + limits.windows[index].span).max(now))
    }

    /// This ledger as ages.
    pub fn snapshot(&self, now: Instant) -> Snapshot {
        let group = u32::try_from(self.charges.len().div_ceil(GROUPS)).unwrap_or(u32::MAX);
        let mut charges: Vec<(i64, u32)> = Vec::new();
        for charge in self.charges.iter().rev() {
            let age = age_ms(*charge, now);
            match charges.last_mut() {
                // A group is as young as its youngest member.
                Some((last, count)) if *last == age || *count < group => *count += 1,
                _ => charges.push((age, 1)),
            }
        }
        let rest = self.rest.map(|rest| {
            let left = rest.until.since(now);
            (millis_up(left), rest.refusals)
        });
        Snapshot { charges, in_flight: self.in_flight, rest }
    }

    /// Takes over what another ledger of the same pair knew: afterwards this one is at least as strict as either.
    ///
    /// The k-th newest charge becomes the younger of the two k-th newest, which is the least ledger
    /// that contains both; calls in flight over there are charged as unanswered from now on. Merging
    /// the same knowledge again changes nothing but for those.
    pub fn merge(&mut self, limits: &Limits, other: &Snapshot, now: Instant) {
        let theirs = other
            .charges
            .iter()
            .flat_map(|(age, count)| std::iter::repeat_n(from_age(*age, now), *count as usize));
        let mut merged = VecDeque::with_capacity(self.charges.len());
        let mut mine = self.charges.iter().rev().copied();
        let mut theirs = theirs.take(MOST_CHARGES);
        loop {
            let (a, b) = (mine.next(), theirs.next());
            match a.max(b) {
                Some(younger) => merged.push_front(younger),
                None => break,
            }
        }
        self.charges = merged;
        for _ in 0..other.in_flight.min(largest(limits)) {
            self.record(limits, now + limits.timeout + limits.linger, now);
        }
        if let Some((left_ms, refusals)) = other.rest {
            let left = Duration::from_millis(left_ms).min(LONGEST_NAMED + LONGEST_NAMED / 50);
            let rest = self.rest.get_or_insert(Rest { began_at: now, until: now, refusals });
            rest.until = rest.until.max(now + left);
            rest.refusals = rest.refusals.max(refusals).max(1);
        }
    }

    /// Charges everything that may have been sent, unknown to us, in a `gap` that ends at `now`.
    ///
    /// No window admits more than its units per span, so the tightest one bounds the loss. What was sent
    /// last may still be counted until its time-out and linger have passed.
    pub fn spend_gap(&mut self, limits: &Limits, gap: Duration, now: Instant) {
        let spans = |span: Duration| gap.as_nanos() / span.as_nanos().max(1) + 1;
        let most = limits.windows.iter().map(|w| u128::from(w.units).saturating_mul(spans(w.span))).min();
        let latest = now + limits.timeout + limits.linger;
        self.spend(limits, most.map_or(0, |most| u32::try_from(most).unwrap_or(u32::MAX)), latest, now);
    }

    fn end_flight(&mut self, limits: &Limits, now: Instant) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.stumble = None;
        if let Some(cap) = limits.concurrency {
            self.closing.push_back(now + CLOSING);
            while self.closing.len() > cap as usize {
                self.closing.pop_front();
            }
        }
    }

    /// Adds a charge in order and drops those that have left every window.
    ///
    /// Not by number: a quota that is lowered and raised again must find what was spent before.
    fn record(&mut self, limits: &Limits, at: Instant, now: Instant) {
        let mut index = self.charges.len();
        while index > 0 && self.charges[index - 1] > at {
            index -= 1;
        }
        self.charges.insert(index, at);
        let longest = limits.windows.iter().map(|w| w.span).max().unwrap_or(Duration::ZERO);
        while self.charges.front().is_some_and(|oldest| *oldest + longest <= now) {
            self.charges.pop_front();
        }
    }
}

/// The most charges that any window looks back at.
fn largest(limits: &Limits) -> u32 {
    limits.windows.iter().map(|w| w.units).max().unwrap_or(0)
}

/// How old `at` is in whole milliseconds, rounded towards younger.
fn age_ms(at: Instant, now: Instant) -> i64 {
    if at <= now {
        i64::try_from(now.since(at).as_millis()).unwrap_or(i64::MAX)
    } else {
        i64::try_from(millis_up(at.since(now))).map_or(i64::MIN, i64::wrapping_neg)
    }
}

fn from_age(age: i64, now: Instant) -> Instant {
    let distance = Duration::from_millis(age.unsigned_abs());
    if age >= 0 { now.before(distance) } else { now + distance }
}

fn millis_up(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros().div_ceil(1_000)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
