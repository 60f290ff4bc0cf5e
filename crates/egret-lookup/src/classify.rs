//! What an answer means: a record, its absence, or a refusal in one of its many dresses.
//!
//! The operator's rules come first. Then the answer's [`Page`] is weighed: a full
//! record beats a word of refusal, a refusal beats "not found", and text that says
//! nothing known is called so rather than guessed at. The costly mistakes are, in
//! this order: to call a refused answer found or free, and to cool down an address
//! because of legal text that talks about limits.
//!
//! Time is linear in the first 64 KiB of an answer and constant after them.

mod http;
mod rdap;

use std::time::Duration;

use crate::answer::read_anyhow;
use crate::lexicon::{self, FieldClass, Senses};
use crate::page::Page;
use crate::service::{Rule, Service};
use crate::wait;

pub use http::classify_http;
pub use rdap::{RdapReply, classify_rdap};

/// How much of an answer is judged, in bytes. Recorded refusals are below 2 KiB; chosen.
const JUDGED_MAX: usize = 64 * 1024;

/// How the connection gave its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply<'a> {
    /// The remote closed in order after these bytes, perhaps none.
    Answer(&'a [u8]),
    /// The remote broke the connection off after these bytes, perhaps none.
    Reset(&'a [u8]),
}

/// What a reply means for the job and the budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// A record, or other data.
    Found,
    /// The service knows no such object.
    NotFound,
    /// No such object, and nobody can have it.
    Reserved,
    /// The service says that the question is wrong.
    Invalid,
    /// Too much was asked: the egress cools down and the step goes elsewhere.
    Refused {
        /// How long the answer itself says to wait, at most seven days.
        wait: Option<Duration>,
    },
    /// We are shut out for good: no other egress may try.
    Blocked,
    /// Nothing came, or legal text only, and no rule calls that a refusal. Suspect until another egress agrees.
    Empty,
    /// Text that says nothing known, or an answer cut off in the middle.
    Nonsense,
    /// Over HTTP: a status that answers no question, an answer cut off in the middle, or no HTTP at all.
    Failed,
}

/// Judges one reply of a `service` over whois.
pub fn classify(service: &Service, reply: Reply<'_>) -> Verdict {
    let (Reply::Answer(bytes) | Reply::Reset(bytes)) = reply;
    let judged = &bytes[..bytes.len().min(JUDGED_MAX)];
    let text = read_anyhow(judged, service.charset());
    let page = Page::read(&text);
    let was_reset = matches!(reply, Reply::Reset(_));
    if service.refused_when().iter().any(|rule| applies(rule, None, &text, was_reset)) {
        return refused(&page);
    }
    match weigh(&page) {
        // Some servers reset habitually after a whole answer; a cut one rarely ends with a line.
        Verdict::Found | Verdict::NotFound | Verdict::Reserved if was_reset && !bytes.ends_with(b"\n") => {
            Verdict::Nonsense
        }
        verdict => verdict,
    }
}

fn applies(rule: &Rule, status: Option<u16>, text: &str, was_reset: bool) -> bool {
    match rule {
        Rule::Status(codes) => status.is_some_and(|status| codes.contains(&status)),
        Rule::Text(pattern) => pattern.is_match(text),
        Rule::Empty => text.trim().is_empty(),
        Rule::Closed => was_reset,
    }
}

/// A rule says that this is a refusal; only explicit words make it a final one.
fn refused(page: &Page) -> Verdict {
    let says_forever =
        statements(page).any(|(_, senses)| senses.forever && (senses.denied || senses.limited));
    if says_forever { Verdict::Blocked } else { Verdict::Refused { wait: named_wait(page) } }
}

/// Judges by the words alone.
fn weigh(page: &Page) -> Verdict {
    let record = Record::of(page);
    if record.is_full() {
        return Verdict::Found;
    }
    let mut said = Senses::default();
    for (_, senses) in statements(page) {
        said = said.or(senses);
    }
    if said.denied || said.limited {
        // A door shut without any word of a limit or a time is shut for good.
        let for_good = said.forever || !said.limited && !said.passing;
        return if for_good { Verdict::Blocked } else { Verdict::Refused { wait: named_wait(page) } };
    }
    match said {
        Senses { reserved: true, .. } => Verdict::Reserved,
        Senses { not_found: true, .. } => Verdict::NotFound,
        Senses { invalid: true, .. } => Verdict::Invalid,
        _ if record.is_something() || page.is_nothing_but_fields() => Verdict::Found,
        _ if page.statements.is_empty() => Verdict::Empty,
        _ => Verdict::Nonsense,
    }
}

/// Everything that may be a message: the statements, and what a status says.
fn statements(page: &Page) -> impl Iterator<Item = (&str, Senses)> {
    let statuses = page.fields.iter().filter(|field| field.class == FieldClass::Status);
    let said = page.statements.iter().chain(statuses.map(|field| &field.value));
    said.map(|text| (text.as_str(), lexicon::senses(text)))
}

fn named_wait(page: &Page) -> Option<Duration> {
    let named = page.statements.iter().find_map(|text| wait::named(text));
    named.or_else(|| {
        statements(page).filter(|(_, senses)| senses.limited).find_map(|(text, _)| wait::by_the_day(text))
    })
}

/// What evidence of a record a page holds.
#[derive(Debug, Default)]
struct Record {
    has_name: bool,
    /// Which of registrar, person, date, server and network are there.
    parts: [bool; 5],
    fields: usize,
}

impl Record {
    fn of(page: &Page) -> Record {
        let mut record = Record { fields: page.fields.len(), ..Record::default() };
        for field in &page.fields {
            let part = match field.class {
                FieldClass::Registrar => 0,
                FieldClass::Person => 1,
                FieldClass::Date => 2,
                FieldClass::Server => 3,
                FieldClass::Network => 4,
                FieldClass::Name => {
                    record.has_name = true;
                    continue;
                }
                FieldClass::Status | FieldClass::Message | FieldClass::Other => continue,
            };
            record.parts[part] = true;
        }
        record
    }

    /// Enough to outweigh any word. Dates do not count alone: some servers date an empty answer.
    fn is_full(&self) -> bool {
        let [registrar, person, date, server, network] = self.parts.map(usize::from);
        let firm = registrar + person + server + network;
        firm >= 1 && firm + date + usize::from(self.has_name) >= 2
    }

    /// Enough to call it an answer when nothing speaks against it.
    fn is_something(&self) -> bool {
        self.parts.contains(&true) || self.fields >= 2
    }
}

#[cfg(test)]
mod tests;
