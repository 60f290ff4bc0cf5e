//! `ip.tsv` and `asn.tsv`: each network and range of AS numbers with its registry's servers.
//!
//! Both come from IANA's RDAP bootstrap: whose RDAP server it names, his whois server is asked.

use std::cmp::Reverse;
use std::net::IpAddr;

use anyhow::{Context, Result};

use crate::data::Data;

/// Each registry's RDAP host and whois server, as its own pages name them.
const REGISTRIES: [(&str, &str); 5] = [
    ("rdap.afrinic.net", "whois.afrinic.net"),
    ("rdap.apnic.net", "whois.apnic.net"),
    ("rdap.arin.net", "whois.arin.net"),
    ("rdap.db.ripe.net", "whois.ripe.net"),
    ("rdap.lacnic.net", "whois.lacnic.net"),
];

/// A network or a range of AS numbers, and who answers for it.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    pub(crate) key: String,
    pub(crate) place: Place,
    pub(crate) rdap: String,
    pub(crate) whois: &'static str,
}

/// Which numbers a block holds, its ends among them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) family: Family,
    pub(crate) first: u128,
    pub(crate) last: u128,
}

/// What the numbers are, in the order of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Family {
    Ipv4,
    Ipv6,
    Asn,
}

/// Every block, sorted, a wider one before those inside it.
pub(crate) fn blocks(data: &Data) -> Result<Vec<Block>> {
    let all = data.bootstrap.blocks();
    let mut blocks = all.map(|(key, base)| block(key, base)).collect::<Result<Vec<Block>>>()?;
    blocks.sort_by_key(|block| (block.place.family, block.place.first, Reverse(block.place.last)));
    Ok(blocks)
}

fn block(key: &str, base: &str) -> Result<Block> {
    let host = base.split('/').nth(2).unwrap_or_default();
    let registry = REGISTRIES.iter().find(|(rdap, _)| *rdap == host);
    let (_, whois) =
        registry.with_context(|| format!("{key}: {host} is no registry's; add it to numbers.rs"))?;
    Ok(Block { key: key.to_owned(), place: Place::parse(key)?, rdap: base.to_owned(), whois })
}

impl Place {
    /// Reads `193.0.0.0/8`, `2001:600::/23` or `1-1876`.
    pub(crate) fn parse(key: &str) -> Result<Place> {
        let place = if key.contains('/') { network(key) } else { range(key) };
        place.with_context(|| format!("{key} is neither a network nor a range"))
    }
}

fn range(key: &str) -> Option<Place> {
    let (first, last) = key.split_once('-').unwrap_or((key, key));
    let number = |digits: &str| digits.parse::<u32>().ok().map(u128::from);
    Some(Place { family: Family::Asn, first: number(first)?, last: number(last)? })
}

fn network(key: &str) -> Option<Place> {
    let (address, bits) = key.split_once('/')?;
    let (family, first, width) = match address.parse().ok()? {
        IpAddr::V4(v4) => (Family::Ipv4, u128::from(v4.to_bits()), 32),
        IpAddr::V6(v6) => (Family::Ipv6, v6.to_bits(), 128),
    };
    let free = u32::checked_sub(width, bits.parse().ok()?)?;
    let last = first | u128::MAX.checked_shr(128 - free).unwrap_or(0);
    Some(Place { family, first, last })
}

/// The two files: networks, then ranges of AS numbers.
pub(crate) fn written(data: &Data, blocks: &[Block]) -> [String; 2] {
    let [_, ipv4, ipv6, asn] = &data.published;
    let from = "Written by `egret-catalogue build` from IANA's RDAP bootstrap";
    let networks = format!(
        "# Who answers for a network: network, RDAP server, whois server.\n# {from} of {ipv4} (IPv4) and {ipv6} (IPv6).\n"
    );
    let ranges =
        format!("# Who answers for AS numbers: range, RDAP server, whois server.\n# {from} of {asn}.\n");
    [(networks, false), (ranges, true)].map(|(head, is_asn)| {
        blocks.iter().filter(|block| (block.place.family == Family::Asn) == is_asn).fold(
            head,
            |mut text, block| {
                text.push_str(&format!("{}\t{}\t{}\n", block.key, block.rdap, block.whois));
                text
            },
        )
    })
}
