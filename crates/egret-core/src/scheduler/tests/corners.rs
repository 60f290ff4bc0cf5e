//! Corners of the scheduler: shared budgets, rests of networks, calls of earlier starts, and all of it at random.

use super::*;
use crate::scheduler::shared::SharedId;

fn whole(units: u32) -> Scheduler {
    let whole = Scope::Subnet { ipv4_prefix: 8, ipv6_prefix: 64 };
    let quota = Quota { scope: whole, ..Quota::new(units, Duration::from_secs(60)) };
    fleet(4, terms(vec![quota]).rules())
}

#[test]
fn a_refund_of_what_is_shared_lets_another_egress_send_at_once() {
    let mut scheduler = whole(1);
    (1..=4).for_each(|job| scheduler.handle(Event::Enqueue(step(job)), at(0)));
    let granted = grants(&mut scheduler, at(0));
    assert_eq!(granted.len(), 1);
    settle(&mut scheduler, granted[0].2, granted[0].1, Settlement::NotSent, at(10));
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
    settle(&mut scheduler, granted[0].2, granted[0].1, Settlement::Answered, at(10));
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
    let mut scheduler = fleet(2, terms(vec![quota]).rules());
    (1..=2).for_each(|job| scheduler.handle(Event::Enqueue(step(job)), at(0)));
    let granted = grants(&mut scheduler, at(0));
    assert_eq!(granted.len(), 2, "no tag, no quota");
    scheduler.handle(tagged(0), at(1));
    scheduler.handle(tagged(1), at(1));
    for (_, egress, attempt) in granted {
        settle(&mut scheduler, attempt, egress, Settlement::Answered, at(2));
    }
    (3..=9).for_each(|job| scheduler.handle(Event::Enqueue(step(job)), at(3)));
    let now = grants(&mut scheduler, at(3));
    assert_eq!(now.len(), 1, "the tag has one");
    scheduler.handle(coming_up(now[0].1.0), at(4));
    settle(&mut scheduler, now[0].2, now[0].1, Settlement::Answered, at(5));
    let used = scheduler
        .shared(SERVICE)
        .find(|s| matches!(s.scope, Scope::Tag(_)))
        .map(|s| (s.ledger.used(s.limits, 0, at(6)), s.ledger.in_flight()));
    assert_eq!(used, Some((1, 0)), "charged where it was reserved");
}

#[test]
fn a_lost_call_that_is_heard_of_counts_where_it_began_whatever_tags_its_egress_has_by_then() {
    let quota = Quota { scope: Scope::Tag("eu".into()), ..Quota::new(5, Duration::from_secs(60)) };
    let mut scheduler = fleet(1, terms(vec![quota]).rules());
    scheduler.handle(tagged(0), at(0));
    scheduler.handle(Event::Enqueue(step(1)), at(0));
    let granted = grants(&mut scheduler, at(0));
    scheduler.tick(at(8_000));
    scheduler.handle(coming_up(0), at(9_000));
    settle(&mut scheduler, granted[0].2, EgressId(0), Settlement::Answered, at(10_000));
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
                settle(&mut scheduler, attempt, egress, settlement, at(*ms + 5));
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
    for (_, egress, attempt) in grants(&mut scheduler, at(0)) {
        settle(&mut scheduler, attempt, egress, refused, at(0));
    }
    (3..=9).for_each(|job| scheduler.handle(Event::Enqueue(step(job)), at(200_000)));
    let trial = grants(&mut scheduler, at(200_000));
    assert_eq!(trial.len(), 1);
    settle(&mut scheduler, trial[0].2, trial[0].1, refused, at(200_000));
    assert!(grants(&mut scheduler, at(205_000)).is_empty(), "all of it rests on");
}

#[test]
fn only_networks_rest_together() {
    let quota = Quota { scope: Scope::Fleet, ..Quota::new(1_000, Duration::from_secs(60)) };
    let mut scheduler = fleet(8, terms(vec![quota]).rules());
    (1..=8).for_each(|job| scheduler.handle(Event::Enqueue(step(job)), at(0)));
    for (_, egress, attempt) in grants(&mut scheduler, at(0)) {
        let refused = Settlement::Refused { named: Some(Duration::from_secs(10)) };
        let settlement = if egress.0 < 4 { refused } else { Settlement::Answered };
        settle(&mut scheduler, attempt, egress, settlement, at(5));
    }
    scheduler.handle(Event::Enqueue(step(50)), at(6));
    assert_eq!(grants(&mut scheduler, at(6)).len(), 1);
}

