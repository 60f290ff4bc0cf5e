//! `ANY /v1/via/{service}/{path}`: a request is passed on from whichever egress may call now, and its answer comes back.
//!
//! Nothing of it is kept: no row, no record of what was asked or answered. Whoever goes away gives it up.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Extension;
use axum::body::{Body, HttpBody, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{ALLOW, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, HeaderMap, RETRY_AFTER};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, Uri, Version};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use egret_core::id::{JobId, ServiceId};
use egret_core::scheduler::Class;
use egret_lookup::{Kind, fields};
use egret_store::{EndState, Flow};
use egret_wire::agent::{MAX_ANSWER, Report};
use egret_wire::api::{AttemptOutcome, AttemptView, JobError};
use egret_wire::ask::Ask;
use egret_wire::passage::PIECE;
use egret_wire::problem::{Code, Problem};
use egret_wire::value::{Bytes as WireBytes, Span};
use futures_util::{StreamExt, stream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::accept::{reserve, whom};
use super::caller::Caller;
use super::request::check_method;
use super::{Failure, Shared, jobs};
use crate::config::ServiceConfig;
use crate::drive::{Job, Message, Passed, Via};
use crate::passage::{Piece, Rest};

/// The longest body that is passed on, in bytes (chosen: it travels in one frame of a session).
const MOST_BODY: usize = 1 << 20;
/// Bytes that requests under way and their answers may take together, by what each may be at most; 256 MiB, chosen.
const ROOM: usize = 256 << 20;
/// What a request takes besides its body and its answer: two heads.
const HEADS: usize = 128 << 10;
/// Room is counted in these.
const KIB: usize = 1 << 10;
/// How long a caller waits for budget that does not say.
const WAIT: Duration = Duration::from_secs(30);
/// The shortest wait: what it takes to be handed on (chosen).
const SHORTEST_WAIT: Duration = Duration::from_millis(50);
/// When to come again if nobody can tell: something has to be mended first.
const LATER: u64 = 60;
/// What the path begins with.
const ROOT: &str = "/v1/via/";

const X_WAIT: HeaderName = HeaderName::from_static("x-egret-wait");
const X_EGRESS: HeaderName = HeaderName::from_static("x-egret-egress");
const X_WAITED: HeaderName = HeaderName::from_static("x-egret-waited-ms");

/// The mark of a response that is a service's: its status and body are not ours to change.
#[derive(Clone, Copy, Debug)]
pub(super) struct FromService;

/// Room for what is passed on.
pub(crate) fn room() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(ROOM / KIB))
}

