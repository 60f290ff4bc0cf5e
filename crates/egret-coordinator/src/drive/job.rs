//! A job in memory: what the drive needs to grant its step, and what has become of it so far.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use egret_core::id::{BatchId, EgressId, FlowId, JobId, ServiceId};
use egret_core::retry::backoff;
use egret_core::scheduler::{Selector, Settlement, Step};
use egret_core::time::Instant;
use egret_lookup::{Onward, Verdict};
use egret_store::Flow;
use egret_wire::agent::{CallEnd, Report};
use egret_wire::api::{Answer, AnswerOutcome, AttemptOutcome, AttemptView, EgressWish, JobError};

use super::course::Course;
use super::flights::Rank;
use super::via::Via;
use crate::cache::{Answered, Key, Reuse};

/// A target that this many egresses were refused for, all of which answer other jobs, is hopeless.
pub(super) const HOPELESS: usize = 3;
/// Attempts kept for the record; older ones are dropped, the first is not.
const ATTEMPTS_KEPT: usize = 50;

/// An open job.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) id: JobId,
    /// Where it waits, as the store knows it.
    pub(crate) line: Arc<Flow>,
    /// The same, as the scheduler knows it; given by the drive.
    pub(crate) flow: FlowId,
    pub(crate) service: ServiceId,
    pub(crate) deadline: Instant,
    /// Which host of the service is asked, if it has several.
    pub(crate) at: Option<Box<str>>,
    /// What is sent.
    pub(crate) question: Box<[u8]>,
    pub(crate) attempts: Vec<AttemptView>,
    /// Where it may go on; `None`: its step is all there is.
    pub(crate) course: Option<Box<Course>>,
    /// Which answers it takes that it did not get itself; `None`: its service's are not kept.
    pub(crate) reuse: Option<Reuse>,
    /// Such an answer, until the drive has it.
    pub(crate) known: Option<Arc<Answered>>,
    /// The store is sure to have it, so it may be left there until its turn comes near.
    pub(crate) is_stored: bool,
    /// What its answer is about, if only the record of it is kept.
    pub(crate) only_record: Option<Box<str>>,
    /// Its caller gets what the service says, as it is.
    pub(crate) via: Option<Via>,
    failures: u8,
    /// How many of them were silence, and since when the service had been silent then.
    silent: Option<(Instant, u8)>,
    /// The fingerprint of an answer in no known form: the same again, and it is what the service says.
    odd: Option<u64>,
    refused_by: Vec<(EgressId, Instant)>,
    /// Who got nothing for it, and when: an empty answer, or a connection that was broken off. Each is a failed try.
    nothing_for: Vec<(EgressId, Instant)>,
}

/// A report with its meaning.
#[derive(Debug)]
pub(crate) struct Judged {
    pub(crate) report: Report,
    /// `None`: nothing came that could mean anything.
    pub(crate) verdict: Option<Verdict>,
    /// The answer in the shape of the API, if the verdict is one.
    pub(crate) answer: Option<Answer>,
    /// Whom the answer says to ask next.
    pub(crate) onward: Option<Onward>,
    /// Calls left by the service's own word, and for how long from the answer that holds; over HTTP only.
    pub(crate) left: Option<(u32, Duration)>,
}

/// A service that did not answer its last call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Silence {
    /// Since when.
    pub(crate) since: Instant,
    /// It is down: it answers nobody.
    pub(crate) is_down: bool,
}

/// What an attempt means for its job.
#[derive(Debug, PartialEq)]
pub(crate) enum Next {
    /// The job is done.
    Done(Box<Answer>),
    /// The job has failed.
    Failed(JobError),
    /// The same step again, somewhere.
    Again(Step),
}

impl Job {
    pub(crate) fn new(
        id: JobId,
        line: Arc<Flow>,
        service: ServiceId,
        deadline: Instant,
        question: Vec<u8>,
    ) -> Self {
        let question = question.into_boxed_slice();
        Self {
            id,
            line,
            flow: FlowId(0),
            service,
            deadline,
            at: None,
            course: None,
            question,
            attempts: Vec::new(),
            reuse: None,
            known: None,
            is_stored: true,
            only_record: None,
            via: None,
            failures: 0,
            silent: None,
            odd: None,
            refused_by: Vec::new(),
            nothing_for: Vec::new(),
        }
    }

    /// The same job, which asks that host of its service.
    pub(crate) fn at(self, at: Option<Box<str>>) -> Self {
        Self { at, ..self }
    }

