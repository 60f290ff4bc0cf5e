//! A turn of one lane: waiting steps and seats with budget are brought together until either runs out.

use std::time::Duration;

use super::lane::{Place, Seat};
use super::{Command, Flight, Scheduler, Standing};
use crate::id::{AgentId, AttemptId, EgressId, JobId, ServiceId};
use crate::ledger::Ready;
use crate::time::Instant;

/// Lost attempts remembered, so that a late result is told from one told twice.
const MOST_LOST: usize = 100_000;
/// A step that avoids an egress waits this long for another, no longer.
const SOON: Duration = Duration::from_secs(5);

/// What became of a seat that was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Served {
    /// It got a step and may be fit for more.
    Granted,
    /// It may send, but there is no step for it.
    Unfit,
    /// It cannot send now and has left the ring.
    Away,
}

impl Scheduler {
    /// Brings steps and ready seats of one lane together until either runs out.
    pub(super) fn turn(&mut self, service: ServiceId, now: Instant) {
        self.lose_overdue(service, now);
        self.end_backoffs(service, now);
        self.expire(service, now);
        self.lane(service).unpark(now);
        let mut aside = Vec::new();
        while self.lane(service).is_granting() {
            let Some(egress) = self.next_seat(service) else { break };
            match self.serve(service, egress, true, now) {
                Served::Granted => self.lane(service).requeue(egress),
                Served::Unfit => aside.push(egress),
                Served::Away => {}
            }
        }
        for egress in aside {
            // Steps that failed here go elsewhere, if anything else is fit to take them in time.
            let mut served = Served::Unfit;
            if !self.elsewhere(service, egress, now) {
                served = Served::Granted;
                while served == Served::Granted {
                    served = self.serve(service, egress, false, now);
                }
            }
            if served == Served::Unfit {
                self.lane(service).requeue(egress);
            }
        }
        self.set_timer(service);
    }

    fn set_timer(&mut self, service: ServiceId) {
        let lane = &mut self.lanes[service.0 as usize];
        let wake_at = lane.next_wake();
        if wake_at != lane.wake_at {
            if let Some(old) = lane.wake_at {
                self.timers.remove(&(old, service));
            }
            lane.wake_at = wake_at;
            self.timers.extend(wake_at.map(|at| (at, service)));
        }
    }

    /// The next seat to look at: never-used egresses first, so that work spreads, then the ring.
    fn next_seat(&mut self, service: ServiceId) -> Option<EgressId> {
        let lane = &mut self.lanes[service.0 as usize];
        while let Some(egress) = self.roster.get(lane.drawn).copied() {
            lane.drawn += 1;
            let state = &mut self.egresses[egress.0 as usize];
            if lane.seat(egress, state.home.as_ref()) {
                lane.place(egress, Place::Ready);
                state.lanes.push(service);
                return Some(egress);
            }
        }
        lane.next_seat()
    }

    /// Whether another egress could take a step now or soon.
    fn elsewhere(&self, service: ServiceId, egress: EgressId, now: Instant) -> bool {
        let lane = &self.lanes[service.0 as usize];
        let is_soon = |seat: &Seat| match lane.outlook(seat, Duration::ZERO, now).0 {
            Ready::Now | Ready::OnCompletion => true,
            Ready::At(at) => at <= now + SOON,
        };
        self.roster.iter().any(|other| {
            let agent = self.egresses[other.0 as usize].agent.and_then(|agent| self.agents.get(&agent));
            *other != egress
                && agent.is_some_and(|agent| agent.credit > 0)
                && lane.seats.get(other).is_none_or(is_soon)
        })
    }

    /// Gives one step to a seat that was taken from the ring; a `picky` seat leaves those that avoid it.
    fn serve(&mut self, service: ServiceId, egress: EgressId, picky: bool, now: Instant) -> Served {
        let lane = &mut self.lanes[service.0 as usize];
        let Some(agent) = self.egresses[egress.0 as usize].agent else {
            lane.place(egress, Place::Out);
            return Served::Away;
        };
        let account = self.agents.entry(agent).or_default();
        if account.credit == 0 {
            account.starved.insert((service, egress));
            lane.place(egress, Place::Out);
            return Served::Away;
        }
        let Some(seat) = lane.seats.get(&egress) else { return Served::Away };
        match lane.outlook(seat, account.lead.get(), now) {
            (Ready::Now, _) => {}
            (ready, Some(shared)) => {
                lane.hold(egress, shared, ready);
                return Served::Away;
            }
            (Ready::At(at), None) => {
                lane.place(egress, Place::Parked(at));
                return Served::Away;
            }
            (Ready::OnCompletion, None) => {
                lane.place(egress, Place::Busy);
                return Served::Away;
            }
        }
        let steps = &self.steps;
        let fits = |job| !picky || steps.get(&job).is_none_or(|(step, _)| step.avoid != Some(egress));
        let Some(job) = lane.queue.take(fits) else { return Served::Unfit };
        account.credit -= 1;
        self.grant(service, egress, agent, job, now);
        Served::Granted
    }

    fn grant(&mut self, service: ServiceId, egress: EgressId, agent: AgentId, job: JobId, now: Instant) {
        self.granted += 1;
        let attempt = AttemptId { start: self.start, count: self.granted };
        self.take_off(attempt, job, service, egress, now);
        if let Some((_, standing)) = self.steps.get_mut(&job) {
            *standing = Standing::Running(attempt);
        }
        self.commands.push_back(Command::Grant { attempt, job, service, egress, agent });
    }

    /// Gives up attempts that should have been heard of: their units are charged now.
    fn lose_overdue(&mut self, service: ServiceId, now: Instant) {
        loop {
            let first = self.lanes[service.0 as usize].overdue.first().copied();
            let Some((_, attempt)) = first.filter(|entry| entry.0 <= now) else { return };
            let lane = &mut self.lanes[service.0 as usize];
            lane.overdue.pop_first();
            let Some(Flight { job, egress, shares, .. }) = self.flights.remove(&attempt) else { continue };
            self.lost.insert(attempt);
            while self.lost.len() > MOST_LOST {
                self.lost.pop_first();
            }
            lane.change_all(egress, &shares, |ledger, limits| ledger.charge(limits, now));
            if self.steps.get(&job).is_some_and(|(_, standing)| *standing == Standing::Running(attempt)) {
                self.steps.remove(&job);
            }
            self.commands.push_back(Command::Lost { attempt, job, service, egress });
        }
    }

    fn end_backoffs(&mut self, service: ServiceId, now: Instant) {
        let lane = &mut self.lanes[service.0 as usize];
        while let Some((_, job)) = lane.delayed.first().copied().filter(|entry| entry.0 <= now) {
            lane.delayed.pop_first();
            if let Some((step, standing)) = self.steps.get_mut(&job) {
                *standing = Standing::Waiting;
                lane.queue.insert(step.class, step.deadline, job);
            }
        }
    }

    fn expire(&mut self, service: ServiceId, now: Instant) {
        while let Some(job) = self.lanes[service.0 as usize].queue.take_overdue(now) {
            self.steps.remove(&job);
            self.commands.push_back(Command::Expired(job));
        }
    }
}
