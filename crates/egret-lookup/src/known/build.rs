//! A table from rows: each server once, with what is known of its host.

use std::borrow::Cow;
use std::collections::HashMap;

use super::backend;
use super::ranges::Ranges;
use super::server::{Facts, Server};
use super::text::{BlockRow, Family, Rows, ServerRow, ZoneRow};
use super::{Row, Table};
use crate::service::Protocol;

/// For a zone that newer files of IANA left without a server.
const NO_SERVER: &str = "no RDAP or whois server is known for it";

/// Makes the table.
pub(super) fn table(rows: Rows) -> Table {
    let mut servers = Servers::new(rows.servers);
    let mut table = Table { published: rows.published, ..Table::default() };
    for row in rows.zones {
        let row = zone(&mut servers, row);
        table.deepest = table.deepest.max(row.zone.split('.').count());
        table.zones.insert(row.zone.clone(), row);
    }
    let ranges = |family| {
        let blocks = (0..).zip(&rows.blocks).filter(|(_, row)| row.family == family);
        Ranges::new(blocks.map(|(index, row)| row.block(index)).collect())
    };
    let [ipv4, ipv6, asn] = [Family::Ipv4, Family::Ipv6, Family::Asn].map(ranges);
    table.blocks = rows.blocks.into_iter().map(|row| block(&mut servers, row)).collect();
    table.tags = rows.tags.into_iter().map(|(tag, base)| (tag, servers.rdap(base.into()))).collect();
    let backends = backend::assign(&mut servers.all);
    Table { servers: servers.all, by_id: servers.by_id, backends, ipv4, ipv6, asn, ..table }
}

fn zone(servers: &mut Servers, row: ZoneRow) -> Row {
    let base = row.iana.or(row.other.map(Cow::Borrowed));
    let rdap = base.map(|base| servers.rdap(base));
    let whois = row.whois.map(|host| servers.whois(host));
    let nobody = rdap.is_none() && whois.is_none();
    Row { zone: row.zone, rdap, whois, why_none: nobody.then(|| row.why_none.unwrap_or(NO_SERVER)) }
}

fn block(servers: &mut Servers, row: BlockRow) -> Row {
    Row {
        zone: row.zone,
        rdap: row.rdap.map(|base| servers.rdap(base)),
        whois: row.whois.map(|host| servers.whois(host)),
        why_none: None,
    }
}

/// The servers so far.
struct Servers {
    all: Vec<Server>,
    by_id: HashMap<Cow<'static, str>, u32>,
    /// RDAP servers by base URL.
    by_base: HashMap<Cow<'static, str>, u32>,
    /// What is known of RDAP hosts.
    rdap_facts: HashMap<&'static str, Facts>,
}

impl Servers {
    fn new(rows: Vec<ServerRow>) -> Servers {
        let mut servers = Servers {
            all: Vec::new(),
            by_id: HashMap::new(),
            by_base: HashMap::new(),
            rdap_facts: HashMap::new(),
        };
        for ServerRow { host, protocol, facts } in rows {
            if protocol == Protocol::Rdap {
                servers.rdap_facts.insert(host, facts);
            } else {
                servers.add(host.into(), protocol, format!("{host}:43").into(), facts);
            }
        }
        servers
    }

    fn whois(&mut self, host: &'static str) -> u32 {
        match self.by_id.get(host) {
            Some(&index) => index,
            None => self.add(host.into(), Protocol::Whois, format!("{host}:43").into(), Facts::default()),
        }
    }

    fn rdap(&mut self, base: Cow<'static, str>) -> u32 {
        if let Some(&index) = self.by_base.get(&base) {
            return index;
        }
        let host = host_of(&base);
        let mut facts = self.rdap_facts.get(host).cloned().unwrap_or_default();
        facts.group.get_or_insert_with(|| host.to_owned().into());
        let id = self.free_id(&base);
        let index = self.add(id.into(), Protocol::Rdap, base.clone(), facts);
        self.by_base.insert(base, index);
        index
    }

    /// The base URL as an id that no other server has.
    fn free_id(&self, base: &str) -> String {
        let plain = |c: char| c.is_ascii_alphanumeric() || ['.', '-', '_', ':'].contains(&c);
        let mut id: String = without_scheme(base)
            .trim_end_matches('/')
            .chars()
            .map(|c| if c == '/' { ':' } else { c })
            .map(|c| if plain(c) { c } else { '-' })
            .collect();
        while self.by_id.contains_key(id.as_str()) {
            id.push_str(":rdap");
        }
        id
    }

    fn add(
        &mut self,
        id: Cow<'static, str>,
        protocol: Protocol,
        address: Cow<'static, str>,
        facts: Facts,
    ) -> u32 {
        let index = u32::try_from(self.all.len()).expect("the files' bounds allow far fewer servers");
        self.by_id.insert(id.clone(), index);
        self.all.push(Server { backend: id.clone(), id, protocol, address, facts });
        index
    }
}

/// The host of a base URL, without its port.
pub(super) fn host_of(base: &str) -> &str {
    let rest = without_scheme(base);
    rest.split(['/', ':']).next().unwrap_or(rest)
}

fn without_scheme(base: &str) -> &str {
    base.split_once("://").map_or(base, |(_, rest)| rest)
}
