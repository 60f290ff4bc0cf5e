//! Services that are added while work goes on: the scheduler learns them, and agents are told.
//!
//! Whoever needs a service adds it to [`Services`](crate::services::Services) before it speaks of it here, so it is
//! enough to look for new ones before each message.

use std::collections::BTreeSet;
use std::sync::Arc;

use egret_core::id::{AgentId, ServiceId};
use egret_core::scheduler::Event;
use egret_core::time::Instant;
use egret_wire::pattern::permits;

use super::Drive;
use crate::session::Outgoing;

impl Drive {
    /// Takes in services that were added since the last look.
    pub(super) fn meet_services(&mut self, now: Instant) {
        let known = self.scheduler.services();
        let new: Vec<ServiceId> = self.services.ids().skip(known).collect();
        if new.is_empty() {
            return;
        }
        new.iter().for_each(|service| self.scheduler.add(self.services.rules(*service)));
        for egress in self.fleet.ids().collect::<Vec<_>>() {
            // What an earlier start asked is known from the beginning of this one.
            if self.memory.owner(self.fleet.address(egress)).is_none() {
                new.iter().for_each(|service| self.meet(*service, egress, now));
            }
        }
        for agent in self.fleet.agents.keys().copied().collect::<Vec<_>>() {
            self.tell_of(agent, &new, now);
        }
    }

    /// The services that were taken in. Others may be added at any moment, and the scheduler knows nothing of them.
    pub(crate) fn service_ids(&self) -> impl Iterator<Item = ServiceId> + use<> {
        self.services.ids().take(self.scheduler.services())
    }

    /// The service of that id, if it was taken in.
    pub(super) fn find_service(&self, id: &str) -> Option<ServiceId> {
        self.services.find(id).filter(|service| (service.0 as usize) < self.scheduler.services())
    }

    /// Tells an agent of new services, before it is granted a call of one.
    fn tell_of(&mut self, agent: AgentId, new: &[ServiceId], now: Instant) {
        let Some(connected) = self.fleet.agents.get(&agent) else { return };
        let name = |service: &ServiceId| self.services.name(*service);
        let may_ask = |service: &&ServiceId| {
            permits(&connected.patterns, name(service)) && permits(&connected.permits, name(service))
        };
        let more: BTreeSet<ServiceId> = new.iter().filter(|service| !may_ask(service)).copied().collect();
        let all = self.scheduler.services();
        let told = self.services.policies(all - new.len()..all, &connected.patterns);
        let (session, egresses) = (connected.session, connected.egresses.clone());
        let is_told = told.is_empty() || connected.outgoing.try_send(Outgoing::Added(told)).is_ok();
        if !is_told {
            // It takes no frames: its next session begins with all of them.
            return self.leave(agent, session, now);
        }
        if !more.is_empty() {
            let old = egresses.first().map(|egress| Arc::clone(&self.fleet.egress(*egress).barred));
            let barred: Arc<BTreeSet<ServiceId>> =
                Arc::new(old.iter().flat_map(|old| old.iter().copied()).chain(more).collect());
            for egress in egresses {
                self.fleet.egress_mut(egress).barred = Arc::clone(&barred);
            }
            self.scheduler.handle(Event::Bar { agent, services: (*barred).clone() }, now);
        }
    }
}
