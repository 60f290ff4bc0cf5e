//! The HTTP API: users under `/v1`, agents under `/agent/v1`, health beside them.
//!
//! Handlers check and translate. What is to be decided goes to the drive as a message; what is to be
//! read comes from the store, with what the drive knows laid over it.

mod accept;
mod batches;
mod caller;
mod estimates;
mod explain;
mod failure;
mod fleet;
mod guard;
mod jobs;
mod keys;
mod knocks;
mod lines;
mod lookup;
mod origin;
mod plan;
mod quota;
mod record;
mod request;
mod results;
mod retry;
mod upload;
mod via;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::middleware;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{any, delete, get, post};
use egret_core::id::IdMaker;
use egret_core::time::Instant;
use egret_store::Store;
use egret_wire::api::Health;
use egret_wire::problem::{Code, MEDIA_TYPE, Problem};
use ipnet::IpNet;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

pub(crate) use accept::{Spec, progress, reopen};
pub(crate) use caller::Keyring;
pub(crate) use estimates::Estimates;
pub(crate) use failure::Failure;
pub(crate) use fleet::create_token;
pub(crate) use knocks::Knocks;
pub(crate) use record::reduced;
pub(crate) use via::room as via_room;

use crate::cache::Cache;
use crate::clock::Clock;
use crate::drive::{Airborne, Drive, Message, Waiters};
use crate::join::Proofs;
use crate::recorder::Sessions;
use crate::seal::Seals;
use crate::services::Services;

/// What handlers and sessions share.
pub(crate) struct Shared {
    /// This coordinator's id.
    pub(crate) id: String,
    /// Who may call.
    pub(crate) keyring: Keyring,
    pub(crate) knocks: Knocks,
    pub(crate) services: Arc<Services>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) cache: Arc<Cache>,
    pub(crate) clock: Clock,
    pub(crate) drive: mpsc::Sender<Message>,
    pub(crate) ids: Mutex<IdMaker>,
    pub(crate) default_deadline: Duration,
    pub(crate) open_jobs: Arc<AtomicUsize>,
    pub(crate) is_ready: AtomicBool,
    pub(crate) proofs: Proofs,
    /// How agents know this coordinator: what their join tokens carry.
    pub(crate) pin: String,
    /// What binds results to grants.
    pub(crate) seals: Seals,
    /// Bytes of results that the drive has yet to take.
    pub(crate) results_room: Arc<Semaphore>,
    /// Agents sign for one connection.
    pub(crate) channel_binding: bool,
    /// Who may say where a request came from.
    pub(crate) trusted_proxies: Vec<IpNet>,
    pub(crate) sessions: Sessions,
    pub(crate) waiters: Waiters,
    /// KiB of requests that are passed on, and of their answers.
    pub(crate) via_room: Arc<Semaphore>,
    /// Connections for answers that pass.
    pub(crate) passages: Arc<Semaphore>,
    pub(crate) airborne: Airborne,
    /// Ended jobs are taken back by one request at a time.
    pub(crate) retries: tokio::sync::Mutex<()>,
    pub(crate) estimates: Estimates,
    /// Counts the commits of outcomes.
    pub(crate) recorded: watch::Receiver<u64>,
}

impl Shared {
    /// A new id, above every other.
    fn next_id(&self) -> u64 {
        // A poisoned maker still holds the last id.
        let mut ids = self.ids.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        ids.next(self.clock.wall_ms())
    }

    /// Asks the drive, between two of its turns.
    ///
    /// # Errors
    /// `not_ready`: the coordinator is stopping.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Drive, Instant) -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let stopping = || Failure::new(Code::NotReady, "the coordinator is stopping");
        let (reply, answer) = oneshot::channel();
        let ask = Box::new(move |drive: &mut Drive, now: Instant| {
            // Whoever asked may have gone.
            let _ = reply.send(question(drive, now));
        });
        self.drive.send(Message::Ask(ask)).await.map_err(|_| stopping())?;
        answer.await.map_err(|_| stopping())
    }
}

