//! The store's statements in PostgreSQL: a batch is one statement for each kind of row, over arrays.
//!
//! One connection writes and holds the advisory lock that makes this server the only one on the
//! database; others read. A lost connection is made again, and a commit whose outcome nobody saw is
//! done again: every statement is such that doing it twice is as doing it once.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::str::FromStr;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use ircv3::Casemapping;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::postgres::{PgArguments, PgConnectOptions, PgConnection, PgRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Error, Postgres, Row, SqlSafeStr};
use tokio::time::timeout;

use crate::limits::{INDEX_STEP, SEARCH_MS};
use crate::server::owed;
use crate::server::record::{
    AccessRow, AccountId, AccountRow, BanRow, ChannelRow, CodeRow, ConversationId, ConversationRow, Credentials,
    GroupedRow, Kind, ListRow, MessageRow, MsgId, PresenceRow, PurgeRow, Purpose, Record, SearchQuery, SeenRow, Seq,
    Snapshot, SubscriptionRow, SuspensionRow, Wanted,
};
use crate::server::search::{self, terms, terms_of};
use crate::server::session::LoginBy;
use crate::store::reader::{
    Direction, EVENTS_LOOKED_AT, Indexed, Side, Span, WANTED, WANTS, classes, place_of, unwanted,
};
use crate::store::state::{self, Columns};
use crate::store::{StoreError, Sync};

/// How long a connection may take to come about.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);
/// How long one batch or one question may take; after that the connection counts as lost.
const STATEMENT_PATIENCE: Duration = Duration::from_secs(15);
/// How long a batch may take that deletes all that an account said: for that, every message is looked at.
const ERASURE_PATIENCE: Duration = Duration::from_secs(1800);
/// How long a connection may take to end in good order.
const CLOSE_PATIENCE: Duration = Duration::from_secs(1);
/// The first half of the advisory lock's key: "roos" in ASCII. The second is of the schema.
const LOCK: i32 = 0x726f_6f73;

/// What every connection sets. Each of the store's questions is a walk over an index, which the planner
/// would find by itself had it fresh statistics; it is not left to that. A lock that another program
/// holds is waited for no longer than SQLite's.
const SETTINGS: &str = "SET client_min_messages = warning; SET lock_timeout = '500ms'; SET jit = off; \
    SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET enable_bitmapscan = off; \
    SET enable_sort = off;";

/// What the writer sets beside: should its host vanish, PostgreSQL notices within half a minute, and
/// the next server need not wait for hours until the lock is free.
const WRITER_SETTINGS: &str = "SET tcp_keepalives_idle = 15; SET tcp_keepalives_interval = 5; \
    SET tcp_keepalives_count = 3; SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0;";

/// Migrations, oldest first. One that was released is never changed.
const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "first", include_str!("migrations/postgres/0001_first.sql")),
    (2, "mail", include_str!("migrations/postgres/0002_mail.sql")),
    (3, "services", include_str!("migrations/postgres/0003_services.sql")),
    (4, "casemapping", include_str!("migrations/postgres/0004_casemapping.sql")),
    (5, "words", include_str!("migrations/postgres/0005_words.sql")),
    (6, "grouped", include_str!("migrations/postgres/0006_grouped.sql")),
    (7, "webpush", include_str!("migrations/postgres/0007_webpush.sql")),
    (8, "keeping", include_str!("migrations/postgres/0008_keeping.sql")),
    (9, "about", include_str!("migrations/postgres/0009_about.sql")),
    (10, "held", include_str!("migrations/postgres/0010_held.sql")),
    (11, "closed", include_str!("migrations/postgres/0011_closed.sql")),
    (12, "owed", include_str!("migrations/postgres/0012_owed.sql")),
    (13, "login", include_str!("migrations/postgres/0013_login.sql")),
];

/// Where the database is and how it is opened.
#[derive(Clone)]
pub struct Database {
    options: PgConnectOptions,
    name: Box<str>,
    sync: Sync,
    /// The connection that writes, or was the last to.
    session: Arc<Mutex<Option<Session>>>,
}

/// A connection that holds, or held, the lock; and which start of which database it writes for.
#[derive(Clone)]
struct Session {
    pid: i32,
    started: Box<str>,
    epoch: i64,
    boot: i64,
}

impl Database {
    /// The database of a URL that begins with `postgres:` or `postgresql:`.
    ///
    /// # Errors
    /// What is wrong with the URL, which may have a password in it and is therefore not quoted.
    pub fn parse(url: &str, sync: Sync) -> Result<Database, StoreError> {
        let parsed = PgConnectOptions::from_str(url).map_err(|error| StoreError::Postgres {
            reason: match error {
                Error::Configuration(reason) => reason.to_string(),
                error => error.to_string(),
            },
        })?;
        let mut options = parsed.disable_statement_logging();
        if options.get_application_name().is_none() {
            options = options.application_name("roost");
        }
        let socket = options.get_socket().map(|path| path.display().to_string());
        let host = socket.as_deref().unwrap_or(options.get_host());
        let (user, port) = (options.get_username(), options.get_port());
        let name = format!("postgres://{user}@{host}:{port}/{}", options.get_database().unwrap_or(user)).into();
        Ok(Database { options, name, sync, session: Arc::default() })
    }

    /// User, host, port and database, for messages to people: no password.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Opens the database, makes or updates its schema, counts this start, and reads the state. The
    /// count is on disk when this returns.
    pub async fn open(&self) -> Result<(Writer, Snapshot), StoreError> {
        let failed = |source| StoreError::Open { database: self.name.clone(), source };
        let mut connection = self.connect(WRITER_SETTINGS).await.map_err(failed)?;
        let encoding = sqlx::query_scalar("SHOW server_encoding").fetch_one(&mut connection);
        let encoding: String = encoding.await.map_err(failed)?;
        if encoding != "UTF8" {
            return Err(StoreError::Encoding { database: self.name.clone(), encoding: encoding.into() });
        }
        self.lock(&mut connection).await?;
        let migrations = MIGRATIONS.iter().map(|(version, name, sql)| {
            Migration::new(*version, (*name).into(), MigrationType::Simple, sql.into_sql_str(), false)
        });
        let mut migrator = Migrator::with_migrations(migrations.collect());
        // The lock is held already.
        migrator.set_locking(false);
        let migrated = migrator.run(&mut connection).await;
        migrated.map_err(|source| StoreError::Migrate { database: self.name.clone(), source })?;
        // What cannot be read stays as it is: the start counts only where all is there.
        let mut transaction = connection.begin().await.map_err(failed)?;
        let snapshot = load(&mut transaction).await.map_err(failed)?;
        renew_index(&mut transaction).await.map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        let (epoch, boot) = (snapshot.epoch.into(), snapshot.boot.into());
        self.note_session(&mut connection, epoch, boot).await.map_err(failed)?;
        Ok((Writer { connection }, snapshot))
    }

    /// A new connection that writes, after one has failed.
    pub async fn reconnect(&self) -> Result<Writer, StoreError> {
        let failed = |source| StoreError::Write { database: self.name.clone(), source };
        let last = self.session.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut connection = self.connect(WRITER_SETTINGS).await.map_err(failed)?;
        if let Some(last) = &last {
            // Where the network failed, PostgreSQL may not know yet, and would keep the lock for it.
            let ended = sqlx::query(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                 WHERE pid = $1 AND extract(epoch FROM backend_start)::text = $2",
            );
            let ended = ended.bind(last.pid).bind(&*last.started);
            within(ended.execute(&mut connection)).await.map_err(failed)?;
        }
        self.lock(&mut connection).await?;
        if let Some(Session { epoch, boot, .. }) = last {
            let now = sqlx::query_as("SELECT epoch, boot FROM meta").fetch_one(&mut connection);
            let now: (i64, i64) = within(now).await.map_err(failed)?;
            if now != (epoch, boot) {
                return Err(StoreError::Overtaken { database: self.name.clone() });
            }
            self.note_session(&mut connection, epoch, boot).await.map_err(failed)?;
        }
        Ok(Writer { connection })
    }

    /// A connection that reads all of what there is of somebody.
    pub async fn exporter(&self) -> Result<PgConnection, Error> {
        self.connect("SET default_transaction_read_only = on; SET enable_seqscan = on; SET enable_sort = on;").await
    }

    /// A connection that reads.
    pub async fn source(&self) -> Result<Source, Error> {
        self.source_with("").await
    }

    /// A connection that searches: its statements end when they take too long. Words are found by a bitmap of
    /// rows, which is sorted then.
    pub async fn searcher(&self) -> Result<Source, Error> {
        let settings =
            format!("SET statement_timeout = {SEARCH_MS}; SET enable_bitmapscan = on; SET enable_sort = on;");
        self.source_with(&settings).await
    }

    async fn source_with(&self, settings: &str) -> Result<Source, Error> {
        let connection = self.connect(&format!("SET default_transaction_read_only = on; {settings}")).await?;
        Ok(Source { connection, scans: WANTED.map(scans), searches: WANTED.map(search) })
    }

    async fn connect(&self, settings: &str) -> Result<PgConnection, Error> {
        let connected = async {
            let mut connection = self.options.connect().await?;
            // A commit is on PostgreSQL's disk whatever `store.sync` says: were what it has committed
            // gone after a crash of its own, the server would go on with what the database lacks.
            let (weak, enough) = match self.sync {
                Sync::Full => ("'off', 'local'", "on"),
                Sync::Normal => ("'off', 'on', 'remote_write', 'remote_apply'", "local"),
            };
            let commit = format!(
                "SELECT set_config('synchronous_commit', '{enough}', false) \
                 WHERE current_setting('synchronous_commit') IN ({weak});"
            );
            let sql = format!("{SETTINGS} {settings} {commit}");
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await?;
            Ok(connection)
        };
        timeout(CONNECT_PATIENCE, connected).await.unwrap_or_else(|_| Err(too_long()))
    }

