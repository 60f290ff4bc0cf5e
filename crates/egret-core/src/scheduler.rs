//! Gives waiting steps to egresses with budget, as early as the quotas allow.
//!
//! Every service has a seat for each egress it has used, the budgets that seats share, and lanes: steps that may leave
//! from the same egresses. Inside a lane steps wait in flows, and it is a flow's turn by class, tenant and deadline
//! (`lineup`). A turn hands steps to ready seats until either runs out; parked seats wait in an ordered set, and one
//! timer per service tells when to look again. Egresses a lane has never used have full budgets and are drawn from the
//! common roster, so state grows with pairs in use. A flow has its first steps in memory; the rest waits in the store.
//!
//! A call concerns its egress's own ledger and those of its network, its tags and the fleet, as far as the service has
//! such quotas. All are asked, then all are charged, or none is.
//!
//! [`Scheduler::handle`] takes what happened, [`Scheduler::tick`] decides, [`Scheduler::next_command`]
//! says what the shell must do. Who the agents are, what a question says and how an answer is
//! judged is absent here.

mod agents;
mod event;
mod flights;
mod flow;
mod forecast;
mod foresight;
mod held;
mod lane;
mod lead;
mod lineup;
mod outage;
mod rows;
mod selector;
mod service;
mod settle;
mod shared;
mod sorted;
mod steps;
mod timers;
mod turn;
mod waits;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use agents::Agents;
pub use event::{Command, Event, FlowKind, Settlement, Step, Whose};
use flights::{Flight, Flights};
use flow::Flow;
pub use forecast::Wait;
use foresight::AHEAD;
use held::{Held, Standing};
pub use lineup::{Class, Place};
pub use outage::Outage;
use rows::RowMap;
pub use selector::Selector;
use service::{ListId, SeatId, Service};
use timers::Timers;

use crate::id::{AgentId, AttemptId, EgressId, FlowId, JobId, ServiceId, TenantId};
use crate::ledger::{Ledger, Ready};
use crate::quota::{Limits, Rules};
use crate::scope::{Scope, ScopeKey};
use crate::time::Instant;

/// An agent holds a grant back for its own ledger's sake up to this, then gives it back (chosen: twice the longest
/// lead). A grant may leave as late as that.
pub const LONGEST_HOLD: Duration = Duration::from_secs(1);
/// Seats of a lane looked at in one go for ledgers that can be shed.
const SHED_AT_ONCE: usize = 10_000;

/// Keyed by numbers that we gave ourselves: no caller can make them collide.
type Map<K, V> = HashMap<K, V, foldhash::fast::FixedState>;

#[derive(Debug, Default)]
struct Egress {
    /// It is on the roster.
    is_listed: bool,
    /// Its address and tags, once an agent has come for it.
    home: Option<(IpAddr, Vec<String>)>,
    /// Services with a seat for it.
    services: Vec<ServiceId>,
}

/// A ledger that several egresses share.
#[derive(Clone, Copy, Debug)]
pub struct Shared<'a> {
    /// By which of the service's scopes.
    pub scope: &'a Scope,
    /// Which of its keys.
    pub key: &'a ScopeKey,
    /// What it keeps.
    pub limits: &'a Limits,
    /// What was spent.
    pub ledger: &'a Ledger,
}

/// All waiting steps, all ledgers, all attempts in flight.
#[derive(Debug)]
pub struct Scheduler {
    start: u32,
    granted: u64,
    services: Vec<Service>,
    flows: Map<FlowId, Flow>,
    weights: BTreeMap<TenantId, u32>,
    /// Nothing is granted.
    is_stopped: bool,
    /// Waiting steps in memory that could be left in the store.
    stored: usize,
    /// And those that the store is being read for.
    asked: usize,
    egresses: Vec<Egress>,
    /// Egresses in the order of their first coming: lanes draw never-used ones from here.
    roster: Vec<EgressId>,
    agents: Agents,
    steps: RowMap<JobId, Held>,
    flights: Flights,
    /// Attempts that were given up and may still be heard of, with the service, the seat and the shared budgets that
    /// they were charged to.
    lost: BTreeMap<AttemptId, (ServiceId, SeatId, ListId)>,
    /// Services that something happened to, each once.
    touched: Vec<ServiceId>,
    timers: Timers,
    commands: VecDeque<Command>,
    rng: fastrand::Rng,
}

