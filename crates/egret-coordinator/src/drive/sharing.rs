//! Answers for more than one job: from the cache, from a call that another job makes, and into the cache.
//!
//! All of it happens before the scheduler hears of a job, so nothing here spends anything.

use std::sync::Arc;
use std::time::Duration;

use egret_core::id::{AgentId, AttemptId, BatchId, JobId};
use egret_core::scheduler::{Event, Step};
use egret_core::time::Instant;
use egret_store::EndState;
use egret_wire::agent::Attempt;
use egret_wire::api::{Answer, JobResult};
use egret_wire::value::Time;

use super::flights::{Joined, Rank};
use super::{Drive, Job, MOST_UNWRITTEN};
use crate::cache::{Answered, Key};
use crate::recorder::Finished;

impl Drive {
    /// Finds the place of a job that has come, or may be asked again: it ends by an answer that is known, or waits for
    /// a call that asks the same. True: neither, it needs its step in the scheduler.
    pub(super) fn asks(&mut self, job: JobId, now: Instant) -> bool {
        let Some(open) = self.jobs.get_mut(&job) else { return false };
        // What has come since the cache was asked is in its front.
        let recent = || open.reuse.and_then(|reuse| self.cache.recent(&reuse, self.clock.wall_ms()));
        if let Some(answered) = open.known.take().or_else(recent) {
            self.answers.push_back((job, answered));
            return false;
        }
        let (flight, batch) = (open.flight(), open.batch());
        let Some((key, rank)) = flight.filter(|_| batch.is_none_or(|batch| !self.is_held(batch))) else {
            return true;
        };
        let (scheduler, jobs) = (&self.scheduler, &self.jobs);
        // One that has gone on knows more than whoever would ask in its place.
        let is_on_course = |leader: &JobId| jobs.get(leader).is_some_and(Job::is_on_course);
        let waits = |leader: JobId| scheduler.running(leader).is_none() && !is_on_course(&leader);
        match self.flights.join(key, rank, waits) {
            Joined::Leads => true,
            Joined::Follows => false,
            Joined::Relieves(leader) => {
                self.scheduler.handle(Event::Withdraw(leader), now);
                true
            }
        }
    }

    /// Jobs of a batch that is held wait in their own flows, and nobody waits for them.
    pub(super) fn ground(&mut self, batch: BatchId, now: Instant) {
        for (key, rank) in self.flights_of_batch(batch) {
            let followed = self.flights.follows(&key, rank);
            let next = self.flights.leave(&key, rank);
            self.lead(next, now);
            if followed {
                self.lead(Some(rank.job), now);
            }
        }
    }

    /// The opposite, when it goes on.
    pub(super) fn take_off_again(&mut self, batch: BatchId, now: Instant) {
        for (_, Rank { job, .. }) in self.flights_of_batch(batch) {
            let waits = self.scheduler.has_step(job) && self.scheduler.running(job).is_none();
            if waits && !self.asks(job, now) {
                self.scheduler.handle(Event::Withdraw(job), now);
            }
        }
    }

    /// What the jobs of a batch ask together with others, the most urgent first.
    fn flights_of_batch(&self, batch: BatchId) -> Vec<(Key, Rank)> {
        let of_batch = self.jobs.values().filter(|job| job.batch() == Some(batch));
        let mut flights: Vec<_> = of_batch.filter_map(Job::flight).collect();
        flights.sort_unstable_by_key(|(_, rank)| *rank);
        flights
    }

    /// The job whose call is to answer this one: itself, or the one that it waits for.
    pub(super) fn asker(&self, job: JobId) -> JobId {
        let flight = self.jobs.get(&job).and_then(Job::flight);
        let followed = flight.filter(|(key, rank)| self.flights.follows(key, *rank));
        followed.and_then(|(key, _)| self.flights.leader(&key)).unwrap_or(job)
    }

