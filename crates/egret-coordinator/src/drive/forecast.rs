//! What is foreseen, and why a job waits: copied or said here between two turns; forecasts are played elsewhere.

use std::collections::HashMap;
use std::time::Duration;

use egret_core::forecast::Forecast;
use egret_core::forecast::hindrance::{Hindrance, hindrances};
use egret_core::forecast::order::Line;
use egret_core::id::{BatchId, EgressId, JobId, ServiceId};
use egret_core::ledger::{Ledger, Ready};
use egret_core::quota::{Limits, Quota};
use egret_core::scheduler::{Class, Wait};
use egret_core::scope::Scope;
use egret_core::time::Instant;
use egret_wire::api::{Why, WhyKind};
use egret_wire::value::{Span, Time};

use super::fleet::home;
use super::{Drive, Job, views};
use crate::clock::wall_ms;

/// Answers over which the usual one is smoothed (chosen).
const SMOOTHING: f64 = 16.0;
/// What an answer takes, in milliseconds, and is long, in bytes, before there was one (chosen: a whois answer).
const FIRST: Answer = Answer { took_ms: 150.0, bytes: 2_000.0 };
/// Budgets in the way that are told of, those first that are out of it first.
const MOST_TOLD: usize = 20;

/// The usual answer of each service.
#[derive(Debug, Default)]
pub(super) struct Usual(HashMap<ServiceId, Answer>);

/// An answer, as far as forecasts care.
#[derive(Clone, Copy, Debug)]
struct Answer {
    took_ms: f64,
    bytes: f64,
}

/// The last waiting job of a batch at one service in one class, and where it stands in line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tail {
    service: ServiceId,
    class: Class,
    place: (Instant, JobId),
}

/// The state of one service, to be played.
pub(crate) struct Foresight {
    pub(crate) forecast: Forecast,
    /// What waits, by class.
    pub(crate) lines: Vec<Line<()>>,
    /// Steps that wait, back-offs included.
    pub(crate) waiting: u64,
    /// Attempts in flight.
    pub(crate) running: u64,
    pub(crate) standing: Standing,
    /// How long an answer takes.
    pub(crate) takes: Duration,
    /// How long it is.
    pub(crate) bytes: u64,
    pub(crate) now: Instant,
    /// What the wall clock showed then.
    pub(crate) wall_ms: u64,
}

/// Whether anything of a service leaves at all: what makes an older forecast worthless.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) is_paused: bool,
    /// Egresses that are up.
    pub(crate) up: usize,
}

/// What is left to be done for a batch at one service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Last {
    pub(crate) service: ServiceId,
    /// Where the last one stands that waits; `None`: all that are left are under way.
    pub(crate) wait: Option<Wait>,
}

/// Why an open job has no answer yet.
pub(crate) struct Reasons {
    pub(crate) service: ServiceId,
    pub(crate) why: Vec<Why>,
    /// Where it stands, while it waits.
    pub(crate) wait: Option<Wait>,
}

impl Usual {
    pub(super) fn observe(&mut self, service: ServiceId, took_ms: u64, bytes: usize) {
        let seen = Answer { took_ms: took_ms as f64, bytes: bytes as f64 };
        let usual = self.0.entry(service).or_insert(seen);
        usual.took_ms += (seen.took_ms - usual.took_ms) / SMOOTHING;
        usual.bytes += (seen.bytes - usual.bytes) / SMOOTHING;
    }

    fn get(&self, service: ServiceId) -> Answer {
        self.0.get(&service).copied().unwrap_or(FIRST)
    }
}

impl Foresight {
    /// An instant ahead as people see it.
    pub(crate) fn time(&self, at: Instant) -> Time {
        ahead(at, self.now, self.wall_ms)
    }
}

impl Drive {
    /// What a forecast of a service starts from.
    pub(crate) fn foresee(&self, service: ServiceId, now: Instant) -> Foresight {
        let (waiting, running) = self.scheduler.backlog(service);
        let usual = self.usual.get(service);
        let takes = Duration::from_secs_f64(usual.took_ms / 1_000.0);
        let up = self.up().map(|egress| {
            let state = self.fleet.egress(egress);
            (egress, home(&state.address), &state.tags[..])
        });
        Foresight {
            forecast: Forecast::of(&self.scheduler, service, up, takes, now),
            lines: self.scheduler.lines(service),
            waiting: waiting as u64,
            running: running as u64,
            standing: self.standing(service),
            takes,
            bytes: usual.bytes as u64,
            now,
            wall_ms: wall_ms(),
        }
    }

    /// Whether anything of a service leaves.
    pub(crate) fn standing(&self, service: ServiceId) -> Standing {
        Standing { is_paused: self.scheduler.is_paused(service), up: self.fleet.up() }
    }

