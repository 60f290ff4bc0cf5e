//! Jobs: kept, open until they end, listed.

use egret_core::id::{BatchId, JobId};
use egret_store::{BatchEnd, EndState, Flow, JobFilter, JobRow, Kept, Store, StoreError};

use crate::Home;
use crate::rows::*;

pub(crate) async fn a_commit_outlives_the_process(home: &dyn Home) {
    let store = home.open();
    append(&*store, &[job(1), job(2)]).await;
    end(&*store, &[done(1)]).await;
    drop(store);
    let store = home.open();
    assert_eq!(open_ids(&*store, 10).await, [2]);
    assert_eq!(store.job(JobId(1)).await.unwrap().unwrap().outcome, Some(done(1)));
}

pub(crate) async fn a_job_reads_back_as_it_was_appended(home: &dyn Home) {
    let store = home.open();
    let rows = [
        JobRow { spec: vec![0, 255, 39, 34], ..job(u64::MAX >> 1) },
        JobRow { spec: Vec::new(), ..at(job_of(7, 3), "über's \"service\"") },
    ];
    append(&*store, &rows).await;
    for row in rows {
        let kept = store.job(row.id).await.unwrap();
        assert_eq!(kept, Some(Kept { job: row, outcome: None, discarded: false }));
    }
    assert_eq!(store.job(JobId(8)).await.unwrap(), None);
    assert_eq!(store.job(JobId(u64::MAX)).await.unwrap(), None);
}

pub(crate) async fn ended_jobs_are_not_open(home: &dyn Home) {
    let store = home.open();
    append(&*store, &(1..=6).map(job).collect::<Vec<_>>()).await;
    for (id, state) in
        [(1, EndState::Done), (3, EndState::Failed), (4, EndState::Expired), (6, EndState::Cancelled)]
    {
        end(&*store, &[end_of(&job(id), state)]).await;
    }
    assert_eq!(open_ids(&*store, 1).await, [2, 5]);
    drop(store);
    let store = home.open();
    store.begin(0).await.unwrap();
    assert_eq!(open_ids(&*store, 1).await, [2, 5]);
}

pub(crate) async fn jobs_of_a_batch_are_open_only_once_it_is_closed(home: &dyn Home) {
    let store = home.open();
    for batch in [1, 2, 3] {
        open_batch(&*store, batch).await;
    }
    append(&*store, &[job_of(11, 1), job_of(12, 2), job_of(13, 3), job(14)]).await;
    assert_eq!(open_ids(&*store, 2).await, [14]);
    end_batch(&*store, 2, closed(1)).await;
    end_batch(&*store, 3, BatchEnd::Cancelled).await;
    assert_eq!(open_ids(&*store, 2).await, [12, 14]);
}

pub(crate) async fn a_second_job_of_one_id_fails_alone(home: &dyn Home) {
    let store = home.open();
    append(&*store, &[job(1)]).await;
    // Queued before any of them can have been committed, so that they may share a commit.
    let mut commits = Vec::new();
    for id in [2, 3, 1, 4, 1, 5] {
        commits.push(store.append_jobs(vec![job(id)]).await.unwrap());
    }
    let mut ended = Vec::new();
    for commit in commits {
        ended.push(commit.await);
    }
    let is_ok: Vec<bool> = ended.iter().map(Result::is_ok).collect();
    assert_eq!(is_ok, [true, true, false, true, false, true]);
    assert!(matches!(&ended[2], Err(StoreError::Failed { detail }) if !detail.is_empty()), "{:?}", ended[2]);
    assert_eq!(open_ids(&*store, 10).await, [1, 2, 3, 4, 5]);
}

pub(crate) async fn a_failed_write_keeps_none_of_its_rows(home: &dyn Home) {
    let store = home.open();
    append(&*store, &[job(2)]).await;
    let commit = store.append_jobs(vec![job(1), at(job(2), "new")]).await.unwrap();
    assert!(commit.await.is_err());
    assert_eq!(open_ids(&*store, 10).await, [2]);
    // A service first named in the failed write is no half-known name afterwards.
    append(&*store, &[at(job(3), "new")]).await;
    assert_eq!(store.job(JobId(3)).await.unwrap().unwrap().job.flow.service, "new");
}

pub(crate) async fn no_filter_lists_all_jobs_newest_first(home: &dyn Home) {
    let store = home.open();
    append(&*store, &(1..=5).map(job).collect::<Vec<_>>()).await;
    end(&*store, &[done(4)]).await;
    check(&*store, JobFilter::default(), &[5, 4, 3, 2, 1]).await;
    check(&*store, JobFilter { before: Some(JobId(4)), ..JobFilter::default() }, &[3, 2, 1]).await;
    let page = store.jobs(JobFilter::default(), 2).await.unwrap();
    assert_eq!(page.iter().map(|kept| kept.job.id.0).collect::<Vec<_>>(), [5, 4]);
    assert_eq!(page[1].outcome, Some(done(4)));
}

