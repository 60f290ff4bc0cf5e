//! Idempotency keys: a request that is repeated by its owner with its key gets the first answer again.

use std::future::Future;

use axum::body::{Body, to_bytes};
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use egret_core::id::{BatchId, JobId};
use egret_store::KeyClaim;
use egret_wire::problem::Code;
use serde::{Deserialize, Serialize};

use super::caller::Caller;
use super::{Failure, Shared, batches, jobs};
use crate::join::sha256;

pub(super) const HEADER: HeaderName = HeaderName::from_static("idempotency-key");
const LONGEST: usize = 255;
/// The longest answer that is kept, in bytes; a batch or a job is far shorter, and so is most whois text.
const MOST_ANSWER: usize = 8 << 20;

#[derive(Serialize, Deserialize)]
struct Answer {
    status: u16,
    location: Option<String>,
    body: String,
}

impl Answer {
    fn of(status: StatusCode, location: String, view: &impl Serialize) -> Result<Self, Failure> {
        let body = serde_json::to_string(view);
        let body = body.map_err(|error| Failure::new(Code::Internal, error.to_string()))?;
        Ok(Self { status: status.as_u16(), location: Some(location), body })
    }
}

/// Runs `request`, which adds a job or a batch of the id that it is given, unless its key has been answered before.
pub(super) async fn once<F: Future<Output = Result<Response, Failure>>>(
    shared: &Shared,
    caller: &Caller,
    headers: &HeaderMap,
    body: &[u8],
    request: impl FnOnce(u64) -> F,
) -> Result<Response, Failure> {
    // Named before anything is written, so that the key stands for what the request adds even if it dies on the way.
    let object = shared.next_id();
    let Some(value) = headers.get(HEADER) else { return request(object).await };
    let key = value.to_str().ok().filter(|key| !key.is_empty() && key.len() <= LONGEST).ok_or_else(|| {
        Failure::new(Code::InvalidField, "an Idempotency-Key is 1 to 255 visible ASCII characters")
            .at("/Idempotency-Key")
    })?;
    let key = owned(caller.owner(), key);
    match shared.store.claim_key(key.clone(), sha256(body), object, shared.clock.wall_ms()).await?.await? {
        KeyClaim::Fresh => {}
        KeyClaim::InFlight => {
            return Err(Failure::new(
                Code::IdempotencyInFlight,
                "the first request with this key has not been answered yet",
            ));
        }
        KeyClaim::Mismatch => {
            return Err(Failure::new(
                Code::IdempotencyMismatch,
                "this key came with another body before; use a new key",
            ));
        }
        KeyClaim::Answered(bytes) => return replay(&bytes),
        KeyClaim::Added(object) => return added(shared, caller, object).await,
    }
    let answered = match request(object).await {
        Ok(response) => keep(shared, key.clone(), response).await,
        Err(failure) => Err(failure),
    };
    match answered {
        Ok(response) => Ok(response),
        Err(failure) => {
            shared.store.release_key(key).await?.await?;
            Err(failure)
        }
    }
}

/// What the store calls an owner's key. No key holds a line feed, so no two owners' are the same.
fn owned(owner: &str, key: &str) -> String {
    if owner.is_empty() { key.to_owned() } else { format!("{owner}\n{key}") }
}

async fn keep(shared: &Shared, key: String, response: Response) -> Result<Response, Failure> {
    let (parts, body) = response.into_parts();
    let internal = |error: String| Failure::new(Code::Internal, error);
    let bytes = to_bytes(body, MOST_ANSWER).await.map_err(|error| internal(error.to_string()))?;
    let location = parts.headers.get(LOCATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let body = String::from_utf8_lossy(&bytes).into_owned();
    let answer = serde_json::to_vec(&Answer { status: parts.status.as_u16(), location, body });
    let answer = answer.map_err(|error| internal(error.to_string()))?;
    shared.store.answer_key(key, answer).await?.await?;
    Ok(Response::from_parts(parts, Body::from(bytes)))
}

/// What a request has added that died before its answer was kept, as it is now.
async fn added(shared: &Shared, caller: &Caller, object: u64) -> Result<Response, Failure> {
    let (job, batch) = (JobId(object), BatchId(object));
    let answer = if shared.store.job(job).await?.is_some() {
        let view = jobs::current(shared, caller, &job.to_string()).await?;
        let status = if view.state.has_ended() { StatusCode::OK } else { StatusCode::ACCEPTED };
        Answer::of(status, format!("/v1/jobs/{job}"), &view)?
    } else {
        let view = batches::current(shared, caller, batch).await?;
        Answer::of(StatusCode::ACCEPTED, format!("/v1/batches/{batch}"), &view)?
    };
    Ok(repeated(answer))
}

fn replay(bytes: &[u8]) -> Result<Response, Failure> {
    let damaged = |_| Failure::new(Code::Internal, "the first answer to this key is damaged");
    serde_json::from_slice(bytes).map_err(damaged).map(repeated)
}

fn repeated(Answer { status, location, body }: Answer) -> Response {
    let mut response = (StatusCode::from_u16(status).unwrap_or(StatusCode::OK), body).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(HeaderName::from_static("idempotent-replayed"), HeaderValue::from_static("true"));
    if let Some(location) = location.and_then(|location| HeaderValue::from_str(&location).ok()) {
        headers.insert(LOCATION, location);
    }
    response
}
