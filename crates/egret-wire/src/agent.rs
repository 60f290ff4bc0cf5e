//! What agents and coordinator say to each other on a session: tagged messages, several per frame where it pays.
//!
//! One JSON document a frame. Unknown fields are ignored; a message of an unknown kind is answered with
//! `unsupported`, so that old and new versions can talk. Everything that has to do with time travels as
//! a duration or an age: the two clocks are never compared.

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::value::{Bytes, Secret, Span};

/// The WebSocket subprotocol.
pub const PROTOCOL: &str = "egret.v1.json";
/// What a session signature begins with, so that it can serve nothing else.
pub const SESSION_CONTEXT: &str = "egret-session-v1";
/// What an enrolment signature begins with.
pub const ENROL_CONTEXT: &str = "egret-enrol-v1";
/// Grants an agent takes at a time for each egress, at first (chosen).
pub const CREDIT_PER_EGRESS: u32 = 64;
/// The largest answer that may be configured, in bytes (chosen: a whois answer is a few KiB).
pub const MAX_ANSWER: u64 = 4 << 20;
/// The largest frame either side takes, in bytes: one answer of [`MAX_ANSWER`], escaped, with room around it.
pub const MAX_FRAME: usize = 16 << 20;
/// Close code: the coordinator does not know the agent, or its signature is wrong. Trying again is useless.
pub const CLOSE_UNKNOWN_AGENT: u16 = 4401;
/// Close code: a newer session of the same agent has taken over.
pub const CLOSE_REPLACED: u16 = 4409;
/// Close code: another process holds the agent's key. Trying again is useless.
pub const CLOSE_DOUBLE: u16 = 4410;

/// The name of an attempt: job, step, the coordinator's start number, a count within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Attempt(pub u64, pub u16, pub u32, pub u64);

/// `POST /agent/v1/enroll`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EnrolRequest {
    /// The join token as the operator got it.
    pub token: String,
    /// What people call the agent.
    pub name: String,
    /// The Ed25519 public key, base64.
    pub public_key: String,
    /// Signature over [`ENROL_CONTEXT`] and the token, base64: the key is really held.
    pub signature: String,
}

/// Its answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Enrolled {
    /// The agent's id from now on.
    pub agent: String,
    /// The coordinator's id: the agent talks to no other.
    pub coordinator: String,
}

/// The answer to `POST /agent/v1/observe`, which is sent from each local address.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Observed {
    /// The address the coordinator saw.
    pub address: String,
    /// Shows that it was seen; good once, for a short time.
    pub proof: String,
}

/// What an agent says.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentMessage {
    /// Who it is and what it remembers; the answer to a challenge.
    Hello(Hello),
    /// It takes this many more grants.
    Credit(u32),
    /// What its clock shows, in microseconds: deadlines of grants are told on it.
    Clock(u64),
    /// Attempts that ended; each is kept and sent again until acknowledged.
    Results(Vec<Report>),
    /// It is about to stop: it takes no more grants, and goes when what it has is told and acknowledged.
    Draining {},
    /// A message of this kind was not understood.
    Unsupported(String),
}

/// What the coordinator says.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CoordinatorMessage {
    /// Sign this to log in.
    Challenge(Challenge),
    /// The login holds.
    Welcome(Welcome),
    /// Calls to make.
    Grants(Vec<Grant>),
    /// These results are safe: forget them.
    Ack(Vec<Attempt>),
    /// These need not be made if they have not left yet.
    Cancel(Vec<Attempt>),
    /// Others have called from one of its addresses.
    Spent(Spent),
    /// The services that may be asked, replacing the former list.
    Policy(Vec<ServicePolicy>),
    /// More services that may be asked.
    Added(Vec<ServicePolicy>),
    /// The session will be closed; come back after a random time within these bounds.
    GoingAway {
        /// Not before, in milliseconds.
        after_ms: u64,
        /// Not after, in milliseconds.
        within_ms: u64,
    },
    /// A message of this kind was not understood.
    Unsupported(String),
}

/// The first message of a session.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Challenge {
    /// Random, base64; good for this connection only.
    pub nonce: String,
    /// The coordinator's id.
    pub coordinator: String,
    /// The signature has to hold for this TLS connection only.
    #[serde(default)]
    pub bound: bool,
}

impl Challenge {
    /// The bytes an agent signs; `binding` is what RFC 9266 makes of the connection if it has to hold for that only.
    pub fn to_sign(&self, agent: &str, binding: Option<&[u8; 32]>) -> Vec<u8> {
        let mut said = [SESSION_CONTEXT, &self.nonce, agent, &self.coordinator].join("\n").into_bytes();
        if let Some(binding) = binding {
            said.push(b'\n');
            said.extend(binding);
        }
        said
    }
}

