//! What is kept: one writer with group commit, a few readers, and the state at start.
//!
//! One thread runs the writer and the readers as tasks; what the database does, it does on threads of
//! its own. Nothing here blocks its caller but [`open`] and [`Store::close`]. A database is a
//! [`Backend`] (how it is opened), a [`Writer`] and a [`Source`](reader::Source): an enum each, with
//! one variant for every database that there is.

mod backup;
#[cfg(test)]
mod bed;
mod expiry;
mod export;
#[cfg(test)]
mod loss;
mod postgres;
mod reader;
mod refold;
mod sqlite;
mod state;
#[cfg(test)]
mod suite;
mod writer;

use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ircv3::Casemapping;
use thiserror::Error;
use tokio::sync::{Mutex, mpsc, watch};
use tokio::time::timeout;

use crate::limits::{SEARCH_WAIT_MS, WAITING_BYTES, WAITING_RECORDS};
use crate::server::event::{CallId, Event, Returned};
use crate::server::history::{leave_to_next, render, render_page};
use crate::server::record::{ConversationId, Expiry, HistoryQuery, Record, SearchQuery, Seq, Snapshot};
use crate::store::expiry::Expiries;
use crate::store::reader::{Side, Source};
use crate::store::refold::refold;
use crate::store::writer::{GroupCommit, Lag, Progress, Traces};

pub use self::backup::{BackupError, backup, restore};
pub use self::export::{ExportError, VERSION as EXPORT_VERSION, export, export_to};

/// Connections that read: enough that a long answer does not hold up the short ones.
const READERS: usize = 4;
/// Connections that search: they are others, so that no search holds up history.
const SEARCHERS: usize = 2;
/// How long a read waits for what was said before it, at most.
const READ_PATIENCE: Duration = Duration::from_secs(5);

/// How long a search waits for others.
const SEARCH_WAIT: Duration = Duration::from_millis(SEARCH_WAIT_MS);

/// What a commit means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sync {
    /// It survives a power cut.
    #[default]
    Full,
    /// It survives the death of the process.
    Normal,
}

/// Which store, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// `sqlite:` and the path of a file, or a path alone: directories are made. Or `postgres://` and so on,
    /// as libpq has it: the database must be there.
    pub url: String,
    /// What a commit means.
    pub sync: Sync,
    /// When two names are the same: a database that was written under another casemapping is filed anew.
    pub casemapping: Casemapping,
    /// How many messages the index of words may be behind while more come than there is time for.
    pub index_lag: usize,
}

/// Where the store says what happened. Calling it never blocks.
pub type Deliver = Arc<dyn Fn(Event) + Send + std::marker::Sync>;

