//! The calls of one window, in at most 32 groups: exact for 31 units, and never loose above.
//!
//! A group knows how many calls it holds and when the youngest of them was charged; it leaves, whole, one span
//! after that. A new call joins the newest group until that holds one part in 31 of the units, or was idle for one
//! part in 31 of the span. So no call leaves too early, and what waiting for the youngest of a group costs is below
//! one part in 31 of a steady flow and next to nothing of bursts. All of it is 16 bytes and, with more than two groups, 180
//! more elsewhere, whatever the quota.
//!
//! Times are wrapping counts of ticks, at most 4 million to a span. They are compared with `now`, which is
//! unambiguous for 500 spans either way; whoever owns the log forgets it when it was not changed for longer than its
//! horizon.

use crate::quota::{GROUPS, MOST_QUOTAS, Window};
use crate::time::Instant;

const CAPACITY: usize = GROUPS as usize;
/// Calls that a log can count, more than twice the largest quota.
pub(super) const MOST_CALLS: u32 = GROUPS * u16::MAX as u32;
/// Groups between the oldest and the newest.
const BETWEEN: usize = CAPACITY - 2;

/// Calls charged to one window, in groups: the newest and the oldest, which nearly every decision is about. Those in
/// between are in a [`Ring`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Log {
    /// All calls in it, those included that have left since it was last changed; below them, in 6 bits, the groups, and in
    /// 5 where the ring begins.
    tally: u32,
    /// If there are two or more.
    oldest: Cell,
    newest: Cell,
}

/// The groups of a log between the oldest and the newest.
type Ring = [Cell; BETWEEN];
#[cfg(test)]
pub(super) const RING_BYTES: usize = size_of::<Ring>();

/// The rings of several logs, in one piece of memory: of those that have ever had more than two groups, in their order.
#[derive(Clone, Debug, Default)]
pub(super) struct Rings(Option<Box<[Ring]>>);

/// Which logs have a ring, a bit for each.
pub(super) type Ringed = u8;
const _: () = assert!(MOST_QUOTAS <= Ringed::BITS as usize, "a bit for each");

/// The ring of one log.
pub(super) struct RingMut<'a> {
    pub(super) rings: &'a mut Rings,
    pub(super) ringed: &'a mut Ringed,
    pub(super) index: usize,
}

/// A log as it is read.
#[derive(Clone, Copy)]
pub(super) struct Kept<'a> {
    log: &'a Log,
    rings: &'a Rings,
    ringed: Ringed,
    index: usize,
    window: &'a Window,
}

/// A group as it is kept, in 6 bytes that begin anywhere.
#[derive(Clone, Copy, Debug)]
struct Cell {
    /// When its youngest call was charged, in ticks, rounded up.
    last: [u8; 4],
    count: [u8; 2],
}

impl Cell {
    const EMPTY: Self = Self::new(0, 0);

    const fn new(tick: u32, count: u16) -> Self {
        Self { last: tick.to_ne_bytes(), count: count.to_ne_bytes() }
    }

    const fn tick(self) -> u32 {
        u32::from_ne_bytes(self.last)
    }

    const fn count(self) -> u16 {
        u16::from_ne_bytes(self.count)
    }

    /// When its calls leave a window.
    fn leaves_at(self, window: &Window, now: Instant) -> Instant {
        instant(self.tick(), window.shift, now).later(window.span_us)
    }
}

/// Calls that were charged at, or rounded up to, one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) at: Instant,
    pub(super) count: u32,
}

impl Rings {
    fn get(&self, ringed: Ringed, index: usize) -> &Ring {
        const NONE: &Ring = &[Cell::EMPTY; BETWEEN];
        let ring = || self.0.as_ref()?.get(place(ringed, index));
        if ringed >> index & 1 == 0 { NONE } else { ring().unwrap_or(NONE) }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |rings| rings.len())
    }
}

impl RingMut<'_> {
    fn get(&self) -> &Ring {
        self.rings.get(*self.ringed, self.index)
    }

    fn open(&mut self) -> &mut Ring {
        let place = place(*self.ringed, self.index);
        if *self.ringed >> self.index & 1 == 0 {
            *self.ringed |= 1 << self.index;
            let former = self.rings.0.take().unwrap_or_default();
            let (before, behind) = former.split_at(place);
            self.rings.0 = Some([before, &[[Cell::EMPTY; BETWEEN]], behind].concat().into());
        }
        &mut self.rings.0.get_or_insert_default()[place]
    }
}

/// Where the ring of a log is among those there are.
fn place(ringed: Ringed, index: usize) -> usize {
    (ringed & ((1 << index) - 1)).count_ones() as usize
}

impl<'a> Kept<'a> {
    pub(super) fn new(
        log: &'a Log,
        rings: &'a Rings,
        ringed: Ringed,
        index: usize,
        window: &'a Window,
    ) -> Self {
        Self { log, rings, ringed, index, window }
    }

