//! IANA's RDAP bootstrap files (RFC 9224): which RDAP server has which zone, network and AS number.
//!
//! They come over the network, so they are read as strangers' texts are: bounded, and
//! refused as a whole at the first thing that is wrong, so that the table in use stays.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};

use serde::Deserialize;
use url::{Host, Url};

use super::build::host_of;
use super::text::{BlockRow, Family, Rows, ZoneRow, as_range, network};
use super::{NAME_MAX, Table};
use crate::target::{Given, parse_zone};

/// The largest file that is read, in bytes; the largest of 2026 has 71 KB (chosen).
const TEXT_MAX: usize = 4 << 20;
/// Zones, networks or ranges in a file; the largest of 2026 has 1,200 (chosen).
const KEYS_MAX: usize = 50_000;
/// Labels in a zone: a look-up tries as many suffixes; those of 2026 have one (chosen).
const LABELS_MAX: usize = 8;
/// The longest base URL, in bytes; a service's id, which is made of it, has no more (chosen).
const URL_MAX: usize = 400;

/// One of IANA's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BootstrapFile {
    /// Zones.
    Dns,
    /// IPv4 networks.
    Ipv4,
    /// IPv6 networks.
    Ipv6,
    /// AS numbers.
    Asn,
}

impl BootstrapFile {
    /// All of them.
    pub const ALL: [BootstrapFile; 4] =
        [BootstrapFile::Dns, BootstrapFile::Ipv4, BootstrapFile::Ipv6, BootstrapFile::Asn];

    /// What it is called below IANA's base URL (RFC 9224 section 12), as `dns.json`.
    pub fn name(self) -> &'static str {
        match self {
            BootstrapFile::Dns => "dns.json",
            BootstrapFile::Ipv4 => "ipv4.json",
            BootstrapFile::Ipv6 => "ipv6.json",
            BootstrapFile::Asn => "asn.json",
        }
    }

    /// Its place in [`BootstrapFile::ALL`].
    pub(super) fn index(self) -> usize {
        self as usize
    }
}

/// Those of IANA's files that were read and checked; the default has none.
#[derive(Debug, Default)]
pub struct Bootstrap {
    /// In the order of [`BootstrapFile::ALL`].
    parts: [Option<Part>; 4],
}

/// One file.
#[derive(Debug)]
struct Part {
    /// As [`instant`] writes it.
    published: Option<String>,
    services: Services,
}

/// What a file says.
#[derive(Debug)]
enum Services {
    /// Base URLs by zone.
    Zones(Vec<(String, String)>),
    /// Networks or ranges of one family, without whois servers.
    Blocks(Vec<BlockRow>),
}

/// A file that is not used; the table in use stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "IANA's RDAP bootstrap file {file} is not used: {why}; fetch it anew from https://data.iana.org/rdap/{file}"
)]
pub struct BootstrapError {
    file: &'static str,
    why: String,
}

/// The part of RFC 9224 section 3 that is used.
#[derive(Deserialize)]
struct File {
    publication: Option<String>,
    /// Keys, then base URLs.
    services: Vec<(Vec<String>, Vec<String>)>,
}

impl Bootstrap {
    /// The largest file that is read, in bytes.
    pub const TEXT_MAX: usize = TEXT_MAX;

    /// Reads the texts of `dns.json`, `ipv4.json`, `ipv6.json` and `asn.json`.
    ///
    /// # Errors
    /// As [`Bootstrap::read`].
    pub fn parse(dns: &str, ipv4: &str, ipv6: &str, asn: &str) -> Result<Bootstrap, BootstrapError> {
        let mut bootstrap = Bootstrap::default();
        for (file, text) in BootstrapFile::ALL.into_iter().zip([dns, ipv4, ipv6, asn]) {
            bootstrap.read(file, text)?;
        }
        Ok(bootstrap)
    }

    /// Reads the text of one file, which takes the place of the one that was read before.
    ///
    /// Of several base URLs of a service the first over https is taken, else the first.
    ///
    /// # Errors
    /// [`BootstrapError`] with the file and the first thing wrong in it: more than 4 MiB or 50,000 keys, no
    /// service at all, a key that is no zone, network or range or occurs twice, ranges that overlap, a URL that
    /// is longer than 400 bytes or not http(s) with a host name and a path only, a publication that is no time.
    /// What was read before stays then.
    pub fn read(&mut self, file: BootstrapFile, text: &str) -> Result<(), BootstrapError> {
        self.take(file, text, |_| Ok(()))
    }

    /// The same of a file that is to replace what is compiled in.
    ///
    /// # Errors
    /// As [`Bootstrap::read`]; and if the file does not say when it was published, or was before the one that the
    /// embedded table is made of.
    pub fn renew(&mut self, file: BootstrapFile, text: &str) -> Result<(), BootstrapError> {
        self.take(file, text, |published| {
            let published = published.ok_or("it does not say when it was published")?;
            match Table::embedded().published(file) {
                Some(own) if published < own => {
                    Err(format!("it was published at {published}, and egret has that of {own} built in"))
                }
                _ => Ok(()),
            }
        })
    }

