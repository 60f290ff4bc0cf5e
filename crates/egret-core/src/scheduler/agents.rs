//! The agents that grants go to, and for which egresses they speak.
//!
//! Every decision looks at one, so each has an index while it is known, and what is looked at lies together.

use std::collections::BTreeSet;

use super::Map;
use super::lead::Lead;
use crate::id::{AgentId, EgressId, ServiceId};

/// The index of an agent; given to another one when its session is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AgentIndex(u32);

/// What a decision looks at.
#[derive(Debug)]
pub(super) struct Agent {
    pub(super) id: AgentId,
    pub(super) credit: u32,
    /// There are services that it is granted nothing of.
    is_barred: bool,
    pub(super) lead: Lead,
}

/// What it does not.
#[derive(Debug, Default)]
struct Holdings {
    egresses: BTreeSet<EgressId>,
    /// Services that it is granted nothing of.
    barred: BTreeSet<ServiceId>,
    /// Seats that had budget when there was no credit.
    starved: BTreeSet<(ServiceId, EgressId)>,
}

#[derive(Debug, Default)]
pub(super) struct Agents {
    list: Vec<Agent>,
    holdings: Vec<Holdings>,
    by_id: Map<AgentId, AgentIndex>,
    by_egress: Vec<Option<AgentIndex>>,
    free: Vec<AgentIndex>,
}

impl Agents {
    /// Who speaks for an egress.
    pub(super) fn of(&self, egress: EgressId) -> Option<AgentIndex> {
        self.by_egress.get(egress.0 as usize).copied().flatten()
    }

    pub(super) fn get(&self, index: AgentIndex) -> &Agent {
        &self.list[index.0 as usize]
    }

    pub(super) fn get_mut(&mut self, index: AgentIndex) -> &mut Agent {
        &mut self.list[index.0 as usize]
    }

    /// An agent speaks for an egress that nobody speaks for.
    pub(super) fn bind(&mut self, id: AgentId, egress: EgressId) {
        let agent = self.meet(id);
        let index = egress.0 as usize;
        if self.by_egress.len() <= index {
            self.by_egress.resize(index + 1, None);
        }
        self.by_egress[index] = Some(agent);
        self.holdings[agent.0 as usize].egresses.insert(egress);
    }

    /// Nobody speaks for an egress any more.
    pub(super) fn release(&mut self, egress: EgressId) {
        let agent = self.by_egress.get_mut(egress.0 as usize).and_then(Option::take);
        if let Some(agent) = agent {
            self.holdings[agent.0 as usize].egresses.remove(&egress);
        }
    }

    /// Forgets an agent, which speaks for no egress any more; returns those that it spoke for.
    pub(super) fn forget(&mut self, id: AgentId) -> BTreeSet<EgressId> {
        let Some(index) = self.by_id.remove(&id) else { return BTreeSet::new() };
        self.free.push(index);
        let egresses = std::mem::take(&mut self.holdings[index.0 as usize]).egresses;
        for egress in &egresses {
            self.by_egress[egress.0 as usize] = None;
        }
        egresses
    }

    /// An agent takes so many more grants; returns the seats that waited for it.
    pub(super) fn credit(&mut self, id: AgentId, grants: u32) -> BTreeSet<(ServiceId, EgressId)> {
        let index = self.meet(id);
        let agent = self.get_mut(index);
        agent.credit = agent.credit.saturating_add(grants);
        std::mem::take(&mut self.holdings[index.0 as usize].starved)
    }

    /// An agent is granted nothing of these services from now on.
    pub(super) fn bar(&mut self, id: AgentId, services: BTreeSet<ServiceId>) {
        let index = self.meet(id);
        self.get_mut(index).is_barred = !services.is_empty();
        self.holdings[index.0 as usize].barred = services;
    }

    /// Whether an agent is granted nothing of a service.
    pub(super) fn is_barred(&self, index: AgentIndex, service: ServiceId) -> bool {
        self.get(index).is_barred && self.holdings[index.0 as usize].barred.contains(&service)
    }

    /// A seat waits for more credit.
    pub(super) fn starve(&mut self, index: AgentIndex, service: ServiceId, egress: EgressId) {
        self.holdings[index.0 as usize].starved.insert((service, egress));
    }

    fn meet(&mut self, id: AgentId) -> AgentIndex {
        if let Some(index) = self.by_id.get(&id) {
            return *index;
        }
        let fresh = Agent { id, credit: 0, is_barred: false, lead: Lead::default() };
        let index = match self.free.pop() {
            Some(index) => {
                self.list[index.0 as usize] = fresh;
                index
            }
            None => {
                self.list.push(fresh);
                self.holdings.push(Holdings::default());
                AgentIndex(u32::try_from(self.list.len() - 1).unwrap_or(u32::MAX))
            }
        };
        self.by_id.insert(id, index);
        index
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_that_comes_back_has_nothing_of_what_it_had_and_another_takes_its_place() {
        let (mut agents, egress) = (Agents::default(), EgressId(3));
        let credit = |agents: &Agents| agents.of(egress).map(|agent| agents.get(agent).credit);
        agents.bind(AgentId(1), egress);
        agents.credit(AgentId(1), 5);
        assert_eq!(credit(&agents), Some(5));
        assert_eq!(agents.forget(AgentId(1)), BTreeSet::from([egress]));
        assert_eq!((credit(&agents), agents.forget(AgentId(1))), (None, BTreeSet::new()));
        agents.bind(AgentId(2), egress);
        assert_eq!((credit(&agents), agents.list.len()), (Some(0), 1));
        agents.release(egress);
        agents.bind(AgentId(1), egress);
        assert_eq!((credit(&agents), agents.forget(AgentId(2))), (Some(0), BTreeSet::new()));
    }

    #[test]
    fn seats_that_starve_are_told_once_of_credit() {
        let (mut agents, seat) = (Agents::default(), (ServiceId(0), EgressId(0)));
        agents.bind(AgentId(1), seat.1);
        let agent = agents.of(seat.1).expect("it was bound");
        agents.starve(agent, seat.0, seat.1);
        assert_eq!(agents.credit(AgentId(1), 1), BTreeSet::from([seat]));
        assert_eq!(agents.credit(AgentId(1), 1), BTreeSet::new());
    }
}
