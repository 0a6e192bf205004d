//! What every database must do for the store, told through its public face alone.
//!
//! Each test runs on a [`Bed`] of every kind.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use ircv3::mode::Rank;
use ircv3::sasl::scram::{Credential, Hash};
use ircv3::{Cap, CapSet, Casemapping};
use proptest::prelude::{Just, Strategy, any, prop, prop_oneof};
use proptest::test_runner::{Config, TestRunner};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use smallvec::SmallVec;
use tempfile::TempDir;
use tokio::time::timeout;

use crate::limits::{CONTEXT_A_MESSAGE, CONTEXT_A_PAGE, EXPIRY_STEP, STORE_BATCH};
use crate::server::command::edit;
use crate::server::event::{CallId, ConnId, Event, Returned};
use crate::server::history::{context, leave_to_next, overdue, render, render_page, select};
use crate::server::owed;
use crate::server::record::{
    AccessRow, AccountRow, AppPassword, BanRow, Border, ChannelRow, CodeRow, ConversationRow, Credentials,
    CredentialsRow, Expiry, GroupedRow, HistoryPage, HistoryQuery, Kind, ListRow, MarkerRow, MessageRow, MetadataRow,
    MsgId, PresenceRow, PurgeRow, Purpose, PushedRow, Range, Reader, Record, SearchQuery, SecondFactor, SecondProof,
    SeenRow, Seq, SettingRow, Snapshot, SubscriptionRow, SuspensionRow, VapidRow, Wanted,
};
use crate::server::search::{self, words};
use crate::server::session::LoginBy;
use crate::store::bed::{Bed, runtime};
use crate::store::{Options, Store, StoreError, Sync, open};

/// How long anything may take before a test fails.
const LONG: Duration = Duration::from_secs(30);

/// A store with its events.
pub struct Running {
    pub store: Store,
    pub snapshot: Snapshot,
    events: Receiver<Event>,
}

impl Running {
    fn on(bed: &Bed) -> Running {
        Running::with(bed.url())
    }

    /// On whatever has this URL.
    pub fn with(url: String) -> Running {
        Running::under(url, Casemapping::Ascii)
    }

    fn under(url: String, casemapping: Casemapping) -> Running {
        let (sender, events) = mpsc::channel();
        let deliver = Arc::new(move |event| drop(sender.send(event)));
        let (store, snapshot) =
            open(Options { url, sync: Sync::Full, casemapping, index_lag: INDEX_LAG }, deliver).unwrap();
        Running { store, snapshot, events }
    }

    pub fn next(&self) -> Event {
        self.events.recv_timeout(LONG).expect("an event")
    }

    /// Waits until everything up to `seq` is durable; gives the marks that came.
    pub fn committed(&self, seq: Seq) -> Vec<Seq> {
        let mut marks = Vec::new();
        while marks.last().is_none_or(|mark| *mark < seq) {
            match self.next() {
                Event::Committed(mark) => marks.push(mark),
                other => panic!("{other:?} came instead of Committed({seq})"),
            }
        }
        marks
    }

    /// The answer to a question, while marks come in between.
    pub fn page(&self, query: HistoryQuery) -> HistoryPage {
        self.store.history(CALL, query);
        self.answer()
    }

    /// As [`Running::page`], to a search.
    fn found(&self, query: SearchQuery) -> HistoryPage {
        self.store.search(CALL, query);
        self.answer()
    }

    fn answer(&self) -> HistoryPage {
        loop {
            match self.next() {
                Event::Committed(_) => {}
                Event::Returned(CALL, Returned::History(page)) => return page,
                other => panic!("{other:?} came instead of history"),
            }
        }
    }

    /// Has what is past its time deleted, and waits for it; how many rows that were.
    fn expire(&self, what: Expiry) -> u64 {
        self.store.expire(what);
        loop {
            match self.next() {
                Event::Committed(_) => {}
                Event::Expired { conversation, rows } if conversation == what.conversation => return rows,
                other => panic!("{other:?} came instead of what is past its time"),
            }
        }
    }

    /// Waits until nothing that was deleted before is in the database's files.
    fn scrubbed(&self) {
        let mut progress = self.store.progress.clone();
        runtime()
            .block_on(async { timeout(LONG, progress.wait_for(|progress| !progress.traces)).await.unwrap().unwrap() });
    }

    pub fn close(self) {
        self.store.close().unwrap();
    }
}

const CALL: CallId = CallId { conn: ConnId { worker: 1, slot: 2 }, serial: 3 };

fn reader() -> Reader {
    Reader {
        caps: CapSet::of(&[Cap::MessageTags, Cap::ServerTime, Cap::AccountTag, Cap::Batch, Cap::ExtendedJoin]),
        server: "roost.example".into(),
        label: Some("l".into()),
        batch: Some("b".into()),
        batch_type: "chathistory",
        told: None,
        own: Box::default(),
        most: u32::MAX,
        target: "#rust".into(),
        channels: SmallVec::new(),
        epoch: 7,
        nick: "alice".into(),
    }
}

pub fn latest(conversation: u64, limit: u32) -> HistoryQuery {
    HistoryQuery {
        conversation,
        range: Range::Latest(None),
        limit,
        wanted: Wanted::ALL,
        floor: 0,
        since: 0,
        reader: reader(),
    }
}

pub fn message(conversation: u64, time: u64, kind: Kind, text: &str) -> MessageRow {
    MessageRow {
        conversation,
        time,
        kind,
        source: "alice!a@example.org".into(),
        account: (!time.is_multiple_of(3)).then(|| "Alice".into()),
        bot: time.is_multiple_of(2),
        target: "#rust".into(),
        tags: time.is_multiple_of(5).then(|| "+draft/reply=x;+y".into()),
        argument: matches!(kind, Kind::Kick | Kind::Mode).then(|| "bob".into()),
        text: text.into(),
    }
}

pub fn said(seq: Seq, text: &str) -> (Seq, Record) {
    (seq, Record::Message(Box::new(message(1, 1000 + seq, Kind::Privmsg, text))))
}

pub fn text(page: &HistoryPage) -> String {
    page.chunks.iter().map(|chunk| std::str::from_utf8(chunk).unwrap()).collect()
}

#[test]
fn a_second_server_on_the_same_data_is_refused_by_name() {
    for bed in Bed::all() {
        let first = Running::on(&bed);
        let refused = open(
            Options { url: bed.url(), sync: Sync::Full, casemapping: Casemapping::Ascii, index_lag: INDEX_LAG },
            Arc::new(|_| {}),
        );
        let error = refused.err().expect("a second server was let in").to_string();
        assert!(error.contains(&bed.name()) && error.contains("in use by another Roost"), "{error}");
        first.close();
        Running::on(&bed).close();
    }
}

#[test]
fn an_url_that_is_not_understood_is_quoted() {
    for url in ["mysql://localhost/roost", "sqlite::memory:", "sqlite:", "sqlite:a.db?mode=ro"] {
        let error = open(
            Options { url: url.to_owned(), sync: Sync::Full, casemapping: Casemapping::Ascii, index_lag: INDEX_LAG },
            Arc::new(|_| {}),
        )
        .err()
        .unwrap();
        assert!(matches!(&error, StoreError::Url { .. }) && error.to_string().contains(url), "{error}");
    }
}

#[test]
fn each_start_is_counted_and_the_epoch_stays() {
    for bed in Bed::all() {
        let first = Running::on(&bed);
        let (epoch, secret) = (first.snapshot.epoch, first.snapshot.secret);
        assert_ne!(secret, [0; 32]);
        assert_eq!(first.snapshot, Snapshot { epoch, secret, boot: 1, ..Snapshot::default() });
        // Counted already where it dies at once.
        assert_eq!(Running::on(&bed.killed()).snapshot, Snapshot { epoch, secret, boot: 2, ..Snapshot::default() });
        first.close();
        assert_eq!(Running::on(&bed).snapshot, Snapshot { epoch, secret, boot: 2, ..Snapshot::default() });
    }
}

fn account(id: u64, name: &str) -> AccountRow {
    AccountRow {
        id,
        name: name.into(),
        folded: name.to_lowercase().into(),
        password: "$2b$hash".into(),
        registered: 1_700_000_000_123,
        autoreplay_missed: id == 1,
        always_on: (id == 1).then_some(false),
        multiclient: id != 1,
        email: (id == 1).then(|| "alice@example.org".into()),
        verified: id == 1,
    }
}

