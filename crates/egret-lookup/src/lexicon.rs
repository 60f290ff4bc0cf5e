//! The words by which whois servers say that they refuse, know nothing, or do not understand.
//!
//! All patterns run over one short statement or value at a time, never over a whole
//! answer. They name families of wording, not servers: what only one server says
//! belongs into that service's `refused_when`.

use std::sync::LazyLock;

use regex::{Regex, RegexSet};

/// What a field's key says about the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FieldClass {
    /// The thing asked about: says nothing about its existence.
    Name,
    /// A status; its value decides.
    Status,
    Registrar,
    Person,
    Date,
    Server,
    Network,
    /// A key that introduces a message to the asker.
    Message,
    Other,
}

/// Families of keys; the first that matches decides. Keys are lower case, with `_`, `-`, `.` and
/// runs of spaces as one space.
static KEYS: LazyLock<(RegexSet, [FieldClass; 8])> = LazyLock::new(|| {
    use FieldClass::{Date, Message, Name, Network, Person, Registrar, Server, Status};
    set_of([
        (r"^((registration|domain|query|reg|object|epp|current) ?)?(status|state)$|^statu", Status),
        (
            r"^(error|warning|note|notice|info|information|message|comment|usage|reason|alert|err|result|response|terms of use|query|disclaimer|copyright|attention|please note)( .*)?$|^%?error",
            Message,
        ),
        (
            r"^(the )?(domain|domain ?name|domainname|ace|idn|name|object|dominio|nom de domaine|domaine|ascii|punycode)( name)?( \(?(ascii|idn|ace|utf ?8|unicode|utf8)\)?)?$",
            Name,
        ),
        (
            r"creat|registered|regist(ration|ry)?( \w+)? (date|time|on|until|expir)|expir|paid till|renew|updat|modif|changed|valid (until|till|to|from)|anniversary|activ(ated|ation)|date|record (created|last)|^from$|^until$|^since$|^assigned$",
            Date,
        ),
        (
            r"registrar|registered by|sponsor|reseller|registration (service|agent)|authorized agency|agent|tagged",
            Registrar,
        ),
        (
            r"registrant|holder|owner|organi[sz]ation|^org|contact|admin|tech|billing|^person$|^role$|^descr|e ?mail|phone|address|street|country|nic ?hdl|customer|company|titulaire|adm c|^mnt|zone c",
            Person,
        ),
        (
            r"^n ?serv|name ?server|^(p|s|primary|secondary)? ?(ns|dns|host)( ?\d+)?$|domain servers|host ?name|serveur|dns ?sec|^ds ?rdata|^nsset|^dns server",
            Server,
        ),
        (
            r"inet6? ?num|net ?range|cidr|net ?name|net ?handle|^route6?$|aut num|as ?(number|name|handle|block)|origin|ip (address|range|network)|network|inetrev|owner ?id|parent",
            Network,
        ),
    ])
});

fn set_of<T, const N: usize>(families: [(&str, T); N]) -> (RegexSet, [T; N]) {
    let set = RegexSet::new(families.iter().map(|(pattern, _)| *pattern));
    (set.expect("the patterns are constants, compiled in every test"), families.map(|(_, class)| class))
}

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the pattern is a constant, compiled in every test")
}

/// What a key says about the answer.
pub(crate) fn field_class(key: &str) -> FieldClass {
    let mut plain = String::with_capacity(key.len());
    for part in
        key.split(|c: char| !c.is_alphanumeric() && !"%()".contains(c)).filter(|part| !part.is_empty())
    {
        if !plain.is_empty() {
            plain.push(' ');
        }
        plain.extend(part.chars().flat_map(char::to_lowercase));
    }
    let (set, classes) = &*KEYS;
    set.matches(&plain).iter().next().map_or(FieldClass::Other, |first| classes[first])
}

