//! Schemas of a PostgreSQL, for servers whose store is there.
//!
//! It is the one that `ROOST_TEST_POSTGRES` names, as `tests/run` does. Without it those tests do not run, and
//! say so; where `ROOST_TEST_ALL` is set, they fail instead. `ROOST_TEST_STORE=postgres` has the servers of all
//! tests on it.

use std::env;
use std::io::Write;
use std::sync::Once;

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use tokio::runtime::Builder;

/// A schema of the tests' PostgreSQL, gone when it is dropped.
pub struct Schema {
    server: String,
    name: String,
}

impl Schema {
    /// A new one, where there is a PostgreSQL.
    pub fn new() -> Option<Schema> {
        static SAID: Once = Once::new();
        let Ok(server) = env::var("ROOST_TEST_POSTGRES") else {
            let required = env::var_os("ROOST_TEST_ALL").is_some();
            assert!(!required, "ROOST_TEST_ALL is set, but ROOST_TEST_POSTGRES names no PostgreSQL");
            // Not by a macro: those a test that passes keeps to itself.
            SAID.call_once(|| {
                let said = "\n*** SKIPPED: no server was tested on PostgreSQL. `tests/run` does, or set \
                            ROOST_TEST_POSTGRES to what `tests/postgres start DIR` prints. ***\n";
                std::io::stderr().write_all(said.as_bytes()).unwrap();
            });
            return None;
        };
        let name = format!("irc_{:016x}", rand::random::<u64>());
        run(&server, &format!("CREATE SCHEMA {name}"));
        Some(Schema { server, name })
    }

    /// One for whatever server a test starts, where `ROOST_TEST_STORE=postgres` says so.
    pub fn for_all() -> Option<Schema> {
        (env::var("ROOST_TEST_STORE").is_ok_and(|store| store == "postgres")).then(Schema::new).flatten()
    }

    /// The `store.url` of a server in it.
    pub fn url(&self) -> String {
        format!("{}?options=-c%20search_path%3D{}", self.server, self.name)
    }
}

impl Drop for Schema {
    fn drop(&mut self) {
        run(&self.server, &format!("SET lock_timeout = '5s'; DROP SCHEMA {} CASCADE", self.name));
    }
}

/// Runs statements; where that fails, whoever needs what they do will see.
pub fn run(url: &str, sql: &str) {
    let Ok(options) = url.parse::<PgConnectOptions>() else { return };
    Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let Ok(mut connection) = options.connect().await else { return };
        let _ = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await;
        let _ = connection.close().await;
    });
}
