//! What the ledger claims, one by one; `properties` has the same for random traces.

mod corners;
mod properties;

use super::*;
use crate::quota::{Counting, Quota, Terms};

fn terms(quotas: &[(u32, u64)], counting: Counting) -> Terms {
    let quota = |(units, ms): &(u32, u64)| Quota::new(*units, Duration::from_millis(*ms));
    let (timeout, linger) = (Duration::from_secs(2), Duration::from_secs(1));
    let max_cool_down = Duration::from_secs(24 * 3_600);
    Terms { counting, max_cool_down, timeout, linger, ..Terms::sliding(quotas.iter().map(quota).collect()) }
}

fn sliding(quotas: &[(u32, u64)]) -> Limits {
    terms(quotas, Counting::Sliding).limits()
}

/// Milliseconds after a start that lies far from the clock's origin, as every shell's does.
fn at(ms: u64) -> Instant {
    Instant::from_micros((400 * 24 * 3_600 * 1_000 + ms) * 1_000)
}

/// When one more call may leave, if nothing happens.
fn when(ledger: &Ledger, limits: &Limits, now: Instant) -> Option<Instant> {
    match ledger.ready(limits, now) {
        Ready::Now => Some(now),
        Ready::At(at) => Some(at),
        Ready::OnCompletion => None,
    }
}

#[test]
fn all_units_leave_at_once_and_come_back_a_span_after_their_answers() {
    let limits = sliding(&[(3, 1_000)]);
    let mut ledger = Ledger::default();
    for _ in 0..3 {
        assert_eq!(ledger.ready(&limits, at(0)), Ready::Now);
        ledger.reserve(&limits, at(0));
    }
    assert_eq!(ledger.ready(&limits, at(0)), Ready::OnCompletion);
    ledger.charge(&limits, at(40));
    // 1 s, a guard of 1 ms, and one part in a thousand for the clocks, in ticks of 1 µs.
    assert_eq!(ledger.ready(&limits, at(50)), Ready::At(at(40) + Duration::from_micros(1_002_001)));
    assert_eq!(ledger.used(&limits, 0, at(50)), 3);
}

#[test]
fn whoever_keeps_the_same_ledger_may_be_told_earlier_but_never_out_of_a_rest() {
    let limits = sliding(&[(1, 1_000)]);
    let lead = Duration::from_millis(200);
    let mut ledger = Ledger::default();
    ledger.reserve(&limits, at(0));
    assert_eq!(ledger.ready_ahead(&limits, lead, at(0)), Ready::OnCompletion);
    ledger.charge(&limits, at(0));
    let free_at = at(0) + Duration::from_micros(1_002_001);
    assert_eq!(ledger.ready_ahead(&limits, lead, at(1)), Ready::At(free_at.before(lead)));
    assert_eq!(ledger.ready_ahead(&limits, lead, free_at.before(lead)), Ready::Now);
    ledger.refuse(&limits, at(0), None, 0.0, at(0));
    assert_eq!(ledger.ready_ahead(&limits, lead, at(1)), Ready::At(at(60_000)));
}

#[test]
fn concurrency_holds_a_slot_a_little_past_the_answer() {
    let limits = Limits { concurrency: Some(1), ..sliding(&[(10, 1_000)]) };
    let mut ledger = Ledger::default();
    ledger.reserve(&limits, at(0));
    assert_eq!(ledger.ready(&limits, at(1)), Ready::OnCompletion);
    ledger.charge(&limits, at(5));
    assert_eq!(ledger.ready(&limits, at(5)), Ready::At(at(55)));
}

#[test]
fn rests_grow_fivefold_until_a_trial_call_succeeds() {
    let limits = sliding(&[(10, 1_000)]);
    let mut ledger = Ledger::default();
    let mut now = at(0);
    for secs in [60, 300, 1_500] {
        ledger.reserve(&limits, now);
        ledger.charge(&limits, now);
        let until = ledger.refuse(&limits, now, None, 0.0, now);
        assert_eq!(until, Some(now + Duration::from_secs(secs)));
        assert_eq!(when(&ledger, &limits, now), until);
        now = now + Duration::from_secs(secs);
    }
    ledger.reserve(&limits, now);
    assert_eq!(ledger.ready(&limits, now), Ready::OnCompletion, "only one call tries");
    ledger.charge(&limits, now);
    ledger.recover(now);
    assert_eq!(ledger.ready(&limits, now), Ready::Now);
}

