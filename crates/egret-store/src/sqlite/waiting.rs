//! The lines: jobs that have not ended, in the order in which they should be asked.
//!
//! A row comes with its job and leaves with the first outcome, in the same transaction, so nobody reads a job
//! here that has ended. The rows of a batch that was cancelled while receiving leave later, a few at a time
//! ([`sweep`]); until then nothing reads them.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Result, params};

use super::column::{self, rows};
use super::flows::{self, Met};
use crate::row::{Flow, FlowKept, JobRow, Place};

/// Rows of cancelled batches that leave in one step; about 20 ms of work. Chosen.
const STEP: usize = 10_000;

/// Every flow in which jobs wait: from one to the next by the index, and each counted by a walk along its rows.
pub(super) const FLOWS: &str = "
    WITH RECURSIVE line (flow) AS (
        SELECT min(flow) FROM waiting
        UNION ALL
        SELECT (SELECT min(flow) FROM waiting w WHERE w.flow > line.flow) FROM line WHERE line.flow IS NOT NULL)
    SELECT f.id, s.name, f.owner, f.class, f.egress, f.batch,
           (SELECT count(*) FROM waiting w WHERE w.flow = f.id),
           (SELECT deadline_ms FROM waiting w WHERE w.flow = f.id ORDER BY deadline_ms DESC, job DESC LIMIT 1),
           (SELECT job FROM waiting w WHERE w.flow = f.id ORDER BY deadline_ms DESC, job DESC LIMIT 1)
    FROM line CROSS JOIN flows f ON f.id = line.flow CROSS JOIN services s ON s.id = f.service
    WHERE f.batch IS NULL OR EXISTS (SELECT 1 FROM batch_ends e WHERE e.batch = f.batch AND e.closed = 1)";

/// The next jobs of a flow behind a place.
pub(super) const NEXT: &str = "
    SELECT j.id, j.deadline_ms, j.spec
    FROM waiting w CROSS JOIN jobs j ON j.id = w.job
    WHERE w.flow = ?1 AND (w.deadline_ms, w.job) > (?2, ?3)
    ORDER BY w.deadline_ms, w.job LIMIT ?4";

/// How many jobs of a flow stand before a place.
pub(super) const AHEAD: &str =
    "SELECT count(*) FROM waiting WHERE flow = ?1 AND (deadline_ms, job) < (?2, ?3)";

/// Every flow in which jobs wait that may run.
pub(super) fn flows(db: &Connection) -> Result<Vec<FlowKept>> {
    let mut met = Met::default();
    rows(db, FLOWS, [], |row| {
        let last = (column::number(row, 7)?, column::job_id(row, 8)?);
        Ok(FlowKept { flow: met.read(row, 0)?, waiting: column::number(row, 6)?, last })
    })
}

/// The next jobs of a flow behind a place.
pub(super) fn next(
    db: &Connection,
    flow: &Arc<Flow>,
    after: Option<Place>,
    limit: usize,
) -> Result<Vec<JobRow>> {
    let Some(number) = flows::find(db, flow)? else { return Ok(Vec::new()) };
    if !may_run(db, flow)? {
        return Ok(Vec::new());
    }
    let (deadline_ms, job) = after.map_or((-1, -1), columns);
    rows(db, NEXT, [number, deadline_ms, job, column::limit(limit)], |row| {
        Ok(JobRow {
            id: column::job_id(row, 0)?,
            flow: Arc::clone(flow),
            deadline_ms: column::number(row, 1)?,
            spec: row.get(2)?,
        })
    })
}

/// How many jobs of a flow stand before a place.
pub(super) fn ahead(db: &Connection, flow: &Flow, place: Place) -> Result<u64> {
    let Some(number) = flows::find(db, flow)? else { return Ok(0) };
    let (deadline_ms, job) = columns(place);
    db.prepare_cached(AHEAD)?.query_row([number, deadline_ms, job], |row| column::number(row, 0))
}

/// The flows of a batch that was cancelled while receiving are to be swept.
pub(super) fn discard(db: &Connection, batch: i64) -> Result<()> {
    db.prepare_cached("INSERT INTO discarded SELECT id FROM flows WHERE ifnull(batch, -1) = ?1")?
        .execute([batch])?;
    Ok(())
}

/// True if rows of cancelled batches are left.
pub(super) fn is_to_sweep(db: &Connection) -> Result<bool> {
    db.prepare_cached("SELECT EXISTS (SELECT 1 FROM discarded)")?.query_row([], |row| row.get(0))
}

/// Takes some rows of cancelled batches out of the lines.
pub(super) fn sweep(db: &Connection) -> Result<()> {
    let flow: Option<i64> = db
        .prepare_cached("SELECT flow FROM discarded LIMIT 1")?
        .query_row([], |row| row.get(0))
        .optional()?;
    let Some(flow) = flow else { return Ok(()) };
    let gone = db
        .prepare_cached(
            "DELETE FROM waiting WHERE job IN (SELECT job FROM waiting WHERE flow = ?1 LIMIT ?2)",
        )?
        .execute(params![flow, column::limit(STEP)])?;
    if gone < STEP {
        db.prepare_cached("DELETE FROM discarded WHERE flow = ?1")?.execute([flow])?;
    }
    Ok(())
}

/// False while the batch of a flow is receiving, and for ever if it was cancelled meanwhile.
fn may_run(db: &Connection, flow: &Flow) -> Result<bool> {
    if flow.batch.is_none() {
        return Ok(true);
    }
    db.prepare_cached("SELECT EXISTS (SELECT 1 FROM batch_ends WHERE batch = ?1 AND closed = 1)")?
        .query_row([column::batch(flow.batch)?], |row| row.get(0))
}

fn columns((deadline_ms, job): Place) -> (i64, i64) {
    (column::whole(deadline_ms), column::whole(job.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_takes_a_step_and_leaves_what_may_run() {
        let mut db = Connection::open_in_memory().unwrap();
        super::super::schema::migrate(&mut db).unwrap();
        db.execute_batch("INSERT INTO services VALUES (1, 'whois'); INSERT INTO flows VALUES (1, 1, '', 1, '', 7), (2, 1, '', 1, '', NULL)")
            .unwrap();
        for job in 0..12_000 {
            db.execute("INSERT INTO waiting VALUES (1 + ?1 % 6 / 5, 0, ?1)", [job]).unwrap();
        }
        for (flow, job) in [(1, 12_000), (1, 12_001)] {
            db.execute("INSERT INTO waiting VALUES (?1, 1, ?2)", [flow, job]).unwrap();
        }
        discard(&db, 7).unwrap();
        let left = |db: &Connection| {
            db.query_row("SELECT count(*) FROM waiting", [], |row| row.get::<_, i64>(0)).unwrap()
        };
        assert_eq!((left(&db), is_to_sweep(&db).unwrap()), (12_002, true));
        sweep(&db).unwrap();
        assert_eq!((left(&db), is_to_sweep(&db).unwrap()), (2_002, true));
        sweep(&db).unwrap();
        assert_eq!((left(&db), is_to_sweep(&db).unwrap()), (2_000, false));
        sweep(&db).unwrap();
        assert_eq!(left(&db), 2_000);
    }
}
