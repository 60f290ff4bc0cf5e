//! Ledgers on their way to the disk: at checkpoints, at logins, and when somebody reports what others spent.

use std::collections::{BTreeSet, HashMap};

use egret_core::id::{EgressId, ServiceId};
use egret_core::ledger::Ledger;
use egret_core::scheduler::{Event, Shared};
use egret_core::time::Instant;
use egret_store::{Commit, EgressRow, LedgerRow};
use egret_wire::agent::{LedgerState, Spent};

use super::fleet::home;
use super::{Drive, memory};
use crate::session::Outgoing;

impl Drive {
    /// Writes down the ledgers that changed, and that up to now nothing else did.
    pub(super) async fn checkpoint(&mut self, now: Instant) -> Option<Commit> {
        let taken_ms = self.clock.wall_ms();
        let is_clean = self.stopping && self.scheduler.in_flight() == 0;
        let mut rows = Vec::new();
        let dirty = std::mem::take(&mut self.dirty);
        let services: BTreeSet<ServiceId> = dirty.iter().map(|(service, _)| *service).collect();
        let mut stamped: BTreeSet<String> =
            self.fleet.ids().map(|egress| self.fleet.address(egress).to_owned()).collect();
        for service in self.service_ids() {
            stamped.extend(
                self.scheduler.shared(service).map(|shared| memory::shared_name(shared.scope, shared.key)),
            );
        }
        for service in services {
            let states = shared_states(self.scheduler.shared(service), now);
            rows.extend(states.map(|(name, state)| self.row(name, service, taken_ms, &state)));
        }
        rows.extend(stamped.iter().map(|name| memory::stamp(name, taken_ms, is_clean)));
        rows.extend(
            dirty.into_iter().map(|(service, egress)| self.ledger_row(service, egress, taken_ms, now)),
        );
        self.scheduler.shed(now);
        let written = self.store.save_ledgers(rows).await;
        written.inspect_err(|error| tracing::error!("the ledgers could not be written down: {error}")).ok()
    }

    /// What an egress that is up shares with others, used or not, as it is written down before anything is granted.
    pub(super) fn shared_rows_at(
        &self,
        egress: EgressId,
        tags: &[String],
        taken_ms: u64,
        now: Instant,
    ) -> Vec<LedgerRow> {
        let mut rows = Vec::new();
        for service in self.service_ids() {
            let mut states: HashMap<String, LedgerState> =
                shared_states(self.scheduler.shares(service, egress), now).collect();
            let wide =
                self.scheduler.rules(service).wide.iter().filter(|(_, limits)| !limits.windows.is_empty());
            for (scope, limits) in wide {
                let Some(key) = scope.key(home(self.fleet.address(egress)), tags) else { continue };
                let name = memory::shared_name(scope, &key);
                let fresh = || memory::to_state(Ledger::default().snapshot(limits, now));
                let state = states.remove(&name).unwrap_or_else(fresh);
                rows.push(memory::stamp(&name, taken_ms, false));
                rows.push(self.row(name, service, taken_ms, &state));
            }
        }
        rows
    }

    /// Counts what others have spent from an egress, and lets its agent count it as well. What is returned must be on
    /// disk before anybody relies on it.
    pub(crate) fn spent(
        &mut self,
        service: ServiceId,
        egress: EgressId,
        calls: u32,
        now: Instant,
    ) -> (Vec<LedgerRow>, EgressRow) {
        self.scheduler.handle(Event::Spent { service, egress, calls }, now);
        // Only an agent that has heard of it still knows all that was spent.
        let memory = self.rng.u64(..);
        let service_id = self.services.name(service).to_owned();
        let state = self.fleet.egress_mut(egress);
        state.memory = memory;
        let (address, agent) = (state.address.clone(), state.owner);
        let told = Spent { egress: address.clone(), service: service_id, calls, memory };
        if let Some(connected) = self.fleet.agents.get(&agent) {
            let _ = connected.outgoing.try_send(Outgoing::Spent(told));
        }
        let owner = EgressRow { address, agent, memory, since_ms: self.clock.wall_ms() };
        (self.rows_of(service, egress, now), owner)
    }

    /// What is to be written down of a pair and of what it shares.
    pub(crate) fn rows_of(&mut self, service: ServiceId, egress: EgressId, now: Instant) -> Vec<LedgerRow> {
        let taken_ms = self.clock.wall_ms();
        self.dirty.insert((service, egress));
        let shared = shared_states(self.scheduler.shares(service, egress), now);
        let mut rows: Vec<LedgerRow> =
            shared.map(|(name, state)| self.row(name, service, taken_ms, &state)).collect();
        rows.push(self.ledger_row(service, egress, taken_ms, now));
        rows
    }

    pub(super) fn ledger_row(
        &self,
        service: ServiceId,
        egress: EgressId,
        taken_ms: u64,
        now: Instant,
    ) -> LedgerRow {
        let state = self.ledger_state(service, egress, now);
        self.row(self.fleet.address(egress).to_owned(), service, taken_ms, &state)
    }

    fn row(&self, egress: String, service: ServiceId, taken_ms: u64, state: &LedgerState) -> LedgerRow {
        let service = self.services.name(service).to_owned();
        LedgerRow { egress, service, taken_ms, state: serde_json::to_vec(state).unwrap_or_default() }
    }

    pub(super) fn ledger_state(&self, service: ServiceId, egress: EgressId, now: Instant) -> LedgerState {
        let seat = self.scheduler.seat(service, egress);
        let limits = &self.scheduler.rules(service).own;
        seat.map_or_else(LedgerState::default, |ledger| memory::to_state(ledger.snapshot(limits, now)))
    }
}

/// Shared ledgers by the names they are kept under, but for networks without a quota that say nothing.
fn shared_states<'a>(
    shared: impl Iterator<Item = Shared<'a>>,
    now: Instant,
) -> impl Iterator<Item = (String, LedgerState)> {
    shared.filter_map(move |Shared { scope, key, limits, ledger }| {
        let snapshot = ledger.snapshot(limits, now);
        let says_nothing = limits.windows.is_empty() && snapshot.is_empty();
        (!says_nothing).then(|| (memory::shared_name(scope, key), memory::to_state(snapshot)))
    })
}
