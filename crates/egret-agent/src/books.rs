//! What this agent has counted: a gate for each service and egress, the calls under way, and whose word was heard.
//!
//! Whatever changes a ledger is written to the journal first. `restore` goes through a journal again and comes out with
//! the books of the process that wrote it.

mod restore;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use egret_core::ledger::{LogSnapshot, Snapshot};
use egret_core::quota::{self, Limits, Quota, Terms};
use egret_core::time::Instant;
use egret_wire::agent::{
    Attempt, CallQuota, Counting, InFlight, LedgerEntry, LedgerState, LogState, ServicePolicy, Spent,
};

use crate::AgentError;
use crate::clock::{Clock, micros};
use crate::gate::Gate;
use crate::journal::{self, How, Journal, Record};

/// A gate's name: service and egress, as the coordinator calls them.
pub(crate) type GateKey = (String, String);

/// The terms of a service.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) policy: ServicePolicy,
    pub(crate) limits: Arc<Limits>,
}

impl Service {
    fn new(policy: ServicePolicy) -> Self {
        Self { limits: Arc::new(limits(&policy)), policy }
    }
}

/// A call under way.
struct Flying {
    key: GateKey,
    sent_at: Instant,
    /// That of its grant; of a call of an earlier process nothing will be reported.
    seal: String,
}

pub(crate) struct Books {
    clock: Clock,
    /// `None`: nothing outlives this process.
    journal: Option<Journal>,
    /// Those that may be asked, and others that gates are still there for.
    services: HashMap<String, Arc<Service>>,
    gates: BTreeMap<GateKey, Gate>,
    flying: BTreeMap<Attempt, Flying>,
    /// Observed address → the number that shows that all that its coordinator told of it is known here.
    memories: BTreeMap<String, u64>,
    /// How many pairs the journal has numbers for.
    pairs: u32,
}

impl Books {
    /// Nothing counted, and nothing written down.
    pub(crate) fn new(clock: Clock) -> Self {
        Self {
            clock,
            journal: None,
            services: HashMap::new(),
            gates: BTreeMap::new(),
            flying: BTreeMap::new(),
            memories: BTreeMap::new(),
            pairs: 0,
        }
    }

    /// Those of the last process that had this state dir, to be kept there from now on.
    ///
    /// # Errors
    /// The state dir cannot be used.
    pub(crate) fn open(dir: &Path, clock: Clock) -> Result<Self, AgentError> {
        let unusable = |error: std::io::Error| {
            AgentError::Setting(format!(
                "the journal in the state dir {} cannot be used: {error}",
                dir.display()
            ))
        };
        let left = journal::read(dir).map_err(unusable)?;
        // In this order: a later `now` makes what is remembered younger, which is the strict side.
        let today = restore::Today { boot: clock.boot_name(), at: clock.boot(), wall_ms: clock.wall_ms() };
        let mut books = match left {
            Some(bytes) => restore::restore(&bytes, &today, clock, clock.now()),
            None => Self::new(clock),
        };
        books.tidy();
        books.journal = Some(Journal::begin(dir, &books.records(), clock).map_err(unusable)?);
        Ok(books)
    }

    pub(crate) fn service(&self, id: &str) -> Option<&Arc<Service>> {
        self.services.get(id)
    }

    /// The terms of a service are these from now on; gates keep what they know.
    pub(crate) fn set_policy(&mut self, policy: ServicePolicy, now: Instant) {
        if self.services.get(&policy.id).is_some_and(|known| known.policy == policy) {
            return;
        }
        // If this cannot be written, the next process reads the logs by the terms of before, and tells which those were.
        self.write(&Record::Policy(policy.clone()));
        let service = Arc::new(Service::new(policy));
        let id = &service.policy.id;
        for (_, gate) in self.gates.iter_mut().filter(|(key, _)| key.0 == *id) {
            gate.retune(service.policy.ceiling.as_ref(), Arc::clone(&service.limits), now);
        }
        self.services.insert(id.clone(), service);
    }

    /// Only these services may be asked; others are forgotten once their gates are.
    pub(crate) fn keep_services(&mut self, is_offered: impl Fn(&str) -> bool) {
        let gates = &self.gates;
        self.services.retain(|id, _| is_offered(id) || gates.keys().any(|(service, _)| service == id));
    }

    pub(crate) fn gate(&mut self, key: &GateKey) -> Option<&mut Gate> {
        self.gates.get_mut(key)
    }

    pub(crate) fn gates(&mut self) -> impl Iterator<Item = &mut Gate> {
        self.gates.values_mut()
    }

