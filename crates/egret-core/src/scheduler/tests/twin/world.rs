//! The scheduler, its twin, and a shell that obeys.

use super::acts::Act;
use super::*;

/// Calls without an answer that make an outage, and the first wait of one.
const STREAK: usize = 6;
const FIRST_WAIT: Duration = Duration::from_secs(5);
const LONGEST_WAIT: Duration = Duration::from_secs(120);

#[derive(Clone, Copy, Debug)]
pub(super) struct Flight {
    pub(super) attempt: AttemptId,
    pub(super) job: JobId,
    pub(super) egress: EgressId,
    pub(super) granted_at: Instant,
    pub(super) lost_at: Instant,
    pub(super) is_recalled: bool,
}

pub(super) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(super) fn nth_of<T>(all: impl Iterator<Item = T>, nth: usize) -> Option<T> {
    let mut all: Vec<T> = all.collect();
    let nth = nth % all.len().max(1);
    (nth < all.len()).then(|| all.swap_remove(nth))
}

/// Calls without an answer since the last one that had one, and the outage that they made.
#[derive(Debug, Default)]
pub(super) struct Silence {
    from: Vec<EgressId>,
    pub(super) down: Option<(Instant, Duration, Option<AttemptId>)>,
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) scheduler: Scheduler,
    pub(super) now: Instant,
    pub(super) budgets: Budgets,
    pub(super) lines: Lines,
    pub(super) homes: BTreeMap<EgressId, Home>,
    pub(super) up: BTreeMap<EgressId, AgentId>,
    pub(super) credit: BTreeMap<AgentId, u32>,
    pub(super) flights: Vec<Flight>,
    /// What was given up, and what it counted towards.
    pub(super) lost: Vec<(AttemptId, EgressId, Vec<Of>)>,
    pub(super) ended: Vec<(AttemptId, EgressId)>,
    pub(super) silence: Silence,
    pub(super) is_paused: bool,
    pub(super) is_stopped: bool,
    pub(super) jobs: u64,
    pub(super) flows: u32,
    pub(super) adopted: u64,
}

impl World {
    pub(super) fn new(quotas: Vec<Quota>, concurrency: Option<u32>) -> Self {
        let terms = Terms { concurrency, timeout: TIMEOUT, linger: LINGER, ..Terms::sliding(quotas.clone()) };
        let mut world = Self {
            scheduler: Scheduler::new(vec![terms.rules()], 1, fastrand::Rng::with_seed(1)),
            now: START,
            budgets: Budgets::new(quotas, concurrency),
            lines: Lines::default(),
            homes: BTreeMap::new(),
            up: BTreeMap::new(),
            credit: BTreeMap::new(),
            flights: Vec::new(),
            lost: Vec::new(),
            ended: Vec::new(),
            silence: Silence::default(),
            is_paused: false,
            is_stopped: false,
            jobs: 0,
            flows: 0,
            adopted: 0,
        };
        for n in 0..3 {
            world.act(&Act::Up { egress: n, agent: u64::from(n), is_tagged: n == 0 });
            world.act(&Act::Credit(u64::from(n), 5));
            let (class, tenant) = (n as usize, 0);
            world.act(&Act::Open { class, tenant, selector: 0, stored: Vec::new() });
        }
        world
    }

    pub(super) fn act(&mut self, act: &Act) {
        match *act {
            Act::Pass(ms) => return self.sleep(self.now + Duration::from_millis(ms)),
            Act::Leap(nth) => {
                let mut instants = self.budgets.instants(self.now);
                instants.extend(self.lines.instants());
                instants.extend(self.silence.down.map(|down| down.0));
                instants.extend(self.flights.iter().map(|flight| flight.lost_at));
                instants.retain(|at| *at > self.now);
                instants.sort();
                if let Some(at) = instants.get(nth % instants.len().max(1)) {
                    self.sleep(*at);
                }
                return;
            }
            Act::Oversleep(length) => self.now = self.now + ms(length),
            ref act => self.happen(act),
        }
        self.turn();
    }

