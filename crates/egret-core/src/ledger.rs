//! What was spent at one service by one egress, or by the egresses of one network, and when more may be.
//!
//! A unit is taken when a call is granted and comes back one span after its **answer**. Let call `j`
//! be sent while at most N-1 earlier calls are live (in flight, or answered less than W ago). Of any N
//! earlier ones some `i` was answered W before `j` was sent; the remote counted `i` before answering
//! it and `j` after it was sent, so their counts lie W apart: no window of length W ever holds N+1,
//! whatever the network delays, reorders or loses, on one clock.
//!
//! Each window of the service has a log of its own. [`Ledger::ready`] looks at all of them and takes nothing;
//! only when every ledger that a call concerns has said yes is it reserved in each.
//!
//! Nothing here reads a clock or knows who sends; `scheduler` holds the coordinator's ledgers, each
//! agent its own. [`Snapshot`]s carry ages, never instants, so they may cross clocks.

mod log;
mod packets;
mod rest;
mod snapshot;

use std::collections::VecDeque;
use std::time::Duration;

use log::{Kept, Log, RingMut, Ringed, Rings};
pub use rest::{LONGEST_NAMED, Rest};
pub use snapshot::{LogSnapshot, Snapshot};

use crate::quota::{Limits, Window};
use crate::time::Instant;

/// A closed connection may still count as open at the remote for this long (chosen: one slow round trip).
const CLOSING: Duration = Duration::from_millis(50);
/// A host that could not send tries again after this long, doubled each time.
const FIRST_STUMBLE: Duration = Duration::from_secs(1);
const LONGEST_STUMBLE: Duration = Duration::from_secs(60);
const SECOND: u64 = 1_000_000;

/// The spending of one egress, or of several that share a quota, at one service.
///
/// With up to three windows, most decisions are about these bytes and no others: waiting for memory is what they cost.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// Calls that have not ended.
    in_flight: u32,
    /// When the logs were last changed, in seconds rounded up: after a horizon without a change all of it is over.
    changed_secs: u32,
    /// One for each window, in their order.
    logs: Logs,
    rings: Rings,
    /// What few ledgers have at any time.
    aside: Option<Box<Aside>>,
}

/// As many as most services have quotas.
const FEW: usize = 3;

/// The logs, and which of them have a ring.
#[derive(Clone, Debug)]
enum Logs {
    Few(Ringed, [Log; FEW]),
    Many(Ringed, Box<[Log]>),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Aside {
    /// The latest send, for services that want them spaced.
    sent_at: Option<Instant>,
    /// When concurrency slots of ended calls are free for certain, oldest first.
    closing: VecDeque<Instant>,
    /// The rest after refusals; `None` once a call has succeeded again.
    rest: Option<Rest>,
    /// Until when the host does not try after it could not send, and how often in a row it could not.
    stumble: Option<(Instant, u32)>,
    /// What the remote said is left: so many calls until then.
    left: Option<(u32, Instant)>,
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

impl Ready {
    /// The later of two; both have to hold.
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::OnCompletion, _) | (_, Self::OnCompletion) => Self::OnCompletion,
            (Self::At(a), Self::At(b)) => Self::At(a.max(b)),
            (Self::At(at), Self::Now) | (Self::Now, Self::At(at)) => Self::At(at),
            (Self::Now, Self::Now) => Self::Now,
        }
    }
}

impl Ledger {
    /// Whether every rule of `limits` lets one more call leave at `now`.
    pub fn ready(&self, limits: &Limits, now: Instant) -> Ready {
        self.ready_ahead(limits, Duration::ZERO, now)
    }

    /// Whether a call may be handed at `now` to somebody who keeps the same ledger and gets it `lead` later.
    ///
    /// Only what that somebody counts as well comes earlier by the lead: windows, spacing and concurrency, not rests.
    pub fn ready_ahead(&self, limits: &Limits, lead: Duration, now: Instant) -> Ready {
        if limits.are_none() && self.aside.is_none() {
            return Ready::Now;
        }
        let soon = now + lead;
        // Asking at the instant named must find it free: rounding of the lead must not come between.
        let free_at = self.free_at(limits, soon).map(|at| if at <= soon { now } else { at.before(lead) });
        match (free_at, self.rested_at(now)) {
            (Some(free_at), Some(rested_at)) if free_at.max(rested_at) <= now => Ready::Now,
            (Some(free_at), Some(rested_at)) => Ready::At(free_at.max(rested_at)),
            _ => Ready::OnCompletion,
        }
    }

    /// Takes a unit of every window for a call that leaves at `now`. Only after [`Ready::Now`].
    pub fn reserve(&mut self, limits: &Limits, now: Instant) {
        self.in_flight += 1;
        if !limits.spacing.is_zero() {
            let sent_at = &mut self.aside.get_or_insert_default().sent_at;
            // A grant ahead of its time leaves a spacing after the one before it, not now.
            *sent_at = Some(sent_at.map_or(now, |last| now.max(last + limits.spacing)));
        }
        self.count_left();
    }

