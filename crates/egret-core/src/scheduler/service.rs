//! One service: a seat for each egress that it was used from, what the seats share, and its lanes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use super::Map;
use super::flights::Flights;
use super::lane::{Lane, Place};
use super::lineup::{self, Turn, Turns};
use super::outage::Breaker;
use super::selector::Selector;
use super::shared::{Shared, SharedId};
use crate::id::{AttemptId, EgressId, FlowId, JobId};
use crate::ledger::{Ledger, Ready};
use crate::quota::{Limits, Rules, Window};
use crate::scope::{Scope, ScopeKey};
use crate::time::Instant;

/// A window from here on is long: what is spent of it is missed for a while (chosen).
const LONG: Duration = Duration::from_secs(600);
/// Parts of a long window that are told apart when egresses are compared.
const PARTS: u64 = 16;

/// The index of a seat at its service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct SeatId(pub(super) u32);

/// An egress at a service: two lines of memory, with all that most decisions ask about the pair.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Seat {
    pub(super) egress: EgressId,
    pub(super) ledger: Ledger,
    /// Where it stands in the first lane.
    pub(super) place: Option<Place>,
    /// Calls were made from it, or somebody knows of some.
    pub(super) is_used: bool,
    /// The shared budgets that its calls count towards as well.
    pub(super) shares: ListId,
    pub(super) merit: Merit,
}

/// A list of shared budgets at a service: the one that most lists consist of, or where a longer one begins, and below
/// that, in 4 bits, how long it is. A service has a budget of each wide rule at most, of which there are fewer than 16.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ListId(u32);

impl ListId {
    const LEN: u32 = 4;

    fn new(first: u32, len: usize) -> Option<Self> {
        let len = u32::try_from(len).ok()?;
        let fits = first >> (u32::BITS - Self::LEN) == 0 && len >> Self::LEN == 0;
        fits.then_some(Self(first << Self::LEN | len))
    }

    fn of(self, lists: &[SharedId]) -> impl Iterator<Item = SharedId> {
        (0..self.0 & ((1 << Self::LEN) - 1)).map_while(move |nth| self.nth(nth, lists))
    }

    fn nth(self, nth: u32, lists: &[SharedId]) -> Option<SharedId> {
        let (first, len) = (self.0 >> Self::LEN, self.0 & ((1 << Self::LEN) - 1));
        match len {
            1 if nth == 0 => Some(SharedId(first)),
            _ if nth < len => lists.get((first + nth) as usize).copied(),
            _ => None,
        }
    }
}

/// How good a choice a seat is among others that may send: less is better, the first field first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Merit {
    /// The part in use of its tightest long window, in sixteenths.
    fill: u8,
    /// Calls without an answer in a row.
    silent: u8,
    /// Calls in flight.
    busy: u8,
    /// The usual time of an answer, as a power of two of milliseconds.
    slow: u8,
}

#[derive(Debug)]
pub(super) struct Service {
    pub(super) rules: Rules,
    pub(super) lanes: Vec<Lane>,
    pub(super) turns: Turns,
    pub(super) paused: bool,
    pub(super) breaker: Breaker,
    /// Steps in back-off, by the instant that ends it.
    pub(super) delayed: BTreeSet<(Instant, JobId)>,
    /// Steps that avoid an egress, by the instant that ends it.
    pub(super) grudges: BTreeSet<(Instant, JobId)>,
    /// Flows by a deadline not later than that of their first step.
    pub(super) due: BTreeSet<(Instant, FlowId)>,
    /// Steps that wait, in memory or beyond, without those in back-off.
    pub(super) waiting: u64,
    /// It gets a turn in the next tick.
    pub(super) is_touched: bool,
    /// When its timer is set for.
    pub(super) wake_at: Option<Instant>,
    pub(super) seats: Vec<Seat>,
    by_egress: Map<EgressId, SeatId>,
    pub(super) shared: Vec<Shared>,
    by_key: BTreeMap<(usize, ScopeKey), SharedId>,
    /// What seats share, or shared once, each list of several once and one behind the other: every call keeps where one is.
    lists: Vec<SharedId>,
    by_list: BTreeMap<Box<[SharedId]>, ListId>,
    /// Attempts by the instant from which they count as lost; that is always the same time after the grant. The first is
    /// under way, those behind it may have ended.
    pub(super) overdue: VecDeque<(Instant, AttemptId)>,
    pub(super) in_flight: usize,
    /// Its tightest long window.
    long: Option<usize>,
    /// Where the next look for ledgers that can be shed begins.
    shed_from: usize,
}

