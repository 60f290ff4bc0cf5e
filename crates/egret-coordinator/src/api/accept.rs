//! From a request to a job: checked, planned, named, with a deadline.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use egret_core::id::{BatchId, JobId, ServiceId};
use egret_core::scheduler::Class;
use egret_lookup::known::Referral;
use egret_lookup::{Kind, Protocol, Step, Steps, Target, fields};
use egret_store::{BatchEnd, EndState, Flow, JobRow, OutcomeRow, StoreError};
use egret_wire::api::{
    Deadline, EgressWish, Follow, HttpRequest, JobError, JobRequest, JobResult, Keep, Lookup, Priority,
};
use egret_wire::problem::Code;
use egret_wire::value::Span;
use serde::{Deserialize, Serialize};

use super::caller::Caller;
use super::{Failure, Shared, request};
use crate::cache::{Key, OLDEST, Reuse};
use crate::clock::instant;
use crate::drive::{Course, Hop, Job, Progress};
use crate::services::{Services, protocol};

/// Open jobs at most (chosen: about 100 GB of disk; memory holds the first of each flow).
const MOST_OPEN: usize = 200_000_000;
const MOST_TAGS: usize = 16;
const MOST_LABELS: usize = 16;
const LONGEST_LABEL: usize = 256;
/// Deadlines lie within a year.
pub(super) const LONGEST_DEADLINE: Duration = Duration::from_secs(366 * 24 * 3600);

/// A job as it is kept: the request with everything resolved.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Spec {
    pub(crate) lookup: Lookup,
    pub(crate) target: String,
    pub(crate) priority: Priority,
    /// Milliseconds since 1970.
    pub(crate) deadline_ms: u64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) exact: bool,
    /// How old an answer may be; unless told, as old as the service's configuration says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) max_age: Option<Span>,
    #[serde(default, skip_serializing_if = "Keep::is_both")]
    pub(crate) keep: Keep,
    #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
    pub(crate) reference: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) labels: BTreeMap<String, String>,
    /// Over HTTP, what is sent when that is more than a GET; its path is the target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) request: Option<HttpRequest>,
    /// In the caller's words; what holds is in the flow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) egress: Option<EgressWish>,
    /// The service that the caller named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) service: Option<String>,
    /// As the caller said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) follow: Option<Follow>,
    /// Patterns of the services that the caller's key may ask; none: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) allowed: Vec<String>,
    /// Where it is, if it has left its first step behind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) hop: Option<Box<Hop>>,
}

impl Spec {
    /// Whether the registrar is asked where the registry names one.
    pub(crate) fn follows(&self) -> bool {
        let usual = if self.lookup == Lookup::Domain { Follow::Registrar } else { Follow::Registry };
        self.follow.unwrap_or(usual) == Follow::Registrar
    }

    /// The lookup in the words of the catalogue.
    pub(crate) fn kind(&self) -> Kind {
        kind(self.lookup)
    }
}

impl Spec {
    /// What the answer is about, in the words of registries; the target as given where it has no such form.
    pub(super) fn asked(&self) -> String {
        let Ok(target) = Target::parse(kind(self.lookup), &self.target) else { return self.target.clone() };
        let is_cut = self.lookup == Lookup::Domain && !self.exact;
        if is_cut { target.registrable(0).into_string() } else { target.into_string() }
    }

    /// The same if nothing but the record of the answer is kept.
    fn only_record(&self) -> Option<Box<str>> {
        (self.keep == Keep::Record).then(|| self.asked().into_boxed_str())
    }
}

/// A job that may be appended and then submitted.
pub(crate) struct Accepted {
    pub(crate) row: JobRow,
    pub(crate) job: Job,
}

impl Accepted {
    /// The same under a name that was given before.
    pub(super) fn named(mut self, id: JobId) -> Self {
        (self.row.id, self.job.id) = (id, id);
        self
    }
}

