//! The shared state: users, channels, accounts and conversations. Plain data; objects refer to each
//! other by id, and everything in one place can be reached from the ids of another.
//!
//! Lookups go through hash maps; nothing iterates over one, so the order of answers is the order in
//! which things happened.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use ahash::AHashMap;
use ircv3::{Casemapping, Folded};
use slab::Slab;

use crate::limits;
use crate::server::authtoken::Tokens;
use crate::server::ban::Bans;
use crate::server::beside::Told;
use crate::server::channel::Channel;
use crate::server::command::control::DEFCON_OPEN;
use crate::server::event::ConnId;
use crate::server::lookalike::{Holder, Lookalikes};
use crate::server::owed::{self, NOW, OWN, Owed};
use crate::server::policy::{self, SERVICES};
use crate::server::record::{
    AccountId, AccountRow, CodeRow, ConversationId, ConversationRow, Credentials, CredentialsRow, GroupedRow,
    MetadataRow, PurgeRow, Purpose, Record, Seq, SettingRow, Snapshot, SubscriptionRow, SuspensionRow,
};
use crate::server::setting::{AccountSettings, PLAIN_ACCOUNT};
use crate::server::user::{Letters, Metadata, User, put_metadata};

/// A user's place in [`Network::users`].
pub type UserId = usize;
/// A channel's place in [`Network::channels`].
pub type ChannelId = usize;

/// All shared state.
pub struct Network {
    /// When two names are the same.
    pub casemapping: Casemapping,
    /// Everyone who is on the network.
    pub users: Slab<User>,
    nicks: AHashMap<Folded, UserId>,
    logged_in: BTreeSet<(AccountId, UserId)>,
    /// Accounts to which a user was added since they were last asked for, or that have lost one.
    moved: Vec<AccountId>,
    /// Channels that have members or are kept without.
    pub channels: Slab<Channel>,
    channel_names: AHashMap<Folded, ChannelId>,
    accounts: BTreeMap<AccountId, AccountRow>,
    account_names: AHashMap<Folded, AccountId>,
    credentials: AHashMap<AccountId, Credentials>,
    certificate_owners: AHashMap<Box<str>, AccountId>,
    grouped: AHashMap<Folded, GroupedRow>,
    groups: AHashMap<AccountId, Vec<Folded>>,
    codes: BTreeMap<(AccountId, Purpose), CodeRow>,
    suspensions: BTreeMap<AccountId, SuspensionRow>,
    purges: BTreeMap<Box<str>, PurgeRow>,
    next_channel: u64,
    next_user: u64,
    conversations: AHashMap<Arc<str>, Conversation>,
    /// The keys of the conversations.
    conversation_keys: BTreeMap<ConversationId, Arc<str>>,
    account_settings: BTreeMap<AccountId, Box<AccountSettings>>,
    peers: AHashMap<AccountId, Vec<Box<str>>>,
    next_conversation: ConversationId,
    devices: AHashMap<(AccountId, Box<str>), Stand>,
    connected: AHashMap<(AccountId, Box<str>), Connected>,
    debts: AHashMap<(AccountId, Box<str>), Vec<Owed>>,
    watchers: AHashMap<Folded, Vec<ConnId>>,
    markers: AHashMap<AccountId, AHashMap<Box<str>, u64>>,
    account_metadata: AHashMap<AccountId, Box<Metadata>>,
    private_metadata: BTreeMap<AccountId, BTreeMap<Box<str>, Metadata>>,
    subscriptions: BTreeMap<AccountId, Vec<SubscriptionRow>>,
    /// The last change of a key that is kept: whoever is shown keys waits for it.
    pub metadata_changed: Seq,
    /// Those who left, the latest first.
    pub whowas: VecDeque<Whowas>,
    /// Bans of the server.
    pub bans: Bans,
    /// How far the server is closed to new people: 5 not at all, 1 wholly (DEFCON).
    pub defcon: u8,
    /// Those who hear server notices.
    pub noticed: Vec<UserId>,
    /// How many users are operators, invisible; and the most that were on at once.
    pub opers: usize,
    /// How many users are invisible.
    pub invisible: usize,
    /// The most users at once since the start.
    pub most_users: usize,
    lookalikes: Lookalikes,
    /// Tokens for other services that were given out.
    pub tokens: Tokens,
}

/// Two people's talk, or a channel's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conversation {
    /// Its number in the store.
    pub id: ConversationId,
    /// `time` of its last row.
    pub last_time: u64,
    /// `time` of its last PRIVMSG or NOTICE.
    pub last_text: u64,
    /// The change of its last PRIVMSG or NOTICE since the start.
    pub last_said: Seq,
    /// As [`ConversationRow::closed`].
    pub closed: bool,
    /// As [`ConversationRow::since`].
    pub since: u64,
    /// Messages since they were counted last; as many as there can be where they never were.
    pub fresh: u32,
}

impl Conversation {
    /// One that nothing was ever said in.
    const NONE: Conversation =
        Conversation { id: 0, last_time: 0, last_text: 0, last_said: 0, closed: false, since: 0, fresh: 0 };
}

/// What is kept of a device of an account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stand {
    /// How far it has read; `None` while it is connected, or was never here.
    pub seen: Option<Seq>,
    /// What it is owed besides, and what it has said itself among all that ([`OWN`]).
    pub owed: Vec<Owed>,
}

/// Most are connected, or were never here.
static CONNECTED: Stand = Stand { seen: None, owed: Vec::new() };

/// The connections of a device.
#[derive(Debug, Default)]
pub struct Connected {
    /// Which there are.
    pub conns: Vec<ConnId>,
    /// How far those had read that have gone meanwhile; where the device has no name, the last of them.
    pub read: Seq,
    /// What only some of them were told.
    pub told: Vec<Told>,
    /// Whether that is noted now, for the account is several users.
    pub is_beside: bool,
    /// Up to this change it was.
    pub told_until: Seq,
}

