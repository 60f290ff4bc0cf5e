//! What the end-to-end tests share: a coordinator and agents as real processes on 127.0.0.x.
//!
//! Every address of 127.0.0.0/8 is a host of its own: a remote sees each agent's own source address.
//! Ports are the system's choice, readiness is awaited, and everything is stopped by its process id.

pub mod delay;
pub mod ideal;
pub mod netns;
pub mod rule;
pub mod simulated;

use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use egret_client::{Client, plain_http};
use egret_tls::Trust;
use egret_wire::api::{BatchView, JobView, Liveness, TokenRequest};
use tempfile::TempDir;

/// How long anything may take before a test gives up on it: far longer than it takes, even on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A process that dies with its owner.
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a program with its output in `log`.
    pub fn start(program: &Path, args: &[&str], env: &[(&str, &str)], log: &Path) -> Self {
        let out = File::options().create(true).append(true).open(log).expect("the log can be written");
        let child = Command::new(program)
            .args(args)
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            .stdout(out.try_clone().expect("a file can be shared"))
            .stderr(out)
            .spawn()
            .expect("the program starts");
        Self { child, log: log.to_owned() }
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends the signal of this name.
    pub fn signal(&self, name: &str) {
        let (signal, pid) = (format!("-{name}"), self.child.id().to_string());
        Command::new("kill").args([&signal, &pid]).status().expect("kill runs");
    }

    /// Waits for the end.
    pub fn wait(&mut self) -> ExitStatus {
        let began = Instant::now();
        loop {
            match self.child.try_wait().expect("the process is ours") {
                Some(status) => return status,
                None if began.elapsed() > PATIENCE => {
                    panic!("the process does not end; it said:\n{}", self.said())
                }
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    /// Resident memory in bytes.
    pub fn resident(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// The most that was ever resident, in bytes.
    pub fn peak(&self) -> u64 {
        self.memory("VmHWM:")
    }

    fn memory(&self, key: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap_or("0 kB");
        line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap_or(0) * 1024
    }

    /// Processor time used so far, in seconds.
    pub fn cpu_secs(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        // proc(5): utime and stime are fields 14 and 15, in ticks of 10 ms.
        fields
            .get(11..13)
            .map_or(0.0, |t| t.iter().filter_map(|n| n.parse::<f64>().ok()).sum::<f64>() / 100.0)
    }

    /// Everything it has printed.
    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until it has printed something that `find` finds.
    pub fn await_output<T>(&mut self, what: &str, find: impl Fn(&str) -> Option<T>) -> T {
        let began = Instant::now();
        loop {
            let said = self.said();
            if let Some(found) = find(&said) {
                return found;
            }
            let ended = self.child.try_wait().expect("the process is ours");
            assert!(ended.is_none() && began.elapsed() < PATIENCE, "no {what}; it said:\n{said}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The programs under test, built once, as this test was.
pub fn program(name: &str) -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let dir = BUILT.get_or_init(|| {
        let test = std::env::current_exe().expect("a test has a path");
        // target/PROFILE/deps/TEST
        let dir = test.ancestors().nth(2).expect("tests lie in a target folder").to_owned();
        let mut build = Command::new(env!("CARGO"));
        build.args([
            "build",
            "--quiet",
            "-p",
            "egret-cli",
            "-p",
            "egret-agent",
            "-p",
            "egret-testkit",
            "--bins",
        ]);
        if cfg!(feature = "bench") {
            build.args(["--features", "egret-cli/bench,egret-agent/bench"]);
        }
        if !cfg!(debug_assertions) {
            build.arg("--release");
        }
        build.current_dir(env!("CARGO_MANIFEST_DIR"));
        build.env("CARGO_TARGET_DIR", dir.parent().expect("a profile lies in a target folder"));
        assert!(build.status().expect("cargo runs").success(), "the programs under test do not build");
        dir
    });
    dir.join(name)
}

/// Runs `egret` to its end and returns its exit code, standard output and standard error.
pub fn egret(args: &[&str], env: &[(&str, &str)]) -> (i32, String, String) {
    let output =
        Command::new(program("egret")).args(args).envs(env.iter().copied()).stdin(Stdio::null()).output();
    let output = output.expect("egret runs");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

/// A coordinator, its agents, and a folder for all they write.
pub struct Rig {
    /// Where everything is written.
    pub dir: TempDir,
    /// The coordinator.
    pub coordinator: Process,
    /// Where it is reached.
    pub url: String,
    /// Where it listens; the same after a restart.
    pub address: SocketAddr,
    /// Talks to it.
    pub client: Client,
    /// The agents, in the order they were started.
    pub agents: Vec<Process>,
    token: String,
}

impl Rig {
    /// Starts a coordinator with these services, as TOML.
    pub async fn start(services: &str) -> Self {
        Self::start_with_key(services, None).await
    }

    /// Starts a coordinator with this config, and talks to it with this key.
    pub async fn start_with_key(config_text: &str, key: Option<&str>) -> Self {
        let dir = tempfile::tempdir().expect("a folder can be made");
        let config = dir.path().join("egret.toml");
        let data = dir.path().join("data");
        let text = format!("listen = \"127.0.0.1:0\"\ndata_dir = {data:?}\n{config_text}");
        File::create(&config)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .expect("the config can be written");
        let (coordinator, url, address) = Self::serve(dir.path(), None);
        let trust = std::fs::read(data.join("ca.pem")).map_or(Trust::Nobody, |pem| {
            Trust::authorities(&pem).expect("the coordinator's authority can be read")
        });
        let client = Client::trusting(&url, key, &trust).expect("a client can be made");
        let token = TokenRequest { uses: 64, ..TokenRequest::default() };
        let token = client.create_token(&token).await.expect("a token can be made").token;
        Self { dir, coordinator, url, address, client, agents: Vec::new(), token }
    }

    fn serve(dir: &Path, listen: Option<SocketAddr>) -> (Process, String, SocketAddr) {
        let config = dir.join("egret.toml");
        let log = dir.join("coordinator.log");
        let before = std::fs::read_to_string(&log).unwrap_or_default().len();
        let listen = listen.map(|address| address.to_string());
        let mut args = vec!["serve", "--config", config.to_str().expect("a path in UTF-8")];
        args.extend(listen.iter().flat_map(|address| ["--listen", address]));
        let mut coordinator = Process::start(&program("egret"), &args, &[], &log);
        let url = coordinator.await_output("address", |said| {
            let (_, rest) = said[before..].split_once("egret serves ")?;
            rest.split_once(" (").map(|(url, _)| url.to_owned())
        });
        let address = url.split_once("://").and_then(|(_, address)| address.parse().ok());
        (coordinator, url, address.expect("it listens at an address"))
    }

    /// Starts an agent on 127.0.0.`last` and waits until it has a session. Agents of one number share their state.
    pub fn agent(&mut self, last: u8) {
        self.host(&format!("127.0.0.{last}"), &[format!("127.0.0.{last}")], self.address);
    }

    /// Starts an agent with these egresses, which reaches the coordinator at `via`, and waits until it has a session.
    pub fn host(&mut self, name: &str, egresses: &[String], via: SocketAddr) {
        self.host_with(name, egresses, via, &[]);
    }

    /// The same with further flags.
    pub fn host_with(&mut self, name: &str, egresses: &[String], via: SocketAddr, flags: &[&str]) {
        let log = self.dir.path().join(format!("{name}.log"));
        let before = std::fs::read_to_string(&log).unwrap_or_default().len();
        let scheme = self.url.split(':').next().unwrap_or_default();
        let (url, state) = (format!("{scheme}://{via}"), self.dir.path().join(name));
        let state = state.to_str().expect("a path in UTF-8");
        let mut args = vec!["--coordinator", &url, "--name", name, "--state-dir", state];
        args.extend(egresses.iter().flat_map(|egress| ["--egress", egress.as_str()]));
        args.extend(flags);
        let mut agent = Process::start(&program("egret-agent"), &args, &[("EGRET_TOKEN", &self.token)], &log);
        agent.await_output("session", |said| said[before..].contains("session with").then_some(()));
        self.agents.push(agent);
    }

    /// Agents that are started from now on join with a token for these services.
    pub async fn new_token(&mut self, services: &[&str]) {
        let services = services.iter().map(ToString::to_string).collect();
        let request = TokenRequest { uses: 64, services, ..TokenRequest::default() };
        self.token = self.client.create_token(&request).await.expect("a token can be made").token;
    }

    /// Starts a stopped coordinator again, at the same address.
    pub fn restart(&mut self) {
        let (coordinator, url, _) = Self::serve(self.dir.path(), Some(self.address));
        assert_eq!(url, self.url);
        self.coordinator = coordinator;
    }

    /// Waits until so many agents have a session.
    pub async fn await_agents(&self, count: usize) {
        let began = Instant::now();
        loop {
            // The coordinator may be on its way up.
            let agents = self.client.agents().await.map(|page| page.items).unwrap_or_default();
            if agents.iter().filter(|agent| agent.state == Liveness::Up).count() == count {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "not {count} agents: {agents:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Submits targets, one a line.
    pub async fn submit(&self, query: &str, lines: impl Into<String>) -> BatchView {
        let url = format!("http://{}/v1/jobs?{query}", self.address);
        let request = http().post(url).header("content-type", "text/plain").body(lines.into());
        let response = request.send().await.expect("the coordinator answers");
        let status = response.status();
        let body = response.text().await.expect("the answer has a body");
        assert_eq!(status, 202, "{body}");
        serde_json::from_str(&body).expect("a batch")
    }

    /// Waits until a batch is as `is` wants it.
    pub async fn await_batch(&self, id: &str, what: &str, is: impl Fn(&BatchView) -> bool) -> BatchView {
        let began = Instant::now();
        loop {
            // The coordinator may be on its way up again.
            let batch = self.client.batch(id).await;
            if let Ok(batch) = batch.as_ref().map(BatchView::clone)
                && is(&batch)
            {
                return batch;
            }
            assert!(began.elapsed() < PATIENCE, "not {what}: {batch:?}\n{}", self.coordinator.said());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// All results of a batch, to its end.
    pub async fn results(&self, batch: &str) -> Vec<JobView> {
        let mut results = self.client.results(batch, true, None);
        let mut jobs = Vec::new();
        let all = async {
            while let Some(line) = results.next().await {
                jobs.push(line.expect("results are readable").job);
            }
        };
        tokio::time::timeout(PATIENCE, all).await.expect("the batch ends");
        jobs
    }
}

/// A client to talk to a coordinator by hand.
pub fn http() -> reqwest::Client {
    plain_http().build().expect("a client can be made")
}

/// A whois service on loopback, as TOML.
pub fn service(id: &str, address: SocketAddr, rest: &str) -> String {
    format!(
        "[[service]]\nid = \"{id}\"\nprotocol = \"whois\"\naddress = \"{address}\"\n\
         allow_private_addresses = true\n{rest}\n"
    )
}

/// `count` names, one a line.
pub fn names(count: usize) -> String {
    (0..count).map(|n| format!("name{n}.example\n")).collect()
}
