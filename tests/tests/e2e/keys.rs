//! API keys: who comes in, what for, and who sees what.

use egret_client::{Client, ClientError};
use egret_testkit::{Rules, WhoisRemote};
use egret_tests::{Rig, egret, http, service};
use egret_wire::api::{JobState, TokenRequest};
use egret_wire::problem::Code;
use serde_json::{Value, json};

/// Makes a key with the program itself: its text, and the table for the config file.
fn create(args: &[&str]) -> (String, String) {
    let (code, key, table) = egret(&[&["key", "create", "--name"], args].concat(), &[]);
    assert_eq!(code, 0, "{table}");
    (key.trim().to_owned(), table)
}

/// A coordinator with a service and four keys, and two agents.
struct Doors {
    rig: Rig,
    admin: String,
    /// May submit for the service `w` only.
    alice: String,
    bob: String,
    /// Looks at what is alice's.
    looker: String,
}

impl Doors {
    async fn start() -> Self {
        let remote = WhoisRemote::new(Rules::new()).start().await.unwrap();
        let (admin, mut tables) = create(&["ops", "--role", "admin"]);
        let mut add = |args: &[&str]| {
            let (key, table) = create(args);
            tables += &table;
            key
        };
        let alice = add(&["alice", "--service", "w*", "--weight", "3"]);
        let bob = add(&["bob"]);
        let looker = add(&["alice", "--role", "read", "--weight", "3"]);
        let services = ["w", "v"].map(|id| service(id, remote.addr(), ""));
        let rig = Rig::start_with_key(&format!("{tables}\n{}", services.concat()), Some(&admin)).await;
        Self { rig, admin, alice, bob, looker }
    }

    fn client(&self, key: &str) -> Client {
        Client::new(self.rig.client.url(), Some(key)).unwrap()
    }

    fn post(&self, key: &str, body: &Value) -> reqwest::RequestBuilder {
        let url = format!("http://{}/v1/jobs", self.rig.address);
        http().post(url).bearer_auth(key).header("content-type", "application/json").body(body.to_string())
    }

    fn egret(&self, key: &str, args: &[&str]) -> (i32, String, String) {
        egret(&[args, &["--url", self.rig.client.url()]].concat(), &[("EGRET_API_KEY", key)])
    }
}

fn job(service: &str) -> Value {
    json!({"lookup": "whois", "service": service, "target": "a.example"})
}