/// Someone who was here.
#[derive(Clone, Debug)]
pub struct Whowas {
    /// The nick, folded.
    pub folded: Folded,
    /// The nick.
    pub nick: Arc<str>,
    /// The user name.
    pub user: Box<str>,
    /// The host.
    pub host: Arc<str>,
    /// The real name.
    pub realname: Box<str>,
    /// The account.
    pub account: Option<Arc<str>>,
    /// When it left the nick, in milliseconds since 1970.
    pub left: u64,
}

/// One side of a private conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// Someone who is logged in.
    Account(AccountId),
    /// Someone who is not, by folded nick.
    Guest(Folded),
}

impl Identity {
    fn put(&self, out: &mut String) {
        match self {
            Identity::Account(id) => {
                out.push('$');
                out.push_str(&id.to_string());
            }
            Identity::Guest(nick) => {
                out.push('~');
                out.push_str(nick.as_str());
            }
        }
    }

    /// As it stands in keys: `$` and the number of an account, `~` and the folded nick of a guest.
    pub fn text(&self) -> String {
        let mut out = String::new();
        self.put(&mut out);
        out
    }

    /// What [`Identity::text`] made.
    pub fn parse(text: &str) -> Option<Identity> {
        match text.strip_prefix('$') {
            Some(number) => number.parse().ok().map(Identity::Account),
            None => text.strip_prefix('~').map(|nick| Identity::Guest(Folded::from_stored(nick))),
        }
    }

    /// The accounts in the key of a private conversation.
    pub fn accounts_in(key: &str) -> impl Iterator<Item = AccountId> {
        let both = if key.starts_with('#') { "" } else { key };
        both.split(' ').filter_map(|part| match Identity::parse(part) {
            Some(Identity::Account(id)) => Some(id),
            _ => None,
        })
    }

    /// The key of the conversation of two: the same from both sides.
    pub fn key(&self, other: &Identity) -> Box<str> {
        let (a, b) = (self.text(), other.text());
        let key = if a <= b { format!("{a} {b}") } else { format!("{b} {a}") };
        key.into_boxed_str()
    }
}

impl Network {
    /// The state that was kept.
    pub fn new(casemapping: Casemapping, snapshot: Snapshot) -> Network {
        Network::with(casemapping, Lookalikes::default(), snapshot)
    }

    /// As [`Network::new`], with an index of what names look like, on or off.
    pub fn with(casemapping: Casemapping, mut lookalikes: Lookalikes, snapshot: Snapshot) -> Network {
        for service in SERVICES {
            lookalikes.add(service, Holder::Service);
        }
        let mut network = Network {
            casemapping,
            users: Slab::new(),
            nicks: AHashMap::new(),
            channels: Slab::new(),
            channel_names: AHashMap::new(),
            accounts: BTreeMap::new(),
            account_names: AHashMap::new(),
            credentials: AHashMap::new(),
            certificate_owners: AHashMap::new(),
            grouped: AHashMap::new(),
            groups: AHashMap::new(),
            codes: BTreeMap::new(),
            suspensions: snapshot.suspensions.into_iter().map(|row| (row.account, row)).collect(),
            purges: snapshot.purges.into_iter().map(|row| (row.channel.clone(), row)).collect(),
            next_channel: 0,
            next_user: 0,
            logged_in: BTreeSet::new(),
            moved: Vec::new(),
            conversations: AHashMap::new(),
            conversation_keys: BTreeMap::new(),
            account_settings: BTreeMap::new(),
            peers: AHashMap::new(),
            next_conversation: 1,
            devices: AHashMap::new(),
            debts: AHashMap::new(),
            connected: AHashMap::new(),
            watchers: AHashMap::new(),
            markers: AHashMap::new(),
            account_metadata: AHashMap::new(),
            private_metadata: BTreeMap::new(),
            subscriptions: BTreeMap::new(),
            metadata_changed: 0,
            whowas: VecDeque::new(),
            bans: Bans::new(snapshot.bans, casemapping),
            defcon: DEFCON_OPEN,
            noticed: Vec::new(),
            opers: 0,
            invisible: 0,
            most_users: 0,
            lookalikes,
            tokens: Tokens::default(),
        };
        for account in snapshot.accounts {
            network.put_account(account);
        }
        for row in snapshot.credentials {
            network.put_credentials(row);
        }
        for row in snapshot.grouped {
            network.put_grouped(row);
        }
        for row in snapshot.codes {
            network.put_code(row);
        }
        for (row, last_time, last_text) in snapshot.conversations {
            network.next_conversation = network.next_conversation.max(row.id + 1);
            let ConversationRow { id, key, closed, since } = row;
            let (last_said, fresh) = (0, u32::MAX);
            network.put_conversation(key, Conversation { id, last_time, last_text, last_said, closed, since, fresh });
        }
        for row in snapshot.channels {
            let channel = Channel::from_row(row, casemapping);
            network.insert_channel(channel);
        }
        for row in snapshot.lists {
            if let Some(id) = network.channel_names.get(&*row.channel).copied() {
                network.channels[id].put_list_row(row);
            }
        }
        for row in snapshot.access {
            if let Some(id) = network.channel_names.get(&*row.channel).copied() {
                network.channels[id].access.insert(row.account, row.rank);
            }
        }
        for row in snapshot.markers {
            network.markers.entry(row.account).or_default().insert(row.conversation, row.time);
        }
        for MetadataRow { owner, key, value } in snapshot.metadata {
            let (owner, about) = owner.split_once(' ').map_or((&*owner, None), |(owner, about)| (owner, Some(about)));
            match (owner.strip_prefix('$').map(str::parse), about) {
                (Some(Ok(account)), None) => network.put_account_metadata(account, &key, value.as_deref()),
                (Some(Ok(account)), Some(about)) => {
                    network.put_private_metadata(account, about, &key, value.as_deref());
                }
                (Some(Err(_)), _) => {}
                (None, _) => {
                    if let Some(id) = network.channel_names.get(owner).copied() {
                        network.channels[id].set_metadata(&key, value.as_deref());
                    }
                }
            }
        }
        for row in snapshot.subscriptions {
            network.put_subscription(row);
        }
        for SettingRow { owner, key, value } in snapshot.settings {
            match owner.strip_prefix('$').map(str::parse) {
                Some(Ok(account)) => network.account_settings_mut(account).put(&key, value.as_deref()),
                Some(Err(_)) => {}
                None => {
                    if let Some(id) = network.channel_names.get(&*owner).copied() {
                        network.channels[id].settings.put(&key, value.as_deref());
                    }
                }
            }
        }
        for row in snapshot.seen {
            let read = row.seq.unwrap_or(NOW);
            let owed: Vec<Owed> = row.owed.into_iter().map(|owed| owed.up_to(read)).collect();
            let owes = owed.iter().filter(|owed| owed.conversation != OWN).copied();
            network.owe(row.account, &row.device, &owes.collect::<Vec<_>>());
            network.set_stand(row.account, &row.device, Stand { seen: row.seq, owed });
        }
        network
    }

