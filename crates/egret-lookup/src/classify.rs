//! What an answer means: a record, its absence, or a refusal in one of its many dresses.
//!
//! The operator's rules come first, then what single servers are known to say ([`servers`]). Then
//! the answer's [`Page`] is weighed: a full record beats a word of refusal, a refusal beats an outage,
//! both beat "not found", and text that says nothing known is called so rather than guessed at. The
//! costly mistakes are, in this order: to call a refused answer found or free, and to cool down an
//! address because of legal text that talks about limits.
//!
//! Time is linear in the first 64 KiB of an answer and constant after them.

mod http;
mod rdap;
mod servers;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::LazyLock;
use std::time::Duration;

use crate::answer::read_anyhow;
use crate::lexicon::{self, FieldClass, Lexicon, Sense, Senses, Wording};
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
    /// This service, or this zone at it, is gone for everybody: nothing is had by asking again.
    Retired,
    /// The service answers nobody at present: down, at work, or broken inside.
    Unavailable,
    /// Nothing came, or legal text only, and no rule calls that a refusal. Suspect until another egress agrees.
    Empty,
    /// Text that says nothing known, or an answer cut off in the middle.
    Nonsense,
    /// Over HTTP: a status that answers no question, an answer cut off in the middle, or no HTTP at all.
    Failed,
}

/// Judges one reply of a `service` over whois, by all that is known.
pub fn classify(service: &Service, reply: Reply<'_>) -> Verdict {
    static WHOLE: LazyLock<Classifier> =
        LazyLock::new(|| Classifier { lexicon: Lexicon::whole().clone(), strangers: BTreeSet::new() });
    WHOLE.judge(service, reply)
}

/// A classifier that knows less than all: how it fares shows what the rest is worth.
#[derive(Debug)]
pub struct Classifier {
    lexicon: Lexicon,
    /// Hosts whose own rules it does not know.
    strangers: BTreeSet<String>,
}

impl Classifier {
    /// One to which these hosts are strangers, and which lacks these wordings.
    pub fn without(hosts: BTreeSet<String>, wordings: &BTreeSet<Wording>) -> Classifier {
        Classifier { lexicon: Lexicon::without(wordings), strangers: hosts }
    }

    /// Judges one reply of a `service` over whois.
    pub fn judge(&self, service: &Service, reply: Reply<'_>) -> Verdict {
        let (Reply::Answer(bytes) | Reply::Reset(bytes)) = reply;
        let text = judged(service, bytes);
        let page = Page::read(&text, &self.lexicon);
        let words = Words { page: &page, lexicon: &self.lexicon };
        let was_reset = matches!(reply, Reply::Reset(_));
        if service.refused_when().iter().any(|rule| applies(rule, None, &text, was_reset)) {
            return words.refused();
        }
        match servers::says(service.host(), &text).filter(|_| !self.strangers.contains(service.host())) {
            Some(servers::Said::Refused) => return words.refused(),
            Some(servers::Said::Blocked) => return Verdict::Blocked,
            None => {}
        }
        match words.weigh() {
            // Some servers reset habitually after a whole answer; a cut one rarely ends with a line.
            Verdict::Found | Verdict::NotFound | Verdict::Reserved
                if was_reset && !bytes.ends_with(b"\n") =>
            {
                Verdict::Nonsense
            }
            verdict => verdict,
        }
    }
}

/// The wordings that an answer is made of, as far as it states something.
pub fn wordings(service: &Service, answer: &[u8]) -> BTreeSet<Wording> {
    let page = Page::read(&judged(service, answer), Lexicon::whole());
    statements(&page).flat_map(lexicon::wordings).collect()
}

/// As much of an answer as is judged.
fn judged<'a>(service: &Service, bytes: &'a [u8]) -> Cow<'a, str> {
    read_anyhow(&bytes[..bytes.len().min(JUDGED_MAX)], service.charset())
}

fn applies(rule: &Rule, status: Option<u16>, text: &str, was_reset: bool) -> bool {
    match rule {
        Rule::Status(codes) => status.is_some_and(|status| codes.contains(&status)),
        Rule::Text(pattern) => pattern.is_match(text),
        Rule::Empty => text.trim().is_empty(),
        Rule::Closed => was_reset,
    }
}

/// Everything that may be a message: the statements, and what a status says.
fn statements(page: &Page) -> impl Iterator<Item = &str> {
    let statuses = page.fields.iter().filter(|field| field.class == FieldClass::Status);
    page.statements.iter().chain(statuses.map(|field| &field.value)).map(String::as_str)
}

/// A page, and what its words mean.
struct Words<'a> {
    page: &'a Page,
    lexicon: &'a Lexicon,
}

impl Words<'_> {
    fn senses(&self) -> impl Iterator<Item = (&str, Senses)> {
        statements(self.page).map(|text| (text, self.lexicon.senses(text)))
    }

    /// A rule says that this is a refusal; only explicit words make it a final one.
    fn refused(&self) -> Verdict {
        let says_forever = self.senses().any(|(_, senses)| senses.refuses_for_good());
        if says_forever { Verdict::Blocked } else { self.limited() }
    }

    fn limited(&self) -> Verdict {
        let named = self.page.statements.iter().find_map(|text| wait::named(text));
        let by_the_day = || {
            let mut limits = self.senses().filter(|(_, senses)| senses.has(Sense::Limited));
            limits.find_map(|(text, _)| wait::by_the_day(text))
        };
        Verdict::Refused { wait: named.or_else(by_the_day) }
    }

    /// Judges by the words alone.
    fn weigh(&self) -> Verdict {
        let record = Record::of(self.page);
        if record.is_full() {
            // What a limit left of a record is asked for again elsewhere, where the whole of it may be had.
            return if self.is_reduced() { self.limited() } else { Verdict::Found };
        }
        let said = self.senses().fold(Senses::default(), |all, (_, senses)| all.or(senses));
        if said.refuses() {
            // A door shut without any word of a limit or a time is shut for good.
            let for_good = said.has(Sense::Forever) || !said.has(Sense::Limited) && !said.passes();
            return if for_good { Verdict::Blocked } else { self.limited() };
        }
        let first = |senses: &[(Sense, Verdict)]| {
            senses.iter().find(|(sense, _)| said.has(*sense)).map(|(_, verdict)| *verdict)
        };
        let is_answer = || record.is_something() || self.page.is_nothing_but_fields();
        first(&[(Sense::Gone, Verdict::Retired), (Sense::Down, Verdict::Unavailable)])
            .or_else(|| said.has(Sense::Later).then(|| self.limited()))
            .or_else(|| {
                first(&[
                    (Sense::Reserved, Verdict::Reserved),
                    (Sense::NotFound, Verdict::NotFound),
                    (Sense::Invalid, Verdict::Invalid),
                ])
            })
            .or_else(|| is_answer().then_some(Verdict::Found))
            .or_else(|| first(&[(Sense::Elsewhere, Verdict::Retired)]))
            .unwrap_or(if self.page.statements.is_empty() { Verdict::Empty } else { Verdict::Nonsense })
    }

    /// Whether it says that a limit made it send less than the whole.
    fn is_reduced(&self) -> bool {
        let said = self.page.statements.iter().map(|text| self.lexicon.senses(text));
        let said = said.fold(Senses::default(), Senses::or);
        said.has(Sense::Limited) && said.has(Sense::Reduced)
    }
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
