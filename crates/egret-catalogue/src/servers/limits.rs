//! How often servers let themselves be asked, as they publish it.

use anyhow::{Result, ensure};

use super::quirks::leaves_persons_out;
use super::{Server, Servers};
use crate::csv::Row;
use crate::data::Data;

const COLUMNS: [&str; 12] = [
    "service",
    "protocol",
    "host",
    "limit",
    "window_s",
    "scope",
    "burst",
    "source_url",
    "confidence",
    "source_year",
    "unit",
    "pool",
];
/// Where a network is named without its size: what Internet registries give to one site (chosen).
const USUAL_NETWORK: &str = "subnet/24/48";

/// Adds the limits of whois and RDAP servers that have a number and are known well.
pub(super) fn add(data: &Data, servers: &mut Servers) -> Result<()> {
    for row in data.limits.rows(&COLUMNS)? {
        let Some(protocol) = ["whois", "rdap"].into_iter().find(|name| *name == row.get("protocol")) else {
            continue;
        };
        let Some(scope) = scope(&row) else { continue };
        if row.get("confidence") == "low" || row.get("limit").is_empty() {
            continue;
        }
        let server = servers.entry((row.get("host").to_owned(), protocol)).or_default();
        // Objects of persons are left out of the answers asked for, so they are never counted.
        if !(row.get("unit").contains("person") && leaves_persons_out(server)) {
            learn(server, &row, &scope)?;
        }
    }
    Ok(())
}

fn learn(server: &mut Server, row: &Row<'_>, scope: &str) -> Result<()> {
    let (units, secs) = (row.get("limit"), row.get("window_s"));
    ensure!(
        units.parse::<u32>().is_ok_and(|units| units > 0),
        "{}: `{units}` is no limit",
        row.get("service")
    );
    if secs == "0" {
        server.concurrency = Some(units.to_owned());
    } else {
        server.quotas.extend(burst(row.get("burst")).map(|burst| format!("{burst} per 1s {scope}")));
        server.quotas.push(format!("{units} per {secs}s {scope}"));
    }
    let source = format!("{}, {}", row.get("source_url"), row.get("source_year").replace('~', "about "));
    if !server.sources.contains(&source) {
        server.sources.push(source);
    }
    Ok(())
}

/// The units in `5/s` and `100/s leaky bucket`.
fn burst(text: &str) -> Option<&str> {
    let (units, _) = text.split_once("/s")?;
    (!units.is_empty() && units.bytes().all(|b| b.is_ascii_digit())).then_some(units)
}

/// Whose calls count together; none where it is no limit for the likes of us.
fn scope(row: &Row<'_>) -> Option<String> {
    match row.get("pool") {
        "per-ip" => Some("ip".to_owned()),
        "POOLED" => Some("fleet".to_owned()),
        "per-net" => Some(network(row.get("scope")).unwrap_or_else(|| USUAL_NETWORK.to_owned())),
        _ => None,
    }
}

/// `net (/24 v4; /48 v6)`.
fn network(scope: &str) -> Option<String> {
    let bits = |family: &str| {
        let (before, _) = scope.split_once(family)?;
        before.rsplit('/').next()?.trim().parse::<u8>().ok()
    };
    Some(format!("subnet/{}/{}", bits(" v4")?, bits(" v6")?))
}
