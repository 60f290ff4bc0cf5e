//! Answers given again, by the remote's own count: what costs a call, and what does not.

use std::time::Duration;

use egret_client::UploadOptions;
use egret_testkit::{Remote, Rules, WhoisRemote};
use egret_tests::{Rig, egret, names, service};
use egret_wire::api::{JobRequest, JobState, JobView, Keep, Lookup, Priority};
use egret_wire::value::{Span, Time};
use serde_json::{Value, json};

const WAIT: Option<Duration> = Some(Duration::from_secs(60));
const QUOTA: &str = "quotas = [{ units = 10000, per = \"1s\" }]";

async fn rig(first: &str, rest: &str) -> (Remote, Rig) {
    let remote = WhoisRemote::new(Rules::new()).start().await.unwrap();
    let mut rig = Rig::start(&format!("{first}\n{}", service("w", remote.addr(), rest))).await;
    rig.agent(2);
    (remote, rig)
}

fn request(target: &str, max_age: Option<Duration>) -> JobRequest {
    JobRequest {
        lookup: Lookup::Domain,
        target: Some(target.to_owned()),
        request: None,
        service: Some("w".to_owned()),
        priority: Priority::Normal,
        deadline: None,
        exact: false,
        follow: None,
        max_age: max_age.map(Span),
        keep: Keep::Both,
        reference: None,
        labels: std::collections::BTreeMap::new(),
        egress: None,
    }
}

async fn ask(rig: &Rig, target: &str, max_age: Option<Duration>) -> JobView {
    let job = rig.client.submit(&request(target, max_age), WAIT).await.unwrap();
    assert_eq!(job.state, JobState::Done, "{job:?}");
    job
}

