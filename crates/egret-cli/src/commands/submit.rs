//! `egret submit`: a file of targets as one batch, and its results if the user waits for them.

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use clap::Args;
use egret_client::{Client, LineFormat, UploadOptions};
use egret_wire::api::{BatchView, Deadline, Follow, Keep, Lookup, Priority, RejectedLine};
use egret_wire::value::Span;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader, ReadBuf};

use crate::args::{deadline, keep_parser, kind_parser, priority_parser, span};
use crate::exit::{Exit, Failure};
use crate::follow::{Sink, follow};
use crate::out::Out;
use crate::progress::{Progress, Tally};
use crate::table::{brief, counted};

/// Rejected lines named on stderr; the coordinator has them all.
const REJECTED_SHOWN: usize = 10;

/// The command line of `submit`.
#[derive(Debug, Args)]
pub(crate) struct SubmitArgs {
    /// One target a line, or one JSON object a line; `-` reads stdin
    file: PathBuf,
    /// Wait for the results
    #[arg(long)]
    wait: bool,
    /// Write the results as rows for spreadsheets: CSV
    #[arg(long, requires = "wait", conflicts_with = "json")]
    csv: bool,
    /// Write the results to this file, one JSON document a line unless they are CSV
    #[arg(long, short, value_name = "FILE", requires = "wait")]
    output: Option<PathBuf>,
    /// What the targets are [default: domain]
    #[arg(long, value_parser = kind_parser())]
    pub(crate) kind: Option<Lookup>,
    /// Ask this service
    #[arg(long, value_name = "ID")]
    service: Option<String>,
    /// How urgent it is
    #[arg(long, value_parser = priority_parser())]
    pub(crate) priority: Option<Priority>,
    /// When each job must have ended: a duration from now, or a time
    #[arg(long, value_name = "WHEN", value_parser = deadline)]
    deadline: Option<Deadline>,
    /// Ask for targets as they are, not for their registrable names
    #[arg(long)]
    exact: bool,
    /// Take answers from the cache up to this old; 0s asks the services [default: as they are configured]
    #[arg(long, value_name = "DURATION", value_parser = span)]
    max_age: Option<Span>,
    /// How far to follow referrals: registry, or registrar [default: registrar for domains]
    #[arg(long, value_name = "HOW_FAR", value_parser = str::parse::<Follow>)]
    follow: Option<Follow>,
    /// What is kept of the answers: what was found as records, the services' words, or both [default: both]
    #[arg(long, value_parser = keep_parser())]
    keep: Option<Keep>,
}

/// Submits, and follows if the user waits.
pub(crate) async fn run(args: &SubmitArgs, client: &Client, out: &Out) -> Result<Exit, Failure> {
    let input = open(&args.file).await?;
    let mut sink = if args.wait { Some(Sink::open(args.output.as_deref(), args.csv, out)?) } else { None };
    let batch = upload(args, input, client, out).await?;
    tell_rejected(&batch.rejected, batch.rejected_total, out);
    if batch.jobs_total == 0 {
        return Err(nothing_taken(&args.file, batch.rejected_total));
    }
    match &mut sink {
        Some(sink) => wait(args, &batch, sink, client, out).await,
        None => {
            if out.json {
                out.document(&batch)?;
            } else {
                out.bytes(format!("{}\n", batch.id).as_bytes())?;
                out.note(&format!(
                    "{} taken; `egret results {} --follow` prints what they bring",
                    counted(batch.jobs_total, "job"),
                    batch.id
                ));
            }
            Ok(Exit::Done)
        }
    }
}

pub(super) fn nothing_taken(file: &Path, rejected: u64) -> Failure {
    let file = if file == Path::new("-") { "stdin".into() } else { file.display().to_string() };
    Failure::usage(match rejected {
        0 => format!("{file} holds no target; write one a line, such as example.com"),
        1 => format!("the only line of {file} was rejected; mend it as said above"),
        _ => format!("all {rejected} lines of {file} were rejected; mend them as said above"),
    })
}

/// What is sent, with a count of what has been read.
struct Input {
    lines: Box<dyn AsyncRead + Send + Unpin>,
    read: Arc<AtomicU64>,
}

