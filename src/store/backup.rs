//! A copy of the database while the server runs, and the way back from it.
//!
//! The copy is made by `VACUUM INTO`: one read transaction, so it is the database of one moment, and whoever
//! writes is not held up. Neither leaves half a file under the name that was asked for.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode};
use sqlx::{ConnectOptions, Connection};
use thiserror::Error;

use crate::store::{StoreError, lock, sqlite_path};

/// Starts that are left free when a copy is numbered: the ids of messages begin with the number of the start,
/// and a server on the copy must give out none that the first server has given out since.
const STARTS: u32 = 1000;

/// Why there is no backup, or why it was not put back.
#[derive(Debug, Error)]
pub enum BackupError {
    /// The store's URL, or its lock.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The database is no file.
    #[error("store.url is a PostgreSQL database: back it up with pg_dump, and put it back with pg_restore")]
    Postgres,
    /// There is nothing to copy.
    #[error("there is no database {}: is `data` or store.url right?", .0.display())]
    Missing(PathBuf),
    /// Something has the name already.
    #[error("{} is there already, and a backup replaces nothing: give another name, or move it away", .0.display())]
    Exists(PathBuf),
    /// The database cannot be copied.
    #[error("cannot copy {} to {}: {source}", from.display(), to.display())]
    Copy {
        /// What was read.
        from: PathBuf,
        /// What was written.
        to: PathBuf,
        /// Why.
        source: sqlx::Error,
    },
    /// A file cannot be written, renamed or read.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What is to be put back is no sound database of Roost.
    #[error("{} is no backup of Roost, or it is damaged: {problem}", path.display())]
    Unsound {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

/// Copies the database of the store `url` into a new file `to`, which is complete and on disk when this
/// returns; gives its size in bytes. A server may be running on the database.
pub fn backup(url: &str, to: &Path) -> Result<u64, BackupError> {
    let from = database(url)?;
    if !from.exists() {
        return Err(BackupError::Missing(from));
    }
    if to.exists() {
        return Err(BackupError::Exists(to.to_owned()));
    }
    let part = part_of(to)?;
    let made = run(copy(&from, &part, 0))
        .map_err(|source| BackupError::Copy { from: from.clone(), to: part.clone(), source })
        .and_then(|()| sync(&part))
        .and_then(|()| name(&part, to));
    if made.is_err() {
        // The first error says more than this one would.
        let _ = discard(&part);
    }
    made?;
    sync_directory_of(to)?;
    Ok(fs::metadata(to).map_err(file(to))?.len())
}

/// Puts the backup `from` in the place of the store's database, where no server runs on it; `from` stays.
/// What was there is kept under the name that this gives, where there was anything.
pub fn restore(url: &str, from: &Path) -> Result<Option<PathBuf>, BackupError> {
    let to = database(url)?;
    if !from.exists() {
        return Err(BackupError::Missing(from.to_owned()));
    }
    let unsound = |problem: String| BackupError::Unsound { path: from.to_owned(), problem };
    match run(check(from)) {
        Ok(problem) if problem == "ok" => {}
        // SQLite's report is of several lines.
        Ok(problem) => return Err(unsound(problem.split_ascii_whitespace().collect::<Vec<_>>().join(" "))),
        Err(error) => return Err(unsound(error.to_string())),
    }
    let _lock = lock(&to)?;
    // Where what is there cannot be read any more, its starts are not known: they are hardly more than are left free.
    let starts = if to.exists() { run(starts(&to)).unwrap_or(0) } else { 0 };
    let part = part_of(&to)?;
    run(copy(from, &part, starts)).map_err(|source| BackupError::Copy {
        from: from.to_owned(),
        to: part.clone(),
        source,
    })?;
    sync(&part)?;
    let old = set_aside(&to)?;
    fs::rename(&part, &to).map_err(file(&to))?;
    sync_directory_of(&to)?;
    Ok(old)
}

fn database(url: &str) -> Result<PathBuf, BackupError> {
    if url.starts_with("postgres") {
        return Err(BackupError::Postgres);
    }
    Ok(sqlite_path(url)?)
}

/// A runtime for one task.
fn run<T>(task: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(sqlx::Error::Io)?.block_on(task)
}

fn open(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new().filename(path).disable_statement_logging()
}

/// Makes a copy that is one file; a server that is started on it has been started more than `starts` times.
async fn copy(from: &Path, part: &Path, starts: u32) -> Result<(), sqlx::Error> {
    let mut source = open(from).read_only(true).connect().await?;
    let name = part.to_str().ok_or_else(|| sqlx::Error::Configuration("the name is not UTF-8".into()))?;
    let copied = sqlx::query("VACUUM INTO ?").bind(name).execute(&mut source).await;
    source.close().await?;
    copied?;
    // No log beside it: what is copied further is whole.
    let mut copy = open(part).journal_mode(SqliteJournalMode::Delete).connect().await?;
    let numbered = sqlx::query("UPDATE meta SET boot = max(boot, ?) + ?").bind(starts).bind(STARTS);
    let numbered = numbered.execute(&mut copy).await;
    copy.close().await?;
    numbered.map(drop)
}

/// How often a server was started on a database.
async fn starts(path: &Path) -> Result<u32, sqlx::Error> {
    let mut connection = open(path).read_only(true).connect().await?;
    let starts = sqlx::query_scalar("SELECT boot FROM meta").fetch_one(&mut connection).await;
    connection.close().await?;
    starts
}

/// "ok", or what is wrong with a database of Roost.
async fn check(path: &Path) -> Result<String, sqlx::Error> {
    let mut connection = open(path).read_only(true).connect().await?;
    let found = check_open(&mut connection).await;
    connection.close().await?;
    found
}

async fn check_open(connection: &mut SqliteConnection) -> Result<String, sqlx::Error> {
    let _: (i64, i64) = sqlx::query_as("SELECT epoch, boot FROM meta").fetch_one(&mut *connection).await?;
    sqlx::query_scalar("PRAGMA integrity_check(1)").fetch_one(connection).await
}

/// `path` with something after its name.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

fn file(path: &Path) -> impl FnOnce(io::Error) -> BackupError + use<> {
    let path = path.to_owned();
    move |source| BackupError::File { path, source }
}

/// An empty file for a copy, which only its owner may read; what an attempt that was killed has left is removed.
fn part_of(path: &Path) -> Result<PathBuf, BackupError> {
    let part = beside(path, ".part");
    for suffix in ["-journal", "-wal", "-shm", ""] {
        discard(&beside(&part, suffix))?;
    }
    // SQLite fills an empty file, and would make one that everyone may read.
    File::options().write(true).create_new(true).mode(0o600).open(&part).map_err(file(&part))?;
    Ok(part)
}

fn discard(path: &Path) -> Result<(), BackupError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(file(path)(error)),
        _ => Ok(()),
    }
}