    /// Charges a call in flight, which ended at `now`: its unit comes back a span later.
    pub fn charge(&mut self, limits: &Limits, now: Instant) {
        self.end_flight(limits, now);
        self.spend(limits, 1, now, now);
    }

    /// Charges a call in flight that will get no answer, as if answered at `latest`, the last instant at
    /// which the remote may still count it.
    pub fn charge_unanswered(&mut self, limits: &Limits, now: Instant, latest: Instant) {
        self.end_flight(limits, now);
        self.spend(limits, 1, latest.max(now), now);
    }

    /// Gives the unit of a call back of which nothing left the host.
    pub fn refund(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if let Some((left, _)) = self.aside.as_mut().and_then(|aside| aside.left.as_mut()) {
            *left = left.saturating_add(1);
        }
    }

    /// Lets the pair wait until then, or until a call has ended: whoever makes its calls knows of more than is known here.
    pub fn wait_until(&mut self, until: Instant) {
        let stumble = &mut self.aside.get_or_insert_default().stumble;
        let (former, times) = stumble.unwrap_or((until, 0));
        *stumble = Some((former.max(until), times));
    }

    /// Lets the pair wait a moment after the host was not able to send: one without a route would else take every
    /// step there is and fail it.
    pub fn stumble(&mut self, now: Instant) {
        let stumble = &mut self.aside.get_or_insert_default().stumble;
        let times = stumble.map_or(0, |(_, times)| times);
        let wait = FIRST_STUMBLE.saturating_mul(2u32.saturating_pow(times)).min(LONGEST_STUMBLE);
        *stumble = Some((now + wait, times.saturating_add(1)));
    }

    /// Charges `units` that were, or may have been, spent without a reservation here, as of `at`.
    pub fn spend(&mut self, limits: &Limits, units: u32, at: Instant, now: Instant) {
        if limits.windows.is_empty() {
            return;
        }
        // Later than anything may be counted is only later than it need be.
        let at = if at > now { at.min(now + limits.timeout + limits.linger) } else { at };
        self.touch(limits, now);
        let (ringed, logs) = self.logs.parts_mut();
        for (index, (log, window)) in logs.iter_mut().zip(&limits.windows).enumerate() {
            let mut ring = RingMut { rings: &mut self.rings, ringed, index };
            log.charge(&mut ring, at, units.min(log::MOST_CALLS), window, now);
        }
    }

    /// Charges calls that may have been made, unknown to us, until now. What was sent last may still be counted until its
    /// time-out and linger have passed.
    pub fn spend_unknown(&mut self, limits: &Limits, calls: u32, now: Instant) {
        // Beyond the largest quota there is nothing more to forbid.
        let calls = calls.min(limits.windows.iter().map(|w| w.units).max().unwrap_or(0));
        self.spend(limits, calls, now + limits.timeout + limits.linger, now);
    }

    /// Calls that have not ended.
    pub fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// Live calls of the window at `index`, those in flight included: never below what the remote may have counted.
    pub fn used(&self, limits: &Limits, index: usize, now: Instant) -> u32 {
        let window = &limits.windows[index];
        let live = self.log(window, index, now).map_or(0, |log| log.live(now));
        live.saturating_add(self.in_flight())
    }

    /// When the window at `index` has all its units back, if nothing else is sent; `now` if it has them.
    pub fn resets_at(&self, limits: &Limits, index: usize, now: Instant) -> Instant {
        let window = &limits.windows[index];
        self.log(window, index, now).map_or(now, |log| log.clear_at(now))
    }

    /// The windows are others now: what was charged counts in the new ones.
    pub fn retune(&mut self, old: &Limits, new: &Limits, now: Instant) {
        if old.windows == new.windows {
            return;
        }
        let kept = self.snapshot(old, now);
        *self = Self { in_flight: self.in_flight, aside: self.aside.take(), ..Self::default() };
        self.restore(new, &kept, now);
    }

    /// Frees what it holds if it says no more than a ledger that was never used; true if it does not.
    pub fn shed(&mut self, limits: &Limits, now: Instant) -> bool {
        let is_over = self.is_over(limits, now);
        if is_over {
            *self = Self::default();
        }
        is_over
    }

    #[cfg(test)]
    pub(crate) fn is_shed(&self) -> bool {
        let is_empty = self.logs.all().iter().all(|log| log.is_empty());
        self.in_flight == 0 && is_empty && self.rings.len() == 0 && self.aside.is_none()
    }

    /// Reads the lines of memory that a look at it needs; what it returns says nothing.
    pub(crate) fn reach(&self) -> u32 {
        self.in_flight ^ self.logs.all().last().map_or(0, |log| log.total())
    }

    /// The same for a charge, when those have come.
    pub(crate) fn reach_further(&self, limits: &Limits) -> u32 {
        let logs = self.logs.all().iter().zip(&limits.windows).enumerate();
        logs.fold(0, |seen, (index, (log, window))| {
            seen ^ log.reach(&self.rings, self.logs.ringed(), index, window)
        })
    }

