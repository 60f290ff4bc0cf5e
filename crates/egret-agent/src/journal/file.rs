//! The journal on disk: appended to in one piece, followed to the disk by a thread, replaced when it is long.
//!
//! What was written survives the death of this process at once, and that of the host as soon as the thread has brought
//! it to the disk, once a second. If the disk does not keep up, [`Journal::is_behind`] says that no call may leave.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use super::{Record, VERSION};
use crate::AgentError;
use crate::clock::Clock;

const FILE: &str = "journal";
const DRAFT: &str = "journal.new";
/// The file is replaced when it is so long, or twice as long as what it began with (chosen: half a minute of 1,000
/// calls a second).
const LONG: u64 = 4 << 20;
/// More than any journal has, in bytes; a longer one is not read.
const LONGEST: u64 = 1 << 30;
/// How often the file is brought to the disk, and the wall clock written into it.
const EVERY: Duration = Duration::from_secs(1);
/// What the death of the host may take with it at the most.
pub(crate) const LOST: Duration = Duration::from_secs(3);

/// One process at a time uses a state dir.
#[derive(Debug)]
pub(crate) struct Lock {
    /// Held as long as it is open.
    _file: File,
}

impl Lock {
    /// Takes the lock of a state dir.
    ///
    /// # Errors
    /// Another process has it.
    pub(crate) fn take(dir: &Path) -> Result<Self, AgentError> {
        let path = dir.join("lock");
        let unusable = |error: io::Error| AgentError::Setting(format!("{}: {error}", path.display()));
        let options = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = options.map_err(unusable)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(AgentError::Setting(format!(
                "another agent uses the state dir {}; stop it, or give each agent its own --state-dir",
                dir.display()
            ))),
            Err(TryLockError::Error(error)) => Err(unusable(error)),
        }
    }

    /// Whether another process has it.
    pub(crate) fn is_taken(dir: &Path) -> bool {
        let file = OpenOptions::new().write(true).open(dir.join("lock"));
        file.is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
    }
}

/// What an earlier process of this agent left; `None`: nothing.
pub(crate) fn read(dir: &Path) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    match File::open(dir.join(FILE)) {
        Ok(file) => file.take(LONGEST).read_to_end(&mut bytes).map(|_| Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// A file that gets records, and how much of it is whole.
#[derive(Debug)]
struct Out {
    file: Arc<File>,
    len: u64,
    /// Half a record is at its end and cannot be removed.
    is_torn: bool,
}

impl Out {
    /// A fresh draft with these records.
    fn draft(dir: &Path, records: &[Record], clock: Clock) -> io::Result<Self> {
        let mut bytes = Vec::new();
        Record::Begin { version: VERSION, boot: clock.boot_name() }.write_to(&mut bytes)?;
        mark(clock).write_to(&mut bytes)?;
        for record in records {
            record.write_to(&mut bytes)?;
        }
        let path = dir.join(DRAFT);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = OpenOptions::new().create_new(true).append(true).mode(0o600).open(&path)?;
        let mut out = Self { file: Arc::new(file), len: 0, is_torn: false };
        out.write(&bytes).map(|()| out)
    }

    /// All of it, or nothing.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.is_torn {
            return Err(io::Error::other("half a record is in the way"));
        }
        let written = (&*self.file).write_all(bytes);
        match written {
            Ok(()) => self.len = self.len.saturating_add(bytes.len() as u64),
            // Half a record would hide all that come after it.
            Err(_) => self.is_torn = self.file.set_len(self.len).is_err(),
        }
        written
    }
}

fn mark(clock: Clock) -> Record {
    Record::Mark { at: clock.boot(), wall_ms: clock.wall_ms() }
}

/// What runtime and thread tell each other.
#[derive(Debug, Default)]
struct Kept {
    /// Records written.
    written: AtomicU64,
    /// Those of them that are on disk.
    synced: AtomicU64,
    /// When the bringing of those began.
    began_at: AtomicU64,
    /// The thread has been asked.
    is_asked: AtomicBool,
    /// The draft has taken the place of the file.
    is_replaced: AtomicBool,
    /// The disk has refused to keep what it was given.
    has_failed: AtomicBool,
}

enum Order {
    Sync,
    /// With this, the draft.
    Replace(Arc<File>),
}

