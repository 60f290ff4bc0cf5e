//! Quotas that addresses share: together they keep what each of them alone would be allowed.

use std::time::Duration;

use egret_testkit::{Ban, Limit, Remote, Rules, Score, WhoisRemote};
use egret_tests::netns::Netns;
use egret_tests::{Process, Rig, names, service};
use egret_wire::api::{BudgetView, JobState};

const SECOND: Duration = Duration::from_secs(1);

/// A remote that counts networks of this length, 6 a second each, and shuts out whoever comes too often.
async fn remote(ipv4_prefix: u8) -> Remote {
    let rules = Rules::new().limit(Limit::Sliding { units: 6, per: SECOND }).ban(Ban::of(5 * SECOND));
    WhoisRemote::new(rules.networks(ipv4_prefix, 64)).start().await.unwrap()
}

/// All done, with no call too many by the remote's own count of `networks` networks.
async fn check(rig: &Rig, remote: Remote, batch: &str, networks: usize) {
    let results = rig.results(batch).await;
    assert!(results.iter().all(|job| job.state == JobState::Done));
    let score = remote.shutdown().await;
    let tally = score.total.tally;
    assert_eq!((tally.answered, tally.refused, tally.banned), (results.len() as u64, 0, 0), "{score}");
    assert!(score.is_within_limits() && score.peers.len() == networks, "{score}");
    let fullest =
        score.peers.values().flat_map(|peer| &peer.worst_in_window).map(|window| window.worst).min();
    assert_eq!(fullest, Some(6), "each network was used to the full: {score}");
}

