//! Answers that are given again: what was asked, how old an answer may be, and where answers are.
//!
//! The store keeps them; a bounded map stands in front of it with what was answered or asked for lately. Handlers
//! look in both before a job goes to the drive, and the drive looks once more in the map: the answer may have come
//! meanwhile. An answer found costs no budget. Who is given one, and how a job ends by it, is the drive's.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use egret_store::{AnswerRow, Store};
use quick_cache::Weighter;
use ring::digest::{Context, SHA256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::clock::Clock;
use crate::drive::Job;

/// Bytes of the map; chosen. It is never larger than what the store keeps.
const FRONT: u64 = 32 << 20;
/// What an answer takes in the map besides its body; a fair guess.
const OVERHEAD: u64 = 128;
/// Jobs of many that are looked up together.
pub(crate) const PIECE: usize = 1_000;
/// Bytes of answers read together for many jobs, and of all such answers until their jobs have ended; chosen.
const PIECE_BYTES: usize = 4 << 20;
const ROOM: usize = 32 << 20;
/// An answer is never given again when it is older than this, a leap year: the longest age that may be asked for.
pub(crate) const OLDEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// What was asked, and whom: a hash, so that it is short and says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key([u8; 32]);

impl Key {
    /// Of a question, and of all else that tells it from others.
    pub(crate) fn new(parts: &[&[u8]], question: &[u8]) -> Self {
        let mut context = Context::new(&SHA256);
        for part in parts.iter().chain([&question]) {
            // Lengths keep apart what would be the same text.
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let mut hash = [0; 32];
        hash.copy_from_slice(context.finish().as_ref());
        Self(hash)
    }
}

/// Which answers a job takes that were not given to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reuse {
    /// To what.
    pub(crate) key: Key,
    /// How old; zero: it insists on a call of its own, whose answer others may have.
    pub(crate) max_age: Duration,
}

impl Reuse {
    /// Whether it takes anything.
    pub(crate) fn shares(&self) -> bool {
        !self.max_age.is_zero()
    }

    /// Whether it takes this answer. One from the future is of unknown age: the clock went back.
    pub(crate) fn takes(&self, answered: &Answered, now_ms: u64) -> bool {
        self.takes_one_of(answered.answered_ms, now_ms)
    }

    /// The same of an answer that was given then.
    fn takes_one_of(&self, answered_ms: u64, now_ms: u64) -> bool {
        let age = now_ms.checked_sub(answered_ms).map(Duration::from_millis);
        self.shares() && age.is_some_and(|age| age <= self.max_age)
    }
}

/// An answer to be given again.
#[derive(Debug)]
pub(crate) struct Answered {
    /// When the service gave it, in milliseconds since 1970.
    pub(crate) answered_ms: u64,
    /// The result of every job that it ends, as JSON.
    pub(crate) body: Vec<u8>,
    /// Bytes that it takes of [`ROOM`].
    _room: Option<OwnedSemaphorePermit>,
}

impl Answered {
    pub(crate) fn new(answered_ms: u64, body: Vec<u8>) -> Self {
        Self { answered_ms, body, _room: None }
    }

    /// The same, with its part of the room that was taken for many.
    fn with_room(self, room: &mut Option<OwnedSemaphorePermit>) -> Self {
        let part = room.as_mut().and_then(|room| room.split(self.body.len().min(room.num_permits())));
        Self { _room: part, ..self }
    }

    /// As the store keeps it.
    pub(crate) fn row(&self, key: Key) -> AnswerRow {
        let longest = u64::try_from(OLDEST.as_millis()).unwrap_or(u64::MAX);
        AnswerRow {
            key: key.0.to_vec(),
            answered_ms: self.answered_ms,
            keep_until_ms: self.answered_ms.saturating_add(longest),
            body: self.body.clone(),
        }
    }
}

#[derive(Clone)]
struct Weight;

impl Weighter<Key, Arc<Answered>> for Weight {
    fn weight(&self, _: &Key, answered: &Arc<Answered>) -> u64 {
        answered.body.len() as u64 + OVERHEAD
    }
}

/// The answers of all services.
pub(crate) struct Cache {
    front: quick_cache::sync::Cache<Key, Arc<Answered>, Weight>,
    store: Arc<dyn Store>,
    clock: Clock,
    room: Arc<Semaphore>,
}

impl Cache {
    /// In front of a store that keeps up to `bytes` of answers.
    pub(crate) fn new(store: Arc<dyn Store>, bytes: u64, clock: Clock) -> Self {
        let bytes = bytes.min(FRONT);
        // A whois answer has 1 to 4 KiB.
        let items = usize::try_from(bytes >> 11).unwrap_or(0);
        let front = quick_cache::sync::Cache::with_weighter(items, bytes, Weight);
        Self { front, store, clock, room: Arc::new(Semaphore::new(ROOM)) }
    }

    /// Puts an answer in front, unless a newer one is there; the recorder brings it to the store.
    pub(crate) fn put(&self, key: Key, answered: &Arc<Answered>) {
        if self.front.peek(&key).is_none_or(|old| old.answered_ms <= answered.answered_ms) {
            self.front.insert(key, Arc::clone(answered));
        }
    }

    /// An answer from the map that a job takes.
    pub(crate) fn recent(&self, reuse: &Reuse, now_ms: u64) -> Option<Arc<Answered>> {
        let answered = if reuse.shares() { self.front.get(&reuse.key)? } else { return None };
        reuse.takes(&answered, now_ms).then_some(answered)
    }

    /// Looks for an answer to one job, and hands it to the job.
    pub(crate) async fn look(&self, job: &mut Job) {
        let Some(reuse) = job.reuse.filter(Reuse::shares) else { return };
        job.known = self.recent(&reuse, self.clock.wall_ms());
        if job.known.is_some() {
            return;
        }
        let row = self.store.answer(reuse.key.0.to_vec()).await.unwrap_or_else(|error| {
            tracing::warn!(job = %job.id, "the service is asked, since the cache cannot be read: {error}");
            None
        });
        if let Some(row) = row {
            let answered = Arc::new(Answered::new(row.answered_ms, row.body));
            self.put(reuse.key, &answered);
            job.known = reuse.takes(&answered, self.clock.wall_ms()).then_some(answered);
        }
    }

    /// How many of so many questions have an answer that is taken; no answer is read for it.
    pub(crate) async fn known(&self, asked: Vec<Reuse>) -> u64 {
        let (now_ms, all) = (self.clock.wall_ms(), asked.len());
        let in_front = |reuse: &Reuse| {
            self.front.peek(&reuse.key).is_some_and(|answered| reuse.takes(&answered, now_ms))
        };
        let rest: Vec<Reuse> = asked.into_iter().filter(|reuse| !in_front(reuse)).collect();
        let keys = rest.iter().map(|reuse| reuse.key.0.to_vec()).collect();
        let stored = self.store.answered(keys).await.unwrap_or_else(|error| {
            tracing::warn!(
                "a plan counts calls that need not be made, since the cache cannot be read: {error}"
            );
            Vec::new()
        });
        let taken = |(reuse, at): &(&Reuse, Option<u64>)| at.is_some_and(|at| reuse.takes_one_of(at, now_ms));
        (all - rest.len() + rest.iter().zip(stored).filter(taken).count()) as u64
    }

    /// Takes the next of many jobs, each with its answer if there is one; `job` finds it in an item. Waits while too
    /// many answers found this way have not ended their jobs; at least one item is taken.
    pub(crate) async fn next<T>(
        &self,
        items: &mut VecDeque<T>,
        job: fn(&mut T) -> Option<&mut Job>,
    ) -> Vec<T> {
        let asks = |item: &mut T| job(item)?.reuse.filter(Reuse::shares);
        let keys = items.iter_mut().filter_map(asks).take(PIECE).map(|reuse| reuse.key.0.to_vec());
        let keys: Vec<_> = keys.collect();
        if keys.is_empty() {
            return items.drain(..).collect();
        }
        let permits = u32::try_from(PIECE_BYTES).unwrap_or(u32::MAX);
        // Nobody closes it.
        let mut room = Arc::clone(&self.room).acquire_many_owned(permits).await.ok();
        let asked = keys.len();
        let rows = self.store.answers(keys, PIECE_BYTES).await.unwrap_or_else(|error| {
            tracing::warn!("services are asked, since the cache cannot be read: {error}");
            vec![None; asked]
        });
        let (mut rows, now_ms) = (rows.into_iter(), self.clock.wall_ms());
        let mut piece = Vec::with_capacity(items.len().min(asked));
        while let Some(mut item) = items.pop_front() {
            if let Some(reuse) = asks(&mut item) {
                let Some(row) = rows.next() else {
                    items.push_front(item);
                    break;
                };
                let answered = row.map(|row| Answered::new(row.answered_ms, row.body));
                let answered = answered.filter(|answered| reuse.takes(answered, now_ms));
                if let (Some(job), Some(answered)) = (job(&mut item), answered) {
                    job.known = Some(Arc::new(answered.with_room(&mut room)));
                }
            }
            piece.push(item);
        }
        piece
    }
}

#[cfg(test)]
mod tests;
