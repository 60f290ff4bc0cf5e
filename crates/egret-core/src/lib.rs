//! Decides: which egress may ask which service, and when.
//!
//! - [`quota`]: what a service allows, and its reduction to sliding windows;
//! - [`scope`]: who shares a quota;
//! - [`ledger`]: what was spent at one service, by one egress or by those that share a quota, and when more may be;
//! - [`scheduler`]: waiting steps given to egresses with budget; events in, commands out;
//! - [`forecast`]: when waiting steps will have left, played through with copies of the ledgers;
//! - [`retry`]: what becomes of a step after an attempt;
//! - [`id`], [`time`]: the names and the clock readings everything above speaks in.
//!
//! Deliberately absent: sockets, files, clocks, tasks, and the meaning of an answer. `now` and
//! randomness are arguments, so the same events always give the same commands.

pub mod forecast;
pub mod id;
pub mod ledger;
pub mod quota;
pub mod retry;
pub mod scheduler;
pub mod scope;
pub mod time;