    /// Takes the lock that only one server has, which ends with the connection.
    async fn lock(&self, connection: &mut PgConnection) -> Result<(), StoreError> {
        // A server that was killed a moment ago may still have it: it is waited for a little.
        let lock = sqlx::query("SELECT pg_advisory_lock($1, hashtext(coalesce(current_schema(), '')))").bind(LOCK);
        match within(lock.execute(connection)).await {
            Ok(_) => Ok(()),
            Err(error) if is_held(&error) => Err(StoreError::Taken { database: self.name.clone() }),
            Err(source) => Err(StoreError::Open { database: self.name.clone(), source }),
        }
    }

    async fn note_session(&self, connection: &mut PgConnection, epoch: i64, boot: i64) -> Result<(), Error> {
        let session = sqlx::query_as(
            "SELECT pid, extract(epoch FROM backend_start)::text FROM pg_stat_activity WHERE pid = pg_backend_pid()",
        );
        let (pid, started): (i32, Box<str>) = within(session.fetch_one(connection)).await?;
        let session = Some(Session { pid, started, epoch, boot });
        *self.session.lock().unwrap_or_else(PoisonError::into_inner) = session;
        Ok(())
    }
}

/// Whether another program holds what is needed, which passes.
pub fn is_held(error: &Error) -> bool {
    // lock_not_available (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
    error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == "55P03")
}

/// Whether it took longer than it may.
pub fn is_interrupted(error: &Error) -> bool {
    // query_canceled
    error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == "57014")
}

/// Whether it was the connection that failed, so that a new one may do.
pub fn is_lost(error: &Error) -> bool {
    match error {
        Error::Io(_) | Error::Tls(_) | Error::Protocol(_) => true,
        // Class 08 and 57P: the connection, and the end of the server or of this session.
        error => error
            .as_database_error()
            .and_then(|error| error.code())
            .is_some_and(|code| code.starts_with("08") || code.starts_with("57P")),
    }
}

fn too_long() -> Error {
    Error::Io(io::Error::new(io::ErrorKind::TimedOut, "it does not answer"))
}

/// What a connection answers, unless it takes so long that it counts as lost.
async fn within<T>(answer: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    timeout(STATEMENT_PATIENCE, answer).await.unwrap_or_else(|_| Err(too_long()))
}

async fn close(connection: PgConnection) -> Result<(), Error> {
    timeout(CLOSE_PATIENCE, connection.close()).await.unwrap_or(Ok(()))
}

/// The connection that writes.
pub struct Writer {
    connection: PgConnection,
}

impl Writer {
    /// Writes a batch in one transaction. Doing it twice is as doing it once. After an error the
    /// writer is of no more use.
    pub async fn write(&mut self, batch: &[(Seq, Record)]) -> Result<(), Error> {
        let erases = batch.iter().any(|(_, record)| matches!(record, Record::Erased { .. }));
        self.write_within(batch, if erases { ERASURE_PATIENCE } else { STATEMENT_PATIENCE }).await
    }

    /// As [`Writer::write`], where nobody waits and there may be much.
    pub async fn write_patiently(&mut self, batch: &[(Seq, Record)]) -> Result<(), Error> {
        self.write_within(batch, ERASURE_PATIENCE).await
    }

    async fn write_within(&mut self, batch: &[(Seq, Record)], patience: Duration) -> Result<(), Error> {
        let mut statements = Batch::new(batch).statements();
        let written = async {
            // One statement is a transaction by itself.
            if statements.len() == 1
                && let Some(statement) = statements.pop()
            {
                statement.execute(&mut self.connection).await?;
                return Ok(());
            }
            let mut transaction = self.connection.begin().await?;
            for statement in statements {
                statement.execute(&mut *transaction).await?;
            }
            transaction.commit().await
        };
        timeout(patience, written).await.unwrap_or_else(|_| Err(too_long()))
    }

    /// Puts the words of the next messages that lack it into the index; how many rows were looked at.
    pub async fn index(&mut self, side: Side) -> Result<usize, Error> {
        let indexed = indexed(&mut self.connection).await?;
        let (mark, next) = match side {
            Side::Newer => (indexed.high, "seq > $1 ORDER BY seq"),
            Side::Older => (indexed.low, "seq < $1 ORDER BY seq DESC"),
        };
        let rows = sqlx::query(AssertSqlSafe(format!("SELECT {COLUMNS} FROM message WHERE {next} LIMIT $2")))
            .bind(mark as i64)
            .bind(INDEX_STEP as i64)
            .try_map(|row| message(&row))
            .fetch_all(&mut self.connection);
        let rows = within(rows).await?;
        let numbers = rows.iter().map(|(seq, _)| *seq as i64);
        let (Some(first), Some(last)) = (numbers.clone().min(), numbers.max()) else { return Ok(0) };
        let (mut seqs, mut times, mut words) = (Vec::new(), Vec::new(), Vec::new());
        for (seq, row) in rows.iter().filter(|(_, row)| row.kind.is_text()) {
            seqs.push(*seq as i64);
            times.push(row.time as i64);
            words.push(terms(row.conversation, &row.source, &row.text));
        }
        let written = async {
            let mut transaction = self.connection.begin().await?;
            sqlx::query(
                "INSERT INTO word (seq, time, terms) SELECT seq, time, array_to_tsvector(string_to_array(terms, ' ')) \
                 FROM unnest($1::bigint[], $2::bigint[], $3::text[]) AS row (seq, time, terms) \
                 ON CONFLICT (seq) DO NOTHING",
            )
            .bind(seqs)
            .bind(times)
            .bind(words)
            .execute(&mut *transaction)
            .await?;
            sqlx::query("UPDATE indexed SET low = least(low, $1), high = greatest(high, $2)")
                .bind(first)
                .bind(last)
                .execute(&mut *transaction)
                .await?;
            transaction.commit().await
        };
        within(written).await?;
        Ok(rows.len())
    }

    /// The moment of the `nth` newest row of a class before a moment, counted from 1; `None` where there are fewer.
    pub async fn nth_newest(
        &mut self,
        conversation: ConversationId,
        class: u8,
        before: i64,
        nth: u32,
    ) -> Result<Option<i64>, Error> {
        let sql = format!(
            "SELECT message.time FROM message WHERE conversation = $1 AND {CLASS} = {class} AND message.time < $2 \
             ORDER BY message.time DESC LIMIT 1 OFFSET $3"
        );
        let moment = sqlx::query_scalar(AssertSqlSafe(sql))
            .bind(conversation as i64)
            .bind(before)
            .bind(i64::from(nth.saturating_sub(1)))
            .fetch_optional(&mut self.connection);
        within(moment).await
    }

    /// Deletes the oldest rows of a class before a moment, with their words and all that is about them: at most so
    /// many. How many rows that were, and whether there may be more.
    pub async fn expire(
        &mut self,
        conversation: ConversationId,
        class: u8,
        before: i64,
        limit: usize,
        epoch: u32,
    ) -> Result<(u64, bool), Error> {
        let oldest = format!(
            "SELECT seq FROM message WHERE conversation = $1 AND {CLASS} = {class} AND message.time < $2 \
             ORDER BY message.time LIMIT $3"
        );
        let expired = async {
            let mut transaction = self.connection.begin().await?;
            let seqs: Vec<i64> = sqlx::query_scalar(AssertSqlSafe(oldest))
                .bind(conversation as i64)
                .bind(before)
                .bind(limit as i64)
                .fetch_all(&mut *transaction)
                .await?;
            let Some(last) = seqs.iter().max().copied() else { return Ok((0, false)) };
            let mut rows = 0;
            if class == 0 {
                // First what is about them: whenever this ends, nothing is about what is not there.
                let about = sqlx::query(AssertSqlSafe(format!(
                    "DELETE FROM message WHERE seq = ANY(ARRAY(SELECT seq FROM message WHERE conversation = $1 \
                     AND argument COLLATE \"C\" >= $2 AND argument COLLATE \"C\" <= $3 AND {ABOUT} LIMIT $4))"
                )));
                let [first, last] = [0, last as u64].map(|seq| MsgId { epoch, seq }.to_string());
                let about = about.bind(conversation as i64).bind(first).bind(last).bind(limit as i64);
                rows = about.execute(&mut *transaction).await?.rows_affected();
                if rows as usize == limit {
                    transaction.commit().await?;
                    return Ok((rows, true));
                }
                let words = sqlx::query("DELETE FROM word WHERE seq = ANY($1)").bind(seqs.clone());
                words.execute(&mut *transaction).await?;
            }
            let more = seqs.len() == limit;
            let gone = sqlx::query("DELETE FROM message WHERE seq = ANY($1)").bind(seqs);
            rows += gone.execute(&mut *transaction).await?.rows_affected();
            transaction.commit().await?;
            Ok((rows, more))
        };
        within(expired).await
    }

    /// Closes the connection.
    pub async fn close(self) -> Result<(), Error> {
        close(self.connection).await
    }
}

type Statement<'a> = Query<'a, Postgres, PgArguments>;

