//! A zone that only IANA's newest file knows: asked over RDAP, by the same rules as any other, and after a restart too.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use egret_client::ClientError;
use egret_testkit::{Answers, HttpRefusal, HttpRemote, Remote, Rules};
use egret_tests::{PATIENCE, Rig};
use egret_wire::api::{AnswerOutcome, AttemptOutcome, BudgetView, JobRequest, JobState, JobView, Lookup};
use egret_wire::problem::Code;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

const HOUR: Duration = Duration::from_secs(3_600);
const WAIT: Option<Duration> = Some(Duration::from_secs(60));

/// Where IANA's files are, for this test: `dns.json` with `.test`, as soon as it may be given.
struct Bootstrap {
    url: String,
    /// Each time somebody wants `dns.json`.
    asked: mpsc::UnboundedReceiver<()>,
    open: watch::Sender<bool>,
    server: JoinHandle<()>,
}

impl Bootstrap {
    async fn start(rdap: &Remote) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/rdap/", listener.local_addr().unwrap());
        let base = format!("http://localhost:{}/rdap/", rdap.addr().port());
        let dns = json!({ "version": "1.0", "publication": "2126-01-01T00:00:00Z", "services": [[["test"], [base]]] });
        let ((tell, asked), (open, opened)) = (mpsc::unbounded_channel(), watch::channel(false));
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, dns.to_string(), tell.clone(), opened.clone()));
            }
        });
        Self { url, asked, open, server }
    }
}

async fn serve(
    mut stream: TcpStream,
    dns: String,
    tell: mpsc::UnboundedSender<()>,
    mut opened: watch::Receiver<bool>,
) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return };
        request.push(byte);
    }
    let (status, body) = if request.starts_with(b"GET /rdap/dns.json ") {
        let _ = tell.send(());
        let _ = opened.wait_for(|is_open| *is_open).await;
        ("200 OK", dns)
    } else {
        ("404 Not Found", String::new())
    };
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
    let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
}

/// A registry that knows these names of `.test`, and tells who is shut out to come back in an hour.
async fn registry(names: &[&str]) -> Remote {
    let answer = |name: &&str| {
        let record = json!({
            "objectClassName": "domain",
            "ldhName": name,
            "status": ["client transfer prohibited"],
            "events": [{ "eventAction": "registration", "eventDate": "2001-02-03T04:05:06Z" }],
            "entities": [{
                "objectClassName": "entity",
                "roles": ["registrar"],
                "vcardArray": ["vcard", [["version", {}, "text", "4.0"], ["fn", {}, "text", "Example Registrar"]]],
            }],
        });
        (format!("/rdap/domain/{name}"), record.to_string().into_bytes())
    };
    let answers = Answers::Table(names.iter().map(answer).collect::<HashMap<_, _>>());
    let refusal = HttpRefusal::Status { code: 429, retry_after: Some(HOUR) };
    HttpRemote::new(Rules::new()).answers(answers).ban_refusal(refusal).start().await.unwrap()
}

fn lookup(target: &str) -> JobRequest {
    JobRequest {
        lookup: Lookup::Domain,
        target: Some(target.to_owned()),
        request: None,
        service: None,
        priority: egret_wire::api::Priority::Normal,
        deadline: None,
        exact: false,
        follow: None,
        keep: Default::default(),
        max_age: None,
        reference: None,
        labels: std::collections::BTreeMap::new(),
        egress: None,
    }
}

async fn ask(rig: &Rig, target: &str) -> JobView {
    let job = rig.client.submit(&lookup(target), WAIT).await.unwrap();
    assert_eq!(job.state, JobState::Done, "{job:?}");
    job
}

/// Whether a lookup of `.test` finds somebody to ask; it is not waited for.
async fn is_known(rig: &Rig) -> bool {
    match rig.client.submit(&lookup("known.test"), None).await {
        Ok(_) => true,
        Err(ClientError::Problem(problem)) => {
            assert_eq!(problem.code, Code::UnsupportedLookup, "{problem:?}");
            false
        }
        Err(error) => panic!("{error}"),
    }
}

async fn rig(bootstrap: &Bootstrap) -> Rig {
    Rig::start(&format!("bootstrap = \"{}\"\n", bootstrap.url)).await
}

