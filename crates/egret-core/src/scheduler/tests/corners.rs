//! Corners of the scheduler: shared budgets, rests of networks, calls of earlier starts.

use super::*;

fn whole(units: u32) -> Scheduler {
    let whole = Scope::Subnet { ipv4_prefix: 8, ipv6_prefix: 64 };
    let quota = Quota { scope: whole, ..Quota::new(units, Duration::from_secs(60)) };
    fleet(4, Terms::sliding(vec![quota]).rules())
}

#[test]
fn a_refund_of_what_is_shared_lets_another_egress_send_at_once() {
    let mut scheduler = whole(1);
    (1..=4).for_each(|job| scheduler.handle(Event::Enqueue(step(job)), at(0)));
    let granted = grants(&mut scheduler, at(0));
    assert_eq!(granted.len(), 1);
    settle(&mut scheduler, granted[0].2, Settlement::NotSent, at(10));
    let next = grants(&mut scheduler, at(10));
    assert_eq!(next.len(), 1, "its host stumbles; the unit is free");
    assert_eq!(next[0].1, EgressId(1), "the one that was held the longest");
}

#[test]
fn news_of_a_shared_ledger_has_its_seats_looked_at() {
    let mut scheduler = whole(1);
    (1..=2).for_each(|job| scheduler.handle(Event::Enqueue(step(job)), at(0)));
    let granted = grants(&mut scheduler, at(0));
    let id = SharedId(0);
    assert_eq!(scheduler.services[0].lanes[0].group_place(id), Some(Spot::Busy));
    let whose = Whose::Shared(
        Scope::Subnet { ipv4_prefix: 8, ipv6_prefix: 64 },
        scheduler.services[0].shared[0].key.clone(),
    );
    scheduler.handle(Event::Forgotten { service: SERVICE, whose, calls: 0 }, at(5));
    assert_eq!(scheduler.services[0].lanes[0].group_place(id), Some(Spot::Ready));
    settle(&mut scheduler, granted[0].2, Settlement::Answered, at(10));
}

fn tagged(n: u32) -> Event {
    match coming_up(n) {
        Event::EgressUp { egress, agent, address, .. } => {
            Event::EgressUp { egress, agent, address, tags: vec!["eu".to_owned()] }
        }
        other => other,
    }
}

#[test]
fn an_egress_that_gains_a_tag_shares_its_quota_from_then_on_and_calls_end_where_they_began() {
    let quota = Quota { scope: Scope::Tag("eu".into()), ..Quota::new(1, Duration::from_secs(60)) };
    let mut scheduler = fleet(2, Terms::sliding(vec![quota]).rules());
    (1..=2).for_each(|job| scheduler.handle(Event::Enqueue(step(job)), at(0)));
    let granted = grants(&mut scheduler, at(0));
    assert_eq!(granted.len(), 2, "no tag, no quota");
    scheduler.handle(tagged(0), at(1));
    scheduler.handle(tagged(1), at(1));
    for (.., attempt) in granted {
        settle(&mut scheduler, attempt, Settlement::Answered, at(2));
    }
    (3..=9).for_each(|job| scheduler.handle(Event::Enqueue(step(job)), at(3)));
    let now = grants(&mut scheduler, at(3));
    assert_eq!(now.len(), 1, "the tag has one");
    scheduler.handle(coming_up(now[0].1.0), at(4));
    settle(&mut scheduler, now[0].2, Settlement::Answered, at(5));
    let used = scheduler
        .shared(SERVICE)
        .find(|s| matches!(s.scope, Scope::Tag(_)))
        .map(|s| (s.ledger.used(s.limits, 0, at(6)), s.ledger.in_flight()));
    assert_eq!(used, Some((1, 0)), "charged where it was reserved");
}

#[test]
fn a_lost_call_that_is_heard_of_counts_where_it_began_whatever_tags_its_egress_has_by_then() {
    let quota = Quota { scope: Scope::Tag("eu".into()), ..Quota::new(5, Duration::from_secs(60)) };
    let mut scheduler = fleet(1, Terms::sliding(vec![quota]).rules());
    scheduler.handle(tagged(0), at(0));
    scheduler.handle(Event::Enqueue(step(1)), at(0));
    let granted = grants(&mut scheduler, at(0));
    scheduler.tick(at(8_000));
    scheduler.handle(coming_up(0), at(9_000));
    settle(&mut scheduler, granted[0].2, Settlement::Answered, at(10_000));
    let used = scheduler.shared(SERVICE).find(|shared| matches!(shared.scope, Scope::Tag(_)));
    assert_eq!(used.map(|shared| shared.ledger.used(shared.limits, 0, at(10_000))), Some(2));
}

