//! What a remote saw, said exactly: who called, what became of it, how full each window ever was.
//!
//! Everything here is computed from the log of arrivals after the fact, not
//! from the counters that let calls in, so the two check each other.

use crate::limit::Limit;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

/// How often each thing happened. `calls = answered + refused + banned + dropped`, at any moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Connections accepted, those above the limit on open ones included.
    pub opens: u64,
    /// Calls that were counted, let in or not.
    pub calls: u64,
    /// Calls let in and given an answer; noted when decided, before any latency.
    pub answered: u64,
    /// Calls refused by a limit.
    pub refused: u64,
    /// Calls that met a ban.
    pub banned: u64,
    /// Calls let in and never answered, on purpose.
    pub dropped: u64,
    /// Connections refused because the peer had too many open; these are no calls.
    pub over_open: u64,
    /// Connections that ended without a whole query; these are no calls unless counted at the connect.
    pub no_query: u64,
    /// Answers and refusals that could not be written to their end, because the peer had left.
    pub cut: u64,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.opens += other.opens;
        self.calls += other.calls;
        self.answered += other.answered;
        self.refused += other.refused;
        self.banned += other.banned;
        self.dropped += other.dropped;
        self.over_open += other.over_open;
        self.no_query += other.no_query;
        self.cut += other.cut;
    }
}

/// The fullest window of one limit.
///
/// For `fixed` and `two-bucket` the remote's own aligned windows; for `sliding` and
/// `token-bucket` every half-open window of the limit's length.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowScore {
    /// The limit, as [`Limit`] prints it.
    pub limit: String,
    /// The most arrivals that such a window can hold if none is refused.
    pub allowed: u64,
    /// The most arrivals, let in or not, that one window ever held.
    pub worst: u64,
}

/// What one peer did, or all of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PeerScore {
    /// What became of the calls.
    #[serde(flatten)]
    pub tally: Tally,
    /// The first call counted, after the remote's start; seconds in JSON.
    #[serde(rename = "first_arrival_secs", with = "opt_secs")]
    pub first_arrival: Option<Duration>,
    /// The last call counted, after the remote's start; seconds in JSON.
    #[serde(rename = "last_arrival_secs", with = "opt_secs")]
    pub last_arrival: Option<Duration>,
    /// The fullest window of each limit, in the order of the limits.
    pub worst_in_window: Vec<WindowScore>,
}

/// Everything a remote saw from its start until the score was taken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Time since the remote's start; seconds in JSON.
    #[serde(rename = "elapsed_secs", with = "secs")]
    pub elapsed: Duration,
    /// False if the log of arrivals was full; then the windows tell of its length only.
    pub log_complete: bool,
    /// All peers together; its windows are those of the worst peer.
    pub total: PeerScore,
    /// Each peer by its address.
    pub peers: BTreeMap<IpAddr, PeerScore>,
}

impl Score {
    /// What `peer` did; all zero if it never came.
    pub fn peer(&self, peer: IpAddr) -> PeerScore {
        self.peers.get(&peer).cloned().unwrap_or_default()
    }

    /// Whether no window of any peer ever held more than its limit allows, refused calls included.
    pub fn is_within_limits(&self) -> bool {
        self.total.worst_in_window.iter().all(|window| window.worst <= window.allowed)
    }

    pub(crate) fn new(elapsed: Duration, log_complete: bool, peers: BTreeMap<IpAddr, PeerScore>) -> Self {
        let mut total = PeerScore::default();
        for peer in peers.values() {
            total.add(peer);
        }
        Self { elapsed, log_complete, total, peers }
    }
}

impl PeerScore {
    /// Scores one peer's log of arrivals, which must be in order: nanoseconds after the start.
    pub(crate) fn new(tally: Tally, limits: &[Limit], arrivals: &[u64]) -> Self {
        let windows = limits.iter().map(|limit| WindowScore {
            limit: limit.to_string(),
            allowed: allowed(limit),
            worst: worst(limit, arrivals) as u64,
        });
        Self {
            tally,
            first_arrival: arrivals.first().copied().map(Duration::from_nanos),
            last_arrival: arrivals.last().copied().map(Duration::from_nanos),
            worst_in_window: windows.collect(),
        }
    }

    fn add(&mut self, other: &Self) {
        self.tally.add(&other.tally);
        self.first_arrival = [self.first_arrival, other.first_arrival].into_iter().flatten().min();
        self.last_arrival = self.last_arrival.max(other.last_arrival);
        if self.worst_in_window.is_empty() {
            self.worst_in_window.clone_from(&other.worst_in_window);
        }
        for (mine, theirs) in self.worst_in_window.iter_mut().zip(&other.worst_in_window) {
            mine.worst = mine.worst.max(theirs.worst);
        }
    }
}

/// What a window can hold at most when nobody is refused. A bucket adds what comes back within the window.
fn allowed(limit: &Limit) -> u64 {
    let capacity = u64::from(limit.capacity());
    match *limit {
        Limit::TokenBucket { units, .. } => capacity + u64::from(units.saturating_sub(1)),
        Limit::Fixed { .. } | Limit::Sliding { .. } | Limit::TwoBucket { .. } => capacity,
    }
}

