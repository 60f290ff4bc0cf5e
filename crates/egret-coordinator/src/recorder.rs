//! The only writer of outcomes: what has ended, and answers to be given again, go to the store in batches, and are
//! acknowledged after the commit.

use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use egret_core::id::{AgentId, JobId};
use egret_store::{AnswerRow, JobRow, OutcomeRow, Store, StoreError};
use egret_wire::agent::Attempt;
use tokio::sync::{mpsc, watch};

use crate::api::reduced;
use crate::session::Outgoing;

/// Outcomes written in one go at most.
const BATCH: usize = 1_000;
/// Outcomes that may wait to be written; beyond it the drive waits for the disk.
pub(crate) const QUEUE: usize = 4_096;

/// What is to be written, and the attempt that brought it.
#[derive(Debug)]
pub(crate) enum Finished {
    /// The end of a job; of whose answer, if it is about something by name, only the record is written.
    Job { outcome: Arc<OutcomeRow>, only_record: Option<Box<str>>, report: Option<(AgentId, Attempt)> },
    /// A job goes on at another service.
    Moved { row: JobRow, report: Option<(AgentId, Attempt)> },
    /// An answer to be given again.
    Answer { row: AnswerRow, report: Option<(AgentId, Attempt)> },
}

impl Finished {
    fn outcome(&self) -> Option<&OutcomeRow> {
        match self {
            Self::Job { outcome, .. } => Some(outcome),
            Self::Answer { .. } | Self::Moved { .. } => None,
        }
    }

    /// The end of a job as it is written.
    fn row(&self) -> Option<OutcomeRow> {
        let Self::Job { outcome, only_record, .. } = self else { return None };
        let mut row = OutcomeRow::clone(outcome);
        if let Some(asked) = only_record {
            row.body = reduced(row.body, asked);
        }
        Some(row)
    }

    fn answer(&self) -> Option<&AnswerRow> {
        match self {
            Self::Job { .. } | Self::Moved { .. } => None,
            Self::Answer { row, .. } => Some(row),
        }
    }

    fn moved(&self) -> Option<&JobRow> {
        match self {
            Self::Moved { row, .. } => Some(row),
            Self::Job { .. } | Self::Answer { .. } => None,
        }
    }

    fn is_reduced(&self) -> bool {
        matches!(self, Self::Job { only_record: Some(_), .. })
    }

    fn report(&self) -> Option<(AgentId, Attempt)> {
        let (Self::Job { report, .. } | Self::Answer { report, .. } | Self::Moved { report, .. }) = self;
        *report
    }
}

/// How long after a failed write, a full disk say, it is tried again (chosen).
const RETRY: Duration = Duration::from_secs(1);

/// Sessions by agent, for whoever has something to say to one.
pub(crate) type Sessions = Arc<DashMap<AgentId, mpsc::Sender<Outgoing>>>;

pub(crate) struct Recorder {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) sessions: Sessions,
    /// Tells the drive which ends are on disk. Unbounded, since the drive may be waiting for this queue
    /// to drain; never longer than what the queue and the drive held.
    pub(crate) safe: mpsc::UnboundedSender<Vec<JobId>>,
    /// Counts the commits, for those who follow results.
    pub(crate) recorded: watch::Sender<u64>,
}

impl Recorder {
    /// Writes until the drive closes the queue.
    pub(crate) async fn run(self, mut queue: mpsc::Receiver<Finished>) {
        let mut batch = Vec::with_capacity(BATCH);
        while queue.recv_many(&mut batch, BATCH).await > 0 {
            while let Err(error) = self.store(&batch).await {
                tracing::error!("{} outcomes could not be stored, trying again: {error}", batch.len());
                if matches!(error, StoreError::Closed) {
                    return;
                }
                tokio::time::sleep(RETRY).await;
            }
            self.tell(&batch);
            batch.clear();
        }
    }

    async fn store(&self, batch: &[Finished]) -> Result<(), StoreError> {
        let answers: Vec<_> = batch.iter().filter_map(Finished::answer).cloned().collect();
        let kept = if answers.is_empty() { None } else { Some(self.store.save_answers(answers).await?) };
        // A job moves before it ends; whoever ends first has no move behind it.
        let moved: Vec<_> = batch.iter().filter_map(Finished::moved).cloned().collect();
        let moves = if moved.is_empty() { None } else { Some(self.store.advance(moved).await?) };
        let mut rows = Vec::with_capacity(batch.len());
        for finished in batch {
            rows.extend(finished.row());
            // Making a record takes a while where the answer is long; others may run in between.
            if finished.is_reduced() {
                tokio::task::yield_now().await;
            }
        }
        self.store.append_outcomes(rows).await?.await?;
        if let Some(commit) = moves {
            commit.await?;
        }
        match kept {
            Some(commit) => commit.await,
            None => Ok(()),
        }
    }

    fn tell(&self, batch: &[Finished]) {
        let mut acks: Vec<(AgentId, Vec<Attempt>)> = Vec::new();
        for (agent, attempt) in batch.iter().filter_map(Finished::report) {
            match acks.iter_mut().find(|(other, _)| *other == agent) {
                Some((_, attempts)) => attempts.push(attempt),
                None => acks.push((agent, vec![attempt])),
            }
        }
        for (agent, attempts) in acks {
            let session = self.sessions.get(&agent).map(|session| session.clone());
            if let Some(session) = session {
                // A session that takes nothing is closed by its own watchdog; the agent offers again.
                let _ = session.try_send(Outgoing::Ack(attempts));
            }
        }
        self.recorded.send_modify(|commits| *commits += 1);
        let jobs: Vec<JobId> =
            batch.iter().filter_map(Finished::outcome).map(|outcome| outcome.job).collect();
        // Without a drive the coordinator is stopping, and nobody needs to know.
        let _ = self.safe.send(jobs);
    }
}
