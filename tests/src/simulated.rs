//! A whole fleet in virtual time: the real scheduler, the real ledgers on both sides, a network in between, and
//! remotes that count for themselves. Hours pass in milliseconds, and the same seed gives the same run.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;
use std::time::{Duration, Instant as Wall};

use egret_core::forecast::Forecast;
use egret_core::id::{AgentId, AttemptId, EgressId, FlowId, JobId, ServiceId, TenantId};
use egret_core::ledger::{Ledger, Ready};
use egret_core::quota::{Limits, Terms};
use egret_core::scheduler::{
    Class, Command, Event, FlowKind, LONGEST_HOLD, Scheduler, Selector, Settlement, Step,
};
use egret_core::time::Instant;
use egret_testkit::{Counters, Limit};

use crate::ideal;

const SERVICE: ServiceId = ServiceId(0);
/// Far from the clock's origin, as every shell's start.
const START: Instant = Instant::from_micros(400 * 86_400 * 1_000_000);

/// What is simulated.
#[derive(Clone, Debug)]
pub struct Fleet {
    /// What the configuration says of the service.
    pub terms: Terms,
    /// How the service really counts, for each address by itself.
    pub limits: Vec<Limit>,
    /// Addresses, each with an agent of its own.
    pub egresses: u32,
    /// From coordinator to agent, and back.
    pub link: Duration,
    /// From agent to service, and back, each.
    pub way: RangeInclusive<Duration>,
    /// How long it runs; work never ends before.
    pub lasts: Duration,
    /// For the network.
    pub seed: u64,
}

/// What came of it.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// Calls that arrived at the remotes.
    pub sent: usize,
    /// Of those, refused.
    pub refused: usize,
    /// What senders would have sent that waste nothing.
    pub bound: usize,
    /// Grants that agents gave back because their own ledgers did not let them leave in time.
    pub given_back: usize,
}

impl Outcome {
    /// Sent, in parts of the bound.
    pub fn utilisation(&self) -> f64 {
        self.sent as f64 / self.bound as f64
    }
}

/// What came of a fixed number of jobs.
#[derive(Clone, Debug)]
pub struct Drained<T> {
    /// Calls and refusals; nothing is said of a bound.
    pub outcome: Outcome,
    /// What was answered on the way, and when: after the beginning.
    pub asked: Vec<(Duration, T)>,
    /// When the call of each job left that was not given back, in the order of the jobs, which are counted from 1.
    pub sent: Vec<Duration>,
    /// When the last one was reported.
    pub ended: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    Granted(u32, JobId, AttemptId),
    Pump(u32),
    Arrived(u32, Call),
    Answered(u32, Call, bool),
    Reported(u32, Call, Ended),
    Tick,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Call {
    job: JobId,
    attempt: AttemptId,
    granted_at: Instant,
    sent_at: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Ended {
    Answered(Duration),
    Refused(Duration),
    GivenBack(Duration, Option<Duration>),
}

struct Host {
    ledger: Ledger,
    held: VecDeque<(JobId, AttemptId, Instant)>,
    remote: Counters,
}

struct Run<'a> {
    fleet: &'a Fleet,
    limits: Limits,
    scheduler: Scheduler,
    hosts: Vec<Host>,
    queue: BinaryHeap<Reverse<(Instant, u64, Happening)>>,
    happened: u64,
    /// When the next tick is due; others that were planned are passed over.
    tick_at: Instant,
    origin: Wall,
    jobs: u64,
    /// Jobs come as they are needed.
    is_endless: bool,
    /// When the last call of each job left.
    sent: BTreeMap<JobId, Instant>,
    reported: u64,
    rng: fastrand::Rng,
    outcome: Outcome,
}

impl Fleet {
    /// Runs it to its end.
    pub fn run(&self) -> Outcome {
        let mut run = self.begin();
        let limits = self.terms.limits();
        let mut rng = run.rng.fork();
        let bound = (0..self.egresses)
            .map(|_| ideal::sends(&limits, self.lasts, || self.there(&mut rng) + self.there(&mut rng)).len());
        run.outcome.bound = bound.sum();
        run.go(START + self.lasts, |_, _| true);
        run.outcome
    }

