//! What a ledger went through, as lines that a later process of this agent reads again.
//!
//! A line is a checksum and a [`Record`] in JSON. It is written before the call that it speaks of leaves, in one piece
//! ([`Journal`]), so a process that is killed has no call on its conscience that the next one does not know of. Times are
//! microseconds since the boot, which no change of the wall clock moves. `books` writes records and goes through them
//! again; nothing in this module knows what they do to a ledger.

mod file;

use egret_wire::agent::{Attempt, LedgerState, ServicePolicy};
use serde::{Deserialize, Serialize};

pub(crate) use file::{Journal, LOST, Lock, read};

/// The form of the records; another one is not read.
pub(crate) const VERSION: u32 = 1;

/// Something that concerns ledgers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Record {
    /// The first of a file: all times in it are of this boot.
    Begin { version: u32, boot: String },
    /// What the wall clock showed, in milliseconds since 1970.
    Mark { at: u64, wall_ms: u64 },
    /// The terms of a service, from here on.
    Policy(ServicePolicy),
    /// A number for a service and an egress, as long as the file lasts.
    Pair { pair: u32, service: String, egress: String },
    /// What somebody else knew of the pair, joined into its ledger.
    State { pair: u32, at: u64, state: LedgerState },
    /// A call that leaves.
    Leave { pair: u32, attempt: Attempt, at: u64 },
    /// Its end.
    Back { attempt: Attempt, at: u64, how: How },
    /// Calls of others, and the number that shows that they were heard of.
    Spent { pair: u32, calls: u32, at: u64, memory: u64 },
    /// The number that shows that all the coordinator told about an egress is known.
    Memory { egress: String, memory: u64 },
    /// The agent stopped in order: nothing comes after this.
    Closed { at: u64 },
}

/// How a call ended, as far as ledgers care.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum How {
    /// Something came back.
    Answered,
    /// Nothing did; it may be counted late.
    Unanswered,
    /// It never left.
    NotSent,
}

impl Record {
    /// When it was written, if it says so.
    pub(crate) fn at(&self) -> Option<u64> {
        match self {
            Self::Mark { at, .. }
            | Self::State { at, .. }
            | Self::Leave { at, .. }
            | Self::Back { at, .. }
            | Self::Spent { at, .. }
            | Self::Closed { at } => Some(*at),
            Self::Begin { .. } | Self::Policy(_) | Self::Pair { .. } | Self::Memory { .. } => None,
        }
    }

    /// Appends its line.
    pub(crate) fn write_to(&self, out: &mut Vec<u8>) -> serde_json::Result<()> {
        let begin = out.len();
        out.extend_from_slice(b"00000000 ");
        let json = out.len();
        serde_json::to_writer(&mut *out, self)?;
        let sum = out.get(json..).map_or(0, checksum);
        let digits = format!("{sum:08x}");
        if let Some(place) = out.get_mut(begin..begin + digits.len()) {
            place.copy_from_slice(digits.as_bytes());
        }
        out.push(b'\n');
        Ok(())
    }

    /// Reads a line without its end.
    fn read(line: &[u8]) -> Option<Self> {
        let (sum, json) = line.split_at_checked(9)?;
        let sum = std::str::from_utf8(sum.strip_suffix(b" ")?).ok()?;
        let is_whole = u32::from_str_radix(sum, 16).ok()? == checksum(json);
        if is_whole { serde_json::from_slice(json).ok() } else { None }
    }
}

/// How a file ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tail {
    /// With a whole record, or one that was never written to its end: what it speaks of was not begun.
    Whole,
    /// With something that cannot be read: nobody knows what it and all after it was.
    Damaged,
}

/// The records of a file up to the first that cannot be read.
pub(crate) fn records(bytes: &[u8]) -> (Vec<Record>, Tail) {
    let mut records = Vec::new();
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let Some(line) = line.strip_suffix(b"\n") else { break };
        match Record::read(line) {
            Some(record) => records.push(record),
            None => return (records, Tail::Damaged),
        }
    }
    (records, Tail::Whole)
}

/// CRC-32 as in zlib and Ethernet (IEEE 802.3).
fn checksum(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |sum, byte| {
        let index = (sum ^ u32::from(*byte)) & 0xff;
        TABLE.get(index as usize).copied().unwrap_or(0) ^ (sum >> 8)
    })
}

static TABLE: [u32; 256] = table();

const fn table() -> [u32; 256] {
    let mut table = [0u32; 256];
    let mut index = 0;
    while index < 256 {
        let mut value = index as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { 0xedb8_8320 ^ (value >> 1) } else { value >> 1 };
            bit += 1;
        }
        table[index] = value;
        index += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leave(n: u64) -> Record {
        Record::Leave { pair: 3, attempt: Attempt(n, 1, 2, n), at: 1_000 + n }
    }

    fn written(count: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        (0..count).for_each(|n| leave(n).write_to(&mut bytes).unwrap());
        bytes
    }

    #[test]
    fn the_checksum_is_that_of_the_standard() {
        assert_eq!(checksum(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn a_record_is_one_line_that_reads_back() {
        let bytes = written(2);
        let text = r#"{"leave":{"pair":3,"attempt":[1,1,2,1],"at":1001}}"#;
        assert_eq!(String::from_utf8(bytes.clone()).unwrap().lines().nth(1).unwrap()[9..], *text);
        assert_eq!(records(&bytes), (vec![leave(0), leave(1)], Tail::Whole));
    }

    #[test]
    fn a_file_cut_anywhere_is_read_up_to_its_last_whole_record() {
        let bytes = written(3);
        let line = bytes.len() / 3;
        for cut in 0..bytes.len() {
            let (read, tail) = records(&bytes[..cut]);
            assert_eq!((read.len(), tail), (cut / line, Tail::Whole), "{cut}");
        }
    }

    #[test]
    fn one_wrong_byte_anywhere_is_noticed_and_nothing_after_it_is_believed() {
        let bytes = written(3);
        let line = bytes.len() / 3;
        for place in 0..bytes.len() - 1 {
            let mut bytes = bytes.clone();
            bytes[place] ^= 0x20;
            let (read, tail) = records(&bytes);
            // An upper-case digit is the same digit.
            if read.len() == 3 {
                assert!(place % line < 8 && bytes[place].is_ascii_hexdigit(), "{place}");
                continue;
            }
            assert_eq!((read.len(), tail), (place / line, Tail::Damaged), "{place}");
        }
    }

    #[test]
    fn a_record_of_a_later_version_is_not_passed_over() {
        let mut bytes = written(1);
        let json = r#"{"dance":{"at":1}}"#;
        bytes.extend(format!("{:08x} {json}\n", checksum(json.as_bytes())).bytes());
        bytes.extend(written(1));
        assert_eq!(records(&bytes), (vec![leave(0)], Tail::Damaged));
    }
}
