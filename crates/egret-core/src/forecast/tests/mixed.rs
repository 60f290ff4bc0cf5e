//! A thousand targets of three services, as planned and as the scheduler makes of them in virtual time.

use super::*;
use crate::id::{AgentId, AttemptId, FlowId, JobId, TenantId};
use crate::scheduler::{Class, Command, Event, FlowKind, Selector, Settlement, Step};

const TARGETS: u32 = 1_000;
/// How long an answer takes.
const TAKES: Duration = Duration::from_millis(150);

/// A service with its part of the targets.
type Part = (u64, &'static [(u32, u64)]);

const PARTS: [Part; 3] = [(600, &[(10, 1_000), (60, 60_000)]), (300, &[(5, 1_000)]), (100, &[(30, 60_000)])];

/// Which of them is asked for the nth target.
fn asked(nth: u32) -> ServiceId {
    ServiceId(match nth % 10 {
        0..6 => 0,
        6..9 => 1,
        _ => 2,
    })
}

fn address(egress: u32) -> IpAddr {
    Ipv4Addr::from(0x0a00_0000 + egress * 65_536).into()
}

/// All targets wait, and so many egresses are up.
fn scheduler(egresses: u32) -> Scheduler {
    let rules = PARTS.map(|(_, quotas)| Terms::sliding(own(quotas)).rules());
    let mut scheduler = Scheduler::new(rules.into(), 1, fastrand::Rng::with_seed(1));
    for (n, service) in (0..).map(|n| (n, ServiceId(n))).take(PARTS.len()) {
        let (class, tenant, selector) = (Class::Normal, TenantId(0), Selector::default());
        let kind = FlowKind { service, class, tenant, selector };
        scheduler.handle(Event::Open { flow: FlowId(n), kind, stored: 0, last: None }, START);
    }
    for n in 0..egresses {
        let (egress, agent) = (EgressId(n), AgentId(u64::from(n)));
        let up = Event::EgressUp { egress, agent, address: address(n), tags: Vec::new() };
        scheduler.handle(up, START);
        scheduler.handle(Event::Credit { agent, grants: u32::MAX }, START);
    }
    for nth in 0..TARGETS {
        let (job, flow) = (JobId(u64::from(nth)), FlowId(asked(nth).0));
        let (deadline, not_before) = (START + ms(86_400_000), Instant::ZERO);
        let step = Step { job, flow, deadline, not_before, avoid: None, is_stored: false };
        scheduler.handle(Event::Enqueue(step), START);
    }
    scheduler
}

/// Calls of each service, and when the last of them was answered.
fn run(mut scheduler: Scheduler) -> BTreeMap<ServiceId, (u64, Instant)> {
    let mut flying: Vec<(Instant, AttemptId)> = Vec::new();
    let (mut ends, mut now) = (BTreeMap::new(), START);
    loop {
        scheduler.tick(now);
        while let Some(command) = scheduler.next_command() {
            let Command::Grant { attempt, service, .. } = command else { panic!("{command:?}") };
            flying.push((now + TAKES, attempt));
            let (calls, end) = ends.entry(service).or_insert((0, START));
            (*calls, *end) = (*calls + 1, now + TAKES);
        }
        let landing = flying.iter().map(|flight| flight.0).min();
        let Some(next) = [landing, scheduler.wake_at()].into_iter().flatten().min() else { return ends };
        now = next;
        for (_, attempt) in flying.extract_if(.., |flight| flight.0 <= now) {
            let (settlement, at_agent, took) = (Settlement::Answered, None, Some(TAKES));
            let settle = Event::Settle { attempt, settlement, at_agent, took };
            scheduler.handle(settle, now);
        }
    }
}

#[test]
fn a_plan_of_a_thousand_mixed_targets_has_all_calls_and_is_within_five_percent_of_what_happens() {
    let planned = scheduler(2);
    for more in 0..3 {
        let truth = run(scheduler(2 + more));
        for (n, (calls, quotas)) in (0..).zip(PARTS) {
            let service = ServiceId(n);
            assert_eq!(planned.backlog(service), (calls as usize, 0));
            let up = (0..2).map(|n| (EgressId(n), address(n), &[][..]));
            let forecast = Forecast::of(&planned, service, up, TAKES, START).with_more(more as usize);
            let planned = forecast.drain(calls).answered_at(calls).expect("it ends").since(START);
            let (made, end) = truth[&service];
            let took = end.since(START);
            assert_eq!(made, calls, "{quotas:?}");
            assert!(planned.abs_diff(took) * 20 <= took, "{quotas:?}: {planned:?}, it took {took:?}");
        }
    }
}
