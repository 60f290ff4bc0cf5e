//! Ledgers over restarts: what the store kept, and what nobody can know any more.
//!
//! An agent whose process outlived the coordinator has counted everything itself: its ledger is
//! complete, and only rests come from the checkpoint. If another process owned the egress, the
//! checkpoint holds, and whatever may have been sent since it was taken counts as spent.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use egret_core::ledger::{LogSnapshot, Snapshot};
use egret_core::scope::{Scope, ScopeKey};
use egret_store::{EgressRow, LedgerRow};
use egret_wire::agent::{LedgerState, LogState};

use super::LEASE;

/// The wall clock may have been stepped this much while nobody looked (chosen).
const CLOCK_SLACK_MS: u64 = 5_000;

/// What the stamp of an orderly stop says.
const CLEAN: &[u8] = b"clean";

/// What the store kept of earlier starts.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// Egress → service → checkpoint.
    ledgers: HashMap<String, HashMap<String, (u64, LedgerState)>>,
    /// Ledgers that cannot be read, by egress and service.
    unreadable: HashSet<(String, String)>,
    /// In one order in every run: they are numbered as they come.
    owners: BTreeMap<String, EgressRow>,
    /// Egress → when its last checkpoint was taken, in milliseconds since 1970, and whether that was at an
    /// orderly stop, with nothing under way.
    stamps: HashMap<String, (u64, bool)>,
}

impl Memory {
    pub(crate) fn new(ledgers: Vec<LedgerRow>, egresses: Vec<EgressRow>) -> Self {
        let mut memory = Self::default();
        for row in ledgers {
            if row.service.is_empty() {
                memory.stamps.insert(row.egress, (row.taken_ms, row.state == CLEAN));
                continue;
            }
            match serde_json::from_slice(&row.state) {
                Ok(state) => {
                    memory.ledgers.entry(row.egress).or_default().insert(row.service, (row.taken_ms, state));
                }
                Err(error) => {
                    tracing::error!(
                        "the ledger of {} for {} cannot be read, all of it counts as spent: {error}",
                        row.egress,
                        row.service
                    );
                    memory.unreadable.insert((row.egress, row.service));
                }
            }
        }
        memory.owners = egresses.into_iter().map(|row| (row.address.clone(), row)).collect();
        memory
    }

    /// Who owned this egress in an earlier start, if it was ever seen.
    pub(crate) fn owner(&self, egress: &str) -> Option<&EgressRow> {
        self.owners.get(egress)
    }

    /// The checkpoint of a pair, aged to now.
    pub(crate) fn checkpoint(&self, egress: &str, service: &str, now_ms: u64) -> Option<Snapshot> {
        let (taken_ms, state) = self.ledgers.get(egress)?.get(service)?;
        let elapsed_ms = now_ms.saturating_sub(*taken_ms);
        let at_least = Duration::from_millis(elapsed_ms.saturating_sub(CLOCK_SLACK_MS));
        Some(from_state(state.clone()).aged(at_least, Duration::from_millis(elapsed_ms)))
    }

    /// Whether an earlier start kept this ledger, readable or not.
    pub(crate) fn has(&self, egress: &str, service: &str) -> bool {
        self.ledgers.get(egress).is_some_and(|ledgers| ledgers.contains_key(service))
            || self.unreadable.contains(&(egress.to_owned(), service.to_owned()))
    }

    /// Every egress that was ever seen.
    pub(crate) fn egresses(&self) -> impl Iterator<Item = &str> {
        self.owners.keys().map(String::as_str)
    }

    /// How much time of a ledger nobody remembers, if the agent of its egress did not live through it.
    ///
    /// Nothing was granted later than a lease after the last checkpoint, however long ago that is.
    pub(crate) fn gap(&self, egress: &str, service: &str, now_ms: u64) -> Duration {
        if self.unreadable.contains(&(egress.to_owned(), service.to_owned())) {
            return Duration::MAX;
        }
        match self.stamps.get(egress) {
            Some((stamp_ms, true)) if *stamp_ms <= now_ms => Duration::ZERO,
            Some((stamp_ms, false)) if *stamp_ms <= now_ms => {
                Duration::from_millis(now_ms - stamp_ms).min(LEASE) + Duration::from_millis(CLOCK_SLACK_MS)
            }
            // Never stamped, or the clock went back: nothing is known.
            _ => Duration::MAX,
        }
    }
}

