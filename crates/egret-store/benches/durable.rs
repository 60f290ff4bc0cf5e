//! How many jobs a second become durable, and how long one commit takes.
//!
//! `cargo bench -p egret-store --bench durable [-- JOBS]`: a fresh store in the temporary folder (`TMPDIR`
//! chooses the disk), every commit synced. A spec has 178 bytes and a body 594 (chosen);
//! outcomes come in strides over the jobs, as services of different speed end them.

#![allow(clippy::print_stdout, reason = "a bench prints its table")]

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use egret_core::id::{BatchId, JobId};
use egret_store::{
    BatchEnd, BatchRow, Commit, EndState, Flow, FlowKept, JobRow, OutcomeRow, SqliteStore, Store, StoreError,
};
use tokio::sync::mpsc;

const BATCH: u64 = 1_000;
const SERVICES: u64 = 16;
/// When the first job was born, in milliseconds since 1970.
const BIRTH_MS: u64 = 1_795_000_000_000;
/// Commits awaited by one caller at a time, where it does not wait for each.
const AHEAD: usize = 4;

#[tokio::main]
async fn main() -> Result<(), StoreError> {
    let jobs = std::env::args().find_map(|arg| arg.parse().ok()).unwrap_or(200_000);
    println!("| {jobs} jobs, batches of {BATCH} | jobs/s | commit p50 ms | p99 ms | max ms |");
    println!("|---|---|---|---|---|");
    one_by_one(jobs / 4).await?;
    append_only(jobs).await?;
    end_to_end(jobs).await?;
    singles(jobs / 20).await?;
    restart(jobs).await
}

/// Each batch committed before the next is sent.
async fn one_by_one(jobs: u64) -> Result<(), StoreError> {
    let (_dir, store) = fresh().await?;
    let (started, mut took) = (Instant::now(), Vec::new());
    for first in (0..jobs).step_by(BATCH as usize) {
        let sent = Instant::now();
        store.append_jobs(rows(first)).await?.await?;
        took.push(sent.elapsed());
    }
    print("append, one batch at a time", jobs, started, took);
    Ok(())
}

/// A few batches on their way at a time.
async fn append_only(jobs: u64) -> Result<(), StoreError> {
    let (_dir, store) = fresh().await?;
    let (started, mut window) = (Instant::now(), Window::default());
    for first in (0..jobs).step_by(BATCH as usize) {
        window.add(store.append_jobs(rows(first)).await?).await?;
    }
    print("append, four batches ahead", jobs, started, window.finish().await?);
    Ok(())
}

/// Jobs appended by one task and ended by another, at the same time.
async fn end_to_end(jobs: u64) -> Result<(), StoreError> {
    let (_dir, store) = fresh().await?;
    let (stored, mut to_end) = mpsc::channel::<u64>(64);
    let started = Instant::now();
    let appending = tokio::spawn({
        let store = Arc::clone(&store);
        async move {
            for first in (0..jobs).step_by(BATCH as usize) {
                store.append_jobs(rows(first)).await?.await?;
                stored.send(first).await.map_err(|_| StoreError::Closed)?;
            }
            Ok::<_, StoreError>(())
        }
    });
    let (mut window, mut block) = (Window::default(), Vec::new());
    while let Some(first) = to_end.recv().await {
        block.push(first);
        if block.len() == SERVICES as usize || (first + BATCH) >= jobs {
            for outcomes in strided(&std::mem::take(&mut block)) {
                window.add(store.append_outcomes(outcomes).await?).await?;
            }
        }
    }
    let took = window.finish().await?;
    appending.await.map_err(|_| StoreError::Closed)??;
    print("end to end: append + outcome", jobs, started, took);
    Ok(())
}

/// 64 callers, each with one job at a time: what group commit makes of single submissions.
async fn singles(jobs: u64) -> Result<(), StoreError> {
    const CALLERS: u64 = 64;
    let (_dir, store) = fresh().await?;
    let started = Instant::now();
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let mut took = Vec::new();
                for n in 0..jobs / CALLERS {
                    let sent = Instant::now();
                    store.append_jobs(vec![row(n * CALLERS + caller)]).await?.await?;
                    took.push(sent.elapsed());
                }
                Ok::<_, StoreError>(took)
            })
        })
        .collect();
    let mut took = Vec::new();
    for caller in callers {
        took.extend(caller.await.map_err(|_| StoreError::Closed)??);
    }
    print("append, 64 callers with one job each", jobs / CALLERS * CALLERS, started, took);
    Ok(())
}

