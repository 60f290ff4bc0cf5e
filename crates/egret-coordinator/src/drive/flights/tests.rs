//! Flights against a naive twin, and the corners by hand.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

fn key(n: u8) -> Key {
    Key::new(&[b"w"], &[n])
}

fn at(secs: u64) -> Instant {
    Instant::from_micros(secs * 1_000_000)
}

fn rank(job: u64, class: u8, deadline: u64) -> Rank {
    Rank { class, deadline: at(deadline), job: JobId(job) }
}

fn normal(job: u64) -> Rank {
    rank(job, 1, job)
}

#[test]
fn the_first_leads_and_the_rest_land_with_it() {
    let mut flights = Flights::default();
    assert_eq!(flights.join(key(0), normal(1), |_| true), Joined::Leads);
    assert_eq!(flights.join(key(0), normal(3), |_| true), Joined::Follows);
    assert_eq!(flights.join(key(0), normal(2), |_| true), Joined::Follows);
    assert_eq!(flights.join(key(1), normal(4), |_| true), Joined::Leads, "another question");
    assert_eq!(flights.next_deadline(), Some(at(2)));
    assert_eq!(flights.land(&key(0), |_| true), ([1, 2, 3].map(JobId).to_vec(), None));
    assert_eq!((flights.next_deadline(), flights.followers.len(), flights.leaders.len()), (None, 0, 1));
}

#[test]
fn a_more_urgent_job_leads_unless_the_call_is_under_way() {
    let mut flights = Flights::default();
    flights.join(key(0), rank(1, 2, 9), |_| true);
    let soon = rank(2, 2, 8);
    assert_eq!(flights.join(key(0), soon, |_| true), Joined::Relieves(JobId(1)));
    let urgent = rank(3, 0, 99);
    assert_eq!(flights.join(key(0), urgent, |_| false), Joined::Follows);
    assert_eq!(flights.leave(&key(0), soon), Some(JobId(3)), "the most urgent follower is next");
    assert!(flights.follows(&key(0), rank(1, 2, 9)) && !flights.follows(&key(0), urgent));
}

#[test]
fn those_who_do_not_take_an_old_answer_stay_and_one_of_them_asks() {
    let mut flights = Flights::default();
    (1..=4).for_each(|job| {
        flights.join(key(0), normal(job), |_| true);
    });
    let even = |job: JobId| job.0.is_multiple_of(2);
    assert_eq!(flights.land(&key(0), even), ([2, 4].map(JobId).to_vec(), None), "the leader goes on");
    assert_eq!(flights.land(&key(0), |job| job == JobId(1)), (vec![JobId(1)], Some(JobId(3))));
    assert_eq!(flights.leave(&key(0), normal(3)), None);
    assert!(flights.leaders.is_empty() && flights.deadlines.is_empty());
}

#[test]
fn leaving_twice_changes_nothing_for_those_who_came_since() {
    let mut flights = Flights::default();
    flights.join(key(0), normal(1), |_| true);
    assert_eq!(flights.leave(&key(0), normal(1)), None);
    flights.join(key(0), normal(2), |_| true);
    flights.join(key(0), normal(3), |_| true);
    assert_eq!(flights.leave(&key(0), normal(1)), None);
    assert_eq!(flights.land(&key(0), |_| true).0, [JobId(2), JobId(3)]);
}

/// What happens to jobs; numbers are taken modulo what there is.
#[derive(Clone, Copy, Debug)]
enum Happening {
    Comes {
        key: u8,
        class: u8,
        deadline: u64,
    },
    /// An asking job's call leaves.
    IsGranted(usize),
    /// A job fails or is cancelled.
    Ends(usize),
    /// A question is answered; jobs divisible by this number do not take it.
    IsAnswered {
        key: u8,
        except: u64,
    },
    Passes(u64),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        4 => (0..3_u8, 0..3_u8, 1..60_u64)
            .prop_map(|(key, class, deadline)| Happening::Comes { key, class, deadline }),
        2 => any::<usize>().prop_map(Happening::IsGranted),
        2 => any::<usize>().prop_map(Happening::Ends),
        1 => (0..3_u8, 2..9_u64).prop_map(|(key, except)| Happening::IsAnswered { key, except }),
        1 => (1..10_u64).prop_map(Happening::Passes),
    ]
}

