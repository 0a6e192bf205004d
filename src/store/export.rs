//! All that the store has of one account, as JSON, for whoever it is about.
//!
//! The form is version [`VERSION`]; `conf/EXPORT.md` describes it. It is written as it is read: what is in memory at once
//! is one page of messages. The connection only reads, so a server may be running on the database; each page is a
//! question of its own, and holds up nobody.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use ircv3::time::time_text;
use serde_json::{Map, Value, json};
use sqlx::{Connection, Database, Error, Executor, IntoArguments, Postgres, Sqlite};
use thiserror::Error as ThisError;

use crate::server::network::Identity;
use crate::server::presence::Hosts;
use crate::server::record::{AccountId, Kind, MsgId, Purpose, SecondFactor, SecondProof};
use crate::server::setting::AccountSettings;
use crate::store::state::{self, Columns};
use crate::store::{StoreError, Sync, is_postgres, postgres, sqlite, sqlite_path};

/// The version of the form.
pub const VERSION: u32 = 1;
/// Messages, of everyone, that are looked at in one question.
const PAGE: u64 = 2_000;

/// Why there is no export.
#[derive(Debug, ThisError)]
pub enum ExportError {
    /// The store's URL.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is nothing to read.
    #[error("there is no database {}: is `data` or store.url right?", .0.display())]
    Missing(PathBuf),
    /// There is no such account.
    #[error("there is no account {0:?}")]
    NoAccount(String),
    /// The database cannot be read; one of an earlier version is brought up to date by a start of the server.
    #[error("the database cannot be read (an earlier version's is brought up to date when the server starts): {0}")]
    Read(#[from] Error),
    /// What was read cannot be written.
    #[error("the export cannot be written: {0}")]
    Write(#[from] io::Error),
}

/// Writes all that the store `url` has of the account of this name; how many messages that were. A server may be running
/// on the database.
///
/// # Errors
/// What was written until then is part of an export, and not one.
pub fn export(url: &str, account: &str, now_ms: u64, out: &mut dyn Write) -> Result<u64, ExportError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        if is_postgres(url) {
            let mut connection = postgres::Database::parse(url, Sync::Full)?.exporter().await?;
            let written = write::<Postgres>(&mut connection, account, now_ms, out).await;
            let _ = connection.close().await;
            return written;
        }
        let path = sqlite_path(url)?;
        if !path.exists() {
            return Err(ExportError::Missing(path));
        }
        let mut connection = sqlite::Database::new(path, Sync::Full).exporter().await?;
        let written = write::<Sqlite>(&mut connection, account, now_ms, out).await;
        let _ = connection.close().await;
        written
    })
}

/// As [`export`], into a new file, which is there under its name only when it is whole. Only the user that Roost runs as
/// can read it.
///
/// # Errors
/// As those of [`export`], and where the file cannot be made.
pub fn export_to(url: &str, account: &str, now_ms: u64, file: &Path) -> Result<u64, ExportError> {
    use std::os::unix::fs::OpenOptionsExt as _;
    if let Some(directory) = file.parent() {
        crate::store::make_private(directory)?;
    }
    let part = file.with_extension("part");
    let written = (|| {
        let made = std::fs::File::options().create(true).write(true).truncate(true).mode(0o600).open(&part)?;
        let mut out = io::BufWriter::new(made);
        let count = export(url, account, now_ms, &mut out)?;
        out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        std::fs::rename(&part, file)?;
        Ok(count)
    })();
    if written.is_err() {
        // The first error says more than this one would.
        let _ = std::fs::remove_file(&part);
    }
    written
}

/// A text as SQL has it: the few that are names, and have no other way into statements that both databases share.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Rows of texts and numbers.
type Pairs = Vec<(String, String)>;

fn pair(row: &impl Columns) -> Result<(String, String), Error> {
    Ok((row.text(0)?.to_owned(), row.text(1)?.to_owned()))
}

