//! What a service allows, and how that becomes rules the ledger can keep.
//!
//! Services count in different ways. Every way is reduced to sliding windows "at most N live calls
//! per W", sometimes with a minimum spacing of sends; whoever obeys those is never refused by the
//! original. The spans are inflated a little, because two clocks never run alike, and every
//! interval is rounded up.

use std::time::Duration;

use crate::scope::Scope;

/// Clock rates may differ by 500 ppm on each side (the slew limit of NTP).
const RATE_MARGIN_PER_MILLE: u32 = 1;
/// Remotes with whole-second stamps may count one second longer than they say; from this span on it is added.
const LONG_SPAN: Duration = Duration::from_secs(10);
const LONG_GUARD: Duration = Duration::from_secs(1);
/// Covers remotes whose windows are closed at both ends.
const SHORT_GUARD: Duration = Duration::from_millis(1);
/// The most quotas a service may have (chosen: none we know of has more than four).
pub const MOST_QUOTAS: usize = 8;
/// Groups that a log of calls is kept in; `ledger::log` says how.
pub(crate) const GROUPS: u32 = 32;
/// Ticks that a span, and what may be charged ahead of time, have at the most: far fewer than a wrapping count of
/// 32 bits tells apart, and enough that rounding to them costs less than one part in a million.
const SPAN_TICKS: u64 = 1 << 22;

/// A rule of a service: at most `units` per `per`, as the service states it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Units allowed in the span; at least 1.
    pub units: u32,
    /// The span the service counts over; above zero.
    pub per: Duration,
    /// Token buckets only: the size of the bucket, when it is not `units`; at least 1.
    pub burst: Option<u32>,
    /// Whose calls are counted together.
    pub scope: Scope,
    /// Thousandths of it that may be used, 1 to 1,000; the rest is left to others.
    pub share: u16,
}

/// How a service counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Counting {
    /// A log of calls: at most `units` in any span. Safe for fixed windows too.
    #[default]
    Sliding,
    /// Counters that restart at the edges of a span.
    Fixed,
    /// A bucket of `burst` tokens that refills at `units / per`.
    TokenBucket,
    /// This span's count plus the faded count of the span before.
    TwoBucket,
    /// Not known: treated as the strictest of them, [`Counting::TwoBucket`]; costs one unit in `units`.
    Unknown,
}

/// At most `units` live calls in `span`; the form the ledger keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Live calls allowed.
    pub units: u32,
    /// How long a call stays live after its answer, inflated, in microseconds.
    pub(crate) span_us: u64,
    /// Times are kept in units of this many microseconds, as a power of two.
    pub(crate) shift: u8,
    /// Calls that share one time in a log, if no longer than `near` apart: 1 up to 31 units.
    pub(crate) group: u16,
    /// One part in 31 of the span, in microseconds.
    pub(crate) near_us: u64,
    /// A log that was not changed for so long holds nothing that is live, in microseconds.
    pub(crate) horizon_us: u64,
}

/// What one ledger has to keep: the limits of one egress, or of one network, at one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// All of them hold at once, in the order of the service's quotas.
    pub windows: Vec<Window>,
    /// The least time between two sends; zero: none.
    pub spacing: Duration,
    /// Open calls at a time; `None`: the windows alone bound them.
    pub concurrency: Option<u32>,
    /// The rest after a first refusal that names no time; five times longer at each further one.
    pub cool_down: Duration,
    /// The longest rest when the remote names no time.
    pub max_cool_down: Duration,
    /// How long a call may take.
    pub timeout: Duration,
    /// How late after the time-out a remote may still count a call that was not answered.
    pub linger: Duration,
}

/// All limits of a service: of each egress by itself, and of what egresses share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Kept for each egress.
    pub own: Limits,
    /// Kept for each key of a wider scope; each scope once. One of them is a network, if only to rest together.
    pub wide: Vec<(Scope, Limits)>,
}

