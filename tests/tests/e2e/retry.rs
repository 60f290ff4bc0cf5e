//! What brought no answer is asked again, over any death, and each job ends once more.

use std::collections::BTreeSet;

use egret_client::ClientError;
use egret_testkit::{Rules, WhoisRemote};
use egret_tests::{Rig, egret, http, names, service};
use egret_wire::api::{BatchState, BatchView, JobState};
use egret_wire::problem::Code;

/// More than a flow has in memory, and more than goes in one piece.
const MANY: usize = 6_000;

async fn retry(rig: &Rig, batch: &str, states: &str) -> (u16, String) {
    let url = format!("http://{}/v1/batches/{batch}/retry{states}", rig.address);
    let response = http().post(url).send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_failed_is_asked_again_and_answered_over_a_kill() {
    let remote = WhoisRemote::new(Rules::new()).start().await.unwrap();
    let rest = "quotas = [{ units = 100000, per = \"1s\" }]\ntimeout = \"3s\"\nlinger = \"1s\"";
    let mut rig = Rig::start(&service("w", remote.addr(), rest)).await;
    rig.agent(2);
    rig.client.pause_service("w", None).await.unwrap();
    let batch = rig.submit("service=w&lookup=whois", names(MANY)).await;
    // Without its service nothing of it can go on.
    let config = rig.dir.path().join("egret.toml");
    let whole = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, whole.split_once("[[service]]").unwrap().0).unwrap();
    for text in [None, Some(whole)] {
        rig.coordinator.kill();
        if let Some(text) = text {
            std::fs::write(&config, text).unwrap();
        }
        rig.restart();
    }
    let failed = rig.client.batch(&batch.id).await.unwrap();
    assert_eq!((failed.state, failed.failed as usize), (BatchState::Done, MANY));

    let (status, body) = retry(&rig, &batch.id, "?state=expired").await;
    let untouched: BatchView = serde_json::from_str(&body).unwrap();
    assert_eq!((status, untouched.failed as usize, untouched.ended_at), (200, MANY, failed.ended_at));
    assert_eq!(retry(&rig, &batch.id, "?state=done").await.0, 400);
    assert_eq!(retry(&rig, "bat_1M854PR6S0000", "").await.0, 404);

    let url = format!("http://{}", rig.address);
    let (code, stdout, stderr) = egret(&["retry", &batch.id, "--json"], &[("EGRET_URL", &url)]);
    assert_eq!(code, 0, "{stderr}");
    let again: BatchView = serde_json::from_str(&stdout).unwrap();
    assert_eq!((again.state, again.failed, again.queued as usize), (BatchState::Running, 0, MANY));
    assert_eq!(again.ended_at, None);
    rig.coordinator.kill();
    rig.restart();
    rig.client.resume_service("w").await.unwrap();
    let results = rig.results(&batch.id).await;
    let ids: BTreeSet<_> = results.iter().map(|job| &job.id).collect();
    assert_eq!((results.len(), ids.len()), (MANY, MANY), "each end once");
    assert!(results.iter().all(|job| job.state == JobState::Done));
    let done = rig.await_batch(&batch.id, "done", |batch| batch.state == BatchState::Done).await;
    assert_eq!((done.done as usize, done.jobs_total as usize), (MANY, MANY));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_failed_is_asked_again_while_the_rest_of_its_batch_goes_on() {
    let remote = WhoisRemote::new(Rules::new()).start().await.unwrap();
    let slow = service("w", remote.addr(), "quotas = [{ units = 100000, per = \"1s\" }]\ntimeout = \"3s\"");
    let mut rig = Rig::start(&slow).await;
    rig.client.pause_service("w", None).await.unwrap();
    let line = |n: usize, deadline: &str| {
        format!(
            "{{\"lookup\":\"whois\",\"service\":\"w\",\"target\":\"n{n}.example\",\"deadline\":\"{deadline}\"}}\n"
        )
    };
    let lines: String = (0..20).map(|n| line(n, if n < 8 { "300ms" } else { "1d" })).collect();
    let url = format!("http://{}/v1/jobs", rig.address);
    let request = http().post(url).header("content-type", "application/x-ndjson").body(lines);
    let batch: BatchView = request.send().await.unwrap().json().await.unwrap();
    let mut told = rig.client.results(&batch.id, true, None);
    for _ in 0..8 {
        assert_eq!(told.next().await.unwrap().unwrap().job.state, JobState::Expired);
    }
    rig.await_batch(&batch.id, "expired in part", |batch| batch.expired == 8).await;
    rig.agent(2);
    rig.client.resume_service("w").await.unwrap();
    // Each has 300 ms again: on a busy machine that may take more than one turn.
    loop {
        let again = rig.client.retry_batch(&batch.id, &[JobState::Expired]).await.unwrap();
        assert_eq!(again.jobs_total, 20);
        let over = rig.await_batch(&batch.id, "over", |batch| batch.queued + batch.running == 0).await;
        if over.done == 20 {
            break;
        }
    }
    let results = rig.results(&batch.id).await;
    let ids: BTreeSet<_> = results.iter().map(|job| &job.id).collect();
    assert_eq!((results.len(), ids.len()), (20, 20), "ends that were taken back are told no more");
    let wrong = rig.client.retry_batch(&batch.id, &[JobState::Done]).await.unwrap_err();
    assert!(matches!(wrong, ClientError::Problem(problem) if problem.code == Code::InvalidField));
}
