//! Corners: each of these fails when one comparison, one rounding or one clamp of the ledger is left out.

use super::*;

const DAY: u64 = 86_400_000;

fn told(limits: &Limits, groups: &[(i64, u32)]) -> Snapshot {
    let window = limits.windows[0];
    let log = LogSnapshot { units: window.units, span: window.span(), groups: groups.to_vec() };
    Snapshot { logs: vec![log], ..Snapshot::default() }
}

#[test]
fn a_unit_is_back_at_the_very_instant_named() {
    let limits = sliding(&[(2, 1_000)]);
    let mut ledger = Ledger::default();
    ledger.spend(&limits, 2, at(0), at(0));
    let then = when(&ledger, &limits, at(1)).expect("nothing is in flight");
    assert_eq!(ledger.used(&limits, 0, then), 0);
    assert_eq!(ledger.used(&limits, 0, then.before(Duration::from_micros(1))), 2);
    assert_eq!(ledger.resets_at(&limits, 0, at(1)), then);
    assert_eq!(ledger.resets_at(&limits, 0, at(2_000)), at(2_000), "never in the past");
    assert!(!ledger.shed(&limits, then.before(Duration::from_micros(1))) && ledger.shed(&limits, then));
}

#[test]
fn calls_half_a_span_apart_do_not_share_a_group() {
    let limits = sliding(&[(1_000, 60_000)]);
    let mut ledger = Ledger::default();
    ledger.spend(&limits, 10, at(0), at(0));
    ledger.spend(&limits, 10, at(30_000), at(30_000));
    assert_eq!(ledger.used(&limits, 0, at(62_000)), 10);
}

#[test]
fn hostile_ages_are_clamped_sorted_and_emptied() {
    let limits = sliding(&[(3, 1_000)]);
    let latest = at(0) + limits.timeout + limits.linger + limits.windows[0].span() + Duration::from_micros(8);
    let mut ledger = Ledger::default();
    ledger.merge(&limits, &told(&limits, &[(i64::MIN, 3)]), at(0));
    assert!(when(&ledger, &limits, at(0)).is_some_and(|then| then <= latest));
    let mut ledger = Ledger::default();
    ledger.merge(&limits, &told(&limits, &[(-1_000_000_000, 3)]), at(0));
    assert!(when(&ledger, &limits, at(0)).is_some_and(|then| then <= latest));
    let mut ledger = Ledger::default();
    ledger.merge(&limits, &told(&limits, &[(900_000, 1), (i64::MAX, 7), (10_000, 2), (0, 0)]), at(0));
    assert_eq!(ledger.used(&limits, 0, at(0)), 3);
    assert_eq!(ledger.used(&limits, 0, at(200)), 2);
    let many: Vec<(i64, u32)> = (0..100_000).map(|n| (n % 1_000, 1)).collect();
    ledger.merge(&limits, &told(&limits, &many), at(0));
    assert!(ledger.snapshot(&limits, at(0)).logs[0].groups.len() <= 32);
}

#[test]
fn what_a_shorter_window_forgot_is_as_young_as_the_checkpoint_allows() {
    let (short, long) = (sliding(&[(5, 1_000)]), sliding(&[(60, 60_000)]));
    let mut ledger = Ledger::default();
    ledger.spend(&short, 5, at(0), at(0));
    // Written down at once, read 20 s later: calls older than a second were forgotten then, not now.
    let gone = Duration::from_secs(20);
    let snapshot = ledger.snapshot(&short, at(0)).aged(gone, gone);
    let mut restored = Ledger::default();
    restored.merge(&long, &snapshot, at(20_000));
    let all_back = restored.resets_at(&long, 0, at(20_000));
    assert!(all_back <= at(0) + long.windows[0].span() + Duration::from_millis(20), "{all_back:?}");
    let last = (at(0) + long.windows[0].span()).before(Duration::from_millis(500));
    let left = restored.used(&long, 0, last);
    assert!(left <= 8, "{left}: 60 unknown ones were a second older than the five (in groups of four)");
}

