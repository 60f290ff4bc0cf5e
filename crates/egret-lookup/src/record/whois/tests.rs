use super::*;
use crate::record::LIST_MAX;

/// Reads `text` as the answer about `asked` and compares the record's JSON.
#[track_caller]
fn check(asked: &str, text: &str, want: &serde_json::Value) {
    assert_eq!(serde_json::to_value(read_whois(text, asked)).unwrap(), *want, "{text}");
}

#[test]
fn a_registry_of_generic_domains() {
    check(
        "example.test",
        "   Domain Name: EXAMPLE.TEST\r\n   Registry Domain ID: 1_DOMAIN-TEST\r\n   Registrar WHOIS Server: whois.registrar.test\r\n\
         Updated Date: 2024-08-14T07:01:34Z\r\n   Creation Date: 1995-08-14T04:00:00Z\r\n   Registry Expiry Date: 2030-08-13T04:00:00Z\r\n\
         Registrar: Example Registrar, Inc.\r\n   Registrar IANA ID: 292\r\n   Registrar Abuse Contact Email: abuse@registrar.test\r\n\
         Registrar Abuse Contact Phone: +1.5550100\r\n\
         Domain Status: clientTransferProhibited https://icann.org/epp#clientTransferProhibited\r\n\
         Registrant Name: REDACTED FOR PRIVACY\r\nRegistrant Organization: Example Widgets\r\nRegistrant Street: 1 Road\r\n\
         Registrant City: Town\r\nRegistrant Country: DE\r\nRegistrant Fax:\r\n\
         Name Server: A.NS.TEST\r\n   Name Server: B.NS.TEST\r\n   DNSSEC: unsigned\r\n\
         >>> Last update of whois database: 2026-01-01T00:00:00Z <<<\r\n\r\nBy submitting a query you agree.\r\n",
        &serde_json::json!({
            "objectClassName": "domain", "handle": "1_DOMAIN-TEST", "ldhName": "example.test",
            "status": ["clientTransferProhibited"],
            "events": [
                {"eventAction": "last changed", "eventDate": "2024-08-14T07:01:34Z"},
                {"eventAction": "registration", "eventDate": "1995-08-14T04:00:00Z"},
                {"eventAction": "expiration", "eventDate": "2030-08-13T04:00:00Z"},
            ],
            "nameservers": [{"ldhName": "a.ns.test"}, {"ldhName": "b.ns.test"}],
            "registrar": {"name": "Example Registrar, Inc.", "ianaId": 292,
                          "abuseEmail": "abuse@registrar.test", "abusePhone": "+1.5550100"},
            "secureDNS": {"delegationSigned": false},
            "entities": [{"roles": ["registrant"], "organization": "Example Widgets", "address": "1 Road, Town",
                          "country": "DE", "redacted": ["name"]}],
            "port43": "whois.registrar.test",
        }),
    );
}

#[test]
fn headings_with_what_they_head_below() {
    check(
        "example.test",
        "    Domain name:\n        example.test\n\n    Registrant:\n        A Person\n\n    Registrar:\n        Example Ltd [Tag = EXAMPLE]\n\
         \x20       URL: https://registrar.test\n\n    Relevant dates:\n        Registered on: 16-Sep-2010\n        Expiry date:  16-Sep-2030\n\n\
         \x20   Name servers:\n        a.ns.test  192.0.2.1\n        b.ns.test\n\n    WHOIS lookup made at 13:23:18 01-Oct-2012\n",
        &serde_json::json!({
            "objectClassName": "domain", "ldhName": "example.test",
            "events": [
                {"eventAction": "registration", "eventDate": "2010-09-16T00:00:00Z"},
                {"eventAction": "expiration", "eventDate": "2030-09-16T00:00:00Z"},
            ],
            "nameservers": [{"ldhName": "a.ns.test", "ipAddresses": ["192.0.2.1"]}, {"ldhName": "b.ns.test"}],
            "registrar": {"name": "Example Ltd", "url": "https://registrar.test"},
            "entities": [{"roles": ["registrant"], "name": "A Person"}],
        }),
    );
}

#[test]
fn objects_that_refer_to_each_other_by_handle() {
    check(
        "example.test",
        "% terms: none\n\ndomain:       example.test\nregistrant:   C-1\nadmin-c:      C-1\nnsset:        N-1\nregistrar:    REG-ONE\n\
         registered:   27.07.2009 11:09:55\nchanged:      18.05.2011 12:23:11\nexpire:       27.07.2030\n\n\
         contact:      C-1\norg:          Example Widgets\nname:         A Person\ne-mail:       a@example.test\nregistrar:    REG-TWO\n\
         created:      18.05.2001 12:22:33\n\nnsset:        N-1\nnserver:      a.ns.test (192.0.2.1)\nchanged:      01.01.2020 00:00:00\n",
        &serde_json::json!({
            "objectClassName": "domain", "ldhName": "example.test",
            "events": [
                {"eventAction": "registration", "eventDate": "2009-07-27T11:09:55Z"},
                {"eventAction": "last changed", "eventDate": "2011-05-18T12:23:11Z"},
                {"eventAction": "expiration", "eventDate": "2030-07-27T00:00:00Z"},
            ],
            "nameservers": [{"ldhName": "a.ns.test", "ipAddresses": ["192.0.2.1"]}],
            "registrar": {"name": "REG-ONE"},
            "entities": [{"roles": ["registrant", "administrative"], "handle": "C-1", "name": "A Person",
                          "organization": "Example Widgets", "email": "a@example.test"}],
        }),
    );
}

