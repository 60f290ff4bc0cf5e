//! Jobs: submitted, shown, listed, cancelled.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, Query, State};
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Json, Response};
use egret_core::id::{BatchId, JobId};
use egret_store::{Commit, EndState, JobFilter, JobRow, Kept, OutcomeRow};
use egret_wire::api::{JobRequest, JobResult, JobState, JobView, Page};
use egret_wire::problem::{Code, Problem};
use egret_wire::value::{Span, Time};
use serde::de::{DeserializeOwned, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use tokio::sync::oneshot;

use super::accept::{Accepted, Spec, accept, release, reserve};
use super::caller::Caller;
use super::{Failure, Shared, keys, not_found, record, shown, upload};
use crate::drive::{Live, Message};

/// A JSON body is at most this long, in bytes.
const MOST_BODY: usize = 16 << 20;
/// An array holds at most this many jobs; more go as a stream.
const MOST_ITEMS: usize = 10_000;
/// A JSON body has arrived whole by then.
pub(super) const BODY_DEADLINE: Duration = Duration::from_secs(60);
/// The longest wait for an answer that a caller may ask for.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(600);
/// How long a commit takes, about, and how many of them a reader waits for a job that is on its way to disk.
const COMMIT: Duration = Duration::from_millis(10);
const COMMITS_WAITED: usize = 200;
/// How often a job that waits in the store is looked for while its flow is being read.
const READINGS_WAITED: usize = 100;
/// Items on a page: unless told, and at most.
const PAGE: usize = 100;
const MOST_PAGE: usize = 1_000;

/// `POST /v1/jobs`.
pub(crate) async fn submit(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    check_ready(&shared)?;
    let media = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match media.split(';').next().unwrap_or_default().trim() {
        "application/json" => {
            let wait = wait(&query, &headers)?;
            let bytes = tokio::time::timeout(BODY_DEADLINE, to_bytes(body, MOST_BODY))
                .await
                .map_err(|_| Failure::new(Code::TimedOut, "the body did not arrive within 60 s"))?
                .map_err(|_| {
                    Failure::new(
                        Code::TooLarge,
                        "a JSON body is at most 16 MiB; send more as application/x-ndjson",
                    )
                })?;
            // In a task of its own: a caller that hangs up must not leave a job half submitted.
            let request = async move {
                let headers = headers;
                let run = |id| json(&shared, &caller, &bytes, wait, id);
                keys::once(&shared, &caller, &headers, &bytes, run).await
            };
            super::to_the_end(request).await
        }
        "application/x-ndjson" => {
            upload::stream(shared, caller, upload::Lines::Json, &query, &headers, body).await
        }
        "text/plain" => upload::stream(shared, caller, upload::Lines::Targets, &query, &headers, body).await,
        other => Err(Failure::new(
            Code::UnsupportedMediaType,
            format!(
                "{} is not taken; send application/json, application/x-ndjson or text/plain",
                shown(other)
            ),
        )),
    }
}

/// # Errors
/// `not_ready`: the coordinator takes no work now.
pub(super) fn check_ready(shared: &Shared) -> Result<(), Failure> {
    if shared.is_ready.load(Ordering::Acquire) {
        return Ok(());
    }
    Err(Failure::new(Code::NotReady, "the coordinator is starting or stopping; try again in a moment"))
}

async fn json(
    shared: &Arc<Shared>,
    caller: &Caller,
    bytes: &[u8],
    wait: Option<Duration>,
    id: u64,
) -> Result<Response, Failure> {
    if bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[') {
        let AtMost(items) = serde_json::from_slice(bytes)
            .map_err(|error| Failure::new(Code::InvalidJson, format!("the body does not parse: {error}")))?;
        if items.len() > MOST_ITEMS {
            return Err(Failure::new(
                Code::TooLarge,
                format!("an array holds at most {MOST_ITEMS} jobs; send more as application/x-ndjson"),
            ));
        }
        let lines = items.into_iter().map(|item| upload::json_line(item.get()));
        return upload::array(shared, caller.clone(), BatchId(id), lines.collect()).await;
    }
    let request = read_request(bytes)?;
    let accepted = accept(shared, caller, request, None)?.named(JobId(id));
    reserve(shared, 1)?;
    one(shared, accepted, wait).await
}

/// The items of an array, no more than one too many: a long one is not to be held only to be refused.
struct AtMost(Vec<Box<RawValue>>);

impl<'de> Deserialize<'de> for AtMost {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Items;
        impl<'de> Visitor<'de> for Items {
            type Value = AtMost;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an array of jobs")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<AtMost, A::Error> {
                let mut items = Vec::new();
                while items.len() <= MOST_ITEMS
                    && let Some(item) = seq.next_element()?
                {
                    items.push(item);
                }
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(AtMost(items))
            }
        }
        deserializer.deserialize_seq(Items)
    }
}

