//! From `egret token create --cloud-init` to an agent with a session: the files it makes, used as its unit uses them.

use std::fs;

use egret_tests::{Process, Rig, egret, program};
use saphyr::{LoadableYamlNode, Yaml};

const UNIT: &str = include_str!("../../../config/deploy/egret-agent.service");

/// What `write_files` makes at a path.
fn file<'a>(data: &'a Yaml<'_>, path: &str) -> &'a str {
    let mut files = data["write_files"].as_sequence().unwrap().iter();
    let file = files.find(|file| file["path"].as_str() == Some(path)).unwrap();
    file["content"].as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn user_data_makes_an_agent_that_joins_as_its_unit_starts_it() {
    let rig = Rig::start("tls = {}").await;
    let ca = rig.dir.path().join("data/ca.pem");
    let (ca, sum) = (ca.to_str().unwrap(), "ab".repeat(32));
    let asked = ["token", "create", "--url", &rig.url, "--ca", ca, "--cloud-init", "--coordinator", &rig.url];
    let binary = ["--binary-url", "https://downloads.example/egret-agent", "--binary-sha256", &sum];
    let (code, text, said) = egret(&[&asked[..], &binary[..]].concat(), &[]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("user-data for 1 host until"), "{said}");

    let data = Yaml::load_from_str(&text).unwrap();
    let data = &data[0];
    let token = file(data, "/etc/egret/agent.token");
    assert_eq!(text.matches(token.trim()).count(), 1);
    assert_eq!(data["write_files"][0]["permissions"].as_str(), Some("0600"));
    assert_eq!(file(data, "/etc/systemd/system/egret-agent.service"), UNIT);
    let installed: Vec<_> =
        data["runcmd"][0].as_sequence().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
    assert_eq!(installed, ["/bin/sh", "/run/egret-install", binary[1], &sum]);

    // What systemd puts in place of its variables.
    let dir = rig.dir.path();
    fs::write(dir.join("join-token"), token).unwrap();
    let state = dir.join("agent");
    let settings: Vec<_> =
        file(data, "/etc/egret/agent.env").lines().filter_map(|line| line.split_once('=')).collect();
    let start =
        UNIT.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/local/bin/egret-agent ")).unwrap();
    let start = start
        .replace("${STATE_DIRECTORY}", state.to_str().unwrap())
        .replace("${CREDENTIALS_DIRECTORY}", dir.to_str().unwrap())
        .replace("$EGRET_AGENT_ARGS", "--egress 127.0.0.2");
    let args: Vec<_> = start.split_whitespace().collect();
    let mut agent = Process::start(&program("egret-agent"), &args, &settings, &dir.join("agent.log"));
    agent.await_output("session", |said| said.contains("session with").then_some(()));

    // The token has gone from the host; what its unit makes of that is no token, and none is needed.
    agent.kill();
    fs::write(dir.join("join-token"), "\n").unwrap();
    let mut agent = Process::start(&program("egret-agent"), &args, &settings, &dir.join("again.log"));
    agent.await_output("session", |said| said.contains("session with").then_some(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn user_data_that_no_host_could_use_leaves_no_token_behind() {
    let rig = Rig::start("").await;
    let asked = ["token", "create", "--url", &rig.url, "--cloud-init"];
    let (code, text, said) = egret(&asked, &[]);
    assert_eq!((code, text.as_str()), (2, ""), "{said}");
    assert!(said.contains("--coordinator https://HOST:PORT"), "{said}");
    let far = ["--coordinator", "https://coordinator.example:7043"];
    let (code, text, said) = egret(&[&asked[..], &far[..]].concat(), &[]);
    assert_eq!((code, text.as_str()), (2, ""), "{said}");
    assert!(said.contains("speaks no TLS; set `tls = {}`"), "{said}");
    // The rig's own is the only one that is still good.
    let tokens = rig.client.tokens().await.unwrap().items;
    assert_eq!(tokens.iter().filter(|token| token.revoked_at.is_none()).count(), 1);
}
