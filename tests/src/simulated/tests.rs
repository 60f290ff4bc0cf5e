use super::*;
use crate::rule::{COUNTINGS, Rule, SECOND};
use egret_core::quota::{Counting, Quota};
use egret_core::scope::Scope;

const HOUR: Duration = Duration::from_secs(3_600);

fn fleet(counting: Counting, quotas: &[(u32, Duration)], windows: f64) -> Fleet {
    let rule = Rule { counting, quotas: quotas.to_vec() };
    Fleet {
        limits: rule.limits(),
        terms: rule.terms(),
        egresses: 4,
        link: 5 * SECOND / 1_000,
        way: 20 * SECOND / 1_000..=120 * SECOND / 1_000,
        lasts: rule.longest().mul_f64(windows),
        seed: 7,
    }
}

#[test]
fn long_windows_are_filled_and_never_exceeded() {
    for quotas in [
        &[(60, 60 * SECOND)][..],
        &[(300, HOUR)],
        &[(1_000, 24 * HOUR), (1, SECOND)],
        &[(5, SECOND), (40, 15 * SECOND)],
    ] {
        for counting in COUNTINGS {
            let outcome = fleet(counting, quotas, 3.5).run();
            assert_eq!(outcome.refused, 0, "{quotas:?} {counting:?}: {outcome:?}");
            // Two quantised logs of the same calls may group them differently.
            assert!(outcome.given_back * 50 <= outcome.sent, "{quotas:?} {counting:?}: {outcome:?}");
            // What a quantised log may cost comes on top of the 2 % allowed.
            let least = 0.98 - 1.0 / 31.0;
            assert!(outcome.utilisation() >= least, "{quotas:?} {counting:?}: {outcome:?}");
        }
    }
}

#[test]
fn short_windows_lose_nothing_to_quantising() {
    for quotas in [&[(1, SECOND)][..], &[(10, SECOND)]] {
        let outcome = fleet(Counting::Sliding, quotas, 120.0).run();
        assert_eq!(outcome.refused, 0, "{quotas:?}: {outcome:?}");
        assert!(outcome.utilisation() >= 0.98, "{quotas:?}: {outcome:?}");
    }
}

#[test]
fn a_coordinator_150_ms_further_away_costs_less_than_two_percent() {
    for quotas in [&[(1, SECOND)][..], &[(10, SECOND)], &[(5, SECOND), (40, 15 * SECOND)]] {
        let near = fleet(Counting::Sliding, quotas, 120.0);
        let far = Fleet { link: near.link + 150 * SECOND / 1_000, ..near.clone() };
        let (near, far) = (near.run(), far.run());
        assert_eq!((near.refused, far.refused), (0, 0), "{quotas:?}");
        assert!(far.sent as f64 >= near.sent as f64 * 0.98, "{quotas:?}: {} and {}", near.sent, far.sent);
    }
}

#[test]
fn calls_that_are_spaced_are_not_given_back_by_agents_far_away() {
    for quotas in [&[(60, 60 * SECOND)][..], &[(300, HOUR)]] {
        let far = Fleet { link: SECOND / 4, ..fleet(Counting::TwoBucket, quotas, 3.5) };
        let outcome = far.run();
        assert_eq!((outcome.refused, outcome.given_back), (0, 0), "{quotas:?}: {outcome:?}");
        assert!(outcome.utilisation() >= 0.98 - 1.0 / 31.0, "{quotas:?}: {outcome:?}");
    }
}

#[test]
fn a_quota_declared_too_high_is_refused_so_the_remotes_bite() {
    let declared = fleet(Counting::Sliding, &[(12, SECOND)], 30.0);
    let outcome = Fleet { limits: vec![Limit::Sliding { units: 10, per: SECOND }], ..declared }.run();
    assert!(outcome.refused > 0, "{outcome:?}");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let fleet = fleet(Counting::Sliding, &[(10, SECOND)], 30.0);
    let run = || {
        let Outcome { sent, refused, bound, given_back } = fleet.run();
        (sent, refused, bound, given_back)
    };
    assert_eq!(run(), run());
}

/// Every estimate of the end, made at a tenth, at half and at nine tenths of the way, and of when each waiting job
/// leaves, against what happens then: within 5 % of the time that was left, or 1 s; of the jobs, 95 in 100.
#[track_caller]
fn check_forecast(fleet: &Fleet, jobs: u64) {
    let drained = fleet.drain(jobs, &[0.1, 0.5, 0.9], |scheduler, now| {
        let (waiting, _) = scheduler.backlog(SERVICE);
        let drain = fleet.forecast(scheduler, now).drain(waiting as u64);
        let since = |at: Option<Instant>| at.expect("it ends").since(now);
        let starts: Vec<Duration> = (1..=waiting as u64).map(|nth| since(drain.sent_at(nth))).collect();
        (since(drain.answered_at(waiting as u64)), starts)
    });
    assert_eq!((drained.outcome.refused, drained.sent.len() as u64), (0, jobs), "{:?}", drained.outcome);
    assert_eq!(drained.asked.len(), 3);
    let is_close =
        |estimate: Duration, truth: Duration| estimate.abs_diff(truth) <= SECOND.max(truth.mul_f64(0.05));
    for (at, (finish, starts)) in &drained.asked {
        let left = drained.ended - *at;
        assert!(is_close(*finish, left), "{:?} at {at:?}: {finish:?}, it took {left:?}", fleet.terms.quotas);
        // Those that wait are the last ones: jobs go in their order.
        let waiting = &drained.sent[jobs as usize - starts.len()..];
        let close =
            starts.iter().zip(waiting).filter(|(start, sent)| is_close(**start, sent.saturating_sub(*at)));
        let (close, all) = (close.count(), starts.len());
        assert!(close * 100 >= all * 95, "{:?} at {at:?}: {close} of {all}", fleet.terms.quotas);
    }
}

#[test]
fn the_end_is_foreseen_with_three_quotas_and_eight_egresses() {
    for (quotas, jobs) in [
        (&[(5, SECOND), (60, 60 * SECOND), (500, HOUR)][..], 12_000),
        (&[(10, SECOND), (300, 600 * SECOND), (2_000, 24 * HOUR)], 20_000),
        (&[(2, SECOND), (7, 15 * SECOND), (30, 120 * SECOND)], 3_000),
        (&[(1, SECOND), (40, 60 * SECOND), (1_000, HOUR)], 900),
    ] {
        for counting in COUNTINGS {
            let fleet = Fleet { egresses: 8, lasts: 100 * 24 * HOUR, ..fleet(counting, quotas, 1.0) };
            check_forecast(&fleet, jobs);
        }
    }
}

#[test]
fn the_end_is_foreseen_where_the_fleet_shares_a_quota() {
    let mut fleet = Fleet {
        egresses: 8,
        lasts: 100 * 24 * HOUR,
        ..fleet(Counting::Sliding, &[(5, SECOND), (60, 60 * SECOND)], 1.0)
    };
    fleet.terms.quotas.push(Quota { scope: Scope::Fleet, ..Quota::new(20, 2 * SECOND) });
    check_forecast(&fleet, 1_000);
    fleet.terms.quotas.push(Quota { scope: Scope::Fleet, ..Quota::new(1_000, HOUR) });
    check_forecast(&fleet, 5_500);
}
