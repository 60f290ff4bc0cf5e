//! Decides: which egress may ask which service, and when.
//!
//! - [`quota`]: what a service allows, and its reduction to sliding windows;
//! - [`ledger`]: what one egress has spent at one service, and when it may spend again;
//! - [`scheduler`]: waiting steps given to egresses with budget; events in, commands out;
//! - [`retry`]: what becomes of a step after an attempt;
//! - [`id`], [`time`]: the names and the clock readings everything above speaks in.
//!
//! Deliberately absent: sockets, files, clocks, tasks, and the meaning of an answer. `now` and
//! randomness are arguments, so the same events always give the same commands.

pub mod id;
pub mod ledger;
pub mod quota;
pub mod retry;
pub mod scheduler;
pub mod time;
