//! The scheduler driven by a small simulated fleet, with a list of sends as the referee.

mod corners;
mod flood;
mod shares;
mod store;
mod twin;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::lane::Place as Spot;
use super::shared::SharedId;
use super::*;
use crate::quota::{Quota, Terms};

const SERVICE: ServiceId = ServiceId(0);

fn rules(units: u32, per: Duration) -> Rules {
    Terms::sliding(vec![Quota::new(units, per)]).rules()
}

fn at(ms: u64) -> Instant {
    Instant::from_micros(ms * 1_000)
}

fn step(job: u64) -> Step {
    Step {
        job: JobId(job),
        flow: FlowId(Class::Normal as u32),
        deadline: at(1_000_000_000),
        not_before: Instant::ZERO,
        avoid: None,
        is_stored: false,
    }
}

/// A flow for each class, named like it.
fn open_flows(scheduler: &mut Scheduler) {
    for class in Class::ALL {
        let kind = FlowKind { service: SERVICE, class, tenant: TenantId(0), selector: Selector::default() };
        scheduler.handle(Event::Open { flow: FlowId(class as u32), kind, stored: 0, last: None }, at(0));
    }
}

/// A scheduler with `egresses` addresses, each with an agent of its own and plenty of credit.
fn fleet(egresses: u32, rules: Rules) -> Scheduler {
    let mut scheduler = Scheduler::new(vec![rules], 1, fastrand::Rng::with_seed(1));
    open_flows(&mut scheduler);
    for n in 0..egresses {
        scheduler.handle(coming_up(n), at(0));
        scheduler.handle(Event::Credit { agent: AgentId(u64::from(n)), grants: 1_000 }, at(0));
    }
    scheduler
}

/// Egress `n` comes up with its own agent, in a network of two: 10.0.N.M.
fn coming_up(n: u32) -> Event {
    let address = std::net::Ipv4Addr::from(0x0a00_0000 + (n / 2) * 256 + n % 2).into();
    Event::EgressUp { egress: EgressId(n), agent: AgentId(u64::from(n)), address, tags: Vec::new() }
}

fn grants(scheduler: &mut Scheduler, now: Instant) -> Vec<(u64, EgressId, AttemptId)> {
    scheduler.tick(now);
    std::iter::from_fn(|| scheduler.next_command())
        .filter_map(|command| match command {
            Command::Grant { attempt, job, egress, .. } => Some((job.0, egress, attempt)),
            _ => None,
        })
        .collect()
}

fn settle(scheduler: &mut Scheduler, attempt: AttemptId, settlement: Settlement, now: Instant) {
    scheduler.handle(Event::Settle { attempt, settlement, at_agent: None, took: None }, now);
}

