//! The flows in which jobs wait: named, filled from the store, held and given up.
//!
//! A flow has its first jobs in memory; the scheduler says when the next ones are to be read, and which need not be
//! kept. Reading takes a while, and meanwhile jobs end and come. Three things keep every job from being lost or run
//! twice: a job that is being written is on the list of those in the air until the drive has heard of it, one that
//! ends while its flow is read is left out of what was read, and one that is known already is passed over.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use dashmap::DashSet;
use egret_core::id::{AgentId, BatchId, FlowId, JobId, ServiceId, TenantId};
use egret_core::scheduler::{Class, Event, FlowKind, Place};
use egret_core::time::Instant;
use egret_store::{EndState, Flow, OutcomeRow, Store, StoreError};
use egret_wire::agent::Attempt;
use egret_wire::api::JobResult;
use tokio::sync::mpsc;

use super::job::{Job, Judged, selector};
use super::{Drive, MOST_UNWRITTEN, Message};
use crate::cache::Cache;
use crate::clock::{Clock, instant, millis};
use crate::recorder::Finished;
use crate::services::Services;
use crate::session::Outgoing;

/// How long after a reading that failed it is tried again (chosen).
const AGAIN: Duration = Duration::from_secs(1);

/// Jobs that are being written, until the drive has heard of them.
pub(crate) type Airborne = Arc<DashSet<JobId>>;

/// What was read of a flow: jobs in order, and the ends of those that cannot go on.
pub(crate) struct Loaded {
    pub(crate) flow: FlowId,
    pub(crate) jobs: Vec<Result<Job, OutcomeRow>>,
    /// The place read last; `None`: the end was reached.
    pub(crate) through: Option<Place>,
}

/// A result, and its job as the store has it.
pub(crate) struct Fetched {
    agent: AgentId,
    judged: Judged,
    /// `None`: it has ended, or is not known.
    job: Option<Job>,
    /// How often its flow had been read before, if that was known.
    readings: Option<u64>,
    /// How often it was looked for.
    tries: u32,
}

/// How often the job of a result is looked for; then its agent offers the result again.
const TRIES: u32 = 20;

/// What an operator wants of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BatchOrder {
    Run,
    Pause,
    Cancel,
}

impl BatchOrder {
    /// The order as it is kept; none is the usual one.
    pub(crate) fn word(self) -> Option<String> {
        match self {
            Self::Run => None,
            Self::Pause => Some("pause".to_owned()),
            Self::Cancel => Some("cancel".to_owned()),
        }
    }

    pub(crate) fn read(word: &str) -> Self {
        if word == "cancel" { Self::Cancel } else { Self::Pause }
    }
}

#[derive(Debug)]
struct Open {
    flow: Arc<Flow>,
    service: ServiceId,
    /// Its jobs in memory.
    jobs: usize,
    /// Jobs that ended while it is being read.
    ended_meanwhile: Option<HashSet<JobId>>,
    /// How often it was read.
    readings: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Flows {
    ids: HashMap<Arc<Flow>, FlowId>,
    open: BTreeMap<FlowId, Open>,
    named: u32,
    tenants: HashMap<String, TenantId>,
    /// Batches that are paused or given up.
    orders: BTreeMap<BatchId, BatchOrder>,
    /// Readings that wait until the ends of jobs have been written.
    deferred: Vec<(FlowId, Option<Place>, usize)>,
}

impl Drive {
    /// Owners with a weight of their own.
    pub(super) fn weigh(&mut self, owners: Vec<(String, u32)>, now: Instant) {
        for (owner, weight) in owners {
            let tenant = self.tenant(&owner);
            self.scheduler.handle(Event::Weigh(tenant, weight), now);
        }
    }

    /// An owner as the scheduler knows it, and its weight.
    pub(crate) fn weight_of(&mut self, owner: &str) -> (TenantId, u32) {
        let tenant = self.tenant(owner);
        (tenant, self.scheduler.weight(tenant))
    }

