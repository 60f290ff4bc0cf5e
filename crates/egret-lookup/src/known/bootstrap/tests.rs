//! IANA's files as they are, and as nobody should believe them.

use super::{Bootstrap, BootstrapFile, KEYS_MAX, TEXT_MAX, URL_MAX};
use crate::known::{Server, Table};

const DNS: &str = r#"{"publication": "2026-11-01T00:00:00Z", "version": "1.0", "services": [
    [["com", "net"], ["http://rdap.example/v1/", "https://rdap.example/v1/"]],
    [["NEWTLD"], ["https://new.example"]]]}"#;
const IPV4: &str = r#"{"services": [[["193.0.0.0/8"], ["https://rdap.db.ripe.net/"]],
    [["193.1.0.0/16"], ["https://rdap.unknown.example/"]]]}"#;
const IPV6: &str = r#"{"services": [[["2a00::/12"], ["https://rdap.db.ripe.net/"]]]}"#;
const ASN: &str = r#"{"services": [[["1-9", "20"], ["https://rdap.arin.net/registry/"]]]}"#;

fn ids(rdap: Option<&Server>, whois: Option<&Server>) -> [String; 2] {
    [rdap, whois].map(|server| server.map_or(String::new(), |server| server.id.to_string()))
}

#[track_caller]
fn check(files: [&str; 4], want: &str) {
    let [dns, ipv4, ipv6, asn] = files;
    let error = Bootstrap::parse(dns, ipv4, ipv6, asn).unwrap_err().to_string();
    assert!(error.contains(want), "{error}");
    assert!(error.len() < 400 && !error.contains('\n'), "{error}");
}

#[track_caller]
fn check_dns(dns: &str, want: &str) {
    check([dns, IPV4, IPV6, ASN], want);
}