/// Checks and plans one request.
///
/// # Errors
/// As `docs/api.md` lists them; nothing has happened then.
pub(crate) fn accept(
    shared: &Shared,
    caller: &Caller,
    mut request: JobRequest,
    batch: Option<BatchId>,
) -> Result<Accepted, Failure> {
    check_labels(&request)?;
    check_age(&request)?;
    check_keep(&request)?;
    let egress = wish(request.egress.as_ref())?;
    let now_ms = shared.clock.wall_ms();
    let deadline_ms = deadline(shared, request.deadline, now_ms)?;
    let target = request::target(&mut request)?;
    let (kind, named) = (kind(request.lookup), request.service.as_deref());
    let Steps { first: step, next } = shared.services.plan(kind, &target, named, request.exact)?;
    // Before one is added for it.
    caller.check_service(&step.service)?;
    let (service, at) = whom(&shared.services, &step)?;
    let question =
        request::question(shared.services.config(service), step.question, request.request.as_ref())?;
    let spec = Spec {
        lookup: request.lookup,
        target,
        request: request.request,
        priority: request.priority,
        deadline_ms,
        exact: request.exact,
        max_age: request.max_age,
        keep: request.keep,
        reference: request.reference,
        labels: request.labels,
        egress: request.egress,
        service: request.service,
        follow: request.follow,
        allowed: caller.allowed().to_vec(),
        hop: None,
    };
    let id = JobId(shared.next_id());
    let (name, owner) = (shared.services.name(service).to_owned(), caller.owner().to_owned());
    let flow = Arc::new(Flow { service: name, owner, class: class(spec.priority) as u8, egress, batch });
    let reuse = reuse_of(&shared.services, service, &flow.egress, &spec, (at.as_deref(), &question));
    let job = Job::new(id, Arc::clone(&flow), service, instant(deadline_ms), question);
    let job = job.at(at).with_only_record(spec.only_record()).with_reuse(reuse).with_course(course(
        &shared.services,
        service,
        &spec,
        next,
    ));
    let spec = serde_json::to_vec(&spec).map_err(|error| Failure::new(Code::Internal, error.to_string()))?;
    Ok(Accepted { row: JobRow { id, flow, deadline_ms, spec }, job })
}

/// The service of a step, and which of its hosts is asked if it has several.
///
/// # Errors
/// `unknown_service`: there is no room for one more, or it has gone from the catalogue.
pub(super) fn whom(services: &Services, step: &Step) -> Result<(ServiceId, Option<Box<str>>), Failure> {
    let service = services.need(&step.service).map_err(|why| Failure::new(Code::UnknownService, why))?;
    let at = step.at.as_deref().filter(|_| services.config(service).address.is_empty());
    Ok((service, at.map(Box::from)))
}

/// Reserves room for `count` more open jobs.
///
/// # Errors
/// `queue_full`; nothing is reserved then.
pub(crate) fn reserve(shared: &Shared, count: usize) -> Result<(), Failure> {
    let before = shared.open_jobs.fetch_add(count, Ordering::Relaxed);
    if before + count > MOST_OPEN {
        release(shared, count);
        return Err(Failure::new(
            Code::QueueFull,
            format!("{before} jobs are open; wait until some have ended"),
        ));
    }
    Ok(())
}

/// Gives reserved room back that was not used.
pub(crate) fn release(shared: &Shared, count: usize) {
    shared.open_jobs.fetch_sub(count, Ordering::Relaxed);
}

/// A job of an earlier start, as it was accepted.
///
/// # Errors
/// Its end, if it cannot be asked any more: the service is gone, or the row is damaged.
pub(crate) fn reopen(services: &Services, row: &JobRow, now_ms: u64) -> Result<Job, OutcomeRow> {
    reopened(services, row).map_err(|detail| {
        tracing::error!(job = %row.id, "the job cannot go on: {detail}");
        let error = Some(JobError { code: Code::UnknownService.as_str().to_owned(), detail });
        let result = JobResult { error, ..JobResult::default() };
        let body = serde_json::to_vec(&result).unwrap_or_default();
        OutcomeRow { job: row.id, batch: row.flow.batch, state: EndState::Failed, ended_ms: now_ms, body }
    })
}