/// Why the store cannot be used.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The URL is for a database that this version does not have.
    #[error(
        "store.url is {url:?}, which is no store: give \"sqlite:\" and a path, such as sqlite:data/roost.db, or \
         \"postgres://\" and user, host and database, such as postgres://roost@localhost/roost"
    )]
    Url {
        /// As it was given.
        url: String,
    },
    /// The URL is for PostgreSQL, but cannot be read. It may have a password in it, so it is not quoted.
    #[error("store.url is not understood: {reason}; it has to be as postgres://user:password@host:5432/database")]
    Postgres {
        /// Why.
        reason: String,
    },
    /// Another server has the database, or keeps the lock of one for a moment longer.
    #[error("{database} is in use by another Roost: stop that one first, or give this one another store.url")]
    Taken {
        /// The database.
        database: Box<str>,
    },
    /// While the connection was lost, another server has had the database.
    #[error("another Roost has used {database} while this one had no connection to it: stop this one")]
    Overtaken {
        /// The database.
        database: Box<str>,
    },
    /// The database cannot hold every text.
    #[error(
        "{database} has the encoding {encoding}, and Roost needs UTF8: make it by CREATE DATABASE ... \
        ENCODING 'UTF8' TEMPLATE template0"
    )]
    Encoding {
        /// The database.
        database: Box<str>,
        /// What it has.
        encoding: Box<str>,
    },
    /// Another server has the database.
    #[error("{} is in use by another Roost (it holds {}): stop that one first, or give this one another store.url or data",
        path.display(), lock.display())]
    InUse {
        /// The database.
        path: PathBuf,
        /// The file that is locked.
        lock: PathBuf,
    },
    /// A directory or the lock file cannot be made.
    #[error("cannot make {}, which the store needs: {source}", path.display())]
    Prepare {
        /// What could not be made.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The database cannot be opened or read.
    #[error("cannot open the database {database}: {source}")]
    Open {
        /// The database.
        database: Box<str>,
        /// Why.
        source: sqlx::Error,
    },
    /// The file is no database, or a damaged one.
    #[error("the database {} is damaged or is none: {source}; nothing was written to it. `roost restore FILE` puts a \
        backup in its place", path.display())]
    Damaged {
        /// The database.
        path: PathBuf,
        /// Why.
        source: sqlx::Error,
    },
    /// Its schema cannot be brought up to date; it may be that of a newer version.
    #[error("cannot bring the database {database} up to date (was it made by a newer Roost?): {source}")]
    Migrate {
        /// The database.
        database: Box<str>,
        /// Why.
        source: sqlx::migrate::MigrateError,
    },
    /// Names that are two under the casemapping that the database was written with would be one.
    #[error(
        "{database} was written with server.casemapping = \"{was}\", and with \"{asked}\" these would be one: {names}. \
        Nothing was changed. Give back server.casemapping = \"{was}\", or start with that and drop one of each first"
    )]
    Casemapping {
        /// The database.
        database: Box<str>,
        /// As it was written.
        was: &'static str,
        /// As it was asked for.
        asked: &'static str,
        /// Which names.
        names: Box<str>,
    },
    /// A write failed.
    #[error("cannot write to the database {database}: {source}")]
    Write {
        /// The database.
        database: Box<str>,
        /// Why.
        source: sqlx::Error,
    },
    /// The store was closed while it could not write.
    #[error("{records} records were not kept: {reason}")]
    Unwritten {
        /// How many.
        records: usize,
        /// What the last attempt met.
        reason: Box<str>,
    },
    /// The thread cannot be started, or has ended by a fault.
    #[error("the store's thread: {0}")]
    Thread(io::Error),
}

/// The store, running. Dropping it lets it finish what waits without being waited for.
pub struct Store {
    records: mpsc::UnboundedSender<Vec<(Seq, Record)>>,
    reads: mpsc::UnboundedSender<Read>,
    searches: mpsc::UnboundedSender<Read>,
    expiries: mpsc::UnboundedSender<Expiry>,
    appended: AtomicU64,
    written: Arc<AtomicU64>,
    /// Bytes of records that are not on disk yet.
    bytes: Arc<AtomicUsize>,
    thread: JoinHandle<Result<(), StoreError>>,
    #[cfg(test)]
    progress: watch::Receiver<Progress>,
}

/// A question, and how many records must be on disk before it is looked up.
struct Read {
    id: CallId,
    question: Question,
    after: u64,
    asked: Instant,
}

enum Question {
    Page(Box<HistoryQuery>),
    Search(Box<SearchQuery>),
    Message(ConversationId, Seq),
}

