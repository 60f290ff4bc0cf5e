//! A record for people: a line for each thing that is known, its name in front.
//!
//! What is in a record comes from strangers: every value is one line and acts on no terminal.

use anstyle::{AnsiColor, Style};
use egret_wire::value::Time;
use serde_json::Value;

use crate::screen::sanitize_line;
use crate::table::counted;

/// As the headings of tables.
const NAME: Style = AnsiColor::BrightBlack.on_default();
const WELL: Style = AnsiColor::Green.on_default();
const SOON: Style = AnsiColor::Yellow.on_default();
/// Names longer than this stand out (chosen: `registrant/admin`).
const WIDEST: usize = 16;
/// An expiry nearer than this is worth a look, in days (chosen: registrars remind a month before).
const NEAR: u64 = 30;
const DAY_MS: u64 = 86_400_000;
/// Who touched the database last says nothing of the object.
const UNTOLD: &str = "last update of RDAP database";

/// The lines of a record as of `now`, styled and without the last line end; `None`: it says nothing but its name.
pub(crate) fn told(record: &Value, now: Time) -> Option<String> {
    let mut lines = Lines::default();
    lines.facts(record, now);
    if lines.0.is_empty() {
        return None;
    }
    let (name, title) = title(record);
    lines.0.splice(0..0, title.map(|title| Line::new(name, title)));
    Some(lines.laid_out())
}

/// What a record is of.
fn title(record: &Value) -> (&'static str, Option<String>) {
    let ldh = text(record, "ldhName");
    let title = match text(record, "unicodeName") {
        Some(unicode) => Some(ldh.map_or(unicode.to_owned(), |ldh| format!("{unicode} ({ldh})"))),
        None => ldh.map(str::to_owned),
    };
    let name = match text(record, "objectClassName") {
        Some("nameserver") => "nameserver",
        _ => "domain",
    };
    (name, title)
}

struct Line {
    name: String,
    value: String,
    style: Style,
}

impl Line {
    fn new(name: &str, value: String) -> Self {
        Self { name: name.to_owned(), value, style: Style::new() }
    }
}

#[derive(Default)]
struct Lines(Vec<Line>);

impl Lines {
    fn add(&mut self, name: &str, value: impl Into<String>) {
        let value = value.into();
        if !value.is_empty() {
            self.0.push(Line::new(name, value));
        }
    }

    fn maybe(&mut self, name: &str, value: Option<impl Into<String>>) {
        if let Some(value) = value {
            self.add(name, value);
        }
    }

    fn facts(&mut self, record: &Value, now: Time) {
        self.maybe("name", text(record, "name"));
        self.maybe("handle", text(record, "handle"));
        self.maybe("range", range(record, "startAddress", "endAddress", ""));
        self.maybe("numbers", range(record, "startAutnum", "endAutnum", "AS"));
        self.maybe("country", text(record, "country"));
        self.registrar(&record["registrar"]);
        self.events(record, now);
        for status in items(record, "status") {
            self.maybe("status", status.as_str());
        }
        for host in items(record, "nameservers") {
            self.maybe("nameserver", nameserver(host));
        }
        let signed = record["secureDNS"]["delegationSigned"].as_bool();
        self.maybe("dnssec", signed.map(|signed| if signed { "signed" } else { "not signed" }));
        for entity in items(record, "entities") {
            self.add(&roles(entity), contact(entity));
        }
        self.maybe("whois", text(record, "port43"));
    }

    fn registrar(&mut self, registrar: &Value) {
        let id = registrar["ianaId"].as_u64().map(|id| format!("IANA {id}"));
        let name = match (text(registrar, "name"), id) {
            (Some(name), Some(id)) => Some(format!("{name} ({id})")),
            (name, id) => name.map(str::to_owned).or(id),
        };
        self.maybe("registrar", name);
        self.maybe("page", text(registrar, "url"));
        let abuse = joined(registrar, &["abuseEmail", "abusePhone"]);
        self.maybe("abuse", (!abuse.is_empty()).then_some(abuse));
    }

