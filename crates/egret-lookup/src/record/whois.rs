//! Text of a whois server as a record.
//!
//! `lines` cuts the text into entries (a section, a key, a value), `words` knows what a key
//! means, and the [`Reader`] here folds the entries into one [`Record`], top down. What a
//! registry writes so that this is not enough is a row of `habits`. The first statement of a
//! thing wins: what follows in an answer are other objects, and other servers' answers.

mod habits;
mod hosts;
mod lines;
mod people;
mod words;

use std::mem;

use habits::Habit;
use lines::{Entry, entries};
use people::People;
use words::{Meaning, Part, Role};

use super::name::{ldh, unicode};
use super::{Class, Record, SecureDns, date, is_redacted, status};

/// A value longer than this is prose, in bytes (chosen).
const VALUE_MAX: usize = 400;

/// Reads an answer's text as the record of `asked`, a domain, an address or a number.
///
/// The text should be one that was judged to hold a record; of any other, the record is
/// empty but for its class and name. Time and memory are linear in the text.
pub fn read_whois(text: &str, asked: &str) -> Record {
    let asked = asked.trim_end_matches('.').to_lowercase();
    let mut reader = Reader::new(&asked);
    for entry in entries(text) {
        reader.entry(&entry);
    }
    reader.finish()
}

struct Reader<'a> {
    asked: &'a str,
    habit: &'static Habit,
    record: Record,
    people: People<'a>,
    /// The registrar's id, for want of a name.
    registrar_id: Option<&'a str>,
    /// Whether the answer told of another name before that asked for.
    began_with_another: bool,
    /// The number of the last block of lines, and whether it is about a contact or a set of keys.
    object: (usize, bool),
}

