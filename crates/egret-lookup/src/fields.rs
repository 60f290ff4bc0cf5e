//! Header fields that travel: what of a caller's request goes on to a service, and what of its answer comes back.
//!
//! A field is for one hop, for both ends, or for egret. Names are in lower case, as parsers give them.

/// Fields that concern one connection (RFC 9110 7.6.1, RFC 9112), besides those that `Connection` names.
const HOP: [&str; 9] = [
    "connection",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "expect",
];
/// Fields that whoever sends makes by itself. Answers are judged by their text too, so none is asked for in an encoding.
const SENDERS: [&str; 3] = ["accept-encoding", "content-length", "host"];
/// Fields that say who asks for whom. A service that believed them would count the calls of one address as many.
const CLAIMS: [&str; 7] = [
    "cf-connecting-ip",
    "forwarded",
    "true-client-ip",
    "via",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-real-ip",
];
/// What the names of further such fields begin with, and those of egret's own.
const CLAIMS_BEGIN: [&str; 3] = ["proxy-", "x-forwarded-", "x-egret-"];
/// Fields of an answer that speak for the place where they come from: to the caller that is egret.
const ORIGINS: [&str; 3] = ["alt-svc", "clear-site-data", "strict-transport-security"];
/// What a name is made of beside letters and digits (RFC 9110 5.6.2).
const TOKEN: &[u8] = b"!#$%&'*+-.^_`|~";
/// Methods that say by themselves that they change nothing (RFC 9110 9.2.1).
const SAFE: [&str; 3] = ["GET", "HEAD", "OPTIONS"];

/// The methods that services may be configured to take.
pub const METHODS: [&str; 7] = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"];

/// Why a field cannot be told to a service, with the mend; `None`: it can. `name` in any case.
pub fn refusal(name: &str) -> Option<&'static str> {
    let name = name.to_ascii_lowercase();
    let is_token = |b: u8| b.is_ascii_alphanumeric() || TOKEN.contains(&b);
    if name.is_empty() || !name.bytes().all(is_token) {
        return Some("is no name of a header field; write letters, digits and `-`");
    }
    (!travels(&name)).then_some("is egret's to set, or no business of the service; remove it")
}

/// Whether a value can stand in a head: one line of visible ASCII, spaces and tabs between.
pub fn is_value(value: &str) -> bool {
    value.trim_matches([' ', '\t']) == value
        && value.bytes().all(|b| b.is_ascii_graphic() || b == b' ' || b == b'\t')
}

/// Whether a request may be sent a second time when nobody knows what became of the first (RFC 9110 9.2.2).
pub fn may_repeat(method: &str) -> bool {
    is_safe(method) || matches!(method, "PUT" | "DELETE")
}

/// Whether a request changes nothing at the service.
pub fn is_safe(method: &str) -> bool {
    SAFE.contains(&method)
}

/// The fields of a caller's request that a service is told: those for both ends, without the caller's credentials at
/// egret, and without `own`, the names that the service's configuration sets.
pub fn onward<'a>(fields: &[(&'a str, &'a [u8])], own: &[&str]) -> Vec<(&'a str, &'a [u8])> {
    let named = named(fields);
    let goes = |name: &str| {
        travels(name)
            && name != "authorization"
            && !own.contains(&name)
            && !named.iter().any(|hop| hop == name)
    };
    fields.iter().filter(|(name, _)| goes(name)).copied().collect()
}

/// The fields of a service's answer that the caller gets: those for both ends that are not egret's to say. The length
/// of the body is whoever sends it to know.
pub fn back<'a>(fields: &[(&'a str, &'a [u8])]) -> Vec<(&'a str, &'a [u8])> {
    let named = named(fields);
    let comes = |name: &str| {
        let is_ours = name.starts_with("x-egret-") || ORIGINS.contains(&name) || name == "content-length";
        let is_hop = HOP.contains(&name) || name.starts_with("proxy-");
        !is_hop && !is_ours && !named.iter().any(|hop| hop == name)
    };
    fields.iter().filter(|(name, _)| comes(name)).copied().collect()
}

/// The length of an answer's body in bytes, if its head tells that and nothing else: with a transfer coding the end says
/// where the end is, whatever else is said (RFC 9112 6.3).
pub fn length(fields: &[(&str, &[u8])]) -> Option<u64> {
    let of = |wanted: &'static str| fields.iter().filter(move |(name, _)| *name == wanted);
    let mut lengths = of("content-length").flat_map(|(_, value)| value.split(|b| *b == b','));
    let length = lengths.next()?.trim_ascii();
    let is_one =
        lengths.all(|other| other.trim_ascii() == length) && of("transfer-encoding").next().is_none();
    let is_number = is_one && length.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(length).ok().filter(|_| is_number)?.parse().ok()
}

