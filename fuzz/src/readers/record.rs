//! Whois text and RDAP JSON as records: bounded, well formed, and the same in JSON.

use egret_lookup::{Charset, Kind, Raw, RdapError, Record, Target, decode, read_rdap, read_whois};
use serde_json::Value;

use super::{Meter, Reader, assert_one_line};

/// The most that a list of a record holds.
const LIST_MAX: usize = 64;
/// The longest text of a record, in bytes.
const TEXT_MAX: usize = 1_024;
/// The longest record as JSON, in bytes.
const JSON_MAX: usize = 1 << 20;

/// Whois text: the first line is what was asked, the rest is the answer.
pub struct Whois;

impl Reader for Whois {
    const WARM: &'static [&'static str] = &[
        "example.com\n   Domain Name: EXAMPLE.COM\n   Creation Date: 1995-08-14T04:00:00Z\nTitle:   none\nRegistrar:\n   A. B   C\n",
        "bücher.example\ndomain   bücher.example\nstatus: ok\nnserver: ns1.example.net 192.0.2.1\n",
        "",
    ];

    fn check(data: &[u8], meter: &impl Meter) {
        let (asked, answer) = first_line(data);
        let asked = Target::parse(Kind::Whois, &String::from_utf8_lossy(asked))
            .map_or_else(|_| "example.com".to_owned(), Target::into_string);
        let charset: Charset = "iso-8859-1".parse().expect("it is a charset's label");
        let record = meter.run(data.len(), || match decode(answer, charset) {
            Raw::Text { text, .. } => read_whois(&text, &asked),
            Raw::Bytes => unreachable!("every byte is a character of that charset"),
        });
        assert_record(&record);
    }
}

/// The body of an RDAP answer.
pub struct Rdap;

impl Reader for Rdap {
    const WARM: &'static [&'static str] = &[
        r#"{"objectClassName":"domain","ldhName":"EXAMPLE.com","unicodeName":"bücher.example","status":["active"],
        "events":[{"eventAction":"registration","eventDate":"1995-08-14T04:00:00Z"}]}"#,
        "[",
    ];

    fn check(data: &[u8], meter: &impl Meter) {
        match meter.run(data.len(), || read_rdap(data)) {
            Ok((record, related)) => {
                assert_record(&record);
                if let Some(link) = related {
                    assert!(link.starts_with("https://") || link.starts_with("http://"), "{link:?}");
                    assert_one_line("the link", &link, TEXT_MAX);
                }
            }
            Err(error) => {
                assert_one_line("the error", &error.to_string(), TEXT_MAX);
                if let RdapError::Error { title: Some(title), .. } = error {
                    assert!(title.chars().count() <= 200, "{title:?}");
                }
            }
        }
    }
}

pub(super) fn first_line(data: &[u8]) -> (&[u8], &[u8]) {
    match data.iter().position(|b| *b == b'\n') {
        Some(end) => (&data[..end], &data[end + 1..]),
        None => (data, &[]),
    }
}

fn assert_record(record: &Record) {
    let names = record.nameservers.iter().map(|host| &host.ldh_name);
    for name in names.chain(&record.ldh_name).chain(&record.port43) {
        assert_one_line("the name", name, 253);
        let is_ldh = name.bytes().all(|b| b.is_ascii_graphic() && !b.is_ascii_uppercase());
        assert!(is_ldh && !name.is_empty() && !name.ends_with('.'), "{name:?} is in no A-labels");
    }
    if let Some(name) = &record.unicode_name {
        assert_one_line("the name in Unicode", name, TEXT_MAX);
        assert!(!name.is_ascii(), "{name:?} has no need of Unicode");
    }
    for event in &record.events {
        let (date, zone) = event.event_date.split_at(19);
        let year: u32 = date[..4].parse().expect("a date begins with its year");
        assert!((1969..=2200).contains(&year) && zone == "Z", "{event:?}");
    }
    let json = serde_json::to_string(record).expect("a record has nothing that JSON lacks");
    assert!(json.len() <= JSON_MAX, "the record is {} bytes long", json.len());
    let again: Value = serde_json::from_str(&json).expect("what was written can be read");
    assert_eq!(serde_json::to_value(record).expect("as above"), again);
    assert_bounded(&again);
}

/// Short texts that say something, short lists that hold something.
fn assert_bounded(json: &Value) {
    match json {
        Value::String(text) => {
            assert!(text.len() <= TEXT_MAX, "a text is {} bytes long: {text:?}", text.len());
            assert!(!text.trim().is_empty(), "a text is blank");
        }
        Value::Array(list) => {
            assert!(list.len() <= LIST_MAX, "a list has {} elements", list.len());
            list.iter().for_each(assert_bounded);
        }
        Value::Object(members) => members.values().for_each(assert_bounded),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
