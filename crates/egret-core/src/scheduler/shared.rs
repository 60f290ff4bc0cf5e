//! What egresses share at one service: the budget of a network, a tag or the fleet, and its rests.

use std::time::Duration;

use crate::id::EgressId;
use crate::ledger::Ledger;
use crate::quota::{Limits, Rules};
use crate::scope::ScopeKey;
use crate::time::Instant;

/// Two addresses refused within so long make their network rest.
const TOGETHER: Duration = Duration::from_secs(60);

/// Its index at its service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SharedId(pub(super) u32);

#[derive(Debug)]
pub(super) struct Shared {
    /// Which of the service's wide rules it keeps.
    pub(super) rule: usize,
    pub(super) key: ScopeKey,
    pub(super) ledger: Ledger,
    /// Its rule has no quota.
    rests_only: bool,
    refused: Option<(EgressId, Instant)>,
}

impl Shared {
    pub(super) fn new(rule: usize, key: ScopeKey, limits: &Limits) -> Self {
        Self { rule, key, ledger: Ledger::default(), rests_only: limits.are_none(), refused: None }
    }

    /// Its limits, by the service's rules: most networks are there to rest together and have none, for which the rules need
    /// not be looked up.
    pub(super) fn limits<'a>(&self, rules: &'a Rules) -> &'a Limits {
        if self.rests_only { Limits::NONE } else { &rules.wide[self.rule].1 }
    }

    pub(super) fn rests(&self, now: Instant) -> bool {
        self.ledger.rest().is_some_and(|rest| rest.until > now)
    }

    /// A network with two addresses that were refused within a minute is refused as a whole: it rests as long as
    /// the one that was refused last.
    pub(super) fn refuse(&mut self, egress: EgressId, until: Instant, now: Instant) {
        let former = self.refused.replace((egress, now));
        let another = former.is_some_and(|(other, at)| other != egress && now.since(at) <= TOGETHER);
        if another || self.ledger.rest().is_some() {
            self.ledger.rest_until(until, 1, now);
        }
    }
}
