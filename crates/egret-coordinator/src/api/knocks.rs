//! Keys that open nothing: so many a minute from one source are told so, then it is asked to wait.
//!
//! This bounds what such callers write into the log and how fast they may go on. It keeps no good key out,
//! though it comes from the same source: nobody guesses 256 bits, and behind one address, as on loopback,
//! there may be many callers.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use egret_wire::problem::Code;
use governor::clock::{Clock, MonotonicClock};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};

use super::Failure;
use crate::join::egress_key;

/// Failures of one source in a minute (chosen: more than mistakes make).
const PER_MINUTE: NonZeroU32 = NonZeroU32::new(10).expect("ten is above zero");
/// Sources remembered; when as many have failed within a minute, every other one waits (chosen: 1 MB).
const SOURCES: usize = 10_000;
const MINUTE: Duration = Duration::from_secs(60);

/// The failures of the last minute, by source.
pub(crate) struct Knocks<C: Clock = MonotonicClock> {
    clock: C,
    sources: RateLimiter<String, HashMapStateStore<String>, C, NoOpMiddleware<C::Instant>>,
}

impl Default for Knocks {
    fn default() -> Self {
        Self::new(MonotonicClock)
    }
}

impl<C: Clock + Clone> Knocks<C> {
    fn new(clock: C) -> Self {
        let sources = RateLimiter::hashmap_with_clock(Quota::per_minute(PER_MINUTE), clock.clone());
        Self { clock, sources }
    }

    /// Answers a caller whose key opens nothing: as `failure` says, or by asking it to wait.
    pub(super) fn answer(&self, peer: IpAddr, failure: Failure) -> Response {
        let source = egress_key(peer);
        match self.wait(&source) {
            None => {
                tracing::warn!(%source, "a caller showed an API key that opens nothing");
                failure.into_response()
            }
            Some(wait) => later(wait),
        }
    }

    /// Counts a failure of this source; what it is to wait, if it has had too many.
    fn wait(&self, source: &String) -> Option<Duration> {
        if self.sources.len() >= SOURCES {
            self.sources.retain_recent();
            if self.sources.len() >= SOURCES {
                return Some(MINUTE);
            }
        }
        let refused = self.sources.check_key(source).err()?;
        Some(refused.wait_time_from(self.clock.now()))
    }
}

/// `429` with the wait in whole seconds, rounded up, and the fields of draft-ietf-httpapi-ratelimit-headers-10.
fn later(wait: Duration) -> Response {
    let secs = wait.as_millis().div_ceil(1_000).max(1);
    let detail = format!("too many wrong API keys from here; try again in {secs} s");
    let mut response = Failure::new(Code::RateLimited, detail).into_response();
    let headers = response.headers_mut();
    let fields = [
        (RETRY_AFTER, secs.to_string()),
        (HeaderName::from_static("ratelimit-policy"), format!("\"wrong-keys\";q={PER_MINUTE};w=60")),
        (HeaderName::from_static("ratelimit"), format!("\"wrong-keys\";r=0;t={secs}")),
    ];
    for (name, text) in fields {
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.insert(name, value);
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use governor::clock::FakeRelativeClock;

    fn status(knocks: &Knocks<FakeRelativeClock>, peer: &str) -> u16 {
        let wrong = Failure::new(Code::InvalidKey, "wrong");
        knocks.answer(peer.parse().unwrap(), wrong).status().as_u16()
    }

    #[test]
    fn ten_wrong_keys_a_minute_are_answered_and_then_the_source_waits() {
        let clock = FakeRelativeClock::default();
        let knocks = Knocks::new(clock.clone());
        let from_there: Vec<u16> = (0..12).map(|n| status(&knocks, &format!("2001:db8::{n}"))).collect();
        assert_eq!(from_there, [[401; 10].as_slice(), &[429; 2]].concat(), "one /64 is one source");
        assert_eq!(status(&knocks, "2001:db8:0:1::1"), 401);
        assert_eq!(status(&knocks, "192.0.2.1"), 401);
        clock.advance(Duration::from_secs(6));
        assert_eq!([status(&knocks, "2001:db8::1"), status(&knocks, "2001:db8::1")], [401, 429]);
    }

    #[test]
    fn the_wait_is_said_in_every_field_that_callers_read() {
        let response = later(Duration::from_millis(5_001));
        let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
        assert_eq!((response.status().as_u16(), header("retry-after").as_str()), (429, "6"));
        assert_eq!(header("ratelimit-policy"), "\"wrong-keys\";q=10;w=60");
        assert_eq!(header("ratelimit"), "\"wrong-keys\";r=0;t=6");
    }

    #[test]
    fn sources_beyond_what_is_remembered_wait_until_others_are_forgotten() {
        let clock = FakeRelativeClock::default();
        let knocks = Knocks::new(clock.clone());
        let peer = |n: usize| format!("10.0.{}.{}", n / 256, n % 256);
        assert!((0..SOURCES).all(|n| status(&knocks, &peer(n)) == 401));
        assert_eq!(status(&knocks, &peer(SOURCES)), 429);
        clock.advance(MINUTE);
        assert_eq!(status(&knocks, &peer(SOURCES)), 401);
    }
}