/// Sends a request that is to end as this problem, and returns its text.
async fn refused(request: reqwest::RequestBuilder, status: u16, code: &str) -> String {
    let response = request.send().await.unwrap();
    let challenge =
        response.headers().get("www-authenticate").map(|value| value.to_str().unwrap().to_owned());
    let problem: Value = response.json().await.unwrap();
    assert_eq!((problem["status"].as_u64(), problem["code"].as_str()), (Some(status.into()), Some(code)));
    assert_eq!(challenge.as_deref(), (status == 401).then_some("Bearer"), "{problem}");
    problem["detail"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_comes_in_without_a_good_key_and_each_learns_why() {
    let doors = Doors::start().await;
    let url = format!("http://{}/v1/quota", doors.rig.address);
    refused(http().get(&url), 401, "key_required").await;
    refused(http().get(&url).basic_auth("alice", Some(&doors.alice)), 401, "key_required").await;
    refused(http().get(&url).bearer_auth(format!("{}0", doors.alice)), 401, "invalid_key").await;
    let from_a_page = http().get(&url).bearer_auth(&doors.alice).header("origin", "http://a.example");
    assert_eq!(from_a_page.send().await.unwrap().status(), 200, "with a key it matters no more whence");
    let health = http().get(format!("http://{}/readyz", doors.rig.address)).send().await.unwrap();
    assert_eq!(health.status(), 200, "health is for everybody");

    for (key, said) in [("", "EGRET_API_KEY"), ("egk1_0_0", "ask its operator for another")] {
        let (code, _, stderr) = doors.egret(key, &["quota"]);
        assert_eq!((code, stderr.contains(said)), (4, true), "{stderr}");
    }
    assert_eq!(doors.egret(&doors.looker, &["quota"]).0, 0);
    let mut tries = 0;
    let told_to_wait = loop {
        let answer = http().get(&url).bearer_auth("egk1_guess").send().await.unwrap();
        if answer.status() == 429 {
            break answer;
        }
        tries += 1;
        assert!(answer.status() == 401 && tries < 1_000, "{answer:?}");
    };
    assert!(told_to_wait.headers().contains_key("retry-after") && tries >= 8, "after {tries}");
    assert_eq!(http().get(&url).bearer_auth(&doors.alice).send().await.unwrap().status(), 200, "a good one");

    let log = doors.rig.coordinator.said();
    for key in [&doors.admin, &doors.alice, &doors.bob, &doors.looker] {
        assert!(!log.contains(key.as_str()), "a key is logged: {log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_does_what_its_role_and_its_services_allow() {
    let doors = Doors::start().await;
    let why = refused(doors.post(&doors.looker, &job("w")), 403, "forbidden").await;
    assert!(why.contains("role read") && why.contains("role submit"), "{why}");
    let why = refused(doors.post(&doors.alice, &job("v")), 403, "forbidden").await;
    assert!(why.contains("may not ask v") && why.contains("w*"), "{why}");
    for (key, service) in [(&doors.alice, "w"), (&doors.bob, "v"), (&doors.admin, "v")] {
        assert_eq!(doors.post(key, &job(service)).send().await.unwrap().status(), 202);
    }
    let mixed = doors.post(&doors.alice, &json!([job("v"), job("w")])).send().await.unwrap();
    let mixed: Value = mixed.json().await.unwrap();
    assert_eq!((&mixed["jobs_total"], &mixed["rejected"][0]["code"]), (&json!(1), &json!("forbidden")));

    let client = doors.client(&doors.bob);
    let denied = client.create_token(&TokenRequest::default()).await;
    assert!(matches!(denied, Err(ClientError::Problem(problem)) if problem.code == Code::Forbidden));
    assert_eq!(doors.egret(&doors.bob, &["token", "create"]).0, 4);
    assert_eq!(doors.egret(&doors.admin, &["token", "create"]).0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_owner_has_is_not_there() {
    let mut doors = Doors::start().await;
    let [alice, bob, looker, admin] =
        [&doors.alice, &doors.bob, &doors.looker, &doors.admin].map(|key| doors.client(key));
    let one: Value = doors.post(&doors.alice, &job("w")).send().await.unwrap().json().await.unwrap();
    let many: Value =
        doors.post(&doors.alice, &json!([job("w"), job("w")])).send().await.unwrap().json().await.unwrap();
    let (one, many) = (one["id"].as_str().unwrap(), many["id"].as_str().unwrap());

    let is_missing =
        |error: ClientError| matches!(error, ClientError::Problem(p) if p.code == Code::NotFound);
    assert!(is_missing(bob.job(one).await.unwrap_err()));
    assert!(is_missing(bob.cancel_job(one).await.unwrap_err()));
    assert!(is_missing(bob.batch(many).await.unwrap_err()));
    assert!(is_missing(bob.cancel_batch(many).await.unwrap_err()));
    assert!(is_missing(bob.results(many, false, None).next().await.unwrap().unwrap_err()));
    for path in [format!("batches/{many}/rejected"), format!("batches/{many}/results")] {
        let url = format!("http://{}/v1/{path}", doors.rig.address);
        refused(http().get(url).bearer_auth(&doors.bob), 404, "not_found").await;
    }
    let count = async |key: &str, list: &str| -> usize {
        let url = format!("http://{}/v1/{list}", doors.rig.address);
        let page: Value = http().get(url).bearer_auth(key).send().await.unwrap().json().await.unwrap();
        page["items"].as_array().unwrap().len()
    };
    for (key, jobs, batches) in
        [(&doors.bob, 0, 0), (&doors.alice, 3, 1), (&doors.looker, 3, 1), (&doors.admin, 3, 1)]
    {
        let of_batch = count(key, &format!("jobs?batch={many}")).await;
        assert_eq!((count(key, "jobs").await, count(key, "batches").await), (jobs, batches));
        assert_eq!(of_batch, jobs.saturating_sub(1));
    }
    assert_eq!(looker.job(one).await.unwrap().state, JobState::Queued, "nobody else has cancelled it");

    doors.rig.coordinator.kill();
    doors.rig.restart();
    assert!(is_missing(bob.job(one).await.unwrap_err()), "nor after a start");
    assert_eq!(alice.cancel_job(one).await.unwrap().state, JobState::Cancelled);
    assert_eq!(admin.cancel_batch(many).await.unwrap().cancelled, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idempotency_key_is_its_owners_own() {
    let doors = Doors::start().await;
    let ask = async |key: &str| -> (Value, bool) {
        let request = doors.post(key, &job("w")).header("idempotency-key", "monday");
        let response = request.send().await.unwrap();
        let is_replay = response.headers().contains_key("idempotent-replayed");
        let job: Value = response.json().await.unwrap();
        (job["id"].clone(), is_replay)
    };
    let (first, again) = (ask(&doors.alice).await, ask(&doors.alice).await);
    assert_eq!((&first.0, first.1, again.1), (&again.0, false, true));
    let (other, is_replay) = ask(&doors.bob).await;
    assert!(other != first.0 && !is_replay, "bob gets a job of his own");
}