#[test]
fn the_log_of_the_same_window_is_the_one_that_counts() {
    let limits = sliding(&[(100, 60_000), (10, 60_000)]);
    let mut ledger = Ledger::default();
    (0..10).for_each(|n| ledger.spend(&limits, 1, at(n * 1_000), at(n * 1_000)));
    let mut restored = Ledger::default();
    restored.merge(&limits, &ledger.snapshot(&limits, at(10_000)), at(10_000));
    assert_eq!(
        when(&restored, &limits, at(10_000)),
        when(&ledger, &limits, at(10_000)),
        "exact below 32 units"
    );
}

#[test]
fn rests_are_joined_and_a_hostile_one_ends() {
    let limits = sliding(&[(3, 1_000)]);
    let rest = |left, refusals| Snapshot { rest: Some((left, refusals)), ..Snapshot::default() };
    let mut ledger = Ledger::default();
    ledger.merge(&limits, &rest(10_000, 1), at(0));
    ledger.merge(&limits, &rest(5_000, 3), at(0));
    assert_eq!(ledger.rest().map(|rest| (rest.until, rest.refusals)), Some((at(10_000), 3)));
    ledger.merge(&limits, &rest(u64::MAX, 0), at(0));
    assert!(ledger.rest().is_some_and(|rest| rest.until <= at(0) + LONGEST_NAMED + LONGEST_NAMED / 50));
}

#[test]
fn what_is_spent_ahead_is_spent_no_further_ahead_than_it_can_count() {
    let limits = sliding(&[(1, 1_000)]);
    let mut ledger = Ledger::default();
    ledger.spend(&limits, 1, at(1_000_000), at(0));
    assert!(
        when(&ledger, &limits, at(0))
            .is_some_and(|then| then <= at(3_000) + limits.windows[0].span() + Duration::from_micros(8))
    );
    let mut ledger = Ledger::default();
    ledger.reserve(&limits, at(0));
    ledger.charge_unanswered(&limits, at(10), at(0));
    assert!(
        when(&ledger, &limits, at(10)) >= Some(at(10) + limits.windows[0].span()),
        "never earlier than its end"
    );
}

#[test]
fn a_gap_counts_as_late_as_its_last_call_may() {
    let limits = sliding(&[(1, 1_000)]);
    let mut ledger = Ledger::default();
    ledger.spend_unknown(&limits, 1, at(0));
    assert!(when(&ledger, &limits, at(0)) >= Some(at(3_000) + limits.windows[0].span()));
}

#[test]
fn each_of_two_slots_is_held_past_its_answer() {
    let limits = Limits { concurrency: Some(2), ..sliding(&[(10, 1_000)]) };
    let mut ledger = Ledger::default();
    (0..2).for_each(|_| ledger.reserve(&limits, at(0)));
    ledger.charge(&limits, at(5));
    ledger.charge(&limits, at(20));
    assert_eq!(ledger.ready(&limits, at(20)), Ready::At(at(55)));
    ledger.reserve(&limits, at(55));
    assert_eq!(ledger.ready(&limits, at(55)), Ready::At(at(70)));
}

#[test]
fn nothing_that_still_says_something_is_shed() {
    let limits = Limits { concurrency: Some(2), spacing: Duration::from_secs(9), ..sliding(&[(10, 1)]) };
    let later = at(4_000);
    let check = |change: &dyn Fn(&mut Ledger), now| {
        let mut ledger = Ledger::default();
        change(&mut ledger);
        let before = ledger.ready(&limits, now);
        ledger.shed(&limits, now);
        assert_eq!(ledger.ready(&limits, now), before);
    };
    check(
        &|l| {
            l.refuse(&limits, at(0), None, 0.0, at(0));
        },
        later,
    );
    check(
        &|l| {
            l.refuse(&limits, at(0), None, 0.0, at(0));
            l.reserve(&limits, at(60_000));
        },
        at(60_000),
    );
    check(&|l| (0..3).for_each(|_| l.stumble(at(3_500))), later);
    check(&|l| l.limit_to(0, Duration::from_secs(60), at(0)), later);
    check(
        &|l| {
            l.reserve(&limits, at(0));
            l.refund();
        },
        later,
    );
    let mut ledger = Ledger::default();
    (0..2).for_each(|_| ledger.stumble(at(0)));
    ledger.shed(&limits, at(60_000));
    ledger.stumble(at(60_000));
    assert_eq!(ledger.ready(&limits, at(60_000)), Ready::At(at(64_000)), "the third wait in a row");
    let dense = Limits { spacing: Duration::ZERO, ..limits.clone() };
    let mut ledger = Ledger::default();
    (0..2).for_each(|_| ledger.reserve(&dense, at(0)));
    (0..2).for_each(|_| ledger.charge(&dense, at(0)));
    let before = ledger.ready(&dense, at(10));
    ledger.shed(&dense, at(10));
    assert_eq!(ledger.ready(&dense, at(10)), before);
}

