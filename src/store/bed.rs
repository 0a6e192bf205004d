//! Databases for tests: one of each kind, with the faults that can be done to it.
//!
//! PostgreSQL is the one that `ROOST_TEST_POSTGRES` names, as `tests/run` does; each bed is a schema there.
//! Without it those tests do not run, and say so; where `ROOST_TEST_ALL` is set, they fail instead.

#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::sync::{Arc, Once};

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

/// A database to test on.
pub enum Bed {
    /// A file in a directory of its own.
    Sqlite(TempDir),
    /// A schema of its own.
    Postgres(Schema),
}

impl Bed {
    /// One of every kind.
    pub fn all() -> Vec<Bed> {
        let mut all = vec![Bed::Sqlite(TempDir::new().unwrap())];
        all.extend(Schema::new().map(Bed::Postgres));
        all
    }

    /// What a store on it is opened by.
    pub fn url(&self) -> String {
        match self {
            Bed::Sqlite(dir) => format!("sqlite:{}", dir.path().join("in/roost.db").display()),
            Bed::Postgres(schema) => schema.url(),
        }
    }

    /// What errors call it, at least in part.
    pub fn name(&self) -> String {
        match self {
            Bed::Sqlite(_) => "roost.db".to_owned(),
            Bed::Postgres(schema) => crate::store::name(&schema.url()).unwrap(),
        }
    }

    /// The database as a kill at this moment would leave it.
    pub fn killed(&self) -> Bed {
        match self {
            Bed::Sqlite(dir) => {
                let copy = TempDir::new().unwrap();
                std::fs::create_dir(copy.path().join("in")).unwrap();
                // While somebody reads, the log is not emptied between one file and the other.
                let reading = self.read();
                for name in ["in/roost.db", "in/roost.db-wal"] {
                    std::fs::copy(dir.path().join(name), copy.path().join(name)).unwrap();
                }
                reading.release();
                Bed::Sqlite(copy)
            }
            Bed::Postgres(schema) => Bed::Postgres(schema.copy()),
        }
    }

    /// Runs a statement while no store is on it.
    pub fn run(&self, sql: &str) {
        match self {
            Bed::Sqlite(_) => runtime().block_on(async {
                let mut connection = self.file().connect().await.unwrap();
                sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
                connection.close().await.unwrap();
            }),
            Bed::Postgres(schema) => schema.run(sql),
        }
    }

    /// The number that a SELECT answers.
    pub fn count(&self, sql: &str) -> i64 {
        match self {
            Bed::Sqlite(_) => runtime().block_on(async {
                let mut connection = self.file().read_only(true).connect().await.unwrap();
                let count = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut connection).await.unwrap();
                connection.close().await.unwrap();
                count
            }),
            Bed::Postgres(schema) => schema.count(sql),
        }
    }

    /// Checks the index of words, while no store is on it, by the database's own means.
    pub fn check_index(&self) {
        match self {
            Bed::Sqlite(_) => self.run("INSERT INTO word (word) VALUES ('integrity-check'); PRAGMA integrity_check"),
            Bed::Postgres(schema) => {
                let strange = "SELECT count(*) FROM word LEFT JOIN message USING (seq) WHERE message.kind IS NULL \
                               OR message.kind > 1";
                assert_eq!(schema.count(strange), 0);
            }
        }
    }

    fn file(&self) -> SqliteConnectOptions {
        match self {
            Bed::Sqlite(dir) => SqliteConnectOptions::new().filename(dir.path().join("in/roost.db")),
            Bed::Postgres(_) => panic!("a PostgreSQL is no file"),
        }
    }

    /// Another program that reads a file's state of this moment until it is released, such as a backup.
    pub fn read(&self) -> Hold {
        let runtime = runtime();
        let connection = runtime.block_on(async {
            let mut connection = self.file().read_only(true).connect().await.unwrap();
            sqlx::raw_sql("BEGIN; SELECT count(*) FROM meta").execute(&mut connection).await.unwrap();
            connection
        });
        Hold::Sqlite(runtime, connection)
    }

    /// Whether a text is in any of a file's database's files.
    pub fn has(&self, text: &str) -> bool {
        let Bed::Sqlite(dir) = self else { panic!("a PostgreSQL is no file") };
        let files = ["in/roost.db", "in/roost.db-wal"].map(|name| dir.path().join(name));
        files.iter().filter(|path| path.exists()).any(|path| {
            let bytes = std::fs::read(path).unwrap();
            bytes.windows(text.len()).any(|window| window == text.as_bytes())
        })
    }

    /// Another program that keeps the store from writing, until it is released.
    pub fn hold(&self) -> Hold {
        let runtime = runtime();
        match self {
            Bed::Sqlite(dir) => {
                let path = dir.path().join("in/roost.db");
                let connection = runtime.block_on(async {
                    let mut connection = SqliteConnectOptions::new().filename(path).connect().await.unwrap();
                    sqlx::query("BEGIN IMMEDIATE").execute(&mut connection).await.unwrap();
                    connection
                });
                Hold::Sqlite(runtime, connection)
            }
            Bed::Postgres(schema) => {
                let connection = runtime.block_on(async {
                    let mut connection = schema.connect().await;
                    sqlx::raw_sql("BEGIN; LOCK TABLE message, account IN EXCLUSIVE MODE")
                        .execute(&mut connection)
                        .await
                        .unwrap();
                    connection
                });
                Hold::Postgres(runtime, connection)
            }
        }
    }
}

