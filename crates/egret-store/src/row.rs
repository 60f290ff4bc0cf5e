//! The rows as plain data. Times are milliseconds since 1970 (`_ms`); `spec` and `body` are JSON of the caller's own shape.

use std::sync::Arc;

use egret_core::id::{AgentId, BatchId, JobId};

/// What a new start of the coordinator needs to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// Counts the starts, from 1; part of every attempt's name.
    pub number: u32,
    /// The largest job, batch or agent id ever stored (0: none).
    pub last_id: u64,
}

/// Jobs that wait in one line: alike in all that decides whose turn it is, but for the deadline.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Flow {
    /// The service of their step, by its id.
    pub service: String,
    /// Whose API key they came with; empty without keys.
    pub owner: String,
    /// 0 interactive, 1 normal, 2 bulk; another one fails the write.
    pub class: u8,
    /// Which egresses may serve them, as canonical JSON; empty: any.
    pub egress: String,
    /// The batch they came with.
    pub batch: Option<BatchId>,
}

/// A place in a line: the deadline in milliseconds since 1970, then the job.
pub type Place = (u64, JobId);

/// A job as accepted; changed when it is asked again, by its deadline, and when it goes on to another service, by its
/// line and its spec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobRow {
    /// Its name; the upper bits are its birth in milliseconds.
    pub id: JobId,
    /// The line it waits in; its service and its batch are read there.
    pub flow: Arc<Flow>,
    /// The job expires then, in milliseconds since 1970; decides its place in the line.
    pub deadline_ms: u64,
    /// The request, as JSON.
    pub spec: Vec<u8>,
}

/// A line with jobs in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowKept {
    /// What its jobs have in common.
    pub flow: Arc<Flow>,
    /// How many wait.
    pub waiting: u64,
    /// The last place taken.
    pub last: Place,
}

/// How a job can end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum EndState {
    /// With an answer.
    Done = 0,
    /// Without one, for good.
    Failed = 1,
    /// Its deadline passed.
    Expired = 2,
    /// Somebody gave it up.
    Cancelled = 3,
}

/// The end of a job; at most one a job, and never changed: it stands, or is taken back as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutcomeRow {
    /// Whose end.
    pub job: JobId,
    /// The job's batch.
    pub batch: Option<BatchId>,
    /// How it ended.
    pub state: EndState,
    /// When, in milliseconds since 1970.
    pub ended_ms: u64,
    /// Answer, attempts and error, as JSON.
    pub body: Vec<u8>,
}

/// A job with what has become of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The job as accepted.
    pub job: JobRow,
    /// `None` while it is open.
    pub outcome: Option<OutcomeRow>,
    /// True if its batch was cancelled before it was complete: the job will never run.
    pub discarded: bool,
}

/// An ended job at its place in the order of ending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The place: rises with every outcome stored; a cursor to read on from.
    pub seq: u64,
    /// The job as accepted.
    pub job: JobRow,
    /// Its end.
    pub outcome: OutcomeRow,
}

/// Which jobs to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobFilter {
    /// Only ids below this one.
    pub before: Option<JobId>,
    /// Only of this batch.
    pub batch: Option<BatchId>,
    /// Only of this owner; `None`: everybody's.
    pub owner: Option<String>,
    /// Only of this service.
    pub service: Option<String>,
    /// Only open ones (`Some(None)`) or those that ended so (`Some(Some(state))`).
    pub state: Option<Option<EndState>>,
    /// Only those whose spec has this string at `labels.<key>`, for every pair.
    pub labels: Vec<(String, String)>,
}

/// A batch as opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchRow {
    /// Its name; the upper bits are its birth in milliseconds.
    pub id: BatchId,
    /// Whose API key opened it; empty without keys.
    pub owner: String,
    /// When it was opened, in milliseconds since 1970.
    pub created_ms: u64,
}

/// How the receiving of a batch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchEnd {
    /// All of it has arrived.
    Closed {
        /// Jobs taken.
        jobs: u64,
        /// Lines refused.
        rejected: u64,
    },
    /// The upload broke off, or the coordinator died under it; its jobs never run.
    Cancelled,
}

/// A line that was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedRow {
    /// Counted from 1.
    pub line: u64,
    /// The stable word for the reason.
    pub code: String,
    /// The reason and the mend.
    pub detail: String,
}

/// A batch with what has become of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchKept {
    /// As opened.
    pub batch: BatchRow,
    /// `None` while it is receiving.
    pub end: Option<BatchEnd>,
    /// Ended jobs: done, failed, expired, cancelled (indexed by [`EndState`]).
    pub ended: [u64; 4],
    /// The latest end of one of its jobs, in milliseconds since 1970.
    pub last_ended_ms: Option<u64>,
}