/// Whether an unknown key looks like one: few words and no sentence in it.
pub(crate) fn is_plain_key(key: &str) -> bool {
    key.split_whitespace().count() <= 4 && !key.contains(['.', ',', '"', '!', '?', '<', '='])
}

/// Whether a value says that there is none.
pub(crate) fn is_no_value(value: &str) -> bool {
    value.trim_matches(['-', '.', '*', ' ', '_']).is_empty()
        || ["n/a", "none", "null", "not available", "no"].iter().any(|word| value.eq_ignore_ascii_case(word))
}

/// Whether the answer proper ends here; what follows is legal text.
pub(crate) fn ends_the_answer(line: &str) -> bool {
    static END: LazyLock<Regex> = LazyLock::new(|| regex(r"(?i)^\W*>>>.*last update"));
    line.len() < 200 && END.is_match(line)
}

/// What one short statement says, as far as it says it of the present.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Senses {
    /// We asked too much.
    pub(crate) limited: bool,
    /// We are not let in.
    pub(crate) denied: bool,
    /// It says itself that this is for good.
    pub(crate) forever: bool,
    /// It says itself that this passes, or that it has to do with how much was asked.
    pub(crate) passing: bool,
    /// There is no such object.
    pub(crate) not_found: bool,
    /// There is none, and nobody can have it.
    pub(crate) reserved: bool,
    /// The question is not understood.
    pub(crate) invalid: bool,
}

/// Words that several patterns share: `CALL` stands for the first alternatives, and so on.
const SHARED: [(&str, &str); 5] = [
    // What is asked, as refusals call it; misspellings are real.
    (
        "CALL",
        r"(?:quer(?:y|ies)|querying|requests?|loo?k?ups?|connections?|sessions?|attempts?|hits?|calls?|enquir(?:y|ies)|inquir(?:y|ies))",
    ),
    (
        "MEASURE",
        r"(?:limit\w*|quota|rate|maximum|max|threshold|allowance|allowed|permitted|number of|volume)",
    ),
    ("PASSED", r"(?:exceed(?:ed|s)?|exceded|reached|hit|surpassed|exhausted|used up|consumed|passed)"),
    (
        "SHUT",
        r"(?:denied|refused|rejected|blocked|forbidden|not permitted|not allowed|disallowed|banned|suspended|barred)",
    ),
    ("US", r"(?:ip|ips|address|host|client|network|subnet|range|you|user)"),
];

/// Spoken of what may happen, or of what nobody ought to do: no refusal. `too may` is a misspelling.
const HYPOTHETICAL: &[&str] = &[
    r"(?:^|[^o] )may\b",
    r"\b(?:might|shall|would|agree[sd]?|must|should|prohibit\w*|reserves?|can take|in order to)\b",
    r"^\W*(?:if|unless|when)\b|[^\W] (?:if|unless)\b",
    r"\bwill (?:result|lead|cause|be (?:limited|blocked|denied|restricted|throttled|terminated|subject|rejected|banned))\b",
    r"\b(?:automated|high[- ]volume|bulk|mass|data mining|robots?|scripts?|commercial|purposes?|redistribut\w*|reproduc\w*)\b",
    r"\b(?:do not|don't|not to|never) (?:abuse|exceed|use|send|make|query|attempt|try)\b|\bget (?:blocked|banned)\b",
    r"\bexcessive\b.*\b(?:is|are) (?:not|forbidden|blocked|strictly)\b",
];

/// An order to wait is a refusal, although it says `must`.
const ORDERED: &[&str] = &[r"\b(?:must|should|have to) (?:now |please )?(?:wait|slow)\b"];

