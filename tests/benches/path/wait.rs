//! What a caller who waits for one lookup pays over asking the remote directly.

use std::time::{Duration, Instant};

use egret_testkit::ask;
use egret_tests::{Rig, service};

use crate::bed::{FREE, RemoteProcess, part_ms, request, sources, start_agents};

const LOOKUPS: usize = 2_000;
const WARM_UP: usize = 100;
const WAIT: Duration = Duration::from_secs(30);

pub(crate) async fn run() {
    let remote = RemoteProcess::start();
    let mut rig = Rig::start(&service("w", remote.addr, FREE)).await;
    start_agents(&mut rig, 1);
    let source = sources(1)[0];
    let (mut direct, mut waited) = (Vec::new(), Vec::new());
    // In turns, so that whatever else the machine does meets both.
    for n in 0..WARM_UP + LOOKUPS {
        let target = format!("name{n}.example");
        let asked = Instant::now();
        ask(remote.addr, source, &target).await.expect("the remote answers");
        direct.push(asked.elapsed());
        let asked = Instant::now();
        let job = rig.client.submit(&request(target), Some(WAIT)).await.expect("the coordinator answers");
        waited.push(asked.elapsed());
        assert!(job.state.has_ended(), "{job:?}");
    }
    println!("\n| {LOOKUPS} lookups, one at a time | p50 ms | p90 ms | p99 ms | max ms |");
    println!("|---|---|---|---|---|");
    let direct = row("asked directly", &direct);
    let waited = row("waited for", &waited);
    let over: Vec<String> = direct.iter().zip(waited).map(|(a, b)| format!("{:.2}", b - a)).collect();
    println!("| difference | {} |", over.join(" | "));
}

fn row(what: &str, took: &[Duration]) -> [f64; 4] {
    let mut took = took[WARM_UP..].to_vec();
    took.sort_unstable();
    let parts = [0.5, 0.9, 0.99, 1.0].map(|part| part_ms(&took, part));
    println!("| {what} | {} |", parts.map(|ms| format!("{ms:.2}")).join(" | "));
    parts
}
