//! What users send and get under `/v1`.

mod forecast;
mod request;

use std::collections::BTreeMap;

pub use forecast::{Explanation, MorePlan, Plan, ServicePlan, Why, WhyKind};
pub use request::{HttpRequest, Query, Values};
use serde::{Deserialize, Serialize};

use crate::value::{Span, Time};

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names are the documentation; docs/api.md has the table")]
pub enum Lookup {
    Domain,
    Ip,
    Asn,
    Nameserver,
    Entity,
    Whois,
    Rdap,
    Http,
}

impl Lookup {
    /// The word the API uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Domain => "domain",
            Self::Ip => "ip",
            Self::Asn => "asn",
            Self::Nameserver => "nameserver",
            Self::Entity => "entity",
            Self::Whois => "whois",
            Self::Rdap => "rdap",
            Self::Http => "http",
        }
    }
}

/// How urgent a job is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Somebody is waiting.
    Interactive,
    /// The usual.
    #[default]
    Normal,
    /// Whenever there is room.
    Bulk,
}

/// What is kept of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// What was found, as a record; not the service's words.
    Record,
    /// The service's words; no record is made of them.
    Raw,
    /// Both.
    #[default]
    Both,
}

impl Keep {
    /// Whether it is what nobody has to say.
    pub fn is_both(&self) -> bool {
        *self == Self::Both
    }

    /// The word the API uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Record => "record",
            Self::Raw => "raw",
            Self::Both => "both",
        }
    }
}

/// When a job must have ended: a duration from now, or a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Deadline {
    /// From now.
    In(Span),
    /// At.
    At(Time),
}

/// `POST /v1/jobs`, one lookup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobRequest {
    /// What is asked for.
    pub lookup: Lookup,
    /// About what; not needed where `request` has a path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Over HTTP: what is sent, when that is more than a GET of `target`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<HttpRequest>,
    /// Which service to ask, when the target alone does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// How urgent it is.
    #[serde(default)]
    pub priority: Priority,
    /// After it the job ends `expired`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Deadline>,
    /// Ask for the target as it is, not for its registrable name.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub exact: bool,
    /// How far referrals are followed; domains to the registrar unless told, others not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follow: Option<Follow>,
    /// How old an answer may be that was given to another job; zero: the service is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age: Option<Span>,
    /// What is kept of the answer.
    #[serde(default, skip_serializing_if = "Keep::is_both")]
    pub keep: Keep,
    /// The caller's own id, returned.
    #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Up to 16 pairs, returned and filterable.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Which egresses may be used; any unless told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress: Option<EgressWish>,
}

/// How far the referrals in answers are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Follow {
    /// The registry's answer is the answer.
    Registry,
    /// Where the registry names a registrar that knows more, that one is asked, too.
    Registrar,
}

impl Follow {
    /// The word the API uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Registry => "registry",
            Self::Registrar => "registrar",
        }
    }
}

impl std::str::FromStr for Follow {
    type Err = &'static str;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "registry" => Ok(Self::Registry),
            "registrar" => Ok(Self::Registrar),
            _ => Err("write registry or registrar"),
        }
    }
}

/// A constraint on egresses; all of it holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EgressWish {
    /// Those that have all of these tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// 4 or 6.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_version: Option<u8>,
    /// This one alone, named by its address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

/// The life of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Waits for an egress with budget.
    Queued,
    /// An attempt is under way.
    Running,
    /// Ended with an answer.
    Done,
    /// Ended without one.
    Failed,
    /// Its deadline passed.
    Expired,
    /// Somebody gave it up.
    Cancelled,
}

impl JobState {
    /// Whether nothing will happen to it any more.
    pub fn has_ended(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }

    /// The word the API uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
        }
    }
}

/// What an answer says about the object asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerOutcome {
    /// It exists.
    Found,
    /// It does not.
    NotFound,
    /// It cannot be had.
    Reserved,
    /// The service says that the question is wrong.
    Invalid,
}

