//! A coordinator and four agents in this process, with their files in a directory that goes away with them.

use std::fs::{self, DirBuilder};
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use egret_agent::AgentError;
use egret_coordinator::Coordinator;
use egret_coordinator::config::{Config, Overrides};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::scene::{SERVICE, UNITS, sources};
use crate::commands::up::{gave_up, join};
use crate::exit::{Exit, Failure};

/// What runs.
pub(super) struct Fleet {
    coordinator: Coordinator,
    agents: JoinSet<Result<(), AgentError>>,
    stop: watch::Sender<bool>,
    /// Last, so that its files go when nobody uses them any more.
    _dir: TempDir,
}

impl Fleet {
    /// Starts a coordinator that knows one service, and an agent for each source.
    pub(super) async fn start(remote: SocketAddr) -> Result<Self, Failure> {
        let dir = TempDir::new()?;
        let file = dir.path.join("egret.toml");
        fs::write(&file, config(remote)).map_err(|error| unusable(&file, &error))?;
        let overrides = Overrides { data_dir: Some(dir.path.join("data")), ..Overrides::default() };
        let config =
            Config::load(&file, &overrides).map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
        let coordinator = Coordinator::start(config)
            .await
            .map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
        let (stop, stopping) = watch::channel(false);
        let mut agents = JoinSet::new();
        for source in sources() {
            let name = format!("agent-{source}");
            let state_dir = dir.path.join(&name);
            let options = join(&coordinator, vec![source], name, state_dir).await?;
            let mut stopping = stopping.clone();
            agents
                .spawn(egret_agent::run(options, async move { drop(stopping.wait_for(|stop| *stop).await) }));
        }
        Ok(Self { coordinator, agents, stop, _dir: dir })
    }

    pub(super) fn url(&self) -> &str {
        self.coordinator.url()
    }

    /// Why an agent ended that should not have.
    pub(super) async fn gave_up(&mut self) -> Failure {
        match self.agents.join_next().await {
            Some(Ok(Err(error))) => gave_up(&error),
            _ => Failure::new(Exit::Failed, "an agent ended too early"),
        }
    }

    /// Stops the agents, then the coordinator.
    pub(super) async fn stop(mut self) {
        self.stop.send_replace(true);
        while self.agents.join_next().await.is_some() {}
        self.coordinator.stop(Duration::ZERO).await;
    }
}

fn config(remote: SocketAddr) -> String {
    format!(
        r#"listen = "127.0.0.1:0"

[[service]]
id = "{SERVICE}"
protocol = "whois"
address = "{remote}"
quotas = [{{ units = {UNITS}, per = "1s" }}]
allow_private_addresses = true
"#
    )
}

/// A directory of our own, removed on drop.
struct TempDir {
    path: PathBuf,
}

impl TempDir {
    fn new() -> Result<Self, Failure> {
        let path = std::env::temp_dir().join(format!("egret-demo-{}", std::process::id()));
        DirBuilder::new().mode(0o700).create(&path).map_err(|error| unusable(&path, &error))?;
        Ok(Self { path })
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        // Nothing depends on its being gone.
        drop(fs::remove_dir_all(&self.path));
    }
}

fn unusable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(
        Exit::Failed,
        format!("{} cannot be made: {error}; name another place by TMPDIR", path.display()),
    )
}
