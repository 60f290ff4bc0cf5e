//! The words by which whois servers say that they refuse, know nothing, or do not understand.
//!
//! All patterns run over one short statement or value at a time, never over a whole answer. They name families of
//! wording, not servers (`refusals`, `answers`): what only one server says is in `classify/servers.tsv`, or in a
//! service's `refused_when`. A [`Lexicon`] can be made without some of its [`Wording`]s, which shows how well the
//! others do on a server that had no part in them.

mod answers;
mod keys;
mod refusals;
mod words;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::LazyLock;

use regex::{Regex, RegexSet};

pub(crate) use keys::{FieldClass, ends_the_answer, field_class, is_no_value, is_plain_key};
use words::{CLASSES, FAMILIES, Family};

/// Matches nothing: what is left of a family without wordings.
const NEVER: &str = r"[^\s\S]";
/// What the short forms in the patterns stand for.
const ASCII: [(&str, &str); 4] =
    [(r"\b", r"(?-u:\b)"), (r"\w", r"[0-9a-z_]"), (r"\W", r"[^0-9a-z_]"), (r"\d", r"[0-9]")];

/// One thing that a statement may say of the present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sense {
    /// We asked too much.
    Limited,
    /// We are asked to come again.
    Later,
    /// We are not let in.
    Denied,
    /// It says itself that this is for good.
    Forever,
    /// It says itself that this passes.
    Timed,
    /// It has to do with how much was asked.
    Measured,
    /// Less than the whole was sent.
    Reduced,
    /// The service, or the zone at it, is gone.
    Gone,
    /// Ask another way.
    Elsewhere,
    /// Nobody is answered.
    Down,
    /// There is no such object.
    NotFound,
    /// There is none, and nobody can have it.
    Reserved,
    /// The question is not understood.
    Invalid,
}

/// What one short statement says, or several together.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Senses(u16);

impl Senses {
    pub(crate) fn has(self, sense: Sense) -> bool {
        self.0 & 1 << sense as u16 != 0
    }

    fn add(&mut self, sense: Sense) {
        self.0 |= 1 << sense as u16;
    }

    fn remove(&mut self, senses: &[Sense]) {
        for sense in senses {
            self.0 &= !(1 << *sense as u16);
        }
    }

    /// What two statements say together.
    pub(crate) fn or(self, other: Senses) -> Senses {
        Senses(self.0 | other.0)
    }

    /// It refuses us, whatever else it says.
    pub(crate) fn refuses(self) -> bool {
        self.has(Sense::Limited) || self.has(Sense::Denied)
    }

    /// It says itself that a refusal is for good.
    pub(crate) fn refuses_for_good(self) -> bool {
        self.has(Sense::Forever) && self.refuses()
    }

    /// It passes by its own words.
    pub(crate) fn passes(self) -> bool {
        self.has(Sense::Timed) || self.has(Sense::Measured)
    }
}

/// One way to say one thing: an alternative of a pattern, or a word of a class. Ordered as in the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wording(usize);

impl fmt::Display for Wording {
    /// The regular expression.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(all().get(self.0).map_or("", |(_, pattern)| pattern))
    }
}

/// Where a wording belongs: to the family, or the class, of this number.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Family(usize),
    Class(usize),
}

/// Every wording, in the order of the tables.
fn all() -> &'static [(Place, &'static str)] {
    static ALL: LazyLock<Vec<(Place, &'static str)>> = LazyLock::new(|| {
        let families = FAMILIES.iter().enumerate().flat_map(|(at, (_, patterns))| {
            let alternatives = patterns.iter().flat_map(|pattern| alternatives(pattern));
            alternatives.map(move |one| (Place::Family(at), one))
        });
        let classes = CLASSES.iter().enumerate();
        let words =
            classes.flat_map(|(at, (_, words))| words.iter().map(move |word| (Place::Class(at), *word)));
        families.chain(words).collect()
    });
    &ALL
}

