//! How our types stand in a column, and the one way rows are read.

use egret_core::id::{BatchId, JobId};
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, Type, ValueRef};
use rusqlite::{Connection, Error, Params, Result, Row};

use crate::row::EndState;

/// An id as SQLite keeps it: a signed number, which ids fill only after the year 2248.
pub(super) fn id(id: u64) -> Result<i64> {
    i64::try_from(id).map_err(|error| Error::ToSqlConversionFailure(error.into()))
}

/// An id to look for: one that no column can hold is `NULL`, which equals nothing.
pub(super) fn sought(id: u64) -> Option<i64> {
    i64::try_from(id).ok()
}

/// The id of a batch, if there is one.
pub(super) fn batch(batch: Option<BatchId>) -> Result<Option<i64>> {
    batch.map(|batch| id(batch.0)).transpose()
}

/// A time, a count or a cursor; what exceeds the column is as good as its largest value.
pub(super) fn whole(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A `LIMIT`.
pub(super) fn limit(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

/// Reads an id, a time or a count.
pub(super) fn number(row: &Row<'_>, column: usize) -> Result<u64> {
    row.get::<_, i64>(column).map(i64::cast_unsigned)
}

/// Reads a time, if there is one.
pub(super) fn perhaps(row: &Row<'_>, column: usize) -> Result<Option<u64>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(i64::cast_unsigned))
}

/// Reads the id of a job.
pub(super) fn job_id(row: &Row<'_>, column: usize) -> Result<JobId> {
    number(row, column).map(JobId)
}

/// Reads the id of a batch, if there is one.
pub(super) fn batch_id(row: &Row<'_>, column: usize) -> Result<Option<BatchId>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(|id| BatchId(id.cast_unsigned())))
}

/// Tags as a JSON array.
pub(super) fn tags(tags: &[String]) -> Result<String> {
    serde_json::to_string(tags).map_err(|error| Error::ToSqlConversionFailure(error.into()))
}

/// Reads tags back.
pub(super) fn read_tags(row: &Row<'_>, column: usize) -> Result<Vec<String>> {
    serde_json::from_str(row.get_ref(column)?.as_str()?)
        .map_err(|error| Error::FromSqlConversionFailure(column, Type::Text, error.into()))
}

/// Every row of a query, read by `read`.
pub(super) fn rows<T>(
    db: &Connection,
    sql: &str,
    params: impl Params,
    read: impl FnMut(&Row<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    db.prepare_cached(sql)?.query_map(params, read)?.collect()
}

impl ToSql for EndState {
    fn to_sql(&self) -> Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(*self as u8))
    }
}

impl FromSql for EndState {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value.as_i64()? {
            0 => Ok(Self::Done),
            1 => Ok(Self::Failed),
            2 => Ok(Self::Expired),
            3 => Ok(Self::Cancelled),
            other => Err(FromSqlError::OutOfRange(other)),
        }
    }
}
