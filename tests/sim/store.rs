//! The simulated store: keeps records in order and in batches, late, sometimes not at all for a while,
//! and loses at a crash what it had not committed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ircv3::Casemapping;
use roost::server::event::{CallId, Returned};
use roost::server::history;
use roost::server::record::{
    AccessRow, AccountId, AccountRow, BanRow, ChannelRow, CodeRow, ConversationId, ConversationRow, CredentialsRow,
    Expiry, GroupedRow, HistoryQuery, Kind, ListRow, MarkerRow, MessageRow, MetadataRow, MsgId, PresenceRow, PurgeRow,
    Purpose, PushedRow, Record, SeenRow, Seq, SettingRow, Snapshot, SubscriptionRow, SuspensionRow, VapidRow,
};

use crate::view::fold;
use crate::violation::{Invariant, Outcome, broken};

/// The server's key for web push: the same in every run, for the same seed gives the same bytes.
const VAPID: &str = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg/nbtBUIX4dJpabzTmT+Ip7qi1ErE1hTDmxwzakPD7jyhRANCAARMORHc7rgi\
    QLoOBEbmLUBhpytweZg8hZdAeGX6z3vvsVjgl9GuV/h1oG2ujV2r2oYqoEYxvkZs2+T1B4YXxQKn";

/// What is on disk.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    /// By number.
    pub messages: BTreeMap<Seq, MessageRow>,
    /// By number.
    pub accounts: BTreeMap<AccountId, AccountRow>,
    pub credentials: BTreeMap<AccountId, CredentialsRow>,
    channels: BTreeMap<Box<str>, ChannelRow>,
    lists: BTreeMap<(Box<str>, char, Box<str>), ListRow>,
    conversations: BTreeMap<ConversationId, ConversationRow>,
    seen: BTreeMap<(AccountId, Box<str>), SeenRow>,
    markers: BTreeMap<(AccountId, Box<str>), u64>,
    metadata: BTreeMap<(Box<str>, Box<str>), Box<str>>,
    settings: BTreeMap<(Box<str>, Box<str>), SettingRow>,
    bans: Vec<BanRow>,
    presences: BTreeMap<AccountId, PresenceRow>,
    codes: BTreeMap<(AccountId, Purpose), CodeRow>,
    access: BTreeMap<(Box<str>, AccountId), AccessRow>,
    suspensions: BTreeMap<AccountId, SuspensionRow>,
    grouped: BTreeMap<Box<str>, GroupedRow>,
    purges: BTreeMap<Box<str>, PurgeRow>,
    subscriptions: BTreeMap<(AccountId, Box<str>), SubscriptionRow>,
    pushed: BTreeMap<(AccountId, Box<str>), PushedRow>,
}

/// A question that waits until what was appended before it is committed.
#[derive(Debug)]
struct Read {
    id: CallId,
    query: HistoryQuery,
    after: u64,
}

/// The store.
#[derive(Debug)]
pub struct Store {
    epoch: u32,
    casemapping: Casemapping,
    boot: u32,
    /// What a crash leaves.
    pub disk: Rows,
    /// What would be on disk if nothing waited, without messages.
    shadow: Rows,
    waiting: VecDeque<(Seq, Record)>,
    appended: u64,
    committed: u64,
    last: Seq,
    last_message: Seq,
    reads: VecDeque<Read>,
    /// What is to be deleted for being past its time.
    expiries: VecDeque<Expiry>,
    /// What was.
    expired: BTreeMap<Seq, MessageRow>,
    /// Whether it cannot write now.
    pub failing: bool,
    /// Everything that was ever appended and not lost: durable or on its way.
    pub appended_rows: BTreeMap<Seq, MessageRow>,
    filed: BTreeMap<ConversationId, ConversationRow>,
    last_times: BTreeMap<ConversationId, u64>,
    by_token: BTreeMap<(String, String), Vec<Seq>>,
}

impl Store {
    /// An empty database.
    pub fn new(epoch: u32, casemapping: Casemapping) -> Store {
        Store {
            epoch,
            casemapping,
            boot: 0,
            disk: Rows::default(),
            shadow: Rows::default(),
            waiting: VecDeque::new(),
            appended: 0,
            committed: 0,
            last: 0,
            last_message: 0,
            reads: VecDeque::new(),
            expiries: VecDeque::new(),
            expired: BTreeMap::new(),
            failing: false,
            appended_rows: BTreeMap::new(),
            filed: BTreeMap::new(),
            last_times: BTreeMap::new(),
            by_token: BTreeMap::new(),
        }
    }

