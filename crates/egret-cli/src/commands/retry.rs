//! `egret retry`: what brought no answer, asked again.

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use egret_client::Client;
use egret_wire::api::JobState;

use crate::exit::{Exit, Failure};
use crate::out::Out;
use crate::table::counted;

/// The command line of `retry`.
#[derive(Debug, Args)]
pub(crate) struct RetryArgs {
    /// The batch (bat_…)
    batch: String,
    /// Only what ended so: failed or expired
    #[arg(long, value_delimiter = ',', value_parser = state_parser())]
    state: Vec<JobState>,
}

fn state_parser() -> impl TypedValueParser<Value = JobState> {
    let state = |word: String| if word == "failed" { JobState::Failed } else { JobState::Expired };
    PossibleValuesParser::new(["failed", "expired"]).map(state)
}

/// Has them asked again, and tells how many of the batch are open now.
pub(crate) async fn run(args: &RetryArgs, client: &Client, out: &Out) -> Result<Exit, Failure> {
    let batch = client.retry_batch(&args.batch, &args.state).await?;
    if out.json {
        out.document(&batch)?;
    } else {
        let open = counted(batch.queued + batch.running, "job");
        out.note(&format!("{}: {open} of {} wait for an answer", batch.id, batch.jobs_total));
    }
    Ok(Exit::Done)
}