/// The most arrivals in one window of `limit`.
fn worst(limit: &Limit, arrivals: &[u64]) -> usize {
    let window_of = |at: &u64| limit.aligned_window(Duration::from_nanos(*at));
    if arrivals.first().and_then(window_of).is_some() {
        let same_window = |a: &u64, b: &u64| window_of(a) == window_of(b);
        return arrivals.chunk_by(same_window).map(<[u64]>::len).max().unwrap_or(0);
    }
    let per = limit.per().as_nanos();
    let mut oldest = 0;
    let mut worst = 0;
    for (newest, at) in arrivals.iter().enumerate() {
        while oldest < newest && u128::from(at - arrivals[oldest]) >= per {
            oldest += 1;
        }
        worst = worst.max(newest + 1 - oldest);
    }
    worst
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heads = ["calls", "answered", "refused", "banned", "dropped", "over-open"];
        write!(f, "{:<16}", "peer")?;
        heads.iter().try_for_each(|head| write!(f, "{head:>11}"))?;
        writeln!(f, "  fullest window (of allowed)")?;
        for (peer, score) in &self.peers {
            row(f, &peer.to_string(), score)?;
        }
        row(f, "total", &self.total)?;
        if !self.log_complete {
            writeln!(f, "the log of arrivals was full: windows tell of its length only")?;
        }
        Ok(())
    }
}

fn row(f: &mut fmt::Formatter<'_>, name: &str, score: &PeerScore) -> fmt::Result {
    let Tally { calls, answered, refused, banned, dropped, over_open, .. } = score.tally;
    write!(f, "{name:<16}")?;
    [calls, answered, refused, banned, dropped, over_open].iter().try_for_each(|n| write!(f, "{n:>11}"))?;
    let window = |window: &WindowScore| format!("  {} {}/{}", window.limit, window.worst, window.allowed);
    writeln!(f, "{}", score.worst_in_window.iter().map(window).collect::<String>())
}

/// A time as seconds with a fraction.
mod secs {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use std::time::Duration;

    pub(super) fn serialize<S: Serializer>(time: &Duration, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_f64(time.as_secs_f64())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        Duration::try_from_secs_f64(f64::deserialize(from)?).map_err(D::Error::custom)
    }
}

/// The same for a time that may be missing.
mod opt_secs {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
    use std::time::Duration;

    pub(super) fn serialize<S: Serializer>(time: &Option<Duration>, out: S) -> Result<S::Ok, S::Error> {
        time.map(|time| time.as_secs_f64()).serialize(out)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
        let secs = Option::<f64>::deserialize(from)?;
        secs.map(Duration::try_from_secs_f64).transpose().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn limit(text: &str) -> Limit {
        text.parse().unwrap()
    }

    #[test]
    fn a_window_does_not_hold_both_of_its_ends() {
        assert_eq!(worst(&limit("sliding:2/10ns"), &[0, 5, 10, 19, 20]), 2);
        assert_eq!(worst(&limit("sliding:2/11ns"), &[0, 5, 10, 19, 20]), 3);
        assert_eq!(worst(&limit("sliding:2/1s"), &[]), 0);
    }

    #[test]
    fn fixed_windows_are_the_remotes_own() {
        assert_eq!(worst(&limit("fixed:2/10ns"), &[8, 9, 10, 11, 12]), 3);
        assert_eq!(worst(&limit("fixed:phase=8ns,2/10ns"), &[8, 9, 10, 11, 12, 18]), 5);
        assert_eq!(worst(&limit("two-bucket:2/10ns"), &[8, 9, 10, 11]), 2);
    }

    #[test]
    fn the_total_adds_calls_and_keeps_the_worst_window() {
        let limits = [limit("sliding:2/10ns")];
        let tally = |calls| Tally { calls, ..Tally::default() };
        let peers = BTreeMap::from([
            ("127.0.0.2".parse().unwrap(), PeerScore::new(tally(3), &limits, &[100, 101, 102])),
            ("127.0.0.3".parse().unwrap(), PeerScore::new(tally(1), &limits, &[7])),
        ]);
        let score = Score::new(Duration::from_secs(1), true, peers);
        assert_eq!((score.total.tally.calls, score.total.worst_in_window[0].worst), (4, 3));
        assert_eq!(score.total.first_arrival, Some(Duration::from_nanos(7)));
        assert!(!score.is_within_limits());
        let table = score.to_string();
        assert_eq!(table.lines().count(), 4, "{table}");
        assert!(table.contains("sliding:2/10ns 3/2"), "{table}");
    }

    #[test]
    fn a_score_reads_back_from_its_json() {
        let peer = PeerScore::new(Tally::default(), &[limit("fixed:2/1s")], &[250_000_000]);
        let peers = BTreeMap::from([("127.0.0.2".parse().unwrap(), peer)]);
        let score = Score::new(Duration::from_millis(1_500), true, peers);
        let json = serde_json::to_string(&score).unwrap();
        assert!(
            json.contains("\"elapsed_secs\":1.5") && json.contains("\"first_arrival_secs\":0.25"),
            "{json}"
        );
        assert_eq!(serde_json::from_str::<Score>(&json).unwrap(), score);
    }

    proptest! {
        #[test]
        fn the_fullest_window_starts_at_some_arrival(
            mut arrivals in prop::collection::vec(0u64..300, 0..60),
            per in 1u64..80,
        ) {
            arrivals.sort_unstable();
            let naive = (0..300).map(|from| arrivals.iter().filter(|at| (from..from + per).contains(at)).count()).max();
            let sliding = Limit::Sliding { units: 1, per: Duration::from_nanos(per) };
            prop_assert_eq!(Some(worst(&sliding, &arrivals)), naive);
        }
    }
}