    /// No call is live any more.
    pub(super) fn is_over(self, now: Instant) -> bool {
        self.groups(now).all(|group| self.has_left(group, now))
    }

    /// Calls that are live at `now`.
    pub(super) fn live(self, now: Instant) -> u32 {
        let over = self.groups(now).take_while(|group| self.has_left(*group, now));
        self.log.total() - over.map(|group| group.count).sum::<u32>()
    }

    /// When `room` live calls or fewer are left; `now` if so already, `None` if calls would have to leave that are
    /// not in the log.
    pub(super) fn down_to(self, room: u32, now: Instant) -> Option<Instant> {
        let mut left = self.log.total();
        let mut at = now;
        // Mostly it is the oldest group that is waited for.
        let mut nth = 0;
        while left > room {
            if nth == self.log.len() {
                return None;
            }
            let cell = self.log.cell(nth, || self.rings.get(self.ringed, self.index));
            left -= u32::from(cell.count());
            at = at.max(cell.leaves_at(self.window, now));
            nth += 1;
        }
        Some(at)
    }

    /// When the last call has left; `now` if it has.
    pub(super) fn clear_at(self, now: Instant) -> Instant {
        self.groups(now).last().map_or(now, |group| (group.at.later(self.window.span_us)).max(now))
    }

    /// All groups, the oldest first, those that are over included.
    pub(super) fn groups(self, now: Instant) -> impl Iterator<Item = Group> + use<'a> {
        let shift = self.window.shift;
        (0..self.log.len()).map(move |nth| {
            let cell = self.log.cell(nth, || self.rings.get(self.ringed, self.index));
            Group { at: instant(cell.tick(), shift, now), count: u32::from(cell.count()) }
        })
    }

    fn has_left(self, group: Group, now: Instant) -> bool {
        group.at.later(self.window.span_us) <= now
    }
}

impl Log {
    pub(super) const EMPTY: Self = Self { tally: 0, oldest: Cell::EMPTY, newest: Cell::EMPTY };

    pub(super) fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Reads the line of memory in which a group is put aside if a call is charged that does not join it; what it returns
    /// says nothing.
    pub(super) fn reach(self, rings: &Rings, ringed: Ringed, index: usize, window: &Window) -> u32 {
        let puts_aside = self.len() > 2 && self.newest.count() >= window.group;
        if puts_aside {
            rings.get(ringed, index)[ring_index(self.head(), self.len() - 2)].tick()
        } else {
            self.tally
        }
    }

    /// All calls in it, those included that have left since it was last changed.
    pub(super) fn total(self) -> u32 {
        self.tally >> 11
    }

    fn len(self) -> usize {
        (self.tally >> 5 & 0x3f) as usize
    }

    fn head(self) -> usize {
        (self.tally & 0x1f) as usize
    }

    fn set(&mut self, total: u32, len: usize, head: usize) {
        self.tally = total << 11 | (len as u32) << 5 | head as u32;
    }

    /// Adds `count` calls as of `at`, which may lie a little before or after `now`.
    pub(super) fn charge(
        &mut self,
        ring: &mut RingMut<'_>,
        at: Instant,
        count: u32,
        window: &Window,
        now: Instant,
    ) {
        self.drop_over(ring, window, now);
        let mut left = count;
        while left > 0 {
            let part = left.min(u32::from(u16::MAX)) as u16;
            self.add(ring, at, part, window, now);
            left -= u32::from(part);
        }
    }

    /// Holds these groups from now on, the oldest first; those that are over are left out.
    pub(super) fn refill(
        &mut self,
        ring: &mut RingMut<'_>,
        groups: impl Iterator<Item = Group>,
        window: &Window,
        now: Instant,
    ) {
        *self = Self::EMPTY;
        for group in groups {
            // As they are, whatever the size that new ones have.
            let mut left = if group.at.later(window.span_us) <= now { 0 } else { group.count };
            while left > 0 {
                let part = left.min(u32::from(u16::MAX)) as u16;
                self.insert(ring, self.len(), tick(group.at, window.shift), part);
                left -= u32::from(part);
            }
        }
    }

    fn add(&mut self, ring: &mut RingMut<'_>, at: Instant, count: u16, window: &Window, now: Instant) {
        let shift = window.shift;
        let tick = tick(at, shift);
        // Nearly always the last place: calls are charged as they are answered.
        let mut place = self.len();
        while place > 0 && instant(self.cell(place - 1, || ring.get()).tick(), shift, now) > at {
            place -= 1;
        }
        let is_newest = place == self.len();
        // The youngest group so far, or else the next younger one, which makes the call wait a little longer.
        let neighbour = if is_newest { place.checked_sub(1) } else { Some(place) };
        if let Some(nth) = neighbour {
            let cell = self.cell(nth, || ring.get());
            let joined = cell.count().checked_add(count);
            // Not far from it in either direction: nobody waits for a time-out that somebody else had.
            let is_near = || {
                let gap_us = instant(cell.tick(), shift, now).as_micros().abs_diff(at.as_micros());
                gap_us < window.near_us
            };
            if let Some(joined) = joined.filter(|n| cell.tick() == tick || *n <= window.group && is_near()) {
                *self.cell_mut(nth, ring) = Cell::new(if is_newest { tick } else { cell.tick() }, joined);
                self.tally += u32::from(count) << 11;
                return;
            }
        }
        self.insert(ring, place, tick, count);
    }