    /// The gate of a pair, opened if there is none; `None`: nobody knows the service, or it cannot be written down.
    pub(crate) fn open_gate(&mut self, service: &str, egress: &str) -> Option<&mut Gate> {
        let known = self.services.get(service)?;
        let key = (service.to_owned(), egress.to_owned());
        if !self.gates.contains_key(&key) {
            let pair = self.pairs;
            self.pairs = self.pairs.checked_add(1)?;
            let gate = Gate::new(pair, known.policy.ceiling.as_ref(), Arc::clone(&known.limits));
            if !self.write(&Record::Pair { pair, service: key.0.clone(), egress: key.1.clone() }) {
                return None;
            }
            self.gates.insert(key.clone(), gate);
        }
        self.gates.get_mut(&key)
    }

    /// Joins what the coordinator knows of a pair; false: it could not be kept.
    pub(crate) fn merge(&mut self, service: &str, egress: &str, state: LedgerState, now: Instant) -> bool {
        let Some(pair) = self.open_gate(service, egress).map(|gate| gate.pair) else { return false };
        let at = self.clock.since_boot(now);
        let is_kept = self.write(&Record::State { pair, at, state: state.clone() });
        if let Some(gate) = self.open_gate(service, egress) {
            let limits = gate.limits();
            gate.ledger.merge(&limits, &snapshot(state), now);
        }
        is_kept
    }

    /// Counts for one egress what was counted for another, as well; false: it could not be kept. Calls under way may end as
    /// late as they can.
    pub(crate) fn has_moved(&mut self, from: &str, to: &str, now: Instant) -> bool {
        let of_it = self.gates.iter().filter(|((_, egress), _)| egress == from);
        let states: Vec<(String, LedgerState)> = of_it
            .map(|((service, _), gate)| {
                let in_flight = gate.ledger.in_flight();
                (service.clone(), LedgerState { in_flight, ..state(gate, now) })
            })
            .collect();
        // All of them, also if one fails.
        states.into_iter().fold(true, |kept, (service, state)| self.merge(&service, to, state, now) && kept)
    }

    /// All that the coordinator told of an egress is known here.
    pub(crate) fn heard(&mut self, egress: String, memory: u64) {
        if self.write(&Record::Memory { egress: egress.clone(), memory }) {
            self.memories.insert(egress, memory);
        }
    }

    /// Counts calls of others. What cannot be counted is not remembered: the coordinator tells it all again.
    pub(crate) fn spent(&mut self, Spent { egress, service, calls, memory }: Spent, now: Instant) {
        let Some(gate) = self.open_gate(&service, &egress) else { return };
        let (pair, limits) = (gate.pair, gate.limits());
        gate.ledger.spend_unknown(&limits, calls, now);
        let at = self.clock.since_boot(now);
        if self.write(&Record::Spent { pair, calls, at, memory }) {
            self.memories.insert(egress, memory);
        }
    }

    /// Shows that what the coordinator once told about an address is still known here.
    pub(crate) fn memory(&self, address: &str) -> Option<u64> {
        self.memories.get(address).copied()
    }

    /// Whether a call that leaves now is remembered whatever happens.
    pub(crate) fn is_behind(&self) -> bool {
        self.journal.as_ref().is_some_and(Journal::is_behind)
    }

    /// Writes down that a call leaves that its gate has let through; false: it must not, and its unit is back.
    pub(crate) fn leave(&mut self, key: &GateKey, (attempt, seal): (Attempt, &str), now: Instant) -> bool {
        let Some(pair) = self.gates.get(key).map(|gate| gate.pair) else { return false };
        let at = self.clock.since_boot(now);
        let is_kept = self.write(&Record::Leave { pair, attempt, at });
        if is_kept {
            let flying = Flying { key: key.clone(), sent_at: now, seal: seal.to_owned() };
            self.flying.insert(attempt, flying);
        } else if let Some(gate) = self.gates.get_mut(key) {
            gate.refund();
        }
        is_kept
    }

    /// A call has ended.
    pub(crate) fn back(&mut self, attempt: Attempt, how: How, ended_at: Instant) {
        let at = self.clock.since_boot(ended_at);
        // If this cannot be written, the next process takes it for one that ended as late as it could.
        self.write(&Record::Back { attempt, at, how });
        self.settle(attempt, how, ended_at);
    }

    fn settle(&mut self, attempt: Attempt, how: How, ended_at: Instant) {
        let Some(Flying { key, .. }) = self.flying.remove(&attempt) else { return };
        let Some(gate) = self.gates.get_mut(&key) else { return };
        let limits = gate.limits();
        match how {
            How::NotSent => gate.refund(),
            How::Answered => gate.ledger.charge(&limits, ended_at),
            How::Unanswered => {
                gate.ledger.charge_unanswered(&limits, ended_at, ended_at + limits.linger);
            }
        }
    }

    /// Calls under way.
    pub(crate) fn in_flight(&self) -> Vec<InFlight> {
        let entry = |(attempt, flying): (&Attempt, &Flying)| InFlight {
            attempt: *attempt,
            service: flying.key.0.clone(),
            egress: flying.key.1.clone(),
            seal: flying.seal.clone(),
        };
        self.flying.iter().map(entry).collect()
    }

