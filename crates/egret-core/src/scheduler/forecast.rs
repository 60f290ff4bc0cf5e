//! What forecasts and explanations ask of the scheduler beyond its ledgers: ways, and who waits before whom.

use std::collections::BTreeMap;
use std::time::Duration;

use super::flow::{Flow, Kind};
use super::{Class, Place, Scheduler, Standing};
use crate::forecast::order::{Line, ahead};
use crate::id::{EgressId, FlowId, JobId, ServiceId, TenantId};
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
        let agent = self.agents.of(egress);
        agent.map_or(Duration::ZERO, |agent| self.agents.get(agent).lead.get())
    }

    /// What a service has waiting, by class and tenant; back-offs, and flows that are held, are left out.
    pub fn lines(&self, service: ServiceId) -> Vec<Line<TenantId>> {
        let mut lines = BTreeMap::<(Class, TenantId), u64>::new();
        for flow in self.flows_of(service) {
            *lines.entry((flow.kind.class, flow.kind.tenant)).or_default() += flow.waiting();
        }
        let line = |((class, tenant), waiting)| {
            let weight = f64::from(self.weight(tenant));
            Line { class, tenant, weight, waiting }
        };
        lines.into_iter().map(line).collect()
    }

    /// What part a tenant has beside others of its class.
    pub fn weight(&self, tenant: TenantId) -> u32 {
        self.weights.get(&tenant).copied().unwrap_or(1).max(1)
    }

    /// Where the step of a job stands that waits in memory; `None`: it runs, or there is none.
    pub fn wait(&self, job: JobId) -> Option<Wait> {
        let held = self.steps.get(&job)?;
        let step = held.step(job);
        let not_before = match held.standing {
            Standing::Waiting | Standing::Avoiding(_) | Standing::Aside => None,
            Standing::Delayed(until) => Some(until),
            Standing::Running { .. } => return None,
        };
        let before = self.flows.get(&step.flow).map_or(0, |flow| flow.before(step.place()));
        Some(Wait { ahead: self.ahead(step.flow, step.place(), before), not_before })
    }

    /// The same for a job that waits in the store alone, with so many of its flow before it.
    pub fn wait_stored(&self, flow: FlowId, place: Place, before: u64) -> Wait {
        Wait { ahead: self.ahead(flow, place, before), not_before: None }
    }

    /// The same for the last step of a flow, in memory or not; `None`: none waits.
    pub fn wait_last(&self, flow: FlowId) -> Option<Wait> {
        let state = self.flows.get(&flow)?;
        let before = state.waiting().checked_sub(1)?;
        Some(Wait { ahead: self.ahead(flow, state.last()?, before), not_before: None })
    }

    fn ahead(&self, id: FlowId, place: Place, before: u64) -> u64 {
        let Some(flow) = self.flows.get(&id) else { return before };
        let Kind { service, class, tenant, .. } = flow.kind;
        let others = self.flows.iter().filter(|(other, state)| {
            **other != id
                && !state.is_held
                && (state.kind.service, state.kind.class, state.kind.tenant) == (service, class, tenant)
        });
        let before = before + others.map(|(_, state)| state.before(place)).sum::<u64>();
        ahead(&self.lines(service), class, &tenant, before)
    }

    fn flows_of(&self, service: ServiceId) -> impl Iterator<Item = &Flow> {
        self.flows.values().filter(move |flow| flow.kind.service == service && !flow.is_held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quota::{Quota, Terms};
    use crate::scheduler::{Event, FlowKind, Selector, Step};

    fn scheduler() -> Scheduler {
        let terms = Terms::sliding(vec![Quota::new(1, Duration::from_secs(1))]);
        let mut scheduler = Scheduler::new(vec![terms.rules()], 1, fastrand::Rng::with_seed(1));
        for class in Class::ALL {
            let (service, tenant, selector) = (ServiceId(0), TenantId(0), Selector::default());
            let kind = FlowKind { service, class, tenant, selector };
            let flow = FlowId(class as u32);
            scheduler.handle(Event::Open { flow, kind, stored: 0, last: None }, Instant::ZERO);
        }
        scheduler
    }

    fn step(job: u64, class: Class, not_before: Instant) -> Step {
        let deadline = Instant::from_micros(u64::MAX);
        let flow = FlowId(class as u32);
        Step { job: JobId(job), flow, deadline, not_before, avoid: None, is_stored: false }
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