    /// A database in which some of the clients have accounts.
    pub fn settle_accounts(&mut self) {
        for (id, name) in (1..).zip(["ann", "Bob", "cy", "dora", "eve"]) {
            let folded = name.to_ascii_lowercase();
            let password = format!("h:pw-{folded}").into();
            let (name, folded) = (name.into(), folded.into());
            let row = AccountRow {
                email: None,
                verified: true,
                id,
                name,
                folded,
                password,
                registered: 1_600_000_000_000,
                autoreplay_missed: true,
                always_on: None,
                multiclient: true,
            };
            self.disk.accounts.insert(id, row);
        }
    }

    /// A database with so many registered channels that LIST is sent in pages.
    pub fn settle_channels(&mut self) {
        for at in 0..200 {
            let name = format!("#list{at}");
            let row = ChannelRow {
                transfer: None,
                folded: name.as_str().into(),
                name: name.as_str().into(),
                founder: Some(1),
                registered: 1_600_000_000_000,
                created: 1_600_000_000,
                topic: Some(("long topic ".repeat(27).into(), "ann!a@b".into(), 1_600_000_000)),
                modes: "nt".into(),
                key: None,
                limit: None,
                forward: None,
            };
            self.disk.channels.insert(row.folded.clone(), row);
        }
    }

    /// Takes a record; numbers rise, and time rises within a conversation.
    pub fn append(&mut self, seq: Seq, record: Record) -> Outcome {
        if seq < self.last {
            return broken(Invariant::Order, format!("record {seq:x} was appended after {:x}: {record:?}", self.last));
        }
        self.last = seq;
        match &record {
            Record::Conversation(row) => {
                let before = self.filed.insert(row.id, row.clone());
                // A guest may have logged in, or taken another nick.
                let goes_along = |before: &ConversationRow| {
                    let guest = before.key.split(' ').find(|part| part.starts_with('~'));
                    let peer = guest.and_then(|guest| before.key.split(' ').find(|part| *part != guest));
                    peer.is_some_and(|peer| row.key.split(' ').any(|part| part == peer))
                };
                if let Some(before) = before.filter(|before| before.key != row.key && !goes_along(before)) {
                    return broken(Invariant::Order, format!("conversation {} was {before:?} before", row.id));
                }
            }
            Record::Message(row) => {
                if seq <= self.last_message {
                    let text = format!("message {seq:x} has the number of another, or an earlier one: {row:?}");
                    return broken(Invariant::Order, text);
                }
                self.last_message = seq;
                if !self.filed.contains_key(&row.conversation) {
                    return broken(Invariant::Order, format!("message {seq:x} is of no conversation: {row:?}"));
                }
                let last = self.last_times.insert(row.conversation, row.time).unwrap_or(0);
                if row.time <= last {
                    return broken(Invariant::Order, format!("message {seq:x} is not later than the one before"));
                }
                if row.kind.is_text() {
                    let key = (token_of(&row.text).to_owned(), fold(&row.target));
                    self.by_token.entry(key).or_default().push(seq);
                }
                self.appended_rows.insert(seq, (**row).clone());
            }
            Record::Marker(row) => {
                let before = self.shadow.markers.get(&(row.account, row.conversation.clone()));
                if before.is_some_and(|before| row.time <= *before) {
                    return broken(Invariant::Kept, format!("a marker goes back from {before:?}: {row:?}"));
                }
            }
            _ => {}
        }
        if let Some(owner) = self.shadow.gone_owner(&record) {
            return broken(Invariant::Kept, format!("{owner} is not there, and this is kept of it: {record:?}"));
        }
        if !matches!(record, Record::Message(_)) {
            self.shadow.apply(seq, record.clone());
        }
        self.waiting.push_back((seq, record));
        self.appended += 1;
        Ok(())
    }

