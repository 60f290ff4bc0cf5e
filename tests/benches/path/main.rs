//! What the whole path costs, with real processes on loopback.
//!
//! `cargo bench -p egret-tests --features bench --bench path [-- SECTION...]`, where the sections are
//! `submit`, `null`, `pause`, `whois`, `wait` and `memory`; all of them take about three minutes. Coordinator,
//! agents and remote are processes of their own on the same cores as the caller, and every 202 stands
//! for a commit to the disk that `TMPDIR` is on.

#![allow(clippy::print_stdout, reason = "a bench prints its tables")]

mod bed;
mod memory;
mod null;
mod pause;
mod submit;
mod wait;
mod whois;

#[tokio::main]
async fn main() {
    // Cargo passes `--bench`.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    if words.first().is_some_and(|word| word == bed::REMOTE) {
        return bed::serve().await;
    }
    let is_wanted = |section: &str| words.is_empty() || words.iter().any(|word| word == section);
    println!("{}", bed::machine());
    if is_wanted("submit") {
        submit::run().await;
    }
    if is_wanted("null") {
        null::run().await;
    }
    if is_wanted("pause") {
        pause::run().await;
    }
    if is_wanted("whois") {
        whois::run().await;
    }
    if is_wanted("wait") {
        wait::run().await;
    }
    if is_wanted("memory") {
        memory::run().await;
    }
}
