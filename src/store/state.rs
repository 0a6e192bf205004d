//! The rows that the state is rebuilt from at start, whose tables every database has alike.

use ircv3::Casemapping;
use ircv3::mode::Rank;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Database, Error, Executor, IntoArguments, Row};

use crate::server::owed;
use crate::server::record::{
    AccessRow, AccountRow, BanRow, ChannelRow, CodeRow, ConversationRow, CredentialsRow, GroupedRow, ListRow,
    MarkerRow, MetadataRow, PresenceRow, PurgeRow, Purpose, PushedRow, SeenRow, SettingRow, Snapshot, SubscriptionRow,
    SuspensionRow, VapidRow,
};
use crate::server::session::LoginBy;

/// The columns of a row, by their place.
pub trait Columns {
    /// A text.
    fn text(&self, at: usize) -> Result<&str, Error>;
    /// A text, or NULL.
    fn maybe_text(&self, at: usize) -> Result<Option<&str>, Error>;
    /// A number, or NULL.
    fn maybe_number(&self, at: usize) -> Result<Option<u64>, Error>;
    /// Yes or no, or NULL.
    fn maybe_flag(&self, at: usize) -> Result<Option<bool>, Error>;

    /// A number.
    fn number(&self, at: usize) -> Result<u64, Error> {
        self.maybe_number(at)?.ok_or_else(null)
    }

    /// Yes or no.
    fn flag(&self, at: usize) -> Result<bool, Error> {
        self.maybe_flag(at)?.ok_or_else(null)
    }
}

fn null() -> Error {
    Error::Decode("NULL where there has to be a value".into())
}

macro_rules! columns {
    ($($row:ty)+) => {$(
        impl Columns for $row {
            fn text(&self, at: usize) -> Result<&str, Error> {
                self.try_get(at)
            }
            fn maybe_text(&self, at: usize) -> Result<Option<&str>, Error> {
                self.try_get(at)
            }
            fn maybe_number(&self, at: usize) -> Result<Option<u64>, Error> {
                Ok(self.try_get::<Option<i64>, _>(at)?.map(|number| number as u64))
            }
            fn maybe_flag(&self, at: usize) -> Result<Option<bool>, Error> {
                self.try_get(at)
            }
        }
    )+};
}

columns! { SqliteRow PgRow }

