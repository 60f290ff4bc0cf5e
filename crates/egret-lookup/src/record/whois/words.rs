//! What the keys of whois servers mean.
//!
//! A key is compared by its letters and digits alone (`Creation Date`, `creation-date`,
//! `creationDate`); the digit behind `Street1` and `ns2` says nothing. Contacts write role
//! and part into one key (`Admin Email`), and so a key is cut into both.

use std::collections::HashMap;
use std::sync::LazyLock;

/// What a key says about its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    DomainName,
    UnicodeName,
    Handle,
    Status,
    Created,
    Updated,
    Expires,
    Host,
    Signed,
    SigningKey,
    Registrar(Part),
    Contact(Role, Part),
    /// A part of whatever the heading or the object is about.
    Own(Part),
    Whois,
    Range,
    NetworkName,
    AutNum,
}

/// Whom a contact is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Registrant,
    Administrative,
    Technical,
    Billing,
    Abuse,
}

impl Role {
    /// The word of RFC 9083 for it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Role::Registrant => "registrant",
            Role::Administrative => "administrative",
            Role::Technical => "technical",
            Role::Billing => "billing",
            Role::Abuse => "abuse",
        }
    }
}

/// A part of a contact or a registrar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// The value of a key that names the role alone: a name, a handle, or a heading.
    Whole,
    Name,
    Organization,
    Email,
    Phone,
    Address,
    Country,
    Handle,
    Url,
    IanaId,
    AbuseEmail,
    AbusePhone,
    /// A part that is not kept.
    Other,
}

/// A key longer than this is a sentence, in bytes (chosen).
const KEY_MAX: usize = 64;

static TEXT: &str = include_str!("words.tsv");

/// The words of `words.tsv`, by what they are for.
#[derive(Default)]
struct Words {
    keys: HashMap<&'static str, Meaning>,
    /// What a registrar is called, longer words before their beginnings; what follows of a key is its part.
    registrars: Vec<&'static str>,
    /// The same of contacts.
    roles: Vec<(Role, &'static str)>,
    parts: HashMap<&'static str, Part>,
}

static WORDS: LazyLock<Words> = LazyLock::new(|| {
    let mut words = Words::default();
    for (name, row) in
        TEXT.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('\t'))
    {
        for word in row.split(' ') {
            words.add(name, word);
        }
    }
    words
});

impl Words {
    fn add(&mut self, name: &str, word: &'static str) {
        match name.split_once(' ') {
            Some(("role", name)) => self.roles.extend(role(name).map(|role| (role, word))),
            Some((_, name)) => self.parts.extend(part_named(name).map(|part| (word, part))),
            None if name == "registrar" => self.registrars.push(word),
            None => self.keys.extend(key_meaning(name).map(|meaning| (word, meaning))),
        }
    }
}

fn key_meaning(name: &str) -> Option<Meaning> {
    let meaning = match name {
        "domain-name" => Meaning::DomainName,
        "unicode-name" => Meaning::UnicodeName,
        "handle" => Meaning::Handle,
        "status" => Meaning::Status,
        "created" => Meaning::Created,
        "updated" => Meaning::Updated,
        "expires" => Meaning::Expires,
        "host" => Meaning::Host,
        "signed" => Meaning::Signed,
        "signing-key" => Meaning::SigningKey,
        "whois" => Meaning::Whois,
        "range" => Meaning::Range,
        "aut-num" => Meaning::AutNum,
        "network-name" => Meaning::NetworkName,
        _ => return None,
    };
    Some(meaning)
}

fn role(name: &str) -> Option<Role> {
    let all = [Role::Registrant, Role::Administrative, Role::Technical, Role::Billing, Role::Abuse];
    all.into_iter().find(|role| role.as_str() == name)
}

fn part_named(name: &str) -> Option<Part> {
    let part = match name {
        "name" => Part::Name,
        "organization" => Part::Organization,
        "email" => Part::Email,
        "phone" => Part::Phone,
        "address" => Part::Address,
        "country" => Part::Country,
        "handle" => Part::Handle,
        "url" => Part::Url,
        "iana-id" => Part::IanaId,
        // Known and not kept, so that it counts as a key.
        "other" => Part::Other,
        _ => return None,
    };
    Some(part)
}

/// What keys begin with that says nothing: `Domain record created`, `First registration date`.
const PREFIXES: [&str; 6] = ["domainname", "domain", "record", "entry", "first", "initial"];
/// What keys end with that says nothing.
const SUFFIXES: [&str; 6] =
    ["inlistedorder", "inthelistedorder", "listedinorder", "information", "details", "utc"];

/// A key by its letters; its number, and what stands in brackets behind it, taken off.
fn letters(key: &str) -> String {
    let key = key.split_once('(').map_or(key, |(key, _)| key);
    let plain: String = key.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    let plain = SUFFIXES.iter().find_map(|end| plain.strip_suffix(end)).unwrap_or(&plain);
    let bare = plain.trim_end_matches(|c: char| c.is_ascii_digit());
    // More digits than of a small number are a date.
    (if bare.is_empty() || plain.len() > bare.len() + 2 { plain } else { bare }).to_owned()
}

/// What a key means by itself; `None` for one that says nothing we keep.
pub(super) fn meaning(key: &str) -> Option<Meaning> {
    if key.len() > KEY_MAX {
        return None;
    }
    // Some registries say it in two languages.
    if let Some((own, other)) = key.split_once(" / ") {
        return meaning(own).or_else(|| meaning(other));
    }
    let plain = letters(key);
    let plain = plain.as_str();
    if let Some(meaning) = of_the_domain(plain) {
        return Some(meaning);
    }
    if let Some(rest) = WORDS.registrars.iter().find_map(|name| plain.strip_prefix(name)) {
        return registrar_part(rest).map(Meaning::Registrar);
    }
    let of_role = |(role, name): &(Role, &str)| {
        contact_part(plain.strip_prefix(name)?).map(|part| Meaning::Contact(*role, part))
    };
    WORDS.roles.iter().find_map(of_role).or_else(|| part(plain).map(Meaning::Own))
}

