//! What an HTTP answer means: its status decides, and the words of its body only where that says too little.
//!
//! A redirect is an answer: nothing is followed, and what it says is the caller's to read. A status that
//! answers no question (5xx, 401, …) is a failure of this attempt, to be tried again.

use std::time::Duration;

use super::{JUDGED_MAX, Reply, Verdict, applies};
use crate::answer::read_anyhow;
use crate::headers::Told;
use crate::lexicon::{Lexicon, Sense, Senses};
use crate::service::Service;
use crate::wait;

/// How many pieces of a body are looked at, and how long they may be, in bytes (chosen, as for whois).
const PIECES_MAX: usize = 1_000;
const PIECE_MAX: usize = 120;

/// Judges one HTTP reply of `service`: its status (`None`: what came was no HTTP), what its head tells, its body.
pub fn classify_http(service: &Service, status: Option<u16>, told: &Told, reply: Reply<'_>) -> Verdict {
    let (Reply::Answer(bytes) | Reply::Reset(bytes)) = reply;
    let text = read_anyhow(&bytes[..bytes.len().min(JUDGED_MAX)], service.charset());
    let was_reset = matches!(reply, Reply::Reset(_));
    let refused = || Verdict::Refused { wait: told.wait.or_else(|| named_wait(&text)) };
    if service.refused_when().iter().any(|rule| applies(rule, status, &text, was_reset)) {
        return if is_for_good(&text) { Verdict::Blocked } else { refused() };
    }
    match status {
        Some(429) => refused(),
        Some(503) if told.has_retry_after => refused(),
        Some(403) if is_for_good(&text) => Verdict::Blocked,
        Some(403)
            if said(&text).any(|(_, senses)| senses.has(Sense::Limited) || senses.has(Sense::Later)) =>
        {
            refused()
        }
        // What follows counts only if it came whole.
        _ if was_reset => Verdict::Failed,
        Some(200..400) => Verdict::Found,
        Some(404 | 410) => Verdict::NotFound,
        Some(400 | 422) => Verdict::Invalid,
        _ => Verdict::Failed,
    }
}

/// Only explicit words make a refusal a final one.
fn is_for_good(text: &str) -> bool {
    said(text).any(|(_, senses)| senses.refuses_for_good())
}

fn named_wait(text: &str) -> Option<Duration> {
    said(text).find_map(|(piece, _)| wait::named(&piece))
}

/// The short pieces of plain text, JSON or HTML, and what each says.
fn said(text: &str) -> impl Iterator<Item = (String, Senses)> {
    let pieces = text.split(['"', '<', '>', '\n', '\r']).map(str::trim);
    let short = pieces.filter(|piece| !piece.is_empty() && piece.len() <= PIECE_MAX).take(PIECES_MAX);
    short.map(|piece| {
        let words = in_words(piece);
        let senses = Lexicon::whole().senses(&words);
        (words, senses)
    })
}

