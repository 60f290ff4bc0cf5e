//! A turn of one service: waiting steps and seats with budget are brought together until either runs out.

use std::collections::BTreeSet;
use std::time::Duration;

use super::flights::Flight;
use super::lane::Place;
use super::lineup::Turn;
use super::service::{SeatId, Service};
use super::{Command, LONGEST_HOLD, Scheduler, Standing};
use crate::id::{AgentId, AttemptId, JobId, ServiceId};
use crate::ledger::Ready;
use crate::time::Instant;

/// Lost attempts remembered, so that a late result is told from one told twice.
const MOST_LOST: usize = 100_000;

/// What became of a seat that was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Served {
    /// It got a step and may be fit for more.
    Granted,
    /// It may send, but there is no step for it.
    Unfit,
    /// It cannot send now and has left the ready.
    Away,
}

impl Scheduler {
    /// Brings steps and ready seats of one service together until either runs out.
    pub(super) fn turn(&mut self, service: ServiceId, now: Instant) {
        self.lose_overdue(service, now);
        self.end_backoffs(service, now);
        self.expire(service, now);
        self.services[service.0 as usize].unpark(now);
        let mut aside = Vec::new();
        while let Some(lane) = self.next_lane(service, now) {
            let Some(seat) = self.next_seat(service, lane) else {
                self.services[service.0 as usize].lanes[lane].is_spent = true;
                continue;
            };
            match self.serve(service, lane, seat, true, now) {
                Served::Granted => self.look_again(service, lane, seat, now),
                Served::Unfit => aside.push((lane, seat)),
                Served::Away => {}
            }
        }
        for (lane, seat) in aside {
            self.serve_alone(service, lane, seat, now);
        }
        self.set_timer(service, now);
    }

    /// A seat that has just got a step: it goes where it belongs while its ledger is at hand.
    fn look_again(&mut self, service: ServiceId, lane: usize, id: SeatId, now: Instant) {
        let state = &mut self.services[service.0 as usize];
        let seat = &state.seats[id.0 as usize];
        let agent = self.agents.of(seat.egress);
        let lead = agent.map_or(Duration::ZERO, |agent| self.agents.get(agent).lead.get());
        match seat.ledger.ready_ahead(&state.rules.own, lead, now) {
            Ready::Now => state.lanes[lane].requeue(id),
            Ready::At(at) => state.lanes[lane].place(&mut state.seats, id, Place::Parked(at)),
            Ready::OnCompletion => state.lanes[lane].place(&mut state.seats, id, Place::Busy),
        }
    }

    /// A seat that every step of its lane avoids: they wait for another, unless nobody else is there.
    fn serve_alone(&mut self, service: ServiceId, lane: usize, seat: SeatId, now: Instant) {
        let mut served = Served::Unfit;
        if self.is_alone(service, lane, seat) {
            served = Served::Granted;
            while served == Served::Granted && self.grants(service, now) {
                served = self.serve(service, lane, seat, false, now);
            }
        }
        if served != Served::Away {
            self.services[service.0 as usize].lanes[lane].requeue(seat);
        }
    }

    fn grants(&self, service: ServiceId, now: Instant) -> bool {
        !self.is_stopped && self.services[service.0 as usize].is_granting(now)
    }

    pub(super) fn set_timer(&mut self, service: ServiceId, now: Instant) {
        let state = &mut self.services[service.0 as usize];
        let wake_at = state.next_wake(!self.is_stopped, now);
        if wake_at != state.wake_at {
            state.wake_at = wake_at;
            self.timers.set(service, wake_at);
        }
    }

    /// The lane whose turn it is, of those that have steps and may have seats.
    fn next_lane(&self, service: ServiceId, now: Instant) -> Option<usize> {
        if !self.grants(service, now) {
            return None;
        }
        let state = &self.services[service.0 as usize];
        let waits = |index: &usize| !state.lanes[*index].is_spent && !state.lanes[*index].lineup.is_empty();
        let mut lanes = (0..state.lanes.len()).filter(waits);
        let first = lanes.next()?;
        let turn = |index: usize| state.lanes[index].lineup.next(&state.turns, None);
        match lanes.next() {
            None => Some(first),
            Some(second) => [first, second].into_iter().chain(lanes).min_by_key(|index| turn(*index)),
        }
    }

    /// The next seat to look at: never-used egresses first, so that work spreads, then the better of two that are ready.
    fn next_seat(&mut self, service: ServiceId, lane: usize) -> Option<SeatId> {
        let state = &mut self.services[service.0 as usize];
        while let Some(egress) = self.roster.get(state.lanes[lane].drawn).copied() {
            state.lanes[lane].drawn += 1;
            let home = &mut self.egresses[egress.0 as usize];
            if !state.lanes[lane].selector.takes_home(home.home.as_ref()) {
                continue;
            }
            let (seat, is_new) = state.seat(egress, home.home.as_ref());
            if is_new {
                home.services.push(service);
            }
            if is_new || !state.lanes[lane].has(&state.seats, seat) {
                state.lanes[lane].enter(&mut state.seats, seat);
                // Other lanes look at it too, in their own time.
                state.make_ready(seat);
                return state.lanes[lane].last_ready();
            }
        }
        state.draw(lane, &mut self.rng)
    }

    /// Whether no other egress of a lane could take a step, now or later.
    fn is_alone(&self, service: ServiceId, lane: usize, seat: SeatId) -> bool {
        let state = &self.services[service.0 as usize];
        let (lane, egress) = (&state.lanes[lane], state.seats[seat.0 as usize].egress);
        !self.roster.iter().any(|other| {
            let home = &self.egresses[other.0 as usize];
            let may = |agent| self.agents.get(agent).credit > 0 && !self.agents.is_barred(agent, service);
            *other != egress
                && self.agents.of(*other).is_some_and(may)
                && lane.selector.takes_home(home.home.as_ref())
        })
    }