    /// The same job, which may go on.
    pub(crate) fn with_course(self, course: Option<Box<Course>>) -> Self {
        Self { course, ..self }
    }

    /// The same job, which takes these answers.
    pub(crate) fn with_reuse(self, reuse: Option<Reuse>) -> Self {
        Self { reuse, ..self }
    }

    /// Asks another service from now on, with all its tries.
    pub(super) fn start_over(&mut self, service: ServiceId, question: Vec<u8>) {
        self.service = service;
        self.question = question.into_boxed_slice();
        self.is_stored = false;
        self.failures = 0;
        self.silent = None;
        self.odd = None;
        self.refused_by.clear();
        self.nothing_for.clear();
    }

    /// The same job, of whose answer, which is about this, only the record is kept.
    pub(crate) fn with_only_record(self, only_record: Option<Box<str>>) -> Self {
        Self { only_record, ..self }
    }

    /// What it asks together with others, and its place among them; `None`: it asks by itself.
    pub(super) fn flight(&self) -> Option<(Key, Rank)> {
        let reuse = self.reuse.filter(Reuse::shares)?;
        Some((reuse.key, Rank { class: self.line.class, deadline: self.deadline, job: self.id }))
    }

    /// The batch it came with.
    pub(crate) fn batch(&self) -> Option<BatchId> {
        self.line.batch
    }

    /// Its step before it was tried for the first time.
    pub(crate) fn fresh_step(&self) -> Step {
        Step { is_stored: self.is_stored, ..self.step() }
    }

    /// Its step, ready to be granted.
    pub(crate) fn step(&self) -> Step {
        Step {
            job: self.id,
            flow: self.flow,
            deadline: self.deadline,
            not_before: Instant::ZERO,
            avoid: None,
            is_stored: false,
        }
    }

    /// Egresses that got nothing for it, and when.
    pub(super) fn got_nothing(&self) -> impl Iterator<Item = (EgressId, Instant)> {
        self.nothing_for.iter().copied()
    }

    pub(crate) fn note(&mut self, attempt: AttemptView) {
        if self.attempts.len() >= ATTEMPTS_KEPT {
            self.attempts.remove(1);
        }
        self.attempts.push(attempt);
    }

    /// What comes after an attempt from `egress`. `answers` tells whether an egress has answered another
    /// job of the service since an instant, `silence` whether the service answers at all.
    pub(crate) fn after(
        &mut self,
        judged: Judged,
        egress: EgressId,
        answers: impl Fn(EgressId, Instant) -> bool,
        silence: Option<Silence>,
        rng: &mut fastrand::Rng,
        now: Instant,
    ) -> Next {
        if says_nothing(&judged) {
            self.nothing_for.retain(|(by, _)| *by != egress);
            self.nothing_for.push((egress, now));
            let agreed = self.nothing_for.iter().filter(|(by, since)| answers(*by, *since)).count();
            if agreed >= HOPELESS {
                let detail =
                    format!("{agreed} egresses that are answered other lookups got nothing for this one");
                return Next::Failed(error("bad_answer", detail));
            }
        }
        let Judged { report, verdict, answer, .. } = judged;
        let detail = report.detail.unwrap_or_default();
        match (report.end, verdict, answer) {
            (CallEnd::Withdrawn, ..) => Next::Again(self.step()),
            (CallEnd::TooLong, ..) => Next::Failed(error("bad_answer", detail)),
            (CallEnd::Answered | CallEnd::Reset, Some(Verdict::Refused { .. }), _) => {
                let hopeless = self.refusals_that_count(egress, answers, now);
                if hopeless >= HOPELESS {
                    let detail =
                        format!("{hopeless} egresses that answer other lookups were refused this one");
                    return Next::Failed(error("always_refused", detail));
                }
                Next::Again(Step { avoid: Some(egress), ..self.step() })
            }
            (CallEnd::Answered | CallEnd::Reset, Some(Verdict::Blocked), _) => Next::Failed(error(
                "blocked",
                "the service says that we are shut out; it is paused until it is resumed",
            )),
            (CallEnd::Answered | CallEnd::Reset, Some(Verdict::Retired), _) => {
                Next::Failed(error("retired", retired(&report.service)))
            }
            (CallEnd::Answered | CallEnd::Reset, Some(Verdict::Unavailable), _) => {
                let detail = format!("`{}` says that it can answer nobody at present", report.service);
                self.unserved("unavailable", detail, egress, silence, rng, now)
            }
            (CallEnd::Answered, Some(Verdict::Nonsense), Some(answer)) => {
                let print = fingerprint(&report.answer.0);
                if self.odd.replace(print) == Some(print) {
                    return Next::Done(Box::new(answer));
                }
                self.failed(
                    "bad_answer",
                    "the answer has no known form, and no second one was the same",
                    egress,
                    rng,
                    now,
                )
            }
            // A remote may reset after a whole answer; the classifier has judged whether it was one.
            (CallEnd::Answered | CallEnd::Reset, Some(verdict), Some(answer))
                if verdict != Verdict::Nonsense =>
            {
                Next::Done(Box::new(answer))
            }
            (CallEnd::Answered, Some(Verdict::Failed), _) => {
                self.failed("bad_answer", detail, egress, rng, now)
            }
            (CallEnd::Answered, ..) => {
                self.failed("bad_answer", "the answer was empty or made no sense", egress, rng, now)
            }
            (CallEnd::TimedOut, ..) => self.unserved("timed_out", detail, egress, silence, rng, now),
            (CallEnd::Unreachable, ..) => self.unserved("unreachable", detail, egress, silence, rng, now),
            (CallEnd::Reset | CallEnd::NotSent, ..) => self.failed("unreachable", detail, egress, rng, now),
        }
    }

