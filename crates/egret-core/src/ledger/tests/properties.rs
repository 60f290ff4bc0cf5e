//! The ledger under random traces, against remotes written apart from it and against ledgers that differ in one thing.
//!
//! `PROPTEST_CASES=10000 cargo test --release -p egret-core ledger::` runs 10,000 traces of each; the ordinary run
//! takes fewer.

use std::collections::BTreeMap;

use egret_testkit::{Counter, Limit};
use proptest::prelude::*;

use super::*;

/// What the network does to one call, in milliseconds.
#[derive(Clone, Copy, Debug)]
struct Call {
    /// How long nobody wants to send before.
    idle: u64,
    forth: u64,
    back: u64,
    fate: Fate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Answered,
    /// No answer; the remote may count it up to time-out and linger after it was sent.
    Lost,
    /// Nothing left the host.
    NotSent,
}

/// The number of cases: from the environment, else few.
pub(super) fn cases() -> ProptestConfig {
    let config = ProptestConfig::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { config.cases } else { 200 };
    ProptestConfig { cases, ..config }
}

fn call() -> impl Strategy<Value = Call> {
    let fate = prop_oneof![18 => Just(Fate::Answered), 1 => Just(Fate::Lost), 1 => Just(Fate::NotSent)];
    let idle = prop_oneof![3 => Just(0), 1 => 0..400u64];
    (idle, 0..300u64, 0..300u64, fate).prop_map(|(idle, forth, back, fate)| Call { idle, forth, back, fate })
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    prop::collection::vec(call(), 1..160)
}

fn quotas() -> impl Strategy<Value = Vec<(u32, u64)>> {
    prop::collection::vec((prop_oneof![1..8u32, 30..35u32, 1..120u32], 100..5_000u64), 1..4)
}

/// One sender, its ledger, and when its calls arrive at the remote.
struct Sender {
    limits: Limits,
    ledger: Ledger,
    now: Instant,
    ends: BTreeMap<(Instant, usize), Fate>,
    sent: usize,
    /// In microseconds.
    arrivals: Vec<u64>,
    sends: Vec<Instant>,
}

impl Sender {
    fn new(limits: Limits) -> Self {
        Self {
            limits,
            ledger: Ledger::default(),
            now: at(0),
            ends: BTreeMap::new(),
            sent: 0,
            arrivals: Vec::new(),
            sends: Vec::new(),
        }
    }

    /// Books every call that has ended by now.
    fn settle(&mut self) {
        while let Some((&(end, call), &fate)) =
            self.ends.first_key_value().filter(|entry| entry.0.0 <= self.now)
        {
            self.ends.remove(&(end, call));
            match fate {
                Fate::Answered => self.ledger.charge(&self.limits, end),
                Fate::Lost => {
                    self.ledger.charge_unanswered(&self.limits, end, end + self.limits.linger);
                }
                Fate::NotSent => self.ledger.refund(),
            }
        }
    }

    /// Waits until the ledger lets one more call leave.
    fn wait(&mut self) {
        loop {
            self.settle();
            let next_end = self.ends.first_key_value().map(|(key, _)| key.0);
            self.now = match self.ledger.ready(&self.limits, self.now) {
                Ready::Now => return,
                Ready::At(then) => next_end.map_or(then, |end| end.min(then)),
                Ready::OnCompletion => next_end.expect("something is in flight"),
            };
        }
    }

    fn send(&mut self, call: Call) {
        self.now = self.now + Duration::from_millis(call.idle);
        self.wait();
        self.ledger.reserve(&self.limits, self.now);
        self.sends.push(self.now);
        let (forth, back) = (Duration::from_millis(call.forth), Duration::from_millis(call.back));
        let end = match call.fate {
            Fate::Answered => {
                self.arrivals.push((self.now + forth).as_micros());
                self.now + forth + back
            }
            Fate::Lost => {
                // As late as the time-out and the linger allow.
                self.arrivals.push((self.now + forth * 10).as_micros());
                self.now + self.limits.timeout
            }
            Fate::NotSent => self.now + forth,
        };
        self.sent += 1;
        self.ends.insert((end, self.sent), call.fate);
    }

