//! When waiting jobs will have been answered: played away from the drive, once at a time for each service, and kept for
//! a second.

use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use egret_core::forecast::Drain;
use egret_core::id::{BatchId, ServiceId};
use egret_core::scheduler::Wait;
use egret_core::time::Instant;
use egret_wire::problem::Code;
use egret_wire::value::Time;
use tokio::sync::Mutex;

use super::{Failure, Shared};
use crate::drive::{Foresight, Last};

/// How long an estimate is good for.
const KEPT: Duration = Duration::from_secs(1);
/// Calls that are played beyond twice those that wait (chosen).
const ROOM: u64 = 1_000;

/// The latest estimate of each service.
pub(crate) struct Estimates {
    slots: DashMap<ServiceId, Arc<Mutex<Option<Arc<Estimate>>>>>,
    /// Held while a plan is played.
    pub(super) plans: Mutex<()>,
}

/// How the calls that wait for a service will leave.
pub(super) struct Estimate {
    foresight: Foresight,
    /// Calls that were played.
    calls: u64,
    /// `None`: nothing leaves as things stand.
    drain: Option<Drain>,
}

impl Estimates {
    pub(crate) fn new() -> Self {
        Self { slots: DashMap::new(), plans: Mutex::default() }
    }
}

impl Estimate {
    /// When the one with this place leaves.
    pub(super) fn start(&self, wait: Wait) -> Option<Time> {
        Some(self.foresight.time(self.leaves(wait)?))
    }

    /// When it is answered.
    pub(super) fn finish(&self, wait: Wait) -> Option<Time> {
        Some(self.foresight.time(self.leaves(wait)? + self.foresight.takes))
    }

    /// When those that are under way are answered.
    pub(super) fn landed(&self) -> Time {
        self.foresight.time(self.foresight.now + self.foresight.takes)
    }

    /// When the last one that waits is answered, or that is under way; `None` also if there is none.
    pub(super) fn last(&self) -> Option<Time> {
        match (self.foresight.waiting, self.foresight.running) {
            (0, 0) => None,
            (0, _) => Some(self.landed()),
            (waiting, _) => self.finish(Wait { ahead: waiting - 1, not_before: None }),
        }
    }

    /// When one more leaves, after all that wait; `None`: nothing leaves as things stand.
    pub(super) fn next(&self) -> Option<Instant> {
        self.leaves(Wait { ahead: self.foresight.waiting, not_before: None })
    }

    fn leaves(&self, wait: Wait) -> Option<Instant> {
        let at = self.drain.as_ref()?.sent_at(wait.ahead + 1)?;
        Some(wait.not_before.map_or(at, |until| at.max(until)))
    }
}

impl Shared {
    /// The estimate of a service, at most a second old, or no older than the latest pause or
    /// change of the fleet, for so many calls at least.
    ///
    /// # Errors
    /// `not_ready`: the coordinator is stopping.
    pub(super) async fn estimate(&self, service: ServiceId, calls: u64) -> Result<Arc<Estimate>, Failure> {
        let slot = Arc::clone(&self.estimates.slots.entry(service).or_default());
        let state = self.ask(move |drive, _| drive.footing(service)).await?;
        // Held while it is played: whoever else asks gets the same one.
        let mut kept = slot.lock().await;
        let is_fresh = |kept: &&Arc<Estimate>| {
            kept.calls >= calls
                && kept.foresight.footing == state
                && self.clock.now().since(kept.foresight.now) < KEPT
        };
        if let Some(estimate) = kept.as_ref().filter(is_fresh) {
            return Ok(Arc::clone(estimate));
        }
        let foresight = self.ask(move |drive, now| drive.foresee(service, now)).await?;
        let estimate = Arc::new(
            played(move || {
                // With room, so that work that comes meanwhile needs no other play.
                let calls = calls.max(foresight.waiting).saturating_mul(2).saturating_add(ROOM);
                let drain = (!foresight.footing.is_at_rest).then(|| foresight.forecast.drain(calls));
                Estimate { foresight, calls, drain }
            })
            .await?,
        );
        *kept = Some(Arc::clone(&estimate));
        Ok(estimate)
    }

    /// When the last open job of a batch is answered; `None` while that cannot be foreseen, or if none is open.
    pub(super) async fn batch_finish(&self, batch: BatchId) -> Result<Option<Time>, Failure> {
        let lasts = self.ask(move |drive, _| drive.last_of(batch)).await?;
        let mut finish = None;
        for Last { service, wait } in lasts {
            let calls = wait.map_or(0, |wait| wait.ahead + 1);
            let estimate = self.estimate(service, calls).await?;
            let Some(at) = wait.map_or(Some(estimate.landed()), |wait| estimate.finish(wait)) else {
                return Ok(None);
            };
            finish = finish.max(Some(at));
        }
        Ok(finish)
    }
}

/// Runs what takes milliseconds where nobody waits for it.
pub(super) async fn played<T: Send + 'static>(
    play: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    let ended = tokio::task::spawn_blocking(play).await;
    ended.map_err(|error| Failure::new(Code::Internal, format!("the forecast failed: {error}")))
}
