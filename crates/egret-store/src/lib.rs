//! Remembers: jobs, outcomes, batches, agents, tokens and ledgers, across any death of the process.
//!
//! [`Store`] is the trait; [`SqliteStore`] keeps it in one file. Rows of jobs and outcomes are only ever added: a job
//! waits in its [`Flow`] until an outcome exists, and who works on it is known in memory alone.
//! What a job's question or answer means is absent here: those travel as opaque JSON.

mod row;
mod sqlite;
mod store;

pub use row::*;
pub use sqlite::SqliteStore;
pub use store::{Commit, Store, StoreError};