impl AsyncRead for Input {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = into.filled().len();
        let polled = Pin::new(&mut self.lines).poll_read(context, into);
        self.read.fetch_add((into.filled().len() - before) as u64, Ordering::Relaxed);
        polled
    }
}

/// Opens the file and looks at its beginning: a brace begins JSON, anything else a target.
async fn open(path: &Path) -> Result<(Input, LineFormat), Failure> {
    let mut lines = BufReader::with_capacity(64 << 10, read(path).await?);
    let begins = lines.fill_buf().await.map_err(|error| unreadable(path, &error))?.trim_ascii_start().first()
        == Some(&b'{');
    let format = if begins { LineFormat::Ndjson } else { LineFormat::Text };
    Ok((Input { lines: Box::new(lines), read: Arc::default() }, format))
}

/// The lines of a file, or of stdin.
pub(super) async fn read(path: &Path) -> Result<Box<dyn AsyncRead + Send + Unpin>, Failure> {
    if path == Path::new("-") {
        return Ok(Box::new(tokio::io::stdin()));
    }
    let file = tokio::fs::File::open(path).await;
    Ok(Box::new(file.map_err(|error| unreadable(path, &error))?))
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::usage(format!(
        "{} cannot be read: {error}; name a file of targets, or - for stdin",
        path.display()
    ))
}

async fn upload(
    args: &SubmitArgs,
    (input, format): (Input, LineFormat),
    client: &Client,
    out: &Out,
) -> Result<BatchView, Failure> {
    let default_kind = (format == LineFormat::Text).then_some(Lookup::Domain);
    let options = UploadOptions {
        lookup: args.kind.or(default_kind),
        service: args.service.clone(),
        priority: args.priority,
        deadline: args.deadline,
        exact: args.exact,
        follow: args.follow,
        max_age: args.max_age,
        keep: args.keep,
    };
    let read = Arc::clone(&input.read);
    let mut progress = Progress::new(out, None);
    let mut beat = tokio::time::interval(Duration::from_millis(250));
    let sent = client.submit_lines(input, format, &options);
    tokio::pin!(sent);
    loop {
        tokio::select! {
            batch = &mut sent => return Ok(batch?),
            _ = beat.tick() => progress.show_sent(read.load(Ordering::Relaxed)),
        }
    }
}

pub(super) fn tell_rejected(rejected: &[RejectedLine], total: u64, out: &Out) {
    for line in rejected.iter().take(REJECTED_SHOWN) {
        out.complain(&format!("line {}: {} ({})", line.line, line.detail, line.code));
    }
    let more = total.saturating_sub(REJECTED_SHOWN as u64);
    if more > 0 {
        out.complain(&format!("{more} more lines were rejected"));
    }
}

async fn wait(
    args: &SubmitArgs,
    batch: &BatchView,
    sink: &mut Sink,
    client: &Client,
    out: &Out,
) -> Result<Exit, Failure> {
    sink.begin()?;
    out.note(&format!("{}: {} taken", batch.id, counted(batch.jobs_total, "job")));
    let mut progress = sink.progress(out, Some(batch.jobs_total));
    let tally = follow(client, client.results(&batch.id, true, None), sink, &mut progress).await?;
    let elapsed = progress.elapsed();
    drop(progress);
    let ended = client.batch(&batch.id).await?;
    if out.json && args.output.is_some() {
        out.document(&ended)?;
    }
    out.note(&summary(&tally, &ended, elapsed));
    Ok(if tally.has_failures() { Exit::Failed } else { Exit::Done })
}

/// `200 answered, 0 failed, 0 expired, 0 cancelled, 0 refused attempts, 1 rejected line, in 9.8 s`.
fn summary(tally: &Tally, batch: &BatchView, elapsed: Duration) -> String {
    let Tally { answered, failed, expired, cancelled, refused } = *tally;
    // The coordinator forgets its count when it restarts; the results remember.
    let refused = refused.max(batch.refusals);
    let attempts = counted(refused, "refused attempt");
    let lines = counted(batch.rejected_total, "rejected line");
    format!(
        "{answered} answered, {failed} failed, {expired} expired, {cancelled} cancelled, {attempts}, {lines}, in {}",
        brief(elapsed)
    )
}
