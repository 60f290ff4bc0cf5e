//! What is known of an object, in one shape whatever protocol told it.
//!
//! The fields carry the names and meanings of RDAP (RFC 9083), so that a user reads one
//! form; what RDAP hides in jCards and links is flattened: a registrar is a registrar, a
//! contact has a name and an e-mail address. Two things are spelt one way only, whatever
//! the source: status as EPP does (RFC 5731, `clientHold`), times as RFC 3339 in UTC.
//!
//! `whois` reads the text of whois servers, `rdap` the JSON of RDAP. Both are lenient and
//! neither invents: a field that the answer does not state is absent.

mod date;
mod name;
mod rdap;
mod status;
mod whois;

use std::net::IpAddr;

use serde::Serialize;

pub use rdap::{RdapError, read_rdap};
pub use whois::read_whois;

/// More statuses, hosts or dates than this are not kept (chosen; the root's registries allow 13 hosts).
const LIST_MAX: usize = 64;
/// More addresses of one host than this are not kept (chosen; a message of the DNS without EDNS has room for 30).
const ADDRESSES_MAX: usize = 32;

/// What a record is about, by the word of RDAP's `objectClassName`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub enum Class {
    /// A registered domain.
    #[default]
    #[serde(rename = "domain")]
    Domain,
    /// A block of addresses.
    #[serde(rename = "ip network")]
    Network,
    /// A block of autonomous system numbers.
    #[serde(rename = "autnum")]
    Autnum,
    /// A host known to a registry.
    #[serde(rename = "nameserver")]
    Nameserver,
    /// A person, a role or an organisation.
    #[serde(rename = "entity")]
    Entity,
}

/// One object's record. Absent fields are left out of its JSON.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// What it is about.
    pub object_class_name: Class,
    /// The registry's own id of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handle: Option<String>,
    /// The name in A-labels, lower case, without a final dot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ldh_name: Option<String>,
    /// The name in Unicode, where it differs from `ldh_name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unicode_name: Option<String>,
    /// A network's, an AS's or an organisation's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// EPP's words where the status has one, else the source's own, in the order of the source.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub status: Vec<String>,
    /// What happened when; at most one of each action.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<Event>,
    /// The hosts that it is delegated to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nameservers: Vec<Nameserver>,
    /// Who registered it for its holder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registrar: Option<Registrar>,
    /// Whether its delegation is signed.
    #[serde(rename = "secureDNS", skip_serializing_if = "Option::is_none")]
    pub secure_dns: Option<SecureDns>,
    /// The contacts, each once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub entities: Vec<Entity>,
    /// First address of a network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_address: Option<IpAddr>,
    /// Last address of a network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_address: Option<IpAddr>,
    /// First number of an AS block.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_autnum: Option<u32>,
    /// Last number of an AS block.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_autnum: Option<u32>,
    /// Two letters of ISO 3166, as the source gives them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// The whois server that the source names for more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port43: Option<String>,
}

/// Something that happened to an object, by the words of RDAP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// `registration`, `last changed`, `expiration`, or another of RFC 9083, 10.2.3.
    pub event_action: String,
    /// RFC 3339, UTC. A day without a time is its first second.
    pub event_date: String,
}

/// A host that a domain is delegated to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Nameserver {
    /// Lower case, without a final dot.
    pub ldh_name: String,
    /// Its addresses, where the source gives them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ip_addresses: Vec<IpAddr>,
}

/// Who registers for others.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Registrar {
    /// Its name as the source writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its number at IANA.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iana_id: Option<u32>,
    /// Its page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Where it takes complaints.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub abuse_email: Option<String>,
    /// Where it takes complaints by telephone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub abuse_phone: Option<String>,
}

/// Whether a delegation is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SecureDns {
    /// Whether the parent zone holds a DS record.
    pub delegation_signed: bool,
}

