//! Jobs that take more than one step: from a registry to a registrar, to where a redirect points, or around a service
//! that does not answer.
//!
//! Each step has its own service, line and budget. A job that goes on leaves its line and joins another one; the move
//! is on disk, with what was learnt so far, before the result that caused it is acknowledged. A crash before that asks
//! the same again, and a result of another step than the job is at changes nothing.

use std::sync::Arc;

use egret_core::id::{AgentId, JobId, ServiceId};
use egret_core::scheduler::Event;
use egret_core::time::Instant;
use egret_lookup::{Onward, Place, Protocol, Step};
use egret_store::{Flow, JobRow};
use egret_wire::agent::Attempt;
use egret_wire::api::{Answer, AnswerOutcome, AttemptView, JobError, Lookup, Said};
use egret_wire::pattern::permits;
use egret_wire::value::Bytes;
use serde::{Deserialize, Serialize};

use super::job::{Next, error};
use super::{Drive, Job};
use crate::api::Spec;
use crate::clock::millis;
use crate::recorder::Finished;
use crate::services::Services;

/// Steps of a job at most, redirects among them (chosen: a registry, a registrar, and a redirect of each).
const MOST_STEPS: usize = 4;
/// Jobs on their way around services that are down, at a time (chosen: they are in memory).
const MOST_DETOURS: usize = 1_000;

/// What a job that may go on needs to know.
#[derive(Clone, Debug)]
pub(crate) struct Course {
    /// The job as it is kept.
    pub(crate) spec: Spec,
    /// What is asked if the service of the first step does not answer.
    pub(crate) fallback: Option<Step>,
}

/// Where a job is after its first step, as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Hop {
    /// Which host of the service is asked, if it has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) at: Option<String>,
    /// What is sent.
    pub(crate) question: Bytes,
    /// The questions so far, each with whom it went to.
    seen: Vec<String>,
    /// What the registry said, if a registrar is asked now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    registry: Option<Box<Answer>>,
    /// Who said it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    said_by: String,
    /// The calls so far.
    pub(crate) attempts: Vec<AttemptView>,
    /// The call whose answer led here, by its start and count: that one, and those before it, are of earlier steps.
    #[serde(default)]
    after: (u32, u64),
}

/// The next step of a job.
struct Turn {
    service: ServiceId,
    at: Option<String>,
    question: Vec<u8>,
    registry: Option<(Box<Answer>, String)>,
    /// It goes around a service, so nothing else is to be tried instead.
    is_detour: bool,
}

impl Course {
    fn hop(&self) -> Option<&Hop> {
        self.spec.hop.as_deref()
    }

    /// Whether a registrar is asked after the registry.
    fn follows(&self) -> bool {
        self.spec.follows() && self.hop().is_none_or(|hop| hop.registry.is_none())
    }

    /// Whether the lookup may be made over that protocol.
    fn takes(&self, protocol: Protocol) -> bool {
        match self.spec.lookup {
            Lookup::Whois => protocol == Protocol::Whois,
            Lookup::Rdap => protocol == Protocol::Rdap,
            Lookup::Http => false,
            Lookup::Domain | Lookup::Ip | Lookup::Asn | Lookup::Nameserver | Lookup::Entity => true,
        }
    }
}

impl Job {
    /// Whether it has left its first step behind.
    pub(super) fn is_on_course(&self) -> bool {
        self.course.as_deref().is_some_and(|course| course.hop().is_some())
    }

    /// Whether a call was made at the step that the job is at.
    pub(super) fn is_of_this_step(&self, service: ServiceId, attempt: Attempt) -> bool {
        let hop = self.course.as_deref().and_then(Course::hop);
        self.service == service && hop.is_none_or(|hop| (attempt.2, attempt.3) > hop.after)
    }

    /// A question with whom it goes to, to know it again.
    fn asked(&self, services: &Services) -> String {
        asked(services.name(self.service), self.at.as_deref(), &self.question)
    }

