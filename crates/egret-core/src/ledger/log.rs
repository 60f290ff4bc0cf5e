//! The calls of one window, in at most 32 groups: exact for 31 units, and never loose above.
//!
//! A group knows how many calls it holds and when the youngest of them was charged; it leaves, whole, one span
//! after that. A new call joins the newest group until that holds one part in 31 of the units, or was idle for one
//! part in 31 of the span. So no call leaves too early, and what waiting for the youngest of a group costs is below
//! one part in 31 of a steady flow and next to nothing of bursts. All of it is 200 bytes, whatever the quota.
//!
//! Times are wrapping counts of ticks, at most 4 million to a span. They are compared with `now`, which is
//! unambiguous for 500 spans either way; whoever owns the log forgets it when it was not changed for longer than its
//! horizon.

use crate::quota::{GROUPS, Window};
use crate::time::Instant;

const CAPACITY: usize = GROUPS as usize;
/// Calls that a log can count, more than twice the largest quota.
pub(super) const MOST_CALLS: u32 = GROUPS * u16::MAX as u32;
/// Groups between the oldest and the newest.
const BETWEEN: usize = CAPACITY - 2;

/// Calls charged to one window, in groups, the oldest first.
///
/// Nearly every decision is about the oldest group or the newest: they stand in front, so that it reaches for one line
/// of memory; `repr(C)` keeps the fields in this order.
#[derive(Clone, Debug)]
#[repr(C)]
pub(super) struct Log {
    /// All calls in it, those included that have left since it was last changed.
    total: u32,
    /// Groups in it.
    len: u8,
    /// Where the ring begins.
    head: u8,
    /// If there are two or more.
    oldest: Cell,
    newest: Cell,
    /// Those in between, as a ring.
    ring: [Cell; BETWEEN],
}

/// A group as it is kept, in 6 bytes.
#[derive(Clone, Copy, Debug)]
struct Cell {
    /// When its youngest call was charged, in ticks, rounded up; the lower half first.
    last: [u16; 2],
    count: u16,
}

impl Cell {
    const EMPTY: Self = Self { last: [0; 2], count: 0 };

    fn new(tick: u32, count: u16) -> Self {
        Self { last: [tick as u16, (tick >> 16) as u16], count }
    }

    fn tick(self) -> u32 {
        u32::from(self.last[0]) | u32::from(self.last[1]) << 16
    }
}

/// Calls that were charged at, or rounded up to, one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) at: Instant,
    pub(super) count: u32,
}

impl Log {
    pub(super) const EMPTY: Self = Self {
        total: 0,
        len: 0,
        head: 0,
        oldest: Cell::EMPTY,
        newest: Cell::EMPTY,
        ring: [Cell::EMPTY; BETWEEN],
    };

    /// Reads its first line of memory.
    pub(super) fn reach(&self) -> u32 {
        self.total
    }

    /// No call is live any more.
    pub(super) fn is_over(&self, window: &Window, now: Instant) -> bool {
        self.groups(window, now).all(|group| group.at.later(window.span_us) <= now)
    }

    /// Calls that are live at `now`.
    pub(super) fn live(&self, window: &Window, now: Instant) -> u32 {
        let over = self.groups(window, now).take_while(|group| group.at.later(window.span_us) <= now);
        self.total - over.map(|group| group.count).sum::<u32>()
    }

    /// When `room` live calls or fewer are left; `now` if so already, `None` if calls would have to leave that are
    /// not in the log.
    pub(super) fn down_to(&self, room: u32, window: &Window, now: Instant) -> Option<Instant> {
        let mut left = self.total;
        let mut at = now;
        let mut groups = self.groups(window, now);
        while left > room {
            let group = groups.next()?;
            left -= group.count;
            at = at.max(group.at.later(window.span_us));
        }
        Some(at)
    }

    /// When the last call has left; `now` if it has.
    pub(super) fn clear_at(&self, window: &Window, now: Instant) -> Instant {
        self.groups(window, now).last().map_or(now, |group| (group.at.later(window.span_us)).max(now))
    }

    /// Adds `count` calls as of `at`, which may lie a little before or after `now`.
    pub(super) fn charge(&mut self, at: Instant, count: u32, window: &Window, now: Instant) {
        self.drop_over(window, now);
        let mut left = count;
        while left > 0 {
            let part = left.min(u32::from(u16::MAX)) as u16;
            self.add(at, part, window, now);
            left -= u32::from(part);
        }
    }

    /// All groups, the oldest first, those that are over included.
    pub(super) fn groups(&self, window: &Window, now: Instant) -> impl Iterator<Item = Group> {
        let shift = window.shift;
        (0..usize::from(self.len)).map(move |nth| {
            let cell = self.cell(nth);
            Group { at: instant(cell.tick(), shift, now), count: u32::from(cell.count) }
        })
    }