#[test]
fn one_address_refused_twice_or_two_far_apart_do_not_rest_their_network() {
    let rests = |events: &[(u32, u64)]| {
        let mut scheduler = whole(1_000);
        for (n, ms) in events {
            (0..8).for_each(|k| scheduler.handle(Event::Enqueue(step(k)), at(*ms)));
            let granted = grants(&mut scheduler, at(*ms));
            for (_, egress, attempt) in granted {
                let refused = Settlement::Refused { named: Some(Duration::from_secs(10)) };
                let settlement = if egress.0 == *n { refused } else { Settlement::Answered };
                settle(&mut scheduler, attempt, settlement, at(*ms + 5));
            }
        }
        scheduler.shared(SERVICE).any(|shared| shared.ledger.rest().is_some())
    };
    assert!(!rests(&[(0, 0), (0, 20_000)]));
    assert!(!rests(&[(0, 0), (1, 70_000)]));
    assert!(rests(&[(0, 0), (1, 20_000)]));
}

#[test]
fn a_network_that_rests_rests_longer_when_its_trial_is_refused() {
    let mut scheduler = whole(1_000);
    (1..=2).for_each(|job| scheduler.handle(Event::Enqueue(step(job)), at(0)));
    let refused = Settlement::Refused { named: Some(Duration::from_secs(10)) };
    for (.., attempt) in grants(&mut scheduler, at(0)) {
        settle(&mut scheduler, attempt, refused, at(0));
    }
    (3..=9).for_each(|job| scheduler.handle(Event::Enqueue(step(job)), at(200_000)));
    let trial = grants(&mut scheduler, at(200_000));
    assert_eq!(trial.len(), 1);
    settle(&mut scheduler, trial[0].2, refused, at(200_000));
    assert!(grants(&mut scheduler, at(205_000)).is_empty(), "all of it rests on");
}

#[test]
fn only_networks_rest_together() {
    let quota = Quota { scope: Scope::Fleet, ..Quota::new(1_000, Duration::from_secs(60)) };
    let mut scheduler = fleet(8, Terms::sliding(vec![quota]).rules());
    (1..=8).for_each(|job| scheduler.handle(Event::Enqueue(step(job)), at(0)));
    for (_, egress, attempt) in grants(&mut scheduler, at(0)) {
        let refused = Settlement::Refused { named: Some(Duration::from_secs(10)) };
        let settlement = if egress.0 < 4 { refused } else { Settlement::Answered };
        settle(&mut scheduler, attempt, settlement, at(5));
    }
    scheduler.handle(Event::Enqueue(step(50)), at(6));
    assert_eq!(grants(&mut scheduler, at(6)).len(), 1);
}

#[test]
fn an_idle_lane_sets_no_timer_for_parked_seats() {
    let mut scheduler = fleet(1, rules(1, Duration::from_secs(1)));
    (1..=2).for_each(|job| scheduler.handle(Event::Enqueue(step(job)), at(0)));
    let granted = grants(&mut scheduler, at(0));
    settle(&mut scheduler, granted[0].2, Settlement::Answered, at(10));
    scheduler.tick(at(10));
    assert!(scheduler.wake_at().is_some_and(|at| at < super::at(2_000)));
    scheduler.handle(Event::Withdraw(JobId(2)), at(20));
    scheduler.handle(Event::Pause(SERVICE), at(20));
    scheduler.tick(at(20));
    assert_eq!(scheduler.wake_at(), None);
}

#[test]
fn shedding_goes_through_all_seats_in_turns() {
    let mut scheduler = fleet(5, rules(1, Duration::from_millis(10)));
    (1..=5).for_each(|job| scheduler.handle(Event::Enqueue(step(job)), at(0)));
    for (.., attempt) in grants(&mut scheduler, at(0)) {
        settle(&mut scheduler, attempt, Settlement::Answered, at(0));
    }
    let lane = &mut scheduler.services[0];
    (0..3).for_each(|_| lane.shed(2, at(100_000)));
    assert!(lane.seats.iter().all(|seat| seat.ledger.is_shed()));
}