    /// Notes whether a job is the last of its batch in its line.
    pub(super) fn note_tail(&mut self, job: &Job) {
        let progress = job.batch.and_then(|batch| self.batches.get_mut(&batch));
        let Some(tails) = progress.map(|progress| &mut progress.tails) else { return };
        lengthen(tails, job);
    }

    /// What is left to be done for a batch, by service; nothing if it is not open.
    pub(crate) fn last_of(&mut self, batch: BatchId) -> Vec<Last> {
        let Some(progress) = self.batches.get(&batch).filter(|progress| progress.open() > 0) else {
            return Vec::new();
        };
        let has_waiting = progress.open() > progress.running;
        let has_gone = |tail: &Tail| self.scheduler.wait(tail.place.1).is_none();
        if has_waiting && progress.tails.iter().any(has_gone) {
            // Those that go before it wait again, or somebody cancelled it.
            let waits = |job: &&Job| job.batch == Some(batch) && self.scheduler.running(job.id).is_none();
            let mut tails = Vec::new();
            self.jobs.values().filter(waits).for_each(|job| lengthen(&mut tails, job));
            if let Some(progress) = self.batches.get_mut(&batch) {
                progress.tails = tails;
            }
        }
        let tails = self.batches.get(&batch).map(|progress| &progress.tails[..]).unwrap_or_default();
        let last = |tail: &Tail| Last { service: tail.service, wait: self.scheduler.wait(tail.place.1) };
        tails.iter().map(last).collect()
    }

    /// Why an open job has no answer yet; `None`: it is not open.
    pub(crate) fn reasons(&self, job: JobId, now: Instant) -> Option<Reasons> {
        let open = self.jobs.get(&job)?;
        let service = open.service;
        let Some(wait) = self.scheduler.wait(job) else {
            let egress = self.scheduler.running(job).and_then(|attempt| self.scheduler.left_from(attempt));
            let from = egress.map(|egress| format!(" from {}", self.fleet.address(egress)));
            let detail = format!("an attempt{} is under way", from.unwrap_or_default());
            let why = vec![Why { kind: WhyKind::Running, detail, until: None }];
            return Some(Reasons { service, why, wait: None });
        };
        let mut why = self.stopped(service, now);
        let wall = wall_ms();
        if let Some(until) = wait.not_before.filter(|until| *until > now) {
            let detail = "its last attempt failed, and it waits before the next".to_owned();
            why.push(Why { kind: WhyKind::BackOff, detail, until: Some(ahead(until, now, wall)) });
        }
        if wait.ahead > 0 {
            let name = self.services.name(service);
            let detail = match wait.ahead {
                1 => format!("1 job of {name} goes before it"),
                n => format!("{n} jobs of {name} go before it"),
            };
            why.push(Why { kind: WhyKind::Behind, detail, until: None });
        }
        why.extend(self.held(service, now, wall));
        if why.is_empty() {
            let detail = "nothing is in its way; it is handed out next".to_owned();
            why.push(Why { kind: WhyKind::Due, detail, until: None });
        }
        Some(Reasons { service, why, wait: Some(wait) })
    }

    /// What keeps all calls of a service from leaving, whatever its budgets.
    fn stopped(&self, service: ServiceId, now: Instant) -> Vec<Why> {
        let name = self.services.name(service);
        let paused = format!("{name} is paused; POST /v1/services/{name}/resume lets it go on");
        let nobody = "no egress is up; start an agent, or look why the agents cannot reach the coordinator";
        let disk = "outcomes and checkpoints wait for the disk; nothing is granted until it has caught up";
        [
            (self.scheduler.is_paused(service), WhyKind::Paused, paused),
            (self.up().next().is_none(), WhyKind::NoEgress, nobody.to_owned()),
            (!self.may_grant(now), WhyKind::Disk, disk.to_owned()),
        ]
        .into_iter()
        .filter_map(|(is_so, kind, detail)| is_so.then_some(Why { kind, detail, until: None }))
        .collect()
    }

    /// What is in the way at every egress that is up; nothing if one of them may send.
    fn held(&self, service: ServiceId, now: Instant, wall: u64) -> Vec<Why> {
        let key = |ready| match ready {
            Ready::Now => (0, now),
            Ready::At(at) => (1, at),
            Ready::OnCompletion => (2, now),
        };
        let outlook = |egress| (key(self.scheduler.outlook(service, egress, now).0), egress);
        let mut seats: Vec<_> = self.up().map(outlook).collect();
        let may_send = |seat: &((u8, Instant), EgressId)| seat.0.0 == 0 && self.takes_more(seat.1);
        if seats.iter().any(may_send) {
            return Vec::new();
        }
        seats.sort_unstable();
        let mut why: Vec<Why> = Vec::new();
        for (_, egress) in seats.into_iter().take(MOST_TOLD) {
            for found in self.held_at(service, egress, now, wall) {
                if !why.contains(&found) {
                    why.push(found);
                }
            }
        }
        why.sort_by_key(|why| (why.until.is_none(), why.until.map(|until| until.0)));
        why.truncate(MOST_TOLD);
        why
    }