fn sync(path: &Path) -> Result<(), BackupError> {
    File::open(path).and_then(|open| open.sync_all()).map_err(file(path))
}

fn sync_directory_of(path: &Path) -> Result<(), BackupError> {
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."));
    sync(directory)
}

/// Gives `part` its name, where nothing else has it.
fn name(part: &Path, to: &Path) -> Result<(), BackupError> {
    match fs::hard_link(part, to) {
        Ok(()) => discard(part),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(BackupError::Exists(to.to_owned())),
        // A file system without links.
        Err(_) => fs::rename(part, to).map_err(file(to)),
    }
}

/// Moves a database out of the way, and its log first: a log beside another database would be taken for its own.
fn set_aside(database: &Path) -> Result<Option<PathBuf>, BackupError> {
    if !database.exists() {
        return Ok(None);
    }
    let free = |n: &u32| !beside(database, &format!(".before-{n}")).exists();
    let n = (1..).find(free).unwrap_or(u32::MAX);
    let old = beside(database, &format!(".before-{n}"));
    for suffix in ["-wal", "-shm", ""] {
        let (now, then) = (beside(database, suffix), beside(&old, suffix));
        match fs::rename(&now, &then) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(file(&now)(error)),
            _ => {}
        }
    }
    Ok(Some(old))
}
