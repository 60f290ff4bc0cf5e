//! What people and programs see of records: on the command line, straight through, as CSV, and what is kept of them.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use egret_testkit::{Answers, HttpRemote, Remote, Rules, WhoisRemote};
use egret_tests::{PATIENCE, Rig, egret, http, service};
use egret_wire::api::{JobState, JobView};
use reqwest::Response;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

const QUOTA: &str = "quotas = [{ units = 10000, per = \"1s\" }]";
/// Stands in no field of a record.
const MARK: &str = "mark-of-the-text-7f3a";

fn answer(query: &str) -> Vec<u8> {
    let registrar = match query {
        "free.example" => return b"% Example registry\r\nNo match for domain.\r\n".to_vec(),
        "held.example" => return b"This name is reserved by the registry\r\n".to_vec(),
        "192.0.2.0/24" => {
            return b"inetnum: 192.0.2.0 - 192.0.2.255\r\nnetname: EXAMPLE-NET\r\ncountry: NZ\r\nstatus: ASSIGNED\r\n"
                .to_vec();
        }
        "hostile.example" => "\u{1b}[2J=Evil\u{202e} Inc.",
        "formula.example" => "=HYPERLINK(\"http://evil.example\")",
        _ => "Example Registrar, Inc.",
    };
    format!(
        "% {MARK}\r\n\r\ndomain: {query}\r\nregistrar: {registrar}\r\nstatus: active\r\ncreated: 2001-02-03T04:05:06Z\r\n\
         expires: 2131-02-03T04:05:06Z\r\nnserver: ns1.example.net\r\nnserver: ns2.example.net\r\n"
    )
    .into_bytes()
}

async fn rig_with(rest: &str, agents: u8) -> (Remote, Rig) {
    let remote =
        WhoisRemote::new(Rules::new()).answers(Answers::With(Arc::new(answer))).start().await.unwrap();
    let mut rig = Rig::start(&service("w", remote.addr(), &format!("zones = [\"example\"]\n{rest}"))).await;
    (2..2 + agents).for_each(|n| rig.agent(n));
    (remote, rig)
}

async fn rig() -> (Remote, Rig) {
    rig_with(QUOTA, 1).await
}

async fn get(rig: &Rig, path: &str) -> Response {
    http().get(format!("http://{}{path}", rig.address)).send().await.unwrap()
}

fn field(response: &Response, name: &str) -> String {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap()).to_owned()
}

/// A problem of this kind; its detail, and the job that it is about.
async fn refused(response: Response, status: u16, code: &str) -> (String, String) {
    assert_eq!(response.status(), status);
    let job = field(&response, "x-egret-job");
    let problem: Value = response.json().await.unwrap();
    assert_eq!(problem["code"], code, "{problem}");
    (problem["detail"].as_str().unwrap().to_owned(), job)
}