/// Half of the jobs have ended; how long until a new start has read the open ones.
async fn restart(jobs: u64) -> Result<(), StoreError> {
    let (dir, store) = fresh().await?;
    for first in (0..jobs).step_by(BATCH as usize) {
        store.append_jobs(rows(first)).await?.await?;
        if first < jobs / 2 {
            for outcomes in strided(&[first]) {
                store.append_outcomes(outcomes).await?.await?;
            }
        }
    }
    store.end_batch(BatchId(1), BatchEnd::Closed { jobs, rejected: 0 }).await?.await?;
    drop(store);
    let started = Instant::now();
    let store = SqliteStore::open(dir.path())?;
    store.begin(0).await?;
    let began = started.elapsed();
    let flows = store.flows().await?;
    let (counted, mut open) = (started.elapsed(), 0);
    for FlowKept { flow, .. } in &flows {
        let mut after = None;
        while let Some(last) = {
            let page = store.waiting(flow, after, 10_000).await?;
            open += page.len();
            page.last().map(|job| (job.deadline_ms, job.id))
        } {
            after = Some(last);
        }
    }
    println!(
        "\nstart over {jobs} jobs: begun after {began:.0?}, {} flows counted after {counted:.0?}, {open} open ones read after {:.0?}",
        flows.len(),
        started.elapsed()
    );
    Ok(())
}

/// Commits on their way, the oldest awaited once there are too many.
#[derive(Default)]
struct Window {
    under_way: VecDeque<(Instant, Commit)>,
    took: Vec<Duration>,
}

impl Window {
    async fn add(&mut self, commit: Commit) -> Result<(), StoreError> {
        self.under_way.push_back((Instant::now(), commit));
        if self.under_way.len() >= AHEAD { self.end_oldest().await } else { Ok(()) }
    }

    async fn end_oldest(&mut self) -> Result<(), StoreError> {
        let Some((sent, commit)) = self.under_way.pop_front() else { return Ok(()) };
        commit.await?;
        self.took.push(sent.elapsed());
        Ok(())
    }

    async fn finish(mut self) -> Result<Vec<Duration>, StoreError> {
        while !self.under_way.is_empty() {
            self.end_oldest().await?;
        }
        Ok(self.took)
    }
}

async fn fresh() -> Result<(tempfile::TempDir, Arc<SqliteStore>), StoreError> {
    let dir = tempfile::tempdir().expect("the temporary folder can be written");
    let store = SqliteStore::open(dir.path())?;
    store.begin(0).await?;
    store.open_batch(BatchRow { id: BatchId(1), owner: String::new(), created_ms: 0 }).await?.await?;
    Ok((dir, Arc::new(store)))
}

/// One job; ids rise as those of a busy coordinator do.
fn row(n: u64) -> JobRow {
    let flow = Flow {
        service: format!("service-{}", n % SERVICES),
        owner: String::new(),
        class: 2,
        egress: String::new(),
        batch: Some(BatchId(1)),
    };
    let deadline_ms = BIRTH_MS + 604_800_000 + n / 50;
    JobRow { id: id(n), flow: Arc::new(flow), deadline_ms, spec: vec![b'x'; 178] }
}

fn id(n: u64) -> JobId {
    JobId((BIRTH_MS << 20) + ((n / 50) << 20) + n % 50)
}

fn rows(first: u64) -> Vec<JobRow> {
    (first..first + BATCH).map(row).collect()
}

/// The outcomes of these batches, service after service.
fn strided(firsts: &[u64]) -> Vec<Vec<OutcomeRow>> {
    let jobs = |service| {
        firsts.iter().flat_map(move |first| (*first..first + BATCH).filter(move |n| n % SERVICES == service))
    };
    let outcome = |n| OutcomeRow {
        job: id(n),
        batch: Some(BatchId(1)),
        state: EndState::Done,
        ended_ms: BIRTH_MS + n,
        body: vec![b'y'; 594],
    };
    let all: Vec<OutcomeRow> = (0..SERVICES).flat_map(jobs).map(outcome).collect();
    all.chunks(BATCH as usize).map(<[_]>::to_vec).collect()
}

fn print(what: &str, jobs: u64, started: Instant, mut took: Vec<Duration>) {
    let rate = jobs as f64 / started.elapsed().as_secs_f64();
    took.sort_unstable();
    let ms = |part: f64| took[((took.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e3;
    println!("| {what} | {rate:.0} | {:.1} | {:.1} | {:.1} |", ms(0.5), ms(0.99), ms(1.0));
}
