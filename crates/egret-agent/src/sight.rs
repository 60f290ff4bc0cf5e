//! What the local addresses are seen as from outside, and whether that has changed.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use egret_wire::agent::Observed;
use futures_util::{StreamExt, stream};

use crate::link::{Link, LinkError};

/// How often it is looked whether addresses are seen as before.
pub(crate) const LOOK: Duration = Duration::from_secs(60);
/// Addresses that are looked at together (chosen).
const TOGETHER: usize = 16;

/// Addresses remembered that are not in use any more (chosen).
const MOST_SEEN: usize = 8_192;

/// What came of looking at one address.
pub(crate) type Sighting = (IpAddr, Result<Observed, LinkError>);

/// Asks the coordinator what each address is seen as.
pub(crate) async fn look(link: Link, addresses: Vec<IpAddr>) -> Vec<Sighting> {
    let ask = |local: IpAddr| {
        let link = &link;
        async move { (local, link.post("/agent/v1/observe", &serde_json::json!({}), Some(local)).await) }
    };
    stream::iter(addresses).map(ask).buffer_unordered(TOGETHER).collect().await
}

/// What each local address was last seen as.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// With whether the last login counted on it.
    addresses: BTreeMap<IpAddr, (String, bool)>,
}

impl Seen {
    /// A login begins: nothing is counted on yet. Of very many addresses those of before the last one are forgotten.
    pub(crate) fn begin(&mut self) {
        if self.addresses.len() > MOST_SEEN {
            self.addresses.retain(|_, (_, is_claimed)| *is_claimed);
        }
        self.addresses.values_mut().for_each(|(_, is_claimed)| *is_claimed = false);
    }

    /// This login counts on an address, seen like this; returns what it was taken for before, if that was something else.
    pub(crate) fn claim(&mut self, local: IpAddr, seen: &str) -> Option<String> {
        let before = self.addresses.insert(local, (seen.to_owned(), true));
        before.map(|(before, _)| before).filter(|before| before != seen)
    }

    /// What is not as the last login took it to be, for people. An address that cannot be looked at says nothing.
    pub(crate) fn change(&self, current: &[IpAddr], sightings: &[Sighting]) -> Option<String> {
        let claimed = |local: &IpAddr| self.addresses.get(local).filter(|(_, is_claimed)| *is_claimed);
        let differs = |(local, sighting): &Sighting| {
            let seen = &sighting.as_ref().ok()?.address;
            match claimed(local) {
                None => Some(format!("{local} can be used now")),
                Some((before, _)) if before != seen => {
                    Some(format!("{local} was seen as {before}, and is {seen} now"))
                }
                Some(_) => None,
            }
        };
        let gone = || {
            let mut all = self.addresses.iter().filter(|(_, (_, is_claimed))| *is_claimed);
            all.find(|(local, _)| !current.contains(local)).map(|(local, _)| format!("{local} has gone"))
        };
        sightings.iter().find_map(differs).or_else(gone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sighting(local: &str, seen: Option<&str>) -> Sighting {
        let seen = seen.map(|seen| Observed { address: seen.to_owned(), proof: String::new() });
        (local.parse().unwrap(), seen.ok_or(LinkError::Broken("no way".to_owned())))
    }

    #[test]
    fn what_has_come_gone_or_moved_is_a_change_and_silence_is_none() {
        let locals = ["10.0.0.1", "10.0.0.2"].map(|local| local.parse::<IpAddr>().unwrap());
        let mut seen = Seen::default();
        assert_eq!(seen.claim(locals[0], "192.0.2.1"), None);
        let change =
            |seen: &Seen, current: &[IpAddr], sightings: &[Sighting]| seen.change(current, sightings);
        assert_eq!(change(&seen, &locals, &[sighting("10.0.0.1", Some("192.0.2.1"))]), None);
        assert_eq!(change(&seen, &locals, &[sighting("10.0.0.1", None), sighting("10.0.0.2", None)]), None);
        let moved = change(&seen, &locals, &[sighting("10.0.0.1", Some("192.0.2.9"))]);
        assert_eq!(moved.unwrap(), "10.0.0.1 was seen as 192.0.2.1, and is 192.0.2.9 now");
        assert!(
            change(&seen, &locals, &[sighting("10.0.0.2", Some("192.0.2.2"))])
                .unwrap()
                .contains("can be used now")
        );
        assert!(change(&seen, &locals[1..], &[]).unwrap().contains("has gone"));
        // The next login: one is not seen at all, and later as somebody else.
        seen.begin();
        assert_eq!(change(&seen, &locals[1..], &[]), None, "nobody counts on it");
        assert_eq!(seen.claim(locals[0], "192.0.2.9").as_deref(), Some("192.0.2.1"));
        assert_eq!(seen.claim(locals[0], "192.0.2.9"), None);
    }
}