    fn tenant(&mut self, owner: &str) -> TenantId {
        if let Some(tenant) = self.flows.tenants.get(owner) {
            return *tenant;
        }
        let tenant = TenantId(u32::try_from(self.flows.tenants.len()).unwrap_or(u32::MAX));
        self.flows.tenants.insert(owner.to_owned(), tenant);
        tenant
    }

    /// Opens a flow unless it is open; so many of its jobs are in the store already.
    pub(super) fn open_flow(
        &mut self,
        flow: &Arc<Flow>,
        service: ServiceId,
        (stored, last): (u64, Option<Place>),
        now: Instant,
    ) -> FlowId {
        if let Some(id) = self.flows.ids.get(flow) {
            return *id;
        }
        self.flows.named += 1;
        let id = FlowId(self.flows.named);
        self.flows.ids.insert(Arc::clone(flow), id);
        let (jobs, readings) = (0, 0);
        let open = Open { flow: Arc::clone(flow), service, jobs, ended_meanwhile: None, readings };
        self.flows.open.insert(id, open);
        let tenant = self.tenant(&flow.owner);
        let class = Class::ALL[usize::from(flow.class).min(Class::ALL.len() - 1)];
        let kind = FlowKind { service, class, tenant, selector: selector(&flow.egress) };
        self.scheduler.handle(Event::Open { flow: id, kind, stored, last }, now);
        if flow.batch.is_some_and(|batch| self.is_held(batch)) {
            self.scheduler.handle(Event::Hold(id, true), now);
        }
        id
    }

    /// Takes a job in that the store has, or is about to have.
    pub(super) fn take_in(&mut self, mut job: Job, now: Instant) {
        job.flow = self.open_flow(&job.line, job.service, (0, None), now);
        let (id, step, batch) = (job.id, job.fresh_step(), job.batch());
        self.keep(job);
        if self.asks(id, now) {
            self.scheduler.handle(Event::Enqueue(step), now);
        }
        self.airborne.remove(&id);
        if batch.is_some_and(|batch| self.is_cancelled(batch)) {
            // Given up while its jobs were on their way here.
            self.cancel(id, now);
        }
    }

    pub(super) fn keep(&mut self, job: Job) {
        if let Some(open) = self.flows.open.get_mut(&job.flow) {
            open.jobs += 1;
        }
        self.jobs.insert(job.id, job);
    }

    /// The store has the job, and it is asked for again when its turn comes near.
    pub(super) fn leave_stored(&mut self, job: JobId, now: Instant) {
        let Some(job) = self.jobs.remove(&job) else { return };
        if let Some(open) = self.flows.open.get_mut(&job.flow) {
            open.jobs -= 1;
        }
        self.leave_flight(&job, None, now);
    }

    /// A job of this flow has ended; with the last one the flow is over.
    pub(super) fn left_flow(&mut self, flow: FlowId, job: JobId, was_kept: bool, now: Instant) {
        let Some(open) = self.flows.open.get_mut(&flow) else { return };
        open.jobs -= usize::from(was_kept);
        if let Some(ended) = &mut open.ended_meanwhile {
            ended.insert(job);
        }
        if open.jobs == 0 && open.ended_meanwhile.is_none() && self.scheduler.waiting(flow) == 0 {
            self.flows.ids.remove(&open.flow);
            self.flows.open.remove(&flow);
            self.scheduler.handle(Event::Close(flow), now);
        }
    }

    /// Has the next jobs of a flow read, unless the disk has enough to do with the ends of others.
    pub(super) fn load(&mut self, flow: FlowId, after: Option<Place>, most: usize) {
        let Some(open) = self.flows.open.get_mut(&flow) else { return };
        open.ended_meanwhile.get_or_insert_default();
        if self.finished.len() >= MOST_UNWRITTEN {
            self.flows.deferred.push((flow, after, most));
            return;
        }
        let Some(inbox) = &self.inbox else { return };
        let (cache, services) = (Arc::clone(&self.cache), Arc::clone(&self.services));
        let from = (Arc::clone(&self.store), cache, services, self.clock);
        // One at a time for each flow.
        tokio::spawn(read(from, Arc::clone(&open.flow), (flow, after, most), inbox.clone()));
    }