fn code(account: u64, purpose: Purpose, mailed: bool) -> CodeRow {
    CodeRow {
        account, purpose, code: "c0de".into(), email: "älice@example.org".into(), expires: 1_700_000_000, mailed
    }
}

fn credentials(account: u64, certificates: &str, iterations: u32) -> CredentialsRow {
    let scram = Hash::ALL.map(|hash| Credential::fake(hash, b"secret", "alice", iterations)).to_vec();
    let certificates = certificates.split(' ').map(Box::from).collect();
    // The generator of the curve is a point on it, and so somebody's key.
    let key = "A2sX0fLhLEJH+Lzm5WOkQPJ3A32BLeszoPShOUXYmMKW".parse().ok();
    assert!(key.is_some());
    let apps = vec![AppPassword { name: "téléphone".into(), made: iterations.into(), hash: [7; 32] }];
    let totp = SecondProof::Totp { seed: [9; 16], last: u64::from(iterations) << 20 };
    let second = |id: &str, proof| SecondFactor { id: id.into(), name: "téléphone".into(), made: 7, proof };
    let seconds = vec![second("a2", totp), second("b3", SecondProof::Certificate("ab".repeat(32).into()))];
    let (recovery, asks_second) = (vec![[1; 32], [2; 32]], iterations.is_multiple_of(2));
    let credentials = Credentials { scram, certificates, key, apps, seconds, recovery, asks_second };
    CredentialsRow { account, credentials }
}

fn channel(name: &str) -> ChannelRow {
    ChannelRow {
        folded: name.to_lowercase().into(),
        name: name.into(),
        founder: Some(1),
        registered: 5,
        created: 4,
        topic: None,
        modes: "nt".into(),
        key: None,
        limit: None,
        forward: None,
        transfer: None,
    }
}

fn access(channel: &str, account: u64, rank: Rank) -> AccessRow {
    AccessRow { channel: channel.into(), account, rank }
}

fn seen(account: u64, device: &str, seq: Option<Seq>, owed: &str) -> SeenRow {
    SeenRow { account, device: device.into(), seq, owed: owed::parse(owed).unwrap() }
}

fn suspension(account: u64, expires: Option<u64>) -> SuspensionRow {
    SuspensionRow { account, reason: "späm".into(), setter: "boss!a@b".into(), set_at: 9, expires }
}

fn grouped(nick: &str, account: u64, added: u64) -> GroupedRow {
    GroupedRow { folded: nick.into(), nick: nick.to_uppercase().into(), account, added }
}

fn purge(channel: &str, set_at: u64) -> PurgeRow {
    PurgeRow { channel: channel.into(), reason: "späm".into(), setter: "boss!a@b".into(), set_at }
}

fn entry(channel: &str, mode: char, mask: &str) -> ListRow {
    ListRow { channel: channel.into(), mode, mask: mask.into(), setter: "alice!a@b".into(), set_at: 9 }
}

fn presence(account: u64, channels: &str) -> PresenceRow {
    PresenceRow {
        account,
        since: 7,
        nick: "Alice".into(),
        user: "~a".into(),
        hosts: "host ? former".into(),
        realname: "Älice".into(),
        modes: "iw".into(),
        away: (account == 1).then(|| "out".into()),
        channels: channels.into(),
        signon: 5,
        left: 9,
    }
}

fn subscription(account: u64, endpoint: &str, vapid: u32) -> SubscriptionRow {
    // Those of RFC 8291, appendix A.
    let keys = "p256dh=BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4;\
                auth=BTBZMqHH6r4Tts7J_aSIgg";
    SubscriptionRow {
        account,
        endpoint: endpoint.into(),
        keys: keys.parse().unwrap(),
        vapid,
        device: "téléphone".into(),
        app: "".into(),
        by: Some(LoginBy::Certificate("ab12".into())),
        caps: "message-tags server-time".into(),
        made: 1,
        renewed: u64::from(u32::MAX) + 1,
        reached: 0,
    }
}

fn pushed(account: u64, conversation: &str, first: u64) -> PushedRow {
    PushedRow { account, conversation: conversation.into(), first }
}

fn vapid(id: u32, private: &str) -> VapidRow {
    VapidRow { id, private: private.into() }
}

fn metadata(owner: &str, key: &str, value: Option<&str>) -> MetadataRow {
    MetadataRow { owner: owner.into(), key: key.into(), value: value.map(Into::into) }
}

fn key(owner: &str, key: &str, value: Option<&str>) -> Record {
    Record::Metadata(Box::new(metadata(owner, key, value)))
}

fn setting(owner: &str, key: &str, value: Option<&str>) -> Record {
    Record::Setting(Box::new(SettingRow { owner: owner.into(), key: key.into(), value: value.map(Into::into) }))
}

fn ban(target: &str, set_at: u64, expires: Option<u64>) -> BanRow {
    BanRow {
        target: target.into(),
        reason: "réason".into(),
        oper_reason: "".into(),
        setter: "alice!a@b".into(),
        set_at,
        expires,
        unless_logged_in: expires.is_some(),
    }
}

