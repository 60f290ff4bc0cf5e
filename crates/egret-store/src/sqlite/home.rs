//! The data dir: made if absent, held by one process, and the connections to the file in it.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::schema::{self, Origin};
use crate::StoreError;

/// How long a statement waits for a lock, such as that of an operator's own `sqlite3`.
const BUSY: Duration = Duration::from_secs(5);

/// How every SQLite file begins.
const HEADER: &[u8] = b"SQLite format 3\0";

/// The end of every mend.
const ELSEWHERE: &str = "or set data_dir to another folder";

/// The data dir, ours until dropped.
#[derive(Debug)]
pub(super) struct Home {
    file: PathBuf,
    _lock: File,
}

impl Home {
    /// Takes the folder, brings the file up to date, and returns the connection to write with.
    pub(super) fn open(folder: &Path) -> Result<(Self, Connection), StoreError> {
        make(folder).map_err(|error| unwritable(folder, &error))?;
        let lock = lock(folder)?;
        let file = folder.join("egret.db");
        // Made here rather than by SQLite: nobody else may read it, and the side files inherit that.
        let opened = private(&file).map_err(|error| unwritable(&file, &error))?;
        let home = Self { file, _lock: lock };
        home.check_header(opened)?;
        let mut db = home.connect(OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(|e| home.unusable(&e))?;
        home.recognise(&db)?;
        home.keep_a_log(&db)?;
        schema::migrate(&mut db).map_err(|e| home.unusable(&e))?;
        Ok((home, db))
    }

    /// One more connection, for checkpoints.
    pub(super) fn second(&self) -> Result<Connection, StoreError> {
        self.connect(OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(|e| self.unusable(&e))
    }

    /// One more connection, which cannot write.
    pub(super) fn reader(&self) -> Result<Connection, StoreError> {
        self.connect(OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(|e| self.unusable(&e))
    }

    /// SQLite takes a file shorter than its header for an empty one, and would write over it.
    fn check_header(&self, file: File) -> Result<(), StoreError> {
        let mut start = Vec::new();
        file.take(HEADER.len() as u64).read_to_end(&mut start).map_err(|e| unwritable(&self.file, &e))?;
        if start.is_empty() || start == HEADER {
            return Ok(());
        }
        let detail = format!("{} is not a database; move it away {ELSEWHERE}", self.file.display());
        Err(StoreError::Unusable { detail })
    }

    fn connect(&self, flags: OpenFlags) -> rusqlite::Result<Connection> {
        // No mutex: a connection is only ever used by one thread at a time.
        let db = Connection::open_with_flags(&self.file, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        db.busy_timeout(BUSY)?;
        db.set_prepared_statement_cache_capacity(64);
        db.pragma_update(None, "synchronous", "FULL")?;
        db.pragma_update(None, "wal_autocheckpoint", 0)?;
        // Chosen: 8 MiB of pages each; the operating system keeps the rest.
        db.pragma_update(None, "cache_size", -8 * 1024)?;
        Ok(db)
    }

    fn recognise(&self, db: &Connection) -> Result<(), StoreError> {
        let file = self.file.display();
        let detail = match schema::origin(db).map_err(|e| self.unusable(&e))? {
            Origin::Ours => return Ok(()),
            Origin::Foreign => {
                format!("{file} is a database of another program; move it away {ELSEWHERE}")
            }
            Origin::Newer(version) => format!(
                "{file} was written by a newer egret (schema {version}, this one knows {}); run that version {ELSEWHERE}",
                schema::known(),
            ),
        };
        Err(StoreError::Unusable { detail })
    }

    /// Turns on the write-ahead log: readers and the writer never wait for each other.
    fn keep_a_log(&self, db: &Connection) -> Result<(), StoreError> {
        let mode: String = db
            .pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))
            .map_err(|e| self.unusable(&e))?;
        if mode == "wal" {
            return Ok(());
        }
        let file = self.file.display();
        let detail = format!("{file} cannot have a write-ahead log here; put it on a local disk {ELSEWHERE}");
        Err(StoreError::Unusable { detail })
    }

    fn unusable(&self, error: &rusqlite::Error) -> StoreError {
        let file = self.file.display();
        let detail = match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
                format!("{file} is damaged ({error}); put a backup in its place {ELSEWHERE}")
            }
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                format!("{file} is locked by another program; close that one {ELSEWHERE}")
            }
            Some(ErrorCode::DiskFull) => format!("no room left for {file}; free some {ELSEWHERE}"),
            _ => format!("{file} cannot be used: {error}; make it usable for this user {ELSEWHERE}"),
        };
        StoreError::Unusable { detail }
    }
}

