//! Names for things: newtypes, so that a job cannot be taken for an egress.
//!
//! Ids that leave the process are `ms << 20 | counter`, so they sort by time, and are written as a
//! prefix and 13 Crockford base-32 characters (`job_01K9Z3…`).

use std::fmt;
use std::str::FromStr;

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const LENGTH: usize = 13;
const COUNTER_BITS: u32 = 20;

/// A text that is no id of the kind asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an id like {prefix}01K9Z3E8Q0000")]
pub struct IdError {
    text: String,
    prefix: &'static str,
}

macro_rules! public_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str($prefix)?;
                f.write_str(std::str::from_utf8(&encode(self.0)).expect("the alphabet is ASCII"))
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                text.strip_prefix($prefix)
                    .and_then(decode)
                    .map(Self)
                    .ok_or_else(|| IdError { text: text.chars().take(40).collect(), prefix: $prefix })
            }
        }
    };
}

public_id!(
    /// One lookup with its life.
    JobId,
    "job_"
);
public_id!(
    /// Jobs submitted together.
    BatchId,
    "bat_"
);
public_id!(
    /// An enrolled agent.
    AgentId,
    "agt_"
);

/// A configured service; dense, given in the order of the configuration, meaningful in one process only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceId(pub u32);

/// One source address as remotes see it; dense, meaningful in one process only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EgressId(pub u32);

/// Whose work it is; dense, meaningful in one process only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantId(pub u32);

/// Steps that wait in one line, alike in all but their deadlines; meaningful in one process only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowId(pub u32);

/// One step sent once from one egress: the name of the coordinator's start and a count within that start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptId {
    /// Which start of the coordinator made it; a later start never reuses an earlier one's names.
    pub start: u32,
    /// Counted from 1 within the start.
    pub count: u64,
}

/// Makes ids that never repeat: each is above the last, whatever the wall clock does.
#[derive(Debug)]
pub struct IdMaker {
    last: u64,
}

impl IdMaker {
    /// Starts above `last`, the largest id ever stored (0: none).
    pub fn above(last: u64) -> Self {
        Self { last }
    }

    /// The next id; `unix_ms` is the wall clock in milliseconds since 1970.
    pub fn next(&mut self, unix_ms: u64) -> u64 {
        self.last = (self.last + 1).max(unix_ms << COUNTER_BITS);
        self.last
    }
}

fn encode(value: u64) -> [u8; LENGTH] {
    std::array::from_fn(|i| ALPHABET[(value >> (5 * (LENGTH - 1 - i)) & 31) as usize])
}

fn decode(text: &str) -> Option<u64> {
    if text.len() != LENGTH {
        return None;
    }
    text.bytes().try_fold(0u64, |value, byte| {
        let digit = ALPHABET.iter().position(|a| *a == byte.to_ascii_uppercase())?;
        // 13 characters hold 65 bits: a first one above F would overflow.
        (value >> 59 == 0).then_some(value << 5 | digit as u64)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_id_reads_back_as_itself(value: u64) {
            let text = JobId(value).to_string();
            prop_assert_eq!(text.len(), 17);
            prop_assert_eq!(text.parse::<JobId>(), Ok(JobId(value)));
        }

        #[test]
        fn text_order_is_id_order(a: u64, b: u64) {
            prop_assert_eq!(JobId(a).to_string().cmp(&JobId(b).to_string()), a.cmp(&b));
        }
    }

    #[test]
    fn a_foreign_prefix_a_short_text_and_an_overflow_are_no_ids() {
        for text in
            ["bat_0000000000001", "job_1", "", "job_Z000000000000", "job_000000000000U", "job_é00000000000"]
        {
            assert!(text.parse::<JobId>().is_err(), "{text}");
        }
    }

    #[test]
    fn ids_rise_even_when_the_wall_clock_goes_back() {
        let mut ids = IdMaker::above(0);
        let first = ids.next(1_000);
        assert_eq!(first, 1_000 << 20);
        assert_eq!(ids.next(1), first + 1);
        assert_eq!(IdMaker::above(first + 7).next(1_000), first + 8);
    }
}
