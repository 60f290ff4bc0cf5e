//! Random histories against a naive twin in memory: after every restart both must tell the same.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use egret_core::id::{BatchId, JobId};
use egret_store::{AnswerRow, BatchEnd, EndState, Flow, JobFilter, JobRow, Kept, Place, Store};
use proptest::prelude::*;

use crate::rows::*;
use crate::{Folder, Home};

/// Jobs and batches are few, so that histories meet the same ones often.
const JOBS: u64 = 24;
const BATCHES: u64 = 3;

#[derive(Clone, Debug)]
enum Event {
    Append(Vec<u64>),
    End(Vec<(u64, EndState)>),
    Reopen(Vec<u64>, u64),
    OpenBatch(u64),
    EndBatch(u64, bool),
    Answer(u8, u64),
    Order(u8, Option<u8>),
    Restart,
}

/// What a store is, in the plainest words.
#[derive(Default)]
struct Twin {
    jobs: BTreeMap<u64, Kept>,
    ended: Vec<u64>,
    /// When the last end of a batch was, whatever became of it.
    last_ended_ms: BTreeMap<u64, u64>,
    batches: BTreeMap<u64, Option<BatchEnd>>,
    answers: BTreeMap<u8, AnswerRow>,
    orders: BTreeMap<String, String>,
}

/// Two thirds of the jobs belong to a batch, always the same one; two owners and two classes share them, and
/// deadlines do not go by their ids.
fn row(id: u64) -> JobRow {
    let batch = (!id.is_multiple_of(3)).then_some(BatchId(100 + id % BATCHES));
    let owner = if id.is_multiple_of(2) { "a" } else { "b" };
    let flow = Flow { owner: owner.into(), class: (id % 2) as u8, batch, ..flow() };
    JobRow { deadline_ms: 1_000 + id * 7 % 5, ..in_flow(job(id), flow) }
}

impl Twin {
    /// True if the store must take the rows.
    fn append(&mut self, ids: &[u64]) -> bool {
        let is_new = |(at, id): (usize, &u64)| !self.jobs.contains_key(id) && !ids[..at].contains(id);
        if !ids.iter().enumerate().all(is_new) {
            return false;
        }
        let kept = ids.iter().map(|id| (*id, Kept { job: row(*id), outcome: None, discarded: false }));
        self.jobs.extend(kept);
        true
    }

    fn end(&mut self, id: u64, state: EndState) {
        let Some(kept) = self.jobs.get_mut(&id) else { return };
        if kept.outcome.is_none() {
            kept.outcome = Some(end_of(&kept.job, state));
            self.ended.push(id);
            let end = &kept.outcome.as_ref().unwrap();
            if let Some(batch) = end.batch {
                let last = self.last_ended_ms.entry(batch.0).or_default();
                *last = end.ended_ms.max(*last);
            }
        }
    }

    /// The ends taken back, of jobs that may run.
    fn reopen(&mut self, id: u64, deadline_ms: u64) -> Option<(JobId, EndState)> {
        let kept = self.jobs.get_mut(&id)?;
        let state = kept.outcome.take()?.state;
        kept.job.deadline_ms = deadline_ms;
        self.ended.retain(|other| *other != id);
        Some((JobId(id), state))
    }

    fn end_batch(&mut self, batch: u64, end: BatchEnd) {
        if let Some(open @ None) = self.batches.get_mut(&batch) {
            *open = Some(end);
        }
    }

    fn restart(&mut self) {
        for end in self.batches.values_mut() {
            end.get_or_insert(BatchEnd::Cancelled);
        }
    }

    fn end_of_batch(&self, kept: &Kept) -> Option<BatchEnd> {
        kept.job.flow.batch.and_then(|batch| *self.batches.get(&batch.0)?)
    }

    fn listed(&self) -> Vec<Kept> {
        let view = |kept: &Kept| {
            let discarded = kept.outcome.is_none() && self.end_of_batch(kept) == Some(BatchEnd::Cancelled);
            Kept { discarded, ..kept.clone() }
        };
        self.jobs.values().rev().map(view).collect()
    }

