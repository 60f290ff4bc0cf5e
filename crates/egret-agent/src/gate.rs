//! The last word on when a call leaves: one gate for each service and egress.
//!
//! A gate holds the same ledger as the coordinator, on this host's clock, and behind it a guard that
//! was written by others. The ledger decides; the guard must never trip, and if it does the call is
//! not made: a defect is caught before the remote sees it.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use egret_core::ledger::{Ledger, Ready};
use egret_core::quota::Limits;
use egret_core::scheduler::LONGEST_HOLD;
use egret_core::time::Instant;
use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota as Rate, RateLimiter};

use egret_wire::agent::{CallQuota, Grant};

/// A grant that waits for its gate, and since when.
pub(crate) type Held = (Grant, Instant);

/// Lets calls of one egress to one service through, one at a time.
pub(crate) struct Gate {
    /// Its number in the journal.
    pub(crate) pair: u32,
    pub(crate) ledger: Ledger,
    limits: Arc<Limits>,
    held: VecDeque<Held>,
    guard: Option<Guard>,
}

/// What a gate says when asked for the next call.
pub(crate) enum Pass {
    /// Make this call; its unit is reserved.
    Go(Held),
    /// The ledger agreed and the guard did not: report it, do not send it.
    Tripped(Held),
    /// It may not leave as soon as it has to: give it back, and say when it may, if that is known.
    Late(Held, Option<Duration>),
    /// Ask again at this instant, and when a call has ended.
    Wait(Instant),
    /// Nothing is held.
    Idle,
}

impl Gate {
    /// A gate with nothing spent. `ceiling` is what its guard keeps; none: there is no guard.
    pub(crate) fn new(pair: u32, ceiling: Option<&CallQuota>, limits: Arc<Limits>) -> Self {
        let guard = ceiling.map(Guard::new);
        Self { pair, ledger: Ledger::default(), limits, held: VecDeque::new(), guard }
    }

    /// The service's limits are others now: the ledger keeps what it knows, the guard starts anew.
    pub(crate) fn retune(&mut self, ceiling: Option<&CallQuota>, limits: Arc<Limits>, now: Instant) {
        if limits != self.limits {
            self.ledger.retune(&self.limits, &limits, now);
            self.guard = ceiling.map(Guard::new);
        }
        self.limits = limits;
    }

    /// The call could not be sent: its unit is given back.
    pub(crate) fn refund(&mut self) {
        self.ledger.refund();
        if let Some(guard) = &mut self.guard {
            guard.spare += 1;
        }
    }

    pub(crate) fn hold(&mut self, grant: Grant, now: Instant) {
        self.held.push_back((grant, now));
    }

    pub(crate) fn limits(&self) -> Arc<Limits> {
        Arc::clone(&self.limits)
    }

    /// Takes back the grants that have not left, all of them or one.
    pub(crate) fn withdraw(&mut self, wanted: impl Fn(&Grant) -> bool) -> Vec<Held> {
        let (out, kept) = std::mem::take(&mut self.held).into_iter().partition(|held| wanted(&held.0));
        self.held = kept;
        Vec::from(out)
    }

    /// The next call that may leave at `now`, when grants are told that it is `shown`; none does if this host has to ask
    /// again later for reasons of its own.
    pub(crate) fn pass(&mut self, now: Instant, shown: Instant, again_at: Option<Instant>) -> Pass {
        let Some((grant, since)) = self.held.front() else { return Pass::Idle };
        // A grant that was long on its way counts as lost already, and its unit may be somebody else's.
        let left = grant.not_after_us.map_or(LONGEST_HOLD, |us| Instant::from_micros(us).since(shown));
        let latest = (now + left).min(*since + LONGEST_HOLD);
        let ready = again_at.map_or_else(|| self.ledger.ready(&self.limits, now), Ready::At);
        let (leaves, wait) = match ready {
            Ready::Now => (now < latest, None),
            Ready::At(at) if at < latest => return Pass::Wait(at),
            Ready::At(at) => (false, Some(at.since(now))),
            Ready::OnCompletion if now < latest => return Pass::Wait(latest),
            Ready::OnCompletion => (false, None),
        };
        match self.held.pop_front() {
            None => Pass::Idle,
            Some(held) if !leaves => Pass::Late(held, wait),
            Some(held) if self.guard.as_mut().is_some_and(|guard| guard.trips(now)) => Pass::Tripped(held),
            Some(held) => {
                self.ledger.reserve(&self.limits, now);
                Pass::Go(held)
            }
        }
    }

