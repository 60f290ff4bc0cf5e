//! Answers and what they are judged to mean.

use std::time::Duration;

use egret_lookup::{Protocol, Reply, Rule, Service, Told, Verdict, classify, classify_http};

use super::record::first_line;
use super::{Meter, Reader};

/// Nobody makes us wait longer.
const WAIT_MAX: Duration = Duration::from_secs(7 * 86_400);
/// How much of an answer is judged, in bytes.
const JUDGED_MAX: usize = 64 * 1024;
const CHARSETS: [&str; 8] =
    ["auto", "iso-8859-1", "utf-8", "windows-1251", "iso-2022-jp", "gb18030", "euc-kr", "shift_jis"];

/// One byte that says how the answer came, and the answer.
///
/// Of the byte, bit 0 is a connection that broke off, bit 1 is HTTP, bits 2 to 4 are one of eight charsets and bit
/// 5 is a service with rules. Over HTTP the status stands on a line of its own, then the head, and behind a
/// blank line the body.
pub struct Classifier;

impl Reader for Classifier {
    const WARM: &'static [&'static str] = &[
        "@Domain Name: EXAMPLE.COM\nRegistrar:   A\nnothing   here\n>>> last update of the database\n",
        "@Daily quota exceeded. Try again in 3 hours or retry after 30\n",
        "B429\nretry-after: 30\n\nquota-exceeded, per day",
    ];

    fn check(data: &[u8], meter: &impl Meter) {
        let Some((&how, answer)) = data.split_first() else { return };
        let (was_reset, is_http) = (how & 1 != 0, how & 2 != 0);
        let service = service(is_http, CHARSETS[usize::from(how >> 2 & 7)], how & 32 != 0);
        let (head, body) = if is_http { Head::cut(answer) } else { (Head::default(), answer) };
        let reply = |bytes| if was_reset { Reply::Reset(bytes) } else { Reply::Answer(bytes) };
        let judge = |bytes| head.judge(&service, is_http, reply(bytes));

        let (verdict, told) = meter.run(data.len(), || judge(body));
        assert!(told.wait.is_none_or(|wait| wait <= WAIT_MAX), "{told:?}");
        assert!(told.left.is_none_or(|(_, until)| !until.is_zero() && until <= WAIT_MAX), "{told:?}");
        if let Verdict::Refused { wait: Some(wait) } = verdict {
            assert!(wait <= WAIT_MAX, "{verdict:?}");
        }
        let is_answer = matches!(verdict, Verdict::Found | Verdict::NotFound | Verdict::Reserved);
        assert!(!(is_answer && was_reset && !body.ends_with(b"\n")), "half an answer is {verdict:?}");
        if !was_reset {
            assert_eq!(verdict, judge(&body[..body.len().min(JUDGED_MAX)]).0, "the rest was judged too");
        }
    }
}

/// A service; one with rules has a sign of every sort that is not a matter of course.
fn service(is_http: bool, charset: &str, has_rules: bool) -> Service {
    let protocol = if is_http { Protocol::Http } else { Protocol::Whois };
    let mut rules = Vec::new();
    if has_rules {
        rules.push(Rule::text(r"(?i)\bslow\b.{0,40}\bdown\b").expect("it is a pattern"));
        rules.push(Rule::Empty);
    }
    if has_rules && is_http {
        rules.push(Rule::status(&[420, 503]).expect("they are codes"));
    }
    let service = Service::new("service.test", protocol).and_then(|service| service.with_charset(charset));
    service.and_then(|service| service.with_refused_when(rules)).expect("its keys are constants")
}

/// The head of an answer over HTTP, as the agent hands it over: names in lower case, values of printable text.
#[derive(Default)]
struct Head {
    status: Option<u16>,
    fields: Vec<(String, String)>,
}

impl Head {
    fn cut(answer: &[u8]) -> (Head, &[u8]) {
        let (status, mut rest) = first_line(answer);
        let mut head =
            Head { status: String::from_utf8_lossy(status).trim().parse().ok(), fields: Vec::new() };
        loop {
            let (line, after) = first_line(rest);
            rest = after;
            let line = String::from_utf8_lossy(line);
            let Some((name, value)) = line.split_once(':') else { return (head, rest) };
            head.fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    fn judge(&self, service: &Service, is_http: bool, reply: Reply<'_>) -> (Verdict, Told) {
        let told = Told::read(&self.fields);
        let verdict = match is_http {
            true => classify_http(service, self.status, &told, reply),
            false => classify(service, reply),
        };
        (verdict, told)
    }
}
