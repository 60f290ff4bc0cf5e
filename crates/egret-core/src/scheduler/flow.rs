//! Steps that wait in one line: the first of them in memory, the rest in the store.
//!
//! What may be left in the store is split by a mark. Up to it, every waiting step is in memory; beyond it, none is.
//! While the store is being read nobody knows where the mark will be, so whoever arrives meanwhile waits aside
//! until that is over. Steps that were tried before, or that the store does not have, always stay in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::event::Step;
use super::lineup::{Class, Place};
use super::sorted::Sorted;
use crate::id::{EgressId, JobId, ServiceId, TenantId};
use crate::time::Instant;

/// Steps that a flow has in memory without asking (chosen): what it reads first, and keeps when memory is short.
pub(super) const LEAST: usize = 32;
/// The most that a flow reads in one go, and has in memory besides what was tried before.
pub(super) const MOST: usize = 4_096;
/// A flow that reads again so soon reads twice as much (chosen: what one second takes).
const SOON: Duration = Duration::from_secs(1);

/// What the steps of a flow have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    pub(super) service: ServiceId,
    /// Its lane there.
    pub(super) lane: usize,
    pub(super) class: Class,
    pub(super) tenant: TenantId,
}

#[derive(Debug)]
pub(super) struct Flow {
    pub(super) kind: Kind,
    /// Nothing of it is handed out.
    pub(super) is_held: bool,
    /// Steps that may be left in the store when there are too many.
    window: Sorted<Place>,
    /// Steps that may not.
    kept: BTreeSet<Place>,
    /// Steps that avoid an egress; they may not either.
    avoiding: BTreeMap<EgressId, BTreeSet<Place>>,
    /// How many wait in the store beyond the mark.
    beyond: u64,
    mark: Option<Place>,
    /// The last place that was ever taken here.
    last: Option<Place>,
    /// Those that arrived while the store was being read.
    aside: Option<Vec<Step>>,
    /// How many to read next, and when the last reading was asked for.
    reading: (usize, Instant),
    /// The heads as the lineup knows them: of the steps that may go anywhere, and of those that avoid an egress.
    pub(super) shown: Option<Place>,
    shown_avoiding: BTreeMap<EgressId, Place>,
    /// A deadline not later than the earliest of its steps, which the service wakes up for.
    pub(super) due: Option<Instant>,
}

/// What became of a step that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// It waits in memory.
    Taken,
    /// It does, and this one was left in the store for it.
    Instead(JobId),
    /// It is left in the store.
    Left,
    /// It waits for the store to be read.
    Aside,
}

impl Flow {
    /// With so many steps in the store already, and the last place among them.
    pub(super) fn new(kind: Kind, beyond: u64, last: Option<Place>) -> Self {
        Self {
            kind,
            is_held: false,
            window: Sorted::default(),
            kept: BTreeSet::new(),
            avoiding: BTreeMap::new(),
            beyond,
            mark: None,
            last,
            aside: None,
            reading: (LEAST, Instant::ZERO),
            shown: None,
            shown_avoiding: BTreeMap::new(),
            due: None,
        }
    }

    /// Steps that wait, wherever they are.
    pub(super) fn waiting(&self) -> u64 {
        let avoiding: usize = self.avoiding.values().map(BTreeSet::len).sum();
        let aside = self.aside.as_ref().map_or(0, Vec::len);
        (self.window.len() + self.kept.len() + avoiding + aside) as u64 + self.beyond
    }

    /// The last place that was ever taken here.
    pub(super) fn last(&self) -> Option<Place> {
        self.last
    }

    /// How many wait before a place: those in memory, and of the others as many as lie before it if they are spread evenly.
    pub(super) fn before(&self, place: Place) -> u64 {
        let kept = [&self.kept].into_iter().chain(self.avoiding.values());
        let kept: usize = kept.map(|set| set.range(..place).count()).sum();
        let here = self.window.before(&place) + kept;
        let (Some(last), Some(mark)) = (self.last, self.mark) else {
            let is_after = self.last.is_none_or(|last| last < place);
            return here as u64 + if is_after { self.beyond } else { 0 };
        };
        let all = last.0.since(mark.0).as_secs_f64();
        let part =
            if last < place { 1.0 } else { (place.0.since(mark.0).as_secs_f64() / all.max(1e-6)).min(1.0) };
        here as u64 + (self.beyond as f64 * part) as u64
    }

    /// Takes a step in; up to `most` that could be left in the store are kept in memory.
    pub(super) fn arrive(&mut self, step: &Step, most: usize) -> Arrival {
        let place = step.place();
        self.last = self.last.max(Some(place));
        if let Some(egress) = step.avoid {
            self.avoiding.entry(egress).or_default().insert(place);
            return Arrival::Taken;
        }
        if !step.is_stored {
            self.kept.insert(place);
            return Arrival::Taken;
        }
        if let Some(aside) = &mut self.aside {
            aside.push(*step);
            return Arrival::Aside;
        }
        let is_beyond = self.beyond > 0 && self.mark.is_none_or(|mark| place > mark);
        if !is_beyond && self.window.len() < most {
            self.window.insert(place);
            return Arrival::Taken;
        }
        let last = self.window.last().copied();
        match last.filter(|last| !is_beyond && place < *last) {
            Some(last) => {
                self.window.pop_last();
                self.window.insert(place);
                self.leave(last);
                Arrival::Instead(last.1)
            }
            None => {
                self.leave(place);
                Arrival::Left
            }
        }
    }