/// Who an agent is and what it remembers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Hello {
    /// Its id.
    pub agent: String,
    /// Its version.
    pub version: String,
    /// Signature over [`Challenge::to_sign`], base64.
    pub signature: String,
    /// The number of its last session, from [`Welcome::epoch`]; 0: it had none.
    #[serde(default)]
    pub epoch: u64,
    /// The addresses it calls from.
    pub egresses: Vec<EgressClaim>,
    /// Patterns of the services that its host permits; none: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub permits: Vec<String>,
    /// What was spent, by the agent's own count.
    pub ledgers: Vec<LedgerEntry>,
    /// Calls that have left, or may leave, and have not been reported.
    pub in_flight: Vec<InFlight>,
}

/// An address the agent calls from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EgressClaim {
    /// As the coordinator saw it.
    pub address: String,
    /// From [`Observed`].
    pub proof: String,
    /// From the last [`EgressGrant`] for this address that this process got: its memory since then is unbroken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
}

/// An address that an agent speaks for from now on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EgressGrant {
    /// As observed.
    pub address: String,
    /// Made up for this login. Whoever shows it again has the ledgers of this welcome, and all since.
    pub memory: u64,
}

/// Calls of others, that an agent cannot know of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// The address as observed.
    pub egress: String,
    /// The service's id.
    pub service: String,
    /// How many, as of now.
    pub calls: u32,
    /// Takes the place of that of the last [`EgressGrant`]: whoever shows it has heard of these calls.
    pub memory: u64,
}

/// The ledger of one egress at one service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// The address as observed.
    pub egress: String,
    /// The service's id.
    pub service: String,
    /// What was spent.
    pub state: LedgerState,
}

/// A ledger as ages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerState {
    /// What each window holds; empty if nothing was ever charged.
    pub logs: Vec<LogState>,
    /// Units of calls that have not ended.
    #[serde(default)]
    pub in_flight: u32,
    /// Milliseconds of rest left, and the refusals in a row behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rest: Option<(u64, u32)>,
    /// Calls left by the service's own word, and for how many more milliseconds that holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<(u32, u64)>,
    /// Milliseconds since the latest call was sent, where calls are spaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent: Option<u64>,
}

/// The calls of one window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogState {
    /// The window's units.
    pub units: u32,
    /// Its span, in microseconds: older calls are forgotten.
    pub span_us: u64,
    /// Ages in microseconds, newest first, negative for the future, and calls charged then.
    pub groups: Vec<(i64, u32)>,
}

/// A call that has not been reported.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct InFlight {
    /// Its name.
    pub attempt: Attempt,
    /// Whom it asks.
    pub service: String,
    /// From where.
    pub egress: String,
    /// From [`Grant::seal`].
    #[serde(default)]
    pub seal: String,
}

/// The login holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Welcome {
    /// The number of this session among all of the agent: higher than any before. The agent keeps it for its next
    /// hello before it says anything more.
    #[serde(default)]
    pub epoch: u64,
    /// The services that may be asked.
    pub services: Vec<ServicePolicy>,
    /// What the coordinator remembers of these egresses and the agent cannot.
    pub ledgers: Vec<LedgerEntry>,
    /// The egresses granted to this agent; others are spoken for by another agent.
    pub egresses: Vec<EgressGrant>,
    /// A frame of any kind is due from either side at least this often.
    pub heartbeat_ms: u64,
}

/// What an agent needs to know of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServicePolicy {
    /// The service's id.
    pub id: String,
    /// How it is asked.
    pub protocol: Protocol,
    /// `host:port`; over HTTP a base URL that ends in `/`.
    pub address: String,
    /// What it allows each address by itself, in calls, all at once. Those that addresses share are the coordinator's.
    pub quotas: Vec<CallQuota>,
    /// Nobody knows what it allows: the careful default holds.
    #[serde(default)]
    pub is_careful: bool,
    /// What one address may never exceed whoever shares it; for the guard behind the ledger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ceiling: Option<CallQuota>,
    /// How it counts.
    pub counting: Counting,
    /// Open calls at a time per egress.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    /// How long a call may take, in milliseconds.
    pub timeout_ms: u64,
    /// How late after that it may still be counted, in milliseconds.
    pub linger_ms: u64,
    /// The longest answer, in bytes.
    pub max_answer: u64,
    /// It may live at an address that is not public, if the agent's host agrees.
    pub allow_private_addresses: bool,
}

/// How a service is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// RFC 3912: a line out, text back until the end.
    Whois,
    /// One request for a path under the base URL, HTTP/1.1, over TLS if the URL says so.
    Http,
    /// Answers at once with the question, without leaving the agent; for benchmarks.
    Null,
}

/// `units` calls per `per`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallQuota {
    /// Calls.
    pub units: u32,
    /// The span they are counted over.
    pub per: Span,
    /// Token buckets: the size of the bucket when it is not `units`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
}

/// How a service counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "the words of the configuration; `egret_core::quota::Counting` explains them")]
pub enum Counting {
    #[default]
    Sliding,
    Fixed,
    TokenBucket,
    TwoBucket,
    Unknown,
}

