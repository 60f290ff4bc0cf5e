//! Going through the journal of an earlier process.
//!
//! In the same boot nothing was forgotten: its times are still good, and calls that were open count as ended as late as
//! they can be counted. After another boot only the wall clock tells how long ago that was, and what was written last
//! may be missing, so as much as could be sent in [`LOST`] is charged to every pair.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use egret_core::time::Instant;
use egret_wire::agent::Spent;

use super::{Books, Flying, GateKey};
use crate::clock::Clock;
use crate::journal::{LOST, Record, Tail, VERSION, records};

/// The wall clock may have been stepped this much while nobody looked (chosen).
const CLOCK_SLACK: Duration = Duration::from_secs(5);

/// How many of its shortest spans ago a call is charged at the most (chosen: half of what a log can tell apart).
const FAR_SPANS: u32 = 250;

/// What the clocks show at the start.
pub(super) struct Today {
    pub(super) boot: String,
    pub(super) at: u64,
    pub(super) wall_ms: u64,
}

/// The books that a journal tells of, as of `now`, when the clocks show `today`.
pub(super) fn restore(bytes: &[u8], today: &Today, clock: Clock, now: Instant) -> Books {
    let mut books = Books::new(clock);
    let (records, tail) = records(bytes);
    let Some(Record::Begin { version: VERSION, boot }) = records.first() else {
        tracing::error!("the journal cannot be read: this agent remembers nothing, and asks its coordinator");
        return books;
    };
    let is_same_boot = !boot.is_empty() && *boot == today.boot;
    let is_unbroken = is_same_boot && tail == Tail::Whole;
    let is_closed = matches!(records.last(), Some(Record::Closed { .. })) && tail == Tail::Whole;
    let times = Times::new(&records, is_same_boot, today, now);
    let mut pairs = HashMap::new();
    let mut is_understood = true;
    for record in records {
        is_understood &= books.go_through(record, &times, &mut pairs);
    }
    books.land_all(now);
    if is_unbroken && is_understood {
        tracing::info!("{} ledgers are remembered", books.gates.len());
        return books;
    }
    if tail == Tail::Damaged || !is_understood {
        tracing::error!("the journal is damaged; what follows the damage counts as spent");
    }
    books.memories = BTreeMap::new();
    if !is_closed {
        for gate in books.gates.values_mut() {
            let limits = gate.limits();
            gate.ledger.spend_unknown(&limits, limits.most_in(LOST).unwrap_or(0), now);
        }
    }
    books
}

/// How times of the journal lie on today's clock.
struct Times {
    now: Instant,
    /// What the journal's clock showed then, or would have.
    shown: u64,
}

impl Times {
    fn new(records: &[Record], is_same_boot: bool, today: &Today, now: Instant) -> Self {
        if is_same_boot {
            return Self { now, shown: today.at };
        }
        let last = records.iter().filter_map(Record::at).max().unwrap_or(0);
        let mark = records.iter().rev().find_map(|record| match record {
            Record::Mark { at, wall_ms } => Some((*at, *wall_ms)),
            _ => None,
        });
        let passed_ms = mark.map_or(0, |(at, wall_ms)| {
            let last_ms = wall_ms.saturating_add(last.saturating_sub(at).div_ceil(1_000));
            let slack_ms = u64::try_from(CLOCK_SLACK.as_millis()).unwrap_or(u64::MAX);
            today.wall_ms.saturating_sub(last_ms).saturating_sub(slack_ms)
        });
        Self { now, shown: last.saturating_add(passed_ms.saturating_mul(1_000)) }
    }

    fn of(&self, at: u64) -> Instant {
        self.now.before(Duration::from_micros(self.shown.saturating_sub(at)))
    }
}

impl Books {
    /// Does again what a record speaks of; false: it makes no sense here.
    fn go_through(&mut self, record: Record, times: &Times, pairs: &mut HashMap<u32, GateKey>) -> bool {
        match record {
            Record::Begin { .. } | Record::Mark { .. } | Record::Closed { .. } => {}
            Record::Policy(policy) => self.set_policy(policy, times.now),
            Record::Pair { pair, service, egress } => {
                if self.open_gate(&service, &egress).is_none() {
                    return false;
                }
                pairs.insert(pair, (service, egress));
            }
            Record::State { pair, at, state } => {
                let Some((service, egress)) = pairs.get(&pair) else { return false };
                self.merge(service, egress, state, times.of(at));
            }
            Record::Leave { pair, attempt, at } => {
                let (Some(key), at) = (pairs.get(&pair), times.of(at)) else { return false };
                let Some(gate) = self.gates.get_mut(key) else { return false };
                let limits = gate.limits();
                gate.ledger.reserve(&limits, at);
                let flying = Flying { key: key.clone(), sent_at: at, seal: String::new() };
                self.flying.insert(attempt, flying);
            }
            Record::Back { attempt, at, how } => self.settle(attempt, how, times.of(at)),
            Record::Spent { pair, calls, at, memory } => {
                let Some((service, egress)) = pairs.get(&pair).cloned() else { return false };
                self.spent(Spent { egress, service, calls, memory }, times.of(at));
            }
            Record::Memory { egress, memory } => self.heard(egress, memory),
        }
        true
    }

    /// The process that made these calls is gone: each counts as ended when its time-out and linger were over, since
    /// that is how long the remote may count it.
    fn land_all(&mut self, now: Instant) {
        for Flying { key, sent_at, .. } in std::mem::take(&mut self.flying).into_values() {
            let Some(gate) = self.gates.get_mut(&key) else { continue };
            let limits = gate.limits();
            let shortest = limits.windows.iter().map(|window| window.span()).min().unwrap_or_default();
            // Whose end could not be written may be long over; a log tells only so many spans apart.
            let latest = (sent_at + limits.timeout + limits.linger).max(now.before(shortest * FAR_SPANS));
            gate.ledger.charge_unanswered(&limits, now.min(latest), latest);
        }
    }
}

#[cfg(test)]
mod tests;
