//! An answer on its way out, piece by piece: whole, trickling, too large or endless.

use crate::trouble::{Drip, Troubles};
use bytes::Bytes;
use std::time::Duration;

/// An endless answer ends here, so that a reader without a cap cannot fill a disk.
const ENDLESS: usize = 1 << 30;

/// Filler goes out in pieces of about this many bytes.
const PIECE: usize = 16 * 1024;

/// Gives the pieces of one answer, each with the wait before it.
pub(crate) struct Pour {
    rest: Bytes,
    filler: Bytes,
    filler_left: usize,
    drip: Option<Drip>,
}

impl Pour {
    /// Pours `answer`, then as much `filler` as the troubles ask for.
    pub(crate) fn new(answer: Vec<u8>, troubles: &Troubles, filler: &str) -> Self {
        let filler_left =
            if troubles.endless { ENDLESS } else { troubles.pad_to.saturating_sub(answer.len()) };
        let filler = match filler_left {
            0 => Bytes::new(),
            _ => filler.repeat(PIECE.div_ceil(filler.len().max(1))).into(),
        };
        Self { rest: answer.into(), filler, filler_left, drip: troubles.drip }
    }

    /// Bytes still to come.
    pub(crate) fn left(&self) -> usize {
        self.rest.len() + if self.filler.is_empty() { 0 } else { self.filler_left }
    }

    /// The next piece and the wait before it; `None` at the end.
    pub(crate) fn next(&mut self) -> Option<(Duration, Bytes)> {
        if self.rest.is_empty() {
            self.rest = self.filler.slice(..self.filler.len().min(self.filler_left));
            self.filler_left -= self.rest.len();
        }
        if self.rest.is_empty() {
            return None;
        }
        let (wait, most) = match self.drip {
            Some(drip) => (drip.every, drip.bytes.max(1)),
            None => (Duration::ZERO, usize::MAX),
        };
        Some((wait, self.rest.split_to(most.min(self.rest.len()))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(troubles: &Troubles) -> Vec<(Duration, Bytes)> {
        let mut pour = Pour::new(b"answer".to_vec(), troubles, "% filler\r\n");
        let promised = pour.left();
        let pieces: Vec<_> = std::iter::from_fn(|| pour.next()).collect();
        assert_eq!(promised, pieces.iter().map(|(_, piece)| piece.len()).sum::<usize>());
        assert_eq!(pour.left(), 0);
        pieces
    }

    #[test]
    fn without_troubles_the_answer_comes_whole_and_at_once() {
        assert_eq!(pieces(&Troubles::default()), [(Duration::ZERO, Bytes::from("answer"))]);
    }

    #[test]
    fn a_drip_cuts_it_into_small_pieces() {
        let every = Duration::from_millis(5);
        let dripping = pieces(&Troubles { drip: Some(Drip { bytes: 4, every }), ..Troubles::default() });
        assert_eq!(dripping, [(every, Bytes::from("answ")), (every, Bytes::from("er"))]);
    }

    #[test]
    fn a_padded_answer_has_exactly_the_size_asked_for() {
        for size in [0, 6, 7, 20_000, 100_000] {
            let poured = pieces(&Troubles { pad_to: size, ..Troubles::default() });
            assert_eq!(poured.iter().map(|(_, piece)| piece.len()).sum::<usize>(), size.max(6));
        }
    }

    #[test]
    fn an_endless_answer_goes_on_until_its_cap() {
        let mut pour = Pour::new(Vec::new(), &Troubles { endless: true, ..Troubles::default() }, "x");
        assert!((0..1_000).all(|_| pour.next().is_some()));
        assert_eq!(pour.left(), ENDLESS - 1_000 * PIECE);
    }
}
