//! Coordinator and agent die at once: what the agent has written down is what they go on from.

use std::sync::Arc;
use std::time::Duration;

use egret_core::quota::Counting;
use egret_tests::rule::Rule;
use egret_wire::api::QuotaView;
use hyper::Method;
use tokio::time::sleep;

use crate::caller::{ask, submit};
use crate::faults::Act;
use crate::scene::{Shared, look, now};
use crate::story::Stage;

/// Units of the window, which is long enough for none of them to come back.
const UNITS: u32 = 200;
const WINDOW: u64 = 120;
const JOBS: usize = 120;
/// Within this time jobs come.
const BUSY: Duration = Duration::from_secs(20);
/// By then no call is under way.
const LATER: Duration = Duration::from_secs(45);

/// What counts as spent at [`LATER`] although the remote has not counted it.
pub(crate) fn given_up(seed: u64) -> Result<u32, String> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut stage = Stage::new(seed, vec![Rule::new(Counting::Sliding, &[(UNITS, WINDOW)])], 1);
    let scene = Arc::clone(&stage.scene);
    stage.sim.host("caller", move || call(Arc::clone(&scene)));
    let mut at = Duration::from_secs(2);
    for _ in 0..rng.usize(1..4) {
        at += Duration::from_millis(rng.u64(1_000..6_000));
        stage.run_until(at);
        stage.act(Act::KillCoordinator);
        stage.act(Act::KillAgent(0));
        let mut starts = [Act::StartCoordinator, Act::StartAgent(0)];
        rng.shuffle(&mut starts);
        for act in starts {
            at += Duration::from_millis(rng.u64(10..1_500));
            stage.run_until(at);
            stage.act(act);
        }
    }
    stage.run_until(2 * LATER);
    let (at, used) = look(&stage.scene).used.ok_or("nobody told what is used")?;
    let counted = {
        let address = look(&stage.scene).agents[0];
        stage.referee.held(0, address, at).into_iter().sum::<u32>()
    };
    let wrong = std::mem::take(&mut look(&stage.scene).wrong);
    match used.checked_sub(counted) {
        _ if !wrong.is_empty() => Err(wrong.join("\n")),
        Some(given_up) if counted >= JOBS as u32 => Ok(given_up),
        _ => Err(format!("{used} units count as spent, and the remote has counted {counted} of {JOBS}")),
    }
}

/// Submits jobs, and asks what is used when all of them have long ended.
async fn call(scene: Shared) -> turmoil::Result {
    while look(&scene).token.is_none() {
        sleep(Duration::from_millis(100)).await;
    }
    for n in 0..JOBS {
        tokio::spawn(submit(scene.clone(), n, BUSY.mul_f64(fastrand::f64())));
    }
    sleep(LATER).await;
    let (status, body) = ask(&scene, Method::GET, "/v1/quota/w0", "", String::new()).await.unwrap();
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    let quota: QuotaView = serde_json::from_slice(&body).unwrap();
    let budgets = quota.services.iter().flat_map(|service| &service.budgets);
    let used = budgets.map(|budget| budget.used).sum();
    {
        let mut scene = look(&scene);
        scene.used = Some((now(), used));
        scene.is_done = true;
    }
    std::future::pending().await
}

#[test]
fn both_sides_killed_at_once_give_up_at_most_a_twentieth_of_a_window() {
    for seed in 0..10 {
        let given_up = given_up(seed).unwrap_or_else(|wrong| panic!("seed {seed}: {wrong}"));
        assert!(given_up <= UNITS / 20, "seed {seed}: {given_up} units are given up");
    }
}