/// A code in words: `https://…#quota-exceeded` as `quota exceeded`, `rateLimitExceeded` as `rate Limit Exceeded`.
fn in_words(piece: &str) -> String {
    if piece.contains(char::is_whitespace) {
        return piece.to_owned();
    }
    let code = piece.rsplit(['#', '/']).next().unwrap_or(piece);
    let mut words = String::with_capacity(code.len() + 8);
    let mut was_lower = false;
    for c in code.chars() {
        if was_lower && c.is_ascii_uppercase() {
            words.push(' ');
        }
        was_lower = c.is_ascii_lowercase();
        words.push(if matches!(c, '-' | '_' | '.') { ' ' } else { c });
    }
    words
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::service::{Protocol, Rule};

    fn service(rules: Vec<Rule>) -> Service {
        Service::new("api.test", Protocol::Http).unwrap().with_refused_when(rules).unwrap()
    }

    fn judge(status: u16, headers: &[(&str, &str)], body: &str) -> Verdict {
        let headers: Vec<_> = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let reply = Reply::Answer(body.as_bytes());
        classify_http(&service(Vec::new()), Some(status), &Told::read(&headers), reply)
    }

    fn refused(secs: Option<u64>) -> Verdict {
        Verdict::Refused { wait: secs.map(Duration::from_secs) }
    }

    #[test]
    fn the_status_says_what_an_answer_is() {
        for (statuses, want) in [
            (&[200, 201, 204, 206, 301, 302, 304, 307][..], Verdict::Found),
            (&[404, 410], Verdict::NotFound),
            (&[400, 422], Verdict::Invalid),
            (&[401, 402, 403, 405, 406, 409, 451, 500, 502, 503, 504], Verdict::Failed),
        ] {
            for status in statuses {
                assert_eq!(judge(*status, &[], "{\"title\":\"as it is\"}"), want, "{status}");
            }
        }
    }

    #[test]
    fn a_limit_is_told_by_its_status_and_waits_as_long_as_it_says() {
        assert_eq!(judge(429, &[], ""), refused(None));
        assert_eq!(judge(429, &[("retry-after", "30")], ""), refused(Some(30)));
        assert_eq!(judge(429, &[("ratelimit", "\"a\";r=0;t=7")], ""), refused(Some(7)));
        assert_eq!(judge(429, &[], "{\"message\":\"try again in 5 minutes\"}"), refused(Some(300)));
        assert_eq!(judge(503, &[("retry-after", "30")], ""), refused(Some(30)));
        assert_eq!(
            judge(503, &[("retry-after", "soon")], ""),
            refused(None),
            "it asks for patience all the same"
        );
        assert_eq!(judge(503, &[("retry-after", "0")], ""), refused(Some(0)));
        assert_eq!(
            judge(429, &[("retry-after", "99999999999999999999999999")], ""),
            refused(Some(7 * 86_400))
        );
        assert_eq!(judge(503, &[("ratelimit", "\"a\";r=9;t=7")], ""), Verdict::Failed, "that is an outage");
    }

    #[test]
    fn a_forbidden_call_is_a_refusal_only_in_words() {
        for body in [
            "{\"type\":\"https://iana.org/assignments/http-problem-types#quota-exceeded\",\"status\":403}",
            "{\"type\":\"https://iana.org/assignments/http-problem-types#abnormal-usage-detected\"}",
            "{\"error\":{\"errors\":[{\"reason\":\"rateLimitExceeded\"}]}}",
            "{\"error\":\"user_rate_limit_exceeded\"}",
            "<html><h1>Error 1015</h1><p>You are being rate limited</p></html>",
            "API rate limit exceeded for 203.0.113.7.\n",
        ] {
            assert_eq!(judge(403, &[], body), refused(None), "{body}");
        }
        for body in
            ["Your IP address has been permanently blocked.", "{\"error\":\"Host permanently banned\"}"]
        {
            assert_eq!(judge(403, &[], body), Verdict::Blocked, "{body}");
        }
        for body in ["", "Forbidden", "{\"message\":\"Access denied\"}", "<html><title>403 Forbidden</title>"]
        {
            assert_eq!(judge(403, &[], body), Verdict::Failed, "{body}");
        }
    }

    #[test]
    fn words_in_an_answer_refuse_nothing_unless_a_rule_says_so() {
        let body = "{\"docs\":\"rate limit exceeded\"}";
        assert_eq!(judge(200, &[], body), Verdict::Found);
        let rules = vec![Rule::text("rate limit exceeded").unwrap()];
        let reply = Reply::Answer(body.as_bytes());
        assert_eq!(classify_http(&service(rules), Some(200), &Told::default(), reply), refused(None));
    }

    #[test]
    fn the_operators_signs_come_first() {
        let judge =
            |rule, status, reply| classify_http(&service(vec![rule]), status, &Told::default(), reply);
        let status = Rule::status(&[420, 503]).unwrap();
        assert_eq!(judge(status.clone(), Some(420), Reply::Answer(b"")), refused(None));
        assert_eq!(judge(status.clone(), Some(503), Reply::Reset(b"cu")), refused(None));
        assert_eq!(judge(status.clone(), Some(429), Reply::Answer(b"")), refused(None));
        assert_eq!(judge(status, Some(200), Reply::Answer(b"")), Verdict::Found);
        assert_eq!(judge(Rule::Closed, None, Reply::Reset(b"")), refused(None));
        assert_eq!(judge(Rule::Empty, Some(200), Reply::Answer(b" \n")), refused(None));
        let said = Reply::Answer(b"permanently blocked: too many requests");
        assert_eq!(judge(Rule::status(&[420]).unwrap(), Some(420), said), Verdict::Blocked);
    }

    #[test]
    fn half_an_answer_and_what_is_no_http_are_failures() {
        let judge = |status, reply| classify_http(&service(Vec::new()), status, &Told::default(), reply);
        assert_eq!(judge(Some(200), Reply::Reset(b"{\"half")), Verdict::Failed);
        assert_eq!(judge(Some(404), Reply::Reset(b"")), Verdict::Failed);
        assert_eq!(judge(Some(429), Reply::Reset(b"")), refused(None), "its status was whole");
        assert_eq!(judge(None, Reply::Reset(b"")), Verdict::Failed);
        assert_eq!(judge(None, Reply::Answer(b"")), Verdict::Failed);
    }

    proptest! {
        #[test]
        fn no_answer_is_too_strange_to_be_judged(
            status in proptest::option::of(any::<u16>()),
            body in proptest::collection::vec(any::<u8>(), 0..300),
            cut in any::<bool>(),
        ) {
            let reply = if cut { Reply::Reset(&body) } else { Reply::Answer(&body) };
            let verdict = classify_http(&service(Vec::new()), status, &Told::default(), reply);
            prop_assert!(!(cut && verdict == Verdict::Found));
        }
    }
}
