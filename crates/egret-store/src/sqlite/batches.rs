//! Batches: opened, filled, ended; counted with each outcome, their results a range of one index.

use std::collections::BTreeMap;

use egret_core::id::BatchId;
use rusqlite::{Connection, Result, Row, named_params, params};

use super::column::{self, rows};
use super::flows::Met;
use super::jobs::{read_job, read_outcome};
use super::waiting;
use crate::row::{BatchEnd, BatchKept, BatchRow, EndState, Ended, JobRow, RejectedRow};

/// Batches with their counts; conditions follow.
const KEPT: &str = "
    SELECT b.id, b.owner, b.created_ms, e.closed, e.jobs, e.rejected,
           c.last_ended_ms, c.done, c.failed, c.expired, c.cancelled
    FROM batches b LEFT JOIN batch_ends e ON e.batch = b.id LEFT JOIN batch_counts c ON c.batch = b.id
    WHERE ";
/// The newest ones up to an id.
const NEWEST: &str = "b.id <= :last ORDER BY b.id DESC LIMIT :limit";

/// Ended jobs of a batch after a place in the order of ending.
pub(super) const RESULTS: &str = "
    SELECT j.id, j.deadline_ms, j.spec, f.id, s.name, f.owner, f.class, f.egress, f.batch,
           o.seq, o.batch, o.state, o.ended_ms, o.body
    FROM outcomes o CROSS JOIN jobs j ON j.id = o.job
    CROSS JOIN flows f ON f.id = j.flow CROSS JOIN services s ON s.id = f.service
    WHERE o.batch = ?1 AND o.seq > ?2 ORDER BY o.seq LIMIT ?3";

/// The places and jobs of it that ended in one of these states.
pub(super) const ENDED_AS: &str = "
    SELECT j.id, j.deadline_ms, j.spec, f.id, s.name, f.owner, f.class, f.egress, f.batch, o.seq
    FROM outcomes o CROSS JOIN jobs j ON j.id = o.job
    CROSS JOIN flows f ON f.id = j.flow CROSS JOIN services s ON s.id = f.service
    WHERE o.batch = ?1 AND o.seq > ?2 AND (?3 >> o.state) & 1 ORDER BY o.seq LIMIT ?4";

/// How many jobs ended how in one write, batch by batch; less than none if outcomes were taken back.
#[derive(Default)]
pub(super) struct Counts(BTreeMap<BatchId, ([i64; 4], u64)>);

impl Counts {
    /// Counts an outcome that was really added.
    pub(super) fn add(&mut self, batch: Option<BatchId>, state: EndState, ended_ms: u64) {
        let Some(batch) = batch else { return };
        let (ended, last_ended_ms) = self.0.entry(batch).or_default();
        ended[state as usize] += 1;
        *last_ended_ms = ended_ms.max(*last_ended_ms);
    }

    /// Counts one that was taken back.
    pub(super) fn take_back(&mut self, batch: Option<BatchId>, state: EndState) {
        let Some(batch) = batch else { return };
        self.0.entry(batch).or_default().0[state as usize] -= 1;
    }

    /// Adds them to what is kept.
    pub(super) fn save(&self, db: &Connection) -> Result<()> {
        let mut save = db.prepare_cached(
            "INSERT INTO batch_counts VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (batch) DO UPDATE SET
                 done = done + excluded.done, failed = failed + excluded.failed,
                 expired = expired + excluded.expired, cancelled = cancelled + excluded.cancelled,
                 last_ended_ms = max(last_ended_ms, excluded.last_ended_ms)",
        )?;
        for (batch, ([done, failed, expired, cancelled], last_ended_ms)) in &self.0 {
            let last_ended_ms = column::whole(*last_ended_ms);
            save.execute(params![column::id(batch.0)?, done, failed, expired, cancelled, last_ended_ms])?;
        }
        Ok(())
    }
}

/// Opens a batch in the state receiving.
pub(super) fn open(db: &Connection, batch: &BatchRow) -> Result<()> {
    db.prepare_cached("INSERT INTO batches (id, created_ms, owner) VALUES (?1, ?2, ?3)")?
        .execute(params![column::id(batch.id.0)?, column::whole(batch.created_ms), batch.owner,])?;
    Ok(())
}

