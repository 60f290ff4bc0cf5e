//! Talks: the typed client of the coordinator's HTTP API.
//!
//! A [`Client`] has one method for each thing the API can do; what goes in and comes out are the types of
//! `egret_wire::api`. Failures are a [`ClientError`], whose text names the coordinator and the mend.
//!
//! - `client`: one request, one answer, and what can go wrong between them; `plain`: without TLS;
//! - `jobs`, `batches`, `fleet`: the routes by topic;
//! - `upload`: lines streamed up; `results`: results streamed down, over broken connections; `lines`: their framing.
//!
//! Absent: retries of anything but reading on (submitting twice is the caller's decision), TLS, caches.

mod batches;
mod client;
mod error;
mod fleet;
mod http;
mod jobs;
mod lines;
mod results;
mod upload;

#[cfg(test)]
mod stage;

pub use client::Client;
pub use error::ClientError;
pub use http::plain_http;
pub use jobs::JobFilter;
pub use results::{ResultLine, Results};
pub use upload::{LineFormat, UploadOptions};
