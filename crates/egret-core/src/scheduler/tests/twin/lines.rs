//! Who waits, and whose turn it is: jobs in a list, looked through for every question.
//!
//! Classes get 16 to 4 to 1 and tenants their weights, both by stride: whoever is served moves on by one stride, the one
//! furthest behind is next, and who comes back begins where the one served last was. Weights here divide the stride.

use super::*;

/// Of a tenant of weight 1.
const STRIDE: u64 = 4;

/// Where a job's step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Where {
    Memory,
    /// It came while the store was being read.
    Aside,
    /// In the store alone.
    Store,
    Delayed(Instant),
    Running(AttemptId),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Job {
    pub(super) step: Step,
    pub(super) at: Where,
    /// Until when it avoids an egress.
    pub(super) avoids_until: Instant,
}

#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) class: Class,
    pub(super) tenant: TenantId,
    pub(super) selector: Selector,
    pub(super) is_held: bool,
    /// A reading of the store that is under way: those it found, and the last place if there is more.
    pub(super) reading: Option<(Vec<Step>, Option<Place>)>,
    /// There was more when it was last read, and that has ended since: one too many is counted until the next reading.
    pub(super) counts_one_more: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Pass {
    pass: u64,
    is_active: bool,
}

#[derive(Debug, Default)]
pub(super) struct Lines {
    pub(super) jobs: BTreeMap<JobId, Job>,
    pub(super) lines: BTreeMap<FlowId, Line>,
    pub(super) weights: BTreeMap<TenantId, u64>,
    classes: BTreeMap<Class, Pass>,
    /// The pass of the class that was served last.
    class_served: u64,
    tenants: BTreeMap<(Class, TenantId), Pass>,
    /// By class, that of its tenant that was served last.
    served: BTreeMap<Class, u64>,
}

/// Whose turn comes first: the pass of the class, the class, the pass of the tenant, the tenant, deadline and job.
pub(super) type Turn = (u64, Class, u64, TenantId, Place);

impl Lines {
    pub(super) fn line(&self, job: &Job) -> &Line {
        &self.lines[&job.step.flow]
    }

    /// Steps that may be handed out, if an egress is there for them.
    pub(super) fn shown(&self) -> impl Iterator<Item = &Job> {
        self.jobs.values().filter(|job| job.at == Where::Memory && !self.line(job).is_held)
    }

    pub(super) fn of_lane<'a>(&'a self, selector: &'a Selector) -> impl Iterator<Item = &'a Job> {
        self.shown().filter(move |job| self.line(job).selector == *selector)
    }

    pub(super) fn of_line(&self, flow: FlowId) -> impl Iterator<Item = &Job> {
        self.jobs.values().filter(move |job| job.step.flow == flow)
    }

    pub(super) fn turn(&self, job: &Job) -> Turn {
        let Line { class, tenant, .. } = *self.line(job);
        let class_pass = self.classes.get(&class).map_or(0, |pass| pass.pass);
        let pass = self.tenants.get(&(class, tenant)).map_or(0, |pass| pass.pass);
        (class_pass, class, pass, tenant, job.step.place())
    }

    /// Notes who has something to hand out now. Who had not before begins where the others are.
    pub(super) fn see(&mut self) {
        let active: BTreeSet<(Class, TenantId)> =
            self.shown().map(|job| self.line(job)).map(|line| (line.class, line.tenant)).collect();
        for class in Class::ALL {
            let pass = self.classes.entry(class).or_default();
            let is_active = active.iter().any(|party| party.0 == class);
            if is_active && !pass.is_active {
                pass.pass = pass.pass.max(self.class_served);
            }
            pass.is_active = is_active;
        }
        let parties: BTreeSet<(Class, TenantId)> =
            self.tenants.keys().copied().chain(active.iter().copied()).collect();
        for party in parties {
            let served = self.served.get(&party.0).copied().unwrap_or(0);
            let pass = self.tenants.entry(party).or_default();
            let is_active = active.contains(&party);
            if is_active && !pass.is_active {
                pass.pass = pass.pass.max(served);
            }
            pass.is_active = is_active;
        }
    }

