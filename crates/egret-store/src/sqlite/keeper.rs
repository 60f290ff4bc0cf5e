//! Keeps the write-ahead log short from a thread of its own, so that no commit waits for a checkpoint.
//!
//! A round begins when the writer rings: most of the log is copied into the database file while the
//! writer goes on. The round ends with the writer, which copies the little that came meanwhile: only
//! a log copied to its end starts over, and under constant load this thread alone never gets there.
//! There the writer also sweeps a few rows of cancelled batches; while some are left, it rings again.

use std::sync::mpsc::Receiver;
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::mpsc::WeakUnboundedSender;

use super::writer::Inbound;

/// Starts the thread; it ends when the writer drops its bell.
pub(super) fn start(
    db: Connection,
    bell: Receiver<()>,
    writer: WeakUnboundedSender<Inbound>,
) -> std::io::Result<JoinHandle<()>> {
    let rounds = move || {
        while bell.recv().is_ok() {
            checkpoint(&db, "PASSIVE");
            // Without a sender left the store is closing, and the writer checkpoints itself.
            let Some(writer) = writer.upgrade() else { return };
            if writer.send(Inbound::Tended).is_err() {
                return;
            }
        }
    };
    std::thread::Builder::new().name("egret-checkpoint".to_owned()).spawn(rounds)
}

/// Copies what readers and the writer allow, waiting for neither.
pub(super) fn checkpoint(db: &Connection, mode: &str) {
    let outcome = db.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |_| Ok(()));
    if let Err(error) = outcome {
        tracing::warn!(%error, "the database log could not be copied into the file; it grows until that succeeds");
    }
}
