//! Networks and AS numbers, beside rfc1036's lists.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, Ipv6Addr};

use anyhow::Result;
use egret_lookup::known::{self, Known};

use super::{listed, row, table, whois};
use crate::data::Data;
use crate::numbers::{Family, Place, blocks};

/// One row of a list.
struct Theirs<'d> {
    place: Place,
    server: &'d str,
}

/// Numbers for which two sources name different servers.
#[derive(Default)]
struct Difference {
    numbers: u128,
    spans: Vec<String>,
}

/// Whom each block that IANA handed to a registry is asked of.
pub(super) fn registries(data: &Data, text: &mut String) -> Result<()> {
    let mut counts: BTreeMap<(Family, String), usize> = BTreeMap::new();
    for block in blocks(data)? {
        let known = known_at(block.place.family, block.place.first);
        let rdap = known.rdap.map_or("none", |server| server.id.as_ref());
        *counts.entry((block.place.family, format!("{rdap}, {}", whois(&known)))).or_default() += 1;
    }
    table(text, "Each block that IANA handed to a registry", &["blocks", "asked of", ""]);
    for ((family, servers), count) in &counts {
        row(text, &[&named(*family), servers, count]);
    }
    Ok(())
}

/// Where the list names another whois server for addresses.
pub(super) fn networks(data: &Data, text: &mut String) -> Result<()> {
    let mut theirs = Vec::new();
    for row in data.networks.rows(&["prefix", "server"])? {
        theirs.push(Theirs { place: Place::parse(row.get("prefix"))?, server: row.get("server") });
    }
    compare(data, Family::Ipv4, &theirs, text)?;
    compare(data, Family::Ipv6, &theirs, text)
}

/// Where the list names another whois server for AS numbers.
pub(super) fn as_numbers(data: &Data, text: &mut String) -> Result<()> {
    let mut theirs = Vec::new();
    for row in data.as_numbers.rows(&["first_as", "last_as", "server"])? {
        let range = format!("{}-{}", row.get("first_as"), row.get("last_as"));
        theirs.push(Theirs { place: Place::parse(&range)?, server: row.get("server") });
    }
    compare(data, Family::Asn, &theirs, text)
}

fn compare(data: &Data, family: Family, theirs: &[Theirs<'_>], text: &mut String) -> Result<()> {
    let theirs: Vec<&Theirs<'_>> = theirs.iter().filter(|row| row.place.family == family).collect();
    let ours = blocks(data)?.into_iter().map(|block| block.place).filter(|place| place.family == family);
    let borders: BTreeSet<u128> = theirs
        .iter()
        .map(|row| row.place)
        .chain(ours)
        .flat_map(|place| [Some(place.first), place.last.checked_add(1)])
        .flatten()
        .collect();
    let borders: Vec<u128> = borders.into_iter().collect();
    let (mut same, mut different) = (0, BTreeMap::<(&str, &str), Difference>::new());
    for span in borders.windows(2) {
        let found = theirs.iter().find(|row| (row.place.first..=row.place.last).contains(&span[0]));
        let their = found.map(|row| row.server).filter(|server| !server.is_empty()).unwrap_or("none");
        let our = whois(&known_at(family, span[0]));
        if their == our {
            same += span[1] - span[0];
        } else {
            different.entry((their, our)).or_default().add(family, span[0], span[1] - 1);
        }
    }
    tell(family, same, &different, text);
    Ok(())
}

impl Difference {
    fn add(&mut self, family: Family, first: u128, last: u128) {
        self.numbers += last - first + 1;
        self.spans.push(format!("{}-{}", written(family, first), written(family, last)));
    }
}

fn tell(family: Family, same: u128, different: &BTreeMap<(&str, &str), Difference>, text: &mut String) {
    let (heading, unit, bits) = match family {
        Family::Ipv4 => ("Whois servers of IPv4 addresses, beside the list of rfc1036/whois", "addresses", 0),
        Family::Ipv6 => ("Whois servers of IPv6 networks, beside the list of rfc1036/whois", "/32s", 96),
        Family::Asn => ("Whois servers of AS numbers, beside the list of rfc1036/whois", "numbers", 0),
    };
    table(text, heading, &["the list", "the table", unit, ""]);
    row(text, &[&"the same", &"", &(same >> bits), &""]);
    for ((their, our), difference) in different {
        row(text, &[their, our, &(difference.numbers >> bits), &listed(&difference.spans)]);
    }
}

fn known_at(family: Family, number: u128) -> Known<'static> {
    let low = u32::try_from(number).unwrap_or(u32::MAX);
    match family {
        Family::Ipv4 => known::ip(Ipv4Addr::from_bits(low).into()),
        Family::Ipv6 => known::ip(Ipv6Addr::from_bits(number).into()),
        Family::Asn => known::asn(low),
    }
}

fn written(family: Family, number: u128) -> String {
    match family {
        Family::Ipv4 => Ipv4Addr::from_bits(u32::try_from(number).unwrap_or(u32::MAX)).to_string(),
        Family::Ipv6 => Ipv6Addr::from_bits(number).to_string(),
        Family::Asn => number.to_string(),
    }
}

fn named(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "IPv4",
        Family::Ipv6 => "IPv6",
        Family::Asn => "AS numbers",
    }
}
