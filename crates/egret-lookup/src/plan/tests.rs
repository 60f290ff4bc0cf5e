use std::time::Instant;

use proptest::prelude::*;

use super::*;

fn service(id: &str, zones: &[&str]) -> Service {
    Service::new(id, Protocol::Whois).unwrap().with_zones(zones).unwrap()
}

fn catalogue() -> Catalogue {
    Catalogue::new(vec![
        service("uk", &["uk"]),
        service("co-uk", &["co.uk"]),
        service("ai", &["ai"]),
        service("rf", &["рф"]),
        service("centralnic", &["uk.com"]),
        service("com-a", &["com"]),
        service("com-b", &["com"]),
        service("any", &[]),
        Service::new("rdap", Protocol::Rdap).unwrap().with_zones(&["zone"]).unwrap(),
        Service::new("api", Protocol::Http).unwrap(),
    ])
    .unwrap()
}

/// Plans and returns the service's id with the question.
#[track_caller]
fn check(kind: Kind, target: &str, service: Option<&str>, want: (&str, &str)) {
    let catalogue = catalogue();
    let step = catalogue.plan(kind, target, service, false).unwrap().first;
    let question = String::from_utf8(step.question).unwrap();
    assert_eq!((step.service.as_str(), question.as_str()), want, "for {target}");
    assert_eq!(step.at, None);
}

#[track_caller]
fn refused(kind: Kind, target: &str, service: Option<&str>, code: &str, words: &str) {
    let error = catalogue().plan(kind, target, service, false).unwrap_err();
    assert_eq!(error.code(), code, "{error}");
    assert!(error.to_string().contains(words), "{error}");
}

#[test]
fn the_longest_zone_on_a_label_border_answers() {
    check(Kind::Domain, "www.example.co.uk", None, ("co-uk", "example.co.uk\r\n"));
    check(Kind::Domain, "www.example.ltd.uk", None, ("uk", "example.ltd.uk\r\n"));
    check(Kind::Domain, "пример.рф", None, ("rf", "xn--e1afmkfd.xn--p1ai\r\n"));
    check(Kind::Domain, "example.ai", None, ("ai", "example.ai\r\n"));
    check(Kind::Domain, "www.example.uk.com", None, ("centralnic", "example.uk.com\r\n"));
    check(Kind::Domain, "ai", None, ("ai", "ai\r\n"));
}

#[test]
fn free_text_finds_its_zone_only_when_it_is_a_name() {
    check(Kind::Whois, "WWW.Example.AI.", None, ("ai", "WWW.Example.AI.\r\n"));
    check(Kind::Whois, "domain example.ai", None, ("any", "domain example.ai\r\n"));
}

#[test]
fn where_no_zone_matches_the_one_service_without_zones_answers() {
    check(Kind::Domain, "example.org", None, ("any", "example.org\r\n"));
    check(Kind::Ip, "192.0.2.1/24", None, ("any", "192.0.2.0/24\r\n"));
    check(Kind::Asn, "3333", None, ("any", "AS3333\r\n"));
    check(Kind::Nameserver, "ns1.example.ai", None, ("any", "ns1.example.ai\r\n"));
    check(Kind::Entity, "ABC-RIPE", None, ("any", "ABC-RIPE\r\n"));
}

#[test]
fn a_service_named_is_asked_whatever_its_zones() {
    check(Kind::Domain, "example.org", Some("ai"), ("ai", "example.org\r\n"));
    check(Kind::Asn, "AS1", Some("uk"), ("uk", "AS1\r\n"));
}

#[test]
fn exact_keeps_all_labels() {
    let step = catalogue().plan(Kind::Domain, "WWW.example.ai", None, true).unwrap().first;
    assert_eq!(
        (step.target.as_str(), step.question.as_slice()),
        ("www.example.ai", &b"www.example.ai\r\n"[..])
    );
}

#[test]
fn an_unknown_service_is_answered_with_the_nearest_names() {
    refused(Kind::Domain, "a.com", Some("co-ku"), "unknown_service", "did you mean `co-uk`");
    refused(Kind::Domain, "a.com", Some("nothing\nlike it"), "unknown_service", "`nothing\\nlike it`");
}

#[test]
fn two_services_for_one_zone_must_be_told_apart_by_name() {
    refused(Kind::Domain, "example.com", None, "unknown_service", "`com-a`, `com-b`");
    check(Kind::Domain, "example.com", Some("com-b"), ("com-b", "example.com\r\n"));
    let two = Catalogue::new(vec![service("a", &[]), service("b", &[])]).unwrap();
    let said = two.plan(Kind::Ip, "192.0.2.1", None, false).unwrap_err().to_string();
    assert!(said.contains("`a`, `b`"), "{said}");
}