    fn events(&mut self, record: &Value, now: Time) {
        const OWN: [(&str, &str); 3] =
            [("registration", "created"), ("last changed", "updated"), ("expiration", "expires")];
        let happened = |event| (text(event, "eventAction"), text(event, "eventDate"));
        let events: Vec<_> = items(record, "events").iter().map(happened).collect();
        for (action, name) in OWN {
            for (_, date) in events.iter().filter(|(is, _)| *is == Some(action)) {
                let (value, style) = date.map_or_else(Default::default, |date| dated(name, date, now));
                self.0.push(Line { name: name.to_owned(), value, style });
            }
        }
        let is_own = |action: &str| action == UNTOLD || OWN.iter().any(|(own, _)| *own == action);
        for (action, date) in events {
            if let (Some(action), Some(date)) = (action.filter(|action| !is_own(action)), date) {
                self.add(action, day(date));
            }
        }
    }

    fn laid_out(&self) -> String {
        let names: Vec<_> = self.0.iter().map(|line| sanitize_line(&line.name)).collect();
        let widths = names.iter().map(|name| name.chars().count());
        let width = widths.filter(|width| *width <= WIDEST).max().unwrap_or(0);
        let lines = self.0.iter().zip(names).map(|(Line { value, style, .. }, name)| {
            let (space, value) = (width.saturating_sub(name.chars().count()), sanitize_line(value));
            format!("{NAME}{name}{NAME:#}{:space$}  {style}{value}{style:#}", "")
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

fn text<'a>(of: &'a Value, key: &str) -> Option<&'a str> {
    of[key].as_str().filter(|text| !text.is_empty())
}

fn items<'a>(of: &'a Value, key: &str) -> &'a [Value] {
    of[key].as_array().map_or(&[], Vec::as_slice)
}

fn joined(of: &Value, keys: &[&str]) -> String {
    keys.iter().filter_map(|key| text(of, key)).collect::<Vec<_>>().join(", ")
}

/// `192.0.2.0 - 192.0.2.255`, `AS64496`.
fn range(record: &Value, first: &str, last: &str, before: &str) -> Option<String> {
    let end = |key: &str| match &record[key] {
        Value::String(address) => Some(format!("{before}{address}")),
        Value::Number(number) => Some(format!("{before}{number}")),
        _ => None,
    };
    match (end(first), end(last)) {
        (Some(first), Some(last)) if first != last => Some(format!("{first} - {last}")),
        (first, last) => first.or(last),
    }
}

/// A host and its addresses.
fn nameserver(host: &Value) -> Option<String> {
    let addresses: Vec<_> = items(host, "ipAddresses").iter().filter_map(Value::as_str).collect();
    let name = text(host, "ldhName")?;
    Some(if addresses.is_empty() { name.to_owned() } else { format!("{name}  {}", addresses.join(", ")) })
}

/// `registrant/admin`.
fn roles(entity: &Value) -> String {
    let short = |role| match role {
        "administrative" => "admin",
        "technical" => "tech",
        role => role,
    };
    let roles: Vec<_> = items(entity, "roles").iter().filter_map(Value::as_str).map(short).collect();
    if roles.is_empty() { "contact".to_owned() } else { roles.join("/") }
}

/// Who it is, and what of it the source says that it hides.
fn contact(entity: &Value) -> String {
    let known = joined(entity, &["name", "organization", "email", "phone", "address", "country", "handle"]);
    let hidden: Vec<_> = items(entity, "redacted").iter().filter_map(Value::as_str).collect();
    match (known.is_empty(), hidden.is_empty()) {
        (_, true) => known,
        (true, false) => format!("hidden: {}", hidden.join(", ")),
        (false, false) => format!("{known} (hidden: {})", hidden.join(", ")),
    }
}

/// `2031-02-03 04:05:06 UTC`, a day where no more is known.
fn day(date: &str) -> String {
    match date.strip_suffix('Z').and_then(|date| date.split_once('T')) {
        Some((day, "00:00:00")) => day.to_owned(),
        Some((day, time)) => format!("{day} {time} UTC"),
        None => date.to_owned(),
    }
}

/// A date of the record itself; an expiry says how far it is.
fn dated(name: &str, date: &str, now: Time) -> (String, Style) {
    let at = date.parse::<Time>().ok().filter(|_| name == "expires");
    let Some(at) = at else { return (day(date), Style::new()) };
    let (is_over, length) = (at < now, at.0.abs_diff(now.0));
    let days = length / DAY_MS;
    let far = match (is_over, days) {
        (false, 0) => "in less than a day".to_owned(),
        (true, 0) => "less than a day ago".to_owned(),
        (false, _) => format!("in {}", counted(days, "day")),
        (true, _) => format!("{} ago", counted(days, "day")),
    };
    (format!("{}, {far}", day(date)), if is_over || days < NEAR { SOON } else { WELL })
}

#[cfg(test)]
mod tests;
