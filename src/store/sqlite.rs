//! The store's statements in SQLite: WAL mode, one connection that writes, others that read.
//!
//! No memory mapping: a fault of the disk is an error then, and not the end of the process.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Error, SqlSafeStr, Sqlite};

use crate::limits::{INDEX_STEP, STORE_BATCH};
use crate::server::owed;
use crate::server::record::{ConversationId, Kind, MessageRow, MsgId, Record, SearchQuery, Seq, Snapshot, Wanted};
use crate::server::search::{self, terms, terms_of};
use crate::server::session::LoginBy;
use crate::store::reader::{
    Direction, EVENTS_LOOKED_AT, Indexed, Side, Span, WANTED, WANTS, classes, place_of, unwanted,
};
use crate::store::state;
use crate::store::{StoreError, Sync};

/// How long a statement waits for another program to let go of the database; the writer then tries again.
const BUSY: Duration = Duration::from_millis(500);
/// How long the start waits for that.
const BUSY_AT_START: Duration = Duration::from_secs(5);
/// Pages of the log after which a commit copies it into the database: 16 MiB, so that a page which
/// many commits touch is copied once. A task beside the writer that did it made no commit faster.
const CHECKPOINT_PAGES: &str = "4096";
/// Steps of SQLite's after which a search looks at the clock: some hundred microseconds.
const STEPS_A_LOOK: i32 = 1000;
/// In more conversations than this, a search first looks at those messages that have the words anywhere.
const FEW_PLACES: usize = 8;
/// So many of them.
const LOOKED_AT: usize = 2000;
/// The most rows in one INSERT; more are no faster, and each size is a prepared statement.
const INSERT_ROWS: usize = 256;

const COLUMNS: &str = "seq, conversation, time, kind, bot, source, account, target, tags, argument, text";

/// A row as text: its numbers and the lengths of its texts (none for NULL), and then the texts. A page
/// comes as one such value: through sqlx, each row apart costs a change of threads and each column an
/// allocation, which is more than all else that a question costs.
const PACKED: &str = "concat(seq, ',', conversation, ',', time, ',', kind, ',', bot, ',', octet_length(source), ',', \
    octet_length(account), ',', octet_length(target), ',', octet_length(tags), ',', octet_length(argument), ',', \
    octet_length(text), ':', source, account, target, tags, argument, text)";

/// Migrations, oldest first. One that was released is never changed.
const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "first", include_str!("migrations/sqlite/0001_first.sql")),
    (2, "marker", include_str!("migrations/sqlite/0002_marker.sql")),
    (3, "redaction", include_str!("migrations/sqlite/0003_redaction.sql")),
    (4, "metadata", include_str!("migrations/sqlite/0004_metadata.sql")),
    (5, "presence", include_str!("migrations/sqlite/0005_presence.sql")),
    (6, "credentials", include_str!("migrations/sqlite/0006_credentials.sql")),
    (7, "modes", include_str!("migrations/sqlite/0007_modes.sql")),
    (8, "bans", include_str!("migrations/sqlite/0008_bans.sql")),
    (9, "mail", include_str!("migrations/sqlite/0009_mail.sql")),
    (10, "services", include_str!("migrations/sqlite/0010_services.sql")),
    (11, "casemapping", include_str!("migrations/sqlite/0011_casemapping.sql")),
    (12, "words", include_str!("migrations/sqlite/0012_words.sql")),
    (13, "grouped", include_str!("migrations/sqlite/0013_grouped.sql")),
    (14, "webpush", include_str!("migrations/sqlite/0014_webpush.sql")),
    (15, "keeping", include_str!("migrations/sqlite/0015_keeping.sql")),
    (16, "about", include_str!("migrations/sqlite/0016_about.sql")),
    (17, "held", include_str!("migrations/sqlite/0017_held.sql")),
    (18, "closed", include_str!("migrations/sqlite/0018_closed.sql")),
    (19, "owed", include_str!("migrations/sqlite/0019_owed.sql")),
    (20, "login", include_str!("migrations/sqlite/0020_login.sql")),
];

/// Where the database is and how it is opened.
#[derive(Clone)]
pub struct Database {
    path: PathBuf,
    sync: Sync,
}

impl Database {
    /// The database in the file `path`.
    pub fn new(path: PathBuf, sync: Sync) -> Database {
        Database { path, sync }
    }

    /// The file, for messages to people.
    pub fn name(&self) -> Box<str> {
        self.path.display().to_string().into()
    }

    fn options(&self) -> SqliteConnectOptions {
        SqliteConnectOptions::new().filename(&self.path).busy_timeout(BUSY).disable_statement_logging()
    }

    fn writer_options(&self) -> SqliteConnectOptions {
        self.options()
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
            .pragma("journal_size_limit", "67108864")
            .pragma("cache_size", "-32768")
            .pragma("temp_store", "memory")
            // What is redacted is to be nowhere in the file.
            .pragma("secure_delete", "on")
            .thread_name(|_| "store-write".to_owned())
    }

    /// Makes or opens the database, brings its schema up to date, counts this start, and reads the
    /// state. The count is on disk when this returns.
    pub async fn open(&self) -> Result<(Writer, Snapshot), StoreError> {
        let failed = |source| {
            if is_damaged(&source) {
                StoreError::Damaged { path: self.path.clone(), source }
            } else {
                StoreError::Open { database: self.name(), source }
            }
        };
        // Private messages and hashes of passwords: SQLite would make files that everyone may read, and gives those
        // beside the database its mode.
        let file = File::options().create(true).append(true).mode(0o600).open(&self.path);
        file.map_err(|error| failed(Error::Io(error)))?;
        let options = self.writer_options().busy_timeout(BUSY_AT_START);
        let mut connection = options.connect().await.map_err(failed)?;
        // The count of starts, below, is synced, and with it all that is before it in the log.
        sqlx::query("PRAGMA synchronous = NORMAL").execute(&mut connection).await.map_err(failed)?;
        let migrations = MIGRATIONS.iter().map(|(version, name, sql)| {
            Migration::new(*version, (*name).into(), MigrationType::Simple, sql.into_sql_str(), false)
        });
        Migrator::with_migrations(migrations.collect()).run(&mut connection).await.map_err(|source| match source {
            MigrateError::Execute(source) | MigrateError::ExecuteMigration(source, _) if is_damaged(&source) => {
                StoreError::Damaged { path: self.path.clone(), source }
            }
            source => StoreError::Migrate { database: self.name(), source },
        })?;
        sqlx::query("PRAGMA synchronous = FULL").execute(&mut connection).await.map_err(failed)?;
        // What cannot be read stays as it is: the start counts only where all is there.
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
        let snapshot = load(&mut transaction).await.map_err(failed)?;
        renew_index(&mut transaction).await.map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        self.set_sync(&mut connection).await.map_err(failed)?;
        set_patience(&mut connection, BUSY).await.map_err(failed)?;
        Ok((Writer { connection, inserts: inserts() }, snapshot))
    }

    /// A new connection that writes, after one has failed.
    pub async fn reconnect(&self) -> Result<Writer, Error> {
        let mut connection = self.writer_options().connect().await?;
        self.set_sync(&mut connection).await?;
        Ok(Writer { connection, inserts: inserts() })
    }

    async fn set_sync(&self, connection: &mut SqliteConnection) -> Result<(), Error> {
        if self.sync == Sync::Normal {
            sqlx::query("PRAGMA synchronous = NORMAL").execute(connection).await?;
        }
        Ok(())
    }

