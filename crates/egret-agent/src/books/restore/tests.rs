//! Random histories, cut anywhere, against a list of all the calls that were really made.

use std::collections::BTreeMap;

use egret_core::ledger::{Ledger, Ready};
use egret_core::quota::{Limits, Window};
use egret_wire::agent::{Attempt, CallQuota, Counting, LedgerState, LogState, Protocol, ServicePolicy};
use egret_wire::value::Span;
use proptest::prelude::*;

use super::super::limits;
use super::*;
use crate::journal::How;

const BOOT: &str = "this boot";
/// What the boot clock shows at the start of a history.
const BASE: u64 = 50_000_000_000;
const WALL_MS: u64 = 1_700_000_000_000;
const KEY: (&str, &str) = ("s", "e");

fn policy(quotas: &[(u32, u64)]) -> ServicePolicy {
    let quota = |(units, ms): &(u32, u64)| CallQuota {
        units: *units,
        per: Span(Duration::from_millis(*ms)),
        burst: None,
    };
    ServicePolicy {
        id: KEY.0.to_owned(),
        protocol: Protocol::Whois,
        address: "127.0.0.1:43".to_owned(),
        quotas: quotas.iter().map(quota).collect(),
        is_careful: false,
        ceiling: None,
        counting: Counting::Sliding,
        concurrency: None,
        timeout_ms: 300,
        linger_ms: 200,
        max_answer: 1_024,
        allow_private_addresses: true,
    }
}

/// A moment of a history: how long after the last one, and what happens.
#[derive(Clone, Copy, Debug)]
enum Move {
    /// A call leaves if it may.
    Send,
    /// The call that has been out the longest ends.
    End(How),
    /// Others made a call, and the agent is told.
    Spent,
}

fn moves() -> impl Strategy<Value = Vec<(u64, Move)>> {
    let what = prop_oneof![
        8 => Just(Move::Send),
        6 => Just(Move::End(How::Answered)),
        1 => Just(Move::End(How::Unanswered)),
        1 => Just(Move::End(How::NotSent)),
        1 => Just(Move::Spent),
    ];
    prop::collection::vec((0..300_000u64, what), 1..80)
}

fn quotas() -> impl Strategy<Value = Vec<(u32, u64)>> {
    prop::collection::vec((1..8u32, 200..8_000u64), 1..3)
}

/// A call that was made.
#[derive(Clone, Copy, Debug)]
struct Call {
    /// How many records there were when it left.
    begun: usize,
    sent: u64,
    /// How many there were when its end was known, and when the remote had counted it at the latest.
    ended: Option<(usize, u64)>,
}

struct History {
    limits: Limits,
    /// The journal, where each record ends, and when it was written.
    bytes: Vec<u8>,
    ends: Vec<(usize, u64)>,
    calls: Vec<Call>,
    /// The last moment.
    now: u64,
}

impl History {
    fn of(quotas: &[(u32, u64)], moves: &[(u64, Move)]) -> Self {
        let limits = limits(&policy(quotas));
        let mut history = Self { limits, bytes: Vec::new(), ends: Vec::new(), calls: Vec::new(), now: BASE };
        history.write(&Record::Begin { version: VERSION, boot: BOOT.to_owned() });
        history.write(&Record::Mark { at: BASE, wall_ms: WALL_MS });
        history.write(&Record::Policy(policy(quotas)));
        history.write(&Record::Pair { pair: 7, service: KEY.0.to_owned(), egress: KEY.1.to_owned() });
        history.write(&Record::Memory { egress: KEY.1.to_owned(), memory: 1 });
        let mut ledger = Ledger::default();
        let mut open: BTreeMap<u64, usize> = BTreeMap::new();
        for (number, (wait, what)) in (0u64..).zip(moves) {
            history.now += wait;
            let (at, now) = (history.now, Instant::from_micros(history.now));
            let limits = history.limits.clone();
            match what {
                Move::Send if ledger.ready(&limits, now) == Ready::Now => {
                    ledger.reserve(&limits, now);
                    history.write(&Record::Leave { pair: 7, attempt: Attempt(number, 1, 1, number), at });
                    open.insert(number, history.calls.len());
                    history.calls.push(Call { begun: history.ends.len(), sent: at, ended: None });
                }
                Move::End(how) => {
                    let Some((number, call)) = open.pop_first() else { continue };
                    let linger = limits.linger;
                    match how {
                        How::Answered => ledger.charge(&limits, now),
                        How::Unanswered => ledger.charge_unanswered(&limits, now, now + linger),
                        How::NotSent => ledger.refund(),
                    }
                    let end = match how {
                        How::Answered => at,
                        How::Unanswered => at + linger.as_micros() as u64,
                        // It was never there.
                        How::NotSent => 0,
                    };
                    history.write(&Record::Back { attempt: Attempt(number, 1, 1, number), at, how: *how });
                    history.calls[call].ended = Some((history.ends.len(), end));
                }
                Move::Spent => {
                    ledger.spend_unknown(&limits, 1, now);
                    history.write(&Record::Spent { pair: 7, calls: 1, at, memory: number });
                    let end = at + (limits.timeout + limits.linger).as_micros() as u64;
                    let begun = history.ends.len();
                    history.calls.push(Call { begun, sent: at, ended: Some((begun, end)) });
                }
                Move::Send => {}
            }
        }
        history
    }

