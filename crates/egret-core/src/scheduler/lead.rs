//! How much earlier than needed grants are handed to an agent, so that the way there and back costs no quota.
//!
//! The agent knows when it got a grant and when it reported; what is left of the time between grant and report was
//! spent on the way. The estimate is TCP's (RFC 6298): a smoothed mean and a smoothed deviation.

use std::time::Duration;

/// The longest lead (chosen: what is held at an agent can no longer go elsewhere).
const LONGEST: Duration = Duration::from_millis(500);

/// An estimate of both ways together, in microseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lead {
    known: Option<(u32, u32)>,
}

impl Lead {
    /// One grant and its report were on the way for so long.
    pub(super) fn observe(&mut self, on_the_way: Duration) {
        let sample = u32::try_from(on_the_way.as_micros()).unwrap_or(u32::MAX).min(60_000_000);
        self.known = Some(match self.known {
            None => (sample, sample / 2),
            Some((mean, deviation)) => {
                let off = sample.abs_diff(mean);
                ((mean * 7 + sample) / 8, (deviation * 3 + off) / 4)
            }
        });
    }

    /// Nothing until the first report.
    pub(super) fn get(self) -> Duration {
        let (mean, deviation) = self.known.unwrap_or_default();
        Duration::from_micros(u64::from(mean) + 2 * u64::from(deviation)).min(LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_way_is_covered_closely_and_an_unsteady_one_with_room() {
        let ms = Duration::from_millis;
        let mut lead = Lead::default();
        assert_eq!(lead.get(), Duration::ZERO);
        (0..50).for_each(|_| lead.observe(ms(300)));
        assert!((ms(300)..ms(305)).contains(&lead.get()), "{:?}", lead.get());
        (0..50).for_each(|n| lead.observe(ms(100 + n % 2 * 100)));
        assert!((ms(200)..ms(320)).contains(&lead.get()), "{:?}", lead.get());
        (0..50).for_each(|_| lead.observe(Duration::MAX));
        assert_eq!(lead.get(), LONGEST);
    }
}
