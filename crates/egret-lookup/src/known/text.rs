//! The table as `config/catalogue` writes it: lines of fields set apart by tabs, `-` where there is nothing.
//!
//! - `servers.tsv`: host, protocol, then what is known as `key=value`;
//! - `domains.tsv`: zone, IANA's RDAP server, another RDAP server, whois server, why there is none;
//! - `ip.tsv`, `asn.tsv`: network or range, RDAP server, whois server;
//! - `tags.tsv`: tag of a handle, RDAP server;
//! - `published.tsv`: file of IANA's RDAP bootstrap, when the one that this is made of was published.
//!
//! Lines that start with `#` say where the rest is from. `egret-catalogue build` writes the files.

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::Duration;

use super::bootstrap::{BootstrapFile, instant};
use super::ranges::Block;
use super::server::{Facts, Quota, Referral, Scope, Terms};
use crate::service::Protocol;

/// The files' texts.
pub(super) struct Texts {
    pub(super) servers: &'static str,
    pub(super) domains: &'static str,
    pub(super) ip: &'static str,
    pub(super) asn: &'static str,
    pub(super) tags: &'static str,
    pub(super) published: &'static str,
}

/// The files as they were when this was compiled.
pub(super) const EMBEDDED: Texts = Texts {
    servers: include_str!("../../../../config/catalogue/servers.tsv"),
    domains: include_str!("../../../../config/catalogue/domains.tsv"),
    ip: include_str!("../../../../config/catalogue/ip.tsv"),
    asn: include_str!("../../../../config/catalogue/asn.tsv"),
    tags: include_str!("../../../../config/catalogue/tags.tsv"),
    published: include_str!("../../../../config/catalogue/published.tsv"),
};

/// The files, read.
pub(super) struct Rows {
    pub(super) servers: Vec<ServerRow>,
    pub(super) zones: Vec<ZoneRow>,
    pub(super) blocks: Vec<BlockRow>,
    /// Tags of handles, with the base URL of their RDAP server.
    pub(super) tags: Vec<(&'static str, &'static str)>,
    /// When IANA's files were published, in the order of [`BootstrapFile::ALL`].
    pub(super) published: [Option<String>; 4],
}

pub(super) struct ServerRow {
    pub(super) host: &'static str,
    pub(super) protocol: Protocol,
    pub(super) facts: Facts,
}

pub(super) struct ZoneRow {
    pub(super) zone: Cow<'static, str>,
    /// The base URL that IANA names.
    pub(super) iana: Option<Cow<'static, str>>,
    /// A base URL that others name.
    pub(super) other: Option<&'static str>,
    pub(super) whois: Option<&'static str>,
    pub(super) why_none: Option<&'static str>,
}

#[derive(Debug, Clone)]
pub(super) struct BlockRow {
    pub(super) zone: Cow<'static, str>,
    pub(super) family: Family,
    pub(super) first: u128,
    pub(super) last: u128,
    pub(super) rdap: Option<Cow<'static, str>>,
    pub(super) whois: Option<&'static str>,
}

/// Which numbers a block is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Family {
    Ipv4,
    Ipv6,
    Asn,
}

/// A line that cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("config/catalogue/{file}.tsv, line {line}: {why}; build the table anew with `egret-catalogue build`")]
pub(super) struct TextError {
    file: &'static str,
    line: usize,
    why: &'static str,
}

impl Rows {
    /// Reads the files.
    pub(super) fn parse(texts: &Texts) -> Result<Rows, TextError> {
        let mut blocks = read("ip", texts.ip, ip_row)?;
        blocks.extend(read("asn", texts.asn, asn_row)?);
        let mut published = [const { None }; 4];
        for (file, time) in read("published", texts.published, published_row)? {
            published[file.index()] = time;
        }
        Ok(Rows {
            published,
            servers: read("servers", texts.servers, server_row)?,
            zones: read("domains", texts.domains, zone_row)?,
            blocks,
            tags: read("tags", texts.tags, tag_row)?,
        })
    }
}

impl BlockRow {
    /// The block, standing for `index`.
    pub(super) fn block(&self, index: u32) -> Block {
        Block { first: self.first, last: self.last, index }
    }
}

type Read<T> = fn(&'static str) -> Result<T, &'static str>;

fn read<T>(file: &'static str, text: &'static str, row: Read<T>) -> Result<Vec<T>, TextError> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.starts_with('#'));
    lines.map(|(index, line)| row(line).map_err(|why| TextError { file, line: index + 1, why })).collect()
}