/// Opens the database, or makes one, and starts the thread `store`. This start is counted durably and
/// the state read when it returns; events come from then on.
///
/// Fails where another server has the database, and where it cannot be opened, read or brought up to date.
pub fn open(options: Options, deliver: Deliver) -> Result<(Store, Snapshot), StoreError> {
    let (records, inbox) = mpsc::unbounded_channel();
    let (reads, questions) = mpsc::unbounded_channel();
    let (searches, looked_for) = mpsc::unbounded_channel();
    let (expiries, overdue) = mpsc::unbounded_channel();
    let written = Arc::new(AtomicU64::new(0));
    let (opened, opening) = std::sync::mpsc::sync_channel(1);
    let counter = written.clone();
    let bytes = Arc::new(AtomicUsize::new(0));
    let less = bytes.clone();
    let (progress, watched) = watch::channel(Progress { traces: true, ..Progress::default() });
    #[cfg(test)]
    let seen = watched.clone();
    let run = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(StoreError::Thread)?;
        runtime.block_on(async {
            let started = async {
                let (backend, lock) = Backend::claim(&options)?;
                let (mut writer, mut snapshot) = backend.open().await?;
                let was = snapshot.casemapping.token();
                let records = refold(&mut snapshot, options.casemapping).map_err(|names| StoreError::Casemapping {
                    database: backend.name(),
                    was,
                    asked: options.casemapping.token(),
                    names,
                })?;
                if !records.is_empty() {
                    writer.write(&records).await.map_err(|source| backend.failed(source))?;
                }
                Ok((backend, lock, writer, snapshot))
            };
            let (backend, _lock, writer, snapshot) = match started.await {
                Ok(started) => started,
                Err(error) => {
                    let _ = opened.send(Err(error));
                    return Ok(());
                }
            };
            let _ = opened.send(Ok(snapshot));
            let answer = |questions: &Arc<Mutex<mpsc::UnboundedReceiver<Read>>>| Answer {
                backend: backend.clone(),
                questions: questions.clone(),
                watched: watched.clone(),
                deliver: deliver.clone(),
            };
            let mut readers = Vec::new();
            for (questions, count) in [(questions, READERS), (looked_for, SEARCHERS)] {
                let questions = Arc::new(Mutex::new(questions));
                readers.extend((0..count).map(|_| tokio::spawn(answer(&questions).run())));
            }
            let commit = GroupCommit {
                backend: backend.clone(),
                inbox,
                deliver: deliver.clone(),
                progress,
                written: counter,
                bytes: less,
                lag: Lag::default(),
                overdue,
                expiries: Expiries::default(),
                traces: Traces::default(),
                index_lag: options.index_lag,
            };
            let outcome = commit.run(writer).await;
            for reader in readers {
                let _ = reader.await;
            }
            // The last connection to go empties the log into the database; what is written is safe without.
            if let Some(writer) = outcome? {
                let _ = writer.close().await;
            }
            Ok(())
        })
    };
    let thread = thread::Builder::new().name("store".to_owned()).spawn(run).map_err(StoreError::Thread)?;
    match opening.recv() {
        Ok(Ok(snapshot)) => Ok((
            Store {
                records,
                reads,
                searches,
                expiries,
                appended: AtomicU64::new(0),
                written,
                bytes,
                thread,
                #[cfg(test)]
                progress: seen,
            },
            snapshot,
        )),
        Ok(Err(error)) => Err(error),
        Err(_) => match thread.join() {
            Ok(Err(error)) => Err(error),
            _ => Err(StoreError::Thread(io::Error::other("it ended while the database was opened"))),
        },
    }
}