impl Service {
    pub(super) fn new(rules: Rules) -> Self {
        let rate = |window: &Window| f64::from(window.units) / window.span().as_secs_f64();
        let long = rules.own.windows.iter().enumerate().filter(|(_, window)| window.span() >= LONG);
        let long = long.min_by(|a, b| rate(a.1).total_cmp(&rate(b.1))).map(|(index, _)| index);
        Self {
            rules,
            lanes: vec![Lane::first()],
            turns: Turns::default(),
            paused: false,
            breaker: Breaker::default(),
            delayed: BTreeSet::new(),
            grudges: BTreeSet::new(),
            due: BTreeSet::new(),
            waiting: 0,
            is_touched: false,
            wake_at: None,
            seats: Vec::new(),
            by_egress: Map::default(),
            shared: Vec::new(),
            by_key: BTreeMap::new(),
            lists: Vec::new(),
            by_list: BTreeMap::new(),
            overdue: VecDeque::new(),
            in_flight: 0,
            long,
            shed_from: 0,
        }
    }

    pub(super) fn seat_of(&self, egress: EgressId) -> Option<SeatId> {
        self.by_egress.get(&egress).copied()
    }

    pub(super) fn find(&self, egress: EgressId) -> Option<&Seat> {
        self.seat_of(egress).map(|id| &self.seats[id.0 as usize])
    }

    /// The lane of a selector; made unless there is one.
    pub(super) fn lane_of(&mut self, selector: Selector) -> usize {
        if let Some(index) = self.lanes.iter().position(|lane| lane.selector == selector) {
            return index;
        }
        let fresh = Lane::new(selector);
        match (1..self.lanes.len()).find(|index| self.lanes[*index].flows == 0) {
            Some(index) => {
                self.lanes[index] = fresh;
                index
            }
            None => {
                self.lanes.push(fresh);
                self.lanes.len() - 1
            }
        }
    }

    /// Makes a seat unless there is one; true if it did. It stands in every lane that takes it.
    pub(super) fn seat(&mut self, egress: EgressId, home: Option<&(IpAddr, Vec<String>)>) -> (SeatId, bool) {
        if let Some(id) = self.seat_of(egress) {
            return (id, false);
        }
        let shares = self.shares(home);
        let id = SeatId(u32::try_from(self.seats.len()).unwrap_or(u32::MAX));
        let (ledger, merit) = (Ledger::default(), Merit::default());
        self.seats.push(Seat { egress, ledger, place: None, is_used: false, shares, merit });
        self.by_egress.insert(egress, id);
        let lanes = self.lanes.iter_mut().filter(|lane| lane.selector.takes_home(home));
        lanes.for_each(|lane| lane.enter(&mut self.seats, id));
        (id, true)
    }

    /// The egress lives there now: what it shares, and which lanes take it, may be other than before.
    pub(super) fn rehome(&mut self, egress: EgressId, home: Option<&(IpAddr, Vec<String>)>) {
        let shares = self.shares(home);
        let Some(id) = self.seat_of(egress) else { return };
        self.seats[id.0 as usize].shares = shares;
        for lane in &mut self.lanes {
            if lane.selector.takes_home(home) {
                lane.enter(&mut self.seats, id);
            } else {
                lane.expel(&mut self.seats, id);
            }
        }
    }

    fn shares(&mut self, home: Option<&(IpAddr, Vec<String>)>) -> ListId {
        let mut shares = Vec::with_capacity(self.rules.wide.len());
        for rule in 0..self.rules.wide.len() {
            let key = home.and_then(|(address, tags)| self.rules.wide[rule].0.key(*address, tags));
            shares.extend(key.map(|key| self.shared_id(rule, key)));
        }
        let id = |first, len| ListId::new(first, len).expect("memory ends before the lists do");
        if let [only] = shares[..] {
            return id(only.0, 1);
        }
        if let Some(known) = self.by_list.get(shares.as_slice()) {
            return *known;
        }
        let id = id(u32::try_from(self.lists.len()).unwrap_or(u32::MAX), shares.len());
        self.lists.extend(&shares);
        self.by_list.insert(shares.into(), id);
        id
    }

    fn list(&self, id: ListId) -> impl Iterator<Item = SharedId> {
        id.of(&self.lists)
    }

