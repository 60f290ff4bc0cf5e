//! A jCard (RFC 7095), as far as a contact needs it.

use super::json::Json;

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
        let texts: Vec<String> = parts.iter().take(6).filter_map(|part| lines(*part)).collect();
        keep(&mut self.country, parts.get(6).and_then(|country| lines(*country)));
        let parameters = parameters.members(&["label", "cc"]);
        keep(&mut self.country, parameters.text("cc"));
        let label =
            parameters.text("label").map(|label| label.lines().map(str::trim).collect::<Vec<_>>().join(", "));
        keep(&mut self.address, if texts.is_empty() { label } else { Some(texts.join(", ")) });
    }
}

fn keep(slot: &mut Option<String>, value: Option<String>) {
    *slot = slot.take().or(value);
}

/// One text, or the texts of a list joined.
fn lines(value: Json<'_>) -> Option<String> {
    value.text().or_else(|| {
        let texts: Vec<String> = value.list().into_iter().filter_map(Json::text).collect();
        (!texts.is_empty()).then(|| texts.join(", "))
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
