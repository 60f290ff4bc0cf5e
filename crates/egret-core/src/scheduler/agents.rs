//! The agents that grants go to. Each has an index for as long as it is known, since every decision looks at one.

use std::collections::BTreeSet;

use super::Map;
use super::lead::Lead;
use crate::id::{AgentId, EgressId, ServiceId};

/// The index of an agent; given to another one when its session is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AgentIndex(u32);

#[derive(Debug)]
pub(super) struct Agent {
    pub(super) id: AgentId,
    pub(super) credit: u32,
    pub(super) lead: Lead,
    pub(super) egresses: BTreeSet<EgressId>,
    /// Seats that had budget when there was no credit.
    pub(super) starved: BTreeSet<(ServiceId, EgressId)>,
}

impl Agent {
    fn new(id: AgentId) -> Self {
        Self { id, credit: 0, lead: Lead::default(), egresses: BTreeSet::new(), starved: BTreeSet::new() }
    }
}

#[derive(Debug, Default)]
pub(super) struct Agents {
    list: Vec<Agent>,
    by_id: Map<AgentId, AgentIndex>,
    free: Vec<AgentIndex>,
}

impl Agents {
    /// The index of an agent; known from now on.
    pub(super) fn meet(&mut self, id: AgentId) -> AgentIndex {
        *self.by_id.entry(id).or_insert_with(|| {
            let fresh = Agent::new(id);
            if let Some(index) = self.free.pop() {
                self.list[index.0 as usize] = fresh;
                return index;
            }
            self.list.push(fresh);
            AgentIndex(u32::try_from(self.list.len() - 1).unwrap_or(u32::MAX))
        })
    }

    /// Forgets an agent; nothing names its index any more once its egresses have been taken from it.
    pub(super) fn forget(&mut self, id: AgentId) -> Option<BTreeSet<EgressId>> {
        let index = self.by_id.remove(&id)?;
        self.free.push(index);
        let agent = std::mem::replace(self.get_mut(index), Agent::new(id));
        Some(agent.egresses)
    }

    pub(super) fn get(&self, index: AgentIndex) -> &Agent {
        &self.list[index.0 as usize]
    }

    pub(super) fn get_mut(&mut self, index: AgentIndex) -> &mut Agent {
        &mut self.list[index.0 as usize]
    }
}
