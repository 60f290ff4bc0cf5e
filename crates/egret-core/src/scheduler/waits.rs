//! A queue by time of which few entries are looked at: those that come next are in order, the others in a pile.
//!
//! A heap of a thousand entries takes a walk through ten lines of memory for each that it gives out, and the heaps of a
//! thousand services are in no cache. Here what comes next is read in a row, and what comes later is only appended; when
//! the row has been given out, the next part of the pile is put in order.

/// Entries that are put in order in one go: a part of all, so that each is looked at that many times in the pile, within
/// bounds (chosen: the row is a few lines, and one entry moved into it moves few others).
const PART: usize = 4;
const LEAST: usize = 64;
const MOST: usize = 1_024;

#[derive(Debug)]
pub(super) struct Waits<T> {
    /// The next ones, the first of them last; empty only if all is.
    row: Vec<T>,
    /// Those after this one.
    pile: Vec<T>,
    /// The last of the row when it was put in order; none if it is empty. Beside it, so that whoever goes to the pile need
    /// not look there.
    last: Option<T>,
}

impl<T> Default for Waits<T> {
    fn default() -> Self {
        Self { row: Vec::new(), pile: Vec::new(), last: None }
    }
}

impl<T: Ord + Copy> Waits<T> {
    pub(super) fn len(&self) -> usize {
        self.row.len() + self.pile.len()
    }

    pub(super) fn first(&self) -> Option<T> {
        self.row.last().copied()
    }

    /// Those that come next, as far as they are in order.
    pub(super) fn coming(&self) -> impl Iterator<Item = T> {
        self.row.iter().rev().copied()
    }

    #[cfg(test)]
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.row.iter().chain(&self.pile)
    }

    pub(super) fn push(&mut self, entry: T) {
        if self.last.is_some_and(|last| last < entry) {
            self.pile.push(entry);
            return;
        }
        let place = self.row.partition_point(|other| *other > entry);
        self.row.insert(place, entry);
        self.last.get_or_insert(entry);
        if self.row.len() > 2 * MOST {
            self.pile.extend(self.row.drain(..MOST));
            self.last = self.row.first().copied();
        }
    }

    pub(super) fn pop(&mut self) -> Option<T> {
        let first = self.row.pop();
        if self.row.is_empty() {
            self.refill();
        }
        first
    }

    /// Forgets those that are not to be kept.
    pub(super) fn retain(&mut self, keep: impl FnMut(&T) -> bool + Copy) {
        self.row.retain(keep);
        self.pile.retain(keep);
        if self.row.is_empty() {
            self.refill();
        }
    }

    fn refill(&mut self) {
        let rest = self.pile.len().saturating_sub((self.pile.len() / PART).clamp(LEAST, MOST));
        if rest > 0 {
            self.pile.select_nth_unstable_by(rest, |one, other| other.cmp(one));
        }
        self.row.extend(self.pile.drain(rest..));
        self.row.sort_unstable_by(|one, other| other.cmp(one));
        self.last = self.row.first().copied();
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Reverse;
    use std::collections::BinaryHeap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_gives_out_what_a_heap_would(
            acts in prop::collection::vec((0u8..10, 0u64..1_000, 0usize..3_000), 1..40),
        ) {
            let (mut waits, mut heap, mut now) = (Waits::default(), BinaryHeap::new(), 0);
            for (act, value, many) in acts {
                for nth in 0..many as u64 {
                    match act {
                        0..4 => {
                            let entry = now + value.wrapping_mul(nth + 1) % 1_000;
                            waits.push(entry);
                            heap.push(Reverse(entry));
                        }
                        4 => {
                            waits.push(now + nth);
                            heap.push(Reverse(now + nth));
                        }
                        _ => {
                            let (ours, theirs) = (waits.pop(), heap.pop().map(|entry| entry.0));
                            prop_assert_eq!(ours, theirs);
                            now = ours.unwrap_or(now);
                        }
                    }
                    prop_assert_eq!(waits.first(), heap.peek().map(|entry| entry.0));
                }
                if act == 9 {
                    waits.retain(|entry| entry % 3 != value % 3);
                    heap.retain(|entry| entry.0 % 3 != value % 3);
                }
                prop_assert!(waits.row.is_sorted_by(|one, other| one >= other));
                prop_assert!(waits.pile.iter().all(|later| waits.last.is_some_and(|last| last <= *later)));
                prop_assert!(waits.row.first() <= waits.last.as_ref());
                prop_assert_eq!(waits.row.is_empty(), waits.last.is_none());
                prop_assert_eq!((waits.len(), waits.iter().count()), (heap.len(), heap.len()));
            }
        }
    }
}
