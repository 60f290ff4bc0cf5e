//! Bad input gets a clear error that names the thing and the mend, and takes nothing good down with it.

use std::time::Duration;

use egret_testkit::{Rules, WhoisRemote};
use egret_tests::{Process, Rig, egret, program, service};
use egret_wire::api::BatchView;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

struct Api {
    rig: Rig,
    http: reqwest::Client,
}

impl Api {
    async fn start() -> Self {
        let remote = WhoisRemote::new(Rules::new()).start().await.unwrap();
        let services = service("w", remote.addr(), "zones = [\"example\"]");
        Self { rig: Rig::start(&services).await, http: egret_tests::http() }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.rig.address)
    }

    /// Posts a body to `/v1/jobs` and checks the problem that comes back.
    async fn check(
        &self,
        media: &str,
        body: impl Into<String>,
        status: u16,
        code: &str,
        pointer: Option<&str>,
    ) {
        let body = body.into();
        let shown: String = body.chars().take(60).collect();
        let request = self.http.post(self.url("/v1/jobs")).header("content-type", media).body(body);
        check(request, status, code, pointer, &shown).await;
    }
}

async fn check(request: reqwest::RequestBuilder, status: u16, code: &str, pointer: Option<&str>, what: &str) {
    let response = request.send().await.unwrap();
    let got = response.status().as_u16();
    let media = response.headers()["content-type"].to_str().unwrap().to_owned();
    let problem: Value = response.json().await.unwrap();
    assert_eq!(
        (got, problem["code"].as_str(), media.as_str()),
        (status, Some(code), "application/problem+json"),
        "{what}: {problem}"
    );
    assert_eq!(problem["status"], got);
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.len() > 8), "{problem}");
    assert_eq!(problem["errors"][0]["pointer"].as_str(), pointer, "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_bad_request_has_its_own_code() {
    let api = Api::start().await;
    let json = "application/json";
    for (body, status, code, pointer) in [
        ("{", 400, "invalid_json", None),
        ("{} x", 400, "invalid_field", Some("")),
        ("", 400, "invalid_json", None),
        (r#"{"lookup":"domain"}"#, 400, "invalid_field", Some("")),
        (r#"{"lookup":"domain","target":7}"#, 400, "invalid_field", Some("/target")),
        (r#"{"lookup":"dance","target":"a.example"}"#, 400, "invalid_field", Some("/lookup")),
        (r#"{"lookup":"domain","target":"a.example","tarqet":1}"#, 400, "unknown_field", Some("/tarqet")),
        (
            r#"{"lookup":"domain","target":"a.example","deadline":"soon"}"#,
            400,
            "invalid_field",
            Some("/deadline"),
        ),
        (
            r#"{"lookup":"domain","target":"a.example","deadline":"0s"}"#,
            400,
            "invalid_field",
            Some("/deadline"),
        ),
        (r#"{"lookup":"domain","target":""}"#, 422, "invalid_target", None),
        (r#"{"lookup":"domain","target":"a.example\r\nb"}"#, 422, "invalid_target", None),
        (r#"{"lookup":"domain","target":"a.example\r\n"}"#, 422, "invalid_target", None),
        (r#"{"lookup":"whois","target":"-h evil"}"#, 422, "invalid_target", None),
        (r#"{"lookup":"domain","target":"a.example","service":"v"}"#, 422, "unknown_service", None),
        (r#"{"lookup":"domain","target":"a.elsewhere"}"#, 422, "unsupported_lookup", None),
        (r#"{"lookup":"rdap","target":"a.example"}"#, 422, "unsupported_lookup", None),
    ] {
        api.check(json, body, status, code, pointer).await;
    }
    let long = format!(r#"{{"lookup":"domain","target":"{}.example"}}"#, "a".repeat(2_000));
    api.check(json, long, 422, "invalid_target", None).await;
    api.check("image/png", "x", 415, "unsupported_media_type", None).await;
    api.check("text/plain", "a".repeat((1 << 20) + 10), 413, "too_large", None).await;
    api.check("application/x-ndjson", "a".repeat((1 << 20) + 10), 413, "too_large", None).await;
    for (query, line) in [
        ("?lookup=whois&service=w", "a.example"),
        ("", r#"{"lookup":"whois","service":"w","target":"a.example"}"#),
    ] {
        let media = if query.is_empty() { "application/x-ndjson" } else { "text/plain" };
        let body = format!("{line}\n{}\n{line}\n", "a".repeat(3 << 20));
        let sent =
            api.http.post(api.url(&format!("/v1/jobs{query}"))).header("content-type", media).body(body);
        let batch: BatchView = sent.send().await.unwrap().json().await.unwrap();
        let refused: Vec<_> = batch.rejected.iter().map(|line| (line.line, &*line.code)).collect();
        assert_eq!((batch.jobs_total, refused), (2, vec![(2, "too_large")]), "it takes no other with it");
    }
    let deep = "[".repeat(100_000);
    api.check(json, deep, 400, "invalid_json", None).await;
    let good = api.http.post(api.url("/v1/jobs")).header("content-type", json);
    let taken = good.body(r#"{"lookup":"domain","target":"a.example"}"#).send().await.unwrap();
    assert_eq!(taken.status(), 202, "and after all that it still works");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_not_found_and_other_callers_are_not_served() {
    let api = Api::start().await;
    let get = |path: &str| api.http.get(api.url(path));
    for path in [
        "/v1/jobs/job_0000000000001",
        "/v1/jobs/nonsense",
        "/v1/batches/bat_0000000000001",
        "/v1/batches/x/results",
        "/v1/quota/nobody",
        "/v1/nothing",
        "/nothing",
    ] {
        check(get(path), 404, "not_found", None, path).await;
    }
    check(api.http.delete(api.url("/v1/quota")), 405, "method_not_allowed", None, "DELETE").await;
    check(get("/v1/jobs?stat=done"), 400, "unknown_field", Some("/stat"), "query").await;
    check(get("/v1/jobs?state=odd"), 400, "invalid_field", Some("/state"), "query").await;
    check(get("/v1/quota").header("host", "evil.example"), 403, "key_required", None, "host").await;
    check(get("/v1/quota").header("origin", "http://127.0.0.1"), 403, "key_required", None, "origin").await;
    let token = api.http.post(api.url("/v1/join-tokens")).body(r#"{"uses":0}"#);
    check(token, 400, "invalid_field", Some("/uses"), "token").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_never_finishes_its_header_is_cut() {
    let api = &Api::start().await;
    let cut = ["", "GET /healthz HT", "GET /healthz HTTP/1.1\r\nhost: x\r\n"].map(|start| async move {
        let mut stream = tokio::net::TcpStream::connect(api.rig.address).await.unwrap();
        stream.write_all(start.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        let closed = tokio::time::timeout(egret_tests::PATIENCE, stream.read_to_end(&mut rest)).await;
        assert!(closed.is_ok(), "{start:?} keeps its connection");
    });
    futures_util::future::join_all(cut).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_without_a_good_token_are_told_why_and_exit_4() {
    let api = Api::start().await;
    let url = format!("http://{}", api.rig.address);
    let spent = egret_wire::api::TokenRequest { uses: 1, expires_in: span(60_000), ..Default::default() };
    let spent = api.rig.client.create_token(&spent).await.unwrap().token;
    let short = egret_wire::api::TokenRequest { uses: 1, expires_in: span(1), ..Default::default() };
    let short = api.rig.client.create_token(&short).await.unwrap().token;
    let join = |token: &str, state: &str| {
        let state = api.rig.dir.path().join(state);
        let log = state.with_extension("log");
        let args = ["--coordinator", &url, "--egress", "127.0.0.9", "--state-dir", state.to_str().unwrap()];
        Process::start(&program("egret-agent"), &args, &[("EGRET_TOKEN", token)], &log)
    };
    let mut first = join(&spent, "first");
    first.await_output("session", |said| said.contains("session with").then_some(()));
    let wrong = format!("{}x", spent);
    for (token, why) in
        [("nonsense", "no join token"), (wrong.as_str(), "unknown"), (&spent, "used up"), (&short, "expired")]
    {
        let mut agent = join(token, &format!("refused-{}", why.replace(' ', "-")));
        assert_eq!(
            (agent.wait().code(), agent.said().contains(why)),
            (Some(4), true),
            "{why}: {}",
            agent.said()
        );
        assert!(agent.said().contains("egret token create"), "the mend: {}", agent.said());
    }
    first.kill();
    std::fs::remove_file(api.rig.dir.path().join("first/agent.key")).unwrap();
    let mut forged = join(&spent, "first");
    assert_eq!(forged.wait().code(), Some(4), "another key is another agent: {}", forged.said());
}

fn span(ms: u64) -> egret_wire::value::Span {
    egret_wire::value::Span(Duration::from_millis(ms))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coordinator_that_is_not_there_is_named_with_the_mend_and_exit_3() {
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let url = format!("http://{free}");
    let (code, _, said) = egret(&["lookup", "a.example", "--url", &url], &[]);
    assert_eq!((code, said.contains(&url), said.contains("egret serve")), (3, true, true), "{said}");
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("agent");
    let args = ["--coordinator", &url, "--egress", "127.0.0.9", "--state-dir", state.to_str().unwrap()];
    let mut agent = Process::start(
        &program("egret-agent"),
        &args,
        &[("EGRET_TOKEN", "egj1.plain.a.b")],
        &dir.path().join("log"),
    );
    assert_eq!(agent.wait().code(), Some(3), "{}", agent.said());
    assert!(agent.said().contains("egret serve"), "{}", agent.said());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coordinator_that_cannot_start_says_what_where_and_the_mend_and_exits_2() {
    let api = Api::start().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let config = |name: &str, text: String| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let free = dir.path().join("free");
    let taken = api.rig.dir.path().join("data");
    for (name, text, wants) in [
        (
            "port",
            format!("listen = \"{}\"\ndata_dir = {free:?}\n", api.rig.address),
            vec!["cannot listen", "listen"],
        ),
        (
            "data",
            format!("listen = \"127.0.0.1:0\"\ndata_dir = {:?}\n", file.join("sub")),
            vec!["file/sub", "data_dir"],
        ),
        ("twice", format!("listen = \"127.0.0.1:0\"\ndata_dir = {taken:?}\n"), vec!["data"]),
        (
            "pem",
            "tls = { cert = \"/nowhere/c.pem\", key = \"k.pem\" }\n".to_owned(),
            vec!["/nowhere/c.pem", "PEM"],
        ),
        ("syntax", "listen = \n".to_owned(), vec!["syntax:1:"]),
        ("unknown", "lisen = \"127.0.0.1:0\"\n".to_owned(), vec!["unknown:1:1", "lisen", "listen"]),
    ] {
        let path = config(name, text);
        let (code, _, said) = egret(&["serve", "--config", &path], &[]);
        assert_eq!(code, 2, "{name}: {said}");
        assert_eq!(said.trim().lines().count(), 1, "one line: {said}");
        assert!(wants.iter().all(|want| said.contains(want)), "{name} wants {wants:?}: {said}");
    }
    let (code, _, said) = egret(&["serve", "--config", "/nowhere/egret.toml"], &[]);
    assert!(code == 2 && said.contains("/nowhere/egret.toml"), "{said}");
    assert_eq!(egret(&["serve"], &[]).0, 2, "usage");
}
