//! What is claimed of every command, and of the time between two.

use super::acts::Act;
use super::world::{Flight, World, ms};
use super::*;

impl World {
    /// Has the scheduler hear of something. Returns what it says of its service.
    pub(super) fn tell(&mut self, event: Event) -> Option<Command> {
        self.scheduler.handle(event, self.now);
        let mut said = None;
        while let Some(command) = self.scheduler.next_command() {
            match command {
                Command::Down(_) | Command::Back(_) => said = Some(command),
                command => self.obey(command),
            }
        }
        self.lines.see();
        said
    }

    /// What may be said at any time.
    fn obey(&mut self, command: Command) {
        match command {
            Command::Recall { attempt, job, egress } => {
                let flight = self.flights.iter_mut().find(|flight| flight.attempt == attempt);
                let flight = flight.expect("what is recalled is in flight");
                assert!(!flight.is_recalled && (flight.job, flight.egress) == (job, egress));
                flight.is_recalled = true;
            }
            Command::Leave(job) => {
                let step = self.lines.jobs[&job].step;
                assert!(step.is_stored && step.avoid.is_none(), "{step:?} would be lost");
                self.lines.put(job, Where::Store);
            }
            Command::Load { flow, after, most } => self.lines.read(flow, after, most),
            other => panic!("{other:?} without a turn"),
        }
    }

    /// Lets time pass as a shell does that wakes up only when it was told to.
    pub(super) fn sleep(&mut self, until: Instant) {
        while let Some(at) = self.scheduler.wake_at().filter(|at| *at <= until) {
            assert!(at >= self.now, "it wakes in the past");
            self.now = at;
            self.turn();
            assert!(self.scheduler.wake_at().is_none_or(|next| next > at), "it wakes again and again");
        }
        self.now = until;
        let missed = self.lines.jobs.values().find(|job| match job.at {
            Where::Delayed(end) => end <= until,
            Where::Memory => job.step.deadline <= until,
            _ => false,
        });
        assert!(missed.is_none(), "it sleeps through {missed:?}");
        assert!(self.flights.iter().all(|flight| flight.lost_at > until), "it sleeps through a loss");
        self.check_idle("slept through");
    }

    /// A turn, and another for those whose calls were lost.
    pub(super) fn turn(&mut self) {
        let now = self.now;
        let mut lost: Vec<Flight> =
            self.flights.iter().filter(|flight| flight.lost_at <= now).copied().collect();
        for Flight { attempt, egress, .. } in &lost {
            let of = self.budgets.lose(*attempt, *egress, now);
            self.lost.push((*attempt, *egress, of));
        }
        let again: Vec<Step> =
            lost.iter().filter_map(|flight| self.stop_running(flight.job, flight.attempt)).collect();
        let mut expired = self.lines.pass(now);
        self.scheduler.tick(now);
        while let Some(command) = self.scheduler.next_command() {
            match command {
                Command::Grant { attempt, job, egress, agent, .. } => {
                    self.granted(attempt, job, egress, agent);
                }
                Command::Lost { attempt, job, egress, .. } => {
                    let is_it = |flight: &Flight| {
                        (flight.attempt, flight.job, flight.egress) == (attempt, job, egress)
                    };
                    let at = lost.iter().position(is_it).expect("it is overdue");
                    self.forget(lost.swap_remove(at));
                }
                Command::Expired(job) => {
                    assert!(expired.remove(&job), "{job:?} has time left, or had no step");
                }
                command => self.obey(command),
            }
        }
        assert!(lost.is_empty() && expired.is_empty(), "{lost:?} and {expired:?} were passed over");
        self.lines.see();
        self.check();
        if !again.is_empty() {
            again.into_iter().for_each(|step| self.enqueue(Step { is_stored: false, ..step }));
            self.turn();
        }
    }

    fn forget(&mut self, flight: Flight) {
        self.flights.retain(|other| other.attempt != flight.attempt);
        if let Some((_, _, trial)) = &mut self.silence.down {
            trial.take_if(|trial| *trial == flight.attempt);
        }
    }

    fn granted(&mut self, attempt: AttemptId, job: JobId, egress: EgressId, agent: AgentId) {
        let now = self.now;
        assert_eq!(self.up.get(&egress), Some(&agent), "nobody else speaks for {egress:?}");
        assert!(self.has_credit(egress), "{agent:?} takes no more");
        assert!(self.grants(), "a service that rests, or is down and tried already");
        let of = self.budgets.of(egress, self.homes.get(&egress));
        assert!(!self.budgets.is_over_with_one_more(&of, now), "{egress:?} is over a quota");
        assert_ne!(self.budgets.verdict(egress, &of, now), Verdict::No, "{egress:?} may not send");
        self.check_turn(job, egress);
        *self.credit.entry(agent).or_default() -= 1;
        self.lines.take(job, attempt);
        self.take_off(attempt, job, egress, now);
        if let Some((_, _, trial)) = &mut self.silence.down {
            *trial = Some(attempt);
        }
    }

