//! Who gets how much: tenants, classes, constraints, outages.

use super::*;

fn kind(class: Class, tenant: u32, selector: Selector) -> FlowKind {
    FlowKind { service: SERVICE, class, tenant: TenantId(tenant), selector }
}

fn open(scheduler: &mut Scheduler, flow: u32, kind: FlowKind) {
    scheduler.handle(Event::Open { flow: FlowId(flow), kind, stored: 0, last: None }, at(0));
}

fn enqueue(scheduler: &mut Scheduler, flow: u32, jobs: std::ops::Range<u64>, now: Instant) {
    for job in jobs {
        scheduler.handle(Event::Enqueue(Step { flow: FlowId(flow), ..step(job) }), now);
    }
}

/// Runs it until `count` calls were answered, each 10 ms after its grant, and tells whose they were and when they left.
fn run(scheduler: &mut Scheduler, count: usize) -> Vec<(u64, EgressId, Instant)> {
    let mut now = at(1_000);
    let mut flying: Vec<(Instant, EgressId, AttemptId)> = Vec::new();
    let mut sent = Vec::new();
    while sent.len() < count {
        for (job, egress, attempt) in grants(scheduler, now) {
            sent.push((job, egress, now));
            flying.push((now + Duration::from_millis(10), egress, attempt));
        }
        flying.sort_unstable();
        let landing = flying.first().map(|flight| flight.0);
        let wake = scheduler.wake_at();
        now = [landing, wake].into_iter().flatten().min().expect("work never ends").max(now);
        while flying.first().is_some_and(|flight| flight.0 <= now) {
            let (.., attempt) = flying.remove(0);
            settle(scheduler, attempt, Settlement::Answered, now);
        }
    }
    sent
}

#[test]
fn two_tenants_of_weights_three_and_one_get_three_to_one_of_a_saturated_service() {
    let mut scheduler = fleet(4, rules(10, Duration::from_secs(1)));
    scheduler.handle(Event::Weigh(TenantId(1), 3), at(0));
    open(&mut scheduler, 10, kind(Class::Normal, 1, Selector::default()));
    open(&mut scheduler, 11, kind(Class::Normal, 2, Selector::default()));
    enqueue(&mut scheduler, 10, 10_000..20_000, at(0));
    enqueue(&mut scheduler, 11, 20_000..30_000, at(0));
    let sent = run(&mut scheduler, 4_000);
    for part in sent.chunks(1_000) {
        let first = part.iter().filter(|call| call.0 < 20_000).count();
        assert!(first.abs_diff(750) <= 1, "{first} of 1,000");
    }
}

#[test]
fn a_constrained_step_waits_for_its_egress_and_stands_in_nobodys_way() {
    let mut scheduler = fleet(3, rules(1, Duration::from_secs(60)));
    let address = "10.0.1.0".parse().ok();
    let only = Selector { address, ..Selector::default() };
    open(&mut scheduler, 10, kind(Class::Normal, 0, only));
    enqueue(&mut scheduler, 10, 1..101, at(0));
    enqueue(&mut scheduler, Class::Normal as u32, 1_000..1_100, at(0));
    let first = grants(&mut scheduler, at(0));
    assert_eq!(first.len(), 3, "every egress is used");
    let fits = |call: &(u64, EgressId, AttemptId)| call.0 >= 1_000 || call.1 == EgressId(2);
    assert!(first.iter().all(fits), "{first:?}");
    let sent = run(&mut scheduler, 0);
    assert!(sent.is_empty());
    for (.., attempt) in first {
        settle(&mut scheduler, attempt, Settlement::Answered, at(10));
    }
    let mut kinds = [0, 0];
    for (job, egress, _) in run(&mut scheduler, 30) {
        assert!(job >= 1_000 || egress == EgressId(2));
        kinds[usize::from(job >= 1_000)] += 1;
    }
    assert!(kinds[0] >= 4, "both lanes share the egress that both may use: {kinds:?}");
    scheduler.services.iter().for_each(super::super::Service::check_places);
}