/// The row that says when the ledgers of an egress were last written down; it names no service.
pub(crate) fn stamp(egress: &str, taken_ms: u64, is_clean: bool) -> LedgerRow {
    let state = if is_clean { CLEAN.to_vec() } else { Vec::new() };
    LedgerRow { egress: egress.to_owned(), service: String::new(), taken_ms, state }
}

/// What the ledger that egresses of a scope share is kept as, in the place of an egress.
pub(crate) fn shared_name(scope: &Scope, key: &ScopeKey) -> String {
    match scope {
        Scope::Subnet { ipv4_prefix, ipv6_prefix } => format!("subnet/{ipv4_prefix}/{ipv6_prefix} {key}"),
        Scope::Ip | Scope::Fleet | Scope::Tag(_) => key.to_string(),
    }
}

/// A snapshot as it is kept and sent.
pub(crate) fn to_state(snapshot: Snapshot) -> LedgerState {
    let Snapshot { logs, in_flight, rest, left, sent, .. } = snapshot;
    let log = |LogSnapshot { units, span, groups }| LogState {
        units,
        span_us: u64::try_from(span.as_micros()).unwrap_or(u64::MAX),
        groups,
    };
    LedgerState { logs: logs.into_iter().map(log).collect(), in_flight, rest, left, sent }
}

fn from_state(state: LedgerState) -> Snapshot {
    let LedgerState { logs, in_flight, rest, left, sent } = state;
    let log = |LogState { units, span_us, groups }| LogSnapshot {
        units,
        span: Duration::from_micros(span_us),
        groups,
    };
    let logs = logs.into_iter().map(log).collect();
    Snapshot { logs, in_flight, rest, left, sent, taken: Duration::ZERO }
}

/// What an agent knows of a pair. Its calls in flight are adopted by name.
pub(crate) fn from_agent(state: LedgerState) -> Snapshot {
    Snapshot { in_flight: 0, rest: None, left: None, ..from_state(state) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(egress: &str, taken_ms: u64, state: &LedgerState) -> LedgerRow {
        let state = serde_json::to_vec(state).unwrap();
        LedgerRow { egress: egress.to_owned(), service: "s".to_owned(), taken_ms, state }
    }

    #[test]
    fn checkpoints_age_by_the_wall_clock_less_its_slack() {
        let log = LogState { units: 5, span_us: 60_000_000, groups: vec![(100_000, 2)] };
        let state =
            LedgerState { logs: vec![log], in_flight: 1, rest: Some((30_000, 2)), left: None, sent: None };
        let memory = Memory::new(vec![row("e", 1_000_000, &state), stamp("e", 1_001_000, false)], Vec::new());
        let aged = memory.checkpoint("e", "s", 1_010_000).unwrap();
        let (groups, taken) = (&aged.logs[0].groups, aged.taken);
        assert_eq!((&groups[..], aged.in_flight, aged.rest), (&[(5_100_000, 2)][..], 1, Some((20_000, 2))));
        assert_eq!(taken, Duration::from_secs(5), "not older than is certain");
        assert_eq!(memory.gap("e", "s", 1_010_000), Duration::from_millis(14_000));
        assert_eq!(
            memory.gap("e", "s", 9_000_000),
            Duration::from_secs(15),
            "nothing is granted without checkpoints"
        );
        assert_eq!(memory.gap("other", "s", 9_000_000), Duration::MAX, "never written down");
        let clean = Memory::new(vec![stamp("e", 1_000, true)], Vec::new());
        assert_eq!(clean.gap("e", "s", 9_000_000), Duration::ZERO);
        let back = memory.checkpoint("e", "s", 900_000).unwrap();
        assert_eq!(back.logs[0].groups, [(100_000, 2)], "a clock that went back makes nothing older");
        assert_eq!(memory.gap("e", "s", 900_000), Duration::MAX);
    }

    #[test]
    fn a_ledger_that_cannot_be_read_counts_as_spent() {
        let mut old = row("e", 1_000_000, &LedgerState::default());
        old.state = br#"{"charges":[[100,2]]}"#.to_vec();
        let memory = Memory::new(vec![old, stamp("e", 1_001_000, true)], Vec::new());
        assert_eq!(
            (memory.checkpoint("e", "s", 1_010_000), memory.gap("e", "s", 1_010_000)),
            (None, Duration::MAX)
        );
    }
}