fn with_url(url: &str) -> String {
    format!(r#"{{"services": [[["com"], ["{url}"]]]}}"#)
}

#[test]
fn a_newer_bootstrap_replaces_what_iana_named_and_nothing_else() {
    let table = Table::with_bootstrap(&Bootstrap::parse(DNS, IPV4, IPV6, ASN).unwrap());
    let com = table.domain("example.com");
    assert_eq!(ids(com.rdap, com.whois), ["rdap.example:v1", "whois.verisign-grs.com"]);
    assert_eq!(com.rdap.unwrap().address, "https://rdap.example/v1/");
    // Named by others than IANA: it stays.
    let de = table.domain("example.de");
    assert_eq!(ids(de.rdap, de.whois), ["rdap.denic.de", "whois.denic.de"]);
    // No longer named: whois is left, or nobody.
    let xyz = table.domain("example.xyz");
    assert_eq!(ids(xyz.rdap, xyz.whois), ["", "whois.nic.xyz"]);
    assert!(table.domain("example.able").why_none.is_some());
}

#[test]
fn a_new_zone_has_rdap_only() {
    let table = Table::with_bootstrap(&Bootstrap::parse(DNS, IPV4, IPV6, ASN).unwrap());
    let new = table.domain("example.newtld");
    assert_eq!((new.zone, ids(new.rdap, new.whois)), ("newtld", ["new.example".to_owned(), String::new()]));
    assert_eq!(new.rdap.unwrap().address, "https://new.example/");
}

#[test]
fn the_whois_server_follows_the_registry() {
    let table = Table::with_bootstrap(&Bootstrap::parse(DNS, IPV4, IPV6, ASN).unwrap());
    let ip = |text: &str| table.ip(text.parse().unwrap());
    assert_eq!(ids(ip("193.0.0.1").rdap, ip("193.0.0.1").whois), ["rdap.db.ripe.net", "whois.ripe.net"]);
    assert_eq!(ids(ip("193.1.0.1").rdap, ip("193.1.0.1").whois), ["rdap.unknown.example", ""]);
    assert_eq!(ip("8.8.8.8").zone, "");
    assert_eq!((table.asn(20).zone, table.asn(10).zone), ("20", ""));
    // Limits belong to the host, whichever file names it.
    assert_eq!(ip("193.0.0.1").rdap.unwrap().quotas().len(), 1);
}

#[test]
fn files_that_are_not_what_iana_publishes_are_refused() {
    check_dns("", "RFC 9224");
    check_dns("<html>", "RFC 9224");
    check_dns(r#"{"services": [[["com"]]]}"#, "RFC 9224");
    check_dns(r#"{"services": []}"#, "0 keys");
    check_dns(r#"{"services": [[["com"], []]]}"#, "has no URL");
    check_dns(&"[".repeat(100_000), "RFC 9224");
    check([DNS, DNS, IPV6, ASN], "no network");
    check([DNS, IPV6, IPV6, ASN], "no network");
    check([DNS, IPV4, IPV6, IPV4], "no range");
}

#[test]
fn files_beyond_the_bounds_are_refused() {
    check_dns(&" ".repeat(TEXT_MAX + 1), "bytes");
    let keys: Vec<String> = (0..=KEYS_MAX).map(|n| format!("\"x{n}\"")).collect();
    check_dns(&format!(r#"{{"services": [[[{}], ["https://a.example/"]]]}}"#, keys.join(",")), "keys");
    check_dns(&with_url(&format!("https://a.example/{}", "a".repeat(URL_MAX))), "too long");
    let zone = format!(r#"{{"services": [[["{}"], ["https://a.example/"]]]}}"#, "é".repeat(1_000_000));
    check_dns(&zone, "no zone");
}

#[test]
fn urls_that_lead_elsewhere_are_refused() {
    for (url, want) in [
        ("ftp://a.example/", "not http"),
        ("file:///etc/passwd", "not http"),
        ("javascript:alert(1)", "not http"),
        ("https://127.0.0.1/", "no host name"),
        ("https://[::1]/", "no host name"),
        ("https://0x7f000001/", "no host name"),
        ("https://user@a.example/", "more than"),
        ("https://a.example/?q=", "more than"),
        ("https://a.example/#x", "more than"),
        ("a.example", "no URL"),
        ("", "no URL"),
    ] {
        check_dns(&with_url(url), want);
    }
}

#[test]
fn keys_that_contradict_each_other_are_refused() {
    let twice = |key: &str| format!(r#"{{"services": [[["{key}", "{key}"], ["https://a.example/"]]]}}"#);
    check_dns(&twice("com"), "twice");
    check([DNS, &twice("10.0.0.0/8"), IPV6, ASN], "twice");
    check([DNS, IPV4, IPV6, &twice("5")], "overlap");
    for zone in ["", ".", "a..b", "a.b.c.d.e.f.g.h.i", "-a", "a b", "com\\u0000", "com\\n"] {
        check_dns(&format!(r#"{{"services": [[["{zone}"], ["https://a.example/"]]]}}"#), "no zone");
    }
}

#[test]
fn ids_stay_unique_whatever_iana_names() {
    let dns = r#"{"services": [
        [["aa"], ["https://whois.nic.xyz/"]], [["ab"], ["http://whois.nic.xyz/"]],
        [["ac"], ["https://x.example/a:b/"]], [["ad"], ["https://x.example/a/b/"]],
        [["ae"], ["https://x.example:8443/%7e"]]]}"#;
    let table = Table::with_bootstrap(&Bootstrap::parse(dns, IPV4, IPV6, ASN).unwrap());
    let ids: std::collections::BTreeSet<&str> = table.servers().map(|server| server.id.as_ref()).collect();
    assert_eq!(ids.len(), table.servers().count());
    for server in table.servers() {
        assert_eq!(table.server(&server.id).unwrap().address, server.address);
        crate::Service::new(&server.id, server.protocol).unwrap();
    }
    assert_eq!(table.domain("x.ae").rdap.unwrap().group(), Some("x.example"));
}

#[test]
fn a_file_by_itself_replaces_its_part_of_the_table() {
    let mut bootstrap = Bootstrap::default();
    bootstrap.read(BootstrapFile::Ipv4, IPV4).unwrap();
    let table = Table::with_bootstrap(&bootstrap);
    let embedded = Table::embedded();
    assert_eq!(table.ip("8.8.8.8".parse().unwrap()).zone, "");
    assert_eq!(table.ip("2a00::1".parse().unwrap()).zone, embedded.ip("2a00::1".parse().unwrap()).zone);
    assert_eq!(table.asn(3333).zone, embedded.asn(3333).zone);
    assert_eq!(table.domain("a.xyz").rdap.unwrap().address, embedded.domain("a.xyz").rdap.unwrap().address);
    let kept = BootstrapFile::ALL.map(|file| table.published(file).is_some());
    assert_eq!(kept, [true, false, true, true], "it does not say when it was published");
}

#[test]
fn a_file_that_is_wrong_leaves_what_was_read_before() {
    let mut bootstrap = Bootstrap::default();
    bootstrap.read(BootstrapFile::Dns, DNS).unwrap();
    for wrong in ["", r#"{"services": []}"#, r#"{"services": [[["a b"], ["https://a.example/"]]]}"#] {
        bootstrap.read(BootstrapFile::Dns, wrong).unwrap_err();
        assert_eq!(bootstrap.zones().count(), 3);
        assert_eq!(bootstrap.published(BootstrapFile::Dns), Some("2026-11-01T00:00:00Z"));
    }
}

#[test]
fn a_file_older_than_the_embedded_one_does_not_replace_it() {
    let with = |publication: &str| DNS.replace("2026-11-01T00:00:00Z", publication);
    let own = Table::embedded().published(BootstrapFile::Dns).unwrap();
    let mut bootstrap = Bootstrap::default();
    for (publication, want) in [
        ("2019-01-01T00:00:00Z", "published at 2019-01-01T00:00:00Z, and egret has that of 20"),
        ("2026-07-23T02:00:03+05:00", "published at 2026-07-22T21:00:03Z"),
        ("yesterday", "no time of RFC 3339"),
        ("-000001-01-01T00:00:00Z", "no time of RFC 3339"),
    ] {
        let error = bootstrap.renew(BootstrapFile::Dns, &with(publication)).unwrap_err().to_string();
        assert!(error.contains(want), "{error}");
    }
    let silent = bootstrap.renew(BootstrapFile::Ipv4, IPV4).unwrap_err().to_string();
    assert!(silent.contains("does not say when"), "{silent}");
    assert_eq!(bootstrap.zones().count(), 0);
    for publication in [own, "2126-07-23T04:00:03.25+02:00"] {
        bootstrap.renew(BootstrapFile::Dns, &with(publication)).unwrap();
    }
    let table = Table::with_bootstrap(&bootstrap);
    assert_eq!(table.published(BootstrapFile::Dns), Some("2126-07-23T02:00:03Z"));
}