    fn insert(&mut self, ring: &mut RingMut<'_>, mut place: usize, tick: u32, count: u16) {
        if self.len() == CAPACITY {
            place -= usize::from(self.join_cheapest(ring) < place);
        }
        self.push(ring, Cell::new(tick, count));
        for nth in (place + 1..self.len()).rev() {
            *self.cell_mut(nth, ring) = self.cell(nth - 1, || ring.get());
        }
        *self.cell_mut(place, ring) = Cell::new(tick, count);
        self.tally += u32::from(count) << 11;
    }

    /// Makes room: joins the two neighbours whose calls are delayed the least by that. Returns the place of the older.
    fn join_cheapest(&mut self, ring: &mut RingMut<'_>) -> usize {
        let pair = |nth: usize| (self.cell(nth, || ring.get()), self.cell(nth + 1, || ring.get()));
        let cost = |nth: &usize| {
            let (older, younger) = pair(*nth);
            // Two that fit into one, if there are any: otherwise calls would be forgotten.
            let fits = older.count().checked_add(younger.count()).is_some();
            let delay = u64::from(older.count()) * u64::from(younger.tick().wrapping_sub(older.tick()));
            (!fits, delay)
        };
        let place = (0..CAPACITY - 1).min_by_key(cost).unwrap_or(0);
        let (older, younger) = pair(place);
        // With 32 groups of which no two fit into one there are more calls than in any quota: what is cut is over and above.
        let joined = older.count().saturating_add(younger.count());
        let cut = u32::from(older.count()) + u32::from(younger.count()) - u32::from(joined);
        self.tally -= cut << 11;
        *self.cell_mut(place + 1, ring) = Cell::new(younger.tick(), joined);
        for nth in (1..=place).rev() {
            *self.cell_mut(nth, ring) = self.cell(nth - 1, || ring.get());
        }
        self.pop(ring);
        place
    }

    fn drop_over(&mut self, ring: &RingMut<'_>, window: &Window, now: Instant) {
        while !self.is_empty() {
            let oldest = self.cell(0, || ring.get());
            if oldest.leaves_at(window, now) > now {
                return;
            }
            self.tally -= u32::from(oldest.count()) << 11;
            self.pop(ring);
        }
    }

    /// Adds a newest group, whose calls are still to be counted.
    fn push(&mut self, ring: &mut RingMut<'_>, cell: Cell) {
        let (len, head) = (self.len(), self.head());
        match len {
            0 => {}
            1 => self.oldest = self.newest,
            len => ring.open()[ring_index(head, len - 2)] = self.newest,
        }
        self.newest = cell;
        self.set(self.total(), len + 1, head);
    }

    /// Drops the oldest group, whose calls are not counted any more.
    fn pop(&mut self, ring: &RingMut<'_>) {
        let (len, mut head) = (self.len(), self.head());
        if len > 2 {
            self.oldest = ring.get()[head];
            head = ring_index(head, 1);
        }
        self.set(self.total(), len - 1, head);
    }

    /// The `nth` oldest group.
    fn cell<'a>(&self, nth: usize, ring: impl FnOnce() -> &'a Ring) -> Cell {
        match nth {
            nth if nth + 1 >= self.len() => self.newest,
            0 => self.oldest,
            nth => ring()[ring_index(self.head(), nth - 1)],
        }
    }

    fn cell_mut<'a>(&'a mut self, nth: usize, ring: &'a mut RingMut<'_>) -> &'a mut Cell {
        match nth {
            nth if nth + 1 >= self.len() => &mut self.newest,
            0 => &mut self.oldest,
            nth => &mut ring.open()[ring_index(self.head(), nth - 1)],
        }
    }
}

/// Where the `nth` group of a ring is that begins at `head`.
fn ring_index(head: usize, nth: usize) -> usize {
    (head + nth) % BETWEEN
}

/// The tick of `at`, rounded up: a call is never older than it was.
fn tick(at: Instant, shift: u8) -> u32 {
    let rounded = at.as_micros().saturating_add((1 << shift) - 1);
    (rounded >> shift) as u32
}

/// The instant of a tick that is not far from `now`.
fn instant(tick: u32, shift: u8, now: Instant) -> Instant {
    let here = now.as_micros() >> shift;
    let distance = tick.wrapping_sub(here as u32) as i32;
    Instant::from_micros(here.saturating_add_signed(i64::from(distance)) << shift)
}