/// A join token without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRow {
    /// The public part.
    pub id: String,
    /// SHA-256 of the secret.
    pub secret_hash: [u8; 32],
    /// How many agents may join with it.
    pub uses: u32,
    /// Worthless from then on, in milliseconds since 1970.
    pub expires_ms: u64,
    /// Given to every agent that joins with it.
    pub tags: Vec<String>,
    /// Patterns of the services that such an agent may ask; empty: all.
    pub services: Vec<String>,
}

/// A join token as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenKept {
    /// As it was added.
    pub token: TokenRow,
    /// How many agents have joined with it.
    pub used: u32,
    /// Not taken since then, in milliseconds since 1970.
    pub revoked_ms: Option<u64>,
}

/// An agent that presents a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnrolRequest {
    /// The public part of the token.
    pub token: String,
    /// SHA-256 of the secret presented.
    pub secret_hash: [u8; 32],
    /// The id it gets.
    pub agent: AgentId,
    /// Its name, chosen by its operator.
    pub name: String,
    /// Its Ed25519 public key.
    pub public_key: [u8; 32],
    /// Now, in milliseconds since 1970.
    pub now_ms: u64,
}

/// What became of a token presented.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Enrolment {
    /// Joined.
    Joined(AgentRow),
    /// No such token, or the wrong secret.
    Unknown,
    /// Its time is over.
    Expired,
    /// Every use is spent.
    UsedUp,
    /// It was taken back.
    Revoked,
}

/// An enrolled agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentRow {
    /// Its name to machines.
    pub id: AgentId,
    /// Its name to people.
    pub name: String,
    /// Its Ed25519 public key.
    pub public_key: [u8; 32],
    /// From its token.
    pub tags: Vec<String>,
    /// Patterns of the services that it may ask, from its token; empty: all.
    pub services: Vec<String>,
    /// When it joined, in milliseconds since 1970.
    pub enrolled_ms: u64,
    /// The number of its last session that it has confirmed to know of; 0: none.
    pub confirmed: u64,
    /// The highest number that it was offered; it may not have heard of it.
    pub offered: u64,
    /// When a copy of its key last tried to log in, in milliseconds since 1970.
    pub doubled_ms: Option<u64>,
}

impl AgentRow {
    /// One that has never logged in, without tags or limits.
    pub fn new(id: AgentId, name: &str, public_key: [u8; 32], enrolled_ms: u64) -> Self {
        let name = name.to_owned();
        let (tags, services) = (Vec::new(), Vec::new());
        Self { id, name, public_key, tags, services, enrolled_ms, confirmed: 0, offered: 0, doubled_ms: None }
    }
}

/// The checkpoint of one ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerRow {
    /// The address as remotes see it.
    pub egress: String,
    /// The service, by configured id.
    pub service: String,
    /// When it was taken, in milliseconds since 1970.
    pub taken_ms: u64,
    /// The snapshot, as JSON.
    pub state: Vec<u8>,
}

/// Who speaks for an egress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EgressRow {
    /// The address as remotes see it.
    pub address: String,
    /// The agent that owns it.
    pub agent: AgentId,
    /// A number made up for that agent's login: whoever shows it has an unbroken memory since.
    pub memory: u64,
    /// When it came, in milliseconds since 1970.
    pub since_ms: u64,
}

/// What became of the claim of an idempotency key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyClaim {
    /// Nobody used it: go on, then answer or release it.
    Fresh,
    /// A request with it is under way.
    InFlight,
    /// A request with another fingerprint used it.
    Mismatch,
    /// The answer given the first time.
    Answered(Vec<u8>),
    /// The request was carried out, and nobody knows its answer: what it has added, a job or a batch.
    Added(u64),
}

/// An answer kept to be given again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerRow {
    /// What was asked, as a hash: at most [`AnswerRow::LONGEST_KEY`] bytes.
    pub key: Vec<u8>,
    /// When the service answered, in milliseconds since 1970.
    pub answered_ms: u64,
    /// Until when the caller means to give it again, in milliseconds since 1970; the store does not look.
    pub keep_until_ms: u64,
    /// The answer, as JSON.
    pub body: Vec<u8>,
}

impl AnswerRow {
    /// Bytes of a key at most: the longest of the common hashes. Chosen.
    pub const LONGEST_KEY: usize = 64;
}
