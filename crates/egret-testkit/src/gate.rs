//! The gate between a socket and its answers: limits, bans, troubles and the score of one remote.
//!
//! A [`Gate`] knows peers by address and nothing of any protocol. Calls are
//! stamped and decided under one lock, so they are counted in the order of
//! their times and the score agrees with itself whenever it is read.

use crate::ban::BanState;
use crate::limit::Counters;
use crate::rules::Rules;
use crate::score::{PeerScore, Score, Tally};
use crate::trouble::{Troubles, pause, within};
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Peers a remote remembers; a connection from one more is closed at once.
const MAX_PEERS: usize = 1 << 20;

/// What becomes of a call, `after` a wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Verdict {
    pub(crate) after: Duration,
    pub(crate) outcome: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Answer,
    /// Let in, and never answered.
    Drop,
    /// Over a limit.
    Refuse,
    /// Met a ban.
    Banned,
}

/// See the head of this file.
pub(crate) struct Gate {
    rules: Rules,
    started: Instant,
    state: Mutex<State>,
}

struct State {
    peers: HashMap<IpAddr, Peer>,
    rng: fastrand::Rng,
    let_in: u64,
    remembered: usize,
}

struct Peer {
    counters: Counters,
    ban: BanState,
    open: u32,
    tally: Tally,
    /// When each call arrived, nanoseconds after the start.
    arrivals: Vec<u64>,
}

impl Gate {
    pub(crate) fn new(rules: Rules) -> Arc<Self> {
        let rng = fastrand::Rng::with_seed(rules.seed);
        let state = Mutex::new(State { peers: HashMap::new(), rng, let_in: 0, remembered: 0 });
        Arc::new(Self { rules, started: Instant::now(), state })
    }

    pub(crate) fn troubles(&self) -> &Troubles {
        &self.rules.troubles
    }

    /// Notes a new connection; `None` if the peer has too many. It is open until the guard is dropped.
    pub(crate) fn open(self: &Arc<Self>, ip: IpAddr) -> Option<Open> {
        let mut state = self.lock();
        if state.peers.len() >= MAX_PEERS && !state.peers.contains_key(&self.network(ip)) {
            return None;
        }
        let peer = self.peer(&mut state, ip);
        peer.tally.opens += 1;
        if self.rules.max_open.is_some_and(|most| peer.open >= most) {
            peer.tally.over_open += 1;
            peer.ban.refused(Instant::now());
            return None;
        }
        peer.open += 1;
        Some(Open { gate: Arc::clone(self), ip })
    }

    /// Lets the way in pass, then counts and decides a call.
    pub(crate) async fn call(&self, ip: IpAddr) -> Verdict {
        let way_in = &self.rules.troubles.way_in;
        if !way_in.end().is_zero() {
            let delay = within(way_in, &mut self.lock().rng);
            pause(delay).await;
        }
        self.decide(ip)
    }

    fn decide(&self, ip: IpAddr) -> Verdict {
        let mut guard = self.lock();
        let now = Instant::now();
        let room = guard.remembered < self.rules.keep_arrivals;
        guard.remembered += usize::from(room);
        let peer = self.peer(&mut guard, ip);
        if room {
            peer.arrivals.push(nanos(now - self.started));
        }
        let admitted = peer.admit(now);
        let state = &mut *guard;
        let troubles = &self.rules.troubles;
        let after = troubles.latency + within(&troubles.jitter, &mut state.rng);
        let outcome = match admitted {
            Outcome::Answer => {
                state.let_in += 1;
                let dropped = troubles.drops(state.let_in, &mut state.rng);
                if dropped { Outcome::Drop } else { Outcome::Answer }
            }
            refused => refused,
        };
        self.peer(state, ip).tally.note(outcome);
        Verdict { after, outcome }
    }

    /// Notes a connection that ended without a whole query.
    pub(crate) fn no_query(&self, ip: IpAddr) {
        self.peer(&mut self.lock(), ip).tally.no_query += 1;
    }

    /// Notes an answer that its peer did not wait for.
    pub(crate) fn cut(&self, ip: IpAddr) {
        self.peer(&mut self.lock(), ip).tally.cut += 1;
    }

    pub(crate) fn ban(&self, ip: IpAddr, length: Duration) {
        self.peer(&mut self.lock(), ip).ban.impose(Instant::now(), length);
    }

    pub(crate) fn unban(&self, ip: IpAddr) {
        self.peer(&mut self.lock(), ip).ban.lift();
    }

    pub(crate) fn arrivals(&self, ip: IpAddr) -> Vec<Duration> {
        let state = self.lock();
        let arrivals = state.peers.get(&self.network(ip)).map(|peer| peer.arrivals.as_slice());
        arrivals.unwrap_or_default().iter().map(|at| Duration::from_nanos(*at)).collect()
    }

    pub(crate) fn score(&self) -> Score {
        let (seen, log_complete): (Vec<_>, bool) = {
            let state = self.lock();
            let seen = state.peers.iter().map(|(ip, peer)| (*ip, peer.tally, peer.arrivals.clone()));
            let calls: u64 = state.peers.values().map(|peer| peer.tally.calls).sum();
            (seen.collect(), calls <= state.remembered as u64)
        };
        let peers: BTreeMap<_, _> = seen
            .into_iter()
            .map(|(ip, tally, arrivals)| (ip, PeerScore::new(tally, &self.rules.limits, &arrivals)))
            .collect();
        Score::new(self.started.elapsed(), log_complete, peers)
    }