/// Completes a snapshot whose numbers and conversations are there.
pub async fn complete<DB>(connection: &mut DB::Connection, begun: Snapshot) -> Result<Snapshot, Error>
where
    DB: Database,
    DB::Row: Columns,
    DB::Arguments: IntoArguments<DB>,
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    let accounts = all::<DB, _>(
        connection,
        "SELECT id, name, folded, password, registered, autoreplay_missed, always_on, multiclient, \
         email, verified FROM account ORDER BY id",
        account,
    )
    .await?;
    let credentials =
        all::<DB, _>(connection, "SELECT account, kind, text FROM credential ORDER BY account, kind, text", |row| {
            Ok((row.number(0)?, row.text(1)?.to_owned(), row.text(2)?.to_owned()))
        })
        .await?;
    let credentials = CredentialsRow::gather(credentials)
        .ok_or_else(|| Error::Decode("a credential that this version does not understand".into()))?;
    let codes = all::<DB, _>(
        connection,
        "SELECT account, purpose, code, email, expires, mailed FROM code ORDER BY account, purpose",
        code,
    )
    .await?;
    let channels = all::<DB, _>(
        connection,
        "SELECT folded, name, founder, registered, created, topic, topic_setter, topic_set_at, modes, key, \"limit\", \
         forward, transfer FROM channel ORDER BY folded",
        channel,
    )
    .await?;
    let lists = all::<DB, _>(
        connection,
        "SELECT channel, mode, mask, setter, set_at FROM list ORDER BY channel, mode, set_at, mask",
        list,
    )
    .await?;
    let seen =
        all::<DB, _>(connection, "SELECT account, device, seq, owed FROM seen ORDER BY account, device", seen).await?;
    let markers = all::<DB, _>(
        connection,
        "SELECT account, conversation, time FROM marker ORDER BY account, conversation",
        |row| Ok(MarkerRow { account: row.number(0)?, conversation: row.text(1)?.into(), time: row.number(2)? }),
    )
    .await?;
    let metadata = all::<DB, _>(connection, "SELECT owner, key, value FROM metadata ORDER BY owner, key", |row| {
        let value = row.maybe_text(2)?.map(Into::into);
        Ok(MetadataRow { owner: row.text(0)?.into(), key: row.text(1)?.into(), value })
    })
    .await?;
    let settings = all::<DB, _>(connection, "SELECT owner, key, value FROM setting ORDER BY owner, key", |row| {
        let value = row.maybe_text(2)?.map(Into::into);
        Ok(SettingRow { owner: row.text(0)?.into(), key: row.text(1)?.into(), value })
    })
    .await?;
    let presences = all::<DB, _>(
        connection,
        "SELECT account, since, nick, \"user\", host, realname, modes, away, channels, signon, gone FROM presence \
         ORDER BY account",
        presence,
    )
    .await?;
    let bans = all::<DB, _>(
        connection,
        "SELECT target, reason, oper_reason, setter, set_at, expires, unless_logged_in FROM ban ORDER BY set_at, target",
        ban,
    )
    .await?;
    let access =
        all::<DB, _>(connection, "SELECT channel, account, rank FROM access ORDER BY channel, account", access).await?;
    let suspensions = all::<DB, _>(
        connection,
        "SELECT account, reason, setter, set_at, expires FROM suspension ORDER BY account",
        suspension,
    )
    .await?;
    let grouped = all::<DB, _>(connection, "SELECT folded, nick, account, added FROM grouped ORDER BY folded", |row| {
        let (folded, nick) = (row.text(0)?.into(), row.text(1)?.into());
        Ok(GroupedRow { folded, nick, account: row.number(2)?, added: row.number(3)? })
    })
    .await?;
    let purges =
        all::<DB, _>(connection, "SELECT channel, reason, setter, set_at FROM purge ORDER BY channel", purge).await?;
    let subscriptions = all::<DB, _>(
        connection,
        "SELECT account, endpoint, keys, vapid, device, app, caps, made, renewed, reached, login FROM subscription \
         ORDER BY account, endpoint",
        subscription,
    )
    .await?;
    let pushed = all::<DB, _>(
        connection,
        "SELECT account, conversation, first FROM pushed ORDER BY account, conversation",
        |row| Ok(PushedRow { account: row.number(0)?, conversation: row.text(1)?.into(), first: row.number(2)? }),
    )
    .await?;
    let vapid = all::<DB, _>(connection, "SELECT id, private FROM vapid ORDER BY id", |row| {
        Ok(VapidRow { id: row.number(0)? as u32, private: row.text(1)?.into() })
    })
    .await?;
    Ok(Snapshot {
        subscriptions,
        pushed,
        vapid,
        access,
        suspensions,
        grouped,
        purges,
        accounts,
        credentials,
        codes,
        channels,
        lists,
        seen,
        markers,
        metadata,
        presences,
        settings,
        bans,
        ..begun
    })
}

/// The conversations, by a statement that gives number, key, the times of the last text, event and redaction (what is
/// less than 0 or NULL is none), and the rest of the row.
pub async fn conversations<DB>(
    connection: &mut DB::Connection,
    sql: &str,
) -> Result<Vec<(ConversationRow, u64, u64)>, Error>
where
    DB: Database,
    DB::Row: Columns,
    DB::Arguments: IntoArguments<DB>,
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    all::<DB, _>(connection, sql, |row| {
        let newest = |at| Ok::<_, Error>(row.maybe_number(at)?.map_or(0, |time| (time as i64).max(0) as u64));
        let (text, event, redaction) = (newest(2)?, newest(3)?, newest(4)?);
        let conversation = ConversationRow {
            id: row.number(0)?,
            key: row.text(1)?.into(),
            closed: row.flag(5)?,
            since: row.number(6)?,
        };
        Ok((conversation, text.max(event).max(redaction), text))
    })
    .await
}

/// The casemapping of a database by its token.
pub fn casemapping(token: &str) -> Result<Casemapping, Error> {
    Casemapping::by_token(token)
        .ok_or_else(|| Error::Decode(format!("the casemapping {token:?}, which this version does not have").into()))
}

pub(super) async fn all<DB, T>(
    connection: &mut DB::Connection,
    sql: &str,
    read: fn(&DB::Row) -> Result<T, Error>,
) -> Result<Vec<T>, Error>
where
    DB: Database,
    DB::Arguments: IntoArguments<DB>,
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    let rows = sqlx::query::<DB>(AssertSqlSafe(sql.to_owned())).fetch_all(connection).await?;
    rows.iter().map(read).collect()
}

pub(super) fn account(row: &impl Columns) -> Result<AccountRow, Error> {
    Ok(AccountRow {
        id: row.number(0)?,
        name: row.text(1)?.into(),
        folded: row.text(2)?.into(),
        password: row.text(3)?.into(),
        registered: row.number(4)?,
        autoreplay_missed: row.flag(5)?,
        always_on: row.maybe_flag(6)?,
        multiclient: row.flag(7)?,
        email: row.maybe_text(8)?.map(Into::into),
        verified: row.flag(9)?,
    })
}