    /// Nothing is held, and what the ledger holds says nothing: a new gate would be the same.
    pub(crate) fn is_idle(&mut self, now: Instant) -> bool {
        self.held.is_empty() && self.ledger.shed(&self.limits, now)
    }
}

/// A rate limiter of another school, at the pace of the shortest quota: whatever the ledger does, no
/// span of it sees twice the units.
struct Guard {
    limiter: RateLimiter<NotKeyed, InMemoryState, GuardClock, NoOpMiddleware<Nanos>>,
    clock: GuardClock,
    /// Calls it let through that never left: it cannot take them back, so they are let through again.
    spare: u32,
}

impl Guard {
    fn new(ceiling: &CallQuota) -> Self {
        let CallQuota { units, per, burst } = ceiling;
        let interval = per.0.as_nanos().div_ceil(u128::from((*units).max(1))).max(1);
        let interval = Duration::from_nanos(u64::try_from(interval).unwrap_or(u64::MAX));
        let burst = NonZeroU32::new(burst.unwrap_or(*units)).unwrap_or(NonZeroU32::MIN);
        let rate =
            Rate::with_period(interval).unwrap_or(Rate::per_second(NonZeroU32::MIN)).allow_burst(burst);
        let clock = GuardClock::default();
        Self { limiter: RateLimiter::direct_with_clock(rate, clock.clone()), clock, spare: 0 }
    }

    fn trips(&mut self, now: Instant) -> bool {
        if self.spare > 0 {
            self.spare -= 1;
            return false;
        }
        self.clock.0.store(now.as_micros().saturating_mul(1_000), Ordering::Relaxed);
        self.limiter.check().is_err()
    }
}

/// The guard reads the instants that its gate is given.
#[derive(Clone, Debug, Default)]
struct GuardClock(Arc<AtomicU64>);

