//! A set in order, in one piece of memory: for sets that are not large and change at their ends.

use std::collections::VecDeque;

#[derive(Debug)]
pub(super) struct Sorted<T>(VecDeque<T>);

impl<T> Default for Sorted<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T: Ord> Sorted<T> {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn first(&self) -> Option<&T> {
        self.0.front()
    }

    pub(super) fn last(&self) -> Option<&T> {
        self.0.back()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter()
    }

    /// How many are less than this.
    pub(super) fn before(&self, item: &T) -> usize {
        self.0.partition_point(|other| other < item)
    }

    /// Adds what is not in it yet.
    pub(super) fn insert(&mut self, item: T) {
        if self.last().is_none_or(|last| *last < item) {
            self.0.push_back(item);
        } else if let Err(place) = self.0.binary_search(&item) {
            self.0.insert(place, item);
        }
    }

    /// Takes it out; false if it is not there.
    pub(super) fn remove(&mut self, item: &T) -> bool {
        if self.first() == Some(item) {
            return self.0.pop_front().is_some();
        }
        self.0.binary_search(item).is_ok_and(|place| self.0.remove(place).is_some())
    }

    /// Takes one out and adds another; nothing if the first is not there.
    pub(super) fn replace(&mut self, old: &T, new: T) {
        if self.0.len() == 1 && self.first() == Some(old) {
            self.0[0] = new;
        } else if self.remove(old) {
            self.insert(new);
        }
    }

    pub(super) fn pop_last(&mut self) -> Option<T> {
        self.0.pop_back()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_the_set_that_a_tree_would_be(acts in prop::collection::vec((0u8..6, 0u8..20), 0..100)) {
            let (mut sorted, mut tree) = (Sorted::default(), BTreeSet::new());
            for (act, item) in acts {
                match act {
                    0..3 => {
                        sorted.insert(item);
                        tree.insert(item);
                    }
                    3 => prop_assert_eq!(sorted.remove(&item), tree.remove(&item)),
                    4 => {
                        sorted.replace(&item, item / 2);
                        if tree.remove(&item) {
                            tree.insert(item / 2);
                        }
                    }
                    _ => prop_assert_eq!(sorted.pop_last(), tree.pop_last()),
                }
                prop_assert!(sorted.iter().eq(&tree) && sorted.len() == tree.len());
                prop_assert_eq!((sorted.first(), sorted.last()), (tree.first(), tree.last()));
                prop_assert_eq!(sorted.is_empty(), tree.is_empty());
                prop_assert_eq!(sorted.before(&item), tree.range(..item).count());
            }
        }
    }
}