    /// How many records wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Commits about `count` records, never a part of those with one number; the last number.
    pub fn commit(&mut self, count: usize) -> Option<Seq> {
        let mut done = None;
        for at in 0.. {
            let next = self.waiting.front().map(|(seq, _)| *seq);
            if next.is_none() || at >= count && next != done {
                break;
            }
            let Some((seq, record)) = self.waiting.pop_front() else { break };
            self.committed += 1;
            done = Some(seq);
            self.disk.apply(seq, record);
        }
        done
    }

    /// What was last given to be kept of someone who is always on.
    pub fn presence(&self, account: AccountId) -> Option<&PresenceRow> {
        self.shadow.presences.get(&account)
    }

    /// The devices of which it is not on disk yet how far they have read.
    pub fn unkept_devices(&self) -> BTreeSet<(AccountId, Box<str>)> {
        let seen = self.waiting.iter().filter_map(|(_, record)| match record {
            Record::Seen(row) => Some((row.account, row.device.clone())),
            _ => None,
        });
        seen.collect()
    }

    /// What was last given to be kept of an account.
    pub fn account(&self, id: AccountId) -> Option<&AccountRow> {
        self.shadow.accounts.get(&id)
    }

    /// The number of the next record that waits.
    pub fn next_waiting(&self) -> Option<Seq> {
        self.waiting.front().map(|(seq, _)| *seq)
    }

    /// The key of a conversation, durable or not.
    pub fn key(&self, id: ConversationId) -> Option<&str> {
        self.filed.get(&id).map(|row| &*row.key)
    }

    /// Before when nobody reads what was said in a conversation.
    pub fn since(&self, id: ConversationId) -> u64 {
        self.filed.get(&id).map_or(0, |row| row.since)
    }

    /// The conversation with a key.
    pub fn conversation(&self, key: &str) -> Option<ConversationId> {
        self.filed.values().find(|row| &*row.key == key).map(|row| row.id)
    }

    /// The rows with this text and target, in order, durable or not.
    pub fn by_token(&self, token: &str, target: &str) -> &[Seq] {
        self.by_token.get(&(token.to_owned(), fold(target))).map_or(&[], Vec::as_slice)
    }

    /// Is to delete what is past its time.
    pub fn expire(&mut self, expiry: Expiry) {
        self.expiries.push_back(expiry);
    }

    /// Deletes what the oldest of these is about, as `store::expiry` does: the conversation, and how many rows went.
    pub fn expire_one(&mut self) -> Option<(ConversationId, u64)> {
        let Expiry { conversation, before, most, .. } = self.expiries.pop_front()?;
        let class = |row: &MessageRow| match row.kind {
            kind if kind.is_text() => 0,
            Kind::Redact => 2,
            _ => 1,
        };
        let of = |rows: &BTreeMap<Seq, MessageRow>, wanted: usize| -> Vec<u64> {
            let rows = rows.values().filter(|row| row.conversation == conversation && class(row) == wanted);
            rows.map(|row| row.time).collect()
        };
        let mut borders = [before; 3];
        for wanted in 0..3 {
            let times = of(&self.disk.messages, wanted);
            let Some(moment) = most.and_then(|most| times.len().checked_sub(most as usize)).map(|at| times[at]) else {
                continue;
            };
            // Nothing stays that is older than the oldest text that stays.
            let these = if wanted == 0 { &mut borders[..] } else { &mut borders[wanted..=wanted] };
            these.iter_mut().for_each(|border| *border = (*border).max(moment));
        }
        let old = |row: &MessageRow| row.conversation == conversation && row.time < borders[class(row)];
        let texts: BTreeSet<Seq> =
            self.disk.messages.iter().filter(|(_, row)| old(row) && row.kind.is_text()).map(|(seq, _)| *seq).collect();
        let about = |row: &MessageRow| {
            let about = row.argument.as_deref().and_then(MsgId::parse);
            row.conversation == conversation && about.is_some_and(|about| texts.contains(&about.seq))
        };
        let goes = |row: &MessageRow| old(row) || about(row);
        let gone: Vec<Seq> = self.disk.messages.iter().filter(|(_, row)| goes(row)).map(|(seq, _)| *seq).collect();
        for seq in &gone {
            self.expired.extend(self.disk.messages.remove_entry(seq));
        }
        Some((conversation, gone.len() as u64))
    }

