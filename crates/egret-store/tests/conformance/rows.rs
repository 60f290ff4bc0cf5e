//! Rows to test with, and the shortest ways to write and read them.

use egret_core::id::{AgentId, BatchId, JobId};
use egret_store::{
    BatchEnd, BatchRow, EndState, EnrolRequest, Enrolment, JobRow, OutcomeRow, Store, TokenRow,
};

/// A job of no batch.
pub(crate) fn job(id: u64) -> JobRow {
    JobRow {
        id: JobId(id),
        batch: None,
        service: "whois.example".into(),
        spec: br#"{"target":"a.example"}"#.into(),
    }
}

/// A job of a batch.
pub(crate) fn job_of(id: u64, batch: u64) -> JobRow {
    JobRow { batch: Some(BatchId(batch)), ..job(id) }
}

/// How `job` ended.
pub(crate) fn end_of(job: &JobRow, state: EndState) -> OutcomeRow {
    let body = format!(r#"{{"of":{}}}"#, job.id.0).into_bytes();
    OutcomeRow { job: job.id, batch: job.batch, state, ended_ms: 1_000 + job.id.0, body }
}

/// A job done.
pub(crate) fn done(id: u64) -> OutcomeRow {
    end_of(&job(id), EndState::Done)
}

/// All jobs closed, nothing refused.
pub(crate) fn closed(jobs: u64) -> BatchEnd {
    BatchEnd::Closed { jobs, rejected: 0 }
}

/// A token with the secret `[7; 32]`, worthless from 1,000 ms on.
pub(crate) fn token(uses: u32) -> TokenRow {
    let tags = vec!["eu".to_owned(), "a \"quoted\" tag".to_owned()];
    TokenRow { id: "tok".into(), secret_hash: [7; 32], uses, expires_ms: 1_000, tags }
}

/// An agent that presents it in time.
pub(crate) fn enrolment(agent: u64) -> EnrolRequest {
    EnrolRequest {
        token: "tok".into(),
        secret_hash: [7; 32],
        agent: AgentId(agent),
        name: format!("host-{agent}"),
        public_key: [3; 32],
        now_ms: 999,
    }
}

pub(crate) async fn append(store: &dyn Store, jobs: &[JobRow]) {
    store.append_jobs(jobs.to_vec()).await.unwrap().await.unwrap();
}

pub(crate) async fn end(store: &dyn Store, outcomes: &[OutcomeRow]) {
    store.append_outcomes(outcomes.to_vec()).await.unwrap().await.unwrap();
}

pub(crate) async fn open_batch(store: &dyn Store, id: u64) {
    let batch = BatchRow { id: BatchId(id), created_ms: id * 10 };
    store.open_batch(batch).await.unwrap().await.unwrap();
}

pub(crate) async fn end_batch(store: &dyn Store, id: u64, end: BatchEnd) {
    store.end_batch(BatchId(id), end).await.unwrap().await.unwrap();
}

pub(crate) async fn enrol(store: &dyn Store, request: EnrolRequest) -> Enrolment {
    store.enrol(request).await.unwrap().await.unwrap()
}

/// The ids of all open jobs, read in pages of `page`.
pub(crate) async fn open_ids(store: &dyn Store, page: usize) -> Vec<u64> {
    let (mut ids, mut after) = (Vec::new(), JobId(0));
    loop {
        let jobs = store.open_jobs(after, page).await.unwrap();
        assert!(jobs.len() <= page);
        let Some(last) = jobs.last() else { return ids };
        after = last.id;
        ids.extend(jobs.iter().map(|job| job.id.0));
    }
}

/// The jobs of a batch that have ended after `after`, with their places.
pub(crate) async fn results(store: &dyn Store, batch: u64, after: u64, limit: usize) -> Vec<(u64, u64)> {
    let ended = store.results(BatchId(batch), after, limit).await.unwrap();
    ended.iter().map(|ended| (ended.seq, ended.job.id.0)).collect()
}
