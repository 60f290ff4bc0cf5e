//! Several hosts on a network of their own, one of them behind translated addresses, and everything that can break there.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use egret_tests::netns::{Lan, Netns};
use egret_tests::{PATIENCE, Process, names};
use egret_wire::api::{AgentView, BatchView, JobState, JobView, Page};
use tempfile::TempDir;

use crate::referee::Referee;

const SECOND: Duration = Duration::from_secs(1);
/// How long agents and the coordinator are killed at random.
const KILLS: Duration = Duration::from_secs(120);
/// For how long the cable stays out.
const CABLE: Duration = Duration::from_secs(30);
/// 8 in 2 s at each of four addresses, for as long as things break and a little longer.
const JOBS: usize = 1_500;

/// A fleet: a coordinator, a remote behind a referee, an agent with two addresses, one with one, and two behind one address.
struct Fleet {
    lan: Lan,
    home: Netns,
    coordinator: Process,
    port: u16,
    hosts: Vec<(Netns, Vec<&'static str>)>,
    agents: Vec<Process>,
    referee: Referee,
    _remote: Process,
    /// Its own host and the translating one, which only have to be there.
    _others: Vec<Netns>,
    token: String,
    dir: TempDir,
}

impl Fleet {
    /// `None`, said loudly, where it cannot be.
    fn start() -> Option<Self> {
        let lan = Lan::new()?;
        let (router, mut inside) = lan.translated("198.18.0.20/24", 2)?;
        let (home, service) = (lan.host(&["198.18.0.1/24"]), lan.host(&["198.18.0.2/24"]));
        let mut hosts = vec![
            (lan.host(&["198.18.0.11/24", "198.18.0.12/24"]), vec!["198.18.0.11", "198.18.0.12"]),
            (lan.host(&["198.18.0.13/24"]), vec!["198.18.0.13"]),
        ];
        hosts.extend(inside.drain(..).zip([vec!["10.77.0.2"], vec!["10.77.0.3"]]));
        let dir = tempfile::tempdir().unwrap();
        // The remote has no limit of its own: who came is known to the referee before it.
        let args = ["whois", "--listen", "127.0.0.1:0", "--latency", "50ms", "--ignore-stdin"];
        let mut remote = service.start("egret-remote", &args, &[], &dir.path().join("remote.log"));
        let remote_at = remote.await_output("address", |said| {
            said.lines().find_map(|line| line.strip_prefix("listening on ")).map(str::to_owned)
        });
        let referee = Referee::start(&service, "198.18.0.2:43", &remote_at, dir.path())?;
        let config = format!(
            "listen = \"0.0.0.0:0\"\ndata_dir = {:?}\n[[service]]\nid = \"w\"\nprotocol = \"whois\"\naddress = \"198.18.0.2:43\"\n\
             allow_private_addresses = true\nquotas = [{{ units = 8, per = \"2s\" }}]\ncounting = \"two-bucket\"\ntimeout = \"2s\"\nlinger = \"500ms\"\n",
            dir.path().join("data")
        );
        std::fs::write(dir.path().join("egret.toml"), config).unwrap();
        let (coordinator, port) = serve(&home, &dir, "0.0.0.0:0");
        let url = format!("http://127.0.0.1:{port}");
        let token = home.egret(&["token", "create", "--uses", "8", "--url", &url]).trim().to_owned();
        assert!(token.starts_with("egj1.") && !token.starts_with("egj1.plain"), "{token}");
        let _others = vec![router, service];
        let agents = Vec::new();
        let mut fleet = Self {
            lan,
            home,
            coordinator,
            port,
            hosts,
            agents,
            referee,
            _remote: remote,
            _others,
            token,
            dir,
        };
        for host in 0..fleet.hosts.len() {
            let agent = fleet.agent(host);
            fleet.agents.push(agent);
            fleet.await_up(host + 1);
        }
        Some(fleet)
    }

    /// Starts the agent of a host.
    fn agent(&self, host: usize) -> Process {
        let (netns, egresses) = &self.hosts[host];
        let (url, state) =
            (format!("https://198.18.0.1:{}", self.port), self.dir.path().join(format!("agent-{host}")));
        let log = state.with_extension("log");
        let mut args = vec![
            "--coordinator",
            &url,
            "--state-dir",
            state.to_str().unwrap(),
            "--allow-private",
            "198.18.0.0/15",
        ];
        egresses.iter().for_each(|egress| args.extend(["--egress", egress]));
        netns.start("egret-agent", &args, &[("EGRET_TOKEN", &self.token)], &log)
    }

