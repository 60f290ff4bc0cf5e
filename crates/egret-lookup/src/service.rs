//! One configured service, as far as asking it and judging its answers need.
//!
//! The keys are those of `[[service]]` in the config file; addresses, quotas and
//! limits are other crates' business. Every setter checks its key and says how to
//! mend it, so a [`Service`] that exists can be asked.

use std::fmt;
use std::str::FromStr;

use regex::{Regex, RegexBuilder};

use crate::charset::{Charset, CharsetError};
use crate::target::Given;

/// Bytes a compiled rule may take, so that a config cannot eat the memory (chosen).
const PATTERN_BYTES_MAX: usize = 1 << 20;
/// The place of the question in a template.
const PLACE: &str = "{q}";
/// A template or an id longer than this is a mistake, in bytes (chosen).
const KEY_MAX: usize = 512;

/// What a service speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// One line asked, text until the connection closes (RFC 3912).
    Whois,
    /// RDAP over HTTP (RFC 7480).
    Rdap,
    /// Plain HTTP requests.
    Http,
}

impl Protocol {
    /// The word for it in the config.
    pub fn as_str(self) -> &'static str {
        match self {
            Protocol::Whois => "whois",
            Protocol::Rdap => "rdap",
            Protocol::Http => "http",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Protocol {
    type Err = ServiceError;

    fn from_str(word: &str) -> Result<Protocol, ServiceError> {
        [Protocol::Whois, Protocol::Rdap, Protocol::Http]
            .into_iter()
            .find(|protocol| protocol.as_str() == word)
            .ok_or_else(|| ServiceError::Protocol { given: Given::new(word) })
    }
}

/// One sign by which a service says that it refuses us (`refused_when`).
#[derive(Debug, Clone)]
pub enum Rule {
    /// HTTP status codes; has no meaning for whois.
    Status(Vec<u16>),
    /// The pattern occurs in the first 64 KiB of the answer's text.
    Text(Regex),
    /// The answer is empty or white space.
    Empty,
    /// The remote broke the connection off.
    Closed,
}

impl Rule {
    /// A rule for HTTP status codes.
    ///
    /// # Errors
    /// [`ServiceError::Rule`] if there is none, or one lies outside 100 to 599.
    pub fn status(codes: &[u16]) -> Result<Rule, ServiceError> {
        if codes.is_empty() || codes.iter().any(|code| !(100..600).contains(code)) {
            return Err(rule_error("`status` takes HTTP status codes from 100 to 599, such as [429, 503]"));
        }
        Ok(Rule::Status(codes.to_vec()))
    }

    /// A rule for text, a regular expression of the `regex` crate (linear time).
    ///
    /// # Errors
    /// [`ServiceError::Rule`] with the crate's reason on one line.
    pub fn text(pattern: &str) -> Result<Rule, ServiceError> {
        let built = RegexBuilder::new(pattern)
            .size_limit(PATTERN_BYTES_MAX)
            .dfa_size_limit(PATTERN_BYTES_MAX)
            .nest_limit(50)
            .build();
        match built {
            Ok(regex) if !regex.is_match("") => Ok(Rule::Text(regex)),
            Ok(_) => Err(rule_error("`text` matches an empty answer; say more, or use `empty`")),
            Err(error) => Err(rule_error(&format!("`text` is no regular expression: {}", reason(&error)))),
        }
    }
}

/// What is wrong with a service's configuration: the key, then the mend, in one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServiceError {
    /// The id is no plain word.
    #[error("id: {given} is no service id; use 1 to 512 letters, digits and `.`, `-`, `_`, `:`")]
    Id {
        /// What was given.
        given: Given,
    },
    /// Two services share one id.
    #[error("id: there are two services `{id}`; rename or remove one")]
    Twice {
        /// The id they share.
        id: String,
    },
    /// The protocol is none that egret speaks.
    #[error("protocol: {given} is unknown; use whois, rdap or http")]
    Protocol {
        /// What was given.
        given: Given,
    },
    /// The template has no place for the question, or would not be one line.
    #[error("template: {why}")]
    Template {
        /// What is wrong and the mend.
        why: &'static str,
    },
    /// A zone is no domain name.
    #[error("zones: {given} is no zone; write a domain without dots around it, such as \"com\" or \"co.uk\"")]
    Zone {
        /// What was given.
        given: Given,
    },
    /// The charset is unknown.
    #[error("charset: {0}")]
    Charset(#[from] CharsetError),
    /// A rule cannot work.
    #[error("refused_when: {why}")]
    Rule {
        /// What is wrong and the mend.
        why: String,
    },
}

/// A service that can be asked.
#[derive(Debug, Clone)]
pub struct Service {
    id: String,
    /// Lower case, without a dot at its end.
    host: String,
    protocol: Protocol,
    /// The template around its places: n places, n + 1 parts.
    template: Vec<String>,
    zones: Vec<String>,
    charset: Charset,
    refused_when: Vec<Rule>,
}

impl Service {
    /// A service with every other key at its default: the bare question, any target, no rules.
    ///
    /// # Errors
    /// [`ServiceError::Id`].
    pub fn new(id: &str, protocol: Protocol) -> Result<Service, ServiceError> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b".-_:".contains(&b);
        if id.is_empty() || id.len() > KEY_MAX || !id.bytes().all(plain) {
            return Err(ServiceError::Id { given: Given::new(id) });
        }
        Ok(Service {
            id: id.to_owned(),
            host: plain_host(id),
            protocol,
            template: vec![String::new(); 2],
            zones: Vec::new(),
            charset: Charset::Auto,
            refused_when: Vec::new(),
        })
    }

    /// Sets the name of the server, without port, by which it is known how this one refuses; the id is the default.
    pub fn with_host(mut self, host: &str) -> Service {
        self.host = plain_host(host);
        self
    }

    /// Sets what is sent: one line of printable ASCII with `{q}` where the target goes.
    ///
    /// # Errors
    /// [`ServiceError::Template`].
    pub fn with_template(mut self, template: &str) -> Result<Service, ServiceError> {
        let refuse = |why| Err(ServiceError::Template { why });
        if template.len() > KEY_MAX {
            return refuse("it is longer than 512 bytes; shorten it");
        }
        if !template.bytes().all(|b| b == b' ' || b.is_ascii_graphic()) {
            return refuse("it must be one line of printable ASCII; CR LF is added when it is sent");
        }
        if !template.contains(PLACE) {
            return refuse("{q} is missing, the place of the target; write \"{q}\" or \"domain {q}\"");
        }
        self.template = template.split(PLACE).map(str::to_owned).collect();
        Ok(self)
    }

    /// Sets the zones it answers; an empty list means any target. IDNs become A-labels.
    ///
    /// # Errors
    /// [`ServiceError::Zone`] for the first that is no domain name.
    pub fn with_zones<Z: AsRef<str>>(mut self, zones: &[Z]) -> Result<Service, ServiceError> {
        self.zones = zones.iter().map(|zone| parse_zone(zone.as_ref())).collect::<Result<_, _>>()?;
        self.zones.sort_unstable();
        self.zones.dedup();
        Ok(self)
    }

    /// Sets the charset by its label; `auto` is the default.
    ///
    /// # Errors
    /// [`ServiceError::Charset`].
    pub fn with_charset(mut self, label: &str) -> Result<Service, ServiceError> {
        self.charset = label.parse()?;
        Ok(self)
    }

    /// Sets the signs of a refusal.
    ///
    /// # Errors
    /// [`ServiceError::Rule`] for [`Rule::Status`] on a whois service, which has no status.
    pub fn with_refused_when(mut self, rules: Vec<Rule>) -> Result<Service, ServiceError> {
        let has_status = rules.iter().any(|rule| matches!(rule, Rule::Status(_)));
        if has_status && self.protocol == Protocol::Whois {
            return Err(rule_error("whois has no `status`; use `text`, `empty` or `closed`"));
        }
        self.refused_when = rules;
        Ok(self)
    }

    /// The id, unique in a catalogue.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The name of the server, in lower case.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// What it speaks.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// The zones it answers, in A-labels and sorted; empty means any target.
    pub fn zones(&self) -> &[String] {
        &self.zones
    }

    /// Its charset.
    pub fn charset(&self) -> Charset {
        self.charset
    }

    /// The signs of a refusal.
    pub fn refused_when(&self) -> &[Rule] {
        &self.refused_when
    }

    /// The line that asks for `target`, without its end.
    pub(crate) fn line(&self, target: &str) -> String {
        self.template.join(target)
    }
}

fn plain_host(host: &str) -> String {
    host.trim_end_matches('.').to_ascii_lowercase()
}

fn parse_zone(zone: &str) -> Result<String, ServiceError> {
    crate::target::parse_zone(zone).ok_or_else(|| ServiceError::Zone { given: Given::new(zone) })
}

fn rule_error(why: &str) -> ServiceError {
    ServiceError::Rule { why: why.to_owned() }
}

/// The regex crate's reason without its drawing of the pattern: the last line says it.
fn reason(error: &regex::Error) -> String {
    let said = error.to_string();
    let last = said.lines().last().unwrap_or_default().trim();
    last.strip_prefix("error: ").unwrap_or(last).escape_debug().to_string()
}

#[cfg(test)]
mod tests;
