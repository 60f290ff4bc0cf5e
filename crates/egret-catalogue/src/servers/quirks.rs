//! How servers want to be asked: templates, charsets, referrals.

use anyhow::Result;

use super::{Server, Servers, whois};
use crate::csv::Row;
use crate::data::Data;

const COLUMNS: [&str; 5] = ["server", "query_kind", "query_template", "charset", "referral_rule"];

/// Adds what `whois-server-quirks.csv` says of servers on port 43 that are named one by one.
pub(super) fn add(data: &Data, servers: &mut Servers) -> Result<()> {
    for row in data.quirks.rows(&COLUMNS)? {
        let host = row.get("server");
        if !host.contains([':', ';', '<']) {
            learn(servers.entry(whois(host)).or_default(), &row);
        }
    }
    for server in servers.values_mut().filter(|server| leaves_persons_out(server)) {
        // The switch is the software's, whatever is asked about.
        let switched = server.ip.clone();
        server.domain = server.domain.take().or(switched.clone());
        server.asn = server.asn.take().or(switched);
    }
    Ok(())
}

/// Whether addresses are asked about with `-r`, which RIPE's software takes for "no persons".
pub(super) fn leaves_persons_out(server: &Server) -> bool {
    server.ip.as_deref().is_some_and(|template| template.split(' ').any(|word| word == "-r"))
}

fn learn(server: &mut Server, row: &Row<'_>) {
    // The bare question is what a server without a template gets.
    let template = Some(row.get("query_template")).filter(|template| *template != "{q}").map(str::to_owned);
    match row.get("query_kind") {
        "domain" => server.domain = template,
        "ip" => server.ip = template,
        "asn" => server.asn = template,
        _ => {}
    }
    server.charset = charset(row).or(server.charset.take());
    server.referral = referral(row.get("referral_rule")).map(str::to_owned).or(server.referral.take());
}

/// The label that the Encoding Standard has for it; none for ASCII, which every charset holds.
fn charset(row: &Row<'_>) -> Option<String> {
    let said = row.get("charset").split([' ', ';']).next().unwrap_or_default();
    let asked = row.get("query_template").contains("utf-8");
    let label = match said {
        _ if asked => "utf-8",
        "" | "us-ascii" => return None,
        "latin-1" => "iso-8859-1",
        "cp1251" => "windows-1251",
        other => other,
    };
    Some(label.to_owned())
}

fn referral(rule: &str) -> Option<&'static str> {
    let rules = [
        ("Registrar WHOIS Server: (first record only", "thin"),
        ("Registrar WHOIS Server: after the first", "recursive"),
        ("ReferralServer:", "referral-server"),
        ("refer:", "refer"),
        ("object with mnt-by APNIC-STUB", "transferred"),
    ];
    rules.iter().find(|(start, _)| rule.starts_with(start)).map(|(_, word)| *word)
}