fn code(row: &impl Columns) -> Result<CodeRow, Error> {
    let purpose = Purpose::by_word(row.text(1)?);
    Ok(CodeRow {
        account: row.number(0)?,
        purpose: purpose.ok_or_else(|| Error::Decode("a code for what this version does not know".into()))?,
        code: row.text(2)?.into(),
        email: row.text(3)?.into(),
        expires: row.number(4)?,
        mailed: row.flag(5)?,
    })
}

fn channel(row: &impl Columns) -> Result<ChannelRow, Error> {
    let topic = match row.maybe_text(5)? {
        Some(topic) => Some((topic.into(), row.text(6)?.into(), row.number(7)?)),
        None => None,
    };
    Ok(ChannelRow {
        folded: row.text(0)?.into(),
        name: row.text(1)?.into(),
        founder: row.maybe_number(2)?,
        registered: row.number(3)?,
        created: row.number(4)?,
        topic,
        modes: row.text(8)?.into(),
        key: row.maybe_text(9)?.map(Into::into),
        limit: row.maybe_number(10)?.map(|limit| limit as u32),
        forward: row.maybe_text(11)?.map(Into::into),
        transfer: row.maybe_number(12)?,
    })
}

fn list(row: &impl Columns) -> Result<ListRow, Error> {
    Ok(ListRow {
        channel: row.text(0)?.into(),
        mode: row.text(1)?.chars().next().unwrap_or('b'),
        mask: row.text(2)?.into(),
        setter: row.text(3)?.into(),
        set_at: row.number(4)?,
    })
}

fn access(row: &impl Columns) -> Result<AccessRow, Error> {
    let rank = row.text(2)?.chars().next().and_then(Rank::by_letter);
    Ok(AccessRow {
        channel: row.text(0)?.into(),
        account: row.number(1)?,
        rank: rank.ok_or_else(|| Error::Decode("a rank that this version does not know".into()))?,
    })
}

fn suspension(row: &impl Columns) -> Result<SuspensionRow, Error> {
    Ok(SuspensionRow {
        account: row.number(0)?,
        reason: row.text(1)?.into(),
        setter: row.text(2)?.into(),
        set_at: row.number(3)?,
        expires: row.maybe_number(4)?,
    })
}

fn purge(row: &impl Columns) -> Result<PurgeRow, Error> {
    Ok(PurgeRow {
        channel: row.text(0)?.into(),
        reason: row.text(1)?.into(),
        setter: row.text(2)?.into(),
        set_at: row.number(3)?,
    })
}

fn seen(row: &impl Columns) -> Result<SeenRow, Error> {
    let owed = owed::parse(row.text(3)?);
    let owed = owed.ok_or_else(|| Error::Decode("a text of what a device is owed that is none".into()))?;
    Ok(SeenRow { account: row.number(0)?, device: row.text(1)?.into(), seq: row.maybe_number(2)?, owed })
}

fn presence(row: &impl Columns) -> Result<PresenceRow, Error> {
    Ok(PresenceRow {
        account: row.number(0)?,
        since: row.number(1)?,
        nick: row.text(2)?.into(),
        user: row.text(3)?.into(),
        hosts: row.text(4)?.into(),
        realname: row.text(5)?.into(),
        modes: row.text(6)?.into(),
        away: row.maybe_text(7)?.map(Into::into),
        channels: row.text(8)?.into(),
        signon: row.number(9)?,
        left: row.number(10)?,
    })
}

fn subscription(row: &impl Columns) -> Result<SubscriptionRow, Error> {
    let keys = row.text(2)?.parse();
    Ok(SubscriptionRow {
        account: row.number(0)?,
        endpoint: row.text(1)?.into(),
        keys: keys.map_err(|_| Error::Decode("keys of web push that are none".into()))?,
        vapid: row.number(3)? as u32,
        device: row.text(4)?.into(),
        app: row.text(5)?.into(),
        caps: row.text(6)?.into(),
        made: row.number(7)?,
        renewed: row.number(8)?,
        reached: row.number(9)?,
        by: LoginBy::parse(row.text(10)?),
    })
}

fn ban(row: &impl Columns) -> Result<BanRow, Error> {
    Ok(BanRow {
        target: row.text(0)?.into(),
        reason: row.text(1)?.into(),
        oper_reason: row.text(2)?.into(),
        setter: row.text(3)?.into(),
        set_at: row.number(4)?,
        expires: row.maybe_number(5)?,
        unless_logged_in: row.flag(6)?,
    })
}
