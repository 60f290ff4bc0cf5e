//! What outlives sessions: gates, calls under way, and results that are not safe yet.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use egret_core::quota;
use egret_core::time::Instant;
use egret_wire::agent::{
    Attempt, CREDIT_PER_EGRESS, CallEnd, EgressGrant, Grant, InFlight, LedgerEntry, Protocol, Report,
    ServicePolicy, Spent,
};
use egret_wire::pattern::permits;
use egret_wire::value::Bytes;
use tokio::sync::mpsc;

use crate::books::{Books, GateKey, Service};
use crate::call::{self, Call, Outcome};
use crate::clock::Clock;
use crate::gate::{Gate, Held, Pass};
use crate::host::Sources;
use crate::http;
use crate::journal::How;
use crate::judge::Judge;
use crate::outbox::Outbox;
use crate::passage::{Door, Passage};

/// How often it is looked whether a disk that was behind has caught up (chosen).
const STALLED: Duration = Duration::from_millis(50);

/// A call that has ended.
pub(crate) struct Ended {
    grant: Grant,
    held: Duration,
    sent_at: Instant,
    ended_at: Instant,
    outcome: Outcome,
}

pub(crate) struct Worker {
    clock: Clock,
    judge: Arc<Judge>,
    sources: Arc<Sources>,
    /// Where answers are handed on as they come.
    door: Arc<Door>,
    /// Patterns of the services that this host permits; none: all.
    permits: Vec<String>,
    books: Books,
    /// Those that may be asked: the coordinator's list, and nothing else.
    services: HashMap<String, Arc<Service>>,
    /// Observed address → the local one to bind.
    egresses: BTreeMap<String, IpAddr>,
    timers: BTreeSet<(Instant, GateKey)>,
    outbox: Outbox,
    /// Results that have not been sent on this session.
    fresh: Vec<Attempt>,
    /// Grants this agent may still be given, of those it has not announced.
    unannounced: u32,
    /// Start and count of the last grant of this session; they only rise.
    last: Option<(u32, u64)>,
    /// It takes no more grants.
    is_draining: bool,
    ended: (mpsc::Sender<Ended>, mpsc::Receiver<Ended>),
}

impl Worker {
    pub(crate) fn new(
        books: Books,
        clock: Clock,
        judge: Judge,
        permits: Vec<String>,
        sources: Arc<Sources>,
        door: Door,
    ) -> Self {
        // Calls that have ended wait here until they are looked at; more of them wait to be let in.
        let most = CREDIT_PER_EGRESS as usize;
        Self {
            clock,
            judge: Arc::new(judge),
            permits,
            sources,
            door: Arc::new(door),
            books,
            services: HashMap::new(),
            egresses: BTreeMap::new(),
            timers: BTreeSet::new(),
            outbox: Outbox::default(),
            fresh: Vec::new(),
            unannounced: 0,
            last: None,
            is_draining: false,
            ended: mpsc::channel(most),
        }
    }

    /// The next call that ends; to be handed to [`Worker::finish`].
    pub(crate) async fn next_ended(&mut self) -> Option<Ended> {
        self.ended.1.recv().await
    }

    /// Another call that has ended already, if there is one.
    pub(crate) fn another_ended(&mut self) -> Option<Ended> {
        self.ended.1.try_recv().ok()
    }

    /// When to call [`Worker::wake`].
    pub(crate) fn wake_at(&self) -> Option<Instant> {
        self.timers.first().map(|timer| timer.0)
    }

    /// Takes the list of services; gates keep what they know.
    pub(crate) fn set_policy(&mut self, policies: Vec<ServicePolicy>) {
        self.services.clear();
        self.add_policy(policies);
        let services = &self.services;
        self.books.keep_services(|id| services.contains_key(id));
    }

    /// Takes more services.
    pub(crate) fn add_policy(&mut self, policies: Vec<ServicePolicy>) {
        let now = self.clock.now();
        for policy in policies {
            if policy.quotas.len() > quota::MOST_QUOTAS {
                tracing::error!(
                    service = policy.id,
                    "left out: it has more quotas than this version can keep"
                );
                continue;
            }
            let id = policy.id.clone();
            self.books.set_policy(policy, now);
            if let Some(service) = self.books.service(&id) {
                self.services.insert(id, Arc::clone(service));
            }
        }
    }

