//! The steps of one service that may go to the same egresses, and where those egresses stand.
//!
//! A seat is in one place: ready, parked until an instant, busy until a call ends, held by a budget that it shares, or
//! out (egress down, or its agent without credit). Seats that could send but for a shared budget are held in the
//! order they came, and the whole of it waits for one instant. When that has come they are let out one at a time, for
//! as long as there is something to spend: 256 addresses do not wake up for one unit.

use std::collections::{BTreeMap, VecDeque};

use super::lineup::Lineup;
use super::selector::Selector;
use super::service::{Seat, SeatId};
use super::shared::SharedId;
use super::waits::Waits;
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
enum Places {
    WithSeats,
    Here(Vec<Option<Place>>),
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
    /// By seat; `None` for those that are not this lane's. Most services have one lane: where a seat stands in the first
    /// is kept with the seat, so that a decision finds both in one look at memory.
    places: Places,
    /// In no order: the better of two is taken.
    ready: Vec<SeatId>,
    groups: BTreeMap<SharedId, Group>,
    /// Groups that may let seats out.
    open: VecDeque<SharedId>,
    /// By instant. Entries are left when who they name goes elsewhere, and passed over later: at most as many as hold.
    parked: Waits<(Instant, Parked)>,
    /// Entries of it that hold.
    holding: usize,
}

/// Entries that may be left in a parked set besides as many as hold.
const LEFT: usize = 64;

impl Lane {
    /// The first lane of a service: that of steps that take any egress.
    pub(super) fn first() -> Self {
        Self { places: Places::WithSeats, ..Self::new(Selector::default()) }
    }

    pub(super) fn new(selector: Selector) -> Self {
        Self {
            selector,
            lineup: Lineup::default(),
            flows: 0,
            is_spent: false,
            drawn: 0,
            places: Places::Here(Vec::new()),
            ready: Vec::new(),
            groups: BTreeMap::new(),
            open: VecDeque::new(),
            parked: Waits::default(),
            holding: 0,
        }
    }

    /// Whether a seat is one of this lane's.
    pub(super) fn has(&self, seats: &[Seat], seat: SeatId) -> bool {
        self.place_of(seats, seat).is_some()
    }

    /// Where a seat of this lane stands.
    pub(super) fn place_of(&self, seats: &[Seat], seat: SeatId) -> Option<Place> {
        let index = seat.0 as usize;
        match &self.places {
            Places::WithSeats => seats[index].place,
            Places::Here(places) => places.get(index).copied().flatten(),
        }
    }

    fn place_mut<'a>(&'a mut self, seats: &'a mut [Seat], seat: SeatId) -> &'a mut Option<Place> {
        let index = seat.0 as usize;
        match &mut self.places {
            Places::WithSeats => &mut seats[index].place,
            Places::Here(places) => {
                if places.len() <= index {
                    places.resize(index + 1, None);
                }
                &mut places[index]
            }
        }
    }

    /// A seat belongs here from now on.
    pub(super) fn enter(&mut self, seats: &mut [Seat], seat: SeatId) {
        self.place_mut(seats, seat).get_or_insert(Place::Out);
    }

    /// A seat does not belong here any more.
    pub(super) fn expel(&mut self, seats: &mut [Seat], seat: SeatId) {
        if self.has(seats, seat) {
            self.ready.retain(|other| *other != seat);
            self.place(seats, seat, Place::Out);
            *self.place_mut(seats, seat) = None;
        }
    }

    /// Puts a seat of this lane where the next turn looks at it.
    pub(super) fn make_ready(&mut self, seats: &mut [Seat], seat: SeatId) {
        if self.place_of(seats, seat).is_some_and(|place| place != Place::Ready) {
            self.place(seats, seat, Place::Ready);
            self.ready.push(seat);
        }
    }

    /// Puts a seat that was taken from the ready back among them.
    pub(super) fn requeue(&mut self, seat: SeatId) {
        self.ready.push(seat);
    }