    pub(super) fn load_deferred(&mut self) {
        if self.finished.len() < MOST_UNWRITTEN / 2 {
            for (flow, after, most) in std::mem::take(&mut self.flows.deferred) {
                self.load(flow, after, most);
            }
        }
    }

    /// Takes in what was read of a flow.
    pub(super) fn loaded(&mut self, loaded: Loaded, now: Instant) {
        let Loaded { flow, jobs, through } = loaded;
        let Some(open) = self.flows.open.get_mut(&flow) else { return };
        open.readings += 1;
        let ended = open.ended_meanwhile.take().unwrap_or_default();
        let is_cancelled = open.flow.batch.is_some_and(|batch| self.is_cancelled(batch));
        let now_ms = self.clock.wall_ms();
        let mut steps = Vec::with_capacity(jobs.len());
        let mut adopted = Vec::new();
        for read in jobs {
            let id = read.as_ref().map_or_else(|outcome| outcome.job, |job| job.id);
            let is_known = self.jobs.contains_key(&id) || self.ending.contains_key(&id);
            if is_known || ended.contains(&id) || self.airborne.contains(&id) {
                continue;
            }
            match read {
                Ok(job) if is_cancelled => self.end_stored(flow, cancelled(job.id, job.batch(), now_ms), now),
                Ok(mut job) => {
                    job.flow = flow;
                    let step = job.fresh_step();
                    // One of a step that it has left behind has nothing to say to it.
                    let stray = self.strays.remove(&id).filter(|(_, service, _)| *service == job.service);
                    self.keep(job);
                    // With a call under way it waits for nobody else's.
                    if stray.is_some() || self.asks(id, now) {
                        steps.push(step);
                    } else {
                        self.scheduler.handle(Event::Gone(flow), now);
                    }
                    adopted.extend(stray.map(|stray| (id, stray)));
                }
                Err(outcome) => self.end_stored(flow, outcome, now),
            }
        }
        self.scheduler.handle(Event::Loaded { flow, steps, through }, now);
        for (job, (attempt, service, egress)) in adopted {
            self.scheduler.handle(Event::Adopt { attempt, job, service, egress }, now);
            let batch = self.jobs.get(&job).and_then(Job::batch);
            if let Some(progress) = batch.and_then(|batch| self.batches.get_mut(&batch)) {
                progress.running += 1;
            }
        }
        if self.scheduler.waiting(flow) == 0 {
            self.left_flow(flow, JobId(0), false, now);
        }
    }

    /// Looks for the job of a result in the store.
    pub(super) fn fetch(&mut self, agent: AgentId, judged: Judged, readings: Option<u64>, tries: u32) {
        let Some(inbox) = self.inbox.clone() else { return };
        let (store, services, clock) = (Arc::clone(&self.store), Arc::clone(&self.services), self.clock);
        // As many as agents hold results of an earlier start, each over with one reading.
        tokio::spawn(async move {
            let kept = match store.job(JobId(judged.report.attempt.0)).await {
                Ok(kept) => kept,
                Err(error) => {
                    // Not acknowledged: its agent keeps it, and offers it again with its next session.
                    tracing::error!("the job of a result could not be read: {error}");
                    return;
                }
            };
            let row = kept.filter(|kept| kept.outcome.is_none() && !kept.discarded);
            let job = row.and_then(|kept| crate::api::reopen(&services, &kept.job, clock.wall_ms()).ok());
            if let Some(inbox) = inbox.upgrade() {
                let fetched = Fetched { agent, judged, job, readings, tries };
                // Without a drive the agent offers it again, at the next start.
                let _ = inbox.send(Message::Fetched(Box::new(fetched))).await;
            }
        });
    }