#[test]
fn a_retune_keeps_rests_and_what_is_left() {
    let (old, new) = (sliding(&[(10, 1_000)]), sliding(&[(20, 1_000)]));
    let mut ledger = Ledger::default();
    ledger.refuse(&old, at(0), None, 0.0, at(0));
    ledger.retune(&old, &new, at(10));
    assert_eq!(ledger.ready(&new, at(10)), Ready::At(at(60_000)));
}

#[test]
fn a_log_that_is_charged_again_after_a_wrap_starts_anew() {
    let limits = sliding(&[(2, 1), (2, 1_000)]);
    let mut ledger = Ledger::default();
    ledger.spend(&limits, 2, at(0), at(0));
    for micros in [1u64 << 32, 1 << 33, 3 << 32, 1 << 34] {
        let now = at(0) + Duration::from_micros(micros);
        let mut again = ledger.clone();
        again.spend(&limits, 1, now, now);
        assert_eq!((again.used(&limits, 0, now), again.used(&limits, 1, now)), (1, 1), "{micros}");
    }
}

#[test]
fn a_quota_of_nothing_lets_nothing_through_even_if_never_used() {
    let limits = sliding(&[(0, 1_000)]);
    assert_eq!(Ledger::default().ready(&limits, at(0)), Ready::OnCompletion);
}

#[test]
fn a_shorter_rest_does_not_end_a_longer_one() {
    let limits = sliding(&[(10, 1_000)]);
    let mut ledger = Ledger::default();
    ledger.refuse(&limits, at(0), Some(Duration::from_secs(600)), 0.0, at(0));
    let until = ledger.rest().map(|rest| rest.until);
    ledger.refuse(&limits, at(0), Some(Duration::from_secs(6)), 0.0, at(1));
    ledger.rest_until(at(5), 0, at(2));
    assert_eq!(ledger.rest().map(|rest| rest.until), until);
}

#[test]
fn what_was_left_once_is_forgotten_when_its_time_is_over() {
    let limits = sliding(&[(10, 1_000)]);
    let mut ledger = Ledger::default();
    ledger.limit_to(0, Duration::from_secs(1), at(0));
    ledger.limit_to(5, Duration::from_secs(9), at(2_000));
    (0..5).for_each(|_| ledger.reserve(&limits, at(2_000)));
    assert_eq!(ledger.ready(&limits, at(2_000)), Ready::At(at(11_000)));
}

#[test]
fn the_instant_named_for_a_lead_of_odd_nanoseconds_is_free() {
    let limits = Limits { spacing: Duration::from_nanos(333_333_333), ..sliding(&[(9, 1_000)]) };
    let lead = Duration::from_nanos(100_000_999);
    let mut ledger = Ledger::default();
    ledger.reserve(&limits, at(0));
    let Ready::At(then) = ledger.ready_ahead(&limits, lead, at(1)) else { panic!("spaced") };
    assert_eq!(ledger.ready_ahead(&limits, lead, then), Ready::Now);
    ledger.charge(&limits, at(390));
    assert_eq!(ledger.ready_ahead(&limits, lead, at(400)), Ready::Now);
}

#[test]
fn ten_seconds_are_long_and_a_bucket_that_holds_no_call_stops() {
    assert_eq!(sliding(&[(1, 10_000)]).windows[0].span(), Duration::from_millis(11_011));
    let quota = Quota { burst: Some(2), ..Quota::new(5, Duration::from_secs(1)) };
    let terms = Terms { quotas: vec![quota], cost: 3, ..terms(&[], Counting::TokenBucket) };
    assert_eq!(terms.quotas_in_calls()[0].units, 0);
    let limits = terms.limits();
    assert_eq!(Ledger::default().ready(&limits, at(0)), Ready::OnCompletion);
}

