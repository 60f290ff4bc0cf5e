//! Who is taken for whom: coordinators by their pins, agents by their keys, and nobody twice.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use egret_testkit::{Rules, WhoisRemote};
use egret_tests::{PATIENCE, Process, Rig, egret, names, program, service};
use egret_wire::api::{AgentView, JobState, Liveness, TokenRequest};
use serde_json::json;

const QUOTA: &str = "quotas = [{ units = 1000, per = \"1s\" }]";

fn agent(url: &str, token: &str, state: &Path, last: u8) -> Process {
    let (egress, log) = (format!("127.0.0.{last}"), state.with_extension(format!("{last}.log")));
    let args = ["--coordinator", url, "--egress", &egress, "--state-dir", state.to_str().unwrap()];
    Process::start(&program("egret-agent"), &args, &[("EGRET_TOKEN", token)], &log)
}

/// Ends with "not allowed", and says why.
fn assert_refused(mut agent: Process, why: &str) {
    assert_eq!(agent.wait().code(), Some(4), "{}", agent.said());
    assert!(agent.said().contains(why), "{why}: {}", agent.said());
}

fn copy(from: &Path, to: &Path) -> PathBuf {
    assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
    to.to_owned()
}

async fn await_agent(rig: &Rig, is: impl Fn(&AgentView) -> bool) {
    let began = Instant::now();
    while !rig.client.agents().await.unwrap().items.iter().any(&is) {
        assert!(began.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn token(rig: &Rig) -> String {
    rig.client.create_token(&TokenRequest::default()).await.unwrap().token
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls_agents_and_callers_know_the_coordinator_by_its_own_authority() {
    let remote = WhoisRemote::new(Rules::new()).start().await.unwrap();
    let mut rig = Rig::start(&format!("tls = {{}}\n{}", service("w", remote.addr(), QUOTA))).await;
    assert!(rig.url.starts_with("https://"), "{}", rig.url);
    rig.agent(2);
    let batch = rig.submit("service=w&max_age=0s", names(20)).await;
    assert!(rig.results(&batch.id).await.iter().all(|job| job.state == JobState::Done));
    // The same authority after a restart, so the agent comes back.
    rig.coordinator.kill();
    rig.restart();
    rig.await_agents(1).await;
    let batch = rig.submit("service=w&max_age=0s", names(20)).await;
    assert!(rig.results(&batch.id).await.iter().all(|job| job.state == JobState::Done));
    let ca = rig.dir.path().join("data/ca.pem");
    let ca = ca.to_str().unwrap();
    let asked = ["agents", "--url", &rig.url, "--ca", ca];
    let (code, table, said) = egret(&asked, &[]);
    assert_eq!((code, table.contains("127.0.0.2")), (0, true), "{table}{said}");
    let (code, _, said) = egret(&asked[..3], &[]);
    assert_eq!((code, said.contains("certificate")), (3, true), "{said}");
    let (code, _, said) = egret(&["agents", "--url", &rig.url, "--ca", "/dev/null"], &[]);
    assert_eq!((code, said.contains("it holds no certificate")), (2, true), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_not_shown_to_another_coordinator() {
    let (ours, other) = (Rig::start("tls = {}").await, Rig::start("tls = {}").await);
    let token = token(&ours).await;
    let state = other.dir.path().join("a");
    assert_refused(agent(&other.url, &token, &state, 2), "the token was not sent");
    // Nor in the clear, nor by a token that pins nobody.
    let plain = token.replacen(token.split('.').nth(1).unwrap(), "plain", 1);
    let mut wrong = agent(&ours.url, &plain, &state, 2);
    assert_eq!((wrong.wait().code(), wrong.said().contains("does not speak TLS")), (Some(2), true));
    // It is still good.
    let mut agent = agent(&ours.url, &token, &state, 2);
    agent.await_output("session", |said| said.contains("session with").then_some(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_listed_without_their_secrets_and_taken_back() {
    let rig = Rig::start("").await;
    let request = TokenRequest { services: vec!["whois.*".to_owned()], ..TokenRequest::default() };
    let made = rig.client.create_token(&request).await.unwrap();
    let state = rig.dir.path().join("a");
    assert_eq!(egret(&["token", "revoke", &made.id, "--url", &rig.url], &[]).0, 0);
    let (code, listed, _) = egret(&["token", "list", "--url", &rig.url], &[]);
    assert_eq!((code, listed.contains(&made.id), listed.contains("whois.*")), (0, true, true), "{listed}");
    assert!(!listed.contains(made.token.rsplit('.').next().unwrap()), "{listed}");
    assert_refused(agent(&rig.url, &made.token, &state, 2), "revoked");
    let (code, _, said) = egret(&["token", "revoke", "none", "--url", &rig.url], &[]);
    assert_eq!((code, said.contains("there is no join token `none`")), (1, true), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_agent_is_cut_off_at_once_and_does_not_come_back() {
    let rig = Rig::start("").await;
    let (token, state) = (token(&rig).await, rig.dir.path().join("a"));
    let mut first = agent(&rig.url, &token, &state, 2);
    first.await_output("session", |said| said.contains("session with").then_some(()));
    let id = rig.client.agents().await.unwrap().items[0].id.clone();
    assert_eq!(egret(&["agents", "revoke", &id, "--url", &rig.url], &[]).0, 0);
    assert!(rig.client.agents().await.unwrap().items.is_empty());
    assert_refused(first, "this agent was revoked");
    assert_refused(agent(&rig.url, &token, &state, 2), "does not know the agent");
    assert!(rig.client.revoke_agent(&id).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copied_state_dir_is_caught_at_its_first_login() {
    let rig = Rig::start("").await;
    let (token, state) = (token(&rig).await, rig.dir.path().join("a"));
    let mut first = agent(&rig.url, &token, &state, 2);
    first.await_output("session", |said| said.contains("session with").then_some(()));
    // Beside the original that lives.
    let stolen = copy(&state, &rig.dir.path().join("stolen"));
    assert_refused(agent(&rig.url, &token, &stolen, 3), "its key is in use elsewhere");
    let seen = rig.client.agents().await.unwrap().items;
    assert_eq!(
        (seen.len(), seen[0].state, &seen[0].egresses[..]),
        (1, Liveness::Up, &["127.0.0.2".to_owned()][..])
    );
    assert!(seen[0].doubled_at.is_some());
    assert!(rig.coordinator.said().contains("a copy of the key of"), "{}", rig.coordinator.said());
    let (_, _, told) = egret(&["agents", "--url", &rig.url], &[]);
    assert!(told.contains("somebody else showed the key of"), "{told}");
    // After the original has had another session, and is away.
    first.kill();
    rig.await_agents(0).await;
    let mut again = agent(&rig.url, &token, &state, 2);
    // It has asked for work, so it knows of its session.
    await_agent(&rig, |agent| agent.credit > 0).await;
    again.kill();
    rig.await_agents(0).await;
    assert_refused(agent(&rig.url, &token, &stolen, 3), "its key is in use elsewhere");
    // The original comes back all the same.
    let mut again = agent(&rig.url, &token, &state, 2);
    again.await_output("session", |said| (said.matches("session with").count() == 3).then_some(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_caller_comes_from_is_what_trusted_proxies_say() {
    for (config, seen) in [("trusted_proxies = [\"127.0.0.0/8\"]", "198.51.100.7"), ("", "127.0.0.1")] {
        let rig = Rig::start(config).await;
        let ask = egret_tests::http().post(format!("{}/agent/v1/observe", rig.url)).timeout(PATIENCE);
        let ask = ask.header("x-forwarded-for", "203.0.113.5, 198.51.100.7").json(&json!({}));
        let observed: serde_json::Value =
            serde_json::from_str(&ask.send().await.unwrap().text().await.unwrap()).unwrap();
        assert_eq!(observed["address"], seen);
    }
}