impl Scheduler {
    /// For these services, in the order of their ids. `start` counts the coordinator's starts and
    /// keeps the names of attempts apart; `rng` spreads cool-downs.
    pub fn new(services: Vec<Rules>, start: u32, rng: fastrand::Rng) -> Self {
        Self {
            start,
            granted: 0,
            timers: Timers::new(services.len()),
            services: services.into_iter().map(Service::new).collect(),
            flows: Map::default(),
            weights: BTreeMap::new(),
            is_stopped: false,
            stored: 0,
            asked: 0,
            egresses: Vec::new(),
            roster: Vec::new(),
            agents: Agents::default(),
            steps: RowMap::default(),
            flights: Flights::new(start),
            lost: BTreeMap::new(),
            touched: Vec::new(),
            commands: VecDeque::new(),
            rng,
        }
    }

    /// Adds a service, whose id is the number of those before it.
    pub fn add(&mut self, rules: Rules) {
        self.services.push(Service::new(rules));
        self.timers.grow(self.services.len());
    }

    /// How many services there are.
    pub fn services(&self) -> usize {
        self.services.len()
    }

    /// Takes note of what happened; decides nothing before the next [`Scheduler::tick`].
    pub fn handle(&mut self, event: Event, now: Instant) {
        match event {
            Event::Enqueue(step) => self.enqueue(step, now),
            Event::Open { flow, kind, stored, last } => self.open_flow(flow, kind, (stored, last), now),
            Event::Close(flow) => self.close_flow(flow, now),
            Event::Hold(flow, is_held) => self.hold_flow(flow, is_held, now),
            Event::Weigh(tenant, weight) => {
                self.weights.insert(tenant, weight);
            }
            Event::Loaded { flow, steps, through } => self.loaded(flow, steps, through, now),
            Event::Gone(flow) => self.gone(flow),
            Event::Withdraw(job) => self.withdraw(job, now),
            Event::Settle { attempt, settlement, at_agent, took } => {
                self.settle(attempt, settlement, (at_agent, took), now);
            }
            Event::EgressUp { egress, agent, address, tags } => self.egress_up(egress, agent, address, tags),
            Event::Moved { from, to, unnoticed } => self.moved(from, to, unnoticed, now),
            Event::EgressDown(egress) => {
                self.egress_down(egress);
                let services = self.egresses.get(egress.0 as usize).map(|state| state.services.clone());
                for service in services.unwrap_or_default() {
                    self.recall(service, |_, whose, _| whose == egress);
                }
            }
            Event::Bar { agent, services } => self.agents.bar(agent, services),
            Event::Credit { agent, grants } => self.credit(agent, grants),
            Event::AgentDown(agent) => {
                let egresses = self.agents.forget(agent).into_iter();
                egresses.for_each(|egress| self.egress_down(egress));
            }
            Event::Adopt { attempt, job, service, egress } => self.adopt(attempt, job, service, egress, now),
            Event::Remember { service, whose, snapshot } => {
                self.ledger(service, &whose, |ledger, limits| ledger.merge(limits, &snapshot, now));
            }
            Event::Pause(service) => self.set_paused(service, true),
            Event::Resume(service) => self.set_paused(service, false),
            Event::Stop(is_stopped) => self.set_stopped(is_stopped),
            Event::Forgotten { service, whose, calls } => {
                self.ledger(service, &whose, |ledger, limits| ledger.spend_unknown(limits, calls, now));
            }
            Event::Spent { service, egress, calls } => self.spent(service, egress, calls, now),
            Event::Late { service, egress, length } => {
                self.ledger(service, &Whose::Own(egress), |ledger, _| {
                    ledger.wait_until(now + length);
                });
            }
            Event::Rest { service, egress, length } => {
                self.ledger(service, &Whose::Own(egress), |ledger, _| {
                    ledger.rest_until(now + length, 0, now);
                });
                self.recall(service, |_, whose, _| whose == egress);
            }
            Event::Shunned { service, egress, times } => {
                self.ledger(service, &Whose::Own(egress), |ledger, limits| ledger.shun(limits, times, now));
                self.recall(service, |_, whose, _| whose == egress);
            }
            Event::Left { service, egress, calls, reset } => {
                self.ledger(service, &Whose::Own(egress), |ledger, _| {
                    ledger.limit_to(calls, reset, now);
                });
                if calls == 0 {
                    self.recall(service, |_, whose, _| whose == egress);
                }
            }
        }
    }

    /// Decides: every service that something happened to, or whose time has come, gets a turn.
    pub fn tick(&mut self, now: Instant) {
        while let Some(service) = self.timers.pop_due(now) {
            self.services[service.0 as usize].wake_at = None;
            self.touch(service);
        }
        let mut touched = std::mem::take(&mut self.touched);
        touched.sort_unstable();
        for services in touched.chunks(AHEAD) {
            self.foresee_turns(services, now);
            for service in services {
                self.services[service.0 as usize].is_touched = false;
                self.turn(*service, now);
            }
        }
        touched.clear();
        // No turn touches another service: what was taken is empty, and its memory is used again.
        self.touched = touched;
    }

