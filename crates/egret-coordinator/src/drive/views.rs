//! What the drive knows, in the shapes of the API.

use std::collections::BTreeMap;

use egret_core::id::{AgentId, EgressId, JobId, ServiceId};
use egret_core::ledger::{Ledger, Ready, Rest};
use egret_core::quota::{Limits, Quota, Window};
use egret_core::scheduler::Shared;
use egret_core::scope::{Scope, ScopeKey};
use egret_core::time::Instant;
use egret_wire::api::{AttemptView, BudgetView, HeldBy, JobState, ServiceQuota};
use egret_wire::value::Time;

use super::Drive;
use crate::services::rule;

/// Checkpoints, two seconds apart, over which the utilisation is smoothed (chosen: about a minute).
const SMOOTHING: f64 = 32.0;

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
    pub(crate) is_draining: bool,
}

impl Drive {
    pub(crate) fn live(&self, job: JobId) -> Live {
        if let Some(outcome) = self.ending.get(&job) {
            return Live::Ended(std::sync::Arc::clone(outcome));
        }
        let Some(open) = self.jobs.get(&job) else { return Live::Unknown };
        let is_running = self.scheduler.running(self.asker(job)).is_some();
        let state = if is_running { JobState::Running } else { JobState::Queued };
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
            is_draining: self.is_draining(*id),
        };
        self.fleet.agents.iter().map(live).collect()
    }

    /// The budgets of a service: of the egresses it has used, or of all; of one, if it is named. When its work will have
    /// ended is not said here: that takes too long for a turn.
    pub(crate) fn quota(
        &self,
        service: ServiceId,
        only: Option<&str>,
        all: bool,
        now: Instant,
    ) -> ServiceQuota {
        let (queued, running) = self.scheduler.backlog(service);
        let fresh = Ledger::default();
        let mut budgets = Vec::new();
        for egress in self.fleet.ids() {
            let used = self.scheduler.seat(service, egress);
            let address = self.fleet.address(egress);
            if used.is_none() && !all || only.is_some_and(|only| only != address) {
                continue;
            }
            let (ready, held_by) = self.scheduler.outlook(service, egress, now);
            let held_by =
                held_by.map(|shared| HeldBy { scope: shared.scope.word(), key: shared.key.to_string() });
            let limits = &self.scheduler.rules(service).own;
            let of = Budget { limits, ledger: used.unwrap_or(&fresh), key: address, ready, held_by };
            budgets.extend(self.budgets(service, |scope| *scope == Scope::Ip, &of, now));
        }
        let shared: Vec<Shared<'_>> = match only.map(|address| self.fleet.find(address)) {
            None => self.scheduler.shared(service).collect(),
            Some(egress) => egress.into_iter().flat_map(|e| self.scheduler.shares(service, e)).collect(),
        };
        for Shared { scope, key, limits, ledger } in shared {
            let (key, ready) = (key.to_string(), ledger.ready(limits, now));
            let of = Budget { limits, ledger, key: &key, ready, held_by: None };
            budgets.extend(self.budgets(service, |other| other == scope, &of, now));
        }
        ServiceQuota {
            service: self.services.name(service).to_owned(),
            queued: queued as u64,
            running: running as u64,
            capacity_per_minute: self.capacity_per_minute(service),
            utilisation: self.utilisation.get(&service).copied().filter(|_| queued > 0),
            finish_estimate: None,
            budgets,
        }
    }

    /// One view for each quota of a scope, in the order of the configuration.
    fn budgets(
        &self,
        service: ServiceId,
        is_of: impl Fn(&Scope) -> bool,
        of: &Budget<'_>,
        now: Instant,
    ) -> Vec<BudgetView> {
        let wall = self.clock.wall_ms();
        let time =
            |at: Instant| Time(wall + u64::try_from(at.since(now).as_micros().div_ceil(1_000)).unwrap_or(0));
        let next_at = match of.ready {
            Ready::Now => Some(Time(wall)),
            Ready::At(at) => Some(time(at)),
            Ready::OnCompletion => None,
        };
        let rest = of.ledger.rest().filter(|rest| rest.until > now);
        let empty = of.ledger.left(now).filter(|(left, _)| *left == 0);
        let cooling = rest.map(|rest| (rest.until, why(&rest)));
        let cooling =
            cooling.or(empty.map(|(_, until)| (until, "the service says that nothing is left".to_owned())));
        let terms = &self.services.config(service).terms;
        let quotas = terms.quotas_in_force();
        let view = |(index, quota): (usize, &Quota)| {
            let used = of.ledger.used(of.limits, index, now).saturating_mul(terms.cost);
            BudgetView {
                scope: quota.scope.word(),
                key: of.key.to_owned(),
                quota: rule(quota),
                used,
                remaining: quota.capacity(terms.counting).saturating_sub(used),
                next_at,
                held_by: of.held_by.clone(),
                resets_at: time(of.ledger.resets_at(of.limits, index, now)),
                cooling_until: cooling.as_ref().map(|(until, _)| time(*until)),
                cooling_why: cooling.as_ref().map(|(_, why)| why.clone()),
                refusals: of.ledger.rest().map_or(0, |rest| rest.refusals),
            }
        };
        quotas.iter().filter(|quota| is_of(&quota.scope)).enumerate().map(view).collect()
    }

    /// What the egresses that are up may send in a minute: each by its own quotas, and together by what they share.
    fn capacity_per_minute(&self, service: ServiceId) -> f64 {
        let terms = &self.services.config(service).terms;
        let per_minute = |quota: &Quota| {
            f64::from(quota.usable()) * 60.0 / quota.per.as_secs_f64() / f64::from(terms.cost.max(1))
        };
        let quotas = terms.quotas_in_force();
        let tightest = |scope: &Scope| {
            quotas.iter().filter(|q| q.scope == *scope).map(per_minute).fold(f64::INFINITY, f64::min)
        };
        let own = tightest(&Scope::Ip);
        let mut capacity = own * self.fleet.serving(service) as f64;
        for (scope, _) in
            self.scheduler.rules(service).wide.iter().filter(|(_, limits)| !limits.windows.is_empty())
        {
            let mut members = BTreeMap::<Option<ScopeKey>, usize>::new();
            for (ip, tags) in self.fleet.homes(service) {
                *members.entry(scope.key(ip, tags)).or_default() += 1;
            }
            let together = members.into_iter().map(|(key, count)| match key {
                Some(_) => tightest(scope).min(own * count as f64),
                None => own * count as f64,
            });
            capacity = capacity.min(together.sum());
        }
        // No quota of its own, and nobody up: nothing.
        if capacity.is_finite() { capacity } else { 0.0 }
    }

    /// Notes how full the budgets are of services that work waits for.
    ///
    /// A unit is in use from its grant until a window after the answer, so the part of all units that is in use is the
    /// rate of calls in parts of the highest that the quota and the time of answers allow.
    pub(super) fn measure(&mut self, now: Instant) {
        for service in self.service_ids() {
            if self.scheduler.backlog(service).0 == 0 {
                self.utilisation.remove(&service);
                continue;
            }
            let ups: Vec<EgressId> = self.serving(service).collect();
            if ups.is_empty() {
                continue;
            }
            let sum: f64 = ups.iter().map(|egress| self.fullness(service, *egress, now)).sum();
            let mean = sum / ups.len() as f64;
            let smoothed = self.utilisation.entry(service).or_insert(mean);
            *smoothed += (mean - *smoothed) / SMOOTHING;
        }
    }

    /// The part in use of the fullest budget that calls from an egress count towards.
    fn fullness(&self, service: ServiceId, egress: EgressId, now: Instant) -> f64 {
        let full = |ledger: &Ledger, limits: &Limits| {
            let part = |(index, window): (usize, &Window)| {
                f64::from(ledger.used(limits, index, now)) / f64::from(window.units.max(1))
            };
            limits.windows.iter().enumerate().map(part).fold(0.0, f64::max)
        };
        let own = self.scheduler.seat(service, egress);
        let own = own.map_or(0.0, |ledger| full(ledger, &self.scheduler.rules(service).own));
        let shared = self.scheduler.shares(service, egress).map(|shared| full(shared.ledger, shared.limits));
        shared.fold(own, f64::max).min(1.0)
    }
}

/// A ledger to be shown.
struct Budget<'a> {
    limits: &'a Limits,
    ledger: &'a Ledger,
    key: &'a str,
    ready: Ready,
    held_by: Option<HeldBy>,
}

/// Why it rests, in words.
pub(super) fn why(rest: &Rest) -> String {
    let named = if rest.is_named { " and said how long to wait" } else { "" };
    match rest.refusals {
        0 => "somebody asked for it".to_owned(),
        1 => format!("the service refused a call{named}"),
        n => format!("the service refused {n} calls in a row{named}"),
    }
}