const LIMITED: &[&str] = &[
    r"\bMEASURE\b.*\bPASSED\b|\bPASSED\b.*\bMEASURE\b",
    r"\btoo (?:man?y|may|much|frequent\w*)\b.*\bCALL\b|\bCALL\b.*\btoo (?:many|much|frequent\w*|fast|quick\w*|often|soon)\b",
    r"\bexcessive\b.*\b(?:CALL|use|usage|traffic)\b|\b(?:abuse|abnormal usage|flood\w*) detected\b",
    r"\b(?:been|being|now|you are|you were|your \w+(?: address)? is) (?:rate[- ]?limited|throttled)\b|\bCALL (?:was |were )?(?:rate[- ]?limited|throttled)\W*$",
    r"^(?:\W|error|err|status|\d)*(?:rate[- ]?limit(?:ed|ing)?|throttled)\W*$",
    r"\bslow(?:ing)? down\b|\bgrace period\b|\baccess control limit\b|\blimit violation\b|\bover (?:the |your )?(?:limit|quota)\b",
    r"\bout of quota\b|\bquota (?:is )?(?:full|empty)\b|\bno (?:more |remaining )*CALL (?:are )?(?:allowed|left|remaining)\b",
    r"\bCALL (?:(?:is|was|were|has been|have been) )?(?:denied|refused|rejected|dropped)\b",
    r"\bat least \w+[- ]?(?:second|minute)s?\b",
    r"\b(?:wait|try|retry|come back|reconnect)\b.*\b(?:again|later|after|before|in|for)\b",
    r"\b(?:wait|sleep) \d|\bretry[- ]after\b|\b(?:server|service|system) (?:is )?(?:\w+ )?(?:busy|overload\w*)\b",
    r"\bzu viele (?:an|ab)fragen\b|\btrop de (?:requ|connex)|\bdemasiad[ao]s (?:consultas|peticiones|conexiones)",
    r"\bl[ií]mite\b.*(?:excedid|superad|alcan[çz]ad|atingid)|превышен|слишком много запросов",
];

const DENIED: &[&str] = &[
    r"\b(?:CALL|access|permission|service)\b.*\bSHUT\b",
    r"\byou (?:are|have been|were)\b.*\b(?:SHUT|not authori[sz]ed|blacklisted)\b",
    r"\bUS\b.*\b(?:blocked|banned|denied|blacklisted|not authori[sz]ed)\b",
    r"\bUS\b.*\bon (?:the|our|a)\b.*\b(?:block|black|deny)[- ]?list\b|\b(?:block|black)[- ]?listed\b",
    r"\b(?:unauthori[sz]ed|forbidden|denied) CALL\b|\b(?:been|temporarily) restricted\b",
    r"^\W*(?:error\W*)?(?:access |permission )?(?:denied|forbidden|refused)\W*$|доступ (?:запрещ|ограничен)",
];

const FOREVER: &[&str] = &[
    r"\bpermanent(?:ly)?\b|\bindefinite|\bfor ?ever\b|\b(?:black|block|deny)[- ]?list|\bbanned for abuse\b",
];

/// It passes, or may be asked again.
const TIMED: &[&str] = &[
    r"\btemporar|\bagain\b|\bretry|\blater\b|\bwait\b|\bdaily\b|\btoday\b|\bhour|\bminute|\bsecond|\bfor now\b",
];

/// It has to do with how much was asked.
const MEASURED: &[&str] =
    &[r"\bexcessive|\btoo (?:many|much|may|fast|often)|\blimit|\bquota|\brate\b|\bexceed"];

