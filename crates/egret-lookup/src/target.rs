//! What is asked about: a name, an address, a number, a path, or one line of text.
//!
//! [`Target::parse`] turns what people type into the one form that is asked,
//! cached and compared: a URL becomes its host, `Bücher.DE.` becomes
//! `xn--bcher-kva.de`, `as3333` becomes `AS3333`. Whatever it lets through can be
//! put into a line of a protocol without breaking out of it.
//!
//! [`Target::registrable`] then cuts a host down to the name a registry knows.
//! Only the ICANN part of the public suffix list counts for that: `github.io` is a
//! domain somebody registered, although its owner lets out names below it.

mod error;
mod host;
mod number;
mod path;

use std::fmt;
use std::str::FromStr;

pub use error::{Given, KindError, TargetError};
pub(crate) use host::parse_zone;

/// The longest line of free text that is asked, in bytes (chosen).
const TEXT_MAX: usize = 1024;

/// What a lookup is about, or which protocol it insists on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A registered domain.
    Domain,
    /// An address or a network.
    Ip,
    /// An autonomous system number.
    Asn,
    /// A name server, by its host name.
    Nameserver,
    /// A contact or organisation, by its handle.
    Entity,
    /// One line of text, over whois only.
    Whois,
    /// One question, over RDAP only.
    Rdap,
    /// One request to a configured HTTP service.
    Http,
}

impl Kind {
    /// Every kind, in the order the API lists them.
    pub const ALL: [Kind; 8] = [
        Kind::Domain,
        Kind::Ip,
        Kind::Asn,
        Kind::Nameserver,
        Kind::Entity,
        Kind::Whois,
        Kind::Rdap,
        Kind::Http,
    ];

    /// The word for it in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Domain => "domain",
            Kind::Ip => "ip",
            Kind::Asn => "asn",
            Kind::Nameserver => "nameserver",
            Kind::Entity => "entity",
            Kind::Whois => "whois",
            Kind::Rdap => "rdap",
            Kind::Http => "http",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Kind {
    type Err = KindError;

    fn from_str(word: &str) -> Result<Kind, KindError> {
        Kind::ALL.into_iter().find(|kind| kind.as_str() == word).ok_or_else(|| KindError::new(word))
    }
}

/// A target in its one form, fit for the wire: one line, no control character.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target {
    text: String,
    /// Whether `text` is a host name. Lower case without a final dot, but for free text.
    is_host: bool,
}

impl Target {
    /// Reads `input` as `kind` wants it.
    ///
    /// A domain keeps all its labels here; [`Target::registrable`] cuts them.
    ///
    /// # Errors
    /// What is wrong with the input and how to mend it, in one line fit for a user.
    pub fn parse(kind: Kind, input: &str) -> Result<Target, TargetError> {
        // A line end at the edge is not forgiven: whoever wrote it meant more than one line.
        let input = input.trim_matches([' ', '\t']);
        if let Some(code) = input.chars().find(|c| c.is_control()) {
            return Err(TargetError::Control { code: code.into() });
        }
        let input = input.trim();
        if input.is_empty() {
            return Err(TargetError::Empty);
        }
        match kind {
            Kind::Domain | Kind::Nameserver => host::parse(input, kind).map(Target::host),
            Kind::Ip => number::parse_ip(input).map(Target::text),
            Kind::Asn => number::parse_asn(input).map(Target::text),
            Kind::Http => path::parse(input).map(Target::text),
            Kind::Entity | Kind::Whois | Kind::Rdap => parse_text(input),
        }
    }

    /// The name a registry knows this host by: one label below the public suffix.
    ///
    /// `zone` is the length in bytes of the longest zone that a service answers
    /// for this name, 0 without one. A zone that reaches deeper than the suffix is a
    /// registry of its own (`uk.com`), and the name is taken one label below it.
    /// A name without such a label (`co.uk`, a bare TLD) stays as it is.
    #[must_use]
    pub fn registrable(mut self, zone: usize) -> Target {
        if self.is_host {
            let suffix = host::public_suffix_len(&self.text).max(zone);
            let below = self.text.len().saturating_sub(suffix.saturating_add(1));
            let start = self.text.get(..below).and_then(|labels| labels.rfind('.')).map_or(0, |dot| dot + 1);
            self.text.drain(..start);
        }
        self
    }

    /// Whether this host is itself a public suffix or the zone of that length: nothing that somebody registers.
    pub(crate) fn is_suffix(&self, zone: usize) -> bool {
        self.is_host && self.text.len() <= host::public_suffix_len(&self.text).max(zone)
    }

    /// The normalised text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether this is a host name, so that zones apply to it.
    pub fn is_host(&self) -> bool {
        self.is_host
    }

    /// Gives the text away.
    pub fn into_string(self) -> String {
        self.text
    }

    fn host(text: String) -> Target {
        Target { text, is_host: true }
    }

    fn text(text: String) -> Target {
        Target { text, is_host: false }
    }
}

/// Free text stays as it is, save that an international name becomes A-labels.
fn parse_text(input: &str) -> Result<Target, TargetError> {
    if input.len() > TEXT_MAX {
        return Err(TargetError::TooLong { what: "text", bytes: input.len(), max: TEXT_MAX });
    }
    if let Some(first) = input.chars().next().filter(|c| ['-', '!'].contains(c)) {
        return Err(TargetError::Command { first });
    }
    let (text, is_host) = host::name_in_text(input);
    Ok(Target { text: text.into_owned(), is_host })
}

#[cfg(test)]
mod tests;
