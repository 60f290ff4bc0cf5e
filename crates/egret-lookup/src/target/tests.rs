use super::*;
use proptest::prelude::*;

/// Parses and, for a domain, cuts down to the registrable name.
#[track_caller]
fn check(kind: Kind, cases: &[(&str, &str)]) {
    for (input, want) in cases {
        let target = Target::parse(kind, input).unwrap_or_else(|error| panic!("{input:?}: {error}"));
        let target = if kind == Kind::Domain { target.registrable(0) } else { target };
        assert_eq!(target.as_str(), *want, "for {input:?}");
    }
}

#[track_caller]
fn refused(kind: Kind, cases: &[(&str, &str)]) {
    for (input, word) in cases {
        let said = Target::parse(kind, input).expect_err(input).to_string();
        assert!(said.contains(word), "{input:?} said: {said}");
        assert!(!said.chars().any(char::is_control) && said.len() < 400, "{said:?}");
    }
}

#[test]
fn kinds_are_the_words_of_the_api() {
    for kind in Kind::ALL {
        assert_eq!(kind.as_str().parse(), Ok(kind));
    }
    let said = "Domain".parse::<Kind>().unwrap_err().to_string();
    assert!(said.contains("`Domain`") && said.contains("nameserver"), "{said}");
}

#[test]
fn a_domain_is_reduced_to_the_registrable_name_in_a_labels() {
    check(
        Kind::Domain,
        &[
            ("example.com", "example.com"),
            ("  WWW.Example.COM.\t", "example.com"),
            ("a.b.example.co.uk", "example.co.uk"),
            ("www.Bücher.de", "xn--bcher-kva.de"),
            ("пример.рф", "xn--e1afmkfd.xn--p1ai"),
            ("例え。jp", "xn--r8jz45g.jp"),
            ("www.faß.de", "xn--fa-hia.de"),
            ("com", "com"),
            ("co.uk", "co.uk"),
            ("a.b.unknown-tld", "b.unknown-tld"),
            ("_dmarc.example.org", "example.org"),
            ("www.xn--a.com", "xn--a.com"),
        ],
    );
}

#[test]
fn urls_and_mail_addresses_are_reduced_to_their_host() {
    check(
        Kind::Domain,
        &[
            ("https://www.example.co.uk/path?q=a.b#c.d", "example.co.uk"),
            ("http://user:pa@ss@shop.example.com:8443/", "example.com"),
            ("//cdn.example.net/x", "example.net"),
            ("example.org/about", "example.org"),
            ("example.org:443", "example.org"),
            ("example.org?x", "example.org"),
            ("Joe.Bloggs@mail.example.com", "example.com"),
            ("mailto:joe@example.com?subject=x", "example.com"),
            ("https://bücher.example/ü", "xn--bcher-kva.example"),
        ],
    );
}

#[test]
fn a_private_suffix_is_somebodys_registered_domain() {
    check(
        Kind::Domain,
        &[
            ("user.github.io", "github.io"),
            ("blog.blogspot.co.uk", "blogspot.co.uk"),
            ("bucket.s3.dualstack.eu-west-1.amazonaws.com", "amazonaws.com"),
            ("example.uk.com", "uk.com"),
        ],
    );
}

#[test]
fn a_zone_below_the_suffix_moves_the_border() {
    let name = |text: &str, zone: &str| {
        Target::parse(Kind::Domain, text).unwrap().registrable(zone.len()).into_string()
    };
    assert_eq!(name("www.example.uk.com", "uk.com"), "example.uk.com");
    assert_eq!(name("uk.com", "uk.com"), "uk.com");
    assert_eq!(name("www.example.co.uk", "uk"), "example.co.uk");
}

#[test]
fn a_zone_longer_than_the_name_cuts_nothing() {
    let target = Target::parse(Kind::Domain, "www.example.com").unwrap();
    for zone in [15, 16, usize::MAX] {
        assert_eq!(target.clone().registrable(zone), target);
    }
}

