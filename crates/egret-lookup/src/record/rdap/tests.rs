use super::*;

const DOMAIN: &str = r#"{
  "objectClassName": "domain", "handle": "1_DOMAIN-TEST", "ldhName": "EXAMPLE.TEST.", "lang": "en",
  "status": ["client transfer prohibited", "active"],
  "events": [
    {"eventAction": "registration", "eventDate": "1995-08-14T04:00:00Z"},
    {"eventAction": "expiration", "eventDate": "2030-08-13T04:00:00.0+02:00"},
    {"eventAction": "last changed", "eventDate": null}
  ],
  "nameservers": [
    {"objectClassName": "nameserver", "ldhName": "A.NS.TEST", "ipAddresses": {"v4": ["192.0.2.1"], "v6": ["2001:db8::1"]}},
    {"objectClassName": "nameserver", "ldhName": null}
  ],
  "secureDNS": {"delegationSigned": false},
  "links": [
    {"rel": "related", "type": "text/html", "href": "https://www.test/"},
    {"rel": "related", "type": "application/rdap+json", "href": "https://rdap.registrar.test/domain/EXAMPLE.TEST"}
  ],
  "entities": [
    {"objectClassName": "entity", "handle": "292", "roles": ["registrar"],
     "publicIds": [{"type": "IANA Registrar ID", "identifier": "292"}],
     "vcardArray": ["vcard", [["version", {}, "text", "4.0"], ["fn", {}, "text", "Example Registrar, Inc."]]],
     "entities": [{"roles": ["abuse"], "vcardArray": ["vcard", [
        ["fn", {}, "text", ""], ["tel", {"type": "voice"}, "uri", "tel:+1.5550100"], ["email", {}, "text", "abuse@registrar.test"]]]}]},
    {"objectClassName": "entity", "handle": "H1", "roles": ["registrant"],
     "vcardArray": ["vcard", [["fn", {}, "text", "REDACTED FOR PRIVACY"], ["org", {}, "text", "Example Widgets"],
        ["adr", {"cc": "DE"}, "text", ["", "", ["1 Road", "Floor 2"], "Town", "", "10115", ""]]]]}
  ],
  "redacted": [{"name": {"description": "Registrant Email"}, "method": "removal"}]
}"#;

#[test]
fn a_domain_gives_the_record_that_whois_would() {
    let (record, related) = read_rdap(DOMAIN.as_bytes()).unwrap();
    assert_eq!(related.as_deref(), Some("https://rdap.registrar.test/domain/EXAMPLE.TEST"));
    assert_eq!(
        serde_json::to_value(&record).unwrap(),
        serde_json::json!({
            "objectClassName": "domain", "handle": "1_DOMAIN-TEST", "ldhName": "example.test",
            "status": ["clientTransferProhibited", "ok"],
            "events": [
                {"eventAction": "registration", "eventDate": "1995-08-14T04:00:00Z"},
                {"eventAction": "expiration", "eventDate": "2030-08-13T02:00:00Z"},
            ],
            "nameservers": [{"ldhName": "a.ns.test", "ipAddresses": ["192.0.2.1", "2001:db8::1"]}],
            "registrar": {"name": "Example Registrar, Inc.", "ianaId": 292,
                          "abuseEmail": "abuse@registrar.test", "abusePhone": "+1.5550100"},
            "secureDNS": {"delegationSigned": false},
            "entities": [{"roles": ["registrant"], "handle": "H1", "organization": "Example Widgets",
                          "address": "1 Road, Floor 2, Town, 10115", "country": "DE",
                          "redacted": ["name", "email"]}],
        })
    );
}

