//! Who knows about a name, an address or an AS number, and what that server asks of its callers.
//!
//! A [`Table`] holds what `config/catalogue` says: which RDAP and whois server
//! answers for each zone, network and range of AS numbers, and for each server how it
//! is asked, what it publishes of limits, and which servers share one back end.
//! [`domain`], [`ip`] and [`asn`] look into the embedded table, parsed at the first
//! look-up; [`Table::with_bootstrap`] makes one whose RDAP part is as new as IANA's files.
//!
//! A look-up is a binary search, or one hash look-up for each label a zone can have.
//! Nothing here decides whom to ask first, or when: that is the plan's and the ledger's.

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

mod backend;
mod bootstrap;
mod build;
mod ranges;
mod server;
mod text;

pub use bootstrap::{Bootstrap, BootstrapError, BootstrapFile};
pub use server::{Quota, Referral, Scope, Server, Terms};

use ranges::Ranges;

/// The longest domain name in text form (RFC 1035 section 2.3.4); nothing longer is a zone.
const NAME_MAX: usize = 253;
const NO_TLD: &str = "its top-level domain is not in IANA's root zone";
const NO_TAG: &str = "its handle ends in no tag of a registry, such as -ARIN or -RIPE; name a `service`";
const NO_BLOCK: &str = "IANA has handed it to no registry: it is reserved, for special use, or free";

/// Who answers for a target.
#[derive(Debug, Clone, Copy)]
pub struct Known<'t> {
    /// The zone, network or range that decided, as `co.za`, `193.0.0.0/8`, `1-1876`; empty if none did.
    pub zone: &'t str,
    /// The RDAP server.
    pub rdap: Option<&'t Server>,
    /// The whois server.
    pub whois: Option<&'t Server>,
    /// Why there is nobody to ask; `None` as soon as there is one server.
    pub why_none: Option<&'t str>,
}

impl Known<'_> {
    fn nobody(why: &'static str) -> Known<'static> {
        Known { zone: "", rdap: None, whois: None, why_none: Some(why) }
    }
}

/// Finds the servers for a name in the embedded table: [`Table::domain`].
pub fn domain(name: &str) -> Known<'static> {
    Table::embedded().domain(name)
}

/// Finds the servers for an address in the embedded table: [`Table::ip`].
pub fn ip(address: IpAddr) -> Known<'static> {
    Table::embedded().ip(address)
}

/// Finds the servers for an AS number in the embedded table: [`Table::asn`].
pub fn asn(number: u32) -> Known<'static> {
    Table::embedded().asn(number)
}

/// The server of that id in the embedded table: [`Table::server`].
pub fn server(id: &str) -> Option<&'static Server> {
    Table::embedded().server(id)
}

/// Every server of the embedded table: [`Table::servers`].
pub fn servers() -> impl Iterator<Item = &'static Server> {
    Table::embedded().servers()
}

/// The address that registries are asked about for `address`.
///
/// 6to4 (RFC 3056) and Teredo (RFC 4380) addresses belong to whoever has the IPv4 address in them, and so do
/// IPv4-mapped ones; every other address is itself.
pub fn asked(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address.to_canonical() else { return address.to_canonical() };
    let octets = v6.octets();
    match octets {
        [0x20, 0x02, a, b, c, d, ..] => IpAddr::from([a, b, c, d]),
        // The client's address comes last, each bit inverted.
        [0x20, 0x01, 0, 0, .., a, b, c, d] => IpAddr::from([!a, !b, !c, !d]),
        _ => address,
    }
}

/// A row of the table: who answers for one zone, network or range.
#[derive(Debug)]
struct Row {
    zone: Cow<'static, str>,
    /// Indices into the table's servers.
    rdap: Option<u32>,
    whois: Option<u32>,
    why_none: Option<&'static str>,
}

/// Which server knows what. Immutable once made.
#[derive(Debug, Default)]
pub struct Table {
    servers: Vec<Server>,
    by_id: HashMap<Cow<'static, str>, u32>,
    backends: HashMap<String, Vec<u32>>,
    /// Tags of handles with their RDAP servers; few.
    tags: Vec<(&'static str, u32)>,
    zones: HashMap<Cow<'static, str>, Row>,
    /// Labels in the deepest zone: longer suffixes need no look-up.
    deepest: usize,
    blocks: Vec<Row>,
    ipv4: Ranges,
    ipv6: Ranges,
    asn: Ranges,
    published: [Option<String>; 4],
}

impl Table {
    /// The table that is compiled in, parsed once for the process.
    pub fn embedded() -> &'static Arc<Table> {
        static TABLE: OnceLock<Arc<Table>> = OnceLock::new();
        TABLE.get_or_init(|| Arc::new(build::table(embedded_rows())))
    }

