//! Gives waiting steps to egresses with budget, as early as the quotas allow.
//!
//! Every service is a lane: its queue, and a seat for each egress it has used. A seat is in one
//! place: ready, parked until an instant, busy until a call ends, or out (egress down, or its
//! agent without credit). A turn hands steps to ready seats until either runs out; parked seats wait in
//! an ordered set, and one timer per lane tells when to look again. Egresses a lane has never used
//! have full budgets and are drawn from the common roster, so state grows with pairs in use.
//!
//! [`Scheduler::handle`] takes what happened, [`Scheduler::tick`] decides, [`Scheduler::next_command`]
//! says what the shell must do. Who the agents are, what a question says and how an answer is
//! judged is absent here.

mod lane;
mod queue;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use lane::Lane;
#[cfg(test)]
use lane::Place;
pub use queue::Class;

use crate::id::{AgentId, AttemptId, EgressId, JobId, ServiceId};
use crate::ledger::{Ledger, Snapshot};
use crate::quota::Limits;
use crate::time::Instant;

/// One question of a job to one service, waiting for an egress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Whose question; a job has at most one step waiting or running.
    pub job: JobId,
    /// Whom to ask.
    pub service: ServiceId,
    /// How urgent.
    pub class: Class,
    /// Not granted after this instant; the job expires.
    pub deadline: Instant,
    /// Not granted before: the back-off after a failure.
    pub not_before: Instant,
    /// An egress to be avoided while there is another: the last attempt failed there.
    pub avoid: Option<EgressId>,
}

/// How an attempt ended, as far as budgets care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// The remote answered; anything but a refusal.
    Answered,
    /// The remote refused because of a limit, and perhaps named a time to wait.
    Refused {
        /// The wait the remote named.
        named: Option<Duration>,
    },
    /// Sent, or perhaps sent, but not answered; the remote may still count it for a while.
    Unanswered,
    /// Nothing left the agent's host: the grant was taken back.
    Withdrawn,
    /// Nothing left the agent's host: it was not able to send.
    NotSent,
}

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A step is to be granted.
    Enqueue(Step),
    /// The job has ended or was given up: its waiting step is forgotten. A running one is charged as usual.
    Withdraw(JobId),
    /// An attempt ended. One that was given up as lost is charged again: it may have been counted late.
    Settle {
        /// Which one.
        attempt: AttemptId,
        /// The service it asked, for an attempt that is not known any more.
        service: ServiceId,
        /// The egress it left from, likewise.
        egress: EgressId,
        /// How it ended.
        settlement: Settlement,
    },
    /// An agent speaks for this egress from now on.
    EgressUp {
        /// The address.
        egress: EgressId,
        /// Who speaks for it.
        agent: AgentId,
    },
    /// Nobody speaks for this egress any more.
    EgressDown(EgressId),
    /// The agent takes this many more grants.
    Credit {
        /// Who.
        agent: AgentId,
        /// How many more.
        grants: u32,
    },
    /// The agent's session is over: its egresses are down, its credit is void. What it was granted may
    /// still be answered.
    AgentDown(AgentId),
    /// An agent reports an attempt in flight that an earlier start of the coordinator granted.
    Adopt {
        /// Which one.
        attempt: AttemptId,
        /// Its job.
        job: JobId,
        /// The service it asks.
        service: ServiceId,
        /// The egress it left from.
        egress: EgressId,
    },
    /// What was spent by this pair according to somebody else: a checkpoint or an agent.
    Remember {
        /// The service.
        service: ServiceId,
        /// The address.
        egress: EgressId,
        /// What they know.
        snapshot: Snapshot,
    },
    /// Nothing of this service is granted any more; steps wait, and expire.
    Pause(ServiceId),
    /// The opposite.
    Resume(ServiceId),
    /// What this pair spent in the last `gap` is not known to anybody.
    Forgotten {
        /// The service.
        service: ServiceId,
        /// The address.
        egress: EgressId,
        /// How far back memory ends.
        gap: Duration,
    },
}

/// Something the shell must do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Hand this attempt to the agent.
    Grant {
        /// Its name.
        attempt: AttemptId,
        /// Whose question.
        job: JobId,
        /// Whom to ask.
        service: ServiceId,
        /// From where.
        egress: EgressId,
        /// Who asks.
        agent: AgentId,
    },
    /// The attempt will not be heard of again; its unit stays charged. The job has no step now.
    Lost {
        /// Its name.
        attempt: AttemptId,
        /// Whose question.
        job: JobId,
        /// Whom it asked.
        service: ServiceId,
        /// From where.
        egress: EgressId,
    },
    /// The job's deadline passed while its step waited.
    Expired(JobId),
}

/// Where a job's step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Waiting,
    Delayed(Instant),
    Running(AttemptId),
}

#[derive(Clone, Copy, Debug)]
struct Flight {
    job: JobId,
    service: ServiceId,
    egress: EgressId,
    granted_at: Instant,
    lost_at: Instant,
}

#[derive(Debug, Default)]
struct Egress {
    agent: Option<AgentId>,
    /// Lanes with a seat for it.
    lanes: Vec<ServiceId>,
}