async fn await_known(rig: &Rig) {
    let began = Instant::now();
    while !is_known(rig).await {
        assert!(began.elapsed() < PATIENCE, "the zone never comes:\n{}", rig.coordinator.said());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn budget_of(rig: &Rig, key: &str) -> BudgetView {
    let view = rig.client.quota_of("localhost", true).await.unwrap();
    let budget = view.services[0].budgets.iter().find(|budget| budget.key == key);
    budget.unwrap_or_else(|| panic!("no {key}: {view:?}")).clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zone_is_asked_over_rdap_once_iana_names_its_server() {
    let registry = registry(&["example.test", "known.test"]).await;
    let mut bootstrap = Bootstrap::start(&registry).await;
    let mut rig = rig(&bootstrap).await;
    // Neither the start nor a lookup waits for the file.
    bootstrap.asked.recv().await.unwrap();
    assert!(!is_known(&rig).await);
    rig.agent(2);
    bootstrap.open.send_replace(true);
    await_known(&rig).await;
    let answer = ask(&rig, "www.example.test").await.result.answer.unwrap();
    assert_eq!((answer.outcome, &*answer.protocol, answer.status), (AnswerOutcome::Found, "rdap", Some(200)));
    let record = answer.record.unwrap();
    assert_eq!(record["registrar"]["name"], "Example Registrar");
    assert_eq!(record["status"], json!(["clientTransferProhibited"]));
    assert!(record.to_string().contains("2001-02-03T04:05:06Z"), "{record}");
    let answer = ask(&rig, "free.test").await.result.answer.unwrap();
    assert_eq!((answer.outcome, answer.status), (AnswerOutcome::NotFound, Some(404)));

    let services = rig.client.services().await.unwrap().items;
    let service = services.iter().find(|service| service.id == "localhost").unwrap();
    assert_eq!((&*service.origin, &*service.protocol), ("catalogue", "rdap"));
    assert_eq!(service.address, format!("http://localhost:{}/", registry.addr().port()));
    let quota = budget_of(&rig, "127.0.0.2").await.quota;
    assert_eq!((quota.units, quota.per.0), (1, Duration::from_secs(2)), "the careful default");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_refused_gives_way_and_a_restart_without_the_file_forgets_nothing() {
    let registry = registry(&["example.test", "known.test", "later.test"]).await;
    let bootstrap = Bootstrap::start(&registry).await;
    bootstrap.open.send_replace(true);
    let mut rig = rig(&bootstrap).await;
    await_known(&rig).await;
    registry.ban("127.0.0.2".parse().unwrap(), 2 * HOUR);
    rig.agent(2);
    let job = rig.client.submit(&lookup("example.test"), None).await.unwrap().id;
    let began = Instant::now();
    while budget_of(&rig, "127.0.0.2").await.cooling_until.is_none() {
        assert!(began.elapsed() < PATIENCE, "{}", rig.coordinator.said());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let cooling = budget_of(&rig, "127.0.0.2").await.cooling_until.unwrap();
    rig.agent(3);
    let ended = async {
        loop {
            let job = rig.client.job(&job).await.unwrap();
            if job.state == JobState::Done {
                break job;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let ended = tokio::time::timeout(PATIENCE, ended).await.unwrap();
    let last = ended.result.attempts.last().unwrap();
    assert_eq!((last.egress.as_str(), last.outcome), ("127.0.0.3", AttemptOutcome::Answered), "{ended:?}");

    bootstrap.server.abort();
    rig.coordinator.kill();
    rig.restart();
    rig.await_agents(2).await;
    assert!(is_known(&rig).await, "{}", rig.coordinator.said());
    let after = budget_of(&rig, "127.0.0.2").await.cooling_until.unwrap();
    assert!(after.0.abs_diff(cooling.0) < 60_000, "{after} is not {cooling}");
    let later = ask(&rig, "later.test").await;
    let egresses: Vec<_> = later.result.attempts.iter().map(|attempt| attempt.egress.as_str()).collect();
    assert_eq!(egresses, ["127.0.0.3"]);
    let refused = registry.score().peer("127.0.0.2".parse().unwrap()).tally;
    assert!(refused.banned <= 2, "it was told to come back in an hour: {refused:?}");
}
