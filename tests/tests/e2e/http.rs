//! Services over HTTP: the same promises, and one request for each call.

use std::net::IpAddr;
use std::time::Duration;

use egret_testkit::{Ban, HttpRefusal, HttpRemote, Limit, Remote, Rules, echo_json};
use egret_tests::{Rig, egret};
use egret_wire::api::{AnswerOutcome, AttemptOutcome, JobState};
use serde_json::{Value, json};

const SECOND: Duration = Duration::from_secs(1);

fn strict(units: u32) -> Rules {
    Rules::new().limit(Limit::Sliding { units, per: SECOND })
}

async fn rig(remote: &Remote, rest: &str, agents: u8) -> Rig {
    let service = format!(
        "[[service]]\nid = \"api\"\nprotocol = \"http\"\naddress = \"http://{}/v1\"\n\
         allow_private_addresses = true\n{rest}\n",
        remote.addr()
    );
    let mut rig = Rig::start(&service).await;
    (2..2 + agents).for_each(|n| rig.agent(n));
    rig
}

fn paths(count: usize) -> String {
    (0..count).map(|n| format!("/domain/name{n}.example?full=1\n")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strict_limit_is_filled_by_one_request_on_one_connection_each() {
    let remote = HttpRemote::new(strict(5).ban(Ban::of(5 * SECOND))).start().await.unwrap();
    let rig = rig(&remote, "quotas = [{ units = 5, per = \"1s\" }]", 4).await;
    let batch = rig.submit("lookup=http&service=api", paths(40)).await;
    assert_eq!((batch.jobs_total, batch.rejected_total), (40, 0));
    for job in rig.results(&batch.id).await {
        let answer = job.result.answer.as_ref().unwrap_or_else(|| panic!("{job:?}"));
        assert_eq!(
            (job.state, answer.outcome, answer.status),
            (JobState::Done, AnswerOutcome::Found, Some(200))
        );
        assert_eq!(
            answer.raw.as_deref().map(str::as_bytes),
            Some(&echo_json(&format!("/v1{}", job.target))[..])
        );
        assert_eq!(answer.content_type.as_deref(), Some("application/rdap+json"));
    }
    let score = remote.shutdown().await;
    let tally = score.total.tally;
    assert_eq!((tally.refused, tally.banned), (0, 0), "{score}");
    assert_eq!((tally.answered, tally.calls, tally.opens), (40, 40, 40), "{score}");
    assert!(score.is_within_limits() && score.peers.len() == 4, "{score}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_egress_rests_as_long_as_it_is_told() {
    let refusal = HttpRefusal::Status { code: 429, retry_after: Some(2 * SECOND) };
    let remote = HttpRemote::new(strict(1)).refusal(refusal).start().await.unwrap();
    let rig = rig(&remote, "quotas = [{ units = 5, per = \"1s\" }]\nconcurrency = 1", 1).await;
    let batch = rig.submit("lookup=http&service=api", paths(2)).await;
    let jobs = rig.results(&batch.id).await;
    assert!(jobs.iter().all(|job| job.state == JobState::Done), "a refusal never fails a job");
    let refused = |job: &egret_wire::api::JobView| {
        let refused = job.result.attempts.iter().find(|attempt| attempt.outcome == AttemptOutcome::Refused);
        refused.and_then(|attempt| attempt.detail.clone())
    };
    let refusals: Vec<String> = jobs.iter().filter_map(refused).collect();
    assert_eq!(refusals, ["status 429"]);
    let arrivals = remote.arrivals(IpAddr::from([127, 0, 0, 2]));
    assert_eq!(arrivals.len(), 3, "answered, refused, answered");
    let rest = arrivals[2] - arrivals[1];
    assert!((2 * SECOND..30 * SECOND).contains(&rest), "not the cool-down of a minute: {rest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_is_shown_and_nobody_follows_it() {
    let elsewhere = "http://127.0.0.1:1/elsewhere";
    let remote = HttpRemote::new(Rules::new()).status(302).header("location", elsewhere);
    let remote = remote.start().await.unwrap();
    let rig = rig(&remote, "quotas = [{ units = 9, per = \"1s\" }]", 1).await;
    let batch = rig.submit("lookup=http&service=api", "/moved\n").await;
    let answer = rig.results(&batch.id).await.remove(0).result.answer.unwrap();
    assert_eq!((answer.outcome, answer.status), (AnswerOutcome::Found, Some(302)));
    assert_eq!(answer.location.as_deref(), Some(elsewhere));
    assert_eq!(remote.shutdown().await.total.tally.calls, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_path_takes_no_other_with_it_and_a_service_must_be_named() {
    let remote = HttpRemote::new(Rules::new()).start().await.unwrap();
    let rig = rig(&remote, "quotas = [{ units = 9, per = \"1s\" }]", 1).await;
    let post = |body: Value| {
        let jobs = egret_tests::http().post(format!("http://{}/v1/jobs", rig.address)).json(&body);
        async { jobs.send().await.unwrap().json::<Value>().await.unwrap() }
    };
    let unnamed = post(json!({ "lookup": "http", "target": "/a" })).await;
    assert_eq!(unnamed["code"], "unknown_service", "{unnamed}");
    assert!(unnamed["detail"].as_str().unwrap().contains("name one of: `api`"), "{unnamed}");
    let job = |target: &str| json!({ "lookup": "http", "service": "api", "target": target });
    let batch =
        post(json!([job("/a"), job("/../b"), job("http://evil.example/"), job("/c#d"), job("/e")])).await;
    assert_eq!((&batch["jobs_total"], &batch["rejected_total"]), (&json!(2), &json!(3)), "{batch}");
    assert!(
        batch["rejected"].as_array().unwrap().iter().all(|line| line["code"] == "invalid_target"),
        "{batch}"
    );
    let whois = post(json!({ "lookup": "domain", "service": "api", "target": "a.example" })).await;
    assert_eq!(whois["code"], "unsupported_lookup", "{whois}");

    let url = format!("http://{}", rig.address);
    let lookup = |path| egret(&["lookup", "--url", &url, "--kind", "http", "--service", "api", path], &[]);
    let (code, out, said) = lookup("/domain/a.example");
    assert_eq!(
        (code, out.trim_end().as_bytes()),
        (0, echo_json("/v1/domain/a.example").trim_ascii_end()),
        "{said}"
    );
    let (code, _, said) = lookup("domain/a.example");
    assert!(code != 0 && said.contains("write it as /path?query"), "{said}");
    let file = rig.dir.path().join("paths");
    std::fs::write(&file, paths(3)).unwrap();
    let file = file.to_str().unwrap();
    let args = ["submit", "--url", &url, "--kind", "http", "--service", "api", "--wait", file];
    let (code, out, said) = egret(&args, &[]);
    assert!(code == 0 && said.contains("3 answered"), "{out}{said}");
}
