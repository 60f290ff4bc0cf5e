//! What an RDAP answer means: what HTTP says of it, then whether its body is an object.
//!
//! A server that answers 200 with a page of a firewall, or with an error in the body, has not answered. One that
//! points elsewhere (RFC 7480 5.2) has: the next step goes there.

use super::{Reply, Verdict, classify_http};
use crate::headers::Told;
use crate::record::{RdapError, Record, read_rdap};
use crate::service::Service;

/// What an RDAP answer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RdapReply {
    /// What it means for the job and the budget.
    pub verdict: Verdict,
    /// The object, if it is one.
    pub record: Option<Record>,
    /// Where the registrar's own record is, or where the answer points instead of answering; http or https.
    pub next: Option<String>,
}

/// Judges one reply of an RDAP `service`; `location` is that header field.
pub fn classify_rdap(
    service: &Service,
    status: Option<u16>,
    told: &Told,
    location: Option<&str>,
    reply: Reply<'_>,
) -> RdapReply {
    let bare = |verdict| RdapReply { verdict, record: None, next: None };
    let (Reply::Answer(body) | Reply::Reset(body)) = reply;
    let verdict = classify_http(service, status, told, reply);
    match (verdict, status) {
        (Verdict::Found, Some(300..400)) => {
            let next = location
                .filter(|at| at.starts_with("https://") || at.starts_with("http://") || at.starts_with('/'));
            // One that points nowhere answers nothing.
            let verdict = if next.is_some() { Verdict::Found } else { Verdict::Failed };
            RdapReply { next: next.map(str::to_owned), ..bare(verdict) }
        }
        (Verdict::Found, _) => match read_rdap(body) {
            Ok((record, next)) => RdapReply { verdict, record: Some(record), next },
            Err(RdapError::Error { code, .. }) => bare(by_code(code, told)),
            Err(RdapError::NoObject) if names_a_limit(body) => bare(Verdict::Refused { wait: told.wait }),
            Err(RdapError::NoObject | RdapError::Json(_)) => bare(Verdict::Failed),
        },
        _ => bare(verdict),
    }
}

/// An error's own code counts like a status (RFC 9083 6).
fn by_code(code: u16, told: &Told) -> Verdict {
    match code {
        404 => Verdict::NotFound,
        400 | 422 => Verdict::Invalid,
        429 => Verdict::Refused { wait: told.wait },
        _ => Verdict::Failed,
    }
}

/// LACNIC's notice instead of an object.
fn names_a_limit(body: &[u8]) -> bool {
    let head = &body[..body.len().min(super::JUDGED_MAX)];
    String::from_utf8_lossy(head).to_ascii_lowercase().contains("rate limit")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::Protocol;

    #[track_caller]
    fn check(status: u16, location: Option<&str>, body: &str, verdict: Verdict, next: Option<&str>) {
        let service = Service::new("rdap.test", Protocol::Rdap).unwrap();
        let reply = Reply::Answer(body.as_bytes());
        let got = classify_rdap(&service, Some(status), &Told::read(&[]), location, reply);
        assert_eq!((got.verdict, got.next.as_deref()), (verdict, next), "{status} {body}");
        assert_eq!(got.record.is_some(), verdict == Verdict::Found && location.is_none());
    }

    const OBJECT: &str = r#"{"objectClassName":"domain","ldhName":"a.test"}"#;

    #[test]
    fn an_object_is_an_answer_and_a_page_is_none() {
        check(200, None, OBJECT, Verdict::Found, None);
        check(200, None, "<html>Checking your browser</html>", Verdict::Failed, None);
        check(200, None, "", Verdict::Failed, None);
        check(200, None, r#"{"notices":[{"title":"Terms"}]}"#, Verdict::Failed, None);
    }

    #[test]
    fn absence_errors_and_limits_are_told_by_status_or_body() {
        check(404, None, "", Verdict::NotFound, None);
        check(200, None, r#"{"errorCode":404,"title":"Not Found"}"#, Verdict::NotFound, None);
        check(400, None, "", Verdict::Invalid, None);
        check(200, None, r#"{"errorCode":429}"#, Verdict::Refused { wait: None }, None);
        check(429, None, "", Verdict::Refused { wait: None }, None);
        check(
            200,
            None,
            r#"{"notices":[{"title":"Rate Limit Notice"}]}"#,
            Verdict::Refused { wait: None },
            None,
        );
        check(500, None, OBJECT, Verdict::Failed, None);
    }

    #[test]
    fn a_redirect_says_where_to_ask_and_one_to_nowhere_is_a_failure() {
        check(
            302,
            Some("https://rdap.other.test/domain/a.test"),
            "",
            Verdict::Found,
            Some("https://rdap.other.test/domain/a.test"),
        );
        check(301, Some("/v2/domain/a.test"), "", Verdict::Found, Some("/v2/domain/a.test"));
        check(302, Some("ftp://a.test/"), "", Verdict::Failed, None);
    }
}