    /// The process dies; another one starts from what was written down a moment before.
    fn restart(&mut self) {
        let snapshot = self.ledger.snapshot(&self.limits, self.now);
        self.ledger = Ledger::default();
        self.ledger.merge(&self.limits, &snapshot, self.now);
        self.ends.clear();
    }

    /// The most calls that ever arrived within a span of so many milliseconds.
    fn fullest(&self, span: u64) -> usize {
        let mut arrivals = self.arrivals.clone();
        arrivals.sort_unstable();
        let within = |(index, first): (usize, &u64)| {
            arrivals[index..].iter().take_while(|arrival| **arrival < first + span * 1_000).count()
        };
        arrivals.iter().enumerate().map(within).max().unwrap_or(0)
    }

    /// What the remote refuses of what has arrived.
    #[expect(clippy::disallowed_methods, reason = "the remote's clock needs an origin, whatever it is")]
    fn refusals(&self, limit: Limit) -> usize {
        let origin = std::time::Instant::now();
        let mut arrivals = self.arrivals.clone();
        arrivals.sort_unstable();
        let first = arrivals.first().copied().unwrap_or(0);
        let mut remote = Counter::new(limit, origin);
        let arrive = |arrival: &u64| origin + Duration::from_micros(arrival - first);
        arrivals.iter().filter(|arrival| !remote.admit(arrive(arrival))).count()
    }
}

fn run(limits: Limits, calls: &[Call]) -> Sender {
    let mut sender = Sender::new(limits);
    calls.iter().for_each(|call| sender.send(*call));
    sender
}

/// When each call leaves if every one of the window's is remembered by itself.
fn every_call(window: &Window, calls: &[Call]) -> Vec<Instant> {
    let mut now = at(0);
    let mut ends: Vec<Instant> = Vec::new();
    let mut sends = Vec::new();
    for call in calls {
        if let Some(full) = ends.len().checked_sub(window.units as usize) {
            now = now.max(ends[full] + window.span());
        }
        sends.push(now);
        let end = now + millis(call.forth + call.back);
        ends.insert(ends.partition_point(|other| *other <= end), end);
    }
    sends
}

