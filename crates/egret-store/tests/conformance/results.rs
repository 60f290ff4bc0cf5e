//! Outcomes: one a job, and a batch's results in the order of ending.

use egret_core::id::{BatchId, JobId};
use egret_store::{EndState, Ended};

use crate::Home;
use crate::rows::*;

pub(crate) async fn the_first_outcome_of_a_job_stands(home: &dyn Home) {
    let store = home.open();
    let [first, other] = [job_of(1, 9), job_of(2, 9)];
    append(&*store, &[first.clone(), other.clone()]).await;
    let (done, failed) = (end_of(&first, EndState::Done), end_of(&first, EndState::Failed));
    // Twice in one write, and once more later.
    end(&*store, &[done.clone(), failed.clone(), end_of(&other, EndState::Done)]).await;
    end(&*store, &[failed]).await;
    assert_eq!(store.job(JobId(1)).await.unwrap().unwrap().outcome, Some(done));
    assert_eq!(results(&*store, 9, 0, 10).await.iter().map(|(_, job)| *job).collect::<Vec<_>>(), [1, 2]);
}

pub(crate) async fn results_come_in_the_order_of_ending(home: &dyn Home) {
    let store = home.open();
    let jobs: Vec<_> = (1..=4).map(|id| job_of(id, 9)).chain([job_of(5, 8), job(6)]).collect();
    append(&*store, &jobs).await;
    for ended in [3, 5, 0, 4, 2] {
        end(&*store, &[end_of(&jobs[ended], EndState::Done)]).await;
    }
    let ended = store.results(BatchId(9), 0, 10).await.unwrap();
    assert_eq!(ended.iter().map(|ended| ended.job.id.0).collect::<Vec<_>>(), [4, 1, 3]);
    let first = &ended[0];
    let outcome = end_of(&jobs[3], EndState::Done);
    assert_eq!(*first, Ended { seq: first.seq, job: jobs[3].clone(), outcome });
}

pub(crate) async fn results_read_on_from_a_place(home: &dyn Home) {
    let store = home.open();
    let jobs: Vec<_> = (1..=20).map(|id| job_of(id, id % 2)).collect();
    append(&*store, &jobs).await;
    let outcomes: Vec<_> = jobs.iter().rev().map(|job| end_of(job, EndState::Done)).collect();
    end(&*store, &outcomes).await;
    let (mut after, mut read) = (0, Vec::new());
    loop {
        let page = results(&*store, 1, after, 3).await;
        let Some((last, _)) = page.last() else { break };
        assert!(*last > after && page.len() <= 3);
        after = *last;
        read.extend(page.iter().map(|(_, job)| *job));
    }
    assert_eq!(read, [19, 17, 15, 13, 11, 9, 7, 5, 3, 1]);
}

pub(crate) async fn places_go_on_rising_after_a_restart(home: &dyn Home) {
    let store = home.open();
    append(&*store, &[job_of(1, 9), job_of(2, 9)]).await;
    end(&*store, &[end_of(&job_of(2, 9), EndState::Done)]).await;
    let before = results(&*store, 9, 0, 10).await[0].0;
    drop(store);
    let store = home.open();
    end(&*store, &[end_of(&job_of(1, 9), EndState::Done)]).await;
    let after = results(&*store, 9, before, 10).await;
    assert_eq!(after.len(), 1);
    assert!(after[0].0 > before && after[0].1 == 1);
}

pub(crate) async fn an_outcome_waits_for_no_batch_end(home: &dyn Home) {
    let store = home.open();
    open_batch(&*store, 9).await;
    append(&*store, &[job_of(1, 9)]).await;
    end(&*store, &[end_of(&job_of(1, 9), EndState::Cancelled)]).await;
    assert_eq!(results(&*store, 9, 0, 10).await.len(), 1);
}
