//! The record of an answer, read from its text when somebody wants it.
//!
//! The store has what the service said and nothing made of it: so a better reader reads old answers better too. Only
//! where a job wants the record kept and not the text it is made when the job's end is written.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use egret_lookup::{Record, guess, read_rdap, read_whois};
use egret_wire::api::{Answer, AnswerOutcome, JobResult, Keep};

/// Makes of an answer about `asked` what a job wants kept of it, whatever was kept so far.
pub(super) fn shape(answer: &mut Answer, asked: &str, keep: Keep) {
    match keep {
        Keep::Raw => answer.record = None,
        Keep::Both | Keep::Record if answer.record.is_none() => answer.record = record(answer, asked),
        Keep::Both | Keep::Record => {}
    }
    if keep == Keep::Record {
        (answer.raw, answer.raw_base64, answer.charset, answer.registry) = (None, None, None, None);
    }
}

/// A job's result as JSON, with the record of its answer about `asked` in the place of the text.
pub(crate) fn reduced(body: Vec<u8>, asked: &str) -> Vec<u8> {
    let Ok(mut result) = serde_json::from_slice::<JobResult>(&body) else { return body };
    let Some(answer) = &mut result.answer else { return body };
    shape(answer, asked, Keep::Record);
    serde_json::to_vec(&result).unwrap_or(body)
}

/// The record of an answer, if it says that there is one.
fn record(answer: &Answer, asked: &str) -> Option<serde_json::Value> {
    if answer.outcome != AnswerOutcome::Found {
        return None;
    }
    let own = read(&answer.protocol, (&answer.raw, &answer.raw_base64), asked);
    let registry = answer
        .registry
        .as_deref()
        .and_then(|said| read(&said.protocol, (&said.raw, &said.raw_base64), asked));
    let record = match (registry, own) {
        (Some(registry), Some(own)) => Some(registry.completed_by(own)),
        (registry, own) => registry.or(own),
    };
    record.and_then(|record| serde_json::to_value(record).ok())
}

fn read(protocol: &str, said: (&Option<String>, &Option<String>), target: &str) -> Option<Record> {
    match protocol {
        "whois" => Some(read_whois(&text(said, target), target)),
        "rdap" => read_rdap(text(said, target).as_bytes()).ok().map(|(record, _)| record),
        _ => None,
    }
}

/// What was said, as text; bytes that are none by the charset that they look like.
fn text((raw, base64): (&Option<String>, &Option<String>), asked: &str) -> String {
    match (raw, base64) {
        (Some(text), _) => text.clone(),
        (None, Some(base64)) => guess(&STANDARD.decode(base64).unwrap_or_default(), asked).into_owned(),
        (None, None) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(protocol: &str, raw: Option<&str>, base64: Option<&str>) -> Answer {
        Answer {
            raw: raw.map(str::to_owned),
            raw_base64: base64.map(str::to_owned),
            ..Answer::new(AnswerOutcome::Found, protocol)
        }
    }

    fn registrar(mut answer: Answer) -> Option<String> {
        shape(&mut answer, "example.test", Keep::Both);
        answer.record?["registrar"]["name"].as_str().map(str::to_owned)
    }

    #[test]
    fn both_protocols_give_one_shape_of_record() {
        let whois = "Domain Name: EXAMPLE.TEST\nRegistrar: Example Inc.\n";
        let rdap = r#"{"objectClassName":"domain","ldhName":"example.test","entities":[{"roles":["registrar"],
            "vcardArray":["vcard",[["fn",{},"text","Example Inc."]]]}]}"#;
        for (protocol, raw) in [("whois", whois), ("rdap", rdap)] {
            assert_eq!(
                registrar(answer(protocol, Some(raw), None)).as_deref(),
                Some("Example Inc."),
                "{protocol}"
            );
        }
        let latin = STANDARD.encode(b"Domain Name: EXAMPLE.TEST\nRegistrar: M\xfcller\n");
        assert_eq!(registrar(answer("whois", None, Some(&latin))).as_deref(), Some("M\u{fc}ller"));
    }

    #[test]
    fn what_is_no_record_has_none() {
        assert_eq!(registrar(answer("http", Some("{}"), None)), None);
        let mut absent =
            Answer { outcome: AnswerOutcome::NotFound, ..answer("whois", Some("No match"), None) };
        shape(&mut absent, "example.test", Keep::Both);
        assert_eq!(absent.record, None);
    }

    #[test]
    fn a_job_keeps_the_record_the_text_or_both() {
        let kept = |keep| {
            let mut answer =
                answer("whois", Some("Domain Name: EXAMPLE.TEST\nRegistrar: Example Inc.\n"), None);
            shape(&mut answer, "example.test", keep);
            (answer.record.is_some(), answer.raw.is_some())
        };
        let all = [Keep::Both, Keep::Record, Keep::Raw].map(kept);
        assert_eq!(all, [(true, true), (true, false), (false, true)]);
    }

    #[test]
    fn a_result_is_reduced_once_and_what_has_no_answer_stays_as_it_is() {
        let latin = STANDARD.encode(b"Domain Name: EXAMPLE.TEST\nRegistrar: M\xfcller\n");
        let result = JobResult { answer: Some(answer("whois", None, Some(&latin))), ..JobResult::default() };
        let once = reduced(serde_json::to_vec(&result).unwrap(), "example.test");
        let text = String::from_utf8(once.clone()).unwrap();
        assert!(text.contains("M\u{fc}ller") && !text.contains("raw"), "{text}");
        assert_eq!(reduced(once.clone(), "example.test"), once);
        for body in ["{\"attempts\":[]}", "not JSON"] {
            assert_eq!(reduced(body.into(), "example.test"), body.as_bytes());
        }
    }
}
