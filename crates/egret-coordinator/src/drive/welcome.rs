//! Agents coming and going.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use egret_core::id::{AgentId, AttemptId, EgressId, JobId, ServiceId};
use egret_core::ledger::{LogSnapshot, Snapshot};
use egret_core::quota::Window;
use egret_core::scheduler::{Event, Whose};
use egret_core::time::Instant;
use egret_store::{AgentRow, EgressRow, LedgerRow};
use egret_wire::agent::{EgressGrant, InFlight, LedgerEntry, LedgerState};
use egret_wire::pattern::permits;
use tokio::sync::mpsc;

use super::fleet::{Egress, home};
use super::moves::UNNOTICED;
use super::{Connected, Drive, memory};
use crate::config::NewEgress;
use crate::session::Outgoing;

/// How long an agent may take to claim an address that has become free.
const CLAIM_AGAIN_MS: u64 = 500;

/// An agent that has proved who it is and which addresses it calls from.
pub(crate) struct Join {
    pub(crate) agent: AgentRow,
    pub(crate) session: u64,
    pub(crate) version: String,
    /// Proved addresses as egress keys, with the memory numbers that the agent shows for them.
    pub(crate) addresses: Vec<(String, Option<u64>)>,
    /// Patterns of the services that its host permits; none: all.
    pub(crate) permits: Vec<String>,
    pub(crate) ledgers: Vec<LedgerEntry>,
    pub(crate) in_flight: Vec<InFlight>,
    pub(crate) outgoing: mpsc::Sender<Outgoing>,
}

impl Join {
    /// What it has counted for an egress, by service.
    fn counted(&self, address: &str) -> HashMap<&str, &LedgerState> {
        let of = self.ledgers.iter().filter(|entry| entry.egress == address);
        of.map(|entry| (entry.service.as_str(), &entry.state)).collect()
    }
}

/// What the session must write down and say before it gets grants.
pub(crate) struct Welcomed {
    /// To be durable before the welcome is sent, ledgers first.
    pub(crate) rows: Vec<LedgerRow>,
    /// Likewise.
    pub(crate) owners: Vec<EgressRow>,
    /// The egresses this agent speaks for.
    pub(crate) egresses: Vec<EgressGrant>,
    /// How many services there are: it hears of later ones when they come.
    pub(crate) services: usize,
    /// What the coordinator remembers of them and this process of the agent cannot.
    pub(crate) ledgers: Vec<LedgerEntry>,
}

