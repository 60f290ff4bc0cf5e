//! The reading side: a few connections that cannot write, lent to blocking threads one question at a time; in a simulation
//! to whoever asks.

use std::sync::{Arc, Mutex, MutexGuard, TryLockError};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::failed;
use super::inline::Pause;
use crate::StoreError;

/// The connections that read; as many questions as there are connections run at once.
#[derive(Debug)]
pub(super) struct Readers {
    connections: Vec<Mutex<Connection>>,
    turns: Arc<Semaphore>,
    /// Questions are answered where they are asked, after this long.
    inline: Option<Pause>,
}

impl Readers {
    /// Readers over these connections.
    pub(super) fn new(connections: Vec<Connection>, inline: Option<Pause>) -> Self {
        let turns = Arc::new(Semaphore::new(connections.len()));
        Self { connections: connections.into_iter().map(Mutex::new).collect(), turns, inline }
    }

    /// Answers one question from everything committed by now.
    pub(super) async fn read<T, Q>(self: &Arc<Self>, question: Q) -> Result<T, StoreError>
    where
        T: Send + 'static,
        Q: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|_| StoreError::Closed)?;
        if let Some(pause) = self.inline {
            tokio::time::sleep(pause()).await;
            return self.answer(question);
        }
        let readers = Arc::clone(self);
        let answering = tokio::task::spawn_blocking(move || {
            let answer = readers.answer(question);
            // Only now, with the connection back, may the next question come.
            drop(turn);
            answer
        });
        // An error: the runtime is shutting down.
        answering.await.map_err(|_| StoreError::Closed)?
    }

    fn answer<T>(&self, question: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        let db = self.free().ok_or(StoreError::Closed)?;
        question(&db).map_err(|error| failed(&error))
    }

    /// A connection nobody uses; the holder of a turn always finds one.
    fn free(&self) -> Option<MutexGuard<'_, Connection>> {
        self.connections.iter().find_map(|connection| match connection.try_lock() {
            Ok(free) => Some(free),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        })
    }
}
