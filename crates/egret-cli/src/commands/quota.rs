//! `egret quota`: what is left, where, until when.

use std::io;
use std::time::Duration;

use clap::Args;
use comfy_table::Cell;
use egret_client::{Client, ClientError};
use egret_wire::api::{BudgetView, QuotaView, ServiceQuota};
use egret_wire::value::Time;

use crate::exit::{Exit, Failure};
use crate::out::Out;
use crate::signals::Signals;
use crate::table::{ahead, cell, maybe, rule, table, verdict};

/// The command line of `quota`.
#[derive(Debug, Args)]
pub(crate) struct QuotaArgs {
    /// Only this service
    service: Option<String>,
    /// Also the egresses that have not been used yet
    #[arg(long)]
    all: bool,
    /// Show it again every second, until interrupted
    #[arg(long)]
    watch: bool,
}

/// Shows it once, or again and again.
pub(crate) async fn run(args: &QuotaArgs, client: &Client, out: &Out) -> Result<Exit, Failure> {
    if !args.watch {
        let view = read(args, client).await?;
        if out.json {
            out.document(&view)?;
        } else {
            out.text(&picture(&view))?;
        }
        return Ok(Exit::Done);
    }
    let mut signals = Signals::new()?;
    let mut second = tokio::time::interval(Duration::from_secs(1));
    let watch = async {
        loop {
            second.tick().await;
            redraw(&read(args, client).await?, out)?;
        }
    };
    tokio::select! {
        ended = watch => ended,
        () = signals.next() => Ok(Exit::Done),
    }
}

async fn read(args: &QuotaArgs, client: &Client) -> Result<QuotaView, ClientError> {
    match &args.service {
        Some(service) => client.quota_of(service, args.all).await,
        None => client.quota(args.all).await,
    }
}

fn redraw(view: &QuotaView, out: &Out) -> io::Result<()> {
    if out.json {
        return out.json_line(view);
    }
    let picture = picture(view);
    if !out.is_screen {
        return out.text(&format!("{picture}\n"));
    }
    // Home, each line cleared behind its text, the rest of the screen cleared: no flicker.
    out.bytes(b"\x1b[H")?;
    for line in picture.lines() {
        out.bytes(b"\x1b[K")?;
        out.text(line)?;
    }
    out.bytes(b"\x1b[J")
}

/// The budgets as a table, and a line for each service.
pub(crate) fn picture(view: &QuotaView) -> String {
    let rows: Vec<_> = view
        .services
        .iter()
        .flat_map(|service| service.budgets.iter().map(|budget| row(&service.service, budget, view.at)))
        .collect();
    let summary =
        view.services.iter().map(|service| summary(service, view.at)).collect::<Vec<_>>().join("\n");
    if rows.is_empty() {
        return format!("{summary}\nno egress has been used yet; --all shows them all")
            .trim_start()
            .to_owned();
    }
    let headings = ["service", "key", "quota", ">used", ">left", "next", "resets", "cooling"];
    format!("{}\n\n{summary}", table(&headings, rows))
}

fn row(service: &str, budget: &BudgetView, now: Time) -> Vec<Cell> {
    let cooling = budget.cooling_until.map(|until| {
        let why = budget.cooling_why.as_deref().unwrap_or("refused");
        format!("{} more, {why}", ahead(until, now).trim_start_matches("in "))
    });
    vec![
        cell(service),
        cell(&budget.key),
        cell(rule(&budget.quota)),
        cell(budget.used),
        cell(budget.remaining),
        cell(next(budget, now)),
        cell(ahead(budget.resets_at, now)),
        cooling.map_or_else(|| maybe(None::<u8>), |cooling| verdict(cooling, false)),
    ]
}

/// When one more call may leave, and what else it waits for.
fn next(budget: &BudgetView, now: Time) -> String {
    let at = budget.next_at.map_or_else(|| "after a call".to_owned(), |at| ahead(at, now));
    match &budget.held_by {
        Some(holder) if holder.key != budget.key => format!("{at} ({})", holder.key),
        _ => at,
    }
}

fn summary(service: &ServiceQuota, now: Time) -> String {
    let ServiceQuota { service, queued, running, capacity_per_minute, utilisation, finish_estimate, .. } =
        service;
    let done = finish_estimate.map(|at| format!(", done {}", ahead(at, now))).unwrap_or_default();
    let service = crate::screen::sanitize_line(service);
    let used = utilisation.map(|part| format!(", {:.1} % of it used", part * 100.0)).unwrap_or_default();
    format!(
        "{service}: {queued} waiting, {running} under way, at most {capacity_per_minute:.0} a minute{used}{done}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::tests::every_second;
    use egret_wire::api::HeldBy;

    #[test]
    fn budgets_are_drawn_with_times_from_now_on() {
        let budget = BudgetView {
            scope: "ip".to_owned(),
            key: "127.0.0.2".to_owned(),
            quota: every_second(5),
            used: 4,
            remaining: 1,
            next_at: Some(Time(10_000)),
            held_by: Some(HeldBy { scope: "subnet".to_owned(), key: "127.0.0.0/24".to_owned() }),
            resets_at: Time(10_400),
            cooling_until: Some(Time(70_000)),
            cooling_why: Some("limit exceeded".to_owned()),
            refusals: 1,
        };
        let service = ServiceQuota {
            service: "whois.example".to_owned(),
            queued: 12,
            running: 1,
            capacity_per_minute: 300.0,
            utilisation: Some(0.9931),
            finish_estimate: Some(Time(82_000)),
            budgets: vec![budget],
        };
        let view = QuotaView { at: Time(10_000), services: vec![service] };
        let expected = "\
SERVICE        KEY        QUOTA     USED  LEFT  NEXT                RESETS    COOLING
whois.example  127.0.0.2  5 per 1s     4     1  now (127.0.0.0/24)  in 0.4 s  1 m 0 s more, limit exceeded

whois.example: 12 waiting, 1 under way, at most 300 a minute, 99.3 % of it used, done in 1 m 12 s";
        assert_eq!(anstream::adapter::strip_str(&picture(&view)).to_string(), expected);
    }
}
