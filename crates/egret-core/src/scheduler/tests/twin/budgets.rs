//! What was spent, as a list of calls: nothing is grouped, rounded or remembered, and every question is answered by
//! going through all of it.

use super::*;

/// A call counts for so much longer after its answer (design: one part in a thousand for the clocks, and a guard).
fn span(per: Duration) -> Duration {
    let guard = if per >= Duration::from_secs(10) { 1_000_000 } else { 1_000 };
    let micros = (per.as_micros() as u64 + guard) * 1_001;
    Duration::from_micros(micros.div_ceil(1_000))
}

/// The ledger's times are in ticks of up to so long here, rounded up.
pub(super) const TICK: Duration = Duration::from_micros(8);
/// A log has places for so many calls; with more it may join some.
const TOLD_APART: usize = 31;
const COOL_DOWN: Duration = Duration::from_secs(60);
const LONGEST_REST: Duration = Duration::from_secs(3_600);
pub(super) const TIMEOUT: Duration = Duration::from_secs(5);
pub(super) const LINGER: Duration = Duration::from_secs(2);

/// Who is charged: an egress, or what it shares.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Of {
    Own(EgressId),
    Shared(ScopeKey),
}

#[derive(Clone, Debug)]
struct Call {
    /// While it is in flight.
    attempt: Option<AttemptId>,
    of: Vec<Of>,
    count: u32,
    /// The last instant at which the remote may count it, once that is known.
    ends: Option<Instant>,
}

/// Its end is drawn from up to a tenth of its length.
#[derive(Clone, Copy, Debug)]
struct Rest {
    began_at: Instant,
    until: (Instant, Instant),
    refusals: u32,
}

/// Whether one more call may leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verdict {
    No,
    /// A matter of rounding or of what was drawn.
    Perhaps,
    Yes,
}

#[derive(Debug)]
pub(super) struct Budgets {
    pub(super) quotas: Vec<Quota>,
    pub(super) concurrency: Option<u32>,
    calls: Vec<Call>,
    rests: BTreeMap<Of, Rest>,
    refused: BTreeMap<Of, (EgressId, Instant)>,
    /// Egresses that could not send, until when they do not try, and how often in a row they could not.
    waits: BTreeMap<EgressId, (Instant, u32)>,
    left: BTreeMap<EgressId, (u32, Instant)>,
    /// Slots of ended calls that the remote may still see open.
    closing: Vec<(EgressId, Instant)>,
}

impl Budgets {
    pub(super) fn new(quotas: Vec<Quota>, concurrency: Option<u32>) -> Self {
        Self {
            quotas,
            concurrency,
            calls: Vec::new(),
            rests: BTreeMap::new(),
            refused: BTreeMap::new(),
            waits: BTreeMap::new(),
            left: BTreeMap::new(),
            closing: Vec::new(),
        }
    }

    /// Whatever a call from an egress that lives there counts towards; networks rest together even without a quota.
    pub(super) fn of(&self, egress: EgressId, home: Option<&Home>) -> Vec<Of> {
        let network = Scope::Subnet { ipv4_prefix: 24, ipv6_prefix: 48 };
        let scopes = self.quotas.iter().map(|quota| &quota.scope).chain([&network]);
        let shared = scopes.filter_map(|scope| scope.key(home?.0, &home?.1)).map(Of::Shared);
        let mut all: Vec<Of> = shared.chain([Of::Own(egress)]).collect();
        all.sort();
        all.dedup();
        all
    }

