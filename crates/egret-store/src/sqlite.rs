//! The store in one SQLite file: what a coordinator uses unless told otherwise.
//!
//! One thread writes with group commits (`writer`, `group`), a second one keeps the log short
//! (`keeper`), two connections read (`reader`). The rows are in `migrations/`, the statements in the
//! modules named after what they keep; `inline` does without threads, for simulations. Claims are absent: a job waits in its line (`waiting`) until it has an outcome.

mod answers;
mod batches;
mod column;
mod fleet;
mod flows;
mod group;
mod home;
mod inline;
mod jobs;
mod keeper;
mod keys;
mod names;
mod orders;
mod reader;
mod schema;
mod starts;
mod waiting;
mod writer;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use egret_core::id::{AgentId, BatchId, JobId};
use rusqlite::Connection;

use self::home::Home;
use self::reader::Readers;
use self::writer::{Queue, Writer};
use crate::row::*;
use crate::{Commit, Store, StoreError};

/// Connections that read at the same time; chosen: more than two cores gain little.
const READERS: usize = 2;
/// What a row costs in the queue besides its own bytes; a fair guess.
const ROW: usize = 64;

type Stored<T> = Result<T, StoreError>;

/// A [`Store`] in the file `egret.db` of a data dir.
///
/// Dropping it waits until everything queued is on disk, and blocks the thread meanwhile; the folder
/// can be opened again right after.
#[derive(Debug)]
pub struct SqliteStore {
    /// `None` only while being dropped.
    queue: Option<Queue>,
    answers_room: u64,
    readers: Arc<Readers>,
    writer: Option<JoinHandle<()>>,
    /// Last, so that the folder is free only when nothing here uses it any more.
    _home: Home,
}

impl SqliteStore {
    /// Opens the store in `data_dir`, makes both if absent, and brings the file up to date.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] if the folder cannot be written, another process holds it, or the file
    /// in it is no database, another program's or a newer egret's. The text is one line for the operator.
    pub fn open(data_dir: &Path) -> Result<Self, StoreError> {
        let (home, db) = Home::open(data_dir)?;
        let second = home.second()?;
        let readers = (0..READERS).map(|_| home.reader()).collect::<Result<_, _>>()?;
        let (queue, inbox) = Queue::new();
        let writer = Writer::start(db, second, &queue, inbox)?;
        Ok(Self {
            queue: Some(queue),
            answers_room: answers::ROOM,
            readers: Arc::new(Readers::new(readers, None)),
            writer: Some(writer),
            _home: home,
        })
    }

    /// The same without threads, for simulations: writes are committed by a task of the current runtime, questions answered
    /// where they are asked, each after `pause()`, as if the disk took that long. A runtime that is dropped takes with it
    /// what was not committed; the host must not crash, since nothing is synced.
    ///
    /// # Errors
    /// As of [`SqliteStore::open`].
    pub fn open_inline(data_dir: &Path, pause: fn() -> Duration) -> Result<Self, StoreError> {
        let (home, db) = Home::open(data_dir)?;
        inline::prepare(&db).map_err(|error| failed(&error))?;
        let readers = (0..READERS).map(|_| home.reader()).collect::<Result<_, _>>()?;
        let (queue, inbox) = Queue::new();
        // Ends with the queue.
        tokio::spawn(inline::write(db, inbox, pause));
        Ok(Self {
            queue: Some(queue),
            answers_room: answers::ROOM,
            readers: Arc::new(Readers::new(readers, Some(pause))),
            writer: None,
            _home: home,
        })
    }

    /// The same store with another room for answers, in bytes; 256 MiB until told.
    #[must_use]
    pub fn with_answers_room(mut self, bytes: u64) -> Self {
        self.answers_room = bytes;
        self
    }

    async fn write<T, W>(&self, bytes: usize, work: W) -> Stored<Commit<T>>
    where
        T: Send + 'static,
        W: Fn(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        self.queue.as_ref().ok_or(StoreError::Closed)?.push(bytes, work).await
    }

    async fn read<T, Q>(&self, question: Q) -> Stored<T>
    where
        T: Send + 'static,
        Q: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        self.readers.read(question).await
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        self.queue = None;
        if self.writer.take().is_some_and(|writer| writer.join().is_err()) {
            tracing::error!("the store's writer had died");
        }
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn begin(&self, now_ms: u64) -> Stored<Start> {
        self.write(ROW, move |db| starts::begin(db, now_ms)).await?.await
    }