#[test]
fn what_is_no_name_is_refused_with_the_mend() {
    let long_label = format!("{}.com", "a".repeat(64));
    let long_name = format!("{}com", "a.".repeat(126));
    refused(
        Kind::Domain,
        &[
            ("", "empty"),
            (" \t ", "empty"),
            (".", "no label"),
            ("https:///path", "no label"),
            ("exa mple.com", "only letters"),
            ("*.example.com", "only letters"),
            ("a..com", "remove a dot"),
            ("-a.com", "starts or ends"),
            ("a-.com", "starts or ends"),
            (&long_label, "label is 64 bytes"),
            (&long_name, "name is 255 bytes"),
            (&"ü".repeat(254), "name is 508 bytes"),
            ("192.0.2.1", "look it up as `ip`"),
            ("http://192.0.2.1:80/", "look it up as `ip`"),
            ("http://[2001:db8::1]/", "look it up as `ip`"),
            ("2001:db8::1", "look it up as `ip`"),
            ("3333", "`asn`"),
            ("a.com\r\nb", "U+000D"),
            ("a\0.com", "U+0000"),
            ("a\u{85}.com", "U+0085"),
            ("a\u{7f}.com", "U+007F"),
            ("ex\u{202e}ample.com", "UTS 46"),
        ],
    );
}

