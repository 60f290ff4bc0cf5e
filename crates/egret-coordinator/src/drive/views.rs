//! What the drive knows, in the shapes of the API.

use egret_core::id::{AgentId, EgressId, JobId, ServiceId};
use egret_core::ledger::{Ledger, Ready};
use egret_core::time::Instant;
use egret_wire::api::{AttemptView, BudgetView, JobState, ServiceQuota};
use egret_wire::value::Time;

use super::Drive;
use crate::clock::wall_ms;
use crate::services::rules;

/// What only the drive knows of a job.
pub(crate) enum Live {
    /// It is open.
    Open(JobState, Vec<AttemptView>),
    /// It has ended; the record may not be on disk yet.
    Ended(std::sync::Arc<egret_store::OutcomeRow>),
    /// The drive does not know it (any more).
    Unknown,
}

/// What only the drive knows of an agent.
pub(crate) struct AgentLive {
    pub(crate) id: AgentId,
    pub(crate) version: String,
    pub(crate) egresses: Vec<String>,
    pub(crate) credit: u32,
    pub(crate) seen_ms: u64,
}

impl Drive {
    pub(crate) fn live(&self, job: JobId) -> Live {
        if let Some(outcome) = self.ending.get(&job) {
            return Live::Ended(std::sync::Arc::clone(outcome));
        }
        let Some(open) = self.jobs.get(&job) else { return Live::Unknown };
        let state = if self.scheduler.running(job).is_some() { JobState::Running } else { JobState::Queued };
        Live::Open(state, open.attempts.clone())
    }

    pub(crate) fn agents(&self) -> Vec<AgentLive> {
        let live = |(id, connected): (&AgentId, &super::Connected)| AgentLive {
            id: *id,
            version: connected.version.clone(),
            egresses: connected
                .egresses
                .iter()
                .map(|egress| self.fleet.address(*egress).to_owned())
                .collect(),
            credit: connected.credit,
            seen_ms: connected.seen.1,
        };
        self.fleet.agents.iter().map(live).collect()
    }

    /// The budgets of a service: of the egresses it has used, or of all; of one, if it is named.
    pub(crate) fn quota(
        &self,
        service: ServiceId,
        only: Option<&str>,
        all: bool,
        now: Instant,
    ) -> ServiceQuota {
        let (queued, running) = self.scheduler.backlog(service);
        let config = self.services.config(service);
        let per_minute =
            |rule: &egret_wire::agent::QuotaRule| f64::from(rule.units) * 60.0 / rule.per.0.as_secs_f64();
        let tightest = rules(config).iter().map(per_minute).fold(f64::INFINITY, f64::min);
        let fresh = Ledger::default();
        let mut budgets = Vec::new();
        for egress in self.fleet.ids() {
            let used = self.scheduler.seat(service, egress);
            if used.is_none() && !all || only.is_some_and(|address| address != self.fleet.address(egress)) {
                continue;
            }
            budgets.extend(self.budgets(service, egress, used.unwrap_or(&fresh), now));
        }
        ServiceQuota {
            service: config.lookup.id().to_owned(),
            queued: queued as u64,
            running: running as u64,
            capacity_per_minute: tightest * self.fleet.up() as f64,
            budgets,
        }
    }

    fn budgets(
        &self,
        service: ServiceId,
        egress: EgressId,
        ledger: &Ledger,
        now: Instant,
    ) -> Vec<BudgetView> {
        let limits = self.scheduler.limits(service);
        let wall = wall_ms();
        let time =
            |at: Instant| Time(wall + u64::try_from(at.since(now).as_micros().div_ceil(1_000)).unwrap_or(0));
        let next_at = match ledger.ready(limits, now) {
            Ready::Now => Some(Time(wall)),
            Ready::At(at) => Some(time(at)),
            Ready::OnCompletion => None,
        };
        let rest = ledger.rest().filter(|rest| rest.until > now);
        let view = |(index, quota): (usize, egret_wire::agent::QuotaRule)| {
            let used = ledger.used(limits, index, now);
            BudgetView {
                scope: "ip".to_owned(),
                key: self.fleet.address(egress).to_owned(),
                quota,
                used,
                remaining: quota.units.saturating_sub(used),
                next_at,
                resets_at: time(ledger.resets_at(limits, index, now)),
                cooling_until: rest.map(|rest| time(rest.until)),
                cooling_why: rest.map(|rest| match rest.refusals {
                    1 => "the service refused a call".to_owned(),
                    n => format!("the service refused {n} calls in a row"),
                }),
                refusals: ledger.rest().map_or(0, |rest| rest.refusals),
            }
        };
        rules(self.services.config(service)).into_iter().enumerate().map(view).collect()
    }
}