/// What a batch comes to: the last word on each row. One statement cannot touch a row twice, and need not.
#[derive(Default)]
struct Batch<'a> {
    messages: Vec<(Seq, &'a MessageRow)>,
    edited: BTreeMap<Seq, &'a MessageRow>,
    redacted: Vec<i64>,
    about_gone: (Vec<i64>, Vec<&'a str>),
    /// An account's name, and between which changes all that it said is gone.
    erased: Vec<(&'a str, Seq, Seq)>,
    conversations: BTreeMap<ConversationId, &'a ConversationRow>,
    /// Those that went at some time in the batch. What is said of them below came after that.
    gone_accounts: Vec<AccountId>,
    accounts: BTreeMap<AccountId, &'a AccountRow>,
    credentials: BTreeMap<AccountId, &'a Credentials>,
    codes: BTreeMap<(AccountId, Purpose), Option<&'a CodeRow>>,
    seen: BTreeMap<(AccountId, &'a str), &'a SeenRow>,
    markers: BTreeMap<(AccountId, &'a str), Option<u64>>,
    presences: BTreeMap<AccountId, Option<&'a PresenceRow>>,
    metadata: BTreeMap<(&'a str, &'a str), Option<&'a str>>,
    settings: BTreeMap<(&'a str, &'a str), Option<&'a str>>,
    /// As `gone_accounts`.
    gone_channels: Vec<&'a str>,
    channels: BTreeMap<&'a str, &'a ChannelRow>,
    lists: BTreeMap<(&'a str, char, &'a str), Option<&'a ListRow>>,
    subscriptions: BTreeMap<(AccountId, &'a str), Option<&'a SubscriptionRow>>,
    pushed: BTreeMap<(AccountId, &'a str), Option<u64>>,
    vapid: BTreeMap<u32, &'a str>,
    bans: BTreeMap<&'a str, Option<&'a BanRow>>,
    access: BTreeMap<(&'a str, AccountId), Option<&'a AccessRow>>,
    suspensions: BTreeMap<AccountId, Option<&'a SuspensionRow>>,
    grouped: BTreeMap<&'a str, Option<&'a GroupedRow>>,
    purges: BTreeMap<&'a str, Option<&'a PurgeRow>>,
    casemapping: Option<Casemapping>,
}

impl<'a> Batch<'a> {
    fn new(records: &'a [(Seq, Record)]) -> Batch<'a> {
        let mut batch = Batch::default();
        for (seq, record) in records {
            batch.add(*seq, record);
        }
        batch
    }

    fn add(&mut self, seq: Seq, record: &'a Record) {
        match record {
            Record::Message(row) => self.messages.push((seq, row)),
            Record::Access(row) => drop(self.access.insert((&row.channel, row.account), Some(row))),
            Record::AccessGone(channel, account) => drop(self.access.insert((channel, *account), None)),
            Record::Grouped(row) => drop(self.grouped.insert(&row.folded, Some(row))),
            Record::GroupedGone(folded) => drop(self.grouped.insert(folded, None)),
            Record::Suspension(row) => drop(self.suspensions.insert(row.account, Some(row))),
            Record::SuspensionGone(account) => drop(self.suspensions.insert(*account, None)),
            Record::Purge(row) => drop(self.purges.insert(&row.channel, Some(row))),
            Record::PurgeGone(channel) => drop(self.purges.insert(channel, None)),
            Record::Erased { account, after, before } => self.erased.push((account, *after, *before)),
            Record::Casemapping(casemapping) => self.casemapping = Some(*casemapping),
            Record::Edited(seq, row) => drop(self.edited.insert(*seq, row)),
            Record::Redacted(seq) => self.redacted.push(*seq as i64),
            Record::AboutGone(conversation, id) => {
                self.about_gone.0.push(*conversation as i64);
                self.about_gone.1.push(id);
            }
            Record::Conversation(row) => drop(self.conversations.insert(row.id, row)),
            Record::Account(row) => drop(self.accounts.insert(row.id, row)),
            Record::AccountGone(id) => {
                let owner = owner(*id);
                let said = format!("{owner} ");
                self.accounts.remove(id);
                self.credentials.remove(id);
                self.codes.retain(|(account, _), _| account != id);
                self.access.retain(|(_, account), _| account != id);
                self.suspensions.remove(id);
                // In the database it may still be another's.
                let own = self.grouped.values_mut().filter(|row| row.is_some_and(|row| row.account == *id));
                own.for_each(|row| *row = None);
                self.seen.retain(|(account, _), _| account != id);
                self.markers.retain(|(account, _), _| account != id);
                self.presences.remove(id);
                self.metadata.retain(|(of, _), _| *of != owner && !of.starts_with(&said));
                self.subscriptions.retain(|(account, _), _| account != id);
                self.pushed.retain(|(account, _), _| account != id);
                self.settings.retain(|(of, _), _| *of != owner);
                self.gone_accounts.push(*id);
            }
            Record::Credentials(row) => drop(self.credentials.insert(row.account, &row.credentials)),
            Record::Code(row) => drop(self.codes.insert((row.account, row.purpose), Some(row))),
            Record::CodeGone(account, purpose) => drop(self.codes.insert((*account, *purpose), None)),
            Record::Channel(row) => drop(self.channels.insert(&row.folded, row)),
            Record::ChannelGone(folded) => {
                self.channels.remove(&**folded);
                self.lists.retain(|(channel, ..), _| *channel != &**folded);
                self.access.retain(|(channel, _), _| *channel != &**folded);
                self.metadata.retain(|(of, _), _| *of != &**folded);
                self.settings.retain(|(of, _), _| *of != &**folded);
                self.gone_channels.push(folded);
            }
            Record::ListEntry(row) => drop(self.lists.insert((&row.channel, row.mode, &row.mask), Some(row))),
            Record::ListEntryGone(channel, mode, mask) => drop(self.lists.insert((channel, *mode, mask), None)),
            Record::Seen(row) => drop(self.seen.insert((row.account, &row.device), row)),
            Record::Marker(row) => drop(self.markers.insert((row.account, &row.conversation), Some(row.time))),
            Record::MarkerGone(account, conversation) => {
                self.markers.insert((*account, conversation), None);
            }
            Record::Presence(row) => drop(self.presences.insert(row.account, Some(row))),
            Record::PresenceGone(account) => drop(self.presences.insert(*account, None)),
            Record::Ban(row) => drop(self.bans.insert(&row.target, Some(row))),
            Record::BanGone(target) => drop(self.bans.insert(target, None)),
            Record::Subscription(row) => {
                self.subscriptions.insert((row.account, &row.endpoint), Some(row));
            }
            Record::SubscriptionGone(account, endpoint) => {
                self.subscriptions.insert((*account, endpoint), None);
            }
            Record::Pushed(row) => {
                self.pushed.insert((row.account, &row.conversation), Some(row.first));
            }
            Record::PushedGone(account, conversation) => {
                self.pushed.insert((*account, conversation), None);
            }
            Record::Vapid(row) => {
                self.vapid.entry(row.id).or_insert(&row.private);
            }
            Record::Metadata(row) => drop(self.metadata.insert((&row.owner, &row.key), row.value.as_deref())),
            Record::Setting(row) => drop(self.settings.insert((&row.owner, &row.key), row.value.as_deref())),
        }
    }

    /// In an order in which they can be run; none for what there is nothing of.
    fn statements(self) -> Vec<Statement<'a>> {
        let mut statements = Vec::new();
        statements.extend(messages(&self.messages));
        statements.extend(edited(self.edited));
        if !self.redacted.is_empty() {
            statements.push(sqlx::query("DELETE FROM word WHERE seq = ANY($1)").bind(self.redacted.clone()));
            statements.push(sqlx::query("DELETE FROM message WHERE seq = ANY($1)").bind(self.redacted));
        }
        let (conversations, ids) = self.about_gone;
        if !ids.is_empty() {
            let about = sqlx::query(
                "DELETE FROM message USING unnest($1::bigint[], $2::text[]) AS gone (conversation, id) \
                 WHERE message.conversation = gone.conversation AND message.argument COLLATE \"C\" = gone.id \
                 AND message.kind IN (2, 11)",
            );
            statements.push(about.bind(conversations).bind(ids));
        }
        for (account, after, before) in self.erased {
            // There is no index for it: it is done rarely, and an index would cost each message.
            let erased = sqlx::query(
                "WITH gone AS (DELETE FROM message WHERE seq > $1 AND seq < $2 AND account = $3 RETURNING seq) \
                 DELETE FROM word USING gone WHERE word.seq = gone.seq",
            );
            statements.push(erased.bind(after as i64).bind(before as i64).bind(account));
        }
        if !self.conversations.is_empty() {
            let rows: Vec<&ConversationRow> = self.conversations.into_values().collect();
            statements.push(
                upsert(&UPSERTS.conversation)
                    .bind(column(&rows, |row| row.id as i64))
                    .bind(column(&rows, |row| &*row.key))
                    .bind(column(&rows, |row| row.closed))
                    .bind(column(&rows, |row| row.since as i64)),
            );
        }
        statements.extend(gone_accounts(&self.gone_accounts));
        statements.extend(gone_channels(&self.gone_channels));
        statements.extend(accounts(self.accounts.into_values().collect()));
        statements.extend(credentials(self.credentials));
        statements.extend(codes(self.codes));
        statements.extend(seen(self.seen));
        statements.extend(markers(self.markers));
        statements.extend(presences(self.presences));
        statements.extend(values("metadata", &UPSERTS.metadata, self.metadata));
        statements.extend(subscriptions(self.subscriptions));
        statements.extend(pushed(self.pushed));
        for (id, private) in self.vapid {
            // A subscription may depend on the one that is there.
            let kept = sqlx::query("INSERT INTO vapid (id, private) VALUES ($1, $2) ON CONFLICT DO NOTHING");
            statements.push(kept.bind(i64::from(id)).bind(private));
        }
        statements.extend(values("setting", &UPSERTS.setting, self.settings));
        statements.extend(channels(self.channels.into_values().collect()));
        statements.extend(lists(self.lists));
        statements.extend(bans(self.bans));
        statements.extend(access(self.access));
        statements.extend(suspensions(self.suspensions));
        statements.extend(grouped(self.grouped));
        statements.extend(purges(self.purges));
        let casemapping = self.casemapping.map(Casemapping::token);
        statements.extend(casemapping.map(|token| sqlx::query("UPDATE meta SET casemapping = $1").bind(token)));
        statements
    }
}

/// The metadata's owner that an account is.
fn owner(account: AccountId) -> String {
    format!("${account}")
}

/// The values of one column.
fn column<'a, R, T>(rows: &[&'a R], value: impl Fn(&'a R) -> T) -> Vec<T> {
    rows.iter().copied().map(value).collect()
}

fn messages<'a>(rows: &[(Seq, &'a MessageRow)]) -> Option<Statement<'a>> {
    if rows.is_empty() {
        return None;
    }
    let seqs: Vec<i64> = rows.iter().map(|(seq, _)| *seq as i64).collect();
    let rows: Vec<&MessageRow> = rows.iter().map(|(_, row)| *row).collect();
    // A commit whose outcome was not seen is done again.
    let insert = sqlx::query(
        "INSERT INTO message (seq, conversation, time, kind, bot, source, account, target, tags, argument, text) \
         SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::smallint[], $5::boolean[], $6::text[], \
         $7::text[], $8::text[], $9::text[], $10::text[], $11::text[]) ON CONFLICT (seq) DO NOTHING",
    );
    Some(
        insert
            .bind(seqs)
            .bind(column(&rows, |row| row.conversation as i64))
            .bind(column(&rows, |row| row.time as i64))
            .bind(column(&rows, |row| row.kind as i16))
            .bind(column(&rows, |row| row.bot))
            .bind(column(&rows, |row| &*row.source))
            .bind(column(&rows, |row| row.account.as_deref()))
            .bind(column(&rows, |row| &*row.target))
            .bind(column(&rows, |row| row.tags.as_deref()))
            .bind(column(&rows, |row| row.argument.as_deref()))
            .bind(column(&rows, |row| &*row.text)),
    )
}

/// New texts, and their words where the index had the old ones.
fn edited(rows: BTreeMap<Seq, &MessageRow>) -> Vec<Statement<'_>> {
    if rows.is_empty() {
        return Vec::new();
    }
    let seqs: Vec<i64> = rows.keys().map(|seq| *seq as i64).collect();
    let rows: Vec<&MessageRow> = rows.into_values().collect();
    let text = sqlx::query(
        "UPDATE message SET text = edited.text FROM unnest($1::bigint[], $2::text[]) AS edited (seq, text) \
         WHERE message.seq = edited.seq",
    );
    let words = sqlx::query(
        "UPDATE word SET terms = array_to_tsvector(string_to_array(edited.terms, ' ')) \
         FROM unnest($1::bigint[], $2::text[]) AS edited (seq, terms) WHERE word.seq = edited.seq",
    );
    vec![
        text.bind(seqs.clone()).bind(column(&rows, |row| &*row.text)),
        words.bind(seqs).bind(column(&rows, |row| terms(row.conversation, &row.source, &row.text))),
    ]
}

fn gone_accounts<'a>(ids: &[AccountId]) -> Vec<Statement<'a>> {
    if ids.is_empty() {
        return Vec::new();
    }
    let owners: Vec<String> = ids.iter().map(|id| owner(*id)).collect();
    let ids: Vec<i64> = ids.iter().map(|id| *id as i64).collect();
    vec![
        sqlx::query("DELETE FROM seen WHERE account = ANY($1)").bind(ids.clone()),
        sqlx::query("DELETE FROM marker WHERE account = ANY($1)").bind(ids.clone()),
        sqlx::query("DELETE FROM presence WHERE account = ANY($1)").bind(ids.clone()),
        // What it says of others begins with its number and a space.
        sqlx::query("DELETE FROM metadata WHERE owner = ANY($1) OR split_part(owner, ' ', 1) = ANY($1)")
            .bind(owners.clone()),
        sqlx::query("DELETE FROM subscription WHERE account = ANY($1)").bind(ids.clone()),
        sqlx::query("DELETE FROM pushed WHERE account = ANY($1)").bind(ids.clone()),
        sqlx::query("DELETE FROM setting WHERE owner = ANY($1)").bind(owners),
        sqlx::query("DELETE FROM credential WHERE account = ANY($1)").bind(ids.clone()),
        sqlx::query("DELETE FROM code WHERE account = ANY($1)").bind(ids.clone()),
        sqlx::query("DELETE FROM access WHERE account = ANY($1)").bind(ids.clone()),
        sqlx::query("DELETE FROM suspension WHERE account = ANY($1)").bind(ids.clone()),
        sqlx::query("DELETE FROM grouped WHERE account = ANY($1)").bind(ids.clone()),
        sqlx::query("DELETE FROM account WHERE id = ANY($1)").bind(ids),
    ]
}

fn gone_channels<'a>(channels: &[&'a str]) -> Vec<Statement<'a>> {
    if channels.is_empty() {
        return Vec::new();
    }
    vec![
        sqlx::query("DELETE FROM list WHERE channel = ANY($1)").bind(channels.to_vec()),
        sqlx::query("DELETE FROM access WHERE channel = ANY($1)").bind(channels.to_vec()),
        sqlx::query("DELETE FROM metadata WHERE owner = ANY($1)").bind(channels.to_vec()),
        sqlx::query("DELETE FROM setting WHERE owner = ANY($1)").bind(channels.to_vec()),
        sqlx::query("DELETE FROM channel WHERE folded = ANY($1)").bind(channels.to_vec()),
    ]
}

