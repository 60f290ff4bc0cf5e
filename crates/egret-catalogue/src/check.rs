//! What the table says beside sources that it was not built from.
//!
//! The table is the one that is compiled in, asked as the product asks it. The sources are
//! the lists of rfc1036/whois, which are under the GPL: they are counted and named here, never taken.

use std::fmt::{Display, Write};

use anyhow::{Context, Result};
use egret_lookup::known::Known;

use crate::data::Data;

mod names;
mod numbers;

/// How many examples a line of the report gives (chosen).
const SHOWN: usize = 12;

/// The report, as Markdown.
pub(crate) fn report(data: &Data) -> Result<String> {
    let mut text = String::new();
    names::root(data, &mut text)?;
    names::differences(data, &mut text).context("whois-tld.csv")?;
    numbers::registries(data, &mut text)?;
    numbers::networks(data, &mut text).context("whois-ip.csv")?;
    numbers::as_numbers(data, &mut text).context("whois-asn.csv")?;
    Ok(text)
}

/// The id of the whois server, or that there is none.
fn whois<'k>(known: &Known<'k>) -> &'k str {
    known.whois.map_or("none", |server| server.id.as_ref())
}

/// Adds a heading and the head of a table.
fn table(text: &mut String, heading: &str, columns: &[&str]) {
    let rule = "|---".repeat(columns.len());
    let gap = if text.is_empty() { "" } else { "\n" };
    let _ = writeln!(text, "{gap}## {heading}\n\n| {} |\n{rule}|", columns.join(" | "));
}

/// Adds a row.
fn row(text: &mut String, cells: &[&dyn Display]) {
    let cells: Vec<String> = cells.iter().map(ToString::to_string).collect();
    let _ = writeln!(text, "| {} |", cells.join(" | "));
}

/// The first of them, and how many more there are.
fn listed(all: &[String]) -> String {
    let shown = all.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    match all.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
