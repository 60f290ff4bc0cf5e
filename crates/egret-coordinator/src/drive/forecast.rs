//! What is foreseen, and why a job waits: copied or said here between two turns; forecasts are played elsewhere.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use egret_core::forecast::Forecast;
use egret_core::forecast::hindrance::{Hindrance, hindrances};
use egret_core::forecast::order::Line;
use egret_core::id::{BatchId, EgressId, JobId, ServiceId, TenantId};
use egret_core::ledger::{Ledger, Ready};
use egret_core::quota::{Limits, Quota};
use egret_core::scheduler::{Place, Selector, Wait};
use egret_core::scope::Scope;
use egret_core::time::Instant;
use egret_store::Flow;
use egret_wire::api::{Why, WhyKind};
use egret_wire::value::{Span, Time};

use super::fleet::home;
use super::job::selector;
use super::{Drive, views};

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

/// The state of one service, to be played.
pub(crate) struct Foresight {
    pub(crate) forecast: Forecast,
    /// What waits, by class and tenant.
    pub(crate) lines: Vec<Line<TenantId>>,
    /// Steps that wait, back-offs included.
    pub(crate) waiting: u64,
    /// Attempts in flight.
    pub(crate) running: u64,
    pub(crate) footing: Footing,
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
pub(crate) struct Footing {
    /// Nothing of it is asked until somebody lets it go on, or it answers again.
    pub(crate) is_at_rest: bool,
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
        let up = self.serving(service).map(|egress| {
            let state = self.fleet.egress(egress);
            (egress, home(&state.address), &state.tags[..])
        });
        Foresight {
            forecast: Forecast::of(&self.scheduler, service, up, takes, now),
            lines: self.scheduler.lines(service),
            waiting: waiting as u64,
            running: running as u64,
            footing: self.footing(service),
            takes,
            bytes: usual.bytes as u64,
            now,
            wall_ms: self.clock.wall_ms(),
        }
    }

    /// Whether anything of a service leaves.
    pub(crate) fn footing(&self, service: ServiceId) -> Footing {
        let standing = self.standing(service);
        let is_at_rest = standing.paused.is_some() || standing.down_since.is_some();
        Footing { is_at_rest, up: self.fleet.serving(service) }
    }

    /// What is left to be done for a batch, by flow; nothing if it is not open, or paused.
    pub(crate) fn last_of(&self, batch: BatchId) -> Vec<Last> {
        let is_open = self.batches.get(&batch).is_some_and(|progress| progress.open() > 0);
        if !is_open || self.is_paused(batch) {
            return Vec::new();
        }
        let last = |(flow, service)| Last { service, wait: self.scheduler.wait_last(flow) };
        self.flows_of(batch).map(last).collect()
    }

    /// Why an open job has no answer yet; `None`: it is not open.
    pub(crate) fn reasons(&self, job: JobId, now: Instant) -> Option<Reasons> {
        let asker = self.asker(job);
        let mut reasons = self.reasons_to_ask(asker, now)?;
        if asker != job {
            let detail = format!("{asker} asks the same, and what it is answered ends this one too");
            reasons.why.insert(0, Why { kind: WhyKind::Shared, detail, until: None });
        }
        Some(reasons)
    }

    fn reasons_to_ask(&self, job: JobId, now: Instant) -> Option<Reasons> {
        let open = self.jobs.get(&job)?;
        let service = open.service;
        let Some(wait) = self.scheduler.wait(job) else {
            let egress = self.scheduler.running(job).and_then(|attempt| self.scheduler.left_from(attempt));
            let from = egress.map(|egress| format!(" from {}", self.fleet.address(egress)));
            let detail = format!("an attempt{} is under way", from.unwrap_or_default());
            let why = vec![Why { kind: WhyKind::Running, detail, until: None }];
            return Some(Reasons { service, why, wait: None });
        };
        Some(self.why_waiting(service, &open.line, wait, now))
    }

    /// Why a job waits that is in the store alone, with so many of its flow before it; `None`: its flow is not open.
    pub(crate) fn reasons_stored(
        &self,
        flow: &Arc<Flow>,
        place: Place,
        before: u64,
        now: Instant,
    ) -> Option<Reasons> {
        let (id, service) = self.find_flow(flow)?;
        let wait = self.scheduler.wait_stored(id, place, before);
        Some(self.why_waiting(service, flow, wait, now))
    }