/// The journal of this process.
#[derive(Debug)]
pub(crate) struct Journal {
    dir: PathBuf,
    current: Out,
    /// Will take its place; until then both get every record, so that either can be read.
    next: Option<Out>,
    /// When it is replaced, in bytes.
    long: u64,
    line: Vec<u8>,
    marked_at: u64,
    /// When the first record was written that was not on disk at once.
    busy_since: u64,
    kept: Arc<Kept>,
    /// `None`: in a simulation, whose host does not die, whatever was written is kept.
    keeper: Option<SyncSender<Order>>,
    clock: Clock,
}

impl Journal {
    /// Takes the place of what an earlier process left, and begins with these records.
    pub(crate) fn begin(dir: &Path, records: &[Record], clock: Clock) -> io::Result<Self> {
        let current = Out::draft(dir, records, clock)?;
        current.file.sync_all()?;
        put_in_place(dir)?;
        let kept = Arc::new(Kept::default());
        let keeper = if clock.is_simulated() {
            None
        } else {
            // One order of each kind is under way at the most.
            let (keeper, orders) = sync_channel(2);
            let (home, file, shared) = (dir.to_owned(), Arc::clone(&current.file), Arc::clone(&kept));
            let thread = std::thread::Builder::new().name("journal".to_owned());
            thread.spawn(move || keep(&home, file, &orders, &shared, clock))?;
            Some(keeper)
        };
        let long = LONG.max(current.len.saturating_mul(2));
        let dir = dir.to_owned();
        let (marked_at, line) = (clock.boot(), Vec::new());
        Ok(Self { dir, current, next: None, long, line, marked_at, busy_since: 0, kept, keeper, clock })
    }

    /// Writes a record; it is with the system when this returns.
    ///
    /// # Errors
    /// It is not written; what it speaks of must not be done.
    pub(crate) fn write(&mut self, record: &Record) -> io::Result<()> {
        if self.kept.has_failed.load(Ordering::Acquire) {
            return Err(io::Error::other("the disk did not keep an earlier record"));
        }
        if self.kept.is_replaced.swap(false, Ordering::AcqRel)
            && let Some(next) = self.next.take()
        {
            self.long = LONG.max(next.len.saturating_mul(2));
            self.current = next;
        }
        self.line.clear();
        let now = self.clock.boot();
        if now.saturating_sub(self.marked_at) >= EVERY.as_micros() as u64 {
            self.marked_at = now;
            mark(self.clock).write_to(&mut self.line)?;
        }
        record.write_to(&mut self.line)?;
        let written = self.kept.written.load(Ordering::Relaxed);
        if self.kept.synced.load(Ordering::Acquire) == written {
            self.busy_since = now;
        }
        self.current.write(&self.line)?;
        if let Some(next) = &mut self.next {
            next.write(&self.line)?;
        }
        self.kept.written.store(written.saturating_add(1), Ordering::Release);
        self.ask_to_sync();
        Ok(())
    }

    fn ask_to_sync(&self) {
        let Some(keeper) = &self.keeper else {
            return self.kept.synced.store(self.kept.written.load(Ordering::Relaxed), Ordering::Release);
        };
        if !self.kept.is_asked.swap(true, Ordering::AcqRel) {
            // The thread lives as long as this.
            let _ = keeper.try_send(Order::Sync);
        }
    }

    /// The disk is so far behind that its host's death would take more with it than is counted for.
    pub(crate) fn is_behind(&self) -> bool {
        let is_on_disk =
            self.kept.synced.load(Ordering::Acquire) == self.kept.written.load(Ordering::Relaxed);
        let since = self.busy_since.max(self.kept.began_at.load(Ordering::Acquire));
        !is_on_disk && self.clock.boot().saturating_sub(since) > LOST.as_micros() as u64
    }

    /// It is time for a shorter one.
    pub(crate) fn is_long(&self) -> bool {
        self.current.len >= self.long && self.next.is_none()
    }

    /// Has a file that begins with these records take the place of this one.
    pub(crate) fn renew(&mut self, records: &[Record]) -> io::Result<()> {
        // Not again at once if this fails.
        self.long = self.current.len.saturating_add(LONG);
        let next = Out::draft(&self.dir, records, self.clock)?;
        let Some(keeper) = &self.keeper else {
            put_in_place(&self.dir)?;
            self.long = LONG.max(next.len.saturating_mul(2));
            self.current = next;
            return Ok(());
        };
        let order = Order::Replace(Arc::clone(&next.file));
        self.next = Some(next);
        keeper.try_send(order).map_err(|_| io::Error::other("the journal's thread is gone"))
    }

