//! JSON of strangers, read leniently and in bounded memory.
//!
//! Real answers break the schema: a map where a list belongs, null for a name. So nothing is
//! read into a fixed shape: a value stays a slice of the input until someone asks for it as
//! text, as a list, or as an object, and what is of another kind is simply not there.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// More elements of a list than this are passed over (chosen; the longest seen has 60).
const LIST_MAX: usize = 256;
/// Texts longer than this are not kept, in bytes (chosen).
pub(super) const TEXT_MAX: usize = 1_024;

/// A value that was not looked into yet; it borrows the input.
#[derive(Debug, Clone, Copy)]
pub(super) struct Json<'a>(&'a str);

/// Those members of an object that were asked for.
pub(super) struct Members<'a>(Vec<(&'static str, Json<'a>)>);

impl<'a> Json<'a> {
    /// The whole of `text` as one value.
    ///
    /// # Errors
    /// What is wrong with it as JSON, and where.
    pub(super) fn new(text: &'a str) -> Result<Json<'a>, serde_json::Error> {
        serde_json::from_str::<&RawValue>(text).map(|raw| Json(raw.get()))
    }

    /// The members by the names in `wanted`, each the first of its name; none of what is no object.
    pub(super) fn members(self, wanted: &'static [&'static str]) -> Members<'a> {
        let mut reader = serde_json::Deserializer::from_str(self.0);
        Members(reader.deserialize_any(Wanted(wanted)).unwrap_or_default())
    }

    /// The first elements; none of what is no list.
    pub(super) fn list(self) -> Vec<Json<'a>> {
        let mut reader = serde_json::Deserializer::from_str(self.0);
        reader.deserialize_any(List).unwrap_or_default()
    }

    /// A string that is not blank, or a number as it is written.
    pub(super) fn text(self) -> Option<String> {
        let text: Cow<'_, str> = match self.0.as_bytes().first()? {
            b'"' if self.0.len() <= TEXT_MAX * 6 => serde_json::from_str::<String>(self.0).ok()?.into(),
            b'0'..=b'9' => self.0.into(),
            _ => return None,
        };
        let text = text.trim();
        (!text.is_empty() && text.len() <= TEXT_MAX).then(|| text.to_owned())
    }

    /// A boolean, also one that is written as a string.
    pub(super) fn flag(self) -> Option<bool> {
        self.0.trim_matches('"').parse().ok()
    }
}

impl<'a> Members<'a> {
    pub(super) fn get(&self, name: &str) -> Option<Json<'a>> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, json)| *json)
    }

    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.get(name)?.text()
    }

    pub(super) fn list(&self, name: &str) -> Vec<Json<'a>> {
        self.get(name).map_or_else(Vec::new, Json::list)
    }
}

/// Keeps the members it was told of, as slices.
struct Wanted(&'static [&'static str]);

impl<'de> Visitor<'de> for Wanted {
    type Value = Vec<(&'static str, Json<'de>)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found: Self::Value = Vec::with_capacity(self.0.len());
        while let Some(known) = map.next_key_seed(Known(self.0))? {
            match known.filter(|known| found.iter().all(|(seen, _)| seen != known)) {
                Some(known) => found.push((known, Json(map.next_value::<&RawValue>()?.get()))),
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(found)
    }
}

/// Which of the names a key is.
struct Known(&'static [&'static str]);

impl<'de> DeserializeSeed<'de> for Known {
    type Value = Option<&'static str>;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        reader.deserialize_str(self)
    }
}

impl Visitor<'_> for Known {
    type Value = Option<&'static str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().copied().find(|known| *known == key))
    }
}

struct List;

impl<'de> Visitor<'de> for List {
    type Value = Vec<Json<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut found = Vec::new();
        while found.len() < LIST_MAX {
            let Some(raw) = seq.next_element::<&RawValue>()? else { return Ok(found) };
            found.push(Json(raw.get()));
        }
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_of_another_kind_is_not_there() {
        let json =
            Json::new(r#"{"a": {"b": 1}, "a": 2, "c": null, "d": ["x", {}], "e": "true", "\u0066": "f"}"#)
                .unwrap();
        let members = json.members(&["a", "c", "d", "e", "f"]);
        assert_eq!(members.text("a"), None);
        assert_eq!(members.get("a").unwrap().members(&["b"]).text("b").as_deref(), Some("1"));
        assert_eq!(members.text("c"), None);
        assert_eq!(members.list("d").len(), 2);
        assert!(members.list("e").is_empty() && members.get("e").unwrap().flag() == Some(true));
        assert_eq!(members.text("f").as_deref(), Some("f"), "a key may be written with escapes");
    }

    #[test]
    fn a_list_without_end_is_cut() {
        let long = format!("[{}0]", "0,".repeat(100_000));
        assert_eq!(Json::new(&long).unwrap().list().len(), LIST_MAX);
    }
}
