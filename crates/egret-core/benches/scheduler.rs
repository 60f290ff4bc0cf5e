//! What a decision costs at scale, in virtual time: jobs of many services wait in a store that is only counted, answers
//! take 50 to 250 ms, and every call holds three quotas.
//!
//! Only the time spent in the scheduler is counted: handing events in, deciding, taking commands out. It is taken from the
//! wall clock, and shortened by the part of the whole run in which the thread did not get a processor.
//!
//! `cargo bench -p egret-core --bench scheduler [SERVICES EGRESSES JOBS]`

#![allow(clippy::print_stdout, reason = "a bench prints its table")]
#![allow(clippy::disallowed_methods, reason = "a bench reads what it used; what it measures reads nothing")]

use std::net::Ipv4Addr;
use std::time::{Duration, Instant as Wall};

use egret_core::id::{AgentId, AttemptId, EgressId, FlowId, JobId, ServiceId, TenantId};
use egret_core::quota::{Counting, Quota, Terms};
use egret_core::scheduler::{Class, Command, Event, FlowKind, Place, Scheduler, Selector, Settlement, Step};
use egret_core::time::Instant;

/// Far from the clock's origin, as every shell's start.
const START: Instant = Instant::from_micros(400 * 86_400 * 1_000_000);
const DEADLINE: Instant = Instant::from_micros(800 * 86_400 * 1_000_000);

/// What is run: services, egresses, jobs.
#[derive(Clone, Copy)]
struct Size {
    services: u32,
    egresses: u32,
    jobs: u64,
}

struct Run {
    size: Size,
    scheduler: Scheduler,
    flying: Flying,
    commands: Vec<Command>,
    rng: fastrand::Rng,
    spent: Duration,
    granted: u64,
    most_at_once: usize,
}

/// Calls by the millisecond in which they end: the world outside is to take as little of the caches as it can.
struct Flying([Vec<(ServiceId, AttemptId)>; 256]);

impl Default for Flying {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Vec::new()))
    }
}

impl Flying {
    fn push(&mut self, now: Instant, millis: u64, call: (ServiceId, AttemptId)) {
        self.0[((now.as_micros() / 1_000 + millis) % 256) as usize].push(call);
    }

    /// When the first ends that has not: at the end of its millisecond.
    fn next(&self, now: Instant) -> Option<Instant> {
        let here = now.as_micros() / 1_000;
        let ends = (here..here + 256).find(|ms| !self.0[(ms % 256) as usize].is_empty());
        ends.map(|ms| Instant::from_micros((ms + 1) * 1_000))
    }

    fn land(&mut self, now: Instant) -> Vec<(ServiceId, AttemptId)> {
        let ended = now.as_micros() / 1_000 - 1;
        std::mem::take(&mut self.0[(ended % 256) as usize])
    }
}

fn terms() -> Terms {
    Terms {
        quotas: vec![
            Quota::new(2, Duration::from_secs(1)),
            Quota::new(40, Duration::from_secs(60)),
            Quota::new(1_000, Duration::from_secs(86_400)),
        ],
        counting: Counting::Sliding,
        cost: 1,
        concurrency: None,
        cool_down: Duration::from_secs(60),
        max_cool_down: Duration::from_secs(3_600),
        timeout: Duration::from_secs(10),
        linger: Duration::from_secs(2),
    }
}

impl Run {
    fn new(size: Size) -> Self {
        let rules = (0..size.services).map(|_| terms().rules()).collect();
        let mut scheduler = Scheduler::new(rules, 1, fastrand::Rng::with_seed(1));
        for n in 0..size.egresses {
            let (egress, agent) = (EgressId(n), AgentId(u64::from(n)));
            let address = Ipv4Addr::from(0x0a00_0000 + n).into();
            scheduler.handle(Event::EgressUp { egress, agent, address, tags: Vec::new() }, START);
            scheduler.handle(Event::Credit { agent, grants: u32::MAX }, START);
        }
        for n in 0..size.services {
            let (service, class, tenant) = (ServiceId(n), Class::Normal, TenantId(0));
            let kind = FlowKind { service, class, tenant, selector: Selector::default() };
            let stored = size.jobs / u64::from(size.services);
            scheduler.handle(Event::Open { flow: FlowId(n), kind, stored, last: None }, START);
        }
        let (flying, rng) = (Flying::default(), fastrand::Rng::with_seed(2));
        Self {
            size,
            scheduler,
            flying,
            commands: Vec::new(),
            rng,
            spent: Duration::ZERO,
            granted: 0,
            most_at_once: 0,
        }
    }