impl Drive {
    pub(super) fn welcome(&mut self, join: Join, now: Instant) -> Welcomed {
        let agent = join.agent.id;
        if let Some(older) =
            self.fleet.agents.get(&agent).map(|connected| (connected.session, connected.outgoing.clone()))
        {
            let _ = older.1.try_send(Outgoing::Replaced);
            self.leave(agent, older.0, now);
        }
        let now_ms = self.clock.wall_ms();
        let (left_behind, stayed) = self.last_session(&join);
        let barred = Arc::new(self.barred(&join));
        self.scheduler.handle(Event::Bar { agent, services: (*barred).clone() }, now);
        let mut welcomed = Welcomed {
            services: self.scheduler.services(),
            rows: Vec::new(),
            owners: Vec::new(),
            egresses: Vec::new(),
            ledgers: Vec::new(),
        };
        let (mut egresses, mut refused) = (Vec::new(), Vec::new());
        for (address, shown) in &join.addresses {
            let known = self.fleet.find(address);
            if known.is_some_and(|egress| self.fleet.egress(egress).is_up) {
                // One process at a time counts what leaves from an address.
                refused.push(address.clone());
                continue;
            }
            let is_new = known.is_none_or(|egress| !stayed.contains(&egress));
            let egress = match known {
                Some(egress) => {
                    self.recount(egress, &join, now);
                    egress
                }
                None => self.first_sight(address, *shown, &join, now),
            };
            if is_new {
                self.inherit(egress, &left_behind, now);
            }
            if *shown != Some(self.fleet.egress(egress).memory) {
                welcomed.ledgers.extend(self.ledgers_of(egress, now));
            }
            let tags = &join.agent.tags;
            self.remember_shared(address, tags, now);
            let (home, own_tags) = (home(address), tags.clone());
            self.scheduler.handle(Event::EgressUp { egress, agent, address: home, tags: own_tags }, now);
            for from in left_behind.iter().copied().filter(|_| is_new) {
                self.scheduler.handle(Event::Moved { from, to: egress, unnoticed: UNNOTICED }, now);
            }
            let used = self.service_ids().filter(|service| self.scheduler.seat(*service, egress).is_some());
            welcomed.rows.extend(used.map(|service| self.ledger_row(service, egress, now_ms, now)));
            welcomed.rows.extend(self.shared_rows_at(egress, tags, now_ms, now));
            welcomed.rows.push(memory::stamp(address, now_ms, false));
            let memory = self.rng.u64(..);
            welcomed.owners.push(EgressRow { address: address.clone(), agent, memory, since_ms: now_ms });
            let state = self.fleet.egress_mut(egress);
            state.owner = agent;
            state.owner_name.clone_from(&join.agent.name);
            state.tags.clone_from(&join.agent.tags);
            state.memory = memory;
            state.session = join.session;
            state.is_up = true;
            state.is_draining = false;
            state.barred = Arc::clone(&barred);
            state.seen_ms = Some(now_ms);
            egresses.push(egress);
            welcomed.egresses.push(EgressGrant { address: address.clone(), memory });
        }
        self.adopt(&join.in_flight, &egresses, now);
        let name = join.agent.name.clone();
        let addresses: Vec<&str> = welcomed.egresses.iter().map(|grant| grant.address.as_str()).collect();
        tracing::info!(agent = name, egresses = addresses.join(" "), "agent is up");
        self.sessions.insert(agent, join.outgoing.clone());
        let Join { session, version, outgoing, permits, .. } = join;
        let patterns = join.agent.services;
        let seen = (now, now_ms);
        let connected = Connected {
            session,
            name,
            version,
            patterns,
            permits,
            credit: 0,
            is_leaving: false,
            egresses,
            refused,
            outgoing,
            grants: Vec::new(),
            cancels: Vec::new(),
            seen,
            clock: None,
        };
        self.fleet.agents.insert(agent, connected);
        self.heed_drain(agent, now);
        welcomed
    }

    /// The services that its token did not name, or that its host does not permit.
    fn barred(&self, join: &Join) -> BTreeSet<ServiceId> {
        let may_ask = |name: &str| permits(&join.agent.services, name) && permits(&join.permits, name);
        self.service_ids().filter(|service| !may_ask(self.services.name(*service))).collect()
    }

    /// An egress that this start of the coordinator has not met: what is known of it is put together.
    fn first_sight(&mut self, address: &str, shown: Option<u64>, join: &Join, now: Instant) -> EgressId {
        let now_ms = self.clock.wall_ms();
        let owner = self.memory.owner(address).map(|row| (row.agent, row.memory));
        let (agent, memory) = owner.unwrap_or((join.agent.id, 0));
        let egress = self.fleet.add(Egress {
            address: address.to_owned(),
            owner: agent,
            owner_name: join.agent.name.clone(),
            tags: Vec::new(),
            memory,
            session: 0,
            is_up: false,
            is_draining: false,
            barred: Arc::default(),
            seen_ms: None,
        });
        let unbroken = owner.is_some() && (agent, Some(memory)) == (join.agent.id, shown);
        let mut counted = join.counted(address);
        for service in self.service_ids() {
            let name = self.services.name(service).to_owned();
            let kept = self.memory.checkpoint(address, &name, now_ms);
            let counted = counted.remove(name.as_str()).map(|state| memory::from_agent(state.clone()));
            match (owner, unbroken) {
                (None, _) => {
                    self.meet(service, egress, now);
                    self.remember(service, egress, counted.unwrap_or_default(), now);
                }
                (Some(_), true) => {
                    let (rest, left) = kept.as_ref().map_or((None, None), |kept| (kept.rest, kept.left));
                    // What it has no ledger of any more was over by its quotas of then.
                    let known = counted.or(kept.map(Snapshot::over)).unwrap_or_default();
                    self.remember(service, egress, Snapshot { rest, left, ..known }, now);
                }
                (Some(_), false) => {
                    let gap = self.memory.gap(address, &name, now_ms);
                    let calls = self.most_in(service, kept.as_ref(), gap);
                    self.remember(service, egress, kept.unwrap_or_default(), now);
                    self.remember(service, egress, counted.unwrap_or_default(), now);
                    if !gap.is_zero() {
                        self.forget(service, Whose::Own(egress), calls, now);
                        self.dirty.insert((service, egress));
                    }
                }
            }
        }
        egress
    }

