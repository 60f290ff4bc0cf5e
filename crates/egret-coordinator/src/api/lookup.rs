//! `GET /v1/lookup/{kind}/{target}`: asks, waits, and answers the record itself.
//!
//! It is a job like others: equal questions are one call, and it can be shown afterwards. But it ends with the wait, or
//! when its caller goes away.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse, Json, Response};
use egret_core::id::JobId;
use egret_wire::api::{Answer, AnswerOutcome, JobRequest, JobState, JobView, Keep, Lookup, Priority};
use egret_wire::problem::Code;
use egret_wire::value::Span;
use tokio::sync::oneshot;

use super::accept::{Accepted, accept, reserve};
use super::caller::Caller;
use super::jobs::{Awaited, check_ready, launch, span_waited, unknown_parameter, view};
use super::via::{failed, no_budget, too_late};
use super::{Failure, Shared, shown, upload};
use crate::drive::Live;

/// How long a caller waits that does not say.
const WAIT: Duration = Duration::from_secs(30);
/// The shortest wait: what it takes to be handed on (chosen).
const SHORTEST_WAIT: Duration = Duration::from_millis(50);

const X_JOB: HeaderName = HeaderName::from_static("x-egret-job");

/// Asks, and answers what was found.
pub(crate) async fn answer(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path((kind, target)): Path<(String, String)>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Response, Failure> {
    check_ready(&shared)?;
    let (request, wait) = request(&kind, target, query)?;
    let accepted = accept(&shared, &caller, request, None)?;
    reserve(&shared, 1)?;
    // Dropped with this future, so with the caller.
    let (stays, gone) = oneshot::channel();
    let answer = super::to_the_end(async move { Ok(ask(&shared, accepted, wait, gone).await) }).await;
    drop(stays);
    answer
}

/// What is asked, and how long the caller waits.
fn request(
    kind: &str,
    target: String,
    mut query: HashMap<String, String>,
) -> Result<(JobRequest, Duration), Failure> {
    let wait = query.remove("wait").map_or(Ok(WAIT), |text| span_waited(&text))?.max(SHORTEST_WAIT);
    if query.contains_key("lookup") {
        return Err(unknown_parameter("lookup"));
    }
    let options = upload::options(&query)?;
    if options.keep == Keep::Raw {
        let detail = "what is answered is the record; keep `record` or `both`";
        return Err(Failure::new(Code::InvalidField, detail).at("/keep"));
    }
    let priority = if query.contains_key("priority") { options.priority } else { Priority::Interactive };
    Ok((JobRequest { lookup: lookup(kind)?, target: Some(target), priority, ..options }, wait))
}

/// The kind of lookup that a path names.
fn lookup(kind: &str) -> Result<Lookup, Failure> {
    let unsupported = |detail: String| Failure::new(Code::UnsupportedLookup, detail);
    match serde_json::from_value(kind.into()) {
        Ok(Lookup::Http) => Err(unsupported(
            "no record is made of what an http service answers; pass the request on with /v1/via, or POST /v1/jobs"
                .to_owned(),
        )),
        Ok(kind) => Ok(kind),
        Err(_) => Err(unsupported(format!(
            "there is no lookup {}; there are domain, ip, asn, nameserver, entity, whois, rdap",
            shown(kind)
        ))),
    }
}

/// Submits the job and answers its end, with its name.
async fn ask(
    shared: &Arc<Shared>,
    accepted: Accepted,
    wait: Duration,
    gone: oneshot::Receiver<()>,
) -> Response {
    let id = accepted.row.id;
    let answer = match ended(shared, accepted, wait, gone).await {
        Ok((job, late)) => told(shared, job, wait, late).await,
        Err(failure) => Err(failure),
    };
    let mut response = answer.unwrap_or_else(IntoResponse::into_response);
    if let Ok(name) = HeaderValue::from_str(&id.to_string()) {
        response.headers_mut().insert(X_JOB, name);
    }
    response
}

/// What a job was doing when it was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Late {
    Waiting,
    Running,
}

/// The job when it has ended; given up when the time is over or nobody waits any more.
async fn ended(
    shared: &Arc<Shared>,
    accepted: Accepted,
    wait: Duration,
    gone: oneshot::Receiver<()>,
) -> Result<(JobView, Option<Late>), Failure> {
    let id = accepted.row.id;
    let Awaited { kept, mut ended, .. } = launch(shared, accepted).await?;
    let in_time = tokio::select! {
        biased;
        outcome = &mut ended => Some(outcome),
        () = tokio::time::sleep(wait) => None,
        _ = gone => None,
    };
    let (outcome, late) = match in_time {
        Some(outcome) => (outcome, None),
        None => {
            let late = give_up(shared, id).await?;
            // Told by now: either that it was given up, or an end that came just before.
            (ended.await, late)
        }
    };
    let outcome = outcome.map_err(|_| Failure::new(Code::NotReady, "the coordinator is stopping"))?;
    Ok((view(&kept, Some(&outcome), None)?, late))
}