    /// A log of these groups, the oldest first; those that are over are left out.
    pub(super) fn of(groups: impl Iterator<Item = Group>, window: &Window, now: Instant) -> Self {
        let mut log = Self::EMPTY;
        for group in groups {
            // As they are, whatever the size that new ones have.
            let mut left = if group.at.later(window.span_us) <= now { 0 } else { group.count };
            while left > 0 {
                let part = left.min(u32::from(u16::MAX)) as u16;
                let at = usize::from(log.len);
                log.insert(at, tick(group.at, window.shift), part);
                left -= u32::from(part);
            }
        }
        log
    }

    fn add(&mut self, at: Instant, count: u16, window: &Window, now: Instant) {
        let shift = window.shift;
        let tick = tick(at, shift);
        // Nearly always the last place: calls are charged as they are answered.
        let mut place = usize::from(self.len);
        while place > 0 && instant(self.cell(place - 1).tick(), shift, now) > at {
            place -= 1;
        }
        let is_newest = place == usize::from(self.len);
        // The youngest group so far, or else the next younger one, which makes the call wait a little longer.
        let neighbour = if is_newest { place.checked_sub(1) } else { Some(place) };
        if let Some(nth) = neighbour {
            let cell = self.cell(nth);
            let joined = cell.count.checked_add(count);
            // Not far from it in either direction: nobody waits for a time-out that somebody else had.
            let gap_us = instant(cell.tick(), shift, now).as_micros().abs_diff(at.as_micros());
            let is_near = || gap_us < window.near_us;
            if let Some(joined) = joined.filter(|n| cell.tick() == tick || *n <= window.group && is_near()) {
                *self.cell_mut(nth) = Cell::new(if is_newest { tick } else { cell.tick() }, joined);
                self.total += u32::from(count);
                return;
            }
        }
        self.insert(place, tick, count);
    }

    fn insert(&mut self, mut place: usize, tick: u32, count: u16) {
        if usize::from(self.len) == CAPACITY {
            place -= usize::from(self.join_cheapest() < place);
        }
        self.push(Cell::new(tick, count));
        for nth in (place + 1..usize::from(self.len)).rev() {
            *self.cell_mut(nth) = self.cell(nth - 1);
        }
        *self.cell_mut(place) = Cell::new(tick, count);
        self.total += u32::from(count);
    }

    /// Makes room: joins the two neighbours whose calls are delayed the least by that. Returns the place of the older.
    fn join_cheapest(&mut self) -> usize {
        let pair = |nth: usize| (self.cell(nth), self.cell(nth + 1));
        let cost = |nth: &usize| {
            let (older, younger) = pair(*nth);
            // Two that fit into one, if there are any: otherwise calls would be forgotten.
            let fits = older.count.checked_add(younger.count).is_some();
            let delay = u64::from(older.count) * u64::from(younger.tick().wrapping_sub(older.tick()));
            (!fits, delay)
        };
        let place = (0..CAPACITY - 1).min_by_key(cost).unwrap_or(0);
        let (older, younger) = pair(place);
        // With 32 groups of which no two fit into one there are more calls than in any quota: what is cut is over and above.
        let joined = older.count.saturating_add(younger.count);
        self.total -= u32::from(older.count) + u32::from(younger.count) - u32::from(joined);
        *self.cell_mut(place + 1) = Cell::new(younger.tick(), joined);
        for nth in (1..=place).rev() {
            *self.cell_mut(nth) = self.cell(nth - 1);
        }
        self.pop();
        place
    }

    fn drop_over(&mut self, window: &Window, now: Instant) {
        while self.len > 0 {
            let oldest = self.cell(0);
            if instant(oldest.tick(), window.shift, now).later(window.span_us) > now {
                return;
            }
            self.total -= u32::from(oldest.count);
            self.pop();
        }
    }

    /// Adds a newest group.
    fn push(&mut self, cell: Cell) {
        match self.len {
            0 => {}
            1 => self.oldest = self.newest,
            len => self.ring[ring_index(self.head, len - 2)] = self.newest,
        }
        self.newest = cell;
        self.len += 1;
    }

    /// Drops the oldest group.
    fn pop(&mut self) {
        if self.len > 2 {
            self.oldest = self.ring[ring_index(self.head, 0)];
            self.head = ring_index(self.head, 1) as u8;
        }
        self.len -= 1;
    }

    /// The `nth` oldest group.
    fn cell(&self, nth: usize) -> Cell {
        match nth {
            nth if nth + 1 >= usize::from(self.len) => self.newest,
            0 => self.oldest,
            nth => self.ring[ring_index(self.head, nth as u8 - 1)],
        }
    }

    fn cell_mut(&mut self, nth: usize) -> &mut Cell {
        match nth {
            nth if nth + 1 >= usize::from(self.len) => &mut self.newest,
            0 => &mut self.oldest,
            nth => &mut self.ring[ring_index(self.head, nth as u8 - 1)],
        }
    }
}

/// Where the `nth` group of a ring is that begins at `head`.
fn ring_index(head: u8, nth: u8) -> usize {
    usize::from(head + nth) % BETWEEN
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
