//! Waits for memory that overlap.
//!
//! With a million pairs nearly every decision reaches for lines that no cache has, each of which is found by way of the one
//! before. What is about to be looked at is known for many decisions at once: read beforehand, round by round, a dozen of
//! them are waited for together.

use std::hint::black_box;

use super::Scheduler;
use crate::id::AttemptId;

/// How much is read ahead in one go: enough to wait for at once, and little enough to stay until it is used.
const AT_ONCE: usize = 32;

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
            for (service, seat, job) in flights.iter().flatten() {
                let state = &self.services[service.0 as usize];
                let places = state.lanes.iter().filter(|lane| lane.has(&state.seats, *seat)).count();
                seen += state.seats[seat.0 as usize].egress.0;
                seen += places as u32 + u32::from(self.steps.contains_key(job));
            }
            black_box(seen);
            for (service, seat, _) in flights.iter().flatten() {
                seen += self.services[service.0 as usize].seats[seat.0 as usize].ledger.reach();
            }
            black_box(seen);
        }
    }
}