/// All routes.
pub(crate) fn router(shared: Arc<Shared>) -> Router {
    let users = Router::new()
        .route("/v1/jobs", post(jobs::submit).get(jobs::list))
        .route("/v1/jobs/{id}", get(jobs::show).delete(jobs::cancel))
        .route("/v1/jobs/{id}/explain", get(explain::show))
        .route("/v1/plan", post(plan::plan))
        .route("/v1/lookup/{kind}/{*target}", get(lookup::answer))
        .route("/v1/via/{*below}", any(via::forward))
        .route("/v1/batches", get(batches::list))
        .route("/v1/batches/{id}", get(batches::show).delete(batches::cancel))
        .route("/v1/batches/{id}/pause", post(batches::pause))
        .route("/v1/batches/{id}/resume", post(batches::resume))
        .route("/v1/batches/{id}/retry", post(retry::retry))
        .route("/v1/batches/{id}/results", get(results::stream_all))
        .route("/v1/batches/{id}/rejected", get(batches::rejected))
        .route("/v1/quota", get(quota::all))
        .route("/v1/quota/{service}", get(quota::one))
        .route("/v1/quota/{service}/spend", post(quota::spend))
        .route("/v1/agents", get(fleet::agents))
        .route("/v1/agents/{id}/drain", post(fleet::drain))
        .route("/v1/agents/{id}/undrain", post(fleet::undrain))
        .route("/v1/egresses", get(fleet::egresses))
        .route("/v1/services", get(fleet::services))
        .route("/v1/services/{id}/pause", post(fleet::pause))
        .route("/v1/services/{id}/resume", post(fleet::resume))
        .route("/v1/services/{id}/cool-down", post(quota::cool_down))
        .route("/v1/stop", post(fleet::stop))
        .route("/v1/start", post(fleet::start))
        .route("/v1/agents/{id}", delete(fleet::revoke))
        .route("/v1/join-tokens", post(fleet::token).get(fleet::tokens))
        .route("/v1/join-tokens/{id}", delete(fleet::revoke_token))
        .route_layer(middleware::from_fn_with_state(Arc::clone(&shared), guard::admit));
    let agents = Router::new()
        .route("/agent/v1/enroll", post(fleet::enrol))
        .route("/agent/v1/observe", post(fleet::observe))
        .route("/agent/v1/session", get(fleet::session))
        .route("/agent/v1/answer", get(fleet::answer));
    Router::new()
        .merge(users)
        .merge(agents)
        .route("/healthz", get(|| async { Json(Health { status: "ok".to_owned(), missing: Vec::new() }) }))
        .route("/readyz", get(ready))
        .fallback(|| async { Failure::new(Code::NotFound, "no such path; docs/api.md lists them") })
        .method_not_allowed_fallback(|| async {
            Failure::new(Code::MethodNotAllowed, "this path takes other methods; docs/api.md lists them")
        })
        .layer(middleware::map_response(as_problem))
        .with_state(shared)
}

async fn ready(State(shared): State<Arc<Shared>>) -> Response {
    let mut missing = Vec::new();
    if !shared.is_ready.load(Ordering::Acquire) {
        missing.push("the coordinator is starting or stopping".to_owned());
    }
    if let Err(error) = shared.store.check().await {
        missing.push(error.to_string());
    }
    if missing.is_empty() {
        return Json(Health { status: "ok".to_owned(), missing }).into_response();
    }
    let health = Health { status: Code::NotReady.as_str().to_owned(), missing };
    (StatusCode::SERVICE_UNAVAILABLE, Json(health)).into_response()
}

/// Runs a request to its end, whether its caller waits for the answer or hangs up.
async fn to_the_end(
    request: impl Future<Output = Result<Response, Failure>> + Send + 'static,
) -> Result<Response, Failure> {
    // As many as there are connections, each bounded by its own waits.
    match tokio::spawn(request).await {
        Ok(answer) => answer,
        Err(error) => Err(Failure::new(Code::Internal, format!("the request failed: {error}"))),
    }
}

/// Turns what the framework refuses by itself into a problem like every other.
async fn as_problem(response: Response) -> Response {
    let status = response.status();
    if response.extensions().get::<via::FromService>().is_some() {
        return response;
    }
    let is_problem = response.headers().get(CONTENT_TYPE).is_some_and(|media| media == MEDIA_TYPE);
    if !status.is_client_error() || is_problem {
        return response;
    }
    let code = if status == StatusCode::PAYLOAD_TOO_LARGE { Code::TooLarge } else { Code::InvalidField };
    let detail =
        format!("the request does not fit this path: {}", status.canonical_reason().unwrap_or("refused"));
    Failure(Problem::new(code, detail).with_status(status.as_u16())).into_response()
}

/// A problem for handlers that only need to say so.
fn not_found(what: &str, id: &str) -> Failure {
    Failure(Problem::new(Code::NotFound, format!("there is no {what} {}", shown(id))))
}

/// A text of the caller's, fit to be shown back.
fn shown(text: &str) -> String {
    let short: String = text.chars().take(80).flat_map(char::escape_debug).collect();
    format!("`{short}`")
}
