//! Jobs a second through everything but the network: the agents answer by themselves.

use std::time::Instant;

use egret_client::JobFilter;
use egret_tests::{Rig, names};
use egret_wire::api::JobState;

use crate::bed::{NULL, cpu, cpu_micros, mb, start_agents, stored};

const JOBS: usize = 200_000;

pub(crate) async fn run() {
    println!(
        "\n| {JOBS} jobs, null service | POST s | jobs/s from the POST | jobs/s from its 202 \
         | CPU µs a job: coordinator | agents | coordinator MB after |"
    );
    println!("|---|---|---|---|---|---|---|");
    for (agents, is_followed) in [(1, false), (4, false), (4, true)] {
        measure(agents, is_followed).await;
    }
}

async fn measure(agents: u8, is_followed: bool) {
    let mut rig = Rig::start(NULL).await;
    start_agents(&mut rig, agents);
    let body = names(JOBS);
    let (before, started) = (cpu(&rig), Instant::now());
    let batch = rig.submit("service=w", body).await;
    let taken = started.elapsed();
    if is_followed {
        let mut results = rig.client.results(&batch.id, true, None);
        let mut count = 0;
        while let Some(result) = results.next().await {
            result.expect("results are readable");
            count += 1;
        }
        assert_eq!(count, JOBS);
    } else {
        stored(&rig, &batch.id).await;
    }
    let elapsed = started.elapsed();
    let (coordinator, agents_cpu) = cpu_micros(before, cpu(&rig), JOBS);
    check(&rig, &batch.id).await;
    let rate = |secs: f64| JOBS as f64 / secs;
    println!(
        "| agents: {agents}{} | {:.2} | {:.0} | {:.0} | {coordinator:.1} | {agents_cpu:.1} | {:.0} |",
        if is_followed { ", results followed" } else { "" },
        taken.as_secs_f64(),
        rate(elapsed.as_secs_f64()),
        rate((elapsed - taken).as_secs_f64()),
        mb(rig.coordinator.resident())
    );
}

/// All done, and at the first attempt as far as a page tells.
async fn check(rig: &Rig, batch: &str) {
    let view = rig.client.batch(batch).await.expect("the batch is known");
    assert_eq!(view.done, JOBS as u64, "{view:?}");
    let filter = JobFilter { batch: Some(batch.to_owned()), ..JobFilter::default() };
    let page = rig.client.jobs(&filter).await.expect("jobs are listed");
    let once = page.items.iter().filter(|job| job.state == JobState::Done && job.result.attempts.len() == 1);
    assert_eq!(once.count(), page.items.len(), "an attempt more than needed");
}