    /// Takes a result whose job was looked for.
    pub(super) fn fetched(&mut self, fetched: Fetched, now: Instant) {
        let Fetched { agent, judged, job, readings, tries } = fetched;
        let attempt = judged.report.attempt;
        let id = JobId(attempt.0);
        let found = (self.find_service(&judged.report.service), self.fleet.find(&judged.report.egress));
        let (Some(service), Some(egress)) = found else { return };
        if !self.jobs.contains_key(&id) && !self.ending.contains_key(&id) {
            let Some(mut job) = job else {
                self.acknowledge(agent, attempt);
                return;
            };
            if readings.is_none() || self.readings(&job.line) != readings {
                // Its flow was not known yet, or was read since: look again.
                if tries < TRIES {
                    let readings = self.readings(&job.line);
                    self.fetch(agent, judged, readings, tries + 1);
                }
                return;
            }
            job.flow = self.open_flow(&job.line, job.service, (0, None), now);
            self.scheduler.handle(Event::Gone(job.flow), now);
            job.is_stored = false;
            if let Some(ended) = self.flows.open.get_mut(&job.flow).and_then(|o| o.ended_meanwhile.as_mut()) {
                // Whoever reads the flow passes it over.
                ended.insert(id);
            }
            self.keep(job);
        }
        if self.jobs.contains_key(&id) && !self.conclude(agent, id, service, egress, judged, now) {
            self.acknowledge(agent, attempt);
        }
    }

    fn acknowledge(&self, agent: AgentId, attempt: Attempt) {
        if let Some(connected) = self.fleet.agents.get(&agent) {
            // Lost with the session if it is stuck; the agent offers it again.
            let _ = connected.outgoing.try_send(Outgoing::Ack(vec![attempt]));
        }
    }

    /// Ends a job that is in the store alone.
    fn end_stored(&mut self, flow: FlowId, outcome: OutcomeRow, now: Instant) {
        self.scheduler.handle(Event::Gone(flow), now);
        self.record(Arc::new(outcome), None, None, now);
    }

    /// What becomes of a batch from now on; false: it was given up, and that is for good.
    pub(crate) fn order_batch(&mut self, batch: BatchId, order: BatchOrder, now: Instant) -> bool {
        if self.is_cancelled(batch) {
            return order == BatchOrder::Cancel;
        }
        match order {
            BatchOrder::Run => self.flows.orders.remove(&batch),
            BatchOrder::Pause | BatchOrder::Cancel => self.flows.orders.insert(batch, order),
        };
        let of_batch = self.flows.open.iter().filter(|(_, open)| open.flow.batch == Some(batch));
        for flow in of_batch.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.scheduler.handle(Event::Hold(flow, order != BatchOrder::Run), now);
        }
        match order {
            BatchOrder::Run => self.take_off_again(batch, now),
            BatchOrder::Pause => self.ground(batch, now),
            BatchOrder::Cancel => {}
        }
        if order == BatchOrder::Cancel {
            let of_batch = self.jobs.values().filter(|job| job.batch() == Some(batch));
            for job in of_batch.map(|job| job.id).collect::<Vec<_>>() {
                self.cancel(job, now);
            }
        }
        true
    }

    /// A batch has ended: what was ordered of it says nothing any more.
    pub(super) fn forget_order(&mut self, batch: BatchId) {
        if self.flows.orders.remove(&batch).is_some() {
            self.keep_order(format!("batch/{batch}"), None);
        }
    }

    pub(crate) fn is_paused(&self, batch: BatchId) -> bool {
        self.flows.orders.get(&batch) == Some(&BatchOrder::Pause)
    }

    /// Whether nothing of a batch is asked for now, or ever again.
    pub(super) fn is_held(&self, batch: BatchId) -> bool {
        self.flows.orders.contains_key(&batch)
    }

    pub(crate) fn is_cancelled(&self, batch: BatchId) -> bool {
        self.flows.orders.get(&batch) == Some(&BatchOrder::Cancel)
    }

