//! Ledgers over restarts: what the store kept, and what nobody can know any more.
//!
//! An agent whose process outlived the coordinator has counted everything itself: its ledger is
//! complete, and only rests come from the checkpoint. If another process owned the egress, the
//! checkpoint holds, and whatever may have been sent since it was taken counts as spent.

use std::collections::HashMap;
use std::time::Duration;

use egret_core::ledger::Snapshot;
use egret_store::{EgressRow, LedgerRow};
use egret_wire::agent::LedgerState;

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
    owners: HashMap<String, EgressRow>,
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
                Err(error) => tracing::error!(
                    "the ledger of {} for {} cannot be read: {error}",
                    row.egress,
                    row.service
                ),
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
        let elapsed = now_ms.saturating_sub(*taken_ms);
        let aged = i64::try_from(elapsed.saturating_sub(CLOCK_SLACK_MS)).unwrap_or(i64::MAX);
        Some(Snapshot {
            charges: state.charges.iter().map(|(age, units)| (age.saturating_add(aged), *units)).collect(),
            in_flight: state.in_flight,
            rest: state.rest.map(|(left, refusals)| (left.saturating_sub(elapsed), refusals)),
        })
    }

    /// How much time of an egress nobody remembers, if its agent did not live through it.
    ///
    /// Nothing was granted later than a lease after the last checkpoint, however long ago that is.
    pub(crate) fn gap(&self, egress: &str, now_ms: u64) -> Duration {
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

/// A snapshot as it is kept and sent.
pub(crate) fn to_state(snapshot: Snapshot) -> LedgerState {
    let Snapshot { charges, in_flight, rest } = snapshot;
    LedgerState { charges, in_flight, rest }
}

/// What an agent knows of a pair. Its calls in flight are adopted by name.
pub(crate) fn from_agent(state: LedgerState) -> Snapshot {
    Snapshot { charges: state.charges, in_flight: 0, rest: None }
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
        let state = LedgerState { charges: vec![(100, 2)], in_flight: 1, rest: Some((30_000, 2)) };
        let memory = Memory::new(vec![row("e", 1_000_000, &state), stamp("e", 1_001_000, false)], Vec::new());
        let aged = memory.checkpoint("e", "s", 1_010_000).unwrap();
        assert_eq!((aged.charges, aged.in_flight, aged.rest), (vec![(5_100, 2)], 1, Some((20_000, 2))));
        assert_eq!(memory.gap("e", 1_010_000), Duration::from_millis(14_000));
        assert_eq!(
            memory.gap("e", 9_000_000),
            Duration::from_secs(15),
            "nothing is granted without checkpoints"
        );
        assert_eq!(memory.gap("other", 9_000_000), Duration::MAX, "never written down");
        let clean = Memory::new(vec![stamp("e", 1_000, true)], Vec::new());
        assert_eq!(clean.gap("e", 9_000_000), Duration::ZERO);
        let back = memory.checkpoint("e", "s", 900_000).unwrap();
        assert_eq!(back.charges, [(100, 2)], "a clock that went back makes nothing older");
        assert_eq!(memory.gap("e", 900_000), Duration::MAX);
    }
}
