//! The promises, with real processes and real sockets.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod backlog;
mod bad_input;
mod cache;
mod catalogue;
mod check;
mod deaths;
mod deploy;
mod drain;
mod forecast;
mod hosts;
mod http;
mod jobs;
mod keys;
mod passage;
mod permits;
mod quotas;
mod records;
mod referee;
mod referrals;
mod retry;
mod rogue;
mod scopes;
mod trust;
mod via;
