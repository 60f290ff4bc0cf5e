//! `egret lookup`: asks about a few targets, waits, prints what came.

use std::net::IpAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use egret_client::{Client, ClientError};
use egret_wire::api::{Answer, AnswerOutcome, Follow, JobRequest, JobState, JobView, Keep, Lookup, Priority};
use egret_wire::value::{Span, Time};
use futures_util::{StreamExt, stream};

use crate::args::{kind_parser, span};
use crate::exit::{Exit, Failure};
use crate::out::Out;
use crate::record::told;
use crate::screen::{sanitize_line, sanitize_terminal};

/// Targets asked about at once (chosen).
const AT_ONCE: usize = 16;
/// One request waits no longer; after that the job is looked at now and then (chosen: below usual idle limits).
const ONE_WAIT: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The command line of `lookup`.
#[derive(Debug, Args)]
pub(crate) struct LookupArgs {
    /// Domains, addresses or AS numbers; over HTTP paths under the service's address
    #[arg(required = true, value_name = "TARGET")]
    targets: Vec<String>,
    /// What the targets are; without it, what they look like (http: never guessed)
    #[arg(long, value_parser = kind_parser())]
    kind: Option<Lookup>,
    /// Ask this service
    #[arg(long, value_name = "ID")]
    service: Option<String>,
    /// Take an answer from the cache up to this old; 0s asks the service [default: as it is configured]
    #[arg(long, value_name = "DURATION", value_parser = span)]
    max_age: Option<Span>,
    /// How far to follow referrals: registry, or registrar [default: registrar for domains]
    #[arg(long, value_name = "HOW_FAR", value_parser = str::parse::<Follow>)]
    follow: Option<Follow>,
    /// How long to wait for each
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = span)]
    wait: Span,
    /// Write the answers only, byte for byte, without a word about them
    #[arg(long)]
    raw: bool,
}

/// What became of one target.
enum Ended {
    Job(Box<JobView>),
    /// It was given up when the time to wait was over.
    TooLate(Box<JobView>),
}

/// Asks, and prints answers in the order of the targets.
pub(crate) async fn run(args: &LookupArgs, client: &Client, out: &Out) -> Result<Exit, Failure> {
    let asking = args.targets.iter().map(|target| ask(client, request(args, target), args.wait.0));
    let mut answers = stream::iter(asking).buffered(AT_ONCE);
    let mut targets = args.targets.iter();
    let mut exit = Exit::Done;
    while let (Some(answer), Some(target)) = (answers.next().await, targets.next()) {
        let ended = match answer {
            Ok(ended) => ended,
            Err(error) => {
                let failure = Failure::from(error);
                if failure.exit >= Exit::NotAllowed {
                    return Err(failure);
                }
                out.complain(&format!("{target}: {}", failure.text));
                exit = exit.max(failure.exit);
                continue;
            }
        };
        exit = exit.max(tell(args, target, &ended, out)?);
    }
    Ok(exit)
}

fn request(args: &LookupArgs, target: &str) -> JobRequest {
    JobRequest {
        lookup: args.kind.unwrap_or_else(|| guess(target)),
        target: Some(target.to_owned()),
        request: None,
        service: args.service.clone(),
        priority: Priority::Interactive,
        deadline: None,
        exact: false,
        follow: args.follow,
        max_age: args.max_age,
        keep: Keep::Both,
        reference: None,
        labels: std::collections::BTreeMap::new(),
        egress: None,
    }
}

/// What a target looks like.
fn guess(target: &str) -> Lookup {
    let (address, _) = target.split_once('/').unwrap_or((target, ""));
    let number = target.get(..2).filter(|head| head.eq_ignore_ascii_case("as")).map(|_| &target[2..]);
    match number {
        _ if address.parse::<IpAddr>().is_ok() => Lookup::Ip,
        Some(digits) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => Lookup::Asn,
        _ => Lookup::Domain,
    }
}

async fn ask(client: &Client, request: JobRequest, wait: Duration) -> Result<Ended, ClientError> {
    let started = Instant::now();
    let mut job = client.submit(&request, Some(wait.min(ONE_WAIT))).await?;
    while !job.state.has_ended() {
        if started.elapsed() >= wait {
            let job = client.cancel_job(&job.id).await?;
            let in_time = matches!(job.state, JobState::Done | JobState::Failed);
            return Ok(if in_time { Ended::Job(job.into()) } else { Ended::TooLate(job.into()) });
        }
        tokio::time::sleep(LOOK_EVERY).await;
        job = client.job(&job.id).await?;
    }
    Ok(Ended::Job(job.into()))
}