#[test]
fn calls_refused_together_are_one_refusal_and_a_named_time_is_kept_but_clamped() {
    let limits = sliding(&[(10, 1_000)]);
    let mut ledger = Ledger::default();
    (0..3).for_each(|_| ledger.reserve(&limits, at(0)));
    for ms in [10, 11, 12] {
        ledger.charge(&limits, at(ms));
        let news = ledger.refuse(&limits, at(0), None, 0.0, at(ms));
        assert_eq!(news.is_some(), ms == 10);
    }
    assert_eq!(ledger.rest().map(|rest| (rest.refusals, rest.until)), Some((1, at(60_010))));
    ledger.refuse(&limits, at(0), Some(Duration::MAX), 0.0, at(20));
    let rest = ledger.rest().expect("it rests");
    assert!(rest.is_named && rest.until <= at(20) + LONGEST_NAMED + LONGEST_NAMED / 50, "{rest:?}");
}

#[test]
fn what_a_remote_says_is_left_only_ever_tightens() {
    let limits = sliding(&[(10, 1_000)]);
    let mut ledger = Ledger::default();
    ledger.limit_to(3, Duration::from_secs(30), at(0));
    for _ in 0..3 {
        assert_eq!(ledger.ready(&limits, at(0)), Ready::Now);
        ledger.reserve(&limits, at(0));
    }
    assert_eq!(ledger.ready(&limits, at(0)), Ready::At(at(30_000)));
    ledger.limit_to(50, Duration::from_secs(5), at(10));
    ledger.limit_to(0, Duration::from_secs(1), at(20));
    assert_eq!(
        ledger.ready(&limits, at(20)),
        Ready::At(at(30_000)),
        "more left, or sooner, is no reason to hurry"
    );
    assert_eq!(ledger.ready(&limits, at(30_000)), Ready::Now);
    let mut crowded = Ledger::default();
    (0..4).for_each(|_| crowded.reserve(&limits, at(0)));
    crowded.limit_to(4, Duration::MAX, at(0));
    assert_eq!(
        crowded.ready(&limits, at(0)),
        Ready::At(at(0) + LONGEST_NAMED),
        "those under way may come on top"
    );
}

#[test]
fn an_unknown_gap_is_charged_with_all_that_its_windows_let_through() {
    let limits = sliding(&[(5, 1_000), (1_000, 86_400_000)]);
    let mut ledger = Ledger::default();
    let most = |ms| limits.most_in(Duration::from_millis(ms)).expect("there are windows");
    ledger.spend_unknown(&limits, most(2_500), at(10_000));
    assert_eq!(ledger.used(&limits, 0, at(10_000)), 15);
    assert_eq!(ledger.used(&limits, 1, at(10_000)), 15);
    ledger.spend_unknown(&limits, most(1_000_000_000), at(10_000));
    assert_eq!(ledger.used(&limits, 1, at(10_000)), 1_015);
}

#[test]
fn a_quota_that_is_lowered_and_raised_again_finds_what_was_spent() {
    let (wide, narrow) = (sliding(&[(1_000, 86_400_000)]), sliding(&[(100, 86_400_000)]));
    let mut ledger = Ledger::default();
    ledger.spend(&wide, 1_000, at(1_000), at(1_000));
    ledger.retune(&wide, &narrow, at(2_000));
    ledger.spend(&narrow, 1, at(2_000), at(2_000));
    let mut restored = Ledger::default();
    restored.merge(&narrow, &ledger.snapshot(&narrow, at(3_000)), at(3_000));
    restored.retune(&narrow, &wide, at(3_000));
    assert_eq!((ledger.used(&narrow, 0, at(3_000)), restored.used(&wide, 0, at(3_000))), (1_001, 1_001));
}

#[test]
fn a_longer_window_takes_what_its_predecessor_forgot_as_spent() {
    let (short, long) = (sliding(&[(5, 1_000)]), sliding(&[(60, 60_000)]));
    let mut ledger = Ledger::default();
    ledger.spend(&short, 5, at(0), at(0));
    ledger.retune(&short, &long, at(0));
    assert_eq!(ledger.used(&long, 0, at(0)), 65, "nobody knows what was allowed before");
    assert_eq!(ledger.used(&long, 0, at(61_062)), 0);
}

