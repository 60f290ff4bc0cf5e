//! What a record field's key says, and which lines are no part of a record.

use std::sync::LazyLock;

use regex::{Regex, RegexSet};

use super::regex;

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
