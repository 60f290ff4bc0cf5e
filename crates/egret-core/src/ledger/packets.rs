//! A ledger that counts in packets of calls, for forecasts of more calls than can be played one by one.
//!
//! A window of N units in W lets N calls through in every W and the time of an answer. In packets of q that is N / q
//! packets; what the division leaves over makes the window shorter, so that the rate stays. A window smaller than a
//! packet lets one through at a time, and none before all of its calls could have left.

use std::time::Duration;

use super::log::{Group, RingMut};
use super::{Aside, CLOSING, Ledger};
use crate::quota::{Limits, Window};
use crate::time::Instant;

impl Limits {
    /// The same in packets of `of` calls, whose answers take `takes`.
    pub(crate) fn in_packets(&self, of: u32, takes: Duration) -> Self {
        let late = self.timeout + self.linger;
        let window = |window: &Window| {
            let units = packets(window, of);
            let cycle = part(window.span() + takes, u64::from(units) * u64::from(of), window.units);
            Window::new(units, cycle.saturating_sub(takes), late)
        };
        // Concurrency is kept as the distance that it puts between sends.
        let busy = match self.concurrency {
            Some(cap) if cap > 0 => part(takes + CLOSING, of.into(), cap),
            _ => Duration::ZERO,
        };
        Self {
            windows: self.windows.iter().map(window).collect(),
            spacing: self.spacing.saturating_mul(of).max(busy),
            concurrency: self.concurrency.filter(|cap| *cap == 0),
            ..self.clone()
        }
    }
}

impl Ledger {
    /// This ledger in packets of `of` calls, for `coarse`, which are its `limits` in such packets. Calls in flight are
    /// taken to be answered when `takes` has passed.
    pub(crate) fn in_packets(
        &self,
        limits: &Limits,
        coarse: &Limits,
        of: u32,
        takes: Duration,
        now: Instant,
    ) -> Self {
        let mut packets = Self::default();
        packets.touch(coarse, now);
        for (index, (window, wide)) in limits.windows.iter().zip(&coarse.windows).enumerate() {
            let groups = self.live_groups(window, index, takes, now);
            let groups = if window.units < of {
                vec![nearly_free(&groups, window, wide, of, takes, now)]
            } else {
                counted_in(of, groups)
            };
            let (ringed, logs) = packets.logs.parts_mut();
            let mut ring = RingMut { rings: &mut packets.rings, ringed, index };
            logs[index].refill(&mut ring, groups.into_iter(), wide, now);
        }
        let aside = self.aside.as_ref();
        let sent_at = aside.and_then(|aside| aside.sent_at);
        packets.aside = Some(Box::new(Aside {
            sent_at: (!coarse.spacing.is_zero()).then(|| {
                let free_at = sent_at.map_or(now, |at| now.max(at + limits.spacing));
                free_at.before(coarse.spacing / of)
            }),
            rest: aside.and_then(|aside| aside.rest),
            stumble: aside.and_then(|aside| aside.stumble),
            left: aside.and_then(|aside| aside.left).map(|(left, until)| (left / of, until)),
            ..Aside::default()
        }));
        packets
    }

    /// What is live in a window, calls in flight included, the oldest first.
    fn live_groups(&self, window: &Window, index: usize, takes: Duration, now: Instant) -> Vec<Group> {
        let groups = self.log(window, index, now).into_iter().flat_map(|log| log.groups(now));
        let flying = Group { at: now + takes, count: self.in_flight() };
        let mut live: Vec<Group> =
            groups.chain([flying]).filter(|group| group.at.later(window.span_us) > now).collect();
        live.sort_by_key(|group| group.at);
        live
    }
}

/// Packets that a window holds at a time.
fn packets(window: &Window, of: u32) -> u32 {
    if window.units == 0 { 0 } else { (window.units / of).max(1) }
}

/// A packet that is free again when all calls of a first one could have left a window that is smaller than it.
fn nearly_free(
    live: &[Group],
    window: &Window,
    wide: &Window,
    of: u32,
    takes: Duration,
    now: Instant,
) -> Group {
    let spent = live.iter().map(|group| group.count).sum::<u32>().min(window.units);
    let missing = u64::from(of - window.units) + u64::from(spent);
    let free_at = now + part(window.span() + takes, missing, window.units);
    Group { at: free_at.before(wide.span()), count: 1 }
}

/// Groups of calls as groups of packets; what is left over of one counts with the next.
fn counted_in(of: u32, groups: Vec<Group>) -> Vec<Group> {
    let mut over = 0;
    let mut packets = Vec::new();
    for group in groups {
        let calls = group.count.saturating_add(over);
        over = calls % of;
        packets.push(Group { count: calls / of, ..group });
    }
    packets.retain(|group| group.count > 0);
    packets
}

/// `length · times / units`.
fn part(length: Duration, times: u64, units: u32) -> Duration {
    let micros = length.as_micros().saturating_mul(u128::from(times)) / u128::from(units.max(1));
    Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
}
