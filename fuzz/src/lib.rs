//! Hostile text for the readers of `egret-lookup`: what each must hold, and how its memory is counted.
//!
//! `readers` says what is thrown at whom and what must be true of the outcome. It knows nothing of
//! fuzzing, so that a plain test of `egret-lookup` includes it and replays `corpus/` with every
//! `cargo test`. `memory` counts what a call holds, which takes an allocator and so a process of its own.
//! `growth` makes long inputs out of short ones.

pub mod growth;
pub mod memory;
pub mod readers;
