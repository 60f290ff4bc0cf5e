//! What a service allows: its quotas, how it counts, how long calls and rests last.

use std::time::Duration;

use egret_core::quota::{Counting, Quota, Terms};

use super::error::ConfigError;
use super::item::Item;
use super::table::{Keys, Table};
use super::value::{CALL, LIFE, LINGER, YEAR, quoted};

/// Units of a quota; more is a mistake (chosen).
const UNITS_MAX: u32 = 1_000_000;
/// Open calls at a time from one egress; more is a mistake (chosen).
const CONCURRENCY_MAX: u32 = 10_000;

const TIMEOUT: Duration = Duration::from_secs(10);
const REST: Duration = Duration::from_secs(60);
const LONGEST_REST: Duration = Duration::from_secs(86_400);
const LATE: Duration = Duration::from_secs(2);

/// The keys of one quota.
pub(super) const QUOTA: Keys =
    Keys { here: &["units", "per", "burst", "scope"], later: &["share", "ipv4_prefix", "ipv6_prefix"] };

/// Reads the terms of one service.
pub(super) fn read(service: &Table<'_>) -> Result<Terms, ConfigError> {
    let counting = service.read("counting", counting)?.unwrap_or_default();
    let quotas = service.read("quotas", |item| quotas(item, counting))?.unwrap_or_default();
    let concurrency = service.read("concurrency", |item| item.whole(1..=CONCURRENCY_MAX))?;
    if quotas.is_empty() {
        for key in ["counting", "concurrency"] {
            if let Some(item) = service.get(key) {
                return Err(item.error(
                    "without effect beside the careful default (1 per 2s, one call at a time); \
                     add `quotas`, or remove it",
                ));
            }
        }
    }
    let (cool_down, max_cool_down) = cool_downs(service)?;
    Ok(Terms {
        quotas,
        counting,
        concurrency,
        cool_down,
        max_cool_down,
        timeout: service.read("timeout", |item| item.span(CALL))?.unwrap_or(TIMEOUT),
        linger: service.read("linger", |item| item.span(LINGER))?.unwrap_or(LATE),
    })
}

fn counting(item: &Item<'_>) -> Result<Counting, ConfigError> {
    item.word(&[
        ("sliding", Counting::Sliding),
        ("fixed", Counting::Fixed),
        ("token-bucket", Counting::TokenBucket),
        ("two-bucket", Counting::TwoBucket),
        ("unknown", Counting::Unknown),
    ])
}

fn quotas(item: &Item<'_>, counting: Counting) -> Result<Vec<Quota>, ConfigError> {
    let quotas = item.list()?.iter().map(|item| quota(item, counting)).collect::<Result<Vec<_>, _>>()?;
    if quotas.is_empty() {
        return Err(item.error("empty; state a quota, or remove the key for the careful default (1 per 2s)"));
    }
    Ok(quotas)
}

fn quota(item: &Item<'_>, counting: Counting) -> Result<Quota, ConfigError> {
    let table = item.table(&QUOTA)?;
    let units = table.need("units", "the calls allowed, such as units = 10")?.whole(1..=UNITS_MAX)?;
    let per = table.need("per", "the span they are counted over, such as per = \"1m\"")?.span(LIFE)?;
    table.read("scope", scope)?;
    let burst = table.read("burst", |item| {
        if counting != Counting::TokenBucket {
            return Err(
                item.error("only a token bucket has a burst; set counting = \"token-bucket\", or remove it")
            );
        }
        item.whole(1..=UNITS_MAX)
    })?;
    let quota = Quota { units, per, burst };
    if counting == Counting::TokenBucket && !fills_in_a_year(quota) {
        return Err(
            item.error("the bucket takes longer than 366d to fill; lower `burst` or `per`, or raise `units`")
        );
    }
    Ok(quota)
}

/// Only one source address has a budget so far; others would be promises.
fn scope(item: &Item<'_>) -> Result<(), ConfigError> {
    match item.text()? {
        "ip" => Ok(()),
        word if ["subnet", "fleet"].contains(&word) || word.starts_with("tag:") => {
            let word = quoted(word);
            Err(item.error(format!("scope {word} is not supported by this version of egret; write \"ip\"")))
        }
        word => Err(item.error(format!("{} is no scope; write \"ip\"", quoted(word)))),
    }
}

fn fills_in_a_year(Quota { units, per, burst }: Quota) -> bool {
    let burst = u128::from(burst.unwrap_or(units));
    per.as_nanos() * burst <= YEAR.as_nanos() * u128::from(units)
}

fn cool_downs(service: &Table<'_>) -> Result<(Duration, Duration), ConfigError> {
    let rest = service.read("cool_down", |item| item.span(LIFE))?.unwrap_or(REST);
    let longest = service.read("max_cool_down", |item| item.span(LIFE))?.unwrap_or(LONGEST_REST);
    if rest <= longest {
        return Ok((rest, longest));
    }
    let (lower, upper) = (egret_wire::value::Span(rest), egret_wire::value::Span(longest));
    let why =
        format!("the first rest ({lower}) is longer than `max_cool_down` ({upper}); lower it, or raise that");
    let shorter = || service.need("max_cool_down", "a longer one");
    Err(service.get("cool_down").map_or_else(shorter, Ok)?.error(why))
}
