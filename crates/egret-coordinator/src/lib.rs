//! Serves: the API, the agents' sessions, and the loop that drives the scheduler.
//!
//! A [`Coordinator`] owns one store, one drive loop and one listener. Handlers and sessions only
//! translate: they plan and check, hand messages to the drive, and wait for what comes back. The drive
//! is the only owner of budgets and of jobs in memory; the recorder writes the
//! outcomes (but for jobs that cannot go on after a restart: the start ends them itself).
//!
//! - [`config`]: what it is told; `services`: the same, ready for use;
//! - `drive`: the loop, with `job` (a job's life), `flights` (equal questions), `fleet` (agents and egresses), `memory` (ledgers over
//!   restarts) and `progress` (batches);
//! - `bootstrap`: IANA's files, which keep the catalogue new;
//! - `cache`: answers that are given again, before any budget is spent;
//! - `recorder`: outcomes to the store, then acknowledgements to the agents;
//! - `session`, `login`, `join`, `seal`: agents; `api`: users, with [`key`] what they show; `server`, `linger`, `tls`: the listener.
//!
//! Absent: what answers mean (`egret-lookup`), when a call may leave (`egret-core`), SQL (`egret-store`).

mod api;
mod bootstrap;
mod cache;
mod clock;
pub mod config;
mod coordinator;
mod drive;
mod identity;
mod join;
mod judge;
pub mod key;
mod linger;
mod login;
mod passage;
mod recorder;
mod seal;
mod server;
mod services;
mod session;
mod tls;

pub use coordinator::{Coordinator, StartError, Surroundings};
pub use server::Listener;
