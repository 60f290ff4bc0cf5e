//! Idempotency keys: claimed before the request runs, answered or released after it.
//!
//! An answer of no bytes stands for one that nobody knows: its request has added what it was to add.

use rusqlite::{Connection, OptionalExtension, Result, params};

use super::column;
use crate::row::KeyClaim;

/// How long an answer is repeated: 24 h, as long as Stripe's API does.
const KEPT_MS: u64 = 24 * 60 * 60 * 1_000;

/// Keeps the keys without an answer whose requests have added something.
const KEEP_ADDED: &str = "
    UPDATE keys SET answer = x'' WHERE answer IS NULL
    AND (EXISTS (SELECT 1 FROM jobs j WHERE j.id = keys.object)
         OR EXISTS (SELECT 1 FROM batch_ends e WHERE e.batch = keys.object AND e.closed = 1))";

/// Claims `key`, unless it is known; forgets old ones first.
pub(super) fn claim(
    db: &Connection,
    key: &str,
    fingerprint: &[u8; 32],
    object: u64,
    now_ms: u64,
) -> Result<KeyClaim> {
    let oldest = column::whole(now_ms.saturating_sub(KEPT_MS));
    db.prepare_cached("DELETE FROM keys WHERE claimed_ms < ?1")?.execute([oldest])?;
    let known = db
        .prepare_cached("SELECT fingerprint, answer, object FROM keys WHERE key = ?1")?
        .query_row([key], |row| {
            Ok((row.get::<_, [u8; 32]>(0)?, row.get::<_, Option<Vec<u8>>>(1)?, row.get(2)?))
        })
        .optional()?;
    Ok(match known {
        Some((other, ..)) if other != *fingerprint => KeyClaim::Mismatch,
        Some((_, Some(answer), Some(object))) if answer.is_empty() => {
            KeyClaim::Added(i64::cast_unsigned(object))
        }
        Some((_, Some(answer), _)) => KeyClaim::Answered(answer),
        Some((_, None, _)) => KeyClaim::InFlight,
        None => {
            db.prepare_cached(
                "INSERT INTO keys (key, fingerprint, claimed_ms, object) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![key, fingerprint, column::whole(now_ms), column::id(object)?])?;
            KeyClaim::Fresh
        }
    })
}

/// Records the answer; the first one stands.
pub(super) fn answer(db: &Connection, key: &str, answer: &[u8]) -> Result<()> {
    db.prepare_cached("UPDATE keys SET answer = ?2 WHERE key = ?1 AND answer IS NULL")?
        .execute(params![key, answer])?;
    Ok(())
}

/// Ends the claim of a key that has no answer.
pub(super) fn release(db: &Connection, key: &str) -> Result<()> {
    db.prepare_cached(&format!("{KEEP_ADDED} AND key = ?1"))?.execute([key])?;
    db.prepare_cached("DELETE FROM keys WHERE answer IS NULL AND key = ?1")?.execute([key])?;
    Ok(())
}

/// The same for every key; batches that were receiving are cancelled by now.
pub(super) fn settle(db: &Connection) -> Result<()> {
    db.execute(KEEP_ADDED, [])?;
    db.execute("DELETE FROM keys WHERE answer IS NULL", [])?;
    Ok(())
}
