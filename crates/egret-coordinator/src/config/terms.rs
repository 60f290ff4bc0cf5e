//! What a service allows: its quotas, how it counts, how long calls and rests last.

use std::time::Duration;

use egret_core::quota::{Counting, MOST_QUOTAS, Quota, Terms, WHOLE};
use egret_core::scope::Scope;
use egret_wire::value::Span;

use super::defaults::{LATE, LONGEST_REST, REST, TIMEOUT};
use super::error::ConfigError;
use super::item::Item;
use super::table::{Keys, Table};
use super::value::{CALL, LIFE, LINGER, quoted};

/// Units of a quota; more is a mistake (chosen).
const UNITS_MAX: u32 = 1_000_000;
/// Units that one call may count; more is a mistake (chosen).
const COST_MAX: u32 = 10_000;
/// The network that shares a quota of scope `subnet`, unless told: the usual allocation of a site, and an egress.
const IPV4_PREFIX: u8 = 24;
const IPV6_PREFIX: u8 = 64;
/// The longest tag, as tokens give them.
const TAG_MAX: usize = 64;
/// Open calls at a time from one egress; more is a mistake (chosen).
const CONCURRENCY_MAX: u32 = 10_000;

/// The keys of one quota.
pub(super) const QUOTA: Keys =
    Keys { here: &["units", "per", "burst", "scope", "ipv4_prefix", "ipv6_prefix", "share"], later: &[] };

/// Reads the terms of one service.
pub(super) fn read(service: &Table<'_>) -> Result<Terms, ConfigError> {
    let counting = service.read("counting", counting)?.unwrap_or_default();
    let quotas = service.read("quotas", |item| quotas(item, counting))?.unwrap_or_default();
    let concurrency = service.read("concurrency", |item| item.whole(1..=CONCURRENCY_MAX))?;
    let cost = service.read("cost", |item| item.whole(1..=COST_MAX))?.unwrap_or(1);
    if quotas.is_empty() {
        for key in ["counting", "concurrency", "cost"] {
            if let Some(item) = service.get(key) {
                return Err(item.error(
                    "without effect beside the careful default (1 per 2s, one call at a time); \
                     add `quotas`, or remove it",
                ));
            }
        }
    }
    let (cool_down, max_cool_down) = cool_downs(service)?;
    let terms = Terms {
        quotas,
        counting,
        cost,
        concurrency,
        cool_down,
        max_cool_down,
        timeout: service.read("timeout", |item| item.span(CALL))?.unwrap_or(TIMEOUT),
        linger: service.read("linger", |item| item.span(LINGER))?.unwrap_or(LATE),
    };
    let short = terms.quotas_in_calls().iter().position(|quota| quota.units == 0);
    if let (Some(short), Some(quotas)) = (short, service.get("quotas")) {
        let quota = quotas.list()?.swap_remove(short);
        let need = if cost == 1 { "one unit".to_owned() } else { format!("one call of {cost} units") };
        return Err(quota.error(format!(
            "not even {need} fits into the part of it that may be used; raise `units` or `share`"
        )));
    }
    Ok(terms)
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
    let items = item.list()?;
    let quotas = items.iter().map(|item| quota(item, counting)).collect::<Result<Vec<_>, _>>()?;
    if quotas.len() > MOST_QUOTAS {
        return Err(item.error(format!("more than {MOST_QUOTAS} quotas; leave out those that others imply")));
    }
    if quotas.is_empty() {
        return Err(item.error("empty; state a quota, or remove the key for the careful default (1 per 2s)"));
    }
    for (index, quota) in quotas.iter().enumerate() {
        if let Some(why) = quotas[..index].iter().find_map(|other| contradiction(other, quota)) {
            return Err(items[index].error(why));
        }
    }
    Ok(quotas)
}

/// Why two quotas cannot both be meant: one of them would never be reached.
fn contradiction(one: &Quota, other: &Quota) -> Option<String> {
    if one.scope != other.scope {
        return None;
    }
    let (long, short) = if one.per < other.per { (other, one) } else { (one, other) };
    let text = |quota: &Quota| format!("{} per {}", quota.units, Span(quota.per));
    let size = |quota: &Quota| quota.burst.unwrap_or(quota.units);
    if long.per == short.per {
        return Some(format!("contradicts {} for the same calls; keep one of them", text(one)));
    }
    let is_unreached = long.units < short.units && size(long) <= size(short);
    is_unreached.then(|| {
        let (short, long) = (text(short), text(long));
        format!("{short} can never be spent beside {long} for the same calls; correct or remove one of them")
    })
}

