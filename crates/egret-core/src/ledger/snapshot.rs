//! Ledgers as ages, so that they may be kept, sent to another clock, and joined.
//!
//! A log is told by a fixed pattern: how old its newest call is, the one that is a group further back, and so
//! on; all calls of a group are taken to be as young as its first. Of two such logs the younger of each two ages
//! is the least log that contains both: joining is commutative, associative, and the same again changes nothing.

use std::time::Duration;

use super::log::{Group, MOST_CALLS, RingMut};
use super::{LONGEST_NAMED, Ledger, Rest};
use crate::quota::{GROUPS, Limits, Window};
use crate::time::Instant;

/// Groups of a log that are read at the most: many more than one has, whoever wrote it.
const MOST_TOLD: usize = 1_000;

/// A ledger as ages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// What each window holds.
    pub logs: Vec<LogSnapshot>,
    /// Calls that had not ended.
    pub in_flight: u32,
    /// How much longer the egress rests, in milliseconds, rounded up, and after how many refusals.
    pub rest: Option<(u64, u32)>,
    /// What the remote said is left, and for how much longer that holds, in milliseconds, rounded up.
    pub left: Option<(u32, u64)>,
    /// How long ago the latest call was sent, in milliseconds, where they are spaced.
    pub sent: Option<u64>,
    /// How long ago it was taken; the ages above are those of now.
    pub taken: Duration,
}

/// The calls of one window.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogSnapshot {
    /// The window's units when it was taken.
    pub units: u32,
    /// Its span then: what is older was forgotten.
    pub span: Duration,
    /// Ages in microseconds and how many calls share one, newest first; negative for calls that may still be counted
    /// later than now.
    pub groups: Vec<(i64, u32)>,
}

impl Snapshot {
    /// Nothing was charged, nothing is under way, nothing rests.
    pub fn is_empty(&self) -> bool {
        self.in_flight == 0
            && self.rest.is_none()
            && self.left.is_none()
            && self.logs.iter().all(|log| log.groups.is_empty())
    }

    /// The most calls that the windows of then let through in `span`; `None` if there were none.
    pub fn most_in(&self, span: Duration) -> Option<u32> {
        most_in(self.logs.iter().map(|log| (log.units, log.span)), span)
    }

    /// What of it may have been counted within the last `span`.
    pub fn recent(mut self, span: Duration) -> Self {
        let oldest = i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
        self.logs.iter_mut().for_each(|log| log.groups.retain(|(age, _)| *age <= oldest));
        (self.rest, self.left) = (None, None);
        self
    }

    /// How many calls that is, those in flight included, and those that share a group with one of them; what no window remembers for so long counts as the most that was
    /// allowed. `None`: there are no windows.
    pub fn calls_in(&self, span: Duration) -> Option<u32> {
        let oldest = i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
        let Some(log) = self.logs.iter().find(|log| log.span >= span) else { return self.most_in(span) };
        let recent = log.groups.iter().filter(|(age, _)| *age <= oldest).map(|(_, count)| *count);
        Some(recent.fold(self.in_flight, u32::saturating_add))
    }

    /// The same after all of it was over: what is left is which windows it had.
    pub fn over(mut self) -> Self {
        self.in_flight = 0;
        self.logs.iter_mut().for_each(|log| log.groups.clear());
        self
    }

    /// The same, taken `elapsed` ago. Rests end by the whole of it, calls age by `at_least`.
    pub fn aged(mut self, at_least: Duration, elapsed: Duration) -> Self {
        let by = i64::try_from(at_least.as_micros()).unwrap_or(i64::MAX);
        for (age, _) in self.logs.iter_mut().flat_map(|log| &mut log.groups) {
            *age = age.saturating_add(by);
        }
        self.taken += at_least;
        let passed = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        self.rest = self.rest.map(|(left, refusals)| (left.saturating_sub(passed), refusals));
        self.left = self.left.map(|(calls, reset)| (calls, reset.saturating_sub(passed)));
        self.sent =
            self.sent.map(|age| age.saturating_add(u64::try_from(at_least.as_millis()).unwrap_or(u64::MAX)));
        self
    }
}

