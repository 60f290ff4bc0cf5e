//! Answers to be given again: bounded in bytes, those saved first go first.

use rusqlite::{Connection, OptionalExtension, Result, Row, Statement, ToSql, params};

use super::column;
use crate::StoreError;
use crate::row::AnswerRow;

/// Bytes of all answers together, unless told otherwise: 256 MiB. Chosen.
pub(super) const ROOM: u64 = 256 << 20;
/// What an answer takes besides its key and body: its times, its row, its place in the index. A fair guess.
const OVERHEAD: usize = 64;
/// Answers that make room in one write at most, so that a room made smaller costs no long stop. Chosen.
const SHED: usize = 4_000;

/// Refuses keys that are too long.
pub(super) fn check(answers: &[AnswerRow]) -> Result<(), StoreError> {
    let longest = answers.iter().map(|answer| answer.key.len()).max().unwrap_or(0);
    if longest <= AnswerRow::LONGEST_KEY {
        return Ok(());
    }
    let most = AnswerRow::LONGEST_KEY;
    let detail =
        format!("an answer has a key of {longest} bytes, and at most {most} are kept; use a hash of it");
    Err(StoreError::Failed { detail })
}

/// Keeps answers, each in place of an older one of its key, and sheds the oldest of all above `room` bytes.
pub(super) fn save(db: &Connection, answers: &[AnswerRow], room: u64) -> Result<()> {
    let mut older = db.prepare_cached(
        "DELETE FROM answers WHERE key = ?1 AND answered_ms <= ?2 RETURNING length(key) + length(body)",
    )?;
    let mut insert = db.prepare_cached(
        "INSERT INTO answers (key, answered_ms, keep_until_ms, body) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (key) DO NOTHING",
    )?;
    let mut bytes = size(db)?;
    for answer in answers.iter().filter(|answer| taken(answer) <= room) {
        let answered_ms = column::whole(answer.answered_ms);
        bytes -= freed(&mut older, &[&answer.key, &answered_ms])?.unwrap_or(0);
        let row = params![answer.key, answered_ms, column::whole(answer.keep_until_ms), answer.body];
        if insert.execute(row)? == 1 {
            bytes += column::whole(taken(answer));
        }
    }
    bytes -= shed(db, bytes - column::whole(room))?;
    db.prepare_cached("UPDATE answers_size SET bytes = ?1")?.execute([bytes])?;
    Ok(())
}

/// The answer under a key.
pub(super) fn answer(db: &Connection, key: &[u8]) -> Result<Option<AnswerRow>> {
    db.prepare_cached("SELECT key, answered_ms, keep_until_ms, body FROM answers WHERE key = ?1")?
        .query_row([key], read)
        .optional()
}

/// The answers under the first keys, as many as hold no more than `most` bytes; at least one.
pub(super) fn answers(db: &Connection, keys: &[Vec<u8>], most: usize) -> Result<Vec<Option<AnswerRow>>> {
    let (mut found, mut bytes) = (Vec::with_capacity(keys.len()), 0);
    for key in keys {
        let row = answer(db, key)?;
        bytes += row.as_ref().map_or(0, |row| row.body.len());
        if bytes > most && !found.is_empty() {
            break;
        }
        found.push(row);
    }
    Ok(found)
}

/// When the answers under these keys were given.
pub(super) fn answered(db: &Connection, keys: &[Vec<u8>]) -> Result<Vec<Option<u64>>> {
    let mut find = db.prepare_cached("SELECT answered_ms FROM answers WHERE key = ?1")?;
    keys.iter().map(|key| find.query_row([key], |row| column::number(row, 0)).optional()).collect()
}

/// Deletes the oldest until `excess` bytes are free, at most [`SHED`] of them; how many bytes that freed.
fn shed(db: &Connection, excess: i64) -> Result<i64> {
    let mut oldest = db.prepare_cached(
        "DELETE FROM answers WHERE seq = (SELECT min(seq) FROM answers) RETURNING length(key) + length(body)",
    )?;
    let mut free = 0;
    for _ in 0..SHED {
        if free >= excess {
            break;
        }
        let Some(bytes) = freed(&mut oldest, &[])? else { break };
        free += bytes;
    }
    Ok(free)
}

/// Runs a deletion of at most one row; what that row took.
fn freed(delete: &mut Statement<'_>, params: &[&dyn ToSql]) -> Result<Option<i64>> {
    let deleted = delete.query_row(params, |row| row.get::<_, i64>(0)).optional()?;
    Ok(deleted.map(|bytes| bytes + column::limit(OVERHEAD)))
}

