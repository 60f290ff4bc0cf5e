//! Attempts that are under way.
//!
//! Those of this start are numbered as they are granted, and most end soon: they stand in a row by their number, and
//! finding one costs one look at memory. Behind one that takes its time the row would grow for as long as a call may
//! last, so the oldest are moved to a table when more than three of four places are empty; those of earlier starts are there too.

use std::collections::VecDeque;

use super::Map;
use super::service::{ListId, SeatId};
use crate::id::{AttemptId, JobId, ServiceId};
use crate::time::Instant;

#[derive(Clone, Debug)]
pub(super) struct Flight {
    pub(super) job: JobId,
    pub(super) service: ServiceId,
    pub(super) seat: SeatId,
    /// The shared budgets it was charged to, whatever the egress shares now.
    pub(super) shares: ListId,
    pub(super) granted_at: Instant,
    /// Its agent has been asked to give it back.
    pub(super) is_recalled: bool,
}

/// Empty places of the row for each that is taken, and besides: an empty one costs 32 bytes, moving one that is taken a
/// look at the table then and another when it ends.
const SPARE: usize = 3;
const EMPTY: usize = 1_024;

#[derive(Debug)]
pub(super) struct Flights {
    start: u32,
    /// The number of the first place of the row.
    first: u64,
    row: VecDeque<Option<Flight>>,
    /// Which places of the row are taken, in bits by their numbers: whether an attempt has ended is asked more often than
    /// what it was, and 64 answers are in one word.
    taken: VecDeque<u64>,
    table: Map<AttemptId, Flight>,
    len: usize,
}

impl Flights {
    /// Of this start; its attempts are numbered from 1.
    pub(super) fn new(start: u32) -> Self {
        Self { start, first: 1, row: VecDeque::new(), taken: VecDeque::new(), table: Map::default(), len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn get(&self, attempt: AttemptId) -> Option<&Flight> {
        let in_row = self.place(attempt).and_then(|place| self.row.get(place)?.as_ref());
        in_row.or_else(|| self.table.get(&attempt))
    }

    pub(super) fn get_mut(&mut self, attempt: AttemptId) -> Option<&mut Flight> {
        let in_row = self.place(attempt).and_then(|place| self.row.get_mut(place)?.as_mut());
        in_row.or_else(|| self.table.get_mut(&attempt))
    }

    pub(super) fn has(&self, attempt: AttemptId) -> bool {
        match self.place(attempt).filter(|place| *place < self.row.len()) {
            Some(_) if self.taken[self.word(attempt)] & bit(attempt) != 0 => true,
            _ => !self.table.is_empty() && self.table.contains_key(&attempt),
        }
    }

    /// Adds one that is not here; those of this start come in the order of their numbers.
    pub(super) fn insert(&mut self, attempt: AttemptId, flight: Flight) {
        self.len += 1;
        if self.place(attempt) == Some(self.row.len()) {
            self.row.push_back(Some(flight));
            let word = self.word(attempt);
            if word == self.taken.len() {
                self.taken.push_back(0);
            }
            self.taken[word] |= bit(attempt);
        } else {
            self.table.insert(attempt, flight);
        }
    }

    pub(super) fn remove(&mut self, attempt: AttemptId) -> Option<Flight> {
        let in_row = self.place(attempt).and_then(|place| self.row.get_mut(place)?.take());
        if in_row.is_some() {
            let word = self.word(attempt);
            self.taken[word] &= !bit(attempt);
        }
        let flight = in_row.or_else(|| self.table.remove(&attempt))?;
        self.len -= 1;
        self.shorten();
        Some(flight)
    }

    /// Takes places out of the row that are empty, or in front of too many that are.
    fn shorten(&mut self) {
        let is_long = |flights: &Self| flights.row.len() > (1 + SPARE) * flights.len + EMPTY;
        while self.row.front().is_some_and(Option::is_none) || is_long(self) {
            if let Some(flight) = self.row.pop_front().flatten() {
                self.table.insert(AttemptId { start: self.start, count: self.first }, flight);
            }
            self.first += 1;
            if self.first.is_multiple_of(u64::from(u64::BITS)) {
                self.taken.pop_front();
            }
        }
    }

    /// Where the bit of an attempt is that has a place in the row.
    fn word(&self, attempt: AttemptId) -> usize {
        let words = attempt.count / u64::from(u64::BITS) - self.first / u64::from(u64::BITS);
        usize::try_from(words).unwrap_or(usize::MAX)
    }

    /// Where in the row an attempt is, or would be.
    fn place(&self, attempt: AttemptId) -> Option<usize> {
        let nth = attempt.count.checked_sub(self.first).filter(|_| attempt.start == self.start)?;
        usize::try_from(nth).ok()
    }
}

fn bit(attempt: AttemptId) -> u64 {
    1 << (attempt.count % u64::from(u64::BITS))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn flight(job: u64) -> Flight {
        Flight {
            job: JobId(job),
            service: ServiceId(0),
            seat: SeatId(0),
            shares: ListId::default(),
            granted_at: Instant::ZERO,
            is_recalled: false,
        }
    }

    proptest! {
        #[test]
        fn an_attempt_is_found_until_it_ends_wherever_it_stands(
            acts in prop::collection::vec((0u8..10, any::<prop::sample::Index>()), 0..60),
            lasting in 0u64..4,
        ) {
            let (mut flights, mut naive) = (Flights::new(2), BTreeMap::new());
            let (mut count, mut earlier) = (0, 0);
            let begin = |flights: &mut Flights, naive: &mut BTreeMap<_, _>, start, count| {
                let (attempt, job) = (AttemptId { start, count }, u64::from(start) << 32 | count);
                flights.insert(attempt, flight(job));
                naive.insert(attempt, job);
            };
            for (act, which) in acts {
                match act {
                    0 => {
                        // Of an earlier start.
                        earlier += 1;
                        begin(&mut flights, &mut naive, 1, earlier);
                    }
                    // Many that end at once, behind some that last.
                    1 => for _ in 0..600 {
                        count += 1;
                        begin(&mut flights, &mut naive, 2, count);
                        if count % 600 > lasting {
                            let attempt = AttemptId { start: 2, count };
                            prop_assert!(flights.remove(attempt).is_some());
                            naive.remove(&attempt);
                        }
                    },
                    2..6 => {
                        count += 1;
                        begin(&mut flights, &mut naive, 2, count);
                    }
                    _ if !naive.is_empty() => {
                        let attempt = *which.get(&naive.keys().copied().collect::<Vec<_>>());
                        let job = naive.remove(&attempt);
                        prop_assert_eq!(flights.remove(attempt).map(|flight| flight.job.0), job);
                        prop_assert!(!flights.has(attempt) && flights.remove(attempt).is_none());
                    }
                    _ => {}
                }
                prop_assert_eq!(flights.len(), naive.len());
                prop_assert!(flights.row.len() <= (1 + SPARE) * naive.len() + EMPTY);
                prop_assert!(flights.taken.len() <= flights.row.len() / 64 + 2);
                for (attempt, job) in &naive {
                    prop_assert!(flights.has(*attempt));
                    prop_assert_eq!(flights.get(*attempt).map(|flight| flight.job.0), Some(*job));
                    prop_assert_eq!(flights.get_mut(*attempt).map(|flight| flight.job.0), Some(*job));
                }
                let next = AttemptId { start: 2, count: count + 1 };
                prop_assert!(!flights.has(next));
            }
        }
    }
}