fn travels(name: &str) -> bool {
    let is_claim = CLAIMS.contains(&name) || CLAIMS_BEGIN.iter().any(|begin| name.starts_with(begin));
    !HOP.contains(&name) && !SENDERS.contains(&name) && !is_claim
}

/// The names that `Connection` gives to fields of one hop.
fn named(fields: &[(&str, &[u8])]) -> Vec<String> {
    let connection = fields.iter().filter(|(name, _)| *name == "connection");
    let names = connection.flat_map(|(_, value)| value.split(|b| *b == b','));
    names.map(|name| String::from_utf8_lossy(name.trim_ascii()).to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(fields: Vec<(&str, &[u8])>) -> Vec<String> {
        fields.into_iter().map(|(name, _)| name.to_owned()).collect()
    }

    fn fields<'a>(pairs: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a [u8])> {
        pairs.iter().map(|(name, value)| (*name, value.as_bytes())).collect()
    }

    #[test]
    fn what_is_for_both_ends_goes_on_and_nothing_else_does() {
        let sent = fields(&[
            ("accept", "text/plain"),
            ("accept-encoding", "br"),
            ("authorization", "Bearer egret's own"),
            ("connection", "close, X-Hop"),
            ("content-length", "3"),
            ("content-type", "text/plain"),
            ("cookie", "a=1"),
            ("expect", "100-continue"),
            ("forwarded", "for=192.0.2.1"),
            ("host", "egret.example"),
            ("if-none-match", "\"x\""),
            ("proxy-authorization", "Basic x"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "websocket"),
            ("via", "1.1 somebody"),
            ("x-egret-wait", "1s"),
            ("x-forwarded-for", "192.0.2.1"),
            ("x-hop", "1"),
            ("x-mine", "kept"),
            ("x-real-ip", "192.0.2.1"),
        ]);
        let gone = names(onward(&sent, &[]));
        assert_eq!(gone, ["accept", "content-type", "cookie", "if-none-match", "x-mine"]);
    }

    #[test]
    fn what_the_configuration_sets_a_caller_cannot() {
        let sent = fields(&[("x-api-key", "guess"), ("x-api-keys", "another"), ("x-api-key", "twice")]);
        assert_eq!(names(onward(&sent, &["x-api-key"])), ["x-api-keys"]);
    }

    #[test]
    fn an_answer_comes_back_without_its_hop_and_cannot_speak_for_egret() {
        let came = fields(&[
            ("connection", "keep-alive , X-Trace"),
            ("content-length", "9"),
            ("content-type", "text/html"),
            ("keep-alive", "timeout=5"),
            ("ratelimit", "\"a\";r=1;t=2"),
            ("set-cookie", "a=1"),
            ("set-cookie", "b=2"),
            ("strict-transport-security", "max-age=1"),
            ("transfer-encoding", "chunked"),
            ("x-egret-egress", "192.0.2.1"),
            ("x-trace", "1"),
        ]);
        assert_eq!(names(back(&came)), ["content-type", "ratelimit", "set-cookie", "set-cookie"]);
    }

    #[test]
    fn a_length_is_told_once_or_not_at_all() {
        for (head, want) in [
            (&[("content-length", "10")][..], Some(10)),
            (&[("content-length", "10, 10"), ("content-length", "10")], Some(10)),
            (&[("content-length", "10"), ("content-length", "11")], None),
            (&[("content-length", "10"), ("transfer-encoding", "chunked")], None),
            (&[("content-length", "+10")], None),
            (&[("content-length", "")], None),
            (&[("content-type", "text/plain")], None),
        ] {
            assert_eq!(length(&fields(head)), want, "{head:?}");
        }
    }

    #[test]
    fn fields_that_are_written_down_are_checked_by_the_same_rules() {
        for name in ["X-Api-Key", "authorization", "Cookie", "user-agent"] {
            assert_eq!(refusal(name), None, "{name}");
        }
        for name in
            ["", "a b", "a:", "a\r\nb", "Host", "Content-Length", "TE", "X-Egret-Wait", "X-Forwarded-For"]
        {
            assert!(refusal(name).is_some(), "{name}");
        }
        assert!(is_value("Bearer a b") && is_value(""));
        assert!([" a", "a\r\nb", "a\0", "ä"].iter().all(|value| !is_value(value)));
    }

    #[test]
    fn a_post_is_sent_once() {
        assert!(METHODS.iter().filter(|method| !may_repeat(method)).eq(&["POST", "PATCH"]));
        assert!(METHODS.iter().filter(|method| is_safe(method)).eq(&["GET", "HEAD", "OPTIONS"]));
    }
}