#[test]
fn an_idle_lane_sets_no_timer_for_parked_seats() {
    let mut scheduler = fleet(1, rules(1, Duration::from_secs(1)));
    (1..=2).for_each(|job| scheduler.handle(Event::Enqueue(step(job)), at(0)));
    let granted = grants(&mut scheduler, at(0));
    settle(&mut scheduler, granted[0].2, granted[0].1, Settlement::Answered, at(10));
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
    for (_, egress, attempt) in grants(&mut scheduler, at(0)) {
        settle(&mut scheduler, attempt, egress, Settlement::Answered, at(0));
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
    for (_, egress, attempt) in &granted[..2] {
        settle(&mut scheduler, *attempt, *egress, Settlement::Refused { named: None }, at(10));
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
    let mut scheduler = fleet(4, terms(vec![within(8), within(24)]).rules());
    (1..=8).for_each(|job| scheduler.handle(Event::Enqueue(step(job)), at(0)));
    let granted = grants(&mut scheduler, at(0));
    let of =
        |egress: u32| granted.iter().filter(move |grant| grant.1 == EgressId(egress)).map(|grant| grant.2);
    let [first, second] = of(0).collect::<Vec<_>>()[..] else { panic!("two calls each: {granted:?}") };
    let refused = Settlement::Refused { named: Some(Duration::from_secs(600)) };
    settle(&mut scheduler, first, EgressId(0), refused, at(10));
    // A minute later another address is refused; only what it still holds is asked back.
    (11..=13).for_each(|job| scheduler.handle(Event::Enqueue(step(job)), at(71_000)));
    let mut later: Vec<u32> = grants(&mut scheduler, at(71_000)).iter().map(|grant| grant.1.0).collect();
    later.sort_unstable();
    settle(&mut scheduler, of(2).next().unwrap(), EgressId(2), refused, at(71_010));
    assert_eq!((later, recalled(&mut scheduler)), (vec![1, 2, 3], vec![2]));
    // The first one already rests, and so far its wide network did not.
    settle(&mut scheduler, second, EgressId(0), refused, at(71_020));
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
    settle(&mut scheduler, granted[0].2, granted[0].1, Settlement::Unanswered, at(5_000));
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
    settle(&mut scheduler, granted[0].2, EgressId(0), Settlement::Withdrawn, at(8_500));
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
    scheduler.handle(
        Event::Settle {
            attempt,
            service: SERVICE,
            egress: EgressId(0),
            settlement: Settlement::Answered,
            at_agent,
            took: None,
        },
        at(400),
    );
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
    scheduler
        .handle(Event::Remember { service: SERVICE, whose: Whose::Own(EgressId(0)), snapshot }, at(1_000));
    let attempt = AttemptId { start: 0, count: 9 };
    scheduler
        .handle(Event::Adopt { attempt, job: JobId(77), service: SERVICE, egress: EgressId(0) }, at(1_001));
    settle(&mut scheduler, attempt, EgressId(0), Settlement::Answered, at(1_500));
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
    settle(&mut scheduler, granted[0].2, EgressId(0), Settlement::Unanswered, at(12_000));
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
    settle(&mut scheduler, granted[0].2, EgressId(0), Settlement::Withdrawn, at(5));
    scheduler.handle(Event::Enqueue(step(1)), at(5));
    assert_eq!(grants(&mut scheduler, at(1_000)).len(), 1, "nothing was sent");
}

/// Many events of every kind over shared scopes; the referee counts for each network and for the fleet.
mod at_random {
    use super::*;

    #[derive(Clone, Debug)]
    enum Do {
        Enqueue(Option<u32>),
        Withdraw(usize),
        Finish(usize, u8),
        Down(u32),
        Up(u32),
        Move(u32),
        Pause(bool),
        Left(u32, u32, u64),
        Credit(u32),
        Shed,
        Adopt(u32),
        Remember(u32, u8, u32),
        Late(usize, u8),
        Pass(u64),
    }

    fn doing() -> impl Strategy<Value = Do> {
        prop_oneof![
            8 => prop::option::weighted(0.2, 0..6u32).prop_map(Do::Enqueue),
            1 => any::<usize>().prop_map(Do::Withdraw),
            8 => (any::<usize>(), 0..20u8).prop_map(|(n, how)| Do::Finish(n, how)),
            1 => (0..6u32).prop_map(Do::Down),
            1 => (0..6u32).prop_map(Do::Up),
            1 => (0..6u32).prop_map(Do::Move),
            1 => any::<bool>().prop_map(Do::Pause),
            1 => (0..6u32, 0..4u32, 0..3_000u64).prop_map(|(e, c, r)| Do::Left(e, c, r)),
            1 => (0..6u32).prop_map(Do::Credit),
            1 => Just(Do::Shed),
            1 => (0..6u32).prop_map(Do::Adopt),
            1 => (0..6u32, 0..3u8, 0..3u32).prop_map(|(e, w, n)| Do::Remember(e, w, n)),
            1 => (any::<usize>(), 0..4u8).prop_map(|(n, how)| Do::Late(n, how)),
            1 => (7_000..12_000u64).prop_map(Do::Pass),
            5 => (0..1_500u64).prop_map(Do::Pass),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn no_scope_is_exceeded_no_step_lost_and_no_budget_idle(acts in prop::collection::vec(doing(), 1..250), net in 1u32..4, all in 1u32..6, own in 1u32..4) {
            let second = Duration::from_secs(1);
            let subnet = Scope::Subnet { ipv4_prefix: 24, ipv6_prefix: 64 };
            let quotas = vec![
                Quota::new(own, second),
                Quota { scope: subnet, ..Quota::new(net, second) },
                Quota { scope: Scope::Fleet, ..Quota::new(all, second) },
            ];
            let mut scheduler = fleet(6, terms(quotas).rules());
            let mut now = at(0);
            let mut next_job = 0u64;
            let mut open: BTreeMap<u64, bool> = BTreeMap::new();
            let mut flights: Vec<(u64, EgressId, AttemptId)> = Vec::new();
            let mut ends: Vec<(EgressId, Instant)> = Vec::new();
            let mut up = [true; 6];
            let mut paused = false;
            let mut lost: Vec<(EgressId, AttemptId)> = Vec::new();
            let mut adopted = 0u64;
            for act in acts {
                match act {
                    Do::Enqueue(avoid) => {
                        next_job += 1;
                        open.insert(next_job, false);
                        scheduler.handle(Event::Enqueue(Step { avoid: avoid.map(EgressId), ..step(next_job) }), now);
                    }
                    Do::Withdraw(index) if !open.is_empty() => {
                        let job = *open.keys().nth(index % open.len()).unwrap();
                        open.remove(&job);
                        scheduler.handle(Event::Withdraw(JobId(job)), now);
                    }
                    Do::Finish(flight, how) if !flights.is_empty() => {
                        let (job, egress, attempt) = flights.swap_remove(flight % flights.len());
                        let settlement = match how {
                            0 => Settlement::Refused { named: None },
                            1 => Settlement::Withdrawn,
                            2 => Settlement::Unanswered,
                            3 => Settlement::NotSent,
                            4 => Settlement::Refused { named: Some(second) },
                            _ => Settlement::Answered,
                        };
                        settle(&mut scheduler, attempt, egress, settlement, now);
                        if settlement == Settlement::Answered {
                            open.remove(&job);
                        } else if let Some(running) = open.get_mut(&job) {
                            *running = false;
                            scheduler.handle(Event::Enqueue(step(job)), now);
                        }
                        if !matches!(settlement, Settlement::Withdrawn | Settlement::NotSent) {
                            ends.push((egress, now));
                        }
                    }
                    Do::Down(n) if up[n as usize] => {
                        up[n as usize] = false;
                        scheduler.handle(Event::AgentDown(AgentId(u64::from(n))), now);
                    }
                    Do::Up(n) if !up[n as usize] => {
                        up[n as usize] = true;
                        scheduler.handle(coming_up(n), now);
                        scheduler.handle(Event::Credit { agent: AgentId(u64::from(n)), grants: 3 }, now);
                    }
                    // Another agent speaks for it at once.
                    Do::Move(n) if up[n as usize] => scheduler.handle(coming_up(n), now),
                    Do::Pause(p) => {
                        paused = p;
                        scheduler.handle(if p { Event::Pause(SERVICE) } else { Event::Resume(SERVICE) }, now);
                    }
                    Do::Left(n, calls, reset) => scheduler.handle(
                        Event::Left { service: SERVICE, egress: EgressId(n), calls, reset: Duration::from_millis(reset) }, now),
                    Do::Credit(n) if up[n as usize] => {
                        scheduler.handle(Event::Credit { agent: AgentId(u64::from(n)), grants: 2 }, now);
                    }
                    Do::Shed => scheduler.shed(now),
                    Do::Adopt(n) if up[n as usize] => {
                        adopted += 1;
                        let attempt = AttemptId { start: 0, count: adopted };
                        let job = JobId(1_000_000 + adopted);
                        scheduler.handle(Event::Adopt { attempt, job, service: SERVICE, egress: EgressId(n) }, now);
                        flights.push((job.0, EgressId(n), attempt));
                    }
                    Do::Remember(n, whose, calls) => {
                        let (service, egress) = (SERVICE, EgressId(n));
                        let fleet = Whose::Shared(Scope::Fleet, crate::scope::ScopeKey::Fleet);
                        scheduler.handle(match whose {
                            0 => Event::Spent { service, egress, calls },
                            1 => Event::Forgotten { service, whose: fleet, calls },
                            _ => Event::Late { service, egress, length: Duration::from_millis(u64::from(calls) * 400) },
                        }, now);
                    }
                    Do::Late(n, how) if !lost.is_empty() => {
                        let (egress, attempt) = lost.swap_remove(n % lost.len());
                        let settlement = match how {
                            0 => Settlement::Refused { named: None },
                            1 => Settlement::Withdrawn,
                            _ => Settlement::Answered,
                        };
                        settle(&mut scheduler, attempt, egress, settlement, now);
                        if settlement != Settlement::Withdrawn {
                            ends.push((egress, now));
                        }
                    }
                    Do::Pass(ms) => {
                        let until = now + Duration::from_millis(ms);
                        // Only timers, as the shell does it.
                        now = until;
                    }
                    _ => {}
                }
                if scheduler.wake_at().is_some_and(|at| at <= now) || !matches!(act, Do::Pass(_)) {
                    scheduler.tick(now);
                }
                while let Some(command) = scheduler.next_command() {
                    match command {
                        Command::Grant { attempt, job, egress, .. } => {
                            prop_assert!(up[egress.0 as usize] && !paused);
                            let live = |of: &dyn Fn(EgressId) -> bool| {
                                ends.iter().filter(|end| of(end.0) && end.1 + second > now).count()
                                    + flights.iter().filter(|f| of(f.1)).count()
                            };
                            prop_assert!(live(&|_| true) < all as usize);
                            prop_assert!(live(&|e| e.0 / 2 == egress.0 / 2) < net as usize);
                            prop_assert!(live(&|e| e == egress) < own as usize);
                            prop_assert_eq!(open.insert(job.0, true), Some(false));
                            flights.push((job.0, egress, attempt));
                        }
                        Command::Lost { attempt, job, egress, .. } => {
                            flights.retain(|flight| flight.2 != attempt);
                            ends.push((egress, now));
                            lost.push((egress, attempt));
                            if let Some(running) = open.get_mut(&job.0) {
                                *running = false;
                                scheduler.handle(Event::Enqueue(step(job.0)), now);
                                scheduler.tick(now);
                            }
                        }
                        Command::Recall { .. } | Command::Down(_) | Command::Back(_) => {}
                        other => prop_assert!(false, "{:?}", other),
                    }
                }
                scheduler.services.iter().for_each(super::super::super::Service::check_places);
                let waiting = open.values().filter(|running| !**running).count();
                prop_assert_eq!(scheduler.backlog(SERVICE).0, waiting);
                if waiting > 0 && !paused {
                    let idle = (0..6).filter(|n| up[*n as usize]).map(EgressId).find(|egress| {
                        let agent = scheduler.agents.of(*egress);
                        agent.is_some_and(|agent| scheduler.agents.get(agent).credit > 0)
                            && scheduler.outlook(SERVICE, *egress, now).0 == crate::ledger::Ready::Now
                    });
                    prop_assert!(idle.is_none_or(|e| !could_use(&scheduler, e)), "{:?} idles with {} waiting", idle, waiting);
                }
            }
        }
    }
}