/// The answer to a lookup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// What it says.
    pub outcome: AnswerOutcome,
    /// Which protocol brought it.
    pub protocol: String,
    /// What was found, by the names of RDAP whatever the protocol; `null` if nothing was found, over HTTP, and where
    /// only the text is kept.
    pub record: Option<serde_json::Value>,
    /// The answer as text, unless only the record is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw: Option<String>,
    /// The answer in base64, when it is no text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw_base64: Option<String>,
    /// The charset it was decoded from, when that was not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub charset: Option<String>,
    /// Over HTTP: its status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Over HTTP: where it points, as sent; nobody has gone there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// Over HTTP: the media type of the answer, as sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// What the registry said, where this is its registrar's answer; the record is of both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry: Option<Box<Said>>,
    /// Why the registrar's part is missing, where this is the registry's answer and the registrar was to be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incomplete: Option<JobError>,
}

impl Answer {
    /// One that says no more than this.
    pub fn new(outcome: AnswerOutcome, protocol: &str) -> Self {
        Self {
            outcome,
            protocol: protocol.to_owned(),
            record: None,
            raw: None,
            raw_base64: None,
            charset: None,
            status: None,
            location: None,
            content_type: None,
            registry: None,
            incomplete: None,
        }
    }
}

/// What a service said before the one that gave the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// Who said it.
    pub service: String,
    /// Over which protocol.
    pub protocol: String,
    /// As text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw: Option<String>,
    /// In base64, when it is no text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw_base64: Option<String>,
    /// The charset it was decoded from, when that was not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub charset: Option<String>,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptOutcome {
    /// With an answer.
    Answered,
    /// The service limits us; the job goes on.
    Refused,
    /// The service shuts us out for good.
    Blocked,
    /// The service says that it is gone, or the zone at it.
    Retired,
    /// The service says that it can answer nobody at present.
    Unavailable,
    /// No answer in time.
    TimedOut,
    /// No connection, or a broken one.
    Unreachable,
    /// An answer that makes no sense.
    BadAnswer,
    /// The agent went away.
    Lost,
    /// Nothing left the agent's host.
    NotSent,
}

/// One step sent once from one egress.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptView {
    /// Whom it asked.
    pub service: String,
    /// The address it left from.
    pub egress: String,
    /// The agent that made it.
    pub agent: String,
    /// How it ended.
    pub outcome: AttemptOutcome,
    /// When it left.
    pub sent_at: Time,
    /// From connecting to the end of the answer.
    pub took_ms: u64,
    /// How much came back.
    pub bytes: u64,
    /// Why, when it did not end well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// Why a job has no answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobError {
    /// A stable word: `unreachable`, `timed_out`, `bad_answer`, `always_refused`, `blocked`, `retired`, `unavailable`, `refused_throughout`, …
    pub code: String,
    /// The same for people.
    pub detail: String,
}

/// What has become of a job so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobResult {
    /// Present once it is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answer>,
    /// Present if it ended without an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<JobError>,
    /// When the service gave the answer, if it was not to this job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_at: Option<Time>,
    /// Every attempt, oldest first.
    pub attempts: Vec<AttemptView>,
}

/// A job as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobView {
    /// Its name.
    pub id: String,
    /// The batch it came with.
    pub batch: Option<String>,
    /// What is asked for.
    pub lookup: Lookup,
    /// About what, as asked.
    pub target: String,
    /// The service that it is at; that of its last step once it has ended.
    pub service: String,
    /// The caller's own id.
    #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Where it stands.
    pub state: JobState,
    /// How urgent it is.
    pub priority: Priority,
    /// When it was accepted.
    pub created_at: Time,
    /// When it ended.
    pub ended_at: Option<Time>,
    /// Whether the answer came from the cache.
    pub cached: bool,
    /// Answer, error, attempts.
    #[serde(flatten)]
    pub result: JobResult,
    /// As submitted.
    pub labels: BTreeMap<String, String>,
    /// What is kept of its answer; absent: all.
    #[serde(default, skip_serializing_if = "Keep::is_both")]
    pub keep: Keep,
    /// Which egresses it may use, as submitted; absent: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress: Option<EgressWish>,
    /// In results only: read on from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// The life of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchState {
    /// Its body has not ended; nothing of it runs.
    Receiving,
    /// Some jobs have not ended.
    Running,
    /// Some jobs have not ended, and none is asked until the batch is resumed.
    Paused,
    /// Every job has ended.
    Done,
    /// The upload broke off and nothing of it ran, or every job was given up.
    Cancelled,
}