    /// A connection that reads all of what there is of somebody.
    pub async fn exporter(&self) -> Result<SqliteConnection, Error> {
        self.options().busy_timeout(BUSY_AT_START).read_only(true).connect().await
    }

    /// A connection that reads.
    pub async fn source(&self) -> Result<Source, Error> {
        let options = self.options().read_only(true).pragma("cache_size", "-8192");
        let connection = options.thread_name(|n| format!("store-read-{n}")).connect().await?;
        Ok(Source { connection, scans: WANTED.map(scans), searches: WANTED.map(search) })
    }
}

/// Whether it took longer than it may.
pub fn is_interrupted(error: &Error) -> bool {
    code(error) == Some(9)
}

/// Whether another program holds the database.
pub fn is_held(error: &Error) -> bool {
    matches!(code(error), Some(5 | 6))
}

/// Whether the file is damaged, or no database at all.
fn is_damaged(error: &Error) -> bool {
    matches!(code(error), Some(11 | 26))
}

/// SQLite's primary result code (<https://www.sqlite.org/rescode.html>).
fn code(error: &Error) -> Option<u32> {
    Some(error.as_database_error()?.code()?.parse::<u32>().ok()? & 0xff)
}

/// Classes of rows, as the index has them: text, events, redactions.
const CLASS: &str = "((kind > 1) + (kind = 10))";

/// Pages of the kinds that are wanted, from the old end and from the new.
fn scans(wanted: Wanted) -> [Arc<str>; 2] {
    ["ASC", "DESC"].map(|order| {
        let of_class = |class: u8| {
            let rows =
                format!("FROM message WHERE conversation = ?1 AND {CLASS} = {class} AND time > ?2 AND time < ?3");
            match unwanted(wanted, class) {
                None => format!("SELECT seq, time {rows}"),
                Some(kinds) => format!(
                    "SELECT seq, time FROM (SELECT seq, time, kind {rows} ORDER BY time {order}, seq {order} \
                     LIMIT {EVENTS_LOOKED_AT}) WHERE kind NOT IN ({kinds})"
                ),
            }
        };
        let places = classes(wanted).into_iter().map(of_class).collect::<Vec<_>>().join(" UNION ALL ");
        Arc::from(format!(
            "SELECT group_concat({PACKED}, '') FROM message WHERE seq IN \
             (SELECT seq FROM ({places} ORDER BY time {order}, seq {order} LIMIT ?4))"
        ))
    })
}

/// The moment up to which rows have numbers of at most ?2, found by halving: some 40 steps.
fn search(wanted: Wanted) -> Arc<str> {
    let of_class = |class: u8| {
        format!(
            "ifnull((SELECT seq FROM message WHERE conversation = ?1 AND {CLASS} = {class} AND time >= low + (high \
             - low) / 2 ORDER BY time, seq LIMIT 1), 0x7fffffffffffffff)"
        )
    };
    let newest_of_class = |class: u8| {
        format!(
            "ifnull((SELECT time FROM message WHERE conversation = ?1 AND {CLASS} = {class} \
             ORDER BY time DESC LIMIT 1), -1)"
        )
    };
    // With one argument, min and max would be aggregates.
    let of_all = |what: &str, each: &dyn Fn(u8) -> String| match &*classes(wanted) {
        [class] => each(*class),
        classes => format!("{what}({})", classes.iter().map(|class| each(*class)).collect::<Vec<_>>().join(", ")),
    };
    let (first, newest) = (of_all("min", &of_class), of_all("max", &newest_of_class));
    Arc::from(format!(
        "WITH RECURSIVE halving (low, high) AS (SELECT -1, {newest} + 1 UNION ALL \
         SELECT iif({first} <= ?2, low + (high - low) / 2, low), iif({first} <= ?2, high, low + (high - low) / 2) \
         FROM halving WHERE high - low > 1) SELECT max(low) FROM halving"
    ))
}

/// Messages that have terms, between two numbers and two moments: the first or the last.
fn by_terms(order: &str) -> Arc<str> {
    Arc::from(format!(
        "SELECT group_concat({PACKED}, '') FROM message WHERE seq IN (SELECT seq FROM (\
         SELECT message.seq AS seq FROM word CROSS JOIN message ON message.seq = word.rowid \
         WHERE word MATCH ?1 AND word.rowid >= ?2 AND word.rowid <= ?3 AND message.time >= ?4 AND message.time <= ?5 \
         ORDER BY word.rowid {order} LIMIT ?6))"
    ))
}

/// The same of some conversations, among the first or the last that have the terms; and how many of these there are.
fn among(order: &str) -> Arc<str> {
    Arc::from(format!(
        "WITH some AS MATERIALIZED (SELECT rowid AS seq FROM word \
         WHERE word MATCH ?1 AND rowid >= ?2 AND rowid <= ?3 ORDER BY rowid {order} LIMIT {LOOKED_AT}) \
         SELECT (SELECT count(*) FROM some), (SELECT group_concat({PACKED}, '') FROM message WHERE seq IN (\
         SELECT message.seq FROM some CROSS JOIN message ON message.seq = some.seq \
         WHERE message.time >= ?4 AND message.time <= ?5 AND message.conversation IN (SELECT value FROM json_each(?7)) \
         ORDER BY message.seq {order} LIMIT ?6))"
    ))
}

/// Text between two numbers in some conversations. The numbers are few; the conversations may be long.
fn texts() -> String {
    format!(
        "SELECT group_concat({PACKED}, '') FROM message WHERE seq >= ?1 AND seq <= ?2 AND kind <= 1 \
         AND +conversation IN (SELECT value FROM json_each(?3))"
    )
}

/// The numbers of the newest rows of a kind that are about each of some messages of a conversation, as
/// `place:number,number` for each message that has some, with spaces between.
fn about(kind: Kind) -> String {
    format!(
        "SELECT group_concat(key || ':' || (SELECT group_concat(seq) FROM (SELECT seq FROM message \
         WHERE conversation = ?1 AND argument = value AND {ABOUT} AND kind = {} ORDER BY seq DESC LIMIT ?3)), \
         ' ') FROM json_each(?2)",
        kind as u8
    )
}

/// The moment of a row of a class, counted from a moment back.
fn nth_newest(class: u8) -> String {
    format!(
        "SELECT time FROM message WHERE conversation = ?1 AND {CLASS} = {class} AND time < ?2 \
         ORDER BY time DESC LIMIT 1 OFFSET ?3"
    )
}

/// The numbers of the oldest rows of a class before a moment.
fn oldest(class: u8) -> String {
    format!(
        "SELECT seq FROM message WHERE conversation = ?1 AND {CLASS} = {class} AND time < ?2 ORDER BY time LIMIT ?3"
    )
}

/// Deletes what is about messages between two ids.
fn gone_about() -> String {
    format!(
        "DELETE FROM message WHERE seq IN (SELECT seq FROM message \
         WHERE conversation = ?1 AND argument >= ?2 AND argument <= ?3 AND {ABOUT} LIMIT ?4)"
    )
}

/// Rows that are about another, whose id is their argument: what the index `message_about` has.
const ABOUT: &str = "kind IN (2, 10, 11)";

/// INSERTs of 1, 2, 4, ... rows.
fn inserts() -> Vec<Arc<str>> {
    let count = COLUMNS.split(',').count();
    let row = format!("({})", vec!["?"; count].join(","));
    let sizes = std::iter::successors(Some(1), |n| (n * 2 <= INSERT_ROWS).then_some(n * 2));
    sizes
        .map(|n| {
            let rows = vec![row.as_str(); n].join(",");
            // A commit whose outcome was not seen is done again.
            Arc::from(format!("INSERT INTO message ({COLUMNS}) VALUES {rows} ON CONFLICT (seq) DO NOTHING"))
        })
        .collect()
}

