//! What is foreseen: why jobs wait and until when, and what a file of targets would take.

use egret_core::quota::Counting;
use egret_testkit::{Remote, Rules, WhoisRemote};
use egret_tests::rule::{Rule, SECOND};
use egret_tests::simulated::Fleet;
use egret_tests::{Rig, egret, http, names, service};
use egret_wire::api::{Explanation, JobState, Plan, WhyKind};
use egret_wire::value::Time;

const HOUR_MS: u64 = 3_600_000;

async fn remote() -> Remote {
    WhoisRemote::new(Rules::new()).start().await.unwrap()
}

fn kinds(explanation: &Explanation) -> Vec<WhyKind> {
    explanation.why.iter().map(|why| why.kind).collect()
}

/// Both are as far ahead of `now`, within 5 %, or 2 s of the wall clock; in virtual time the core's tests hold plans to 5 %.
#[track_caller]
fn check_close(found: Option<Time>, ahead_ms: u64, now: Time) {
    let found = found.expect("it is foreseen").0 - now.0;
    assert!(found.abs_diff(ahead_ms) <= 2_000.max(ahead_ms / 20), "{found} ms ahead, not {ahead_ms}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_job_says_which_quota_holds_it_where_and_until_when() {
    let remote = remote().await;
    let mut rig = Rig::start(&service("w", remote.addr(), "quotas = [{ units = 1, per = \"1h\" }]")).await;
    rig.agent(2);
    let batch = rig.submit("service=w&lookup=whois", names(4)).await;
    rig.await_batch(&batch.id, "where the quota ends", |batch| batch.done == 1).await;
    let filter = egret_client::JobFilter { batch: Some(batch.id.clone()), ..Default::default() };
    let jobs = rig.client.jobs(&filter).await.unwrap().items;
    let (last, first) = (&jobs[0].id, &jobs[3].id);

    let explanation = rig.client.explain(last).await.unwrap();
    let now = rig.client.quota(false).await.unwrap().at;
    assert_eq!(kinds(&explanation), [WhyKind::Behind, WhyKind::Quota], "{explanation:?}");
    assert_eq!((explanation.state, explanation.position), (JobState::Queued, Some(3)));
    let why = &explanation.why;
    assert_eq!(why[0].detail, "2 jobs of w go before it");
    assert_eq!(why[1].detail, "1 per 1h at 127.0.0.2 is used up");
    check_close(why[1].until, HOUR_MS, now);
    check_close(explanation.start_estimate, 3 * HOUR_MS, now);
    check_close(explanation.finish_estimate, 3 * HOUR_MS, now);

    let ended = rig.client.explain(first).await.unwrap();
    assert_eq!((ended.state, kinds(&ended)), (JobState::Done, vec![WhyKind::Ended]));
    assert!(ended.why[0].detail.starts_with("it ended done at 20"), "{ended:?}");
    check_close(rig.client.batch(&batch.id).await.unwrap().finish_estimate, 3 * HOUR_MS, now);
    check_close(rig.client.quota(false).await.unwrap().services[0].finish_estimate, 3 * HOUR_MS, now);

    let url = format!("http://{}", rig.address);
    let (code, said, _) = egret(&["--url", &url, "explain", last], &[]);
    assert_eq!(code, 0);
    assert!(said.starts_with(&format!("{last} is queued, number 3 in line\n")), "{said}");
    assert!(said.contains("quota: 1 per 1h at 127.0.0.2 is used up; free in "), "{said}");
    let (code, said, _) = egret(&["--url", &url, "--json", "explain", last], &[]);
    let read: Explanation = serde_json::from_str(&said).unwrap();
    assert_eq!((code, read.position), (0, Some(3)));
    let (code, _, said) = egret(&["--url", &url, "explain", "job_0000000000000"], &[]);
    assert_eq!(code, 1, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_and_a_fleet_that_is_gone_are_named_and_nothing_is_foreseen() {
    let remote = remote().await;
    let mut rig = Rig::start(&service("w", remote.addr(), "quotas = [{ units = 1, per = \"1h\" }]")).await;
    rig.agent(2);
    let batch = rig.submit("service=w&lookup=whois", names(2)).await;
    rig.await_batch(&batch.id, "where the quota ends", |batch| batch.done == 1).await;
    let filter = egret_client::JobFilter { state: Some(JobState::Queued), ..Default::default() };
    let job = rig.client.jobs(&filter).await.unwrap().items.remove(0).id;
    rig.agents[0].kill();
    rig.await_agents(0).await;
    let pause = http().post(format!("http://{}/v1/services/w/pause", rig.address)).send().await.unwrap();
    assert_eq!(pause.status(), 200);
    let explanation = rig.client.explain(&job).await.unwrap();
    assert_eq!(kinds(&explanation), [WhyKind::Paused, WhyKind::NoEgress], "{explanation:?}");
    assert!(explanation.why[0].detail.contains("POST /v1/services/w/resume"), "{explanation:?}");
    assert_eq!((explanation.start_estimate, explanation.finish_estimate), (None, None));
    assert_eq!(rig.client.batch(&batch.id).await.unwrap().finish_estimate, None);
}

/// How long so many calls take from so many addresses, in virtual time, with answers as slow as they are taken to be
/// before there was one.
fn simulated(rule: &Rule, egresses: u32, calls: u64) -> u64 {
    let fleet = Fleet {
        terms: rule.terms(),
        limits: rule.limits(),
        egresses,
        link: SECOND / 1_000,
        way: SECOND * 75 / 1_000..=SECOND * 75 / 1_000,
        lasts: 24 * 3_600 * SECOND,
        seed: 3,
    };
    let drained = fleet.drain(calls, &[], |_, _| ());
    assert_eq!((drained.outcome.refused, drained.sent.len() as u64), (0, calls));
    u64::try_from(drained.ended.as_millis()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_of_mixed_targets_is_what_virtual_time_makes_of_them_and_leaves_nothing_behind() {
    let remote = remote().await;
    let zone = |zone: &str, quotas: &str| {
        service(&format!("w.{zone}"), remote.addr(), &format!("zones = [\"{zone}\"]\nquotas = [{quotas}]"))
    };
    let config = [
        zone("com", "{ units = 10, per = \"1s\" }, { units = 60, per = \"1m\" }"),
        zone("net", "{ units = 5, per = \"1s\" }"),
        zone("org", "{ units = 30, per = \"1m\" }"),
    ];
    let mut rig = Rig::start(&config.concat()).await;
    (2..4).for_each(|n| rig.agent(n));
    let target = |n: u64| match n % 10 {
        0..6 => format!("name{n}.com\n"),
        6..9 => format!("name{n}.net\n"),
        _ => format!("name{n}.org\n"),
    };
    let lines: String =
        (0..1_000).map(target).chain(["\n".to_owned(), "bad name.com\n".to_owned()]).collect();
    let file = rig.dir.path().join("targets");
    std::fs::write(&file, &lines).unwrap();
    let url = format!("http://{}", rig.address);
    let arguments = ["--url", &url, "--json", "plan", file.to_str().unwrap(), "--more", "1,2"];
    let (code, said, complaints) = egret(&arguments, &[]);
    assert_eq!(code, 0, "{complaints}");
    assert!(complaints.contains("line 1002"), "{complaints}");
    let plan: Plan = serde_json::from_str(&said).unwrap();
    assert_eq!((plan.calls, plan.rejected_total, plan.rejected[0].line), (1_000, 1, 1_002));
    assert!(plan.disk_bytes > 1_000_000, "{plan:?}");
    let rule = |quotas: &[(u32, u64)]| Rule::new(Counting::Sliding, quotas);
    let truth = [
        ("w.com", 600, rule(&[(10, 1), (60, 60)]), 60),
        ("w.net", 300, rule(&[(5, 1)]), 5),
        ("w.org", 100, rule(&[(30, 60)]), 30),
    ];
    for (service, (id, calls, rule, bottleneck)) in plan.services.iter().zip(truth) {
        assert_eq!((service.service.as_str(), service.calls, service.ahead), (id, calls, 0));
        assert_eq!(service.bottleneck.as_ref().map(|quota| quota.units), Some(bottleneck));
        check_close(service.finish_estimate, simulated(&rule, 2, calls), plan.at);
        for (more, addresses) in service.with_more.iter().zip([1, 2]) {
            assert_eq!(more.addresses, addresses);
            check_close(more.finish_estimate, simulated(&rule, 2 + addresses, calls), plan.at);
        }
    }
    assert_eq!(plan.finish_estimate, plan.services[0].finish_estimate);
    assert!(rig.client.jobs(&egret_client::JobFilter::default()).await.unwrap().items.is_empty());
    assert_eq!(remote.shutdown().await.total.tally.calls, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_cannot_be_made_says_why() {
    let remote = remote().await;
    let rig = Rig::start(&service("w", remote.addr(), "quotas = [{ units = 1, per = \"1h\" }]")).await;
    let ask = async |query: &str, media: &str, body: String| {
        let url = format!("http://{}/v1/plan?{query}", rig.address);
        let request = http().post(url).header("content-type", media.to_owned()).body(body);
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let body: serde_json::Value = answer.json().await.unwrap();
        (status, body["code"].as_str().unwrap_or_default().to_owned())
    };
    let text = "text/plain";
    for (query, media, code) in [
        ("service=w", "application/json", (415, "unsupported_media_type")),
        ("service=w&more=0", text, (400, "invalid_field")),
        ("service=w&mroe=1", text, (400, "unknown_field")),
        ("service=w&deadline=9999d", text, (400, "invalid_field")),
        ("lookup=domian", text, (400, "invalid_field")),
    ] {
        assert_eq!(ask(query, media, names(1)).await, (code.0, code.1.to_owned()), "{query}");
    }
    assert_eq!(ask("service=w", text, "x".repeat(2 << 20)).await, (413, "too_large".to_owned()));
    let long = format!("a.example\n{}\nb.example\n", "x".repeat(2 << 20));
    let plan = rig.client.plan(std::io::Cursor::new(long), &options(), &[]).await.unwrap();
    assert_eq!((plan.calls, plan.rejected_total, plan.rejected[0].line), (2, 1, 2));
    let (code, _, said) = egret(&["--url", &format!("http://{}", rig.address), "plan", "/nowhere"], &[]);
    assert_eq!(code, 2, "{said}");
    // With nobody up, only more addresses have an end.
    let plan = rig.client.plan(&b"a.example\n"[..], &options(), &[1]).await.unwrap();
    assert_eq!((plan.finish_estimate, plan.services[0].egresses), (None, 0));
    assert!(plan.services[0].with_more[0].finish_estimate.is_some());
}

fn options() -> egret_client::UploadOptions {
    egret_client::UploadOptions { service: Some("w".to_owned()), ..Default::default() }
}
