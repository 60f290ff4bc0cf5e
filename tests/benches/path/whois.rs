//! Real whois over TCP, beside a bare client loop that only makes the same calls.

use std::net::SocketAddr;
use std::time::Instant;

use egret_testkit::Robin;
use egret_tests::{Rig, names, service};

use crate::bed::{FREE, RemoteProcess, cpu, cpu_micros, mb, sources, start_agents, stored};

const LOOKUPS: usize = 20_000;
const AGENTS: u8 = 4;
const ROUNDS: usize = 2;

pub(crate) async fn run() {
    let remote = RemoteProcess::start();
    println!("\n| {LOOKUPS} whois lookups from {AGENTS} addresses | s | lookups/s | CPU µs each |");
    println!("|---|---|---|---|");
    let (mut bare, mut ours) = (0.0f64, 0.0f64);
    for _ in 0..ROUNDS {
        for concurrency in [64, 128, 256] {
            bare = bare.max(bare_loop(&remote, concurrency).await);
        }
        ours = ours.max(fleet(remote.addr).await);
    }
    println!("\nbest of each: {ours:.0} of {bare:.0} lookups/s, {:.0} %", ours / bare * 100.0);
}

/// The calls alone; returns calls a second.
async fn bare_loop(remote: &RemoteProcess, concurrency: usize) -> f64 {
    let queries = names(LOOKUPS).lines().map(str::to_owned).collect();
    let before = remote.process.cpu_secs();
    let score = Robin { remote: remote.addr, sources: sources(AGENTS), concurrency }.run(queries).await;
    assert_eq!(score.answered, LOOKUPS, "{score:?}");
    let remote_cpu = (remote.process.cpu_secs() - before) * 1e6 / LOOKUPS as f64;
    let secs = score.elapsed.as_secs_f64();
    let rate = LOOKUPS as f64 / secs;
    println!("| bare loop, {concurrency} at a time | {secs:.2} | {rate:.0} | remote {remote_cpu:.0} |");
    rate
}

/// The same through coordinator and agents, from the POST until all is on disk; returns lookups a second.
async fn fleet(remote: SocketAddr) -> f64 {
    let mut rig = Rig::start(&service("w", remote, FREE)).await;
    start_agents(&mut rig, AGENTS);
    let body = names(LOOKUPS);
    let (before, started) = (cpu(&rig), Instant::now());
    let batch = rig.submit("service=w", body).await;
    stored(&rig, &batch.id).await;
    let secs = started.elapsed().as_secs_f64();
    let (coordinator, agents) = cpu_micros(before, cpu(&rig), LOOKUPS);
    let view = rig.client.batch(&batch.id).await.expect("the batch is known");
    assert_eq!(view.done, LOOKUPS as u64, "{view:?}");
    let rate = LOOKUPS as f64 / secs;
    let resident = rig.agents.iter().map(|agent| agent.resident()).max().unwrap_or(0);
    println!(
        "| egret | {secs:.2} | {rate:.0} | coordinator {coordinator:.0}, agents {agents:.0} ({:.0} MB each) |",
        mb(resident)
    );
    rate
}
