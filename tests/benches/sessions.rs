//! How many agents one coordinator holds over TLS, how soon all are back after it was killed, and how soon a new one works.
//!
//! `cargo bench -p egret-tests --bench sessions [AGENTS]`: as many real agents as told, 2,000 unless told, in this process,
//! each with an address and a state dir of its own; the coordinator is a process. About four minutes.

#![allow(clippy::print_stdout, reason = "a bench prints its table")]

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use egret_agent::Options;
use egret_testkit::{Rules, WhoisRemote};
use egret_tests::{PATIENCE, Rig, service};
use egret_wire::api::{JobRequest, Liveness, TokenRequest};
use ipnet::IpNet;

/// Agents that join together: a fleet is not set up in one instant.
const TOGETHER: usize = 64;
const QUOTA: &str = "quotas = [{ units = 100, per = \"1s\" }]";

#[tokio::main]
async fn main() {
    let count = std::env::args().find_map(|arg| arg.parse().ok()).unwrap_or(2_000);
    let remote = WhoisRemote::new(Rules::new()).start().await.expect("loopback has a free port");
    let rig = Rig::start(&format!("tls = {{}}\n{}", service("w", remote.addr(), QUOTA))).await;
    let alone = rig.coordinator.resident();
    let uses = u32::try_from(count).expect("a number of agents");
    let request = TokenRequest { uses, ..TokenRequest::default() };
    let token = rig.client.create_token(&request).await.expect("a token can be made").token;
    let began = Instant::now();
    let mut agents = Vec::with_capacity(count);
    for first in (0..count).step_by(TOGETHER) {
        for n in first..count.min(first + TOGETHER) {
            let state_dir = rig.dir.path().join(format!("agents/{n}"));
            agents.push(tokio::spawn(egret_agent::run(
                options(&rig, n, state_dir, &token),
                std::future::pending(),
            )));
        }
        await_up(&rig, count.min(first + TOGETHER)).await;
    }
    let joined = began.elapsed();
    // What is sent once at the beginning is not what a session costs.
    tokio::time::sleep(Duration::from_secs(30)).await;
    let held = rig.coordinator.resident();
    let idle = rig.coordinator.cpu_secs();
    tokio::time::sleep(Duration::from_secs(30)).await;
    let idle = (rig.coordinator.cpu_secs() - idle) / 30.0;

    let mut rig = rig;
    rig.coordinator.kill();
    // For as long as a new process takes to be started by whoever supervises it.
    tokio::time::sleep(Duration::from_secs(2)).await;
    rig.restart();
    let began = Instant::now();
    await_up(&rig, count / 2).await;
    let half = began.elapsed();
    await_up(&rig, count).await;
    let all = began.elapsed();
    let after = rig.coordinator.resident();
    agents.iter().for_each(tokio::task::JoinHandle::abort);

    let mb = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    println!(
        "| agents | s to join | coordinator MB: none | all | KB a session | CPU while idle | s until half, all are back | MB then |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    println!(
        "| {count} | {:.1} | {:.1} | {:.1} | {:.1} | {:.1} % | {:.1}, {:.1} | {:.1} |",
        joined.as_secs_f64(),
        mb(alone),
        mb(held),
        (held.saturating_sub(alone)) as f64 / 1024.0 / count as f64,
        idle * 100.0,
        half.as_secs_f64(),
        all.as_secs_f64(),
        mb(after),
    );
    let mut first: Vec<f64> = Vec::new();
    for _ in 0..5 {
        first.push(first_call().await);
    }
    first.sort_by(f64::total_cmp);
    println!(
        "\nA new agent's first call left {:.0} ms after its process was started (of five: {first:.0?}).",
        first[2]
    );
}

/// Milliseconds from the start of an agent's process to its first call, for a job that waits: joining included.
async fn first_call() -> f64 {
    let remote = WhoisRemote::new(Rules::new()).start().await.expect("loopback has a free port");
    let mut rig = Rig::start(&format!("tls = {{}}\n{}", service("w", remote.addr(), QUOTA))).await;
    let request: JobRequest =
        serde_json::from_str(r#"{"lookup":"domain","target":"a.example","service":"w"}"#).expect("a job");
    let job = rig.client.submit(&request, None).await.expect("it is taken");
    let began = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    rig.agent(2);
    let patience = Instant::now() + PATIENCE;
    loop {
        let job = rig.client.job(&job.id).await.expect("it is there");
        if let Some(attempt) = job.result.attempts.first() {
            return attempt.sent_at.0 as f64 - began.as_secs_f64() * 1_000.0;
        }
        assert!(Instant::now() < patience, "{job:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn options(rig: &Rig, n: usize, state_dir: PathBuf, token: &str) -> Options {
    let address = Ipv4Addr::from(0x7f01_0001 + u32::try_from(n).expect("few agents"));
    Options {
        coordinator: rig.url.clone(),
        egresses: vec![IpNet::from(std::net::IpAddr::V4(address))],
        excluded: Vec::new(),
        name: format!("agent-{n}"),
        state_dir,
        token: Some(token.to_owned()),
        allow_private: Vec::new(),
        allow_service: Vec::new(),
        insecure: false,
        channel_binding: true,
        drain_timeout: Duration::ZERO,
        is_supervised: false,
    }
}

async fn await_up(rig: &Rig, count: usize) {
    let until = Instant::now() + PATIENCE;
    loop {
        // The coordinator may be on its way up.
        let agents = rig.client.agents().await.map(|page| page.items).unwrap_or_default();
        if agents.iter().filter(|agent| agent.state == Liveness::Up).count() >= count {
            return;
        }
        assert!(Instant::now() < until, "not {count} agents are up");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
