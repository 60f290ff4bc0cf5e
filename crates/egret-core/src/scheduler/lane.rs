//! The steps of one service that may go to the same egresses, and where those egresses stand.
//!
//! A seat is in one place: ready, parked until an instant, busy until a call ends, held by a budget that it shares, or
//! out (egress down, or its agent without credit). Seats that could send but for a shared budget are held in the
//! order they came, and the whole of it waits for one instant. When that has come they are let out one at a time, for
//! as long as there is something to spend: 256 addresses do not wake up for one unit.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

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
    /// It has no seat left for this turn.
    pub(super) is_spent: bool,
    /// How many egresses of the roster it has looked at.
    pub(super) drawn: usize,
    /// By seat; `None` for those that are not this lane's.
    places: Vec<Option<Place>>,
    /// In no order: the better of two is taken.
    ready: Vec<SeatId>,
    groups: BTreeMap<SharedId, Group>,
    /// Groups that may let seats out.
    open: VecDeque<SharedId>,
    /// By instant. Entries are left when who they name goes elsewhere, and passed over later: at most as many as hold.
    parked: BinaryHeap<Reverse<(Instant, Parked)>>,
    /// Entries of it that hold.
    holding: usize,
}

/// Entries that may be left in a parked set besides as many as hold.
const LEFT: usize = 64;

impl Lane {
    pub(super) fn new(selector: Selector) -> Self {
        Self {
            selector,
            lineup: Lineup::default(),
            flows: 0,
            is_spent: false,
            drawn: 0,
            places: Vec::new(),
            ready: Vec::new(),
            groups: BTreeMap::new(),
            open: VecDeque::new(),
            parked: BinaryHeap::new(),
            holding: 0,
        }
    }

    /// Whether a seat is one of this lane's.
    pub(super) fn has(&self, seat: SeatId) -> bool {
        self.place_of(seat).is_some()
    }

    /// Where a seat of this lane stands.
    pub(super) fn place_of(&self, seat: SeatId) -> Option<Place> {
        self.places.get(seat.0 as usize).copied().flatten()
    }

    /// A seat belongs here from now on.
    pub(super) fn enter(&mut self, seat: SeatId) {
        let index = seat.0 as usize;
        if self.places.len() <= index {
            self.places.resize(index + 1, None);
        }
        self.places[index].get_or_insert(Place::Out);
    }

    /// A seat does not belong here any more.
    pub(super) fn expel(&mut self, seat: SeatId) {
        if self.has(seat) {
            self.ready.retain(|other| *other != seat);
            self.place(seat, Place::Out);
            self.places[seat.0 as usize] = None;
        }
    }

    /// Puts a seat of this lane where the next turn looks at it.
    pub(super) fn make_ready(&mut self, seat: SeatId) {
        if self.place_of(seat).is_some_and(|place| place != Place::Ready) {
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
        let Some(Some(current)) = self.places.get_mut(seat.0 as usize) else { return };
        match std::mem::replace(current, place) {
            Place::Parked(_) => self.holding -= 1,
            Place::Held(id, ticket) => {
                if let Some(group) = self.groups.get_mut(&id) {
                    group.held.remove(&ticket);
                }
            }
            Place::Ready | Place::Busy | Place::Out => {}
        }
        if let Place::Parked(until) = place {
            self.park(until, Parked::Seat(seat));
        }
    }

    fn park(&mut self, until: Instant, who: Parked) {
        self.holding += 1;
        self.parked.push(Reverse((until, who)));
        if self.parked.len() > 2 * self.holding + LEFT {
            let mut parked = std::mem::take(&mut self.parked);
            parked.retain(|entry| self.holds(entry.0));
            self.parked = parked;
        }
    }

    /// Whether who is named by an entry of the parked set still waits for that instant.
    fn holds(&self, (until, who): (Instant, Parked)) -> bool {
        let place = match who {
            Parked::Seat(seat) => self.place_of(seat),
            Parked::Group(id) => self.groups.get(&id).map(|group| group.place),
        };
        place == Some(Place::Parked(until))
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

    /// A shared budget may have something to spend: the next turn sees whether it has. True if somebody waits for that.
    pub(super) fn open(&mut self, id: SharedId) -> bool {
        let waits = |group: &Group| !group.held.is_empty() && group.place != Place::Ready;
        let opens = self.groups.get(&id).is_some_and(waits);
        if opens {
            self.place_group(id, Place::Ready);
            self.open.push_back(id);
        }
        opens
    }

    fn place_group(&mut self, id: SharedId, place: Place) {
        let Some(group) = self.groups.get_mut(&id) else { return };
        if let Place::Parked(_) = std::mem::replace(&mut group.place, place) {
            self.holding -= 1;
        }
        if let Place::Parked(until) = place {
            self.park(until, Parked::Group(id));
        }
    }

    /// A turn begins: whatever waited for an instant until now is to be looked at.
    pub(super) fn unpark(&mut self, now: Instant) {
        self.is_spent = false;
        while let Some(Reverse(entry)) = self.parked.peek().copied() {
            if self.holds(entry) {
                if entry.0 > now {
                    return;
                }
                match entry.1 {
                    Parked::Seat(seat) => self.make_ready(seat),
                    Parked::Group(id) => {
                        self.place_group(id, Place::Out);
                        self.open(id);
                    }
                }
            }
            self.parked.pop();
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

    /// Whether a turn would look at a seat.
    pub(super) fn has_ready(&self) -> bool {
        let stands = !self.ready.is_empty() || !self.open.is_empty();
        stands && !self.lineup.is_empty()
    }

    fn let_out(&mut self) -> Option<SeatId> {
        while let Some(id) = self.open.front().copied() {
            let group = self.groups.get_mut(&id)?;
            if group.place == Place::Ready
                && let Some((_, seat)) = group.held.pop_first()
            {
                self.places[seat.0 as usize] = Some(Place::Ready);
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
        self.parked.peek().map(|entry| entry.0.0)
    }

    #[cfg(test)]
    pub(super) fn group_place(&self, id: SharedId) -> Option<Place> {
        self.groups.get(&id).map(|group| group.place)
    }

    /// Every seat stands where its place says, and in no second place.
    #[cfg(test)]
    pub(super) fn check_places(&self) {
        let parked = |who, place| match place {
            Place::Parked(until) => self.parked.iter().filter(|entry| entry.0 == (until, who)).count() >= 1,
            _ => true,
        };
        let seats = (0..).zip(&self.places).filter_map(|(n, place)| Some((SeatId(n), (*place)?)));
        let mut holding = 0;
        for (seat, place) in seats {
            let ready = self.ready.iter().filter(|other| **other == seat).count();
            assert_eq!(ready, usize::from(place == Place::Ready), "{seat:?} {place:?}");
            assert!(parked(Parked::Seat(seat), place), "{seat:?} {place:?}");
            holding += usize::from(matches!(place, Place::Parked(_)));
            if let Place::Held(id, ticket) = place {
                assert_eq!(self.groups[&id].held.get(&ticket), Some(&seat));
            }
        }
        for (id, group) in &self.groups {
            assert!(parked(Parked::Group(*id), group.place), "{id:?}");
            holding += usize::from(matches!(group.place, Place::Parked(_)));
            assert!(group.place != Place::Ready || self.open.contains(id));
            assert!(group.place != Place::Out || group.held.is_empty(), "{id:?} holds seats for nothing");
        }
        assert_eq!(holding, self.holding);
        assert!(self.parked.len() <= 2 * holding + LEFT + 1, "{} parked for {holding}", self.parked.len());
    }
}
