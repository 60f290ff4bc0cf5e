//! What the scheduler is told, and what it tells.

use std::net::IpAddr;
use std::time::Duration;

use super::queue::Class;
use crate::id::{AgentId, AttemptId, EgressId, JobId, ServiceId};
use crate::ledger::Snapshot;
use crate::scope::{Scope, ScopeKey};
use crate::time::Instant;

/// One question of a job to one service, waiting for an egress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Whose question; a job has at most one step waiting or running.
    pub job: JobId,
    /// Whom to ask.
    pub service: ServiceId,
    /// How urgent.
    pub class: Class,
    /// Not granted after this instant; the job expires.
    pub deadline: Instant,
    /// Not granted before: the back-off after a failure.
    pub not_before: Instant,
    /// An egress to be avoided while there is another: the last attempt failed there.
    pub avoid: Option<EgressId>,
}

/// How an attempt ended, as far as budgets care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// The remote answered; anything but a refusal.
    Answered,
    /// The remote refused because of a limit, and perhaps named a time to wait.
    Refused {
        /// The wait the remote named.
        named: Option<Duration>,
    },
    /// Sent, or perhaps sent, but not answered; the remote may still count it for a while.
    Unanswered,
    /// Nothing left the agent's host: the grant was taken back.
    Withdrawn,
    /// Nothing left the agent's host: it was not able to send.
    NotSent,
}

/// Whose ledger of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// That of one egress.
    Own(EgressId),
    /// That of the egresses that share a quota of this scope.
    Shared(Scope, ScopeKey),
}

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A step is to be granted.
    Enqueue(Step),
    /// The job has ended or was given up: its waiting step is forgotten. A running one is charged as usual.
    Withdraw(JobId),
    /// An attempt ended. One that was given up as lost is charged again: it may have been counted late.
    Settle {
        /// Which one.
        attempt: AttemptId,
        /// The service it asked, for an attempt that is not known any more.
        service: ServiceId,
        /// The egress it left from, likewise.
        egress: EgressId,
        /// How it ended.
        settlement: Settlement,
        /// How long the agent had it: held, asking, and waiting to report. The rest of the time it was on its way.
        at_agent: Option<Duration>,
    },
    /// An agent speaks for this egress from now on.
    EgressUp {
        /// Which one.
        egress: EgressId,
        /// Who speaks for it.
        agent: AgentId,
        /// Its address, or the first one of its network: it tells with whom it shares quotas.
        address: IpAddr,
        /// Its tags, likewise.
        tags: Vec<String>,
    },
    /// Nobody speaks for this egress any more.
    EgressDown(EgressId),
    /// The agent takes this many more grants.
    Credit {
        /// Who.
        agent: AgentId,
        /// How many more.
        grants: u32,
    },
    /// The agent's session is over: its egresses are down, its credit is void. What it was granted may
    /// still be answered.
    AgentDown(AgentId),
    /// An agent reports an attempt in flight that an earlier start of the coordinator granted.
    Adopt {
        /// Which one.
        attempt: AttemptId,
        /// Its job.
        job: JobId,
        /// The service it asks.
        service: ServiceId,
        /// The egress it left from.
        egress: EgressId,
    },
    /// What was spent according to somebody else: a checkpoint or an agent.
    Remember {
        /// The service.
        service: ServiceId,
        /// Whose ledger it concerns.
        whose: Whose,
        /// What they know.
        snapshot: Snapshot,
    },
    /// Calls that others have made from an egress, as of now: they count towards all that it shares.
    Spent {
        /// The service.
        service: ServiceId,
        /// From where.
        egress: EgressId,
        /// How many.
        calls: u32,
    },
    /// Calls that may have been made until now, and that nobody remembers.
    Forgotten {
        /// The service.
        service: ServiceId,
        /// Whose ledger they concern.
        whose: Whose,
        /// How many at the most.
        calls: u32,
    },
    /// An agent's own ledger lets no call leave for so long, from now.
    Late {
        /// The service.
        service: ServiceId,
        /// The egress.
        egress: EgressId,
        /// How long.
        length: Duration,
    },
    /// Somebody wants an egress to rest.
    Rest {
        /// The service.
        service: ServiceId,
        /// The egress.
        egress: EgressId,
        /// How long, from now.
        length: Duration,
    },
    /// The service said how many more calls it takes from this egress, and until when.
    Left {
        /// The service.
        service: ServiceId,
        /// The egress that it answered.
        egress: EgressId,
        /// Calls left.
        calls: u32,
        /// When it will take more again, from now.
        reset: Duration,
    },
    /// Nothing of this service is granted any more, and what was is recalled; steps wait, and expire.
    Pause(ServiceId),
    /// The opposite.
    Resume(ServiceId),
}

/// Something the shell must do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Hand this attempt to the agent.
    Grant {
        /// Its name.
        attempt: AttemptId,
        /// Whose question.
        job: JobId,
        /// Whom to ask.
        service: ServiceId,
        /// From where.
        egress: EgressId,
        /// Who asks.
        agent: AgentId,
    },
    /// This attempt should not be made any more, unless it has left already: its egress rests, or its service is
    /// paused. It is settled like any other.
    Recall {
        /// Its name.
        attempt: AttemptId,
        /// Whose question.
        job: JobId,
        /// From where.
        egress: EgressId,
    },
    /// The attempt will not be heard of again; its unit stays charged. The job has no step now.
    Lost {
        /// Its name.
        attempt: AttemptId,
        /// Whose question.
        job: JobId,
        /// Whom it asked.
        service: ServiceId,
        /// From where.
        egress: EgressId,
    },
    /// The job's deadline passed while its step waited.
    Expired(JobId),
}
