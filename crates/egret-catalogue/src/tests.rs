//! That the table is what the sources say, on a small world and on the real one.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::data::Data;
use super::{check, files};

/// A small world: each file with its text.
const WORLD: [(&str, &str); 11] = [
    (
        "rdap-dns.json",
        r#"{"publication": "2026-07-23T02:00:03Z", "services": [
            [["aa", "ab", "ac"], ["https://rdap.shared.example/"]], [["ad"], ["https://rdap.nic.ad/"]]]}"#,
    ),
    (
        "rdap-ipv4.json",
        r#"{"publication": "2019-06-07T19:00:02Z", "services": [
            [["193.0.0.0/8", "2.0.0.0/8"], ["https://rdap.db.ripe.net/"]]]}"#,
    ),
    ("rdap-ipv6.json", r#"{"services": [[["2a00::/12"], ["https://rdap.db.ripe.net/"]]]}"#),
    ("rdap-asn.json", r#"{"services": [[["7-9", "1-6"], ["https://rdap.arin.net/registry/"]]]}"#),
    (
        "rdap-object-tags.json",
        r#"{"services": [[["a@b.example"], ["RIPE", "ARIN"], ["http://x.example/", "https://rdap.db.ripe.net/"]]]}"#,
    ),
    (
        "rdap-extra.csv",
        "tld,base_url,confidence,source\n\
         ae,https://rdap.nic.ae/,medium,a monitor\n\
         af,https://rdap.nic.af/,low,a monitor\n\
         ad,https://rdap.new.ad/,high,IANA bootstrap of 2026-09-30\n",
    ),
    (
        "whois-tld.csv",
        "tld,server,source,mode,confidence,alt_servers,is_iana_tld\n\
         aa,whois.nic.aa,iana-root-db via WooMai/whois-servers,thick,high,,1\n\
         ab,whois.nic.ab,iana-root-db via WooMai/whois-servers,thin-recursive,medium,whois.old.ab,1\n\
         ac,whois.nic.ac,rfc1036/new_gtlds_list,thick,low,,1\n\
         ad,whois.nic.ad,rfc1036/tld_serv_list,thick,high,,1\n\
         ae,whois.gpl.ae,rfc1036/tld_serv_list,thick,medium,whois.free.ae,1\n\
         af,,rfc1036/tld_serv_list,none,high,,1\n\
         ag,whois.nic.ag,rfc1036/tld_serv_list,thick,high,,1\n\
         co.ag,whois.co.ag,rfc1036/tld_serv_list,thick,medium,,0\n\
         gov.ag,,rfc1036/tld_serv_list,none,high,,0\n",
    ),
    (
        "whois-server-quirks.csv",
        "server,query_kind,query_template,charset,referral_rule\n\
         whois.nic.aa,domain,domain {q},us-ascii,Registrar WHOIS Server: (first record only)\n\
         whois.ripe.net,ip,-r -B {q},latin-1; --charset UTF-8,\n\
         whois.nic.ag,domain,-c utf-8 {q},iso-8859-1 by default,\n\
         <new gTLD>,domain,{q},utf-8,\n",
    ),
    (
        "known-limits.csv",
        "service,protocol,host,limit,window_s,scope,burst,source_url,confidence,source_year,unit,pool\n\
         a,whois,whois.nic.aa,100,60,net (/25 v4; /56 v6),5/s,https://a.example,high,~2020,query,per-net\n\
         b,whois,whois.ripe.net,1000,86400,ip,,https://b.example,high,2024,person object,per-ip\n\
         c,whois,whois.ripe.net,3,0,ip,,https://c.example,high,2026,concurrent connection,per-ip\n\
         d,whois,whois.nic.ag,9,60,ip,,https://d.example,low,2026,query,per-ip\n\
         e,whois,whois.free.ae,7,60,user,,https://e.example,medium,2026,query,POOLED\n\
         f,rdap,rdap.nic.ae,6,60,ip,,https://f.example,medium,2026,query,per-ip\n\
         g,http,www.g.example,5,60,ip,,https://g.example,high,2026,query,per-ip\n\
         h,whois,whois.nic.ag,,,ip,,https://h.example,high,2026,query,per-ip\n",
    ),
    ("whois-ip.csv", "prefix,server\n"),
    ("whois-asn.csv", "first_as,last_as,server\n"),
];

const HAND: &str = "# head\n\
    zone\tuk.aa\twhois.second.example\tfree\n\
    retired\taf\t-\tits registry is gone\n\
    terms\twhois.nic.ag\tclosed\thttps://terms.example\n";

fn world(hand: &'static str) -> Result<[(&'static str, String); 6]> {
    let text = |name: &str| {
        let found = WORLD.iter().find(|(file, _)| *file == name);
        found.map(|(_, text)| (*text).to_owned()).context("no such file")
    };
    files(&Data::of(text, hand)?)
}

/// The lines of a file that are no comments.
#[track_caller]
fn check_file(name: &str, want: &[&str]) {
    let all = world(HAND).unwrap();
    let (_, text) = all.iter().find(|(file, _)| *file == name).unwrap();
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(lines, want);
}