fn make(folder: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(folder)
}

fn private(file: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.read(true).write(true).create(true).truncate(false).open(file)
}

fn lock(folder: &Path) -> Result<File, StoreError> {
    let file = private(&folder.join("egret.lock")).map_err(|error| unwritable(folder, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let folder = folder.display();
            let detail =
                format!("the data dir {folder} is in use by another egret; stop that one {ELSEWHERE}");
            Err(StoreError::Unusable { detail })
        }
        Err(TryLockError::Error(error)) => Err(unwritable(folder, &error)),
    }
}

fn unwritable(path: &Path, error: &io::Error) -> StoreError {
    let path = path.display();
    let text = error.to_string();
    let reason = text.split(" (os error").next().unwrap_or(&text);
    let detail = format!(
        "the data dir {path} cannot be written: {reason}; make it writable for this user {ELSEWHERE}"
    );
    StoreError::Unusable { detail }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[track_caller]
    fn check_refused(folder: &Path, words: &[&str]) {
        let error = Home::open(folder).unwrap_err();
        assert!(matches!(error, StoreError::Unusable { .. }), "{error:?}");
        let line = error.to_string();
        assert!(!line.contains('\n') && line.ends_with("set data_dir to another folder"), "{line}");
        for word in words {
            assert!(line.contains(word), "`{line}` does not say `{word}`");
        }
    }

    #[test]
    fn an_absent_folder_is_made_for_this_user_only() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("a/b");
        drop(Home::open(&folder).unwrap());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!((mode(&folder), mode(&folder.join("egret.db"))), (0o700, 0o600));
        }
        drop(Home::open(&folder).unwrap());
    }

    #[test]
    fn a_folder_in_use_is_refused_until_it_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let first = Home::open(dir.path()).unwrap();
        check_refused(
            dir.path(),
            &["in use by another egret", dir.path().to_str().unwrap(), "stop that one"],
        );
        drop(first);
        drop(Home::open(dir.path()).unwrap());
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), "").unwrap();
        // Not by permissions: those do not bind root, and tests may run as root.
        check_refused(&dir.path().join("file/sub"), &["cannot be written: Not a directory;", "file/sub"]);
        check_refused(&dir.path().join("file"), &["cannot be written"]);
        fs::create_dir_all(dir.path().join("taken/egret.db")).unwrap();
        check_refused(&dir.path().join("taken"), &["cannot be written: Is a directory;"]);
    }

    #[test]
    fn a_file_that_is_no_database_is_refused_and_left_alone() {
        for garbage in ["x".to_owned(), "no database at all, but long enough for a header\n".repeat(200)] {
            let dir = tempfile::tempdir().unwrap();
            let file = dir.path().join("egret.db");
            fs::write(&file, &garbage).unwrap();
            check_refused(dir.path(), &["egret.db is not a database", "move it away"]);
            assert_eq!(fs::read_to_string(file).unwrap(), garbage);
        }
    }

    #[test]
    fn the_database_of_another_program_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let db = Connection::open(dir.path().join("egret.db")).unwrap();
        db.execute_batch("CREATE TABLE theirs (x); PRAGMA user_version = 1").unwrap();
        drop(db);
        check_refused(dir.path(), &["egret.db is a database of another program"]);
    }

    #[test]
    fn a_newer_schema_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (home, db) = Home::open(dir.path()).unwrap();
        db.pragma_update(None, "user_version", 99).unwrap();
        drop((home, db));
        check_refused(
            dir.path(),
            &["written by a newer egret (schema 99, this one knows 4)", "run that version"],
        );
    }

    #[test]
    fn a_damaged_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        drop(Home::open(dir.path()).unwrap());
        let file = dir.path().join("egret.db");
        let mut bytes = fs::read(&file).unwrap();
        bytes[100..4_096].fill(0xFF);
        fs::write(&file, bytes).unwrap();
        check_refused(dir.path(), &["egret.db is damaged", "backup"]);
    }
}