#[test]
fn an_egress_that_comes_to_fit_a_constraint_is_found_and_one_that_ceases_is_left() {
    let mut scheduler = fleet(1, rules(5, Duration::from_secs(1)));
    let eu = Selector { tags: vec!["eu".to_owned()], ..Selector::default() };
    open(&mut scheduler, 10, kind(Class::Normal, 0, eu));
    enqueue(&mut scheduler, 10, 1..9, at(0));
    assert!(grants(&mut scheduler, at(0)).is_empty());
    let come = |scheduler: &mut Scheduler, tags: Vec<String>, now| {
        let (egress, agent) = (EgressId(0), AgentId(0));
        let address = "10.0.0.0".parse().expect("an address");
        scheduler.handle(Event::EgressUp { egress, agent, address, tags }, now);
    };
    come(&mut scheduler, vec!["eu".to_owned()], at(10));
    let granted = grants(&mut scheduler, at(10));
    assert_eq!(granted.len(), 5);
    come(&mut scheduler, Vec::new(), at(20));
    for (.., attempt) in granted {
        settle(&mut scheduler, attempt, Settlement::Answered, at(30));
    }
    assert!(grants(&mut scheduler, at(5_000)).is_empty());
    scheduler.services.iter().for_each(super::super::Service::check_places);
}

#[test]
fn a_held_flow_is_passed_over_what_it_was_granted_is_recalled_and_its_steps_still_expire() {
    let mut scheduler = fleet(1, rules(2, Duration::from_secs(1)));
    let (held, other) = (FlowId(Class::Normal as u32), Class::Bulk as u32);
    scheduler.handle(Event::Enqueue(step(1)), at(0));
    assert_eq!(grants(&mut scheduler, at(0)).len(), 1);
    scheduler.handle(Event::Enqueue(Step { deadline: at(500), ..step(2) }), at(1));
    scheduler.handle(Event::Hold(held, true), at(1));
    enqueue(&mut scheduler, other, 50..51, at(1));
    scheduler.tick(at(1));
    let commands: Vec<Command> = std::iter::from_fn(|| scheduler.next_command()).collect();
    assert!(matches!(
        commands[..],
        [Command::Recall { job: JobId(1), .. }, Command::Grant { job: JobId(50), .. }]
    ));
    scheduler.tick(at(500));
    assert_eq!(scheduler.next_command(), Some(Command::Expired(JobId(2))));
    scheduler.handle(Event::Enqueue(step(3)), at(501));
    scheduler.handle(Event::Stop(true), at(501));
    scheduler.handle(Event::Hold(held, false), at(501));
    assert!(grants(&mut scheduler, at(60_000)).is_empty());
    scheduler.handle(Event::Stop(false), at(70_000));
    assert_eq!(grants(&mut scheduler, at(70_000)).len(), 1);
}

#[test]
fn an_outage_is_found_tried_with_one_call_at_a_time_and_ended_by_an_answer() {
    let mut scheduler = fleet(3, rules(100, Duration::from_secs(1)));
    enqueue(&mut scheduler, Class::Normal as u32, 1..100, at(0));
    let granted = grants(&mut scheduler, at(0));
    for (.., attempt) in &granted[..6] {
        settle(&mut scheduler, *attempt, Settlement::Unanswered, at(1_000));
    }
    let told: Vec<Command> = std::iter::from_fn(|| scheduler.next_command()).collect();
    assert_eq!(told.first(), Some(&Command::Down(SERVICE)));
    assert_eq!(told.len(), 1 + granted.len() - 6, "what has not left is asked back");
    enqueue(&mut scheduler, Class::Normal as u32, 200..300, at(1_000));
    assert!(grants(&mut scheduler, at(5_999)).is_empty());
    assert_eq!(scheduler.wake_at(), Some(at(6_000)));
    let trial = grants(&mut scheduler, at(6_000));
    assert_eq!(trial.len(), 1);
    settle(&mut scheduler, trial[0].2, Settlement::Refused { named: None }, at(6_100));
    assert!(grants(&mut scheduler, at(6_100)).len() > 50);
    assert!(scheduler.outage(SERVICE).is_none());
}

#[test]
fn a_day_quota_is_spent_evenly_and_a_silent_egress_is_used_last() {
    let long = vec![Quota::new(10, Duration::from_secs(1)), Quota::new(1_000, Duration::from_secs(86_400))];
    let mut scheduler = fleet(8, Terms::sliding(long).rules());
    scheduler.handle(Event::Spent { service: SERVICE, egress: EgressId(3), calls: 500 }, at(0));
    enqueue(&mut scheduler, Class::Normal as u32, 1..5_000, at(0));
    let mut used = [0usize; 8];
    run(&mut scheduler, 1_600).iter().for_each(|call| used[call.1.0 as usize] += 1);
    assert!(used.iter().enumerate().all(|(n, used)| n == 3 || *used > 150), "{used:?}");
    assert!(used[3] < 150, "half of its day is spent already: {used:?}");
}
