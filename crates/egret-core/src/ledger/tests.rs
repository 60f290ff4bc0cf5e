//! The ledger against remotes written apart from it: lists of arrivals, counted again for each call.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::quota::{Counting, Quota, Terms};

fn terms(quotas: &[(u32, u64)], counting: Counting) -> Terms {
    let quota =
        |(units, ms): &(u32, u64)| Quota { units: *units, per: Duration::from_millis(*ms), burst: None };
    Terms {
        quotas: quotas.iter().map(quota).collect(),
        counting,
        concurrency: None,
        cool_down: Duration::from_secs(60),
        max_cool_down: Duration::from_secs(24 * 3600),
        timeout: Duration::from_secs(2),
        linger: Duration::from_secs(1),
    }
}

fn at(ms: u64) -> Instant {
    Instant::from_micros(ms * 1_000)
}

/// What the network does to one call, in milliseconds.
#[derive(Clone, Copy, Debug)]
struct Call {
    idle: u64,
    forth: u64,
    back: u64,
    answered: bool,
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let call = (0..400u64, 0..300u64, 0..300u64, prop::bool::weighted(0.95), prop::bool::weighted(0.7))
        .prop_map(|(idle, forth, back, answered, busy)| Call {
            idle: if busy { 0 } else { idle },
            forth,
            back,
            answered,
        });
    prop::collection::vec(call, 1..120)
}

/// Sends the calls as early as the ledger allows and returns when each arrives at the remote, in µs.
fn run(limits: &Limits, calls: &[Call]) -> Vec<u64> {
    let mut ledger = Ledger::default();
    let mut ends: BTreeMap<(Instant, usize), bool> = BTreeMap::new();
    let mut arrivals = Vec::new();
    let mut now = at(5_000);
    for (index, call) in calls.iter().enumerate() {
        now = now + Duration::from_millis(call.idle);
        loop {
            while let Some(((end, _), answered)) =
                ends.first_key_value().map(|(k, v)| (*k, *v)).filter(|e| e.0.0 <= now)
            {
                ends.pop_first();
                if answered {
                    ledger.charge(limits, end);
                } else {
                    ledger.charge_unanswered(limits, end, end + limits.linger);
                }
            }
            match ledger.ready(limits, now) {
                Ready::Now => break,
                Ready::At(then) => now = ends.first_key_value().map_or(then, |(k, _)| k.0.min(then)).max(now),
                Ready::OnCompletion => now = ends.first_key_value().expect("something is in flight").0.0,
            }
        }
        ledger.reserve(now);
        // Unanswered calls may arrive as late as the time-out and the linger say.
        let forth = if call.answered { call.forth } else { call.forth * 10 };
        arrivals.push((now + Duration::from_millis(forth)).as_micros());
        let end = if call.answered {
            now + Duration::from_millis(call.forth + call.back)
        } else {
            now + limits.timeout
        };
        ends.insert((end, index), call.answered);
    }
    arrivals.sort_unstable();
    arrivals
}

/// Refusals by a strict sliding log: more than `units` arrivals within `per`, ends excluded.
fn sliding_refusals(arrivals: &[u64], units: u32, per_ms: u64) -> usize {
    let over = |(i, a): (usize, &u64)| {
        arrivals[..=i].iter().filter(|b| **b + per_ms * 1_000 > *a).count() > units as usize
    };
    arrivals.iter().enumerate().filter(|entry| over(*entry)).count()
}

fn fixed_refusals(arrivals: &[u64], units: u32, per_ms: u64, phase_ms: u64) -> usize {
    let mut counts = BTreeMap::<u64, u32>::new();
    arrivals.iter().for_each(|a| *counts.entry((a + phase_ms * 1_000) / (per_ms * 1_000)).or_default() += 1);
    counts.values().map(|n| n.saturating_sub(units) as usize).sum()
}

