//! What a look-up in the embedded table costs.
//!
//! `cargo bench -p egret-lookup --bench known`: names below every zone of the table in a random order, one in
//! eight below none, some deep; random addresses of both families; random AS numbers below 500,000. Each figure is the
//! best of five rounds, in processor time of the one thread. Then what it costs to parse the embedded table, which the first
//! look-up of a process does, and to put a newer bootstrap of the same size into it.

#![allow(clippy::print_stdout, reason = "a bench prints its table")]
#![allow(clippy::disallowed_methods, reason = "a bench reads what it used; what it measures reads nothing")]

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use egret_lookup::known::{self, Bootstrap, Table};

const ROUNDS: usize = 5;
const LOOK_UPS: usize = 1_000_000;
const TABLES: usize = 100;
/// Different questions of each kind: more than the caches of a core hold answers for, as in life.
const QUESTIONS: usize = 100_000;

fn main() {
    let mut random = Random(1);
    let names = names(&mut random);
    let ipv4: Vec<IpAddr> =
        (0..QUESTIONS).map(|_| Ipv4Addr::from_bits(random.below(1 << 32) as u32).into()).collect();
    let ipv6: Vec<IpAddr> = (0..QUESTIONS).map(|_| ipv6(&mut random)).collect();
    let asn: Vec<u32> = (0..QUESTIONS).map(|_| random.below(500_000) as u32).collect();
    println!("| look-up | ns |\n|---|---|");
    row("name", &names, |name| known::domain(name).zone.len());
    row("IPv4 address", &ipv4, |address| known::ip(*address).zone.len());
    row("IPv6 address", &ipv6, |address| known::ip(*address).zone.len());
    row("AS number", &asn, |number| known::asn(*number).zone.len());
    row("server by its id", &ids(), |id| known::server(id).map_or(0, |server| server.address.len()));
    let bootstrap = bootstrap();
    let nanos =
        timed(|| (0..TABLES).map(|_| Table::with_bootstrap(&bootstrap).servers().count()).sum::<usize>());
    println!(
        "\na table with a newer bootstrap, the embedded one parsed for it: {:.1} ms",
        nanos / TABLES as f64 / 1e6
    );
}

fn row<Q>(what: &str, questions: &[Q], look_up: impl Fn(&Q) -> usize) {
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let nanos = timed(|| {
            let asked = questions.iter().cycle().take(LOOK_UPS);
            asked.map(|question| look_up(black_box(question))).fold(0, usize::wrapping_add)
        });
        best = best.min(nanos / LOOK_UPS as f64);
    }
    println!("| {what} | {best:.0} |");
}

fn names(random: &mut Random) -> Vec<String> {
    let zones: Vec<String> = {
        let mut zones: Vec<&str> = Table::embedded().zones().map(|known| known.zone).collect();
        zones.sort_unstable();
        zones.into_iter().map(str::to_owned).collect()
    };
    (0..QUESTIONS)
        .map(|n| match random.below(8) {
            0 => format!("name{n}.no-such-zone{n}"),
            1 => format!("a.b.c.name{n}.{}", zones[random.below(zones.len() as u64)]),
            _ => format!("name{n}.{}", zones[random.below(zones.len() as u64)]),
        })
        .collect()
}

fn ipv6(random: &mut Random) -> IpAddr {
    let high = 0x2000_0000 + random.next() % 0x1000_0000;
    Ipv6Addr::from_bits(u128::from(high) << 96 | u128::from(random.next())).into()
}

fn ids() -> Vec<String> {
    known::servers().map(|server| server.id.to_string()).collect()
}

/// The table's own RDAP part, as IANA would write it.
fn bootstrap() -> Bootstrap {
    let zones: Vec<String> = Table::embedded()
        .zones()
        .filter_map(|known| Some(format!(r#"[["{}"], ["{}"]]"#, known.zone, known.rdap?.address)))
        .collect();
    let dns = format!(r#"{{"services": [{}]}}"#, zones.join(","));
    let one = |key: &str| format!(r#"{{"services": [[["{key}"], ["https://rdap.db.ripe.net/"]]]}}"#);
    Bootstrap::parse(&dns, &one("193.0.0.0/8"), &one("2a00::/12"), &one("1-9")).expect("it is well formed")
}

/// SplitMix64: next to nothing beside what is measured.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> usize {
        usize::try_from(self.next() % bound).unwrap_or(0)
    }
}

/// Nanoseconds of processor time that this thread spends in `work`.
fn timed<T>(work: impl FnOnce() -> T) -> f64 {
    let began = on_cpu();
    black_box(work());
    (on_cpu() - began) as f64
}

/// Nanoseconds that this thread has run (proc(5): schedstat).
fn on_cpu() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    stat.split_whitespace().next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0)
}