    /// A step is in the store alone from now on. Everything up to the last one in memory is there.
    fn leave(&mut self, place: Place) {
        let last = self.window.last().copied();
        if self.beyond == 0 {
            // Nothing was beyond: the mark is wherever memory ends, just before what is left if that is further.
            self.mark = last;
        } else if self.mark.is_some_and(|mark| mark >= place) {
            self.mark = last;
        }
        self.beyond += 1;
    }

    /// A step leaves the line.
    pub(super) fn remove(&mut self, place: Place, avoid: Option<EgressId>) {
        match avoid {
            Some(egress) => {
                if let Some(set) = self.avoiding.get_mut(&egress) {
                    set.remove(&place);
                    if set.is_empty() {
                        self.avoiding.remove(&egress);
                    }
                }
            }
            None => {
                if !self.window.remove(&place) {
                    self.kept.remove(&place);
                }
            }
        }
    }

    /// A step that waits aside is given up.
    pub(super) fn remove_aside(&mut self, job: JobId) {
        if let Some(aside) = &mut self.aside {
            aside.retain(|step| step.job != job);
        }
    }

    /// A step that waited in the store alone has ended there.
    pub(super) fn forget_stored(&mut self) {
        self.beyond = self.beyond.saturating_sub(1);
    }

    /// The first jobs of those that may be left in the store.
    pub(super) fn coming(&self, most: usize) -> impl Iterator<Item = JobId> {
        self.window.iter().take(most).map(|place| place.1)
    }

    /// The first step that may go anywhere.
    pub(super) fn head(&self) -> Option<Place> {
        [self.window.first(), self.kept.first()].into_iter().flatten().min().copied()
    }

    /// The first step of all in memory.
    pub(super) fn first(&self) -> Option<Place> {
        let head = self.head();
        if self.avoiding.is_empty() {
            return head;
        }
        self.avoiding.values().filter_map(BTreeSet::first).copied().chain(head).min()
    }

    /// What changed among the heads of those that avoid an egress: what the lineup knows, and what it is to know.
    pub(super) fn show_avoiding(&mut self) -> Vec<(EgressId, Option<Place>, Option<Place>)> {
        let mut changes: Vec<(EgressId, Option<Place>, Option<Place>)> = Vec::new();
        if self.avoiding.is_empty() && self.shown_avoiding.is_empty() {
            return changes;
        }
        let hidden = BTreeMap::new();
        let avoiding = if self.is_held { &hidden } else { &self.avoiding };
        for egress in self.shown_avoiding.keys().chain(avoiding.keys()) {
            let old = self.shown_avoiding.get(egress).copied();
            let new = avoiding.get(egress).and_then(BTreeSet::first).copied();
            if old != new && changes.iter().all(|(other, ..)| other != egress) {
                changes.push((*egress, old, new));
            }
        }
        for (egress, _, new) in &changes {
            match new {
                Some(place) => self.shown_avoiding.insert(*egress, *place),
                None => self.shown_avoiding.remove(egress),
            };
        }
        changes
    }

    /// Whether the store is to be read, from where on and how many, not more than `most`; it is asked once.
    pub(super) fn ask(&mut self, most: usize, now: Instant) -> Option<(Option<Place>, usize)> {
        let (size, asked_at) = (self.reading.0.min(most), self.reading.1);
        if self.beyond == 0 || self.aside.is_some() || self.window.len() > size / 2 {
            return None;
        }
        let wait = now.since(asked_at);
        let size = match wait {
            _ if asked_at == Instant::ZERO => size,
            _ if wait < SOON => (size * 2).min(most),
            _ if wait > SOON * 8 => (size / 2).max(LEAST),
            _ => size,
        };
        self.reading = (size, now);
        self.aside = Some(Vec::new());
        Some((self.mark, size))
    }

    /// How many the store is being read for.
    pub(super) fn asked(&self) -> usize {
        if self.aside.is_some() { self.reading.0 } else { 0 }
    }

    /// The store was read through to a place, or to its end. Returns those that arrived meanwhile: they arrive now.
    pub(super) fn loaded(
        &mut self,
        places: impl Iterator<Item = Place>,
        through: Option<Place>,
    ) -> Vec<Step> {
        let before = self.window.len();
        places.for_each(|place| self.window.insert(place));
        match through {
            Some(through) => {
                self.beyond = self.beyond.saturating_sub((self.window.len() - before) as u64);
                self.mark = Some(through);
                // There may be more: a count that says otherwise is wrong.
                self.beyond = self.beyond.max(1);
            }
            None => (self.beyond, self.mark) = (0, None),
        }
        self.aside.take().unwrap_or_default()
    }
}
