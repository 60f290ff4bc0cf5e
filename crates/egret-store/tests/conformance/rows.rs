//! Rows to test with, and the shortest ways to write and read them.

use std::sync::Arc;

use egret_core::id::{AgentId, BatchId, JobId};
use egret_store::{
    AnswerRow, BatchEnd, BatchRow, EndState, EnrolRequest, Enrolment, Flow, JobRow, OutcomeRow, Place, Store,
    TokenRow,
};

/// A line of no batch.
pub(crate) fn flow() -> Flow {
    Flow {
        service: "whois.example".into(),
        owner: String::new(),
        class: 1,
        egress: String::new(),
        batch: None,
    }
}

/// A job of no batch.
pub(crate) fn job(id: u64) -> JobRow {
    let spec = br#"{"target":"a.example"}"#.into();
    JobRow { id: JobId(id), flow: Arc::new(flow()), deadline_ms: 500_000, spec }
}

/// A job of a batch.
pub(crate) fn job_of(id: u64, batch: u64) -> JobRow {
    in_flow(job(id), Flow { batch: Some(BatchId(batch)), ..flow() })
}

/// The same job in another line.
pub(crate) fn in_flow(job: JobRow, flow: Flow) -> JobRow {
    JobRow { flow: Arc::new(flow), ..job }
}

/// The same job, for another service.
pub(crate) fn at(job: JobRow, service: &str) -> JobRow {
    let flow = Flow { service: service.into(), ..(*job.flow).clone() };
    in_flow(job, flow)
}

/// Where a job stands in its line.
pub(crate) fn place(job: &JobRow) -> Place {
    (job.deadline_ms, job.id)
}

/// How `job` ended.
pub(crate) fn end_of(job: &JobRow, state: EndState) -> OutcomeRow {
    let body = format!(r#"{{"of":{}}}"#, job.id.0).into_bytes();
    OutcomeRow { job: job.id, batch: job.flow.batch, state, ended_ms: 1_000 + job.id.0, body }
}

/// A job done.
pub(crate) fn done(id: u64) -> OutcomeRow {
    end_of(&job(id), EndState::Done)
}

/// All jobs closed, nothing refused.
pub(crate) fn closed(jobs: u64) -> BatchEnd {
    BatchEnd::Closed { jobs, rejected: 0 }
}

/// An answer under a key of one byte.
pub(crate) fn answer(key: u8, answered_ms: u64) -> AnswerRow {
    let body = format!(r#"{{"at":{answered_ms}}}"#).into_bytes();
    AnswerRow { key: vec![key], answered_ms, keep_until_ms: answered_ms + 100, body }
}

/// A token with the secret `[7; 32]`, worthless from 1,000 ms on.
pub(crate) fn token(uses: u32) -> TokenRow {
    let tags = vec!["eu".to_owned(), "a \"quoted\" tag".to_owned()];
    TokenRow {
        id: "tok".into(),
        secret_hash: [7; 32],
        uses,
        expires_ms: 1_000,
        tags,
        services: vec!["whois.*".into()],
    }
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
    open_batch_of(store, id, "").await;
}

pub(crate) async fn open_batch_of(store: &dyn Store, id: u64, owner: &str) {
    let batch = BatchRow { id: BatchId(id), owner: owner.into(), created_ms: id * 10 };
    store.open_batch(batch).await.unwrap().await.unwrap();
}

pub(crate) async fn end_batch(store: &dyn Store, id: u64, end: BatchEnd) {
    store.end_batch(BatchId(id), end).await.unwrap().await.unwrap();
}

pub(crate) async fn save_order(store: &dyn Store, key: &str, value: Option<&str>) {
    store.save_order(key.to_owned(), value.map(str::to_owned)).await.unwrap().await.unwrap();
}

pub(crate) async fn enrol(store: &dyn Store, request: EnrolRequest) -> Enrolment {
    store.enrol(request).await.unwrap().await.unwrap()
}

/// The ids of all jobs that wait, read line by line in pages of `page`; counts and places are checked by the way.
pub(crate) async fn open_ids(store: &dyn Store, page: usize) -> Vec<u64> {
    let mut ids = Vec::new();
    for kept in store.flows().await.unwrap() {
        let line = line(store, &kept.flow, page).await;
        assert_eq!(kept.waiting, line.len() as u64);
        assert_eq!(Some(kept.last), line.last().map(place));
        ids.extend(line.iter().map(|job| job.id.0));
    }
    ids.sort_unstable();
    ids
}

/// The jobs of a line from its head to its end, read in pages of `page`.
pub(crate) async fn line(store: &dyn Store, flow: &Arc<Flow>, page: usize) -> Vec<JobRow> {
    let (mut line, mut after) = (Vec::new(), None);
    loop {
        let jobs = store.waiting(flow, after, page).await.unwrap();
        assert!(jobs.len() <= page);
        let Some(last) = jobs.last() else { return line };
        after = Some(place(last));
        line.extend(jobs);
    }
}

/// The jobs of a batch that have ended after `after`, with their places.
pub(crate) async fn results(store: &dyn Store, batch: u64, after: u64, limit: usize) -> Vec<(u64, u64)> {
    let ended = store.results(BatchId(batch), after, limit).await.unwrap();
    ended.iter().map(|ended| (ended.seq, ended.job.id.0)).collect()
}