impl Ledger {
    /// This ledger as ages.
    pub fn snapshot(&self, limits: &Limits, now: Instant) -> Snapshot {
        let log = |(index, window): (usize, &Window)| {
            let calls = self.calls(window, index, now);
            let groups = sampled(&calls, &[], window).into_iter();
            let groups = groups.map(|group| (age(group.at, now), group.count)).collect();
            LogSnapshot { units: window.units, span: window.span(), groups }
        };
        let logs = limits.windows.iter().enumerate().map(log).collect();
        let rest = self.rest().map(|rest| (millis_up(rest.until.since(now)), rest.refusals));
        let left = self.left(now).map(|(calls, until)| (calls, millis_up(until.since(now))));
        let sent_at = self.aside.as_ref().and_then(|aside| aside.sent_at);
        let sent = sent_at.map(|at| u64::try_from(now.since(at).as_millis()).unwrap_or(u64::MAX));
        Snapshot { logs, in_flight: self.in_flight(), rest, left, sent, taken: Duration::ZERO }
    }

    /// Takes over what another ledger of the same pair knew: afterwards this one is at least as strict as either.
    ///
    /// Calls in flight over there are charged as unanswered from now on; all else is joined, so that merging the
    /// same knowledge again changes nothing.
    pub fn merge(&mut self, limits: &Limits, other: &Snapshot, now: Instant) {
        self.restore(limits, other, now);
        if other.in_flight > 0 {
            let most = limits.windows.iter().map(|window| window.units).max().unwrap_or(0);
            let latest = now + limits.timeout + limits.linger;
            self.spend(limits, other.in_flight.min(most), latest, now);
        }
        if let Some((calls, reset_ms)) = other.left {
            self.limit_to(calls, Duration::from_millis(reset_ms), now);
        }
        if let Some(age_ms) = other.sent {
            let sent_at = &mut self.aside.get_or_insert_default().sent_at;
            *sent_at = (*sent_at).max(Some(now.before(Duration::from_millis(age_ms))));
        }
        if let Some((left_ms, refusals)) = other.rest {
            let left = Duration::from_millis(left_ms).min(LONGEST_NAMED + LONGEST_NAMED / 50);
            let fresh = Rest { began_at: now, until: now, refusals, is_named: false };
            let rest = self.aside.get_or_insert_default().rest.get_or_insert(fresh);
            rest.until = rest.until.max(now + left);
            rest.refusals = rest.refusals.max(refusals).max(1);
        }
    }

    /// Joins logs of the same or of other windows into this ledger's.
    pub(super) fn restore(&mut self, limits: &Limits, other: &Snapshot, now: Instant) {
        if other.logs.is_empty() {
            return;
        }
        self.touch(limits, now);
        for (index, window) in limits.windows.iter().enumerate() {
            let Some(nearest) = nearest(&other.logs, window) else { continue };
            let theirs = nearest.calls(window, limits, other.taken, now);
            if theirs.is_empty() {
                continue;
            }
            let groups = sampled(&self.calls(window, index, now), &theirs, window);
            let (ringed, logs) = self.logs.parts_mut();
            let mut ring = RingMut { rings: &mut self.rings, ringed, index };
            logs[index].refill(&mut ring, groups.into_iter().rev(), window, now);
        }
    }

    /// The live calls of a window, newest first.
    fn calls(&self, window: &Window, index: usize, now: Instant) -> Vec<Group> {
        let Some(log) = self.log(window, index, now) else { return Vec::new() };
        let mut groups: Vec<Group> =
            log.groups(now).skip_while(|group| group.at + window.span() <= now).collect();
        groups.reverse();
        groups
    }
}

