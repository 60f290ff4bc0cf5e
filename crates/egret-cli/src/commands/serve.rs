//! `egret serve`: the coordinator, until it is told to stop.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use egret_agent::systemd;
use egret_coordinator::Coordinator;
use egret_coordinator::config::{Config, Overrides};
use egret_wire::value::Span;
use tracing_subscriber::EnvFilter;

use crate::args::span;
use crate::exit::{Exit, Failure};
use crate::out::Out;
use crate::signals::Signals;
use crate::table::counted;

/// The command line of `serve`.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// The config file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Check the config file and do no more
    #[arg(long)]
    check_config: bool,
    /// How long calls under way may take after SIGTERM or SIGINT; a second one stops at once
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = span)]
    drain_timeout: Span,
    #[command(flatten)]
    place: PlaceArgs,
}

/// Where a coordinator listens and keeps its data.
#[derive(Debug, Args)]
pub(crate) struct PlaceArgs {
    /// Where to listen, instead of where the config file says
    #[arg(long, env = "EGRET_LISTEN", hide_env_values = true, value_name = "ADDR:PORT")]
    listen: Option<String>,
    /// Where to keep data, instead of where the config file says
    #[arg(long, env = "EGRET_DATA_DIR", hide_env_values = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

impl From<PlaceArgs> for Overrides {
    fn from(place: PlaceArgs) -> Self {
        Self { listen: place.listen, data_dir: place.data_dir }
    }
}

/// Serves until a signal says that it is enough.
pub(crate) async fn run(args: ServeArgs, out: &Out) -> Result<Exit, Failure> {
    let config =
        Config::load(&args.config, &args.place.into()).map_err(|error| Failure::usage(error.to_string()))?;
    if args.check_config {
        out.note(&format!(
            "{} is in order: {}",
            args.config.display(),
            counted(config.services.len() as u64, "service")
        ));
        return Ok(Exit::Done);
    }
    log("info");
    let mut signals = Signals::new()?;
    let coordinator = start(config, out).await?;
    tokio::select! {
        () = signals.next() => {}
        () = systemd::watch(async || coordinator.lives().await) => {}
    }
    systemd::stopping();
    finish(coordinator, args.drain_timeout.0).await;
    Ok(Exit::Done)
}

/// Stops a coordinator; whoever watches over the process hears that it lives until then.
pub(crate) async fn finish(coordinator: Coordinator, patience: Duration) {
    tokio::select! {
        () = coordinator.stop(patience) => {}
        () = systemd::watch(async || true) => {}
    }
}

/// Starts a coordinator and says where.
pub(crate) async fn start(config: Config, out: &Out) -> Result<Coordinator, Failure> {
    let services = counted(config.services.len() as u64, "service");
    let data_dir = config.data_dir.display().to_string();
    let coordinator = Coordinator::start(config).await.map_err(|error| Failure::usage(error.to_string()))?;
    out.note(&format!("egret serves {} ({services}, data in {data_dir})", coordinator.url()));
    systemd::ready(&format!("serves {}", coordinator.url()));
    Ok(coordinator)
}

/// Writes logs to stderr: as much as `EGRET_LOG` says, else `level`.
pub(crate) fn log(level: &str) {
    let filter = EnvFilter::try_from_env("EGRET_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let is_colourful =
        io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(is_colourful).init();
}