async fn calls(remote: Remote) -> u64 {
    remote.shutdown().await.total.tally.calls
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cached_answer_costs_nothing_and_says_how_old_it_is() {
    let (remote, rig) = rig("", QUOTA).await;
    let first = ask(&rig, "a.example", None).await;
    assert_eq!((first.cached, first.result.answered_at), (false, None));
    let again = ask(&rig, "www.A.example", None).await;
    assert_eq!((again.cached, again.result.attempts.len()), (true, 0));
    assert_eq!(again.result.answer, first.result.answer);
    let answered_at = again.result.answered_at.unwrap();
    assert!((first.created_at..=again.created_at).contains(&answered_at), "{answered_at}");
    let used = rig.client.quota_of("w", false).await.unwrap().services[0].budgets[0].used;
    assert!(used <= 1, "{used}");
    // The same after it has been read from the disk, and in a batch.
    let shown = loop {
        let shown = rig.client.job(&again.id).await.unwrap();
        if shown.state == JobState::Done {
            break shown;
        }
    };
    assert_eq!(shown, again);
    let batch = rig.submit("service=w", "a.example\nb.example\na.example\n").await;
    let cached: Vec<_> =
        rig.results(&batch.id).await.into_iter().map(|job| (job.target, job.cached)).collect();
    assert_eq!(
        cached.iter().filter(|(target, cached)| target == "a.example" && *cached).count(),
        2,
        "{cached:?}"
    );
    assert_eq!(calls(remote).await, 2, "a.example once, b.example once");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_survive_a_kill_and_a_restart() {
    let (remote, mut rig) = rig("", QUOTA).await;
    let batch = rig.submit("service=w", names(50)).await;
    assert_eq!(rig.results(&batch.id).await.len(), 50, "on disk");
    rig.coordinator.kill();
    rig.restart();
    let first = ask(&rig, "name7.example", None).await;
    let batch = rig.submit("service=w", names(50)).await;
    let jobs = rig.results(&batch.id).await;
    assert!(first.cached && jobs.len() == 50 && jobs.iter().all(|job| job.cached));
    assert_eq!(calls(remote).await, 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_memory_does_not_hold_is_answered_from_the_cache_as_well() {
    let (remote, rig) = rig("", QUOTA).await;
    let count = 6_000;
    for cached in [false, true] {
        let batch = rig.submit("service=w&deadline=1d", names(count)).await;
        let jobs = rig.results(&batch.id).await;
        assert_eq!(jobs.iter().filter(|job| job.cached == cached).count(), count);
        let ended = rig.client.batch(&batch.id).await.unwrap();
        assert_eq!((ended.done, ended.queued, ended.running), (count as u64, 0, 0));
    }
    assert_eq!(calls(remote).await, count as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_equal_lookups_at_once_are_one_call() {
    let (remote, rig) = rig("", QUOTA).await;
    let asking = (0..100).map(|_| ask(&rig, "a.example", None));
    let jobs = futures_util::future::join_all(asking).await;
    assert_eq!(jobs.iter().filter(|job| job.cached).count(), 99);
    assert_eq!(calls(remote).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_insists_on_a_fresh_answer_gets_one() {
    let (remote, rig) = rig("", QUOTA).await;
    let asking = (0..10).map(|_| ask(&rig, "a.example", Some(Duration::ZERO)));
    let jobs = futures_util::future::join_all(asking).await;
    assert!(jobs.iter().all(|job| !job.cached && job.result.attempts.len() == 1));
    assert!(
        ask(&rig, "a.example", Some(Duration::from_secs(3_600))).await.cached,
        "what they brought is kept"
    );
    let batch = rig.submit("service=w&max_age=0s", "a.example\na.example\n").await;
    assert!(rig.results(&batch.id).await.iter().all(|job| !job.cached));
    assert_eq!(calls(remote).await, 12);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_not_cached_is_asked_each_time() {
    let (remote, rig) = rig("", &format!("{QUOTA}\ncache_for = \"0s\"")).await;
    for max_age in [None, Some(Duration::from_secs(3_600))] {
        assert!(!ask(&rig, "a.example", max_age).await.cached);
    }
    assert_eq!(calls(remote).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_cache_forgets_what_came_first() {
    let (remote, rig) = rig("cache_size = \"8KiB\"", QUOTA).await;
    let batch = rig.submit("service=w", names(100)).await;
    assert_eq!(rig.results(&batch.id).await.len(), 100);
    let batch = rig.submit("service=w", names(100)).await;
    let cached = rig.results(&batch.id).await.iter().filter(|job| job.cached).count();
    // An answer takes at least 150 bytes with its key.
    assert!(cached <= 8 * 1_024 / 150, "{cached}");
    assert_eq!(calls(remote).await, 200 - cached as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_age_is_told_with_its_place_and_the_command_line_knows_ages() {
    let (remote, rig) = rig("", QUOTA).await;
    let url = format!("http://{}/v1/jobs", rig.address);
    for (age, code) in
        [(json!("367d"), "invalid_field"), (json!("soon"), "invalid_field"), (json!(5), "invalid_field")]
    {
        let job = json!({ "lookup": "domain", "service": "w", "target": "a.example", "max_age": age });
        let problem: Value =
            egret_tests::http().post(&url).json(&job).send().await.unwrap().json().await.unwrap();
        assert_eq!(
            (&problem["code"], &problem["errors"][0]["pointer"]),
            (&json!(code), &json!("/max_age")),
            "{problem}"
        );
    }
    let query = egret_tests::http().post(format!("{url}?max_age=soon")).header("content-type", "text/plain");
    let problem: Value = query.body("a.example").send().await.unwrap().json().await.unwrap();
    assert_eq!(
        (&problem["code"], &problem["errors"][0]["pointer"]),
        (&json!("invalid_field"), &json!("/max_age"))
    );

    let base = format!("http://{}", rig.address);
    let lookup = |age: &[&str]| {
        let (code, out, said) =
            egret(&[&["lookup", "--url", &base, "--service", "w", "a.example"], age].concat(), &[]);
        assert_eq!(code, 0, "{out}{said}");
        said
    };
    assert!(lookup(&[]).contains("from w over whois"));
    let said = lookup(&["--max-age", "1h"]);
    let (_, at) =
        said.trim().split_once("remembered from w, answered at ").unwrap_or_else(|| panic!("{said}"));
    assert!(at.parse::<Time>().is_ok(), "{said}");
    assert!(lookup(&["--max-age", "0s"]).contains("from w over whois"));
    let file = rig.dir.path().join("targets");
    std::fs::write(&file, "a.example\n").unwrap();
    let file = file.to_str().unwrap();
    let args = ["submit", "--url", &base, "--service", "w", "--max-age", "0s", "--wait", file];
    let (code, out, said) = egret(&args, &[]);
    assert_eq!(code, 0, "{out}{said}");
    assert_eq!(calls(remote).await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_counts_no_call_for_what_is_known() {
    let (remote, mut rig) = rig("", QUOTA).await;
    let batch = rig.submit("service=w", names(1_200)).await;
    rig.await_batch(&batch.id, "done", |batch| batch.done == 1_200).await;
    let plan = async |rig: &Rig, count, max_age: Option<Duration>| {
        let max_age = max_age.map(Span);
        let options = UploadOptions { service: Some("w".to_owned()), max_age, ..UploadOptions::default() };
        let plan = rig.client.plan(std::io::Cursor::new(names(count)), &options, &[1]).await.unwrap();
        let service = &plan.services[0];
        assert_eq!((plan.calls, plan.cached), (service.calls, service.cached));
        (plan.calls, plan.cached, plan.finish_estimate.is_some())
    };
    assert_eq!(plan(&rig, 2_500, None).await, (1_300, 1_200, true));
    assert_eq!(plan(&rig, 2_500, Some(Duration::ZERO)).await, (2_500, 0, true));
    // From the disk, and while nothing can be asked.
    rig.coordinator.kill();
    rig.restart();
    rig.client.pause_service("w", None).await.unwrap();
    assert_eq!(plan(&rig, 1_200, None).await, (0, 1_200, true));
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert_eq!(plan(&rig, 1_200, Some(Duration::from_millis(1))).await, (1_200, 0, false), "too old");
    let args = ["plan", "-", "--service", "w", "--max-age", "367d", "--url", rig.client.url()];
    let (code, _, stderr) = egret(&args, &[]);
    assert!(code == 2 && stderr.contains("366 days"), "{stderr}");
    drop(remote);
}