pub(crate) async fn a_filter_by_state_tells_open_ended_and_discarded_apart(home: &dyn Home) {
    let store = home.open();
    open_batch(&*store, 9).await;
    append(&*store, &(1..=6).map(job).chain([job_of(7, 9)]).collect::<Vec<_>>()).await;
    for (id, state) in
        [(2, EndState::Done), (3, EndState::Failed), (4, EndState::Expired), (5, EndState::Cancelled)]
    {
        end(&*store, &[end_of(&job(id), state)]).await;
    }
    let of = |state| JobFilter { state: Some(state), ..JobFilter::default() };
    check(&*store, of(None), &[7, 6, 1]).await;
    end_batch(&*store, 9, BatchEnd::Cancelled).await;
    check(&*store, of(None), &[6, 1]).await;
    check(&*store, of(Some(EndState::Done)), &[2]).await;
    check(&*store, of(Some(EndState::Failed)), &[3]).await;
    check(&*store, of(Some(EndState::Expired)), &[4]).await;
    check(&*store, of(Some(EndState::Cancelled)), &[7, 5]).await;
}

pub(crate) async fn a_filter_by_label_matches_any_key_and_ignores_what_is_no_json(home: &dyn Home) {
    let store = home.open();
    let specs = [
        r#"{"labels":{"team":"red","a.b":"1"}}"#,
        r#"{"labels":{"team":"blue","it's \"odd\"":"yes"}}"#,
        r#"{"labels":{"team":7}}"#,
        r#"{"labels":null}"#,
        r#"{"team":"red"}"#,
        "no json",
        "",
    ];
    let rows = specs.iter().zip(1..).map(|(spec, id)| JobRow { spec: (*spec).into(), ..job(id) });
    append(&*store, &rows.collect::<Vec<_>>()).await;
    let of = |labels: &[(&str, &str)]| JobFilter {
        labels: labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        ..JobFilter::default()
    };
    check(&*store, of(&[("team", "red")]), &[1]).await;
    check(&*store, of(&[("team", "red"), ("a.b", "1")]), &[1]).await;
    check(&*store, of(&[("team", "red"), ("a.b", "2")]), &[]).await;
    check(&*store, of(&[("it's \"odd\"", "yes")]), &[2]).await;
    check(&*store, of(&[("team", "7")]), &[]).await;
}

pub(crate) async fn a_filter_by_owner_lists_what_came_with_that_key(home: &dyn Home) {
    let store = home.open();
    let of = |id, owner: &str| in_flow(job(id), Flow { owner: owner.into(), ..flow() });
    append(&*store, &[of(1, "a"), of(2, "b"), of(3, ""), of(4, "a")]).await;
    end(&*store, &[done(4)]).await;
    let of_owner = |owner: &str| JobFilter { owner: Some(owner.into()), ..JobFilter::default() };
    check(&*store, of_owner("a"), &[4, 1]).await;
    check(&*store, of_owner(""), &[3]).await;
    check(&*store, of_owner("nobody"), &[]).await;
    check(&*store, JobFilter { state: Some(None), ..of_owner("a") }, &[1]).await;
    check(&*store, JobFilter::default(), &[4, 3, 2, 1]).await;
}

pub(crate) async fn filters_combine(home: &dyn Home) {
    let store = home.open();
    open_batch(&*store, 9).await;
    let other = |job| at(job, "other");
    let jobs = [job_of(1, 9), other(job_of(2, 9)), other(job_of(3, 9)), other(job(4)), other(job_of(5, 9))];
    append(&*store, &jobs).await;
    end(&*store, &[end_of(&jobs[1], EndState::Done)]).await;
    let of_other = JobFilter { service: Some("other".into()), ..JobFilter::default() };
    check(&*store, of_other.clone(), &[5, 4, 3, 2]).await;
    let of_batch = JobFilter { batch: Some(BatchId(9)), ..of_other };
    check(&*store, of_batch.clone(), &[5, 3, 2]).await;
    let open = JobFilter { state: Some(None), before: Some(JobId(5)), ..of_batch };
    check(&*store, open, &[3]).await;
    check(&*store, JobFilter { service: Some("never seen".into()), ..JobFilter::default() }, &[]).await;
}

async fn check(store: &dyn Store, filter: JobFilter, ids: &[u64]) {
    let listed = store.jobs(filter.clone(), 100).await.unwrap();
    assert_eq!(listed.iter().map(|kept| kept.job.id.0).collect::<Vec<_>>(), ids, "{filter:?}");
}