    /// The open flows of a batch.
    pub(super) fn flows_of(&self, batch: BatchId) -> impl Iterator<Item = (FlowId, ServiceId)> {
        let of_batch = self.flows.open.iter().filter(move |(_, open)| open.flow.batch == Some(batch));
        of_batch.map(|(id, open)| (*id, open.service))
    }

    /// An open flow.
    pub(super) fn find_flow(&self, flow: &Arc<Flow>) -> Option<(FlowId, ServiceId)> {
        let id = self.flows.ids.get(flow)?;
        Some((*id, self.flows.open.get(id)?.service))
    }

    /// How often a flow was read; `None`: it is not open.
    pub(crate) fn readings(&self, flow: &Arc<Flow>) -> Option<u64> {
        self.flows.ids.get(flow).map(|id| self.flows.open[id].readings)
    }

    /// Gives up a job that is in the store alone, as seen when its flow had been read so often; false: look again, for
    /// it may have been read since.
    pub(crate) fn cancel_stored(
        &mut self,
        job: JobId,
        flow: &Arc<Flow>,
        readings: Option<u64>,
        now: Instant,
    ) -> bool {
        let is_known = self.jobs.contains_key(&job) || self.airborne.contains(&job);
        let Some(id) = self.flows.ids.get(flow).copied() else { return false };
        if is_known || readings.is_none() || self.readings(flow) != readings {
            return false;
        }
        if !self.ending.contains_key(&job) {
            self.end_stored(id, cancelled(job, flow.batch, self.clock.wall_ms()), now);
            self.left_flow(id, job, false, now);
        }
        true
    }

    /// The end of a job is on its way to the disk, and counts.
    pub(super) fn record(
        &mut self,
        outcome: Arc<OutcomeRow>,
        only_record: Option<Box<str>>,
        report: Option<(AgentId, Attempt)>,
        now: Instant,
    ) {
        self.open_jobs.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
        if let Some(progress) = outcome.batch.and_then(|batch| self.batches.get_mut(&batch)) {
            progress.end(outcome.state, now);
        }
        self.ending.insert(outcome.job, Arc::clone(&outcome));
        self.finished.push_back(Finished::Job { outcome, only_record, report });
    }
}

/// The end of a job that was never tried.
fn cancelled(job: JobId, batch: Option<BatchId>, ended_ms: u64) -> OutcomeRow {
    let body = serde_json::to_vec(&JobResult::default()).unwrap_or_default();
    OutcomeRow { job, batch, state: EndState::Cancelled, ended_ms, body }
}

/// Reads the next jobs of a flow, however often that takes, and the answers that the cache has to them.
async fn read(
    (store, cache, services, clock): (Arc<dyn Store>, Arc<Cache>, Arc<Services>, Clock),
    line: Arc<Flow>,
    (flow, after, most): (FlowId, Option<Place>, usize),
    inbox: mpsc::WeakSender<Message>,
) {
    let rows = loop {
        let place = after.map(|(deadline, job)| (millis(deadline), job));
        match store.waiting(&line, place, most).await {
            Ok(rows) => break rows,
            Err(StoreError::Closed) => return,
            Err(error) => {
                tracing::error!("waiting jobs could not be read, trying again: {error}");
                tokio::time::sleep(AGAIN).await;
            }
        }
    };
    let mut jobs: VecDeque<_> =
        rows.iter().map(|row| crate::api::reopen(&services, row, clock.wall_ms())).collect();
    let jobs = cache.next(&mut jobs, |read| read.as_mut().ok()).await;
    // With many answers it reads no further than memory holds them.
    let last = jobs.len().checked_sub(1).and_then(|last| rows.get(last));
    let is_end = rows.len() < most && jobs.len() == rows.len();
    let through = last.map(|row| (instant(row.deadline_ms), row.id)).filter(|_| !is_end);
    // Without a drive nobody waits for it.
    if let Some(inbox) = inbox.upgrade() {
        let _ = inbox.send(Message::Loaded(Loaded { flow, jobs, through })).await;
    }
}
