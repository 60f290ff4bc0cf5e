//! The steps of one service that may go to the same egresses, and where those egresses stand.
//!
//! A seat is in one place: ready, parked until an instant, busy until a call ends, held by a budget that it shares, or
//! out (egress down, or its agent without credit). Seats that could send but for a shared budget are held in the
//! order they came, and the whole of it waits for one instant. When that has come they are let out one at a time, for
//! as long as there is something to spend: 256 addresses do not wake up for one unit.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::Map;
use super::lineup::Lineup;
use super::selector::Selector;
use super::service::SeatId;
use super::shared::SharedId;
use crate::ledger::Ready;
use crate::time::Instant;

/// Where a seat is; always in exactly one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Among the ready, to be looked at in the next turn.
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
enum Parked {
    Seat(SeatId),
    Group(SharedId),
}

/// Seats that wait for a budget that they share.
#[derive(Debug)]
struct Group {
    /// `Ready`: in the ring of those that may let seats out. `Out`: holds none.
    place: Place,
    held: BTreeMap<u64, SeatId>,
    arrived: u64,
}

#[derive(Debug)]
pub(super) struct Lane {
    pub(super) selector: Selector,
    pub(super) lineup: Lineup,
    /// Flows that wait here; without any the lane may be given to another selector.
    pub(super) flows: usize,
    /// How many egresses of the roster it has looked at.
    pub(super) drawn: usize,
    places: Map<SeatId, Place>,
    /// In no order: the better of two is taken.
    ready: Vec<SeatId>,
    groups: BTreeMap<SharedId, Group>,
    /// Groups that may let seats out.
    open: VecDeque<SharedId>,
    parked: BTreeSet<(Instant, Parked)>,
}

impl Lane {
    pub(super) fn new(selector: Selector) -> Self {
        Self {
            selector,
            lineup: Lineup::default(),
            flows: 0,
            drawn: 0,
            places: Map::default(),
            ready: Vec::new(),
            groups: BTreeMap::new(),
            open: VecDeque::new(),
            parked: BTreeSet::new(),
        }
    }

    /// Whether a seat is one of this lane's.
    pub(super) fn has(&self, seat: SeatId) -> bool {
        self.places.contains_key(&seat)
    }

    /// A seat belongs here from now on.
    pub(super) fn enter(&mut self, seat: SeatId) {
        self.places.entry(seat).or_insert(Place::Out);
    }

    /// A seat does not belong here any more.
    pub(super) fn expel(&mut self, seat: SeatId) {
        if self.has(seat) {
            self.ready.retain(|other| *other != seat);
            self.place(seat, Place::Out);
            self.places.remove(&seat);
        }
    }

    /// Puts a seat of this lane where the next turn looks at it.
    pub(super) fn make_ready(&mut self, seat: SeatId) {
        if self.places.get(&seat).is_some_and(|place| *place != Place::Ready) {
            self.place(seat, Place::Ready);
            self.ready.push(seat);
        }
    }

    /// Puts a seat that was taken from the ready back among them.
    pub(super) fn requeue(&mut self, seat: SeatId) {
        self.ready.push(seat);
    }

    /// Moves a seat out of its old place; the caller puts it among the ready if the new one is `Ready`.
    pub(super) fn place(&mut self, seat: SeatId, place: Place) {
        let Some(current) = self.places.get_mut(&seat) else { return };
        match std::mem::replace(current, place) {
            Place::Parked(until) => {
                self.parked.remove(&(until, Parked::Seat(seat)));
            }
            Place::Held(id, ticket) => {
                if let Some(group) = self.groups.get_mut(&id) {
                    group.held.remove(&ticket);
                }
            }
            Place::Ready | Place::Busy | Place::Out => {}
        }
        if let Place::Parked(until) = place {
            self.parked.insert((until, Parked::Seat(seat)));
        }
    }

    /// Has a seat wait with the others for a budget that it shares.
    pub(super) fn hold(&mut self, seat: SeatId, id: SharedId, ready: Ready) {
        let fresh = || Group { place: Place::Out, held: BTreeMap::new(), arrived: 0 };
        let group = self.groups.entry(id).or_insert_with(fresh);
        group.arrived += 1;
        let ticket = group.arrived;
        group.held.insert(ticket, seat);
        self.place(seat, Place::Held(id, ticket));
        match ready {
            Ready::At(at) => self.place_group(id, Place::Parked(at)),
            Ready::OnCompletion | Ready::Now => self.place_group(id, Place::Busy),
        }
    }