fn accounts(rows: Vec<&AccountRow>) -> Option<Statement<'_>> {
    (!rows.is_empty()).then(|| {
        upsert(&UPSERTS.account)
            .bind(column(&rows, |row| row.id as i64))
            .bind(column(&rows, |row| &*row.name))
            .bind(column(&rows, |row| &*row.folded))
            .bind(column(&rows, |row| &*row.password))
            .bind(column(&rows, |row| row.registered as i64))
            .bind(column(&rows, |row| row.autoreplay_missed))
            .bind(column(&rows, |row| row.always_on))
            .bind(column(&rows, |row| row.multiclient))
            .bind(column(&rows, |row| row.email.as_deref()))
            .bind(column(&rows, |row| row.verified))
    })
}

/// All of an account's rows in place of those that it had.
fn credentials<'a>(rows: BTreeMap<AccountId, &'a Credentials>) -> Vec<Statement<'a>> {
    if rows.is_empty() {
        return Vec::new();
    }
    let ids: Vec<i64> = rows.keys().map(|account| *account as i64).collect();
    let (mut accounts, mut kinds, mut texts) = (Vec::new(), Vec::new(), Vec::new());
    for (account, credentials) in rows {
        for (kind, text) in credentials.rows() {
            accounts.push(account as i64);
            kinds.push(kind);
            texts.push(text);
        }
    }
    let insert = sqlx::query(
        "INSERT INTO credential (account, kind, text) SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[]) \
         ON CONFLICT DO NOTHING",
    );
    vec![
        sqlx::query("DELETE FROM credential WHERE account = ANY($1)").bind(ids),
        insert.bind(accounts).bind(kinds).bind(texts),
    ]
}

fn codes<'a>(rows: BTreeMap<(AccountId, Purpose), Option<&'a CodeRow>>) -> Vec<Statement<'a>> {
    let gone: Vec<_> = rows.iter().filter(|(_, row)| row.is_none()).map(|(key, _)| *key).collect();
    let rows: Vec<&CodeRow> = rows.into_values().flatten().collect();
    let mut statements = Vec::new();
    if !gone.is_empty() {
        let delete = sqlx::query(
            "DELETE FROM code USING unnest($1::bigint[], $2::text[]) AS gone (account, purpose) \
             WHERE code.account = gone.account AND code.purpose = gone.purpose",
        );
        let (accounts, purposes): (Vec<_>, Vec<_>) =
            gone.into_iter().map(|(account, purpose)| (account as i64, purpose.word())).unzip();
        statements.push(delete.bind(accounts).bind(purposes));
    }
    if !rows.is_empty() {
        statements.push(
            upsert(&UPSERTS.code)
                .bind(column(&rows, |row| row.account as i64))
                .bind(column(&rows, |row| row.purpose.word()))
                .bind(column(&rows, |row| &*row.code))
                .bind(column(&rows, |row| &*row.email))
                .bind(column(&rows, |row| row.expires as i64))
                // Wrong codes are not counted here any more.
                .bind(column(&rows, |_| 0_i64))
                .bind(column(&rows, |row| row.mailed)),
        );
    }
    statements
}

fn seen<'a>(rows: BTreeMap<(AccountId, &'a str), &'a SeenRow>) -> Option<Statement<'a>> {
    let rows: Vec<&SeenRow> = rows.into_values().collect();
    (!rows.is_empty()).then(|| {
        upsert(&UPSERTS.seen)
            .bind(column(&rows, |row| row.account as i64))
            .bind(column(&rows, |row| &*row.device))
            .bind(column(&rows, |row| row.seq.map(|seq| seq as i64)))
            .bind(column(&rows, |row| owed::text(&row.owed)))
    })
}