    fn take(
        &mut self,
        file: BootstrapFile,
        text: &str,
        check: impl FnOnce(Option<&str>) -> Result<(), String>,
    ) -> Result<(), BootstrapError> {
        let part = || {
            let (published, keys) = read(text)?;
            check(published.as_deref())?;
            let services = match file {
                BootstrapFile::Dns => Services::Zones(domains(keys)?),
                BootstrapFile::Ipv4 => Services::Blocks(networks(keys, Family::Ipv4)?),
                BootstrapFile::Ipv6 => Services::Blocks(networks(keys, Family::Ipv6)?),
                BootstrapFile::Asn => Services::Blocks(ranges(keys)?),
            };
            Ok(Part { published, services })
        };
        let part = part().map_err(|why| BootstrapError { file: file.name(), why })?;
        self.parts[file.index()] = Some(part);
        Ok(())
    }

    /// Every zone with its base URL, in the file's order.
    pub fn zones(&self) -> impl Iterator<Item = (&str, &str)> {
        let zones = self.services().filter_map(|services| match services {
            Services::Zones(zones) => Some(zones),
            Services::Blocks(_) => None,
        });
        zones.flatten().map(|(zone, base)| (zone.as_str(), base.as_str()))
    }

    /// Every network (`193.0.0.0/8`, `2001:600::/23`) and range of AS numbers (`1-1876`) with its base URL.
    pub fn blocks(&self) -> impl Iterator<Item = (&str, &str)> {
        let blocks = self.services().filter_map(|services| match services {
            Services::Zones(_) => None,
            Services::Blocks(blocks) => Some(blocks),
        });
        blocks.flatten().map(|row| (row.zone.as_ref(), row.rdap.as_deref().unwrap_or_default()))
    }

    /// When a file that was read was published: `2026-07-23T02:00:03Z`, so that a later one is a greater text. `None`:
    /// it does not say, or was not read.
    pub fn published(&self, file: BootstrapFile) -> Option<&str> {
        self.parts[file.index()].as_ref()?.published.as_deref()
    }

    fn services(&self) -> impl Iterator<Item = &Services> {
        self.parts.iter().flatten().map(|part| &part.services)
    }

    /// The rows with these RDAP servers in place of IANA's earlier ones; of a file that was not read those stay.
    pub(super) fn applied_to(&self, mut rows: Rows) -> Rows {
        let whois = whois_by_rdap_host(&rows.blocks);
        for (part, published) in self.parts.iter().zip(&mut rows.published) {
            let Some(part) = part else { continue };
            published.clone_from(&part.published);
            match &part.services {
                Services::Zones(zones) => replace_zones(&mut rows.zones, zones),
                Services::Blocks(blocks) => replace_blocks(&mut rows.blocks, blocks, &whois),
            }
        }
        rows
    }
}

fn replace_zones(rows: &mut Vec<ZoneRow>, zones: &[(String, String)]) {
    let mut new: HashMap<&str, &str> = zones.iter().map(|(zone, base)| (&**zone, &**base)).collect();
    for row in &mut *rows {
        row.iana = new.remove(row.zone.as_ref()).map(|base| Cow::Owned(base.to_owned()));
    }
    let mut added: Vec<ZoneRow> = new.into_iter().map(|(zone, base)| added(zone, base)).collect();
    added.sort_unstable_by(|a, b| a.zone.cmp(&b.zone));
    rows.extend(added);
}

/// A file has one family and at least one key.
fn replace_blocks(rows: &mut Vec<BlockRow>, blocks: &[BlockRow], whois: &HashMap<String, &'static str>) {
    let family = blocks.first().map(|row| row.family);
    rows.retain(|row| Some(row.family) != family);
    rows.extend(blocks.iter().cloned().map(|row| {
        let whois = row.rdap.as_deref().and_then(|base| whois.get(host_of(base)).copied());
        BlockRow { whois, ..row }
    }));
}

