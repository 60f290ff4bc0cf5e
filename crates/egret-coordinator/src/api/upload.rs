//! Many jobs at once: arrays, and streams of lines without an upper bound.
//!
//! Lines are checked one by one, as they come; a bad one is reported by its number and takes no other
//! with it. Good ones go to the store in pieces. Nothing of a batch is granted before the body has
//! ended, and a body that breaks off leaves a cancelled batch.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use axum::body::Body;
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Json, Response};
use egret_core::id::{BatchId, ServiceId};
use egret_core::scheduler::Place;
use egret_store::{BatchEnd, BatchRow, Commit, Flow, JobRow, RejectedRow};
use egret_wire::api::{Deadline, JobRequest, Keep, Lookup, Priority};
use egret_wire::problem::Code;
use egret_wire::value::{Span, Time};
use tokio::sync::mpsc::error::SendError;

use super::accept::{Accepted, accept, release, reserve};
use super::caller::Caller;
use super::jobs::{read_request, unknown_parameter};
use super::lines::LineReader;
use super::{Failure, Shared, batches, keys, shown};
use crate::drive::{Job, Message, Progress};

/// Jobs that go to the store in one piece.
const PIECE: usize = 1_000;
/// Jobs of a batch that are handed over as they are; of more, the store has all of them read again in their turn.
const KEPT: u64 = 4_096;

/// What a line is.
pub(super) enum Lines {
    /// A JSON object.
    Json,
    /// A target; the query string says the rest.
    Targets,
}

type Read = Result<JobRequest, Failure>;

pub(super) fn json_line(text: &str) -> Read {
    read_request(text.as_bytes())
}

/// An array of requests.
pub(super) async fn array(
    shared: &Arc<Shared>,
    caller: Caller,
    id: BatchId,
    requests: Vec<Read>,
) -> Result<Response, Failure> {
    let mut batch = Receiving::open(Arc::clone(shared), caller, id).await?;
    for request in requests {
        batch.line(request).await?;
    }
    batch.close().await
}

/// A stream of lines.
pub(super) async fn stream(
    shared: Arc<Shared>,
    caller: Caller,
    lines: Lines,
    query: &HashMap<String, String>,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    if headers.contains_key(keys::HEADER) {
        let detail = "an Idempotency-Key is taken with JSON bodies only";
        return Err(Failure::new(Code::InvalidField, detail).at("/Idempotency-Key"));
    }
    let options = match lines {
        Lines::Json => {
            options(query)?;
            Said::Fields(query.clone())
        }
        Lines::Targets => Said::All(Box::new(options(query)?)),
    };
    let id = BatchId(shared.next_id());
    let mut batch = Receiving::open(shared, caller, id).await?;
    let mut lines = LineReader::new(body);
    while let Some(line) = lines.next().await? {
        match line {
            Ok(line) => batch.bytes(&line, &options).await?,
            Err(failure) => batch.line(Err(failure)).await?,
        }
    }
    batch.close().await
}

/// What the query string says.
enum Said {
    /// Everything but the target.
    All(Box<JobRequest>),
    /// What holds for every line that does not say otherwise.
    Fields(HashMap<String, String>),
}

fn with_fields(line: &[u8], fields: &HashMap<String, String>) -> Read {
    let Ok(mut object) = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(line) else {
        return read_request(line);
    };
    for (key, value) in fields {
        let value =
            if key == "exact" { serde_json::Value::Bool(value == "true") } else { value.clone().into() };
        object.entry(key.clone()).or_insert(value);
    }
    let line =
        serde_json::to_vec(&object).map_err(|error| Failure::new(Code::Internal, error.to_string()))?;
    read_request(&line)
}

