//! Each kind at its edges, then all kinds against a twin that recounts everything from the list of arrivals.

use super::*;
use proptest::prelude::*;

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Offers calls at the given nanoseconds; `true` is let in.
#[track_caller]
fn check(limit: Limit, calls: &[(u64, bool)]) {
    let origin = Instant::now();
    let mut counter = Counter::new(limit, origin);
    for (n, (at, admitted)) in calls.iter().enumerate() {
        assert_eq!(
            counter.admit(origin + Duration::from_nanos(*at)),
            *admitted,
            "call {n} at {at} ns of {limit:?}"
        );
    }
}

const SECOND: u64 = 1_000_000_000;

#[test]
fn a_sliding_window_refuses_one_more_until_exactly_its_length_has_passed() {
    let limit = Limit::Sliding { units: 2, per: ms(1_000) };
    check(
        limit,
        &[(5, true), (6, true), (7, false), (SECOND + 4, false), (SECOND + 5, true), (SECOND + 5, false)],
    );
}

#[test]
fn a_sliding_window_forgets_each_call_by_itself() {
    let limit = Limit::Sliding { units: 2, per: ms(1_000) };
    check(
        limit,
        &[(0, true), (SECOND / 2, true), (SECOND, true), (SECOND, false), (SECOND + SECOND / 2, true)],
    );
}

#[test]
fn a_fixed_window_is_full_until_its_boundary_and_empty_at_it() {
    let limit = Limit::Fixed { units: 2, per: ms(1_000), phase: ms(250) };
    let edge = SECOND / 4;
    check(
        limit,
        &[(0, true), (edge - 1, true), (edge - 1, false), (edge, true), (edge, true), (edge, false)],
    );
    check(limit, &[(edge, true), (edge, true), (edge + SECOND - 1, false), (edge + SECOND, true)]);
}

#[test]
fn a_fixed_window_lets_twice_its_units_in_around_a_boundary() {
    let limit = Limit::Fixed { units: 3, per: ms(1_000), phase: Duration::ZERO };
    let last = SECOND - 1;
    check(limit, &[(last, true), (last, true), (last, true), (last, false)]);
    check(limit, &[(last, true), (last, true), (last, true), (SECOND, true), (SECOND, true), (SECOND, true)]);
}

#[test]
fn a_token_bucket_is_spent_then_refills_one_token_per_interval() {
    let limit = Limit::TokenBucket { burst: 3, units: 3, per: ms(1_000) };
    let third = SECOND.div_ceil(3);
    check(
        limit,
        &[(0, true), (0, true), (0, true), (0, false), (third - 1, false), (third, true), (third, false)],
    );
}

#[test]
fn a_token_bucket_never_holds_more_than_its_burst() {
    let limit = Limit::TokenBucket { burst: 2, units: 100, per: ms(1_000) };
    let later = 60 * SECOND;
    check(limit, &[(later, true), (later, true), (later, false)]);
}

#[test]
fn two_buckets_remember_the_share_of_the_previous_window_still_in_sight() {
    let limit = Limit::TwoBucket { units: 4, per: ms(1_000) };
    let full = [(0, true), (0, true), (0, true), (0, true), (0, false), (SECOND, false)];
    check(limit, &full);
    let (quarter, half) = (SECOND / 4, SECOND / 2);
    // A quarter of the previous window out of sight leaves room for one of its four calls.
    let edge = SECOND + quarter;
    check(
        limit,
        &[&full[..], &[(edge - 1, false), (edge, true), (edge, false), (SECOND + half, true)]].concat(),
    );
}

#[test]
fn two_buckets_forget_a_window_that_is_two_back() {
    let limit = Limit::TwoBucket { units: 2, per: ms(1_000) };
    check(limit, &[(0, true), (0, true), (2 * SECOND, true), (2 * SECOND, true), (2 * SECOND, false)]);
}

#[test]
fn peek_tells_how_many_are_in_the_window_and_changes_nothing() {
    let origin = Instant::now();
    let mut counter = Counter::new(Limit::Sliding { units: 5, per: ms(100) }, origin);
    for at in [0, 10, 20] {
        assert!(counter.admit(origin + ms(at)));
    }
    assert_eq!([99, 100, 110, 119, 120, 20].map(|at| counter.peek(origin + ms(at))), [3, 2, 1, 1, 0, 3]);
}

#[test]
fn a_clock_that_steps_back_opens_nothing() {
    let origin = Instant::now();
    let mut counter = Counter::new(Limit::Sliding { units: 1, per: ms(100) }, origin);
    assert!(counter.admit(origin + ms(50)));
    assert!(!counter.admit(origin));
    assert!(!counter.admit(origin + ms(149)));
    assert!(counter.admit(origin + ms(150)));
}