    /// Which names look alike, where that is asked for.
    pub fn lookalikes(&self) -> &Lookalikes {
        &self.lookalikes
    }

    /// How many names there are that another could be taken for. For tests.
    pub fn name_count(&self) -> usize {
        SERVICES.len() + self.users.len() + self.channels.len() + self.accounts.len() + self.grouped.len()
    }

    /// The folded form of a name.
    pub fn fold(&self, name: &str) -> Folded {
        self.casemapping.fold(name)
    }

    // Users.

    /// Who has this nick.
    pub fn user_by_nick(&self, nick: &str) -> Option<UserId> {
        self.nicks.get(&self.fold(nick)).copied()
    }

    /// The user with this nick, folded.
    pub fn user_by_folded(&self, nick: &Folded) -> Option<UserId> {
        self.nicks.get(nick).copied()
    }

    /// Whether the user in this place is still the one with this serial.
    pub fn is_still(&self, user: UserId, serial: u64) -> bool {
        self.users.get(user).is_some_and(|there| there.serial == serial)
    }

    /// Whom something that is said to a nick reaches: who has it; else, where it is a nick of an account, the user of that
    /// who is on the network without a connection.
    pub fn addressee(&self, nick: &str) -> Option<UserId> {
        let absent = || {
            let account = self.nick_owner(nick)?.id;
            self.users_of(account).find(|user| self.users[*user].sessions.is_empty())
        };
        self.user_by_nick(nick).or_else(absent)
    }

    /// What was chosen of an account.
    pub fn account_settings(&self, account: AccountId) -> &AccountSettings {
        self.account_settings.get(&account).map_or(&PLAIN_ACCOUNT, |settings| settings)
    }

    /// What was chosen of each account of which something was, by number.
    pub fn all_account_settings(&self) -> Vec<(AccountId, &AccountSettings)> {
        self.account_settings.iter().map(|(id, settings)| (*id, &**settings)).collect()
    }

    /// The accounts that asked for all that is kept of them, and when: who asked first comes first.
    pub fn exports_asked(&self) -> Vec<(AccountId, u64)> {
        let asked = self.account_settings.iter().filter(|(_, settings)| settings.export_asked > 0);
        let mut asked: Vec<_> = asked.map(|(id, settings)| (*id, settings.export_asked)).collect();
        asked.sort_unstable_by_key(|(id, at)| (*at, *id));
        asked
    }

    /// The same, to be altered.
    pub fn account_settings_mut(&mut self, account: AccountId) -> &mut AccountSettings {
        self.account_settings.entry(account).or_default()
    }

    /// Puts a user on the network. The nick must be free.
    pub fn insert_user(&mut self, mut user: User) -> UserId {
        self.next_user += 1;
        user.serial = self.next_user;
        let folded = user.folded.clone();
        let account = user.account;
        let id = self.users.insert(user);
        self.logged_in.extend(account.map(|account| (account, id)));
        self.moved.extend(account);
        self.lookalikes.add(&self.users[id].nick, Holder::User(id));
        self.nicks.insert(folded, id);
        self.most_users = self.most_users.max(self.users.len());
        id
    }

    /// Gives a user another nick. The nick must be free, or the user's own in another case.
    pub fn rename_user(&mut self, id: UserId, nick: &str, left: u64) {
        let folded = self.fold(nick);
        let user = &mut self.users[id];
        let was = std::mem::replace(&mut user.folded, folded.clone());
        let whowas = Whowas::of(user, was.clone(), left);
        self.lookalikes.remove(&user.nick, Holder::User(id));
        self.lookalikes.add(nick, Holder::User(id));
        user.set_nick(nick);
        if was != folded {
            self.nicks.remove(&was);
            self.nicks.insert(folded, id);
            self.remember(whowas);
        }
    }

    /// Takes a user off the network. It must have left its channels.
    pub fn remove_user(&mut self, id: UserId, left: u64) -> User {
        let user = self.users.remove(id);
        self.lookalikes.remove(&user.nick, Holder::User(id));
        self.nicks.remove(&user.folded);
        if let Some(account) = user.account {
            self.logged_in.remove(&(account, id));
            self.moved.push(account);
        }
        if user.notices != Letters::default() {
            self.noticed.retain(|other| *other != id);
        }
        self.remember(Whowas::of(&user, user.folded.clone(), left));
        user
    }

