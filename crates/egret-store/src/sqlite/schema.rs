//! Numbered migrations, each in one transaction; `user_version` counts those applied.

use rusqlite::{Connection, Result, TransactionBehavior};

use super::column;

/// In order; one is added, none is ever changed.
const MIGRATIONS: &[&str] = &[
    include_str!("../../migrations/0001_first.sql"),
    include_str!("../../migrations/0002_flows.sql"),
    include_str!("../../migrations/0003_keys.sql"),
    include_str!("../../migrations/0004_fleet.sql"),
];

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

#[cfg(test)]
mod tests {
    use super::super::{batches, jobs, waiting};
    use super::*;
    use crate::row::{BatchEnd, JobFilter};

    /// A file of the first schema: jobs alone, of a closed batch (7), a cancelled one (8) and one receiving (9).
    fn first() -> Connection {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(MIGRATIONS[0]).unwrap();
        db.pragma_update(None, "user_version", 1).unwrap();
        db.execute_batch(
            "INSERT INTO services VALUES (1, 'whois'), (2, 'rdap');
             INSERT INTO batches VALUES (7, 70), (8, 80), (9, 90);
             INSERT INTO batch_ends VALUES (7, 1, 3, 0), (8, 0, 0, 0);
             UPDATE low_water SET job = 5",
        )
        .unwrap();
        let place = |priority: &str, deadline_ms: u64| {
            format!(r#"{{"target":"a.example","priority":"{priority}","deadline_ms":{deadline_ms}}}"#)
        };
        let jobs = [
            (1, None, 1, place("normal", 50)),
            (2, None, 1, place("bulk", 40)),
            (3, None, 2, place("interactive", u64::MAX)),
            (4, None, 1, r#"{"deadline_ms":20}"#.to_owned()),
            (5, None, 1, "no json".to_owned()),
            (6, None, 1, place("normal", 10)),
            (11, Some(7), 1, place("bulk", 30)),
            (12, Some(7), 1, place("bulk", 30)),
            (13, Some(7), 2, place("bulk", 30)),
            (14, Some(8), 1, place("bulk", 30)),
            (15, Some(9), 1, place("bulk", 30)),
        ];
        for (id, batch, service, spec) in jobs {
            let row = rusqlite::params![id, batch, service, spec.into_bytes()];
            db.execute("INSERT INTO jobs VALUES (?1, ?2, ?3, ?4)", row).unwrap();
        }
        for (job, batch, state, ended_ms) in [(6, None, 0, 500), (12, Some(7), 1, 600), (13, Some(7), 0, 590)]
        {
            let row = rusqlite::params![job, batch, state, ended_ms];
            db.execute("INSERT INTO outcomes VALUES (NULL, ?1, ?2, ?3, ?4, x'')", row).unwrap();
        }
        db
    }

    #[test]
    fn an_older_file_gets_lines_and_counts() {
        let mut db = first();
        migrate(&mut db).unwrap();
        let lines: Vec<_> = waiting::flows(&db)
            .unwrap()
            .iter()
            .map(|kept| {
                let jobs = waiting::next(&db, &kept.flow, None, 9).unwrap();
                let places: Vec<_> = jobs.iter().map(|job| (job.deadline_ms, job.id.0)).collect();
                let flow = &kept.flow;
                (flow.service.clone(), flow.class, flow.batch.map(|batch| batch.0), places)
            })
            .collect();
        let line = |service: &str, class, batch, places: &[(u64, u64)]| {
            (service.to_owned(), class, batch, places.to_vec())
        };
        let mut expected = vec![
            line("whois", 1, None, &[(0, 5), (20, 4), (50, 1)]),
            line("whois", 2, None, &[(40, 2)]),
            line("rdap", 0, None, &[(i64::MAX as u64, 3)]),
            line("whois", 2, Some(7), &[(30, 11)]),
        ];
        expected.sort();
        let mut lines = lines;
        lines.sort();
        assert_eq!(lines, expected);
        let kept = batches::batch(&db, egret_core::id::BatchId(7)).unwrap().unwrap();
        assert_eq!((kept.ended, kept.last_ended_ms), ([1, 1, 0, 0], Some(600)));
        assert_eq!(kept.end, Some(BatchEnd::Closed { jobs: 3, rejected: 0 }));
        assert_eq!(jobs::jobs(&db, &JobFilter::default(), 99).unwrap().len(), 11);
    }

    #[test]
    fn an_older_file_ends_up_as_a_new_one() {
        let schema = |db: &Connection| {
            let sql = "SELECT type, name, sql FROM sqlite_schema ORDER BY name";
            column::rows(db, sql, [], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, Option<String>>(2)?))
            })
            .unwrap()
        };
        let (mut old, mut new) = (first(), Connection::open_in_memory().unwrap());
        migrate(&mut old).unwrap();
        migrate(&mut new).unwrap();
        assert_eq!(schema(&old), schema(&new));
        assert!(schema(&old).iter().all(|(kind, ..)| kind != "view"));
        let broken =
            column::rows(&old, "PRAGMA foreign_key_check", [], |row| row.get::<_, String>(0)).unwrap();
        assert!(broken.is_empty(), "{broken:?}");
        assert_eq!(version(&old).unwrap(), known());
    }
}