    /// `egress` was refused: the egresses so far that were, and have answered other jobs since.
    pub(super) fn refusals_that_count(
        &mut self,
        egress: EgressId,
        answers: impl Fn(EgressId, Instant) -> bool,
        now: Instant,
    ) -> usize {
        self.refused_by.retain(|(by, _)| *by != egress);
        self.refused_by.push((egress, now));
        self.refused_by.iter().filter(|(by, since)| answers(*by, *since)).count()
    }

    /// It answered nobody, or said that it cannot: a failure unless it is known to be down.
    fn unserved(
        &mut self,
        code: &str,
        detail: String,
        egress: EgressId,
        silence: Option<Silence>,
        rng: &mut fastrand::Rng,
        now: Instant,
    ) -> Next {
        if silence.is_some_and(|silence| silence.is_down) {
            // Whatever was asked, it is not to blame.
            let wait = backoff(1, rng).unwrap_or_default();
            return Next::Again(Step { not_before: now + wait, avoid: Some(egress), ..self.step() });
        }
        self.note_silence(silence);
        self.failed(code, detail, egress, rng, now)
    }

    /// This failure is taken back if the service turns out to be down.
    fn note_silence(&mut self, silence: Option<Silence>) {
        let Some(Silence { since, .. }) = silence else { return };
        let before = self.silent.filter(|(at, _)| *at == since).map_or(0, |(_, count)| count);
        self.silent = Some((since, before.saturating_add(1)));
    }

    /// The service is down, and has been since then: what it left unanswered costs no tries.
    pub(crate) fn forgive(&mut self, since: Instant) {
        if let Some((_, count)) = self.silent.take_if(|(at, _)| *at == since) {
            self.failures = self.failures.saturating_sub(count);
        }
    }

    fn failed(
        &mut self,
        code: &str,
        detail: impl Into<String>,
        egress: EgressId,
        rng: &mut fastrand::Rng,
        now: Instant,
    ) -> Next {
        self.failures = self.failures.saturating_add(1);
        match backoff(u32::from(self.failures), rng) {
            Some(wait) => Next::Again(Step { not_before: now + wait, avoid: Some(egress), ..self.step() }),
            None => Next::Failed(error(code, detail)),
        }
    }

    /// Why it expired.
    pub(crate) fn expiry(&self) -> JobError {
        let refused = |attempt: &AttemptView| attempt.outcome == AttemptOutcome::Refused;
        if !self.attempts.is_empty() && self.attempts.iter().all(refused) {
            return error("refused_throughout", "every attempt was refused until the deadline");
        }
        error("deadline", "no answer before the deadline")
    }
}

/// The answer that an attempt brought, if it is one by itself: whatever has become of its job.
pub(super) fn answer_of(judged: &Judged) -> Option<&Answer> {
    let is_whole = matches!(judged.report.end, CallEnd::Answered | CallEnd::Reset);
    let is_sure = !matches!(judged.verdict, None | Some(Verdict::Nonsense));
    judged.answer.as_ref().filter(|_| is_whole && is_sure)
}