fn fields<const N: usize>(line: &'static str) -> Result<[&'static str; N], &'static str> {
    let mut fields = [""; N];
    let mut given = line.split('\t');
    for field in &mut fields {
        *field = given.next().filter(|text| !text.is_empty()).ok_or("a field is missing")?;
    }
    given.next().map_or(Ok(fields), |_| Err("there are too many fields"))
}

fn optional(field: &'static str) -> Option<&'static str> {
    (field != "-").then_some(field)
}

fn zone_row(line: &'static str) -> Result<ZoneRow, &'static str> {
    let [zone, iana, other, whois, why_none] = fields(line)?;
    Ok(ZoneRow {
        zone: zone.into(),
        iana: optional(iana).map(Cow::Borrowed),
        other: optional(other),
        whois: optional(whois),
        why_none: optional(why_none),
    })
}

fn tag_row(line: &'static str) -> Result<(&'static str, &'static str), &'static str> {
    fields(line).map(|[tag, rdap]| (tag, rdap))
}

fn published_row(line: &'static str) -> Result<(BootstrapFile, Option<String>), &'static str> {
    let [name, time] = fields(line)?;
    let file = BootstrapFile::ALL.into_iter().find(|file| file.name() == name);
    let file = file.ok_or("the first field is no file of the bootstrap")?;
    let time = optional(time).map(|time| instant(time).ok_or("the second field is no time")).transpose()?;
    Ok((file, time))
}

fn ip_row(line: &'static str) -> Result<BlockRow, &'static str> {
    let [zone, rdap, whois] = fields(line)?;
    let (family, first, last) = network(zone).ok_or("the first field is no network")?;
    Ok(BlockRow {
        zone: zone.into(),
        family,
        first,
        last,
        rdap: optional(rdap).map(Cow::Borrowed),
        whois: optional(whois),
    })
}

fn asn_row(line: &'static str) -> Result<BlockRow, &'static str> {
    let [zone, rdap, whois] = fields(line)?;
    let (first, last) = as_range(zone).ok_or("the first field is no range of AS numbers")?;
    Ok(BlockRow {
        zone: zone.into(),
        family: Family::Asn,
        first: first.into(),
        last: last.into(),
        rdap: optional(rdap).map(Cow::Borrowed),
        whois: optional(whois),
    })
}

/// The numbers of a network in prefix notation; none if bits are set beyond the prefix.
pub(super) fn network(text: &str) -> Option<(Family, u128, u128)> {
    let (address, bits) = text.split_once('/')?;
    let bits = number(bits).filter(|&bits| bits <= 128)?;
    let (family, first, width) = match address.parse().ok()? {
        IpAddr::V4(v4) => (Family::Ipv4, u128::from(v4.to_bits()), 32),
        IpAddr::V6(v6) => (Family::Ipv6, v6.to_bits(), 128),
    };
    let free = u128::MAX.checked_shr(128 - u32::checked_sub(width, bits)?).unwrap_or(0);
    (first & free == 0).then_some((family, first, first | free))
}

/// The ends of `first-last`, or twice the one number.
pub(super) fn as_range(text: &str) -> Option<(u32, u32)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (number(first)?, number(last)?);
    (first <= last).then_some((first, last))
}

fn number(digits: &str) -> Option<u32> {
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

fn server_row(line: &'static str) -> Result<ServerRow, &'static str> {
    let mut given = line.split('\t');
    let host = given.next().unwrap_or_default();
    let protocol = match given.next() {
        Some("whois") => Protocol::Whois,
        Some("rdap") => Protocol::Rdap,
        _ => return Err("the second field is neither whois nor rdap"),
    };
    let mut facts = Facts::default();
    for fact in given {
        let (key, value) = fact.split_once('=').ok_or("a fact is not written key=value")?;
        learn(&mut facts, key, value)?;
    }
    Ok(ServerRow { host, protocol, facts })
}

fn learn(facts: &mut Facts, key: &str, value: &'static str) -> Result<(), &'static str> {
    match key {
        "group" => facts.group = Some(value.into()),
        "domain" => facts.domain = Some(value),
        "ip" => facts.ip = Some(value),
        "asn" => facts.asn = Some(value),
        "charset" => facts.charset = Some(value),
        "quota" => facts.quotas.push(quota(value).ok_or("a quota is not written like `30 per 60s ip`")?),
        "concurrency" => facts.concurrency = Some(number(value).ok_or("concurrency is no number")?),
        "cost" => facts.cost = Some(number(value).ok_or("cost is no number")?),
        "terms" => facts.terms = terms(value).ok_or("terms are none of the known words")?,
        "referral" => facts.referral = referral(value).ok_or("referral is none of the known words")?,
        "source" => facts.source = Some(value),
        _ => return Err("a key is unknown"),
    }
    Ok(())
}

/// `30 per 60s ip`, `1800 per 900s subnet/24/48`, `5 per 1s fleet`.
fn quota(text: &str) -> Option<Quota> {
    let (units, rest) = text.split_once(" per ")?;
    let (secs, scope) = rest.split_once("s ")?;
    let scope = match scope {
        "ip" => Scope::Ip,
        "fleet" => Scope::Fleet,
        _ => {
            let (ipv4, ipv6) = scope.strip_prefix("subnet/")?.split_once('/')?;
            Scope::Subnet { ipv4_prefix: ipv4.parse().ok()?, ipv6_prefix: ipv6.parse().ok()? }
        }
    };
    Some(Quota { units: number(units)?, per: Duration::from_secs(number(secs)?.into()), scope })
}

fn terms(word: &str) -> Option<Terms> {
    Some(match word {
        "allowed" => Terms::Allowed,
        "discouraged" => Terms::Discouraged,
        "forbidden" => Terms::Forbidden,
        "closed" => Terms::Closed,
        _ => return None,
    })
}

fn referral(word: &str) -> Option<Referral> {
    Some(match word {
        "thin" => Referral::Thin,
        "recursive" => Referral::Recursive,
        "referral-server" => Referral::ReferralServer,
        "refer" => Referral::Refer,
        "transferred" => Referral::Transferred,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::{Family, Rows, TextError, Texts, as_range, network};

    fn texts(servers: &'static str) -> Texts {
        Texts { servers, domains: "", ip: "", asn: "", tags: "", published: "" }
    }

    #[track_caller]
    fn check(servers: &'static str, want: &'static str) {
        let error = Rows::parse(&texts(servers)).map(|_| ()).unwrap_err();
        assert_eq!(error, TextError { file: "servers", line: 2, why: want });
    }

    #[test]
    fn a_line_that_cannot_be_read_is_named() {
        check("# head\na\tftp", "the second field is neither whois nor rdap");
        check("# head\na\twhois\tx", "a fact is not written key=value");
        check("# head\na\twhois\tx=y", "a key is unknown");
        check("# head\na\twhois\tquota=30 per 60 ip", "a quota is not written like `30 per 60s ip`");
        check("# head\na\twhois\tterms=rude", "terms are none of the known words");
    }

    #[test]
    fn a_row_has_just_its_fields() {
        let domains = |domains| Texts { domains, ..texts("") };
        let why = |text| Rows::parse(&domains(text)).map(|_| ()).unwrap_err().why;
        assert_eq!(why("com\t-\t-\t-"), "a field is missing");
        assert_eq!(why("com\t-\t-\t-\t-\t-"), "there are too many fields");
    }

    #[test]
    fn times_of_publication_are_times_of_files() {
        let published = |published| Rows::parse(&Texts { published, ..texts("") });
        let times = published("dns.json\t2026-07-23T04:00:03.5+02:00\nasn.json\t-").unwrap().published;
        assert_eq!(times, [Some("2026-07-23T02:00:03Z".to_owned()), None, None, None]);
        let why = |text| published(text).map(|_| ()).unwrap_err().why;
        assert_eq!(why("dns\t-"), "the first field is no file of the bootstrap");
        assert_eq!(why("dns.json\tyesterday"), "the second field is no time");
    }

    #[test]
    fn networks_have_no_bits_beyond_their_prefix() {
        assert_eq!(network("10.0.0.0/8"), Some((Family::Ipv4, 0x0a00_0000, 0x0aff_ffff)));
        assert_eq!(network("::/0"), Some((Family::Ipv6, 0, u128::MAX)));
        assert_eq!(network("1.2.3.4/32"), Some((Family::Ipv4, 0x0102_0304, 0x0102_0304)));
        for wrong in ["10.0.0.1/8", "10.0.0.0/33", "10.0.0.0", "::/129", "::/-1", "::/+1", "::/", "/8"] {
            assert_eq!(network(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn ranges_of_as_numbers_rise() {
        assert_eq!(as_range("1-4294967295"), Some((1, u32::MAX)));
        assert_eq!(as_range("7"), Some((7, 7)));
        for wrong in ["", "-", "2-1", "1-4294967296", "1-2-3", "+1", "AS1"] {
            assert_eq!(as_range(wrong), None, "{wrong}");
        }
    }
}
