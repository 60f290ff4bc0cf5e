//! A hash of job ids that keeps those given in a row side by side.
//!
//! Steps are read, handed out and ended in about the order of their ids. Where a common hash strews them over all of a
//! table, each look at one is a wait for memory; here 64 ids in a row are neighbours, and only the rows are strewn.

use std::hash::{BuildHasherDefault, Hasher};

/// A table by numbers that we gave ourselves: no caller can make them collide.
pub(super) type RowMap<K, V> = std::collections::HashMap<K, V, BuildHasherDefault<RowHasher>>;

/// Ids that stay together, as a power of two.
const ROW: u32 = 6;
/// The golden ratio, whose multiples are spread evenly.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
/// The table finds a place by the lower bits and tells neighbours apart by these.
const TAG: u64 = 0x7f << 57;

#[derive(Default)]
pub(super) struct RowHasher(u64);

impl Hasher for RowHasher {
    fn write_u64(&mut self, id: u64) {
        let row = (id >> ROW).wrapping_mul(SPREAD);
        let place = (row ^ row >> 32).wrapping_add(id & ((1 << ROW) - 1));
        self.0 = place & !TAG | id.wrapping_mul(SPREAD) & TAG;
    }

    fn write(&mut self, bytes: &[u8]) {
        debug_assert!(bytes.is_empty(), "only single numbers are hashed");
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn hash(id: u64) -> u64 {
        let mut hasher = RowHasher::default();
        hasher.write_u64(id);
        hasher.finish()
    }

    #[test]
    fn ids_in_a_row_are_neighbours_that_are_told_apart_and_rows_are_strewn() {
        let first = 1_764_000_000_000 << 20;
        assert!((1..64).all(|n| hash(first + n) & 0xffff == (hash(first) + n) & 0xffff));
        let tags: BTreeSet<u64> = (0..16).map(|n| hash(first + n) >> 57).collect();
        assert_eq!(tags.len(), 16);
        // One job in every millisecond: a table of 4,096 places has most of them taken by one or two.
        let places: BTreeSet<u64> = (0..4_096).map(|n| hash(first + (n << 20)) & 0xfff).collect();
        assert!(places.len() > 2_300, "{} of 4,096", places.len());
    }
}