#[test]
fn work_spreads_over_all_egresses_and_waits_for_the_next_unit() {
    let mut scheduler = fleet(2, rules(2, Duration::from_secs(1)));
    (1..=5).for_each(|job| scheduler.handle(Event::Enqueue(step(job)), at(0)));
    let first = grants(&mut scheduler, at(0));
    assert_eq!(first.iter().map(|g| g.0).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(first.iter().filter(|g| g.1 == EgressId(0)).count(), 2);
    let second = first.iter().find(|g| g.1 == EgressId(1)).expect("both are used").2;
    settle(&mut scheduler, second, Settlement::Answered, at(30));
    assert!(grants(&mut scheduler, at(30)).is_empty());
    let due = scheduler.wake_at().expect("the unit comes back");
    assert!(due > at(1_030) && due < at(1_035), "{due:?}");
    assert_eq!(grants(&mut scheduler, due).first().map(|g| (g.0, g.1.0)), Some((5, 1)));
}

#[test]
fn a_refusing_egress_rests_and_the_others_keep_their_own_pace() {
    let mut scheduler = fleet(2, rules(1, Duration::from_secs(1)));
    (1..=3).for_each(|job| scheduler.handle(Event::Enqueue(step(job)), at(0)));
    let first = grants(&mut scheduler, at(0));
    settle(&mut scheduler, first[0].2, Settlement::Refused { named: None }, at(10));
    settle(&mut scheduler, first[1].2, Settlement::Answered, at(10));
    scheduler.handle(Event::Enqueue(step(1)), at(10));
    let later = grants(&mut scheduler, at(1_100));
    assert_eq!(
        later.iter().map(|g| g.1.0).collect::<Vec<_>>(),
        [1],
        "one unit, from the one that does not rest"
    );
}

#[test]
fn a_failed_step_avoids_its_egress_while_another_is_fit() {
    let mut scheduler = fleet(2, rules(1, Duration::from_secs(1)));
    scheduler.handle(Event::Enqueue(Step { avoid: Some(EgressId(0)), ..step(1) }), at(0));
    assert_eq!(grants(&mut scheduler, at(0)).first().map(|g| g.1), Some(EgressId(1)));
    scheduler.handle(Event::Enqueue(Step { avoid: Some(EgressId(0)), ..step(2) }), at(0));
    assert!(grants(&mut scheduler, at(0)).is_empty(), "it waits for the other egress");
    scheduler.handle(Event::AgentDown(AgentId(1)), at(0));
    assert_eq!(
        grants(&mut scheduler, at(0)).first().map(|g| g.1),
        Some(EgressId(0)),
        "now there is no other"
    );
}

#[test]
fn no_more_is_granted_than_the_agent_asked_for() {
    let mut scheduler =
        Scheduler::new(vec![rules(100, Duration::from_secs(1))], 1, fastrand::Rng::with_seed(1));
    let agent = AgentId(0);
    open_flows(&mut scheduler);
    scheduler.handle(coming_up(0), at(0));
    scheduler.handle(Event::Credit { agent, grants: 2 }, at(0));
    (1..=5).for_each(|job| scheduler.handle(Event::Enqueue(step(job)), at(0)));
    assert_eq!(grants(&mut scheduler, at(0)).len(), 2);
    assert_eq!(grants(&mut scheduler, at(1)).len(), 0);
    scheduler.handle(Event::Credit { agent, grants: 1 }, at(2));
    assert_eq!(grants(&mut scheduler, at(2)).len(), 1);
}

#[test]
fn an_attempt_that_is_never_heard_of_is_lost_with_its_unit_charged() {
    let mut scheduler = fleet(1, rules(1, Duration::from_secs(1)));
    scheduler.handle(Event::Enqueue(step(1)), at(0));
    let granted = grants(&mut scheduler, at(0));
    scheduler.handle(Event::AgentDown(AgentId(0)), at(10));
    scheduler.handle(coming_up(0), at(20));
    scheduler.handle(Event::Credit { agent: AgentId(0), grants: 9 }, at(20));
    scheduler.handle(Event::Enqueue(step(2)), at(20));
    assert!(grants(&mut scheduler, at(7_999)).is_empty(), "the unit is held until the attempt is lost");
    scheduler.tick(at(8_000));
    let lost = scheduler.next_command();
    assert_eq!(
        lost,
        Some(Command::Lost { attempt: granted[0].2, job: JobId(1), service: SERVICE, egress: EgressId(0) })
    );
    assert!(grants(&mut scheduler, at(9_000)).is_empty());
    assert_eq!(grants(&mut scheduler, at(9_003)).len(), 1);
    settle(&mut scheduler, granted[0].2, Settlement::Answered, at(9_500));
    assert_eq!(
        scheduler.seat(SERVICE, EgressId(0)).map(|ledger| ledger.used(
            &scheduler.rules(SERVICE).own,
            0,
            at(9_500)
        )),
        Some(2),
        "charged again: the remote may have counted it late"
    );
}

#[test]
fn a_step_past_its_deadline_expires_whether_it_waits_or_backs_off() {
    let mut scheduler = fleet(1, rules(1, Duration::from_secs(1)));
    scheduler.handle(Event::EgressDown(EgressId(0)), at(0));
    scheduler.handle(Event::Enqueue(Step { deadline: at(50), ..step(1) }), at(0));
    scheduler.handle(Event::Enqueue(Step { deadline: at(60), not_before: at(90), ..step(2) }), at(0));
    scheduler.tick(at(0));
    assert_eq!(scheduler.wake_at(), Some(at(50)));
    scheduler.tick(at(50));
    assert_eq!(scheduler.next_command(), Some(Command::Expired(JobId(1))));
    scheduler.tick(at(60));
    assert_eq!(scheduler.next_command(), Some(Command::Expired(JobId(2))));
    assert_eq!(scheduler.wake_at(), None);
}

#[test]
fn a_host_that_cannot_send_does_not_swallow_the_queue() {
    let mut scheduler = fleet(2, rules(1_000, Duration::from_secs(1)));
    (1..=100).for_each(|job| scheduler.handle(Event::Enqueue(step(job)), at(0)));
    let mut broken = 0;
    let mut granted = grants(&mut scheduler, at(0));
    for ms in 1..1_000 {
        for (job, egress, attempt) in std::mem::take(&mut granted) {
            let settlement = if egress == EgressId(0) { Settlement::NotSent } else { Settlement::Answered };
            broken += u32::from(egress == EgressId(0));
            settle(&mut scheduler, attempt, settlement, at(ms));
            if settlement == Settlement::NotSent {
                scheduler.handle(Event::Enqueue(step(job)), at(ms));
            }
        }
        granted = grants(&mut scheduler, at(ms));
    }
    assert!(broken <= 52 && scheduler.backlog(SERVICE).0 == 0, "{broken}, {:?}", scheduler.backlog(SERVICE));
}

#[test]
fn steps_that_avoid_an_egress_do_not_idle_it_for_long_when_the_other_is_far_from_ready() {
    let mut scheduler = fleet(2, rules(1, Duration::from_secs(86_400)));
    scheduler.handle(Event::Enqueue(Step { avoid: Some(EgressId(0)), ..step(1) }), at(0));
    let first = grants(&mut scheduler, at(0));
    settle(&mut scheduler, first[0].2, Settlement::Answered, at(10));
    (2..=20).for_each(|job| {
        scheduler.handle(Event::Enqueue(Step { avoid: Some(EgressId(0)), ..step(job) }), at(10));
    });
    assert!(grants(&mut scheduler, at(10)).is_empty());
    assert_eq!(scheduler.wake_at(), Some(at(5_010)));
    assert_eq!(grants(&mut scheduler, at(5_010)).iter().map(|g| g.1).collect::<Vec<_>>(), [EgressId(0)]);
}

#[test]
fn a_result_that_is_told_twice_counts_once() {
    let mut scheduler = fleet(1, rules(5, Duration::from_secs(1)));
    scheduler.handle(Event::Enqueue(step(1)), at(0));
    let granted = grants(&mut scheduler, at(0));
    assert!(scheduler.expects(granted[0].2));
    for ms in [10, 20, 30] {
        settle(&mut scheduler, granted[0].2, Settlement::Answered, at(ms));
        assert!(!scheduler.expects(granted[0].2));
    }
    let used = scheduler
        .seat(SERVICE, EgressId(0))
        .map(|ledger| ledger.used(&scheduler.rules(SERVICE).own, 0, at(40)));
    assert_eq!(used, Some(1));
}

#[test]
fn a_paused_service_grants_nothing_until_it_is_resumed() {
    let mut scheduler = fleet(1, rules(5, Duration::from_secs(1)));
    scheduler.handle(Event::Pause(SERVICE), at(0));
    scheduler.handle(Event::Enqueue(step(1)), at(0));
    assert!(grants(&mut scheduler, at(0)).is_empty());
    scheduler.handle(Event::Resume(SERVICE), at(5));
    assert_eq!(grants(&mut scheduler, at(5)).len(), 1);
}

#[test]
fn an_adopted_attempt_holds_its_unit_and_its_job() {
    let mut scheduler = fleet(1, rules(1, Duration::from_secs(1)));
    scheduler.handle(Event::Enqueue(step(1)), at(0));
    let attempt = AttemptId { start: 0, count: 9 };
    scheduler.handle(Event::Adopt { attempt, job: JobId(1), service: SERVICE, egress: EgressId(0) }, at(0));
    assert!(grants(&mut scheduler, at(0)).is_empty());
    assert_eq!(scheduler.running(JobId(1)), Some(attempt));
    settle(&mut scheduler, attempt, Settlement::Answered, at(40));
    assert_eq!(scheduler.backlog(SERVICE), (0, 0));
}

/// Four egresses in two networks of two, for a service that allows each network `units` a second.
fn networks(units: u32) -> Scheduler {
    let subnet = Scope::Subnet { ipv4_prefix: 24, ipv6_prefix: 64 };
    let quota = Quota { scope: subnet, ..Quota::new(units, Duration::from_secs(1)) };
    fleet(4, Terms::sliding(vec![Quota::new(10, Duration::from_secs(1)), quota]).rules())
}

#[test]
fn egresses_of_one_network_share_its_quota_and_another_network_has_its_own() {
    let mut scheduler = networks(3);
    (1..=20).for_each(|job| scheduler.handle(Event::Enqueue(step(job)), at(0)));
    let granted = grants(&mut scheduler, at(0));
    let of = |network: u32| granted.iter().filter(|grant| grant.1.0 / 2 == network).count();
    assert_eq!((of(0), of(1)), (3, 3));
    for (.., attempt) in granted.iter().filter(|grant| grant.1.0 / 2 == 1) {
        settle(&mut scheduler, *attempt, Settlement::Answered, at(20));
    }
    assert!(grants(&mut scheduler, at(1_000)).is_empty());
    let later = grants(&mut scheduler, at(1_023));
    assert_eq!(later.iter().map(|grant| grant.1.0 / 2).collect::<Vec<_>>(), [1, 1, 1]);
    scheduler.services.iter().for_each(super::Service::check_places);
}

#[test]
fn a_blocked_network_waits_for_one_instant_and_wakes_no_more_than_it_can_feed() {
    let whole = Scope::Subnet { ipv4_prefix: 8, ipv6_prefix: 64 };
    let quota = Quota { scope: whole, ..Quota::new(1, Duration::from_secs(1)) };
    let mut scheduler = fleet(200, Terms::sliding(vec![quota]).rules());
    (1..=400).for_each(|job| scheduler.handle(Event::Enqueue(step(job)), at(0)));
    let mut granted = grants(&mut scheduler, at(0));
    for second in 1..20 {
        assert_eq!(granted.len(), 1);
        let (.., attempt) = granted[0];
        settle(&mut scheduler, attempt, Settlement::Answered, at(second * 1_100 - 1_100));
        scheduler.tick(at(second * 1_100 - 1_099));
        let seats = scheduler.services[0].seats.iter();
        let held = seats.filter(|seat| matches!(seat.place, Some(Spot::Held(..)))).count();
        assert!(held >= 198, "{held} of 200 wait together");
        granted = grants(&mut scheduler, at(second * 1_100));
    }
}

#[test]
fn what_the_fleet_shares_is_charged_wherever_it_was_spent() {
    let quota = Quota { scope: Scope::Fleet, ..Quota::new(5, Duration::from_secs(60)) };
    let mut scheduler = fleet(4, Terms::sliding(vec![quota.clone()]).rules());
    let (scope, key) = (Scope::Fleet, crate::scope::ScopeKey::Fleet);
    let whose = Whose::Shared(scope, key);
    scheduler.handle(Event::Forgotten { service: SERVICE, whose: whose.clone(), calls: 2 }, at(0));
    (1..=20).for_each(|job| scheduler.handle(Event::Enqueue(step(job)), at(0)));
    assert_eq!(grants(&mut scheduler, at(0)).len(), 3);
    let (ready, holder) = scheduler.outlook(SERVICE, EgressId(2), at(1));
    assert_ne!(ready, crate::ledger::Ready::Now);
    assert_eq!(holder.map(|shared| shared.key.to_string()).as_deref(), Some("fleet"));
    let told = scheduler.shared(SERVICE).find(|shared| *shared.scope == Scope::Fleet).expect("it was used");
    let snapshot = told.ledger.snapshot(told.limits, at(10));
    let mut restarted = fleet(4, Terms::sliding(vec![quota]).rules());
    restarted.handle(Event::Remember { service: SERVICE, whose, snapshot: Box::new(snapshot) }, at(10));
    (1..=20).for_each(|job| restarted.handle(Event::Enqueue(step(job)), at(10)));
    assert!(grants(&mut restarted, at(10)).is_empty(), "another start finds it spent");
}

#[test]
fn what_others_spent_from_an_egress_counts_wherever_its_calls_count_and_a_rest_that_is_asked_for_is_kept() {
    let mut scheduler = networks(5);
    let (service, egress) = (SERVICE, EgressId(0));
    scheduler.handle(Event::EgressDown(EgressId(2)), at(0));
    scheduler.handle(Event::EgressDown(EgressId(3)), at(0));
    (1..=20).for_each(|job| scheduler.handle(Event::Enqueue(step(job)), at(0)));
    scheduler.handle(Event::Rest { service, egress, length: Duration::from_secs(30) }, at(0));
    scheduler.handle(Event::Spent { service, egress, calls: 2 }, at(0));
    let granted = grants(&mut scheduler, at(0));
    assert_eq!(granted.len(), 3, "of the five that both addresses may have, two are spent");
    assert!(granted.iter().all(|grant| grant.1 == EgressId(1)));
    assert_eq!(
        scheduler.seat(SERVICE, egress).and_then(Ledger::rest).map(|rest| rest.until),
        Some(at(30_000))
    );
}

#[test]
fn an_egress_that_is_answered_nothing_rests_as_after_refusals_in_a_row() {
    let (mut scheduler, service, egress) =
        (fleet(1, Terms::sliding(Vec::new()).rules()), SERVICE, EgressId(0));
    let until = |scheduler: &Scheduler| scheduler.seat(SERVICE, egress).and_then(Ledger::rest);
    scheduler.handle(Event::Shunned { service, egress, times: 1 }, at(0));
    let first = until(&scheduler).unwrap();
    scheduler.handle(Event::Shunned { service, egress, times: 2 }, at(0));
    let second = until(&scheduler).unwrap();
    assert_eq!((first.refusals, second.until.since(at(0))), (1, first.until.since(at(0)) * 5));
}

#[test]
fn two_addresses_of_a_network_that_are_refused_make_all_of_it_rest_until_one_trial() {
    let mut scheduler = fleet(6, {
        let whole = Scope::Subnet { ipv4_prefix: 22, ipv6_prefix: 48 };
        Terms::sliding(vec![
            Quota::new(10, Duration::from_secs(1)),
            Quota { scope: whole, ..Quota::new(1_000, Duration::from_secs(1)) },
        ])
        .rules()
    });
    (1..=6).for_each(|job| scheduler.handle(Event::Enqueue(step(job)), at(0)));
    let first = grants(&mut scheduler, at(0));
    let refused = Settlement::Refused { named: Some(Duration::from_secs(10)) };
    settle(&mut scheduler, first[0].2, refused, at(10));
    scheduler.handle(Event::Enqueue(step(11)), at(10));
    assert_eq!(grants(&mut scheduler, at(10)).len(), 1, "one refusal is one address's affair");
    settle(&mut scheduler, first[1].2, refused, at(20));
    for (.., attempt) in &first[2..] {
        settle(&mut scheduler, *attempt, Settlement::Answered, at(30));
    }
    (21..=40).for_each(|job| scheduler.handle(Event::Enqueue(step(job)), at(40)));
    let while_resting = grants(&mut scheduler, at(11_000));
    assert!(while_resting.iter().all(|grant| grant.1.0 >= 4), "only the other network: {while_resting:?}");
    let network = |grants: &[(u64, EgressId, AttemptId)]| grants.iter().filter(|grant| grant.1.0 < 4).count();
    let trial = grants(&mut scheduler, at(11_200));
    assert_eq!(network(&trial), 1, "one call of the whole network tries whether it is over");
    let (.., attempt) = trial[0];
    settle(&mut scheduler, attempt, Settlement::Answered, at(11_300));
    assert!(network(&grants(&mut scheduler, at(11_300))) > 1);
}

#[test]
fn grants_leave_earlier_by_the_time_that_they_and_their_reports_are_on_the_way() {
    let mut scheduler = fleet(1, rules(1, Duration::from_secs(1)));
    let mut now = at(0);
    for job in 1..=40 {
        scheduler.handle(Event::Enqueue(step(job)), now);
        scheduler.tick(now);
        now = scheduler.wake_at().filter(|at| scheduler.backlog(SERVICE).1 == 0 && *at > now).unwrap_or(now);
        let granted = grants(&mut scheduler, now);
        let granted = granted.first().copied().or_else(|| {
            now = scheduler.wake_at().expect("it waits");
            grants(&mut scheduler, now).first().copied()
        });
        let (_, _, attempt) = granted.expect("one at a time");
        // 150 ms there, 50 ms at the agent, 150 ms back.
        now = now + Duration::from_millis(350);
        let (settlement, at_agent) = (Settlement::Answered, Some(Duration::from_millis(50)));
        scheduler.handle(Event::Settle { attempt, settlement, at_agent, took: None }, now);
    }
    scheduler.handle(Event::Enqueue(step(99)), now);
    scheduler.tick(now);
    let wait = scheduler.wake_at().expect("it waits").since(now);
    // 1.002 s after the report, less both ways.
    assert!((690..=703).contains(&wait.as_millis()), "{wait:?}");
}

fn recalled(scheduler: &mut Scheduler) -> Vec<u32> {
    let commands = std::iter::from_fn(|| scheduler.next_command());
    let recalls = commands.filter_map(|command| match command {
        Command::Recall { egress, .. } => Some(egress.0),
        _ => None,
    });
    recalls.collect()
}

#[test]
fn what_an_agent_may_still_hold_is_recalled_when_its_egress_rests_or_its_service_is_paused() {
    let mut scheduler = fleet(3, rules(4, Duration::from_secs(1)));
    (1..=12).for_each(|job| scheduler.handle(Event::Enqueue(step(job)), at(0)));
    let granted = grants(&mut scheduler, at(0));
    let (_, egress, attempt) = granted[0];
    settle(&mut scheduler, attempt, Settlement::Refused { named: None }, at(10));
    assert_eq!(recalled(&mut scheduler), [egress.0; 3], "its own, and nobody else's");
    scheduler.handle(Event::Pause(SERVICE), at(20));
    assert_eq!(recalled(&mut scheduler).len(), 8, "each is recalled once");
}

#[test]
fn an_agent_is_granted_nothing_of_a_service_that_it_is_barred_from_and_stands_in_nobodys_way() {
    let mut scheduler = fleet(2, rules(4, Duration::from_secs(1)));
    let one = AgentId(0);
    scheduler.handle(Event::AgentDown(one), at(0));
    scheduler.handle(Event::Bar { agent: one, services: BTreeSet::from([SERVICE]) }, at(0));
    scheduler.handle(coming_up(0), at(0));
    scheduler.handle(Event::Credit { agent: one, grants: 100 }, at(0));
    (1..=6).for_each(|job| scheduler.handle(Event::Enqueue(step(job)), at(0)));
    let granted = grants(&mut scheduler, at(0));
    assert!(granted.len() == 4 && granted.iter().all(|grant| grant.1 == EgressId(1)), "{granted:?}");
    // A step that avoids the only other egress would wait for this one.
    for (.., attempt) in granted {
        settle(&mut scheduler, attempt, Settlement::Answered, at(10));
    }
    let avoiding = Step { avoid: Some(EgressId(1)), ..step(9) };
    scheduler.handle(Event::Enqueue(avoiding), at(3_000));
    assert!(grants(&mut scheduler, at(3_000)).iter().any(|grant| grant.0 == 9));
    scheduler.services.iter().for_each(super::Service::check_places);
}

#[test]
fn of_an_egress_that_goes_down_what_has_not_left_is_recalled_and_nothing_more_is_granted() {
    let mut scheduler = fleet(2, rules(4, Duration::from_secs(1)));
    (1..=12).for_each(|job| scheduler.handle(Event::Enqueue(step(job)), at(0)));
    assert_eq!(grants(&mut scheduler, at(0)).len(), 8);
    scheduler.handle(Event::EgressDown(EgressId(1)), at(10));
    assert_eq!(recalled(&mut scheduler), [1; 4]);
    scheduler.tick(at(60_000));
    assert!(grants(&mut scheduler, at(60_000)).iter().all(|grant| grant.1 == EgressId(0)));
}

#[test]
fn what_a_remote_says_is_left_holds_for_the_egress_it_was_said_to() {
    let mut scheduler = fleet(2, rules(10, Duration::from_secs(1)));
    let left =
        Event::Left { service: SERVICE, egress: EgressId(0), calls: 1, reset: Duration::from_secs(30) };
    scheduler.handle(left, at(0));
    (1..=30).for_each(|job| scheduler.handle(Event::Enqueue(step(job)), at(0)));
    let granted = grants(&mut scheduler, at(0));
    let from = |egress: u32| granted.iter().filter(|grant| grant.1 == EgressId(egress)).count();
    assert_eq!((from(0), from(1)), (1, 10));
}

#[test]
fn ledgers_that_say_nothing_are_shed_and_nobody_can_tell() {
    let mut scheduler = fleet(3, rules(2, Duration::from_secs(1)));
    (1..=6).for_each(|job| scheduler.handle(Event::Enqueue(step(job)), at(0)));
    for (.., attempt) in grants(&mut scheduler, at(0)) {
        settle(&mut scheduler, attempt, Settlement::Answered, at(10));
    }
    let used = |scheduler: &Scheduler, now| {
        (0..3)
            .map(|n| {
                scheduler
                    .seat(SERVICE, EgressId(n))
                    .map_or(0, |l| l.used(&scheduler.rules(SERVICE).own, 0, now))
            })
            .sum::<u32>()
    };
    scheduler.shed(at(500));
    assert_eq!(used(&scheduler, at(500)), 6);
    scheduler.shed(at(5_000));
    (11..=20).for_each(|job| scheduler.handle(Event::Enqueue(step(job)), at(5_000)));
    assert_eq!(grants(&mut scheduler, at(5_000)).len(), 6);
}
