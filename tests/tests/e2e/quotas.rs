//! Never over: a fleet against remotes that count for themselves.

use std::collections::BTreeSet;
use std::time::Duration;

use egret_testkit::{Ban, Limit, Remote, Rules, Troubles, WhoisRemote, echo_text};
use egret_tests::{Rig, names, service};
use egret_wire::api::{AttemptOutcome, JobState};

const SECOND: Duration = Duration::from_secs(1);

fn sliding(units: u32, per: Duration) -> Limit {
    Limit::Sliding { units, per }
}

async fn remote(rules: Rules) -> Remote {
    WhoisRemote::new(rules.ban(Ban::of(5 * SECOND))).start().await.unwrap()
}

/// 200 lookups over four agents: every one answered with its own record, none refused by the remote's count.
async fn check(remote: Remote, rest: &str) {
    let mut rig = Rig::start(&service("w", remote.addr(), rest)).await;
    (2..6).for_each(|n| rig.agent(n));
    let batch = rig.submit("service=w", names(200)).await;
    assert_eq!((batch.jobs_total, batch.rejected_total), (200, 0));
    let results = rig.results(&batch.id).await;
    assert_eq!(results.len(), 200);
    for job in &results {
        assert_eq!(job.state, JobState::Done, "{job:?}");
        let raw = job.result.answer.as_ref().and_then(|answer| answer.raw.as_deref());
        assert_eq!(raw.map(str::as_bytes), Some(&echo_text(&job.target)[..]));
    }
    let targets: BTreeSet<_> = results.iter().map(|job| &job.target).collect();
    assert_eq!(targets.len(), 200);
    let score = remote.shutdown().await;
    assert_eq!((score.total.tally.refused, score.total.tally.banned), (0, 0), "{score}");
    assert!(score.is_within_limits(), "{score}");
    assert_eq!(score.peers.len(), 4, "every agent called from its own address");
    assert_eq!(score.total.tally.answered, 200, "and nothing was asked twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strict_sliding_limit_is_filled_and_never_exceeded() {
    let remote = remote(Rules::new().limit(sliding(5, SECOND))).await;
    check(remote, "quotas = [{ units = 5, per = \"1s\" }]").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn random_latency_both_ways_changes_nothing_about_that() {
    let jitter = Duration::ZERO..=SECOND / 5;
    let troubles = Troubles { way_in: Duration::ZERO..=SECOND / 10, jitter, ..Troubles::default() };
    let remote = remote(Rules::new().limit(sliding(5, SECOND)).troubles(troubles)).await;
    check(remote, "quotas = [{ units = 5, per = \"1s\" }]").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fixed_windows_are_kept_whatever_their_phase() {
    let phase = Duration::from_millis(370);
    let remote = remote(Rules::new().limit(Limit::Fixed { units: 5, per: SECOND, phase })).await;
    check(remote, "quotas = [{ units = 5, per = \"1s\" }]\ncounting = \"fixed\"").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn token_buckets_are_kept_by_burst_and_rate() {
    let remote = remote(Rules::new().limit(Limit::TokenBucket { burst: 3, units: 5, per: SECOND })).await;
    check(remote, "quotas = [{ units = 5, per = \"1s\", burst = 3 }]\ncounting = \"token-bucket\"").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_bucket_counters_are_kept_by_the_careful_reduction() {
    let remote = remote(Rules::new().limit(Limit::TwoBucket { units: 6, per: SECOND })).await;
    check(remote, "quotas = [{ units = 6, per = \"1s\" }]\ncounting = \"two-bucket\"").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_quotas_hold_together() {
    let remote = remote(Rules::new().limit(sliding(5, SECOND)).limit(sliding(30, 20 * SECOND))).await;
    check(remote, "quotas = [{ units = 5, per = \"1s\" }, { units = 30, per = \"20s\" }]").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_banned_egress_rests_while_the_others_keep_their_own_pace() {
    let remote = WhoisRemote::new(Rules::new().limit(sliding(5, SECOND))).start().await.unwrap();
    let rest = "quotas = [{ units = 5, per = \"1s\" }]\ncool_down = \"4s\"";
    let mut rig = Rig::start(&service("w", remote.addr(), rest)).await;
    (2..6).for_each(|n| rig.agent(n));
    let banned = "127.0.0.3".parse().unwrap();
    remote.ban(banned, 3 * SECOND);
    let batch = rig.submit("service=w", names(200)).await;
    let results = rig.results(&batch.id).await;
    assert!(results.iter().all(|job| job.state == JobState::Done), "a refusal never fails a job");
    let refused = |job: &&egret_wire::api::JobView| {
        job.result.attempts.iter().any(|attempt| attempt.outcome == AttemptOutcome::Refused)
    };
    assert!((1..=5).contains(&results.iter().filter(refused).count()), "those in flight, and no more");
    let score = remote.shutdown().await;
    assert_eq!(score.total.tally.refused, 0, "{score}");
    assert!(score.is_within_limits(), "the others did not make up for it: {score}");
    assert!((1..=5).contains(&score.peer(banned).tally.banned), "{score}");
    assert!(score.peer(banned).tally.answered > 0, "it came back: {score}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_spent_is_not_spent_again_even_after_a_crash_and_a_rest_that_is_asked_for_holds() {
    let remote = remote(Rules::new().limit(sliding(20, 600 * SECOND))).await;
    let rest = "quotas = [{ units = 20, per = \"10m\" }]\ncost = 2";
    let mut rig = Rig::start(&service("w", remote.addr(), rest)).await;
    (2..4).for_each(|n| rig.agent(n));
    let post = async |rig: &Rig, path: &str, body: &str| {
        let url = format!("http://{}/v1{path}", rig.address);
        let response = egret_tests::http().post(url).body(body.to_owned()).send().await.unwrap();
        (response.status().as_u16(), response.json::<serde_json::Value>().await.unwrap())
    };
    let (status, view) = post(&rig, "/quota/w/spend", r#"{"egress":"127.0.0.2","units":13}"#).await;
    let budget = &view["services"][0]["budgets"][0];
    assert_eq!(
        (status, budget["used"].as_u64(), budget["remaining"].as_u64()),
        (200, Some(14), Some(6)),
        "{view}"
    );
    for (path, body, expected) in [
        ("/quota/w/spend", r#"{"egress":"127.0.0.9","units":1}"#, (404, "not_found")),
        ("/quota/x/spend", r#"{"egress":"127.0.0.2","units":1}"#, (404, "not_found")),
        ("/quota/w/spend", r#"{"egress":"127.0.0.2","units":0}"#, (400, "invalid_field")),
        ("/quota/w/spend", r#"{"egress":"127.0.0.2","unit":1}"#, (400, "unknown_field")),
        ("/services/w/cool-down", r#"{"egress":"127.0.0.2","for":"9d"}"#, (400, "invalid_field")),
    ] {
        let (status, problem) = post(&rig, path, body).await;
        assert_eq!((status, problem["code"].as_str().unwrap()), expected, "{path} {body}: {problem}");
    }
    let (status, view) = post(&rig, "/services/w/cool-down", r#"{"egress":"127.0.0.3","for":"1h"}"#).await;
    assert_eq!(status, 200);
    assert_eq!(view["services"][0]["budgets"][0]["cooling_why"], "somebody asked for it", "{view}");
    rig.coordinator.kill();
    rig.restart();
    let batch = rig.submit("service=w", names(9)).await;
    rig.await_batch(&batch.id, "where the quota ends", |batch| batch.done == 3).await;
    let view = rig.client.quota_of("w", false).await.unwrap();
    assert_eq!((view.services[0].queued, view.services[0].running), (6, 0), "{view:?}");
    let score = remote.shutdown().await;
    assert_eq!((score.total.tally.calls, score.peers.len()), (3, 1), "{score}");
}
