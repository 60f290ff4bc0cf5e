//! The wording itself: families of ways to say one thing, in as many languages as are known.
//!
//! Each line is a regular expression over one statement in lower case, with single spaces. `CALL`, `MEASURE`
//! and their like stand for any word of that class in [`CLASSES`]. `\b`, `\w`, `\W`, `\d` know ASCII only, so
//! that one automaton reads every text in one pass: no pattern sets `\b` beside another letter.

use super::Sense;
use super::answers::{ANNOUNCED, DOWN, ELSEWHERE, GONE, INVALID, NOT_FOUND, PASSING, RESERVED};
use super::refusals::{DENIED, FOREVER, HYPOTHETICAL, LATER, LIMITED, MEASURED, ORDERED, REDUCED, TIMED};

/// What a family is for: a sense, or a word that takes one away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    /// Says this.
    Says(Sense),
    /// Speaks of what may happen, or of what nobody ought to do: no refusal.
    Hypothetical,
    /// Is a refusal although it speaks so: an order to wait.
    Ordered,
    /// Speaks of what is to come: no outage, nothing gone yet.
    Announced,
    /// Passes: nothing is gone for good.
    Passing,
}

/// Words that patterns share. Misspellings are real.
pub(super) const CLASSES: [(&str, &[&str]); 6] = [
    (
        "CALL",
        &[
            r"quer(?:y|ies|ying)",
            r"requests?",
            r"loo?k?[- ]?ups?",
            r"conne(?:ct|x)ions?",
            r"sessions?",
            r"attempts?",
            r"hits?",
            r"calls?",
            r"[ei]nquir(?:y|ies)",
            r"search(?:es)?",
            r"questions?",
            r"transactions?",
            r"operations?",
        ],
    ),
    (
        "MEASURE",
        &[
            r"limit\w*",
            r"quotas?",
            r"rates?",
            r"max(?:imum|imal)?",
            r"thresholds?",
            r"allowances?",
            r"allowed",
            r"allotment",
            r"allocation",
            r"permitted",
            r"number of",
            r"volume",
            r"frequency",
            r"credits?",
            r"capacity",
        ],
    ),
    (
        "PASSED",
        &[
            r"exc?e+ds?",
            r"exc?e+d(?:ed|ing)",
            r"reached",
            r"hit",
            r"surpassed",
            r"exhausted",
            r"used up",
            r"consumed",
            r"passed",
            r"depleted",
            r"overrun",
            r"run out",
            r"overstepped",
            r"violat(?:ed|ion)",
        ],
    ),
    (
        "SHUT",
        &[
            r"denied",
            r"refused",
            r"rejected",
            r"blocked",
            r"forbidden",
            r"(?:not|n't) permitted",
            r"(?:not|n't) allowed",
            r"disallowed",
            r"banned",
            r"suspended",
            r"barred",
            r"revoked",
            r"(?:not|n't) (?:been )?(?:granted|accepted|welcome)",
        ],
    ),
    (
        "US",
        &[
            r"ips?",
            r"address(?:es)?",
            r"hosts?",
            r"clients?",
            r"networks?",
            r"subnets?",
            r"ranges?",
            r"you",
            r"users?",
        ],
    ),
    (
        "SERVICE",
        &[
            r"whois(?: ?server)?",
            r"port[- ]?43",
            r"services?",
            r"servers?",
            r"data ?bases?",
            r"db",
            r"systems?",
            r"back[- ]?end",
            r"registry",
            r"lookups?",
        ],
    ),
];

/// The families; their order is that of the patterns of a lexicon.
pub(super) const FAMILIES: [(Family, &[&str]); 17] = [
    (Family::Hypothetical, HYPOTHETICAL),
    (Family::Ordered, ORDERED),
    (Family::Announced, ANNOUNCED),
    (Family::Passing, PASSING),
    (Family::Says(Sense::Limited), LIMITED),
    (Family::Says(Sense::Later), LATER),
    (Family::Says(Sense::Denied), DENIED),
    (Family::Says(Sense::Forever), FOREVER),
    (Family::Says(Sense::Timed), TIMED),
    (Family::Says(Sense::Measured), MEASURED),
    (Family::Says(Sense::Reduced), REDUCED),
    (Family::Says(Sense::Gone), GONE),
    (Family::Says(Sense::Elsewhere), ELSEWHERE),
    (Family::Says(Sense::Down), DOWN),
    (Family::Says(Sense::NotFound), NOT_FOUND),
    (Family::Says(Sense::Reserved), RESERVED),
    (Family::Says(Sense::Invalid), INVALID),
];