/// Found by comparing with a log of every call: the odd one of 31 waited in its group of two for the next burst, which
/// came a window later, and lost a unit of every window.
#[test]
fn a_call_left_over_from_a_burst_does_not_wait_for_the_next_one() {
    let limits = sliding(&[(32, 1_000)]);
    let mut ledger = Ledger::default();
    (0..31).for_each(|_| ledger.spend(&limits, 1, at(0), at(0)));
    ledger.spend(&limits, 1, at(999), at(999));
    assert_eq!(ledger.used(&limits, 0, at(1_003)), 1);
}

/// Found by random changes of quotas: calls that had left the short window were unknown to the long one.
#[test]
fn a_longer_window_takes_as_spent_what_a_log_that_is_empty_now_may_have_held() {
    let (short, long) = (sliding(&[(1, 1_000)]), sliding(&[(43, 4_000)]));
    let mut ledger = Ledger::default();
    ledger.spend(&short, 1, at(0), at(0));
    ledger.retune(&short, &long, at(2_000));
    assert_eq!(ledger.used(&long, 0, at(2_000)), 43);
    assert_eq!(ledger.used(&long, 0, at(5_100)), 0, "the last of it may have been answered at 1 s");
}

/// Found by merging three random ledgers: ages in whole milliseconds made a call younger each time it was told.
#[test]
fn a_ledger_told_again_and_again_stays_what_it_is() {
    let limits = sliding(&[(110, 3_683), (4, 1_130)]);
    let mut ledger = Ledger::default();
    ledger.spend(&limits, 3, at(7), at(7));
    ledger.spend(&limits, 4, at(1_100), at(100));
    let told = ledger.snapshot(&limits, at(101));
    for _ in 0..20 {
        let mut next = Ledger::default();
        next.merge(&limits, &ledger.snapshot(&limits, at(101)), at(101));
        ledger = next;
    }
    assert_eq!(ledger.snapshot(&limits, at(101)), told);
}

#[test]
fn a_long_log_fits_into_32_groups_that_are_never_older_than_their_members() {
    let limits = sliding(&[(10_000, 86_400_000)]);
    let mut ledger = Ledger::default();
    (0..10_000).for_each(|n| ledger.spend(&limits, 1, at(n * 1_000), at(n * 1_000)));
    let now = at(10_000_000);
    let snapshot = ledger.snapshot(&limits, now);
    assert!(snapshot.logs[0].groups.len() <= 32, "{}", snapshot.logs[0].groups.len());
    assert_eq!(snapshot.logs[0].groups.iter().map(|group| group.1).sum::<u32>(), 10_000);
    let exact = at(0) + limits.windows[0].span();
    let coarse = when(&ledger, &limits, now).expect("nothing is in flight");
    // 10,000 / 31, rounded up, are 323 in a group.
    assert!(coarse >= exact && coarse.since(exact) <= Duration::from_secs(323), "{exact:?} {coarse:?}");
}

#[test]
fn more_than_a_log_can_hold_is_still_more_than_any_quota() {
    let limits = sliding(&[(1_000_000, 86_400_000)]);
    let mut ledger = Ledger::default();
    (0..40).for_each(|n| ledger.spend(&limits, 100_000, at(n), at(n)));
    assert!(ledger.used(&limits, 0, at(50)) > 1_000_000);
    assert!(when(&ledger, &limits, at(50)).is_some_and(|t| t > at(0) + Duration::from_secs(86_400)));
}

#[test]
fn hostile_snapshots_take_little_time_and_no_more_room_than_others() {
    let limits = sliding(&[(10, 1_000), (1_000, 86_400_000)]);
    let log = |groups| LogSnapshot { units: u32::MAX, span: Duration::from_micros(1), groups };
    let hostile = [
        log(vec![(0, u32::MAX)]),
        log(vec![(i64::MIN, u32::MAX), (i64::MAX, u32::MAX), (0, 0)]),
        log((0..100_000).map(|n| (-n, 1)).collect()),
    ];
    for logs in [hostile.to_vec(), vec![hostile[0].clone()], Vec::new()] {
        let told =
            Snapshot { logs, in_flight: u32::MAX, rest: Some((u64::MAX, u32::MAX)), ..Snapshot::default() };
        let mut ledger = Ledger::default();
        ledger.merge(&limits, &told, at(0));
        let told = ledger.snapshot(&limits, at(0));
        assert!(told.logs.iter().all(|log| log.groups.len() <= 32));
        assert_eq!(ledger.ready(&limits, at(30 * 86_400_000)), Ready::Now, "it is over some time");
    }
}