    fn happen(&mut self, act: &Act) {
        let now = self.now;
        match *act {
            Act::Open { class, tenant, selector, ref stored } if self.lines.lines.len() < 8 => {
                self.open(Class::ALL[class], TenantId(tenant), super::selector(selector), stored);
            }
            Act::Close(nth) => {
                let is_over = |(flow, line): &(&FlowId, &Line)| {
                    line.reading.is_none() && self.lines.of_line(**flow).next().is_none()
                };
                let over: Vec<FlowId> =
                    self.lines.lines.iter().filter(is_over).map(|entry| *entry.0).collect();
                if let Some(flow) = over.get(nth % over.len().max(1)) {
                    self.lines.lines.remove(flow);
                    self.tell(Event::Close(*flow));
                }
            }
            Act::Enqueue { flow, is_stored, avoid, lasts, wait } => {
                let Some(flow) = self.nth_flow(flow) else { return };
                let is_stored = is_stored && avoid.is_none() && wait.is_none();
                let deadline = lasts.map_or(START + Duration::from_secs(1_000_000), |wait| now + ms(wait));
                let not_before = wait.map_or(Instant::ZERO, |wait| now + ms(wait));
                self.jobs += 1;
                let (job, avoid) = (JobId(self.jobs), avoid.map(EgressId));
                self.enqueue(Step { job, flow, deadline, not_before, avoid, is_stored });
            }
            Act::Withdraw(nth) => {
                let Some(job) = nth_of(self.lines.jobs.values().copied(), nth) else { return };
                self.lines.jobs.remove(&job.step.job);
                self.tell(match job.at {
                    Where::Store => Event::Gone(job.step.flow),
                    _ => Event::Withdraw(job.step.job),
                });
            }
            Act::Finish { flight, settlement, avoids, wait } => {
                let Some(flight) = nth_of(self.flights.iter().copied(), flight) else { return };
                let step = self.finish(flight, settlement).filter(|_| settlement != Settlement::Answered);
                if let Some(step) = step {
                    let not_before = wait.map_or(Instant::ZERO, |wait| now + ms(wait));
                    let avoid = avoids.then_some(flight.egress);
                    self.enqueue(Step { not_before, avoid, is_stored: false, ..step });
                }
            }
            Act::Late(nth, settlement) => {
                let Some((attempt, egress, of)) = nth_of(self.lost.iter().cloned(), nth) else { return };
                self.lost.retain(|lost| lost.0 != attempt);
                self.budgets.settle_late(egress, &of, settlement, now);
                self.ended.push((attempt, egress));
                self.settle(attempt, settlement);
            }
            Act::Twice => {
                if let Some((attempt, _)) = self.ended.last().copied() {
                    self.settle(attempt, Settlement::Answered);
                }
            }
            Act::Deliver(nth) => {
                let reading = |(flow, line): (&FlowId, &Line)| line.reading.is_some().then_some(*flow);
                let flow = nth_of(self.lines.lines.iter().filter_map(reading), nth);
                if let Some(event) = flow.and_then(|flow| self.lines.deliver(flow)) {
                    self.tell(event);
                }
            }
            Act::Hold(nth, is_held) => {
                let Some(flow) = self.nth_flow(nth) else { return };
                self.lines.lines.get_mut(&flow).expect("it is open").is_held = is_held;
                self.tell(Event::Hold(flow, is_held));
                let of_flow = |flight: &Flight| {
                    self.lines.jobs.get(&flight.job).is_some_and(|job| job.step.flow == flow)
                };
                assert!(!is_held || self.flights.iter().filter(|f| of_flow(f)).all(|f| f.is_recalled));
            }
            Act::Pause(is_paused) => {
                self.is_paused = is_paused;
                self.tell(if is_paused { Event::Pause(SERVICE) } else { Event::Resume(SERVICE) });
                assert!(!is_paused || self.flights.iter().all(|flight| flight.is_recalled));
            }
            Act::Stop(is_stopped) => {
                self.is_stopped = is_stopped;
                self.tell(Event::Stop(is_stopped));
                assert!(!is_stopped || self.flights.iter().all(|flight| flight.is_recalled));
            }
            Act::Weigh(tenant, weight) => {
                self.lines.weights.insert(TenantId(tenant), u64::from(weight));
                self.tell(Event::Weigh(TenantId(tenant), weight));
            }
            ref act => self.happen_to_fleet(act),
        }
    }

