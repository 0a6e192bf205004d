//! A channel: who is in it, its modes and lists, and the audience of what is said in it.

use std::collections::BTreeMap;
use std::sync::Arc;

use ahash::AHashMap;
use indexmap::{IndexMap, IndexSet};
use ircv3::mode::{Rank, Ranks};
use ircv3::{Casemapping, Folded};

use crate::server::event::ConnId;
use crate::server::network::UserId;
use crate::server::record::{AccessRow, AccountId, ChannelRow, ListRow, MetadataRow, Seq};
use crate::server::setting::ChannelSettings;
use crate::server::user::{Letters, Metadata, put_metadata};

/// An entry of a list mode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListEntry {
    /// The mask.
    pub mask: Box<str>,
    /// Who set it.
    pub setter: Box<str>,
    /// When, in seconds since 1970.
    pub set_at: u64,
}

/// A topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// What it says.
    pub text: Box<str>,
    /// Who set it.
    pub setter: Box<str>,
    /// When, in seconds since 1970.
    pub set_at: u64,
}

/// A channel.
#[derive(Debug)]
pub struct Channel {
    /// The name.
    pub name: Arc<str>,
    /// Told apart from an earlier channel of the same name; never used again within one start.
    pub serial: u64,
    /// The name as it is compared.
    pub folded: Folded,
    /// When it was made, in seconds since 1970.
    pub created: u64,
    /// The topic.
    pub topic: Option<Topic>,
    /// Modes without parameters.
    pub modes: Letters,
    /// `k`
    pub key: Option<Box<str>>,
    /// `l`
    pub limit: Option<u32>,
    /// `f`: where those go who may not join.
    pub forward: Option<Box<str>>,
    /// `b`
    pub bans: Vec<ListEntry>,
    /// `e`
    pub excepts: Vec<ListEntry>,
    /// `I`
    pub invexes: Vec<ListEntry>,
    /// Its keys and values.
    pub metadata: Option<Box<Metadata>>,
    /// Whose it is, where it is registered.
    pub founder: Option<AccountId>,
    /// When it was registered, in milliseconds since 1970.
    pub registered: u64,
    /// To which account its founder has offered it.
    pub transfer: Option<AccountId>,
    /// What accounts are in it whenever they join; never founder.
    pub access: BTreeMap<AccountId, Rank>,
    /// What was chosen of it, where it is registered.
    pub settings: ChannelSettings,
    /// When each member joined, in milliseconds since 1970.
    pub joined: AHashMap<UserId, u64>,
    /// Whether someone has been in it who is kept, being always on
    /// ([`User::presence_kept`](crate::server::user::User::presence_kept)), since it was last empty: as long as that
    /// is so, so is the channel. Not only while such a one is there, or whoever goes and comes, or takes another nick and
    /// the old one again, would have all of it written each time.
    pub held: bool,
    /// Its members, in the order they came.
    pub members: IndexMap<UserId, Ranks, ahash::RandomState>,
    /// Those of them whose JOIN only halfops and those above them were shown (`D`, `u`).
    pub unshown: IndexSet<UserId, ahash::RandomState>,
    /// When it was last knocked at, on the monotonic clock.
    pub knocked: Option<u64>,
    /// The number of the last kept change: whoever is shown the channel waits for it.
    pub changed: Seq,
    /// Connections of its members by worker; empty when members or their sessions have changed.
    pub audience: Vec<Arc<[u32]>>,
    /// As `audience`, without those who are deaf (user mode `D`).
    pub hearers: Vec<Arc<[u32]>>,
    /// Members whose accounts have devices for web push; `None` when any of that has changed.
    pub listeners: Option<Arc<[UserId]>>,
    /// Accounts of members that are several users; `None` where that is to be looked for.
    pub shared: Option<Arc<[AccountId]>>,
}