    /// A new session has begun: which local address speaks for which egress, and what the coordinator
    /// remembers of them.
    pub(crate) fn begin(
        &mut self,
        egresses: BTreeMap<String, IpAddr>,
        granted: Vec<EgressGrant>,
        memory: Vec<LedgerEntry>,
    ) {
        self.egresses = egresses;
        let now = self.clock.now();
        let mut unkept = BTreeSet::new();
        for LedgerEntry { egress, service, state } in memory {
            let is_ours = self.services.contains_key(&service) && self.egresses.contains_key(&egress);
            if is_ours && !self.books.merge(&service, &egress, state, now) {
                unkept.insert(egress);
            }
        }
        for EgressGrant { address, memory } in granted {
            if !unkept.contains(&address) {
                self.books.heard(address, memory);
            }
        }
        let most = CREDIT_PER_EGRESS * u32::try_from(self.egresses.len()).unwrap_or(u32::MAX);
        self.unannounced = most.saturating_sub(u32::try_from(self.books.flying()).unwrap_or(u32::MAX));
        self.fresh = self.outbox.attempts();
        self.last = None;
    }

    /// The session is over: what has not left will not leave.
    pub(crate) fn end(&mut self) {
        self.withdraw_all("the session ended before the call could leave");
    }

    fn withdraw_all(&mut self, reason: &str) {
        let held: Vec<Held> = self.books.gates().flat_map(|gate| gate.withdraw(|_| true)).collect();
        self.give_back(held, reason);
        self.timers.clear();
    }

    /// This host has these addresses now, its coordinator's among them.
    pub(crate) fn at_home(&mut self, addresses: impl IntoIterator<Item = IpAddr>) {
        self.judge = Arc::new(self.judge.at_home(addresses));
    }

    /// Patterns of the services that this host permits; none: all.
    pub(crate) fn permits(&self) -> &[String] {
        &self.permits
    }

    /// Takes nothing more, and gives back what has not left.
    pub(crate) fn drain(&mut self) {
        self.is_draining = true;
        self.withdraw_all("the agent is stopping");
    }

    /// Nothing is under way, and every result is safe.
    pub(crate) fn is_done(&self) -> bool {
        self.books.flying() == 0 && self.outbox.is_empty()
    }

    /// Shows that what the coordinator once told about an address is still known here.
    pub(crate) fn memory(&self, address: &str) -> Option<u64> {
        self.books.memory(address)
    }

    /// What was spent, for the coordinator.
    pub(crate) fn ledgers(&self) -> Vec<LedgerEntry> {
        self.books.ledgers()
    }

    /// Forgets gates that say nothing any more.
    pub(crate) fn tidy(&mut self) {
        self.books.tidy();
    }

    /// Nothing leaves any more: what was counted is on disk when this returns.
    pub(crate) fn close(&mut self) {
        self.books.close();
    }

    /// A local address was taken for one egress and turns out to be another: whatever was counted may have left from there.
    /// False: that cannot be kept.
    pub(crate) fn has_moved(&mut self, from: &str, to: &str) -> bool {
        self.books.has_moved(from, to, self.clock.now())
    }

    /// Calls under way.
    pub(crate) fn in_flight(&self) -> Vec<InFlight> {
        self.books.in_flight()
    }

    /// Takes grants and sends what may leave at once. One that comes again is passed over: the coordinator expects one
    /// result of it, and would give its unit back when told that the other was not sent.
    pub(crate) fn take(&mut self, mut grants: Vec<Grant>) {
        let now = self.clock.now();
        grants.retain(|Grant { attempt: Attempt(_, _, start, count), .. }| {
            let is_new = self.last < Some((*start, *count));
            self.last = self.last.max(Some((*start, *count)));
            is_new
        });
        if self.is_draining {
            return self
                .give_back(grants.into_iter().map(|grant| (grant, now)).collect(), "the agent is stopping");
        }
        let mut touched = BTreeSet::new();
        for grant in grants {
            if !permits(&self.permits, &grant.service) {
                // The coordinator was told at the login.
                self.refuse(
                    (grant, now),
                    "this agent's host does not permit the service; --allow-service names those it does",
                );
                continue;
            }
            match self.gate(&grant.service, &grant.egress) {
                Some(gate) => {
                    touched.insert((grant.service.clone(), grant.egress.clone()));
                    gate.hold(grant, now);
                }
                None => self.refuse((grant, now), "this agent does not know the service or the egress"),
            }
        }
        touched.into_iter().for_each(|key| self.pump(key));
    }

