//! One `[[service]]` table: the keys of the file on one side, [`ServiceConfig`] on the other.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::time::Duration;

use egret_lookup::known::Referral;
use egret_lookup::{Rule, Service, ServiceError};
use egret_wire::agent::Protocol;

use super::defaults::{CACHE_FOR, MAX_ANSWER, rdap_headers};
use super::error::ConfigError;
use super::item::Item;
use super::table::{Keys, Table};
use super::{ServiceConfig, request, terms, value};

/// The longest id: that of a host name (RFC 1035 2.3.4, without the dots around it).
const ID_MAX: usize = 253;
/// What a status can be (RFC 9110 15).
const STATUSES: RangeInclusive<u32> = 100..=599;

#[rustfmt::skip]
pub(super) const SERVICE: Keys = Keys {
    here: &[
        "id", "protocol", "address", "quotas", "counting", "cost", "concurrency", "timeout", "template", "zones", "charset",
        "max_answer", "cache_for", "linger", "cool_down", "max_cool_down", "refused_when", "allow_private_addresses", "source",
        "terms_url", "headers", "methods",
    ],
    later: &["group", "contact", "automated", "accept_terms"],
};
/// The signs of one rule in `refused_when`; a status is HTTP's.
pub(super) const RULE: Keys = Keys { here: &["text", "empty", "closed", "status"], later: &[] };

/// Reads one service; its id comes along, so that a second one can be told where the first is.
pub(super) fn read<'d>(item: &Item<'d>) -> Result<(Item<'d>, ServiceConfig), ConfigError> {
    let table = item.table(&SERVICE)?;
    let id = table.need("id", "a name for the service, such as id = \"whois.example.org\"")?;
    is_id(&id)?;
    let address = table.need("address", "where it is, such as address = \"whois.example.org:43\"")?;
    let (protocol, speaks) =
        protocol(&table.need("protocol", "protocol = \"whois\", \"rdap\" or \"http\"")?)?;
    let blank = Service::new(id.text()?, speaks).map_err(|error| refuse(&id, &error))?;
    let address = match protocol {
        Protocol::Http => checked(&address, value::base_url)?,
        Protocol::Whois | Protocol::Null => checked(&address, value::host_and_port)?.to_owned(),
    };
    let blank = match address.rsplit_once(':') {
        Some((host, _)) if protocol == Protocol::Whois => blank.with_host(host),
        _ => blank,
    };
    let service = ServiceConfig {
        protocol,
        address,
        methods: table.read("methods", request::methods)?.unwrap_or_else(request::usual_methods),
        headers: {
            let own = table.read("headers", request::headers)?.unwrap_or_default();
            if speaks == egret_lookup::Protocol::Rdap { rdap_headers(own) } else { own }
        },
        terms: terms::read(&table)?,
        // The catalogue fills it in.
        referral: Referral::None,
        lookup: lookup(&table, blank)?,
        max_answer: {
            let passes = speaks == egret_lookup::Protocol::Http;
            let size = |item: &Item<'_>| checked(item, |text| value::answer_size(text, passes));
            table.read("max_answer", size)?.unwrap_or(MAX_ANSWER)
        },
        cache_for: table.read("cache_for", |item| item.span(value::AGE))?.unwrap_or(
            match (protocol, speaks) {
                (Protocol::Whois, _) | (_, egret_lookup::Protocol::Rdap) => CACHE_FOR,
                (Protocol::Http | Protocol::Null, _) => Duration::ZERO,
            },
        ),
        allow_private_addresses: table.read("allow_private_addresses", Item::flag)?.unwrap_or(false),
        source: table.read("source", Item::line)?.map(str::to_owned),
        terms_url: table.read("terms_url", |item| checked(item, value::url))?.map(str::to_owned),
        origin: table.source().origin().to_owned(),
    };
    Ok((id, service))
}

fn is_id(id: &Item<'_>) -> Result<(), ConfigError> {
    let text = id.text()?;
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b);
    if text.is_empty() || text.len() > ID_MAX || !text.bytes().all(plain) {
        let text = value::quoted(text);
        return Err(id.error(format!("{text} is not an id; write 1 to 253 of a-z, 0-9, `.`, `_` and `-`")));
    }
    Ok(())
}

/// How an agent asks it, and what is asked and answered.
fn protocol(item: &Item<'_>) -> Result<(Protocol, egret_lookup::Protocol), ConfigError> {
    match item.text()? {
        "whois" => Ok((Protocol::Whois, egret_lookup::Protocol::Whois)),
        "rdap" => Ok((Protocol::Http, egret_lookup::Protocol::Rdap)),
        "http" => Ok((Protocol::Http, egret_lookup::Protocol::Http)),
        #[cfg(feature = "bench")]
        "null" => Ok((Protocol::Null, egret_lookup::Protocol::Whois)),
        word => {
            let word = value::quoted(word);
            Err(item.error(format!("{word} is unknown; write \"whois\", \"rdap\" or \"http\"")))
        }
    }
}