    async fn append_jobs(&self, rows: Vec<JobRow>) -> Stored<Commit> {
        let bytes = rows.iter().map(|job| ROW + job.spec.len()).sum();
        self.write(bytes, move |db| jobs::append(db, &rows)).await
    }

    async fn advance(&self, rows: Vec<JobRow>) -> Stored<Commit> {
        let bytes = rows.iter().map(|job| ROW + job.spec.len()).sum();
        self.write(bytes, move |db| jobs::advance(db, &rows)).await
    }

    async fn append_outcomes(&self, rows: Vec<OutcomeRow>) -> Stored<Commit> {
        let bytes = rows.iter().map(|outcome| ROW + outcome.body.len()).sum();
        self.write(bytes, move |db| jobs::append_outcomes(db, &rows)).await
    }

    async fn reopen(&self, jobs: Vec<(JobId, u64)>) -> Stored<Commit<Vec<(JobId, EndState)>>> {
        self.write(jobs.len() * ROW, move |db| jobs::reopen(db, &jobs)).await
    }

    async fn flows(&self) -> Stored<Vec<FlowKept>> {
        self.read(waiting::flows).await
    }

    async fn waiting(&self, flow: &Arc<Flow>, after: Option<Place>, limit: usize) -> Stored<Vec<JobRow>> {
        let flow = Arc::clone(flow);
        self.read(move |db| waiting::next(db, &flow, after, limit)).await
    }

    async fn ahead(&self, flow: &Arc<Flow>, place: Place) -> Stored<u64> {
        let flow = Arc::clone(flow);
        self.read(move |db| waiting::ahead(db, &flow, place)).await
    }

    async fn job(&self, id: JobId) -> Stored<Option<Kept>> {
        self.read(move |db| jobs::job(db, id)).await
    }

    async fn jobs(&self, filter: JobFilter, limit: usize) -> Stored<Vec<Kept>> {
        self.read(move |db| jobs::jobs(db, &filter, limit)).await
    }

    async fn open_batch(&self, batch: BatchRow) -> Stored<Commit> {
        self.write(ROW, move |db| batches::open(db, &batch)).await
    }

    async fn end_batch(&self, id: BatchId, end: BatchEnd) -> Stored<Commit> {
        self.write(ROW, move |db| batches::end(db, id, end)).await
    }

    async fn append_rejected(&self, batch: BatchId, lines: Vec<RejectedRow>) -> Stored<Commit> {
        let bytes = lines.iter().map(|line| ROW + line.code.len() + line.detail.len()).sum();
        self.write(bytes, move |db| batches::append_rejected(db, batch, &lines)).await
    }

    async fn batch(&self, id: BatchId) -> Stored<Option<BatchKept>> {
        self.read(move |db| batches::batch(db, id)).await
    }

    async fn batches(
        &self,
        owner: Option<String>,
        before: Option<BatchId>,
        limit: usize,
    ) -> Stored<Vec<BatchKept>> {
        self.read(move |db| batches::batches(db, owner.as_deref(), before, limit)).await
    }

    async fn rejected(&self, batch: BatchId, after: u64, limit: usize) -> Stored<Vec<RejectedRow>> {
        self.read(move |db| batches::rejected(db, batch, after, limit)).await
    }

    async fn results(&self, batch: BatchId, after: u64, limit: usize) -> Stored<Vec<Ended>> {
        self.read(move |db| batches::results(db, batch, after, limit)).await
    }

    async fn ended_as(
        &self,
        batch: BatchId,
        states: Vec<EndState>,
        after: u64,
        limit: usize,
    ) -> Stored<Vec<(u64, JobRow)>> {
        self.read(move |db| batches::ended_as(db, batch, &states, after, limit)).await
    }

    async fn add_token(&self, token: TokenRow) -> Stored<Commit> {
        self.write(ROW, move |db| fleet::add_token(db, &token)).await
    }

    async fn enrol(&self, request: EnrolRequest) -> Stored<Commit<Enrolment>> {
        self.write(ROW, move |db| fleet::enrol(db, &request)).await
    }

    async fn tokens(&self) -> Stored<Vec<TokenKept>> {
        self.read(fleet::tokens).await
    }