/// The alternatives of a pattern outside any brackets.
fn alternatives(pattern: &'static str) -> impl Iterator<Item = &'static str> {
    let (mut depth, mut is_escaped) = (0_usize, false);
    pattern.split(move |c| {
        let was_escaped = is_escaped;
        is_escaped = c == '\\' && !was_escaped;
        match c {
            _ if was_escaped => {}
            '(' | '[' => depth += 1,
            ')' | ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == '|' && depth == 0 && !was_escaped
    })
}

/// Families of wording, ready to be heard.
#[derive(Debug, Clone)]
pub struct Lexicon {
    /// One pattern for each of [`FAMILIES`].
    families: RegexSet,
}

impl Lexicon {
    /// All that is known.
    pub fn whole() -> &'static Lexicon {
        static WHOLE: LazyLock<Lexicon> = LazyLock::new(|| Lexicon::without(&BTreeSet::new()));
        &WHOLE
    }

    /// All but these, to learn what the rest is worth.
    pub fn without(left_out: &BTreeSet<Wording>) -> Lexicon {
        let joined = |place: Place| {
            let known = all().iter().enumerate().filter(|(at, _)| !left_out.contains(&Wording(*at)));
            let words: Vec<&str> =
                known.filter(|(_, (is, _))| *is == place).map(|(_, (_, one))| *one).collect();
            if words.is_empty() { NEVER.to_owned() } else { words.join("|") }
        };
        let classes: Vec<String> = (0..CLASSES.len()).map(|at| joined(Place::Class(at))).collect();
        let patterns = (0..FAMILIES.len()).map(|at| spelt_out(&joined(Place::Family(at)), &classes));
        let families = RegexSet::new(patterns).expect("the patterns are constants, compiled in every test");
        Lexicon { families }
    }

    /// Reads one short statement.
    pub(crate) fn senses(&self, statement: &str) -> Senses {
        let heard = self.families.matches(&plain(statement));
        let mut senses = Senses::default();
        let [mut is_hypothetical, mut is_ordered, mut is_announced, mut is_passing] = [false; 4];
        for at in &heard {
            match FAMILIES[at].0 {
                Family::Says(sense) => senses.add(sense),
                Family::Hypothetical => is_hypothetical = true,
                Family::Ordered => is_ordered = true,
                Family::Announced => is_announced = true,
                Family::Passing => is_passing = true,
            }
        }
        if is_hypothetical && !is_ordered {
            use Sense::{Denied, Forever, Later, Limited, Measured, Timed};
            senses.remove(&[Limited, Later, Denied, Forever, Timed, Measured]);
        }
        if is_announced {
            senses.remove(&[Sense::Down, Sense::Gone]);
        }
        if is_passing {
            senses.remove(&[Sense::Gone]);
        }
        if senses.has(Sense::Timed) {
            senses.remove(&[Sense::Forever]);
        }
        senses
    }
}

/// The wordings that one statement is made of, without those that only take a sense away.
pub(crate) fn wordings(statement: &str) -> impl Iterator<Item = Wording> {
    static EACH: LazyLock<RegexSet> = LazyLock::new(|| {
        let classes: Vec<String> = CLASSES.iter().map(|(_, words)| words.join("|")).collect();
        let each = all().iter().map(|(place, pattern)| match place {
            Place::Family(_) => spelt_out(pattern, &classes),
            Place::Class(_) => spelt_out(&format!(r"\b(?:{pattern})\b"), &classes),
        });
        RegexSet::new(each).expect("the patterns are constants, compiled in every test")
    });
    let takes_away = |at: &usize| match all()[*at].0 {
        Place::Family(family) => !matches!(FAMILIES[family].0, Family::Says(_) | Family::Ordered),
        Place::Class(_) => false,
    };
    EACH.matches(&plain(statement)).into_iter().filter(move |at| !takes_away(at)).map(Wording)
}

/// A pattern with its classes filled in, for ASCII's letters.
fn spelt_out(pattern: &str, classes: &[String]) -> String {
    let named = CLASSES.iter().zip(classes);
    let full = named.fold(pattern.to_owned(), |pattern, ((name, _), words)| {
        pattern.replace(name, &format!("(?:{words})"))
    });
    ASCII.iter().fold(full, |pattern, (short, ascii)| pattern.replace(short, ascii))
}

/// Lower case, single spaces, no links: one to "why-access-denied" says nothing.
fn plain(statement: &str) -> String {
    let words =
        statement.split_whitespace().filter(|word| !word.contains("://") && !word.starts_with("www."));
    words.collect::<Vec<_>>().join(" ").to_lowercase().replace('_', " ")
}

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the pattern is a constant, compiled in every test")
}
