//! How fast jobs are taken, durably, and what waiting ones cost in memory. No agent is there.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use egret_tests::{Rig, names};

use crate::bed::{NULL, mb, part_ms, request};

const BULK: usize = 100_000;
const SINGLES: usize = 20_000;
const CALLERS: usize = 32;

pub(crate) async fn run() {
    println!("\n| submissions | s | jobs/s | p50 ms | p99 ms | coordinator MB after |");
    println!("|---|---|---|---|---|---|");
    bulk().await;
    singles().await;
}

async fn bulk() {
    let rig = Rig::start(NULL).await;
    let before = rig.coordinator.resident();
    let body = names(BULK);
    let started = Instant::now();
    let batch = rig.submit("service=w", body).await;
    let took = started.elapsed().as_secs_f64();
    assert_eq!((batch.jobs_total, batch.rejected_total), (BULK as u64, 0));
    let (rate, after) = (BULK as f64 / took, rig.coordinator.resident());
    println!(
        "| {BULK} targets in one body | {took:.2} | {rate:.0} | | | {:.0} (was {:.0}) |",
        mb(after),
        mb(before)
    );
}

/// Callers with one connection and one job at a time each.
async fn singles() {
    let rig = Rig::start(NULL).await;
    let next = Arc::new(AtomicUsize::new(0));
    let started = Instant::now();
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let (client, next) = (rig.client.clone(), Arc::clone(&next));
            tokio::spawn(async move {
                let mut took = Vec::new();
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= SINGLES {
                        return took;
                    }
                    let sent = Instant::now();
                    client.submit(&request(format!("name{n}.example")), None).await.expect("it is taken");
                    took.push(sent.elapsed());
                }
            })
        })
        .collect();
    let mut took: Vec<Duration> = Vec::new();
    for caller in callers {
        took.extend(caller.await.expect("a caller ends"));
    }
    let elapsed = started.elapsed().as_secs_f64();
    took.sort_unstable();
    println!(
        "| {SINGLES} bodies of one job, {CALLERS} callers | {elapsed:.2} | {:.0} | {:.1} | {:.1} | {:.0} |",
        SINGLES as f64 / elapsed,
        part_ms(&took, 0.5),
        part_ms(&took, 0.99),
        mb(rig.coordinator.resident())
    );
}