/// Ends the receiving of a batch; the first end stands.
pub(super) fn end(db: &Connection, id: BatchId, end: BatchEnd) -> Result<()> {
    let (closed, jobs, rejected) = match end {
        BatchEnd::Closed { jobs, rejected } => (true, jobs, rejected),
        BatchEnd::Cancelled => (false, 0, 0),
    };
    let id = column::id(id.0)?;
    let is_first = db
        .prepare_cached("INSERT INTO batch_ends VALUES (?1, ?2, ?3, ?4) ON CONFLICT (batch) DO NOTHING")?
        .execute(params![id, closed, column::whole(jobs), column::whole(rejected)])?
        == 1;
    if is_first && !closed { waiting::discard(db, id) } else { Ok(()) }
}

/// Cancels every batch that is still receiving.
pub(super) fn cancel_unfinished(db: &Connection) -> Result<()> {
    const SQL: &str = "
        SELECT id FROM batches b WHERE NOT EXISTS (SELECT 1 FROM batch_ends e WHERE e.batch = b.id)";
    let unfinished = rows(db, SQL, [], |row| column::number(row, 0))?;
    unfinished.into_iter().try_for_each(|id| end(db, BatchId(id), BatchEnd::Cancelled))
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
    Ok(rows(db, &format!("{KEPT} b.id = ?1"), [column::sought(id.0)], read_kept)?.pop())
}

/// Batches of an owner, or all, below `before`, newest first.
pub(super) fn batches(
    db: &Connection,
    owner: Option<&str>,
    before: Option<BatchId>,
    limit: usize,
) -> Result<Vec<BatchKept>> {
    let last = before.map_or(i64::MAX, |id| column::whole(id.0) - 1);
    let limit = column::limit(limit);
    match owner {
        None => rows(db, &listing(false), named_params! {":last": last, ":limit": limit}, read_kept),
        Some(owner) => rows(
            db,
            &listing(true),
            named_params! {":owner": owner, ":last": last, ":limit": limit},
            read_kept,
        ),
    }
}

/// The query for a page of batches.
pub(super) fn listing(of_owner: bool) -> String {
    format!("{KEPT} {} {NEWEST}", if of_owner { "b.owner = :owner AND" } else { "" })
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
    let mut met = Met::default();
    rows(db, RESULTS, params, |row| {
        let job = read_job(row, &mut met)?;
        let (seq, outcome) = read_outcome(row, job.id)?;
        Ok(Ended { seq, job, outcome })
    })
}

/// Jobs of a batch that ended in one of these states, after a place in the order of ending.
pub(super) fn ended_as(
    db: &Connection,
    batch: BatchId,
    states: &[EndState],
    after: u64,
    limit: usize,
) -> Result<Vec<(u64, JobRow)>> {
    let states = states.iter().fold(0_i64, |bits, state| bits | 1 << (*state as u8));
    let params = params![column::sought(batch.0), column::whole(after), states, column::limit(limit)];
    let mut met = Met::default();
    rows(db, ENDED_AS, params, |row| Ok((column::number(row, 9)?, read_job(row, &mut met)?)))
}

fn read_kept(row: &Row<'_>) -> Result<BatchKept> {
    let end = match row.get::<_, Option<bool>>(3)? {
        Some(true) => {
            Some(BatchEnd::Closed { jobs: column::number(row, 4)?, rejected: column::number(row, 5)? })
        }
        Some(false) => Some(BatchEnd::Cancelled),
        None => None,
    };
    let last_ended_ms = row.get::<_, Option<i64>>(6)?.map(i64::cast_unsigned);
    let mut ended = [0; 4];
    if last_ended_ms.is_some() {
        for state in [EndState::Done, EndState::Failed, EndState::Expired, EndState::Cancelled] {
            ended[state as usize] = column::number(row, 7 + state as usize)?;
        }
    }
    let batch = BatchRow {
        id: BatchId(column::number(row, 0)?),
        owner: row.get(1)?,
        created_ms: column::number(row, 2)?,
    };
    Ok(BatchKept { batch, end, ended, last_ended_ms })
}
