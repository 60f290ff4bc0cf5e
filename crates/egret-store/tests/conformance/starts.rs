//! Starts, ends and the order in between.

use egret_core::id::{BatchId, JobId};
use egret_store::{BatchEnd, KeyClaim, Start, StoreError};

use crate::Home;
use crate::rows::*;

pub(crate) async fn starts_are_counted_from_one(home: &dyn Home) {
    for number in 1..=3 {
        let store = home.open();
        assert_eq!(store.begin(0).await.unwrap(), Start { number, last_id: 0 });
    }
}

pub(crate) async fn a_start_knows_the_largest_id(home: &dyn Home) {
    let store = home.open();
    append(&*store, &[job(7)]).await;
    assert_eq!(store.begin(0).await.unwrap().last_id, 7);
    open_batch(&*store, 8).await;
    assert_eq!(store.begin(0).await.unwrap().last_id, 8);
    store.add_token(token(1)).await.unwrap().await.unwrap();
    enrol(&*store, enrolment(9)).await;
    assert_eq!(store.begin(0).await.unwrap().last_id, 9);
}

pub(crate) async fn a_start_cancels_what_was_still_receiving(home: &dyn Home) {
    let store = home.open();
    for batch in [1, 2] {
        open_batch(&*store, batch).await;
        append(&*store, &[job_of(10 + batch, batch)]).await;
    }
    end_batch(&*store, 1, closed(1)).await;
    drop(store);
    let store = home.open();
    store.begin(0).await.unwrap();
    assert_eq!(store.batch(BatchId(1)).await.unwrap().unwrap().end, Some(closed(1)));
    assert_eq!(store.batch(BatchId(2)).await.unwrap().unwrap().end, Some(BatchEnd::Cancelled));
    assert!(store.job(JobId(12)).await.unwrap().unwrap().discarded);
    assert_eq!(open_ids(&*store, 10).await, [11]);
}

pub(crate) async fn a_start_frees_keys_left_in_flight(home: &dyn Home) {
    let store = home.open();
    store.claim_key("k".into(), [1; 32], 7, 0).await.unwrap().await.unwrap();
    drop(store);
    let store = home.open();
    store.begin(0).await.unwrap();
    let claim = store.claim_key("k".into(), [2; 32], 8, 0).await.unwrap().await.unwrap();
    assert_eq!(claim, KeyClaim::Fresh);
}

pub(crate) async fn a_store_that_works_checks_out(home: &dyn Home) {
    let store = home.open();
    store.check().await.unwrap();
    store.check().await.unwrap();
    assert_eq!(open_ids(&*store, 10).await, [0; 0]);
}

pub(crate) async fn writes_are_kept_in_call_order(home: &dyn Home) {
    let store = home.open();
    let mut commits = Vec::new();
    for id in 1..=200 {
        commits.push(store.append_jobs(vec![job_of(id, 9)]).await.unwrap());
        let outcome = end_of(&job_of(id, 9), egret_store::EndState::Done);
        commits.push(store.append_outcomes(vec![outcome]).await.unwrap());
    }
    for commit in commits {
        commit.await.unwrap();
    }
    let ended: Vec<_> = results(&*store, 9, 0, 300).await.iter().map(|(_, job)| *job).collect();
    assert_eq!(ended, (1..=200).collect::<Vec<_>>());
}

pub(crate) async fn a_dropped_store_still_writes_what_was_queued(home: &dyn Home) {
    let store = home.open();
    let mut commits = Vec::new();
    for id in 1..=500 {
        commits.push(store.append_jobs(vec![job(id)]).await.unwrap());
    }
    drop(store);
    for commit in commits {
        assert!(matches!(commit.await, Ok(()) | Err(StoreError::Closed)));
    }
    assert_eq!(open_ids(&*home.open(), 500).await.len(), 500);
}
