//! Top-level domains and the zones below them, beside rfc1036's list.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use egret_lookup::known::{self, Known, Terms};

use super::{listed, row, table, whois};
use crate::csv::Row;
use crate::data::Data;
use crate::domains::COLUMNS;

/// Whom each top-level domain of the root is asked of.
pub(super) fn root(data: &Data, text: &mut String) -> Result<()> {
    let mut plans: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for tld in data.tlds.rows(&COLUMNS).context("whois-tld.csv")? {
        if tld.get("is_iana_tld") == "1" {
            let plan = plan(&known::domain(tld.get("tld")), tld.get("tld"));
            plans.entry(plan).or_default().push(tld.get("tld").to_owned());
        }
    }
    table(text, "Each top-level domain of the root", &["asked of", "domains", ""]);
    for (plan, tlds) in &plans {
        // Who cannot be asked is named in full; of the others the count says enough.
        let shown = if plan.starts_with("nobody") { tlds.join(", ") } else { listed(tlds) };
        row(text, &[plan, &tlds.len(), &shown]);
    }
    row(text, &[&"all", &plans.values().map(Vec::len).sum::<usize>(), &""]);
    Ok(())
}

fn plan(known: &Known<'_>, tld: &str) -> String {
    let is_closed = known.whois.is_some_and(|server| server.terms() == Terms::Closed);
    match (known.rdap, known.whois) {
        _ if known.zone != tld => "NOT IN THE TABLE".to_owned(),
        (Some(_), Some(_)) if is_closed => "RDAP; its whois is closed".to_owned(),
        (Some(_), Some(_)) => "RDAP, whois".to_owned(),
        (Some(_), None) => "RDAP".to_owned(),
        (None, Some(_)) if is_closed => "nobody: its whois is closed".to_owned(),
        (None, Some(_)) => "whois".to_owned(),
        (None, None) => format!("nobody: {}", known.why_none.unwrap_or("NO REASON")),
    }
}

/// Where rfc1036's list, or one of those that were put together, names another whois server.
pub(super) fn differences(data: &Data, text: &mut String) -> Result<()> {
    let mut kinds: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut same = 0;
    for tld in data.tlds.rows(&COLUMNS)? {
        match difference(&tld) {
            Some((kind, what)) => kinds.entry(kind).or_default().push(what),
            None => same += 1,
        }
    }
    table(text, "Whois servers of zones, beside the list of rfc1036/whois", &["difference", "zones", ""]);
    row(text, &[&"none", &same, &""]);
    for (kind, zones) in &kinds {
        let shown = if zones.len() > 40 { listed(zones) } else { zones.join(", ") };
        row(text, &[kind, &zones.len(), &shown]);
    }
    Ok(())
}

/// What differs, and an example of it.
fn difference(tld: &Row<'_>) -> Option<(&'static str, String)> {
    let (zone, theirs) = (tld.get("tld"), tld.get("server"));
    let known = known::domain(zone);
    let ours = Some(whois(&known)).filter(|_| known.zone == zone);
    let is_theirs = tld.get("source").starts_with("rfc1036");
    Some(match ours {
        Some(ours) if ours == theirs && (is_theirs || tld.get("alt_servers").is_empty()) => return None,
        Some(ours) if ours == theirs => {
            let others = tld.get("alt_servers");
            ("another server than IANA's, which is taken", format!("{zone} ({others}; here {ours})"))
        }
        Some("none") if theirs.is_empty() => return None,
        Some("none") if known.rdap.is_some() => ("the table has RDAP only", format!("{zone} ({theirs})")),
        Some("none") => ("the table has nobody", format!("{zone} ({theirs})")),
        Some(ours) if theirs.is_empty() => ("the list says there is none", format!("{zone} ({ours})")),
        Some(ours) if is_theirs => ("another server", format!("{zone} ({theirs}; here {ours})")),
        Some(ours) => ("NOT AS BUILT", format!("{zone} ({theirs}; here {ours})")),
        None if theirs.is_empty() => {
            ("a zone that the list says has none, here asked as the one above", zone.to_owned())
        }
        None => ("a zone the table does not have, here asked as the one above", format!("{zone} ({theirs})")),
    })
}
