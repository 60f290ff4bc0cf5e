//! A back end of the catalogue as a service: what it publishes of limits holds, and where it publishes nothing the
//! careful default does.

use std::time::Duration;

use egret_core::quota::{Counting, Quota, Terms, WHOLE};
use egret_core::scope::Scope;
use egret_lookup::known::{self, Referral, Server, Table};
use egret_lookup::{Place, Service};
use egret_wire::agent;
use url::Url;

use crate::config::value::is_loopback;
use crate::config::{ServiceConfig, defaults};

/// The service that a back end of the table is. One at `localhost` may be asked only if there may be such.
pub(super) fn service(table: &Table, id: &str, has_local: bool) -> Option<ServiceConfig> {
    let mut servers = table.backend(id);
    let first = servers.next()?;
    let is_one_host = servers.next().is_none();
    let service = match first.protocol {
        egret_lookup::Protocol::Rdap => rdap(id, &first.address)?,
        egret_lookup::Protocol::Whois => {
            // Where there are several, each grant names the one that is asked.
            let address = if is_one_host { first.address.to_string() } else { String::new() };
            whois(id, &address, first.charset())?
        }
        egret_lookup::Protocol::Http => return None,
    };
    let referral = first.referral();
    let allow_private_addresses =
        has_local && Url::parse(&service.address).is_ok_and(|url| is_loopback(&url));
    Some(ServiceConfig {
        terms: terms(first),
        referral,
        allow_private_addresses,
        source: first.source().map(str::to_owned),
        ..service
    })
}

/// The service of a server that only an answer has named.
pub(super) fn learned(id: &str, place: &Place) -> Option<ServiceConfig> {
    let service = match place {
        Place::Rdap { root, .. } => rdap(id, root)?,
        Place::Whois { host } => whois(id, &format!("{host}:43"), None)?,
    };
    Some(ServiceConfig { origin: "referral".to_owned(), ..service })
}

/// An RDAP host, by a base URL on it: paths count from its root.
fn rdap(id: &str, base: &str) -> Option<ServiceConfig> {
    let (scheme, rest) = base.split_once("://")?;
    let host = rest.split('/').next()?;
    Some(ServiceConfig {
        protocol: agent::Protocol::Http,
        address: format!("{scheme}://{host}/"),
        headers: defaults::rdap_headers(Vec::new()),
        methods: vec!["GET"],
        lookup: Service::new(id, egret_lookup::Protocol::Rdap).ok()?,
        ..blank(id)?
    })
}

/// A whois server.
fn whois(id: &str, address: &str, charset: Option<&str>) -> Option<ServiceConfig> {
    let service = blank(id)?;
    let lookup = match charset {
        Some(label) => service.lookup.clone().with_charset(label).ok()?,
        None => service.lookup.clone(),
    };
    // Where there are several hosts, what is known of one is no word about the others.
    let lookup = match address.rsplit_once(':') {
        Some((host, _)) => lookup.with_host(host),
        None => lookup,
    };
    Some(ServiceConfig { address: address.to_owned(), lookup, ..service })
}

/// A service of which nothing is known.
fn blank(id: &str) -> Option<ServiceConfig> {
    Some(ServiceConfig {
        protocol: agent::Protocol::Whois,
        address: String::new(),
        methods: Vec::new(),
        headers: Vec::new(),
        terms: careful(),
        referral: Referral::None,
        lookup: Service::new(id, egret_lookup::Protocol::Whois).ok()?,
        cache_for: defaults::CACHE_FOR,
        max_answer: defaults::MAX_ANSWER,
        allow_private_addresses: false,
        source: None,
        terms_url: None,
        origin: "catalogue".to_owned(),
    })
}

fn careful() -> Terms {
    Terms {
        quotas: Vec::new(),
        counting: Counting::default(),
        cost: 1,
        concurrency: None,
        cool_down: defaults::REST,
        max_cool_down: defaults::LONGEST_REST,
        timeout: defaults::TIMEOUT,
        linger: defaults::LATE,
    }
}

fn terms(server: &Server) -> Terms {
    let quotas: Vec<Quota> = server.quotas().iter().map(quota).collect();
    if quotas.is_empty() {
        return careful();
    }
    Terms { quotas, cost: server.cost(), concurrency: server.concurrency(), ..careful() }
}

fn quota(published: &known::Quota) -> Quota {
    let scope = match published.scope {
        known::Scope::Ip => Scope::Ip,
        known::Scope::Subnet { ipv4_prefix, ipv6_prefix } => Scope::Subnet { ipv4_prefix, ipv6_prefix },
        known::Scope::Fleet => Scope::Fleet,
    };
    Quota {
        units: published.units,
        per: published.per.max(Duration::from_secs(1)),
        burst: None,
        scope,
        share: WHOLE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_back_end_of_the_catalogue_is_a_service_with_what_it_publishes() {
        let table = Table::embedded();
        let ids: std::collections::BTreeSet<&str> = table.servers().map(Server::backend).collect();
        assert!(ids.len() > 500, "{}", ids.len());
        for id in ids {
            let service = service(table, id, true).unwrap_or_else(|| panic!("{id}"));
            let server = table.backend(id).next().unwrap();
            assert_eq!(service.terms.quotas.len(), server.quotas().len(), "{id}");
            assert!(service.terms.quotas_in_calls().iter().all(|quota| quota.units > 0), "{id}");
            assert!(service.address.is_empty() || service.address.contains(':'), "{id}");
            assert!(!service.allow_private_addresses, "{id}");
        }
    }

    #[test]
    fn servers_on_this_host_are_asked_only_where_there_may_be_some() {
        let mut bootstrap = known::Bootstrap::default();
        let dns = r#"{"services": [[["aa"], ["http://localhost:8080/rdap/"]], [["ab"], ["http://localhost.example/"]],
            [["ac"], ["http://a.localhost/"]]]}"#;
        bootstrap.read(known::BootstrapFile::Dns, dns).unwrap();
        let table = Table::with_bootstrap(&bootstrap);
        let may = |id, has_local| service(&table, id, has_local).unwrap().allow_private_addresses;
        let all = ["localhost", "localhost.example", "a.localhost"];
        assert_eq!(all.map(|id| may(id, true)), [true, false, true]);
        assert_eq!(all.map(|id| may(id, false)), [false; 3]);
        assert_eq!(service(&table, "localhost", true).unwrap().address, "http://localhost:8080/");
    }
}