/// A call to make.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Its name.
    pub attempt: Attempt,
    /// Whom to ask.
    pub service: String,
    /// From where: an address as observed.
    pub egress: String,
    /// Which host of the service, as `host:port`; `None`: the address of its policy, which has none where this is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// What to send, whole; over HTTP as [`Ask`](crate::ask::Ask) writes it.
    pub question: Bytes,
    /// Over HTTP: fields that the service's configuration adds, in place of others of their names. They are in memory
    /// while the call is, and nowhere else.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, Secret)>,
    /// To come back with the result: shows that this agent was granted this call.
    #[serde(default)]
    pub seal: String,
    /// Not to be sent when the agent's clock shows this or later, in microseconds: it counts as lost then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after_us: Option<u64>,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Its name.
    pub attempt: Attempt,
    /// Whom it asked.
    pub service: String,
    /// From where.
    pub egress: String,
    /// From [`Grant::seal`].
    #[serde(default)]
    pub seal: String,
    /// How it ended.
    pub end: CallEnd,
    /// What came, whole; empty if nothing did. Over HTTP the body.
    #[serde(default)]
    pub answer: Bytes,
    /// How long the agent held it back because of its own ledger, in milliseconds.
    pub held_ms: u64,
    /// From connecting to the end of the answer, in milliseconds.
    pub took_ms: u64,
    /// From that end to this report, in milliseconds.
    pub since_ms: u64,
    /// Why, when it did not end well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// When it was taken back because the agent's own ledger let it leave only later: how much later, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_in_ms: Option<u64>,
    /// Over HTTP: the status, if one came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Over HTTP: the header fields that tell of limits, age, type and place; names in lower case, few and short.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, String)>,
    /// Over HTTP, if the question wants it: all header fields as they came, names in lower case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<Vec<(String, Bytes)>>,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallEnd {
    /// The remote answered, perhaps with nothing, and closed in order.
    Answered,
    /// The remote reset the connection.
    Reset,
    /// The answer was longer than allowed and was cut.
    TooLong,
    /// No end within the time-out.
    TimedOut,
    /// No connection.
    Unreachable,
    /// This host could not send it; nothing left.
    NotSent,
    /// Taken back before it left: cancelled, held for too long, or its session ended.
    Withdrawn,
}

/// Reads a frame. `Err(Some(kind))`: a message of an unknown kind, to be answered `unsupported`.
///
/// # Errors
/// `Err(None)`: no message at all; the session should be closed.
pub fn read<'a, M: Deserialize<'a>>(frame: &'a str, known: &[&str]) -> Result<M, Option<String>> {
    serde_json::from_str(frame).map_err(|_| {
        let kinds = serde_json::from_str::<std::collections::BTreeMap<String, IgnoredAny>>(frame).ok()?;
        let kind = kinds.into_keys().next()?;
        (!known.contains(&kind.as_str())).then_some(kind)
    })
}

/// The kinds of [`AgentMessage`].
pub const AGENT_KINDS: [&str; 6] = ["hello", "credit", "clock", "results", "draining", "unsupported"];
/// The kinds of [`CoordinatorMessage`].
pub const COORDINATOR_KINDS: [&str; 10] = [
    "challenge",
    "welcome",
    "grants",
    "ack",
    "cancel",
    "spent",
    "policy",
    "added",
    "going_away",
    "unsupported",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_read_as_they_are_documented() {
        let grant = r#"{"grants":[{"attempt":[7,1,2,3],"service":"s","egress":"127.0.0.2","question":"a\r\n","new":1}]}"#;
        let Ok(CoordinatorMessage::Grants(grants)) = read(grant, &COORDINATOR_KINDS) else {
            panic!("no grants")
        };
        assert_eq!(grants[0].attempt, Attempt(7, 1, 2, 3));
        assert_eq!(grants[0].question.0, b"a\r\n");
        assert!(matches!(read(r#"{"credit":5}"#, &AGENT_KINDS), Ok(AgentMessage::Credit(5))));
    }

    #[test]
    fn reports_of_whois_and_of_http_are_one_shape() {
        let whois = r#"{"attempt":[7,1,2,3],"service":"s","egress":"e","seal":"x","end":"answered","answer":"a","held_ms":1,"took_ms":2,"since_ms":3}"#;
        let report: Report = serde_json::from_str(whois).unwrap();
        assert_eq!((report.status, report.headers.len()), (None, 0));
        assert_eq!(serde_json::to_string(&report).unwrap(), whois);
        let headers = vec![("retry-after".to_owned(), "2".to_owned())];
        let http = Report { status: Some(429), headers, ..report };
        let text = serde_json::to_string(&http).unwrap();
        assert!(text.ends_with(r#""status":429,"headers":[["retry-after","2"]]}"#), "{text}");
        assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), http);
    }

    #[test]
    fn an_unknown_kind_is_told_from_a_broken_frame() {
        let unknown = read::<AgentMessage>(r#"{"dance":{"steps":2}}"#, &AGENT_KINDS);
        assert_eq!(unknown.err(), Some(Some("dance".to_owned())));
        for broken in ["", "{", "[]", r#"{"credit":"many"}"#, "\"hello\""] {
            assert_eq!(read::<AgentMessage>(broken, &AGENT_KINDS).err(), Some(None), "{broken}");
        }
    }
}