impl LogSnapshot {
    /// These calls as far as they concern `window`, newest first. If the log did not reach back as far as the window
    /// does, all of the window counts as spent at the end of what it knew.
    fn calls(&self, window: &Window, limits: &Limits, taken: Duration, now: Instant) -> Vec<Group> {
        let latest = now + limits.timeout + limits.linger;
        let at = |age: i64| {
            let distance = Duration::from_micros(age.unsigned_abs());
            if age >= 0 { now.before(distance) } else { (now + distance).min(latest) }
        };
        let mut calls: Vec<Group> = self
            .groups
            .iter()
            .take(MOST_TOLD)
            .map(|(age, count)| Group { at: at(*age), count: *count })
            .collect();
        // Whoever kept them is not trusted to have kept the order.
        calls.sort_by_key(|group| std::cmp::Reverse(group.at));
        if self.span < window.span() {
            let end = calls.last().map_or(now, |oldest| oldest.at).min(now.before(taken + self.span));
            // Which quotas held before is not known either.
            calls.push(Group { at: end, count: window.units });
        }
        calls.retain(|group| group.at + window.span() > now && group.count > 0);
        calls
    }
}

/// The most calls that windows of these units and spans let through together in `span`.
pub(super) fn most_in(windows: impl Iterator<Item = (u32, Duration)>, span: Duration) -> Option<u32> {
    let most = |(units, per): (u32, Duration)| {
        u128::from(units).saturating_mul(span.as_nanos() / per.as_nanos().max(1) + 1)
    };
    windows.map(most).min().map(|most| u32::try_from(most).unwrap_or(u32::MAX))
}

/// The log that says most about a window: of the same span, else the shortest that reaches as far back, else the longest.
fn nearest<'a>(logs: &'a [LogSnapshot], window: &Window) -> Option<&'a LogSnapshot> {
    let same = logs.iter().find(|log| log.span == window.span() && log.units == window.units);
    let reaching = || logs.iter().filter(|log| log.span >= window.span()).min_by_key(|log| log.span);
    same.or_else(reaching).or_else(|| logs.iter().max_by_key(|log| log.span))
}

/// The least log in the fixed pattern of `window` that contains both lists, newest first.
fn sampled(ours: &[Group], theirs: &[Group], window: &Window) -> Vec<Group> {
    let sum = |calls: &[Group]| calls.iter().fold(0u32, |sum, group| sum.saturating_add(group.count));
    let total = sum(ours).max(sum(theirs)).min(MOST_CALLS);
    let mut size = u32::from(window.group);
    // More than the quota: twice as coarse, so that the places of the finer pattern stay among its own.
    while total.div_ceil(size) > GROUPS {
        size *= 2;
    }
    let (mut ours, mut theirs) = (Reader::new(ours), Reader::new(theirs));
    let mut groups = Vec::new();
    let mut place = 0;
    while place < total {
        let Some(at) = ours.nth(place).max(theirs.nth(place)) else { break };
        groups.push(Group { at, count: size.min(total - place) });
        place += size;
    }
    groups
}

/// Tells when the n-th newest call was charged, for rising n.
struct Reader<'a> {
    groups: std::slice::Iter<'a, Group>,
    current: Option<&'a Group>,
    /// Calls up to and with the current group.
    seen: u32,
}

impl<'a> Reader<'a> {
    fn new(groups: &'a [Group]) -> Self {
        let mut groups = groups.iter();
        let current = groups.next();
        Self { groups, current, seen: current.map_or(0, |group| group.count) }
    }

    fn nth(&mut self, place: u32) -> Option<Instant> {
        while self.current.is_some() && self.seen <= place {
            self.current = self.groups.next();
            self.seen = self.seen.saturating_add(self.current.map_or(0, |group| group.count));
        }
        self.current.map(|group| group.at)
    }
}

/// How old `at` is, in microseconds.
fn age(at: Instant, now: Instant) -> i64 {
    let distance = i64::try_from(now.as_micros().abs_diff(at.as_micros())).unwrap_or(i64::MAX);
    if at <= now { distance } else { -distance }
}

fn millis_up(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros().div_ceil(1_000)).unwrap_or(u64::MAX)
}