impl Channel {
    /// A new channel.
    pub fn new(name: &str, casemapping: Casemapping, created: u64) -> Channel {
        Channel {
            name: name.into(),
            serial: 0,
            folded: casemapping.fold(name),
            created,
            topic: None,
            modes: Letters::of("nt"),
            key: None,
            limit: None,
            forward: None,
            bans: Vec::new(),
            excepts: Vec::new(),
            invexes: Vec::new(),
            metadata: None,
            founder: None,
            registered: 0,
            transfer: None,
            access: BTreeMap::new(),
            settings: ChannelSettings::default(),
            joined: AHashMap::new(),
            held: false,
            members: IndexMap::default(),
            unshown: IndexSet::default(),
            knocked: None,
            changed: 0,
            audience: Vec::new(),
            hearers: Vec::new(),
            listeners: None,
            shared: None,
        }
    }

    /// A channel that was kept.
    pub fn from_row(row: ChannelRow, casemapping: Casemapping) -> Channel {
        let mut channel = Channel::new(&row.name, casemapping, row.created);
        channel.topic = row.topic.map(|(text, setter, set_at)| Topic { text, setter, set_at });
        channel.modes = Letters::of(&row.modes);
        channel.key = row.key;
        channel.limit = row.limit;
        channel.forward = row.forward;
        channel.founder = row.founder;
        channel.registered = row.registered;
        channel.transfer = row.transfer;
        channel
    }

    /// Whether it is kept, to be found again after a start: it is registered, or permanent, or somebody has been in it
    /// who may be found there again. What was said behind its modes would else be read by whoever comes first then.
    pub fn is_kept(&self) -> bool {
        self.founder.is_some() || self.held || self.modes.has('P')
    }

    /// What is kept of the channel; `None` where nothing is.
    pub fn row(&self) -> Option<ChannelRow> {
        self.is_kept().then(|| ChannelRow {
            folded: self.folded.as_str().into(),
            name: self.name.clone(),
            founder: self.founder,
            registered: self.registered,
            created: self.created,
            topic: self.topic.as_ref().map(|topic| (topic.text.clone(), topic.setter.clone(), topic.set_at)),
            modes: self.kept_modes().text().into(),
            key: self.key.clone(),
            limit: self.limit,
            forward: self.forward.clone(),
            transfer: self.transfer,
        })
    }

    /// Modes that outlive the members: `d` says something of those who are there.
    fn kept_modes(&self) -> Letters {
        let mut modes = self.modes;
        modes.set('d', false);
        modes
    }

    /// Takes an entry of a list that was kept.
    pub fn put_list_row(&mut self, row: ListRow) {
        let entry = ListEntry { mask: row.mask, setter: row.setter, set_at: row.set_at };
        if let Some(list) = self.list_mut(row.mode) {
            list.push(entry);
        }
    }

    /// The list of a list mode.
    pub fn list(&self, mode: char) -> Option<&Vec<ListEntry>> {
        match mode {
            'b' => Some(&self.bans),
            'e' => Some(&self.excepts),
            'I' => Some(&self.invexes),
            _ => None,
        }
    }

    /// The list of a list mode.
    pub fn list_mut(&mut self, mode: char) -> Option<&mut Vec<ListEntry>> {
        match mode {
            'b' => Some(&mut self.bans),
            'e' => Some(&mut self.excepts),
            'I' => Some(&mut self.invexes),
            _ => None,
        }
    }

    /// The other members who are shown this one.
    pub fn beholders(&self, user: UserId) -> Vec<UserId> {
        if self.unshown.contains(&user) {
            self.watchers(user).filter(|other| *other != user).collect()
        } else {
            self.members.keys().copied().filter(|other| *other != user).collect()
        }
    }

    /// The entries of all its lists, as they are kept.
    pub fn list_rows(&self) -> Vec<ListRow> {
        ['b', 'e', 'I']
            .into_iter()
            .flat_map(|mode| self.list(mode).into_iter().flatten().map(move |entry| (mode, entry)))
            .map(|(mode, entry)| ListRow {
                channel: self.folded.as_str().into(),
                mode,
                mask: entry.mask.clone(),
                setter: entry.setter.clone(),
                set_at: entry.set_at,
            })
            .collect()
    }

    /// What an account is in it, whether it is there or not.
    pub fn standing(&self, account: Option<AccountId>) -> Option<Rank> {
        let account = account?;
        if self.founder == Some(account) { Some(Rank::Founder) } else { self.access.get(&account).copied() }
    }

