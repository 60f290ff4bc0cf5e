//! The start of a coordinator: counted, and whatever the last one left half done is put in order.

use rusqlite::{Connection, Result};

use super::{batches, column, keys};
use crate::row::Start;

/// Counts the start, cancels uploads that broke off, and settles keys in flight.
pub(super) fn begin(db: &Connection, now_ms: u64) -> Result<Start> {
    let number =
        db.prepare_cached("INSERT INTO starts (at_ms) VALUES (?1)")?.insert([column::whole(now_ms)])?;
    batches::cancel_unfinished(db)?;
    keys::settle(db)?;
    Ok(Start { number: u32::try_from(number).unwrap_or(u32::MAX), last_id: last_id(db)? })
}

/// Adds one to a counter; that it reads back is the reader's part.
pub(super) fn write_check(db: &Connection) -> Result<i64> {
    db.prepare_cached("UPDATE checks SET count = count + 1 RETURNING count")?.query_row([], |row| row.get(0))
}

/// The counter as it stands on disk.
pub(super) fn read_check(db: &Connection) -> Result<i64> {
    db.prepare_cached("SELECT count FROM checks")?.query_row([], |row| row.get(0))
}

fn last_id(db: &Connection) -> Result<u64> {
    const SQL: &str = "
        SELECT max(coalesce((SELECT max(id) FROM jobs), 0),
                   coalesce((SELECT max(id) FROM batches), 0),
                   coalesce((SELECT max(id) FROM agents), 0))";
    db.query_row(SQL, [], |row| column::number(row, 0))
}
