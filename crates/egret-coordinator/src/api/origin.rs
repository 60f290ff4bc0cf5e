//! From which address a request came, where proxies stand in between.

use std::net::IpAddr;

use axum::http::HeaderMap;
use ipnet::IpNet;

/// The address that a request came from: its peer's, unless that is a proxy whose word counts. Then it is the last one in
/// `X-Forwarded-For` that is no such proxy, since whoever came before that may have written what it liked. `None`:
/// something else stands there.
pub(super) fn origin(peer: IpAddr, headers: &HeaderMap, proxies: &[IpNet]) -> Option<IpAddr> {
    let is_trusted = |address: &IpAddr| proxies.iter().any(|net| net.contains(address));
    let mut origin = peer.to_canonical();
    let lines: Vec<&str> =
        headers.get_all("x-forwarded-for").iter().map(|line| line.to_str().unwrap_or("?")).collect();
    for hop in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
        if !is_trusted(&origin) {
            break;
        }
        origin = hop.trim().parse::<IpAddr>().ok()?.to_canonical();
    }
    Some(origin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_trusted_proxies_say_where_a_request_came_from() {
        let proxies: Vec<IpNet> =
            ["10.0.0.0/8", "127.0.0.1/32"].iter().map(|net| net.parse().unwrap()).collect();
        let seen = |peer: &str, lines: &[&str], proxies: &[IpNet]| {
            let mut headers = HeaderMap::new();
            lines.iter().for_each(|line| {
                headers.append("x-forwarded-for", line.parse().unwrap());
            });
            origin(peer.parse().unwrap(), &headers, proxies).map(|address| address.to_string())
        };
        for (peer, lines, from) in [
            ("192.0.2.1", &[][..], Some("192.0.2.1")),
            ("192.0.2.1", &["198.51.100.1"][..], Some("192.0.2.1")),
            ("127.0.0.1", &[][..], Some("127.0.0.1")),
            ("127.0.0.1", &["198.51.100.1"][..], Some("198.51.100.1")),
            ("::ffff:127.0.0.1", &["::ffff:198.51.100.1"][..], Some("198.51.100.1")),
            ("127.0.0.1", &["203.0.113.5, 198.51.100.1, 10.1.1.1"][..], Some("198.51.100.1")),
            ("127.0.0.1", &["203.0.113.5", "198.51.100.1", "10.1.1.1"][..], Some("198.51.100.1")),
            ("127.0.0.1", &["10.9.9.9, 10.1.1.1"][..], Some("10.9.9.9")),
            ("127.0.0.1", &["nonsense, 198.51.100.1"][..], Some("198.51.100.1")),
            ("127.0.0.1", &["2001:db8::1"][..], Some("2001:db8::1")),
            ("127.0.0.1", &["unknown"][..], None),
            ("127.0.0.1", &[""][..], None),
        ] {
            assert_eq!(seen(peer, lines, &proxies).as_deref(), from, "{peer} {lines:?}");
        }
        assert_eq!(seen("127.0.0.1", &["198.51.100.1"], &[]).as_deref(), Some("127.0.0.1"));
    }
}
