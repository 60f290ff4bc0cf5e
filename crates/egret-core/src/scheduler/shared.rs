//! What egresses share at one service: the budget of a network, a tag or the fleet, and its rests.
//!
//! Seats that could send but for it are held here, in the order they came, and the whole of it waits for one
//! instant. When that has come they are let out one at a time, for as long as there is something to spend:
//! 256 addresses do not wake up for one unit.

use std::collections::BTreeMap;
use std::time::Duration;

use super::lane::Place;
use crate::id::EgressId;
use crate::ledger::Ledger;
use crate::quota::Limits;
use crate::scope::ScopeKey;
use crate::time::Instant;

/// Two addresses refused within so long make their network rest.
const TOGETHER: Duration = Duration::from_secs(60);

/// Its index in its lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SharedId(pub(super) u32);

#[derive(Debug)]
pub(super) struct Shared {
    /// Which of the service's wide rules it keeps.
    pub(super) rule: usize,
    pub(super) key: ScopeKey,
    pub(super) ledger: Ledger,
    /// `Ready`: in the lane's ring of those that may let seats out. `Out`: holds none.
    pub(super) place: Place,
    held: BTreeMap<u64, EgressId>,
    arrived: u64,
    refused: Option<(EgressId, Instant)>,
}

impl Shared {
    pub(super) fn new(rule: usize, key: ScopeKey) -> Self {
        let (ledger, held) = (Ledger::default(), BTreeMap::new());
        Self { rule, key, ledger, place: Place::Out, held, arrived: 0, refused: None }
    }

    /// Holds a seat; what is returned lets it go again.
    pub(super) fn hold(&mut self, egress: EgressId) -> u64 {
        self.arrived += 1;
        self.held.insert(self.arrived, egress);
        self.arrived
    }

    pub(super) fn let_go(&mut self, ticket: u64) {
        self.held.remove(&ticket);
    }

    /// The seat that has been held the longest.
    pub(super) fn let_out(&mut self) -> Option<EgressId> {
        self.held.pop_first().map(|entry| entry.1)
    }

    pub(super) fn rests(&self, now: Instant) -> bool {
        self.ledger.rest().is_some_and(|rest| rest.until > now)
    }

    pub(super) fn holds_none(&self) -> bool {
        self.held.is_empty()
    }

    #[cfg(test)]
    pub(super) fn holds(&self, ticket: u64) -> Option<EgressId> {
        self.held.get(&ticket).copied()
    }

    /// A network with two addresses that were refused within a minute is refused as a whole: it rests as long as
    /// the one that was refused last.
    pub(super) fn refuse(&mut self, limits: &Limits, egress: EgressId, until: Instant, now: Instant) {
        let former = self.refused.replace((egress, now));
        let another = former.is_some_and(|(other, at)| other != egress && now.since(at) <= TOGETHER);
        if another || self.ledger.rest().is_some() {
            self.ledger.rest_until(limits, until, 1, now);
        }
    }
}
