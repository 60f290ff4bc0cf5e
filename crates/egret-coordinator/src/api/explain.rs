//! Why a job has not been answered yet, and when it should be.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, State};
use axum::response::Json;
use egret_core::id::JobId;
use egret_store::Kept;
use egret_wire::api::{Explanation, JobState, JobView, Why, WhyKind};

use super::caller::Caller;
use super::{Failure, Shared, jobs, not_found};
use crate::clock::instant;
use crate::drive::Reasons;

/// `GET /v1/jobs/{id}/explain`.
pub(crate) async fn show(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(text): Path<String>,
) -> Result<Json<Explanation>, Failure> {
    let id: JobId = text.parse().map_err(|_| not_found("job", &text))?;
    // What the caller does not see is not explained either.
    let job = jobs::current(&shared, &caller, &text).await?;
    let in_memory = shared.ask(move |drive, now| drive.reasons(id, now)).await?;
    let reasons = match in_memory {
        None if !job.state.has_ended() => stored(&shared, id).await?,
        reasons => reasons,
    };
    let Some(reasons) = reasons else {
        return Ok(Json(closed(&jobs::current(&shared, &caller, &text).await?)));
    };
    let mut explanation = Explanation {
        job: id.to_string(),
        state: JobState::Running,
        why: reasons.why,
        position: None,
        start_estimate: None,
        finish_estimate: None,
    };
    match reasons.wait {
        Some(wait) => {
            let estimate = shared.estimate(reasons.service, wait.ahead + 1).await?;
            explanation.state = JobState::Queued;
            explanation.position = Some(wait.ahead + 1);
            explanation.start_estimate = estimate.start(wait);
            explanation.finish_estimate = estimate.finish(wait);
        }
        None => explanation.finish_estimate = Some(shared.estimate(reasons.service, 0).await?.landed()),
    }
    Ok(Json(explanation))
}

/// Why a job waits that is in the store alone.
async fn stored(shared: &Shared, id: JobId) -> Result<Option<Reasons>, Failure> {
    let Some(Kept { job, outcome: None, .. }) = shared.store.job(id).await? else { return Ok(None) };
    let before = shared.store.ahead(&job.flow, (job.deadline_ms, id)).await?;
    let place = (instant(job.deadline_ms), id);
    shared.ask(move |drive, now| drive.reasons_stored(&job.flow, place, before, now)).await
}

/// Of a job that the drive has not (any more).
fn closed(job: &JobView) -> Explanation {
    let state = job.state.as_str();
    let (kind, detail) = match (&job.ended_at, &job.result.error) {
        (Some(at), Some(error)) => {
            (WhyKind::Ended, format!("it ended {state} at {at}: {} ({})", error.detail, error.code))
        }
        (Some(at), None) => (WhyKind::Ended, format!("it ended {state} at {at}")),
        (None, _) if job.state.has_ended() => (WhyKind::Ended, format!("it ended {state} with its batch")),
        (None, _) => {
            (WhyKind::Receiving, "its batch is still being uploaded; nothing of it runs before".to_owned())
        }
    };
    Explanation {
        job: job.id.clone(),
        state: job.state,
        why: vec![Why { kind, detail, until: None }],
        position: None,
        start_estimate: None,
        finish_estimate: None,
    }
}