/// What the query string says of every target.
pub(super) fn options(query: &HashMap<String, String>) -> Result<JobRequest, Failure> {
    let mut request = JobRequest {
        lookup: Lookup::Domain,
        target: None,
        request: None,
        service: None,
        priority: Priority::default(),
        deadline: None,
        exact: false,
        follow: None,
        max_age: None,
        keep: Keep::Both,
        reference: None,
        labels: std::collections::BTreeMap::new(),
        egress: None,
    };
    for (key, value) in query {
        let invalid = || {
            Failure::new(Code::InvalidField, format!("{} is no {key}", shown(value))).at(&format!("/{key}"))
        };
        let word = || serde_json::Value::String(value.clone());
        match key.as_str() {
            "lookup" => request.lookup = serde_json::from_value(word()).map_err(|_| invalid())?,
            "priority" => request.priority = serde_json::from_value(word()).map_err(|_| invalid())?,
            "service" => request.service = Some(value.clone()),
            "exact" => request.exact = value.parse().map_err(|_| invalid())?,
            "follow" => request.follow = Some(value.parse().map_err(|_| invalid())?),
            "keep" => request.keep = serde_json::from_value(word()).map_err(|_| invalid())?,
            "max_age" => request.max_age = Some(value.parse().map_err(|_| invalid())?),
            "deadline" => {
                let span = value.parse::<Span>().map(Deadline::In).ok();
                let time = || value.parse::<Time>().map(Deadline::At).ok();
                request.deadline = Some(span.or_else(time).ok_or_else(invalid)?);
            }
            _ => return Err(unknown_parameter(key)),
        }
    }
    Ok(request)
}

/// A batch whose body has not ended. Dropped before [`Receiving::close`], it is cancelled.
struct Receiving {
    shared: Arc<Shared>,
    caller: Caller,
    id: BatchId,
    created_ms: u64,
    line: u64,
    rows: Vec<JobRow>,
    /// The first of them; more than memory holds are read from the store when their turn comes near.
    jobs: Vec<Job>,
    total: u64,
    flows: HashMap<Arc<Flow>, (ServiceId, u64, Place)>,
    rejected: Vec<RejectedRow>,
    rejected_total: u64,
    commits: Vec<Commit>,
    is_closed: bool,
}

impl Receiving {
    async fn open(shared: Arc<Shared>, caller: Caller, id: BatchId) -> Result<Self, Failure> {
        let created_ms = shared.clock.wall_ms();
        let commit =
            shared.store.open_batch(BatchRow { id, owner: caller.owner().to_owned(), created_ms }).await?;
        Ok(Self {
            shared,
            caller,
            id,
            created_ms,
            line: 0,
            rows: Vec::new(),
            jobs: Vec::new(),
            total: 0,
            flows: HashMap::new(),
            rejected: Vec::new(),
            rejected_total: 0,
            commits: vec![commit],
            is_closed: false,
        })
    }

    /// Takes one line of a stream, without its end.
    async fn bytes(&mut self, line: &[u8], options: &Said) -> Result<(), Failure> {
        if line.iter().all(u8::is_ascii_whitespace) {
            self.line += 1;
            return Ok(());
        }
        let request = match options {
            Said::Fields(fields) if fields.is_empty() => read_request(line),
            Said::Fields(fields) => with_fields(line, fields),
            Said::All(options) => match std::str::from_utf8(line) {
                Ok(target) => Ok(JobRequest { target: Some(target.to_owned()), ..(**options).clone() }),
                Err(_) => Err(Failure::new(Code::InvalidTarget, "the line is not UTF-8")),
            },
        };
        self.line(request).await
    }

    /// Takes one request, or notes why not.
    async fn line(&mut self, request: Read) -> Result<(), Failure> {
        self.line += 1;
        match request.and_then(|request| accept(&self.shared, &self.caller, request, Some(self.id))) {
            Ok(Accepted { row, job }) => {
                reserve(&self.shared, 1)?;
                self.total += 1;
                let place = (job.deadline, job.id);
                let flow = self.flows.entry(Arc::clone(&row.flow)).or_insert((job.service, 0, place));
                (flow.1, flow.2) = (flow.1 + 1, flow.2.max(place));
                if self.total <= KEPT {
                    self.jobs.push(job);
                } else {
                    self.jobs = Vec::new();
                }
                self.rows.push(row);
            }
            Err(Failure(problem)) => {
                self.rejected_total += 1;
                let code = problem.code.as_str().to_owned();
                self.rejected.push(RejectedRow { line: self.line, code, detail: problem.detail });
            }
        }
        if self.rows.len() >= PIECE || self.rejected.len() >= PIECE {
            self.flush().await?;
        }
        Ok(())
    }

