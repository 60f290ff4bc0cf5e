//! Requests that are passed on: the service sees what it should and no more, the caller what the service says, and no
//! address sends more than its quota.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use egret_testkit::{Answers, Ban, HttpRefusal, HttpRemote, Limit, Rules, echo_json};
use egret_tests::{PATIENCE, Rig, egret, http};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The variable is cargo's: every test has it, and what it starts as well.
const SECRET_KEY: &str = "headers = { X-Api-Key = \"hush ${CARGO_PKG_NAME}\" }";
const SECRET: &str = "hush egret-tests";

/// A service that notes each request, and answers by its path.
struct Service {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Service {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let service = Self { address: listener.local_addr().unwrap(), heard: Arc::default() };
        let heard = Arc::clone(&service.heard);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&heard)));
            }
        });
        service
    }

    /// What was heard since the last time, head and body as they came.
    fn heard(&self) -> Vec<String> {
        std::mem::take(&mut self.heard.lock().unwrap())
    }
}

async fn serve(mut stream: TcpStream, heard: Arc<Mutex<Vec<String>>>) {
    let (mut request, mut piece) = (Vec::new(), [0; 16 << 10]);
    while !is_whole(&request) {
        match stream.read(&mut piece).await {
            Ok(read) if read > 0 => request.extend_from_slice(&piece[..read]),
            _ => return,
        }
    }
    let request = String::from_utf8_lossy(&request).into_owned();
    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
    let is_head = request.starts_with("HEAD ");
    heard.lock().unwrap().push(request);
    let (head, body) = match &*path {
        "/v1/broken" => return,
        "/v1/gone" => ("404 Nowhere\r\nx-trace: 1\r\ncontent-type: text/x-mine", "no such thing"),
        "/v1/failed" => ("500 As always", "as always"),
        "/v1/page" => (
            "200 OK\r\ncontent-type: text/html\r\nset-cookie: a=1\r\nset-cookie: b=2\r\nx-egret-egress: 192.0.2.1\r\n\
             connection: x-hop\r\nx-hop: 1",
            "<script>alert(1)</script>",
        ),
        "/v1/long" => ("200 OK", "more than is permitted, by one."),
        _ => ("200 OK", "ok"),
    };
    let length = body.len();
    let body = if is_head { "" } else { body };
    let _ = stream
        .write_all(format!("HTTP/1.1 {head}\r\ncontent-length: {length}\r\n\r\n{body}").as_bytes())
        .await;
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    body.len() >= length.map_or(0, |length| length.parse().unwrap())
}

async fn rig(address: SocketAddr, rest: &str, agents: u8) -> Rig {
    let service = format!(
        "[[service]]\nid = \"api\"\nprotocol = \"http\"\naddress = \"http://{address}/v1\"\n\
         allow_private_addresses = true\n{rest}\n\
         [[service]]\nid = \"w\"\nprotocol = \"whois\"\naddress = \"127.0.0.1:1\"\n"
    );
    let mut rig = Rig::start(&service).await;
    (2..2 + agents).for_each(|n| rig.agent(n));
    rig
}

fn via(rig: &Rig, method: Method, path: &str) -> RequestBuilder {
    http().request(method, format!("http://{}/v1/via/{path}", rig.address))
}

async fn send(request: RequestBuilder) -> Response {
    request.send().await.unwrap()
}

fn field<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

/// A problem of egret's own, with this code.
async fn refused(response: Response, status: u16, code: &str) -> Value {
    assert_eq!(
        (response.status().as_u16(), field(&response, "content-type")),
        (status, "application/problem+json")
    );
    let problem: Value = response.json().await.unwrap();
    assert_eq!(problem["code"], code, "{problem}");
    problem
}

