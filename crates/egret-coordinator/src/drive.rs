//! The drive: the one loop that owns budgets and jobs in memory.
//!
//! Messages come in, the scheduler decides, grants and outcomes go out. Nothing here waits for a
//! network. When the disk falls behind, granting stops; questions are still answered.

mod additions;
mod again;
mod course;
mod drain;
mod fleet;
mod flights;
mod flows;
mod forecast;
mod job;
mod ledgers;
mod memory;
mod moves;
mod pauses;
mod progress;
mod settle;
mod sharing;
mod via;
mod views;
mod welcome;

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use dashmap::DashMap;
use egret_core::id::{AgentId, AttemptId, BatchId, EgressId, JobId, ServiceId};
use egret_core::scheduler::{Command, Event, Place, Scheduler, Settlement};
use egret_core::time::Instant;
use egret_store::{EndState, Flow, OutcomeRow, Store};
use egret_wire::agent::{Attempt, Grant};
use egret_wire::api::{AttemptOutcome, AttemptView, JobError, JobResult};
use egret_wire::value::{Bytes, Time};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

pub(crate) use course::{Course, Hop};
pub(crate) use fleet::{Connected, Fleet};
use flows::Flows;
pub(crate) use flows::{Airborne, BatchOrder, Fetched, Loaded};
pub(crate) use forecast::{Foresight, Last, Reasons};
pub(crate) use job::{Job, Judged, answer_outcome};
pub(crate) use memory::Memory;
use pauses::Pauses;
pub(crate) use pauses::Standing;
pub(crate) use progress::Progress;
pub(crate) use via::{Passed, Via};
pub(crate) use views::{AgentLive, Live};
pub(crate) use welcome::{Join, Welcomed};

use crate::cache::{Answered, Cache, Key};
use crate::clock::Clock;
use crate::config::NewEgress;
use crate::recorder::{Finished, Sessions};
use crate::services::Services;
use crate::session::Outgoing;

/// How often ledgers that changed are written down.
const CHECKPOINT: Duration = Duration::from_secs(2);
/// Nothing is granted when the last checkpoint on disk is older than this: it bounds what a crash costs.
pub(crate) const LEASE: Duration = Duration::from_secs(10);
/// Nothing is granted while this many outcomes wait for the recorder.
const MOST_UNWRITTEN: usize = 8_192;
/// How often it is looked whether a disk that was behind has caught up (chosen).
const STALLED: Duration = Duration::from_millis(50);
/// Messages taken in one turn at most, so that timers are not starved.
const TURN: usize = 256;

/// A question for the drive, answered between two turns.
pub(crate) type Ask = Box<dyn FnOnce(&mut Drive, Instant) + Send>;
/// Those who wait for the end of a job.
pub(crate) type Waiters = Arc<DashMap<JobId, oneshot::Sender<Arc<OutcomeRow>>>>;

/// Flows with their service, how many of their jobs are in the store, and the last place among those.
pub(crate) type StoredFlows = Vec<(Arc<Flow>, ServiceId, u64, Place)>;

/// What the drive is told.
pub(crate) enum Message {
    /// Jobs that have been accepted, and how far their batch had come if it is not known yet.
    Submit { jobs: Vec<Job>, batch: Option<(BatchId, Progress)> },
    /// Flows with so many jobs in the store, and how far their batch had come.
    Flows { flows: StoredFlows, batch: Option<(BatchId, Progress)> },
    /// What was read of a flow.
    Loaded(Loaded),
    /// The job of a result, read from the store.
    Fetched(Box<Fetched>),
    /// Attempts of an agent that ended, judged.
    /// `room` is what they take of all that may wait here.
    Results { agent: AgentId, results: Vec<Judged>, room: Option<OwnedSemaphorePermit> },
    /// An agent takes more grants.
    Credit { agent: AgentId, session: u64, grants: u32 },
    /// What an agent's clock showed a moment ago, in microseconds.
    Clock { agent: AgentId, session: u64, shown_us: u64 },
    /// An agent has proved who it is.
    Join(Box<Join>, oneshot::Sender<Welcomed>),
    /// An agent is about to stop: it takes nothing more.
    Draining { agent: AgentId, session: u64 },
    /// A session is over.
    Leave { agent: AgentId, session: u64 },
    /// Anything about an agent was heard.
    Heard(AgentId),
    /// Somebody wants to know or to change something.
    Ask(Ask),
}

