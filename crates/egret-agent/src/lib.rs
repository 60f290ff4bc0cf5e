//! Calls: one process on one host that asks services from the addresses it has.
//!
//! An agent ([`run`]) dials out to its coordinator, proves which addresses it calls from, and makes the calls
//! it is granted: bound to the egress, within its own ledger and a guard behind it, capped in bytes and
//! time. It is dumb about meaning (bytes out, bytes and timings back) and strict about budget. Results
//! are kept until the coordinator says that they are safe.
//!
//! - `link`: connections to the coordinator; `identity`: who this agent is;
//! - `session`: one login after another; `worker`: what outlives them: gates, calls, the outbox;
//! - `books`: what was counted; `journal`: the same on disk, for the next process;
//! - `gate`: the last word on when a call may leave; `call`: one whois exchange; `http`: one HTTP exchange; `resolve`, `judge`: where it
//!   goes, and whether it may;
//! - `passage`: answers that somebody takes as they come;
//! - `check`: what would be found at a start;
//! - `host`: the addresses of this host; `sight`: what they are seen as; `stop`: the wish to stop; `systemd`: word to whoever supervises;
//! - `simulated`: what stands in for the host where there is none.
//!
//! Absent: classification, planning, retries. Those live with the coordinator.

mod books;
mod call;
mod check;
mod clock;
mod gate;
mod host;
mod http;
mod identity;
mod journal;
mod judge;
mod link;
mod outbox;
mod passage;
mod resolve;
mod session;
mod sight;
mod simulated;
mod stop;
pub mod systemd;
mod worker;

use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

pub use check::{Finding, Verdict, check};
pub use session::{run, simulate};
pub use simulated::{Dialling, Simulated, Wire};

/// How long calls under way may take when an agent is to stop, unless told.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);

/// How to run an agent.
#[derive(Clone, Debug)]
pub struct Options {
    /// `https://HOST:PORT` of the coordinator; on loopback also `http://HOST:PORT`.
    pub coordinator: String,
    /// The addresses to call from, or networks that are routed to this host; empty: every usable address of it.
    pub egresses: Vec<IpNet>,
    /// Networks not to call from.
    pub excluded: Vec<IpNet>,
    /// What people call this agent.
    pub name: String,
    /// Where its key and its id are kept; made with access for this user only.
    pub state_dir: PathBuf,
    /// Needed once, to join.
    pub token: Option<String>,
    /// Destinations that are not public and that this host permits all the same.
    pub allow_private: Vec<IpNet>,
    /// Plain HTTP will do beyond loopback.
    pub insecure: bool,
    /// Signatures have to hold for one TLS connection only; not if something in front of the coordinator ends TLS.
    pub channel_binding: bool,
    /// Patterns of the services that this host permits, whatever the coordinator says; none: all.
    pub allow_service: Vec<String>,
    /// How long calls under way may take when the agent is to stop.
    pub drain_timeout: Duration,
    /// It is what this process is there for: whoever supervises the process is told how it stands.
    pub is_supervised: bool,
}

/// Why an agent gave up.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// A setting is wrong, or a file or address cannot be used.
    #[error("{0}")]
    Setting(String),
    /// The coordinator cannot be reached and this agent has never joined.
    #[error(
        "no coordinator answers at {url}: {reason}; start one with `egret serve`, or correct --coordinator"
    )]
    Unreachable {
        /// Where it was looked for.
        url: String,
        /// What the attempt said.
        reason: String,
    },
    /// The coordinator does not let this agent in.
    #[error("{0}")]
    NotAllowed(String),
}
