//! What is left, where, until when.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::response::Json;
use egret_wire::api::QuotaView;
use egret_wire::value::Time;

use super::jobs::unknown_parameter;
use super::{Failure, Shared, not_found};
use crate::clock::wall_ms;

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
        Some(id) => Some(shared.services.find(&id).ok_or_else(|| not_found("service", &id))?),
        None => None,
    };
    let egress = query.get("egress").cloned();
    let all = query.get("all").is_some_and(|value| value == "true");
    let services = shared
        .ask(move |drive, now| {
            let ids =
                drive.services.ids().filter(|id| only.is_none_or(|only| only == *id)).collect::<Vec<_>>();
            ids.into_iter().map(|id| drive.quota(id, egress.as_deref(), all, now)).collect()
        })
        .await?;
    Ok(Json(QuotaView { at: Time(wall_ms()), services }))
}
