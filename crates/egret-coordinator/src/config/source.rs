//! One file's text, and the TOML in it with the place of everything.

use std::borrow::Cow;
use std::io::ErrorKind;
use std::path::Path;

use serde_spanned::Spanned;
use toml::de::DeTable;

use super::error::{ConfigError, Position};
use super::table::{Keys, Table};

/// A text with a name.
pub(super) struct Source {
    name: String,
    /// What services say they come from.
    origin: String,
    text: Cow<'static, str>,
}

/// A text that is TOML.
pub(super) struct Document<'s> {
    source: &'s Source,
    root: Spanned<DeTable<'s>>,
}

impl Source {
    /// A text that has been read already.
    pub(super) fn new(name: &str, text: String) -> Source {
        Source { name: name.to_owned(), origin: name.to_owned(), text: text.into() }
    }

    /// A file of the embedded catalogue.
    pub(super) fn shipped(name: &str, text: &'static str) -> Source {
        Source { name: format!("catalogue/{name}"), origin: "catalogue".to_owned(), text: text.into() }
    }

    /// Reads a file.
    pub(super) fn read(path: &Path) -> Result<Source, ConfigError> {
        let bytes = std::fs::read(path).map_err(|error| unreadable(path, &error))?;
        let name = path.display().to_string();
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Source::new(&name, text)),
            Err(error) => {
                let valid = error.utf8_error().valid_up_to();
                let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
                Err(Source::new(&name, text).error(
                    valid,
                    None,
                    "not UTF-8; save the file as UTF-8 text".to_owned(),
                ))
            }
        }
    }

    /// The name errors call it by.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// See [`super::ServiceConfig::origin`].
    pub(super) fn origin(&self) -> &str {
        &self.origin
    }

    /// Line and column of a byte.
    pub(super) fn position(&self, at: usize) -> Position {
        let before = &self.text[..self.text.floor_char_boundary(at)];
        let start_of_line = before.rfind('\n').map_or(0, |newline| newline + 1);
        Position {
            line: before.matches('\n').count() + 1,
            column: before[start_of_line..].chars().count() + 1,
        }
    }

    /// A mistake at a byte of this text.
    pub(super) fn error(&self, at: usize, key: Option<String>, why: String) -> ConfigError {
        ConfigError { file: self.name.clone(), position: Some(self.position(at)), key, why }
    }

    /// The TOML in it.
    pub(super) fn parse(&self) -> Result<Document<'_>, ConfigError> {
        match DeTable::parse(&self.text) {
            Ok(root) => Ok(Document { source: self, root }),
            Err(error) => {
                let span = error.span().unwrap_or(self.text.len()..self.text.len());
                let there = self.text.get(span.clone()).unwrap_or_default();
                Err(self.error(span.start, None, syntax(error.message(), there)))
            }
        }
    }
}

impl<'s> Document<'s> {
    /// The whole of it as a table with these keys.
    pub(super) fn table<'d>(&'d self, keys: &Keys) -> Result<Table<'d>, ConfigError>
    where
        's: 'd,
    {
        Table::open(self.source, self.root.get_ref(), self.root.span().start, String::new(), keys)
    }
}

/// The `services/*.toml` beside a config file, by name. Hidden files are editors' business.
pub(super) fn services_beside(file: &Path) -> Result<Vec<Source>, ConfigError> {
    let folder = file.with_file_name("services");
    let entries = match std::fs::read_dir(&folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|error| unreadable(&folder, &error))?,
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| unreadable(&folder, &error))?.path();
        let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !is_hidden && path.extension().is_some_and(|extension| extension == "toml") {
            paths.push(path);
        }
    }
    paths.sort();
    paths.iter().map(|path| Source::read(path)).collect()
}

fn unreadable(path: &Path, error: &std::io::Error) -> ConfigError {
    let why = format!("cannot be read: {error}; check the path and its permissions");
    ConfigError { file: path.display().to_string(), position: None, key: None, why }
}

/// What the parser says about `there`, with a mend where it names none.
fn syntax(message: &str, there: &str) -> String {
    match message {
        "duplicate key" => format!("`{there}` is set twice; keep one"),
        _ => match message.strip_suffix(", expected nothing") {
            Some(surplus) => format!("not TOML: {surplus}; remove `{there}`"),
            None if message.contains("expected") => format!("not TOML: {message}"),
            None => format!("not TOML: {message}; correct this line"),
        },
    }
}