    /// Gives one step to a seat that was taken from the ready; a `picky` seat leaves those that avoid it.
    fn serve(&mut self, service: ServiceId, lane: usize, id: SeatId, picky: bool, now: Instant) -> Served {
        let state = &mut self.services[service.0 as usize];
        let seat = &state.seats[id.0 as usize];
        let egress = seat.egress;
        let Some(agent) = self.agents.of(egress) else {
            state.lanes[lane].place(&mut state.seats, id, Place::Out);
            return Served::Away;
        };
        if self.agents.is_barred(agent, service) {
            // It is looked at again when somebody else speaks for the egress.
            state.lanes[lane].place(&mut state.seats, id, Place::Out);
            return Served::Away;
        }
        let account = self.agents.get_mut(agent);
        if account.credit == 0 {
            self.agents.starve(agent, service, egress);
            state.lanes[lane].place(&mut state.seats, id, Place::Out);
            return Served::Away;
        }
        match state.outlook(seat, account.lead.get(), now) {
            (Ready::Now, _) => {}
            (ready, Some(shared)) => {
                state.lanes[lane].hold(&mut state.seats, id, shared, ready);
                return Served::Away;
            }
            (Ready::At(at), None) => {
                state.lanes[lane].place(&mut state.seats, id, Place::Parked(at));
                return Served::Away;
            }
            (Ready::OnCompletion, None) => {
                state.lanes[lane].place(&mut state.seats, id, Place::Busy);
                return Served::Away;
            }
        }
        let weights = &self.weights;
        let weight = |turn: &Turn| weights.get(&turn.tenant).copied().unwrap_or(1);
        let Some(turn) = state.take_turn(lane, picky.then_some(egress), weight) else { return Served::Unfit };
        account.credit -= 1;
        let agent = account.id;
        self.grant(service, id, agent, turn.place.1, now);
        Served::Granted
    }

    fn grant(&mut self, service: ServiceId, seat: SeatId, agent: AgentId, job: JobId, now: Instant) {
        self.granted += 1;
        let attempt = AttemptId { start: self.start, count: self.granted };
        let egress = self.services[service.0 as usize].seats[seat.0 as usize].egress;
        self.services[service.0 as usize].breaker.leaves(attempt);
        if let Some(held) = self.steps.get_mut(&job) {
            let former = std::mem::replace(&mut held.standing, Standing::running(attempt));
            let step = held.step(job);
            if let Standing::Avoiding(until) = former {
                self.services[service.0 as usize].grudges.remove(&(until, job));
            }
            self.unline(&step, now);
        }
        self.take_off(attempt, job, service, seat, now);
        self.commands.push_back(Command::Grant { attempt, job, service, egress, agent });
    }

    /// Gives up attempts that should have been heard of: their units are charged now.
    fn lose_overdue(&mut self, service: ServiceId, now: Instant) {
        while let Some((lost_at, attempt)) = self.services[service.0 as usize].overdue.front().copied() {
            if lost_at > now {
                return;
            }
            let flight = self.flights.remove(attempt);
            self.services[service.0 as usize].clear_overdue(attempt, &self.flights);
            let Some(Flight { job, seat, shares, .. }) = flight else { continue };
            let state = &mut self.services[service.0 as usize];
            let egress = state.seats[seat.0 as usize].egress;
            state.in_flight -= 1;
            state.change_all(egress, shares, |ledger, limits| ledger.charge(limits, now));
            // That its agent is gone says nothing of the service.
            state.breaker.unsent(attempt);
            self.lost.insert(attempt, (service, seat, shares));
            while self.lost.len() > MOST_LOST {
                self.lost.pop_first();
            }
            self.end_step(job, attempt);
            self.commands.push_back(Command::Lost { attempt, job, service, egress });
        }
    }

    /// Steps whose back-off is over, and those that avoided an egress for long enough, wait like any other.
    fn end_backoffs(&mut self, service: ServiceId, now: Instant) {
        while let Some(job) = self.pop_due(service, now, |state| &mut state.delayed) {
            if let Some(held) = self.steps.remove(&job) {
                self.line_up(held.step(job), now);
            }
        }
        while let Some(job) = self.pop_due(service, now, |state| &mut state.grudges) {
            self.forgive(job, now);
        }
    }

    fn pop_due(
        &mut self,
        service: ServiceId,
        now: Instant,
        set: impl Fn(&mut Service) -> &mut BTreeSet<(Instant, JobId)>,
    ) -> Option<JobId> {
        let set = set(&mut self.services[service.0 as usize]);
        set.first().filter(|entry| entry.0 <= now)?;
        set.pop_first().map(|entry| entry.1)
    }

    /// Keeps an attempt in flight until it ends or is lost.
    pub(super) fn take_off(
        &mut self,
        attempt: AttemptId,
        job: JobId,
        service: ServiceId,
        seat: SeatId,
        now: Instant,
    ) {
        let state = &mut self.services[service.0 as usize];
        let shares = state.seats[seat.0 as usize].shares;
        state.reserve_all(seat, now);
        let own = &state.rules.own;
        let lost_at = now + LONGEST_HOLD + own.timeout + own.linger;
        state.in_flight += 1;
        state.overdue.push_back((lost_at, attempt));
        // Most of those in front have ended long ago.
        if state.overdue.len() > 2 * state.in_flight + 64 {
            let flights = &self.flights;
            state.overdue.retain(|entry| entry.1 == attempt || flights.has(entry.1));
        }
        self.flights
            .insert(attempt, Flight { job, service, seat, shares, granted_at: now, is_recalled: false });
    }
}
