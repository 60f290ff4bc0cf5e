//! From a name to the one address that is dialled: looked up once, judged whole, of the egress's family.

use std::io;
use std::net::SocketAddr;

use tokio::time::{Instant, timeout_at};

use crate::call::Call;
use crate::judge::Judge;

/// Where `call` goes, for the service at `name` (`host:port`); decided before its deadline, so that it may be dialled at
/// once.
///
/// # Errors
/// Why it goes nowhere; nothing has left this host but a question to its resolver.
pub(crate) async fn resolve(
    name: &str,
    call: &Call,
    judge: &Judge,
    lookup: impl AsyncFn(&str) -> io::Result<Vec<SocketAddr>>,
) -> Result<SocketAddr, String> {
    let late = || format!("{name} was not resolved in time");
    let found = timeout_at(call.deadline, lookup(name)).await.map_err(|_| late())?;
    if Instant::now() >= call.deadline {
        // An address needs no time to be found, and a process may have stood still.
        return Err(late());
    }
    let found = found.map_err(|error| format!("{name} cannot be resolved: {error}"))?;
    choose(name, &found, call, judge)
}

/// Asks the host's resolver.
pub(crate) async fn system(name: &str) -> io::Result<Vec<SocketAddr>> {
    tokio::net::lookup_host(name).await.map(Iterator::collect)
}

/// The first address of the egress's family; all of them must be permitted, so that a name cannot be
/// made to point inwards for some of its answers.
fn choose(name: &str, found: &[SocketAddr], call: &Call, judge: &Judge) -> Result<SocketAddr, String> {
    if let Some(reason) = found.iter().find_map(|a| judge.refusal(call.from, a.ip(), call.allow_private)) {
        return Err(format!("{name}: {reason}"));
    }
    let family = found.iter().find(|address| address.is_ipv4() == call.from.is_ipv4());
    family.copied().ok_or_else(|| format!("{name} has no address of the family of {}", call.from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(from: &str, found: &[&str], want: Result<&str, &str>) {
        let call = Call {
            from: from.parse().unwrap(),
            address: "a.example:43".to_owned(),
            question: Vec::new(),
            headers: Vec::new(),
            deadline: Instant::now(),
            max_answer: 1,
            allow_private: true,
        };
        let found: Vec<SocketAddr> = found.iter().map(|address| address.parse().unwrap()).collect();
        match (choose(&call.address, &found, &call, &Judge::default()), want) {
            (Ok(chosen), Ok(want)) => assert_eq!(chosen.to_string(), want),
            (Err(reason), Err(want)) => assert!(reason.contains(want), "{reason}"),
            (other, _) => panic!("{other:?} for {found:?}"),
        }
    }

    #[test]
    fn the_first_address_of_the_egress_family_is_dialled() {
        let both = ["[2606:4700::1]:43", "1.1.1.1:43", "8.8.8.8:43"];
        check("9.9.9.9", &both, Ok("1.1.1.1:43"));
        check("2606:4700::9", &both, Ok("[2606:4700::1]:43"));
        check("2606:4700::9", &both[1..], Err("no address of the family"));
    }

    #[test]
    fn one_address_that_is_not_permitted_spoils_the_name() {
        check("9.9.9.9", &["1.1.1.1:43", "10.0.0.1:43"], Err("10.0.0.1 is not a public address"));
        check("9.9.9.9", &["1.1.1.1:43", "[::1]:43"], Err("::1 is not a public address"));
    }
}