async fn write<DB>(
    connection: &mut DB::Connection,
    account: &str,
    now_ms: u64,
    out: &mut dyn Write,
) -> Result<u64, ExportError>
where
    DB: Database,
    DB::Row: Columns,
    DB::Arguments: IntoArguments<DB>,
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    let meta = state::all::<DB, _>(connection, "SELECT casemapping, epoch FROM meta", |row| {
        Ok((row.text(0)?.to_owned(), row.number(1)? as u32))
    });
    let (token, epoch) = meta.await?.pop().ok_or(Error::RowNotFound)?;
    let folded = state::casemapping(&token)?.fold(account);
    let sql = format!(
        "SELECT id, name, folded, password, registered, autoreplay_missed, always_on, multiclient, email, verified \
         FROM account WHERE folded = {}",
        quoted(folded.as_str())
    );
    let Some(row) = state::all::<DB, _>(connection, &sql, state::account).await?.pop() else {
        return Err(ExportError::NoAccount(account.to_owned()));
    };
    let (id, owner) = (row.id, format!("${}", row.id));
    let by_owner =
        |table: &str| format!("SELECT key, value FROM {table} WHERE owner = {} ORDER BY key", quoted(&owner));
    let metadata: Pairs = state::all::<DB, _>(connection, &by_owner("metadata"), pair).await?;
    let mut settings: Pairs = state::all::<DB, _>(connection, &by_owner("setting"), pair).await?;
    if let Some((_, accepted)) = settings.iter_mut().find(|(key, _)| key == "accepted") {
        // Whom one lets write one knows by their names.
        let ids: Vec<&str> = accepted.split(' ').filter(|word| word.parse::<AccountId>().is_ok()).collect();
        let sql = format!("SELECT name FROM account WHERE id IN ({}) ORDER BY folded", ids.join(", "));
        let names: Vec<String> = match ids.as_slice() {
            [] => Vec::new(),
            _ => state::all::<DB, _>(connection, &sql, |row| Ok(row.text(0)?.to_owned())).await?,
        };
        *accepted = names.join(" ");
    }
    let sql = format!("SELECT kind, text FROM credential WHERE account = {id} ORDER BY kind, text");
    let credentials: Pairs = state::all::<DB, _>(connection, &sql, pair).await?;
    let codes = state::all::<DB, _>(
        connection,
        &format!("SELECT purpose, email FROM code WHERE account = {id} ORDER BY purpose"),
        pair,
    )
    .await?;
    let channels = state::all::<DB, _>(
        connection,
        &format!("SELECT name, registered FROM channel WHERE founder = {id} ORDER BY folded"),
        |row| Ok(json!({ "name": row.text(0)?, "registered": time_text(row.number(1)?) })),
    )
    .await?;
    let access: Pairs = state::all::<DB, _>(
        connection,
        &format!(
            "SELECT channel.name, access.rank FROM access JOIN channel ON channel.folded = access.channel \
             WHERE access.account = {id} ORDER BY channel.folded"
        ),
        pair,
    )
    .await?;
    let offered: Vec<String> = state::all::<DB, _>(
        connection,
        &format!("SELECT name, folded FROM channel WHERE transfer = {id} ORDER BY folded"),
        |row| Ok(row.text(0)?.to_owned()),
    )
    .await?;
    let succeeds: Vec<String> = state::all::<DB, _>(
        connection,
        &format!(
            "SELECT channel.name, channel.folded FROM setting JOIN channel ON channel.folded = setting.owner \
             WHERE setting.key = 'successor' AND setting.value = '{id}' ORDER BY channel.folded"
        ),
        |row| Ok(row.text(0)?.to_owned()),
    )
    .await?;
    let devices: Vec<String> = state::all::<DB, _>(
        connection,
        &format!("SELECT device FROM seen WHERE account = {id} ORDER BY device"),
        |row| Ok(row.text(0)?.to_owned()),
    )
    .await?;
    let suspension = state::all::<DB, _>(
        connection,
        &format!("SELECT reason, set_at, expires FROM suspension WHERE account = {id}"),
        |row| {
            let expires = row.maybe_number(2)?.map(|at| time_text(at * 1000));
            Ok(json!({ "reason": row.text(0)?, "since": time_text(row.number(1)? * 1000), "until": expires }))
        },
    )
    .await?
    .pop();
    let presence = state::all::<DB, _>(
        connection,
        &format!("SELECT nick, host, realname, away, channels, signon, gone, \"user\", modes FROM presence WHERE account = {id}"),
        presence,
    )
    .await?
    .pop();
    let markers = state::all::<DB, _>(
        connection,
        &format!("SELECT conversation, time FROM marker WHERE account = {id} ORDER BY conversation"),
        |row| Ok((row.text(0)?.to_owned(), row.number(1)?)),
    )
    .await?;
    let sql = format!("SELECT nick, added FROM grouped WHERE account = {id} ORDER BY folded");
    let grouped = state::all::<DB, _>(connection, &sql, |row| Ok(row.text(0)?.to_owned())).await?;
    let nicks: Vec<&str> = std::iter::once(&*row.name).chain(grouped.iter().map(String::as_str)).collect();
    let pushed_to: Vec<Value> = state::all::<DB, _>(
        connection,
        &format!("SELECT endpoint, device, made FROM subscription WHERE account = {id} ORDER BY endpoint"),
        |row| {
            Ok(json!({ "endpoint": row.text(0)?, "device": row.text(1)?, "since": time_text(row.number(2)? * 1000) }))
        },
    )
    .await?;
    // What it says of others for itself alone: its number, a space, and whom that is about.
    let said = format!("{owner} ");
    let about_others = state::all::<DB, _>(
        connection,
        &format!(
            "SELECT owner, key, value FROM metadata WHERE substr(owner, 1, {}) = {} ORDER BY owner, key",
            said.len(),
            quoted(&said)
        ),
        |row| Ok((row.text(0)?.to_owned(), row.text(1)?.to_owned(), row.text(2)?.to_owned())),
    )
    .await?;
    let mut private = Vec::with_capacity(about_others.len());
    for (whose, key, value) in about_others {
        let about = whose.strip_prefix(&said).unwrap_or(&whose);
        let about = if about == "*" { about.to_owned() } else { peer_of::<DB>(connection, id, about).await? };
        private.push(json!({ "about": about, "key": key, "value": value }));
    }
    let mut read = Vec::with_capacity(markers.len());
    for (key, time) in markers {
        let name = peer_of::<DB>(connection, id, &key).await?;
        read.push(json!({ "conversation": name, "read_until": time_text(time) }));
    }
    let of_kind = |kind: &str| -> Vec<&str> {
        credentials.iter().filter(|(other, _)| other == kind).map(|(_, text)| &**text).collect()
    };
    let apps: Vec<Value> = of_kind("app").into_iter().map(app).collect();
    let seconds: Vec<Value> = of_kind("second").into_iter().filter_map(second).collect();
    let head = json!({
        "format": "roost-export",
        "version": VERSION,
        "exported": time_text(now_ms),
        "account": {
            "name": &*row.name,
            "registered": time_text(row.registered),
            "email": row.email,
            "verified": row.verified,
            "has_password": !row.password.is_empty(),
            "always_on": row.always_on,
            "autoreplay_missed": row.autoreplay_missed,
            "multiclient": row.multiclient,
            "suspension": suspension,
            "codes": codes.iter().map(|(purpose, email)| {
                json!({ "for": Purpose::by_word(purpose).map_or("other", Purpose::word), "email": email })
            }).collect::<Vec<_>>(),
        },
        "settings": chosen(&settings),
        "nicks": nicks,
        "certificates": of_kind("certificate"),
        "public_keys": of_kind("key"),
        "app_passwords": apps,
        "second_factors": seconds,
        "metadata": object(&metadata),
        "private_metadata": private,
        "push": pushed_to,
        "channels_founded": channels,
        "channels_offered": offered,
        "successor_in": succeeds,
        "channel_access": access.iter().map(|(channel, rank)| json!({ "channel": channel, "rank": rank })).collect::<Vec<_>>(),
        "devices": devices,
        "presence": presence,
        "read_markers": read,
    });
    // The messages stand last in the same object, one in a line.
    let head = serde_json::to_string_pretty(&head).map_err(io::Error::from)?;
    out.write_all(head.strip_suffix("\n}").unwrap_or(&head).as_bytes())?;
    out.write_all(b",\n  \"messages\": [")?;
    let count = messages::<DB>(connection, (id, &row.name, epoch), out).await?;
    write!(out, "\n  ],\n  \"message_count\": {count}\n}}\n")?;
    out.flush()?;
    Ok(count)
}