#[test]
fn everything_is_there_after_a_restart_and_later_records_win() {
    for bed in Bed::all() {
        let running = Running::on(&bed);
        let topic = Some(("Tópic".into(), "alice!a@b".into(), 12));
        let full = ChannelRow {
            topic,
            key: Some("k".into()),
            limit: Some(u32::MAX),
            forward: Some("#Other".into()),
            transfer: Some(3),
            ..channel("#Full")
        };
        let records = vec![
            Record::Account(Box::new(account(1, "Alice"))),
            Record::Account(Box::new(account(2, "Bob"))),
            Record::Seen(seen(2, "phone", Some(1), "1 0 1")),
            Record::Credentials(Box::new(credentials(2, "ff", 4096))),
            Record::Code(Box::new(code(2, Purpose::Register, false))),
            Record::AccountGone(2),
            Record::Account(Box::new(account(3, "Bob"))),
            Record::Account(Box::new(AccountRow { password: "new".into(), ..account(1, "Alice") })),
            Record::Credentials(Box::new(credentials(1, "aa bb", 4096))),
            Record::Credentials(Box::new(credentials(1, "bb cc", 5000))),
            Record::Credentials(Box::new(credentials(3, "cc", 4096))),
            Record::Credentials(Box::new(CredentialsRow { account: 3, credentials: Credentials::default() })),
            Record::Code(Box::new(code(3, Purpose::Register, false))),
            Record::Code(Box::new(code(3, Purpose::Register, true))),
            Record::Code(Box::new(code(1, Purpose::Email, false))),
            Record::Code(Box::new(code(1, Purpose::Password, true))),
            Record::CodeGone(1, Purpose::Email),
            Record::Channel(Box::new(channel("#Full"))),
            Record::Channel(Box::new(channel("#gone"))),
            Record::ListEntry(Box::new(entry("#gone", 'b', "*!*@*"))),
            Record::ChannelGone("#gone".into()),
            Record::ListEntry(Box::new(entry("#full", 'b', "b!*@*"))),
            Record::ListEntry(Box::new(entry("#full", 'I', "i!*@*"))),
            Record::ListEntry(Box::new(entry("#full", 'e', "e!*@*"))),
            Record::ListEntryGone("#full".into(), 'e', "e!*@*".into()),
            Record::Channel(Box::new(full.clone())),
            Record::Conversation(ConversationRow { id: 1, key: "#full".into(), ..ConversationRow::default() }),
            Record::Conversation(ConversationRow { id: 2, key: "$1 ~bob".into(), ..ConversationRow::default() }),
            Record::Conversation(ConversationRow { id: 3, key: "#empty".into(), ..ConversationRow::default() }),
            Record::Message(Box::new(message(1, 100, Kind::Privmsg, "hi"))),
            Record::Message(Box::new(message(1, 101, Kind::Join, "Alice"))),
            Record::Message(Box::new(message(2, 102, Kind::Notice, "hi"))),
            Record::Seen(seen(1, "laptop", Some(19), "7 1 2")),
            Record::Seen(seen(1, "laptop", Some(20), "1 5 20,2 20 20")),
            Record::Seen(seen(1, "", None, "0 3 *")),
            Record::Marker(MarkerRow { account: 1, conversation: "#full".into(), time: 5 }),
            Record::Marker(MarkerRow { account: 1, conversation: "#full".into(), time: 6 }),
            Record::Marker(MarkerRow { account: 1, conversation: "#gone".into(), time: 7 }),
            Record::MarkerGone(1, "#gone".into()),
            key("#full", "avatar", Some("a")),
            key("#full", "avatar", Some("ä")),
            key("#full", "color", Some("red")),
            key("#full", "color", None),
            key("$1", "status", Some("")),
            key("$3", "status", Some("gone")),
            key("#gone", "status", Some("gone")),
            Record::Presence(Box::new(presence(3, "#gone:"))),
            Record::PresenceGone(3),
            Record::Presence(Box::new(presence(1, "#full:qo"))),
            Record::Presence(Box::new(presence(1, "#full:qo #b:"))),
            Record::AccountGone(4),
            Record::ChannelGone("#gone".into()),
            Record::Ban(Box::new(ban("z!*@*", 1, None))),
            Record::Ban(Box::new(ban("gone!*@*", 2, None))),
            Record::Ban(Box::new(ban("192.0.2.0/24", 3, None))),
            Record::Ban(Box::new(ban("192.0.2.0/24", 3, Some(u64::from(u32::MAX))))),
            Record::BanGone("gone!*@*".into()),
            Record::Access(Box::new(access("#full", 1, Rank::Voice))),
            Record::Access(Box::new(access("#full", 1, Rank::Admin))),
            Record::Access(Box::new(access("#full", 3, Rank::Op))),
            Record::Access(Box::new(access("#full", 5, Rank::Op))),
            Record::Access(Box::new(access("#full", 7, Rank::Op))),
            Record::Access(Box::new(access("#gone", 1, Rank::Op))),
            Record::AccessGone("#full".into(), 3),
            Record::AccountGone(5),
            Record::ChannelGone("#gone".into()),
            Record::Suspension(Box::new(suspension(1, None))),
            Record::Suspension(Box::new(suspension(1, Some(5)))),
            Record::Suspension(Box::new(suspension(3, None))),
            Record::Suspension(Box::new(suspension(5, None))),
            Record::SuspensionGone(3),
            Record::Grouped(Box::new(grouped("moon", 1, 1))),
            Record::Grouped(Box::new(grouped("moon", 1, 2))),
            Record::Grouped(Box::new(grouped("sun", 3, 1))),
            Record::Grouped(Box::new(grouped("star", 3, 1))),
            Record::Grouped(Box::new(grouped("gone", 5, 1))),
            Record::GroupedGone("star".into()),
            Record::AccountGone(5),
            Record::Subscription(Box::new(subscription(1, "https://push.example.org/b", 1))),
            Record::Subscription(Box::new(subscription(1, "https://push.example.org/b", 2))),
            Record::Subscription(Box::new(subscription(1, "https://push.example.org/a", 1))),
            Record::Subscription(Box::new(subscription(1, "https://push.example.org/gone", 1))),
            Record::Subscription(Box::new(subscription(3, "https://push.example.org/b", 1))),
            Record::Subscription(Box::new(subscription(5, "https://push.example.org/b", 1))),
            Record::SubscriptionGone(1, "https://push.example.org/gone".into()),
            Record::Pushed(pushed(1, "#full", 5)),
            Record::Pushed(pushed(1, "#full", 6)),
            Record::Pushed(pushed(1, "$1 ~bob", 7)),
            Record::Pushed(pushed(5, "#full", 7)),
            Record::PushedGone(1, "$1 ~bob".into()),
            Record::Vapid(Box::new(vapid(1, "first"))),
            Record::Vapid(Box::new(vapid(1, "never another"))),
            Record::Vapid(Box::new(vapid(7, "later"))),
            key("$5 #full", "roost/notify", Some("all")),
            key("$5 *", "roost/notify", Some("all")),
            key("$51 *", "roost/notify", Some("all")),
            Record::AccountGone(5),
            setting("#gone", "url", Some("x")),
            setting("$5", "vhost", Some("x")),
            setting("#full", "url", Some("x")),
            setting("#full", "url", Some("ü")),
            setting("#full", "history", Some("off")),
            setting("#full", "history", None),
            setting("$1", "vhost", Some("a.b")),
            setting("*", "clock", Some("5")),
            Record::ChannelGone("#gone".into()),
            Record::AccountGone(5),
            Record::Purge(Box::new(purge("#bad", 1))),
            Record::Purge(Box::new(purge("#bad", 2))),
            Record::Purge(Box::new(purge("#good", 2))),
            Record::PurgeGone("#good".into()),
            Record::Conversation(ConversationRow { id: 3, key: "#empty".into(), closed: true, since: 0 }),
            Record::Conversation(ConversationRow { id: 1, key: "#full".into(), closed: true, since: 5 }),
            Record::Conversation(ConversationRow { id: 1, key: "#full".into(), closed: false, since: 100 }),
            Record::Channel(Box::new(channel("#Held"))),
            Record::Channel(Box::new(ChannelRow { founder: None, registered: 0, ..channel("#Held") })),
        ];
        let held = ChannelRow { founder: None, registered: 0, ..channel("#Held") };
        let records: Vec<_> = (1..).zip(records).collect();
        let last = records.last().unwrap().0;
        running.store.append(records);
        running.committed(last);
        let expected = Snapshot {
            second_key: [0; 32],
            epoch: running.snapshot.epoch,
            secret: running.snapshot.secret,
            boot: 2,
            casemapping: Casemapping::Ascii,
            last_seq: 32,
            accounts: vec![AccountRow { password: "new".into(), ..account(1, "Alice") }, account(3, "Bob")],
            credentials: vec![credentials(1, "bb cc", 5000)],
            codes: vec![code(1, Purpose::Password, true), code(3, Purpose::Register, true)],
            channels: vec![full, held],
            lists: vec![entry("#full", 'I', "i!*@*"), entry("#full", 'b', "b!*@*")],
            conversations: vec![
                (ConversationRow { id: 1, key: "#full".into(), closed: false, since: 100 }, 101, 100),
                (ConversationRow { id: 2, key: "$1 ~bob".into(), ..ConversationRow::default() }, 102, 102),
                (ConversationRow { id: 3, key: "#empty".into(), closed: true, since: 0 }, 0, 0),
            ],
            seen: vec![
                // It was connected: it has seen what there was.
                seen(1, "", Some(32), "0 3 *"),
                seen(1, "laptop", Some(20), "1 5 20,2 20 20"),
            ],
            markers: vec![MarkerRow { account: 1, conversation: "#full".into(), time: 6 }],
            bans: vec![ban("z!*@*", 1, None), ban("192.0.2.0/24", 3, Some(u64::from(u32::MAX)))],
            metadata: [
                ("#full", "avatar", "ä"),
                ("$1", "status", ""),
                ("$3", "status", "gone"),
                ("$51 *", "roost/notify", "all"),
            ]
            .map(|(owner, key, value)| metadata(owner, key, Some(value)))
            .into(),
            subscriptions: vec![
                subscription(1, "https://push.example.org/a", 1),
                subscription(1, "https://push.example.org/b", 2),
                subscription(3, "https://push.example.org/b", 1),
            ],
            pushed: vec![pushed(1, "#full", 6)],
            vapid: vec![vapid(1, "first"), vapid(7, "later")],
            presences: vec![presence(1, "#full:qo #b:")],
            access: vec![access("#full", 1, Rank::Admin), access("#full", 7, Rank::Op)],
            suspensions: vec![suspension(1, Some(5))],
            grouped: vec![grouped("moon", 1, 2), grouped("sun", 3, 1)],
            purges: vec![purge("#bad", 2)],
            settings: [("#full", "url", "ü"), ("$1", "vhost", "a.b"), ("*", "clock", "5")]
                .map(|(owner, key, value)| SettingRow {
                    owner: owner.into(),
                    key: key.into(),
                    value: Some(value.into()),
                })
                .into(),
        };
        assert_eq!(Running::on(&bed.killed()).snapshot, expected, "after a kill");
        running.close();
        assert_eq!(Running::on(&bed).snapshot, expected, "after an orderly end");
    }
}

