//! The contract every store keeps; batch-shaped, because one commit for a thousand rows costs what one row costs.
//!
//! Writing verbs have two moments. The call itself returns once the rows stand in the writer's
//! bounded queue, in call order: awaiting it is the back-pressure. The [`Commit`] it returns ends once
//! they are on disk: only then may anybody be told.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_trait::async_trait;
use egret_core::id::{AgentId, BatchId, JobId};
use tokio::sync::oneshot;

use crate::row::*;

/// Why the store did not do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The file or its folder cannot be used; `detail` names it and the mend.
    #[error("{detail}")]
    Unusable {
        /// What is wrong, where, and what to do.
        detail: String,
    },
    /// The database refused a statement; nothing of that batch was kept.
    #[error("the store failed: {detail}")]
    Failed {
        /// The database's own words.
        detail: String,
    },
    /// The writer has stopped: the store is closing, or an earlier failure closed it.
    #[error("the store is closed")]
    Closed,
}

/// A write on its way to the disk; ends with the write's result once it is durable.
#[must_use = "rows are not durable before the commit has ended"]
#[derive(Debug)]
pub struct Commit<T = ()>(oneshot::Receiver<Result<T, StoreError>>);

impl<T> Commit<T> {
    /// A commit and the sender that ends it; for implementations.
    pub fn pending() -> (oneshot::Sender<Result<T, StoreError>>, Self) {
        let (sender, receiver) = oneshot::channel();
        (sender, Self(receiver))
    }
}

impl<T> Future for Commit<T> {
    type Output = Result<T, StoreError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(|ended| ended.unwrap_or(Err(StoreError::Closed)))
    }
}

type Stored<T> = Result<T, StoreError>;

