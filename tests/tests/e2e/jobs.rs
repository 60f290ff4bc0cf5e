//! One job and many: answers whole, waits, deadlines, cancelling, keys, fields.

use std::collections::HashMap;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use egret_testkit::{Answers, Remote, Rules, WhoisRemote};
use egret_tests::{Rig, names, service};
use egret_wire::api::{Deadline, JobRequest, JobState, Keep, Lookup, Priority};
use egret_wire::value::Span;

const WAIT: Option<Duration> = Some(Duration::from_secs(60));

fn request(target: &str) -> JobRequest {
    JobRequest {
        lookup: Lookup::Whois,
        target: Some(target.to_owned()),
        request: None,
        service: Some("w".to_owned()),
        priority: Priority::Normal,
        deadline: None,
        exact: false,
        follow: None,
        max_age: None,
        keep: Keep::Both,
        reference: None,
        labels: std::collections::BTreeMap::new(),
        egress: None,
    }
}

async fn rig(answers: Answers, rest: &str) -> (Remote, Rig) {
    let remote = WhoisRemote::new(Rules::new()).answers(answers).start().await.unwrap();
    let mut rig = Rig::start(&service("w", remote.addr(), rest)).await;
    rig.agent(2);
    (remote, rig)
}

/// Real answers that are not part of this tree; see its README for where they come from.
fn recorded() -> HashMap<String, Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/fixtures/normal");
    let Ok(files) = std::fs::read_dir(&folder) else {
        // Past the capture of the test harness, so that nobody takes a skip for a pass.
        let _ = writeln!(std::io::stderr(), "SKIPPED: no recorded answers at {}", folder.display());
        return HashMap::new();
    };
    let files =
        files.filter_map(Result::ok).filter(|file| file.path().extension().is_some_and(|e| e == "txt"));
    files
        .enumerate()
        .map(|(n, file)| (format!("recorded-{n}"), std::fs::read(file.path()).unwrap()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_come_back_whole_byte_for_byte() {
    let mut table = recorded();
    let latin1 =
        b"domain: caf\xe9.example\r\nstatus: active\r\nregistrar: M\xfcller\r\ncreated: 2001-01-01\r\n"
            .to_vec();
    let every_byte: Vec<u8> = b"domain: odd.example\nstatus: active\nremarks: "
        .iter()
        .copied()
        .chain(0..=255)
        .chain(*b"\n")
        .collect();
    table.insert("latin1".to_owned(), latin1);
    table.insert("every-byte".to_owned(), every_byte);
    let (_remote, rig) =
        rig(Answers::Table(table.clone()), "quotas = [{ units = 10000, per = \"1s\" }]").await;
    let lines: String = table.keys().map(|name| format!("{name}\n")).collect();
    let batch = rig.submit("service=w&lookup=whois", lines).await;
    let results = rig.results(&batch.id).await;
    assert_eq!(results.len(), table.len());
    for job in results {
        let answer = job
            .result
            .answer
            .unwrap_or_else(|| panic!("{} has no answer: {:?}", job.target, job.result.error));
        let bytes = match (answer.raw, answer.raw_base64) {
            (Some(text), None) => text.into_bytes(),
            (None, Some(base64)) => STANDARD.decode(base64).unwrap(),
            both => panic!("exactly one of them: {both:?}"),
        };
        assert_eq!(bytes, table[&job.target], "{}", job.target);
        assert_eq!(answer.charset, None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_named_charset_makes_text_of_it_and_is_told() {
    let answer =
        b"domain: caf\xe9.example\r\nstatus: active\r\ncreated: 2001-01-01\r\nregistrar: M\xfcller\r\n"
            .to_vec();
    let table = HashMap::from([("x".to_owned(), answer)]);
    let (_remote, rig) =
        rig(Answers::Table(table), "charset = \"iso-8859-1\"\nquotas = [{ units = 9, per = \"1s\" }]").await;
    let job = rig.client.submit(&request("x"), WAIT).await.unwrap();
    let answer = job.result.answer.unwrap();
    assert!(answer.raw.unwrap().contains("café.example"));
    assert_eq!(answer.charset.as_deref(), Some("windows-1252"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waited_lookup_comes_back_done_and_stays_readable() {
    let (remote, rig) = rig(Answers::Echo, "quotas = [{ units = 9, per = \"1s\" }]").await;
    let asked = JobRequest {
        reference: Some("mine".to_owned()),
        labels: [("team".to_owned(), "a".to_owned())].into(),
        ..request("one.example")
    };
    let job = rig.client.submit(&asked, WAIT).await.unwrap();
    assert_eq!((job.state, job.reference.as_deref()), (JobState::Done, Some("mine")));
    assert_eq!(job.result.attempts.len(), 1);
    assert_eq!(job.result.attempts[0].egress, "127.0.0.2");
    let again = loop {
        // The record follows the answer by one commit.
        let again = rig.client.job(&job.id).await.unwrap();
        if again.state == JobState::Done {
            break again;
        }
    };
    assert_eq!((again.labels, again.result), (job.labels, job.result));
    assert_eq!(remote.shutdown().await.total.tally.calls, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_nobody_can_take_expires_and_one_given_up_is_cancelled() {
    let remote = WhoisRemote::new(Rules::new()).start().await.unwrap();
    let rig = Rig::start(&service("w", remote.addr(), "")).await;
    let soon =
        JobRequest { deadline: Some(Deadline::In(Span(Duration::from_millis(200)))), ..request("a.example") };
    let expired = rig.client.submit(&soon, WAIT).await.unwrap();
    assert_eq!((expired.state, expired.result.error.unwrap().code.as_str()), (JobState::Expired, "deadline"));
    let waiting = rig.client.submit(&request("b.example"), None).await.unwrap();
    assert_eq!(waiting.state, JobState::Queued);
    for _ in 0..2 {
        let cancelled = rig.client.cancel_job(&waiting.id).await.unwrap();
        assert_eq!(cancelled.state, JobState::Cancelled, "cancelling twice changes nothing");
    }
    assert_eq!(remote.shutdown().await.total.tally.calls, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idempotency_key_gives_the_first_answer_again() {
    let (remote, rig) = rig(Answers::Echo, "quotas = [{ units = 9, per = \"1s\" }]").await;
    let post = |key: &str, target: &str| {
        let url = format!("http://{}/v1/jobs?wait=60s", rig.address);
        let request =
            egret_tests::http().post(url).header("idempotency-key", key).json(&request(target)).send();
        async move {
            let response = request.await.unwrap();
            (response.status().as_u16(), response.json::<serde_json::Value>().await.unwrap())
        }
    };
    let first = post("k1", "a.example").await;
    assert_eq!(first.0, 200);
    assert_eq!(post("k1", "a.example").await, first);
    let other = post("k1", "b.example").await;
    assert_eq!((other.0, &other.1["code"]), (422, &"idempotency_mismatch".into()));
    let bad = post("k2", "").await;
    assert_eq!(bad.0, 422, "a request that failed may be mended under the same key");
    assert_eq!(post("k2", "b.example").await.0, 200);
    assert_eq!(remote.shutdown().await.total.tally.calls, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_hangs_up_leaves_no_job_behind() {
    use tokio::io::AsyncWriteExt;
    let (remote, rig) = rig(Answers::Echo, "quotas = [{ units = 10000, per = \"1s\" }]").await;
    let body = serde_json::to_string(&request("gone.example")).unwrap();
    let head = format!(
        "POST /v1/jobs HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        rig.address,
        body.len()
    );
    for _ in 0..100 {
        let mut stream = tokio::net::TcpStream::connect(rig.address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
    }
    // Some were read before the connection closed; all of those end.
    let began = std::time::Instant::now();
    loop {
        let jobs = rig.client.jobs(&egret_client::JobFilter::default()).await.unwrap().items;
        if !jobs.is_empty() && jobs.iter().all(|job| job.state == JobState::Done) {
            break;
        }
        assert!(began.elapsed() < egret_tests::PATIENCE, "{jobs:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    drop(remote);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_line_is_reported_by_its_number_and_takes_no_other_with_it() {
    let (_remote, rig) = rig(Answers::Echo, "quotas = [{ units = 10000, per = \"1s\" }]").await;
    let mut lines = names(2_500);
    lines.push_str("\n-bad-\r\nlast.example");
    let batch = rig.submit("service=w", lines).await;
    assert_eq!((batch.jobs_total, batch.rejected_total), (2_501, 1));
    assert_eq!((batch.rejected[0].line, batch.rejected[0].code.as_str()), (2_502, "invalid_target"));
    assert_eq!(rig.results(&batch.id).await.len(), 2_501);
    let counts = rig.client.batch(&batch.id).await.unwrap();
    assert_eq!((counts.done, counts.queued, counts.running), (2_501, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn results_can_be_read_on_from_any_cursor() {
    let (_remote, rig) = rig(Answers::Echo, "quotas = [{ units = 10000, per = \"1s\" }]").await;
    let batch = rig.submit("service=w", names(50)).await;
    let all = rig.results(&batch.id).await;
    let cursor = all[19].cursor.clone();
    let mut rest = rig.client.results(&batch.id, false, cursor);
    let mut read_on = Vec::new();
    while let Some(line) = rest.next().await {
        read_on.push(line.unwrap().job.id);
    }
    assert_eq!(read_on, all[20..].iter().map(|job| job.id.clone()).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_quota_view_shows_what_the_remote_may_have_counted() {
    let (_remote, rig) = rig(Answers::Echo, "quotas = [{ units = 3, per = \"1h\" }]").await;
    let batch = rig.submit("service=w", names(5)).await;
    rig.await_batch(&batch.id, "as far as the quota lets it", |batch| batch.done == 3).await;
    let quota = rig.client.quota_of("w", false).await.unwrap();
    let service = &quota.services[0];
    assert_eq!((service.queued, service.running), (2, 0));
    let budget = &service.budgets[0];
    assert_eq!((budget.key.as_str(), budget.used, budget.remaining), ("127.0.0.2", 3, 0));
    assert!(budget.next_at.unwrap() > quota.at && budget.resets_at >= budget.next_at.unwrap());
}