#[test]
fn groups_are_as_large_as_the_quota_allows() {
    let limits = sliding(&[(62, 60_000)]);
    let mut ledger = Ledger::default();
    (0..62).for_each(|n| ledger.spend(&limits, 1, at(n * 100), at(n * 100)));
    // Two calls to a group: every second one leaves by itself with its neighbour.
    for pairs in 0..31u64 {
        let now = at((pairs * 2 + 1) * 100) + limits.windows[0].span() + Duration::from_micros(20);
        assert_eq!(u64::from(ledger.used(&limits, 0, now)), 62 - 2 * (pairs + 1));
    }
}

#[test]
fn groups_that_are_joined_are_as_young_as_their_youngest_and_the_cheapest_are_joined() {
    // 40 groups of 33: eight have to be joined.
    let limits = sliding(&[(1_000, 60_000)]);
    let span = limits.windows[0].span();
    let mut ledger = Ledger::default();
    // The first ten lie close together; what joins any others delays 33 calls by a second.
    let times: Vec<Instant> = (0..40).map(|n| at(if n < 10 { n } else { n * 1_000 })).collect();
    times.iter().for_each(|time| ledger.spend(&limits, 33, *time, *time));
    for ms in 60_000..101_500 {
        let now = at(ms);
        let live = 33 * times.iter().filter(|time| **time + span > now).count() as u32;
        let used = ledger.used(&limits, 0, now);
        assert!(used >= live, "{used} of {live} are known");
        let near = now.before(Duration::from_millis(12));
        let lately = 33 * times.iter().filter(|time| **time + span > near).count() as u32;
        assert!(used <= lately, "{used} are held of {lately} that were live 12 ms ago");
    }
}

#[test]
fn a_large_charge_on_a_filled_log_is_not_forgotten() {
    let limits = sliding(&[(1_000_000, DAY)]);
    let mut ledger = Ledger::default();
    // One call every 47 minutes: each a group of its own.
    for n in 0..30 {
        ledger.spend(&limits, 1, at(n * 47 * 60_000), at(n * 47 * 60_000));
    }
    let now = at(30 * 47 * 60_000);
    ledger.spend_unknown(&limits, 1_000_000, now);
    let used = ledger.used(&limits, 0, now);
    assert!(used >= 1_000_000, "{used} of 1,000,000 are still known");
}

#[test]
fn a_trickle_after_a_large_charge_frees_none_of_it() {
    let limits = sliding(&[(200_000, DAY)]);
    let mut ledger = Ledger::default();
    ledger.spend(&limits, 200_000, at(0), at(0));
    for n in 1..=40 {
        let now = at(n * 20 * 60_000);
        ledger.spend(&limits, 6_500, now, now);
    }
    // 800 min later all 200,000 + 40 * 6,500 are live.
    let used = ledger.used(&limits, 0, at(41 * 20 * 60_000));
    assert!(used >= 460_000, "{used}");
}

#[test]
fn a_later_word_on_what_is_left_does_not_loosen_an_earlier_one() {
    let limits = sliding(&[(10, 1_000)]);
    let mut ledger = Ledger::default();
    ledger.limit_to(1, Duration::from_secs(86_400), at(0));
    // What the coordinator says when an agent gives a grant back: not before 200 ms.
    ledger.limit_to(0, Duration::from_millis(200), at(10));
    ledger.reserve(&limits, at(210));
    ledger.charge(&limits, at(215));
    assert_eq!(ledger.ready(&limits, at(220)), Ready::At(at(86_400_000)), "the day's last call was used");
}

