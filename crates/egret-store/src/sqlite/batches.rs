//! Batches: opened, filled, ended; their counts and results are ranges of one index.

use egret_core::id::BatchId;
use rusqlite::{Connection, Result, Row, params};

use super::column::{self, rows};
use super::jobs::{read_job, read_outcome};
use crate::row::{BatchEnd, BatchKept, BatchRow, EndState, Ended, RejectedRow};

/// Batches from `?1` to `?2`, newest first, with their counts; `outcomes` is touched through its index alone.
pub(super) const KEPT: &str = "
    SELECT b.id, b.created_ms, e.closed, e.jobs, e.rejected,
           count(*) FILTER (WHERE o.state = 0), count(*) FILTER (WHERE o.state = 1),
           count(*) FILTER (WHERE o.state = 2), count(*) FILTER (WHERE o.state = 3), max(o.ended_ms)
    FROM (SELECT id, created_ms FROM batches WHERE id BETWEEN ?1 AND ?2 ORDER BY id DESC LIMIT ?3) b
    LEFT JOIN batch_ends e ON e.batch = b.id
    LEFT JOIN outcomes o ON o.batch = b.id
    GROUP BY b.id ORDER BY b.id DESC";

/// Ended jobs of a batch after a place in the order of ending.
pub(super) const RESULTS: &str = "
    SELECT j.id, j.batch, s.name, j.spec, o.seq, o.batch, o.state, o.ended_ms, o.body
    FROM outcomes o CROSS JOIN jobs j ON j.id = o.job CROSS JOIN services s ON s.id = j.service
    WHERE o.batch = ?1 AND o.seq > ?2 ORDER BY o.seq LIMIT ?3";

/// Opens a batch in the state receiving.
pub(super) fn open(db: &Connection, batch: &BatchRow) -> Result<()> {
    db.prepare_cached("INSERT INTO batches VALUES (?1, ?2)")?
        .execute(params![column::id(batch.id.0)?, column::whole(batch.created_ms)])?;
    Ok(())
}

/// Ends the receiving of a batch; the first end stands.
pub(super) fn end(db: &Connection, id: BatchId, end: BatchEnd) -> Result<()> {
    let (closed, jobs, rejected) = match end {
        BatchEnd::Closed { jobs, rejected } => (true, jobs, rejected),
        BatchEnd::Cancelled => (false, 0, 0),
    };
    db.prepare_cached("INSERT INTO batch_ends VALUES (?1, ?2, ?3, ?4) ON CONFLICT (batch) DO NOTHING")?
        .execute(params![column::id(id.0)?, closed, column::whole(jobs), column::whole(rejected)])?;
    Ok(())
}

/// Adds refused lines.
pub(super) fn append_rejected(db: &Connection, batch: BatchId, lines: &[RejectedRow]) -> Result<()> {
    let batch = column::id(batch.0)?;
    let mut insert = db.prepare_cached("INSERT INTO rejected VALUES (?1, ?2, ?3, ?4)")?;
    for line in lines {
        insert.execute(params![batch, column::whole(line.line), line.code, line.detail])?;
    }
    Ok(())
}

/// One batch with its counts.
pub(super) fn batch(db: &Connection, id: BatchId) -> Result<Option<BatchKept>> {
    let id = column::sought(id.0);
    Ok(rows(db, KEPT, [id, id, Some(1)], read_kept)?.pop())
}

/// Batches below `before`, newest first.
pub(super) fn batches(db: &Connection, before: Option<BatchId>, limit: usize) -> Result<Vec<BatchKept>> {
    let last = before.map_or(i64::MAX, |id| column::whole(id.0) - 1);
    rows(db, KEPT, [0, last, column::limit(limit)], read_kept)
}

/// Refused lines after one of them.
pub(super) fn rejected(
    db: &Connection,
    batch: BatchId,
    after: u64,
    limit: usize,
) -> Result<Vec<RejectedRow>> {
    const SQL: &str = "
        SELECT line, code, detail FROM rejected WHERE batch = ?1 AND line > ?2 ORDER BY line LIMIT ?3";
    let params = params![column::sought(batch.0), column::whole(after), column::limit(limit)];
    rows(db, SQL, params, |row| {
        Ok(RejectedRow { line: column::number(row, 0)?, code: row.get(1)?, detail: row.get(2)? })
    })
}

/// Ended jobs after a place in the order of ending.
pub(super) fn results(db: &Connection, batch: BatchId, after: u64, limit: usize) -> Result<Vec<Ended>> {
    let params = params![column::sought(batch.0), column::whole(after), column::limit(limit)];
    rows(db, RESULTS, params, |row| {
        let job = read_job(row)?;
        let (seq, outcome) = read_outcome(row, job.id)?;
        Ok(Ended { seq, job, outcome })
    })
}

fn read_kept(row: &Row<'_>) -> Result<BatchKept> {
    let end = match row.get::<_, Option<bool>>(2)? {
        Some(true) => {
            Some(BatchEnd::Closed { jobs: column::number(row, 3)?, rejected: column::number(row, 4)? })
        }
        Some(false) => Some(BatchEnd::Cancelled),
        None => None,
    };
    let mut ended = [0; 4];
    for state in [EndState::Done, EndState::Failed, EndState::Expired, EndState::Cancelled] {
        ended[state as usize] = column::number(row, 5 + state as usize)?;
    }
    Ok(BatchKept {
        batch: BatchRow { id: BatchId(column::number(row, 0)?), created_ms: column::number(row, 1)? },
        end,
        ended,
        last_ended_ms: row.get::<_, Option<i64>>(9)?.map(i64::cast_unsigned),
    })
}
