//! Who shares a quota: one address, a network, all addresses, or those with a tag.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whose calls a quota counts together.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Each egress by itself: an IPv4 address, or an IPv6 /64.
    #[default]
    Ip,
    /// All egresses in one network.
    Subnet {
        /// Length of the network part of an IPv4 address, up to 32.
        ipv4_prefix: u8,
        /// The same for IPv6, up to 64: an egress is a /64 at least.
        ipv6_prefix: u8,
    },
    /// Every egress there is: the service counts the user, not the address.
    Fleet,
    /// The egresses with this tag.
    Tag(Box<str>),
}

/// One of the things a scope tells apart: a network, the fleet, a tag.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ScopeKey {
    /// A network: its first address and the length of its prefix.
    Subnet(IpAddr, u8),
    /// The fleet.
    Fleet,
    /// The egresses with this tag.
    Tag(Box<str>),
}

impl Scope {
    /// What calls from `address` count towards; `None`: towards their own egress, or (for a tag that it does not
    /// have) towards nothing.
    pub fn key(&self, address: IpAddr, tags: &[String]) -> Option<ScopeKey> {
        match self {
            Self::Ip => None,
            Self::Subnet { ipv4_prefix, ipv6_prefix } => {
                let prefix = if address.is_ipv4() { *ipv4_prefix } else { *ipv6_prefix };
                Some(ScopeKey::Subnet(network(address, prefix), prefix))
            }
            Self::Fleet => Some(ScopeKey::Fleet),
            Self::Tag(tag) => tags.iter().any(|t| **t == **tag).then(|| ScopeKey::Tag(tag.clone())),
        }
    }

    /// The word for it in the configuration and the API.
    pub fn word(&self) -> String {
        match self {
            Self::Ip => "ip".to_owned(),
            Self::Subnet { .. } => "subnet".to_owned(),
            Self::Fleet => "fleet".to_owned(),
            Self::Tag(tag) => format!("tag:{tag}"),
        }
    }
}

impl fmt::Display for ScopeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Subnet(address, prefix) => write!(f, "{address}/{prefix}"),
            Self::Fleet => f.write_str("fleet"),
            Self::Tag(tag) => write!(f, "tag:{tag}"),
        }
    }
}

/// The first address of the network of `prefix` bits that `address` lies in.
fn network(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0);
            Ipv4Addr::from(u32::from(v4) & mask).into()
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix.min(128))).unwrap_or(0);
            Ipv6Addr::from(u128::from(v6) & mask).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(scope: &Scope, address: &str, key: Option<&str>) {
        let found = scope.key(address.parse().unwrap(), &["eu".to_owned()]);
        assert_eq!(found.map(|key| key.to_string()).as_deref(), key);
    }

    #[test]
    fn addresses_of_one_network_share_a_key() {
        let subnet = Scope::Subnet { ipv4_prefix: 24, ipv6_prefix: 48 };
        check(&subnet, "192.0.2.7", Some("192.0.2.0/24"));
        check(&subnet, "192.0.3.7", Some("192.0.3.0/24"));
        check(&subnet, "2001:db8:1:2::", Some("2001:db8:1::/48"));
        check(&Scope::Subnet { ipv4_prefix: 0, ipv6_prefix: 0 }, "192.0.2.7", Some("0.0.0.0/0"));
        check(&Scope::Subnet { ipv4_prefix: 32, ipv6_prefix: 64 }, "192.0.2.7", Some("192.0.2.7/32"));
    }

    #[test]
    fn a_tag_concerns_those_that_have_it_and_the_fleet_everybody() {
        check(&Scope::Ip, "192.0.2.7", None);
        check(&Scope::Fleet, "192.0.2.7", Some("fleet"));
        check(&Scope::Tag("eu".into()), "192.0.2.7", Some("tag:eu"));
        check(&Scope::Tag("us".into()), "192.0.2.7", None);
    }
}