fn object(pairs: &Pairs) -> Value {
    Value::Object(pairs.iter().map(|(key, value)| (key.clone(), Value::from(value.as_str()))).collect::<Map<_, _>>())
}

/// The settings of an account that are its owner's to know: all of them.
fn chosen(pairs: &Pairs) -> Value {
    let known = pairs.iter().filter(|(key, _)| AccountSettings::KEYS.contains(&key.as_str()));
    object(&known.cloned().collect())
}

/// An app password: its name and when it was made, but no hash.
fn app(text: &str) -> Value {
    let mut words = text.split(' ');
    let name = words.next().unwrap_or_default();
    let made = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
    json!({ "name": name, "made": time_text(made) })
}

/// A second factor: its name, what it is and when it was added, but nothing that a code could be made of.
fn second(text: &str) -> Option<Value> {
    let SecondFactor { name, made, proof, .. } = text.parse().ok()?;
    let kind = match proof {
        SecondProof::Totp { .. } => "totp",
        SecondProof::Certificate(_) => "certificate",
    };
    Some(json!({ "name": name, "kind": kind, "made": time_text(made) }))
}

/// How somebody who is always on is there, or was when its last connection went.
fn presence(row: &impl Columns) -> Result<Value, Error> {
    let gone = row.number(6)?;
    let channels = row.text(4)?.split(' ').filter(|word| !word.is_empty()).map(|word| {
        let (name, rest) = word.rsplit_once(':').unwrap_or((word, ""));
        let ranks = rest.trim_end_matches(|letter: char| letter.is_ascii_digit());
        let joined = rest.get(ranks.len()..).and_then(|joined| joined.parse().ok()).map(time_text);
        json!({ "channel": name, "ranks": ranks, "joined": joined })
    });
    let hosts = row.text(1)?;
    let Hosts { shown, behind, former } = Hosts::read(hosts);
    Ok(json!({
        "nick": row.text(0)?,
        "user": row.text(7)?,
        "host": &*shown,
        "plain_host": behind.as_deref(),
        "former_hosts": former.iter().map(|host| &**host).collect::<Vec<_>>(),
        "realname": row.text(2)?,
        "modes": row.text(8)?,
        "away": row.maybe_text(3)?,
        "channels": channels.collect::<Vec<_>>(),
        "since": time_text(row.number(5)? * 1000),
        "left": (gone != 0).then(|| time_text(gone)),
    }))
}

