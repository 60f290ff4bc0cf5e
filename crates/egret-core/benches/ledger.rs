//! What a decision costs, beside governor doing three checks.
//!
//! `cargo bench -p egret-core --bench ledger`: three quotas (60 a minute, 3,600 an hour, 86,400 a day), so three
//! quantised logs, all groups in use. Random pairs are asked at nine tenths of their rate: whether a call may leave, and
//! if so it is reserved and charged. governor checks three keyed limiters in a row at the same instants. What one
//! random read costs of as much memory as the ledgers take is what no ledger can be below. Each figure is the best of
//! five rounds, in processor time of the one thread.

#![allow(clippy::print_stdout, reason = "a bench prints its table")]
#![allow(clippy::disallowed_methods, reason = "a bench reads what it used; what it measures reads nothing")]

use std::hint::black_box;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use egret_core::ledger::{Ledger, Ready};
use egret_core::quota::{Counting, Limits, Quota, Terms};
use egret_core::time::Instant;
use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota as Rate, RateLimiter};

const QUOTAS: [(u32, u64); 3] = [(60, 60), (3_600, 3_600), (86_400, 86_400)];
const ROUNDS: usize = 5;
const DECISIONS: u64 = 1_000_000;

fn main() {
    println!(
        "| live pairs | ns a decision | allowed | B a pair | governor, 3 checks: ns | B a key | one random read: ns |"
    );
    println!("|---|---|---|---|---|---|---|");
    for pairs in [100, 10_000, 100_000, 1_000_000] {
        let ours = measure_ledgers(pairs);
        let theirs = measure_governor(pairs);
        println!(
            "| {pairs} | {:.0} | {:.0} % | {} | {:.0} | {} | {:.0} |",
            ours.nanos,
            ours.allowed * 100.0,
            ours.bytes,
            theirs.nanos,
            theirs.bytes,
            measure_reads(pairs)
        );
    }
}

struct Figures {
    nanos: f64,
    allowed: f64,
    bytes: usize,
}

fn limits() -> Limits {
    let quota = |(units, secs): (u32, u64)| Quota::new(units, Duration::from_secs(secs));
    let terms = Terms {
        quotas: QUOTAS.map(quota).to_vec(),
        counting: Counting::Sliding,
        cost: 1,
        concurrency: None,
        cool_down: Duration::from_secs(60),
        max_cool_down: Duration::from_secs(86_400),
        timeout: Duration::from_secs(10),
        linger: Duration::from_secs(2),
    };
    terms.limits()
}

/// The nanoseconds between two decisions at which each of `pairs` is asked at nine tenths of one call a second.
fn pause(pairs: u64) -> u64 {
    1_111_111_111 / pairs
}

fn measure_ledgers(pairs: u64) -> Figures {
    let limits = limits();
    let start = Instant::from_micros(400 * 86_400 * 1_000_000);
    // A day of calls, one every 1.1 s, as every pair has made them.
    let mut model = Ledger::default();
    let mut now = start;
    for _ in 0..78_545 {
        now = now + Duration::from_millis(1_100);
        model.spend(&limits, 1, now, now);
    }
    let before = resident();
    let mut ledgers: Vec<Ledger> = Vec::with_capacity(usize::try_from(pairs).unwrap_or(0));
    ledgers.extend((0..pairs).map(|_| model.clone()));
    let bytes = resident().saturating_sub(before) / ledgers.len();
    let mut random = Random(pairs);
    let (mut best, mut allowed) = (f64::INFINITY, 0u64);
    let (mut nanos, pause) = (now.as_micros() * 1_000, pause(pairs));
    for _ in 0..ROUNDS {
        let began = on_cpu();
        allowed = 0;
        for _ in 0..DECISIONS {
            nanos += pause;
            let at = Instant::from_micros(nanos / 1_000);
            let ledger = &mut ledgers[random.below(pairs)];
            if ledger.ready(&limits, at) == Ready::Now {
                ledger.reserve(&limits, at);
                ledger.charge(&limits, at);
                allowed += 1;
            }
        }
        best = best.min((on_cpu() - began) as f64 / DECISIONS as f64);
    }
    black_box(&ledgers);
    Figures { nanos: best, allowed: allowed as f64 / DECISIONS as f64, bytes }
}

type Limiter = RateLimiter<u64, DashMapStateStore<u64>, Told, NoOpMiddleware<Nanos>>;

fn measure_governor(pairs: u64) -> Figures {
    let clock = Told::default();
    let before = resident();
    let limiters = QUOTAS.map(|(units, secs)| -> Limiter {
        let interval = Duration::from_nanos(secs * 1_000_000_000 / u64::from(units));
        let burst = NonZeroU32::new(units).expect("no quota is empty");
        let rate = Rate::with_period(interval).expect("no interval is empty").allow_burst(burst);
        RateLimiter::new(rate, DashMapStateStore::default(), clock.clone())
    });
    for key in 0..pairs {
        limiters.iter().for_each(|limiter| {
            let _ = limiter.check_key(&key);
        });
    }
    let bytes = resident().saturating_sub(before) / usize::try_from(pairs).unwrap_or(1);
    let (mut random, pause) = (Random(pairs), pause(pairs));
    let (mut best, mut allowed) = (f64::INFINITY, 0u64);
    for _ in 0..ROUNDS {
        let began = on_cpu();
        allowed = 0;
        for _ in 0..DECISIONS {
            clock.0.fetch_add(pause, Ordering::Relaxed);
            let key = random.below(pairs) as u64;
            let passed = limiters.iter().all(|limiter| limiter.check_key(&key).is_ok());
            allowed += u64::from(passed);
        }
        best = best.min((on_cpu() - began) as f64 / DECISIONS as f64);
    }
    Figures { nanos: best, allowed: allowed as f64 / DECISIONS as f64, bytes }
}

/// Nanoseconds for one read at a place that depends on the read before, in 640 B for each pair.
fn measure_reads(pairs: u64) -> f64 {
    const WORDS: u64 = 80;
    let memory: Vec<u64> = (0..pairs * WORDS).collect();
    let (mut random, mut best) = (Random(pairs), f64::INFINITY);
    for _ in 0..ROUNDS {
        let began = on_cpu();
        for _ in 0..DECISIONS {
            let place = random.below(pairs) * usize::try_from(WORDS).unwrap_or(0);
            // The next place is not known before this one has been read.
            random.0 ^= memory[place] & 1;
        }
        best = best.min((on_cpu() - began) as f64 / DECISIONS as f64);
    }
    black_box(&memory);
    best
}

/// A clock that shows what it is told.
#[derive(Clone, Debug, Default)]
struct Told(Arc<AtomicU64>);

impl Clock for Told {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::from(self.0.load(Ordering::Relaxed))
    }
}

/// SplitMix64: next to nothing beside what is measured.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % bound).unwrap_or(0)
    }
}

/// Nanoseconds that this thread has run (proc(5): schedstat).
fn on_cpu() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    stat.split_whitespace().next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0)
}

/// Resident memory of this process, in bytes.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<usize>().ok());
    pages.unwrap_or(0) * 4_096
}
