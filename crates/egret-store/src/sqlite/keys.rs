//! Idempotency keys: claimed before the request runs, answered or released after it.

use rusqlite::{Connection, OptionalExtension, Result, params};

use super::column;
use crate::row::KeyClaim;

/// How long an answer is repeated: 24 h, as long as Stripe's API does.
const KEPT_MS: u64 = 24 * 60 * 60 * 1_000;

/// Claims `key`, unless it is known; forgets old ones first.
pub(super) fn claim(db: &Connection, key: &str, fingerprint: &[u8; 32], now_ms: u64) -> Result<KeyClaim> {
    let oldest = column::whole(now_ms.saturating_sub(KEPT_MS));
    db.prepare_cached("DELETE FROM keys WHERE claimed_ms < ?1")?.execute([oldest])?;
    let known = db
        .prepare_cached("SELECT fingerprint, answer FROM keys WHERE key = ?1")?
        .query_row([key], |row| Ok((row.get::<_, [u8; 32]>(0)?, row.get::<_, Option<Vec<u8>>>(1)?)))
        .optional()?;
    Ok(match known {
        Some((other, _)) if other != *fingerprint => KeyClaim::Mismatch,
        Some((_, Some(answer))) => KeyClaim::Answered(answer),
        Some((_, None)) => KeyClaim::InFlight,
        None => {
            db.prepare_cached("INSERT INTO keys (key, fingerprint, claimed_ms) VALUES (?1, ?2, ?3)")?
                .execute(params![key, fingerprint, column::whole(now_ms)])?;
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

/// Forgets a key that has no answer.
pub(super) fn release(db: &Connection, key: &str) -> Result<()> {
    db.prepare_cached("DELETE FROM keys WHERE key = ?1 AND answer IS NULL")?.execute([key])?;
    Ok(())
}