fn presences(rows: BTreeMap<AccountId, Option<&PresenceRow>>) -> Vec<Statement<'_>> {
    let gone: Vec<i64> = rows.iter().filter(|(_, row)| row.is_none()).map(|(account, _)| *account as i64).collect();
    let rows: Vec<&PresenceRow> = rows.into_values().flatten().collect();
    let mut statements = Vec::new();
    if !gone.is_empty() {
        statements.push(sqlx::query("DELETE FROM presence WHERE account = ANY($1)").bind(gone));
    }
    if !rows.is_empty() {
        statements.push(
            upsert(&UPSERTS.presence)
                .bind(column(&rows, |row| row.account as i64))
                .bind(column(&rows, |row| row.since as i64))
                .bind(column(&rows, |row| &*row.nick))
                .bind(column(&rows, |row| &*row.user))
                .bind(column(&rows, |row| &*row.hosts))
                .bind(column(&rows, |row| &*row.realname))
                .bind(column(&rows, |row| &*row.modes))
                .bind(column(&rows, |row| row.away.as_deref()))
                .bind(column(&rows, |row| &*row.channels))
                .bind(column(&rows, |row| row.signon as i64))
                .bind(column(&rows, |row| row.left as i64)),
        );
    }
    statements
}

/// Values by owner and key.
fn values<'a>(
    table: &str,
    upsert_sql: &Arc<str>,
    rows: BTreeMap<(&'a str, &'a str), Option<&'a str>>,
) -> Vec<Statement<'a>> {
    let (kept, gone): (Vec<_>, Vec<_>) = rows.into_iter().partition(|(_, value)| value.is_some());
    let mut statements = Vec::new();
    if !gone.is_empty() {
        let delete = format!(
            "DELETE FROM {table} USING unnest($1::text[], $2::text[]) AS gone (owner, key) \
             WHERE {table}.owner = gone.owner AND {table}.key = gone.key"
        );
        let (owners, keys): (Vec<_>, Vec<_>) = gone.into_iter().map(|(key, _)| key).unzip();
        statements.push(sqlx::query(AssertSqlSafe(delete)).bind(owners).bind(keys));
    }
    if !kept.is_empty() {
        let (keys, values): (Vec<_>, Vec<_>) = kept.into_iter().unzip();
        let (owners, keys): (Vec<_>, Vec<_>) = keys.into_iter().unzip();
        statements.push(upsert(upsert_sql).bind(owners).bind(keys).bind(values));
    }
    statements
}

fn subscriptions<'a>(rows: BTreeMap<(AccountId, &'a str), Option<&'a SubscriptionRow>>) -> Vec<Statement<'a>> {
    let gone: Vec<_> = rows.iter().filter(|(_, row)| row.is_none()).map(|(key, _)| *key).collect();
    let rows: Vec<&SubscriptionRow> = rows.into_values().flatten().collect();
    let mut statements = Vec::new();
    if !gone.is_empty() {
        let delete = sqlx::query(
            "DELETE FROM subscription USING unnest($1::bigint[], $2::text[]) AS gone (account, endpoint) \
             WHERE subscription.account = gone.account AND subscription.endpoint = gone.endpoint",
        );
        let (accounts, endpoints): (Vec<_>, Vec<_>) =
            gone.into_iter().map(|(account, endpoint)| (account as i64, endpoint)).unzip();
        statements.push(delete.bind(accounts).bind(endpoints));
    }
    if !rows.is_empty() {
        statements.push(
            upsert(&UPSERTS.subscription)
                .bind(column(&rows, |row| row.account as i64))
                .bind(column(&rows, |row| &*row.endpoint))
                .bind(column(&rows, |row| row.keys.to_string()))
                .bind(column(&rows, |row| i64::from(row.vapid)))
                .bind(column(&rows, |row| &*row.device))
                .bind(column(&rows, |row| &*row.app))
                .bind(column(&rows, |row| &*row.caps))
                .bind(column(&rows, |row| row.made as i64))
                .bind(column(&rows, |row| row.renewed as i64))
                .bind(column(&rows, |row| row.reached as i64))
                .bind(column(&rows, |row| LoginBy::text(row.by.as_ref()))),
        );
    }
    statements
}

fn markers<'a>(rows: BTreeMap<(AccountId, &'a str), Option<u64>>) -> Vec<Statement<'a>> {
    let delete = "DELETE FROM marker USING unnest($1::bigint[], $2::text[]) AS gone (account, conversation) \
                  WHERE marker.account = gone.account AND marker.conversation = gone.conversation";
    by_conversation(rows, delete, &UPSERTS.marker)
}

fn pushed<'a>(rows: BTreeMap<(AccountId, &'a str), Option<u64>>) -> Vec<Statement<'a>> {
    let delete = "DELETE FROM pushed USING unnest($1::bigint[], $2::text[]) AS gone (account, conversation) \
                  WHERE pushed.account = gone.account AND pushed.conversation = gone.conversation";
    by_conversation(rows, delete, &UPSERTS.pushed)
}

/// What an account has of conversations, each a number or nothing any more.
fn by_conversation<'a>(
    rows: BTreeMap<(AccountId, &'a str), Option<u64>>,
    delete: &'static str,
    put: &Arc<str>,
) -> Vec<Statement<'a>> {
    let (kept, gone): (Vec<_>, Vec<_>) = rows.into_iter().partition(|(_, number)| number.is_some());
    let mut statements = Vec::new();
    if !gone.is_empty() {
        let (accounts, conversations): (Vec<_>, Vec<_>) =
            gone.into_iter().map(|((account, conversation), _)| (account as i64, conversation)).unzip();
        statements.push(sqlx::query(delete).bind(accounts).bind(conversations));
    }
    if !kept.is_empty() {
        statements.push(
            upsert(put)
                .bind(kept.iter().map(|((account, _), _)| *account as i64).collect::<Vec<_>>())
                .bind(kept.iter().map(|((_, conversation), _)| *conversation).collect::<Vec<_>>())
                .bind(kept.iter().map(|(_, number)| number.map(|number| number as i64)).collect::<Vec<_>>()),
        );
    }
    statements
}

fn channels(rows: Vec<&ChannelRow>) -> Option<Statement<'_>> {
    (!rows.is_empty()).then(|| {
        upsert(&UPSERTS.channel)
            .bind(column(&rows, |row| &*row.folded))
            .bind(column(&rows, |row| &*row.name))
            .bind(column(&rows, |row| row.founder.map(|account| account as i64)))
            .bind(column(&rows, |row| row.registered as i64))
            .bind(column(&rows, |row| row.created as i64))
            .bind(column(&rows, |row| row.topic.as_ref().map(|(topic, ..)| &**topic)))
            .bind(column(&rows, |row| row.topic.as_ref().map(|(_, setter, _)| &**setter)))
            .bind(column(&rows, |row| row.topic.as_ref().map(|(.., set_at)| *set_at as i64)))
            .bind(column(&rows, |row| &*row.modes))
            .bind(column(&rows, |row| row.key.as_deref()))
            .bind(column(&rows, |row| row.limit.map(i64::from)))
            .bind(column(&rows, |row| row.forward.as_deref()))
            .bind(column(&rows, |row| row.transfer.map(|account| account as i64)))
    })
}

fn lists<'a>(rows: BTreeMap<(&'a str, char, &'a str), Option<&'a ListRow>>) -> Vec<Statement<'a>> {
    let gone: Vec<_> = rows.iter().filter(|(_, row)| row.is_none()).map(|(key, _)| *key).collect();
    let rows: Vec<&ListRow> = rows.into_values().flatten().collect();
    let mut statements = Vec::new();
    if !gone.is_empty() {
        let delete = sqlx::query(
            "DELETE FROM list USING unnest($1::text[], $2::text[], $3::text[]) AS gone (channel, mode, mask) \
             WHERE list.channel = gone.channel AND list.mode = gone.mode AND list.mask = gone.mask",
        );
        statements.push(
            delete
                .bind(gone.iter().map(|(channel, ..)| *channel).collect::<Vec<_>>())
                .bind(gone.iter().map(|(_, mode, _)| mode.to_string()).collect::<Vec<_>>())
                .bind(gone.iter().map(|(.., mask)| *mask).collect::<Vec<_>>()),
        );
    }
    if !rows.is_empty() {
        statements.push(
            upsert(&UPSERTS.list)
                .bind(column(&rows, |row| &*row.channel))
                .bind(column(&rows, |row| row.mode.to_string()))
                .bind(column(&rows, |row| &*row.mask))
                .bind(column(&rows, |row| &*row.setter))
                .bind(column(&rows, |row| row.set_at as i64)),
        );
    }
    statements
}

fn bans<'a>(rows: BTreeMap<&'a str, Option<&'a BanRow>>) -> Vec<Statement<'a>> {
    let gone: Vec<&str> = rows.iter().filter(|(_, row)| row.is_none()).map(|(target, _)| *target).collect();
    let rows: Vec<&BanRow> = rows.into_values().flatten().collect();
    let mut statements = Vec::new();
    if !gone.is_empty() {
        statements.push(sqlx::query("DELETE FROM ban WHERE target = ANY($1)").bind(gone));
    }
    if !rows.is_empty() {
        statements.push(
            upsert(&UPSERTS.ban)
                .bind(column(&rows, |row| &*row.target))
                .bind(column(&rows, |row| &*row.reason))
                .bind(column(&rows, |row| &*row.oper_reason))
                .bind(column(&rows, |row| &*row.setter))
                .bind(column(&rows, |row| row.set_at as i64))
                .bind(column(&rows, |row| row.expires.map(|expires| expires as i64)))
                .bind(column(&rows, |row| row.unless_logged_in)),
        );
    }
    statements
}