    /// When to tick again although nothing happens; `None`: nothing waits on time.
    pub fn wake_at(&self) -> Option<Instant> {
        self.timers.first()
    }

    /// What to do next, in the order decided; to be drained before waiting.
    pub fn next_command(&mut self) -> Option<Command> {
        self.commands.pop_front()
    }

    /// Steps that wait for an egress of this service, wherever they are and back-offs included, and attempts in flight.
    pub fn backlog(&self, service: ServiceId) -> (usize, usize) {
        let state = &self.services[service.0 as usize];
        (state.waiting as usize + state.delayed.len(), state.in_flight)
    }

    /// Steps of a flow that wait, wherever they are, back-offs apart.
    pub fn waiting(&self, flow: FlowId) -> u64 {
        self.flows.get(&flow).map_or(0, Flow::waiting)
    }

    /// Whether a service answers nobody.
    pub fn outage(&self, service: ServiceId) -> Option<Outage> {
        self.services[service.0 as usize].breaker.outage()
    }

    /// Since when a service has answered no call, if the last one was not; an outage begins there.
    pub fn silent_since(&self, service: ServiceId) -> Option<Instant> {
        self.services[service.0 as usize].breaker.silent_since()
    }

    /// The attempt that runs for this job, if one does.
    pub fn running(&self, job: JobId) -> Option<AttemptId> {
        self.steps.get(&job)?.running()
    }

    /// Whether a step of this job waits or runs.
    pub fn has_step(&self, job: JobId) -> bool {
        self.steps.contains_key(&job)
    }

    /// Whether this attempt's end is news: it is in flight, or was given up as lost.
    pub fn expects(&self, attempt: AttemptId) -> bool {
        self.flights.has(attempt) || self.lost.contains_key(&attempt)
    }

    /// The egress that an attempt in flight left from.
    pub fn left_from(&self, attempt: AttemptId) -> Option<EgressId> {
        let of =
            |flight: &Flight| self.services[flight.service.0 as usize].seats[flight.seat.0 as usize].egress;
        self.flights.get(attempt).map(of)
    }

    /// Attempts in flight.
    pub fn in_flight(&self) -> usize {
        self.flights.len()
    }

    /// The ledger of a pair, if it has been used.
    pub fn seat(&self, service: ServiceId, egress: EgressId) -> Option<&Ledger> {
        let seat = self.services[service.0 as usize].find(egress)?;
        seat.is_used.then_some(&seat.ledger)
    }