/// A line that was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectedLine {
    /// Counted from 1.
    pub line: u64,
    /// The stable word for the reason.
    pub code: String,
    /// The reason and the mend.
    pub detail: String,
}

/// A batch as the API shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BatchView {
    /// Its name.
    pub id: String,
    /// Where it stands.
    pub state: BatchState,
    /// Jobs taken.
    pub jobs_total: u64,
    /// Jobs that wait.
    pub queued: u64,
    /// Jobs with an attempt under way.
    pub running: u64,
    /// Jobs that ended with an answer.
    pub done: u64,
    /// Jobs that ended without one.
    pub failed: u64,
    /// Jobs whose deadline passed.
    pub expired: u64,
    /// Jobs given up.
    pub cancelled: u64,
    /// Attempts refused so far by the services, over all jobs of the batch, in this start of the coordinator.
    pub refusals: u64,
    /// The first hundred lines not taken.
    pub rejected: Vec<RejectedLine>,
    /// All lines not taken.
    pub rejected_total: u64,
    /// Ends per second over the last ten seconds.
    pub rate_per_second: f64,
    /// When it was opened.
    pub created_at: Time,
    /// When its last job ended.
    pub ended_at: Option<Time>,
    /// When the last waiting job should be answered; `null`: nothing is open, nothing is up, or a service is paused.
    pub finish_estimate: Option<Time>,
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Ask with this `cursor` for more; `null`: that was all.
    pub next_cursor: Option<String>,
}

/// `GET /v1/quota`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QuotaView {
    /// When it was true.
    pub at: Time,
    /// By service.
    pub services: Vec<ServiceQuota>,
}

/// The budgets of one service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceQuota {
    /// The service's id.
    pub service: String,
    /// Steps waiting.
    pub queued: u64,
    /// Attempts in flight.
    pub running: u64,
    /// What the egresses that are up may send in a minute, by the tightest quota.
    pub capacity_per_minute: f64,
    /// How much of that is used while work waits, over the last minute or so: 1 is all that the quotas and the time
    /// that answers take allow. `null`: nothing waits.
    pub utilisation: Option<f64>,
    /// When the last waiting job should be answered; `null`: nothing is open, nothing is up, or the service is paused.
    pub finish_estimate: Option<Time>,
    /// Budgets of the egresses that have been used; of all with `?all=true`.
    pub budgets: Vec<BudgetView>,
}

/// A rule of a service: `units` per `per`, as it was configured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QuotaRule {
    /// Units allowed in the span.
    pub units: u32,
    /// The span they are counted over.
    pub per: Span,
    /// Token buckets: the size of the bucket when it is not `units`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
    /// Whose calls count together: `ip`, `subnet`, `fleet` or `tag:…`.
    pub scope: String,
    /// Length of the shared part of IPv4 addresses, for `subnet`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv4_prefix: Option<u8>,
    /// The same for IPv6.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6_prefix: Option<u8>,
    /// The part of it that may be used, when that is not all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
}

/// One quota's state for one egress, or for what shares it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BudgetView {
    /// Whose calls count together, as in the rule.
    pub scope: String,
    /// Which of them: an address, a network, `fleet` or `tag:…`.
    pub key: String,
    /// The rule.
    pub quota: QuotaRule,
    /// Units the remote may have counted in the span.
    pub used: u32,
    /// What is left of the units, or of the share of them that may be used.
    pub remaining: u32,
    /// When one more call may leave, all budgets that it counts towards considered; `null`: when a call in flight has
    /// ended.
    pub next_at: Option<Time>,
    /// The shared budget that is in the way the longest, if it is not the egress's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_by: Option<HeldBy>,
    /// When all units are back.
    pub resets_at: Time,
    /// The egress rests until then.
    pub cooling_until: Option<Time>,
    /// Why.
    pub cooling_why: Option<String>,
    /// Refusals in a row behind the rest.
    pub refusals: u32,
}

/// A budget that calls wait for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldBy {
    /// Its scope.
    pub scope: String,
    /// Its key.
    pub key: String,
}

/// Whether an agent or egress can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names are the documentation")]
pub enum Liveness {
    Up,
    Draining,
    Down,
}

