//! Batches: shown, listed, cancelled.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, Query, State};
use axum::response::Json;
use egret_core::id::BatchId;
use egret_core::time::Instant;
use egret_store::{BatchEnd, BatchKept, EndState};
use egret_wire::api::{BatchState, BatchView, Page, RejectedLine};
use egret_wire::problem::Code;
use egret_wire::value::Time;

use super::caller::Caller;
use super::jobs::{id_of, unknown_parameter};
use super::{Failure, Shared, not_found, shown};
use crate::drive::{BatchOrder, Drive, Progress};

/// Rejected lines shown with the batch itself.
pub(super) const REJECTED_SHOWN: usize = 100;
const PAGE: usize = 100;
const MOST_PAGE: usize = 1_000;

/// `GET /v1/batches/{id}`.
pub(crate) async fn show(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(text): Path<String>,
) -> Result<Json<BatchView>, Failure> {
    Ok(Json(current(&shared, &caller, parse(&text)?).await?))
}

pub(super) fn parse(text: &str) -> Result<BatchId, Failure> {
    text.parse().map_err(|_| not_found("batch", text))
}

/// A batch that this caller sees.
pub(super) async fn seen(shared: &Shared, caller: &Caller, id: BatchId) -> Result<BatchKept, Failure> {
    let kept = shared.store.batch(id).await?.filter(|kept| caller.sees(&kept.batch.owner));
    kept.ok_or_else(|| not_found("batch", &id.to_string()))
}

/// The same as it is now.
pub(super) async fn current(shared: &Shared, caller: &Caller, id: BatchId) -> Result<BatchView, Failure> {
    let live = shared.ask(move |drive, now| live(drive, id, now)).await?;
    let kept = seen(shared, caller, id).await?;
    let finish = shared.batch_finish(id).await?;
    shape(shared, kept, live, finish).await
}

/// What only the drive knows of a batch.
struct Live {
    progress: Progress,
    rate: f64,
    is_paused: bool,
}

fn live(drive: &mut Drive, id: BatchId, now: Instant) -> Option<Live> {
    let is_paused = drive.is_paused(id);
    let progress = drive.batches.get_mut(&id)?;
    Some(Live { rate: progress.rate(now), progress: progress.clone(), is_paused })
}

async fn shape(
    shared: &Shared,
    kept: BatchKept,
    live: Option<Live>,
    finish_estimate: Option<Time>,
) -> Result<BatchView, Failure> {
    let rejected = shared.store.rejected(kept.batch.id, 0, REJECTED_SHOWN).await?;
    let (total, rejected_total) = match kept.end {
        Some(BatchEnd::Closed { jobs, rejected }) => (jobs, rejected),
        _ => (0, rejected.len() as u64),
    };
    let ended = live.as_ref().map_or(kept.ended, |live| live.progress.ended);
    let open = total.saturating_sub(ended.iter().sum());
    // It has ended when the record of its last end is on disk.
    let is_open = open > 0 || live.as_ref().is_some_and(|live| live.progress.unrecorded > 0);
    let running = live.as_ref().map_or(0, |live| live.progress.running.min(open));
    let is_paused = live.as_ref().is_some_and(|live| live.is_paused);
    let count = |state: EndState| ended[state as usize];
    let state = match kept.end {
        None => BatchState::Receiving,
        Some(BatchEnd::Cancelled) => BatchState::Cancelled,
        Some(BatchEnd::Closed { .. }) if open > 0 && is_paused => BatchState::Paused,
        Some(BatchEnd::Closed { .. }) if is_open => BatchState::Running,
        Some(BatchEnd::Closed { .. }) if total > 0 && count(EndState::Cancelled) == total => {
            BatchState::Cancelled
        }
        Some(BatchEnd::Closed { .. }) => BatchState::Done,
    };
    Ok(BatchView {
        id: kept.batch.id.to_string(),
        state,
        jobs_total: total,
        queued: open - running,
        running,
        done: count(EndState::Done),
        failed: count(EndState::Failed),
        expired: count(EndState::Expired),
        cancelled: count(EndState::Cancelled),
        refusals: live.as_ref().map_or(0, |live| live.progress.refusals),
        rejected: rejected
            .into_iter()
            .map(|row| RejectedLine { line: row.line, code: row.code, detail: row.detail })
            .collect(),
        rejected_total,
        rate_per_second: live.map_or(0.0, |live| live.rate),
        created_at: Time(kept.batch.created_ms),
        ended_at: kept.last_ended_ms.filter(|_| !is_open).map(Time),
        finish_estimate: finish_estimate.filter(|_| open > 0),
    })
}

