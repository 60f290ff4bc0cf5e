//! Numbered migrations, each in one transaction; `user_version` counts those applied.

use rusqlite::{Connection, Result, TransactionBehavior};

use super::column;

/// In order; one is added, none is ever changed.
const MIGRATIONS: &[&str] =
    &[include_str!("../../migrations/0001_first.sql"), include_str!("../../migrations/0002_flows.sql")];

/// "egrt", as the first migration writes it.
const APPLICATION_ID: i64 = 0x6567_7274;

/// What a database file turns out to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// Empty, or written by this version or an older one.
    Ours,
    /// Written by a newer egret, up to this migration.
    Newer(usize),
    /// Another program's.
    Foreign,
}

/// How many migrations this version knows.
pub(super) fn known() -> usize {
    MIGRATIONS.len()
}

/// Tells whose file it is, without touching it.
pub(super) fn origin(db: &Connection) -> Result<Origin> {
    let tables: i64 = db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let id: i64 = db.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let version = version(db)?;
    Ok(match (tables, version) {
        (0, 0) => Origin::Ours,
        _ if id != APPLICATION_ID => Origin::Foreign,
        _ if version > known() => Origin::Newer(version),
        _ => Origin::Ours,
    })
}

/// Applies the migrations that are missing.
pub(super) fn migrate(db: &mut Connection) -> Result<()> {
    for (done, sql) in MIGRATIONS.iter().enumerate().skip(version(db)?) {
        let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(sql)?;
        transaction.pragma_update(None, "user_version", column::limit(done + 1))?;
        transaction.commit()?;
    }
    Ok(())
}

fn version(db: &Connection) -> Result<usize> {
    let version: i64 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
    // Below zero no egret ever wrote: as unknown as a version from the future.
    Ok(usize::try_from(version).unwrap_or(usize::MAX))
}