#[test]
fn an_answered_call_does_not_wait_for_an_unanswered_one() {
    let terms = Terms { linger: Duration::from_secs(3_600), ..terms(&[(1_000, 60_000)], Counting::Sliding) };
    let limits = terms.limits();
    let mut ledger = Ledger::default();
    ledger.reserve(&limits, at(0));
    ledger.charge_unanswered(&limits, at(0), at(3_600_000));
    for n in 0..32 {
        ledger.reserve(&limits, at(n));
        ledger.charge(&limits, at(n));
    }
    assert_eq!(ledger.used(&limits, 0, at(120_000)), 1, "32 answered calls are over a minute later");
}

#[test]
fn two_changes_of_a_quota_forget_nothing() {
    let (first, second, third) =
        (sliding(&[(1_000, 60_000)]), sliding(&[(1, 60_000)]), sliding(&[(1_000, 3_600_000)]));
    let mut ledger = Ledger::default();
    ledger.spend(&first, 1_000, at(0), at(0));
    ledger.retune(&first, &second, at(1_000));
    ledger.retune(&second, &third, at(120_000));
    assert!(ledger.used(&third, 0, at(120_000)) >= 1_000, "{}", ledger.used(&third, 0, at(120_000)));
}

#[test]
fn a_refund_gives_back_what_the_remote_said_is_left() {
    let limits = sliding(&[(10, 1_000)]);
    let mut ledger = Ledger::default();
    ledger.limit_to(1, Duration::from_secs(86_400), at(0));
    ledger.reserve(&limits, at(0));
    ledger.refund();
    assert_eq!(ledger.ready(&limits, at(1)), Ready::Now, "nothing left the host");
}

#[test]
fn a_charge_that_is_told_late_does_not_shorten_memory() {
    let limits = Terms {
        timeout: Duration::from_secs(1),
        linger: Duration::ZERO,
        ..terms(&[(1, 60_000)], Counting::Sliding)
    }
    .limits();
    let mut ledger = Ledger::default();
    ledger.spend(&limits, 1, at(20_000), at(20_000));
    // The agent books a call when its task is scheduled, as of the instant at which it ended.
    ledger.spend(&limits, 0, at(10_000), at(10_000));
    let then = at(20_000 + 61_000);
    let later = at(10_000 + 1_000 + 61_061 + 1_000);
    assert!(later < then, "{later:?} {then:?}");
    assert_ne!(ledger.ready(&limits, later), Ready::Now);
}

#[test]
fn spacing_is_kept_when_calls_are_handed_out_early() {
    // 5 a second of a careful counting: sends 250.5 ms apart.
    let limits = terms(&[(5, 1_000)], Counting::TwoBucket).limits();
    let lead = Duration::from_millis(200);
    let mut ledger = Ledger::default();
    let mut handed = Vec::new();
    let mut now = at(0);
    while handed.len() < 4 {
        match ledger.ready_ahead(&limits, lead, now) {
            Ready::Now => {
                ledger.reserve(&limits, now);
                handed.push(now);
            }
            Ready::At(then) => now = then,
            Ready::OnCompletion => unreachable!(),
        }
    }
    let span = handed[3].since(handed[0]);
    assert!(span >= limits.spacing * 3 - lead, "4 calls handed out within {span:?}");
}

#[test]
fn a_snapshot_keeps_what_the_remote_said_is_left() {
    let limits = sliding(&[(10, 1_000)]);
    let mut ledger = Ledger::default();
    ledger.limit_to(0, Duration::from_secs(86_400), at(0));
    let mut restored = Ledger::default();
    restored.merge(&limits, &ledger.snapshot(&limits, at(10)), at(10));
    assert_ne!(
        restored.ready(&limits, at(10)),
        Ready::Now,
        "another start asks the service that said: none left today"
    );
}

#[test]
fn a_snapshot_keeps_the_spacing() {
    let limits = terms(&[(5, 60_000)], Counting::TwoBucket).limits();
    let mut ledger = Ledger::default();
    ledger.reserve(&limits, at(0));
    ledger.charge(&limits, at(10));
    let mut restored = Ledger::default();
    restored.merge(&limits, &ledger.snapshot(&limits, at(20)), at(20));
    assert!(when(&restored, &limits, at(20)) >= when(&ledger, &limits, at(20)));
}