/// Open jobs as a plain list; who asks is worked out from the commands that the flights gave.
#[derive(Default)]
struct Twin {
    flights: Flights,
    open: BTreeMap<JobId, (u8, Rank)>,
    asking: BTreeSet<JobId>,
    running: BTreeSet<JobId>,
    ended: BTreeMap<JobId, u32>,
    born: u64,
    now: u64,
}

impl Twin {
    fn comes(&mut self, of: u8, class: u8, deadline: u64) {
        self.born += 1;
        let rank = rank(self.born, class, self.now + deadline);
        self.open.insert(rank.job, (of, rank));
        match self.flights.join(key(of), rank, |leader| !self.running.contains(&leader)) {
            Joined::Leads => assert!(self.asking.insert(rank.job)),
            Joined::Relieves(leader) => assert!(self.asking.remove(&leader) && self.asking.insert(rank.job)),
            Joined::Follows => {}
        }
    }

    fn end(&mut self, job: JobId) {
        let Some((of, rank)) = self.open.get(&job).copied() else { return };
        let next = self.flights.leave(&key(of), rank);
        self.is_over(job, next);
    }

    fn is_over(&mut self, job: JobId, next: Option<JobId>) {
        self.open.remove(&job);
        self.asking.remove(&job);
        self.running.remove(&job);
        *self.ended.entry(job).or_default() += 1;
        self.asking.extend(next);
    }

    fn happens(&mut self, happening: Happening) {
        match happening {
            Happening::Comes { key, class, deadline } => self.comes(key, class, deadline),
            Happening::IsGranted(n) if !self.asking.is_empty() => {
                self.running.extend(self.asking.iter().nth(n % self.asking.len()).copied());
            }
            Happening::Ends(n) if !self.open.is_empty() => {
                let job = self.open.keys().nth(n % self.open.len()).copied();
                job.into_iter().for_each(|job| self.end(job));
            }
            Happening::IsGranted(_) | Happening::Ends(_) => {}
            Happening::IsAnswered { key: of, except } => {
                let takes = |job: JobId| !job.0.is_multiple_of(except);
                let expected: BTreeSet<_> = self
                    .open
                    .iter()
                    .filter(|(job, (is, _))| *is == of && takes(**job))
                    .map(|(job, _)| *job)
                    .collect();
                let (landed, next) = self.flights.land(&key(of), takes);
                assert_eq!(landed.iter().copied().collect::<BTreeSet<_>>(), expected);
                assert_eq!(landed.len(), expected.len());
                landed.into_iter().for_each(|job| self.is_over(job, None));
                self.asking.extend(next);
            }
            Happening::Passes(secs) => {
                self.now += secs;
                while let Some(job) = self.flights.overdue(at(self.now)) {
                    assert!(!self.asking.contains(&job), "the scheduler expires those who ask");
                    self.end(job);
                }
            }
        }
        self.check();
    }

    /// Of the jobs with one key exactly one asks, the most urgent unless a call is under way; the others' deadlines
    /// are watched.
    fn check(&self) {
        for of in 0..3 {
            let ranks: BTreeSet<Rank> =
                self.open.values().filter(|(is, _)| *is == of).map(|(_, rank)| *rank).collect();
            let asking: Vec<_> = ranks.iter().filter(|rank| self.asking.contains(&rank.job)).collect();
            assert_eq!(asking.len(), usize::from(!ranks.is_empty()), "{ranks:?}");
            let is_waiting = asking.iter().all(|rank| !self.running.contains(&rank.job));
            assert!(!is_waiting || asking.first() == ranks.first().as_ref());
            for rank in &ranks {
                assert_ne!(self.flights.follows(&key(of), *rank), self.asking.contains(&rank.job));
            }
        }
        let waiting = self.open.values().filter(|(_, rank)| !self.asking.contains(&rank.job));
        assert_eq!(self.flights.next_deadline(), waiting.map(|(_, rank)| rank.deadline).min());
    }
}

proptest! {
    #[test]
    fn every_job_ends_once_and_one_of_equal_jobs_asks(
        happenings in prop::collection::vec(happening(), 1..120),
    ) {
        let mut twin = Twin::default();
        happenings.into_iter().for_each(|happening| twin.happens(happening));
        while let Some(job) = twin.open.keys().next().copied() {
            twin.end(job);
            twin.check();
        }
        prop_assert!(twin.ended.len() as u64 == twin.born && twin.ended.values().all(|ends| *ends == 1));
        prop_assert!(twin.flights.leaders.is_empty() && twin.flights.followers.is_empty());
    }
}
