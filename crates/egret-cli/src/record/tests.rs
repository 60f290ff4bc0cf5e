use serde_json::json;

use super::*;

/// 2026-11-29T00:00:00Z
const NOW: Time = Time(1_795_910_400_000);

/// The lines without their colours.
fn plain(record: &Value) -> Option<String> {
    told(record, NOW).map(|lines| anstream::adapter::strip_str(&lines).to_string())
}

#[test]
fn a_domain_reads_top_down_in_aligned_lines() {
    let record = json!({
        "objectClassName": "domain",
        "handle": "D1-EXAMPLE",
        "ldhName": "xn--zwlf-5qa.example",
        "unicodeName": "zwölf.example",
        "status": ["clientTransferProhibited", "clientHold"],
        "events": [
            {"eventAction": "registration", "eventDate": "2001-02-03T04:05:06Z"},
            {"eventAction": "last changed", "eventDate": "2025-01-01T00:00:00Z"},
            {"eventAction": "expiration", "eventDate": "2027-02-03T00:00:00Z"},
            {"eventAction": "transfer", "eventDate": "2011-02-03T04:05:06Z"},
            {"eventAction": "last update of RDAP database", "eventDate": "2026-11-28T00:00:00Z"},
        ],
        "nameservers": [
            {"ldhName": "a.example.net"},
            {"ldhName": "b.zwlf.example", "ipAddresses": ["192.0.2.1", "2001:db8::1"]},
        ],
        "registrar": {
            "name": "Example Registrar, Inc.", "ianaId": 9999, "url": "https://registrar.example",
            "abuseEmail": "abuse@registrar.example", "abusePhone": "+1.5555550100",
        },
        "secureDNS": {"delegationSigned": true},
        "entities": [
            {"roles": ["registrant", "administrative"], "organization": "Example Ltd", "country": "NZ",
             "redacted": ["name", "email"]},
            {"roles": ["technical"], "redacted": ["name"]},
            {"roles": [], "name": "A. Nother", "email": "a@example.net"},
        ],
        "port43": "whois.registrar.example",
    });
    let want = "\
domain            zwölf.example (xn--zwlf-5qa.example)
handle            D1-EXAMPLE
registrar         Example Registrar, Inc. (IANA 9999)
page              https://registrar.example
abuse             abuse@registrar.example, +1.5555550100
created           2001-02-03 04:05:06 UTC
updated           2025-01-01
expires           2027-02-03, in 66 days
transfer          2011-02-03 04:05:06 UTC
status            clientTransferProhibited
status            clientHold
nameserver        a.example.net
nameserver        b.zwlf.example  192.0.2.1, 2001:db8::1
dnssec            signed
registrant/admin  Example Ltd, NZ (hidden: name, email)
tech              hidden: name
contact           A. Nother, a@example.net
whois             whois.registrar.example";
    assert_eq!(plain(&record).unwrap(), want);
}

#[test]
fn networks_and_numbers_show_their_ranges() {
    let network = json!({"objectClassName": "ip network", "handle": "NET-1", "name": "EXAMPLE-NET",
        "startAddress": "192.0.2.0", "endAddress": "192.0.2.255", "country": "NZ"});
    let want = "name     EXAMPLE-NET\nhandle   NET-1\nrange    192.0.2.0 - 192.0.2.255\ncountry  NZ";
    assert_eq!(plain(&network).unwrap(), want);
    let block = json!({"objectClassName": "autnum", "startAutnum": 64496, "endAutnum": 64511});
    assert_eq!(plain(&block).unwrap(), "numbers  AS64496 - AS64511");
    let one = json!({"objectClassName": "autnum", "startAutnum": 64496, "endAutnum": 64496});
    assert_eq!(plain(&one).unwrap(), "numbers  AS64496");
}

#[test]
fn an_expiry_says_how_far_it_is() {
    for (date, want) in [
        ("2026-11-29T12:00:00Z", "2026-11-29 12:00:00 UTC, in less than a day"),
        ("2026-11-30T00:00:00Z", "2026-11-30, in 1 day"),
        ("2026-11-28T12:00:00Z", "2026-11-28 12:00:00 UTC, less than a day ago"),
        ("2026-11-27T12:00:00Z", "2026-11-27 12:00:00 UTC, 1 day ago"),
        ("2025-11-29T00:00:00Z", "2025-11-29, 365 days ago"),
        ("before the epoch", "before the epoch"),
        ("1969-01-01T00:00:00Z", "1969-01-01"),
    ] {
        assert_eq!(dated("expires", date, NOW).0, want);
    }
    assert_eq!(dated("expires", "2026-12-28T00:00:00Z", NOW).1, SOON);
    assert_eq!(dated("expires", "2026-12-29T00:00:00Z", NOW).1, WELL);
}

#[test]
fn a_record_that_says_nothing_but_its_name_is_none() {
    for empty in [json!(null), json!({}), json!({"objectClassName": "domain", "ldhName": "a.example"})] {
        assert_eq!(plain(&empty), None, "{empty}");
    }
}

#[test]
fn strangers_words_stay_on_their_line_and_act_on_nothing() {
    let record = json!({"objectClassName": "domain", "name": "\u{1b}[2Jx\nstatus  ok",
        "status": ["a\u{202e}b", "", 7],
        "entities": [{"roles": ["\u{1b}]0;t\u{7}"], "name": "\r\u{9b}31m"}, "odd"]});
    let want = "\
name             \\u{1b}[2Jx\\u{a}status  ok
status           a\\u{202e}b
\\u{1b}]0;t\\u{7}  \\u{d}\\u{9b}31m";
    assert_eq!(plain(&record).unwrap(), want);
}