/// Everything the coordinator knows of work in progress.
pub(crate) struct Drive {
    pub(crate) services: Arc<Services>,
    pub(crate) scheduler: Scheduler,
    pub(crate) jobs: HashMap<JobId, Job>,
    flows: Flows,
    airborne: Airborne,
    /// Calls of an earlier start whose jobs have not been read from the store yet.
    strays: HashMap<JobId, (AttemptId, ServiceId, EgressId)>,
    pauses: Pauses,
    /// Agents that somebody wants to take nothing more.
    drained: BTreeSet<AgentId>,
    /// To itself; weak, since the drive ends with its inbox.
    inbox: Option<mpsc::WeakSender<Message>>,
    /// Jobs that have ended and are not on disk yet.
    pub(crate) ending: HashMap<JobId, Arc<OutcomeRow>>,
    pub(crate) batches: HashMap<BatchId, Progress>,
    pub(crate) fleet: Fleet,
    /// Which jobs ask the same.
    flights: flights::Flights,
    /// Jobs to be ended by answers that they did not get themselves.
    answers: VecDeque<(JobId, Arc<Answered>)>,
    /// Calls under way whose jobs have ended, and what they ask.
    left_over: HashMap<AttemptId, Key>,
    cache: Arc<Cache>,
    memory: Memory,
    /// Shared ledgers that were looked up in the memory.
    met: HashSet<(ServiceId, String)>,
    new_egress: NewEgress,
    start: u32,
    clock: Clock,
    rng: fastrand::Rng,
    store: Arc<dyn Store>,
    recorder: mpsc::Sender<Finished>,
    waiters: Waiters,
    open_jobs: Arc<AtomicUsize>,
    sessions: Sessions,
    /// When the last checkpoint that is on disk was taken, in microseconds of the clock.
    stamped_at: Arc<AtomicU64>,
    /// The inbox has closed: this is the last checkpoint.
    stopping: bool,
    /// Outcomes on their way to the recorder.
    finished: VecDeque<Finished>,
    /// Agents with grants to send at the end of the turn.
    granted: BTreeSet<AgentId>,
    /// When an egress last got an answer from a service that says something.
    answered: HashMap<(ServiceId, EgressId), Instant>,
    /// How often since then an egress got nothing where another one was answered.
    shunned: HashMap<(ServiceId, EgressId), u32>,
    /// Pairs whose ledger changed since the last checkpoint.
    dirty: BTreeSet<(ServiceId, EgressId)>,
    /// How full the budgets of services are while work waits, smoothed.
    utilisation: HashMap<ServiceId, f64>,
    /// How long answers take, and how long they are.
    usual: forecast::Usual,
    /// Jobs on their way around services that are down.
    detours: HashSet<JobId>,
}

/// What a [`Drive`] is made of.
pub(crate) struct Parts {
    pub(crate) services: Arc<Services>,
    pub(crate) memory: Memory,
    pub(crate) new_egress: NewEgress,
    pub(crate) start: u32,
    pub(crate) clock: Clock,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) cache: Arc<Cache>,
    pub(crate) recorder: mpsc::Sender<Finished>,
    pub(crate) waiters: Waiters,
    /// Counts the open jobs: up where they are accepted, down here.
    pub(crate) open_jobs: Arc<AtomicUsize>,
    /// Jobs that are being written.
    pub(crate) airborne: Airborne,
    /// Whose work counts for how much.
    pub(crate) owners: Vec<(String, u32)>,
    /// What was ordered before this start.
    pub(crate) orders: Vec<(String, String)>,
    /// Kept here, so that it always names the session that the drive talks to.
    pub(crate) sessions: Sessions,
}