/// The stated rules of a service before reduction; what a configuration says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// All of them hold at once, up to [`MOST_QUOTAS`]. Empty: the careful default, 1 per 2 s and one call at a time.
    pub quotas: Vec<Quota>,
    /// How the service counts.
    pub counting: Counting,
    /// Units that one call counts; at least 1.
    pub cost: u32,
    /// See [`Limits::concurrency`].
    pub concurrency: Option<u32>,
    /// See [`Limits::cool_down`].
    pub cool_down: Duration,
    /// See [`Limits::max_cool_down`].
    pub max_cool_down: Duration,
    /// See [`Limits::timeout`].
    pub timeout: Duration,
    /// See [`Limits::linger`].
    pub linger: Duration,
}

/// For services whose limit nobody stated: chosen, below the lowest published whois limit we know of (30/min).
pub const CAREFUL: Quota =
    Quota { units: 1, per: Duration::from_secs(2), burst: None, scope: Scope::Ip, share: WHOLE };
/// A share of all of it.
pub const WHOLE: u16 = 1_000;
/// The network that rests when two of its addresses are refused, unless a quota of the service names another (chosen:
/// what registries hand out and block as one).
const NEIGHBOURS: Scope = Scope::Subnet { ipv4_prefix: 24, ipv6_prefix: 48 };

impl Quota {
    /// `units` per `per` for each egress, all of it.
    pub const fn new(units: u32, per: Duration) -> Self {
        Self { units, per, burst: None, scope: Scope::Ip, share: WHOLE }
    }

    /// Units of it that may be used.
    pub fn usable(&self) -> u32 {
        self.part(self.units)
    }

    /// Units of it that may be used at once: of a token bucket what it holds.
    pub fn capacity(&self, counting: Counting) -> u32 {
        match counting {
            Counting::TokenBucket => self.part(self.burst.unwrap_or(self.units)),
            _ => self.usable(),
        }
    }

    /// The same rule in whole calls that count `cost` units each, of the share that may be used; 0 units: not even one
    /// call fits.
    fn in_calls(&self, counting: Counting, cost: u32) -> Self {
        let cost = cost.max(1);
        let whole = Self { share: WHOLE, scope: self.scope.clone(), ..*self };
        if counting == Counting::TokenBucket {
            // Tokens for one call come back in cost / rate.
            let burst = self.part(self.burst.unwrap_or(self.units)) / cost;
            let units = if burst == 0 { 0 } else { self.usable() };
            return Self { units, per: self.per * cost, burst: Some(burst), ..whole };
        }
        Self { units: self.usable() / cost, ..whole }
    }

    fn part(&self, units: u32) -> u32 {
        let part = u64::from(units) * u64::from(self.share.min(WHOLE)) / u64::from(WHOLE);
        u32::try_from(part).unwrap_or(units)
    }
}

impl Terms {
    /// The quotas in force: the stated ones, or the careful default.
    pub fn quotas_in_force(&self) -> Vec<Quota> {
        if self.quotas.is_empty() { vec![CAREFUL] } else { self.quotas.clone() }
    }

    /// The same in whole calls, as an agent is told them; a quota of 0 units lets nothing through.
    pub fn quotas_in_calls(&self) -> Vec<Quota> {
        self.quotas_in_force().iter().map(|quota| quota.in_calls(self.counting, self.cost)).collect()
    }

    /// Those of them that each egress has by itself, as its agent is told them.
    pub fn own_in_calls(&self) -> Vec<Quota> {
        self.quotas_in_calls().into_iter().filter(|quota| quota.scope == Scope::Ip).collect()
    }

    /// What one address may never exceed, whoever shares it: the shortest quota but those of tags, which it may not have.
    pub fn ceiling_in_calls(&self) -> Option<Quota> {
        let quotas = self.quotas_in_calls().into_iter();
        quotas.filter(|quota| !matches!(quota.scope, Scope::Tag(_))).min_by_key(|quota| quota.per)
    }

    /// What each egress must keep by itself so that these terms are never broken, however the remote's windows lie.
    pub fn limits(&self) -> Limits {
        self.reduced(&self.own_in_calls())
    }

