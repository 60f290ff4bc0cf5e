//! What a service allows, and how that becomes a rule the ledger can keep.
//!
//! Services count in different ways. Every way is reduced to sliding windows "at most N live units
//! per W", sometimes with a minimum spacing of sends; whoever obeys those is never refused by the
//! original. The spans are inflated a little, because two clocks never run alike, and every
//! interval is rounded up.

use std::time::Duration;

/// Clock rates may differ by 500 ppm on each side (the slew limit of NTP).
const RATE_MARGIN_PER_MILLE: u32 = 1;
/// Remotes with whole-second stamps may count one second longer than they say; from this span on it is added.
const LONG_SPAN: Duration = Duration::from_secs(10);
const LONG_GUARD: Duration = Duration::from_secs(1);
/// Covers remotes whose windows are closed at both ends.
const SHORT_GUARD: Duration = Duration::from_millis(1);

/// A rule of a service: at most `units` per `per`, as the service states it, for each source address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Calls allowed in the span; at least 1.
    pub units: u32,
    /// The span the service counts over; above zero.
    pub per: Duration,
    /// Token buckets only: the size of the bucket, when it is not `units`; at least 1.
    pub burst: Option<u32>,
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

/// At most `units` live units in `span`; the form the ledger keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Live units allowed.
    pub units: u32,
    /// How long a unit stays live after its answer, inflated.
    pub span: Duration,
}

/// Everything the ledger needs to know of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// All of them hold at once, in the order of the service's quotas.
    pub windows: Vec<Window>,
    /// The least time between two sends from one egress; zero: none.
    pub spacing: Duration,
    /// Open calls at a time per egress; `None`: the windows alone bound them.
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

/// The stated rules of a service before reduction; what a configuration says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// All of them hold at once. Empty: the careful default, 1 per 2 s and one call at a time.
    pub quotas: Vec<Quota>,
    /// How the service counts.
    pub counting: Counting,
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

impl Terms {
    /// The quotas in force: the stated ones, or the careful default.
    pub fn quotas_in_force(&self) -> Vec<Quota> {
        if self.quotas.is_empty() { vec![CAREFUL] } else { self.quotas.clone() }
    }

    /// The rules to keep so that these terms are never broken, however the remote's windows lie.
    pub fn limits(&self) -> Limits {
        let mut windows = Vec::with_capacity(self.quotas.len());
        let mut spacing = Duration::ZERO;
        for quota in self.quotas_in_force() {
            let (window, spaced) =
                reduce(quota, if self.quotas.is_empty() { Counting::Sliding } else { self.counting });
            windows.push(window);
            spacing = spacing.max(spaced);
        }
        Limits {
            windows,
            spacing,
            concurrency: if self.quotas.is_empty() { Some(1) } else { self.concurrency },
            cool_down: self.cool_down,
            max_cool_down: self.max_cool_down,
            timeout: self.timeout,
            linger: self.linger,
        }
    }
}

/// For services whose limit nobody stated: chosen, below the lowest published whois limit we know of (30/min).
pub const CAREFUL: Quota = Quota { units: 1, per: Duration::from_secs(2), burst: None };

/// One quota as a window and a spacing of sends.
fn reduce(quota: Quota, counting: Counting) -> (Window, Duration) {
    let Quota { units, per, burst } = quota;
    match counting {
        Counting::Sliding | Counting::Fixed => (Window { units, span: inflate(per) }, Duration::ZERO),
        Counting::TokenBucket => {
            // A full bucket comes back in burst / rate; any L then holds at most burst + rate * L.
            let burst = burst.unwrap_or(units);
            let nanos = (per.as_nanos() * u128::from(burst)).div_ceil(u128::from(units));
            (Window { units: burst, span: inflate(from_nanos(nanos)) }, Duration::ZERO)
        }
        // The faded count of the span before plus this span's stays within N if at most N - 1
        // are live and they are evenly spread.
        Counting::TwoBucket | Counting::Unknown if units == 1 => {
            (Window { units: 1, span: inflate(per * 2) }, Duration::ZERO)
        }
        Counting::TwoBucket | Counting::Unknown => {
            let span = inflate(per);
            let spacing = from_nanos(span.as_nanos().div_ceil(u128::from(units - 1)));
            (Window { units: units - 1, span }, spacing)
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
mod tests {
    use super::*;

    fn limits(units: u32, per_secs: u64, burst: Option<u32>, counting: Counting) -> Limits {
        Terms {
            quotas: vec![Quota { units, per: Duration::from_secs(per_secs), burst }],
            counting,
            concurrency: None,
            cool_down: Duration::ZERO,
            max_cool_down: Duration::ZERO,
            timeout: Duration::ZERO,
            linger: Duration::ZERO,
        }
        .limits()
    }

    #[test]
    fn sliding_and_fixed_keep_all_units_over_an_inflated_span() {
        for counting in [Counting::Sliding, Counting::Fixed] {
            let limits = limits(10, 1, None, counting);
            assert_eq!(limits.windows, [Window { units: 10, span: Duration::from_micros(1_002_001) }]);
            assert_eq!(limits.spacing, Duration::ZERO);
        }
        assert_eq!(limits(1, 60, None, Counting::Sliding).windows[0].span, Duration::from_millis(61_061));
    }

    #[test]
    fn a_token_bucket_is_its_burst_over_the_time_that_fills_it() {
        let limits = limits(5, 1, Some(10), Counting::TokenBucket);
        assert_eq!(limits.windows, [Window { units: 10, span: Duration::from_micros(2_003_001) }]);
    }

    #[test]
    fn the_careful_countings_give_up_one_unit_and_space_the_rest() {
        for counting in [Counting::TwoBucket, Counting::Unknown] {
            let careful = limits(5, 1, None, counting);
            assert_eq!(careful.windows[0].units, 4);
            assert_eq!(careful.spacing, Duration::from_nanos(250_500_250));
            assert!(limits(1, 1, None, counting).windows[0].span > Duration::from_secs(2));
        }
    }

    #[test]
    fn without_quotas_the_careful_default_holds() {
        let mut terms = Terms {
            quotas: Vec::new(),
            counting: Counting::Unknown,
            concurrency: None,
            cool_down: Duration::ZERO,
            max_cool_down: Duration::ZERO,
            timeout: Duration::ZERO,
            linger: Duration::ZERO,
        };
        assert_eq!((terms.limits().windows[0].units, terms.limits().concurrency), (1, Some(1)));
        terms.quotas = vec![CAREFUL];
        assert_eq!(terms.limits().concurrency, None);
    }
}