#[test]
fn what_was_committed_survives_a_kill_and_what_was_appended_survives_a_close() {
    for bed in Bed::all() {
        let running = Running::on(&bed);
        for seq in 1..=300 {
            running.store.append(vec![said(seq, &format!("m{seq}"))]);
        }
        let marks = running.committed(300);
        assert!(marks.is_sorted(), "{marks:?}");
        assert_eq!(running.store.waiting(), 0);
        let copy = bed.killed();
        let killed = Running::on(&copy);
        assert_eq!(killed.snapshot.last_seq, 300);
        let whole = running.page(latest(1, 1000));
        assert_eq!(whole.messages, 300);
        assert_eq!(killed.page(latest(1, 1000)), whole);

        let more = 10 * STORE_BATCH as u64 + 77;
        running.store.append((301..=more).map(|seq| said(seq, "x")).collect());
        running.close();
        let again = Running::on(&bed);
        assert_eq!(again.snapshot.last_seq, more);
        assert_eq!(again.page(latest(1, 100_000)).messages as u64, more);
    }
}

#[test]
fn another_casemapping_files_everything_anew_or_changes_nothing() {
    for bed in Bed::all() {
        let running = Running::on(&bed);
        let room = ChannelRow { folded: "#a[".into(), name: "#A[".into(), ..channel("#a[") };
        running.store.append(vec![
            (1, Record::Account(Box::new(account(1, "x[")))),
            (2, Record::Channel(Box::new(room.clone()))),
            (3, Record::ListEntry(Box::new(entry("#a[", 'b', "b!*@*")))),
            (4, key("#a[", "k", Some("v"))),
            (5, Record::Conversation(ConversationRow { id: 1, key: "#a[".into(), ..ConversationRow::default() })),
            (6, Record::Marker(MarkerRow { account: 1, conversation: "#a[".into(), time: 6 })),
            (7, Record::Ban(Box::new(ban("z[!*@*", 1, None)))),
            (8, Record::Seen(seen(1, "", Some(8), ""))),
        ]);
        running.close();

        let other = Running::under(bed.url(), Casemapping::Rfc1459);
        let filed = other.snapshot.clone();
        assert_eq!(filed.casemapping, Casemapping::Rfc1459);
        assert_eq!(&*filed.accounts[0].folded, "x{");
        assert_eq!(filed.channels, [ChannelRow { folded: "#a{".into(), ..room.clone() }]);
        assert_eq!((filed.lists.len(), filed.metadata.len()), (1, 1));
        assert_eq!(&*filed.conversations[0].0.key, "#a{");
        // It stands in the database as it is told, from the start.
        let again = Running::under(bed.killed().url(), Casemapping::Rfc1459).snapshot;
        assert_eq!(Snapshot { boot: again.boot, ..filed.clone() }, again);
        other.store.append(vec![
            (9, Record::Channel(Box::new(channel("#b{")))),
            (10, Record::Account(Box::new(account(2, "y{")))),
        ]);
        other.close();

        // And back; then there are two of a name that would be one.
        let back = Running::under(bed.url(), Casemapping::Ascii);
        assert_eq!(back.snapshot.channels[0], room);
        back.store.append(vec![(11, Record::Account(Box::new(account(3, "y["))))]);
        back.close();
        let options =
            Options { url: bed.url(), sync: Sync::Full, casemapping: Casemapping::Rfc1459, index_lag: INDEX_LAG };
        let error = open(options, Arc::new(|_| {})).err().unwrap().to_string();
        assert!(error.contains("the accounts y{ and y[") && error.contains("\"ascii\""), "{error}");
        let same = Running::on(&bed);
        assert_eq!((same.snapshot.accounts.len(), &*same.snapshot.accounts[2].folded), (3, "y["));
        same.close();
    }
}

#[test]
fn a_nick_that_went_from_one_account_to_one_that_is_no_more_is_nobodys() {
    for bed in Bed::all() {
        let running = Running::on(&bed);
        running.store.append(vec![
            (1, Record::Account(Box::new(account(1, "ann")))),
            (1, Record::Account(Box::new(account(2, "bob")))),
            (1, Record::Grouped(Box::new(grouped("moon", 1, 5)))),
        ]);
        running.committed(1);
        running.store.append(vec![
            (2, Record::GroupedGone("moon".into())),
            (2, Record::Grouped(Box::new(grouped("moon", 2, 6)))),
            (2, Record::AccountGone(2)),
        ]);
        running.committed(2);
        running.close();
        assert_eq!(Running::on(&bed).snapshot.grouped, []);
    }
}

#[test]
fn a_question_sees_what_was_appended_before_it() {
    for bed in Bed::all() {
        let running = Running::on(&bed);
        for seq in 1..=200 {
            running.store.append(vec![said(seq, &format!("m{seq}"))]);
            let page = running.page(latest(1, 1));
            assert_eq!(page.last, seq);
            assert!(text(&page).contains(&format!(" :m{seq}\r\n")), "{}", text(&page));
        }
    }
}

#[test]
fn a_store_that_cannot_write_says_so_once_and_loses_nothing() {
    for bed in Bed::all() {
        let running = Running::on(&bed);
        running.store.append(vec![said(1, "before")]);
        running.committed(1);
        let hold = bed.hold();
        for seq in 2..=50 {
            running.store.append(vec![said(seq, &format!("m{seq}"))]);
        }
        match running.next() {
            Event::StoreFailed(reason) => assert!(reason.contains(&bed.name()), "{reason}"),
            other => panic!("{other:?}"),
        }
        assert_eq!(running.store.waiting(), 49);
        assert!(!running.store.is_full());
        // Reads go on, from what is on disk.
        running.store.history(CALL, latest(1, 100));
        match running.next() {
            Event::Returned(CALL, Returned::History(page)) => assert_eq!((page.messages, page.last), (1, 1)),
            other => panic!("{other:?}"),
        }
        running.store.append(vec![(51, Record::AccountGone(4))]);
        hold.release();
        assert!(matches!(running.next(), Event::StoreRecovered));
        let marks = running.committed(51);
        assert!(marks.is_sorted(), "{marks:?}");
        let page = running.page(latest(1, 100));
        let lines = text(&page);
        let places: Vec<_> = (2..=50).map(|seq| lines.find(&format!(" :m{seq}\r\n")).unwrap()).collect();
        assert!(places.is_sorted() && page.messages == 50);
        // And once more, for a batch that needs a transaction of several statements.
        let hold = bed.hold();
        running.store.append((52..=60).map(|seq| said(seq, "again")).collect());
        assert!(matches!(running.next(), Event::StoreFailed(_)));
        hold.release();
        assert!(matches!(running.next(), Event::StoreRecovered));
        running.committed(60);
        assert_eq!(running.page(latest(1, 100)).messages, 59);
    }
}

#[test]
fn a_store_that_fails_until_the_end_says_how_much_was_lost() {
    for bed in Bed::all() {
        let running = Running::on(&bed);
        running.store.append(vec![said(1, "kept")]);
        running.committed(1);
        let hold = bed.hold();
        running.store.append(vec![said(2, "a"), said(3, "b")]);
        assert!(matches!(running.next(), Event::StoreFailed(_)));
        running.store.append(vec![said(4, "c")]);
        let error = running.store.close().unwrap_err();
        assert!(matches!(error, StoreError::Unwritten { records: 3, .. }), "{error}");
        hold.release();
        assert_eq!(Running::on(&bed).snapshot.last_seq, 1);
    }
}

#[test]
fn a_record_that_comes_twice_is_kept_once() {
    for bed in Bed::all() {
        let running = Running::on(&bed);
        running.store.append(vec![said(1, "once"), said(2, "more")]);
        running.store.append(vec![said(1, "once"), said(2, "more"), said(3, "new")]);
        running.committed(3);
        assert_eq!(running.page(latest(1, 10)).messages, 3);
    }
}