#[test]
fn a_call_refused_by_one_limit_spends_nothing_of_the_others() {
    let origin = Instant::now();
    let limits = [Limit::Sliding { units: 1, per: ms(10) }, Limit::Sliding { units: 3, per: ms(1_000) }];
    let mut both = Counters::new(&limits, false, origin);
    assert!(both.admit(origin));
    assert!(!both.admit(origin + ms(1)));
    assert_eq!(both.peek(origin + ms(1)), [1, 1]);
    assert!(both.admit(origin + ms(10)) && both.admit(origin + ms(20)));
    assert!(!both.admit(origin + ms(30)), "the long window is full");
}

#[test]
fn where_refused_calls_count_knocking_keeps_the_door_shut() {
    let origin = Instant::now();
    let mut strict = Counters::new(&[Limit::Sliding { units: 2, per: ms(100) }], true, origin);
    assert!(strict.admit(origin) && strict.admit(origin));
    assert!((1..30).all(|n| !strict.admit(origin + ms(n * 40))));
    assert!(strict.admit(origin + ms(29 * 40 + 100)));
}

#[test]
fn where_refused_calls_count_they_take_what_is_left_of_a_token() {
    let origin = Instant::now();
    let mut strict = Counters::new(&[Limit::TokenBucket { burst: 1, units: 1, per: ms(100) }], true, origin);
    assert!(strict.admit(origin));
    assert!(!strict.admit(origin + ms(99)));
    assert!(!strict.admit(origin + ms(198)));
    assert!(strict.admit(origin + ms(298)));
}

/// Every call offered so far, and whether it counts; nothing is ever thrown away.
struct Twin {
    limit: Limit,
    counted: Vec<u64>,
}

impl Twin {
    /// Milliseconds only, and every question is answered from the whole list.
    fn fits(&self, now: u64) -> bool {
        let within = |from: i128, to: i128| {
            self.counted.iter().filter(|at| (from..to).contains(&i128::from(**at))).count() as i128
        };
        let t = i128::from(now);
        let length = |per: Duration| per.as_millis() as i128;
        match self.limit {
            Limit::Sliding { units, per } => within(t - length(per) + 1, t + 1) < i128::from(units),
            Limit::Fixed { units, per, phase } => {
                let mut start = length(phase) - 1_000 * length(per);
                while start + length(per) <= t {
                    start += length(per);
                }
                within(start, start + length(per)) < i128::from(units)
            }
            Limit::TwoBucket { units, per } => {
                let mut start = 0;
                while start + length(per) <= t {
                    start += length(per);
                }
                let previous = within(start - length(per), start) * (start + length(per) - t);
                let current = within(start, start + length(per)) * length(per);
                previous + current + length(per) <= i128::from(units) * length(per)
            }
            // A bucket that starts full is the promise: in any stretch, at most burst + rate * its length.
            Limit::TokenBucket { burst, units, per } => self.counted.iter().chain([&now]).all(|first| {
                let calls = within(i128::from(*first), t + 1) + 1;
                let length_of_stretch = t - i128::from(*first);
                calls * length(per) <= i128::from(burst) * length(per) + i128::from(units) * length_of_stretch
            }),
        }
    }
}

fn limits() -> impl Strategy<Value = Limit> {
    let (units, per) = (1u32..6, (1u64..60).prop_map(ms));
    prop_oneof![
        (units.clone(), per.clone(), 0u64..100).prop_map(|(units, per, phase)| Limit::Fixed {
            units,
            per,
            phase: ms(phase)
        }),
        (units.clone(), per.clone()).prop_map(|(units, per)| Limit::Sliding { units, per }),
        (units.clone(), units.clone(), per.clone()).prop_map(|(burst, units, per)| Limit::TokenBucket {
            burst,
            units,
            per
        }),
        (units, per).prop_map(|(units, per)| Limit::TwoBucket { units, per }),
    ]
}

proptest! {
    #[test]
    fn every_decision_is_the_one_a_full_recount_makes(
        limits in prop::collection::vec(limits(), 1..4),
        gaps in prop::collection::vec(prop_oneof![Just(0u64), 0u64..4, 0u64..70], 1..150),
        count_refused: bool,
    ) {
        // The bucket's recount knows admitted calls only.
        let has_bucket = limits.iter().any(|limit| matches!(limit, Limit::TokenBucket { .. }));
        let count_refused = count_refused && !has_bucket;
        let origin = Instant::now();
        let mut counters = Counters::new(&limits, count_refused, origin);
        let mut twins: Vec<Twin> = limits.iter().map(|limit| Twin { limit: *limit, counted: Vec::new() }).collect();
        let mut now = 0;
        for gap in gaps {
            now += gap;
            let expected = twins.iter().all(|twin| twin.fits(now));
            prop_assert_eq!(counters.admit(origin + ms(now)), expected, "at {} ms", now);
            if expected || count_refused {
                twins.iter_mut().for_each(|twin| twin.counted.push(now));
            }
        }
    }
}
