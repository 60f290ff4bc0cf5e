//! An answer on its way to a caller who takes it as it comes: `GET /agent/v1/answer`, a WebSocket of its own for each.
//!
//! The agent says how the answer begins ([`AgentMessage::Begins`]) and is told whether somebody takes it like that
//! ([`CoordinatorMessage::Wanted`]); then the rest follows in binary frames of up to [`PIECE`] bytes, and
//! [`AgentMessage::Ends`] says that it is whole. A connection that ends without it has cut the answer. Reported on the
//! session it is either way, when the call is over.

use serde::{Deserialize, Serialize};

use crate::agent::Report;

/// The WebSocket subprotocol.
pub const PROTOCOL: &str = "egret.v1.answer";
/// The longest answer that passes, in bytes (chosen: what takes more than an hour's call is no lookup).
pub const MAX_PASSING: u64 = 1 << 30;
/// How many bytes come before an answer is offered as it comes, and the longest piece after that (chosen: as much as is
/// read to judge an answer, and more than most answers have).
pub const PIECE: usize = 64 << 10;
/// The largest frame either side takes, in bytes: a beginning, as JSON writes it, has less than four times its bytes.
pub const MAX_FRAME: usize = 1 << 20;

/// What the agent says.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentMessage {
    /// An answer has begun.
    Begins(Box<Begins>),
    /// All of it has come.
    Ends {},
}

/// How an answer begins.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Begins {
    /// The agent's id.
    pub agent: String,
    /// As if it ended here.
    pub report: Report,
}

/// What the coordinator says.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CoordinatorMessage {
    /// Whether the rest is to follow here. If not, the answer is reported whole, or as much of it as is kept.
    Wanted(bool),
}