/// The connection that writes.
pub struct Writer {
    connection: SqliteConnection,
    inserts: Vec<Arc<str>>,
}

impl Writer {
    /// Writes a batch in one transaction. Doing it twice is as doing it once. After an error the
    /// writer is of no more use.
    pub async fn write(&mut self, batch: &[(Seq, Record)]) -> Result<(), Error> {
        let mut messages = Vec::with_capacity(batch.len().min(STORE_BATCH));
        let mut others = Vec::new();
        for (seq, record) in batch {
            match record {
                Record::Message(row) => messages.push((*seq, &**row)),
                other => others.push(other),
            }
        }
        // One statement is a transaction by itself.
        if others.is_empty() && messages.len().is_power_of_two() && messages.len() <= INSERT_ROWS {
            return insert(&mut self.connection, &self.inserts, &messages).await;
        }
        let mut transaction = self.connection.begin_with("BEGIN IMMEDIATE").await?;
        // Some of the others are about messages of this batch.
        insert(&mut transaction, &self.inserts, &messages).await?;
        for record in others {
            apply(&mut transaction, record).await?;
        }
        transaction.commit().await
    }

    /// Puts the words of the next messages that lack it into the index; how many rows were looked at.
    pub async fn index(&mut self, side: Side) -> Result<usize, Error> {
        let indexed = indexed(&mut self.connection).await?;
        let (mark, next) = match side {
            Side::Newer => (indexed.high, "seq > ?1 ORDER BY seq"),
            Side::Older => (indexed.low, "seq < ?1 ORDER BY seq DESC"),
        };
        let sql = format!(
            "SELECT group_concat({PACKED}, '') FROM message WHERE seq IN (SELECT seq FROM message WHERE {next} LIMIT ?2)"
        );
        let packed = sqlx::query_scalar(AssertSqlSafe(sql)).bind(mark as i64).bind(INDEX_STEP as i64);
        let rows = unpack(packed.fetch_one(&mut self.connection).await?)?;
        let (Some((first, _)), Some((last, _))) = (rows.first(), rows.last()) else { return Ok(0) };
        let texts = rows.iter().filter(|(_, row)| row.kind.is_text());
        let words: Vec<(Seq, String)> =
            texts.map(|(seq, row)| (*seq, terms(row.conversation, &row.source, &row.text))).collect();
        let words = serde_json::to_string(&words).map_err(|error| Error::Encode(error.into()))?;
        let mut transaction = self.connection.begin_with("BEGIN IMMEDIATE").await?;
        sqlx::query("INSERT INTO word (rowid, terms) SELECT value ->> 0, value ->> 1 FROM json_each(?)")
            .bind(words)
            .execute(&mut *transaction)
            .await?;
        sqlx::query("UPDATE indexed SET low = min(low, ?), high = max(high, ?)")
            .bind(*first as i64)
            .bind(*last as i64)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
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
        sqlx::query_scalar(AssertSqlSafe(nth_newest(class)))
            .bind(conversation as i64)
            .bind(before)
            .bind(nth.saturating_sub(1))
            .fetch_optional(&mut self.connection)
            .await
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
        let oldest = oldest(class);
        if class != 0 {
            let gone = format!("DELETE FROM message WHERE seq IN ({oldest})");
            let gone = sqlx::query(AssertSqlSafe(gone)).bind(conversation as i64).bind(before).bind(limit as i64);
            let rows = gone.execute(&mut self.connection).await?.rows_affected();
            return Ok((rows, rows as usize == limit));
        }
        let mut transaction = self.connection.begin_with("BEGIN IMMEDIATE").await?;
        let packed = format!("SELECT group_concat({PACKED}, '') FROM message WHERE seq IN ({oldest})");
        let packed = sqlx::query_scalar(AssertSqlSafe(packed)).bind(conversation as i64).bind(before);
        let rows = unpack(packed.bind(limit as i64).fetch_one(&mut *transaction).await?)?;
        let Some((last, _)) = rows.last() else { return Ok((0, false)) };
        // First what is about them: whenever this ends, nothing is about what is not there.
        let about = sqlx::query(AssertSqlSafe(gone_about()));
        let [first, last] = [0, *last].map(|seq| MsgId { epoch, seq }.to_string());
        let about = about.bind(conversation as i64).bind(first).bind(last).bind(limit as i64);
        let about = about.execute(&mut *transaction).await?.rows_affected();
        if about as usize == limit {
            transaction.commit().await?;
            return Ok((about, true));
        }
        let indexed = indexed(&mut transaction).await?;
        let there = rows.iter().filter(|(seq, _)| indexed.low <= *seq && *seq <= indexed.high);
        let words: Vec<(Seq, String)> =
            there.map(|(seq, row)| (*seq, terms(row.conversation, &row.source, &row.text))).collect();
        let json = |error: serde_json::Error| Error::Encode(error.into());
        let words = serde_json::to_string(&words).map_err(json)?;
        sqlx::query(
            "INSERT INTO word (word, rowid, terms) SELECT 'delete', value ->> 0, value ->> 1 FROM json_each(?)",
        )
        .bind(words)
        .execute(&mut *transaction)
        .await?;
        let seqs: Vec<Seq> = rows.iter().map(|(seq, _)| *seq).collect();
        let seqs = serde_json::to_string(&seqs).map_err(json)?;
        let gone = sqlx::query("DELETE FROM message WHERE seq IN (SELECT value FROM json_each(?))").bind(seqs);
        gone.execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok((about + rows.len() as u64, rows.len() == limit))
    }

    /// Empties the log into the database and cuts it off, so that nothing which was deleted can be read there; whether
    /// that was possible. Waits for nobody: where somebody reads an older state of the database, it was not.
    pub async fn scrub(&mut self) -> Result<bool, Error> {
        set_patience(&mut self.connection, Duration::ZERO).await?;
        let emptied = sqlx::query_as("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&mut self.connection).await;
        set_patience(&mut self.connection, BUSY).await?;
        let (was_busy, _, _): (bool, i64, i64) = emptied?;
        Ok(!was_busy)
    }

    /// Closes the connection; the last one to go empties the log into the database.
    pub async fn close(self) -> Result<(), Error> {
        self.connection.close().await
    }
}

/// How long statements of a connection wait for others.
async fn set_patience(connection: &mut SqliteConnection, patience: Duration) -> Result<(), Error> {
    let patience = format!("PRAGMA busy_timeout = {}", patience.as_millis());
    sqlx::query(AssertSqlSafe(patience)).execute(connection).await.map(drop)
}

async fn insert(
    connection: &mut SqliteConnection,
    inserts: &[Arc<str>],
    mut messages: &[(Seq, &MessageRow)],
) -> Result<(), Error> {
    for (power, sql) in inserts.iter().enumerate().rev() {
        while messages.len() >= 1 << power {
            let (now, later) = messages.split_at(1 << power);
            messages = later;
            let mut query = sqlx::query(AssertSqlSafe(sql.clone()));
            for (seq, row) in now {
                query = bind(query, *seq, row);
            }
            query.execute(&mut *connection).await?;
        }
    }
    Ok(())
}

fn bind<'q>(
    query: Query<'q, Sqlite, SqliteArguments>,
    seq: Seq,
    row: &MessageRow,
) -> Query<'q, Sqlite, SqliteArguments> {
    query
        .bind(seq as i64)
        .bind(row.conversation as i64)
        .bind(row.time as i64)
        .bind(row.kind as i32)
        .bind(i32::from(row.bot))
        .bind(row.source.clone())
        .bind(row.account.clone())
        .bind(&*row.target)
        .bind(row.tags.as_deref())
        .bind(row.argument.as_deref())
        .bind(&*row.text)
}

