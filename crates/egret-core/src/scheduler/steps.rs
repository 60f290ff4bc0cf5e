//! Steps as they come, wait in their flows, and go.

use std::collections::BTreeSet;
use std::collections::hash_map::Entry;
use std::time::Duration;

use super::flow::{self, Arrival, Flow, Kind};
use super::held::{Held, Standing};
use super::lineup::Place;
use super::{Command, FlowKind, Scheduler, Step};
use crate::id::{AttemptId, FlowId, JobId, ServiceId};
use crate::time::Instant;

/// A step that avoids an egress does so for this long, no longer.
const GRUDGE: Duration = Duration::from_secs(5);
/// Steps in memory that could be left in the store; beyond it each flow keeps few, and reads no more than its part of as
/// many (chosen: about 100 MB).
const MOST_STORED: usize = 200_000;

impl Scheduler {
    pub(super) fn open_flow(
        &mut self,
        id: FlowId,
        kind: FlowKind,
        (stored, last): (u64, Option<Place>),
        now: Instant,
    ) {
        let FlowKind { service, class, tenant, selector } = kind;
        let state = &mut self.services[service.0 as usize];
        let lane = state.lane_of(selector);
        state.lanes[lane].flows += 1;
        state.waiting += stored;
        self.flows.insert(id, Flow::new(Kind { service, lane, class, tenant }, stored, last));
        self.show(id, now);
    }

    pub(super) fn close_flow(&mut self, id: FlowId, now: Instant) {
        let Some(flow) = self.flows.get_mut(&id) else { return };
        flow.is_held = true;
        self.show(id, now);
        let Some(flow) = self.flows.remove(&id) else { return };
        self.asked -= flow.asked();
        let state = &mut self.services[flow.kind.service.0 as usize];
        state.waiting -= flow.waiting().min(state.waiting);
        state.lanes[flow.kind.lane].flows -= 1;
        if let Some(due) = flow.due {
            state.due.remove(&(due, id));
        }
    }

    pub(super) fn hold_flow(&mut self, id: FlowId, is_held: bool, now: Instant) {
        let Some(flow) = self.flows.get_mut(&id) else { return };
        flow.is_held = is_held;
        let service = flow.kind.service;
        self.show(id, now);
        if is_held {
            let steps = &self.steps;
            let concerned: BTreeSet<JobId> = self.services[service.0 as usize]
                .overdue
                .iter()
                .filter_map(|(_, attempt)| self.flights.get(*attempt))
                .map(|flight| flight.job)
                .filter(|job| steps.get(job).is_some_and(|held| held.flow == id))
                .collect();
            self.recall(service, |_, _, job| concerned.contains(&job));
        }
        self.touch(service);
    }

    pub(super) fn enqueue(&mut self, step: Step, now: Instant) {
        self.withdraw(step.job, now);
        let Some(flow) = self.flows.get(&step.flow) else {
            debug_assert!(false, "{:?} was never opened", step.flow);
            return;
        };
        let service = flow.kind.service;
        if step.not_before > now {
            let until = step.not_before.min(step.deadline);
            self.services[service.0 as usize].delayed.insert((until, step.job));
            self.steps.insert(step.job, Held::new(&step, Standing::Delayed(until)));
        } else {
            self.line_up(step, now);
        }
        self.touch(service);
    }

    /// A step may be handed out from now on.
    pub(super) fn line_up(&mut self, step: Step, now: Instant) {
        let Some(flow) = self.flows.get_mut(&step.flow) else { return };
        let state = &mut self.services[flow.kind.service.0 as usize];
        let most = if self.stored < MOST_STORED { flow::MOST } else { flow::LEAST };
        state.waiting += 1;
        match flow.arrive(&step, most) {
            Arrival::Taken => {
                let until = step.avoid.map(|_| now + GRUDGE);
                state.grudges.extend(until.map(|until| (until, step.job)));
                self.stored += usize::from(step.is_stored && step.avoid.is_none());
                self.steps
                    .insert(step.job, Held::new(&step, until.map_or(Standing::Waiting, Standing::Avoiding)));
            }
            Arrival::Instead(left) => {
                self.steps.insert(step.job, Held::new(&step, Standing::Waiting));
                self.steps.remove(&left);
                self.commands.push_back(Command::Leave(left));
            }
            Arrival::Left => self.commands.push_back(Command::Leave(step.job)),
            Arrival::Aside => {
                self.steps.insert(step.job, Held::new(&step, Standing::Aside));
            }
        }
        self.show(step.flow, now);
    }

    pub(super) fn withdraw(&mut self, job: JobId, now: Instant) {
        let Some(held) = self.steps.remove(&job) else { return };
        let step = held.step(job);
        let Some(flow) = self.flows.get_mut(&step.flow) else { return };
        let state = &mut self.services[flow.kind.service.0 as usize];
        match held.standing {
            Standing::Waiting => self.unline(&step, now),
            Standing::Avoiding(until) => {
                state.grudges.remove(&(until, job));
                self.unline(&step, now);
            }
            Standing::Aside => {
                flow.remove_aside(job);
                state.waiting -= 1;
            }
            Standing::Delayed(until) => {
                state.delayed.remove(&(until, job));
            }
            Standing::Running { .. } => {}
        }
    }

