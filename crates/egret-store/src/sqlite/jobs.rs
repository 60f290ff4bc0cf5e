//! Jobs and their outcomes: added, and never changed but by [`advance`] and [`reopen`]. What is open is what no outcome names.

use egret_core::id::JobId;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Result, Row, params, params_from_iter};

use super::batches::Counts;
use super::column::{self, rows};
use super::flows::{Flows, Met};
use crate::row::{EndState, JobFilter, JobRow, Kept, OutcomeRow};

/// What is read of a job and of what became of it.
const COLUMNS: &str = "
    SELECT j.id, j.deadline_ms, j.spec, f.id, s.name, f.owner, f.class, f.egress, f.batch,
           o.seq, o.batch, o.state, o.ended_ms, o.body,
           EXISTS (SELECT 1 FROM batch_ends e WHERE e.batch = j.batch AND e.closed = 0)
    FROM ";
/// Where it is read, once the jobs are found.
const REST: &str = "
    CROSS JOIN flows f ON f.id = j.flow CROSS JOIN services s ON s.id = f.service
    LEFT JOIN outcomes o ON o.job = j.id
    WHERE ";
/// The jobs by id, and the column of their ids.
const ALL: (&str, &str) = ("jobs j", "j.id");
/// The jobs that have not ended, by id: not a step is spent on those that have.
const OPEN: (&str, &str) = ("waiting w CROSS JOIN jobs j ON j.id = w.job", "w.job");

/// True for a job without an outcome whose batch was cancelled.
const DISCARDED: &str =
    "(o.seq IS NULL AND EXISTS (SELECT 1 FROM batch_ends e WHERE e.batch = j.batch AND e.closed = 0))";

/// One label; a spec that is no JSON has none. The key is compared, not spliced into a path, so it may hold anything.
const LABEL: &str = "
    CASE WHEN json_valid(CAST(j.spec AS TEXT)) THEN EXISTS (
        SELECT 1 FROM json_each(CAST(j.spec AS TEXT), '$.labels')
        WHERE key = ? AND type = 'text' AND value = ?) END";

/// Adds jobs to their lines; a second one of an id fails the write.
pub(super) fn append(db: &Connection, jobs: &[JobRow]) -> Result<()> {
    let mut flows = Flows::new(db);
    let mut insert = db.prepare_cached("INSERT INTO jobs VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
    let mut wait = db.prepare_cached("INSERT INTO waiting VALUES (?1, ?2, ?3)")?;
    for job in jobs {
        let (id, deadline_ms) = (column::id(job.id.0)?, column::whole(job.deadline_ms));
        let flow = flows.number(&job.flow)?;
        let batch = column::batch(job.flow.batch)?;
        insert.execute(params![id, batch, flow.owner, flow.number, deadline_ms, job.spec])?;
        if flow.runs {
            wait.execute([flow.number, deadline_ms, id])?;
        }
    }
    Ok(())
}

/// Has jobs go on in other lines, with other specs, unless they have ended.
pub(super) fn advance(db: &Connection, jobs: &[JobRow]) -> Result<()> {
    let mut flows = Flows::new(db);
    let mut change = db.prepare_cached(
        "UPDATE jobs SET flow = ?2, spec = ?3
         WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM outcomes WHERE job = ?1)",
    )?;
    let mut leave = db.prepare_cached("DELETE FROM waiting WHERE job = ?1")?;
    let mut wait = db.prepare_cached("INSERT INTO waiting VALUES (?1, ?2, ?3)")?;
    for job in jobs {
        let (id, deadline_ms) = (column::id(job.id.0)?, column::whole(job.deadline_ms));
        let flow = flows.number(&job.flow)?;
        if change.execute(params![id, flow.number, job.spec])? == 1 {
            leave.execute([id])?;
            if flow.runs {
                wait.execute([flow.number, deadline_ms, id])?;
            }
        }
    }
    Ok(())
}

/// Adds outcomes in this order; the first one of a job stands, counts, and ends its waiting.
pub(super) fn append_outcomes(db: &Connection, outcomes: &[OutcomeRow]) -> Result<()> {
    let mut insert = db.prepare_cached(
        "INSERT INTO outcomes (job, batch, state, ended_ms, body) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (job) DO NOTHING",
    )?;
    let mut leave = db.prepare_cached("DELETE FROM waiting WHERE job = ?1")?;
    let mut counts = Counts::default();
    for outcome in outcomes {
        let (job, batch) = (column::id(outcome.job.0)?, column::batch(outcome.batch)?);
        let ended_ms = column::whole(outcome.ended_ms);
        if insert.execute(params![job, batch, outcome.state, ended_ms, outcome.body])? == 1 {
            leave.execute([job])?;
            counts.add(outcome.batch, outcome.state, outcome.ended_ms);
        }
    }
    counts.save(db)
}

