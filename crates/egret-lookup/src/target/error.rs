//! Why a target was not taken. These lines are shown to users as they are.

use std::fmt;

/// How much of what was typed is repeated in an error, in characters (chosen).
const SHOWN: usize = 60;

/// Why a target was not taken (`invalid_target` in the API). One line each, with the mend.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Nothing, or white space only.
    #[error("the target is empty; give a name, an address or a number")]
    Empty,
    /// Longer than a name, a label or a line may be.
    #[error("the {what} is {bytes} bytes long, at most {max} are allowed; shorten it")]
    TooLong {
        /// `name`, `label`, `path` or `text`.
        what: &'static str,
        /// Its length in bytes, A-labels counted.
        bytes: usize,
        /// The bound: RFC 1035 section 2.3.4 for names and labels.
        max: usize,
    },
    /// CR, LF, NUL and their like would end the line or worse.
    #[error(
        "the target holds the control character U+{code:04X}; a question is one line of plain text, so take it out"
    )]
    Control {
        /// The Unicode code point.
        code: u32,
    },
    /// The remote would take the text for an option or a command.
    #[error("the target starts with `{first}`, which servers take for {}; options belong in the service's template", command(*.first))]
    Command {
        /// `-` or `!`.
        first: char,
    },
    /// Not a host name.
    #[error("{given} is no domain name: {why}")]
    NotAName {
        /// What was typed, clipped.
        given: Given,
        /// What is wrong with it, and the mend.
        why: &'static str,
    },
    /// An address where a name was due.
    #[error("{given} is an address, not a name; look it up as `ip`")]
    AddressForName {
        /// What was typed, clipped.
        given: Given,
    },
    /// Neither an address nor a network.
    #[error(
        "{given} is no IP address or network; write it as 192.0.2.1, 192.0.2.0/24, 2001:db8::1 or 2001:db8::/32"
    )]
    NotAnAddress {
        /// What was typed, clipped.
        given: Given,
    },
    /// Not the number of an autonomous system.
    #[error("{given} is no AS number; write it as AS3333 or 3333, from 0 to 4294967295")]
    NotAnAsn {
        /// What was typed, clipped.
        given: Given,
    },
    /// Not a path under the address of a service.
    #[error("{given} is no path: {why}")]
    NotAPath {
        /// What was typed, clipped.
        given: Given,
        /// What is wrong with it, and the mend.
        why: &'static str,
    },
    /// The service's charset has no such characters.
    #[error("{given} cannot be written in {charset}, the charset of this service; use other characters")]
    NotInCharset {
        /// What was typed, clipped.
        given: Given,
        /// The charset's standard name.
        charset: &'static str,
    },
}

/// The word names no kind of lookup (`unsupported_lookup` in the API).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no lookup {given}; use domain, ip, asn, nameserver, entity, whois, rdap or http")]
pub struct KindError {
    given: Given,
}

impl KindError {
    pub(super) fn new(word: &str) -> KindError {
        KindError { given: Given::new(word) }
    }
}

/// What a user typed, as errors repeat it: quoted, escaped, clipped to 60 characters.
#[derive(Clone, PartialEq, Eq)]
pub struct Given(String);

impl Given {
    pub(crate) fn new(text: &str) -> Given {
        let mut shown: String = text.chars().take(SHOWN).collect();
        if shown.len() < text.len() {
            shown.push('…');
        }
        Given(shown)
    }
}

impl fmt::Display for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.0.escape_debug())
    }
}

impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn command(first: char) -> &'static str {
    if first == '!' { "an IRRd command" } else { "an option" }
}