#[tokio::test(flavor = "multi_thread")]
async fn four_agents_of_one_network_never_exceed_its_quota_together() {
    let remote = remote(24).await;
    let rest = "quotas = [{ units = 5, per = \"1s\" }, { units = 6, per = \"1s\", scope = \"subnet\" }]";
    let mut rig = Rig::start(&service("w", remote.addr(), rest)).await;
    (2..6).for_each(|n| rig.agent(n));
    let batch = rig.submit("service=w", names(60)).await;
    check(&rig, remote, &batch.id, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_networks_have_a_quota_each() {
    let remote = remote(30).await;
    let rest = "quotas = [{ units = 6, per = \"1s\", scope = \"subnet\", ipv4_prefix = 30 }]";
    let mut rig = Rig::start(&service("w", remote.addr(), rest)).await;
    // 127.0.0.2 and .3 are in one network of four addresses, .4 and .5 in the next.
    (2..6).for_each(|n| rig.agent(n));
    let batch = rig.submit("service=w", names(90)).await;
    check(&rig, remote, &batch.id, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_fleet_shares_survives_a_killed_coordinator_and_is_shown() {
    let remote = remote(8).await;
    let rest = "quotas = [{ units = 4, per = \"1s\" }, { units = 6, per = \"1s\", scope = \"fleet\" }]";
    let mut rig = Rig::start(&service("w", remote.addr(), rest)).await;
    (2..6).for_each(|n| rig.agent(n));
    let batch = rig.submit("service=w", names(90)).await;
    rig.await_batch(&batch.id, "under way", |batch| batch.done >= 20).await;
    let view = rig.client.quota_of("w", false).await.unwrap();
    let of = |scope: &str| {
        view.services[0].budgets.iter().filter(|b| b.scope == scope).collect::<Vec<&BudgetView>>()
    };
    assert_eq!((of("ip").len(), of("fleet").len()), (4, 1), "{view:?}");
    let fleet = of("fleet")[0];
    assert_eq!((fleet.key.as_str(), fleet.quota.units, fleet.used + fleet.remaining), ("fleet", 6, 6));
    assert!(view.services[0].capacity_per_minute <= 360.0, "{view:?}");
    rig.coordinator.kill();
    rig.restart();
    check(&rig, remote, &batch.id, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shared_quota_is_not_spent_twice_by_a_coordinator_killed_right_after_its_first_use() {
    let rules = Rules::new().limit(Limit::Sliding { units: 5, per: 3_600 * SECOND });
    let remote = WhoisRemote::new(rules.networks(8, 64)).start().await.unwrap();
    let rest = "quotas = [{ units = 60, per = \"1s\" }, { units = 5, per = \"1h\", scope = \"fleet\" }]";
    let mut rig = Rig::start(&service("w", remote.addr(), rest)).await;
    (2..6).for_each(|n| rig.agent(n));
    let batch = rig.submit("service=w", names(20)).await;
    rig.await_batch(&batch.id, "where the quota ends", |batch| batch.done == 5).await;
    rig.coordinator.kill();
    rig.restart();
    rig.await_agents(4).await;
    let view = rig.client.quota_of("w", false).await.unwrap();
    let fleet = view.services[0].budgets.iter().find(|budget| budget.scope == "fleet").expect("it is shown");
    assert_eq!((fleet.remaining, view.services[0].running), (0, 0), "{view:?}");
    assert_eq!(remote.shutdown().await.total.tally.calls, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_agent_was_granted_before_it_stood_still_is_not_sent_when_it_wakes() {
    let remote = remote(8).await;
    let rest = "quotas = [{ units = 60, per = \"1s\" }, { units = 6, per = \"1s\", scope = \"fleet\" }]\n\
                timeout = \"1s\"\nlinger = \"0s\"";
    let mut rig = Rig::start(&service("w", remote.addr(), rest)).await;
    (2..4).for_each(|n| rig.agent(n));
    rig.agents[0].signal("STOP");
    let batch = rig.submit("service=w", names(60)).await;
    rig.await_batch(&batch.id, "carried on by the other", |batch| batch.done >= 20).await;
    rig.agents[0].signal("CONT");
    check(&rig, remote, &batch.id, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_keep_what_an_egress_has_by_itself_and_neither_tags_nor_restarts_close_them() {
    let remote = WhoisRemote::new(Rules::new()).start().await.unwrap();
    let rest = "quotas = [{ units = 60, per = \"1s\" }, { units = 9000, per = \"1d\", scope = \"fleet\" }, \
                { units = 2, per = \"1h\", scope = \"tag:eu\" }]";
    let mut rig = Rig::start(&service("w", remote.addr(), rest)).await;
    rig.agent(2);
    for _ in 0..2 {
        let batch = rig.submit("service=w", names(30)).await;
        rig.await_batch(&batch.id, "done", |batch| batch.done == 30).await;
        rig.agents.remove(0).kill();
        rig.agent(2);
    }
}

#[test]
fn four_addresses_of_one_ipv6_64_are_one_egress_and_keep_one_quota() {
    let addresses: Vec<String> = (1..6).map(|n| format!("fd00:e::{n}")).collect();
    let prefixed: Vec<String> = addresses.iter().map(|address| format!("{address}/64")).collect();
    let Some(host) = Netns::new(&prefixed.iter().map(String::as_str).collect::<Vec<_>>()) else { return };
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let limits = ["whois", "--limit", "sliding:5/1s", "--networks", "32,64", "--ban", "5s", "--ignore-stdin"];
    let args = [&limits[..], &["--listen", "[fd00:e::1]:0"]].concat();
    let mut remote = host.start("egret-remote", &args, &[], &path("remote.log"));
    let address = remote
        .await_output("address", |said| said.lines().next()?.strip_prefix("listening on ")?.parse().ok());
    let rest = "quotas = [{ units = 5, per = \"1s\" }]";
    let config =
        format!("listen = \"[::1]:0\"\ndata_dir = {:?}\n{}", path("data"), service("w", address, rest));
    std::fs::write(path("egret.toml"), config).unwrap();
    let file = path("egret.toml");
    let args = ["serve", "--config", file.to_str().unwrap()];
    let mut coordinator = host.start("egret", &args, &[], &path("coordinator.log"));
    let url = coordinator.await_output("address", |said| {
        let (_, rest) = said.split_once("egret serves ")?;
        rest.split_whitespace().next().map(str::to_owned)
    });
    let token = host.egret(&["--url", &url, "--json", "token", "create", "--uses", "4"]);
    let token: serde_json::Value = serde_json::from_str(&token).unwrap();
    let mut agents: Vec<Process> = Vec::new();
    for address in &addresses[1..] {
        let (log, state) = (path(&format!("{address}.log")), path(address));
        let args =
            ["--coordinator", &url, "--egress", address, "--allow-private", "fd00:e::/64", "--state-dir"];
        let args = [&args[..], &[state.to_str().unwrap()]].concat();
        let mut agent =
            host.start("egret-agent", &args, &[("EGRET_TOKEN", token["token"].as_str().unwrap())], &log);
        agent.await_output("session", |said| said.contains("session with").then_some(()));
        agents.push(agent);
    }
    assert!(agents[1..].iter().all(|agent| agent.said().contains("another agent speaks for fd00:e::/64")));
    std::fs::write(path("names"), names(40)).unwrap();
    host.egret(&["--url", &url, "submit", path("names").to_str().unwrap(), "--service", "w", "--wait"]);
    remote.terminate();
    remote.wait();
    let said = remote.said();
    let score: Score = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    assert_eq!(
        (score.total.tally.answered, score.total.tally.refused, score.peers.len()),
        (40, 0, 1),
        "{score}"
    );
    assert!(score.is_within_limits(), "{score}");
}
