//! The writing side: one thread, one connection, one commit for everything that waits.
//!
//! The writer takes a write as soon as there is one, with all that queued up behind it meanwhile, and
//! ends them by one commit: an idle store answers after one sync, a busy one shares each sync among
//! many. The queue is bounded in bytes: [`Queue::push`] waits while too many are under way.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;

use rusqlite::{Connection, Result as SqlResult, TransactionBehavior};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, WeakUnboundedSender, unbounded_channel};

use super::group::{self, Pending, Write};
use super::keeper::{self, checkpoint};
use super::waiting;
use crate::{Commit, StoreError};

/// Bytes queued and in commit at most; chosen.
const ROOM: usize = 32 << 20;
/// What the smallest write counts for in bytes, so that tiny ones are bounded too; chosen.
const LEAST: usize = 512;
/// Bytes and writes after which a group is closed: about 30 ms of work. Chosen.
const GROUP_BYTES: usize = 4 << 20;
const GROUP_WRITES: usize = 2_000;
/// Pages of 4 KiB in the log that start a round of the keeper: 16 MiB. Chosen.
const ROUND_PAGES: i32 = 4_000;

/// What the writer's inbox holds.
pub(super) enum Inbound {
    /// Rows to write.
    Write { write: Box<dyn Write>, bytes: usize },
    /// The keeper's round is done.
    Tended,
}

/// Where writes queue up; the writer ends when it is dropped and everything in it is written.
#[derive(Debug)]
pub(super) struct Queue {
    inbox: UnboundedSender<Inbound>,
    room: Arc<Semaphore>,
}

impl Queue {
    /// A queue and its other end.
    pub(super) fn new() -> (Self, UnboundedReceiver<Inbound>) {
        let (inbox, receiver) = unbounded_channel();
        (Self { inbox, room: Arc::new(Semaphore::new(ROOM)) }, receiver)
    }

    /// The keeper's way to the writer, which keeps nothing open.
    pub(super) fn weak(&self) -> WeakUnboundedSender<Inbound> {
        self.inbox.downgrade()
    }

    /// Queues a write of about `bytes`, once there is room. The closure may run more than once, and
    /// only its last run is kept.
    pub(super) async fn push<T, W>(&self, bytes: usize, work: W) -> Result<Commit<T>, StoreError>
    where
        T: Send + 'static,
        W: Fn(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        // A write above the whole room gets all of it, and passes alone.
        let bytes = bytes.clamp(LEAST, ROOM);
        let permits = u32::try_from(bytes).unwrap_or(u32::MAX);
        let room =
            Arc::clone(&self.room).acquire_many_owned(permits).await.map_err(|_| StoreError::Closed)?;
        let (caller, commit) = Commit::pending();
        let write = Box::new(Pending { work, value: None, caller, _room: room });
        self.inbox.send(Inbound::Write { write, bytes }).map_err(|_| StoreError::Closed)?;
        Ok(commit)
    }
}

/// The thread's state.
pub(super) struct Writer {
    db: Connection,
    inbox: UnboundedReceiver<Inbound>,
    bell: Sender<()>,
    keeper: JoinHandle<()>,
    /// Pages in the log after the last commit.
    pages: Arc<AtomicI32>,
    rings_at: i32,
    /// Rows of cancelled batches are left to sweep.
    sweeps: bool,
    in_round: bool,
}

impl Writer {
    /// Starts the thread, and the keeper's on the second connection.
    pub(super) fn start(
        mut db: Connection,
        second: Connection,
        queue: &Queue,
        inbox: UnboundedReceiver<Inbound>,
    ) -> Result<JoinHandle<()>, StoreError> {
        let pages = Arc::new(AtomicI32::new(0));
        let counted = Arc::clone(&pages);
        db.wal_hook(Some(move |_: &mut _, pages| {
            counted.store(pages, Ordering::Relaxed);
            Ok(())
        }))
        .map_err(|error| super::failed(&error))?;
        let (bell, rings) = std::sync::mpsc::channel();
        let keeper = keeper::start(second, rings, queue.weak()).map_err(|e| no_thread(&e))?;
        let writer =
            Self { db, inbox, bell, keeper, pages, rings_at: ROUND_PAGES, sweeps: false, in_round: false };
        std::thread::Builder::new()
            .name("egret-writer".to_owned())
            .spawn(move || writer.run())
            .map_err(|e| no_thread(&e))
    }

    fn run(mut self) {
        while let Some(first) = self.inbox.blocking_recv() {
            let (writes, tended) = gather(first, &mut self.inbox);
            if !writes.is_empty() {
                group::commit(&self.db, writes);
                self.sweeps = waiting::is_to_sweep(&self.db).unwrap_or(false);
            }
            if tended {
                self.end_round();
            }
            self.begin_round();
        }
        let Self { db, bell, keeper, .. } = self;
        // The keeper first: two checkpoints at once, and the second gives up.
        drop(bell);
        if keeper.join().is_err() {
            tracing::error!("the checkpoint thread had died");
        }
        checkpoint(&db, "TRUNCATE");
    }

    /// Rings for the keeper once the log is long, and again only after it has grown as much; or while there is
    /// something to sweep.
    fn begin_round(&mut self) {
        let pages = self.pages.load(Ordering::Relaxed);
        if pages < ROUND_PAGES {
            self.rings_at = ROUND_PAGES;
        }
        if self.in_round || (pages < self.rings_at && !self.sweeps) {
            return;
        }
        self.rings_at = pages + ROUND_PAGES;
        self.in_round = self.bell.send(()).is_ok();
    }

    fn end_round(&mut self) {
        self.in_round = false;
        if self.sweeps {
            // After a failure the next write tries again, not this loop.
            self.sweeps = self.sweep().unwrap_or_else(|error| {
                tracing::warn!(%error, "jobs of cancelled batches still take room among those that wait");
                false
            });
        }
        checkpoint(&self.db, "PASSIVE");
    }

    /// One step; true if more is left.
    fn sweep(&mut self) -> SqlResult<bool> {
        let transaction = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        waiting::sweep(&transaction)?;
        transaction.commit()?;
        waiting::is_to_sweep(&self.db)
    }
}

/// What waits by now, up to the size of a group, and whether a round has ended.
pub(super) fn gather(first: Inbound, inbox: &mut UnboundedReceiver<Inbound>) -> (Vec<Box<dyn Write>>, bool) {
    let (mut writes, mut total, mut tended) = (Vec::new(), 0, false);
    let mut next = Some(first);
    while let Some(inbound) = next {
        match inbound {
            Inbound::Write { write, bytes } => {
                writes.push(write);
                total += bytes;
            }
            Inbound::Tended => tended = true,
        }
        let is_full = writes.len() >= GROUP_WRITES || total >= GROUP_BYTES;
        next = if is_full { None } else { inbox.try_recv().ok() };
    }
    (writes, tended)
}

fn no_thread(error: &std::io::Error) -> StoreError {
    StoreError::Unusable {
        detail: format!("the store cannot start a thread: {error}; raise this user's limit of processes"),
    }
}
