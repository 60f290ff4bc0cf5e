//! The most memory that one call holds, against the length of what it read.
//!
//! [`Counted`] is the process's allocator: every byte handed out and not given back counts, at its
//! asked size. A vector that grows counts with both its old and its new room for a moment, as it is
//! where the allocator has to move it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::env;
use std::fmt::Debug;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{LazyLock, Once};

use crate::readers::{Meter, Plain, Reader};

/// How many bytes a call may hold for each byte that it reads.
const TIMES: usize = 16;
/// And besides, whatever it reads: lists of fixed length, the state of a parser (chosen).
const BASE: usize = 16 * 1024;

#[global_allocator]
static ALLOCATOR: Counted = Counted;
static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

/// The system's allocator with a count of what is out, and of the most that ever was.
struct Counted;

// SAFETY: every call goes to the system's allocator as it came; the counters touch no memory of it.
// `realloc` and `alloc_zeroed` are the trait's own, which are made of these two.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let live = LIVE.fetch_add(layout.size(), Relaxed) + layout.size();
        PEAK.fetch_max(live, Relaxed);
        // SAFETY: the caller keeps the contract of `GlobalAlloc::alloc`, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
}

/// Panics when a call holds more than [`TIMES`] its input and [`BASE`].
struct Bounded;

impl Meter for Bounded {
    fn run<T: PartialEq + Debug>(&self, input: usize, read: impl Fn() -> T) -> T {
        let first = read();
        let (mut second, mut held) = held_by(&read);
        let allowed = input * TIMES + BASE;
        // What a regex remembers of texts is bounded by itself (2 MiB each), and when it is full forgotten and
        // learnt anew: that is no part of what a call takes, and not there the next time.
        for _ in 0..2 {
            if held > allowed {
                (second, held) = held_by(&read);
            }
        }
        assert!(held <= allowed, "{held} bytes are held for an input of {input}; {allowed} are allowed");
        assert_eq!(first, second, "the same input was read in two ways");
        report_highest(held, input);
        second
    }
}

/// The outcome of `read`, and the most that was held at once on the way to it.
fn held_by<T>(read: impl Fn() -> T) -> (T, usize) {
    let before = LIVE.load(Relaxed);
    PEAK.store(before, Relaxed);
    let outcome = read();
    (outcome, PEAK.load(Relaxed) - before)
}

/// Says so, where a call came nearer to the bound than all before it (`EGRET_FUZZ_PEAKS=1`).
fn report_highest(held: usize, input: usize) {
    static HIGHEST: AtomicUsize = AtomicUsize::new(0);
    static SAYS: LazyLock<bool> = LazyLock::new(|| env::var_os("EGRET_FUZZ_PEAKS").is_some());
    let percent = held.saturating_sub(BASE) * 100 / input.max(1);
    if *SAYS && percent > HIGHEST.fetch_max(percent, Relaxed) {
        eprintln!("PEAK: {held} bytes for an input of {input}, {percent} % of it beyond {BASE}");
    }
}

/// Reads `data` and holds the reader to its claims and to its memory.
///
/// # Panics
/// When the reader breaks one of them; that is the finding.
pub fn probe<R: Reader>(data: &[u8]) {
    // One reader a process: tables and patterns are made once, whatever the input.
    static WARM: Once = Once::new();
    WARM.call_once(|| R::WARM.iter().for_each(|text| R::check(text.as_bytes(), &Plain)));
    R::check(data, &Bounded);
}