    /// The same step again, unless another job asks for this one by now.
    pub(super) fn ask_again(&mut self, step: Step, now: Instant) {
        if self.asker(step.job) == step.job {
            self.scheduler.handle(Event::Enqueue(step), now);
        }
    }

    /// Keeps the answer of a job for those who ask the same, now and later. Tell before the job ends.
    pub(super) fn share(&mut self, job: JobId, answer: &Answer, since: Duration, now: Instant) {
        if let Some(key) = self.jobs.get(&job).and_then(|open| open.reuse).map(|reuse| reuse.key) {
            self.keep_answer(key, Some(job), answer, since, None, now);
        }
    }

    /// Keeps an answer that came `since` ago, and gives it to all who take it, `own` excepted: that one has it.
    pub(super) fn keep_answer(
        &mut self,
        key: Key,
        own: Option<JobId>,
        answer: &Answer,
        since: Duration,
        report: Option<(AgentId, Attempt)>,
        now: Instant,
    ) {
        let wall = self.clock.wall_ms();
        let answered_ms = wall.saturating_sub(u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
        let answered_at = Some(Time(answered_ms));
        let result = JobResult { answer: Some(answer.clone()), answered_at, ..JobResult::default() };
        let answered = Arc::new(Answered::new(answered_ms, serde_json::to_vec(&result).unwrap_or_default()));
        self.cache.put(key, &answered);
        let jobs = &self.jobs;
        let takes = |job: JobId| {
            let reuse = jobs.get(&job).and_then(|open| open.reuse);
            own == Some(job) || reuse.is_some_and(|reuse| reuse.takes(&answered, wall))
        };
        let (landed, next) = self.flights.land(&key, takes);
        self.lead(next, now);
        let others = landed.into_iter().filter(|job| own != Some(*job));
        self.answers.extend(others.map(|job| (job, Arc::clone(&answered))));
        self.finished.push_back(Finished::Answer { row: answered.row(key), report });
    }

    /// A job has ended: if others waited for it the first of them asks now, and what its call brings is theirs.
    pub(super) fn leave_flight(&mut self, open: &Job, running: Option<AttemptId>, now: Instant) {
        // An answer that is part of another says too little.
        if let (Some(attempt), Some(reuse), None) = (running, open.reuse, &open.course) {
            self.left_over.insert(attempt, reuse.key);
        }
        if let Some((key, rank)) = open.flight() {
            let next = self.flights.leave(&key, rank);
            self.lead(next, now);
        }
    }

    /// Ends the jobs that others' answers are for, as fast as the disk takes them.
    pub(super) fn give_answers(&mut self, now: Instant) {
        while self.finished.len() < MOST_UNWRITTEN
            && let Some((job, answered)) = self.answers.pop_front()
        {
            if self.scheduler.running(job).is_some() {
                self.no_longer_running(job);
            }
            let Some(open) = self.jobs.remove(&job) else { continue };
            let body = body(&answered, &open);
            self.close(&open, EndState::Done, body, None, now);
        }
    }

    /// Followers end at their own deadlines.
    pub(super) fn expire_followers(&mut self, now: Instant) {
        while let Some(job) = self.flights.overdue(now) {
            let Some(error) = self.jobs.get(&job).map(Job::expiry) else { return };
            self.end(job, EndState::Expired, None, Some(error), None, now);
        }
    }

    fn lead(&mut self, next: Option<JobId>, now: Instant) {
        if let Some(open) = next.and_then(|job| self.jobs.get(&job)) {
            self.scheduler.handle(Event::Enqueue(open.step()), now);
        }
    }
}

/// The result of a job that another one's answer ends. Calls of its own that brought none stay on its record.
fn body(answered: &Answered, open: &Job) -> Vec<u8> {
    if open.attempts.is_empty() {
        return answered.body.clone();
    }
    let result = serde_json::from_slice(&answered.body).unwrap_or_default();
    let result = JobResult { attempts: open.attempts.clone(), ..result };
    serde_json::to_vec(&result).unwrap_or_default()
}
