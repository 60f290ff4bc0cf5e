//! Flows whose steps wait in a store, against a store that is nothing but an ordered set.

use std::collections::BTreeSet;

use super::*;

/// A flow and its store: rows that were told to the scheduler, and rows that it will be told of.
struct Twin {
    scheduler: Scheduler,
    stored: BTreeSet<Place>,
    untold: Vec<Place>,
    ended: BTreeSet<JobId>,
    loads: Vec<(Vec<Place>, Option<Place>)>,
    in_memory: BTreeSet<JobId>,
    order: Vec<Place>,
    next: u64,
}

const FLOW: FlowId = FlowId(Class::Normal as u32);

impl Twin {
    fn stored(place: Place) -> Step {
        Step { deadline: place.0, is_stored: true, ..step(place.1.0) }
    }

    /// A row is committed; the scheduler hears of it later.
    fn append(&mut self, deadline: u64) {
        self.next += 1;
        let place = (at(1_000_000 + deadline), JobId(self.next));
        self.stored.insert(place);
        self.untold.push(place);
    }

    fn tell(&mut self, index: usize, now: Instant) {
        let place = self.untold.swap_remove(index % self.untold.len());
        if !self.ended.contains(&place.1) {
            self.in_memory.insert(place.1);
            self.scheduler.handle(Event::Enqueue(Self::stored(place)), now);
        }
    }

    fn end(&mut self, place: Place) {
        self.stored.remove(&place);
        self.ended.insert(place.1);
        self.in_memory.remove(&place.1);
    }

    /// Gives up a waiting job, wherever it is.
    fn cancel(&mut self, index: usize, now: Instant) {
        let waiting: Vec<Place> =
            self.stored.iter().filter(|place| self.scheduler.running(place.1).is_none()).copied().collect();
        let Some(place) = waiting.get(index % waiting.len().max(1)).copied() else { return };
        if self.in_memory.contains(&place.1) {
            self.scheduler.handle(Event::Withdraw(place.1), now);
        } else if !self.untold.contains(&place) {
            self.scheduler.handle(Event::Gone(FLOW), now);
        }
        self.end(place);
    }

    /// A reading that was taken earlier arrives; what has ended or is not told yet is left out.
    fn deliver(&mut self, now: Instant) {
        if self.loads.is_empty() {
            return;
        }
        let (rows, through) = self.loads.remove(0);
        let known = |place: &&Place| !self.ended.contains(&place.1) && !self.untold.contains(place);
        let steps: Vec<Step> = rows.iter().filter(known).map(|place| Self::stored(*place)).collect();
        self.in_memory.extend(steps.iter().map(|step| step.job));
        self.scheduler.handle(Event::Loaded { flow: FLOW, steps, through }, now);
    }