/// A person, a role or an organisation behind an object.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entity {
    /// `registrant`, `administrative`, `technical`, `billing`, `abuse`, or another of RFC 9083, 10.2.4.
    pub roles: Vec<String>,
    /// The registry's own id of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handle: Option<String>,
    /// A person's or a role's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// An organisation's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub organization: Option<String>,
    /// An e-mail address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// A telephone number as the source writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    /// The postal address, its lines joined by `, `, without the country.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The country as the source writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// Which of the fields above the source says that it hides.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub redacted: Vec<&'static str>,
}

impl Record {
    /// When `action` happened, if the source says so.
    pub fn event(&self, action: &str) -> Option<&str> {
        let found = self.events.iter().find(|event| event.event_action == action);
        found.map(|event| event.event_date.as_str())
    }

    /// This record of a registry, with what only the registrar's own record of the same object has.
    ///
    /// The registry's word stands where it says anything; contacts are the registrar's, if it has any.
    #[must_use]
    pub fn completed_by(mut self, other: Record) -> Record {
        let Record { entities, registrar, events, nameservers, status, secure_dns, country, name, .. } =
            other;
        if !entities.is_empty() {
            self.entities = entities;
        }
        match (&mut self.registrar, registrar) {
            (Some(own), Some(other)) => {
                own.iana_id = own.iana_id.or(other.iana_id);
                own.url = own.url.take().or(other.url);
                own.abuse_email = own.abuse_email.take().or(other.abuse_email);
                own.abuse_phone = own.abuse_phone.take().or(other.abuse_phone);
            }
            (own @ None, other) => *own = other,
            (Some(_), None) => {}
        }
        events.into_iter().for_each(|event| self.add_event(&event.event_action, event.event_date));
        if self.nameservers.is_empty() {
            self.nameservers = nameservers;
        }
        if self.status.is_empty() {
            self.status = status;
        }
        self.secure_dns = self.secure_dns.or(secure_dns);
        self.country = self.country.or(country);
        self.name = self.name.or(name);
        self
    }

    /// Keeps the first date of each action, while there is room: what comes later speaks of other objects.
    fn add_event(&mut self, action: &str, date: String) {
        if self.events.len() < LIST_MAX && self.event(action).is_none() {
            self.events.push(Event { event_action: action.to_owned(), event_date: date });
        }
    }

    /// Adds a status once, while there is room.
    fn add_status(&mut self, status: String) {
        if self.status.len() < LIST_MAX && !self.status.contains(&status) {
            self.status.push(status);
        }
    }

    /// Adds a host once, while there is room; addresses of a host named again are joined to it.
    fn add_nameserver(&mut self, name: String, addresses: Vec<IpAddr>) {
        let known = self.nameservers.iter().position(|host| host.ldh_name == name);
        let at = known.unwrap_or(self.nameservers.len());
        if at == LIST_MAX {
            return;
        }
        if known.is_none() {
            self.nameservers.push(Nameserver { ldh_name: name, ip_addresses: Vec::new() });
        }
        let kept = &mut self.nameservers[at].ip_addresses;
        for address in addresses {
            if kept.len() < ADDRESSES_MAX && !kept.contains(&address) {
                kept.push(address);
            }
        }
    }
}

/// The first and last address of `a.b.c.d/len`.
fn network(text: &str) -> Option<(IpAddr, IpAddr)> {
    let (address, len) = text.split_once('/')?;
    let (address, len): (IpAddr, u32) = (address.parse().ok()?, len.parse().ok()?);
    match address {
        IpAddr::V4(v4) if len <= 32 => {
            let host = u32::MAX.checked_shr(len).unwrap_or(0);
            let bits = u32::from(v4);
            Some((IpAddr::V4((bits & !host).into()), IpAddr::V4((bits | host).into())))
        }
        IpAddr::V6(v6) if len <= 128 => {
            let host = u128::MAX.checked_shr(len).unwrap_or(0);
            let bits = u128::from(v6);
            Some((IpAddr::V6((bits & !host).into()), IpAddr::V6((bits | host).into())))
        }
        _ => None,
    }
}