/// A job that somebody waits for.
pub(super) struct Awaited {
    pub(super) kept: Kept,
    /// Its row is on its way to the disk.
    commit: Commit,
    /// Told before the record of it is on disk.
    pub(super) ended: oneshot::Receiver<Arc<OutcomeRow>>,
}

/// Stores and submits one job for which room is reserved. No 202 is given, so nothing is promised yet: neither its
/// call nor its end waits for the disk.
pub(super) async fn launch(shared: &Arc<Shared>, accepted: Accepted) -> Result<Awaited, Failure> {
    let Accepted { row, mut job } = accepted;
    job.is_stored = false;
    let (id, kept) = (row.id, Kept { job: row.clone(), outcome: None, discarded: false });
    let commit = append(shared, row).await?;
    shared.cache.look(&mut job).await;
    let (sender, ended) = oneshot::channel();
    shared.waiters.insert(id, sender);
    shared.drive.send(Message::Submit { jobs: vec![job], batch: None }).await.map_err(|_| stopping())?;
    Ok(Awaited { kept, commit, ended })
}

/// Hands a row to the store, as one of a job that is on its way to the drive.
async fn append(shared: &Shared, row: JobRow) -> Result<Commit, Failure> {
    let id = row.id;
    shared.airborne.insert(id);
    Ok(shared.store.append_jobs(vec![row]).await.inspect_err(|_| grounded(shared, id))?)
}

/// A job that did not get to the drive.
fn grounded(shared: &Shared, id: JobId) {
    shared.airborne.remove(&id);
    release(shared, 1);
}

fn stopping() -> Failure {
    Failure::new(Code::NotReady, "the coordinator is stopping")
}

