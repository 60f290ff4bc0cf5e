//! The results of a batch as they come in, into a file or to stdout, until the last.

use std::borrow::Cow;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Stdout, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use egret_client::{Client, ClientError, ResultLine, Results};
use egret_wire::api::JobView;
use egret_wire::csv;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::commands::lookup::{outcome_word, why_not};
use crate::exit::{Exit, Failure};
use crate::out::Out;
use crate::progress::{Progress, Tally};
use crate::screen::{sanitize_json, sanitize_line};
use crate::signals::Signals;

/// Results read ahead of the writing.
const AHEAD: usize = 256;
/// What has come is written through, and the bar redrawn, this often (chosen).
const BEAT: Duration = Duration::from_millis(250);
/// The coordinator is asked for the refusals this often (chosen).
const ASK_EVERY: Duration = Duration::from_secs(2);

/// Where results go, and as what.
pub(crate) struct Sink {
    to: To,
    form: Form,
}

enum To {
    File(BufWriter<File>, PathBuf),
    Stdout(BufWriter<Stdout>),
    Nowhere,
}

#[derive(Clone, Copy)]
enum Form {
    /// A JSON document a line, byte for byte as it came.
    AsItCame,
    /// The same, fit for a screen.
    Json,
    /// A row for spreadsheets.
    Csv,
    /// A line for people.
    Line,
}

impl Sink {
    /// The file named on the command line (`-`: stdout as JSON), or stdout as the user likes it; as CSV if they say so.
    ///
    /// What a file held stays until [`Sink::begin`].
    pub(crate) fn open(path: Option<&Path>, csv: bool, out: &Out) -> Result<Self, Failure> {
        if let Some(path) = path.filter(|path| *path != Path::new("-")) {
            let file = OpenOptions::new().create(true).append(true).open(path).map_err(|error| {
                Failure::usage(format!(
                    "{} cannot be written: {error}; name another file with -o",
                    path.display()
                ))
            })?;
            let form = if csv { Form::Csv } else { Form::AsItCame };
            return Ok(Self { to: To::File(BufWriter::new(file), path.to_owned()), form });
        }
        let form = match path.is_some() || out.json {
            _ if csv => Form::Csv,
            true => Form::Json,
            false => Form::Line,
        };
        Ok(Self { to: To::Stdout(BufWriter::new(io::stdout())), form })
    }

    /// No place at all: results are only counted.
    pub(crate) fn nowhere() -> Self {
        Self { to: To::Nowhere, form: Form::AsItCame }
    }

    /// Forgets what the file held: there is something to put into it now. The names of columns come first.
    pub(crate) fn begin(&mut self) -> Result<(), Failure> {
        if let To::File(file, path) = &self.to
            && file.get_ref().metadata().is_ok_and(|metadata| metadata.is_file())
        {
            file.get_ref().set_len(0).map_err(|error| lost(path, &error))?;
        }
        match self.form {
            Form::Csv => self.put(csv::header().trim_end().as_bytes()),
            Form::AsItCame | Form::Json | Form::Line => Ok(()),
        }
    }

    /// Progress to go with it: where every result is seen as it comes, a bar would only be in the way.
    pub(crate) fn progress(&self, out: &Out, total: Option<u64>) -> Progress {
        match self.to {
            To::Stdout(_) if out.is_screen => Progress::unseen(out, total),
            _ => Progress::new(out, total),
        }
    }

    fn write(&mut self, line: &ResultLine) -> Result<(), Failure> {
        let text = match self.form {
            Form::AsItCame => Cow::Borrowed(&line.text[..]),
            Form::Json => bytes(sanitize_json(&String::from_utf8_lossy(&line.text))),
            Form::Csv => bytes(sanitize_line(csv::row(&line.job).trim_end())),
            Form::Line => bytes(sanitize_line(&told(&line.job))),
        };
        self.put(&text)
    }

    fn put(&mut self, line: &[u8]) -> Result<(), Failure> {
        let end: &[u8] = if matches!(self.form, Form::Csv) { b"\r\n" } else { b"\n" };
        match &mut self.to {
            To::File(file, path) => put(file, line, end).map_err(|error| lost(path, &error)),
            To::Stdout(stdout) => Ok(put(stdout, line, end)?),
            To::Nowhere => Ok(()),
        }
    }

    fn flush(&mut self) -> Result<(), Failure> {
        match &mut self.to {
            To::File(file, path) => file.flush().map_err(|error| lost(path, &error)),
            To::Stdout(stdout) => Ok(stdout.flush()?),
            To::Nowhere => Ok(()),
        }
    }

    /// What is said on the command line to go on with it.
    fn flags(&self) -> String {
        let csv = if matches!(self.form, Form::Csv) { " --csv" } else { "" };
        match &self.to {
            To::File(_, path) => format!("{csv} -o {}", path.display()),
            To::Stdout(_) | To::Nowhere => csv.to_owned(),
        }
    }
}