    fn write(&mut self, record: &Record) {
        record.write_to(&mut self.bytes).unwrap();
        self.ends.push((self.bytes.len(), self.now));
    }

    /// Those calls that the first `records` records speak of, with what they say of them.
    fn known(&self, records: usize) -> Vec<Call> {
        let begun = self.calls.iter().filter(|call| call.begun <= records);
        begun
            .map(|call| Call { ended: call.ended.filter(|(record, _)| *record <= records), ..*call })
            .collect()
    }

    /// When a call may be counted at the latest.
    fn latest(&self, call: Call) -> u64 {
        let lost = call.sent + (self.limits.timeout + self.limits.linger).as_micros() as u64;
        call.ended.map_or(lost, |(_, end)| end)
    }

    /// Whether the remote has room for one more at `at`, by the list of calls.
    fn has_room(&self, calls: &[Call], at: u64) -> bool {
        let over = |call: &Call, span: Duration| self.latest(*call) + span.as_micros() as u64 <= at;
        let live = |window: &Window| calls.iter().filter(|call| !over(call, window.span())).count();
        self.limits.windows.iter().all(|window| live(window) < window.units as usize)
    }
}

fn today(boot: &str, at: u64, wall_ms: u64) -> Today {
    Today { boot: boot.to_owned(), at, wall_ms }
}

/// Whether the restored ledger lets a call leave then.
fn is_ready(books: &mut Books, now: Instant) -> bool {
    match books.gates.get_mut(&(KEY.0.to_owned(), KEY.1.to_owned())) {
        Some(gate) => gate.ledger.ready(&gate.limits(), now) == Ready::Now,
        None => true,
    }
}

/// The number of cases: from the environment, else few.
fn cases() -> ProptestConfig {
    let config = ProptestConfig::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { config.cases } else { 300 };
    ProptestConfig { cases, ..config }
}

