//! What a forecast asks of the scheduler beyond its ledgers: ways, and who waits before whom.

use std::time::Duration;

use super::Scheduler;
use crate::id::EgressId;

impl Scheduler {
    /// How long a grant and its report are on their way together, to and from the agent that speaks for an egress;
    /// nothing until that was measured.
    pub fn way(&self, egress: EgressId) -> Duration {
        let agent = self.egresses.get(egress.0 as usize).and_then(|state| state.agent);
        agent.and_then(|agent| self.agents.get(&agent)).map_or(Duration::ZERO, |agent| agent.lead.get())
    }
}