    /// The step that is handed out is the one whose turn it is.
    fn check_turn(&self, job: JobId, egress: EgressId) {
        let job = self.lines.jobs.get(&job).expect("it is open");
        assert!(job.at == Where::Memory && !self.lines.line(job).is_held && job.step.deadline > self.now);
        let lane = &self.lines.line(job).selector;
        assert!(self.takes(lane, egress), "{lane:?} leaves from {egress:?}");
        let turn = |job: &Job| self.lines.turn(job);
        let fitting = self.lines.of_lane(lane).filter(|job| job.step.avoid != Some(egress));
        let first = fitting.map(turn).min().or_else(|| {
            assert!(self.is_alone(lane, egress), "{job:?} avoids {egress:?}");
            self.lines.of_lane(lane).map(turn).min()
        });
        assert_eq!(Some(turn(job)), first, "it is another's turn");
        // A lane goes by its first step, whoever that avoids, and before all those that could hand one out as well.
        let head = |lane: &Selector| self.lines.of_lane(lane).map(turn).min();
        let comes_before = |other: &Selector| head(other).is_some_and(|turn| Some(turn) < head(lane));
        for other in self.lanes().filter(comes_before) {
            let could = self.able().any(|egress| self.takes(&other, egress) && self.fits(&other, egress));
            assert!(!could, "the turn of {other:?} comes before that of {lane:?}");
        }
    }

    fn lanes(&self) -> impl Iterator<Item = Selector> {
        let lanes: BTreeSet<Selector> = self.lines.lines.values().map(|line| line.selector.clone()).collect();
        lanes.into_iter()
    }

    fn takes(&self, lane: &Selector, egress: EgressId) -> bool {
        self.homes.get(&egress).is_some_and(|home| lane.takes(home.0, &home.1))
    }

    /// Whether a step of a lane waits that does not avoid an egress.
    fn fits(&self, lane: &Selector, egress: EgressId) -> bool {
        self.lines.of_lane(lane).any(|job| job.step.avoid != Some(egress))
    }

    fn has_credit(&self, egress: EgressId) -> bool {
        self.up.get(&egress).is_some_and(|agent| self.credit.get(agent).is_some_and(|credit| *credit > 0))
    }

    /// Whether no other egress of a lane could take a step, now or later.
    fn is_alone(&self, lane: &Selector, egress: EgressId) -> bool {
        !self.up.keys().any(|other| *other != egress && self.has_credit(*other) && self.takes(lane, *other))
    }

    /// Egresses that may certainly send.
    fn able(&self) -> impl Iterator<Item = EgressId> {
        let verdict = |egress: EgressId| {
            self.budgets.verdict(egress, &self.budgets.of(egress, self.homes.get(&egress)), self.now)
        };
        self.up
            .keys()
            .copied()
            .filter(|egress| self.has_credit(*egress))
            .filter(move |egress| verdict(*egress) == Verdict::Yes)
    }

    fn grants(&self) -> bool {
        let is_tried = |down: (Instant, Duration, Option<AttemptId>)| down.2.is_none() && down.0 <= self.now;
        !self.is_paused && !self.is_stopped && self.silence.down.is_none_or(is_tried)
    }

    /// Nothing waits that could leave.
    fn check_idle(&self, how: &str) {
        if !self.grants() {
            return;
        }
        for egress in self.able() {
            for lane in self.lanes().filter(|lane| self.takes(lane, egress)) {
                let idle = self.fits(&lane, egress)
                    || (self.is_alone(&lane, egress) && self.lines.of_lane(&lane).next().is_some());
                assert!(!idle, "{how}: {egress:?} could serve {lane:?}");
            }
        }
    }