/// What the coordinator remembers. Every implementation passes the same conformance suite.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Counts this start of the coordinator, durably, and tells what the ids must stay above.
    async fn begin(&self, now_ms: u64) -> Stored<Start>;

    /// Adds jobs, each at its place in its line. Two rows of one id are an error of the caller and fail the write.
    async fn append_jobs(&self, jobs: Vec<JobRow>) -> Stored<Commit>;
    /// Has jobs, appended before, go on in these lines and with these specs: each waits there instead. One that has
    /// an outcome stays as it is.
    async fn advance(&self, jobs: Vec<JobRow>) -> Stored<Commit>;
    /// Adds outcomes in this order and takes their jobs, appended before, out of the lines. A second outcome
    /// of a job is dropped silently: the first one stands.
    async fn append_outcomes(&self, outcomes: Vec<OutcomeRow>) -> Stored<Commit>;
    /// Takes outcomes of these jobs back: each waits again, at the end of this deadline in milliseconds since 1970, and is
    /// not counted in its batch any more, which has closed. The places of those outcomes are never given again. Returns the jobs that
    /// had one, with what it was.
    async fn reopen(&self, jobs: Vec<(JobId, u64)>) -> Stored<Commit<Vec<(JobId, EndState)>>>;
    /// Every line in which jobs wait, in no promised order; without those of a batch that is receiving or was
    /// cancelled meanwhile. One pass over all that waits: for starts.
    async fn flows(&self) -> Stored<Vec<FlowKept>>;
    /// The next jobs of a line behind `after` (`None`: from its head), at most `limit`; never one with an outcome.
    /// Of a batch that is receiving or was cancelled meanwhile: none.
    async fn waiting(&self, flow: &Arc<Flow>, after: Option<Place>, limit: usize) -> Stored<Vec<JobRow>>;
    /// How many jobs of a line wait before a place, taken or not; the time grows with their number.
    async fn ahead(&self, flow: &Arc<Flow>, place: Place) -> Stored<u64>;
    /// One job and its outcome, if it has ended.
    async fn job(&self, id: JobId) -> Stored<Option<Kept>>;
    /// Jobs by descending id, below `filter.before`, at most `limit`.
    async fn jobs(&self, filter: JobFilter, limit: usize) -> Stored<Vec<Kept>>;

    /// Opens a batch in the state receiving.
    async fn open_batch(&self, batch: BatchRow) -> Stored<Commit>;
    /// Ends the receiving of a batch: closed with its totals, or cancelled. A second end is dropped.
    async fn end_batch(&self, id: BatchId, end: BatchEnd) -> Stored<Commit>;
    /// Adds refused lines of a batch.
    async fn append_rejected(&self, batch: BatchId, lines: Vec<RejectedRow>) -> Stored<Commit>;
    /// One batch with its counts.
    async fn batch(&self, id: BatchId) -> Stored<Option<BatchKept>>;
    /// Batches of an owner (`None`: everybody's) by descending id below `before` (`None`: from the newest), at
    /// most `limit`.
    async fn batches(
        &self,
        owner: Option<String>,
        before: Option<BatchId>,
        limit: usize,
    ) -> Stored<Vec<BatchKept>>;
    /// Refused lines of a batch with `line > after`, in line order, at most `limit`.
    async fn rejected(&self, batch: BatchId, after: u64, limit: usize) -> Stored<Vec<RejectedRow>>;
    /// Ended jobs of a batch in order of ending, with `seq > after`, at most `limit`.
    async fn results(&self, batch: BatchId, after: u64, limit: usize) -> Stored<Vec<Ended>>;
    /// The same of those that ended in one of these states, without what came of them.
    async fn ended_as(
        &self,
        batch: BatchId,
        states: Vec<EndState>,
        after: u64,
        limit: usize,
    ) -> Stored<Vec<(u64, JobRow)>>;

    /// Adds a join token; only the hash of its secret is kept.
    async fn add_token(&self, token: TokenRow) -> Stored<Commit>;
    /// Spends one use of a token and adds the agent, in one transaction.
    async fn enrol(&self, request: EnrolRequest) -> Stored<Commit<Enrolment>>;
    /// Every token, in the order of their ids.
    async fn tokens(&self) -> Stored<Vec<TokenKept>>;
    /// Takes a token back; tells whether there is one. Agents that have joined with it stay.
    async fn revoke_token(&self, id: String, now_ms: u64) -> Stored<Commit<bool>>;
    /// All agents that were not revoked, by id.
    async fn agents(&self) -> Stored<Vec<AgentRow>>;
    /// One agent, if it was not revoked.
    async fn agent(&self, id: AgentId) -> Stored<Option<AgentRow>>;
    /// Takes an agent's place in the fleet back; tells whether it had one.
    async fn revoke_agent(&self, id: AgentId, now_ms: u64) -> Stored<Commit<bool>>;
    /// Records a session's number as offered to an agent, or as confirmed by it; numbers only grow.
    async fn save_epoch(&self, id: AgentId, epoch: u64, is_confirmed: bool) -> Stored<Commit>;
    /// Records that a copy of an agent's key tried to log in.
    async fn note_double(&self, id: AgentId, now_ms: u64) -> Stored<Commit>;

    /// Replaces the checkpoints of the given ledgers (one per egress and service).
    async fn save_ledgers(&self, ledgers: Vec<LedgerRow>) -> Stored<Commit>;
    /// Every checkpoint.
    async fn ledgers(&self) -> Stored<Vec<LedgerRow>>;
    /// Records who speaks for an egress from now on; replaces the previous owner.
    async fn save_egresses(&self, egresses: Vec<EgressRow>) -> Stored<Commit>;
    /// Every egress ever seen.
    async fn egresses(&self) -> Stored<Vec<EgressRow>>;

    /// Claims an idempotency key for a request whose fingerprint is given, and which is to add a job or a batch of this
    /// id. Keys older than 24 h at `now_ms` are forgotten.
    async fn claim_key(
        &self,
        key: String,
        fingerprint: [u8; 32],
        object: u64,
        now_ms: u64,
    ) -> Stored<Commit<KeyClaim>>;
    /// Records the answer given under a claimed key.
    async fn answer_key(&self, key: String, answer: Vec<u8>) -> Stored<Commit>;
    /// Gives up a claimed key whose request failed, so that it may be tried again; unless the job is there, or the batch
    /// and whole: then that is what the key stands for from now on. A start does so with every key left without an answer.
    async fn release_key(&self, key: String) -> Stored<Commit>;

    /// Keeps a word of the operator under `key`, in place of the one before; `None` takes it back.
    async fn save_order(&self, key: String, value: Option<String>) -> Stored<Commit>;
    /// Every word kept, by key.
    async fn orders(&self) -> Stored<Vec<(String, String)>>;

    /// Keeps answers, each in place of an older one of its key; then those saved first go until the store's
    /// room for answers holds them all. One that is larger than the room is not kept.
    ///
    /// # Errors
    /// [`StoreError::Failed`] at once, for all of them, if a key is too long.
    async fn save_answers(&self, answers: Vec<AnswerRow>) -> Stored<Commit>;
    /// The answer under a key, however old.
    async fn answer(&self, key: Vec<u8>) -> Stored<Option<AnswerRow>>;
    /// The same for many keys, in their order: of the first one, and of as many behind it as hold no more than
    /// `most` bytes together. To go on, ask for the rest.
    async fn answers(&self, keys: Vec<Vec<u8>>, most: usize) -> Stored<Vec<Option<AnswerRow>>>;

    /// When the answers under these keys were given, in their order, in milliseconds since 1970.
    async fn answered(&self, keys: Vec<Vec<u8>>) -> Stored<Vec<Option<u64>>>;

    /// Deletes nothing, checks that a row can be written and read: for readiness.
    async fn check(&self) -> Stored<()>;
}