fn quota(item: &Item<'_>, counting: Counting) -> Result<Quota, ConfigError> {
    let table = item.table(&QUOTA)?;
    let units = table.need("units", "the calls allowed, such as units = 10")?.whole(1..=UNITS_MAX)?;
    let per = table.need("per", "the span they are counted over, such as per = \"1m\"")?.span(LIFE)?;
    let burst = table.read("burst", |item| {
        if counting != Counting::TokenBucket {
            return Err(
                item.error("only a token bucket has a burst; set counting = \"token-bucket\", or remove it")
            );
        }
        let burst = item.whole(1..=UNITS_MAX)?;
        if burst > units {
            return Err(item.error(too_large(burst, units, per)));
        }
        Ok(burst)
    })?;
    let share = table.read("share", Item::thousandths)?.unwrap_or(WHOLE);
    Ok(Quota { units, per, burst, scope: scope(&table)?, share })
}

/// Why a bucket may not hold more than the quota it belongs to, and how to say the same without that.
fn too_large(burst: u32, units: u32, per: Duration) -> String {
    // Whole milliseconds, as durations are written; later is never too early.
    let fill = (per * burst).as_millis().div_ceil(u128::from(units));
    match u64::try_from(fill).map(Duration::from_millis) {
        Ok(fill) if LIFE.contains(&fill) => {
            let fill = Span(fill);
            format!("above `units`; write what fills it: units = {burst}, per = \"{fill}\"")
        }
        _ => "above `units`, and takes longer than 366d to fill; lower it".to_owned(),
    }
}

/// Who shares a quota, from `scope` and the two prefixes.
fn scope(table: &Table<'_>) -> Result<Scope, ConfigError> {
    let word = table.get("scope");
    let text = word.as_ref().map_or(Ok("ip"), Item::text)?;
    let ipv4 = table.read("ipv4_prefix", |item| prefix(item, text == "subnet", 32))?;
    let ipv6 = table.read("ipv6_prefix", |item| prefix(item, matches!(text, "subnet" | "ip"), 64))?;
    match (text, word) {
        // An egress is an IPv6 /64: wider ones share.
        ("ip", _) if ipv6.is_some_and(|prefix| prefix < 64) => {
            Ok(Scope::Subnet { ipv4_prefix: 32, ipv6_prefix: ipv6.unwrap_or(64) })
        }
        ("ip", _) | (_, None) => Ok(Scope::Ip),
        ("subnet", _) => Ok(Scope::Subnet {
            ipv4_prefix: ipv4.unwrap_or(IPV4_PREFIX),
            ipv6_prefix: ipv6.unwrap_or(IPV6_PREFIX),
        }),
        ("fleet", _) => Ok(Scope::Fleet),
        (text, Some(item)) => match text.strip_prefix("tag:") {
            Some(tag) if !tag.is_empty() && tag.len() <= TAG_MAX && !tag.contains(char::is_control) => {
                Ok(Scope::Tag(tag.into()))
            }
            _ => Err(item.error(format!(
                "{} is no scope; write \"ip\", \"subnet\", \"fleet\" or \"tag:NAME\"",
                quoted(text)
            ))),
        },
    }
}

fn prefix(item: &Item<'_>, is_meant: bool, most: u8) -> Result<u8, ConfigError> {
    if !is_meant {
        return Err(item.error("only a network has a prefix; set scope = \"subnet\", or remove it"));
    }
    let length = item.whole(1..=most.into())?;
    Ok(u8::try_from(length).unwrap_or(most))
}

fn cool_downs(service: &Table<'_>) -> Result<(Duration, Duration), ConfigError> {
    let rest = service.read("cool_down", |item| item.span(LIFE))?.unwrap_or(REST);
    let longest = service.read("max_cool_down", |item| item.span(LIFE))?.unwrap_or(LONGEST_REST);
    if rest <= longest {
        return Ok((rest, longest));
    }
    let (lower, upper) = (Span(rest), Span(longest));
    let why =
        format!("the first rest ({lower}) is longer than `max_cool_down` ({upper}); lower it, or raise that");
    let shorter = || service.need("max_cool_down", "a longer one");
    Err(service.get("cool_down").map_or_else(shorter, Ok)?.error(why))
}