    /// The places taken in every line.
    fn lines(&self) -> BTreeMap<Arc<Flow>, BTreeSet<Place>> {
        let runs = |kept: &&Kept| {
            let is_complete = matches!(self.end_of_batch(kept), Some(BatchEnd::Closed { .. }));
            kept.outcome.is_none() && (kept.job.flow.batch.is_none() || is_complete)
        };
        let mut lines: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for kept in self.jobs.values().filter(runs) {
            lines.entry(Arc::clone(&kept.job.flow)).or_default().insert(place(&kept.job));
        }
        lines
    }

    fn results(&self, batch: u64) -> Vec<u64> {
        let is_of = |id: &&u64| row(**id).flow.batch == Some(BatchId(batch));
        self.ended.iter().filter(is_of).copied().collect()
    }

    /// How the jobs of a batch ended, and when the last one did.
    fn counts(&self, batch: u64) -> ([u64; 4], Option<u64>) {
        let mut ended = [0; 4];
        for outcome in self.results(batch).iter().filter_map(|id| self.jobs[id].outcome.as_ref()) {
            ended[outcome.state as usize] += 1;
        }
        (ended, self.last_ended_ms.get(&batch).copied())
    }
}

fn event() -> impl Strategy<Value = Event> {
    let state = prop_oneof![
        Just(EndState::Done),
        Just(EndState::Failed),
        Just(EndState::Expired),
        Just(EndState::Cancelled)
    ];
    let batch = 100..100 + BATCHES;
    prop_oneof![
        4 => prop::collection::vec(1..=JOBS, 1..4).prop_map(Event::Append),
        4 => prop::collection::vec((1..=JOBS, state), 1..5).prop_map(Event::End),
        2 => (prop::collection::vec(1..=JOBS, 1..5), 900..1_100_u64)
            .prop_map(|(ids, at)| Event::Reopen(ids, at)),
        1 => batch.clone().prop_map(Event::OpenBatch),
        2 => (batch, any::<bool>()).prop_map(|(batch, closed)| Event::EndBatch(batch, closed)),
        1 => (0..4_u8, 0..9_u64).prop_map(|(key, at)| Event::Answer(key, at)),
        1 => (0..4_u8, prop::option::of(0..9_u8)).prop_map(|(key, value)| Event::Order(key, value)),
        1 => Just(Event::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_history_reads_as_its_plain_twin(events in prop::collection::vec(event(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(play(&Folder::new(), events));
    }
}

async fn play(home: &dyn Home, events: Vec<Event>) {
    let (mut store, mut twin) = (home.open(), Twin::default());
    for event in events {
        match event {
            Event::Append(ids) => {
                let rows = ids.iter().map(|id| row(*id)).collect();
                let kept = store.append_jobs(rows).await.unwrap().await;
                assert_eq!(kept.is_ok(), twin.append(&ids), "{ids:?}");
            }
            Event::End(mut ends) => {
                ends.retain(|(id, _)| twin.jobs.contains_key(id));
                let rows = ends.iter().map(|(id, state)| end_of(&row(*id), *state)).collect::<Vec<_>>();
                end(&*store, &rows).await;
                ends.into_iter().for_each(|(id, state)| twin.end(id, state));
            }
            Event::Reopen(mut ids, at) => {
                let may_run = |kept: &Kept| {
                    let is_closed = matches!(twin.end_of_batch(kept), Some(BatchEnd::Closed { .. }));
                    kept.job.flow.batch.is_none() || is_closed
                };
                ids.retain(|id| twin.jobs.get(id).is_some_and(may_run));
                let again = ids.iter().map(|id| (JobId(*id), at)).collect();
                let reopened = store.reopen(again).await.unwrap().await.unwrap();
                let expected: Vec<_> = ids.iter().filter_map(|id| twin.reopen(*id, at)).collect();
                assert_eq!(reopened, expected);
            }
            Event::OpenBatch(batch) if !twin.batches.contains_key(&batch) => {
                open_batch(&*store, batch).await;
                twin.batches.insert(batch, None);
            }
            Event::EndBatch(batch, is_closed) if twin.batches.contains_key(&batch) => {
                let end = if is_closed { closed(1) } else { BatchEnd::Cancelled };
                end_batch(&*store, batch, end).await;
                twin.end_batch(batch, end);
            }
            Event::OpenBatch(_) | Event::EndBatch(..) => {}
            Event::Answer(key, at) => {
                store.save_answers(vec![answer(key, at)]).await.unwrap().await.unwrap();
                let kept = twin.answers.entry(key).or_insert_with(|| answer(key, at));
                if kept.answered_ms < at {
                    *kept = answer(key, at);
                }
            }
            Event::Order(key, value) => {
                let (key, value) = (key.to_string(), value.map(|value| value.to_string()));
                save_order(&*store, &key, value.as_deref()).await;
                match value {
                    Some(value) => twin.orders.insert(key, value),
                    None => twin.orders.remove(&key),
                };
            }
            Event::Restart => {
                compare(&*store, &twin).await;
                drop(store);
                store = home.open();
                store.begin(0).await.unwrap();
                twin.restart();
                compare(&*store, &twin).await;
            }
        }
    }
    compare(&*store, &twin).await;
}

async fn compare(store: &dyn Store, twin: &Twin) {
    compare_lines(store, &twin.lines()).await;
    let listed = twin.listed();
    assert_eq!(store.jobs(JobFilter::default(), 100).await.unwrap(), listed);
    let is_open = |kept: &&Kept| kept.outcome.is_none() && !kept.discarded;
    for owner in [None, Some("a".to_owned())] {
        let open = JobFilter { state: Some(None), owner: owner.clone(), ..JobFilter::default() };
        let is_of = |kept: &&Kept| owner.as_ref().is_none_or(|owner| kept.job.flow.owner == *owner);
        let expected: Vec<_> = listed.iter().filter(is_open).filter(is_of).cloned().collect();
        assert_eq!(store.jobs(open, 100).await.unwrap(), expected);
    }
    for kept in &listed {
        assert_eq!(store.job(JobId(kept.job.id.0)).await.unwrap().as_ref(), Some(kept));
    }
    for (batch, end) in &twin.batches {
        let ended: Vec<_> = results(store, *batch, 0, 100).await.iter().map(|(_, job)| *job).collect();
        assert_eq!(ended, twin.results(*batch));
        let kept = store.batch(BatchId(*batch)).await.unwrap().unwrap();
        assert_eq!((kept.end, (kept.ended, kept.last_ended_ms)), (*end, twin.counts(*batch)));
    }
    for key in 0..4 {
        assert_eq!(store.answer(vec![key]).await.unwrap().as_ref(), twin.answers.get(&key));
    }
    assert_eq!(store.orders().await.unwrap(), twin.orders.clone().into_iter().collect::<Vec<_>>());
}

async fn compare_lines(store: &dyn Store, lines: &BTreeMap<Arc<Flow>, BTreeSet<Place>>) {
    let mut flows = store.flows().await.unwrap();
    flows.sort_by(|a, b| a.flow.cmp(&b.flow));
    assert!(flows.iter().map(|kept| &kept.flow).eq(lines.keys()));
    for (kept, places) in flows.iter().zip(lines.values()) {
        assert_eq!((kept.waiting, Some(&kept.last)), (places.len() as u64, places.last()));
        let line = line(store, &kept.flow, 3).await;
        assert_eq!(line.iter().map(place).collect::<Vec<_>>(), places.iter().copied().collect::<Vec<_>>());
        for (ahead, place) in (0..).zip(places) {
            assert_eq!(store.ahead(&kept.flow, *place).await.unwrap(), ahead);
        }
    }
}