#[test]
fn addresses_and_networks_have_one_form() {
    check(
        Kind::Ip,
        &[
            ("192.0.2.1", "192.0.2.1"),
            ("2001:DB8:0:0::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("192.0.2.77/24", "192.0.2.0/24"),
            ("192.0.2.77/0", "0.0.0.0/0"),
            ("192.0.2.77/32", "192.0.2.77"),
            ("2001:db8:ffff::/32", "2001:db8::/32"),
        ],
    );
    let bad =
        ["192.0.2", "192.0.2.1/33", "192.0.2.1/-1", "192.0.2.1/+8", "192.0.2.1/08", "fe80::1%eth0", "::/129"];
    refused(Kind::Ip, &bad.map(|input| (input, "192.0.2.0/24")));
}

#[test]
fn as_numbers_have_one_form() {
    check(
        Kind::Asn,
        &[("AS3333", "AS3333"), ("as 3333", "AS3333"), ("03333", "AS3333"), ("4294967295", "AS4294967295")],
    );
    refused(Kind::Asn, &["AS", "AS-1", "4294967296", "AS1.1", "ASx", "été"].map(|input| (input, "AS3333")));
}

#[test]
fn free_text_is_asked_as_typed() {
    check(
        Kind::Whois,
        &[
            (" Example.COM. ", "Example.COM."),
            ("domain example.com", "domain example.com"),
            ("Müller GmbH", "Müller GmbH"),
            ("bücher.de", "xn--bcher-kva.de"),
            ("=EXAMPLE", "=EXAMPLE"),
        ],
    );
    check(Kind::Entity, &[("ABC123-RIPE", "ABC123-RIPE")]);
    check(Kind::Nameserver, &[("NS1.Example.COM.", "ns1.example.com")]);
}

#[test]
fn free_text_carries_no_options_commands_or_second_line() {
    let long = "x".repeat(1025);
    refused(
        Kind::Whois,
        &[
            ("-k example.com", "option"),
            ("!gAS3333", "IRRd command"),
            ("a\nb", "U+000A"),
            ("a\u{9b}b", "U+009B"),
            (&long, "1025 bytes"),
            ("\u{a0}", "empty"),
        ],
    );
    assert!(Target::parse(Kind::Whois, &"x".repeat(1024)).is_ok());
}

#[test]
fn a_path_is_asked_in_its_one_spelling() {
    check(
        Kind::Http,
        &[
            ("/", "/"),
            ("/users/7?name=x&y=/../z", "/users/7?name=x&y=/../z"),
            (" /a ", "/a"),
            ("/a/./b//c/", "/a/b//c/"),
            ("//evil.example/x", "//evil.example/x"),
            ("/a:b@c", "/a:b@c"),
            ("/M%C3%BCller%20GmbH", "/M%C3%BCller%20GmbH"),
            ("/a\"b", "/a%22b"),
            ("/?", "/?"),
        ],
    );
}

#[test]
fn a_path_never_leads_out_of_its_service() {
    let long = format!("/{}", "x".repeat(4_096));
    // As it would be sent; what was taken has to be taken again, when a job is read from the store.
    let quoted = format!("/{}", "\"".repeat(1_366));
    refused(
        Kind::Http,
        &[
            (&quoted, "4099 bytes"),
            ("users/7", "write it as /path?query"),
            ("http://evil.example/", "write it as /path?query"),
            ("", "empty"),
            ("/..", "`..`"),
            ("/a/../../b", "`..`"),
            ("/a/%2e%2E/b", "`..`"),
            ("/a/.%2e", "`..`"),
            ("/a%2f..%2Fb", "`..`"),
            ("/a\\..\\b", "`..`"),
            ("/%5c..%5c", "`..`"),
            ("/a#b", "fragment"),
            ("/a b", "percent-encode"),
            ("/Müller", "percent-encode"),
            ("/a\r\nx: y", "U+000D"),
            ("/a\tb", "U+0009"),
            (&long, "4097 bytes"),
        ],
    );
}

proptest! {
    #[test]
    fn a_path_stays_under_any_base(input in prop_oneof![any::<String>(), "/[a./%25eEfF\\\\?#:@-]{0,30}"]) {
        if let Ok(path) = Target::parse(Kind::Http, &input) {
            for base in ["http://a.example/", "https://a.example:8443/v1/users/"] {
                let joined = format!("{base}{}", path.as_str().strip_prefix('/').unwrap());
                prop_assert_eq!(String::from(url::Url::parse(&joined).unwrap()), joined);
            }
        }
    }

    #[test]
    fn nothing_makes_the_parser_panic_or_lets_a_control_character_through(
        input in prop_oneof![any::<String>(), "[a-zA-Z0-9.:/@\\-_ü。\\[\\]%!]{0,80}", "(a\\.){0,200}[a-z]{0,70}"],
        kind in proptest::sample::select(&Kind::ALL[..]),
        zone in 0usize..300,
    ) {
        if let Ok(target) = Target::parse(kind, &input) {
            prop_assert!(!target.as_str().is_empty());
            prop_assert!(!target.as_str().chars().any(char::is_control));
            let whole = target.as_str().to_owned();
            let cut = target.registrable(zone);
            prop_assert!(!cut.as_str().is_empty() && whole.ends_with(cut.as_str()));
        }
    }

    #[test]
    fn parsing_what_was_parsed_changes_nothing(
        input in "[a-zA-Zü]{1,12}(\\.[a-zA-Z]{2,6}){0,3}\\.?",
        kind in proptest::sample::select(&[Kind::Domain, Kind::Nameserver][..]),
    ) {
        if let Ok(once) = Target::parse(kind, &input) {
            prop_assert_eq!(Target::parse(kind, once.as_str()), Ok(once));
        }
    }
}

#[test]
fn a_label_of_letters_that_look_alike_is_refused_unless_it_is_written_in_a_labels() {
    for name in ["ex\u{430}mple.com", "\u{3bf}pen.com", "www.\u{430}\u{3b1}.com"] {
        let said = Target::parse(Kind::Domain, name).unwrap_err().to_string();
        assert!(said.contains("A-labels"), "{said}");
    }
    for name in ["пример.com", "b\u{fc}cher.de", "παράδειγμα.gr", "xn--exmple-4nf.com", "日本語abc.jp"]
    {
        assert!(Target::parse(Kind::Domain, name).is_ok(), "{name}");
    }
}