    /// The shared budgets of whoever lives there, as far as they have come up.
    pub(super) fn found(&self, home: Option<&(IpAddr, Vec<String>)>) -> impl Iterator<Item = SharedId> {
        self.keys(home).filter_map(|key| self.by_key.get(&key).copied())
    }

    fn keys(&self, home: Option<&(IpAddr, Vec<String>)>) -> impl Iterator<Item = (usize, ScopeKey)> {
        let wide = home
            .into_iter()
            .flat_map(|home| self.rules.wide.iter().enumerate().map(move |wide| (home, wide)));
        wide.filter_map(|((address, tags), (rule, (scope, _)))| Some((rule, scope.key(*address, tags)?)))
    }

    fn shared_id(&mut self, rule: usize, key: ScopeKey) -> SharedId {
        let known = (rule, key);
        if let Some(id) = self.by_key.get(&known) {
            return *id;
        }
        let id = SharedId(u32::try_from(self.shared.len()).unwrap_or(u32::MAX));
        self.shared.push(Shared::new(rule, known.1.clone(), &self.rules.wide[rule].1));
        self.by_key.insert(known, id);
        id
    }

    /// Changes the ledger of an existing seat.
    pub(super) fn change(&mut self, egress: EgressId, change: impl FnOnce(&mut Ledger, &Limits)) {
        let Some(id) = self.seat_of(egress) else { return };
        let seat = &mut self.seats[id.0 as usize];
        change(&mut seat.ledger, &self.rules.own);
        seat.is_used = true;
        seat.merit.busy = u8::try_from(seat.ledger.in_flight()).unwrap_or(u8::MAX);
        self.make_ready(id);
    }

    /// Changes the ledger that egresses of this scope share; nothing if the service has no such quota (any more).
    pub(super) fn change_shared(
        &mut self,
        scope: &Scope,
        key: &ScopeKey,
        change: impl FnOnce(&mut Ledger, &Limits),
    ) {
        let Some(rule) = self.rules.wide.iter().position(|(other, _)| other == scope) else { return };
        let id = self.shared_id(rule, key.clone());
        change(&mut self.shared[id.0 as usize].ledger, &self.rules.wide[rule].1);
        self.open(id);
    }

    /// Takes a unit for a call that leaves at `now` from a seat and from all that it shares.
    pub(super) fn reserve_all(&mut self, id: SeatId, now: Instant) {
        let seat = &mut self.seats[id.0 as usize];
        seat.ledger.reserve(&self.rules.own, now);
        seat.is_used = true;
        seat.merit.busy = u8::try_from(seat.ledger.in_flight()).unwrap_or(u8::MAX);
        if let Some(index) = self.long {
            let (used, units) =
                (seat.ledger.used(&self.rules.own, index, now), self.rules.own.windows[index].units);
            seat.merit.fill = (u64::from(used) * PARTS / u64::from(units.max(1))).min(PARTS) as u8;
        }
        for id in seat.shares.of(&self.lists) {
            let shared = &mut self.shared[id.0 as usize];
            shared.ledger.reserve(shared.limits(&self.rules), now);
        }
    }

    /// A call from an egress was answered after so long, or not at all.
    pub(super) fn judge(&mut self, id: SeatId, took: Option<Duration>) {
        let seat = &mut self.seats[id.0 as usize];
        match took {
            None => seat.merit.silent = seat.merit.silent.saturating_add(1),
            Some(took) => {
                seat.merit.silent = 0;
                seat.merit.slow = (u128::BITS - took.as_millis().leading_zeros()) as u8;
            }
        }
    }

    /// A call of this seat was refused: it rests, and its network with it if that looks like more than one's own fault.
    /// True if one of them did not rest before.
    pub(super) fn refuse(
        &mut self,
        egress: EgressId,
        shares: ListId,
        sent_at: Instant,
        named: Option<Duration>,
        spread: f64,
        now: Instant,
    ) -> bool {
        let mut begins = !self.rests(egress, now);
        let Some(id) = self.seat_of(egress) else { return false };
        let ledger = &mut self.seats[id.0 as usize].ledger;
        let Some(until) = ledger.refuse(&self.rules.own, sent_at, named, spread, now) else {
            return false;
        };
        for id in shares.of(&self.lists) {
            let shared = &mut self.shared[id.0 as usize];
            if matches!(shared.key, ScopeKey::Subnet(..)) {
                let rested = shared.rests(now);
                shared.refuse(egress, until, now);
                begins |= !rested && shared.rests(now);
            }
        }
        begins
    }

