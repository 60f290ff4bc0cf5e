//! Where a call may go: the resolved address is judged, not the name, and the judged address is dialled.
//!
//! The table is IANA's special-purpose address registries. Addresses that embed IPv4 (mapped, NAT64,
//! 6to4, ISATAP) are judged by what they embed. Addresses of this host and of the coordinator count as not public, wherever
//! they are. Anything not public needs both the service's word and this host's: a coordinator alone cannot send an agent
//! into its own network.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// What this host permits beyond public addresses.
#[derive(Clone, Debug, Default)]
pub(crate) struct Judge {
    /// Networks its operator named. Loopback needs no naming where the egress is loopback, too.
    permitted: Vec<IpNet>,
    /// Addresses of this host and of its coordinator: whoever is called there trusts its neighbours.
    own: BTreeSet<IpAddr>,
}

impl Judge {
    pub(crate) fn new(permitted: Vec<IpNet>) -> Self {
        Self { permitted, own: BTreeSet::new() }
    }

    /// The same for a host with these addresses, its coordinator's among them.
    pub(crate) fn at_home(&self, own: impl IntoIterator<Item = IpAddr>) -> Self {
        let own = own.into_iter().map(|address| address.to_canonical()).collect();
        Self { permitted: self.permitted.clone(), own }
    }

    /// Why a call from `egress` to `address` is refused; `None`: it may be made.
    pub(crate) fn refusal(&self, egress: IpAddr, address: IpAddr, service_allows: bool) -> Option<String> {
        let what = if !is_public(address) {
            "not a public address"
        } else if self.own.contains(&address.to_canonical()) {
            "this host or its coordinator"
        } else {
            return None;
        };
        if !service_allows {
            return Some(format!(
                "{address} is {what}; set allow_private_addresses = true for this service if it is yours"
            ));
        }
        let loopback = address.is_loopback() && egress.is_loopback();
        if loopback || self.permitted.iter().any(|net| net.contains(&address)) {
            return None;
        }
        Some(format!(
            "{address} is {what}; start this agent with --allow-private {address} if it may go there"
        ))
    }
}

/// Whether an address is globally reachable.
pub(crate) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => match embedded(v6) {
            Some(v4) => is_public_v4(v4),
            None => is_public_v6(v6) && isatap(v6).is_none_or(is_public_v4),
        },
    }
}

/// The IPv4 address that an ISATAP address (RFC 5214) leads to, whatever its prefix.
fn isatap(address: Ipv6Addr) -> Option<Ipv4Addr> {
    match address.segments() {
        [_, _, _, _, 0 | 0x0200, 0x5efe, high, low] => Some(joined(high, low)),
        _ => None,
    }
}

fn joined(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from((u32::from(high) << 16) | u32::from(low))
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(a == 0
        || a == 10
        || a == 127
        || a >= 224
        || (a == 100 && (64..128).contains(&b))
        || (a == 169 && b == 254)
        || (a == 172 && (16..32).contains(&b))
        || (a == 192 && b == 168)
        || (a == 192 && b == 0 && (c == 0 || c == 2))
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (18..20).contains(&b))
        || (a == 198 && b == 51 && c == 100)
        || (a == 203 && b == 0 && c == 113)
        // Azure's wire server: publicly routable in form, the host's own metadata in fact.
        || address == Ipv4Addr::new(168, 63, 129, 16))
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let s = address.segments();
    // Only 2000::/3 is allotted; the rest is special or not in use.
    s[0] & 0xe000 == 0x2000
        && !(s[0] == 0x2001 && s[1] < 0x0200)
        && !(s[0] == 0x2001 && s[1] == 0x0db8)
        && !(s[0] == 0x3fff && s[1] < 0x1000)
}

/// The IPv4 address inside a mapped, NAT64 or 6to4 address.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let s = address.segments();
    match s {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(joined(high, low)),
        [0x2002, high, low, ..] => Some(joined(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_addresses_in_every_dress_are_not_public() {
        for text in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.31.0.1",
            "192.0.0.192",
            "192.168.1.1",
            "198.18.0.1",
            "203.0.113.9",
            "224.0.0.1",
            "255.255.255.255",
            "168.63.129.16",
            "::",
            "::1",
            "::ffff:10.0.0.1",
            "::ffff:a9fe:a9fe",
            "64:ff9b::7f00:1",
            "2002:a00:1::",
            "fe80::1",
            "fd00:ec2::254",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "3fff::1",
            "100::1",
            "::7f00:1",
            "::808:808",
            "64:ff9b:1::808:808",
            "2001:470:1::5efe:a00:1",
            "2001:470:1::200:5efe:7f00:1",
            "2001:0:4136:e378:8000:63bf:3fff:fdd2",
            "fec0::1",
            "5f00::1",
            "fd20:ce::254",
        ] {
            assert!(!is_public(text.parse().unwrap()), "{text}");
        }
        for text in [
            "1.1.1.1",
            "192.0.1.1",
            "172.32.0.1",
            "2606:4700::1",
            "64:ff9b::101:101",
            "2002:101:101::",
            "2606:4700::5efe:808:808",
        ] {
            assert!(is_public(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn this_host_and_its_coordinator_are_not_called_without_leave_wherever_they_are() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let judge = Judge::new(vec!["8.8.8.8/32".parse().unwrap()]);
        let judge = judge.at_home([ip("8.8.8.8"), ip("1.1.1.1"), ip("127.0.0.1")]);
        for (address, allows, refused) in [
            ("1.1.1.1", false, true),
            ("1.1.1.1", true, true),
            ("::ffff:1.1.1.1", false, true),
            ("8.8.8.8", false, true),
            ("8.8.8.8", true, false),
            ("9.9.9.9", false, false),
        ] {
            let refusal = judge.refusal(ip("5.6.7.8"), ip(address), allows);
            assert_eq!(refusal.is_some(), refused, "{address} {allows}: {refusal:?}");
        }
        assert_eq!(judge.refusal(ip("127.0.0.2"), ip("127.0.0.1"), true), None);
    }

    #[test]
    fn a_private_destination_needs_the_service_and_the_host() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let strict = Judge::default();
        let lenient = Judge::new(vec!["10.0.0.0/8".parse().unwrap()]);
        assert!(strict.refusal(ip("1.2.3.4"), ip("10.0.0.1"), true).unwrap().contains("--allow-private"));
        assert!(
            lenient
                .refusal(ip("1.2.3.4"), ip("10.0.0.1"), false)
                .unwrap()
                .contains("allow_private_addresses")
        );
        assert_eq!(lenient.refusal(ip("1.2.3.4"), ip("10.0.0.1"), true), None);
        assert_eq!(strict.refusal(ip("127.0.0.2"), ip("127.0.0.1"), true), None);
        assert!(strict.refusal(ip("127.0.0.2"), ip("127.0.0.1"), false).is_some());
        assert!(strict.refusal(ip("1.2.3.4"), ip("127.0.0.1"), true).is_some());
        assert_eq!(strict.refusal(ip("1.2.3.4"), ip("8.8.8.8"), false), None);
    }
}