/// Has `change` say what is to be written, where no server has the database, and writes it in one transaction. With
/// `dry_run` nothing of that is written, and no database is made.
///
/// # Errors
/// The database is another's, or cannot be opened, read or written; then nothing has changed.
pub fn amend(
    options: &Options,
    dry_run: bool,
    change: &mut dyn FnMut(&Snapshot) -> Vec<(Seq, Record)>,
) -> Result<(), StoreError> {
    if dry_run && !is_postgres(&options.url) && !sqlite_path(&options.url)?.exists() {
        change(&Snapshot { casemapping: options.casemapping, ..Snapshot::default() });
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(StoreError::Thread)?;
    runtime.block_on(async {
        let (backend, _lock) = Backend::claim(options)?;
        let (mut writer, mut snapshot) = backend.open().await?;
        let was = snapshot.casemapping.token();
        let mut records = refold(&mut snapshot, options.casemapping).map_err(|names| StoreError::Casemapping {
            database: backend.name(),
            was,
            asked: options.casemapping.token(),
            names,
        })?;
        records.extend(change(&snapshot));
        let written = if dry_run || records.is_empty() {
            Ok(())
        } else {
            writer.write_patiently(&records).await.map_err(|source| backend.failed(source))
        };
        let _ = writer.close().await;
        written
    })
}

/// About how much memory records take.
fn bytes_of(records: &[(Seq, Record)]) -> usize {
    records.iter().map(|(_, record)| record.bytes()).sum()
}

impl Store {
    /// Hands over records, in the order of their numbers. Never blocks. When they are on disk,
    /// `Event::Committed` comes with the highest number that is.
    pub fn append(&self, records: Vec<(Seq, Record)>) {
        self.appended.fetch_add(records.len() as u64, Ordering::Relaxed);
        self.bytes.fetch_add(bytes_of(&records), Ordering::Relaxed);
        // A thread that has ended by a fault leaves nobody to tell; `waiting` then only grows.
        let _ = self.records.send(records);
    }

    /// Records that are not on disk yet.
    pub fn waiting(&self) -> usize {
        let appended = self.appended.load(Ordering::Relaxed);
        appended.saturating_sub(self.written.load(Ordering::Acquire)) as usize
    }

    /// Whether more waits for the disk than memory is meant for.
    pub fn is_full(&self) -> bool {
        self.waiting() > WAITING_RECORDS || self.bytes.load(Ordering::Relaxed) > WAITING_BYTES
    }

    /// Looks up history, and comes back with `Returned::History` or `Returned::Failed`. Everything that
    /// was appended before is in the answer, unless the store cannot write: then it is what is on disk.
    pub fn history(&self, id: CallId, query: HistoryQuery) {
        self.ask(id, Question::Page(Box::new(query)));
    }

    /// Looks up one message of a conversation, and comes back with `Returned::Found` or
    /// `Returned::Failed`; waits as [`Store::history`] does.
    pub fn find(&self, id: CallId, conversation: ConversationId, seq: Seq) {
        self.ask(id, Question::Message(conversation, seq));
    }

    /// Looks for words, and comes back with `Returned::History`, `Returned::TookTooLong` or
    /// `Returned::Failed`; waits as [`Store::history`] does, and then behind other searches alone.
    pub fn search(&self, id: CallId, query: SearchQuery) {
        self.ask(id, Question::Search(Box::new(query)));
    }

    /// Deletes what is past its time, when nothing is to be written, and comes back with `Event::Expired`. What
    /// was not done when the server ends has to be asked for again.
    pub fn expire(&self, what: Expiry) {
        let _ = self.expiries.send(what);
    }

    fn ask(&self, id: CallId, question: Question) {
        let queue = if matches!(question, Question::Search(_)) { &self.searches } else { &self.reads };
        let after = self.appended.load(Ordering::Relaxed);
        let _ = queue.send(Read { id, question, after, asked: Instant::now() });
    }

    /// Writes what waits and ends; returns when all is on disk. A store that fails is tried for a
    /// while, then its records are given up.
    pub fn close(self) -> Result<(), StoreError> {
        let Store { records, reads, searches, expiries, thread, .. } = self;
        drop((records, reads, searches, expiries));
        thread.join().unwrap_or_else(|_| Err(StoreError::Thread(io::Error::other("it has panicked"))))
    }
}

/// What a store is called in messages to people: its URL, but without a password.
///
/// # Errors
/// Where the URL is none of a store.
pub fn name(url: &str) -> Result<String, StoreError> {
    Ok(if is_postgres(url) {
        postgres::Database::parse(url, Sync::Full)?.name().to_owned()
    } else {
        sqlite_path(url)?;
        url.to_owned()
    })
}

/// A database: where it is and how it is opened.
#[derive(Clone)]
pub(crate) enum Backend {
    /// A file.
    Sqlite(sqlite::Database),
    /// A server.
    Postgres(Box<postgres::Database>),
}

/// A connection that writes.
pub(crate) enum Writer {
    /// SQLite.
    Sqlite(sqlite::Writer),
    /// PostgreSQL.
    Postgres(postgres::Writer),
}

impl Backend {
    /// The database of a URL; that of a file is for this process alone as long as its lock is held.
    fn claim(options: &Options) -> Result<(Backend, Option<File>), StoreError> {
        if is_postgres(&options.url) {
            let database = postgres::Database::parse(&options.url, options.sync)?;
            return Ok((Backend::Postgres(Box::new(database)), None));
        }
        let path = sqlite_path(&options.url)?;
        let lock = lock(&path)?;
        Ok((Backend::Sqlite(sqlite::Database::new(path, options.sync)), Some(lock)))
    }

    async fn open(&self) -> Result<(Writer, Snapshot), StoreError> {
        match self {
            Backend::Sqlite(database) => {
                let (writer, snapshot) = database.open().await?;
                Ok((Writer::Sqlite(writer), snapshot))
            }
            Backend::Postgres(database) => {
                let (writer, snapshot) = database.open().await?;
                Ok((Writer::Postgres(writer), snapshot))
            }
        }
    }

    async fn reconnect(&self) -> Result<Writer, StoreError> {
        match self {
            Backend::Sqlite(database) => {
                database.reconnect().await.map(Writer::Sqlite).map_err(|source| self.failed(source))
            }
            Backend::Postgres(database) => database.reconnect().await.map(Writer::Postgres),
        }
    }

    async fn source(&self) -> Result<Source, sqlx::Error> {
        match self {
            Backend::Sqlite(database) => Ok(Source::Sqlite(database.source().await?)),
            Backend::Postgres(database) => Ok(Source::Postgres(database.source().await?)),
        }
    }

    async fn searcher(&self) -> Result<Source, sqlx::Error> {
        match self {
            Backend::Sqlite(database) => Ok(Source::Sqlite(database.source().await?)),
            Backend::Postgres(database) => Ok(Source::Postgres(database.searcher().await?)),
        }
    }

    /// Whether a search took longer than it may.
    fn is_interrupted(&self, error: &sqlx::Error) -> bool {
        match self {
            Backend::Sqlite(_) => sqlite::is_interrupted(error),
            Backend::Postgres(_) => postgres::is_interrupted(error),
        }
    }

    /// Whether it was the connection that failed, so that a new one may do.
    fn is_lost(&self, error: &sqlx::Error) -> bool {
        match self {
            Backend::Sqlite(_) => false,
            Backend::Postgres(_) => postgres::is_lost(error),
        }
    }

    /// Whether another program holds the database, which passes.
    fn is_held(&self, error: &StoreError) -> bool {
        match (self, error) {
            (_, StoreError::Taken { .. }) => true,
            (Backend::Sqlite(_), StoreError::Write { source, .. }) => sqlite::is_held(source),
            (Backend::Postgres(_), StoreError::Write { source, .. }) => postgres::is_held(source),
            _ => false,
        }
    }

    /// The error of a write.
    fn failed(&self, source: sqlx::Error) -> StoreError {
        StoreError::Write { database: self.name(), source }
    }

    fn name(&self) -> Box<str> {
        match self {
            Backend::Sqlite(database) => database.name(),
            Backend::Postgres(database) => database.name().into(),
        }
    }
}

impl Writer {
    async fn write(&mut self, batch: &[(Seq, Record)]) -> Result<(), sqlx::Error> {
        match self {
            Writer::Sqlite(writer) => writer.write(batch).await,
            Writer::Postgres(writer) => writer.write(batch).await,
        }
    }

    /// As [`Writer::write`], where nobody waits and there may be much.
    async fn write_patiently(&mut self, batch: &[(Seq, Record)]) -> Result<(), sqlx::Error> {
        match self {
            Writer::Sqlite(writer) => writer.write(batch).await,
            Writer::Postgres(writer) => writer.write_patiently(batch).await,
        }
    }

    async fn index(&mut self, side: Side) -> Result<usize, sqlx::Error> {
        match self {
            Writer::Sqlite(writer) => writer.index(side).await,
            Writer::Postgres(writer) => writer.index(side).await,
        }
    }

    /// The moment of the `nth` newest row of a class before a moment.
    async fn nth_newest(
        &mut self,
        conversation: ConversationId,
        class: u8,
        before: i64,
        nth: u32,
    ) -> Result<Option<i64>, sqlx::Error> {
        match self {
            Writer::Sqlite(writer) => writer.nth_newest(conversation, class, before, nth).await,
            Writer::Postgres(writer) => writer.nth_newest(conversation, class, before, nth).await,
        }
    }

    /// Deletes the oldest rows of a class before a moment; how many, and whether there may be more.
    async fn expire(
        &mut self,
        conversation: ConversationId,
        class: u8,
        before: i64,
        limit: usize,
        epoch: u32,
    ) -> Result<(u64, bool), sqlx::Error> {
        match self {
            Writer::Sqlite(writer) => writer.expire(conversation, class, before, limit, epoch).await,
            Writer::Postgres(writer) => writer.expire(conversation, class, before, limit, epoch).await,
        }
    }

    /// Makes what was deleted unreadable in the database's files; whether that is done, or to be tried again.
    async fn scrub(&mut self) -> Result<bool, sqlx::Error> {
        match self {
            Writer::Sqlite(writer) => writer.scrub().await,
            // Its files are its own to keep.
            Writer::Postgres(_) => Ok(true),
        }
    }

    async fn close(self) -> Result<(), sqlx::Error> {
        match self {
            Writer::Sqlite(writer) => writer.close().await,
            Writer::Postgres(writer) => writer.close().await,
        }
    }
}

fn is_postgres(url: &str) -> bool {
    url.starts_with("postgres:") || url.starts_with("postgresql:")
}

/// The file of a database by its URL.
fn sqlite_path(url: &str) -> Result<PathBuf, StoreError> {
    let path = match url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:")) {
        Some(path) => path,
        None if !url.contains("://") => url,
        None => return Err(StoreError::Url { url: url.to_owned() }),
    };
    if path.is_empty() || path.starts_with(":memory:") || path.contains(['?', '\0']) {
        return Err(StoreError::Url { url: url.to_owned() });
    }
    // As in every URL of sqlx: these two stand for what would end the path, or begin such a code.
    Ok(PathBuf::from(path.replace("%3F", "?").replace("%25", "%")))
}