    /// Until every job was answered; returns the virtual time that took.
    fn go(&mut self) -> Duration {
        let mut now = START;
        self.decide(now);
        loop {
            let landing = self.flying.next(now);
            let next = [landing, self.scheduler.wake_at()].into_iter().flatten().min();
            let Some(next) = next.filter(|_| landing.is_some() || self.granted < self.size.jobs) else {
                return now.since(START);
            };
            now = now.max(next);
            let mut ends = self.flying.land(now);
            let began = Wall::now();
            ends.sort_unstable_by_key(|end| end.0);
            for ends in ends.chunks(32) {
                self.scheduler.foresee(ends.iter().map(|end| end.1));
                for (_, attempt) in ends {
                    let (settlement, took) = (Settlement::Answered, Some(Duration::from_millis(100)));
                    let end = Event::Settle { attempt: *attempt, settlement, at_agent: None, took };
                    self.scheduler.handle(end, now);
                }
            }
            self.spent += began.elapsed();
            self.decide(now);
        }
    }

    fn decide(&mut self, now: Instant) {
        let mut commands = std::mem::take(&mut self.commands);
        loop {
            let began = Wall::now();
            self.scheduler.tick(now);
            commands.extend(std::iter::from_fn(|| self.scheduler.next_command()));
            self.spent += began.elapsed();
            if commands.is_empty() {
                self.commands = commands;
                return;
            }
            self.most_at_once = self.most_at_once.max(commands.len());
            for command in commands.drain(..) {
                match command {
                    Command::Grant { attempt, service, .. } => {
                        self.granted += 1;
                        self.flying.push(now, self.rng.u64(50..250), (service, attempt));
                    }
                    Command::Load { flow, after, most } => self.load(flow, after, most, now),
                    other => panic!("nothing is lost, late or down here: {other:?}"),
                }
            }
        }
    }

    /// The store: jobs of a flow are numbered in order.
    fn load(&mut self, flow: FlowId, after: Option<Place>, most: usize, now: Instant) {
        let per_flow = self.size.jobs / u64::from(self.size.services);
        let first = after.map_or(0, |(_, job)| job.0 % per_flow + 1);
        let last = (first + most as u64).min(per_flow);
        let step = |n: u64| Step {
            job: JobId(u64::from(flow.0) * per_flow + n),
            flow,
            deadline: DEADLINE,
            not_before: Instant::ZERO,
            avoid: None,
            is_stored: true,
        };
        let steps: Vec<Step> = (first..last).map(step).collect();
        let through = steps.last().map(Step::place).filter(|_| last < per_flow);
        let began = Wall::now();
        self.scheduler.handle(Event::Loaded { flow, steps, through }, now);
        self.spent += began.elapsed();
    }
}

fn main() {
    let given: Vec<u64> = std::env::args().filter_map(|arg| arg.parse().ok()).collect();
    let sizes = match given[..] {
        [services, egresses, jobs] => {
            vec![Size { services: services as u32, egresses: egresses as u32, jobs }]
        }
        _ => vec![
            Size { services: 1, egresses: 10_000, jobs: 3_000_000 },
            Size { services: 100, egresses: 1_000, jobs: 10_000_000 },
            Size { services: 1_000, egresses: 1_000, jobs: 10_000_000 },
        ],
    };
    println!("| services x egresses | jobs | ns a decision | most at once | virtual time |");
    println!("|---|---|---|---|---|");
    for size in sizes {
        let (began, ran) = (Wall::now(), on_cpu());
        let mut run = Run::new(size);
        let took = run.go();
        let part = (on_cpu() - ran) as f64 / began.elapsed().as_nanos() as f64;
        let nanos = (run.spent.as_nanos() as f64 * part.min(1.0)) as u64 / run.granted.max(1);
        let Size { services, egresses, .. } = size;
        println!(
            "| {services} x {egresses} | {} | {nanos} | {} | {} s |",
            run.granted,
            run.most_at_once,
            took.as_secs()
        );
    }
}

/// Nanoseconds that this thread has run (proc(5): schedstat).
fn on_cpu() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    stat.split_whitespace().next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0)
}