fn millis(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn no_sliding_or_fixed_window_ever_holds_more_than_its_units(
        calls in calls(), quotas in quotas(), phase in 0u64..5_000, restarts in prop::collection::vec(0usize..160, 0..3),
    ) {
        let mut sender = Sender::new(sliding(&quotas));
        for (index, call) in calls.iter().enumerate() {
            if restarts.contains(&index) {
                sender.restart();
            }
            sender.send(*call);
        }
        for (units, per) in quotas {
            let (per, phase) = (millis(per), millis(phase));
            prop_assert_eq!(sender.refusals(Limit::Sliding { units, per }), 0);
            prop_assert_eq!(sender.refusals(Limit::Fixed { units, per, phase }), 0);
        }
    }

    #[test]
    fn a_token_bucket_never_runs_dry(calls in calls(), units in 1u32..60, burst in 1u32..60, per in 100u64..3_000) {
        let quota = Quota { burst: Some(burst), ..Quota::new(units, millis(per)) };
        let terms = Terms { quotas: vec![quota], ..terms(&[], Counting::TokenBucket) };
        let sender = run(terms.limits(), &calls);
        prop_assert_eq!(sender.refusals(Limit::TokenBucket { burst, units, per: millis(per) }), 0);
    }

    /// Spaced sends may bunch by as much as their ways differ: what is then too much for a remote of just that limit is
    /// never more than the calls that fit into the difference. Loss is left out for the same reason.
    #[test]
    fn a_two_bucket_counter_is_exceeded_by_no_more_than_the_jitter_bunches(
        jitter in prop_oneof![Just(0u64), 1..100u64], seed: u64, idle in 0u64..600, units in 1u32..40, per in 1_000u64..5_000,
    ) {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut call = || Call {
            idle: if rng.u8(..) < 64 { rng.u64(0..=idle) } else { 0 },
            forth: 20 + rng.u64(0..=jitter),
            back: rng.u64(0..=jitter),
            fate: Fate::Answered,
        };
        let calls: Vec<Call> = (0..150).map(|_| call()).collect();
        let limits = terms(&[(units, per)], Counting::TwoBucket).limits();
        let bunched = match u64::try_from(limits.spacing.as_millis()).unwrap() {
            0 => 0,
            spacing => u32::try_from(jitter.div_ceil(spacing)).unwrap(),
        };
        let remote = Limit::TwoBucket { units: units + bunched, per: millis(per) };
        prop_assert_eq!(run(limits, &calls).refusals(remote), 0);
    }

    #[test]
    fn shared_and_costly_quotas_are_kept_in_units(calls in calls(), units in 4u32..80, cost in 1u32..4, per in 100u64..3_000) {
        let quota = Quota { share: 750, ..Quota::new(units, millis(per)) };
        let terms = Terms { quotas: vec![quota], cost, ..terms(&[], Counting::Sliding) };
        let sender = run(terms.limits(), &calls);
        let allowed = units * 3 / 4 / cost;
        prop_assert_eq!(sender.refusals(Limit::Sliding { units: allowed, per: millis(per) }), 0);
    }

    #[test]
    fn the_instant_named_is_exact(calls in calls(), quotas in quotas()) {
        let mut sender = Sender::new(sliding(&quotas));
        for call in calls {
            sender.settle();
            let next_end = sender.ends.first_key_value().map(|(key, _)| key.0);
            let named = sender.ledger.ready(&sender.limits, sender.now);
            if let Ready::At(then) = named && next_end.is_none_or(|end| end > then) {
                prop_assert_eq!(sender.ledger.ready(&sender.limits, then), Ready::Now);
                let sooner = Instant::from_micros(then.as_micros() - 1);
                prop_assert!(sooner < sender.now || sender.ledger.ready(&sender.limits, sooner) == Ready::At(then));
            }
            sender.send(call);
        }
    }

    #[test]
    fn asking_changes_nothing_and_a_refund_restores_what_was(calls in calls(), quotas in quotas()) {
        let mut sender = run(sliding(&quotas), &calls);
        sender.wait();
        let (limits, now) = (&sender.limits, sender.now);
        let before = sender.ledger.snapshot(limits, now);
        let mut asked = sender.ledger.clone();
        (0..5).for_each(|n| { asked.ready(limits, now + millis(n)); });
        asked.reserve(limits, now);
        prop_assert_ne!(&asked.snapshot(limits, now), &before);
        asked.refund();
        prop_assert_eq!(asked.snapshot(limits, now), before);
    }

    #[test]
    fn what_is_restored_is_never_looser_and_merging_is_a_join(
        a in calls(), b in calls(), c in calls(), quotas in quotas(), later in 0u64..6_000,
    ) {
        let limits = sliding(&quotas);
        let ledger = |calls: &[Call]| {
            let mut sender = run(limits.clone(), calls);
            while let Some((key, _)) = sender.ends.last_key_value() {
                sender.now = key.0;
                sender.settle();
            }
            sender
        };
        let senders = [ledger(&a), ledger(&b), ledger(&c)];
        let now = senders.iter().map(|sender| sender.now).max().expect("there are three");
        let [a, b, c] = senders.map(|sender| sender.ledger);
        let told = |ledger: &Ledger| ledger.snapshot(&limits, now);
        let merged = |x: &Ledger, y: &Ledger| {
            let mut x = x.clone();
            x.merge(&limits, &told(y), now);
            x
        };
        let (ab, bc) = (merged(&a, &b), merged(&b, &c));
        prop_assert_eq!(told(&ab), told(&merged(&b, &a)));
        prop_assert_eq!(told(&merged(&ab, &b)), told(&ab));
        prop_assert_eq!(told(&merged(&ab, &c)), told(&merged(&a, &bc)));
        let then = now + millis(later);
        let when = |ledger: &Ledger| when(ledger, &limits, then);
        prop_assert!(when(&ab) >= when(&a).max(when(&b)));
        prop_assert!(when(&merged(&Ledger::default(), &a)) >= when(&a));
        for index in 0..limits.windows.len() {
            prop_assert!(ab.used(&limits, index, then) >= a.used(&limits, index, then).max(b.used(&limits, index, then)));
        }
    }

    #[test]
    fn a_quota_that_goes_down_and_up_never_admits_more_than_its_looser_form(
        calls in calls(), units in 1u32..120, fewer in 1u32..120, per in 100u64..5_000, turns in prop::collection::vec(0usize..160, 0..6),
    ) {
        let per = millis(per);
        let forms = [units.max(fewer), units.min(fewer)];
        let limits = forms.map(|units| sliding(&[(units, u64::try_from(per.as_millis()).unwrap())]));
        let mut sender = Sender::new(limits[0].clone());
        let mut form = 0;
        for (index, call) in calls.iter().enumerate() {
            if turns.contains(&index) {
                form = 1 - form;
                sender.ledger.retune(&sender.limits.clone(), &limits[form], sender.now);
                sender.limits = limits[form].clone();
            }
            sender.send(*call);
        }
        prop_assert_eq!(sender.refusals(Limit::Sliding { units: forms[0], per }), 0);
    }

    #[test]
    fn after_a_change_of_quota_the_new_one_holds_over_what_was_sent_before_as_well(
        calls in calls(), old in (1u32..60, 100u64..5_000), new in (1u32..60, 100u64..5_000), turn in 0usize..160,
    ) {
        let mut sender = Sender::new(sliding(&[old]));
        for (index, call) in calls.iter().enumerate() {
            if index == turn {
                let limits = sliding(&[new]);
                sender.ledger.retune(&sender.limits.clone(), &limits, sender.now);
                sender.limits = limits;
            }
            sender.send(*call);
        }
        // Whatever was sent before, no call sent after the change is one too many by the new quota.
        let since = calls.iter().take(turn).filter(|call| call.fate != Fate::NotSent).count();
        for arrival in sender.arrivals.iter().skip(since) {
            let span = new.1 * 1_000;
            let within = sender.arrivals.iter().filter(|a| *a <= arrival && **a + span > *arrival).count();
            prop_assert!(within <= new.0 as usize, "{} within {} ms", within, new.1);
        }
    }

    #[test]
    fn shedding_what_is_over_is_never_noticed(calls in calls(), quotas in quotas()) {
        let limits = sliding(&quotas);
        let (mut kept, mut shed) = (Sender::new(limits.clone()), Sender::new(limits));
        for call in calls {
            let call = Call { idle: call.idle * 20, ..call };
            kept.send(call);
            shed.send(call);
            shed.ledger.shed(&shed.limits, shed.now);
            prop_assert_eq!(kept.now, shed.now);
        }
    }

    /// What a group costs is that its calls wait for its youngest: of the calls that a log which forgets nothing and
    /// groups nothing would have sent, one part in 31 may be missing at the end.
    #[test]
    fn a_backlog_is_served_nearly_as_fast_as_by_a_log_of_every_call(
        units in 1u32..200, per in 1_000u64..20_000, jitter in 0u64..200, seed: u64,
    ) {
        let limits = sliding(&[(units, per)]);
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut call = || Call { idle: 0, forth: rng.u64(0..=jitter), back: rng.u64(0..=jitter), fate: Fate::Answered };
        let calls: Vec<Call> = (0..units * 10).map(|_| call()).collect();
        let sender = run(limits.clone(), &calls);
        prop_assert_eq!(sender.fullest(per), units as usize, "all of it is used");
        let exact = every_call(&limits.windows[0], &calls);
        let deadline = *exact.last().expect("there are calls");
        // Times are rounded up to ticks.
        let rounded = deadline + millis(5);
        prop_assert!(deadline <= sender.now, "nothing is faster than a log of every call");
        let missing = sender.sends.iter().filter(|sent_at| **sent_at > rounded).count();
        prop_assert!(missing as f64 <= calls.len() as f64 / 31.0 + 1.0, "{missing} of {}", calls.len());
    }

    #[test]
    fn the_same_trace_goes_the_same_way_wherever_the_count_of_ticks_wraps(
        calls in calls(), quotas in quotas(), before in 0u64..200_000, wraps in 1u64..4,
    ) {
        let limits = sliding(&quotas);
        // All windows of a trace have different ticks: let the count of the first turn over somewhere within it.
        let turn = (wraps << (32 + limits.windows[0].shift)).saturating_sub(before * 1_000);
        let turn = turn & !((1 << 12) - 1);
        let started = |origin: Instant| {
            let mut sender = Sender { now: origin, ..Sender::new(limits.clone()) };
            calls.iter().map(|call| { sender.send(*call); sender.now.since(origin) }).collect::<Vec<_>>()
        };
        prop_assert_eq!(started(Instant::from_micros(turn)), started(Instant::from_micros(1 << 12)));
    }
}
