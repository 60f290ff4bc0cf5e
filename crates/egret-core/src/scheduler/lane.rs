//! One service: its queue, its seats, and the turn that brings them together.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::queue::Queue;
use super::{Command, Flight, Scheduler, Standing};
use crate::id::{AgentId, AttemptId, EgressId, JobId, ServiceId};
use crate::ledger::{Ledger, Ready};
use crate::quota::Limits;
use crate::time::Instant;

/// Lost attempts remembered, so that a late result is told from one told twice.
const MOST_LOST: usize = 100_000;
/// A step that avoids an egress waits this long for another, no longer.
const SOON: Duration = Duration::from_secs(5);

/// Where a seat is; always in exactly one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In the ready ring, to be looked at in the next turn.
    Ready,
    /// In the parked set: nothing can leave before.
    Parked(Instant),
    /// Nothing can leave before one of its calls has ended.
    Busy,
    /// Its egress is down or its agent has no credit.
    Out,
}

#[derive(Debug)]
struct Seat {
    ledger: Ledger,
    place: Place,
}

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

#[derive(Debug)]
pub(super) struct Lane {
    pub(super) limits: Limits,
    pub(super) queue: Queue,
    pub(super) paused: bool,
    /// Steps in back-off, by the instant that ends it.
    pub(super) delayed: BTreeSet<(Instant, JobId)>,
    /// When the lane's timer is set for.
    pub(super) wake_at: Option<Instant>,
    seats: BTreeMap<EgressId, Seat>,
    ready: VecDeque<EgressId>,
    parked: BTreeSet<(Instant, EgressId)>,
    /// How many egresses of the roster this lane has looked at.
    drawn: usize,
    /// Attempts in flight by the instant from which they count as lost.
    pub(super) overdue: BTreeSet<(Instant, AttemptId)>,
}

impl Lane {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            queue: Queue::default(),
            paused: false,
            delayed: BTreeSet::new(),
            wake_at: None,
            seats: BTreeMap::new(),
            ready: VecDeque::new(),
            parked: BTreeSet::new(),
            drawn: 0,
            overdue: BTreeSet::new(),
        }
    }

    pub(super) fn in_flight(&self) -> usize {
        self.overdue.len()
    }

    pub(super) fn ledger(&self, egress: EgressId) -> Option<&Ledger> {
        self.seats.get(&egress).map(|seat| &seat.ledger)
    }

    /// Changes the ledger of a seat, which is made if need be; true if it was.
    pub(super) fn change(&mut self, egress: EgressId, change: impl FnOnce(&mut Ledger, &Limits)) -> bool {
        let made = !self.seats.contains_key(&egress);
        let fresh = || Seat { ledger: Ledger::default(), place: Place::Out };
        change(&mut self.seats.entry(egress).or_insert_with(fresh).ledger, &self.limits);
        made
    }

    /// Puts an existing seat where the next turn looks at it.
    pub(super) fn make_ready(&mut self, egress: EgressId) {
        if self.seats.get(&egress).is_some_and(|seat| seat.place != Place::Ready) {
            self.place(egress, Place::Ready);
            self.ready.push_back(egress);
        }
    }

    /// Moves a seat out of its old place; the caller puts it into the ring if the new one is `Ready`.
    pub(super) fn place(&mut self, egress: EgressId, place: Place) {
        let Some(seat) = self.seats.get_mut(&egress) else { return };
        if let Place::Parked(until) = seat.place {
            self.parked.remove(&(until, egress));
        }
        if let Place::Parked(until) = place {
            self.parked.insert((until, egress));
        }
        seat.place = place;
    }

    #[cfg(test)]
    pub(super) fn places(&self) -> impl Iterator<Item = (EgressId, Place)> {
        self.seats.iter().map(|(egress, seat)| (*egress, seat.place))
    }

    #[cfg(test)]
    pub(super) fn ring(&self) -> impl Iterator<Item = EgressId> {
        self.ready.iter().copied()
    }

    #[cfg(test)]
    pub(super) fn parked_at(&self, egress: EgressId) -> Option<Instant> {
        self.parked.iter().find(|entry| entry.1 == egress).map(|entry| entry.0)
    }

    /// Whether a ready seat would get a step.
    pub(super) fn is_granting(&self) -> bool {
        !self.paused && !self.queue.is_empty()
    }

    /// When something happens in this lane by time alone.
    fn next_wake(&self) -> Option<Instant> {
        let parked = self.parked.first().filter(|_| self.is_granting()).map(|entry| entry.0);
        let delayed = self.delayed.first().map(|entry| entry.0);
        let overdue = self.overdue.first().map(|entry| entry.0);
        [parked, delayed, overdue, self.queue.first_deadline()].into_iter().flatten().min()
    }
}