/// Makes a directory that only its owner may look into, where there is none.
pub fn make_private(directory: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

/// Locks a file beside the database, whose lock ends with the process.
fn lock(path: &Path) -> Result<File, StoreError> {
    let prepare = |path: &Path, source| StoreError::Prepare { path: path.to_owned(), source };
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        make_private(directory).map_err(|source| prepare(directory, source))?;
    }
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let lock = PathBuf::from(name);
    let file =
        File::options().create(true).append(true).mode(0o600).open(&lock).map_err(|source| prepare(&lock, source))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse { path: path.to_owned(), lock }),
        Err(TryLockError::Error(source)) => Err(prepare(&lock, source)),
    }
}

/// One of the readers.
struct Answer {
    backend: Backend,
    questions: Arc<Mutex<mpsc::UnboundedReceiver<Read>>>,
    watched: watch::Receiver<Progress>,
    deliver: Deliver,
}

impl Answer {
    async fn run(mut self) {
        let mut source = None;
        loop {
            let read = self.questions.lock().await.recv().await;
            let Some(read) = read else { break };
            if matches!(read.question, Question::Search(_)) && read.asked.elapsed() > SEARCH_WAIT {
                (self.deliver)(Event::Returned(read.id, Returned::Failed("too many searches".into())));
                continue;
            }
            let written = self.watched.wait_for(|progress| progress.failing || progress.written >= read.after);
            let _ = timeout(READ_PATIENCE, written).await;
            let returned = match self.look_up(&mut source, &read.question).await {
                Ok(returned) => returned,
                Err(error) => {
                    source = None;
                    Returned::Failed(format!("history cannot be read: {error}").into())
                }
            };
            (self.deliver)(Event::Returned(read.id, returned));
        }
        if let Some(source) = source {
            let _ = source.close().await;
        }
    }