fn size(db: &Connection) -> Result<i64> {
    db.prepare_cached("SELECT bytes FROM answers_size")?.query_row([], |row| row.get(0))
}

fn taken(answer: &AnswerRow) -> u64 {
    (answer.key.len() + answer.body.len() + OVERHEAD) as u64
}

fn read(row: &Row<'_>) -> Result<AnswerRow> {
    Ok(AnswerRow {
        key: row.get(0)?,
        answered_ms: column::number(row, 1)?,
        keep_until_ms: column::number(row, 2)?,
        body: row.get(3)?,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    fn db() -> Connection {
        let mut db = Connection::open_in_memory().unwrap();
        super::super::schema::migrate(&mut db).unwrap();
        db
    }

    fn row(key: u8, answered_ms: u64, bytes: usize) -> AnswerRow {
        let body = vec![key; bytes];
        AnswerRow { key: vec![key], answered_ms, keep_until_ms: answered_ms, body }
    }

    fn kept(db: &Connection) -> Vec<u8> {
        column::rows(db, "SELECT key FROM answers ORDER BY seq", [], |row| row.get::<_, [u8; 1]>(0))
            .unwrap()
            .concat()
    }

    #[test]
    fn the_first_saved_go_first_once_the_room_is_full() {
        let db = db();
        // Each takes 100 bytes.
        let rows: Vec<_> = (1..=4).map(|key| row(key, 10, 35)).collect();
        save(&db, &rows, 300).unwrap();
        assert_eq!(kept(&db), [2, 3, 4]);
        save(&db, &[row(2, 11, 35)], 300).unwrap();
        assert_eq!(kept(&db), [3, 4, 2]);
        save(&db, &[row(5, 11, 36)], 300).unwrap();
        assert_eq!(kept(&db), [2, 5]);
        save(&db, &[row(6, 12, 236)], 300).unwrap();
        assert_eq!(kept(&db), [2, 5]);
        save(&db, &[row(6, 12, 235)], 300).unwrap();
        assert_eq!((kept(&db), size(&db).unwrap()), (vec![6], 300));
        save(&db, &[row(7, 13, 0)], 0).unwrap();
        assert_eq!((kept(&db), size(&db).unwrap()), (vec![], 0));
    }

    #[test]
    fn a_room_made_smaller_is_reached_step_by_step() {
        let db = db();
        let rows: Vec<_> =
            (0..10_000_u64).map(|n| AnswerRow { key: n.to_be_bytes().to_vec(), ..row(0, n, 28) }).collect();
        save(&db, &rows, u64::MAX).unwrap();
        let left: Vec<_> = (0..4)
            .map(|_| {
                save(&db, &[], 100_000).unwrap();
                size(&db).unwrap()
            })
            .collect();
        assert_eq!(left, [600_000, 200_000, 100_000, 100_000]);
    }

    proptest! {
        #[test]
        fn any_history_is_kept_and_counted_as_its_plain_twin(
            writes in prop::collection::vec(
                prop::collection::vec((0..6_u8, 0..5_u64, 0..120_usize), 0..4), 1..20),
            room in 0..600_u64,
        ) {
            let (db, mut twin) = (db(), VecDeque::<AnswerRow>::new());
            for write in writes {
                let rows: Vec<_> = write.into_iter().map(|(key, at, bytes)| row(key, at, bytes)).collect();
                save(&db, &rows, room).unwrap();
                for row in rows.into_iter().filter(|row| taken(row) <= room) {
                    let at = twin.iter().position(|old| old.key == row.key);
                    if at.is_none_or(|at| twin[at].answered_ms <= row.answered_ms) {
                        at.map(|at| twin.remove(at));
                        twin.push_back(row);
                    }
                }
                while twin.iter().map(taken).sum::<u64>() > room {
                    twin.pop_front();
                }
                let expected: Vec<_> = twin.iter().map(|row| row.key[0]).collect();
                prop_assert_eq!(kept(&db), expected);
                prop_assert_eq!(size(&db).unwrap() as u64, twin.iter().map(taken).sum::<u64>());
                for row in &twin {
                    let found = answer(&db, &row.key).unwrap();
                    prop_assert_eq!(found.as_ref(), Some(row));
                }
            }
        }
    }
}
