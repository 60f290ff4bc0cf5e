//! Jobs of a batch that brought no answer, asked again.
//!
//! Their ends are taken back in the store, a piece at a time, and they go to the drive as new jobs do: what memory does
//! not hold waits in the store. One retry runs at a time, so that nobody else takes back what one has counted.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Json, Response};
use egret_core::id::{BatchId, JobId};
use egret_store::{BatchEnd, EndState, JobRow, StoreError};
use egret_wire::problem::Code;

use super::accept::{LONGEST_DEADLINE, Spec, release, reopen, reserve};
use super::batches::{current, parse, seen};
use super::caller::Caller;
use super::jobs::unknown_parameter;
use super::{Failure, Shared, shown};
use crate::drive::{Job, Message, Progress};

/// Jobs that are taken back together.
const PIECE: usize = 1_000;

/// `POST /v1/batches/{id}/retry`: asks again what failed or expired, or one of both; each job has as long as it had.
pub(crate) async fn retry(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(text): Path<String>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Response, Failure> {
    let (id, states) = (parse(&text)?, states(&query)?);
    super::to_the_end(async move {
        again(&shared, &caller, id, &states).await?;
        Ok(Json(current(&shared, &caller, id).await?).into_response())
    })
    .await
}

fn states(query: &HashMap<String, String>) -> Result<Vec<EndState>, Failure> {
    if let Some(key) = query.keys().find(|key| *key != "state") {
        return Err(unknown_parameter(key));
    }
    let state = |word: &str| match word.trim() {
        "failed" => Ok(EndState::Failed),
        "expired" => Ok(EndState::Expired),
        other => {
            let detail = format!("{} is not asked again; failed and expired are", shown(other));
            Err(Failure::new(Code::InvalidField, detail).at("/state"))
        }
    };
    query.get("state").map_or("failed,expired", String::as_str).split(',').map(state).collect()
}

async fn again(shared: &Shared, caller: &Caller, id: BatchId, states: &[EndState]) -> Result<(), Failure> {
    let _turn = shared.retries.lock().await;
    let many = hold(shared, caller, id, states).await?;
    if many == 0 {
        return Ok(());
    }
    let done = pieces(shared, caller, id, states, many).await;
    shared.ask(move |drive, _| drive.release_batch(id)).await?;
    done
}

/// Keeps the drive from letting go of the batch, and tells how many jobs there are to be asked again. Zero: none, and
/// nothing is kept.
async fn hold(shared: &Shared, caller: &Caller, id: BatchId, states: &[EndState]) -> Result<u64, Failure> {
    loop {
        let (is_cancelled, is_live) =
            shared.ask(move |drive, _| (drive.is_cancelled(id), drive.batches.contains_key(&id))).await?;
        let kept = seen(shared, caller, id).await?;
        let Some(BatchEnd::Closed { jobs, .. }) = kept.end else { return Ok(0) };
        let many = states.iter().map(|state| kept.ended[*state as usize]).sum();
        if many == 0 || is_cancelled {
            return Ok(0);
        }
        // Of a batch that the drive has let go of the store knows every end.
        let progress = (!is_live).then(|| Progress::new(jobs, kept.ended, shared.clock.now()));
        if shared.ask(move |drive, _| drive.hold_batch(id, progress)).await? {
            return Ok(many);
        }
    }
}

/// The first `many` jobs by their ends: what ends meanwhile is not asked once more.
async fn pieces(
    shared: &Shared,
    caller: &Caller,
    id: BatchId,
    states: &[EndState],
    many: u64,
) -> Result<(), Failure> {
    let (mut after, mut left) = (0, usize::try_from(many).unwrap_or(usize::MAX));
    while left > 0 {
        let ended = shared.store.ended_as(id, states.to_vec(), after, PIECE.min(left)).await?;
        let Some((last, _)) = ended.last() else { return Ok(()) };
        after = *last;
        left -= ended.len();
        let rows: Vec<_> = ended.into_iter().map(|(_, row)| row).collect();
        rows.iter().try_for_each(|row| caller.check_service(&row.flow.service))?;
        piece(shared, id, rows).await?;
    }
    Ok(())
}

async fn piece(shared: &Shared, batch: BatchId, rows: Vec<JobRow>) -> Result<(), Failure> {
    let now_ms = shared.clock.wall_ms();
    let rows = rows.into_iter().map(|row| renewed(row, now_ms));
    // One that cannot be planned any more stays as it ended.
    let mut jobs: VecDeque<Job> = VecDeque::new();
    let mut places = Vec::new();
    for row in rows {
        if let Ok(job) = reopen(&shared.services, &row, now_ms) {
            places.push((row.id, row.deadline_ms));
            jobs.push_back(job);
        }
    }
    reserve(shared, jobs.len())?;
    jobs.iter().for_each(|job| {
        shared.airborne.insert(job.id);
    });
    let grounded = |job: &Job| {
        shared.airborne.remove(&job.id);
        release(shared, 1);
    };
    let ends = take_back(shared, places).await.inspect_err(|_| jobs.iter().for_each(grounded))?;
    let taken: HashMap<JobId, EndState> = ends.iter().copied().collect();
    jobs.iter().filter(|job| !taken.contains_key(&job.id)).for_each(grounded);
    jobs.retain(|job| taken.contains_key(&job.id));
    shared.ask(move |drive, _| drive.reopened(batch, &ends)).await?;
    while !jobs.is_empty() {
        let piece = shared.cache.next(&mut jobs, |job| Some(job)).await;
        let submit = Message::Submit { jobs: piece, batch: None };
        shared.drive.send(submit).await.map_err(|_| {
            Failure::new(
                Code::NotReady,
                "the coordinator is stopping; the batch goes on after its next start",
            )
        })?;
    }
    Ok(())
}

async fn take_back(shared: &Shared, places: Vec<(JobId, u64)>) -> Result<Vec<(JobId, EndState)>, StoreError> {
    shared.store.reopen(places).await?.await
}

/// The same job with as much time as it had when it was accepted.
fn renewed(row: JobRow, now_ms: u64) -> JobRow {
    let born_ms = row.id.0 >> 20;
    let asked = serde_json::from_slice::<Spec>(&row.spec).map_or(row.deadline_ms, |spec| spec.deadline_ms);
    let time = Duration::from_millis(asked.saturating_sub(born_ms)).min(LONGEST_DEADLINE);
    let deadline_ms = now_ms.saturating_add(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    JobRow { deadline_ms, ..row }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(state: Option<&str>) -> Result<Vec<EndState>, Failure> {
        states(&state.map(|state| ("state".to_owned(), state.to_owned())).into_iter().collect())
    }

    #[test]
    fn only_what_brought_no_answer_is_asked_again() {
        let both = [EndState::Failed, EndState::Expired];
        assert_eq!(asked(None).unwrap(), both);
        assert_eq!(asked(Some("failed, expired")).unwrap(), both);
        assert_eq!(asked(Some("expired")).unwrap(), [EndState::Expired]);
        for wrong in ["", "done", "cancelled", "failed,", "failed;expired"] {
            assert_eq!(asked(Some(wrong)).unwrap_err().0.code, Code::InvalidField, "{wrong}");
        }
    }

    #[test]
    fn a_job_asked_again_has_as_long_as_it_had() {
        let flow = egret_store::Flow {
            service: "w".to_owned(),
            owner: String::new(),
            class: 1,
            egress: String::new(),
            batch: None,
        };
        let spec = br#"{"lookup":"whois","target":"a.example","priority":"normal","deadline_ms":61000}"#;
        let row = |deadline_ms| JobRow {
            id: JobId(1_000 << 20),
            flow: Arc::new(flow.clone()),
            deadline_ms,
            spec: spec.to_vec(),
        };
        assert_eq!(renewed(row(61_000), 100_000).deadline_ms, 160_000);
        assert_eq!(renewed(row(160_000), 200_000).deadline_ms, 260_000, "and so the second time");
    }
}
