//! A million jobs that wait are nobody else's affair.

use super::*;

const JOBS: u64 = 1_000_000;
const IN_MEMORY: u64 = super::super::flow::MOST as u64;
/// Bulk jobs of one tenant: in memory, as many as a flow keeps there, and in a store that is only counted.
const HERE: FlowId = FlowId(10);
const STORED: FlowId = FlowId(11);
/// How long an answer takes.
const TAKES: Duration = Duration::from_millis(10);

struct Flood {
    scheduler: Scheduler,
    now: Instant,
    flying: Vec<(Instant, EgressId, AttemptId)>,
    interval: Duration,
}

impl Flood {
    fn new(egresses: u32, rules: Rules) -> Self {
        // Until a unit is back: the answer, and the span after it.
        let interval = TAKES + rules.own.windows[0].span();
        let mut flood = Self { scheduler: fleet(egresses, rules), now: at(0), flying: Vec::new(), interval };
        for (flow, stored) in [(HERE, 0), (STORED, JOBS - IN_MEMORY)] {
            let kind = FlowKind {
                service: SERVICE,
                class: Class::Bulk,
                tenant: TenantId(1),
                selector: Selector::default(),
            };
            let last = (stored > 0).then(|| Self::row(stored).place());
            flood.scheduler.handle(Event::Open { flow, kind, stored, last }, at(0));
        }
        for job in 0..IN_MEMORY {
            let step = Step { flow: HERE, is_stored: true, ..step(2 * JOBS + job) };
            flood.scheduler.handle(Event::Enqueue(step), at(0));
        }
        assert_eq!(flood.scheduler.backlog(SERVICE), (JOBS as usize, 0));
        flood
    }

    /// The nth of the store.
    fn row(nth: u64) -> Step {
        Step { flow: STORED, is_stored: true, ..step(JOBS + nth) }
    }

    /// What is handed out now.
    fn turn(&mut self) -> Vec<JobId> {
        let mut granted = Vec::new();
        self.scheduler.tick(self.now);
        while let Some(command) = self.scheduler.next_command() {
            match command {
                Command::Grant { attempt, job, egress, .. } => {
                    granted.push(job);
                    self.flying.push((self.now + TAKES, egress, attempt));
                }
                Command::Load { flow, after, most } => {
                    let first = after.map_or(1, |(_, job)| job.0 - JOBS + 1);
                    let steps: Vec<Step> = (first..first + most as u64).map(Self::row).collect();
                    let through = steps.last().map(Step::place);
                    self.scheduler.handle(Event::Loaded { flow, steps, through }, self.now);
                    self.scheduler.tick(self.now);
                }
                other => panic!("nothing is lost or late here: {other:?}"),
            }
        }
        granted
    }

    /// When something happens next.
    fn upcoming(&self) -> Instant {
        let landing = self.flying.iter().map(|flight| flight.0).min();
        let next = [landing, self.scheduler.wake_at()].into_iter().flatten().min();
        next.expect("work never ends").max(self.now)
    }

    fn go_to(&mut self, now: Instant) {
        self.now = now;
        for (.., attempt) in self.flying.extract_if(.., |flight| flight.0 <= now) {
            settle(&mut self.scheduler, attempt, Settlement::Answered, now);
        }
    }
}

#[test]
fn an_interactive_step_behind_a_million_bulk_jobs_leaves_with_the_first_unit_within_one_interval() {
    let mut flood = Flood::new(3, rules(2, Duration::from_secs(1)));
    for job in 1..=50 {
        // Anywhere in the interval, while the flood takes all that comes back.
        let begins = flood.now + Duration::from_millis(500 + job * 37);
        flood.turn();
        while flood.upcoming() < begins {
            flood.go_to(flood.upcoming());
            flood.turn();
        }
        flood.go_to(begins);
        let step = Step { flow: FlowId(Class::Interactive as u32), ..step(job) };
        flood.scheduler.handle(Event::Enqueue(step), begins);
        let first = loop {
            if let Some(first) = flood.turn().first() {
                break *first;
            }
            flood.go_to(flood.upcoming());
        };
        assert_eq!(first, JobId(job), "the first unit that comes back is not for the flood");
        let waited = flood.now.since(begins);
        assert!(waited <= flood.interval, "{waited:?} of {:?}", flood.interval);
    }
    assert!(flood.scheduler.waiting(STORED) > JOBS - 2 * IN_MEMORY && flood.scheduler.waiting(HERE) > 0);
}
