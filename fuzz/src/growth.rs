//! Long inputs out of short ones: a part said again and again, each time with another number.
//!
//! A fuzzer left to itself keeps inputs short, and time or memory that grows by the square of a length shows in
//! long ones only. One change in [`ONE_IN`] is therefore of this kind; all others are the fuzzer's own.

use libfuzzer_sys::fuzzer_mutate;

/// How many changes of the fuzzer's come on one of ours (chosen: long inputs are slow).
const ONE_IN: u32 = 256;

/// Changes the first `size` bytes of `data` in place and returns their new number, at most `max_size`.
pub fn mutate(data: &mut [u8], size: usize, max_size: usize, seed: u32) -> usize {
    if size == 0 || !seed.is_multiple_of(ONE_IN) {
        return fuzzer_mutate(data, size, max_size);
    }
    let seed = (seed / ONE_IN) as usize;
    let (from, to) = part(&data[..size], seed);
    let (before, piece, after) = (data[..from].to_vec(), data[from..to].to_vec(), data[to..size].to_vec());
    let at = seed / 7 % (piece.len() + 1);
    let mut grown = before;
    for n in 0.. {
        let number = format!("{n:x}");
        if grown.len() + piece.len() + number.len() + after.len() > max_size {
            break;
        }
        grown.extend_from_slice(&piece[..at]);
        grown.extend_from_slice(number.as_bytes());
        grown.extend_from_slice(&piece[at..]);
    }
    grown.extend_from_slice(&after);
    grown.truncate(max_size);
    data[..grown.len()].copy_from_slice(&grown);
    grown.len()
}

/// A part of the input: a line with its end, what stands between two commas, or any bytes.
fn part(data: &[u8], seed: usize) -> (usize, usize) {
    let start = seed % data.len();
    let until = |mark: u8| {
        let from = data[..start].iter().rposition(|b| *b == mark).map_or(0, |at| at + 1);
        let to = data[start..].iter().position(|b| *b == mark).map_or(data.len(), |at| start + at + 1);
        (from, to)
    };
    match seed % 3 {
        0 => until(b'\n'),
        1 => until(b','),
        _ => (start, data.len().min(start + 1 + seed / 3 % 64)),
    }
}
