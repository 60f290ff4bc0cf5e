//! The scheduler driven by a small simulated fleet, with a list of sends as the referee.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::quota::{Counting, Quota, Terms};

const SERVICE: ServiceId = ServiceId(0);

fn limits(units: u32, per: Duration) -> Limits {
    Terms {
        quotas: vec![Quota { units, per, burst: None }],
        counting: Counting::Sliding,
        concurrency: None,
        cool_down: Duration::from_secs(60),
        max_cool_down: Duration::from_secs(3600),
        timeout: Duration::from_secs(5),
        linger: Duration::from_secs(2),
    }
    .limits()
}

fn at(ms: u64) -> Instant {
    Instant::from_micros(ms * 1_000)
}

fn step(job: u64) -> Step {
    Step {
        job: JobId(job),
        service: SERVICE,
        class: Class::Normal,
        deadline: at(1_000_000_000),
        not_before: Instant::ZERO,
        avoid: None,
    }
}

/// A scheduler with `egresses` addresses, each with an agent of its own and plenty of credit.
fn fleet(egresses: u32, limits: Limits) -> Scheduler {
    let mut scheduler = Scheduler::new(vec![limits], 1, fastrand::Rng::with_seed(1));
    for n in 0..egresses {
        let agent = AgentId(u64::from(n));
        scheduler.handle(Event::EgressUp { egress: EgressId(n), agent }, at(0));
        scheduler.handle(Event::Credit { agent, grants: 1_000 }, at(0));
    }
    scheduler
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

fn settle(
    scheduler: &mut Scheduler,
    attempt: AttemptId,
    egress: EgressId,
    settlement: Settlement,
    now: Instant,
) {
    scheduler.handle(Event::Settle { attempt, service: SERVICE, egress, settlement }, now);
}

impl Scheduler {
    /// Every seat stands where its place says, and in no second place.
    fn check_places(&self) {
        for lane in &self.lanes {
            for (egress, place) in lane.places() {
                let ring = lane.ring().filter(|other| *other == egress).count();
                let parked = lane.parked_at(egress);
                assert_eq!(ring, usize::from(place == Place::Ready), "{egress:?} {place:?}");
                assert_eq!(parked, if let Place::Parked(until) = place { Some(until) } else { None });
            }
        }
    }
}

#[test]
fn work_spreads_over_all_egresses_and_waits_for_the_next_unit() {
    let mut scheduler = fleet(2, limits(2, Duration::from_secs(1)));
    (1..=5).for_each(|job| scheduler.handle(Event::Enqueue(step(job)), at(0)));
    let first = grants(&mut scheduler, at(0));
    assert_eq!(first.iter().map(|g| (g.0, g.1.0)).collect::<Vec<_>>(), [(1, 0), (2, 1), (3, 0), (4, 1)]);
    settle(&mut scheduler, first[1].2, EgressId(1), Settlement::Answered, at(30));
    assert!(grants(&mut scheduler, at(30)).is_empty());
    let due = scheduler.wake_at().expect("the unit comes back");
    assert!(due > at(1_030) && due < at(1_035), "{due:?}");
    assert_eq!(grants(&mut scheduler, due).first().map(|g| (g.0, g.1.0)), Some((5, 1)));
}

#[test]
fn a_refusing_egress_rests_and_the_others_keep_their_own_pace() {
    let mut scheduler = fleet(2, limits(1, Duration::from_secs(1)));
    (1..=3).for_each(|job| scheduler.handle(Event::Enqueue(step(job)), at(0)));
    let first = grants(&mut scheduler, at(0));
    settle(&mut scheduler, first[0].2, EgressId(0), Settlement::Refused { named: None }, at(10));
    settle(&mut scheduler, first[1].2, EgressId(1), Settlement::Answered, at(10));
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
    let mut scheduler = fleet(2, limits(1, Duration::from_secs(1)));
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
        Scheduler::new(vec![limits(100, Duration::from_secs(1))], 1, fastrand::Rng::with_seed(1));
    let agent = AgentId(7);
    scheduler.handle(Event::EgressUp { egress: EgressId(0), agent }, at(0));
    scheduler.handle(Event::Credit { agent, grants: 2 }, at(0));
    (1..=5).for_each(|job| scheduler.handle(Event::Enqueue(step(job)), at(0)));
    assert_eq!(grants(&mut scheduler, at(0)).len(), 2);
    assert_eq!(grants(&mut scheduler, at(1)).len(), 0);
    scheduler.handle(Event::Credit { agent, grants: 1 }, at(2));
    assert_eq!(grants(&mut scheduler, at(2)).len(), 1);
}

#[test]
fn an_attempt_that_is_never_heard_of_is_lost_with_its_unit_charged() {
    let mut scheduler = fleet(1, limits(1, Duration::from_secs(1)));
    scheduler.handle(Event::Enqueue(step(1)), at(0));
    let granted = grants(&mut scheduler, at(0));
    scheduler.handle(Event::AgentDown(AgentId(0)), at(10));
    scheduler.handle(Event::EgressUp { egress: EgressId(0), agent: AgentId(0) }, at(20));
    scheduler.handle(Event::Credit { agent: AgentId(0), grants: 9 }, at(20));
    scheduler.handle(Event::Enqueue(step(2)), at(20));
    assert!(grants(&mut scheduler, at(6_999)).is_empty(), "the unit is held until the attempt is lost");
    scheduler.tick(at(7_000));
    let lost = scheduler.next_command();
    assert_eq!(
        lost,
        Some(Command::Lost { attempt: granted[0].2, job: JobId(1), service: SERVICE, egress: EgressId(0) })
    );
    assert!(grants(&mut scheduler, at(8_000)).is_empty());
    assert_eq!(grants(&mut scheduler, at(8_003)).len(), 1);
    settle(&mut scheduler, granted[0].2, EgressId(0), Settlement::Answered, at(8_500));
    assert_eq!(
        scheduler.seat(SERVICE, EgressId(0)).map(|ledger| ledger.used(
            scheduler.limits(SERVICE),
            0,
            at(8_500)
        )),
        Some(2),
        "charged again: the remote may have counted it late"
    );
}

#[test]
fn a_step_past_its_deadline_expires_whether_it_waits_or_backs_off() {
    let mut scheduler = fleet(1, limits(1, Duration::from_secs(1)));
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
    let mut scheduler = fleet(2, limits(1_000, Duration::from_secs(1)));
    (1..=100).for_each(|job| scheduler.handle(Event::Enqueue(step(job)), at(0)));
    let mut broken = 0;
    let mut granted = grants(&mut scheduler, at(0));
    for ms in 1..1_000 {
        for (job, egress, attempt) in std::mem::take(&mut granted) {
            let settlement = if egress == EgressId(0) { Settlement::NotSent } else { Settlement::Answered };
            broken += u32::from(egress == EgressId(0));
            settle(&mut scheduler, attempt, egress, settlement, at(ms));
            if settlement == Settlement::NotSent {
                scheduler.handle(Event::Enqueue(step(job)), at(ms));
            }
        }
        granted = grants(&mut scheduler, at(ms));
    }
    assert!(broken <= 50 && scheduler.backlog(SERVICE).0 == 0, "{broken}, {:?}", scheduler.backlog(SERVICE));
}

#[test]
fn steps_that_avoid_an_egress_do_not_idle_it_when_the_other_is_far_from_ready() {
    let mut scheduler = fleet(2, limits(1, Duration::from_secs(86_400)));
    scheduler.handle(Event::Enqueue(Step { avoid: Some(EgressId(0)), ..step(1) }), at(0));
    let first = grants(&mut scheduler, at(0));
    settle(&mut scheduler, first[0].2, EgressId(1), Settlement::Answered, at(10));
    (2..=20).for_each(|job| {
        scheduler.handle(Event::Enqueue(Step { avoid: Some(EgressId(0)), ..step(job) }), at(10));
    });
    assert_eq!(grants(&mut scheduler, at(10)).iter().map(|g| g.1).collect::<Vec<_>>(), [EgressId(0)]);
}

#[test]
fn a_result_that_is_told_twice_counts_once() {
    let mut scheduler = fleet(1, limits(5, Duration::from_secs(1)));
    scheduler.handle(Event::Enqueue(step(1)), at(0));
    let granted = grants(&mut scheduler, at(0));
    assert!(scheduler.expects(granted[0].2));
    for ms in [10, 20, 30] {
        settle(&mut scheduler, granted[0].2, EgressId(0), Settlement::Answered, at(ms));
        assert!(!scheduler.expects(granted[0].2));
    }
    let used =
        scheduler.seat(SERVICE, EgressId(0)).map(|ledger| ledger.used(scheduler.limits(SERVICE), 0, at(40)));
    assert_eq!(used, Some(1));
}

#[test]
fn a_paused_service_grants_nothing_until_it_is_resumed() {
    let mut scheduler = fleet(1, limits(5, Duration::from_secs(1)));
    scheduler.handle(Event::Pause(SERVICE), at(0));
    scheduler.handle(Event::Enqueue(step(1)), at(0));
    assert!(grants(&mut scheduler, at(0)).is_empty());
    scheduler.handle(Event::Resume(SERVICE), at(5));
    assert_eq!(grants(&mut scheduler, at(5)).len(), 1);
}

#[test]
fn an_adopted_attempt_holds_its_unit_and_its_job() {
    let mut scheduler = fleet(1, limits(1, Duration::from_secs(1)));
    scheduler.handle(Event::Enqueue(step(1)), at(0));
    let attempt = AttemptId { start: 0, count: 9 };
    scheduler.handle(Event::Adopt { attempt, job: JobId(1), service: SERVICE, egress: EgressId(0) }, at(0));
    assert!(grants(&mut scheduler, at(0)).is_empty());
    assert_eq!(scheduler.running(JobId(1)), Some(attempt));
    settle(&mut scheduler, attempt, EgressId(0), Settlement::Answered, at(40));
    assert_eq!(scheduler.backlog(SERVICE), (0, 0));
}

#[derive(Clone, Debug)]
enum Act {
    Enqueue { avoid: Option<u32>, class: usize },
    Withdraw(usize),
    Finish { flight: usize, how: u8 },
    Down(u32),
    Up(u32),
    Pass(u64),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (prop::option::weighted(0.2, 0..4u32), 0..3usize).prop_map(|(avoid, class)| Act::Enqueue { avoid, class }),
        1 => any::<usize>().prop_map(Act::Withdraw),
        6 => (any::<usize>(), 0..20u8).prop_map(|(flight, how)| Act::Finish { flight, how }),
        1 => (0..4u32).prop_map(Act::Down),
        1 => (0..4u32).prop_map(Act::Up),
        4 => (0..1_500u64).prop_map(Act::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// The referee counts a call at its grant and, if answered, again at its end: whichever instant the
    /// remote chose between the two, no span may hold more than the quota.
    #[test]
    fn whatever_happens_no_quota_is_exceeded_no_step_is_lost_and_no_budget_idles(
        acts in prop::collection::vec(act(), 1..200), units in 1u32..4,
    ) {
        let span = Duration::from_millis(1_000);
        let mut scheduler = fleet(4, limits(units, span));
        let classes = [Class::Interactive, Class::Normal, Class::Bulk];
        let mut now = at(0);
        let (mut next_job, mut open) = (0u64, BTreeMap::<u64, bool>::new());
        let mut flights: Vec<(u64, EgressId, AttemptId)> = Vec::new();
        let mut ends: BTreeMap<EgressId, Vec<Instant>> = BTreeMap::new();
        let mut up = [true; 4];
        for act in acts {
            match act {
                Act::Enqueue { avoid, class } => {
                    next_job += 1;
                    open.insert(next_job, false);
                    let avoid = avoid.map(EgressId);
                    scheduler.handle(Event::Enqueue(Step { avoid, class: classes[class], ..step(next_job) }), now);
                }
                Act::Withdraw(index) if !open.is_empty() => {
                    let job = *open.keys().nth(index % open.len()).expect("within");
                    open.remove(&job);
                    scheduler.handle(Event::Withdraw(JobId(job)), now);
                }
                Act::Finish { flight, how } if !flights.is_empty() => {
                    let (job, egress, attempt) = flights.swap_remove(flight % flights.len());
                    let settlement = match how {
                        0 => Settlement::Refused { named: None },
                        1 => Settlement::Withdrawn,
                        2 => Settlement::Unanswered,
                        _ => Settlement::Answered,
                    };
                    settle(&mut scheduler, attempt, egress, settlement, now);
                    if settlement == Settlement::Answered {
                        open.remove(&job);
                    } else if let Some(running) = open.get_mut(&job) {
                        *running = false;
                        scheduler.handle(Event::Enqueue(step(job)), now);
                    }
                    if settlement != Settlement::Withdrawn {
                        ends.entry(egress).or_default().push(now);
                    }
                }
                Act::Down(n) if up[n as usize] => {
                    up[n as usize] = false;
                    scheduler.handle(Event::AgentDown(AgentId(u64::from(n))), now);
                }
                Act::Up(n) if !up[n as usize] => {
                    up[n as usize] = true;
                    let agent = AgentId(u64::from(n));
                    scheduler.handle(Event::EgressUp { egress: EgressId(n), agent }, now);
                    scheduler.handle(Event::Credit { agent, grants: 1_000 }, now);
                }
                Act::Pass(ms) => now = now + Duration::from_millis(ms),
                _ => {}
            }
            scheduler.tick(now);
            while let Some(command) = scheduler.next_command() {
                match command {
                    Command::Grant { attempt, job, egress, .. } => {
                        prop_assert!(up[egress.0 as usize]);
                        let live = ends.get(&egress).map_or(0, |e| e.iter().filter(|end| **end + span > now).count());
                        let flying = flights.iter().filter(|f| f.1 == egress).count();
                        prop_assert!(live + flying < units as usize, "{} live, {} flying", live, flying);
                        prop_assert_eq!(open.insert(job.0, true), Some(false), "granted while open and not running");
                        flights.push((job.0, egress, attempt));
                    }
                    Command::Lost { attempt, job, egress, .. } => {
                        flights.retain(|flight| flight.2 != attempt);
                        ends.entry(egress).or_default().push(now);
                        if let Some(running) = open.get_mut(&job.0) {
                            *running = false;
                            scheduler.handle(Event::Enqueue(step(job.0)), now);
                            scheduler.tick(now);
                        }
                    }
                    Command::Expired(job) => prop_assert!(false, "{job:?} has no early deadline"),
                }
            }
            scheduler.check_places();
            let waiting = open.values().filter(|running| !**running).count();
            prop_assert_eq!(scheduler.backlog(SERVICE).0, waiting);
            if waiting > 0 {
                let idle = (0..4).filter(|n| up[*n as usize]).map(EgressId).find(|egress| {
                    let fit = scheduler.seat(SERVICE, *egress);
                    let ready = fit.map(|ledger| ledger.ready(scheduler.limits(SERVICE), now));
                    ready.is_none_or(|ready| ready == crate::ledger::Ready::Now)
                });
                // Steps that avoid an egress may leave it idle while another is fit for them.
                let choosy = scheduler.steps.values().filter(|(s, st)| *st == Standing::Waiting && s.avoid.is_some()).count();
                prop_assert!(idle.is_none() || choosy >= waiting.min(8), "{idle:?} idles with {waiting} waiting");
            }
        }
    }
}