/// Prints one answer, or says why there is none.
fn tell(args: &LookupArgs, target: &str, ended: &Ended, out: &Out) -> Result<Exit, Failure> {
    let job = match ended {
        Ended::Job(job) => job,
        Ended::TooLate(job) => {
            if out.json {
                out.json_line(job)?;
            }
            out.complain(&too_late(target, job, args.wait));
            return Ok(Exit::TimedOut);
        }
    };
    if out.json {
        out.json_line(job)?;
    }
    let Some(answer) = &job.result.answer else {
        out.complain(&format!("{target}: {}", why_not(job)));
        return Ok(Exit::Failed);
    };
    if !out.json {
        print(args, target, job, answer, out)?;
    }
    Ok(Exit::Done)
}

fn too_late(target: &str, job: &JobView, wait: Span) -> String {
    let service = &job.service;
    let tried = job.result.attempts.last().and_then(|last| last.detail.as_deref());
    let tried = tried.map(|detail| format!(" (at the last attempt: {detail})")).unwrap_or_default();
    format!(
        "{target}: no answer from {service} within {wait}{tried}, so the job was cancelled; \
         wait longer with --wait, or see what is left with `egret quota {service}`"
    )
}

/// `example.com: found, from whois.example over whois, by 203.0.113.7 in 84 ms`.
fn heading(target: &str, job: &JobView, answer: &Answer) -> String {
    let outcome = outcome_word(answer);
    if let Some(answered_at) = job.result.answered_at {
        return format!("{target}: {outcome}, remembered from {}, answered at {answered_at}", job.service);
    }
    match job.result.attempts.last() {
        Some(last) => format!(
            "{target}: {outcome}, from {} over {}, by {} in {} ms",
            last.service, answer.protocol, last.egress, last.took_ms
        ),
        None => format!("{target}: {outcome}, from {} over {}", job.service, answer.protocol),
    }
}

/// The word for people for what an answer says.
pub(crate) fn outcome_word(answer: &Answer) -> &'static str {
    use AnswerOutcome::{Found, Invalid, NotFound, Reserved};
    match answer.outcome {
        Found => "found",
        NotFound => "not found",
        Reserved => "reserved",
        Invalid => "called invalid",
    }
}

/// `failed, always_refused: …`.
pub(crate) fn why_not(job: &JobView) -> String {
    let state = job.state.as_str();
    match &job.result.error {
        Some(error) => format!("{state}, {}: {}", error.code, error.detail),
        None => state.to_owned(),
    }
}

/// The record of what was found, or the service's words where there is none; a line for what was not.
fn print(args: &LookupArgs, target: &str, job: &JobView, answer: &Answer, out: &Out) -> Result<(), Failure> {
    if args.raw {
        return print_raw(answer, true, out);
    }
    let heading = heading(target, job, answer);
    let is_page = answer.status.is_some() && answer.protocol == "http";
    if answer.outcome != AnswerOutcome::Found && !is_page {
        return Ok(out.text(&sanitize_line(&heading))?);
    }
    out.note(&heading);
    match answer.record.as_ref().and_then(|record| told(record, now())) {
        Some(lines) => out.text(&lines)?,
        None => print_raw(answer, false, out)?,
    }
    // What comes next is of another target.
    if args.targets.len() > 1 { Ok(out.text("")?) } else { Ok(()) }
}

fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// What the service said, byte for byte, and on a screen without what acts on it.
fn print_raw(answer: &Answer, exactly: bool, out: &Out) -> Result<(), Failure> {
    let decoded = answer.raw_base64.as_ref().and_then(|encoded| STANDARD.decode(encoded).ok());
    let mut bytes = match (&answer.raw, decoded) {
        (Some(text), _) => text.clone().into_bytes(),
        (None, Some(bytes)) => bytes,
        (None, None) => serde_json::to_vec_pretty(&answer.record).unwrap_or_default(),
    };
    if out.is_screen {
        bytes = sanitize_terminal(&String::from_utf8_lossy(&bytes)).into_owned().into_bytes();
    }
    if !exactly && !bytes.ends_with(b"\n") {
        bytes.push(b'\n');
    }
    Ok(out.bytes(&bytes)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_taken_for_what_it_looks_like() {
        for (target, kind) in [
            ("example.com", Lookup::Domain),
            ("192.0.2.1", Lookup::Ip),
            ("192.0.2.0/24", Lookup::Ip),
            ("2001:db8::/32", Lookup::Ip),
            ("AS64500", Lookup::Asn),
            ("as1", Lookup::Asn),
            ("as", Lookup::Domain),
            ("as1.example", Lookup::Domain),
            ("ä", Lookup::Domain),
            ("aß1", Lookup::Domain),
        ] {
            assert_eq!(guess(target), kind, "{target}");
        }
    }
}
