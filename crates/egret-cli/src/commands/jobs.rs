//! `egret jobs` and `egret cancel`.

use clap::Args;
use comfy_table::Cell;
use egret_client::{Client, JobFilter};
use egret_wire::api::{JobState, JobView};

use crate::args::state_parser;
use crate::commands::lookup::{outcome_word, why_not};
use crate::exit::{Exit, Failure};
use crate::out::Out;
use crate::table::{cell, table, verdict};

/// The command line of `jobs`.
#[derive(Debug, Args)]
pub(crate) struct JobsArgs {
    /// Only those of this batch
    #[arg(long, value_name = "ID")]
    batch: Option<String>,
    /// Only those in this state
    #[arg(long, value_parser = state_parser())]
    state: Option<JobState>,
    /// Only those that ask this service first
    #[arg(long, value_name = "ID")]
    service: Option<String>,
    /// Only those with this label; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = label)]
    label: Vec<(String, String)>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: u32,
    /// Read on after the list that ended with this cursor
    #[arg(long)]
    cursor: Option<String>,
}

/// The command line of `cancel`.
#[derive(Debug, Args)]
pub(crate) struct CancelArgs {
    /// A job (job_…) or a batch (bat_…)
    id: String,
}

fn label(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
    let (name, value) = pair.ok_or_else(|| format!("`{text}` is no label; write KEY=VALUE"))?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Lists jobs.
pub(crate) async fn list(args: JobsArgs, client: &Client, out: &Out) -> Result<Exit, Failure> {
    let filter = JobFilter {
        batch: args.batch,
        state: args.state,
        service: args.service,
        labels: args.label.into_iter().collect(),
        cursor: args.cursor,
        limit: Some(args.limit),
    };
    let page = client.jobs(&filter).await?;
    if out.json {
        out.document(&page)?;
        return Ok(Exit::Done);
    }
    if page.items.is_empty() {
        out.note("no such jobs");
        return Ok(Exit::Done);
    }
    let headings = ["job", "lookup", "target", "service", "state", ">attempts", "created"];
    out.text(&table(&headings, page.items.iter().map(row).collect()))?;
    if let Some(cursor) = page.next_cursor {
        out.note(&format!("there are more: --cursor {cursor}"));
    }
    Ok(Exit::Done)
}

fn row(job: &JobView) -> Vec<Cell> {
    let state = match &job.result.answer {
        Some(answer) => format!("{}, {}", job.state.as_str(), outcome_word(answer)),
        None => why_not(job),
    };
    let is_well = !matches!(job.state, JobState::Failed | JobState::Expired);
    vec![
        cell(&job.id),
        cell(job.lookup.as_str()),
        cell(&job.target),
        cell(&job.service),
        verdict(state, is_well),
        cell(job.result.attempts.len()),
        cell(job.created_at),
    ]
}

/// Gives up a job, or what is left of a batch.
pub(crate) async fn cancel(args: &CancelArgs, client: &Client, out: &Out) -> Result<Exit, Failure> {
    let id = &args.id;
    if id.starts_with("job_") {
        let job = client.cancel_job(id).await?;
        if out.json {
            out.document(&job)?;
        } else {
            out.note(&format!("{id} is {}", job.state.as_str()));
        }
    } else if id.starts_with("bat_") {
        let batch = client.cancel_batch(id).await?;
        if out.json {
            out.document(&batch)?;
        } else {
            out.note(&format!("{id}: {} of {} jobs are cancelled", batch.cancelled, batch.jobs_total));
        }
    } else {
        return Err(Failure::usage(format!(
            "`{id}` is neither a job (job_…) nor a batch (bat_…); `egret jobs` lists them"
        )));
    }
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_pairs() {
        assert_eq!(label("team=a=b"), Ok(("team".to_owned(), "a=b".to_owned())));
        assert!(label("team").is_err() && label("=x").is_err());
    }
}