/// Waits until so many requests wait, and none is under way.
async fn await_queued(rig: &Rig, count: u64) {
    let began = Instant::now();
    loop {
        let url = format!("http://{}/v1/quota/api", rig.address);
        let quota: Value = http().get(url).send().await.unwrap().json().await.unwrap();
        let quota = &quota["services"][0];
        if (&quota["queued"], &quota["running"]) == (&json!(count), &json!(0)) {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{quota}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_address_is_used_up_to_its_quota_and_who_comes_late_is_told_when_to_come_again() {
    let limit = Limit::Sliding { units: 5, per: Duration::from_secs(10) };
    let remote = HttpRemote::new(Rules::new().limit(limit).ban(Ban::of(Duration::from_secs(60))));
    let remote = remote.start().await.unwrap();
    let rig = rig(remote.addr(), "quotas = [{ units = 5, per = \"10s\" }]", 3).await;
    let calls: Vec<_> = (0..15)
        .map(|n| tokio::spawn(send(via(&rig, Method::GET, &format!("api/domain/{n}?full=1")))))
        .collect();
    let mut egresses = BTreeSet::new();
    for (call, n) in calls.into_iter().zip(0..) {
        let response = call.await.unwrap();
        assert_eq!(
            (response.status().as_u16(), field(&response, "content-type")),
            (200, "application/rdap+json")
        );
        egresses.insert(field(&response, "x-egret-egress").to_owned());
        assert!(field(&response, "x-egret-waited-ms").parse::<u64>().unwrap() < 30_000);
        assert_eq!(response.bytes().await.unwrap(), echo_json(&format!("/v1/domain/{n}?full=1")));
    }
    assert!(egresses.iter().eq(["127.0.0.2", "127.0.0.3", "127.0.0.4"]), "{egresses:?}");

    let late = send(via(&rig, Method::GET, "api/late").header("x-egret-wait", "200ms")).await;
    let again: u64 = field(&late, "retry-after").parse().unwrap();
    assert!((1..=20).contains(&again), "{again}");
    let problem = refused(late, 504, "timed_out").await;
    assert!(
        problem["detail"].as_str().unwrap().contains("no budget of api was free within 200ms"),
        "{problem}"
    );
    await_queued(&rig, 0).await;
    for last in 2..5 {
        assert_eq!(remote.score().peer(IpAddr::from([127, 0, 0, last])).tally.calls, 5);
    }
    let score = remote.shutdown().await;
    assert!(score.is_within_limits() && score.total.tally.refused == 0, "{score}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_address_rests_while_others_are_asked_and_then_the_caller_hears_of_it() {
    let limit = Limit::Sliding { units: 1, per: Duration::from_secs(60) };
    let refusal = HttpRefusal::Status { code: 429, retry_after: Some(Duration::from_secs(50)) };
    let remote = HttpRemote::new(Rules::new().limit(limit)).refusal(refusal).start().await.unwrap();
    let rig = rig(remote.addr(), "quotas = [{ units = 9, per = \"1s\" }]\nconcurrency = 1", 2).await;
    let mut asked = BTreeSet::new();
    for n in 0..2 {
        let response = send(via(&rig, Method::GET, &format!("api/{n}"))).await;
        assert_eq!(response.status(), 200);
        asked.insert(field(&response, "x-egret-egress").to_owned());
    }
    assert_eq!(asked.len(), 2, "whoever was refused, the other one answered");
    let third = send(via(&rig, Method::GET, "api/3").header("x-egret-wait", "2s")).await;
    let again: u64 = field(&third, "retry-after").parse().unwrap();
    let problem = refused(third, 504, "timed_out").await;
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("refused") && detail.contains("status 429"), "{detail}");
    assert!((20..=60).contains(&again), "as long as the service said: {again}");
    assert!(remote.shutdown().await.total.tally.calls <= 4, "each address was refused once at most");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_service_limits_itself_to_holds_for_what_is_passed_on() {
    let remote =
        HttpRemote::new(Rules::new()).header("ratelimit", "\"day\";r=0;t=3600").start().await.unwrap();
    let rig = rig(remote.addr(), "quotas = [{ units = 9, per = \"1s\" }]", 1).await;
    let first = send(via(&rig, Method::GET, "api/1")).await;
    assert_eq!((first.status().as_u16(), field(&first, "ratelimit")), (200, "\"day\";r=0;t=3600"));
    let second = send(via(&rig, Method::GET, "api/2").header("x-egret-wait", "100ms")).await;
    assert!(field(&second, "retry-after").parse::<u64>().unwrap() > 3_000);
    refused(second, 504, "timed_out").await;
    assert_eq!(remote.shutdown().await.total.tally.calls, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_gets_the_request_and_its_own_secret_and_nobody_else_does() {
    let service = Service::start().await;
    let rest = format!(
        "quotas = [{{ units = 90, per = \"1s\" }}]\nmethods = [\"GET\", \"HEAD\", \"POST\"]\n{SECRET_KEY}"
    );
    let rig = rig(service.address, &rest, 1).await;
    let body = "grüße ".repeat(100_000);
    let post = via(&rig, Method::POST, "api/search?q=%20a").body(body.clone());
    let post =
        post.header("authorization", "Bearer egret's").header("x-api-key", "guess").header("x-mine", "1");
    let post = post.header("connection", "x-hop").header("x-hop", "1").header("accept-encoding", "br");
    let response = send(post.header("user-agent", "mine/1").header("cookie", "a=1")).await;
    assert_eq!((response.status().as_u16(), response.text().await.unwrap()), (200, "ok".to_owned()));

    let heard = service.heard().remove(0);
    let (head, came) = heard.split_once("\r\n\r\n").unwrap();
    assert!(came == body, "{} of {} bytes", came.len(), body.len());
    let (line, fields) = head.split_once("\r\n").unwrap();
    assert_eq!(line, "POST /v1/search?q=%20a HTTP/1.1");
    let fields: BTreeSet<&str> = fields.lines().collect();
    let (host, length) = (format!("host: {}", service.address), format!("content-length: {}", body.len()));
    let key = format!("x-api-key: {SECRET}");
    let expected: BTreeSet<&str> = [
        "accept: */*",
        "accept-encoding: identity",
        "cookie: a=1",
        "user-agent: mine/1",
        "via: 1.1 egret",
        "x-mine: 1",
        &host,
        &length,
        &key,
    ]
    .into();
    assert_eq!(fields, expected);

    // The same for a job, whose own words are kept.
    let job = json!({"lookup": "http", "service": "api", "request": {
        "method": "POST", "path": "/search", "query": {"q": "ü"}, "headers": {"X-Mine": "2"}, "body": "kept words"}});
    let posted =
        http().post(format!("http://{}/v1/jobs?wait=30s", rig.address)).json(&job).send().await.unwrap();
    let job: Value = posted.json().await.unwrap();
    assert_eq!((&job["state"], &job["target"]), (&json!("done"), &json!("/search?q=%C3%BC")), "{job}");
    let heard = service.heard().remove(0);
    assert!(
        heard.starts_with("POST /v1/search?q=%C3%BC HTTP/1.1\r\n") && heard.ends_with("kept words"),
        "{heard}"
    );
    assert!(heard.contains("x-mine: 2\r\n") && heard.contains(&key), "{heard}");
    let guess = json!({"lookup": "http", "service": "api", "target": "/", "request": {"headers": {"X-Api-Key": "guess"}}});
    let guess = http().post(format!("http://{}/v1/jobs", rig.address)).json(&guess).send().await.unwrap();
    refused(guess, 400, "invalid_field").await;

    for path in ["services", "jobs", "quota", "egresses"] {
        let shown = http()
            .get(format!("http://{}/v1/{path}", rig.address))
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap();
        assert!(!shown.contains("hush"), "{shown}");
    }
    let config = rig.dir.path().join("egret.toml");
    std::fs::write(&config, std::fs::read_to_string(&config).unwrap().replace("X-Api-Key", "a b")).unwrap();
    let (code, out, said) = egret(&["serve", "--check-config", "--config", config.to_str().unwrap()], &[]);
    assert!(code == 2 && !format!("{out}{said}").contains("hush"), "{out}{said}");
    std::fs::remove_file(config).unwrap();
    assert!(holds(rig.dir.path(), "kept words"), "what is searched is where jobs are kept");
    assert!(
        !holds(rig.dir.path(), "hush") && !holds(rig.dir.path(), "grüße"),
        "no row, journal or log has it"
    );
}

/// Whether any file below has these words.
fn holds(dir: &Path, words: &str) -> bool {
    std::fs::read_dir(dir).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return holds(&path, words);
        }
        std::fs::read(path).unwrap_or_default().windows(words.len()).any(|window| window == words.as_bytes())
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_comes_back_as_it_is_whatever_it_says() {
    let service = Service::start().await;
    let rest = "quotas = [{ units = 90, per = \"1s\" }]\nmax_answer = \"29B\"";
    let rig = rig(service.address, rest, 1).await;
    let gone = send(via(&rig, Method::GET, "api/gone")).await;
    assert_eq!(
        (gone.status().as_u16(), field(&gone, "content-type"), field(&gone, "x-trace")),
        (404, "text/x-mine", "1")
    );
    assert_eq!(gone.text().await.unwrap(), "no such thing");
    let failed = send(via(&rig, Method::GET, "api/failed")).await;
    assert_eq!((failed.status().as_u16(), failed.text().await.unwrap()), (500, "as always".to_owned()));

    let page = send(via(&rig, Method::GET, "api/page")).await;
    let cookies: Vec<_> =
        page.headers().get_all("set-cookie").iter().map(|value| value.to_str().unwrap()).collect();
    assert_eq!((cookies, field(&page, "x-egret-egress")), (vec!["a=1", "b=2"], "127.0.0.2"));
    assert_eq!((field(&page, "x-hop"), field(&page, "content-security-policy")), ("", "sandbox"));
    assert_eq!(page.text().await.unwrap(), "<script>alert(1)</script>");
    let head = send(via(&rig, Method::HEAD, "api/page")).await;
    assert_eq!((head.status().as_u16(), field(&head, "content-length")), (200, "25"));
    let long = refused(send(via(&rig, Method::GET, "api/long")).await, 502, "bad_answer").await;
    assert!(long["detail"].as_str().unwrap().contains("longer than 29 bytes"), "{long}");
    let now = send(via(&rig, Method::GET, "api/now").header("x-egret-wait", "0s")).await;
    assert_eq!(now.status(), 200, "whoever does not wait gets what is free");
    assert_eq!(service.heard().len(), 6, "each was asked once");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_something_is_not_asked_twice() {
    let service = Service::start().await;
    let rest = "quotas = [{ units = 90, per = \"1s\" }]\nmethods = [\"GET\", \"POST\"]";
    let rig = rig(service.address, rest, 1).await;
    let post = send(via(&rig, Method::POST, "api/broken").body("x")).await;
    let problem = refused(post, 502, "unreachable").await;
    assert!(problem["detail"].as_str().unwrap().contains("not asked twice"), "{problem}");
    assert_eq!(service.heard().len(), 1);
    let get = send(via(&rig, Method::GET, "api/broken").header("x-egret-wait", "60s")).await;
    refused(get, 502, "unreachable").await;
    assert_eq!(service.heard().len(), 4, "as often as a job");
}

/// What egret says to a request of these very bytes.
async fn raw(rig: &Rig, head: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(rig.address).await.unwrap();
    let request = format!("{head}\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    (answer.split(' ').nth(1).unwrap().parse().unwrap(), answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_path_leads_out_of_the_service_and_what_is_not_taken_spends_nothing() {
    let service = Service::start().await;
    let rig = rig(service.address, "quotas = [{ units = 90, per = \"1s\" }]", 1).await;
    for (path, status, code) in [
        ("api/../admin", 422, "invalid_target"),
        ("api/a/..", 422, "invalid_target"),
        ("api/%2e%2e/admin", 422, "invalid_target"),
        ("api/.%2E%2Fadmin", 422, "invalid_target"),
        ("api/..%5cadmin", 422, "invalid_target"),
        ("nobody/a", 422, "unknown_service"),
        ("w/a", 422, "unsupported_lookup"),
        ("/api/a", 422, "unknown_service"),
    ] {
        let (got, answer) = raw(&rig, &format!("GET /v1/via/{path} HTTP/1.1")).await;
        assert!(got == status && answer.contains(code), "{path}: {answer}");
    }
    let (status, answer) = raw(&rig, "GET /v1/via/api/a HTTP/1.1\r\nx-egret-wait: soon").await;
    assert!(status == 400 && answer.contains("/X-Egret-Wait"), "{answer}");
    let (status, answer) = raw(&rig, "DELETE /v1/via/api/a HTTP/1.1").await;
    assert!(
        status == 405 && answer.contains("allow: GET, HEAD\r\n") && answer.contains("method_not_allowed"),
        "{answer}"
    );
    let long = via(&rig, Method::GET, "api/a").body(vec![b'x'; (1 << 20) + 1]);
    refused(send(long).await, 413, "too_large").await;
    assert_eq!(service.heard(), Vec::<String>::new());

    for (path, asked) in [
        ("api//evil.example/x", "/v1//evil.example/x"),
        ("api/http://evil.example/", "/v1/http://evil.example/"),
        ("api/@evil.example", "/v1/@evil.example"),
        ("api", "/v1/"),
        ("api/", "/v1/"),
    ] {
        let (status, answer) = raw(&rig, &format!("GET /v1/via/{path} HTTP/1.1")).await;
        assert_eq!(status, 200, "{answer}");
        let heard = service.heard();
        assert!(
            heard.len() == 1 && heard[0].starts_with(&format!("GET {asked} HTTP/1.1\r\n")),
            "{path}: {heard:?}"
        );
    }
    rig.client.pause_service("api", None).await.unwrap();
    let paused = send(via(&rig, Method::GET, "api/a").header("x-egret-wait", "50ms")).await;
    let problem = refused(paused, 504, "timed_out").await;
    assert!(problem["detail"].as_str().unwrap().contains("api is paused"), "{problem}");
    rig.client.resume_service("api").await.unwrap();
    let smuggled = "GET /v1/via/api/a HTTP/1.1\r\nx-egret-egress: 192.0.2.1\r\nproxy-authorization: x";
    assert_eq!(raw(&rig, smuggled).await.0, 200);
    let heard = service.heard().remove(0);
    assert!(!heard.contains("egret-egress") && !heard.contains("proxy-"), "{heard}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_goes_away_takes_its_request_along() {
    let service = Service::start().await;
    let rig = rig(service.address, "quotas = [{ units = 1, per = \"1h\" }]", 1).await;
    assert_eq!(send(via(&rig, Method::GET, "api/1")).await.status(), 200);
    let waits = tokio::spawn(via(&rig, Method::GET, "api/2").header("x-egret-wait", "10m").send());
    await_queued(&rig, 1).await;
    waits.abort();
    await_queued(&rig, 0).await;
    assert_eq!(service.heard().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_passes_on_only_what_it_may_submit_and_stays_here() {
    let service = Service::start().await;
    let create = |args: &[&str]| {
        let (code, key, table) = egret(&[&["key", "create", "--name"], args].concat(), &[]);
        assert_eq!(code, 0, "{table}");
        (key.trim().to_owned(), table)
    };
    let keys =
        [&["ops", "--role", "admin"][..], &["a"], &["a", "--role", "read"], &["b", "--service", "other*"]];
    let [ops, submits, reads, asks_others] = keys.map(create);
    let config = format!(
        "{}{}{}{}[[service]]\nid = \"api\"\nprotocol = \"http\"\naddress = \"http://{}/v1\"\n\
         allow_private_addresses = true\n",
        ops.1, submits.1, reads.1, asks_others.1, service.address
    );
    let mut rig = Rig::start_with_key(&config, Some(&ops.0)).await;
    rig.agent(2);
    refused(send(via(&rig, Method::GET, "api/a")).await, 401, "key_required").await;
    for key in [&reads.0, &asks_others.0] {
        refused(send(via(&rig, Method::GET, "api/a").bearer_auth(key)).await, 403, "forbidden").await;
    }
    assert_eq!(send(via(&rig, Method::GET, "api/a").bearer_auth(&submits.0)).await.status(), 200);
    let heard = service.heard();
    assert!(heard.len() == 1 && !heard[0].to_ascii_lowercase().contains("authorization"), "{heard:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_pass_as_there_is_room_for_their_answers_and_a_long_one_of_any_bytes_comes_back_whole() {
    let bytes: Vec<u8> = (0..=255).cycle().take(4 << 20).collect();
    let answer = bytes.clone();
    let remote = HttpRemote::new(Rules::new()).answers(Answers::With(Arc::new(move |_| answer.clone())));
    let remote = remote.start().await.unwrap();
    let rest = "quotas = [{ units = 90, per = \"1s\" }]\nmax_answer = \"4MiB\"";
    let mut rig = rig(remote.addr(), rest, 0).await;
    // 62 times the longest answer and two heads fit into 256 MiB.
    let wait = || via(&rig, Method::GET, "api/long").header("x-egret-wait", "10m");
    let waiting: Vec<_> = (0..62).map(|_| tokio::spawn(wait().send())).collect();
    await_queued(&rig, 62).await;
    let full = send(wait()).await;
    assert_eq!(field(&full, "retry-after"), "1");
    refused(full, 503, "queue_full").await;
    waiting.iter().for_each(tokio::task::JoinHandle::abort);
    await_queued(&rig, 0).await;
    rig.agent(2);
    for _ in 0..2 {
        let response = send(via(&rig, Method::GET, "api/long")).await;
        assert_eq!(response.status(), 200);
        assert!(response.bytes().await.unwrap() == bytes);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_asked_as_it_was_submitted_after_a_restart_and_what_changes_something_each_time() {
    let service = Service::start().await;
    let rest = "quotas = [{ units = 90, per = \"1s\" }]\nmethods = [\"GET\", \"POST\"]\ncache_for = \"1h\"";
    let mut rig = rig(service.address, rest, 0).await;
    let request =
        json!({"method": "POST", "path": "/a", "headers": {"X-Mine": "1"}, "body": {"base64": "aGk="}});
    let job = json!({"lookup": "http", "service": "api", "request": request});
    let read =
        json!({"lookup": "http", "service": "api", "request": {"path": "/b", "headers": {"X-Mine": "1"}}});
    let jobs = http().post(format!("http://{}/v1/jobs", rig.address)).json(&json!([job, job, read, read]));
    let batch: Value = jobs.send().await.unwrap().json().await.unwrap();
    assert_eq!(batch["jobs_total"], 4, "{batch}");
    rig.coordinator.kill();
    rig.restart();
    rig.agent(2);
    let ended = rig.results(batch["id"].as_str().unwrap()).await;
    assert!(
        ended.iter().all(|job| job.result.answer.as_ref().is_some_and(|answer| answer.status == Some(200)))
    );
    let heard = service.heard();
    let posts =
        heard.iter().filter(|heard| heard.starts_with("POST /v1/a ") && heard.ends_with("\r\n\r\nhi"));
    assert_eq!((posts.count(), heard.len()), (2, 3), "equal questions are one call: {heard:?}");
    assert!(heard.iter().all(|heard| heard.contains("x-mine: 1\r\n")), "{heard:?}");
}