    /// A row that is or was on disk, unless it was taken back.
    pub fn kept(&self, seq: Seq) -> Option<&MessageRow> {
        self.disk.messages.get(&seq).or_else(|| self.expired.get(&seq))
    }

    /// Whether anything of a conversation was deleted for being past its time.
    pub fn has_expired(&self, conversation: ConversationId) -> bool {
        self.expired.values().any(|row| row.conversation == conversation)
    }

    /// Takes a question.
    pub fn ask(&mut self, id: CallId, query: HistoryQuery) {
        self.reads.push_back(Read { id, query, after: self.appended });
    }

    /// How many questions wait.
    pub fn questions(&self) -> usize {
        self.reads.len()
    }

    /// Answers a question whose time has come: the rows that are rendered, and the page.
    pub fn answer(&mut self, lose_row: bool) -> Option<(CallId, Vec<Seq>, Returned)> {
        let at = self.reads.iter().position(|read| read.after <= self.committed)?;
        let Read { id, query, .. } = self.reads.remove(at)?;
        let rows = self.disk.messages.iter().filter(|(_, row)| row.conversation == query.conversation);
        let rows = rows.map(|(seq, row)| (*seq, row));
        let (mut rows, ended) = history::select(rows, query.range, query.limit, query.wanted, query.floor, query.since);
        if lose_row && rows.len() > 2 {
            rows.remove(1);
        }
        let all = self.disk.messages.iter().filter(|(_, row)| row.conversation == query.conversation);
        let context = history::context(all.map(|(seq, row)| (*seq, row)), &rows, &query.reader);
        let page = history::render_page(&query.reader, &rows, &context, ended);
        let left = history::newest(&query.reader, &rows).iter();
        let shown = left.filter(|(seq, row)| !query.reader.has_shown(*seq, row));
        let seqs = shown.map(|(seq, _)| *seq).collect();
        Some((id, seqs, Returned::History(page)))
    }

    /// Answers the oldest question with a failure.
    pub fn fail_question(&mut self) -> Option<CallId> {
        Some(self.reads.pop_front()?.id)
    }

    /// Starts again from what is on disk, as `store::open` does.
    pub fn restart(&mut self) -> Snapshot {
        self.boot += 1;
        self.waiting.clear();
        self.reads.clear();
        self.expiries.clear();
        self.failing = false;
        (self.appended, self.committed) = (0, 0);
        self.appended_rows = self.disk.messages.clone();
        self.appended_rows.extend(self.expired.clone());
        self.filed = self.disk.conversations.clone();
        self.last_times.clear();
        self.by_token.clear();
        self.shadow = Rows { messages: BTreeMap::new(), ..self.disk.clone() };
        for (seq, row) in &self.appended_rows {
            self.last_times.insert(row.conversation, row.time);
            if row.kind.is_text() {
                let key = (token_of(&row.text).to_owned(), fold(&row.target));
                self.by_token.entry(key).or_default().push(*seq);
            }
        }
        let last_seq = self.last_seq();
        for row in self.disk.seen.values_mut() {
            row.seq = row.seq.or(Some(last_seq));
        }
        self.snapshot()
    }

    fn last_seq(&self) -> Seq {
        let message = self.disk.messages.keys().next_back().copied().unwrap_or(0);
        let seen = self.disk.seen.values().filter_map(|row| row.seq).max().unwrap_or(0);
        message.max(seen)
    }

    /// What is on disk, as the state is rebuilt from it.
    pub fn snapshot(&self) -> Snapshot {
        self.snapshot_of(&self.disk)
    }

    /// What would be on disk if nothing waited, without messages.
    pub fn snapshot_of_all(&self) -> Snapshot {
        self.snapshot_of(&self.shadow)
    }