#[test]
fn text_comes_back_as_it_was() {
    let odd = [
        "",
        " ",
        "'; DROP TABLE message; --",
        "\"\\%_?1:$2@",
        "e\u{301}\u{200d}\u{1f469}\u{200d}\u{1f469}\u{200d}\u{1f467}",
        "\u{feff}\u{202e}\u{fffd}\u{10ffff}",
        "\u{1}ACTION waves\u{1}\u{3}4,5\u{2}",
        "שלום عليكم 你好",
    ];
    for bed in Bed::all() {
        let running = Running::on(&bed);
        let rows: Vec<_> = (1..).zip(odd.map(|odd| message(1, 77, Kind::Topic, odd))).collect();
        let rows: Vec<_> = rows.into_iter().map(|(n, row)| (n, MessageRow { time: n, ..row })).collect();
        running.store.append(rows.iter().map(|(n, row)| (*n, Record::Message(Box::new(row.clone())))).collect());
        assert_eq!(running.page(latest(1, 100)), render(&reader(), &rows, true));
        for (_, row) in &rows {
            assert!(text(&running.page(latest(1, 100))).contains(&format!(" TOPIC #rust :{}\r\n", row.text)));
        }
    }
}

#[test]
fn a_page_of_text_is_full_however_many_events_lie_between() {
    for bed in Bed::all() {
        let running = Running::on(&bed);
        // C44: most rows are not text, and the page is full all the same.
        let kind = |n: u64| if n.is_multiple_of(4) { Kind::Privmsg } else { Kind::Join };
        let rows: Vec<_> = (1..=200).map(|n| (n, message(1, n, kind(n), "t"))).collect();
        running.store.append(rows.iter().map(|(n, row)| (*n, Record::Message(Box::new(row.clone())))).collect());
        let page = running.page(HistoryQuery { wanted: Wanted::default(), limit: 50, ..latest(1, 0) });
        assert_eq!((page.messages, page.last), (50, 200));
        assert!(text(&page).starts_with("@label=l;draft/chathistory-end :"));
        let page = running.page(HistoryQuery { wanted: Wanted::default(), limit: 49, ..latest(1, 0) });
        assert_eq!(page.messages, 49);
        assert!(text(&page).starts_with("@label=l :"), "there is one more");
    }
}

#[test]
fn what_an_account_said_between_two_changes_is_erased_and_nothing_else() {
    for bed in Bed::all() {
        let running = Running::on(&bed);
        // Every third was said without an account.
        let said = |n: u64| (n, Record::Message(Box::new(message(1, n, Kind::Privmsg, &format!("word-{n}.")))));
        running.store.append((1..8).map(said).collect());
        let erased = |name: &str| Record::Erased { account: name.into(), after: 2, before: 8 };
        running.store.append(vec![(8, erased("Alice")), (8, erased("alice")), said(9), said(10)]);
        running.committed(10);
        let page = text(&running.page(latest(1, 20)));
        let left: Vec<u64> = (1..=10).filter(|n| page.contains(&format!("word-{n}."))).collect();
        assert_eq!(left, [1, 2, 3, 6, 9, 10], "{page}");
        running.close();
    }
}

#[test]
fn what_is_redacted_is_in_no_answer_and_not_in_the_database() {
    for bed in Bed::all() {
        let running = Running::on(&bed);
        let said = |n: u64, text: &str| (n, Record::Message(Box::new(message(1, n, Kind::Privmsg, text))));
        running.store.append(vec![said(1, "before"), said(2, "a secret that slipped out"), said(3, "after")]);
        // So much that these words are in the index.
        let talk = |n| (n, Record::Message(Box::new(message(2, n, Kind::Privmsg, &format!("talk {n}")))));
        running.store.append((1001..=1000 + FILLS_INDEX).map(talk).collect());
        running.committed(1000 + FILLS_INDEX);
        assert_eq!(running.found(looking_for("SECRET", &[1])).messages, 1);
        assert_eq!(indexed(&running, &bed), 3, "before it is taken back");
        running.store.find(CALL, 1, 2);
        match running.next() {
            Event::Returned(CALL, Returned::Found(Some(row))) => assert_eq!(&*row.text, "a secret that slipped out"),
            other => panic!("{other:?}"),
        }
        let redact = MessageRow { argument: Some("id".into()), ..message(1, 9999, Kind::Redact, "oops") };
        let about = |conversation, n, kind| {
            let row = MessageRow { argument: Some("id".into()), ..message(conversation, n, kind, "about it") };
            (n, Record::Message(Box::new(row)))
        };
        running.store.append(vec![about(1, 4, Kind::Tagmsg), about(1, 5, Kind::Edit), about(3, 6, Kind::Edit)]);
        running.committed(6);
        let gone = Record::AboutGone(1, "id".into());
        let redact = Record::Message(Box::new(redact));
        running.store.append(vec![(9999, Record::Redacted(2)), (9999, gone), (9999, redact)]);
        let page = text(&running.page(latest(1, 10)));
        for (conversation, seq, is_there) in [(1, 4, false), (1, 5, false), (3, 6, true)] {
            running.store.find(CALL, conversation, seq);
            let Event::Returned(CALL, Returned::Found(found)) = running.next() else {
                panic!("nothing was looked for")
            };
            assert_eq!(found.is_some(), is_there, "{seq}");
        }
        assert!(
            !page.contains("secret") && page.contains("before") && page.contains("REDACT #rust id :oops"),
            "{page}"
        );
        let after = |text| Record::Edited(3, Box::new(message(1, 3, Kind::Privmsg, text)));
        running.store.append(vec![(9999, after("edited twice")), (9999, after("new"))]);
        assert_eq!(running.found(looking_for("after", &[1])).messages, 0);
        assert_eq!(running.found(looking_for("new", &[1])).messages, 1);
        assert_eq!(running.found(looking_for("secret", &[1])).messages, 0);
        assert_eq!(running.found(looking_for("before", &[1])).messages, 1);
        let without = HistoryQuery { wanted: Wanted { redactions: false, ..Wanted::ALL }, ..latest(1, 10) };
        assert!(!text(&running.page(without)).contains("REDACT"));
        for (conversation, seq) in [(1, 2), (2, 1)] {
            running.store.find(CALL, conversation, seq);
            assert!(matches!(running.next(), Event::Returned(CALL, Returned::Found(None))));
        }
        running.close();
        match &bed {
            Bed::Sqlite(dir) => {
                let file = std::fs::read(dir.path().join("in/roost.db")).unwrap();
                let has = |word: &[u8]| file.windows(word.len()).any(|bytes| bytes == word);
                assert!(!has(b"secret") && !has(b"after") && !has(b"twice") && has(b"before"));
            }
            // Its files are its own: what is deleted there goes with its VACUUM.
            Bed::Postgres(schema) => {
                assert_eq!(schema.count("SELECT count(*) FROM message WHERE message::text LIKE '%secret%'"), 0);
                assert_eq!(schema.count("SELECT count(*) FROM message WHERE message::text LIKE '%before%'"), 1);
                assert_eq!(schema.count("SELECT count(*) FROM word WHERE terms::text ~ 'secret|after|twice'"), 0);
                assert_eq!(schema.count("SELECT count(*) FROM message WHERE text ~ 'after|twice'"), 0);
                assert_eq!(schema.count("SELECT count(*) FROM word WHERE terms::text LIKE '%before%'"), 1);
            }
        }
    }
}

#[test]
fn what_was_deleted_is_soon_in_no_file_while_the_store_runs() {
    let expiry = Expiry { conversation: 1, before: 100, most: None, epoch: 7 };
    let edited = Record::Edited(2, Box::new(message(1, 2, Kind::Privmsg, "otherwise")));
    for (what, record) in [
        ("erased", Some(Record::Erased { account: "alice".into(), after: 0, before: 3 })),
        ("redacted", Some(Record::Redacted(2))),
        ("edited", Some(edited)),
        ("past its time", None),
    ] {
        let bed = Bed::Sqlite(TempDir::new().unwrap());
        let running = Running::on(&bed);
        let of_alice = |n| MessageRow { account: Some("alice".into()), ..message(1, n, Kind::Privmsg, "slipped out") };
        let talk = |n| (n, Record::Message(Box::new(message(2, n, Kind::Privmsg, &format!("talk {n}")))));
        running.store.append((1..=2).map(|n| (n, Record::Message(Box::new(of_alice(n))))).collect());
        // So much that these words are in the index.
        running.store.append((1001..=1000 + FILLS_INDEX).map(talk).collect());
        running.committed(1000 + FILLS_INDEX);
        assert!(bed.has("slipped out") && bed.has("talk 1001"));
        match record {
            Some(record) => {
                running.store.append(vec![(9999, Record::Redacted(1)), (9999, record)]);
                running.committed(9999);
            }
            None => assert_eq!(running.expire(expiry), 2),
        }
        running.scrubbed();
        assert!(!bed.has("slipped") && bed.has("talk 1001"), "{what}");
        running.close();
    }
}