async fn apply(connection: &mut SqliteConnection, record: &Record) -> Result<(), Error> {
    let query = match record {
        Record::Message(_) => return Ok(()),
        Record::Conversation(row) => sqlx::query(
            "INSERT INTO conversation (id, key, closed, since) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO UPDATE \
             SET key = excluded.key, closed = excluded.closed, since = excluded.since",
        )
        .bind(row.id as i64)
        .bind(&*row.key)
        .bind(row.closed)
        .bind(row.since as i64),
        Record::Account(row) => sqlx::query(
            "INSERT OR REPLACE INTO account (id, name, folded, password, registered, autoreplay_missed, always_on, \
             multiclient, email, verified) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(row.id as i64)
        .bind(&*row.name)
        .bind(&*row.folded)
        .bind(&*row.password)
        .bind(row.registered as i64)
        .bind(row.autoreplay_missed)
        .bind(row.always_on)
        .bind(row.multiclient)
        .bind(row.email.as_deref())
        .bind(row.verified),
        Record::AccountGone(id) => {
            let seen = sqlx::query("DELETE FROM seen WHERE account = ?").bind(*id as i64);
            seen.execute(&mut *connection).await?;
            let markers = sqlx::query("DELETE FROM marker WHERE account = ?").bind(*id as i64);
            markers.execute(&mut *connection).await?;
            let presence = sqlx::query("DELETE FROM presence WHERE account = ?").bind(*id as i64);
            presence.execute(&mut *connection).await?;
            // Its own, and what it says of others: `$7`, and `$7 ` up to what comes after a space.
            let metadata = sqlx::query("DELETE FROM metadata WHERE owner = ? OR (owner > ? AND owner < ?)");
            let metadata = metadata.bind(format!("${id}")).bind(format!("${id} ")).bind(format!("${id}!"));
            metadata.execute(&mut *connection).await?;
            let subscriptions = sqlx::query("DELETE FROM subscription WHERE account = ?").bind(*id as i64);
            subscriptions.execute(&mut *connection).await?;
            let pushed = sqlx::query("DELETE FROM pushed WHERE account = ?").bind(*id as i64);
            pushed.execute(&mut *connection).await?;
            let settings = sqlx::query("DELETE FROM setting WHERE owner = ?").bind(format!("${id}"));
            settings.execute(&mut *connection).await?;
            let credentials = sqlx::query("DELETE FROM credential WHERE account = ?").bind(*id as i64);
            credentials.execute(&mut *connection).await?;
            let codes = sqlx::query("DELETE FROM code WHERE account = ?").bind(*id as i64);
            codes.execute(&mut *connection).await?;
            let access = sqlx::query("DELETE FROM access WHERE account = ?").bind(*id as i64);
            access.execute(&mut *connection).await?;
            let suspension = sqlx::query("DELETE FROM suspension WHERE account = ?").bind(*id as i64);
            suspension.execute(&mut *connection).await?;
            let grouped = sqlx::query("DELETE FROM grouped WHERE account = ?").bind(*id as i64);
            grouped.execute(&mut *connection).await?;
            sqlx::query("DELETE FROM account WHERE id = ?").bind(*id as i64)
        }
        Record::Credentials(row) => {
            let gone = sqlx::query("DELETE FROM credential WHERE account = ?").bind(row.account as i64);
            gone.execute(&mut *connection).await?;
            for (kind, text) in row.credentials.rows() {
                let kept = sqlx::query("INSERT INTO credential (account, kind, text) VALUES (?, ?, ?)");
                kept.bind(row.account as i64).bind(kind).bind(text).execute(&mut *connection).await?;
            }
            return Ok(());
        }
        // Wrong codes are not counted here any more.
        Record::Code(row) => sqlx::query(
            "INSERT OR REPLACE INTO code (account, purpose, code, email, expires, wrong, mailed) \
             VALUES (?, ?, ?, ?, ?, 0, ?)",
        )
        .bind(row.account as i64)
        .bind(row.purpose.word())
        .bind(&*row.code)
        .bind(&*row.email)
        .bind(row.expires as i64)
        .bind(row.mailed),
        Record::CodeGone(account, purpose) => {
            let gone = sqlx::query("DELETE FROM code WHERE account = ? AND purpose = ?");
            gone.bind(*account as i64).bind(purpose.word())
        }
        Record::Channel(row) => {
            let (topic, setter, set_at) = match &row.topic {
                Some((topic, setter, set_at)) => (Some(&**topic), Some(&**setter), Some(*set_at as i64)),
                None => (None, None, None),
            };
            sqlx::query(
                "INSERT OR REPLACE INTO channel (folded, name, founder, registered, created, topic, topic_setter, \
                 topic_set_at, modes, key, \"limit\", forward, transfer) \
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            )
            .bind(&*row.folded)
            .bind(&*row.name)
            .bind(row.founder.map(|account| account as i64))
            .bind(row.registered as i64)
            .bind(row.created as i64)
            .bind(topic)
            .bind(setter)
            .bind(set_at)
            .bind(&*row.modes)
            .bind(row.key.as_deref())
            .bind(row.limit)
            .bind(row.forward.as_deref())
            .bind(row.transfer.map(|account| account as i64))
        }
        Record::ChannelGone(folded) => {
            let list = sqlx::query("DELETE FROM list WHERE channel = ?").bind(&**folded);
            list.execute(&mut *connection).await?;
            let access = sqlx::query("DELETE FROM access WHERE channel = ?").bind(&**folded);
            access.execute(&mut *connection).await?;
            let metadata = sqlx::query("DELETE FROM metadata WHERE owner = ?").bind(&**folded);
            metadata.execute(&mut *connection).await?;
            let settings = sqlx::query("DELETE FROM setting WHERE owner = ?").bind(&**folded);
            settings.execute(&mut *connection).await?;
            sqlx::query("DELETE FROM channel WHERE folded = ?").bind(&**folded)
        }
        Record::ListEntry(row) => {
            sqlx::query("INSERT OR REPLACE INTO list (channel, mode, mask, setter, set_at) VALUES (?, ?, ?, ?, ?)")
                .bind(&*row.channel)
                .bind(row.mode.to_string())
                .bind(&*row.mask)
                .bind(&*row.setter)
                .bind(row.set_at as i64)
        }
        Record::ListEntryGone(channel, mode, mask) => {
            sqlx::query("DELETE FROM list WHERE channel = ? AND mode = ? AND mask = ?")
                .bind(&**channel)
                .bind(mode.to_string())
                .bind(&**mask)
        }
        Record::Seen(row) => {
            sqlx::query("INSERT OR REPLACE INTO seen (account, device, seq, owed) VALUES (?, ?, ?, ?)")
                .bind(row.account as i64)
                .bind(&*row.device)
                .bind(row.seq.map(|seq| seq as i64))
                .bind(owed::text(&row.owed))
        }
        Record::Marker(row) => {
            sqlx::query("INSERT OR REPLACE INTO marker (account, conversation, time) VALUES (?, ?, ?)")
                .bind(row.account as i64)
                .bind(&*row.conversation)
                .bind(row.time as i64)
        }
        Record::MarkerGone(account, conversation) => {
            let gone = sqlx::query("DELETE FROM marker WHERE account = ? AND conversation = ?");
            gone.bind(*account as i64).bind(&**conversation)
        }
        Record::Ban(row) => sqlx::query(
            "INSERT OR REPLACE INTO ban (target, reason, oper_reason, setter, set_at, expires, unless_logged_in) \
             VALUES (?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(&*row.target)
        .bind(&*row.reason)
        .bind(&*row.oper_reason)
        .bind(&*row.setter)
        .bind(row.set_at as i64)
        .bind(row.expires.map(|expires| expires as i64))
        .bind(row.unless_logged_in),
        Record::BanGone(target) => sqlx::query("DELETE FROM ban WHERE target = ?").bind(&**target),
        Record::Presence(row) => sqlx::query(
            "INSERT OR REPLACE INTO presence (account, since, nick, user, host, realname, modes, away, channels, \
             signon, gone) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(row.account as i64)
        .bind(row.since as i64)
        .bind(&*row.nick)
        .bind(&*row.user)
        .bind(&*row.hosts)
        .bind(&*row.realname)
        .bind(&*row.modes)
        .bind(row.away.as_deref())
        .bind(&*row.channels)
        .bind(row.signon as i64)
        .bind(row.left as i64),
        Record::PresenceGone(account) => sqlx::query("DELETE FROM presence WHERE account = ?").bind(*account as i64),
        Record::Metadata(row) => match &row.value {
            Some(value) => sqlx::query("INSERT OR REPLACE INTO metadata (owner, key, value) VALUES (?, ?, ?)")
                .bind(&*row.owner)
                .bind(&*row.key)
                .bind(&**value),
            None => sqlx::query("DELETE FROM metadata WHERE owner = ? AND key = ?").bind(&*row.owner).bind(&*row.key),
        },
        Record::Subscription(row) => sqlx::query(
            "INSERT OR REPLACE INTO subscription (account, endpoint, keys, vapid, device, app, caps, made, renewed, \
             reached, login) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(row.account as i64)
        .bind(&*row.endpoint)
        .bind(row.keys.to_string())
        .bind(row.vapid)
        .bind(&*row.device)
        .bind(&*row.app)
        .bind(&*row.caps)
        .bind(row.made as i64)
        .bind(row.renewed as i64)
        .bind(row.reached as i64)
        .bind(LoginBy::text(row.by.as_ref())),
        Record::SubscriptionGone(account, endpoint) => {
            let gone = sqlx::query("DELETE FROM subscription WHERE account = ? AND endpoint = ?");
            gone.bind(*account as i64).bind(&**endpoint)
        }
        Record::Pushed(row) => {
            sqlx::query("INSERT OR REPLACE INTO pushed (account, conversation, first) VALUES (?, ?, ?)")
                .bind(row.account as i64)
                .bind(&*row.conversation)
                .bind(row.first as i64)
        }
        Record::PushedGone(account, conversation) => {
            let gone = sqlx::query("DELETE FROM pushed WHERE account = ? AND conversation = ?");
            gone.bind(*account as i64).bind(&**conversation)
        }
        // A subscription may depend on the one that is there.
        Record::Vapid(row) => {
            sqlx::query("INSERT OR IGNORE INTO vapid (id, private) VALUES (?, ?)").bind(row.id).bind(&*row.private)
        }
        Record::Setting(row) => match &row.value {
            Some(value) => sqlx::query("INSERT OR REPLACE INTO setting (owner, key, value) VALUES (?, ?, ?)")
                .bind(&*row.owner)
                .bind(&*row.key)
                .bind(&**value),
            None => sqlx::query("DELETE FROM setting WHERE owner = ? AND key = ?").bind(&*row.owner).bind(&*row.key),
        },
        Record::Access(row) => sqlx::query("INSERT OR REPLACE INTO access (channel, account, rank) VALUES (?, ?, ?)")
            .bind(&*row.channel)
            .bind(row.account as i64)
            .bind(row.rank.letter().to_string()),
        Record::AccessGone(channel, account) => {
            let gone = sqlx::query("DELETE FROM access WHERE channel = ? AND account = ?");
            gone.bind(&**channel).bind(*account as i64)
        }
        Record::Grouped(row) => {
            sqlx::query("INSERT OR REPLACE INTO grouped (folded, nick, account, added) VALUES (?, ?, ?, ?)")
                .bind(&*row.folded)
                .bind(&*row.nick)
                .bind(row.account as i64)
                .bind(row.added as i64)
        }
        Record::GroupedGone(folded) => sqlx::query("DELETE FROM grouped WHERE folded = ?").bind(&**folded),
        Record::Suspension(row) => sqlx::query(
            "INSERT OR REPLACE INTO suspension (account, reason, setter, set_at, expires) VALUES (?, ?, ?, ?, ?)",
        )
        .bind(row.account as i64)
        .bind(&*row.reason)
        .bind(&*row.setter)
        .bind(row.set_at as i64)
        .bind(row.expires.map(|expires| expires as i64)),
        Record::SuspensionGone(account) => {
            sqlx::query("DELETE FROM suspension WHERE account = ?").bind(*account as i64)
        }
        Record::Purge(row) => {
            sqlx::query("INSERT OR REPLACE INTO purge (channel, reason, setter, set_at) VALUES (?, ?, ?, ?)")
                .bind(&*row.channel)
                .bind(&*row.reason)
                .bind(&*row.setter)
                .bind(row.set_at as i64)
        }
        Record::PurgeGone(channel) => sqlx::query("DELETE FROM purge WHERE channel = ?").bind(&**channel),
        // There is no index for it: it is done rarely, and an index would cost each message.
        Record::Erased { account, after, before } => {
            let said = "SELECT seq FROM message WHERE seq > ? AND seq < ? AND account = ? AND kind <= 1";
            let said = sqlx::query_scalar(said).bind(*after as i64).bind(*before as i64).bind(&**account);
            let all: Vec<i64> = said.fetch_all(&mut *connection).await?;
            for seq in all {
                unindex(connection, seq as Seq).await?;
            }
            sqlx::query("DELETE FROM message WHERE seq > ? AND seq < ? AND account = ?")
                .bind(*after as i64)
                .bind(*before as i64)
                .bind(&**account)
        }
        Record::Casemapping(casemapping) => sqlx::query("UPDATE meta SET casemapping = ?").bind(casemapping.token()),
        Record::Edited(seq, row) => {
            if unindex(connection, *seq).await? {
                let insert = sqlx::query("INSERT INTO word (rowid, terms) VALUES (?, ?)").bind(*seq as i64);
                let terms = terms(row.conversation, &row.source, &row.text);
                insert.bind(terms).execute(&mut *connection).await?;
            }
            sqlx::query("UPDATE message SET text = ? WHERE seq = ?").bind(&*row.text).bind(*seq as i64)
        }
        Record::Redacted(seq) => {
            unindex(connection, *seq).await?;
            sqlx::query("DELETE FROM message WHERE seq = ?").bind(*seq as i64)
        }
        Record::AboutGone(conversation, id) => {
            sqlx::query("DELETE FROM message WHERE conversation = ? AND argument = ? AND kind IN (2, 11)")
                .bind(*conversation as i64)
                .bind(&**id)
        }
    };
    query.execute(connection).await?;
    Ok(())
}

/// Takes a message's words out of the index; whether they were there.
async fn unindex(connection: &mut SqliteConnection, seq: Seq) -> Result<bool, Error> {
    let there: Option<(i64, String, String)> = sqlx::query_as(
        "SELECT conversation, source, text FROM message WHERE seq = ? AND kind <= 1 \
         AND EXISTS (SELECT * FROM indexed WHERE low <= seq AND seq <= high)",
    )
    .bind(seq as i64)
    .fetch_optional(&mut *connection)
    .await?;
    let Some((conversation, source, text)) = there else { return Ok(false) };
    sqlx::query("INSERT INTO word (word, rowid, terms) VALUES ('delete', ?, ?)")
        .bind(seq as i64)
        .bind(terms(conversation as u64, &source, &text))
        .execute(connection)
        .await?;
    Ok(true)
}

async fn indexed(connection: &mut SqliteConnection) -> Result<Indexed, Error> {
    let (low, high): (i64, i64) = sqlx::query_as("SELECT low, high FROM indexed").fetch_one(connection).await?;
    Ok(Indexed { low: low as u64, high: high as u64 })
}

/// Empties an index that another version made, or that is new: it is filled while the server runs.
async fn renew_index(connection: &mut SqliteConnection) -> Result<(), Error> {
    let renewed = sqlx::query(
        "UPDATE indexed SET version = ?1, low = newest + 1, high = newest \
         FROM (SELECT coalesce(max(seq), 0) AS newest FROM message) WHERE version <> ?1",
    );
    if renewed.bind(search::VERSION).execute(&mut *connection).await?.rows_affected() > 0 {
        sqlx::query("INSERT INTO word (word) VALUES ('delete-all')").execute(connection).await?;
    }
    Ok(())
}

/// Counts this start, settles the devices that were connected at the last end, and reads the state.
async fn load(connection: &mut SqliteConnection) -> Result<Snapshot, Error> {
    let last_seq: Option<i64> = sqlx::query_scalar("SELECT max(seq) FROM message").fetch_one(&mut *connection).await?;
    let seen_seq: Option<i64> = sqlx::query_scalar("SELECT max(seq) FROM seen").fetch_one(&mut *connection).await?;
    let last_seq = last_seq.max(seen_seq).unwrap_or(0);

    sqlx::query("INSERT INTO meta (only, epoch, boot) VALUES (1, ?, 0) ON CONFLICT (only) DO NOTHING")
        .bind(rand::random::<u32>())
        .execute(&mut *connection)
        .await?;
    let (epoch, boot, secret, casemapping): (u32, u32, Vec<u8>, String) = sqlx::query_as(
        "UPDATE meta SET boot = boot + 1, seed = coalesce(seed, ?) RETURNING epoch, boot, seed, casemapping",
    )
    .bind(rand::random::<[u8; 32]>().to_vec())
    .fetch_one(&mut *connection)
    .await?;
    let casemapping = state::casemapping(&casemapping)?;
    let secret = secret.try_into().map_err(|_| Error::Decode("a secret that is not 32 bytes".into()))?;
    let connected = sqlx::query("UPDATE seen SET seq = ? WHERE seq IS NULL").bind(last_seq);
    connected.execute(&mut *connection).await?;

    // Three seeks a conversation, however long it is.
    let newest = [0, 1, 2].map(|class| {
        format!("(SELECT time FROM message WHERE conversation = id AND {CLASS} = {class} ORDER BY time DESC LIMIT 1)")
    });
    let sql = format!("SELECT id, key, {}, closed, since FROM conversation ORDER BY id", newest.join(", "));
    let conversations = state::conversations::<Sqlite>(&mut *connection, &sql).await?;
    let last_seq = last_seq as u64;
    let begun = Snapshot { epoch, secret, boot, casemapping, last_seq, conversations, ..Snapshot::default() };
    state::complete::<Sqlite>(connection, begun).await
}

/// A connection that reads messages.
pub struct Source {
    connection: SqliteConnection,
    /// By [`place_of`], then direction.
    scans: [[Arc<str>; 2]; WANTS],
    /// By [`place_of`].
    searches: [Arc<str>; WANTS],
}

impl Source {
    /// The conversation and time of a row.
    pub async fn place(&mut self, seq: Seq) -> Result<Option<(ConversationId, i64)>, Error> {
        let row: Option<(i64, i64)> = sqlx::query_as("SELECT conversation, time FROM message WHERE seq = ?")
            .bind(i64::try_from(seq).unwrap_or(i64::MAX))
            .fetch_optional(&mut self.connection)
            .await?;
        Ok(row.map(|(conversation, time)| (conversation as u64, time)))
    }

    /// A moment such that the rows up to it are those with numbers up to `seq`; -1 where there is none.
    pub async fn search(&mut self, conversation: ConversationId, wanted: Wanted, seq: Seq) -> Result<i64, Error> {
        sqlx::query_scalar(AssertSqlSafe(self.searches[place_of(wanted)].clone()))
            .bind(conversation as i64)
            .bind(i64::try_from(seq).unwrap_or(i64::MAX - 1))
            .fetch_one(&mut self.connection)
            .await
    }

    /// The first `limit` rows in `span`, in its direction; ascending, whatever that is.
    pub async fn scan(&mut self, span: Span, limit: u32) -> Result<Vec<(Seq, MessageRow)>, Error> {
        let sql = &self.scans[place_of(span.wanted)][usize::from(span.direction == Direction::Newest)];
        let packed = sqlx::query_scalar(AssertSqlSafe(sql.clone()))
            .bind(span.conversation as i64)
            .bind(span.after)
            .bind(span.before)
            .bind(limit)
            .fetch_one(&mut self.connection);
        unpack(packed.await?)
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
        let msgids = serde_json::to_string(msgids).map_err(|error| Error::Encode(error.into()))?;
        let packed = sqlx::query_scalar(AssertSqlSafe(about(kind)))
            .bind(conversation as i64)
            .bind(msgids)
            .bind(most as i64)
            .fetch_one(&mut self.connection);
        let packed: Option<String> = packed.await?;
        let all = packed.as_deref().unwrap_or("").split_ascii_whitespace().map(|one| {
            let (place, seqs) = one.split_once(':')?;
            let place: usize = place.parse().ok()?;
            seqs.split(',').map(|seq| Some((place, seq.parse().ok()?))).collect::<Option<Vec<(usize, Seq)>>>()
        });
        let all: Option<Vec<_>> = all.collect();
        Ok(all.ok_or_else(|| Error::Decode("no number where one must be".into()))?.concat())
    }

    /// The rows with these numbers.
    pub async fn rows_of(&mut self, seqs: &[Seq]) -> Result<Vec<(Seq, MessageRow)>, Error> {
        let sql =
            format!("SELECT group_concat({PACKED}, '') FROM message WHERE seq IN (SELECT value FROM json_each(?))");
        let packed = sqlx::query_scalar(AssertSqlSafe(sql)).bind(list(seqs)).fetch_one(&mut self.connection);
        unpack(packed.await?)
    }

    /// Has what is asked from here on given up when it takes too long in all.
    pub async fn limit_time(&mut self, time: Duration) -> Result<(), Error> {
        let end = Instant::now() + time;
        let mut handle = self.connection.lock_handle().await?;
        handle.set_progress_handler(STEPS_A_LOOK, move || Instant::now() < end);
        Ok(())
    }

    /// What the index of words has.
    pub async fn indexed(&mut self) -> Result<Indexed, Error> {
        indexed(&mut self.connection).await
    }

    /// The number of the first text at this moment or later in any of some conversations.
    pub async fn first_since(&mut self, conversations: &[ConversationId], time: u64) -> Result<Seq, Error> {
        let sql = format!(
            "SELECT min(seq) FROM (SELECT (SELECT seq FROM message WHERE conversation = place.value AND {CLASS} = 0 \
             AND time >= ?2 ORDER BY time LIMIT 1) AS seq FROM json_each(?1) AS place)"
        );
        Ok(self.number(sql, conversations, time).await?.unwrap_or(Seq::MAX))
    }

    /// The number of the last text at this moment or earlier in any of some conversations.
    pub async fn last_until(&mut self, conversations: &[ConversationId], time: u64) -> Result<Seq, Error> {
        let sql = format!(
            "SELECT max(seq) FROM (SELECT (SELECT seq FROM message WHERE conversation = place.value AND {CLASS} = 0 \
             AND time <= ?2 ORDER BY time DESC LIMIT 1) AS seq FROM json_each(?1) AS place)"
        );
        Ok(self.number(sql, conversations, time).await?.unwrap_or(0))
    }

    async fn number(&mut self, sql: String, conversations: &[ConversationId], time: u64) -> Result<Option<Seq>, Error> {
        let number: Option<i64> = sqlx::query_scalar(AssertSqlSafe(sql))
            .bind(list(conversations))
            .bind(i64::try_from(time).unwrap_or(i64::MAX))
            .fetch_one(&mut self.connection)
            .await?;
        Ok(number.map(|seq| seq as u64))
    }

    /// The first or last rows that the index has of what `query` means, between two numbers.
    pub async fn by_terms(
        &mut self,
        query: &SearchQuery,
        first: Seq,
        last: Seq,
    ) -> Result<Vec<(Seq, MessageRow)>, Error> {
        let quoted = |terms: Vec<String>, between| {
            terms.iter().map(|term| format!("\"{term}\"")).collect::<Vec<_>>().join(between)
        };
        let whole = |number: Option<u64>, none| number.map_or(none, |n| i64::try_from(n).unwrap_or(i64::MAX));
        let order = if query.after.is_some() { "ASC" } else { "DESC" };
        let (places, all) = terms_of(query);
        let (place_count, mut expression) = (places.len(), quoted(all, " AND "));
        // Each place is a walk of its own: most words are so rare, or so common, that it goes without.
        if place_count > FEW_PLACES && !expression.is_empty() {
            let some = sqlx::query_as(AssertSqlSafe(among(order)))
                .bind(expression.clone())
                .bind(whole(Some(first), 0))
                .bind(whole(Some(last), 0))
                .bind(whole(query.after, 0))
                .bind(whole(query.before, i64::MAX))
                .bind(query.limit)
                .bind(list(&query.conversations()))
                .fetch_one(&mut self.connection);
            let (count, packed): (i64, Option<String>) = some.await?;
            let rows = unpack(packed)?;
            if (count as usize) < LOOKED_AT || rows.len() >= query.limit as usize {
                return Ok(rows);
            }
        }
        if !expression.is_empty() {
            expression.push_str(" AND ");
        }
        expression.push_str(&format!("({})", quoted(places, " OR ")));
        let packed = sqlx::query_scalar(AssertSqlSafe(by_terms(order)))
            .bind(expression)
            .bind(whole(Some(first), 0))
            .bind(whole(Some(last), 0))
            .bind(whole(query.after, 0))
            .bind(whole(query.before, i64::MAX))
            .bind(query.limit)
            .fetch_one(&mut self.connection);
        unpack(packed.await?)
    }

    /// All text of some conversations between two numbers.
    pub async fn texts(
        &mut self,
        conversations: &[ConversationId],
        first: Seq,
        last: Seq,
    ) -> Result<Vec<(Seq, MessageRow)>, Error> {
        let packed = sqlx::query_scalar(AssertSqlSafe(texts()))
            .bind(first as i64)
            .bind(i64::try_from(last).unwrap_or(i64::MAX))
            .bind(list(conversations))
            .fetch_one(&mut self.connection);
        unpack(packed.await?)
    }

    /// Closes the connection.
    pub async fn close(self) -> Result<(), Error> {
        self.connection.close().await
    }
}

/// Numbers, as json_each takes them.
fn list(conversations: &[ConversationId]) -> String {
    let numbers: Vec<String> = conversations.iter().map(ConversationId::to_string).collect();
    format!("[{}]", numbers.join(","))
}

/// The rows that [`PACKED`] has made into one text, in ascending order.
fn unpack(packed: Option<String>) -> Result<Vec<(Seq, MessageRow)>, Error> {
    let mut rows = Vec::new();
    let mut rest = packed.as_deref().unwrap_or("");
    while !rest.is_empty() {
        let row = take_row(&mut rest)
            .ok_or_else(|| Error::Decode("a message that this version does not understand".into()))?;
        rows.push(row);
    }
    // They come so, but SQLite does not promise it.
    rows.sort_unstable_by_key(|(seq, _)| *seq);
    Ok(rows)
}

/// Takes the first row off what [`PACKED`] made.
fn take_row(rest: &mut &str) -> Option<(Seq, MessageRow)> {
    let (numbers, mut texts) = rest.split_once(':')?;
    let mut numbers = numbers.split(',');
    let mut number = || numbers.next()?.parse::<u64>().ok();
    let (seq, conversation, time, kind, bot) = (number()?, number()?, number()?, number()?, number()? != 0);
    let mut text = || {
        let length = numbers.next()?;
        if length.is_empty() {
            return Some(None);
        }
        let (text, later) = texts.split_at_checked(length.parse().ok()?)?;
        texts = later;
        Some(Some(text))
    };
    let row = MessageRow {
        conversation,
        time,
        kind: Kind::from_number(u8::try_from(kind).ok()?)?,
        bot,
        source: text()??.into(),
        account: text()?.map(Arc::from),
        target: text()??.into(),
        tags: text()?.map(Box::from),
        argument: text()?.map(Box::from),
        text: text()??.into(),
    };
    *rest = texts;
    Some((seq, row))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use ircv3::Casemapping;
    use sqlx::{AssertSqlSafe, ConnectOptions, Row};
    use tempfile::TempDir;
    use tokio::runtime::{Builder, Runtime};

    use super::{Database, Source, about, among, by_terms, gone_about, is_interrupted, nth_newest, oldest, texts};
    use crate::server::record::{Kind, Wanted};
    use crate::store::reader::{Direction, EVENTS_LOOKED_AT, Span};
    use crate::store::{Options, StoreError, Sync, open};

    fn runtime() -> Runtime {
        Builder::new_current_thread().enable_all().build().unwrap()
    }

    #[test]
    fn every_question_seeks_in_an_index_and_sorts_nothing() {
        let dir = TempDir::new().unwrap();
        let database = Database::new(dir.path().join("roost.db"), Sync::Normal);
        runtime().block_on(async {
            let (_writer, _) = database.open().await.unwrap();
            let mut source = database.source().await.unwrap();
            for sql in source.scans.clone().as_flattened().iter().chain(&source.searches.clone()) {
                let steps = plan(&mut source, sql).await;
                let to_message: Vec<_> = steps.iter().filter(|step| step.contains(" message")).collect();
                assert!(to_message.iter().all(|step| step.starts_with("SEARCH message USING")), "{sql}: {steps:?}");
                // What the index cannot tell apart is looked at in the rows, and sorted, but only so many.
                let is_bounded = sql.contains(&format!("LIMIT {EVENTS_LOOKED_AT}"));
                let index = if is_bounded { "INDEX message_place" } else { "COVERING INDEX message_place" };
                let places = to_message.iter().filter(|step| step.contains(index)).count();
                let by_number = to_message.iter().filter(|step| step.ends_with("PRIMARY KEY (rowid=?)")).count();
                assert!(places + by_number == to_message.len() && by_number <= 1, "{sql}: {steps:?}");
                let sorts = steps.iter().any(|step| step.contains("TEMP B-TREE"));
                assert!(is_bounded || !sorts, "{sql}: {steps:?}");
            }
        });
    }

    async fn plan(source: &mut Source, sql: &str) -> Vec<String> {
        let plan = sqlx::query(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}")));
        let plan = plan.fetch_all(&mut source.connection).await.unwrap();
        plan.iter().map(|row| row.get("detail")).collect()
    }

    /// The steps of SQLite's machine that a page takes.
    async fn steps(source: &mut Source, span: Span, limit: u32) -> (usize, usize) {
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        let mut handle = source.connection.lock_handle().await.unwrap();
        handle.set_progress_handler(1, move || {
            counted.fetch_add(1, Ordering::Relaxed);
            true
        });
        drop(handle);
        let rows = source.scan(span, limit).await.unwrap();
        source.connection.lock_handle().await.unwrap().remove_progress_handler();
        (rows.len(), count.load(Ordering::Relaxed))
    }

    #[test]
    fn c44_a_page_takes_no_more_work_where_a_hundred_thousand_rows_are_filtered() {
        let dir = TempDir::new().unwrap();
        let database = Database::new(dir.path().join("roost.db"), Sync::Normal);
        runtime().block_on(async {
            let (_writer, _) = database.open().await.unwrap();
            let mut source = database.source().await.unwrap();
            let mut writer = database.options().connect().await.unwrap();
            // A text each thousand numbers: in the first conversation with 999 joins (3), reactions (2) and redactions
            // (10) after it, in the second alone.
            let fill = "INSERT INTO message (seq, conversation, time, kind, bot, source, target, text)
                WITH RECURSIVE n (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n LIMIT 100000)
                SELECT 2 * n + c.value, c.value, n, iif(n % 1000 = 0, 0, (n % 3 = 0) * 2 + (n % 3 = 1) * 3 \
                 + (n % 3 = 2) * 10), 0, 'a!b@c', '#c', 'x' FROM n, json_each('[1, 2]') AS c
                WHERE c.value = 1 OR n % 1000 = 0";
            sqlx::query(fill).execute(&mut writer).await.unwrap();
            for direction in [Direction::Oldest, Direction::Newest] {
                let span = |conversation| Span {
                    conversation,
                    wanted: Wanted::default(),
                    after: -1,
                    before: i64::MAX,
                    direction,
                };
                // The first also reads what tables there are.
                steps(&mut source, span(2), 50).await;
                let among = steps(&mut source, span(1), 50).await;
                let alone = steps(&mut source, span(2), 50).await;
                assert_eq!(among.0, 50);
                assert!(among.1 > 50, "the steps are counted");
                assert_eq!(among, alone, "rows and steps");
            }
        });
    }

    #[test]
    fn what_is_past_its_time_is_found_in_an_index_and_nothing_is_sorted() {
        let dir = TempDir::new().unwrap();
        let database = Database::new(dir.path().join("roost.db"), Sync::Normal);
        runtime().block_on(async {
            let (_writer, _) = database.open().await.unwrap();
            let mut source = database.source().await.unwrap();
            for (sql, index) in [
                (nth_newest(0), "message_place"),
                (oldest(0), "message_place"),
                (oldest(1), "message_place"),
                (gone_about(), "message_about"),
            ] {
                let steps = plan(&mut source, &sql).await;
                let seeks = |step: &&String| step.starts_with("SEARCH message USING") && step.contains(index);
                assert_eq!(steps.iter().filter(seeks).count(), 1, "{sql}: {steps:?}");
                assert!(
                    !steps.iter().any(|step| step.contains("SCAN message") || step.contains("TEMP B-TREE")),
                    "{sql}: {steps:?}"
                );
            }
        });
    }

    #[test]
    fn a_search_walks_over_the_index_of_words_and_sorts_nothing() {
        let dir = TempDir::new().unwrap();
        let database = Database::new(dir.path().join("roost.db"), Sync::Normal);
        runtime().block_on(async {
            let (_writer, _) = database.open().await.unwrap();
            let mut source = database.source().await.unwrap();
            for order in ["ASC", "DESC"] {
                let steps = plan(&mut source, &by_terms(order)).await;
                assert!(steps.iter().any(|step| step.starts_with("SCAN word VIRTUAL TABLE INDEX")), "{steps:?}");
                let others: Vec<_> = steps.iter().filter(|step| step.contains(" message")).collect();
                assert!(others.len() == 2 && others.iter().all(|step| step.ends_with("(rowid=?)")), "{steps:?}");
                assert!(!steps.iter().any(|step| step.contains("TEMP B-TREE")), "{steps:?}");
                let steps = plan(&mut source, &among(order)).await;
                assert!(steps.iter().any(|step| step.starts_with("SCAN word VIRTUAL TABLE INDEX")), "{steps:?}");
                let others: Vec<_> = steps.iter().filter(|step| step.contains(" message")).collect();
                assert!(others.len() == 2 && others.iter().all(|step| step.ends_with("(rowid=?)")), "{steps:?}");
            }
            for kind in [Kind::Tagmsg, Kind::Edit] {
                let steps = plan(&mut source, &about(kind)).await;
                let walk =
                    "SEARCH message USING COVERING INDEX message_about (conversation=? AND argument=? AND kind=?)";
                assert!(steps.iter().any(|step| step == walk), "{steps:?}");
                assert!(!steps.iter().any(|step| step.contains("TEMP B-TREE")), "{steps:?}");
            }
            let steps = plan(&mut source, &texts()).await;
            let by_number = "SEARCH message USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)";
            assert!(steps.iter().any(|step| step == by_number), "{steps:?}");
        });
    }

    #[test]
    fn what_takes_too_long_is_given_up_and_the_next_is_not() {
        let dir = TempDir::new().unwrap();
        let database = Database::new(dir.path().join("roost.db"), Sync::Normal);
        runtime().block_on(async {
            let (_writer, _) = database.open().await.unwrap();
            let mut source = database.source().await.unwrap();
            source.limit_time(Duration::ZERO).await.unwrap();
            let endless = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n) SELECT max(n) FROM n";
            let error = sqlx::query(endless).execute(&mut source.connection).await.unwrap_err();
            assert!(is_interrupted(&error), "{error}");
            source.limit_time(Duration::from_secs(3600)).await.unwrap();
            let long =
                "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n LIMIT 100000) SELECT max(n) FROM n";
            sqlx::query(long).execute(&mut source.connection).await.unwrap();
        });
    }

    #[test]
    fn a_database_of_a_newer_version_and_a_file_that_is_none_are_refused_by_name() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("roost.db");
        let try_open = || {
            open(
                Options {
                    url: path.display().to_string(),
                    sync: Sync::Full,
                    casemapping: Casemapping::Ascii,
                    index_lag: 0,
                },
                Arc::new(|_| {}),
            )
        };
        try_open().unwrap().0.close().unwrap();
        runtime().block_on(async {
            let mut connection = Database::new(path.clone(), Sync::Full).options().connect().await.unwrap();
            let newer = "INSERT INTO _sqlx_migrations VALUES (9999, 'later', '', 1, x'00', 0)";
            sqlx::query(newer).execute(&mut connection).await.unwrap();
        });
        let error = try_open().err().unwrap();
        assert!(matches!(error, StoreError::Migrate { .. }) && error.to_string().contains("newer Roost"), "{error}");
        std::fs::remove_file(dir.path().join("roost.db-wal")).ok();
        std::fs::write(
            &path,
            "no database at all, but a letter to a friend, of more than a hundred bytes, so that it has a header",
        )
        .unwrap();
        let error = try_open().err().unwrap();
        assert!(matches!(error, StoreError::Damaged { .. }) && error.to_string().contains("roost.db"), "{error}");
    }
}