/// `GET /v1/batches`, newest first.
pub(crate) async fn list(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Json<Page<BatchView>>, Failure> {
    let (cursor, limit) = paging(&query, &[])?;
    let kept = shared
        .store
        .batches(caller.sees_only().map(str::to_owned), id_of(cursor.as_deref(), "cursor")?, limit)
        .await?;
    let next_cursor = kept.last().filter(|_| kept.len() == limit).map(|last| last.batch.id.to_string());
    let mut items = Vec::with_capacity(kept.len());
    for kept in kept {
        let id = kept.batch.id;
        let live = shared.ask(move |drive, now| live(drive, id, now)).await?;
        let finish = shared.batch_finish(id).await?;
        items.push(shape(&shared, kept, live, finish).await?);
    }
    Ok(Json(Page { items, next_cursor }))
}

/// `DELETE /v1/batches/{id}`: gives up what has not ended.
pub(crate) async fn cancel(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(text): Path<String>,
) -> Result<Json<BatchView>, Failure> {
    let id = parse(&text)?;
    let kept = seen(&shared, &caller, id).await?;
    if kept.end.is_none() {
        // Whichever end is written first stands; the upload looks which it was.
        shared.store.end_batch(id, BatchEnd::Cancelled).await?.await?;
    }
    ordered(&shared, &caller, &text, BatchOrder::Cancel).await
}

/// `POST /v1/batches/{id}/pause`: nothing of it is asked until it is resumed, over restarts too; its deadlines run on.
pub(crate) async fn pause(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(text): Path<String>,
) -> Result<Json<BatchView>, Failure> {
    ordered(&shared, &caller, &text, BatchOrder::Pause).await
}

/// `POST /v1/batches/{id}/resume`.
pub(crate) async fn resume(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(text): Path<String>,
) -> Result<Json<BatchView>, Failure> {
    ordered(&shared, &caller, &text, BatchOrder::Run).await
}

/// A batch after an order, if there was anything left to order.
async fn ordered(
    shared: &Shared,
    caller: &Caller,
    text: &str,
    wanted: BatchOrder,
) -> Result<Json<BatchView>, Failure> {
    let id = parse(text)?;
    if !has_ended(&seen(shared, caller, id).await?) {
        order(shared, id, wanted).await?;
    }
    Ok(Json(current(shared, caller, id).await?))
}

/// Whether nothing of a batch can be ordered any more.
pub(super) fn has_ended(kept: &BatchKept) -> bool {
    match kept.end {
        Some(BatchEnd::Closed { jobs, .. }) => kept.ended.iter().sum::<u64>() >= jobs,
        Some(BatchEnd::Cancelled) => true,
        None => false,
    }
}

/// Carries out what somebody wants of a batch, and keeps it. Giving up is for good.
async fn order(shared: &Shared, id: BatchId, order: BatchOrder) -> Result<(), Failure> {
    let is_kept = shared.ask(move |drive, now| drive.order_batch(id, order, now)).await?;
    if is_kept {
        shared.store.save_order(format!("batch/{id}"), order.word()).await?.await?;
    }
    Ok(())
}

/// `GET /v1/batches/{id}/rejected`.
pub(crate) async fn rejected(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(text): Path<String>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Json<Page<RejectedLine>>, Failure> {
    let id = parse(&text)?;
    let (cursor, limit) = paging(&query, &[])?;
    let after: u64 = id_of(cursor.as_deref(), "cursor")?.unwrap_or(0);
    seen(&shared, &caller, id).await?;
    let rows = shared.store.rejected(id, after, limit).await?;
    let next_cursor = rows.last().filter(|_| rows.len() == limit).map(|row| row.line.to_string());
    let items =
        rows.into_iter().map(|row| RejectedLine { line: row.line, code: row.code, detail: row.detail });
    Ok(Json(Page { items: items.collect(), next_cursor }))
}

/// Cursor and limit; other parameters than these and `more` are unknown.
pub(super) fn paging(
    query: &HashMap<String, String>,
    more: &[&str],
) -> Result<(Option<String>, usize), Failure> {
    if let Some(key) =
        query.keys().find(|key| !["cursor", "limit"].contains(&key.as_str()) && !more.contains(&key.as_str()))
    {
        return Err(unknown_parameter(key));
    }
    let limit: Option<usize> = match query.get("limit") {
        Some(text) => Some(text.parse().map_err(|_| {
            Failure::new(Code::InvalidField, format!("limit {} is not a number", shown(text))).at("/limit")
        })?),
        None => None,
    };
    Ok((query.get("cursor").cloned(), limit.unwrap_or(PAGE).clamp(1, MOST_PAGE)))
}