    /// Charges what one egress has spent lately to what another one shares and it does not.
    pub(super) fn moved(&mut self, from: EgressId, to: EgressId, lately: Duration, now: Instant) {
        let (Some(old), Some(new)) = (self.find(from), self.find(to)) else { return };
        let former: Vec<SharedId> = self.list(old.shares).collect();
        let gained: Vec<SharedId> = self.list(new.shares).filter(|id| !former.contains(id)).collect();
        // Without a quota of its own, what others shared with it tells the most that it can have been.
        let shared = former.iter().map(|id| &self.shared[id.0 as usize]).filter_map(|shared| {
            shared.ledger.snapshot(&self.rules.wide[shared.rule].1, now).calls_in(lately)
        });
        let own = old.ledger.snapshot(&self.rules.own, now).calls_in(lately);
        let calls = own.or_else(|| shared.min()).unwrap_or(0);
        for id in gained {
            self.change_share(id, |ledger, limits| ledger.spend_unknown(limits, calls, now));
        }
    }

    /// Changes the ledger of a seat and those of what it shares, each by its own limits.
    pub(super) fn change_all(
        &mut self,
        egress: EgressId,
        shares: ListId,
        mut change: impl FnMut(&mut Ledger, &Limits),
    ) {
        self.change(egress, &mut change);
        self.change_shares(shares, change);
    }

    /// True if somebody waited for one of them.
    fn change_shares(&mut self, shares: ListId, mut change: impl FnMut(&mut Ledger, &Limits)) -> bool {
        let mut opens = false;
        let mut nth = 0;
        while let Some(id) = shares.nth(nth, &self.lists) {
            opens |= self.change_share(id, &mut change);
            nth += 1;
        }
        opens
    }

    fn change_share(&mut self, id: SharedId, change: impl FnOnce(&mut Ledger, &Limits)) -> bool {
        let shared = &mut self.shared[id.0 as usize];
        let limits = shared.limits(&self.rules);
        change(&mut shared.ledger, limits);
        self.open(id)
    }

    /// The same for a call that has ended and is charged: that lets nothing leave earlier than was known, unless the seat
    /// waited for it. Looked at here, while the ledger is at hand. True if a seat is to be looked at, or earlier than
    /// before.
    pub(super) fn charge_all(
        &mut self,
        id: SeatId,
        shares: ListId,
        lead: Duration,
        now: Instant,
        mut change: impl FnMut(&mut Ledger, &Limits),
    ) -> bool {
        let seat = &mut self.seats[id.0 as usize];
        change(&mut seat.ledger, &self.rules.own);
        seat.is_used = true;
        seat.merit.busy = u8::try_from(seat.ledger.in_flight()).unwrap_or(u8::MAX);
        let ready = seat.ledger.ready_ahead(&self.rules.own, lead, now);
        let mut moves = false;
        for lane in &mut self.lanes {
            let seats = &mut self.seats;
            match (lane.place_of(seats, id), ready) {
                (Some(Place::Busy), Ready::At(at)) => lane.place(seats, id, Place::Parked(at)),
                (Some(Place::Parked(until)), Ready::At(at)) if at < until => {
                    lane.place(seats, id, Place::Parked(at));
                }
                (Some(Place::Busy | Place::Parked(_)), Ready::Now) => lane.make_ready(seats, id),
                _ => continue,
            }
            moves = true;
        }
        self.change_shares(shares, change) | moves
    }

    /// Whether a turn would look at a seat: no step wanted it in the last one.
    pub(super) fn has_ready(&self) -> bool {
        self.lanes.iter().any(Lane::has_ready)
    }

    /// An attempt has ended. True if it was the one that the timer may be set for; then the next one is.
    pub(super) fn clear_overdue(&mut self, attempt: AttemptId, flights: &Flights) -> bool {
        let is_first = self.overdue.front().is_some_and(|entry| entry.1 == attempt);
        while is_first && self.overdue.front().is_some_and(|entry| !flights.has(entry.1)) {
            self.overdue.pop_front();
        }
        is_first
    }

