//! The job below which nothing is open, so that a start does not look at what ended long ago.
//!
//! The keeper finds it on a snapshot of its own and the writer records it later. Jobs appended in
//! between may lie below: [`Lowest`] remembers them, and the mark never passes them. A mark too low
//! costs time; a mark too high would lose jobs.

use std::sync::atomic::{AtomicI64, Ordering};

use rusqlite::{Connection, Result};

/// The lowest job appended since the current round began. Only the writer's thread touches it.
#[derive(Debug)]
pub(super) struct Lowest(AtomicI64);

impl Lowest {
    /// Nothing appended yet.
    pub(super) fn new() -> Self {
        Self(AtomicI64::new(i64::MAX))
    }

    /// A new round: the snapshot to come holds every job appended before.
    pub(super) fn forget(&self) {
        self.0.store(i64::MAX, Ordering::Relaxed);
    }

    /// `job` is being appended; lowers the mark if it lies below it.
    pub(super) fn saw(&self, db: &Connection, job: i64) -> Result<()> {
        self.0.fetch_min(job, Ordering::Relaxed);
        db.prepare_cached("UPDATE low_water SET job = ?1 WHERE job > ?1")?.execute([job])?;
        Ok(())
    }

    /// Records a mark found on an earlier snapshot, as far as later jobs allow.
    pub(super) fn raise(&self, db: &Connection, found: i64) -> Result<()> {
        let job = found.min(self.0.load(Ordering::Relaxed));
        db.prepare_cached("UPDATE low_water SET job = ?1 WHERE job < ?1")?.execute([job])?;
        Ok(())
    }
}

/// The first job at or above the mark that may still run; without one, the last job of all.
pub(super) fn find(db: &Connection) -> Result<i64> {
    const SQL: &str = "
        SELECT coalesce(
            (SELECT j.id FROM jobs j
             WHERE j.id >= (SELECT job FROM low_water)
               AND NOT EXISTS (SELECT 1 FROM outcomes o WHERE o.job = j.id)
               AND NOT EXISTS (SELECT 1 FROM batch_ends e WHERE e.batch = j.batch AND e.closed = 0)
             ORDER BY j.id LIMIT 1),
            (SELECT max(id) FROM jobs),
            0)";
    db.prepare_cached(SQL)?.query_row([], |row| row.get(0))
}

/// Finds and records the mark in one transaction of the writer, where nothing can come in between.
pub(super) fn settle(db: &Connection) -> Result<()> {
    let job = find(db)?;
    db.prepare_cached("UPDATE low_water SET job = ?1 WHERE job < ?1")?.execute([job])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn db(jobs: &[i64], ended: &[i64]) -> Connection {
        let mut db = Connection::open_in_memory().unwrap();
        super::super::schema::migrate(&mut db).unwrap();
        db.execute("INSERT INTO services VALUES (1, 'whois')", []).unwrap();
        for job in jobs {
            db.execute("INSERT INTO jobs VALUES (?1, NULL, 1, x'')", [job]).unwrap();
        }
        for job in ended {
            db.execute("INSERT INTO outcomes VALUES (NULL, ?1, NULL, 0, 0, x'')", [job]).unwrap();
        }
        db
    }

    fn mark(db: &Connection) -> i64 {
        db.query_row("SELECT job FROM low_water", [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn the_mark_stops_at_the_first_open_job() {
        assert_eq!(find(&db(&[], &[])).unwrap(), 0);
        assert_eq!(find(&db(&[3, 5, 7], &[])).unwrap(), 3);
        assert_eq!(find(&db(&[3, 5, 7], &[3, 7])).unwrap(), 5);
        assert_eq!(find(&db(&[3, 5, 7], &[3, 5, 7])).unwrap(), 7);
    }

    #[test]
    fn the_mark_stops_at_a_batch_that_is_receiving_and_passes_a_cancelled_one() {
        let db = db(&[3, 9], &[3]);
        db.execute("INSERT INTO jobs VALUES (5, 77, 1, x'')", []).unwrap();
        assert_eq!(find(&db).unwrap(), 5);
        db.execute("INSERT INTO batch_ends VALUES (77, 0, 0, 0)", []).unwrap();
        assert_eq!(find(&db).unwrap(), 9);
    }

    #[test]
    fn a_job_appended_while_the_mark_was_looked_for_holds_it_back() {
        let db = db(&[3, 5, 7], &[3, 5, 7]);
        let lowest = Lowest::new();
        let found = find(&db).unwrap();
        db.execute("INSERT INTO jobs VALUES (4, NULL, 1, x'')", []).unwrap();
        lowest.saw(&db, 4).unwrap();
        lowest.raise(&db, found).unwrap();
        assert_eq!(mark(&db), 4);
    }

    #[test]
    fn a_start_in_between_does_not_let_a_late_find_pass() {
        let db = db(&[3, 5, 7], &[3, 5, 7]);
        let lowest = Lowest::new();
        let found = find(&db).unwrap();
        db.execute("INSERT INTO jobs VALUES (4, NULL, 1, x'')", []).unwrap();
        lowest.saw(&db, 4).unwrap();
        super::super::starts::begin(&db, 0).unwrap();
        lowest.raise(&db, found).unwrap();
        assert_eq!(mark(&db), 4);
    }

    #[test]
    fn a_job_appended_below_the_mark_lowers_it_and_a_late_find_never_does() {
        let db = db(&[3, 5, 7], &[3, 5]);
        let lowest = Lowest::new();
        lowest.raise(&db, find(&db).unwrap()).unwrap();
        assert_eq!(mark(&db), 7);
        lowest.raise(&db, 1).unwrap();
        assert_eq!(mark(&db), 7);
        lowest.saw(&db, 2).unwrap();
        assert_eq!(mark(&db), 2);
    }
}
