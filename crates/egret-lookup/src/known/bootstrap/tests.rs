//! IANA's files as they are, and as nobody should believe them.

use super::{Bootstrap, KEYS_MAX, TEXT_MAX, URL_MAX};
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
