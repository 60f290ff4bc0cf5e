//! Idempotency keys: a request that is repeated by its owner with its key gets the first answer again.

use std::future::Future;

use axum::body::{Body, to_bytes};
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use egret_store::KeyClaim;
use egret_wire::problem::Code;
use serde::{Deserialize, Serialize};

use super::{Failure, Shared};
use crate::clock::wall_ms;
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

/// Runs `request` unless its key has been answered before.
pub(super) async fn once<F: Future<Output = Result<Response, Failure>>>(
    shared: &Shared,
    owner: &str,
    headers: &HeaderMap,
    body: &[u8],
    request: impl FnOnce() -> F,
) -> Result<Response, Failure> {
    let Some(value) = headers.get(HEADER) else { return request().await };
    let key = value.to_str().ok().filter(|key| !key.is_empty() && key.len() <= LONGEST).ok_or_else(|| {
        Failure::new(Code::InvalidField, "an Idempotency-Key is 1 to 255 visible ASCII characters")
            .at("/Idempotency-Key")
    })?;
    let key = owned(owner, key);
    match shared.store.claim_key(key.clone(), sha256(body), wall_ms()).await?.await? {
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
    }
    let answered = match request().await {
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

fn replay(bytes: &[u8]) -> Result<Response, Failure> {
    let damaged = |_| Failure::new(Code::Internal, "the first answer to this key is damaged");
    let Answer { status, location, body } = serde_json::from_slice(bytes).map_err(damaged)?;
    let mut response = (StatusCode::from_u16(status).unwrap_or(StatusCode::OK), body).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(HeaderName::from_static("idempotent-replayed"), HeaderValue::from_static("true"));
    if let Some(location) = location.and_then(|location| HeaderValue::from_str(&location).ok()) {
        headers.insert(LOCATION, location);
    }
    Ok(response)
}