/// What a key says of the domain itself, whatever it begins with.
fn of_the_domain(plain: &str) -> Option<Meaning> {
    WORDS.keys.get(plain).copied().or_else(|| {
        PREFIXES
            .iter()
            .find_map(|prefix| of_the_domain(plain.strip_prefix(prefix).filter(|rest| !rest.is_empty())?))
    })
}

fn part(plain: &str) -> Option<Part> {
    WORDS.parts.get(plain).copied()
}

fn registrar_part(rest: &str) -> Option<Part> {
    match rest {
        "" | "s" | "name" | "organization" | "organisation" | "org" | "company" | "companyname"
        | "information" => Some(Part::Whole),
        "abusecontactemail" | "abuseemail" | "abusecontact" => Some(Part::AbuseEmail),
        "abusecontactphone" | "abusephone" => Some(Part::AbusePhone),
        _ => Some(part(rest.strip_prefix("contact").unwrap_or(rest)).unwrap_or(Part::Other)),
    }
}

fn contact_part(rest: &str) -> Option<Part> {
    let bare = ["contacts", "contact", "person", "s"]
        .iter()
        .find_map(|word| rest.strip_prefix(word))
        .unwrap_or(rest);
    match bare {
        "" | "contact" | "information" | "details" => Some(Part::Whole),
        // `admin-c` refers to a contact by its handle.
        "c" => Some(Part::Whole),
        _ => part(bare).or_else(|| part(rest)),
    }
}

/// Whether a key without a value, or a line without a colon, heads a part of the answer.
pub(super) fn is_heading(text: &str) -> bool {
    let text = text.trim_end_matches([':', '.', ' ']);
    if text.len() > 48 {
        return false;
    }
    matches!(
        meaning(text),
        Some(
            Meaning::Host
                | Meaning::DomainName
                | Meaning::Created
                | Meaning::Updated
                | Meaning::Expires
                | Meaning::Status
                | Meaning::Registrar(Part::Whole)
                | Meaning::Contact(_, Part::Whole)
        )
    )
}

/// Whether anything is known of a key.
pub(super) fn is_known(key: &str) -> bool {
    meaning(key).is_some()
}

/// Whether `key`, no deeper than its heading, is about the domain again and not about what the heading names.
pub(super) fn ends_section(section: &str, key: &str) -> bool {
    let of_another =
        matches!(meaning(section), Some(Meaning::Contact(..) | Meaning::Registrar(_) | Meaning::Host));
    match meaning(key) {
        Some(Meaning::Own(_)) | None => false,
        same if same == meaning(section) => false,
        // A registrar, a contact or a host was created and changed too.
        Some(Meaning::Created | Meaning::Updated | Meaning::Status) if of_another => !is_plain(key),
        Some(_) => true,
    }
}

/// Whether a key of a date or a status does not name what it is of.
pub(super) fn is_plain(key: &str) -> bool {
    ["created", "changed", "updated", "status", "modified", "lastupdated", "registered", "state"]
        .contains(&letters(key).as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(key: &str, want: Option<Meaning>) {
        assert_eq!(meaning(key), want, "{key:?}");
    }

    #[test]
    fn every_row_says_something_and_longer_words_come_before_their_beginnings() {
        for line in TEXT.lines().filter(|line| !line.starts_with('#')) {
            let (name, row) = line.split_once('\t').unwrap();
            let is_known = match name.split_once(' ') {
                Some(("role", name)) => role(name).is_some(),
                Some(("part", name)) => part_named(name).is_some(),
                Some(_) => false,
                None => name == "registrar" || key_meaning(name).is_some(),
            };
            assert!(is_known && row.split(' ').all(|word| letters(word) == word), "{line}");
        }
        for (at, name) in WORDS.registrars.iter().enumerate() {
            assert!(WORDS.registrars[..at].iter().all(|before| !name.starts_with(before)), "{name}");
        }
    }

    #[test]
    fn a_key_is_read_by_its_letters() {
        for key in ["Creation Date", "creation-date", "creationDate", "Creation Date (dd/mm/yyyy)"] {
            check(key, Some(Meaning::Created));
        }
        check("ns2", Some(Meaning::Host));
        check("Last update of whois database", None);
    }

    #[test]
    fn contacts_are_cut_into_role_and_part() {
        check("Registrant Street1", Some(Meaning::Contact(Role::Registrant, Part::Address)));
        check("Administrative Contact Email", Some(Meaning::Contact(Role::Administrative, Part::Email)));
        check("tech-c", Some(Meaning::Contact(Role::Technical, Part::Whole)));
        check("owner-name", Some(Meaning::Contact(Role::Registrant, Part::Name)));
        check("e-mail", Some(Meaning::Own(Part::Email)));
    }

    #[test]
    fn registrars_have_parts_of_their_own() {
        check("Sponsoring Registrar", Some(Meaning::Registrar(Part::Whole)));
        check("Registrar IANA ID", Some(Meaning::Registrar(Part::IanaId)));
        check("Registrar Abuse Contact Email", Some(Meaning::Registrar(Part::AbuseEmail)));
        check("Registrar Registration Expiration Date", Some(Meaning::Expires));
    }

    #[test]
    fn headings_are_told_from_empty_fields() {
        assert!(is_heading("Administrative contact") && is_heading("Domain servers in listed order:"));
        assert!(!is_heading("Registrant Fax") && !is_heading("Terms of use"));
    }
}