/// Passes a request on.
pub(crate) async fn forward(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, Failure> {
    jobs::check_ready(&shared)?;
    let (parts, body) = request.into_parts();
    let (service, path) = planned(&shared, &caller, &parts.uri)?;
    let config = shared.services.config(service);
    if let Err(Failure(problem)) = check_method(config, parts.method.as_str()) {
        return Ok(not_taken(config, problem));
    }
    let wait = wait(&parts.headers)?;
    let room = take_room(&shared, config, &body)?;
    let body = read(body).await?;
    // To HTTP/1.0 a cut looks like an end.
    let as_it_comes = (parts.version >= Version::HTTP_11).then_some(config.max_answer);
    let question = question(config, &parts, path, body, as_it_comes)?;

    let began = Instant::now();
    let (id, ended) = submit(&shared, &caller, service, question, &parts.method, wait).await?;
    let mut waiting = Waiting { shared: Arc::clone(&shared), job: Some(id) };
    let passed = ended.await.map_err(|_| Failure::new(Code::NotReady, "the coordinator is stopping"))?;
    waiting.job = None;
    match passed {
        Passed::Answer { report, egress, left_ago, rest } => {
            let waited = began.elapsed().saturating_sub(left_ago);
            answer(*report, rest, &parts.method, &egress, waited, room)
        }
        Passed::Nothing { state, error, attempts } => {
            nothing(&shared, service, wait, (state, error, &attempts)).await
        }
    }
}

/// Which service is asked, and for what below its base URL.
fn planned(shared: &Shared, caller: &Caller, uri: &Uri) -> Result<(ServiceId, String), Failure> {
    let below = uri.path().strip_prefix(ROOT).unwrap_or_default();
    let (service, path) = below.split_at(below.find('/').unwrap_or(below.len()));
    let path = if path.is_empty() { "/" } else { path };
    let target = uri.query().map_or(path.to_owned(), |query| format!("{path}?{query}"));
    let step = shared.services.plan(Kind::Http, &target, Some(service), false)?.first;
    caller.check_service(&step.service)?;
    let (service, _) = whom(&shared.services, &step)?;
    Ok((service, step.target))
}

fn not_taken(config: &ServiceConfig, problem: Problem) -> Response {
    let mut response = Failure::new(Code::MethodNotAllowed, problem.detail).into_response();
    if let Ok(methods) = HeaderValue::from_str(&config.methods.join(", ")) {
        response.headers_mut().insert(ALLOW, methods);
    }
    response
}

/// How long the caller waits for budget.
fn wait(headers: &HeaderMap) -> Result<Duration, Failure> {
    let Some(value) = headers.get(X_WAIT) else { return Ok(WAIT) };
    let span = value.to_str().unwrap_or_default().parse::<Span>();
    let invalid = |error: egret_wire::value::SpanError| Failure::new(Code::InvalidField, error.to_string());
    Ok(span.map_err(|error| invalid(error).at("/X-Egret-Wait"))?.0.clamp(SHORTEST_WAIT, jobs::LONGEST_WAIT))
}

/// Takes the room that the request and the longest answer need, until the answer is written.
fn take_room(shared: &Shared, config: &ServiceConfig, body: &Body) -> Result<OwnedSemaphorePermit, Failure> {
    if body.size_hint().lower() > MOST_BODY as u64 {
        return Err(too_large());
    }
    let body = body.size_hint().upper().map_or(MOST_BODY, |most| usize::try_from(most).unwrap_or(MOST_BODY));
    // A longer one passes as it comes.
    let answer = usize::try_from(config.max_answer.min(MAX_ANSWER)).unwrap_or(ROOM);
    let most = (body.min(MOST_BODY) + answer + HEADS).div_ceil(KIB);
    let room = Arc::clone(&shared.via_room).try_acquire_many_owned(u32::try_from(most).unwrap_or(u32::MAX));
    room.map_err(|_| {
        let detail = "as many requests are passed on as there is memory for their answers; wait until some have \
                      ended, or lower `max_answer` of the services";
        Failure::new(Code::QueueFull, detail)
    })
}

fn too_large() -> Failure {
    Failure::new(Code::TooLarge, "a body of at most 1 MiB is passed on")
}

async fn read(body: Body) -> Result<Bytes, Failure> {
    let read = tokio::time::timeout(jobs::BODY_DEADLINE, to_bytes(body, MOST_BODY)).await;
    read.map_err(|_| Failure::new(Code::TimedOut, "the body did not arrive within 60 s"))?
        .map_err(|_| too_large())
}

/// What the service is asked.
fn question(
    config: &ServiceConfig,
    parts: &Parts,
    path: String,
    body: Bytes,
    as_it_comes: Option<u64>,
) -> Result<Vec<u8>, Failure> {
    let given: Vec<_> = parts.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    let own: Vec<&str> = config.headers.iter().map(|(name, _)| &**name).collect();
    let onward = fields::onward(&given, &own).into_iter();
    let mut fields: Vec<_> =
        onward.map(|(name, value)| (name.to_owned(), WireBytes(value.to_vec()))).collect();
    // As every gateway says (RFC 9110 7.6.3). A coordinator without keys that is its own service refuses it.
    fields.push(("via".to_owned(), WireBytes(b"1.1 egret".to_vec())));
    // Whether an answer is a refusal is seen in its text as well.
    fields.push(("accept-encoding".to_owned(), WireBytes(b"identity".to_vec())));
    let method = parts.method.as_str().to_owned();
    let body = WireBytes(body.into());
    let ask = Ask { method, path, headers: fields, body, whole_head: true, as_it_comes };
    ask.to_question().map_err(|error| Failure::new(Code::Internal, error.to_string()))
}

/// Hands the request to the drive, as a job that ends when the caller waits no longer for budget.
async fn submit(
    shared: &Arc<Shared>,
    caller: &Caller,
    service: ServiceId,
    question: Vec<u8>,
    method: &Method,
    wait: Duration,
) -> Result<(JobId, oneshot::Receiver<Passed>), Failure> {
    let (reply, ended) = oneshot::channel();
    let flow = Flow {
        service: shared.services.name(service).to_owned(),
        owner: caller.owner().to_owned(),
        class: Class::Interactive as u8,
        egress: String::new(),
        batch: None,
    };
    let (id, deadline) = (JobId(shared.next_id()), shared.clock.now() + wait);
    let mut job = Job::new(id, Arc::new(flow), service, deadline, question);
    job.is_stored = false;
    job.via = Some(Via::new(reply, fields::may_repeat(method.as_str())));
    let stopping = |_| Failure::new(Code::NotReady, "the coordinator is stopping");
    // From here on nothing waits: a caller that goes away leaves nothing half done.
    let place = shared.drive.reserve().await.map_err(stopping)?;
    reserve(shared, 1)?;
    place.send(Message::Submit { jobs: vec![job], batch: None });
    Ok((id, ended))
}

/// A caller that waits; one that goes away takes its request along.
struct Waiting {
    shared: Arc<Shared>,
    job: Option<JobId>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let (Some(id), Ok(runtime)) = (self.job, tokio::runtime::Handle::try_current()) else { return };
        let shared = Arc::clone(&self.shared);
        // One for each caller that went, over with the drive's next turn.
        runtime.spawn(async move { shared.ask(move |drive, now| drive.cancel(id, now)).await });
    }
}