    /// Moves a seat out of its old place; the caller puts it among the ready if the new one is `Ready`.
    pub(super) fn place(&mut self, seats: &mut [Seat], seat: SeatId, place: Place) {
        let Some(current) = self.place_mut(seats, seat) else { return };
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
            self.park(seats, until, Parked::Seat(seat));
        }
    }

    fn park(&mut self, seats: &[Seat], until: Instant, who: Parked) {
        self.holding += 1;
        self.parked.push((until, who));
        if self.parked.len() > 2 * self.holding + LEFT {
            let mut parked = std::mem::take(&mut self.parked);
            parked.retain(|entry| self.holds(seats, *entry));
            self.parked = parked;
        }
    }

    /// Whether who is named by an entry of the parked set still waits for that instant.
    fn holds(&self, seats: &[Seat], (until, who): (Instant, Parked)) -> bool {
        let place = match who {
            Parked::Seat(seat) => self.place_of(seats, seat),
            Parked::Group(id) => self.groups.get(&id).map(|group| group.place),
        };
        place == Some(Place::Parked(until))
    }

    /// Has a seat wait with the others for a budget that it shares.
    pub(super) fn hold(&mut self, seats: &mut [Seat], seat: SeatId, id: SharedId, ready: Ready) {
        let fresh = || Group { place: Place::Out, held: BTreeMap::new(), arrived: 0 };
        let group = self.groups.entry(id).or_insert_with(fresh);
        group.arrived += 1;
        let ticket = group.arrived;
        group.held.insert(ticket, seat);
        self.place(seats, seat, Place::Held(id, ticket));
        match ready {
            Ready::At(at) => self.place_group(seats, id, Place::Parked(at)),
            Ready::OnCompletion | Ready::Now => self.place_group(seats, id, Place::Busy),
        }
    }

    /// A shared budget may have something to spend: the next turn sees whether it has. True if somebody waits for that.
    pub(super) fn open(&mut self, seats: &[Seat], id: SharedId) -> bool {
        let waits = |group: &Group| !group.held.is_empty() && group.place != Place::Ready;
        let opens = self.groups.get(&id).is_some_and(waits);
        if opens {
            self.place_group(seats, id, Place::Ready);
            self.open.push_back(id);
        }
        opens
    }

    fn place_group(&mut self, seats: &[Seat], id: SharedId, place: Place) {
        let Some(group) = self.groups.get_mut(&id) else { return };
        if let Place::Parked(_) = std::mem::replace(&mut group.place, place) {
            self.holding -= 1;
        }
        if let Place::Parked(until) = place {
            self.park(seats, until, Parked::Group(id));
        }
    }

    /// A turn begins: whatever waited for an instant until now is to be looked at.
    pub(super) fn unpark(&mut self, seats: &mut [Seat], now: Instant) {
        self.is_spent = false;
        while let Some(entry) = self.parked.first() {
            if self.holds(seats, entry) {
                if entry.0 > now {
                    return;
                }
                match entry.1 {
                    Parked::Seat(seat) => self.make_ready(seats, seat),
                    Parked::Group(id) => {
                        self.place_group(seats, id, Place::Out);
                        self.open(seats, id);
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
    pub(super) fn next_seat(&mut self, seats: &mut [Seat], rng: &mut fastrand::Rng) -> Option<SeatId> {
        match self.ready.len() {
            0 => self.let_out(seats),
            1 => self.ready.pop(),
            all => {
                let one = rng.usize(..all);
                let other = (one + 1 + rng.usize(..all - 1)) % all;
                let merit = |nth: usize| seats[self.ready[nth].0 as usize].merit;
                let taken = if merit(other) < merit(one) { other } else { one };
                Some(self.ready.swap_remove(taken))
            }
        }
    }

    /// Whether a turn would look at a seat.
    pub(super) fn has_ready(&self) -> bool {
        let stands = !self.ready.is_empty() || !self.open.is_empty();
        stands && !self.lineup.is_empty()
    }

    fn let_out(&mut self, seats: &mut [Seat]) -> Option<SeatId> {
        while let Some(id) = self.open.front().copied() {
            let group = self.groups.get_mut(&id)?;
            if group.place == Place::Ready
                && let Some((_, seat)) = group.held.pop_first()
            {
                *self.place_mut(seats, seat) = Some(Place::Ready);
                return Some(seat);
            }
            if group.place == Place::Ready {
                group.place = Place::Out;
            }
            self.open.pop_front();
        }
        None
    }

    /// Seats that a turn will look at: those that wait until now, as far as that is known without looking at them.
    pub(super) fn due(&self, now: Instant) -> impl Iterator<Item = SeatId> {
        let due = self.parked.coming().take_while(move |entry| entry.0 <= now);
        due.filter_map(|(_, who)| match who {
            Parked::Seat(seat) => Some(seat),
            Parked::Group(_) => None,
        })
    }

    /// When a seat or a shared budget is to be looked at by time alone.
    pub(super) fn next_wake(&self) -> Option<Instant> {
        self.parked.first().map(|entry| entry.0)
    }

    #[cfg(test)]
    pub(super) fn group_place(&self, id: SharedId) -> Option<Place> {
        self.groups.get(&id).map(|group| group.place)
    }

    /// Every seat stands where its place says, and in no second place.
    #[cfg(test)]
    pub(super) fn check_places(&self, seats: &[Seat]) {
        let parked = |who, place| match place {
            Place::Parked(until) => self.parked.iter().filter(|entry| **entry == (until, who)).count() >= 1,
            _ => true,
        };
        let ids = (0..).zip(seats).map(|(n, _)| SeatId(n));
        let seats = ids.filter_map(|id| Some((id, self.place_of(seats, id)?)));
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
