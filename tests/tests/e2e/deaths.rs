//! Nothing lost, never over: whatever is killed on the way.

use std::collections::BTreeSet;
use std::time::Duration;

use egret_testkit::{Ban, Limit, Remote, Rules, Troubles, WhoisRemote};
use egret_tests::{Rig, names, service};
use egret_wire::api::{JobState, Liveness};

const SECOND: Duration = Duration::from_secs(1);

async fn rig() -> (Remote, Rig) {
    let rules = Rules::new().limit(Limit::Sliding { units: 5, per: SECOND }).ban(Ban::of(5 * SECOND));
    let troubles = Troubles { jitter: Duration::ZERO..=SECOND / 20, ..Troubles::default() };
    let remote = WhoisRemote::new(rules.troubles(troubles)).start().await.unwrap();
    let rest = "quotas = [{ units = 5, per = \"1s\" }]\ntimeout = \"3s\"\nlinger = \"1s\"";
    let mut rig = Rig::start(&service("w", remote.addr(), rest)).await;
    (2..6).for_each(|n| rig.agent(n));
    (remote, rig)
}

/// All 200 ended, once each, with an answer; the remote never saw one call too many.
async fn check(rig: &Rig, remote: Remote, batch: &str) {
    let results = rig.results(batch).await;
    let ids: BTreeSet<_> = results.iter().map(|job| &job.id).collect();
    assert_eq!((results.len(), ids.len()), (200, 200), "every job ended, and no job twice");
    assert!(results.iter().all(|job| job.state == JobState::Done));
    let score = remote.shutdown().await;
    assert_eq!((score.total.tally.refused, score.total.tally.banned), (0, 0), "{score}");
    assert!(score.is_within_limits(), "{score}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coordinator_killed_in_the_middle_loses_and_doubles_nothing() {
    let (remote, mut rig) = rig().await;
    let batch = rig.submit("service=w", names(200)).await;
    for done in [40, 100] {
        rig.await_batch(&batch.id, "under way", |batch| batch.done >= done).await;
        rig.coordinator.kill();
        rig.restart();
    }
    check(&rig, remote, &batch.id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coordinator_that_is_told_to_stop_comes_back_where_it_was() {
    let (remote, mut rig) = rig().await;
    let batch = rig.submit("service=w", names(200)).await;
    rig.await_batch(&batch.id, "under way", |batch| batch.done >= 60).await;
    rig.coordinator.terminate();
    assert_eq!(rig.coordinator.wait().code(), Some(0), "{}", rig.coordinator.said());
    rig.restart();
    check(&rig, remote, &batch.id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_killed_in_the_middle_is_replaced_by_the_others_at_their_own_pace() {
    let (remote, mut rig) = rig().await;
    let batch = rig.submit("service=w", names(200)).await;
    rig.await_batch(&batch.id, "under way", |batch| batch.done >= 60).await;
    rig.agents[1].kill();
    check(&rig, remote, &batch.id).await;
    let agents = rig.client.agents().await.unwrap().items;
    let down: Vec<_> =
        agents.iter().filter(|agent| agent.state == Liveness::Down).map(|agent| &agent.name).collect();
    assert_eq!(down, ["127.0.0.3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_comes_back_without_memory_does_not_overspend() {
    let (remote, mut rig) = rig().await;
    let batch = rig.submit("service=w", names(200)).await;
    for done in [30, 80, 130] {
        rig.await_batch(&batch.id, "under way", |batch| batch.done >= done).await;
        rig.agents.remove(0).kill();
        rig.agent(if done == 80 { 3 } else { 2 });
        // The one that was killed is last now; keep the other in front.
        rig.agents.rotate_right(usize::from(done == 80));
    }
    check(&rig, remote, &batch.id).await;
}

/// 30 of 60 units a minute are spent, then `kill` happens: what the quota view says is used afterwards.
async fn used_after(kill: impl FnOnce(&mut Rig)) -> u32 {
    let rules = Rules::new().limit(Limit::Sliding { units: 60, per: 60 * SECOND });
    let remote = WhoisRemote::new(rules).start().await.unwrap();
    let mut rig = Rig::start(&service(
        "w",
        remote.addr(),
        "quotas = [{ units = 60, per = \"60s\" }]\ncache_for = \"0s\"",
    ))
    .await;
    rig.agent(2);
    let batch = rig.submit("service=w", names(30)).await;
    rig.await_batch(&batch.id, "done", |batch| batch.done == 30).await;
    kill(&mut rig);
    // Whatever is left is spent, so the session is there and all is counted.
    let batch = rig.submit("service=w", names(1)).await;
    rig.await_batch(&batch.id, "done", |batch| batch.done == 1).await;
    let view = rig.client.quota_of("w", false).await.unwrap();
    assert_eq!(remote.shutdown().await.total.tally.refused, 0);
    view.services[0].budgets[0].used
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_in_the_middle_of_a_long_window_gives_up_at_most_three_of_sixty_units() {
    let coordinator = used_after(|rig| {
        rig.coordinator.kill();
        rig.restart();
    });
    let agent = used_after(|rig| {
        rig.agents[0].kill();
        rig.agents.clear();
        rig.agent(2);
    });
    let (coordinator, agent) = tokio::join!(coordinator, agent);
    for used in [coordinator, agent] {
        assert!((31..=34).contains(&used), "31 were spent, {used} count as spent");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_killed_at_once_count_what_nobody_remembers_as_spent() {
    let (remote, mut rig) = rig().await;
    let batch = rig.submit("service=w", names(200)).await;
    rig.await_batch(&batch.id, "under way", |batch| batch.done >= 60).await;
    rig.coordinator.kill();
    rig.agents.iter_mut().for_each(egret_tests::Process::kill);
    rig.agents.clear();
    rig.restart();
    (2..6).for_each(|n| rig.agent(n));
    check(&rig, remote, &batch.id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_breaks_off_leaves_nothing_to_run() {
    use tokio::io::AsyncWriteExt;
    let (remote, mut rig) = rig().await;
    let mut stream = tokio::net::TcpStream::connect(rig.address).await.unwrap();
    let head = format!(
        "POST /v1/jobs?service=w HTTP/1.1\r\nhost: {}\r\ncontent-type: text/plain\r\ncontent-length: 1000000\r\n\r\n",
        rig.address
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(names(3_000).as_bytes()).await.unwrap();
    let client = rig.client.clone();
    let newest = || async { client.batches(None).await.unwrap().items.into_iter().next() };
    let receiving = loop {
        if let Some(batch) = newest().await {
            break batch;
        }
    };
    drop(stream);
    rig.await_batch(&receiving.id, "cancelled", |batch| {
        batch.state == egret_wire::api::BatchState::Cancelled
    })
    .await;
    rig.coordinator.kill();
    rig.restart();
    let after = rig.client.batch(&receiving.id).await.unwrap();
    assert_eq!(after.state, egret_wire::api::BatchState::Cancelled);
    assert_eq!(remote.shutdown().await.total.tally.calls, 0);
}
