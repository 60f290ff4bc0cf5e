//! The dictionary of flows: numbers for one write, the flows themselves for one reading.
//!
//! A row stays for as long as its jobs do, ended ones too, since a job's service, owner and wish are read there: one for
//! each batch and wish, a small part of what the jobs take. Nothing is remembered between writes: a number learnt in a transaction that was rolled back would be wrong.

use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Result, Row, params};

use super::column;
use super::names::Names;
use crate::row::Flow;

/// A flow by its parts.
pub(super) const FIND: &str = "
    SELECT f.id FROM flows f
    WHERE ifnull(f.batch, -1) = ifnull(?1, -1) AND f.service = (SELECT id FROM services WHERE name = ?2)
      AND f.owner = ?3 AND f.class = ?4 AND f.egress = ?5";

/// A flow as a write knows it.
#[derive(Clone, Copy)]
pub(super) struct Numbered {
    pub(super) number: i64,
    /// The number of its owner, if it has one.
    pub(super) owner: Option<i64>,
    /// False if its batch was cancelled while receiving: its jobs never run.
    pub(super) runs: bool,
}

/// The flows one write has met.
pub(super) struct Flows<'a> {
    db: &'a Connection,
    services: Names<'a>,
    owners: Names<'a>,
    known: BTreeMap<&'a Flow, Numbered>,
}

impl<'a> Flows<'a> {
    /// None met yet.
    pub(super) fn new(db: &'a Connection) -> Self {
        Self { db, services: Names::services(db), owners: Names::owners(db), known: BTreeMap::new() }
    }

    /// The number of `flow`; given now if it is new.
    pub(super) fn number(&mut self, flow: &'a Flow) -> Result<Numbered> {
        if let Some(known) = self.known.get(flow) {
            return Ok(*known);
        }
        let number = match find(self.db, flow)? {
            Some(number) => number,
            None => self.add(flow)?,
        };
        let owner = if flow.owner.is_empty() { None } else { Some(self.owners.number(&flow.owner)?) };
        let numbered = Numbered { number, owner, runs: !is_discarded(self.db, flow)? };
        self.known.insert(flow, numbered);
        Ok(numbered)
    }

    fn add(&mut self, flow: &'a Flow) -> Result<i64> {
        let service = self.services.number(&flow.service)?;
        self.db
            .prepare_cached(
                "INSERT INTO flows (service, owner, class, egress, batch) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .insert(params![service, flow.owner, flow.class, flow.egress, column::batch(flow.batch)?])
    }
}

/// The flows one reading has met, so that its rows share them.
#[derive(Default)]
pub(super) struct Met(BTreeMap<i64, Arc<Flow>>);

impl Met {
    /// Reads number, service, owner, class, egress and batch from `first` on.
    pub(super) fn read(&mut self, row: &Row<'_>, first: usize) -> Result<Arc<Flow>> {
        let number = row.get(first)?;
        if let Some(flow) = self.0.get(&number) {
            return Ok(Arc::clone(flow));
        }
        let flow = Arc::new(Flow {
            service: row.get(first + 1)?,
            owner: row.get(first + 2)?,
            class: row.get(first + 3)?,
            egress: row.get(first + 4)?,
            batch: column::batch_id(row, first + 5)?,
        });
        self.0.insert(number, Arc::clone(&flow));
        Ok(flow)
    }
}

/// The number of a flow, if any job was ever in it.
pub(super) fn find(db: &Connection, flow: &Flow) -> Result<Option<i64>> {
    let batch = column::batch(flow.batch)?;
    db.prepare_cached(FIND)?
        .query_row(params![batch, flow.service, flow.owner, flow.class, flow.egress], |row| row.get(0))
        .optional()
}

fn is_discarded(db: &Connection, flow: &Flow) -> Result<bool> {
    db.prepare_cached("SELECT EXISTS (SELECT 1 FROM batch_ends WHERE batch = ?1 AND closed = 0)")?
        .query_row([column::batch(flow.batch)?], |row| row.get(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(owner: &str, batch: Option<u64>) -> Flow {
        Flow {
            service: "whois".into(),
            owner: owner.into(),
            class: 1,
            egress: String::new(),
            batch: batch.map(egret_core::id::BatchId),
        }
    }

    #[test]
    fn equal_flows_have_one_number_and_no_batch_is_a_part_like_another() {
        let mut db = Connection::open_in_memory().unwrap();
        super::super::schema::migrate(&mut db).unwrap();
        let all = [flow("", None), flow("a", None), flow("", Some(0)), flow("", Some(7))];
        let numbers = |db: &Connection| {
            let mut flows = Flows::new(db);
            all.iter().map(|flow| flows.number(flow).unwrap().number).collect::<Vec<_>>()
        };
        let first = numbers(&db);
        assert_eq!(first, [1, 2, 3, 4]);
        assert_eq!(numbers(&db), first);
    }
}
