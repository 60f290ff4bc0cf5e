//! `egret results`: what a batch has brought so far, or until its end.

use std::path::PathBuf;

use clap::Args;
use egret_client::Client;

use crate::exit::{Exit, Failure};
use crate::follow::{Sink, follow};
use crate::out::Out;

/// The command line of `results`.
#[derive(Debug, Args)]
pub(crate) struct ResultsArgs {
    /// The batch (bat_…)
    batch: String,
    /// Go on until the batch has ended
    #[arg(long)]
    follow: bool,
    /// Read on after the result with this cursor
    #[arg(long)]
    cursor: Option<String>,
    /// Write rows for spreadsheets: CSV, with the names of the columns first unless there is a --cursor
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    /// Write JSON lines, or CSV, to this file; with --cursor, behind what it holds
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Prints the results.
pub(crate) async fn run(args: ResultsArgs, client: &Client, out: &Out) -> Result<Exit, Failure> {
    let mut sink = Sink::open(args.output.as_deref(), args.csv, out)?;
    let total = client.batch(&args.batch).await?.jobs_total;
    if args.cursor.is_none() {
        sink.begin()?;
    }
    let is_whole = args.follow && args.cursor.is_none();
    let mut progress = sink.progress(out, is_whole.then_some(total));
    let results = client.results(&args.batch, args.follow, args.cursor);
    let tally = follow(client, results, &mut sink, &mut progress).await?;
    Ok(if tally.has_failures() { Exit::Failed } else { Exit::Done })
}