    fn obey(&mut self, now: Instant, flying: &mut Vec<(Place, EgressId, AttemptId)>) {
        self.scheduler.tick(now);
        while let Some(command) = self.scheduler.next_command() {
            match command {
                Command::Grant { attempt, job, egress, .. } => {
                    assert!(self.in_memory.contains(&job), "{job:?} is granted from memory");
                    let place = *self.stored.iter().find(|place| place.1 == job).expect("it is open");
                    self.order.push(place);
                    flying.push((place, egress, attempt));
                }
                Command::Lost { attempt, job, .. } => {
                    flying.retain(|flight| flight.2 != attempt);
                    let place = *self.stored.iter().find(|place| place.1 == job).expect("it is open");
                    self.order.retain(|granted| *granted != place);
                    self.scheduler
                        .handle(Event::Enqueue(Step { is_stored: false, ..Self::stored(place) }), now);
                    self.scheduler.tick(now);
                }
                Command::Leave(job) => {
                    self.in_memory.remove(&job);
                }
                Command::Load { after, most, .. } => {
                    assert!(self.loads.is_empty(), "one reading at a time");
                    let beyond = self.stored.iter().filter(|place| after.is_none_or(|after| **place > after));
                    let rows: Vec<Place> = beyond.take(most).copied().collect();
                    let through = rows.last().copied().filter(|_| rows.len() == most);
                    self.loads.push((rows, through));
                }
                _ => {}
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Do {
    Append(u64),
    Tell(usize),
    Cancel(usize),
    Deliver,
    Finish(usize),
    Pass(u64),
}

fn doing() -> impl Strategy<Value = Do> {
    prop_oneof![
        12 => (0..1_000u64).prop_map(Do::Append),
        10 => any::<usize>().prop_map(Do::Tell),
        2 => any::<usize>().prop_map(Do::Cancel),
        4 => Just(Do::Deliver),
        6 => any::<usize>().prop_map(Do::Finish),
        4 => (0..400u64).prop_map(Do::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Small windows, so that rows come and go across the mark all the time.
    #[test]
    fn every_stored_step_is_granted_once_whatever_is_read_and_written_meanwhile(
        acts in prop::collection::vec(doing(), 1..400), begun in 0..200u64,
    ) {
        let scheduler = fleet(2, rules(20, Duration::from_millis(50)));
        let mut twin = Twin {
            scheduler, stored: BTreeSet::new(), untold: Vec::new(), ended: BTreeSet::new(), loads: Vec::new(),
            in_memory: BTreeSet::new(), order: Vec::new(), next: 0,
        };
        twin.scheduler.handle(Event::Close(FLOW), at(0));
        for n in 0..begun {
            twin.append(n * 7 % 1_000);
        }
        twin.untold.clear();
        let kind = FlowKind {
            service: SERVICE, class: Class::Normal, tenant: TenantId(0), selector: Selector::default(),
        };
        // Memory is short from the beginning.
        twin.scheduler.stored = 1_000_000;
        twin.scheduler.handle(Event::Open { flow: FLOW, kind, stored: begun, last: None }, at(0));
        let mut now = at(0);
        let mut flying = Vec::new();
        let finish = |twin: &mut Twin, flying: &mut Vec<(Place, EgressId, AttemptId)>, index: usize, now| {
            let (place, _, attempt) = flying.swap_remove(index % flying.len());
            settle(&mut twin.scheduler, attempt, Settlement::Answered, now);
            twin.end(place);
        };
        for act in acts {
            match act {
                Do::Append(deadline) => twin.append(deadline),
                Do::Tell(index) if !twin.untold.is_empty() => twin.tell(index, now),
                Do::Cancel(index) => twin.cancel(index, now),
                Do::Deliver => twin.deliver(now),
                Do::Finish(index) if !flying.is_empty() => finish(&mut twin, &mut flying, index, now),
                Do::Pass(ms) => now = now + Duration::from_millis(ms),
                _ => {}
            }
            twin.obey(now, &mut flying);
            let memory = twin.in_memory.len() - flying.len();
            prop_assert!(memory <= 2 * super::super::flow::LEAST + 64, "{memory} in memory");
        }
        // Everything is told, read and answered in the end.
        for _ in 0..20_000 {
            if !twin.untold.is_empty() {
                twin.tell(0, now);
            }
            twin.deliver(now);
            while !flying.is_empty() {
                finish(&mut twin, &mut flying, 0, now);
            }
            now = now + Duration::from_millis(60);
            twin.obey(now, &mut flying);
            if twin.stored.is_empty() {
                break;
            }
        }
        prop_assert!(twin.stored.is_empty(), "{} were never granted", twin.stored.len());
        prop_assert_eq!(twin.scheduler.backlog(SERVICE).0, 0);
        let granted: BTreeSet<Place> = twin.order.iter().copied().collect();
        prop_assert_eq!(granted.len(), twin.order.len(), "none twice");
        prop_assert_eq!(twin.scheduler.asked, 0);
    }
}

#[test]
fn stored_steps_are_read_in_the_order_of_their_deadlines() {
    let mut twin = Twin {
        scheduler: fleet(1, rules(1_000_000, Duration::from_secs(1))),
        stored: BTreeSet::new(),
        untold: Vec::new(),
        ended: BTreeSet::new(),
        loads: Vec::new(),
        in_memory: BTreeSet::new(),
        order: Vec::new(),
        next: 0,
    };
    twin.scheduler.handle(Event::Close(FLOW), at(0));
    (0..10_000).for_each(|n| twin.append(n * 7_919 % 10_000));
    twin.untold.clear();
    let (class, tenant, selector) = (Class::Normal, TenantId(0), Selector::default());
    let kind = FlowKind { service: SERVICE, class, tenant, selector };
    twin.scheduler.handle(Event::Open { flow: FLOW, kind, stored: 10_000, last: None }, at(0));
    twin.scheduler.handle(Event::Credit { agent: AgentId(0), grants: 1_000_000 }, at(0));
    let mut flying = Vec::new();
    for _ in 0..100 {
        twin.obey(at(1), &mut flying);
        twin.deliver(at(1));
    }
    twin.obey(at(1), &mut flying);
    assert_eq!(twin.order.len(), 10_000);
    assert!(twin.order.is_sorted());
}

#[test]
fn a_flow_reads_more_at_a_time_while_there_is_room_and_its_part_when_there_is_none() {
    let readings = |others: u32, stored: usize| {
        let mut scheduler = fleet(1, rules(1_000_000, Duration::from_secs(1)));
        let kind = FlowKind {
            service: SERVICE,
            class: Class::Bulk,
            tenant: TenantId(1),
            selector: Selector::default(),
        };
        for n in 0..others {
            let (flow, kind) = (FlowId(100 + n), kind.clone());
            scheduler.handle(Event::Open { flow, kind, stored: 0, last: None }, at(0));
        }
        scheduler.stored = stored;
        let flow = FlowId(99);
        scheduler.handle(Event::Open { flow, kind, stored: 2_000, last: None }, at(0));
        let (mut readings, mut next) = (Vec::new(), 1);
        for ms in 0..6 {
            scheduler.tick(at(ms));
            let commands: Vec<Command> = std::iter::from_fn(|| scheduler.next_command()).collect();
            for command in commands {
                match command {
                    Command::Load { most, .. } => {
                        readings.push(most);
                        let step = |job| Step { flow, is_stored: true, ..step(1_000 + job) };
                        let steps: Vec<Step> = (next..next + most as u64).map(step).collect();
                        next += most as u64;
                        let through = steps.last().map(Step::place);
                        scheduler.handle(Event::Loaded { flow, steps, through }, at(ms));
                    }
                    Command::Grant { attempt, .. } => {
                        settle(&mut scheduler, attempt, Settlement::Answered, at(ms));
                    }
                    other => panic!("nothing is lost or late here: {other:?}"),
                }
            }
        }
        readings
    };
    assert_eq!(readings(9_998, 0), [32, 32, 64, 128, 256, 512]);
    assert_eq!(readings(1_990, 1_000_000), [32, 32, 64, 100, 100, 100]);
    assert_eq!(readings(9_998, 1_000_000), [32; 6]);
}
