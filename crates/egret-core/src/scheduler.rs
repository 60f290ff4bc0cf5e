//! Gives waiting steps to egresses with budget, as early as the quotas allow.
//!
//! Every service is a lane: its queue, a seat for each egress it has used, and the budgets that seats share. A seat
//! is in one place: ready, parked until an instant, busy until a call ends, held by a shared budget, or out (egress
//! down, or its agent without credit). A turn hands steps to ready seats until either runs out; parked seats wait in
//! an ordered set, and one timer per lane tells when to look again. Egresses a lane has never used
//! have full budgets and are drawn from the common roster, so state grows with pairs in use.
//!
//! A call concerns its egress's own ledger and those of its network, its tags and the fleet, as far as the service has
//! such quotas. All are asked, then all are charged, or none is.
//!
//! [`Scheduler::handle`] takes what happened, [`Scheduler::tick`] decides, [`Scheduler::next_command`]
//! says what the shell must do. Who the agents are, what a question says and how an answer is
//! judged is absent here.

mod event;
mod forecast;
mod lane;
mod lead;
mod queue;
mod settle;
mod shared;
mod turn;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

pub use event::{Command, Event, Settlement, Step, Whose};
pub use forecast::Wait;
use lane::Lane;
use lead::Lead;
pub use queue::Class;
use shared::SharedId;

use crate::id::{AgentId, AttemptId, EgressId, JobId, ServiceId};
use crate::ledger::{Ledger, Ready};
use crate::quota::{Limits, Rules};
use crate::scope::{Scope, ScopeKey};
use crate::time::Instant;

/// An agent holds a grant back for its own ledger's sake up to this, then gives it back (chosen: twice the longest
/// lead). A grant may leave as late as that.
pub const LONGEST_HOLD: Duration = Duration::from_secs(1);
/// Seats of a lane looked at in one go for ledgers that can be shed.
const SHED_AT_ONCE: usize = 10_000;

/// Where a job's step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Waiting,
    Delayed(Instant),
    Running(AttemptId),
}

#[derive(Clone, Debug)]
struct Flight {
    job: JobId,
    service: ServiceId,
    egress: EgressId,
    /// The shared budgets it was charged to, whatever the egress shares now.
    shares: Arc<[SharedId]>,
    granted_at: Instant,
    lost_at: Instant,
    /// Its agent has been asked to give it back.
    is_recalled: bool,
}

#[derive(Debug, Default)]
struct Egress {
    agent: Option<AgentId>,
    /// It is on the roster.
    is_listed: bool,
    /// Its address and tags, once an agent has come for it.
    home: Option<(IpAddr, Vec<String>)>,
    /// Lanes with a seat for it.
    lanes: Vec<ServiceId>,
}

