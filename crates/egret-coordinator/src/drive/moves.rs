//! Agents whose addresses are others than before.
//!
//! An agent looks once a minute how it is seen. Until it does, calls leave from the new address and count for the old one; the
//! agent may have been started anew since, and know nothing of that. So what the former addresses of an agent have spent
//! lately counts for those that are new to it, as well.

use std::time::Duration;

use egret_core::id::EgressId;
use egret_core::time::Instant;

use super::Drive;
use super::welcome::Join;

/// How long a change of address may go unnoticed: a look every 60 s, and half of that for the look and the login (chosen).
pub(super) const UNNOTICED: Duration = Duration::from_secs(90);

impl Drive {
    /// The egresses of the last session of this agent that it does not name any more, and those that it still does.
    pub(super) fn last_session(&self, join: &Join) -> (Vec<EgressId>, Vec<EgressId>) {
        let of_agent = || self.fleet.ids().filter(|egress| self.fleet.egress(*egress).owner == join.agent.id);
        let last = of_agent().map(|egress| self.fleet.egress(egress).session).max();
        let in_it = of_agent().filter(|egress| Some(self.fleet.egress(*egress).session) == last);
        let is_named = |egress: &EgressId| {
            join.addresses.iter().any(|(address, _)| *address == self.fleet.egress(*egress).address)
        };
        in_it.partition(|egress| !is_named(egress))
    }

    /// Counts for an egress what others have spent lately.
    pub(super) fn inherit(&mut self, to: EgressId, from: &[EgressId], now: Instant) {
        for service in self.service_ids() {
            for from in from {
                let own = &self.scheduler.rules(service).own;
                let Some(ledger) = self.scheduler.seat(service, *from) else { continue };
                let recent = ledger.snapshot(own, now).recent(UNNOTICED);
                if !recent.is_empty() {
                    self.remember(service, to, recent, now);
                }
            }
        }
    }
}
