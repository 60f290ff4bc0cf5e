//! The real coordinator, agents and store on hosts that are not there, under faults drawn from a seed.
//!
//! Time, network, disk and chance are the simulation's, so a seed is a story that can be told again. A remote that counts
//! exactly stands at the other end. `SEED=n cargo test -p egret-tests --test simulation one -- --ignored --nocapture` tells
//! one story aloud; `SEEDS=a..b cargo test --release -p egret-tests --test simulation many -- --ignored --nocapture`
//! plays as many as wanted, 1,000 unless told.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod caller;
mod conn;
mod deaths;
mod faults;
mod hosts;
mod referee;
mod scene;
mod story;
mod tap;

use std::ops::Range;

use crate::story::{Ending, play};

/// Plays stories and tells what is wrong with each.
fn check(seeds: Range<u64>) {
    let wrong: Vec<String> = seeds.filter_map(|seed| play(seed).wrong(seed)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_fault_lets_a_quota_be_exceeded_or_a_job_be_lost() {
    check(0..10);
}

#[test]
fn no_fault_lets_a_quota_be_exceeded_or_a_job_be_lost_in_ten_more() {
    check(10..20);
}

/// Plays stories twice.
fn repeat(seeds: Range<u64>) {
    for seed in seeds {
        let [first, second] = [play(seed), play(seed)];
        assert_eq!(first.grants, second.grants, "seed {seed}");
    }
}

#[test]
fn a_seed_tells_the_same_story_again() {
    repeat(0..2);
}

#[test]
#[ignore = "takes a minute"]
fn twenty_seeds_tell_the_same_stories_again() {
    repeat(0..20);
}

#[test]
#[ignore = "takes minutes"]
#[allow(clippy::print_stdout, reason = "it is what this is for")]
fn many() {
    let text = std::env::var("SEEDS").unwrap_or_else(|_| "0..1000".to_owned());
    let (first, last) = text.split_once("..").expect("SEEDS=0..1000");
    let seeds = first.parse::<u64>().unwrap()..last.parse::<u64>().unwrap();
    let began = std::time::Instant::now();
    // One thread for each core: a simulation needs no more than one.
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let parts: Vec<Vec<(u64, Ending)>> = std::thread::scope(|scope| {
        let part = |nth: u64| {
            let mine = seeds.clone().filter(move |seed| seed % threads == nth);
            scope.spawn(move || mine.map(|seed| (seed, play(seed))).collect())
        };
        let running: Vec<_> = (0..threads).map(part).collect();
        running.into_iter().map(|part| part.join().unwrap()).collect()
    });
    let endings: Vec<_> = parts.into_iter().flatten().collect();
    let sum = |of: fn(&Ending) -> usize| endings.iter().map(|(_, ending)| of(ending)).sum::<usize>();
    println!(
        "{} seeds in {:.0} s: {} faults, {} jobs, {} grants, {} calls, {} s simulated",
        endings.len(),
        began.elapsed().as_secs_f64(),
        sum(|ending| ending.faults),
        sum(|ending| ending.jobs),
        sum(|ending| ending.grants.len()),
        sum(|ending| ending.calls),
        sum(|ending| ending.took.as_secs() as usize),
    );
    let wrong: Vec<String> = endings.iter().filter_map(|(seed, ending)| ending.wrong(*seed)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
#[ignore = "tells one story aloud"]
#[allow(clippy::print_stdout, reason = "it is what this is for")]
fn one() {
    tracing_subscriber::fmt()
        .with_target(false)
        .with_max_level(std::env::var("LEVEL").map_or(tracing::Level::INFO, |level| level.parse().unwrap()))
        .init();
    let seed = std::env::var("SEED").expect("SEED=n").parse().unwrap();
    let ending = play(seed);
    println!(
        "{} grants, {} calls, {} jobs, {:?}",
        ending.grants.len(),
        ending.calls,
        ending.jobs,
        ending.took
    );
    assert_eq!(ending.wrong(seed), None);
}
