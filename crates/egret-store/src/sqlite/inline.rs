//! The writer without a thread, for simulations: a task of the runtime, so that what happens is the same in every run.
//!
//! Groups, statements and the file are those of `writer`. Absent are the keeper, whose work SQLite does here, and the sweep of
//! cancelled batches, whose rows only take room.

use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::sleep;

use super::group;
use super::writer::{Inbound, gather};

/// How long the disk takes this time.
pub(super) type Pause = fn() -> Duration;

/// Pages in the log after which SQLite copies them into the file by itself; its default.
const LOG_PAGES: i32 = 1_000;

/// Makes a connection fit for a process that does not die with what it simulates: nothing waits for the disk.
pub(super) fn prepare(db: &Connection) -> rusqlite::Result<()> {
    db.pragma_update(None, "synchronous", "OFF")?;
    db.pragma_update(None, "wal_autocheckpoint", LOG_PAGES)
}

/// Writes until the queue is gone. Whoever drops this takes with it what was not committed, as a crash does.
pub(super) async fn write(db: Connection, mut inbox: UnboundedReceiver<Inbound>, pause: Pause) {
    while let Some(first) = inbox.recv().await {
        sleep(pause()).await;
        group::commit(&db, gather(first, &mut inbox).0);
    }
}
