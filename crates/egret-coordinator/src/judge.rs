//! What a report means: judged where it comes in, so that the drive need not.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use egret_lookup::known::Referral;
use egret_lookup::{
    Onward, Protocol, Raw, Reply, Told, Verdict, classify, classify_http, classify_rdap, decode, rdap_onward,
    whois_onward,
};
use egret_wire::agent::{CallEnd, Report};
use egret_wire::api::Answer;

use crate::config::ServiceConfig;
use crate::drive::{Judged, answer_outcome};
use crate::services::{Services, protocol};

/// What a report means, by the service's rules.
pub(crate) fn judge(services: &Services, mut report: Report) -> Judged {
    let Some(service) = services.find(&report.service).map(|id| services.config(id)) else {
        return Judged { report, verdict: None, answer: None, onward: None, left: None };
    };
    let told = Told::read(&report.headers);
    let (verdict, onward) = verdict(service, &report, &told).unzip();
    let onward = onward.flatten();
    if let Some(status) = report.status.filter(|status| !(200..300).contains(status)) {
        report.detail.get_or_insert_with(|| format!("status {status}"));
    }
    // What is passed on as it is need not be read.
    let outcome = verdict.as_ref().and_then(answer_outcome).filter(|_| report.head.is_none());
    let answer = outcome.map(|outcome| {
        let mut answer = Answer {
            status: report.status,
            location: field(&report, "location"),
            content_type: field(&report, "content-type"),
            ..Answer::new(outcome, protocol(service))
        };
        match decode(&report.answer.0, service.lookup.charset()) {
            Raw::Text { text, charset } => {
                answer.raw = Some(text.into_owned());
                answer.charset = charset.map(str::to_owned);
            }
            Raw::Bytes => answer.raw_base64 = Some(STANDARD.encode(&report.answer.0)),
        }
        answer
    });
    Judged { report, verdict, answer, onward, left: told.left }
}

fn field(report: &Report, name: &str) -> Option<String> {
    report.headers.iter().find(|(is, _)| is == name).map(|(_, value)| value.clone())
}

/// What came, and whom it says to ask next; `None`: nothing came that could mean anything.
fn verdict(service: &ServiceConfig, report: &Report, told: &Told) -> Option<(Verdict, Option<Onward>)> {
    let reply = match report.end {
        CallEnd::Answered => Reply::Answer(&report.answer.0),
        CallEnd::Reset => Reply::Reset(&report.answer.0),
        _ => return None,
    };
    let lookup = &service.lookup;
    Some(match lookup.protocol() {
        Protocol::Http => (classify_http(lookup, report.status, told, reply), None),
        Protocol::Rdap => {
            let is_redirect = report.status.is_some_and(|status| (300..400).contains(&status));
            let location = field(report, "location");
            let said = classify_rdap(lookup, report.status, told, location.as_deref(), reply);
            let onward = said.next.and_then(|next| rdap_onward(&next, &service.address, is_redirect));
            match said.verdict {
                // Nobody is asked where it points, so nobody has answered.
                Verdict::Found if is_redirect && onward.is_none() => (Verdict::Failed, None),
                verdict => (verdict, onward),
            }
        }
        Protocol::Whois => {
            let verdict = classify(lookup, reply);
            let refers = verdict == Verdict::Found && service.referral != Referral::None;
            let onward =
                refers.then(|| whois_onward(service.referral, &String::from_utf8_lossy(&report.answer.0)));
            (verdict, onward.flatten())
        }
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use egret_wire::agent::Attempt;
    use egret_wire::value::Bytes;

    use super::*;
    use crate::config::Config;

    fn judged(end: CallEnd, status: u16, headers: &[(&str, &str)], body: &str) -> Judged {
        let service = "[[service]]\nid = \"api\"\nprotocol = \"http\"\naddress = \"https://a.example\"\n";
        judged_by(service, end, Some(status), headers, body)
    }

    fn judged_by(
        service: &str,
        end: CallEnd,
        status: Option<u16>,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Judged {
        let services = Services::new(Config::parse(service, "egret.toml").unwrap().services, None).unwrap();
        let report = Report {
            attempt: Attempt(1, 1, 1, 1),
            service: "api".to_owned(),
            egress: "192.0.2.1".to_owned(),
            seal: String::new(),
            end,
            answer: Bytes(body.as_bytes().to_vec()),
            held_ms: 0,
            took_ms: 0,
            since_ms: 0,
            detail: None,
            status,
            headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            ready_in_ms: None,
            head: None,
        };
        judge(&services, report)
    }

    #[test]
    fn an_http_answer_keeps_its_status_where_it_points_and_what_it_says_is_left() {
        let headers = [("ratelimit", "\"a\";r=3;t=20"), ("content-type", "text/plain"), ("location", "/b")];
        let judged = judged(CallEnd::Answered, 301, &headers, "moved");
        assert_eq!(judged.left, Some((3, Duration::from_secs(20))));
        let answer = judged.answer.unwrap();
        assert_eq!((answer.status, answer.raw.as_deref()), (Some(301), Some("moved")));
        assert_eq!(
            (answer.location.as_deref(), answer.content_type.as_deref()),
            (Some("/b"), Some("text/plain"))
        );
        assert_eq!(judged.report.detail.as_deref(), Some("status 301"));
    }

    #[test]
    fn a_whois_answer_is_judged_by_what_is_known_of_the_services_host() {
        let at = |address: &str, body: &str| {
            let service =
                format!("[[service]]\nid = \"api\"\nprotocol = \"whois\"\naddress = \"{address}\"\n");
            judged_by(&service, CallEnd::Answered, None, &[], body)
        };
        let refused = at("whois.srs.net.nz:43", "query_status: 440 Nope\n");
        assert_eq!(refused.verdict, Some(Verdict::Refused { wait: None }));
        let elsewhere = at("whois.example:43", "query_status: 440 Nope\n");
        assert_ne!(elsewhere.verdict, refused.verdict);
        for (body, want) in [
            ("TLD is not supported.\n", Verdict::Retired),
            ("The database is down for maintenance.\n", Verdict::Unavailable),
        ] {
            let judged = at("whois.example:43", body);
            assert_eq!((judged.verdict, judged.answer.is_none()), (Some(want), true));
        }
    }

    #[test]
    fn a_refusal_and_a_failure_over_http_are_no_answers() {
        let refused = judged(CallEnd::Answered, 429, &[("retry-after", "7")], "slow down");
        assert_eq!(refused.verdict, Some(Verdict::Refused { wait: Some(Duration::from_secs(7)) }));
        let failed = judged(CallEnd::Answered, 500, &[], "as always");
        assert_eq!(failed.verdict, Some(Verdict::Failed));
        let cut = judged(CallEnd::Reset, 200, &[], "hal");
        assert_eq!(cut.verdict, Some(Verdict::Failed));
        let silent = judged(CallEnd::TimedOut, 200, &[], "hal");
        assert_eq!(silent.verdict, None);
        assert!([refused, failed, cut, silent].iter().all(|judged| judged.answer.is_none()));
    }
}