#[derive(Debug, Default)]
struct Agent {
    credit: u32,
    egresses: BTreeSet<EgressId>,
    /// Seats that had budget when there was no credit.
    starved: Vec<(ServiceId, EgressId)>,
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
    pub fn new(services: Vec<Limits>, start: u32, rng: fastrand::Rng) -> Self {
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
            Event::Settle { attempt, service, egress, settlement } => {
                self.settle(attempt, service, egress, settlement, now);
            }
            Event::EgressUp { egress, agent } => self.egress_up(egress, agent),
            Event::EgressDown(egress) => self.egress_down(egress),
            Event::Credit { agent, grants } => self.credit(agent, grants),
            Event::AgentDown(agent) => {
                if let Some(gone) = self.agents.remove(&agent) {
                    gone.egresses.into_iter().for_each(|egress| self.egress_down(egress));
                }
            }
            Event::Adopt { attempt, job, service, egress } => self.adopt(attempt, job, service, egress, now),
            Event::Remember { service, egress, snapshot } => {
                self.ledger(service, egress, |ledger, limits| ledger.merge(limits, &snapshot, now));
            }
            Event::Pause(service) => self.set_paused(service, true),
            Event::Resume(service) => self.set_paused(service, false),
            Event::Forgotten { service, egress, gap } => {
                self.ledger(service, egress, |ledger, limits| ledger.spend_gap(limits, gap, now));
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
        self.lanes[service.0 as usize].ledger(egress)
    }

    /// Whether a service is paused.
    pub fn is_paused(&self, service: ServiceId) -> bool {
        self.lanes[service.0 as usize].paused
    }

    /// The rules of a service.
    pub fn limits(&self, service: ServiceId) -> &Limits {
        &self.lanes[service.0 as usize].limits
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

    fn settle(
        &mut self,
        attempt: AttemptId,
        service: ServiceId,
        egress: EgressId,
        settlement: Settlement,
        now: Instant,
    ) {
        let flight = self.flights.remove(&attempt);
        let spread = self.rng.f64();
        let Some(flight) = flight else {
            // Lost and charged before, and counted again since it may have been counted late; anything else
            // is an old result told again, which its agent's ledger has covered.
            if self.lost.remove(&attempt)
                && !matches!(settlement, Settlement::NotSent | Settlement::Withdrawn)
            {
                self.ledger(service, egress, |ledger, limits| {
                    ledger.spend(limits, 1, now, now);
                    if let Settlement::Refused { named } = settlement {
                        ledger.refuse(limits, Instant::ZERO, named, spread, now);
                    }
                });
            }
            return;
        };
        let Flight { job, service, egress, granted_at, lost_at } = flight;
        self.lanes[service.0 as usize].overdue.remove(&(lost_at, attempt));
        if self.steps.get(&job).is_some_and(|(_, standing)| *standing == Standing::Running(attempt)) {
            self.steps.remove(&job);
        }
        self.ledger(service, egress, |ledger, limits| match settlement {
            Settlement::Withdrawn => ledger.refund(),
            Settlement::NotSent => ledger.stumble(now),
            Settlement::Unanswered => ledger.charge_unanswered(limits, now, now + limits.linger),
            Settlement::Answered => {
                ledger.charge(limits, now);
                ledger.recover(granted_at);
            }
            Settlement::Refused { named } => {
                ledger.charge(limits, now);
                ledger.refuse(limits, granted_at, named, spread, now);
            }
        });
    }

    fn egress_up(&mut self, egress: EgressId, agent: AgentId) {
        let index = egress.0 as usize;
        if self.egresses.len() <= index {
            self.egresses.resize_with(index + 1, Egress::default);
        }
        if !self.roster.contains(&egress) {
            self.roster.push(egress);
        }
        self.egress_down(egress);
        self.egresses[index].agent = Some(agent);
        self.agents.entry(agent).or_default().egresses.insert(egress);
        for service in self.egresses[index].lanes.clone() {
            self.lanes[service.0 as usize].make_ready(egress);
        }
        self.touch_all();
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
        self.ledger(service, egress, |ledger, _| ledger.reserve(now));
        self.take_off(attempt, job, service, egress, now);
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
        let lost_at = now + lane.limits.timeout + lane.limits.linger;
        lane.overdue.insert((lost_at, attempt));
        self.flights.insert(attempt, Flight { job, service, egress, granted_at: now, lost_at });
    }

    /// Changes a ledger and has its seat looked at again.
    fn ledger(&mut self, service: ServiceId, egress: EgressId, change: impl FnOnce(&mut Ledger, &Limits)) {
        let index = egress.0 as usize;
        if self.egresses.len() <= index {
            self.egresses.resize_with(index + 1, Egress::default);
        }
        let lane = &mut self.lanes[service.0 as usize];
        if lane.change(egress, change) {
            self.egresses[index].lanes.push(service);
        }
        lane.make_ready(egress);
        self.touched.insert(service);
    }

    fn set_paused(&mut self, service: ServiceId, paused: bool) {
        self.lanes[service.0 as usize].paused = paused;
        self.touched.insert(service);
    }

    fn touch_all(&mut self) {
        let waiting = (0u32..).zip(&self.lanes).filter(|(_, lane)| !lane.queue.is_empty());
        self.touched.extend(waiting.map(|(index, _)| ServiceId(index)));
    }
}

#[cfg(test)]
mod tests;
