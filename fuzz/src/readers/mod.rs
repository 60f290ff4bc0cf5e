//! What is thrown at whom, and what must be true of the outcome.
//!
//! Each [`Reader`] makes of any bytes an input, calls what it is named for, and asserts its claims.
//! How the call is watched is the [`Meter`]'s business: not at all ([`Plain`]), or by its memory.

mod classifier;
mod record;
mod target;

use std::fmt::Debug;

pub use classifier::Classifier;
pub use record::{Rdap, Whois};
pub use target::Targets;

/// Something that reads the text of strangers.
pub trait Reader {
    /// Inputs that between them use every table and pattern it has.
    const WARM: &'static [&'static str];

    /// Reads `data` under `meter` and asserts what must hold of the outcome.
    ///
    /// # Panics
    /// When it does not.
    fn check(data: &[u8], meter: &impl Meter);
}

/// How a call is watched.
pub trait Meter {
    /// Calls `read`, which reads `input` bytes, twice: both outcomes must be the same.
    ///
    /// # Panics
    /// When they are not, or when the call takes what it must not.
    fn run<T: PartialEq + Debug>(&self, input: usize, read: impl Fn() -> T) -> T;
}

/// Only compares.
pub struct Plain;

impl Meter for Plain {
    fn run<T: PartialEq + Debug>(&self, _: usize, read: impl Fn() -> T) -> T {
        let first = read();
        assert_eq!(first, read(), "the same input was read in two ways");
        first
    }
}

/// One line that shows on a terminal as it is.
#[track_caller]
fn assert_one_line(what: &str, text: &str, longest: usize) {
    assert!(!text.chars().any(char::is_control), "{what} holds a control character: {text:?}");
    assert!(text.len() <= longest, "{what} is {} bytes long, {longest} are the most: {text:?}", text.len());
}