    /// Looks up, and once more where a connection that has served before turns out to be gone.
    async fn look_up(&self, source: &mut Option<Source>, question: &Question) -> Result<Returned, sqlx::Error> {
        let had_one = source.is_some();
        match self.attempt(source, question).await {
            Err(error) if had_one && self.backend.is_lost(&error) => {
                *source = None;
                self.attempt(source, question).await
            }
            outcome => outcome,
        }
    }

    async fn attempt(&self, source: &mut Option<Source>, question: &Question) -> Result<Returned, sqlx::Error> {
        let source = match source {
            Some(source) => source,
            None if matches!(question, Question::Search(_)) => source.insert(self.backend.searcher().await?),
            None => source.insert(self.backend.source().await?),
        };
        Ok(match question {
            Question::Search(query) => match source.find(query).await {
                Ok(rows) => Returned::History(render(&query.reader, &rows, false)),
                Err(error) if self.backend.is_interrupted(&error) => Returned::TookTooLong,
                Err(error) => return Err(error),
            },
            Question::Page(query) => {
                let (rows, reached_end) = source.rows(query).await?;
                let mut context = source.context(query, &rows).await?;
                leave_to_next(query, &rows, reached_end, &mut context);
                Returned::History(render_page(&query.reader, &rows, &context, reached_end))
            }
            Question::Message(conversation, seq) => {
                Returned::Found(source.message(*conversation, *seq).await?.map(Box::new))
            }
        })
    }
}
