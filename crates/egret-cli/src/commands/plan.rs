//! `egret plan`: what a file of targets would take, without sending anything.

use std::path::PathBuf;

use clap::Args;
use comfy_table::Cell;
use egret_client::{Client, UploadOptions};
use egret_wire::api::{Lookup, Plan, Priority, ServicePlan};
use egret_wire::value::{Span, Time};

use super::submit::{nothing_taken, read, tell_rejected};
use crate::args::{kind_parser, priority_parser, span};
use crate::exit::{Exit, Failure};
use crate::out::Out;
use crate::table::{ahead, cell, counted, maybe, rule, table, verdict};

/// The command line of `plan`.
#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    /// One target a line; `-` reads stdin
    file: PathBuf,
    /// What the targets are [default: domain]
    #[arg(long, visible_alias = "lookup", value_parser = kind_parser())]
    kind: Option<Lookup>,
    /// Ask this service
    #[arg(long, value_name = "ID")]
    service: Option<String>,
    /// How urgent it would be
    #[arg(long, value_parser = priority_parser())]
    priority: Option<Priority>,
    /// Ask for targets as they are, not for their registrable names
    #[arg(long)]
    exact: bool,
    /// Count on answers from the cache up to this old; 0s on none [default: as the services are configured]
    #[arg(long, value_name = "DURATION", value_parser = span)]
    max_age: Option<Span>,
    /// Tell the end with so many more addresses as well; several with commas
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [1, 2, 4])]
    more: Vec<u32>,
}

/// Asks for the plan and prints it.
pub(crate) async fn run(args: &PlanArgs, client: &Client, out: &Out) -> Result<Exit, Failure> {
    let options = UploadOptions {
        lookup: Some(args.kind.unwrap_or(Lookup::Domain)),
        service: args.service.clone(),
        priority: args.priority,
        deadline: None,
        exact: args.exact,
        follow: None,
        max_age: args.max_age,
        keep: None,
    };
    let plan = client.plan(read(&args.file).await?, &options, &args.more).await?;
    tell_rejected(&plan.rejected, plan.rejected_total, out);
    if plan.calls + plan.cached == 0 {
        return Err(nothing_taken(&args.file, plan.rejected_total));
    }
    if out.json {
        out.document(&plan)?;
    } else {
        out.text(&picture(&plan))?;
    }
    Ok(Exit::Done)
}

/// A row for each service, and a line for all of them.
fn picture(plan: &Plan) -> String {
    let mut headings = vec![
        ">calls".to_owned(),
        ">cached".to_owned(),
        ">ahead".to_owned(),
        ">egresses".to_owned(),
        "bottleneck".to_owned(),
    ];
    headings.insert(0, "service".to_owned());
    headings.push("done".to_owned());
    let more = plan.services.first().map(|service| &service.with_more[..]).unwrap_or_default();
    headings.extend(more.iter().map(|more| format!("with {} more", more.addresses)));
    let headings: Vec<&str> = headings.iter().map(String::as_str).collect();
    let rows = plan.services.iter().map(|service| row(service, plan.at)).collect();
    let done = plan.finish_estimate.map_or_else(
        || "when all of it is done cannot be foreseen".to_owned(),
        |at| format!("all of it done {}, at {at}", ahead(at, plan.at)),
    );
    let known = match plan.cached {
        0 => String::new(),
        known => format!(", {known} more answered from the cache"),
    };
    let disk = plan.disk_bytes as f64 / f64::from(1 << 20);
    format!(
        "{}\n\n{}{known}, about {disk:.1} MiB on disk, {done}",
        table(&headings, rows),
        counted(plan.calls, "call")
    )
}

fn row(service: &ServicePlan, now: Time) -> Vec<Cell> {
    let finish = |at: Option<Time>| maybe(at.map(|at| ahead(at, now)));
    let done = match service.finish_estimate {
        None if service.paused => verdict("paused", false),
        None if service.egresses == 0 => verdict("no egress is up", false),
        at => finish(at),
    };
    let mut row = vec![
        cell(&service.service),
        cell(service.calls),
        cell(service.cached),
        cell(service.ahead),
        cell(service.egresses),
        maybe(service.bottleneck.as_ref().map(rule)),
        done,
    ];
    row.extend(service.with_more.iter().map(|more| finish(more.finish_estimate)));
    row
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::tests::every_second;
    use egret_wire::api::MorePlan;

    #[test]
    fn a_plan_is_drawn_with_a_column_for_each_number_of_addresses() {
        let more = |addresses, at| MorePlan { addresses, finish_estimate: Some(Time(at)) };
        let service = ServicePlan {
            service: "whois.example".to_owned(),
            calls: 1_000,
            cached: 40,
            ahead: 20,
            egresses: 2,
            paused: false,
            bottleneck: Some(every_second(5)),
            finish_estimate: Some(Time(103_000)),
            with_more: vec![more(1, 69_000), more(2, 52_000)],
        };
        let stuck = ServicePlan {
            service: "w".to_owned(),
            paused: true,
            cached: 0,
            bottleneck: None,
            finish_estimate: None,
            with_more: vec![],
            ..service
        };
        let plan = Plan {
            at: Time(1_000),
            calls: 2_000,
            cached: 40,
            rejected: vec![],
            rejected_total: 0,
            disk_bytes: 3 << 20,
            finish_estimate: None,
            services: vec![service, stuck],
        };
        let expected = "\
SERVICE        CALLS  CACHED  AHEAD  EGRESSES  BOTTLENECK  DONE         WITH 1 MORE  WITH 2 MORE
whois.example   1000      40     20         2  5 per 1s    in 1 m 42 s  in 1 m 8 s   in 51 s
w               1000       0     20         2  -           paused

2000 calls, 40 more answered from the cache, about 3.0 MiB on disk, when all of it is done cannot be foreseen";
        assert_eq!(anstream::adapter::strip_str(&picture(&plan)).to_string(), expected);
    }
}
