//! What holds for a service that does not say otherwise.

use std::time::Duration;

use egret_wire::value::Secret;

/// The longest answer taken, in bytes.
pub(crate) const MAX_ANSWER: u64 = 1 << 20;
/// How long an answer over whois or RDAP is given again; chosen. What HTTP services answer may change at any time.
pub(crate) const CACHE_FOR: Duration = Duration::from_secs(15 * 60);
/// What is accepted over RDAP (RFC 7480 4.2); some servers know the second only.
const ACCEPT: &str = "application/rdap+json, application/json";

/// The fields of every RDAP request, with a service's own in front.
pub(crate) fn rdap_headers(mut own: Vec<(String, Secret)>) -> Vec<(String, Secret)> {
    if own.iter().all(|(name, _)| name != "accept") {
        own.push(("accept".to_owned(), Secret(ACCEPT.to_owned())));
    }
    own
}

/// How long a call may take.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);
/// The rest after a refusal that names no time.
pub(crate) const REST: Duration = Duration::from_secs(60);
/// The longest rest that grows by itself.
pub(crate) const LONGEST_REST: Duration = Duration::from_secs(86_400);
/// How long after its time-out a call may still be counted by the remote.
pub(crate) const LATE: Duration = Duration::from_secs(2);