/// Stores and submits one job, and waits for its end if asked to.
async fn one(shared: &Arc<Shared>, accepted: Accepted, wait: Option<Duration>) -> Result<Response, Failure> {
    let id = accepted.row.id;
    let kept = if let Some(wait) = wait {
        let Awaited { kept, commit, ended } = launch(shared, accepted).await?;
        let ended = tokio::time::timeout(wait, ended).await;
        shared.waiters.remove(&id);
        if let Ok(Ok(outcome)) = ended {
            return Ok((StatusCode::OK, Json(view(&kept, Some(&outcome), None)?)).into_response());
        }
        commit.await?;
        kept
    } else {
        let Accepted { row, mut job } = accepted;
        let kept = Kept { job: row.clone(), outcome: None, discarded: false };
        let commit = append(shared, row).await?;
        shared.cache.look(&mut job).await;
        commit.await.inspect_err(|_| grounded(shared, id))?;
        let submit = Message::Submit { jobs: vec![job], batch: None };
        shared.drive.send(submit).await.map_err(|_| stopping())?;
        kept
    };
    let live = shared.ask(move |drive, _| drive.live(id)).await?;
    let mut response = (StatusCode::ACCEPTED, Json(with_live(&kept, live)?)).into_response();
    if let Ok(location) = HeaderValue::from_str(&format!("/v1/jobs/{id}")) {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

/// `GET /v1/jobs/{id}`.
pub(crate) async fn show(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<JobView>, Failure> {
    Ok(Json(current(&shared, &caller, &id).await?))
}

/// A job that this caller sees, as it is now.
pub(super) async fn current(shared: &Shared, caller: &Caller, text: &str) -> Result<JobView, Failure> {
    let id: JobId = text.parse().map_err(|_| not_found("job", text))?;
    for wait in (0..COMMITS_WAITED).rev() {
        // The drive first: what it has let go of by then is on disk.
        let live = shared.ask(move |drive, _| drive.live(id)).await?;
        match (shared.store.job(id).await?, &live) {
            (Some(kept), _) if !caller.sees(&kept.job.flow.owner) => break,
            // The record of its end is about to be on disk.
            (Some(Kept { outcome: None, .. }), Live::Ended(_)) if wait > 0 => {}
            (Some(kept), _) => return with_live(&kept, live),
            (None, Live::Unknown) => break,
            // A waited lookup is answered before its commit, and asked for at once.
            (None, _) => {}
        }
        tokio::time::sleep(COMMIT).await;
    }
    Err(not_found("job", text))
}

/// `DELETE /v1/jobs/{id}`: cancelling what has ended changes nothing.
pub(crate) async fn cancel(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(text): Path<String>,
) -> Result<Json<JobView>, Failure> {
    let id: JobId = text.parse().map_err(|_| not_found("job", &text))?;
    // What the caller does not see it cannot cancel either.
    current(&shared, &caller, &text).await?;
    for _ in 0..READINGS_WAITED {
        let Some(kept) = shared.store.job(id).await? else {
            // A waited lookup that is on its way to the disk.
            if shared.ask(move |drive, now| drive.cancel(id, now)).await? {
                break;
            }
            tokio::time::sleep(COMMIT).await;
            continue;
        };
        let flow = Arc::clone(&kept.job.flow);
        let (is_over, readings) =
            shared.ask(move |drive, now| (drive.cancel(id, now), drive.readings(&flow))).await?;
        // What the drive does not hold has ended, or waits in the store unless it was read since.
        if is_over || shared.store.job(id).await?.is_none_or(|kept| kept.outcome.is_some() || kept.discarded)
        {
            break;
        }
        let flow = kept.job.flow;
        if shared.ask(move |drive, now| drive.cancel_stored(id, &flow, readings, now)).await? {
            break;
        }
        tokio::time::sleep(COMMIT).await;
    }
    Ok(Json(current(&shared, &caller, &text).await?))
}

/// The query of `GET /v1/jobs`; labels are `label.KEY=VALUE`.
struct ListQuery {
    batch: Option<String>,
    state: Option<String>,
    service: Option<String>,
    cursor: Option<String>,
    limit: Option<usize>,
    rest: HashMap<String, String>,
}

/// `GET /v1/jobs`, newest first.
pub(crate) async fn list(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Json<Page<JobView>>, Failure> {
    let query = ListQuery::read(query)?;
    let wanted = query.state()?;
    let filter = JobFilter {
        before: id_of(query.cursor.as_deref(), "cursor")?,
        batch: id_of(query.batch.as_deref(), "batch")?,
        owner: caller.sees_only().map(str::to_owned),
        service: query.service.clone(),
        state: wanted.map(stored_state),
        labels: query.labels()?,
    };
    let limit = query.limit.unwrap_or(PAGE).clamp(1, MOST_PAGE);
    let kept = shared.store.jobs(filter, limit).await?;
    let next_cursor = kept.last().filter(|_| kept.len() == limit).map(|last| last.job.id.to_string());
    let ids: Vec<JobId> = kept.iter().filter(|kept| kept.outcome.is_none()).map(|kept| kept.job.id).collect();
    let mut live: HashMap<JobId, Live> =
        shared.ask(move |drive, _| ids.into_iter().map(|id| (id, drive.live(id))).collect()).await?;
    let views = kept.into_iter().map(|kept| {
        let live = live.remove(&kept.job.id).unwrap_or(Live::Unknown);
        with_live(&kept, live)
    });
    let mut items = views.collect::<Result<Vec<_>, _>>()?;
    items.retain(|view| wanted.is_none_or(|state| view.state == state));
    Ok(Json(Page { items, next_cursor }))
}

impl ListQuery {
    fn read(mut query: HashMap<String, String>) -> Result<Self, Failure> {
        let limit = match query.remove("limit") {
            Some(text) => Some(text.parse().map_err(|_| {
                Failure::new(Code::InvalidField, format!("limit {} is not a number", shown(&text)))
                    .at("/limit")
            })?),
            None => None,
        };
        Ok(Self {
            batch: query.remove("batch"),
            state: query.remove("state"),
            service: query.remove("service"),
            cursor: query.remove("cursor"),
            limit,
            rest: query,
        })
    }

    fn state(&self) -> Result<Option<JobState>, Failure> {
        let Some(text) = &self.state else { return Ok(None) };
        let state = serde_json::from_value(serde_json::Value::String(text.clone()));
        state.map(Some).map_err(|_| {
            let detail =
                format!("{} is no state: queued, running, done, failed, expired, cancelled", shown(text));
            Failure::new(Code::InvalidField, detail).at("/state")
        })
    }

    fn labels(&self) -> Result<Vec<(String, String)>, Failure> {
        let label = |(key, value): (&String, &String)| match key.strip_prefix("label.") {
            Some(key) => Ok((key.to_owned(), value.clone())),
            None => Err(unknown_parameter(key)),
        };
        self.rest.iter().map(label).collect()
    }
}

pub(super) fn unknown_parameter(key: &str) -> Failure {
    Failure::new(Code::UnknownField, format!("no parameter {}", shown(key))).at(&format!("/{key}"))
}

pub(super) fn id_of<T: std::str::FromStr>(text: Option<&str>, field: &str) -> Result<Option<T>, Failure> {
    let wrong = |text: &str| {
        let detail =
            format!("{} is no {field} of this coordinator's; take it from one of its answers", shown(text));
        Failure::new(Code::InvalidField, detail).at(&format!("/{field}"))
    };
    text.map(|text| text.parse().map_err(|_| wrong(text))).transpose()
}

fn stored_state(state: JobState) -> Option<EndState> {
    match state {
        JobState::Queued | JobState::Running => None,
        JobState::Done => Some(EndState::Done),
        JobState::Failed => Some(EndState::Failed),
        JobState::Expired => Some(EndState::Expired),
        JobState::Cancelled => Some(EndState::Cancelled),
    }
}

/// A job from the store with what the drive knows laid over it. It is running until its end is on disk: an end that was
/// told must not be taken back by a crash.
fn with_live(kept: &Kept, live: Live) -> Result<JobView, Failure> {
    let (state, attempts) = match (&kept.outcome, live) {
        (Some(outcome), _) => return view(kept, Some(outcome), None),
        (None, Live::Unknown) => return view(kept, None, None),
        (None, Live::Ended(outcome)) => {
            (JobState::Running, recorded::<JobResult>(&outcome.body, kept)?.attempts)
        }
        (None, Live::Open(state, attempts)) => (state, attempts),
    };
    view(kept, None, Some((state, JobResult { attempts, ..JobResult::default() })))
}

/// A job as the API shows it.
pub(super) fn view(
    kept: &Kept,
    outcome: Option<&OutcomeRow>,
    live: Option<(JobState, JobResult)>,
) -> Result<JobView, Failure> {
    let spec: Spec = recorded(&kept.job.spec, kept)?;
    let (state, result) = match (outcome, live) {
        (Some(outcome), _) => (ended(outcome.state), recorded(&outcome.body, kept)?),
        (None, Some(live)) => live,
        (None, None) if kept.discarded => (JobState::Cancelled, JobResult::default()),
        (None, None) => (JobState::Queued, JobResult::default()),
    };
    let mut result: JobResult = result;
    if let Some(answer) = &mut result.answer {
        record::shape(answer, &spec.asked(), spec.keep);
    }
    Ok(JobView {
        id: kept.job.id.to_string(),
        batch: kept.job.flow.batch.map(|batch| batch.to_string()),
        lookup: spec.lookup,
        target: spec.target,
        service: kept.job.flow.service.clone(),
        reference: spec.reference,
        state,
        priority: spec.priority,
        created_at: Time(kept.job.id.0 >> 20),
        ended_at: outcome.map(|outcome| Time(outcome.ended_ms)),
        cached: result.answered_at.is_some(),
        result,
        labels: spec.labels,
        keep: spec.keep,
        // Those of an earlier version have no other words for it than their flow.
        egress: spec.egress.or_else(|| serde_json::from_str(&kept.job.flow.egress).ok()),
        cursor: None,
    })
}

/// Reads what was recorded of a job.
fn recorded<T: DeserializeOwned>(bytes: &[u8], of: &Kept) -> Result<T, Failure> {
    serde_json::from_slice(bytes).map_err(|error| {
        Failure::new(Code::Internal, format!("the record of {} is damaged: {error}", of.job.id))
    })
}

fn ended(state: EndState) -> JobState {
    match state {
        EndState::Done => JobState::Done,
        EndState::Failed => JobState::Failed,
        EndState::Expired => JobState::Expired,
        EndState::Cancelled => JobState::Cancelled,
    }
}

/// Reads one request; what is wrong with it is named with its place.
pub(super) fn read_request(bytes: &[u8]) -> Result<JobRequest, Failure> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let request = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.into_inner();
        let text = inner.to_string();
        if !inner.is_data() {
            return Failure::new(Code::InvalidJson, format!("the body does not parse: {text}"));
        }
        let pointer = if path == "." { String::new() } else { format!("/{}", path.replace('.', "/")) };
        let Some(field) = text.strip_prefix("unknown field `").and_then(|rest| rest.split('`').next()) else {
            return Failure::new(Code::InvalidField, text).at(&pointer);
        };
        let at = if pointer.ends_with(field) { pointer } else { format!("{pointer}/{field}") };
        Failure::new(Code::UnknownField, format!("no field {}; docs/api.md lists them", shown(field))).at(&at)
    })?;
    reader
        .end()
        .map_err(|error| Failure::new(Code::InvalidJson, format!("the body does not parse: {error}")))?;
    Ok(request)
}

/// The wait of `?wait=30s`.
pub(super) fn span_waited(text: &str) -> Result<Duration, Failure> {
    let span: Span = text.parse().map_err(|error: egret_wire::value::SpanError| {
        Failure(Problem::new(Code::InvalidField, error.to_string()).at("/wait"))
    })?;
    Ok(span.0.min(LONGEST_WAIT))
}

/// How long the caller wants to wait: `?wait=30s` or `Prefer: wait=30`.
fn wait(query: &HashMap<String, String>, headers: &HeaderMap) -> Result<Option<Duration>, Failure> {
    if let Some(key) = query.keys().find(|key| *key != "wait") {
        return Err(unknown_parameter(key));
    }
    if let Some(text) = query.get("wait") {
        return span_waited(text).map(Some);
    }
    let prefer = headers.get(HeaderName::from_static("prefer")).and_then(|value| value.to_str().ok());
    let seconds = prefer
        .into_iter()
        .flat_map(|value| value.split(','))
        .find_map(|part| part.trim().strip_prefix("wait="));
    // RFC 7240: a preference that is not understood is ignored.
    Ok(seconds.and_then(|n| n.parse().ok()).map(|n| Duration::from_secs(n).min(LONGEST_WAIT)))
}
