//! One module for each command, or for a few that are alike.

pub(crate) mod cloud_init;
pub(crate) mod demo;
pub(crate) mod explain;
pub(crate) mod fleet;
pub(crate) mod jobs;
pub(crate) mod key;
pub(crate) mod lookup;
pub(crate) mod orders;
pub(crate) mod plan;
pub(crate) mod quota;
pub(crate) mod results;
pub(crate) mod retry;
pub(crate) mod serve;
pub(crate) mod submit;
pub(crate) mod up;

use std::path::Path;

use clap::CommandFactory;
use egret_client::Client;
use egret_tls::Trust;

use crate::args::{Cli, Command};
use crate::exit::{Exit, Failure};
use crate::out::Out;

/// Carries out the command.
pub(crate) async fn run(cli: Cli, out: &Out) -> Result<Exit, Failure> {
    let client = || -> Result<Client, Failure> {
        let key = std::env::var("EGRET_API_KEY").ok().filter(|key| !key.is_empty());
        let trust = cli.global.ca.as_deref().map_or(Ok(Trust::Public), authorities)?;
        Ok(Client::trusting(&cli.global.url, key.as_deref(), &trust)?)
    };
    match cli.command {
        Command::Serve(args) => serve::run(args, out).await,
        Command::Up(args) => up::run(args, out).await,
        Command::Demo => demo::run(out).await,
        Command::Lookup(args) => lookup::run(&args, &client()?, out).await,
        Command::Submit(args) => submit::run(&args, &client()?, out).await,
        Command::Results(args) => results::run(args, &client()?, out).await,
        Command::Jobs(args) => jobs::list(args, &client()?, out).await,
        Command::Cancel(args) => jobs::cancel(&args, &client()?, out).await,
        Command::Pause(args) => orders::pause(&args, &client()?, out).await,
        Command::Resume(args) => orders::resume(&args, &client()?, out).await,
        Command::Stop(args) => orders::stop(&args, &client()?, out).await,
        Command::Start => orders::start(&client()?, out).await,
        Command::Retry(args) => retry::run(&args, &client()?, out).await,
        Command::Explain(args) => explain::run(&args, &client()?, out).await,
        Command::Plan(args) => plan::run(&args, &client()?, out).await,
        Command::Quota(args) => quota::run(&args, &client()?, out).await,
        Command::Agents(args) => fleet::agents(&args, &client()?, out).await,
        Command::Services => fleet::services(&client()?, out).await,
        Command::Token(command) => fleet::token(command, &client()?, out).await,
        Command::Key(command) => key::run(command, out),
        Command::Completions { shell } => completions(shell, out),
    }
}

/// Trust in the authorities of a file.
fn authorities(file: &Path) -> Result<Trust, Failure> {
    let pem = std::fs::read(file).map_err(|error| error.to_string());
    let trust = pem.and_then(|pem| Trust::authorities(&pem).map_err(|error| error.to_string()));
    trust.map_err(|why| Failure::usage(format!("--ca {}: {why}", file.display())))
}

fn completions(shell: clap_complete::Shell, out: &Out) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "egret", &mut script);
    out.bytes(&script)?;
    Ok(Exit::Done)
}