/// Cancels a job; `None`: it had ended.
async fn give_up(shared: &Shared, id: JobId) -> Result<Option<Late>, Failure> {
    shared
        .ask(move |drive, now| {
            let is_running = matches!(drive.live(id), Live::Open(JobState::Running, _));
            let late = if is_running { Late::Running } else { Late::Waiting };
            drive.cancel(id, now).then_some(late)
        })
        .await
}

/// What a caller is told of a job that has ended.
async fn told(
    shared: &Shared,
    job: JobView,
    wait: Duration,
    late: Option<Late>,
) -> Result<Response, Failure> {
    let JobView { service, target, state, result, .. } = job;
    if let Some(answer) = result.answer {
        let service = result.attempts.last().map_or(&service, |last| &last.service);
        return found(answer, service, &target);
    }
    let why = match (late, &result.error) {
        (Some(Late::Waiting), _) => no_budget(&service, wait),
        (Some(Late::Running), _) => format!("{service} was asked and had not answered within {}", Span(wait)),
        (None, Some(error)) if state == JobState::Expired => error.detail.clone(),
        (None, Some(error)) => return Err(failed(&service, error.clone())),
        (None, None) => return Err(Failure::new(Code::NotReady, "somebody cancelled the job")),
    };
    let id = shared.services.find(&service);
    let id =
        id.ok_or_else(|| Failure::new(Code::Internal, format!("{service} is not configured any more")))?;
    too_late(shared, id, why, &result.attempts).await
}

/// The record, or why there is none.
fn found(answer: Answer, service: &str, target: &str) -> Result<Response, Failure> {
    let target = shown(target);
    Err(match (answer.outcome, answer.record) {
        (AnswerOutcome::Found, Some(record)) => return Ok(Json(record).into_response()),
        (AnswerOutcome::Found, None) => {
            let detail =
                format!("{service} answers for {target} what no record can be made of; the job has its text");
            Failure::new(Code::BadAnswer, detail)
        }
        (AnswerOutcome::NotFound, _) => {
            Failure::new(Code::NotFound, format!("{target} was not found: it does not exist, says {service}"))
        }
        (AnswerOutcome::Reserved, _) => {
            Failure::new(Code::NotFound, format!("{target} is reserved: it cannot be had, says {service}"))
        }
        (AnswerOutcome::Invalid, _) => {
            Failure::new(Code::InvalidTarget, format!("{service} says that {target} is no valid question"))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(kind: &str, query: &[(&str, &str)]) -> Result<(JobRequest, Duration), (Code, String)> {
        let query = query.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        request(kind, "a.example".to_owned(), query).map_err(|Failure(problem)| {
            let pointer = problem.errors.first().map(|error| error.pointer.clone());
            (problem.code, pointer.unwrap_or_default())
        })
    }

    #[test]
    fn a_path_asks_at_once_and_its_query_may_say_otherwise() {
        let (request, wait) = check("domain", &[]).unwrap();
        assert_eq!((request.lookup, request.priority, wait), (Lookup::Domain, Priority::Interactive, WAIT));
        let query =
            [("priority", "bulk"), ("exact", "true"), ("keep", "record"), ("wait", "1d"), ("max_age", "0s")];
        let (request, wait) = check("nameserver", &query).unwrap();
        assert_eq!((request.lookup, request.priority), (Lookup::Nameserver, Priority::Bulk));
        assert_eq!((request.exact, request.keep), (true, Keep::Record));
        assert_eq!(wait, super::super::jobs::LONGEST_WAIT);
        assert_eq!(check("whois", &[("wait", "0s")]).unwrap().1, SHORTEST_WAIT);
    }

    #[test]
    fn what_gives_no_record_is_refused_with_its_place() {
        for (kind, query, code, pointer) in [
            ("http", &[][..], Code::UnsupportedLookup, ""),
            ("dance", &[], Code::UnsupportedLookup, ""),
            ("domain", &[("keep", "raw")], Code::InvalidField, "/keep"),
            ("domain", &[("wait", "soon")], Code::InvalidField, "/wait"),
            ("domain", &[("lookup", "ip")], Code::UnknownField, "/lookup"),
            ("domain", &[("tarqet", "x")], Code::UnknownField, "/tarqet"),
        ] {
            assert_eq!(check(kind, query).unwrap_err(), (code, pointer.to_owned()), "{kind} {query:?}");
        }
    }

    #[test]
    fn only_what_was_found_is_a_record() {
        let answer = |outcome, record| Answer { record, ..Answer::new(outcome, "whois") };
        let status = |outcome, record| match found(answer(outcome, record), "w", "a.example") {
            Ok(response) => response.status().as_u16(),
            Err(Failure(problem)) => problem.status,
        };
        assert_eq!(status(AnswerOutcome::Found, Some(serde_json::json!({}))), 200);
        assert_eq!(status(AnswerOutcome::Found, None), 502);
        assert_eq!(status(AnswerOutcome::NotFound, None), 404);
        assert_eq!(status(AnswerOutcome::Reserved, None), 404);
        assert_eq!(status(AnswerOutcome::Invalid, None), 422);
    }
}
