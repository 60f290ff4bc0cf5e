//! What only this store can do wrong: its log, its threads, its query plans.

use std::time::Duration;

use super::*;
use crate::row::JobFilter;

fn store() -> (tempfile::TempDir, SqliteStore) {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(dir.path()).unwrap();
    (dir, store)
}

fn jobs(ids: std::ops::Range<u64>, bytes: usize) -> Vec<JobRow> {
    let flow = flow(None);
    let row = |id| JobRow {
        id: JobId(id),
        flow: Arc::clone(&flow),
        deadline_ms: 1_000 + id,
        spec: vec![b'x'; bytes],
    };
    ids.map(row).collect()
}

fn flow(batch: Option<u64>) -> Arc<Flow> {
    let batch = batch.map(BatchId);
    Arc::new(Flow { service: "whois".into(), owner: String::new(), class: 1, egress: String::new(), batch })
}

async fn waiting(store: &SqliteStore) -> u64 {
    store.flows().await.unwrap().iter().map(|kept| kept.waiting).sum()
}

fn ends(ids: std::ops::Range<u64>) -> Vec<OutcomeRow> {
    let row =
        |id| OutcomeRow { job: JobId(id), batch: None, state: EndState::Done, ended_ms: 0, body: vec![] };
    ids.map(row).collect()
}

#[tokio::test]
async fn the_log_stays_short_under_constant_load() {
    let (dir, store) = store();
    let mut longest = 0;
    // 120 MB through a log whose rounds start at 16 MiB.
    for at in (1..60_001).step_by(1_000) {
        let appended = store.append_jobs(jobs(at..at + 1_000, 2_000)).await.unwrap();
        store.append_outcomes(ends(at..at + 1_000)).await.unwrap().await.unwrap();
        appended.await.unwrap();
        longest = longest.max(std::fs::metadata(dir.path().join("egret.db-wal")).unwrap().len());
    }
    assert!(longest < 64 << 20, "the log grew to {longest} bytes");
    store.append_jobs(jobs(70_000..70_001, 0)).await.unwrap().await.unwrap();
    assert_eq!(waiting(&store).await, 1);
}

#[tokio::test]
async fn jobs_of_a_cancelled_batch_leave_the_lines_in_the_background() {
    let (_dir, store) = store();
    let batch = BatchRow { id: BatchId(7), owner: String::new(), created_ms: 0 };
    store.open_batch(batch).await.unwrap().await.unwrap();
    let flow = flow(Some(7));
    // More than one step.
    for at in (1..30_001).step_by(1_000) {
        let rows = jobs(at..at + 1_000, 10).into_iter();
        let rows = rows.map(|job| JobRow { flow: Arc::clone(&flow), ..job }).collect();
        store.append_jobs(rows).await.unwrap().await.unwrap();
    }
    store.append_jobs(jobs(40_000..40_003, 10)).await.unwrap().await.unwrap();
    store.end_batch(BatchId(7), BatchEnd::Cancelled).await.unwrap().await.unwrap();
    assert_eq!(waiting(&store).await, 3);
    let left =
        || store.read(|db| db.query_row("SELECT count(*) FROM waiting", [], |row| row.get::<_, i64>(0)));
    let swept = async {
        while left().await.unwrap() > 3 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), swept)
        .await
        .expect("the keeper's rounds go on by themselves");
    assert_eq!(waiting(&store).await, 3);
}

#[tokio::test]
async fn a_clean_end_leaves_no_log() {
    let (dir, store) = store();
    store.append_jobs(jobs(1..1_000, 100)).await.unwrap().await.unwrap();
    drop(store);
    let log = std::fs::metadata(dir.path().join("egret.db-wal")).map_or(0, |file| file.len());
    assert_eq!(log, 0);
}

#[tokio::test]
async fn a_full_disk_fails_the_write_and_the_store_goes_on() {
    let (_dir, store) = store();
    let limit = |pages: i64| {
        move |db: &Connection| {
            db.pragma_update_and_check(None, "max_page_count", pages, |row| row.get::<_, i64>(0))
        }
    };
    store.write(0, limit(200)).await.unwrap().await.unwrap();
    let error = store.append_jobs(jobs(1..2_000, 1_000)).await.unwrap().await.unwrap_err();
    assert_eq!(error.to_string(), "the store failed: database or disk is full");
    store.append_jobs(jobs(1..3, 10)).await.unwrap().await.unwrap();
    store.write(0, limit(1_000_000)).await.unwrap().await.unwrap();
    store.append_jobs(jobs(3..2_000, 1_000)).await.unwrap().await.unwrap();
    assert_eq!(waiting(&store).await, 1_999);
}

