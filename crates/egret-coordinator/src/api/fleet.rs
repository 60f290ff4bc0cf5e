//! Agents, egresses, services and tokens; and the doors that agents come in by.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{ConnectInfo, Extension, Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Json, Response};
use egret_core::id::{AgentId, ServiceId};
use egret_core::time::Instant;
use egret_store::{AgentRow, EnrolRequest, Enrolment};
use egret_wire::agent::{self, Enrolled, MAX_FRAME, Observed, PROTOCOL};
use egret_wire::api::{
    AgentView, EgressView, Liveness, Page, ServiceView, TokenListed, TokenRequest, TokenView, WhyRequest,
};
use egret_wire::passage;
use egret_wire::problem::{Code, Problem};
use egret_wire::value::Time;

use super::batches::paging;
use super::origin::origin;
use super::{Failure, Shared, not_found};
use crate::config::service_pattern;
use crate::drive::{AgentLive, Drive, Standing};
use crate::server::Binding;
use crate::{join, session};

/// Small buffers: a session costs 24 KB instead of 148 KB.
const BUFFER: usize = 8 << 10;
const MOST_USES: u32 = 100_000;
const LONGEST_TOKEN: Duration = Duration::from_secs(366 * 24 * 3600);
const LONGEST_NAME: usize = 64;
const MOST_SERVICES: usize = 100;
const LONGEST_WHY: usize = 256;

