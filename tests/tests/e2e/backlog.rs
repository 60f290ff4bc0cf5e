//! More work than memory holds: read from the store in its turn, paused, given up, over any death.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use egret_client::JobFilter;
use egret_testkit::{Remote, Rules, WhoisRemote};
use egret_tests::{PATIENCE, Rig, egret, http, names, service};
use egret_wire::api::{BatchState, BatchView, JobState, JobView, ServiceView};
use tokio::net::{TcpListener, TcpStream};

/// More than a flow has in memory, and more than is handed over with a batch.
const MANY: usize = 12_000;

async fn rig(quotas: &str) -> (Remote, Rig) {
    let remote = WhoisRemote::new(Rules::new()).start().await.unwrap();
    let rest = format!("quotas = [{quotas}]\ntimeout = \"3s\"\nlinger = \"1s\"");
    let mut rig = Rig::start(&service("w", remote.addr(), &rest)).await;
    rig.agent(2);
    rig.agent(3);
    (remote, rig)
}

async fn post(rig: &Rig, path: &str, body: &'static str) -> (u16, String) {
    let response = http().post(format!("http://{}/v1/{path}", rig.address)).body(body).send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

async fn order(rig: &Rig, batch: &str, order: &str) -> BatchView {
    let (status, body) = post(rig, &format!("batches/{batch}/{order}"), "").await;
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn more_jobs_than_memory_holds_are_each_answered_once_over_two_kills() {
    let (remote, mut rig) = rig("{ units = 100000, per = \"1s\" }").await;
    let batch = rig.submit("service=w&lookup=whois", names(MANY)).await;
    for done in [1_500, 6_000] {
        rig.await_batch(&batch.id, "under way", |batch| batch.done >= done).await;
        rig.coordinator.kill();
        rig.restart();
    }
    let results = rig.results(&batch.id).await;
    let targets: BTreeSet<_> = results.iter().map(|job| &job.target).collect();
    assert_eq!((results.len(), targets.len()), (MANY, MANY));
    assert!(results.iter().all(|job| job.state == JobState::Done));
    let ended = rig.client.batch(&batch.id).await.unwrap();
    assert_eq!((ended.state, ended.done as usize, ended.queued), (BatchState::Done, MANY, 0));
    drop(remote);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_batch_rests_over_a_restart_and_one_that_is_given_up_ends_wherever_its_jobs_wait() {
    let (remote, mut rig) = rig("{ units = 20, per = \"1s\" }").await;
    let batch = rig.submit("service=w&lookup=whois", names(MANY)).await;
    rig.await_batch(&batch.id, "under way", |batch| batch.done >= 30).await;
    assert_eq!(order(&rig, &batch.id, "pause").await.state, BatchState::Paused);
    let still = rig.await_batch(&batch.id, "at rest", |batch| batch.running == 0).await;
    // Somebody else's work goes on meanwhile.
    let other = rig.submit("service=w&lookup=whois", names(40)).await;
    rig.results(&other.id).await;
    rig.coordinator.kill();
    rig.restart();
    rig.await_agents(2).await;
    let after = rig.client.batch(&batch.id).await.unwrap();
    assert_eq!((after.state, after.done), (BatchState::Paused, still.done));
    order(&rig, &batch.id, "resume").await;
    rig.await_batch(&batch.id, "on its way again", |batch| batch.done > still.done + 20).await;
    rig.client.cancel_batch(&batch.id).await.unwrap();
    rig.coordinator.kill();
    rig.restart();
    let ended = rig.await_batch(&batch.id, "over", |batch| batch.queued + batch.running == 0).await;
    assert_eq!((ended.done + ended.cancelled) as usize, MANY, "{ended:?}");
    let results = rig.results(&batch.id).await;
    let ids: BTreeSet<_> = results.iter().map(|job| &job.id).collect();
    assert_eq!((results.len(), ids.len()), (MANY, MANY), "every job ended, and no job twice");
    let calls = remote.shutdown().await.total.tally;
    assert_eq!(calls.refused, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_waits_in_the_store_alone_can_be_given_up_and_expires_in_its_time() {
    let (_remote, rig) = rig("{ units = 1, per = \"1d\" }").await;
    let batch = rig.submit("service=w&lookup=whois&deadline=1h", names(MANY)).await;
    let filter = JobFilter { batch: Some(batch.id.clone()), ..JobFilter::default() };
    let last = rig.client.jobs(&filter).await.unwrap().items.remove(0);
    assert_eq!((last.state, &*last.target), (JobState::Queued, "name11999.example"));
    assert_eq!(rig.client.cancel_job(&last.id).await.unwrap().state, JobState::Cancelled);
    assert_eq!(rig.client.cancel_job(&last.id).await.unwrap().state, JobState::Cancelled);
    assert_eq!(rig.client.batch(&batch.id).await.unwrap().cancelled, 1);
    let short = rig.submit("service=w&lookup=whois&deadline=2s", names(MANY)).await;
    let ended = rig.await_batch(&short.id, "over", |batch| batch.queued + batch.running == 0).await;
    assert!(ended.expired as usize >= MANY - 2, "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wish_for_an_egress_is_kept_and_one_that_makes_no_sense_is_refused() {
    let (_remote, rig) = rig("{ units = 100, per = \"1s\" }").await;
    let job = |n: usize, egress: &str| {
        format!("{{\"lookup\":\"whois\",\"target\":\"n{n}.example\",\"service\":\"w\",\"egress\":{egress}}}")
    };
    let jobs: Vec<String> = (0..20).map(|n| job(n, "{\"id\":\"127.0.0.3\"}")).collect();
    let url = format!("http://{}/v1/jobs", rig.address);
    let send = |body: String| http().post(&url).header("content-type", "application/json").body(body).send();
    let batch: BatchView = send(format!("[{}]", jobs.join(","))).await.unwrap().json().await.unwrap();
    for job in rig.results(&batch.id).await {
        assert!(job.result.attempts.iter().all(|attempt| attempt.egress == "127.0.0.3"), "{job:?}");
        assert_eq!(job.egress.unwrap().id.as_deref(), Some("127.0.0.3"));
    }
    let given = "{\"tags\":[\"eu\",\"a\",\"eu\"],\"ip_version\":6,\"id\":\"2001:db8::1\"}";
    let shown: JobView = send(job(99, given)).await.unwrap().json().await.unwrap();
    assert_eq!(serde_json::to_string(&shown.egress).unwrap(), given, "as it was given");
    assert_eq!(rig.client.job(&shown.id).await.unwrap().egress, shown.egress);
    for (egress, pointer) in [
        ("{\"ip_version\":5}", "/egress/ip_version"),
        ("{\"id\":\"nowhere\"}", "/egress/id"),
        ("{\"tags\":[\"\"]}", "/egress/tags"),
        ("{\"colour\":1}", "/egress"),
    ] {
        let answer = send(job(0, egress)).await.unwrap();
        assert!(answer.status().is_client_error());
        let text = answer.text().await.unwrap();
        assert!(text.contains(pointer), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn people_bring_things_to_a_halt_and_see_why_they_stand_still() {
    // Few enough for a batch to go on for a while once it may.
    let (remote, rig) = rig("{ units = 2, per = \"1s\" }").await;
    let say = |args: &[&str]| {
        let (code, stdout, stderr) = egret(&[args, &["--url", rig.client.url()]].concat(), &[]);
        assert_eq!(code, 0, "{args:?}: {stderr}");
        format!("{stdout}{stderr}")
    };
    assert!(say(&["pause", "w", "--why", "they are moving"]).contains("w is paused, they are moving"));
    assert!(say(&["services"]).contains("paused, they are moving"));
    let batch = rig.submit("service=w&lookup=whois", names(10)).await;
    assert!(say(&["pause", &batch.id]).contains("is paused: 10 jobs of 10 open"));
    say(&["stop", "--why", "night"]);
    assert!(say(&["resume", "w"]).contains("w is paused, night"));
    say(&["start"]);
    assert!(say(&["services"]).contains(" up "));
    let paused: BatchView = serde_json::from_str(&say(&["pause", &batch.id, "--json"])).unwrap();
    assert_eq!((paused.state, paused.done), (BatchState::Paused, 0));
    assert!(say(&["resume", &batch.id]).contains("goes on"));
    assert_eq!(rig.results(&batch.id).await.len(), 10);
    assert!(say(&["resume", &batch.id]).contains("has ended: 0 jobs of 10 open"));
    let (code, _, stderr) = egret(&["pause", "nowhere", "--url", rig.client.url()], &[]);
    assert_eq!(code, 1, "{stderr}");
    drop(remote);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_brought_to_a_halt_stays_so_over_a_restart_and_says_why() {
    let (remote, mut rig) = rig("{ units = 100, per = \"1s\" }").await;
    assert_eq!(post(&rig, "services/w/pause", "{\"why\":\"they are moving\"}").await.0, 200);
    assert_eq!(post(&rig, "services/w/pause", "{\"because\":1}").await.0, 400);
    let batch = rig.submit("service=w&lookup=whois", names(10)).await;
    rig.coordinator.kill();
    rig.restart();
    rig.await_agents(2).await;
    let service = rig.client.services().await.unwrap().items.remove(0);
    assert_eq!((service.paused, service.paused_why.as_deref()), (true, Some("they are moving")));
    assert_eq!(post(&rig, "stop", "{\"why\":\"night\"}").await.0, 204);
    let resumed: ServiceView = serde_json::from_str(&post(&rig, "services/w/resume", "").await.1).unwrap();
    assert_eq!(resumed.paused_why.as_deref(), Some("night"));
    let waiting = rig.client.batch(&batch.id).await.unwrap();
    assert_eq!((waiting.done, waiting.running), (0, 0));
    assert_eq!(post(&rig, "start", "").await.0, 204);
    assert_eq!(rig.results(&batch.id).await.len(), 10);
    assert_eq!(remote.shutdown().await.total.tally.answered, 10);
}

/// A way to a service that leads nowhere until it is opened: calls are taken and never answered.
async fn gate(to: SocketAddr) -> (SocketAddr, Arc<AtomicBool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, is_open) = (listener.local_addr().unwrap(), Arc::new(AtomicBool::new(false)));
    let open = Arc::clone(&is_open);
    tokio::spawn(async move {
        while let Ok((mut caller, _)) = listener.accept().await {
            let open = Arc::clone(&open);
            tokio::spawn(async move {
                if open.load(Ordering::SeqCst) {
                    let mut service = TcpStream::connect(to).await?;
                    tokio::io::copy_bidirectional(&mut caller, &mut service).await
                } else {
                    tokio::io::copy(&mut caller, &mut tokio::io::sink()).await.map(|bytes| (bytes, 0))
                }
            });
        }
    });
    (address, is_open)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_answers_nobody_is_down_and_its_work_waits_for_it() {
    let remote = WhoisRemote::new(Rules::new()).start().await.unwrap();
    let (address, is_open) = gate(remote.addr()).await;
    let rest = "quotas = [{ units = 4, per = \"1s\" }]\ntimeout = \"500ms\"\nlinger = \"0s\"";
    let mut rig = Rig::start(&service("w", address, rest)).await;
    rig.agent(2);
    rig.agent(3);
    let batch = rig.submit("service=w&lookup=whois", names(60)).await;
    let began = Instant::now();
    while rig.client.services().await.unwrap().items[0].down_since.is_none() {
        assert!(began.elapsed() < PATIENCE, "nobody noticed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    is_open.store(true, Ordering::SeqCst);
    let ended = rig.await_batch(&batch.id, "over", |batch| batch.queued + batch.running == 0).await;
    assert_eq!(ended.done, 60, "an outage costs no job: {ended:?}");
    assert!(rig.client.services().await.unwrap().items[0].down_since.is_none());
}