#[test]
fn who_reads_an_older_state_keeps_what_was_deleted_in_the_log_until_he_is_done_and_holds_nobody_up() {
    let bed = Bed::Sqlite(TempDir::new().unwrap());
    let running = Running::on(&bed);
    running.store.append(vec![said(1, "slipped out"), said(2, "before")]);
    running.committed(2);
    running.scrubbed();
    let reading = bed.read();
    running.store.append(vec![(3, Record::Redacted(1))]);
    running.committed(3);
    for n in 4..=50 {
        running.store.append(vec![said(n, "meanwhile")]);
        running.committed(n);
    }
    assert_eq!(running.page(latest(1, 100)).messages, 48);
    assert!(running.store.progress.borrow().traces && bed.has("slipped out"));
    let killed = bed.killed();
    reading.release();
    running.scrubbed();
    assert!(!bed.has("slipped") && bed.has("before") && bed.has("meanwhile"));
    running.close();
    // What a kill has left goes after the next start.
    assert!(killed.has("slipped out"));
    let again = Running::on(&killed);
    again.scrubbed();
    assert!(!killed.has("slipped") && killed.has("meanwhile"));
    again.close();
}

/// How far behind the index of words may be here: soon reached.
const INDEX_LAG: usize = 4096;
/// So many rows that the first step of the index has been made when the last of them is written.
const FILLS_INDEX: u64 = (INDEX_LAG + 2 * STORE_BATCH) as u64;

fn looking_for(text: &str, conversations: &[u64]) -> SearchQuery {
    SearchQuery {
        places: conversations.iter().map(|id| (*id, 0)).collect(),
        floor: 0,
        words: words(text),
        from: None,
        after: None,
        before: None,
        limit: 1000,
        reader: reader(),
    }
}

/// How many of the numbers from 1 to 3 the index has, once it has any.
fn indexed(running: &Running, bed: &Bed) -> i64 {
    // Whoever comes next finds the step before it made.
    running.store.append(vec![(9000, Record::AccountGone(1))]);
    running.committed(9000);
    bed.count(
        "SELECT count(*) FROM (SELECT 1 AS seq UNION SELECT 2 UNION SELECT 3) AS numbers, indexed \
               WHERE low <= seq AND seq <= high",
    )
}

#[test]
fn a_search_finds_what_the_model_says_in_the_index_and_behind_it() {
    let vocabulary = ["the", "Quick", "brown", "Füchse", "jump", "over", "\"lazy\"", "dogs", "日本", "x"];
    for bed in Bed::all() {
        let mut random = StdRng::seed_from_u64(7);
        let mut rows: BTreeMap<Seq, MessageRow> = BTreeMap::new();
        for n in 1..=FILLS_INDEX {
            let kind = if random.random_range(0..9) == 0 { Kind::Join } else { Kind::Notice };
            let said: Vec<&str> =
                (0..random.random_range(0..6)).map(|_| vocabulary[random.random_range(0..vocabulary.len())]).collect();
            let source = ["alice!a@example.org", "Bob[1]!b@example.org"][random.random_range(0..2)];
            let row = message(random.random_range(1..5), 10 * n, kind, &said.join(" "));
            rows.insert(n, MessageRow { source: source.into(), ..row });
        }
        let mut running = Running::on(&bed);
        let record = |(n, row): (&Seq, &MessageRow)| (*n, Record::Message(Box::new(row.clone())));
        running.store.append(rows.iter().map(record).collect());
        let mut last = FILLS_INDEX;
        for round in 0..6 {
            for _ in 0..50 {
                let mut conversations: Vec<u64> = (1..5).filter(|_| random.random_range(0..2) == 0).collect();
                conversations.push(9);
                if random.random_range(0..2) == 0 {
                    conversations.extend(20..30);
                }
                let words: Vec<&str> = (0..random.random_range(0..4))
                    .map(|_| vocabulary[random.random_range(0..vocabulary.len())])
                    .collect();
                let from = [None, Some("ALICE"), Some("bob[1]"), Some("eve")][random.random_range(0..4)];
                let mut moment = || (random.random_range(0..3) == 0).then(|| random.random_range(0..12 * last));
                let query = SearchQuery {
                    from: from.map(Into::into),
                    after: moment(),
                    before: moment(),
                    floor: moment().unwrap_or(0) / 20,
                    limit: [1, 7, 1000][last as usize % 3],
                    ..looking_for(&words.join(" "), &conversations)
                };
                let mut query = query;
                for (_, since) in &mut query.places {
                    *since = if random.random_range(0..3) == 0 { random.random_range(0..12 * last) } else { 0 };
                }
                let expected = search::select(rows.iter().map(|(n, row)| (*n, row)), &query);
                assert_eq!(
                    text(&running.found(query.clone())),
                    text(&render(&query.reader, &expected, false)),
                    "{query:?}"
                );
            }
            // Some read otherwise, some are taken back, some of them twice, and some come.
            for _ in 0..200 {
                let edited = random.random_range(1..=last);
                let Some(row) = rows.get_mut(&edited).filter(|row| row.kind.is_text()) else { continue };
                row.text = vocabulary[random.random_range(0..vocabulary.len())].into();
                running.store.append(vec![(last, Record::Edited(edited, Box::new(row.clone())))]);
            }
            for _ in 0..200 {
                let gone = random.random_range(1..=last);
                rows.remove(&gone);
                running.store.append(vec![(last, Record::Redacted(gone))]);
            }
            for n in last + 1..last + 400 {
                rows.insert(n, message(1 + n % 4, 10 * n, Kind::Privmsg, vocabulary[n as usize % vocabulary.len()]));
            }
            running.store.append(rows.range(last + 1..).map(record).collect());
            last += 399;
            running.committed(last);
            if round == 3 {
                running.close();
                running = Running::on(&bed);
            }
        }
        running.close();
        bed.check_index();
    }
}

#[test]
fn a_search_is_not_slower_for_all_that_the_reader_may_not_read() {
    for bed in Bed::all() {
        let running = Running::on(&bed);
        let said = |n: u64| message(1, n, Kind::Privmsg, "word");
        running.store.append((1..=FILLS_INDEX).map(|n| (n, Record::Message(Box::new(said(n))))).collect());
        running.committed(FILLS_INDEX);
        let later = FILLS_INDEX + 1_000_000;
        for (places, found) in [(vec![(1, later)], 0), (vec![(1, later), (2, 0)], 0), (vec![(1, 0), (2, 0)], 1)] {
            let query = SearchQuery { places: places.clone(), limit: 1, ..looking_for("word", &[]) };
            assert_eq!(running.found(query).messages, found, "{places:?}");
        }
        running.close();
    }
}

#[test]
fn what_was_said_before_there_was_an_index_comes_into_it_while_the_store_runs() {
    for bed in Bed::all() {
        let running = Running::on(&bed);
        running.store.append((1..=2000).map(|n| said(n, &format!("n{n}"))).collect());
        running.committed(2000);
        running.close();
        bed.run("UPDATE indexed SET version = 0");
        let running = Running::on(&bed);
        running.store.append(vec![said(2001, "n2001")]);
        for n in [2001, 2000, 1000, 1] {
            while running.found(looking_for(&format!("n{n}"), &[1])).messages == 0 {}
        }
        running.close();
        assert_eq!(bed.count("SELECT low FROM indexed"), 1);
        // The last is read by itself, unless there was time for it.
        assert!([2000, 2001].contains(&bed.count("SELECT high FROM indexed")));
        bed.check_index();
    }
}

