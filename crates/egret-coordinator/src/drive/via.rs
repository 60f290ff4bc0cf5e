//! Requests that are passed on: their callers get what the service says, as it is, and nothing of it is kept.
//!
//! Such a request is a job that the store never hears of: nobody was promised that it outlives its caller or this
//! process, and a request that changes something must not be sent again by a start that knows nothing of its caller.

use std::sync::atomic::Ordering;
use std::time::Duration;

use egret_core::id::{AgentId, EgressId, JobId};
use egret_core::time::Instant;
use egret_lookup::Verdict;
use egret_store::EndState;
use egret_wire::agent::{CallEnd, Report};
use egret_wire::api::{AttemptView, JobError};
use tokio::sync::oneshot;

use super::Drive;
use super::job::{HOPELESS, Job, Judged, error};
use super::settle::name;
use crate::passage::Rest;

/// Who waits for a request that is passed on.
#[derive(Debug)]
pub(crate) struct Via {
    reply: oneshot::Sender<Passed>,
    /// It may be sent again when nobody knows what became of it.
    may_repeat: bool,
}

/// What its caller is told.
#[derive(Debug)]
pub(crate) enum Passed {
    /// What the service said.
    Answer {
        /// Its status, head and body.
        report: Box<Report>,
        /// Where it was asked from.
        egress: String,
        /// How long ago the call left.
        left_ago: Duration,
        /// What follows, of one that is passed on as it comes.
        rest: Option<Rest>,
    },
    /// It said nothing that could be passed on.
    Nothing {
        /// How it ended.
        state: EndState,
        /// Why.
        error: Option<JobError>,
        /// What was tried.
        attempts: Vec<AttemptView>,
    },
}

/// What an attempt means for a request that is passed on.
pub(super) enum Straight {
    /// Its caller gets what came.
    Pass,
    /// It cannot be tried again.
    Fail(JobError),
    /// What it means for every job.
    Usual,
}

impl Via {
    pub(crate) fn new(reply: oneshot::Sender<Passed>, may_repeat: bool) -> Self {
        Self { reply, may_repeat }
    }

    /// Tells the caller, who may have gone.
    pub(super) fn end(self, passed: Passed) {
        let _ = self.reply.send(passed);
    }

    /// Why it ends when its call was lost with an agent; `None`: it is sent again.
    pub(super) fn lost(&self) -> Option<JobError> {
        let detail =
            "the agent was not heard of again, and the service may have been asked: it is not asked twice";
        (!self.may_repeat).then(|| error("unreachable", detail))
    }
}

impl Job {
    /// What an attempt from `egress` means for a request that is passed on, if it means anything else than for others.
    pub(super) fn straight(
        &mut self,
        judged: &Judged,
        egress: EgressId,
        answers: impl Fn(EgressId, Instant) -> bool,
        now: Instant,
    ) -> Straight {
        let Some(may_repeat) = self.via.as_ref().map(|via| via.may_repeat) else {
            return Straight::Usual;
        };
        let is_answer = judged.report.end == CallEnd::Answered
            && judged.report.head.is_some()
            && judged.report.status.is_some_and(|status| status >= 200);
        match (judged.report.end, &judged.verdict) {
            (CallEnd::Answered, Some(Verdict::Refused { .. }))
                if is_answer && self.refusals_that_count(egress, answers, now) >= HOPELESS =>
            {
                // Other requests are answered there: it is this one that the service does not like.
                Straight::Pass
            }
            (CallEnd::Answered | CallEnd::Reset, Some(Verdict::Refused { .. })) => Straight::Usual,
            (CallEnd::Answered, Some(_)) if is_answer => Straight::Pass,
            (CallEnd::Answered | CallEnd::Reset | CallEnd::TimedOut, _) if !may_repeat => {
                Straight::Fail(once(&judged.report))
            }
            _ => Straight::Usual,
        }
    }
}

/// Why a request that changes something is not tried again.
fn once(report: &Report) -> JobError {
    let code = match report.end {
        CallEnd::TimedOut => "timed_out",
        CallEnd::Answered => "bad_answer",
        _ => "unreachable",
    };
    let what = report.detail.as_deref().unwrap_or("the connection was broken off");
    error(code, format!("{what}; the service may have acted on it, so it is not asked twice"))
}

impl Drive {
    /// Gives a caller the beginning of an answer, and the rest as it comes; false: nobody takes it like that. Budgets hear
    /// of the call when it is over, as of every other.
    pub(crate) fn begin(&mut self, agent: AgentId, judged: Judged, rest: Rest, now: Instant) -> bool {
        if rest.is_closed() || !self.fleet.agents.contains_key(&agent) {
            return false;
        }
        let (job, attempt) = name(&judged);
        let service = self.find_service(&judged.report.service);
        let (Some(service), Some(egress)) = (service, self.fleet.find(&judged.report.egress)) else {
            return false;
        };
        if self.fleet.egress(egress).owner != agent || self.scheduler.running(job) != Some(attempt) {
            return false;
        }
        let answered = &self.answered;
        let answers =
            |by: EgressId, since: Instant| answered.get(&(service, by)).is_some_and(|at| *at >= since);
        let Some(open) = self.jobs.get_mut(&job) else { return false };
        // A block is to be known whole, and at once.
        if judged.verdict == Some(Verdict::Blocked)
            || !matches!(open.straight(&judged, egress, answers, now), Straight::Pass)
        {
            return false;
        }
        self.pass(job, judged.report, Some(rest), egress, now);
        true
    }

    /// Gives a caller what the service said.
    pub(super) fn pass(
        &mut self,
        job: JobId,
        report: Report,
        rest: Option<Rest>,
        egress: EgressId,
        now: Instant,
    ) {
        let Some(mut open) = self.jobs.remove(&job) else { return };
        if let Some(via) = open.via.take() {
            let egress = self.fleet.address(egress).to_owned();
            let left_ago = Duration::from_millis(report.took_ms.saturating_add(report.since_ms));
            via.end(Passed::Answer { report: Box::new(report), egress, left_ago, rest });
        }
        self.end_unkept(&open, now);
    }

    /// A job that nothing is kept of.
    pub(super) fn end_unkept(&mut self, open: &Job, now: Instant) {
        self.take_out(open, now);
        self.open_jobs.fetch_sub(1, Ordering::Relaxed);
    }
}