    /// What each egress, and what egresses together, must keep.
    pub fn rules(&self) -> Rules {
        let (own, shared): (Vec<_>, Vec<_>) =
            self.quotas_in_calls().into_iter().partition(|quota| quota.scope == Scope::Ip);
        let mut scopes: Vec<Scope> = shared.iter().map(|quota| quota.scope.clone()).collect();
        if !scopes.iter().any(|scope| matches!(scope, Scope::Subnet { .. })) {
            scopes.push(NEIGHBOURS);
        }
        scopes.sort();
        scopes.dedup();
        let limits = |scope: Scope| {
            let quotas: Vec<Quota> = shared.iter().filter(|quota| quota.scope == scope).cloned().collect();
            (scope, Limits { concurrency: None, ..self.reduced(&quotas) })
        };
        Rules { own: self.reduced(&own), wide: scopes.into_iter().map(limits).collect() }
    }

    fn reduced(&self, quotas: &[Quota]) -> Limits {
        let counting = if self.quotas.is_empty() { Counting::Sliding } else { self.counting };
        let mut spacing = Duration::ZERO;
        let windows = quotas.iter().map(|quota| {
            let (units, span, spaced) = reduce(quota, counting);
            spacing = spacing.max(spaced);
            Window::new(units, span, self.timeout + self.linger)
        });
        Limits {
            windows: windows.collect(),
            spacing,
            concurrency: if self.quotas.is_empty() { Some(1) } else { self.concurrency },
            cool_down: self.cool_down,
            max_cool_down: self.max_cool_down,
            timeout: self.timeout,
            linger: self.linger,
        }
    }
}

impl Limits {
    /// Nothing to keep, and no rest unless somebody says how long.
    pub(crate) const NONE: &'static Self = &Self {
        windows: Vec::new(),
        spacing: Duration::ZERO,
        concurrency: None,
        cool_down: Duration::ZERO,
        max_cool_down: Duration::ZERO,
        timeout: Duration::ZERO,
        linger: Duration::ZERO,
    };

    /// Nothing is to be kept.
    pub(crate) const fn are_none(&self) -> bool {
        self.windows.is_empty() && self.spacing.is_zero() && self.concurrency.is_none()
    }
}

impl Window {
    /// At most `units` live calls in `span`. `late` is how far ahead of its time a call may be charged: one that
    /// was not answered counts as answered when its time-out and linger have passed.
    pub fn new(units: u32, span: Duration, late: Duration) -> Self {
        let span = from_nanos(span.as_nanos().div_ceil(1_000) * 1_000);
        let reach = u64::try_from((span + late).as_micros()).unwrap_or(u64::MAX);
        let shift = (u64::BITS - (reach / SPAN_TICKS).leading_zeros()) as u8;
        let group = units.div_ceil(GROUPS - 1).clamp(1, u32::from(u16::MAX)) as u16;
        let span_us = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        Self { units, span_us, shift, group, near_us: span_us / u64::from(GROUPS - 1), horizon_us: reach }
    }

    /// How long a call stays live after its answer, inflated, whole microseconds.
    pub const fn span(&self) -> Duration {
        Duration::from_micros(self.span_us)
    }
}

/// One quota, in calls, as units, span and a spacing of sends.
fn reduce(quota: &Quota, counting: Counting) -> (u32, Duration, Duration) {
    let Quota { units, per, burst, .. } = *quota;
    match counting {
        Counting::Sliding | Counting::Fixed => (units, inflate(per), Duration::ZERO),
        Counting::TokenBucket => {
            // A full bucket comes back in burst / rate; any L then holds at most burst + rate * L.
            let burst = burst.unwrap_or(units);
            let nanos = (per.as_nanos() * u128::from(burst)).div_ceil(u128::from(units.max(1)));
            (burst, inflate(from_nanos(nanos)), Duration::ZERO)
        }
        // The faded count of the span before plus this span's stays within N if at most N - 1
        // are live and they are evenly spread.
        Counting::TwoBucket | Counting::Unknown if units <= 1 => (units, inflate(per * 2), Duration::ZERO),
        Counting::TwoBucket | Counting::Unknown => {
            let span = inflate(per);
            (units - 1, span, from_nanos(span.as_nanos().div_ceil(u128::from(units - 1))))
        }
    }
}

/// The span to keep for a remote that counts over `per`.
fn inflate(per: Duration) -> Duration {
    let guard = if per >= LONG_SPAN { LONG_GUARD } else { SHORT_GUARD };
    let span = per + guard;
    span + span * RATE_MARGIN_PER_MILLE / 1_000
}

fn from_nanos(nanos: u128) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