fn access<'a>(rows: BTreeMap<(&'a str, AccountId), Option<&'a AccessRow>>) -> Vec<Statement<'a>> {
    let gone: Vec<_> = rows.iter().filter(|(_, row)| row.is_none()).map(|(key, _)| *key).collect();
    let rows: Vec<&AccessRow> = rows.into_values().flatten().collect();
    let mut statements = Vec::new();
    if !gone.is_empty() {
        let delete = sqlx::query(
            "DELETE FROM access USING unnest($1::text[], $2::bigint[]) AS gone (channel, account) \
             WHERE access.channel = gone.channel AND access.account = gone.account",
        );
        let (channels, accounts): (Vec<_>, Vec<_>) =
            gone.into_iter().map(|(channel, account)| (channel, account as i64)).unzip();
        statements.push(delete.bind(channels).bind(accounts));
    }
    if !rows.is_empty() {
        statements.push(
            upsert(&UPSERTS.access)
                .bind(column(&rows, |row| &*row.channel))
                .bind(column(&rows, |row| row.account as i64))
                .bind(column(&rows, |row| row.rank.letter().to_string())),
        );
    }
    statements
}

fn suspensions(rows: BTreeMap<AccountId, Option<&SuspensionRow>>) -> Vec<Statement<'_>> {
    let gone: Vec<i64> = rows.iter().filter(|(_, row)| row.is_none()).map(|(account, _)| *account as i64).collect();
    let rows: Vec<&SuspensionRow> = rows.into_values().flatten().collect();
    let mut statements = Vec::new();
    if !gone.is_empty() {
        statements.push(sqlx::query("DELETE FROM suspension WHERE account = ANY($1)").bind(gone));
    }
    if !rows.is_empty() {
        statements.push(
            upsert(&UPSERTS.suspension)
                .bind(column(&rows, |row| row.account as i64))
                .bind(column(&rows, |row| &*row.reason))
                .bind(column(&rows, |row| &*row.setter))
                .bind(column(&rows, |row| row.set_at as i64))
                .bind(column(&rows, |row| row.expires.map(|expires| expires as i64))),
        );
    }
    statements
}

fn grouped<'a>(rows: BTreeMap<&'a str, Option<&'a GroupedRow>>) -> Vec<Statement<'a>> {
    let gone: Vec<&str> = rows.iter().filter(|(_, row)| row.is_none()).map(|(folded, _)| *folded).collect();
    let rows: Vec<&GroupedRow> = rows.into_values().flatten().collect();
    let mut statements = Vec::new();
    if !gone.is_empty() {
        statements.push(sqlx::query("DELETE FROM grouped WHERE folded = ANY($1)").bind(gone));
    }
    if !rows.is_empty() {
        statements.push(
            upsert(&UPSERTS.grouped)
                .bind(column(&rows, |row| &*row.folded))
                .bind(column(&rows, |row| &*row.nick))
                .bind(column(&rows, |row| row.account as i64))
                .bind(column(&rows, |row| row.added as i64)),
        );
    }
    statements
}

fn purges<'a>(rows: BTreeMap<&'a str, Option<&'a PurgeRow>>) -> Vec<Statement<'a>> {
    let gone: Vec<&str> = rows.iter().filter(|(_, row)| row.is_none()).map(|(channel, _)| *channel).collect();
    let rows: Vec<&PurgeRow> = rows.into_values().flatten().collect();
    let mut statements = Vec::new();
    if !gone.is_empty() {
        statements.push(sqlx::query("DELETE FROM purge WHERE channel = ANY($1)").bind(gone));
    }
    if !rows.is_empty() {
        statements.push(
            upsert(&UPSERTS.purge)
                .bind(column(&rows, |row| &*row.channel))
                .bind(column(&rows, |row| &*row.reason))
                .bind(column(&rows, |row| &*row.setter))
                .bind(column(&rows, |row| row.set_at as i64)),
        );
    }
    statements
}

/// Statements that put rows in the place of those with the same key.
struct Upserts {
    conversation: Arc<str>,
    account: Arc<str>,
    code: Arc<str>,
    seen: Arc<str>,
    marker: Arc<str>,
    presence: Arc<str>,
    metadata: Arc<str>,
    subscription: Arc<str>,
    pushed: Arc<str>,
    setting: Arc<str>,
    channel: Arc<str>,
    list: Arc<str>,
    ban: Arc<str>,
    access: Arc<str>,
    suspension: Arc<str>,
    grouped: Arc<str>,
    purge: Arc<str>,
}

static UPSERTS: LazyLock<Upserts> = LazyLock::new(|| Upserts {
    conversation: upsert_sql("conversation", 1, "id bigint, key text, closed boolean, since bigint"),
    account: upsert_sql(
        "account",
        1,
        "id bigint, name text, folded text, password text, registered bigint, autoreplay_missed boolean, \
         always_on boolean, multiclient boolean, email text, verified boolean",
    ),
    code: upsert_sql(
        "code",
        2,
        "account bigint, purpose text, code text, email text, expires bigint, wrong bigint, mailed boolean",
    ),
    seen: upsert_sql("seen", 2, "account bigint, device text, seq bigint, owed text"),
    marker: upsert_sql("marker", 2, "account bigint, conversation text, time bigint"),
    presence: upsert_sql(
        "presence",
        1,
        "account bigint, since bigint, nick text, \"user\" text, host text, realname text, modes text, away text, \
         channels text, signon bigint, gone bigint",
    ),
    metadata: upsert_sql("metadata", 2, "owner text, key text, value text"),
    subscription: upsert_sql(
        "subscription",
        2,
        "account bigint, endpoint text, keys text, vapid bigint, device text, app text, caps text, made bigint, \
         renewed bigint, reached bigint, login text",
    ),
    pushed: upsert_sql("pushed", 2, "account bigint, conversation text, first bigint"),
    setting: upsert_sql("setting", 2, "owner text, key text, value text"),
    channel: upsert_sql(
        "channel",
        1,
        "folded text, name text, founder bigint, registered bigint, created bigint, topic text, topic_setter text, \
         topic_set_at bigint, modes text, key text, \"limit\" bigint, forward text, transfer bigint",
    ),
    list: upsert_sql("list", 3, "channel text, mode text, mask text, setter text, set_at bigint"),
    ban: upsert_sql(
        "ban",
        1,
        "target text, reason text, oper_reason text, setter text, set_at bigint, expires bigint, \
         unless_logged_in boolean",
    ),
    access: upsert_sql("access", 2, "channel text, account bigint, rank text"),
    suspension: upsert_sql("suspension", 1, "account bigint, reason text, setter text, set_at bigint, expires bigint"),
    grouped: upsert_sql("grouped", 1, "folded text, nick text, account bigint, added bigint"),
    purge: upsert_sql("purge", 1, "channel text, reason text, setter text, set_at bigint"),
});

fn upsert<'a>(sql: &Arc<str>) -> Statement<'a> {
    sqlx::query(AssertSqlSafe(sql.clone()))
}

/// For a table whose first `keys` of these columns are its key; each parameter is an array of a column.
fn upsert_sql(table: &str, keys: usize, columns: &str) -> Arc<str> {
    let (mut names, mut arrays) = (Vec::new(), Vec::new());
    for (name, kind) in columns.split(", ").filter_map(|column| column.split_once(' ')) {
        names.push(name);
        arrays.push(format!("${}::{kind}[]", names.len()));
    }
    let set: Vec<String> = names.iter().skip(keys).map(|name| format!("{name} = excluded.{name}")).collect();
    Arc::from(format!(
        "INSERT INTO {table} ({}) SELECT * FROM unnest({}) ON CONFLICT ({}) DO UPDATE SET {}",
        names.join(", "),
        arrays.join(", "),
        names[..keys].join(", "),
        set.join(", ")
    ))
}

/// What the index of words has.
async fn indexed(connection: &mut PgConnection) -> Result<Indexed, Error> {
    let marks = sqlx::query_as("SELECT low, high FROM indexed").fetch_one(connection);
    let (low, high): (i64, i64) = within(marks).await?;
    Ok(Indexed { low: low as u64, high: high as u64 })
}

/// Empties an index that another version made, or that is new: it is filled while the server runs.
async fn renew_index(connection: &mut PgConnection) -> Result<(), Error> {
    let renewed = sqlx::query(
        "UPDATE indexed SET version = $1, low = newest + 1, high = newest \
         FROM (SELECT coalesce(max(seq), 0) AS newest FROM message) AS message WHERE version <> $1",
    );
    if renewed.bind(search::VERSION as i32).execute(&mut *connection).await?.rows_affected() > 0 {
        sqlx::query("TRUNCATE word").execute(connection).await?;
    }
    Ok(())
}

/// Counts this start, settles the devices that were connected at the last end, and reads the state.
async fn load(connection: &mut PgConnection) -> Result<Snapshot, Error> {
    let last_seq: Option<i64> =
        sqlx::query_scalar("SELECT greatest((SELECT max(seq) FROM message), (SELECT max(seq) FROM seen))")
            .fetch_one(&mut *connection)
            .await?;
    let last_seq = last_seq.unwrap_or(0);
    sqlx::query("INSERT INTO meta (one, epoch, boot, seed) VALUES (true, $1, 0, $2) ON CONFLICT (one) DO NOTHING")
        .bind(i64::from(rand::random::<u32>()))
        .bind(rand::random::<[u8; 32]>().to_vec())
        .execute(&mut *connection)
        .await?;
    let start = sqlx::query_as("UPDATE meta SET boot = boot + 1 RETURNING epoch, boot, seed, casemapping");
    let (epoch, boot, secret, casemapping): (i64, i64, Vec<u8>, String) = start.fetch_one(&mut *connection).await?;
    let casemapping = state::casemapping(&casemapping)?;
    let secret = secret.try_into().map_err(|_| Error::Decode("a secret that is not 32 bytes".into()))?;
    let connected = sqlx::query("UPDATE seen SET seq = $1 WHERE seq IS NULL").bind(last_seq);
    connected.execute(&mut *connection).await?;

    // Three seeks a conversation, however long it is.
    let newest = [0, 1, 2].map(newest_of_class);
    let sql = format!("SELECT id, key, {}, closed, since FROM conversation ORDER BY id", newest.join(", "));
    let sql = sql.replace("$1", "conversation.id");
    let conversations = state::conversations::<Postgres>(&mut *connection, &sql).await?;
    let (epoch, boot, last_seq) = (epoch as u32, boot as u32, last_seq as u64);
    let begun = Snapshot { epoch, secret, boot, casemapping, last_seq, conversations, ..Snapshot::default() };
    state::complete::<Postgres>(connection, begun).await
}

