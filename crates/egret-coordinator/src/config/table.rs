//! A table whose keys are known: no key goes unread, and a mistyped one is told what it may have meant.

use toml::de::DeTable;

use super::TOP;
use super::error::ConfigError;
use super::item::Item;
use super::source::Source;
use super::spelling::nearest;
use super::value::{clipped, quoted};

/// The keys a table may hold.
pub(super) struct Keys {
    /// Those that work.
    pub(super) here: &'static [&'static str],
    /// Those that are pinned for later versions and would do nothing now.
    pub(super) later: &'static [&'static str],
}

/// A table without unknown keys.
pub(super) struct Table<'d> {
    source: &'d Source,
    entries: &'d DeTable<'d>,
    at: usize,
    path: String,
}

impl<'d> Table<'d> {
    /// Checks the keys; of several wrong ones the first in the file is reported.
    pub(super) fn open(
        source: &'d Source,
        entries: &'d DeTable<'d>,
        at: usize,
        path: String,
        keys: &Keys,
    ) -> Result<Table<'d>, ConfigError> {
        let wrong = entries.keys().filter(|key| !keys.here.contains(&key.get_ref().as_ref()));
        if let Some(key) = wrong.min_by_key(|key| key.span().start) {
            let name = key.get_ref().as_ref();
            return Err(source.error(key.span().start, Some(join(&path, name)), refusal(name, keys)));
        }
        Ok(Table { source, entries, at, path })
    }

    /// The value of a key.
    pub(super) fn get(&self, key: &str) -> Option<Item<'d>> {
        let value = self.entries.get(key)?;
        Some(Item::new(self.source, value, join(&self.path, key)))
    }

    /// The value of a key that must be there; `mend` says what to write.
    pub(super) fn need(&self, key: &str, mend: &str) -> Result<Item<'d>, ConfigError> {
        self.get(key).ok_or_else(|| {
            self.source.error(self.at, Some(join(&self.path, key)), format!("missing; write {mend}"))
        })
    }

    /// The value of a key as `read` makes it; `None` if the key is absent.
    pub(super) fn read<T>(
        &self,
        key: &str,
        read: impl FnOnce(&Item<'d>) -> Result<T, ConfigError>,
    ) -> Result<Option<T>, ConfigError> {
        self.get(key).as_ref().map(read).transpose()
    }

    /// The file the table is in.
    pub(super) fn source(&self) -> &'d Source {
        self.source
    }
}

fn refusal(name: &str, keys: &Keys) -> String {
    if keys.later.contains(&name) {
        return format!("`{name}` is not supported by this version of egret; remove it");
    }
    // TOML takes it for a service's or a key's when it stands below a `[[…]]`.
    if TOP.here.contains(&name) {
        return format!("`{name}` belongs at the top of the config file, above every [[…]]; move it there");
    }
    match nearest(name, keys.here) {
        Some(meant) => format!("unknown key {}; did you mean `{meant}`?", quoted(name)),
        None => format!("unknown key {}; remove it, or write one of: {}", quoted(name), keys.here.join(", ")),
    }
}

/// The path of a key in a table.
pub(super) fn join(path: &str, key: &str) -> String {
    let is_bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
    let key = if is_bare { clipped(key) } else { format!("{:?}", clipped(key)) };
    if path.is_empty() { key } else { format!("{path}.{key}") }
}
