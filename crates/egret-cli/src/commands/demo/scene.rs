//! What the demo plays against: a strict whois service on loopback, and the home-made client to compare with.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use egret_testkit::{Ban, Limit, Remote, Robin, Rules, Score, WhoisRemote};
use serde::Serialize;

use crate::exit::{Exit, Failure};

/// How many lookups each of them makes.
pub(super) const LOOKUPS: u64 = 200;
/// What the service is called.
pub(super) const SERVICE: &str = "whois.demo";
/// What it allows: so many in any second from one address …
pub(super) const UNITS: u32 = 5;
const PER: Duration = Duration::from_secs(1);
/// … and this is what a call too many costs.
const SHUT_OUT: Duration = Duration::from_secs(5);
/// Calls of the round robin under way at once (chosen).
const AT_ONCE: usize = 20;

/// What the service saw of a client.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Seen {
    pub(super) answered: u64,
    pub(super) refused: u64,
    pub(super) banned: u64,
    /// The most calls from one address in one window.
    pub(super) worst_window: u64,
    /// The most that the service allows.
    pub(super) allowed: u64,
    pub(super) took_ms: u64,
}

impl Seen {
    /// Every lookup answered, no call too many.
    pub(super) fn is_flawless(&self) -> bool {
        self.answered == LOOKUPS && self.refused + self.banned == 0 && self.worst_window <= self.allowed
    }
}

pub(super) fn rules_in_words() -> String {
    format!(
        "A whois service allows each address {UNITS} calls in any second; one more, and it is shut out for {} s.",
        SHUT_OUT.as_secs()
    )
}

/// The addresses calls leave from: 127.0.0.2 to 127.0.0.5.
pub(super) fn sources() -> Vec<IpAddr> {
    (2..=5).map(|last| IpAddr::V4(Ipv4Addr::new(127, 0, 0, last))).collect()
}

pub(super) fn targets() -> Vec<String> {
    (1..=LOOKUPS).map(|number| format!("name-{number}.example")).collect()
}

/// Starts a service; every one is alike.
pub(super) async fn remote() -> Result<Remote, Failure> {
    let limit = Limit::Sliding { units: UNITS, per: PER };
    let rules = Rules::new().limit(limit).ban(Ban::of(SHUT_OUT));
    let started = WhoisRemote::new(rules).start().await;
    started.map_err(|error| {
        Failure::new(Exit::Failed, format!("the demo's whois service cannot listen on 127.0.0.1: {error}"))
    })
}

/// Asks a service of its own the way home-made scripts do.
pub(super) async fn blind_round_robin() -> Result<Seen, Failure> {
    let remote = remote().await?;
    let robin = Robin { remote: remote.addr(), sources: sources(), concurrency: AT_ONCE };
    let robin = robin.run(targets()).await;
    if robin.failed > 0 {
        let text = format!(
            "{} calls could not be made; are 127.0.0.2 to 127.0.0.5 addresses of this host?",
            robin.failed
        );
        return Err(Failure::new(Exit::Failed, text));
    }
    Ok(score(&remote.shutdown().await, robin.answered as u64, robin.elapsed))
}

/// The service's own count beside what the client got and how long it took.
pub(super) fn score(score: &Score, answered: u64, elapsed: Duration) -> Seen {
    let worst = score.total.worst_in_window.first();
    Seen {
        answered: answered.min(score.total.tally.answered),
        refused: score.total.tally.refused,
        banned: score.total.tally.banned,
        worst_window: worst.map_or(0, |window| window.worst),
        allowed: worst.map_or(0, |window| window.allowed),
        took_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
    }
}
