//! Whose turn it is: classes by weight, tenants by weight inside a class, the earliest deadline inside a tenant.
//!
//! Both upper levels are stride scheduling: whoever is served moves ahead by one stride, the one furthest behind goes
//! next, and who was idle begins where the others are, so that idling earns nothing. Weights count when a step is handed
//! out, so a changed one holds for what already waits.

use std::collections::{BTreeMap, BTreeSet};

use super::sorted::Sorted;
use crate::id::{EgressId, FlowId, JobId, TenantId};
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

impl Class {
    /// All of them, the most urgent first.
    pub const ALL: [Self; 3] = [Self::Interactive, Self::Normal, Self::Bulk];

    /// Its part of what is handed out while every class waits: 16 to 4 to 1 (chosen, so that bulk always moves).
    pub const fn weight(self) -> u64 {
        16 / self.stride()
    }

    const fn stride(self) -> u64 {
        [1, 4, 16][self as usize]
    }
}

/// The stride of a tenant of weight 1; above every weight by far, so that strides are exact to a part in a thousand.
const STRIDE: u64 = 1 << 20;

/// A place in line: earlier deadlines first, then earlier jobs.
pub type Place = (Instant, JobId);

/// A source of steps: a flow, or those steps of it that avoid an egress.
pub(super) type Source = (FlowId, Option<EgressId>);

/// Whose turn it is at one service, over all its lanes.
#[derive(Debug, Default)]
pub(super) struct Turns {
    classes: [ClassTurn; 3],
    /// Virtual time of the class served last.
    served: u64,
}

#[derive(Debug, Default)]
struct ClassTurn {
    pass: u64,
    /// Parties with steps, in all lanes.
    parties: usize,
    tenants: BTreeMap<TenantId, TenantTurn>,
    /// Virtual time of the tenant served last.
    served: u64,
}

#[derive(Debug, Default)]
struct TenantTurn {
    pass: u64,
    /// Lanes in which it has steps.
    lanes: usize,
}

/// The steps of one lane that may be handed out: the heads of their sources.
#[derive(Debug, Default)]
pub(super) struct Lineup {
    classes: [Line; 3],
    /// Tenants with steps, in all classes.
    active: usize,
}

#[derive(Debug, Default)]
struct Line {
    parties: BTreeMap<TenantId, Heads>,
    /// Tenants with steps here, by their pass.
    active: Sorted<(u64, TenantId)>,
}

/// The heads of a tenant's sources, in order.
#[derive(Debug)]
struct Heads {
    /// Whose turn it is; the next head of its source is often before those of the others too.
    first: Head,
    others: BTreeSet<Head>,
}

type Head = (Place, Source);

impl Heads {
    fn iter(&self) -> impl Iterator<Item = &Head> {
        [&self.first].into_iter().chain(&self.others)
    }

    fn add(&mut self, head: Head) {
        self.others.insert(std::cmp::max(head, self.first));
        self.first = self.first.min(head);
    }

    /// A head is replaced by another one of its source, mostly a later one.
    fn replace(&mut self, old: Head, new: Head) {
        if old != self.first {
            self.others.remove(&old);
            self.add(new);
            return;
        }
        self.first = new;
        if self.others.first().is_some_and(|other| *other < new) {
            self.others.insert(new);
            self.first = self.others.pop_first().unwrap_or(new);
        }
    }

    /// Takes one out; false if it was the last.
    fn remove(&mut self, head: Head) -> bool {
        if head != self.first {
            self.others.remove(&head);
            return true;
        }
        let next = self.others.pop_first();
        self.first = next.unwrap_or(head);
        next.is_some()
    }
}

/// A step that may be handed out, and what is known of its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Turn {
    class_pass: u64,
    pub(super) class: Class,
    pass: u64,
    pub(super) tenant: TenantId,
    pub(super) place: Place,
    pub(super) source: Source,
}

impl Turns {
    /// A step was handed out. Returns the old and the new pass of its tenant, for the lanes that list it.
    fn charge(&mut self, turn: &Turn, weight: u32) -> (u64, u64) {
        let class = &mut self.classes[turn.class as usize];
        self.served = class.pass;
        class.pass += turn.class.stride();
        class.served = turn.pass;
        let pass = turn.pass + STRIDE / u64::from(weight.max(1));
        class.tenants.entry(turn.tenant).or_default().pass = pass;
        (turn.pass, pass)
    }

