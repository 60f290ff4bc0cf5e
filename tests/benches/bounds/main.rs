//! How much of what the quotas allow is used, and that no more is: against senders that waste nothing.
//!
//! `cargo bench -p egret-tests --bench bounds` runs all sections; a word behind `--` chooses some:
//!
//! - `sockets`: real processes, 16 egresses on 127.0.0.x, 20 s a cell, four cells at once;
//! - `hours`: windows of up to a day, three of each, in virtual time;
//! - `far`: the same fleet with a coordinator 150 ms further away, over real sockets;
//! - `restarts`: coordinator or agent killed in the middle of a window of 60 s.
//!
//! The bound counts the calls of a sender that remembers each call by itself and sends at the first instant allowed,
//! with the answer times of the run. "Of the bound" may pass 100 % a little: answer times are drawn anew for it.

#![allow(clippy::print_stdout, reason = "a bench prints its table")]

mod cell;
mod far;
mod hours;
mod restarts;

#[tokio::main]
async fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let wanted = |word: &str| words.is_empty() || words.iter().any(|w| w == word);
    if wanted("sockets") {
        cell::table().await;
    }
    if wanted("hours") {
        hours::table();
    }
    if wanted("far") {
        far::table().await;
    }
    if wanted("restarts") {
        restarts::table().await;
    }
}
