//! Agents that get nothing more to do: somebody wants it so, or they are about to stop.

use egret_core::id::{AgentId, EgressId};
use egret_core::scheduler::Event;
use egret_core::time::Instant;

use super::Drive;
use super::fleet::home;

impl Drive {
    /// Somebody wants an agent to take nothing more, or to take work again.
    pub(crate) fn order_drain(&mut self, agent: AgentId, is_drained: bool, now: Instant) {
        if is_drained {
            self.drained.insert(agent);
        } else {
            self.drained.remove(&agent);
        }
        self.heed_drain(agent, now);
    }

    /// An agent says that it is about to stop.
    pub(super) fn leaving(&mut self, agent: AgentId, session: u64, now: Instant) {
        let Some(connected) = self.fleet.agents.get_mut(&agent).filter(|a| a.session == session) else {
            return;
        };
        connected.is_leaving = true;
        tracing::info!(agent = connected.name, "agent is draining");
        self.heed_drain(agent, now);
    }

    /// Whether an agent gets nothing more to do.
    pub(super) fn is_draining(&self, agent: AgentId) -> bool {
        self.drained.contains(&agent) || self.fleet.agents.get(&agent).is_some_and(|agent| agent.is_leaving)
    }

    /// Lets the scheduler know of an agent's egresses what is so now.
    pub(super) fn heed_drain(&mut self, agent: AgentId, now: Instant) {
        let is_draining = self.is_draining(agent);
        let Some(connected) = self.fleet.agents.get(&agent) else { return };
        for egress in connected.egresses.clone() {
            let state = self.fleet.egress_mut(egress);
            if std::mem::replace(&mut state.is_draining, is_draining) != is_draining {
                let event =
                    if is_draining { Event::EgressDown(egress) } else { self.up_again(egress, agent) };
                self.scheduler.handle(event, now);
            }
        }
    }

    fn up_again(&self, egress: EgressId, agent: AgentId) -> Event {
        let state = self.fleet.egress(egress);
        Event::EgressUp { egress, agent, address: home(&state.address), tags: state.tags.clone() }
    }

    /// Whether calls are under way whose ends somebody will tell.
    pub(crate) fn is_busy(&self) -> bool {
        self.scheduler.in_flight() > 0 && !self.fleet.agents.is_empty()
    }
}
