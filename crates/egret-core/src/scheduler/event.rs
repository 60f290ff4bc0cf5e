//! What the scheduler is told, and what it tells.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use super::lineup::{Class, Place};
use super::selector::Selector;
use crate::id::{AgentId, AttemptId, EgressId, FlowId, JobId, ServiceId, TenantId};
use crate::ledger::Snapshot;
use crate::scope::{Scope, ScopeKey};
use crate::time::Instant;

/// One question of a job to one service, waiting for an egress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Whose question; a job has at most one step waiting or running.
    pub job: JobId,
    /// Where it waits: that says whom to ask, how urgent it is, and for whom.
    pub flow: FlowId,
    /// Not granted after this instant; the job expires. Steps of a flow go in this order.
    pub deadline: Instant,
    /// Not granted before: the back-off after a failure.
    pub not_before: Instant,
    /// An egress to be avoided for a while if there is another: the last attempt failed or was refused there.
    pub avoid: Option<EgressId>,
    /// The store has it, and it was not tried yet: it may be left there until its turn comes.
    pub is_stored: bool,
}

impl Step {
    /// Its place in its flow.
    pub fn place(&self) -> Place {
        (self.deadline, self.job)
    }
}

/// What the steps of a flow have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowKind {
    /// Whom they ask.
    pub service: ServiceId,
    /// How urgent they are.
    pub class: Class,
    /// Whose they are.
    pub tenant: TenantId,
    /// Which egresses they may leave from.
    pub selector: Selector,
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
    /// Steps of this kind wait in a flow of their own from now on.
    Open {
        /// Which one; a name that is not in use.
        flow: FlowId,
        /// What they have in common.
        kind: FlowKind,
        /// How many of them the store has already.
        stored: u64,
        /// The last place among those.
        last: Option<Place>,
    },
    /// A flow is over: none of its steps waits or runs.
    Close(FlowId),
    /// Nothing of a flow is granted from now on, and what was is recalled; or that is over.
    Hold(FlowId, bool),
    /// What part a tenant has beside the others of its class; 1 unless told.
    Weigh(TenantId, u32),
    /// A step of an open flow is to be granted.
    Enqueue(Step),
    /// The store was read for a flow, as [`Command::Load`] asked.
    Loaded {
        /// Which one.
        flow: FlowId,
        /// What was found, in order; steps that are known here are passed over.
        steps: Vec<Step>,
        /// The place read last; `None`: the end was reached.
        through: Option<Place>,
    },
    /// A job that waited in the store alone has ended there.
    Gone(FlowId),
    /// The job has ended or was given up: its waiting step is forgotten. A running one is charged as usual.
    Withdraw(JobId),
    /// An attempt ended. One that was given up as lost is charged again: it may have been counted late.
    Settle {
        /// Which one.
        attempt: AttemptId,
        /// How it ended.
        settlement: Settlement,
        /// How long the agent had it: held, asking, and waiting to report. The rest of the time it was on its way.
        at_agent: Option<Duration>,
        /// How long the call itself took.
        took: Option<Duration>,
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
    /// What left from one egress within the last `unnoticed` may have left from another: it counts towards what only that
    /// one shares as well.
    Moved {
        /// Where it was thought to leave from.
        from: EgressId,
        /// Where it may have left from.
        to: EgressId,
        /// How long that may have gone on.
        unnoticed: Duration,
    },
    /// Nothing is granted from this egress any more, and what has not left is recalled.
    EgressDown(EgressId),
    /// An agent that is about to come is granted nothing of these services.
    Bar {
        /// Who.
        agent: AgentId,
        /// Which.
        services: BTreeSet<ServiceId>,
    },
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
    /// An agent reports an attempt in flight that an earlier start of the coordinator granted. Told again once its job's
    /// step is known, it keeps that from being granted too.
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
        snapshot: Box<Snapshot>,
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
    /// The service said nothing to an egress, several times, where it answered others: as good as a refusal.
    Shunned {
        /// The service.
        service: ServiceId,
        /// The egress.
        egress: EgressId,
        /// As if after so many refusals in a row.
        times: u32,
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
    /// Nothing at all is granted any more, and what was is recalled; or that is over.
    Stop(bool),
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
    /// The step need not be remembered: the store has it, and it is asked for again when its turn comes near.
    Leave(JobId),
    /// The next steps of a flow are to be read from the store; [`Event::Loaded`] brings them.
    Load {
        /// Which one.
        flow: FlowId,
        /// Those after this place; `None`: from the first.
        after: Option<Place>,
        /// So many.
        most: usize,
    },
    /// A service answers nobody: one call at a time tries whether that is over.
    Down(ServiceId),
    /// It answers again.
    Back(ServiceId),
}