    /// What accounts are in it, as it is kept.
    pub fn access_rows(&self) -> Vec<AccessRow> {
        let channel = self.folded.as_str();
        self.access
            .iter()
            .map(|(account, rank)| AccessRow { channel: channel.into(), account: *account, rank: *rank })
            .collect()
    }

    /// Its keys and values, as they are kept.
    pub fn metadata_rows(&self) -> Vec<MetadataRow> {
        let owner = self.folded.as_str();
        let pairs = self.metadata.iter().flat_map(|map| map.iter());
        pairs
            .map(|(key, value)| MetadataRow { owner: owner.into(), key: key.clone(), value: Some(value.clone()) })
            .collect()
    }

    /// Sets or removes a key.
    pub fn set_metadata(&mut self, key: &str, value: Option<&str>) {
        put_metadata(&mut self.metadata, key, value);
    }

    /// Whether those outside may not know of it.
    pub fn is_secret(&self) -> bool {
        self.modes.has('s')
    }

    /// The ranks of a member; `None` where the user is not in it.
    pub fn ranks(&self, user: UserId) -> Option<Ranks> {
        self.members.get(&user).copied()
    }

    /// Whether members without a rank see that a member is there: not before they were shown its JOIN
    /// (`D`), and in an auditorium (`u`) only those with voice and above.
    pub fn is_shown(&self, member: UserId) -> bool {
        !self.unshown.contains(&member)
            && (!self.modes.has('u') || self.ranks(member).is_some_and(|ranks| ranks.at_least(Rank::Voice)))
    }

    /// Whether a user sees that a member is there: halfops and those above them see everyone.
    pub fn shows(&self, viewer: UserId, member: UserId) -> bool {
        viewer == member
            || self.is_shown(member)
            || self.ranks(viewer).is_some_and(|ranks| ranks.at_least(Rank::Halfop))
    }

    /// Members who are told what a member does whose JOIN was not shown to all: itself, halfops and
    /// those above them.
    pub fn watchers(&self, member: UserId) -> impl Iterator<Item = UserId> {
        let sees = move |(id, ranks): (&UserId, &Ranks)| (*id == member || ranks.at_least(Rank::Halfop)).then_some(*id);
        self.members.iter().filter_map(sees)
    }

    /// Forgets who is to be sent what is said: members, their sessions or their modes have changed.
    pub fn forget_audience(&mut self) {
        self.audience = Vec::new();
        self.hearers = Vec::new();
        self.listeners = None;
        self.shared = None;
    }

    /// Takes a connection out of who is to be sent what is said: as [`Channel::forget_audience`] where nothing else
    /// has changed, at the cost of a copy. Thousands may go one after the other.
    pub fn unhear(&mut self, conn: ConnId) {
        let worker = usize::from(conn.worker);
        let Some(slots) = self.audience.get(worker) else { return };
        let same = self.hearers.get(worker).is_some_and(|hearers| Arc::ptr_eq(hearers, slots));
        if let Some(rest) = without(slots, conn.slot) {
            self.audience[worker] = rest;
        }
        if same {
            self.hearers[worker] = self.audience[worker].clone();
        } else if let Some(rest) = self.hearers.get(worker).and_then(|hearers| without(hearers, conn.slot)) {
            self.hearers[worker] = rest;
        }
    }

    /// The modes as MODE shows them: letters, then parameters; the key only to members.
    pub fn modes_text(&self, member: bool) -> (String, Vec<String>) {
        let mut modes = self.modes;
        modes.set('r', self.founder.is_some());
        let mut letters = format!("+{}", modes.text());
        let mut params = Vec::new();
        if let Some(forward) = &self.forward {
            letters.push('f');
            params.push(forward.to_string());
        }
        if let Some(key) = &self.key {
            letters.push('k');
            params.push(if member { key.to_string() } else { "*".into() });
        }
        if let Some(limit) = self.limit {
            letters.push('l');
            params.push(limit.to_string());
        }
        (letters, params)
    }
}

/// The slots without one of them; `None` where it is not there.
fn without(slots: &[u32], slot: u32) -> Option<Arc<[u32]>> {
    let at = slots.iter().position(|other| *other == slot)?;
    Some([&slots[..at], &slots[at + 1..]].concat().into())
}