/// A time of RFC 3339 in one form: in UTC and whole seconds, so that a later one is a greater text.
pub(super) fn instant(text: &str) -> Option<String> {
    let time: jiff::Timestamp = text.parse().ok().filter(|time| *time >= jiff::Timestamp::UNIX_EPOCH)?;
    Some(time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

fn added(zone: &str, base: &str) -> ZoneRow {
    ZoneRow {
        zone: zone.to_owned().into(),
        iana: Some(base.to_owned().into()),
        other: None,
        whois: None,
        why_none: None,
    }
}

/// The whois server of each registry of numbers, by its RDAP host.
fn whois_by_rdap_host(blocks: &[BlockRow]) -> HashMap<String, &'static str> {
    let pairs = blocks.iter().filter_map(|row| Some((host_of(row.rdap.as_deref()?), row.whois?)));
    pairs.map(|(host, whois)| (host.to_owned(), whois)).collect()
}

fn block_row(key: String, family: Family, (first, last): (u128, u128), base: String) -> BlockRow {
    let zone = key.into();
    BlockRow { zone, family, first, last, rdap: Some(base.into()), whois: None }
}

/// The keys of a file, each with its base URL.
type Keys = Vec<(String, String)>;

/// When a file was published, and its keys.
fn read(text: &str) -> Result<(Option<String>, Keys), String> {
    if text.len() > TEXT_MAX {
        return Err(format!("it has {} bytes, more than {TEXT_MAX}", text.len()));
    }
    let file: File = serde_json::from_str(text)
        .map_err(|error| format!("line {}, column {}: it breaks RFC 9224", error.line(), error.column()))?;
    let time = |text: String| {
        instant(&text).ok_or_else(|| format!("its publication {} is no time of RFC 3339", Given::new(&text)))
    };
    let published = file.publication.map(time).transpose()?;
    let keys: usize = file.services.iter().map(|(keys, _)| keys.len()).sum();
    if keys == 0 || keys > KEYS_MAX {
        return Err(format!("it has {keys} keys, not 1 to {KEYS_MAX}"));
    }
    let mut all = Vec::with_capacity(keys);
    for (keys, urls) in file.services {
        let base = base_of(&urls)?;
        all.extend(keys.into_iter().map(|key| (key, base.clone())));
    }
    Ok((published, all))
}

fn base_of(urls: &[String]) -> Result<String, String> {
    let bases = urls.iter().map(|url| base(url)).collect::<Result<Vec<String>, String>>()?;
    let secure = bases.iter().find(|base| base.starts_with("https:"));
    secure.or(bases.first()).cloned().ok_or_else(|| "a service has no URL".to_owned())
}

/// A base URL as it is asked: normalised, with a final `/`.
fn base(text: &str) -> Result<String, String> {
    let refuse = |why: &str| format!("{} {why}", Given::new(text));
    if text.len() > URL_MAX {
        return Err(refuse("is too long for a base URL"));
    }
    let url = Url::parse(text).map_err(|_| refuse("is no URL"))?;
    if !["http", "https"].contains(&url.scheme()) {
        return Err(refuse("is not http or https"));
    }
    if !matches!(url.host(), Some(Host::Domain(_))) {
        return Err(refuse("has no host name"));
    }
    let plain = url.username().is_empty() && url.password().is_none();
    if !plain || url.query().is_some() || url.fragment().is_some() {
        return Err(refuse("has more than a host, a port and a path"));
    }
    let mut base = String::from(url);
    if !base.ends_with('/') {
        base.push('/');
    }
    Ok(base)
}

fn domains(all: Keys) -> Result<Vec<(String, String)>, String> {
    let mut seen = BTreeSet::new();
    let mut domains = Vec::with_capacity(all.len());
    for (key, base) in all {
        // A-labels only, and no work on what is longer than any name.
        let is_plain = |key: &&str| key.len() <= NAME_MAX && key.bytes().all(|b| b.is_ascii_graphic());
        let is_flat = |key: &&str| key.split('.').count() <= LABELS_MAX;
        let plain = Some(key.as_str()).filter(is_plain).filter(is_flat);
        let zone = plain.and_then(parse_zone).ok_or_else(|| format!("{} is no zone", Given::new(&key)))?;
        if !seen.insert(zone.clone()) {
            return Err(format!("{} occurs twice", Given::new(&key)));
        }
        domains.push((zone, base));
    }
    Ok(domains)
}

fn networks(all: Keys, family: Family) -> Result<Vec<BlockRow>, String> {
    let mut seen = BTreeSet::new();
    let mut blocks = Vec::with_capacity(all.len());
    for (key, base) in all {
        let known = network(&key).filter(|&(of, _, _)| of == family);
        let (_, first, last) =
            known.ok_or_else(|| format!("{} is no network of this file", Given::new(&key)))?;
        if !seen.insert((first, last)) {
            return Err(format!("{} occurs twice", Given::new(&key)));
        }
        blocks.push(block_row(key, family, (first, last), base));
    }
    Ok(blocks)
}

fn ranges(all: Keys) -> Result<Vec<BlockRow>, String> {
    let mut blocks = Vec::with_capacity(all.len());
    for (key, base) in all {
        let (first, last) =
            as_range(&key).ok_or_else(|| format!("{} is no range of AS numbers", Given::new(&key)))?;
        blocks.push(block_row(key, Family::Asn, (first.into(), last.into()), base));
    }
    blocks.sort_unstable_by_key(|block| block.first);
    match blocks.windows(2).find(|pair| pair[1].first <= pair[0].last) {
        Some(pair) => Err(format!("{} and {} overlap", Given::new(&pair[0].zone), Given::new(&pair[1].zone))),
        None => Ok(blocks),
    }
}

#[cfg(test)]
mod tests;
