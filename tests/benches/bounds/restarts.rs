//! What a restart in the middle of a long window costs.

use std::time::Duration;

use egret_testkit::{Limit, Remote, Rules, WhoisRemote};
use egret_tests::rule::SECOND;
use egret_tests::{Rig, names, service};

const UNITS: u32 = 60;
const PER: Duration = Duration::from_secs(60);
/// Two windows and what they are inflated by; the third one has not begun.
const LASTS: Duration = Duration::from_secs(100);

/// Who is killed.
#[derive(Clone, Copy, Debug)]
enum Victim {
    Nobody,
    Coordinator,
    Agent,
    Both,
}

pub(crate) async fn table() {
    println!(
        "\n| {UNITS} per 60 s, one egress, killed in the middle of a window | sent in 100 s | given up | refused |"
    );
    println!("|---|---|---|---|");
    let runs = [Victim::Nobody, Victim::Coordinator, Victim::Agent, Victim::Both].map(|victim| async move {
        let (sent, refused) = run(victim).await;
        let given_up = u64::from(2 * UNITS).saturating_sub(sent);
        format!("| {victim:?} | {sent} | {given_up} | {refused} |")
    });
    for row in futures_util::future::join_all(runs).await {
        println!("{row}");
    }
}

/// Calls let in and refused; 30 units leave at once, the kill falls between them and the rest.
async fn run(victim: Victim) -> (u64, u64) {
    let rules = Rules::new().limit(Limit::Sliding { units: UNITS, per: PER });
    let remote = WhoisRemote::new(rules).start().await.expect("loopback has a free port");
    let mut rig = Rig::start(&service(
        "w",
        remote.addr(),
        "quotas = [{ units = 60, per = \"60s\" }]\ncache_for = \"0s\"",
    ))
    .await;
    rig.agent(2);
    let first = rig.submit("service=w", names(30)).await;
    rig.await_batch(&first.id, "done", |batch| batch.done == 30).await;
    tokio::time::sleep(10 * SECOND).await;
    match victim {
        Victim::Nobody => {}
        Victim::Coordinator => {
            rig.coordinator.kill();
            rig.restart();
        }
        Victim::Agent => {
            rig.agents[0].kill();
            rig.agents.clear();
            rig.agent(2);
        }
        Victim::Both => {
            rig.coordinator.kill();
            rig.agents[0].kill();
            rig.agents.clear();
            rig.restart();
            rig.agent(2);
        }
    }
    rig.submit("service=w", names(400)).await;
    sleep_until(&remote, LASTS).await;
    let tally = remote.score().total.tally;
    (tally.answered, tally.refused)
}

async fn sleep_until(remote: &Remote, after_first: Duration) {
    loop {
        let score = remote.score();
        let passed = score.elapsed - score.total.first_arrival.unwrap_or(score.elapsed);
        if passed >= after_first {
            return;
        }
        tokio::time::sleep((after_first - passed).min(SECOND)).await;
    }
}