fn reopened(services: &Services, row: &JobRow) -> Result<Job, String> {
    let mut spec: Spec = serde_json::from_slice(&row.spec).map_err(|error| error.to_string())?;
    let new = |service, question| {
        Job::new(row.id, Arc::clone(&row.flow), service, instant(row.deadline_ms), question)
    };
    if let Some(hop) = &mut spec.hop {
        let service = services.revive(&row.flow.service)?;
        let (at, question) = (hop.at.clone().map(String::into_boxed_str), hop.question.0.clone());
        let attempts = std::mem::take(&mut hop.attempts);
        let mut job = new(service, question).at(at).with_only_record(spec.only_record());
        job.attempts = attempts;
        return Ok(job.with_course(Some(Box::new(Course { spec, fallback: None }))));
    }
    let plan = |service: Option<&str>| services.plan(spec.kind(), &spec.target, service, spec.exact);
    // The catalogue may name another service by now; the job has its place at the first.
    let is_same = |steps: &Steps| steps.first.service == row.flow.service;
    let steps = match plan(spec.service.as_deref()) {
        Ok(steps) if is_same(&steps) => steps,
        _ => plan(Some(&row.flow.service)).map_err(|error| error.to_string())?,
    };
    let (service, at) = whom(services, &steps.first).map_err(|Failure(problem)| problem.detail)?;
    let asked = request::question(services.config(service), steps.first.question, spec.request.as_ref());
    let question = asked.map_err(|Failure(problem)| problem.detail)?;
    let course = course(services, service, &spec, steps.next);
    let reuse = reuse_of(services, service, &row.flow.egress, &spec, (at.as_deref(), &question));
    let job = new(service, question).at(at).with_only_record(spec.only_record());
    Ok(job.with_reuse(reuse).with_course(course))
}

/// Where a job may go on after its step at `service`.
fn course(services: &Services, service: ServiceId, spec: &Spec, next: Option<Step>) -> Option<Box<Course>> {
    let may_go_on = next.is_some() || may_refer(services, service);
    may_go_on.then(|| Box::new(Course { spec: spec.clone(), fallback: next }))
}

/// Whether answers of a service may name another one to ask.
fn may_refer(services: &Services, service: ServiceId) -> bool {
    let config = services.config(service);
    config.referral != Referral::None || config.lookup.protocol() == Protocol::Rdap
}

/// How far a batch had come when this start began. `None`: there is no such batch, or it never closed.
pub(crate) async fn progress(shared: &Shared, id: BatchId) -> Result<Option<Progress>, StoreError> {
    let Some(kept) = shared.store.batch(id).await? else { return Ok(None) };
    let Some(BatchEnd::Closed { jobs, .. }) = kept.end else { return Ok(None) };
    Ok(Some(Progress::new(jobs, kept.ended, shared.clock.now())))
}

/// The same of a job; what changes something at the service is asked each time.
fn reuse_of(
    services: &Services,
    service: ServiceId,
    egress: &str,
    spec: &Spec,
    question: (Option<&str>, &[u8]),
) -> Option<Reuse> {
    let is_safe = spec.request.as_ref().is_none_or(|request| fields::is_safe(&request.method));
    reuse(services, service, egress, spec.max_age, spec.follows(), question).filter(|_| is_safe)
}

/// Which answers a job takes that it did not get itself; `None`: the service's answers are not kept.
pub(super) fn reuse(
    services: &Services,
    service: ServiceId,
    egress: &str,
    max_age: Option<Span>,
    follows: bool,
    (at, question): (Option<&str>, &[u8]),
) -> Option<Reuse> {
    let config = services.config(service);
    let max_age = max_age.map_or(config.cache_for, |age| age.0);
    // Whoever says where to ask from means an answer from there.
    let parts = [services.name(service), protocol(config), egress].map(str::as_bytes);
    // Hosts of one back end are asked in the same words, and so are those who want the registrar's answer or do not.
    let depth = if follows && may_refer(services, service) { "registrar" } else { "" };
    let key = || match (at, depth) {
        (None, "") => Key::new(&parts, question),
        _ => {
            let [service, protocol, egress] = parts;
            Key::new(
                &[service, protocol, egress, at.unwrap_or_default().as_bytes(), depth.as_bytes()],
                question,
            )
        }
    };
    (!config.cache_for.is_zero()).then(|| Reuse { key: key(), max_age })
}

