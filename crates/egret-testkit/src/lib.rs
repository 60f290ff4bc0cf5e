//! Pretends: remotes with true limits, for tests, benches and the demo.
//!
//! A remote here listens on loopback, counts every call by the address it came
//! from and refuses what is over its limit, the way real whois and HTTP services
//! do. It keeps a [`Score`] that says, exactly, how close each peer came.
//!
//! It is the opponent of the budget ledger and therefore shares nothing with it:
//! no type, no arithmetic, no idea of what a polite client is. [`Limit`] counts
//! what arrived, with exact instants and integers; `gate` joins limits, bans,
//! troubles and the score; [`WhoisRemote`] and [`HttpRemote`] put a socket in
//! front of one gate. [`Robin`] is the home-made client to compare with.

mod answers;
mod ban;
mod gate;
mod http;
mod limit;
mod pour;
mod remote;
mod robin;
mod rules;
mod score;
mod spec;
mod trouble;
mod whois;

pub use answers::{AnswerFn, Answers, echo_json, echo_text};
pub use ban::{Ban, BanState};
pub use http::{HttpRefusal, HttpRemote};
pub use limit::{Counter, Counters, Limit};
pub use remote::Remote;
pub use robin::{Robin, RobinScore, ask, looks_refused};
pub use rules::Rules;
pub use score::{PeerScore, Score, Tally, WindowScore};
pub use spec::{SpecError, parse_duration, parse_range};
pub use trouble::{Drip, Troubles};
pub use whois::{CountOn, Refusal, WhoisRemote};
