//! Jobs and their outcomes: added, never changed. What is open is what no outcome names.

use egret_core::id::JobId;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Result, Row, params, params_from_iter};

use super::column::{self, rows};
use super::low_water::Lowest;
use super::services::Services;
use crate::row::{EndState, JobFilter, JobRow, Kept, OutcomeRow};

/// Open jobs after an id: a walk up the ids from the low-water mark on, one look-up each.
pub(super) const OPEN: &str = "
    SELECT j.id, j.batch, s.name, j.spec
    FROM jobs j CROSS JOIN services s ON s.id = j.service
    WHERE j.id > max(?1, (SELECT job - 1 FROM low_water))
      AND NOT EXISTS (SELECT 1 FROM outcomes o WHERE o.job = j.id)
      AND (j.batch IS NULL OR EXISTS (SELECT 1 FROM batch_ends e WHERE e.batch = j.batch AND e.closed = 1))
    ORDER BY j.id LIMIT ?2";

/// Jobs with what became of them; conditions follow.
const KEPT: &str = "
    SELECT j.id, j.batch, s.name, j.spec, o.seq, o.batch, o.state, o.ended_ms, o.body,
           EXISTS (SELECT 1 FROM batch_ends e WHERE e.batch = j.batch AND e.closed = 0)
    FROM jobs j CROSS JOIN services s ON s.id = j.service LEFT JOIN outcomes o ON o.job = j.id
    WHERE ";

/// True for a job without an outcome whose batch was cancelled.
const DISCARDED: &str =
    "(o.seq IS NULL AND EXISTS (SELECT 1 FROM batch_ends e WHERE e.batch = j.batch AND e.closed = 0))";

/// One label; a spec that is no JSON has none. The key is compared, not spliced into a path, so it may hold anything.
const LABEL: &str = "
    CASE WHEN json_valid(CAST(j.spec AS TEXT)) THEN EXISTS (
        SELECT 1 FROM json_each(CAST(j.spec AS TEXT), '$.labels')
        WHERE key = ? AND type = 'text' AND value = ?) END";

/// Adds jobs; a second one of an id fails the write.
pub(super) fn append(db: &Connection, jobs: &[JobRow], lowest: &Lowest) -> Result<()> {
    let Some(first) = jobs.iter().map(|job| job.id.0).min() else { return Ok(()) };
    lowest.saw(db, column::id(first)?)?;
    let mut services = Services::new(db);
    let mut insert = db.prepare_cached("INSERT INTO jobs VALUES (?1, ?2, ?3, ?4)")?;
    for job in jobs {
        let (id, batch) = (column::id(job.id.0)?, column::batch(job.batch)?);
        insert.execute(params![id, batch, services.number(&job.service)?, job.spec])?;
    }
    Ok(())
}

/// Adds outcomes in this order; the first one of a job stands.
pub(super) fn append_outcomes(db: &Connection, outcomes: &[OutcomeRow]) -> Result<()> {
    let mut insert = db.prepare_cached(
        "INSERT INTO outcomes (job, batch, state, ended_ms, body) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (job) DO NOTHING",
    )?;
    for outcome in outcomes {
        let (job, batch) = (column::id(outcome.job.0)?, column::batch(outcome.batch)?);
        insert.execute(params![job, batch, outcome.state, column::whole(outcome.ended_ms), outcome.body])?;
    }
    Ok(())
}

/// Jobs that have not ended, after one of them.
pub(super) fn open_jobs(db: &Connection, after: JobId, limit: usize) -> Result<Vec<JobRow>> {
    rows(db, OPEN, [column::whole(after.0), column::limit(limit)], read_job)
}

/// One job.
pub(super) fn job(db: &Connection, id: JobId) -> Result<Option<Kept>> {
    db.prepare_cached(&format!("{KEPT} j.id = ?1"))?.query_row([column::sought(id.0)], read_kept).optional()
}

/// Jobs by descending id.
pub(super) fn jobs(db: &Connection, filter: &JobFilter, limit: usize) -> Result<Vec<Kept>> {
    let (sql, params) = query(filter, limit);
    rows(db, &sql, params_from_iter(params), read_kept)
}

/// The query for a filter: every condition is fixed text, every value a parameter.
pub(super) fn query(filter: &JobFilter, limit: usize) -> (String, Vec<Value>) {
    let mut conditions = vec!["TRUE".to_owned()];
    let mut params: Vec<Value> = Vec::new();
    if let Some(before) = filter.before {
        conditions.push("j.id < ?".to_owned());
        params.push(column::whole(before.0).into());
    }
    if let Some(batch) = filter.batch {
        conditions.push("j.batch = ?".to_owned());
        params.push(column::sought(batch.0).into());
    }
    if let Some(service) = &filter.service {
        conditions.push("j.service = (SELECT id FROM services WHERE name = ?)".to_owned());
        params.push(service.clone().into());
    }
    match filter.state {
        None => {}
        Some(None) => conditions
            .push(format!("o.seq IS NULL AND NOT {DISCARDED} AND j.id >= (SELECT job FROM low_water)")),
        Some(Some(EndState::Cancelled)) => conditions.push(format!("(o.state = 3 OR {DISCARDED})")),
        Some(Some(state)) => {
            conditions.push("o.state = ?".to_owned());
            params.push(i64::from(state as u8).into());
        }
    }
    for (key, value) in &filter.labels {
        conditions.push(LABEL.to_owned());
        params.extend([key.clone().into(), value.clone().into()]);
    }
    params.push(column::limit(limit).into());
    (format!("{KEPT} {} ORDER BY j.id DESC LIMIT ?", conditions.join(" AND ")), params)
}

/// Reads a job from the first four columns.
pub(super) fn read_job(row: &Row<'_>) -> Result<JobRow> {
    Ok(JobRow {
        id: column::job_id(row, 0)?,
        batch: column::batch_id(row, 1)?,
        service: row.get(2)?,
        spec: row.get(3)?,
    })
}

/// Reads the outcome of `job` and its place from the five columns after those of the job.
pub(super) fn read_outcome(row: &Row<'_>, job: JobId) -> Result<(u64, OutcomeRow)> {
    let outcome = OutcomeRow {
        job,
        batch: column::batch_id(row, 5)?,
        state: row.get(6)?,
        ended_ms: column::number(row, 7)?,
        body: row.get(8)?,
    };
    Ok((column::number(row, 4)?, outcome))
}

fn read_kept(row: &Row<'_>) -> Result<Kept> {
    let job = read_job(row)?;
    let has_ended = row.get::<_, Option<i64>>(4)?.is_some();
    let outcome = if has_ended { Some(read_outcome(row, job.id)?.1) } else { None };
    Ok(Kept { discarded: !has_ended && row.get(9)?, job, outcome })
}
