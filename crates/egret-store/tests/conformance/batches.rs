//! Batches: receiving, then closed or cancelled; counted and listed.

use egret_core::id::{BatchId, JobId};
use egret_store::{BatchEnd, BatchKept, BatchRow, EndState, RejectedRow};

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
