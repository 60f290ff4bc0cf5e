//! What agents and their sessions weigh.

use std::time::Duration;

use egret_tests::{Process, Rig, names, service};

use crate::bed::{NULL, RemoteProcess, cpu, cpu_micros, mb, start_agents, stored};

const IDLE_AGENTS: u8 = 30;
/// Lookups a second of the loaded agent.
const PACE: usize = 1_000;
const LOADED_SECS: usize = 8;
const SETTLE: Duration = Duration::from_secs(3);

pub(crate) async fn run() {
    println!("\n| resident memory | MB |");
    println!("|---|---|");
    sessions().await;
    loaded().await;
}

/// Agents with nothing to do.
async fn sessions() {
    let mut rig = Rig::start(NULL).await;
    // The first one pays for what the coordinator needs once.
    start_agents(&mut rig, 1);
    tokio::time::sleep(SETTLE).await;
    let one = rig.coordinator.resident();
    (3..2 + IDLE_AGENTS).for_each(|last| rig.agent(last));
    tokio::time::sleep(SETTLE).await;
    let all = rig.coordinator.resident();
    let weights: Vec<u64> = rig.agents.iter().map(Process::resident).collect();
    let (least, most) = (weights.iter().min().unwrap_or(&0), weights.iter().max().unwrap_or(&0));
    println!("| agent, idle, {IDLE_AGENTS} of them | {:.1} to {:.1} |", mb(*least), mb(*most));
    println!("| coordinator with 1 idle agent | {:.1} |", mb(one));
    println!("| coordinator with {IDLE_AGENTS} idle agents | {:.1} |", mb(all));
    let each = all.saturating_sub(one) as f64 / 1e3 / f64::from(IDLE_AGENTS - 1);
    println!("| that is, for each session, in KB | {each:.0} |");
}

/// One agent at a steady pace.
async fn loaded() {
    let remote = RemoteProcess::start();
    let quota = format!("quotas = [{{ units = {PACE}, per = \"1s\" }}]");
    let mut rig = Rig::start(&service("w", remote.addr, &quota)).await;
    start_agents(&mut rig, 1);
    let lookups = PACE * LOADED_SECS;
    let before = cpu(&rig);
    let batch = rig.submit("service=w", names(lookups)).await;
    let mut peak = 0;
    let end = stored(&rig, &batch.id);
    tokio::pin!(end);
    loop {
        tokio::select! {
            () = &mut end => break,
            () = tokio::time::sleep(Duration::from_millis(20)) => peak = peak.max(rig.agents[0].resident()),
        }
    }
    let (coordinator, agent) = cpu_micros(before, cpu(&rig), lookups);
    println!("| agent, {PACE} lookups a second, at most | {:.1} |", mb(peak));
    println!(
        "\nat that pace a lookup takes {coordinator:.0} µs CPU of the coordinator, {agent:.0} of the agent"
    );
}