/// An agent as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentView {
    /// Its name to machines.
    pub id: String,
    /// Its name to people.
    pub name: String,
    /// Whether it is connected.
    pub state: Liveness,
    /// Its version, while it is connected.
    pub version: Option<String>,
    /// The addresses it speaks for.
    pub egresses: Vec<String>,
    /// From its token.
    pub tags: Vec<String>,
    /// Patterns of the services that it may ask, from its token; empty: all.
    #[serde(default)]
    pub services: Vec<String>,
    /// Grants it still takes.
    pub credit: u32,
    /// When it joined.
    pub enrolled_at: Time,
    /// When somebody else last showed its key.
    #[serde(default)]
    pub doubled_at: Option<Time>,
    /// When it was last heard of, while it is connected.
    pub seen_at: Option<Time>,
}

/// An egress as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EgressView {
    /// Its id: the address.
    pub id: String,
    /// The address as the coordinator saw it.
    pub address: String,
    /// The agent that speaks for it, by name.
    pub agent: String,
    /// 4 or 6.
    pub ip_version: u8,
    /// From the token of its agent.
    pub tags: Vec<String>,
    /// Whether it can be used.
    pub state: Liveness,
    /// When its agent was last heard of in this start of the coordinator.
    pub seen_at: Option<Time>,
}

/// Why something is to stand still.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WhyRequest {
    /// Shown to whoever asks why nothing happens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// A service as the API shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceView {
    /// Its id.
    pub id: String,
    /// How it is asked.
    pub protocol: String,
    /// Where it is.
    pub address: String,
    /// The quotas in force.
    pub quotas: Vec<QuotaRule>,
    /// How it counts.
    pub counting: String,
    /// Units that one call counts.
    pub cost: u32,
    /// Which targets it answers; empty: any.
    pub zones: Vec<String>,
    /// Where the quotas were read.
    pub source: Option<String>,
    /// Its terms of use.
    pub terms_url: Option<String>,
    /// Nothing of it is granted until it is resumed.
    #[serde(default)]
    pub paused: bool,
    /// Why it is paused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_why: Option<String>,
    /// Since when it answers nobody: one call at a time tries whether that is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub down_since: Option<Time>,
    /// Where this entry was written: a file, or `catalogue`.
    pub origin: String,
}

/// `POST /v1/quota/{service}/spend`: somebody else has called from an egress.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpendRequest {
    /// From which.
    pub egress: String,
    /// The units that the service has counted.
    pub units: u32,
}

/// `POST /v1/services/{id}/cool-down`: an egress is to rest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CoolDownRequest {
    /// Which.
    pub egress: String,
    /// How long, from now.
    #[serde(rename = "for")]
    pub length: Span,
}

/// `POST /v1/join-tokens`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    /// How many agents may join with it.
    #[serde(default = "one")]
    pub uses: u32,
    /// Worthless after this time.
    #[serde(default = "one_hour")]
    pub expires_in: Span,
    /// Given to every agent that joins with it.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Patterns of the services that such an agent may ask, as `whois.*`; empty: all.
    #[serde(default)]
    pub services: Vec<String>,
}

impl Default for TokenRequest {
    fn default() -> Self {
        Self { uses: one(), expires_in: one_hour(), tags: Vec::new(), services: Vec::new() }
    }
}

fn one() -> u32 {
    1
}

fn one_hour() -> Span {
    Span(std::time::Duration::from_secs(3600))
}

/// Its answer: the only time the secret is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenView {
    /// The token.
    pub token: String,
    /// Its public part.
    pub id: String,
    /// Worthless from then on.
    pub expires_at: Time,
}

/// A join token, as `GET /v1/join-tokens` lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenListed {
    /// Its public part.
    pub id: String,
    /// How many agents may join with it.
    pub uses: u32,
    /// How many have.
    pub used: u32,
    /// Worthless from then on.
    pub expires_at: Time,
    /// Worthless since then.
    pub revoked_at: Option<Time>,
    /// Given to every agent that joins with it.
    pub tags: Vec<String>,
    /// Patterns of the services that such an agent may ask; empty: all.
    pub services: Vec<String>,
}

/// `GET /healthz` and `GET /readyz`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// `ok`, or why not.
    pub status: String,
    /// What is missing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
}