fn bytes(text: Cow<'_, str>) -> Cow<'static, [u8]> {
    Cow::Owned(text.into_owned().into_bytes())
}

fn put(writer: &mut impl Write, line: &[u8], end: &[u8]) -> io::Result<()> {
    writer.write_all(line)?;
    writer.write_all(end)
}

fn lost(path: &Path, error: &io::Error) -> Failure {
    Failure::new(Exit::Failed, format!("{} cannot be written: {error}", path.display()))
}

/// `example.com  found  whois.example  203.0.113.7  84 ms`.
fn told(job: &JobView) -> String {
    let Some(answer) = &job.result.answer else { return format!("{}  {}", job.target, why_not(job)) };
    let outcome = outcome_word(answer);
    match job.result.attempts.last() {
        Some(last) => {
            format!("{}  {outcome}  {}  {}  {} ms", job.target, last.service, last.egress, last.took_ms)
        }
        None => format!("{}  {outcome}  {}", job.target, job.service),
    }
}

/// Writes every result of `batch` to `sink`, counting as it goes.
///
/// A failure names the place to read on from. An interrupt ends the reading, not the batch.
pub(crate) async fn follow(
    client: &Client,
    results: Results,
    sink: &mut Sink,
    progress: &mut Progress,
) -> Result<Tally, Failure> {
    let mut so_far = SoFar { cursor: results.cursor().map(str::to_owned), ..SoFar::default() };
    let batch = results.batch().to_owned();
    let refusals = Refusals::watch(client.clone(), batch.clone());
    let pumped = pump(results, sink, progress, &mut so_far, &refusals).await;
    let written = so_far.write_through(sink);
    match pumped.and(written) {
        Ok(()) => Ok(so_far.tally),
        Err(failure) if matches!(failure.exit, Exit::Done | Exit::Usage | Exit::NotAllowed) => Err(failure),
        Err(failure) => {
            let on = so_far.written.map(|cursor| format!(" --cursor {cursor}")).unwrap_or_default();
            let into = sink.flags();
            let text =
                format!("{}; the batch goes on: `egret results {batch} --follow{on}{into}`", failure.text);
            Err(Failure::new(failure.exit, text))
        }
    }
}

/// What has been read.
#[derive(Default)]
struct SoFar {
    tally: Tally,
    /// After the last result.
    cursor: Option<String>,
    /// After the last result that is surely written.
    written: Option<String>,
}

impl SoFar {
    fn write_through(&mut self, sink: &mut Sink) -> Result<(), Failure> {
        sink.flush()?;
        self.written.clone_from(&self.cursor);
        Ok(())
    }
}

async fn pump(
    results: Results,
    sink: &mut Sink,
    progress: &mut Progress,
    so_far: &mut SoFar,
    refusals: &Refusals,
) -> Result<(), Failure> {
    let mut signals = Signals::new()?;
    let mut lines = read_ahead(results);
    let mut beat = tokio::time::interval(BEAT);
    loop {
        tokio::select! {
            line = lines.recv() => {
                let Some(line) = line.transpose()? else { return Ok(()) };
                sink.write(&line)?;
                so_far.tally.count(&line.job);
                if line.job.cursor.is_some() {
                    so_far.cursor = line.job.cursor;
                }
            }
            _ = beat.tick() => {
                progress.show(&so_far.tally, refusals.count());
                so_far.write_through(sink)?;
            }
            () = signals.next() => return Err(Failure::new(Exit::Interrupted, "interrupted")),
        }
    }
}

/// Reads in a task of its own, so that nothing is lost when the reader of the channel looks elsewhere.
fn read_ahead(mut results: Results) -> mpsc::Receiver<Result<ResultLine, ClientError>> {
    let (sender, receiver) = mpsc::channel(AHEAD);
    tokio::spawn(async move {
        while let Some(line) = results.next().await {
            if sender.send(line).await.is_err() {
                return;
            }
        }
    });
    receiver
}

/// The refusals of a batch, those of jobs that still run included, which no result tells.
struct Refusals {
    seen: Arc<AtomicU64>,
    asking: JoinHandle<()>,
}

impl Refusals {
    fn watch(client: Client, batch: String) -> Self {
        let seen = Arc::new(AtomicU64::new(0));
        let asked = Arc::clone(&seen);
        let asking = tokio::spawn(async move {
            loop {
                tokio::time::sleep(ASK_EVERY).await;
                if let Ok(batch) = client.batch(&batch).await {
                    asked.fetch_max(batch.refusals, Ordering::Relaxed);
                }
            }
        });
        Self { seen, asking }
    }

    fn count(&self) -> u64 {
        self.seen.load(Ordering::Relaxed)
    }
}

impl Drop for Refusals {
    fn drop(&mut self) {
        self.asking.abort();
    }
}
