//! One play: copies of the ledgers, and what happens to them in the order of time.
//!
//! A seat is in one place: planned to be looked at, busy until one of its calls ends, or held by a shared budget. Like
//! the scheduler, a shared budget that has something to spend lets those that it holds out one at a time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use super::{FARTHEST, Forecast};
use crate::ledger::{Ledger, Ready};
use crate::quota::Limits;
use crate::time::Instant;

/// Things that may happen for each call before a play is given up: several times what the worst of quotas makes happen.
const HAPPENINGS_PER_CALL: u64 = 64;

/// What happens at an instant, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    /// So many calls end at a seat that were in flight at the beginning.
    EndedBefore(usize, u32),
    /// The same at a shared budget.
    SharedEndedBefore(usize, u32),
    /// A call of a seat ends that was sent then.
    Ended(usize, Instant),
    /// And is reported, to what it shares.
    Reported(usize, Instant),
    /// A shared budget may have something to spend.
    Open(usize),
    /// A seat may send.
    Look(usize),
}

impl Happening {
    /// What ends comes before what begins, and those that begin come in turn.
    fn rank(self) -> u8 {
        match self {
            Self::EndedBefore(..) | Self::SharedEndedBefore(..) | Self::Ended(..) | Self::Reported(..) => 0,
            Self::Open(_) | Self::Look(_) => 1,
        }
    }
}

struct Seat<'a> {
    ledger: Ledger,
    shares: &'a [usize],
    way: Duration,
    is_busy: bool,
}

struct Shared {
    rule: usize,
    ledger: Ledger,
    held: VecDeque<usize>,
    is_busy: bool,
    /// It has no windows and does not rest: nobody waits for it.
    is_moot: bool,
}

pub(super) struct Play<'a> {
    own: Limits,
    wide: Vec<Limits>,
    seats: Vec<Seat<'a>>,
    shared: Vec<Shared>,
    takes: Duration,
    until: Instant,
    queue: BinaryHeap<Reverse<(Instant, u8, u64, Happening)>>,
    happened: u64,
    sent: Vec<Instant>,
}