/// Rows of three conversations with gaps between their numbers and times, and questions about them.
fn case() -> impl Strategy<Value = (Vec<(Seq, MessageRow)>, Vec<HistoryQuery>)> {
    let row = (1u64..4, 1u64..4, 1u64..30, 0u8..12, 1u64..20);
    prop::collection::vec(row, 0..80).prop_flat_map(|steps| {
        let (mut seq, mut times) = (0, [0, 0, 5]);
        let rows: Vec<_> = steps
            .into_iter()
            .map(|(step, conversation, later, kind, about)| {
                seq += step;
                let time = &mut times[conversation as usize - 1];
                *time += later;
                let kind = Kind::from_number(kind).unwrap();
                let mut row = message(conversation, *time, kind, &format!("m{seq}"));
                if matches!(kind, Kind::Tagmsg | Kind::Redact | Kind::Edit) {
                    let parent = MsgId { epoch: reader().epoch, seq: seq.saturating_sub(about) };
                    row.argument = Some(parent.to_string().into());
                }
                (seq, row)
            })
            .collect();
        let most = times.into_iter().max().unwrap_or(0) + 5;
        let border = prop_oneof![
            4 => (0..seq + 5).prop_map(Border::Seq),
            4 => (0..most).prop_map(Border::Time),
            1 => any::<u64>().prop_map(Border::Seq),
            1 => any::<u64>().prop_map(Border::Time),
        ];
        let range = prop_oneof![
            prop::option::of(border.clone()).prop_map(Range::Latest),
            border.clone().prop_map(Range::Before),
            border.clone().prop_map(Range::After),
            border.clone().prop_map(Range::Around),
            (border.clone(), border).prop_map(|(a, b)| Range::Between(a, b)),
        ];
        let limit = prop_oneof![8 => 0u32..9, 1 => 90u32..=u32::MAX];
        let floor = prop_oneof![2 => Just(0), 1 => 0..seq + 5];
        let since = prop_oneof![2 => Just(0), 1 => 0..most];
        let query = (1u64..4, range, limit, any::<[bool; 6]>(), floor, since).prop_map(
            |(conversation, range, limit, wants, floor, since)| {
                let [events, redactions, edits, tagmsgs, ..] = wants;
                let wanted = Wanted { events, redactions, edits, tagmsgs };
                let mut reader = reader();
                for (cap, has) in [(Cap::EventPlayback, wants[4]), (Cap::MessageEdit, wants[5])] {
                    if has {
                        reader.caps.insert(cap);
                    }
                }
                HistoryQuery { conversation, range, limit, wanted, floor, since, reader }
            },
        );
        (Just(rows), prop::collection::vec(query, 60))
    })
}

#[test]
fn every_range_is_answered_as_the_model_says() {
    let mut runner = TestRunner::new(Config { cases: 48, failure_persistence: None, ..Config::default() });
    runner
        .run(&case(), |(rows, queries)| {
            for bed in Bed::all() {
                let running = Running::on(&bed);
                let records = rows.iter().map(|(seq, row)| (*seq, Record::Message(Box::new(row.clone()))));
                running.store.append(records.collect());
                for query in &queries {
                    let there = rows.iter().filter(|(_, row)| row.conversation == query.conversation);
                    let there = there.map(|(seq, row)| (*seq, row));
                    let (mut expected, end) =
                        select(there.clone(), query.range, query.limit, query.wanted, query.floor, query.since);
                    tag_edits(&mut expected, &rows);
                    let mut about = context(there, &expected, &query.reader);
                    leave_to_next(query, &expected, end, &mut about);
                    let found = running.page(query.clone());
                    let expected = render_page(&query.reader, &expected, &about, end);
                    assert_eq!(text(&found), text(&expected), "{query:?}");
                }
                running.close();
            }
            Ok(())
        })
        .unwrap();
}

/// Gives edits of a page their tags, where what they edit is a message of their conversation.
fn tag_edits(page: &mut [(Seq, MessageRow)], rows: &[(Seq, MessageRow)]) {
    for (_, row) in page.iter_mut().filter(|(_, row)| row.kind == Kind::Edit) {
        let msgid = MsgId::parse(row.argument.as_deref().unwrap()).unwrap();
        let edited = rows.iter().find(|(seq, edited)| *seq == msgid.seq && edited.conversation == row.conversation);
        row.tags = edited.map(|(_, edited)| edit::tags(&msgid.to_string(), &edited.text));
    }
}

/// A reader that gets everything that is about a message.
fn curious() -> Reader {
    let caps = CapSet::of(&[Cap::MessageTags, Cap::Batch, Cap::EventPlayback, Cap::MessageEdit]);
    Reader { caps, label: None, ..reader() }
}

fn reaction(seq: Seq, parent: Seq, tags: &str) -> (Seq, Record) {
    let msgid = MsgId { epoch: reader().epoch, seq: parent }.to_string();
    let row = message(1, 1000 + seq, Kind::Tagmsg, "");
    let tags = tags.replace("MSGID", &msgid);
    (seq, Record::Message(Box::new(MessageRow { argument: Some(msgid.into()), tags: Some(tags.into()), ..row })))
}

#[test]
fn of_too_many_reactions_the_newest_come_and_those_of_the_newest_messages() {
    for bed in Bed::all() {
        let running = Running::on(&bed);
        let texts = (CONTEXT_A_PAGE / CONTEXT_A_MESSAGE) as u64 + 3;
        running.store.append((1..=texts).map(|n| said(n, &format!("m{n}."))).collect());
        let per_text = CONTEXT_A_MESSAGE as u64 + 2;
        let reactions = (0..texts * per_text).map(|n| reaction(100 + n, n / per_text + 1, &format!("+react=r{n}.")));
        running.store.append(reactions.collect());
        running.committed(99 + texts * per_text);
        let query = HistoryQuery { reader: curious(), wanted: Wanted::default(), ..latest(1, 1000) };
        let page = running.page(query);
        assert_eq!((u64::from(page.messages), page.last), (texts, texts), "what is about them is not counted");
        let page = text(&page);
        assert_eq!(page.matches("draft/chathistory-context").count(), CONTEXT_A_PAGE);
        let of = |n: u64| (0..per_text).filter(|at| page.contains(&format!("=r{}.", (n - 1) * per_text + at))).count();
        assert_eq!((of(1), of(2), of(texts)), (0, 0, CONTEXT_A_MESSAGE));
        let last = texts * per_text - 1;
        assert!(page.contains(&format!("=r{last}.")) && !page.contains(&format!("=r{}.", last - per_text + 1)));
        running.close();
    }
}

#[test]
fn reactions_that_were_there_before_there_was_an_index_of_them_are_found() {
    for bed in Bed::all() {
        let running = Running::on(&bed);
        let tags = [
            "+reply=MSGID;+draft/react=a.",
            "+draft/unreact=b.;+draft/reply=MSGID",
            "+draft/reply=x;+react=c.;+reply=MSGID;+x",
            "+reply=MSGID;+draft/persist=d.",
            "+draft/react=e.;+reply=MSGIDMSGIDMSGID",
        ];
        let old = (10..).zip(tags).map(|(seq, tags)| match reaction(seq, 1, tags) {
            (seq, Record::Message(row)) => (seq, Record::Message(Box::new(MessageRow { argument: None, ..*row }))),
            other => other,
        });
        running.store.append([said(1, "text")].into_iter().chain(old).collect());
        running.close();
        let migration = match &bed {
            Bed::Sqlite(_) => include_str!("migrations/sqlite/0016_about.sql"),
            Bed::Postgres(_) => include_str!("migrations/postgres/0009_about.sql"),
        };
        bed.run(&migration[migration.find("UPDATE").unwrap()..]);
        let running = Running::on(&bed);
        let query = HistoryQuery { reader: curious(), wanted: Wanted::default(), ..latest(1, 10) };
        let page = text(&running.page(query));
        for (word, there) in [("=a.", true), ("=b.", true), ("=c.", true), ("=d.", false)] {
            assert_eq!(page.contains(word), there, "{word} {page}");
        }
        running.close();
    }
}

/// A row of a conversation in which things are said, and said about what was said.
fn lively(random: &mut StdRng, conversation: u64, n: Seq, texts: &[Seq]) -> MessageRow {
    let about = |random: &mut StdRng| MsgId { epoch: 7, seq: texts[random.random_range(0..texts.len())] }.to_string();
    let mut row = message(conversation, 10 * n, Kind::Privmsg, &format!("word{} number{n}", n % 7));
    match random.random_range(0..10) {
        0 => row.kind = Kind::Join,
        1 if !texts.is_empty() => {
            let parent = about(random);
            row.kind = Kind::Tagmsg;
            row.tags = Some(format!("+draft/reply={parent};+draft/react=x").into());
            row.argument = Some(parent.into());
        }
        2 if !texts.is_empty() => {
            row.kind = Kind::Edit;
            row.argument = Some(about(random).into());
        }
        3 if !texts.is_empty() => {
            row.kind = Kind::Redact;
            row.argument = Some(about(random).into());
        }
        _ => {}
    }
    row
}

