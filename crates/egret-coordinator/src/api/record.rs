//! The record of an answer, read from its text when somebody wants it.
//!
//! The store has what the service said and nothing made of it: so a better reader reads old answers better too.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use egret_lookup::{Record, read_rdap, read_whois};
use egret_wire::api::{Answer, AnswerOutcome};

/// Adds the record of an answer about `target`, if it says that there is one.
pub(super) fn add(answer: &mut Answer, target: &str) {
    if answer.outcome != AnswerOutcome::Found {
        return;
    }
    let own = read(&answer.protocol, (&answer.raw, &answer.raw_base64), target);
    let registry = answer
        .registry
        .as_deref()
        .and_then(|said| read(&said.protocol, (&said.raw, &said.raw_base64), target));
    let record = match (registry, own) {
        (Some(registry), Some(own)) => Some(registry.completed_by(own)),
        (registry, own) => registry.or(own),
    };
    answer.record = record.and_then(|record| serde_json::to_value(record).ok());
}

fn read(protocol: &str, said: (&Option<String>, &Option<String>), target: &str) -> Option<Record> {
    match protocol {
        "whois" => Some(read_whois(&text(said), target)),
        "rdap" => read_rdap(text(said).as_bytes()).ok().map(|(record, _)| record),
        _ => None,
    }
}

/// What was said, as text; each byte a character of its own where it is none.
fn text((raw, base64): (&Option<String>, &Option<String>)) -> String {
    match (raw, base64) {
        (Some(text), _) => text.clone(),
        (None, Some(base64)) => {
            STANDARD.decode(base64).unwrap_or_default().into_iter().map(char::from).collect()
        }
        (None, None) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(protocol: &str, raw: Option<&str>, base64: Option<&str>) -> Answer {
        Answer {
            outcome: AnswerOutcome::Found,
            protocol: protocol.to_owned(),
            record: None,
            raw: raw.map(str::to_owned),
            raw_base64: base64.map(str::to_owned),
            charset: None,
            status: None,
            location: None,
            content_type: None,
            registry: None,
            incomplete: None,
        }
    }

    fn registrar(mut answer: Answer) -> Option<String> {
        add(&mut answer, "example.test");
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
        add(&mut absent, "example.test");
        assert_eq!(absent.record, None);
    }
}
