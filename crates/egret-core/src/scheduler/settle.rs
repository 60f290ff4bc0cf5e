//! What has come of calls: every ledger that they concern is charged, and those that were refused rest.

use std::time::Duration;

use super::flights::Flight;
use super::service::{ListId, SeatId, Service};
use super::{Command, Scheduler, Settlement, Whose};
use crate::id::{AttemptId, EgressId, JobId, ServiceId};
use crate::time::Instant;

impl Scheduler {
    pub(super) fn settle(
        &mut self,
        attempt: AttemptId,
        settlement: Settlement,
        (at_agent, took): (Option<Duration>, Option<Duration>),
        now: Instant,
    ) {
        let spread = self.rng.f64();
        let Some(flight) = self.flights.remove(attempt) else {
            if let Some((service, seat, shares)) = self.lost.remove(&attempt) {
                self.settle_late(service, (seat, shares), settlement, spread, now);
            }
            return;
        };
        let Flight { job, service, seat, shares, granted_at, .. } = flight;
        let egress = self.services[service.0 as usize].seats[seat.0 as usize].egress;
        let mut lead = Duration::ZERO;
        if let Some(agent) = self.agents.of(egress) {
            let agent = self.agents.get_mut(agent);
            if let Some(at_agent) = at_agent.filter(|_| attempt.start == self.start) {
                agent.lead.observe(now.since(granted_at).saturating_sub(at_agent));
            }
            lead = agent.lead.get();
        }
        self.end_step(job, attempt);
        self.note(service, (egress, seat), attempt, settlement, took, now);
        let state = &mut self.services[service.0 as usize];
        state.in_flight -= 1;
        let was_first = state.clear_overdue(attempt, &self.flights);
        let mut needs_turn = settlement != Settlement::Answered || was_first || state.has_ready();
        match settlement {
            Settlement::Withdrawn | Settlement::NotSent => {
                state.change_all(egress, shares, |ledger, _| ledger.refund());
            }
            _ => {
                needs_turn |= state.charge_all(seat, shares, lead, now, |ledger, limits| match settlement {
                    Settlement::Unanswered => ledger.charge_unanswered(limits, now, now + limits.linger),
                    Settlement::Answered => {
                        ledger.charge(limits, now);
                        ledger.recover(granted_at);
                    }
                    _ => ledger.charge(limits, now),
                });
            }
        }
        match settlement {
            Settlement::NotSent => {
                self.ledger(service, &Whose::Own(egress), |ledger, _| ledger.stumble(now));
            }
            Settlement::Refused { named } => {
                if state.refuse(egress, shares, granted_at, named, spread, now) {
                    self.recall(service, |state, egress, _| state.rests(egress, now));
                }
            }
            Settlement::Withdrawn | Settlement::Unanswered | Settlement::Answered => {}
        }
        if needs_turn {
            self.touch(service);
        }
    }

    /// An attempt that was given up and charged is heard of after all: the remote may have counted it as late as now,
    /// so it is charged again.
    fn settle_late(
        &mut self,
        service: ServiceId,
        (seat, shares): (SeatId, ListId),
        settlement: Settlement,
        spread: f64,
        now: Instant,
    ) {
        if matches!(settlement, Settlement::NotSent | Settlement::Withdrawn) {
            return;
        }
        let state = &mut self.services[service.0 as usize];
        let egress = state.seats[seat.0 as usize].egress;
        let linger =
            if settlement == Settlement::Unanswered { state.rules.own.linger } else { Duration::ZERO };
        state.change_all(egress, shares, |ledger, limits| ledger.spend(limits, 1, now + linger, now));
        if let Settlement::Refused { named } = settlement
            && state.refuse(egress, shares, Instant::ZERO, named, spread, now)
        {
            self.recall(service, |state, egress, _| state.rests(egress, now));
        }
        self.touch(service);
    }

    pub(super) fn spent(&mut self, service: ServiceId, egress: EgressId, calls: u32, now: Instant) {
        self.meet(service, egress);
        let state = &mut self.services[service.0 as usize];
        let Some(shares) = state.find(egress).map(|seat| seat.shares) else { return };
        state.change_all(egress, shares, |ledger, limits| {
            ledger.spend(limits, calls, now + limits.timeout + limits.linger, now);
        });
        self.touch(service);
    }

    pub(super) fn moved(&mut self, from: EgressId, to: EgressId, unnoticed: Duration, now: Instant) {
        let services = self.egresses.get(from.0 as usize).map(|state| state.services.clone());
        for service in services.unwrap_or_default() {
            self.meet(service, to);
            self.services[service.0 as usize].moved(from, to, unnoticed, now);
            self.touch(service);
        }
    }

    /// What an attempt's end says of the service and of the egress.
    fn note(
        &mut self,
        service: ServiceId,
        (egress, seat): (EgressId, SeatId),
        attempt: AttemptId,
        settlement: Settlement,
        took: Option<Duration>,
        now: Instant,
    ) {
        let state = &mut self.services[service.0 as usize];
        match settlement {
            Settlement::Withdrawn | Settlement::NotSent => state.breaker.unsent(attempt),
            Settlement::Unanswered => {
                state.judge(seat, None);
                self.silent(service, egress, attempt, now);
            }
            Settlement::Answered | Settlement::Refused { .. } => {
                if let Some(took) = took {
                    state.judge(seat, Some(took));
                }
                if state.breaker.answered() {
                    self.commands.push_back(Command::Back(service));
                    self.touch(service);
                }
            }
        }
    }

    /// An attempt had no answer; it may be one too many.
    pub(super) fn silent(&mut self, service: ServiceId, egress: EgressId, attempt: AttemptId, now: Instant) {
        let are_many = self.roster.iter().filter(|egress| self.agents.of(**egress).is_some()).nth(1);
        let are_many = are_many.is_some();
        if self.services[service.0 as usize].breaker.silent(attempt, egress, are_many, now) {
            self.commands.push_back(Command::Down(service));
            self.recall(service, |_, _, _| true);
        }
    }

    /// Takes grants back that may still be held by their agents, each once: they were handed out ahead of their time, or
    /// are not wanted any more.
    pub(super) fn recall(
        &mut self,
        service: ServiceId,
        concerns: impl Fn(&Service, EgressId, JobId) -> bool,
    ) {
        let state = &self.services[service.0 as usize];
        for (_, attempt) in &state.overdue {
            let Some(flight) = self.flights.get_mut(*attempt) else { continue };
            let (job, egress) = (flight.job, state.seats[flight.seat.0 as usize].egress);
            if !flight.is_recalled && concerns(state, egress, job) {
                flight.is_recalled = true;
                self.commands.push_back(Command::Recall { attempt: *attempt, job, egress });
            }
        }
    }
}