/// Rows of two conversations, in the order of their numbers.
fn lively_rows(random: &mut StdRng, count: u64) -> BTreeMap<Seq, MessageRow> {
    let (mut rows, mut texts) = (BTreeMap::new(), [Vec::new(), Vec::new()]);
    for n in 1..=count {
        let conversation = 1 + u64::from(random.random_range(0..3) == 0);
        let said = &mut texts[conversation as usize - 1];
        let row = lively(random, conversation, n, said);
        if row.kind.is_text() {
            said.push(n);
        }
        rows.insert(n, row);
    }
    rows
}

fn of(rows: &BTreeMap<Seq, MessageRow>, conversation: u64) -> impl Iterator<Item = (Seq, &MessageRow)> {
    rows.iter().filter(move |(_, row)| row.conversation == conversation).map(|(n, row)| (*n, row))
}

#[test]
fn what_is_past_its_time_goes_as_the_model_says_with_its_words_and_what_is_about_it() {
    for bed in Bed::all() {
        let mut random = StdRng::seed_from_u64(11);
        let mut rows = lively_rows(&mut random, FILLS_INDEX);
        let running = Running::on(&bed);
        running.store.append(rows.iter().map(|(n, row)| (*n, Record::Message(Box::new(row.clone())))).collect());
        running.committed(FILLS_INDEX);
        let last = FILLS_INDEX;
        // By age, by count, by both; and what was done already does nothing.
        for (before, most) in
            [(0, None), (3_000, None), (10 * last / 2, Some(3_000)), (0, Some(1_000)), (0, Some(7)), (20 * last, None)]
        {
            for conversation in [1, 2] {
                let expiry = Expiry { conversation, before, most, epoch: 7 };
                let gone = overdue(of(&rows, conversation), &expiry);
                rows.retain(|n, _| gone.binary_search(n).is_err());
                assert_eq!(running.expire(expiry), gone.len() as u64, "{expiry:?}");
                assert_eq!(running.expire(expiry), 0, "{expiry:?}");
            }
            assert_eq!(bed.count("SELECT count(*) FROM message"), rows.len() as i64);
            for conversation in [1, 2] {
                let query = latest(conversation, u32::MAX);
                let expected: Vec<_> = of(&rows, conversation).map(|(n, row)| (n, row.clone())).collect();
                let shown = running.page(query.clone());
                // What edited messages say is in none of these rows.
                let lines = |page: HistoryPage| -> Vec<String> {
                    text(&page).lines().filter(|line| !line.contains(" EDIT ")).map(str::to_owned).collect()
                };
                assert_eq!(lines(shown), lines(render(&query.reader, &expected, true)), "{before} {most:?}");
            }
            for word in ["word3", "number12"] {
                let query = looking_for(word, &[1, 2]);
                let expected = search::select(rows.iter().map(|(n, row)| (*n, row)), &query);
                assert_eq!(
                    text(&running.found(query.clone())),
                    text(&render(&query.reader, &expected, false)),
                    "{word}"
                );
            }
        }
        assert!(rows.is_empty());
        // Not one word is left behind.
        if bed.url().starts_with("sqlite") || !bed.url().contains("://") {
            assert_eq!(bed.count("SELECT count(*) FROM word WHERE word MATCH 'word3'"), 0);
        } else {
            assert_eq!(bed.count("SELECT count(*) FROM word"), 0);
        }
        running.close();
    }
}

#[test]
fn c44_paging_while_rows_go_skips_nothing_that_stays_and_shows_nothing_twice() {
    for bed in Bed::all() {
        let mut random = StdRng::seed_from_u64(5);
        let rows = lively_rows(&mut random, 3_000);
        let running = Running::on(&bed);
        running.store.append(rows.iter().map(|(n, row)| (*n, Record::Message(Box::new(row.clone())))).collect());
        let texts: Vec<Seq> = of(&rows, 1).filter(|(_, row)| row.kind.is_text()).map(|(n, _)| n).collect();
        // Back from the newest: pages of 50, and after each of them the oldest are gone, of those that were not shown.
        let (mut shown, mut border) = (Vec::new(), None);
        for page in 1.. {
            let range = border.map_or(Range::Latest(None), |seq| Range::Before(Border::Seq(seq)));
            let query = HistoryQuery { range, wanted: Wanted::default(), ..latest(1, 50) };
            let found = running.page(query);
            let ids = msgids(&found);
            let left = texts.iter().filter(|n| **n * 10 >= 300 * (page - 1) && border.is_none_or(|seq| **n < seq));
            assert_eq!(ids.len(), left.count().min(50), "page {page}");
            let Some(first) = ids.first() else { break };
            border = Some(*first);
            shown.splice(0..0, ids);
            running.expire(Expiry { conversation: 1, before: 300 * page, most: None, epoch: 7 });
        }
        assert!(shown.is_sorted_by(|a, b| a < b) && shown.len() > 500, "{}", shown.len());
        assert!(texts.ends_with(&shown));
        // Forwards from one that has gone since it was shown.
        let left = *shown.first().unwrap();
        let query =
            HistoryQuery { range: Range::After(Border::Seq(texts[0])), wanted: Wanted::default(), ..latest(1, 50) };
        let ids = msgids(&running.page(query));
        assert!(ids.len() == 50 && ids[0] >= left.min(ids[0]) && texts.windows(50).any(|run| run == ids));
        running.close();
    }
}

/// The numbers of the messages in a page.
fn msgids(page: &HistoryPage) -> Vec<Seq> {
    let text = text(page);
    let ids = text.lines().filter_map(|line| line.split_once("msgid=")?.1.split([';', ' ']).next());
    ids.map(|id| MsgId::parse(id).unwrap().seq).collect()
}

#[test]
fn a_server_that_dies_while_rows_go_leaves_every_step_whole() {
    for bed in Bed::all() {
        let mut random = StdRng::seed_from_u64(3);
        let mut rows = lively_rows(&mut random, FILLS_INDEX);
        let running = Running::on(&bed);
        running.store.append(rows.iter().map(|(n, row)| (*n, Record::Message(Box::new(row.clone())))).collect());
        running.committed(FILLS_INDEX);
        let expiry = Expiry { conversation: 1, before: 5 * FILLS_INDEX, most: None, epoch: 7 };
        running.store.expire(expiry);
        // Some steps later, for each batch that comes in between lets one be made.
        let all = bed.count("SELECT count(*) FROM message");
        while bed.count("SELECT count(*) FROM message") > all - 2 * EXPIRY_STEP as i64 {
            std::thread::yield_now();
        }
        let killed = bed.killed();
        let dead = killed.count("SELECT count(*) FROM message");
        assert!(dead < all, "{dead}");
        // Nothing is about a message that has gone: those are older than all that are there.
        let oldest = killed.count("SELECT min(seq) FROM message WHERE conversation = 1 AND kind <= 1") as u64;
        let orphans = format!(
            "SELECT count(*) FROM message WHERE conversation = 1 AND kind IN (2, 10, 11) AND argument < '{}'",
            MsgId { epoch: 7, seq: oldest }
        );
        assert_eq!(killed.count(&orphans), 0);
        assert!(oldest > 1);
        let again = Running::on(&killed);
        let gone = overdue(of(&rows, 1), &expiry);
        rows.retain(|n, _| gone.binary_search(n).is_err());
        again.expire(expiry);
        assert_eq!(killed.count("SELECT count(*) FROM message"), rows.len() as i64);
        let query = looking_for("word3", &[1, 2]);
        let expected = search::select(rows.iter().map(|(n, row)| (*n, row)), &query);
        assert_eq!(text(&again.found(query.clone())), text(&render(&query.reader, &expected, false)));
        again.store.append(vec![said(FILLS_INDEX + 5, "later")]);
        again.committed(FILLS_INDEX + 5);
        again.close();
        running.close();
    }
}
