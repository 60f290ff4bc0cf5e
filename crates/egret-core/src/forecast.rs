//! When the waiting calls of a service will have left: how its budgets drain, played through before it happens.
//!
//! A [`Forecast`] holds copies of every ledger that calls of a service are charged to. [`Forecast::drain`] plays them:
//! calls leave as early as all windows, spacings, rests and calls in flight let them, and are answered after the usual
//! time. The first ones are played one by one, by the ledgers themselves; of very many, the later ones in packets, so
//! that the cost is bounded whatever their number. [`order`] says how many calls go before a given one, [`hindrance`] what stands in the
//! way of the next one.
//!
//! Absent: refusals and failures to come, egresses that go or come.

pub mod hindrance;
pub mod order;
mod play;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use play::Play;

use crate::id::{EgressId, ServiceId};
use crate::ledger::Ledger;
use crate::quota::{Limits, Rules};
use crate::scheduler::Scheduler;
use crate::scope::{Scope, ScopeKey};
use crate::time::Instant;

/// Calls played one by one, and packets that more of them are played in (chosen: some milliseconds).
const STEPS: u64 = 10_000;
/// But at least so many for each egress, so that none of them is a packet ahead of the others by much.
const STEPS_PER_EGRESS: u64 = 40;
/// What lies further ahead is not told.
const FARTHEST: Duration = Duration::from_secs(100 * 366 * 24 * 3_600);

/// The budgets of one service as they stand, and how long answers take.
#[derive(Clone, Debug)]
pub struct Forecast {
    rules: Rules,
    seats: Vec<Seat>,
    shared: Vec<Shared>,
    by_key: BTreeMap<(usize, ScopeKey), usize>,
    takes: Duration,
    now: Instant,
}

/// An egress that is up.
#[derive(Clone, Debug)]
struct Seat {
    ledger: Ledger,
    /// Which shared ledgers its calls are charged to as well.
    shares: Vec<usize>,
    /// How long a grant and its report are on their way together: a shared unit is taken for so much longer.
    way: Duration,
}

#[derive(Clone, Debug)]
struct Shared {
    /// Which of the wide rules it keeps.
    rule: usize,
    ledger: Ledger,
}

/// A quota of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bottleneck {
    /// One that each egress has by itself: an index into its windows.
    Own(usize),
    /// One that egresses share: which of the wide rules, and an index into its windows.
    Wide(usize, usize),
}

/// When calls leave and are answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drain {
    /// When the first ones leave.
    calls: Vec<Instant>,
    /// When the last call of each packet leaves, of which the first begins with the first call.
    packets: Vec<Instant>,
    /// Calls in a packet.
    of: u32,
    takes: Duration,
}

impl Forecast {
    /// For a service without egresses yet, whose answers take `takes`, as of `now`.
    pub fn new(rules: Rules, takes: Duration, now: Instant) -> Self {
        Self { rules, seats: Vec::new(), shared: Vec::new(), by_key: BTreeMap::new(), takes, now }
    }

    /// From the scheduler's ledgers, for the egresses that are up and where they live.
    pub fn of<'a>(
        scheduler: &Scheduler,
        service: ServiceId,
        up: impl IntoIterator<Item = (EgressId, IpAddr, &'a [String])>,
        takes: Duration,
        now: Instant,
    ) -> Self {
        let mut forecast = Self::new(scheduler.rules(service).clone(), takes, now);
        for shared in scheduler.shared(service) {
            if let Some(rule) = forecast.rules.wide.iter().position(|(scope, _)| scope == shared.scope) {
                forecast.put_shared(rule, shared.key.clone(), shared.ledger.clone());
            }
        }
        for (egress, address, tags) in up {
            let ledger = scheduler.seat(service, egress).cloned().unwrap_or_default();
            forecast.put_egress(ledger, address, tags, scheduler.way(egress));
        }
        forecast
    }

    /// Adds what was spent of a shared budget; `rule` is an index into the wide rules.
    pub fn put_shared(&mut self, rule: usize, key: ScopeKey, ledger: Ledger) {
        self.by_key.insert((rule, key), self.shared.len());
        self.shared.push(Shared { rule, ledger });
    }

    /// Adds an egress that is up with what was spent of its own budgets. A grant and its report are on the `way` for so
    /// long together. What it shares and was not put before is fresh.
    pub fn put_egress(&mut self, ledger: Ledger, address: IpAddr, tags: &[String], way: Duration) {
        let keys = self.rules.wide.iter().enumerate();
        let keys = keys.filter_map(|(rule, (scope, _))| Some((rule, scope.key(address, tags)?)));
        self.put_seat(ledger, keys.collect(), way);
    }