    /// Takes back grants that have not left.
    pub(crate) fn cancel(&mut self, attempts: &[Attempt]) {
        let wanted = |grant: &Grant| attempts.contains(&grant.attempt);
        let held: Vec<Held> = self.books.gates().flat_map(|gate| gate.withdraw(wanted)).collect();
        self.give_back(held, "cancelled before it left");
    }

    /// Forgets results that are safe.
    pub(crate) fn acknowledge(&mut self, attempts: &[Attempt]) {
        self.outbox.acknowledge(attempts);
    }

    /// Counts calls of others.
    pub(crate) fn spent(&mut self, spent: Spent) {
        let is_ours = self.services.contains_key(&spent.service) && self.egresses.contains_key(&spent.egress);
        if is_ours {
            self.books.spent(spent, self.clock.now());
        }
    }

    /// Looks at the gates whose time has come.
    pub(crate) fn wake(&mut self) {
        let now = self.clock.now();
        while let Some((_, key)) = self.timers.first().filter(|timer| timer.0 <= now).cloned() {
            self.timers.pop_first();
            self.pump(key);
        }
    }

    /// Books a call that has ended and keeps its result.
    pub(crate) fn finish(&mut self, ended: Ended) {
        let Ended { grant, held, sent_at, ended_at, outcome } = ended;
        let key = (grant.service.clone(), grant.egress.clone());
        let how = match outcome.end {
            CallEnd::NotSent | CallEnd::Withdrawn => How::NotSent,
            CallEnd::TimedOut | CallEnd::Unreachable => How::Unanswered,
            CallEnd::Answered | CallEnd::Reset | CallEnd::TooLong => How::Answered,
        };
        self.books.back(grant.attempt, how, ended_at);
        self.books.shorten();
        self.keep(grant, outcome, held, ended_at.since(sent_at), ended_at);
        self.pump(key);
    }

    /// Results to send, in frames; each is given out once a session.
    pub(crate) fn fresh_results(&mut self) -> Vec<Vec<Report>> {
        let fresh = std::mem::take(&mut self.fresh);
        self.outbox.frames(&fresh, self.clock.now())
    }

    /// Grants to ask for; none while too much is kept here.
    pub(crate) fn fresh_credit(&mut self) -> u32 {
        if self.is_draining || self.outbox.is_full() { 0 } else { std::mem::take(&mut self.unannounced) }
    }

    fn gate(&mut self, service: &str, egress: &str) -> Option<&mut Gate> {
        if !self.services.contains_key(service) || !self.egresses.contains_key(egress) {
            return None;
        }
        self.books.open_gate(service, egress)
    }

    /// Lets through what may leave now and sets the gate's timer.
    fn pump(&mut self, key: GateKey) {
        loop {
            let now = self.clock.now();
            let again_at = self.books.is_behind().then(|| now + STALLED);
            let Some(gate) = self.books.gate(&key) else { return };
            match gate.pass(now, self.clock.shown(), again_at) {
                Pass::Go(held) => self.launch(&key, held, now),
                Pass::Tripped(held) => {
                    tracing::error!(
                        service = key.0,
                        egress = key.1,
                        "the guard stopped a call that the ledger let through; this is a defect, please report it"
                    );
                    gate.ledger.spend(&gate.limits(), 1, now, now);
                    self.refuse(held, "guard_tripped");
                }
                Pass::Late((grant, since), ready_in) => {
                    let outcome = Outcome::withdrawn("the agent's own ledger does not let it leave in time");
                    let ready_in = ready_in.map(|wait| millis(wait).saturating_add(1));
                    self.keep_with(grant, outcome, now.since(since), Duration::ZERO, now, ready_in);
                }
                Pass::Wait(at) => {
                    self.timers.insert((at, key));
                    return;
                }
                Pass::Idle => return,
            }
        }
    }

