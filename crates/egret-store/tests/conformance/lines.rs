//! The lines in which jobs wait: their order, what is in them, and what is not.

use std::sync::Arc;

use egret_core::id::{BatchId, JobId};
use egret_store::{BatchEnd, EndState, Flow, FlowKept, JobRow};

use crate::Home;
use crate::rows::*;

pub(crate) async fn a_line_goes_by_deadline_then_by_job(home: &dyn Home) {
    let store = home.open();
    append(&*store, &[due(30, 7), due(10, 9), due(50, 7), due(20, 8), due(40, 0)]).await;
    let expected = [due(40, 0), due(30, 7), due(50, 7), due(20, 8), due(10, 9)];
    for page in 1..7 {
        assert_eq!(line(&*store, &Arc::new(flow()), page).await, expected);
    }
    drop(store);
    assert_eq!(line(&*home.open(), &Arc::new(flow()), 2).await, expected);
}

pub(crate) async fn jobs_that_differ_in_any_part_wait_in_lines_of_their_own(home: &dyn Home) {
    let store = home.open();
    let flows = [
        flow(),
        Flow { service: "other".into(), ..flow() },
        Flow { owner: "a key".into(), ..flow() },
        Flow { class: 0, ..flow() },
        Flow { egress: r#"{"tags":["eu"]}"#.into(), ..flow() },
        Flow { batch: Some(BatchId(0)), ..flow() },
        Flow { batch: Some(BatchId(1)), ..flow() },
    ];
    for batch in [0, 1] {
        open_batch(&*store, batch).await;
        end_batch(&*store, batch, closed(1)).await;
    }
    let jobs: Vec<_> = (1..).zip(&flows).map(|(id, flow)| in_flow(job(id), flow.clone())).collect();
    append(&*store, &jobs).await;
    append(&*store, &[job(8)]).await;
    let mut kept = store.flows().await.unwrap();
    kept.sort_by_key(|kept| kept.last);
    let alone = |job: &JobRow| FlowKept { flow: Arc::clone(&job.flow), waiting: 1, last: place(job) };
    let mut expected: Vec<_> = jobs[1..].iter().map(alone).collect();
    expected.push(FlowKept { waiting: 2, ..alone(&job(8)) });
    assert_eq!(kept, expected);
}

pub(crate) async fn a_job_that_goes_on_waits_in_another_line_alone(home: &dyn Home) {
    let store = home.open();
    append(&*store, &[due(1, 5), due(2, 6), due(3, 7)]).await;
    end(&*store, &[done(3)]).await;
    let onward = |id, deadline_ms| JobRow { spec: b"{}".into(), ..at(due(id, deadline_ms), "other") };
    store.advance(vec![onward(1, 5), onward(3, 7)]).await.unwrap().await.unwrap();
    drop(store);
    let store = home.open();
    assert_eq!(line(&*store, &Arc::new(flow()), 9).await, [due(2, 6)]);
    assert_eq!(line(&*store, &onward(1, 5).flow, 9).await, [onward(1, 5)]);
    assert_eq!(store.job(JobId(1)).await.unwrap().unwrap().job, onward(1, 5));
    assert_eq!(store.job(JobId(3)).await.unwrap().unwrap().job, due(3, 7), "it has ended");
}

pub(crate) async fn a_job_leaves_its_line_with_its_outcome(home: &dyn Home) {
    let store = home.open();
    append(&*store, &[due(1, 5), due(2, 6), due(3, 7)]).await;
    let flow = Arc::new(flow());
    let first = store.waiting(&flow, None, 1).await.unwrap();
    assert_eq!(first, [due(1, 5)]);
    // Reading goes on from a place that is not taken any more.
    end(&*store, &[done(1), done(2)]).await;
    assert_eq!(store.waiting(&flow, Some(place(&first[0])), 9).await.unwrap(), [due(3, 7)]);
    end(&*store, &[done(3)]).await;
    assert!(store.waiting(&flow, None, 9).await.unwrap().is_empty());
    assert!(store.flows().await.unwrap().is_empty());
}

pub(crate) async fn a_place_tells_how_many_wait_before_it(home: &dyn Home) {
    let store = home.open();
    append(&*store, &[due(1, 5), due(2, 5), due(3, 9), due(4, 1)]).await;
    append(&*store, &[at(due(5, 0), "other")]).await;
    let flow = Arc::new(flow());
    for (place, ahead) in
        [((0, 0), 0), ((1, 4), 0), ((5, 1), 1), ((5, 2), 2), ((9, 3), 3), ((u64::MAX, 0), 4)]
    {
        assert_eq!(store.ahead(&flow, (place.0, JobId(place.1))).await.unwrap(), ahead, "{place:?}");
    }
    end(&*store, &[done(1)]).await;
    assert_eq!(store.ahead(&flow, (9, JobId(3))).await.unwrap(), 2);
    let unknown = Arc::new(Flow { owner: "nobody".into(), ..Flow::clone(&flow) });
    assert_eq!(store.ahead(&unknown, (9, JobId(3))).await.unwrap(), 0);
    assert!(store.waiting(&unknown, None, 9).await.unwrap().is_empty());
}

pub(crate) async fn nothing_of_a_batch_waits_before_it_is_closed(home: &dyn Home) {
    let store = home.open();
    open_batch(&*store, 9).await;
    append(&*store, &[job_of(1, 9), job(2)]).await;
    assert_eq!(open_ids(&*store, 5).await, [2]);
    assert!(line(&*store, &job_of(1, 9).flow, 5).await.is_empty());
    end_batch(&*store, 9, closed(1)).await;
    assert_eq!(line(&*store, &job_of(1, 9).flow, 5).await, [job_of(1, 9)]);
}

pub(crate) async fn nothing_of_a_cancelled_batch_waits_however_late_it_comes(home: &dyn Home) {
    let store = home.open();
    open_batch(&*store, 9).await;
    append(&*store, &[job_of(1, 9)]).await;
    end_batch(&*store, 9, BatchEnd::Cancelled).await;
    // The rest of the upload was on its way.
    append(&*store, &[job_of(2, 9), at(job_of(3, 9), "other"), job(4)]).await;
    assert_eq!(open_ids(&*store, 5).await, [4]);
    for id in [1, 2, 3] {
        assert!(store.job(JobId(id)).await.unwrap().unwrap().discarded, "job {id}");
    }
    end(&*store, &[end_of(&job_of(1, 9), EndState::Cancelled)]).await;
    assert_eq!(open_ids(&*store, 5).await, [4]);
}

pub(crate) async fn a_class_that_does_not_exist_fails_the_write(home: &dyn Home) {
    let store = home.open();
    let wrong = in_flow(job(1), Flow { class: 3, ..flow() });
    assert!(store.append_jobs(vec![job(2), wrong]).await.unwrap().await.is_err());
    assert!(open_ids(&*store, 5).await.is_empty());
}

pub(crate) async fn a_flow_of_a_failed_write_is_not_half_known(home: &dyn Home) {
    let store = home.open();
    append(&*store, &[job(2)]).await;
    let new = |id| in_flow(job(id), Flow { owner: "new".into(), ..flow() });
    assert!(store.append_jobs(vec![new(1), job(2)]).await.unwrap().await.is_err());
    append(&*store, &[in_flow(job(3), Flow { owner: "another".into(), ..flow() }), new(4)]).await;
    assert_eq!(line(&*store, &new(4).flow, 5).await, [new(4)]);
}

fn due(id: u64, deadline_ms: u64) -> JobRow {
    JobRow { deadline_ms, ..job(id) }
}