    /// Logs a user in to the account of this number and name, or out.
    pub fn set_login(&mut self, id: UserId, login: Option<(AccountId, Arc<str>)>) {
        let (account, name) = login.unzip();
        let user = &mut self.users[id];
        if let Some(was) = user.account {
            self.logged_in.remove(&(was, id));
            self.moved.push(was);
        }
        (user.account, user.account_name) = (account, name);
        self.logged_in.extend(account.map(|account| (account, id)));
        self.moved.extend(account);
    }

    /// The users that are logged in to an account, whatever their nicks are.
    pub fn users_of(&self, account: AccountId) -> impl Iterator<Item = UserId> + use<'_> {
        self.logged_in.range((account, UserId::MIN)..=(account, UserId::MAX)).map(|(_, user)| *user)
    }

    /// The accounts to which users were added since this was last asked, or that have lost some.
    pub fn take_moved(&mut self) -> Vec<AccountId> {
        std::mem::take(&mut self.moved)
    }

    /// Every user that is logged in, with its account. For tests.
    pub fn logged_in(&self) -> &BTreeSet<(AccountId, UserId)> {
        &self.logged_in
    }

    fn remember(&mut self, whowas: Whowas) {
        self.whowas.push_front(whowas);
        self.whowas.truncate(limits::WHOWAS_ENTRIES);
    }

    /// The user and those it shares a channel with and who know that it is there, each once, itself first.
    pub fn neighbours(&self, id: UserId) -> Vec<UserId> {
        let mut all = vec![id];
        // A bit for each user: cheaper than a set for the members of large channels.
        let mut met = vec![0u64; self.users.capacity() / 64 + 1];
        met[id / 64] |= 1 << (id % 64);
        let mut meet = |member: UserId| {
            let (word, bit) = (&mut met[member / 64], 1 << (member % 64));
            if *word & bit == 0 {
                *word |= bit;
                all.push(member);
            }
        };
        for channel in self.users[id].channels.iter().map(|channel| &self.channels[*channel]) {
            if channel.unshown.contains(&id) {
                channel.watchers(id).for_each(&mut meet);
            } else {
                channel.members.keys().copied().for_each(&mut meet);
            }
        }
        all
    }

    /// The connections that asked about a nick, in the order they did.
    pub fn watchers(&self, folded: &Folded) -> &[ConnId] {
        self.watchers.get(folded).map_or(&[], Vec::as_slice)
    }

    /// A connection asks about a nick.
    pub fn watch(&mut self, folded: &Folded, conn: ConnId) {
        self.watchers.entry(folded.clone()).or_default().push(conn);
    }

    /// A connection does not ask about a nick any more.
    pub fn unwatch(&mut self, folded: &Folded, conn: ConnId) {
        if let Some(watchers) = self.watchers.get_mut(folded) {
            watchers.retain(|other| *other != conn);
            if watchers.is_empty() {
                self.watchers.remove(folded);
            }
        }
    }

    // Channels.

    /// The channel with this name, whether it has members or not.
    pub fn channel_by_name(&self, name: &str) -> Option<ChannelId> {
        self.channel_names.get(&self.fold(name)).copied()
    }

    /// The channel with this name, folded.
    pub fn channel_by_folded(&self, folded: &str) -> Option<ChannelId> {
        self.channel_names.get(folded).copied()
    }

    /// Makes a channel known.
    pub fn insert_channel(&mut self, mut channel: Channel) -> ChannelId {
        self.next_channel += 1;
        channel.serial = self.next_channel;
        let folded = channel.folded.clone();
        let id = self.channels.insert(channel);
        self.lookalikes.add(&self.channels[id].name, Holder::Channel(id));
        self.channel_names.insert(folded, id);
        id
    }

    /// Gives a channel another name, which no other has.
    pub fn rename_channel(&mut self, id: ChannelId, name: &str) {
        let folded = self.fold(name);
        let channel = &mut self.channels[id];
        self.lookalikes.remove(&channel.name, Holder::Channel(id));
        self.lookalikes.add(name, Holder::Channel(id));
        channel.name = name.into();
        let was = std::mem::replace(&mut channel.folded, folded.clone());
        self.channel_names.remove(&was);
        self.channel_names.insert(folded, id);
    }

    /// Gives a conversation another key. One that has that key already, of an earlier channel of the name or with an
    /// earlier guest, is put aside under a key that no other can have. What keeps that; nothing where nothing was ever said.
    pub fn rename_conversation(&mut self, old: &str, new: &str) -> Vec<Record> {
        let mut moved = Vec::new();
        let Some(conversation) = self.conversations.remove(old) else { return moved };
        if let Some(earlier) = self.conversations.remove(new) {
            let aside = format!("{new} {}", earlier.id);
            self.file_conversation(aside.as_str().into(), earlier);
            moved.extend(self.conversation_record(&aside));
        }
        for account in Identity::accounts_in(old) {
            if let Some(keys) = self.peers.get_mut(&account) {
                keys.retain(|key| **key != *old && **key != *new);
            }
        }
        self.put_conversation(new.into(), conversation);
        moved.extend(self.conversation_record(new));
        moved
    }

    /// What keeps a conversation as it is now.
    pub fn conversation_record(&self, key: &str) -> Option<Record> {
        let Conversation { id, closed, since, .. } = *self.conversations.get(key)?;
        Some(Record::Conversation(ConversationRow { id, key: key.into(), closed, since }))
    }

    /// Notes with what is said in a channel whether that keeps strangers out; what keeps it, where it is another now.
    pub fn note_closed(&mut self, id: ChannelId) -> Option<Record> {
        let channel = &self.channels[id];
        let closed = policy::is_closed(channel);
        let key = channel.folded.as_str();
        let there = self.conversations.get_mut(key).filter(|there| there.closed != closed)?;
        there.closed = closed;
        self.conversation_record(key)
    }

    /// A channel was made, or has taken a name: where something was said in an earlier one of the name that kept
    /// strangers out, nobody reads that any more, for those who are in this one may be strangers. What keeps it.
    pub fn begin_anew(&mut self, id: ChannelId) -> Option<Record> {
        let key = self.channels[id].folded.clone();
        let there = self.conversations.get(key.as_str())?;
        let (closed, since) = (there.closed, there.last_time + 1);
        let sealed = if closed { self.read_from(key.as_str(), since) } else { None };
        self.note_closed(id).or(sealed)
    }

    /// From now on nobody reads what was said in a conversation before this moment; what keeps that, where it is new.
    pub fn read_from(&mut self, key: &str, since: u64) -> Option<Record> {
        let there = self.conversations.get_mut(key).filter(|there| there.since < since)?;
        there.since = since;
        self.conversation_record(key)
    }

    /// Forgets with whom an account has talked, which goes.
    pub fn forget_peers(&mut self, account: AccountId) {
        self.peers.remove(&account);
    }

    /// Moves all read markers of a conversation to its new key: whose, and where they stand.
    pub fn rename_markers(&mut self, old: &str, new: &str) -> Vec<(AccountId, u64)> {
        let mut moved = Vec::new();
        let mut rename = |account: AccountId, markers: &mut AHashMap<Box<str>, u64>| {
            if let Some(time) = markers.remove(old) {
                markers.insert(new.into(), time);
                moved.push((account, time));
            }
        };
        if old.starts_with('#') {
            self.markers.retain(|account, markers| {
                rename(*account, markers);
                true
            });
        } else {
            // Nobody else has read in a talk of two.
            for account in Identity::accounts_in(old) {
                if let Some(markers) = self.markers.get_mut(&account) {
                    rename(account, markers);
                }
            }
        }
        moved.sort_unstable();
        moved
    }

    /// Forgets a channel that has no members and is neither registered nor permanent (`P`); whether it did.
    pub fn drop_channel_if_empty(&mut self, id: ChannelId) -> bool {
        let channel = &self.channels[id];
        let is_over = channel.members.is_empty() && !channel.is_kept();
        if is_over {
            let channel = self.channels.remove(id);
            self.lookalikes.remove(&channel.name, Holder::Channel(id));
            self.channel_names.remove(&channel.folded);
        }
        is_over
    }

    // Accounts.

    /// The account with this name.
    pub fn account_by_name(&self, name: &str) -> Option<&AccountRow> {
        let id = self.account_names.get(&self.fold(name))?;
        self.accounts.get(id)
    }

    /// Whose nick this is: the account of that name, or the one that it is grouped to.
    pub fn nick_owner(&self, nick: &str) -> Option<&AccountRow> {
        let folded = self.fold(nick);
        let named = self.account_names.get(&folded);
        self.accounts.get(named.or_else(|| self.grouped.get(&folded).map(|row| &row.account))?)
    }

    /// The nicks that are grouped to an account, in the order in which they were.
    pub fn grouped(&self, account: AccountId) -> impl Iterator<Item = &GroupedRow> {
        let own = self.groups.get(&account).map_or(&[][..], Vec::as_slice);
        own.iter().filter_map(|nick| self.grouped.get(nick))
    }

    /// Groups a nick to an account. Nobody else may have it.
    pub fn put_grouped(&mut self, row: GroupedRow) {
        self.remove_grouped(&row.folded);
        let folded = Folded::from_stored(row.folded.clone());
        self.lookalikes.add(&row.nick, Holder::Account(row.account));
        self.groups.entry(row.account).or_default().push(folded.clone());
        self.grouped.insert(folded, row);
    }

    /// Takes a nick, folded, out of its account's group; whether it was in one.
    pub fn remove_grouped(&mut self, folded: &str) -> bool {
        let Some(row) = self.grouped.remove(folded) else { return false };
        self.lookalikes.remove(&row.nick, Holder::Account(row.account));
        if let Some(own) = self.groups.get_mut(&row.account) {
            own.retain(|nick| nick.as_str() != folded);
            if own.is_empty() {
                self.groups.remove(&row.account);
            }
        }
        true
    }

    /// The account with this number.
    pub fn account(&self, id: AccountId) -> Option<&AccountRow> {
        self.accounts.get(&id)
    }

    /// Adds or changes an account.
    pub fn put_account(&mut self, row: AccountRow) {
        if let Some(old) = self.accounts.get(&row.id) {
            self.lookalikes.remove(&old.name, Holder::Account(row.id));
        }
        self.lookalikes.add(&row.name, Holder::Account(row.id));
        self.account_names.insert(Folded::from_stored(row.folded.clone()), row.id);
        self.accounts.insert(row.id, row);
    }

    /// Takes an account away, with all that is its alone. Its private conversations stay, for the other side has them, too.
    pub fn remove_account(&mut self, id: AccountId) {
        if let Some(row) = self.accounts.remove(&id) {
            self.account_names.remove(&*row.folded);
            self.lookalikes.remove(&row.name, Holder::Account(id));
            self.put_credentials(CredentialsRow { account: id, credentials: Credentials::default() });
            self.codes.retain(|(account, _), _| *account != id);
            self.suspensions.remove(&id);
            self.devices.retain(|(account, _), _| *account != id);
            self.connected.retain(|(account, _), _| *account != id);
            self.debts.retain(|(account, _), _| *account != id);
            self.markers.remove(&id);
            self.account_metadata.remove(&id);
            self.private_metadata.remove(&id);
            self.subscriptions.remove(&id);
            self.account_settings.remove(&id);
            self.peers.remove(&id);
            self.tokens.forget(id);
            for nick in self.groups.remove(&id).unwrap_or_default() {
                self.remove_grouped(nick.as_str());
            }
        }
    }

    /// The devices of an account that take web push, in the order in which they said so.
    pub fn subscriptions(&self, account: AccountId) -> &[SubscriptionRow] {
        self.subscriptions.get(&account).map_or(&[], Vec::as_slice)
    }

    /// Whether there is any device that takes web push.
    pub fn has_subscriptions(&self) -> bool {
        !self.subscriptions.is_empty()
    }

    /// All devices that take web push, by account.
    pub fn all_subscriptions(&self) -> impl Iterator<Item = &SubscriptionRow> {
        self.subscriptions.values().flatten()
    }

    /// Adds or changes a device that takes web push.
    pub fn put_subscription(&mut self, row: SubscriptionRow) {
        let there = self.subscriptions.entry(row.account).or_default();
        match there.iter_mut().find(|other| other.endpoint == row.endpoint) {
            Some(other) => *other = row,
            None => there.push(row),
        }
    }

    /// Takes a device away that took web push; whether there was one.
    pub fn remove_subscription(&mut self, account: AccountId, endpoint: &str) -> bool {
        let Some(there) = self.subscriptions.get_mut(&account) else { return false };
        let before = there.len();
        there.retain(|row| *row.endpoint != *endpoint);
        let gone = there.len() < before;
        if there.is_empty() {
            self.subscriptions.remove(&account);
        }
        gone
    }

    /// What an account says of someone or something else (see [`Network::about`]) for itself alone.
    pub fn private_metadata(&self, account: AccountId, about: &str) -> Option<&Metadata> {
        self.private_metadata.get(&account)?.get(about)
    }

    /// All that an account says of others for itself alone, by whom it is about.
    pub fn all_private_metadata(&self, account: AccountId) -> impl Iterator<Item = (&str, &Metadata)> {
        self.private_metadata.get(&account).into_iter().flatten().map(|(about, map)| (&**about, map))
    }

    /// Sets or removes a key of what an account says of others.
    pub fn put_private_metadata(&mut self, account: AccountId, about: &str, key: &str, value: Option<&str>) {
        let there = self.private_metadata.entry(account).or_default();
        match value {
            Some(value) => drop(there.entry(about.into()).or_default().insert(key.into(), value.into())),
            None => {
                if let Some(map) = there.get_mut(about) {
                    map.remove(key);
                    if map.is_empty() {
                        there.remove(about);
                    }
                }
            }
        }
        if there.is_empty() {
            self.private_metadata.remove(&account);
        }
    }

    /// Moves what accounts say of a channel for themselves to its new name: whose, and what. What was said of that name
    /// before, and is not said otherwise now, stays.
    pub fn rename_private_metadata(&mut self, old: &str, new: &str) -> Vec<(AccountId, Metadata)> {
        let mut moved = Vec::new();
        for (account, there) in &mut self.private_metadata {
            if let Some(map) = there.remove(old) {
                there.entry(new.into()).or_default().extend(map.clone());
                moved.push((*account, map));
            }
        }
        moved
    }

    /// How a name is called in what accounts say of others: a channel by its folded name, a person by
    /// [`Identity`], and `*` is everything.
    pub fn about(&self, name: &str) -> Box<str> {
        match name {
            "*" => "*".into(),
            channel if channel.starts_with('#') => self.fold(channel).as_str().into(),
            nick => self.identity_by_name(nick).text().into(),
        }
    }

    /// All accounts, by number.
    pub fn account_ids(&self) -> Vec<AccountId> {
        self.accounts.keys().copied().collect()
    }

    /// The account to which a channel goes once that of its founder is no more, where there is one that may be used.
    pub fn heir(&self, channel: ChannelId) -> Option<AccountId> {
        let channel = &self.channels[channel];
        let heir = channel.settings.successor.filter(|heir| channel.founder != Some(*heir))?;
        (self.account(heir).is_some() && self.suspension(heir).is_none()).then_some(heir)
    }

    /// Why nobody may use an account, if so.
    pub fn suspension(&self, account: AccountId) -> Option<&SuspensionRow> {
        self.suspensions.get(&account)
    }

    /// All accounts that nobody may use, by number.
    pub fn suspensions(&self) -> impl Iterator<Item = &SuspensionRow> {
        self.suspensions.values()
    }

    /// Keeps people from using an account.
    pub fn put_suspension(&mut self, row: SuspensionRow) {
        self.suspensions.insert(row.account, row);
    }

    /// Lets people use an account again; whether they could not.
    pub fn remove_suspension(&mut self, account: AccountId) -> bool {
        self.suspensions.remove(&account).is_some()
    }

    /// Why a channel is closed for good, if so.
    pub fn purge(&self, name: &str) -> Option<&PurgeRow> {
        if self.purges.is_empty() { None } else { self.purges.get(self.fold(name).as_str()) }
    }

    /// All channels that are closed for good, by name.
    pub fn purges(&self) -> impl Iterator<Item = &PurgeRow> {
        self.purges.values()
    }

    /// Closes a channel for good.
    pub fn put_purge(&mut self, row: PurgeRow) {
        self.purges.insert(row.channel.clone(), row);
    }

    /// Opens a channel again, by folded name; whether it was closed.
    pub fn remove_purge(&mut self, folded: &str) -> bool {
        self.purges.remove(folded).is_some()
    }

    /// The code of an account for a purpose.
    pub fn code(&self, account: AccountId, purpose: Purpose) -> Option<&CodeRow> {
        self.codes.get(&(account, purpose))
    }

    /// All codes, by account.
    pub fn codes(&self) -> impl Iterator<Item = &CodeRow> {
        self.codes.values()
    }

    /// Adds or changes a code.
    pub fn put_code(&mut self, row: CodeRow) {
        self.codes.insert((row.account, row.purpose), row);
    }

    /// Takes a code away; whether there was one.
    pub fn remove_code(&mut self, account: AccountId, purpose: Purpose) -> bool {
        self.codes.remove(&(account, purpose)).is_some()
    }

    /// What an account logs in with, beside its password's hash.
    pub fn credentials(&self, account: AccountId) -> Option<&Credentials> {
        self.credentials.get(&account)
    }

    /// Changes what an account logs in with.
    pub fn put_credentials(&mut self, row: CredentialsRow) {
        let CredentialsRow { account, credentials } = row;
        if let Some(old) = self.credentials.remove(&account) {
            for certificate in old.certificates {
                self.certificate_owners.remove(&certificate);
            }
        }
        for certificate in &credentials.certificates {
            self.certificate_owners.insert(certificate.clone(), account);
        }
        if credentials != Credentials::default() {
            self.credentials.insert(account, credentials);
        }
    }

    /// Whose certificate has this fingerprint.
    pub fn account_by_certificate(&self, fingerprint: &str) -> Option<AccountId> {
        self.certificate_owners.get(fingerprint).copied()
    }

    /// How far a device of an account has read; `None` while it is connected or was never here.
    pub fn seen(&self, account: AccountId, device: &str) -> Option<Seq> {
        self.stand(account, device).seen
    }

    /// What is kept of a device.
    pub fn stand(&self, account: AccountId, device: &str) -> &Stand {
        self.devices.get(&(account, device.into())).unwrap_or(&CONNECTED)
    }

    /// The connections of a device; `None` while it has none.
    pub fn connected(&self, account: AccountId, device: &str) -> Option<&Connected> {
        self.connected.get(&(account, device.into()))
    }

    /// What only some connections of a device were told.
    pub fn told(&self, account: AccountId, device: &str) -> &[Told] {
        self.connected(account, device).map_or(&[], |connected| &connected.told)
    }

    /// The connections of a device, to change what is known of them.
    pub fn connected_mut(&mut self, account: AccountId, device: &str) -> Option<&mut Connected> {
        self.connected.get_mut(&(account, device.into()))
    }

    /// Notes one more connection of a device; whether it is the first.
    pub fn device_came(&mut self, account: AccountId, device: &str, conn: ConnId) -> bool {
        let connected = self.connected.entry((account, device.into())).or_default();
        connected.conns.push(conn);
        connected.conns.len() == 1
    }

    /// Notes that a connection of a device has gone, which had read so far; where it was the last, how far the device has.
    ///
    /// A device that has a name is one: what it has read by any of its connections it has read. The one that goes last may
    /// be dead for long, without anybody having known, and the device was back meanwhile. Of those without a name the one
    /// that goes last tells it, but for those in whose place another has come.
    pub fn device_went(
        &mut self,
        account: AccountId,
        device: &str,
        conn: ConnId,
        seen: Seq,
        is_superseded: bool,
    ) -> Option<Seq> {
        let key = (account, device.into());
        let connected = self.connected.get_mut(&key)?;
        connected.conns.retain(|other| *other != conn);
        if !device.is_empty() {
            connected.read = connected.read.max(seen);
        } else if !is_superseded || connected.read == 0 {
            connected.read = seen;
        }
        let seen = if device.is_empty() { connected.read } else { seen.max(connected.read) };
        connected.conns.is_empty().then(|| {
            self.connected.remove(&key);
            seen
        })
    }

    /// What a device is to be replayed besides what it has not read, from now on by a connection that is to see to it.
    pub fn take_owed(&mut self, account: AccountId, device: &str) -> Vec<Owed> {
        self.debts.remove(&(account, device.into())).unwrap_or_default()
    }

    /// Notes what a device is to be replayed when it is back, besides what it has not read.
    pub fn owe(&mut self, account: AccountId, device: &str, list: &[Owed]) {
        if list.is_empty() {
            return;
        }
        let mut all = self.take_owed(account, device);
        owed::merge(&mut all, list, |id| self.is_of_channel(id));
        self.debts.insert((account, device.into()), all);
    }

    /// What a device is owed that no connection of it sees to.
    pub fn owed(&self, account: AccountId, device: &str) -> &[Owed] {
        self.debts.get(&(account, device.into())).map_or(&[], Vec::as_slice)
    }

    /// Notes what is kept of a device.
    pub fn set_stand(&mut self, account: AccountId, device: &str, stand: Stand) {
        if stand == CONNECTED {
            self.devices.remove(&(account, device.into()));
        } else {
            self.devices.insert((account, device.into()), stand);
        }
    }

    /// How far an account has read in the conversation of this key.
    pub fn marker(&self, account: AccountId, key: &str) -> Option<u64> {
        self.markers.get(&account)?.get(key).copied()
    }

    /// How far an account has read, by the conversation's key.
    pub fn markers_of(&self, account: AccountId) -> Option<&AHashMap<Box<str>, u64>> {
        self.markers.get(&account).filter(|markers| !markers.is_empty())
    }

    /// Moves a read marker; `false` where the account has as many as it may.
    pub fn set_marker(&mut self, account: AccountId, key: &str, time: u64) -> bool {
        let markers = self.markers.entry(account).or_default();
        if markers.len() >= limits::MARKERS && !markers.contains_key(key) {
            return false;
        }
        markers.insert(key.into(), time);
        true
    }

    // Conversations.

    /// The conversation with this key, if anything was ever said in it.
    pub fn conversation(&self, key: &str) -> Option<Conversation> {
        self.conversations.get(key).copied()
    }

    /// The conversation with this key and, where it is new, the record that keeps it.
    pub fn conversation_or_new(&mut self, key: &str) -> (&mut Conversation, Option<Record>) {
        let mut record = None;
        if !self.conversations.contains_key(key) {
            let id = self.next_conversation;
            self.next_conversation += 1;
            let channel = self.channel_by_folded(key);
            let closed = channel.is_some_and(|id| policy::is_closed(&self.channels[id]));
            self.put_conversation(key.into(), Conversation { id, closed, ..Conversation::NONE });
            record = self.conversation_record(key);
        }
        (self.conversations.entry(key.into()).or_insert(Conversation::NONE), record)
    }

    fn put_conversation(&mut self, key: Box<str>, conversation: Conversation) {
        // Of a channel there is none, and of what was put aside there are three.
        if let Some((a, b)) = key.split_once(' ').filter(|(_, b)| !b.contains(' ')) {
            for identity in [a, b] {
                if let Some(Identity::Account(id)) = Identity::parse(identity) {
                    let keys = self.peers.entry(id).or_default();
                    if keys.last() != Some(&key) {
                        keys.push(key.clone());
                    }
                }
            }
        }
        self.file_conversation(key.into(), conversation);
    }

    fn file_conversation(&mut self, key: Arc<str>, conversation: Conversation) {
        self.conversation_keys.insert(conversation.id, key.clone());
        self.conversations.insert(key, conversation);
    }

    /// The conversation with the next number after this one, and its key.
    pub fn conversation_after(&self, id: ConversationId) -> Option<(ConversationId, Arc<str>)> {
        self.conversation_keys.range(id + 1..).next().map(|(id, key)| (*id, key.clone()))
    }

    /// Whether a number is that of a channel's conversation.
    pub fn is_of_channel(&self, id: ConversationId) -> bool {
        self.conversation_keys.get(&id).is_some_and(|key| key.starts_with('#'))
    }

    /// Whether so many messages have come to a conversation since they were counted that they are to be counted
    /// again: then they count as counted.
    pub fn take_fresh(&mut self, key: &str, is_due: impl Fn(u32) -> bool) -> bool {
        let Some(conversation) = self.conversations.get_mut(key) else { return false };
        let due = is_due(conversation.fresh);
        if due {
            conversation.fresh = 0;
        }
        due
    }

    /// Has the messages of a channel counted anew.
    pub fn forget_count(&mut self, channel: &str) {
        let key = self.fold(channel);
        if let Some(conversation) = self.conversations.get_mut(key.as_str()) {
            conversation.fresh = u32::MAX;
        }
    }

    /// Has the messages of an account's private conversations counted anew.
    pub fn forget_private_counts(&mut self, account: AccountId) {
        for key in self.peers.get(&account).map_or(&[][..], Vec::as_slice) {
            if let Some(conversation) = self.conversations.get_mut(&**key) {
                conversation.fresh = u32::MAX;
            }
        }
    }

    /// Has all conversations counted anew.
    pub fn forget_counts(&mut self) {
        for key in self.conversation_keys.values() {
            if let Some(conversation) = self.conversations.get_mut(key) {
                conversation.fresh = u32::MAX;
            }
        }
    }

    /// An account's private conversations: whom with, and the conversation.
    pub fn private_conversations(&self, account: AccountId) -> Vec<(Identity, Conversation)> {
        let own = Identity::Account(account).text();
        let keys = self.peers.get(&account).map_or(&[][..], Vec::as_slice);
        keys.iter()
            .filter_map(|key| {
                let (a, b) = key.split_once(' ')?;
                let peer = Identity::parse(if a == own { b } else { a })?;
                Some((peer, *self.conversations.get(&**key)?))
            })
            .collect()
    }

    /// A user's keys and values: its account's, or a guest's own.
    pub fn user_metadata(&self, user: UserId) -> Option<&Metadata> {
        match self.users[user].account {
            Some(account) => self.account_metadata.get(&account).map(|map| &**map),
            None => self.users[user].metadata.as_deref(),
        }
    }

    /// Sets or removes a key of a user, or of its account.
    pub fn set_user_metadata(&mut self, user: UserId, key: &str, value: Option<&str>) {
        match self.users[user].account {
            Some(account) => self.put_account_metadata(account, key, value),
            None => put_metadata(&mut self.users[user].metadata, key, value),
        }
    }

    fn put_account_metadata(&mut self, account: AccountId, key: &str, value: Option<&str>) {
        let mut map = self.account_metadata.remove(&account);
        put_metadata(&mut map, key, value);
        if let Some(map) = map {
            self.account_metadata.insert(account, map);
        }
    }

    /// Who someone is, for private conversations.
    pub fn identity(&self, user: UserId) -> Identity {
        let user = &self.users[user];
        match user.account {
            Some(id) => Identity::Account(id),
            None => Identity::Guest(user.folded.clone()),
        }
    }

    /// Whom `name` means in a private conversation: who has the nick now, else the account whose nick it
    /// is, else a guest who had it.
    pub fn identity_by_name(&self, name: &str) -> Identity {
        if let Some(user) = self.user_by_nick(name) {
            return self.identity(user);
        }
        match self.nick_owner(name) {
            Some(account) => Identity::Account(account.id),
            None => Identity::Guest(self.fold(name)),
        }
    }
}

impl Whowas {
    fn of(user: &User, folded: Folded, left: u64) -> Whowas {
        Whowas {
            folded,
            nick: user.nick.clone(),
            user: user.user.clone(),
            host: user.host.clone(),
            realname: user.realname.clone(),
            account: user.account_name.clone(),
            left,
        }
    }
}
