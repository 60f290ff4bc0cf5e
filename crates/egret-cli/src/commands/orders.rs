//! `egret pause`, `resume`, `stop`, `start`: what is to stand still, and what is to go on.

use clap::Args;
use egret_client::Client;
use egret_wire::api::{BatchState, BatchView, ServiceView};

use crate::commands::fleet::standing;
use crate::exit::{Exit, Failure};
use crate::out::Out;
use crate::screen::sanitize_line;
use crate::table::counted;

/// The command line of `pause`.
#[derive(Debug, Args)]
pub(crate) struct PauseArgs {
    /// A batch (bat_…) or a service
    id: String,
    /// Shown to whoever asks why a service does not answer
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
}

/// The command line of `resume`.
#[derive(Debug, Args)]
pub(crate) struct ResumeArgs {
    /// A batch (bat_…) or a service
    id: String,
}

/// The command line of `stop`.
#[derive(Debug, Args)]
pub(crate) struct StopArgs {
    /// Shown to whoever asks why nothing happens
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
}

/// A service that is named like a batch is reached over the API alone.
fn is_batch(id: &str) -> bool {
    id.starts_with("bat_")
}

/// Lets a batch or a service rest.
pub(crate) async fn pause(args: &PauseArgs, client: &Client, out: &Out) -> Result<Exit, Failure> {
    let PauseArgs { id, why } = args;
    if !is_batch(id) {
        return tell_service(&client.pause_service(id, why.as_deref()).await?, out);
    }
    if why.is_some() {
        return Err(Failure::usage("--why is kept for services only; leave it out"));
    }
    tell_batch(&client.pause_batch(id).await?, out)
}

/// Lets it go on.
pub(crate) async fn resume(args: &ResumeArgs, client: &Client, out: &Out) -> Result<Exit, Failure> {
    if is_batch(&args.id) {
        return tell_batch(&client.resume_batch(&args.id).await?, out);
    }
    tell_service(&client.resume_service(&args.id).await?, out)
}

/// Lets nothing leave any more.
pub(crate) async fn stop(args: &StopArgs, client: &Client, out: &Out) -> Result<Exit, Failure> {
    client.stop(args.why.as_deref()).await?;
    out.note("nothing is sent until `egret start`; jobs are taken and wait");
    Ok(Exit::Done)
}

/// The opposite.
pub(crate) async fn start(client: &Client, out: &Out) -> Result<Exit, Failure> {
    client.start().await?;
    out.note("what waits goes on, but for services and batches that are paused by themselves");
    Ok(Exit::Done)
}

fn tell_batch(batch: &BatchView, out: &Out) -> Result<Exit, Failure> {
    if out.json {
        out.document(batch)?;
        return Ok(Exit::Done);
    }
    let open = counted(batch.queued + batch.running, "job");
    let is = match batch.state {
        BatchState::Paused => "is paused",
        BatchState::Receiving => "is being uploaded",
        BatchState::Running => "goes on",
        BatchState::Done | BatchState::Cancelled => "has ended",
    };
    out.note(&format!("{} {is}: {open} of {} open", sanitize_line(&batch.id), batch.jobs_total));
    Ok(Exit::Done)
}

fn tell_service(service: &ServiceView, out: &Out) -> Result<Exit, Failure> {
    if out.json {
        out.document(service)?;
    } else {
        out.note(&format!("{} is {}", sanitize_line(&service.id), sanitize_line(&standing(service))));
    }
    Ok(Exit::Done)
}