#[test]
fn what_nobody_answers_is_unsupported() {
    let only_ai = Catalogue::new(vec![service("ai", &["ai"])]).unwrap();
    for (kind, target) in [(Kind::Domain, "a.org"), (Kind::Ip, "192.0.2.1"), (Kind::Nameserver, "ns.a.ai")] {
        let error = only_ai.plan(kind, target, None, false).unwrap_err();
        assert_eq!(error.code(), "unsupported_lookup", "{error}");
    }
    refused(Kind::Rdap, "example.com", None, "unsupported_lookup", "no rdap service");
    refused(Kind::Domain, "example.com", Some("api"), "unsupported_lookup", "speaks http");
}

#[test]
fn an_http_lookup_asks_the_service_it_names_for_a_path() {
    check(Kind::Http, "/users/7?full=1", Some("api"), ("api", "/users/7?full=1"));
    let exact = catalogue().plan(Kind::Http, "/a", Some("api"), true).unwrap().first;
    assert_eq!((exact.target.as_str(), exact.question.as_slice()), ("/a", &b"/a"[..]));
    refused(Kind::Http, "/a", None, "unknown_service", "needs `service`; name one of: `api`");
    refused(Kind::Http, "/a", Some("apy"), "unknown_service", "did you mean");
    refused(Kind::Http, "/a", Some("any"), "unsupported_lookup", "speaks whois");
    refused(Kind::Domain, "a.com", Some("api"), "unsupported_lookup", "name one that speaks whois or rdap");
    refused(Kind::Http, "a", Some("api"), "invalid_target", "write it as /path?query");
    let only_whois = Catalogue::new(vec![service("any", &[])]).unwrap();
    let error = only_whois.plan(Kind::Http, "/a", None, false).unwrap_err();
    assert_eq!(error.code(), "unsupported_lookup", "{error}");
}

#[test]
fn a_bad_target_is_refused_before_anything_is_asked() {
    refused(Kind::Domain, "a.com\r\nquit", Some("any"), "invalid_target", "U+000D");
    let latin = service("latin", &[]).with_charset("iso-8859-1").unwrap();
    let latin = Catalogue::new(vec![latin]).unwrap();
    let said = latin.plan(Kind::Whois, "мир", None, false).unwrap_err().to_string();
    assert!(said.contains("windows-1252"), "{said}");
    assert_eq!(latin.plan(Kind::Whois, "Müller", None, false).unwrap().first.question, b"M\xfcller\r\n");
}

/// Plans by the table alone: service, where, question, of each step.
#[track_caller]
fn world(kind: Kind, target: &str, want: &[(&str, &str, &str)]) {
    let catalogue = Catalogue::with_table(Vec::new(), Some(Arc::new(table()))).unwrap();
    let steps = catalogue.plan(kind, target, None, false).unwrap_or_else(|error| panic!("{target}: {error}"));
    let steps: Vec<Step> = [Some(steps.first), steps.next].into_iter().flatten().collect();
    let got: Vec<(&str, &str, &str)> = steps
        .iter()
        .map(|step| {
            (&*step.service, step.at.as_deref().unwrap(), std::str::from_utf8(&step.question).unwrap())
        })
        .collect();
    assert_eq!(got, want, "for {target}");
}

fn table() -> Table {
    let empty = crate::known::Bootstrap::parse(
        r#"{"services": [[["com"], ["https://rdap.verisign.com/com/v1/"]]]}"#,
        r#"{"services": [[["192.0.0.0/8"], ["https://rdap.arin.net/registry/"]]]}"#,
        r#"{"services": [[["2001::/16"], ["https://rdap.apnic.net/"]]]}"#,
        r#"{"services": [[["3000-4000"], ["https://rdap.db.ripe.net/"]]]}"#,
    );
    Table::with_bootstrap(&empty.unwrap())
}

#[test]
fn what_no_configured_service_answers_the_table_does_rdap_first() {
    world(
        Kind::Domain,
        "www.Example.com",
        &[
            ("rdap.verisign.com", "https://rdap.verisign.com/com/v1/", "/com/v1/domain/example.com"),
            ("whois.verisign-grs.com", "whois.verisign-grs.com:43", "domain example.com\r\n"),
        ],
    );
    world(
        Kind::Asn,
        "3333",
        &[
            ("rdap.db.ripe.net", "https://rdap.db.ripe.net/", "/autnum/3333"),
            ("whois.ripe.net", "whois.ripe.net:43", "-r -B AS3333\r\n"),
        ],
    );
    world(
        Kind::Ip,
        "2002:c000:0207::1",
        &[
            ("rdap.arin.net", "https://rdap.arin.net/registry/", "/registry/ip/192.0.2.7"),
            ("whois.arin.net", "whois.arin.net:43", "n + 192.0.2.7\r\n"),
        ],
    );
    world(Kind::Entity, "ABC-RIPE", &[("rdap.db.ripe.net", "https://rdap.db.ripe.net/", "/entity/ABC-RIPE")]);
    world(
        Kind::Nameserver,
        "ns1.example.com",
        &[("rdap.verisign.com", "https://rdap.verisign.com/com/v1/", "/com/v1/nameserver/ns1.example.com")],
    );
    world(Kind::Whois, "192.0.2.1", &[("whois.arin.net", "whois.arin.net:43", "n + 192.0.2.1\r\n")]);
    world(Kind::Rdap, "AS3333", &[("rdap.db.ripe.net", "https://rdap.db.ripe.net/", "/autnum/3333")]);
}

