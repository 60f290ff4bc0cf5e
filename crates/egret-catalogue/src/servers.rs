//! `servers.tsv`: what is known of each whois host, and of RDAP hosts that publish limits.
//!
//! Quotas are taken only if a number is published or was observed well (confidence `high` or
//! `medium`), and never rounded up. Servers of one back end share a `group` and then its quotas.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};

use crate::data::Data;
use crate::domains::Zones;
use crate::numbers::Block;

mod limits;
mod quirks;

/// What is known of a server.
#[derive(Debug, Default, Clone)]
pub(crate) struct Server {
    pub(crate) group: Option<String>,
    /// Templates: names, addresses, AS numbers.
    pub(crate) domain: Option<String>,
    pub(crate) ip: Option<String>,
    pub(crate) asn: Option<String>,
    pub(crate) charset: Option<String>,
    pub(crate) quotas: Vec<String>,
    pub(crate) concurrency: Option<String>,
    pub(crate) cost: Option<String>,
    pub(crate) terms: Option<String>,
    pub(crate) referral: Option<String>,
    pub(crate) sources: Vec<String>,
}

/// Every server by host, then protocol.
pub(crate) type Servers = BTreeMap<(String, &'static str), Server>;

/// Puts together what is known.
pub(crate) fn servers(data: &Data, zones: &Zones, blocks: &[Block]) -> Result<Servers> {
    let asked = zones.values().filter_map(|zone| zone.whois.as_deref());
    let asked = asked.chain(blocks.iter().map(|block| block.whois));
    let mut servers: Servers = asked.map(|host| (whois(host), Server::default())).collect();
    quirks::add(data, &mut servers).context("whois-server-quirks.csv")?;
    limits::add(data, &mut servers).context("known-limits.csv")?;
    for zone in zones.values() {
        if let (Some(host), Some(referral)) = (&zone.whois, zone.referral) {
            servers.entry(whois(host)).or_default().referral = Some(referral.to_owned());
        }
    }
    add_judged(data, &mut servers)?;
    add_groups(data, zones, &mut servers)?;
    share_quotas(&mut servers)?;
    Ok(servers)
}

fn whois(host: &str) -> (String, &'static str) {
    (host.to_owned(), "whois")
}

fn add_judged(data: &Data, servers: &mut Servers) -> Result<()> {
    for judged in data.judged("terms") {
        let server =
            servers.get_mut(&whois(judged.subject)).with_context(|| stale("terms", judged.subject))?;
        server.terms = Some(judged.value.to_owned());
        if !server.sources.iter().any(|source| source.contains(judged.why)) {
            server.sources.push(judged.why.to_owned());
        }
    }
    for judged in data.judged("cost") {
        let key = (judged.subject.to_owned(), "rdap");
        let server = servers.get_mut(&key).with_context(|| stale("cost", judged.subject))?;
        server.cost = Some(judged.value.to_owned());
    }
    Ok(())
}

fn stale(verb: &str, subject: &str) -> String {
    format!("hand.tsv judges the {verb} of {subject}, which is not in the table; remove the line")
}

/// The back end of a whois server is the RDAP host of its zones, if several zones share that, or as judged.
fn add_groups(data: &Data, zones: &Zones, servers: &mut Servers) -> Result<()> {
    for (host, group) in derived_groups(data, zones)? {
        servers.entry(whois(&host)).or_default().group = Some(group);
    }
    for judged in data.judged("group") {
        let server =
            servers.get_mut(&whois(judged.subject)).with_context(|| stale("group", judged.subject))?;
        server.group = (judged.value != "-").then(|| judged.value.to_owned());
    }
    let mut members: BTreeMap<String, usize> = BTreeMap::new();
    for group in servers.values().filter_map(|server| server.group.clone()) {
        *members.entry(group).or_default() += 1;
    }
    for server in servers.values_mut() {
        server.group = server.group.take().filter(|group| members[group] > 1);
    }
    Ok(())
}

fn derived_groups(data: &Data, zones: &Zones) -> Result<BTreeMap<String, String>> {
    let mut shared: BTreeMap<&str, usize> = BTreeMap::new();
    for base in zones.values().filter_map(|zone| zone.rdap()) {
        *shared.entry(host_of(base)).or_default() += 1;
    }
    let mut groups: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for zone in zones.values() {
        let Some(whois) = &zone.whois else { continue };
        let host = zone.rdap().map(host_of).filter(|host| shared[host] > 1);
        groups.entry(whois.clone()).or_default().extend(host);
    }
    groups.retain(|whois, hosts| !hosts.is_empty() && data.judged_of("group", whois).is_none());
    let mut derived = BTreeMap::new();
    for (whois, hosts) in groups {
        ensure!(hosts.len() == 1, "{whois} serves zones of {hosts:?}; judge its group in hand.tsv");
        derived.extend(hosts.first().map(|host| (whois, (*host).to_owned())));
    }
    Ok(derived)
}

fn host_of(base: &str) -> &str {
    base.split(['/', ':']).nth(3).unwrap_or_default()
}

/// A budget belongs to the back end: what one whois server of a group publishes holds for all.
fn share_quotas(servers: &mut Servers) -> Result<()> {
    let mut published: BTreeMap<String, Server> = BTreeMap::new();
    for ((host, _), server) in servers.iter().filter(|(_, server)| !server.quotas.is_empty()) {
        let Some(group) = &server.group else { continue };
        let first = published.entry(group.clone()).or_insert_with(|| server.clone());
        ensure!(first.quotas == server.quotas, "the quotas of {host} are not those of its group {group}");
    }
    for server in servers.values_mut().filter(|server| server.quotas.is_empty()) {
        if let Some(of_group) = server.group.as_ref().and_then(|group| published.get(group)) {
            server.quotas.clone_from(&of_group.quotas);
            server.sources.clone_from(&of_group.sources);
        }
    }
    Ok(())
}

/// The file.
pub(crate) fn written(servers: &Servers) -> String {
    let mut text = String::from(
        "# What is known of each server: host, protocol, then what is known. Written by `egret-catalogue build` from published\n\
         # limits, the servers' documentation, and crates/egret-catalogue/hand.tsv; `source` says where quotas or terms are from.\n",
    );
    for ((host, protocol), server) in servers {
        text.push_str(&format!("{host}\t{protocol}"));
        for (key, value) in server.facts() {
            text.push_str(&format!("\t{key}={value}"));
        }
        text.push('\n');
    }
    text
}

impl Server {
    /// What is known, in the order it is written.
    fn facts(&self) -> Vec<(&'static str, String)> {
        let sources = (!self.sources.is_empty()).then(|| self.sources.join("; "));
        let before = [
            ("group", &self.group),
            ("domain", &self.domain),
            ("ip", &self.ip),
            ("asn", &self.asn),
            ("charset", &self.charset),
        ];
        let after = [
            ("concurrency", &self.concurrency),
            ("cost", &self.cost),
            ("terms", &self.terms),
            ("referral", &self.referral),
            ("source", &sources),
        ];
        let known = |(key, value): (&'static str, &Option<String>)| value.clone().map(|value| (key, value));
        let quotas = self.quotas.iter().map(|quota| ("quota", quota.clone()));
        before
            .into_iter()
            .filter_map(known)
            .chain(quotas)
            .chain(after.into_iter().filter_map(known))
            .collect()
    }
}
