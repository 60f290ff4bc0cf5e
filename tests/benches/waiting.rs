//! What waiting jobs cost: memory of the coordinator with all of them on disk, and how soon after a restart the first call
//! is granted.
//!
//! `cargo bench -p egret-tests --bench waiting [JOBS]`: ten services, a batch for each, 10 million jobs unless told.

#![allow(clippy::print_stdout, reason = "a bench prints its table")]
#![allow(clippy::unwrap_used, reason = "a bench that cannot go on says where")]

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use egret_testkit::{Rules, WhoisRemote};
use egret_tests::{Rig, http, service};
use egret_wire::api::BatchView;
use futures_util::stream;

const SERVICES: usize = 10;
/// Lines in one piece of an upload.
const PIECE: usize = 10_000;

#[tokio::main]
async fn main() {
    let jobs = std::env::args().filter_map(|arg| arg.parse().ok()).next().unwrap_or(10_000_000);
    let remote = WhoisRemote::new(Rules::new()).start().await.unwrap();
    let rest = "quotas = [{ units = 1, per = \"1s\" }]";
    let services: String = (0..SERVICES).map(|n| service(&format!("w{n}"), remote.addr(), rest)).collect();
    let mut rig = Rig::start(&services).await;
    rig.agent(2);
    rig.agent(3);
    let idle = rig.coordinator.resident();
    let began = Instant::now();
    for n in 0..SERVICES {
        upload(&rig, &format!("w{n}"), jobs / SERVICES).await;
    }
    let (took, full) = (began.elapsed(), rig.coordinator.resident());
    println!(
        "| jobs | s to submit | jobs/s | coordinator MB: idle | with them | after a restart | s to the first grant |"
    );
    println!("|---|---|---|---|---|---|---|");
    rig.coordinator.kill();
    let began = Instant::now();
    rig.restart();
    let listens = began.elapsed();
    let granted = loop {
        let quota = rig.client.quota(false).await;
        if quota.is_ok_and(|quota| quota.services.iter().any(|service| service.running > 0)) {
            break began.elapsed();
        }
        assert!(began.elapsed() < Duration::from_secs(120), "{}", rig.coordinator.said());
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    tokio::time::sleep(Duration::from_secs(5)).await;
    let mb = |bytes: u64| bytes / (1 << 20);
    println!(
        "| {jobs} | {:.1} | {:.0} | {} | {} | {} | {:.2} (listens after {:.2}) |",
        took.as_secs_f64(),
        jobs as f64 / took.as_secs_f64(),
        mb(idle),
        mb(full),
        mb(rig.coordinator.resident()),
        granted.as_secs_f64(),
        listens.as_secs_f64(),
    );
}

/// Submits so many targets as one body.
async fn upload(rig: &Rig, service: &str, jobs: usize) {
    let pieces = stream::iter((0..jobs).step_by(PIECE).map(move |first| {
        let mut lines = String::new();
        for n in first..(first + PIECE).min(jobs) {
            writeln!(lines, "name{n}.example").unwrap();
        }
        Ok::<_, std::io::Error>(lines)
    }));
    let url = format!("http://{}/v1/jobs?service={service}&lookup=whois", rig.address);
    let body = reqwest::Body::wrap_stream(pieces);
    let response = http().post(url).header("content-type", "text/plain").body(body).send().await.unwrap();
    let batch: BatchView = response.json().await.unwrap();
    assert_eq!(batch.jobs_total as usize, jobs);
}