/// The job when its end is on disk.
async fn ended(rig: &Rig, id: &str) -> JobView {
    let began = Instant::now();
    loop {
        let job = rig.client.job(id).await.unwrap();
        if job.state.has_ended() {
            return job;
        }
        assert!(began.elapsed() < PATIENCE, "{job:?}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lookup_prints_the_record_and_the_text_when_asked() {
    let (_remote, rig) = rig().await;
    let lookup = |args: &[&str]| egret(&[&["lookup", "--url", rig.client.url()], args].concat(), &[]);
    let (code, out, said) = lookup(&["www.Shop.example"]);
    assert_eq!(code, 0, "{said}");
    let expires = out.lines().find(|line| line.starts_with("expires")).unwrap();
    assert!(
        expires.starts_with("expires     2131-02-03 04:05:06 UTC, in ") && expires.ends_with(" days"),
        "{out}"
    );
    let rest: Vec<_> = out.lines().filter(|line| *line != expires).collect();
    assert_eq!(
        rest,
        [
            "domain      shop.example",
            "registrar   Example Registrar, Inc.",
            "created     2001-02-03 04:05:06 UTC",
            "status      active",
            "nameserver  ns1.example.net",
            "nameserver  ns2.example.net",
        ]
    );
    assert!(said.starts_with("www.Shop.example: found, from w over whois, by 127.0.0.2 in "), "{said}");
    assert_eq!(lookup(&["--raw", "shop.example"]).1.as_bytes(), answer("shop.example"));
    let (_, json, _) = lookup(&["--json", "shop.example"]);
    let job: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(job["answer"]["record"]["registrar"]["name"], "Example Registrar, Inc.");
    let (_, out, _) = lookup(&["--kind", "ip", "--service", "w", "192.0.2.77/24"]);
    assert!(out.contains("range    192.0.2.0 - 192.0.2.255\n"), "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_found_is_one_line_and_hostile_text_acts_on_nothing() {
    let (_remote, rig) = rig().await;
    let lookup = |target| egret(&["lookup", "--url", rig.client.url(), target], &[("NO_COLOR", "1")]);
    for (target, word) in [("free.example", "not found"), ("held.example", "reserved")] {
        let (code, out, said) = lookup(target);
        assert!(code == 0 && said.is_empty(), "{said}");
        assert!(out.starts_with(&format!("{target}: {word}, from w over whois, by ")), "{out}");
        assert_eq!(out.lines().count(), 1, "{out}");
    }
    let (_, out, _) = lookup("hostile.example");
    assert!(!out.contains(['\u{1b}', '\u{202e}']), "{out:?}");
    assert!(out.contains("\nregistrar   \\u{1b}[2J=Evil\\u{202e} Inc.\n"), "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_answers_the_record_itself() {
    let (_remote, rig) = rig().await;
    let found = get(&rig, "/v1/lookup/domain/https:%2F%2Fwww.shop.example/page?max_age=0s").await;
    assert_eq!((found.status().as_u16(), &*field(&found, "content-type")), (200, "application/json"));
    let job = ended(&rig, &field(&found, "x-egret-job")).await;
    let record: Value = found.json().await.unwrap();
    assert_eq!((&record["ldhName"], &record["status"]), (&json!("shop.example"), &json!(["active"])));
    assert_eq!(Some(&record), job.result.answer.unwrap().record.as_ref());
    assert_eq!(serde_json::to_value(job.priority).unwrap(), "interactive");

    for network in ["192.0.2.0/24", "192.0.2.0%2F24"] {
        let found = get(&rig, &format!("/v1/lookup/ip/{network}?service=w")).await;
        let record: Value = found.json().await.unwrap();
        assert_eq!((&record["startAddress"], &record["name"]), (&json!("192.0.2.0"), &json!("EXAMPLE-NET")));
    }
    let absent = refused(get(&rig, "/v1/lookup/domain/free.example").await, 404, "not_found").await;
    assert!(absent.0.contains("`free.example` was not found"), "{absent:?}");
    assert_eq!(ended(&rig, &absent.1).await.state, JobState::Done);
    let held = refused(get(&rig, "/v1/lookup/domain/held.example").await, 404, "not_found").await;
    assert!(held.0.contains("`held.example` is reserved"), "{held:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn over_rdap_the_record_has_the_same_shape() {
    let remote = HttpRemote::new(Rules::new()).start().await.unwrap();
    let service = format!(
        "[[service]]\nid = \"r\"\nprotocol = \"rdap\"\naddress = \"http://{}/rdap\"\nzones = [\"example\"]\n\
         allow_private_addresses = true\n{QUOTA}\n",
        remote.addr()
    );
    let mut rig = Rig::start(&service).await;
    rig.agent(2);
    let record: Value = get(&rig, "/v1/lookup/rdap/a.example").await.json().await.unwrap();
    assert_eq!(
        record,
        json!({"objectClassName": "domain", "ldhName": "a.example", "status": ["ok"],
               "events": [{"eventAction": "registration", "eventDate": "2001-02-03T04:05:06Z"}]})
    );
    let (_, out, _) = egret(&["lookup", "--url", rig.client.url(), "a.example"], &[]);
    assert_eq!(out, "domain   a.example\ncreated  2001-02-03 04:05:06 UTC\nstatus   ok\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_cannot_be_asked_says_why_and_makes_no_job() {
    let (remote, rig) = rig().await;
    for (path, status, code) in [
        ("http/x?service=w", 422, "unsupported_lookup"),
        ("dance/a.example", 422, "unsupported_lookup"),
        ("domain/a.example?service=v", 422, "unknown_service"),
        ("domain/-", 422, "invalid_target"),
        ("domain/a%0D%0Ab.example", 422, "invalid_target"),
        ("domain/%FF.example", 400, "invalid_field"),
        ("domain/a.example?wait=soon", 400, "invalid_field"),
        ("domain/a.example?keep=raw", 400, "invalid_field"),
        ("domain/a.example?lookup=ip", 400, "unknown_field"),
        ("domain/a.example?tarqet=x", 400, "unknown_field"),
        ("domain/", 404, "not_found"),
    ] {
        let (detail, job) = refused(get(&rig, &format!("/v1/lookup/{path}")).await, status, code).await;
        assert!(detail.len() > 8 && job.is_empty(), "{path}: {detail}");
    }
    let page = http().get(format!("http://{}/v1/lookup/domain/a.example", rig.address));
    let answer = page.header("sec-fetch-site", "cross-site").send().await.unwrap();
    refused(answer, 403, "key_required").await;
    assert_eq!(remote.shutdown().await.total.tally.calls, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_budget_in_time_is_504_and_the_job_is_cancelled() {
    let (remote, rig) = rig_with("quotas = [{ units = 1, per = \"1h\" }]", 1).await;
    assert_eq!(get(&rig, "/v1/lookup/domain/a.example").await.status(), 200);
    let late = get(&rig, "/v1/lookup/domain/b.example?wait=100ms").await;
    let secs: u64 = field(&late, "retry-after").parse().unwrap();
    assert!((1..=3_700).contains(&secs), "{secs}");
    let (detail, job) = refused(late, 504, "timed_out").await;
    assert_eq!(detail, "no budget of w was free within 100ms");
    assert_eq!(ended(&rig, &job).await.state, JobState::Cancelled);
    // What is known costs none.
    assert_eq!(get(&rig, "/v1/lookup/domain/a.example?max_age=1h&wait=60s").await.status(), 200);
    rig.client.pause_service("w", Some("at night")).await.unwrap();
    let (detail, _) =
        refused(get(&rig, "/v1/lookup/domain/b.example?wait=100ms").await, 504, "timed_out").await;
    assert!(detail.contains("at night"), "{detail}");
    assert_eq!(remote.shutdown().await.total.tally.calls, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_goes_away_takes_its_lookup_along() {
    let (_remote, rig) = rig_with(QUOTA, 0).await;
    let mut stream = tokio::net::TcpStream::connect(rig.address).await.unwrap();
    let head = format!("GET /v1/lookup/domain/a.example?wait=10m HTTP/1.1\r\nhost: {}\r\n\r\n", rig.address);
    stream.write_all(head.as_bytes()).await.unwrap();
    let began = Instant::now();
    let id = loop {
        let jobs = rig.client.jobs(&egret_client::JobFilter::default()).await.unwrap().items;
        if let Some(job) = jobs.first() {
            break job.id.clone();
        }
        assert!(began.elapsed() < PATIENCE);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    drop(stream);
    assert_eq!(ended(&rig, &id).await.state, JobState::Cancelled);
}

/// Whether anything in this folder holds the text.
fn holds(dir: &Path, text: &str) -> bool {
    let files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    files.into_iter().any(|path| {
        let bytes = std::fs::read(path).unwrap_or_default();
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_is_not_to_be_kept_is_not_on_disk() {
    let (_remote, rig) = rig_with(&format!("{QUOTA}\ncache_for = \"0s\""), 1).await;
    let data = rig.dir.path().join("data");
    let kept = async |query: &str| {
        let batch = rig.submit(query, "a.example\nfree.example\n").await;
        let mut jobs = rig.results(&batch.id).await;
        jobs.sort_by(|a, b| a.target.cmp(&b.target));
        let answers = jobs.into_iter().map(|job| job.result.answer.unwrap());
        answers.map(|answer| (answer.record.is_some(), answer.raw.is_some())).collect::<Vec<_>>()
    };
    assert_eq!(kept("keep=record").await, [(true, false), (false, false)]);
    assert!(!holds(&data, MARK), "the text of a record");
    assert_eq!(kept("keep=raw").await, [(false, true), (false, true)]);
    assert!(holds(&data, MARK), "or else it is not looked for where it is");
    assert_eq!(kept("keep=both").await, [(true, true), (false, true)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_job_keeps_what_it_wants_of_one_answer_over_a_restart_too() {
    let (remote, mut rig) = rig().await;
    let post = async |rig: &Rig, keep: &str| {
        let url = format!("http://{}/v1/jobs?wait=60s", rig.address);
        let job = json!({"lookup": "domain", "target": "a.example", "keep": keep, "max_age": "1h"});
        let job: Value = http().post(url).json(&job).send().await.unwrap().json().await.unwrap();
        let answer = &job["answer"];
        let id = job["id"].as_str().unwrap().to_owned();
        (id, answer["record"].is_object(), answer["raw"].is_string())
    };
    let (first, record, raw) = post(&rig, "record").await;
    assert_eq!((record, raw), (true, false));
    assert_eq!(ended(&rig, &first).await.keep.as_str(), "record");
    rig.coordinator.kill();
    rig.restart();
    let (second, record, raw) = post(&rig, "both").await;
    assert_eq!((record, raw), (true, true), "the cache has all of it");
    assert!(!post(&rig, "raw").await.1);
    let (first, second) = (ended(&rig, &first).await, ended(&rig, &second).await);
    let (first, second) = (first.result.answer.unwrap(), second.result.answer.unwrap());
    assert_eq!((first.record, first.raw.is_none()), (second.record, true));
    let url = format!("http://{}/v1/jobs", rig.address);
    let http_job = json!({"lookup": "http", "service": "w", "target": "/", "keep": "record"});
    refused(http().post(url).json(&http_job).send().await.unwrap(), 400, "invalid_field").await;
    assert_eq!(remote.shutdown().await.total.tally.calls, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn results_are_rows_with_what_the_records_say() {
    let (_remote, rig) = rig().await;
    let file = rig.dir.path().join("targets");
    std::fs::write(&file, "a.example\nformula.example\nfree.example\n").unwrap();
    let (file, rows) = (file.to_str().unwrap(), rig.dir.path().join("rows.csv"));
    let args = [
        "submit",
        "--url",
        rig.client.url(),
        "--keep",
        "record",
        "--wait",
        "--csv",
        "-o",
        rows.to_str().unwrap(),
    ];
    let (code, _, said) = egret(&[&args[..], &[file]].concat(), &[]);
    assert_eq!(code, 0, "{said}");
    let rows = std::fs::read_to_string(rows).unwrap();
    let batch = rig.client.batches(None).await.unwrap().items.remove(0).id;
    let path = format!("/v1/batches/{batch}/results?format=csv");
    let answer = get(&rig, &path).await;
    assert_eq!(field(&answer, "content-type"), "text/csv; charset=utf-8; header=present");
    assert_eq!(answer.text().await.unwrap(), rows, "the program writes what the coordinator does");
    let mut lines: Vec<_> = rows.split_terminator("\r\n").collect();
    assert!(
        lines.remove(0).ends_with(",cursor,registrar,created,updated,expires,status,nameservers"),
        "{rows}"
    );
    let row = |target: &str| *lines.iter().find(|line| line.contains(&format!(",{target},w,done,"))).unwrap();
    assert!(
        row("a.example").ends_with(
            ",\"Example Registrar, Inc.\",2001-02-03T04:05:06Z,,2131-02-03T04:05:06Z,active,\"ns1.example.net ns2.example.net\""
        ),
        "{rows}"
    );
    assert!(row("formula.example").contains(",\"'=HYPERLINK(\"\"http://evil.example\"\")\","), "{rows}");
    assert!(row("free.example").contains(",not_found,") && row("free.example").ends_with(",,,,,,"), "{rows}");
    let first = lines[0].split(',').nth(16).unwrap();
    let rest = get(&rig, &format!("{path}&cursor={first}")).await;
    assert_eq!(field(&rest, "content-type"), "text/csv; charset=utf-8; header=absent");
    assert_eq!(rest.text().await.unwrap(), format!("{}\r\n", lines[1..].join("\r\n")));
}