    fn join(&mut self, class: Class, tenant: TenantId) -> u64 {
        let line = &mut self.classes[class as usize];
        if line.parties == 0 {
            line.pass = line.pass.max(self.served);
        }
        line.parties += 1;
        let served = line.served;
        let turn = line.tenants.entry(tenant).or_default();
        if turn.lanes == 0 {
            turn.pass = turn.pass.max(served);
        }
        turn.lanes += 1;
        turn.pass
    }

    fn leave(&mut self, class: Class, tenant: TenantId) -> u64 {
        let line = &mut self.classes[class as usize];
        line.parties -= 1;
        let turn = line.tenants.entry(tenant).or_default();
        turn.lanes -= 1;
        turn.pass
    }
}

impl Lineup {
    pub(super) fn is_empty(&self) -> bool {
        self.active == 0
    }

    /// The head of a source is another one now, or none.
    pub(super) fn set_head(
        &mut self,
        turns: &mut Turns,
        (class, tenant): (Class, TenantId),
        source: Source,
        old: Option<Place>,
        new: Option<Place>,
    ) {
        let line = &mut self.classes[class as usize];
        match (line.parties.get_mut(&tenant), old, new) {
            (_, None, None) => {}
            (Some(heads), Some(old), Some(new)) => heads.replace((old, source), (new, source)),
            (Some(heads), None, Some(new)) => heads.add((new, source)),
            (Some(heads), Some(old), None) => {
                if !heads.remove((old, source)) {
                    line.parties.remove(&tenant);
                    line.active.remove(&(turns.leave(class, tenant), tenant));
                    self.active -= 1;
                }
            }
            (None, _, None) => {}
            (None, _, Some(new)) => {
                line.parties.insert(tenant, Heads { first: (new, source), others: BTreeSet::new() });
                line.active.insert((turns.join(class, tenant), tenant));
                self.active += 1;
            }
        }
    }

    /// A flow that may be next.
    pub(super) fn some_flow(&self) -> Option<FlowId> {
        let heads = self.classes.iter().flat_map(|line| line.parties.values()).next()?;
        Some(heads.first.1.0)
    }

    /// Whose turn it is here among the steps that do not avoid this egress.
    pub(super) fn next(&self, turns: &Turns, egress: Option<EgressId>) -> Option<Turn> {
        let fits = |head: &&Head| egress.is_none() || head.1.1 != egress;
        let turn_of = |class: Class| {
            let line = &self.classes[class as usize];
            line.active.iter().find_map(|(pass, tenant)| {
                let (place, source) = *line.parties.get(tenant)?.iter().find(fits)?;
                let class_pass = turns.classes[class as usize].pass;
                Some(Turn { class_pass, class, pass: *pass, tenant: *tenant, place, source })
            })
        };
        let waits = |class: &Class| !self.classes[*class as usize].active.is_empty();
        let mut classes = Class::ALL.into_iter().filter(waits);
        let (one, other) = (classes.next()?, classes.next());
        // A turn tells first of its class.
        match other {
            None => turn_of(one),
            Some(other) => [one, other].into_iter().chain(classes).filter_map(turn_of).min(),
        }
    }

    fn relist(&mut self, turn: &Turn, (old, new): (u64, u64)) {
        let active = &mut self.classes[turn.class as usize].active;
        active.replace(&(old, turn.tenant), (new, turn.tenant));
    }
}

