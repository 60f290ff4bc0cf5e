//! What is left, where, until when.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::response::Json;
use egret_core::id::ServiceId;
use egret_core::ledger::LONGEST_NAMED;
use egret_core::scheduler::Event;
use egret_wire::api::{CoolDownRequest, QuotaView, ServiceQuota, SpendRequest};
use egret_wire::problem::Code;
use egret_wire::value::{Span, Time};

use super::fleet::read;
use super::jobs::unknown_parameter;
use super::{Failure, Shared, not_found};

/// Units that may be reported in one go: as many as the largest quota has.
const MOST_UNITS: u32 = 1_000_000;

/// `GET /v1/quota`.
pub(crate) async fn all(
    State(shared): State<Arc<Shared>>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Json<QuotaView>, Failure> {
    let service = query.get("service").cloned();
    budgets(&shared, service, &query).await
}

/// `GET /v1/quota/{service}`.
pub(crate) async fn one(
    State(shared): State<Arc<Shared>>,
    Path(service): Path<String>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Json<QuotaView>, Failure> {
    budgets(&shared, Some(service), &query).await
}

async fn budgets(
    shared: &Shared,
    service: Option<String>,
    query: &HashMap<String, String>,
) -> Result<Json<QuotaView>, Failure> {
    if let Some(key) = query.keys().find(|key| !["service", "egress", "all"].contains(&key.as_str())) {
        return Err(unknown_parameter(key));
    }
    let only = match service {
        Some(id) => Some(find(shared, &id)?),
        None => None,
    };
    let egress = query.get("egress").cloned();
    let all = query.get("all").is_some_and(|value| value == "true");
    let mut services: Vec<ServiceQuota> = shared
        .ask(move |drive, now| {
            let ids = drive.service_ids().filter(|id| only.is_none_or(|only| only == *id));
            ids.map(|id| drive.quota(id, egress.as_deref(), all, now)).collect()
        })
        .await?;
    for view in services.iter_mut().filter(|view| view.queued + view.running > 0) {
        let id = find(shared, &view.service)?;
        view.finish_estimate = shared.estimate(id, view.queued).await?.last();
    }
    Ok(Json(QuotaView { at: Time(shared.clock.wall_ms()), services }))
}

/// `POST /v1/quota/{service}/spend`: on disk before it is answered.
pub(crate) async fn spend(
    State(shared): State<Arc<Shared>>,
    Path(service): Path<String>,
    body: Bytes,
) -> Result<Json<QuotaView>, Failure> {
    let SpendRequest { egress, units } = read(&body)?;
    if !(1..=MOST_UNITS).contains(&units) {
        return Err(Failure::new(Code::InvalidField, "between 1 and 1000000").at("/units"));
    }
    let (id, address) = (find(&shared, &service)?, egress.clone());
    let spent = shared.ask(move |drive, now| {
        let egress = drive.fleet.find(&address)?;
        let calls = units.div_ceil(drive.services.config(id).terms.cost.max(1));
        let rows = drive.spent(id, egress, calls, now);
        Some((rows, drive.quota(id, Some(&address), false, now)))
    });
    let ((rows, owner), view) = spent.await?.ok_or_else(|| not_found("egress", &egress))?;
    let ledgers = shared.store.save_ledgers(rows).await?;
    let owners = shared.store.save_egresses(vec![owner]).await?;
    ledgers.await?;
    owners.await?;
    Ok(Json(QuotaView { at: Time(shared.clock.wall_ms()), services: vec![view] }))
}

/// `POST /v1/services/{id}/cool-down`.
pub(crate) async fn cool_down(
    State(shared): State<Arc<Shared>>,
    Path(service): Path<String>,
    body: Bytes,
) -> Result<Json<QuotaView>, Failure> {
    let CoolDownRequest { egress, length: Span(length) } = read(&body)?;
    if length.is_zero() || length > LONGEST_NAMED {
        return Err(Failure::new(Code::InvalidField, "above zero and within 7 days").at("/for"));
    }
    let (id, address) = (find(&shared, &service)?, egress.clone());
    let rested = shared.ask(move |drive, now| {
        let egress = drive.fleet.find(&address)?;
        drive.scheduler.handle(Event::Rest { service: id, egress, length }, now);
        Some((drive.rows_of(id, egress, now), drive.quota(id, Some(&address), false, now)))
    });
    let (rows, view) = rested.await?.ok_or_else(|| not_found("egress", &egress))?;
    shared.store.save_ledgers(rows).await?.await?;
    Ok(Json(QuotaView { at: Time(shared.clock.wall_ms()), services: vec![view] }))
}

fn find(shared: &Shared, service: &str) -> Result<ServiceId, Failure> {
    shared.services.need(service).map_err(|_| not_found("service", service))
}
