//! Many writes, one commit; each fails by its own fault only.

use rusqlite::{Connection, ErrorCode, Result};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::failed;
use crate::StoreError;

/// A write that waits for its transaction.
pub(super) trait Write: Send {
    /// Does it. May be called again in another transaction, if this one was undone.
    fn run(&mut self, db: &Connection) -> Result<()>;
    /// Tells the caller.
    fn settle(self: Box<Self>, ended: Result<(), StoreError>);
}

/// A write by a closure, what it came to, and who waits for that.
pub(super) struct Pending<T, W> {
    pub(super) work: W,
    pub(super) value: Option<T>,
    pub(super) caller: oneshot::Sender<Result<T, StoreError>>,
    /// Its place in the queue, free again once it has ended.
    pub(super) _room: OwnedSemaphorePermit,
}

impl<T, W> Write for Pending<T, W>
where
    T: Send,
    W: Fn(&Connection) -> Result<T> + Send,
{
    fn run(&mut self, db: &Connection) -> Result<()> {
        self.value = Some((self.work)(db)?);
        Ok(())
    }

    fn settle(self: Box<Self>, ended: Result<(), StoreError>) {
        let Self { value, caller, .. } = *self;
        // Nobody has to wait for a commit; the rows stand either way.
        let _ = caller.send(ended.and_then(|()| value.ok_or(StoreError::Closed)));
    }
}

/// Commits the group and tells every caller.
pub(super) fn commit(db: &Connection, mut group: Vec<Box<dyn Write>>) {
    let together = transact(db, &mut group);
    let alone = |error: &rusqlite::Error| {
        // Behind another program's lock each would wait as long again.
        group.len() > 1 && error.sqlite_error_code() != Some(ErrorCode::DatabaseBusy)
    };
    let one_by_one = together.as_ref().is_err_and(alone);
    let together = together.map_err(|error| failed(&error));
    for mut write in group {
        let ended = if one_by_one {
            transact(db, std::slice::from_mut(&mut write)).map_err(|error| failed(&error))
        } else {
            together.clone()
        };
        write.settle(ended);
    }
}

/// All of them, durably, or none.
fn transact(db: &Connection, group: &mut [Box<dyn Write>]) -> Result<()> {
    statement(db, "BEGIN IMMEDIATE")?;
    let done = group.iter_mut().try_for_each(|write| write.run(db)).and_then(|()| statement(db, "COMMIT"));
    // A full disk ends the transaction by itself, a broken rule does not.
    if done.is_err() && !db.is_autocommit() {
        statement(db, "ROLLBACK")?;
    }
    done
}

fn statement(db: &Connection, sql: &str) -> Result<()> {
    db.prepare_cached(sql)?.execute([]).map(drop)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Semaphore;

    use super::*;
    use crate::Commit;

    type Work = Box<dyn Fn(&Connection) -> Result<i64> + Send>;

    fn table() -> Connection {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch("CREATE TABLE t (id INTEGER PRIMARY KEY, body BLOB)").unwrap();
        db
    }

    fn insert(id: i64, bytes: i64) -> Work {
        Box::new(move |db| {
            db.execute("INSERT INTO t VALUES (?1, zeroblob(?2))", [id, bytes])?;
            db.query_row("SELECT count(*) FROM t", [], |row| row.get(0))
        })
    }

    /// Commits the works as one group; what each caller is told.
    fn play(db: &Connection, works: Vec<Work>) -> Vec<std::result::Result<i64, String>> {
        let room = Arc::new(Semaphore::new(works.len()));
        let (mut group, mut commits): (Vec<Box<dyn Write>>, Vec<Commit<i64>>) = (Vec::new(), Vec::new());
        for work in works {
            let (caller, commit) = Commit::pending();
            let _room = Arc::clone(&room).try_acquire_owned().unwrap();
            group.push(Box::new(Pending { work, value: None, caller, _room }));
            commits.push(commit);
        }
        commit(db, group);
        assert!(db.is_autocommit());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        commits.into_iter().map(|c| runtime.block_on(c).map_err(|e| e.to_string())).collect()
    }

    #[test]
    fn a_group_commits_in_order() {
        assert_eq!(play(&table(), vec![insert(5, 0), insert(3, 0), insert(9, 0)]), [Ok(1), Ok(2), Ok(3)]);
    }

    #[test]
    fn a_write_that_breaks_a_rule_fails_alone() {
        let ended = play(&table(), vec![insert(5, 0), insert(5, 0), insert(9, 0)]);
        let error = "the store failed: UNIQUE constraint failed: t.id".to_owned();
        assert_eq!(ended, [Ok(1), Err(error), Ok(2)]);
    }

    #[test]
    fn a_write_too_large_for_the_disk_fails_alone() {
        let db = table();
        db.pragma_update(None, "max_page_count", 100).unwrap();
        let ended = play(&db, vec![insert(1, 10), insert(2, 10_000_000), insert(3, 10)]);
        let error = "the store failed: database or disk is full".to_owned();
        assert_eq!(ended, [Ok(1), Err(error), Ok(2)]);
    }
}