#[test]
fn a_network_that_comes_to_rest_recalls_the_calls_of_its_other_addresses() {
    let mut scheduler = whole(1_000);
    (1..=4).for_each(|job| scheduler.handle(Event::Enqueue(step(job)), at(0)));
    let granted = grants(&mut scheduler, at(0));
    for (.., attempt) in &granted[..2] {
        settle(&mut scheduler, *attempt, Settlement::Refused { named: None }, at(10));
    }
    let mut recalls = recalled(&mut scheduler);
    recalls.sort_unstable();
    assert_eq!(recalls, [2, 3]);
}

#[test]
fn the_wider_of_two_networks_comes_to_rest_by_itself_and_recalls_as_well() {
    let within = |ipv4_prefix| Quota {
        scope: Scope::Subnet { ipv4_prefix, ipv6_prefix: 64 },
        ..Quota::new(1_000, Duration::from_secs(60))
    };
    let mut scheduler = fleet(4, Terms::sliding(vec![within(8), within(24)]).rules());
    (1..=8).for_each(|job| scheduler.handle(Event::Enqueue(step(job)), at(0)));
    let granted = grants(&mut scheduler, at(0));
    let of =
        |egress: u32| granted.iter().filter(move |grant| grant.1 == EgressId(egress)).map(|grant| grant.2);
    let [first, second] = of(0).collect::<Vec<_>>()[..] else { panic!("two calls each: {granted:?}") };
    let refused = Settlement::Refused { named: Some(Duration::from_secs(600)) };
    settle(&mut scheduler, first, refused, at(10));
    // A minute later another address is refused; only what it still holds is asked back.
    (11..=13).for_each(|job| scheduler.handle(Event::Enqueue(step(job)), at(71_000)));
    let mut later: Vec<u32> = grants(&mut scheduler, at(71_000)).iter().map(|grant| grant.1.0).collect();
    later.sort_unstable();
    settle(&mut scheduler, of(2).next().unwrap(), refused, at(71_010));
    assert_eq!((later, recalled(&mut scheduler)), (vec![1, 2, 3], vec![2]));
    // The first one already rests, and so far its wide network did not.
    settle(&mut scheduler, second, refused, at(71_020));
    let mut recalls = recalled(&mut scheduler);
    recalls.sort_unstable();
    assert_eq!(recalls, [1, 3]);
}

#[test]
fn an_agent_without_credit_is_nobody_to_wait_for() {
    let mut scheduler =
        Scheduler::new(vec![rules(9, Duration::from_secs(1))], 1, fastrand::Rng::with_seed(1));
    open_flows(&mut scheduler);
    (0..2).for_each(|n| scheduler.handle(coming_up(n), at(0)));
    scheduler.handle(Event::Credit { agent: AgentId(0), grants: 9 }, at(0));
    scheduler.handle(Event::Enqueue(Step { avoid: Some(EgressId(0)), ..step(1) }), at(0));
    assert_eq!(grants(&mut scheduler, at(0)).len(), 1);
}

#[test]
fn an_unanswered_call_counts_until_it_has_lingered() {
    let mut scheduler = fleet(1, rules(1, Duration::from_secs(1)));
    (1..=2).for_each(|job| scheduler.handle(Event::Enqueue(step(job)), at(0)));
    let granted = grants(&mut scheduler, at(0));
    settle(&mut scheduler, granted[0].2, Settlement::Unanswered, at(5_000));
    assert!(grants(&mut scheduler, at(7_900)).is_empty());
    assert_eq!(grants(&mut scheduler, at(8_010)).len(), 1);
}

#[test]
fn calls_spent_past_us_may_still_count_for_a_while() {
    let mut scheduler = fleet(1, rules(1, Duration::from_secs(1)));
    scheduler.handle(Event::Spent { service: SERVICE, egress: EgressId(0), calls: 1 }, at(0));
    scheduler.handle(Event::Enqueue(step(1)), at(0));
    assert!(grants(&mut scheduler, at(7_900)).is_empty());
    assert_eq!(grants(&mut scheduler, at(8_010)).len(), 1);
}