#[test]
fn a_configured_service_is_asked_in_place_of_what_the_table_says_of_its_id() {
    let own = service("whois.verisign-grs.com", &[]).with_template("={q}").unwrap();
    let catalogue = Catalogue::with_table(vec![own], Some(Arc::new(table()))).unwrap();
    let steps = catalogue.plan(Kind::Domain, "example.com", None, false).unwrap();
    assert_eq!(steps.first.service, "rdap.verisign.com");
    let next = steps.next.unwrap();
    assert_eq!((next.at, next.question.as_slice()), (None, &b"=example.com\r\n"[..]));
    // A zone of one's own is asked alone.
    let own = service("own", &["com"]);
    let catalogue = Catalogue::with_table(vec![own], Some(Arc::new(table()))).unwrap();
    let steps = catalogue.plan(Kind::Domain, "example.com", None, false).unwrap();
    assert_eq!((&*steps.first.service, steps.next), ("own", None));
}

#[test]
fn a_server_of_the_table_may_be_named() {
    let catalogue = Catalogue::with_table(Vec::new(), Some(Arc::new(table()))).unwrap();
    for id in ["whois.verisign-grs.com", "rdap.verisign.com"] {
        let steps = catalogue.plan(Kind::Domain, "example.com", Some(id), false).unwrap();
        assert_eq!((&*steps.first.service, steps.next), (id, None));
    }
    let error = catalogue.plan(Kind::Whois, "example.com", Some("rdap.verisign.com"), false).unwrap_err();
    assert_eq!(error.code(), "unsupported_lookup");
}