/// An answer's bytes, and the room that they take until they are written.
struct Held {
    bytes: Vec<u8>,
    _room: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// What has come, and what follows if anything does.
fn body(bytes: Vec<u8>, rest: Option<Rest>, mut room: OwnedSemaphorePermit) -> Body {
    let Some(rest) = rest else { return Body::from(Bytes::from_owner(Held { bytes, _room: room })) };
    // A piece is being sent, another waits, a third is being read.
    drop(room.split(room.num_permits().saturating_sub(4 * PIECE / KIB)));
    let begun = stream::iter([Ok(Bytes::from(bytes))]);
    let pieces = stream::try_unfold((rest, room), async |(mut rest, room)| match rest.recv().await {
        Some(Piece::More(bytes)) => Ok(Some((bytes, (rest, room)))),
        Some(Piece::End) => Ok(None),
        None => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the answer was cut")),
    });
    Body::from_stream(begun.chain(pieces))
}

/// The service's answer as it is, with what egret adds.
fn answer(
    report: Report,
    rest: Option<Rest>,
    method: &Method,
    egress: &str,
    waited: Duration,
    room: OwnedSemaphorePermit,
) -> Result<Response, Failure> {
    let status = report.status.and_then(|status| StatusCode::from_u16(status).ok());
    let status = status.ok_or_else(|| Failure::new(Code::BadAnswer, "the answer has no status"))?;
    let is_unseen = *method == Method::HEAD || rest.is_some();
    let mut response = Response::new(body(report.answer.0, rest, room));
    *response.status_mut() = status;
    response.extensions_mut().insert(FromService);
    let head = report.head.unwrap_or_default();
    let came: Vec<_> = head.iter().map(|(name, value)| (&**name, &*value.0)).collect();
    let headers = response.headers_mut();
    for (name, value) in fields::back(&came) {
        // What cannot be a field was made up on the way.
        let field = HeaderName::from_bytes(name.as_bytes()).ok().zip(HeaderValue::from_bytes(value).ok());
        if let Some((name, value)) = field {
            headers.append(name, value);
        }
    }
    // Of a body that is here it is counted.
    if let Some(length) = fields::length(&came).filter(|_| is_unseen) {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    // A page of theirs in a browser is none of ours: no script of it may act as somebody who is let in here.
    headers.append(CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox"));
    if let Ok(egress) = HeaderValue::from_str(egress) {
        headers.insert(X_EGRESS, egress);
    }
    headers.insert(X_WAITED, HeaderValue::from(u64::try_from(waited.as_millis()).unwrap_or(u64::MAX)));
    Ok(response)
}

/// Why nothing came back.
async fn nothing(
    shared: &Shared,
    service: ServiceId,
    wait: Duration,
    (state, error, attempts): (EndState, Option<JobError>, &[AttemptView]),
) -> Result<Response, Failure> {
    let name = shared.services.name(service);
    if state == EndState::Expired {
        return too_late(shared, service, no_budget(name, wait), attempts).await;
    }
    Err(error.map_or_else(|| Failure::new(Code::NotReady, "the request was given up"), |e| failed(name, e)))
}

/// Nothing has left in time.
pub(super) fn no_budget(service: &str, wait: Duration) -> String {
    format!("no budget of {service} was free within {}", Span(wait))
}

/// Nothing came in time: `why`, unless nothing leaves as things stand, and when to come again.
pub(super) async fn too_late(
    shared: &Shared,
    service: ServiceId,
    why: String,
    attempts: &[AttemptView],
) -> Result<Response, Failure> {
    let standstill = shared.ask(move |drive, now| drive.standstill(service, now)).await?;
    let detail = format!("{}{}", standstill.unwrap_or(why), so_far(attempts));
    let mut response = Failure::new(Code::TimedOut, detail).into_response();
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(free_in(shared, service).await?));
    Ok(response)
}

/// The service had its tries.
pub(super) fn failed(service: &str, JobError { code, detail }: JobError) -> Failure {
    let code = match &*code {
        "timed_out" => Code::TimedOut,
        "bad_answer" => Code::BadAnswer,
        _ => Code::Unreachable,
    };
    Failure::new(code, format!("{service}: {detail}"))
}

/// What was tried, in words.
fn so_far(attempts: &[AttemptView]) -> String {
    let refusals = attempts.iter().filter(|attempt| attempt.outcome == AttemptOutcome::Refused).count();
    let last = attempts.last().and_then(|attempt| attempt.detail.as_deref());
    let last = last.map(|detail| format!("; the last attempt: {detail}")).unwrap_or_default();
    match (attempts.len(), refusals) {
        (0, _) => String::new(),
        (_, 0) => last,
        (_, refusals) => format!("; it refused {refusals} of {} attempts{last}", attempts.len()),
    }
}

/// In how many seconds one more call may leave, when those that wait have left; at least 1.
async fn free_in(shared: &Shared, service: ServiceId) -> Result<u64, Failure> {
    let free_at = shared.estimate(service, 1).await?.next();
    let wait = free_at.map(|at| at.since(shared.clock.now()));
    Ok(wait.map_or(LATER, |wait| u64::try_from(wait.as_micros().div_ceil(1_000_000)).unwrap_or(LATER).max(1)))
}
