//! What comes back from agents: budgets charged, jobs ended or sent on.

use std::time::Duration;

use egret_core::id::{AgentId, AttemptId, EgressId, JobId, ServiceId};
use egret_core::ledger::LONGEST_NAMED;
use egret_core::scheduler::{Event, Settlement};
use egret_core::time::Instant;
use egret_lookup::Verdict;
use egret_store::EndState;
use egret_wire::agent::{Attempt, CallEnd, Report};
use egret_wire::api::AttemptView;
use egret_wire::value::Time;

use super::Drive;
use super::job::{Judged, Next, Silence, answer_of, outcome, says_something, settlement};
use super::via::Straight;
use crate::session::Outgoing;

/// How often an egress may get nothing where others are answered before it rests (chosen: a connection breaks by
/// accident, but rarely twice in a row).
const ACCIDENTS: u32 = 1;

impl Drive {
    /// Takes the results of one frame.
    pub(super) fn settle(&mut self, agent: AgentId, mut results: Vec<Judged>, now: Instant) {
        let mut safe = Vec::new();
        // What one service needs is at hand for all of its results.
        results.sort_by(|one, other| one.report.service.cmp(&other.report.service));
        self.scheduler.foresee(results.iter().map(|judged| name(judged).1));
        for judged in results {
            let attempt = judged.report.attempt;
            let waits_for_commit = self.settle_one(agent, judged, now);
            if !waits_for_commit {
                safe.push(attempt);
            }
        }
        if let Some(connected) = self.fleet.agents.get_mut(&agent) {
            connected.seen = (now, self.clock.wall_ms());
            if !safe.is_empty() {
                // Lost with the session if it is stuck; the agent offers them again, and they are acknowledged again.
                let _ = connected.outgoing.try_send(Outgoing::Ack(safe));
            }
        }
    }

    /// True: the result is acknowledged once the job's end is on disk.
    fn settle_one(&mut self, agent: AgentId, judged: Judged, now: Instant) -> bool {
        let (job, attempt) = name(&judged);
        let service = self.find_service(&judged.report.service);
        let (Some(service), Some(egress)) = (service, self.fleet.find(&judged.report.egress)) else {
            // A service that is no longer configured: there is no budget to charge and no job of it.
            return false;
        };
        if self.fleet.egress(egress).owner != agent {
            tracing::warn!(
                agent = %agent,
                egress = self.fleet.address(egress),
                "a result for an egress that another agent speaks for is left out"
            );
            return false;
        }
        if matches!(judged.verdict, Some(Verdict::Blocked)) && !self.scheduler.is_paused(service) {
            self.shut_out(service, now);
        }
        if attempt.start == self.start && !self.scheduler.expects(attempt) {
            // Told again because its acknowledgement was lost.
            return self.ending.contains_key(&job);
        }
        let left_over = self.left_over.remove(&attempt);
        if self.scheduler.running(job) == Some(attempt) {
            self.no_longer_running(job);
        }
        let settlement = match settlement(&judged) {
            Settlement::Refused { named: Some(wait) } => {
                let waited = Duration::from_millis(judged.report.since_ms);
                Settlement::Refused { named: Some(wait.saturating_sub(waited)) }
            }
            settlement => settlement,
        };
        self.dirty.insert((service, egress));
        let Report { held_ms, took_ms, since_ms, ready_in_ms, .. } = judged.report;
        let at_agent = Some(Duration::from_millis(held_ms.saturating_add(took_ms).saturating_add(since_ms)));
        let took = Some(Duration::from_millis(took_ms)).filter(|_| settlement != Settlement::Withdrawn);
        self.scheduler.handle(Event::Settle { attempt, settlement, at_agent, took }, now);
        // What it says of times counts from the answer, which may have waited for a new session.
        let since = Duration::from_millis(since_ms);
        if let Some((units, reset)) = judged.left.map(|(units, reset)| (units, reset.saturating_sub(since))) {
            let calls = units / self.services.config(service).terms.cost.max(1);
            self.scheduler.handle(Event::Left { service, egress, calls, reset }, now);
        }
        if let Some(length) = ready_in_ms.map(Duration::from_millis) {
            // The agent knows of more than we do: it is asked again when its own ledger lets a call leave.
            let length = length.saturating_sub(since).min(LONGEST_NAMED);
            self.scheduler.handle(Event::Late { service, egress, length }, now);
        }
        if says_something(&judged) {
            self.answered.insert((service, egress), now);
            self.shunned.remove(&(service, egress));
        }
        if settlement == Settlement::Answered {
            self.usual.observe(service, took_ms, judged.report.answer.0.len());
        }
        self.strays.remove(&job);
        if !self.jobs.contains_key(&job) {
            if let Some((key, answer)) = left_over.zip(answer_of(&judged)) {
                let report = Some((agent, judged.report.attempt));
                self.keep_answer(key, None, answer, since, report, now);
                return true;
            }
            if attempt.start != self.start && !self.ending.contains_key(&job) {
                // A call of an earlier start: its job may wait in the store.
                self.fetch(agent, judged, None, 1);
                return true;
            }
            // Ended already; if its record is on the way, the acknowledgement comes with it.
            return self.ending.contains_key(&job);
        }
        self.conclude(agent, job, service, egress, judged, now)
    }