#[tokio::test]
async fn a_store_without_its_writer_says_closed_and_still_reads() {
    let (_dir, store) = store();
    store.append_jobs(jobs(1..2, 0)).await.unwrap().await.unwrap();
    let died = store.write(0, |_| -> rusqlite::Result<()> { panic!("as a test wants it") }).await.unwrap();
    assert!(matches!(died.await, Err(StoreError::Closed)));
    let later = async { store.append_jobs(jobs(2..3, 0)).await?.await };
    let later = tokio::time::timeout(Duration::from_secs(5), later).await.unwrap();
    assert!(matches!(later, Err(StoreError::Closed)), "{later:?}");
    assert!(store.check().await.is_err());
    assert!(store.job(JobId(1)).await.unwrap().is_some());
}

#[tokio::test]
async fn a_question_that_panics_costs_no_reader() {
    let (_dir, store) = store();
    for _ in 0..4 {
        let died = store.read(|_| -> rusqlite::Result<()> { panic!("as a test wants it") }).await;
        assert!(died.is_err());
    }
    assert!(store.job(JobId(1)).await.unwrap().is_none());
}

#[tokio::test]
async fn writes_wait_while_the_queue_is_full() {
    let (_dir, store) = store();
    let (go, stop) = std::sync::mpsc::channel::<()>();
    let held = store.write(64 << 20, move |_| Ok(stop.recv().is_ok())).await.unwrap();
    let next = store.append_jobs(jobs(1..2, 0));
    tokio::pin!(next);
    let early = tokio::time::timeout(Duration::from_millis(50), &mut next).await;
    assert!(early.is_err(), "the queue took more than it has room for");
    go.send(()).unwrap();
    assert!(held.await.unwrap());
    next.await.unwrap().await.unwrap();
}

#[test]
fn no_query_reads_more_than_its_page() {
    let mut db = Connection::open_in_memory().unwrap();
    schema::migrate(&mut db).unwrap();
    check_plan(&db, waiting::NEXT, &["SEARCH w USING PRIMARY KEY (flow=? AND (deadline_ms,job)>(?,?))"]);
    check_plan(
        &db,
        waiting::AHEAD,
        &["SEARCH waiting USING PRIMARY KEY (flow=? AND (deadline_ms,job)<(?,?))"],
    );
    check_plan(
        &db,
        waiting::FLOWS,
        &["SEARCH w USING PRIMARY KEY (flow>?)", "SEARCH w USING PRIMARY KEY (flow=?)"],
    );
    check_plan(
        &db,
        flows::FIND,
        &[
            "SEARCH f USING COVERING INDEX flow_by_parts (<expr>=? AND service=? AND owner=? AND class=? AND egress=?)",
        ],
    );
    for sql in [batches::RESULTS, batches::ENDED_AS] {
        check_plan(&db, sql, &["SEARCH o USING INDEX outcomes_of_batch (batch=? AND rowid>?)"]);
    }
    check_plan(&db, &batches::listing(false), &["SEARCH b USING INTEGER PRIMARY KEY (rowid<?)"]);
    check_plan(
        &db,
        &batches::listing(true),
        &["SEARCH b USING INDEX batches_of_owner (owner=? AND rowid<?)"],
    );
    let of_batch = JobFilter { batch: Some(BatchId(1)), before: Some(JobId(5)), ..JobFilter::default() };
    check_plan(
        &db,
        &jobs::query(&of_batch, 1).0,
        &["SEARCH j USING INDEX jobs_of_batch (batch=? AND rowid<?)"],
    );
    let by_batch = JobFilter { owner: Some("a".into()), ..of_batch };
    let steps = ["SEARCH j USING INDEX jobs_of_batch (batch=? AND rowid<?)"];
    check_plan(&db, &jobs::query(&by_batch, 1).0, &steps);
    let by_owner = JobFilter { batch: None, state: Some(None), ..by_batch };
    let steps = ["SEARCH j USING INDEX jobs_of_owner (owner=? AND rowid<?)"];
    check_plan(&db, &jobs::query(&by_owner, 1).0, &steps);
    let open = JobFilter { state: Some(None), before: Some(JobId(5)), ..JobFilter::default() };
    let steps = [
        "SEARCH w USING COVERING INDEX waiting_of_job (job<?)",
        "SEARCH j USING INTEGER PRIMARY KEY (rowid=?)",
    ];
    check_plan(&db, &jobs::query(&open, 1).0, &steps);
    let open = JobFilter { before: None, ..open };
    check_plan(&db, &jobs::query(&open, 1).0, &["SCAN w USING COVERING INDEX waiting_of_job"]);
}

#[track_caller]
fn check_plan(db: &Connection, sql: &str, steps: &[&str]) {
    let mut explain = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let nulls = rusqlite::params_from_iter(vec![rusqlite::types::Null; explain.parameter_count()]);
    let plan: Vec<String> = explain.query_map(nulls, |row| row.get(3)).unwrap().map(Result::unwrap).collect();
    for step in steps {
        assert!(plan.iter().any(|line| line.starts_with(step)), "no `{step}` in {plan:#?}");
    }
    let sorts = |line: &String| line.contains("TEMP B-TREE");
    assert!(!plan.iter().any(sorts), "{plan:#?}");
}