impl Scheduler {
    /// Brings steps and ready seats of one lane together until either runs out.
    pub(super) fn turn(&mut self, service: ServiceId, now: Instant) {
        self.lose_overdue(service, now);
        self.end_backoffs(service, now);
        self.expire(service, now);
        let lane = &mut self.lanes[service.0 as usize];
        while let Some((_, egress)) = lane.parked.first().copied().filter(|entry| entry.0 <= now) {
            lane.make_ready(egress);
        }
        let mut aside = Vec::new();
        while self.lanes[service.0 as usize].is_granting() {
            let Some(egress) = self.next_ready(service) else { break };
            match self.serve(service, egress, true, now) {
                Served::Granted => self.lanes[service.0 as usize].ready.push_back(egress),
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
                self.lanes[service.0 as usize].ready.push_back(egress);
            }
        }
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
    fn next_ready(&mut self, service: ServiceId) -> Option<EgressId> {
        let lane = &mut self.lanes[service.0 as usize];
        while let Some(egress) = self.roster.get(lane.drawn).copied() {
            lane.drawn += 1;
            if lane.change(egress, |_, _| ()) {
                lane.place(egress, Place::Ready);
                self.egresses[egress.0 as usize].lanes.push(service);
                return Some(egress);
            }
        }
        lane.ready.pop_front()
    }

    /// Whether another egress could take a step now or soon.
    fn elsewhere(&self, service: ServiceId, egress: EgressId, now: Instant) -> bool {
        let Lane { seats, limits, .. } = &self.lanes[service.0 as usize];
        self.roster.iter().any(|other| {
            let agent = self.egresses[other.0 as usize].agent.and_then(|agent| self.agents.get(&agent));
            let is_soon = |seat: &Seat| match seat.ledger.ready(limits, now) {
                Ready::Now | Ready::OnCompletion => true,
                Ready::At(at) => at <= now + SOON,
            };
            *other != egress
                && agent.is_some_and(|agent| agent.credit > 0)
                && seats.get(other).is_none_or(is_soon)
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
            account.starved.push((service, egress));
            lane.place(egress, Place::Out);
            return Served::Away;
        }
        let Some(seat) = lane.seats.get_mut(&egress) else { return Served::Away };
        match seat.ledger.ready(&lane.limits, now) {
            Ready::At(at) => lane.place(egress, Place::Parked(at)),
            Ready::OnCompletion => lane.place(egress, Place::Busy),
            Ready::Now => {
                let steps = &self.steps;
                let fits = |job| !picky || steps.get(&job).is_none_or(|(step, _)| step.avoid != Some(egress));
                let Some(job) = lane.queue.take(fits) else { return Served::Unfit };
                seat.ledger.reserve(now);
                account.credit -= 1;
                self.grant(service, egress, agent, job, now);
                return Served::Granted;
            }
        }
        Served::Away
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
            let Some(Flight { job, egress, .. }) = self.flights.remove(&attempt) else { continue };
            self.lost.insert(attempt);
            while self.lost.len() > MOST_LOST {
                self.lost.pop_first();
            }
            lane.change(egress, |ledger, limits| ledger.charge(limits, now));
            lane.make_ready(egress);
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
