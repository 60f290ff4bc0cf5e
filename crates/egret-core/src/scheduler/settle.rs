//! What has come of calls: every ledger that they concern is charged, and those that were refused rest.

use std::sync::Arc;
use std::time::Duration;

use super::lane::Lane;
use super::{Command, Flight, Scheduler, Settlement, Standing, Whose};
use crate::id::{AttemptId, EgressId, ServiceId};
use crate::time::Instant;

impl Scheduler {
    pub(super) fn settle(
        &mut self,
        attempt: AttemptId,
        service: ServiceId,
        egress: EgressId,
        settlement: Settlement,
        at_agent: Option<Duration>,
        now: Instant,
    ) {
        let spread = self.rng.f64();
        let Some(flight) = self.flights.remove(&attempt) else {
            if self.lost.remove(&attempt) {
                self.settle_late(service, egress, settlement, spread, now);
            }
            return;
        };
        let Flight { job, service, egress, shares, granted_at, lost_at, .. } = flight;
        if let Some(at_agent) = at_agent.filter(|_| attempt.start == self.start) {
            let agent = self.egresses[egress.0 as usize].agent;
            if let Some(agent) = agent.and_then(|agent| self.agents.get_mut(&agent)) {
                agent.lead.observe(now.since(granted_at).saturating_sub(at_agent));
            }
        }
        if self.steps.get(&job).is_some_and(|(_, standing)| *standing == Standing::Running(attempt)) {
            self.steps.remove(&job);
        }
        let lane = &mut self.lanes[service.0 as usize];
        lane.overdue.remove(&(lost_at, attempt));
        lane.change_all(egress, &shares, |ledger, limits| match settlement {
            Settlement::Withdrawn | Settlement::NotSent => ledger.refund(),
            Settlement::Unanswered => ledger.charge_unanswered(limits, now, now + limits.linger),
            Settlement::Refused { .. } => ledger.charge(limits, now),
            Settlement::Answered => {
                ledger.charge(limits, now);
                ledger.recover(granted_at);
            }
        });
        match settlement {
            Settlement::NotSent => {
                self.ledger(service, &Whose::Own(egress), |ledger, limits| ledger.stumble(limits, now));
            }
            Settlement::Refused { named } => {
                if lane.refuse(egress, &shares, granted_at, named, spread, now) {
                    self.recall(service, |lane, other| lane.rests(other, now));
                }
            }
            Settlement::Withdrawn | Settlement::Unanswered | Settlement::Answered => {}
        }
        self.touched.insert(service);
    }

    /// An attempt that was given up and charged is heard of after all: the remote may have counted it as late as now,
    /// so it is charged again.
    fn settle_late(
        &mut self,
        service: ServiceId,
        egress: EgressId,
        settlement: Settlement,
        spread: f64,
        now: Instant,
    ) {
        if matches!(settlement, Settlement::NotSent | Settlement::Withdrawn) {
            return;
        }
        self.meet(service, egress);
        let lane = &mut self.lanes[service.0 as usize];
        let shares = lane.seats.get(&egress).map(|seat| Arc::clone(&seat.shares)).unwrap_or_default();
        let linger =
            if settlement == Settlement::Unanswered { lane.rules.own.linger } else { Duration::ZERO };
        lane.change_all(egress, &shares, |ledger, limits| ledger.spend(limits, 1, now + linger, now));
        if let Settlement::Refused { named } = settlement
            && lane.refuse(egress, &shares, Instant::ZERO, named, spread, now)
        {
            self.recall(service, |lane, other| lane.rests(other, now));
        }
        self.touched.insert(service);
    }

    pub(super) fn spent(&mut self, service: ServiceId, egress: EgressId, calls: u32, now: Instant) {
        self.meet(service, egress);
        let lane = self.lane(service);
        let shares = lane.seats.get(&egress).map(|seat| Arc::clone(&seat.shares)).unwrap_or_default();
        lane.change_all(egress, &shares, |ledger, limits| {
            ledger.spend(limits, calls, now + limits.timeout + limits.linger, now);
        });
        self.touched.insert(service);
    }

    /// Takes grants back that may still be held by their agents, each once: they were handed out ahead of their time.
    pub(super) fn recall(&mut self, service: ServiceId, concerns: impl Fn(&Lane, EgressId) -> bool) {
        let lane = &self.lanes[service.0 as usize];
        for (_, attempt) in &lane.overdue {
            let Some(flight) = self.flights.get_mut(attempt) else { continue };
            if !flight.is_recalled && concerns(lane, flight.egress) {
                flight.is_recalled = true;
                let (job, egress) = (flight.job, flight.egress);
                self.commands.push_back(Command::Recall { attempt: *attempt, job, egress });
            }
        }
    }
}
