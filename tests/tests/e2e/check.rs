//! A host that has run out of something, and what an agent finds on its host before it starts.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use egret_testkit::{HttpRemote, Rules, Troubles, WhoisRemote};
use egret_tests::{Process, Rig, names, program, service};
use egret_wire::api::{AttemptOutcome, JobState, TokenRequest};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread")]
async fn without_descriptors_an_agent_reports_calls_unsent_and_keeps_its_session() {
    let rules = || Rules::new().troubles(Troubles { latency: SECOND, ..Troubles::default() });
    let whois = WhoisRemote::new(rules()).start().await.unwrap();
    let http = HttpRemote::new(rules()).start().await.unwrap();
    let terms = "quotas = [{ units = 200, per = \"1s\" }]\ntimeout = \"30s\"";
    let web = format!(
        "[[service]]\nid = \"h\"\nprotocol = \"http\"\naddress = \"http://{}/\"\nallow_private_addresses = true\n{terms}\n",
        http.addr()
    );
    let mut rig = Rig::start(&[service("w", whois.addr(), terms), web].concat()).await;
    let token = rig.client.create_token(&TokenRequest::default()).await.unwrap().token;
    let (url, state) = (format!("http://{}", rig.address), rig.dir.path().join("poor"));
    let agent = program("egret-agent");
    let args = [
        "-c",
        "ulimit -n 40; exec \"$0\" \"$@\"",
        agent.to_str().unwrap(),
        "--coordinator",
        &url,
        "--egress",
        "127.0.0.2",
        "--state-dir",
        state.to_str().unwrap(),
    ];
    let log = rig.dir.path().join("poor.log");
    let mut poor = Process::start(Path::new("/bin/sh"), &args, &[("EGRET_TOKEN", &token)], &log);
    poor.await_output("session", |said| said.contains("session with").then_some(()));
    rig.agents.push(poor);
    for (query, lines) in
        [("service=w", names(100)), ("lookup=http&service=h", names(100).replace("name", "/name"))]
    {
        let mut unsent = 0;
        let batch = rig.submit(query, lines).await;
        let jobs = rig.results(&batch.id).await;
        assert!(jobs.iter().all(|job| job.state == JobState::Done), "{jobs:?}");
        for attempt in jobs.iter().flat_map(|job| &job.result.attempts) {
            let is_fair = matches!(attempt.outcome, AttemptOutcome::Answered | AttemptOutcome::NotSent);
            assert!(is_fair, "the host's trouble is not the service's: {attempt:?}");
            unsent += usize::from(attempt.outcome == AttemptOutcome::NotSent);
        }
        assert!(unsent > 0, "{query}: there was no want of descriptors");
    }
    let said = rig.agents[0].said();
    assert_eq!(said.matches("session with").count(), 1, "{said}");
}

fn check(args: &[&str], env: &[(&str, &str)]) -> (i32, String) {
    let output: Output = Command::new(program("egret-agent"))
        .arg("--check")
        .args(args)
        .env_remove("EGRET_TOKEN")
        .envs(env.iter().copied())
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(said).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_says_what_is_amiss_and_makes_nothing() {
    let mut rig = Rig::start("").await;
    let (url, state) = (format!("http://{}", rig.address), rig.dir.path().join("127.0.0.2"));
    let state = state.to_str().unwrap();
    let look = |url: &str, egress: &[&str], env: &[(&str, &str)]| {
        let egresses = egress.iter().flat_map(|egress| ["--egress", egress]);
        let args: Vec<&str> =
            ["--coordinator", url, "--state-dir", state].into_iter().chain(egresses).collect();
        check(&args, env)
    };
    let (code, said) = look(&url, &["127.0.0.2"], &[]);
    assert_eq!((code, said.contains("joining needs a token")), (1, true), "{said}");
    let (code, said) = look(&url, &["127.0.0.2", "127.0.0.3"], &[("EGRET_TOKEN", "egj1.plain.a.b")]);
    assert_eq!((code, said.contains("seen as 127.0.0.3")), (0, true), "{said}");
    assert!(!Path::new(state).exists());
    rig.agent(2);
    let (code, said) = look(&url, &["127.0.0.2"], &[]);
    assert_eq!((code, said.contains("joined as agt_"), said.contains("in use")), (0, true, true), "{said}");
    rig.agents.clear();
    let (code, said) = look(&url, &["127.0.0.2", "192.0.2.1"], &[]);
    assert_eq!((code, said.contains("name an address of this host")), (2, true), "{said}");
    rig.coordinator.kill();
    let (code, said) = look(&url, &["127.0.0.2"], &[]);
    assert_eq!((code, said.contains("refused")), (3, true), "{said}");
}