fn bucket_refusals(arrivals: &[u64], units: u32, per_ms: u64) -> usize {
    let (mut tokens, mut last, mut refused) = (f64::from(units), 0, 0);
    for arrival in arrivals {
        tokens = (tokens + (arrival - last) as f64 * f64::from(units) / (per_ms as f64 * 1e3))
            .min(f64::from(units));
        last = *arrival;
        if tokens >= 1.0 - 1e-9 { tokens -= 1.0 } else { refused += 1 }
    }
    refused
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_sliding_or_fixed_window_ever_holds_more_than_its_units(
        calls in calls(), units in 1u32..8, per in 100u64..3_000, long in 1u32..30, phase in 0u64..3_000,
    ) {
        let limits = terms(&[(units, per), (long, per * 5)], Counting::Sliding).limits();
        let arrivals = run(&limits, &calls);
        prop_assert_eq!(sliding_refusals(&arrivals, units, per), 0);
        prop_assert_eq!(sliding_refusals(&arrivals, long, per * 5), 0);
        prop_assert_eq!(fixed_refusals(&arrivals, units, per, phase), 0);
    }

    #[test]
    fn a_token_bucket_never_runs_dry(calls in calls(), units in 1u32..8, per in 100u64..3_000) {
        let arrivals = run(&terms(&[(units, per)], Counting::TokenBucket).limits(), &calls);
        prop_assert_eq!(bucket_refusals(&arrivals, units, per), 0);
    }

    #[test]
    fn the_instant_named_is_exact(calls in calls(), units in 1u32..5) {
        let limits = terms(&[(units, 1_000)], Counting::Sliding).limits();
        let mut ledger = Ledger::default();
        let mut now = at(1_000);
        for call in calls {
            now = now + Duration::from_millis(call.idle);
            match ledger.ready(&limits, now) {
                Ready::At(then) => {
                    prop_assert_eq!(ledger.ready(&limits, then), Ready::Now);
                    let sooner = Instant::from_micros(then.as_micros() - 1);
                    prop_assert!(sooner < now || ledger.ready(&limits, sooner) == Ready::At(then));
                    now = then;
                }
                Ready::Now => {}
                Ready::OnCompletion => unreachable!("nothing stays in flight here"),
            }
            ledger.reserve(now);
            ledger.charge(&limits, now);
        }
    }

    #[test]
    fn what_is_restored_is_never_looser_and_merging_is_a_join(
        a in prop::collection::vec(0u64..5_000, 0..12), b in prop::collection::vec(0u64..5_000, 0..12), later in 0u64..6_000,
    ) {
        let limits = terms(&[(4, 1_000), (9, 3_000)], Counting::Sliding).limits();
        let now = at(5_000);
        let ledger = |charges: &[u64]| {
            let mut ledger = Ledger::default();
            charges.iter().for_each(|ms| ledger.spend(&limits, 1, at(*ms), at(*ms)));
            ledger
        };
        let (a, b) = (ledger(&a), ledger(&b));
        let merged = |x: &Ledger, y: &Ledger| {
            let mut x = x.clone();
            x.merge(&limits, &y.snapshot(now), now);
            x
        };
        let (ab, ba) = (merged(&a, &b), merged(&b, &a));
        prop_assert_eq!(ab.snapshot(now), ba.snapshot(now));
        prop_assert_eq!(merged(&ab, &b).snapshot(now), ab.snapshot(now));
        let when = |l: &Ledger| match l.ready(&limits, at(5_000 + later)) { Ready::At(t) => t, _ => Instant::ZERO };
        prop_assert!(when(&ab) >= when(&a).max(when(&b)));
        prop_assert!(when(&merged(&Ledger::default(), &a)) >= when(&a));
    }
}

#[test]
fn all_units_leave_at_once_and_come_back_a_span_after_their_answers() {
    let limits = terms(&[(3, 1_000)], Counting::Sliding).limits();
    let mut ledger = Ledger::default();
    for _ in 0..3 {
        assert_eq!(ledger.ready(&limits, at(0)), Ready::Now);
        ledger.reserve(at(0));
    }
    assert_eq!(ledger.ready(&limits, at(0)), Ready::OnCompletion);
    ledger.charge(&limits, at(40));
    // 1 s, a guard of 1 ms, and one part in a thousand for the clocks.
    assert_eq!(ledger.ready(&limits, at(50)), Ready::At(at(40) + Duration::from_micros(1_002_001)));
    assert_eq!(ledger.used(&limits, 0, at(50)), 3);
}

#[test]
fn a_refund_leaves_no_trace_of_the_unit() {
    let limits = terms(&[(1, 1_000)], Counting::Sliding).limits();
    let mut ledger = Ledger::default();
    ledger.reserve(at(10));
    assert_eq!(ledger.ready(&limits, at(10)), Ready::OnCompletion);
    ledger.refund();
    assert_eq!(ledger.ready(&limits, at(10)), Ready::Now);
}

#[test]
fn concurrency_holds_a_slot_a_little_past_the_answer() {
    let limits = Limits { concurrency: Some(1), ..terms(&[(10, 1_000)], Counting::Sliding).limits() };
    let mut ledger = Ledger::default();
    ledger.reserve(at(0));
    assert_eq!(ledger.ready(&limits, at(1)), Ready::OnCompletion);
    ledger.charge(&limits, at(5));
    assert_eq!(ledger.ready(&limits, at(5)), Ready::At(at(55)));
}

#[test]
fn rests_grow_fivefold_until_a_trial_call_succeeds() {
    let limits = terms(&[(10, 1_000)], Counting::Sliding).limits();
    let mut ledger = Ledger::default();
    let mut now = at(0);
    for secs in [60, 300, 1_500] {
        ledger.reserve(now);
        ledger.charge(&limits, now);
        ledger.refuse(&limits, now, None, 0.0, now);
        assert_eq!(ledger.ready(&limits, now), Ready::At(now + Duration::from_secs(secs)));
        now = now + Duration::from_secs(secs);
    }
    ledger.reserve(now);
    assert_eq!(ledger.ready(&limits, now), Ready::OnCompletion, "only one call tries");
    ledger.charge(&limits, now);
    ledger.recover(now);
    assert_eq!(ledger.ready(&limits, now), Ready::Now);
}