    /// Of those, the one that a quota counts by.
    fn counted_by<'a>(quota: &Quota, of: &'a [Of]) -> Option<&'a Of> {
        of.iter().find(|of| match (&quota.scope, of) {
            (Scope::Ip, Of::Own(_)) | (Scope::Fleet, Of::Shared(ScopeKey::Fleet)) => true,
            (Scope::Subnet { .. }, Of::Shared(ScopeKey::Subnet(..))) => true,
            (Scope::Tag(tag), Of::Shared(ScopeKey::Tag(other))) => tag == other,
            _ => false,
        })
    }

    pub(super) fn in_flight(&self, of: &Of) -> u32 {
        self.calls.iter().filter(|call| call.attempt.is_some() && call.of.contains(of)).count() as u32
    }

    /// The least and the most that a ledger may hold for a quota; more than the most if it has to join calls.
    pub(super) fn used(&self, of: &Of, quota: &Quota, now: Instant) -> (u32, u32) {
        let span = span(quota.per);
        let (mut least, mut most, mut told) = (0, 0, 0);
        for call in self.calls.iter().filter(|call| call.of.contains(of)) {
            if call.ends.is_none_or(|ends| ends + span > now) {
                least += call.count;
            }
            if call.ends.is_none_or(|ends| ends + span + TICK > now) {
                (most, told) = (most + call.count, told + 1);
            }
        }
        (least, if told <= TOLD_APART { most } else { u32::MAX })
    }

    /// Whether the remote, however it places calls between their grant and their end, would count a call more than a
    /// quota allows if one left now.
    pub(super) fn is_over_with_one_more(&self, of: &[Of], now: Instant) -> bool {
        self.quotas.iter().any(|quota| {
            let Some(of) = Self::counted_by(quota, of) else { return false };
            let lives = |call: &&Call| call.ends.is_none_or(|ends| ends + quota.per > now);
            let calls = self.calls.iter().filter(|call| call.of.contains(of)).filter(lives);
            calls.map(|call| call.count).sum::<u32>() + 1 > quota.units
        })
    }

    /// Whether an egress may make one more call.
    pub(super) fn verdict(&self, egress: EgressId, of: &[Of], now: Instant) -> Verdict {
        let after = |until: Instant| if until > now { Verdict::No } else { Verdict::Yes };
        let windows = self.quotas.iter().filter_map(|quota| {
            let (least, most) = self.used(Self::counted_by(quota, of)?, quota, now);
            Some(match (least < quota.units, most < quota.units) {
                (false, _) => Verdict::No,
                (true, false) => Verdict::Perhaps,
                (true, true) => Verdict::Yes,
            })
        });
        let rests = of.iter().filter_map(|of| {
            let rest = self.rests.get(of)?;
            // One call tries whether it is over.
            let is_perhaps = rest.until.1 > now;
            Some(match after(rest.until.0) {
                Verdict::Yes if self.in_flight(of) > 0 => Verdict::No,
                Verdict::Yes if is_perhaps => Verdict::Perhaps,
                verdict => verdict,
            })
        });
        let wait = self.waits.get(&egress).map(|(until, _)| after(*until));
        let left = self.left.get(&egress).filter(|left| left.0 == 0).map(|left| after(left.1));
        let open = self.in_flight(&Of::Own(egress)) as usize
            + self.closing.iter().filter(|slot| slot.0 == egress && slot.1 > now).count();
        let slot = self.concurrency.filter(|cap| open >= *cap as usize).map(|_| Verdict::No);
        windows.chain(rests).chain(wait).chain(left).chain(slot).min().unwrap_or(Verdict::Yes)
    }

    /// Every instant after `now` at which something may become free.
    pub(super) fn instants(&self, now: Instant) -> Vec<Instant> {
        let ends = self.calls.iter().filter_map(|call| call.ends);
        let windows = ends.flat_map(|ends| self.quotas.iter().map(move |q| ends + span(q.per) + TICK));
        let rests = self.rests.values().flat_map(|rest| [rest.until.0, rest.until.1]);
        let waits = self.waits.values().map(|wait| wait.0);
        let left = self.left.values().map(|left| left.1);
        let closing = self.closing.iter().map(|slot| slot.1);
        windows.chain(rests).chain(waits).chain(left).chain(closing).filter(|at| *at > now).collect()
    }

    pub(super) fn reserve(&mut self, attempt: AttemptId, egress: EgressId, of: &[Of]) {
        self.calls.push(Call { attempt: Some(attempt), of: of.to_vec(), count: 1, ends: None });
        if let Some(left) = self.left.get_mut(&egress) {
            left.0 = left.0.saturating_sub(1);
        }
    }

    /// The call of an attempt in flight, which is not in flight any more.
    fn land(&mut self, attempt: AttemptId, egress: EgressId, ends: Instant, now: Instant) -> Vec<Of> {
        let call = self.calls.iter_mut().find(|call| call.attempt == Some(attempt)).expect("it is in flight");
        (call.attempt, call.ends) = (None, Some(ends));
        let of = call.of.clone();
        self.waits.remove(&egress);
        self.closing.push((egress, now + Duration::from_millis(50)));
        of
    }

    pub(super) fn settle(
        &mut self,
        attempt: AttemptId,
        (egress, granted_at): (EgressId, Instant),
        settlement: Settlement,
        now: Instant,
    ) {
        match settlement {
            Settlement::Withdrawn | Settlement::NotSent => {
                self.calls.retain(|call| call.attempt != Some(attempt));
                if let Some(left) = self.left.get_mut(&egress) {
                    left.0 += 1;
                }
                if settlement == Settlement::NotSent {
                    let times = self.waits.get(&egress).map_or(0, |wait| wait.1);
                    let wait = Duration::from_secs(2u64.pow(times.min(6))).min(COOL_DOWN);
                    self.waits.insert(egress, (now + wait, times + 1));
                }
            }
            Settlement::Unanswered => {
                self.land(attempt, egress, now + LINGER, now);
            }
            Settlement::Answered => {
                for of in self.land(attempt, egress, now, now) {
                    if self.rests.get(&of).is_some_and(|rest| granted_at >= rest.began_at) {
                        self.rests.remove(&of);
                    }
                }
            }
            Settlement::Refused { named } => {
                let of = self.land(attempt, egress, now, now);
                self.refuse(egress, &of, granted_at, named, now);
            }
        }
    }

    /// Returns what it counted towards.
    pub(super) fn lose(&mut self, attempt: AttemptId, egress: EgressId, now: Instant) -> Vec<Of> {
        self.land(attempt, egress, now, now)
    }

    /// An attempt that was given up is heard of: it is charged once more.
    pub(super) fn settle_late(&mut self, egress: EgressId, of: &[Of], settlement: Settlement, now: Instant) {
        match settlement {
            Settlement::Withdrawn | Settlement::NotSent => return,
            Settlement::Unanswered => self.spend(of, 1, now + LINGER),
            Settlement::Answered | Settlement::Refused { .. } => self.spend(of, 1, now),
        }
        if let Settlement::Refused { named } = settlement {
            self.refuse(egress, of, Instant::ZERO, named, now);
        }
    }

    pub(super) fn spend(&mut self, of: &[Of], count: u32, ends: Instant) {
        self.calls.push(Call { attempt: None, of: of.to_vec(), count, ends: Some(ends) });
    }

    fn refuse(
        &mut self,
        egress: EgressId,
        of: &[Of],
        sent_at: Instant,
        named: Option<Duration>,
        now: Instant,
    ) {
        let fresh = Rest { began_at: now, until: (now, now), refusals: 0 };
        let rest = self.rests.entry(Of::Own(egress)).or_insert(fresh);
        let is_news = rest.refusals == 0 || sent_at >= rest.began_at;
        if is_news {
            (rest.began_at, rest.refusals) = (now, rest.refusals + 1);
        }
        let (least, most) = match named {
            Some(named) => {
                let until = now + named + named / 100 + Duration::from_secs(1);
                (until, until)
            }
            None if is_news => {
                let length = (COOL_DOWN * 5u32.pow(rest.refusals.min(5) - 1)).min(LONGEST_REST);
                (now + length, now + length + length / 10 + TICK)
            }
            None => return,
        };
        rest.until = (rest.until.0.max(least), rest.until.1.max(most));
        let until = rest.until;
        for of in of.iter().filter(|of| matches!(of, Of::Shared(ScopeKey::Subnet(..)))) {
            let former = self.refused.insert(of.clone(), (egress, now));
            let minute = Duration::from_secs(60);
            let is_another = former.is_some_and(|(other, at)| other != egress && now.since(at) <= minute);
            if is_another || self.rests.contains_key(of) {
                self.rest(of, until, 1, now);
            }
        }
    }

    pub(super) fn rest(&mut self, of: &Of, until: (Instant, Instant), refusals: u32, now: Instant) {
        let fresh = Rest { began_at: now, until: (now, now), refusals };
        let rest = self.rests.entry(of.clone()).or_insert(fresh);
        rest.until = (rest.until.0.max(until.0), rest.until.1.max(until.1));
    }

    pub(super) fn wait(&mut self, egress: EgressId, until: Instant) {
        let (former, times) = self.waits.get(&egress).copied().unwrap_or((until, 0));
        self.waits.insert(egress, (former.max(until), times));
    }

    pub(super) fn limit_to(&mut self, egress: EgressId, calls: u32, until: Instant, now: Instant) {
        let calls = calls.saturating_sub(self.in_flight(&Of::Own(egress)));
        let former = self.left.get(&egress).copied().filter(|left| left.1 > now);
        let (least, latest) = former.unwrap_or((calls, until));
        self.left.insert(egress, (calls.min(least), until.max(latest)));
    }

    /// Forgets what cannot count any more.
    pub(super) fn tidy(&mut self, now: Instant) {
        let longest = self.quotas.iter().map(|quota| span(quota.per)).max().unwrap_or_default() + TICK;
        self.calls.retain(|call| call.ends.is_none_or(|ends| ends + longest > now));
        self.closing.retain(|slot| slot.1 > now);
    }
}