/// A table in which IANA's file of zones has just this.
fn newer(zone: &str, base: &str) -> Arc<Table> {
    let mut bootstrap = crate::known::Bootstrap::default();
    let text = format!(r#"{{"services": [[["{zone}"], ["{base}"]]]}}"#);
    bootstrap.read(crate::known::BootstrapFile::Dns, &text).unwrap();
    Arc::new(Table::with_bootstrap(&bootstrap))
}

#[test]
fn a_newer_table_decides_and_what_was_planned_before_can_still_be_asked() {
    let old = Catalogue::with_table(Vec::new(), Some(Arc::new(table()))).unwrap();
    let new = old.with_newer_table(newer("com", "https://rdap.arin.net/com/"));
    let first = |service| new.plan(Kind::Domain, "example.com", service, false).unwrap().first;
    let at = |service| first(service).at.unwrap();
    assert_eq!(at(None), "https://rdap.arin.net/com/");
    // Gone from the newer table, and known to both but for other things.
    assert_eq!(at(Some("rdap.verisign.com")), "https://rdap.verisign.com/com/v1/");
    let back = new.with_newer_table(newer("net", "https://rdap.verisign.com/net/v1/"));
    let steps = back.plan(Kind::Domain, "example.com", Some("rdap.verisign.com"), false).unwrap();
    assert_eq!(steps.first.question, b"/com/v1/domain/example.com");
}

#[test]
fn services_without_zones_mean_what_they_meant_whatever_a_newer_table_knows() {
    let services = vec![service("rdap.new.example", &[]), service("whois.verisign-grs.com", &[])];
    let old = Catalogue::with_table(services, Some(Arc::new(table()))).unwrap();
    let new = old.with_newer_table(newer("new", "https://rdap.new.example/"));
    for catalogue in [&old, &new] {
        let steps = catalogue.plan(Kind::Domain, "example.org", None, false).unwrap();
        assert_eq!((&*steps.first.service, steps.next), ("rdap.new.example", None));
    }
}

#[test]
fn what_nobody_knows_or_may_ask_says_why() {
    let catalogue = Catalogue::with_table(Vec::new(), Some(Arc::new(table()))).unwrap();
    for (kind, target, words) in [
        (Kind::Domain, "example.nosuchtld", "not in IANA's root zone"),
        (Kind::Ip, "10.0.0.1", "handed it to no registry"),
        (Kind::Domain, "example.es", "registered clients only"),
        (Kind::Entity, "ABC", "-ARIN or -RIPE"),
        (Kind::Domain, "com", "names are registered below it"),
        (Kind::Domain, "co.uk", "names are registered below it"),
        (Kind::Rdap, "what is this", "name a `service`"),
    ] {
        let said = catalogue.plan(kind, target, None, false).unwrap_err().to_string();
        assert!(said.contains(words), "{target}: {said}");
    }
}

#[test]
fn an_id_is_given_once() {
    let error = Catalogue::new(vec![service("a", &[]), service("a", &["com"])]).unwrap_err();
    assert_eq!(error, ServiceError::Twice { id: "a".to_owned() });
}

/// `cargo test -p egret-lookup --release -- --ignored --nocapture plan_takes`
#[test]
#[ignore = "a measurement, not a claim"]
#[allow(clippy::disallowed_methods)]
fn plan_takes() {
    let zones: Vec<String> = (0..1_500).map(|n| format!("zone{n}")).collect();
    let services = zones.iter().map(|zone| service(&format!("whois.nic.{zone}"), &[zone])).collect();
    let catalogue = Catalogue::new(services).unwrap();
    for (what, name) in [("bare", "example.zone777"), ("deep", "www.shop.Example.zone777")] {
        let start = Instant::now();
        for _ in 0..1_000_000 {
            std::hint::black_box(
                catalogue.plan(Kind::Domain, std::hint::black_box(name), None, false).unwrap(),
            );
        }
        println!("{what}: {:?} a plan", start.elapsed() / 1_000_000);
    }
    let catalogue = Catalogue::with_table(Vec::new(), Some(Arc::new(table()))).unwrap();
    for (kind, target) in
        [(Kind::Domain, "www.shop.Example.co.uk"), (Kind::Domain, "example.com"), (Kind::Ip, "192.0.2.1")]
    {
        let start = Instant::now();
        for _ in 0..1_000_000 {
            std::hint::black_box(catalogue.plan(kind, std::hint::black_box(target), None, false).unwrap());
        }
        println!("by the table, {target}: {:?} a plan", start.elapsed() / 1_000_000);
    }
}

/// The zone a careful reader would pick, by trying them all.
fn naive_zone<'a>(services: &'a [Service], name: &str) -> Option<&'a str> {
    let holds = |zone: &&str| name == *zone || name.ends_with(&format!(".{zone}"));
    services.iter().flat_map(|s| s.zones()).map(String::as_str).filter(holds).max_by_key(|zone| zone.len())
}

proptest! {
    #[test]
    fn the_zone_found_is_the_one_a_scan_finds(
        zones in proptest::collection::vec("[ab]{1,2}(\\.[ab]{1,2}){0,2}", 1..12),
        name in "[ab]{1,3}(\\.[ab]{1,2}){0,4}",
    ) {
        let services: Vec<Service> =
            zones.iter().enumerate().map(|(n, zone)| service(&format!("s{n}"), &[zone])).collect();
        let catalogue = Catalogue::new(services).unwrap();
        let target = Target::parse(Kind::Domain, &name).unwrap();
        let found = catalogue.zone_of(&target).map(|(bytes, _)| bytes);
        prop_assert_eq!(found, naive_zone(catalogue.services(), &name).map(str::len));
        if let Some((_, services)) = catalogue.zone_of(&target) {
            let zone = naive_zone(catalogue.services(), &name).unwrap().to_owned();
            prop_assert!(services.iter().all(|&s| catalogue.services()[s].zones() == [zone.clone()]));
        }
    }

    #[test]
    fn the_question_is_the_template_with_the_target_and_one_line_end(
        before in "[ -z|~]{0,20}",
        after in "[ -z|~]{0,20}",
        target in any::<String>(),
        kind in proptest::sample::select(&Kind::ALL[..]),
        charset in proptest::sample::select(&["auto", "iso-8859-1", "iso-2022-jp", "gb18030", "utf-8"][..]),
    ) {
        let template = format!("{before}{{q}}{after}");
        let asked = service("s", &[]).with_template(&template).unwrap().with_charset(charset).unwrap();
        let catalogue = Catalogue::new(vec![asked]).unwrap();
        if let Ok(step) = catalogue.plan(kind, &target, Some("s"), false).map(|steps| steps.first) {
            let line = step.question.strip_suffix(b"\r\n").unwrap();
            prop_assert!(!line.iter().any(|&b| b < b' ' || b == 0x7f));
            let text = format!("{before}{}{after}", step.target);
            match catalogue.services()[0].charset() {
                crate::Charset::Named(named) => prop_assert_eq!(&named.decode(line).0, &text),
                crate::Charset::Auto => prop_assert_eq!(line, text.as_bytes()),
            }
        }
    }
}
