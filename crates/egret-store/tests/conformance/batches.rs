//! Batches: receiving, then closed or cancelled; counted and listed.

use egret_core::id::{BatchId, JobId};
use egret_store::{BatchEnd, BatchKept, BatchRow, EndState, OutcomeRow, RejectedRow};

use crate::Home;
use crate::rows::*;

pub(crate) async fn a_batch_counts_its_jobs_by_how_they_ended(home: &dyn Home) {
    let store = home.open();
    open_batch(&*store, 9).await;
    let batch = BatchRow { id: BatchId(9), owner: String::new(), created_ms: 90 };
    let receiving = BatchKept { batch: batch.clone(), end: None, ended: [0; 4], last_ended_ms: None };
    assert_eq!(store.batch(BatchId(9)).await.unwrap(), Some(receiving));
    let jobs: Vec<_> = (1..=7).map(|id| job_of(id, 9)).chain([job(8)]).collect();
    append(&*store, &jobs).await;
    end_batch(&*store, 9, BatchEnd::Closed { jobs: 7, rejected: 2 }).await;
    let states = [EndState::Cancelled, EndState::Done, EndState::Failed, EndState::Done, EndState::Expired];
    for (job, state) in jobs.iter().zip(states) {
        end(&*store, &[end_of(job, state)]).await;
    }
    end(&*store, &[done(8)]).await;
    let end = Some(BatchEnd::Closed { jobs: 7, rejected: 2 });
    let kept = BatchKept { batch, end, ended: [2, 1, 1, 1], last_ended_ms: Some(1_005) };
    assert_eq!(store.batch(BatchId(9)).await.unwrap(), Some(kept));
    assert_eq!(store.batch(BatchId(8)).await.unwrap(), None);
}

pub(crate) async fn the_first_end_of_a_batch_stands(home: &dyn Home) {
    let store = home.open();
    open_batch(&*store, 9).await;
    end_batch(&*store, 9, closed(3)).await;
    end_batch(&*store, 9, BatchEnd::Cancelled).await;
    end_batch(&*store, 9, closed(4)).await;
    assert_eq!(store.batch(BatchId(9)).await.unwrap().unwrap().end, Some(closed(3)));
}

pub(crate) async fn a_cancelled_batch_discards_what_has_not_ended(home: &dyn Home) {
    let store = home.open();
    open_batch(&*store, 9).await;
    let jobs = [job_of(1, 9), job_of(2, 9), job(3)];
    append(&*store, &jobs).await;
    end(&*store, &[end_of(&jobs[0], EndState::Done)]).await;
    end_batch(&*store, 9, BatchEnd::Cancelled).await;
    for (id, discarded) in [(1, false), (2, true), (3, false)] {
        let kept = store.job(JobId(id)).await.unwrap().unwrap();
        assert_eq!(kept.discarded, discarded, "job {id}");
    }
}

pub(crate) async fn a_second_outcome_is_not_counted(home: &dyn Home) {
    let store = home.open();
    open_batch(&*store, 9).await;
    let jobs = [job_of(1, 9), job_of(2, 9)];
    append(&*store, &jobs).await;
    let failed = end_of(&jobs[0], EndState::Failed);
    let late = OutcomeRow { state: EndState::Done, ended_ms: 9_999, ..failed.clone() };
    end(&*store, &[failed, late.clone()]).await;
    drop(store);
    let store = home.open();
    end(&*store, &[late, end_of(&jobs[1], EndState::Done)]).await;
    let kept = store.batch(BatchId(9)).await.unwrap().unwrap();
    assert_eq!((kept.ended, kept.last_ended_ms), ([1, 1, 0, 0], Some(1_002)));
}