    /// How many those are.
    pub(crate) fn flying(&self) -> usize {
        self.flying.len()
    }

    /// What was spent, for the coordinator.
    pub(crate) fn ledgers(&self) -> Vec<LedgerEntry> {
        let now = self.clock.now();
        let entry = |((service, egress), gate): (&GateKey, &Gate)| LedgerEntry {
            egress: egress.clone(),
            service: service.clone(),
            state: state(gate, now),
        };
        self.gates.iter().map(entry).collect()
    }

    /// Forgets gates that say nothing any more.
    pub(crate) fn tidy(&mut self) {
        let now = self.clock.now();
        self.gates.retain(|_, gate| !gate.is_idle(now));
    }

    /// The agent stops and nothing leaves any more: not even another boot makes the next process doubt that.
    pub(crate) fn close(&mut self) {
        if let Some(Err(error)) = self.journal.as_mut().map(Journal::close) {
            tracing::warn!("the end of the journal could not be written: {error}");
        }
    }

    /// False: it could not be written.
    fn write(&mut self, record: &Record) -> bool {
        let Some(journal) = &mut self.journal else { return true };
        let written = journal.write(record);
        if let Err(error) = &written {
            tracing::error!("the journal cannot be written: {error}");
        }
        written.is_ok()
    }

    /// Begins a new journal when it has become long.
    pub(crate) fn shorten(&mut self) {
        if !self.journal.as_ref().is_some_and(Journal::is_long) {
            return;
        }
        let records = self.records();
        if let Some(Err(error)) = self.journal.as_mut().map(|journal| journal.renew(&records)) {
            tracing::error!("the journal cannot be made shorter: {error}");
        }
    }

    /// All of it as records for a new file.
    fn records(&self) -> Vec<Record> {
        let now = self.clock.now();
        let mut records = Vec::new();
        for service in self.services.values() {
            records.push(Record::Policy(service.policy.clone()));
        }
        let at = self.clock.boot();
        for ((service, egress), gate) in &self.gates {
            let (pair, service, egress) = (gate.pair, service.clone(), egress.clone());
            records.push(Record::Pair { pair, service, egress });
            records.push(Record::State { pair, at, state: state(gate, now) });
        }
        for (attempt, Flying { key, sent_at, .. }) in &self.flying {
            let Some(gate) = self.gates.get(key) else { continue };
            let at = self.clock.since_boot(*sent_at);
            records.push(Record::Leave { pair: gate.pair, attempt: *attempt, at });
        }
        let memories = self.memories.iter();
        records.extend(
            memories.map(|(egress, memory)| Record::Memory { egress: egress.clone(), memory: *memory }),
        );
        records
    }
}

/// A ledger as it is told and kept. Calls in flight are told by name.
fn state(gate: &Gate, now: Instant) -> LedgerState {
    let Snapshot { logs, rest, sent, .. } = gate.ledger.snapshot(&gate.limits(), now);
    let log = |LogSnapshot { units, span, groups }| LogState { units, span_us: micros(span), groups };
    LedgerState { logs: logs.into_iter().map(log).collect(), in_flight: 0, rest, left: None, sent }
}

fn snapshot(state: LedgerState) -> Snapshot {
    let LedgerState { logs, in_flight, sent, .. } = state;
    let log = |LogState { units, span_us, groups }| LogSnapshot {
        units,
        span: Duration::from_micros(span_us),
        groups,
    };
    let logs = logs.into_iter().map(log).collect();
    // Rests, and what services say, are the coordinator's business: it grants nothing against them.
    Snapshot { logs, in_flight, rest: None, left: None, sent, taken: Duration::ZERO }
}

/// The policy of a service in the ledger's words.
fn limits(policy: &ServicePolicy) -> Limits {
    let quota = |q: &CallQuota| Quota { burst: q.burst, ..Quota::new(q.units, q.per.0) };
    let terms = Terms {
        quotas: policy.quotas.iter().map(quota).collect(),
        // The coordinator has turned units into calls.
        cost: 1,
        counting: match policy.counting {
            Counting::Sliding => quota::Counting::Sliding,
            Counting::Fixed => quota::Counting::Fixed,
            Counting::TokenBucket => quota::Counting::TokenBucket,
            Counting::TwoBucket => quota::Counting::TwoBucket,
            Counting::Unknown => quota::Counting::Unknown,
        },
        concurrency: policy.concurrency,
        // An agent never classifies, so it never rests by itself.
        cool_down: Duration::ZERO,
        max_cool_down: Duration::ZERO,
        timeout: Duration::from_millis(policy.timeout_ms),
        linger: Duration::from_millis(policy.linger_ms),
    };
    let limits = terms.limits();
    if policy.quotas.is_empty() && !policy.is_careful {
        // All its quotas are shared: none of them is kept here.
        return Limits { windows: Vec::new(), concurrency: policy.concurrency, ..limits };
    }
    limits
}