/// Classes of rows, as the index has them: text, events, redactions.
const CLASS: &str = "((kind > 1)::int + (kind = 10)::int)";

/// What `of_class` makes for each class that is wanted, joined.
fn for_classes(wanted: Wanted, of_class: impl Fn(u8) -> String, between: &str) -> String {
    classes(wanted).into_iter().map(of_class).collect::<Vec<_>>().join(between)
}

/// Pages of the kinds that are wanted, from the old end and from the new: the walks of the classes, merged.
fn scans(wanted: Wanted) -> [Arc<str>; 2] {
    ["ASC", "DESC"].map(|order| {
        let of_class = |class: u8| {
            let rows = format!(
                "SELECT {COLUMNS} FROM message \
                 WHERE conversation = $1 AND {CLASS} = {class} AND time > $2 AND time < $3 ORDER BY time {order}"
            );
            match unwanted(wanted, class) {
                None => format!("({rows})"),
                Some(kinds) => format!(
                    "(SELECT * FROM ({rows} LIMIT {EVENTS_LOOKED_AT}) AS events WHERE kind NOT IN ({kinds}) \
                     ORDER BY time {order})"
                ),
            }
        };
        let walks = for_classes(wanted, of_class, " UNION ALL ");
        Arc::from(format!("SELECT * FROM ({walks}) AS walk ORDER BY time {order} LIMIT $4"))
    })
}

fn newest_of_class(class: u8) -> String {
    format!(
        "coalesce((SELECT message.time FROM message WHERE conversation = $1 AND {CLASS} = {class} \
         ORDER BY message.time DESC LIMIT 1), -1)"
    )
}

/// The moment up to which rows have numbers of at most $2, found by halving: some 40 steps.
fn search(wanted: Wanted) -> Arc<str> {
    let first_of_class = |class: u8| {
        format!(
            "(SELECT seq FROM message WHERE conversation = $1 AND {CLASS} = {class} \
             AND message.time >= low + (high - low) / 2 ORDER BY message.time LIMIT 1)"
        )
    };
    // NULL, where no such row is left, is the greatest of numbers here: `least` passes over it.
    let first = for_classes(wanted, first_of_class, ", ");
    let newest = for_classes(wanted, newest_of_class, ", ");
    Arc::from(format!(
        "WITH RECURSIVE halving (low, high) AS (SELECT -1::bigint, greatest({newest}) + 1 UNION ALL \
         SELECT CASE WHEN seq <= $2 THEN low + (high - low) / 2 ELSE low END, \
         CASE WHEN seq <= $2 THEN high ELSE low + (high - low) / 2 END \
         FROM halving CROSS JOIN LATERAL (SELECT least({first}) AS seq) AS first WHERE high - low > 1) \
         SELECT max(low) FROM halving"
    ))
}

/// Messages that have terms, between two numbers and two moments: the first or the last.
fn by_terms(order: &str) -> Arc<str> {
    let columns: Vec<String> = COLUMNS.split(", ").map(|column| format!("message.{column}")).collect();
    // By the terms alone, however common they seem to be: `+ 0` is no walk over the numbers.
    Arc::from(format!(
        "WITH found AS MATERIALIZED (SELECT seq FROM word WHERE terms @@ $1::text::tsquery \
         AND seq + 0 >= $2 AND seq + 0 <= $3 AND word.time >= $4 AND word.time <= $5 \
         ORDER BY seq + 0 {order} LIMIT $6) \
         SELECT {} FROM found JOIN message ON message.seq = found.seq",
        columns.join(", ")
    ))
}

/// The numbers of the newest rows of a kind that are about each of some messages of a conversation, each after the
/// place of that message.
fn about(kind: Kind) -> String {
    format!(
        "SELECT place, about.seq FROM unnest($2::text[]) WITH ORDINALITY AS parent (msgid, place) \
         CROSS JOIN LATERAL (SELECT seq FROM message WHERE conversation = $1 AND argument COLLATE \"C\" = parent.msgid \
         AND {ABOUT} AND kind = {} ORDER BY seq DESC LIMIT $3) AS about",
        kind as u8
    )
}

/// Rows that are about another, whose id is their argument: what the index `message_about` has.
const ABOUT: &str = "kind IN (2, 10, 11)";

fn list(conversations: &[ConversationId]) -> Vec<i64> {
    conversations.iter().map(|id| *id as i64).collect()
}

/// A number that may be greater than any that is stored.
fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A connection that reads messages.
pub struct Source {
    connection: PgConnection,
    /// By [`place_of`], then direction.
    scans: [[Arc<str>; 2]; WANTS],
    /// By [`place_of`].
    searches: [Arc<str>; WANTS],
}

impl Source {
    /// The conversation and time of a row.
    pub async fn place(&mut self, seq: Seq) -> Result<Option<(ConversationId, i64)>, Error> {
        let row = sqlx::query_as("SELECT conversation, time FROM message WHERE seq = $1")
            .bind(i64::try_from(seq).unwrap_or(i64::MAX))
            .fetch_optional(&mut self.connection);
        let row: Option<(i64, i64)> = within(row).await?;
        Ok(row.map(|(conversation, time)| (conversation as u64, time)))
    }

    /// A moment such that the rows up to it are those with numbers up to `seq`; -1 where there is none.
    pub async fn search(&mut self, conversation: ConversationId, wanted: Wanted, seq: Seq) -> Result<i64, Error> {
        let moment = sqlx::query_scalar(AssertSqlSafe(self.searches[place_of(wanted)].clone()))
            .bind(conversation as i64)
            .bind(i64::try_from(seq).unwrap_or(i64::MAX))
            .fetch_one(&mut self.connection);
        within(moment).await
    }

    /// The first `limit` rows in `span`, in its direction; ascending, whatever that is.
    pub async fn scan(&mut self, span: Span, limit: u32) -> Result<Vec<(Seq, MessageRow)>, Error> {
        let sql = &self.scans[place_of(span.wanted)][usize::from(span.direction == Direction::Newest)];
        let rows = sqlx::query(AssertSqlSafe(sql.clone()))
            .bind(span.conversation as i64)
            .bind(span.after)
            .bind(span.before)
            .bind(i64::from(limit))
            .try_map(|row| message(&row))
            .fetch_all(&mut self.connection);
        let mut rows = within(rows).await?;
        if span.direction == Direction::Newest {
            rows.reverse();
        }
        Ok(rows)
    }

    /// The newest `most` rows of a kind that are about each of some messages: the place of the message's msgid in
    /// `msgids`, and the row's number.
    pub async fn about(
        &mut self,
        conversation: ConversationId,
        msgids: &[String],
        kind: Kind,
        most: usize,
    ) -> Result<Vec<(usize, Seq)>, Error> {
        let found = sqlx::query_as(AssertSqlSafe(about(kind)))
            .bind(conversation as i64)
            .bind(msgids)
            .bind(most as i64)
            .fetch_all(&mut self.connection);
        let found: Vec<(i64, i64)> = within(found).await?;
        // PostgreSQL counts from one.
        Ok(found.into_iter().map(|(place, seq)| (place as usize - 1, seq as u64)).collect())
    }

    /// The rows with these numbers.
    pub async fn rows_of(&mut self, seqs: &[Seq]) -> Result<Vec<(Seq, MessageRow)>, Error> {
        let rows = sqlx::query(AssertSqlSafe(format!("SELECT {COLUMNS} FROM message WHERE seq = ANY ($1)")))
            .bind(list(seqs))
            .try_map(|row| message(&row))
            .fetch_all(&mut self.connection);
        within(rows).await
    }

    /// What the index of words has.
    pub async fn indexed(&mut self) -> Result<Indexed, Error> {
        indexed(&mut self.connection).await
    }

    /// The number of the first text at this moment or later in any of some conversations.
    pub async fn first_since(&mut self, conversations: &[ConversationId], time: u64) -> Result<Seq, Error> {
        let sql = format!(
            "SELECT min(seq) FROM unnest($1::bigint[]) AS place (id) CROSS JOIN LATERAL (\
             SELECT seq FROM message WHERE conversation = place.id AND {CLASS} = 0 AND message.time >= $2 \
             ORDER BY message.time LIMIT 1) AS first"
        );
        Ok(self.number(sql, conversations, time).await?.unwrap_or(Seq::MAX))
    }

    /// The number of the last text at this moment or earlier in any of some conversations.
    pub async fn last_until(&mut self, conversations: &[ConversationId], time: u64) -> Result<Seq, Error> {
        let sql = format!(
            "SELECT max(seq) FROM unnest($1::bigint[]) AS place (id) CROSS JOIN LATERAL (\
             SELECT seq FROM message WHERE conversation = place.id AND {CLASS} = 0 AND message.time <= $2 \
             ORDER BY message.time DESC LIMIT 1) AS last"
        );
        Ok(self.number(sql, conversations, time).await?.unwrap_or(0))
    }

    async fn number(&mut self, sql: String, conversations: &[ConversationId], time: u64) -> Result<Option<Seq>, Error> {
        let number = sqlx::query_scalar(AssertSqlSafe(sql))
            .bind(list(conversations))
            .bind(whole(time))
            .fetch_one(&mut self.connection);
        let number: Option<i64> = within(number).await?;
        Ok(number.map(|seq| seq as u64))
    }

