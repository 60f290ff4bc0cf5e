//! One service: its queue, its seats, and what the seats share.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::queue::Queue;
use super::shared::{Shared, SharedId};
use crate::id::{AttemptId, EgressId, JobId};
use crate::ledger::{Ledger, Ready};
use crate::quota::{Limits, Rules};
use crate::scope::{Scope, ScopeKey};
use crate::time::Instant;

/// Where a seat is; always in exactly one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In the ready ring, to be looked at in the next turn.
    Ready,
    /// In the parked set: nothing can leave before.
    Parked(Instant),
    /// Nothing can leave before one of its calls has ended.
    Busy,
    /// Held by a budget that it shares, with this ticket.
    Held(SharedId, u64),
    /// Its egress is down or its agent has no credit.
    Out,
}

/// Who is parked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Parked {
    Seat(EgressId),
    Shared(SharedId),
}

#[derive(Debug)]
pub(super) struct Seat {
    pub(super) ledger: Ledger,
    /// Calls were made from it, or somebody knows of some.
    pub(super) is_used: bool,
    pub(super) place: Place,
    /// The shared budgets that its calls count towards as well.
    pub(super) shares: Arc<[SharedId]>,
}

#[derive(Debug)]
pub(super) struct Lane {
    pub(super) rules: Rules,
    pub(super) queue: Queue,
    pub(super) paused: bool,
    /// Steps in back-off, by the instant that ends it.
    pub(super) delayed: BTreeSet<(Instant, JobId)>,
    /// When the lane's timer is set for.
    pub(super) wake_at: Option<Instant>,
    pub(super) seats: BTreeMap<EgressId, Seat>,
    pub(super) shared: Vec<Shared>,
    by_key: BTreeMap<(usize, ScopeKey), SharedId>,
    ready: VecDeque<EgressId>,
    /// Shared budgets that may let seats out.
    open: VecDeque<SharedId>,
    parked: BTreeSet<(Instant, Parked)>,
    /// How many egresses of the roster this lane has looked at.
    pub(super) drawn: usize,
    /// Attempts in flight by the instant from which they count as lost.
    pub(super) overdue: BTreeSet<(Instant, AttemptId)>,
    /// Where the next look for ledgers that can be shed begins.
    shed_from: EgressId,
}

impl Lane {
    pub(super) fn new(rules: Rules) -> Self {
        Self {
            rules,
            queue: Queue::default(),
            paused: false,
            delayed: BTreeSet::new(),
            wake_at: None,
            seats: BTreeMap::new(),
            shared: Vec::new(),
            by_key: BTreeMap::new(),
            ready: VecDeque::new(),
            open: VecDeque::new(),
            parked: BTreeSet::new(),
            drawn: 0,
            overdue: BTreeSet::new(),
            shed_from: EgressId(0),
        }
    }

    pub(super) fn in_flight(&self) -> usize {
        self.overdue.len()
    }

    /// Makes a seat unless there is one; true if it did.
    pub(super) fn seat(&mut self, egress: EgressId, home: Option<&(IpAddr, Vec<String>)>) -> bool {
        if self.seats.contains_key(&egress) {
            return false;
        }
        let shares = self.shares(home);
        self.seats
            .insert(egress, Seat { ledger: Ledger::default(), is_used: false, place: Place::Out, shares });
        true
    }

    /// The egress lives there now: what it shares may be other than before.
    pub(super) fn rehome(&mut self, egress: EgressId, home: Option<&(IpAddr, Vec<String>)>) {
        let shares = self.shares(home);
        if let Some(seat) = self.seats.get_mut(&egress) {
            seat.shares = shares;
        }
    }

    fn shares(&mut self, home: Option<&(IpAddr, Vec<String>)>) -> Arc<[SharedId]> {
        let keys: Vec<(usize, ScopeKey)> = self.keys(home).collect();
        keys.into_iter().map(|(rule, key)| self.shared_id(rule, key)).collect()
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
        let next = SharedId(u32::try_from(self.shared.len()).unwrap_or(u32::MAX));
        let id = *self.by_key.entry((rule, key.clone())).or_insert(next);
        if id == next {
            self.shared.push(Shared::new(rule, key));
        }
        id
    }