/// Whether a value says only that it is not shown.
fn is_redacted(value: &str) -> bool {
    const MARKS: [&str; 20] = [
        "redacted",
        "not disclosed",
        "data protected",
        "privacy policy",
        "gdpr masked",
        "withheld for privacy",
        "statutory masking",
        "not shown",
        "non-public data",
        "hidden",
        "private person",
        "personal data",
        "data privacy",
        "select request",
        "query the rdds",
        "for privacy",
        "restricted data",
        "masked",
        "visit www.",
        "not available from registry",
    ];
    let plain = value.to_ascii_lowercase();
    plain.len() <= 300 && MARKS.iter().any(|mark| plain.contains(mark))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn a_record_is_written_by_the_words_of_rdap_and_without_what_is_absent() {
        let mut record = Record { ldh_name: Some("example.com".to_owned()), ..Record::default() };
        record.add_event("registration", "1995-08-14T04:00:00Z".to_owned());
        record.add_event("registration", "2001-01-01T00:00:00Z".to_owned());
        record.add_nameserver("a.example.net".to_owned(), vec![]);
        record.add_nameserver("a.example.net".to_owned(), vec![[192, 0, 2, 1].into()]);
        record.secure_dns = Some(SecureDns { delegation_signed: true });
        assert_eq!(
            serde_json::to_value(&record).unwrap(),
            serde_json::json!({
                "objectClassName": "domain",
                "ldhName": "example.com",
                "events": [{"eventAction": "registration", "eventDate": "1995-08-14T04:00:00Z"}],
                "nameservers": [{"ldhName": "a.example.net", "ipAddresses": ["192.0.2.1"]}],
                "secureDNS": {"delegationSigned": true},
            })
        );
    }

    #[test]
    fn a_registrar_adds_to_the_registrys_record_and_changes_nothing_in_it() {
        let contact = || Entity { name: Some("A Person".to_owned()), ..Entity::default() };
        let registrar = |name: &str, url: Option<&str>| {
            Some(Registrar {
                name: Some(name.to_owned()),
                url: url.map(str::to_owned),
                ..Registrar::default()
            })
        };
        let mut thin =
            Record { status: vec!["ok".to_owned()], registrar: registrar("A", None), ..Record::default() };
        thin.add_event("expiration", "2030-01-01T00:00:00Z".to_owned());
        let mut thick = Record {
            status: vec!["clientHold".to_owned()],
            registrar: registrar("B", Some("https://b.test")),
            entities: vec![contact()],
            ..Record::default()
        };
        thick.add_event("expiration", "2031-01-01T00:00:00Z".to_owned());
        thick.add_event("registration", "2001-01-01T00:00:00Z".to_owned());
        let whole = thin.completed_by(thick);
        assert_eq!((whole.status, whole.entities), (vec!["ok".to_owned()], vec![contact()]));
        assert_eq!(whole.registrar, registrar("A", Some("https://b.test")));
        let dates: Vec<&str> = whole.events.iter().map(|event| event.event_date.as_str()).collect();
        assert_eq!(dates, ["2030-01-01T00:00:00Z", "2001-01-01T00:00:00Z"]);
    }

    #[test]
    fn hosts_and_their_addresses_are_kept_up_to_a_bound_and_each_once() {
        let mut record = Record::default();
        for host in 0..200_u32 {
            let addresses = (0..100_u32).map(|n| Ipv4Addr::from_bits(n / 2).into()).collect();
            record.add_nameserver(format!("a{}.test", host % 100), addresses);
        }
        assert_eq!(record.nameservers.len(), LIST_MAX);
        for host in &record.nameservers {
            let want: Vec<IpAddr> = (0..32).map(|n| Ipv4Addr::from_bits(n).into()).collect();
            assert_eq!(host.ip_addresses, want, "{}", host.ldh_name);
        }
    }

    #[test]
    fn a_hidden_value_is_told_from_a_name() {
        for hidden in ["REDACTED FOR PRIVACY", "Not Disclosed - Visit www.internet.ee", "Data Protected"] {
            assert!(is_redacted(hidden), "{hidden}");
        }
        assert!(!is_redacted("Example Widgets Ltd"));
    }
}
