//! A sender that wastes nothing, to measure against: each call leaves at the first instant that the reduced quotas
//! allow, with every call remembered by itself.

use std::time::Duration;

use egret_core::quota::Limits;

/// When an egress's calls leave, from the first to `until`, if the answers take what `took` says.
pub fn sends(limits: &Limits, until: Duration, mut took: impl FnMut() -> Duration) -> Vec<Duration> {
    let mut ends: Vec<Duration> = Vec::new();
    let mut sends: Vec<Duration> = Vec::new();
    loop {
        let free = |window: &egret_core::quota::Window| {
            let full = ends.len().checked_sub(window.units as usize)?;
            Some(ends[full] + window.span())
        };
        let spaced = sends.last().map(|last| *last + limits.spacing);
        let at = limits.windows.iter().filter_map(free).chain(spaced).max().unwrap_or_default();
        if at > until {
            return sends;
        }
        sends.push(at);
        let end = at + took();
        ends.insert(ends.partition_point(|other| *other <= end), end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::Rule;
    use egret_core::quota::Counting;

    #[test]
    fn bursts_come_back_a_window_after_their_answers() {
        let limits = Rule::new(Counting::Sliding, &[(3, 1)]).terms().limits();
        let sends = sends(&limits, Duration::from_millis(2_500), || Duration::from_millis(100));
        let millis: Vec<u128> = sends.iter().map(Duration::as_millis).collect();
        assert_eq!(millis, [0, 0, 0, 1_102, 1_102, 1_102, 2_204, 2_204, 2_204]);
    }
}