    /// Whether a call may be handed to a seat's agent, and if not, which shared budget is in the way.
    pub(super) fn outlook(&self, seat: &Seat, lead: Duration, now: Instant) -> (Ready, Option<SharedId>) {
        match seat.ledger.ready_ahead(&self.rules.own, lead, now) {
            Ready::Now => {}
            own => return (own, None),
        }
        let blocked = self.list(seat.shares).map(|id| (self.shared_ready(id, now), Some(id)));
        blocked.into_iter().find(|(ready, _)| *ready != Ready::Now).unwrap_or((Ready::Now, None))
    }

    /// Shared budgets are spent from several hosts, each with a clock of its own: nothing is handed out early.
    fn shared_ready(&self, id: SharedId, now: Instant) -> Ready {
        let shared = &self.shared[id.0 as usize];
        shared.ledger.ready(shared.limits(&self.rules), now)
    }

    /// Whether calls from an egress wait for the end of a rest, its own or its network's.
    pub(super) fn rests(&self, egress: EgressId, now: Instant) -> bool {
        let own = |seat: &Seat| seat.ledger.rest().is_some_and(|rest| rest.until > now);
        let shared = |seat: &Seat| self.list(seat.shares).any(|id| self.shared[id.0 as usize].rests(now));
        self.find(egress).is_some_and(|seat| own(seat) || shared(seat))
    }

    /// Has the next turn look at a seat, in every lane that takes it.
    pub(super) fn make_ready(&mut self, id: SeatId) {
        self.lanes.iter_mut().for_each(|lane| lane.make_ready(&mut self.seats, id));
    }

    fn open(&mut self, id: SharedId) -> bool {
        self.lanes.iter_mut().fold(false, |opens, lane| lane.open(&self.seats, id) | opens)
    }

    pub(super) fn unpark(&mut self, now: Instant) {
        self.lanes.iter_mut().for_each(|lane| lane.unpark(&mut self.seats, now));
    }

    /// Of the ready seats of a lane, the better of two.
    pub(super) fn draw(&mut self, lane: usize, rng: &mut fastrand::Rng) -> Option<SeatId> {
        self.lanes[lane].next_seat(&mut self.seats, rng)
    }

    /// The next step of a lane that does not avoid this egress; it is that tenant's turn taken.
    pub(super) fn take_turn(
        &mut self,
        lane: usize,
        egress: Option<EgressId>,
        weight: impl FnOnce(&Turn) -> u32,
    ) -> Option<Turn> {
        let turn = self.lanes[lane].lineup.next(&self.turns, egress)?;
        let lineups = self.lanes.iter_mut().map(|lane| &mut lane.lineup);
        lineup::charge(&mut self.turns, lineups, &turn, weight(&turn));
        Some(turn)
    }

    /// Frees ledgers that say nothing, of up to `most` seats, going on where it stopped.
    pub(super) fn shed(&mut self, most: usize, now: Instant) {
        let own = &self.rules.own;
        let end = (self.shed_from + most).min(self.seats.len());
        for seat in &mut self.seats[self.shed_from.min(end)..end] {
            seat.ledger.shed(own, now);
        }
        self.shed_from = if end == self.seats.len() { 0 } else { end };
        for shared in &mut self.shared {
            shared.ledger.shed(&self.rules.wide[shared.rule].1, now);
        }
    }

    /// Whether a step could be handed out if a seat were free for it.
    pub(super) fn is_granting(&self, now: Instant) -> bool {
        !self.paused && self.breaker.lets(now)
    }

    /// When something happens here by time alone; `may_grant`: nothing holds everything up.
    pub(super) fn next_wake(&self, may_grant: bool, now: Instant) -> Option<Instant> {
        let waits = || self.lanes.iter().filter(|lane| !lane.lineup.is_empty());
        // During an outage nothing is looked at before the next trial.
        let opens = self.breaker.opens_at(now).filter(|_| may_grant && !self.paused);
        let seats = opens.and_then(|opens| Some(waits().filter_map(Lane::next_wake).min()?.max(opens)));
        let trial = opens.filter(|opens| *opens > now && waits().next().is_some());
        let first = |set: &BTreeSet<(Instant, JobId)>| set.first().map(|entry| entry.0);
        let due = self.due.first().map(|entry| entry.0);
        let overdue = self.overdue.front().map(|entry| entry.0);
        [seats, trial, first(&self.delayed), first(&self.grudges), overdue, due].into_iter().flatten().min()
    }

    #[cfg(test)]
    pub(super) fn check_places(&self) {
        self.lanes.iter().for_each(|lane| lane.check_places(&self.seats));
    }
}