    fn snapshot_of(&self, disk: &Rows) -> Snapshot {
        let last = |id: ConversationId, text: bool| {
            let rows = disk.messages.values().filter(|row| row.conversation == id && (!text || row.kind.is_text()));
            rows.map(|row| row.time).max().unwrap_or(0)
        };
        let conversations = disk.conversations.values();
        Snapshot {
            epoch: self.epoch,
            secret: [5; 32],
            second_key: [6; 32],
            boot: self.boot,
            casemapping: self.casemapping,
            last_seq: self.last_seq(),
            accounts: disk.accounts.values().cloned().collect(),
            credentials: disk.credentials.values().cloned().collect(),
            codes: disk.codes.values().cloned().collect(),
            access: disk.access.values().cloned().collect(),
            suspensions: disk.suspensions.values().cloned().collect(),
            grouped: disk.grouped.values().cloned().collect(),
            purges: disk.purges.values().cloned().collect(),
            subscriptions: disk.subscriptions.values().cloned().collect(),
            pushed: disk.pushed.values().cloned().collect(),
            vapid: vec![VapidRow { id: 1, private: VAPID.into() }],
            channels: disk.channels.values().cloned().collect(),
            lists: disk.lists.values().cloned().collect(),
            conversations: conversations.map(|row| (row.clone(), last(row.id, false), last(row.id, true))).collect(),
            seen: disk.seen.values().cloned().collect(),
            markers: disk
                .markers
                .iter()
                .map(|((account, key), time)| MarkerRow { account: *account, conversation: key.clone(), time: *time })
                .collect(),
            bans: disk.bans.clone(),
            presences: disk.presences.values().cloned().collect(),
            settings: disk.settings.values().cloned().collect(),
            metadata: disk
                .metadata
                .iter()
                .map(|((owner, key), value)| MetadataRow {
                    owner: owner.clone(),
                    key: key.clone(),
                    value: Some(value.clone()),
                })
                .collect(),
        }
    }
}

impl Rows {
    /// The account or registered channel that a record belongs to, where that is not there.
    fn gone_owner(&self, record: &Record) -> Option<String> {
        let account = match record {
            Record::Credentials(row) => row.account,
            Record::Seen(row) => row.account,
            Record::Marker(row) => row.account,
            Record::Presence(row) => row.account,
            Record::Code(row) => row.account,
            Record::Access(row) if !self.channels.contains_key(&row.channel) => return Some(row.channel.to_string()),
            Record::Access(row) => row.account,
            Record::Grouped(row) => row.account,
            Record::Suspension(row) => row.account,
            Record::Subscription(row) => row.account,
            Record::Pushed(row) => row.account,
            Record::ListEntry(row) => {
                return (!self.channels.contains_key(&row.channel)).then(|| row.channel.to_string());
            }
            Record::Setting(row) if row.value.is_some() => return self.gone_named(&row.owner),
            Record::Metadata(row) if row.value.is_some() => return self.gone_named(&row.owner),
            _ => return None,
        };
        (!self.accounts.contains_key(&account)).then(|| format!("account {account}"))
    }

    /// The same by name: `#channel`, or `$7` and what may stand behind it.
    fn gone_named(&self, owner: &str) -> Option<String> {
        if owner.starts_with('#') {
            return (!self.channels.contains_key(owner)).then(|| owner.to_owned());
        }
        let account: AccountId = owner.split(' ').next()?.strip_prefix('$')?.parse().ok()?;
        (!self.accounts.contains_key(&account)).then(|| format!("account {account}"))
    }