/// See [`Bed::hold`].
pub enum Hold {
    /// A transaction.
    Sqlite(Runtime, SqliteConnection),
    /// A transaction.
    Postgres(Runtime, PgConnection),
}

impl Hold {
    /// Lets go.
    pub fn release(self) {
        match self {
            Hold::Sqlite(runtime, connection) => runtime.block_on(connection.close()).unwrap(),
            Hold::Postgres(runtime, connection) => runtime.block_on(connection.close()).unwrap(),
        }
    }
}

/// A schema of the tests' PostgreSQL, gone with its last owner.
#[derive(Clone)]
pub struct Schema(Arc<Owned>);

struct Owned {
    server: String,
    name: String,
}

impl Schema {
    /// A new one, where there is a PostgreSQL.
    pub fn new() -> Option<Schema> {
        static SAID: Once = Once::new();
        let Ok(server) = std::env::var("ROOST_TEST_POSTGRES") else {
            let required = std::env::var_os("ROOST_TEST_ALL").is_some();
            assert!(!required, "ROOST_TEST_ALL is set, but ROOST_TEST_POSTGRES names no PostgreSQL");
            // Not by a macro: those a test that passes keeps to itself.
            SAID.call_once(|| {
                let said = "\n*** SKIPPED: nothing was tested on PostgreSQL. `tests/run` does, or set ROOST_TEST_POSTGRES \
                            to what `tests/postgres start DIR` prints. ***\n";
                std::io::stderr().write_all(said.as_bytes()).unwrap();
            });
            return None;
        };
        let schema = Schema(Arc::new(Owned { server, name: format!("bed_{:016x}", rand::random::<u64>()) }));
        schema.run(&format!("CREATE SCHEMA {}", schema.0.name));
        Some(schema)
    }

    /// The URL of a store in it.
    pub fn url(&self) -> String {
        let Owned { server, name } = &*self.0;
        format!("{server}{}options=-c%20search_path%3D{name}", if server.contains('?') { '&' } else { '?' })
    }

    /// A connection to it.
    pub async fn connect(&self) -> PgConnection {
        self.url().parse::<PgConnectOptions>().unwrap().connect().await.unwrap()
    }

    /// Runs statements in it.
    pub fn run(&self, sql: &str) {
        runtime().block_on(async {
            let mut connection = self.connect().await;
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
            connection.close().await.unwrap();
        });
    }

    /// The number that a SELECT answers.
    pub fn count(&self, sql: &str) -> i64 {
        runtime().block_on(async {
            let mut connection = self.connect().await;
            let count = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut connection).await.unwrap();
            connection.close().await.unwrap();
            count
        })
    }

    /// All rows of all tables at one moment, in a schema of their own.
    fn copy(&self) -> Schema {
        let copy = Schema::new().unwrap();
        runtime().block_on(async {
            let mut connection = self.connect().await;
            let mut transaction = connection.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ").await.unwrap();
            let tables =
                sqlx::query_scalar("SELECT tablename::text FROM pg_tables WHERE schemaname = current_schema()");
            let tables: Vec<String> = tables.fetch_all(&mut *transaction).await.unwrap();
            for table in tables {
                let (from, to) = (format!("{}.{table}", self.0.name), format!("{}.{table}", copy.0.name));
                let sql =
                    format!("CREATE TABLE {to} (LIKE {from} INCLUDING ALL); INSERT INTO {to} SELECT * FROM {from}");
                sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *transaction).await.unwrap();
            }
            transaction.commit().await.unwrap();
            connection.close().await.unwrap();
        });
        copy
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        let Ok(options) = self.server.parse::<PgConnectOptions>() else { return };
        let sql = format!("SET lock_timeout = '5s'; DROP SCHEMA IF EXISTS {} CASCADE", self.name);
        runtime().block_on(async {
            // A test that has failed may hold it still; then it goes with the whole PostgreSQL.
            if let Ok(mut connection) = options.connect().await {
                let _ = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await;
                let _ = connection.close().await;
            }
        });
    }
}

/// For the tests' own statements.
pub fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}