    fn why_waiting(&self, service: ServiceId, flow: &Flow, wait: Wait, now: Instant) -> Reasons {
        let selector = selector(&flow.egress);
        let mut why = self.stopped(service, &selector, now);
        let wall = self.clock.wall_ms();
        if let Some(batch) = flow.batch.filter(|batch| self.is_paused(*batch)) {
            let detail = format!("its batch is paused; POST /v1/batches/{batch}/resume lets it go on");
            why.push(Why { kind: WhyKind::Paused, detail, until: None });
        }
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
        why.extend(self.held(service, &selector, now, wall));
        if why.is_empty() {
            let detail = "nothing is in its way; it is handed out next".to_owned();
            why.push(Why { kind: WhyKind::Due, detail, until: None });
        }
        Reasons { service, why, wait: Some(wait) }
    }

    /// Why nothing of a service leaves at all, in words; `None`: something does, in its time.
    pub(crate) fn standstill(&self, service: ServiceId, now: Instant) -> Option<String> {
        let stopped = self.stopped(service, &Selector::default(), now);
        stopped.into_iter().next().map(|why| why.detail)
    }

    /// What keeps all calls of a service from leaving, whatever its budgets.
    fn stopped(&self, service: ServiceId, selector: &Selector, now: Instant) -> Vec<Why> {
        let name = self.services.name(service);
        let mut why = Vec::new();
        let mut say = |kind, detail, until| why.push(Why { kind, detail, until });
        if let Some(paused) = self.halted() {
            let detail = format!("everything is stopped: {paused}; POST /v1/start lets it go on");
            say(WhyKind::Paused, detail, None);
        } else if let Some(paused) = self.standing(service).paused {
            let detail = format!("{name} is paused: {paused}; POST /v1/services/{name}/resume lets it go on");
            say(WhyKind::Paused, detail, None);
        }
        if let Some(outage) = self.scheduler.outage(service) {
            let detail = format!("{name} answers nobody; one call at a time tries whether that is over");
            let until = Some(outage.next_try).filter(|at| *at > now);
            say(WhyKind::Outage, detail, until.map(|at| ahead(at, now, self.clock.wall_ms())));
        }
        if !self.fleet.ids().any(|egress| self.fleet.egress(egress).is_up) {
            let detail =
                "no egress is up; start an agent, or look why the agents cannot reach the coordinator";
            say(WhyKind::NoEgress, detail.to_owned(), None);
        } else if self.serving(service).next().is_none() {
            let detail = format!(
                "every egress that is up is draining, or its agent does not permit {name}; GET /v1/agents lists them"
            );
            say(WhyKind::NoEgress, detail, None);
        } else if self.fit(service, selector).next().is_none() {
            let detail = "no egress that is up is one that the job may use; GET /v1/egresses lists them";
            say(WhyKind::NoEgress, detail.to_owned(), None);
        }
        if !self.may_grant(now) {
            let detail =
                "outcomes and checkpoints wait for the disk; nothing is granted until it has caught up";
            say(WhyKind::Disk, detail.to_owned(), None);
        }
        why
    }

    /// What is in the way at every egress that is up; nothing if one of them may send.
    fn held(&self, service: ServiceId, selector: &Selector, now: Instant, wall: u64) -> Vec<Why> {
        let key = |ready| match ready {
            Ready::Now => (0, now),
            Ready::At(at) => (1, at),
            Ready::OnCompletion => (2, now),
        };
        let outlook = |egress| (key(self.scheduler.outlook(service, egress, now).0), egress);
        let mut seats: Vec<_> = self.fit(service, selector).map(outlook).collect();
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

    /// The egresses that a service is asked from.
    pub(super) fn serving(&self, service: ServiceId) -> impl Iterator<Item = EgressId> {
        self.fleet.ids().filter(move |egress| self.fleet.egress(*egress).serves(service))
    }

    /// Those of them that a selector takes.
    fn fit(&self, service: ServiceId, selector: &Selector) -> impl Iterator<Item = EgressId> {
        self.serving(service).filter(|egress| {
            let state = self.fleet.egress(*egress);
            selector.takes(home(&state.address), &state.tags)
        })
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

/// `10 per 1s`, of what may be used.
fn spoken(quota: &Quota) -> String {
    format!("{} per {}", quota.usable(), Span(quota.per))
}

fn ahead(at: Instant, now: Instant, wall_ms: u64) -> Time {
    Time(wall_ms + u64::try_from(at.since(now).as_micros().div_ceil(1_000)).unwrap_or(0))
}
