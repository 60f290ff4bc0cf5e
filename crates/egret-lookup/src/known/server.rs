//! One server, as far as it is known how to ask it and how often.
//!
//! What a server publishes of limits is here word for word; nothing is added where
//! nothing is published, and then the careful default of the config holds.

use std::borrow::Cow;
use std::time::Duration;

use crate::service::Protocol;
use crate::target::Kind;

/// A whois host, or one base URL of an RDAP host.
#[derive(Debug, Clone)]
pub struct Server {
    /// Unique in a table, fit for a service's id: a whois server's host, or an RDAP server's base URL without
    /// its scheme, `/` written as `:` (`rdap.centralnic.com:xyz`).
    pub id: Cow<'static, str>,
    /// [`Protocol::Whois`] or [`Protocol::Rdap`].
    pub protocol: Protocol,
    /// `host:43`, or the base URL with its final `/`.
    pub address: Cow<'static, str>,
    /// The id of the service that its calls count for.
    pub(super) backend: Cow<'static, str>,
    /// What else is known.
    pub(super) facts: Facts,
}

/// What is known of a whois host, or of all base URLs of an RDAP host.
#[derive(Debug, Clone, Default)]
pub(super) struct Facts {
    pub(super) group: Option<Cow<'static, str>>,
    pub(super) domain: Option<&'static str>,
    pub(super) ip: Option<&'static str>,
    pub(super) asn: Option<&'static str>,
    pub(super) charset: Option<&'static str>,
    pub(super) quotas: Vec<Quota>,
    pub(super) concurrency: Option<u32>,
    pub(super) cost: Option<u32>,
    pub(super) terms: Terms,
    pub(super) referral: Referral,
    pub(super) source: Option<&'static str>,
}

impl Server {
    /// The line that asks about a target of that kind: `{q}` is the target, `{n}` an AS number without `AS`;
    /// it has one of them. `None`: the bare target, or RDAP, where paths are fixed (RFC 9082).
    pub fn template(&self, kind: Kind) -> Option<&'static str> {
        match kind {
            Kind::Domain | Kind::Nameserver => self.facts.domain,
            Kind::Ip => self.facts.ip,
            Kind::Asn => self.facts.asn,
            Kind::Entity | Kind::Whois | Kind::Rdap | Kind::Http => None,
        }
    }

    /// The label of its charset, if it is known; RDAP is UTF-8 (RFC 8259).
    pub fn charset(&self) -> Option<&'static str> {
        self.facts.charset
    }

    /// The back end behind it: servers of one protocol and one group count calls together and publish the same
    /// quotas. `None`: it is by itself. For RDAP it is the host.
    pub fn group(&self) -> Option<&str> {
        self.facts.group.as_deref()
    }

    /// The back end as a service: its id for an RDAP host whatever the paths under it, for whois hosts of one group
    /// together, and for any other whois host by itself.
    pub fn backend(&self) -> &str {
        &self.backend
    }

    /// Its published quotas, each of which holds; empty if it publishes none.
    pub fn quotas(&self) -> &[Quota] {
        &self.facts.quotas
    }

    /// How many calls of one address it lets be open at a time, if it says so.
    pub fn concurrency(&self) -> Option<u32> {
        self.facts.concurrency
    }

    /// The units of its quotas that one call counts; more than 1 where it counts what it returns.
    pub fn cost(&self) -> u32 {
        self.facts.cost.unwrap_or(1)
    }

    /// What its terms say of programs that ask.
    pub fn terms(&self) -> Terms {
        self.facts.terms
    }

    /// How its answers name a server to ask next.
    pub fn referral(&self) -> Referral {
        self.facts.referral
    }

    /// Where its quotas or terms are published, and the year they are from.
    pub fn source(&self) -> Option<&'static str> {
        self.facts.source
    }
}

/// A published rule: at most `units` in any `per`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Units, at least 1.
    pub units: u32,
    /// The length of the window, at least one second.
    pub per: Duration,
    /// Whose calls count together.
    pub scope: Scope,
}

/// Whose calls count together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Each address by itself; of IPv6 each /64.
    Ip,
    /// The addresses of one network, by the bits they have in common.
    Subnet {
        /// Of an IPv4 address, 1 to 32.
        ipv4_prefix: u8,
        /// Of an IPv6 address, 1 to 64.
        ipv6_prefix: u8,
    },
    /// All of the user's addresses: more of them gain nothing, and the terms forbid to try.
    Fleet,
}

/// What a server's terms of use say of programs that ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Terms {
    /// Nobody has read them for this table.
    #[default]
    Unread,
    /// They allow it within the quotas.
    Allowed,
    /// They ask not to, or not in bulk.
    Discouraged,
    /// They call it abuse.
    Forbidden,
    /// The server answers registered clients only, whoever else asks is refused: do not ask it.
    Closed,
}

/// How a server's answers name the next server to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Referral {
    /// They name none, or none that knows more.
    #[default]
    None,
    /// `Registrar WHOIS Server:` in the first record, which itself is thin: the registrar has the rest.
    Thin,
    /// `Registrar WHOIS Server:` after the first `Domain Name:`; the registrar may know more.
    Recursive,
    /// `ReferralServer: [r]whois://host[:port]`, the last one: the most specific network.
    ReferralServer,
    /// `refer: host`, as IANA writes it.
    Refer,
    /// A stub with `mnt-by: APNIC-STUB` and `descr: Transferred to the …` names the registry.
    Transferred,
}