pub(crate) async fn a_job_asked_again_waits_as_if_it_had_never_ended(home: &dyn Home) {
    let store = home.open();
    open_batch(&*store, 9).await;
    let jobs: Vec<_> = (1..=5).map(|id| job_of(id, 9)).collect();
    append(&*store, &jobs).await;
    end_batch(&*store, 9, closed(5)).await;
    let states = [EndState::Failed, EndState::Done, EndState::Expired, EndState::Failed];
    for (job, state) in jobs.iter().zip(states) {
        end(&*store, &[end_of(job, state)]).await;
    }
    let states = vec![EndState::Failed, EndState::Expired];
    let ended = store.ended_as(BatchId(9), states.clone(), 0, 2).await.unwrap();
    assert_eq!(ended.iter().map(|(_, job)| job.id.0).collect::<Vec<_>>(), [1, 3]);
    let rest = store.ended_as(BatchId(9), states, ended[1].0, 2).await.unwrap();
    assert_eq!(rest.iter().map(|(_, job)| job.clone()).collect::<Vec<_>>(), [jobs[3].clone()]);
    // One that is still open is no news.
    let again = [(1, 700_000), (3, 600_000), (5, 800_000)].map(|(id, ms)| (JobId(id), ms));
    let reopened = store.reopen(again.to_vec()).await.unwrap().await.unwrap();
    assert_eq!(reopened, [(JobId(1), EndState::Failed), (JobId(3), EndState::Expired)]);
    drop(store);
    let store = home.open();
    let line = line(&*store, &jobs[0].flow, 9).await;
    let places: Vec<_> = line.iter().map(|job| (job.id.0, job.deadline_ms)).collect();
    assert_eq!(places, [(5, 500_000), (3, 600_000), (1, 700_000)]);
    assert_eq!(store.job(JobId(1)).await.unwrap().unwrap().outcome, None);
    assert_eq!(store.batch(BatchId(9)).await.unwrap().unwrap().ended, [1, 1, 0, 0]);
    end(&*store, &[end_of(&jobs[0], EndState::Done)]).await;
    assert_eq!(store.batch(BatchId(9)).await.unwrap().unwrap().ended, [2, 1, 0, 0]);
}

pub(crate) async fn the_place_of_an_end_taken_back_is_never_given_again(home: &dyn Home) {
    let store = home.open();
    open_batch(&*store, 9).await;
    let job = job_of(1, 9);
    append(&*store, std::slice::from_ref(&job)).await;
    end(&*store, &[end_of(&job, EndState::Failed)]).await;
    let first = results(&*store, 9, 0, 9).await[0].0;
    let reopened = store.reopen(vec![(JobId(1), 700_000)]).await.unwrap().await.unwrap();
    assert_eq!((reopened.len(), results(&*store, 9, 0, 9).await.len()), (1, 0));
    drop(store);
    let store = home.open();
    end(&*store, &[end_of(&job, EndState::Failed)]).await;
    assert_eq!(results(&*store, 9, first, 9).await.len(), 1);
}

pub(crate) async fn batches_of_an_owner_are_listed_alone(home: &dyn Home) {
    let store = home.open();
    for (batch, owner) in [(1, "a"), (2, "b"), (3, "a"), (4, ""), (5, "a")] {
        open_batch_of(&*store, batch, owner).await;
    }
    let ids = async |owner: Option<&str>, before: Option<u64>| {
        let page = store.batches(owner.map(str::to_owned), before.map(BatchId), 2).await.unwrap();
        page.iter().map(|kept| (kept.batch.id.0, kept.batch.owner.clone())).collect::<Vec<_>>()
    };
    let [a, b, nobody] = ["a", "b", ""].map(str::to_owned);
    assert_eq!(ids(Some("a"), None).await, [(5, a.clone()), (3, a.clone())]);
    assert_eq!(ids(Some("a"), Some(3)).await, [(1, a.clone())]);
    assert_eq!(ids(Some("b"), None).await, [(2, b)]);
    assert_eq!(ids(None, None).await, [(5, a), (4, nobody)]);
}

pub(crate) async fn batches_come_newest_first(home: &dyn Home) {
    let store = home.open();
    for batch in [2, 4, 1, 3] {
        open_batch(&*store, batch).await;
        append(&*store, &[job_of(10 + batch, batch)]).await;
        end(&*store, &[end_of(&job_of(10 + batch, batch), EndState::Failed)]).await;
    }
    let page = store.batches(None, None, 3).await.unwrap();
    assert_eq!(page.iter().map(|kept| kept.batch.id.0).collect::<Vec<_>>(), [4, 3, 2]);
    assert!(page.iter().all(|kept| kept.ended == [0, 1, 0, 0]));
    let rest = store.batches(None, Some(BatchId(2)), 3).await.unwrap();
    assert_eq!(rest.iter().map(|kept| kept.batch.id.0).collect::<Vec<_>>(), [1]);
    assert!(store.batches(None, Some(BatchId(0)), 3).await.unwrap().is_empty());
}

pub(crate) async fn refused_lines_come_in_line_order(home: &dyn Home) {
    let store = home.open();
    let row =
        |line| RejectedRow { line, code: "bad_target".into(), detail: format!("line {line}: no domain") };
    for (batch, lines) in [(9, vec![row(5), row(2)]), (8, vec![row(2)]), (9, vec![row(7)])] {
        store.append_rejected(BatchId(batch), lines).await.unwrap().await.unwrap();
    }
    assert_eq!(store.rejected(BatchId(9), 0, 2).await.unwrap(), [row(2), row(5)]);
    assert_eq!(store.rejected(BatchId(9), 5, 2).await.unwrap(), [row(7)]);
    assert!(store.rejected(BatchId(7), 0, 2).await.unwrap().is_empty());
}
