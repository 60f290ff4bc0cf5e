//! `egret demo`: the same lookups at the same strict service, by blind round robin and by egret, on loopback.

mod fleet;
mod scene;

use std::time::Duration;

use egret_client::{Client, LineFormat, UploadOptions};
use egret_wire::api::{Lookup, QuotaView};
use serde::Serialize;

use crate::commands::quota::picture;
use crate::commands::serve::log;
use crate::exit::{Exit, Failure};
use crate::follow::{Sink, follow};
use crate::out::Out;
use crate::progress::Progress;
use crate::signals::Signals;
use crate::table::{brief, cell, table, verdict};
use fleet::Fleet;
use scene::{LOOKUPS, SERVICE, Seen, blind_round_robin, remote, rules_in_words, score, sources, targets};

/// The demo ends by then, come what may.
const AT_MOST: Duration = Duration::from_secs(55);

/// What happened, side by side.
#[derive(Serialize)]
struct Report {
    blind_round_robin: Seen,
    egret: Seen,
    quota: QuotaView,
}

/// Shows it.
pub(crate) async fn run(out: &Out) -> Result<Exit, Failure> {
    log("off");
    let mut signals = Signals::new()?;
    let shown = tokio::select! {
        shown = tokio::time::timeout(AT_MOST, show(out)) => shown,
        () = signals.next() => return Err(Failure::new(Exit::Interrupted, "interrupted")),
    };
    let late = |_| Failure::new(Exit::Failed, format!("the demo did not end within {}", brief(AT_MOST)));
    let report = shown.map_err(late)??;
    if out.json {
        out.document(&report)?;
    } else {
        out.text(&format!("\n{}", comparison(&report)))?;
        out.text(&format!(
            "\nWhat is left, seen from the addresses egret used:\n\n{}",
            picture(&report.quota)
        ))?;
    }
    Ok(if report.egret.is_flawless() { Exit::Done } else { Exit::Failed })
}

async fn show(out: &Out) -> Result<Report, Failure> {
    out.note(&rules_in_words());
    out.note(&format!("1. Blind round robin over {} addresses asks it {LOOKUPS} times.", sources().len()));
    let blind = blind_round_robin().await?;
    out.note("2. egret asks a second one like it, from the same addresses: a coordinator and 4 agents.");
    let remote = remote().await?;
    let mut fleet = Fleet::start(remote.addr()).await?;
    let client = Client::new(fleet.url(), None)?;
    let egret = tokio::select! {
        gave_up = fleet.gave_up() => Err(gave_up),
        asked = ask(&client, out) => asked,
    };
    let quota = client.quota(false).await;
    fleet.stop().await;
    let (answered, elapsed) = egret?;
    let egret = score(&remote.shutdown().await, answered, elapsed);
    Ok(Report { blind_round_robin: blind, egret, quota: quota? })
}

/// Submits the lookups over the API and waits for the last; how many were answered, and how long it took.
async fn ask(client: &Client, out: &Out) -> Result<(u64, Duration), Failure> {
    let lines = std::io::Cursor::new(targets().join("\n").into_bytes());
    let options = UploadOptions {
        lookup: Some(Lookup::Domain),
        service: Some(SERVICE.to_owned()),
        ..UploadOptions::default()
    };
    let mut progress = Progress::new(out, Some(LOOKUPS));
    let batch = client.submit_lines(lines, LineFormat::Text, &options).await?;
    let results = client.results(&batch.id, true, None);
    let tally = follow(client, results, &mut Sink::nowhere(), &mut progress).await?;
    Ok((tally.answered, progress.elapsed()))
}

fn comparison(report: &Report) -> String {
    let (blind, egret) = (&report.blind_round_robin, &report.egret);
    let row = |what: &str, of: fn(&Seen) -> String| vec![cell(what), cell(of(blind)), cell(of(egret))];
    let rows = vec![
        vec![
            cell("answered"),
            verdict(answered(blind), blind.is_flawless()),
            verdict(answered(egret), egret.is_flawless()),
        ],
        row("refused: over the limit", |seen| seen.refused.to_string()),
        row("refused: address shut out", |seen| seen.banned.to_string()),
        row("most calls of an address in a second", |seen| {
            format!("{} of {}", seen.worst_window, seen.allowed)
        }),
        row("time", |seen| brief(Duration::from_millis(seen.took_ms))),
    ];
    table(&["by the service's own count", ">blind round robin", ">egret"], rows)
}

fn answered(seen: &Seen) -> String {
    format!("{} of {LOOKUPS}", seen.answered)
}