#[test]
fn a_broken_card_costs_that_card_and_nothing_else() {
    for card in
        [r#"["vcard", {"fn": "x"}]"#, r#"[["fn"]]"#, r#""vcard""#, "null", r#"["vcard", [["fn", [], 1]]]"#]
    {
        let body = format!(
            r#"{{"objectClassName":"domain","ldhName":"a.test","entities":[{{"roles":["registrant"],"vcardArray":{card}}}]}}"#
        );
        let (record, _) = read_rdap(body.as_bytes()).unwrap();
        assert_eq!((record.ldh_name.as_deref(), record.entities.len()), (Some("a.test"), 1), "{card}");
    }
}

#[test]
fn networks_and_numbers_have_their_ranges() {
    let network = br#"{"objectClassName":"ip network","handle":"NET-1","startAddress":"192.0.2.0","endAddress":"192.0.2.255","name":"TEST-NET","country":"ZZ"}"#;
    let (record, _) = read_rdap(network).unwrap();
    assert_eq!(record.object_class_name, Class::Network);
    assert_eq!(record.end_address, Some("192.0.2.255".parse().unwrap()));
    let (record, _) = read_rdap(br#"{"startAutnum":64496,"endAutnum":"64511","name":"DOC"}"#).unwrap();
    assert_eq!(
        (record.object_class_name, record.start_autnum, record.end_autnum),
        (Class::Autnum, Some(64496), Some(64511))
    );
}

#[test]
fn what_is_no_object_says_why() {
    let error = read_rdap(br#"{"errorCode": 404, "title": "Not Found"}"#).unwrap_err();
    assert_eq!(error.to_string(), "the server answers error 404: Not Found");
    assert_eq!(read_rdap(br#"{"notices": []}"#).unwrap_err(), RdapError::NoObject);
    for body in [&b""[..], b"<html>", b"{", b"\xff", &b"[".repeat(100_000)] {
        assert!(matches!(read_rdap(body), Err(RdapError::Json(_))), "{body:.20?}");
    }
    assert_eq!(read_rdap(b"[]").unwrap_err(), RdapError::NoObject);
}

#[test]
fn entities_in_entities_end_somewhere() {
    let mut body = "{}".to_owned();
    for _ in 0..40 {
        body = format!(r#"{{"handle":"X","roles":["registrant"],"entities":[{body},{body}]}}"#);
        if body.len() > 1 << 20 {
            break;
        }
    }
    let (record, _) = read_rdap(body.as_bytes()).unwrap();
    assert!(record.entities.len() <= ENTITIES_MAX);
}

#[test]
fn statuses_and_events_without_end_are_cut() {
    let statuses: Vec<String> =
        (0..200).map(|n| format!(r#""ok,a{n},b{n}""#)).chain([r#""a0""#.to_owned()]).collect();
    let events: Vec<String> =
        (0..200).map(|n| format!(r#"{{"eventAction": "a{n}", "eventDate": "2001-02-03"}}"#)).collect();
    let (statuses, events) = (statuses.join(","), events.join(","));
    let json = format!(r#"{{"ldhName": "a.test", "status": [{statuses}], "events": [{events}]}}"#);
    let (record, _) = read_rdap(json.as_bytes()).unwrap();
    assert_eq!((record.status.len(), record.events.len()), (64, 64));
    assert_eq!(record.status[..3], ["ok", "a0", "b0"]);
}

#[test]
fn a_contact_is_as_long_as_a_contact() {
    let parts = vec![r#""0123456789""#; 250].join(",");
    let card = format!(
        r#"["vcard", [["org", {{}}, "text", [{parts}]], ["adr", {{}}, "text", [[{parts}], [{parts}]]]]]"#
    );
    let json = format!(r#"{{"handle": "A", "entities": [{{"roles": [{parts}], "vcardArray": {card}}}]}}"#);
    let (record, _) = read_rdap(json.as_bytes()).unwrap();
    let contact = &record.entities[0];
    assert_eq!(contact.roles.len(), ROLES_MAX);
    for text in [&contact.organization, &contact.address] {
        let text = text.as_deref().unwrap();
        assert!(text.starts_with("0123456789, 0123456789, ") && text.len() <= 1_024, "{text:?}");
    }
}

#[test]
fn a_link_is_one_line_with_a_scheme() {
    let related = |href: &str| {
        let link = serde_json::json!({"rel": "related", "type": "application/rdap+json", "href": href});
        let body = serde_json::json!({"ldhName": "a.test", "links": [{"href": 1}, link]});
        read_rdap(body.to_string().as_bytes()).unwrap().1
    };
    let good = "https://rdap.registrar.test/domain/a.test";
    assert_eq!(related(good).as_deref(), Some(good));
    for bad in
        ["https://a.test/\r\nHost: b.test", "https://a.test/ b", "https://a.test/\u{7f}", "file:///etc", ""]
    {
        assert_eq!(related(bad), None, "{bad:?}");
    }
}
