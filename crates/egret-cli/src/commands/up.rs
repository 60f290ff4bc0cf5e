//! `egret up`: a coordinator and one agent in this process.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use egret_agent::{AgentError, DRAIN_TIMEOUT, Options, systemd};
use egret_coordinator::Coordinator;
use egret_coordinator::config::Config;
use egret_wire::api::TokenRequest;
use egret_wire::value::Span;
use ipnet::IpNet;
use tokio::sync::oneshot;

use crate::commands::serve::{PlaceArgs, finish, log, start};
use crate::exit::{Exit, Failure};
use crate::out::Out;
use crate::signals::Signals;

/// The token is used at once (chosen).
const TOKEN_LIFE: Span = Span(Duration::from_secs(600));

/// The command line of `up`.
#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    /// The config file; without one, the built-in services
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// An address to call from; may be repeated; without it, every usable address of this host
    #[arg(long, value_name = "ADDR")]
    egress: Vec<IpAddr>,
    #[command(flatten)]
    place: PlaceArgs,
}

/// Runs both until a signal says that it is enough, or the agent gives up.
pub(crate) async fn run(args: UpArgs, out: &Out) -> Result<Exit, Failure> {
    let overrides = args.place.into();
    let config = match &args.config {
        Some(file) => Config::load(file, &overrides),
        None => Config::embedded(&overrides),
    };
    let config = config.map_err(|error| Failure::usage(error.to_string()))?;
    log("info");
    let mut signals = Signals::new()?;
    let state_dir = config.data_dir.join("agent");
    let coordinator = start(config, out).await?;
    let options = join(&coordinator, args.egress, "up".to_owned(), state_dir).await?;
    let (stop, stopping) = oneshot::channel::<()>();
    let agent = egret_agent::run(options, async { drop(stopping.await) });
    tokio::pin!(agent);
    let watch = systemd::watch(async || coordinator.lives().await);
    let ended = tokio::select! {
        ended = &mut agent => ended,
        () = signals.next() => {
            drop(stop);
            systemd::stopping();
            agent.await
        }
        () = watch => Ok(()),
    };
    finish(coordinator, DRAIN_TIMEOUT).await;
    ended.map(|()| Exit::Done).map_err(|error| gave_up(&error))
}

/// What an agent of this process needs to join a coordinator of this process.
pub(crate) async fn join(
    coordinator: &Coordinator,
    egresses: Vec<IpAddr>,
    name: String,
    state_dir: PathBuf,
) -> Result<Options, Failure> {
    let request = TokenRequest { expires_in: TOKEN_LIFE, ..TokenRequest::default() };
    let token = coordinator
        .create_token(request)
        .await
        .map_err(|problem| Failure::new(Exit::Failed, problem.detail))?;
    Ok(Options {
        coordinator: coordinator.url().to_owned(),
        egresses: egresses.into_iter().map(IpNet::from).collect(),
        excluded: Vec::new(),
        name,
        state_dir,
        token: Some(token.token),
        allow_private: Vec::new(),
        insecure: true,
        channel_binding: true,
        allow_service: Vec::new(),
        drain_timeout: DRAIN_TIMEOUT,
        is_supervised: false,
    })
}

/// Why an agent of this process gave up.
pub(crate) fn gave_up(error: &AgentError) -> Failure {
    let exit = match error {
        AgentError::Setting(_) => Exit::Usage,
        AgentError::Unreachable { .. } => Exit::Unreachable,
        AgentError::NotAllowed(_) => Exit::NotAllowed,
    };
    Failure::new(exit, error.to_string())
}
