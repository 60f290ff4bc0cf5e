//! The door of `/v1`: whoever may not come in learns why.
//!
//! With API keys a request shows one, and its role allows what it asks for, or it does not. Without any
//! only programs on this host may call, and only directly: a browser that was lured to a page, or a
//! proxy that forwards, also comes from loopback. The page is known by its `Origin` or by a `Host` that
//! is not this one, or by what the browser says of it; the proxy by its headers.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{AUTHORIZATION, FORWARDED, HOST, ORIGIN, VIA};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use egret_wire::problem::{Code, Problem};

use super::caller::{Caller, Keyring};
use super::{Failure, Shared};
use crate::config::Role;

/// Where a browser says what page a request is for (W3C Fetch Metadata, 2.4).
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Lets a request in with its [`Caller`], or answers it.
pub(crate) async fn admit(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    let need = needed(request.method(), request.uri().path());
    match caller(&shared.keyring, peer.ip(), request.headers(), need) {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(failure) if failure.0.code == Code::InvalidKey => shared.knocks.answer(peer.ip(), failure),
        Err(failure) => failure.into_response(),
    }
}

fn caller(keys: &Keyring, peer: IpAddr, headers: &HeaderMap, need: Role) -> Result<Caller, Failure> {
    if keys.is_empty() {
        return match refusal(peer, headers) {
            Some(why) => Err(Failure(Problem::new(Code::KeyRequired, why).with_status(403))),
            None => Ok(Caller::Local),
        };
    }
    let missing =
        "show an API key: `Authorization: Bearer KEY`; egret's own commands take it from EGRET_API_KEY";
    let wrong = "this API key is not, or no longer, one of the coordinator's; ask its operator for another";
    let shown = shown_key(headers).ok_or_else(|| Failure::new(Code::KeyRequired, missing))?;
    let caller = keys.find(shown).ok_or_else(|| Failure::new(Code::InvalidKey, wrong))?;
    caller.check_role(need)?;
    Ok(caller)
}

/// The key in the one `Authorization` of a request (RFC 6750 2.1).
fn shown_key(headers: &HeaderMap) -> Option<&str> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (all.next(), all.next()) else { return None };
    let (scheme, key) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(key.trim())
}

/// What a request needs; what is not known to need less needs an admin.
fn needed(method: &Method, path: &str) -> Role {
    let is_below =
        |root: &str| path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    match *method {
        // Whatever the method, it spends budget as a job does.
        _ if is_below("/v1/via") || is_below("/v1/lookup") => Role::Submit,
        Method::GET | Method::HEAD => Role::Read,
        // A plan changes nothing.
        _ if is_below("/v1/plan") => Role::Read,
        _ if is_below("/v1/jobs") || is_below("/v1/batches") => Role::Submit,
        _ => Role::Admin,
    }
}

fn refusal(peer: IpAddr, headers: &HeaderMap) -> Option<&'static str> {
    if !peer.to_canonical().is_loopback() {
        return Some("without API keys only callers on this host are served");
    }
    // A page's pictures and frames are asked for without `Origin`; some GETs spend budget.
    let site = headers.get(SEC_FETCH_SITE).map_or(&b"none"[..], HeaderValue::as_bytes);
    if !matches!(site, b"none" | b"same-origin") {
        return Some("without API keys only direct callers are served: no pages of other sites");
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
    use crate::api::caller::tests::key;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&str, &str)| {
            (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    #[track_caller]
    fn check(peer: &str, headers: &[(&str, &str)], allowed: bool) {
        let headers = super::tests::headers(headers);
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
        for (site, allowed) in
            [("none", true), ("same-origin", true), ("same-site", false), ("cross-site", false)]
        {
            check("127.0.0.1", &[("host", "127.0.0.1"), ("sec-fetch-site", site)], allowed);
        }
    }

    #[test]
    fn each_role_opens_its_paths_and_no_others() {
        let keys = [Role::Read, Role::Submit, Role::Admin].map(|role| key("a", role.as_str(), role, &[]));
        let ring = Keyring::new(keys.to_vec()).unwrap();
        let opens = |role: &str, method: &Method, path: &str| {
            let headers = headers(&[("authorization", &format!("Bearer {role}"))]);
            match caller(&ring, [192, 0, 2, 1].into(), &headers, needed(method, path)) {
                Ok(_) => true,
                Err(Failure(problem)) => {
                    assert_eq!((problem.code, problem.status), (Code::Forbidden, 403), "{role} {path}");
                    false
                }
            }
        };
        for (method, path, roles) in [
            (Method::GET, "/v1/jobs", [true, true, true]),
            (Method::HEAD, "/v1/batches/bat_1/results", [true, true, true]),
            (Method::GET, "/v1/agents", [true, true, true]),
            (Method::POST, "/v1/jobs", [false, true, true]),
            (Method::GET, "/v1/via/api/x", [false, true, true]),
            (Method::GET, "/v1/lookup/domain/a.example", [false, true, true]),
            (Method::HEAD, "/v1/lookup/ip/192.0.2.0/24", [false, true, true]),
            (Method::DELETE, "/v1/via/api/x", [false, true, true]),
            (Method::DELETE, "/v1/jobs/job_1", [false, true, true]),
            (Method::DELETE, "/v1/batches/bat_1", [false, true, true]),
            (Method::POST, "/v1/quota/whois.eu/spend", [false, false, true]),
            (Method::POST, "/v1/services/whois.eu/pause", [false, false, true]),
            (Method::POST, "/v1/join-tokens", [false, false, true]),
            (Method::POST, "/v1/jobsters", [false, false, true]),
            (Method::OPTIONS, "/v1/quota", [false, false, true]),
        ] {
            let opened = ["read", "submit", "admin"].map(|role| opens(role, &method, path));
            assert_eq!(opened, roles, "{method} {path}");
        }
    }

    #[test]
    fn with_keys_even_direct_callers_on_this_host_show_one() {
        let ring = Keyring::new(vec![key("a", "sesame", Role::Read, &[])]).unwrap();
        let check = |shown: &[&str], want: Option<Code>| {
            let pairs: Vec<_> = shown.iter().map(|value| ("authorization", *value)).collect();
            let mut headers: HeaderMap = headers(&[("host", "127.0.0.1")]);
            pairs.iter().for_each(|(name, value)| {
                headers.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
            });
            let got = caller(&ring, [127, 0, 0, 1].into(), &headers, Role::Read);
            assert_eq!(got.err().map(|Failure(problem)| problem.code), want, "{shown:?}");
        };
        check(&["Bearer sesame"], None);
        check(&["bearer  sesame "], None);
        for shown in
            [&[][..], &["sesame"], &["Basic sesame"], &["Bearer"], &["Bearer sesame", "Bearer sesame"]]
        {
            check(shown, Some(Code::KeyRequired));
        }
        for shown in ["Bearer ", "Bearer x", "Bearer sesame sesame"] {
            check(&[shown], Some(Code::InvalidKey));
        }
    }
}
