//! Waits for memory that overlap.
//!
//! With a million pairs nearly every decision reaches for lines that no cache has, each of which is found by way of the one
//! before. What is about to be looked at is known for many decisions at once: read beforehand, round by round, a dozen of
//! them are waited for together.

use std::hint::black_box;

use super::Scheduler;
use crate::id::{AttemptId, JobId, ServiceId};
use crate::time::Instant;

/// How much is read ahead in one go: enough to wait for at once, and little enough to stay until it is used.
const AT_ONCE: usize = 32;

/// Services whose turns are read ahead together, likewise.
pub(super) const AHEAD: usize = 8;

impl Scheduler {
    /// Reads what the ends of these attempts are about to change. Decides and changes nothing: it is for speed alone, when
    /// several ends are at hand.
    pub fn foresee(&self, attempts: impl Iterator<Item = AttemptId>) {
        let mut attempts = attempts.peekable();
        while attempts.peek().is_some() {
            let mut flights = [None; AT_ONCE];
            for (flight, attempt) in flights.iter_mut().zip(&mut attempts) {
                *flight = self.flights.get(attempt).map(|flight| (flight.service, flight.seat, flight.job));
            }
            let mut seen = 0;
            for (service, seat, _) in flights.iter().flatten() {
                let seat = &self.services[service.0 as usize].seats[seat.0 as usize];
                seen ^= seat.egress.0 ^ seat.ledger.reach();
            }
            for (.., job) in flights.iter().flatten() {
                seen ^= self.reach_step(*job);
            }
            black_box(seen);
            for (service, seat, _) in flights.iter().flatten() {
                let state = &self.services[service.0 as usize];
                seen ^= state.seats[seat.0 as usize].ledger.reach_further(&state.rules.own);
            }
            black_box(seen);
        }
    }

    /// The same for the turns that these services, up to [`AHEAD`], are about to get in their first lanes.
    pub(super) fn foresee_turns(&self, services: &[ServiceId], now: Instant) {
        let mut seen = 0;
        let mut flows = [None; AHEAD];
        let lane = |service: &ServiceId| &self.services[service.0 as usize].lanes[0];
        for (flow, service) in flows.iter_mut().zip(services) {
            let mut due = lane(service).due(now);
            *flow = due.next().and_then(|_| lane(service).lineup.some_flow());
        }
        let flows = flows.map(|flow| self.flows.get(&flow?));
        for flow in flows.iter().flatten() {
            seen ^= flow.coming(1).fold(0, |seen, job| seen ^ job.0 as u32);
        }
        black_box(seen);
        let mut most = [0; AHEAD];
        for (most, service) in most.iter_mut().zip(services) {
            let seats = &self.services[service.0 as usize].seats;
            for seat in lane(service).due(now).take(AT_ONCE) {
                let seat = &seats[seat.0 as usize];
                seen ^= seat.egress.0 ^ seat.ledger.reach();
                *most += 1;
            }
        }
        for (flow, most) in flows.iter().zip(most) {
            let jobs = flow.iter().flat_map(|flow| flow.coming(most));
            seen = jobs.fold(seen, |seen, job| seen ^ self.reach_step(job));
        }
        black_box(seen);
    }

    fn reach_step(&self, job: JobId) -> u32 {
        self.steps.get(&job).map_or(0, |held| held.flow.0)
    }
}
