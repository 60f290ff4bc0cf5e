//! Which egresses a step may leave from. Steps with the same selector wait in one lane, so that none stands in another's way.

use std::net::IpAddr;

/// A constraint on egresses; the default takes any.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Selector {
    /// This one only: its address, or the first one of its network.
    pub address: Option<IpAddr>,
    /// Those of this family only.
    pub is_ipv6: Option<bool>,
    /// Those that have all of these tags.
    pub tags: Vec<String>,
}

impl Selector {
    /// Whether every egress will do.
    pub fn takes_any(&self) -> bool {
        self.address.is_none() && self.is_ipv6.is_none() && self.tags.is_empty()
    }

    /// Whether an egress that lives there will do.
    pub fn takes(&self, address: IpAddr, tags: &[String]) -> bool {
        self.address.is_none_or(|only| only == address)
            && self.is_ipv6.is_none_or(|is_ipv6| is_ipv6 == address.is_ipv6())
            && self.tags.iter().all(|tag| tags.contains(tag))
    }

    /// The same for one of which nobody may have come yet: it is nowhere.
    pub(super) fn takes_home(&self, home: Option<&(IpAddr, Vec<String>)>) -> bool {
        match home {
            Some((address, tags)) => self.takes(*address, tags),
            None => self.takes_any(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_a_selector_must_fit() {
        let tags = ["eu".to_owned(), "fast".to_owned()];
        let takes = |selector: Selector| {
            ["10.0.0.1", "2001:db8::"].map(|address| selector.takes(address.parse().unwrap(), &tags))
        };
        assert_eq!(takes(Selector::default()), [true, true]);
        assert_eq!(takes(Selector { is_ipv6: Some(true), ..Selector::default() }), [false, true]);
        assert_eq!(
            takes(Selector { address: "10.0.0.1".parse().ok(), ..Selector::default() }),
            [true, false]
        );
        let tagged = |tags: &[&str]| Selector {
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            ..Selector::default()
        };
        assert_eq!(takes(tagged(&["eu", "fast"])), [true, true]);
        assert_eq!(takes(tagged(&["eu", "us"])), [false, false]);
    }
}