/// What a conversation is called: a channel, or who the other one is.
async fn peer_of<DB>(connection: &mut DB::Connection, own: AccountId, key: &str) -> Result<String, Error>
where
    DB: Database,
    DB::Row: Columns,
    DB::Arguments: IntoArguments<DB>,
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    if key.starts_with('#') {
        return Ok(key.to_owned());
    }
    let mut others = Identity::accounts_in(key).filter(|account| *account != own);
    let Some(other) = others.next() else {
        let guest = key.split(' ').find_map(|part| part.strip_prefix('~'));
        return Ok(guest.map_or_else(|| "yourself".to_owned(), str::to_owned));
    };
    let sql = format!("SELECT name, folded FROM account WHERE id = {other}");
    let name = state::all::<DB, _>(connection, &sql, pair).await?.pop();
    Ok(name.map_or_else(|| "an account that is gone".to_owned(), |(name, _)| name))
}

/// All that an account said and did, oldest first.
async fn messages<DB>(
    connection: &mut DB::Connection,
    (id, name, epoch): (AccountId, &str, u32),
    out: &mut dyn Write,
) -> Result<u64, ExportError>
where
    DB: Database,
    DB::Row: Columns,
    DB::Arguments: IntoArguments<DB>,
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    // An account of the same name that was before it has said nothing that is its own.
    let mut last = id;
    let mut count = 0u64;
    loop {
        let sql = format!(
            "SELECT max(seq) FROM (SELECT seq FROM message WHERE seq > {last} ORDER BY seq LIMIT {PAGE}) AS page"
        );
        let end = state::all::<DB, _>(connection, &sql, |row| row.maybe_number(0)).await?.pop().flatten();
        let Some(end) = end else { return Ok(count) };
        let sql = format!(
            "SELECT seq, time, CAST(kind AS BIGINT), source, target, tags, argument, text FROM message \
             WHERE seq > {last} AND seq <= {end} AND account = {} ORDER BY seq",
            quoted(name)
        );
        let page = state::all::<DB, _>(connection, &sql, |row| {
            let kind = Kind::from_number(u8::try_from(row.number(2)?).unwrap_or(u8::MAX));
            let kind = kind.map_or("other".to_owned(), |kind| format!("{kind:?}").to_ascii_lowercase());
            let mut fields = Map::new();
            fields.insert("seq".into(), row.number(0)?.into());
            fields.insert("time".into(), time_text(row.number(1)?).into());
            fields.insert("kind".into(), kind.into());
            fields.insert("source".into(), row.text(3)?.into());
            fields.insert("target".into(), row.text(4)?.into());
            for (place, field) in [(5, "tags"), (6, "argument")] {
                if let Some(text) = row.maybe_text(place)? {
                    fields.insert(field.into(), text.into());
                }
            }
            fields.insert("text".into(), row.text(7)?.into());
            Ok(fields)
        })
        .await?;
        for mut fields in page {
            let seq = fields.remove("seq").and_then(|seq| seq.as_u64()).unwrap_or(0);
            fields.insert("msgid".into(), MsgId { epoch, seq }.to_string().into());
            out.write_all(if count > 0 { b",\n    " } else { b"\n    " })?;
            serde_json::to_writer(&mut *out, &Value::Object(fields)).map_err(io::Error::from)?;
            count += 1;
        }
        last = end;
    }
}