/// Whatever happens, a ledger never knows of fewer live calls than a list of all of them.
mod exact {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Do {
        Charge(u32),
        /// As of so many parts in 100 of time-out and linger from now.
        Ahead(u32, u64),
        Pass(u64),
        Restart,
        Shed,
    }

    fn doing(small: bool) -> impl Strategy<Value = Do> {
        let count = move || {
            if small {
                (1u32..4).boxed()
            } else {
                prop_oneof![8 => 0u32..3, 3 => 20..40u32, 1 => 100..900u32].boxed()
            }
        };
        prop_oneof![
            8 => count().prop_map(Do::Charge),
            2 => (count(), 0..100u64).prop_map(|(n, part)| Do::Ahead(n, part)),
            8 => (0..80u64).prop_map(Do::Pass),
            1 => (80..1_500u64).prop_map(Do::Pass),
            1 => Just(Do::Restart),
            1 => Just(Do::Shed),
        ]
    }

    /// Per mille of the units are charged; the list of all calls is the referee.
    fn check(units: u32, span: u64, late: u64, acts: Vec<Do>, scale: bool) -> Result<(), TestCaseError> {
        let terms = Terms {
            timeout: Duration::from_millis(late),
            linger: Duration::ZERO,
            ..terms(&[(units, span)], Counting::Sliding)
        };
        let limits = terms.limits();
        let exact_span = limits.windows[0].span();
        let mut ledger = Ledger::default();
        let mut calls: Vec<(Instant, u32)> = Vec::new();
        let mut now = at(0);
        let part = |n: u32| if scale { (u64::from(units) * u64::from(n) / 1_000).max(1) as u32 } else { n };
        for act in acts {
            // 65,535 in every second group: beyond that calls are lost whatever is joined.
            let known: u64 =
                calls.iter().filter(|call| call.0 + exact_span > now).map(|call| u64::from(call.1)).sum();
            let act = match act {
                Do::Charge(n) | Do::Ahead(n, _) if known + u64::from(part(n)) > 1_048_000 => Do::Pass(1),
                act => act,
            };
            match act {
                Do::Charge(n) => {
                    ledger.spend(&limits, part(n), now, now);
                    calls.push((now, part(n)));
                }
                Do::Ahead(n, of) => {
                    let then = now + Duration::from_millis(late * of / 100);
                    ledger.spend(&limits, part(n), then, now);
                    calls.push((then, part(n)));
                }
                // In parts of 1,000 of the span.
                Do::Pass(n) => now = now + Duration::from_micros(span * n),
                Do::Restart => {
                    let told = ledger.snapshot(&limits, now);
                    ledger = Ledger::default();
                    ledger.merge(&limits, &told, now);
                }
                Do::Shed => {
                    ledger.shed(&limits, now);
                }
            }
            let live: u64 =
                calls.iter().filter(|call| call.0 + exact_span > now).map(|call| u64::from(call.1)).sum();
            let used = u64::from(ledger.used(&limits, 0, now));
            prop_assert!(
                used >= if scale { live.min(u64::from(units)) } else { live },
                "{} of {} live are known",
                used,
                live
            );
            // A call is ready only once there is room by the exact list.
            if let Ready::At(then) = ledger.ready(&limits, now) {
                let live: u64 = calls
                    .iter()
                    .filter(|call| call.0 + exact_span > then)
                    .map(|call| u64::from(call.1))
                    .sum();
                prop_assert!(live < u64::from(units));
                prop_assert_eq!(ledger.ready(&limits, then), Ready::Now);
            } else {
                prop_assert!(live < u64::from(units));
            }
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(super::super::properties::cases())]
        #[test]
        fn below_a_list_of_every_call_is_nothing(units in prop_oneof![1u32..40, 30u32..2_000], span in 1u64..100_000, late in 0u64..200_000, acts in prop::collection::vec(doing(true), 1..300)) {
            check(units, span, late, acts, false)?;
        }

        #[test]
        fn not_with_large_quotas_either(units in prop_oneof![1_000u32..65_000, 60_000u32..1_000_001], span in 1u64..100_000_000, late in 0u64..3_600_000, acts in prop::collection::vec(doing(false), 1..150)) {
            check(units, span, late, acts, true)?;
        }
    }
}
