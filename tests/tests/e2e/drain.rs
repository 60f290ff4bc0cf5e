//! Whoever is told to stop finishes what it has begun.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use egret_testkit::{Remote, Rules, Troubles, WhoisRemote};
use egret_tests::{Process, Rig, egret, names, program, service};
use egret_wire::api::{AttemptOutcome, JobState, JobView, Liveness};

const SECOND: Duration = Duration::from_secs(1);

/// A remote that takes a second for each answer and lets in what comes.
async fn slow() -> (Remote, Rig) {
    let troubles = Troubles { latency: SECOND, ..Troubles::default() };
    let remote = WhoisRemote::new(Rules::new().troubles(troubles)).start().await.unwrap();
    let rig = Rig::start(&service("w", remote.addr(), "quotas = [{ units = 40, per = \"1s\" }]")).await;
    (remote, rig)
}

/// Waits until the remote has `calls`: they are under way then.
async fn await_calls(remote: &Remote, calls: u64) {
    while remote.score().total.tally.calls < calls {
        tokio::time::sleep(SECOND / 100).await;
    }
}

/// Every job was asked once and has its answer.
#[track_caller]
fn check_once(jobs: &[JobView], remote_calls: u64) {
    assert!(jobs.iter().all(|job| job.state == JobState::Done));
    let attempts = jobs.iter().flat_map(|job| &job.result.attempts);
    assert!(attempts.clone().all(|attempt| attempt.outcome == AttemptOutcome::Answered), "{jobs:?}");
    assert_eq!((attempts.count(), remote_calls), (jobs.len(), jobs.len() as u64), "no call was made in vain");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_told_to_stop_finishes_its_calls_and_is_replaced_without_a_loss() {
    let (remote, mut rig) = slow().await;
    rig.agent(2);
    let batch = rig.submit("service=w", names(100)).await;
    await_calls(&remote, 10).await;
    let agent = &mut rig.agents[0];
    agent.terminate();
    assert_eq!(agent.wait().code(), Some(0), "{}", agent.said());
    assert!(agent.said().contains("goodbye"), "{}", agent.said());
    rig.agent(3);
    let jobs = rig.results(&batch.id).await;
    check_once(&jobs, remote.shutdown().await.total.tally.calls);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coordinator_that_is_told_to_stop_waits_for_the_calls_under_way() {
    let (remote, mut rig) = slow().await;
    (2..4).for_each(|n| rig.agent(n));
    let batch = rig.submit("service=w", names(200)).await;
    await_calls(&remote, 10).await;
    rig.coordinator.terminate();
    assert_eq!(rig.coordinator.wait().code(), Some(0), "{}", rig.coordinator.said());
    rig.restart();
    let jobs = rig.results(&batch.id).await;
    check_once(&jobs, remote.shutdown().await.total.tally.calls);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_stops_an_agent_at_once() {
    let troubles = Troubles { drop_every: 1, hold: 600 * SECOND, ..Troubles::default() };
    let remote = WhoisRemote::new(Rules::new().troubles(troubles)).start().await.unwrap();
    let terms = "quotas = [{ units = 40, per = \"1s\" }]\ntimeout = \"5m\"";
    let mut rig = Rig::start(&service("w", remote.addr(), terms)).await;
    rig.agent(2);
    rig.submit("service=w", names(5)).await;
    await_calls(&remote, 5).await;
    let agent = &mut rig.agents[0];
    agent.terminate();
    agent.await_output("draining", |said| said.contains("taking no more work").then_some(()));
    agent.signal("INT");
    assert_eq!(agent.wait().code(), Some(0), "{}", agent.said());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_gets_nothing_while_it_is_drained_over_a_restart_too() {
    let (remote, mut rig) = slow().await;
    (2..4).for_each(|n| rig.agent(n));
    let url = format!("http://{}", rig.address);
    let (code, _, said) = egret(&["agents", "drain", "127.0.0.2", "--url", &url], &[]);
    assert_eq!(code, 0, "{said}");
    let states = async |rig: &Rig| {
        let agents = rig.client.agents().await.unwrap().items;
        let egresses = rig.client.egresses().await.unwrap().items;
        let agent = agents.iter().find(|agent| agent.name == "127.0.0.2").unwrap().state;
        (agent, egresses.iter().find(|egress| egress.id == "127.0.0.2").map(|egress| egress.state))
    };
    assert_eq!(states(&rig).await, (Liveness::Draining, Some(Liveness::Draining)));
    rig.coordinator.kill();
    rig.restart();
    while states(&rig).await != (Liveness::Draining, Some(Liveness::Draining)) {
        tokio::time::sleep(SECOND / 50).await;
    }
    let from = async |rig: &Rig| {
        let batch = rig.submit("service=w&max_age=0s", names(20)).await;
        let jobs = rig.results(&batch.id).await;
        jobs.iter().flat_map(|job| &job.result.attempts).filter(|a| a.egress == "127.0.0.2").count()
    };
    // The other may still be on its way back.
    assert_eq!(from(&rig).await, 0);
    let (code, _, said) = egret(&["agents", "undrain", "127.0.0.2", "--url", &url], &[]);
    assert_eq!(code, 0, "{said}");
    rig.await_agents(2).await;
    assert!(from(&rig).await > 0, "half of them, since it has the fuller budget");
    let (code, _, said) = egret(&["agents", "drain", "nobody", "--url", &url], &[]);
    assert_eq!((code, said.contains("nobody")), (1, true), "{said}");
    drop(remote);
}

/// Words until one of them begins like this.
fn await_word(socket: &UnixDatagram, begin: &str) -> String {
    let mut buffer = [0u8; 4_096];
    loop {
        let length = socket.recv(&mut buffer).expect("somebody speaks");
        let word = String::from_utf8_lossy(&buffer[..length]).into_owned();
        if word.lines().any(|line| line.starts_with(begin)) {
            return word;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn systemd_is_told_when_they_are_ready_that_they_live_and_that_they_stop() {
    let dir = tempfile::tempdir().unwrap();
    let listen = |name: &str| {
        let path = dir.path().join(name);
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(egret_tests::PATIENCE)).unwrap();
        (socket, path.to_str().unwrap().to_owned())
    };
    let (heard, path) = listen("serve.sock");
    let env = [("NOTIFY_SOCKET", path.as_str()), ("WATCHDOG_USEC", "200000")];
    let config = dir.path().join("egret.toml");
    let data = dir.path().join("data");
    std::fs::write(&config, format!("listen = \"127.0.0.1:0\"\ndata_dir = {data:?}\n")).unwrap();
    let log = dir.path().join("serve.log");
    let args = ["serve", "--config", config.to_str().unwrap()];
    let mut coordinator = Process::start(&program("egret"), &args, &env, &log);
    let ready = await_word(&heard, "READY=1");
    let url = ready.lines().find_map(|line| line.strip_prefix("STATUS=serves ")).unwrap().to_owned();
    await_word(&heard, "WATCHDOG=1");

    let (code, token, said) = egret(&["token", "create", "--url", &url], &[]);
    assert_eq!(code, 0, "{said}");
    let (word, path) = listen("agent.sock");
    let env = [("NOTIFY_SOCKET", path.as_str()), ("WATCHDOG_USEC", "200000"), ("EGRET_TOKEN", token.trim())];
    let state = dir.path().join("agent");
    let args = ["--coordinator", &url, "--egress", "127.0.0.2", "--state-dir", state.to_str().unwrap()];
    let log = dir.path().join("agent.log");
    let mut agent = Process::start(&program("egret-agent"), &args, &env, &log);
    assert!(await_word(&word, "READY=1").contains("STATUS=session with"));
    await_word(&word, "WATCHDOG=1");
    for (process, socket) in [(&mut agent, &word), (&mut coordinator, &heard)] {
        process.terminate();
        await_word(socket, "STOPPING=1");
        assert_eq!(process.wait().code(), Some(0));
    }
}