fn lookup(table: &Table<'_>, blank: Service) -> Result<Service, ConfigError> {
    let mut service = blank;
    let speaks = service.protocol();
    let others: &[(&str, &str)] = match speaks {
        egret_lookup::Protocol::Http => &[("template", "whois"), ("zones", "whois"), ("charset", "whois")],
        egret_lookup::Protocol::Rdap => &[("template", "whois"), ("charset", "whois"), ("methods", "http")],
        egret_lookup::Protocol::Whois => &[("headers", "http"), ("methods", "http")],
    };
    if let Some((key, owner, item)) =
        others.iter().find_map(|(key, owner)| Some((key, owner, table.get(key)?)))
    {
        return Err(item.error(format!("`{key}` is for {owner} services only; remove it")));
    }
    if let Some(zones) = table.get("zones") {
        let names = zone_names(&zones, &service)?;
        service = service.with_zones(&names).map_err(|error| refuse(&zones, &error))?;
    }
    if let Some(template) = table.get("template") {
        service = service.with_template(template.text()?).map_err(|error| refuse(&template, &error))?;
    }
    if let Some(charset) = table.get("charset") {
        service = service.with_charset(charset.text()?).map_err(|error| refuse(&charset, &error))?;
    }
    if let Some(rules) = table.get("refused_when") {
        let signs = rules.list()?.iter().map(|item| rule(item, speaks)).collect::<Result<Vec<_>, _>>()?;
        service = service.with_refused_when(signs).map_err(|error| refuse(&rules, &error))?;
    }
    Ok(service)
}

/// The zones in the form they are compared in, so that `рф` and `xn--p1ai` are seen to be one.
fn zone_names(zones: &Item<'_>, blank: &Service) -> Result<Vec<String>, ConfigError> {
    let mut names = BTreeSet::new();
    for zone in zones.list()? {
        let one = blank.clone().with_zones(&[zone.text()?]).map_err(|error| refuse(&zone, &error))?;
        for name in one.zones() {
            if !names.insert(name.clone()) {
                return Err(zone.error(format!("zone `{name}` is given twice; keep one")));
            }
        }
    }
    if names.is_empty() {
        return Err(zones.error("empty; name a zone, or remove the key if the service answers any target"));
    }
    Ok(names.into_iter().collect())
}

fn rule(item: &Item<'_>, speaks: egret_lookup::Protocol) -> Result<Rule, ConfigError> {
    let table = item.table(&RULE)?;
    let one_sign = || {
        let status = if speaks != egret_lookup::Protocol::Whois { "{ status = [429] }, " } else { "" };
        let signs = format!("{status}{{ text = \"…\" }}, {{ empty = true }} or {{ closed = true }}");
        item.error(format!("a rule has one sign; write {signs}"))
    };
    match (table.get("text"), table.get("empty"), table.get("closed"), table.get("status")) {
        (Some(text), None, None, None) => Rule::text(text.text()?).map_err(|error| refuse(&text, &error)),
        (None, Some(empty), None, None) => is_true(&empty).map(|()| Rule::Empty),
        (None, None, Some(closed), None) => is_true(&closed).map(|()| Rule::Closed),
        (None, None, None, Some(status)) if speaks != egret_lookup::Protocol::Whois => statuses(&status),
        (None, None, None, Some(status)) => Err(status
            .error("whois has no `status`; write { text = \"…\" }, { empty = true } or { closed = true }")),
        _ => Err(one_sign()),
    }
}

fn statuses(item: &Item<'_>) -> Result<Rule, ConfigError> {
    let status = |code: &Item<'_>| code.whole(STATUSES).map(|code| u16::try_from(code).unwrap_or(u16::MAX));
    let codes = item.list()?.iter().map(status).collect::<Result<Vec<_>, _>>()?;
    Rule::status(&codes).map_err(|error| refuse(item, &error))
}

fn is_true(item: &Item<'_>) -> Result<(), ConfigError> {
    if item.flag()? { Ok(()) } else { Err(item.error("false says nothing; write true, or remove the rule")) }
}

/// A text as `check` understands it.
fn checked<'d, T>(
    item: &Item<'d>,
    check: impl FnOnce(&'d str) -> Result<T, String>,
) -> Result<T, ConfigError> {
    check(item.text()?).map_err(|why| item.error(why))
}

/// What the lookup crate says, without the key that it begins with.
fn refuse(item: &Item<'_>, error: &ServiceError) -> ConfigError {
    let said = error.to_string();
    item.error(said.split_once(": ").map_or(said.as_str(), |(_, why)| why))
}
