//! What stands in the way of the next call of a ledger, each thing by itself.

use std::time::Duration;

use crate::ledger::{Ledger, Ready, Rest};
use crate::quota::Limits;
use crate::time::Instant;

/// One thing in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hindrance {
    /// It rests after refusals, or because somebody wants it to; once the time has come one call tries whether that is over.
    Rest(Rest),
    /// The remote said that nothing is left.
    Left,
    /// Whoever makes its calls was not able to, or knows of more than is known here.
    Stumble,
    /// The window at this index of the limits is full.
    Window(usize),
    /// Sends are spaced.
    Spacing,
    /// As many calls are open as may be at a time.
    Concurrency,
}

/// All that is in the way of one more call, and until when each: nothing, if it may leave.
pub fn hindrances(ledger: &Ledger, limits: &Limits, now: Instant) -> Vec<(Hindrance, Ready)> {
    let lifted = Limits { windows: Vec::new(), spacing: Duration::ZERO, concurrency: None, ..limits.clone() };
    let aside = match (ledger.rest(), ledger.left(now)) {
        (Some(rest), _) => Hindrance::Rest(rest),
        (None, Some((0, _))) => Hindrance::Left,
        (None, _) => Hindrance::Stumble,
    };
    let mut found = vec![(aside, ledger.ready(&lifted, now))];
    if found[0].1 != Ready::Now {
        // Whatever else there is waits behind it.
        return found;
    }
    for index in 0..limits.windows.len() {
        let mut alone = Limits { windows: limits.windows.clone(), ..lifted.clone() };
        let others = alone.windows.iter_mut().enumerate().filter(|(other, _)| *other != index);
        others.for_each(|(_, window)| window.units = u32::MAX);
        found.push((Hindrance::Window(index), ledger.ready(&alone, now)));
    }
    let spaced = Limits { spacing: limits.spacing, ..lifted.clone() };
    found.push((Hindrance::Spacing, ledger.ready(&spaced, now)));
    let capped = Limits { concurrency: limits.concurrency, ..lifted };
    found.push((Hindrance::Concurrency, ledger.ready(&capped, now)));
    found.retain(|(_, ready)| *ready != Ready::Now);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quota::{Counting, Quota, Terms};

    const START: Instant = Instant::from_micros(400 * 86_400 * 1_000_000);
    const SECOND: Duration = Duration::from_secs(1);

    fn limits(counting: Counting, concurrency: Option<u32>) -> Limits {
        let quotas = vec![Quota::new(3, SECOND), Quota::new(4, 60 * SECOND)];
        Terms { counting, concurrency, ..Terms::sliding(quotas) }.limits()
    }

    fn kinds(ledger: &Ledger, limits: &Limits, now: Instant) -> Vec<Hindrance> {
        hindrances(ledger, limits, now).into_iter().map(|(what, _)| what).collect()
    }

    #[test]
    fn full_windows_are_named_each_with_its_time() {
        let limits = limits(Counting::Sliding, None);
        let mut ledger = Ledger::default();
        assert_eq!(kinds(&ledger, &limits, START), []);
        ledger.spend(&limits, 3, START, START);
        assert_eq!(kinds(&ledger, &limits, START), [Hindrance::Window(0)]);
        ledger.spend(&limits, 1, START, START);
        let found = hindrances(&ledger, &limits, START);
        let Ready::At(at) = found[1].1 else { panic!("{found:?}") };
        assert_eq!((found.len(), found[1].0), (2, Hindrance::Window(1)));
        assert_eq!(Ready::At(at), ledger.ready(&limits, START), "the longest is what all of them come to");
        assert_eq!(kinds(&ledger, &limits, START + 2 * SECOND), [Hindrance::Window(1)]);
    }

    #[test]
    fn spacing_and_open_calls_are_named() {
        let spaced = limits(Counting::TwoBucket, None);
        let mut ledger = Ledger::default();
        ledger.reserve(&spaced, START);
        assert_eq!(kinds(&ledger, &spaced, START), [Hindrance::Spacing]);
        let capped = limits(Counting::Sliding, Some(1));
        let mut ledger = Ledger::default();
        ledger.reserve(&capped, START);
        assert_eq!(hindrances(&ledger, &capped, START), [(Hindrance::Concurrency, Ready::OnCompletion)]);
    }

    #[test]
    fn a_rest_comes_before_all_else() {
        let limits = limits(Counting::Sliding, None);
        let mut ledger = Ledger::default();
        ledger.spend(&limits, 4, START, START);
        ledger.rest_until(START + 60 * SECOND, 1, START);
        assert!(matches!(kinds(&ledger, &limits, START)[..], [Hindrance::Rest(_)]));
        let mut ledger = Ledger::default();
        ledger.limit_to(0, 60 * SECOND, START);
        assert_eq!(kinds(&ledger, &limits, START), [Hindrance::Left]);
        let mut ledger = Ledger::default();
        ledger.stumble(START);
        assert_eq!(kinds(&ledger, &limits, START), [Hindrance::Stumble]);
    }
}
