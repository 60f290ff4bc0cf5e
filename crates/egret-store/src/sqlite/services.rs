//! The dictionary of service names, for one write.
//!
//! Nothing is remembered between writes: a number learnt in a transaction that was rolled back would be wrong.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, Result};

/// The services one write has met.
pub(super) struct Services<'a> {
    db: &'a Connection,
    known: BTreeMap<&'a str, i64>,
}

impl<'a> Services<'a> {
    /// None met yet.
    pub(super) fn new(db: &'a Connection) -> Self {
        Self { db, known: BTreeMap::new() }
    }

    /// The number of the service called `name`; given now if it is new.
    pub(super) fn number(&mut self, name: &'a str) -> Result<i64> {
        if let Some(number) = self.known.get(name) {
            return Ok(*number);
        }
        let number = match self.find(name)? {
            Some(number) => number,
            None => self.db.prepare_cached("INSERT INTO services (name) VALUES (?1)")?.insert([name])?,
        };
        self.known.insert(name, number);
        Ok(number)
    }

    fn find(&self, name: &str) -> Result<Option<i64>> {
        let mut find = self.db.prepare_cached("SELECT id FROM services WHERE name = ?1")?;
        find.query_row([name], |row| row.get(0)).optional()
    }
}