    /// The ledgers that egresses share at a service, as far as any of them has been used.
    pub fn shared(&self, service: ServiceId) -> impl Iterator<Item = Shared<'_>> {
        let lane = &self.services[service.0 as usize];
        lane.shared.iter().map(|shared| {
            let (scope, limits) = &lane.rules.wide[shared.rule];
            Shared { scope, key: &shared.key, limits, ledger: &shared.ledger }
        })
    }

    /// When one more call may leave from an egress, and the scope that is in the way the longest if it is not the
    /// egress's own.
    pub fn outlook(&self, service: ServiceId, egress: EgressId, now: Instant) -> (Ready, Option<Shared<'_>>) {
        let lane = &self.services[service.0 as usize];
        let own = lane.find(egress).map(|seat| seat.ledger.ready(&lane.rules.own, now));
        let mut outlook = (own.unwrap_or(Ready::Now), None);
        for shared in self.shares(service, egress) {
            let both = outlook.0.and(shared.ledger.ready(shared.limits, now));
            if both != outlook.0 {
                outlook = (both, Some(shared));
            }
        }
        outlook
    }

    /// What an egress shares with others at a service, as far as any of them has used it.
    pub fn shares(&self, service: ServiceId, egress: EgressId) -> impl Iterator<Item = Shared<'_>> {
        let lane = &self.services[service.0 as usize];
        let home = self.egresses.get(egress.0 as usize).and_then(|state| state.home.as_ref());
        lane.found(home).map(|id| {
            let shared = &lane.shared[id.0 as usize];
            let (scope, limits) = &lane.rules.wide[shared.rule];
            Shared { scope, key: &shared.key, limits, ledger: &shared.ledger }
        })
    }

    /// Frees ledgers that say no more than that nothing was spent lately; nobody can tell the difference.
    pub fn shed(&mut self, now: Instant) {
        self.services.iter_mut().for_each(|service| service.shed(SHED_AT_ONCE, now));
    }

    /// Whether a service is paused.
    pub fn is_paused(&self, service: ServiceId) -> bool {
        self.services[service.0 as usize].paused
    }

    /// The rules of a service.
    pub fn rules(&self, service: ServiceId) -> &Rules {
        &self.services[service.0 as usize].rules
    }

    fn egress_up(&mut self, egress: EgressId, agent: AgentId, address: IpAddr, tags: Vec<String>) {
        if !std::mem::replace(&mut self.egress(egress).is_listed, true) {
            self.roster.push(egress);
        }
        self.egress_down(egress);
        self.agents.bind(agent, egress);
        let state = self.egress(egress);
        state.home = Some((address, tags));
        let (services, home) = (state.services.clone(), state.home.clone());
        for service in services {
            let state = &mut self.services[service.0 as usize];
            state.rehome(egress, home.as_ref());
            if let Some(seat) = state.seat_of(egress) {
                state.make_ready(seat);
            }
        }
        // Lanes that passed it by look at the roster again: it may be theirs now.
        for state in &mut self.services {
            state.lanes.iter_mut().skip(1).for_each(|lane| lane.drawn = 0);
        }
        self.touch_all();
    }

    fn egress(&mut self, egress: EgressId) -> &mut Egress {
        let index = egress.0 as usize;
        if self.egresses.len() <= index {
            self.egresses.resize_with(index + 1, Egress::default);
        }
        &mut self.egresses[index]
    }

    fn egress_down(&mut self, egress: EgressId) {
        if self.egresses.get(egress.0 as usize).is_none() {
            return;
        }
        self.agents.release(egress);
        // Steps that avoided another egress may have nowhere else to go now.
        self.touch_all();
    }

    fn credit(&mut self, agent: AgentId, grants: u32) {
        for (service, egress) in self.agents.credit(agent, grants) {
            let state = &mut self.services[service.0 as usize];
            if let Some(seat) = state.seat_of(egress) {
                state.make_ready(seat);
            }
            self.touch(service);
        }
    }

    fn adopt(&mut self, attempt: AttemptId, job: JobId, service: ServiceId, egress: EgressId, now: Instant) {
        if !self.flights.has(attempt) {
            let seat = self.meet(service, egress);
            self.take_off(attempt, job, service, seat, now);
            // Nobody knows when it was granted: whatever it brings says nothing of rests that were remembered.
            if let Some(flight) = self.flights.get_mut(attempt) {
                flight.granted_at = Instant::ZERO;
            }
        }
        let state = &mut self.services[service.0 as usize];
        if let Some(seat) = state.seat_of(egress) {
            state.make_ready(seat);
        }
        self.touch(service);
        if let Some(held) = self.steps.get(&job).copied().filter(|held| held.running().is_none()) {
            self.withdraw(job, now);
            self.steps.insert(job, Held::new(&held.step(job), Standing::running(attempt)));
        }
    }

    /// Changes a ledger and has whoever waits for it looked at again.
    fn ledger(&mut self, service: ServiceId, whose: &Whose, change: impl FnOnce(&mut Ledger, &Limits)) {
        match whose {
            Whose::Own(egress) => {
                self.meet(service, *egress);
                self.services[service.0 as usize].change(*egress, change);
            }
            Whose::Shared(scope, key) => self.services[service.0 as usize].change_shared(scope, key, change),
        }
        self.touch(service);
    }

    /// The seat of a pair; made unless it has one.
    fn meet(&mut self, service: ServiceId, egress: EgressId) -> SeatId {
        self.egress(egress);
        let state = &mut self.egresses[egress.0 as usize];
        let (seat, is_new) = self.services[service.0 as usize].seat(egress, state.home.as_ref());
        if is_new {
            state.services.push(service);
        }
        seat
    }

    fn set_paused(&mut self, service: ServiceId, paused: bool) {
        self.services[service.0 as usize].paused = paused;
        if paused {
            self.recall(service, |_, _, _| true);
        }
        self.touch(service);
    }

    fn set_stopped(&mut self, is_stopped: bool) {
        self.is_stopped = is_stopped;
        for service in (0..).zip(&self.services).map(|(index, _)| ServiceId(index)).collect::<Vec<_>>() {
            if is_stopped {
                self.recall(service, |_, _, _| true);
            }
            self.touch(service);
        }
    }

    /// Has the next tick give a service a turn.
    fn touch(&mut self, service: ServiceId) {
        if !std::mem::replace(&mut self.services[service.0 as usize].is_touched, true) {
            self.touched.push(service);
        }
    }

    fn touch_all(&mut self) {
        for (index, service) in (0..).zip(&mut self.services).filter(|(_, service)| service.waiting > 0) {
            if !std::mem::replace(&mut service.is_touched, true) {
                self.touched.push(ServiceId(index));
            }
        }
    }
}

#[cfg(test)]
mod tests;
