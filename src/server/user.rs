//! A person on the network, with 0 to n sessions.

use std::collections::BTreeMap;
use std::sync::Arc;

use ircv3::Folded;
use smallvec::SmallVec;

use crate::server::event::ConnId;
use crate::server::network::ChannelId;
use crate::server::record::{AccountId, Seq};

/// Keys and values (METADATA).
pub type Metadata = BTreeMap<Box<str>, Box<str>>;

/// A set of letters, for modes without parameters: bit 0 is `A`, bit 32 is `a`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Letters(u64);

impl Letters {
    fn bit(letter: char) -> u64 {
        match letter {
            'A'..='Z' => 1 << (letter as u32 - 'A' as u32),
            'a'..='z' => 1 << (32 + letter as u32 - 'a' as u32),
            _ => 0,
        }
    }

    /// The letters of a text; anything else is passed over.
    pub fn of(text: &str) -> Letters {
        Letters(text.chars().fold(0, |bits, letter| bits | Letters::bit(letter)))
    }

    /// Whether the letter is in the set.
    pub fn has(self, letter: char) -> bool {
        self.0 & Letters::bit(letter) != 0
    }

    /// Puts a letter in or takes it out; whether that changed anything.
    pub fn set(&mut self, letter: char, on: bool) -> bool {
        let was = self.0;
        if on {
            self.0 |= Letters::bit(letter);
        } else {
            self.0 &= !Letters::bit(letter);
        }
        self.0 != was
    }

    /// The letters in alphabetical order, capitals first.
    pub fn text(self) -> String {
        ('A'..='Z').chain('a'..='z').filter(|letter| self.has(*letter)).collect()
    }
}

/// A person.
#[derive(Debug)]
pub struct User {
    /// The number of the change that brought it: older history than this is not a guest's.
    pub since: Seq,
    /// The nick.
    pub nick: Arc<str>,
    /// The nick as it is compared.
    pub folded: Folded,
    /// The user name, with `~`.
    pub user: Box<str>,
    /// The host that others see.
    pub host: Arc<str>,
    /// The real name.
    pub realname: Box<str>,
    /// `nick!user@host`.
    pub source: Arc<str>,
    /// The account it is logged in to.
    pub account: Option<AccountId>,
    /// That account's name.
    pub account_name: Option<Arc<str>>,
    /// Why it is away.
    pub away: Option<Box<str>>,
    /// Keys and values of a guest; those of an account are the account's.
    pub metadata: Option<Box<Metadata>>,
    /// Its modes.
    pub modes: Letters,
    /// Where it is, in the order it came.
    pub channels: SmallVec<[ChannelId; 4]>,
    /// Its connections, the oldest first.
    pub sessions: SmallVec<[ConnId; 1]>,
    /// Channels it was invited to, by their serial, each with the moment (on the monotonic clock) at
    /// which the invitation ends.
    pub invites: Vec<(u64, u64)>,
    /// When it came, in seconds since 1970.
    pub signon: u64,
    /// When it last said something, on the monotonic clock.
    pub spoke: u64,
    /// Whether every session came over TLS.
    pub secure: bool,
    /// When its last connection went, in milliseconds since 1970; 0 while it has one.
    pub left: u64,
    /// The store has it as one that is always on.
    pub presence_kept: bool,
}

impl User {
    /// Takes the nick over into the source. The caller sees to the index and `folded`.
    pub fn set_nick(&mut self, nick: &str) {
        self.nick = nick.into();
        self.source = source(nick, &self.user, &self.host);
    }

    /// Whether it is an operator.
    pub fn is_oper(&self) -> bool {
        self.modes.has('o')
    }

    /// Whether it is a bot.
    pub fn is_bot(&self) -> bool {
        self.modes.has('B')
    }
}

/// `nick!user@host`.
pub fn source(nick: &str, user: &str, host: &str) -> Arc<str> {
    format!("{nick}!{user}@{host}").into()
}

/// Sets or removes a key; without any there is no map.
pub fn put_metadata(metadata: &mut Option<Box<Metadata>>, key: &str, value: Option<&str>) {
    match value {
        Some(value) => drop(metadata.get_or_insert_default().insert(key.into(), value.into())),
        None => {
            if let Some(map) = metadata {
                map.remove(key);
            }
            metadata.take_if(|map| map.is_empty());
        }
    }
}
