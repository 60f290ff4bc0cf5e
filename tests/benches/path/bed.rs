//! What the sections share: a remote of its own process, services, requests, and what processes used.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use egret_testkit::{Rules, WhoisRemote};
use egret_tests::{Process, Rig};
use egret_wire::api::{JobRequest, Keep, Lookup, Priority};
use tempfile::TempDir;

/// The word that makes this program a remote.
pub(crate) const REMOTE: &str = "remote";
/// A remote that nobody stops ends by itself.
const LIFETIME: Duration = Duration::from_secs(900);

/// A service that agents answer themselves, at once and with a record.
pub(crate) const NULL: &str = "[[service]]\nid = \"w\"\nprotocol = \"null\"\naddress = \"127.0.0.1:9\"\n\
    template = \"domain: {q}\"\nquotas = [{ units = 1000000, per = \"1s\" }]\n";
/// No limit that anything here could reach.
pub(crate) const FREE: &str = "quotas = [{ units = 1000000, per = \"1s\" }]";

/// A whois remote without limits, in its own process.
pub(crate) struct RemoteProcess {
    pub(crate) addr: SocketAddr,
    pub(crate) process: Process,
    _dir: TempDir,
}

impl RemoteProcess {
    /// This program again, as a remote.
    pub(crate) fn start() -> Self {
        let dir = tempfile::tempdir().expect("a folder can be made");
        let program = std::env::current_exe().expect("a program has a path");
        let mut process = Process::start(&program, &[REMOTE], &[], &dir.path().join("remote.log"));
        let addr = process.await_output("address", |said| said.strip_suffix('\n')?.parse().ok());
        Self { addr, process, _dir: dir }
    }
}

/// Is the remote.
pub(crate) async fn serve() {
    let remote = WhoisRemote::new(Rules::new().keep_arrivals(0)).start().await;
    let remote = remote.expect("loopback has a free port");
    let _ = writeln!(std::io::stdout(), "{}", remote.addr());
    tokio::time::sleep(LIFETIME).await;
}

/// The addresses of this many agents.
pub(crate) fn sources(agents: u8) -> Vec<IpAddr> {
    (2..2 + agents).map(|last| Ipv4Addr::new(127, 0, 0, last).into()).collect()
}

/// Starts agents on [`sources`].
pub(crate) fn start_agents(rig: &mut Rig, agents: u8) {
    (2..2 + agents).for_each(|last| rig.agent(last));
}

pub(crate) fn request(target: String) -> JobRequest {
    JobRequest {
        lookup: Lookup::Domain,
        target: Some(target),
        request: None,
        service: Some("w".to_owned()),
        priority: Priority::Normal,
        deadline: None,
        exact: false,
        follow: None,
        max_age: None,
        keep: Keep::Both,
        reference: None,
        labels: std::collections::BTreeMap::new(),
        egress: None,
    }
}

/// Waits until every outcome of a batch is on disk, without reading any.
pub(crate) async fn stored(rig: &Rig, batch: &str) {
    let past_the_end = Some(i64::MAX.to_string());
    let mut results = rig.client.results(batch, true, past_the_end);
    assert!(results.next().await.is_none(), "a result past the end");
}

/// Processor seconds used by the coordinator, and by the agents together.
pub(crate) fn cpu(rig: &Rig) -> (f64, f64) {
    (rig.coordinator.cpu_secs(), rig.agents.iter().map(Process::cpu_secs).sum())
}

/// The difference of two [`cpu`], in microseconds a job.
pub(crate) fn cpu_micros(before: (f64, f64), after: (f64, f64), jobs: usize) -> (f64, f64) {
    let each = |secs: f64| secs * 1e6 / jobs as f64;
    (each(after.0 - before.0), each(after.1 - before.1))
}

pub(crate) fn mb(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// The value at this part of the sorted list, in milliseconds.
pub(crate) fn part_ms(sorted: &[Duration], part: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e3
}

/// What it runs on, and how busy that is.
pub(crate) fn machine() -> String {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let (kernel, load) = (read("/proc/sys/kernel/osrelease"), read("/proc/loadavg"));
    let load = load.split_whitespace().next().unwrap_or("?");
    format!("{cores} cores, Linux {}, load {load} at the start", kernel.trim())
}