    /// A shared budget may have something to spend: the next turn sees whether it has.
    pub(super) fn open(&mut self, id: SharedId) {
        let waits = |group: &Group| !group.held.is_empty() && group.place != Place::Ready;
        if self.groups.get(&id).is_some_and(waits) {
            self.place_group(id, Place::Ready);
            self.open.push_back(id);
        }
    }

    fn place_group(&mut self, id: SharedId, place: Place) {
        let Some(group) = self.groups.get_mut(&id) else { return };
        if let Place::Parked(until) = std::mem::replace(&mut group.place, place) {
            self.parked.remove(&(until, Parked::Group(id)));
        }
        if let Place::Parked(until) = place {
            self.parked.insert((until, Parked::Group(id)));
        }
    }

    /// Whatever waited for an instant until now is to be looked at.
    pub(super) fn unpark(&mut self, now: Instant) {
        while let Some((_, who)) = self.parked.first().copied().filter(|entry| entry.0 <= now) {
            match who {
                Parked::Seat(seat) => self.make_ready(seat),
                Parked::Group(id) => {
                    self.place_group(id, Place::Out);
                    self.open(id);
                }
            }
        }
    }

    /// The seat that was made ready last, out of its place.
    pub(super) fn last_ready(&mut self) -> Option<SeatId> {
        self.ready.pop()
    }

    /// The next seat to look at, out of its place: the better of two of the ready, else from a shared budget that lets
    /// some out.
    pub(super) fn next_seat(
        &mut self,
        rng: &mut fastrand::Rng,
        mut better: impl FnMut(SeatId, SeatId) -> bool,
    ) -> Option<SeatId> {
        match self.ready.len() {
            0 => self.let_out(),
            1 => self.ready.pop(),
            all => {
                let one = rng.usize(..all);
                let other = (one + 1 + rng.usize(..all - 1)) % all;
                let taken = if better(self.ready[other], self.ready[one]) { other } else { one };
                Some(self.ready.swap_remove(taken))
            }
        }
    }

    fn let_out(&mut self) -> Option<SeatId> {
        while let Some(id) = self.open.front().copied() {
            let group = self.groups.get_mut(&id)?;
            if group.place == Place::Ready
                && let Some((_, seat)) = group.held.pop_first()
            {
                self.places.insert(seat, Place::Ready);
                return Some(seat);
            }
            if group.place == Place::Ready {
                group.place = Place::Out;
            }
            self.open.pop_front();
        }
        None
    }

    /// When a seat or a shared budget is to be looked at by time alone.
    pub(super) fn next_wake(&self) -> Option<Instant> {
        self.parked.first().map(|entry| entry.0)
    }

    #[cfg(test)]
    pub(super) fn place_of(&self, seat: SeatId) -> Option<Place> {
        self.places.get(&seat).copied()
    }

    #[cfg(test)]
    pub(super) fn group_place(&self, id: SharedId) -> Option<Place> {
        self.groups.get(&id).map(|group| group.place)
    }

    /// Every seat stands where its place says, and in no second place.
    #[cfg(test)]
    pub(super) fn check_places(&self) {
        let parked = |who: Parked| self.parked.iter().find(|entry| entry.1 == who).map(|entry| entry.0);
        for (seat, place) in &self.places {
            let ready = self.ready.iter().filter(|other| *other == seat).count();
            assert_eq!(ready, usize::from(*place == Place::Ready), "{seat:?} {place:?}");
            let until = if let Place::Parked(until) = place { Some(*until) } else { None };
            assert_eq!(parked(Parked::Seat(*seat)), until);
            if let Place::Held(id, ticket) = place {
                assert_eq!(self.groups[id].held.get(ticket), Some(seat));
            }
        }
        for (id, group) in &self.groups {
            let until = if let Place::Parked(until) = group.place { Some(until) } else { None };
            assert_eq!(parked(Parked::Group(*id)), until);
            assert!(group.place != Place::Ready || self.open.contains(id));
            assert!(group.place != Place::Out || group.held.is_empty(), "{id:?} holds seats for nothing");
        }
    }
}