/// `GET /v1/agents`.
pub(crate) async fn agents(
    State(shared): State<Arc<Shared>>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Json<Page<AgentView>>, Failure> {
    paging(&query, &[])?;
    let mut live: HashMap<AgentId, AgentLive> =
        shared.ask(|drive, _| drive.agents()).await?.into_iter().map(|live| (live.id, live)).collect();
    let views = shared.store.agents().await?.into_iter().map(|row| {
        let live = live.remove(&row.id);
        agent_view(row, live)
    });
    Ok(Json(Page { items: views.collect(), next_cursor: None }))
}

fn agent_view(row: AgentRow, live: Option<AgentLive>) -> AgentView {
    AgentView {
        id: row.id.to_string(),
        name: row.name,
        state: match live.as_ref().map(|live| live.is_draining) {
            None => Liveness::Down,
            Some(true) => Liveness::Draining,
            Some(false) => Liveness::Up,
        },
        tags: row.tags,
        services: row.services,
        enrolled_at: Time(row.enrolled_ms),
        doubled_at: row.doubled_ms.map(Time),
        version: live.as_ref().map(|live| live.version.clone()),
        credit: live.as_ref().map_or(0, |live| live.credit),
        seen_at: live.as_ref().map(|live| Time(live.seen_ms)),
        egresses: live.map(|live| live.egresses).unwrap_or_default(),
    }
}

/// `POST /v1/agents/{id}/drain`: nothing more is granted to it until it is undrained, over restarts too.
pub(crate) async fn drain(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
) -> Result<Json<AgentView>, Failure> {
    order_drain(&shared, &id, true).await
}

/// `POST /v1/agents/{id}/undrain`.
pub(crate) async fn undrain(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
) -> Result<Json<AgentView>, Failure> {
    order_drain(&shared, &id, false).await
}

async fn order_drain(shared: &Shared, id: &str, is_drained: bool) -> Result<Json<AgentView>, Failure> {
    let unknown = || not_found("agent", id);
    let agent: AgentId = id.parse().map_err(|_| unknown())?;
    let row = shared.store.agent(agent).await?.ok_or_else(unknown)?;
    let order = move |drive: &mut Drive, now: Instant| {
        drive.order_drain(agent, is_drained, now);
        drive.agents().into_iter().find(|live| live.id == agent)
    };
    let live = shared.ask(order).await?;
    let word = is_drained.then(|| "drain".to_owned());
    shared.store.save_order(format!("agent/{agent}"), word).await?.await?;
    Ok(Json(agent_view(row, live)))
}

/// `GET /v1/egresses`: those seen in this start.
pub(crate) async fn egresses(
    State(shared): State<Arc<Shared>>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Json<Page<EgressView>>, Failure> {
    paging(&query, &[])?;
    let items = shared.ask(|drive, _| drive.fleet.ids().map(|id| drive.fleet.view(id)).collect()).await?;
    Ok(Json(Page { items, next_cursor: None }))
}

/// `GET /v1/services`.
pub(crate) async fn services(
    State(shared): State<Arc<Shared>>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Json<Page<ServiceView>>, Failure> {
    paging(&query, &[])?;
    let ids: Vec<ServiceId> = shared.services.ids().collect();
    let asked = ids.clone();
    let standing: Vec<Standing> =
        shared.ask(move |drive, _| asked.iter().map(|id| drive.standing(*id)).collect()).await?;
    let items = ids.into_iter().zip(standing).map(|(id, standing)| shared.services.view(id, standing));
    let items = items.collect();
    Ok(Json(Page { items, next_cursor: None }))
}

/// `POST /v1/services/{id}/pause`: nothing of it is granted until it is resumed, over restarts too.
pub(crate) async fn pause(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Json<ServiceView>, Failure> {
    let service = shared.services.need(&id).map_err(|_| not_found("service", &id))?;
    let why = why(&body)?;
    let kept = why.clone();
    shared.ask(move |drive, now| drive.pause(service, why, now)).await?;
    shared.store.save_order(format!("service/{id}"), Some(kept)).await?.await?;
    service_view(&shared, service).await
}

/// Why something is paused: what the body says, or that somebody wanted it.
fn why(body: &[u8]) -> Result<String, Failure> {
    let given: WhyRequest = if body.is_empty() { WhyRequest::default() } else { read(body)? };
    let why = given.why.unwrap_or_else(|| "somebody paused it".to_owned());
    if why.chars().count() > LONGEST_WHY || why.chars().any(char::is_control) {
        let detail = "at most 256 characters, without control characters";
        return Err(Failure::new(Code::InvalidField, detail).at("/why"));
    }
    Ok(why)
}

async fn service_view(shared: &Shared, service: ServiceId) -> Result<Json<ServiceView>, Failure> {
    let standing = shared.ask(move |drive, _| drive.standing(service)).await?;
    Ok(Json(shared.services.view(service, standing)))
}

/// `POST /v1/stop`: nothing at all is granted until `POST /v1/start`, over restarts too.
pub(crate) async fn stop(State(shared): State<Arc<Shared>>, body: Bytes) -> Result<Response, Failure> {
    let why = why(&body)?;
    let kept = why.clone();
    shared.ask(move |drive, now| drive.stop(Some(why), now)).await?;
    shared.store.save_order("stop".to_owned(), Some(kept)).await?.await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `POST /v1/start`.
pub(crate) async fn start(State(shared): State<Arc<Shared>>) -> Result<Response, Failure> {
    shared.ask(move |drive, now| drive.stop(None, now)).await?;
    shared.store.save_order("stop".to_owned(), None).await?.await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `POST /v1/services/{id}/resume`.
pub(crate) async fn resume(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
) -> Result<Json<ServiceView>, Failure> {
    let service = shared.services.need(&id).map_err(|_| not_found("service", &id))?;
    shared.ask(move |drive, now| drive.resume(service, now)).await?;
    shared.store.save_order(format!("service/{id}"), None).await?.await?;
    service_view(&shared, service).await
}

/// `POST /v1/join-tokens`; an empty body asks for one use within an hour.
pub(crate) async fn token(State(shared): State<Arc<Shared>>, body: Bytes) -> Result<Response, Failure> {
    let request = if body.is_empty() { TokenRequest::default() } else { read(&body)? };
    let token = create_token(&shared, request).await.map_err(Failure)?;
    Ok((StatusCode::CREATED, Json(token)).into_response())
}

/// `GET /v1/join-tokens`: without their secrets.
pub(crate) async fn tokens(
    State(shared): State<Arc<Shared>>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Json<Page<TokenListed>>, Failure> {
    paging(&query, &[])?;
    let listed = shared.store.tokens().await?.into_iter().map(|kept| TokenListed {
        id: kept.token.id,
        uses: kept.token.uses,
        used: kept.used,
        expires_at: Time(kept.token.expires_ms),
        revoked_at: kept.revoked_ms.map(Time),
        tags: kept.token.tags,
        services: kept.token.services,
    });
    Ok(Json(Page { items: listed.collect(), next_cursor: None }))
}

/// `DELETE /v1/join-tokens/{id}`: nobody joins with it any more.
pub(crate) async fn revoke_token(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
) -> Result<StatusCode, Failure> {
    let is_known = shared.store.revoke_token(id.clone(), shared.clock.wall_ms()).await?.await?;
    if is_known { Ok(StatusCode::NO_CONTENT) } else { Err(not_found("join token", &id)) }
}

/// `DELETE /v1/agents/{id}`: its session ends at once, and it does not come back.
pub(crate) async fn revoke(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
) -> Result<StatusCode, Failure> {
    let unknown = || not_found("agent", &id);
    let agent: AgentId = id.parse().map_err(|_| unknown())?;
    if !shared.store.revoke_agent(agent, shared.clock.wall_ms()).await?.await? {
        return Err(unknown());
    }
    shared.ask(move |drive, now| drive.revoke(agent, now)).await?;
    tracing::info!("{agent} was revoked");
    Ok(StatusCode::NO_CONTENT)
}

/// Makes a join token.
pub(crate) async fn create_token(shared: &Shared, request: TokenRequest) -> Result<TokenView, Problem> {
    let invalid = |pointer: &str, detail: &str| Problem::new(Code::InvalidField, detail).at(pointer);
    if !(1..=MOST_USES).contains(&request.uses) {
        return Err(invalid("/uses", "between 1 and 100000"));
    }
    if request.expires_in.0.is_zero() || request.expires_in.0 > LONGEST_TOKEN {
        return Err(invalid("/expires_in", "above zero and within 366 days"));
    }
    let odd = |tag: &String| tag.is_empty() || tag.len() > LONGEST_NAME || tag.chars().any(char::is_control);
    if request.tags.len() > 16 || request.tags.iter().any(odd) {
        return Err(invalid("/tags", "at most 16 tags of 1 to 64 visible characters"));
    }
    if request.services.len() > MOST_SERVICES {
        return Err(invalid("/services", "at most 100 patterns of services"));
    }
    if let Some(why) = request.services.iter().find_map(|pattern| service_pattern(pattern).err()) {
        return Err(invalid("/services", &why));
    }
    let life_ms = u64::try_from(request.expires_in.0.as_millis()).unwrap_or(u64::MAX);
    let expires_ms = shared.clock.wall_ms().saturating_add(life_ms);
    let internal = |detail: String| Problem::new(Code::Internal, detail);
    let (token, row) = join::new_token(&shared.pin, request, expires_ms).map_err(internal)?;
    let id = row.id.clone();
    let stored = match shared.store.add_token(row).await {
        Ok(commit) => commit.await,
        Err(error) => Err(error),
    };
    stored.map_err(|error| internal(error.to_string()))?;
    Ok(TokenView { token, id, expires_at: Time(expires_ms) })
}

/// `POST /agent/v1/enroll`: a token for a place in the fleet.
pub(crate) async fn enrol(State(shared): State<Arc<Shared>>, body: Bytes) -> Result<Json<Enrolled>, Failure> {
    let request: agent::EnrolRequest = read(&body)?;
    let invalid = |why: &str| {
        Failure::new(
            Code::InvalidToken,
            format!("the join token is {why}; make a new one with `egret token create`"),
        )
    };
    let (token, secret_hash) =
        join::read_token(&request.token).ok_or_else(|| invalid("not one of this coordinator's"))?;
    let public_key = join::enrolled_key(&request)
        .ok_or_else(|| Failure::new(Code::InvalidField, "the signature is not the key's").at("/signature"))?;
    let name = request.name.trim();
    if name.is_empty() || name.chars().count() > LONGEST_NAME || name.chars().any(char::is_control) {
        return Err(Failure::new(Code::InvalidField, "a name is 1 to 64 visible characters").at("/name"));
    }
    let enrolment = shared.store.enrol(EnrolRequest {
        token,
        secret_hash,
        agent: AgentId(shared.next_id()),
        name: name.to_owned(),
        public_key,
        now_ms: shared.clock.wall_ms(),
    });
    match enrolment.await?.await? {
        Enrolment::Joined(row) => {
            tracing::info!(agent = row.name, "{} has joined", row.id);
            Ok(Json(Enrolled { agent: row.id.to_string(), coordinator: shared.id.clone() }))
        }
        Enrolment::Unknown => Err(invalid("unknown")),
        Enrolment::Expired => Err(invalid("expired")),
        Enrolment::UsedUp => Err(invalid("used up")),
        Enrolment::Revoked => Err(invalid("revoked")),
    }
}

/// `POST /agent/v1/observe`: which address this connection comes from, with a proof.
pub(crate) async fn observe(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
) -> Result<Json<Observed>, Failure> {
    let address = origin(peer.ip(), &headers, &shared.trusted_proxies).ok_or_else(|| {
        Failure::new(Code::InvalidField, "the X-Forwarded-For of this request names no address")
    })?;
    let address = join::egress_key(address);
    let proof = shared
        .proofs
        .issue(&address, shared.clock.wall_ms())
        .map_err(|error| Failure::new(Code::Internal, error))?;
    Ok(Json(Observed { address, proof }))
}

/// `GET /agent/v1/session`: the WebSocket.
pub(crate) async fn session(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Extension(binding): Extension<Binding>,
    upgrade: WebSocketUpgrade,
) -> Result<Response, Failure> {
    if !shared.is_ready.load(Ordering::Acquire) {
        return Err(Failure::new(Code::NotReady, "the coordinator is starting or stopping"));
    }
    Ok(upgrade
        .protocols([PROTOCOL])
        .read_buffer_size(BUFFER)
        .write_buffer_size(BUFFER)
        .max_message_size(MAX_FRAME)
        .max_frame_size(MAX_FRAME)
        .on_upgrade(move |socket| session::hold(socket, peer, binding, shared)))
}

/// `GET /agent/v1/answer`: the WebSocket of an answer that passes through. Whose it is shows its beginning.
pub(crate) async fn answer(
    State(shared): State<Arc<Shared>>,
    upgrade: WebSocketUpgrade,
) -> Result<Response, Failure> {
    let place = Arc::clone(&shared.passages).try_acquire_owned();
    let place = place.map_err(|_| {
        Failure::new(Code::QueueFull, "as many answers pass as there are places; report this one whole")
    })?;
    let response = upgrade
        .protocols([passage::PROTOCOL])
        .read_buffer_size(BUFFER)
        .write_buffer_size(BUFFER)
        .max_message_size(passage::MAX_FRAME)
        .max_frame_size(passage::MAX_FRAME)
        .on_upgrade(async move |socket| {
            crate::passage::hold(socket, shared).await;
            drop(place);
        });
    Ok(response)
}

pub(crate) fn read<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|error| {
        let code = if !error.is_data() {
            Code::InvalidJson
        } else if error.to_string().starts_with("unknown field") {
            Code::UnknownField
        } else {
            Code::InvalidField
        };
        Failure::new(code, format!("the body does not fit: {error}"))
    })
}
