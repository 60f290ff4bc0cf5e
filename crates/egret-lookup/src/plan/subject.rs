//! What a lookup is about, as servers know it: a name, a network, a number, a handle.

use std::net::IpAddr;

use super::{PlanError, unsupported};
use crate::known::asked;
use crate::target::{Given, Kind, Target};

/// The object of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Subject {
    Domain(String),
    Nameserver(String),
    /// An address, or the first of a network with its length.
    Network(IpAddr, Option<u8>),
    Autnum(u32),
    Entity(String),
}

impl Subject {
    /// What `target` is about, in a lookup of `kind`; free text by its form.
    ///
    /// # Errors
    /// [`PlanError::UnsupportedLookup`] for free text over RDAP that is nothing which RDAP can be asked about.
    pub(super) fn of(kind: Kind, target: &Target) -> Result<Subject, PlanError> {
        let text = target.as_str();
        match kind {
            Kind::Domain => return Ok(Subject::Domain(text.to_owned())),
            Kind::Nameserver => return Ok(Subject::Nameserver(text.to_owned())),
            Kind::Entity => return Ok(Subject::Entity(text.to_owned())),
            Kind::Ip | Kind::Asn | Kind::Whois | Kind::Rdap | Kind::Http => {}
        }
        if let Some(network) = network(text) {
            return Ok(network);
        }
        let digits = text.strip_prefix("AS").or_else(|| text.strip_prefix("as"));
        if let Some(number) = digits.and_then(|digits| digits.parse().ok()) {
            return Ok(Subject::Autnum(number));
        }
        // A word without a dot is a handle rather than a top-level domain.
        if target.is_host() && text.trim_end_matches('.').contains('.') {
            return Ok(Subject::Domain(text.trim_end_matches('.').to_ascii_lowercase()));
        }
        let is_handle =
            !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if is_handle {
            return Ok(Subject::Entity(text.to_owned()));
        }
        let given = Given::new(text);
        Err(unsupported(format!(
            "{given} is no name, address, AS number or handle; name a `service` that takes free text"
        )))
    }

    /// Its path under the base URL of an RDAP server (RFC 9082), without the first `/`.
    pub(super) fn path(&self) -> String {
        match self {
            Subject::Domain(name) => format!("domain/{name}"),
            Subject::Nameserver(name) => format!("nameserver/{name}"),
            Subject::Network(address, None) => format!("ip/{address}"),
            Subject::Network(address, Some(length)) => format!("ip/{address}/{length}"),
            Subject::Autnum(number) => format!("autnum/{number}"),
            Subject::Entity(handle) => format!("entity/{}", percent(handle)),
        }
    }

    /// It in a line of whois, in place of `{q}`.
    pub(super) fn word(&self) -> String {
        match self {
            Subject::Domain(name) | Subject::Nameserver(name) => name.clone(),
            Subject::Network(address, None) => address.to_string(),
            Subject::Network(address, Some(length)) => format!("{address}/{length}"),
            Subject::Autnum(number) => format!("AS{number}"),
            Subject::Entity(handle) => handle.clone(),
        }
    }
}

/// An address or a network; one inside a tunnel is that of the tunnel's end.
fn network(text: &str) -> Option<Subject> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length.parse().ok()?)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let end = asked(address);
    // The end of a tunnel is one address, whatever the length before it.
    Some(Subject::Network(end, length.filter(|_| end == address)))
}

/// Text as one segment of a path.
fn percent(text: &str) -> String {
    let mut path = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            path.push(char::from(byte));
        } else {
            path.push_str(&format!("%{byte:02X}"));
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(kind: Kind, target: &str, path: &str) {
        let target = Target::parse(kind, target).unwrap();
        assert_eq!(Subject::of(kind, &target).unwrap().path(), path);
    }

    #[test]
    fn each_kind_has_its_path() {
        check(Kind::Domain, "Example.COM", "domain/example.com");
        check(Kind::Nameserver, "ns1.example.com", "nameserver/ns1.example.com");
        check(Kind::Ip, "192.0.2.1/24", "ip/192.0.2.0/24");
        check(Kind::Ip, "2001:DB8::1", "ip/2001:db8::1");
        check(Kind::Asn, "3333", "autnum/3333");
        check(Kind::Entity, "ORG-A/B 1", "entity/ORG-A%2FB%201");
    }

    #[test]
    fn free_text_is_what_it_looks_like() {
        check(Kind::Rdap, "Example.COM.", "domain/example.com");
        check(Kind::Rdap, "192.0.2.1", "ip/192.0.2.1");
        check(Kind::Rdap, "as64496", "autnum/64496");
        check(Kind::Rdap, "ABC123-ARIN", "entity/ABC123-ARIN");
        let text = Target::parse(Kind::Rdap, "what is this").unwrap();
        assert!(Subject::of(Kind::Rdap, &text).unwrap_err().to_string().contains("name a `service`"));
    }

    #[test]
    fn an_address_inside_a_tunnel_is_that_of_its_end() {
        check(Kind::Ip, "2002:c000:0207::1", "ip/192.0.2.7");
        check(Kind::Ip, "2001:0:4136:e378:8000:63bf:3fff:fdd2", "ip/192.0.2.45");
        check(Kind::Ip, "2002:c000:0207::/48", "ip/192.0.2.7");
    }
}