    /// The same with `more` egresses that were never used, each in a network of its own and without tags.
    #[must_use]
    pub fn with_more(&self, more: usize) -> Self {
        let mut forecast = self.clone();
        let way = self.seats.iter().map(|seat| seat.way).max().unwrap_or_default();
        let wide = self.rules.wide.iter().enumerate();
        let fleet: Vec<_> =
            wide.filter(|(_, (scope, _))| *scope == Scope::Fleet).map(|(rule, _)| rule).collect();
        for _ in 0..more {
            let keys = fleet.iter().map(|rule| (*rule, ScopeKey::Fleet)).collect();
            forecast.put_seat(Ledger::default(), keys, way);
            // A network of its own that was never used is in nobody's way but its own.
            forecast.put_networks();
        }
        forecast
    }

    fn put_seat(&mut self, ledger: Ledger, keys: Vec<(usize, ScopeKey)>, way: Duration) {
        let mut shares = Vec::new();
        for (rule, key) in keys {
            if !self.by_key.contains_key(&(rule, key.clone())) {
                self.put_shared(rule, key.clone(), Ledger::default());
            }
            shares.extend(self.by_key.get(&(rule, key)).copied());
        }
        self.seats.push(Seat { ledger, shares, way });
    }

    /// Gives the last egress networks that nobody else is in.
    fn put_networks(&mut self) {
        let Some(seat) = self.seats.last_mut() else { return };
        for (rule, (scope, _)) in self.rules.wide.iter().enumerate() {
            if matches!(scope, Scope::Subnet { .. }) {
                seat.shares.push(self.shared.len());
                self.shared.push(Shared { rule, ledger: Ledger::default() });
            }
        }
    }

    /// Whose quota a wide rule is, by its index.
    pub fn scope(&self, rule: usize) -> Option<&Scope> {
        self.rules.wide.get(rule).map(|(scope, _)| scope)
    }

    /// How many egresses are up.
    pub fn egresses(&self) -> usize {
        self.seats.len()
    }

    /// When each of so many calls leaves and is answered, if they leave from now on.
    pub fn drain(&self, calls: u64) -> Drain {
        let most = STEPS.max(STEPS_PER_EGRESS.saturating_mul(self.seats.len() as u64));
        let of = u32::try_from(calls.div_ceil(most)).unwrap_or(u32::MAX).max(1);
        let first = Play::new(self, 1).run(calls.min(most));
        // Nothing more leaves where not even those did.
        let packets = if of > 1 && first.len() as u64 == most {
            Play::new(self, of).run(calls.div_ceil(u64::from(of)))
        } else {
            Vec::new()
        };
        Drain { calls: first, packets, of, takes: self.takes }
    }

    /// The quota that alone would hold so many calls the longest; `None` if none of them makes any wait.
    pub fn bottleneck(&self, calls: u64) -> Option<Bottleneck> {
        let finish = |only: Option<Bottleneck>| {
            let last = self.with_only(only).drain(calls).answered_at(calls);
            last.map_or(u64::MAX, Instant::as_micros)
        };
        let unhindered = finish(None);
        let own = (0..self.rules.own.windows.len()).map(Bottleneck::Own);
        let wide = self.rules.wide.iter().enumerate().flat_map(|(rule, (_, limits))| {
            (0..limits.windows.len()).map(move |index| Bottleneck::Wide(rule, index))
        });
        let held = own.chain(wide).map(|quota| (finish(Some(quota)), quota));
        let longest = held.filter(|(at, _)| *at > unhindered).max_by_key(|(at, _)| *at);
        longest.map(|(_, quota)| quota)
    }

    /// The same without any quota but one.
    fn with_only(&self, only: Option<Bottleneck>) -> Self {
        let mut forecast = self.clone();
        let lift = |limits: &mut Limits, name: &dyn Fn(usize) -> Bottleneck| {
            for (index, window) in limits.windows.iter_mut().enumerate() {
                if only != Some(name(index)) {
                    window.units = u32::MAX;
                }
            }
        };
        lift(&mut forecast.rules.own, &Bottleneck::Own);
        for (rule, (_, limits)) in forecast.rules.wide.iter_mut().enumerate() {
            lift(limits, &|index| Bottleneck::Wide(rule, index));
        }
        forecast
    }
}

impl Drain {
    /// When the `nth` call leaves, counted from 1; `None`: never, as things stand, or not within a hundred years.
    pub fn sent_at(&self, nth: u64) -> Option<Instant> {
        let index = usize::try_from(nth.max(1) - 1).ok()?;
        if let Some(at) = self.calls.get(index) {
            return Some(*at);
        }
        let packet = usize::try_from(nth.div_ceil(u64::from(self.of)) - 1).ok()?;
        let at = self.packets.get(packet).copied()?;
        Some(self.calls.last().map_or(at, |last| at.max(*last)))
    }

    /// When it is answered.
    pub fn answered_at(&self, nth: u64) -> Option<Instant> {
        self.sent_at(nth).map(|at| at + self.takes)
    }
}

#[cfg(test)]
mod tests;