    /// A step is handed out.
    pub(super) fn take(&mut self, job: JobId, attempt: AttemptId) {
        let line = self.line(&self.jobs[&job]).clone();
        let class = self.classes.entry(line.class).or_default();
        self.class_served = class.pass;
        class.pass += 16 / line.class.weight();
        let tenant = self.tenants.entry((line.class, line.tenant)).or_default();
        self.served.insert(line.class, tenant.pass);
        tenant.pass += STRIDE / self.weights.get(&line.tenant).copied().unwrap_or(1);
        self.put(job, Where::Running(attempt));
        self.see();
    }

    pub(super) fn put(&mut self, job: JobId, at: Where) {
        self.jobs.get_mut(&job).expect("it is open").at = at;
    }

    /// A step waits from now on, or backs off first.
    pub(super) fn enqueue(&mut self, step: Step, now: Instant) {
        let is_aside = step.is_stored && self.lines[&step.flow].reading.is_some();
        let at = match step {
            _ if step.not_before > now => Where::Delayed(step.not_before.min(step.deadline)),
            _ if is_aside => Where::Aside,
            _ => Where::Memory,
        };
        self.jobs.insert(step.job, Job { step, at, avoids_until: now + GRUDGE });
    }

    /// The ends of back-offs and grudges that are due; returns the jobs whose deadline has passed, which are gone.
    pub(super) fn pass(&mut self, now: Instant) -> BTreeSet<JobId> {
        for job in self.jobs.values_mut() {
            if let Where::Delayed(until) = job.at
                && until <= now
            {
                (job.at, job.avoids_until) = (Where::Memory, now + GRUDGE);
            }
            if job.at == Where::Memory && job.step.avoid.is_some() && job.avoids_until <= now {
                job.step.avoid = None;
            }
        }
        self.see();
        let late = |job: &&Job| job.at == Where::Memory && job.step.deadline <= now;
        let expired: BTreeSet<JobId> = self.jobs.values().filter(late).map(|job| job.step.job).collect();
        self.jobs.retain(|job, _| !expired.contains(job));
        self.see();
        expired
    }

    /// When time alone changes something here.
    pub(super) fn instants(&self) -> impl Iterator<Item = Instant> {
        self.jobs.values().flat_map(|job| match job.at {
            Where::Delayed(until) => vec![until],
            Where::Memory if job.step.avoid.is_some() => vec![job.step.deadline, job.avoids_until],
            Where::Memory => vec![job.step.deadline],
            Where::Aside | Where::Store | Where::Running(_) => Vec::new(),
        })
    }

    /// Asks the store for steps of a line after a place, in order.
    pub(super) fn read(&mut self, flow: FlowId, after: Option<Place>, most: usize) {
        let is_beyond =
            |job: &&Job| job.at == Where::Store && after.is_none_or(|after| job.step.place() > after);
        let mut rows: Vec<Step> = self.of_line(flow).filter(is_beyond).map(|job| job.step).collect();
        rows.sort_by_key(Step::place);
        let has_more = rows.len() > most;
        rows.truncate(most);
        let through = rows.last().map(Step::place).filter(|_| has_more);
        let line = self.lines.get_mut(&flow).expect("it is open");
        assert!(line.reading.is_none(), "one reading at a time");
        line.reading = Some((rows, through));
    }

    /// What was read arrives; what has ended meanwhile is left out.
    pub(super) fn deliver(&mut self, flow: FlowId) -> Option<Event> {
        let (mut steps, through) = self.lines.get_mut(&flow)?.reading.take()?;
        steps.retain(|step| self.jobs.contains_key(&step.job));
        steps.iter().for_each(|step| self.put(step.job, Where::Memory));
        for job in self.jobs.values_mut() {
            if job.step.flow == flow && job.at == Where::Aside {
                job.at = Where::Memory;
            }
        }
        let has_more = self.of_line(flow).any(|job| job.at == Where::Store);
        let line = self.lines.get_mut(&flow)?;
        line.counts_one_more = through.is_some() && (line.counts_one_more || !has_more);
        Some(Event::Loaded { flow, steps, through })
    }
}
