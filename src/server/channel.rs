//! A channel: who is in it, its modes and lists, and the audience of what is said in it.

use std::sync::Arc;

use indexmap::IndexMap;
use ircv3::mode::Ranks;
use ircv3::{Casemapping, Folded};

use crate::server::network::UserId;
use crate::server::record::{AccountId, ChannelRow, ListRow, Seq};
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
    /// Its members, in the order they came.
    pub members: IndexMap<UserId, Ranks, ahash::RandomState>,
    /// The number of the last kept change: whoever is shown the channel waits for it.
    pub changed: Seq,
    /// Connections of its members by worker; empty when members or their sessions have changed.
    pub audience: Vec<Arc<[u32]>>,
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
            bans: Vec::new(),
            excepts: Vec::new(),
            invexes: Vec::new(),
            metadata: None,
            founder: None,
            registered: 0,
            members: IndexMap::default(),
            changed: 0,
            audience: Vec::new(),
        }
    }

    /// A channel that was kept.
    pub fn from_row(row: ChannelRow, casemapping: Casemapping) -> Channel {
        let mut channel = Channel::new(&row.name, casemapping, row.created);
        channel.topic = row.topic.map(|(text, setter, set_at)| Topic { text, setter, set_at });
        channel.modes = Letters::of(&row.modes);
        channel.key = row.key;
        channel.limit = row.limit;
        channel.founder = Some(row.founder);
        channel.registered = row.registered;
        channel
    }

    /// What is kept of the channel; `None` where it is not registered.
    pub fn row(&self) -> Option<ChannelRow> {
        Some(ChannelRow {
            folded: self.folded.as_str().into(),
            name: self.name.clone(),
            founder: self.founder?,
            registered: self.registered,
            created: self.created,
            topic: self.topic.as_ref().map(|topic| (topic.text.clone(), topic.setter.clone(), topic.set_at)),
            modes: self.modes.text().into(),
            key: self.key.clone(),
            limit: self.limit,
        })
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

    /// The modes as MODE shows them: letters, then parameters; the key only to members.
    pub fn modes_text(&self, member: bool) -> (String, Vec<String>) {
        let mut letters = format!("+{}", self.modes.text());
        let mut params = Vec::new();
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
