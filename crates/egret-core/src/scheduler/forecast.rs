//! What forecasts and explanations ask of the scheduler beyond its ledgers: ways, and who waits before whom.

use std::time::Duration;

use super::{Class, Scheduler, Standing};
use crate::forecast::order::{Line, ahead};
use crate::id::{EgressId, JobId, ServiceId};
use crate::time::Instant;

/// Where a waiting step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Steps of its service that are handed out before it.
    pub ahead: u64,
    /// It is not handed out before: its back-off.
    pub not_before: Option<Instant>,
}

impl Scheduler {
    /// How long a grant and its report are on their way together, to and from the agent that speaks for an egress;
    /// nothing until that was measured.
    pub fn way(&self, egress: EgressId) -> Duration {
        let agent = self.egresses.get(egress.0 as usize).and_then(|state| state.agent);
        agent.and_then(|agent| self.agents.get(&agent)).map_or(Duration::ZERO, |agent| agent.lead.get())
    }

    /// What a service has waiting, by class; back-offs are left out.
    pub fn lines(&self, service: ServiceId) -> Vec<Line<()>> {
        let queue = &self.lanes[service.0 as usize].queue;
        let line = |class| Line { class, tenant: (), weight: 1.0, waiting: queue.waiting(class) as u64 };
        [Class::Interactive, Class::Normal, Class::Bulk].map(line).to_vec()
    }

    /// Where the step of a job stands that waits; `None`: it runs, or there is none.
    pub fn wait(&self, job: JobId) -> Option<Wait> {
        let (step, standing) = self.steps.get(&job)?;
        let not_before = match standing {
            Standing::Waiting => None,
            Standing::Delayed(until) => Some(*until),
            Standing::Running(_) => return None,
        };
        let before = self.lanes[step.service.0 as usize].queue.before(step.class, step.deadline, job);
        let ahead = ahead(&self.lines(step.service), step.class, &(), before as u64);
        Some(Wait { ahead, not_before })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quota::{Counting, Quota, Terms};
    use crate::scheduler::{Event, Step};

    fn scheduler() -> Scheduler {
        let terms = Terms {
            quotas: vec![Quota::new(1, Duration::from_secs(1))],
            counting: Counting::Sliding,
            cost: 1,
            concurrency: None,
            cool_down: Duration::from_secs(1),
            max_cool_down: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            linger: Duration::ZERO,
        };
        Scheduler::new(vec![terms.rules()], 1, fastrand::Rng::with_seed(1))
    }

    fn step(job: u64, class: Class, not_before: Instant) -> Step {
        let deadline = Instant::from_micros(u64::MAX);
        Step { job: JobId(job), service: ServiceId(0), class, deadline, not_before, avoid: None }
    }

    #[test]
    fn a_step_waits_behind_its_own_class_and_the_shares_of_the_others() {
        let (mut scheduler, now) = (scheduler(), Instant::from_micros(1_000_000_000));
        let later = now + Duration::from_secs(5);
        for job in 0..100 {
            let class = if job < 40 { Class::Normal } else { Class::Bulk };
            scheduler.handle(Event::Enqueue(step(job, class, Instant::ZERO)), now);
        }
        scheduler.handle(Event::Enqueue(step(100, Class::Normal, later)), now);
        let waiting: Vec<u64> = scheduler.lines(ServiceId(0)).iter().map(|line| line.waiting).collect();
        assert_eq!(waiting, [0, 40, 60]);
        let ahead = |job| scheduler.wait(JobId(job)).map(|wait| wait.ahead);
        assert_eq!((ahead(0), ahead(20)), (Some(0), Some(25)));
        assert_eq!((ahead(99), ahead(7_000)), (Some(99), None));
        let backing_off = scheduler.wait(JobId(100)).unwrap();
        assert_eq!((backing_off.ahead, backing_off.not_before), (50, Some(later)));
    }
}