    /// When windows, spacing and concurrency let one more call leave; `None`: not before one in flight has ended.
    fn free_at(&self, limits: &Limits, now: Instant) -> Option<Instant> {
        let sent_at = self.aside.as_ref().and_then(|aside| aside.sent_at);
        let mut at = sent_at.map_or(now, |sent_at| sent_at + limits.spacing);
        let logs = self.logs.all();
        for (index, window) in limits.windows.iter().enumerate() {
            let room = window.units.checked_sub(self.in_flight)?.checked_sub(1)?;
            let total = logs.get(index).map_or(0, |log| log.total());
            if total > room
                && let Some(log) = self.log(window, index, now)
            {
                at = at.max(log.down_to(room, now)?);
            }
        }
        match limits.concurrency {
            Some(cap) => Some(at.max(self.slot_free_at(cap, now)?)),
            None => Some(at),
        }
    }

    fn slot_free_at(&self, cap: u32, now: Instant) -> Option<Instant> {
        let spare = cap.checked_sub(self.in_flight).filter(|spare| *spare > 0)? as usize;
        let closing = self.aside.as_ref().map(|aside| &aside.closing);
        let in_the_way = closing.and_then(|closing| Some(closing[closing.len().checked_sub(spare)?]));
        Some(in_the_way.unwrap_or(now))
    }

    /// The log of a window, unless nothing in it can be live.
    fn log<'a>(&'a self, window: &'a Window, index: usize, now: Instant) -> Option<Kept<'a>> {
        let changed = Instant::from_micros(u64::from(self.changed_secs) * SECOND);
        let log = self.logs.all().get(index).filter(|_| now < changed.later(window.horizon_us));
        log.map(|log| Kept::new(log, &self.rings, self.logs.ringed(), index, window))
    }

    /// Before the logs are changed: forgets what is too old to be compared with `now`.
    fn touch(&mut self, limits: &Limits, now: Instant) {
        self.logs.make_room(limits.windows.len());
        let changed = Instant::from_micros(u64::from(self.changed_secs) * SECOND);
        for (log, window) in self.logs.parts_mut().1.iter_mut().zip(&limits.windows) {
            if now >= changed.later(window.horizon_us) {
                *log = Log::EMPTY;
            }
        }
        let changed_secs = u32::try_from(now.as_micros() / SECOND + 1).unwrap_or(u32::MAX);
        self.changed_secs = self.changed_secs.max(changed_secs);
    }

    fn end_flight(&mut self, limits: &Limits, now: Instant) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if let Some(aside) = &mut self.aside {
            aside.stumble = None;
        }
        if let Some(cap) = limits.concurrency {
            let closing = &mut self.aside.get_or_insert_default().closing;
            closing.push_back(now + CLOSING);
            while closing.len() > cap as usize {
                closing.pop_front();
            }
        }
    }

    fn is_over(&self, limits: &Limits, now: Instant) -> bool {
        let over = |(index, window): (usize, &Window)| {
            self.log(window, index, now).is_none_or(|log| log.is_over(now))
        };
        let has_nothing_aside = self.aside.as_ref().is_none_or(|aside| aside.is_over(limits, now));
        self.in_flight == 0 && has_nothing_aside && limits.windows.iter().enumerate().all(over)
    }
}

impl Logs {
    fn all(&self) -> &[Log] {
        match self {
            Self::Few(_, logs) => logs,
            Self::Many(_, logs) => logs,
        }
    }

    fn ringed(&self) -> Ringed {
        let (Self::Few(ringed, _) | Self::Many(ringed, _)) = self;
        *ringed
    }

    fn parts_mut(&mut self) -> (&mut Ringed, &mut [Log]) {
        match self {
            Self::Few(ringed, logs) => (ringed, logs),
            Self::Many(ringed, logs) => (ringed, logs),
        }
    }

    fn make_room(&mut self, windows: usize) {
        if windows > self.all().len() {
            let mut logs = self.all().to_vec();
            logs.resize(windows, Log::EMPTY);
            *self = Self::Many(self.ringed(), logs.into());
        }
    }
}

impl Default for Logs {
    fn default() -> Self {
        Self::Few(0, [Log::EMPTY; FEW])
    }
}

impl Aside {
    fn is_over(&self, limits: &Limits, now: Instant) -> bool {
        let passed = |until: Instant| until <= now;
        self.closing.iter().all(|at| passed(*at))
            && self.sent_at.is_none_or(|sent_at| passed(sent_at + limits.spacing))
            && self.rest.is_none()
            // How often the host could not send makes the next wait longer, until a call of it ends.
            && self.stumble.is_none_or(|(until, times)| times == 0 && passed(until))
            && self.left.is_none_or(|(_, until)| passed(until))
    }
}

impl Limits {
    /// The most calls that these windows let through in `span`; `None` if there are none.
    pub fn most_in(&self, span: Duration) -> Option<u32> {
        snapshot::most_in(self.windows.iter().map(|window| (window.units, window.span())), span)
    }
}

#[cfg(test)]
mod tests;