impl<'a> Reader<'a> {
    fn new(asked: &'a str) -> Reader<'a> {
        Reader {
            asked,
            habit: habits::of(asked),
            record: Record { object_class_name: class_of(asked), ..Record::default() },
            people: People::default(),
            registrar_id: None,
            began_with_another: false,
            object: (usize::MAX, false),
        }
    }

    fn entry(&mut self, entry: &Entry<'a>) {
        if entry.value.len() > VALUE_MAX {
            return;
        }
        let key = self.habit.key(entry.key);
        if self.object.0 != entry.object && !key.is_empty() {
            let is_aside = entry.section.is_none() && self.begins_aside(key, entry.value);
            self.object = (entry.object, is_aside);
        }
        let head = entry.section.map(|section| self.habit.key(section)).and_then(words::meaning);
        if key.is_empty() {
            return self.bare(head, entry.value);
        }
        match words::meaning(key) {
            Some(meaning) if self.object.1 => self.aside(meaning, entry),
            Some(Meaning::Own(part)) => self.part(head, part, entry),
            Some(Meaning::Created | Meaning::Updated | Meaning::Status)
                if words::is_plain(key) && is_of_another(head) => {}
            // `changed` of the RIPE family is repeated, the latest last.
            Some(Meaning::Updated) if key.eq_ignore_ascii_case("changed") => self.changed_again(entry.value),
            Some(meaning) => self.state(meaning, entry.value),
            None => self.unknown(head, entry),
        }
    }

    /// Whether a block that begins so is about a contact, a set of hosts or keys, or a host that is a namesake.
    fn begins_aside(&self, key: &str, value: &str) -> bool {
        const STARTS: [&str; 15] = [
            "person",
            "role",
            "personname",
            "contact",
            "nic-hdl",
            "nic-hdl-br",
            "nichdl",
            "nsset",
            "keyset",
            "organisation",
            "contact-id",
            "contact id",
            "irt",
            "mntner",
            "zone-c",
        ];
        let is_one_of = |starts: &[&str]| starts.iter().any(|start| start.eq_ignore_ascii_case(key));
        let has_begun = self.record.ldh_name.is_some()
            || self.record.start_address.is_some()
            || self.record.start_autnum.is_some();
        has_begun && is_one_of(&STARTS)
            || is_one_of(&["server name"]) && !value.eq_ignore_ascii_case(self.asked)
    }

    /// A line without a key, under a heading.
    fn bare(&mut self, head: Option<Meaning>, value: &'a str) {
        match head {
            _ if value.is_empty() => {}
            Some(Meaning::Contact(role, Part::Whole)) => self.people.line(role, value),
            Some(meaning @ (Meaning::Registrar(Part::Whole) | Meaning::Host | Meaning::Status)) => {
                self.state(meaning, value);
            }
            Some(
                meaning @ (Meaning::DomainName | Meaning::Created | Meaning::Updated | Meaning::Expires),
            ) => {
                self.state(meaning, value);
            }
            _ => {}
        }
    }

    /// A key that names a part of what it stands under.
    fn part(&mut self, head: Option<Meaning>, part: Part, entry: &Entry<'a>) {
        match head {
            Some(Meaning::Contact(role, _)) => self.people.of_role(role, part, entry.value),
            Some(Meaning::Registrar(_)) => self.state(Meaning::Registrar(part), entry.value),
            Some(Meaning::Host) => self.hosts(entry.value),
            Some(Meaning::DomainName) if part == Part::Name => self.state(Meaning::DomainName, entry.value),
            None if self.record.object_class_name != Class::Domain => self.part_of_a_network(part, entry),
            _ => {}
        }
    }

    /// Networks and numbers stand without headings beside the organisation that holds them.
    fn part_of_a_network(&mut self, part: Part, entry: &Entry<'a>) {
        match part {
            Part::Country if self.record.country.is_none() => {
                self.record.country = Some(entry.value.to_owned());
            }
            // `org: HANDLE` refers to an object, `OrgName: Name` states it.
            Part::Organization if entry.key.eq_ignore_ascii_case("org") => {
                self.people.of_role(Role::Registrant, Part::Whole, entry.value);
            }
            Part::Organization => self.people.of_role(Role::Registrant, part, entry.value),
            _ => {}
        }
    }

    /// A statement inside the object of a contact or of a set of hosts.
    fn aside(&mut self, meaning: Meaning, entry: &Entry<'a>) {
        match meaning {
            // The RIPE family names an organisation's object by its handle.
            Meaning::Own(Part::Organization) if entry.key.eq_ignore_ascii_case("organisation") => {
                self.people.of_object(entry.object, Part::Handle, entry.value);
            }
            Meaning::Own(part) => self.people.of_object(entry.object, part, entry.value),
            Meaning::Contact(_, Part::Email) => self.people.of_object(entry.object, Part::Email, entry.value),
            // Only the set of hosts that a domain refers to has any.
            Meaning::Host => self.hosts(entry.value),
            Meaning::SigningKey => self.state(meaning, entry.value),
            _ => {}
        }
    }

    fn unknown(&mut self, head: Option<Meaning>, entry: &Entry<'a>) {
        if head == Some(Meaning::Host) {
            self.hosts(entry.value);
        }
    }

    fn state(&mut self, meaning: Meaning, value: &'a str) {
        match meaning {
            Meaning::DomainName => self.name(value),
            Meaning::UnicodeName => self.unicode(value),
            Meaning::Handle => set(&mut self.record.handle, value),
            Meaning::Status => self.status(value),
            Meaning::Created => self.event("registration", value),
            Meaning::Updated => self.event("last changed", value),
            Meaning::Expires => self.event("expiration", value),
            Meaning::Host => self.hosts(value),
            Meaning::Signed => self.signed(value),
            Meaning::SigningKey => self.record.secure_dns = Some(SecureDns { delegation_signed: true }),
            Meaning::Registrar(part) => self.registrar(part, value),
            Meaning::Contact(role, part) => self.people.of_role(role, part, value),
            Meaning::Own(_) => {}
            Meaning::Whois => self.record.port43 = self.record.port43.take().or_else(|| hosts::name(value)),
            Meaning::Range => self.range(value),
            Meaning::NetworkName => set(&mut self.record.name, value),
            Meaning::AutNum => self.autnum(value),
        }
    }

    /// The record proper begins where the name asked for is stated; what came before were its namesakes.
    fn name(&mut self, value: &str) {
        let value = value.trim_matches(['"', '\'', '.', ' ']);
        let Some(ldh) = ldh(value.split_whitespace().next().unwrap_or_default()) else { return };
        if ldh != self.asked {
            self.began_with_another = true;
        } else if mem::take(&mut self.began_with_another) {
            self.record = Record::default();
            self.people = People::default();
        }
        if !ldh.contains('.') && ldh != self.asked {
            return;
        }
        set(&mut self.record.ldh_name, &ldh);
        self.unicode(&ldh);
    }

    fn unicode(&mut self, value: &str) {
        let (name, read) = idna::domain_to_unicode(value.trim());
        if let Some(name) = read.ok().and_then(|()| unicode(&name)) {
            set(&mut self.record.unicode_name, &name);
        }
    }

    fn changed_again(&mut self, value: &str) {
        let date = date::read(value, self.habit.order);
        let known = self.record.events.iter_mut().find(|event| event.event_action == "last changed");
        match (known, date) {
            (Some(known), Some(date)) if known.event_date < date => known.event_date = date,
            (Some(_), _) => {}
            (None, _) => self.event("last changed", value),
        }
    }

    fn status(&mut self, value: &'a str) {
        // `Connected (2031/03/31)`
        let (value, date) = match value.strip_suffix(')').and_then(|value| value.split_once(" (")) {
            Some((status, until)) if date::read(until, self.habit.order).is_some() => (status, Some(until)),
            _ => (value, None),
        };
        if let Some(until) = date.filter(|_| self.habit.status_expires) {
            self.event("expiration", until);
        }
        for status in status::read(value) {
            self.record.add_status(status);
        }
    }

    fn event(&mut self, action: &str, value: &str) {
        if let Some(date) = date::read(value, self.habit.order) {
            self.record.add_event(action, date);
        }
    }

    fn hosts(&mut self, value: &str) {
        for (name, addresses) in hosts::read(value) {
            self.record.add_nameserver(name, addresses);
        }
    }

    fn signed(&mut self, value: &str) {
        let plain = value.to_ascii_lowercase();
        let signed = match plain.split([' ', ',']).next().unwrap_or_default() {
            "unsigned" | "no" | "inactive" | "not" | "false" | "none" | "n" | "off" | "disabled"
            | "unsecured" => false,
            word if word.starts_with("signed")
                || ["yes", "active", "true", "y", "on", "enabled", "secured"].contains(&word) =>
            {
                true
            }
            _ => return,
        };
        self.record.secure_dns.get_or_insert(SecureDns { delegation_signed: signed });
    }

    fn registrar(&mut self, part: Part, value: &'a str) {
        if part == Part::Handle {
            self.registrar_id = self.registrar_id.or(Some(value));
            return;
        }
        let number = value.trim().parse().ok();
        if part == Part::IanaId && number.is_none() || value.is_empty() || is_redacted(value) {
            return;
        }
        let registrar = self.record.registrar.get_or_insert_default();
        match part {
            Part::Whole | Part::Name | Part::Organization => set(&mut registrar.name, registrar_name(value)),
            Part::Url => set(&mut registrar.url, value),
            Part::IanaId => registrar.iana_id = registrar.iana_id.or(number),
            Part::AbuseEmail => set(&mut registrar.abuse_email, value),
            Part::AbusePhone => set(&mut registrar.abuse_phone, value),
            _ => {}
        }
    }

    fn range(&mut self, value: &str) {
        if self.record.start_address.is_some() {
            return;
        }
        if let Some((start, end)) = value.split_once(" - ") {
            if let (Ok(start), Ok(end)) = (start.trim().parse(), end.trim().parse()) {
                (self.record.start_address, self.record.end_address) = (Some(start), Some(end));
            }
        } else if let Some(net) = super::network(value.split([',', ' ']).next().unwrap_or_default()) {
            (self.record.start_address, self.record.end_address) = (Some(net.0), Some(net.1));
        }
    }

    fn autnum(&mut self, value: &str) {
        let mut numbers = value.split(['-', ' ']).filter(|part| !part.is_empty()).map(|part| {
            part.trim_start_matches(|c: char| c.eq_ignore_ascii_case(&'a') || c.eq_ignore_ascii_case(&'s'))
                .parse()
                .ok()
        });
        if self.record.start_autnum.is_none()
            && let Some(Some(first)) = numbers.next()
        {
            self.record.start_autnum = Some(first);
            self.record.end_autnum = numbers.next().flatten().or(Some(first));
        }
    }

    fn finish(mut self) -> Record {
        if let Some(id) = self.registrar_id {
            let registrar = self.record.registrar.get_or_insert_default();
            set(&mut registrar.name, id);
        }
        if self.record.registrar.as_ref().is_some_and(|registrar| *registrar == super::Registrar::default()) {
            self.record.registrar = None;
        }
        self.record.object_class_name = class_of(self.asked);
        self.record.entities = self.people.finish();
        self.record
    }
}

/// What kind of object a question is about, by its looks.
fn class_of(asked: &str) -> Class {
    let address = asked.split('/').next().unwrap_or_default();
    let number = asked.strip_prefix("as").unwrap_or("-");
    if address.parse::<std::net::IpAddr>().is_ok() {
        Class::Network
    } else if number.bytes().all(|b| b.is_ascii_digit()) {
        Class::Autnum
    } else if asked.contains('.') {
        Class::Domain
    } else {
        Class::Entity
    }
}

/// Whether a heading names something that has dates and a status of its own.
fn is_of_another(head: Option<Meaning>) -> bool {
    matches!(head, Some(Meaning::Contact(..) | Meaning::Registrar(_) | Meaning::Host))
}

/// A registrar's name without its code or page behind it: `[Tag = X]`, `(R43-LRCC)`, `( https://… )`, ` R45-ME`.
fn registrar_name(value: &str) -> &str {
    let value = value.split_once(" [Tag").map_or(value, |(name, _)| name).trim();
    let is_code = |text: &str| {
        !text.contains(' ')
            && text.contains(|c: char| c.is_ascii_digit())
            && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'-')
    };
    if let Some((name, code)) = value.strip_suffix(')').and_then(|value| value.rsplit_once('(')) {
        let code = code.trim();
        return if is_code(code) || code.starts_with("http") { name.trim() } else { value };
    }
    match value.rsplit_once(' ') {
        Some((name, code)) if is_code(code) && code.starts_with('R') && code.contains('-') => name.trim(),
        _ => value,
    }
}

/// Keeps the first value that is one.
fn set(slot: &mut Option<String>, value: &str) {
    let value = value.trim();
    if slot.is_none() && !value.trim_matches(['-', '.', '*', ' ']).is_empty() {
        *slot = Some(value.to_owned());
    }
}

#[cfg(test)]
mod tests;
