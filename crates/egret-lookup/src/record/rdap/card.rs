//! A jCard (RFC 7095), as far as a contact needs it.

use super::json::{Json, TEXT_MAX};

/// The first value of each property that is kept.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Card {
    pub(super) name: Option<String>,
    pub(super) organization: Option<String>,
    pub(super) email: Option<String>,
    pub(super) phone: Option<String>,
    pub(super) address: Option<String>,
    pub(super) country: Option<String>,
    pub(super) url: Option<String>,
}

impl Card {
    /// Reads `["vcard", [[name, parameters, type, value…]…]]`; a part of another shape is passed over.
    pub(super) fn read(json: Option<Json<'_>>) -> Card {
        let mut card = Card::default();
        let properties = json.and_then(|json| json.list().get(1).copied()).map_or_else(Vec::new, Json::list);
        for property in properties {
            let parts = property.list();
            let [name, parameters, _, value, ..] = parts[..] else { continue };
            match name.text().as_deref() {
                Some("fn") => keep(&mut card.name, lines(value)),
                Some("org") => keep(&mut card.organization, lines(value)),
                Some("email") => keep(&mut card.email, lines(value)),
                Some("tel") => keep(&mut card.phone, telephone(parameters, value)),
                Some("adr") => card.address(parameters, value),
                Some("url") => keep(&mut card.url, lines(value)),
                _ => {}
            }
        }
        card
    }

    /// Seven parts (box, extension, street, city, region, code, country), or one text behind `label`.
    fn address(&mut self, parameters: Json<'_>, value: Json<'_>) {
        let parts = value.list();
        let text = joined(parts.iter().take(6).filter_map(|part| lines(*part)));
        keep(&mut self.country, parts.get(6).and_then(|country| lines(*country)));
        let parameters = parameters.members(&["label", "cc"]);
        keep(&mut self.country, parameters.text("cc"));
        let label = || {
            let label = parameters.text("label")?;
            joined(label.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned))
        };
        keep(&mut self.address, text.or_else(label));
    }
}

fn keep(slot: &mut Option<String>, value: Option<String>) {
    *slot = slot.take().or(value);
}

/// One text, or the texts of a list joined.
fn lines(value: Json<'_>) -> Option<String> {
    value.text().or_else(|| joined(value.list().into_iter().filter_map(Json::text)))
}

/// The texts, as many as make one text together; `None` if there are none.
fn joined(texts: impl Iterator<Item = String>) -> Option<String> {
    texts.reduce(|mut all, text| {
        if all.len() + ", ".len() + text.len() <= TEXT_MAX {
            all.push_str(", ");
            all.push_str(&text);
        }
        all
    })
}

/// A voice number; a fax is none.
fn telephone(parameters: Json<'_>, value: Json<'_>) -> Option<String> {
    let kind = parameters.members(&["type"]).get("type").and_then(lines).unwrap_or_default();
    if kind.to_lowercase().contains("fax") {
        return None;
    }
    lines(value).map(|number| number.trim_start_matches("tel:").to_owned())
}