impl Drive {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts {
            services,
            memory,
            new_egress,
            start,
            clock,
            store,
            cache,
            recorder,
            waiters,
            open_jobs,
            airborne,
            owners,
            orders,
            sessions,
        } = parts;
        let stamped_at = Arc::new(AtomicU64::new(clock.now().as_micros()));
        let mut rng = fastrand::Rng::new();
        let rules = services.ids().map(|service| services.rules(service)).collect();
        let scheduler = Scheduler::new(rules, start, rng.fork());
        let mut drive = Self {
            services,
            scheduler,
            jobs: HashMap::new(),
            flows: Flows::default(),
            airborne,
            strays: HashMap::new(),
            pauses: Pauses::default(),
            drained: BTreeSet::new(),
            inbox: None,
            ending: HashMap::new(),
            batches: HashMap::new(),
            fleet: Fleet::default(),
            flights: flights::Flights::default(),
            answers: VecDeque::new(),
            left_over: HashMap::new(),
            cache,
            memory,
            met: HashSet::new(),
            new_egress,
            start,
            clock,
            rng,
            store,
            recorder,
            waiters,
            open_jobs,
            sessions,
            stamped_at,
            stopping: false,
            finished: VecDeque::new(),
            granted: BTreeSet::new(),
            answered: HashMap::new(),
            shunned: HashMap::new(),
            dirty: BTreeSet::new(),
            utilisation: HashMap::new(),
            usual: forecast::Usual::default(),
            detours: HashSet::new(),
        };
        drive.weigh(owners, clock.now());
        drive.remember_orders(orders, clock.now());
        drive
    }

    /// Runs until every sender of the inbox is gone.
    pub(crate) async fn run(
        mut self,
        mut inbox: mpsc::Receiver<Message>,
        mut safe: mpsc::UnboundedReceiver<Vec<JobId>>,
        own: mpsc::WeakSender<Message>,
    ) {
        self.inbox = Some(own);
        let mut messages = Vec::with_capacity(TURN);
        let mut checkpoint_at = self.clock.now() + CHECKPOINT;
        loop {
            let now = self.clock.now();
            // While the disk is behind no timer is looked at, so none is to wake us.
            let timers = self.scheduler.wake_at().into_iter().chain(self.flights.next_deadline()).min();
            let next = if self.may_grant(now) { timers } else { Some(now + STALLED) };
            let wake_at = next.map_or(checkpoint_at, |at| at.min(checkpoint_at));
            tokio::select! {
                biased;
                Some(jobs) = safe.recv() => self.recorded(&jobs),
                taken = inbox.recv_many(&mut messages, TURN) => if taken == 0 { break },
                () = tokio::time::sleep_until(self.clock.deadline(wake_at)) => {}
            }
            let now = self.clock.now();
            messages.drain(..).for_each(|message| self.take(message, now));
            self.give_answers(now);
            if self.may_grant(now) {
                self.expire_followers(now);
                self.scheduler.tick(now);
                while let Some(command) = self.scheduler.next_command() {
                    self.obey(command, now);
                    self.scheduler.tick(now);
                }
            }
            self.send_grants(now);
            self.hand_over();
            self.load_deferred();
            if now >= checkpoint_at {
                self.measure(now);
                self.detour_all(now);
                if let Some(commit) = self.checkpoint(now).await {
                    let stamped_at = Arc::clone(&self.stamped_at);
                    // One every two seconds, each over with its commit.
                    tokio::spawn(async move {
                        if commit.await.is_ok() {
                            stamped_at.fetch_max(now.as_micros(), Ordering::Relaxed);
                        }
                    });
                }
                checkpoint_at = now + CHECKPOINT;
            }
        }
        self.stopping = true;
        for finished in std::mem::take(&mut self.finished) {
            // The recorder outlives the drive.
            let _ = self.recorder.send(finished).await;
        }
        if let Some(commit) = self.checkpoint(self.clock.now()).await {
            // What is not written down counts as spent at the next start.
            let _ = commit.await;
        }
    }

    /// Whether the disk keeps up: outcomes are being written, and so are checkpoints.
    ///
    /// After a crash everything that may have been granted since the last checkpoint counts as spent;
    /// that is bounded because without checkpoints nothing is granted for longer than a lease.
    fn may_grant(&self, now: Instant) -> bool {
        let stamped_at = Instant::from_micros(self.stamped_at.load(Ordering::Relaxed));
        self.finished.len() < MOST_UNWRITTEN && now.since(stamped_at) < LEASE
    }

    /// Outcomes to the recorder, as many as it takes; the rest when it has written some.
    fn hand_over(&mut self) {
        while let Some(finished) = self.finished.pop_front() {
            if let Err(mpsc::error::TrySendError::Full(finished)) = self.recorder.try_send(finished) {
                self.finished.push_front(finished);
                return;
            }
        }
    }

    fn take(&mut self, message: Message, now: Instant) {
        self.meet_services(now);
        match message {
            Message::Submit { jobs, batch } => {
                if let Some((id, progress)) = batch.filter(|(_, progress)| progress.open() > 0) {
                    self.batches.entry(id).or_insert(progress);
                }
                jobs.into_iter().for_each(|job| self.take_in(job, now));
            }
            Message::Flows { flows, batch } => {
                if let Some((id, progress)) = batch.filter(|(_, progress)| progress.open() > 0) {
                    self.batches.entry(id).or_insert(progress);
                }
                for (flow, service, stored, last) in flows {
                    self.open_flow(&flow, service, (stored, Some(last)), now);
                }
            }
            Message::Loaded(loaded) => self.loaded(loaded, now),
            Message::Fetched(fetched) => self.fetched(*fetched, now),
            Message::Results { agent, results, room } => {
                self.settle(agent, results, now);
                drop(room);
            }
            Message::Credit { agent, session, grants } => {
                let Some(connected) = self.fleet.agents.get_mut(&agent).filter(|a| a.session == session)
                else {
                    return;
                };
                connected.credit = connected.credit.saturating_add(grants);
                connected.seen = (now, self.clock.wall_ms());
                self.scheduler.handle(Event::Credit { agent, grants }, now);
            }
            Message::Clock { agent, session, shown_us } => {
                let connected = self.fleet.agents.get_mut(&agent).filter(|a| a.session == session);
                if let Some(connected) = connected {
                    connected.clock = Some((shown_us, now));
                    connected.seen = (now, self.clock.wall_ms());
                }
            }
            Message::Join(join, reply) => {
                let welcomed = self.welcome(*join, now);
                // A session that died meanwhile says so itself.
                let _ = reply.send(welcomed);
            }
            Message::Draining { agent, session } => self.leaving(agent, session, now),
            Message::Leave { agent, session } => self.leave(agent, session, now),
            Message::Heard(agent) => {
                if let Some(connected) = self.fleet.agents.get_mut(&agent) {
                    connected.seen = (now, self.clock.wall_ms());
                }
            }
            Message::Ask(ask) => ask(self, now),
        }
    }

    fn obey(&mut self, command: Command, now: Instant) {
        match command {
            Command::Grant { attempt, job, service, egress, agent } => {
                self.grant(attempt, job, service, egress, agent, now);
            }
            Command::Recall { attempt, job, egress } => self.recall(job, attempt, egress),
            Command::Lost { attempt, job, service, egress } => self.lose(attempt, job, service, egress, now),
            Command::Down(service) => self.down(service),
            Command::Back(service) => {
                tracing::info!(service = self.services.name(service), "the service answers again");
            }
            Command::Leave(job) => self.leave_stored(job, now),
            Command::Load { flow, after, most } => self.load(flow, after, most),
            Command::Expired(job) => {
                let Some((error, registry)) = self.jobs.get(&job).map(|open| {
                    let error = open.expiry();
                    let registry = open.at_least(&error);
                    (error, registry)
                }) else {
                    return;
                };
                match registry {
                    Some(answer) => self.end(job, EndState::Done, Some(answer), None, None, now),
                    None => self.end(job, EndState::Expired, None, Some(error), None, now),
                }
            }
        }
    }

    fn grant(
        &mut self,
        attempt: AttemptId,
        job: JobId,
        service: ServiceId,
        egress: EgressId,
        agent: AgentId,
        now: Instant,
    ) {
        self.dirty.insert((service, egress));
        let address = self.fleet.address(egress).to_owned();
        let (Some(open), Some(connected)) = (self.jobs.get(&job), self.fleet.agents.get_mut(&agent)) else {
            return;
        };
        connected.credit = connected.credit.saturating_sub(1);
        connected.grants.push(Grant {
            attempt: Attempt(job.0, 1, attempt.start, attempt.count),
            service: self.services.name(service).to_owned(),
            egress: address,
            at: open.at.as_deref().map(str::to_owned),
            question: Bytes(open.question.to_vec()),
            // The session that it goes out by adds what is the service's, and seals it.
            headers: Vec::new(),
            seal: String::new(),
            not_after_us: connected.not_after(now),
        });
        self.granted.insert(agent);
        if let Some(progress) = open.batch().and_then(|batch| self.batches.get_mut(&batch)) {
            progress.running += 1;
        }
    }

    /// A service answers nobody: no job is to blame for the calls that showed it.
    fn down(&mut self, service: ServiceId) {
        tracing::error!(
            service = self.services.name(service),
            "the service answers nobody; one call at a time tries whether that is over"
        );
        if let Some(outage) = self.scheduler.outage(service) {
            let asking = self.jobs.values_mut().filter(|job| job.service == service);
            asking.for_each(|job| job.forgive(outage.since));
        }
    }

    fn lose(&mut self, attempt: AttemptId, job: JobId, service: ServiceId, egress: EgressId, now: Instant) {
        tracing::warn!(job = %job, egress = self.fleet.address(egress), "attempt {} was lost with its agent", attempt.count);
        self.dirty.insert((service, egress));
        self.left_over.remove(&attempt);
        let state = self.fleet.egress(egress);
        let view = AttemptView {
            service: self.services.name(service).to_owned(),
            egress: state.address.clone(),
            agent: state.owner_name.clone(),
            outcome: AttemptOutcome::Lost,
            sent_at: Time(self.clock.wall_ms()),
            took_ms: 0,
            bytes: 0,
            detail: Some("the agent was not heard of again".to_owned()),
        };
        self.strays.remove(&job);
        let Some(open) = self.jobs.get_mut(&job) else { return };
        open.note(view);
        if let Some(error) = open.via.as_ref().and_then(Via::lost) {
            return self.end(job, EndState::Failed, None, Some(error), None, now);
        }
        // A stray of an earlier start may be lost while another attempt of the job waits or runs.
        if !self.scheduler.has_step(job) {
            let step = open.step();
            self.no_longer_running(job);
            self.ask_again(step, now);
        }
    }

    /// Ends a job, once, and tells whoever waits.
    fn end(
        &mut self,
        job: JobId,
        state: EndState,
        answer: Option<egret_wire::api::Answer>,
        error: Option<JobError>,
        report: Option<(AgentId, Attempt)>,
        now: Instant,
    ) {
        let Some(mut open) = self.jobs.remove(&job) else { return };
        let attempts = std::mem::take(&mut open.attempts);
        if let Some(via) = open.via.take() {
            via.end(Passed::Nothing { state, error, attempts });
            return self.end_unkept(&open, now);
        }
        let result = JobResult { answer, error, attempts, answered_at: None };
        let body = serde_json::to_vec(&result).unwrap_or_default();
        self.close(&open, state, body, report, now);
    }

    /// Lets go of a job that has just been taken out, with its result as JSON.
    fn close(
        &mut self,
        open: &Job,
        state: EndState,
        body: Vec<u8>,
        report: Option<(AgentId, Attempt)>,
        now: Instant,
    ) {
        let (job, batch) = (open.id, open.batch());
        self.take_out(open, now);
        let outcome = Arc::new(OutcomeRow { job, batch, state, ended_ms: self.clock.wall_ms(), body });
        if let Some((_, waiter)) = self.waiters.remove(&job) {
            // Whoever waited may have given up.
            let _ = waiter.send(Arc::clone(&outcome));
        }
        self.record(outcome, open.only_record.clone(), report, now);
    }

    /// A job that is in no table any more leaves what else knows of it.
    fn take_out(&mut self, open: &Job, now: Instant) {
        let running = self.scheduler.running(open.id);
        self.detours.remove(&open.id);
        self.scheduler.handle(Event::Withdraw(open.id), now);
        self.left_flow(open.flow, open.id, true, now);
        self.leave_flight(open, running, now);
    }

    /// Gives up an open job; false: it has ended or is not known.
    pub(crate) fn cancel(&mut self, job: JobId, now: Instant) -> bool {
        if !self.jobs.contains_key(&job) {
            return false;
        }
        if let Some(attempt) = self.scheduler.running(job) {
            self.no_longer_running(job);
            if let Some(egress) = self.scheduler.left_from(attempt) {
                self.recall(job, attempt, egress);
            }
        }
        self.end(job, EndState::Cancelled, None, None, None, now);
        true
    }

    /// Asks the agent of a call to give it back if it has not left.
    fn recall(&mut self, job: JobId, attempt: AttemptId, egress: EgressId) {
        let agent = self.fleet.egress(egress).owner;
        if let Some(connected) = self.fleet.agents.get_mut(&agent) {
            connected.cancels.push(Attempt(job.0, 1, attempt.start, attempt.count));
            self.granted.insert(agent);
        }
    }

    fn no_longer_running(&mut self, job: JobId) {
        let batch = self.jobs.get(&job).and_then(Job::batch);
        if let Some(progress) = batch.and_then(|batch| self.batches.get_mut(&batch)) {
            progress.running = progress.running.saturating_sub(1);
        }
    }

    fn recorded(&mut self, jobs: &[JobId]) {
        for job in jobs {
            let Some(outcome) = self.ending.remove(job) else { continue };
            let Some(batch) = outcome.batch else { continue };
            if let Some(progress) = self.batches.get_mut(&batch) {
                progress.unrecorded = progress.unrecorded.saturating_sub(1);
                self.let_go(batch);
            }
        }
    }

    /// One frame of grants, and one of what was given up, for each agent that has some.
    fn send_grants(&mut self, now: Instant) {
        for agent in std::mem::take(&mut self.granted) {
            let Some(connected) = self.fleet.agents.get_mut(&agent) else { continue };
            let (grants, cancels) =
                (std::mem::take(&mut connected.grants), std::mem::take(&mut connected.cancels));
            if !cancels.is_empty() {
                // Best effort: what has left is spent and charged as usual.
                let _ = connected.outgoing.try_send(Outgoing::Cancel(cancels));
            }
            let handed = if grants.is_empty() {
                Ok(())
            } else {
                connected.outgoing.try_send(Outgoing::Grants(grants))
            };
            let Err(
                mpsc::error::TrySendError::Full(Outgoing::Grants(grants))
                | mpsc::error::TrySendError::Closed(Outgoing::Grants(grants)),
            ) = handed
            else {
                continue;
            };
            // The session is stuck or over: nothing of this has left, and nothing more goes there.
            let session = connected.session;
            self.leave(agent, session, now);
            grants.iter().for_each(|grant| self.take_back(grant, now));
        }
    }

    /// A grant that was never handed over.
    fn take_back(&mut self, grant: &Grant, now: Instant) {
        let Attempt(job, _, start, count) = grant.attempt;
        let (job, attempt) = (JobId(job), AttemptId { start, count });
        self.no_longer_running(job);
        let (settlement, at_agent, took) = (Settlement::Withdrawn, None, None);
        self.scheduler.handle(Event::Settle { attempt, settlement, at_agent, took }, now);
        self.left_over.remove(&attempt);
        if let Some(step) = self.jobs.get(&job).map(Job::step) {
            self.ask_again(step, now);
        }
    }
}

#[cfg(test)]
mod tests;
