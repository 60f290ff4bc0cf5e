//! Blocks of numbers, found by a number: the innermost block that holds it.
//!
//! Blocks may nest, as networks do, but not overlap otherwise. They are cut into
//! disjoint spans once, so that a look-up is one binary search.

/// A block of numbers, both ends inside it, and what it stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) first: u128,
    pub(super) last: u128,
    pub(super) index: u32,
}

/// Disjoint spans in rising order.
#[derive(Debug, Default)]
pub(super) struct Ranges(Vec<Block>);

impl Ranges {
    /// Cuts nested blocks into spans, each of its innermost block.
    pub(super) fn new(mut blocks: Vec<Block>) -> Ranges {
        blocks.sort_unstable_by_key(|block| (block.first, std::cmp::Reverse(block.last)));
        let mut spans = Spans { done: Vec::with_capacity(blocks.len()), open: Vec::new(), next: 0 };
        for block in blocks {
            spans.close_before(block.first);
            spans.open(block);
        }
        Ranges(spans.finish())
    }

    /// What the innermost block that holds `number` stands for.
    pub(super) fn find(&self, number: u128) -> Option<u32> {
        let after = self.0.partition_point(|span| span.first <= number);
        let span = self.0[..after].last()?;
        (number <= span.last).then_some(span.index)
    }
}

/// A sweep over blocks by their first numbers.
struct Spans {
    done: Vec<Block>,
    /// The blocks around `next`, the innermost last.
    open: Vec<Block>,
    /// The first number that has not been given to a span, if a block is open.
    next: u128,
}

impl Spans {
    fn close_before(&mut self, first: u128) {
        while let Some(inner) = self.open.pop_if(|inner| inner.last < first) {
            self.give_up_to(inner.last, inner.index);
        }
    }

    fn open(&mut self, block: Block) {
        if let Some(around) = self.open.last().copied()
            && self.next < block.first
        {
            self.give_up_to(block.first - 1, around.index);
        }
        self.next = block.first;
        self.open.push(block);
    }

    fn finish(mut self) -> Vec<Block> {
        while let Some(inner) = self.open.pop() {
            self.give_up_to(inner.last, inner.index);
            if inner.last == u128::MAX {
                break;
            }
        }
        self.done
    }

    fn give_up_to(&mut self, last: u128, index: u32) {
        if self.next <= last {
            self.done.push(Block { first: self.next, last, index });
            self.next = last.saturating_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Block, Ranges};

    fn block(first: u128, last: u128, index: u32) -> Block {
        Block { first, last, index }
    }

    #[track_caller]
    fn check(blocks: &[Block], number: u128, want: Option<u32>) {
        assert_eq!(Ranges::new(blocks.to_vec()).find(number), want, "{number}");
    }

    #[test]
    fn the_innermost_block_is_found() {
        let blocks = [block(10, 99, 0), block(20, 29, 1), block(20, 24, 2), block(29, 29, 3)];
        for (number, want) in [
            (9, None),
            (10, Some(0)),
            (20, Some(2)),
            (25, Some(1)),
            (29, Some(3)),
            (30, Some(0)),
            (99, Some(0)),
            (100, None),
        ] {
            check(&blocks, number, want);
        }
    }

    #[test]
    fn the_ends_of_all_numbers_are_found() {
        let blocks = [block(0, u128::MAX, 0), block(5, u128::MAX, 1), block(u128::MAX, u128::MAX, 2)];
        check(&blocks, 0, Some(0));
        check(&blocks, u128::MAX - 1, Some(1));
        check(&blocks, u128::MAX, Some(2));
    }

    #[test]
    fn nothing_is_found_in_no_blocks() {
        check(&[], 0, None);
    }

    proptest! {
        #[test]
        fn spans_find_what_a_scan_for_the_longest_prefix_finds(
            prefixes in prop::collection::btree_set((0u32..=8, any::<u8>()), 0..40),
            number in any::<u8>(),
        ) {
            let mut seen = std::collections::BTreeSet::new();
            let blocks: Vec<Block> = (0u32..)
                .zip(prefixes)
                .filter_map(|(index, (bits, start))| {
                    let size = 1u128 << (8 - bits);
                    let first = u128::from(start) / size * size;
                    seen.insert((first, size)).then(|| block(first, first + size - 1, index))
                })
                .collect();
            let number = u128::from(number);
            let holding = blocks.iter().filter(|b| (b.first..=b.last).contains(&number));
            let want = holding.min_by_key(|b| b.last - b.first).map(|b| b.index);
            prop_assert_eq!(Ranges::new(blocks.clone()).find(number), want);
        }
    }
}