    /// Says that nothing more will come, and waits until that is on disk.
    pub(crate) fn close(&mut self) -> io::Result<()> {
        self.write(&Record::Closed { at: self.clock.boot() })?;
        self.current.file.sync_data()
    }
}

/// The thread: brings to the disk what it is told to, until nobody tells it any more.
fn keep(dir: &Path, mut file: Arc<File>, orders: &Receiver<Order>, kept: &Kept, clock: Clock) {
    while let Ok(order) = orders.recv() {
        let (began_at, mut is_replaced) = (clock.boot(), false);
        kept.is_asked.store(false, Ordering::Release);
        let written = kept.written.load(Ordering::Acquire);
        let done = match order {
            Order::Sync => file.sync_data(),
            Order::Replace(draft) => {
                file = draft;
                is_replaced = true;
                file.sync_all().and_then(|()| put_in_place(dir))
            }
        };
        if let Err(error) = done {
            tracing::error!("the journal cannot be kept, no call is made any more: {error}");
            kept.has_failed.store(true, Ordering::Release);
            return;
        }
        kept.began_at.store(began_at, Ordering::Release);
        kept.synced.store(written, Ordering::Release);
        if is_replaced {
            kept.is_replaced.store(true, Ordering::Release);
        } else {
            std::thread::sleep(EVERY);
        }
    }
}

fn put_in_place(dir: &Path) -> io::Result<()> {
    std::fs::rename(dir.join(DRAFT), dir.join(FILE))?;
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::super::records;
    use super::*;
    use egret_wire::agent::Attempt;

    fn leave(n: u64) -> Record {
        Record::Leave { pair: 0, attempt: Attempt(n, 1, 1, n), at: n }
    }

    /// The calls that a process would know of that starts now.
    fn known(dir: &Path) -> Vec<u64> {
        let (records, tail) = records(&read(dir).unwrap().unwrap());
        assert_eq!(tail, super::super::Tail::Whole);
        let name = |record: &Record| match record {
            Record::Leave { attempt, .. } => Some(attempt.0),
            _ => None,
        };
        records.iter().filter_map(name).collect()
    }

    #[test]
    fn every_record_is_read_back_at_once_also_while_the_file_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::begin(dir.path(), &[], Clock::start(None)).unwrap();
        (0..10).for_each(|n| journal.write(&leave(n)).unwrap());
        assert_eq!(known(dir.path()), (0..10).collect::<Vec<_>>());
        // What the first ones came to is one record now.
        journal.renew(&[leave(9)]).unwrap();
        let mut last = 9;
        while journal.next.is_some() {
            last += 1;
            journal.write(&leave(last)).unwrap();
            let known = known(dir.path());
            assert_eq!(known.last(), Some(&last));
            assert!(known.len() as u64 == last + 1 || known == (9..=last).collect::<Vec<_>>());
            std::thread::yield_now();
        }
        assert_eq!(known(dir.path()), (9..=last).collect::<Vec<_>>());
    }

    #[test]
    fn what_cannot_be_written_is_an_error_and_hides_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::begin(dir.path(), &[leave(1)], Clock::start(None)).unwrap();
        journal.current.file = Arc::new(File::open(dir.path().join(FILE)).unwrap());
        assert!(journal.write(&leave(2)).is_err() && journal.write(&leave(3)).is_err());
        assert_eq!(known(dir.path()), [1]);
    }

    /// `cargo test --release -p egret-agent costs -- --ignored --nocapture` prints it.
    #[test]
    #[ignore = "a measurement"]
    #[allow(clippy::print_stdout, reason = "it is what this is for")]
    fn what_a_record_costs() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::begin(dir.path(), &[], Clock::start(None)).unwrap();
        let (count, began) = (1_000_000, std::time::Instant::now());
        for n in 0..count {
            journal.write(&leave(n)).unwrap();
            if journal.is_long() {
                journal.renew(&[]).unwrap();
            }
        }
        println!("{} ns a record", began.elapsed().as_nanos() / u128::from(count));
    }

    #[test]
    fn a_state_dir_has_one_process_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let first = Lock::take(dir.path()).unwrap();
        let said = Lock::take(dir.path()).unwrap_err().to_string();
        assert!(said.contains("another agent uses the state dir"), "{said}");
        drop(first);
        Lock::take(dir.path()).unwrap();
    }
}