    /// What an agent has counted for an egress that is known: it may have called from there while it was taken for another one.
    fn recount(&mut self, egress: EgressId, join: &Join, now: Instant) {
        for (service, state) in join.counted(self.fleet.address(egress)) {
            if let Some(service) = self.find_service(service) {
                self.remember(service, egress, memory::from_agent(state.clone()), now);
            }
        }
    }

    /// The most calls that one egress may have made in a gap: by the quotas of then, if they are known.
    fn most_in(&self, service: ServiceId, kept: Option<&Snapshot>, gap: Duration) -> u32 {
        let own = &self.scheduler.rules(service).own;
        kept.and_then(|kept| kept.most_in(gap)).or_else(|| own.most_in(gap)).unwrap_or(u32::MAX)
    }

    fn forget(&mut self, service: ServiceId, whose: Whose, calls: u32, now: Instant) {
        self.scheduler.handle(Event::Forgotten { service, whose, calls }, now);
    }

    /// What this egress shares with others, as far as it is not known yet in this start.
    ///
    /// Every login writes down what its egresses share before any of it is granted, so what an earlier start did not
    /// keep is a quota that is new: it counts from now on. Since the last checkpoint no more was spent than the shared
    /// quota lets through, and no more than all that share it may spend by themselves.
    fn remember_shared(&mut self, address: &str, tags: &[String], now: Instant) {
        let now_ms = self.clock.wall_ms();
        for service in self.service_ids() {
            let name = self.services.name(service).to_owned();
            for (scope, limits) in self.scheduler.rules(service).wide.clone() {
                let Some(key) = scope.key(home(address), tags) else { continue };
                let shared = memory::shared_name(&scope, &key);
                if !self.met.insert((service, shared.clone())) || !self.memory.has(&shared, &name) {
                    continue;
                }
                let kept = self.memory.checkpoint(&shared, &name, now_ms);
                let gap = self.memory.gap(&shared, &name, now_ms);
                let then = kept.as_ref().and_then(|kept| kept.most_in(gap)).or_else(|| limits.most_in(gap));
                // Tags of other egresses are not kept: any of them may have had it.
                let shares = |other: &&str| scope.key(home(other), &[]).is_none_or(|other| other == key);
                let alone = self.memory.egresses().filter(shares).fold(0u32, |sum, other| {
                    let kept = self.memory.checkpoint(other, &name, now_ms);
                    sum.saturating_add(self.most_in(service, kept.as_ref(), gap))
                });
                let whose = Whose::Shared(scope, key);
                if let Some(snapshot) = kept {
                    self.scheduler.handle(
                        Event::Remember { service, whose: whose.clone(), snapshot: Box::new(snapshot) },
                        now,
                    );
                }
                if let Some(then) = then.filter(|_| !gap.is_zero()) {
                    let calls = if gap == Duration::MAX { then } else { then.min(alone) };
                    self.forget(service, whose, calls, now);
                }
            }
        }
    }

