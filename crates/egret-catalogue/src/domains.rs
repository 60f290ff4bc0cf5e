//! `domains.tsv`: each zone with its RDAP and whois servers.
//!
//! A whois server counts if a source with a free licence names it: WooMai's list,
//! weppos's, or one by hand. In `whois-tld.csv` that is a row of WooMai's, a row of
//! rfc1036's that another source agrees with (`high`), or else the server seen elsewhere.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use crate::csv::Row;
use crate::data::Data;

const NONE: &str = "IANA's root zone database names neither an RDAP nor a whois server for it";

/// Who answers for a zone.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Zone {
    /// The base URL that IANA names.
    pub(crate) iana: Option<String>,
    /// One that others name.
    pub(crate) other: Option<String>,
    pub(crate) whois: Option<String>,
    /// How the whois server refers to registrars.
    pub(crate) referral: Option<&'static str>,
    /// Why there is no server.
    pub(crate) why: Option<String>,
}

impl Zone {
    /// The base URL that is asked.
    pub(crate) fn rdap(&self) -> Option<&str> {
        self.iana.as_deref().or(self.other.as_deref())
    }
}

/// Every zone, sorted.
pub(crate) type Zones = BTreeMap<String, Zone>;

/// The columns of `whois-tld.csv` that are used.
pub(crate) const COLUMNS: [&str; 7] =
    ["tld", "server", "source", "mode", "confidence", "alt_servers", "is_iana_tld"];

/// Puts the sources together.
pub(crate) fn zones(data: &Data) -> Result<Zones> {
    let mut zones = Zones::new();
    for (zone, base) in data.bootstrap.zones() {
        zones.entry(zone.to_owned()).or_default().iana = Some(base.to_owned());
    }
    add_extra(data, &mut zones)?;
    for row in data.tlds.rows(&COLUMNS).context("whois-tld.csv")? {
        add_whois(data, &mut zones, &row);
    }
    for judged in data.judged("zone") {
        zones.entry(judged.subject.to_owned()).or_default().whois = Some(judged.value.to_owned());
    }
    for (name, zone) in &mut zones {
        if zone.rdap().is_none() && zone.whois.is_none() {
            let retired = data.judged_of("retired", name).map(|judged| judged.why.to_owned());
            zone.why = Some(retired.unwrap_or_else(|| NONE.to_owned()));
        }
    }
    Ok(zones)
}

fn add_extra(data: &Data, zones: &mut Zones) -> Result<()> {
    let columns = ["tld", "base_url", "confidence", "source"];
    for row in data.extra.rows(&columns).context("rdap-extra.csv")? {
        let (tld, base) = (row.get("tld"), row.get("base_url"));
        let trusted = row.get("confidence") != "low" || data.judged_of("rdap", tld).is_some();
        let zone = zones.entry(tld.to_owned()).or_default();
        if row.get("source").contains("IANA bootstrap") || row.get("source") == "as above" {
            zone.iana = Some(base.to_owned());
        } else if trusted {
            zone.other = Some(base.to_owned());
        }
    }
    Ok(())
}

fn add_whois(data: &Data, zones: &mut Zones, row: &Row<'_>) {
    let tld = row.get("tld");
    let whois = free_whois(row).filter(|_| data.judged_of("retired", tld).is_none());
    if whois.is_none() && row.get("is_iana_tld") != "1" {
        return;
    }
    let zone = zones.entry(tld.to_owned()).or_default();
    zone.whois = whois.map(str::to_owned);
    zone.referral = match row.get("mode") {
        "thin-verisign" => Some("thin"),
        "thin-recursive" => Some("recursive"),
        _ => None,
    };
}

/// The whois server of a row, if a source with a free licence names it.
pub(crate) fn free_whois<'t>(row: &Row<'t>) -> Option<&'t str> {
    let server = Some(row.get("server")).filter(|server| !server.is_empty());
    let is_free = row.get("source").contains("WooMai") || row.get("confidence") == "high";
    match server {
        Some(server) if is_free => Some(server),
        _ => row.get("alt_servers").split_whitespace().next(),
    }
}

/// The file.
pub(crate) fn written(data: &Data, zones: &Zones) -> String {
    let [dns, ..] = &data.published;
    let mut text = format!(
        "# Who answers for a zone: zone, RDAP server named by IANA, RDAP server named by others, whois server, why there is\n\
         # none. Written by `egret-catalogue build` from IANA's RDAP bootstrap of {dns}, its root zone database as read by\n\
         # WooMai/whois-servers (Unlicense, 2026-08-18), weppos/whois (MIT, 2025-10-15), and crates/egret-catalogue/hand.tsv.\n"
    );
    for (name, zone) in zones {
        let fields = [&zone.iana, &zone.other, &zone.whois, &zone.why];
        let fields = fields.map(|field| field.as_deref().unwrap_or("-"));
        text.push_str(&format!("{name}\t{}\n", fields.join("\t")));
    }
    text
}