/// The service said something to the question; refusals, outages and nothing at all are no answers.
pub(super) fn says_something(judged: &Judged) -> bool {
    use Verdict::{Found, Invalid, NotFound, Reserved};
    matches!(judged.report.end, CallEnd::Answered | CallEnd::Reset)
        && matches!(judged.verdict, Some(Found | NotFound | Reserved | Invalid))
}

/// It took the call and said nothing: a ban, an outage, or all that it has to say. Other egresses tell.
fn says_nothing(judged: &Judged) -> bool {
    use Verdict::{Empty, Failed, Nonsense};
    match judged.report.end {
        CallEnd::Answered => matches!(judged.verdict, Some(Empty)),
        CallEnd::Reset => matches!(judged.verdict, None | Some(Empty | Failed | Nonsense)),
        _ => false,
    }
}

/// Which egresses a flow may use, as it is kept; what cannot be read was checked when it was accepted, and takes any.
pub(crate) fn selector(kept: &str) -> Selector {
    if kept.is_empty() {
        return Selector::default();
    }
    let wish: EgressWish = serde_json::from_str(kept).unwrap_or_default();
    Selector {
        address: wish.id.as_deref().map(super::fleet::home),
        is_ipv6: wish.ip_version.map(|version| version == 6),
        tags: wish.tags,
    }
}

/// What an attempt's end means for budgets.
pub(crate) fn settlement(judged: &Judged) -> Settlement {
    match (judged.report.end, &judged.verdict) {
        (CallEnd::Withdrawn, _) => Settlement::Withdrawn,
        (CallEnd::NotSent, _) => Settlement::NotSent,
        (CallEnd::TimedOut | CallEnd::Unreachable, _) => Settlement::Unanswered,
        // Charged the same, and it counts towards an outage: the next egress would hear no more.
        (_, Some(Verdict::Unavailable)) => Settlement::Unanswered,
        (_, Some(Verdict::Refused { wait })) => Settlement::Refused { named: *wait },
        (_, Some(Verdict::Blocked)) => Settlement::Refused { named: None },
        _ => Settlement::Answered,
    }
}

/// The same for people.
pub(crate) fn outcome(judged: &Judged) -> AttemptOutcome {
    match (judged.report.end, &judged.verdict) {
        (CallEnd::NotSent | CallEnd::Withdrawn, _) => AttemptOutcome::NotSent,
        (CallEnd::TimedOut, _) => AttemptOutcome::TimedOut,
        (CallEnd::Unreachable, _) => AttemptOutcome::Unreachable,
        (CallEnd::TooLong, _) => AttemptOutcome::BadAnswer,
        (_, Some(Verdict::Refused { .. })) => AttemptOutcome::Refused,
        (_, Some(Verdict::Blocked)) => AttemptOutcome::Blocked,
        (_, Some(Verdict::Unavailable)) => AttemptOutcome::Unavailable,
        (_, Some(Verdict::Retired)) => AttemptOutcome::Retired,
        (CallEnd::Reset, Some(Verdict::Empty | Verdict::Nonsense | Verdict::Failed) | None) => {
            AttemptOutcome::Unreachable
        }
        (CallEnd::Answered, Some(Verdict::Empty | Verdict::Nonsense | Verdict::Failed) | None) => {
            AttemptOutcome::BadAnswer
        }
        (CallEnd::Answered | CallEnd::Reset, Some(_)) => AttemptOutcome::Answered,
    }
}

fn fingerprint(answer: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    answer.hash(&mut hasher);
    hasher.finish()
}

/// What a verdict says about the object, if it is an answer at all. One in no known form is an answer
/// if it is given twice.
pub(crate) fn answer_outcome(verdict: &Verdict) -> Option<AnswerOutcome> {
    match verdict {
        Verdict::Found | Verdict::Nonsense => Some(AnswerOutcome::Found),
        Verdict::NotFound => Some(AnswerOutcome::NotFound),
        Verdict::Reserved => Some(AnswerOutcome::Reserved),
        Verdict::Invalid => Some(AnswerOutcome::Invalid),
        Verdict::Refused { .. } | Verdict::Blocked | Verdict::Retired | Verdict::Unavailable => None,
        Verdict::Empty | Verdict::Failed => None,
    }
}

fn retired(service: &str) -> String {
    format!(
        "`{service}` says that whois is gone, there or for this zone; ask the registry's RDAP server, \
         a service with protocol = \"http\", and take the zone from `{service}`"
    )
}

pub(crate) fn error(code: &str, detail: impl Into<String>) -> JobError {
    JobError { code: code.to_owned(), detail: detail.into() }
}

#[cfg(test)]
mod tests;
