//! The waiting steps of one service: three classes by weight, earliest deadline first inside each.

use std::collections::BTreeSet;

use crate::id::JobId;
use crate::time::Instant;

/// How urgent a job is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Somebody is waiting for it.
    Interactive,
    /// The usual.
    #[default]
    Normal,
    /// Whenever there is room.
    Bulk,
}

/// Steps by class; of 21 grants to full classes 16 are interactive, 4 normal and 1 bulk (chosen), so
/// that bulk always moves.
const STRIDES: [u64; 3] = [1, 4, 16];
/// How far behind the head of a class a step is looked for that may go to a given egress.
const LOOK_AHEAD: usize = 8;

/// A place in the queue: earlier deadlines first, then earlier jobs.
type Place = (Instant, JobId);

#[derive(Debug, Default)]
pub(super) struct Queue {
    classes: [BTreeSet<Place>; 3],
    /// Virtual time of each class: the one furthest behind goes next.
    passes: [u64; 3],
    /// Virtual time of the class served last; an idle class that returns starts there and gains no credit.
    served: u64,
}

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.classes.iter().all(BTreeSet::is_empty)
    }

    pub(super) fn len(&self) -> usize {
        self.classes.iter().map(BTreeSet::len).sum()
    }

    pub(super) fn insert(&mut self, class: Class, deadline: Instant, job: JobId) {
        let index = class as usize;
        if self.classes[index].is_empty() {
            self.passes[index] = self.passes[index].max(self.served);
        }
        self.classes[index].insert((deadline, job));
    }

    pub(super) fn remove(&mut self, class: Class, deadline: Instant, job: JobId) {
        self.classes[class as usize].remove(&(deadline, job));
    }

    /// Steps of a class.
    pub(super) fn waiting(&self, class: Class) -> usize {
        self.classes[class as usize].len()
    }

    /// Steps of a class that go before that of a job, whether it is among them or not.
    pub(super) fn before(&self, class: Class, deadline: Instant, job: JobId) -> usize {
        let (class, place) = (&self.classes[class as usize], (deadline, job));
        match class.last() {
            Some(last) if *last < place => class.len(),
            Some(last) if *last == place => class.len() - 1,
            _ => class.range(..place).count(),
        }
    }

    /// The earliest deadline of all waiting steps.
    pub(super) fn first_deadline(&self) -> Option<Instant> {
        self.classes.iter().filter_map(|class| class.first().map(|place| place.0)).min()
    }

    /// Takes a step whose deadline is not after `now`.
    pub(super) fn take_overdue(&mut self, now: Instant) -> Option<JobId> {
        let class = self.classes.iter_mut().find(|c| c.first().is_some_and(|place| place.0 <= now))?;
        class.pop_first().map(|place| place.1)
    }

    /// Takes the next step for which `fits` holds, looking a little past the head of each class.
    pub(super) fn take(&mut self, mut fits: impl FnMut(JobId) -> bool) -> Option<JobId> {
        let mut order = [0, 1, 2];
        order.sort_by_key(|index| (self.passes[*index], *index));
        for index in order {
            let found = self.classes[index].iter().take(LOOK_AHEAD).find(|place| fits(place.1)).copied();
            if let Some(place) = found {
                self.classes[index].remove(&place);
                self.served = self.passes[index];
                self.passes[index] += STRIDES[index];
                return Some(place.1);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Instant {
        Instant::from_micros(secs * 1_000_000)
    }

    #[test]
    fn full_classes_share_sixteen_to_four_to_one() {
        let mut queue = Queue::default();
        for (n, class) in [Class::Interactive, Class::Normal, Class::Bulk].into_iter().enumerate() {
            for job in 0..100 {
                queue.insert(class, at(1), JobId(n as u64 * 1_000 + job));
            }
        }
        let mut taken = [0; 3];
        for _ in 0..63 {
            taken[(queue.take(|_| true).unwrap().0 / 1_000) as usize] += 1;
        }
        assert_eq!(taken, [48, 12, 3]);
    }

    #[test]
    fn a_class_that_was_idle_gains_no_credit() {
        let mut queue = Queue::default();
        for job in 0..100 {
            queue.insert(Class::Interactive, at(1), JobId(job));
        }
        for _ in 0..90 {
            queue.take(|_| true);
        }
        for job in 0..20 {
            queue.insert(Class::Normal, at(1), JobId(1_000 + job));
        }
        let normal = (0..10).filter(|_| queue.take(|_| true).unwrap().0 >= 1_000).count();
        assert!(normal <= 3, "{normal} of 10");
    }

    #[test]
    fn inside_a_class_the_earliest_deadline_goes_first_and_misfits_keep_their_place() {
        let mut queue = Queue::default();
        for (deadline, job) in [(9, 1), (3, 2), (5, 3)] {
            queue.insert(Class::Normal, at(deadline), JobId(job));
        }
        assert_eq!(queue.take(|job| job != JobId(2)), Some(JobId(3)));
        assert_eq!(queue.first_deadline(), Some(at(3)));
        assert_eq!(queue.take_overdue(at(3)), Some(JobId(2)));
        assert_eq!(queue.take_overdue(at(3)), None);
        assert_eq!(queue.len(), 1);
    }
}