/// Takes outcomes back, and their jobs wait again, each until a deadline of its own. What is left of an outcome names no
/// job: it holds its place, since whoever reads results reads on behind it.
pub(super) fn reopen(db: &Connection, jobs: &[(JobId, u64)]) -> Result<Vec<(JobId, EndState)>> {
    let mut find = db.prepare_cached("SELECT seq, batch, state FROM outcomes WHERE job = ?1")?;
    let mut take_back =
        db.prepare_cached("UPDATE outcomes SET job = -seq, batch = NULL, body = x'' WHERE seq = ?1")?;
    let mut place = db.prepare_cached("UPDATE jobs SET deadline_ms = ?2 WHERE id = ?1 RETURNING flow")?;
    let mut wait = db.prepare_cached("INSERT INTO waiting VALUES (?1, ?2, ?3)")?;
    let (mut reopened, mut counts) = (Vec::new(), Counts::default());
    for (job, deadline_ms) in jobs {
        let (id, deadline_ms) = (column::id(job.0)?, column::whole(*deadline_ms));
        let read = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, column::batch_id(row, 1)?, row.get(2)?));
        let Some((seq, batch, state)) = find.query_row([id], read).optional()? else { continue };
        take_back.execute([seq])?;
        let flow: i64 = place.query_row([id, deadline_ms], |row| row.get(0))?;
        wait.execute([flow, deadline_ms, id])?;
        counts.take_back(batch, state);
        reopened.push((*job, state));
    }
    counts.save(db)?;
    Ok(reopened)
}

/// One job.
pub(super) fn job(db: &Connection, id: JobId) -> Result<Option<Kept>> {
    let sql = format!("{COLUMNS} {} {REST} j.id = ?1", ALL.0);
    let mut met = Met::default();
    db.prepare_cached(&sql)?.query_row([column::sought(id.0)], |row| read_kept(row, &mut met)).optional()
}

/// Jobs by descending id.
pub(super) fn jobs(db: &Connection, filter: &JobFilter, limit: usize) -> Result<Vec<Kept>> {
    let (sql, params) = query(filter, limit);
    let mut met = Met::default();
    rows(db, &sql, params_from_iter(params), |row| read_kept(row, &mut met))
}

/// The query for a filter: every condition is fixed text, every value a parameter.
pub(super) fn query(filter: &JobFilter, limit: usize) -> (String, Vec<Value>) {
    // A batch has an index of its own, and so has an owner.
    let owner = filter.owner.as_deref().filter(|owner| !owner.is_empty());
    let is_narrow = filter.batch.is_some() || owner.is_some();
    let (from, id) = if filter.state == Some(None) && !is_narrow { OPEN } else { ALL };
    let mut conditions = vec!["TRUE".to_owned()];
    let mut params: Vec<Value> = Vec::new();
    let mut equal = |condition: String, value: Value| {
        conditions.push(condition);
        params.push(value);
    };
    if let Some(before) = filter.before {
        equal(format!("{id} < ?"), column::whole(before.0).into());
    }
    if let Some(batch) = filter.batch {
        equal("j.batch = ?".to_owned(), column::sought(batch.0).into());
    }
    match owner {
        // `+` keeps the index of the batch in use.
        Some(owner) => {
            let column = if filter.batch.is_some() { "+j.owner" } else { "j.owner" };
            let number = "(SELECT id FROM owners WHERE name = ?)";
            equal(format!("{column} = {number}"), owner.to_owned().into());
        }
        None if filter.owner.is_some() => equal("j.owner IS ?".to_owned(), Value::Null),
        None => {}
    }
    if let Some(service) = &filter.service {
        equal("s.name = ?".to_owned(), service.clone().into());
    }
    match filter.state {
        None => {}
        Some(None) => conditions.push(format!("o.seq IS NULL AND NOT {DISCARDED}")),
        Some(Some(EndState::Cancelled)) => conditions.push(format!("(o.state = 3 OR {DISCARDED})")),
        Some(Some(state)) => equal("o.state = ?".to_owned(), i64::from(state as u8).into()),
    }
    for (key, value) in &filter.labels {
        conditions.push(LABEL.to_owned());
        params.extend([key.clone().into(), value.clone().into()]);
    }
    params.push(column::limit(limit).into());
    let conditions = conditions.join(" AND ");
    (format!("{COLUMNS} {from} {REST} {conditions} ORDER BY {id} DESC LIMIT ?"), params)
}

/// Reads a job from the first nine columns.
pub(super) fn read_job(row: &Row<'_>, met: &mut Met) -> Result<JobRow> {
    Ok(JobRow {
        id: column::job_id(row, 0)?,
        flow: met.read(row, 3)?,
        deadline_ms: column::number(row, 1)?,
        spec: row.get(2)?,
    })
}

/// Reads the outcome of `job` and its place from the five columns after those of the job.
pub(super) fn read_outcome(row: &Row<'_>, job: JobId) -> Result<(u64, OutcomeRow)> {
    let outcome = OutcomeRow {
        job,
        batch: column::batch_id(row, 10)?,
        state: row.get(11)?,
        ended_ms: column::number(row, 12)?,
        body: row.get(13)?,
    };
    Ok((column::number(row, 9)?, outcome))
}

fn read_kept(row: &Row<'_>, met: &mut Met) -> Result<Kept> {
    let job = read_job(row, met)?;
    let has_ended = row.get::<_, Option<i64>>(9)?.is_some();
    let outcome = if has_ended { Some(read_outcome(row, job.id)?.1) } else { None };
    Ok(Kept { discarded: !has_ended && row.get(14)?, job, outcome })
}