    fn apply(&mut self, seq: Seq, record: Record) {
        match record {
            Record::Conversation(row) => {
                self.conversations.insert(row.id, row);
            }
            Record::Message(row) => {
                self.messages.insert(seq, *row);
            }
            Record::Account(row) => {
                self.accounts.insert(row.id, *row);
            }
            Record::AccountGone(id) => {
                self.accounts.remove(&id);
                self.credentials.remove(&id);
                self.seen.retain(|(account, _), _| *account != id);
                self.markers.retain(|(account, _), _| *account != id);
                self.metadata.retain(|(owner, _), _| owner.split(' ').next() != Some(&format!("${id}")));
                self.subscriptions.retain(|(account, _), _| *account != id);
                self.pushed.retain(|(account, _), _| *account != id);
                self.settings.retain(|(owner, _), _| **owner != *format!("${id}"));
                self.presences.remove(&id);
                self.codes.retain(|(account, _), _| *account != id);
                self.access.retain(|(_, account), _| *account != id);
                self.suspensions.remove(&id);
                self.grouped.retain(|_, row| row.account != id);
            }
            Record::Credentials(row) => {
                self.credentials.insert(row.account, *row);
            }
            Record::Channel(row) => {
                self.channels.insert(row.folded.clone(), *row);
            }
            Record::ChannelGone(folded) => {
                self.channels.remove(&folded);
                self.lists.retain(|(channel, _, _), _| *channel != folded);
                self.access.retain(|(channel, _), _| *channel != folded);
                self.metadata.retain(|(owner, _), _| *owner != folded);
                self.settings.retain(|(owner, _), _| *owner != folded);
            }
            Record::ListEntry(row) => {
                self.lists.insert((row.channel.clone(), row.mode, row.mask.clone()), *row);
            }
            Record::ListEntryGone(channel, mode, mask) => {
                self.lists.remove(&(channel, mode, mask));
            }
            Record::Seen(row) => {
                self.seen.insert((row.account, row.device.clone()), row);
            }
            Record::Marker(row) => {
                self.markers.insert((row.account, row.conversation), row.time);
            }
            Record::Ban(row) => {
                self.bans.retain(|other| other.target != row.target);
                self.bans.push(*row);
            }
            Record::BanGone(target) => self.bans.retain(|other| other.target != target),
            Record::Presence(row) => {
                self.presences.insert(row.account, *row);
            }
            Record::PresenceGone(account) => {
                self.presences.remove(&account);
            }
            Record::Metadata(row) => {
                match row.value {
                    Some(value) => self.metadata.insert((row.owner, row.key), value),
                    None => self.metadata.remove(&(row.owner, row.key)),
                };
            }
            Record::Setting(row) => {
                let place = (row.owner.clone(), row.key.clone());
                match row.value {
                    Some(_) => self.settings.insert(place, *row),
                    None => self.settings.remove(&place),
                };
            }
            // The simulation keeps to one casemapping.
            Record::Casemapping(_) => {}
            Record::Edited(seq, row) => {
                if let Some(there) = self.messages.get_mut(&seq) {
                    there.text = row.text;
                }
            }
            Record::Redacted(seq) => {
                self.messages.remove(&seq);
            }
            Record::AboutGone(conversation, id) => {
                let is_about = |row: &MessageRow| {
                    matches!(row.kind, Kind::Tagmsg | Kind::Edit) && row.argument.as_deref() == Some(&*id)
                };
                self.messages.retain(|_, row| row.conversation != conversation || !is_about(row));
            }
            Record::Code(row) => {
                self.codes.insert((row.account, row.purpose), *row);
            }
            Record::CodeGone(account, purpose) => {
                self.codes.remove(&(account, purpose));
            }
            Record::Access(row) => {
                self.access.insert((row.channel.clone(), row.account), *row);
            }
            Record::AccessGone(channel, account) => {
                self.access.remove(&(channel, account));
            }
            Record::Grouped(row) => {
                self.grouped.insert(row.folded.clone(), *row);
            }
            Record::GroupedGone(folded) => {
                self.grouped.remove(&folded);
            }
            Record::Suspension(row) => {
                self.suspensions.insert(row.account, *row);
            }
            Record::SuspensionGone(account) => {
                self.suspensions.remove(&account);
            }
            Record::Purge(row) => {
                self.purges.insert(row.channel.clone(), *row);
            }
            Record::PurgeGone(channel) => {
                self.purges.remove(&channel);
            }
            Record::Subscription(row) => {
                self.subscriptions.insert((row.account, row.endpoint.clone()), *row);
            }
            Record::SubscriptionGone(account, endpoint) => {
                self.subscriptions.remove(&(account, endpoint));
            }
            Record::Pushed(row) => {
                self.pushed.insert((row.account, row.conversation.clone()), row);
            }
            Record::MarkerGone(account, conversation) => {
                self.markers.remove(&(account, conversation));
            }
            Record::PushedGone(account, conversation) => {
                self.pushed.remove(&(account, conversation));
            }
            // It is there from the start.
            Record::Vapid(_) => {}
            Record::Erased { account, after, before } => {
                self.messages
                    .retain(|seq, row| row.account.as_ref() != Some(&account) || *seq <= after || *seq >= before);
            }
        }
    }
}

/// The word that nearly every text of the simulation begins with, `t` and a number, or else all of the
/// text: how a client without msgids tells messages apart.
pub fn token_of(text: &str) -> &str {
    let word = text.split(' ').next().unwrap_or("");
    let number = word.strip_prefix('t').unwrap_or("");
    if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) { word } else { text }
}