    fn nth_flow(&self, nth: usize) -> Option<FlowId> {
        nth_of(self.lines.lines.keys().copied(), nth)
    }

    fn open(&mut self, class: Class, tenant: TenantId, selector: Selector, stored: &[u64]) {
        self.flows += 1;
        let (flow, now) = (FlowId(self.flows), self.now);
        let line = Line {
            class,
            tenant,
            selector: selector.clone(),
            is_held: false,
            reading: None,
            counts_one_more: false,
        };
        self.lines.lines.insert(flow, line);
        for lasts in stored {
            self.jobs += 1;
            let (job, deadline) = (JobId(self.jobs), now + ms(*lasts));
            let step = Step { job, flow, deadline, not_before: Instant::ZERO, avoid: None, is_stored: true };
            self.lines.jobs.insert(job, Job { step, at: Where::Store, avoids_until: now });
        }
        let last = self.lines.of_line(flow).map(|job| job.step.place()).max();
        let kind = FlowKind { service: SERVICE, class, tenant, selector };
        self.tell(Event::Open { flow, kind, stored: stored.len() as u64, last });
    }

    pub(super) fn enqueue(&mut self, step: Step) {
        self.lines.enqueue(step, self.now);
        self.tell(Event::Enqueue(step));
    }

    fn settle(&mut self, attempt: AttemptId, settlement: Settlement) -> Option<Command> {
        let (at_agent, took) = (None, None);
        self.tell(Event::Settle { attempt, settlement, at_agent, took })
    }

    /// A call of an egress is in flight from now on.
    pub(super) fn take_off(&mut self, attempt: AttemptId, job: JobId, egress: EgressId, granted_at: Instant) {
        let of = self.budgets.of(egress, self.homes.get(&egress));
        self.budgets.reserve(attempt, egress, &of);
        let lost_at = self.now + LONGEST_HOLD + TIMEOUT + LINGER;
        self.flights.push(Flight { attempt, job, egress, granted_at, lost_at, is_recalled: false });
    }

    /// A call ends. Returns the step of its job, if the job is open.
    pub(super) fn finish(&mut self, flight: Flight, settlement: Settlement) -> Option<Step> {
        let Flight { attempt, job, egress, granted_at, .. } = flight;
        self.flights.retain(|other| other.attempt != attempt);
        self.ended.push((attempt, egress));
        self.budgets.settle(attempt, (egress, granted_at), settlement, self.now);
        let expected = self.hear(attempt, egress, settlement);
        let step = self.stop_running(job, attempt);
        assert_eq!(self.settle(attempt, settlement), expected, "{settlement:?}");
        step
    }

    pub(super) fn stop_running(&mut self, job: JobId, attempt: AttemptId) -> Option<Step> {
        self.lines.jobs.get(&job).filter(|job| job.at == Where::Running(attempt))?;
        self.lines.jobs.remove(&job).map(|job| job.step)
    }

    /// What an end says of the service.
    fn hear(&mut self, attempt: AttemptId, egress: EgressId, settlement: Settlement) -> Option<Command> {
        let Silence { from, down } = &mut self.silence;
        match (settlement, down) {
            (Settlement::Answered | Settlement::Refused { .. }, down) => {
                from.clear();
                down.take().map(|_| Command::Back(SERVICE))
            }
            (Settlement::Unanswered, Some((next_try, wait, trial))) => {
                if *trial == Some(attempt) {
                    *wait = (*wait * 2).min(LONGEST_WAIT);
                    (*next_try, *trial) = (self.now + *wait, None);
                }
                None
            }
            (Settlement::Unanswered, down) => {
                from.push(egress);
                let are_several = from.iter().any(|other| *other != from[0]) || self.up.len() < 2;
                (from.len() >= STREAK && are_several).then(|| {
                    *down = Some((self.now + FIRST_WAIT, FIRST_WAIT, None));
                    Command::Down(SERVICE)
                })
            }
            (Settlement::Withdrawn | Settlement::NotSent, Some((_, _, trial))) => {
                trial.take_if(|trial| *trial == attempt);
                None
            }
            (Settlement::Withdrawn | Settlement::NotSent, None) => None,
        }
    }
}
