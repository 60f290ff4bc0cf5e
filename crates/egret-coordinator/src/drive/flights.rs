//! Equal questions under way: one job asks, the others wait for its answer.
//!
//! Of the open jobs with one key the leader has a step in the scheduler; followers have none, and what becomes of
//! them is known here only: their order and their deadlines. The most urgent one leads as long as no call of the leader is
//! under way. Nothing here knows what is asked, or how a job ends.

use std::collections::{BTreeSet, HashMap};

use egret_core::id::JobId;
use egret_core::time::Instant;

use crate::cache::Key;

/// Jobs that wait for others' calls at most; chosen, about 100 MB. More ask for themselves.
const MOST_FOLLOWERS: usize = 100_000;

/// A job's place among those that ask the same: the most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    /// As flows have it.
    pub(super) class: u8,
    pub(super) deadline: Instant,
    pub(super) job: JobId,
}

/// What a job that has come is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Joined {
    /// Ask, for itself at least.
    Leads,
    /// Ask in place of this one, which waits from now on.
    Relieves(JobId),
    /// Wait.
    Follows,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Flights {
    leaders: HashMap<Key, Rank>,
    /// Never an empty set, and never without a leader.
    followers: HashMap<Key, BTreeSet<Rank>>,
    /// Those of followers.
    deadlines: BTreeSet<(Instant, JobId)>,
}

impl Flights {
    /// A job comes, for the first time or again. `waits` tells whether no call of a leader is under way.
    pub(super) fn join(&mut self, key: Key, rank: Rank, waits: impl FnOnce(JobId) -> bool) -> Joined {
        let Some(leader) = self.leaders.get(&key).copied() else {
            self.leaders.insert(key, rank);
            return Joined::Leads;
        };
        if rank < leader && waits(leader.job) {
            self.leaders.insert(key, rank);
            self.follow(key, leader);
            return Joined::Relieves(leader.job);
        }
        if self.deadlines.len() >= MOST_FOLLOWERS {
            return Joined::Leads;
        }
        self.follow(key, rank);
        Joined::Follows
    }

    /// A job goes without an answer for the others, or is not there: who is to ask now, if that changes.
    pub(super) fn leave(&mut self, key: &Key, rank: Rank) -> Option<JobId> {
        if self.leaders.get(key) == Some(&rank) {
            self.leaders.remove(key);
            return self.promote(*key);
        }
        self.unfollow(key, rank);
        None
    }

    /// An answer has come: all who take it go, the leader first. Who is to ask for the rest, if that changes.
    pub(super) fn land(&mut self, key: &Key, takes: impl Fn(JobId) -> bool) -> (Vec<JobId>, Option<JobId>) {
        let leader = self.leaders.get(key).copied().filter(|leader| takes(leader.job));
        let followers = self.followers.get(key).into_iter().flatten();
        let followers: Vec<Rank> = followers.filter(|rank| takes(rank.job)).copied().collect();
        followers.iter().for_each(|rank| self.unfollow(key, *rank));
        let next = leader.and_then(|leader| self.leave(key, leader));
        (leader.iter().chain(&followers).map(|rank| rank.job).collect(), next)
    }

    /// The job that asks.
    pub(super) fn leader(&self, key: &Key) -> Option<JobId> {
        self.leaders.get(key).map(|leader| leader.job)
    }

    /// Whether another job asks for this one.
    pub(super) fn follows(&self, key: &Key, rank: Rank) -> bool {
        self.followers.get(key).is_some_and(|ranks| ranks.contains(&rank))
    }

    /// When the next follower expires.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// A follower whose deadline is not after `now`; it stays until it leaves.
    pub(super) fn overdue(&self, now: Instant) -> Option<JobId> {
        self.deadlines.first().filter(|(deadline, _)| *deadline <= now).map(|(_, job)| *job)
    }

    fn promote(&mut self, key: Key) -> Option<JobId> {
        let first = self.followers.get(&key)?.first().copied()?;
        self.unfollow(&key, first);
        self.leaders.insert(key, first);
        Some(first.job)
    }

    fn follow(&mut self, key: Key, rank: Rank) {
        self.followers.entry(key).or_default().insert(rank);
        self.deadlines.insert((rank.deadline, rank.job));
    }

    fn unfollow(&mut self, key: &Key, rank: Rank) {
        let Some(ranks) = self.followers.get_mut(key) else { return };
        if ranks.remove(&rank) {
            self.deadlines.remove(&(rank.deadline, rank.job));
        }
        if ranks.is_empty() {
            self.followers.remove(key);
        }
    }
}

#[cfg(test)]
mod tests;