impl<'a> Play<'a> {
    /// With calls in packets of `of`.
    pub(super) fn new(forecast: &'a Forecast, of: u32) -> Self {
        let Forecast { rules, seats, shared, takes, now, .. } = forecast;
        let (takes, now) = (*takes, *now);
        let coarse = |limits: &Limits| if of > 1 { limits.in_packets(of, takes) } else { limits.clone() };
        let own = coarse(&rules.own);
        let wide: Vec<Limits> = rules.wide.iter().map(|(_, limits)| coarse(limits)).collect();
        let copy = |ledger: &Ledger, limits: &Limits, coarse: &Limits| {
            if of > 1 { ledger.in_packets(limits, coarse, of, takes, now) } else { ledger.clone() }
        };
        let seat = |seat: &'a super::Seat| Seat {
            ledger: copy(&seat.ledger, &rules.own, &own),
            shares: &seat.shares,
            way: seat.way,
            is_busy: false,
        };
        let common = |shared: &super::Shared| {
            let limits = &rules.wide[shared.rule].1;
            Shared {
                rule: shared.rule,
                ledger: copy(&shared.ledger, limits, &wide[shared.rule]),
                held: VecDeque::new(),
                is_busy: false,
                is_moot: limits.windows.is_empty() && shared.ledger.rest().is_none(),
            }
        };
        let (seats, shared) = (seats.iter().map(seat).collect(), shared.iter().map(common).collect());
        let mut play = Self {
            own,
            wide,
            seats,
            shared,
            takes,
            until: now + FARTHEST,
            queue: BinaryHeap::new(),
            happened: 0,
            sent: Vec::new(),
        };
        play.begin(now);
        play
    }

    fn begin(&mut self, now: Instant) {
        for index in 0..self.seats.len() {
            let flying = self.seats[index].ledger.in_flight();
            if flying > 0 {
                self.at(now + self.takes, Happening::EndedBefore(index, flying));
            }
            self.at(now, Happening::Look(index));
        }
        for index in 0..self.shared.len() {
            let flying = self.shared[index].ledger.in_flight();
            if flying > 0 {
                self.at(now + self.takes, Happening::SharedEndedBefore(index, flying));
            }
        }
    }

    /// When each of so many calls leaves, as far as they do.
    pub(super) fn run(mut self, calls: u64) -> Vec<Instant> {
        let most = calls.saturating_add(1_000).saturating_mul(HAPPENINGS_PER_CALL);
        while (self.sent.len() as u64) < calls
            && self.happened < most
            && let Some(Reverse((now, _, _, happening))) =
                self.queue.pop().filter(|next| next.0.0 < self.until)
        {
            self.happen(happening, now);
        }
        self.sent.truncate(usize::try_from(calls).unwrap_or(usize::MAX));
        self.sent
    }

    fn at(&mut self, at: Instant, happening: Happening) {
        self.happened += 1;
        self.queue.push(Reverse((at, happening.rank(), self.happened, happening)));
    }

    fn happen(&mut self, happening: Happening, now: Instant) {
        match happening {
            Happening::EndedBefore(seat, calls) => {
                end_before(&mut self.seats[seat].ledger, &self.own, calls, now);
                self.wake(seat, now);
            }
            Happening::SharedEndedBefore(shared, calls) => {
                let state = &mut self.shared[shared];
                end_before(&mut state.ledger, &self.wide[state.rule], calls, now);
                self.wake_shared(shared, now);
            }
            Happening::Ended(seat, sent_at) => {
                let state = &mut self.seats[seat];
                state.ledger.charge(&self.own, now);
                state.ledger.recover(sent_at);
                self.wake(seat, now);
            }
            Happening::Reported(seat, sent_at) => {
                for shared in self.seats[seat].shares {
                    let state = &mut self.shared[*shared];
                    if !state.is_moot {
                        state.ledger.charge(&self.wide[state.rule], now);
                        state.ledger.recover(sent_at);
                        self.wake_shared(*shared, now);
                    }
                }
            }
            Happening::Open(shared) => self.open(shared, now),
            Happening::Look(seat) => self.look(seat, now),
        }
    }

    fn wake(&mut self, seat: usize, now: Instant) {
        if std::mem::take(&mut self.seats[seat].is_busy) {
            self.at(now, Happening::Look(seat));
        }
    }

    fn wake_shared(&mut self, shared: usize, now: Instant) {
        if std::mem::take(&mut self.shared[shared].is_busy) {
            self.at(now, Happening::Open(shared));
        }
    }

    /// Lets those out that a shared budget holds, for as long as it has something to spend.
    fn open(&mut self, shared: usize, now: Instant) {
        loop {
            let state = &mut self.shared[shared];
            if state.held.is_empty() {
                return;
            }
            let ready = state.ledger.ready(&self.wide[state.rule], now);
            if ready != Ready::Now {
                return self.shut(shared, ready);
            }
            if let Some(seat) = state.held.pop_front() {
                self.look(seat, now);
            }
        }
    }

    fn shut(&mut self, shared: usize, ready: Ready) {
        match ready {
            Ready::At(at) => self.at(at, Happening::Open(shared)),
            Ready::Now | Ready::OnCompletion => self.shared[shared].is_busy = true,
        }
    }

    /// Has a seat send one call if all its budgets let it, and come again.
    fn look(&mut self, seat: usize, now: Instant) {
        match self.seats[seat].ledger.ready(&self.own, now) {
            Ready::Now => {}
            Ready::At(at) => return self.at(at, Happening::Look(seat)),
            Ready::OnCompletion => {
                self.seats[seat].is_busy = true;
                return;
            }
        }
        let shares = self.seats[seat].shares;
        for shared in shares {
            let state = &mut self.shared[*shared];
            let ready = state.ledger.ready(&self.wide[state.rule], now);
            if ready != Ready::Now {
                state.held.push_back(seat);
                // Whoever was held first has seen to it that the others are let out.
                if state.held.len() == 1 {
                    self.shut(*shared, ready);
                }
                return;
            }
        }
        self.send(seat, now);
    }

    fn send(&mut self, seat: usize, now: Instant) {
        let state = &mut self.seats[seat];
        state.ledger.reserve(&self.own, now);
        let (shares, way) = (state.shares, state.way);
        let mut is_shared = false;
        for shared in shares {
            let state = &mut self.shared[*shared];
            if !state.is_moot {
                state.ledger.reserve(&self.wide[state.rule], now);
                is_shared = true;
            }
        }
        self.sent.push(now);
        self.at(now + self.takes, Happening::Ended(seat, now));
        if is_shared {
            self.at(now + self.takes + way, Happening::Reported(seat, now));
        }
        self.at(now, Happening::Look(seat));
    }
}

/// Ends calls that were in flight at the beginning. Of a ledger whose rest was over by then, one of them tried it.
fn end_before(ledger: &mut Ledger, limits: &Limits, calls: u32, now: Instant) {
    for _ in 0..calls {
        ledger.charge(limits, now);
    }
    if ledger.rest().is_some_and(|rest| rest.until <= now) {
        ledger.recover(now);
    }
}