impl Clock for GuardClock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::from(self.0.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use egret_core::quota::{Counting, Quota, Terms};
    use egret_wire::agent::Attempt;
    use egret_wire::value::{Bytes, Span};

    fn gate(units: u32) -> Gate {
        let (ceiling, limits) = every_second(units);
        Gate::new(0, Some(&ceiling), limits)
    }

    fn every_second(units: u32) -> (CallQuota, Arc<Limits>) {
        let terms = Terms {
            quotas: vec![Quota::new(units, Duration::from_secs(1))],
            counting: Counting::Sliding,
            cost: 1,
            concurrency: None,
            cool_down: Duration::ZERO,
            max_cool_down: Duration::ZERO,
            timeout: Duration::from_secs(1),
            linger: Duration::ZERO,
        };
        let ceiling = CallQuota { units, per: Span(Duration::from_secs(1)), burst: None };
        (ceiling, Arc::new(terms.limits()))
    }

    fn grant(n: u64) -> Grant {
        let question = Bytes(Vec::new());
        let (service, egress) = ("s".to_owned(), "e".to_owned());
        Grant {
            attempt: Attempt(n, 1, 1, n),
            service,
            egress,
            at: None,
            question,
            headers: Vec::new(),
            seal: String::new(),
            not_after_us: None,
        }
    }

    #[test]
    fn grants_leave_in_order_as_the_ledger_allows_and_the_guard_stays_still() {
        let mut gate = gate(2);
        let mut now = Instant::ZERO;
        for n in 0..100 {
            gate.hold(grant(n), now);
            loop {
                match gate.pass(now, now, None) {
                    Pass::Go((grant, _)) => {
                        assert_eq!(grant.attempt.0, n);
                        gate.ledger.charge(&gate.limits(), now);
                        break;
                    }
                    Pass::Wait(at) => now = at,
                    Pass::Tripped(_) => panic!("the guard tripped at call {n}"),
                    Pass::Late(_, wait) => {
                        // One window is just longer than a grant is held.
                        now = now + wait.expect("nothing is in flight");
                        gate.hold(grant(n), now);
                    }
                    Pass::Idle => panic!("call {n} is held"),
                }
            }
        }
    }

    #[test]
    fn a_ledger_that_forgets_is_stopped_by_the_guard() {
        let mut gate = gate(2);
        (0..3).for_each(|n| gate.hold(grant(n), Instant::ZERO));
        for _ in 0..2 {
            assert!(matches!(gate.pass(Instant::ZERO, Instant::ZERO, None), Pass::Go(_)));
            gate.ledger = Ledger::default();
        }
        assert!(matches!(gate.pass(Instant::ZERO, Instant::ZERO, None), Pass::Tripped(_)));
    }

    #[test]
    fn the_guard_stays_still_through_calls_that_could_not_leave_and_through_new_terms() {
        let mut gate = gate(1);
        (0..6).for_each(|n| gate.hold(grant(n), Instant::ZERO));
        for _ in 0..5 {
            assert!(matches!(gate.pass(Instant::ZERO, Instant::ZERO, None), Pass::Go(_)));
            gate.refund();
        }
        let (ceiling, limits) = every_second(10);
        gate.retune(Some(&ceiling), limits, Instant::ZERO);
        (6..10).for_each(|n| gate.hold(grant(n), Instant::ZERO));
        for _ in 0..5 {
            assert!(matches!(gate.pass(Instant::ZERO, Instant::ZERO, None), Pass::Go(_)));
        }
    }

    #[test]
    fn a_grant_that_cannot_leave_in_time_is_given_back_with_the_time_when_one_could() {
        let mut gate = gate(1);
        let at = |ms: u64| Instant::ZERO + Duration::from_millis(ms);
        gate.hold(grant(0), at(0));
        assert!(matches!(gate.pass(at(0), at(0), None), Pass::Go(_)));
        gate.hold(grant(1), at(0));
        assert!(
            matches!(gate.pass(at(1), at(1), None), Pass::Wait(until) if until == at(0) + LONGEST_HOLD),
            "one may end"
        );
        assert!(matches!(gate.pass(at(0) + LONGEST_HOLD, at(0) + LONGEST_HOLD, None), Pass::Late(_, None)));
        gate.ledger.charge(&gate.limits(), at(1_000));
        gate.hold(grant(2), at(1_000));
        assert!(
            matches!(gate.pass(at(1_000), at(1_000), None), Pass::Late(_, Some(wait)) if wait > LONGEST_HOLD)
        );
        gate.hold(grant(3), at(1_500));
        assert!(matches!(gate.pass(at(1_500), at(1_500), None), Pass::Wait(until) if until < at(2_010)));
    }

    #[test]
    fn a_grant_that_was_too_long_on_its_way_is_given_back() {
        let mut gate = gate(5);
        let at = |ms: u64| Instant::ZERO + Duration::from_millis(ms);
        for (not_after_ms, leaves) in [(5_001, true), (5_000, false), (12, false)] {
            gate.hold(Grant { not_after_us: Some(not_after_ms * 1_000), ..grant(not_after_ms) }, at(5_000));
            assert_eq!(
                matches!(gate.pass(at(5_000), at(5_000), None), Pass::Go(_)),
                leaves,
                "{not_after_ms}"
            );
        }
    }

    #[test]
    fn a_host_that_slept_counts_that_against_its_grants() {
        let mut gate = gate(5);
        let at = |ms: u64| Instant::ZERO + Duration::from_millis(ms);
        gate.hold(Grant { not_after_us: Some(6_000_000), ..grant(0) }, at(5_000));
        assert!(matches!(gate.pass(at(5_000), at(65_000), None), Pass::Late(_, _)));
    }

    #[test]
    fn while_the_host_is_not_ready_nothing_leaves_and_nothing_is_kept_too_long() {
        let mut gate = gate(5);
        let at = |ms: u64| Instant::ZERO + Duration::from_millis(ms);
        gate.hold(grant(0), at(0));
        assert!(matches!(gate.pass(at(0), at(0), Some(at(50))), Pass::Wait(until) if until == at(50)));
        assert!(matches!(gate.pass(at(990), at(990), Some(at(1_040))), Pass::Late(_, Some(_))));
        gate.hold(grant(1), at(1_040));
        assert!(matches!(gate.pass(at(1_040), at(1_040), None), Pass::Go(_)));
    }

    #[test]
    fn a_grant_that_has_not_left_can_be_taken_back() {
        let mut gate = gate(1);
        (0..3).for_each(|n| gate.hold(grant(n), Instant::ZERO));
        assert_eq!(gate.withdraw(|grant| grant.attempt.0 == 1).len(), 1);
        assert_eq!(gate.withdraw(|_| true).len(), 2);
        assert!(matches!(gate.pass(Instant::ZERO, Instant::ZERO, None), Pass::Idle));
    }
}