#[test]
fn a_lost_call_that_was_never_sent_is_not_charged_twice() {
    let mut scheduler = fleet(1, rules(2, Duration::from_secs(1)));
    scheduler.handle(Event::Enqueue(step(1)), at(0));
    let granted = grants(&mut scheduler, at(0));
    scheduler.tick(at(8_000));
    settle(&mut scheduler, granted[0].2, Settlement::Withdrawn, at(8_500));
    assert_eq!(
        scheduler.seat(SERVICE, EgressId(0)).map(|l| l.used(&scheduler.rules(SERVICE).own, 0, at(8_500))),
        Some(1)
    );
}

#[test]
fn what_an_earlier_start_granted_says_nothing_of_the_way() {
    let mut scheduler = fleet(1, rules(1, Duration::from_secs(1)));
    let attempt = AttemptId { start: 0, count: 9 };
    scheduler.handle(Event::Adopt { attempt, job: JobId(7), service: SERVICE, egress: EgressId(0) }, at(0));
    let at_agent = Some(Duration::ZERO);
    scheduler
        .handle(Event::Settle { attempt, settlement: Settlement::Answered, at_agent, took: None }, at(400));
    scheduler.handle(Event::Enqueue(step(1)), at(400));
    assert!(grants(&mut scheduler, at(1_300)).is_empty());
}

#[test]
fn an_egress_with_an_adopted_call_gets_more() {
    let mut scheduler = fleet(1, rules(5, Duration::from_secs(1)));
    let attempt = AttemptId { start: 0, count: 9 };
    scheduler.handle(Event::Adopt { attempt, job: JobId(77), service: SERVICE, egress: EgressId(0) }, at(0));
    (1..=4).for_each(|job| scheduler.handle(Event::Enqueue(step(job)), at(0)));
    assert_eq!(grants(&mut scheduler, at(0)).len(), 4);
}

#[test]
fn an_adopted_call_does_not_end_a_rest_that_began_after_it() {
    let mut scheduler = fleet(1, rules(5, Duration::from_secs(1)));
    let snapshot = crate::ledger::Snapshot { rest: Some((600_000, 2)), ..Default::default() };
    scheduler.handle(
        Event::Remember { service: SERVICE, whose: Whose::Own(EgressId(0)), snapshot: Box::new(snapshot) },
        at(1_000),
    );
    let attempt = AttemptId { start: 0, count: 9 };
    scheduler
        .handle(Event::Adopt { attempt, job: JobId(77), service: SERVICE, egress: EgressId(0) }, at(1_001));
    settle(&mut scheduler, attempt, Settlement::Answered, at(1_500));
    scheduler.handle(Event::Enqueue(step(1)), at(1_500));
    assert!(grants(&mut scheduler, at(1_500)).is_empty(), "it rests for ten minutes");
}

#[test]
fn a_late_time_out_may_be_counted_until_it_has_lingered() {
    let mut scheduler = fleet(1, rules(1, Duration::from_secs(1)));
    scheduler.handle(Event::Enqueue(step(1)), at(0));
    let granted = grants(&mut scheduler, at(0));
    scheduler.tick(at(8_000));
    // Held up on its way; timed out at 12 s, told at once: the remote may count it until 14 s.
    settle(&mut scheduler, granted[0].2, Settlement::Unanswered, at(12_000));
    scheduler.handle(Event::Enqueue(step(2)), at(13_500));
    assert!(grants(&mut scheduler, at(13_500)).is_empty());
}

#[test]
fn a_grant_that_was_withdrawn_is_not_taken_off_what_is_left() {
    let mut scheduler = fleet(1, rules(10, Duration::from_secs(1)));
    let left =
        Event::Left { service: SERVICE, egress: EgressId(0), calls: 1, reset: Duration::from_secs(86_400) };
    scheduler.handle(left, at(0));
    scheduler.handle(Event::Enqueue(step(1)), at(0));
    let granted = grants(&mut scheduler, at(0));
    settle(&mut scheduler, granted[0].2, Settlement::Withdrawn, at(5));
    scheduler.handle(Event::Enqueue(step(1)), at(5));
    assert_eq!(grants(&mut scheduler, at(1_000)).len(), 1, "nothing was sent");
}