    fn launch(&mut self, key: &GateKey, (grant, since): Held, now: Instant) {
        let (Some(service), Some(from)) = (self.services.get(&key.0), self.egresses.get(&key.1)) else {
            if let Some(gate) = self.books.gate(key) {
                gate.refund();
            }
            return self.refuse((grant, since), "the service was withdrawn");
        };
        if !self.books.leave(key, (grant.attempt, &grant.seal), now) {
            return self.refuse((grant, since), "the agent's journal cannot be written");
        }
        let call = Call {
            from: *from,
            address: grant.at.clone().unwrap_or_else(|| service.policy.address.clone()),
            question: grant.question.0.clone(),
            headers: grant.headers.clone(),
            // Also if this process stands still before it dials: nobody counts the call for longer.
            deadline: self.clock.deadline(now + service.limits.timeout),
            max_answer: usize::try_from(service.policy.max_answer).unwrap_or(usize::MAX),
            allow_private: service.policy.allow_private_addresses,
        };
        let (clock, judge, protocol) = (self.clock, Arc::clone(&self.judge), service.policy.protocol);
        let (sources, door) = (Arc::clone(&self.sources), Arc::clone(&self.door));
        let (held, sender) = (now.since(since), self.ended.0.clone());
        // Bounded: no more calls than the credit this agent gave.
        tokio::spawn(async move {
            let passage = Passage { door: &door, grant: &grant, held, sent_at: now, clock };
            let outcome = answer(protocol, &call, &judge, &sources, &passage).await;
            let ended = Ended { grant, held, sent_at: now, ended_at: clock.now(), outcome };
            // The worker lives as long as the process; if it is gone, so is the need for the result.
            let _ = sender.send(ended).await;
        });
    }

    /// A grant that this host cannot carry out.
    fn refuse(&mut self, (grant, since): Held, reason: &str) {
        let now = self.clock.now();
        self.keep(grant, Outcome::not_sent(reason), now.since(since), Duration::ZERO, now);
    }

    /// Grants that were not carried out, by nobody's fault: they may be granted again at once.
    fn give_back(&mut self, grants: Vec<Held>, reason: &str) {
        let now = self.clock.now();
        for (grant, since) in grants {
            self.keep(grant, Outcome::withdrawn(reason), now.since(since), Duration::ZERO, now);
        }
    }

    fn keep(&mut self, grant: Grant, outcome: Outcome, held: Duration, took: Duration, ended_at: Instant) {
        self.keep_with(grant, outcome, held, took, ended_at, None);
    }

    fn keep_with(
        &mut self,
        grant: Grant,
        outcome: Outcome,
        held: Duration,
        took: Duration,
        ended_at: Instant,
        ready_in_ms: Option<u64>,
    ) {
        let report = Report {
            attempt: grant.attempt,
            service: grant.service,
            egress: grant.egress,
            seal: grant.seal,
            end: outcome.end,
            answer: Bytes(outcome.answer),
            held_ms: millis(held),
            took_ms: millis(took),
            since_ms: 0,
            detail: outcome.detail,
            ready_in_ms,
            status: outcome.head.status,
            headers: outcome.head.headers,
            head: outcome.head.whole,
        };
        self.fresh.push(report.attempt);
        self.unannounced += 1;
        self.outbox.keep(report, ended_at);
    }
}

async fn answer(
    protocol: Protocol,
    call: &Call,
    judge: &Judge,
    sources: &Sources,
    passage: &Passage<'_>,
) -> Outcome {
    match protocol {
        Protocol::Whois => call::make(call, judge, sources).await,
        Protocol::Http => http::make(call, judge, Some(passage)).await,
        #[cfg(feature = "bench")]
        Protocol::Null => Outcome::new(CallEnd::Answered, call.question.clone(), None),
        #[cfg(not(feature = "bench"))]
        Protocol::Null => Outcome::not_sent("the null service is for benchmarks only"),
    }
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