/// What rounding to ticks may cost, in microseconds.
const SLACK: u64 = 200;

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn a_process_killed_at_any_byte_leaves_a_ledger_that_allows_what_the_list_of_calls_allows(
        quotas in quotas(), moves in moves(), cut in 0.0..1.0f64, down in 0..3_000_000u64,
    ) {
        let history = History::of(&quotas, &moves);
        let cut = (history.bytes.len() as f64 * cut) as usize;
        let whole = history.ends.iter().filter(|(end, _)| *end <= cut).count();
        let died = history.ends.get(whole.saturating_sub(1)).map_or(BASE, |(_, at)| *at);
        let calls = history.known(whole);
        let restart = died + down;
        let clock = Clock::start(None);
        let now = clock.now();
        let mut books = restore(&history.bytes[..cut], &today(BOOT, restart, 0), clock, now);
        if whole > 4 {
            prop_assert!(books.memory(KEY.1).is_some(), "the same boot: nothing was forgotten");
        }
        for step in 0..60u64 {
            let after = step * 211_000;
            let ready = is_ready(&mut books, now + Duration::from_micros(after));
            if ready {
                prop_assert!(history.has_room(&calls, restart + after + SLACK), "too much after {after} us");
            } else if whole > 4 {
                // Rounding to ticks apart, nothing is given up.
                prop_assert!(!history.has_room(&calls, (restart + after).saturating_sub(SLACK)), "{after} us: given up");
            }
        }
    }

    #[test]
    fn a_host_that_dies_leaves_a_ledger_that_never_allows_too_much_however_its_clock_was_stepped(
        quotas in quotas(), moves in moves(), lost_us in 0..2_900_000u64, down in 0..20_000_000u64,
        stepped_ms in -100_000i64..5_000,
    ) {
        let history = History::of(&quotas, &moves);
        let died = history.now;
        // All is on disk but what was written in the last moments.
        let kept = history.ends.iter().filter(|(_, at)| *at <= died.saturating_sub(lost_us)).count().max(5);
        let bytes = &history.bytes[..history.ends[kept - 1].0];
        let calls = history.known(usize::MAX);
        let restart = died + down;
        let wall_ms = (WALL_MS + (restart - BASE) / 1_000).saturating_add_signed(stepped_ms);
        let clock = Clock::start(None);
        let now = clock.now();
        let mut books = restore(bytes, &today("another boot", 1_000_000, wall_ms), clock, now);
        prop_assert_eq!(books.memory(KEY.1), None);
        for step in 0..60u64 {
            let after = step * 211_000;
            if is_ready(&mut books, now + Duration::from_micros(after)) {
                prop_assert!(history.has_room(&calls, restart + after + SLACK), "too much after {after} us");
            }
        }
    }
}

fn lines(records: &[Record]) -> Vec<u8> {
    let mut bytes = Vec::new();
    records.iter().for_each(|record| record.write_to(&mut bytes).unwrap());
    bytes
}

fn minute() -> Vec<Record> {
    let log = LogState { units: 60, span_us: 61_061_000, groups: vec![(0, 30)] };
    vec![
        Record::Begin { version: VERSION, boot: BOOT.to_owned() },
        Record::Mark { at: BASE, wall_ms: WALL_MS },
        Record::Policy(policy(&[(60, 60_000)])),
        Record::Pair { pair: 1, service: KEY.0.to_owned(), egress: KEY.1.to_owned() },
        Record::State { pair: 1, at: BASE, state: LedgerState { logs: vec![log], ..LedgerState::default() } },
        Record::Memory { egress: KEY.1.to_owned(), memory: 5 },
    ]
}

#[track_caller]
fn used(bytes: &[u8], today: &Today) -> (u32, Option<u64>) {
    let clock = Clock::start(None);
    let now = clock.now();
    let mut books = restore(bytes, today, clock, now);
    let memory = books.memory(KEY.1);
    let Some(gate) = books.gates.values_mut().next() else { return (0, memory) };
    (gate.ledger.used(&gate.limits(), 0, now), memory)
}

#[test]
fn what_another_boot_costs_is_a_shortest_window_unless_the_stop_was_orderly() {
    let mut records = minute();
    let later = |boot: &str, secs: u64| today(boot, BASE + secs * 1_000_000, WALL_MS + secs * 1_000);
    assert_eq!(used(&lines(&records), &later(BOOT, 10)), (30, Some(5)));
    assert_eq!(used(&lines(&records), &later("another", 10)), (90, None));
    assert_eq!(used(&lines(&records), &later("another", 70)), (60, None), "30 are over, 60 may be");
    records.push(Record::Closed { at: BASE });
    assert_eq!(used(&lines(&records), &later("another", 10)), (30, None));
    assert_eq!(used(&lines(&records), &later("another", 70)), (0, None));
    assert_eq!(used(&lines(&records), &today("another", 0, WALL_MS - 1)), (30, None), "the clock went back");
}

#[test]
fn damage_costs_the_memory_and_damage_at_the_head_all_of_it() {
    let bytes = lines(&minute());
    let today = today(BOOT, BASE + 1_000_000, WALL_MS + 1_000);
    let mut tail = bytes.clone();
    let place = tail.len() - 5;
    tail[place] ^= 1;
    assert_eq!(used(&tail, &today), (90, None));
    let mut head = bytes;
    head[12] ^= 1;
    assert_eq!(used(&head, &today), (0, None));
    assert_eq!(used(b"", &today), (0, None));
}