    /// Changes the ledger of an existing seat.
    pub(super) fn change(&mut self, egress: EgressId, change: impl FnOnce(&mut Ledger, &Limits)) {
        if let Some(seat) = self.seats.get_mut(&egress) {
            change(&mut seat.ledger, &self.rules.own);
            seat.is_used = true;
            self.make_ready(egress);
        }
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
    pub(super) fn reserve_all(&mut self, egress: EgressId, shares: &[SharedId], now: Instant) {
        if let Some(seat) = self.seats.get_mut(&egress) {
            seat.ledger.reserve(&self.rules.own, now);
            seat.is_used = true;
        }
        for id in shares {
            let shared = &mut self.shared[id.0 as usize];
            shared.ledger.reserve(&self.rules.wide[shared.rule].1, now);
        }
    }

    /// A call of this seat was refused: it rests, and its network with it if that looks like more than one's own fault.
    /// True if one of them did not rest before.
    pub(super) fn refuse(
        &mut self,
        egress: EgressId,
        shares: &[SharedId],
        sent_at: Instant,
        named: Option<Duration>,
        spread: f64,
        now: Instant,
    ) -> bool {
        let mut begins = !self.rests(egress, now);
        let Some(seat) = self.seats.get_mut(&egress) else { return false };
        let Some(until) = seat.ledger.refuse(&self.rules.own, sent_at, named, spread, now) else {
            return false;
        };
        for id in shares {
            let shared = &mut self.shared[id.0 as usize];
            if matches!(shared.key, ScopeKey::Subnet(..)) {
                let rested = shared.rests(now);
                shared.refuse(&self.rules.wide[shared.rule].1, egress, until, now);
                begins |= !rested && shared.rests(now);
            }
        }
        begins
    }

    /// Changes the ledger of a seat and those of what it shares, each by its own limits.
    pub(super) fn change_all(
        &mut self,
        egress: EgressId,
        shares: &[SharedId],
        mut change: impl FnMut(&mut Ledger, &Limits),
    ) {
        if let Some(seat) = self.seats.get_mut(&egress) {
            change(&mut seat.ledger, &self.rules.own);
            seat.is_used = true;
        }
        for id in shares {
            let shared = &mut self.shared[id.0 as usize];
            change(&mut shared.ledger, &self.rules.wide[shared.rule].1);
            self.open(*id);
        }
        self.make_ready(egress);
    }

    /// Whether a call may be handed to a seat's agent, and if not, which shared budget is in the way.
    pub(super) fn outlook(&self, seat: &Seat, lead: Duration, now: Instant) -> (Ready, Option<SharedId>) {
        match seat.ledger.ready_ahead(&self.rules.own, lead, now) {
            Ready::Now => {}
            own => return (own, None),
        }
        let blocked = seat.shares.iter().map(|id| (self.shared_ready(*id, now), Some(*id)));
        blocked.into_iter().find(|(ready, _)| *ready != Ready::Now).unwrap_or((Ready::Now, None))
    }

    /// Shared budgets are spent from several hosts, each with a clock of its own: nothing is handed out early.
    pub(super) fn shared_ready(&self, id: SharedId, now: Instant) -> Ready {
        let shared = &self.shared[id.0 as usize];
        shared.ledger.ready(&self.rules.wide[shared.rule].1, now)
    }

    /// Whether calls from an egress wait for the end of a rest, its own or its network's.
    pub(super) fn rests(&self, egress: EgressId, now: Instant) -> bool {
        let own = |seat: &Seat| seat.ledger.rest().is_some_and(|rest| rest.until > now);
        let shared = |seat: &Seat| seat.shares.iter().any(|id| self.shared[id.0 as usize].rests(now));
        self.seats.get(&egress).is_some_and(|seat| own(seat) || shared(seat))
    }

    /// Puts an existing seat where the next turn looks at it.
    pub(super) fn make_ready(&mut self, egress: EgressId) {
        if self.seats.get(&egress).is_some_and(|seat| seat.place != Place::Ready) {
            self.place(egress, Place::Ready);
            self.ready.push_back(egress);
        }
    }

    /// Puts a seat that was taken from the ring to its end.
    pub(super) fn requeue(&mut self, egress: EgressId) {
        self.ready.push_back(egress);
    }

    /// Moves a seat out of its old place; the caller puts it into the ring if the new one is `Ready`.
    pub(super) fn place(&mut self, egress: EgressId, place: Place) {
        let Some(seat) = self.seats.get_mut(&egress) else { return };
        match std::mem::replace(&mut seat.place, place) {
            Place::Parked(until) => {
                self.parked.remove(&(until, Parked::Seat(egress)));
            }
            Place::Held(id, ticket) => self.shared[id.0 as usize].let_go(ticket),
            Place::Ready | Place::Busy | Place::Out => {}
        }
        if let Place::Parked(until) = place {
            self.parked.insert((until, Parked::Seat(egress)));
        }
    }

    /// Has a seat wait with the others for a budget that it shares.
    pub(super) fn hold(&mut self, egress: EgressId, id: SharedId, ready: Ready) {
        let ticket = self.shared[id.0 as usize].hold(egress);
        self.place(egress, Place::Held(id, ticket));
        match ready {
            Ready::At(at) => self.place_shared(id, Place::Parked(at)),
            Ready::OnCompletion | Ready::Now => self.place_shared(id, Place::Busy),
        }
    }

    /// A shared budget may have something to spend: the next turn sees whether it has.
    fn open(&mut self, id: SharedId) {
        let shared = &self.shared[id.0 as usize];
        if !shared.holds_none() && shared.place != Place::Ready {
            self.place_shared(id, Place::Ready);
            self.open.push_back(id);
        }
    }

    fn place_shared(&mut self, id: SharedId, place: Place) {
        let shared = &mut self.shared[id.0 as usize];
        if let Place::Parked(until) = std::mem::replace(&mut shared.place, place) {
            self.parked.remove(&(until, Parked::Shared(id)));
        }
        if let Place::Parked(until) = place {
            self.parked.insert((until, Parked::Shared(id)));
        }
    }

    /// Whatever waited for an instant until now is to be looked at.
    pub(super) fn unpark(&mut self, now: Instant) {
        while let Some((_, who)) = self.parked.first().copied().filter(|entry| entry.0 <= now) {
            match who {
                Parked::Seat(egress) => self.make_ready(egress),
                Parked::Shared(id) => {
                    self.place_shared(id, Place::Out);
                    self.open(id);
                }
            }
        }
    }

    /// The next seat to look at, out of its place: from the ring, else from a shared budget that lets some out.
    pub(super) fn next_seat(&mut self) -> Option<EgressId> {
        if let Some(egress) = self.ready.pop_front() {
            return Some(egress);
        }
        while let Some(id) = self.open.front().copied() {
            let shared = &mut self.shared[id.0 as usize];
            let next = if shared.place == Place::Ready { shared.let_out() } else { None };
            if let Some(seat) = next.and_then(|egress| self.seats.get_mut(&egress)) {
                seat.place = Place::Ready;
                return next;
            }
            if shared.place == Place::Ready {
                shared.place = Place::Out;
            }
            self.open.pop_front();
        }
        None
    }

    /// Frees ledgers that say nothing, of up to `most` seats, going on where it stopped.
    pub(super) fn shed(&mut self, most: usize, now: Instant) {
        let own = &self.rules.own;
        let mut last = None;
        for (egress, seat) in self.seats.range_mut(self.shed_from..).take(most) {
            seat.ledger.shed(own, now);
            last = Some(*egress);
        }
        self.shed_from = last.map_or(EgressId(0), |egress| EgressId(egress.0.saturating_add(1)));
        for shared in &mut self.shared {
            shared.ledger.shed(&self.rules.wide[shared.rule].1, now);
        }
    }

    /// Whether a ready seat would get a step.
    pub(super) fn is_granting(&self) -> bool {
        !self.paused && !self.queue.is_empty()
    }

    /// When something happens in this lane by time alone.
    pub(super) fn next_wake(&self) -> Option<Instant> {
        let parked = self.parked.first().filter(|_| self.is_granting()).map(|entry| entry.0);
        let delayed = self.delayed.first().map(|entry| entry.0);
        let overdue = self.overdue.first().map(|entry| entry.0);
        [parked, delayed, overdue, self.queue.first_deadline()].into_iter().flatten().min()
    }

    /// Every seat stands where its place says, and in no second place.
    #[cfg(test)]
    pub(super) fn check_places(&self) {
        for (egress, seat) in &self.seats {
            let ring = self.ready.iter().filter(|other| *other == egress).count();
            let parked =
                self.parked.iter().find(|entry| entry.1 == Parked::Seat(*egress)).map(|entry| entry.0);
            assert_eq!(ring, usize::from(seat.place == Place::Ready), "{egress:?} {:?}", seat.place);
            assert_eq!(parked, if let Place::Parked(until) = seat.place { Some(until) } else { None });
            if let Place::Held(id, ticket) = seat.place {
                assert_eq!(self.shared[id.0 as usize].holds(ticket), Some(*egress));
            }
        }
        for (index, shared) in self.shared.iter().enumerate() {
            let id = SharedId(u32::try_from(index).unwrap());
            let parked = self.parked.iter().find(|entry| entry.1 == Parked::Shared(id)).map(|entry| entry.0);
            assert_eq!(parked, if let Place::Parked(until) = shared.place { Some(until) } else { None });
            assert!(shared.place != Place::Ready || self.open.contains(&id));
            assert!(
                shared.place != Place::Out || shared.holds_none(),
                "{:?} holds seats for nothing",
                shared.key
            );
        }
    }
}