    /// After a turn.
    fn check(&mut self) {
        let now = self.now;
        self.check_idle("after a turn");
        self.scheduler.services.iter().for_each(super::super::super::Service::check_places);
        assert_eq!(self.scheduler.in_flight(), self.flights.len());
        for flight in &self.flights {
            assert_eq!(self.scheduler.left_from(flight.attempt), Some(flight.egress));
        }
        for (attempt, ..) in self.lost.iter().rev().take(3) {
            assert!(self.scheduler.expects(*attempt));
        }
        assert!(self.ended.last().is_none_or(|(attempt, _)| !self.scheduler.expects(*attempt)));
        for (id, job) in &self.lines.jobs {
            assert_eq!(self.scheduler.has_step(*id), job.at != Where::Store, "{job:?}");
            let running = if let Where::Running(attempt) = job.at { Some(attempt) } else { None };
            assert_eq!(self.scheduler.running(*id), running, "{job:?}");
        }
        let (mut all, delays) = (0, |job: &&Job| matches!(job.at, Where::Delayed(_)));
        for (flow, line) in &self.lines.lines {
            let waits = |job: &&Job| !matches!(job.at, Where::Delayed(_) | Where::Running(_));
            let waiting = self.lines.of_line(*flow).filter(waits).count() + usize::from(line.counts_one_more);
            assert_eq!(self.scheduler.waiting(*flow), waiting as u64, "{flow:?} {line:?}");
            all += waiting + self.lines.of_line(*flow).filter(delays).count();
        }
        assert_eq!(self.scheduler.backlog(SERVICE), (all, self.flights.len()));
        assert_eq!(self.scheduler.outage(SERVICE).is_some(), self.silence.down.is_some());
        self.check_store();
        self.check_ledgers();
        self.budgets.tidy(now);
    }

    /// Up to a mark every step is in memory, beyond it none, and memory does not run dry.
    fn check_store(&self) {
        for (flow, line) in self.lines.lines.iter().filter(|(_, line)| line.reading.is_none()) {
            let places = |at: Where| {
                let is_there =
                    move |job: &&Job| job.at == at && job.step.is_stored && job.step.avoid.is_none();
                self.lines.of_line(*flow).filter(is_there).map(|job| job.step.place())
            };
            let (last, next) = (places(Where::Memory).max(), places(Where::Store).min());
            assert!(next.is_none() || last.is_some(), "{flow:?} {line:?} does not read on");
            assert!(next.is_none() || last < next, "{flow:?}: {next:?} is in the store, {last:?} is not");
        }
    }

    /// Every ledger holds what the list of calls says.
    fn check_ledgers(&self) {
        let now = self.now;
        for (egress, home) in &self.homes {
            let of = self.budgets.of(*egress, Some(home));
            let is_ready = self.scheduler.outlook(SERVICE, *egress, now).0 == crate::ledger::Ready::Now;
            match self.budgets.verdict(*egress, &of, now) {
                Verdict::Perhaps => {}
                verdict => assert_eq!(is_ready, verdict == Verdict::Yes, "{egress:?}"),
            }
            let own = self.budgets.quotas.iter().filter(|quota| quota.scope == Scope::Ip).enumerate();
            for (index, quota) in own {
                let Some(ledger) = self.scheduler.seat(SERVICE, *egress) else { continue };
                let used = ledger.used(&self.scheduler.rules(SERVICE).own, index, now);
                let (least, most) = self.budgets.used(&Of::Own(*egress), quota, now);
                assert!((least..=most).contains(&used), "{egress:?}: {used}, not {least} to {most}");
            }
        }
        for shared in self.scheduler.shared(SERVICE) {
            let quotas = self.budgets.quotas.iter().filter(|quota| quota.scope == *shared.scope);
            for (index, quota) in quotas.enumerate() {
                let used = shared.ledger.used(shared.limits, index, now);
                let (least, most) = self.budgets.used(&Of::Shared(shared.key.clone()), quota, now);
                assert!((least..=most).contains(&used), "{}: {used}, not {least} to {most}", shared.key);
            }
        }
    }

    /// With everybody there and answers to every call, all of it ends.
    pub(super) fn end(&mut self) {
        [Act::Pause(false), Act::Stop(false)].into_iter().for_each(|act| self.act(&act));
        (0..self.lines.lines.len()).for_each(|nth| self.act(&Act::Hold(nth, false)));
        for n in 0..EGRESSES {
            self.act(&Act::Up { egress: n, agent: u64::from(n) % AGENTS, is_tagged: true });
            self.act(&Act::Credit(u64::from(n) % AGENTS, 1_000));
        }
        for _ in 0..2_000 {
            (0..8).for_each(|_| self.act(&Act::Deliver(0)));
            while let Some(flight) = self.flights.first().copied() {
                self.finish(flight, Settlement::Answered);
            }
            self.turn();
            if self.lines.jobs.is_empty() && self.flights.is_empty() {
                assert_eq!(self.scheduler.backlog(SERVICE), (0, 0));
                return;
            }
            if self.flights.is_empty() {
                let wake_at = self.scheduler.wake_at().unwrap_or(self.now + ms(1));
                self.sleep(wake_at);
            }
        }
        panic!("{:?} never ended", self.lines.jobs);
    }
}