#[test]
fn calls_refused_together_are_one_refusal_and_a_named_time_is_kept_but_clamped() {
    let limits = terms(&[(10, 1_000)], Counting::Sliding).limits();
    let mut ledger = Ledger::default();
    (0..3).for_each(|_| ledger.reserve(at(0)));
    for ms in [10, 11, 12] {
        ledger.charge(&limits, at(ms));
        ledger.refuse(&limits, at(0), None, 0.0, at(ms));
    }
    assert_eq!(ledger.rest().map(|rest| (rest.refusals, rest.until)), Some((1, at(60_010))));
    ledger.refuse(&limits, at(0), Some(Duration::MAX), 0.0, at(20));
    let until = ledger.rest().expect("it rests").until;
    assert!(until <= at(20) + LONGEST_NAMED + LONGEST_NAMED / 50, "{until:?}");
}

#[test]
fn an_unknown_gap_is_charged_with_all_that_its_windows_let_through() {
    let limits = terms(&[(5, 1_000), (1_000, 86_400_000)], Counting::Sliding).limits();
    let mut ledger = Ledger::default();
    ledger.spend_gap(&limits, Duration::from_millis(2_500), at(10_000));
    assert_eq!(ledger.used(&limits, 0, at(10_000)), 15);
    assert_eq!(ledger.used(&limits, 1, at(10_000)), 15);
    ledger.spend_gap(&limits, Duration::from_secs(1_000_000), at(10_000));
    assert_eq!(ledger.used(&limits, 1, at(10_000)), 1_015);
}

#[test]
fn a_quota_that_is_lowered_and_raised_again_finds_what_was_spent() {
    let wide = terms(&[(1_000, 86_400_000)], Counting::Sliding).limits();
    let narrow = terms(&[(100, 86_400_000)], Counting::Sliding).limits();
    let mut ledger = Ledger::default();
    ledger.spend(&wide, 1_000, at(1_000), at(1_000));
    ledger.spend(&narrow, 1, at(2_000), at(2_000));
    let mut restored = Ledger::default();
    restored.merge(&narrow, &ledger.snapshot(at(3_000)), at(3_000));
    assert_eq!((ledger.used(&wide, 0, at(3_000)), restored.used(&wide, 0, at(3_000))), (1_001, 1_001));
}

#[test]
fn a_long_log_fits_into_few_groups_that_are_never_older_than_their_members() {
    let limits = terms(&[(10_000, 86_400_000)], Counting::Sliding).limits();
    let mut ledger = Ledger::default();
    (0..10_000).for_each(|n| ledger.spend(&limits, 1, at(n * 10), at(n * 10)));
    let snapshot = ledger.snapshot(at(100_000));
    assert!(snapshot.charges.len() <= GROUPS, "{}", snapshot.charges.len());
    assert_eq!(snapshot.charges.iter().map(|group| group.1).sum::<u32>(), 10_000);
    let mut restored = Ledger::default();
    restored.merge(&limits, &snapshot, at(100_000));
    let (Ready::At(exact), Ready::At(coarse)) =
        (ledger.ready(&limits, at(100_000)), restored.ready(&limits, at(100_000)))
    else {
        panic!("both are full")
    };
    assert!(coarse >= exact && coarse.since(exact) <= Duration::from_millis(10 * 40), "{exact:?} {coarse:?}");
}

#[test]
fn a_host_that_cannot_send_waits_a_moment_longer_each_time() {
    let limits = terms(&[(5, 1_000)], Counting::Sliding).limits();
    let mut ledger = Ledger::default();
    for (ms, wait) in [(0, 1_000), (1_000, 2_000), (3_000, 4_000)] {
        ledger.reserve(at(ms));
        ledger.stumble(at(ms));
        assert_eq!(ledger.ready(&limits, at(ms)), Ready::At(at(ms + wait)));
    }
    ledger.reserve(at(7_000));
    ledger.charge(&limits, at(7_000));
    assert_eq!(ledger.ready(&limits, at(7_000)), Ready::Now);
}

#[test]
fn a_charge_in_the_future_survives_a_snapshot() {
    let limits = terms(&[(1, 1_000)], Counting::Sliding).limits();
    let mut ledger = Ledger::default();
    ledger.reserve(at(0));
    ledger.charge_unanswered(&limits, at(2_000), at(3_000));
    let mut restored = Ledger::default();
    restored.merge(&limits, &ledger.snapshot(at(2_000)), at(2_000));
    assert_eq!(restored.ready(&limits, at(2_000)), ledger.ready(&limits, at(2_000)));
}
