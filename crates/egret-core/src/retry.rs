//! What becomes of a step whose attempt brought no answer.
//!
//! Refusals are not failures: a refused step goes on elsewhere until its deadline. What counts here
//! are time-outs, unreachable remotes and answers that make no sense.

use std::time::Duration;

/// Attempts without an answer before the job fails.
pub const TRIES: u32 = 4;
/// The longest back-off before the second attempt; doubles with each further one.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);

/// How long to wait before the next attempt after `failures` failed ones; `None`: give up.
///
/// Full jitter: anywhere between zero and the bound, so that steps that failed together spread out.
pub fn backoff(failures: u32, rng: &mut fastrand::Rng) -> Option<Duration> {
    let bound = FIRST_BACKOFF.saturating_mul(2u32.saturating_pow(failures.saturating_sub(1)));
    (failures < TRIES).then(|| bound.mul_f64(rng.f64()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_retries_each_within_a_doubled_bound_then_none() {
        let mut rng = fastrand::Rng::with_seed(7);
        for (failures, bound_secs) in [(1, 1), (2, 2), (3, 4)] {
            for _ in 0..100 {
                assert!(backoff(failures, &mut rng).unwrap() <= Duration::from_secs(bound_secs));
            }
        }
        assert_eq!(backoff(TRIES, &mut rng), None);
    }
}