#[test]
fn a_host_that_cannot_send_waits_a_moment_longer_each_time() {
    let limits = sliding(&[(5, 1_000)]);
    let mut ledger = Ledger::default();
    for (ms, wait) in [(0, 1_000), (1_000, 2_000), (3_000, 4_000)] {
        ledger.reserve(&limits, at(ms));
        ledger.refund();
        ledger.stumble(at(ms));
        assert_eq!(ledger.ready(&limits, at(ms)), Ready::At(at(ms + wait)));
    }
    ledger.reserve(&limits, at(7_000));
    ledger.charge(&limits, at(7_000));
    assert_eq!(ledger.ready(&limits, at(7_000)), Ready::Now);
}

#[test]
fn a_charge_in_the_future_survives_a_snapshot() {
    let limits = sliding(&[(1, 1_000)]);
    let mut ledger = Ledger::default();
    ledger.reserve(&limits, at(0));
    ledger.charge_unanswered(&limits, at(2_000), at(3_000));
    let mut restored = Ledger::default();
    restored.merge(&limits, &ledger.snapshot(&limits, at(2_000)), at(2_000));
    assert_eq!(restored.ready(&limits, at(2_000)), ledger.ready(&limits, at(2_000)));
}

#[test]
fn a_ledger_of_three_long_windows_is_at_most_650_bytes() {
    // What the allocator adds to one block: a header, rounded up to 16 bytes.
    let block = (3 * log::RING_BYTES + 8).next_multiple_of(16);
    assert!(size_of::<Ledger>() + block <= 650, "{} + {block}", size_of::<Ledger>());
}

#[test]
fn only_windows_of_more_than_two_groups_take_memory_of_their_own() {
    let limits = sliding(&[(2, 1_000), (60, 60_000), (1_000, 86_400_000), (5_000, 604_800_000)]);
    let mut ledger = Ledger::default();
    for nth in 0..20 {
        let now = at(nth * 1_100);
        ledger.spend(&limits, 1, now, now);
        assert_eq!(ledger.rings.len(), usize::from(nth > 3), "after {nth}");
    }
    // The day's groups of 33 calls, and then the week's of 162.
    for nth in 20..400 {
        let now = at(nth * 1_100);
        ledger.spend(&limits, 1, now, now);
    }
    assert_eq!(ledger.rings.len(), 3);
    let used: Vec<u32> = (0..4).map(|index| ledger.used(&limits, index, at(399 * 1_100))).collect();
    // A minute is 61.061 s here.
    assert_eq!(used, [1, 56, 400, 400]);
}

#[test]
fn a_ledger_left_alone_for_long_is_as_good_as_new() {
    let limits = sliding(&[(1, 1), (1, 1_000)]);
    let mut ledger = Ledger::default();
    ledger.reserve(&limits, at(0));
    ledger.charge(&limits, at(0));
    // Half of what a count of 32 bits tells apart, and all of it: at 4 µs a tick the sign of a difference turns over.
    for micros in [1u64 << 33, 1 << 34, 3 << 33] {
        let later = at(0) + Duration::from_micros(micros);
        assert_eq!((ledger.ready(&limits, later), ledger.used(&limits, 1, later)), (Ready::Now, 0));
    }
}

#[test]
fn what_was_spent_lately_is_told_from_a_window_that_reaches_as_far_back_else_as_the_most_allowed() {
    let spans = Duration::from_secs(90);
    let lately = |quotas: &[(u32, u64)]| {
        let (limits, mut ledger) = (sliding(quotas), Ledger::default());
        for ms in [0, 200_000, 250_000, 280_000] {
            ledger.spend(&limits, 1, at(ms), at(ms));
        }
        ledger.reserve(&limits, at(285_000));
        let now = ledger.snapshot(&limits, at(289_000));
        (now.calls_in(spans), now.recent(spans).calls_in(spans))
    };
    assert_eq!(lately(&[(5, 1_000), (31, 86_400_000)]), (Some(4), Some(4)), "three and one in flight");
    assert_eq!(lately(&[(1_000, 86_400_000)]).0, Some(5), "one that is older shares the group of the others");
    // A minute's log has forgotten what left 89 s ago: two minutes' worth may have.
    assert_eq!(lately(&[(40, 60_000)]).0, Some(80));
    assert_eq!(Snapshot::default().calls_in(spans), None);
}
