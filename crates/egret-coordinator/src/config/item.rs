//! One value of a document with its place and its path, read as the kind of thing it should be.

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::time::Duration;

use egret_wire::value::Span;
use serde_spanned::Spanned;
use toml::de::DeValue;

use super::error::ConfigError;
use super::source::Source;
use super::table::{Keys, Table, join};
use super::value::quoted;

/// The longest line of free text, in characters (chosen).
const LINE_MAX: usize = 1_000;

/// A value, where it stands, and what its key is called.
#[derive(Clone)]
pub(super) struct Item<'d> {
    source: &'d Source,
    value: &'d Spanned<DeValue<'d>>,
    path: String,
}

impl<'d> Item<'d> {
    pub(super) fn new(source: &'d Source, value: &'d Spanned<DeValue<'d>>, path: String) -> Item<'d> {
        Item { source, value, path }
    }

    /// This value is wrong.
    pub(super) fn error(&self, why: impl Into<String>) -> ConfigError {
        self.source.error(self.value.span().start, Some(self.path.clone()), why.into())
    }

    /// `FILE:LINE:COLUMN`.
    pub(super) fn place(&self) -> String {
        let position = self.source.position(self.value.span().start);
        format!("{}:{}:{}", self.source.name(), position.line, position.column)
    }

    /// Any string.
    pub(super) fn text(&self) -> Result<&'d str, ConfigError> {
        match self.value.get_ref() {
            DeValue::String(text) => Ok(text),
            DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => {
                Err(self.is_no("text; put it in quotes"))
            }
            DeValue::Array(_) | DeValue::Table(_) => Err(self.is_no("text; write one value in quotes")),
        }
    }

    /// A string to show or to use as a name: one line, not empty.
    pub(super) fn line(&self) -> Result<&'d str, ConfigError> {
        let text = self.text()?;
        if text.trim().is_empty() {
            return Err(self.error("empty; say something or remove the key"));
        }
        if text.chars().any(char::is_control) || text.chars().count() > LINE_MAX {
            return Err(
                self.error("not one line of up to 1000 characters; shorten it, without control characters")
            );
        }
        Ok(text)
    }

    /// One of a few words.
    pub(super) fn word<T: Copy>(&self, words: &[(&str, T)]) -> Result<T, ConfigError> {
        let text = self.text()?;
        words.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning).ok_or_else(|| {
            let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            self.error(format!("{} is unknown; write one of: {}", quoted(text), words.join(", ")))
        })
    }

    /// `true` or `false`.
    pub(super) fn flag(&self) -> Result<bool, ConfigError> {
        self.value
            .get_ref()
            .as_bool()
            .ok_or_else(|| self.is_no("true or false; write one of them without quotes"))
    }

    /// A whole number in a range.
    pub(super) fn whole(&self, range: RangeInclusive<u32>) -> Result<u32, ConfigError> {
        let DeValue::Integer(number) = self.value.get_ref() else {
            return Err(self.is_no("a whole number; write one without quotes, such as 10"));
        };
        let value = u32::from_str_radix(number.as_str(), number.radix()).ok();
        value.filter(|value| range.contains(value)).ok_or_else(|| {
            let (least, most) = range.into_inner();
            self.error(format!("{} is out of range; write {least} to {most}", quoted(&number.to_string())))
        })
    }

    /// A part of a whole, such as 0.5, in thousandths.
    pub(super) fn thousandths(&self) -> Result<u16, ConfigError> {
        let part: f64 = match self.value.get_ref() {
            DeValue::Float(number) => number.as_str().replace('_', "").parse().ok(),
            DeValue::Integer(number) => number.as_str().parse().ok(),
            _ => return Err(self.is_no("a number; write one without quotes, such as 0.5")),
        }
        .unwrap_or(f64::NAN);
        // What is left of a thousandth is not used.
        let thousandths = (part * 1_000.0 + 1e-9).floor();
        if !(1.0..=1_000.0).contains(&thousandths) {
            return Err(self.error("out of range; write 0.001 to 1.0"));
        }
        Ok(thousandths as u16)
    }

    /// A duration in a range.
    pub(super) fn span(&self, range: RangeInclusive<Duration>) -> Result<Duration, ConfigError> {
        let DeValue::String(text) = self.value.get_ref() else {
            return Err(
                self.is_no(r#"a duration; write a whole number and a unit in quotes: "250ms", "30s", "15m", "12h", "1d""#)
            );
        };
        let Span(span) =
            text.parse().map_err(|error: egret_wire::value::SpanError| self.error(error.to_string()))?;
        if range.contains(&span) {
            return Ok(span);
        }
        let (least, most) = range.into_inner();
        Err(self.error(format!("{} is out of range; write {} to {}", quoted(text), Span(least), Span(most))))
    }

    /// The values of a list.
    pub(super) fn list(&self) -> Result<Vec<Item<'d>>, ConfigError> {
        let DeValue::Array(values) = self.value.get_ref() else {
            return Err(self.is_no("a list; put it in [ ]"));
        };
        let item = |(index, value)| Item::new(self.source, value, format!("{}[{index}]", self.path));
        Ok(values.iter().enumerate().map(item).collect())
    }

    /// The tables written `[[key]]`.
    pub(super) fn tables(&self) -> Result<Vec<Item<'d>>, ConfigError> {
        if self.value.get_ref().is_table() {
            return Err(self
                .error(format!("one table where a list is due; write [[{}]] with two brackets", self.path)));
        }
        self.list()
    }

    /// A table with these keys.
    pub(super) fn table(&self, keys: &Keys) -> Result<Table<'d>, ConfigError> {
        let DeValue::Table(entries) = self.value.get_ref() else {
            return Err(self.is_no("a table; write { key = value }"));
        };
        Table::open(self.source, entries, self.value.span().start, self.path.clone(), keys)
    }

    /// The keys of a table that may have any, with their values.
    pub(super) fn entries(&self) -> Result<Vec<(&'d str, Item<'d>)>, ConfigError> {
        let DeValue::Table(entries) = self.value.get_ref() else {
            return Err(self.is_no("a table; write { \"x-api-key\" = \"…\" }"));
        };
        let item = |(key, value): (&'d Spanned<Cow<'d, str>>, _)| {
            let name: &'d str = key.get_ref().as_ref();
            (name, Item::new(self.source, value, join(&self.path, name)))
        };
        Ok(entries.iter().map(item).collect())
    }

    /// It is something else than `what`, which brings its mend with it.
    fn is_no(&self, what: &str) -> ConfigError {
        let is = match self.value.get_ref() {
            DeValue::String(_) => "text",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a fraction",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.error(format!("{is}, not {what}"))
    }
}