/// A priority in the words of the scheduler; its number is how it is kept.
pub(super) fn class(priority: Priority) -> Class {
    match priority {
        Priority::Interactive => Class::Interactive,
        Priority::Normal => Class::Normal,
        Priority::Bulk => Class::Bulk,
    }
}

/// A constraint on egresses as it is kept: the same wish has the same words.
fn wish(asked: Option<&EgressWish>) -> Result<String, Failure> {
    let Some(asked) = asked else { return Ok(String::new()) };
    let invalid = |detail: &str, at: &str| Err(Failure::new(Code::InvalidField, detail).at(at));
    if asked.tags.len() > MOST_TAGS || asked.tags.iter().any(|tag| tag.is_empty() || tag.len() > 64) {
        return invalid("at most 16 tags of 1 to 64 characters", "/egress/tags");
    }
    if asked.ip_version.is_some_and(|version| ![4, 6].contains(&version)) {
        return invalid("4 or 6", "/egress/ip_version");
    }
    let mut wish = asked.clone();
    if let Some(id) = &asked.id {
        let address = id.split('/').next().and_then(|address| address.parse().ok());
        let Some(address) = address else {
            return invalid("an egress is named by its address, as /v1/egresses lists it", "/egress/id");
        };
        wish.id = Some(crate::join::egress_key(address));
    }
    wish.tags.sort_unstable();
    wish.tags.dedup();
    if wish == EgressWish::default() {
        return Ok(String::new());
    }
    serde_json::to_string(&wish).map_err(|error| Failure::new(Code::Internal, error.to_string()))
}

/// When a job must have ended, in milliseconds since 1970.
pub(super) fn deadline(shared: &Shared, asked: Option<Deadline>, now_ms: u64) -> Result<u64, Failure> {
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let at_ms = match asked {
        None => now_ms + millis(shared.default_deadline),
        Some(Deadline::In(span)) => now_ms.saturating_add(millis(span.0)),
        Some(Deadline::At(time)) => time.0,
    };
    if at_ms <= now_ms || at_ms - now_ms > millis(LONGEST_DEADLINE) {
        let detail = "the deadline must lie ahead, within 366 days";
        return Err(Failure::new(Code::InvalidField, detail).at("/deadline"));
    }
    Ok(at_ms)
}

pub(super) fn check_age(request: &JobRequest) -> Result<(), Failure> {
    match request.max_age {
        Some(age) if age.0 > OLDEST => {
            Err(Failure::new(Code::InvalidField, "an age is at most 366 days").at("/max_age"))
        }
        _ => Ok(()),
    }
}

fn check_keep(request: &JobRequest) -> Result<(), Failure> {
    match (request.keep, request.lookup) {
        (Keep::Record, Lookup::Http) => {
            let detail = "no record is made of what an http service answers; keep `raw` or `both`";
            Err(Failure::new(Code::InvalidField, detail).at("/keep"))
        }
        _ => Ok(()),
    }
}

fn check_labels(request: &JobRequest) -> Result<(), Failure> {
    let fits = |text: &str| text.chars().count() <= LONGEST_LABEL && !text.chars().any(char::is_control);
    let invalid = |detail: &str, pointer: &str| Err(Failure::new(Code::InvalidField, detail).at(pointer));
    if request.labels.len() > MOST_LABELS {
        return invalid("at most 16 labels", "/labels");
    }
    if request.labels.iter().any(|(key, value)| key.is_empty() || !fits(key) || !fits(value)) {
        return invalid(
            "labels are pairs of at most 256 characters each, without control characters",
            "/labels",
        );
    }
    if request.reference.as_deref().is_some_and(|reference| !fits(reference)) {
        return invalid("at most 256 characters, without control characters", "/ref");
    }
    Ok(())
}

pub(super) fn kind(lookup: Lookup) -> Kind {
    match lookup {
        Lookup::Domain => Kind::Domain,
        Lookup::Ip => Kind::Ip,
        Lookup::Asn => Kind::Asn,
        Lookup::Nameserver => Kind::Nameserver,
        Lookup::Entity => Kind::Entity,
        Lookup::Whois => Kind::Whois,
        Lookup::Rdap => Kind::Rdap,
        Lookup::Http => Kind::Http,
    }
}
