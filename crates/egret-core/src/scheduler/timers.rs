//! When each service is to be looked at by time alone, and which of them first.
//!
//! A tournament: the services stand at the leaves, and every node above is the earlier of the two below it. So a change
//! costs one walk to the top, and nothing is left behind by it.

use crate::id::ServiceId;
use crate::time::Instant;

/// The end of the clock.
const NEVER: Instant = Instant::from_micros(u64::MAX);

#[derive(Debug)]
pub(super) struct Timers {
    /// The winner of all at 1, those of `n`'s two halves at `2n` and `2n + 1`; the second half are the leaves.
    nodes: Vec<(Instant, ServiceId)>,
}

impl Timers {
    pub(super) fn new(services: usize) -> Self {
        Self { nodes: vec![(NEVER, ServiceId(u32::MAX)); 2 * services.next_power_of_two()] }
    }

    /// Makes room for one more service, if there is none: `services` is their number from now on.
    pub(super) fn grow(&mut self, services: usize) {
        let leaves = self.nodes.len() / 2;
        if services > leaves {
            let old = std::mem::replace(self, Self::new(services));
            let set = old.nodes[leaves..].iter().filter(|(at, _)| *at < NEVER);
            set.for_each(|(at, service)| self.set(*service, Some(*at)));
        }
    }

    /// When the first service is to be looked at.
    pub(super) fn first(&self) -> Option<Instant> {
        Some(self.nodes[1].0).filter(|at| *at < NEVER)
    }

    /// The first service whose time has come; its timer is not set any more.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<ServiceId> {
        let (at, service) = self.nodes[1];
        if at > now || at == NEVER {
            return None;
        }
        self.set(service, None);
        Some(service)
    }

    /// Sets the timer of a service to another instant, or to none.
    pub(super) fn set(&mut self, service: ServiceId, at: Option<Instant>) {
        let mut index = self.nodes.len() / 2 + service.0 as usize;
        self.nodes[index] = (at.unwrap_or(NEVER), service);
        while index > 1 {
            let winner = self.nodes[index].min(self.nodes[index ^ 1]);
            index /= 2;
            if self.nodes[index] == winner {
                return;
            }
            self.nodes[index] = winner;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_timer_that_is_set_stays_set_when_services_are_added() {
        let mut timers = Timers::new(1);
        timers.set(ServiceId(0), Some(Instant::from_micros(7)));
        (2..=9).for_each(|services| timers.grow(services));
        timers.set(ServiceId(8), Some(Instant::from_micros(3)));
        let now = Instant::from_micros(9);
        assert_eq!([(); 3].map(|()| timers.pop_due(now)), [Some(ServiceId(8)), Some(ServiceId(0)), None]);
    }

    proptest! {
        #[test]
        fn services_come_up_in_the_order_of_their_latest_instants(
            services in 1u32..40,
            acts in prop::collection::vec((any::<u32>(), prop::option::of(0u64..50), prop::bool::ANY), 0..200),
        ) {
            let mut timers = Timers::new(0);
            (1..=services as usize).for_each(|services| timers.grow(services));
            let mut naive = BTreeMap::new();
            for (number, micros, is_time) in acts {
                let (service, at) = (ServiceId(number % services), micros.map(Instant::from_micros));
                if let Some(now) = at.filter(|_| is_time) {
                    let due = naive.iter().map(|(service, at)| (*at, *service)).min().filter(|due| due.0 <= now);
                    prop_assert_eq!(timers.pop_due(now), due.map(|due: (Instant, ServiceId)| due.1));
                    due.and_then(|due| naive.remove(&due.1));
                } else {
                    timers.set(service, at);
                    naive.remove(&service);
                    naive.extend(at.map(|at| (service, at)));
                }
                prop_assert_eq!(timers.first(), naive.values().min().copied());
            }
        }
    }
}