    /// Runs until so many jobs, all of them there from the beginning, have ended, and asks when these parts of them have.
    pub fn drain<T>(
        &self,
        jobs: u64,
        parts: &[f64],
        mut ask: impl FnMut(&Scheduler, Instant) -> T,
    ) -> Drained<T> {
        let mut run = self.begin();
        run.is_endless = false;
        (0..jobs).for_each(|_| run.enqueue(START));
        let mut asked = Vec::new();
        let mut ended = START;
        run.go(START + self.lasts, |run, now| {
            ended = now;
            let part = run.reported as f64 / jobs as f64;
            if parts.get(asked.len()).is_some_and(|next| part >= *next) {
                asked.push((now.since(START), ask(&run.scheduler, now)));
            }
            run.reported < jobs
        });
        let sent = run.sent.values().map(|at| at.since(START)).collect();
        Drained { outcome: run.outcome, asked, sent, ended: ended.since(START) }
    }

    /// What the coordinator foresees at this point.
    pub fn forecast(&self, scheduler: &Scheduler, now: Instant) -> Forecast {
        let up = (0..self.egresses).map(|n| (EgressId(n), address(n), &[][..]));
        Forecast::of(scheduler, SERVICE, up, *self.way.start() + *self.way.end(), now)
    }

    fn begin(&self) -> Run<'_> {
        let mut rng = fastrand::Rng::with_seed(self.seed);
        let origin = Wall::now();
        let host = |_| Host {
            ledger: Ledger::default(),
            held: VecDeque::new(),
            remote: Counters::new(&self.limits, false, origin),
        };
        Run {
            fleet: self,
            limits: self.terms.limits(),
            scheduler: scheduler(&self.terms, rng.fork()),
            hosts: (0..self.egresses).map(host).collect(),
            queue: BinaryHeap::new(),
            happened: 0,
            tick_at: START,
            origin,
            jobs: 0,
            is_endless: true,
            sent: BTreeMap::new(),
            reported: 0,
            rng,
            outcome: Outcome { sent: 0, refused: 0, bound: 0, given_back: 0 },
        }
    }

    fn there(&self, rng: &mut fastrand::Rng) -> Duration {
        *self.way.start() + (*self.way.end() - *self.way.start()).mul_f64(rng.f64())
    }
}

