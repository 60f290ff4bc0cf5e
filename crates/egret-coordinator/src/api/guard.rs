//! Without API keys only programs on this host may call, and only directly.
//!
//! A browser that was lured to a page, or a proxy that forwards, also comes from loopback: the page is
//! known by its `Origin` or by a `Host` that is not this one, the proxy by its headers.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, Request};
use axum::http::HeaderMap;
use axum::http::header::{FORWARDED, HOST, ORIGIN, VIA};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use egret_wire::problem::{Code, Problem};

use super::Failure;

pub(crate) async fn local_callers_only(
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    match refusal(peer.ip(), request.headers()) {
        Some(why) => Failure(Problem::new(Code::KeyRequired, why).with_status(403)).into_response(),
        None => next.run(request).await,
    }
}

fn refusal(peer: IpAddr, headers: &HeaderMap) -> Option<&'static str> {
    if !peer.to_canonical().is_loopback() {
        return Some("without API keys only callers on this host are served");
    }
    let forwarded = headers.keys().any(|name| name.as_str().starts_with("x-forwarded-"));
    if forwarded || [ORIGIN, VIA, FORWARDED].iter().any(|name| headers.contains_key(name)) {
        return Some("without API keys only direct callers are served: no browser pages, no proxies");
    }
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    (!is_loopback_host(host))
        .then_some("without API keys the Host header must name a loopback address or localhost")
}

fn is_loopback_host(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::{HeaderName, HeaderValue};

    #[track_caller]
    fn check(peer: &str, headers: &[(&str, &str)], allowed: bool) {
        let headers = headers
            .iter()
            .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap()))
            .collect();
        assert_eq!(refusal(peer.parse().unwrap(), &headers).is_none(), allowed, "{headers:?}");
    }

    #[test]
    fn only_direct_callers_on_this_host_pass() {
        check("127.0.0.1", &[("host", "127.0.0.1:7043")], true);
        check("127.9.9.9", &[("host", "LOCALHOST")], true);
        check("::1", &[("host", "[::1]:7043")], true);
        check("::ffff:127.0.0.1", &[("host", "localhost:1")], true);
        check("192.0.2.1", &[("host", "127.0.0.1")], false);
        check("127.0.0.1", &[("host", "evil.example:7043")], false);
        check("127.0.0.1", &[("host", "127.0.0.1.evil.example")], false);
        check("127.0.0.1", &[], false);
        for header in ["origin", "via", "forwarded", "x-forwarded-for", "x-forwarded-host"] {
            check("127.0.0.1", &[("host", "127.0.0.1"), (header, "http://127.0.0.1")], false);
        }
    }
}