    /// Forgets a step that runs, unless another attempt than this runs for its job.
    pub(super) fn end_step(&mut self, job: JobId, attempt: AttemptId) {
        if let Entry::Occupied(entry) = self.steps.entry(job)
            && entry.get().running() == Some(attempt)
        {
            entry.remove();
        }
    }

    /// Takes a waiting step out of its flow.
    pub(super) fn unline(&mut self, step: &Step, now: Instant) {
        let Some(flow) = self.flows.get_mut(&step.flow) else { return };
        flow.remove(step.place(), step.avoid);
        self.stored -= usize::from(step.is_stored && step.avoid.is_none());
        self.services[flow.kind.service.0 as usize].waiting -= 1;
        self.show(step.flow, now);
    }

    /// A step that waits does not avoid its egress any more.
    pub(super) fn forgive(&mut self, job: JobId, now: Instant) {
        let Some(held) = self.steps.get_mut(&job) else { return };
        let (Standing::Waiting | Standing::Avoiding(_)) = held.standing else { return };
        let former = held.step(job);
        let step = Step { avoid: None, is_stored: false, ..former };
        *held = Held::new(&step, Standing::Waiting);
        if let Some(flow) = self.flows.get_mut(&step.flow) {
            flow.remove(former.place(), former.avoid);
            // It was tried before, so it stays in memory.
            flow.arrive(&step, flow::MOST);
        }
        self.show(step.flow, now);
    }

    pub(super) fn loaded(&mut self, id: FlowId, steps: Vec<Step>, through: Option<Place>, now: Instant) {
        let Some(flow) = self.flows.get_mut(&id) else { return };
        let state = &mut self.services[flow.kind.service.0 as usize];
        let waited = flow.waiting();
        let mut places = Vec::with_capacity(steps.len());
        for step in steps {
            // What is known here is counted already, wherever it stands.
            if let Entry::Vacant(entry) = self.steps.entry(step.job) {
                entry.insert(Held::new(&step, Standing::Waiting));
                places.push(step.place());
            }
        }
        self.stored += places.len();
        self.asked -= flow.asked();
        let arrived = flow.loaded(places.into_iter(), through);
        state.waiting = (state.waiting + flow.waiting()).saturating_sub(waited);
        let service = flow.kind.service;
        for step in arrived {
            if self.steps.get(&step.job).is_some_and(|held| held.standing == Standing::Aside) {
                self.steps.remove(&step.job);
                self.line_up(step, now);
            }
        }
        self.show(id, now);
        self.touch(service);
    }

    pub(super) fn gone(&mut self, id: FlowId) {
        let Some(flow) = self.flows.get_mut(&id) else { return };
        let state = &mut self.services[flow.kind.service.0 as usize];
        let waited = flow.waiting();
        flow.forget_stored();
        state.waiting -= waited - flow.waiting();
    }

    /// Shows the heads of a flow to its lane as they are now, wakes its service for the earliest deadline, and has
    /// the store read when memory runs low.
    pub(super) fn show(&mut self, id: FlowId, now: Instant) {
        // What there is room for, but at any time a fair part of all.
        let room = MOST_STORED.saturating_sub(self.stored + self.asked);
        let most = room.max(MOST_STORED / self.flows.len().max(1)).clamp(flow::LEAST, flow::MOST);
        let Some(flow) = self.flows.get_mut(&id) else { return };
        let Kind { service, lane, class, tenant } = flow.kind;
        let state = &mut self.services[service.0 as usize];
        let (lineup, turns) = (&mut state.lanes[lane].lineup, &mut state.turns);
        let head = flow.head().filter(|_| !flow.is_held);
        let shown = std::mem::replace(&mut flow.shown, head);
        if shown != head {
            lineup.set_head(turns, (class, tenant), (id, None), shown, head);
        }
        for (egress, shown, head) in flow.show_avoiding() {
            lineup.set_head(turns, (class, tenant), (id, Some(egress)), shown, head);
        }
        let first = flow.first().map(|place| place.0);
        if first.is_none() || first < flow.due || flow.due.is_none() {
            if let Some(due) = std::mem::replace(&mut flow.due, first) {
                state.due.remove(&(due, id));
            }
            state.due.extend(first.map(|first| (first, id)));
        }
        if let Some((after, most)) = flow.ask(most, now) {
            self.asked += most;
            self.commands.push_back(Command::Load { flow: id, after, most });
        }
    }

    /// Ends the steps whose deadline has passed, and wakes up again for the next ones.
    pub(super) fn expire(&mut self, service: ServiceId, now: Instant) {
        loop {
            let state = &mut self.services[service.0 as usize];
            let Some((due, id)) = state.due.first().copied().filter(|entry| entry.0 <= now) else { return };
            state.due.remove(&(due, id));
            let Some(flow) = self.flows.get_mut(&id) else { continue };
            flow.due = None;
            while let Some(place) = self.flows.get(&id).and_then(Flow::first).filter(|first| first.0 <= now) {
                self.withdraw(place.1, now);
                self.commands.push_back(Command::Expired(place.1));
            }
            self.show(id, now);
        }
    }
}