impl Run<'_> {
    /// Until nothing happens any more, or `goes_on` says no.
    fn go(&mut self, end: Instant, mut goes_on: impl FnMut(&Self, Instant) -> bool) {
        for n in 0..self.fleet.egresses {
            let (egress, agent) = (EgressId(n), AgentId(u64::from(n)));
            let address = address(n);
            self.scheduler.handle(Event::EgressUp { egress, agent, address, tags: Vec::new() }, START);
            self.scheduler.handle(Event::Credit { agent, grants: u32::MAX }, START);
        }
        self.at(START, Happening::Tick);
        while let Some(Reverse((now, _, happening))) = self.queue.pop().filter(|next| next.0.0 <= end) {
            self.happen(happening, now);
            if matches!(happening, Happening::Reported(..)) && !goes_on(self, now) {
                return;
            }
        }
    }

    fn at(&mut self, at: Instant, happening: Happening) {
        self.happened += 1;
        self.queue.push(Reverse((at, self.happened, happening)));
    }

    fn happen(&mut self, happening: Happening, now: Instant) {
        match happening {
            Happening::Tick if now == self.tick_at => self.tick(now),
            Happening::Tick => {}
            Happening::Granted(host, job, attempt) => {
                self.hosts[host as usize].held.push_back((job, attempt, now));
                self.pump(host, now);
            }
            Happening::Pump(host) => self.pump(host, now),
            Happening::Arrived(host, call) => {
                let at = self.origin + now.since(START);
                let refused = !self.hosts[host as usize].remote.admit(at);
                self.outcome.sent += 1;
                self.outcome.refused += usize::from(refused);
                let back = self.fleet.there(&mut self.rng);
                self.at(now + back, Happening::Answered(host, call, refused));
            }
            Happening::Answered(host, call, refused) => {
                self.hosts[host as usize].ledger.charge(&self.limits, now);
                let at_agent = now.since(call.granted_at);
                let ended = if refused { Ended::Refused(at_agent) } else { Ended::Answered(at_agent) };
                self.at(now + self.fleet.link, Happening::Reported(host, call, ended));
                self.pump(host, now);
            }
            Happening::Reported(host, call, ended) => self.report(host, call, ended, now),
        }
    }

    /// The agent's gate: what may leave now leaves.
    fn pump(&mut self, host: u32, now: Instant) {
        loop {
            let state = &mut self.hosts[host as usize];
            let Some((job, attempt, granted_at)) = state.held.front().copied() else { return };
            let latest = granted_at + LONGEST_HOLD;
            let call = Call { job, attempt, granted_at, sent_at: now };
            match state.ledger.ready(&self.limits, now) {
                Ready::Now if now < latest => {
                    state.held.pop_front();
                    state.ledger.reserve(&self.limits, now);
                    self.sent.insert(job, now);
                    let there = self.fleet.there(&mut self.rng);
                    self.at(now + there, Happening::Arrived(host, call));
                }
                Ready::At(at) if at < latest => return self.at(at, Happening::Pump(host)),
                Ready::OnCompletion if now < latest => return self.at(latest, Happening::Pump(host)),
                ready => {
                    state.held.pop_front();
                    let ready_in = if let Ready::At(at) = ready { Some(at.since(now)) } else { None };
                    self.outcome.given_back += 1;
                    let ended = Ended::GivenBack(now.since(granted_at), ready_in);
                    self.at(now + self.fleet.link, Happening::Reported(host, call, ended));
                }
            }
        }
    }

    fn report(&mut self, host: u32, call: Call, ended: Ended, now: Instant) {
        let (service, egress, attempt) = (SERVICE, EgressId(host), call.attempt);
        let (settlement, at_agent) = match ended {
            Ended::Answered(at_agent) => (Settlement::Answered, at_agent),
            Ended::Refused(at_agent) => (Settlement::Refused { named: None }, at_agent),
            Ended::GivenBack(at_agent, _) => (Settlement::Withdrawn, at_agent),
        };
        let (at_agent, took) = (Some(at_agent), None);
        self.reported += u64::from(settlement == Settlement::Answered);
        self.scheduler.handle(Event::Settle { attempt, settlement, at_agent, took }, now);
        if let Ended::GivenBack(_, Some(reset)) = ended {
            self.scheduler.handle(Event::Left { service, egress, calls: 0, reset }, now);
        }
        if settlement != Settlement::Answered && !self.is_endless {
            self.scheduler.handle(Event::Enqueue(step(call.job)), now);
        }
        self.tick(now);
    }

    fn enqueue(&mut self, now: Instant) {
        self.jobs += 1;
        self.scheduler.handle(Event::Enqueue(step(JobId(self.jobs))), now);
    }

    fn tick(&mut self, now: Instant) {
        // Work never ends: as much waits as could possibly leave.
        while self.is_endless && self.scheduler.backlog(SERVICE).0 < 4 * self.fleet.egresses as usize {
            self.enqueue(now);
        }
        self.scheduler.tick(now);
        let mut has_granted = false;
        while let Some(command) = self.scheduler.next_command() {
            if let Command::Grant { attempt, job, egress, .. } = command {
                has_granted = true;
                self.at(now + self.fleet.link, Happening::Granted(egress.0, job, attempt));
            }
        }
        if has_granted {
            return self.tick(now);
        }
        if let Some(wake_at) = self.scheduler.wake_at().filter(|at| *at > now && *at != self.tick_at) {
            self.tick_at = wake_at;
            self.at(wake_at, Happening::Tick);
        }
    }
}

fn address(egress: u32) -> IpAddr {
    Ipv4Addr::from(0x0a00_0000 + egress * 256).into()
}

/// With one flow.
fn scheduler(terms: &Terms, rng: fastrand::Rng) -> Scheduler {
    let mut scheduler = Scheduler::new(vec![terms.rules()], 1, rng);
    let (class, tenant, selector) = (Class::Normal, TenantId(0), Selector::default());
    let kind = FlowKind { service: SERVICE, class, tenant, selector };
    scheduler.handle(Event::Open { flow: FlowId(0), kind, stored: 0, last: None }, START);
    scheduler
}

fn step(job: JobId) -> Step {
    Step {
        job,
        flow: FlowId(0),
        deadline: Instant::from_micros(u64::MAX),
        not_before: Instant::ZERO,
        avoid: None,
        is_stored: false,
    }
}

#[cfg(test)]
mod tests;