    /// Hands what has come to the store's writer; its queue is the back-pressure on the upload.
    async fn flush(&mut self) -> Result<(), Failure> {
        if !self.rows.is_empty() {
            let rows = std::mem::take(&mut self.rows);
            self.commits.push(self.shared.store.append_jobs(rows).await?);
        }
        if !self.rejected.is_empty() {
            let rejected = std::mem::take(&mut self.rejected);
            self.commits.push(self.shared.store.append_rejected(self.id, rejected).await?);
        }
        // Commits end in order: waiting for old ones keeps their number small.
        while self.commits.len() > 8 {
            self.commits.remove(0).await?;
        }
        Ok(())
    }

    /// The body has ended: once all of it is on disk, its jobs may run.
    async fn close(self) -> Result<Response, Failure> {
        super::to_the_end(self.finish()).await
    }

    async fn finish(mut self) -> Result<Response, Failure> {
        self.flush().await?;
        for commit in std::mem::take(&mut self.commits) {
            commit.await?;
        }
        let total = self.total;
        let end = BatchEnd::Closed { jobs: total, rejected: self.rejected_total };
        self.shared.store.end_batch(self.id, end).await?.await?;
        self.is_closed = true;
        let kept = self.shared.store.batch(self.id).await?;
        if kept.is_none_or(|kept| kept.end == Some(BatchEnd::Cancelled)) {
            release(&self.shared, total as usize);
            return Ok((
                StatusCode::ACCEPTED,
                Json(batches::current(&self.shared, &self.caller, self.id).await?),
            )
                .into_response());
        }
        let batch = (self.id, Progress::new(total, [0; 4], self.shared.clock.now()));
        self.hand_over(batch).await.map_err(|_| {
            Failure::new(
                Code::NotReady,
                "the coordinator is stopping; the batch goes on after its next start",
            )
        })?;
        let view = batches::current(&self.shared, &self.caller, self.id).await?;
        let mut response = (StatusCode::ACCEPTED, Json(view)).into_response();
        if let Ok(location) = HeaderValue::from_str(&format!("/v1/batches/{}", self.id)) {
            response.headers_mut().insert(LOCATION, location);
        }
        Ok(response)
    }

    /// Tells the drive of the batch and of its jobs: of how many there are, or of each with the answer to it that
    /// the cache has.
    async fn hand_over(&mut self, batch: (BatchId, Progress)) -> Result<(), SendError<Message>> {
        if self.total > KEPT {
            let flows = std::mem::take(&mut self.flows).into_iter();
            let flows = flows.map(|(flow, (service, jobs, last))| (flow, service, jobs, last)).collect();
            return self.shared.drive.send(Message::Flows { flows, batch: Some(batch) }).await;
        }
        let mut jobs = VecDeque::from(std::mem::take(&mut self.jobs));
        jobs.iter().for_each(|job| {
            self.shared.airborne.insert(job.id);
        });
        // The batch first, so that it can be cancelled while its jobs are on their way.
        let mut piece = Vec::new();
        loop {
            let submit = Message::Submit { jobs: piece, batch: Some(batch.clone()) };
            self.shared.drive.send(submit).await?;
            if jobs.is_empty() {
                return Ok(());
            }
            piece = self.shared.cache.next(&mut jobs, |job| Some(job)).await;
        }
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        if self.is_closed {
            return;
        }
        release(&self.shared, self.total as usize);
        tracing::warn!(batch = %self.id, created_ms = self.created_ms, "the upload broke off after {} lines; nothing of it will run", self.line);
        let (shared, id) = (Arc::clone(&self.shared), self.id);
        // If the coordinator stops before this is written, its next start cancels the batch.
        tokio::spawn(async move {
            if let Ok(commit) = shared.store.end_batch(id, BatchEnd::Cancelled).await {
                let _ = commit.await;
            }
        });
    }
}
