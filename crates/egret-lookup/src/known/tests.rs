//! What the embedded table says, and that looking it up is right.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};

use proptest::prelude::*;

use super::text::{EMBEDDED, Family, Rows};
use super::{Known, Quota, Referral, Scope, Server, Table, Terms, asked, asn, domain, ip, server, servers};
use crate::{Charset, Kind, Protocol, Service};

fn id(server: Option<&Server>) -> Option<&str> {
    server.map(|server| server.id.as_ref())
}

#[track_caller]
fn check(known: Known<'_>, zone: &str, rdap: Option<&str>, whois: Option<&str>) {
    assert_eq!((known.zone, id(known.rdap), id(known.whois)), (zone, rdap, whois));
    assert_eq!(known.why_none.is_some(), rdap.is_none() && whois.is_none());
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn a_name_is_found_by_its_longest_zone_on_a_label_border() {
    let verisign = Some("rdap.verisign.com:com:v1");
    check(domain("example.com"), "com", verisign, Some("whois.verisign-grs.com"));
    check(domain("a.b.c.example.com"), "com", verisign, Some("whois.verisign-grs.com"));
    check(domain("example.uk.com"), "uk.com", None, Some("whois.centralnic.com"));
    check(domain("example.co.za"), "co.za", None, Some("coza-whois.registry.net.za"));
    check(domain("example.co.uk"), "uk", Some("rdap.nominet.uk:uk"), Some("whois.nic.uk"));
    check(domain("a.b.c.tokyo.jp"), "jp", None, Some("whois.jprs.jp"));
    check(domain("notuk.com"), "com", verisign, Some("whois.verisign-grs.com"));
}

#[test]
fn a_zone_is_not_found_inside_a_label() {
    check(domain("президент.рф"), "", None, None);
    check(domain("xn--d1abbgf6aiiy.xn--p1ai"), "xn--p1ai", None, Some("whois.tcinet.ru"));
    for ending in ["xn--90ais", "xn--l1acc", "xn--54b7fta0cc", "xn--mgbah1a3hjkrd", "xn--mgberp4a5d4ar"] {
        assert_eq!(domain(&format!("example.{ending}")).zone, ending);
    }
}

#[test]
fn case_and_a_final_dot_do_not_matter() {
    for name in ["com", "COM.", "eXample.Com", "example.com."] {
        assert_eq!(domain(name).zone, "com", "{name}");
    }
    assert_eq!(domain("EXAMPLE.UK.COM").zone, "uk.com");
}

#[test]
fn what_is_no_name_is_in_no_zone() {
    let long = format!("{}.com", "a".repeat(100_000));
    for name in
        ["", ".", "..", "com..", "example.invalid", "localhost", "com\0", "example.com ", "::1", &long[1..]]
    {
        let known = domain(name);
        assert!(known.zone.is_empty() || name.ends_with(".com"), "{name:?}");
    }
    assert_eq!(domain(&"A".repeat(100_000)).zone, "");
    assert!(domain("example.invalid").why_none.unwrap().contains("root zone"));
}

#[test]
fn a_zone_that_nobody_answers_for_says_why() {
    assert!(domain("example.ga").why_none.unwrap().contains("Freenom"));
    assert!(domain("example.kp").why_none.unwrap().contains("neither"));
    assert!(domain("example.info").whois.is_none() && domain("example.info").rdap.is_some());
}

#[test]
fn an_address_is_found_by_its_longest_prefix() {
    let (ripe, arin) = (Some("rdap.db.ripe.net"), Some("rdap.arin.net:registry"));
    check(ip(address("193.0.6.139")), "193.0.0.0/8", ripe, Some("whois.ripe.net"));
    check(ip(address("2001:67c:2e8::1")), "2001:600::/23", ripe, Some("whois.ripe.net"));
    check(ip(address("2620::1")), "2620::/23", arin, Some("whois.arin.net"));
    check(ip(address("::ffff:193.0.6.139")), "193.0.0.0/8", ripe, Some("whois.ripe.net"));
}

#[test]
fn a_tunnelled_address_is_asked_about_by_the_ipv4_address_in_it() {
    // 6to4: 193.0.6.139 follows 2002. Teredo: its bits inverted come last.
    check(ip(address("2002:c100:068b::1")), "193.0.0.0/8", Some("rdap.db.ripe.net"), Some("whois.ripe.net"));
    check(
        ip(address("2001:0:4136:e378:8000:63bf:3eff:f974")),
        "193.0.0.0/8",
        Some("rdap.db.ripe.net"),
        Some("whois.ripe.net"),
    );
    assert_eq!(asked(address("2002:a00:1::")), address("10.0.0.1"));
    assert_eq!(asked(address("2001:1::")), address("2001:1::"));
    assert_eq!(asked(address("2003::1")), address("2003::1"));
}

#[test]
fn addresses_that_no_registry_has_find_nobody() {
    for text in [
        "0.0.0.0",
        "255.255.255.255",
        "10.1.2.3",
        "127.0.0.1",
        "224.0.0.1",
        "::",
        "::1",
        "fe80::1",
        "ff02::1",
        "2002:a00:1::",
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    ] {
        check(ip(address(text)), "", None, None);
    }
}

#[test]
fn an_as_number_is_found_by_its_range() {
    check(asn(3333), "3154-3353", Some("rdap.db.ripe.net"), Some("whois.ripe.net"));
    check(asn(1), "1-1876", Some("rdap.arin.net:registry"), Some("whois.arin.net"));
    for nobody in [0, 23_456, 64_512, 65_535, 4_200_000_000, u32::MAX] {
        check(asn(nobody), "", None, None);
    }
}

#[test]
fn every_zone_finds_itself_and_the_names_below_it() {
    let mut zones = 0;
    for known in Table::embedded().zones() {
        for name in [known.zone.to_owned(), format!("example.{}", known.zone), format!("x.y.{}", known.zone)]
        {
            let found = domain(&name);
            assert_eq!((found.zone, id(found.rdap)), (known.zone, id(known.rdap)), "{name}");
            assert_eq!(id(found.whois), id(known.whois), "{name}");
        }
        zones += 1;
    }
    assert!(zones > 1_400, "{zones}");
}

#[test]
fn every_block_finds_itself_at_both_ends_or_one_inside_it() {
    for row in Rows::parse(&EMBEDDED).unwrap().blocks {
        for number in [row.first, row.last] {
            let table = Table::embedded();
            let found = match row.family {
                Family::Ipv4 => table.ipv4.find(number),
                Family::Ipv6 => table.ipv6.find(number),
                Family::Asn => table.asn.find(number),
            };
            let found = &table.blocks[found.unwrap() as usize];
            let is_inside = found.zone.split('/').nth(1) > row.zone.split('/').nth(1);
            assert!(found.zone == row.zone || is_inside, "{} found {}", row.zone, found.zone);
        }
    }
}

#[test]
fn every_server_can_be_made_a_service() {
    let mut ids = BTreeSet::new();
    for one in servers() {
        assert!(ids.insert(one.id.clone()), "{} twice", one.id);
        assert_eq!(id(server(&one.id)), Some(one.id.as_ref()));
        Service::new(&one.id, one.protocol).unwrap();
        let charset = one.charset().unwrap_or("auto");
        charset.parse::<Charset>().unwrap();
        for kind in Kind::ALL {
            let Some(template) = one.template(kind) else { continue };
            assert_eq!(one.protocol, Protocol::Whois);
            Service::new(&one.id, one.protocol)
                .unwrap()
                .with_template(&template.replace("{n}", "{q}"))
                .unwrap();
            assert!(kind == Kind::Asn || !template.contains("{n}"), "{}", one.id);
        }
        match one.protocol {
            Protocol::Whois => assert_eq!(one.address, format!("{}:43", one.id)),
            _ => assert!(one.address.starts_with("http") && one.address.ends_with('/')),
        }
        assert!(one.quotas().iter().all(|quota| quota.units > 0 && quota.per.as_secs() > 0));
        let says_something = !one.quotas().is_empty() || one.terms() != Terms::Unread;
        assert_eq!(one.source().is_some(), says_something || one.concurrency().is_some(), "{}", one.id);
    }
}

#[test]
fn servers_of_one_back_end_share_its_quotas() {
    let mut groups: BTreeMap<(&str, &str), Vec<&Server>> = BTreeMap::new();
    for one in servers() {
        if let Some(group) = one.group() {
            groups.entry((one.protocol.as_str(), group)).or_default().push(one);
        }
    }
    for ((_, group), members) in &groups {
        assert!(members.iter().all(|one| one.quotas() == members[0].quotas()), "{group}");
    }
    assert!(groups[&("whois", "rdap.identitydigital.services")].len() > 400);
    assert!(groups[&("rdap", "rdap.centralnic.com")].len() > 80);
}

#[test]
fn published_limits_are_those_of_the_sources() {
    let quota = |units, secs, scope| Quota { units, per: std::time::Duration::from_secs(secs), scope };
    let of = |id| server(id).unwrap().quotas().to_vec();
    assert_eq!(of("whois.nic.uk"), [quota(5, 1, Scope::Fleet), quota(1_000, 86_400, Scope::Fleet)]);
    let subnet = Scope::Subnet { ipv4_prefix: 24, ipv6_prefix: 48 };
    assert_eq!(of("whois.nic.xyz"), [quota(1_800, 900, subnet)]);
    assert_eq!(of("whois.fi"), [quota(5, 1, Scope::Ip), quota(10_000, 86_400, Scope::Ip)]);
    assert_eq!(of("rdap.lacnic.net:rdap"), [quota(10, 60, Scope::Ip), quota(1_000, 3_600, Scope::Ip)]);
    let ripe = server("rdap.db.ripe.net").unwrap();
    assert_eq!((ripe.quotas(), ripe.cost()), (&[quota(1_000, 86_400, Scope::Ip)][..], 4));
    assert_eq!(of("whois.verisign-grs.com"), []);
    assert_eq!(server("whois.ripe.net").unwrap().concurrency(), Some(3));
}

#[test]
fn servers_are_asked_in_their_own_words() {
    let template = |id, kind| server(id).unwrap().template(kind);
    assert_eq!(template("whois.verisign-grs.com", Kind::Domain), Some("domain {q}"));
    assert_eq!(template("whois.arin.net", Kind::Ip), Some("n + {q}"));
    assert_eq!(template("whois.arin.net", Kind::Asn), Some("a {n}"));
    assert_eq!(template("whois.nic.xyz", Kind::Domain), None);
    // Persons in an answer count against a daily quota at these, so every kind is asked without.
    for id in ["whois.ripe.net", "whois.apnic.net", "whois.afrinic.net"] {
        for kind in [Kind::Domain, Kind::Ip, Kind::Asn] {
            assert!(template(id, kind).unwrap().starts_with("-r "), "{id} {kind}");
        }
    }
}

#[test]
fn terms_and_referrals_are_told() {
    let of = |id| server(id).map(|one| (one.terms(), one.referral())).unwrap();
    assert_eq!(of("whois.nic.ch").0, Terms::Closed);
    assert_eq!(of("whois.domain-registry.nl").0, Terms::Forbidden);
    assert_eq!(of("whois.verisign-grs.com"), (Terms::Discouraged, Referral::Thin));
    assert_eq!(of("whois.nic.me"), (Terms::Unread, Referral::Recursive));
    assert_eq!(of("whois.arin.net").1, Referral::ReferralServer);
    assert_eq!(of("whois.apnic.net").1, Referral::Transferred);
    assert_eq!(of("whois.iana.org").1, Referral::Refer);
    assert_eq!(of("whois.nic.xyz").1, Referral::None);
}

/// What a scan over all rows finds.
fn scanned(rows: &Rows, family: Family, number: u128) -> Option<&str> {
    let holding =
        rows.blocks.iter().filter(|row| row.family == family && (row.first..=row.last).contains(&number));
    holding.min_by_key(|row| row.last - row.first).map(|row| row.zone.as_ref())
}

fn scanned_name<'r>(rows: &'r Rows, name: &str) -> &'r str {
    let labels: Vec<String> = name.to_ascii_lowercase().split('.').map(str::to_owned).collect();
    let zones = rows.zones.iter().map(|row| row.zone.as_ref());
    let holds = |zone: &&str| labels.ends_with(&zone.split('.').map(str::to_owned).collect::<Vec<_>>());
    zones.filter(holds).max_by_key(|zone| zone.len()).unwrap_or_default()
}