    fn peer<'a>(&self, state: &'a mut State, ip: IpAddr) -> &'a mut Peer {
        state.peers.entry(self.network(ip)).or_insert_with(|| Peer {
            counters: Counters::new(&self.rules.limits, self.rules.count_refused, self.started),
            ban: BanState::new(self.rules.ban),
            open: 0,
            tally: Tally::default(),
            arrivals: Vec::new(),
        })
    }

    /// Who `ip` is to this remote: itself, or the first address of its network.
    fn network(&self, ip: IpAddr) -> IpAddr {
        let (ipv4, ipv6) = self.rules.networks;
        match ip.to_canonical() {
            IpAddr::V4(v4) => {
                let below = u32::MAX.checked_shr(u32::from(ipv4)).unwrap_or(0);
                Ipv4Addr::from_bits(v4.to_bits() & !below).into()
            }
            IpAddr::V6(v6) => {
                let below = u128::MAX.checked_shr(u32::from(ipv6)).unwrap_or(0);
                Ipv6Addr::from_bits(v6.to_bits() & !below).into()
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Peer {
    /// Answers, refuses or shuts out one call, by ban first and limits next.
    fn admit(&mut self, now: Instant) -> Outcome {
        if self.ban.knock(now) {
            self.counters.refused(now);
            Outcome::Banned
        } else if self.counters.admit(now) {
            Outcome::Answer
        } else {
            self.ban.refused(now);
            Outcome::Refuse
        }
    }
}

impl Tally {
    fn note(&mut self, outcome: Outcome) {
        self.calls += 1;
        match outcome {
            Outcome::Answer => self.answered += 1,
            Outcome::Drop => self.dropped += 1,
            Outcome::Refuse => self.refused += 1,
            Outcome::Banned => self.banned += 1,
        }
    }
}

/// One open connection of one peer.
pub(crate) struct Open {
    gate: Arc<Gate>,
    ip: IpAddr,
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut state = self.gate.lock();
        let peer = self.gate.peer(&mut state, self.ip);
        peer.open = peer.open.saturating_sub(1);
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Ban, Limit};

    const A: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 2));
    const B: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 3));

    fn outcomes<const N: usize>(gate: &Gate, ip: IpAddr) -> [Outcome; N] {
        [(); N].map(|()| gate.decide(ip).outcome)
    }

    fn two_a_minute() -> Rules {
        Rules::new().limit(Limit::Sliding { units: 2, per: Duration::from_secs(60) })
    }

    #[test]
    fn peers_are_counted_apart_and_mapped_addresses_together() {
        use Outcome::{Answer, Refuse};
        let gate = Gate::new(two_a_minute());
        assert_eq!(outcomes(&gate, A), [Answer, Answer, Refuse]);
        assert_eq!(outcomes(&gate, "::ffff:127.0.0.3".parse().unwrap()), [Answer]);
        assert_eq!(outcomes(&gate, B), [Answer, Refuse]);
        let score = gate.score();
        assert_eq!(score.peer(A).worst_in_window[0].worst, 3);
        assert_eq!((score.peers.len(), score.total.tally.calls, score.total.tally.refused), (2, 6, 2));
    }

    #[test]
    fn a_refusal_bans_and_knocking_is_scored_apart() {
        use Outcome::{Answer, Banned, Refuse};
        let gate = Gate::new(two_a_minute().ban(Ban::of(Duration::from_secs(60))));
        assert_eq!(outcomes(&gate, A), [Answer, Answer, Refuse, Banned, Banned]);
        gate.unban(A);
        assert_eq!(outcomes(&gate, A), [Refuse, Banned]);
        gate.ban(B, Duration::from_secs(60));
        assert_eq!(outcomes(&gate, B), [Banned]);
        assert_eq!(gate.score().peer(A).tally.banned, 3);
    }

    #[test]
    fn dropped_calls_are_let_in_and_count() {
        use Outcome::{Answer, Drop, Refuse};
        let troubles = Troubles { drop_every: 2, ..Troubles::default() };
        let gate = Gate::new(two_a_minute().troubles(troubles));
        assert_eq!(outcomes(&gate, A), [Answer, Drop, Refuse]);
    }

    #[test]
    fn a_connection_counts_as_open_until_its_guard_is_dropped() {
        let gate = Gate::new(Rules::new().max_open(1));
        let first = gate.open(A);
        assert!(first.is_some() && gate.open(A).is_none() && gate.open(B).is_some());
        drop(first);
        assert!(gate.open(A).is_some());
        let tally = gate.score().peer(A).tally;
        assert_eq!((tally.opens, tally.over_open, tally.calls), (3, 1, 0));
    }

    #[test]
    fn a_full_log_says_so_and_goes_on_counting() {
        let gate = Gate::new(Rules::new().keep_arrivals(2));
        let _ = outcomes::<2>(&gate, A);
        assert!(gate.score().log_complete);
        let _ = outcomes::<1>(&gate, A);
        let score = gate.score();
        assert_eq!((score.log_complete, score.total.tally.calls, gate.arrivals(A).len()), (false, 3, 2));
    }
}
