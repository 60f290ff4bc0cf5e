//! Nothing lost, never over: whatever is killed on the way.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use egret_client::JobFilter;
use egret_core::id::BatchId;
use egret_store::{KeyClaim, SqliteStore, Store};
use egret_testkit::{Ban, Limit, Remote, Rules, Troubles, WhoisRemote};
use egret_tests::{PATIENCE, Rig, http, names, service};
use egret_wire::api::{BatchView, JobState, Liveness};

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
    // A new process comes last.
    for (done, index, last) in [(30, 0, 2), (80, 0, 3), (130, 2, 2)] {
        rig.await_batch(&batch.id, "under way", |batch| batch.done >= done).await;
        rig.agents.remove(index).kill();
        std::fs::remove_file(rig.dir.path().join(format!("127.0.0.{last}/journal"))).unwrap();
        rig.agent(last);
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
    let both = used_after(|rig| {
        rig.coordinator.kill();
        rig.agents[0].kill();
        rig.agents.clear();
        rig.restart();
        rig.agent(2);
    });
    let (coordinator, agent, both) = tokio::join!(coordinator, agent, both);
    for used in [coordinator, agent, both] {
        assert!((31..=34).contains(&used), "31 were spent, {used} count as spent");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_killed_at_once_go_on_from_what_the_agents_have_written_down() {
    let (remote, mut rig) = rig().await;
    let batch = rig.submit("service=w", names(200)).await;
    for done in [60, 120] {
        rig.await_batch(&batch.id, "under way", |batch| batch.done >= done).await;
        kill_all(&mut rig);
        rig.restart();
        (2..6).for_each(|n| rig.agent(n));
    }
    check(&rig, remote, &batch.id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_killed_at_once_count_what_nobody_remembers_as_spent() {
    let (remote, mut rig) = rig().await;
    let batch = rig.submit("service=w", names(200)).await;
    rig.await_batch(&batch.id, "under way", |batch| batch.done >= 60).await;
    kill_all(&mut rig);
    for n in 2..6 {
        std::fs::remove_file(rig.dir.path().join(format!("127.0.0.{n}/journal"))).unwrap();
    }
    rig.restart();
    (2..6).for_each(|n| rig.agent(n));
    check(&rig, remote, &batch.id).await;
}

fn kill_all(rig: &mut Rig) {
    rig.coordinator.kill();
    rig.agents.iter_mut().for_each(egret_tests::Process::kill);
    rig.agents.clear();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_agent_in_a_state_dir_that_is_in_use_does_not_start() {
    let (_remote, rig) = rig().await;
    let (url, state) = (format!("http://{}", rig.address), rig.dir.path().join("127.0.0.2"));
    let args = ["--coordinator", &url, "--state-dir", state.to_str().unwrap(), "--egress", "127.0.0.2"];
    let log = rig.dir.path().join("second.log");
    let mut second = egret_tests::Process::start(&egret_tests::program("egret-agent"), &args, &[], &log);
    assert_eq!(second.wait().code(), Some(2));
    assert!(second.said().contains("another agent uses the state dir"), "{}", second.said());
    assert!(rig.agents.iter().all(|agent| !agent.said().contains("taken over")));
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

/// A JSON `POST /v1/jobs` with a key, and its answer: status, whether it is a repetition, id.
async fn keyed(rig: &Rig, query: &str, body: &'static str) -> (u16, bool, String) {
    let url = format!("http://{}/v1/jobs{query}", rig.address);
    let request = http().post(url).header("idempotency-key", "k").header("content-type", "application/json");
    let response = request.body(body).send().await.unwrap();
    let is_repeated = response.headers().contains_key("idempotent-replayed");
    let status = response.status().as_u16();
    let object: serde_json::Value = response.json().await.unwrap();
    (status, is_repeated, object["id"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_with_a_key_that_a_kill_cut_off_is_not_carried_out_twice() {
    const BODY: &str = r#"{"lookup":"whois","service":"w","target":"a.example"}"#;
    let (_remote, mut rig) = rig().await;
    rig.client.pause_service("w", None).await.unwrap();
    // It waits for an answer, so it is under way for as long as nothing is asked.
    let waited = async {
        let cut = http().post(format!("http://{}/v1/jobs?wait=10m", rig.address)).body(BODY);
        cut.header("idempotency-key", "k").header("content-type", "application/json").send().await
    };
    let listed = async {
        loop {
            let jobs = rig.client.jobs(&JobFilter::default()).await.unwrap().items;
            if let [job] = &jobs[..] {
                return job.id.clone();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let id = tokio::select! {
        answer = waited => panic!("{answer:?}"),
        id = listed => id,
    };
    rig.coordinator.kill();
    rig.restart();
    for _ in 0..2 {
        assert_eq!(keyed(&rig, "", BODY).await, (202, true, id.clone()));
    }
    assert_eq!(keyed(&rig, "", r#"{"target":"b.example"}"#).await.0, 422, "the key is taken");
    assert_eq!(rig.client.jobs(&JobFilter::default()).await.unwrap().items.len(), 1);
    rig.client.resume_service("w").await.unwrap();
    rig.await_agents(4).await;
    let done = async {
        while rig.client.job(&id).await.unwrap().state != JobState::Done {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, done).await.unwrap();
    assert_eq!(keyed(&rig, "?wait=10s", BODY).await, (200, true, id));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_whose_answer_a_kill_cut_off_is_not_taken_twice() {
    const BODY: &str = r#"[{"lookup":"whois","service":"w","target":"a.example"}]"#;
    let (_remote, mut rig) = rig().await;
    let request = http().post(format!("http://{}/v1/jobs", rig.address)).body(BODY);
    let request = request.header("content-type", "application/json");
    let batch: BatchView = request.send().await.unwrap().json().await.unwrap();
    rig.coordinator.kill();
    // As a death between the batch and its answer would have left the key.
    let store = SqliteStore::open(&rig.dir.path().join("data")).unwrap();
    let id: BatchId = batch.id.parse().unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
    let claim = store.claim_key("k".to_owned(), FINGERPRINT, id.0, now).await.unwrap().await.unwrap();
    assert_eq!(claim, KeyClaim::Fresh);
    drop(store);
    rig.restart();
    assert_eq!(keyed(&rig, "", BODY).await, (202, true, batch.id));
    assert_eq!(rig.client.batches(None).await.unwrap().items.len(), 1);
}

/// SHA-256 of the body above.
const FINGERPRINT: [u8; 32] = [
    0x9e, 0x31, 0x52, 0x4e, 0x45, 0xae, 0xf5, 0x45, 0x7c, 0xc6, 0x24, 0xcb, 0x79, 0xbc, 0x4b, 0xb4, 0x98,
    0x6a, 0xaa, 0xc0, 0x88, 0xbe, 0x1f, 0x3d, 0xb1, 0x42, 0x7f, 0x25, 0xa7, 0xad, 0x98, 0x93,
];