    fn held_at(&self, service: ServiceId, egress: EgressId, now: Instant, wall: u64) -> Vec<Why> {
        let (state, rules) = (self.fleet.egress(egress), self.scheduler.rules(service));
        let own = self.scheduler.seat(service, egress).map(|ledger| {
            let holder =
                Holder { ledger, limits: &rules.own, scope: &Scope::Ip, name: state.address.clone() };
            self.told(service, &holder, now, wall)
        });
        let mut why = own.unwrap_or_default();
        for shared in self.scheduler.shares(service, egress) {
            let name = match shared.scope {
                Scope::Fleet => "the fleet".to_owned(),
                scope => format!("{} {}", scope.word().split(':').next().unwrap_or_default(), shared.key),
            };
            let holder = Holder { ledger: shared.ledger, limits: shared.limits, scope: shared.scope, name };
            why.extend(self.told(service, &holder, now, wall));
        }
        if !self.takes_more(egress) {
            let detail = format!(
                "the agent of {}, {}, takes no more calls until some have ended",
                state.address, state.owner_name
            );
            why.push(Why { kind: WhyKind::Agent, detail, until: None });
        }
        why
    }

    /// What is in the way at one ledger, in words.
    fn told(&self, service: ServiceId, holder: &Holder<'_>, now: Instant, wall: u64) -> Vec<Why> {
        let name = &holder.name;
        let say = |(hindrance, ready): (Hindrance, Ready)| {
            let (kind, detail) = match hindrance {
                Hindrance::Rest(rest) => (WhyKind::CoolDown, format!("{name} rests: {}", views::why(&rest))),
                Hindrance::Left => {
                    (WhyKind::CoolDown, format!("{name} rests: the service says that nothing is left"))
                }
                Hindrance::Stumble => (
                    WhyKind::CoolDown,
                    format!(
                        "{name} waits: its agent was not able to send, or knows of more calls than we do"
                    ),
                ),
                Hindrance::Window(index) => {
                    let quota = self.services.quota_at(service, holder.scope, index);
                    let quota = quota.map_or_else(|| "a quota".to_owned(), |quota| spoken(&quota));
                    let by =
                        if ready == Ready::OnCompletion { "taken by calls under way" } else { "used up" };
                    (WhyKind::Quota, format!("{quota} at {name} is {by}"))
                }
                Hindrance::Spacing => (WhyKind::Spacing, format!("calls from {name} are spaced")),
                Hindrance::Concurrency => (
                    WhyKind::Concurrency,
                    format!(
                        "{name} has as many calls open as may be at a time, {}",
                        holder.limits.concurrency.unwrap_or_default()
                    ),
                ),
            };
            let until = if let Ready::At(at) = ready { Some(ahead(at, now, wall)) } else { None };
            Why { kind, detail, until }
        };
        hindrances(holder.ledger, holder.limits, now).into_iter().map(say).collect()
    }

    fn up(&self) -> impl Iterator<Item = EgressId> {
        self.fleet.ids().filter(|egress| self.fleet.egress(*egress).is_up)
    }

    fn takes_more(&self, egress: EgressId) -> bool {
        let agent = self.fleet.agents.get(&self.fleet.egress(egress).owner);
        agent.is_some_and(|agent| agent.credit > 0)
    }
}

/// A ledger that may be in the way, and what people call its holder.
struct Holder<'a> {
    ledger: &'a Ledger,
    limits: &'a Limits,
    scope: &'a Scope,
    name: String,
}

fn lengthen(tails: &mut Vec<Tail>, job: &Job) {
    let place = (job.deadline, job.id);
    match tails.iter_mut().find(|tail| (tail.service, tail.class) == (job.service, job.class)) {
        Some(tail) => tail.place = tail.place.max(place),
        None => tails.push(Tail { service: job.service, class: job.class, place }),
    }
}

/// `10 per 1s`, of what may be used.
fn spoken(quota: &Quota) -> String {
    format!("{} per {}", quota.usable(), Span(quota.per))
}

fn ahead(at: Instant, now: Instant, wall_ms: u64) -> Time {
    Time(wall_ms + u64::try_from(at.since(now).as_micros().div_ceil(1_000)).unwrap_or(0))
}