    /// The embedded table with every RDAP server that IANA names replaced by those of `bootstrap`, for each file
    /// that it has.
    ///
    /// RDAP servers that IANA does not name, whois servers, and what is known of each stay. Zones that are new
    /// have RDAP only; zones that IANA no longer names keep their whois server.
    #[must_use]
    pub fn with_bootstrap(bootstrap: &Bootstrap) -> Table {
        build::table(bootstrap.applied_to(embedded_rows()))
    }

    /// When the file of IANA's was published that its RDAP servers are from: `2026-07-23T02:00:03Z`. `None`: it
    /// does not say.
    pub fn published(&self, file: BootstrapFile) -> Option<&str> {
        self.published[file.index()].as_deref()
    }

    /// Finds the servers for a name by the longest zone that holds it on a label border.
    ///
    /// The name is in A-labels, of any case, with or without a final dot; what is no name is in no zone. A name
    /// that is a zone itself finds that zone.
    pub fn domain(&self, name: &str) -> Known<'_> {
        let name = name.strip_suffix('.').unwrap_or(name);
        let borders = name.rmatch_indices('.').map(|(dot, _)| dot + 1).chain([0]);
        let mut longest = None;
        for start in borders.take(self.deepest) {
            let suffix = &name[start..];
            if suffix.len() > NAME_MAX {
                break;
            }
            let suffix = if suffix.bytes().any(|b| b.is_ascii_uppercase()) {
                Cow::Owned(suffix.to_ascii_lowercase())
            } else {
                Cow::Borrowed(suffix)
            };
            longest = self.zones.get(suffix.as_ref()).or(longest);
        }
        longest.map_or(Known::nobody(NO_TLD), |row| self.known(row))
    }

    /// Finds the servers for an address, or rather for the one that is [`asked`] about, by the longest prefix.
    pub fn ip(&self, address: IpAddr) -> Known<'_> {
        let block = match asked(address) {
            IpAddr::V4(v4) => self.ipv4.find(v4.to_bits().into()),
            IpAddr::V6(v6) => self.ipv6.find(v6.to_bits()),
        };
        self.block(block)
    }

    /// Finds the servers for an AS number.
    pub fn asn(&self, number: u32) -> Known<'_> {
        self.block(self.asn.find(number.into()))
    }

    /// Finds the RDAP server for a handle by the tag behind its last `-` (RFC 8521).
    pub fn entity(&self, handle: &str) -> Known<'_> {
        let tag = handle.rsplit_once('-').map_or("", |(_, tag)| tag);
        let tag = self.tags.iter().find(|(known, _)| known.eq_ignore_ascii_case(tag));
        tag.map_or(Known::nobody(NO_TAG), |(zone, server)| Known {
            zone,
            rdap: Some(&self.servers[*server as usize]),
            whois: None,
            why_none: None,
        })
    }

    /// Whether it knows a server or a back end of that id.
    pub fn knows(&self, id: &str) -> bool {
        self.by_id.contains_key(id) || self.backends.contains_key(id)
    }

    /// The server of that id: for whois its host name, so that a referral can be looked up; for RDAP its base
    /// URL without the scheme, `/` written as `:`.
    pub fn server(&self, id: &str) -> Option<&Server> {
        self.by_id.get(id).map(|&index| &self.servers[index as usize])
    }

    /// Every server, those that only referrals lead to included; whois first, each protocol in a fixed order.
    pub fn servers(&self) -> impl Iterator<Item = &Server> {
        self.servers.iter()
    }

    /// The servers of a back end, by the id that [`Server::backend`] gives; none if it is unknown.
    pub fn backend(&self, id: &str) -> impl Iterator<Item = &Server> {
        self.backends.get(id).into_iter().flatten().map(|&index| &self.servers[index as usize])
    }

    /// Every zone, in no order.
    pub fn zones(&self) -> impl Iterator<Item = Known<'_>> {
        self.zones.values().map(|row| self.known(row))
    }

    fn block(&self, block: Option<u32>) -> Known<'_> {
        block.map_or(Known::nobody(NO_BLOCK), |index| self.known(&self.blocks[index as usize]))
    }

    fn known<'t>(&'t self, row: &'t Row) -> Known<'t> {
        let server = |index: Option<u32>| index.map(|index| &self.servers[index as usize]);
        Known { zone: &row.zone, rdap: server(row.rdap), whois: server(row.whois), why_none: row.why_none }
    }
}

fn embedded_rows() -> text::Rows {
    text::Rows::parse(&text::EMBEDDED).expect("the table was read when it was built, and by the tests")
}

#[cfg(test)]
mod tests;