    /// An address that egret has never used: what others spent from it is not known.
    pub(super) fn meet(&mut self, service: ServiceId, egress: EgressId, now: Instant) {
        match self.new_egress {
            NewEgress::Fresh => {}
            NewEgress::Ramp => {
                let half = |window: &Window| LogSnapshot {
                    units: window.units,
                    span: window.span(),
                    groups: vec![(0, window.units.div_ceil(2))],
                };
                let logs = self.scheduler.rules(service).own.windows.iter().map(half).collect();
                self.remember(service, egress, Snapshot { logs, ..Snapshot::default() }, now);
            }
            NewEgress::Wait => {
                self.forget(service, Whose::Own(egress), u32::MAX, now);
                self.dirty.insert((service, egress));
            }
        }
    }

    pub(super) fn remember(
        &mut self,
        service: ServiceId,
        egress: EgressId,
        snapshot: Snapshot,
        now: Instant,
    ) {
        if snapshot != Snapshot::default() {
            let whose = Whose::Own(egress);
            self.scheduler.handle(Event::Remember { service, whose, snapshot: Box::new(snapshot) }, now);
            self.dirty.insert((service, egress));
        }
    }

    fn ledgers_of(&self, egress: EgressId, now: Instant) -> Vec<LedgerEntry> {
        let entry = |service: ServiceId| LedgerEntry {
            egress: self.fleet.address(egress).to_owned(),
            service: self.services.name(service).to_owned(),
            state: self.ledger_state(service, egress, now),
        };
        let used = |service: &ServiceId| self.scheduler.seat(*service, egress).is_some();
        self.service_ids().filter(used).map(entry).collect()
    }

    /// Calls that an earlier start granted and that are still under way.
    fn adopt(&mut self, in_flight: &[InFlight], egresses: &[EgressId], now: Instant) {
        for InFlight { attempt, service, egress, .. } in in_flight {
            let found = (self.find_service(service), self.fleet.find(egress));
            let (Some(service), Some(egress)) = found else { continue };
            if attempt.2 == self.start || !egresses.contains(&egress) {
                continue;
            }
            let job = JobId(attempt.0);
            let attempt = AttemptId { start: attempt.2, count: attempt.3 };
            if self.scheduler.expects(attempt) {
                // Adopted at an earlier login.
                continue;
            }
            self.scheduler.handle(Event::Adopt { attempt, job, service, egress }, now);
            self.dirty.insert((service, egress));
            let adopted = self.scheduler.running(job) == Some(attempt);
            if !self.jobs.contains_key(&job) {
                self.strays.insert(job, (attempt, service, egress));
            }
            let batch = self.jobs.get(&job).filter(|_| adopted).and_then(super::Job::batch);
            if let Some(progress) = batch.and_then(|batch| self.batches.get_mut(&batch)) {
                progress.running += 1;
            }
        }
    }

    /// The agent has lost its place: its session ends, and nothing is granted to it from now on.
    pub(crate) fn revoke(&mut self, agent: AgentId, now: Instant) {
        let Some(connected) = self.fleet.agents.get(&agent) else { return };
        // If it takes no frames, the session ends with its channel.
        let _ = connected.outgoing.try_send(Outgoing::Revoked);
        self.leave(agent, connected.session, now);
    }

    pub(super) fn leave(&mut self, agent: AgentId, session: u64, now: Instant) {
        if self.fleet.agents.get(&agent).is_none_or(|connected| connected.session != session) {
            return;
        }
        let Some(connected) = self.fleet.agents.remove(&agent) else { return };
        self.sessions.remove(&agent);
        let mut freed = Vec::with_capacity(connected.egresses.len());
        for egress in connected.egresses {
            let state = self.fleet.egress_mut(egress);
            state.is_up = false;
            state.seen_ms = Some(connected.seen.1);
            freed.push(self.fleet.address(egress).to_owned());
        }
        self.granted.remove(&agent);
        self.scheduler.handle(Event::AgentDown(agent), now);
        tracing::info!(agent = connected.name, "agent is down");
        for other in self.fleet.agents.values() {
            if other.refused.iter().any(|address| freed.contains(address)) {
                // Whoever else proved the address may speak for it now: it has to log in anew.
                let _ = other.outgoing.try_send(Outgoing::GoingAway(CLAIM_AGAIN_MS));
            }
        }
    }
}
