//! Orders: durable words of the operator, such as a pause with its why.

use rusqlite::{Connection, Result};

use super::column::rows;
use crate::StoreError;

/// Bytes of a key and of a value at most; chosen: a service's id with a word before it, and a few lines of why.
const LONGEST_KEY: usize = 512;
const LONGEST_VALUE: usize = 4_096;

/// Refuses what is no small word.
pub(super) fn check(key: &str, value: Option<&str>) -> Result<(), StoreError> {
    let value = value.unwrap_or_default();
    if key.len() <= LONGEST_KEY && value.len() <= LONGEST_VALUE {
        return Ok(());
    }
    let detail = format!(
        "an order has a key of {} and a value of {} bytes; keep them to {LONGEST_KEY} and {LONGEST_VALUE}",
        key.len(),
        value.len(),
    );
    Err(StoreError::Failed { detail })
}

/// Keeps a word in place of the one before, or takes it back.
pub(super) fn save(db: &Connection, key: &str, value: Option<&str>) -> Result<()> {
    match value {
        Some(value) => {
            db.prepare_cached("INSERT OR REPLACE INTO orders VALUES (?1, ?2)")?.execute([key, value])?
        }
        None => db.prepare_cached("DELETE FROM orders WHERE key = ?1")?.execute([key])?,
    };
    Ok(())
}

/// Every word, by key.
pub(super) fn orders(db: &Connection) -> Result<Vec<(String, String)>> {
    rows(db, "SELECT key, value FROM orders ORDER BY key", [], |row| Ok((row.get(0)?, row.get(1)?)))
}