#[test]
fn a_whois_server_that_only_the_gpl_list_names_is_not_in_the_table() {
    check_file(
        "domains.tsv",
        &[
            "aa\thttps://rdap.shared.example/\t-\twhois.nic.aa\t-",
            "ab\thttps://rdap.shared.example/\t-\twhois.nic.ab\t-",
            "ac\thttps://rdap.shared.example/\t-\t-\t-",
            "ad\thttps://rdap.new.ad/\t-\twhois.nic.ad\t-",
            "ae\t-\thttps://rdap.nic.ae/\twhois.free.ae\t-",
            "af\t-\t-\t-\tits registry is gone",
            "ag\t-\t-\twhois.nic.ag\t-",
            "uk.aa\t-\t-\twhois.second.example\t-",
        ],
    );
    let all = world(HAND).unwrap();
    assert!(all.iter().all(|(_, text)| !text.contains("whois.gpl.ae") && !text.contains("co.ag")));
}

#[test]
fn whois_follows_from_whose_rdap_server_iana_names() {
    check_file(
        "ip.tsv",
        &[
            "2.0.0.0/8\thttps://rdap.db.ripe.net/\twhois.ripe.net",
            "193.0.0.0/8\thttps://rdap.db.ripe.net/\twhois.ripe.net",
            "2a00::/12\thttps://rdap.db.ripe.net/\twhois.ripe.net",
        ],
    );
    check_file(
        "published.tsv",
        &["dns.json\t2026-07-23T02:00:03Z", "ipv4.json\t2019-06-07T19:00:02Z", "ipv6.json\t-", "asn.json\t-"],
    );
    check_file("tags.tsv", &["ARIN\thttps://rdap.db.ripe.net/", "RIPE\thttps://rdap.db.ripe.net/"]);
    check_file(
        "asn.tsv",
        &[
            "1-6\thttps://rdap.arin.net/registry/\twhois.arin.net",
            "7-9\thttps://rdap.arin.net/registry/\twhois.arin.net",
        ],
    );
}

#[test]
fn limits_are_taken_as_published_and_hold_for_the_back_end() {
    let of_a = "quota=5 per 1s subnet/25/56\tquota=100 per 60s subnet/25/56";
    check_file(
        "servers.tsv",
        &[
            "rdap.nic.ae\trdap\tquota=6 per 60s ip\tsource=https://f.example, 2026",
            "whois.arin.net\twhois",
            "whois.free.ae\twhois\tquota=7 per 60s fleet\tsource=https://e.example, 2026",
            &format!(
                "whois.nic.aa\twhois\tgroup=rdap.shared.example\tdomain=domain {{q}}\t{of_a}\treferral=thin\t\
                 source=https://a.example, about 2020"
            ),
            &format!(
                "whois.nic.ab\twhois\tgroup=rdap.shared.example\t{of_a}\treferral=recursive\t\
                 source=https://a.example, about 2020"
            ),
            "whois.nic.ad\twhois",
            "whois.nic.ag\twhois\tdomain=-c utf-8 {q}\tcharset=utf-8\tterms=closed\tsource=https://terms.example",
            "whois.ripe.net\twhois\tdomain=-r -B {q}\tip=-r -B {q}\tasn=-r -B {q}\tcharset=iso-8859-1\t\
             concurrency=3\tsource=https://c.example, 2026",
            "whois.second.example\twhois",
        ],
    );
}

#[test]
fn a_judgement_that_judges_nothing_is_an_error() {
    for (hand, want) in [
        ("terms\twhois.gone.example\tclosed\tx", "whois.gone.example"),
        ("group\twhois.gone.example\tx\tx", "whois.gone.example"),
        ("cost\trdap.gone.example\t4\tx", "rdap.gone.example"),
        ("praise\twhois.nic.aa\tx\tx", "praise"),
        ("terms\twhois.nic.aa", "needs"),
    ] {
        let error = format!("{:#}", world(hand).unwrap_err());
        assert!(error.contains(want), "{error}");
    }
}

/// The folder of the real facts, or nothing, said aloud.
fn facts() -> Option<Data> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let folder = std::env::var_os("EGRET_DATA").map_or(beside, PathBuf::from);
    if !folder.is_dir() {
        // Past the capture of the test harness, so that nobody takes a skipped comparison for a pass.
        let _ =
            writeln!(std::io::stderr(), "SKIPPED: no facts at {}; EGRET_DATA names them", folder.display());
        return None;
    }
    Some(Data::read(&folder).unwrap())
}

fn committed(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(name)).unwrap()
}

#[test]
fn the_table_is_what_the_facts_make_it_byte_for_byte() {
    let Some(data) = facts() else { return };
    for (name, text) in files(&data).unwrap() {
        let is_same = text == committed(&format!("config/catalogue/{name}"));
        assert!(is_same, "{name} is not what `egret-catalogue build` writes; build it anew");
    }
}

#[test]
fn the_report_is_the_one_in_the_docs() {
    let Some(data) = facts() else { return };
    let page = committed("docs/catalogue.md");
    let (_, written) = page.split_once("<!-- From here on: `egret-catalogue check`. -->\n\n").unwrap();
    let report = check::report(&data).unwrap();
    assert!(report == written, "docs/catalogue.md does not end with what `egret-catalogue check` says");
    assert!(
        !report.contains("NOT IN THE TABLE")
            && !report.contains("NO REASON")
            && !report.contains("NOT AS BUILT")
    );
}