    /// The answer of the whole job, when its last step brought this one.
    pub(super) fn whole(&self, answer: Answer) -> Answer {
        let hop = self.course.as_deref().and_then(Course::hop);
        let Some((hop, registry)) = hop.and_then(|hop| Some((hop, hop.registry.as_deref()?))) else {
            return answer;
        };
        if answer.outcome != AnswerOutcome::Found {
            let said = format!("{:?}", answer.outcome).to_lowercase();
            return incomplete(registry, error("no_record", format!("the registrar has no record ({said})")));
        }
        let registry = registry.clone();
        let Answer { protocol, raw, raw_base64, charset, .. } = registry;
        Answer {
            registry: Some(Box::new(Said {
                service: hop.said_by.clone(),
                protocol,
                raw,
                raw_base64,
                charset,
            })),
            ..answer
        }
    }

    /// The answer of a job whose registrar did not answer; `None`: nobody has.
    pub(super) fn at_least(&self, why: &JobError) -> Option<Answer> {
        let registry = self.course.as_deref()?.hop()?.registry.as_deref()?;
        Some(incomplete(registry, why.clone()))
    }
}

fn incomplete(registry: &Answer, why: JobError) -> Answer {
    Answer { incomplete: Some(why), ..registry.clone() }
}

fn asked(service: &str, at: Option<&str>, question: &[u8]) -> String {
    format!("{service} {} {}", at.unwrap_or_default(), String::from_utf8_lossy(question).trim_end())
}

impl Drive {
    /// Sends a job on if what its step came to says so. False: the job ends, or asks the same again.
    pub(super) fn goes_on(
        &mut self,
        job: JobId,
        next: &mut Next,
        onward: Option<Onward>,
        report: (AgentId, Attempt),
        now: Instant,
    ) -> bool {
        let Some(open) = self.jobs.get(&job) else { return false };
        let Some(course) = open.course.as_deref() else { return false };
        let turn = match (&*next, onward) {
            (Next::Done(answer), Some(onward)) if onward.is_redirect => match self
                .turn_to(open, course, &onward.to)
            {
                Ok(turn) => Some(Turn { registry: kept(course), ..turn }),
                Err(why) => {
                    let detail = answer.location.as_deref().unwrap_or("another server");
                    *next = Next::Failed(error("bad_answer", format!("it points to {detail}, and {why}")));
                    self.detour(job)
                }
            },
            (Next::Done(answer), Some(onward))
                if course.follows() && answer.outcome == AnswerOutcome::Found =>
            {
                let by = self.services.name(open.service).to_owned();
                // A registrar that cannot be asked leaves the registry's answer as it is.
                self.turn_to(open, course, &onward.to)
                    .ok()
                    .map(|turn| Turn { registry: Some((answer.clone(), by)), ..turn })
            }
            (Next::Failed(error), _) if error.code != "blocked" => self.detour(job),
            (Next::Again(_), _) if self.scheduler.outage(open.service).is_some() => self.detour(job),
            _ => None,
        };
        let Some(turn) = turn else { return false };
        self.advance(job, turn, Some(report), now);
        true
    }

    /// The step that asks where an answer points.
    fn turn_to(&self, open: &Job, course: &Course, to: &Place) -> Result<Turn, String> {
        let about = (course.spec.kind(), course.spec.target.as_str(), course.spec.exact);
        let (service, at, question) = self.services.place(to, about)?;
        let name = self.services.name(service);
        if !course.takes(self.services.config(service).lookup.protocol()) {
            return Err("this lookup is made over one protocol".to_owned());
        }
        if !permits(&course.spec.allowed, name) {
            return Err(format!("the key it was submitted with may not ask {name}"));
        }
        let mut seen = course.hop().map_or(&[][..], |hop| &hop.seen).iter();
        let next = asked(name, at.as_deref(), &question);
        if next == open.asked(&self.services) || seen.clone().any(|seen| *seen == next) {
            return Err("that was asked already".to_owned());
        }
        if seen.by_ref().count() + 2 > MOST_STEPS {
            return Err(format!("{MOST_STEPS} servers have been asked"));
        }
        Ok(Turn { service, at, question, registry: None, is_detour: false })
    }

