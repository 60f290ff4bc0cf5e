//! A step as it is kept beside the id of its job: there is one for every job that waits in memory or runs.

use super::Step;
use crate::id::{AttemptId, EgressId, FlowId, JobId};
use crate::time::Instant;

#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) standing: Standing,
    deadline: Instant,
    pub(super) flow: FlowId,
    avoid: Option<EgressId>,
    is_stored: bool,
}

/// Where a step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// In its flow.
    Waiting,
    /// In its flow; until then it avoids an egress.
    Avoiding(Instant),
    /// In its flow, beside a reading of the store.
    Aside,
    /// In back-off until then.
    Delayed(Instant),
    /// With an attempt, whose fields these are: side by side they leave the whole of it 16 bytes.
    Running { start: u32, count: u64 },
}

impl Standing {
    pub(super) const fn running(AttemptId { start, count }: AttemptId) -> Self {
        Self::Running { start, count }
    }
}

impl Held {
    pub(super) fn new(step: &Step, standing: Standing) -> Self {
        let Step { deadline, flow, avoid, is_stored, .. } = *step;
        Self { standing, deadline, flow, avoid, is_stored }
    }

    /// The attempt that runs.
    pub(super) fn running(&self) -> Option<AttemptId> {
        match self.standing {
            Standing::Running { start, count } => Some(AttemptId { start, count }),
            _ => None,
        }
    }

    /// The step of a job; a back-off is in its standing alone.
    pub(super) fn step(&self, job: JobId) -> Step {
        let Self { deadline, flow, avoid, is_stored, .. } = *self;
        Step { job, flow, deadline, not_before: Instant::ZERO, avoid, is_stored }
    }
}
