//! What is wrong with a configuration, where, and how to mend it: one line.

use std::fmt;

/// A place in a file, as editors count: from 1, in lines and characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The character in it.
    pub column: usize,
}

/// One mistake: `FILE:LINE:COLUMN: key `KEY`: what is wrong; the mend`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The file, or the flag and variable that stand in its place.
    pub file: String,
    /// Where in it; `None` if it cannot be read or is no file.
    pub position: Option<Position>,
    /// The path of the key, such as `service[2].quotas[0].per`; `None` for what lies outside of keys.
    pub key: Option<String>,
    /// What is wrong, then the mend.
    pub why: String,
}

impl ConfigError {
    /// A mistake that is in no file.
    pub(super) fn nowhere(whence: &str, key: &str, why: String) -> ConfigError {
        ConfigError { file: whence.to_owned(), position: None, key: Some(key.to_owned()), why }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&one_line(&self.file))?;
        if let Some(Position { line, column }) = self.position {
            write!(f, ":{line}:{column}")?;
        }
        if let Some(key) = &self.key {
            write!(f, ": key `{}`", one_line(key))?;
        }
        write!(f, ": {}", one_line(&self.why))
    }
}

impl std::error::Error for ConfigError {}

/// Control characters escaped, so that neither lines nor terminals break.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    line
}