    /// The step around the service that a job is at.
    fn detour(&self, job: JobId) -> Option<Turn> {
        let course = self.jobs.get(&job)?.course.as_deref()?;
        let step = course.fallback.clone().filter(|step| permits(&course.spec.allowed, &step.service))?;
        let service = self.services.need(&step.service).ok()?;
        let at = step.at.filter(|_| self.services.config(service).address.is_empty());
        Some(Turn { service, at, question: step.question, registry: None, is_detour: true })
    }

    /// Sends jobs that wait for a service that answers nobody around it, as many as may be on such a way.
    pub(super) fn detour_all(&mut self, now: Instant) {
        let is_down = |service: ServiceId| self.scheduler.outage(service).is_some();
        if !self.service_ids().any(is_down) {
            return;
        }
        let room = MOST_DETOURS.saturating_sub(self.detours.len());
        let waits = |open: &&Job| {
            let has_way = open.course.as_deref().is_some_and(|course| course.fallback.is_some());
            has_way
                && is_down(open.service)
                && self.scheduler.has_step(open.id)
                && self.scheduler.running(open.id).is_none()
        };
        let jobs: Vec<JobId> = self.jobs.values().filter(waits).map(|open| open.id).take(room).collect();
        for job in jobs {
            if let Some(turn) = self.detour(job) {
                self.advance(job, turn, None, now);
            }
        }
    }

    /// Has a job go on at another service.
    fn advance(&mut self, job: JobId, turn: Turn, report: Option<(AgentId, Attempt)>, now: Instant) {
        self.meet_services(now);
        let Some(mut open) = self.jobs.remove(&job) else { return };
        // Others that ask the same still wait for this one.
        self.scheduler.handle(Event::Withdraw(job), now);
        self.left_flow(open.flow, job, true, now);
        let asked = open.asked(&self.services);
        let Turn { service, at, question, registry, is_detour } = turn;
        if let Some(course) = open.course.as_deref_mut() {
            let mut seen = course.spec.hop.take().map_or_else(Vec::new, |hop| hop.seen);
            seen.push(asked);
            let (registry, said_by) =
                registry.map_or((None, String::new()), |(answer, by)| (Some(answer), by));
            let (attempts, question) = (open.attempts.clone(), Bytes(question.clone()));
            let after = report.map_or((0, 0), |(_, Attempt(_, _, start, count))| (start, count));
            course.spec.hop =
                Some(Box::new(Hop { at: at.clone(), question, seen, registry, said_by, attempts, after }));
            course.fallback = None;
        }
        open.at(at.map(String::into_boxed_str)).moved(self, (service, question), is_detour, report, now);
    }
}

impl Job {
    fn moved(
        mut self,
        drive: &mut Drive,
        (service, question): (ServiceId, Vec<u8>),
        is_detour: bool,
        report: Option<(AgentId, Attempt)>,
        now: Instant,
    ) {
        let name = drive.services.name(service).to_owned();
        self.line = Arc::new(Flow { service: name, ..(*self.line).clone() });
        self.start_over(service, question);
        let spec = self.course.as_deref().map(|course| serde_json::to_vec(&course.spec).unwrap_or_default());
        let row = JobRow {
            id: self.id,
            flow: Arc::clone(&self.line),
            deadline_ms: millis(self.deadline),
            spec: spec.unwrap_or_default(),
        };
        drive.finished.push_back(Finished::Moved { row, report });
        self.flow = drive.open_flow(&self.line, service, (0, None), now);
        let step = self.step();
        if is_detour {
            drive.detours.insert(self.id);
        }
        drive.keep(self);
        drive.scheduler.handle(Event::Enqueue(step), now);
    }
}

/// What the registry said, when a registrar points elsewhere.
fn kept(course: &Course) -> Option<(Box<Answer>, String)> {
    let hop = course.hop()?;
    Some((hop.registry.clone()?, hop.said_by.clone()))
}
