//! Says: everything that crosses a socket, as types.
//!
//! - [`api`]: what users send and get under `/v1`;
//! - [`agent`]: what agents and coordinator say to each other (`egret.v1.json`);
//! - [`ask`]: what an HTTP service is asked, as it travels in a grant;
//! - [`csv`]: a result as a row for spreadsheets;
//! - [`passage`]: answers that pass through as they come (`egret.v1.answer`);
//! - [`pattern`]: which services somebody may ask;
//! - [`problem`]: errors as RFC 9457 problem details, with their stable codes;
//! - [`value`]: durations, times and bytes as JSON writes them.
//!
//! Serde only: nothing here decides, checks a target, or does I/O.

pub mod agent;
pub mod api;
pub mod ask;
pub mod csv;
pub mod passage;
pub mod pattern;
pub mod problem;
pub mod value;