    /// The first or last rows that the index has of what `query` means, between two numbers; ascending.
    pub async fn by_terms(
        &mut self,
        query: &SearchQuery,
        first: Seq,
        last: Seq,
    ) -> Result<Vec<(Seq, MessageRow)>, Error> {
        let quoted = |terms: Vec<String>, between| {
            terms.iter().map(|term| format!("'{term}'")).collect::<Vec<_>>().join(between)
        };
        let (places, all) = terms_of(query);
        let mut expression = format!("({})", quoted(places, " | "));
        if !all.is_empty() {
            expression = format!("{} & {expression}", quoted(all, " & "));
        }
        let oldest = query.after.is_some();
        let rows = sqlx::query(AssertSqlSafe(by_terms(if oldest { "ASC" } else { "DESC" })))
            .bind(expression)
            .bind(whole(first))
            .bind(whole(last))
            .bind(query.after.map_or(0, whole))
            .bind(query.before.map_or(i64::MAX, whole))
            .bind(i64::from(query.limit))
            .try_map(|row| message(&row))
            .fetch_all(&mut self.connection);
        let mut rows = within(rows).await?;
        rows.sort_unstable_by_key(|(seq, _)| *seq);
        Ok(rows)
    }

    /// All text of some conversations between two numbers; ascending.
    pub async fn texts(
        &mut self,
        conversations: &[ConversationId],
        first: Seq,
        last: Seq,
    ) -> Result<Vec<(Seq, MessageRow)>, Error> {
        // The numbers are few; the conversations may be long.
        let sql = format!(
            "SELECT {COLUMNS} FROM message WHERE seq >= $1 AND seq <= $2 AND kind <= 1 \
             AND conversation + 0 = ANY($3) ORDER BY seq"
        );
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(whole(first))
            .bind(whole(last))
            .bind(list(conversations))
            .try_map(|row| message(&row))
            .fetch_all(&mut self.connection);
        within(rows).await
    }

    /// Closes the connection.
    pub async fn close(self) -> Result<(), Error> {
        close(self.connection).await
    }
}

/// What [`message`] reads, in its order.
const COLUMNS: &str = "seq, time, kind, bot, source, account, target, tags, argument, text, conversation";

fn message(row: &PgRow) -> Result<(Seq, MessageRow), Error> {
    let kind = u8::try_from(row.try_get::<i16, _>(2)?).ok().and_then(Kind::from_number);
    let message = MessageRow {
        conversation: row.number(10)?,
        time: row.number(1)?,
        kind: kind.ok_or_else(|| Error::Decode("a message that this version does not understand".into()))?,
        bot: row.try_get(3)?,
        source: row.try_get::<&str, _>(4)?.into(),
        account: row.try_get::<Option<&str>, _>(5)?.map(Arc::from),
        target: row.try_get(6)?,
        tags: row.try_get(7)?,
        argument: row.try_get(8)?,
        text: row.try_get(9)?,
    };
    Ok((row.number(0)?, message))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use ircv3::Casemapping;
    use sqlx::{AssertSqlSafe, Connection};

    use super::{Database, Source, about, by_terms, is_interrupted, is_lost};
    use crate::server::record::Kind;
    use crate::store::bed::{Schema, runtime};
    use crate::store::{Options, StoreError, Sync, open};

    /// The steps of a plan, made as the store's are: once for all parameters.
    async fn plan(source: &mut Source, sql: &str, parameters: usize) -> Vec<String> {
        let types = vec!["bigint"; parameters].join(", ");
        let values = vec!["7"; parameters].join(", ");
        let prepare = format!("DEALLOCATE ALL; PREPARE question ({types}) AS {sql}");
        sqlx::raw_sql(AssertSqlSafe(prepare)).execute(&mut source.connection).await.unwrap();
        let explain = format!("EXPLAIN EXECUTE question ({values})");
        sqlx::query_scalar(AssertSqlSafe(explain)).persistent(false).fetch_all(&mut source.connection).await.unwrap()
    }

    #[test]
    fn every_question_is_a_walk_over_a_range_of_an_index_and_sorts_nothing() {
        let Some(schema) = Schema::new() else { return };
        let database = Database::parse(&schema.url(), Sync::Full).unwrap();
        runtime().block_on(async {
            let (writer, _) = database.open().await.unwrap();
            let mut source = database.source().await.unwrap();
            // Whatever the planner knows of the table: nothing, that it is tiny, or that it is large.
            for fill in ["SELECT", "ANALYZE message", LARGE] {
                let mut other = schema.connect().await;
                sqlx::raw_sql(fill).execute(&mut other).await.unwrap();
                other.close().await.unwrap();
                let scans = source.scans.clone();
                for sql in scans.as_flattened() {
                    let steps = plan(&mut source, sql, 4).await;
                    walks_only(&steps, "message_place", &["conversation = ", "\"time\" > ", "\"time\" < "]);
                }
                for sql in &source.searches.clone() {
                    let steps = plan(&mut source, sql, 2).await;
                    walks_only(&steps, "message_place", &["conversation = "]);
                }
                let place = plan(&mut source, "SELECT conversation, time FROM message WHERE seq = $1", 1).await;
                walks_only(&place, "message_pkey", &["seq = "]);
                for kind in [Kind::Tagmsg, Kind::Edit] {
                    let steps = plan(&mut source, &about(kind).replace("$2::", "'{a,b}'::"), 3).await;
                    walks_only(&steps, "message_about", &["conversation = ", "argument = ", "kind = "]);
                }
            }
            source.close().await.unwrap();
            writer.close().await.unwrap();
        });
    }

    #[test]
    fn a_search_goes_by_the_index_of_words_and_ends_when_it_takes_too_long() {
        let Some(schema) = Schema::new() else { return };
        let database = Database::parse(&schema.url(), Sync::Normal).unwrap();
        runtime().block_on(async {
            let (writer, _) = database.open().await.unwrap();
            for rows in ["", LARGE, LARGE_INDEX] {
                let mut other = schema.connect().await;
                sqlx::raw_sql(rows).execute(&mut other).await.unwrap();
                other.close().await.unwrap();
                let mut source = database.searcher().await.unwrap();
                for order in ["ASC", "DESC"] {
                    let sql = by_terms(order).replace("$1::text::tsquery", "'a & b1'::tsquery");
                    let steps = plan(&mut source, &sql, 6).await;
                    assert!(steps.iter().any(|step| step.contains("Bitmap Index Scan on word_terms")), "{steps:#?}");
                    let by_number = |step: &String| step.contains("Index Scan using message_pkey on message");
                    assert!(steps.iter().any(by_number), "{steps:#?}");
                }
                sqlx::query("SET statement_timeout = 1").execute(&mut source.connection).await.unwrap();
                let slow = sqlx::query("SELECT pg_sleep(60)").execute(&mut source.connection).await;
                let error = slow.unwrap_err();
                assert!(is_interrupted(&error) && !is_lost(&error), "{error}");
                source.close().await.unwrap();
            }
            writer.close().await.unwrap();
        });
    }

    const LARGE_INDEX: &str = "INSERT INTO word SELECT seq, time, array_to_tsvector(ARRAY['a', 'b' || seq % 9]) \
        FROM message WHERE kind <= 1; ANALYZE word";
    const LARGE: &str = "INSERT INTO message SELECT n, n % 50, n, n % 11, false, 'a!b@c', NULL, '#a', NULL, NULL, 'hi' \
        FROM generate_series(1, 20000) AS n; ANALYZE message";

    /// Every look at the table is a range of this index, with these conditions on it.
    fn walks_only(steps: &[String], index: &str, conditions: &[&str]) {
        let looks: Vec<usize> = (0..steps.len()).filter(|at| steps[*at].contains(" on message")).collect();
        assert!(!looks.is_empty(), "{steps:#?}");
        // Walks that are in order are merged, never sorted.
        assert!(!steps.iter().any(|step| step.contains("Sort  (")), "{steps:#?}");
        for at in looks {
            let walk = steps[at].contains("Index Scan") || steps[at].contains("Index Only Scan");
            assert!(walk && steps[at].contains(&format!("using {index} ")), "{steps:#?}");
            let condition = &steps[at + 1];
            assert!(condition.contains("Index Cond: "), "{steps:#?}");
            assert!(conditions.iter().all(|part| condition.contains(part)), "{condition}: {steps:#?}");
        }
    }

    #[test]
    fn a_database_of_a_newer_version_and_one_that_is_not_there_are_refused_by_name() {
        let Some(schema) = Schema::new() else { return };
        let try_open = |url| {
            open(Options { url, sync: Sync::Full, casemapping: Casemapping::Ascii, index_lag: 0 }, Arc::new(|_| {}))
        };
        try_open(schema.url()).unwrap().0.close().unwrap();
        schema.run("INSERT INTO _sqlx_migrations VALUES (9999, 'later', now(), true, '', 0)");
        let error = try_open(schema.url()).err().unwrap();
        assert!(matches!(error, StoreError::Migrate { .. }) && error.to_string().contains("newer Roost"), "{error}");
        let error = try_open("postgres://roost:geheim@127.0.0.1:1/nowhere".to_owned()).err().unwrap();
        assert!(matches!(error, StoreError::Open { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains("postgres://roost@127.0.0.1:1/nowhere") && !text.contains("geheim"), "{text}");
        let error = try_open("postgres://roost:geheim@host:port/x".to_owned()).err().unwrap();
        assert!(matches!(error, StoreError::Postgres { .. }) && !error.to_string().contains("geheim"), "{error}");
    }
}