fn rows() -> &'static Rows {
    static ROWS: std::sync::OnceLock<Rows> = std::sync::OnceLock::new();
    ROWS.get_or_init(|| Rows::parse(&EMBEDDED).unwrap())
}

/// Names that end near zones: whole ones, ones with a letter in front, ones cut short.
fn names() -> impl Strategy<Value = String> {
    let zone = prop::sample::select(rows().zones.iter().map(|row| row.zone.to_string()).collect::<Vec<_>>());
    ("([a-zA-Z0-9-]{0,4}[.]?){0,3}", zone, 0..3usize).prop_map(|(front, zone, cut)| {
        let cut = cut.min(zone.len() - 1);
        format!("{front}{}", &zone[cut..])
    })
}

proptest! {
    #[test]
    fn a_name_is_found_as_by_a_scan_over_all_zones(name in names()) {
        prop_assert_eq!(domain(&name).zone, scanned_name(rows(), &name));
    }

    #[test]
    fn an_ipv4_address_is_found_as_by_a_scan(bits in any::<u32>()) {
        let want = scanned(rows(), Family::Ipv4, bits.into()).unwrap_or_default();
        prop_assert_eq!(ip(std::net::Ipv4Addr::from_bits(bits).into()).zone, want);
    }

    #[test]
    fn an_ipv6_address_is_found_as_by_a_scan(bits in any::<u128>(), start in 0x2001u16..0x2d00) {
        let bits = bits >> 16 | u128::from(start) << 112;
        let address = IpAddr::from(Ipv6Addr::from_bits(bits));
        prop_assume!(asked(address) == address);
        prop_assert_eq!(ip(address).zone, scanned(rows(), Family::Ipv6, bits).unwrap_or_default());
    }

    #[test]
    fn an_as_number_is_found_as_by_a_scan(number in prop_oneof![any::<u32>(), 0..500_000u32]) {
        let want = scanned(rows(), Family::Asn, number.into()).unwrap_or_default();
        prop_assert_eq!(asn(number).zone, want);
    }

    #[test]
    fn no_text_can_upset_a_look_up(name in any::<String>()) {
        let known = domain(&name);
        let in_zone = known.zone.is_empty()
            || name.trim_end_matches('.').to_ascii_lowercase().ends_with(known.zone);
        prop_assert!(in_zone);
    }
}

#[test]
fn a_back_end_speaks_one_protocol_and_has_one_set_of_quotas() {
    let table = Table::embedded();
    for server in table.servers() {
        let others: Vec<&Server> = table.backend(server.backend()).collect();
        assert!(others.iter().any(|other| other.id == server.id), "{}", server.id);
        for other in others {
            let id = &other.id;
            assert_eq!(other.protocol, server.protocol, "{id}");
            assert_eq!((other.quotas(), other.cost()), (server.quotas(), server.cost()), "{id}");
        }
    }
    let backend = |name| table.domain(name).rdap.unwrap().backend().to_owned();
    assert_eq!(backend("example.ai"), backend("example.io"));
    assert_eq!(table.domain("example.com").whois.unwrap().backend(), "whois.verisign-grs.com");
}