/// Charges a turn that is taken, and lists its tenant anew in every lane.
pub(super) fn charge<'a>(
    turns: &mut Turns,
    lineups: impl Iterator<Item = &'a mut Lineup>,
    turn: &Turn,
    weight: u32,
) {
    let passes = turns.charge(turn, weight);
    lineups.for_each(|lineup| lineup.relist(turn, passes));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sources that never run dry, one for each class and tenant named.
    struct Endless {
        turns: Turns,
        lineup: Lineup,
        weights: BTreeMap<TenantId, u32>,
    }

    impl Endless {
        fn of(weights: &[u32]) -> Self {
            let weights = (0..).zip(weights).map(|(n, weight)| (TenantId(n), *weight)).collect();
            Self { turns: Turns::default(), lineup: Lineup::default(), weights }
        }

        fn place(flow: u32) -> Place {
            (Instant::from_micros(1), JobId(u64::from(flow)))
        }

        fn begin(&mut self, class: Class, tenant: u32) {
            let flow = class as u32 * 100 + tenant;
            let (who, source) = ((class, TenantId(tenant)), (FlowId(flow), None));
            self.lineup.set_head(&mut self.turns, who, source, None, Some(Self::place(flow)));
        }

        fn end(&mut self, class: Class, tenant: u32) {
            let flow = class as u32 * 100 + tenant;
            let (who, source) = ((class, TenantId(tenant)), (FlowId(flow), None));
            self.lineup.set_head(&mut self.turns, who, source, Some(Self::place(flow)), None);
        }

        fn serve(&mut self, times: usize) -> BTreeMap<(Class, u32), usize> {
            let mut served = BTreeMap::new();
            for _ in 0..times {
                let turn = self.lineup.next(&self.turns, None).expect("they never run dry");
                *served.entry((turn.class, turn.tenant.0)).or_default() += 1;
                charge(&mut self.turns, [&mut self.lineup].into_iter(), &turn, self.weights[&turn.tenant]);
            }
            served
        }
    }

    #[test]
    fn full_classes_share_sixteen_to_four_to_one() {
        let mut endless = Endless::of(&[1]);
        Class::ALL.into_iter().for_each(|class| endless.begin(class, 0));
        let served = endless.serve(63);
        assert_eq!(served.into_values().collect::<Vec<_>>(), [48, 12, 3]);
        assert_eq!(Class::ALL.map(Class::weight), [16, 4, 1]);
    }

    #[test]
    fn a_class_that_was_idle_gains_no_credit() {
        let mut endless = Endless::of(&[1]);
        endless.begin(Class::Interactive, 0);
        endless.serve(90);
        endless.begin(Class::Normal, 0);
        assert!(endless.serve(10)[&(Class::Normal, 0)] <= 3);
    }

    #[test]
    fn tenants_share_a_class_by_weight_within_one_stride() {
        let mut endless = Endless::of(&[3, 1, 7]);
        (0..3).for_each(|tenant| endless.begin(Class::Normal, tenant));
        for _ in 0..20 {
            let served = endless.serve(1_100);
            for (tenant, fair) in [(0, 300), (1, 100), (2, 700)] {
                assert!(served[&(Class::Normal, tenant)].abs_diff(fair) <= 2, "{served:?}");
            }
        }
    }

    #[test]
    fn a_tenant_that_returns_gains_no_credit_and_a_new_weight_holds_at_once() {
        let mut endless = Endless::of(&[1, 1]);
        endless.begin(Class::Bulk, 0);
        endless.serve(1_000);
        endless.begin(Class::Bulk, 1);
        assert!(endless.serve(100)[&(Class::Bulk, 1)] <= 51);
        endless.end(Class::Bulk, 1);
        endless.serve(500);
        endless.begin(Class::Bulk, 1);
        endless.weights.insert(TenantId(1), 4);
        assert!(endless.serve(100)[&(Class::Bulk, 1)].abs_diff(80) <= 1);
    }

    #[test]
    fn inside_a_tenant_the_earliest_deadline_goes_first_unless_it_avoids_the_egress() {
        let (mut turns, mut lineup) = (Turns::default(), Lineup::default());
        let who = (Class::Normal, TenantId(0));
        let place = |secs: u64, job| (Instant::from_micros(secs * 1_000_000), JobId(job));
        lineup.set_head(&mut turns, who, (FlowId(1), None), None, Some(place(9, 1)));
        lineup.set_head(&mut turns, who, (FlowId(2), Some(EgressId(7))), None, Some(place(3, 2)));
        lineup.set_head(&mut turns, who, (FlowId(2), None), None, Some(place(5, 3)));
        let next = |egress| lineup.next(&turns, egress).map(|turn| turn.place.1.0);
        assert_eq!(next(Some(EgressId(7))), Some(3));
        assert_eq!(next(Some(EgressId(8))), Some(2));
        assert_eq!(next(None), Some(2));
    }
}
