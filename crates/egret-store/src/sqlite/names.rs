//! The dictionaries of names, for one write: a service or an owner is a small number in every row.
//!
//! Nothing is remembered between writes: a number learnt in a transaction that was rolled back would be wrong.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, Result};

/// The names of one dictionary that one write has met.
pub(super) struct Names<'a> {
    db: &'a Connection,
    find: &'static str,
    add: &'static str,
    known: BTreeMap<&'a str, i64>,
}

impl<'a> Names<'a> {
    /// No service met yet.
    pub(super) fn services(db: &'a Connection) -> Self {
        let find = "SELECT id FROM services WHERE name = ?1";
        Self { db, find, add: "INSERT INTO services (name) VALUES (?1)", known: BTreeMap::new() }
    }

    /// No owner met yet.
    pub(super) fn owners(db: &'a Connection) -> Self {
        let find = "SELECT id FROM owners WHERE name = ?1";
        Self { db, find, add: "INSERT INTO owners (name) VALUES (?1)", known: BTreeMap::new() }
    }

    /// The number of `name`; given now if it is new.
    pub(super) fn number(&mut self, name: &'a str) -> Result<i64> {
        if let Some(number) = self.known.get(name) {
            return Ok(*number);
        }
        let found = self.db.prepare_cached(self.find)?.query_row([name], |row| row.get(0)).optional()?;
        let number = match found {
            Some(number) => number,
            None => self.db.prepare_cached(self.add)?.insert([name])?,
        };
        self.known.insert(name, number);
        Ok(number)
    }
}