    async fn revoke_token(&self, id: String, now_ms: u64) -> Stored<Commit<bool>> {
        self.write(ROW, move |db| fleet::revoke_token(db, &id, now_ms)).await
    }

    async fn revoke_agent(&self, id: AgentId, now_ms: u64) -> Stored<Commit<bool>> {
        self.write(ROW, move |db| fleet::revoke_agent(db, id, now_ms)).await
    }

    async fn save_epoch(&self, id: AgentId, epoch: u64, is_confirmed: bool) -> Stored<Commit> {
        self.write(ROW, move |db| fleet::save_epoch(db, id, epoch, is_confirmed)).await
    }

    async fn note_double(&self, id: AgentId, now_ms: u64) -> Stored<Commit> {
        self.write(ROW, move |db| fleet::note_double(db, id, now_ms)).await
    }

    async fn agents(&self) -> Stored<Vec<AgentRow>> {
        self.read(fleet::agents).await
    }

    async fn agent(&self, id: AgentId) -> Stored<Option<AgentRow>> {
        self.read(move |db| fleet::agent(db, id)).await
    }

    async fn save_ledgers(&self, ledgers: Vec<LedgerRow>) -> Stored<Commit> {
        let bytes = ledgers.iter().map(|ledger| ROW + ledger.state.len()).sum();
        self.write(bytes, move |db| fleet::save_ledgers(db, &ledgers)).await
    }

    async fn ledgers(&self) -> Stored<Vec<LedgerRow>> {
        self.read(fleet::ledgers).await
    }

    async fn save_egresses(&self, egresses: Vec<EgressRow>) -> Stored<Commit> {
        self.write(egresses.len() * ROW, move |db| fleet::save_egresses(db, &egresses)).await
    }

    async fn egresses(&self) -> Stored<Vec<EgressRow>> {
        self.read(fleet::egresses).await
    }

    async fn claim_key(
        &self,
        key: String,
        fingerprint: [u8; 32],
        object: u64,
        now_ms: u64,
    ) -> Stored<Commit<KeyClaim>> {
        self.write(ROW + key.len(), move |db| keys::claim(db, &key, &fingerprint, object, now_ms)).await
    }

    async fn answer_key(&self, key: String, answer: Vec<u8>) -> Stored<Commit> {
        self.write(ROW + answer.len(), move |db| keys::answer(db, &key, &answer)).await
    }

    async fn release_key(&self, key: String) -> Stored<Commit> {
        self.write(ROW + key.len(), move |db| keys::release(db, &key)).await
    }

    async fn save_order(&self, key: String, value: Option<String>) -> Stored<Commit> {
        orders::check(&key, value.as_deref())?;
        let bytes = ROW + key.len() + value.as_ref().map_or(0, String::len);
        self.write(bytes, move |db| orders::save(db, &key, value.as_deref())).await
    }

    async fn orders(&self) -> Stored<Vec<(String, String)>> {
        self.read(orders::orders).await
    }

    async fn save_answers(&self, rows: Vec<AnswerRow>) -> Stored<Commit> {
        answers::check(&rows)?;
        let bytes = rows.iter().map(|answer| ROW + answer.key.len() + answer.body.len()).sum();
        let room = self.answers_room;
        self.write(bytes, move |db| answers::save(db, &rows, room)).await
    }

    async fn answer(&self, key: Vec<u8>) -> Stored<Option<AnswerRow>> {
        self.read(move |db| answers::answer(db, &key)).await
    }

    async fn answers(&self, keys: Vec<Vec<u8>>, most: usize) -> Stored<Vec<Option<AnswerRow>>> {
        self.read(move |db| answers::answers(db, &keys, most)).await
    }

    async fn answered(&self, keys: Vec<Vec<u8>>) -> Stored<Vec<Option<u64>>> {
        self.read(move |db| answers::answered(db, &keys)).await
    }

    async fn check(&self) -> Stored<()> {
        let written = self.write(ROW, starts::write_check).await?.await?;
        let read = self.read(starts::read_check).await?;
        if read >= written {
            return Ok(());
        }
        Err(StoreError::Failed { detail: format!("wrote {written}, but {read} was read back") })
    }
}

/// The database's own words.
fn failed(error: &rusqlite::Error) -> StoreError {
    StoreError::Failed { detail: error.to_string() }
}