    fn cli<T: serde::de::DeserializeOwned>(&self, args: &[&str]) -> T {
        let url = format!("http://127.0.0.1:{}", self.port);
        let mut all = args.to_vec();
        all.extend(["--json", "--url", &url]);
        serde_json::from_str(&self.home.egret(&all)).unwrap()
    }

    fn up(&self) -> Vec<AgentView> {
        let page: Page<AgentView> = self.cli(&["agents"]);
        page.items.into_iter().filter(|agent| agent.version.is_some()).collect()
    }

    fn await_up(&self, count: usize) {
        let began = Instant::now();
        while self.up().len() != count {
            assert!(began.elapsed() < PATIENCE, "{:?}", self.up());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Breaks something, and mends it.
    fn break_something(&mut self, rng: &mut fastrand::Rng) {
        let host = rng.usize(..self.hosts.len());
        let pause = Duration::from_millis(rng.u64(0..3_000));
        let what = rng.u8(..6);
        if what <= 1 || what == 5 {
            self.agents[host].kill();
        }
        if what >= 4 {
            self.coordinator.kill();
        }
        if what == 2 {
            // Behind the translating host there is no cable of this switch.
            self.lan.cable(&self.hosts[host % 2].0, false);
        }
        std::thread::sleep(pause);
        if what == 2 {
            self.lan.cable(&self.hosts[host % 2].0, true);
        }
        if what >= 4 {
            self.coordinator = serve(&self.home, &self.dir, &format!("0.0.0.0:{}", self.port)).0;
        }
        if what <= 1 || what == 5 {
            self.agents[host] = self.agent(host);
        }
    }
}

fn serve(home: &Netns, dir: &TempDir, listen: &str) -> (Process, u16) {
    let (config, log): (PathBuf, PathBuf) =
        (dir.path().join("egret.toml"), dir.path().join("coordinator.log"));
    let before = std::fs::read_to_string(&log).unwrap_or_default().len();
    let args = ["serve", "--config", config.to_str().unwrap(), "--listen", listen];
    let mut coordinator = home.start("egret", &args, &[], &log);
    let port = coordinator.await_output("address", |said| {
        let (_, rest) = said[before..].split_once("egret serves https://")?;
        rest.split_once(' ')?.0.rsplit_once(':')?.1.parse().ok()
    });
    (coordinator, port)
}

#[test]
fn hosts_that_are_killed_and_cut_off_for_two_minutes_lose_no_job_and_exceed_no_quota() {
    let Some(mut fleet) = Fleet::start() else { return };
    let mut seen: Vec<String> = fleet.up().into_iter().flat_map(|agent| agent.egresses).collect();
    seen.sort();
    assert_eq!(seen, ["198.18.0.11", "198.18.0.12", "198.18.0.13", "198.18.0.20"], "two are seen as one");
    let targets = fleet.dir.path().join("targets");
    std::fs::write(&targets, names(JOBS)).unwrap();
    let batch: BatchView =
        fleet.cli(&["submit", targets.to_str().unwrap(), "--service", "w", "--deadline", "1h"]);

    // The one with two addresses is cut off under load.
    fleet.lan.cable(&fleet.hosts[0].0, false);
    std::thread::sleep(CABLE);
    fleet.lan.cable(&fleet.hosts[0].0, true);
    let seed = fastrand::u64(..);
    let (mut rng, until) = (fastrand::Rng::with_seed(seed), Instant::now() + KILLS);
    while Instant::now() < until {
        fleet.break_something(&mut rng);
        std::thread::sleep(Duration::from_millis(rng.u64(0..5_000)));
    }

    let left = Instant::now() + 3 * PATIENCE;
    let url = format!("http://127.0.0.1:{}", fleet.port);
    let results = loop {
        let results = fleet.home.egret(&["results", &batch.id, "--json", "--url", &url]);
        if results.lines().count() >= JOBS {
            break results;
        }
        assert!(Instant::now() < left, "{} of {JOBS} have ended, seed {seed}", results.lines().count());
        std::thread::sleep(SECOND);
    };
    let jobs: Vec<JobView> = results.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ids: BTreeSet<&str> = jobs.iter().map(|job| job.id.as_str()).collect();
    assert_eq!((ids.len(), jobs.len()), (JOBS, JOBS), "each ended once, seed {seed}");
    assert!(jobs.iter().all(|job| job.state == JobState::Done), "seed {seed}");

    let counted = fleet.referee.counted();
    let addresses: Vec<&str> = counted.keys().map(String::as_str).collect();
    assert_eq!(addresses, ["198.18.0.11", "198.18.0.12", "198.18.0.13", "198.18.0.20"]);
    assert!(counted.values().all(|count| count.refused == 0), "{counted:?}, seed {seed}");
    let let_in: usize = counted.values().map(|count| count.connections).sum();
    assert!(let_in >= JOBS, "{counted:?}, seed {seed}");

    // It would have objected.
    let knock = "for _ in 1 2 3 4 5 6 7 8 9; do : </dev/tcp/198.18.0.2/43; done";
    fleet.hosts[1].0.run(&["bash", "-c", knock]);
    assert!(fleet.referee.counted()["198.18.0.13"].refused > 0, "{:?}", fleet.referee.counted());
}

/// An agent of its own on a host, in a state dir of its own, with these egresses.
fn join(home: &Netns, port: u16, at: &str, host: &Netns, dir: &TempDir, egresses: &[&str]) -> Process {
    let token = home.egret(&["token", "create", "--url", &format!("http://127.0.0.1:{port}")]);
    let (url, state) = (format!("https://{at}:{port}"), dir.path().join("agent"));
    let mut args = vec!["--coordinator", &url, "--state-dir", state.to_str().unwrap()];
    egresses.iter().for_each(|egress| args.extend(["--egress", egress]));
    let env = [("EGRET_TOKEN", token.trim())];
    let mut agent = host.start("egret-agent", &args, &env, &state.with_extension("log"));
    agent.await_output("session", |said| said.contains("session with").then_some(()));
    agent
}

fn home(lan: &Lan, address: &str) -> (Netns, Process, u16, TempDir) {
    let (home, dir) = (lan.host(&[address]), tempfile::tempdir().unwrap());
    let config = format!("listen = \"[::]:0\"\ndata_dir = {:?}\n", dir.path().join("data"));
    std::fs::write(dir.path().join("egret.toml"), config).unwrap();
    let (coordinator, port) = serve(&home, &dir, "[::]:0");
    (home, coordinator, port, dir)
}

#[test]
fn an_address_that_changes_is_noticed_within_two_minutes() {
    let Some(lan) = Lan::new() else { return };
    let Some((router, inside)) = lan.translated("198.18.0.20/24", 1) else { return };
    let (home, _coordinator, port, dir) = home(&lan, "198.18.0.1/24");
    // Nobody names its address: the one that the host would use is found.
    let mut agent = join(&home, port, "198.18.0.1", &inside[0], &dir, &[]);
    router.readdress("198.18.0.20/24", "198.18.0.21/24");
    agent.await_output("another address", |said| {
        (said.contains("was seen as 198.18.0.20, and is 198.18.0.21") && said.contains("for 198.18.0.21"))
            .then_some(())
    });
    let listed = home.egret(&["agents", "--url", &format!("http://127.0.0.1:{port}")]);
    assert!(listed.contains("198.18.0.21") && !listed.contains("198.18.0.20"), "{listed}");
}

#[test]
fn a_network_that_is_routed_to_a_host_is_a_pool_of_egresses() {
    let Some(lan) = Lan::new() else { return };
    let (home, _coordinator, port, dir) = home(&lan, "fd00:e::1/64");
    let host = lan.host(&["fd00:e::2/64"]);
    // All of it is routed there, and none of it is on a device.
    home.route("fd00:e:0:100::/62", "fd00:e::2");
    host.route_here("fd00:e:0:100::/62");
    let agent = join(&home, port, "[fd00:e::1]", &host, &dir, &["fd00:e:0:100::/62"]);
    let listed = home.egret(&["agents", "--url", &format!("http://[::1]:{port}")]);
    for egress in ["fd00:e:0:100::/64", "fd00:e:0:101::/64", "fd00:e:0:102::/64", "fd00:e:0:103::/64"] {
        assert!(listed.contains(egress), "{listed}{}", agent.said());
    }
}
