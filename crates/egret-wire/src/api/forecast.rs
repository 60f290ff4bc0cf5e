//! What is foreseen: why a job waits, and what a file of targets would take.

use serde::{Deserialize, Serialize};

use super::{JobState, QuotaRule, RejectedLine};
use crate::value::Time;

/// The kind of a thing in a job's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhyKind {
    /// The job has ended: nothing is in its way.
    Ended,
    /// An attempt is under way.
    Running,
    /// Its batch is still being uploaded.
    Receiving,
    /// Its service or its batch is paused, or everything is.
    Paused,
    /// Its service answers nobody.
    Outage,
    /// No egress is up that it may use.
    NoEgress,
    /// It waits before it is tried again.
    BackOff,
    /// Another job asks the same, and what it is answered ends this one too.
    Shared,
    /// Other jobs go first.
    Behind,
    /// A quota is used up, of an egress or of those that share it.
    Quota,
    /// An egress or a network rests.
    CoolDown,
    /// Calls of an egress are spaced.
    Spacing,
    /// As many calls of an egress are open as may be at a time.
    Concurrency,
    /// An agent takes no more grants for now.
    Agent,
    /// The disk does not keep up.
    Disk,
    /// Nothing: it is about to be handed out.
    Due,
}

impl WhyKind {
    /// The word the API uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ended => "ended",
            Self::Running => "running",
            Self::Receiving => "receiving",
            Self::Paused => "paused",
            Self::Outage => "outage",
            Self::NoEgress => "no_egress",
            Self::BackOff => "back_off",
            Self::Shared => "shared",
            Self::Behind => "behind",
            Self::Quota => "quota",
            Self::CoolDown => "cool_down",
            Self::Spacing => "spacing",
            Self::Concurrency => "concurrency",
            Self::Agent => "agent",
            Self::Disk => "disk",
            Self::Due => "due",
        }
    }
}

/// One thing in a job's way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Why {
    /// What it is.
    pub kind: WhyKind,
    /// The same for people: a sentence with the place, and the mend if there is one.
    pub detail: String,
    /// When it is out of the way, if time alone does that.
    pub until: Option<Time>,
}

/// `GET /v1/jobs/{id}/explain`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// The job.
    pub job: String,
    /// Where it stands.
    pub state: JobState,
    /// What is in its way.
    pub why: Vec<Why>,
    /// While it waits: its place among those that wait for the service, 1 for the next.
    pub position: Option<u64>,
    /// When it should leave; `null` while that cannot be foreseen.
    pub start_estimate: Option<Time>,
    /// When it should be answered, likewise.
    pub finish_estimate: Option<Time>,
}

/// `POST /v1/plan`: what the targets would take; nothing was stored or sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// When it was true.
    pub at: Time,
    /// Calls that all of the targets take.
    pub calls: u64,
    /// Targets that take none, since the cache has an answer to them.
    #[serde(default)]
    pub cached: u64,
    /// The first hundred lines that would not be taken.
    pub rejected: Vec<RejectedLine>,
    /// All of them.
    pub rejected_total: u64,
    /// What jobs and answers would take on the coordinator's disk, by the usual size of answers.
    pub disk_bytes: u64,
    /// When the last one should be answered; `null` while that cannot be foreseen for some service.
    pub finish_estimate: Option<Time>,
    /// By service, those with the most calls first.
    pub services: Vec<ServicePlan>,
}

/// What one service would be asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServicePlan {
    /// The service's id.
    pub service: String,
    /// Calls that the targets take.
    pub calls: u64,
    /// Targets that take none, since the cache has an answer to them.
    #[serde(default)]
    pub cached: u64,
    /// Calls that wait there already and go before the last of them.
    pub ahead: u64,
    /// Egresses that are up.
    pub egresses: u64,
    /// The service is paused: nothing is foreseen.
    pub paused: bool,
    /// The quota that holds them the longest; `null`: none of them makes any wait.
    pub bottleneck: Option<QuotaRule>,
    /// When the last one should be answered; `null`: nothing is up, the service is paused, or not within 100 years.
    pub finish_estimate: Option<Time>,
    /// The same with more addresses, as asked.
    pub with_more: Vec<MorePlan>,
}

/// The same with more addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MorePlan {
    /// How many more, each in a network of its own.
    pub addresses: u32,
    /// When the last one should be answered.
    pub finish_estimate: Option<Time>,
}