#[derive(Debug, Default)]
struct Agent {
    credit: u32,
    lead: Lead,
    egresses: BTreeSet<EgressId>,
    /// Seats that had budget when there was no credit.
    starved: BTreeSet<(ServiceId, EgressId)>,
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
    lanes: Vec<Lane>,
    egresses: Vec<Egress>,
    /// Egresses in the order of their first coming: lanes draw never-used ones from here.
    roster: Vec<EgressId>,
    agents: HashMap<AgentId, Agent>,
    steps: HashMap<JobId, (Step, Standing)>,
    flights: HashMap<AttemptId, Flight>,
    /// Attempts that were given up and may still be heard of.
    lost: BTreeSet<AttemptId>,
    touched: BTreeSet<ServiceId>,
    timers: BTreeSet<(Instant, ServiceId)>,
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
            lanes: services.into_iter().map(Lane::new).collect(),
            egresses: Vec::new(),
            roster: Vec::new(),
            agents: HashMap::new(),
            steps: HashMap::new(),
            flights: HashMap::new(),
            lost: BTreeSet::new(),
            touched: BTreeSet::new(),
            timers: BTreeSet::new(),
            commands: VecDeque::new(),
            rng,
        }
    }

    /// Takes note of what happened; decides nothing before the next [`Scheduler::tick`].
    pub fn handle(&mut self, event: Event, now: Instant) {
        match event {
            Event::Enqueue(step) => self.enqueue(step, now),
            Event::Withdraw(job) => self.withdraw(job),
            Event::Settle { attempt, service, egress, settlement, at_agent } => {
                self.settle(attempt, service, egress, settlement, at_agent, now);
            }
            Event::EgressUp { egress, agent, address, tags } => self.egress_up(egress, agent, address, tags),
            Event::EgressDown(egress) => self.egress_down(egress),
            Event::Credit { agent, grants } => self.credit(agent, grants),
            Event::AgentDown(agent) => {
                if let Some(gone) = self.agents.remove(&agent) {
                    gone.egresses.into_iter().for_each(|egress| self.egress_down(egress));
                }
            }
            Event::Adopt { attempt, job, service, egress } => self.adopt(attempt, job, service, egress, now),
            Event::Remember { service, whose, snapshot } => {
                self.ledger(service, &whose, |ledger, limits| ledger.merge(limits, &snapshot, now));
            }
            Event::Pause(service) => self.set_paused(service, true),
            Event::Resume(service) => self.set_paused(service, false),
            Event::Forgotten { service, whose, calls } => {
                self.ledger(service, &whose, |ledger, limits| ledger.spend_unknown(limits, calls, now));
            }
            Event::Spent { service, egress, calls } => self.spent(service, egress, calls, now),
            Event::Late { service, egress, length } => {
                self.ledger(service, &Whose::Own(egress), |ledger, limits| {
                    ledger.wait_until(limits, now + length);
                });
            }
            Event::Rest { service, egress, length } => {
                self.ledger(service, &Whose::Own(egress), |ledger, limits| {
                    ledger.rest_until(limits, now + length, 0, now);
                });
                self.recall(service, |_, other| other == egress);
            }
            Event::Left { service, egress, calls, reset } => {
                self.ledger(service, &Whose::Own(egress), |ledger, limits| {
                    ledger.limit_to(limits, calls, reset, now);
                });
                if calls == 0 {
                    self.recall(service, |_, other| other == egress);
                }
            }
        }
    }

    /// Decides: every lane that something happened to, or whose time has come, gets a turn.
    pub fn tick(&mut self, now: Instant) {
        while let Some((_, service)) = self.timers.first().copied().filter(|timer| timer.0 <= now) {
            self.timers.pop_first();
            self.lanes[service.0 as usize].wake_at = None;
            self.touched.insert(service);
        }
        while let Some(service) = self.touched.pop_first() {
            self.turn(service, now);
        }
    }

    /// When to tick again although nothing happens; `None`: nothing waits on time.
    pub fn wake_at(&self) -> Option<Instant> {
        self.timers.first().map(|timer| timer.0)
    }

    /// What to do next, in the order decided; to be drained before waiting.
    pub fn next_command(&mut self) -> Option<Command> {
        self.commands.pop_front()
    }

    /// Steps that wait for an egress of this service, back-offs included, and attempts in flight.
    pub fn backlog(&self, service: ServiceId) -> (usize, usize) {
        let lane = &self.lanes[service.0 as usize];
        (lane.queue.len() + lane.delayed.len(), lane.in_flight())
    }

    /// The attempt that runs for this job, if one does.
    pub fn running(&self, job: JobId) -> Option<AttemptId> {
        match self.steps.get(&job) {
            Some((_, Standing::Running(attempt))) => Some(*attempt),
            _ => None,
        }
    }

    /// Whether a step of this job waits or runs.
    pub fn has_step(&self, job: JobId) -> bool {
        self.steps.contains_key(&job)
    }

    /// Whether this attempt's end is news: it is in flight, or was given up as lost.
    pub fn expects(&self, attempt: AttemptId) -> bool {
        self.flights.contains_key(&attempt) || self.lost.contains(&attempt)
    }

    /// The egress that an attempt in flight left from.
    pub fn left_from(&self, attempt: AttemptId) -> Option<EgressId> {
        self.flights.get(&attempt).map(|flight| flight.egress)
    }

    /// Attempts in flight.
    pub fn in_flight(&self) -> usize {
        self.flights.len()
    }

    /// The ledger of a pair, if it has been used.
    pub fn seat(&self, service: ServiceId, egress: EgressId) -> Option<&Ledger> {
        let seat = self.lanes[service.0 as usize].seats.get(&egress)?;
        seat.is_used.then_some(&seat.ledger)
    }

    /// The ledgers that egresses share at a service, as far as any of them has been used.
    pub fn shared(&self, service: ServiceId) -> impl Iterator<Item = Shared<'_>> {
        let lane = &self.lanes[service.0 as usize];
        lane.shared.iter().map(|shared| {
            let (scope, limits) = &lane.rules.wide[shared.rule];
            Shared { scope, key: &shared.key, limits, ledger: &shared.ledger }
        })
    }

    /// When one more call may leave from an egress, and the scope that is in the way the longest if it is not the
    /// egress's own.
    pub fn outlook(&self, service: ServiceId, egress: EgressId, now: Instant) -> (Ready, Option<Shared<'_>>) {
        let lane = &self.lanes[service.0 as usize];
        let own = lane.seats.get(&egress).map(|seat| seat.ledger.ready(&lane.rules.own, now));
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
        let lane = &self.lanes[service.0 as usize];
        let home = self.egresses.get(egress.0 as usize).and_then(|state| state.home.as_ref());
        lane.found(home).map(|id| {
            let shared = &lane.shared[id.0 as usize];
            let (scope, limits) = &lane.rules.wide[shared.rule];
            Shared { scope, key: &shared.key, limits, ledger: &shared.ledger }
        })
    }

    /// Frees ledgers that say no more than that nothing was spent lately; nobody can tell the difference.
    pub fn shed(&mut self, now: Instant) {
        self.lanes.iter_mut().for_each(|lane| lane.shed(SHED_AT_ONCE, now));
    }

    /// Whether a service is paused.
    pub fn is_paused(&self, service: ServiceId) -> bool {
        self.lanes[service.0 as usize].paused
    }

    /// The rules of a service.
    pub fn rules(&self, service: ServiceId) -> &Rules {
        &self.lanes[service.0 as usize].rules
    }

    fn lane(&mut self, service: ServiceId) -> &mut Lane {
        &mut self.lanes[service.0 as usize]
    }

    fn enqueue(&mut self, step: Step, now: Instant) {
        self.withdraw(step.job);
        let lane = &mut self.lanes[step.service.0 as usize];
        let standing = if step.not_before > now {
            lane.delayed.insert((step.not_before.min(step.deadline), step.job));
            Standing::Delayed(step.not_before.min(step.deadline))
        } else {
            lane.queue.insert(step.class, step.deadline, step.job);
            Standing::Waiting
        };
        self.steps.insert(step.job, (step, standing));
        self.touched.insert(step.service);
    }

    fn withdraw(&mut self, job: JobId) {
        let Some((step, standing)) = self.steps.remove(&job) else { return };
        let lane = &mut self.lanes[step.service.0 as usize];
        match standing {
            Standing::Waiting => lane.queue.remove(step.class, step.deadline, job),
            Standing::Delayed(due) => {
                lane.delayed.remove(&(due, job));
            }
            Standing::Running(_) => {}
        }
    }

    fn egress_up(&mut self, egress: EgressId, agent: AgentId, address: IpAddr, tags: Vec<String>) {
        if !std::mem::replace(&mut self.egress(egress).is_listed, true) {
            self.roster.push(egress);
        }
        self.egress_down(egress);
        let state = self.egress(egress);
        (state.agent, state.home) = (Some(agent), Some((address, tags)));
        let (lanes, home) = (state.lanes.clone(), state.home.clone());
        self.agents.entry(agent).or_default().egresses.insert(egress);
        for service in lanes {
            let lane = self.lane(service);
            lane.rehome(egress, home.as_ref());
            lane.make_ready(egress);
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
        let Some(state) = self.egresses.get_mut(egress.0 as usize) else { return };
        if let Some(agent) = state.agent.take().and_then(|agent| self.agents.get_mut(&agent)) {
            agent.egresses.remove(&egress);
        }
        // Steps that avoided another egress may have nowhere else to go now.
        self.touch_all();
    }

    fn credit(&mut self, agent: AgentId, grants: u32) {
        let agent = self.agents.entry(agent).or_default();
        agent.credit = agent.credit.saturating_add(grants);
        for (service, egress) in std::mem::take(&mut agent.starved) {
            self.lanes[service.0 as usize].make_ready(egress);
            self.touched.insert(service);
        }
    }

    fn adopt(&mut self, attempt: AttemptId, job: JobId, service: ServiceId, egress: EgressId, now: Instant) {
        if self.flights.contains_key(&attempt) {
            return;
        }
        self.meet(service, egress);
        self.take_off(attempt, job, service, egress, now);
        // Nobody knows when it was granted: whatever it brings says nothing of rests that were remembered.
        if let Some(flight) = self.flights.get_mut(&attempt) {
            flight.granted_at = Instant::ZERO;
        }
        self.lane(service).make_ready(egress);
        self.touched.insert(service);
        let waits =
            self.steps.get(&job).is_some_and(|(_, standing)| !matches!(standing, Standing::Running(_)));
        if waits && let Some((step, _)) = self.steps.get(&job).copied() {
            self.withdraw(job);
            self.steps.insert(job, (step, Standing::Running(attempt)));
        }
    }

    fn take_off(
        &mut self,
        attempt: AttemptId,
        job: JobId,
        service: ServiceId,
        egress: EgressId,
        now: Instant,
    ) {
        let lane = &mut self.lanes[service.0 as usize];
        let shares = lane.seats.get(&egress).map(|seat| Arc::clone(&seat.shares)).unwrap_or_default();
        lane.reserve_all(egress, &shares, now);
        let lost_at = now + LONGEST_HOLD + lane.rules.own.timeout + lane.rules.own.linger;
        lane.overdue.insert((lost_at, attempt));
        self.flights.insert(
            attempt,
            Flight { job, service, egress, shares, granted_at: now, lost_at, is_recalled: false },
        );
    }

    /// Changes a ledger and has whoever waits for it looked at again.
    fn ledger(&mut self, service: ServiceId, whose: &Whose, change: impl FnOnce(&mut Ledger, &Limits)) {
        match whose {
            Whose::Own(egress) => {
                self.meet(service, *egress);
                self.lane(service).change(*egress, change);
            }
            Whose::Shared(scope, key) => self.lane(service).change_shared(scope, key, change),
        }
        self.touched.insert(service);
    }

    /// Makes a seat for a pair unless it has one.
    fn meet(&mut self, service: ServiceId, egress: EgressId) {
        self.egress(egress);
        let state = &mut self.egresses[egress.0 as usize];
        if self.lanes[service.0 as usize].seat(egress, state.home.as_ref()) {
            state.lanes.push(service);
        }
    }

    fn set_paused(&mut self, service: ServiceId, paused: bool) {
        self.lane(service).paused = paused;
        if paused {
            self.recall(service, |_, _| true);
        }
        self.touched.insert(service);
    }

    fn touch_all(&mut self) {
        let waiting = (0u32..).zip(&self.lanes).filter(|(_, lane)| !lane.queue.is_empty());
        self.touched.extend(waiting.map(|(index, _)| ServiceId(index)));
    }
}

#[cfg(test)]
mod tests;