const NOT_FOUND: &[&str] = &[
    r"^\W*(?:no match\w*|not found|nothing found|no such|no found|none found|no data)\b|\bno match\b",
    r"^\W*(?:\d+ )?(?:available|free|(?:not |un)registered|unallocated|unassigned)(?: for regist\w+)?\W*$|^\W*\d+ available\b",
    r"\b(?:not|n't|never) (?:been )?(?:found|registered|exist\w*|delegated|assigned|allocated|in use|available in|in (?:our|the) \w*database)\b",
    r"\b(?:not|n't) (?:be )?(?:find|found)\b|\b(?:not|n't) have any (?:data|record|information|match)|\breturned (?:0|no) (?:object|result|record)",
    r"\bno (?:match\w*|objects?|entry|entries|records?|data|information|results?|domains?)(?: \w+){0,3} (?:found|exists?|match\w*|available)\b",
    r"\b(?:is|are|appears to be|currently|still|status:?) (?:free|available)(?: for | to |\W*$)",
    r"\bno existe\b|\bno se encuentra|\bno se encontr|\bno encontrad|\bn[ãa]o (?:foi )?encontrad|\bnicht (?:gefunden|registriert|vergeben)|\bnon trouv|\bintrouvable|\baucun|не (?:найден|зарегистрир)",
];

const RESERVED: &[&str] = &[
    r"\b(?:name|domain|string|label|object|tld)\b.*\b(?:reserved|blocked|restricted from|not registrable|not registerable)\b|\b(?:reserved|restricted) (?:domain|name|list)\b",
    r"^\W*(?:\d+ )?(?:this )?(?:domain )?(?:name )?(?:is )?(?:reserved|blocked|restricted|prohibited|forbidden|unassignable|unavailable|not available)\W*$",
    r"\b(?:can ?not|can't|may not) be registered\b|\bnot available for regist|\breserved (?:name|domain|by|for)\b|\bprohibited (?:name|string|domain)\b",
];

const INVALID: &[&str] = &[
    r"\b(?:invalid|illegal|malformed|incorrect|unsupported|improper|unrecogni[sz]ed|bad|wrong) (?:\w+ ){0,2}(?:CALL|domain|input|syntax|names?|parameters?|tld|search|characters?|format|string|pattern|object|option|command|key|argument|ip|address|label|level)\b",
    r"\b(?:syntax|usage) error\b|^\W*\d* ?invalid\b|\bno (?:search key|valid)\b|\bunknown (?:tld|query|command|option|zone|domain name)\b",
    r"\b(?:not|isn't) (?:a )?(?:valid|supported|handled|served)\b|\b(?:not|n't) (?:support|serve|handle|conform)",
    r"\b(?:is|are|contains?) (?:invalid|illegal|malformed)\b",
];

/// The families, in the order of the indices in [`senses`].
static SENSES: LazyLock<RegexSet> = LazyLock::new(|| {
    let families =
        [HYPOTHETICAL, ORDERED, LIMITED, DENIED, FOREVER, TIMED, MEASURED, NOT_FOUND, RESERVED, INVALID].map(
            |family| {
                SHARED.iter().fold(family.join("|"), |pattern, (word, meant)| pattern.replace(word, meant))
            },
        );
    RegexSet::new(families).expect("the patterns are constants, compiled in every test")
});

/// Reads one short statement.
pub(crate) fn senses(statement: &str) -> Senses {
    // A link to "why-access-denied" says nothing.
    let words =
        statement.split_whitespace().filter(|word| !word.contains("://") && !word.starts_with("www."));
    let plain = words.collect::<Vec<_>>().join(" ").to_lowercase().replace('_', " ");
    let found = SENSES.matches(&plain);
    let real = !found.matched(0) || found.matched(1);
    Senses {
        limited: real && found.matched(2),
        denied: real && found.matched(3),
        forever: real && found.matched(4) && !found.matched(5),
        passing: real && (found.matched(5) || found.matched(6)),
        not_found: found.matched(7),
        reserved: found.matched(8),
        invalid: found.matched(9),
    }
}

impl Senses {
    /// What two statements say together.
    pub(crate) fn or(self, other: Senses) -> Senses {
        Senses {
            limited: self.limited || other.limited,
            denied: self.denied || other.denied,
            forever: self.forever || other.forever,
            passing: self.passing || other.passing,
            not_found: self.not_found || other.not_found,
            reserved: self.reserved || other.reserved,
            invalid: self.invalid || other.invalid,
        }
    }
}