#[test]
fn dates_of_what_is_not_the_domain_do_not_count() {
    let text = "Domain:\nname:       example.test\nstatus:     ok (paid and in zone)\nchanged:    2019-12-13 18:50:04 +02:00\n\n\
                Registrar:\nname:       Example OY\nchanged:    2020-07-01 13:55:58 +03:00\n\n\
                Name servers:\nnserver:   a.ns.test\nchanged:   2022-01-01 00:00:00 +02:00\n";
    let record = read_whois(text, "example.test");
    assert_eq!(record.event("last changed"), Some("2019-12-13T16:50:04Z"));
    assert_eq!(record.registrar.unwrap().name.as_deref(), Some("Example OY"));
    assert_eq!(record.status, ["ok"]);
}

#[test]
fn namesakes_before_the_name_asked_for_are_passed_over() {
    let text = "   Server Name: EXAMPLE.TEST.IS.A.JOKE.TEST\n   IP Address: 192.0.2.66\n   Registrar: Jokes Inc.\n\n\
                Domain Name: EXAMPLE.TEST.OTHER\n   Creation Date: 01-jan-1999\n\n   Domain Name: EXAMPLE.TEST\n   Registrar: Example Registrar\n   Creation Date: 14-aug-1995\n";
    let record = read_whois(text, "example.test");
    assert_eq!(record.registrar.as_ref().unwrap().name.as_deref(), Some("Example Registrar"));
    assert_eq!(record.event("registration"), Some("1995-08-14T00:00:00Z"));
}

#[test]
fn brackets_as_keys_and_the_habits_of_single_registries() {
    let text = "Domain Information:\n[Domain Name]                   EXAMPLE.JP\n\n[Name Server]                   a.ns.test\n\
                [Signing Key]                   \n[Created on]                    2001/03/22\n\
                [Status]                        Active (2030/03/31)\n[Last Updated]                  2024/04/01 01:05:22 (JST)\n";
    let record = read_whois(text, "example.jp");
    assert_eq!((record.status, record.secure_dns), (vec!["Active".to_owned()], None));
    let mut events: Vec<&str> = record.events.iter().map(|event| event.event_date.as_str()).collect();
    events.sort_unstable();
    assert_eq!(events, ["2001-03-22T00:00:00Z", "2024-03-31T16:05:22Z", "2030-03-31T00:00:00Z"]);
}

#[test]
fn networks_and_numbers() {
    check(
        "192.0.2.7",
        "inetnum:        192.0.2.0 - 192.0.2.255\nnetname:        TEST-NET\ncountry:        ZZ\nadmin-c:        P1-TEST\n\
         created:        2001-01-02T03:04:05Z\n\nperson:         A Person\nnic-hdl:        P1-TEST\nphone:          +1 555 0100\n",
        &serde_json::json!({
            "objectClassName": "ip network", "name": "TEST-NET", "country": "ZZ",
            "startAddress": "192.0.2.0", "endAddress": "192.0.2.255",
            "events": [{"eventAction": "registration", "eventDate": "2001-01-02T03:04:05Z"}],
            "entities": [{"roles": ["administrative"], "handle": "P1-TEST", "name": "A Person", "phone": "+1 555 0100"}],
        }),
    );
    let record = read_whois(
        "aut-num: AS64496\norg: ORG-1\n\norganisation: ORG-1\norg-name: Example Widgets\n",
        "AS64496",
    );
    assert_eq!(record.entities[0].organization.as_deref(), Some("Example Widgets"));
    let record = read_whois("NetRange: 192.0.2.0/24\n", "192.0.2.0/25");
    assert_eq!(record.end_address, Some("192.0.2.255".parse().unwrap()));
    let record = read_whois("aut-num:  AS64496\nas-name:  DOC\n", "AS64496");
    assert_eq!(
        (record.object_class_name, record.start_autnum, record.end_autnum),
        (Class::Autnum, Some(64496), Some(64496))
    );
}

#[test]
fn prose_gives_an_empty_record() {
    let record = read_whois(
        "By submitting this query, you agree: to abide by these terms.\nNo match for that.\n",
        "example.test",
    );
    assert_eq!(record, Record::default());
}

proptest::proptest! {
    /// Whatever a server sends, reading ends, and nothing unbounded is kept.
    #[test]
    fn any_text_is_read(text in "(([A-Za-z ]{0,12}[:\\[\\]]?[ \t]{0,3})?([^\0]{0,40}|[0-9./: -]{0,20}|[a-z0-9.-]{0,20})\r?\n){0,60}", asked in "[a-z.]{0,12}") {
        let record = read_whois(&text, &asked);
        proptest::prop_assert!(record.nameservers.len() <= LIST_MAX && record.status.len() <= LIST_MAX);
    }
}