    pub(super) fn conclude(
        &mut self,
        agent: AgentId,
        job: JobId,
        service: ServiceId,
        egress: EgressId,
        mut judged: Judged,
        now: Instant,
    ) -> bool {
        let (attempt, onward) = (judged.report.attempt, judged.onward.take());
        let since = Duration::from_millis(judged.report.since_ms);
        let view = self.attempt_view(service, egress, &judged);
        let superseded = self.scheduler.running(job).is_some();
        let is_down = self.scheduler.outage(service).is_some();
        let silence = self.scheduler.silent_since(service).map(|since| Silence { since, is_down });
        let answered = &self.answered;
        let answers =
            |by: EgressId, since: Instant| answered.get(&(service, by)).is_some_and(|at| *at >= since);
        let Some(open) = self.jobs.get_mut(&job) else { return false };
        if !open.is_of_this_step(service, attempt) {
            // Of a step that the job has left behind, or that a crash took back: it asks where it is.
            let step = open.step();
            if !self.scheduler.has_step(job) {
                self.ask_again(step, now);
            }
            return false;
        }
        let refused = view.outcome == egret_wire::api::AttemptOutcome::Refused;
        if judged.report.end != CallEnd::Withdrawn {
            // What never left is no attempt.
            open.note(view);
        }
        let (batch, is_kept) = (open.batch(), open.via.is_none());
        match open.straight(&judged, egress, answers, now) {
            Straight::Usual => {}
            Straight::Pass => {
                self.pass(job, judged.report, None, egress, now);
                return false;
            }
            Straight::Fail(_) if superseded => return false,
            Straight::Fail(error) => {
                self.end(job, EndState::Failed, None, Some(error), None, now);
                return false;
            }
        }
        let mut next = open.after(judged, egress, answers, silence, &mut self.rng, now);
        if matches!(next, Next::Done(_)) {
            let got_nothing = open.got_nothing().filter(|(by, since)| *by != egress && !answers(*by, *since));
            let shunned: Vec<EgressId> = got_nothing.map(|(by, _)| by).collect();
            shunned.into_iter().for_each(|by| self.shun(service, by, now));
        }
        if let Some(progress) = batch.filter(|_| refused).and_then(|batch| self.batches.get_mut(&batch)) {
            progress.refusals += 1;
        }
        if (!superseded || matches!(next, Next::Done(_)))
            && self.goes_on(job, &mut next, onward, (agent, attempt), now)
        {
            if superseded {
                self.no_longer_running(job);
            }
            return true;
        }
        match next {
            // The first good answer wins, whichever attempt brings it.
            Next::Done(answer) => {
                if superseded {
                    self.no_longer_running(job);
                }
                let Some(answer) = self.jobs.get(&job).map(|open| open.whole(*answer)) else { return false };
                self.share(job, &answer, since, now);
                self.end(job, EndState::Done, Some(answer), None, Some((agent, attempt)), now);
                return true;
            }
            // Another attempt is under way: what a late one failed at does not matter.
            _ if superseded => {}
            Next::Again(step) => self.ask_again(step, now),
            Next::Failed(error) => {
                let registry = self.jobs.get(&job).and_then(|open| open.at_least(&error));
                let (state, error) = match &registry {
                    Some(_) => (EndState::Done, None),
                    None => (EndState::Failed, Some(error)),
                };
                self.end(job, state, registry, error, Some((agent, attempt)), now);
                // What is not kept is acknowledged at once.
                return is_kept;
            }
        }
        false
    }

    /// An egress got nothing where another one was answered the same question. Once may be an accident.
    fn shun(&mut self, service: ServiceId, egress: EgressId, now: Instant) {
        let times = self.shunned.entry((service, egress)).or_insert(0);
        *times = times.saturating_add(1);
        if let Some(times) = times.checked_sub(ACCIDENTS).filter(|times| *times > 0) {
            self.scheduler.handle(Event::Shunned { service, egress, times }, now);
            self.dirty.insert((service, egress));
        }
    }

    fn attempt_view(&self, service: ServiceId, egress: EgressId, judged: &Judged) -> AttemptView {
        let report = &judged.report;
        let state = self.fleet.egress(egress);
        AttemptView {
            service: self.services.name(service).to_owned(),
            egress: state.address.clone(),
            agent: state.owner_name.clone(),
            outcome: outcome(judged),
            sent_at: Time(
                self.clock.wall_ms().saturating_sub(report.since_ms).saturating_sub(report.took_ms),
            ),
            took_ms: report.took_ms,
            bytes: report.answer.0.len() as u64,
            detail: report.detail.clone(),
        }
    }
}

/// Whose step was tried, and which try it was.
pub(super) fn name(judged: &Judged) -> (JobId, AttemptId) {
    let Attempt(job, _, start, count) = judged.report.attempt;
    (JobId(job), AttemptId { start, count })
}
